//! The library as another program embeds it: fixed clock, key file, no environment.

use std::path::{Path, PathBuf};

use clawkeep::internal::audit::{
    Direction, EventDraft, EventKind, Filter, HeadCheck, KindFilter, Origin,
};
use clawkeep::internal::config::{AgentRef, LoginFiles};
use clawkeep::internal::domain::{AgentName, Owner, ProfileId, Section, Seq, UnixMs};
use clawkeep::internal::platform::Clock;
use clawkeep::internal::sources::{KeychainFault, KeychainReading, LoginKeychain};
use clawkeep::internal::sync::{Engine, Loaded, LoginSources, SyncMode};
use clawkeep::internal::vault::ChangeNote;
use secrecy::SecretString;
use serde_json::{Value, json};

use crate::support::bench::{Bench, DAY, START, token};

const NONE: [i64; 0] = [];

#[test]
fn a_dropped_transaction_changes_nothing() {
    let mut bench = Bench::new();
    let head = bench.vault.head().unwrap();
    let mut tx = bench
        .vault
        .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START)))
        .unwrap();
    let note = ChangeNote::new(EventKind::ProfileCreated, Origin::Clawkeep);
    tx.put_profile(
        &AgentName::default(),
        &ProfileId::new("a:b"),
        &token("t"),
        note,
    )
    .unwrap();
    drop(tx);
    assert_eq!(bench.vault.head().unwrap(), head);
    assert!(bench.ids().is_empty());
}

#[test]
fn what_an_update_replaced_is_kept_three_deep_and_thirty_days() {
    let mut bench = Bench::new();
    for n in 0..6 {
        bench.put("anthropic:a", &token(&format!("t{n}")), START + n);
    }
    let generations = "SELECT generation FROM profile_versions ORDER BY id";
    assert_eq!(bench.query::<i64>(generations), [3, 4, 5]);
    bench.put("anthropic:b", &token("u0"), START + 29 * DAY);
    bench.put("anthropic:b", &token("u1"), START + 29 * DAY);
    assert_eq!(bench.query::<i64>(generations), [3, 4, 5, 1]);
    bench.put("anthropic:b", &token("u2"), START + 31 * DAY);
    assert_eq!(bench.query::<i64>(generations), [1, 2]);
}

#[test]
fn generations_go_on_across_removal() {
    let mut bench = Bench::new();
    bench.put("anthropic:a", &token("t0"), START);
    bench.remove("anthropic:a", START + 1);
    bench.put("anthropic:a", &token("t0"), START + 2);
    assert_eq!(bench.query::<i64>("SELECT generation FROM profiles"), [3]);
    assert_eq!(
        bench.query::<i64>(
            "SELECT generation FROM events WHERE generation IS NOT NULL ORDER BY seq"
        ),
        [1, 2, 3]
    );
    let same: i64 = bench.query(
        "SELECT count(DISTINCT hex(coalesce(token_after, token_before))) \
        FROM events WHERE generation IS NOT NULL",
    )[0];
    assert_eq!(same, 1, "equal tokens have equal fingerprints");
    assert_eq!(
        bench
            .vault
            .verify_record(None)
            .unwrap()
            .map(|verified| verified.events),
        Ok(4)
    );
}

#[test]
fn stored_order_is_kept_and_can_be_changed() {
    let mut bench = Bench::new();
    for id in ["c:1", "a:1", "b:1"] {
        bench.put(id, &token("t"), START);
    }
    assert_eq!(bench.ids(), ["c:1", "a:1", "b:1"]);
    let mut tx = bench
        .vault
        .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START)))
        .unwrap();
    tx.reorder_profiles(&AgentName::default(), ["b:1", "c:1", "a:1"].into_iter())
        .unwrap();
    tx.commit().unwrap();
    assert_eq!(bench.ids(), ["b:1", "c:1", "a:1"]);
}

