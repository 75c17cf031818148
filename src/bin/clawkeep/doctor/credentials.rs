//! Checks the status of each credential, and the state of the grants behind the logins.

use std::cell::OnceCell;
use std::path::Path;

use super::evidence::{Evidence, ExaminedAgent};
use super::finding::Finding;
use super::finding_id::FindingId;
use crate::advice::shell_path;
use crate::advice::{Advised, Commands, describe_loss, of_agent, paste, remedy};
use clawkeep::internal::domain::{
    Borrowed, Credential, CredentialType, EntryFault, Misnamed, Owner, ProviderId, Section, Span,
    UnavailableReason, UnixMs, from_outside, unavailability,
};
use clawkeep::internal::health::{CredentialState, Loss, RefreshedBy, Status};
use clawkeep::internal::sync::StateReader;

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for examined in evidence
        .agents
        .iter()
        .filter(|examined| examined.agent.dir.is_dir())
    {
        let states = StateReader {
            vault: evidence.vault.unlocked(),
            agent: &examined.agent.name,
            doc: &examined.doc,
            providers: evidence.providers,
            logins: Some(&examined.logins),
            as_of: evidence.as_of,
            kept: OnceCell::new(),
        };
        for (id, credential) in examined.doc.credentials() {
            let subject = Subject {
                evidence,
                examined,
                states: &states,
                id,
                credential: &credential,
            };
            if credential.is_readable() {
                found.extend(subject.finding());
            }
        }
        found.extend(in_cooldown(examined, evidence.now));
    }
    found
}

/// A credential that is examined.
#[derive(Clone, Copy)]
struct Subject<'e> {
    evidence: &'e Evidence<'e>,
    examined: &'e ExaminedAgent,
    states: &'e StateReader<'e>,
    id: &'e str,
    credential: &'e Credential<'e>,
}

