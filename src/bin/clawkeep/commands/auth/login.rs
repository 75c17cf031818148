//! `models auth login`: log in at a provider, in a browser here or elsewhere, or on another device.

use std::collections::BTreeMap;

use crate::advice::shell_word;
use clap::Args;
use clawkeep::internal::audit::Origin;
use clawkeep::internal::config::ConfigEdit;
use clawkeep::internal::domain::{
    Borrowed, CredentialType, Endpoint, ProfileId, ProviderId, SecretJson, Section, Span, StoreDoc,
    is_hidden, json_number, jwt_claims,
};
use clawkeep::internal::oauth::{
    Authorization, Awaited, Callback, DeviceLogin, Ended, FailureClass, Listener, LoginError,
    Provider, Tokens, WAIT,
};
use clawkeep::internal::sync::{Edited, LOGIN};
use secrecy::ExposeSecret as _;
use serde_json::{Map, Value, json};

use super::paste::profile_id;
use super::{checks, edit, order};
use crate::commands::hand_out::refresh_failure;
use crate::context::Context;
use crate::context::browser::{has_desktop, open_browser};
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::prompt;
use crate::terminal::text::shown_id;

/// The provider whose access tokens name the account. Source: `spec/oauth.md`, Providers.
const CODEX: &str = "openai-codex";
/// Where they name it. Source: Codex CLI's login.
const CODEX_CLAIM: &str = "https://api.openai.com/auth";
const CODEX_ACCOUNT: &str = "chatgpt_account_id";

/// Log in at a provider, in a browser.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth login --provider openai-codex                \
        opens a browser on this machine\n  clawkeep models auth login --provider openai-codex \
        --no-browser   over SSH: prints an address, asks for the address of the last page\n  \
        clawkeep models auth login --provider acme --device                prints a code to type \
        on another device (acme: see below)\n\nA provider that is not built in needs token_url, \
        client_id and authorize_url (or device_url) in [providers.ID] of clawkeep.toml."
)]
pub(crate) struct Login {
    /// The provider, for example openai-codex
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: ProviderId,
    #[command(flatten)]
    way: LoginWay,
}

/// How to log in, and where the login is stored.
#[derive(Debug, Args)]
pub(crate) struct LoginWay {
    /// The profile to store it as [default: PROVIDER:EMAIL, or PROVIDER:default]
    #[arg(long, value_name = "ID", value_parser = profile_id)]
    profile_id: Option<ProfileId>,
    /// Open no browser here: ask for the address of the page on which the login finishes
    #[arg(long, conflicts_with = "device")]
    no_browser: bool,
    /// Log in on another device, with a code
    #[arg(long)]
    device: bool,
    #[command(flatten)]
    agent: AgentOption,
}

/// The result of a login, and the browser that waits for it.
struct Brought {
    tokens: Tokens,
    browser: Option<Callback>,
}

struct NewLogin<'a> {
    id: ProfileId,
    provider: &'a Provider,
    endpoint: &'a Endpoint,
    tokens: &'a Tokens,
    email: Option<String>,
}

impl Login {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        self.way.log_in_at(context, &self.provider)
    }
}

impl LoginWay {
    /// Whether no option was given.
    pub(crate) fn is_default(&self) -> bool {
        let has_agent = self.agent.is_named();
        self.profile_id.is_none() && !self.no_browser && !self.device && !has_agent
    }

    /// Where no browser can open here, asks for the address of the last page instead; without a
    /// terminal, refuses a login that nobody could finish: it would wait in vain.
    fn adapt_to_machine(&mut self, context: &Context, provider: &Provider) -> Result<(), Failure> {
        let is_elsewhere = self.device || self.no_browser;
        if is_elsewhere || is_called_as_gateway() || has_desktop(context) {
            return Ok(());
        }
        if prompt::is_possible() {
            context
                .ui
                .note("No browser can open here (no DISPLAY): clawkeep goes on as --no-browser.");
            self.no_browser = true;
            return Ok(());
        }
        let id = &provider.id;
        let device = match provider.device_url.is_some() {
            true => format!(" Or on another device: clawkeep login {id} --device"),
            false => String::new(),
        };
        Err(Failure::Refused {
            what: "no browser can open here (no DISPLAY), and there is no terminal".to_owned(),
            next: format!(
                "Log in at a terminal, over SSH too: clawkeep login {id} --no-browser.{device}"
            ),
        })
    }

