//! Tests of the alerts over time, with a fixed clock: exactly the wanted messages.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;

use super::decide::{Decision, Facts, decide};
use super::history::{Entry, TargetHistory};
use super::message::Message;
use super::reason::MessageReason;
use super::subject::{Subject, Trouble};
use super::surveyed::SurveyedCredential;
use crate::config::NotifySettings;
use crate::domain::{AgentName, Fingerprint, Owner, ProfileId, ProviderId, UnixMs};
use crate::health::{Loss, Outlook, RefreshedBy};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// 2026-01-01 00:00 UTC.
const START: i64 = 1_767_225_600_000;
const CLAUDE: RefreshedBy = RefreshedBy::Program(Owner::ClaudeCode);

fn token(agent: &str, id: &str, ends: i64) -> SurveyedCredential {
    SurveyedCredential {
        agent: AgentName::from_id(agent),
        profile: ProfileId::new(id),
        provider: ProviderId::new(id.split(':').next().unwrap_or_default()),
        login: Fingerprint {
            key_number: 1,
            digest: ends.to_be_bytes(),
        },
        outlook: Outlook::Ends(UnixMs(START + ends)),
        failed: None,
        source: None,
        login_expires: None,
        has_others: false,
        remedy: format!("Refresh it: do-this {id}"),
    }
}

fn login(by: RefreshedBy, ends: i64) -> SurveyedCredential {
    SurveyedCredential {
        outlook: Outlook::Refreshed(by, UnixMs(START + ends)),
        ..token("main", "openai-codex:me", ends)
    }
}

#[derive(Clone, Default)]
struct Stage {
    statuses: Vec<SurveyedCredential>,
    trouble: Vec<Trouble>,
}

fn stage(statuses: impl IntoIterator<Item = SurveyedCredential>) -> Stage {
    Stage {
        statuses: statuses.into_iter().collect(),
        trouble: Vec::new(),
    }
}

struct Listener {
    history: BTreeMap<String, TargetHistory>,
    settings: NotifySettings,
}

impl Listener {
    fn new() -> Self {
        Self {
            history: BTreeMap::new(),
            settings: NotifySettings::default(),
        }
    }

    fn decide(&self, stage: &Stage, now: UnixMs) -> Decision {
        let facts = Facts {
            statuses: &stage.statuses,
            unclear: &BTreeSet::new(),
            agents: &["main", "ops"].map(str::to_owned).into(),
            trouble: &stage.trouble,
            is_all_trouble: true,
            remedies_command: "clawkeep doctor",
        };
        let nothing = TargetHistory::new();
        decide(
            facts,
            self.history.get("t").unwrap_or(&nothing),
            &self.settings,
            now,
        )
    }

    fn note(&mut self, message: &Message, at: UnixMs, failed: Option<&(String, u32, UnixMs)>) {
        for entry in Entry::all("t", message, at, failed) {
            entry.apply(&mut self.history);
        }
    }

    /// Runs through the stages, each from its hour on, until `until`, and returns the messages.
    /// Decides again only at the times which a decision names.
    fn live(&mut self, stages: &[(i64, Stage)], until: i64) -> String {
        let mut heard = String::new();
        let mut now = START + stages[0].0;
        while now <= START + until {
            let current = stages.iter().rev().find(|(from, _)| START + from <= now);
            let decision = self.decide(&current.unwrap().1, UnixMs(now));
            for message in &decision.messages {
                writeln!(
                    heard,
                    "{} {} {} {}\n  {}\n  {}",
                    UnixMs(now).rfc3339(),
                    message.severity.as_str(),
                    message.reason.as_str(),
                    message.state,
                    message.title,
                    message.text("host").replace('\n', "\n  ")
                )
                .unwrap();
                self.note(message, UnixMs(now), None);
            }
            let changes = stages.iter().map(|(from, _)| START + from);
            let Some(next) = changes
                .filter(|at| *at > now)
                .chain(
                    self.decide(&current.unwrap().1, UnixMs(now))
                        .next
                        .map(|at| at.0),
                )
                .min()
            else {
                break;
            };
            assert!(next > now, "it would be asked again and again");
            now = next;
        }
        heard
    }
}

