//! Another program, or a person, writes the store too: nothing it wrote is lost, nothing of ours
//! either, and a damaged store is never taken for an empty one.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};

use crate::support::damage::{make_irregular, set_modified};
use crate::support::home::{AGENT, Home, Run, STORE, VAULT};

const CLAUDE_ID: &str = "anthropic:claude-cli";
const TOKEN: &str = "sk-ant-oat01-two-writers-000000";
const ORDER_SET: [&str; 6] = ["models", "auth", "order", "set", "--provider", "anthropic"];

/// A home whose vault and store are in step: Claude Code's login and a key called `anthropic:work`.
fn settled() -> Home {
    let home = Home::with_claude(TOKEN, 100);
    let store = json!({"version": 1, "profiles": {"anthropic:work": key("work")}});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    home
}

fn key(name: &str) -> Value {
    json!({"type": "api_key", "provider": "anthropic", "key": format!("sk-key-{name}")})
}

/// Changes the store as an editor does.
fn edit(home: &Home, change: impl FnOnce(&mut Value)) {
    let mut store = home.json(STORE);
    change(&mut store);
    home.write(STORE, format!("{store:#}"));
}

fn set_order(home: &Home, ids: &[&str]) -> Run {
    home.run(&[&ORDER_SET[..], ids].concat())
}

/// The names in the agent's directory that start like the store's.
fn names(home: &Home) -> Vec<String> {
    let names = fs::read_dir(home.at(AGENT))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    let mut names: Vec<String> = names.collect();
    names.sort();
    names
}

#[test]
fn an_edit_by_hand_is_kept_and_shown() {
    let home = settled();
    edit(&home, |store| {
        store["profiles"]["anthropic:work"]["key"] = json!("sk-key-edited");
        store["profiles"]["openai:new"] =
            json!({"type": "api_key", "provider": "openai", "key": "sk-new"});
        store["order"] = json!({"anthropic": ["anthropic:work"]});
        store["lastGood"] = json!({"anthropic": "anthropic:work"});
        store["usageStats"] = json!({"anthropic:work": {"errorCount": 3}});
    });
    let edited = home.read(STORE);
    home.run(&["models", "status"]).ok();
    assert_eq!(home.read(STORE), edited, "an edit is no reason to write");
    let merged = home.newest("store.merged").unwrap();
    assert_eq!(merged["origin"], "auth-profiles.json");
    for (section, names) in [
        ("profiles", json!(["anthropic:work", "openai:new"])),
        ("order", json!(["anthropic"])),
        ("lastGood", json!(["anthropic"])),
        ("usageStats", json!(["anthropic:work"])),
    ] {
        let mut seen = merged["detail"]["file"][section].clone();
        seen.as_array_mut()
            .unwrap()
            .sort_by_key(|name| name.to_string());
        assert_eq!(seen, names, "{merged}");
    }
    assert_eq!(merged["detail"]["vault"], json!(null), "we changed nothing");
    let history = home.run(&["history"]).ok();
    for word in [
        "store.merged",
        "profile.updated",
        "profile.created",
        "openai:new",
    ] {
        assert!(history.contains(word), "{word}: {history}");
    }
    assert!(!history.contains("sk-key"), "{history}");
    assert_eq!(
        home.vaults_store(),
        serde_json::from_str::<Value>(&edited).unwrap()
    );
    home.assert_sound();
}

#[test]
fn a_profile_deleted_by_hand_is_gone_and_the_other_stays() {
    let home = settled();
    edit(&home, |store| {
        let profiles = store["profiles"].as_object_mut().unwrap();
        profiles.remove("anthropic:work").unwrap();
    });
    home.run(&["sync"]).ok();
    assert!(home.json(STORE)["profiles"].get("anthropic:work").is_none());
    let removed = home.newest("profile.removed").unwrap();
    assert_eq!(removed["profile"], "anthropic:work");
    let sealed = home.vaults_store();
    assert!(sealed["profiles"].get("anthropic:work").is_none());
    assert_eq!(sealed["profiles"][CLAUDE_ID]["token"], TOKEN);
}

