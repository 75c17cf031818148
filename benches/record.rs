//! What asking a long record costs: `cargo bench --bench record`.
//!
//! Makes a vault with 1,000,000 events over 200 profiles (`CLAWKEEP_EVENTS=N` for another number),
//! which takes about a minute, says how large it is, and then times whole processes, as `start_up`
//! does: compare the rows, not the numbers with those of another day. The goals are in the issue
//! that this bench was made for: `one_profile` 3 ms above `empty_process`, `two_filters` 50 ms,
//! `nothing_matches` 250 ms, `uses` and `refreshes` 300 ms, `verify` 400,000 events a second under
//! 30 MiB, 250 bytes an event, `append` at most 1.5 times `append_without_chain`.
//!
//! `CLAWKEEP_RECORD=DIR` keeps the vault in a directory and takes it from there the next time.

mod shared;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use clawkeep::internal::audit::{EventDraft, EventKind, Origin, Outcome};
use clawkeep::internal::domain::{AgentName, Expiry, Fingerprint, Owner, ProfileId, UnixMs};
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::{
    ChangeNote, KeyChoice, KeySources, NewKey, Tx, UnlockedVault, Upgrade, Vault, create,
};
use divan::Bencher;
use serde_json::{Value, json};
use tempfile::TempDir;

const SAMPLES: u32 = 30;
const PROFILES: u64 = 200;
/// Events that share a transaction, and its time.
const TOGETHER: u64 = 20;
const DAY: i64 = 86_400_000;
/// What the record covers.
const YEAR: i64 = 365 * DAY;
const PROVIDERS: [&str; 8] = [
    "anthropic",
    "openai",
    "openai-codex",
    "google",
    "zai",
    "openrouter",
    "mistral",
    "groq",
];
const PARENTS: [&str; 6] = ["node", "bash", "cron", "claude", "python3", "systemd"];

#[expect(clippy::print_stdout, reason = "a benchmark tells what it measured")]
fn main() {
    let record = record();
    let size = |path: &Path| std::fs::metadata(path).map_or(0, |meta| meta.len());
    let events = record.events;
    println!(
        "{events} events, {} bytes: {} an event",
        size(&record.vault_file()),
        size(&record.vault_file()) / events
    );
    println!(
        "audit verify holds {} KiB at most",
        record.memory_of(&["audit", "verify"])
    );
    divan::main();
}

/// A home with a long record.
struct Record {
    home: PathBuf,
    events: u64,
    _dir: Option<TempDir>,
}

/// Numbers that look random and are the same in every run (SplitMix64). Source: Steele, Lea, Flood,
/// 2014.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % n
    }
}

fn record() -> &'static Record {
    static RECORD: OnceLock<Record> = OnceLock::new();
    RECORD.get_or_init(|| {
        let events = std::env::var("CLAWKEEP_EVENTS").ok();
        let events = events.map_or(1_000_000, |n| {
            n.parse().expect("CLAWKEEP_EVENTS is a number")
        });
        let (home, dir) = match std::env::var_os("CLAWKEEP_RECORD") {
            Some(dir) => (PathBuf::from(dir), None),
            None => {
                let dir = tempfile::tempdir().expect("a directory for the benchmark's home");
                (dir.path().to_owned(), Some(dir))
            }
        };
        let record = Record {
            home,
            events,
            _dir: dir,
        };
        if !record.vault_file().exists() {
            record.generate();
        }
        record
    })
}

impl Record {
    fn vault_file(&self) -> PathBuf {
        self.home.join(".clawdbot/vault.db")
    }

    fn with_vault<T>(&self, work: impl FnOnce(&mut UnlockedVault) -> T) -> T {
        let keychain = SystemKeychain::new(std::time::Duration::ZERO, SessionBus::Absent);
        let sources = KeySources {
            named_keyfile: None,
            credential_keyfile: None,
            keyfile_dir: self.home.join(".config/clawkeep"),
            keychain: &keychain,
            secrets: None,
            upgrade: Upgrade::default(),
        };
        let path = self.vault_file();
        let mut vault = if path.exists() {
            Vault::open(&path).and_then(|vault| vault.unlock(&sources))
        } else {
            std::fs::create_dir_all(self.home.join(".clawdbot")).expect("the benchmark's own home");
            let choice = KeyChoice::Only(NewKey::Keyfile);
            let clock = Clock::Fixed(UnixMs::from_ms(now() - YEAR));
            let made = create(&path, &choice, &sources, &Actor::current("bench"), clock);
            made.map(|made| made.expect("nobody else makes it").vault)
        }
        .expect("the benchmark's own vault");
        work(&mut vault)
    }

