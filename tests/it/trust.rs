//! Nothing is obeyed, read or written before it is known that nobody else can have changed it.

mod logins;
mod places;
mod secrets;
mod setups;

use std::fs;
use std::os::unix::fs::symlink;

use crate::support::damage::{STATUS, chmod, home_with_vault, refuses};
use crate::support::home::{Home, Run, VAULT};
use crate::support::users::{ANA, Machine, can_be_others, give, own, owned_by};

const CONFIG: &str = ".clawdbot/clawdbot.json";

/// Gives a home a program that leaves `ran` where it runs, and a configuration that would run it in
/// every way there is.
fn plant(home: &Home) {
    let mark = home.at("ran").display().to_string();
    home.write(
        "evil",
        format!("#!/bin/sh\necho \"$0\" >> {mark}\nexec /bin/sh \"$@\"\n"),
    );
    chmod(&home.at("evil"), 0o755);
    home.write(".profile", format!("echo profile >> {mark}\n"));
    let evil = home.at("evil").display().to_string();
    let config = serde_json::json!({"env": {
        "shellEnv": {"enabled": true},
        "vars": {"SHELL": evil, "BASH_ENV": evil, "ENV": evil, "LD_PRELOAD": "/nowhere.so",
        "HOME": home.path()},
        "PATH": home.path(),
    }});
    home.write(CONFIG, config.to_string());
}

#[test]
fn root_runs_nothing_that_another_users_configuration_names() {
    if !can_be_others("root_runs_nothing_that_another_users_configuration_names") {
        return;
    }
    let anas = Home::new();
    plant(&anas);
    anas.write(
        ".clawdbot/clawkeep.toml",
        format!(
            "[notify.command.x]\nrun = [\"{}\"]\n",
            anas.at("evil").display()
        ),
    );
    give(anas.path(), ANA, ANA);
    chmod(anas.path(), 0o755);
    let roots = Home::new();
    roots.write("run/x", "");
    let state = anas.at(".clawdbot");
    let state = state.to_str().unwrap();
    let by_option = |args: &[&str]| {
        let mut command = roots.command(&[&["--state-dir", state], args].concat());
        Run::from(command.output().unwrap())
    };
    for args in [
        STATUS,
        &["sync"],
        &["watch", "--once"],
        &["doctor"],
        &["doctor", "--fix"],
        &["token", "--provider", "openai"],
        &["init"],
        &["models", "auth", "list"],
    ] {
        let run = by_option(args);
        assert_ne!(run.status, 0, "{args:?}: {run:?}");
        let said = format!("{}{}", run.stdout, run.stderr);
        assert!(said.contains("belongs to user 1000"), "{args:?}: {said}");
        for (name, value) in [
            ("CLAWDBOT_STATE_DIR", state),
            ("HOME", anas.path().to_str().unwrap()),
        ] {
            let mut command = roots.command(args);
            command.env(name, value);
            let run = Run::from(command.output().unwrap());
            assert_ne!(run.status, 0, "{name} {args:?}: {run:?}");
        }
        assert!(!anas.at("ran").exists(), "{args:?}: {}", anas.read("ran"));
        let roots_files = owned_by(0, anas.path());
        assert!(roots_files.is_empty(), "{args:?}: {roots_files:?}");
    }
    let run = by_option(STATUS);
    for words in ["(mode 7", "sudo -u '#1000'", "runuser -u", ".clawdbot"] {
        assert!(run.stderr.contains(words), "{words}: {}", run.stderr);
    }
    // A configuration of root's own, and the home of another user kept.
    let config = roots.at("own.json");
    fs::write(&config, "{env: {shellEnv: {enabled: true}}}").unwrap();
    let mut command = roots.command(STATUS);
    command
        .env("HOME", anas.path())
        .env("CLAWDBOT_CONFIG_PATH", &config)
        .env("CLAWDBOT_STATE_DIR", roots.at("state"))
        .env("CLAWDBOT_LOAD_SHELL_ENV", "1");
    Run::from(command.output().unwrap()).exits(65);
    assert!(!anas.at("ran").exists(), "{}", anas.read("ran"));
    assert!(
        !roots.at("state").exists(),
        "the home is looked at before anything is made"
    );
}

