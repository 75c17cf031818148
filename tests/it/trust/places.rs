//! Directories and locks that somebody else can have made or opened.

use std::fs;
use std::os::unix::fs::symlink;

use serde_json::json;

use crate::support::damage::{STATUS, chmod, home_with_vault, refuses};
use crate::support::home::{Home, VAULT};
use crate::support::users::{ANA, can_be_others, give, own};

const LEASE: &str = ".clawdbot/vault.db.lease";
const HEADS: &str = ".local/state/clawkeep/heads";

#[test]
fn places_that_others_can_write_are_refused() {
    let home = home_with_vault();
    home.run(&["watch", "--once"]).ok();
    let head = fs::read_dir(home.at(HEADS))
        .unwrap()
        .next()
        .unwrap()
        .unwrap()
        .path();
    let head = head
        .strip_prefix(home.path())
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    for (path, mode) in [
        (LEASE, 0o777),
        (HEADS, 0o777),
        (".local/state", 0o777),
        (".local", 0o777),
        (&head, 0o666),
    ] {
        let path = home.at(path);
        let before = fs::metadata(&path).unwrap().permissions();
        chmod(&path, mode);
        let name = path.display().to_string();
        let mode = format!("mode {mode:03o}");
        for args in [STATUS, &["sync"], &["watch", "--once"]] {
            refuses(&home, args, 65, &[&name, &mode, "chmod go-w"]);
        }
        fs::set_permissions(&path, before.clone()).unwrap();
        if can_be_others("places_that_others_can_write_are_refused: of others") {
            own(&path, ANA);
            refuses(&home, STATUS, 65, &[&name, "belongs to user 1000"]);
            own(&path, 0);
        }
        home.run(STATUS).ok();
    }
    // The lock of those that watch, which alone is written by `watch`.
    let lock = home.at(LEASE).join("watch");
    chmod(&lock, 0o666);
    refuses(
        &home,
        &["watch", "--once"],
        65,
        &["vault.db.lease/watch", "mode 666", "chmod go-w"],
    );
    chmod(&lock, 0o600);
    home.run(&["watch", "--once"]).ok();
}

/// A lock is written: not through a link, and not where it has another name.
#[test]
fn a_lock_that_is_a_link_changes_no_other_file() {
    let home = home_with_vault();
    home.run(&["watch", "--once"]).ok();
    home.write("precious", "precious");
    let lock = home.at(LEASE).join("watch");
    fs::remove_file(&lock).unwrap();
    symlink(home.at("precious"), &lock).unwrap();
    let run = home.run(&["watch", "--once"]).exits(65);
    assert!(run.stderr.contains("symbolic link"), "{run:?}");
    fs::remove_file(&lock).unwrap();
    fs::hard_link(home.at("precious"), &lock).unwrap();
    let run = home.run(&["watch", "--once"]).exits(65);
    for words in [
        "2 hard links",
        "mode 600, owner",
        "rm ",
        "vault.db.lease/watch",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    assert_eq!(home.read("precious"), "precious");
    fs::remove_file(&lock).unwrap();
    home.run(&["watch", "--once"]).ok();
    assert!(
        fs::read_to_string(&lock)
            .unwrap()
            .trim()
            .parse::<u32>()
            .is_ok()
    );
}

/// Root over a user's state: neither the lock that the user prepared is written, nor one left that
/// the user's own watcher cannot open.
#[test]
fn roots_watch_leaves_another_users_locks_alone() {
    if !can_be_others("roots_watch_leaves_another_users_locks_alone") {
        return;
    }
    let roots = Home::new();
    roots.write("precious", "precious");
    for is_hard in [false, true] {
        let home = home_with_vault();
        fs::create_dir_all(home.at(LEASE)).unwrap();
        let lock = home.at(LEASE).join("watch");
        let _ = fs::remove_file(&lock);
        if is_hard {
            fs::hard_link(roots.at("precious"), &lock).unwrap();
        } else {
            symlink(roots.at("precious"), &lock).unwrap();
        }
        give(&home.at(".clawdbot"), ANA, ANA);
        own(&roots.at("precious"), 0);
        let state = home.at(".clawdbot");
        let run = roots.run(&["--state-dir", state.to_str().unwrap(), "watch", "--once"]);
        assert_eq!(run.status, 65, "{run:?}");
        assert!(run.stderr.contains("belongs to user 1000"), "{run:?}");
        assert_eq!(roots.read("precious"), "precious");
    }
}

#[test]
fn a_strangers_directory_is_no_agent() {
    let home = home_with_vault();
    let theirs = home.at("theirs/agent");
    fs::create_dir_all(&theirs).unwrap();
    let entry = json!({"type": "api_key", "provider": "groq", "key": "sk-test-strange"});
    let store = json!({"version": 1, "profiles": {"groq:default": entry}});
    home.write("theirs/agent/auth-profiles.json", store.to_string());
    symlink(home.at("theirs"), home.at(".clawdbot/agents/extra")).unwrap();
    chmod(&home.at(".clawdbot/agents"), 0o777);
    refuses(
        &home,
        &["sync"],
        65,
        &[".clawdbot/agents", "mode 777", "chmod go-w"],
    );
    refuses(
        &home,
        STATUS,
        65,
        &[".clawdbot/agents", "mode 777", "chmod go-w"],
    );
    chmod(&home.at(".clawdbot/agents"), 0o700);
    if can_be_others("a_strangers_directory_is_no_agent: of others") {
        give(&home.at("theirs"), ANA, ANA);
        refuses(&home, &["sync"], 65, &["theirs", "belongs to user 1000"]);
        give(&home.at("theirs"), 0, 0);
    }
    home.run(&["sync"]).ok();
    assert_eq!(
        home.run(&["token", "--agent", "extra", "--provider", "groq"])
            .ok()
            .trim(),
        "sk-test-strange"
    );
}

#[test]
fn doctor_reports_a_home_and_a_config_directory_that_others_can_write() {
    let home = home_with_vault();
    home.run(&["doctor"]);
    for (path, shown) in [
        (home.path().to_owned(), "~"),
        (home.at(".config"), "~/.config"),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        chmod(&path, 0o777);
        let run = home.run(&["doctor"]);
        let said = format!("{shown} can be changed by other users (mode 777, owner");
        assert!(run.stdout.contains(&said), "{}", run.stdout);
        assert!(
            run.stdout.contains("permissions.writable"),
            "{}",
            run.stdout
        );
        fs::set_permissions(&path, before).unwrap();
    }
}

/// `clawkeep.toml` says who is trusted, and has no say in whether it is trusted itself.
#[test]
fn settings_do_not_vouch_for_themselves() {
    if !can_be_others("settings_do_not_vouch_for_themselves") {
        return;
    }
    let home = home_with_vault();
    home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\ntrusted = [\"uid:1000\", \"gid:1000\"]\n",
    );
    let settings = home.at(".clawdbot/clawkeep.toml");
    own(&settings, ANA);
    let run = home.run(&["sync"]).exits(65);
    assert!(run.stderr.contains("belongs to user 1000"), "{run:?}");
    own(&settings, 0);
    home.run(&["sync"]).ok();
    home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\ntrusted = [\"ana\"]\n",
    );
    let run = home.run(&["sync"]);
    assert!(
        run.stderr.contains("line 2: clawkeep.trusted is a list of"),
        "{run:?}"
    );
    assert!(home.at(VAULT).exists());
}
