//! Every example that a `--help` shows is run, in a home that has what the examples name. One that
//! cannot be run there fails the test: either the example is wrong, or what it needs is to be added
//! to the home below.

use std::fs::File;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use url::Url;

use crate::login::{callback, open};
use crate::support::damage::chmod;
use crate::support::home::{HOUR, Home, now_ms};
use crate::support::login_server::{LoginServer, jwt};
use crate::support::provider::Provider;
use crate::support::terminal::Terminal;

/// Long enough for a loaded machine; an example that takes longer fails.
const PATIENCE: Duration = Duration::from_secs(60);
const SECRET: &str = "sk-test-typed-secret-0123456789";

/// What a person does at an example that asks: waits for a text, and types.
enum Person {
    Types(&'static str, &'static str),
    /// The same, where it does not show.
    Hides(&'static str, &'static str),
    /// Logs in with a browser on this machine, which comes back.
    Browses,
    /// Logs in with a browser elsewhere, and pastes what it ends at.
    Pastes,
}

/// The examples that need somebody at a terminal.
const ON_A_TERMINAL: &[(&str, &[Person])] = &[
    (
        "clawkeep add openai",
        &[Person::Hides("Paste API key or token for openai", SECRET)],
    ),
    ("clawkeep login openai-codex", &[Person::Browses]),
    (
        "clawkeep login openai-codex --no-browser",
        &[Person::Pastes],
    ),
    (
        "clawkeep rm anthropic:manual",
        &[Person::Types("Remove anthropic:manual", "y\r")],
    ),
    (
        "clawkeep doctor",
        &[Person::Types("chmod 700 ~/.clawdbot? [Y/n]", "y\r")],
    ),
    (
        "clawkeep key add passphrase",
        &[
            Person::Hides("New passphrase", "four words from a hat"),
            Person::Hides("Once more", "four words from a hat"),
        ],
    ),
    (
        "clawkeep models auth add",
        &[
            Person::Types("Token provider", "2\r"),
            Person::Types("Provider id", "groq\r"),
            Person::Types("Method", "\r"),
            Person::Types("Profile id", "\r"),
            Person::Types("Does this token expire?", "n\r"),
            Person::Hides("Paste token for groq", SECRET),
        ],
    ),
    (
        "clawkeep models auth login --provider openai-codex",
        &[Person::Browses],
    ),
    (
        "clawkeep models auth login --provider openai-codex --no-browser",
        &[Person::Pastes],
    ),
    (
        "clawkeep models auth paste-api-key --provider openai",
        &[Person::Hides("Paste API key for openai", SECRET)],
    ),
    (
        "clawkeep models auth paste-token --provider anthropic",
        &[Person::Hides("Paste token for anthropic", SECRET)],
    ),
    (
        "clawkeep models auth remove anthropic:manual",
        &[Person::Types("Remove anthropic:manual", "y\r")],
    ),
    (
        "clawkeep models auth setup-token",
        &[Person::Types("Run `claude setup-token` now?", "\r")],
    ),
    ("clawkeep models auth setup-token --yes", &[]),
    (
        "clawkeep models auth trust openai-codex:default",
        &[Person::Types("[y/N]", "y\r")],
    ),
];

/// What the examples name, beside what [`stage`] writes: bash, and the part of an example that says
/// it is needed.
const SET_UP: &[(&str, &str)] = &[
    ("", "clawkeep -q sync > /dev/null"),
    (
        " restore openai:",
        "for version in 1 2 3 4; do
            echo sk-test-openai-$version-abcdefgh |
                clawkeep -q models auth paste-api-key --provider openai --profile-id openai:default
        done",
    ),
    (
        "session",
        "clawkeep -q session pin telegram:42 anthropic:work",
    ),
    (" key ", "clawkeep -q key recovery"),
    ("--head saved", "clawkeep audit head > saved.head"),
    (
        "--head record",
        "clawkeep -q audit export --to record-2026-01-09.jsonl",
    ),
    (" backup ", "mkdir backup"),
    (
        " backup verify ",
        "clawkeep -q backup create backup/vault-2026-11-25.db",
    ),
    (
        " backup restore ",
        "clawkeep -q backup create backup/vault-2026-11-25.db",
    ),
    // Its endpoint is then known, and another one is set.
    (" trust ", "clawkeep -q refresh openai-codex:default"),
];

/// The servers of the providers.
struct Servers {
    refresh: Provider,
    login: LoginServer,
}

