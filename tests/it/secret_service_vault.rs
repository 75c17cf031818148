//! Vaults whose key is in a real Secret Service, and what becomes of them where it is not.

#![cfg(all(unix, not(target_os = "macos")))]

use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::damage::{Saved, alter, refused};
use crate::support::home::{Home, Run, STORE, VAULT};
use crate::support::secret_service::{Prompts, Session};

/// How long a keychain may take before it counts as absent. Source: `spec/vault.md`, Keys.
const DEADLINE: Duration = Duration::from_secs(3);
/// Noise of the machine beyond a deadline.
const SLACK: Duration = Duration::from_secs(2);

const STATUS: &[&str] = &["models", "status"];
const REMEDY: &str = "No new key can open this vault";

/// A command of a home in a session.
fn within(session: &Session, home: &Home, args: &[&str]) -> Command {
    let mut command = home.command(args);
    let bus = session.environment().into_iter();
    command.envs(bus.filter(|(name, _)| *name != "HOME"));
    command
}

fn run(session: &Session, home: &Home, args: &[&str]) -> Run {
    within(session, home, args).output().unwrap().into()
}

fn timed(session: &Session, home: &Home, args: &[&str]) -> (Run, Duration) {
    let started = Instant::now();
    let run = run(session, home, args);
    (run, started.elapsed())
}

/// A home whose vault has its key in the session's keyring.
fn home(session: &Session) -> Home {
    let home = Home::with_claude("sk-test-claude-1", 100);
    let first = run(session, &home, STATUS).exits(0);
    assert!(
        first.stderr.contains("its key is in the keychain."),
        "{}",
        first.stderr
    );
    // The second: that a plain copy was written.
    assert_eq!(first.stderr.lines().count(), 2, "{}", first.stderr);
    home
}

/// The account of a vault's one key: `<vault id>/<key id>`.
fn account(home: &Home) -> String {
    alter(home, |conn| {
        let sql =
            "SELECT lower(hex(vault_id)) || '/' || lower(hex(key_id)) FROM identity, key_slots";
        conn.query_row(sql, [], |row| row.get(0)).unwrap()
    })
}

/// Makes a call on an item, as another program of the same user could: the tests of the keychain
/// bring one along.
fn call(session: &Session, words: &str) {
    let answer = session.dir().join("answer");
    let program = std::env::current_exe().unwrap();
    let output = session
        .command(program.to_str().unwrap())
        .args(["--exact", "keychain::child", "--ignored", "--nocapture"])
        .env("CLAWKEEP_TEST_CALL", words)
        .env("CLAWKEEP_TEST_DEADLINE", "10000")
        .env("CLAWKEEP_TEST_BUS", "Present")
        .env("CLAWKEEP_TEST_ANSWER", &answer)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = fs::read_to_string(answer).unwrap();
    assert!(text.ends_with("\ndone"), "{words}: {text}");
}

/// How many items of ours the keyring has.
fn items(session: &Session) -> usize {
    let mut search = session.command("secret-tool");
    search.args(["search", "--all", "--unlock", "service", "clawkeep"]);
    let output = search.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text).into_owned();
    text.matches("attribute.username").count()
}

fn has_key_file(home: &Home) -> bool {
    home.files().iter().any(|file| file.ends_with(".key"))
}

#[test]
fn a_vault_with_its_key_in_the_keychain() {
    let mut session = Session::unlocked();
    let home = home(&session);
    assert!(!has_key_file(&home), "{:?}", home.files());
    assert_eq!(items(&session), 1);
    let again = run(&session, &home, STATUS).exits(0);
    assert_eq!(again.stderr, "");
    assert!(
        again.stdout.contains("anthropic:claude-cli ok"),
        "{}",
        again.stdout
    );
    let kind: String = alter(&home, |conn| {
        conn.query_row("SELECT kind FROM key_slots", [], |row| row.get(0))
            .unwrap()
    });
    assert_eq!(kind, "keychain");
    assert_eq!(home.events()[2]["detail"]["key"], "keychain");
    session.restart(); // as after a reboot
    run(&session, &home, &["audit", "verify"]).ok();
}

#[test]
fn two_vaults_on_one_keychain() {
    let session = Session::unlocked();
    let (one, two) = (home(&session), home(&session));
    assert_eq!(items(&session), 2);
    assert_ne!(account(&one), account(&two));
    for home in [&one, &two] {
        run(&session, home, STATUS).ok();
    }
    call(&session, &format!("delete {}", account(&one)));
    run(&session, &two, STATUS).ok();
    refused(one.path(), within(&session, &one, STATUS), 77, &[REMEDY]);
}

