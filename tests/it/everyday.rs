//! The commands of every day: what they do, for which agents, and that the gateway's name has none
//! of them.

use serde_json::{Value, json};

use crate::support::damage::refuses;
use crate::support::home::{CLAUDE, HOUR, Home, Run, STORE, TRUE, now_ms, start_with_input};
#[cfg(unix)]
use crate::support::terminal::Terminal;

const OPS: &str = ".clawdbot/agents/ops/agent/auth-profiles.json";

fn key(provider: &str, key: &str) -> Value {
    json!({"type": "api_key", "provider": provider, "key": key})
}

/// Two agents that share one key, and have one each of the same id.
fn home() -> Home {
    let home = Home::new();
    let shared = key("anthropic", "sk-test-shared");
    home.write(
        STORE,
        json!({"version": 1, "profiles": {
            "anthropic:shared": shared,
            "anthropic:old": {"type": "token", "provider": "anthropic", "token": "sk-test-old",
                "expires": now_ms() - HOUR},
            "openai:same": key("openai", "sk-test-openai-main"),
        }})
        .to_string(),
    );
    home.write(
        OPS,
        json!({"version": 1, "profiles": {
            "anthropic:shared": shared,
            "openai:same": key("openai", "sk-test-openai-ops"),
            "groq:only": key("groq", "sk-test-groq"),
        }})
        .to_string(),
    );
    home
}

fn given(home: &Home, args: &[&str], input: &str) -> Run {
    let child = start_with_input(home.command(args), input);
    Run::from(child.wait_with_output().unwrap())
}

#[test]
fn a_login_that_agents_share_is_one_row_and_the_worst_comes_first() {
    let home = home();
    let report = home.run(&["status", "--json"]).json();
    let rows = report["logins"].as_array().unwrap();
    assert_eq!(rows.len(), 5, "{report:#}");
    assert_eq!(rows[0]["profileId"], "anthropic:old");
    assert_eq!(
        (&rows[0]["usable"], &rows[0]["state"]),
        (&json!(false), &json!("expired"))
    );
    assert!(
        rows[0]["fix"]
            .as_str()
            .unwrap()
            .contains("clawkeep add anthropic --token"),
        "{report:#}"
    );
    assert_eq!(report["needAttention"], 1);
    let shared = rows
        .iter()
        .find(|row| row["profileId"] == "anthropic:shared")
        .unwrap();
    assert_eq!(shared["agents"], json!(["main", "ops"]));
    assert_eq!(shared.get("fix"), None);
    let text = home.run(&["status"]).ok();
    assert!(
        text.starts_with("1 of 5 credentials needs you.\n"),
        "{text}"
    );
    assert!(text.contains("What to do:\n  anthropic:old: "), "{text}");
    home.run(&["status", "--check"]).exits(1);
    home.run(&["status", "--check", "-a", "ops"]).exits(0);
    // The use is recorded, and shown.
    home.run(&["token", "groq"]).ok();
    let listed = home.run(&["ls", "groq", "-j"]).json();
    assert!(
        listed["logins"][0]["lastUsed"].as_i64().is_some(),
        "{listed:#}"
    );
}

