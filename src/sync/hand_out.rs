//! Handing a secret out: chosen from what the agent has now, and recorded before anybody gets it.

use super::engine::{Engine, Loaded, SyncMode};
use super::error::SyncError;
use crate::config::AgentRef;
use crate::domain::{ProfileId, StoreDoc};
use crate::vault::{HandedOut, Pin};

/// How often a choice is made again because the agent's credentials were changed meanwhile.
const ROUNDS_MAX: usize = 50;

/// What of the credentials is handed out, and what is to be recorded.
#[derive(Debug)]
pub struct Handing {
    /// The profiles whose secrets are handed out.
    pub uses: Vec<ProfileId>,
    /// Those that were passed over for them, and why.
    pub passed_over: Vec<(ProfileId, &'static str)>,
    /// By which command, for the record.
    pub command: &'static str,
    /// In which session.
    pub session: Option<String>,
}

impl Engine<'_> {
    /// Loads an agent and lets `choose` decide what of it is handed out. That is committed to the record before this returns, and
    /// only if the credentials are still those that were chosen from; else it is chosen again.
    ///
    /// Where nothing is handed out, what was passed over is recorded all the same.
    ///
    /// # Errors
    /// As [`Engine::load`]; when the event cannot be recorded; and whatever `choose` refuses. Nothing may be handed out then.
    pub fn hand_out<T, E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        choose: impl Fn(&StoreDoc, &[Pin]) -> Result<(Handing, T), E>,
    ) -> Result<(Loaded, T), E> {
        for _ in 0..ROUNDS_MAX {
            let loaded = self.load(agent, mode)?;
            if let Some(row) = loaded.unopened.first() {
                return Err(SyncError::Unopened { row: row.clone() }.into());
            }
            let pins = self.vault.pins(&agent.name).map_err(SyncError::from)?;
            let (handing, chosen) = choose(&loaded.doc, &pins)?;
            if self.record_handing(agent, &loaded, &handing)? {
                return Ok((loaded, chosen));
            }
        }
        let path = agent.store_file();
        Err(SyncError::Contended { path }.into())
    }

    /// Whether the agent was still as it was loaded, and what was handed out is recorded.
    fn record_handing(
        &mut self,
        agent: &AgentRef,
        loaded: &Loaded,
        handing: &Handing,
    ) -> Result<bool, SyncError> {
        if handing.uses.is_empty() && handing.passed_over.is_empty() {
            return Ok(true);
        }
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        if tx.revision(&agent.name)? != loaded.revision {
            return Ok(false);
        }
        let handed = HandedOut {
            agent: &agent.name,
            command: handing.command,
            session: handing.session.as_deref(),
        };
        for (id, why) in &handing.passed_over {
            tx.note_passed_over(
                &handed,
                id,
                loaded.doc.credential(id.as_str()).as_ref(),
                why,
            )?;
        }
        for id in &handing.uses {
            if let Some(credential) = loaded.doc.credential(id.as_str()) {
                tx.note_use(&handed, id, &credential)?;
            }
        }
        tx.commit()?;
        Ok(true)
    }
}