    /// Logs in at a provider, and stores the login.
    pub(crate) fn log_in_at(
        mut self,
        context: &Context,
        provider: &ProviderId,
    ) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let provider = self.known(context, provider)?;
        let mut vault = context.vault()?; // before the login: without the vault it would be in vain
        checks::check_known(context, &vault, &agent)?;
        let doc = context.load(&mut vault, &agent)?.doc;
        let stored = self
            .profile_id
            .as_ref()
            .and_then(|id| doc.credential(id.as_str()));
        if let Some(id) = &self.profile_id {
            check_not_others(&doc, id, &provider.id)?;
            checks::check_no_reference(&doc, id.as_str(), checks::ID_OPTION)?;
            let borrowed = vault.agent(&agent.name)?.borrowed;
            checks::check_not_borrowed(&borrowed, id, checks::ID_OPTION)?;
        }
        let client_id = stored.as_ref().and_then(|stored| stored.client_id());
        let endpoint = provider
            .endpoint(client_id)
            .ok_or_else(|| lacks(context, &provider.id, "client_id"))?;
        self.adapt_to_machine(context, &provider)?;
        let brought = self
            .log_in(context, &provider, &endpoint)
            .map_err(|ended| ended.failure(context, &provider.id))?;
        let email = email(&brought.tokens);
        let login = NewLogin {
            id: self
                .profile_id
                .unwrap_or_else(|| default_id(&provider.id, email.as_deref())),
            provider: &provider,
            endpoint: &endpoint,
            tokens: &brought.tokens,
            email,
        };
        let stored = vault
            .agent(&agent.name)
            .map_err(Failure::from)
            .and_then(|state| {
                let borrowed = state.borrowed;
                let open = order::open_order(&vault, &agent, &provider.id)?;
                edit::edit_store(context, &mut vault, &agent, |doc| {
                    let edited = login.edited(doc, &borrowed)?;
                    let ids = [login.id.as_str()];
                    Ok(order::follow(edited, &provider.id, &ids, open.as_deref()))
                })
            });
        if let Some(browser) = brought.browser {
            let ended = match &stored {
                Ok(_) => Ended::Done,
                Err(_) => Ended::Failed,
            };
            browser.show_result(ended);
        }
        let loaded = stored?;
        login.note_consequences(context, loaded.before.as_ref());
        let new = (login.id.as_str(), &provider.id);
        order::note_place(context, &agent, &loaded, new);
        edit::note_agent(context, &agent)?;
        let edit = ConfigEdit::Put {
            id: login.id.clone(),
            provider: provider.id.clone(),
            mode: CredentialType::OAuth,
        };
        let recorded = edit::record_in_config(context, &edit, &format!("{} is stored", login.id));
        let lasts = login.tokens.expires.left_at(context.clock.now());
        let stored = json!({
            "profileId": login.id.as_str(),
            "provider": provider.id.as_str(),
            "type": CredentialType::OAuth.as_str(),
            "agentId": agent.name.as_str(),
            "expiresAt": json_number(login.tokens.expires.ms()),
        });
        edit::conclude(context, loaded, recorded, |updated| {
            let text = format!(
                "{updated}Auth profile: {} ({}/oauth), lasts {}\n",
                login.id,
                provider.id,
                Span::from_f64(lasts).short()
            );
            context.ui.done(&text, &stored)
        })
    }

    /// The provider's entry, with the settings that this way of logging in needs.
    fn known(&self, context: &Context, id: &ProviderId) -> Result<Provider, Failure> {
        let known = context.providers()?.get(id);
        let known = known.map_err(|fault| Failure::Refused {
            what: fault.to_string(),
            next: format!("Fix it in {}.", settings(context)),
        })?;
        let way = if self.device {
            "device_url"
        } else {
            "authorize_url"
        };
        let Some(known) = known else {
            let lacking = format!("token_url, client_id and {way}");
            return Err(lacks(context, id, &lacking));
        };
        let has_it = match self.device {
            true => known.device_url.is_some(),
            false => known.authorize_url.is_some(),
        };
        if has_it {
            Ok(known)
        } else {
            Err(lacks(context, id, way))
        }
    }

    fn log_in(
        &self,
        context: &Context,
        provider: &Provider,
        endpoint: &Endpoint,
    ) -> Result<Brought, NotLoggedIn> {
        let tokens = match (self.device, self.no_browser) {
            (true, _) => on_device(context, provider, endpoint)?,
            (false, true) => by_pasting(context, provider, endpoint)?,
            (false, false) => return in_browser(context, provider, endpoint),
        };
        Ok(Brought {
            tokens,
            browser: None,
        })
    }
}

