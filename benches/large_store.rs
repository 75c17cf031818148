//! What a command costs with a store of 5,000 profiles: `cargo bench --bench large_store`.
//!
//! Whole processes, as in `start_up`: compare the rows, not the numbers with those of another day.
//! The goals are 60 ms for `status_json` and 100 ms for the merge of one change.

mod shared;

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use divan::Bencher;
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const PROFILES: usize = 5_000;
const SAMPLES: u32 = 50;
/// 2026-01-10, in milliseconds. What the store says of times only has to look like times.
const THEN: i64 = 1_768_000_000_000;
/// 2100-01-01, in milliseconds.
const FAR: i64 = 4_102_444_800_000;
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

fn main() {
    divan::main();
}

/// As long as a real one, the same in every run.
fn secret(prefix: &str, seed: usize) -> String {
    let words = (1..=4_u64).map(|word| {
        let seed = u64::try_from(seed).unwrap_or_default() * 4 + word;
        format!("{:016x}", seed.wrapping_mul(0x9e37_79b9_7f4a_7c15))
    });
    format!("{prefix}{}", words.collect::<String>())
}

fn id(n: usize) -> String {
    format!("{}:user{n}", PROVIDERS[n % PROVIDERS.len()])
}

fn credential(n: usize) -> Value {
    let provider = PROVIDERS[n % PROVIDERS.len()];
    let days = i64::try_from(n % 90).unwrap_or_default() * 86_400_000;
    match n % 3 {
        0 => json!({
            "type": "oauth",
            "provider": provider,
            "access": secret("at-", n),
            "refresh": secret("rt-", n + PROFILES),
            "expires": FAR - days,
            "email": format!("user{n}@example.com"),
            "scopes": ["inference", "profile"],
        }),
        1 => {
            json!({"type": "token", "provider": provider, "token": secret("sk-tok-", n),
                "expires": FAR - days})
        }
        _ => {
            json!({"type": "api_key", "provider": provider, "key": secret("sk-key-", n),
                "note": {"team": n % 7}})
        }
    }
}

/// Three types, eight providers, statistics for four of five profiles, an order, and fields that
/// nobody here knows.
fn store() -> Value {
    let profiles: Map<String, Value> = (0..PROFILES).map(|n| (id(n), credential(n))).collect();
    let used = (0..PROFILES).filter(|n| n % 5 != 0).map(|n| {
        let at = THEN + i64::try_from(n).unwrap_or_default() * 1_000;
        (
            id(n),
            json!({"lastUsed": at, "errorCount": n % 3, "window": {"count": n,
            "since": at - 60_000}}),
        )
    });
    let usage: Map<String, Value> = used.collect();
    let first: Vec<String> = (0..20).map(|n| id(n * PROVIDERS.len())).collect();
    json!({
        "version": 1,
        "profiles": profiles,
        "order": {"anthropic": first},
        "lastGood": {"anthropic": id(8), "openai": id(1)},
        "usageStats": usage,
        "gateway": {"build": "2026.1.9", "features": [1, 2.5, null, true]},
    })
}

/// A home whose vault and store agree.
struct Home {
    dir: TempDir,
    /// Makes every foreign change another one.
    turn: AtomicI64,
}

impl Home {
    fn new() -> Self {
        let dir = tempfile::tempdir().expect("a directory for the benchmark's home");
        let home = Self {
            dir,
            turn: AtomicI64::new(0),
        };
        let agent = home.store_file();
        std::fs::create_dir_all(agent.parent().expect("the store is in a directory"))
            .expect("a fresh home has no agent");
        std::fs::create_dir(home.path().join(".claude")).expect("a fresh home has no .claude");
        home.log_in(FAR);
        home.write_store(&store());
        home.run(&["init", "--key", "keyfile"]);
        home.run(&["models", "status"]);
        home.run(&["models", "status"]);
        home
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    fn store_file(&self) -> PathBuf {
        self.path()
            .join(".clawdbot/agents/main/agent/auth-profiles.json")
    }

    fn write_store(&self, store: &Value) {
        let mut text = serde_json::to_string_pretty(store).expect("values are JSON");
        text.push('\n');
        std::fs::write(self.store_file(), text).expect("the benchmark's own home");
    }

    fn run(&self, args: &[&str]) {
        shared::run(shared::command(self.path(), args));
    }

    /// What a gateway does: reads the store, changes it, writes it.
    fn foreign_change(&self, change: impl FnOnce(&mut Value, i64)) {
        let text = std::fs::read(self.store_file()).expect("the store was written before");
        let mut store = serde_json::from_slice(&text).expect("the store is JSON");
        change(&mut store, self.turn.fetch_add(1, Ordering::Relaxed));
        self.write_store(&store);
    }

    fn log_in(&self, expires: i64) {
        let login = json!({"claudeAiOauth": {"accessToken": format!("sk-ant-oat01-{expires}"),
            "expiresAt": expires}});
        std::fs::write(
            self.path().join(".claude/.credentials.json"),
            login.to_string(),
        )
        .expect("the benchmark's own home");
    }
}

/// One for all cases, which run one after the other and leave it settled.
fn home() -> &'static Home {
    static HOME: OnceLock<Home> = OnceLock::new();
    HOME.get_or_init(Home::new)
}

fn settled(bencher: Bencher<'_, '_>, args: &[&str]) {
    let home = home();
    home.run(args);
    bencher.bench(|| home.run(args));
}

/// The floor: starting and ending a process that does nothing.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn empty_process(bencher: Bencher<'_, '_>) {
    bencher.bench(shared::run_nothing);
}

#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn status_json(bencher: Bencher<'_, '_>) {
    settled(bencher, &["models", "status", "--json"]);
}

#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn status_text(bencher: Bencher<'_, '_>) {
    settled(bencher, &["models", "status"]);
}

#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn candidates(bencher: Bencher<'_, '_>) {
    settled(
        bencher,
        &["models", "auth", "candidates", "--provider", "openai"],
    );
}

#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn order_get(bencher: Bencher<'_, '_>) {
    settled(
        bencher,
        &["models", "auth", "order", "get", "--provider", "anthropic"],
    );
}

/// A gateway has used one profile.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn merge_of_a_use(bencher: Bencher<'_, '_>) {
    let home = home();
    home.run(&["models", "status"]);
    let used = || {
        home.foreign_change(|store, turn| {
            store["usageStats"][id(2_503)]["lastUsed"] = json!(THEN + 10_000_000 + turn);
        });
    };
    bencher
        .with_inputs(used)
        .bench_values(|()| home.run(&["models", "status", "--json"]));
}

/// A gateway has renewed one token.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn merge_of_a_token(bencher: Bencher<'_, '_>) {
    let home = home();
    home.run(&["models", "status"]);
    let renewed = || {
        home.foreign_change(|store, turn| {
            store["profiles"][id(2_500)]["token"] = json!(format!("sk-tok-renewed-{turn:032}"));
        });
    };
    bencher
        .with_inputs(renewed)
        .bench_values(|()| home.run(&["models", "status", "--json"]));
}

/// Claude Code has renewed its login: one profile is replaced and the store written.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn sync_of_a_login(bencher: Bencher<'_, '_>) {
    let home = home();
    home.run(&["models", "status"]);
    let renewed = || home.log_in(FAR + 1 + home.turn.fetch_add(1, Ordering::Relaxed));
    bencher
        .with_inputs(renewed)
        .bench_values(|()| home.run(&["sync"]));
}
