//! What `clawkeep.toml` says of a provider: `[providers.<id>]`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::notify::checked_address;
use super::variable_name::check_variable_name;
use crate::domain::{from_outside, known_secret_in};

/// What is written of a provider: where it gives out tokens, and how. What is not written stays as
/// it is built in. Source: `spec/oauth.md`, Providers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProviderSettings {
    /// The token endpoint of the provider.
    pub token_url: Option<String>,
    /// The client id; without one, the profile's `clientId` is used.
    pub client_id: Option<String>,
    /// How a request's fields are written.
    pub encoding: Option<Encoding>,
    /// What a login asks for, separated by spaces.
    pub scopes: Option<String>,
    /// The address where a login begins.
    pub authorize_url: Option<String>,
    /// Where a login on another device begins (RFC 8628).
    pub device_url: Option<String>,
    /// The port on loopback that a login must come back to; any that is free where there is none.
    pub redirect_port: Option<u16>,
    /// The path that it comes back to, and the host it is called by there; `/callback` on
    /// `127.0.0.1` where it does not matter.
    pub redirect_path: Option<String>,
    /// The name under which the provider knows loopback: `localhost`, or none.
    pub redirect_host: Option<String>,
    /// Further fields of the address where a login begins.
    pub authorize_extra: Option<BTreeMap<String, String>>,
    /// How long before the end that the provider names a token counts as ended, in seconds.
    pub expiry_margin: Option<u32>,
    /// The address that `models status --probe` asks for, with a bearer token.
    pub probe_url: Option<String>,
    /// The variables from which programs read the secret. `exec` sets the first one and takes out
    /// the others.
    pub env: Option<Vec<String>>,
}

impl ProviderSettings {
    /// What is wrong with the settings of the provider `id`.
    pub(super) fn fault(&self, id: &str) -> Option<String> {
        let addresses = [
            ("token_url", &self.token_url),
            ("authorize_url", &self.authorize_url),
            ("device_url", &self.device_url),
            ("probe_url", &self.probe_url),
        ];
        let mut addresses = addresses.iter();
        let refused = addresses
            .find_map(|(name, address)| Some((name, checked_address(address.as_deref()?).err()?)));
        if let Some((name, why)) = refused {
            return Some(from_outside(&format!("providers.{id}.{name} {why}")));
        }
        let mut names = self.env.iter().flatten();
        let fault = names.find_map(|name| Some((name, check_variable_name(name).err()?)));
        fault.map(|(name, why)| {
            let name = known_secret_in(name).map_or(name.as_str(), |_| "…");
            from_outside(&format!("providers.{id}.env names {name:?}: {why}"))
        })
    }
}

/// How the fields of a request to a token endpoint are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// `application/x-www-form-urlencoded`, as RFC 6749 has it.
    #[default]
    Form,
    /// The body is encoded as JSON.
    Json,
}