enum NotLoggedIn {
    Login(LoginError),
    Asking(Failure),
}

impl From<LoginError> for NotLoggedIn {
    fn from(error: LoginError) -> Self {
        Self::Login(error)
    }
}

impl NotLoggedIn {
    fn failure(self, context: &Context, provider: &ProviderId) -> Failure {
        let error = match self {
            Self::Login(error) => error,
            Self::Asking(failure) => return failure,
        };
        let next = match &error {
            LoginError::Lacks { setting, .. } => return lacks(context, provider, setting),
            LoginError::PortBusy { .. } => {
                "End the program that has it, or log in with --no-browser.".to_owned()
            }
            LoginError::Listen(_) => "Log in with --no-browser.".to_owned(),
            LoginError::NoState => {
                "Run the command again, and paste the whole address, or code#state.".to_owned()
            }
            LoginError::WrongState => {
                "Run the command again, and open the address that it prints then.".to_owned()
            }
            LoginError::NoTokens(refusal) | LoginError::NoDeviceCode(refusal)
                if refusal.class == FailureClass::Misconfigured =>
            {
                let id = refresh_failure::quoted(provider);
                let file = settings(context);
                format!("Check client_id and scopes in [providers.{id}] of {file}.")
            }
            _ => "Nothing was stored. Run the command again.".to_owned(),
        };
        let what = match std::error::Error::source(&error) {
            Some(why) => format!("{error}: {why}"),
            None => error.to_string(),
        };
        Failure::Refused { what, next }
    }
}

fn in_browser(
    context: &Context,
    provider: &Provider,
    endpoint: &Endpoint,
) -> Result<Brought, NotLoggedIn> {
    let listener = Listener::bind(provider)?;
    let login = Authorization::begin(provider, endpoint, listener.redirect_uri().clone())?;
    let url = login.url();
    // Every user of the machine can read a browser's arguments.
    let is_opened = open_browser(context, listener.start().as_str());
    let begin = match is_opened {
        true => "A browser opens to log in to",
        false => "Open this address in a browser on this machine to log in to",
    };
    show_url(context, &format!("{begin} {}:", provider.id), url.as_str());
    context.ui.note(&format!(
        "Waiting {} minutes for it to come back. A browser on another machine cannot: use \
         --no-browser for that.",
        WAIT.as_secs() / 60
    ));
    let _progress = context.ui.countdown("Waiting for the browser", WAIT);
    let awaited = Awaited {
        state: login.state(),
        url: &url,
    };
    let mut refused = Vec::new();
    let callback = listener.wait(awaited, WAIT, &mut |uid| {
        if !refused.contains(&uid) {
            refused.push(uid);
            context.ui.warn(&format!(
                "Warning: another user of this machine (uid {uid}) answered in place of your \
                 browser, and was refused. Still waiting."
            ));
        }
    })?;
    match login.redeem(&callback.code, context.clock) {
        Ok(tokens) => Ok(Brought {
            tokens,
            browser: Some(callback),
        }),
        Err(error) => {
            callback.show_result(Ended::Failed);
            Err(error.into())
        }
    }
}

