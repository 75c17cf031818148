//! A provider that logs people in, on loopback: it gives tokens for a code only to who has the
//! verifier, once, and confirms logins on other devices when told to.

use std::collections::{HashMap, VecDeque};
use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use url::Url;

use super::http::Request;

/// What a code or a device code was given out for.
#[derive(Clone)]
struct Asked {
    challenge: String,
    client: String,
    redirect: Option<String>,
}

#[derive(Default)]
struct State {
    codes: HashMap<String, Asked>,
    issued: u32,
    requests: Vec<Request>,
    /// Added to the next tokens, or taken out of them where null.
    more: Value,
    /// The next answers of the token endpoint, in place of its own.
    instead: VecDeque<(u16, Value)>,
    /// What the device endpoint says beside its codes.
    device: Value,
}

/// The server; it ends with the test's process.
pub(crate) struct LoginServer {
    address: String,
    state: Arc<Mutex<State>>,
}

impl LoginServer {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new(Mutex::new(State {
            device: json!({"interval": 1, "expires_in": 600}),
            ..State::default()
        }));
        let (serving, own) = (Arc::clone(&state), address.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let _ = serve(&stream.unwrap(), &own, &serving); // a client that was killed
            }
        });
        Self { address, state }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    pub(crate) fn origin(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The settings that lead a provider here, and more of them; as `test-client`, unless they say
    /// another.
    pub(crate) fn setting(&self, provider: &str, more: &str) -> String {
        let origin = self.origin();
        let client = if more.contains("client_id") {
            ""
        } else {
            "client_id = \"test-client\"\n"
        };
        format!(
            "[providers.{provider}]\ntoken_url = \"{origin}/token\"\nauthorize_url \
             = \"{origin}/authorize\"\n\
             device_url = \"{origin}/device\"\nscopes = \"openid email\"\n{client}{more}\n"
        )
    }

    /// As if a person had agreed at the address: the code that the browser brings back.
    pub(crate) fn agree(&self, url: &Url) -> String {
        let fields: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert_eq!(url.path(), "/authorize");
        assert_eq!(fields["response_type"], "code");
        assert_eq!(fields["code_challenge_method"], "S256");
        let asked = Asked {
            challenge: fields["code_challenge"].clone(),
            client: fields["client_id"].clone(),
            redirect: Some(fields["redirect_uri"].clone()),
        };
        give_out(&mut self.state(), "code", asked)
    }

    /// The next tokens come with that besides; with null, without it.
    pub(crate) fn with(&self, more: Value) {
        self.state().more = more;
    }

    /// The token endpoint answers like that first, in turn.
    pub(crate) fn next(&self, answers: impl IntoIterator<Item = (u16, Value)>) {
        self.state().instead.extend(answers);
    }

    /// What the device endpoint says beside its codes.
    pub(crate) fn device(&self, answer: Value) {
        self.state().device = answer;
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.state().requests.clone()
    }
}

fn give_out(state: &mut State, what: &str, asked: Asked) -> String {
    state.issued += 1;
    let code = format!("sk-test-{what}-{}", state.issued);
    state.codes.insert(code.clone(), asked);
    code
}

fn serve(stream: &TcpStream, own: &str, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(request) = Request::read(stream)? else {
        return Ok(());
    };
    let (status, answer) = {
        let mut state = state.lock().unwrap();
        state.requests.push(request.clone());
        match request.path.as_str() {
            "/device" => (200, device(&mut state, own, &request.fields)),
            _ => match state.instead.pop_front() {
                Some(instead) => instead,
                None => tokens(&mut state, &request.fields),
            },
        }
    };
    let answer = answer.to_string();
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
        answer.len()
    )
}

fn device(state: &mut State, own: &str, fields: &HashMap<String, String>) -> Value {
    let asked = Asked {
        challenge: fields["code_challenge"].clone(),
        client: fields["client_id"].clone(),
        redirect: None,
    };
    let mut answer = json!({
        "device_code": give_out(state, "device", asked),
        "user_code": "ABCD-EFGH",
        "verification_uri": format!("http://{own}/go"),
    });
    merge(&mut answer, &state.device);
    answer
}

fn tokens(state: &mut State, fields: &HashMap<String, String>) -> (u16, Value) {
    let text = |name: &str| fields.get(name).map(String::as_str).unwrap_or_default();
    let code = match text("grant_type") {
        "authorization_code" => text("code"),
        "urn:ietf:params:oauth:grant-type:device_code" => text("device_code"),
        _ => return (400, json!({"error": "unsupported_grant_type"})),
    };
    // Taken out: a code is good for one time.
    let Some(asked) = state.codes.remove(code) else {
        return (
            400,
            json!({"error": "invalid_grant", "error_description": code}),
        );
    };
    let digest = Sha256::digest(text("code_verifier").as_bytes());
    let is_same = BASE64URL_NOPAD.encode(&digest) == asked.challenge
        && text("client_id") == asked.client
        && fields.get("redirect_uri") == asked.redirect.as_ref();
    if !is_same {
        return (400, json!({"error": "invalid_grant"}));
    }
    state.issued += 1;
    let mut answer = json!({
        "access_token": format!("sk-test-access-{}", state.issued),
        "refresh_token": format!("sk-test-refresh-{}", state.issued),
        "expires_in": 28800,
    });
    merge(&mut answer, &state.more);
    (200, answer)
}

fn merge(answer: &mut Value, more: &Value) {
    let answer = answer.as_object_mut().unwrap();
    for (name, value) in more.as_object().into_iter().flatten() {
        match value {
            Value::Null => {
                answer.remove(name);
            }
            value => {
                answer.insert(name.clone(), value.clone());
            }
        }
    }
}

/// A JWT with these claims, whose signature nobody checks.
pub(crate) fn jwt(claims: &Value) -> String {
    let claims = BASE64URL_NOPAD.encode(claims.to_string().as_bytes());
    format!("e30.{claims}.c2ln")
}
