//! What goes wrong around a watcher: it goes on with everything else, says so once, and is back in
//! step by itself.

use std::fs;
#[cfg(unix)]
use std::io::Write as _;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::Signal;
use serde_json::json;

#[cfg(unix)]
use super::{claude_login, with_a_clock};
use super::{home_with, is_exported};
use crate::refresh::{ID, OPS, SETTINGS, exported, login, store};
use crate::support::home::{CLAUDE, HOUR, Home, STORE, VAULT, now_ms};
use crate::support::provider::{Instead, Provider};
use crate::support::watch::Watch;

const OPS_LOCK: &str = ".clawdbot/agents/ops/agent/auth-profiles.json.lock";

/// A home with two agents.
fn two_agents() -> Home {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    store(
        &home,
        OPS,
        &json!({"type": "api_key", "provider": "openai", "key": "sk-of-ops"}),
    );
    home
}

fn has(home: &Home, path: &str, token: &str) -> bool {
    fs::read_to_string(home.at(path)).is_ok_and(|text| text.contains(token))
}

#[test]
fn a_store_that_somebody_holds_is_come_back_to_and_holds_up_no_other() {
    let home = two_agents();
    let watch = Watch::start(&home, &[]);
    fs::create_dir(home.at(OPS_LOCK)).unwrap();
    home.claude_login("sk-ant-oat01-two", 9);
    watch.until("the other agent", || is_exported(&home, "sk-ant-oat01-two"));
    watch.says("is held by another process");
    assert!(!has(&home, OPS, "sk-ant-oat01-two"));
    fs::remove_dir(home.at(OPS_LOCK)).unwrap();
    watch.until("free again", || has(&home, OPS, "sk-ant-oat01-two"));
    watch.says("ops: in sync again");
    watch.end().exits(0);
    home.assert_sound();
}

#[test]
fn files_that_are_written_without_end_hold_up_no_other() {
    let home = two_agents();
    let far = ".clawdbot/agents/far/agent/auth-profiles.json";
    store(
        &home,
        far,
        &json!({"type": "api_key", "provider": "openai", "key": "sk-of-far"}),
    );
    let watch = Watch::start(&home, &[]);
    let (is_enough, began) = (&AtomicBool::new(false), Instant::now());
    thread::scope(|scope| {
        for (number, path) in [OPS, far].into_iter().enumerate() {
            let path = home.at(path);
            scope.spawn(move || {
                thread::sleep(Duration::from_millis(350) * u32::try_from(number).unwrap());
                let whole = fs::read_to_string(&path).unwrap();
                while !is_enough.load(Ordering::SeqCst) && began.elapsed().as_secs() < 60 {
                    for end in [whole.len() / 3, whole.len() / 2] {
                        fs::write(&path, &whole[..end]).unwrap();
                        thread::sleep(Duration::from_millis(10)); // a slow writer
                    }
                }
                fs::write(&path, &whole).unwrap();
            });
        }
        thread::sleep(Duration::from_millis(1200)); // while both are at it
        home.claude_login("sk-ant-oat01-two", 9);
        watch.until("exported meanwhile", || {
            is_exported(&home, "sk-ant-oat01-two")
        });
        is_enough.store(true, Ordering::SeqCst);
    });
    watch.until("they too", || {
        has(&home, OPS, "sk-ant-oat01-two") && has(&home, far, "sk-ant-oat01-two")
    });
    assert_eq!(home.count_of("store.corrupt"), 0, "nothing was set aside");
    watch.end().exits(0);
    home.assert_sound();
}

