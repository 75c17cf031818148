//! What opens a vault: every kind of slot, which is tried when, and what is said where none opens.

use std::fs;
#[cfg(unix)]
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::damage::{alter, chmod, key_file, refused};
use crate::support::home::{Home, Run, STORE, VAULT, start_with_input};
#[cfg(unix)]
use crate::support::terminal::Terminal;

pub(crate) const PHRASE: &str = "correct horse battery staple";
pub(crate) const OTHER: &str = "quite another horse altogether";
pub(crate) const PHRASE_FILE: &str = "private/phrase";
const STATUS: &[&str] = &["models", "status"];
const PROMPT: &str = "Passphrase or recovery code of the vault";

/// A home whose vault has one key, in a file.
pub(crate) fn home() -> Home {
    let home = Home::with_claude("sk-test-claude-1", 100);
    home.run(&["sync"]).ok();
    home
}

/// Adds a passphrase.
pub(crate) fn with_phrase(home: &Home) {
    home.write(PHRASE_FILE, PHRASE);
    let path = home.at(PHRASE_FILE);
    let args = ["key", "add", "passphrase", "--new-passphrase-file"];
    let mut command = home.command(&args);
    command.arg(path);
    Run::from(command.output().unwrap()).ok();
}

/// The code in what a command printed.
pub(crate) fn code_in(answer: &str) -> String {
    let lines = answer.lines().filter(|line| line.starts_with("  "));
    let lines: Vec<&str> = lines.map(str::trim).collect();
    let code = lines.join("-");
    assert_eq!(code.split('-').count(), 13, "{answer}");
    code
}

/// Adds a recovery code: the code.
pub(crate) fn with_code(home: &Home) -> String {
    code_in(&home.run(&["key", "recovery"]).ok())
}

/// Takes the key file away.
pub(crate) fn hide_key_file(home: &Home) -> PathBuf {
    let path = key_file(home);
    let hidden = path.with_extension("hidden");
    fs::rename(path, &hidden).unwrap();
    hidden
}

pub(crate) fn slots(home: &Home) -> Vec<Value> {
    let status = home.run(&["key", "status", "--json"]).json();
    status["slots"].as_array().unwrap().clone()
}

pub(crate) fn with_file(home: &Home, file: &str, args: &[&str]) -> Run {
    let mut command = home.command(args);
    command.arg("--passphrase-file").arg(home.at(file));
    command.output().unwrap().into()
}

fn events_of(home: &Home, kind: &str) -> usize {
    home.count_of(kind)
}

