//! Random damage to each file that other programs write and we read: no crash, no hang, the exit
//! status of the table, no token in a message, and the damaged bytes stay on disk.
//!
//! `CLAWKEEP_DAMAGES` says how many damaged files in each place, `CLAWKEEP_SEED` repeats them.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::home::{AGENT, CLAUDE, Home, Run, STORE, now_ms};
use crate::support::random::{Random, number, seed};

const CODEX: &str = ".codex/auth.json";
const CONFIG: &str = ".clawdbot/clawdbot.json";
const LEGACY: &str = ".clawdbot/agents/main/agent/auth.json";
const LEGACY_OAUTH: &str = ".clawdbot/credentials/oauth.json";
const WORKERS: u64 = 8;

/// Every secret in these files. Parts of them may be in the damaged ones.
const SECRETS: [&str; 5] = [
    "sk-test-qwertzuiopasdfghjklyxcvbnm",
    "sk-test-mnbvcxylkjhgfdsapoiuztrewq",
    "sk-test-refresh-plokmijnuhbzgvtfcrdxesywaq",
    "sk-test-codex-qaywsxedcrfvtgbzhnujmikolp",
    "sk-test-legacy-zhnbgtrfvcdewsxyaqujmkiolp",
];

/// A damaged copy of a file, and how it came about.
struct Damaged {
    bytes: Vec<u8>,
    how: &'static str,
}

/// Where a byte of `bytes` is; 0 in an empty file.
fn place(random: &mut Random, bytes: &[u8]) -> usize {
    usize::try_from(random.below(bytes.len().max(1) as u64)).unwrap()
}

fn damage(random: &mut Random, whole: &[u8]) -> Damaged {
    let mut bytes = whole.to_vec();
    let how = match random.below(10) {
        0 | 1 => {
            bytes.truncate(place(random, whole));
            "cut short"
        }
        2 => {
            for _ in 0..=random.below(8) {
                let at = place(random, &bytes);
                bytes[at] ^= 1 << random.below(8);
            }
            "bits flipped"
        }
        3 => {
            let garbage: Vec<u8> = (0..=random.below(40))
                .map(|_| random.next().to_le_bytes()[0])
                .collect();
            let at = place(random, &bytes);
            bytes.splice(at..at, garbage);
            "garbage put in"
        }
        4 => {
            let half = bytes.split_off(bytes.len() / 2);
            bytes = [&half[..], &bytes, &half].concat();
            "halves doubled and swapped"
        }
        5 => {
            let at = place(random, &bytes);
            let (open, close) = *random.pick(&[("[", "]"), ("{\"a\":", "}")]);
            let depth = 200 + usize::try_from(random.below(20_000)).unwrap();
            bytes.splice(
                at..at,
                (open.repeat(depth) + "1" + &close.repeat(depth)).into_bytes(),
            );
            "nested deep"
        }
        6 => {
            let at = place(random, &bytes);
            bytes.splice(
                at..at,
                *random.pick(&[[0xff, 0xfe], [0xc0, 0x80], [0xed, 0xa0]]),
            );
            "not UTF-8"
        }
        7 => {
            bytes = random
                .pick(&[
                    &b""[..],
                    b"\n",
                    b"\xef\xbb\xbf",
                    b"null",
                    b"[]",
                    b"0",
                    b"\"x\"",
                    b"{}",
                ])
                .to_vec();
            "as good as empty"
        }
        8 => {
            let text = String::from_utf8(bytes).unwrap();
            let number = *random.pick(&[
                "1e999",
                "-1e999",
                "99999999999999999999999999",
                "1e-999",
                "0.1e1e1",
                "NaN",
            ]);
            bytes = text
                .replacen(|c: char| c.is_ascii_digit(), number, 1)
                .into_bytes();
            "a number beyond all bounds"
        }
        _ => {
            let mut value: Value = serde_json::from_slice(whole).unwrap();
            for _ in 0..=random.below(3) {
                retype(random, &mut value);
            }
            bytes = value.to_string().into_bytes();
            "of another type somewhere"
        }
    };
    Damaged { bytes, how }
}

