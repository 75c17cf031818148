//! A provider's token endpoint on loopback that behaves as real ones do: it rotates refresh tokens,
//! revokes a login whose token is used twice, and goes wrong when told to.

use std::collections::{HashMap, HashSet, VecDeque};
use std::io::Write as _;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::http::Request;

/// How the next request is answered instead.
#[derive(Clone, Debug)]
pub(crate) enum Instead {
    /// With that, and nothing is rotated.
    Answer(u16, Vec<(&'static str, String)>, String),
    /// With this in place of the rotated tokens, which are rotated all the same.
    Body(Value),
    /// With the rotated tokens cut in half, and the connection closed.
    HalfAnAnswer,
    /// Not at all: rotated, and the connection closed.
    NoAnswer,
    /// The connection is closed before anything is read.
    Hangup,
}

#[derive(Default)]
struct State {
    /// Refresh tokens that are good, each with its login.
    live: HashMap<String, String>,
    spent: HashMap<String, String>,
    revoked: HashSet<String>,
    issued: u64,
    lifetime: Option<Value>,
    keeps_refresh: bool,
    requests: Vec<Request>,
    instead: VecDeque<Instead>,
    /// Answers wait while this is so.
    is_held: bool,
    delay: Duration,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The server; it serves until the test's process ends.
pub(crate) struct Provider {
    address: String,
    shared: Arc<Shared>,
}

impl Provider {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                lifetime: Some(json!(28800)),
                ..State::default()
            }),
            changed: Condvar::new(),
        });
        let serving = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&serving);
                thread::spawn(move || {
                    let _ = serve(&stream.unwrap(), &shared); // a client that was killed
                });
            }
        });
        Self { address, shared }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().unwrap()
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/token", self.address)
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A refresh token that is good for a login.
    pub(crate) fn grant(&self, login: &str) -> String {
        let mut state = self.state();
        state.issued += 1;
        let token = format!("sk-test-refresh-{login}-{}", state.issued);
        state.live.insert(token.clone(), login.to_owned());
        token
    }

    /// Makes a refresh token good for a login.
    pub(crate) fn good(&self, token: &str, login: &str) {
        self.state().live.insert(token.to_owned(), login.to_owned());
    }

    /// As at its start, but for its address, and with that refresh token good for a login. Only
    /// `faults` needs it.
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    pub(crate) fn begin_again(&self, token: &str, login: &str) {
        let mut state = self.state();
        *state = State {
            lifetime: state.lifetime.take(),
            issued: state.issued,
            ..State::default()
        };
        state.live.insert(token.to_owned(), login.to_owned());
    }

    /// As if another client had exchanged a token: the new one, and an access token.
    pub(crate) fn exchanged_elsewhere(&self, token: &str) -> (String, String) {
        let mut state = self.state();
        let rotated = rotate(&mut state, token).unwrap();
        let text = |name: &str| rotated[name].as_str().unwrap().to_owned();
        (text("refresh_token"), text("access_token"))
    }

    /// The next requests are answered like that, in turn.
    pub(crate) fn next(&self, instead: impl IntoIterator<Item = Instead>) {
        self.state().instead.extend(instead);
    }

    /// What `expires_in` says from now on; nothing leaves it out.
    pub(crate) fn lifetime(&self, expires_in: Option<Value>) {
        self.state().lifetime = expires_in;
    }

    /// Refresh tokens stay good, and no new ones are given out.
    pub(crate) fn keep_refresh_tokens(&self) {
        self.state().keeps_refresh = true;
    }

    /// Every answer takes so long.
    pub(crate) fn delay(&self, delay: Duration) {
        self.state().delay = delay;
    }

    /// No answer is given until [`Provider::release`]: a request is taken and waits.
    pub(crate) fn hold(&self) {
        self.state().is_held = true;
    }

    pub(crate) fn release(&self) {
        self.state().is_held = false;
        self.shared.changed.notify_all();
    }

    /// Waits until so many requests have come.
    pub(crate) fn wait_for(&self, requests: usize) {
        let deadline = Duration::from_secs(30);
        let state = self.state();
        let (state, waited) = self
            .shared
            .changed
            .wait_timeout_while(state, deadline, |state| state.requests.len() < requests)
            .unwrap();
        assert!(!waited.timed_out(), "{} requests", state.requests.len());
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }

    /// Whether a refresh token is good.
    pub(crate) fn is_live(&self, token: &str) -> bool {
        self.state().live.contains_key(token)
    }

    /// How often a refresh token came that had come before.
    pub(crate) fn repeated(&self) -> usize {
        let requests = self.requests();
        let mut seen = HashSet::new();
        let is_repeated =
            |request: &&Request| !seen.insert(request.fields["refresh_token"].clone());
        requests.iter().filter(is_repeated).count()
    }

    pub(crate) fn count(&self) -> usize {
        self.state().requests.len()
    }

    /// Whether a token was used twice, and its login revoked for that.
    pub(crate) fn is_revoked(&self, login: &str) -> bool {
        self.state().revoked.contains(login)
    }

    /// The setting that leads a provider here.
    pub(crate) fn setting(&self, provider: &str) -> String {
        format!(
            "[providers.{provider}]\ntoken_url = \"{}\"\nclient_id = \"test-client\"\n",
            self.url()
        )
    }
}

