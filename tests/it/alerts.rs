//! Telling a person: what arrives at real targets, what is recorded of it, and that nothing secret is in either.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use clawkeep::alerts::{Alerts, Means, Scene, Trouble};
use clawkeep::audit::{Event, EventKind, Filter, KindFilter, Origin};
use clawkeep::config::{AgentRef, OwnSettings};
use clawkeep::domain::{AgentName, ProfileId, StoreDoc, UnixMs};
use clawkeep::oauth::Providers;
use clawkeep::platform::keychain::SessionBus;
use clawkeep::platform::{Clock, FileLock};
use clawkeep::vault::{ChangeNote, Grant, GrantState};
use serde_json::{Value, json};

use crate::support::bench::{Bench, DAY, START};
use crate::support::hook::{Hook, Reply, Sent};

const HOUR: i64 = DAY / 24;
const MINUTE: i64 = HOUR / 60;
/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// In every token of these tests, and in every address and path that must not be told.
const SECRET: &str = "sk-test-secret";

/// A vault, and who is told of it.
struct Watch {
    bench: Bench,
    settings: String,
    trouble: Vec<Trouble>,
    docs: BTreeMap<String, Value>,
}

impl Watch {
    fn new(settings: &str) -> Self {
        Self {
            bench: Bench::new(),
            settings: settings.to_owned(),
            trouble: Vec::new(),
            docs: BTreeMap::new(),
        }
    }

    /// Stores a profile of the main agent, as of `at`.
    fn put(&mut self, profile: &str, entry: &Value, at: i64) {
        self.put_of(
            profile,
            entry,
            (EventKind::ProfileUpdated, Origin::Clawkeep),
            at,
        );
    }

    fn put_of(&mut self, profile: &str, entry: &Value, note: (EventKind, Origin), at: i64) {
        let agent = AgentName::default();
        let clock = Clock::Fixed(UnixMs(START + at));
        let mut tx = self.bench.vault.begin(&self.bench.actor, clock).unwrap();
        let note = ChangeNote::new(note.0, note.1);
        tx.put_profile(&agent, &ProfileId::new(profile), entry, note)
            .unwrap();
        tx.commit().unwrap();
        self.docs.insert(profile.to_owned(), entry.clone());
    }

    fn alerts(&self, at: i64) -> (Alerts, mpsc::Receiver<()>) {
        self.alerts_on(at, SessionBus::Absent)
    }

    fn alerts_on(&self, at: i64, bus: SessionBus) -> (Alerts, mpsc::Receiver<()>) {
        let path = self.bench.dir.path().join("clawkeep.toml");
        fs::write(&path, &self.settings).unwrap();
        let (sender, woken) = mpsc::channel();
        let alerts = Alerts::new(Means {
            settings: OwnSettings::load(&path).unwrap().notify,
            wake: Arc::new(move || {
                let _ = sender.send(());
            }),
            bus,
            env: vec![("PATH".to_owned(), "/usr/bin:/bin".to_owned())],
            lock: self.bench.dir.path().join("alerts.lock"),
            actor: self.bench.actor.clone(),
            clock: Clock::Fixed(UnixMs(START + at)),
        });
        (alerts, woken)
    }

    fn pass(&mut self, alerts: &mut Alerts) -> Option<i64> {
        let doc = StoreDoc::from_json(json!({"version": 1, "profiles": self.docs})).unwrap();
        let agent = AgentRef {
            name: AgentName::default(),
            dir: self.bench.dir.path().to_owned(),
        };
        let scene = Scene {
            agents: &[(agent, doc)],
            providers: Some(&Providers::new(&BTreeMap::new())),
            trouble: &self.trouble,
        };
        let next = alerts.pass(&mut self.bench.vault, scene).unwrap();
        next.map(|at| at.0 - START)
    }

