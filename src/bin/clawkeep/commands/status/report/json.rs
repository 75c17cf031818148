//! The report as JSON: keys, their order and what is left out are the reference's.

use clawkeep::internal::domain::{Expiry, ExpiryFault, json_number};
use clawkeep::internal::health::Health;
use serde::Serialize;
use serde_json::{Map, Value};

use clawkeep::internal::vault::GrantState;

use super::Report;
use super::auth::{Found, ProviderAuth};
use super::expiry::{ProfileExpiry, ProviderExpiry};

/// The document that `--json` prints, borrowed from the report.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Document<'r> {
    config_path: &'r str,
    agent_dir: &'r str,
    default_model: &'r str,
    resolved_default: &'r str,
    fallbacks: &'r [String],
    image_model: Option<&'r str>,
    image_fallbacks: &'r [String],
    aliases: &'r Map<String, Value>,
    allowed: &'r [String],
    auth: Auth<'r>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Auth<'r> {
    store_path: &'r str,
    shell_env_fallback: ShellEnv<'r>,
    #[serde(rename = "providersWithOAuth")]
    providers_with_oauth: Vec<String>,
    missing_providers_in_use: &'r [String],
    providers: Vec<Provider<'r>>,
    oauth: OAuth<'r>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    damaged: &'r [String],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ShellEnv<'r> {
    enabled: bool,
    applied_keys: &'r [&'static str],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Provider<'r> {
    provider: &'r str,
    effective: Effective<'r>,
    profiles: Profiles<'r>,
    #[serde(skip_serializing_if = "Option::is_none")]
    env: Option<Elsewhere<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    models_json: Option<Elsewhere<'r>>,
}

#[derive(Debug, Serialize)]
struct Effective<'r> {
    kind: &'r str,
    detail: &'r str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Profiles<'r> {
    count: usize,
    oauth: usize,
    token: usize,
    api_key: usize,
    labels: &'r [String],
}

#[derive(Debug, Serialize)]
struct Elsewhere<'r> {
    value: &'r str,
    source: &'r str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OAuth<'r> {
    warn_after_ms: i64,
    profiles: Vec<ProfileStatus<'r>>,
    providers: Vec<ProviderStatus<'r>>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ProfileStatus<'r> {
    profile_id: &'r str,
    provider: &'r str,
    r#type: &'r str,
    status: &'r str,
    #[serde(flatten)]
    times: Times,
    source: &'r str,
    label: &'r str,
    /// Beyond the reference, and only where a login cannot be refreshed as it should be.
    #[serde(skip_serializing_if = "Option::is_none")]
    grant: Option<&'static str>,
    /// Beyond the reference: what became of the login that the profile mirrors, where it is not in
    /// use as it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<&'static str>,
    /// Beyond the reference: when that login itself expires.
    #[serde(skip_serializing_if = "Option::is_none")]
    login_expires_at: Option<i64>,
    /// Beyond the reference: what is wrong with the stored expiry.
    #[serde(skip_serializing_if = "Option::is_none")]
    expiry_fault: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct ProviderStatus<'r> {
    provider: &'r str,
    status: &'r str,
    profiles: Vec<ProfileStatus<'r>>,
    #[serde(flatten)]
    times: Times,
}

/// What is not known is left out.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Times {
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    remaining_ms: Option<Value>,
}

impl Report {
    pub(crate) fn json(&self) -> Document<'_> {
        Document {
            config_path: &self.config_path,
            agent_dir: &self.agent_dir,
            default_model: &self.default_model,
            resolved_default: &self.resolved_default,
            fallbacks: &self.fallbacks,
            image_model: self.image_model.as_deref(),
            image_fallbacks: &self.image_fallbacks,
            aliases: &self.aliases,
            allowed: &self.allowed,
            auth: Auth {
                store_path: &self.store_path,
                shell_env_fallback: ShellEnv {
                    enabled: self.shell_env_enabled,
                    applied_keys: &self.shell_keys,
                },
                providers_with_oauth: self.providers_with_oauth(),
                missing_providers_in_use: &self.missing_in_use,
                providers: self.providers.iter().map(Provider::of).collect(),
                oauth: OAuth {
                    warn_after_ms: self.expiring_within.ms(),
                    profiles: ProfileStatus::of_all(&self.profile_expiries),
                    providers: self
                        .provider_expiries
                        .iter()
                        .map(|entry| ProviderStatus::of(entry, &self.profile_expiries))
                        .collect(),
                },
                damaged: &self.damaged,
            },
        }
    }
}

impl<'r> Provider<'r> {
    fn of(entry: &'r ProviderAuth) -> Self {
        let elsewhere = |found: &'r Found| Elsewhere {
            value: &found.value,
            source: &found.source,
        };
        Self {
            provider: &entry.provider,
            effective: Effective {
                kind: entry.effective.kind,
                detail: &entry.effective.detail,
            },
            profiles: Profiles {
                count: entry.profiles.count(),
                oauth: entry.profiles.oauth,
                token: entry.profiles.token,
                api_key: entry.profiles.api_key,
                labels: &entry.profiles.labels,
            },
            env: entry.env.as_ref().map(elsewhere),
            models_json: entry.custom.as_ref().map(elsewhere),
        }
    }
}

impl<'r> ProfileStatus<'r> {
    fn of_all(profiles: &'r [ProfileExpiry]) -> Vec<Self> {
        profiles.iter().map(Self::of).collect()
    }

    fn of(profile: &'r ProfileExpiry) -> Self {
        let times = Times::of(&profile.health);
        Self {
            profile_id: &profile.id,
            provider: &profile.provider,
            r#type: profile.kind.as_str(),
            status: profile.health.status.as_str(),
            times: Times {
                expires_at: profile.odd_end.clone().or(times.expires_at),
                ..times
            },
            source: profile.source,
            grant: profile.grant.map(GrantState::as_str),
            login: profile.login,
            login_expires_at: profile.login_expires.map(|at| at.0),
            expiry_fault: profile.expiry_fault.map(ExpiryFault::as_str),
            label: &profile.label,
        }
    }
}

impl<'r> ProviderStatus<'r> {
    fn of(entry: &'r ProviderExpiry, profiles: &'r [ProfileExpiry]) -> Self {
        Self {
            provider: &entry.provider,
            status: entry.health.status.as_str(),
            profiles: ProfileStatus::of_all(&profiles[entry.profiles.clone()]),
            times: Times::of(&entry.health),
        }
    }
}

impl Times {
    fn of(health: &Health) -> Self {
        Self {
            expires_at: health.expires_at.map(Expiry::ms).map(json_number),
            remaining_ms: health.remaining_ms.map(json_number),
        }
    }
}
