//! Keys that are neither in the store nor in the environment: a login shell's, the configuration's.

use serde_json::{Value, json};

use crate::support::damage::chmod;
use crate::support::home::{Home, Run};

const CONFIG: &str = ".clawdbot/clawdbot.json";

fn home(config: &str) -> Home {
    let home = Home::new();
    home.write(CONFIG, config);
    home.write(
        ".profile",
        "export OPENAI_API_KEY=sk-test-of-the-login-shell-0123456789 OTHER=1\n",
    );
    home
}

fn provider(answer: &Value, name: &str) -> Value {
    let providers = answer["auth"]["providers"].as_array().unwrap();
    let found = providers.iter().find(|entry| entry["provider"] == name);
    found.cloned().unwrap_or_default()
}

#[cfg(unix)]
#[test]
fn a_login_shell_is_asked_where_the_configuration_says_so() {
    let home = home("{env: {shellEnv: {enabled: true}}}");
    let answer = home.run(&["models", "status", "--json"]).json();
    assert_eq!(
        answer["auth"]["shellEnvFallback"],
        json!({"enabled": true, "appliedKeys": ["OPENAI_API_KEY"]})
    );
    let env = &provider(&answer, "openai")["env"];
    assert_eq!(env["source"], "shell env: OPENAI_API_KEY");
    assert_eq!(env["value"], "sk-test-...23456789");
    let text = home.run(&["models", "status"]).ok();
    assert!(
        text.contains("Shell env     : on (applied: OPENAI_API_KEY)\n"),
        "{text}"
    );
    // One of the keys is set: no need to ask.
    let mut command = home.command(&["models", "status", "--json"]);
    command.env("GEMINI_API_KEY", "sk-test-gemini-0123456789");
    let answer = Run::from(command.output().unwrap()).json();
    assert_eq!(answer["auth"]["shellEnvFallback"]["appliedKeys"], json!([]));
    // Not asked at all.
    home.write(CONFIG, "{}");
    let answer = home.run(&["models", "status", "--json"]).json();
    assert_eq!(
        answer["auth"]["shellEnvFallback"],
        json!({"enabled": false, "appliedKeys": []})
    );
    assert_eq!(provider(&answer, "openai"), Value::Null);
}

#[cfg(unix)]
#[test]
fn a_shell_that_fails_is_no_reason_not_to_answer() {
    let home = home("{env: {shellEnv: {enabled: true, timeoutMs: 300}}}");
    home.run(&["init"]).ok();
    home.write(".profile", "exec sleep 600\n");
    let run = home.run(&["models", "status", "--json"]).exits(0);
    assert!(
        run.stderr.contains("env.shellEnv") && run.stderr.contains("in time"),
        "{}",
        run.stderr
    );
}

#[test]
fn variables_of_the_configuration_count_where_none_is_set() {
    let home = home(
        "{env: {vars: {GROQ_API_KEY: 'sk-test-of-vars-of-the-file-0123456789'}, XAI_API_KEY: \
         'sk-test-beside-0123456789', n: 3}}",
    );
    let mut command = home.command(&["models", "status", "--json"]);
    command.env("XAI_API_KEY", "sk-test-set-as-it-is-here-0123456789");
    let answer = Run::from(command.output().unwrap()).json();
    assert_eq!(
        provider(&answer, "groq")["env"]["source"],
        "env: GROQ_API_KEY"
    );
    assert_eq!(
        provider(&answer, "xai")["env"]["value"],
        "sk-test-...23456789"
    );
    assert_eq!(
        provider(&answer, "groq")["env"]["value"],
        "sk-test-...23456789"
    );
}

#[test]
fn dotenv_files_set_keys_and_nothing_else() {
    let home = home("{}");
    home.write(
        ".clawdbot/.env",
        "OPENAI_API_KEY=sk-test-of-state-0123456789\n\
         XAI_API_KEY='sk-test-of-state-of-this-9876543210'\n",
    );
    home.write(
        "work/.env",
        "export OPENAI_API_KEY=\"sk-test-of-work-of-this-0123456aaaa\"\n\
        CLAWDBOT_STATE_DIR=/nowhere\nHOME=/nowhere\n",
    );
    let mut command = home.command(&["models", "status", "--json"]);
    command.current_dir(home.at("work"));
    let answer = Run::from(command.output().unwrap()).json();
    assert_eq!(
        provider(&answer, "openai")["env"]["value"],
        "sk-test-...3456aaaa"
    );
    assert_eq!(
        provider(&answer, "openai")["env"]["source"],
        "env: OPENAI_API_KEY"
    );
    assert_eq!(
        provider(&answer, "xai")["env"]["value"],
        "sk-test-...76543210"
    );
    assert!(home.at(".clawdbot/vault.db").exists());
}

/// An address of a bus that starts a program is not followed: that program would get an environment
/// which says where the key is.
#[cfg(unix)]
#[test]
fn no_address_of_a_bus_starts_a_program() {
    let home = home("{}");
    let marker = home.at("started");
    home.write("bus.sh", format!("#!/bin/sh\n: > '{}'\n", marker.display()));
    chmod(&home.at("bus.sh"), 0o755);
    for address in ["unixexec:path=", "unix:path=/nonexistent;unixexec:path="] {
        let address = format!("{address}{}", home.at("bus.sh").display());
        let mut command = home.command(&["init", "--key", "keychain"]);
        command.env("DBUS_SESSION_BUS_ADDRESS", address);
        let run = Run::from(command.output().unwrap());
        assert_ne!(run.status, 0, "{run:?}");
        assert!(run.stderr.contains("there is no session bus"), "{run:?}");
        assert!(!marker.exists());
    }
}

#[test]
fn a_misspelt_value_does_not_leave_the_keychain_in_use() {
    let home = Home::new();
    let run = |value: &str| -> Run {
        let mut command = home.command(&["init"]);
        command.env("CLAWKEEP_KEYCHAIN", value);
        command.output().unwrap().into()
    };
    let refused = run("Off").exits(64);
    let why = "CLAWKEEP_KEYCHAIN is off, or not set";
    assert!(refused.stderr.contains(why), "{refused:?}");
    assert!(!home.at(".clawdbot/vault.db").exists());
    let made = run("off").exits(0);
    assert!(made.stderr.contains("key file"), "{made:?}");
}
