//! Beside a gateway that never stops writing: with the reference's lock, without it, and while our
//! commands are killed.
//!
//! `CLAWKEEP_UPDATES` and `CLAWKEEP_UNLOCKED` say how many updates it makes with and without the
//! lock, `CLAWKEEP_SEED` repeats the moments of the kills.

use std::collections::BTreeMap;
use std::fs;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::home::{AGENT, Home, STORE, VAULT, now_ms};
use crate::support::random::{Random, number, seed};

const CLAUDE_ID: &str = "anthropic:claude-cli";
const WORK: &str = "anthropic:work";
const LOGIN: &str = "openai:login";
const ORDER: [&str; 4] = ["models", "auth", "order", "set"];
/// Far enough for every expiry here to be told from another.
const FAR: u64 = 4_000_000_000_000;

fn claude_token(n: u64) -> String {
    format!("sk-ant-oat01-gateway-{n:06}")
}

fn key(name: &str) -> Value {
    json!({"type": "api_key", "provider": "anthropic", "key": format!("sk-key-{name}")})
}

/// A home whose vault and store are in step: Claude Code's login, a key and an OAuth login.
fn settled() -> Home {
    let home = Home::with_claude(&claude_token(0), 100);
    let login = json!({"type": "oauth", "provider": "openai", "access": "a", "refresh": "r",
        "expires": FAR});
    let store = json!({"version": 1, "profiles": {WORK: key("work"), LOGIN: login}});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

/// Sets an order of the two, by turns, until `done`, and looks whether it is in force. The last one
/// set, and how often.
fn keep_setting_the_order(home: &Home, done: &AtomicBool) -> (Value, usize) {
    let orders = [[WORK, CLAUDE_ID], [CLAUDE_ID, WORK]];
    let mut n = 0;
    while !done.load(Ordering::Relaxed) || n < 2 {
        let ids = orders[n % 2];
        let args = [&ORDER[..], &["--provider", "anthropic"], &ids].concat();
        home.run(&args).ok();
        n += 1;
    }
    (json!(orders[(n - 1) % 2]), n)
}

/// Logs Claude Code in anew and syncs, until `done`. How often.
fn keep_logging_in(home: &Home, done: &AtomicBool) -> u64 {
    let mut n = 0;
    while !done.load(Ordering::Relaxed) || n < 2 {
        n += 1;
        home.claude_login(&claude_token(n), 100 + i64::try_from(n).unwrap());
        home.run(&["sync"]).ok();
    }
    n
}

/// The reference: its lock is a directory, it writes in place, and it changes what it reads.
struct Gateway<'h> {
    home: &'h Home,
    /// What it has written and not removed again: all of this must be in the file whenever it
    /// looks.
    profiles: BTreeMap<String, Value>,
    /// The Claude login it saw last.
    claude: String,
}

impl<'h> Gateway<'h> {
    fn new(home: &'h Home) -> Self {
        let store = home.json(STORE);
        let profiles = [WORK, LOGIN].map(|id| (id.to_owned(), store["profiles"][id].clone()));
        Self {
            home,
            profiles: profiles.into(),
            claude: String::new(),
        }
    }

    fn locked(&mut self, n: u64) {
        let lock = self.home.at(&format!("{STORE}.lock"));
        let deadline = Instant::now() + Duration::from_secs(60);
        while let Err(error) = fs::create_dir(&lock) {
            assert_eq!(error.kind(), std::io::ErrorKind::AlreadyExists);
            assert!(Instant::now() < deadline, "the lock was never free");
            std::thread::sleep(Duration::from_millis(1)); // as the reference polls
        }
        let mut store = self.home.json(STORE);
        self.look(&store, n);
        self.change(&mut store, n);
        fs::write(self.home.at(STORE), format!("{store:#}\n")).unwrap();
        fs::remove_dir(&lock).unwrap();
    }

