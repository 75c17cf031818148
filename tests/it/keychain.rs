//! The system keychain against a real Secret Service, and against its absence.
//!
//! Each call is made by [`child`], in a process of its own: zbus takes the bus from the process's
//! environment, which cannot be changed in a running test without `unsafe`.

#![cfg(all(unix, not(target_os = "macos")))]

use std::fmt::Write as _;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clawkeep::internal::platform::keychain::{
    DEADLINE, Keychain, KeychainError, SessionBus, SystemKeychain,
};
use data_encoding::HEXLOWER;

use crate::support::secret_service::{Prompts, Session, wait_until};

/// For the tests that wait for a deadline to pass.
const SHORT: Duration = Duration::from_millis(500);

/// Noise of the machine beyond a deadline: spawning a thread and being scheduled.
const SLACK: Duration = Duration::from_secs(1);

const ACCOUNT: &str = "0f8fad5bd9cb469fa165708677289501/7c9e6679f4254de5";
const SECRET: &[u8; 32] = b"\x00\xffbinary\n32 bytes, not UTF-8\xc3\x28\x00!";
const OTHER: &[u8; 32] = &[7; 32];

/// What one call answered, as text, and how long it took.
struct Answer {
    text: String,
    took: Duration,
}

/// How one call is made.
#[derive(Clone, Copy)]
struct Call<'a> {
    session: &'a Session,
    deadline: Duration,
    bus: SessionBus,
}

impl<'a> Call<'a> {
    fn to(session: &'a Session) -> Self {
        Self {
            session,
            deadline: DEADLINE,
            bus: SessionBus::Present,
        }
    }

    fn within(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    fn get(self, account: &str) -> Answer {
        self.make(&["get", account])
    }

    fn set(self, account: &str, secret: &[u8]) -> Answer {
        self.make(&["set", account, &HEXLOWER.encode(secret)])
    }

    fn delete(self, account: &str) -> Answer {
        self.make(&["delete", account])
    }

    fn make(self, words: &[&str]) -> Answer {
        let (command, answer) = self.prepare(words);
        finish(command, &answer)
    }

    /// The child process of one call, and the file that its answer will be in.
    fn prepare(self, words: &[&str]) -> (Command, PathBuf) {
        let answer = self.session.dir().join("answer");
        let program = std::env::current_exe().unwrap();
        let mut command = self.session.command(program.to_str().unwrap());
        command
            .args(["--exact", "keychain::child", "--ignored", "--nocapture"])
            .env("CLAWKEEP_TEST_CALL", words.join(" "))
            .env(
                "CLAWKEEP_TEST_DEADLINE",
                self.deadline.as_millis().to_string(),
            )
            .env("CLAWKEEP_TEST_BUS", format!("{:?}", self.bus))
            .env("CLAWKEEP_TEST_ANSWER", &answer);
        (command, answer)
    }
}

fn finish(mut command: Command, answer: &Path) -> Answer {
    let output = command.output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    read_answer(answer)
}

fn read_answer(path: &Path) -> Answer {
    let text = fs::read_to_string(path).unwrap();
    fs::remove_file(path).unwrap();
    let (took, text) = text.split_once('\n').unwrap();
    Answer {
        text: text.to_owned(),
        took: Duration::from_micros(took.parse().unwrap()),
    }
}

/// The other side: makes the one call that its environment names.
#[test]
#[ignore = "the tests of this file run it, in the environment of a session"]
fn child() {
    let Ok(call) = std::env::var("CLAWKEEP_TEST_CALL") else {
        return;
    };
    let variable = |name: &str| std::env::var(name).unwrap();
    let deadline = Duration::from_millis(variable("CLAWKEEP_TEST_DEADLINE").parse().unwrap());
    let bus = match variable("CLAWKEEP_TEST_BUS").as_str() {
        "Absent" => SessionBus::Absent,
        _ => SessionBus::Present,
    };
    let keychain = SystemKeychain::new(deadline, bus);
    let started = Instant::now();
    let result = match *call.split(' ').collect::<Vec<_>>() {
        ["get", account] => keychain.get(account).map(|found| match found {
            Some(bytes) => HEXLOWER.encode(&bytes),
            None => "none".to_owned(),
        }),
        ["set", account, secret] => {
            let secret = HEXLOWER.decode(secret.as_bytes()).unwrap();
            keychain.set(account, &secret).map(|()| "done".to_owned())
        }
        ["delete", account] => keychain.delete(account).map(|()| "done".to_owned()),
        _ => panic!("not a call: {call}"),
    };
    let took = started.elapsed();
    let text = result.unwrap_or_else(|error| describe(&error));
    // Renamed into place, so that a reader who waits for it finds it whole.
    let answer = PathBuf::from(variable("CLAWKEEP_TEST_ANSWER"));
    let unfinished = answer.with_extension("part");
    fs::write(&unfinished, format!("{}\n{text}", took.as_micros())).unwrap();
    fs::rename(unfinished, answer).unwrap();
    if std::env::var_os("CLAWKEEP_TEST_LINGER").is_some() {
        wait_until("the thread left behind to end", || !a_call_is_under_way());
    }
}

/// Everything an error shows: its `Debug`, its message and its sources.
fn describe(error: &KeychainError) -> String {
    let mut text = format!("{error:?}\n{error}");
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        write!(text, ": {error} {error:?}").unwrap();
        source = error.source();
    }
    text
}

