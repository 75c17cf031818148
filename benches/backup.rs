//! What a backup costs beside a plain copy of the same file: `cargo bench --bench backup`.
//!
//! Makes a vault of about 250 MB (`CLAWKEEP_MB=N` for another size): events as a busy gateway's
//! year makes them, and large credentials. Each round copies the file with `std::fs::copy` and
//! `sync_all`, and then runs `backup create` as a whole process, on the same disk. The goal: at
//! half the speed of the copy or better. Verifying and restoring are timed too.

#![allow(clippy::print_stdout, reason = "the numbers are its answer")]

mod shared;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::{AgentName, ProfileId};
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::{ChangeNote, KeyChoice, KeySources, NewKey, Upgrade, create};
use serde_json::json;

const ROUNDS: usize = 7;
/// The share of the file that events have, in percent.
const EVENTS: u64 = 40;
/// What an event takes in the file, about, in bytes.
const EVENT: u64 = 150;
/// What a credential takes, in bytes.
const CREDENTIAL: usize = 48 << 10;

fn main() {
    let megabytes = std::env::var("CLAWKEEP_MB").map_or(250, |n| n.parse().expect("a number"));
    let home = tempfile::tempdir().expect("a directory for the benchmark's home");
    generate(home.path(), megabytes * 1_000_000);
    let vault = vault_file(home.path());
    let size = std::fs::metadata(&vault).expect("it was just made").len();
    println!("{ROUNDS} rounds of a vault of {} MB", size / 1_000_000);
    let (mut copies, mut backups) = (Vec::new(), Vec::new());
    let (copied, made) = (home.path().join("copied"), home.path().join("backup.db"));
    println!("an empty process  {:>9.2?}", timed(shared::run_nothing));
    for _ in 0..ROUNDS {
        let _ = std::fs::remove_file(&copied);
        let _ = std::fs::remove_file(&made);
        copies.push(timed(|| {
            std::fs::copy(&vault, &copied).expect("the disk has room");
            let file = File::open(&copied).and_then(|file| file.sync_all());
            file.expect("what was written can be synced");
        }));
        let create = shared::command(home.path(), &["-q", "backup", "create", "backup.db"]);
        backups.push(timed(|| run_in(home.path(), create)));
    }
    let _ = std::fs::remove_file(&copied);
    let copy = say("copy and sync", copies, size);
    let backup = say("backup create", backups, size);
    println!(
        "backup create takes {:.2} times as long as the copy (the goal: 2 at most)",
        backup.as_secs_f64() / copy.as_secs_f64()
    );
    for (what, args) in [
        ("backup verify", ["-q", "backup", "verify", "backup.db"]),
        ("backup restore", ["-q", "backup", "restore", "backup.db"]),
    ] {
        let command = shared::command(home.path(), &args);
        say(what, vec![timed(|| run_in(home.path(), command))], size);
    }
}

fn run_in(home: &Path, mut command: std::process::Command) {
    command.current_dir(home);
    shared::run(command);
}

fn say(what: &str, mut times: Vec<Duration>, size: u64) -> Duration {
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    let speed = size as f64 / 1e6 / median.as_secs_f64();
    println!("{what:<16} median {median:>9.2?}  longest {longest:>9.2?}  {speed:>6.0} MB/s");
    median
}

fn timed(work: impl FnOnce()) -> Duration {
    let started = Instant::now();
    work();
    started.elapsed()
}

fn vault_file(home: &Path) -> PathBuf {
    home.join(".clawdbot/vault.db")
}

fn generate(home: &Path, size: u64) {
    let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
    let sources = KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: home.join(".config/clawkeep"),
        keychain: &keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    };
    std::fs::create_dir_all(home.join(".clawdbot")).expect("the benchmark's own home");
    let choice = KeyChoice::Only(NewKey::Keyfile);
    let actor = Actor::current("bench");
    let made = create(&vault_file(home), &choice, &sources, &actor, Clock::System);
    let mut vault = made
        .expect("the benchmark's own vault")
        .expect("nobody else makes it")
        .vault;
    let events = size * EVENTS / 100 / EVENT;
    let credentials = size * (100 - EVENTS) / 100 / CREDENTIAL as u64;
    for part in 0..100 {
        let mut tx = vault
            .begin(&actor, Clock::System)
            .expect("nobody else writes");
        for n in part * credentials / 100..(part + 1) * credentials / 100 {
            let entry = json!({"type": "api_key", "provider": "p", "key": format!("k{n}"),
                "note": "x".repeat(CREDENTIAL)});
            let note = ChangeNote::new(EventKind::ProfileCreated, Origin::Clawkeep);
            let (agent, id) = (AgentName::default(), ProfileId::new(format!("p:{n}")));
            tx.put_profile(&agent, &id, &entry, note)
                .expect("the disk has room");
        }
        for n in part * events / 100..(part + 1) * events / 100 {
            let used = EventDraft::new(EventKind::CredentialUsed, Origin::Clawkeep)
                .profile(&ProfileId::new(format!("p:{}", n % 200)), "p")
                .detail("command", "token");
            tx.append(Some(&AgentName::default()), used)
                .expect("the disk has room");
        }
        tx.commit().expect("the disk has room");
    }
}