/// Puts a value of another type somewhere below.
fn retype(random: &mut Random, value: &mut Value) {
    let below: Vec<&mut Value> = match value {
        Value::Object(fields) => fields.values_mut().collect(),
        Value::Array(items) => items.iter_mut().collect(),
        _ => Vec::new(),
    };
    let count = below.len() as u64;
    if count > 0 && random.below(4) > 0 {
        let which = usize::try_from(random.below(count)).unwrap();
        let chosen = below.into_iter().nth(which).unwrap();
        return retype(random, chosen);
    }
    let others = [
        json!(null),
        json!(true),
        json!(-1),
        json!(1e300),
        json!("x"),
        json!([[]]),
        json!({"x": {}}),
        json!(""),
    ];
    *value = random.pick(&others).clone();
}

/// Runs a command that must end in time and whose messages must be short and without secrets.
fn run(home: &Home, args: &[&str], at: &str) -> Run {
    let started = Instant::now();
    let run = home.run(args);
    let longest = if cfg!(windows) { 60 } else { 15 }; // Wine takes seconds for each process
    assert!(
        started.elapsed() < Duration::from_secs(longest),
        "{at}: it hung"
    );
    let mut length = 0;
    for line in run.stderr.lines() {
        length = if line.starts_with("  ") {
            length + 1
        } else {
            1
        };
        assert!(length <= 3, "{at}: {}", run.stderr);
    }
    let has_part = |secret: &str| {
        let parts = secret.as_bytes().windows(8);
        parts
            .skip(8)
            .any(|part| run.stderr.contains(std::str::from_utf8(part).unwrap()))
    };
    assert!(!SECRETS.into_iter().any(has_part), "{at}: {}", run.stderr);
    assert!(!run.stderr.contains("panicked"), "{at}: {}", run.stderr);
    run
}

/// Damages `whole` as often as asked for, each with its number and how it was done.
fn for_each(whole: &str, numbers: impl Iterator<Item = u64>, mut check: impl FnMut(&str, &[u8])) {
    for n in numbers {
        let mut random = Random::seeded(seed() ^ n.wrapping_mul(0x9e37_79b9));
        let damaged = damage(&mut random, whole.as_bytes());
        let at = format!("seed {}, number {n}, {}", seed(), damaged.how);
        check(&at, &damaged.bytes);
    }
}

fn damages() -> u64 {
    number("CLAWKEEP_DAMAGES", 60)
}

fn a_store() -> Value {
    json!({
        "version": 1,
        "profiles": {
            "openai:key": {"type": "api_key", "provider": "openai", "key": SECRETS[0]},
            "p:login": {"type": "oauth", "provider": "p", "access": SECRETS[1],
            "refresh": SECRETS[2], "expires": 4e12, "later": [1]},
        },
        "order": {"openai": ["openai:key"]},
        "lastGood": {"p": "p:login"},
        "usageStats": {"p:login": {"lastUsed": 1_767_900_000_000_u64, "errorCount": 2}},
    })
}

/// What makes bytes a store: an object with an object `profiles`. Source: `spec/compat.md`.
fn is_store(bytes: &[u8]) -> bool {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    serde_json::from_slice::<Value>(bytes).is_ok_and(|store| store["profiles"].is_object())
}

/// The files beside the store that have exactly these bytes.
fn kept_copies(home: &Home, bytes: &[u8]) -> usize {
    let dir = fs::read_dir(home.at(AGENT))
        .unwrap()
        .map(|entry| entry.unwrap());
    let aside = dir.filter(|entry| entry.file_name().to_string_lossy().contains(".corrupt-"));
    aside
        .filter(|entry| fs::read(entry.path()).unwrap() == bytes)
        .count()
}

#[test]
fn stores() {
    let whole = format!("{:#}\n", a_store());
    std::thread::scope(|scope| {
        for worker in 0..WORKERS {
            let whole = &whole;
            scope.spawn(move || {
                let numbers = (worker..damages()).step_by(usize::try_from(WORKERS).unwrap());
                let home = Home::new();
                home.write(STORE, whole);
                home.run(&["sync"]).ok();
                for_each(whole, numbers, |at, bytes| store(&home, at, bytes, whole));
            });
        }
    });
}

