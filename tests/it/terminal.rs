//! Arguments, pipes and terminals.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::damage::{
    HISTORY, STATUS, alter, fingerprints, home_with_vault, refused, refuses,
};
use crate::support::home::{Home, Run, STORE};

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let home = home_with_vault();
    for args in [
        STATUS,
        HISTORY,
        &["history", "--json"],
        &["--help"],
        &["audit", "head"],
    ] {
        let mut command = home.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer).stderr(Stdio::piped());
        drop(reader);
        let child = command.spawn().unwrap();
        drop(command); // and with it our end of the pipe
        let run = Run::from(child.wait_with_output().unwrap());
        let unverified = "Unverified; see: clawkeep audit verify\n";
        let said = run.stderr.strip_prefix(unverified).unwrap_or(&run.stderr);
        assert_eq!((run.status, said), (0, ""), "{args:?}");
        #[cfg(unix)]
        assert_eq!(without_stdout(&home, args), (0, String::new()), "{args:?}");
    }
}

/// How a run ends that has no stdout at all, and what it says.
#[cfg(unix)] // a shell that closes it
fn without_stdout(home: &Home, args: &[&str]) -> (i32, String) {
    let mut command = Command::new("sh");
    command
        .args(["-c", "exec \"$0\" \"$@\" >&-"])
        .arg(home.command(&[]).get_program())
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .current_dir(home.path());
    let run = Run::from(command.output().unwrap());
    let unverified = "Unverified; see: clawkeep audit verify\n";
    let said = run.stderr.strip_prefix(unverified).unwrap_or(&run.stderr);
    (run.status, said.to_owned())
}

/// The answer was asked for.
#[cfg(unix)] // /dev/full
#[test]
fn a_disk_that_is_full_is_a_failure() {
    let home = home_with_vault();
    let mut command = home.command(HISTORY);
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    refused(
        home.path(),
        command,
        1,
        &["cannot write the answer", "No space left"],
    );
}

#[cfg(unix)] // /dev/full
#[test]
fn a_full_device_fails_what_is_written_there() {
    let home = home_with_vault();
    for args in [
        &["--help"][..],
        &["-h"],
        &["help"],
        &["help", "models", "status"],
        &["--version"],
        &["-V"],
        &["models", "--help"],
        &["init", "--version"],
        &["completions", "bash"],
        &["man"],
    ] {
        let mut command = home.command(args);
        command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
        let words = ["cannot write the answer", "No space left"];
        refused(home.path(), command, 1, &words);
        let mut command = home.command(args);
        let (reader, writer) = std::io::pipe().unwrap();
        command.stdout(writer).stderr(Stdio::piped());
        drop(reader);
        let run = Run::from(command.spawn().unwrap().wait_with_output().unwrap());
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{args:?}");
    }
    // What a shell asks while somebody types: no message, but no success either.
    let mut command = home.command(&["--", "clawkeep", "mod"]);
    command
        .env("CLAWKEEP_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", "1");
    command.stdout(fs::File::options().write(true).open("/dev/full").unwrap());
    let run = Run::from(command.stderr(Stdio::piped()).output().unwrap());
    assert_eq!((run.status, run.stderr.as_str()), (1, ""));
}

/// Runs on a terminal of its own, as `script` makes one: what it showed, stdout and stderr
/// together.
#[cfg(unix)]
fn on_a_terminal(home: &Home, args: &str, variables: &[(&str, &str)]) -> String {
    let line = format!("{} {args}", home.command(&[]).get_program().display());
    let mut command = Command::new("script");
    command
        .args(["-qec", &line, "/dev/null"])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .env("TERM", "xterm-256color")
        .env("SHELL", "/bin/sh")
        .current_dir(home.path())
        .stdin(Stdio::null());
    let output = command
        .envs(variables.iter().copied())
        .output()
        .expect("`script` of util-linux makes the terminal");
    String::from_utf8(output.stdout).unwrap()
}