#[test]
fn history_filters() {
    let mut bench = Bench::new(); // event 1: vault.created
    bench.append(
        "main",
        EventKind::OrderSet,
        Origin::Clawkeep,
        "anthropic:a",
        START + 2,
    ); // 2
    bench.append(
        "ops",
        EventKind::CredentialUsed,
        Origin::StoreFile,
        "openai:b",
        START + 3,
    ); // 3
    bench.append(
        "main",
        EventKind::RefreshFailed,
        Origin::Clawkeep,
        "openai:b",
        START + 4,
    ); // 4
    bench.append(
        "main",
        EventKind::RefreshStarted,
        Origin::Clawkeep,
        "anthropic:a",
        START + 5,
    ); // 5
    let all = Filter::default;
    assert_eq!(bench.seqs(&all()), [5, 4, 3, 2, 1]);
    assert_eq!(
        bench.seqs(&all().direction(Direction::OldestFirst)),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(bench.seqs(&all().profile("openai:b".to_owned())), [4, 3]);
    assert_eq!(bench.seqs(&all().provider("anthropic".to_owned())), [5, 2]);
    assert_eq!(bench.seqs(&all().agent("ops".to_owned())), [3]);
    assert_eq!(
        bench.seqs(
            &all()
                .since(UnixMs::from_ms(START + 3))
                .until(UnixMs::from_ms(START + 5))
        ),
        [4, 3]
    );
    assert_eq!(bench.seqs(&all().limit(2)), [5, 4]);
    assert_eq!(bench.seqs(&all().limit(0)), NONE);
    let kinds = |names: &[&str]| {
        names
            .iter()
            .map(|name| KindFilter::parse(name).unwrap())
            .collect()
    };
    assert_eq!(bench.seqs(&all().kinds(kinds(&["refresh"]))), [5, 4]);
    assert_eq!(
        bench.seqs(&all().kinds(kinds(&["order.set", "credential"]))),
        [3, 2]
    );
    assert_eq!(bench.seqs(&all().kinds(kinds(&["backup"]))), NONE);
    assert_eq!(bench.seqs(&all().profile("nobody:x".to_owned())), NONE);
    let both = all()
        .profile("openai:b".to_owned())
        .kinds(kinds(&["refresh"]));
    assert_eq!(bench.seqs(&both), [4]);
}

#[test]
fn a_synced_token_that_replaces_another_is_a_refresh_too() {
    let mut bench = Bench::new();
    for (token_text, origin) in [
        ("t0", Origin::Source(Owner::ClaudeCode)),
        ("t1", Origin::Source(Owner::ClaudeCode)),
        ("t2", Origin::Clawkeep),
    ] {
        let note = ChangeNote::new(EventKind::SyncApplied, origin);
        let mut tx = bench
            .vault
            .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START)))
            .unwrap();
        tx.put_profile(
            &AgentName::default(),
            &ProfileId::new("a:b"),
            &token(token_text),
            note,
        )
        .unwrap();
        tx.commit().unwrap();
    }
    let refresh = Filter::default().kinds(vec![KindFilter::parse("refresh").unwrap()]);
    assert_eq!(
        bench.seqs(&refresh),
        [3],
        "the first was no refresh, the third was not by its owner"
    );
}

#[test]
fn more_events_than_a_page_come_once_each_and_verify() {
    let mut bench = Bench::new();
    let mut tx = bench
        .vault
        .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START)))
        .unwrap();
    for _ in 0..1_500 {
        tx.append(
            None,
            EventDraft::new(EventKind::CredentialUsed, Origin::Clawkeep),
        )
        .unwrap();
    }
    tx.commit().unwrap();
    assert_eq!(
        bench.seqs(&Filter::default()),
        (1..=1_501).rev().collect::<Vec<_>>()
    );
    let limited = Filter::default()
        .limit(1_100)
        .direction(Direction::OldestFirst);
    assert_eq!(bench.seqs(&limited), (1..=1_100).collect::<Vec<_>>());
    let head = bench.vault.head().unwrap();
    let verified = bench.vault.verify_record(head).unwrap().unwrap();
    assert_eq!(verified.events, 1_501);
    assert_eq!(verified.head, HeadCheck::Holds(Seq::new(1_501)));
}

/// macOS's Keychain, as far as the engine can tell.
struct Keychain(fn() -> KeychainReading);

impl LoginKeychain for Keychain {
    fn read(&self, service: &str, account: &str) -> KeychainReading {
        assert_eq!((service, account), ("Claude Code-credentials", "ana"));
        (self.0)()
    }
}

fn load(bench: &mut Bench, keychain: &dyn LoginKeychain, claude_file: PathBuf) -> Loaded {
    let dir = bench.dir.path().join("agent");
    let sources = LoginSources {
        logins: vec![LoginFiles::at(Owner::ClaudeCode, claude_file)],
        user: "ana".to_owned(),
        keychain: Some(keychain),
        legacy_oauth_file: dir.join("no-oauth"),
    };
    let lock_dir = bench.dir.path().join("locks");
    let clock = Clock::Fixed(UnixMs::from_ms(START));
    let mut engine = Engine::new(&mut bench.vault, &sources, &bench.actor, clock, lock_dir);
    engine
        .load(
            &AgentRef {
                name: AgentName::default(),
                dir,
            },
            SyncMode::On,
        )
        .unwrap()
}

fn login(token: &str) -> String {
    json!({"claudeAiOauth": {"accessToken": token, "refreshToken": "r", "expiresAt": START + DAY}})
        .to_string()
}