#[test]
fn every_kind_of_slot_opens_the_vault_alone() {
    let home = home();
    with_phrase(&home);
    let code = with_code(&home);
    let chosen = home.at("usb/chosen.key");
    let mut add = home.command(&["key", "add", "keyfile"]);
    add.env("CLAWKEEP_KEY_FILE", &chosen);
    // Named, and not there: the vault opens with its own, and the new one is made where it was
    // named.
    Run::from(add.output().unwrap()).ok();
    let kinds: Vec<String> = slots(&home)
        .iter()
        .map(|slot| slot["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["keyfile", "passphrase", "recovery", "keyfile"]);
    assert_eq!(events_of(&home, "key.added"), 3);
    hide_key_file(&home);
    home.write("private/code", &code);
    let hidden = home.at("usb/hidden.key");
    for file in [PHRASE_FILE, "private/code"] {
        fs::rename(&chosen, &hidden).unwrap();
        with_file(&home, file, &["audit", "verify"]).ok();
        fs::rename(&hidden, &chosen).unwrap();
    }
    let mut verify = home.command(&["audit", "verify"]);
    verify.env("CLAWKEEP_KEY_FILE", &chosen);
    Run::from(verify.output().unwrap()).ok();
    for secret in [PHRASE, code.as_str()] {
        let files = home.files_with(secret);
        let kept = files.iter().all(|file| file.starts_with("private/"));
        assert!(kept, "{files:?}");
    }
}

#[test]
fn a_code_is_read_however_it_is_typed_and_a_mistake_is_named_and_not_quoted() {
    let home = home();
    let code = with_code(&home);
    hide_key_file(&home);
    for typed in [
        code.to_lowercase(),
        code.replace('-', ""),
        code.replace('-', " "),
        format!("\u{feff}{code}\r\n"),
    ] {
        home.write("private/code", typed);
        with_file(&home, "private/code", &["audit", "verify"]).ok();
    }
    let groups: Vec<&str> = code.split('-').collect();
    let first = if groups[6].starts_with('7') { "8" } else { "7" };
    let typo = groups[6].replacen(&groups[6][..1], first, 1);
    let mut mistyped = groups.clone();
    mistyped[6] = &typo;
    let mut missing = groups.clone();
    missing.remove(4);
    for (typed, word) in [
        (mistyped.join("-"), "group 7 of the recovery code"),
        (mistyped.concat(), "group 7 of the recovery code"),
        (missing.join("-"), "check group 5"),
        (groups[..7].join("-"), "13 groups of 5 characters"),
    ] {
        home.write("private/code", &typed);
        let mut command = home.command(&["audit", "verify", "--passphrase-file"]);
        command.arg(home.at("private/code"));
        let run = refused(home.path(), command, 77, &[word]);
        for group in typed.split('-').chain(groups.iter().copied()) {
            assert!(!run.stderr.contains(group), "{run:?}");
        }
    }
}

#[cfg(unix)]
#[test]
fn nobody_is_asked_while_a_key_file_is_there() {
    let home = home();
    with_phrase(&home);
    let (status, shown) = Terminal::start(home.command(STATUS)).end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(PROMPT), "{shown}");
    // Nor read from where one lies all the time.
    let mut command = home.command(STATUS);
    command.env("CLAWKEEP_PASSPHRASE_FILE", home.at("not/there"));
    Run::from(command.output().unwrap()).ok();
}

#[cfg(unix)]
#[test]
fn a_person_is_asked_three_times() {
    let home = home();
    with_phrase(&home);
    hide_key_file(&home);
    let mut terminal = Terminal::start(home.command(STATUS));
    terminal.answer_hidden(PROMPT, PHRASE);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(shown.matches(PROMPT).count(), 1, "{shown}");

    let mut terminal = Terminal::start(home.command(STATUS));
    terminal.answer_hidden(PROMPT, OTHER);
    terminal.wait_for("does not open it");
    terminal.answer_hidden(PROMPT, PHRASE);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");

    let mut terminal = Terminal::start(home.command(STATUS));
    for _ in 0..3 {
        terminal.answer_hidden(PROMPT, OTHER);
    }
    let (status, shown) = terminal.end();
    assert_eq!(status, 77, "{shown}");
    assert_eq!(shown.matches(PROMPT).count(), 3, "{shown}");
    assert!(shown.contains("opens no key slot"), "{shown}");
    assert!(!shown.contains(OTHER) && !shown.contains(PHRASE), "{shown}");
}

#[cfg(unix)]
#[test]
fn a_new_passphrase_is_asked_for_twice_and_too_short_a_one_not_taken() {
    let home = home();
    let mut terminal = Terminal::start(home.command(&["key", "add", "passphrase"]));
    terminal.answer_hidden("New passphrase", "too short");
    terminal.answer_hidden("12 characters or more", PHRASE);
    terminal.answer_hidden("Once more, to be sure", OTHER);
    terminal.answer_hidden("The two differ", PHRASE);
    terminal.answer_hidden("Once more, to be sure", PHRASE);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(PHRASE), "{shown}");
    hide_key_file(&home);
    home.write(PHRASE_FILE, PHRASE);
    with_file(&home, PHRASE_FILE, STATUS).ok();
}

/// Named for the very command, it alone decides: a key file beside does not make up for a wrong
/// one.
#[test]
fn what_is_named_alone_decides() {
    let home = home();
    with_phrase(&home);
    home.write("private/wrong", OTHER);
    with_file(&home, "private/wrong", STATUS).exits(77);
    with_file(&home, PHRASE_FILE, STATUS).ok();
    let run = with_file(&home, "private/none", STATUS).exits(77);
    assert!(
        run.stderr.replace('\\', "/").contains("private/none"),
        "{run:?}"
    );
    home.write("private/empty", "\n");
    with_file(&home, "private/empty", STATUS).exits(77);
    home.write("private/binary", b"\xff\xfe\x00secret");
    with_file(&home, "private/binary", STATUS).exits(77);
    // No slot takes one.
    let other = self::home();
    other.write(PHRASE_FILE, PHRASE);
    let run = with_file(&other, PHRASE_FILE, STATUS).exits(77);
    assert!(run.stderr.contains("key add passphrase"), "{run:?}");
}

