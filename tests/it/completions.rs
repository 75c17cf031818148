//! What the shells offer, in the shells themselves; and that looking for it leaves no trace and
//! waits for nobody.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::damage::make_irregular;
use crate::support::home::{Home, Run, VAULT};

/// A home with credentials, one of which has an id that a shell would run.
fn home() -> Home {
    let home = Home::new();
    let key = |provider: &str| {
        json!({"type": "api_key", "provider": provider,
        "key": "sk-test-abcdefgh"})
    };
    let store = json!({"version": 1, "profiles": {
        "anthropic:work": key("anthropic"),
        "openai:home": key("openai"),
        "openai:work": key("openai"),
        "openai:$(touch run)": key("openai"),
        "openai:a b": key("openai"),
    }});
    for agent in ["main", "ops"] {
        let path = format!(".clawdbot/agents/{agent}/agent/auth-profiles.json");
        home.write(&path, store.to_string());
    }
    home.run(&["sync"]).ok();
    home.run(&["session", "pin", "telegram:42", "openai:work"])
        .ok();
    home
}

/// What is offered for the last of the words.
fn offered(home: &Home, words: &[&str]) -> Vec<String> {
    let mut command = home.command(&[&["--", "clawkeep"], words].concat());
    command
        .env("CLAWKEEP_COMPLETE", "bash")
        .env("_CLAP_COMPLETE_INDEX", words.len().to_string());
    let run = Run::from(command.output().unwrap());
    assert_eq!(run.stderr, "");
    run.ok().lines().map(str::to_owned).collect()
}

/// A shell in the home, with the program on its PATH; nothing where the shell is not installed.
#[cfg(unix)]
fn shell(home: &Home, args: &[&str], script: &str) -> Option<String> {
    let bin = home.at("bin");
    fs::create_dir_all(&bin).unwrap();
    let link = bin.join("clawkeep");
    if !link.exists() {
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), link).unwrap();
    }
    let mut command = Command::new(args[0]);
    command
        .args(&args[1..])
        .arg(script)
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", format!("{}:/usr/bin:/bin", bin.display()))
        .env("LANG", "C.UTF-8")
        .current_dir(home.path());
    let output = command.output().ok()?;
    let run = Run::from(output);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{run:?}");
    Some(run.stdout)
}

#[test]
fn ids_come_from_the_vault() {
    let home = home();
    let plain = ["anthropic:work", "openai:home", "openai:work"];
    assert_eq!(offered(&home, &["token", "--profile", ""]), plain);
    assert_eq!(
        offered(&home, &["token", "--profile", "openai:h"]),
        ["openai:home"]
    );
    assert_eq!(
        offered(&home, &["token", "--provider", ""]),
        ["anthropic", "openai", "openai-codex", "qwen-portal"]
    );
    assert_eq!(offered(&home, &["sync", "--agent", ""]), ["main", "ops"]);
    assert_eq!(offered(&home, &["session", "unpin", "t"]), ["telegram:42"]);
    assert_eq!(offered(&home, &["key", "remove", ""])[0], "1");
    let kinds = offered(&home, &["history", "--kind", "credential"]);
    assert!(kinds.contains(&"credential".to_owned()), "{kinds:?}");
    assert!(kinds.contains(&"credential.used".to_owned()), "{kinds:?}");
    // Another vault, as the line that is typed says.
    let other = ["--vault", "other.db", "token", "--profile", ""];
    assert_eq!(offered(&home, &other), [""; 0]);
    let elsewhere = format!("--vault={}", home.at(VAULT).display());
    let there = ["--state-dir", "none", &elsewhere, "token", "--profile", "a"];
    assert_eq!(offered(&home, &there), ["anthropic:work"]);
}

#[test]
fn nothing_is_made_written_or_waited_for() {
    let empty = Home::new();
    assert_eq!(offered(&empty, &["token", "--profile", ""]), [""; 0]);
    assert_eq!(empty.files(), [""; 0]);
    let home = home();
    let state = |home: &Home| {
        let files = home.files().into_iter();
        files
            .map(|file| (file.clone(), fs::read(home.at(&file)).unwrap()))
            .collect::<Vec<_>>()
    };
    let before = state(&home);
    offered(&home, &["token", "--profile", ""]);
    assert!(state(&home) == before, "a glance left something behind");
    // Without its key; and while somebody has the vault for himself.
    let keys = home.at(".config/clawkeep");
    fs::rename(&keys, home.at("away")).unwrap();
    assert_eq!(
        offered(&home, &["token", "--profile", "a"]),
        ["anthropic:work"]
    );
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE; CREATE TABLE t (x);")
        .unwrap();
    let began = Instant::now();
    offered(&home, &["token", "--profile", ""]);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
}

#[test]
fn what_is_no_vault_offers_nothing() {
    let home = home();
    fs::remove_file(home.at(VAULT)).unwrap();
    make_irregular(&home.at(VAULT));
    let began = Instant::now();
    assert_eq!(offered(&home, &["token", "--profile", ""]), [""; 0]);
    assert!(
        began.elapsed() < Duration::from_secs(3),
        "{:?}",
        began.elapsed()
    );
    match cfg!(windows) {
        true => fs::remove_dir(home.at(VAULT)).unwrap(),
        false => fs::remove_file(home.at(VAULT)).unwrap(),
    }
    home.write(VAULT, [7; 8192]);
    assert_eq!(offered(&home, &["token", "--profile", ""]), [""; 0]);
}