/// Fields nobody knows at every level, entries nobody can read, and numbers that a careless reader
/// would change.
const STRANGE: &str = r#"{
  "version": 1,
  "$schema": "https://example.org/x",
  "profiles": {
    "anthropic:work": {
      "type": "api_key",
      "provider": "anthropic",
      "key": "sk-key-work",
      "displayName": "W",
      "metadata": {
        "deep": [
          1.5,
          null,
          {
            "x": []
          }
        ]
      }
    },
    "later:type": {
      "type": "passkey",
      "provider": "anthropic",
      "blob": "b"
    },
    "no:provider": {
      "type": "token",
      "token": "sk-no-provider"
    },
    "just:null": null,
    "just:text": "sk-text",
    "just:list": [
      1
    ],
    "openai:x": {
      "type": "oauth",
      "provider": "openai",
      "access": "a",
      "refresh": "r",
      "expires": 1893456000000.25,
      "big": 123456789012345678,
      "bigger": 18446744073709551615,
      "negative": -9223372036854775808,
      "tiny": 5e-324,
      "idToken": "i"
    }
  },
  "order": {
    "openai": [
      "openai:x",
      7
    ],
    "elsewhere": "not a list"
  },
  "lastGood": {
    "openai": "openai:x"
  },
  "usageStats": {
    "openai:x": {
      "lastUsed": 1767900000000.125,
      "blockedUntil": 1,
      "failureCounts": {
        "auth": 2,
        "unknown": 0.5
      }
    },
    "gone:profile": {
      "errorCount": 9007199254740993
    }
  },
  "trailer": {
    "empty": {},
    "n": 0.1
  }
}
"#;

#[test]
fn what_we_do_not_understand_comes_back_to_the_letter() {
    let home = Home::with_claude(TOKEN, 100);
    home.write(STORE, STRANGE);
    home.run(&["--no-sync", "sync"]).ok();
    assert_eq!(home.read(STORE), STRANGE, "nothing to change");
    fs::remove_file(home.at(STORE)).unwrap();
    home.run(&["--no-sync", "sync"]).ok();
    assert_eq!(home.read(STORE), STRANGE, "written from the vault alone");
    home.run(&["sync"]).ok();
    set_order(&home, &["anthropic:work"]).ok();
    let without = |pointer: &str, name: &str, mut store: Value| {
        let removed = store
            .pointer_mut(pointer)
            .unwrap()
            .as_object_mut()
            .unwrap()
            .shift_remove(name);
        assert!(removed.is_some(), "{name}");
        store
    };
    let store = without("/profiles", CLAUDE_ID, home.json(STORE));
    let store = without("/order", "anthropic", store);
    assert_eq!(
        format!("{store:#}\n"),
        STRANGE,
        "the two changes and no other"
    );
    for id in ["later:type", "no:provider", "just:null"] {
        let refused = set_order(&home, &[id]).exits(1);
        assert!(refused.stderr.contains("not found"), "{refused:?}");
    }
    home.run(&["models", "status"]).ok();
    home.assert_sound();
}

fn lock_store(home: &Home, age: Duration) {
    let lock = home.at(&format!("{STORE}.lock"));
    fs::create_dir(&lock).unwrap();
    set_modified(&lock, SystemTime::now() - age);
}

#[test]
fn a_stale_lock_is_taken_over() {
    let home = settled();
    lock_store(&home, Duration::from_secs(31));
    set_order(&home, &["anthropic:work"]).ok();
    assert_eq!(
        home.json(STORE)["order"]["anthropic"],
        json!(["anthropic:work"])
    );
    assert!(!home.at(&format!("{STORE}.lock")).exists());
}

