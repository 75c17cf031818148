//! The vault's file, its rows, its record and its keys.

use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use crate::advice::{shell_path, shell_word};
use crate::terminal::program_name::restore_command;
use clawkeep::internal::audit::Head;
use clawkeep::internal::config::Layout;
use clawkeep::internal::crypto::SlotKind;
use clawkeep::internal::domain::{AgentName, MOVE_COMMAND};
use clawkeep::internal::platform::{Storage, canonicalize, exists};
use clawkeep::internal::vault::{AlteredKind, AlteredRow, UnlockedVault, Vault, VaultError};

/// How many rows that do not open are named, each in a finding of its own.
const ROWS_MAX: usize = 20;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    if let Some(vault) = evidence.vault.locked() {
        found.extend(file(vault));
        found.extend(storage(vault));
        // Opened with a key file, it was with the first that is there.
        let opened_with = evidence.vault.unlocked().map(UnlockedVault::opened_with);
        let is_in_use = opened_with.is_some_and(|(_, kind)| kind == SlotKind::Keyfile);
        found.extend(extra_key_files(evidence.layout, vault, is_in_use));
        found.extend(unkept(evidence, vault));
    }
    if let Some(vault) = evidence.vault.unlocked() {
        // While the only key is unavailable, advice to copy it is of no use.
        found.extend(key_slots(evidence.layout, vault));
        found.extend(record(vault, evidence.kept_head));
        found.extend(rows(evidence, vault));
    }
    found
}

/// What SQLite finds wrong with the file.
fn file(vault: &Vault) -> Option<Finding> {
    let fault = match vault.integrity_faults() {
        Ok(faults) => faults.into_iter().next()?,
        Err(error) => error.to_string(),
    };
    let finding = Finding::new(
        FindingId::VaultDamaged,
        format!("the vault is damaged: {fault}"),
    );
    Some(finding.path(vault.path()).advice(
        "Put back a copy, or move the file and its -wal away; auth-profiles.json is then imported \
         anew.",
    ))
}

/// Where another system may write it, too.
fn storage(vault: &Vault) -> Option<Finding> {
    const MOVE: &str = "copy the vault to a file on a local disk: clawkeep backup create FILE, \
        then --vault FILE or CLAWKEEP_VAULT";
    if vault.read_only().is_some() {
        return None; // that it cannot be written, and why, is another finding
    }
    let storage = vault.path().parent().map(Storage::of)?.shared()?;
    let message = format!(
        "the vault is on {storage}; allow_shared_storage in clawkeep.toml says that only this \
         system uses that mount"
    );
    let finding = Finding::new(FindingId::VaultShared, message);
    let advice = format!("If another system uses it, too, {MOVE}");
    Some(finding.path(vault.path()).advice(advice))
}

/// The rows that are not as clawkeep left them, each with what can take its place.
fn rows(evidence: &Evidence<'_>, vault: &UnlockedVault) -> Vec<Finding> {
    let mut rows = match vault.altered_rows() {
        Ok(rows) => rows,
        Err(error) => return vec![list(vault, &error)],
    };
    for examined in evidence.agents {
        // What only the load of the agent finds, such as a snapshot that does not open.
        let found = examined.unopened.iter();
        let news = found.filter(|name| !rows.iter().any(|row| row.name == **name));
        let news: Vec<AlteredRow> = news
            .map(|name| AlteredRow {
                name: name.clone(),
                kind: AlteredKind::Other,
            })
            .collect();
        rows.extend(news);
    }
    let more = rows.len().saturating_sub(ROWS_MAX);
    rows.truncate(ROWS_MAX);
    if more > 0 {
        rows.push(AlteredRow {
            name: clawkeep::internal::domain::counted(more, "more row"),
            kind: AlteredKind::Other,
        });
    }
    let finding = |row: AlteredRow| {
        let what = format!("{row} is damaged or was modified outside clawkeep");
        Finding::new(FindingId::VaultUnopened, what)
            .path(vault.path())
            .advice(way_back(evidence, &row.kind))
    };
    rows.into_iter().map(finding).collect()
}

/// What a person can do about an altered row.
fn way_back(evidence: &Evidence<'_>, kind: &AlteredKind) -> String {
    const BACKUP: &str = "clawkeep backup restore FILE";
    match kind {
        AlteredKind::Credential { agent, profile } => {
            let mut agents = evidence.agents.iter();
            let found = agents.find(|found| found.agent.name.as_str() == agent);
            let store = found.map(|found| found.agent.store_file());
            let of = match agent == AgentName::default().as_str() {
                true => String::new(),
                false => format!(" --agent {}", shell_word(agent)),
            };
            let id = shell_word(profile);
            let others = format!(
                "put back the version before it: {} {id}{of}; or a backup: {BACKUP}",
                restore_command()
            );
            match store.filter(|store| exists(store)) {
                Some(store) => format!(
                    "Take the copy in the store: clawkeep import {}{of}; or {others}",
                    shell_path(evidence.layout, &store)
                ),
                None => format!("Store it anew; or {others}"),
            }
        }
        AlteredKind::KeySlot(slot) => {
            format!("Remove it, then add another: clawkeep key remove {slot}")
        }
        AlteredKind::Other => format!("Put back a backup: {BACKUP}"),
    }
}