    fn generate(&self) {
        let mut dice = Dice(7);
        self.with_vault(|vault| {
            let begin = now() - YEAR;
            let mut made = 1; // vault.created
            while made < self.events {
                let share = i64::try_from(made).unwrap_or(i64::MAX) * (YEAR / 1000)
                    / (i64::try_from(self.events).unwrap_or(i64::MAX) / 1000).max(1);
                let at = begin + share.min(YEAR);
                let mut actor = Actor::current("clawkeep");
                let parent = usize::try_from(dice.below(PARENTS.len() as u64)).unwrap_or(0);
                actor.parent = Some(PARENTS[parent].to_owned());
                let clock = Clock::Fixed(UnixMs::from_ms(at));
                let mut tx = vault.begin(&actor, clock).expect("nobody else writes");
                for _ in 0..TOGETHER.min(self.events - made) {
                    happen(&mut tx, &mut dice, made, at);
                    made += 1;
                }
                tx.commit().expect("the disk has room");
            }
        });
    }

    fn command(&self, args: &[&str]) -> Command {
        shared::command(&self.home, &[&["-q"], args].concat())
    }

    fn run(&self, args: &[&str]) {
        shared::run(self.command(args));
    }

    /// The most memory that a command held, in KiB.
    fn memory_of(&self, args: &[&str]) -> u64 {
        let mut child = self
            .command(args)
            .spawn()
            .expect("the binary that cargo just built");
        let status = format!("/proc/{}/status", child.id());
        let mut most = 0;
        while child.try_wait().expect("a child of ours").is_none() {
            let text = std::fs::read_to_string(&status).unwrap_or_default();
            let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
            let kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
            most = most.max(kib.unwrap_or(0));
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
        most
    }
}

fn now() -> i64 {
    Clock::System.now().0
}

fn profile(n: u64) -> (ProfileId, &'static str) {
    let provider = PROVIDERS[usize::try_from(n % 8).unwrap_or(0)];
    (ProfileId::new(format!("{provider}:user{n}")), provider)
}

fn print(n: u64) -> Fingerprint {
    Fingerprint {
        key_number: 1,
        digest: n.to_be_bytes(),
    }
}

/// One event of a busy gateway's year: mostly uses, some refreshes, now and then a failure and what
/// follows from it.
fn happen(tx: &mut Tx<'_>, dice: &mut Dice, n: u64, at: i64) {
    let agent = AgentName::from_id(if n.is_multiple_of(10) { "ops" } else { "main" });
    // The first are used most: a gateway has its favourites.
    let of = dice.below(PROFILES).min(dice.below(PROFILES));
    let (id, provider) = profile(if n <= PROFILES { n - 1 } else { of });
    let expires = at + 8 * 3_600_000;
    let event = |kind, origin| EventDraft::new(kind, origin).profile(&id, provider);
    let draft = match dice.below(100) {
        _ if n <= PROFILES => {
            return put(
                tx,
                &agent,
                &id,
                provider,
                expires,
                EventKind::ProfileCreated,
            );
        }
        0..=71 => {
            let mut used = event(EventKind::CredentialUsed, Origin::Clawkeep);
            used.token = (None, Some(print(n)));
            used.detail("command", "token")
        }
        72..=74 => event(EventKind::CredentialPassedOver, Origin::Clawkeep)
            .outcome(Outcome::Skipped)
            .detail("why", "cooldown"),
        75..=79 => event(EventKind::RefreshStarted, Origin::Clawkeep),
        80..=83 => {
            return put(
                tx,
                &agent,
                &id,
                provider,
                expires,
                EventKind::RefreshSucceeded,
            );
        }
        84 => return put(tx, &agent, &id, provider, expires, EventKind::SyncApplied),
        85..=86 => event(EventKind::RefreshFailed, Origin::Clawkeep)
            .outcome(Outcome::Failed)
            .detail("class", "temporary")
            .detail("status", 503),
        87..=88 => event(EventKind::CredentialFailed, Origin::Clawkeep)
            .outcome(Outcome::Failed)
            .detail("reason", "rate_limit"),
        89..=90 => event(EventKind::CooldownSet, Origin::Clawkeep).detail("until", at + 60_000),
        91..=92 => {
            let mut ended = event(EventKind::ExpiryExpired, Origin::Clock);
            ended.expires = (None, Expiry::from_ms(UnixMs::from_ms(at).as_f64()));
            ended
        }
        93..=96 => EventDraft::new(EventKind::StoreMerged, Origin::StoreFile).detail(
            "path",
            "/home/gateway/.clawdbot/agents/main/agent/auth-profiles.json",
        ),
        _ => EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
            .detail(
                "path",
                "/home/gateway/.clawdbot/agents/main/agent/auth-profiles.json",
            )
            .detail("reason", "changed"),
    };
    tx.append(Some(&agent), draft).expect("nobody else writes");
}

fn put(
    tx: &mut Tx<'_>,
    agent: &AgentName,
    id: &ProfileId,
    provider: &str,
    expires: i64,
    kind: EventKind,
) {
    let entry: Value = json!({
        "type": "oauth", "provider": provider, "expires": expires,
        "access": format!("at-{id}-{expires:064}"), "refresh": format!("rt-{id}-{expires:064}"),
    });
    let origin = if kind == EventKind::SyncApplied {
        Origin::Source(Owner::ClaudeCode)
    } else {
        Origin::Clawkeep
    };
    tx.put_profile(agent, id, &entry, ChangeNote::new(kind, origin))
        .expect("nobody else writes");
}

fn timed(bencher: Bencher<'_, '_>, args: &[&str]) {
    let record = record();
    record.run(args);
    bencher.bench(|| record.run(args));
}

/// The floor: starting and ending a process that does nothing.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn empty_process(bencher: Bencher<'_, '_>) {
    bencher.bench(shared::run_nothing);
}