#[cfg(unix)]
#[test]
fn a_passphrase_comes_from_stdin_a_pipe_a_descriptor_the_environment_or_the_service_manager() {
    let home = home();
    with_phrase(&home);
    hide_key_file(&home);
    home.run_with_input(&["models", "status", "--passphrase-file", "-"], PHRASE)
        .ok();
    home.run_with_input(&["models", "status", "--passphrase-fd", "0"], PHRASE)
        .ok();
    let shell = |script: &str| {
        let mut command = home.command(&[]);
        let program = command.get_program().to_owned();
        command = Command::new("sh");
        command
            .args(["-c", script])
            .arg(program)
            .arg(home.at(PHRASE_FILE))
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        Run::from(command.output().unwrap())
    };
    shell("cat \"$1\" | \"$0\" models status --passphrase-fd 3 3<&0 </dev/null").ok();
    for named in ["/dev/fd/3", "/proc/self/fd/3"] {
        shell(&format!(
            "cat \"$1\" | \"$0\" models status --passphrase-file {named} 3<&0 </dev/null"
        ))
        .ok();
        shell(&format!(
            "cat \"$1\" | CLAWKEEP_PASSPHRASE_FILE={named} \"$0\" models status 3<&0 </dev/null"
        ))
        .ok();
    }
    shell("cat \"$1\" | \"$0\" models status --passphrase-file /dev/stdin").ok();
    shell("bash -c '\"$0\" models status --passphrase-file <(cat \"$1\")' \"$0\" \"$1\"").ok();
    shell("\"$0\" models status --passphrase-fd 9").exits(77);
    let mut command = home.command(STATUS);
    command.env("CLAWKEEP_PASSPHRASE_FILE", home.at(PHRASE_FILE));
    Run::from(command.output().unwrap()).ok();
    home.write("credentials/clawkeep.passphrase", PHRASE);
    chmod(&home.at("credentials/clawkeep.passphrase"), 0o400);
    let mut command = home.command(STATUS);
    command.env("CREDENTIALS_DIRECTORY", home.at("credentials"));
    Run::from(command.output().unwrap()).ok();
    home.run(&[
        "models",
        "status",
        "--passphrase-fd",
        "0",
        "--passphrase-file",
        "x",
    ])
    .exits(64);
}

#[cfg(unix)]
#[test]
fn a_passphrase_file_that_others_can_read_is_refused_with_its_chmod() {
    let home = home();
    with_phrase(&home);
    let path = home.at(PHRASE_FILE);
    std::os::unix::fs::symlink(&path, home.at("link")).unwrap();
    for name in [PHRASE_FILE, "link"] {
        chmod(&path, 0o600);
        with_file(&home, name, STATUS).ok();
        chmod(&path, 0o644);
        let mut command = home.command(&["models", "status", "--passphrase-file"]);
        command.arg(home.at(name));
        let run = refused(home.path(), command, 77, &["chmod go-rwx"]);
        assert!(!run.stderr.contains(PHRASE), "{run:?}");
    }
}

#[test]
fn nobody_to_ask_is_reported_as_such() {
    let home = home();
    with_phrase(&home);
    let hidden = hide_key_file(&home);
    let words = ["nobody to ask", "--passphrase-file"];
    refused(home.path(), home.command(STATUS), 77, &words);
    // A key file that was cut short is no key file, and is named.
    let bytes = fs::read(&hidden).unwrap();
    let cut = hidden.with_extension("key");
    fs::write(&cut, &bytes[..bytes.len() - 9]).unwrap();
    chmod(&cut, 0o600);
    refused(home.path(), home.command(STATUS), 77, &["whole key file"]);
    with_file(&home, PHRASE_FILE, STATUS).ok();
}

