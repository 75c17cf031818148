//! Where providers give out tokens: a table, extended by `[providers.<id>]` of `clawkeep.toml`.

use std::collections::BTreeMap;

use url::Url;

use crate::config::{Encoding, ProviderSettings, built_in_providers, checked_address};
use crate::domain::{Endpoint, ProviderId};

/// Why a provider's entry cannot be used. Names the setting, which is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("providers.{provider}.{setting} {why}")]
pub struct ProviderFault {
    /// The provider whose setting is invalid.
    pub provider: ProviderId,
    /// The setting that is invalid or missing.
    pub setting: &'static str,
    /// What is wrong with it.
    pub why: &'static str,
}

/// The providers whose tokens can be refreshed, or logged in for, from here.
#[derive(Clone, Debug)]
pub struct Providers {
    entries: BTreeMap<ProviderId, ProviderSettings>,
}

/// A provider's settings, after they were checked.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Provider {
    /// The provider's id, as profiles name it.
    pub id: ProviderId,
    /// The token endpoint: https, or http to a literal loopback address.
    pub token_url: Url,
    /// The client's id, unless the profile has it.
    pub client_id: Option<String>,
    /// How a request's fields are written.
    pub encoding: Encoding,
    /// What a login asks for.
    pub scopes: String,
    /// The address where a login begins.
    pub authorize_url: Option<Url>,
    /// Where a login on another device begins.
    pub device_url: Option<Url>,
    /// The port that a login comes back to; any where there is none.
    pub redirect_port: Option<u16>,
    /// The path that it comes back to.
    pub redirect_path: String,
    /// The host of the address that it comes back to, if that must not be a literal one.
    pub redirect_host: Option<String>,
    /// Further fields of the address where a login begins.
    pub authorize_extra: BTreeMap<String, String>,
    /// How long before its expiry a token counts as expired, in milliseconds.
    pub margin_ms: i64,
}

impl Providers {
    /// The table, with what `own` settings say in place of what is built in, field by field.
    #[must_use]
    pub fn new(own: &BTreeMap<ProviderId, ProviderSettings>) -> Self {
        let mut entries = built_in_providers();
        for (id, settings) in own {
            let entry = entries.entry(id.clone()).or_default();
            overlay(entry, settings.clone());
        }
        Self { entries }
    }

    /// The settings of a provider; `None` if it has no token endpoint, so that only other programs
    /// refresh its tokens.
    ///
    /// # Errors
    /// When its entry is invalid, or would send tokens unencrypted.
    pub fn get(&self, id: &ProviderId) -> Result<Option<Provider>, ProviderFault> {
        let Some(settings) = self.entries.get(id) else {
            return Ok(None);
        };
        let Some(token_url) = &settings.token_url else {
            return Ok(None);
        };
        let address = |setting, text: &Option<String>| {
            let text = text.as_deref().filter(|text| !text.is_empty());
            text.map(|text| address(id, setting, text)).transpose()
        };
        let redirect_path = settings.redirect_path.clone();
        let redirect_path = redirect_path.unwrap_or_else(|| "/callback".to_owned());
        if !redirect_path.starts_with('/') {
            return Err(fault(id, "redirect_path", "does not begin with a slash"));
        }
        Ok(Some(Provider {
            id: id.clone(),
            token_url: self::address(id, "token_url", token_url)?,
            client_id: settings.client_id.clone().filter(|id| !id.is_empty()),
            encoding: settings.encoding.unwrap_or_default(),
            scopes: settings.scopes.clone().unwrap_or_default(),
            authorize_url: address("authorize_url", &settings.authorize_url)?,
            device_url: address("device_url", &settings.device_url)?,
            redirect_port: settings.redirect_port,
            redirect_path,
            redirect_host: settings.redirect_host.clone(),
            authorize_extra: settings.authorize_extra.clone().unwrap_or_default(),
            margin_ms: i64::from(settings.expiry_margin.unwrap_or(0)) * 1000,
        }))
    }

    /// The providers that have an entry.
    pub fn ids(&self) -> impl Iterator<Item = &ProviderId> {
        self.entries.keys()
    }

    /// Returns the variables from which programs read the secret, if the entry names them.
    #[must_use]
    pub fn variables(&self, id: &ProviderId) -> Option<&[String]> {
        self.entries.get(id)?.env.as_deref()
    }
}

impl Provider {
    /// What a grant of this provider is pinned to; `None` where nobody says which client it was
    /// given to. `client_id` is the profile's.
    #[must_use]
    pub fn endpoint(&self, client_id: Option<&str>) -> Option<Endpoint> {
        let client_id = self.client_id.as_deref().or(client_id)?;
        Some(Endpoint {
            origin: self.token_url.origin().ascii_serialization(),
            client_id: client_id.to_owned(),
        })
    }
}