#[test]
fn a_word_names_a_credential_of_whichever_agent_has_it() {
    let home = home();
    home.run(&["sync"]).ok();
    for (args, secret) in [
        (&["token", "groq"][..], "sk-test-groq"),
        (&["token", "only"], "sk-test-groq"),
        (&["token", "shar"], "sk-test-shared"),
        (&["token", "same"], "sk-test-openai-main"),
        (&["token", "same", "-a", "ops"], "sk-test-openai-ops"),
        (&["token", "-p", "openai"], "sk-test-openai-main"),
    ] {
        assert_eq!(home.run(args).ok().trim(), secret, "{args:?}");
    }
    refuses(
        &home,
        &["token", "anthropc"],
        64,
        &["anthropc", "Did you mean anthropic?"],
    );
    refuses(&home, &["token", "nothing"], 64, &["nothing", "groq:only"]);
    refuses(&home, &["token", "ol"], 64, &["ol", "anthropic:old"]);
    refuses(
        &home,
        &["token", "anth"],
        64,
        &["several", "anthropic:old", "anthropic:shared"],
    );
    refuses(
        &home,
        &["use", "same"],
        64,
        &["not the same credential", "--agent"],
    );
    refuses(
        &home,
        &["rm", "anthropic"],
        64,
        &["anthropic:old", "anthropic:shared"],
    );
    for (args, status, name) in [
        (&["token", "--provider", "antropic"][..], 64, "anthropic"),
        (&["token", "--profile", "openai:sam"], 64, "openai:same"),
        (
            &["models", "auth", "remove", "openai:sam", "--yes"],
            1,
            "openai:same",
        ),
        (&["session", "pin", "s", "openai:smae"], 1, "openai:same"),
    ] {
        refuses(&home, args, status, &["Did you mean", name]);
    }
    let run = home.run(&["token", "groq"]);
    assert_eq!(run.stderr, "Note: agent ops has it; main has none.\n");
    assert_eq!(home.run(&["token", "openai"]).stderr, "");
    assert_eq!(home.run(&["token", "groq", "-a", "ops"]).stderr, "");
    // One that only a store has, which was not read yet.
    let mut store = home.json(OPS);
    store["profiles"]["xai:new"] = key("xai", "sk-test-new");
    home.write(OPS, store.to_string());
    assert_eq!(home.run(&["token", "xai:new"]).ok().trim(), "sk-test-new");
}

#[test]
fn an_agent_that_is_not_there_is_refused() {
    let home = home();
    home.run(&["sync"]).ok();
    for command in ["status", "ls", "sync"] {
        let run = refuses(&home, &[command, "-a", "opss"], 64, &["no agent opss"]);
        assert!(run.stderr.contains("Did you mean ops?"), "{run:?}");
        refuses(
            &home,
            &[command, "-a", "none"],
            64,
            &["The agents: main, ops"],
        );
    }
    let home = Home::new();
    home.run(&["status"]).exits(0);
    home.run(&["status", "--check"]).exits(1);
}

#[test]
fn use_puts_a_credential_first_and_keeps_the_others() {
    let home = home();
    let text = home.run(&["use", "shared"]).ok();
    assert_eq!(
        text,
        "Agent main uses for anthropic: anthropic:shared, anthropic:old\nAgent ops uses for \
         anthropic: anthropic:shared\n"
    );
    assert_eq!(
        home.json(STORE)["order"]["anthropic"],
        json!(["anthropic:shared", "anthropic:old"])
    );
    home.run(&["use", "old", "--agent", "main"]).ok();
    assert_eq!(
        home.json(STORE)["order"]["anthropic"],
        json!(["anthropic:old", "anthropic:shared"])
    );
}

#[test]
fn what_changes_something_answers_in_json_too() {
    let home = home();
    let used = home.run(&["use", "shared", "-j"]).json();
    assert_eq!(used["orders"][1]["agentId"], "ops", "{used}");
    assert_eq!(
        used["orders"][0]["order"],
        json!(["anthropic:shared", "anthropic:old"])
    );
    let added = given(&home, &["add", "groq", "-j"], "sk-test-added").json();
    assert_eq!(
        (&added["profileId"], &added["type"]),
        (&json!("groq:manual"), &json!("api_key"))
    );
    let removed = home.run(&["rm", "anthropic:shared", "--yes", "-j"]).json();
    assert_eq!(
        removed,
        json!({"removed": "anthropic:shared", "agents": ["main", "ops"]})
    );
}

#[test]
fn what_is_in_cooldown_is_handed_out_with_a_warning() {
    let home = home();
    home.run(&[
        "models",
        "auth",
        "mark",
        "openai:same",
        "--failed",
        "billing",
    ])
    .ok();
    let run = home.run(&["token", "openai"]);
    assert!(
        run.stderr
            .contains("Warning: openai:same is not to be used now (disabled:billing"),
        "{run:?}"
    );
    assert_eq!(run.ok(), "sk-test-openai-main\n");
    let report = home.run(&["status", "-j"]).json();
    let row = &report["logins"][0];
    assert_eq!(row["usable"], json!(false), "{report:#}");
}

