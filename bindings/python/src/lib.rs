//! clawkeep for Python: [`clawkeep::Client`], with the global interpreter lock released while a
//! call blocks.

use std::env;

use clawkeep::secrecy::{ExposeSecret as _, SecretString};
use clawkeep::{
    ClientError, Event, FailureReason, Fallback, Filter, ProviderId, Request, Span, TokenOptions,
};
use pyo3::create_exception;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::PyDict;

create_exception!(clawkeep, Error, PyException, "Why a call failed; `kind` is for programs.");

/// The exception for an error, with its kind.
fn raised(py: Python<'_>, error: &ClientError) -> PyErr {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(why) = cause {
        text = format!("{text}: {why}");
        cause = why.source();
    }
    with_kind(py, text, error.kind().as_str())
}

fn with_kind(py: Python<'_>, text: String, kind: &str) -> PyErr {
    let raised = Error::new_err(text);
    match raised.value(py).setattr("kind", kind) {
        Ok(()) => raised,
        Err(error) => error,
    }
}

/// A credential whose use is in the audit record.
#[pyclass(frozen, module = "clawkeep")]
struct Token(clawkeep::Token);

#[pymethods]
impl Token {
    #[getter]
    fn secret(&self) -> &str {
        self.0.secret().expose_secret()
    }

    #[getter]
    fn profile(&self) -> &str {
        self.0.profile().as_str()
    }

    #[getter]
    fn provider(&self) -> &str {
        self.0.provider().as_str()
    }

    #[getter]
    fn kind(&self) -> &'static str {
        self.0.kind().as_str()
    }

    /// Milliseconds since 1970.
    #[getter]
    fn expires(&self) -> Option<i64> {
        self.0.expires().map(|at| at.0)
    }

    fn __repr__(&self) -> String {
        format!("<clawkeep.Token of {}>", self.profile())
    }
}

/// How a credential stands.
#[pyclass(frozen, get_all, module = "clawkeep")]
struct Status {
    profile: String,
    provider: String,
    kind: &'static str,
    state: &'static str,
    expires: Option<i64>,
    skipped_until: Option<i64>,
}

/// An open vault, and the agent whose credentials it hands out.
#[pyclass(frozen, module = "clawkeep")]
struct Client(clawkeep::Client);

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (actor, *, agent=None, state_dir=None, vault=None, passphrase=None, create=true))]
    fn new(
        py: Python<'_>,
        actor: &str,
        agent: Option<String>,
        state_dir: Option<std::path::PathBuf>,
        vault: Option<std::path::PathBuf>,
        passphrase: Option<String>,
        create: bool,
    ) -> PyResult<Self> {
        let mut builder = clawkeep::Client::builder(actor).environment(env::vars_os());
        if let Some(agent) = agent {
            builder = builder.agent(agent);
        }
        if let Some(dir) = state_dir {
            builder = builder.state_dir(dir);
        }
        if let Some(file) = vault {
            builder = builder.vault(file);
        }
        if let Some(passphrase) = passphrase {
            builder = builder.passphrase(SecretString::from(passphrase));
        }
        let opened = py.detach(|| match create {
            true => builder.open_or_create(),
            false => builder.open(),
        });
        opened.map(Self).map_err(|error| raised(py, &error))
    }

    #[pyo3(signature = (provider, *, min_valid=0.0, session=None, fallback=None))]
    fn token(
        &self,
        py: Python<'_>,
        provider: &str,
        min_valid: f64,
        session: Option<String>,
        fallback: Option<bool>,
    ) -> PyResult<Token> {
        let wanted = Request::Provider(ProviderId::new(provider));
        self.hand_out(py, &wanted, min_valid, session, fallback)
    }

    #[pyo3(signature = (profile, *, min_valid=0.0, session=None, fallback=None))]
    fn token_for(
        &self,
        py: Python<'_>,
        profile: &str,
        min_valid: f64,
        session: Option<String>,
        fallback: Option<bool>,
    ) -> PyResult<Token> {
        let wanted = Request::Profile(profile.to_owned());
        self.hand_out(py, &wanted, min_valid, session, fallback)
    }

    fn status(&self, py: Python<'_>) -> PyResult<Vec<Status>> {
        let all = self.call(py, clawkeep::Client::status)?;
        let status = |one: clawkeep::CredentialStatus| Status {
            profile: one.profile.as_str().to_owned(),
            provider: one.provider.as_str().to_owned(),
            kind: one.kind.as_str(),
            state: one.status.as_str(),
            expires: one.expires.map(|at| at.0),
            skipped_until: one.skipped_until.map(|at| at.0),
        };
        Ok(all.into_iter().map(status).collect())
    }

    /// Whether the agent's credentials changed.
    fn sync(&self, py: Python<'_>) -> PyResult<bool> {
        self.call(py, clawkeep::Client::sync).map(|done| done.is_changed)
    }

    fn mark_used(&self, py: Python<'_>, profile: &str) -> PyResult<()> {
        self.call(py, |client| client.mark_used(profile))
    }

    fn mark_failed(&self, py: Python<'_>, profile: &str, reason: &str) -> PyResult<()> {
        let Some(reason) = FailureReason::from_name(reason) else {
            let known: Vec<&str> = FailureReason::ALL.iter().map(|one| one.as_str()).collect();
            let known = known.join(", ");
            let text = format!("the reasons for a failure are: {known}");
            return Err(with_kind(py, text, "bad_argument"));
        };
        self.call(py, |client| client.mark_failed(profile, reason))
    }

    fn set_order(&self, py: Python<'_>, provider: &str, profiles: Vec<String>) -> PyResult<()> {
        let profiles: Vec<&str> = profiles.iter().map(String::as_str).collect();
        self.call(py, |client| client.set_order(provider, &profiles))
    }

    #[pyo3(signature = (*, profile=None, provider=None, limit=100))]
    fn history<'py>(
        &self,
        py: Python<'py>,
        profile: Option<String>,
        provider: Option<String>,
        limit: Option<u64>,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let mut filter = Filter::default().profile(profile).provider(provider);
        filter.limit = limit;
        let events = self.call(py, |client| client.history(&filter))?;
        events.iter().map(|event| fields_of(py, event)).collect()
    }

    /// How many events were verified.
    fn verify(&self, py: Python<'_>) -> PyResult<u64> {
        self.call(py, clawkeep::Client::verify).map(|done| done.events)
    }

    fn __repr__(&self) -> String {
        format!("<clawkeep.{:?}>", self.0)
    }
}