fn store(home: &Home, at: &str, bytes: &[u8], whole: &str) {
    let before = kept_copies(home, bytes);
    home.write(STORE, bytes);
    let first = run(home, &["sync"], at);
    assert_eq!(first.status, 0, "{at}: {first:?}");
    let is_damaged = !is_store(bytes);
    assert_eq!(
        first.stderr.contains("was damaged"),
        is_damaged,
        "{at}: {first:?}"
    );
    let kept = kept_copies(home, bytes) - before;
    assert_eq!(kept, usize::from(is_damaged), "{at}: kept byte for byte");
    let now = fs::read(home.at(STORE)).unwrap();
    assert!(is_store(&now), "{at}");
    if is_damaged {
        assert_eq!(
            serde_json::from_slice::<Value>(&now).unwrap(),
            a_store(),
            "{at}: mended"
        );
    } else {
        let theirs: Value =
            serde_json::from_slice(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)).unwrap();
        assert_eq!(
            serde_json::from_slice::<Value>(&now).unwrap(),
            theirs,
            "{at}: taken as it is"
        );
    }
    home.assert_sound();
    home.write(STORE, whole);
    home.run(&["sync"]).ok();
    // Where the vault has nothing it is an end, not an empty store.
    let fresh = Home::new();
    if is_damaged && bytes.len().is_multiple_of(4) {
        fresh.write(STORE, bytes);
        let refused = run(&fresh, &["models", "status"], at);
        assert_eq!(refused.status, 65, "{at}: {refused:?}");
        assert_eq!(fs::read(fresh.at(STORE)).unwrap(), bytes, "{at}");
        fresh.assert_sound();
    }
}

/// A login of another program: damaged, it is as if it were absent, with a warning, and what is
/// stored stays.
fn logins(path: &str, whole: &str, profile: &str) {
    let home = Home::new();
    home.write(STORE, a_store().to_string());
    home.write(path, whole);
    home.run(&["sync"]).ok();
    let mut stored = home.read(STORE);
    assert!(stored.contains(profile), "{stored}");
    for_each(whole, 0..damages(), |at, bytes| {
        home.write(path, bytes);
        let ran = run(&home, &["models", "status"], at);
        assert_eq!(ran.status, 0, "{at}: {ran:?}");
        if ran.stderr.contains("Warning:") {
            // Also where it is JSON: a logout, or an expiry that cannot be used.
            assert!(ran.stderr.contains(path), "{at}: {ran:?}");
            assert_eq!(home.read(STORE), stored, "{at}: what is stored stays");
        }
        let warned = ran.stderr.contains(" was not imported: ");
        // JSON that ends too early is never a login, nor "logged out".
        let error = serde_json::from_slice::<Value>(bytes).err();
        if error.as_ref().is_some_and(serde_json::Error::is_eof) {
            assert!(warned, "{at}: {ran:?}");
        } else if error.is_none() {
            assert!(!warned, "{at}: {ran:?}");
        }
        let store = home.json(STORE);
        for id in ["openai:key", "p:login"] {
            assert_eq!(store["profiles"][id], a_store()["profiles"][id], "{at}");
        }
        assert!(
            store["profiles"][profile].is_object(),
            "{at}: never deleted"
        );
        assert_eq!(
            fs::read(home.at(path)).unwrap(),
            bytes,
            "{at}: not ours to write"
        );
        home.assert_sound();
        if home.read(STORE) != stored {
            home.write(STORE, &stored); // a login that damage made last longer
            home.write(path, whole);
            home.run(&["sync"]).ok();
            stored = home.read(STORE); // Codex's expiry goes by the time of the file
        }
    });
}