#[test]
fn a_token_that_nothing_refreshes() {
    let first = token("main", "anthropic:setup", 30 * DAY);
    let describe_recovery = token("main", "anthropic:setup", 400 * DAY);
    let stages = [
        (0, stage([first])),
        (32 * DAY + 12 * HOUR, stage([describe_recovery])),
    ];
    insta::assert_snapshot!(Listener::new().live(&stages, 60 * DAY));
}

#[test]
fn a_login_that_is_refreshed_in_time_causes_no_alert() {
    for by in [RefreshedBy::Clawkeep, CLAUDE, RefreshedBy::Gateway] {
        // Refreshed every eight hours, each time a while after its expiry.
        let cycle = |at: i64| (at, stage([login(by, at + 8 * HOUR)]));
        let stages: Vec<(i64, Stage)> = (0..200)
            .map(|cycles| cycle(cycles * (8 * HOUR + HOUR / 2)))
            .collect();
        assert_eq!(Listener::new().live(&stages, 60 * DAY), "", "{by:?}");
    }
}

#[test]
fn no_alerts_at_night_and_at_weekends_for_office_hours() {
    // From Thursday on: refreshed at nine and at five, for eight hours, from Monday to Friday.
    let workdays = (0..28).filter(|day| (day + 3) % 7 < 5);
    let stages: Vec<(i64, Stage)> = workdays
        .flat_map(|day| [9, 17].map(|hour| day * DAY + hour * HOUR))
        .map(|at| {
            let login = SurveyedCredential {
                outlook: Outlook::Refreshed(CLAUDE, UnixMs(START + at + 8 * HOUR)),
                ..token("main", "anthropic:claude-cli", 0)
            };
            (at, stage([login]))
        })
        .collect();
    assert_eq!(Listener::new().live(&stages, 29 * DAY), "");
}

#[test]
fn many_that_say_the_same_are_one_message_and_each_is_recorded() {
    let many = |ends: i64, count: i64| {
        let of = |number: i64| token("main", &format!("p{number}:x"), ends + number * HOUR);
        stage((0..count).map(of))
    };
    let mut listener = Listener::new();
    let stages = [
        (0, many(2 * DAY, 9)),
        (HOUR, many(200 * DAY, 9)),
        (2 * HOUR, many(0, 6)),
    ];
    let mut heard = listener.live(&stages[..2], 2 * HOUR);
    heard += "# few of each kind\n";
    heard += &listener.live(&stages[2..], 3 * HOUR);
    insta::assert_snapshot!(heard);
    let more = Listener::new().decide(&many(2 * DAY, 24), UnixMs(START));
    assert!(
        more.messages[0].body.contains("p5:x and 18 more"),
        "{more:?}"
    );
    let providers = many(2 * DAY, 6);
    let message = Listener::new()
        .decide(&providers, UnixMs(START))
        .messages
        .remove(0);
    let entries = Entry::all("t", &message, UnixMs(START), None);
    let recorded = entries.iter().map(|entry| entry.provider.as_str());
    assert!(recorded.eq(["p0", "p1", "p2", "p3", "p4", "p5"]));
}

#[test]
fn what_has_failed_comes_after_what_was_not_tried() {
    let at = UnixMs(START);
    let scene = stage([token("main", "p:a", -DAY), token("main", "p:b", 2 * DAY)]);
    let mut listener = Listener::new();
    let first = listener.decide(&scene, at).messages.remove(0);
    assert_eq!(first.title, "p:a has expired");
    listener.note(&first, at, Some(&("HTTP 500".to_owned(), 1, at)));
    let order = listener.decide(&scene, at).messages;
    assert_eq!(order[1].title, "p:a has expired");
    assert_eq!(order[0].state, "expires-3d");
}

