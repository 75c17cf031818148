//! clawkeep for Node: [`clawkeep::Client`], with each call on a thread of Node's pool.
//!
//! `index.js` gives the functions here their form for programs: classes, options, errors with a
//! kind.

use std::env;
use std::sync::Arc;

use clawkeep::secrecy::{ExposeSecret as _, SecretString};
use clawkeep::{
    ClientError, Event as RecordEvent, FailureReason, Fallback, Filter, ProviderId, Request, Span,
    TokenOptions,
};
use napi::bindgen_prelude::{AsyncTask, ToNapiValue, TypeName};
use napi::{Env, Error, Result, Task};
use napi_derive::napi;

/// Between the kind of an error and its text.
const SEPARATOR: char = '\u{1f}';

fn refused(kind: &str, text: &str) -> Error {
    Error::from_reason(format!("{kind}{SEPARATOR}{text}"))
}

fn error_of(error: &ClientError) -> Error {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    refused(error.kind().as_str(), &text)
}

/// Work for a thread of Node's pool.
pub struct Work<T>(Option<Box<dyn FnOnce() -> Result<T> + Send>>);

impl<T: Send + ToNapiValue + TypeName + 'static> Task for Work<T> {
    type Output = T;
    type JsValue = T;

    fn compute(&mut self) -> Result<T> {
        let work = self.0.take();
        work.map_or_else(|| Err(refused("storage", "a call was made twice")), |work| work())
    }

    fn resolve(&mut self, _env: Env, output: T) -> Result<T> {
        Ok(output)
    }
}