#[test]
fn a_cooldown_that_came_with_a_store_is_in_the_report() {
    let home = home();
    let mut store = home.json(STORE);
    let now = now_ms();
    store["usageStats"] = json!({"openai:same": {
        "lastFailureAt": now - HOUR, "cooldownUntil": now + HOUR, "errorCount": 3,
    }});
    home.write(STORE, store.to_string());
    home.run(&["sync"]).ok();
    let page = home.run(&["report", "--to", "-"]).ok();
    let drawn = page.matches("in cooldown or disabled from").count();
    assert_eq!(drawn, 1, "{page}");
}

#[test]
fn a_number_of_rows_is_explained() {
    let home = Home::new();
    for command in [&["log"][..], &["history", "uses"], &["history", "-f"]] {
        let args = [command, &["-n", "x"]].concat();
        refuses(
            &home,
            &args,
            64,
            &["how many to show at most", "such as 20"],
        );
    }
}

#[cfg(unix)]
#[test]
fn programs_of_many_providers_get_their_variable() {
    let home = Home::new();
    for (provider, variable) in [
        ("deepseek", "DEEPSEEK_API_KEY"),
        ("huggingface", "HF_TOKEN"),
        ("replicate", "REPLICATE_API_TOKEN"),
        ("azure", "AZURE_OPENAI_API_KEY"),
        ("gemini", "GEMINI_API_KEY"),
    ] {
        given(&home, &["add", provider], &format!("sk-test-{provider}")).ok();
        let run = home.run(&["run", provider, "--", "printenv", variable]);
        assert_eq!(run.ok(), format!("sk-test-{provider}\n"));
    }
}

#[test]
fn rm_removes_from_every_agent_that_has_it_and_asks() {
    let home = home();
    home.run(&["sync"]).ok();
    refuses(
        &home,
        &["rm", "shared"],
        64,
        &["needs confirmation", "--yes"],
    );
    let text = home.run(&["rm", "anthropic:shared", "--yes"]).ok();
    assert!(
        text.contains("from agent main") && text.contains("from agent ops"),
        "{text}"
    );
    for store in [STORE, OPS] {
        assert_eq!(home.json(store)["profiles"].get("anthropic:shared"), None);
    }
    home.run(&["rm", "openai:same", "--yes", "-a", "ops"]).ok();
    assert!(home.json(STORE)["profiles"].get("openai:same").is_some());
}

#[test]
fn an_id_that_is_gone_names_no_other() {
    let home = Home::new();
    home.write(
        STORE,
        json!({"version": 1, "profiles": {
            "openai:prod-eu": key("openai", "sk-test-eu"),
            "openai:K": key("openai", "sk-test-k"),
        }})
        .to_string(),
    );
    home.run(&["sync"]).ok();
    for args in [
        &["rm", "openai:prod", "--yes"][..],
        &["rm", "prod", "--yes"],
        &["rm", "openai:\u{212a}", "--yes"],
        &["rm", "openai:k", "--yes"],
        &["token", "openai:prod"],
        &["use", "openai:prod"],
        &["env", "openai:prod"],
    ] {
        refuses(&home, args, 64, &["openai:prod-eu"]);
    }
    let profiles = home.json(STORE)["profiles"].clone();
    assert_eq!(profiles.as_object().unwrap().len(), 2, "{profiles}");
    assert_eq!(home.run(&["token", "prod"]).ok(), "sk-test-eu\n");
}

#[test]
fn a_providers_name_is_the_provider_and_no_id() {
    let home = home();
    let mut store = home.json(STORE);
    store["profiles"]["anthropic"] = key("openai", "sk-test-hijack");
    home.write(STORE, store.to_string());
    assert_eq!(home.run(&["token", "anthropic"]).ok(), "sk-test-shared\n");
    let args = ["add", "openai", "--id", "groq"];
    let run = given(&home, &args, "sk-test-x").exits(64);
    assert!(
        run.stderr.contains("groq is the name of a provider"),
        "{run:?}"
    );
    home.run(&["rm", "anthropic", "--yes"]).ok();
    assert_eq!(home.json(STORE)["profiles"].get("anthropic"), None);
}

