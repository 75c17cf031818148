//! Targets that fail, hang, lead elsewhere; and what each kind of them is told.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clawkeep::internal::config::OwnSettings;
use clawkeep::internal::platform::FileLock;
use clawkeep::internal::vault::Vault;
use serde_json::{Value, json};

use super::{DAY, HOUR, MINUTE, PATIENCE, SECRET, START, Watch, alert_events, token, webhook};
use crate::support::hook::{Hook, Reply};
#[cfg(unix)]
use crate::support::secret_service::wait_until;

#[test]
fn a_target_that_fails_is_tried_again_and_delays_no_other() {
    let (good, bad) = (Hook::start(), Hook::start());
    let settings = format!(
        "{}[notify.webhook.bad]\nurl = \"{}\"\n",
        webhook(&good),
        bad.url(&format!("/{SECRET}"))
    );
    let mut watch = Watch::new(&settings);
    watch.put("anthropic:a", &token(0), 0);
    bad.next([
        Reply::Status(500, String::new()),
        Reply::Status(503, "retry-after: 600\r\n".to_owned()),
    ]);
    assert_eq!(watch.look(0), Some(MINUTE));
    assert_eq!((good.take().len(), bad.take().len()), (1, 1));
    let (_, detail) = watch.failed();
    assert_eq!(
        detail,
        json!({"target": "webhook.bad", "state": "expired", "why": "HTTP 500", "attempt": 1,
            "retryAt": START + MINUTE})
    );
    assert_eq!(
        watch.look(MINUTE - 1),
        Some(MINUTE),
        "another process waits as well"
    );
    assert_eq!(
        watch.look(MINUTE),
        Some(11 * MINUTE),
        "as long as it asks for"
    );
    assert_eq!(watch.failed().1["attempt"], 2);
    assert_eq!(bad.take().len(), 1);
    assert_eq!(
        watch.look(11 * MINUTE),
        Some(DAY),
        "what is left is to remind of it"
    );
    let (kind, detail) = watch.newest();
    assert_eq!(kind, "alert.sent");
    assert_eq!(detail, json!({"target": "webhook.bad", "state": "expired"}));
    assert_eq!((good.take().len(), bad.take().len()), (0, 1));
    watch.assert_nothing_secret(&[]);
}

#[test]
fn one_that_cannot_be_reached_is_not_tried_for_every_message() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    for id in ["anthropic:a", "anthropic:b", "anthropic:c"] {
        let mut entry = token(0);
        entry["token"] = json!(format!("{SECRET}-{id}"));
        watch.put(id, &entry, 0);
    }
    hook.next([Reply::Status(502, String::new())]);
    let (mut alerts, _woken) = watch.alerts(0);
    watch.pass(&mut alerts);
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    assert_eq!(watch.pass(&mut alerts), Some(MINUTE));
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    assert_eq!((hook.take().len(), watch.events().len()), (1, 1));
    let unreached: Vec<(&str, &str)> = alerts.unreached().collect();
    assert_eq!(unreached, [("webhook.team", "HTTP 502")]);
    // Unlike one message that is not taken.
    hook.next([Reply::Status(400, String::new())]);
    watch.look(2 * MINUTE);
    assert_eq!(hook.take().len(), 3);
    assert_eq!(watch.failed().1["why"], "HTTP 400");
}

#[test]
fn one_whose_settings_are_repaired_is_tried_at_once() {
    let (wrong, right) = (Hook::start(), Hook::start());
    let mut watch = Watch::new(&webhook(&wrong));
    watch.put("anthropic:a", &token(0), 0);
    wrong.next([Reply::Status(404, String::new())]);
    let (mut alerts, _woken) = watch.alerts(0);
    watch.pass(&mut alerts);
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    let settings = |text: &str| {
        let path = watch.bench.dir.path().join("clawkeep.toml");
        fs::write(&path, text).unwrap();
        OwnSettings::load(&path).unwrap().notify
    };
    alerts.set(settings(&webhook(&wrong)));
    let mended = settings(&webhook(&right));
    assert_eq!(watch.pass(&mut alerts), Some(MINUTE), "nothing has changed");
    alerts.set(mended);
    let unreached: Vec<(&str, &str)> = alerts.unreached().collect();
    assert_eq!(
        unreached,
        [("webhook.team", "HTTP 404")],
        "nothing arrived yet"
    );
    watch.pass(&mut alerts);
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    assert_eq!((wrong.take().len(), right.take().len()), (1, 1));
    assert_eq!(alerts.unreached().next(), None);
}