    /// Everything of its own is there, to the last unknown field, and nothing of ours went back.
    fn look(&mut self, store: &Value, n: u64) {
        for (id, entry) in &self.profiles {
            assert_eq!(&store["profiles"][id], entry, "{id} before update {n}");
        }
        let gateways = store["profiles"].as_object().unwrap().keys();
        let gateways = gateways.filter(|id| id.as_str() != CLAUDE_ID).count();
        assert_eq!(
            gateways,
            self.profiles.len(),
            "what it removed is gone, before update {n}"
        );
        if n > 0 {
            assert_eq!(store["usageStats"], usage(n - 1), "before update {n}");
            assert_eq!(store["lastGood"]["anthropic"], format!("gateway:{}", n - 1));
            assert_eq!(
                store["later"],
                json!({"deep": [n - 1, null]}),
                "before update {n}"
            );
        }
        let claude = store["profiles"][CLAUDE_ID]["token"].as_str().unwrap();
        assert!(
            claude >= self.claude.as_str(),
            "{claude} after {}",
            self.claude
        );
        self.claude = claude.to_owned();
    }

    /// A new profile, a login refreshed, one removed at times, use counted, and fields nobody knows
    /// at every level.
    fn change(&mut self, store: &mut Value, n: u64) {
        let mut entry = key(&n.to_string());
        entry["metadata"] = json!({"n": n, "list": [1.5, null]});
        self.profiles.insert(format!("gateway:{n}"), entry);
        let login = self.profiles.get_mut(LOGIN).unwrap();
        login["access"] = json!(format!("access-{n}"));
        login["refresh"] = json!(format!("refresh-{n}"));
        login["expires"] = json!(FAR + n);
        login["idToken"] = json!(n);
        if n >= 40 && !n.is_multiple_of(8) {
            let id = format!("gateway:{}", n - 40);
            self.profiles.remove(&id);
            store["profiles"].as_object_mut().unwrap().remove(&id);
        }
        for (id, entry) in &self.profiles {
            store["profiles"][id] = entry.clone();
        }
        store["usageStats"] = usage(n);
        store["lastGood"]["anthropic"] = json!(format!("gateway:{n}"));
        store["later"] = json!({"deep": [n, null]});
    }
}

fn usage(n: u64) -> Value {
    let used = 1_767_900_000_000_u64 + n;
    json!({WORK: {"lastUsed": used, "errorCount": n, "cooldownReason": {"n": n},
        "failureCounts": {"auth": n}}})
}

#[allow(
    clippy::print_stderr,
    reason = "the numbers of a long run are its result"
)]
#[test]
fn with_the_gateway_and_two_of_ours_at_once_no_update_is_lost() {
    let updates = number("CLAWKEEP_UPDATES", 1_000);
    let home = settled();
    let done = AtomicBool::new(false);
    let mut gateway = Gateway::new(&home);
    let started = Instant::now();
    let (order, sets, logins) = std::thread::scope(|scope| {
        let setter = scope.spawn(|| keep_setting_the_order(&home, &done));
        let syncer = scope.spawn(|| keep_logging_in(&home, &done));
        let _ends = EndsOnDrop(&done);
        let mut random = Random::seeded(seed());
        for n in 0..updates {
            gateway.locked(n);
            // It has other things to do; without a pause the lock would hardly ever be ours.
            std::thread::sleep(Duration::from_millis(random.below(8)));
        }
        done.store(true, Ordering::Relaxed);
        let (order, sets) = setter.join().unwrap();
        (order, sets, syncer.join().unwrap())
    });
    eprintln!(
        "{updates} updates, {sets} orders and {logins} logins in {:?}",
        started.elapsed()
    );
    home.run(&["sync"]).ok();
    let file = home.json(STORE);
    gateway.look(&file, updates);
    assert_eq!(file["order"]["anthropic"], order);
    assert_eq!(file["profiles"][CLAUDE_ID]["token"], claude_token(logins));
    let kinds = home.kinds();
    let count = |kind: &str| kinds.iter().filter(|seen| *seen == kind).count();
    assert_eq!(count("sync.applied") as u64, logins + 1, "every login once");
    assert_eq!(count("store.corrupt"), 0);
    assert_eq!(home.vaults_store(), file);
    assert_tidy(&home);
    home.assert_sound();
}

