//! `kill -9` at any moment: what was committed is there, what is there is whole, and the next
//! command goes on at once.
//!
//! `CLAWKEEP_KILLS` says how many kills each run makes, `CLAWKEEP_SEED` repeats one.

use std::fs::{self, File};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::home::{AGENT, CLAUDE, Home, STORE, VAULT};
use crate::support::random::{Random, number, seed};

const PROFILE: &str = "anthropic:claude-cli";
const TOKEN: &str = "sk-ant-oat01-killed-";
/// Runs measured before the first kill; the median counts.
const MEASURED: i64 = 5;

/// A share of the kills in tenths, so that the four kinds together make [`number`] of them.
fn share(part: u64) -> u64 {
    (number("CLAWKEEP_KILLS", 60) * part).div_ceil(10)
}

/// Kills children after delays spread evenly over 0 to 1.3 times what a run takes, so that every
/// moment has its turn. What a run takes is learnt on the way: beside other tests it was another
/// time when the first were measured.
pub(crate) struct Killer {
    name: &'static str,
    random: Random,
    run_time: Duration,
    total: u64,
    mid_flight: u64,
}

impl Killer {
    pub(crate) fn new(name: &'static str, mut run_times: Vec<Duration>) -> Self {
        run_times.sort();
        Self {
            name,
            random: Random::seeded(seed()),
            run_time: run_times[run_times.len() / 2],
            total: 0,
            mid_flight: 0,
        }
    }

    /// Starts a command, whose answer nobody reads, and kills it. Returns [`Ended::Done`] if it had
    /// succeeded before that.
    pub(crate) fn kill(&mut self, command: Command) -> Ended {
        self.kill_answering(command, Stdio::null())
    }

    /// Does the same to a command that prints its answer to `stdout`.
    pub(crate) fn kill_answering(&mut self, mut command: Command, stdout: Stdio) -> Ended {
        let longest = u64::try_from(self.run_time.as_nanos() * 13 / 10).unwrap();
        let delay = Duration::from_nanos(self.random.below(longest));
        let started = Instant::now();
        let mut child = command
            .stdout(stdout)
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(delay.saturating_sub(started.elapsed()));
        child.kill().unwrap();
        self.total += 1;
        // Source: `Child::kill`, whose exit code of Windows is 1.
        let killed = if cfg!(unix) { None } else { Some(1) };
        let status = child.wait().unwrap();
        if status.code() == killed {
            self.mid_flight += 1;
            self.run_time = self.run_time * 21 / 20;
        } else {
            self.run_time = self.run_time * 9 / 10;
        }
        if status.success() {
            Ended::Done
        } else {
            Ended::Killed
        }
    }

    /// Where in the run we are: said by every failure.
    pub(crate) fn at(&self) -> String {
        format!("{}: kill {} of seed {}", self.name, self.total, seed())
    }

    #[allow(
        clippy::print_stderr,
        reason = "the numbers of a long run are its result"
    )]
    pub(crate) fn report(&self) {
        eprintln!(
            "{}: {} kills, {} before the command was done; a whole run takes {:?}",
            self.name, self.total, self.mid_flight, self.run_time
        );
        assert!(
            self.mid_flight * 5 >= self.total,
            "{}: only {} of {} kills hit anything",
            self.name,
            self.mid_flight,
            self.total
        );
    }
}

pub(crate) fn timed(command: &mut Command) -> Duration {
    let started = Instant::now();
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    started.elapsed()
}

/// Whatever is there must be whole, straight after the kill.
pub(crate) fn assert_whole(home: &Home, at: &str) {
    if home.at(VAULT).exists() {
        let verified = home.run(&["audit", "verify"]);
        assert_eq!(verified.status, 0, "{at}: {verified:?}");
    }
    if home.at(STORE).exists() {
        let store = home.read(STORE);
        let store: Value = serde_json::from_str(&store).unwrap_or_else(|e| panic!("{at}: {e}"));
        assert!(store["profiles"].is_object(), "{at}");
    }
}