#[test]
fn add_stores_what_is_given() {
    let home = Home::new();
    let run = given(&home, &["add"], "sk-ant-oat01-recognised");
    assert!(
        run.stderr.contains("in the vault ~/.clawdbot/vault.db"),
        "{run:?}"
    );
    run.ok();
    let manual = &home.json(STORE)["profiles"]["anthropic:manual"];
    assert_eq!(
        (&manual["type"], &manual["provider"]),
        (&json!("token"), &json!("anthropic"))
    );
    for (args, secret, status, words) in [
        (
            &["add", "openai"][..],
            "sk-ant-api03-x",
            1,
            "clawkeep add openai --yes",
        ),
        (
            &["add", "anthropic"],
            "sk-ant-ort01-x",
            1,
            "a refresh token",
        ),
        (
            &["add", "antropic"],
            "sk-test",
            64,
            "Did you mean anthropic?",
        ),
        (&["add"], "sk-test", 64, "name the provider"),
        (
            &["add", "groq", "--id", "openai:x"],
            "sk-test",
            0,
            "reads as a credential of openai",
        ),
    ] {
        let run = given(&home, args, secret).exits(status);
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
    given(&home, &["add", "openai"], "sk-test-one").ok();
    given(
        &home,
        &["add", "anthropic", "-t", "--id", "anthropic:sub"],
        "sk-ant-oat01-abcdefgh",
    )
    .ok();
    let store = home.json(STORE);
    assert_eq!(store["profiles"]["openai:manual"]["key"], "sk-test-one");
    assert_eq!(store["profiles"]["anthropic:sub"]["type"], "token");
}

#[test]
fn add_replaces_no_credential_of_another_kind_unasked() {
    let home = home();
    for (args, secret, words) in [
        (
            &["add", "groq", "--id", "openai:same"][..],
            "gsk_x",
            "--id groq:NAME",
        ),
        (
            &["add", "openai", "-t", "--id", "openai:same"],
            "x",
            "(openai/api_key)",
        ),
        (
            &["add", "openai:second"],
            "x",
            "clawkeep add openai --id openai:second",
        ),
    ] {
        let run = given(&home, args, secret).exits(64);
        assert!(run.stderr.contains(words), "{args:?}: {run:?}");
    }
    let same = ["add", "openai", "--id", "openai:same"];
    let run = given(&home, &same, "sk-test-new");
    let undo = "To undo: clawkeep restore openai:same\n";
    assert!(run.stderr.contains(undo), "{run:?}");
    run.ok();
    home.run(&["restore", "openai:same"]).ok();
    assert_eq!(home.run(&["token", "openai"]).ok(), "sk-test-openai-main\n");
    // It is stored where that is asked for.
    for (args, secret, provider) in [
        (&["add", "openai", "--yes"][..], "sk-ant-api03-x", "openai"),
        (&["add", "antropic", "--yes"], "sk-test", "antropic"),
        (
            &["add", "groq", "--id", "openai:same", "--yes"],
            "gsk_x",
            "groq",
        ),
    ] {
        let added = given(&home, &[args, &["-j"]].concat(), secret).json();
        assert_eq!(added["provider"], provider, "{added}");
    }
}

#[test]
fn lists_show_which_credential_is_used_first() {
    let home = home();
    let mut store = home.json(STORE);
    store["profiles"]["work"] = key("openai", "sk-test-work");
    home.write(STORE, store.to_string());
    home.run(&["use", "work"]).ok();
    let order = |id: &str| {
        let listed = home.run(&["ls", "-j"]).json();
        let rows = listed["logins"].as_array().unwrap().clone();
        let row = rows.into_iter().find(|row| row["profileId"] == id).unwrap();
        row["order"].clone()
    };
    assert_eq!(order("work"), json!({"main": 1}));
    assert_eq!(order("anthropic:shared"), json!({"main": 1, "ops": 1}));
    // Expired, and refreshed by nobody.
    assert_eq!(order("anthropic:old"), Value::Null);
    for list in ["ls", "status"] {
        let text = home.run(&[list]).ok();
        let agents = |id: &str| {
            let line = text.lines().find(|line| line.contains(id)).unwrap();
            line.rsplit("  ").next().unwrap().to_owned()
        };
        assert_eq!(agents("work (openai)"), "main*", "{text}");
        // Of the only one that can be used, among two.
        assert_eq!(agents("anthropic:shared"), "main*, ops", "{text}");
        assert_eq!(agents("groq:only"), "ops", "{text}");
        assert!(text.contains("* used first"), "{text}");
    }
    // Another agent prefers another one.
    let mut store = home.json(OPS);
    store["profiles"]["anthropic:a"] = key("anthropic", "sk-test-a");
    store["order"] = json!({"anthropic": ["anthropic:a", "anthropic:shared"]});
    home.write(OPS, store.to_string());
    let text = home.run(&["ls"]).ok();
    assert!(text.contains("  main*, ops\n"), "{text}");
    assert!(text.contains("  ops*\n"), "{text}");
    assert_eq!(order("anthropic:shared"), json!({"main": 1, "ops": 2}));
}

#[cfg(unix)]
#[test]
fn add_asks_on_a_terminal_before_it_replaces_another_kind() {
    let home = home();
    for (keys, status, provider) in [("n\r", 1, "openai"), ("y\r", 0, "groq")] {
        let add = ["add", "groq", "--id", "openai:same"];
        let mut terminal = Terminal::start(home.command(&add));
        terminal.answer_hidden("Paste API key or token for groq", "gsk_test");
        terminal.answer(
            "Replace openai:same (openai/api_key) by groq/api_key?",
            keys,
        );
        let (ended, shown) = terminal.end();
        assert_eq!(ended, status, "{shown}");
        let stored = &home.json(STORE)["profiles"]["openai:same"];
        assert_eq!(stored["provider"], provider);
    }
}

#[cfg(unix)]
#[test]
fn a_secret_that_is_typed_as_a_name_is_refused() {
    let home = Home::new();
    let mut terminal = Terminal::start(home.command(&["add"]));
    terminal.answer_hidden("Paste API key or token", "typed-secret-that-nothing-knows");
    terminal.answer("Provider:", "sk-ant-api03-typed\r");
    terminal.answer("looks like a secret", "0123456789abcdef0123456789abcdef\r");
    terminal.answer("looks like a secret", "a b\r");
    terminal.answer("A provider's name has", "groq\r");
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Auth profile: groq:manual"), "{shown}");
    let home = Home::new();
    let mut terminal = Terminal::start(home.command(&["models", "auth", "add"]));
    terminal.answer("Token provider", "2\r");
    terminal.answer("Provider id", "gsk_typed\r");
    terminal.answer("looks like a secret", "xai\r");
    terminal.answer("Method", "2\r");
    terminal.answer("Profile id", "AIzaTyped\r");
    terminal.answer("looks like a secret", "\r");
    terminal.answer_hidden("Paste API key for xai", "xai-test");
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
}

#[test]
fn without_a_credential_the_first_steps_are_shown() {
    let home = Home::new();
    let text = home.run(&["status"]).ok();
    assert!(
        text.contains("clawkeep add") && text.contains("clawkeep login"),
        "{text}"
    );
    let home = Home::with_claude("sk-test-claude", 8);
    home.run(&["status"]).ok();
    home.write(CLAUDE, "{}");
    // Without a command and a terminal it is a mistake.
    let run = home.run(&[]).exits(64);
    assert!(
        run.stdout.is_empty() && run.stderr.contains("\n  status "),
        "{run:?}"
    );
}

/// What a shell prints that gets the secret.
#[cfg(unix)]
#[test]
fn words_before_the_dashes_name_what_a_program_gets() {
    let home = home();
    home.run(&["sync"]).ok();
    let shown = "echo \"$OPENAI_API_KEY|$ANTHROPIC_API_KEY|$CODEX_API_KEY|$MINE\"";
    for (args, got) in [
        (
            &["run", "openai", "--"][..],
            "sk-test-openai-main||sk-test-openai-main|",
        ),
        (
            &["exec", "same", "shared", "--"],
            "sk-test-openai-main|sk-test-shared|sk-test-openai-main|",
        ),
        (&["run", "shared", "--as", "MINE", "--"], "||||"),
        (
            &["run", "--as", "MINE", "shared", "--"],
            "|||sk-test-shared",
        ),
    ] {
        let args = [args, &["sh", "-c", shown]].concat();
        let run = home.run(&args);
        if got == "||||" {
            // What follows the first word is the program's.
            assert_ne!(run.status, 0);
            continue;
        }
        assert_eq!(run.ok().trim(), got, "{args:?}");
    }
    let before = home.count_of("credential.used");
    // A program that is not there is no use, nor is an option that does not exist.
    home.run(&["run", "openai", "--", "no-such-program"])
        .exits(127);
    refuses(
        &home,
        &["run", "--profle", "openai", "--", TRUE],
        64,
        &["--profle"],
    );
    refuses(
        &home,
        &["run", "openai"],
        64,
        &["clawkeep run openai -- PROGRAM"],
    );
    refuses(
        &home,
        &["run", "opnai", "--", TRUE],
        64,
        &["Did you mean", "openai"],
    );
    refuses(&home, &["run", "openai", "--"], 64, &["no program"]);
    refuses(
        &home,
        &["run", "openai", "--agent", "ops", "--", TRUE],
        64,
        &["options go before the provider: clawkeep run --agent ops openai -- …"],
    );
    let of_two = ["run", "groq", "anthropic:old", "--", TRUE];
    refuses(&home, &of_two, 64, &["not of one agent", "--agent"]);
    assert_eq!(home.count_of("credential.used"), before);
    // A program's own dashes stay its own.
    let run = home.run(&["run", "-p", "openai", "echo", "a", "--", "b"]);
    assert_eq!(run.ok(), "a -- b\n");
    let run = home.run(&["run", "-p", "openai", "--", "echo", "groq", "--", "b"]);
    assert_eq!(run.ok(), "groq -- b\n");
}

#[cfg(unix)]
#[test]
fn a_claude_login_goes_where_claude_code_reads_it() {
    let home = Home::with_claude("sk-ant-oat01-claude-abcdefgh", 8);
    let shown = "echo \"$CLAUDE_CODE_OAUTH_TOKEN|$ANTHROPIC_OAUTH_TOKEN|$ANTHROPIC_API_KEY\"";
    let run = home.run(&["run", "anthropic", "--", "sh", "-c", shown]);
    let token = "sk-ant-oat01-claude-abcdefgh";
    assert_eq!(run.ok().trim(), format!("{token}|{token}|"));
}

#[cfg(unix)]
#[test]
fn a_shell_that_evaluates_env_has_the_secret_as_it_is() {
    let home = home();
    let odd = r"sk-test-a`id`$b$(id)";
    let mut store = home.json(STORE);
    store["profiles"]["openai:same"] = key("openai", odd);
    home.write(STORE, store.to_string());
    let lines = home.run(&["env", "openai"]).ok();
    let script =
        format!("OPENAI_ADMIN_KEY=x; {lines}printf %s \"$OPENAI_API_KEY|$OPENAI_ADMIN_KEY\"");
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{odd}|"));
    let lines = home
        .run(&["env", "openai", "--as", "X", "--shell", "powershell"])
        .ok();
    assert!(
        lines.ends_with(&format!("$Env:X = '{}'\n", odd.replace('\'', "''"))),
        "{lines}"
    );
    assert_eq!(home.count_of("credential.used"), 2);
    // A secret that no variable can have is refused.
    store["profiles"]["openai:same"] = key("openai", "sk-a\nb");
    home.write(STORE, store.to_string());
    home.run(&["env", "groq", "openai"]).exits(1);
    assert_eq!(home.count_of("credential.used"), 2);
    refuses(
        &home,
        &["env", "--as", "A B", "openai"],
        64,
        &["A B", "letters"],
    );
    for (command, name) in [("env", "BASH_ENV"), ("run", "LD_PRELOAD")] {
        refuses(
            &home,
            &[command, "--as", name, "openai"],
            64,
            &[name, "programs act on"],
        );
    }
    let settings = "[providers.foo]\nenv = [\"x;touch pwned;y\"]\n";
    home.write(".clawdbot/clawkeep.toml", settings);
    refuses(
        &home,
        &["env", "openai"],
        65,
        &["line 1", "providers.foo.env", "x;touch pwned;y"],
    );
}

#[test]
fn refresh_and_log_take_a_word() {
    let home = home();
    home.run(&["sync"]).ok();
    home.run(&["token", "groq"]).ok();
    for (args, count) in [
        (&["log", "groq", "-j"][..], 2),
        (&["history", "only", "-n", "1", "-j"], 1),
    ] {
        let events = home.run(args).json();
        let events = events["events"].as_array().unwrap();
        assert_eq!(events.len(), count, "{args:?}");
        assert!(events.iter().all(|event| event["profile"] == "groq:only"));
    }
    refuses(&home, &["log", "grok"], 64, &["Did you mean", "groq"]);
    refuses(
        &home,
        &["refresh", "groq", "-a", "ops"],
        1,
        &["no login of groq"],
    );
}

#[cfg(unix)]
#[test]
fn the_gateways_name_has_none_of_them() {
    let home = home();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), home.at("clawdbot")).unwrap();
    let run = |args: &[&str]| {
        let mut command = std::process::Command::new(home.at("clawdbot"));
        command.args(args).env_clear().env("HOME", home.path());
        Run::from(command.output().unwrap())
    };
    for word in [
        "status", "ls", "add", "rm", "login", "use", "run", "log", "config", "version",
    ] {
        let said = run(&[word]).exits(64).stderr;
        assert!(
            said.contains("does not have that command"),
            "{word}: {said}"
        );
    }
    for args in [
        &["token", "openai"][..],
        &["token", "-p", "openai"],
        &["history", "openai"],
        &["exec", "--as", "X", "true"],
        &["models", "status", "-j"],
    ] {
        assert_ne!(run(args).status, 0, "{args:?}");
    }
    let help = run(&["--help"]).ok();
    assert!(
        !help.contains("\n  status") && help.contains("\n  models "),
        "{help}"
    );
}