#[test]
fn a_vault_copied_to_where_its_keychain_is_not() {
    let session = Session::unlocked();
    let home = home(&session);
    let copy = Home::new();
    copy.write(VAULT, Saved::of(&home).bytes());
    let lonely = copy.command(STATUS);
    refused(
        copy.path(),
        lonely,
        77,
        &[
            "no keychain can be reached: there is no session bus",
            "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/",
            "loginctl enable-linger",
            "clawkeep key add keyfile",
        ],
    );
    let empty = Session::without_keyring(Prompts::CannotBeShown);
    let elsewhere = within(&empty, &copy, STATUS);
    refused(
        copy.path(),
        elsewhere,
        77,
        &[
            "no program on the session bus keeps secrets",
            "gnome-keyring-daemon --start",
            "clawkeep key add keyfile",
        ],
    );
    let other = Session::unlocked();
    let elsewhere = within(&other, &copy, STATUS);
    refused(
        copy.path(),
        elsewhere,
        77,
        &["the keychain has no key", REMEDY],
    );
    assert_eq!(items(&other), 0);
    copy.run(&["history"]).ok();
    assert!(!has_key_file(&copy));
}

#[test]
fn an_item_that_was_deleted_is_not_made_anew() {
    let session = Session::unlocked();
    let home = home(&session);
    call(&session, &format!("delete {}", account(&home)));
    home.claude_login("sk-test-claude-2", 200);
    for args in [STATUS, &["sync"], &["export"], &["audit", "verify"]] {
        let command = within(&session, &home, args);
        refused(
            home.path(),
            command,
            77,
            &["the keychain has no key", REMEDY],
        );
    }
    run(&session, &home, &["init"]).exits(1);
    assert_eq!(items(&session), 0);
    assert!(!has_key_file(&home));
    assert!(home.read(STORE).contains("sk-test-claude-1"));
}

#[test]
fn an_item_with_other_bytes_is_not_its_key() {
    let session = Session::unlocked();
    let (home, other) = (home(&session), home(&session));
    assert_ne!(account(&home), account(&other));
    for bytes in ["00".repeat(32), "00".repeat(31), "11".repeat(64)] {
        call(&session, &format!("set {} {bytes}", account(&home)));
        let command = within(&session, &home, STATUS);
        let run = refused(
            home.path(),
            command,
            77,
            &["the key in the keychain is not this vault's", REMEDY],
        );
        assert!(!run.stderr.contains(&bytes[..32]), "{}", run.stderr);
    }
    assert_eq!(items(&session), 2);
}

#[test]
fn a_locked_keyring_is_reported_in_time() {
    let mut session = Session::unlocked();
    let home = home(&session);
    session.lock();
    let started = Instant::now();
    let command = within(&session, &home, STATUS);
    refused(
        home.path(),
        command,
        77,
        &["the keychain is locked", "Unlock the keychain"],
    );
    assert!(
        started.elapsed() < DEADLINE + SLACK,
        "{:?}",
        started.elapsed()
    );
    // A first run there does not wait for somebody to unlock it, either.
    let new = Home::with_claude("sk-test-claude-1", 100);
    let (first, took) = timed(&session, &new, STATUS);
    let first = first.exits(0);
    assert!(took < DEADLINE + SLACK, "{took:?}");
    assert!(
        first.stderr.contains("key file") && first.stderr.contains("locked"),
        "{}",
        first.stderr
    );
}

#[test]
fn a_keyring_that_hangs_at_the_first_run() {
    let session = Session::unlocked();
    session.stop_answering();
    let home = Home::with_claude("sk-test-claude-1", 100);
    let (first, took) = timed(&session, &home, STATUS);
    let first = first.exits(0);
    assert!((DEADLINE..DEADLINE + SLACK).contains(&took), "{took:?}");
    assert_eq!(first.stderr.lines().count(), 2, "{}", first.stderr);
    for word in ["its key is in the key file", "did not answer within 3s"] {
        assert!(first.stderr.contains(word), "{word}: {}", first.stderr);
    }
    assert!(has_key_file(&home));
    // From then on the keyring is not asked.
    let (again, took) = timed(&session, &home, STATUS);
    assert_eq!(again.exits(0).stderr, "");
    assert!(took < SLACK, "{took:?}");
    // Told to use it and nothing else, nothing is made.
    let other = Home::new();
    let init = within(&session, &other, &["init", "--key", "keychain"]);
    let words = [
        "did not answer within 3s",
        "Nothing was created",
        "--key keyfile",
    ];
    let run = Run::from({ init }.output().unwrap()).exits(77);
    assert!(
        words.iter().all(|word| run.stderr.contains(word)),
        "{}",
        run.stderr
    );
    assert!(!other.at(VAULT).exists() && !has_key_file(&other));
    session.answer_again();
}