/// Reports a damaged list of rows: without it, no row is proved.
fn list(vault: &UnlockedVault, error: &VaultError) -> Finding {
    Finding::new(FindingId::VaultDamaged, error.to_string())
        .path(vault.path())
        .advice("Put back a backup: clawkeep backup restore FILE")
}

/// What verifying the record says.
fn record(vault: &UnlockedVault, kept: Option<Head>) -> Option<Finding> {
    let fault = match vault.verify_record(kept) {
        Ok(Ok(_)) => return None,
        Ok(Err(fault)) => fault.to_string(),
        Err(error) => error.to_string(),
    };
    let finding = Finding::new(
        FindingId::RecordBroken,
        format!("the audit record does not verify: {fault}"),
    );
    Some(
        finding.path(vault.path()).advice(
            "Keep this vault as evidence and compare it with a copy: clawkeep audit verify",
        ),
    )
}

/// Reports that no head is kept elsewhere: without one, a record whose end was cut off appears
/// complete. The caller reports an existing file that is not a head.
fn unkept(evidence: &Evidence<'_>, vault: &Vault) -> Option<Finding> {
    let path = evidence.layout.head_file(vault.id());
    if exists(&path) {
        return None;
    }
    let finding = Finding::new(
        FindingId::RecordUnkept,
        "no head of the record is kept, so nothing would show that its end was cut off",
    );
    Some(finding.path(path).advice(
        "The next command that records something keeps one. Keep one on another machine: clawkeep \
         audit head",
    ))
}

fn key_slots(layout: &Layout, vault: &Vault) -> Option<Finding> {
    let slots = vault.slots().ok()?;
    let [slot] = slots.as_slice() else {
        return None; // none at all is a vault that does not open, which is reported there
    };
    let place = match SlotKind::from_name(&slot.kind) {
        Some(SlotKind::Keychain) => "one key, in the keychain".to_owned(),
        Some(SlotKind::Passphrase) => "one key, a passphrase".to_owned(),
        Some(SlotKind::Recovery) => "one key, a recovery code".to_owned(),
        Some(SlotKind::Keyfile) | None => {
            let file = key_files(layout, vault)
                .into_iter()
                .find(|file| exists(file));
            let shown = file.map(|file| layout.shorten_home(&file));
            format!("one key, in {}", shown.unwrap_or("a key file".to_owned()))
        }
    };
    let message = format!("there is {place}: if you lose it, nobody can open the vault");
    let advice = match SlotKind::from_name(&slot.kind) {
        Some(SlotKind::Recovery) => "Add another: clawkeep key add keyfile",
        _ => "Create a recovery code: clawkeep key recovery",
    };
    Some(
        Finding::new(FindingId::KeysSingle, message)
            .path(vault.path())
            .advice(advice),
    )
}

/// Where the vault's key file may be, the first that is there counts.
fn key_files(layout: &Layout, vault: &Vault) -> Vec<PathBuf> {
    let named = layout.named_key_file().map(Path::to_owned);
    let own = layout.key_file_dir().join(format!("{}.key", vault.id()));
    named
        .into_iter()
        .chain(layout.credential_key_file())
        .chain([own])
        .collect()
}

/// Finds key files in, below or beside the vault's directory: a copy of that directory has both.
fn extra_key_files(layout: &Layout, vault: &Vault, is_in_use: bool) -> Vec<Finding> {
    let dirs: Vec<_> = [vault.path().parent(), Some(layout.state_dir.as_path())]
        .into_iter()
        .flatten()
        .filter_map(|dir| canonicalize(dir).ok())
        .collect();
    let is_beside = |file: &PathBuf| {
        let real = canonicalize(file);
        real.is_ok_and(|real| dirs.iter().any(|dir| real.starts_with(dir)))
    };
    let finding = |file: PathBuf| {
        let message = format!(
            "the key file {} lies beside the vault: a copy of that directory has both",
            layout.shorten_home(&file)
        );
        let name = format!("{}.key", vault.id());
        let usual = layout.key_file_dir().join(&name);
        // Only a key that opens this vault is one to move there, and nothing must be in its place.
        let is_free = is_in_use && !exists(&usual);
        let advice = if !is_free || dirs.iter().any(|dir| usual.starts_with(dir)) {
            "Move it out of there, and name it with CLAWKEEP_KEY_FILE.".to_owned()
        } else if cfg!(windows) {
            format!(
                "Make the directory {}, if it is missing. Then: {MOVE_COMMAND} {} {}. Then remove \
                 the variable CLAWKEEP_KEY_FILE.",
                shell_path(layout, &layout.key_file_dir()),
                shell_path(layout, &file),
                shell_path(layout, &usual)
            )
        } else {
            format!(
                "mkdir -p -m 700 {} && mv -n {} {}  # and unset CLAWKEEP_KEY_FILE",
                shell_path(layout, &layout.key_file_dir()),
                shell_path(layout, &file),
                shell_path(layout, &usual)
            )
        };
        Finding::new(FindingId::KeysBeside, message)
            .path(file)
            .advice(advice)
    };
    let files = key_files(layout, vault).into_iter().filter(is_beside);
    files.map(finding).collect()
}
