//! Deciding about one source's login, and reporting what became of it.

use std::collections::BTreeMap;

use serde_json::Value;

use super::note::{SourceNote, is_same_account};
use super::planned::Planned;
use super::report::{LoginReport, LoginState};
use crate::audit::Origin;
use crate::domain::{
    AgentName, Credential, ExpiryFault, Mirror, Owner, Section, StoreDoc, UnixMs, path_of_text,
};
use crate::sources::{LoggedOut, Login, Reading};
use crate::sync::plan::{
    Decision, KeepReason, Relation, ReplaceReason, after_logout, by_account, by_expiry, chosen,
    mirror_entry,
};

/// Which rules decide about another program's login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rules {
    /// The reference's alone (`spec/compat.md`, Sync), as under the name `clawdbot`.
    Reference,
    /// This program's: the reference's, and no other account's login passes for a refresh.
    Own,
}

/// What deciding about sources goes by, besides what they say.
pub(crate) struct Planning<'p> {
    pub(crate) agent: &'p AgentName,
    pub(crate) notes: &'p BTreeMap<String, SourceNote>,
    /// Makes the fingerprint of an account.
    pub(crate) account: &'p dyn Fn(&str) -> String,
    pub(crate) rules: Rules,
    /// The profile for which the user chose the source's login.
    pub(crate) adopts: Option<&'p str>,
    pub(crate) now: UnixMs,
}

/// A source that was read.
pub(crate) struct Source<'r> {
    pub(crate) owner: Owner,
    pub(crate) mirror: &'static Mirror,
    /// What the source said.
    pub(crate) reading: &'r Reading<Login>,
    /// What distinguishes it from others: its file's path.
    pub(crate) place: String,
    /// Where its login was found, for a person: the file, or the keychain item.
    pub(crate) shown: String,
    pub(crate) account: Option<String>,
    /// Whether the agent has another credential for what the program is used for.
    pub(crate) is_served: bool,
    /// Whether the program's API key was imported.
    pub(crate) is_key_imported: bool,
}

