//! `connect` and `disconnect`: what becomes of other programs' settings, and that it can be undone.

use std::fs;

use serde_json::json;

#[cfg(unix)]
use crate::support::damage::chmod;
use crate::support::damage::refuses;
use crate::support::home::Home;

const KEY: &str = "sk-test-key-0123456789";
const CODEX: &str = ".codex/config.toml";
const CLAUDE_CODE: &str = ".claude/settings.json";
/// Settings of a person, with a secret of another program.
const SETTINGS: &str = "# mine\nmodel_provider = \"proxy\" # for now\n\n[model_providers.proxy]\n\
                        name = \"Proxy\"\nexperimental_bearer_token = \"sk-other-secret\"\n";

fn home() -> Home {
    let home = Home::without_gateway();
    home.run(&["init", "--key", "keyfile"]).ok();
    for provider in ["openai", "anthropic"] {
        let args = ["models", "auth", "paste-api-key", "--provider", provider];
        home.run_with_input(&args, &format!("{KEY}-{provider}"))
            .ok();
    }
    home
}

#[test]
fn codex_gets_its_key_by_a_command_and_back() {
    let home = home();
    home.write(CODEX, SETTINGS);
    let run = home.run(&["connect", "codex", "--yes"]).exits(0);
    assert!(run.stdout.contains("Codex CLI is connected"), "{run:?}");
    assert!(
        run.stderr
            .contains("+ [model_providers.openai-by-clawkeep.auth]"),
        "{run:?}"
    );
    assert!(!format!("{run:?}").contains("sk-"), "{run:?}");
    let settings: toml::Table = home.read(CODEX).parse().unwrap();
    assert_eq!(
        settings["model_provider"].as_str(),
        Some("openai-by-clawkeep")
    );
    let auth = &settings["model_providers"]["openai-by-clawkeep"]["auth"];
    let words: Vec<&str> = auth["args"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    assert_eq!(words, ["token", "-q", "--provider", "openai"]);
    assert_eq!(home.run(&words).ok(), format!("{KEY}-openai\n"));
    assert!(home.read(CODEX).contains("# for now"));
    // The copy has somebody's secret, and is sealed.
    assert_eq!(home.files_with("sk-other-secret"), [CODEX]);
    let listed = home.run(&["connect", "--json"]).json();
    assert_eq!(listed["programs"][0]["state"], json!("connected"));
    assert_eq!(listed["programs"][1]["program"], json!("claude"));
    home.run(&["connect", "codex", "--yes"]).ok();
    let run = home.run(&["disconnect", "codex", "--yes"]).ok();
    assert!(run.contains("are what they were"), "{run}");
    assert_eq!(home.read(CODEX), SETTINGS);
    let run = home.run(&["disconnect", "codex"]).ok();
    assert!(run.contains("Codex CLI is not connected"), "{run}");
}

#[test]
fn what_was_changed_since_stays() {
    let home = home();
    home.write(CODEX, SETTINGS);
    home.run(&["connect", "codex", "--yes"]).ok();
    let later = home
        .read(CODEX)
        .replace("# mine", "# mine, later\nmodel = \"gpt-5\"");
    home.write(CODEX, &later);
    let run = home.run(&["disconnect", "codex", "--yes"]).ok();
    assert!(run.contains("the rest of its settings stays"), "{run}");
    assert_eq!(
        home.read(CODEX),
        SETTINGS.replace("# mine", "# mine, later\nmodel = \"gpt-5\"")
    );
    // Without a copy that opens, too: the value that was replaced is then not known.
    home.run(&["connect", "codex", "--yes"]).ok();
    let files = home.files();
    let copy = files
        .iter()
        .find(|file| file.ends_with("connected/codex-cli"));
    fs::remove_file(home.at(copy.unwrap())).unwrap();
    home.run(&["disconnect", "codex", "--yes"]).ok();
    assert!(
        !home.read(CODEX).contains("clawkeep"),
        "{}",
        home.read(CODEX)
    );
}

#[test]
fn claude_code_gets_one_key() {
    let home = home();
    let run = home.run(&["connect", "claude-code", "--yes"]).exits(0);
    assert!(run.stdout.contains("clawkeep disconnect claude"), "{run:?}");
    let settings = home.json(CLAUDE_CODE);
    let line = settings["apiKeyHelper"].as_str().unwrap();
    assert!(
        line.ends_with("token -q --profile anthropic:manual --strict"),
        "{line}"
    );
    assert_eq!(home.run(&["disconnect", "claude", "--yes"]).status, 0);
    assert!(!home.at(CLAUDE_CODE).exists(), "there was no file before");
    let args = ["models", "auth", "paste-api-key", "--provider", "anthropic"];
    let second = [&args[..], &["--profile-id", "anthropic:work"]].concat();
    home.run_with_input(&second, &format!("{KEY}-work")).ok();
    refuses(
        &home,
        &["connect", "claude", "--yes"],
        1,
        &["--id", "anthropic:work"],
    );
    let text = "{\n  \"model\": \"opus\"\n}\n";
    home.write(CLAUDE_CODE, text);
    home.run(&["connect", "claude", "--yes", "--id", "anthropic:work"])
        .ok();
    assert_eq!(home.json(CLAUDE_CODE)["model"], json!("opus"));
    home.run(&["disconnect", "claude", "--yes"]).ok();
    assert_eq!(home.read(CLAUDE_CODE), text);
}

#[test]
fn nothing_is_changed_without_consent_a_key_or_sound_settings() {
    let home = home();
    home.write(CODEX, SETTINGS);
    // Without a terminal the change is shown, and not made.
    let run = home.run(&["connect", "codex"]).exits(64);
    assert!(
        run.stderr.contains("+ model_provider") && run.stderr.contains("--yes"),
        "{run:?}"
    );
    refuses(
        &home,
        &["connect", "vi"],
        64,
        &["vi cannot be connected", "codex, claude, pi"],
    );
    refuses(
        &home,
        &["connect", "codex", "--yes", "--id", "openai:x"],
        1,
        &["no API key"],
    );
    home.run(&["rm", "openai:manual", "--yes"]).ok();
    refuses(
        &home,
        &["connect", "codex", "--yes"],
        1,
        &["clawkeep add openai", "clawkeep run openai-codex -- codex"],
    );
    assert_eq!(home.read(CODEX), SETTINGS);
    let damaged = "model = \"x\ntoken = \"sk-other-secret\"\n";
    let args = ["models", "auth", "paste-api-key", "--provider", "openai"];
    home.run_with_input(&args, KEY).ok();
    home.write(CODEX, damaged);
    let run = home.run(&["connect", "codex", "--yes"]).exits(1);
    assert!(
        run.stderr.contains("was not changed: cannot be read"),
        "{run:?}"
    );
    assert!(!run.stderr.contains("sk-other"), "{run:?}");
    assert_eq!(home.read(CODEX), damaged);
    let listed = home.run(&["connect", "--json"]).json();
    assert_eq!(
        listed["programs"][0]["state"],
        json!("settings-cannot-be-read")
    );
    let why = listed["programs"][0]["why"].as_str().unwrap();
    assert!(why.contains("config.toml cannot be read"), "{why}");
    let settings = listed["programs"][0]["settings"].as_str().unwrap();
    assert_eq!(settings, home.at(CODEX).to_str().unwrap());
}

#[cfg(unix)]
#[test]
fn a_link_stays_a_link_and_the_mode_stays() {
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    let home = home();
    home.write("dotfiles/codex.toml", SETTINGS);
    fs::create_dir(home.at(".codex")).unwrap();
    symlink(home.at("dotfiles/codex.toml"), home.at(CODEX)).unwrap();
    chmod(&home.at("dotfiles/codex.toml"), 0o644);
    let run = home.run(&["connect", "codex", "--yes"]).exits(0);
    assert!(
        run.stderr.contains("a link to ~/dotfiles/codex.toml"),
        "{run:?}"
    );
    assert!(home.at(CODEX).is_symlink());
    let mode = || fs::metadata(home.at(CODEX)).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(), 0o644);
    home.run(&["disconnect", "codex", "--yes"]).ok();
    assert_eq!(
        (home.read("dotfiles/codex.toml"), mode()),
        (SETTINGS.to_owned(), 0o644)
    );
    // Whoever may write it chooses what Codex runs.
    chmod(&home.at("dotfiles/codex.toml"), 0o666);
    let run = home.run(&["connect", "codex", "--yes"]);
    assert_ne!(run.status, 0, "{run:?}");
    assert_eq!(home.read(CODEX), SETTINGS);
}

