//! Chooses the credential that a request is answered with. Pure: an agent as it was loaded in, a
//! choice out.

use std::collections::BTreeMap;

use super::request::{Request, TokenOptions, id_in};
use crate::config::{Fallback, Settings};
use crate::domain::{
    Borrowed, Credential, CredentialType, Owner, ProfileId, ProviderId, StoreDoc, UnixMs,
    unavailability,
};
use crate::health::{AsOf, CredentialState, PassedOver, is_due};
use crate::selection::{Choice, Preferences, candidates, candidates_ignoring_cooldowns, choose};
use crate::sync::{DUE_BELOW_MS, Loaded, NotRefreshed, Refreshes};
use crate::vault::Pin;

/// Returns what the configuration says of a provider's profiles.
#[must_use]
pub fn preferences_of(settings: &Settings, provider: &ProviderId) -> Preferences {
    Preferences {
        order: settings.order_for(provider),
        configured: settings.profiles_of(provider),
    }
}

/// Which credentials a caller can use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Any credential; a login that is due is refreshed first.
    All,
    /// Only credentials that do not change by themselves: the caller keeps what it gets. The
    /// cooldown of a first choice does not count, since nothing is chosen in its place.
    Static,
}

/// Why a credential changes by itself, so that a copy of it is soon of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Changing {
    /// It is a login, whose access token is replaced within hours.
    Login,
    /// It is another program's login, which that program replaces within hours.
    OtherPrograms,
}

/// The candidates of an agent, and the terms of a choice among them.
#[derive(Clone, Copy, Debug)]
pub struct Chooser<'c> {
    /// The agent's store.
    pub doc: &'c StoreDoc,
    /// Its logins that are another program's.
    pub borrowed: &'c BTreeMap<String, Borrowed>,
    /// The pins of its sessions.
    pub pins: &'c [Pin],
    /// What became of refreshes for this hand-out.
    pub refreshes: &'c Refreshes,
    /// The gateway's configuration.
    pub settings: &'c Settings,
    /// What is required of the credential.
    pub options: &'c TokenOptions,
    /// What happens if the first choice cannot be used.
    pub fallback: Fallback,
    /// Which credentials the caller can use.
    pub scope: Scope,
    /// The time of the choice.
    pub now: UnixMs,
}

