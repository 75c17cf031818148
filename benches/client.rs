//! What handing a credential out costs a program that embeds the library, above the durable commit
//! that it cannot do without: `cargo bench --bench client`.
//!
//! Alternates `Client::token` on an open client, which commits its event, with a bare insert into
//! another SQLite file of the same directory, journal and durability. Prints medians and their
//! ratio.

#![allow(clippy::print_stdout, reason = "the numbers are its answer")]

use std::path::Path;
use std::time::{Duration, Instant};

use clawkeep::Client;
use rusqlite::Connection;
use serde_json::json;

const ROUNDS: usize = 400;
/// What an event takes in the record, in bytes: about as much as one of `credential.used`.
const EVENT: usize = 400;

fn main() {
    let dir = tempfile::tempdir().expect("a directory for the benchmark");
    let agent = dir.path().join("agents/main/agent");
    std::fs::create_dir_all(&agent).expect("a fresh directory");
    let key = json!({"type": "api_key", "provider": "openai", "key": "sk-benchmark"});
    let store = json!({"version": 1, "profiles": {"openai:default": key}}).to_string();
    std::fs::write(agent.join("auth-profiles.json"), store).expect("a fresh directory");
    let client = Client::builder("benchmark")
        .state_dir(dir.path())
        .open_or_create()
        .expect("a fresh directory");
    let bare = bare(&dir.path().join("bare.db"));
    let event = vec![7_u8; EVENT];
    let (mut tokens, mut inserts) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        tokens.push(timed(|| {
            client.token("openai").expect("a key that does not expire");
        }));
        inserts.push(timed(|| {
            bare.execute("INSERT INTO events (event) VALUES (?1)", [&event])
                .expect("a table of its own");
        }));
    }
    let token = median("client.token", &mut tokens);
    let insert = median("a bare insert, as durable", &mut inserts);
    println!("ratio {:.2}", token.as_secs_f64() / insert.as_secs_f64());
}

/// A database with the vault's journal and durability.
fn bare(path: &Path) -> Connection {
    let bare = Connection::open(path).expect("a fresh directory");
    let set_up = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
        CREATE TABLE events (seq INTEGER PRIMARY KEY, event BLOB NOT NULL)";
    bare.execute_batch(set_up).expect("a fresh database");
    bare
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn median(what: &str, times: &mut [Duration]) -> Duration {
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    println!("{what:<26} median {median:>9.2?}  longest {longest:>9.2?}");
    median
}