#[cfg(unix)] // SIGTERM
#[test]
fn a_provider_that_takes_its_time_holds_up_nobody_and_is_waited_for_at_the_end() {
    let (home, provider) = home_with(1_000);
    store(
        &home,
        OPS,
        &json!({"type": "api_key", "provider": "openai", "key": "sk-of-ops"}),
    );
    provider.hold();
    let watch = Watch::start(&home, &[]);
    provider.wait_for(1);
    home.claude_login("sk-ant-oat01-one", 8);
    watch.until("the other agent", || has(&home, OPS, "sk-ant-oat01-one"));
    watch.signal(Signal::TERM);
    watch.says("stopping once the running refresh has its answer");
    provider.release();
    watch.ended().exits(0);
    assert_ne!(
        exported(&home, STORE)["access"],
        "sk-test-access-old",
        "its answer was kept"
    );
    assert_eq!(home.count_of("refresh.succeeded"), 1);
    home.assert_sound();
}

#[cfg(unix)] // SIGTERM
#[test]
fn who_asks_twice_does_not_wait_for_a_provider() {
    let (home, provider) = home_with(1_000);
    provider.hold();
    let mut watch = Watch::start(&home, &[]);
    provider.wait_for(1);
    watch.signal(Signal::TERM);
    watch.says("stopping once");
    let mut ended = false;
    let asked = Instant::now();
    while !ended {
        assert!(
            asked.elapsed() < Duration::from_secs(30),
            "{}",
            watch.said()
        );
        watch.signal(Signal::TERM);
        thread::sleep(Duration::from_millis(200)); // a person, pressing again
        ended = watch.has_ended();
    }
    provider.release();
    home.run(&["refresh", ID]); // whatever came of it is found
    home.assert_sound();
}

#[cfg(unix)] // a clock of the test's own
#[test]
fn a_login_that_ended_while_the_machine_slept_is_refreshed_when_it_wakes() {
    let (home, provider) = home_with(60_000);
    let watch = with_a_clock(&home);
    watch.until("refreshed", || provider.count() == 1);
    watch.says("was refreshed");
    home.write("offset", "+9h");
    watch.until("refreshed again", || provider.count() == 2);
    watch.end().exits(0);
}

#[test]
fn settings_that_are_empty_for_a_moment_open_nothing() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let off = "[clawkeep]\nexport = \"off\"\n";
    home.write(SETTINGS, off);
    let watch = Watch::start(&home, &[]);
    for _ in 0..3 {
        home.write(SETTINGS, "");
        let until = Instant::now() + Duration::from_millis(300);
        while Instant::now() < until {
            assert!(!home.at(STORE).exists(), "{}", watch.said());
            thread::sleep(Duration::from_millis(5)); // an editor, saving
        }
        home.write(SETTINGS, off);
    }
    home.claude_login("sk-ant-oat01-two", 9);
    watch.says("main: imported anthropic:claude-cli; expires in 9h");
    assert!(!home.at(STORE).exists());
    watch.end().exits(0);
}

#[test]
fn each_outage_is_reported_and_that_it_is_over() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    let moved = |from: &str, to: &str| {
        for end in ["", "-wal", "-shm"] {
            let _ = fs::rename(
                home.at(&format!("{from}{end}")),
                home.at(&format!("{to}{end}")),
            );
        }
    };
    for round in 1..=2 {
        moved(VAULT, "away");
        home.claude_login(&format!("sk-ant-oat01-round-{round}"), 8 + round);
        watch.until("told", || {
            watch.said().matches("there is no vault").count() == usize::try_from(round).unwrap()
        });
        moved("away", VAULT);
        watch.until("over", || {
            watch.said().matches("in sync again").count() == usize::try_from(round).unwrap()
        });
    }
    assert!(is_exported(&home, "sk-ant-oat01-round-2"));
    watch.end().exits(0);
    home.assert_sound();
}

