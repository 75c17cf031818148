//! A vault file that decayed, or that somebody put together from others: bits flipped anywhere,
//! pages of another vault, pages of an older copy of the same one. No credential is handed out that
//! is not the right one, and the store never gets less.
//!
//! Rows changed one by one are in `tamper`, the record's in `tamper_record`, whole pages lost in
//! `bad_input`. `CLAWKEEP_DAMAGES` says how many damaged files of each kind, `CLAWKEEP_SEED`
//! repeats them.

use std::collections::BTreeMap;
use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::damage::Saved;
use crate::support::home::{HOUR, Home, Run, STORE, VAULT, now_ms};
use crate::support::random::{Random, number, seed};

const PAGE: usize = 4096;
const CLAUDE_ID: &str = "anthropic:claude-cli";
const KEY_ID: &str = "openai:default";
const OAUTH_ID: &str = "google:work";
/// The profiles, and where each has its secret.
const PROFILES: [(&str, &str); 3] = [(CLAUDE_ID, "token"), (KEY_ID, "key"), (OAUTH_ID, "access")];
const COMMANDS: &[&[&str]] = &[
    &["models", "status"],
    &["sync"],
    &["history"],
    &["audit", "verify"],
    &["models", "auth", "order", "get", "--provider", "openai"],
    &["models", "auth", "candidates", "--provider", "openai"],
    &["export", "--to", "-", "--reveal"],
];

/// A home with three profiles, all their secrets marked.
fn home(mark: &str) -> Home {
    let home = Home::with_claude(&format!("sk-test-claude-{mark}"), 100);
    let store = json!({
        "version": 1,
        "profiles": {
            KEY_ID: {"type": "api_key", "provider": "openai", "key": format!("sk-test-key-{mark}")},
            "openai:other": {"type": "api_key", "provider": "openai",
            "key": format!("sk-test-other-{mark}")},
            OAUTH_ID: {"type": "oauth", "provider": "google",
                "access": format!("sk-test-access-{mark}"),
                "refresh": format!("sk-test-refresh-{mark}"), "expires": now_ms() + 50 * HOUR,
                "email": "a@example.org"},
        },
        "order": {"openai": [KEY_ID]},
        "usageStats": {KEY_ID: {"lastUsed": now_ms() - HOUR, "errorCount": 0}},
        "unknown": ["kept"],
    });
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

/// Puts the vault's bytes in place, with nothing beside them.
fn put(home: &Home, bytes: &[u8]) {
    for suffix in ["-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(home.at(&format!("{VAULT}{suffix}")));
    }
    fs::write(home.at(VAULT), bytes).unwrap();
}

/// Where commands are run on damaged copies of a vault, and what is right there.
struct Bench {
    home: Home,
    store: Value,
    text: String,
    /// How the runs of each command ended.
    ends: BTreeMap<(String, i32), u64>,
    findings: Vec<String>,
}

impl Bench {
    fn new(home: Home) -> Self {
        let text = home.read(STORE);
        Self {
            store: serde_json::from_str(&text).unwrap(),
            text,
            home,
            ends: BTreeMap::new(),
            findings: Vec::new(),
        }
    }

    fn run(&mut self, bytes: &[u8], args: &[&str], at: &str) -> Run {
        put(&self.home, bytes);
        let run = self.home.run(args);
        *self
            .ends
            .entry((args[..2.min(args.len())].join(" "), run.status))
            .or_default() += 1;
        if let Err(why) = is_well_ended(&run).and_then(|()| self.is_store_whole()) {
            self.findings
                .push(format!("{at}: {args:?}: {why}: {run:?}"));
        }
        if self.home.read(STORE) != self.text {
            self.home.write(STORE, &self.text);
        }
        run
    }

    fn is_store_whole(&self) -> Result<(), String> {
        let now: Value =
            serde_json::from_str(&self.home.read(STORE)).map_err(|error| error.to_string())?;
        if now == self.store {
            return Ok(());
        }
        Err(format!("the store was changed: {now}"))
    }

    /// What every command does with a damaged vault.
    fn try_all(&mut self, bytes: &[u8], at: &str) {
        for args in COMMANDS {
            let run = self.run(bytes, args, at);
            if args[0] == "export" && run.status == 0 {
                let shown: Value = serde_json::from_str(&run.stdout).unwrap_or_default();
                if shown["profiles"] != self.store["profiles"] {
                    self.findings.push(format!("{at}: exported: {run:?}"));
                }
            }
        }
        self.try_tokens(bytes, at);
    }

    /// What is handed out is right, or nothing is.
    fn try_tokens(&mut self, bytes: &[u8], at: &str) {
        for (id, field) in PROFILES {
            let run = self.run(bytes, &["token", "--profile", id], at);
            let right = self.store["profiles"][id][field].as_str().unwrap();
            let printed = run.stdout.trim_end();
            let is_right = match run.status {
                0 => printed == right,
                _ => printed.is_empty(),
            };
            if !is_right {
                self.findings
                    .push(format!("{at}: {id}: not {right}: {run:?}"));
            }
        }
    }

    #[allow(
        clippy::print_stderr,
        reason = "the numbers of a long run are its result"
    )]
    fn report(self, what: &str) {
        eprintln!("{what}, seed {}: {:?}", seed(), self.ends);
        let findings = self.findings.join("\n");
        assert!(
            self.findings.is_empty(),
            "{what}: {} findings\n{findings}",
            self.findings.len()
        );
    }
}