impl Chooser<'_> {
    /// Chooses the credential for a request, and says which others were passed over.
    #[must_use]
    pub fn choose(&self, wanted: &Request) -> Choice<PassedOver> {
        let refuse = |id: &ProfileId| self.refuse(wanted, id);
        let cooldown = |id: &ProfileId| {
            unavailability(self.doc, id.as_str(), self.now).map(|_| PassedOver::InCooldown)
        };
        let (tried, natural) = self.candidates(wanted);
        if self.fallback == Fallback::None {
            let first: Vec<ProfileId> = natural.into_iter().take(1).collect();
            // A profile requested by name is tried even in cooldown; of a provider's profiles, one
            // in cooldown is not refreshed.
            let is_tried =
                matches!(wanted, Request::Profile(_)) || matches!(self.scope, Scope::Static);
            let refuse = |id: &ProfileId| refuse(id).or_else(|| cooldown(id).filter(|_| !is_tried));
            return choose(&first, &first, refuse, cooldown);
        }
        choose(&tried, &natural, refuse, cooldown)
    }

    /// Whether a login must be refreshed before it is handed out, and no refresh was tried yet.
    #[must_use]
    pub(crate) fn needs_refresh(&self, id: &ProfileId) -> bool {
        let Some(credential) = self.doc.credential(id.as_str()) else {
            return false;
        };
        let is_refreshable = credential.expose_refresh().is_some()
            && !credential.is_marker()
            && Owner::of(id.as_str()) == Owner::Vault;
        self.scope == Scope::All
            && is_refreshable
            && !self.refreshes.was_tried(id)
            && is_due(&credential, self.now, least_ms(self.options))
    }

    /// Why a credential changes by itself; `None` if a copy of it stays good.
    #[must_use]
    pub fn changing(&self, id: &str) -> Option<Changing> {
        let kind = self.doc.credential(id)?.kind;
        let owner = Borrowed::owner_of(self.borrowed.get(id), id);
        match kind {
            CredentialType::OAuth => Some(Changing::Login),
            CredentialType::Token if owner != Owner::Vault => Some(Changing::OtherPrograms),
            _ => None,
        }
    }

    /// The profiles to try, and their order without cooldowns.
    fn candidates(&self, wanted: &Request) -> (Vec<ProfileId>, Vec<ProfileId>) {
        let provider = match wanted {
            Request::Profile(id) => {
                let id = ProfileId::new(id_in(self.doc, id));
                return (vec![id.clone()], vec![id]);
            }
            Request::Provider(provider) => provider,
        };
        let preferences = preferences_of(self.settings, provider);
        let pinned = self.options.session.as_deref().and_then(|session| {
            let mut pins = self.pins.iter();
            pins.find(|pin| pin.session == session && pin.provider == *provider)
        });
        let prefer = pinned.map(|pin| &pin.profile);
        let mut natural = candidates_ignoring_cooldowns(self.doc, &preferences, provider, prefer);
        let mut tried = candidates(self.doc, &preferences, provider, prefer, self.now);
        // A pinned profile that is no candidate now is passed over; the pin stays.
        if let Some(gone) = prefer.filter(|prefer| !natural.contains(prefer)) {
            natural.insert(0, gone.clone());
            tried.insert(0, gone.clone());
        }
        if self.scope == Scope::Static {
            // An id without a credential is passed over by the choice, and no reason here.
            let is_static = |id: &ProfileId| {
                self.doc.credential(id.as_str()).is_some() && self.changing(id.as_str()).is_none()
            };
            natural.retain(is_static);
            tried.retain(is_static);
        }
        (tried, natural)
    }

    /// Why a candidate is not used.
    fn refuse(&self, wanted: &Request, id: &ProfileId) -> Option<PassedOver> {
        let Some(credential) = self.doc.credential(id.as_str()) else {
            return Some(PassedOver::Missing);
        };
        let is_anothers = |provider: &ProviderId| !credential.is_for(provider.as_str());
        let is_mismatch = matches!(wanted, Request::Provider(provider) if is_anothers(provider))
            || (self.settings.profile(id.as_str()))
                .is_some_and(|setting| !setting.admits(&credential));
        if credential.is_readable() && is_mismatch {
            return Some(PassedOver::Mismatch);
        }
        if self.needs_refresh(id) {
            return None;
        }
        let state = CredentialState::of(&credential, AsOf::at(self.now));
        let why = state.refusal(self.options.min_lifetime)?;
        let is_about_time = matches!(why, PassedOver::Expired | PassedOver::EndsTooSoon);
        let not_refreshed = self.refreshes.why_not(id).filter(|_| is_about_time);
        Some(not_refreshed.map_or(why, passed_over_for))
    }
}

/// The remaining lifetime that a refreshable login must have, in milliseconds.
pub(super) fn least_ms(options: &TokenOptions) -> i64 {
    options.min_lifetime.ms().max(DUE_BELOW_MS)
}

/// Why a credential that could not be refreshed is passed over: if nobody here could refresh it,
/// because it has expired.
fn passed_over_for(why: &NotRefreshed) -> PassedOver {
    match why {
        NotRefreshed::NoRefreshToken | NotRefreshed::Borrowed(_) => PassedOver::Expired,
        why => PassedOver::NotRefreshed(why.as_str()),
    }
}

/// Whether a requested provider is that of a profile requested by name: that profile is then used.
pub(super) fn is_named_already(doc: &StoreDoc, all: &[Request], one: &Request) -> bool {
    let Request::Provider(provider) = one else {
        return false;
    };
    all.iter().any(|other| match other {
        Request::Profile(id) => doc
            .credential(id_in(doc, id))
            .is_some_and(|credential: Credential<'_>| credential.is_for(provider.as_str())),
        Request::Provider(_) => false,
    })
}

/// Whether damage to the vault hides a requested credential, or decides which one is chosen.
pub(super) fn is_damaged(loaded: &Loaded, wanted: &Request, options: &TokenOptions) -> bool {
    let Loaded { doc, damage, .. } = loaded;
    let is_affected = match wanted {
        Request::Provider(provider) => damage.affects(provider.as_str(), doc),
        Request::Profile(id) => damage.hides(id_in(doc, id), doc),
    };
    is_affected || options.session.is_some() && damage.pins
}
