//! Handing a secret out: chosen from what the agent has now, and recorded before anybody gets it.

use crate::config::AgentRef;
use crate::domain::ProfileId;
use crate::platform::FileError;
use crate::sync::engine::{Engine, Loaded, SyncMode};
use crate::sync::error::SyncError;
use crate::sync::refresh::{NotRenewed, Renewal};
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
    /// Logins to be refreshed first. While there are any, nothing is handed out; it is chosen again then.
    pub due: Vec<ProfileId>,
}

/// What became of the logins that were to be refreshed before something is handed out.
#[derive(Debug, Default)]
pub struct Renewals {
    renewed: Vec<ProfileId>,
    not_renewed: Vec<(ProfileId, NotRenewed)>,
    /// The stores that could not be written then. The vault has everything; the next load tries again.
    pub not_written: Vec<FileError>,
}

impl Renewals {
    /// Whether it was tried.
    #[must_use]
    pub fn was_tried(&self, id: &ProfileId) -> bool {
        self.renewed.contains(id) || self.why_not(id).is_some()
    }

    /// Why a login that was to be refreshed was not.
    #[must_use]
    pub fn why_not(&self, id: &ProfileId) -> Option<&NotRenewed> {
        let mut not_renewed = self.not_renewed.iter();
        not_renewed
            .find(|(known, _)| known == id)
            .map(|(_, why)| why)
    }

    /// Those that were refreshed, by this process or by another one meanwhile.
    #[must_use]
    pub fn renewed(&self) -> &[ProfileId] {
        &self.renewed
    }

    fn note(&mut self, id: ProfileId, renewal: Renewal) {
        match renewal {
            Renewal::Lasts => self.renewed.push(id),
            Renewal::Renewed(not_written) => {
                self.not_written.extend(not_written);
                self.renewed.push(id);
            }
            Renewal::Not(why) => self.not_renewed.push((id, why)),
        }
    }
}

impl Engine<'_> {
    /// Loads an agent and lets `choose` decide what of it is handed out. Where rows are [damaged](Loaded::damage), `choose` refuses
    /// what may depend on them. That is committed to the record before this returns, and
    /// only if the credentials are still those that were chosen from; else it is chosen again.
    ///
    /// Logins that are [due](Handing::due) are refreshed first, by `renew`, each once. Where nothing is handed out, what was passed
    /// over is recorded all the same.
    ///
    /// # Errors
    /// As [`Engine::load`]; when the event cannot be recorded; and whatever `choose` or `renew` refuses. Nothing may be handed out
    /// then.
    pub fn hand_out<T, E: From<SyncError>>(
        &mut self,
        agent: &AgentRef,
        mode: SyncMode,
        choose: impl Fn(&Loaded, &[Pin], &Renewals) -> Result<(Handing, T), E>,
        renew: impl Fn(&mut Self, &ProfileId) -> Result<Renewal, E>,
    ) -> Result<(Loaded, T, Renewals), E> {
        let mut renewals = Renewals::default();
        let mut rounds = 0;
        while rounds < ROUNDS_MAX {
            let loaded = self.load(agent, mode)?;
            let pins = match loaded.damage.pins || loaded.damage.frame {
                true => Vec::new(),
                false => self.vault.pins(&agent.name).map_err(SyncError::from)?,
            };
            let (handing, chosen) = choose(&loaded, &pins, &renewals)?;
            let due = handing.due.iter().filter(|id| !renewals.was_tried(id));
            let due: Vec<ProfileId> = due.cloned().collect();
            if !due.is_empty() {
                self.told.extend(
                    loaded
                        .notices
                        .into_iter()
                        .filter(|notice| !notice.is_about_sources()),
                );
                for id in due {
                    let renewal = renew(self, &id)?;
                    renewals.note(id, renewal);
                }
                continue;
            }
            if self.record_handing(agent, &loaded, &handing)? {
                return Ok((loaded, chosen, renewals));
            }
            rounds += 1;
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
