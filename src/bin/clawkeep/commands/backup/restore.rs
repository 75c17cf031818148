//! `backup restore`: replaces the vault with a copy.

use std::path::PathBuf;

use clap::Args;
use clawkeep::internal::domain::{AgentName, ProfileId, path_text};
use clawkeep::internal::vault::{
    BackupError, RestoreChecks, Restored, RotationScope, UnlockedVault, Vault, VaultError, restore,
};

use serde_json::json;

use crate::commands::key::log_warning::warn_of_log;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::absolute;
use crate::terminal::text::{local_minute, shown_ids};

/// Replace the vault with a copy.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep backup restore ~/backup/vault-2026-11-25.db\n\nclawkeep \
        verifies the copy first. It keeps the vault that it replaces beside the new one, and \
        imports credentials that are newer there."
)]
pub(crate) struct Restore {
    /// The copy
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// Also a copy of another vault, or one with rows that do not open
    #[arg(long)]
    force: bool,
}

/// How often a restore waits for refreshes while new ones keep starting.
const ROUNDS_MAX: usize = 5;

impl Restore {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        context.harden();
        context.check_owner()?;
        let file = absolute(&self.file);
        let checks = if self.force {
            RestoreChecks::Override
        } else {
            RestoreChecks::Enforce
        };
        let progress = context.ui.progress("Verifying and restoring the backup");
        let mut rounds = 1..ROUNDS_MAX;
        let mut done = loop {
            self.settle(context)?;
            let to = &context.layout.vault_file;
            let who = (&context.actor, context.clock);
            match restore(
                &file,
                to,
                checks,
                &context.key_sources(),
                &|id| context.head_kept_of(id).ok().flatten(),
                who,
            ) {
                // A refresh that started after the last check.
                Err(BackupError::Vault(VaultError::RefreshUnderWay)) if rounds.next().is_some() => {
                }
                other => break other?,
            }
        };
        let mut vault = match done.vault.take() {
            Some(vault) => vault,
            None => context.unlocked()?,
        };
        drop(progress);
        context.replace_head(&vault);
        let restored = json!({
            "path": path_text(&context.layout.vault_file),
            "asOf": done.backup.as_of.map(|at| at.0),
            "seq": done.backup.record.last.0,
            "kept": done.kept.as_deref().map(path_text),
        });
        context.ui.done(&summary(context, &done), &restored)?;
        warn_of_log(context, done.log);
        self.note(context, &done);
        if !done.is_rekeyed {
            replace_data_key(context, &mut vault);
        }
        merge_stores(context, &mut vault)
    }

    /// Imports the results of refreshes into the vault that will be replaced, and waits for running
    /// ones. A vault that does not open has none to wait for.
    fn settle(&self, context: &Context) -> Result<(), Failure> {
        let Ok(vault) = Vault::open(&context.layout.vault_file) else {
            return Ok(());
        };
        vault.require_writable()?;
        match vault.unlock(&context.key_sources()) {
            Ok(mut vault) => {
                if context.check_end(&vault).is_err() {
                    return Ok(()); // the restore may replace the vault because it does not open
                }
                // the head that the record names as abandoned if this is interrupted
                context.keep_head(&vault);
                context.with_engine(&mut vault, |engine| engine.settle_refreshes())?;
                Ok(())
            }
            Err(_) => Ok(()),
        }
    }

    fn note(&self, context: &Context, done: &Restored) {
        if let Some(why) = &done.unread {
            context.ui.warn(&format!(
                "Warning: no credential could be imported from the vault that was replaced, and \
                 the keys are the backup's: {why}"
            ));
        }
        if !done.carried.uncertain.is_empty() {
            context.ui.note(&format!(
                "Note: the refresh tokens of {} may have been used up since the backup was made. \
                 The next use tries each once; if the provider refuses it, log in again.",
                ids(&done.carried.uncertain)
            ));
        }
        if !done.backup.unopened.is_empty() {
            context.ui.warn(&format!(
                "Warning: some rows of the backup do not open: {}",
                done.backup.unopened.join(", ")
            ));
        }
    }
}

fn summary(context: &Context, done: &Restored) -> String {
    let as_of = done.backup.as_of.map_or("?".to_owned(), local_minute);
    let vault = context.layout.shorten_home(&context.layout.vault_file);
    let mut lines = vec![format!(
        "Restored {vault} as of {as_of}, event {}.",
        done.backup.record.last
    )];
    if let Some(kept) = &done.kept {
        let kept = context.layout.shorten_home(kept);
        let up_to = done
            .abandoned
            .filter(|_| done.unread.is_none())
            .map(|head| format!(" (up to event {})", head.seq));
        lines.push(format!(
            "The vault that it replaced{} is kept as {kept}.",
            up_to.unwrap_or_default()
        ));
    }
    if !done.carried.credentials.is_empty() {
        lines.push(format!(
            "Newer there, and imported: {}.",
            ids(&done.carried.credentials)
        ));
    }
    format!("{}\n", lines.join("\n"))
}

fn ids(of: &[(AgentName, ProfileId)]) -> String {
    let name = |(agent, profile): &(AgentName, ProfileId)| match *agent == AgentName::default() {
        true => profile.as_str().to_owned(),
        false => format!("{profile} (agent {agent})"),
    };
    let names: Vec<String> = of.iter().map(name).collect();
    shown_ids(names.iter().map(String::as_str))
}

/// Imports what refreshes left beside the replaced vault, and replaces the data key, under which
/// that vault's rows would open. The backup is in place: a failure here is only reported.
fn replace_data_key(context: &Context, vault: &mut UnlockedVault) {
    match context.with_engine(vault, |engine| engine.rotate(RotationScope::DataKey)) {
        Ok(rotated) => warn_of_log(context, rotated.log),
        Err(error) => context.ui.warn(&format!(
            "Warning: the data key was not replaced: {error}. Replace it with: clawkeep key rotate"
        )),
    }
}

/// Imports what only the stores have, and writes them again.
fn merge_stores(context: &Context, vault: &mut UnlockedVault) -> Result<(), Failure> {
    let mut first = Ok(());
    for agent in context.every_agent(vault)? {
        let merged = context
            .load(vault, &agent)
            .and_then(|loaded| context.verdict(loaded));
        match (merged, &first) {
            (Ok(()), _) => {}
            (Err(failure), Ok(())) => first = Err(failure), // reported at the end
            (Err(failure), Err(_)) => context.ui.error(&format!(
                "agent {}: {}",
                agent.name,
                failure.lines().join(" ")
            )),
        }
    }
    first
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_agents_are_named_with_their_profiles() {
        let of =
            |agent: &str, id: &str| (AgentName::from_stored(agent.to_owned()), ProfileId::new(id));
        let all = [of("main", "a:b"), of("work", "c:d")];
        assert_eq!(ids(&all), "a:b, c:d (agent work)");
    }
}
