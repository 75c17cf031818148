//! What keys cost: `cargo bench --bench keys`.
//!
//! Makes a vault with 10,000 profiles of three versions each (`CLAWKEEP_PROFILES=N` for another
//! number), and rotates it; the goal is 3 s. Whole processes, as in `start_up`: compare the rows,
//! not the numbers with those of another day.

mod shared;

use std::path::Path;
use std::process::Stdio;
use std::sync::OnceLock;
use std::time::Instant;

use clawkeep::internal::audit::{EventKind, Origin};
use clawkeep::internal::domain::{AgentName, ProfileId};
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock, close_to_others};
use clawkeep::internal::vault::{
    ChangeNote, KeyProblem, KeySources, SecretSource, UnlockedVault, Upgrade, Vault,
};
use divan::Bencher;
use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;

/// How often a profile is put: once, and three times more, each of which leaves a version.
const PUT: usize = 4;
const PHRASE: &str = "correct horse battery staple";

#[expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]
fn main() {
    let home = home();
    let size = std::fs::metadata(home.vault_file()).map_or(0, |meta| meta.len());
    println!("{} profiles, {size} bytes", profiles());
    for args in [&["key", "rotate"][..], &["key", "rotate", "--compromised"]] {
        let started = Instant::now();
        let mut command = shared::command(home.path(), args);
        command.arg("--quiet").stdout(Stdio::inherit());
        shared::run(command);
        println!(
            "{}: {:.2} s",
            args.join(" "),
            started.elapsed().as_secs_f64()
        );
    }
    // Slots that `--compromised` would have to ask for.
    std::fs::write(home.phrase_file(), PHRASE).expect("the home can be written");
    close_to_others(&home.phrase_file(), 0o600).expect("the file is ours");
    let mut add = shared::command(home.path(), &["key", "add", "passphrase"]);
    add.arg("--new-passphrase-file").arg(home.phrase_file());
    shared::run(add);
    divan::main();
}

fn profiles() -> usize {
    let given = std::env::var("CLAWKEEP_PROFILES").ok();
    given.map_or(10_000, |n| {
        n.parse().expect("CLAWKEEP_PROFILES is a number")
    })
}

struct Home(TempDir);

fn home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(|| {
        let home = Home(tempfile::tempdir().expect("a directory for the benchmark's home"));
        shared::run(shared::command(home.path(), &["init", "--key", "keyfile"]));
        home.fill();
        home
    })
}

impl Home {
    fn path(&self) -> &Path {
        self.0.path()
    }

    fn vault_file(&self) -> std::path::PathBuf {
        self.path().join(".clawdbot/vault.db")
    }

    fn phrase_file(&self) -> std::path::PathBuf {
        self.path().join("phrase")
    }

    fn unlock(&self, secrets: Option<&dyn SecretSource>) -> UnlockedVault {
        let keychain = SystemKeychain::new(std::time::Duration::ZERO, SessionBus::Absent);
        let sources = KeySources {
            named_keyfile: None,
            credential_keyfile: None,
            keyfile_dir: self.path().join(".config/clawkeep"),
            keychain: &keychain,
            secrets,
            upgrade: Upgrade::default(),
        };
        let vault = Vault::open(&self.vault_file()).expect("it was just made");
        vault.unlock(&sources).expect("both of its keys are there")
    }

    fn fill(&self) {
        let mut vault = self.unlock(None);
        let (actor, main) = (Actor::current("bench"), AgentName::default());
        for round in 0..PUT {
            let mut tx = vault
                .begin(&actor, Clock::System)
                .expect("nobody else has it");
            for n in 0..profiles() {
                let entry = json!({
                    "type": "oauth",
                    "provider": "anthropic",
                    "access": format!("sk-at-{round}-{n:0>64}"),
                    "refresh": format!("sk-rt-{round}-{n:0>64}"),
                    "expires": 4_102_444_800_000_i64,
                    "email": format!("user{n}@example.com"),
                });
                let note = ChangeNote::new(EventKind::ProfileUpdated, Origin::Clawkeep);
                let id = ProfileId::new(format!("anthropic:user{n}"));
                tx.put_profile(&main, &id, &entry, note)
                    .expect("there is room");
            }
            tx.commit().expect("there is room");
        }
    }
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn rotate(bencher: Bencher<'_, '_>) {
    bencher.bench(|| {
        shared::run(shared::command(
            home().path(),
            &["--quiet", "key", "rotate"],
        ))
    });
}

/// The floor of the rows above and below: a process that does nothing.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn empty_process() {
    shared::run_nothing();
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn status(bencher: Bencher<'_, '_>) {
    bencher.bench(|| shared::run(shared::command(home().path(), &["key", "status"])));
}

/// In this process.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn unlock_by_passphrase(bencher: Bencher<'_, '_>) {
    bencher.bench(|| home().unlock(Some(&Phrase)));
}

#[divan::bench(sample_count = 20, sample_size = 1)]
fn unlock_by_key_file(bencher: Bencher<'_, '_>) {
    bencher.bench(|| home().unlock(None));
}

struct Phrase;

impl SecretSource for Phrase {
    fn is_named(&self) -> bool {
        true
    }

    fn next(&self, _before: Option<&KeyProblem>) -> Result<Option<SecretString>, KeyProblem> {
        Ok(Some(SecretString::from(PHRASE)))
    }
}
