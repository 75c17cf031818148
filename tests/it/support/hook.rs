//! A server on loopback that takes messages: it keeps what it is sent, and answers as it is told
//! to.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// What it was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sent {
    /// The request's line.
    pub(crate) line: String,
    /// Each in a line of its own, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Sent {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// How a request is answered.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// With a status, and headers as they stand.
    Status(u16, String),
    /// Not before [`Hook::release`].
    Hang,
}

#[derive(Default)]
struct State {
    sent: Vec<Sent>,
    replies: VecDeque<Reply>,
    is_released: bool,
}

/// The server; it serves until the test's process ends.
pub(crate) struct Hook {
    address: String,
    state: Arc<(Mutex<State>, Condvar)>,
}

impl Hook {
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let state = Arc::new((Mutex::new(State::default()), Condvar::new()));
        let serving = Arc::clone(&state);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let state = Arc::clone(&serving);
                thread::spawn(move || serve(&stream.unwrap(), &state));
            }
        });
        Self { address, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The next requests are answered like that, in turn; all others with 200.
    pub(crate) fn next(&self, replies: impl IntoIterator<Item = Reply>) {
        self.state.0.lock().unwrap().replies.extend(replies);
    }

    /// What came since this was asked last.
    pub(crate) fn take(&self) -> Vec<Sent> {
        std::mem::take(&mut self.state.0.lock().unwrap().sent)
    }

    pub(crate) fn release(&self) {
        self.state.0.lock().unwrap().is_released = true;
        self.state.1.notify_all();
    }

    /// Waits until something has come.
    pub(crate) fn wait(&self) {
        let held = self.state.0.lock().unwrap();
        drop(self.state.1.wait_while(held, |state| state.sent.is_empty()));
    }
}

fn serve(stream: &TcpStream, (state, changed): &(Mutex<State>, Condvar)) -> Option<()> {
    let sent = read(stream)?;
    let reply = {
        let mut state = state.lock().unwrap();
        state.sent.push(sent);
        changed.notify_all();
        state.replies.pop_front()
    };
    let (status, headers) = match reply {
        None => (200, String::new()),
        Some(Reply::Status(status, headers)) => (status, headers),
        Some(Reply::Hang) => {
            let held = state.lock().unwrap();
            drop(changed.wait_while(held, |state| !state.is_released));
            (200, String::new())
        }
    };
    let mut stream = stream;
    write!(
        stream,
        "HTTP/1.1 {status} X\r\n{headers}content-length: 0\r\n\r\n"
    )
    .ok()
}

fn read(stream: &TcpStream) -> Option<Sent> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut headers = Vec::new();
    loop {
        let mut header = String::new();
        reader.read_line(&mut header).ok()?;
        let Some((name, value)) = header.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_lowercase(), value.trim().to_owned()));
    }
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length = length.map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Sent {
        line: line.trim_end().to_owned(),
        headers,
        body: String::from_utf8(body).ok()?,
    })
}
