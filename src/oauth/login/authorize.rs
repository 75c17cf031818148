//! The authorization code flow with a proof key (RFC 6749 section 4.1, RFC 7636): where the browser
//! is sent to, what it brings back, and what that is exchanged for.

use secrecy::{ExposeSecret as _, SecretString};
use url::Url;

use super::error::{LoginError, REQUEST_MAX};
use super::pkce::{METHOD, Pkce, new_state};
use super::redirect::{check_state, checked_code, code_in_query};
use crate::config::Encoding;
use crate::domain::Endpoint;
use crate::oauth::answer::{Refusal, Tokens, understand};
use crate::oauth::fields::Fields;
use crate::oauth::http::post;
use crate::oauth::providers::Provider;
use crate::platform::Clock;

/// A login that was begun and not yet answered.
#[derive(Debug)]
pub struct Authorization<'p> {
    provider: &'p Provider,
    authorize_url: &'p Url,
    client_id: String,
    redirect_uri: Url,
    pkce: Pkce,
    state: String,
}

impl<'p> Authorization<'p> {
    /// Begins a login as the client of `endpoint`, from which the browser comes back to
    /// `redirect_uri`. Nothing is sent.
    ///
    /// # Errors
    /// When the provider's entry says no `authorize_url`, or the system gives no random numbers.
    pub fn begin(
        provider: &'p Provider,
        endpoint: &Endpoint,
        redirect_uri: Url,
    ) -> Result<Self, LoginError> {
        let authorize_url = provider.authorize_url.as_ref();
        Ok(Self {
            provider,
            authorize_url: authorize_url.ok_or_else(|| LoginError::Lacks {
                provider: provider.id.clone(),
                setting: "authorize_url",
            })?,
            client_id: endpoint.client_id.clone(),
            redirect_uri,
            pkce: Pkce::generate()?,
            state: new_state()?,
        })
    }

    /// The address that the browser is to open. No secret, but nobody else's business: who has it
    /// can begin this login in our place.
    #[must_use]
    pub fn url(&self) -> Url {
        let mut fields = vec![
            ("response_type", "code"),
            ("client_id", &self.client_id),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_challenge", &self.pkce.challenge),
            ("code_challenge_method", METHOD),
            ("state", &self.state),
        ];
        let scopes = self.provider.scopes.trim();
        if !scopes.is_empty() {
            fields.push(("scope", scopes));
        }
        for (name, value) in &self.provider.authorize_extra {
            // A second one of those that protect the login would be another's to choose from.
            if fields.iter().all(|(known, _)| known != name) {
                fields.push((name, value));
            }
        }
        let mut url = self.authorize_url.clone();
        url.query_pairs_mut().extend_pairs(fields);
        url
    }

    /// The `state` that the answer has to bring back.
    #[must_use]
    pub fn state(&self) -> &str {
        &self.state
    }

    /// The code in what was pasted: the address that the browser came back to, or `code#state`.
    ///
    /// # Errors
    /// When it has no code, or is not the answer to this login; when it is, and says that the
    /// provider refused.
    pub fn code_in(&self, pasted: &SecretString) -> Result<SecretString, LoginError> {
        let pasted = pasted.expose_secret().trim();
        if pasted.contains("://") {
            let url = Url::parse(pasted).map_err(|_| LoginError::NoCode)?;
            return code_in_query(url.query().unwrap_or_default(), &self.state);
        }
        let (code, state) = pasted.split_once('#').ok_or(LoginError::NoState)?;
        check_state(state.trim(), &self.state)?;
        checked_code(code.trim())
    }

    /// Exchanges the code for tokens. It is sent once: it is good for one time, and a second try
    /// could cost the first one's tokens.
    ///
    /// # Errors
    /// What the answer was, if it brought no tokens.
    pub fn redeem(self, code: &SecretString, clock: Clock) -> Result<Tokens, LoginError> {
        let mut fields = vec![
            ("grant_type", "authorization_code"),
            ("code", code.expose_secret()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("client_id", &self.client_id),
            ("code_verifier", self.pkce.verifier.expose_secret()),
        ];
        if self.provider.encoding == Encoding::Json {
            fields.push(("state", &self.state)); // the endpoints that take JSON ask for it
        }
        let fields = Fields::encoded(self.provider.encoding, &fields);
        let reply = post(&self.provider.token_url, &fields, REQUEST_MAX)
            .map_err(|why| LoginError::NoTokens(Refusal::no_reply(why)))?;
        understand(&reply, self.provider.margin_ms, clock.now()).map_err(LoginError::NoTokens)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, HashMap};

    use crate::config::parse_providers;
    use crate::domain::{ProviderId, cases};
    use crate::oauth::login::redirect::CODE_MAX;
    use crate::oauth::providers::Providers;

    fn provider(more: &str) -> Provider {
        let own = parse_providers(&format!(
            "[providers.p]\ntoken_url = \"https://p.example/t\"\nclient_id = \"c d\"\n{more}"
        ));
        let table = Providers::new(&own.unwrap());
        table.get(&ProviderId::new("p")).unwrap().unwrap()
    }

    fn begin(provider: &Provider) -> Result<Authorization<'_>, LoginError> {
        let redirect = Url::parse("http://127.0.0.1:4567/callback").unwrap();
        Authorization::begin(provider, &provider.endpoint(None).unwrap(), redirect)
    }