impl Client {
    fn hand_out(
        &self,
        py: Python<'_>,
        wanted: &Request,
        min_valid: f64,
        session: Option<String>,
        fallback: Option<bool>,
    ) -> PyResult<Token> {
        if !(0.0..=1e9).contains(&min_valid) {
            let text = "min_valid is a number of seconds".to_owned();
            return Err(with_kind(py, text, "bad_argument"));
        }
        let least = Span::from_ms((min_valid * 1000.0) as i64);
        let mut options = TokenOptions::default().min_lifetime(least);
        if let Some(session) = session {
            options = options.session(session);
        }
        options = match fallback {
            Some(true) => options.fallback(Fallback::Any),
            Some(false) => options.fallback(Fallback::None),
            None => options,
        };
        self.call(py, |client| client.token_with(wanted, &options)).map(Token)
    }

    /// Makes a call while other threads of Python run.
    fn call<T: Send>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(&clawkeep::Client) -> Result<T, ClientError> + Send,
    ) -> PyResult<T> {
        py.detach(|| work(&self.0)).map_err(|error| raised(py, &error))
    }
}

/// An event as a dictionary, with the names of `clawkeep history --json`.
fn fields_of<'py>(py: Python<'py>, event: &Event) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyDict::new(py);
    fields.set_item("seq", event.seq.0)?;
    fields.set_item("at", event.at.0)?;
    fields.set_item("kind", &*event.kind)?;
    fields.set_item("outcome", &*event.outcome)?;
    fields.set_item("origin", &*event.origin)?;
    fields.set_item("agent", event.agent.as_deref())?;
    fields.set_item("profile", event.profile.as_deref())?;
    fields.set_item("provider", event.provider.as_deref())?;
    fields.set_item("session", event.session.as_deref())?;
    fields.set_item("program", event.actor.program.to_string())?;
    fields.set_item("parent", event.actor.parent.as_ref().map(ToString::to_string))?;
    fields.set_item("pid", event.actor.pid)?;
    fields.set_item("detail", event.detail.as_deref())?;
    Ok(fields)
}

#[pymodule]
fn _clawkeep(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add_class::<Client>()?;
    module.add_class::<Token>()?;
    module.add_class::<Status>()?;
    module.add("Error", module.py().get_type::<Error>())
}
