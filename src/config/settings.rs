//! The gateway's configuration as far as credentials are concerned, read leniently: a field of the
//! wrong type counts as absent. Only text that is no JSON5 at all is refused.

use std::path::Path;
use std::time::Duration;

use json5::Position;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::error::ConfigError;
use super::models::Models;
use super::shell_env::ShellEnv;
use super::{disk, nesting};
use crate::domain::{
    AgentName, CooldownRules, Credential, CredentialType, ProfileId, ProviderId, SecretJson,
    debug_as,
};

/// A profile that the configuration names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileSetting {
    /// The id of the profile.
    pub id: ProfileId,
    /// The provider of the profile.
    pub provider: ProviderId,
    /// What its credential has to be; `None` where it is not said.
    pub mode: Option<CredentialType>,
    /// The e-mail address to show with it, trimmed, not empty.
    pub email: Option<String>,
}

impl ProfileSetting {
    /// Whether a stored credential may be used for it: provider and mode agree, `oauth` accepts a
    /// token. Source: `spec/compat.md`, Resolving a secret for a provider.
    #[must_use]
    pub fn admits(&self, credential: &Credential<'_>) -> bool {
        let mode_agrees = match self.mode {
            Some(CredentialType::OAuth) => matches!(
                credential.kind,
                CredentialType::OAuth | CredentialType::Token
            ),
            Some(mode) => mode == credential.kind,
            None => true,
        };
        mode_agrees && credential.is_for(self.provider.as_str())
    }
}

/// The order that the configuration gives a provider's profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderOrder {
    /// The provider that the order is for.
    pub provider: ProviderId,
    /// Profile ids, the first choice first. An empty list means that no profile is tried.
    pub ids: Vec<ProfileId>,
}

/// An agent that `agents.list` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSetting {
    /// The agent's id, normalised as the reference does.
    pub name: AgentName,
    /// Whether it is marked as the default agent.
    pub is_default: bool,
    /// Its `agentDir` as written, trimmed, not empty.
    pub dir: Option<String>,
}

/// What the gateway's configuration says. `Debug` shows no key.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// `auth.profiles`, in the order written.
    pub profiles: Vec<ProfileSetting>,
    /// The explicit orders of profiles: `auth.order`.
    pub orders: Vec<ProviderOrder>,
    /// The agents of the configuration: `agents.list`.
    pub agents: Vec<AgentSetting>,
    /// The models that agents use by default: `agents.defaults`.
    pub models: Models,
    /// The length of cooldowns after failures: `auth.cooldowns`.
    pub cooldowns: CooldownRules,
    /// Whether a login shell is asked for keys: `env.shellEnv`.
    pub shell_env: ShellEnv,
    variables: Vec<(String, SecretString)>,
    provider_keys: Vec<ProviderKey>,
}

/// `models.providers[p]` with its key, if it has one.
#[derive(Clone)]
struct ProviderKey {
    provider: String,
    key: Option<SecretString>,
}

debug_as!(ProviderKey, "ProviderKey({})", it => it.provider);

