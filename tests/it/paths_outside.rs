//! Paths from outside: whatever bytes they are, files lie where a variable or an argument says, and
//! nowhere else.

#![cfg(target_os = "linux")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::support::home::{Home, Run};

/// Names of files that something on the way might change.
const NAMES: [&[u8]; 6] = [
    b"caf\xe9",
    b"\xff\\xe9",
    b"a b",
    b"new\nline",
    b"100%h",
    b"q'\"$x",
];
/// What `init` and `sync` go by, and the file that is there afterwards, below the variable's value;
/// `*` is any name.
const VARIABLES: [(&str, &str); 12] = [
    ("CLAWDBOT_STATE_DIR", "vault.db"),
    ("CLAWDIS_STATE_DIR", "vault.db"),
    ("CLAWKEEP_VAULT", ""),
    ("CLAWKEEP_KEY_FILE", ""),
    ("XDG_DATA_HOME", "clawkeep/vault.db"),
    ("XDG_CONFIG_HOME", "clawkeep/*"),
    ("XDG_STATE_HOME", "clawkeep/heads/*"),
    ("HOME", ".local/share/clawkeep/vault.db"),
    ("CLAUDE_CONFIG_DIR", "."),
    ("CODEX_HOME", "."),
    ("CLAWDBOT_AGENT_DIR", "auth-profiles.json"),
    ("PI_CODING_AGENT_DIR", "auth-profiles.json"),
];

fn bytes(text: &[u8]) -> &OsStr {
    OsStr::from_bytes(text)
}

fn done(mut command: Command) -> Run {
    // That what is printed is UTF-8 is checked there.
    command.output().unwrap().into()
}

fn has(dir: &Path, below: &str) -> bool {
    match below.strip_suffix('*') {
        Some(above) => fs::read_dir(dir.join(above)).is_ok_and(|mut files| files.next().is_some()),
        None if below.is_empty() => dir.is_file(),
        None => dir.join(below).exists(),
    }
}

/// Makes a vault and its key file, and stores a credential, with one variable set.
fn used(home: &Home, variable: &str, value: &OsStr) -> Run {
    let command = |args: &[&str]| {
        let mut command = home.command(args);
        command.env(variable, value);
        command
    };
    let made = done(command(&["init", "--key", "keyfile"]));
    let child = crate::support::home::start_with_input(
        command(&["models", "auth", "paste-api-key", "--provider", "openai"]),
        "sk-test-openai-0123456789\n",
    );
    Run::from(child.wait_with_output().unwrap()).ok();
    done(command(&["models", "status", "--json"])).ok();
    made
}

#[test]
fn each_variable_is_used_byte_for_byte() {
    for (variable, below) in VARIABLES {
        for name in NAMES {
            let home = Home::without_gateway();
            let value = home.path().join(bytes(name));
            if below == "." {
                fs::create_dir(&value).unwrap();
            }
            used(&home, variable, value.as_os_str()).ok();
            assert!(
                has(&value, below),
                "{variable} {name:?}: {:?}",
                home.files()
            );
            // What only resembles it is not made.
            let lossy = home.path().join(&*String::from_utf8_lossy(name));
            assert!(lossy == value || !lossy.exists(), "{variable}: {lossy:?}");
        }
    }
}

#[test]
fn a_variable_that_is_empty_is_unset() {
    for (variable, _) in VARIABLES.iter().filter(|(name, _)| *name != "HOME") {
        let home = Home::without_gateway();
        let made = used(&home, variable, OsStr::new(""));
        assert!(!made.stderr.contains(variable), "{made:?}");
        made.ok();
        for file in [
            ".local/share/clawkeep/vault.db",
            ".config/clawkeep/*",
            ".local/state/clawkeep/heads/*",
        ] {
            assert!(has(home.path(), file), "{variable}: {:?}", home.files());
        }
    }
}

/// Relative paths begin at the working directory, but for those that the XDG specification says to
/// ignore: that is said.
#[test]
fn a_variable_that_is_relative() {
    let home = Home::without_gateway();
    let mut homeless = home.command(&["init"]);
    homeless.env("HOME", "rel");
    let run = done(homeless).exits(1);
    assert!(
        run.stderr
            .contains("HOME is `rel`, which is not an absolute path"),
        "{run:?}"
    );
    let of_files = |(name, below): &&(&str, &str)| *name != "HOME" && *below != ".";
    for (variable, below) in VARIABLES.iter().filter(of_files) {
        let home = Home::without_gateway();
        let made = used(&home, variable, OsStr::new("rel"));
        match *variable {
            name if name.starts_with("XDG_") => {
                let said = format!(
                    "Warning: {name} is `rel`, which is not an absolute path, so it is ignored.\n"
                );
                assert!(made.stderr.contains(&said), "{made:?}");
                assert!(!home.at("rel").exists() && has(home.path(), ".config/clawkeep/*"));
            }
            name => assert!(has(&home.at("rel"), below), "{name}: {:?}", home.files()),
        }
    }
}