#[test]
fn a_keyring_that_hangs_later() {
    let session = Session::unlocked();
    let home = home(&session);
    session.stop_answering();
    let started = Instant::now();
    let command = within(&session, &home, STATUS);
    refused(
        home.path(),
        command,
        77,
        &["did not answer within 3s", "Unlock the keychain"],
    );
    let took = started.elapsed();
    assert!((DEADLINE..DEADLINE + SLACK).contains(&took), "{took:?}");
    assert!(!has_key_file(&home));
    // What needs no key does not ask for one.
    for args in [
        &["history"][..],
        &["history", "--json", "--kind", "sync"],
        &["audit", "head"],
        &["--help"],
        &["models", "status", "--help"],
        &["--version"],
    ] {
        let (answer, took) = timed(&session, &home, args);
        assert!(!answer.ok().is_empty(), "{args:?}");
        assert!(took < Duration::from_secs(2), "{args:?}: {took:?}");
    }
    session.answer_again();
    run(&session, &home, STATUS).ok();
}

/// A first run that fails after it kept its key takes the key back.
#[test]
fn no_item_is_left_of_a_vault_that_was_not_made() {
    let session = Session::unlocked();
    let home = Home::new();
    let line = "ulimit -f 8; trap '' XFSZ; exec \"$0\" init";
    let program = home.command(&[]).get_program().to_owned();
    let mut command = within(&session, &home, &[]);
    let environment: Vec<_> = command
        .get_envs()
        .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
        .collect();
    command = Command::new("sh");
    command
        .args(["-c", line])
        .arg(program)
        .env_clear()
        .envs(environment);
    let run = Run::from(command.current_dir(home.path()).output().unwrap()).exits(1);
    assert!(run.stderr.contains("vault.db"), "{}", run.stderr);
    assert!(!home.at(VAULT).exists());
    assert_eq!(items(&session), 0);
}

/// The passphrase slots that a test adds and renews.
fn with_phrase(home: &Home, mut command: Command, flag: &str, phrase: &str) -> Run {
    home.write("private/phrase", phrase);
    command.arg(flag).arg(home.at("private/phrase"));
    command.output().unwrap().into()
}

#[test]
fn a_key_in_the_keychain_is_added_to_a_vault_that_has_another() {
    let session = Session::unlocked();
    let home = Home::with_claude("sk-test-claude-1", 100);
    run(&session, &home, &["init", "--key", "keyfile"]).ok();
    run(&session, &home, &["key", "add", "keychain"]).ok();
    assert_eq!(items(&session), 1);
    for file in home.files().iter().filter(|file| file.ends_with(".key")) {
        fs::remove_file(home.at(file)).unwrap();
    }
    run(&session, &home, STATUS).ok();
    home.run(STATUS).exits(77);
    run(&session, &home, &["key", "remove", "1"]).ok();
    run(&session, &home, &["audit", "verify"]).ok();
}

#[test]
fn a_keychain_key_that_became_known_is_replaced_and_its_item_left() {
    let session = Session::unlocked();
    let home = home(&session);
    let old = account(&home);
    let before = Saved::of(&home);
    run(&session, &home, &["key", "rotate"]).ok();
    assert_eq!((account(&home), items(&session)), (old.clone(), 1));
    run(&session, &home, &["key", "rotate", "--compromised"]).ok();
    let new = account(&home);
    assert_ne!(new, old);
    assert_eq!(items(&session), 2);
    run(&session, &home, &["audit", "verify"]).ok();
    // The copy from before opens with the item that was left, and this one without it.
    let copy = Home::new();
    copy.write(VAULT, before.bytes());
    run(&session, &copy, STATUS).ok();
    call(&session, &format!("delete {old}"));
    run(&session, &copy, STATUS).exits(77);
    run(&session, &home, STATUS).ok();
    call(&session, &format!("delete {new}"));
    run(&session, &home, STATUS).exits(77);
}