impl Subject<'_> {
    fn finding(self) -> Option<Finding> {
        let state = self.states.read(self.id, self.credential).or_else(|_| {
            // What the entry and the settings say, at least.
            let by_entry = StateReader {
                vault: None,
                kept: OnceCell::new(),
                ..*self.states
            };
            by_entry.read(self.id, self.credential)
        });
        let state = state.ok()?;
        let (kind, message, fix) = match (state.entry_fault, state.loss) {
            (Some(fault), _) => self.entry(fault, &state)?,
            // The remaining lifetime of a lost login matters less.
            (None, Some(loss)) => self.loss(loss, &state),
            // The time left until an invalid expiry means nothing.
            (None, None) => self.odd_expiry(&state).or_else(|| self.expiry(&state))?,
        };
        let message = match self.last_failure(kind, &state) {
            Some(failure) => format!("{message}; {failure}"),
            None => message,
        };
        let finding = Finding::new(kind, message)
            .agent(&self.examined.agent.name)
            .profile(self.id)
            .advice(fix);
        let is_about_entry = matches!(
            kind,
            FindingId::CredentialReference
                | FindingId::CredentialMisnamed
                | FindingId::CredentialMalformed
                | FindingId::CredentialExpiry
        );
        Some(match is_about_entry {
            true => finding.path(self.examined.agent.store_file()),
            false => finding,
        })
    }

    /// Says when and why the last refresh failed, if that is what the finding is about.
    fn last_failure(self, kind: FindingId, state: &CredentialState<'_>) -> Option<String> {
        match kind {
            FindingId::CredentialDead | FindingId::CredentialUncertain => {}
            FindingId::CredentialOverdue | FindingId::CredentialDue
                if state.refresher() == Some(RefreshedBy::Clawkeep) => {}
            _ => return None,
        }
        let failure = self.states.last_failure(self.id, self.credential);
        let failure = failure.ok().flatten()?;
        let ago = (failure.at - self.evidence.now).from_now();
        let reason = from_outside(&failure.reason.unwrap_or_default());
        Some(format!("its last refresh failed {ago} ({reason})"))
    }

    /// Reports an entry whose secret cannot be sent to a provider as it is.
    fn entry(
        self,
        fault: EntryFault<'_>,
        state: &CredentialState<'_>,
    ) -> Option<(FindingId, String, String)> {
        let id = self.id;
        Some(match fault {
            EntryFault::Reference(reference) => (
                FindingId::CredentialReference,
                format!(
                    "{id} holds no secret but a reference ({}): it is kept, and the program that \
                     wrote it looks it up",
                    clawkeep::internal::domain::escaped(&reference.describe())
                ),
                "No action is needed. clawkeep does not hand out or replace references.".to_owned(),
            ),
            EntryFault::Misnamed(found) => (
                FindingId::CredentialMisnamed,
                format!("{id} {}", misnamed(found)),
                rename(
                    found,
                    &self
                        .evidence
                        .layout
                        .shorten_home(&self.examined.agent.store_file()),
                ),
            ),
            EntryFault::BadSecret(fault) => (
                FindingId::CredentialMalformed,
                format!(
                    "the secret of {id} {fault}: it cannot be sent to a provider, and is not \
                     handed out"
                ),
                self.remedy(state),
            ),
            EntryFault::Empty => (
                FindingId::CredentialEmpty,
                format!("{id} holds no secret"),
                self.remedy(state),
            ),
            EntryFault::Unreadable => return None, // reported of the store
        })
    }

    /// Reports a login that cannot be refreshed any more, or perhaps cannot.
    fn loss(self, loss: Loss, state: &CredentialState<'_>) -> (FindingId, String, String) {
        let kind = match loss {
            Loss::Dead | Loss::Unopened => FindingId::CredentialDead,
            Loss::Spent => FindingId::CredentialSpent,
            Loss::Uncertain => FindingId::CredentialUncertain,
            Loss::Moved => FindingId::CredentialEndpoint,
        };
        let changed = match loss {
            Loss::Moved => self.states.changed_endpoint(self.id, self.credential).ok(),
            _ => None,
        };
        let message = match changed.flatten() {
            Some((pinned, now)) if pinned.origin == now.origin => format!(
                "{} is not refreshed, since the settings now say client {} instead of {}",
                self.id, now.client_id, pinned.client_id
            ),
            Some((pinned, now)) => format!(
                "{} is not refreshed, since the settings now say {} instead of {}",
                self.id, now.origin, pinned.origin
            ),
            None => describe_loss(loss, self.id),
        };
        (kind, message, self.remedy(state))
    }

    /// Reports an expiry that was written in a wrong form.
    fn odd_expiry(self, state: &CredentialState<'_>) -> Option<(FindingId, String, String)> {
        let fault = state.expiry_fault?;
        let owner = Owner::of(self.id);
        if fault.is_absent() && owner == Owner::Vault {
            return None; // an OAuth login without an expiry is a finding of its own
        }
        let stored = match self.credential.stored_expiry() {
            Some(value) => from_outside(&value.to_string()),
            None => "nothing".to_owned(),
        };
        let message = format!(
            "the expiry of {} {} (stored: {stored}; expected: milliseconds since 1970)",
            self.id,
            fault.words()
        );
        let fix = match owner {
            Owner::Vault if self.credential.kind == CredentialType::OAuth => {
                "Log in again with the program that wrote it; the next refresh corrects the \
                 expiry, too."
                    .to_owned()
            }
            Owner::Vault => {
                let provider = ProviderId::new(self.credential.provider);
                format!(
                    "Store the token again, with its lifetime: {}{} --expires-in 365d",
                    paste(self.id, &provider, self.credential.kind, Commands::Tree),
                    of_agent(&self.examined.agent.name)
                )
            }
            _ => format!("Log in again: {}", Owner::of(self.id).log_in()),
        };
        Some((FindingId::CredentialExpiry, message, fix))
    }

    /// Reports what has expired or does so soon.
    fn expiry(self, state: &CredentialState<'_>) -> Option<(FindingId, String, String)> {
        if let Some(from) = self.borrowed() {
            return Some(self.of_borrowed(from, state));
        }
        let (id, left) = (self.id, state.health.left().unwrap_or_default());
        let (left, ago) = (left.short(), left.from_now());
        let (kind, message) = match (state.health.status, state.refresher()) {
            (Status::Missing, _) => (
                FindingId::CredentialMissing,
                format!("{id} is not a usable login"),
            ),
            (Status::Expired, Some(_)) => (
                FindingId::CredentialOverdue,
                format!("{id} expired {ago} and has not been refreshed"),
            ),
            (Status::Expired, None) => {
                (FindingId::CredentialExpired, format!("{id} expired {ago}"))
            }
            // Its tokens last eight hours: they are always about to expire.
            (Status::Expiring, Some(RefreshedBy::Program(Owner::ClaudeCode))) => return None,
            (Status::Expiring, Some(_)) => {
                let fix = "It is refreshed when it is used.".to_owned();
                return Some((
                    FindingId::CredentialDue,
                    format!("{id} expires in {left}"),
                    fix,
                ));
            }
            (Status::Expiring, None) => (
                FindingId::CredentialExpiring,
                format!("{id} expires in {left}"),
            ),
            _ => return None,
        };
        Some((kind, message, self.remedy(state)))
    }

    /// Reports the status of a login that another program keeps.
    fn of_borrowed(
        self,
        from: &Borrowed,
        state: &CredentialState<'_>,
    ) -> (FindingId, String, String) {
        let layout = self.evidence.layout;
        let left = state.health.left().unwrap_or_default();
        let (kind, how) = match state.health.status {
            Status::Expired => (
                FindingId::CredentialOverdue,
                format!(" and {}", left.expiry()),
            ),
            Status::Expiring => (
                FindingId::CredentialBorrowed,
                format!(", {}", left.expiry()),
            ),
            _ => (FindingId::CredentialBorrowed, String::new()),
        };
        let message = format!(
            "{} is borrowed from {} ({}){how}; clawkeep never refreshes it",
            self.id,
            from.owner.program(),
            layout.shorten_home(Path::new(&from.path))
        );
        let fix = match kind {
            FindingId::CredentialOverdue => self.remedy(state),
            _ => format!(
                "No action is needed. To refresh it here instead: clawkeep import --own {}",
                shell_path(layout, Path::new(&from.path))
            ),
        };
        (kind, message, fix)
    }

    fn borrowed(&self) -> Option<&Borrowed> {
        self.examined.borrowed.get(self.id)
    }

    fn remedy(&self, state: &CredentialState<'_>) -> String {
        let advised = Advised {
            commands: Commands::Tree,
            agent: &self.examined.agent.name,
            id: self.id,
            credential: self.credential,
            borrowed: self.borrowed(),
            providers: self.evidence.providers,
        };
        remedy(state, advised)
    }
}

