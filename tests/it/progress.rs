//! What takes longer than a second says so, to people only, and takes it back.

use serde_json::json;

use crate::support::home::{HOUR, Home, now_ms};
use crate::support::provider::Provider;
use crate::support::terminal::Terminal;

const LOGIN: &str = "test:default";

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
fn a_person_is_told_what_is_waited_for_and_the_line_is_gone_at_the_end() {
    let (home, provider) = home();
    let mut terminal = Terminal::start(home.command(&["refresh", LOGIN]));
    terminal.wait_for("\rRefreshing test:default … 1 s\u{1b}[K");
    terminal.wait_for("\rRefreshing test:default … 2 s\u{1b}[K");
    provider.release();
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    let (_, last) = shown.rsplit_once("\r\u{1b}[K").unwrap();
    assert_eq!(last, "Refreshed test:default; it ends in 8h.\r\n");
}

#[test]
fn what_is_quick_and_what_is_for_programs_says_nothing() {
    let (home, provider) = home();
    for more in [&["--json"][..], &["--quiet"]] {
        let mut terminal = Terminal::start(home.command(&[&["refresh", LOGIN], more].concat()));
        let asked = provider.count() + 1;
        provider.wait_for(asked);
        // Longer than it takes to say something: the provider answers late, not this test.
        provider.delay(std::time::Duration::from_millis(1200));
        provider.release();
        let (status, shown) = {
            terminal.wait_for("");
            terminal.end()
        };
        assert_eq!(status, 0, "{shown}");
        assert!(!shown.contains("Refreshing"), "{more:?}: {shown:?}");
        provider.hold();
    }
    provider.release();
    provider.delay(std::time::Duration::ZERO);
    let (status, shown) = Terminal::start(home.command(&["audit", "verify"])).end();
    assert_eq!(status, 0, "{shown}");
    assert!(!shown.contains('\u{1b}'), "{shown:?}");
}

#[test]
fn a_script_sees_none_of_it() {
    let (home, provider) = home();
    provider.delay(std::time::Duration::from_millis(1200));
    provider.release();
    let run = home.run(&["refresh", LOGIN]).exits(0);
    assert_eq!(run.stderr, "");
}