/// `tests/fixtures/words.tsv`: the words of other programs.
#[test]
fn words_of_other_programs_lead_to_the_right_command() {
    let home = Home::new();
    let words = include_str!("../fixtures/words.tsv");
    let rows: Vec<Vec<&str>> = words
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.split('\t').collect())
        .collect();
    assert!(rows.len() >= 90);
    for row in &rows {
        let [program, word, leads_to] = row[..] else {
            panic!("{row:?}");
        };
        if leads_to == "=" {
            home.run(&[word, "--help"]).exits(0);
            continue;
        }
        let run = home.run(&[word]).exits(64);
        let lines: Vec<&str> = run.stderr.lines().collect();
        assert_eq!(lines.len(), 3, "{program} {word}: {run:?}");
        assert!(lines[1].contains(leads_to), "{program} {word}: {run:?}");
    }
    assert!(home.files().is_empty(), "{:?}", home.files());
}

#[test]
fn the_jobs_of_every_day_are_short() {
    // The provider, the id and the program do not count, nor does the last blank before them.
    for (job, line) in [
        ("how do I stand", "clawkeep status"),
        ("list", "clawkeep ls"),
        ("add a key", "clawkeep add "),
        ("add a token", "clawkeep add -t "),
        ("log in", "clawkeep login "),
        ("remove", "clawkeep rm "),
        ("get a secret", "clawkeep token "),
        ("run with it", "clawkeep run "),
        ("switch account", "clawkeep use "),
        ("what happened", "clawkeep log"),
    ] {
        assert!(line.trim_end().len() <= 16, "{job}: {line}");
        let words: Vec<&str> = line.split_whitespace().skip(1).collect();
        Home::new()
            .run(&[&words[..], &["--help"]].concat())
            .exits(0);
    }
}