/// Whether this process has a thread that is in a keychain call.
fn a_call_is_under_way() -> bool {
    fs::read_dir("/proc/self/task").unwrap().any(|task| {
        let name = fs::read_to_string(task.unwrap().path().join("comm"));
        name.is_ok_and(|name| name.trim() == "keychain")
    })
}

#[track_caller]
fn assert_answer(answer: &Answer, start: &str) {
    assert!(
        answer.text.starts_with(start),
        "{start:?} expected, got {:?} after {:?}",
        answer.text,
        answer.took
    );
}

#[track_caller]
fn assert_shows_nothing_of(secret: &[u8], answer: &Answer) {
    let forms = [
        HEXLOWER.encode(secret),
        format!("{secret:?}").trim_matches(['[', ']']).to_owned(),
        String::from_utf8_lossy(&secret[2..28]).into_owned(),
    ];
    for form in forms {
        assert!(
            !answer.text.to_lowercase().contains(&form.to_lowercase()),
            "{form} in {}",
            answer.text
        );
    }
}

#[test]
fn what_was_set_is_read_by_another_process_until_deleted() {
    let session = Session::unlocked();
    let keychain = Call::to(&session);
    assert_answer(&keychain.get(ACCOUNT), "none");
    assert_answer(&keychain.set(ACCOUNT, SECRET), "done");
    assert_eq!(keychain.get(ACCOUNT).text, HEXLOWER.encode(SECRET));
    assert_answer(&keychain.delete(ACCOUNT), "done");
    assert_answer(&keychain.get(ACCOUNT), "none");
    assert_answer(&keychain.delete(ACCOUNT), "done");
}

#[test]
fn accounts_are_kept_apart() {
    let session = Session::unlocked();
    let keychain = Call::to(&session);
    let (one, two) = ("vault-a/key", "vault-b/key");
    assert_answer(&keychain.set(one, SECRET), "done");
    assert_answer(&keychain.get(two), "none");
    assert_answer(&keychain.set(two, OTHER), "done");
    assert_eq!(keychain.get(one).text, HEXLOWER.encode(SECRET));
    assert_answer(&keychain.delete(one), "done");
    assert_eq!(keychain.get(two).text, HEXLOWER.encode(OTHER));
}

#[test]
fn a_replaced_item_is_read_as_it_is_now() {
    let session = Session::unlocked();
    let keychain = Call::to(&session);
    assert_answer(&keychain.set(ACCOUNT, SECRET), "done");
    assert_answer(&keychain.set(ACCOUNT, b"short"), "done");
    assert_eq!(keychain.get(ACCOUNT).text, HEXLOWER.encode(b"short"));
}

#[test]
fn two_items_of_one_account_are_left_alone() {
    let session = Session::unlocked();
    let keychain = Call::to(&session);
    assert_answer(&keychain.set(ACCOUNT, SECRET), "done");
    session.store_rival(ACCOUNT);
    for answer in [
        keychain.get(ACCOUNT),
        keychain.set(ACCOUNT, OTHER),
        keychain.delete(ACCOUNT),
    ] {
        assert_answer(&answer, "Ambiguous { count: 2 }");
    }
}

#[test]
fn an_item_survives_a_restart_of_the_keyring() {
    let mut session = Session::unlocked();
    assert_answer(&Call::to(&session).set(ACCOUNT, SECRET), "done");
    session.restart();
    assert_eq!(
        Call::to(&session).get(ACCOUNT).text,
        HEXLOWER.encode(SECRET)
    );
}

#[test]
fn a_locked_keyring_is_an_error_in_time() {
    let mut session = Session::unlocked();
    assert_answer(&Call::to(&session).set(ACCOUNT, SECRET), "done");
    session.lock();
    let keychain = Call::to(&session);
    for answer in [
        keychain.get(ACCOUNT),
        keychain.set(ACCOUNT, OTHER),
        keychain.set("new/account", OTHER),
    ] {
        assert_answer(&answer, "Locked");
        assert!(answer.took < DEADLINE, "{:?}", answer.took);
        assert_shows_nothing_of(OTHER, &answer);
    }
}

#[test]
fn a_prompt_that_stays_open_ends_at_the_deadline() {
    let mut session = Session::unlocked_with_prompts_that_stay_open();
    assert_answer(&Call::to(&session).set(ACCOUNT, SECRET), "done");
    session.lock();
    let answer = Call::to(&session).within(SHORT).get(ACCOUNT);
    assert_answer(&answer, "NoAnswer { after: 500ms }");
    assert!(
        (SHORT..SHORT + SLACK).contains(&answer.took),
        "{:?}",
        answer.took
    );
}