#[test]
fn a_slot_goes_unless_it_is_the_last_or_the_one_in_use() {
    let home = home();
    let run = home.run(&["key", "remove", "1"]).exits(1);
    assert!(run.stderr.contains("last one"), "{run:?}");
    let run = home.run(&["key", "remove", "7"]).exits(1);
    assert!(run.stderr.contains("no key slot 7"), "{run:?}");
    with_phrase(&home);
    let run = home.run(&["key", "remove", "1"]).exits(64);
    assert!(run.stderr.contains("--yes"), "{run:?}");
    assert_eq!(slots(&home).len(), 2);
    home.run(&["key", "remove", "1", "--yes"]).ok();
    assert_eq!(events_of(&home, "key.removed"), 1);
    home.run(STATUS).exits(77);
    with_file(&home, PHRASE_FILE, STATUS).ok();
    with_file(&home, PHRASE_FILE, &["key", "remove", "2", "--yes"]).exits(1);
    with_file(&home, PHRASE_FILE, &["audit", "verify"]).ok();
}

#[test]
fn sixteen_slots_and_no_more() {
    let home = home();
    for _ in 1..16 {
        with_code(&home);
    }
    let run = home.run(&["key", "recovery"]).exits(1);
    assert!(run.stderr.contains("16 key slots"), "{run:?}");
    assert_eq!(run.stdout, "");
    assert_eq!(slots(&home).len(), 16);
    home.run(&["key", "remove", "9"]).ok();
    with_code(&home);
    assert_eq!(slots(&home)[8]["slot"], 9);
    home.run(&["key", "rotate"]).ok();
    home.assert_sound();
}

#[cfg(unix)]
#[test]
fn a_code_that_nobody_sees_gets_no_slot() {
    let home = home();
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let null = fs::File::options().write(true).open("/dev/null").unwrap();
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    let outs: [Stdio; 3] = [full.into(), null.into(), closed.into()];
    for (out, added) in outs.into_iter().zip(1..) {
        let mut command = home.command(&["key", "recovery"]);
        let output = command.stdout(out).stderr(Stdio::piped()).output().unwrap();
        let run = Run::from(output).exits(1);
        assert!(run.stderr.contains("could not be shown"), "{run:?}");
        assert_eq!(slots(&home).len(), 1);
        assert_eq!(events_of(&home, "key.removed"), added);
    }
    let mut closed = Command::new("sh");
    closed
        .args(["-c", "exec \"$0\" key recovery >&-"])
        .arg(env!("CARGO_BIN_EXE_clawkeep"))
        .env_clear()
        .env("HOME", home.path())
        .stdin(Stdio::null());
    Run::from(closed.output().unwrap()).exits(1);
    assert_eq!(slots(&home).len(), 1);
    home.assert_sound();
    // Nor is anything replaced by one.
    with_code(&home);
    let before = slots(&home);
    let null = fs::File::options().write(true).open("/dev/null").unwrap();
    let mut rotate = home.command(&["key", "rotate", "--compromised"]);
    let output = rotate.stdout(null).stderr(Stdio::piped()).output().unwrap();
    Run::from(output).exits(1);
    assert_eq!(slots(&home), before);
    let left = home.files().into_iter().find(|file| file.contains(".key."));
    assert_eq!(left, None, "a new key file that opens nothing");
    home.run(STATUS).ok();
}

/// The command has the secret in a pipe; nothing of it is in what others see of the process.
#[cfg(unix)]
#[test]
fn a_passphrase_is_in_no_argument_and_no_environment() {
    let home = home();
    with_phrase(&home);
    let (reader, writer) = std::io::pipe().unwrap();
    let mut command = home.command(&["exec", "--provider", "anthropic", "--passphrase-fd", "0"]);
    command
        .args([
            "--",
            "cat",
            "/proc/self/cmdline",
            "/proc/self/environ",
            "/proc/self/limits",
        ])
        .stdin(Stdio::from(reader))
        .stdout(Stdio::piped());
    let child = command.spawn().unwrap();
    drop(command);
    rustix::io::write(writer.as_fd(), PHRASE.as_bytes()).unwrap();
    drop(writer);
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!said.contains(PHRASE), "{said}");
    assert!(said.contains("Max core file size        0"), "{said}");
}