#[test]
fn a_variable_of_text_that_is_none_is_named() {
    let home = Home::new();
    let run = |name: &OsStr, value: &[u8]| {
        let mut command = home.command(&["models", "status"]);
        command.env(name, bytes(value));
        done(command)
    };
    let refused = run(OsStr::new("CLAWKEEP_TRUSTED"), b"uid:\xff\n").exits(1);
    assert_eq!(
        refused.stderr,
        "Error: CLAWKEEP_TRUSTED is `uid:\\xff\\u000a`, which is not UTF-8. Set CLAWKEEP_TRUSTED \
         to text, or unset it\n"
    );
    // A key is looked for elsewhere then, and what is not ours stands in nobody's way.
    let key = run(OsStr::new("OPENAI_API_KEY"), b"sk-\xff").exits(0);
    let said = "OPENAI_API_KEY is not used: its value is not UTF-8";
    assert!(key.stderr.contains(said), "{key:?}");
    for name in [
        &b"LANG"[..],
        b"EDITOR",
        b"\xfe",
        b"USER",
        b"PATH",
        b"TMPDIR",
    ] {
        let run = run(bytes(name), b"/\xff").exits(0);
        assert!(!run.stderr.contains("UTF-8"), "{run:?}");
    }
}

struct Odd {
    home: Home,
    dir: PathBuf,
}

impl Odd {
    fn command(&self, args: &[&OsStr]) -> Command {
        let mut command = self.home.command(&[]);
        command
            .args(args)
            .env("CLAWKEEP_VAULT", self.dir.join("v.db"))
            .env("CLAWKEEP_KEY_FILE", self.dir.join("k"));
        command
    }

    fn run(&self, words: &str) -> Run {
        let words: Vec<&OsStr> = words.split(' ').map(OsStr::new).collect();
        done(self.command(&words))
    }

    /// Runs a command whose last argument is a path.
    fn run_on(&self, words: &str, path: &Path) -> Run {
        let words = words.split(' ').map(OsStr::new);
        let words: Vec<&OsStr> = words.chain([path.as_os_str()]).collect();
        done(self.command(&words))
    }

    /// Stores a key for the agent of a directory.
    fn paste(&self, agent: &Path, key: &str) {
        let words = "models auth paste-api-key --provider openai".split(' ');
        let words: Vec<&OsStr> = words.map(OsStr::new).collect();
        let mut command = self.command(&words);
        command.env("CLAWDBOT_AGENT_DIR", agent);
        let child = crate::support::home::start_with_input(command, key);
        Run::from(child.wait_with_output().unwrap()).ok();
    }

    fn status(&self, agent: &Path) -> serde_json::Value {
        let words = ["models", "status", "--json"].map(OsStr::new);
        let mut command = self.command(&words);
        command.env("CLAWDBOT_AGENT_DIR", agent);
        done(command).json()
    }
}

fn odd() -> Odd {
    let home = Home::new();
    let dir = home.path().join(bytes(b"caf\xe9"));
    fs::create_dir(&dir).unwrap();
    std::os::unix::fs::chown(&dir, None, None).unwrap();
    crate::support::damage::chmod(&dir, 0o700);
    let odd = Odd { home, dir };
    odd.run("init --key keyfile").ok();
    odd
}

/// Directories whose names differ in one byte, or only look the same where bytes are replaced, are
/// agents of their own.
#[test]
fn agents_of_directories_that_look_the_same_are_two() {
    let odd = odd();
    let names: [&[u8]; 4] = [b"\xe9", b"\xe8", b"\xef\xbf\xbd", br"\xe9"];
    let dirs = names.map(|name| odd.dir.join(bytes(name)));
    for (at, dir) in dirs.iter().enumerate() {
        odd.paste(dir, &format!("sk-test-openai-number-{at}-0123456789\n"));
    }
    for (at, dir) in dirs.iter().enumerate() {
        let store = fs::read_to_string(dir.join("auth-profiles.json")).unwrap();
        assert!(store.contains(&format!("number-{at}-")), "{store}");
        fs::remove_file(dir.join("auth-profiles.json")).unwrap();
    }
    // The vault has each, and knows where it belongs.
    odd.run("sync").ok();
    for (at, dir) in dirs.iter().enumerate() {
        let store = fs::read_to_string(dir.join("auth-profiles.json")).unwrap();
        assert!(store.contains(&format!("number-{at}-")), "{store}");
    }
    let shown = odd.dir.parent().unwrap().display().to_string();
    let agent = odd.status(&dirs[0])["agentDir"].clone();
    assert_eq!(agent, json!(format!(r"bytes:{shown}/caf\xe9/\xe9")));
    odd.run("audit verify").ok();
}

