//! The earlier messages about a subject: the newest `alert.sent` and the failures since.

use std::collections::BTreeMap;

use serde_json::Value;

use super::message::Message;
use super::reason::GOOD;
use super::subject::Subject;
use crate::audit::{Event, EventDraft, EventKind, Filter, KindFilter, Origin, Outcome};
use crate::domain::{AgentName, ProfileId, Seq, UnixMs, from_outside};
use crate::platform::{Actor, Clock};
use crate::vault::{UnlockedVault, Vault, VaultError};

/// The earlier messages about one subject to one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectHistory {
    /// The state that was last delivered, and when.
    pub sent: Option<(String, UnixMs)>,
    /// The delivery that failed since then, if any.
    pub failed: Option<Failed>,
    /// What a trouble of the host was called.
    pub title: Option<String>,
}

/// A message that could not be delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failed {
    /// The state that could not be delivered.
    pub state: String,
    /// How often it was tried.
    pub attempt: u32,
    /// When it is to be tried next.
    pub retry_at: UnixMs,
    /// A digest of how the target was reached then, where it is known.
    pub settings: Option<String>,
}

/// The earlier messages to one target, by subject.
pub type TargetHistory = BTreeMap<Subject, SubjectHistory>;

/// A delivery of a message, or its failure.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name of the target.
    pub target: String,
    /// The subject of the message.
    pub subject: Subject,
    /// The provider of a credential.
    pub provider: String,
    /// The state that the message reported.
    pub state: String,
    /// What it was called, of the host.
    pub title: Option<String>,
    /// The time of the delivery or failure.
    pub at: UnixMs,
    /// Why the delivery failed, the number of attempts, and when to try next.
    pub failed: Option<(String, u32, UnixMs)>,
    /// A digest of how the target was reached then, where it is known.
    pub settings: Option<String>,
}

impl Entry {
    /// What came of delivering a message, for each subject that it is about.
    pub(super) fn all(
        target: &str,
        message: &Message,
        at: UnixMs,
        failed: Option<&(String, u32, UnixMs)>,
    ) -> Vec<Self> {
        let of = |(at_index, subject): (usize, &Subject)| Self {
            target: target.to_owned(),
            subject: subject.clone(),
            provider: message.providers.get(at_index).cloned().unwrap_or_default(),
            state: message.state.clone(),
            title: message.trouble_title().map(str::to_owned),
            at,
            failed: failed.cloned(),
            settings: None,
        };
        message.subjects.iter().enumerate().map(of).collect()
    }

    /// As an event, and the agent it is about.
    #[must_use]
    pub fn draft(&self) -> (Option<AgentName>, EventDraft) {
        let kind = match self.failed {
            None => EventKind::AlertSent,
            Some(_) => EventKind::AlertFailed,
        };
        let mut draft = EventDraft::new(kind, Origin::Clawkeep)
            .detail("target", from_outside(&self.target))
            .detail("state", self.state.as_str());
        if let Some((why, attempt, retry_at)) = &self.failed {
            draft = draft
                .outcome(Outcome::Failed)
                .detail("why", from_outside(why))
                .detail("attempt", *attempt)
                .detail("retryAt", retry_at.0);
            if let Some(settings) = &self.settings {
                draft = draft.detail("settings", settings.as_str());
            }
        }
        match &self.subject {
            Subject::Credential(agent, profile) => {
                (Some(agent.clone()), draft.profile(profile, &self.provider))
            }
            Subject::Host(key) => {
                let draft = draft.detail("key", key.as_str());
                let title = self.title.as_deref().map(from_outside);
                let draft = match title {
                    Some(title) => draft.detail("title", title),
                    None => draft,
                };
                (None, draft)
            }
        }
    }

    /// Reads an entry from its event; `None` for events of other kinds.
    #[must_use]
    pub fn of(event: &Event) -> Option<Self> {
        let detail: Value = serde_json::from_str(event.detail.as_deref()?).ok()?;
        let text = |name: &str| detail.get(name).and_then(Value::as_str).map(str::to_owned);
        let subject = match (&event.agent, &event.profile) {
            (Some(agent), Some(profile)) => Subject::Credential(
                AgentName::from_stored(agent.to_string()),
                ProfileId::new(profile.to_string()),
            ),
            _ => Subject::Host(text("key")?),
        };
        let failed = (*event.kind == *EventKind::AlertFailed.as_str()).then(|| {
            let number = |name: &str| detail.get(name).and_then(Value::as_i64).unwrap_or(0);
            let attempt = u32::try_from(number("attempt")).unwrap_or(1);
            (
                text("why").unwrap_or_default(),
                attempt,
                UnixMs(number("retryAt")),
            )
        });
        Some(Self {
            target: text("target")?,
            subject,
            provider: event.provider.as_deref().unwrap_or_default().to_owned(),
            state: text("state")?,
            title: text("title"),
            at: event.at,
            failed,
            settings: text("settings"),
        })
    }

    pub(super) fn apply(&self, all: &mut BTreeMap<String, TargetHistory>) {
        let of = all.entry(self.target.clone()).or_default();
        let history = of.entry(self.subject.clone()).or_default();
        if self.title.is_some() {
            history.title.clone_from(&self.title);
        }
        match &self.failed {
            Some((_, attempt, retry_at)) => {
                history.failed = Some(Failed {
                    state: self.state.clone(),
                    attempt: *attempt,
                    retry_at: *retry_at,
                    settings: self.settings.clone(),
                });
            }
            None => {
                history.failed = None;
                history.sent = Some((self.state.clone(), self.at));
            }
        }
        // No problem is open: as if there had never been one.
        let is_over = |history: &SubjectHistory| {
            history.failed.is_none()
                && history
                    .sent
                    .as_ref()
                    .is_some_and(|(state, _)| state == GOOD)
        };
        if of.get(&self.subject).is_some_and(is_over) {
            of.remove(&self.subject);
        }
    }
}

/// What was recorded after `last_seq` (or ever), oldest first, and the newest event there is of
/// that kind. Goes by the index of kinds.
pub(super) fn recorded(
    vault: &Vault,
    last_seq: Option<Seq>,
) -> Result<(Vec<Entry>, Option<Seq>), VaultError> {
    let filter = Filter {
        kinds: vec![
            KindFilter::only(EventKind::AlertSent),
            KindFilter::only(EventKind::AlertFailed),
        ],
        ..Filter::default()
    };
    let mut entries = Vec::new();
    let mut newest = last_seq;
    for event in vault.history(&filter)? {
        let event = event?;
        if last_seq.is_some_and(|last_seq| event.seq <= last_seq) {
            break;
        }
        newest = newest.max(Some(event.seq));
        entries.extend(Entry::of(&event));
    }
    entries.reverse();
    Ok((entries, newest))
}

/// Records what became of messages.
pub(super) fn append(
    vault: &mut UnlockedVault,
    entries: &[Entry],
    actor: &Actor,
    clock: Clock,
) -> Result<(), VaultError> {
    let mut tx = vault.begin(actor, clock)?;
    for entry in entries {
        let (agent, draft) = entry.draft();
        tx.append(agent.as_ref(), draft)?;
    }
    tx.commit()
}