#[test]
fn a_held_lock_is_waited_for() {
    let home = settled();
    lock_store(&home, Duration::ZERO);
    let before = home.read(STORE);
    let mut command = home.command(&[&ORDER_SET[..], &["anthropic:work"]].concat());
    let mut child = command.stdout(Stdio::null()).spawn().unwrap();
    // It has come to the lock when it is at the head of our queue.
    let queue = || {
        let Ok(mut files) = fs::read_dir(home.at(&format!("{VAULT}.lease"))) else {
            return false;
        };
        let file = fs::File::open(files.next().unwrap().unwrap().path()).unwrap();
        matches!(file.try_lock(), Err(fs::TryLockError::WouldBlock))
    };
    while !queue() {
        assert!(child.try_wait().unwrap().is_none(), "it did not wait");
        std::thread::yield_now();
    }
    assert_eq!(home.read(STORE), before);
    // Reading needs no lock where everything agrees.
    home.run(&["models", "status"]).ok();
    assert!(child.try_wait().unwrap().is_none(), "it did not wait");
    fs::remove_dir(home.at(&format!("{STORE}.lock"))).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(
        home.json(STORE)["order"]["anthropic"],
        json!(["anthropic:work"])
    );
}

#[test]
#[ignore = "takes the 20 s after which a held lock ends a command"]
fn a_lock_held_too_long_ends_the_command_and_changes_nothing() {
    let home = settled();
    lock_store(&home, Duration::ZERO);
    let (before, recorded) = (home.read(STORE), home.kinds());
    let started = Instant::now();
    let run = set_order(&home, &["anthropic:work"]).exits(75);
    let waited = started.elapsed().as_secs();
    assert!((20..25).contains(&waited), "{waited} s");
    assert!(
        run.stderr.contains(".lock is held by another process"),
        "{run:?}"
    );
    assert_eq!((home.read(STORE), home.kinds()), (before, recorded));
    assert!(
        home.at(&format!("{STORE}.lock")).is_dir(),
        "not ours to remove"
    );
}

#[test]
fn a_deleted_store_is_written_again_and_reported() {
    let home = settled();
    let before = home.read(STORE);
    fs::remove_file(home.at(STORE)).unwrap();
    let run = home.run(&["models", "status"]).exits(0);
    assert!(
        run.stderr.contains("was missing; clawkeep wrote it again"),
        "{run:?}"
    );
    assert_eq!(home.read(STORE), before);
    let written = home.newest("export.written").unwrap();
    assert_eq!(written["detail"]["reason"], "missing");
    let again = home.run(&["models", "status"]).exits(0);
    assert_eq!(again.stderr, "", "said once");
}

#[cfg(unix)]
#[test]
fn a_linked_store_that_two_agents_share_stays_a_link_and_one_order() {
    let home = settled();
    let shared = ".clawdbot/shared/profiles.json";
    home.write(shared, home.read(STORE));
    let other = ".clawdbot/agents/ops/agent/auth-profiles.json";
    fs::create_dir_all(home.at(".clawdbot/agents/ops/agent")).unwrap();
    fs::remove_file(home.at(STORE)).unwrap();
    for store in [STORE, other] {
        symlink(home.at(shared), home.at(store)).unwrap();
    }
    home.run(&["sync"]).ok();
    set_order(&home, &["anthropic:work", CLAUDE_ID]).ok();
    home.run(&["sync"]).ok();
    let order = |home: &Home| home.json(shared).get("order").cloned();
    assert_eq!(
        order(&home),
        Some(json!({"anthropic": ["anthropic:work", CLAUDE_ID]}))
    );
    let settled = home.kinds();
    home.run(&["sync"]).ok();
    assert_eq!(home.kinds(), settled, "no news, nothing recorded");
    home.run(&[
        "models",
        "auth",
        "order",
        "clear",
        "--provider",
        "anthropic",
    ])
    .ok();
    home.claude_login("sk-ant-oat01-two-writers-000002", 200);
    home.run(&["sync"]).ok();
    home.run(&["sync"]).ok();
    assert_eq!(order(&home), None, "the other agent does not bring it back");
    for store in [STORE, other] {
        assert!(home.at(store).is_symlink(), "{store}");
        let token = home.json(store)["profiles"][CLAUDE_ID]["token"].clone();
        assert_eq!(token, "sk-ant-oat01-two-writers-000002");
    }
    home.assert_sound();
}