#[test]
fn a_long_watcher_knows_what_others_have_reported_meanwhile() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("anthropic:a", &token(400 * DAY), 0);
    let (mut long, _woken) = watch.alerts(0);
    assert_eq!(watch.pass(&mut long), Some(386 * DAY));
    watch.put("anthropic:a", &token(0), 0);
    watch.look(0);
    assert_eq!(hook.take().len(), 1);
    assert_eq!(watch.pass(&mut long), Some(DAY));
    watch.put("anthropic:a", &token(400 * DAY), 0);
    watch.pass(&mut long);
    long.finish(Some(&mut watch.bench.vault), PATIENCE).unwrap();
    watch.look(0);
    assert_eq!(hook.take().len(), 1, "that it is over is told once");
}

#[test]
fn a_redirect_is_not_followed() {
    let (hook, elsewhere) = (Hook::start(), Hook::start());
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("anthropic:a", &token(0), 0);
    for (at, status) in [301, 302, 307, 308].into_iter().enumerate() {
        let to = format!("location: {}\r\n", elsewhere.url(&format!("/{SECRET}")));
        hook.next([Reply::Status(status, to)]);
        watch.look(i64::try_from(at).unwrap() * DAY / 2);
        let why = watch.failed().1["why"].as_str().unwrap().to_owned();
        assert!(
            why.starts_with(&format!("HTTP {status}: redirects are not followed")),
            "{why}"
        );
    }
    assert_eq!((hook.take().len(), elsewhere.take()), (4, vec![]));
    watch.assert_nothing_secret(&[]);
}

#[test]
fn a_target_that_hangs_delays_nobody_and_counts_as_failed() {
    let (good, slow) = (Hook::start(), Hook::start());
    let settings = format!(
        "{}[notify.webhook.slow]\nurl = \"{}\"\n",
        webhook(&good),
        slow.url("/")
    );
    let mut watch = Watch::new(&settings);
    watch.put("anthropic:a", &token(0), 0);
    slow.next([Reply::Hang]);
    let begun = Instant::now();
    let (mut alerts, woken) = watch.alerts(0);
    watch.pass(&mut alerts);
    woken.recv_timeout(PATIENCE).unwrap();
    slow.wait();
    watch.pass(&mut alerts);
    assert_eq!(watch.newest().1["target"], "webhook.team");
    alerts
        .finish(Some(&mut watch.bench.vault), Duration::from_millis(50))
        .unwrap();
    assert!(begun.elapsed() < PATIENCE);
    assert_eq!(watch.events().len(), 2);
    let (_, detail) = watch.failed();
    assert_eq!(
        detail,
        json!({"target": "webhook.slow", "state": "expired", "why": "no answer in time",
            "attempt": 1, "retryAt": START + MINUTE})
    );
    // The next process tells it once its time has come, and not before.
    watch.look(MINUTE - 1);
    assert_eq!((good.take().len(), slow.take().len()), (1, 1));
    watch.look(MINUTE);
    assert_eq!((good.take().len(), slow.take().len()), (0, 1));
    slow.release();
}

#[cfg(unix)]
#[test]
fn a_program_that_takes_too_long_is_ended_and_run_again_later() {
    let mut watch = Watch::new("");
    let dir = watch.bench.dir.path().to_owned();
    let made = std::process::Command::new("mkfifo")
        .arg(dir.join("pipe"))
        .status();
    assert!(made.unwrap().success());
    // The pipe's other end is open as long as the program or what it started lives.
    watch.settings = program(&dir, "echo begun > pipe; exec > pipe; sleep 600 & wait");
    watch.put("anthropic:a", &token(0), 0);
    let (mut alerts, _woken) = watch.alerts(0);
    watch.pass(&mut alerts);
    let mut pipe = std::io::BufReader::new(fs::File::open(dir.join("pipe")).unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut pipe, &mut line).unwrap();
    assert_eq!(line, "begun\n");
    alerts
        .finish(Some(&mut watch.bench.vault), Duration::from_millis(50))
        .unwrap();
    std::io::Read::read_to_string(&mut pipe, &mut line).unwrap();
    assert_eq!(watch.failed().1["why"], "no answer in time");
    assert_eq!(watch.look(MINUTE - 1), Some(MINUTE));
    let unreached: Vec<(&str, &str)> = alerts.unreached().collect();
    assert_eq!(unreached, [("command.x", "no answer in time")]);
}