/// After a complete command nothing is left of the killed one: no temporary file, no token out of
/// place. Its lock may be, until somebody needs it, or it is stale.
fn assert_clean(home: &Home, at: &str) {
    for file in home.files() {
        assert!(
            !file.contains("-tmp") && !file.contains("vault.db.new"),
            "{at}: {file} was left"
        );
    }
    for file in home.files_with(TOKEN) {
        assert!(file == CLAUDE || file == STORE, "{at}: a token in {file}");
    }
}

fn ok(home: &Home, args: &[&str], at: &str) {
    let started = Instant::now();
    let run = home.run(args);
    assert_eq!(run.status, 0, "{at}: {args:?}: {run:?}");
    // A lock that the killed process held is known for what it is: nobody waits until it is stale,
    // after 30 seconds. Under Wine a busy machine takes ten for a command that waits for nothing.
    let longest = if cfg!(windows) { 25 } else { 10 };
    assert!(
        started.elapsed() < Duration::from_secs(longest),
        "{at}: {args:?} waited"
    );
}

#[test]
fn a_killed_sync_loses_no_token() {
    let home = Home::new();
    let mut logins: Vec<(i64, String)> = Vec::new();
    let mut login = |round: i64| {
        let token = format!("{TOKEN}{round:06}");
        let expires = home.claude_login(&token, 100 + round);
        logins.push((expires, token));
        logins.clone()
    };
    login(-MEASURED - 1);
    home.run(&["sync"]).ok();
    let run_times = (-MEASURED..0).map(|round| {
        login(round);
        timed(&mut home.command(&["sync"]))
    });
    let mut killer = Killer::new("sync", run_times.collect());
    for round in 0..i64::try_from(share(4)).unwrap() {
        let logins = login(round);
        let current = logins.last().unwrap().1.as_str();
        let ended = killer.kill(home.command(&["sync"]));
        let at = killer.at();
        assert_whole(&home, &at);
        let committed = home.newest("sync.applied").unwrap()["expires"]["after"].clone();
        let (_, committed) = logins
            .iter()
            .find(|(expires, _)| committed == json!(expires))
            .unwrap_or_else(|| panic!("{at}: nobody ever logged in with {committed}"));
        if ended == Ended::Done {
            assert_eq!(committed, current, "{at}: what succeeded is lost");
        }
        ok(&home, &["--no-sync", "sync"], &at);
        let stored = home.exported_token(PROFILE);
        assert_eq!(stored.as_deref(), Some(committed.as_str()), "{at}");
        assert_clean(&home, &at);
        ok(&home, &["sync"], &at);
        let stored = home.exported_token(PROFILE);
        assert_eq!(stored.as_deref(), Some(current), "{at}");
        let applied = home.newest("sync.applied").unwrap()["expires"]["after"].clone();
        assert_eq!(applied, json!(logins.last().unwrap().0), "{at}");
        let sealed = home.vaults_store();
        assert_eq!(sealed["profiles"][PROFILE]["token"], current, "{at}");
        assert_clean(&home, &at);
    }
    killer.report();
    let taken_over = home.events();
    let once = taken_over
        .iter()
        .filter(|event| event["kind"] == "sync.applied")
        .count();
    assert_eq!(once, logins.len(), "every login once, whatever was killed");
}