    /// One look at a time, as from cron: what is due is sent and recorded. When to look again.
    fn look(&mut self, at: i64) -> Option<i64> {
        let (mut alerts, _woken) = self.alerts(at);
        self.pass(&mut alerts);
        alerts
            .finish(Some(&mut self.bench.vault), PATIENCE)
            .unwrap();
        let next = self.pass(&mut alerts);
        assert!(format!("{alerts:?}").starts_with("Alerts("));
        next
    }

    fn events(&self) -> Vec<Event> {
        let filter = Filter {
            kinds: vec![KindFilter::parse("alert").unwrap()],
            ..Filter::default()
        };
        let events = self.bench.vault.history(&filter).unwrap();
        events.map(Result::unwrap).collect()
    }

    /// The newest alert event's kind and detail.
    fn newest(&self) -> (String, Value) {
        let event = self.events().swap_remove(0);
        let detail = serde_json::from_str(event.detail.as_deref().unwrap()).unwrap();
        (event.kind.to_string(), detail)
    }

    fn assert_nothing_secret(&self, sent: &[Sent]) {
        let record = format!("{:?}", self.events());
        assert!(!record.contains(SECRET), "{record}");
        for sent in sent {
            let said = format!("{:?} {}", sent.headers, sent.body);
            assert!(!said.contains(SECRET), "{said}");
        }
    }
}

fn token(ends: i64) -> Value {
    json!({"type": "token", "provider": "anthropic", "token": format!("{SECRET}-{ends}"), "expires": START + ends})
}

fn login(ends: i64) -> Value {
    json!({
        "type": "oauth", "provider": "openai-codex", "access": format!("{SECRET}-access-{ends}"),
        "refresh": format!("{SECRET}-refresh"), "expires": START + ends,
    })
}

fn webhook(hook: &Hook) -> String {
    format!(
        "[notify.webhook.team]\nurl = \"{}\"\n",
        hook.url(&format!("/{SECRET}?k={SECRET}"))
    )
}

#[test]
fn a_token_on_the_way_to_its_end_and_after() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("anthropic:setup", &token(30 * DAY), 0);
    let mut at = 0;
    let mut told = Vec::new();
    // Looks again when it is told to, and at no other time.
    while let Some(next) = watch.look(at).filter(|_| at < 32 * DAY) {
        assert!(next > at);
        at = next;
        told.extend(hook.take());
    }
    watch.put("anthropic:setup", &token(400 * DAY), at);
    watch.look(at);
    told.extend(hook.take());
    let states: Vec<(Value, Value)> = told
        .iter()
        .map(|sent| (sent.json()["news"].clone(), sent.json()["state"].clone()))
        .collect();
    assert_eq!(
        states,
        [
            ("new", "expires-14d"),
            ("new", "expires-7d"),
            ("new", "expires-3d"),
            ("new", "expires-1d"),
            ("new", "expired"),
            ("repeated", "expired"),
            ("repeated", "expired"),
            ("recovered", "ok"),
        ]
        .map(|(news, state)| (json!(news), json!(state)))
    );
    let first = told[0].json();
    assert_eq!(
        first["profiles"],
        json!([{"agent": "main", "profile": "anthropic:setup"}])
    );
    assert_eq!(first["severity"], "warning");
    assert_eq!(first["host"], watch.bench.actor.host.as_str());
    assert_eq!(first["provider"], "anthropic");
    assert!(
        first["remedy"]
            .as_str()
            .unwrap()
            .contains("clawkeep models auth paste-token"),
        "{first}"
    );
    assert_eq!(watch.events().len(), told.len());
    assert!(
        watch
            .events()
            .iter()
            .all(|event| event.profile.as_deref() == Some("anthropic:setup"))
    );
    watch.assert_nothing_secret(&told);
    let proven = watch.bench.vault.verify_record(None).unwrap();
    assert!(proven.is_ok(), "{proven:?}");
}

