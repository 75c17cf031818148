//! The watcher: what changes is imported and exported, what is due is refreshed, and nothing ends
//! it but a signal.

mod trouble;

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::process::Stdio;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;
use serde_json::{Value, json};

#[cfg(unix)]
use crate::record::faketime;
use crate::refresh::{ID, OPS, SETTINGS, exported, login, store};
use crate::support::home::{AGENT, CLAUDE, HOUR, Home, STORE, VAULT, now_ms};
use crate::support::provider::{Instead, Provider};
use crate::support::watch::Watch;

/// How often Claude Code's login is rewritten in each of its ways.
const REWRITES: usize = 100;
const CLAUDE_ID: &str = "anthropic:claude-cli";

/// How a program may write its login.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// Over what is there, byte by byte of the same file.
    InPlace,
    /// Emptied, closed, and then written.
    Truncated,
    /// Beside it, and then put in its place.
    Renamed,
}

fn claude_login(token: &str, expires: i64) -> String {
    json!({"claudeAiOauth": {"accessToken": token, "refreshToken": "r", "expiresAt": expires}})
        .to_string()
}

/// Rewrites the login. Returns whether it was left half-written for so long that it may have been
/// believed, as happens on a machine under load.
fn rewrite(home: &Home, way: Way, text: &str) -> bool {
    /// A file is read as it is once nothing has happened to it for so long.
    const QUIET: Duration = Duration::from_millis(200);
    let path = home.at(CLAUDE);
    let begun = Instant::now();
    match way {
        Way::InPlace => {
            let mut file = fs::OpenOptions::new().write(true).open(path).unwrap();
            // In two parts: what is there in between is neither.
            let (first, second) = text.split_at(text.len() / 2);
            file.write_all(first.as_bytes()).unwrap();
            file.write_all(second.as_bytes()).unwrap();
            file.set_len(text.len().try_into().unwrap()).unwrap();
        }
        Way::Truncated => {
            drop(fs::File::create(&path).unwrap());
            fs::write(path, text).unwrap();
        }
        Way::Renamed => {
            home.write(".claude/draft", text);
            fs::rename(home.at(".claude/draft"), path).unwrap();
        }
    }
    begun.elapsed() >= QUIET
}

/// The tokens' fingerprints in the record of what was imported, oldest first.
fn taken_over(home: &Home) -> Vec<String> {
    let answer = home.run(&[
        "history",
        "--json",
        "--kind",
        "sync.applied",
        "--reverse",
        "--limit",
        "100000",
    ]);
    let events = answer.json()["events"].as_array().unwrap().clone();
    let after = |event: &Value| event["token"]["after"].as_str().unwrap().to_owned();
    events.iter().map(after).collect()
}

fn is_exported(home: &Home, token: &str) -> bool {
    // It may be replaced just now.
    fs::read_to_string(home.at(STORE)).is_ok_and(|text| text.contains(token))
}

#[test]
fn every_login_of_claude_code_is_exported_and_stands_in_the_record_once() {
    let home = Home::with_claude("sk-ant-oat01-first", 8);
    let watch = Watch::start(&home, &[]);
    let expires = now_ms() + 9 * HOUR;
    let mut interrupted = 0;
    for round in 0..REWRITES {
        for (at, way) in [Way::InPlace, Way::Truncated, Way::Renamed]
            .into_iter()
            .enumerate()
        {
            let number = round * 3 + at;
            let token = format!("sk-ant-oat01-{number:04}-{}", "x".repeat(round % 7));
            let ends = expires + i64::try_from(number).unwrap() * 1000;
            interrupted += usize::from(rewrite(&home, way, &claude_login(&token, ends)));
            watch.until(&format!("{way:?} {token}"), || {
                is_exported(&home, &format!("\"{token}\""))
            });
        }
    }
    let run = watch.end();
    // Where the key went, and that a plain copy was written.
    let (first, rest) = run.stderr.split_once('\n').unwrap();
    assert!(first.contains("created the vault"), "{first}");
    assert!(rest.contains("in plain text"), "{rest}");
    assert_eq!((run.status, rest.lines().count()), (0, 1), "{rest}");
    let prints = taken_over(&home);
    assert_eq!(prints.len(), REWRITES * 3 + 1);
    assert_eq!(prints.iter().collect::<HashSet<_>>().len(), prints.len());
    let skipped = home.count_of("sync.skipped");
    assert!(
        skipped <= interrupted,
        "{skipped} half-written files were believed"
    );
    home.assert_sound();
}