/// Half of the homes have a key file of the user's choice: its name stays the same from try to try.
#[test]
fn a_killed_first_run_is_no_obstacle_to_the_next() {
    let fresh = |round: u64| {
        let home = Home::with_claude(&format!("{TOKEN}{round:06}"), 100);
        let key = home.at("keys/chosen.key");
        let command = move |home: &Home, args: &[&str]| {
            let mut command = home.command(args);
            if round % 2 == 1 {
                command.env("CLAWKEEP_KEY_FILE", &key);
            }
            command
        };
        (home, command)
    };
    let run_times = (0..MEASURED.unsigned_abs()).map(|round| {
        let (home, command) = fresh(round);
        timed(&mut command(&home, &["sync"]))
    });
    let mut killer = Killer::new("first run", run_times.collect());
    for round in 0..share(2).div_ceil(2) {
        let (home, command) = fresh(round);
        // Twice, since the second has what the first left to deal with.
        for _ in 0..2 {
            killer.kill(command(&home, &["sync"]));
        }
        let at = killer.at();
        if home.at(VAULT).exists() {
            let output = command(&home, &["audit", "verify"]).output().unwrap();
            assert!(output.status.success(), "{at}: {output:?}");
        }
        let output = command(&home, &["sync"]).output().unwrap();
        assert!(output.status.success(), "{at}: {output:?}");
        let token = format!("{TOKEN}{round:06}");
        assert_eq!(home.exported_token(PROFILE), Some(token), "{at}");
        let kinds = home.kinds();
        for once in ["vault.created", "sync.applied"] {
            let count = kinds.iter().filter(|kind| *kind == once).count();
            assert_eq!(count, 1, "{at}: {once} in {kinds:?}");
        }
        assert_clean(&home, &at);
    }
    killer.report();
}

#[test]
fn a_killed_order_set_is_done_or_not_done() {
    let ids = ["anthropic:a", "anthropic:b", "anthropic:c"];
    let home = Home::new();
    let profile = |id: &str| {
        json!({"type": "api_key", "provider": "anthropic",
        "key": format!("{TOKEN}{id}")})
    };
    let profiles =
        json!({ids[0]: profile(ids[0]), ids[1]: profile(ids[1]), ids[2]: profile(ids[2])});
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    let orders = [[0, 1, 2], [2, 1, 0], [1, 0, 2], [0, 2, 1]].map(|order| order.map(|at| ids[at]));
    let set = |round: usize| {
        let mut args = vec!["models", "auth", "order", "set", "--provider", "anthropic"];
        args.extend(orders[round % orders.len()]);
        home.command(&args)
    };
    let run_times = (0..6).map(|round| timed(&mut set(round))).collect();
    let mut killer = Killer::new("order set", run_times);
    let mut before = json!(orders[5 % orders.len()]);
    for round in (6..).take(usize::try_from(share(2)).unwrap()) {
        let ended = killer.kill(set(round));
        let at = killer.at();
        assert_whole(&home, &at);
        ok(&home, &["--no-sync", "sync"], &at);
        let order = home.json(STORE)["order"]["anthropic"].clone();
        let asked = json!(orders[round % orders.len()]);
        assert!(order == before || order == asked, "{at}: {order}");
        if ended == Ended::Done {
            assert_eq!(order, asked, "{at}: what succeeded is lost");
        }
        let recorded = home.newest("order.set").unwrap()["detail"]["order"].clone();
        assert_eq!(order, recorded, "{at}: not what the record says");
        let sealed = home.vaults_store();
        assert_eq!(sealed["order"]["anthropic"], order, "{at}");
        assert_eq!(sealed["profiles"], profiles, "{at}");
        assert_clean(&home, &at);
        before = order;
    }
    killer.report();
}

#[test]
fn a_key_whose_paste_succeeded_survives_the_kills_of_others() {
    let home = Home::with_claude(&format!("{TOKEN}000001"), 100);
    home.run(&["sync"]).ok();
    let id = |round: u64| format!("openai:key-{round}");
    let key = |round: u64| format!("sk-test-openai-killed-{round:06}");
    let paste = |round: u64| {
        home.write("key.txt", key(round));
        let id = id(round);
        let args = [
            "models",
            "auth",
            "paste-api-key",
            "--provider",
            "openai",
            "--profile-id",
            &id,
        ];
        let mut command = home.command(&args);
        command.stdin(File::open(home.at("key.txt")).unwrap());
        command
    };
    let measured = MEASURED.unsigned_abs();
    let run_times = (0..measured).map(|round| timed(&mut paste(round)));
    let mut killer = Killer::new("paste-api-key", run_times.collect());
    let mut succeeded: Vec<u64> = (0..measured).collect();
    let kills = share(2);
    for round in (measured..).take(usize::try_from(kills).unwrap()) {
        if killer.kill(paste(round)) == Ended::Done {
            succeeded.push(round);
        }
        let at = killer.at();
        assert_whole(&home, &at);
        ok(&home, &["--no-sync", "sync"], &at);
        let added = home.events();
        let profiles = home.vaults_store()["profiles"].clone();
        for round in 0..=round {
            let stored = &profiles[id(round)]["key"];
            let is_recorded = added.iter().any(|event| {
                event["kind"] == "profile.created" && event["profile"] == id(round).as_str()
            });
            if is_recorded || succeeded.contains(&round) {
                assert_eq!(stored, &key(round), "{at}: {}", id(round));
            } else {
                assert!(stored.is_null(), "{at}: {} is not in the record", id(round));
            }
        }
        assert_clean(&home, &at);
    }
    killer.report();
}