#[cfg(unix)] // a pipe's size
#[test]
fn lines_that_nobody_reads_hold_up_nothing() {
    let home = Home::with_claude("sk-ant-oat01-0", 8);
    home.run(&["sync"]).ok();
    let (unread, mut full) = std::io::pipe().unwrap();
    full.write_all(&[b'\n'; 65_536]).unwrap(); // what a pipe holds. Source: pipe(7)
    let watch = Watch::start_with(&home, &[], |command| {
        command.stdout(full.try_clone().unwrap()).stderr(full);
    });
    watch.wait_for("READY=1");
    for number in 1..=3 {
        let token = format!("sk-ant-oat01-{number}");
        home.claude_login(&token, 8 + number);
        watch.until(&token, || is_exported(&home, &token));
    }
    watch.end().exits(0);
    drop(unread);
}

#[cfg(unix)] // links
#[test]
fn a_directorys_link_that_leads_elsewhere_is_noticed() {
    let home = Home::new();
    for (profile, hours) in [("a", 8), ("b", 9)] {
        let text = claude_login(&format!("sk-ant-oat01-{profile}"), now_ms() + hours * HOUR);
        home.write(&format!("profiles/{profile}/.credentials.json"), text);
    }
    symlink("profiles/a", home.at(".claude")).unwrap();
    let watch = Watch::start(&home, &[]);
    watch.until("the first", || is_exported(&home, "sk-ant-oat01-a"));
    symlink("profiles/b", home.at("draft")).unwrap();
    fs::rename(home.at("draft"), home.at(".claude")).unwrap();
    watch.until("the other", || is_exported(&home, "sk-ant-oat01-b"));
    watch.end().exits(0);
}

#[test]
fn what_changes_while_the_vault_is_busy_at_the_start_is_not_lost() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    home.write(SETTINGS, "[clawkeep]\nexport = \"off\"\n");
    home.run(&["sync"]).ok();
    let busy = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    busy.execute_batch("BEGIN IMMEDIATE").unwrap();
    home.claude_login("sk-ant-oat01-two", 9); // there is something to write
    let watch = Watch::start_with(&home, &[], |_| {});
    watch.says("vault.db is busy");
    home.write(SETTINGS, "[clawkeep]\n");
    drop(busy);
    watch.until("with the new settings", || {
        is_exported(&home, "sk-ant-oat01-two")
    });
    watch.end().exits(0);
}

#[test]
fn a_login_that_cannot_be_read_is_reported_once_and_that_it_can_be_again() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    let text = home.read(CLAUDE);
    for end in [10, 20, 30] {
        home.write(CLAUDE, &text[..end]); // somebody writes, very slowly
        thread::sleep(Duration::from_millis(1500));
    }
    watch.says("was not imported");
    home.claude_login("sk-ant-oat01-two", 9);
    watch.says("can be read again");
    assert_eq!(
        watch.said().matches("was not imported").count(),
        1,
        "{}",
        watch.said()
    );
    watch.end().exits(0);
}

/// A home in which a command is told, into the file `told`.
#[cfg(unix)]
fn told_by_command() -> Home {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    home.write(
        "tell",
        "#!/bin/sh\necho \"$CLAWKEEP_ALERT_TEXT\" >> \"$HOME/told\"\n",
    );
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    fs::set_permissions(home.at("tell"), mode).unwrap();
    let run = home.at("tell").display().to_string();
    home.write(
        SETTINGS,
        format!("[notify.command.file]\nrun = [\"{run}\"]\n"),
    );
    home
}

#[cfg(unix)]
fn messages(home: &Home) -> usize {
    let told = fs::read_to_string(home.at("told")).unwrap_or_default();
    told.matches("The vault cannot be used").count()
        + told.matches("cannot get the vault key").count()
}

#[cfg(unix)] // told by a shell script
#[test]
fn a_vault_that_cannot_be_opened_is_reported_by_a_pass_for_cron_too_and_once() {
    let home = told_by_command();
    home.run(&["init", "--key", "keyfile"]).ok();
    home.run(&["watch", "--once"]).ok();
    fs::rename(home.at(".config"), home.at("away")).unwrap();
    for _ in 0..3 {
        home.run(&["-q", "watch", "--once"]).exits(77);
    }
    assert_eq!(messages(&home), 1, "{}", home.read("told"));
    // Nor does one that runs all the time, and is started again and again, tell it anew.
    home.run(&["watch"]).exits(77);
    assert_eq!(messages(&home), 1);
    // Back, and lost again: that is news.
    fs::rename(home.at("away"), home.at(".config")).unwrap();
    home.run(&["watch", "--once"]).ok();
    fs::rename(home.at(".config"), home.at("away")).unwrap();
    home.run(&["-q", "watch", "--once"]).exits(77);
    assert_eq!(messages(&home), 2, "{}", home.read("told"));
}

