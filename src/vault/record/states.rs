//! What the record says of things that plain columns of earlier schemas hold: read once, when such
//! a vault is upgraded.

use std::collections::{BTreeMap, BTreeSet};

use rusqlite::Connection;
use serde_json::Value;

use super::history::through_sql;
use crate::audit::{Event, EventKind};
use crate::domain::{Fingerprint, UnixMs, from_outside};
use crate::vault::log::events::Labels;
use crate::vault::store::grants::{Grant, GrantState};

/// An agent and a profile.
type Subject = (String, String);

/// A grant, as the record has it.
struct Recorded {
    grant: Grant,
    /// Whether the refresh token might have been spent before the refresh that was begun last.
    was_uncertain: bool,
    /// The event that says so, and whom it is about.
    seq: i64,
    subject: Option<Subject>,
}

/// What is newest of a profile.
struct Newest {
    generation: i64,
    seq: i64,
    provider: String,
    /// The first event since it was not there.
    since: Option<i64>,
    is_expiry_noted: bool,
}

#[derive(Default)]
pub(in crate::vault) struct RecordSays {
    /// Whether the rows were listed before.
    pub(in crate::vault) was_upgraded: bool,
    grants: BTreeMap<[u8; 10], Recorded>,
    profiles: BTreeMap<Subject, Newest>,
    /// By agent, session and provider: the profile, and when.
    pins: BTreeMap<(String, String, String), (String, i64)>,
    skips: BTreeMap<Subject, String>,
    /// By agent: the store files that were written or read.
    paths: BTreeSet<(String, String)>,
}

impl RecordSays {
    /// Reads the whole record. It must have been verified in the same transaction.
    pub(in crate::vault) fn read(conn: &Connection) -> rusqlite::Result<Self> {
        let mut says = Self::default();
        let mut labels = Labels::default();
        let mut select = conn.prepare(&through_sql("ASC"))?;
        let mut rows = select.query([i64::MIN, i64::MAX])?;
        while let Some(row) = rows.next()? {
            says.add(&labels.read(conn, row)?);
        }
        Ok(says)
    }

    fn add(&mut self, event: &Event) {
        let detail: Value = event
            .detail
            .as_deref()
            .and_then(|detail| serde_json::from_str(detail).ok())
            .unwrap_or_default();
        let subject = event.agent.as_deref().zip(event.profile.as_deref());
        let subject = subject.map(|(agent, profile)| (agent.to_owned(), profile.to_owned()));
        let kind = EventKind::from_name(&event.kind);
        if let (Some(generation), Some(subject)) = (event.generation, &subject) {
            let is_removed = kind == Some(EventKind::ProfileRemoved);
            let before = self.profiles.get(subject).and_then(|newest| newest.since);
            let newest = Newest {
                generation,
                seq: event.seq.0,
                provider: event.provider.as_deref().unwrap_or_default().to_owned(),
                since: (!is_removed).then(|| before.unwrap_or(event.seq.0)),
                is_expiry_noted: false,
            };
            self.profiles.insert(subject.clone(), newest);
        }
        match kind {
            Some(EventKind::VaultUpgraded) => self.was_upgraded = true,
            Some(EventKind::ExportWritten | EventKind::StoreMerged | EventKind::ImportApplied) => {
                if let (Some(agent), Some(path)) = (&event.agent, detail["path"].as_str()) {
                    self.paths.insert((agent.to_string(), path.to_owned()));
                }
            }
            Some(
                EventKind::RefreshStarted
                | EventKind::RefreshSucceeded
                | EventKind::RefreshFailed
                | EventKind::RefreshInterrupted
                | EventKind::RefreshSuperseded,
            ) => self.add_refresh(kind, event, &detail, subject),
            Some(EventKind::ExpiryExpired) => {
                if let Some(newest) = subject.and_then(|subject| self.profiles.get_mut(&subject)) {
                    newest.is_expiry_noted = true;
                }
            }
            Some(EventKind::SyncSkipped) => {
                if let Some(subject) = subject {
                    let why = detail["why"].as_str().unwrap_or_default();
                    self.skips.insert(subject, why.to_owned());
                }
            }
            Some(EventKind::SessionPinned | EventKind::SessionUnpinned) => {
                let (Some((agent, profile)), Some(session)) = (subject, &event.session) else {
                    return;
                };
                let provider = event.provider.as_deref().unwrap_or_default().to_owned();
                let pin = (agent, session.to_string(), provider);
                if kind == Some(EventKind::SessionPinned) {
                    self.pins.insert(pin, (profile, event.at.0));
                } else {
                    self.pins.remove(&pin);
                }
            }
            _ => {}
        }
    }

    fn add_refresh(
        &mut self,
        kind: Option<EventKind>,
        event: &Event,
        detail: &Value,
        subject: Option<Subject>,
    ) {
        let Some(print) = detail["grant"].as_str().and_then(parse) else {
            return;
        };
        let next = detail["next"].as_str().and_then(parse);
        let before = self.grants.get(&print.to_bytes());
        let was_uncertain = match kind {
            Some(EventKind::RefreshStarted) => {
                matches!(detail["was"].as_str(), Some("uncertain" | "started"))
            }
            _ => before.is_some_and(|before| before.was_uncertain),
        };
        let state = match kind {
            Some(EventKind::RefreshStarted) => GrantState::Started,
            Some(EventKind::RefreshInterrupted) => GrantState::Uncertain,
            Some(EventKind::RefreshFailed) => match detail["class"].as_str() {
                Some("dead") => GrantState::Dead,
                Some("uncertain") => GrantState::Uncertain,
                _ if was_uncertain => GrantState::Uncertain,
                _ => GrantState::Free,
            },
            _ if next.is_some() => GrantState::Spent,
            _ => GrantState::Free,
        };
        let recorded = Recorded {
            grant: Grant {
                state,
                fence: detail["fence"].as_i64().unwrap_or_default(),
                failed: (kind == Some(EventKind::RefreshFailed))
                    .then(|| detail["class"].as_str().map(str::to_owned))
                    .flatten(),
                not_before: detail["until"].as_i64().map(UnixMs),
                successor: next,
            },
            was_uncertain,
            seq: event.seq.0,
            subject,
        };
        self.grants.insert(print.to_bytes(), recorded);
    }

