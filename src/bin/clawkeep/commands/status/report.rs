//! The report of `models status`: which models are configured, which providers have credentials,
//! what expires.
//!
//! Built from values and turned into text; nothing here reads a file, an environment variable or a
//! clock.

mod auth;
mod expiry;
pub(crate) mod inputs;
mod json;
pub(crate) mod mask;
mod text;

use std::collections::BTreeSet;

use clawkeep::internal::config::{ModelRef, Settings, provider_variable, providers_with_variables};
use clawkeep::internal::domain::{CredentialType, EntryFault, Span, normalize_provider, path_text};
use clawkeep::internal::health::Status;
use serde_json::{Map, Value};

use self::auth::ProviderAuth;
use self::expiry::{ProfileExpiry, ProviderExpiry};
use self::inputs::{Inputs, Profile};
use super::collation::CollationKey;

/// A provider whose variable shows where the store or configuration names it, and alone does not.
/// Source: the reference's list of the providers that it looks for in the environment.
const NOT_FOR_A_VARIABLE_ALONE: &str = "minimax";

/// The finished report, with masked secrets.
#[derive(Debug)]
pub(crate) struct Report {
    config_path: String,
    agent_dir: String,
    agent_dir_short: String,
    store_path: String,
    store_path_short: String,
    /// The default model as configured, else as resolved.
    default_model: String,
    resolved_default: String,
    fallbacks: Vec<String>,
    image_model: Option<String>,
    image_fallbacks: Vec<String>,
    aliases: Map<String, Value>,
    allowed: Vec<String>,
    shell_env_enabled: bool,
    /// The variables that a login shell added.
    shell_keys: Vec<&'static str>,
    missing_in_use: Vec<String>,
    /// The providers that have something, sorted.
    providers: Vec<ProviderAuth>,
    profile_expiries: Vec<ProfileExpiry>,
    provider_expiries: Vec<ProviderExpiry>,
    /// A credential that expires within this time is expiring.
    expiring_within: Span,
    /// The credentials whose rows are damaged; nothing else is reported of them.
    damaged: Vec<String>,
    /// The providers without a usable entry; only under our own name.
    without_usable: Vec<String>,
}

impl Report {
    pub(crate) fn build(inputs: &Inputs<'_>) -> Self {
        let Inputs {
            settings,
            layout,
            agent,
            ..
        } = *inputs;
        let models = &settings.models;
        let resolved_default = models.default_ref().to_string();
        let readable: Vec<_> = inputs
            .doc
            .credentials()
            .filter(|(_, credential)| credential.is_readable())
            .collect();
        let names = provider_names(inputs, &readable);
        let stored = auth::by_provider(&readable);
        let store_file = agent.store_file();
        let store_path_short = layout.shorten_home(&store_file);
        let providers: Vec<_> = names
            .iter()
            .filter_map(|name| ProviderAuth::of(inputs, &stored, &store_path_short, name))
            .collect();
        let profile_expiries = expiry::of_profiles(inputs, &readable);
        let without_usable = without_usable(inputs, &providers);
        let aliases = models
            .listed
            .iter()
            .filter_map(|model| Some((model.alias.clone()?, Value::from(model.key.as_str()))));
        Self {
            config_path: path_text(&layout.config_file).into_owned(),
            agent_dir: path_text(&agent.dir).into_owned(),
            agent_dir_short: layout.shorten_home(&agent.dir),
            store_path: path_text(&store_file).into_owned(),
            store_path_short,
            default_model: models
                .text
                .primary
                .clone()
                .unwrap_or_else(|| resolved_default.clone()),
            resolved_default,
            fallbacks: models.text.fallbacks.clone(),
            image_model: models.image.primary.clone(),
            image_fallbacks: models.image.fallbacks.clone(),
            aliases: aliases.collect(),
            allowed: models
                .listed
                .iter()
                .map(|model| model.key.clone())
                .collect(),
            shell_env_enabled: settings.shell_env.is_on(inputs.env),
            shell_keys: inputs.env.from_shell().to_vec(),
            missing_in_use: missing_in_use(settings, &providers),
            provider_expiries: expiry::of_providers(&names, &profile_expiries, inputs.as_of.now),
            providers,
            profile_expiries,
            damaged: inputs.damage.profiles.keys().cloned().collect(),
            without_usable,
            expiring_within: inputs.as_of.expiring_within,
        }
    }

    /// The model that a gateway with this configuration uses: what `--plain` prints.
    pub(crate) fn plain(&self) -> &str {
        &self.resolved_default
    }

    /// The exit status of `--check`: 1 when a login or token has expired or is missing, a provider
    /// in use has no credential at all or none that can be used, or a program has logged out and
    /// nothing else serves the provider; else 2 when one is about to expire; else 0.
    pub(crate) fn check_exit(&self) -> u8 {
        let any = |wanted: &[Status]| {
            self.expirable()
                .any(|profile| wanted.contains(&profile.health.status))
        };
        let is_missing = any(&[Status::Expired, Status::Missing]);
        let lacks_one = !self.missing_in_use.is_empty() || !self.without_usable.is_empty();
        if is_missing || lacks_one || self.has_lost_a_provider() {
            1
        } else if self.expirable().any(|profile| {
            let is_expiring = profile.health.status == Status::Expiring && !profile.is_refreshed;
            is_expiring || profile.is_login_expiring || profile.expiry_fault.is_some()
        }) {
            2
        } else {
            0
        }
    }

