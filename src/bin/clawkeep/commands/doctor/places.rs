//! Findings about the vault's place: OpenClaw's directory, one that stops OpenClaw, or two places.

use std::path::{Path, PathBuf};

use crate::doctor::{Finding, FindingId, Repair};
use clawkeep::internal::audit::{EventKind, Filter, KindFilter};
use clawkeep::internal::config::{Settings, openclaw};
use clawkeep::internal::domain::path_of_text;
use clawkeep::internal::platform::openclaw::{STATE_DIR_NAME, openclaw_dir_of};
use clawkeep::internal::vault::{Vault, is_moved_away};

use crate::context::Context;

/// The files in an agent's directory that only this program uses.
pub(crate) const OF_AN_AGENT: [&str; 2] = ["auth-profiles.json", "auth-profiles.json.lock"];

pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let layout = &context.layout;
    let vault = &layout.vault_file;
    let shown = |path: &Path| layout.shorten_home(path);
    let mut found = Vec::new();
    for other in &context.places.others {
        let message = format!(
            "there are two vaults, {} (used) and {}: one login in both would be refreshed twice, \
             which ends it",
            shown(vault),
            shown(other)
        );
        found.push(
            Finding::new(FindingId::VaultTwo, message)
                .path(other)
                .repair(Repair::MergeVault {
                    from: other.clone(),
                    into: vault.clone(),
                }),
        );
    }
    for path in &context.places.strays {
        let message = format!(
            "{} is no vault that can be opened, where a vault may lie; {} is used",
            shown(path),
            shown(vault)
        );
        let finding = Finding::new(FindingId::VaultStray, message).path(path);
        found.push(finding.advice(
            "If it is not yours, remove it. If it is a vault, make it readable, or open it with \
             --vault.",
        ));
    }
    for path in &context.places.leftovers {
        let message = if is_moved_away(path) {
            format!("{} is what a move of the vault left", shown(path))
        } else {
            format!(
                "{} is an earlier copy of the vault, such as an interrupted move or a backup \
                 leaves",
                shown(path)
            )
        };
        let repair = Repair::RemoveLeftVault {
            path: path.clone(),
            vault: vault.clone(),
        };
        found.push(
            Finding::new(FindingId::VaultLeft, message)
                .path(path)
                .repair(repair),
        );
    }
    if let Some((dir, message)) = misplaced(context) {
        let repair = Repair::MoveVault {
            from: dir.clone(),
            to: layout.data_dir.clone(),
        };
        found.push(
            Finding::new(FindingId::VaultPlace, message)
                .path(dir)
                .repair(repair),
        );
    }
    found
}

/// The directory that the vault should leave, and why.
pub(crate) fn misplaced(context: &Context) -> Option<(PathBuf, String)> {
    let layout = &context.layout;
    let legacy = layout.home.join(".clawdbot");
    let openclaws = layout.home.join(STATE_DIR_NAME);
    // Two vaults are merged first. If the data directory is OpenClaw's too, no place is left.
    if !context.places.others.is_empty() || openclaw_dir_of(&layout.data_dir).is_some() {
        return None;
    }
    // A vault in a directory that the user named stays there: it is searched nowhere else.
    let is_usual = |dir: &Path| dir == legacy || dir == openclaws || dir == layout.data_dir;
    if !is_usual(&layout.vault_dir) {
        return None;
    }
    let is_found = layout.vaults.first() == Some(&layout.vault_file);
    if is_found && context.places.is_in_openclaws() {
        let dir = layout.vault_dir.clone();
        let message = format!(
            "the vault {} is in a directory of OpenClaw's, which may move or remove it",
            layout.shorten_home(&layout.vault_file)
        );
        return Some((dir, message));
    }
    // What an interrupted move did not finish after its commit.
    if layout.vault_dir == layout.data_dir && openclaws.join("clawkeep.toml").is_file() {
        let shown = layout.shorten_home(&openclaws.join("clawkeep.toml"));
        let message = format!("{shown} is what a move of the vault left; nothing reads it");
        return Some((openclaws, message));
    }
    if legacy.is_symlink() || !legacy.is_dir() || !is_openclaw_installed(context) {
        return None;
    }
    let stores = stores_below(&legacy)?;
    let vault = Vault::open(&layout.vault_file).ok()?;
    let known = vault.known_stores().ok()?;
    let is_known = |store: &PathBuf| known.iter().any(|(path, _)| path == store);
    let is_ours = stores.iter().all(is_known) && !has_foreign_content(&vault, &legacy)?;
    is_ours.then(|| {
        let message = format!(
            "only clawkeep uses {}, and OpenClaw, which is installed here, refuses to start \
             beside it",
            layout.shorten_home(&legacy)
        );
        (legacy, message)
    })
}

/// Whether the record says that another program wrote a store below `dir`: a gateway uses it.
/// `None` if the record cannot be read.
fn has_foreign_content(vault: &Vault, dir: &Path) -> Option<bool> {
    let kinds = [EventKind::ImportApplied, EventKind::StoreMerged];
    let filter = Filter::default().kinds(kinds.map(KindFilter::only).to_vec());
    for event in vault.history(&filter).ok()? {
        let event = event.ok()?;
        let detail = event.detail.as_deref().unwrap_or_default();
        let detail: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
        let path = detail["path"].as_str();
        if path.is_some_and(|path| path_of_text(path).starts_with(dir)) {
            return Some(true);
        }
    }
    Some(false)
}

fn is_openclaw_installed(context: &Context) -> bool {
    let on_path = || {
        let path = context.env.raw("PATH").unwrap_or_default();
        let name = format!("openclaw{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(path)
            .filter(|dir| dir.is_absolute())
            .any(|dir| dir.join(&name).is_file())
    };
    openclaw::find(&context.layout, &context.env).is_some() || on_path()
}

/// The stores in a state directory in which there is nothing but what this program puts there;
/// `None` if there is anything else.
pub(crate) fn stores_below(dir: &Path) -> Option<Vec<PathBuf>> {
    let mut stores = Vec::new();
    for (name, path) in entries(dir)? {
        match name.as_str() {
            "agents" => {
                for (_, agent) in entries(&path)? {
                    for (name, dir) in entries(&agent)? {
                        if name != "agent" {
                            return None;
                        }
                        for (name, file) in entries(&dir)? {
                            if !OF_AN_AGENT.contains(&name.as_str()) {
                                return None;
                            }
                            if name == OF_AN_AGENT[0] {
                                stores.push(file);
                            }
                        }
                    }
                }
            }
            "clawkeep.toml" => {}
            // A directory that clawkeep created has nothing else in it.
            "clawdbot.json" if Settings::is_of_credentials_alone(&path).unwrap_or(false) => {}
            // The vault, its log, its locks, and vaults that a restore replaced.
            name if name == "vault.db" || name.starts_with("vault.db.") => {}
            name if name.starts_with("vault.db-") => {}
            _ => return None,
        }
    }
    Some(stores)
}

/// The entries of a directory, by name; `None` if it is none, or a link.
pub(crate) fn entries(dir: &Path) -> Option<Vec<(String, PathBuf)>> {
    if dir.is_symlink() {
        return None;
    }
    let read = std::fs::read_dir(dir).ok()?;
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        Some((entry.file_name().to_str()?.to_owned(), entry.path()))
    };
    read.map(entry).collect()
}
