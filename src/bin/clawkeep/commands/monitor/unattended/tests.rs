//! Each format is read back as it was written.

use std::path::Path;

use plist::Value;

use super::job::{Job, Pace};
use super::launchd::{self, Session};
use super::own_file::{FileState, put, read_own_file};
use super::{cron, systemd, task};

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
    let found = line("Environment=");
    assert_eq!(found, r#"Environment="CODEX_HOME=/c d/%%h$x""#);
}

#[test]
fn the_program_is_read_back() {
    for program in ["/usr/bin/clawkeep", "/opt/a b & <c> &amp; %h/clawkeep"] {
        let unit = &systemd::units(&job(program))[0].1;
        assert_eq!(systemd::program_of(unit), Some(program));
        let plist = launchd::plist(&job(program), "/log", Session::Graphical);
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
    let log = Path::new(r"C:\log");
    assert!(task::objection(&windows_job(), log).is_none());
    let replaced = Path::new(r"C:\50%\log");
    assert!(task::objection(&windows_job(), replaced).is_some());
    for vault in [r"C:\%USERNAME%\v.db", r"C:\$(Arg0)\v.db", "C:\\a\nb"] {
        let mut job = windows_job();
        job.global.push(vault.into());
        assert!(task::objection(&job, log).is_some(), "{vault}");
    }
}

fn windows_job() -> Job {
    Job {
        program: r"C:\Program Files\R&D\clawkeep.exe".to_owned(),
        global: vec!["--vault".into(), r"C:\Zoë's <v>\v.db".into()],
        options: vec!["--refresh-ahead".to_owned(), "20m".to_owned()],
        variables: vec![("CODEX_HOME".to_owned(), r"D:\a b\".into())],
        pace: Pace::Always,
    }
}

#[test]
fn a_task_has_its_command_escaped_and_quoted() {
    let log = Path::new(r"C:\Users\Zoë\clawkeep-watch.log");
    let xml = task::xml(&windows_job(), "S-1-5-21-1-2-3-1001", log);
    let element = |name: &str| {
        let (_, rest) = xml.split_once(&format!("<{name}>")).unwrap();
        rest.split_once("</").unwrap().0
    };
    let found = element("Command");
    assert_eq!(found, r"&quot;C:\Program Files\R&amp;D\clawkeep.exe&quot;");
    assert_eq!(
        element("Arguments"),
        concat!(
            r"monitor run-hidden --log C:\Users\Zoë\clawkeep-watch.log ",
            r"--set &quot;CODEX_HOME=D:\a b\\&quot; ",
            r"-- --vault &quot;C:\Zoë's &lt;v&gt;\v.db&quot; ",
            "watch --refresh-ahead 20m --end-with-stdin"
        )
    );
    assert_eq!(element("Interval"), "PT5M");
    assert_eq!(element("ExecutionTimeLimit"), "PT0S");
    let found = task::program_of(&xml);
    assert_eq!(found.as_deref(), Some(windows_job().program.as_str()));
    // Each element that begins ends, in turn.
    let mut open = Vec::new();
    for tag in xml
        .split('<')
        .skip(1)
        .map(|tag| tag.split_once('>').unwrap().0)
    {
        let name = tag.split_whitespace().next().unwrap();
        match name.strip_prefix('/') {
            Some(name) => assert_eq!(open.pop(), Some(name)),
            None if name.starts_with(['?', '!']) => {}
            None => open.push(name),
        }
    }
    assert_eq!(open, [""; 0]);
    let timed = Job {
        pace: Pace::Timed,
        ..windows_job()
    };
    let xml = task::xml(&timed, "S-1-5-21-1-2-3-1001", log);
    assert!(xml.contains(" -- --quiet --vault "));
    assert!(xml.contains(" watch --once --refresh-ahead 20m</Arguments>"));
}

#[test]
fn the_file_of_a_task_is_known_as_ours() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(task::FILE);
    let xml = task::xml(&windows_job(), "S-1-5-21-1-2-3-1001", Path::new("log"));
    put(&path, task::bytes(&xml)).unwrap();
    assert_eq!(read_own_file(&path), FileState::Ours(xml));
    put(&path, task::bytes("<Task/>")).unwrap();
    assert_eq!(read_own_file(&path), FileState::Anothers);
}

/// Keys and types as launchd.plist(5) has them.
#[test]
fn an_agent_is_the_property_list_that_launchd_reads() {
    let text = |text: &str| Value::String(text.to_owned());
    let number = |number: u64| Value::Integer(number.into());
    for nasty in [
        "/plain/clawkeep",
        "/with blank/a & b/<c>/&amp;/\"d\"/'e'/]]>/clawkeep",
        "/p\u{e4}th \u{2013} \u{2602}/\u{1f980}/clawkeep",
    ] {
        let job = |pace| Job {
            program: nasty.to_owned(),
            global: vec!["--vault".into(), nasty.into()],
            options: vec!["--refresh-ahead".to_owned(), "20m".to_owned()],
            variables: vec![("CODEX_HOME".to_owned(), nasty.into())],
            pace,
        };
        for (pace, session) in [
            (Pace::Always, Session::Graphical),
            (Pace::Timed, Session::Background),
        ] {
            let written = launchd::plist(&job(pace), nasty, session);
            let read = Value::from_reader_xml(written.as_bytes()).expect(nasty);
            let mut keys = read.into_dictionary().expect("a dictionary");
            let mut take = |key| keys.remove(key);
            assert_eq!(take("Label"), Some(text("clawkeep.watch")));
            let mut words = vec![nasty, "--vault", nasty, "watch"];
            words.extend((pace == Pace::Timed).then_some("--once"));
            words.extend(["--refresh-ahead", "20m"]);
            let words = words.into_iter().map(text).collect();
            assert_eq!(take("ProgramArguments"), Some(Value::Array(words)));
            let variables = take("EnvironmentVariables").and_then(Value::into_dictionary);
            let variables: Vec<_> = variables.expect("variables").into_iter().collect();
            assert_eq!(variables, [("CODEX_HOME".to_owned(), text(nasty))]);
            assert_eq!(take("RunAtLoad"), Some(Value::Boolean(true)));
            assert_eq!(take("ExitTimeOut"), Some(number(120)));
            assert_eq!(take("ProcessType"), Some(text("Background")));
            assert_eq!(take("Umask"), Some(number(0o077)), "decimal in the file");
            assert_eq!(take("StandardErrorPath"), Some(text(nasty)));
            match pace {
                Pace::Always => {
                    let when = take("KeepAlive").and_then(Value::into_dictionary);
                    let when: Vec<_> = when.expect("conditions").into_iter().collect();
                    assert_eq!(when, [("SuccessfulExit".to_owned(), Value::Boolean(false))]);
                    assert_eq!(take("ThrottleInterval"), Some(number(30)));
                }
                Pace::Timed => assert_eq!(take("StartInterval"), Some(number(300))),
            }
            let limit = take("LimitLoadToSessionType");
            let is_limited = session == Session::Background;
            assert_eq!(limit, is_limited.then(|| text("Background")));
            assert!(keys.is_empty(), "{keys:?}");
        }
    }
}
