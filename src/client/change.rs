//! Changes of an agent's credentials: stored, replaced, removed.

use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use super::error::ClientError;
use super::order::order_change;
use crate::audit::{EventDraft, Origin};
use crate::domain::{
    CredentialType, ProfileId, ProviderId, SecretJson, Section, StoreDoc, UnixMs, check_secret,
};
use crate::sync::Edited;

/// A credential to store that nobody refreshes: an API key or a token. `Debug` shows no secret.
#[derive(Clone, Debug)]
pub struct NewCredential {
    kind: CredentialType,
    provider: ProviderId,
    secret: SecretString,
    expires: Option<UnixMs>,
}

impl NewCredential {
    /// Makes an API key, which does not expire.
    #[must_use]
    pub fn api_key(provider: &str, secret: SecretString) -> Self {
        Self::of(CredentialType::ApiKey, provider, secret)
    }

    /// Makes a token, which does not expire unless that is said.
    #[must_use]
    pub fn token(provider: &str, secret: SecretString) -> Self {
        Self::of(CredentialType::Token, provider, secret)
    }

    /// Sets when it expires.
    #[must_use]
    pub fn expires(mut self, at: UnixMs) -> Self {
        self.expires = Some(at);
        self
    }

    fn of(kind: CredentialType, provider: &str, secret: SecretString) -> Self {
        Self {
            kind,
            provider: ProviderId::new(provider),
            secret,
            expires: None,
        }
    }

    fn checked_entry(&self) -> Result<SecretJson, ClientError> {
        match check_secret(self.secret.expose_secret().as_bytes()) {
            Ok(_) if self.provider.as_str().is_empty() => {
                Err(ClientError::BadArgument("no provider is named".to_owned()))
            }
            Ok(_) => Ok(entry_of(self)),
            Err(fault) => Err(ClientError::BadArgument(format!("the secret {fault}"))),
        }
    }
}

/// The entry of a store for a new credential.
#[must_use]
pub fn entry_of(new: &NewCredential) -> SecretJson {
    let field = match new.kind {
        CredentialType::ApiKey => "key",
        _ => "token",
    };
    let fields = [
        ("type", Some(json!(new.kind.as_str()))),
        ("provider", Some(json!(new.provider.as_str()))),
        (field, Some(json!(new.secret.expose_secret()))),
        ("expires", new.expires.map(|at| json!(at.0))),
    ];
    let entry: Map<String, Value> = fields
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    SecretJson::new(Value::Object(entry))
}

/// Changes of an agent's credentials that are committed together; see
/// [`Client::change`](super::Client::change).
#[derive(Debug)]
pub struct Change {
    doc: StoreDoc,
    events: Vec<EventDraft>,
}

impl Change {
    pub(super) fn of(doc: &StoreDoc) -> Self {
        Self {
            doc: doc.clone(),
            events: Vec::new(),
        }
    }

    /// Stores a credential under a profile's id, and replaces one that is there.
    ///
    /// # Errors
    /// [`ClientError::BadArgument`] if the id is empty, or the secret is none that can be sent.
    pub fn put(&mut self, profile: &ProfileId, new: &NewCredential) -> Result<(), ClientError> {
        if profile.as_str().trim().is_empty() {
            return Err(ClientError::BadArgument("no profile is named".to_owned()));
        }
        let entry = new.checked_entry()?;
        self.doc.set(
            Section::Profiles,
            profile.as_str(),
            entry.expose_secret().clone(),
        );
        Ok(())
    }

    /// Removes a credential, its statistics and its places in orders. A login that belongs to
    /// another program comes back with the next load, as long as that program has it.
    ///
    /// # Errors
    /// [`ClientError::UnknownProfile`].
    pub fn remove(&mut self, profile: &ProfileId) -> Result<(), ClientError> {
        let id = profile.as_str();
        if self.doc.get(Section::Profiles, id).is_none() {
            return Err(ClientError::UnknownProfile {
                profile: id.to_owned(),
            });
        }
        let (doc, events) = without(&self.doc, id);
        self.doc = doc;
        self.events.extend(events);
        Ok(())
    }

    pub(super) fn edited(self) -> Edited {
        Edited::to(self.doc, self.events).by("client", Origin::Clawkeep)
    }
}

/// Returns a store without a profile, its statistics and its places in orders, with the events of
/// changed orders.
#[must_use]
pub fn without(doc: &StoreDoc, id: &str) -> (StoreDoc, Vec<EventDraft>) {
    let mut after = doc.clone();
    let mut events = Vec::new();
    after.remove(Section::Profiles, id);
    after.remove(Section::Usage, id);
    for (provider, last) in doc.entries(Section::LastGood) {
        if last.as_str() == Some(id) {
            after.remove(Section::LastGood, provider);
        }
    }
    for (provider, list) in doc.entries(Section::Order) {
        let Some(ids) = list.as_array() else { continue };
        let is_other = |other: &&Value| other.as_str().map(str::trim) != Some(id);
        let kept: Vec<_> = ids.iter().filter(is_other).collect();
        if kept.len() == ids.len() {
            continue;
        }
        events.push(order_change(doc, provider, &json!(kept)));
        if kept.is_empty() {
            after.remove(Section::Order, provider);
        } else {
            after.set(Section::Order, provider, json!(kept));
        }
    }
    (after, events)
}