#[test]
fn logins_of_claude_code() {
    let expires = now_ms() + 360_000_000;
    let login = json!({"mcpOAuth": {"x": {"accessToken": "y"}},
        "claudeAiOauth": {"accessToken": SECRETS[0],
        "refreshToken": SECRETS[2], "expiresAt": expires, "scopes": ["a"]}});
    logins(CLAUDE, &login.to_string(), "anthropic:claude-cli");
}

#[test]
fn logins_of_codex() {
    let tokens =
        json!({"access_token": SECRETS[3], "refresh_token": SECRETS[2], "account_id": "a"});
    let login =
        json!({"OPENAI_API_KEY": null, "tokens": tokens, "last_refresh": "2026-01-09T00:00:00Z"});
    logins(CODEX, &login.to_string(), "openai-codex:codex-cli");
}

#[test]
fn configurations() {
    let config = json!({
        "auth": {"profiles": {"openai:key": {"provider": "openai", "mode": "api_key"}},
        "order": {"openai": ["openai:key"]}},
        "agents": {"defaults": {"model": {"primary": "openai/gpt", "fallbacks": ["p/x"]},
        "models": {"openai/gpt": {"alias": "g"}}},
                   "list": [{"id": "main", "default": true}]},
        "models": {"providers": {"p": {"apiKey": SECRETS[1], "baseUrl": "https://example.org"}}},
        "env": {"shellEnv": {"enabled": false, "timeoutMs": 5}},
    });
    let whole = config.to_string();
    let home = Home::new();
    home.write(STORE, a_store().to_string());
    home.write(CONFIG, &whole);
    home.run(&["sync"]).ok();
    let stored = home.read(STORE);
    for_each(&whole, 0..damages(), |at, bytes| {
        home.write(CONFIG, bytes);
        let ran = run(&home, &["models", "status"], at);
        // As JavaScript reads a file: what is not UTF-8 becomes U+FFFD.
        let text = String::from_utf8_lossy(bytes);
        let want = match () {
            // Lists in a string are text; outside, they are refused before a parser could run out
            // of stack.
            () if at.ends_with("nested deep") => [0, 65][usize::from(ran.status == 65)],
            () if json5::from_str::<Value>(&text).is_ok() => 0,
            () => 65,
        };
        assert_eq!(ran.status, want, "{at}: {ran:?}");
        if want == 65 {
            assert!(ran.stderr.contains(CONFIG), "{at}: {ran:?}");
            assert_eq!(ran.stdout, "", "{at}");
            home.run(&["history"]).ok(); // which needs no configuration
        }
        assert_eq!(fs::read(home.at(CONFIG)).unwrap(), bytes, "{at}");
        assert_eq!(home.read(STORE), stored, "{at}");
        home.assert_sound();
    });
}

/// The two older stores, by turns, of an agent that has nothing else.
#[test]
fn older_stores() {
    let entry =
        json!({"type": "oauth", "access": SECRETS[4], "refresh": SECRETS[2], "expires": 4e12});
    let own =
        json!({"anthropic": entry, "openai": {"type": "api_key", "key": SECRETS[0]}}).to_string();
    let shared =
        json!({"anthropic": {"access": SECRETS[4], "refresh": SECRETS[2], "expires": 4e12}})
            .to_string();
    for (path, whole, part) in [(LEGACY, own, 0), (LEGACY_OAUTH, shared, 1)] {
        for_each(&whole, (part..damages()).step_by(2), |at, bytes| {
            let home = Home::new();
            home.write(path, bytes);
            let ran = run(&home, &["models", "status"], at);
            assert_eq!(ran.status, 0, "{at}: {ran:?}");
            let warned = ran.stderr.contains("Warning:");
            let is_json = serde_json::from_slice::<Value>(bytes).is_ok();
            assert!(warned || is_json, "{at}: {ran:?}");
            if warned {
                assert!(ran.stderr.contains(path), "{at}: {ran:?}");
            }
            let is_there = fs::read(home.at(path)).is_ok_and(|now| now == bytes);
            let imported = home.newest("import.applied").is_some();
            assert!(
                is_there || (imported && path == LEGACY),
                "{at}: gone, and nothing was imported"
            );
            home.assert_sound();
        });
    }
}