    /// The state that the record has of a grant. One that was dead or uncertain when a newer
    /// credential came is not so any more: a login may have brought the same token.
    fn state_of(&self, recorded: &Recorded) -> GrantState {
        let state = recorded.grant.state;
        let newest = recorded
            .subject
            .as_ref()
            .and_then(|subject| self.profiles.get(subject));
        let is_over =
            newest.is_some_and(|newest| newest.since.is_some() && newest.seq > recorded.seq);
        match state {
            GrantState::Dead | GrantState::Uncertain if is_over => GrantState::Free,
            state => state,
        }
    }

    /// What a grant is to be, by its row and the record: of two states the one in which less is
    /// sent; all else is the record's.
    pub(in crate::vault) fn settle(&self, print: Fingerprint, row: &Grant) -> Grant {
        let recorded = self.grants.get(&print.to_bytes());
        let state = recorded.map_or(GrantState::Free, |recorded| self.state_of(recorded));
        Grant {
            state: if state.caution() > row.state.caution() {
                state
            } else {
                row.state
            },
            fence: recorded.map_or(0, |recorded| recorded.grant.fence),
            failed: recorded.and_then(|recorded| recorded.grant.failed.clone()),
            not_before: recorded.and_then(|recorded| recorded.grant.not_before),
            successor: recorded.and_then(|recorded| recorded.grant.successor),
        }
    }

    /// The grants that the record has and `rows` have not.
    pub(in crate::vault) fn grants_among<'s>(
        &'s self,
        rows: &'s [(Fingerprint, Grant)],
    ) -> impl Iterator<Item = (Fingerprint, Grant)> + 's {
        let missing = self.grants.iter().filter(|(print, _)| {
            let print = Fingerprint::from_bytes(&print[..]);
            !rows.iter().any(|(known, _)| Some(*known) == print)
        });
        missing.filter_map(|(print, recorded)| {
            let grant = Grant {
                state: self.state_of(recorded),
                ..recorded.grant.clone()
            };
            Some((Fingerprint::from_bytes(&print[..])?, grant))
        })
    }

    /// The agents that had a credential.
    pub(in crate::vault) fn agents(&self) -> BTreeSet<&str> {
        self.profiles
            .keys()
            .map(|(agent, _)| agent.as_str())
            .collect()
    }

    fn newest(&self, agent: &str, profile: &str) -> Option<&Newest> {
        self.profiles.get(&(agent.to_owned(), profile.to_owned()))
    }

    pub(in crate::vault) fn newest_generation(&self, agent: &str, profile: &str) -> Option<i64> {
        self.newest(agent, profile).map(|newest| newest.generation)
    }

    pub(in crate::vault) fn provider_of(&self, agent: &str, profile: &str) -> String {
        let newest = self.newest(agent, profile);
        newest.map_or_else(String::new, |newest| newest.provider.clone())
    }

    pub(in crate::vault) fn is_expiry_noted(&self, agent: &str, profile: &str) -> bool {
        self.newest(agent, profile)
            .is_some_and(|newest| newest.is_expiry_noted)
    }

    /// An agent's profiles, in the order in which they came.
    pub(in crate::vault) fn order_of(&self, agent: &str) -> Vec<&str> {
        let mut profiles: Vec<(i64, &str)> = self
            .profiles
            .iter()
            .filter(|((of, _), _)| of == agent)
            .filter_map(|((_, profile), newest)| Some((newest.since?, profile.as_str())))
            .collect();
        profiles.sort_unstable();
        profiles.into_iter().map(|(_, profile)| profile).collect()
    }

    /// An agent's pins: session, provider, profile, and since when.
    pub(in crate::vault) fn pins_of(
        &self,
        agent: &str,
    ) -> impl Iterator<Item = (&str, &str, &str, i64)> {
        self.pins
            .iter()
            .filter(move |((of, ..), _)| of == agent)
            .map(|((_, session, provider), (profile, at))| {
                (session.as_str(), provider.as_str(), profile.as_str(), *at)
            })
    }

    pub(in crate::vault) fn skip_of(&self, agent: &str, profile: &str) -> Option<&str> {
        let skip = self.skips.get(&(agent.to_owned(), profile.to_owned()));
        skip.map(String::as_str)
    }

    /// Whether the record knows of a store file of the agent there.
    pub(in crate::vault) fn has_path(&self, agent: &str, path: &str) -> bool {
        let path = from_outside(path);
        self.paths.contains(&(agent.to_owned(), path))
    }

    /// The profiles that an agent has, as the record knows.
    pub(in crate::vault) fn present_of(&self, agent: &str) -> impl Iterator<Item = &str> {
        self.profiles
            .iter()
            .filter(move |((of, _), newest)| of == agent && newest.since.is_some())
            .map(|((_, profile), _)| profile.as_str())
    }
}

/// The reverse of a fingerprint's `Display`.
fn parse(text: &str) -> Option<Fingerprint> {
    let (number, digest) = text.split_once(':')?;
    let digest = data_encoding::HEXLOWER.decode(digest.as_bytes()).ok()?;
    Some(Fingerprint {
        key_number: number.parse().ok()?,
        digest: digest.try_into().ok()?,
    })
}