#[test]
fn rewritten_faster_than_anybody_can_look_the_last_one_counts() {
    let home = Home::with_claude("sk-ant-oat01-first", 8);
    let watch = Watch::start(&home, &[]);
    let expires = now_ms() + 9 * HOUR;
    let mut interrupted = 0;
    for number in 0..300_u16 {
        let way = [Way::InPlace, Way::Truncated, Way::Renamed][usize::from(number % 3)];
        let text = claude_login(
            &format!("sk-ant-oat01-{number:03}"),
            expires + i64::from(number) * 1000,
        );
        interrupted += usize::from(rewrite(&home, way, &text));
    }
    watch.until("the last one", || is_exported(&home, "sk-ant-oat01-299"));
    assert_eq!(watch.end().status, 0);
    let prints = taken_over(&home);
    assert_eq!(
        prints.iter().collect::<HashSet<_>>().len(),
        prints.len(),
        "each once"
    );
    let skipped = home.count_of("sync.skipped");
    assert!(
        skipped <= interrupted,
        "{skipped} half-written files were believed"
    );
}

#[test]
fn a_login_is_found_that_comes_later_with_its_directory_and_behind_links() {
    let home = Home::new();
    let watch = Watch::start(&home, &[]);
    home.claude_login("sk-ant-oat01-one", 8);
    watch.until("the directory came", || {
        is_exported(&home, "sk-ant-oat01-one")
    });
    // The directory is moved away, and a link comes in its place. On Windows a link takes a right
    // of its own.
    fs::rename(home.at(".claude"), home.at("old")).unwrap();
    #[cfg(unix)]
    {
        fs::create_dir(home.at("elsewhere")).unwrap();
        symlink("elsewhere", home.at(".claude")).unwrap();
    }
    home.claude_login("sk-ant-oat01-two", 9);
    watch.until("behind the link", || is_exported(&home, "sk-ant-oat01-two"));
    let codex = json!({"tokens": {"access_token": "sk-codex-access",
        "refresh_token": "sk-codex-refresh", "account_id": "a"}});
    home.write(".codex/auth.json", codex.to_string());
    watch.until("Codex's login", || is_exported(&home, "sk-codex-access"));
    watch.end().exits(0);
    home.assert_sound();
}

#[test]
fn what_a_gateway_writes_and_agents_that_come_later_are_imported() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    let key = json!({"type": "api_key", "provider": "openai", "key": "sk-written-later"});
    store(&home, OPS, &key);
    watch.says("ops: imported test:login");
    // A store that is deleted is written again; a damaged one is set aside.
    fs::remove_file(home.at(STORE)).unwrap();
    watch.until("written again", || is_exported(&home, "sk-ant-oat01-one"));
    fs::write(home.at(STORE), "{\"version\": 1, \"prof").unwrap();
    watch.until("mended", || is_exported(&home, "sk-ant-oat01-one"));
    watch.says("was damaged");
    // An agent of the configuration, whose directory comes later.
    home.write(
        ".clawdbot/clawdbot.json",
        r#"{agents: {list: [{id: "far", agentDir: "~/far"}]}}"#,
    );
    home.write(
        "far/auth-profiles.json",
        json!({"version": 1, "profiles": {ID: key}}).to_string(),
    );
    watch.says("far: imported test:login");
    watch.end().exits(0);
    home.assert_sound();
}

/// A home whose login ends in a while, and its provider.
fn home_with(left_ms: i64) -> (Home, Provider) {
    let (home, provider) = (Home::new(), Provider::start());
    home.write(SETTINGS, provider.setting("test"));
    let mut entry = login("sk-test-access-old", &provider.grant("a"), 0);
    entry["expires"] = json!(now_ms() + left_ms);
    store(&home, STORE, &entry);
    (home, provider)
}

