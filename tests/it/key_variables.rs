//! What leads to the vault's key is in no program's environment that this one starts, unless that
//! is asked for.

use std::fs;
use std::process::{Command, Stdio};

use serde_json::json;

use crate::support::damage::{chmod, home_with_vault, key_file};
use crate::support::home::{Home, Run};
use crate::support::login_server::LoginServer;
use crate::support::terminal::Terminal;

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const CONFIG: &str = ".clawdbot/clawdbot.json";
const NAMES: [&str; 3] = [
    "CLAWKEEP_KEY_FILE",
    "CLAWKEEP_PASSPHRASE_FILE",
    "CREDENTIALS_DIRECTORY",
];

/// A home whose key file, passphrase file and credentials are named by variables.
struct Named {
    home: Home,
}

impl Named {
    fn new() -> Self {
        let home = home_with_vault();
        let key = fs::read(key_file(&home)).unwrap();
        home.write("named/vault.key", &key);
        home.write("named/phrase", "correct horse battery staple");
        home.write("credentials/clawkeep.key", &key);
        Self { home }
    }

    fn name(&self, mut command: Command) -> Command {
        let files = ["named/vault.key", "named/phrase", "credentials"];
        for (name, file) in NAMES.iter().zip(files) {
            command.env(name, self.home.at(file));
        }
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.name(self.home.command(args)).output().unwrap().into()
    }

    /// A program that writes its environment to `env` in the home.
    fn program(&self, path: &str, more: &str) {
        let text = format!(
            "#!/bin/sh\nenv > '{}'\n{more}",
            self.home.at("env").display()
        );
        self.home.write(path, text);
        chmod(&self.home.at(path), 0o700);
    }

    /// Those of the variables that the program got which was run last.
    fn got(&self) -> Vec<&'static str> {
        let env = self.home.read("env");
        fs::remove_file(self.home.at("env")).unwrap();
        assert!(env.contains("PATH="), "{env}");
        let is_there = |name: &&str| {
            env.lines()
                .any(|line| line.starts_with(&format!("{name}=")))
        };
        NAMES.into_iter().filter(is_there).collect()
    }
}

const NONE: [&str; 0] = [];

#[test]
fn exec_passes_them_on_where_that_is_asked_for_alone() {
    let named = Named::new();
    let exec = |more: &[&'static str]| {
        let args = [&["exec", "--provider", "openai"][..], more, &["--", "env"]].concat();
        let env = named.run(&args).ok();
        assert!(env.contains("OPENAI_API_KEY=sk-test-openai"), "{env}");
        named.home.write("env", env);
        named.got()
    };
    assert_eq!(exec(&[]), NONE);
    assert_eq!(exec(&["--pass-key-variables"]), NAMES);
    // Another program's credential there may be this one's.
    named.home.write("credentials/tls.pem", "p");
    assert_eq!(exec(&[]), ["CREDENTIALS_DIRECTORY"]);
}

#[test]
fn no_other_program_gets_them() {
    let named = Named::new();
    let home = &named.home;
    // Who is told of alerts.
    named.program("bin/told", "");
    let told = home.at("bin/told");
    home.write(
        SETTINGS,
        format!("[notify.command.x]\nrun = [\"{}\"]\n", told.display()),
    );
    named.run(&["watch", "--test-notify"]).ok();
    assert_eq!(named.got(), NONE, "an alert's command");
    // A login shell.
    named.program("bin/shell", "env -0");
    home.write(
        CONFIG,
        json!({"env": {"shellEnv": {"enabled": true}}}).to_string(),
    );
    let mut status = named.name(home.command(&["models", "status"]));
    status.env("SHELL", home.at("bin/shell"));
    Run::from(status.output().unwrap()).ok();
    assert_eq!(named.got(), NONE, "a login shell");
    home.write(CONFIG, "{}");
    // Claude Code.
    named.program("bin/claude", "exit 3");
    let mut setup = named.name(home.command(&["models", "auth", "setup-token", "--yes"]));
    with_path(&mut setup, home);
    Terminal::start(setup).end();
    assert_eq!(named.got(), NONE, "claude setup-token");
    // The browser.
    let server = LoginServer::start();
    home.write(SETTINGS, server.setting("test", ""));
    named.program("bin/xdg-open", "");
    let args = ["models", "auth", "login", "--provider", "test"];
    let mut login = named.name(home.command(&args));
    with_path(&mut login, home);
    login.env("DISPLAY", ":9").stderr(Stdio::null());
    let mut child = login.spawn().unwrap();
    while !fs::read(home.at("env")).is_ok_and(|env| env.ends_with(b"\n")) {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(named.got(), NONE, "the browser");
    // The gateway's own program.
    fs::create_dir(home.at("first")).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), home.at("first/clawdbot")).unwrap();
    named.program("bin/clawdbot", "");
    let mut gateway = Command::new(home.at("first/clawdbot"));
    gateway.arg("gateway").env_clear().env("HOME", home.path());
    let mut gateway = named.name(gateway);
    gateway.env(
        "PATH",
        format!(
            "{}:{}:/usr/bin:/bin",
            home.at("first").display(),
            home.at("bin").display()
        ),
    );
    Run::from(gateway.output().unwrap()).ok();
    assert_eq!(named.got(), NONE, "the gateway");
}

fn with_path(command: &mut Command, home: &Home) {
    let path = format!("{}:/usr/bin:/bin", home.at("bin").display());
    command.env("PATH", path);
}