#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn one_profile(bencher: Bencher<'_, '_>) {
    timed(
        bencher,
        &["history", "--profile", "anthropic:user40", "--limit", "50"],
    );
}

/// Every two filters, with what a person would give them.
const PAIRS: [&str; 24] = [
    "--profile anthropic:user40 --kind refresh",
    "--profile anthropic:user40 --provider anthropic",
    "--profile anthropic:user192 --agent ops",
    "--profile anthropic:user40 --origin claude-code",
    "--profile anthropic:user40 --outcome failed",
    "--profile anthropic:user40 --since 7d",
    "--profile anthropic:user40 --until 300d",
    "--provider openai --kind credential",
    "--provider openai --agent ops",
    "--provider openai --origin claude-code",
    "--provider openai --outcome skipped",
    "--provider openai --since 300d",
    "--provider openai --until 200d",
    "--agent ops --kind sync",
    "--agent ops --origin claude-code",
    "--agent ops --outcome failed",
    "--agent main --until 364d",
    "--kind refresh.failed --outcome failed",
    "--kind expiry --origin clock",
    "--kind store --until 180d",
    "--origin auth-profiles.json --until 100d",
    "--outcome failed --since 30d",
    "--origin clawkeep --outcome ok",
    "--since 200d --until 199d",
];

#[divan::bench(args = PAIRS, sample_count = 10, sample_size = 1)]
fn two_filters(bencher: Bencher<'_, '_>, filters: &str) {
    let words: Vec<&str> = filters.split(' ').collect();
    timed(
        bencher,
        &[&["history", "--limit", "50"], words.as_slice()].concat(),
    );
}

/// Names that occur, and never together.
const APART: [&str; 8] = [
    "--profile anthropic:user40 --provider openai",
    "--profile anthropic:user40 --kind order",
    "--kind vault --agent main",
    "--kind expiry --origin clawkeep",
    "--origin auth-profiles.json --outcome failed",
    "--provider openai --origin auth-profiles.json",
    "--kind refresh.failed --outcome ok",
    "--agent main --until 366d",
];

#[divan::bench(args = APART, sample_count = 10, sample_size = 1)]
fn nothing_matches(bencher: Bencher<'_, '_>, filters: &str) {
    let words: Vec<&str> = filters.split(' ').collect();
    timed(bencher, &[&["history"], words.as_slice()].concat());
}

