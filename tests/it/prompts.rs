//! Questions on a terminal: asked, answered, refused, and nothing secret shown.

use std::process::Command;

use serde_json::json;

use crate::support::damage::chmod;
use crate::support::home::{CLAUDE, HOUR, Home, STORE, now_ms};
use crate::support::terminal::Terminal;

const TOKEN: &str = "sk-test-typed-token-0123456789";

fn start(home: &Home, args: &[&str]) -> Terminal {
    Terminal::start(home.command(args))
}

#[test]
fn a_token_is_typed_without_echo() {
    let home = Home::new();
    let mut terminal = start(
        &home,
        &["models", "auth", "paste-token", "--provider", "groq"],
    );
    terminal.answer_hidden("Paste token for groq", TOKEN);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(
        shown.contains("Auth profile: groq:manual (groq/token)"),
        "{shown}"
    );
    assert!(!shown.contains(TOKEN), "{shown}");
    assert_eq!(home.exported_token("groq:manual").as_deref(), Some(TOKEN));
}

#[test]
fn typed_input_can_be_corrected_and_may_be_longer_than_a_terminals_line() {
    let home = Home::new();
    home.run(&["init"]).ok();
    let long = "x".repeat(6000);
    let mut terminal = start(
        &home,
        &["models", "auth", "paste-token", "--provider", "groq"],
    );
    terminal.answer_hidden(
        "Paste token",
        &format!("wrong\u{15}é\u{7f}{TOKEN}{long}y\u{8}"),
    );
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(
        home.exported_token("groq:manual"),
        Some(format!("{TOKEN}{long}"))
    );
}

#[test]
fn a_question_can_be_left_and_the_terminal_is_as_it_was() {
    let home = Home::new();
    home.run_with_input(
        &["models", "auth", "paste-token", "--provider", "groq"],
        TOKEN,
    )
    .ok();
    let before = home.json(STORE);
    // Ctrl-C while a secret is typed: the end, and what is typed shows again.
    let paste = ["models", "auth", "paste-token", "--provider", "groq"];
    let mut terminal = start(&home, &paste);
    terminal.answer_hidden("Paste token", "sk-test-half\u{3}");
    terminal.wait_until_shown_again();
    assert_eq!(terminal.end().0, -1, "ended by the signal");
    // Enter, and a paste over two lines: asked again. Ctrl-D: nothing given.
    let mut terminal = start(&home, &paste);
    terminal.answer_hidden("Paste token", "");
    terminal.wait_for("Nothing was typed");
    terminal.answer_hidden("Paste token", "sk-test-first-half\rsk-test-second-half");
    terminal.wait_for("the input has more than the secret");
    terminal.answer_hidden("Paste token", "\u{4}");
    let (status, shown) = terminal.end();
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("was not answered"), "{shown}");
    assert!(!shown.contains("half"), "{shown}");
    let mut terminal = start(&home, &["models", "auth", "remove", "groq:manual"]);
    terminal.answer("Remove groq:manual", "\u{4}");
    let (status, shown) = terminal.end();
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("was not answered"), "{shown}");
    assert_eq!(home.json(STORE), before);
}

#[test]
fn a_removal_is_confirmed() {
    let home = Home::new();
    home.run_with_input(
        &["models", "auth", "paste-token", "--provider", "groq"],
        TOKEN,
    )
    .ok();
    let remove = ["models", "auth", "remove", "groq:manual"];
    for (keys, stays) in [("\r", true), ("maybe\rn\r", true), ("Yes\r", false)] {
        let mut terminal = start(&home, &remove);
        terminal.answer("Remove groq:manual (groq/token) from agent main?", keys);
        let (status, shown) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert_eq!(shown.contains("Removed groq:manual"), !stays, "{shown}");
        let store = home.json(STORE);
        assert_eq!(
            store["profiles"].get("groq:manual").is_some(),
            stays,
            "{keys:?}"
        );
    }
}

#[test]
fn a_credential_is_added_step_by_step() {
    let home = Home::new();
    let mut terminal = start(&home, &["models", "auth", "add"]);
    terminal.answer("Token provider", "3\r"); // there are two
    terminal.answer("a number from 1 to 2", "2\r"); // custom
    terminal.answer("Provider id", "Z.AI\r");
    terminal.answer("Method", "\r"); // the first: paste token
    terminal.answer("Profile id", "\r"); // as suggested
    terminal.answer("Does this token expire?", "y\r");
    terminal.answer("Expires in", "soon\r"); // refused, asked again
    terminal.answer("Invalid duration", "2h\r");
    terminal.answer_hidden("Paste token for zai", TOKEN);
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains(TOKEN), "{shown}");
    let entry = &home.json(STORE)["profiles"]["zai:manual"];
    assert_eq!(entry["token"], TOKEN);
    let lasts = entry["expires"].as_i64().unwrap() - now_ms();
    assert!((HOUR..=2 * HOUR).contains(&lasts), "{lasts}");
}

