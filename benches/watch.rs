//! The watcher, measured: `cargo bench --bench watch`, and
//! `CLAWKEEP_IDLE=600 CLAWKEEP_REWRITES=10000 cargo bench --bench watch` for as long as it takes to
//! say something about months.
//!
//! Prints how long after Claude Code's login was written it is exported, how much memory is
//! resident while it is rewritten again and again, and what watching costs while nothing happens.
//! The goals: a second; flat; 0.1 s of processor time in ten minutes.
//!
//! Then the same with `CLAWKEEP_AGENTS` agents (1,000): how long until every store has a login that
//! was refreshed, as a multiple of what a bare loop takes that replaces as many files durably. The
//! goals: 1.5; `main` within 0.3 s.

#![allow(clippy::print_stdout, reason = "the numbers are its answer")]

mod shared;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Ticks of the processor's clock in a second, as `/proc/PID/stat` counts. Source: proc(5),
/// `sysconf(_SC_CLK_TCK)` of Linux.
const TICKS: f64 = 100.0;

fn main() {
    one_agent();
    many_agents(number("CLAWKEEP_AGENTS", 1000));
}

fn one_agent() {
    let home = tempfile::tempdir().expect("a directory for the benchmark's home");
    let home = home.path();
    fs::create_dir(home.join(".claude")).expect("a fresh home");
    let login = home.join(".claude/.credentials.json");
    fs::write(&login, text(0)).expect("a fresh home");
    shared::run(shared::command(home, &["init", "--key", "keyfile"]));
    let mut child = shared::command(home, &["watch"])
        .spawn()
        .expect("the binary that cargo just built");
    let store = home.join(".clawdbot/agents/main/agent/auth-profiles.json");
    wait_for(&store, 0);

    let floor = Instant::now();
    shared::run_nothing();
    println!(
        "an empty process starts and ends in {:?} here",
        floor.elapsed()
    );
    let rewrites = number("CLAWKEEP_REWRITES", 300);
    let (mut lags, mut memory) = (Vec::new(), vec![resident(&child)]);
    for at in 1..=rewrites {
        write(&login, at);
        let written = Instant::now();
        wait_for(&store, at);
        lags.push(written.elapsed());
        if at % (rewrites / 10).max(1) == 0 {
            memory.push(resident(&child));
        }
    }
    lags.sort();
    println!(
        "{rewrites} rewrites, in place, truncated, renamed over in turn; written to exported: \
         median {:?}, 99 % {:?}, longest {:?}",
        lags[lags.len() / 2],
        lags[lags.len() * 99 / 100],
        lags[lags.len() - 1]
    );
    println!("resident, in KiB, from the start on: {memory:?}");

    let idle = number("CLAWKEEP_IDLE", 10);
    thread::sleep(Duration::from_secs(2)); // what the last rewrite set off
    let before = (processor(&child), wakes(&child));
    thread::sleep(Duration::from_secs(idle));
    let after = (processor(&child), wakes(&child));
    println!(
        "{idle} s idle: {:.2} s of processor time, {} wakes",
        (after.0 - before.0) / TICKS,
        after.1 - before.1
    );
    child.kill().expect("it runs still");
    child.wait().expect("it was killed");
}