#[test]
fn an_open_configuration_is_not_obeyed() {
    let home = home_with_vault();
    plant(&home);
    for (path, mode, words) in [
        (CONFIG, 0o666, "chmod go-w"),
        (CONFIG, 0o602, "chmod go-w"),
        (".clawdbot", 0o777, "chmod go-w"),
        (".clawdbot", 0o702, "chmod go-w"),
        ("", 0o777, "chmod go-w"),
    ] {
        let path = home.at(path);
        let path = path.components().collect::<std::path::PathBuf>();
        let before = fs::metadata(&path).unwrap().permissions();
        chmod(&path, mode);
        let mode = format!("mode {mode:03o}, owner");
        let run = refuses(
            &home,
            STATUS,
            65,
            &[words, "can be written by other users", &mode],
        );
        assert!(
            run.stderr.contains(path.to_str().unwrap()),
            "{}",
            run.stderr
        );
        fs::set_permissions(&path, before).unwrap();
    }
    if can_be_others("an_open_configuration_is_not_obeyed: of others") {
        chmod(&home.at(CONFIG), 0o620); // by the group of root, which is nobody's own
        refuses(&home, STATUS, 65, &["chmod go-w", "clawdbot.json"]);
        chmod(&home.at(CONFIG), 0o600);
        own(&home.at(CONFIG), ANA);
        refuses(
            &home,
            STATUS,
            65,
            &["belongs to user 1000", "chown 0", "clawdbot.json"],
        );
        own(&home.at(CONFIG), 0);
        // A link to somebody else's.
        fs::create_dir(home.at("anas")).unwrap();
        fs::rename(home.at(CONFIG), home.at("anas/c.json")).unwrap();
        give(&home.at("anas"), ANA, ANA);
        symlink(home.at("anas/c.json"), home.at(CONFIG)).unwrap();
        refuses(
            &home,
            STATUS,
            65,
            &["belongs to user 1000", "anas", "clawdbot.json is not used"],
        );
    }
    assert!(!home.at("ran").exists(), "{}", home.read("ran"));
}

/// The user's own configuration can have a shell asked; which, and in which environment, it cannot
/// say.
#[test]
fn a_configuration_chooses_no_program() {
    let home = Home::new();
    plant(&home);
    home.write(
        ".profile",
        "export OPENAI_API_KEY=sk-test-0123456789abcdef\n",
    );
    home.write(
        ".clawdbot/.env",
        format!("SHELL={0}\nBASH_ENV={0}\n", home.at("evil").display()),
    );
    let answer = home.run(&["models", "status", "--json"]).json();
    assert_eq!(
        answer["auth"]["shellEnvFallback"]["appliedKeys"],
        serde_json::json!(["OPENAI_API_KEY"])
    );
    assert!(!home.at("ran").exists(), "{}", home.read("ran"));
    // Alerts run a program: not one that everybody may write.
    home.write(
        ".clawdbot/clawkeep.toml",
        format!(
            "[notify.command.x]\nrun = [\"{}\"]\n",
            home.at("evil").display()
        ),
    );
    chmod(&home.at("evil"), 0o777);
    let run = home.run(&["watch", "--test-notify"]);
    assert!(
        run.stdout.contains("can be written by other users"),
        "{run:?}"
    );
    assert!(!home.at("ran").exists());
    chmod(&home.at("evil"), 0o755);
    home.run(&["watch", "--test-notify"]);
    assert!(home.at("ran").exists());
}

#[test]
fn root_makes_no_file_in_another_users_home() {
    if !can_be_others("root_makes_no_file_in_another_users_home") {
        return;
    }
    let home = Home::with_claude("sk-test-claude-1", 100);
    fs::create_dir_all(home.at(".clawdbot/agents/main/agent")).unwrap();
    fs::create_dir_all(home.at("run")).unwrap();
    home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\nexport = \"runtime\"\n",
    );
    give(home.path(), ANA, ANA);
    let all: [&[&str]; 12] = [
        STATUS,
        &["sync"],
        &["watch", "--once"],
        &["init"],
        &["init", "--key", "keyfile"],
        &["token", "--provider", "anthropic"],
        &["models", "auth", "list"],
        &["doctor", "--fix"],
        &["history"],
        &["audit", "verify"],
        &["refresh"],
        &["export"],
    ];
    for args in all {
        let run = home.run(args);
        assert_ne!(run.status, 0, "{args:?}: {run:?}");
        let roots_files = owned_by(0, home.path());
        assert!(roots_files.is_empty(), "{args:?}: {roots_files:?}");
    }
    refuses(
        &home,
        STATUS,
        65,
        &["belongs to user 1000", "sudo -u '#1000'", "runuser -u"],
    );
    // The same with everything but the home elsewhere, root's own.
    let roots = Home::new();
    for args in all {
        let mut command = roots.command(args);
        command
            .env("HOME", home.path())
            .env("CLAWDBOT_STATE_DIR", roots.at("state"))
            .env("XDG_RUNTIME_DIR", home.at("run"));
        let _ = Run::from(command.output().unwrap());
        let roots_files = owned_by(0, home.path());
        assert!(roots_files.is_empty(), "{args:?}: {roots_files:?}");
        assert!(!roots.at("state/vault.db").exists(), "{args:?}");
    }
    // The user's own run then finds nothing in its way.
    let machine = Machine::default()
        .user(ANA, ANA, "")
        .set("XDG_RUNTIME_DIR", home.at("run").to_str().unwrap());
    machine.run(&home, STATUS).ok();
    assert!(home.at(VAULT).exists());
}