#[test]
fn a_vault_that_others_write_is_examined_as_it_is_now() {
    let home = home();
    // Another process reads it all the while, so that what is newest is in the log beside it.
    let conn = rusqlite::Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    conn.query_row("SELECT count(*) FROM events", [], |_| Ok(()))
        .unwrap();
    let paste = ["models", "auth", "paste-api-key", "--provider", "groq"];
    home.run_with_input(&paste, "sk-test-groq-abcdefgh").ok();
    let log = home.at(".clawdbot/vault.db-wal").metadata().unwrap().len();
    assert!(log > 0, "the case is not met");
    assert_eq!(
        offered(&home, &["token", "--profile", "g"]),
        ["groq:manual"]
    );
    // The same after a writer that was killed: its log is read, and left to the next command.
    let killed = Home::new();
    for file in ["vault.db", "vault.db-wal", "vault.db-shm"] {
        let file = format!(".clawdbot/{file}");
        killed.write(&file, fs::read(home.at(&file)).unwrap());
    }
    let log = |home: &Home| fs::read(home.at(".clawdbot/vault.db-wal")).unwrap();
    let before = (fs::read(killed.at(VAULT)).unwrap(), log(&killed));
    let groq = ["token", "--profile", "g"];
    assert_eq!(offered(&killed, &groq), ["groq:manual"]);
    assert!((fs::read(killed.at(VAULT)).unwrap(), log(&killed)) == before);
    fs::remove_file(killed.at(".clawdbot/vault.db-shm")).unwrap();
    assert_eq!(offered(&killed, &groq), ["groq:manual"]);
    assert!(!killed.at(".clawdbot/vault.db-shm").exists());
}

#[cfg(unix)]
#[test]
fn bash_completes_ids_with_colons_and_runs_none_of_them() {
    let home = home();
    let script = r#"
source <(clawkeep completions bash)
try() {
    COMP_LINE=$1 COMP_POINT=${#1} COMP_WORDS=("${@:2}")
    COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    _clawkeep clawkeep "${COMP_WORDS[COMP_CWORD]}" ''
    echo "$1|${COMPREPLY[*]}"
}
try 'clawkeep token --prof' clawkeep token --prof
try 'clawkeep token --profile openai' clawkeep token --profile openai
try 'clawkeep token --profile openai:' clawkeep token --profile openai :
try 'clawkeep token --profile openai:w' clawkeep token --profile openai : w
try 'clawkeep token --profile=openai:w' clawkeep token --profile = openai : w
try 'clawkeep token --provider=an' clawkeep token --provider = an
try 'clawkeep models auth order set --provider openai openai:home openai:' \
    clawkeep models auth order set --provider openai openai : home openai :
complete -p clawkeep
"#;
    let shown = shell(&home, &["bash", "-c"], script).expect("bash is not installed");
    let expected = "\
clawkeep token --prof|--profile
clawkeep token --profile openai|openai:home openai:work
clawkeep token --profile openai:|home work
clawkeep token --profile openai:w|work
clawkeep token --profile=openai:w|work
clawkeep token --provider=an|anthropic
clawkeep models auth order set --provider openai openai:home openai:|home work
complete -o nosort -F _clawkeep clawkeep
";
    assert_eq!(shown, expected);
    assert!(!home.at("run").exists());
}

#[cfg(unix)]
#[test]
fn fish_completes() {
    let home = home();
    let script =
        "clawkeep completions fish | source; complete -C 'clawkeep token --profile openai:'";
    let shown = shell(&home, &["fish", "--no-config", "-c"], script);
    let shown = shown.expect("the package fish is not installed");
    assert_eq!(
        shown,
        "openai:home\tAPI key of openai\nopenai:work\tAPI key of openai\n"
    );
}

#[cfg(unix)]
#[test]
fn zsh_completes() {
    let home = home();
    // What zsh would show is asked for where it is put together: its editor needs a terminal.
    let script = r#"
autoload -Uz compinit && compinit -u -d "$HOME/.zcompdump"
source <(clawkeep completions zsh)
_describe() { print -rl -- "${(@P)${@[-1]}}" }
words=(clawkeep token --profile openai:) CURRENT=4
_clap_dynamic_completer_clawkeep
print -- ${_comps[clawkeep]}
"#;
    let shown = shell(&home, &["zsh", "-f", "-c"], script);
    let shown = shown.expect("the package zsh is not installed");
    assert_eq!(
        shown,
        "openai\\:home:API key of openai\nopenai\\:work:API key of \
         openai\n_clap_dynamic_completer_clawkeep\n"
    );
}

#[cfg(unix)]
#[test]
fn elvish_takes_its_script_and_powershell_gets_one() {
    let home = home();
    let script = home.run(&["completions", "elvish"]).ok();
    assert!(script.contains("arg-completer[clawkeep]"), "{script}");
    // Its editor, which the script tells, is there only for who types.
    let parsed = script.replace(
        "set edit:completion:arg-completer[clawkeep] = ",
        "var completer = ",
    );
    home.write("clawkeep.elv", parsed);
    let read = shell(&home, &["elvish", "-norc", "-compileonly"], "clawkeep.elv");
    read.expect("the package elvish is not installed");
    let script = home.run(&["completions", "powershell"]).ok();
    assert!(
        script.contains("Register-ArgumentCompleter -Native -CommandName clawkeep"),
        "{script}"
    );
}

#[cfg(unix)]
#[test]
fn as_clawdbot_it_completes_that_name() {
    let home = home();
    let link = home.at("clawdbot");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), &link).unwrap();
    let mut command = Command::new(&link);
    command
        .args(["completions", "bash"])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin");
    let script = Run::from(command.output().unwrap()).ok();
    assert!(
        script.contains("complete -o nosort -F _clawdbot clawdbot"),
        "{script}"
    );
    assert!(!script.contains("PROGRAM"), "{script}");
}