impl Settings {
    /// Reads the gateway's configuration file; without a file everything is at its default.
    ///
    /// # Errors
    /// When the file is there and is unreadable, no regular file, too large, or no JSON5.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        disk::config_text(path)?
            .map_or_else(|| Ok(Self::default()), |text| Self::parse(&text, path))
    }

    /// Whether the configuration at `path` says something of credentials and of nothing else, as
    /// one does that commands of this program made. False without a file.
    pub fn is_of_credentials_alone(path: &Path) -> Result<bool, ConfigError> {
        let Some(text) = disk::config_text(path)? else {
            return Ok(false);
        };
        let root = SecretJson::new(parse_value(&text, path)?);
        let root = root.expose_secret().as_object();
        Ok(root.is_some_and(|root| root.keys().all(|key| key == "auth")))
    }

    /// Reads configuration text; `path` is for messages.
    ///
    /// # Errors
    /// When the text is no JSON5 or nests too deep.
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigError> {
        let root = SecretJson::new(parse_value(text, path)?);
        Ok(Self::read(root.expose_secret()))
    }

    fn read(root: &Value) -> Self {
        Self {
            profiles: object(root, "/auth/profiles").filter_map(profile).collect(),
            orders: object(root, "/auth/order").filter_map(order).collect(),
            agents: root
                .pointer("/agents/list")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
                .filter_map(agent)
                .collect(),
            models: Models::read(root.pointer("/agents/defaults")),
            cooldowns: cooldowns(root),
            shell_env: shell_env(root),
            variables: variables(root),
            provider_keys: object(root, "/models/providers")
                .map(provider_key)
                .collect(),
        }
    }

    /// The agent that the gateway serves by default: the first marked so, else the first listed,
    /// else `main`.
    #[must_use]
    pub fn default_agent(&self) -> AgentName {
        let marked = self.agents.iter().find(|agent| agent.is_default);
        marked
            .or(self.agents.first())
            .map(|agent| agent.name.clone())
            .unwrap_or_default()
    }

    /// Returns the setting of a profile.
    #[must_use]
    pub fn profile(&self, id: &str) -> Option<&ProfileSetting> {
        self.profiles
            .iter()
            .find(|profile| profile.id.as_str() == id)
    }

    /// The profiles named for a provider, in the order written.
    #[must_use]
    pub fn profiles_of(&self, provider: &ProviderId) -> Vec<ProfileId> {
        self.profiles
            .iter()
            .filter(|profile| profile.provider == *provider)
            .map(|profile| profile.id.clone())
            .collect()
    }

    /// The explicit order of a provider's profiles.
    #[must_use]
    pub fn order_for(&self, provider: &ProviderId) -> Option<Vec<ProfileId>> {
        self.orders
            .iter()
            .find(|order| order.provider == *provider)
            .map(|order| order.ids.clone())
    }

    /// The variables that the configuration sets where the environment does not: name and value, in
    /// the clear.
    pub(crate) fn expose_variables(&self) -> impl Iterator<Item = (&str, &str)> {
        self.variables
            .iter()
            .map(|(name, value)| (name.as_str(), value.expose_secret()))
    }

    /// Names of the providers that the configuration defines itself, as written.
    pub fn custom_providers(&self) -> impl Iterator<Item = &str> {
        self.provider_keys
            .iter()
            .map(|entry| entry.provider.as_str())
    }

    /// The key that the configuration itself has for a provider, in the clear, trimmed, not empty.
    /// A name as written is preferred to one that means the same.
    #[must_use]
    pub fn expose_provider_key(&self, provider: &str) -> Option<&str> {
        let wanted = ProviderId::new(provider);
        let exact = self
            .provider_keys
            .iter()
            .find(|entry| entry.provider == provider);
        let entry = exact.or_else(|| {
            self.provider_keys
                .iter()
                .find(|entry| ProviderId::new(&entry.provider) == wanted)
        });
        entry?.key.as_ref().map(ExposeSecret::expose_secret)
    }
}

/// Configuration text as a value; `path` is for messages.
pub(crate) fn parse_value(text: &str, path: &Path) -> Result<Value, ConfigError> {
    if let Some(at) = nesting::too_deep_at(text) {
        let (line, column) = (at.line + 1, at.column + 1);
        return Err(ConfigError::TooDeep {
            path: path.to_path_buf(),
            line,
            column,
            limit: nesting::NESTING_MAX,
        });
    }
    json5::from_str::<Value>(text).map_err(|source| {
        // Where the text ends too early, the parser names the beginning of what is not closed: of
        // no help in finding it.
        let place = source.position().filter(|_| !is_cut_short(&source));
        let at = place.unwrap_or_else(|| Position::from_offset(text.trim_end().len(), text));
        let (line, column) = (at.line + 1, at.column + 1);
        ConfigError::Syntax {
            path: path.to_path_buf(),
            line,
            column,
            parser: source,
        }
    })
}