fn overlay(entry: &mut ProviderSettings, over: ProviderSettings) {
    fn set<T>(entry: &mut Option<T>, over: Option<T>) {
        if over.is_some() {
            *entry = over;
        }
    }
    set(&mut entry.token_url, over.token_url);
    set(&mut entry.client_id, over.client_id);
    set(&mut entry.encoding, over.encoding);
    set(&mut entry.scopes, over.scopes);
    set(&mut entry.authorize_url, over.authorize_url);
    set(&mut entry.device_url, over.device_url);
    set(&mut entry.redirect_port, over.redirect_port);
    set(&mut entry.redirect_path, over.redirect_path);
    set(&mut entry.redirect_host, over.redirect_host);
    set(&mut entry.authorize_extra, over.authorize_extra);
    set(&mut entry.expiry_margin, over.expiry_margin);
    set(&mut entry.probe_url, over.probe_url);
    set(&mut entry.env, over.env);
}

fn fault(provider: &ProviderId, setting: &'static str, why: &'static str) -> ProviderFault {
    ProviderFault {
        provider: provider.clone(),
        setting,
        why,
    }
}

/// An address that tokens may be sent to: https, or a literal address of this machine.
fn address(id: &ProviderId, setting: &'static str, text: &str) -> Result<Url, ProviderFault> {
    checked_address(text).map_err(|why| fault(id, setting, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(text: &str) -> Providers {
        Providers::new(&parse_providers(text).unwrap())
    }

    #[test]
    fn what_is_built_in_is_sound() {
        let built_in = built_in_providers();
        assert!(!built_in.is_empty(), "the table is read");
        let table = Providers::new(&BTreeMap::new());
        // Entries without a token endpoint are there for the variables of their programs.
        for (id, known) in &built_in {
            match table.get(id).unwrap() {
                Some(provider) => assert_eq!(provider.token_url.scheme(), "https"),
                None => assert!(known.env.as_ref().is_some_and(|names| !names.is_empty())),
            }
        }
        let get = |id| table.get(&ProviderId::new(id)).unwrap();
        let anthropic = get("anthropic").unwrap();
        assert_eq!(
            (anthropic.encoding, anthropic.margin_ms),
            (Encoding::Json, 300_000)
        );
        assert_eq!(
            anthropic.endpoint(None),
            Some(Endpoint {
                origin: "https://console.anthropic.com".to_owned(),
                client_id: "9d1c250a-e61b-44d9-88ed-5944d1962f5e".to_owned(),
            })
        );
        let qwen = get("qwen-portal").unwrap();
        assert_eq!(qwen.endpoint(None), None);
        assert_eq!(qwen.endpoint(Some("c")).unwrap().client_id, "c");
        assert!(get("github-copilot").is_none());
    }

    #[test]
    fn a_setting_takes_the_place_of_what_is_built_in_and_the_rest_stays() {
        let table = own("[providers.Anthropic]\ntoken_url = \"http://127.0.0.1:9/t\"");
        let anthropic = table.get(&ProviderId::new("anthropic")).unwrap().unwrap();
        assert_eq!(
            anthropic.token_url.origin().ascii_serialization(),
            "http://127.0.0.1:9"
        );
        assert_eq!(anthropic.margin_ms, 300_000);
        let table = own("[providers.mine]\nenv = [\"MINE\"]");
        assert!(table.get(&ProviderId::new("mine")).unwrap().is_none());
        let found = table.variables(&ProviderId::new("mine"));
        assert_eq!(found, Some(&["MINE".to_owned()][..]));
    }

    #[test]
    fn tokens_are_sent_over_https_or_to_this_machine_by_number() {
        for (url, why) in [
            ("https://a.example/t", None),
            ("http://127.0.0.1:80/t", None),
            ("http://127.9.9.9/t", None),
            ("http://[::1]:80/t", None),
            ("http://localhost/t", Some("is not https")),
            ("http://127.0.0.1.a.example/t", Some("is not https")),
            ("http://a.example/t", Some("is not https")),
            ("http://10.0.0.1/t", Some("is not https")),
            ("file:///etc/passwd", Some("is not https")),
            ("https://u:p@a.example/t", Some("has a user name")),
            ("https://a.example/t#f", Some("has a fragment")),
            ("a.example/t", Some("is no address")),
            ("", Some("is no address")),
        ] {
            let table = own(&format!("[providers.p]\ntoken_url = \"{url}\""));
            let got = table.get(&ProviderId::new("p"));
            match why {
                None => assert!(got.unwrap().is_some(), "{url}"),
                Some(why) => assert!(got.unwrap_err().to_string().contains(why), "{url}"),
            }
        }
    }
}
