//! Telling a person: what arrives at real targets, what is recorded of it, and that nothing secret
//! is in either.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use clawkeep::internal::alerts::{Alerts, Means, Problem, Scene, Trouble, survey};
use clawkeep::internal::audit::{Event, EventDraft, EventKind, Filter, KindFilter, Origin};
use clawkeep::internal::config::{AgentRef, NotifySettings, OwnSettings};
use clawkeep::internal::domain::{
    AgentName, Endpoint, Fingerprint, Owner, ProfileId, StoreDoc, UnixMs,
};
use clawkeep::internal::oauth::Providers;
use clawkeep::internal::platform::Clock;
use clawkeep::internal::platform::keychain::SessionBus;
use clawkeep::internal::sync::StateReader;
use clawkeep::internal::vault::{ChangeNote, Grant, GrantState, VaultError};
use serde_json::{Value, json};

use crate::advice::{Commands, remedy_of_problem};
use crate::support::bench::{Bench, DAY, START};
use crate::support::hook::{Hook, Sent};

#[cfg(all(unix, not(target_os = "macos")))]
mod desktop;
mod targets;

const HOUR: i64 = DAY / 24;
const MINUTE: i64 = HOUR / 60;
/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_secs(20);
/// In every token of these tests, and in every address and path that must not be told.
const SECRET: &str = "sk-test-secret";

/// The program's words, as `watch` gives them.
fn advice(states: &StateReader<'_>, id: &str, problem: Problem<'_>) -> Result<String, VaultError> {
    remedy_of_problem(states, id, problem, Commands::Tree)
}

/// A vault, and who is told of it.
struct Watch {
    bench: Bench,
    settings: String,
    trouble: Vec<Trouble>,
    refreshing: Vec<Fingerprint>,
    docs: BTreeMap<String, Value>,
}

