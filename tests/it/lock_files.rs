//! A store's lock as later gateways take it: a file that names a process; and what is no lock at
//! all.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use clawkeep::internal::domain::REMOVE_COMMAND;
use serde_json::json;

use crate::support::damage::set_modified;
use crate::support::home::{Home, STORE, TRUE, now_ms};

const TOKEN: [&str; 3] = ["token", "--provider", "anthropic"];
/// Makes what is at the path of a lock.
type Make = fn(&std::path::Path);
/// Far below the 20 s for which a lock that is held is waited for.
const AT_ONCE: Duration = Duration::from_secs(8);

fn lock(home: &Home) -> std::path::PathBuf {
    home.at(&format!("{STORE}.lock"))
}

/// A home in step, whose store's lock is then what `make` makes.
fn home_with(make: impl FnOnce(&std::path::Path)) -> Home {
    let home = Home::with_claude("sk-ant-oat01-lock-files-0000001", 100);
    home.run(&["sync"]).ok();
    make(&lock(&home));
    home
}

/// A lock file of a process, made so many seconds ago.
fn held_by(path: &std::path::Path, pid: u32, secs: u64) {
    held_since(path, pid, (secs, secs));
}

/// A lock file that says it was made so many seconds ago, and was last written so many seconds ago.
fn held_since(path: &std::path::Path, pid: u32, (made_secs, secs): (u64, u64)) {
    let made = now_ms() - i64::try_from(made_secs * 1000).unwrap();
    let made = chrono::DateTime::from_timestamp_millis(made).unwrap();
    let made = made.to_rfc3339_opts(chrono::SecondsFormat::Millis, true);
    fs::write(path, json!({"pid": pid, "createdAt": made}).to_string()).unwrap();
    let at = SystemTime::now() - Duration::from_secs(secs);
    set_modified(path, at);
}

fn dead_pid() -> u32 {
    let mut child = Command::new(TRUE).stdout(Stdio::null()).spawn().unwrap();
    child.wait().unwrap();
    child.id()
}

#[test]
fn what_has_nothing_to_write_does_not_wait_for_a_lock() {
    let makes: &[Make] = &[
        |path| held_by(path, std::process::id(), 0),
        |path| fs::create_dir(path).unwrap(),
        #[cfg(unix)]
        |path| symlink("nowhere", path).unwrap(),
        |path| fs::write(path, "no lock").unwrap(),
    ];
    for make in makes {
        let home = home_with(make);
        let started = Instant::now();
        let run = home.run(&TOKEN).exits(0);
        assert_eq!(run.stdout.trim(), "sk-ant-oat01-lock-files-0000001");
        // What a gateway wrote meanwhile is taken into the vault: nothing of it is to be written.
        let mut doc = home.json(STORE);
        doc["profiles"]["anthropic:new"] =
            json!({"type": "api_key", "provider": "anthropic", "key": "sk-test-new-0123456789"});
        home.write(STORE, doc.to_string());
        let run = home.run(&["token", "--profile", "anthropic:new"]).exits(0);
        assert_eq!(run.stdout.trim(), "sk-test-new-0123456789");
        let exec = home.run(&["exec", "--provider", "anthropic", "--", TRUE]);
        exec.exits(0);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        assert!(
            fs::symlink_metadata(lock(&home)).is_ok(),
            "it is left alone"
        );
    }
}

#[test]
fn the_file_of_a_process_that_is_gone_is_taken_over_once_it_is_old() {
    let home = home_with(|path| held_by(path, dead_pid(), 31));
    home.claude_login("sk-ant-oat01-lock-files-0000002", 200);
    let started = Instant::now();
    home.run(&["sync"]).ok();
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    assert!(
        fs::symlink_metadata(lock(&home)).is_err(),
        "taken over, and let go"
    );
    let exported = home.exported_token("anthropic:claude-cli");
    assert_eq!(exported.as_deref(), Some("sk-ant-oat01-lock-files-0000002"));
}

#[cfg(any(target_os = "linux", windows))]
#[test]
fn a_process_that_started_later_is_not_the_holder() {
    let home = home_with(|path| held_since(path, std::process::id(), (3600, 31)));
    home.claude_login("sk-ant-oat01-lock-files-0000002", 200);
    home.run(&["sync"]).ok();
    assert!(fs::symlink_metadata(lock(&home)).is_err());
}

/// A process of that id may be in another container, or be the holder itself.
#[test]
fn a_file_that_is_young_or_whose_process_runs_is_waited_for() {
    std::thread::scope(|scope| {
        // A young file does not become 30 s old while it is waited for.
        let cases = [
            (dead_pid(), (3600, 0)),
            (std::process::id(), (3600, 0)),
            (std::process::id(), (0, 3600)),
        ];
        for (pid, ages) in cases {
            scope.spawn(move || {
                let home = home_with(|path| held_since(path, pid, ages));
                home.claude_login("sk-ant-oat01-lock-files-0000002", 200);
                let run = home.run(&["sync"]).exits(75);
                let said = format!("is held by process {pid}");
                assert!(run.stderr.contains(&said), "{run:?}");
                assert!(run.stderr.contains(REMOVE_COMMAND), "{run:?}");
                assert!(lock(&home).is_file());
            });
        }
    });
}

#[test]
fn what_is_no_lock_is_named_by_the_error_and_by_doctor() {
    let makes: &[(&str, Make)] = &[
        #[cfg(unix)]
        ("it is a symbolic link", |path| {
            symlink("nowhere", path).unwrap()
        }),
        #[cfg(unix)]
        ("it is a FIFO, a socket or a device", |path| {
            let made = Command::new("mkfifo").arg(path).status().unwrap();
            assert!(made.success());
        }),
        ("does not name the process", |path| {
            fs::write(path, "").unwrap()
        }),
        ("does not name the process", |path| {
            fs::write(path, "{\"pid\": \"x\"}").unwrap();
        }),
    ];
    for &(why, make) in makes {
        let home = home_with(make);
        home.claude_login("sk-ant-oat01-lock-files-0000002", 200);
        let started = Instant::now();
        let run = home.run(&["sync"]).exits(65);
        assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
        let path = home.with_tilde(lock(&home).display().to_string());
        let words = [why, &path, "in the way of the store's lock", REMOVE_COMMAND];
        for words in words {
            assert!(run.stderr.contains(words), "{words}: {run:?}");
        }
        let doctor = home.run(&["doctor", "--repair"]).exits(1);
        assert!(doctor.stdout.contains("lock.unusable"), "{doctor:?}");
        assert!(doctor.stdout.contains(why), "{doctor:?}");
        assert!(
            fs::symlink_metadata(lock(&home)).is_ok(),
            "it is left alone"
        );
        fs::remove_file(lock(&home)).unwrap();
        home.run(&["sync"]).ok();
    }
}

#[test]
fn doctor_removes_the_file_of_a_process_that_is_gone() {
    let home = home_with(|path| held_by(path, dead_pid(), 31));
    let run = home.run(&["doctor", "--non-interactive"]);
    let fix = format!("{REMOVE_COMMAND} ~/{STORE}.lock");
    assert!(
        run.stdout.contains("lock.stale") && run.stdout.contains(&fix),
        "{run:?}"
    );
    home.run(&["doctor", "--repair"]).exits(0);
    assert!(fs::symlink_metadata(lock(&home)).is_err());
}
