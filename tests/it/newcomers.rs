//! What people stumble over in the first minutes: each has an answer that leads on.

use clawkeep::internal::platform::FileLock;
use serde_json::{Value, json};

use crate::support::damage::refuses;
use crate::support::home::{HOUR, Home, Run, STORE, now_ms, start_with_input};
use crate::support::login_server::LoginServer;
#[cfg(unix)]
use crate::support::terminal::Terminal;

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const KEY: &str = "sk-test-of-a-newcomer";

fn with_key(home: Home) -> Home {
    let args = ["add", "openai", "--id", "openai:work"];
    home.run_with_input(&args, KEY).ok();
    home
}

#[cfg(unix)]
fn as_gateway(home: &Home, args: &[&str]) -> Run {
    use std::os::unix::process::CommandExt as _;
    let mut command = home.command(args);
    command.arg0("clawdbot");
    home.output_of(command)
}

#[test]
fn each_usual_shell_reads_the_lines_of_env() {
    let home = with_key(Home::new());
    let lines = home.run(&["env", "openai", "--shell", "sh"]).ok();
    assert!(lines.contains(&format!("export OPENAI_API_KEY='{KEY}'\n")));
    for shell in ["bash", "zsh", "dash", "ksh"] {
        assert_eq!(home.run(&["env", "openai", "--shell", shell]).ok(), lines);
    }
}

#[test]
fn a_provider_in_place_of_the_program_is_said_first() {
    let home = with_key(Home::new());
    for words in [&["run", "openai"][..], &["exec", "openai:work", "true"]] {
        let run = refuses(&home, words, 64, &["no program comes after it with --"]);
        let way = format!(
            "Put -- before the program: clawkeep run {} -- PROGRAM",
            words[1]
        );
        assert!(run.stderr.contains(&way), "{run:?}");
    }
    let run = home.run(&["run", "openai", "-j"]);
    assert_eq!(run.status, 64, "{run:?}");
    let run = refuses(&home, &["run", "no-such-program"], 127, &["cannot run"]);
    assert!(!run.stderr.contains("clawkeep run"), "{run:?}");
}

#[test]
fn removing_names_how_to_get_it_back() {
    let home = with_key(Home::new());
    let run = home.run(&["rm", "openai:work", "--yes"]).exits(0);
    let undo = "To undo: clawkeep restore openai:work";
    assert!(run.stderr.contains(&format!("{undo}\n")), "{run:?}");
    home.run(&["models", "auth", "restore", "openai:work"]).ok();
    assert_eq!(home.run(&["token", "openai"]).ok().trim(), KEY);
    #[cfg(unix)]
    {
        let removed = as_gateway(&home, &["models", "auth", "remove", "openai:work", "--yes"]);
        assert!(!removed.exits(0).stderr.contains("undo"));
    }
}

#[test]
fn what_is_restored_has_its_place_in_the_order_back() {
    let home = with_key(Home::new());
    for name in ["a", "b", "c"] {
        let id = format!("openai:{name}");
        home.run_with_input(
            &["add", "openai", "--id", &id],
            &format!("sk-test-{name}\n"),
        )
        .exits(0);
    }
    let order = ["openai:a", "openai:b", "openai:c"];
    let set = ["models", "auth", "order", "set", "--provider", "openai"];
    home.run(&[&set[..], &order].concat()).ok();
    home.run(&["use", "openai:b"]).ok();
    home.run(&["rm", "openai:b", "--yes"]).exits(0);
    home.run(&["rm", "openai:a", "--yes"]).exits(0);
    home.run(&["models", "auth", "restore", "a"]).ok();
    home.run(&["models", "auth", "restore", "openai:b"]).ok();
    assert_eq!(home.run(&["token", "openai"]).ok(), "sk-test-b\n");
    let get = [
        "models",
        "auth",
        "order",
        "get",
        "--provider",
        "openai",
        "--json",
    ];
    let got = home.run(&get).json();
    assert_eq!(
        got["order"],
        serde_json::json!(["openai:b", "openai:a", "openai:c"])
    );
    // One that was taken out of the order before has no place.
    home.run(&[&set[..], &order[..1]].concat()).ok();
    home.run(&["rm", "openai:c", "--yes"]).exits(0);
    let run = home
        .run(&["models", "auth", "restore", "openai:c"])
        .exits(0);
    let use_it = "To use it first: clawkeep use openai:c";
    assert!(run.stderr.contains(use_it), "{run:?}");
    home.run(&["session", "pin", "s", "c"]).ok();
}