/// A login is refreshed, and many agents have it.
fn many_agents(count: u64) {
    let home = tempfile::tempdir().expect("a directory for the benchmark's home");
    let home = home.path();
    fs::create_dir(home.join(".claude")).expect("a fresh home");
    let login = home.join(".claude/.credentials.json");
    fs::write(&login, text(0)).expect("a fresh home");
    let numbered = (1..count).map(|at| format!("agent{at:04}"));
    let names: Vec<String> = std::iter::once("main".to_owned()).chain(numbered).collect();
    let dir_of = |name: &String| home.join(format!(".clawdbot/agents/{name}/agent"));
    let stores = names
        .iter()
        .map(|name| dir_of(name).join("auth-profiles.json"));
    let stores: Vec<PathBuf> = stores.collect();
    let bare = names
        .iter()
        .map(|name| home.join("bare").join(name).join("file"));
    let bare: Vec<PathBuf> = bare.collect();
    for file in stores.iter().chain(&bare) {
        let dir = file.parent().expect("a directory of its own");
        fs::create_dir_all(dir).expect("a fresh home");
    }
    shared::run(shared::command(home, &["init", "--key", "keyfile"]));
    shared::run(shared::command(home, &["sync"]));
    let mut child = shared::command(home, &["watch"])
        .spawn()
        .expect("the binary that cargo just built");
    thread::sleep(Duration::from_secs(5)); // its first pass
    let bytes = fs::read(&stores[0]).expect("synced");
    replace_all(&bare, &bytes); // the directories are there now
    for at in 1..=number("CLAWKEEP_ROUNDS", 5) {
        let began = Instant::now();
        replace_all(&bare, &bytes);
        let floor = began.elapsed();
        write(&login, at * 3 + 2); // renamed over, as Claude Code does it
        let written = Instant::now();
        wait_for(&stores[0], at * 3 + 2);
        let first = written.elapsed();
        for store in &stores {
            wait_for(store, at * 3 + 2);
        }
        let all = written.elapsed();
        println!(
            "{count} agents: in main's store after {first:?}, in all after {all:?}: {:.2} of \
             {floor:?}, which {count} bare replacements take",
            all.as_secs_f64() / floor.as_secs_f64()
        );
        thread::sleep(Duration::from_secs(2)); // the pass ends
    }
    child.kill().expect("it runs still");
    child.wait().expect("it was killed");
}

/// Replaces files one after the other, each durably: written under another name, renamed, file and
/// directory flushed.
fn replace_all(files: &[PathBuf], bytes: &[u8]) {
    let replace = |path: &PathBuf| -> std::io::Result<()> {
        let draft = path.with_extension("draft");
        let mut file = fs::File::create(&draft)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&draft, path)?;
        let dir = path.parent().unwrap_or(path);
        fs::File::open(dir)?.sync_all()
    };
    for path in files {
        replace(path).expect("a home of our own");
    }
}

fn number(name: &str, otherwise: u64) -> u64 {
    let set = std::env::var(name).ok();
    set.and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

fn token(at: u64) -> String {
    format!("sk-ant-oat01-{at:08}")
}

fn text(at: u64) -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let ends = now.as_millis() + 28_800_000 + u128::from(at) * 1000;
    format!(
        r#"{{"claudeAiOauth":{{"accessToken":"{}","refreshToken":"r","expiresAt":{ends}}}}}"#,
        token(at)
    )
}

fn write(login: &Path, at: u64) {
    let text = text(at);
    let done = match at % 3 {
        0 => fs::OpenOptions::new()
            .write(true)
            .open(login)
            .and_then(|mut file| file.write_all(text.as_bytes())),
        1 => fs::write(login, text),
        _ => {
            let draft: PathBuf = login.with_extension("draft");
            fs::write(&draft, text).and_then(|()| fs::rename(draft, login))
        }
    };
    done.expect("a home of our own");
}

fn wait_for(store: &Path, at: u64) {
    let wanted = token(at);
    let end = Instant::now() + Duration::from_secs(30);
    while !fs::read_to_string(store).is_ok_and(|text| text.contains(&wanted)) {
        assert!(Instant::now() < end, "{wanted} was not exported");
        thread::sleep(Duration::from_micros(200));
    }
}

fn proc(child: &Child, file: &str) -> String {
    fs::read_to_string(format!("/proc/{}/{file}", child.id())).expect("it runs, on Linux")
}

/// Resident memory, in KiB.
fn resident(child: &Child) -> u64 {
    field(&proc(child, "status"), "VmRSS:")
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find(|line| line.starts_with(name));
    let value = line.and_then(|line| line.split_whitespace().nth(1));
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// Processor time, in ticks.
fn processor(child: &Child) -> f64 {
    let stat = proc(child, "stat");
    let fields = stat.rsplit(')').next().unwrap_or_default();
    // utime and stime are the 14th and 15th of all
    let mut times = fields.split_whitespace().skip(11);
    let mut next = || {
        let time = times.next().and_then(|time| time.parse::<f64>().ok());
        time.unwrap_or(0.0)
    };
    next() + next()
}

/// How often any of its threads was put to sleep of its own will, and so woken.
fn wakes(child: &Child) -> u64 {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.id())).expect("it runs, on Linux");
    let switches = tasks.filter_map(Result::ok).map(|task| {
        let status = fs::read_to_string(task.path().join("status")).unwrap_or_default();
        field(&status, "voluntary_ctxt_switches:")
    });
    switches.sum()
}