impl Planning<'_> {
    fn note(&self, profile: &str) -> Option<&SourceNote> {
        self.notes.get(profile)
    }

    /// Whether the account has to be known: the login differs from the stored one, or it is not
    /// known yet whose the stored one is.
    pub(crate) fn asks_for_account(&self, profile: &str, place: &str, decision: &Decision) -> bool {
        let is_same = matches!(
            decision,
            Decision::Keep {
                why: KeepReason::Same | KeepReason::SameLogin
            }
        );
        let from = self.note(profile).and_then(|note| note.from.as_ref());
        let is_known = from.is_some_and(|from| from.place != place || from.account.is_some());
        !is_same || !is_known
    }

    /// How a source's login relates to the stored one.
    fn relation(&self, source: &Source<'_>) -> Relation {
        let from = self
            .note(source.mirror.profile)
            .and_then(|note| note.from.as_ref());
        let Some(from) = from else {
            return Relation::Same;
        };
        let is_here = from.place == source.place;
        match is_same_account(from.account.as_deref(), source.account.as_deref()) {
            Some(true) => Relation::Same,
            Some(false) if !is_here && path_of_text(&from.place).exists() => {
                Relation::OtherAccountBeside
            }
            Some(false) => Relation::OtherAccount,
            None if is_here => Relation::Same,
            None => Relation::Unknown,
        }
    }

    /// Whether the stored login came from a source that was logged out when it was read last.
    fn is_back(&self, source: &Source<'_>) -> bool {
        self.note(source.mirror.profile)
            .is_some_and(|note| note.is_from(&source.place) && note.is_logged_out(&source.place))
    }

    /// What is wrong with the expiry that a source notes.
    fn expiry_fault(&self, source: &Source<'_>) -> Option<ExpiryFault> {
        let login = source
            .reading
            .found()
            .filter(|_| source.mirror.is_expiry_noted)?;
        ExpiryFault::of_ms(login.expires.ms(), self.now)
    }

    pub(crate) fn decide(
        &self,
        source: Source<'_>,
        stored: Option<&Value>,
        decision: Decision,
    ) -> (Planned, Option<LoginReport>) {
        let entry = source.reading.found();
        let entry = entry.map(|login| mirror_entry(source.mirror, login));
        let decision = match self.rules {
            Rules::Reference => decision,
            Rules::Own if self.adopts == Some(source.mirror.profile) => {
                let is_stored_already = matches!(
                    decision,
                    Decision::Keep {
                        why: KeepReason::Same | KeepReason::SameLogin
                    }
                );
                chosen(decision, entry.filter(|_| !is_stored_already))
            }
            Rules::Own => {
                let faults = (
                    stored.and_then(|stored| ExpiryFault::of(&Credential::of(stored), self.now)),
                    self.expiry_fault(&source),
                );
                let decision = match self.is_back(&source) && faults.1.is_none() {
                    true => after_logout(decision, entry),
                    false => by_expiry(decision, faults, entry),
                };
                by_account(decision, self.relation(&source))
            }
        };
        let report = self.report(&source, stored, &decision);
        let planned = Planned {
            profile: source.mirror.profile,
            origin: Origin::Source(source.owner),
            decision,
            place: source.place,
            account: source.account,
        };
        (planned, report)
    }

    /// What became of a source's login; nothing where the program is not in use and never was.
    fn report(
        &self,
        source: &Source<'_>,
        stored: Option<&Value>,
        decision: &Decision,
    ) -> Option<LoginReport> {
        let note = self.note(source.mirror.profile);
        let was_here = note.is_some_and(|note| note.is_from(&source.place));
        let has_stored = stored.is_some();
        let state = match (source.reading, decision) {
            (Reading::Damaged(fault), _) => LoginState::NotReadable(fault.clone()),
            (Reading::Absent, _) if was_here && has_stored => {
                LoginState::LoggedOut { is_gone: true }
            }
            (Reading::Absent, _) => return None,
            (Reading::LoggedOut(why), _) => match why {
                LoggedOut::NoExpiry(fault) => LoginState::OddExpiry(*fault),
                LoggedOut::NoRefreshToken => LoginState::NoRefreshToken,
                LoggedOut::ApiKeyMode if source.is_key_imported => return None,
                LoggedOut::ApiKeyMode => LoginState::ApiKeyMode,
                LoggedOut::InKeyring => LoginState::InKeyring,
                // A stub in another directory is no logout of the login that is stored.
                _ if has_stored && (was_here || note.is_none_or(|note| note.from.is_none())) => {
                    LoginState::LoggedOut { is_gone: false }
                }
                _ if !has_stored && !source.is_served => LoginState::NoLogin,
                _ => return None,
            },
            (Reading::Found(_), decision) => {
                let fault = self.expiry_fault(source);
                let unannounced = note.and_then(|note| note.unannounced.as_deref());
                match (fault, decision) {
                    (Some(fault), _) => LoginState::OddExpiry(fault),
                    (None, Decision::Keep { why }) => match (why, unannounced) {
                        (KeepReason::OtherAccount, _) => LoginState::OtherAccount,
                        (KeepReason::OtherPlace, _) => LoginState::OtherPlace,
                        (KeepReason::StoredLater, _) => LoginState::EarlierExpiry,
                        (_, Some(why)) if has_stored => LoginState::AccountChanged {
                            is_known: why == ReplaceReason::OtherAccount.as_str(),
                        },
                        _ => LoginState::Usable,
                    },
                    (None, _) => LoginState::Usable,
                }
            }
        };
        let is_kept = match decision {
            Decision::Keep { why } => note.is_some_and(|note| {
                note.is_kept(&source.place, why.as_str(), source.account.as_ref())
            }),
            _ => false,
        };
        let is_in_use = matches!(
            state,
            LoginState::Usable | LoginState::AccountChanged { .. } | LoginState::OddExpiry(_)
        );
        let login_expires = source.reading.found().and_then(|login| login.login_expires);
        let is_change = matches!(state, LoginState::AccountChanged { .. });
        Some(LoginReport {
            is_kept,
            is_warned: is_change && note.is_some_and(|note| note.is_warned),
            is_elsewhere: false,
            is_served: source.is_served,
            login_expires: login_expires
                .filter(|_| is_in_use)
                .map(|at| UnixMs(at.floor_ms())),
            ..self.blank(source.mirror.profile, &source.shown, state, stored)
        })
    }

    fn blank(
        &self,
        profile: &'static str,
        place: &str,
        state: LoginState,
        stored: Option<&Value>,
    ) -> LoginReport {
        let until = stored.and_then(|stored| Credential::of(stored).expiry());
        LoginReport {
            agent: self.agent.clone(),
            profile,
            place: place.to_owned(),
            state,
            stored_until: until
                .filter(|at| at.ms() > 0.0)
                .map(|at| UnixMs(at.floor_ms())),
            is_stored: stored.is_some(),
            is_kept: false,
            is_warned: false,
            is_elsewhere: true,
            is_served: false,
            login_expires: None,
        }
    }

    /// What is noted of the other places where the same program was found logged in.
    pub(crate) fn elsewhere(&self, planned: &Planned, doc: &StoreDoc) -> Vec<LoginReport> {
        let stored = doc.get(Section::Profiles, planned.profile);
        let Some(note) = self.note(planned.profile).filter(|_| stored.is_some()) else {
            return Vec::new();
        };
        let others = note.elsewhere(&planned.place);
        let report = |(place, state, is_kept): (&str, LoginState, bool)| LoginReport {
            is_kept,
            ..self.blank(planned.profile, place, state, stored)
        };
        others.map(report).collect()
    }
}
