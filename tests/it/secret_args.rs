//! A secret that was given as an argument: refused, not repeated, stored nowhere.

use std::fs;
use std::path::Path;

use crate::support::home::{Home, Run, TRUE};

const SECRET: &str = "sk-proj-abcdefghij0123456789";
/// As random as a key, and like none that is known.
const RANDOM: &str = "Zx81qLw0PfTn33vBs9Kd";
const WORDS: &str = "correct horse battery staple";

/// Runs a command that is refused: its message has three lines or fewer, without the secret, which
/// is in no file either.
#[track_caller]
fn refused(home: &Home, args: &[&str], status: i32) -> Vec<String> {
    let run = home.run(args).exits(status);
    assert_eq!(run.stdout, "", "{args:?}");
    for secret in [SECRET, RANDOM, WORDS] {
        assert!(!run.stderr.contains(secret), "{args:?}: {}", run.stderr);
        assert!(!is_in_a_file(home.path(), secret), "{args:?}");
    }
    let lines = run.stderr.lines().filter(|line| !line.starts_with("Note:"));
    lines.map(ToOwned::to_owned).collect()
}

fn is_in_a_file(dir: &Path, secret: &str) -> bool {
    fs::read_dir(dir).unwrap().any(|entry| {
        let path = entry.unwrap().path();
        if path.is_dir() {
            return is_in_a_file(&path, secret);
        }
        let bytes = fs::read(&path).unwrap_or_default();
        bytes
            .windows(secret.len())
            .any(|part| part == secret.as_bytes())
    })
}

#[test]
fn a_command_that_takes_a_secret_repeats_none() {
    let home = Home::new();
    let paste = ["models", "auth", "paste-api-key", "--provider", "openai"];
    let key = format!("--key={SECRET}");
    let option = format!("--{SECRET}");
    let assignment = format!("OPENAI_API_KEY={SECRET}");
    for more in [
        &[SECRET][..],
        &[RANDOM],
        &[WORDS],
        &["--", SECRET],
        &[&key],
        &[&option],
        &[&assignment],
        &["--token", SECRET],
        &["--api-key", WORDS],
        &["--profile-id", SECRET],
        &["--agent", SECRET],
        &["--expires-in", SECRET],
    ] {
        let args = [&paste, more].concat();
        let lines = refused(&home, &args, 64);
        assert_eq!(lines.len(), 3, "{args:?}: {lines:?}");
        assert!(
            lines[1].contains("is now in the shell's history"),
            "{lines:?}"
        );
        assert!(
            lines[1].contains("If others use this machine, replace it."),
            "{lines:?}"
        );
        let form = "clawkeep models auth paste-api-key --provider openai";
        let wanted = match cfg!(windows) {
            true => format!("Give it on stdin: type FILE | {form}"),
            false => format!("{form} < FILE, or: printenv VARIABLE | {form}"),
        };
        assert!(lines[2].ends_with(&wanted), "{lines:?}");
    }
    // It would have been stored as the name of a provider.
    let args = ["models", "auth", "paste-token", "--provider", SECRET];
    let lines = refused(&home, &args, 64);
    assert!(
        lines[0].contains("an argument looks like a secret"),
        "{lines:?}"
    );
    let wanted = match cfg!(windows) {
        true => "type FILE | clawkeep models auth paste-token --provider PROVIDER",
        false => "paste-token --provider PROVIDER < FILE",
    };
    assert!(lines[2].contains(wanted), "{lines:?}");
}

#[test]
fn a_passphrase_is_not_repeated_either() {
    let home = Home::new();
    let new = "clawkeep key add passphrase --new-passphrase-file FILE";
    let open = "--passphrase-file FILE";
    for (args, form) in [
        (&["key", "add", "passphrase", WORDS][..], new),
        (&["key", "add", WORDS], new),
        (&["key", "add", "passphrase", "--passphrase", WORDS], new),
        (&["key", "remove", WORDS], open),
        (&["key", WORDS], open),
        (&["key", "unlock", WORDS], open),
        (
            &["init", WORDS],
            "clawkeep init --key passphrase --passphrase-file FILE",
        ),
        (
            &["init", "--key", RANDOM],
            "clawkeep init --key passphrase --passphrase-file FILE",
        ),
        (
            &["sync", "--passphrase-fd", WORDS],
            "clawkeep sync --passphrase-file FILE",
        ),
        (
            &["sync", "--passphrase-fd", RANDOM],
            "clawkeep sync --passphrase-file FILE",
        ),
    ] {
        let lines = refused(&home, args, 64);
        assert_eq!(lines.len(), 3, "{args:?}: {lines:?}");
        assert!(
            lines[1].contains("is now in the shell's history"),
            "{lines:?}"
        );
        assert!(lines[2].ends_with(form), "{args:?}: {lines:?}");
    }
}