/// Describes an entry with a wrong field or type name, as half a sentence.
#[must_use]
pub(crate) fn misnamed(found: Misnamed<'_>) -> String {
    let written = clawkeep::internal::domain::escaped(found.written);
    match found.what {
        "type" => format!(
            "has the type \"{written}\"; the type is called \"{}\"",
            found.right
        ),
        _ if found.right == "type" => {
            format!("has its type in the field \"{written}\"; the field is called \"type\"")
        }
        _ => format!(
            "has its secret in the field \"{written}\"; the field is called \"{}\"",
            found.right
        ),
    }
}

pub(super) fn rename(found: Misnamed<'_>, store: &str) -> String {
    format!(
        "In {store}, rename the {} \"{}\" to \"{}\".",
        found.what,
        clawkeep::internal::domain::escaped(found.written),
        found.right
    )
}

/// Reports profiles that are in cooldown or disabled.
fn in_cooldown(examined: &ExaminedAgent, now: UnixMs) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, _) in examined.doc.entries(Section::Usage) {
        let Some(unavailability) = unavailability(&examined.doc, id, now) else {
            continue;
        };
        let kind = match unavailability.why {
            UnavailableReason::Cooldown => FindingId::CredentialCooldown,
            UnavailableReason::Disabled(_) => FindingId::CredentialDisabled,
        };
        let state = unavailability.state();
        let fix = if state.starts_with("disabled:billing") {
            "Top up credits (provider billing) or switch provider."
        } else {
            "Wait for cooldown or switch provider."
        };
        let left = Span::from_f64(unavailability.left_ms).short();
        found.push(
            Finding::new(kind, format!("{id}: {state} ({left})"))
                .agent(&examined.agent.name)
                .profile(id)
                .advice(fix),
        );
    }
    found
}