#[test]
fn without_a_provider_the_only_one_with_credentials_is_used() {
    let home = with_key(Home::new());
    assert_eq!(home.run(&["token"]).ok().trim(), KEY);
    let lines = home.run(&["env", "--shell", "sh"]).ok();
    assert!(
        lines.contains(&format!("OPENAI_API_KEY='{KEY}'")),
        "{lines}"
    );
    #[cfg(unix)]
    {
        let run = home.run(&["run", "--", "sh", "-c", "echo $OPENAI_API_KEY"]);
        assert_eq!(run.ok().trim(), KEY);
        let run = as_gateway(&home, &["token"]).exits(1);
        assert!(run.stderr.contains("no credential of anthropic"), "{run:?}");
    }
    home.run_with_input(&["add", "groq"], "gsk-test").exits(0);
    let words = ["several have credentials", "Name one of them: groq, openai"];
    refuses(&home, &["token"], 64, &words);
    home.run_with_input(&["add", "anthropic"], "sk-test-a")
        .exits(0);
    assert_eq!(home.run(&["token"]).ok(), "sk-test-a\n");
}

#[test]
fn a_mistyped_name_after_an_option_leads_on_too() {
    let home = with_key(Home::new());
    let asked = ["Did you mean openai?"];
    refuses(&home, &["token", "--provider", "opnai"], 64, &asked);
    let args = ["run", "--provider", "opnai", "--", "true"];
    refuses(&home, &args, 64, &asked);
    let args = ["run", "--profile", "openai:worg", "--", "true"];
    refuses(&home, &args, 64, &["Did you mean openai:work?"]);
    let args = ["run", "--profile", "openai:zzz", "--", "true"];
    refuses(&home, &args, 64, &["The ids: openai:work"]);
}

#[test]
fn usage_errors_have_their_whole_text() {
    let home = Home::new();
    let run = home.run(&["rm", "--json"]).exits(64);
    let error: Value = serde_json::from_str(&run.stderr).unwrap();
    let message = "the following required arguments were not provided: <ID>";
    assert_eq!(error["error"]["message"], message);
    let run = home.run(&["rm", "--all"]).exits(64);
    assert!(!run.stderr.contains("as a value"), "{run:?}");
}

#[test]
fn status_names_the_short_commands() {
    let home = Home::new();
    let old = json!({"type": "token", "provider": "groq", "token": "sk-test-old", "expires": 1000});
    let empty = json!({"type": "api_key", "provider": "openai", "key": ""});
    let profiles = json!({"groq:old": old, "openai:none": empty});
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    let text = home.run(&["status"]).ok();
    for fix in [
        "groq:old: clawkeep add groq --token --id groq:old\n",
        "openai:none: clawkeep add openai --id openai:none\n",
    ] {
        assert!(text.contains(fix), "{text}");
    }
    let run = home.run_with_input(&["add", "groq", "--token", "--id", "groq:old"], KEY);
    run.exits(0);
    assert_eq!(home.run(&["token", "groq"]).ok().trim(), KEY);
}

#[test]
fn status_says_when_the_next_alert_is_due() {
    let home = Home::new();
    let ends = now_ms() + 200 * HOUR;
    let token = json!({"type": "token", "provider": "groq", "token": "sk-test-t", "expires": ends});
    home.write(
        STORE,
        json!({"version": 1, "profiles": {"groq:t": token}}).to_string(),
    );
    let note = "The next alert is due in 32h, for groq:t.\n";
    assert!(!home.run(&["status"]).exits(0).stderr.contains("alert"));
    home.write(
        SETTINGS,
        "[notify]\nahead = \"7d\"\ncommand.tell.run = [\"true\"]\n",
    );
    let run = home.run(&["status"]).exits(0);
    assert!(run.stderr.contains(note), "{run:?}");
    let nobody = "nothing will send it. To start what does: clawkeep monitor install\n";
    assert!(run.stderr.contains(nobody), "{run:?}");
    let watcher = FileLock::try_take(&home.at(".clawdbot/vault.db.lease/watch"));
    let _watcher = watcher.unwrap().unwrap();
    let run = home.run(&["status"]).exits(0);
    assert!(
        run.stderr.contains(note) && !run.stderr.contains("nothing will"),
        "{run:?}"
    );
}