#[cfg(unix)] // told by a shell script
#[test]
fn a_vault_that_cannot_be_opened_is_reported_again_if_no_target_was_reached() {
    let home = told_by_command();
    home.run(&["init", "--key", "keyfile"]).ok();
    fs::rename(home.at(".config"), home.at("away")).unwrap();
    let tell = home.read("tell");
    fs::write(home.at("tell"), "#!/bin/sh\nexit 3\n").unwrap();
    let run = home.run(&["watch", "--once"]).exits(77);
    let warned = "command.file was not notified: exit status: 3";
    assert!(run.stderr.contains(warned), "{run:?}");
    fs::write(home.at("tell"), tell).unwrap();
    for _ in 0..2 {
        home.run(&["-q", "watch", "--once"]).exits(77);
        assert_eq!(messages(&home), 1);
    }
}

#[cfg(unix)] // told by a shell script
#[test]
fn a_vault_that_is_gone_is_not_made_anew_by_who_is_unattended() {
    let home = told_by_command();
    home.run(&["watch", "--once"]).ok();
    for end in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(home.at(&format!("{VAULT}{end}")));
    }
    for args in [&["-q", "watch", "--once"][..], &["watch"]] {
        let run = home.run(args).exits(1);
        assert!(run.stderr.contains("there is no vault"), "{run:?}");
    }
    assert!(!home.at(VAULT).exists());
    assert!(home.read("told").contains("there is no vault"));
}

#[test]
fn quiet_it_says_what_failed_and_nothing_else() {
    let home = two_agents();
    home.run(&["sync"]).ok();
    home.write(CLAUDE, "{");
    home.write(OPS, "[]");
    let run = home.run(&["-q", "watch", "--once"]);
    let lines: Vec<&str> = run.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.contains("Error: ")), "{run:?}");
}

#[test]
fn a_mistyped_target_is_reported_and_withholds_no_secret() {
    let home = Home::with_claude("sk-ant-oat01-one", 8);
    let watch = Watch::start(&home, &[]);
    home.write(SETTINGS, "[notify.comand.x]\nrun = [\"/bin/true\"]\n");
    watch.says("unknown field `comand`");
    home.claude_login("sk-ant-oat01-two", 9);
    watch.until("as ever", || is_exported(&home, "sk-ant-oat01-two"));
    home.run(&["token", "--provider", "anthropic"]).ok();
    watch.end().exits(0);
    home.claude_login("sk-ant-oat01-three", 10);
    let once = home.run(&["-q", "watch", "--once"]).exits(65);
    assert!(is_exported(&home, "sk-ant-oat01-three"), "{once:?}");
    for args in [
        &["watch", "--once"][..],
        &["watch", "--test-notify"],
        &["monitor", "install", "--by", "cron"],
    ] {
        let run = home.run(args).exits(65);
        assert!(run.stderr.contains("line 1"), "{run:?}");
    }
    let doctor = home.run(&["doctor", "--json"]);
    assert!(doctor.stdout.contains("comand"), "{doctor:?}");
}

