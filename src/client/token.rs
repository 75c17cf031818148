//! A credential that is handed out.

use secrecy::SecretString;
use serde_json::json;

use crate::domain::{
    Credential, CredentialType, ProfileId, ProviderId, Section, StoreDoc, UnixMs, WITH_PROJECT,
};
use crate::health::{AsOf, CredentialState, Status};
use crate::sync::NotRefreshed;

/// A credential whose use is in the audit record. `Debug` shows no secret.
#[derive(Debug)]
pub struct Token {
    profile: ProfileId,
    provider: ProviderId,
    kind: CredentialType,
    expires: Option<UnixMs>,
    status: Status,
    not_refreshed: Option<&'static str>,
    secret: SecretString,
}

impl Token {
    pub(super) fn of(
        doc: &StoreDoc,
        profile: &ProfileId,
        not_refreshed: Option<&NotRefreshed>,
        as_of: AsOf,
    ) -> Option<Self> {
        let credential = doc.credential(profile.as_str())?;
        let expires = credential.expiry().filter(|expiry| expiry.ms() > 0.0);
        Some(Self {
            profile: profile.clone(),
            provider: ProviderId::new(credential.provider),
            kind: credential.kind,
            expires: expires.map(|expiry| UnixMs(expiry.floor_ms())),
            status: CredentialState::of(&credential, as_of).status(),
            not_refreshed: not_refreshed.map(NotRefreshed::as_str),
            secret: secret_of(doc, profile, &credential),
        })
    }

    /// The profile that it was taken from.
    #[must_use]
    pub fn profile(&self) -> &ProfileId {
        &self.profile
    }

    /// The provider that it is for, as the store names it, normalised.
    #[must_use]
    pub fn provider(&self) -> &ProviderId {
        &self.provider
    }

    /// The type of the credential: API key, token or OAuth login.
    #[must_use]
    pub fn kind(&self) -> CredentialType {
        self.kind
    }

    /// When it expires; `None` if no expiry is known, as of API keys.
    #[must_use]
    pub fn expires(&self) -> Option<UnixMs> {
        self.expires
    }

    /// How the credential stands by its expiry. [`Status::Expiring`]: within the span of the
    /// setting `clawkeep.expiring_within`, a day by default.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status
    }

    /// Why its login could not be refreshed, if that was due: a name, as in the record. The
    /// current token is handed out as long as it is valid.
    #[must_use]
    pub fn not_refreshed(&self) -> Option<&'static str> {
        self.not_refreshed
    }

    /// The secret in the form that the provider's clients expect.
    #[must_use]
    pub fn secret(&self) -> &SecretString {
        &self.secret
    }

    /// Takes the secret out of it.
    #[must_use]
    pub fn into_secret(self) -> SecretString {
        self.secret
    }
}

/// The secret in the form that its provider's client expects.
fn secret_of(doc: &StoreDoc, id: &ProfileId, credential: &Credential<'_>) -> SecretString {
    let secret = credential.expose_secret().unwrap_or_default().trim();
    let provider = ProviderId::new(credential.provider);
    if credential.kind == CredentialType::OAuth && WITH_PROJECT.contains(&provider.as_str()) {
        let entry = doc.get(Section::Profiles, id.as_str());
        let project = entry.and_then(|entry| entry.get("projectId"));
        return json!({"token": secret, "projectId": project})
            .to_string()
            .into();
    }
    secret.to_owned().into()
}