#[cfg(unix)] // a terminal
#[test]
fn colour_is_for_terminals_that_want_it() {
    let home = home_with_vault();
    let escape = '\u{1b}';
    let bad = "models status --no-such-flag";
    let none = &[("NO_COLOR", "1")][..];
    for (args, variables, coloured) in [
        ("models status", &[][..], true),
        ("models status", &[("NO_COLOR", "")], true),
        ("models status", none, false),
        ("--color never models status", &[], false),
        ("--color=always models status", none, true),
        ("--vault none/v.db history", &[], true),
        ("--vault none/v.db history", none, false),
        ("--vault none/v.db history --color never", &[], false),
        ("--vault none/v.db history --color=never", &[], false),
        ("--vault none/v.db --color always history", none, true),
        (bad, &[], true),
        (bad, none, false),
        ("--help", &[], true),
        ("--help", none, false),
        ("--color never --help", &[], false),
        ("--color always --help", none, true),
        ("models", &[], true),
        ("models", none, false),
    ] {
        let shown = on_a_terminal(&home, args, variables);
        assert!(!shown.trim().is_empty(), "{args}");
        assert_eq!(
            shown.contains(escape),
            coloured,
            "{args} {variables:?}: {shown:?}"
        );
    }
    // Every way in has the same rule.
    for args in [
        "models status",
        "--vault none/v.db history",
        bad,
        "--help",
        "history -h",
        "help",
        "models",
    ] {
        for variable in [("TERM", "dumb"), ("CLICOLOR", "0"), ("FORCE_COLOR", "0")] {
            let shown = on_a_terminal(&home, args, &[variable]);
            assert!(!shown.contains(escape), "{args} {variable:?}: {shown:?}");
        }
        for variable in ["CLICOLOR_FORCE", "FORCE_COLOR"] {
            let mut command = home.command(&args.split(' ').collect::<Vec<_>>());
            let output = Run::from(command.env(variable, "1").output().unwrap());
            let shown = output.stdout + &output.stderr;
            assert!(shown.contains(escape), "{args} {variable}: {shown:?}");
        }
    }
    for args in [STATUS, &[bad], &["--vault", "none/v.db", "history"]] {
        let run = home.run(args);
        assert!(
            !run.stdout.contains(escape) && !run.stderr.contains(escape),
            "{run:?}"
        );
    }
    assert!(
        home.run(&["--color", "always", "models", "status"])
            .ok()
            .contains(escape)
    );
}

#[test]
fn bad_usage() {
    let home = home_with_vault();
    for (args, words) in [
        (
            &["models", "status", "--json", "--plain"][..],
            &["--json", "--plain", "--help"][..],
        ),
        (&["no-such-command"], &["no-such-command", "--help"]),
        (&["models", "stat"], &["stat", "--help"]),
        (
            &["models", "status", "--no-such-flag"],
            &["--no-such-flag", "--help"],
        ),
        (&["models", "status", "--jsn"], &["--jsn", "--help"]),
        (&["models", "auth", "candidates"], &["--provider", "--help"]),
        (
            &["init", "--key", "pocket"],
            &["pocket", "keychain", "keyfile", "--help"],
        ),
        (&["--color", "red", "history"], &["red", "always", "--help"]),
        (
            &["-q", "-v", "history"],
            &["--quiet", "--verbose", "--help"],
        ),
        (&["history", "--since", "someday"], &["someday", "7d"]),
        (&["history", "--limit", "-1"], &["-1", "--help"]),
        (&["history", "--kind", "nonsense"], &["nonsense", "--help"]),
        (&["export", "--to", "-"], &["--reveal", "--help"]),
    ] {
        let run = refuses(&home, args, 64, words);
        assert_eq!(run.stdout, "", "{args:?}");
    }
}

#[test]
fn help_and_version_are_answers() {
    let home = Home::new();
    let before = fingerprints(home.path());
    for args in [
        &["--help"][..],
        &["-h"],
        &["--version"],
        &["-V"],
        &["models", "--help"],
        &["models", "status", "--help"],
        &["history", "-h"],
        &["init", "--version"],
    ] {
        let run = home.run(args).exits(0);
        assert_eq!(run.stderr, "", "{args:?}");
        assert!(run.stdout.len() > 8, "{args:?}");
        // Nor is anything needed for them.
        let mut command = home.command(args);
        command.env_remove("HOME").env_remove("USERPROFILE");
        assert_eq!(
            Run::from(command.output().unwrap()).exits(0).stdout,
            run.stdout
        );
    }
    assert_eq!(fingerprints(home.path()), before);
    assert!(home.run(&["--version"]).stdout.starts_with("clawkeep 0."));
}

#[test]
fn names_from_files_do_not_reach_the_terminal_as_they_are() {
    let home = Home::new();
    let id = "evil:\u{1b}[31m\nError: pay me\r\u{9b}2J";
    let entry = json!({"type": "api_key", "provider": "evil", "key": "sk-test-evil"});
    home.write(STORE, json!({"profiles": {id: entry}}).to_string());
    home.run(STATUS).ok();
    alter(&home, |conn| {
        conn.execute_batch("UPDATE profiles SET sealed = x'00'")
            .unwrap()
    });
    let run = refuses(
        &home,
        STATUS,
        65,
        &[r"profile evil:\u001b[31m\u000aError: pay me\u000d\u009b2J of agent main"],
    );
    let lines: Vec<_> = run.stderr.lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        !run.stderr
            .trim_end()
            .replace('\n', "")
            .contains(char::is_control),
        "{lines:?}"
    );
}