fn is_well_ended(run: &Run) -> Result<(), String> {
    let is_of_table = [0, 1, 65, 75, 77].contains(&run.status);
    let is_note = |line: &&str| line.starts_with("Note:") || line.starts_with("Warning:");
    let lines = run.stderr.lines().filter(|line| !is_note(line)).count();
    if !is_of_table || run.stderr.contains("panicked") {
        return Err("it did not end as it may".to_owned());
    }
    if run.stderr.contains("sk-test-") || lines > 3 || (run.status != 0 && run.stderr.is_empty()) {
        return Err("it does not say it well".to_owned());
    }
    Ok(())
}

fn damages() -> u64 {
    number("CLAWKEEP_DAMAGES", 60)
}

/// The first page of a table or an index, counted from 0. In a vault as small as these it is the
/// only one.
fn root(home: &Home, name: &str) -> usize {
    let conn = Connection::open(home.at(VAULT)).unwrap();
    let select = "SELECT rootpage - 1 FROM sqlite_schema WHERE name = ?1";
    let page: i64 = conn.query_row(select, [name], |row| row.get(0)).unwrap();
    usize::try_from(page).unwrap()
}

#[test]
fn bits_flipped_anywhere() {
    let home = home("1");
    let whole = Saved::of(&home);
    let mut bench = Bench::new(home);
    let mut random = Random::seeded(seed());
    for _ in 0..damages() {
        let mut bytes = whole.bytes().to_vec();
        let mut at = format!("seed {}:", seed());
        for _ in 0..=random.below(3) {
            let byte = usize::try_from(random.below(bytes.len() as u64)).unwrap();
            let bit = random.below(8);
            bytes[byte] ^= 1 << bit;
            at.push_str(&format!(
                " bit {bit} of byte {} of page {},",
                byte % PAGE,
                byte / PAGE + 1
            ));
        }
        bench.try_all(&bytes, &at);
    }
    bench.report("bits flipped");
}

/// A vault in which pages, counted from 0, are those of another file.
fn with_pages(whole: &[u8], other: &[u8], chosen: &[usize]) -> Vec<u8> {
    let mut bytes = whole.to_vec();
    for page in chosen {
        let place = page * PAGE..(page + 1) * PAGE;
        bytes[place.clone()].copy_from_slice(&other[place]);
    }
    bytes
}

/// Each page in turn, and a few at once.
fn mix(whole: &[u8], other: &[u8], mut try_it: impl FnMut(&[u8], &str)) {
    let pages = whole.chunks(PAGE).zip(other.chunks(PAGE));
    let differing = pages
        .enumerate()
        .filter(|(_, (whole, other))| whole != other);
    let differing: Vec<usize> = differing.map(|(page, _)| page).collect();
    let mut try_pages = |chosen: &[usize]| {
        let named: Vec<usize> = chosen.iter().map(|page| page + 1).collect();
        try_it(
            &with_pages(whole, other, chosen),
            &format!("pages {named:?} of {}", differing.len()),
        );
    };
    for page in &differing {
        try_pages(&[*page]);
    }
    let mut random = Random::seeded(seed());
    for _ in 0..damages() {
        let share = 1 + random.below(7);
        let chosen = differing
            .iter()
            .copied()
            .filter(|_| random.below(8) < share);
        try_pages(&chosen.collect::<Vec<_>>());
    }
}

#[test]
fn pages_of_another_vault() {
    let (home, other) = (home("1"), home("2"));
    let (whole, other) = (Saved::of(&home), Saved::of(&other));
    let mut bench = Bench::new(home);
    mix(whole.bytes(), other.bytes(), |bytes, at| {
        bench.try_tokens(bytes, at)
    });
    bench.report("pages of another vault");
}

/// Where the store is there too, it is taken for another program's newer writing, or the vault is
/// refused. Without it an older copy of what an agent has, of what is known of its stores and of
/// the index of changes, all put back together, opens: as a whole older vault does. Then the head
/// that is kept elsewhere tells.
#[test]
fn pages_of_an_older_copy() {
    let home = home("1");
    let older = Saved::of(&home);
    let mut store = home.json(STORE);
    store["profiles"][KEY_ID]["key"] = json!("sk-test-key-later");
    store["profiles"][OAUTH_ID]["access"] = json!("sk-test-access-later");
    store["profiles"][OAUTH_ID]["expires"] = json!(now_ms() + 60 * HOUR);
    home.write(STORE, store.to_string());
    home.claude_login("sk-test-claude-later", 200);
    home.run(&["sync"]).ok();
    for (id, _) in PROFILES {
        home.run(&["token", "--profile", id]).ok();
    }
    let whole = Saved::of(&home);
    let mut bench = Bench::new(home);
    mix(whole.bytes(), older.bytes(), |bytes, at| {
        bench.try_tokens(bytes, at)
    });
    // By chance they would hardly ever all be there: what an agent has, what is known of it, and
    // the newest change of each profile.
    let matter = [
        "agents",
        "profiles",
        "exports",
        "events",
        "events_series",
        "events_change",
        "grants",
        "listings",
    ];
    let pages = matter.map(|name| root(&bench.home, name));
    // Under Wine a process takes seconds: a few of them will do.
    let step = if cfg!(windows) { 51 } else { 1 };
    for subset in (1_u32..1 << pages.len()).step_by(step) {
        let chosen = || (0..pages.len()).filter(|at| subset & 1 << at != 0);
        let chosen_pages: Vec<usize> = chosen().map(|at| pages[at]).collect();
        let names: Vec<&str> = chosen().map(|at| matter[at]).collect();
        let bytes = with_pages(whole.bytes(), older.bytes(), &chosen_pages);
        bench.try_tokens(&bytes, &format!("{names:?}"));
    }
    bench.report("pages of an older copy");
}
