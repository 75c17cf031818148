//! What takes longer than a second says so, to people only, and takes it back.

use std::time::Duration;

use serde_json::json;

use crate::support::home::{HOUR, Home, now_ms};
use crate::support::provider::Provider;
use crate::support::terminal::Terminal;

const LOGIN: &str = "test:default";
/// Long enough for a person to be told.
const SLOW: Duration = Duration::from_millis(1500);

/// A login whose provider does not answer until it is told to.
fn home() -> (Home, Provider) {
    let (home, provider) = (Home::new(), Provider::start());
    let login = json!({"version": 1, "profiles": {LOGIN: {
        "type": "oauth", "provider": "test", "access": "sk-test-access-0",
        "refresh": provider.grant("ana"), "expires": now_ms() + HOUR,
    }}});
    home.write(
        ".clawdbot/agents/main/agent/auth-profiles.json",
        login.to_string(),
    );
    home.write(".clawdbot/clawkeep.toml", provider.setting("test"));
    home.run(&["sync"]).ok();
    provider.hold();
    (home, provider)
}

#[test]
fn a_person_sees_what_is_awaited_and_the_line_is_gone_at_the_end() {
    let (home, provider) = home();
    let mut terminal = Terminal::start(home.command(&["refresh", LOGIN]));
    terminal.wait_for("\rRefreshing test:default … 1 s\u{1b}[K");
    terminal.wait_for("\rRefreshing test:default … 2 s\u{1b}[K");
    provider.release();
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    let (_, last) = shown.rsplit_once("\r\u{1b}[K").unwrap();
    assert_eq!(last, "Refreshed test:default; it expires in 8h.\r\n");
}

#[test]
fn what_is_quick_and_what_is_for_programs_says_nothing() {
    let (home, provider) = home();
    provider.release();
    provider.delay(SLOW);
    for more in ["--json", "--quiet"] {
        let refresh = home.command(&["refresh", LOGIN, more]);
        let (status, shown) = Terminal::start(refresh).end();
        assert_eq!(status, 0, "{shown}");
        assert!(!shown.contains("Refreshing"), "{more}: {shown:?}");
    }
    let verify = home.command(&["audit", "verify"]);
    let (status, shown) = Terminal::start(verify).end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_script_sees_none_of_it() {
    let (home, provider) = home();
    provider.delay(SLOW);
    provider.release();
    let run = home.run(&["refresh", LOGIN]).exits(0);
    assert_eq!(run.stderr, "");
}