#[test]
fn a_vault_whose_path_is_not_utf8_does_everything() {
    let odd = odd();
    let agent = odd.dir.join("agent");
    odd.paste(&agent, "sk-test-openai-0123456789\n");
    let home = odd.home.path().display().to_string();
    let doctor: serde_json::Value = serde_json::from_str(&odd.run("doctor --json").stdout).unwrap();
    assert_eq!(
        doctor["vault"],
        json!(format!(r"bytes:{home}/caf\xe9/v.db"))
    );
    let status = odd.run("key status").ok();
    assert!(
        status.contains(r"~/caf\xe9/v.db") && status.contains(r"~/caf\xe9/k"),
        "{status}"
    );
    let (backup, page) = (
        odd.dir.join(bytes(b"b\xfe.db")),
        odd.dir.join(bytes(b"r\xfe.html")),
    );
    odd.run_on("backup create", &backup).ok();
    odd.run_on("backup verify", &backup).ok();
    odd.run_on("report --to", &page).ok();
    assert!(backup.is_file() && page.is_file());
    fs::remove_file(odd.dir.join("v.db")).unwrap();
    odd.run_on("backup restore", &backup).ok();
    odd.run("audit verify").ok();
    assert_eq!(
        odd.status(&agent)["auth"]["profiles"]
            .as_array()
            .map(Vec::len),
        None
    );
    // A remedy is a command that a shell runs as it stands.
    let beside = doctor["findings"].as_array().unwrap().iter();
    let beside = beside
        .clone()
        .find(|finding| finding["id"] == "keys.beside");
    let fix = beside.unwrap()["fix"].as_str().unwrap();
    let mut bash = Command::new("bash");
    bash.args(["-c", fix])
        .env_clear()
        .env("HOME", odd.home.path());
    bash.env("PATH", "/usr/bin:/bin");
    assert!(bash.status().unwrap().success(), "{fix}");
    assert!(!odd.dir.join("k").exists(), "{fix}");
    // The key lies in its usual place now.
    let mut command = odd.command(&["audit", "verify"].map(OsStr::new));
    command.env_remove("CLAWKEEP_KEY_FILE");
    done(command).ok();
}

#[test]
fn a_program_gets_its_arguments_and_environment_as_they_were() {
    let odd = odd();
    odd.paste(
        &odd.home.at(".clawdbot/agents/main/agent"),
        "sk-test-openai-0123456789\n",
    );
    let run = |words: &[&str], last: &[u8]| {
        let begin = ["exec", "--provider", "openai", "--"].iter().chain(words);
        let words: Vec<&OsStr> = begin.map(OsStr::new).chain([bytes(last)]).collect();
        let mut command = odd.command(&words);
        command.env("ODD", bytes(b"v\xff")).env(bytes(b"\xfe"), "x");
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        output.stdout
    };
    assert_eq!(run(&["printf", "%s."], b"a\xe9\n b"), b"a\xe9\n b.");
    let environment = run(&["env"], b"-0");
    let variables: Vec<&[u8]> = environment.split(|byte| *byte == 0).collect();
    for variable in [
        &b"ODD=v\xff"[..],
        b"\xfe=x",
        b"OPENAI_API_KEY=sk-test-openai-0123456789",
    ] {
        assert!(variables.contains(&variable), "{:?}", bytes(variable));
    }
}

/// systemd takes any bytes as arguments, and only text as variables; launchd and cron take only
/// text.
#[test]
fn a_service_has_such_paths_or_says_that_it_cannot() {
    let odd = odd();
    let home = odd.home.path().display().to_string();
    let unit = odd.run("monitor install --by systemd --dry-run").ok();
    let start = unit
        .lines()
        .find(|line| line.starts_with("ExecStart="))
        .unwrap();
    let dir = format!(r"{home}/caf\xe9");
    let begin = format!(
        r#"ExecStart=/usr/bin/env "CLAWKEEP_VAULT={dir}/v.db" "CLAWKEEP_KEY_FILE={dir}/k" "#
    );
    assert!(
        start.starts_with(&begin) && start.ends_with("clawkeep watch"),
        "{unit}"
    );
    assert!(!unit.contains("Environment="), "{unit}");
    let named = odd.run_on(
        "monitor install --by systemd --dry-run --vault",
        &odd.dir.join("v.db"),
    );
    let named = named.ok();
    assert!(
        named.contains(&format!(r#" --vault "{home}/caf\xe9/v.db" watch"#)),
        "{named}"
    );
    for (by, what) in [("launchd", "a property list"), ("cron", "a crontab's line")] {
        let run = odd
            .run(&format!("monitor install --by {by} --dry-run"))
            .exits(1);
        let said = format!("Error: {what} holds only UTF-8, and `{home}/caf\\xe9/v.db` is not\n");
        assert!(run.stderr.contains(&said), "{run:?}");
        assert!(run.stdout.is_empty(), "{run:?}");
    }
}

#[test]
fn a_path_that_is_not_there_is_named_as_it_is() {
    let odd = odd();
    let none: OsString = odd.dir.join(bytes(b"\xfd")).into();
    let run = odd.run_on("backup verify", Path::new(&none)).exits(1);
    assert!(run.stderr.contains(r"caf\xe9/\xfd"), "{run:?}");
    let run = odd
        .run_on("models status --agent", Path::new(bytes(b"\xfd")))
        .exits(64);
    assert!(run.stderr.contains("UTF-8"), "{run:?}");
}
