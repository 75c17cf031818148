use clawkeep::internal::audit::{
    Doer, Lane, LastFailure, ProfileRef, Refreshes, Span, Timeline, Uses,
};
use clawkeep::internal::domain::{CredentialType, Owner, UnixMs};
use clawkeep::internal::health::{AsOf, CredentialState};
use clawkeep::internal::vault::StoredCredential;

use super::facts::{DailyUse, Login, RecordFacts};
use super::*;
use crate::commands::logins::rows::{Row, Severity, sort};

const HOUR: i64 = 3_600_000;
/// 2026-11-25 14:00 UTC.
const NOW: i64 = 1_795_615_200_000;
/// Ends an element, an attribute and a style sheet, turns the text, moves a cursor.
const HOSTILE: &str = "\"'><script>alert(1)</script></title></style><img src=x \
    onerror=y>\u{202e}\u{2066}\u{1b}[2J\0\n&amp;";

fn at(hours: i64) -> UnixMs {
    UnixMs::from_ms(NOW + hours * HOUR)
}

fn whose(agent: &str, profile: &str) -> ProfileRef {
    ProfileRef {
        agent: Some(agent.into()),
        id: profile.into(),
    }
}

fn empty() -> Page {
    Page {
        vault: "3f9c1a77".to_owned(),
        version: "1.2.3".to_owned(),
        generated: at(0),
        since: at(-720),
        until: at(0),
        host: "build-3".to_owned(),
        logins: Vec::new(),
        is_plain: false,
        timeline: Timeline {
            bounds: vec![at(-720), at(0)],
            lanes: Vec::new(),
        },
        days: DailyUse::default(),
        refreshes: Vec::new(),
        uses: Vec::new(),
        record: RecordFacts::default(),
    }
}

fn login(agent: &str, id: &str, severity: Severity) -> Login {
    let held = StoredCredential {
        agent: agent.to_owned(),
        profile: id.to_owned(),
        provider: id.split(':').next().unwrap_or_default().to_owned(),
        kind: CredentialType::OAuth,
        owner: Owner::ClaudeCode,
        expires: Some(at(3).into()),
        cooldown_until: None,
        last_used: Some(at(-5)),
    };
    let state = CredentialState::of_plain(held.kind, &held.provider, held.expires, AsOf::at(at(0)));
    let mut row = Row::of_plain(&held, &state, at(0));
    row.severity = severity;
    row.fix = (severity < Severity::Good).then(|| "Log in again: clawkeep login x".to_owned());
    let keeper = Some("Claude Code");
    Login { row, keeper }
}

/// As much in every part of the time as there can be.
fn busy_lane(whose: &ProfileRef, parts: i64) -> Lane {
    let every = |part: i64| at(-720 + part * 720 / parts);
    let counts = |count: u64| (0..parts).map(|_| count).collect::<Vec<u64>>();
    Lane {
        profile: whose.clone(),
        provider: None,
        valid: (0..parts)
            .map(|part| Span {
                from: every(part),
                until: Some(UnixMs::from_ms(every(part).0 + HOUR)),
            })
            .collect(),
        cooldowns: vec![Span {
            from: at(-3),
            until: Some(at(1)),
        }],
        refreshes: counts(3),
        failures: counts(1),
        uses: (0..parts.unsigned_abs())
            .map(|part| 1_000 + part * 7)
            .collect(),
    }
}

fn busy(profiles: &[ProfileRef]) -> Page {
    let parts = i64::try_from(timeline_parts(profiles.len())).unwrap_or(1);
    let doer = |program: &str| Doer {
        origin: "clawkeep".into(),
        program: program.into(),
        parent: None,
        host: program.into(),
        uid: 1000,
    };
    let last = profiles.last().map_or("", |whose| &whose.id);
    let mut page = empty();
    page.logins = profiles
        .iter()
        .map(|whose| {
            let agent = whose.agent.as_deref().unwrap_or_default();
            login(agent, &whose.id, Severity::NeedsAttention)
        })
        .collect();
    page.timeline = Timeline {
        bounds: (0..=parts)
            .map(|part| at(-720 + part * 720 / parts))
            .collect(),
        lanes: profiles
            .iter()
            .map(|whose| busy_lane(whose, parts))
            .collect(),
    };
    page.days = DailyUse {
        days: (1..=30).map(|day| format!("2026-11-{day:02}")).collect(),
        series: profiles
            .iter()
            .map(|whose| (whose.clone(), vec![12_345; 30]))
            .collect(),
    };
    page.uses = profiles
        .iter()
        .map(|whose| Uses {
            profile: whose.clone(),
            provider: None,
            count: 1_234_567,
            failed: 9,
            last_failure: None,
            span: Some((at(-700), at(-1))),
            by: ["a", "b", "c", "d", last]
                .map(|program| (doer(program), 5))
                .to_vec(),
            programs: Vec::new(),
        })
        .collect();
    page.refreshes = profiles
        .iter()
        .map(|whose| Refreshes {
            profile: whose.clone(),
            provider: None,
            succeeded: 90,
            failed: 3,
            mean_lifetime_ms: Some(8 * HOUR),
            last: Some(at(-4)),
            due: Some(at(4)),
            last_failure: Some(LastFailure {
                at: at(-30),
                reason: Some("HTTP 400, invalid_grant".to_owned()),
            }),
        })
        .collect();
    page.record.events = 9;
    page.record.range = Some((at(-720), at(-1)));
    page.record.head = Some("clawkeep-head-1 3f9c1a77 9 00ff".to_owned());
    page
}