#[test]
fn keys_that_are_rotated_and_a_vault_that_is_put_back_are_gone_on_with() {
    let home = Home::with_claude("sk-ant-oat01-0", 8);
    let watch = Watch::start(&home, &[]);
    let backup = home.at("backup.db");
    let backup = backup.to_str().unwrap();
    let done: [&[&str]; 4] = [
        &["key", "rotate"],
        &["key", "rotate", "--compromised"],
        &["backup", "create", backup],
        &["backup", "restore", backup],
    ];
    for (number, args) in (1..).zip(done) {
        home.run(args).ok();
        let token = format!("sk-ant-oat01-{number}");
        home.claude_login(&token, 8 + number);
        watch.until(&token, || is_exported(&home, &token));
    }
    watch.end().exits(0);
    home.assert_sound();
}

/// A home whose login ended ten hours ago, with its provider, in which a command is told.
#[cfg(unix)]
fn after_a_long_night() -> (Home, Provider) {
    let (home, provider) = (told_by_command(), Provider::start());
    let notify = home.read(SETTINGS);
    home.write(SETTINGS, format!("{notify}{}", provider.setting("test")));
    let refresh = provider.grant("a");
    store(&home, STORE, &login("sk-test-access-old", &refresh, -10));
    (home, provider)
}

#[cfg(unix)] // told by a shell script
#[test]
fn a_login_that_is_renewed_at_once_after_a_long_night_is_no_alarm() {
    let (home, provider) = after_a_long_night();
    home.run(&["watch", "--once"]).ok();
    assert_eq!(provider.count(), 1);
    assert!(!home.at("told").exists(), "{}", home.read("told"));
    assert_eq!(home.count_of("alert.sent"), 0);
}

#[cfg(unix)] // told by a shell script
#[test]
fn a_login_that_cannot_be_refreshed_after_a_long_night_is_reported_once_with_the_reason() {
    let (home, provider) = after_a_long_night();
    provider.next((0..9).map(|_| Instead::Answer(500, Vec::new(), String::new())));
    home.run(&["watch", "--once"]);
    let told = home.read("told");
    assert_eq!(told.matches("could not be refreshed").count(), 1, "{told}");
    assert!(
        told.contains("the last refresh failed (HTTP 500)"),
        "{told}"
    );
}

#[cfg(unix)] // told by a shell script
#[test]
fn a_pass_for_cron_names_the_targets_that_failed() {
    let home = told_by_command();
    let path = home.at("tell");
    fs::write(path, "#!/bin/sh\nexit 3\n").unwrap(); // and stays executable
    store(&home, STORE, &login("sk-test-access-old", "", -10));
    let run = home.run(&["watch", "--once"]);
    let warned = "command.file was not notified: exit status: 3";
    assert!(run.stderr.contains(warned), "{run:?}");
}

#[cfg(unix)]
#[test]
fn what_only_a_person_can_extend_or_pay_for_is_an_alert() {
    let home = Home::new();
    let usage = json!({"version": 1, "profiles": {"openai:a": {"type": "api_key",
        "provider": "openai", "key": "sk-test-0123456789abcdef"}}, "usageStats": {"openai:a":
        {"disabledUntil": now_ms() + HOUR, "disabledReason": "billing"}}});
    home.write(STORE, usage.to_string());
    let login = json!({"access_token": "sk-test-mcp", "expires_in": 7200});
    home.write(".mcp-auth/mcp-remote-v1/0f_tokens.json", login.to_string());
    home.write(
        "note",
        "#!/bin/sh\necho \"$CLAWKEEP_ALERT_TITLE\" >> \"$HOME/alerts\"\n",
    );
    crate::support::damage::chmod(&home.at("note"), 0o700);
    let run = home.at("note").to_str().unwrap().to_owned();
    home.run(&["init", "--key", "keyfile"]).ok();
    home.write(
        SETTINGS,
        format!("[notify.command.note]\nrun = [\"{run}\"]\n"),
    );
    home.run(&["watch", "--once"]);
    let alerts = home.read("alerts");
    assert!(
        alerts.contains("The login of mcp-remote at 0f expires in"),
        "{alerts}"
    );
    assert!(
        alerts.contains("openai:a of agent main is disabled"),
        "{alerts}"
    );
}