#[test]
fn logins_that_die() {
    let fine = |ends| stage([login(RefreshedBy::Clawkeep, ends)]);
    let lost = |loss, ends| {
        stage([SurveyedCredential {
            outlook: Outlook::Lost(loss, Some(UnixMs(START + ends))),
            ..token("main", "openai-codex:me", ends)
        }])
    };
    let failing = stage([SurveyedCredential {
        failed: Some("unavailable".to_owned()),
        ..login(RefreshedBy::Clawkeep, 8 * HOUR)
    }]);
    let idle = stage([SurveyedCredential {
        outlook: Outlook::Refreshed(CLAUDE, UnixMs(START + 8 * HOUR)),
        has_others: true,
        ..token("main", "anthropic:claude-cli", 8 * HOUR)
    }]);
    let mut history = String::new();
    for (name, bad) in [
        ("its provider refuses it", lost(Loss::Dead, 8 * HOUR)),
        ("its refresh token is spent", lost(Loss::Spent, 8 * HOUR)),
        ("its endpoint changed", lost(Loss::Moved, 8 * HOUR)),
        ("a refresh had no answer", lost(Loss::Uncertain, 8 * HOUR)),
        ("refreshes fail for hours", failing),
        ("Claude Code is not used any more", idle),
    ] {
        let after = match bad.statuses[0].profile.as_str() {
            "anthropic:claude-cli" => stage([SurveyedCredential {
                outlook: Outlook::Refreshed(CLAUDE, UnixMs(START + 160 * HOUR)),
                ..bad.statuses[0].clone()
            }]),
            _ => fine(60 * HOUR),
        };
        let is_claude = name == "Claude Code is not used any more";
        let again = if is_claude { 120 } else { 40 } * HOUR;
        let stages = [(0, fine(8 * HOUR)), (HOUR, bad), (again, after)];
        let stages = &stages[usize::from(is_claude)..];
        writeln!(
            history,
            "# {name}\n{}",
            Listener::new().live(stages, again + 10 * HOUR)
        )
        .unwrap();
    }
    insta::assert_snapshot!(history);
}

#[test]
fn one_login_in_several_places_is_one_message() {
    let everywhere = |ends: i64| {
        let with = |agent, id| SurveyedCredential {
            login: token("main", "x", ends).login,
            has_others: agent == "main",
            ..token(agent, id, ends)
        };
        stage([
            with("main", "anthropic:a"),
            with("ops", "anthropic:a"),
            with("ops", "anthropic:b"),
            SurveyedCredential {
                has_others: true,
                ..token("main", "anthropic:other", 300 * DAY)
            },
        ])
    };
    let mut listener = Listener::new();
    let stages = [(0, everywhere(2 * DAY)), (DAY / 2, everywhere(200 * DAY))];
    let mut heard = listener.live(&stages, 2 * DAY);
    heard += "# the agent's last profile is removed while its alert lasts\n";
    let short = everywhere(2 * DAY + HOUR);
    let none = stage([token("main", "anthropic:other", 300 * DAY)]);
    heard += &listener.live(&[(DAY, short), (DAY + HOUR, none)], 2 * DAY);
    insta::assert_snapshot!(heard);
}

#[test]
fn the_host() {
    let trouble = Stage {
        trouble: vec![Trouble {
            key: "store:ops".to_owned(),
            title: "The store of agent ops cannot be written".to_owned(),
            body: "The disk is full. The vault has everything.".to_owned(),
        }],
        ..Stage::default()
    };
    let stages = [
        (0, Stage::default()),
        (HOUR, trouble),
        (30 * HOUR, Stage::default()),
    ];
    insta::assert_snapshot!(Listener::new().live(&stages, 3 * DAY));
}

#[test]
fn nobody_is_reminded_who_does_not_want_to_be() {
    let mut listener = Listener::new();
    listener.settings.repeat_ms = None;
    let heard = listener.live(&[(0, stage([token("main", "p:x", HOUR)]))], 100 * DAY);
    assert_eq!(heard.matches(" new ").count(), 2, "{heard}");
    assert!(!heard.contains("Reminder"), "{heard}");
}

