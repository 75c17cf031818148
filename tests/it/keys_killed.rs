//! Rotations that are killed: the vault opens with the old keys or with the new ones, never with
//! neither, and all is there.
//!
//! `CLAWKEEP_KILLS` and `CLAWKEEP_SEED` as in `killed`.

use std::fs::File;
use std::process::Command;

use serde_json::Value;

use crate::keys::{OTHER, PHRASE, with_code, with_phrase};
use crate::killed::{Ended, Killer, STEPS, assert_whole, kill_at, timed};
use crate::support::home::{Home, Run, STORE, VAULT};
use crate::support::random::number;
use crate::tamper;

/// What a rotation replaces.
#[derive(Clone, Copy, Debug, PartialEq)]
enum What {
    DataKey,
    Everything,
}

/// A home with a slot of each kind that needs no keychain; the code.
fn home() -> (Home, String) {
    let home = tamper::home();
    with_phrase(&home);
    let code = with_code(&home);
    home.write("private/0", PHRASE);
    home.write("private/1", OTHER);
    (home, code)
}

/// A rotation. `turn` says which passphrase is the new one.
fn rotation(home: &Home, what: What, turn: u64) -> Command {
    let mut args = vec!["key", "rotate"];
    let file = home.at(&format!("private/{}", turn % 2));
    if what == What::Everything {
        args.extend(["--compromised", "--new-passphrase-file"]);
        args.push(file.to_str().unwrap());
    }
    home.command(&args)
}

/// The vault's epoch: read from outside, since that must not depend on any key.
fn epoch(home: &Home) -> i64 {
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    conn.query_row("SELECT epoch FROM identity", [], |row| row.get(0))
        .unwrap()
}

fn opens_with(home: &Home, file: &str) -> bool {
    let mut command = home.command(&["models", "status", "--passphrase-file"]);
    let run: Run = command.arg(home.at(file)).output().unwrap().into();
    assert!([0, 77].contains(&run.status), "{run:?}");
    run.status == 0
}

/// What must hold after a rotation that was killed somewhere. `was` is the epoch before.
fn assert_old_or_new(home: &Home, (what, turn, was): (What, u64, i64), store: &Value, at: &str) {
    // First of all without mending anything by hand: the key file, in whatever state its directory
    // is.
    home.run(&["models", "status"]).ok();
    assert_whole(home, at);
    let is_new = match epoch(home) {
        epoch if epoch == was => false,
        epoch if epoch == was + 1 => true,
        other => panic!("{at}: epoch {other} after {was}"),
    };
    let is_other = is_new && what == What::Everything;
    let (new, old) = (
        format!("private/{}", turn % 2),
        format!("private/{}", (turn + 1) % 2),
    );
    if what == What::Everything {
        assert_eq!(opens_with(home, &new), is_other, "{at}: the new passphrase");
        assert_eq!(opens_with(home, &old), !is_other, "{at}: the old one");
    } else {
        assert!(opens_with(home, "private/0"), "{at}: the passphrase");
    }
    assert_eq!(home.vaults_store(), *store, "{at}");
    for file in home.files() {
        let is_left = file.ends_with(".key.new") && is_other;
        assert!(!is_left, "{at}: {file} was left");
    }
}

fn killed_at_random(what: What, kills: u64) {
    let (home, code) = home();
    let store = home.json(STORE);
    home.write("private/code", &code);
    let mut turn = 1;
    let run_times = (0..4).map(|_| {
        let time = timed(&mut rotation(&home, what, turn));
        turn += 1;
        time
    });
    let mut killer = Killer::new("rotation", run_times.collect());
    for _ in 0..kills {
        let was = epoch(&home);
        // Its answer goes where it can be read: without that a code is not taken for shown.
        let answer = File::create(home.at("answer")).unwrap();
        killer.kill_answering(rotation(&home, what, turn), answer.into());
        assert_old_or_new(&home, (what, turn, was), &store, &killer.at());
        if epoch(&home) != was {
            turn += 1;
        }
        if what == What::DataKey {
            assert!(opens_with(&home, "private/code"), "{}", killer.at());
        }
    }
    killer.report();
}

#[test]
fn killed_at_random_moments() {
    let kills = number("CLAWKEEP_KILLS", 60).div_ceil(4);
    killed_at_random(What::DataKey, kills);
    killed_at_random(What::Everything, kills);
}

#[test]
#[ignore = "slow"]
fn killed_at_three_hundred_moments() {
    killed_at_random(What::DataKey, 300);
    killed_at_random(What::Everything, 300);
}

/// Needs strace, and takes minutes.
#[test]
#[ignore = "slow; needs strace"]
fn killed_at_every_step() {
    for what in [What::DataKey, What::Everything] {
        for call in STEPS {
            for nth in 1.. {
                let (home, _) = home();
                let store = home.json(STORE);
                let was = epoch(&home);
                let at = format!("{what:?} killed at {call} {nth}");
                let ended = kill_at(call, nth, &rotation(&home, what, 1));
                assert_old_or_new(&home, (what, 1, was), &store, &at);
                if ended == Ended::Done {
                    break;
                }
                Run::from(
                    rotation(&home, what, 1 + u64::from(epoch(&home) != was))
                        .output()
                        .unwrap(),
                )
                .ok();
                home.assert_sound();
            }
        }
    }
}