/// Whether the text ended before what it began did.
fn is_cut_short(error: &json5::Error) -> bool {
    use json5::ErrorCode as Code;
    matches!(
        error.code(),
        Some(
            Code::EofParsingArray
                | Code::EofParsingBool
                | Code::EofParsingComment
                | Code::EofParsingEscapeSequence
                | Code::EofParsingIdentifier
                | Code::EofParsingNull
                | Code::EofParsingNumber
                | Code::EofParsingObject
                | Code::EofParsingString
                | Code::EofParsingValue
        )
    )
}

fn object<'a>(root: &'a Value, pointer: &str) -> impl Iterator<Item = (&'a String, &'a Value)> {
    root.pointer(pointer)
        .and_then(Value::as_object)
        .into_iter()
        .flat_map(Map::iter)
}

fn profile((id, entry): (&String, &Value)) -> Option<ProfileSetting> {
    let provider = ProviderId::new(entry.get("provider")?.as_str()?);
    let mode = match entry.get("mode").and_then(Value::as_str) {
        Some("api_key") => Some(CredentialType::ApiKey),
        Some("token") => Some(CredentialType::Token),
        Some("oauth") => Some(CredentialType::OAuth),
        _ => None,
    };
    Some(ProfileSetting {
        id: ProfileId::new(id),
        provider,
        mode,
        email: text(entry, "email"),
    })
}

fn order((provider, list): (&String, &Value)) -> Option<ProviderOrder> {
    let ids = list
        .as_array()?
        .iter()
        .filter_map(Value::as_str)
        .map(ProfileId::new)
        .collect();
    Some(ProviderOrder {
        provider: ProviderId::new(provider),
        ids,
    })
}

fn agent(entry: &Value) -> Option<AgentSetting> {
    let fields = entry.as_object()?;
    Some(AgentSetting {
        name: AgentName::from_id(fields.get("id").and_then(Value::as_str).unwrap_or_default()),
        is_default: fields.get("default") == Some(&Value::Bool(true)),
        dir: text(entry, "agentDir"),
    })
}

/// Hours that are no positive numbers are passed over, as the reference does.
fn cooldowns(root: &Value) -> CooldownRules {
    let hours = |value: &Value| {
        value
            .as_f64()
            .filter(|hours| hours.is_finite() && *hours > 0.0)
    };
    let set = |field: &str, rule: &mut f64| {
        let configured = root.pointer("/auth/cooldowns").and_then(|c| c.get(field));
        if let Some(configured) = configured.and_then(hours) {
            *rule = configured;
        }
    };
    let mut rules = CooldownRules::default();
    set("billingBackoffHours", &mut rules.billing_backoff_hours);
    set("billingMaxHours", &mut rules.billing_max_hours);
    set("failureWindowHours", &mut rules.failure_window_hours);
    rules.billing_backoff_hours_by_provider =
        object(root, "/auth/cooldowns/billingBackoffHoursByProvider")
            .filter_map(|(provider, configured)| {
                Some((ProviderId::new(provider), hours(configured)?))
            })
            .collect();
    rules
}

fn shell_env(root: &Value) -> ShellEnv {
    let timeout = root.pointer("/env/shellEnv/timeoutMs");
    ShellEnv {
        enabled: root.pointer("/env/shellEnv/enabled") == Some(&Value::Bool(true)),
        timeout: timeout.and_then(Value::as_u64).map(Duration::from_millis),
    }
}

/// `env.vars`, and whatever else stands in `env` as text, as the reference reads it.
fn variables(root: &Value) -> Vec<(String, SecretString)> {
    let beside = object(root, "/env").filter(|(name, _)| *name != "vars");
    object(root, "/env/vars")
        .chain(beside)
        .filter_map(|(name, value)| Some((name, value.as_str()?)))
        .filter(|(_, value)| !value.trim().is_empty())
        .map(|(name, value)| (name.clone(), SecretString::from(value)))
        .collect()
}

fn provider_key((provider, entry): (&String, &Value)) -> ProviderKey {
    ProviderKey {
        provider: provider.clone(),
        key: text(entry, "apiKey").map(SecretString::from),
    }
}

fn text(entry: &Value, field: &str) -> Option<String> {
    let text = entry.get(field)?.as_str()?.trim();
    (!text.is_empty()).then(|| text.to_owned())
}

#[cfg(test)]
mod tests;