#[test]
fn what_is_refused_leaves_no_vault_behind() {
    let home = Home::new();
    home.run_with_input(&["add", "openai"], "").exits(64);
    home.run_with_input(&["add", "antropic"], KEY);
    for args in [&["log"][..], &["log", "-f"], &["log", "-f", "--columns"]] {
        let run = home.run(args).exits(1);
        assert!(run.stdout.is_empty(), "{run:?}");
        assert!(!run.stderr.contains("Unverified"), "{run:?}");
    }
    assert!(home.files().is_empty(), "{:?}", home.files());
    home.run_with_input(&["add", "openai"], KEY).exits(0);
    assert_eq!(home.run(&["token", "openai"]).ok().trim(), KEY);
}

#[test]
fn a_use_a_moment_ago_reads_just_now() {
    let home = with_key(Home::new());
    home.run(&["token", "openai"]).ok();
    for command in ["status", "ls"] {
        let text = home.run(&[command]).ok();
        assert!(text.contains("just now"), "{text}");
    }
}

#[test]
fn a_mistyped_vault_is_not_created() {
    let home = with_key(Home::new());
    let files = home.files();
    for command in ["doctor", "history", "key"] {
        home.run(&["--vault", "vualt.db", command]);
    }
    for args in [
        &["status"][..],
        &["ls"],
        &["models", "status"],
        &["models", "auth", "list"],
    ] {
        let args = [&["--vault", "vualt.db"], args].concat();
        refuses(&home, &args, 1, &["there is no vault at", "vualt.db"]);
    }
    for args in [&["add", "groq"][..], &["sync"], &["token", "openai"]] {
        let args = [&["--vault", "no/such/v.db"], args].concat();
        let run = refuses(&home, &args, 1, &["no directory", "Correct the path"]);
        assert!(run.stderr.contains("no/such/v.db init"), "{run:?}");
    }
    assert_eq!(home.files(), files);
    // Where the directory exists, what writes creates it, and says where.
    let args = ["--vault", "second.db", "add", "groq"];
    let run = home.run_with_input(&args, KEY).exits(0);
    assert!(
        run.stderr.contains("created the vault ~/second.db"),
        "{run:?}"
    );
    home.run(&["--vault", "no/such/v.db", "init"]).ok();
}

#[test]
fn without_a_gateway_its_configuration_is_neither_written_nor_named() {
    let home = Home::without_gateway();
    let run = home.run_with_input(&["add", "openai"], KEY).exits(0);
    let removed = home.run(&["rm", "openai:manual", "--yes"]).exits(0);
    for run in [run, removed] {
        assert!(!run.stdout.contains("Updated"), "{run:?}");
    }
    let files = home.files();
    assert!(
        files.iter().all(|file| !file.contains("clawdbot.json")),
        "{files:?}"
    );
}

#[cfg(unix)]
#[test]
fn the_help_of_the_gateways_name_names_its_directory_alone() {
    let home = Home::new();
    for args in [&["--help"][..], &["models", "status", "--help"]] {
        let help = as_gateway(&home, args).ok();
        assert!(help.contains("else ~/.clawdbot]"), "{help}");
        assert!(!help.contains(".local/share/clawkeep"), "{help}");
    }
    assert!(home.run(&["--help"]).ok().contains(".local/share/clawkeep"));
}

#[test]
fn a_login_at_what_has_none_leads_on() {
    let home = Home::new();
    for (typed, status, way) in [
        ("antropic", 64, "clawkeep login anthropic"),
        ("codex", 64, "clawkeep login openai-codex"),
        ("openai-code", 64, "clawkeep login openai-codex"),
        ("claude", 64, "clawkeep login anthropic"),
        (
            "openai",
            1,
            "clawkeep add openai. To log in with a ChatGPT account: clawkeep login",
        ),
        ("groq", 1, "clawkeep add groq"),
        ("acme", 1, "[providers.acme]"),
    ] {
        refuses(&home, &["login", typed], status, &[typed, way]);
    }
}

/// A home with a provider at which somebody can log in, and its server.
fn with_provider() -> (Home, LoginServer) {
    let (home, server) = (Home::new(), LoginServer::start());
    home.write(SETTINGS, server.setting("test", ""));
    home.run(&["init"]).ok();
    (home, server)
}