#[test]
fn help_begins_with_an_overview_and_has_topics() {
    let home = Home::new();
    let overview = home.run(&["-h"]).ok();
    assert!(overview.lines().count() <= 24, "{overview}");
    assert_eq!(home.run(&["help"]).ok(), overview);
    assert!(home.run(&["--help"]).ok().contains("\nGlobal options:\n"));
    for topic in ["exit-codes", "environment", "files", "formatting"] {
        assert!(
            home.run(&["help", topic]).ok().lines().count() > 5,
            "{topic}"
        );
    }
    let version = home.run(&["--version"]).ok();
    assert_eq!(
        version,
        concat!("clawkeep ", env!("CARGO_PKG_VERSION"), "\n")
    );
    for args in [&["-V"][..], &["version"], &["-q", "--version"]] {
        assert_eq!(home.run(args).ok(), version, "{args:?}");
    }
    assert_eq!(
        home.run(&["token", "--version"]).ok(),
        version.replace(' ', "-token ")
    );
    let short = home.run(&["token", "-h"]).ok();
    assert!(!short.contains("--state-dir"), "{short}");
    assert!(home.run(&["token", "--help"]).ok().contains("--state-dir"));
}

#[test]
fn under_json_an_error_is_one_line_of_json() {
    let home = home();
    home.run(&["sync"]).ok();
    for (args, status, code, message) in [
        (
            &["token", "nothing", "--json"][..],
            64,
            "unknown-name",
            "nothing",
        ),
        (&["status", "--jsn", "-j"], 64, "usage", "--jsn"),
        (
            &["refresh", "groq", "-a", "ops", "-j"],
            1,
            "refused",
            "groq",
        ),
        (&["gett", "-j"], 64, "usage", "gett"),
        (
            &["log", "--vault", "none.db", "--json"],
            1,
            "no-vault",
            "none.db",
        ),
    ] {
        let run = home.run(args).exits(status);
        assert_eq!(run.stdout, "", "{args:?}");
        let last = run.stderr.lines().last().unwrap();
        let error: Value = serde_json::from_str(last).unwrap();
        let error = &error["error"];
        assert_eq!(
            (&error["code"], &error["exitStatus"]),
            (&json!(code), &json!(status)),
            "{last}"
        );
        assert!(
            error["message"].as_str().unwrap().contains(message),
            "{last}"
        );
        assert!(error["remedy"].as_str().is_some(), "{last}");
    }
    // Another program's --json is not ours.
    let run = home.run(&[
        "run",
        "groq",
        "-a",
        "ops",
        "--",
        "no-such-program",
        "--json",
    ]);
    assert!(!run.stderr.contains('{'), "{run:?}");
}