#[test]
fn adding_needs_a_terminal_and_says_what_does_not() {
    let home = Home::new();
    let run = home.run(&["models", "auth", "add"]).exits(1);
    assert!(run.stderr.contains("paste-token"), "{}", run.stderr);
}

/// A stand-in for `claude`: does what `script` says when called with `setup-token`.
fn with_claude(home: &Home, script: &str) -> Command {
    let program = format!(
        "#!/bin/sh\n[ \"$*\" = setup-token ] || exit 99\n[ -t 0 ] && [ -t 1 ] || exit \
         98\n{script}\n"
    );
    home.write("bin/claude", program);
    chmod(&home.at("bin/claude"), 0o700);
    let mut command = home.command(&["models", "auth", "setup-token"]);
    command.env(
        "PATH",
        format!("{}:/usr/bin:/bin", home.at("bin").display()),
    );
    command
}

fn login(token: &str) -> String {
    json!({"claudeAiOauth": {"accessToken": token, "refreshToken": "rt",
        "expiresAt": now_ms() + 8760 * HOUR}})
    .to_string()
}

#[test]
fn a_login_that_setup_token_stores_is_imported() {
    let home = Home::new();
    home.write("login.json", login("sk-test-year"));
    let script =
        "echo 'open the browser'; mkdir -p ~/.claude; cp ~/login.json ~/.claude/.credentials.json";
    let mut terminal = Terminal::start(with_claude(&home, script));
    terminal.answer("Run `claude setup-token` now?", "\r");
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("open the browser"), "{shown}");
    assert!(
        shown.contains("Auth profile: anthropic:claude-cli (anthropic/oauth)"),
        "{shown}"
    );
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some("sk-test-year")
    );
    assert_eq!(
        home.json(".clawdbot/clawdbot.json"),
        json!({"auth": {"profiles": {"anthropic:claude-cli": {"provider": "anthropic",
            "mode": "oauth"}}}})
    );
}

#[test]
fn a_token_that_setup_token_only_prints_can_be_pasted() {
    for has_login in [false, true] {
        let home = Home::new();
        if has_login {
            home.write(CLAUDE, login("sk-test-old"));
        }
        let mut command = with_claude(&home, "echo 'your token: (shown here)'");
        command.arg("--yes");
        let mut terminal = Terminal::start(command);
        terminal.answer("Did it print a token to paste here?", "y\r");
        terminal.answer_hidden("Paste token for anthropic", TOKEN);
        let (status, shown) = terminal.end();
        assert_eq!(status, 0, "{shown}");
        assert_eq!(
            home.exported_token("anthropic:manual").as_deref(),
            Some(TOKEN)
        );
        assert_eq!(
            home.newest("profile.created").unwrap()["detail"]["by"],
            "setup-token"
        );
    }
}

#[test]
fn setup_token_that_brings_nothing_fails() {
    let home = Home::new();
    let mut command = with_claude(&home, "exit 3");
    command.arg("--yes");
    let (status, shown) = Terminal::start(command).end();
    assert_eq!(status, 1, "{shown}");
    assert!(
        shown.contains("claude setup-token failed (exit 3)"),
        "{shown}"
    );
    let mut terminal = Terminal::start(with_claude(&home, "true"));
    terminal.answer("now?", "y\r");
    terminal.answer("Did it print a token", "n\r");
    let (status, shown) = terminal.end();
    assert_eq!(status, 1, "{shown}");
    assert!(
        shown.contains("No Claude Code CLI credentials found after setup-token."),
        "{shown}"
    );
    // Not wanted after all.
    let mut terminal = Terminal::start(with_claude(&home, "exit 3"));
    terminal.answer("now?", "n\r");
    assert_eq!(terminal.end().0, 0);
    // No `claude` at all.
    let (status, shown) = start(&home, &["models", "auth", "setup-token", "--yes"]).end();
    assert_eq!(status, 1, "{shown}");
    assert!(shown.contains("Install Claude Code"), "{shown}");
    // No terminal; another provider.
    let run = home
        .run(&["models", "auth", "setup-token", "--yes"])
        .exits(1);
    assert!(
        run.stderr
            .contains("setup-token requires an interactive TTY."),
        "{}",
        run.stderr
    );
    let run = home
        .run(&["models", "auth", "setup-token", "--provider", "openai"])
        .exits(1);
    assert!(
        run.stderr
            .contains("Only --provider anthropic is supported"),
        "{}",
        run.stderr
    );
}