/// The keychain is locked when it is to keep a new key, or the new passphrase is none: no item is
/// left of it.
#[test]
fn what_was_made_for_a_rotation_that_did_not_come_to_be_is_taken_back() {
    let mut session = Session::unlocked();
    let home = home(&session);
    let add = within(&session, &home, &["key", "add", "passphrase"]);
    with_phrase(
        &home,
        add,
        "--new-passphrase-file",
        "correct horse battery staple",
    )
    .ok();
    run(&session, &home, &["key", "recovery"]).ok();
    let null = fs::File::options().write(true).open("/dev/null").unwrap();
    let mut rotate = within(&session, &home, &["key", "rotate", "--compromised"]);
    rotate.stdout(null);
    with_phrase(
        &home,
        rotate,
        "--new-passphrase-file",
        "quite another horse",
    )
    .exits(1);
    assert_eq!(items(&session), 1);
    session.lock();
    let rotate = within(
        &session,
        &home,
        &["key", "rotate", "--compromised", "--passphrase-file"],
    );
    home.write("private/old", "correct horse battery staple");
    let mut rotate = rotate;
    rotate.arg(home.at("private/old"));
    with_phrase(
        &home,
        rotate,
        "--new-passphrase-file",
        "quite another horse",
    )
    .exits(77);
    let status = within(&session, &home, STATUS);
    with_phrase(
        &home,
        status,
        "--passphrase-file",
        "correct horse battery staple",
    )
    .ok();
    home.run(&["history"]).ok();
}

/// A session that has ended, or whose bus is another user's: no keychain to unlock, and nothing is
/// started to have one.
#[test]
fn a_bus_that_is_gone_or_anothers_is_no_locked_keychain() {
    let session = Session::unlocked();
    let home = home(&session);
    let on_bus = |address: &str| {
        let mut command = home.command(STATUS);
        command.env("DBUS_SESSION_BUS_ADDRESS", address);
        command
    };
    let gone = [
        "nothing answers at the address of the session bus",
        "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/",
        "clawkeep key add keyfile",
    ];
    let nobody_listens = home.at("bus");
    drop(UnixListener::bind(&nobody_listens).unwrap());
    let nobody_listens = format!("unix:path={}", nobody_listens.display());
    for address in ["unix:path=/nonexistent/bus", &nobody_listens, "no address"] {
        refused(home.path(), on_bus(address), 77, &gone);
    }
    // A bus lets nobody in but its own user: it refuses whoever says to be another one.
    let socket = home.at("others");
    let others = UnixListener::bind(&socket).unwrap();
    let bus = std::thread::spawn(move || {
        let (mut stream, _) = others.accept().unwrap();
        let mut asked = [0; 512];
        while stream.read(&mut asked).is_ok_and(|count| count > 0) {
            if stream.write_all(b"REJECTED EXTERNAL\r\n").is_err() {
                break;
            }
        }
    });
    let address = format!("unix:path={}", socket.display());
    refused(
        home.path(),
        on_bus(&address),
        77,
        &[
            "the session bus is another user's",
            "without sudo",
            "clawkeep key add keyfile",
        ],
    );
    bus.join().unwrap();
}

/// Where no keychain can be reached, `init` says where the key went, and why.
#[test]
fn without_a_bus_init_says_where_the_key_is() {
    let home = Home::without_gateway();
    let fake = home.at("bin/dbus-launch");
    home.write("bin/dbus-launch", "#!/bin/sh\n: > \"$HOME/launched\"\n");
    crate::support::damage::chmod(&fake, 0o755);
    let mut command = home.command(&["init"]);
    command
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", home.at("bin").display()),
        )
        .env("DISPLAY", ":0");
    let run = Run::from(command.output().unwrap()).exits(0);
    let said = "(the keychain cannot be used: no keychain can be reached: there is no session bus)";
    assert!(run.stderr.contains(said), "{run:?}");
    assert!(
        run.stdout.contains("\nKey: keyfile ~/.config/clawkeep/"),
        "{run:?}"
    );
    assert!(!home.at("launched").exists());
    let only = Home::without_gateway()
        .run(&["init", "--key", "keychain"])
        .exits(77);
    assert!(
        only.stderr.contains("clawkeep init --key keyfile"),
        "{only:?}"
    );
}
