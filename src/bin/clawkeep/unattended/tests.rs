//! What is written is read back as it was meant.

use super::{Job, Pace, cron, launchd, systemd};

fn job(program: &str) -> Job {
    Job {
        program: program.to_owned(),
        global: vec!["--vault".into(), "/a b/$HOME/100%\n\"v\\".into()],
        options: Vec::new(),
        variables: vec![("CODEX_HOME".to_owned(), "/c d/%h$x".into())],
        pace: Pace::Always,
    }
}

#[test]
fn a_unit_quotes_what_systemd_would_take_for_more() {
    let text = &systemd::units(&job("/opt/100%/$x/clawkeep"))[0].1;
    let line = |begin: &str| text.lines().find(|line| line.starts_with(begin)).unwrap();
    assert_eq!(
        line("ExecStart="),
        r#"ExecStart="/opt/100%%/$x/clawkeep" --vault "/a b/$$HOME/100%%\x0a\"v\\" watch"#
    );
    assert_eq!(
        line("Environment="),
        r#"Environment="CODEX_HOME=/c d/%%h$x""#
    );
}

#[test]
fn the_program_is_read_back() {
    for program in ["/usr/bin/clawkeep", "/opt/a b & <c> &amp; %h/clawkeep"] {
        let unit = &systemd::units(&job(program))[0].1;
        assert_eq!(systemd::program_of(unit), Some(program));
        let plist = launchd::plist(&job(program), "/log");
        assert_eq!(launchd::program_of(&plist).as_deref(), Some(program));
    }
    assert_eq!(launchd::program_of("<plist/>"), None);
}

#[test]
fn what_a_file_cannot_hold_is_objected_to() {
    assert!(systemd::objection(&job("/it's/clawkeep")).is_some());
    assert!(systemd::objection(&job("/plain/clawkeep")).is_none());
    assert!(
        cron::objection(&job("/plain/clawkeep")).is_some(),
        "a line break in an option"
    );
    assert!(launchd::objection(&job("/plain/clawkeep")).is_some());
}