#[test]
fn pi_gets_any_key_by_a_command_and_programs_that_take_none_are_told() {
    let home = home();
    let auth = ".pi/agent/auth.json";
    let text = "{\n  \"openai\": {\"type\": \"api_key\", \"key\": \"sk-other-secret\"}\n}\n";
    home.write(auth, text);
    refuses(
        &home,
        &["connect", "pi", "--yes"],
        1,
        &["--id", "openai:manual"],
    );
    let args = ["connect", "pi", "--yes", "--id", "openai:manual"];
    let run = home.run(&args).exits(0);
    assert!(!format!("{run:?}").contains("sk-"), "{run:?}");
    let key = home.json(auth)["openai"]["key"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        key.ends_with("token -q --profile openai:manual --strict"),
        "{key}"
    );
    let again = home.run(&["connect", "pi"]).ok();
    assert!(again.contains("pi is connected already"), "{again}");
    // The only copy of what was there opens after a rotation, too.
    home.run(&["key", "rotate"]).ok();
    home.run(&["disconnect", "pi", "--yes"]).ok();
    assert_eq!(home.read(auth), text);
    // One that does not open is named, and is no reason to remove it.
    home.run(&args).ok();
    let files = home.files().into_iter();
    let copy: Vec<String> = files
        .filter(|file| file.ends_with("connected/pi"))
        .collect();
    home.write(&copy[0], "clawkeep copy 1\nanother key's");
    let run = home.run(&["disconnect", "pi", "--yes"]).exits(0);
    assert!(run.stderr.contains("does not open"), "{run:?}");
    assert!(home.at(&copy[0]).exists() && !home.read(auth).contains("token -q"));
    refuses(
        &home,
        &["connect", "opencode"],
        1,
        &["clawkeep run openai -- opencode"],
    );
}