#[test]
fn other_commands_do_not_repeat_what_looks_like_a_secret() {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    for (args, status) in [
        (&[SECRET][..], 64),
        (&["models", SECRET], 64),
        (&["history", "at", SECRET], 64),
    ] {
        let lines = refused(&home, args, status);
        assert!(lines[0].contains("[hidden]"), "{args:?}: {lines:?}");
        assert!(
            lines[1].contains("is now in the shell's history"),
            "{lines:?}"
        );
        assert_eq!(lines.len(), 3, "{args:?}: {lines:?}");
    }
}

/// Ids are kept and shown in lower case.
#[test]
fn an_id_that_begins_as_a_secret_is_refused() {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    let upper = SECRET.to_uppercase();
    for secret in [SECRET, "sk-ant-api03-AbCdEfGh0123456789", &upper] {
        let option = format!("--provider={secret}");
        for args in [
            &["token", "--provider", secret][..],
            &["token", &option],
            &["token", "--profile", secret],
            &["token", "--session", secret, "--provider", "openai"],
            &["exec", "--provider", secret, "--", TRUE],
            &["exec", "--profile", secret, TRUE],
            &["refresh", secret],
            &["refresh", secret, "--json"],
            &["history", "--profile", secret],
            &["history", "--provider", secret, "--json"],
            &["session", "pin", secret, "openai:manual"],
            &["session", "pin", "telegram:42", secret],
            &["session", "unpin", secret],
            &["models", "status", "--agent", secret],
            &["models", "auth", "remove", secret],
            &["backup", "create", secret],
            &["backup", "restore", secret],
            &["import", secret],
            &[
                "token",
                "--session",
                &format!("\u{200b}{secret}"),
                "--provider",
                "openai",
            ],
            &[
                "session",
                "pin",
                &format!("Bearer {secret}"),
                "openai:manual",
            ],
            &["session", "pin", "42", &format!("anthropic:{secret}")],
        ] {
            let run = home.run(args).exits(64);
            let said = format!("{}{}", run.stdout, run.stderr).to_lowercase();
            assert!(!said.contains(&secret.to_lowercase()), "{args:?}: {said}");
            assert!(
                said.contains("an argument looks like a secret"),
                "{args:?}: {said}"
            );
            let kept = is_in_a_file(home.path(), secret)
                || is_in_a_file(home.path(), &secret.to_lowercase());
            assert!(!kept, "{args:?}");
        }
    }
    for args in [
        &["--", SECRET][..],
        &["models", "--", SECRET],
        &["token", "--json", "--", SECRET],
        &["exec", "--", &format!("no-such-program-{SECRET}")],
    ] {
        let run = home.run(args);
        assert!(!run.stderr.contains(SECRET), "{args:?}: {run:?}");
    }
    // A short name of a file is none.
    home.run(&["backup", "create", "sk-old.db"]).ok();
    // What `exec` hands on is the program's.
    let paste = ["models", "auth", "paste-api-key", "--provider", "openai"];
    home.run_with_input(&paste, "sk-test-of-the-vault-0123456789")
        .ok();
    let echo: &[&str] = match cfg!(windows) {
        true => &["cmd", "/d", "/c", "echo", SECRET],
        false => &["echo", SECRET],
    };
    for exec in [
        &["exec", "--provider", "openai", "--"][..],
        &["exec", "--provider", "openai"],
    ] {
        let said = home.run(&[exec, echo].concat()).ok();
        assert_eq!(said.trim_end(), SECRET);
    }
}