#[cfg(target_os = "linux")]
#[test]
fn without_a_terminal_or_a_desktop_a_login_fails_at_once() {
    let (home, server) = with_provider();
    for args in [
        &["login", "test"][..],
        &["models", "auth", "login", "--provider", "test"],
    ] {
        let words = [
            "no browser can open here",
            "clawkeep login test --no-browser",
            "--device",
        ];
        refuses(&home, args, 1, &words);
    }
    let run = home.run(&["login", "test", "--json"]).exits(1);
    let error: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
    assert!(
        error["error"]["remedy"]
            .as_str()
            .unwrap()
            .contains("--no-browser"),
        "{error}"
    );
    assert_eq!(server.requests().len(), 0);
}

#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_without_a_desktop_a_login_goes_on_without_a_browser() {
    let (home, _server) = with_provider();
    let mut terminal = Terminal::start(home.command(&["login", "test"]));
    terminal.wait_for("clawkeep goes on as --no-browser");
    terminal.wait_for("Paste it here");
    terminal.keys("\u{4}");
    assert_ne!(terminal.end().0, 0);
}

#[cfg(unix)]
#[test]
fn a_login_on_another_device_shows_a_code_for_its_camera_and_the_time_left() {
    let (home, server) = with_provider();
    let pending = || (400, json!({"error": "authorization_pending"}));
    let args = ["login", "test", "--device"];
    let answer = json!({"interval": 2, "expires_in": 600,
        "verification_uri_complete": "https://p.example/go?c=ABCD-EFGH"});
    for (variable, is_shown) in [(("LANG", "C"), true), (("NO_COLOR", "1"), false)] {
        server.next([pending()]);
        server.device(answer.clone());
        let mut command = home.command(&args);
        command.env(variable.0, variable.1);
        let mut terminal = Terminal::start(command);
        terminal.wait_for(" left");
        let (status, shown) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert_eq!(
            shown.contains("\u{1b}[38;5;16;48;5;231m"),
            is_shown,
            "{shown}"
        );
        assert!(shown.contains("confirmed … 9:5"), "{shown}");
    }
    server.device(answer);
    let run = home.run(&args).exits(0);
    assert!(
        !run.stderr.contains('\u{1b}') && !run.stderr.contains(" left"),
        "{run:?}"
    );
}

#[cfg(unix)]
#[test]
fn asked_for_a_provider_a_person_answers_with_a_number_or_a_name() {
    let (home, _server) = with_provider();
    let mut command = home.command(&["login", "--no-browser"]);
    command.env("TERM", "xterm");
    let mut terminal = Terminal::start(command);
    terminal.answer("or its name", "antropic\r");
    terminal.answer("Did you mean: clawkeep login anthropic", "test\r");
    terminal.wait_for("Paste it here");
    terminal.keys("\u{4}");
    assert_ne!(terminal.end().0, 0);
    let child = start_with_input(home.command(&["login"]), "");
    let run = Run::from(child.wait_with_output().unwrap()).exits(64);
    assert!(
        run.stderr
            .contains("name the provider: anthropic, openai-codex"),
        "{run:?}"
    );
}