fn by_pasting(
    context: &Context,
    provider: &Provider,
    endpoint: &Endpoint,
) -> Result<Tokens, NotLoggedIn> {
    let login = Authorization::begin(provider, endpoint, Listener::nowhere(provider)?)?;
    let id = &provider.id;
    let begin = format!("Open this address in a browser, on any machine, to log in to {id}:");
    show_url(context, &begin, login.url().as_str());
    context.ui.qr_code(login.url().as_str());
    context.ui.note(
        "The browser may not be able to open the last page. Copy the address of that page (or \
         code#state, if it shows that).",
    );
    let question = "Paste it here; it does not show";
    let pasted = prompt::secret_line(question).map_err(NotLoggedIn::Asking)?;
    let code = login.code_in(&pasted)?;
    let _progress = context
        .ui
        .progress(&format!("Asking {} for tokens", provider.id));
    Ok(login.redeem(&code, context.clock)?)
}

fn on_device(
    context: &Context,
    provider: &Provider,
    endpoint: &Endpoint,
) -> Result<Tokens, NotLoggedIn> {
    let login = DeviceLogin::begin(provider, endpoint, context.clock)?;
    let id = &provider.id;
    let begin = format!("Open this address on any device to log in to {id}:");
    show_url(context, &begin, login.verification_uri().as_str());
    context
        .ui
        .warn(&format!("and type the code: {}", login.user_code()));
    if let Some(url) = login.verification_uri_complete() {
        show_url(context, "The same, with the code in it:", url.as_str());
    }
    let complete = login.verification_uri_complete();
    let address = complete.unwrap_or_else(|| login.verification_uri());
    context.ui.qr_code(address.as_str());
    context.ui.note(&format!(
        "Waiting until it is confirmed there; the code expires in {} minutes.",
        login.lifetime().as_secs().div_ceil(60)
    ));
    let what = "Waiting until it is confirmed";
    let _progress = context.ui.countdown(what, login.lifetime());
    Ok(login.wait(context.clock)?)
}

/// Printed even with `--quiet`: without it nobody can log in.
fn show_url(context: &Context, begin: &str, url: &str) {
    context.ui.warn(begin);
    context.ui.warn(&format!("  {url}"));
}

impl NewLogin<'_> {
    fn edited(
        &self,
        doc: &StoreDoc,
        borrowed: &BTreeMap<String, Borrowed>,
    ) -> Result<Edited, Failure> {
        // the id may be made of what the provider says
        checks::check_not_borrowed(borrowed, &self.id, checks::ID_OPTION)?;
        checks::check_no_reference(doc, self.id.as_str(), checks::ID_OPTION)?;
        check_not_others(doc, &self.id, &self.provider.id)?;
        let entry = self.entry(doc.get(Section::Profiles, self.id.as_str()));
        let mut after = doc.clone();
        after.set(
            Section::Profiles,
            self.id.as_str(),
            entry.expose_secret().clone(),
        );
        Ok(Edited::to(after, Vec::new())
            .by(LOGIN, Origin::Clawkeep)
            .pinned(self.id.clone(), self.endpoint.clone()))
    }

    /// The entry as the reference writes it, with what an earlier one of that id has besides.
    fn entry(&self, before: Option<&Value>) -> SecretJson {
        let text = |text: &str| Some(Value::from(text));
        let tokens = self.tokens;
        let refresh = tokens.refresh.as_ref().map(|token| token.expose_secret());
        let fields = [
            ("type", text(CredentialType::OAuth.as_str())),
            ("provider", text(self.provider.id.as_str())),
            ("access", text(tokens.access.expose_secret())),
            ("refresh", refresh.and_then(text)),
            ("expires", Some(json_number(tokens.expires.ms()))),
            ("email", self.email.as_deref().and_then(text)),
            ("accountId", self.account().as_deref().and_then(text)),
        ];
        // Secrets of an earlier login, or of another kind of credential, that this one lacks.
        let gone = ["token", "key", "idToken"];
        let mut entry = Map::new();
        let earlier = before.and_then(Value::as_object);
        for (name, value) in earlier.into_iter().flatten() {
            let is_ours = fields.iter().any(|(ours, _)| ours == name);
            if !is_ours && !gone.contains(&name.as_str()) {
                entry.insert(name.clone(), value.clone());
            }
        }
        let mut whole: Map<String, Value> = fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect();
        if let Some(client) = entry.get_mut("clientId") {
            *client = Value::from(self.endpoint.client_id.as_str());
        }
        whole.append(&mut entry);
        SecretJson::new(Value::Object(whole))
    }

    /// The account that the provider's access token names.
    fn account(&self) -> Option<String> {
        if self.provider.id.as_str() != CODEX {
            return None;
        }
        let claims = jwt_claims(self.tokens.access.expose_secret())?;
        let account = claims.get(CODEX_CLAIM)?.get(CODEX_ACCOUNT)?.as_str()?;
        (!account.is_empty()).then(|| account.to_owned())
    }

    fn note_consequences(&self, context: &Context, before: Option<&StoreDoc>) {
        let replaced = before.and_then(|before| before.credential(self.id.as_str()));
        if let Some(replaced) = replaced {
            let what = match replaced.kind {
                CredentialType::OAuth => "login",
                other => other.as_str(),
            };
            context.ui.note(&format!(
                "Note: it replaced the {what} that was stored as {}.",
                self.id
            ));
        }
        if self.tokens.refresh.is_none() {
            context.ui.note(&format!(
                "Note: {} gave no refresh token, so {} cannot be refreshed. Log in again when it \
                 expires.",
                self.provider.id, self.id
            ));
        }
    }
}