#[test]
fn what_did_not_arrive_is_tried_again_later_and_what_changed_meanwhile_at_once() {
    let at = |ms: i64| UnixMs(START + ms);
    let scene = stage([token("main", "p:x", DAY + HOUR)]);
    let mut listener = Listener::new();
    let first = listener.decide(&scene, at(0)).messages.remove(0);
    assert_eq!((first.state.as_str(), first.attempt), ("expires-3d", 1));
    listener.note(&first, at(0), Some(&("HTTP 500".to_owned(), 1, at(60_000))));
    let waiting = listener.decide(&scene, at(59_999));
    assert!(waiting.messages.is_empty());
    assert_eq!(waiting.next, Some(at(60_000)));
    let again = listener.decide(&scene, at(60_000)).messages.remove(0);
    assert_eq!(again.attempt, 2);
    listener.note(
        &again,
        at(60_000),
        Some(&("HTTP 500".to_owned(), 2, at(5 * DAY))),
    );
    let later = listener.decide(&scene, at(HOUR)).messages.remove(0);
    assert_eq!((later.state.as_str(), later.attempt), ("expires-1d", 1));
    // A time that far ahead was set by a clock that was wrong.
    let wrong = listener.decide(&scene, at(2 * 60_000)).messages.remove(0);
    assert_eq!(wrong.attempt, 3);
    // No alert was sent, so there is nothing to take back.
    let good = stage([token("main", "p:x", 300 * DAY)]);
    assert!(listener.decide(&good, at(HOUR)).messages.is_empty());
}

#[test]
fn an_agent_that_was_not_surveyed_is_not_over() {
    let mut listener = Listener::new();
    let mut scene = stage([token("elsewhere", "p:x", 0), token("main", "p:y", HOUR)]);
    let trouble = |key: &str| Trouble {
        key: key.to_owned(),
        title: key.to_owned(),
        body: String::new(),
    };
    scene.trouble = vec![trouble("agent:ops")];
    for message in listener.decide(&scene, UnixMs(START)).messages {
        listener.note(&message, UnixMs(START), None);
    }
    let unclear = Subject::Credential(AgentName::default(), ProfileId::new("p:y"));
    let facts = Facts {
        statuses: &[],
        unclear: &BTreeSet::from([unclear]),
        agents: &BTreeSet::from(["main".to_owned()]),
        trouble: &[trouble("vault")],
        is_all_trouble: false,
        remedies_command: "clawkeep doctor",
    };
    let decision = decide(
        facts,
        &listener.history["t"],
        &listener.settings,
        UnixMs(START),
    );
    let titles: Vec<&str> = decision
        .messages
        .iter()
        .map(|message| message.title.as_str())
        .collect();
    assert_eq!(titles, ["vault"]);
}

proptest! {
    /// In every sequence: a message is not sent twice, a state is reported when it begins and not
    /// twice within the interval, and every reported problem is reported when it is over.
    #[test]
    fn nobody_is_alerted_twice(
        hours in proptest::collection::vec((0_i64..40, -30_i64..400, 0..4_u8, any::<bool>()), 1..30)
    ) {
        let mut listener = Listener::new();
        let mut now = START;
        let mut last_bad: BTreeMap<String, i64> = BTreeMap::new();
        let mut is_bad = false;
        for (passed, left, loss, has_trouble) in hours {
            now += passed * HOUR;
            let ends = UnixMs(now + left * HOUR);
            let outlook = match loss {
                0 => Outlook::Lost(Loss::Dead, Some(ends)),
                _ => Outlook::Ends(ends),
            };
            let mut scene = stage([SurveyedCredential { outlook, ..token("main", "p:x",
                now - START + left * HOUR) }]);
            if has_trouble {
                scene.trouble.push(Trouble { key: "k".to_owned(), title: "t".to_owned(),
                    body: String::new() });
            }
            let at = UnixMs(now);
            for message in listener.decide(&scene, at).messages {
                let is_host = message.credentials().next().is_none();
                if !is_host {
                    match message.reason {
                        MessageReason::Recovered => {
                            prop_assert!(is_bad);
                            is_bad = false;
                            last_bad.clear();
                        }
                        MessageReason::Repeated => {
                            prop_assert!(now - last_bad[&message.state] >= DAY);
                            last_bad.insert(message.state.clone(), now);
                        }
                        _ => {
                            is_bad = true;
                            last_bad = BTreeMap::from([(message.state.clone(), now)]);
                        }
                    }
                }
                listener.note(&message, at, None);
            }
            prop_assert!(listener.decide(&scene, at).messages.is_empty());
            let state = scene.statuses[0].state(&listener.settings, at);
            prop_assert_eq!(state.is_some(), is_bad);
        }
    }
}