#[test]
fn claude_codes_short_tokens_are_no_alarm_and_its_long_ones_are() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    let synced = (EventKind::SyncApplied, Origin::ClaudeCode);
    for cycle in 0..10 {
        let at = cycle * 9 * HOUR;
        watch.put_of("anthropic:claude-cli", &token(at + 8 * HOUR), synced, at);
        for hours in [0, 7, 8] {
            watch.look(at + hours * HOUR);
        }
    }
    assert_eq!(hook.take(), []);
    // Nobody uses it any more.
    let ended = 9 * 9 * HOUR + 8 * HOUR;
    assert_eq!(watch.look(ended), Some(ended + 6 * HOUR));
    watch.look(ended + 6 * HOUR);
    let told = hook.take();
    assert_eq!(told[0].json()["state"], "overdue");
    assert!(
        told[0].body.contains("Claude Code has not renewed it"),
        "{told:?}"
    );
    // A token of a year, as `claude setup-token` makes them.
    watch.put_of("anthropic:claude-cli", &token(365 * DAY), synced, 5 * DAY);
    watch.look(5 * DAY);
    assert_eq!(hook.take()[0].json()["news"], "recovered");
    assert_eq!(watch.look(5 * DAY), Some(351 * DAY));
    watch.look(360 * DAY);
    assert_eq!(hook.take()[0].json()["state"], "expires-7d");
}

#[test]
fn a_login_is_told_of_when_its_grant_is_lost_and_when_it_is_had_again() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("openai-codex:me", &login(8 * HOUR), 0);
    assert_eq!(
        watch.look(0),
        Some(9 * HOUR),
        "renewed here: an hour of grace"
    );
    for (state, at) in [
        (GrantState::Dead, MINUTE),
        (GrantState::Free, 2 * MINUTE),
        (GrantState::Spent, 3 * MINUTE),
    ] {
        let print = watch.bench.vault.fingerprint(&format!("{SECRET}-refresh"));
        let mut tx = watch
            .bench
            .vault
            .begin(&watch.bench.actor, Clock::System)
            .unwrap();
        let grant = Grant {
            state,
            ..Grant::default()
        };
        tx.set_grant(print, &grant).unwrap();
        tx.commit().unwrap();
        watch.look(at);
    }
    let told = hook.take();
    let states: Vec<String> = told
        .iter()
        .map(|sent| sent.json()["state"].to_string())
        .collect();
    assert_eq!(states, ["\"dead\"", "\"ok\"", "\"spent\""]);
    assert!(
        told[0].body.contains("clawkeep models auth login"),
        "{told:?}"
    );
    watch.assert_nothing_secret(&told);
}

#[test]
fn keys_and_tokens_without_an_end_are_never_spoken_of() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    let key = json!({"type": "api_key", "provider": "openai", "key": SECRET, "expires": START});
    watch.put("openai:key", &key, 0);
    let endless = json!({"type": "token", "provider": "anthropic", "token": SECRET});
    watch.put("anthropic:endless", &endless, 0);
    watch.put("odd:entry", &json!({"type": "odd"}), 0);
    assert_eq!(watch.look(1000 * DAY), None);
    assert_eq!((hook.take(), watch.events().len()), (vec![], 0));
}

#[test]
fn one_target_that_fails_keeps_no_other_from_being_told_and_is_tried_again() {
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
        json!({"target": "webhook.bad", "state": "expired", "why": "HTTP 500", "attempt": 1, "retryAt": START + MINUTE})
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

impl Watch {
    /// The newest event of something that did not arrive.
    fn failed(&self) -> (String, Value) {
        let (kind, detail) = self
            .events()
            .into_iter()
            .map(|event| (event.kind.to_string(), event.detail.unwrap()))
            .find(|(kind, _)| kind == "alert.failed")
            .unwrap();
        (kind, serde_json::from_str(&detail).unwrap())
    }
}

#[test]
fn a_target_that_cannot_be_reached_is_not_tried_for_every_message() {
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
    // Unlike one message that is not taken.
    hook.next([Reply::Status(400, String::new())]);
    watch.look(2 * MINUTE);
    assert_eq!(hook.take().len(), 3);
    assert_eq!(watch.failed().1["why"], "HTTP 400");
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
            why.starts_with(&format!("HTTP {status}: it leads elsewhere")),
            "{why}"
        );
    }
    assert_eq!((hook.take().len(), elsewhere.take()), (4, vec![]));
    watch.assert_nothing_secret(&[]);
}