#[cfg(unix)]
#[test]
fn a_message_that_is_refused_delays_no_other() {
    let mut watch = Watch::new("");
    let dir = watch.bench.dir.path().to_owned();
    watch.settings = program(
        &dir,
        "case $CLAWKEEP_ALERT_TITLE in *bad*) exit 1;; esac; echo \"$CLAWKEEP_ALERT_TITLE\" >> \
         told",
    );
    watch.put("anthropic:bad", &token(0), 0);
    watch.put("anthropic:good", &token(HOUR), 0);
    let long = format!("anthropic:{}", "x".repeat(140_000));
    watch.put(&long, &token(2 * HOUR), 0);
    watch.look(0);
    let told = fs::read_to_string(dir.join("told")).unwrap();
    let told: Vec<&str> = told.lines().collect();
    assert_eq!(told[0], "anthropic:good expires in 1 hour");
    assert!(told[1].starts_with("anthropic:xxx") && told[1].len() < 200);
    assert_eq!((told.len(), watch.events().len()), (2, 3));
}

#[test]
fn who_is_urged_tries_again_at_once() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("anthropic:a", &token(0), 0);
    hook.next([Reply::Status(500, String::new())]);
    let (mut alerts, _woken) = watch.alerts(0);
    for told in [1, 0] {
        assert!(watch.pass(&mut alerts).is_none_or(|next| next == MINUTE));
        alerts
            .finish(Some(&mut watch.bench.vault), PATIENCE)
            .unwrap();
        assert_eq!(hook.take().len(), told);
    }
    alerts.urge();
    watch.pass(&mut alerts);
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    assert_eq!(hook.take().len(), 1);
    assert_eq!(watch.pass(&mut alerts), Some(DAY));
}

#[test]
fn one_that_is_reached_in_another_way_is_tried_at_once_by_another_process_too() {
    let (wrong, right) = (Hook::start(), Hook::start());
    let mut watch = Watch::new(&webhook(&wrong));
    watch.put("anthropic:a", &token(0), 0);
    wrong.next([Reply::Status(404, String::new())]);
    watch.look(0);
    watch.settings = webhook(&right);
    watch.look(1);
    assert_eq!((wrong.take().len(), right.take().len()), (1, 1));
}

#[cfg(unix)]
#[test]
fn what_others_were_sent_is_recorded_while_a_slow_one_is_waited_for() {
    let (good, slow) = (Hook::start(), Hook::start());
    let slow_one = format!("[notify.webhook.slow]\nurl = \"{}\"\n", slow.url("/"));
    let mut watch = Watch::new(&format!("{}{slow_one}", webhook(&good)));
    watch.put("anthropic:a", &token(0), 0);
    slow.next([Reply::Hang]);
    let (mut alerts, _woken) = watch.alerts(0);
    watch.pass(&mut alerts);
    let path = watch.bench.vault.path().to_owned();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let vault = Vault::open(&path).unwrap();
            let told = || {
                let events = vault.history(&alert_events()).unwrap();
                events.count() == 1
            };
            wait_until("the quick one to be recorded", told);
            slow.release();
        });
        alerts
            .finish(Some(&mut watch.bench.vault), 2 * PATIENCE)
            .unwrap();
    });
    assert_eq!(watch.events().len(), 2);
}

#[test]
fn while_one_process_tells_another_does_not() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("anthropic:a", &token(0), 0);
    let lock = watch.bench.dir.path().join("alerts.lock");
    let held = FileLock::try_take(&lock).unwrap().unwrap();
    let next = watch.look(0).unwrap();
    assert!((1..=MINUTE).contains(&next), "it looks again soon: {next}");
    assert_eq!(hook.take(), []);
    drop(held);
    watch.look(next);
    assert_eq!(hook.take().len(), 1);
    // And gives it back.
    assert!(FileLock::try_take(&lock).unwrap().is_some());
}