/// The home of an example.
fn stage(example: &str, servers: &Servers) -> Home {
    let home = Home::with_claude("sk-ant-oat01-claude-abcdefgh", 200);
    program(&home, "bin/jq", "cat > /dev/null");
    program(&home, "bin/man", "cat > /dev/null");
    let login = json!({"claudeAiOauth": {"accessToken": "sk-ant-oat01-year", "refreshToken": "r",
        "expiresAt": now_ms() + 8760 * HOUR}});
    home.write("login.json", login.to_string());
    program(
        &home,
        "bin/claude",
        "cp ~/login.json ~/.claude/.credentials.json",
    );
    program(
        &home,
        "agent",
        "test -n \"$ANTHROPIC_API_KEY$ANTHROPIC_OAUTH_TOKEN\" && test -n \"$OPENAI_API_KEY\"",
    );
    home.write("job.py", "import os\nassert os.environ['OPENAI_API_KEY']\n");
    home.write("token.txt", "sk-ant-oat01-from-a-file-abcdefgh\n");
    home.write("key.txt", "sk-test-from-a-file-abcdefgh\n");
    home.write("passphrase.txt", "four words from a hat\n");
    home.write("old/auth-profiles.json", store(&servers.refresh));
    home.write(
        ".local/share/opencode/auth.json",
        json!({"groq": {"type": "api", "key": "sk-test-groq-of-opencode"}}).to_string(),
    );
    if example == "clawkeep init" || example.starts_with("clawkeep init ") {
        return home; // there is nothing yet
    }
    for agent in ["main", "ops"] {
        let path = format!(".clawdbot/agents/{agent}/agent/auth-profiles.json");
        home.write(&path, store(&servers.refresh));
    }
    let refresh = servers.refresh.setting("openai-codex");
    home.write(".clawdbot/clawkeep.toml", &refresh);
    // one thing for the doctor to mend
    bash(&home, "chmod -R go-rwx .clawdbot; chmod 755 .clawdbot");
    let needed = SET_UP.iter().filter(|(part, _)| example.contains(part));
    let scripts: Vec<&str> = needed.map(|(_, script)| *script).collect();
    bash(&home, &format!("set -e\n{}", scripts.join("\n")));
    let is_login = example.contains(" login ") || example.contains(" trust ");
    let settings = if is_login {
        let codex = servers.login.setting("openai-codex", "redirect_port = 0");
        codex + &servers.login.setting("acme", "")
    } else {
        refresh
    };
    let rules = "[clawkeep]\nretention = \"400d\"\n";
    home.write(".clawdbot/clawkeep.toml", format!("{rules}{settings}"));
    home
}

fn store(provider: &Provider) -> String {
    let key =
        |provider: &str, key: &str| json!({"type": "api_key", "provider": provider, "key": key});
    json!({"version": 1, "profiles": {
        "anthropic:work": key("anthropic", "sk-ant-api03-work-abcdefgh"),
        "anthropic:manual": {"type": "token", "provider": "anthropic",
        "token": "sk-ant-oat01-manual-abcdefgh"},
        "openai:default": key("openai", "sk-test-openai-0-abcdefgh"),
        "openai-codex:default": {
            "type": "oauth", "provider": "openai-codex", "access": "sk-test-access-0",
            "refresh": provider.grant("codex"), "expires": now_ms() + 48 * HOUR,
        },
    }})
    .to_string()
}

fn program(home: &Home, path: &str, script: &str) {
    home.write(path, format!("#!/bin/sh\n{script}\n"));
    chmod(&home.at(path), 0o700);
}

/// A shell in the home, with the program on its PATH.
fn shell(home: &Home, script: &str) -> Command {
    let program = env!("CARGO_BIN_EXE_clawkeep");
    let link = home.at("bin/clawkeep");
    if !link.exists() {
        std::os::unix::fs::symlink(program, link).unwrap();
    }
    let mut command = Command::new("bash");
    command
        .args(["-c", script])
        .env_clear()
        .env("HOME", home.path())
        .env("USER", "tester")
        .env("DISPLAY", ":9") // a desktop, without a browser
        .env("EDITOR", "true") // an editor in which nothing is changed
        .env(
            "PATH",
            format!("{}:/usr/bin:/bin", home.at("bin").display()),
        )
        .current_dir(home.path());
    command
}

#[track_caller]
fn bash(home: &Home, script: &str) {
    let output = shell(home, script).output().unwrap();
    assert!(output.status.success(), "{script}\n{output:?}");
}

