//! What a provider has to authenticate with: stored profiles, a variable, a configured key.

use std::collections::HashMap;

use clawkeep::internal::config::{Settings, provider_variable};
use clawkeep::internal::domain::{Credential, CredentialType, ProviderId, normalize_provider};

use super::inputs::{Inputs, Profile};
use super::mask::masked;

/// The readable profiles by provider, normalised, each provider's in stored order.
pub(super) type Stored<'a> = HashMap<String, Vec<Profile<'a>>>;

/// The text in place of an OAuth token from the environment. Source: the `status` conformance
/// cases.
const OAUTH_FROM_ENV: &str = "OAuth (env)";

/// One line of the overview: a provider that has something.
#[derive(Debug)]
pub(super) struct ProviderAuth {
    pub(super) provider: String,
    pub(super) effective: Effective,
    pub(super) profiles: Profiles,
    pub(super) env: Option<Found>,
    pub(super) custom: Option<Found>,
}

/// Where the gateway would take the secret from.
#[derive(Debug)]
pub(super) struct Effective {
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

/// A secret outside the store, masked, and its place.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) value: String,
    pub(super) source: String,
}

/// The stored profiles, counted by kind, with a label each.
#[derive(Debug, Default)]
pub(super) struct Profiles {
    pub(super) oauth: usize,
    pub(super) token: usize,
    pub(super) api_key: usize,
    pub(super) labels: Vec<String>,
}

impl Profiles {
    pub(super) fn count(&self) -> usize {
        self.labels.len()
    }
}

impl ProviderAuth {
    /// `None` for a provider that has nothing.
    pub(super) fn of(
        inputs: &Inputs<'_>,
        stored: &Stored<'_>,
        store_path: &str,
        name: &str,
    ) -> Option<Self> {
        let Inputs {
            settings,
            layout,
            agent,
            ..
        } = *inputs;
        let provider = ProviderId::new(name);
        let own = stored.get(provider.as_str()).map_or(&[][..], Vec::as_slice);
        let profiles = profiles(settings, own);
        let env = provider_variable(inputs.env, &provider).map(|variable| Found {
            value: if variable.is_oauth() {
                OAUTH_FROM_ENV.to_owned()
            } else {
                masked(variable.expose_secret())
            },
            source: variable.source(),
        });
        let custom = settings.expose_provider_key(name).map(|key| Found {
            value: masked(key),
            // Where the gateway puts the keys of its configuration, and what the reference names.
            source: format!(
                "models.json: {}",
                layout.shorten_home(&agent.dir.join("models.json"))
            ),
        });
        let effective = match (profiles.count(), &env, &custom) {
            (1.., ..) => Effective {
                kind: "profiles",
                detail: store_path.to_owned(),
            },
            (0, Some(found), _) => Effective {
                kind: "env",
                detail: found.value.clone(),
            },
            (0, None, Some(found)) => Effective {
                kind: "models.json",
                detail: found.value.clone(),
            },
            (0, None, None) => return None,
        };
        Some(Self {
            provider: name.to_owned(),
            effective,
            profiles,
            env,
            custom,
        })
    }

    /// How many OAuth logins and tokens it has, one from the environment included.
    pub(super) fn oauth_and_tokens(&self) -> usize {
        let from_env = self
            .env
            .as_ref()
            .is_some_and(|found| found.value == OAUTH_FROM_ENV);
        self.profiles.oauth + self.profiles.token + usize::from(from_env)
    }
}

/// A profile's id and its e-mail address, the configuration's before the credential's.
pub(super) fn display_label(settings: &Settings, id: &str, credential: &Credential<'_>) -> String {
    let configured = settings
        .profile(id)
        .and_then(|profile| profile.email.as_deref());
    configured
        .or_else(|| credential.email())
        .map_or_else(|| id.to_owned(), |email| format!("{id} ({email})"))
}

/// Sorts readable profiles by provider, once for all of them.
pub(super) fn by_provider<'a>(readable: &[Profile<'a>]) -> Stored<'a> {
    let mut stored = Stored::new();
    for (id, credential) in readable {
        let provider = normalize_provider(credential.provider);
        stored.entry(provider).or_default().push((*id, *credential));
    }
    stored
}

fn profiles(settings: &Settings, own: &[Profile<'_>]) -> Profiles {
    let mut profiles = Profiles::default();
    for (id, credential) in own {
        let secret = || masked(credential.expose_secret().unwrap_or_default());
        let (count, label) = match credential.kind {
            CredentialType::OAuth => {
                let label = display_label(settings, id, credential);
                let suffix = label.strip_prefix(*id).unwrap_or_default();
                (&mut profiles.oauth, format!("OAuth{suffix}"))
            }
            CredentialType::Token => (&mut profiles.token, format!("token:{}", secret())),
            CredentialType::ApiKey => (&mut profiles.api_key, secret()),
            _ => continue,
        };
        *count += 1;
        profiles.labels.push(format!("{id}={label}"));
    }
    profiles
}
