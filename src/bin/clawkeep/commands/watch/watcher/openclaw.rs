//! OpenClaw keeps the keys that it got until it reloads its secrets: `watch` makes it reload when a
//! key changes.

use clawkeep::internal::domain::CredentialType;
use clawkeep::internal::platform::start_thread;

use super::Watcher;
use super::log::in_a_line;
use super::retry::no_thread;
use super::state::{PassReport, Wake};
use crate::commands::connect::openclaw::program::OpenClaw;
use crate::commands::connect::openclaw::{installed, is_connected};
use crate::failure::Failure;

impl Watcher<'_> {
    /// Tells OpenClaw to ask for its keys again, if one has changed since the last pass.
    pub(super) fn feed_openclaw(&mut self, report: &PassReport) {
        if self.is_single || !is_connected(self.context) {
            self.feed.known = None;
            return;
        }
        let Some((vault, _)) = &self.vault else {
            return;
        };
        let mut keys = self.feed.known.clone().unwrap_or_default();
        for (agent, doc) in &report.agents {
            let of_agent = doc.credentials().filter_map(|(id, credential)| {
                let secret = credential.expose_secret()?;
                let is_static = credential.kind != CredentialType::OAuth;
                is_static.then(|| (id.to_owned(), vault.fingerprint(secret)))
            });
            if agent.name.openclaw_id().is_none() {
                keys.insert(agent.name.clone(), of_agent.collect());
            }
        }
        let is_first = self.feed.known.is_none();
        let is_changed = self.feed.known.as_ref() != Some(&keys);
        self.feed.known = Some(keys);
        if is_first && let Err(failure) = installed::keep_current(&self.context.layout) {
            self.log.warn(&format!("OpenClaw: {}", in_a_line(&failure)));
        }
        if is_changed {
            self.tell_openclaw();
        }
    }

    fn tell_openclaw(&mut self) {
        if self.feed.is_under_way {
            self.feed.is_due = true;
            return;
        }
        let openclaw = match OpenClaw::find(self.context) {
            Ok(openclaw) => openclaw,
            Err(failure) => return self.log.warn(&format!("OpenClaw: {}", in_a_line(&failure))),
        };
        let sender = self.sender.clone();
        let tell = move || {
            // No receiver is left while the process exits.
            let _ = sender.send(Wake::Told(openclaw.reload().map_err(Box::new)));
        };
        match start_thread("openclaw", tell) {
            Ok(_) => self.feed.is_under_way = true,
            Err(error) => self.log.warn(&in_a_line(&no_thread(&error))),
        }
    }

    /// Logs how it went, and tells OpenClaw again if keys have changed meanwhile.
    pub(super) fn note_told(&mut self, told: Result<(), Box<Failure>>) {
        self.feed.is_under_way = false;
        match told {
            Ok(()) => self.log.event("OpenClaw has asked for its keys again"),
            Err(failure) => self.log.event(&format!(
                "OpenClaw was not told of a changed key: {}. A gateway that starts asks itself",
                in_a_line(&failure).trim_end_matches('.')
            )),
        }
        if std::mem::take(&mut self.feed.is_due) {
            self.tell_openclaw();
        }
    }
}