fn task<T>(work: impl FnOnce() -> Result<T> + Send + 'static) -> AsyncTask<Work<T>>
where
    T: Send + ToNapiValue + TypeName + 'static,
{
    AsyncTask::new(Work(Some(Box::new(work))))
}

/// A credential whose use is in the audit record.
#[napi(object)]
pub struct Token {
    pub secret: String,
    pub profile: String,
    pub provider: String,
    pub kind: String,
    pub expires: Option<i64>,
}

/// How a credential stands.
#[napi(object)]
pub struct Status {
    pub profile: String,
    pub provider: String,
    pub kind: String,
    pub state: String,
    pub expires: Option<i64>,
    pub skipped_until: Option<i64>,
}

/// An event, with the names of `clawkeep history --json`.
#[napi(object)]
pub struct Event {
    pub seq: i64,
    pub at: i64,
    pub kind: String,
    pub outcome: String,
    pub origin: String,
    pub agent: Option<String>,
    pub profile: Option<String>,
    pub provider: Option<String>,
    pub session: Option<String>,
    pub program: String,
    pub parent: Option<String>,
    pub pid: i64,
    pub detail: Option<String>,
}

impl From<RecordEvent> for Event {
    fn from(event: RecordEvent) -> Self {
        let text = |text: &Option<Arc<str>>| text.as_deref().map(str::to_owned);
        Self {
            seq: event.seq.0,
            at: event.at.0,
            kind: event.kind.to_string(),
            outcome: event.outcome.to_string(),
            origin: event.origin.to_string(),
            agent: text(&event.agent),
            profile: text(&event.profile),
            provider: text(&event.provider),
            session: text(&event.session),
            program: event.actor.program.to_string(),
            parent: text(&event.actor.parent),
            pid: event.actor.pid,
            detail: event.detail,
        }
    }
}

/// Which vault is opened, and for which agent.
#[napi(object)]
#[derive(Default)]
pub struct ClientOptions {
    pub agent: Option<String>,
    pub state_dir: Option<String>,
    pub vault: Option<String>,
    pub passphrase: Option<String>,
    pub create: Option<bool>,
}

/// The terms on which a credential is handed out.
#[napi(object)]
#[derive(Default)]
pub struct Terms {
    /// In milliseconds.
    pub min_valid: Option<i64>,
    pub session: Option<String>,
    pub fallback: Option<bool>,
}

/// Which events are listed.
#[napi(object)]
#[derive(Default)]
pub struct HistoryOptions {
    pub profile: Option<String>,
    pub provider: Option<String>,
    pub limit: Option<i64>,
}

/// An open vault, and the agent whose credentials it hands out.
#[napi]
pub struct Handle(Arc<clawkeep::Client>);

/// Opens the vault on a thread of Node's pool.
pub struct Open {
    actor: String,
    options: ClientOptions,
}

impl Task for Open {
    type Output = clawkeep::Client;
    type JsValue = Handle;

    fn compute(&mut self) -> Result<clawkeep::Client> {
        let options = std::mem::take(&mut self.options);
        let mut builder = clawkeep::Client::builder(&self.actor).environment(env::vars_os());
        if let Some(agent) = options.agent {
            builder = builder.agent(agent);
        }
        if let Some(dir) = options.state_dir {
            builder = builder.state_dir(dir);
        }
        if let Some(file) = options.vault {
            builder = builder.vault(file);
        }
        if let Some(passphrase) = options.passphrase {
            builder = builder.passphrase(SecretString::from(passphrase));
        }
        let opened = match options.create {
            Some(false) => builder.open(),
            _ => builder.open_or_create(),
        };
        opened.map_err(|error| error_of(&error))
    }

    fn resolve(&mut self, _env: Env, client: clawkeep::Client) -> Result<Handle> {
        Ok(Handle(Arc::new(client)))
    }
}

#[napi]
pub fn open(actor: String, options: Option<ClientOptions>) -> AsyncTask<Open> {
    let options = options.unwrap_or_default();
    AsyncTask::new(Open { actor, options })
}

#[napi]
impl Handle {
    #[napi]
    pub fn token(&self, provider: String, terms: Option<Terms>) -> AsyncTask<Work<Token>> {
        self.hand_out(Request::Provider(ProviderId::new(&provider)), terms)
    }

    #[napi]
    pub fn token_for(&self, profile: String, terms: Option<Terms>) -> AsyncTask<Work<Token>> {
        self.hand_out(Request::Profile(profile), terms)
    }

    #[napi]
    pub fn status(&self) -> AsyncTask<Work<Vec<Status>>> {
        self.call(|client| {
            let all = client.status()?.into_iter();
            let status = |one: clawkeep::CredentialStatus| Status {
                profile: one.profile.as_str().to_owned(),
                provider: one.provider.as_str().to_owned(),
                kind: one.kind.as_str().to_owned(),
                state: one.status.as_str().to_owned(),
                expires: one.expires.map(|at| at.0),
                skipped_until: one.skipped_until.map(|at| at.0),
            };
            Ok(all.map(status).collect())
        })
    }

    #[napi]
    pub fn sync(&self) -> AsyncTask<Work<bool>> {
        self.call(|client| Ok(client.sync()?.is_changed))
    }

    #[napi]
    pub fn mark_used(&self, profile: String) -> AsyncTask<Work<()>> {
        self.call(move |client| client.mark_used(&profile))
    }

    #[napi]
    pub fn mark_failed(&self, profile: String, reason: String) -> AsyncTask<Work<()>> {
        let client = Arc::clone(&self.0);
        task(move || {
            let reason = FailureReason::from_name(&reason).ok_or_else(|| {
                let known: Vec<&str> = FailureReason::ALL.iter().map(|one| one.as_str()).collect();
                let known = known.join(", ");
                refused("bad_argument", &format!("the reasons for a failure are: {known}"))
            })?;
            let marked = client.mark_failed(&profile, reason);
            marked.map_err(|error| error_of(&error))
        })
    }

    #[napi]
    pub fn set_order(&self, provider: String, profiles: Vec<String>) -> AsyncTask<Work<()>> {
        self.call(move |client| {
            let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
            client.set_order(&provider, &profiles)
        })
    }

    #[napi]
    pub fn history(&self, options: Option<HistoryOptions>) -> AsyncTask<Work<Vec<Event>>> {
        let options = options.unwrap_or_default();
        let mut filter = Filter::default().profile(options.profile).provider(options.provider);
        filter.limit = options.limit.and_then(|limit| u64::try_from(limit).ok());
        self.call(move |client| Ok(client.history(&filter)?.into_iter().map(Event::from).collect()))
    }

    #[napi]
    pub fn verify(&self) -> AsyncTask<Work<i64>> {
        self.call(|client| Ok(i64::try_from(client.verify()?.events).unwrap_or(i64::MAX)))
    }
}

impl Handle {
    fn hand_out(&self, wanted: Request, terms: Option<Terms>) -> AsyncTask<Work<Token>> {
        let terms = terms.unwrap_or_default();
        let least = Span::from_ms(terms.min_valid.unwrap_or_default().max(0));
        let mut options = TokenOptions::default().min_lifetime(least);
        if let Some(session) = terms.session {
            options = options.session(session);
        }
        options = match terms.fallback {
            Some(true) => options.fallback(Fallback::Any),
            Some(false) => options.fallback(Fallback::None),
            None => options,
        };
        self.call(move |client| {
            let token = client.token_with(&wanted, &options)?;
            Ok(Token {
                secret: token.secret().expose_secret().to_owned(),
                profile: token.profile().as_str().to_owned(),
                provider: token.provider().as_str().to_owned(),
                kind: token.kind().as_str().to_owned(),
                expires: token.expires().map(|at| at.0),
            })
        })
    }

    /// Makes a call on a thread of Node's pool.
    fn call<T: Send + ToNapiValue + TypeName + 'static>(
        &self,
        work: impl FnOnce(&clawkeep::Client) -> std::result::Result<T, ClientError> + Send + 'static,
    ) -> AsyncTask<Work<T>> {
        let client = Arc::clone(&self.0);
        task(move || work(&client).map_err(|error| error_of(&error)))
    }
}