/// Lets the others end also where a check fails.
struct EndsOnDrop<'d>(&'d AtomicBool);

impl Drop for EndsOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn assert_tidy(home: &Home) {
    let dir = fs::read_dir(home.at(AGENT)).unwrap();
    let names: Vec<_> = dir.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["auth-profiles.json"]);
}

/// How a program without the lock writes.
#[derive(Clone, Copy, Debug)]
enum Manner {
    InPlace,
    Rename,
}

/// Tries again while Windows denies it because one of ours replaces the file at that moment.
fn once_allowed<T>(access: impl Fn() -> std::io::Result<T>) -> T {
    loop {
        match access() {
            Err(error) if cfg!(windows) && error.kind() == std::io::ErrorKind::PermissionDenied => {
                std::thread::yield_now();
            }
            done => return done.unwrap(),
        }
    }
}

/// One update without the lock: reads, waits until one of ours has written in between or `patience`
/// is over, and writes what is by then an older document with one credential more: a new profile,
/// or a new token of an old one. Each has an expiry of its own, which tells it from any other.
fn unlocked(home: &Home, n: u64, manner: Manner, patience: Duration) {
    let path = home.at(STORE);
    let read = || once_allowed(|| fs::read(&path));
    let found = read();
    // Ours are whole at any moment, and there is no other writer.
    let mut store: Value = serde_json::from_slice(&found).unwrap();
    store["profiles"][unlocked_id(n)] = unlocked_entry(n);
    let until = Instant::now() + patience;
    while read() == found && Instant::now() < until {
        std::thread::yield_now();
    }
    let text = format!("{store:#}\n");
    match manner {
        Manner::InPlace => once_allowed(|| fs::write(&path, &text)),
        Manner::Rename => {
            let other = home.at("other");
            fs::write(&other, text).unwrap();
            once_allowed(|| fs::rename(&other, &path));
        }
    }
}

/// Every fourth update gives a profile of two updates before a new token.
fn unlocked_id(n: u64) -> String {
    format!("gateway:{}", if n % 4 == 3 { n - 2 } else { n })
}

fn unlocked_entry(n: u64) -> Value {
    json!({"type": "token", "provider": "anthropic", "token": format!("sk-unlocked-{n}"),
        "expires": FAR + n})
}

/// Each update is in the file, or was replaced by a later one of the gateway's own, or is a version
/// in the vault.
fn assert_each_is_kept(home: &Home, updates: u64) {
    let file = home.json(STORE);
    let conn = Connection::open(home.at(VAULT)).unwrap();
    let version = "SELECT count(*) FROM profile_versions v JOIN terms t ON t.id = v.profile WHERE \
        t.text = ?1 AND v.expires = ?2";
    for n in 0..updates {
        let id = unlocked_id(n);
        let superseded = n % 4 == 1 && n + 2 < updates;
        let is_in_file = file["profiles"][&id] == unlocked_entry(n);
        let expires = i64::try_from(FAR + n).unwrap();
        let versions: i64 = conn
            .query_row(version, (&id, expires), |row| row.get(0))
            .unwrap();
        assert!(
            is_in_file || superseded || versions > 0,
            "update {n}: {}",
            file["profiles"][&id]
        );
    }
}