/// Stores that are none, each with the way it got there.
fn damaged_stores() -> Vec<(&'static str, Vec<u8>)> {
    let torn = json!({"version": 1, "profiles": {"a": key("torn")}}).to_string();
    let deep = |open: &str, close: &str| open.repeat(10_000) + &close.repeat(10_000);
    vec![
        ("torn", torn.as_bytes()[..torn.len() - 9].to_vec()),
        ("empty", Vec::new()),
        ("a newline", b"\n".to_vec()),
        ("a list", b"[]".to_vec()),
        ("no profiles", b"{}".to_vec()),
        (
            "profiles of another type",
            b"{\"version\":1,\"profiles\":[]}".to_vec(),
        ),
        ("a byte-order mark and nothing", b"\xef\xbb\xbf".to_vec()),
        (
            "UTF-16",
            "{\"profiles\":{}}"
                .encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect(),
        ),
        ("not UTF-8", b"{\"profiles\":{\"a\":\"\xff\xfe\"}}".to_vec()),
        (
            "two documents",
            b"{\"profiles\":{}}{\"profiles\":{}}".to_vec(),
        ),
        ("deep lists", deep("[", "]").into_bytes()),
        (
            "deep in a profile",
            format!("{{\"profiles\":{{\"a\":{}}}}}", deep("[", "]")).into_bytes(),
        ),
        ("deep objects", deep("{\"a\":", "}").into_bytes()),
        ("zeros", vec![0; 4096]),
    ]
}

/// Each in a home of its own and all at once: damage is looked at for a second before it is
/// believed.
fn for_each_damage(check: impl Fn(&str, &[u8]) + Sync) {
    std::thread::scope(|scope| {
        for (name, bytes) in damaged_stores() {
            let check = &check;
            scope.spawn(move || check(name, &bytes));
        }
    });
}

#[test]
fn a_damaged_store_is_set_aside_as_it_is_and_repaired() {
    for_each_damage(|name, bytes| {
        let home = settled();
        let whole = home.read(STORE);
        home.write(STORE, bytes);
        let run = home.run(&["models", "status", "--json"]);
        assert_eq!(run.status, 0, "{name}: {run:?}");
        assert!(run.stderr.contains("was damaged"), "{name}: {run:?}");
        assert_eq!(home.read(STORE), whole, "{name}");
        let event = home.newest("store.corrupt").unwrap();
        let kept = event["detail"]["kept_as"].as_str().unwrap();
        assert_eq!(names(&home), ["auth-profiles.json", kept], "{name}");
        assert!(kept.starts_with("auth-profiles.json.corrupt-"), "{kept}");
        let kept = fs::read(home.at(&format!("{AGENT}/{kept}"))).unwrap();
        assert!(kept == bytes, "{name}: the bytes are not those there were");
        home.assert_sound();
    });
}

#[test]
fn a_damaged_store_without_a_copy_stays_where_it_is() {
    for_each_damage(|name, bytes| {
        let home = Home::with_claude(TOKEN, 100);
        home.write(STORE, bytes);
        for args in [&["models", "status"][..], &["sync"]] {
            let run = home.run(args);
            assert_eq!(run.status, 65, "{name}: {run:?}");
            let said = run.stderr.contains("auth-profiles.json is damaged");
            assert!(said, "{name}: {run:?}");
            assert_eq!(run.stdout, "", "{name}");
            let now = fs::read(home.at(STORE)).unwrap();
            assert!(now == bytes, "{name}: the bytes are not those there were");
            assert_eq!(names(&home), ["auth-profiles.json"], "{name}");
        }
        assert_eq!(home.kinds(), ["vault.created"], "{name}");
    });
}

#[test]
fn fifty_mebibytes_of_spaces_are_damage_too() {
    let home = settled();
    let whole = home.read(STORE);
    home.write(STORE, vec![b' '; 50 << 20]);
    home.run(&["sync"]).ok();
    assert_eq!(home.read(STORE), whole);
    let kept = names(&home)
        .into_iter()
        .find(|name| name.contains(".corrupt-"));
    let kept = home.at(&format!("{AGENT}/{}", kept.unwrap()));
    assert_eq!(kept.metadata().unwrap().len(), 50 << 20);
}