#[test]
fn what_changes_something_answers_in_json_where_that_is_asked_for() {
    let home = with_key(Home::new());
    for (args, field, value) in [
        (
            &["config", "set", "retention", "400d"][..],
            "key",
            json!("retention"),
        ),
        (&["config", "unset", "retention"], "changed", json!(true)),
        (&["config", "unset", "retention"], "changed", json!(false)),
        (
            &["session", "pin", "chat", "openai:work"],
            "profile",
            json!("openai:work"),
        ),
        (
            &["session", "unpin", "chat"],
            "providers",
            json!(["openai"]),
        ),
        (&["session", "unpin", "chat"], "providers", json!([])),
        (
            &[
                "models",
                "auth",
                "mark",
                "openai:work",
                "--failed",
                "rate_limit",
            ],
            "state",
            json!("cooldown"),
        ),
        (
            &["models", "auth", "mark", "openai:work", "--clear"],
            "state",
            json!("ready"),
        ),
        (
            &[
                "models",
                "auth",
                "order",
                "set",
                "-p",
                "openai",
                "openai:work",
            ],
            "order",
            json!(["openai:work"]),
        ),
        (
            &["models", "auth", "order", "clear", "-p", "openai"],
            "order",
            Value::Null,
        ),
        (
            &["rm", "openai:work", "--yes"],
            "removed",
            json!("openai:work"),
        ),
        (
            &["models", "auth", "restore", "openai:work"],
            "restored",
            json!("openai:work"),
        ),
        (
            &["models", "auth", "remove", "openai:work", "--yes"],
            "agents",
            json!(["main"]),
        ),
        (&["backup", "create", "copy.db"], "path", json!("copy.db")),
    ] {
        for flag in ["--json", "-j"] {
            if flag == "-j" && args[0] != "config" {
                continue; // it was done
            }
            let answer = home.run(&[args, &[flag]].concat()).json();
            if flag == "--json" {
                assert_eq!(answer[field], value, "{args:?}: {answer}");
            }
        }
    }
    let args = [
        "models",
        "auth",
        "restore",
        "openai:work",
        "--list",
        "--json",
    ];
    let versions = home.run(&args).json()["versions"].clone();
    assert_eq!(versions[0]["type"], "api_key", "{versions}");
    let args = ["models", "auth", "paste-token", "-p", "xai", "--json"];
    let stored = home.run_with_input(&args, KEY).json();
    assert_eq!(stored["profileId"], "xai:manual", "{stored}");
    let restored = home.run(&["backup", "restore", "copy.db", "--json"]).json();
    assert!(restored["seq"].as_i64().is_some(), "{restored}");
    home.write(
        "key.json",
        r#"{"OPENAI_API_KEY": "sk-test-of-a-file-0000000000"}"#,
    );
    let imported = home.run(&["import", "key.json", "--json"]).json();
    assert!(imported["added"].is_array(), "{imported}");
    let made = home.run(&["--vault", "other.db", "init", "--json"]).json();
    assert!(
        made["path"].as_str().unwrap().ends_with("other.db"),
        "{made}"
    );
    // A failure is one object, the last line.
    for args in [
        &["session", "pin", "chat", "openai:none"][..],
        &["config", "set", "retention", "soon"],
        &["models", "auth", "mark", "none:none", "--used"],
    ] {
        let run = home.run(&[args, &["--json"]].concat());
        let error: Value = serde_json::from_str(run.stderr.lines().last().unwrap()).unwrap();
        assert_eq!(error["error"]["exitStatus"], json!(run.status), "{error}");
        assert_eq!(run.stdout, "", "{run:?}");
    }
}

#[cfg(unix)]
#[test]
fn the_gateways_name_has_no_option_for_json_that_it_had_not() {
    let home = with_key(Home::new());
    let args = ["models", "auth", "mark", "openai:work", "--used", "--json"];
    as_gateway(&home, &args).exits(64);
}

#[test]
fn every_setting_is_listed_and_can_be_unset() {
    let home = Home::new();
    home.write(
        SETTINGS,
        "[clawkeep]\nretention = \"400d\"\n\n[notify]\nahead = \"7d\"\nrepeat = \
         \"never\"\ndesktop = true\nntfy = { url = \"https://ntfy.example/hidden-topic\", \
         token_file = \"/t\" }\n\n[notify.command.mail]\nrun = [\"mail\", \"hidden-word\"]\n",
    );
    let listed = home.run(&["config", "list"]).ok();
    for line in [
        "clawkeep.retention = 400d",
        "notify.ahead = 7d",
        "notify.repeat = never",
        "notify.desktop = true",
        "notify.ntfy.token_file = /t",
        "notify.ntfy.url = (set)",
        "notify.command.mail.run = (set)",
    ] {
        assert!(listed.contains(&format!("{line}\n")), "{line}: {listed}");
    }
    assert_eq!(home.run(&["config", "get", "notify.ahead"]).ok(), "7d\n");
    let whole = home.run(&["config", "get", "notify", "--json"]).ok();
    assert!(whole.contains("7d"), "{whole}");
    assert!(
        !whole.contains("hidden") && !listed.contains("hidden"),
        "{whole}"
    );
    for key in ["notify.ahead", "notify.ntfy", "retention"] {
        let text = home.run(&["config", "unset", key]).ok();
        assert_eq!(text, format!("Unset {key} in ~/.clawdbot/clawkeep.toml\n"));
        home.run(&["config", "get", key]).exits(1);
    }
    let again = home.run(&["config", "unset", "retention"]).ok();
    assert_eq!(again, "retention is not set in ~/.clawdbot/clawkeep.toml\n");
    refuses(
        &home,
        &["config", "unset", "retentoin"],
        64,
        &["there is no setting retentoin; did you mean retention?"],
    );
    let set = ["config", "set", "retenton", "5d"];
    let mistyped = ["there is no setting retenton; did you mean retention?"];
    refuses(&home, &set, 64, &mistyped);
    let set = ["config", "set", "trusted", "uid:1000"];
    refuses(&home, &set, 64, &["a list is typed as '[\"uid:1000\"]'"]);
    assert!(home.read(SETTINGS).contains("hidden-word"));
}

