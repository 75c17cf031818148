//! `backup`: creates, verifies and restores copies of the vault.

pub(crate) mod restore;

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clawkeep::internal::audit::HeadCheck;
use clawkeep::internal::domain::{counted, path_text};
use clawkeep::internal::platform::exists;
use clawkeep::internal::vault::{Examined, Vault, verify_backup};
use serde_json::json;

use self::restore::Restore;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::absolute;
use crate::record::json::fields;
use crate::terminal::text::{local_minute, one_line};

/// Copies of the vault.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep backup create ~/backup/vault-2026-11-25.db\n  clawkeep \
        backup verify ~/backup/vault-2026-11-25.db"
)]
pub(crate) enum Backup {
    /// Write a copy of the vault, while others go on using it
    Create(Create),
    /// Verify that a copy is complete, and that a key opens it
    Verify(Verify),
    /// Replace the vault with a copy
    Restore(Restore),
}

/// Write a copy of the vault, while others go on using it.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep backup create ~/backup/vault-2026-11-25.db\n\nThe copy is \
        encrypted like the vault and does not contain the keys. Keep a key elsewhere too: \
        clawkeep key recovery"
)]
pub(crate) struct Create {
    /// The file to create; must not exist
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// Verify that a copy is complete, and that a key opens it.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  clawkeep backup verify ~/backup/vault-2026-11-25.db")]
pub(crate) struct Verify {
    /// The copy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Backup {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Create(command) => command.run(context),
            Self::Verify(command) => command.run(context),
            Self::Restore(command) => command.run(context),
        }
    }
}

impl Create {
    fn run(self, context: &Context) -> Result<(), Failure> {
        if exists(&self.file) {
            return Err(Failure::Refused {
                what: format!("there is something at {} already", shown(&self.file)),
                next: "It was left as it is. Name a file that is not there.".to_owned(),
            });
        }
        let mut vault = context.unlocked_to_read()?;
        context.check_end(&vault)?;
        let progress = context.ui.progress("Copying the vault");
        let made = context.with_new_head(&mut vault, |vault| {
            vault.back_up(&absolute(&self.file), &context.actor, context.clock)
        })?;
        drop(progress);
        let text = format!(
            "Backup: {}\nVault: {}\nUp to event: {}\nBytes: {}\n",
            shown(&self.file),
            made.head.vault,
            made.head.seq,
            made.bytes
        );
        let answer = json!({
            "path": path_text(&self.file),
            "vault": made.head.vault.to_string(),
            "seq": made.head.seq.0,
            "bytes": made.bytes,
        });
        context.ui.done(&text, &answer)?;
        if let Some(reason) = &made.not_recorded {
            context.ui.note(&format!(
                "Note: the backup is not in the record, since the vault can only be read: {reason}."
            ));
        }
        let altered = vault.altered_rows().map_or_else(
            |error| vec![error.to_string()],
            |rows| rows.into_iter().map(|row| row.name).collect(),
        );
        if !altered.is_empty() {
            context.ui.warn(&format!(
                "Warning: the vault is damaged or was modified outside clawkeep, and so is this \
                 backup: {}. To see how to repair it: clawkeep doctor",
                altered.join(", ")
            ));
        }
        if vault.slots()?.len() == 1 {
            context.ui.note(
                "Note: only one key opens this backup, and the backup does not contain it. Create \
                 a recovery code: clawkeep key recovery",
            );
        }
        Ok(())
    }
}

impl Verify {
    fn run(self, context: &Context) -> Result<(), Failure> {
        context.harden();
        let file = absolute(&self.file);
        let progress = context.ui.progress("Verifying the backup");
        let found = verify_backup(&file, &context.key_sources())?;
        drop(progress);
        let relation = self.relation(context, &found);
        if self.json {
            context.ui.json(&fields([
                ("ok", Some(json!(found.unopened.is_empty()))),
                ("vault", Some(json!(found.vault.to_string()))),
                ("asOf", found.as_of.map(|at| json!(at.rfc3339_millis()))),
                ("events", Some(json!(found.record.events))),
                ("last", Some(json!(found.record.last.0))),
                ("cells", Some(json!(found.cells))),
                ("unopened", Some(json!(found.unopened))),
                ("openedWith", Some(json!(found.opened_with.1.as_str()))),
                ("isOfThisVault", relation.map(|(_, is_own)| json!(is_own))),
            ]))?;
        } else {
            let as_of = found.as_of.map_or("?".to_owned(), local_minute);
            let pruned = match found.record.head {
                HeadCheck::NoHead if found.record.checkpoint.is_some() => {
                    " (earlier ones were pruned)"
                }
                _ => "",
            };
            context.ui.answer(&format!(
                "The backup is complete: as of {as_of}, {}{pruned}, the record verifies, \
                 {} can be opened.\nVault: {}{}\nOpened with: key slot {} ({})\n",
                counted(found.record.events, "event"),
                counted(found.cells - found.unopened.len() as u64, "encrypted cell"),
                found.vault,
                relation.map_or(String::new(), |(words, _)| words),
                found.opened_with.0,
                found.opened_with.1.as_str()
            ))?;
        }
        if found.unopened.is_empty() {
            Ok(())
        } else {
            Err(Failure::BackupRows {
                rows: found.unopened,
            })
        }
    }

    /// How the backup relates to the vault in use here, in words, and whether it is the same one.
    fn relation(&self, context: &Context, found: &Examined) -> Option<(String, bool)> {
        let vault = Vault::open(&context.layout.vault_file).ok()?;
        if vault.id() != found.vault {
            return Some((", another one than the one in use here".to_owned(), false));
        }
        let now = vault.head().ok()??;
        let then = found.head?;
        Some(match vault.has_event_of(&then) {
            Ok(true) if now.seq == then.seq => (", the one in use here".to_owned(), true),
            Ok(true) => {
                let behind = now.seq.0 - then.seq.0;
                let behind = counted(behind, "event");
                (format!(", the one in use here, {behind} ago"), true)
            }
            _ => (
                ", the one in use here, whose record has diverged since".to_owned(),
                true,
            ),
        })
    }
}

pub(super) fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}