#[test]
fn what_is_no_file_at_all_is_refused_at_once_and_left_alone() {
    let no_files: [fn(&Path); 2] = [make_irregular, |path| fs::create_dir(path).unwrap()];
    for (put, has_copy) in no_files
        .into_iter()
        .flat_map(|put| [(put, true), (put, false)])
    {
        let home = if has_copy {
            settled()
        } else {
            Home::with_claude(TOKEN, 100)
        };
        let _ = fs::remove_file(home.at(STORE));
        fs::create_dir_all(home.at(AGENT)).unwrap();
        put(&home.at(STORE));
        let kind = home.at(STORE).metadata().unwrap().file_type();
        let run = home.run(&["sync"]).exits(65);
        assert!(run.stderr.contains("is not a regular file"), "{run:?}");
        assert!(run.stderr.contains("Move it away: m"), "{run:?}");
        assert_eq!(home.at(STORE).metadata().unwrap().file_type(), kind);
        assert_eq!(names(&home), ["auth-profiles.json"]);
        home.assert_sound();
    }
}

#[test]
fn a_byte_order_mark_is_passed_over() {
    let home = Home::with_claude(TOKEN, 100);
    let store = json!({"version": 1, "profiles": {"anthropic:work": key("work")}}).to_string();
    home.write(STORE, format!("\u{feff}{store}"));
    home.run(&["sync"]).ok();
    let store = home.json(STORE);
    assert_eq!(store["profiles"]["anthropic:work"], key("work"));
    assert_eq!(store["profiles"][CLAUDE_ID]["token"], TOKEN);
    assert_eq!(names(&home), ["auth-profiles.json"]);
}

/// A writer in place that is interrupted: while the file grows it is not judged.
#[test]
fn a_store_that_becomes_whole_while_it_is_examined_is_not_damaged() {
    let home = settled();
    let mut store = home.json(STORE);
    store["profiles"]["anthropic:new"] = key("new");
    let text = format!("{store:#}\n");
    home.write(STORE, &text[..text.len() / 2]);
    let mut child = home
        .command(&["sync"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // It has seen the damage when it holds the lock.
    let lock = home.at(&format!("{STORE}.lock"));
    while !lock.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it did not look twice");
        std::thread::yield_now();
    }
    fs::write(home.at(STORE), &text).unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(home.read(STORE), text);
    assert_eq!(names(&home), ["auth-profiles.json"]);
    assert!(home.newest("store.corrupt").is_none());
    assert_eq!(home.vaults_store(), store);
}

#[test]
fn beside_a_newer_gateways_store_none_is_written() {
    let home = Home::with_claude(TOKEN, 100);
    home.write(
        &format!("{AGENT}/openclaw-agent.sqlite"),
        "SQLite format 3\0",
    );
    let first = home.run(&["models", "status"]).exits(0);
    assert!(
        first.stdout.contains("anthropic:claude-cli ok"),
        "{first:?}"
    );
    assert!(
        first.stderr.contains("belongs to a newer gateway"),
        "{first:?}"
    );
    home.claude_login("sk-ant-oat01-two-writers-000002", 200);
    let second = home.run(&["sync"]).exits(0);
    assert_eq!(second.stderr, "", "said once");
    assert_eq!(names(&home), ["openclaw-agent.sqlite"]);
    let withheld: Vec<Value> = home
        .events()
        .into_iter()
        .filter(|event| event["kind"] == "export.written")
        .collect();
    assert_eq!(withheld.len(), 1, "{withheld:?}");
    assert_eq!(withheld[0]["outcome"], "skipped");
    assert_eq!(withheld[0]["detail"]["reason"], "newer-gateway");
    let shown = home.run(&["export", "--to", "-", "--reveal"]).ok();
    assert!(shown.contains("sk-ant-oat01-two-writers-000002"));
    home.assert_sound();
}