#[test]
fn a_login_is_refreshed_before_it_ends() {
    let (home, provider) = home_with(4 * 60_000);
    let watch = Watch::start(&home, &["--refresh-ahead", "5m"]);
    watch.until("refreshed", || provider.count() == 1);
    watch.until("exported", || {
        exported(&home, STORE)["access"] != "sk-test-access-old"
    });
    watch.says("main: test:login was refreshed; expires in 8h");
    // Another one, while it watches: due in two seconds and the jitter at most.
    let mut entry = login("sk-test-access-two", &provider.grant("b"), 0);
    entry["expires"] = json!(now_ms() + 5 * 60_000 + 2_000);
    store(&home, OPS, &entry);
    watch.until("the other one", || provider.count() == 2);
    assert_eq!(provider.repeated(), 0);
    watch.end().exits(0);
    home.assert_sound();
}

#[test]
fn tokens_that_last_less_than_they_are_refreshed_ahead_are_not_asked_for_again_and_again() {
    let (home, provider) = home_with(1_000);
    provider.lifetime(Some(json!(240)));
    let watch = Watch::start(&home, &["--refresh-ahead", "10m"]);
    watch.until("refreshed", || provider.count() == 1);
    // It goes on: what changes from now on is another pass, in which nothing is due.
    home.claude_login("sk-ant-oat01-one", 8);
    watch.until("another pass", || is_exported(&home, "sk-ant-oat01-one"));
    assert_eq!(provider.count(), 1);
    watch.end().exits(0);
}

#[cfg(unix)] // SIGHUP
#[test]
fn a_refresh_that_fails_is_tried_again_later_and_reported() {
    let (home, provider) = home_with(1_000);
    provider.next(vec![Instead::Answer(503, vec![], String::new()); 3]);
    let watch = Watch::start(&home, &[]);
    watch.says("It is tried again in 1m.");
    home.claude_login("sk-ant-oat01-one", 8);
    watch.until("everything else goes on", || {
        is_exported(&home, "sk-ant-oat01-one")
    });
    let before = provider.count();
    // Settings that change are a reason to try at once.
    watch.signal(Signal::HUP);
    watch.until("tried again", || provider.count() > before);
    watch.says("test:login was refreshed");
    watch.end().exits(0);
}

#[test]
fn an_end_is_recorded_when_it_comes() {
    let home = Home::new();
    let expires = now_ms() + 2_500;
    home.write(CLAUDE, claude_login("sk-ant-oat01-one", expires));
    let watch = Watch::start(&home, &[]);
    watch.until("recorded", || home.newest("expiry.expired").is_some());
    let event = home.newest("expiry.expired").unwrap();
    assert_eq!(event["detail"]["since"], json!(expires), "{event}");
    assert_eq!(event["actor"]["program"], "clawkeep");
    watch.end().exits(0);
}

#[test]
fn one_is_enough() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    let second = home.run(&["watch"]).exits(75);
    assert!(
        second.stderr.contains(&format!("({})", watch.pid())),
        "{second:?}"
    );
    let once = home.run(&["watch", "--once"]);
    assert!(
        once.stderr.contains("is watched by another process"),
        "{once:?}"
    );
    once.ok();
    watch.end().exits(0);
    // Killed, it is not in the next one's way.
    let mut watch = Watch::start(&home, &[]);
    watch.kill();
    watch.ended().exits(if cfg!(unix) { -1 } else { 1 });
    Watch::start(&home, &[]).end().exits(0);
}

#[test]
fn a_pass_for_cron_does_what_is_due_and_says_how_it_went() {
    let (home, provider) = home_with(60_000);
    let run = home.run(&["watch", "--once"]);
    assert!(
        run.stdout.contains("main: test:login was refreshed"),
        "{run:?}"
    );
    run.ok();
    assert_eq!(provider.count(), 1);
    let again = home.run(&["watch", "--once"]);
    assert_eq!(
        (again.status, again.stdout.as_str(), again.stderr.as_str()),
        (0, "", "")
    );
    // What cannot be done ends it, and nothing else does.
    fs::create_dir(home.at(OPS).parent().unwrap().parent().unwrap()).unwrap();
    home.write(OPS, "[]");
    let run = home.run(&["watch", "--once"]).exits(65);
    assert!(run.stderr.contains("ops:"), "{run:?}");
}

