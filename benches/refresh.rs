//! Refreshing, as whole processes against a token endpoint on loopback:
//! `cargo bench --bench refresh`.
//!
//! Prints medians and the longest of one run, beside an empty process's. The goal: a second
//! process's wait ends within 300 ms of the first one's commit.

#![allow(clippy::print_stdout, reason = "the numbers are its answer")]
#![allow(
    clippy::disallowed_methods,
    reason = "a benchmark may fail where no thread can be started"
)]

mod shared;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};

const ROUNDS: usize = 40;
/// How long the endpoint takes, so that a second process is there while the first one waits.
const ANSWERS_AFTER: Duration = Duration::from_millis(150);

const STORE: &str = ".clawdbot/agents/main/agent/auth-profiles.json";
const TOKEN: [&str; 3] = ["token", "--provider", "test"];

fn main() {
    let (requests, came) = mpsc::channel();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port on loopback");
    let address = listener.local_addr().expect("a bound port has an address");
    thread::spawn(move || serve(&listener, &requests));
    let home = tempfile::tempdir().expect("a directory for the benchmark's home");
    let settings =
        format!("[providers.test]\ntoken_url = \"http://{address}/token\"\nclient_id = \"c\"\n");
    write(home.path(), ".clawdbot/clawkeep.toml", &settings);
    shared::run(shared::command(home.path(), &["init", "--key", "keyfile"]));

    let (mut empty, mut valid, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let (mut lag, mut holder) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        empty.push(timed(shared::run_nothing));
        expire(home.path(), round, "alone");
        alone.push(timed(|| shared::run(shared::command(home.path(), &TOKEN))) - ANSWERS_AFTER);
        came.recv().expect("the endpoint's thread runs");
        valid.push(timed(|| shared::run(shared::command(home.path(), &TOKEN))));
        expire(home.path(), round, "two");
        let started = Instant::now();
        let mut first = shared::command(home.path(), &TOKEN);
        let mut first = first.spawn().expect("the binary that cargo just built");
        came.recv().expect("the endpoint's thread runs");
        let mut second = shared::command(home.path(), &TOKEN);
        let status = second.status().expect("the binary that cargo just built");
        let ended = SystemTime::now();
        assert!(status.success() && first.wait().is_ok_and(|status| status.success()));
        holder.push(started.elapsed() - ANSWERS_AFTER);
        let since = UNIX_EPOCH + Duration::from_millis(committed(home.path()));
        lag.push(ended.duration_since(since).unwrap_or_default());
        assert!(came.try_recv().is_err(), "a second request");
    }
    println!("{ROUNDS} rounds; the endpoint answers after {ANSWERS_AFTER:?}, which is taken off");
    for (what, mut times) in [
        ("an empty process", empty),
        ("token, while it lasts", valid),
        ("token, refreshed", alone),
        ("two of them, both done", holder),
        ("the second's end after the first's commit", lag),
    ] {
        times.sort();
        let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
        println!("{what:<42} median {median:>9.2?}  longest {longest:>9.2?}");
    }
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

/// Puts a login that has expired into the store.
fn expire(home: &Path, round: usize, what: &str) {
    let entry = json!({"type": "oauth", "provider": "test", "access": "old",
        "refresh": format!("{what}-{round}"), "expires": 1});
    let store = json!({"version": 1, "profiles": {"test:login": entry}});
    write(home, STORE, &store.to_string());
    shared::run(shared::command(home, &["models", "status"]));
}

/// When the newest refresh was committed, in milliseconds since the epoch.
fn committed(home: &Path) -> u64 {
    let mut history = shared::command(
        home,
        &[
            "history",
            "--kind",
            "refresh.succeeded",
            "--limit",
            "1",
            "--json",
        ],
    );
    let output = history.stdout(Stdio::piped()).output().expect("it runs");
    let answer: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let at = answer["events"][0]["at"]
        .as_str()
        .expect("an event has a time");
    let at = chrono::DateTime::parse_from_rfc3339(at).expect("of RFC 3339");
    u64::try_from(at.timestamp_millis()).expect("after 1970")
}

fn write(home: &Path, name: &str, text: &str) {
    let path = home.join(name);
    std::fs::create_dir_all(path.parent().expect("it is below the home")).expect("a fresh home");
    std::fs::write(&path, text).expect("a file in a fresh home");
    clawkeep::internal::platform::close_to_others(&path, 0o600).expect("a file of ours");
}

fn serve(listener: &TcpListener, requests: &mpsc::Sender<()>) {
    for (at, stream) in listener.incoming().enumerate() {
        let Ok(mut stream) = stream else { return };
        let mut reader = BufReader::new(stream.try_clone().expect("a socket can be cloned"));
        let mut length = 0;
        for line in reader.by_ref().lines() {
            let line = line.unwrap_or_default().to_lowercase();
            if let Some(value) = line.strip_prefix("content-length:") {
                length = value.trim().parse().unwrap_or(0);
            }
            if line.is_empty() {
                break;
            }
        }
        let mut body = vec![0; length];
        let _ = reader.read_exact(&mut body);
        let _ = requests.send(());
        thread::sleep(ANSWERS_AFTER);
        let body = json!({"access_token": format!("a{at}"), "refresh_token": format!("r{at}"),
            "expires_in": 28800})
        .to_string();
        let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes());
    }
}
