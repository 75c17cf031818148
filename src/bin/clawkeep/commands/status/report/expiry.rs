//! What expires when, by profile and by provider.

use std::cmp::Ordering;
use std::ops::Range;

use clawkeep::internal::domain::{Borrowed, CredentialType, ExpiryFault, UnixMs};
use clawkeep::internal::health::{AsOf, CredentialState, Health, assess_provider};
use clawkeep::internal::sync::{LoginReport, LoginState};
use clawkeep::internal::vault::GrantState;
use serde_json::Value;

use super::auth::display_label;
use super::inputs::{Inputs, Profile};
use crate::commands::status::collation::{CollationKey, locale_cmp};

#[derive(Debug)]
pub(super) struct ProfileExpiry {
    pub(super) id: String,
    pub(super) provider: String,
    pub(super) kind: CredentialType,
    pub(super) health: Health,
    /// The stored expiry if it is not a number.
    pub(super) odd_end: Option<Value>,
    /// The owner of the credential: `store`, `claude-cli` or `codex-cli`.
    pub(super) source: &'static str,
    pub(super) label: String,
    /// The state of its grant, if not normal.
    pub(super) grant: Option<GrantState>,
    /// Remarks on the other program's login that it mirrors, each in brackets.
    pub(super) marks: Vec<String>,
    /// The state of that login, in a word, where it is not in use as it is.
    pub(super) login: Option<&'static str>,
    /// When that login itself expires.
    pub(super) login_expires: Option<UnixMs>,
    /// What is wrong with the stored expiry.
    pub(super) expiry_fault: Option<ExpiryFault>,
    /// The program has logged out, and the user does not keep the login on purpose.
    pub(super) is_logged_out: bool,
    /// Whether it says when it expired; the reference says "expires in 0m".
    pub(super) says_when_expired: bool,
    /// Its program refreshes it, and the login behind it is not expiring.
    pub(super) is_refreshed: bool,
    /// The login behind it is expiring: a person has to log in.
    pub(super) is_login_expiring: bool,
}

#[derive(Debug)]
pub(super) struct ProviderExpiry {
    pub(super) provider: String,
    pub(super) health: Health,
    /// Where its profiles are in the list of all.
    pub(super) profiles: Range<usize>,
}

/// Every readable profile, sorted by provider, then id.
pub(super) fn of_profiles(inputs: &Inputs<'_>, readable: &[Profile<'_>]) -> Vec<ProfileExpiry> {
    let owner = |id: &str| Borrowed::owner_of(inputs.borrowed.get(id), id);
    let mut profiles: Vec<_> = readable
        .iter()
        .map(|(id, credential)| {
            let state = CredentialState::of(credential, inputs.as_of);
            let mut profile = ProfileExpiry {
                id: (*id).to_owned(),
                provider: credential.provider.trim().to_owned(),
                kind: credential.kind,
                health: state.health,
                odd_end: credential.odd_expiry().cloned(),
                source: owner(id).reported(),
                label: match inputs.borrowed.get(*id) {
                    Some(from) => format!(
                        "{} (borrowed from {})",
                        display_label(inputs.settings, id, credential),
                        from.lender()
                    ),
                    None => display_label(inputs.settings, id, credential),
                },
                grant: inputs.grants.get(*id).copied(),
                marks: Vec::new(),
                login: None,
                login_expires: None,
                expiry_fault: None,
                is_logged_out: false,
                says_when_expired: false,
                is_refreshed: false,
                is_login_expiring: false,
            };
            if let Some(logins) = inputs.logins {
                profile.mark(&state, logins, inputs.as_of);
            }
            profile
        })
        .collect();
    profiles.sort_by_cached_key(|profile| {
        let [provider, id] = [&profile.provider, &profile.id].map(|name| CollationKey::of(name));
        (provider, id)
    });
    profiles
}

impl ProfileExpiry {
    /// Adds what the reference does not report.
    fn mark(&mut self, state: &CredentialState<'_>, logins: &[LoginReport], as_of: AsOf) {
        // An OAuth login without an expiry is "unknown" already.
        self.expiry_fault = state.unreliable_expiry();
        self.says_when_expired = true;
        if let Some(fault) = self.expiry_fault {
            self.marks.push(format!("its expiry {}", fault.words()));
        }
        let own = |report: &&LoginReport| report.profile == self.id && !report.is_elsewhere;
        let Some(report) = logins.iter().find(own) else {
            return;
        };
        self.login = (report.state != LoginState::Usable).then(|| report.state.as_str());
        self.login_expires = report.login_expires;
        self.is_refreshed = report.is_refreshable_for(as_of.expiring_within, as_of.now);
        self.is_logged_out = report.is_logged_out() && !report.is_kept;
        let kept = if report.is_kept { ", kept" } else { "" };
        let state = match &report.state {
            LoginState::Usable | LoginState::OddExpiry(_) => None,
            LoginState::LoggedOut { .. } => Some("logged out"),
            LoginState::OtherAccount => Some("another account's login was not imported"),
            LoginState::OtherPlace => Some("another login was not imported"),
            LoginState::AccountChanged { is_known: true } => Some("another account's login now"),
            LoginState::AccountChanged { is_known: false } => Some("another login now"),
            LoginState::EarlierExpiry => {
                Some("a newer login that expires earlier was not imported")
            }
            LoginState::NotReadable(_) => Some("its file cannot be read"),
            LoginState::ApiKeyMode => Some("now in API-key mode"),
            LoginState::InKeyring => Some("now in the keyring"),
            LoginState::NoLogin => None,
            _ => Some("its file has no usable login"),
        };
        self.marks
            .extend(state.map(|state| format!("{state}{kept}")));
        if let Some(expires) = report.login_expires {
            let left = expires - as_of.now;
            self.is_login_expiring = left <= as_of.expiring_within;
            self.marks.push(format!("login {}", left.expiry()));
        }
    }
}

/// Every provider of `names`, which are sorted, in that order. `profiles` are sorted as
/// [`of_profiles`] sorts them.
pub(super) fn of_providers(
    names: &[String],
    profiles: &[ProfileExpiry],
    now: UnixMs,
) -> Vec<ProviderExpiry> {
    let mut start = 0;
    let entry = |name: &String| {
        let count = |from: usize, order: fn(Ordering) -> bool| {
            let rest = profiles[from..].iter();
            rest.take_while(|profile| order(locale_cmp(&profile.provider, name)))
                .count()
        };
        start += count(start, Ordering::is_lt);
        let own = start..start + count(start, Ordering::is_eq);
        let healths: Vec<_> = profiles[own.clone()]
            .iter()
            .map(|profile| (profile.kind, profile.health))
            .collect();
        ProviderExpiry {
            provider: name.clone(),
            health: assess_provider(&healths, now),
            profiles: own,
        }
    };
    names.iter().map(entry).collect()
}