/// The e-mail address in the id token, if it is one: it becomes part of an id.
fn email(tokens: &Tokens) -> Option<String> {
    const EMAIL_MAX: usize = 128;
    let claims = jwt_claims(tokens.id_token.as_ref()?.expose_secret())?;
    let email = claims.get("email")?.as_str()?.trim();
    let is_one = email.contains('@')
        && email.len() <= EMAIL_MAX
        && !email.contains(|c: char| is_hidden(c) || c.is_whitespace());
    is_one.then(|| email.to_owned())
}

fn default_id(provider: &ProviderId, email: Option<&str>) -> ProfileId {
    ProfileId::new(format!("{provider}:{}", email.unwrap_or("default")))
}

/// Refuses the id of another provider's credential, which would silently disappear.
fn check_not_others(doc: &StoreDoc, id: &ProfileId, provider: &ProviderId) -> Result<(), Failure> {
    match doc.credential(id.as_str()) {
        Some(stored) if stored.is_readable() && !stored.is_for(provider.as_str()) => {
            Err(Failure::Refused {
                what: format!(
                    "{} is a credential of {}, not of {provider}",
                    shown_id(id.as_str()),
                    shown_id(stored.provider)
                ),
                next: "Choose another id with --profile-id; or remove that one first.".to_owned(),
            })
        }
        _ => Ok(()),
    }
}

fn settings(context: &Context) -> String {
    context.layout.shorten_home(&context.layout.settings_file)
}

fn lacks(context: &Context, provider: &ProviderId, lacking: &str) -> Failure {
    let id = refresh_failure::quoted(provider);
    let file = settings(context);
    let set = format!("set {lacking} in [providers.{id}] of {file}.");
    if lacking == "device_url" {
        return Failure::Refused {
            what: format!(
                "{} has no login for another device",
                shown_id(provider.as_str())
            ),
            next: format!(
                "Log in in a browser, on any machine: clawkeep login {} --no-browser. If the \
                 provider has one, {set}",
                shell_word(provider.as_str())
            ),
        };
    }
    let next = match provider.as_str() {
        "anthropic" => format!("Use: clawkeep models auth setup-token; or {set}"),
        _ => format!("To log in here, {set}"),
    };
    let are = if lacking.contains(" and ") {
        "are"
    } else {
        "is"
    };
    Failure::Refused {
        what: format!(
            "cannot log in to {} here: {lacking} of that provider {are} not set",
            shown_id(provider.as_str())
        ),
        next,
    }
}