#[test]
fn a_target_that_hangs_holds_nobody_up_and_counts_as_not_told() {
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
    assert_eq!(watch.events().len(), 1);
    // The next process tells it.
    watch.look(MINUTE);
    assert_eq!((good.take().len(), slow.take().len()), (1, 2));
    slow.release();
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

#[test]
fn trouble_of_the_host_is_told_where_there_is_no_vault_and_recorded_once_there_is() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    let trouble = Trouble {
        key: "vault".to_owned(),
        title: "The vault is locked".to_owned(),
        body: "Nobody can open it.\nUnlock the keychain.".to_owned(),
    };
    let (mut alerts, woken) = watch.alerts(0);
    let locked = [trouble.clone()];
    alerts.pass_without_vault(&locked);
    woken.recv_timeout(PATIENCE).unwrap();
    assert_eq!(
        alerts.pass_without_vault(&locked),
        Some(UnixMs(START + DAY).min(UnixMs(START + MINUTE / 4)))
    );
    assert_eq!(hook.take()[0].json()["trouble"], "vault");
    // It is over.
    watch.pass(&mut alerts);
    woken.recv_timeout(PATIENCE).unwrap();
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    let over = hook.take();
    assert_eq!(over[0].json()["title"], "Over: The vault is locked");
    let states: Vec<String> = watch
        .events()
        .iter()
        .map(|event| event.detail.clone().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            r#"{"target":"webhook.team","state":"ok","key":"vault"}"#,
            r#"{"target":"webhook.team","state":"trouble","key":"vault","title":"The vault is locked"}"#,
        ]
    );
    // Another process knows that too.
    watch.trouble = vec![trouble];
    watch.look(HOUR);
    watch.look(HOUR);
    assert_eq!(hook.take().len(), 1);
}