#[cfg(unix)] // signals
#[test]
fn it_ends_when_it_is_asked_and_says_so_to_its_manager() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start_with(&home, &[], |command| {
        command.env("WATCHDOG_USEC", "400000");
    });
    let told = watch.wait_for("READY=1");
    assert!(told.contains("STATUS=1 agent, 1 credential"), "{told}");
    for _ in 0..3 {
        watch.wait_for("WATCHDOG=1");
    }
    watch.signal(Signal::TERM);
    watch.wait_for("STOPPING=1");
    let run = watch.ended().exits(0);
    assert!(run.stdout.ends_with(" stopped as requested\n"), "{run:?}");
    for signal in [Signal::INT, Signal::TERM] {
        let watch = Watch::start(&home, &[]);
        watch.signal(signal);
        watch.ended().exits(0);
    }
}

#[test]
fn it_ends_with_its_stdin_where_the_process_that_started_it_says_so() {
    use std::io::{BufRead as _, BufReader, Read as _};
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let mut command = home.command(&["watch", "--end-with-stdin"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let mut said = String::new();
    while !said.contains(" watching: ") {
        assert_ne!(stdout.read_line(&mut said).unwrap(), 0, "{said}");
    }
    assert_eq!(child.try_wait().unwrap(), None);
    drop(child.stdin.take());
    stdout.read_to_string(&mut said).unwrap();
    assert!(said.ends_with(" stopped as requested\n"), "{said}");
    assert!(child.wait().unwrap().success());
}

#[cfg(unix)] // the journal of systemd
#[test]
fn lines_for_the_journal_say_how_grave_they_are() {
    use std::os::unix::fs::MetadataExt as _;
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start_with(&home, &[], |command| {
        let out = fs::File::create(home.at("journal")).unwrap();
        let metadata = out.metadata().unwrap();
        let stream = format!("{}:{}", metadata.dev(), metadata.ino());
        command.env("JOURNAL_STREAM", stream).stdout(out);
    });
    watch.wait_for("READY=1");
    watch.end().exits(0);
    let said = home.read("journal");
    assert_eq!(
        said.lines().map(|line| &line[..3]).collect::<Vec<_>>(),
        ["<6>", "<6>", "<6>"],
        "{said}"
    );
}

#[test]
fn settings_are_read_anew_when_they_change() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    home.write(SETTINGS, "[clawkeep]\nexport = \"off\"\n");
    watch.until("removed", || !home.at(STORE).exists());
    home.write(SETTINGS, "[clawkeep]\nexport = \"maybe\"\n");
    watch.says("settings: the settings");
    assert!(!home.at(STORE).exists(), "the earlier settings apply");
    home.write(SETTINGS, "");
    watch.until("written again", || home.at(STORE).exists());
    watch.says("settings: loaded");
    watch.end().exits(0);
}

#[test]
fn a_vault_that_is_replaced_is_gone_on_with() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    let backup = home.at("backup.db");
    home.run(&["backup", "create", backup.to_str().unwrap()])
        .ok();
    home.run(&["backup", "restore", backup.to_str().unwrap()])
        .ok();
    home.claude_login("sk-ant-oat01-two", 9);
    watch.until("after the restore", || {
        is_exported(&home, "sk-ant-oat01-two")
    });
    let has_it = |home: &Home| {
        home.run(&["--no-sync", "models", "auth", "list", "--json"])
            .ok()
            .contains(CLAUDE_ID)
    };
    assert!(has_it(&home));
    assert_eq!(taken_over(&home).len(), 2, "in the vault that is there now");
    // It is gone: none is made in its place, since it may be about to be put back.
    for name in [VAULT, ".clawdbot/vault.db-wal", ".clawdbot/vault.db-shm"] {
        let _ = fs::rename(
            home.at(name),
            home.at(&format!("away{}", &name[".clawdbot/vault.db".len()..])),
        );
    }
    home.claude_login("sk-ant-oat01-three", 10);
    watch.says("there is no vault");
    assert!(!home.at(VAULT).exists());
    for (from, to) in [
        ("away-wal", ".clawdbot/vault.db-wal"),
        ("away-shm", ".clawdbot/vault.db-shm"),
        ("away", VAULT),
    ] {
        let _ = fs::rename(home.at(from), home.at(to));
    }
    watch.until("put back", || is_exported(&home, "sk-ant-oat01-three"));
    watch.end().exits(0);
    home.assert_sound();
}