#[cfg(unix)]
#[test]
fn ntfy_gets_messages_in_its_own_format() {
    let hook = Hook::start();
    let mut watch = Watch::new("");
    let (url, secret) = (
        watch.bench.dir.path().join("url"),
        watch.bench.dir.path().join("token"),
    );
    fs::write(&url, format!("{}\n", hook.url("/topic"))).unwrap();
    fs::write(&secret, format!("{SECRET}-bearer\n")).unwrap();
    for file in [&url, &secret] {
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        fs::set_permissions(file, mode).unwrap();
    }
    watch.settings = format!(
        "[notify.ntfy]\nurl_file = \"{}\"\ntoken_file = \"{}\"\n",
        url.display(),
        secret.display()
    );
    watch.put("anthropic:ä", &token(0), 0);
    watch.look(0);
    let told = hook.take();
    assert_eq!(told[0].line, "POST /topic HTTP/1.1");
    assert_eq!(
        told[0].header("authorization"),
        Some(format!("Bearer {SECRET}-bearer").as_str())
    );
    assert_eq!(told[0].header("priority"), Some("urgent"));
    assert_eq!(told[0].header("tags"), Some("rotating_light"));
    assert_eq!(
        told[0].header("title"),
        Some("=?UTF-8?B?YW50aHJvcGljOsOkIGhhcyBleHBpcmVk?=")
    );
    assert!(
        told[0]
            .body
            .starts_with("anthropic:ä expired on 2027-01-15 08:00 UTC, just now."),
        "{told:?}"
    );
    assert!(!told[0].body.contains(SECRET));
    fs::remove_file(&secret).unwrap();
    watch.look(DAY);
    let why = watch.failed().1["why"].as_str().unwrap().to_owned();
    assert_eq!(why, "its token_file cannot be used: it is not there");
}

#[test]
fn chats_get_messages_in_their_format() {
    let hook = Hook::start();
    for (format, field, fields, start) in [
        (
            "slack",
            "text",
            1,
            "anthropic:&lt;!here&gt;*a* has expired\nanthropic:&lt;!here&gt;*a* expired on",
        ),
        (
            "discord",
            "content",
            2,
            "anthropic\\:\\<!here\\>\\*a\\* has expired\nanthropic\\:\\<!here\\>\\*a\\* expired on",
        ),
    ] {
        let mut watch = Watch::new(&format!("{}format = \"{format}\"\n", webhook(&hook)));
        watch.put("anthropic:<!here>*a*", &token(0), 0);
        watch.look(0);
        let told = hook.take();
        let body = told[0].json();
        assert_eq!(body.as_object().unwrap().len(), fields);
        let text = body[field].as_str().unwrap();
        assert!(text.starts_with(start), "{text}");
        if format == "discord" {
            assert_eq!(body["allowed_mentions"], json!({"parse": []}));
        }
        assert_eq!(told[0].header("content-type"), Some("application/json"));
    }
}

/// A program for `[notify.command.x]` in the vault's directory.
#[cfg(unix)]
fn program(dir: &Path, script: &str) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = dir.join("tell");
    fs::write(
        &path,
        format!("#!/bin/sh\ncd '{}'\n{script}\n", dir.display()),
    )
    .unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    format!(
        "[notify.command.x]\nrun = [\"{}\", \"an argument\"]\n",
        path.display()
    )
}

#[cfg(unix)]
#[test]
fn a_command_gets_messages_in_its_environment_and_on_stdin() {
    let mut watch = Watch::new("");
    let dir = watch.bench.dir.path().to_owned();
    watch.settings = program(&dir, "env > env; cat > stdin; echo \"$1\" > argument");
    watch.put("anthropic:a", &token(5 * DAY), 0);
    watch.look(0);
    let read = |name: &str| fs::read_to_string(dir.join(name)).unwrap();
    let told: Value = serde_json::from_str(&read("stdin")).unwrap();
    assert_eq!(told["state"], "expires-7d");
    assert_eq!(read("argument"), "an argument\n");
    let env = read("env");
    for line in [
        "CLAWKEEP_ALERT_TITLE=anthropic:a expires in 5 days",
        "CLAWKEEP_ALERT_STATE=expires-7d",
        "CLAWKEEP_ALERT_NEWS=new",
        "CLAWKEEP_ALERT_SEVERITY=warning",
        "CLAWKEEP_ALERT_PROFILES=main/anthropic:a",
        "CLAWKEEP_ALERT_PROVIDER=anthropic",
        "CLAWKEEP_ALERT_EXPIRES=2027-01-20T08:00:00Z",
        "PATH=/usr/bin:/bin",
    ] {
        assert!(env.lines().any(|found| found == line), "{line} in {env}");
    }
    // Nothing of the process's own environment, which the test's runner has filled.
    assert!(!env.contains("CARGO"), "{env}");
    assert!(!format!("{env}{told}").contains(SECRET));
    for (at, script, why) in [
        (0, "exit 3", "exit status: 3"),
        (2 * MINUTE, "kill -9 $$", "signal: 9 (SIGKILL)"),
    ] {
        watch.settings = program(&dir, script);
        watch.put("anthropic:a", &token(HOUR), 0);
        watch.look(at);
        assert_eq!(watch.failed().1["why"], why);
    }
    watch.settings = "[notify.command.y]\nrun = [\"clawkeep-test-no-such-program\"]\n".to_owned();
    watch.look(0);
    assert_eq!(watch.failed().1["why"], "there is no such program");
}

