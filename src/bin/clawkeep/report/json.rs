//! The report as JSON: keys, their order and what is left out are the reference's.

use clawkeep::domain::{Expiry, json_number};
use clawkeep::health::{Health, WARN_AFTER_MS};
use serde_json::{Map, Value, json};

use super::Report;
use super::auth::{Found, ProviderAuth};
use super::expiry::{ProfileExpiry, ProviderExpiry};

impl Report {
    /// The document that `--json` prints.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "configPath": self.config_path,
            "agentDir": self.agent_dir,
            "defaultModel": self.default_model,
            "resolvedDefault": self.resolved_default,
            "fallbacks": self.fallbacks,
            "imageModel": self.image_model,
            "imageFallbacks": self.image_fallbacks,
            "aliases": self.aliases,
            "allowed": self.allowed,
            "auth": {
                "storePath": self.store_path,
                "shellEnvFallback": {"enabled": self.shell_env_enabled, "appliedKeys": self.shell_keys},
                "providersWithOAuth": self.providers_with_oauth(),
                "missingProvidersInUse": self.missing_in_use,
                "providers": self.providers.iter().map(provider_auth).collect::<Value>(),
                "oauth": {
                    "warnAfterMs": WARN_AFTER_MS,
                    "profiles": self.profile_expiries.iter().map(profile_expiry).collect::<Value>(),
                    "providers": self.provider_expiries.iter().map(provider_expiry).collect::<Value>(),
                },
            },
        })
    }
}

fn provider_auth(entry: &ProviderAuth) -> Value {
    let ProviderAuth {
        provider,
        effective,
        profiles,
        env,
        custom,
    } = entry;
    let mut out = fields([
        ("provider", json!(provider)),
        (
            "effective",
            json!({"kind": effective.kind, "detail": effective.detail}),
        ),
        (
            "profiles",
            json!({
                "count": profiles.count(),
                "oauth": profiles.oauth,
                "token": profiles.token,
                "apiKey": profiles.api_key,
                "labels": profiles.labels,
            }),
        ),
    ]);
    let found = |found: &Found| json!({"value": found.value, "source": found.source});
    out.extend(fields(
        [("env", env.as_ref()), ("modelsJson", custom.as_ref())]
            .map(|(key, at)| (key, at.map_or(Value::Null, found))),
    ));
    out.retain(|_, value| !value.is_null());
    Value::Object(out)
}

fn profile_expiry(profile: &ProfileExpiry) -> Value {
    let mut out = fields([
        ("profileId", json!(profile.id)),
        ("provider", json!(profile.provider)),
        ("type", json!(profile.kind.as_str())),
        ("status", json!(profile.health.status.as_str())),
    ]);
    let odd_end = profile.odd_end.clone();
    out.extend(odd_end.map(|end| ("expiresAt".to_owned(), end)));
    out.extend(times(&profile.health));
    out.extend(fields([
        ("source", json!(profile.source)),
        ("label", json!(profile.label)),
    ]));
    Value::Object(out)
}

fn provider_expiry(entry: &ProviderExpiry) -> Value {
    let mut out = fields([
        ("provider", json!(entry.provider)),
        ("status", json!(entry.health.status.as_str())),
        (
            "profiles",
            entry.profiles.iter().map(profile_expiry).collect(),
        ),
    ]);
    out.extend(times(&entry.health));
    Value::Object(out)
}

/// What is not known is left out.
fn times(health: &Health) -> Map<String, Value> {
    let numbers = [
        ("expiresAt", health.expires_at.map(Expiry::ms)),
        ("remainingMs", health.remaining_ms),
    ];
    numbers
        .into_iter()
        .filter_map(|(key, ms)| Some((key.to_owned(), json_number(ms?))))
        .collect()
}

fn fields<const N: usize>(pairs: [(&str, Value); N]) -> Map<String, Value> {
    pairs
        .into_iter()
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