#[test]
fn the_keychain_item_counts_before_the_file_and_a_locked_one_is_no_news() {
    let mut bench = Bench::new();
    let file = bench.dir.path().join("credentials.json");
    std::fs::write(&file, login("from-file")).unwrap();
    let stored = |loaded: &Loaded| {
        loaded
            .doc
            .credential("anthropic:claude-cli")
            .and_then(|c| c.expose_secret().map(str::to_owned))
    };

    let locked = Keychain(|| KeychainReading::Unavailable(KeychainFault::Locked));
    let loaded = load(&mut bench, &locked, file.clone());
    assert_eq!(stored(&loaded), None, "the file is not even looked at");
    assert_eq!(loaded.notices.len(), 1);

    let absent = Keychain(|| KeychainReading::ConfirmedAbsent);
    assert_eq!(
        stored(&load(&mut bench, &absent, file.clone())).as_deref(),
        Some("from-file")
    );

    let later = Keychain(|| {
        let item = json!({"claudeAiOauth": {"accessToken": "from-keychain",
            "expiresAt": START + 2 * DAY}});
        KeychainReading::Item(SecretString::from(item.to_string()))
    });
    assert_eq!(
        stored(&load(&mut bench, &later, file.clone())).as_deref(),
        Some("from-keychain")
    );
    assert_eq!(
        stored(&load(&mut bench, &locked, file)).as_deref(),
        Some("from-keychain"),
        "what is stored stays"
    );
}

/// Runs an edit that adds `p:ours`, during whose first call `meddle` is done to the agent's
/// directory.
fn edit_while(bench: &mut Bench, meddle: fn(&Path)) -> (Loaded, usize) {
    let dir = bench.dir.path().join("agent");
    let nowhere = dir.join("nowhere");
    let sources = LoginSources {
        logins: vec![LoginFiles::at(Owner::ClaudeCode, nowhere.clone())],
        user: String::new(),
        keychain: None,
        legacy_oauth_file: nowhere,
    };
    let calls = std::cell::Cell::new(0);
    let agent = AgentRef {
        name: AgentName::default(),
        dir: dir.clone(),
    };
    let mut engine = Engine::new(
        &mut bench.vault,
        &sources,
        &bench.actor,
        Clock::Fixed(UnixMs::from_ms(START)),
        bench.dir.path().join("locks"),
    );
    let loaded = engine.edit(&agent, SyncMode::On, |doc| {
        calls.set(calls.get() + 1);
        if calls.get() == 1 {
            meddle(&dir);
        }
        let mut edited = doc.clone();
        edited.set(Section::Profiles, "p:ours", token("ours"));
        let event =
            (*doc != edited).then(|| EventDraft::new(EventKind::OrderSet, Origin::Clawkeep));
        Ok::<_, clawkeep::internal::sync::SyncError>(clawkeep::internal::sync::Edited::to(
            edited,
            event.into_iter().collect(),
        ))
    });
    (loaded.unwrap(), calls.get())
}

fn write_theirs(dir: &Path) {
    let store = json!({"version": 1, "profiles": {"p:theirs": token("theirs")}});
    std::fs::write(dir.join("auth-profiles.json"), store.to_string()).unwrap();
}

/// What another program writes between our look and our rename, without the lock, or under a lock
/// that it took over while this process was stopped, is merged, not overwritten.
#[test]
fn what_is_written_while_we_work_is_merged() {
    let meddlers: [fn(&Path); 2] = [write_theirs, |dir| {
        let lock = dir.join("auth-profiles.json.lock");
        std::fs::remove_dir(&lock).unwrap();
        std::fs::create_dir(&lock).unwrap();
        write_theirs(dir);
        std::fs::remove_dir(&lock).unwrap();
    }];
    for meddle in meddlers {
        let mut bench = Bench::new();
        let dir = bench.dir.path().join("agent");
        std::fs::create_dir(&dir).unwrap();
        let (loaded, calls) = edit_while(&mut bench, meddle);
        assert_eq!(calls, 2, "once more, on what was found");
        let text = std::fs::read_to_string(dir.join("auth-profiles.json")).unwrap();
        let store: Value = serde_json::from_str(&text).unwrap();
        for id in ["p:ours", "p:theirs"] {
            assert!(store["profiles"][id].is_object(), "{id}: {text}");
            assert!(loaded.doc.credential(id).is_some(), "{id}");
        }
        let set = Filter::default().kinds(vec![KindFilter::parse("order.set").unwrap()]);
        assert_eq!(bench.seqs(&set).len(), 1, "the change is recorded once");
        assert!(!dir.join("auth-profiles.json.lock").exists());
        assert!(bench.vault.verify_record(None).unwrap().is_ok());
    }
}