fn rotate(state: &mut State, token: &str) -> Result<Value, Value> {
    if let Some(login) = state.spent.get(token).cloned() {
        state.live.retain(|_, live| *live != login);
        state.revoked.insert(login);
        return Err(json!({"error": "refresh_token_reused",
                "error_description": format!("{token} was used before")}));
    }
    let Some(login) = state.live.get(token).cloned() else {
        return Err(json!({"error": "invalid_grant",
                "error_description": format!("no such token: {token}")}));
    };
    state.issued += 1;
    let issued = state.issued;
    let mut answer = json!({
        "access_token": format!("sk-test-access-{login}-{issued}"),
        "token_type": "bearer",
    });
    if !state.keeps_refresh {
        let next = format!("sk-test-refresh-{login}-{issued}");
        state.live.remove(token);
        state.spent.insert(token.to_owned(), login.clone());
        state.live.insert(next.clone(), login);
        answer["refresh_token"] = json!(next);
    }
    if let Some(lifetime) = &state.lifetime {
        answer["expires_in"] = lifetime.clone();
    }
    Ok(answer)
}

fn serve(stream: &TcpStream, shared: &Shared) -> std::io::Result<()> {
    let Some(request) = Request::read(stream)? else {
        return Ok(());
    };
    let token = request
        .fields
        .get("refresh_token")
        .cloned()
        .unwrap_or_default();
    let mut state = shared.state.lock().unwrap();
    state.requests.push(request);
    shared.changed.notify_all();
    let instead = state.instead.pop_front();
    if let Some(Instead::Answer(status, headers, body)) = instead {
        drop(state);
        return answer(stream, status, &headers, body.as_bytes());
    }
    if matches!(instead, Some(Instead::Hangup)) {
        return stream.shutdown(Shutdown::Both);
    }
    // A real server has done its work by the time that its answer is late.
    let rotated = rotate(&mut state, &token);
    let delay = state.delay;
    let state = shared
        .changed
        .wait_while(state, |state| state.is_held)
        .unwrap();
    drop(state);
    thread::sleep(delay);
    let (status, body) = match rotated {
        Ok(body) => (200, body),
        Err(body) => (400, body),
    };
    match instead {
        Some(Instead::Body(body)) => answer(stream, 200, &[], body.to_string().as_bytes()),
        Some(Instead::NoAnswer) => stream.shutdown(Shutdown::Both),
        Some(Instead::HalfAnAnswer) => {
            let body = body.to_string();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
            let mut stream = stream;
            stream.write_all(head.as_bytes())?;
            stream.write_all(&body.as_bytes()[..body.len() / 2])?;
            stream.shutdown(Shutdown::Both)
        }
        _ => answer(stream, status, &[], body.to_string().as_bytes()),
    }
}

fn answer(
    mut stream: &TcpStream,
    status: u16,
    headers: &[(&'static str, String)],
    body: &[u8],
) -> std::io::Result<()> {
    let mut head = format!(
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n",
        body.len()
    );
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}