/// The page loads and runs nothing, whatever the profiles' names contain.
fn assert_harmless(html: &str) {
    let lower = html.to_lowercase();
    for word in [
        "http:",
        "https:",
        "<script",
        "<img",
        "<link",
        "<iframe",
        "javascript:",
        "url(http",
        "@import",
        "src=",
    ] {
        let count = lower.matches(word).count();
        // An attribute's name may be part of an id's text, where it is escaped; an element may not.
        assert!(
            count == 0 || (word == "src=" && lower.contains("&lt;img src=")),
            "{word}"
        );
    }
    assert!(!html.chars().any(|c| c.is_control() && c != '\n'));
    assert!(!html.contains(['\u{202e}', '\u{2066}']));
    assert_eq!(html.matches("<title>Credentials").count(), 1);
    assert_eq!(html.matches("</style>").count(), 1);
    assert_eq!(html.matches("</html>").count(), 1);
}

#[test]
fn ids_from_outside_are_text() {
    let long = "x".repeat(300);
    let names = [
        whose("main", HOSTILE),
        whose(HOSTILE, "a"),
        whose("main", &long),
    ];
    let mut sample = busy(&names);
    sample.host = HOSTILE.to_owned();
    sample.vault = HOSTILE.to_owned();
    sample.version = HOSTILE.to_owned();
    sample.logins[0].row.provider = HOSTILE.to_owned();
    sample.logins[0].row.state = HOSTILE.to_owned();
    sample.logins[0].row.fix = Some(HOSTILE.to_owned());
    sample.days.days[0] = HOSTILE.to_owned();
    sample.record.head = Some(HOSTILE.to_owned());
    let html = page(&sample);
    assert_harmless(&html);
    assert!(html.contains("&lt;script&gt;"));
    // A long id is cut where it is shown, and its tooltip where that is long too.
    assert!(!html.contains(&"x".repeat(100)));
}

#[test]
fn a_page_without_anything_says_what_to_do() {
    let html = page(&empty());
    assert_harmless(&html);
    for words in [
        "No credential is stored.",
        "clawkeep models auth add",
        "clawkeep sync",
        "Nothing is recorded yet",
    ] {
        assert!(html.contains(words), "{words}");
    }
    assert!(!html.contains("<svg") && !html.contains("<table"));
}

#[test]
fn a_quiet_time_is_not_an_empty_vault() {
    let mut sample = empty();
    sample.logins = vec![login("main", "a:b", Severity::Good)];
    let html = page(&sample);
    for words in [
        "Nothing happened to a credential",
        "No use was recorded",
        "No token was refreshed",
    ] {
        assert!(html.contains(words), "{words}");
    }
}

#[test]
fn two_hundred_busy_profiles_fit() {
    let names: Vec<ProfileRef> = (0..200)
        .map(|number| whose("agent", &format!("anthropic:{number}-{}", "n".repeat(60))))
        .collect();
    let html = page(&busy(&names));
    assert_harmless(&html);
    assert!(html.len() < 2_000_000, "{}", html.len());
    assert_eq!(html.matches("<summary>140 more</summary>").count(), 4);
    assert_eq!(html.matches("svg class=\"lane\"").count(), 200);
}

#[test]
fn the_answers_come_first() {
    let mut sample = busy(&[whose("main", "a:1")]);
    let mut rows = vec![
        login("main", "b:good", Severity::Good).row,
        login("main", "a:1", Severity::NeedsAttention).row,
        login("ops", "c:billing", Severity::Unusable).row,
        login("work", "b:2", Severity::InCooldown).row,
    ];
    rows[2].state = "disabled, billing".to_owned();
    sort(&mut rows);
    let ids: Vec<&str> = rows.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["c:billing", "a:1", "b:2", "b:good"]);
    let keeper = None;
    sample.logins = rows.into_iter().map(|row| Login { row, keeper }).collect();
    let html = page(&sample);
    let mut after = 0;
    for words in [
        "2 of 4 credentials need you.",
        "disabled, billing",
        "<code>clawkeep login x</code>",
        "Agents that cannot work now:",
        "ops</bdi></strong> has no credential that works (c)",
        "work</bdi></strong> has no credential that works (b)",
        "Every login",
        "in cooldown or disabled from",
        "class=\"future\"",
    ] {
        let found = html[after..].find(words);
        after += found.unwrap_or_else(|| panic!("{words} after {after}: {html}"));
    }
    sample.is_plain = true;
    assert!(page(&sample).contains("Made without the vault key"));
}

#[test]
fn the_page_says_what_it_does_not_prove() {
    let html = page(&busy(&[whose("main", "a:b")]));
    for words in [
        "Unverified: making this page did not verify the record",
        "clawkeep audit verify --head",
        "clawkeep-head-1 3f9c1a77 9 00ff",
        "default-src 'none'; style-src 'unsafe-inline'",
        "prefers-color-scheme: dark",
        "lang=\"en\"",
        "name=\"viewport\"",
        "no-referrer",
    ] {
        assert!(
            html.contains(words) || html.contains(&words.replace('\'', "&#39;")),
            "{words}"
        );
    }
}