/// SQLite moves pages from its log into the vault lowest first, and the first page says how many
/// there are. Killed behind that page, the vault is shorter than it says, and SQLite repeats the
/// move from the log.
#[test]
fn killed_while_the_vault_grows_it_still_opens() {
    let home = Home::with_claude(&format!("{TOKEN}000001"), 100);
    home.run(&["sync"]).ok();
    // Another reader keeps the last command's changes in the log.
    let reader = Connection::open(home.at(VAULT)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let events = |reader: &Connection| -> i64 {
        let count = "SELECT count(*) FROM events";
        reader.query_row(count, [], |row| row.get(0)).unwrap()
    };
    events(&reader);
    home.claude_login(&format!("{TOKEN}000002"), 200);
    let many: Vec<String> = (0..200)
        .map(|n| format!("\"p:{n}\":{{\"type\":\"api_key\",\"provider\":\"p\",\"key\":\"{n}\"}}"))
        .collect();
    home.write(STORE, format!("{{\"profiles\":{{{}}}}}", many.join(",")));
    home.run(&["sync"]).ok();
    let copy = Home::new();
    let log = format!("{VAULT}-wal");
    copy.write(VAULT, fs::read(home.at(VAULT)).unwrap());
    copy.write(&log, fs::read(home.at(&log)).unwrap());
    let pages = |home: &Home| {
        let header = fs::read(home.at(VAULT)).unwrap();
        u32::from_be_bytes(header[28..32].try_into().unwrap())
    };
    let small = pages(&home);
    drop(reader);
    home.run(&["sync"]).ok(); // the next one moves the pages
    let whole = fs::read(home.at(VAULT)).unwrap();
    assert!(pages(&home) > small, "the vault did not grow");
    let mut torn = fs::read(copy.at(VAULT)).unwrap();
    torn[..4096].copy_from_slice(&whole[..4096]);
    copy.write(VAULT, torn);
    for keys in [".config/clawkeep", AGENT] {
        for file in fs::read_dir(home.at(keys)).unwrap() {
            let file = file.unwrap();
            let name = format!("{keys}/{}", file.file_name().to_string_lossy());
            copy.write(&name, fs::read(file.path()).unwrap());
        }
    }
    copy.assert_sound();
    assert_eq!(copy.vaults_store(), home.json(STORE));
    // Cut short without a log to mend it from is damage.
    let cut = &whole[..whole.len() - 4096];
    copy.write(VAULT, cut);
    let _ = fs::remove_file(copy.at(&log));
    let run = copy.run(&["sync"]).exits(65);
    assert!(run.stderr.contains("is damaged"), "{run:?}");
}

/// Its writer died, and in the meantime the gateway wrote the very change that the file was for.
#[test]
fn a_temporary_file_is_removed_also_where_there_is_nothing_to_write() {
    let home = Home::with_claude(&format!("{TOKEN}000001"), 100);
    home.run(&["sync"]).ok();
    let left = format!("{STORE}.clawkeep-tmp");
    home.write(&left, format!("{{\"profiles\": {{\"{TOKEN}"));
    home.run(&["models", "status"]).ok();
    assert!(!home.at(&left).exists());
    assert_clean(&home, "left beside a store that needs no change");
}

/// The system calls by which a run changes anything that others can see.
pub(crate) const STEPS: [&str; 14] = [
    "mkdir",
    "openat",
    "rename",
    "renameat2",
    "link",
    "unlink",
    "rmdir",
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "fchmod",
    "utimensat",
];

/// Whether a run was killed on its way.
#[derive(PartialEq)]
pub(crate) enum Ended {
    Killed,
    Done,
}

/// Runs a command that is killed as it comes to its `nth` system call of that name.
pub(crate) fn kill_at(call: &str, nth: u32, command: &Command) -> Ended {
    let environment = command.get_envs();
    let output = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e"])
        .arg(format!("trace={call}"))
        .arg("-e")
        .arg(format!("inject={call}:signal=KILL:when={nth}"))
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .envs(environment.filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    if output.status.success() {
        return Ended::Done;
    }
    let is_killed = output.status.to_string().starts_with("signal: 9 ");
    assert!(is_killed, "{call} {nth}: {output:?}");
    Ended::Killed
}

/// One home, one kill, and everything that must hold after it. `logins`: 1 for a first run, 2 for a
/// later one.
fn killed_at(call: &str, nth: u32, logins: usize) -> Ended {
    let at = format!("{logins} logins; killed at {call} {nth}");
    let home = Home::with_claude(&format!("{TOKEN}000001"), 100);
    let tokens = [format!("{TOKEN}000001"), format!("{TOKEN}000002")];
    if logins == 2 {
        home.run(&["sync"]).ok();
        home.claude_login(&tokens[1], 200);
    }
    let count = |kind: &str| home.kinds().iter().filter(|seen| *seen == kind).count();
    let ended = kill_at(call, nth, &home.command(&["sync"]));
    assert_whole(&home, &at);
    if logins == 2 {
        let committed = count("sync.applied");
        ok(&home, &["--no-sync", "sync"], &at);
        let stored = home.exported_token(PROFILE);
        assert_eq!(stored.as_ref(), Some(&tokens[committed - 1]), "{at}");
        assert_clean(&home, &at);
    }
    ok(&home, &["sync"], &at);
    let current = &tokens[logins - 1];
    assert_eq!(home.exported_token(PROFILE).as_ref(), Some(current), "{at}");
    let sealed = home.vaults_store();
    assert_eq!(&sealed["profiles"][PROFILE]["token"], current, "{at}");
    assert_eq!(count("vault.created"), 1, "{at}");
    assert_eq!(count("sync.applied"), logins, "{at}");
    assert_clean(&home, &at);
    assert_whole(&home, &at);
    ended
}

#[test]
#[ignore = "needs strace, and takes minutes"]
fn killed_at_every_step_of_a_sync_and_of_a_first_run() {
    for logins in [2, 1] {
        let mut steps = Vec::new();
        for call in STEPS {
            let nth = (1..).find(|nth| killed_at(call, *nth, logins) == Ended::Done);
            steps.push((call, nth.unwrap() - 1));
        }
        eprintln!("{logins} logins: killed at each of {steps:?}");
        let renames: u32 = steps
            .iter()
            .map(|(call, n)| if call.starts_with("rename") { *n } else { 0 })
            .sum();
        assert!(
            renames > 1,
            "strace did not see the lock and the store renamed"
        );
    }
}

/// A key file of the user's choice has the same name in the next try: half of one must not be
/// there.
#[test]
#[ignore = "needs strace, and takes half a minute"]
fn killed_at_every_step_of_making_a_chosen_key_file() {
    for call in ["openat", "write", "fsync", "rename", "renameat2"] {
        for nth in 1.. {
            let home = Home::with_claude(&format!("{TOKEN}000001"), 100);
            let command = || {
                let mut command = home.command(&["sync"]);
                command.env("CLAWKEEP_KEY_FILE", home.at("keys/chosen.key"));
                command
            };
            let ended = kill_at(call, nth, &command());
            let output = command().output().unwrap();
            assert!(output.status.success(), "{call} {nth}: {output:?}");
            if ended == Ended::Done {
                break;
            }
        }
    }
}