/// The session and the id would be stored, and the path recorded.
#[test]
fn a_word_that_could_be_a_secret_is_not_repeated_and_is_no_new_name() {
    const BARE: &str = "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE";
    const UUID: &str = "550e8400-e29b-41d4-a716-446655440000";
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    let paste = ["models", "auth", "paste-api-key", "--provider", "openai"];
    home.run_with_input(&paste, "sk-test-of-the-vault-0123456789")
        .ok();
    let hex = "0f1e2d3c4b5a69788796a5b4c3d2e1f0abcd";
    let id = format!("openai:{hex}");
    let path = home.at(SECRET);
    let path = path.to_str().unwrap();
    let under = home.at("none").join(SECRET);
    for (args, status) in [
        (&["token", BARE][..], 64),
        (&["rm", BARE, "--yes"], 64),
        (&["rm", &id], 64),
        (&["run", BARE, "--", TRUE], 64),
        (&["login", BARE], 1),
        (&["connect", BARE], 64),
        (&["use", BARE], 64),
        (&["refresh", BARE], 64),
        (&["restore", BARE], 64),
        (&["ls", BARE], 64),
        (&["ls", "--agent", BARE], 64),
        (&["models", "auth", "remove", BARE], 1),
        (&["session", "pin", "42", BARE], 1),
        (&["add", "--id", &id, "openai"], 64),
        (&["add", BARE], 64),
        (&["history", "--profile", BARE], 0),
        (&["export", "--reveal", "--to", path], 64),
        (&["export", "--reveal", "--to", under.to_str().unwrap()], 64),
        (&["backup", "create", path], 64),
    ] {
        let run = home.run(args);
        assert_eq!(run.status, status, "{run:?}");
        for secret in [BARE, hex, SECRET] {
            let shown = format!("{}{}", run.stdout, run.stderr).to_lowercase();
            assert!(!shown.contains(&secret.to_lowercase()), "{args:?}: {run:?}");
            let kept =
                [secret, &secret.to_lowercase()].map(|secret| is_in_a_file(home.path(), secret));
            assert_eq!(kept, [false, false], "{args:?}");
        }
    }
    let token = home.run(&["token", BARE]);
    let lines: Vec<&str> = token.stderr.lines().collect();
    assert_eq!(
        lines[0],
        "Error: no provider or credential is named \"[hidden]\"",
    );
    assert!(
        lines[1].contains("If that is a secret, it is now"),
        "{lines:?}"
    );
    assert!(lines[2].contains("openai:manual"), "{lines:?}");
    home.run(&["session", "pin", UUID, "openai:manual"]).ok();
    // It is a file already.
    fs::write(path, "").unwrap();
    let run = home.run(&["import", path]);
    assert!(run.stderr.contains(SECRET), "{run:?}");
}

#[test]
fn what_is_no_secret_is_named_as_before() {
    let home = Home::new();
    for (args, word) in [
        (
            &["models", "auth", "paste-api-key", "openai"][..],
            "'openai'",
        ),
        (&["models", "auth", "paste-api-kye"], "auth paste-api-key"),
        (&["models", "auth", "list", "--josn"], "'--json'"),
        (&["key", "add", "passphrse"], "'passphrse'"),
        (&["key", "stats"], "'stats'"),
    ] {
        let run = home.run(args).exits(64);
        assert!(run.stderr.contains(word), "{args:?}: {}", run.stderr);
        assert!(!run.stderr.contains("history"), "{args:?}: {}", run.stderr);
    }
}

#[cfg(unix)]
#[test]
fn under_the_gateways_name_a_secret_is_not_repeated() {
    let home = Home::new();
    let link = home.at("clawdbot");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), &link).unwrap();
    let mut command = std::process::Command::new(&link);
    command
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin");
    command.args([
        "models",
        "auth",
        "paste-api-key",
        "--provider",
        "openai",
        SECRET,
    ]);
    let run = Run::from(command.output().unwrap()).exits(64);
    assert!(run.stderr.contains("'[hidden]'"), "{}", run.stderr);
    assert!(!run.stderr.contains(SECRET), "{}", run.stderr);
}