#[test]
fn a_keyring_without_a_collection_has_no_item_and_takes_none() {
    let session = Session::without_collection();
    let keychain = Call::to(&session);
    assert_answer(&keychain.get(ACCOUNT), "none");
    assert_answer(&keychain.set(ACCOUNT, SECRET), "Locked");
}

#[test]
fn a_collection_in_memory_is_refused_and_nothing_stays_in_it() {
    let session = Session::unlocked();
    session.make_default_volatile();
    let keychain = Call::to(&session);
    let answer = keychain.set(ACCOUNT, SECRET);
    assert_answer(&answer, "NotPersistent");
    assert_shows_nothing_of(SECRET, &answer);
    assert_answer(&keychain.get(ACCOUNT), "none");
}

#[test]
fn a_keyring_that_never_answers_ends_at_the_deadline() {
    let session = Session::unlocked();
    session.stop_answering();
    let keychain = Call::to(&session).within(SHORT);
    for answer in [
        keychain.get(ACCOUNT),
        keychain.set(ACCOUNT, SECRET),
        keychain.delete(ACCOUNT),
    ] {
        assert_answer(&answer, "NoAnswer { after: 500ms }");
        assert!(
            (SHORT..SHORT + SLACK).contains(&answer.took),
            "{:?}",
            answer.took
        );
        assert_shows_nothing_of(SECRET, &answer);
    }
}

#[test]
fn the_default_deadline_is_three_seconds() {
    let session = Session::unlocked();
    session.stop_answering();
    let answer = Call::to(&session).get(ACCOUNT);
    assert_answer(&answer, "NoAnswer { after: 3s }");
    assert!(
        (DEADLINE..DEADLINE + SLACK).contains(&answer.took),
        "{:?}",
        answer.took
    );
}

#[test]
fn a_write_that_succeeds_too_late_is_taken_back() {
    let session = Session::unlocked();
    session.stop_answering();
    let call = Call::to(&session).within(SHORT);
    let (mut command, answer) = call.prepare(&["set", ACCOUNT, &HEXLOWER.encode(SECRET)]);
    let mut child: Child = command
        .env("CLAWKEEP_TEST_LINGER", "1")
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_until("the call to give up", || answer.exists());
    assert_answer(&read_answer(&answer), "NoAnswer");
    session.answer_again();
    assert!(child.wait().unwrap().success());
    assert_answer(&Call::to(&session).get(ACCOUNT), "none");
}

#[test]
fn a_bus_that_never_answers_ends_at_the_deadline() {
    let session = Session::without_keyring(Prompts::CannotBeShown);
    // Connections wait in its backlog for an accept that never comes.
    let path = session.dir().join("silent");
    let _silent = UnixListener::bind(&path).unwrap();
    let (mut command, answer) = Call::to(&session).within(SHORT).prepare(&["get", ACCOUNT]);
    command.env(
        "DBUS_SESSION_BUS_ADDRESS",
        format!("unix:path={}", path.display()),
    );
    let answer = finish(command, &answer);
    assert_answer(&answer, "NoAnswer { after: 500ms }");
    assert!(
        (SHORT..SHORT + SLACK).contains(&answer.took),
        "{:?}",
        answer.took
    );
}

#[test]
fn a_bus_without_a_secret_service_cannot_be_reached() {
    let session = Session::without_keyring(Prompts::CannotBeShown);
    let answer = Call::to(&session).get(ACCOUNT);
    assert_answer(&answer, "Unreachable");
    assert!(answer.took < SLACK, "{:?}", answer.took);
}

#[test]
fn an_address_without_a_bus_cannot_be_reached() {
    let session = Session::without_keyring(Prompts::CannotBeShown);
    for address in ["unix:path=/nonexistent/bus", "no address", ""] {
        let (mut command, answer) = Call::to(&session).prepare(&["get", ACCOUNT]);
        command.env("DBUS_SESSION_BUS_ADDRESS", address);
        let answer = finish(command, &answer);
        assert_answer(&answer, "Unreachable");
        assert!(answer.took < SLACK, "{:?}", answer.took);
    }
}

#[test]
fn without_a_session_bus_nothing_is_asked() {
    // One that would answer is there, so that an answer would show that it was asked.
    let session = Session::unlocked();
    let call = Call {
        bus: SessionBus::Absent,
        ..Call::to(&session)
    };
    for answer in [
        call.get(ACCOUNT),
        call.set(ACCOUNT, SECRET),
        call.delete(ACCOUNT),
    ] {
        assert_answer(&answer, "Unreachable");
        assert!(
            answer.took < Duration::from_millis(100),
            "{:?}",
            answer.took
        );
    }
    assert_answer(&Call::to(&session).get(ACCOUNT), "none");
}