#[test]
fn a_cooldown_is_no_persons_business_and_an_account_without_money_is() {
    let home = with_key(Home::new());
    let mark = |reason| ["models", "auth", "mark", "openai:work", "--failed", reason];
    home.run(&mark("rate_limit")).ok();
    let text = home.run(&["status"]).ok();
    assert!(
        text.starts_with("Nothing needs you; 1 in cooldown.\n"),
        "{text}"
    );
    assert!(text.contains("openai:work: usable again in 1m\n"), "{text}");
    home.run(&["status", "--check"]).exits(0);
    home.run(&mark("billing")).ok();
    let text = home.run(&["status"]).ok();
    assert!(text.starts_with("1 of 1 credential needs you.\n"), "{text}");
    assert!(text.contains("disabled, billing"), "{text}");
    let fix = "openai:work: Fix the account at openai; usable again in 5h\n";
    assert!(text.contains(fix), "{text}");
}

#[test]
fn at_a_time_in_the_past_a_state_is_said_as_it_was() {
    let home = Home::new();
    let old = json!({"type": "token", "provider": "groq", "token": "sk-test-old", "expires": 1000});
    let key = json!({"type": "api_key", "provider": "openai", "key": KEY});
    let profiles = json!({"groq:old": old, "openai:work": key});
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    home.run(&[
        "models",
        "auth",
        "mark",
        "openai:work",
        "--failed",
        "rate_limit",
    ])
    .ok();
    home.run(&[
        "models",
        "auth",
        "mark",
        "groq:old",
        "--failed",
        "rate_limit",
    ])
    .ok();
    let text = home.run(&["history", "at", "now"]).ok();
    let row = |id: &str| text.lines().find(|line| line.starts_with(id)).unwrap();
    assert!(row("openai:work").contains("in cooldown until "), "{text}");
    assert!(row("groq:old").contains(" expired "), "{text}");
    assert!(!row("groq:old").contains("until"), "{text}");
}

#[test]
fn a_login_of_claude_code_takes_no_options() {
    let home = Home::new();
    for option in [
        &["--device"][..],
        &["--no-browser"],
        &["-a", "main"],
        &["--json"],
    ] {
        let args = [&["login", "anthropic"], option].concat();
        refuses(
            &home,
            &args,
            64,
            &["takes no options: it runs `claude setup-token`"],
        );
    }
}

#[test]
fn an_error_leads_to_what_helps() {
    let home = with_key(Home::new());
    let secret = "sk-proj-abcdefghij0123456789";
    for (args, status) in [
        (&["add", "openai", secret][..], 64),
        (&["run", secret], 127),
    ] {
        let run = home.run(args).exits(status);
        assert!(run.stderr.contains("clawkeep add openai"), "{run:?}");
        assert!(!run.stderr.contains("models auth"), "{run:?}");
    }
    let own = ".openclaw/openclaw.json";
    home.write(own, "{\"gateway\": {\"port\": 18789}}");
    let run = home.run(&["import", own]).exits(65);
    let programs = "Claude Code, Codex CLI, opencode, pi, Gemini CLI or Qwen Code";
    for part in [programs, "clawkeep connect openclaw"] {
        assert!(run.stderr.contains(part), "{run:?}");
    }
    let run = home.run(&["log", "-n", "1", "--limit", "3"]).exits(64);
    assert_eq!(run.stderr.lines().count(), 2, "{run:?}");
    assert!(!run.stderr.contains("clawkeep log <"), "{run:?}");
    home.write(SETTINGS, "foo = 1\n");
    let run = home.run(&["config", "list"]).exits(65);
    assert!(run.stderr.contains("clawkeep config unset KEY"), "{run:?}");
    home.run(&["config", "unset", "foo"]).ok();
    home.run(&["config", "list"]).ok();
    home.run(&["config", "unset", "foo"]).exits(64);
}

#[test]
fn each_list_has_the_last_use() {
    let home = with_key(Home::new());
    let last_used = || {
        let list = home.run(&["models", "auth", "list"]).ok();
        let row = list.lines().find(|line| line.starts_with("openai:work"));
        let cell = row.and_then(|row| row.split_whitespace().nth(5));
        cell.map(ToOwned::to_owned).unwrap_or_default()
    };
    assert_eq!(last_used(), "-");
    home.run(&["token", "openai"]).ok();
    assert!(last_used().starts_with("20"), "{}", last_used());
}