#[test]
fn a_key_that_came_from_pi_is_clawkeeps_own_once_pi_asks_for_it() {
    let home = home();
    let auth = ".pi/agent/auth.json";
    let text = format!("{{\"groq\": {{\"type\": \"api_key\", \"key\": \"gsk_{KEY}\"}}}}\n");
    home.write(auth, &text);
    home.run(&["import", auth]).ok();
    home.run(&["connect", "pi", "--yes", "--id", "groq:default"])
        .ok();
    for args in [
        &["sync"][..],
        &["discover"],
        &["import", auth],
        &["doctor"],
        &["list"],
    ] {
        let run = home.run(args);
        assert!(!format!("{run:?}").contains("borrowed"), "{run:?}");
        assert!(!run.stderr.contains("Warning"), "{run:?}");
    }
    let found = home.run(&["discover", "--json"]).json();
    let is_of_pi = |found: &&serde_json::Value| found["program"] == json!("pi");
    let of_pi = found["credentials"]
        .as_array()
        .unwrap()
        .iter()
        .find(is_of_pi);
    assert_eq!(of_pi.unwrap()["kept"], json!("clawkeep"));
    assert_eq!(of_pi.unwrap()["takeIn"], json!(null));
    let add = ["add", "groq", "--id", "groq:default", "--yes"];
    home.run_with_input(&add, &format!("gsk_{KEY}-new")).ok();
    let token = home.run(&["token", "-q", "--profile", "groq:default"]).ok();
    assert_eq!(token, format!("gsk_{KEY}-new\n"));
    // A key of another file stays borrowed, and the advice names the option of `add`.
    home.run(&["disconnect", "pi", "--yes"]).ok();
    home.run(&["import", auth, "--borrowed"]).ok();
    let run = home.run_with_input(&add, &format!("gsk_{KEY}")).exits(1);
    assert!(run.stderr.contains("another id with --id."), "{run:?}");
}

#[test]
fn a_connected_program_whose_key_is_gone_is_named() {
    let home = home();
    home.run(&["connect", "claude", "--yes"]).ok();
    home.run(&["connect", "codex", "--yes"]).ok();
    let fix = "clawkeep add anthropic --id anthropic:manual";
    let run = home.run(&["rm", "anthropic:manual", "--yes"]).exits(0);
    let said = "Claude Code gets no key: it asks clawkeep for anthropic:manual";
    assert!(
        run.stderr.contains(said) && run.stderr.contains(fix),
        "{run:?}"
    );
    let run = home.run(&["rm", "openai:manual", "--yes"]).exits(0);
    assert!(run.stderr.contains("clawkeep add openai"), "{run:?}");
    assert!(!run.stderr.contains("Claude"), "{run:?}");
    let run = home.run(&["connect"]).exits(0);
    assert!(run.stdout.contains("connected, no key"), "{run:?}");
    assert!(run.stderr.contains(fix), "{run:?}");
    let listed = home.run(&["connect", "--json"]).json();
    assert_eq!(listed["programs"][1]["state"], json!("no-key"));
    assert_eq!(listed["programs"][1]["fix"], json!(fix));
    let run = home.run(&["doctor"]);
    assert!(
        run.stdout.contains(said) && run.stdout.contains(fix),
        "{run:?}"
    );
    home.run_with_input(&["add", "anthropic", "--yes"], KEY)
        .ok();
    let listed = home.run(&["connect", "--json"]).json();
    assert_eq!(listed["programs"][1]["state"], json!("connected"));
}

/// What is run later must be what is installed now.
#[cfg(unix)]
#[test]
fn no_program_is_stored_that_another_user_can_replace() {
    let home = home();
    home.write(CODEX, SETTINGS);
    fs::create_dir(home.at("open")).unwrap();
    let program = home.command(&[]).get_program().to_owned();
    std::os::unix::fs::symlink(program, home.at("open/clawkeep")).unwrap();
    chmod(&home.at("open"), 0o777);
    for args in [
        &["connect", "codex", "--yes"][..],
        &["monitor", "install", "--dry-run"],
    ] {
        let mut command = home.command(args);
        let output = command.env("PATH", home.at("open")).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for words in [
            "can be written by other users",
            "Install clawkeep in a directory",
        ] {
            assert!(said.contains(words), "{args:?}: {said}");
        }
    }
    assert_eq!(home.read(CODEX), SETTINGS);
}