    /// Whether a program has logged out, and nothing else serves the provider.
    fn has_lost_a_provider(&self) -> bool {
        let lost = |profile: &ProfileExpiry| profile.is_logged_out;
        let is_served = |provider: &str| {
            let usable = [Status::Ok, Status::Expiring, Status::Static];
            let by_profile = self.profile_expiries.iter().any(|other| {
                other.provider == provider && !lost(other) && usable.contains(&other.health.status)
            });
            let mut entries = self.providers.iter();
            by_profile
                || entries.any(|entry| {
                    entry.provider == provider && (entry.env.is_some() || entry.custom.is_some())
                })
        };
        let mut profiles = self.profile_expiries.iter();
        profiles.any(|profile| lost(profile) && !is_served(&profile.provider))
    }

    /// The profiles that are not API keys.
    fn expirable(&self) -> impl Iterator<Item = &ProfileExpiry> {
        self.profile_expiries
            .iter()
            .filter(|profile| profile.kind != CredentialType::ApiKey)
    }

    /// Providers with OAuth logins or tokens, and how many of them: `zai (2)`.
    fn providers_with_oauth(&self) -> Vec<String> {
        let counted = self
            .providers
            .iter()
            .map(|entry| (&entry.provider, entry.oauth_and_tokens()));
        counted
            .filter(|(_, count)| *count > 0)
            .map(|(provider, count)| format!("{provider} ({count})"))
            .collect()
    }
}

/// The providers of which nothing but entries is stored that cannot be used, whatever the clock
/// says, and that have no secret elsewhere.
fn without_usable(inputs: &Inputs<'_>, providers: &[ProviderAuth]) -> Vec<String> {
    if inputs.logins.is_none() {
        return Vec::new(); // the reference does not look at secrets
    }
    let (mut faulty, mut served) = (BTreeSet::new(), BTreeSet::new());
    for (_, credential) in inputs.doc.credentials() {
        let provider = normalize_provider(credential.provider);
        let fault = credential.entry_fault().filter(|fault| {
            // OpenClaw looks its references up itself.
            let is_openclaws = inputs.agent.name.openclaw_id().is_some();
            !(is_openclaws && matches!(fault, EntryFault::Reference(_)))
        });
        match fault {
            Some(_) => faulty.insert(provider),
            None => served.insert(provider),
        };
    }
    let elsewhere = providers
        .iter()
        .filter(|entry| entry.env.is_some() || entry.custom.is_some());
    served.extend(elsewhere.map(|entry| normalize_provider(&entry.provider)));
    faulty.remove("");
    faulty.difference(&served).cloned().collect()
}

/// Every provider that is stored, configured or in the environment, sorted. As written, so that a
/// provider written in two ways shows as two, like in the reference.
fn provider_names(inputs: &Inputs<'_>, readable: &[Profile<'_>]) -> Vec<String> {
    let Inputs { settings, env, .. } = *inputs;
    let models = &settings.models;
    let stored = readable.iter().map(|(_, credential)| credential.provider);
    let named: BTreeSet<&str> = stored
        .chain(settings.custom_providers())
        .map(str::trim)
        .collect();
    let mut names: BTreeSet<String> = named.into_iter().map(str::to_owned).collect();
    let listed = models.listed.iter().map(|model| model.key.as_str());
    names.extend(listed.filter_map(provider_of_model));
    names.extend(providers_in_use(settings));
    let from_env = providers_with_variables().filter(|provider| {
        provider.as_str() != NOT_FOR_A_VARIABLE_ALONE && provider_variable(env, provider).is_some()
    });
    names.extend(from_env.map(|provider| provider.to_string()));
    names.remove("");
    sorted(names)
}

/// The providers of the models that the gateway would use. An alias counts as what it would be
/// without one, a model of Anthropic's, as in the reference.
fn providers_in_use(settings: &Settings) -> impl Iterator<Item = String> {
    let models = &settings.models;
    let default = match &models.text.primary {
        Some(raw) => provider_of_model(raw),
        None => Some(models.default_ref().provider.to_string()),
    };
    let fallbacks = models.text.fallbacks.iter().map(String::as_str);
    let others = fallbacks.chain(models.image.all());
    default
        .into_iter()
        .chain(others.filter_map(provider_of_model))
}

fn provider_of_model(raw: &str) -> Option<String> {
    Some(ModelRef::parse(raw)?.provider.to_string())
}

fn missing_in_use(settings: &Settings, providers: &[ProviderAuth]) -> Vec<String> {
    let has_auth = |name: &String| providers.iter().any(|entry| entry.provider == *name);
    sorted(
        providers_in_use(settings)
            .filter(|name| !has_auth(name))
            .collect(),
    )
}

fn sorted(names: BTreeSet<String>) -> Vec<String> {
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_by_cached_key(|name| CollationKey::of(name));
    names
}

#[cfg(test)]
mod tests;