#[test]
fn hostile_slots_cost_nothing_and_open_nothing() {
    let home = home();
    with_phrase(&home);
    let saved = fs::read(home.at(VAULT)).unwrap();
    let hidden = hide_key_file(&home);
    let phrase = |word: &str| {
        let mut command = home.command(&["models", "status", "--passphrase-file"]);
        command.arg(home.at(PHRASE_FILE));
        refused(home.path(), command, 77, &[word]);
    };
    let salt = "AAECAwQFBgcICQoLDA0ODw";
    for kdf in [
        format!("'$argon2id$v=19$m=4194304,t=3,p=4${salt}'"),
        format!("'$argon2id$v=19$m=65536,t=4000000000,p=4${salt}'"),
        format!("'$argon2id$v=19$m=8,t=1,p=1${salt}'"),
        "NULL".to_owned(),
        "hex(zeroblob(100000))".to_owned(),
    ] {
        home.write(VAULT, &saved);
        let set = format!("UPDATE key_slots SET kdf = {kdf} WHERE slot = 2");
        alter(&home, |conn| conn.execute(&set, []).unwrap());
        phrase("outside the accepted bounds");
    }
    // In bounds, and not what it was sealed with.
    home.write(VAULT, &saved);
    let set = format!("UPDATE key_slots SET kdf = '$argon2id$v=19$m=65536,t=3,p=1${salt}'");
    alter(&home, |conn| conn.execute(&set, []).unwrap());
    phrase("opens no key slot");
    fs::rename(&hidden, hidden.with_extension("key")).unwrap();
    for set in [
        "UPDATE key_slots SET kdf = '$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw' WHERE \
         slot = 1",
        "UPDATE key_slots SET slot = 3 WHERE slot = 1",
        "UPDATE key_slots SET wrapped = (SELECT slot_key FROM key_slots WHERE slot = 1) WHERE \
         slot = 1",
        "UPDATE key_slots SET wrapped = (SELECT wrapped FROM key_slots WHERE slot = 2) WHERE slot \
         = 1",
        "UPDATE key_slots SET wrapped = x'' WHERE slot = 1",
        "UPDATE identity SET epoch = 2",
    ] {
        home.write(VAULT, &saved);
        alter(&home, |conn| conn.execute(set, []).unwrap());
        refused(
            home.path(),
            home.command(STATUS),
            77,
            &["does not open with its key"],
        );
    }
    for refused in [
        "UPDATE key_slots SET key_id = (SELECT key_id FROM key_slots WHERE slot = 1) WHERE slot = \
         2",
        "UPDATE key_slots SET slot = 17 WHERE slot = 2",
        "UPDATE key_slots SET kind = 'none' WHERE slot = 2",
    ] {
        alter(&home, |conn| conn.execute(refused, []).unwrap_err());
    }
    // Kinds swapped: the key file's is looked for where it is not.
    home.write(VAULT, &saved);
    alter(&home, |conn| {
        let swap =
            "UPDATE key_slots SET kind = CASE slot WHEN 1 THEN 'passphrase' ELSE 'keyfile' END";
        conn.execute(swap, []).unwrap()
    });
    refused(
        home.path(),
        home.command(STATUS),
        77,
        &["is not this vault's"],
    );
    home.write(VAULT, &saved);
    home.run(&["audit", "verify"]).ok();
    assert!(home.at(STORE).exists());
}

#[test]
fn init_with_a_passphrase_alone() {
    let home = Home::with_claude("sk-test-claude-1", 100);
    let child = start_with_input(home.command(&["init", "--key", "passphrase"]), "short");
    let run = Run::from(child.wait_with_output().unwrap()).exits(64);
    assert!(run.stderr.contains("12 characters"), "{run:?}");
    assert!(!home.at(VAULT).exists());
    home.run_with_input(&["init", "--key", "passphrase"], PHRASE)
        .ok();
    home.run_with_input(&["sync", "--passphrase-file", "-"], PHRASE)
        .ok();
    let again = home.run_with_input(&["init", "--key", "passphrase"], PHRASE);
    assert!(again.exits(1).stderr.contains("already"));
    home.run_with_input(&["sync", "--passphrase-file", "-"], OTHER)
        .exits(77);
    let key_files = home
        .files()
        .into_iter()
        .filter(|file| file.ends_with(".key"));
    assert_eq!(key_files.count(), 0);
    assert!(home.files_with(PHRASE).is_empty());
    home.run(&["key", "status"]).ok();
    home.run(&["history"]).ok();
}