#[test]
fn ntfy_is_told_in_its_own_words() {
    let hook = Hook::start();
    let mut watch = Watch::new("");
    let (url, secret) = (
        watch.bench.dir.path().join("url"),
        watch.bench.dir.path().join("token"),
    );
    fs::write(&url, format!("{}\n", hook.url("/topic"))).unwrap();
    fs::write(&secret, format!("{SECRET}-bearer\n")).unwrap();
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
fn chats_are_told_in_theirs() {
    let hook = Hook::start();
    for (format, field) in [("slack", "text"), ("discord", "content")] {
        let mut watch = Watch::new(&format!("{}format = \"{format}\"\n", webhook(&hook)));
        watch.put("anthropic:a", &token(0), 0);
        watch.look(0);
        let told = hook.take();
        let body = told[0].json();
        assert_eq!(body.as_object().unwrap().len(), 1);
        let text = body[field].as_str().unwrap();
        assert!(
            text.starts_with("anthropic:a has expired\nanthropic:a expired on"),
            "{text}"
        );
        assert_eq!(told[0].header("content-type"), Some("application/json"));
    }
}

/// A program for `[notify.command.x]` in the vault's directory.
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

#[test]
fn a_command_is_told_in_its_environment_and_on_stdin() {
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
    assert_eq!(
        watch.failed().1["why"],
        "it cannot be run: entity not found"
    );
}

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
fn what_was_pruned_is_told_again_at_worst() {
    let hook = Hook::start();
    let mut watch = Watch::new(&format!("notify.repeat = \"never\"\n{}", webhook(&hook)));
    watch.put("anthropic:a", &token(0), 0);
    watch.look(0);
    watch.look(300 * DAY);
    assert_eq!(hook.take().len(), 1);
    for day in 1..60 {
        watch.bench.append(
            "main",
            EventKind::CredentialUsed,
            Origin::Clawkeep,
            "anthropic:a",
            START + (300 + day) * DAY,
        );
    }
    let (head, now) = (
        watch.bench.vault.head().unwrap(),
        Clock::Fixed(UnixMs(START + 360 * DAY)),
    );
    let before = UnixMs(START + 200 * DAY);
    let pruned = watch
        .bench
        .vault
        .prune(before, head, &watch.bench.actor, now)
        .unwrap()
        .unwrap();
    assert!(pruned.is_some());
    assert!(watch.events().is_empty());
    watch.look(361 * DAY);
    watch.look(362 * DAY);
    assert_eq!(hook.take().len(), 1);
}

/// Shows a notification in the session of the process; started by the test below.
#[test]
#[ignore = "runs in a desktop session that another test makes"]
fn in_a_desktop_session() {
    let watch = Watch::new("notify.desktop = true");
    let (alerts, _woken) = watch.alerts_on(0, SessionBus::Present);
    for (_, result) in alerts.test() {
        println!("came of it: {result:?}");
    }
}

#[cfg(all(unix, not(target_os = "macos")))]
mod desktop {
    use std::collections::HashMap;
    use std::sync::{Arc, Mutex};

    use zbus::blocking::connection;
    use zbus::zvariant::OwnedValue;

    use crate::support::secret_service::{Prompts, Session};

    /// What was shown: summary, body, urgency.
    type Shown = Arc<Mutex<Vec<(String, String, u8)>>>;

    struct Notifications(Shown);

    #[zbus::interface(name = "org.freedesktop.Notifications")]
    impl Notifications {
        fn get_capabilities(&self) -> Vec<String> {
            vec!["body".to_owned(), "body-markup".to_owned()]
        }

        #[expect(clippy::too_many_arguments, reason = "the specification's")]
        fn notify(
            &self,
            _app: String,
            _replaces: u32,
            _icon: String,
            summary: String,
            body: String,
            _actions: Vec<String>,
            hints: HashMap<String, OwnedValue>,
            _timeout: i32,
        ) -> u32 {
            let urgency = u8::try_from(&hints["urgency"]).unwrap();
            self.0.lock().unwrap().push((summary, body, urgency));
            1
        }
    }

    fn shown_in(session: &Session) -> String {
        let mut child = session.command(std::env::current_exe().unwrap().to_str().unwrap());
        child.args([
            "--exact",
            "alerts::in_a_desktop_session",
            "--ignored",
            "--nocapture",
        ]);
        let output = child.output().unwrap();
        let said = String::from_utf8(output.stdout).unwrap();
        let line = said
            .lines()
            .find_map(|line| line.split_once("came of it: "));
        line.unwrap_or_else(|| panic!("{said}")).1.to_owned()
    }

    #[test]
    fn a_desktop_shows_it() {
        let session = Session::without_keyring(Prompts::CannotBeShown);
        let nobody = shown_in(&session);
        assert!(nobody.contains("ServiceUnknown"), "{nobody}");
        let shown = Shown::default();
        let _serving = connection::Builder::address(session.address().as_str())
            .unwrap()
            .serve_at(
                "/org/freedesktop/Notifications",
                Notifications(Arc::clone(&shown)),
            )
            .unwrap()
            .name("org.freedesktop.Notifications")
            .unwrap()
            .build()
            .unwrap();
        assert_eq!(shown_in(&session), "Ok(())");
        let shown = shown.lock().unwrap().clone();
        let (summary, body, urgency) = &shown[0];
        assert_eq!((summary.as_str(), *urgency), ("A test of clawkeep", 0));
        assert!(body.starts_with("Messages arrive here."), "{body}");
    }
}