    #[test]
    fn where_the_browser_is_sent_to() {
        let settings = "authorize_url = \"https://p.example/a?keep=1\"\nscopes = \"openid email\"\n\
            authorize_extra = { prompt = \"login\", state = \"theirs\", code_challenge_method \
            = \"plain\" }";
        let provider = provider(settings);
        let login = begin(&provider).unwrap();
        let url = login.url();
        let count = url.query_pairs().count();
        let fields: HashMap<_, _> = url.query_pairs().collect();
        assert_eq!(fields.len(), count, "each once: {url}");
        let want = BTreeMap::from([
            ("keep", "1"),
            ("response_type", "code"),
            ("client_id", "c d"),
            ("redirect_uri", "http://127.0.0.1:4567/callback"),
            ("scope", "openid email"),
            ("code_challenge", &login.pkce.challenge),
            ("code_challenge_method", "S256"),
            ("state", login.state()),
            ("prompt", "login"),
        ]);
        assert_eq!(fields.len(), want.len());
        for (name, value) in want {
            assert_eq!(fields[name], value, "{name}");
        }
        let verifier = login.pkce.verifier.expose_secret();
        assert!(!url.as_str().contains(verifier));
        assert!(!format!("{login:?}").contains(verifier));
    }

    #[test]
    fn without_scopes_none_are_asked_for_and_without_an_address_there_is_no_login() {
        let plain = provider("authorize_url = \"https://p.example/a\"");
        let url = begin(&plain).unwrap().url();
        assert!(!url.query_pairs().any(|(name, _)| name == "scope"), "{url}");
        assert!(matches!(
            begin(&provider("")),
            Err(LoginError::Lacks {
                setting: "authorize_url",
                ..
            })
        ));
    }

    #[test]
    fn what_was_pasted() {
        let provider = provider("authorize_url = \"https://p.example/a\"");
        let mut login = begin(&provider).unwrap();
        login.state = "st-1".to_owned();
        let of = |pasted: &str| match login.code_in(&SecretString::from(pasted)) {
            Ok(code) => code.expose_secret().to_owned(),
            Err(error) => {
                let said = format!("{error} {error:?}");
                assert!(!said.contains("sk-"), "{said}");
                let said = format!("{error:?}");
                said.split([' ', '(']).next().unwrap().to_owned()
            }
        };
        for (pasted, want) in cases(
            "
            http://127.0.0.1:4567/callback?code=sk%2Bc&state=st-1 => sk+c
            sk-c#st-1 => sk-c
            sk-c # st-1 => sk-c
            sk-c => NoState
            sk-c# => NoState
            #st-1 => NoCode
            sk-c#st-2 => WrongState
            http://127.0.0.1/callback?code=sk-c => NoState
            http://127.0.0.1/callback?code=sk-c&state=st-2 => WrongState
            http://127.0.0.1/callback?state=st-1 => NoCode
            http://127.0.0.1/callback?state=st-1&code= => NoCode
            http://127.0.0.1/callback?state=st-1&code=sk-%00 => NoCode
            http://127.0.0.1/callback?code=sk-c&state=st-2&state=st-1 => NoState
            http://127.0.0.1/callback?code=sk-c&code=sk-d&state=st-1 => NoCode
            http://127.0.0.1/callback?error=access_denied&state=st-1 => Denied
            http://127.0.0.1/callback?error=access_denied&state=st-2 => WrongState
            http://127.0.0.1/callback => NoState
            http://[sk- => NoCode
            ",
        ) {
            assert_eq!(of(pasted), want, "{pasted}");
        }
        assert_eq!(
            of(" http://localhost:1455/x?state=st-1&code=sk-c#_=_ "),
            "sk-c"
        );
        assert_eq!(of(""), "NoState");
        let long = format!("{}#st-1", "x".repeat(CODE_MAX + 1));
        assert_eq!(of(&long), "NoCode");
    }
}
