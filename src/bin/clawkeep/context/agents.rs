//! How agents are loaded, and what is reported of a load.

use std::path::PathBuf;

use clawkeep::internal::client::preferences_of;
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{Owner, ProviderId, StoreDoc};
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::selection::{Preferences, candidates};
use clawkeep::internal::sync::plan::Decision;
use clawkeep::internal::sync::{Loaded, Notice, SyncMode, queue_path};
use clawkeep::internal::vault::UnlockedVault;

use super::Context;
use crate::advice::shell_word;
use crate::failure::Failure;
use crate::terminal::notices;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::shown_id;

impl Context {
    /// Like [`Context::load`], without notices: the command itself reports them.
    pub(crate) fn load_silently(
        &self,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
    ) -> Result<Loaded, Failure> {
        let mode = self.mode_for(vault, agent)?;
        Ok(self.with_engine(vault, |engine| engine.load(agent, mode))?)
    }

    /// The queue of our own processes for an agent's store.
    pub(crate) fn queue_of(&self, agent: &AgentRef) -> PathBuf {
        let place = StorePlace::of_agent(&agent.dir);
        let site = place.map_or_else(|_| agent.store_file(), |place| place.site().to_owned());
        queue_path(&self.lock_dir(), &site)
    }

    /// Whether to ask the sources for an agent.
    pub(crate) fn mode_for(
        &self,
        vault: &UnlockedVault,
        agent: &AgentRef,
    ) -> Result<SyncMode, Failure> {
        if !self.is_unknown(vault, agent)? {
            return Ok(self.workspace.mode);
        }
        self.ui.note(&format!(
            "Note: there is no agent {} (no directory {}), so nothing was synced into one.",
            agent.name,
            agent.dir.display()
        ));
        Ok(SyncMode::Off)
    }

    /// The failure to report after a load's answer was printed.
    pub(crate) fn verdict(&self, loaded: Loaded) -> Result<(), Failure> {
        if !loaded.unopened.is_empty() {
            let rows = loaded.unopened;
            return Err(Failure::Unopened { rows });
        }
        match (loaded.not_written, loaded.not_removed) {
            (Some(error), _) => Err(Failure::NotWritten(error)),
            (None, Some(error)) => Err(Failure::NotRemoved(error)),
            (None, None) => match self.own() {
                Err(error) => Err(Failure::Undecided(error)),
                Ok(_) => Ok(()),
            },
        }
    }

    /// Reports that a plain-text copy was written for the first time, if a report shows the other
    /// notices.
    pub(crate) fn announce_plain_copies(&self, loaded: &Loaded) {
        let is_announced = |notice: &&Notice| matches!(notice, Notice::PlainCopy { .. });
        for notice in loaded.notices.iter().filter(is_announced) {
            if let Some(words) = notices::words_for(&self.layout, notice) {
                self.ui.note(&words);
            }
        }
    }

    /// Reports a login that a load imported and that is used from now on in place of another
    /// credential of its provider: another account answers, or pays.
    pub(crate) fn report_new_first(&self, loaded: &Loaded) {
        let Some(before) = loaded.before.as_ref().filter(|_| !is_called_as_gateway()) else {
            return;
        };
        let (now, settings) = (self.clock.now(), self.settings());
        for planned in &loaded.planned {
            let is_kept = matches!(planned.decision, Decision::Keep { .. });
            let credential = loaded.doc.credential(planned.profile);
            let Some(credential) = credential.filter(|_| !is_kept) else {
                continue;
            };
            let provider = ProviderId::new(credential.provider);
            let preferences = settings.as_ref().map_or_else(
                |_| Preferences::default(),
                |settings| preferences_of(settings, &provider),
            );
            let first = |doc: &StoreDoc| {
                let mut tried = candidates(doc, &preferences, &provider, None, now).into_iter();
                tried.find(|id| doc.credential(id.as_str()).is_some())
            };
            let (Some(was), Some(is)) = (first(before), first(&loaded.doc)) else {
                continue;
            };
            if was != is && is.as_str() == planned.profile {
                self.ui.note(&format!(
                    "Note: {is}, the login of {}, was imported and is used first of {provider} \
                     from now on, before {}. To use that one first: clawkeep use {}",
                    Owner::of(planned.profile).program(),
                    shown_id(was.as_str()),
                    shell_word(was.as_str())
                ));
            }
        }
    }

    /// Reports the notices of a load.
    pub(crate) fn report_load(&self, loaded: &Loaded) {
        self.report_new_first(loaded);
        for notice in &loaded.notices {
            // Agents that share a directory have the same notices about it.
            let is_new = match notice {
                Notice::Withheld { openclaw } => {
                    self.withheld.borrow_mut().insert(openclaw.root.clone())
                }
                _ => true,
            };
            if let Some(words) = notices::words_for(&self.layout, notice).filter(|_| is_new) {
                self.ui.note(&words);
            }
        }
        for planned in &loaded.planned {
            if planned.is_idle() {
                continue; // a program that is not used here
            }
            let (verdict, why) = planned.verdict();
            let profile = planned.profile;
            self.ui
                .detail(&format!("Sync: {profile} {verdict} ({why})"));
        }
    }
}