#[cfg(unix)] // a desktop is reached by D-Bus
#[test]
fn a_test_says_what_came_of_each_target() {
    let hook = Hook::start();
    let settings = format!("notify.desktop = true\n{}", webhook(&hook));
    let watch = Watch::new(&settings);
    let (alerts, _woken) = watch.alerts(0);
    let said: Vec<(String, Option<String>)> = alerts
        .test()
        .into_iter()
        .map(|(name, result)| (name, result.err().map(|failed| failed.why)))
        .collect();
    assert_eq!(
        said,
        [
            (
                "desktop".to_owned(),
                Some("there is no session bus, so no desktop".to_owned())
            ),
            ("webhook.team".to_owned(), None),
        ]
    );
    assert_eq!(hook.take()[0].json()["news"], "test");
    assert!(watch.events().is_empty());
}

#[test]
fn a_heartbeat_is_sent_while_all_is_well() {
    let hook = Hook::start();
    let url_file = tempfile::NamedTempFile::new().unwrap();
    fs::write(
        url_file.path(),
        format!("{}\n", hook.url(&format!("/{SECRET}"))),
    )
    .unwrap();
    let path = url_file.path().display();
    let mut watch = Watch::new(&format!("[notify.heartbeat]\nurl_file = '{path}'\n"));
    let lines =
        |hook: &Hook| -> Vec<String> { hook.take().into_iter().map(|sent| sent.line).collect() };
    let ping = format!("POST /{SECRET} HTTP/1.1");
    assert_eq!(watch.look(0), Some(5 * MINUTE));
    assert_eq!(lines(&hook), std::slice::from_ref(&ping));
    // What is wrong is not told where the service has no address for it: it misses the heartbeat.
    watch.trouble = vec![super::Trouble {
        key: "vault".to_owned(),
        title: "The vault cannot be used".to_owned(),
        body: String::new(),
    }];
    assert_eq!(watch.look(5 * MINUTE), None);
    watch.trouble.clear();
    // An expiry that is ahead is no problem; one that is past is.
    watch.put("anthropic:a", &token(3 * DAY), 0);
    watch.look(6 * MINUTE);
    assert_eq!(lines(&hook), [ping]);
    watch.look(4 * DAY);
    assert_eq!(lines(&hook), Vec::<String>::new());
    assert_eq!(
        watch.events(),
        [],
        "a heartbeat is no message, and is not recorded"
    );
    watch.assert_nothing_secret(&[]);
}

#[test]
fn a_heartbeat_tells_a_service_that_listens_what_is_wrong() {
    let hook = Hook::start();
    let url = hook.url("/x?a=b");
    let mut watch = Watch::new(&format!(
        "[notify.heartbeat]\nurl = \"{url}\"\nevery = \"2m\"\nfail = true\n"
    ));
    watch.put("anthropic:a", &token(-DAY), -2 * DAY);
    let (mut alerts, _woken) = watch.alerts(0);
    watch.pass(&mut alerts);
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    assert_eq!(watch.pass(&mut alerts), Some(2 * MINUTE));
    let sent = hook.take();
    assert_eq!(sent.len(), 1);
    assert_eq!(sent[0].line, "POST /x/fail?a=b HTTP/1.1");
    assert_eq!(sent[0].body, "main/anthropic:a: expired");
    // At once when it is over, and again within a minute if that did not arrive.
    watch.put("anthropic:a", &token(400 * DAY), 0);
    hook.next([Reply::Status(500, String::new())]);
    watch.pass(&mut alerts);
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    assert_eq!(watch.pass(&mut alerts), Some(MINUTE));
    assert_eq!(hook.take()[0].line, "POST /x?a=b HTTP/1.1");
    let unreached: Vec<_> = alerts.unreached().collect();
    assert_eq!(unreached, [("heartbeat", "HTTP 500")]);
    let tested = alerts.test();
    assert_eq!(tested, [("heartbeat".to_owned(), Ok(()))]);
    assert_eq!(hook.take()[0].line, "POST /x?a=b HTTP/1.1");
}