#[test]
fn what_it_cannot_do_does_not_end_it() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    // A busy vault: somebody writes for longer than anybody waits.
    let busy = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    home.claude_login("sk-ant-oat01-two", 9);
    watch.says("vault.db is busy");
    drop(busy);
    watch.until("free again", || is_exported(&home, "sk-ant-oat01-two"));
    watch.says("in sync again");
    let run = watch.end().exits(0);
    assert!(run.stderr.lines().count() <= 3, "{run:?}");
}

#[test]
fn without_a_key_it_does_not_begin() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    home.run(&["init", "--key", "keyfile"]).ok();
    fs::rename(home.at(".config"), home.at("away")).unwrap();
    let run = home.run(&["watch"]).exits(77);
    assert!(run.stderr.contains("key"), "{run:?}");
    assert!(!home.at(AGENT).exists());
    home.run(&["watch", "--refresh-ahead", "8d"]).exits(64);
    home.run(&["watch", "--refresh-ahead", "soon"]).exits(64);
}

/// A watcher whose clock goes as far ahead of this machine's as the home's file `offset` says, but
/// for the steady one.
#[cfg(unix)]
fn with_a_clock(home: &Home) -> Watch {
    home.write("offset", "+0");
    Watch::start_with(home, &[], |command| {
        command
            .env("LD_PRELOAD", faketime())
            .env("FAKETIME_TIMESTAMP_FILE", home.at("offset"))
            .env("FAKETIME_NO_CACHE", "1")
            .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
            .env("WATCHDOG_USEC", "200000"); // it looks as often as it gives a sign of life
    })
}

#[cfg(unix)] // a clock of the test's own
#[test]
fn a_clock_that_is_set_ahead_is_noticed_and_one_that_is_set_back_does_no_harm() {
    let home = Home::with_claude("sk-ant-oat01-one", 5);
    let watch = with_a_clock(&home);
    watch.wait_for("READY=1");
    assert_eq!(home.newest("expiry.expired"), None);
    home.write("offset", "+6h");
    watch.until("the end is recorded", || {
        home.newest("expiry.expired").is_some()
    });
    home.write("offset", "-6h");
    home.claude_login("sk-ant-oat01-two", 9);
    watch.until("as ever", || is_exported(&home, "sk-ant-oat01-two"));
    watch.end().exits(0);
    home.assert_sound();
}

#[cfg(unix)] // SIGSTOP
#[test]
fn stopped_for_a_while_as_when_the_machine_sleeps_it_catches_up() {
    let home = Home::with_claude("sk-ant-oat01-one", 5);
    let watch = Watch::start(&home, &[]);
    watch.signal(Signal::STOP);
    home.claude_login("sk-ant-oat01-two", 6);
    home.claude_login("sk-ant-oat01-three", 7);
    home.run(&["models", "status"]).ok(); // another process is not held up
    assert!(is_exported(&home, "sk-ant-oat01-three"));
    home.claude_login("sk-ant-oat01-four", 8);
    watch.signal(Signal::CONT);
    watch.until("caught up", || is_exported(&home, "sk-ant-oat01-four"));
    watch.end().exits(0);
    home.assert_sound();
}

#[test]
fn the_log_can_be_json() {
    let home = Home::with_claude("sk-test-claude", 8);
    home.run(&["init", "--key", "keyfile"]).ok();
    let once = ["watch", "--once", "--log-format", "json"];
    let run = home.run(&once).exits(0);
    let lines: Vec<Value> = run
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let imported = lines.iter().find(|line| {
        let message = line["message"].as_str().unwrap();
        message.starts_with(&format!("main: imported {CLAUDE_ID}"))
    });
    let imported = imported.unwrap_or_else(|| panic!("{run:?}"));
    assert_eq!(imported["level"], json!("info"));
    let time = imported["time"].as_str().unwrap();
    assert!(time.ends_with('Z') && time.contains('T'), "{time}");
    for line in run.stderr.lines().filter(|line| line.starts_with('{')) {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_ne!(line["level"], json!("info"), "{run:?}");
    }
    home.write(".clawdbot/clawkeep.toml", "[clawkeep]\nretention = 5\n");
    let run = home.run(&once);
    let last: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert_eq!(last["error"]["exitStatus"], json!(run.status), "{run:?}");
}