/// The examples of a command and of those below it, as they are typed.
fn examples(home: &Home, words: &[&str], found: &mut Vec<String>) {
    let mut help = home.command(&[words, &["--help"]].concat());
    let help = help.env("COLUMNS", "1000").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let section = |heading: &'static str| {
        let mut lines = help.lines().skip_while(move |line| *line != heading);
        lines.next();
        lines
            .take_while(|line| !line.is_empty())
            .map(str::trim_start)
    };
    let typed = section("Example:").chain(section("Examples:"));
    // What is said of an example stands after two blanks.
    let typed = typed.map(|line| line.split("  ").next().unwrap().to_owned());
    let before = found.len();
    found.extend(typed);
    assert!(found.len() > before, "{words:?} has no example:\n{help}");
    for below in section("Commands:") {
        let name = below.split(' ').next().unwrap();
        if name != "help" {
            examples(home, &[words, &[name]].concat(), found);
        }
    }
}

/// Runs an example; what went wrong.
fn run(example: &str) -> Option<String> {
    let servers = Servers {
        refresh: Provider::start(),
        login: LoginServer::start(),
    };
    let claims = jwt(&json!({"https://api.openai.com/auth": {"chatgpt_account_id": "acc-1"}}));
    servers.login.with(json!({"access_token": claims}));
    let home = stage(example, &servers);
    make_directories(&home, example);
    let command = shell(&home, example);
    let asks = ON_A_TERMINAL.iter().find(|(known, _)| *known == example);
    let (status, shown) = match asks {
        Some((_, people)) => {
            let mut terminal = Terminal::start(command);
            people
                .iter()
                .for_each(|person| person.acts(&mut terminal, &servers.login));
            terminal.end()
        }
        None => ended(&home, command),
    };
    // Most machines that run these tests have no service manager to install into.
    let is_left_to_people = status == 1 && shown.contains("so nothing was installed");
    let has_failed = status != 0 && !is_left_to_people;
    has_failed.then(|| format!("$ {example}\nexit status {status}\n{shown}"))
}

/// Runs a program to its end. What tells its service manager that it is ready goes on until it is
/// ended, as a service manager does that.
fn ended(home: &Home, mut command: Command) -> (i32, String) {
    let manager = UnixDatagram::bind(home.at("notify")).unwrap();
    manager
        .set_read_timeout(Some(Duration::from_millis(20)))
        .unwrap();
    let shown = File::create(home.at("shown")).unwrap();
    command
        .env("NOTIFY_SOCKET", home.at("notify"))
        .stdin(Stdio::null())
        .stdout(shown.try_clone().unwrap())
        .stderr(shown);
    let mut child = command.spawn().unwrap();
    let until = Instant::now() + PATIENCE;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        let mut told = [0; 4096];
        let length = manager.recv(&mut told).unwrap_or(0);
        if told[..length].windows(7).any(|part| part == b"READY=1") {
            kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
        }
        if Instant::now() > until {
            child.kill().unwrap();
        }
    };
    (status.code().unwrap_or(-1), home.read("shown"))
}

/// Who writes a file somewhere has its directory.
fn make_directories(home: &Home, example: &str) {
    let words: Vec<&str> = example.split(' ').collect();
    for pair in words.windows(2).filter(|pair| pair[0].starts_with('>')) {
        if let Some((dir, _)) = pair[1].rsplit_once('/') {
            bash(home, &format!("mkdir -p {dir}"));
        }
    }
}

impl Person {
    fn acts(&self, terminal: &mut Terminal, server: &LoginServer) {
        match self {
            Self::Types(question, keys) => terminal.answer(question, keys),
            Self::Hides(question, secret) => terminal.answer_hidden(question, secret),
            Self::Browses => {
                terminal.wait_for("Waiting 5 minutes");
                let url = address(terminal);
                open(&callback(&url, &server.agree(&url)));
            }
            Self::Pastes => {
                terminal.wait_for("Paste it here");
                let url = address(terminal);
                let ended_at = callback(&url, &server.agree(&url));
                terminal.answer_hidden("Paste it here", ended_at.as_str());
            }
        }
    }
}

/// The address that is shown, on a line of its own.
fn address(terminal: &Terminal) -> Url {
    let lines = terminal.shown().lines();
    let url = lines.filter_map(|line| line.strip_prefix("  http")).next();
    Url::parse(&format!("http{}", url.unwrap().trim())).unwrap()
}

#[test]
fn every_example_of_every_help_runs() {
    let mut found = Vec::new();
    examples(&Home::new(), &[], &mut found);
    found.sort();
    found.dedup();
    assert!(found.len() > 60, "{found:?}");
    for (known, _) in ON_A_TERMINAL {
        assert!(
            found.iter().any(|one| one == known),
            "no help shows {known}"
        );
    }
    let left = Mutex::new(found);
    let faults = Mutex::new(Vec::new());
    let next = || left.lock().unwrap().pop();
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some(example) = next() {
                    faults.lock().unwrap().extend(run(&example));
                }
            });
        }
    });
    let faults = faults.into_inner().unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}
