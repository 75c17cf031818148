//! Files that the user names to be written.

use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clawkeep::config::existing_agents;
use clawkeep::platform::{FileError, resolve_link, sync_dir};

use crate::context::Context;
use crate::failure::Failure;

/// Whether the name stands for stdout.
pub(crate) fn is_stdout(to: &Path) -> bool {
    to == Path::new("-")
}

/// The path that the user means.
pub(crate) fn resolved(context: &Context, to: &Path) -> PathBuf {
    if is_stdout(to) {
        to.to_owned()
    } else {
        context.layout.user_path(to)
    }
}

/// Writes a file that only its owner may read, whole or not at all, as `write` makes it; or stdout.
pub(crate) fn write(
    context: &Context,
    to: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if is_stdout(to) {
        return context.ui.stream(write);
    }
    check(context, to)?;
    let real = resolve_link(to)?;
    let dir = real.parent().unwrap_or(Path::new("."));
    let failed = |source: io::Error| {
        Failure::File(FileError::Io {
            action: "write",
            path: real.clone(),
            source,
        })
    };
    // Made with mode 0600, under a name that nobody can guess, and removed again if anything fails.
    let mut file = tempfile::NamedTempFile::new_in(dir).map_err(failed)?;
    let mut out = io::BufWriter::new(file.as_file_mut());
    let written = write(&mut out).and_then(|()| out.flush().map_err(Failure::Output));
    drop(out);
    match written {
        Err(Failure::Output(source)) => return Err(failed(source)),
        other => other?,
    }
    file.as_file().sync_all().map_err(failed)?;
    file.persist(&real).map_err(|error| failed(error.error))?;
    Ok(sync_dir(dir)?)
}

/// A copy may replace an older copy and nothing else: no store, login, setting, key or vault. Without a configuration that can be
/// read it is not known where the stores are.
pub(crate) fn check(context: &Context, to: &Path) -> Result<(), Failure> {
    if is_stdout(to) {
        return Ok(());
    }
    let layout = &context.layout;
    let real = resolve_link(to)?;
    if let Some(dir) = real.parent().filter(|dir| !dir.is_dir()) {
        return Err(Failure::BadArgument(format!(
            "there is no directory {}",
            dir.display()
        )));
    }
    let agents = existing_agents(layout, context.settings()?)?;
    let stores = agents
        .iter()
        .flat_map(|agent| ["auth-profiles.json", "auth.json"].map(|name| agent.dir.join(name)));
    let files = [
        &layout.config_file,
        &layout.settings_file,
        &layout.claude_code_file,
        &layout.codex_file,
    ];
    let named = layout.named_key_file().map(Path::to_owned);
    let taken = stores
        .chain(files.map(Clone::clone))
        .chain([layout.oauth_file()])
        .chain(named);
    let vault = resolve_link(&layout.vault_file)?;
    // The vault's log, its lock, and what else lies beside it under its name.
    let is_vaults = real.parent() == vault.parent()
        && real
            .file_name()
            .unwrap_or_default()
            .as_encoded_bytes()
            .starts_with(vault.file_name().unwrap_or_default().as_encoded_bytes());
    let is_key = real.starts_with(resolve_link(&layout.key_file_dir())?);
    let is_taken = is_vaults
        || is_key
        || taken
            .filter_map(|path| resolve_link(&path).ok())
            .any(|path| path == real);
    let is_special = std::fs::symlink_metadata(to).is_ok_and(|meta| !meta.is_file());
    let why = match (is_taken, is_special) {
        (true, _) => "it is a store, a login, a setting, a key or the vault",
        (_, true) => "what is there is not a plain file",
        _ => return Ok(()),
    };
    Err(Failure::BadArgument(format!(
        "{} is no place for a copy: {why}",
        to.display()
    )))
}
