//! Refreshes that are killed, or find the disk full, at any step: never is a refresh token redeemed
//! twice without the record saying that it was not known whether it is spent, and never is a token
//! lost that was stored.
//!
//! `CLAWKEEP_KILLS` and `CLAWKEEP_SEED` as in `killed`.

use std::fs;
use std::time::Duration;

use clawkeep::internal::config::{AgentRef, LoginFiles, parse_providers};
use clawkeep::internal::domain::{AgentName, Owner, ProfileId, UnixMs};
use clawkeep::internal::oauth::{Lease, Providers};
use clawkeep::internal::platform::Clock;
use clawkeep::internal::sync::{
    DUE_BELOW_MS, Engine, LoginSources, RefreshOutcome, Refresher, SyncError, SyncMode, When,
};
use rusqlite::Connection;
use serde_json::json;

use crate::killed::{Ended, Killer, STEPS, assert_whole, kill_at, timed};
use crate::refresh::{
    ID, OPS, end, expire, exported, grant_state, home, share, start, store, token,
};
use crate::support::bench::{Bench, START};
use crate::support::home::{HOUR, Home, STORE, VAULT, now_ms};
use crate::support::provider::Provider;
use crate::support::random::number;
#[cfg(unix)]
use crate::support::skip::unshare;
use crate::support::vault::set_all_grants;

const TOKEN: [&str; 3] = ["token", "--provider", "test"];

/// What must hold after a refresh that was killed somewhere.
#[track_caller]
fn assert_story(home: &Home, provider: &Provider, at: &str) {
    assert_whole(home, at);
    let told = |kind: &str| home.count_of(kind);
    // A token that came twice came the second time after the record had said that it may be spent.
    let unsure = told("refresh.interrupted");
    assert!(
        provider.repeated() <= unsure,
        "{at}: {} of {unsure}",
        provider.repeated()
    );
    assert!(
        provider.count() <= told("refresh.started"),
        "{at}: sent and not announced"
    );
}

/// The next command after a kill: it has a token, or says that the login is over; then it is logged
/// in anew.
fn go_on(home: &Home, provider: &Provider, at: &str) {
    let run = token(home);
    assert_story(home, provider, at);
    if run.status == 0 {
        let stored = exported(home, STORE);
        assert_eq!(
            run.stdout.trim(),
            stored["access"].as_str().unwrap(),
            "{at}"
        );
        assert!(
            provider.is_live(stored["refresh"].as_str().unwrap()),
            "{at}: what is stored is good"
        );
    } else {
        assert_eq!(run.status, 1, "{at}: {run:?}");
        assert!(run.stderr.contains("is over"), "{at}: {run:?}");
        assert!(
            home.count_of("refresh.interrupted") > 0,
            "{at}: lost, and nobody knows why"
        );
        assert_eq!(grant_state(home), "dead", "{at}");
        let mut entry = exported(home, STORE);
        entry["refresh"] = json!(provider.grant("anew"));
        store(home, STORE, &entry);
    }
    // Killed between the commit and its removal, the sealed file stays until the next refresh.
    if home.files().iter().any(|file| file.ends_with(".rescue")) {
        expire(home, STORE);
        token(home).ok();
    }
    for file in home.files() {
        let is_left = file.contains("-tmp") || file.ends_with(".rescue");
        assert!(!is_left, "{at}: {file} was left");
    }
}

#[test]
fn killed_at_random_moments() {
    let (home, provider) = home();
    let run_times = (0..5).map(|_| {
        let time = timed(&mut home.command(&TOKEN));
        expire(&home, STORE);
        time
    });
    let mut killer = Killer::new("refresh", run_times.collect());
    for _ in 0..number("CLAWKEEP_KILLS", 60) {
        expire(&home, STORE);
        killer.kill(home.command(&TOKEN));
        let at = killer.at();
        assert_story(&home, &provider, &at);
        go_on(&home, &provider, &at);
    }
    killer.report();
}

/// Needs strace, and takes minutes.
#[test]
#[ignore = "slow; needs strace"]
fn killed_at_every_step() {
    let calls = STEPS
        .iter()
        .chain(&["connect", "sendto", "recvfrom", "flock"]);
    for call in calls {
        for nth in 1.. {
            let (home, provider) = home();
            let at = format!("killed at {call} {nth}");
            let ended = kill_at(call, nth, &home.command(&TOKEN));
            assert_story(&home, &provider, &at);
            if ended == Ended::Done {
                break;
            }
            go_on(&home, &provider, &at);
        }
    }
}

