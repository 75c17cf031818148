//! Files that the user names to be written.

use std::io::{self, Read as _, Write};
use std::path::{Path, PathBuf};

use clawkeep::internal::config::existing_agents;
use clawkeep::internal::platform::openclaw::openclaw_dir_of;
use clawkeep::internal::platform::{
    Access, FileError, check_trusted, exists, open_regular, open_to_readers, persist, resolve_link,
    sync_dir, sync_file, temporary_in,
};

use crate::context::Context;
use crate::failure::Failure;

/// Whether the name stands for stdout.
pub(crate) fn is_stdout(to: &Path) -> bool {
    to == Path::new("-")
}

/// The path that the user named.
pub(crate) fn resolved(context: &Context, to: &Path) -> PathBuf {
    if is_stdout(to) {
        to.to_owned()
    } else {
        context.layout.user_path(to)
    }
}

/// What may be replaced by a new file.
#[derive(Clone, Copy)]
pub(crate) enum Replaceable {
    Nothing,
    /// A file of that kind, which has this near its beginning.
    With(&'static str),
}

/// Who may read a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readers {
    Owner,
    /// Every user of the machine: for what other services collect, and is not secret.
    Everyone,
}

impl Replaceable {
    /// The number of bytes in which a file's mark is searched.
    const MARK_WITHIN: u64 = 2048;

    fn check(self, path: &Path) -> Result<(), Failure> {
        if !exists(path) {
            return Ok(());
        }
        if let Self::With(mark) = self {
            let mut head = Vec::new();
            let file = open_regular(path)?;
            let read = file.take(Self::MARK_WITHIN).read_to_end(&mut head);
            if read.is_ok() && String::from_utf8_lossy(&head).contains(mark) {
                return Ok(());
            }
        }
        Err(Failure::BadArgument(format!(
            "{} is there already, and would be lost; name another file, or remove it first",
            path.display()
        )))
    }
}

/// Writes a file, whole or not at all, as `write` makes it; or stdout.
pub(crate) fn write(
    context: &Context,
    to: &Path,
    (replaceable, readers): (Replaceable, Readers),
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    if is_stdout(to) {
        return context.ui.stream(write);
    }
    check(context, to, replaceable)?;
    replace(to, (replaceable, readers), write)
}

/// Writes a file in a place that was checked, whole or not at all.
fn replace(
    to: &Path,
    (replaceable, readers): (Replaceable, Readers),
    write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let real = resolve_link(to)?;
    replaceable.check(&real)?;
    let dir = real.parent().unwrap_or(Path::new("."));
    let failed = |source: io::Error| {
        Failure::File(FileError::Io {
            action: "write",
            path: real.clone(),
            source,
        })
    };
    // Made with mode 0600, under a name that nobody can guess, and removed again if anything fails.
    let mut file = temporary_in(dir).map_err(failed)?;
    let mut out = io::BufWriter::new(file.as_file_mut());
    let written = write(&mut out).and_then(|()| out.flush().map_err(Failure::Output));
    drop(out);
    match written {
        Err(Failure::Output(source)) => return Err(failed(source)),
        other => other?,
    }
    if readers == Readers::Everyone {
        open_to_readers(file.as_file()).map_err(failed)?;
    }
    sync_file(file.as_file()).map_err(failed)?;
    persist(file, &real).map_err(failed)?;
    Ok(sync_dir(dir)?)
}

/// Writes a file of a directory that the user named, whole or not at all. Every user may read it.
/// The directory is created if it is missing. It asks for no configuration: what `replaceable` says
/// is in no store, setting or key.
pub(crate) fn write_in(
    dir: &Path,
    name: &str,
    replaceable: Replaceable,
    bytes: &[u8],
) -> Result<(), Failure> {
    let to = dir.join(name);
    check_place(&to)?;
    if !dir.is_dir() {
        create_dirs(dir)?;
    }
    replace(&to, (replaceable, Readers::Everyone), |out| {
        out.write_all(bytes).map_err(Failure::Output)
    })
}

/// Creates a directory and those above it, each in one that nobody else can write to.
fn create_dirs(dir: &Path) -> Result<(), Failure> {
    let missing: Vec<&Path> = dir.ancestors().take_while(|dir| !dir.is_dir()).collect();
    for dir in missing.into_iter().rev() {
        std::fs::create_dir(dir).map_err(|source| FileError::Io {
            action: "create",
            path: dir.to_owned(),
            source,
        })?;
        check_place(dir)?;
    }
    Ok(())
}

/// Checks that nobody else can have chosen what is written over.
fn check_place(to: &Path) -> Result<(), Failure> {
    let checked = check_trusted(to, Access::Read).map_err(|error| match error {
        FileError::Untrusted(refusal) => Failure::Refused {
            what: refusal.to_string(),
            next: "Name another file, with --to.".to_owned(),
        },
        error => error.into(),
    });
    checked.map(|_| ())
}

/// A copy may replace an older copy and nothing else: no store, login, setting, key or vault.
/// Without a configuration that can be read it is not known where the stores are.
pub(crate) fn check(context: &Context, to: &Path, replaceable: Replaceable) -> Result<(), Failure> {
    if is_stdout(to) {
        return Ok(());
    }
    let layout = &context.layout;
    let real = resolve_link(to)?;
    if let Some(dir) = real.parent().filter(|dir| !dir.is_dir()) {
        return Err(Failure::BadArgument(format!(
            "there is no directory {}; make it first",
            dir.display()
        )));
    }
    check_place(to)?;
    let agents = existing_agents(layout, context.settings()?)?;
    let stores = agents
        .iter()
        .flat_map(|agent| ["auth-profiles.json", "auth.json"].map(|name| agent.dir.join(name)));
    let logins = layout.logins.iter().map(|files| &files.login);
    let files = [&layout.config_file, &layout.settings_file];
    let named = layout.named_key_file().map(Path::to_owned);
    let taken = stores
        .chain(files.into_iter().chain(logins).cloned())
        .chain([layout.oauth_file()])
        .chain(named);
    let vault = resolve_link(&layout.vault_file)?;
    // The vault, its log, its locks, and its draft.
    const BESIDE: [&str; 7] = ["", "-wal", "-shm", "-journal", ".lock", ".lease", ".new"];
    let is_vaults = BESIDE.iter().any(|suffix| {
        let mut name = vault.as_os_str().to_owned();
        name.push(suffix);
        real == Path::new(&name)
    });
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
        _ => return replaceable.check(&real),
    };
    Err(Failure::BadArgument(format!(
        "{} is no place for it: {why}; name another file, or - for stdout",
        to.display()
    )))
}

/// Refuses a copy of a store in OpenClaw's directory, which fails beside one, or has its own.
pub(crate) fn check_not_openclaws(context: &Context, to: &Path) -> Result<(), Failure> {
    let found = match is_stdout(to) {
        true => None,
        // A link whose end is not there yet leads somewhere, too.
        false => openclaw_dir_of(to).or(openclaw_dir_of(&resolve_link(to)?)),
    };
    let Some(openclaw) = found else { return Ok(()) };
    Err(Failure::Refused {
        what: format!(
            "{} was not written: {} belongs to a newer gateway, OpenClaw, {}",
            context.layout.shorten_home(to),
            context.layout.shorten_home(&openclaw.root),
            openclaw.why_not_written()
        ),
        next:
            "Name a file in another directory, or - for stdout: clawkeep export --to FILE --reveal"
                .to_owned(),
    })
}

/// The absolute path, as the record stores it.
pub(crate) fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