#[test]
fn a_hundred_updates_without_the_lock_are_kept() {
    let updates = number("CLAWKEEP_UNLOCKED", 100);
    let home = settled();
    let done = AtomicBool::new(false);
    let logins = std::thread::scope(|scope| {
        let setter = scope.spawn(|| keep_setting_the_order(&home, &done));
        let syncer = scope.spawn(|| keep_logging_in(&home, &done));
        let _ends = EndsOnDrop(&done);
        for n in 0..updates {
            let manner = [Manner::InPlace, Manner::Rename][usize::from(n % 2 == 1)];
            let patience = Duration::from_millis([0, 40][usize::from(n % 3 == 2)]);
            unlocked(&home, n, manner, patience);
        }
        done.store(true, Ordering::Relaxed);
        setter.join().unwrap();
        syncer.join().unwrap()
    });
    home.run(&["sync"]).ok();
    assert_each_is_kept(&home, updates);
    let file = home.json(STORE);
    assert_eq!(file["profiles"][CLAUDE_ID]["token"], claude_token(logins));
    assert_eq!(file["profiles"][WORK], key("work"));
    assert!(
        home.newest("store.corrupt").is_none(),
        "torn is not damaged"
    );
    assert_eq!(home.vaults_store(), file);
    assert_tidy(&home);
    home.assert_sound();
}

#[test]
fn beside_killed_commands_no_update_without_the_lock_is_lost() {
    let updates = number("CLAWKEEP_UNLOCKED", 100);
    let home = settled();
    let mut random = Random::seeded(seed());
    let done = AtomicBool::new(false);
    let (mut login, mut killed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ends = EndsOnDrop(&done);
            for n in 0..updates {
                let manner = [Manner::InPlace, Manner::Rename][usize::from(n % 2 == 1)];
                unlocked(&home, n, manner, Duration::from_millis(20));
            }
        });
        while !done.load(Ordering::Relaxed) {
            login += 1;
            home.claude_login(&claude_token(login), 100 + i64::try_from(login).unwrap());
            let mut sync = home.command(&["sync"]);
            sync.stdout(Stdio::null()).stderr(Stdio::null());
            let mut child = sync.spawn().unwrap();
            std::thread::sleep(Duration::from_micros(random.below(30_000)));
            child.kill().unwrap();
            killed += u64::from(!child.wait().unwrap().success());
        }
    });
    assert!(killed > 5, "only {killed} were killed");
    home.run(&["sync"]).ok();
    assert_each_is_kept(&home, updates);
    let file = home.json(STORE);
    assert_eq!(file["profiles"][CLAUDE_ID]["token"], claude_token(login));
    assert!(home.newest("store.corrupt").is_none(), "seed {}", seed());
    assert_eq!(home.vaults_store(), file);
    assert_tidy(&home);
    home.assert_sound();
}

/// What gave way on either side can be had back: the vault keeps it, sealed, as a version.
#[test]
fn a_token_that_gave_way_is_kept_as_a_version() {
    let home = settled();
    let in_the_way = home.at(&format!("{STORE}.clawkeep-tmp"));
    fs::create_dir(&in_the_way).unwrap(); // so that ours is committed and cannot be written
    home.claude_login(&claude_token(1), 200);
    home.run(&["sync"]).exits(1);
    fs::remove_dir(&in_the_way).unwrap();
    // Without knowing of that, the gateway stores a login of its own, which ends earlier.
    let mut store = home.json(STORE);
    let ends = now_ms() + 5_000_000;
    let theirs =
        json!({"type": "token", "provider": "anthropic", "token": "sk-theirs", "expires": ends});
    store["profiles"][CLAUDE_ID] = theirs;
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    assert_eq!(home.exported_token(CLAUDE_ID), Some(claude_token(1)));
    let gave_way = home
        .events()
        .into_iter()
        .find(|event| event["kind"] == "store.merged" && event["outcome"] == "skipped");
    assert_eq!(gave_way.unwrap()["expires"]["before"], ends);
    let conn = Connection::open(home.at(VAULT)).unwrap();
    let kept: Vec<i64> = conn
        .prepare(
            "SELECT v.expires FROM profile_versions v JOIN terms t ON t.id = v.profile WHERE \
            t.text = ?1 ORDER BY v.id",
        )
        .unwrap()
        .query_map([CLAUDE_ID], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    assert_eq!(kept.len(), 2, "the login before, and theirs");
    assert_eq!(kept[1], ends);
    drop(conn);
    home.assert_sound(); // which opens every row, versions too
}