#[test]
fn a_key_file_that_is_there_is_not_overwritten_and_a_partial_one_is_reported() {
    let home = home();
    let before = files(&home);
    let refused = home.run(&["key", "add", "keyfile"]).exits(1);
    assert!(refused.stderr.contains("already"), "{refused:?}");
    assert_eq!(files(&home), before);
    with_phrase(&home);
    hide_key_file(&home);
    let removed = with_file(&home, PHRASE_FILE, &["key", "remove", "1"]).exits(0);
    assert!(removed.stderr.contains("is not here"), "{removed:?}");
}

/// The key files and what is in them.
fn files(home: &Home) -> Vec<(String, String)> {
    let keys = home.files().into_iter();
    keys.filter(|file| file.ends_with(".key"))
        .map(|file| (file.clone(), home.read(&file)))
        .collect()
}

/// What the passphrase came from is not the program's to read, though what else it was started with
/// is.
#[cfg(unix)]
#[test]
fn a_program_does_not_get_the_descriptor_of_the_passphrase() {
    let home = home();
    with_phrase(&home);
    home.write("other", "something else");
    let shell = |script: &str| {
        let mut command = Command::new("sh");
        command
            .args(["-c", script])
            .arg(env!("CARGO_BIN_EXE_clawkeep"))
            .arg(home.at(PHRASE_FILE))
            .arg(home.at("other"))
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", "/usr/bin:/bin")
            .stdin(Stdio::null());
        Run::from(command.output().unwrap()).ok()
    };
    let list = "sh -c 'for n in 3 4 5 6 7; do [ -e /proc/self/fd/$n ] && echo $n; done; cat <&6'";
    let run = "\"$0\" exec --provider anthropic";
    let said = shell(&format!(
        "exec 5<\"$1\" 6<\"$2\" 7<&5; {run} --passphrase-fd 5 -- {list}"
    ));
    assert_eq!(said, "6\nsomething else");
    for stdin in ["--passphrase-file -", "--passphrase-fd 0"] {
        let said = shell(&format!("{run} {stdin} -- cat <\"$1\""));
        assert_eq!(said, "", "{stdin}");
    }
}

/// What is wrapped in a slot, as it stands in the file.
fn wrapped(home: &Home, slot: i64) -> Vec<Vec<u8>> {
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    conn.query_row(
        "SELECT wrapped, slot_key, check_value FROM key_slots WHERE slot = ?1",
        [slot],
        |row| Ok(vec![row.get(0)?, row.get(1)?, row.get(2)?]),
    )
    .unwrap()
}

/// Which of these parts the vault's files still have, also where they are free.
fn left_of(home: &Home, parts: &[Vec<u8>]) -> Vec<String> {
    let files = home.files().into_iter();
    let has = |file: &String| {
        let bytes = fs::read(home.at(file)).unwrap();
        parts
            .iter()
            .any(|part| bytes.windows(part.len()).any(|window| window == part))
    };
    files
        .filter(|file| [VAULT, &format!("{VAULT}-wal")].contains(&file.as_str()) && has(file))
        .collect()
}

/// A copy of the vault's file alone, with its key file taken away: whether the passphrase opens it.
fn is_opened_alone(home: &Home) -> bool {
    let copy = Home::new();
    fs::copy(home.at(VAULT), copy.at(VAULT)).unwrap();
    chmod(&copy.at(VAULT), 0o600);
    chmod(&copy.at(".clawdbot"), 0o700);
    copy.write(PHRASE_FILE, PHRASE);
    with_file(&copy, PHRASE_FILE, &["audit", "verify"]).status == 0
}