#[divan::bench(args = ["30d", "366d"], sample_count = SAMPLES, sample_size = 1)]
fn uses(bencher: Bencher<'_, '_>, since: &str) {
    timed(bencher, &["history", "uses", "--since", since]);
}

#[divan::bench(args = ["30d", "366d"], sample_count = SAMPLES, sample_size = 1)]
fn refreshes(bencher: Bencher<'_, '_>, since: &str) {
    timed(bencher, &["history", "refreshes", "--since", since]);
}

#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn at_a_time(bencher: Bencher<'_, '_>) {
    timed(bencher, &["history", "at", "100d"]);
}

#[divan::bench(sample_count = 5, sample_size = 1)]
fn verify(bencher: Bencher<'_, '_>) {
    let events = record().events;
    bencher
        .counter(divan::counter::ItemsCount::new(events))
        .bench(|| record().run(&["audit", "verify"]));
}

#[divan::bench(sample_count = 3, sample_size = 1)]
fn all_as_jsonl(bencher: Bencher<'_, '_>) {
    let events = record().events;
    bencher
        .counter(divan::counter::ItemsCount::new(events))
        .bench(|| record().run(&["history", "--jsonl"]));
}

/// One event and its transaction, through the library.
#[divan::bench(sample_count = 500, sample_size = 1)]
fn append(bencher: Bencher<'_, '_>) {
    record().with_vault(|vault| {
        let vault = Mutex::new(vault);
        let actor = Actor::current("clawkeep");
        bencher.bench(|| {
            let mut vault = vault.lock().expect("no bench panics");
            let mut tx = vault
                .begin(&actor, Clock::System)
                .expect("nobody else writes");
            let (id, provider) = profile(40);
            let mut used =
                EventDraft::new(EventKind::CredentialUsed, Origin::Clawkeep).profile(&id, provider);
            used.token = (None, Some(print(1)));
            let agent = AgentName::default();
            tx.append(Some(&agent), used.detail("command", "token"))
                .expect("nobody else writes");
            tx.commit().expect("the disk has room");
        });
    });
}

/// The same row into the same tables, in the same kind of transaction, without chain and MAC. In a
/// copy of the vault, whose record is none afterwards.
#[divan::bench(sample_count = 500, sample_size = 1)]
fn append_without_chain(bencher: Bencher<'_, '_>) {
    let record = record();
    let copy = record.home.join("copy.db");
    std::fs::copy(record.vault_file(), &copy).expect("the disk has room");
    let conn = rusqlite::Connection::open(&copy).expect("a copy of the vault");
    conn.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA \
        secure_delete = ON; PRAGMA foreign_keys = ON; PRAGMA cache_size = -16384;",
    )
    .expect("a copy of the vault");
    let conn = Mutex::new(conn);
    bencher.bench(|| {
        let mut conn = conn.lock().expect("no bench panics");
        let behaviour = rusqlite::TransactionBehavior::Immediate;
        let tx = conn
            .transaction_with_behavior(behaviour)
            .expect("nobody else writes");
        let (subject, action): (i64, i64) = tx
            .prepare_cached(
                "SELECT s.subject, s.action FROM series s JOIN subjects w ON w.id = s.subject \
                 JOIN actions a ON a.id = s.action \
                 WHERE w.profile = (SELECT id FROM terms WHERE text = 'anthropic:user40') \
                 AND a.kind = (SELECT id FROM terms WHERE text = 'credential.used') LIMIT 1",
            )
            .expect("a copy of the vault")
            .query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("it is used often");
        let insert = "INSERT INTO events (seq, at, subject, action, pid, token_after, detail, mac) \
                      VALUES ((SELECT max(seq) + 1 FROM events), ?1, ?2, ?3, ?4, ?5, ?6, ?7)";
        tx.prepare_cached(insert)
            .expect("a copy of the vault")
            .execute(rusqlite::params![
                now(),
                subject,
                action,
                std::process::id(),
                print(1).to_bytes(),
                r#"{"command":"token"}"#,
                [7_u8; 32]
            ])
            .expect("nobody else writes");
        tx.commit().expect("the disk has room");
    });
    std::fs::remove_file(&copy).expect("the copy made above");
}
