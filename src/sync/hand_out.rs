//! Handing a secret out: chosen from what the agent has now, and recorded before it is given.

use super::context::LoadContext;
use super::error::SyncError;
use super::loaded::Loaded;
use super::refresh::outcome::{NotRefreshed, RefreshOutcome};
use crate::config::AgentRef;
use crate::domain::ProfileId;
use crate::platform::FileError;
use crate::vault::{HandedOut, UnlockedVault};

/// The secrets to hand out, and what to record.
#[derive(Debug)]
pub struct HandOut {
    /// The profiles that a secret is handed out of.
    pub uses: Vec<ProfileId>,
    /// Those that were passed over for them, and why.
    pub passed_over: Vec<(ProfileId, &'static str)>,
    /// The command that hands them out, for the record.
    pub command: &'static str,
    /// The program that gets them, by its file's name alone, if the command runs one.
    pub program: Option<String>,
    /// The session that gets them, if there is one.
    pub session: Option<String>,
    /// The logins that are to be refreshed first. While there are any, nothing is handed out, and
    /// the choice is made again.
    pub due: Vec<ProfileId>,
}

/// What became of the logins that were refreshed before a hand-out.
#[derive(Debug, Default)]
pub struct Refreshes {
    refreshed: Vec<ProfileId>,
    not_refreshed: Vec<(ProfileId, NotRefreshed)>,
    /// Why stores could not be written then. The vault has everything; the next load tries again.
    pub not_written: Vec<FileError>,
}

impl Refreshes {
    /// Whether a refresh of the login was tried.
    #[must_use]
    pub(crate) fn was_tried(&self, id: &ProfileId) -> bool {
        self.refreshed.contains(id) || self.why_not(id).is_some()
    }

    /// Returns why a login was not refreshed, if that was tried.
    #[must_use]
    pub fn why_not(&self, id: &ProfileId) -> Option<&NotRefreshed> {
        let mut not_refreshed = self.not_refreshed.iter();
        not_refreshed
            .find(|(known, _)| known == id)
            .map(|(_, why)| why)
    }

    /// Returns the logins that were refreshed, by this process or by another one meanwhile.
    #[must_use]
    pub fn refreshed(&self) -> &[ProfileId] {
        &self.refreshed
    }

    pub(super) fn note(&mut self, id: ProfileId, outcome: RefreshOutcome) {
        match outcome {
            RefreshOutcome::StillValid => self.refreshed.push(id),
            RefreshOutcome::Refreshed(not_written) => {
                self.not_written.extend(not_written);
                self.refreshed.push(id);
            }
            RefreshOutcome::NotRefreshed(why) => self.not_refreshed.push((id, why)),
        }
    }
}

/// Records a hand-out. Whether the agent was still as it was loaded; if not, nothing is recorded.
pub(super) fn record_hand_out(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    agent: &AgentRef,
    loaded: &Loaded,
    hand_out: &HandOut,
) -> Result<bool, SyncError> {
    if hand_out.uses.is_empty() && hand_out.passed_over.is_empty() {
        return Ok(true);
    }
    let mut tx = vault.begin_use(context.actor, context.clock)?;
    if tx.revision(&agent.name)? != loaded.revision {
        return Ok(false);
    }
    let handed = HandedOut {
        agent: &agent.name,
        command: hand_out.command,
        program: hand_out.program.as_deref(),
        session: hand_out.session.as_deref(),
    };
    for (id, why) in &hand_out.passed_over {
        tx.note_passed_over(
            &handed,
            id,
            loaded.doc.credential(id.as_str()).as_ref(),
            why,
        )?;
    }
    for id in &hand_out.uses {
        if let Some(credential) = loaded.doc.credential(id.as_str()) {
            tx.note_use(&handed, id, &credential)?;
        }
    }
    tx.commit()?;
    Ok(true)
}