#[test]
fn config_changes_one_setting_and_a_bad_one_changes_nothing() {
    let home = Home::new();
    const SETTINGS: &str = ".clawdbot/clawkeep.toml";
    home.run(&["config", "set", "retention", "400d"]).ok();
    assert_eq!(home.read(SETTINGS), "[clawkeep]\nretention = \"400d\"\n");
    assert_eq!(
        home.run(&["config", "get", "clawkeep.retention"]).ok(),
        "400d\n"
    );
    home.run(&["config", "get", "fallback"]).exits(1);
    assert_eq!(
        home.run(&["config", "path"]).ok(),
        "~/.clawdbot/clawkeep.toml\n".replace('~', &home.path().display().to_string())
    );
    let before = home.read(SETTINGS);
    for (key, value) in [("retention", "soon"), ("no_such", "1"), ("x y", "1")] {
        home.run(&["config", "set", key, value]).exits(64);
        assert_eq!(home.read(SETTINGS), before);
    }
    let text = format!("{before}\n[[notify.targets]]\n");
    home.write(
        SETTINGS,
        text.replace("[[notify.targets]]", "[notify]\nahead = \"7d\""),
    );
    let listed = home.run(&["config", "list", "-j"]).json();
    assert_eq!(
        listed["settings"],
        json!({"clawkeep.retention": "400d", "notify.ahead": "7d"})
    );
    refuses(&home, &["config", "edit"], 64, &["EDITOR", "config set"]);
    #[cfg(unix)]
    for (editor, status, words) in [
        ("sed -i s/400d/30d/", 0, ""),
        ("sed -i s/30d/soon/", 65, "retention"),
        ("false", 1, "editor false failed"),
    ] {
        let mut command = home.command(&["config", "edit"]);
        let path = std::env::var("PATH").unwrap();
        let run = Run::from(
            command
                .env("EDITOR", editor)
                .env("PATH", path)
                .output()
                .unwrap(),
        );
        let run = run.exits(status);
        assert!(run.stderr.contains(words), "{run:?}");
        assert!(home.read(SETTINGS).contains("\"30d\""), "{run:?}");
    }
}