impl Watch {
    fn new(settings: &str) -> Self {
        Self {
            bench: Bench::new(),
            settings: settings.to_owned(),
            trouble: Vec::new(),
            refreshing: Vec::new(),
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
        let clock = Clock::Fixed(UnixMs::from_ms(START + at));
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
            env: vec![("PATH".into(), "/usr/bin:/bin".into())],
            lock: self.bench.dir.path().join("alerts.lock"),
            actor: self.bench.actor.clone(),
            clock: Clock::Fixed(UnixMs::from_ms(START + at)),
            remedies_command: "clawkeep doctor",
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
            logins: Some(&[]),
            agents: &[(agent, doc)],
            providers: Some(&Providers::new(&BTreeMap::new())),
            refreshing: &self.refreshing,
            trouble: &self.trouble,
            remedy: advice,
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
        let events = self.bench.vault.history(&alert_events()).unwrap();
        events.map(Result::unwrap).collect()
    }

    /// The newest alert event's kind and detail.
    fn newest(&self) -> (String, Value) {
        let event = self.events().swap_remove(0);
        let detail = serde_json::from_str(event.detail.as_deref().unwrap()).unwrap();
        (event.kind.to_string(), detail)
    }

    /// The newest event of something that did not arrive.
    fn failed(&self) -> (String, Value) {
        let (kind, detail) = self
            .events()
            .into_iter()
            .map(|event| (event.kind.to_string(), event.detail.unwrap()))
            .find(|(kind, _)| kind == "alert.failed")
            .unwrap();
        let mut detail: Value = serde_json::from_str(&detail).unwrap();
        let settings = detail.as_object_mut().unwrap().remove("settings");
        assert!(settings.unwrap().is_string(), "how it was reached");
        (kind, detail)
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

fn alert_events() -> Filter {
    Filter::default().kinds(vec![KindFilter::parse("alert").unwrap()])
}

fn token(ends: i64) -> Value {
    json!({"type": "token", "provider": "anthropic", "token": format!("{SECRET}-{ends}"),
        "expires": START + ends})
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
    let synced = (EventKind::SyncApplied, Origin::Source(Owner::ClaudeCode));
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
    assert_eq!(watch.look(ended), Some(ended + 72 * HOUR));
    watch.look(ended + 72 * HOUR);
    let told = hook.take();
    assert_eq!(told[0].json()["state"], "overdue");
    assert_eq!(
        told[0].json()["severity"],
        "warning",
        "most likely it rests"
    );
    let remedy = told[0].json()["remedy"].to_string();
    assert!(remedy.contains("Start `claude`"), "{remedy}");
    assert!(
        told[0].body.contains("Claude Code has not refreshed it"),
        "{told:?}"
    );
    // A token of a year, as `claude setup-token` makes them.
    watch.put_of("anthropic:claude-cli", &token(365 * DAY), synced, 7 * DAY);
    watch.look(7 * DAY);
    assert_eq!(hook.take()[0].json()["news"], "recovered");
    assert_eq!(watch.look(7 * DAY), Some(351 * DAY));
    watch.look(360 * DAY);
    assert_eq!(hook.take()[0].json()["state"], "expires-7d");
    // Something else of its entry is changed on its last day.
    let mut entry = token(365 * DAY);
    entry["note"] = json!("n");
    watch.put("anthropic:claude-cli", &entry, 364 * DAY);
    watch.look(364 * DAY);
    assert_eq!(hook.take()[0].json()["state"], "expires-1d");
}

#[test]
fn a_login_is_reported_when_its_grant_is_lost_and_when_it_is_back() {
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
        let event = EventDraft::new(EventKind::CredentialBorrowed, Origin::Clawkeep);
        tx.append(None, event).unwrap();
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
fn a_login_that_is_about_to_be_refreshed_is_not_overdue_before_that_was_tried() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("openai-codex:me", &login(-10 * HOUR), 0);
    let print = watch.bench.vault.fingerprint(&format!("{SECRET}-refresh"));
    watch.refreshing = vec![print];
    watch.look(0);
    assert_eq!(hook.take(), []);
    watch.refreshing.clear();
    watch.look(0);
    assert_eq!(hook.take()[0].json()["state"], "overdue");
    // That it is tried again is no end of it.
    watch.refreshing = vec![print];
    watch.look(MINUTE);
    assert_eq!(hook.take(), []);
}

#[test]
fn a_lost_login_is_critical_on_its_last_day_where_nothing_else_can_be_used() {
    for (ends, severity) in [(2 * DAY, "warning"), (8 * HOUR, "critical")] {
        let hook = Hook::start();
        let mut watch = Watch::new(&webhook(&hook));
        watch.put("openai-codex:me", &login(ends), 0);
        let bench = &mut watch.bench;
        let print = bench.vault.fingerprint(&format!("{SECRET}-refresh"));
        let mut tx = bench.vault.begin(&bench.actor, Clock::System).unwrap();
        let dead = Grant {
            state: GrantState::Dead,
            ..Grant::default()
        };
        tx.set_grant(print, &dead).unwrap();
        let event = EventDraft::new(EventKind::CredentialBorrowed, Origin::Clawkeep);
        tx.append(None, event).unwrap();
        tx.commit().unwrap();
        watch.look(0);
        let told = hook.take();
        assert_eq!(told[0].json()["state"], "dead");
        assert_eq!(told[0].json()["severity"], severity);
    }
}

#[test]
fn a_login_that_the_settings_send_elsewhere_is_reported_at_once() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("openai-codex:me", &login(8 * HOUR), 0);
    let bench = &mut watch.bench;
    let mut tx = bench.vault.begin(&bench.actor, Clock::System).unwrap();
    let elsewhere = Endpoint {
        origin: "https://elsewhere.example".to_owned(),
        client_id: "c".to_owned(),
    };
    let id = ProfileId::new("openai-codex:me");
    tx.pin_endpoint(&AgentName::default(), &id, &elsewhere)
        .unwrap();
    tx.commit().unwrap();
    assert_eq!(watch.look(0), Some(8 * HOUR));
    let told = hook.take();
    assert_eq!(told[0].json()["state"], "endpoint-changed");
    assert!(told[0].body.contains("models auth trust"), "{told:?}");
}

#[test]
fn a_login_that_a_gateway_renews_has_the_time_that_the_settings_give_it() {
    let mut watch = Watch::new(&webhook(&Hook::start()));
    let mut entry = login(8 * HOUR);
    entry["provider"] = json!("other");
    watch.put("other:me", &entry, 0);
    assert_eq!(watch.look(0), Some(80 * HOUR));
    watch.settings += "[notify]\noverdue = \"6h\"\n";
    assert_eq!(watch.look(0), Some(14 * HOUR));
}

#[test]
fn it_is_less_urgent_where_something_else_can_be_used() {
    let hook = Hook::start();
    let mut watch = Watch::new(&webhook(&hook));
    watch.put("anthropic:a", &token(HOUR), 0);
    watch.put("anthropic:b", &token(HOUR), 0); // the same login, which is no other
    watch.look(0);
    let told = hook.take();
    let urgency = |told: &[Sent]| told[0].json()["severity"].clone();
    assert_eq!((told.len(), urgency(&told)), (1, json!("critical")));
    let key = json!({"type": "api_key", "provider": "anthropic", "key": SECRET});
    watch.put("anthropic:key", &key, 0);
    watch.look(HOUR);
    let told = hook.take();
    assert_eq!((told.len(), urgency(&told)), (1, json!("warning")));
    assert!(
        told[0].body.contains("Other credentials for anthropic"),
        "{told:?}"
    );
}

#[test]
fn what_to_do_for_an_agent_that_only_its_directory_names() {
    let watch = Watch::new("");
    let entry = json!({"version": 1, "profiles": {"anthropic:a": token(0)}});
    let agent = AgentRef {
        name: AgentName::from_stored("/srv/agent".to_owned()),
        dir: "/srv/agent".into(),
    };
    let scene = Scene {
        logins: Some(&[]),
        agents: &[(agent, StoreDoc::from_json(entry).unwrap())],
        providers: None,
        refreshing: &[],
        trouble: &[],
        remedy: advice,
    };
    let settings = NotifySettings::default();
    let seen = survey(
        &watch.bench.vault,
        scene,
        (&settings, UnixMs::from_ms(START)),
    )
    .unwrap();
    let remedy = &seen.statuses[0].remedy;
    let with = " --profile-id anthropic:a (with CLAWDBOT_AGENT_DIR set to /srv/agent)";
    assert!(remedy.ends_with(with), "{remedy}");
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
fn trouble_of_the_host_is_reported_where_there_is_no_vault_and_recorded_once_there_is() {
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
        Some(UnixMs::from_ms(START + DAY).min(UnixMs::from_ms(START + MINUTE / 4)))
    );
    assert_eq!(hook.take()[0].json()["trouble"], "vault");
    // It is over.
    watch.pass(&mut alerts);
    woken.recv_timeout(PATIENCE).unwrap();
    alerts
        .finish(Some(&mut watch.bench.vault), PATIENCE)
        .unwrap();
    let over = hook.take();
    assert_eq!(over[0].json()["title"], "Resolved: The vault is locked");
    let states: Vec<String> = watch
        .events()
        .iter()
        .map(|event| event.detail.clone().unwrap())
        .collect();
    assert_eq!(
        states,
        [
            r#"{"target":"webhook.team","state":"ok","key":"vault"}"#,
            concat!(
                r#"{"target":"webhook.team","state":"trouble","key":"vault","#,
                r#""title":"The vault is locked"}"#
            ),
        ]
    );
    // Another process knows that too.
    watch.trouble = vec![trouble];
    watch.look(HOUR);
    watch.look(HOUR);
    assert_eq!(hook.take().len(), 1);
}

#[test]
fn what_was_pruned_is_reported_again_at_worst() {
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
        Clock::Fixed(UnixMs::from_ms(START + 360 * DAY)),
    );
    let before = UnixMs::from_ms(START + 200 * DAY);
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