#[test]
fn a_removed_key_opens_no_copy_of_the_file_alone() {
    let home = home();
    with_phrase(&home);
    assert!(is_opened_alone(&home));
    let parts = wrapped(&home, 2);
    assert_eq!(left_of(&home, &parts), [VAULT], "it can be found");
    let watch = crate::support::watch::Watch::start(&home, &[]);
    let removed = home.run(&["key", "remove", "2"]);
    assert!(!removed.stderr.contains("Warning"), "{}", removed.stderr);
    removed.ok();
    assert!(!is_opened_alone(&home));
    assert_eq!(left_of(&home, &parts), [] as [String; 0]);
    // The same after every other change.
    with_phrase(&home);
    assert!(is_opened_alone(&home), "added");
    let parts = wrapped(&home, 2);
    home.run(&["key", "rotate"]).ok();
    assert_eq!(left_of(&home, &parts[..2]), [] as [String; 0], "rotated");
    assert!(is_opened_alone(&home));
    watch.end();
    home.assert_sound();
}

/// A recovery code, a restore and a renewal of everything, beside a watcher.
#[test]
fn every_change_of_keys_reaches_the_file_itself() {
    let home = home();
    home.run(&["backup", "create", "copy.db"]).ok();
    let watch = crate::support::watch::Watch::start(&home, &[]);
    with_code(&home);
    let of_code = wrapped(&home, 2);
    assert!(left_of(&home, &of_code).contains(&VAULT.to_owned()));
    let of_file = wrapped(&home, 1);
    home.run(&["backup", "restore", "copy.db"]).ok();
    for before in [&of_code[..2], &of_file[..2]] {
        assert_eq!(left_of(&home, before), [] as [String; 0], "restored");
    }
    let of_file = wrapped(&home, 1);
    home.run(&["key", "rotate", "--compromised"]).ok();
    assert_eq!(left_of(&home, &of_file), [] as [String; 0], "renewed");
    watch.end();
    home.assert_sound();
}

/// Somebody reads for so long that the log cannot be written back: what remains is said, and how it
/// goes.
#[test]
fn a_log_that_cannot_be_written_back_is_reported() {
    let home = home();
    with_phrase(&home);
    let parts = wrapped(&home, 2);
    let reader = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let _: i64 = reader
        .query_row("SELECT count(*) FROM key_slots", [], |row| row.get(0))
        .unwrap();
    let removed = home.run(&["key", "remove", "2"]).exits(0);
    assert!(
        removed
            .stderr
            .contains("a copy of ~/.clawdbot/vault.db alone still opens"),
        "{}",
        removed.stderr
    );
    assert!(is_opened_alone(&home));
    drop(reader);
    home.run(&["key", "status"]).ok();
    assert!(!is_opened_alone(&home));
    assert_eq!(left_of(&home, &parts), [] as [String; 0]);
}

/// Slots that somebody planted cost a wrong passphrase no more than one slot may: the cheapest are
/// tried, and the others named.
#[test]
fn planted_slots_do_not_make_a_passphrase_take_minutes() {
    let home = home();
    with_phrase(&home);
    hide_key_file(&home);
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    for slot in 3..=16_i64 {
        let mut salt = [7_u8; 16];
        salt[0] = u8::try_from(slot).unwrap();
        let salt = data_encoding::BASE64_NOPAD.encode(&salt);
        let kdf = format!("$argon2id$v=19$m=1048576,t=16,p=4${salt}");
        let id: [u8; 8] = slot.to_be_bytes();
        conn.execute(
            "INSERT INTO key_slots SELECT ?1, kind, ?2, check_value, ?3, created_at, wrapped, \
             slot_key FROM key_slots WHERE slot = 2",
            rusqlite::params![slot, id, kdf],
        )
        .unwrap();
    }
    drop(conn);
    // The right one is found, since it is the cheapest.
    with_file(&home, PHRASE_FILE, &["models", "status"]).ok();
    home.write("private/wrong", OTHER);
    let began = std::time::Instant::now();
    let run = with_file(&home, "private/wrong", STATUS).exits(77);
    let took = began.elapsed();
    assert!(took < std::time::Duration::from_secs(30), "{took:?}");
    let said = "14 were not tried, since deriving their keys would take too long: 3, 4,";
    assert!(run.stderr.contains(said), "{}", run.stderr);
    assert!(
        run.stderr.contains("clawkeep key remove 16"),
        "{}",
        run.stderr
    );
}