/// The vault is held by somebody else when the answer comes: the tokens wait in the recovery file.
#[test]
fn killed_between_the_answer_and_the_commit_loses_nothing() {
    let (home, provider) = home();
    share(&home);
    provider.hold();
    let mut holder = start(&home, &TOKEN);
    provider.wait_for(1);
    let conn = Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    provider.release();
    let rescue = loop {
        let files = home.files();
        let file = files.into_iter().find(|file| file.ends_with(".rescue"));
        if let Some(file) = file
            && fs::read(home.at(&file)).is_ok_and(|bytes| bytes.starts_with(b"clawkeep rescue"))
        {
            break file;
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    holder.kill().unwrap();
    holder.wait().unwrap();
    drop(conn);
    assert_eq!(
        home.files_with("sk-test-access-a-2"),
        [] as [String; 0],
        "sealed"
    );
    // Any command takes it in, and says so; both agents have it.
    let run = home.run(&["models", "status"]);
    assert!(
        run.stderr.contains("clawkeep imported them"),
        "{}",
        run.stderr
    );
    assert_eq!(
        exported(&home, STORE)["access"],
        json!("sk-test-access-a-2")
    );
    home.run(&["sync"]).ok();
    assert_eq!(exported(&home, OPS), exported(&home, STORE));
    assert!(!home.at(&rescue).exists());
    let succeeded = home.newest("refresh.succeeded").unwrap();
    assert_eq!(succeeded["detail"]["rescued"], json!(true));
    assert_eq!(
        (provider.count(), home.count_of("refresh.succeeded")),
        (1, 1)
    );
    token(&home).ok();
    assert_eq!(provider.count(), 1);
    home.assert_sound();
}

/// A refresh that was killed between its answer and the commit: the file that keeps the answer.
fn killed_with_answer(home: &Home, provider: &Provider) -> String {
    provider.hold();
    let mut holder = start(home, &TOKEN);
    provider.wait_for(provider.count() + 1);
    let conn = Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("BEGIN IMMEDIATE").unwrap();
    provider.release();
    let is_whole = |file: &String| {
        file.ends_with(".rescue")
            && fs::read(home.at(file)).is_ok_and(|bytes| bytes.starts_with(MAGIC))
    };
    let rescue = loop {
        if let Some(file) = home.files().into_iter().find(is_whole) {
            break file;
        }
        std::thread::yield_now();
    };
    holder.kill().unwrap();
    holder.wait().unwrap();
    rescue
}

const MAGIC: &[u8] = b"clawkeep rescue 1\n";

/// A whole file of a refresh, which no key opens.
fn forged(fence: i64) -> Vec<u8> {
    [
        MAGIC,
        &fence.to_be_bytes(),
        &200_u32.to_be_bytes(),
        &[7; 200],
    ]
    .concat()
}

fn kept_aside(home: &Home) -> Vec<String> {
    let files = home.files().into_iter();
    files
        .filter(|file| file.contains(".rescue.unopened-"))
        .collect()
}

/// There was an answer, so the refresh token is used up: it is not sent again, and the file that
/// does not open is kept.
#[cfg(unix)]
#[test]
fn an_answer_that_does_not_open_is_kept_and_its_token_is_not_sent_again() {
    let damages: [fn(&mut Vec<u8>); 4] = [
        |bytes| bytes[MAGIC.len() + 12 + 40] ^= 1, // the sealed part
        |bytes| bytes[MAGIC.len() + 7] ^= 1,       // the fence: an earlier one
        |bytes| bytes[MAGIC.len() + 1] ^= 1,       // the fence: a later one
        |bytes| *bytes = forged(1),
    ];
    for (n, damage) in damages.into_iter().enumerate() {
        let (home, provider) = home();
        let rescue = killed_with_answer(&home, &provider);
        let mut bytes = fs::read(home.at(&rescue)).unwrap();
        damage(&mut bytes);
        fs::write(home.at(&rescue), &bytes).unwrap();
        // Any command finds it, and says so.
        let run = home.run(&["models", "status"]);
        assert!(run.stderr.contains("does not open"), "{n}: {}", run.stderr);
        assert!(
            run.stderr.contains(".rescue.unopened-"),
            "{n}: {}",
            run.stderr
        );
        assert_eq!(grant_state(&home), "dead", "{n}");
        // Nothing sends the token, however often it is asked for.
        for args in [&TOKEN[..], &["refresh", ID], &TOKEN] {
            let run = home.run(args);
            assert_eq!(run.status, 1, "{n}: {run:?}");
            assert!(run.stderr.contains("does not open"), "{n}: {}", run.stderr);
            assert!(run.stderr.contains("Log in again"), "{n}: {}", run.stderr);
        }
        assert_eq!((provider.count(), provider.repeated()), (1, 0), "{n}");
        // It is kept as it was, the user's alone.
        let kept = kept_aside(&home);
        assert_eq!(kept.len(), 1, "{n}: {kept:?}");
        assert_eq!(fs::read(home.at(&kept[0])).unwrap(), bytes, "{n}");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &fs::metadata(home.at(&kept[0])).unwrap().permissions(),
        );
        assert_eq!(mode & 0o777, 0o600, "{n}");
        assert!(!home.at(&rescue).exists(), "{n}");
        // The record and doctor tell of it, and how it is had again.
        let event = home.newest("refresh.interrupted").unwrap();
        assert_eq!(event["detail"]["why"], json!("answer-unopened"), "{n}");
        assert_eq!(event["profile"], json!(ID), "{n}");
        let name = kept[0].rsplit('/').next().unwrap();
        assert!(event["detail"]["path"].as_str().unwrap().ends_with(name));
        let doctor = home.run(&["doctor", "--json"]);
        for told in [
            "credential.dead",
            "footprint.leftover",
            "unopened-",
            "Log in again",
        ] {
            assert!(doctor.stdout.contains(told), "{n}: {}", doctor.stdout);
        }
        // A new login is used and refreshed as any other.
        let mut entry = exported(&home, STORE);
        entry["refresh"] = json!(provider.grant("anew"));
        store(&home, STORE, &entry);
        token(&home).ok();
        assert_eq!(kept_aside(&home), kept, "{n}");
        home.assert_sound();
    }
}

/// Killed after it is recorded that the token is used up, and before the file is kept aside: it is
/// so by the next refresh.
#[cfg(unix)]
#[test]
fn an_answer_that_does_not_open_is_never_removed() {
    let (home, provider) = home();
    let rescue = killed_with_answer(&home, &provider);
    fs::write(home.at(&rescue), forged(1)).unwrap();
    home.run(&["models", "status"]);
    fs::rename(home.at(&kept_aside(&home)[0]), home.at(&rescue)).unwrap();
    token(&home).exits(1);
    assert_eq!(kept_aside(&home).len(), 1);
    // Another of the same second gets a name of its own.
    fs::write(home.at(&rescue), forged(2)).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(home.at(&rescue), mode).unwrap();
    token(&home).exits(1);
    assert_eq!(kept_aside(&home).len(), 2);
    assert_eq!(provider.count(), 1);
}

/// A file that somebody puts there without the key says nothing of a refresh that has ended; one
/// that says that it is of a later refresh than the vault knows may be what is left of it, where an
/// older copy of the vault was put back.
#[test]
fn a_planted_answer_counts_for_no_refresh_that_has_ended() {
    let (home, provider) = home();
    token(&home).ok();
    let next = home.newest("refresh.succeeded").unwrap()["detail"]["next"].clone();
    let (key, digest) = next.as_str().unwrap().split_once(':').unwrap();
    let key: u16 = key.parse().unwrap();
    let rescue = format!("{VAULT}.lease/grant-{key:04x}{digest}.rescue");
    for fence in [0, -1] {
        home.write(&rescue, forged(fence));
        home.run(&["models", "status"]).ok();
    }
    expire(&home, STORE);
    token(&home).ok();
    assert_eq!((provider.count(), kept_aside(&home).len()), (2, 0));
    assert!(!home.at(&rescue).exists());
    // Of a later refresh.
    let next = home.newest("refresh.succeeded").unwrap()["detail"]["next"].clone();
    let digest = next.as_str().unwrap().split_once(':').unwrap().1;
    let rescue = format!("{VAULT}.lease/grant-{key:04x}{digest}.rescue");
    home.write(&rescue, forged(9));
    expire(&home, STORE);
    token(&home).exits(1);
    assert_eq!((provider.count(), kept_aside(&home).len()), (2, 1));
}

/// Someone who took the recovery file, or keeps an older one, gets nothing in by it.
#[test]
fn a_recovery_file_is_imported_once_and_only_where_it_belongs() {
    let (home, provider) = home();
    provider.hold();
    let mut holder = start(&home, &TOKEN);
    provider.wait_for(1);
    let name = home
        .files()
        .into_iter()
        .find(|file| file.ends_with(".rescue"))
        .unwrap();
    holder.kill().unwrap();
    holder.wait().unwrap();
    provider.release();
    for bytes in [
        Vec::new(),
        b"clawkeep rescue 1\n".to_vec(),
        b"clawkeep rescue 1\n\xff\xff\xff\xffx".to_vec(),
        [b"clawkeep rescue 1\n\0\0\0\x20".as_slice(), &[1; 32]].concat(),
    ] {
        home.write(&name, bytes);
        home.run(&["models", "status", "--json"]).ok();
    }
    assert_eq!(home.count_of("refresh.interrupted"), 1);
    assert_eq!(grant_state(&home), "uncertain");
    assert_eq!(home.count_of("refresh.succeeded"), 0);
    let doctor = home.run(&["doctor", "--json"]);
    assert!(
        doctor.stdout.contains("credential.uncertain"),
        "{}",
        doctor.stdout
    );
    home.assert_sound();
}

/// A full disk, at many sizes: the old state or the new one, and the token is not lost.
#[cfg(unix)] // a limit on the size of files
#[test]
fn a_full_disk_loses_no_token() {
    let mut kept = 0;
    for blocks in (200..1200).step_by(25) {
        let (home, provider) = home();
        let at = format!("{blocks} blocks");
        let run = home.run_on_small_disk(blocks, &TOKEN.join(" "));
        assert_story(&home, &provider, &at);
        if run.status != 0 {
            assert_eq!(run.stdout, "", "{at}");
            kept += usize::from(run.stderr.contains("they are kept in"));
        }
        // With room again, whatever the provider gave out is there.
        let run = token(&home);
        assert_eq!(run.status, 0, "{at}: {run:?}");
        let stored = exported(&home, STORE);
        assert!(
            provider.is_live(stored["refresh"].as_str().unwrap()),
            "{at}"
        );
        assert_eq!(provider.repeated(), 0, "{at}");
        assert_eq!(provider.count(), 1, "{at}");
        home.assert_sound();
    }
    let _ = kept;
}

/// Process ids mean nothing across containers: two process namespaces, one home.
#[cfg(unix)]
#[test]
fn across_process_namespaces_one_request_is_sent() {
    let namespace = ["--fork", "--pid"];
    if unshare(&namespace).is_none() {
        return;
    }
    let (home, provider) = home();
    let in_namespace = || {
        let mut command = unshare(&namespace).unwrap();
        command
            .arg(env!("CARGO_BIN_EXE_clawkeep"))
            .args(TOKEN)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(home.path())
            .stdin(std::process::Stdio::null())
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped());
        command.spawn().unwrap()
    };
    for round in 1..=3 {
        let both = (0..6).flat_map(|_| [in_namespace(), start(&home, &TOKEN)]);
        let children: Vec<_> = both.collect();
        let answers: Vec<String> = children.into_iter().map(|child| end(child).ok()).collect();
        let now = exported(&home, STORE);
        assert!(
            answers
                .iter()
                .all(|answer| Some(answer.trim()) == now["access"].as_str())
        );
        assert_eq!(provider.count(), round);
        expire(&home, STORE);
    }
    // A holder in the other namespace, killed: its lease is free, whatever its process id says
    // here.
    provider.hold();
    let mut holder = in_namespace();
    provider.wait_for(4);
    let waiter = start(&home, &TOKEN);
    let killed = std::process::Command::new("pkill")
        .args(["-9", "-P", &holder.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    holder.wait().unwrap();
    provider.release();
    let run = end(waiter).exits(1);
    assert!(run.stderr.contains("was interrupted"), "{}", run.stderr);
    home.assert_sound();
}

/// The clock goes back or ahead by a day between two uses.
#[cfg(unix)]
#[test]
fn a_clock_that_jumps_costs_a_request_and_nothing_else() {
    let (home, provider) = home();
    let at = |offset: &str| {
        let mut command = std::process::Command::new("faketime");
        command
            .args(["-f", offset])
            .arg(env!("CARGO_BIN_EXE_clawkeep"))
            .args(TOKEN)
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(home.path());
        let output = command.output().unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    token(&home).ok();
    at("+1d");
    assert_eq!(provider.count(), 2);
    at("-1d");
    token(&home).ok();
    assert_eq!(provider.count(), 2);
    let left = exported(&home, STORE)["expires"].as_i64().unwrap() - now_ms();
    assert!(left > 24 * HOUR);
    assert_eq!(provider.repeated(), 0);
    home.assert_sound();
}

/// Somebody has the lease and does not come back: whoever waits stops at the deadline, and has it
/// once it is free.
#[test]
fn a_holder_that_hangs_is_waited_for_no_longer_than_there_is_patience() {
    let mut bench = Bench::new();
    let provider = Provider::start();
    let providers = Providers::new(&parse_providers(&provider.setting("test")).unwrap());
    let dir = bench.dir.path().join("agent");
    let sources = no_sources(&dir);
    let refresh = provider.grant("a");
    let entry = json!({"type": "oauth", "provider": "test", "access": "a", "refresh": refresh,
        "expires": START - 1});
    bench.put(ID, &entry, START);
    let lock_dir = bench.dir.path().join("locks");
    let grant = bench.vault.fingerprint(&refresh);
    let agent = AgentRef {
        name: AgentName::default(),
        dir,
    };
    let clock = Clock::Fixed(UnixMs::from_ms(START));
    let mut engine = Engine::new(
        &mut bench.vault,
        &sources,
        &bench.actor,
        clock,
        lock_dir.clone(),
    );
    let renewer = Refresher {
        patience: Duration::from_millis(100),
        ..Refresher::new(&providers, std::slice::from_ref(&agent))
    };
    let mut renew = || {
        let when = When::LessLeftThan(DUE_BELOW_MS);
        engine.refresh(&renewer, &agent, SyncMode::Off, &ProfileId::new(ID), when)
    };
    let lease = Lease::try_take(&lock_dir, grant).unwrap().unwrap();
    let busy = renew().unwrap_err();
    assert!(matches!(busy, SyncError::RefreshBusy { profile } if profile.as_str() == ID));
    assert_eq!(provider.count(), 0);
    drop(lease);
    assert!(matches!(renew().unwrap(), RefreshOutcome::Refreshed(_)));
    assert_eq!(provider.count(), 1);
}

/// A result that comes after the grant was claimed anew, which only a lease file that somebody
/// removed lets happen, is refused: it is kept beside, and the record says so.
#[test]
fn a_late_result_of_an_earlier_claim_is_refused() {
    let (home, provider) = home();
    provider.hold();
    let late = start(&home, &TOKEN);
    provider.wait_for(1);
    let lease = home
        .files()
        .into_iter()
        .find(|file| file.contains("grant-") && !file.ends_with(".rescue"))
        .unwrap();
    fs::remove_file(home.at(&lease)).unwrap();
    // As if another process had claimed it meanwhile, and the old credential were put back.
    set_all_grants(&home, |grant| grant.fence += 1);
    let before = exported(&home, STORE);
    provider.release();
    let run = end(late);
    assert_ne!(run.status, 0, "{run:?}");
    assert_eq!(exported(&home, STORE), before);
    assert_eq!(home.count_of("refresh.succeeded"), 0);
    let superseded = home.newest("refresh.superseded").unwrap();
    assert_eq!(superseded["detail"]["fence"], json!(1));
    home.assert_sound();
}

fn no_sources(dir: &std::path::Path) -> LoginSources<'static> {
    LoginSources {
        logins: vec![LoginFiles::at(Owner::ClaudeCode, dir.join("no-claude"))],
        user: String::new(),
        keychain: None,
        legacy_oauth_file: dir.join("no-oauth"),
    }
}
