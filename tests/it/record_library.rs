//! The record through the library: every filter against its definition, summaries, pruning, what is
//! seen and not changed.

use std::path::Path;

use clawkeep::internal::audit::{
    ChainFault, Direction, Event, EventDraft, EventKind, Filter, HeadCheck, KindFilter, Origin,
    Outcome, Span, from_origin,
};
use clawkeep::internal::config::{AgentRef, LoginFiles};
use clawkeep::internal::domain::{AgentName, Expiry, Owner, ProfileId, Seq, UnixMs};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::sync::{Engine, Loaded, LoginSources, SyncMode};
use clawkeep::internal::vault::ChangeNote;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::bench::{Bench, DAY, START};
use crate::support::home::HOUR;
use crate::support::random::{Random, number, seed};

const PROFILES: [&str; 5] = [
    "anthropic:a",
    "anthropic:b",
    "openai:a",
    "zai:x",
    "google:y",
];
const AGENTS: [&str; 3] = ["main", "ops", "lab"];
const KINDS: [EventKind; 8] = [
    EventKind::CredentialUsed,
    EventKind::CredentialFailed,
    EventKind::RefreshStarted,
    EventKind::RefreshFailed,
    EventKind::SyncSkipped,
    EventKind::ExportWritten,
    EventKind::CooldownSet,
    EventKind::OrderSet,
];
const ORIGINS: [Origin; 4] = [
    Origin::Clawkeep,
    Origin::Source(Owner::ClaudeCode),
    Origin::StoreFile,
    Origin::Clock,
];
const OUTCOMES: [Outcome; 3] = [Outcome::Ok, Outcome::Failed, Outcome::Skipped];

/// A record in which anything may have happened, and the clock was set back more than once.
fn any_record(random: &mut Random, events: u64) -> Bench {
    let mut bench = Bench::new();
    let mut at = START;
    let mut made = 0;
    while made < events {
        at += i64::try_from(random.below(2_000)).unwrap();
        if random.below(40) == 0 {
            at -= i64::try_from(random.below(60_000)).unwrap();
        }
        let mut actor = Actor::current("test");
        actor.parent = Some((*random.pick(&["bash", "node"])).to_owned());
        let mut tx = bench
            .vault
            .begin(&actor, Clock::Fixed(UnixMs::from_ms(at)))
            .unwrap();
        for _ in 0..=random.below(4) {
            let agent = AgentName::from_id(random.pick::<&str>(&AGENTS));
            let profile = ProfileId::new(*random.pick(&PROFILES));
            if random.below(4) == 0 {
                let (kind, origin) = *random.pick(&[
                    (EventKind::SyncApplied, Origin::Source(Owner::ClaudeCode)),
                    (EventKind::ProfileUpdated, Origin::StoreFile),
                    (EventKind::RefreshSucceeded, Origin::Clawkeep),
                    (EventKind::SyncApplied, Origin::Clawkeep),
                ]);
                let entry = json!({"type": "token", "provider": profile.provider_part(),
                    "token": format!("t{}", random.below(3)),
                    "expires": at + i64::try_from(random.below(9)).unwrap() * HOUR});
                let note = ChangeNote::new(kind, origin);
                tx.put_profile(&agent, &profile, &entry, note).unwrap();
            } else {
                let draft = EventDraft::new(*random.pick(&KINDS), *random.pick(&ORIGINS))
                    .outcome(*random.pick(&OUTCOMES));
                let draft = match random.below(5) {
                    0 => draft,
                    _ => draft.profile(&profile, profile.provider_part()),
                };
                let about = (random.below(9) > 0).then_some(&agent);
                tx.append(about, draft).unwrap();
            }
            made += 1;
        }
        tx.commit().unwrap();
    }
    bench
}

fn any_filter(random: &mut Random, span: (i64, i64)) -> Filter {
    let mut filter = Filter::default();
    let some = |random: &mut Random| random.below(3) == 0;
    if some(random) {
        filter.profile = Some((*random.pick(&PROFILES)).to_owned());
    }
    if some(random) {
        filter.provider = Some((*random.pick(&["anthropic", "openai", "nobody"])).to_owned());
    }
    if some(random) {
        filter.agent = Some((*random.pick(&AGENTS)).to_owned());
    }
    if some(random) {
        let names = [
            "refresh",
            "credential",
            "sync.applied",
            "profile",
            "expiry",
            "order.set",
        ];
        for _ in 0..=random.below(2) {
            filter
                .kinds
                .push(KindFilter::parse(random.pick::<&str>(&names)).unwrap());
        }
    }
    if some(random) {
        filter = from_origin(filter, Some(*random.pick(&ORIGINS)));
    }
    if some(random) {
        filter.outcome = Some(*random.pick(&OUTCOMES));
    }
    let mut at = || {
        let length = u64::try_from(span.1 - span.0 + 2_000).unwrap();
        UnixMs::from_ms(span.0 - 1_000 + i64::try_from(random.below(length)).unwrap())
    };
    let (since, until) = (at(), at());
    if some(random) {
        filter.since = Some(since);
    }
    if some(random) {
        filter.until = Some(until);
    }
    if some(random) {
        filter.limit = Some(random.below(40));
    }
    if some(random) {
        filter.direction = Direction::OldestFirst;
    }
    filter
}

fn all(bench: &Bench) -> Vec<Event> {
    let oldest_first = Filter::default().direction(Direction::OldestFirst);
    let events = bench.vault.history(&oldest_first).unwrap();
    events.map(Result::unwrap).collect()
}

/// `Filter::matches` says what a filter means; indexes, runs and merging must come to the same, in
/// the same order.
#[test]
fn what_indexes_find_is_what_filters_mean() {
    for round in 0..number("CLAWKEEP_RECORDS", 3) {
        let mut random = Random::seeded(seed() + round);
        let bench = any_record(&mut random, 3_000);
        let events = all(&bench);
        let times = events.iter().map(|event| event.at.0);
        let span = (times.clone().min().unwrap(), times.max().unwrap());
        let steps = events
            .windows(2)
            .filter(|pair| pair[1].at < pair[0].at)
            .count();
        assert!(steps > 10, "{steps}");
        for _ in 0..400 {
            let filter = any_filter(&mut random, span);
            let mut wanted: Vec<i64> = events
                .iter()
                .filter(|event| filter.matches(event))
                .map(|event| event.seq.0)
                .collect();
            if filter.direction == Direction::NewestFirst {
                wanted.reverse();
            }
            let limit = filter
                .limit
                .map_or(usize::MAX, |n| usize::try_from(n).unwrap());
            wanted.truncate(limit);
            assert_eq!(
                bench.seqs(&filter),
                wanted,
                "{filter:?}, seed {}",
                seed() + round
            );
        }
    }
}

/// Summaries come to what counting the events one by one comes to.
#[test]
fn summaries_are_what_the_events_add_up_to() {
    let mut random = Random::seeded(seed());
    let bench = any_record(&mut random, 3_000);
    let events = all(&bench);
    for _ in 0..100 {
        let mut filter = any_filter(&mut random, (START, START + 3_000_000)).kinds(Vec::new());
        filter.limit = None;
        let counted = |event: &&Event, kinds: &str| {
            let kinds = vec![KindFilter::parse(kinds).unwrap()];
            let filter = filter.clone().kinds(kinds);
            event.profile.is_some() && filter.matches(event)
        };
        let count = |kinds| events.iter().filter(|event| counted(event, kinds)).count() as u64;
        let uses = bench.vault.uses(&filter).unwrap();
        let total: u64 = uses.iter().map(|uses| uses.count).sum();
        assert_eq!(total, count("credential.used"), "{filter:?}");
        let failed: u64 = uses.iter().map(|uses| uses.failed).sum();
        assert_eq!(failed, count("credential.failed"), "{filter:?}");
        for uses in &uses {
            let by: u64 = uses.by.iter().map(|(_, count)| count).sum();
            assert_eq!(by, uses.count);
        }
        let refreshes = bench.vault.refreshes(&filter).unwrap();
        let succeeded: u64 = refreshes.iter().map(|refreshes| refreshes.succeeded).sum();
        let others = count("refresh.started") + count("refresh.failed");
        assert_eq!(succeeded, count("refresh") - others, "{filter:?}");
        let failed: u64 = refreshes.iter().map(|refreshes| refreshes.failed).sum();
        assert_eq!(failed, count("refresh.failed"), "{filter:?}");
        // And cut into parts of time.
        let bounds: Vec<UnixMs> = (0..=20)
            .map(|n| UnixMs::from_ms(START + n * 150_000))
            .collect();
        let whose = Filter::default()
            .profile(filter.profile.clone())
            .agent(filter.agent.clone());
        let lanes = bench.vault.timeline(&whose, &bounds).unwrap().lanes;
        let within = whose
            .since(bounds.first().copied())
            .until(bounds.last().copied())
            .kinds(vec![KindFilter::parse("credential.used").unwrap()]);
        let drawn: u64 = lanes.iter().flat_map(|lane| &lane.uses).sum();
        // None of these tells of another time than that of its recording.
        let used = events
            .iter()
            .filter(|event| event.profile.is_some() && within.matches(event));
        assert_eq!(drawn, used.count() as u64);
    }
}

#[test]
fn what_was_in_force_at_a_time() {
    let mut bench = Bench::new();
    let token = |text: &str, expires: i64| {
        json!({"type": "token", "provider": "anthropic",
        "token": text, "expires": expires})
    };
    bench.put("anthropic:a", &token("t1", START + 10 * HOUR), START + HOUR);
    bench.put("anthropic:b", &token("u1", START + DAY), START + 2 * HOUR);
    bench.append(
        "main",
        EventKind::CredentialUsed,
        Origin::Clawkeep,
        "anthropic:b",
        START + 3 * HOUR,
    );
    bench.put(
        "anthropic:a",
        &token("t2", START + 20 * HOUR),
        START + 4 * HOUR,
    );
    bench.append(
        "main",
        EventKind::CredentialUsed,
        Origin::Clawkeep,
        "anthropic:a",
        START + 5 * HOUR,
    );
    bench.remove("anthropic:b", START + 6 * HOUR);
    let at = |hours: i64| {
        let found = bench
            .vault
            .in_force(UnixMs::from_ms(START + hours * HOUR), &Filter::default())
            .unwrap();
        let shown = found.iter().map(|credential| {
            let used = credential
                .last_used
                .as_ref()
                .map(|(at, _)| (at.0 - START) / HOUR);
            let expires = credential.expires.map(|at| (at - START) / HOUR);
            (
                credential.profile.id.to_string(),
                (credential.since.0 - START) / HOUR,
                expires,
                used,
            )
        });
        shown.collect::<Vec<_>>()
    };
    let a = |since, expires, used| ("anthropic:a".to_owned(), since, Some(expires), used);
    let b = |used| ("anthropic:b".to_owned(), 2, Some(24), used);
    assert_eq!(at(0), []);
    assert_eq!(at(1), [a(1, 10, None)]);
    assert_eq!(at(2), [a(1, 10, None), b(None)]);
    assert_eq!(at(3), [a(1, 10, None), b(Some(3))]);
    assert_eq!(at(5), [a(4, 20, Some(5)), b(Some(3))]);
    assert_eq!(
        at(100),
        [a(4, 20, Some(5))],
        "what has ended is there, and what was removed is not"
    );
    let openai = Filter::default().provider("openai".to_owned());
    assert_eq!(
        bench
            .vault
            .in_force(UnixMs::from_ms(START + 5 * HOUR), &openai)
            .unwrap(),
        []
    );
}

/// What a gateway did is recorded when its store is next looked at, and told by when it was.
#[test]
fn another_programs_use_counts_when_it_was() {
    let mut bench = Bench::new();
    bench.put(
        "p:a",
        &json!({"type": "api_key", "provider": "p", "key": "k"}),
        START,
    );
    let mut tell = |kind: EventKind, at: i64, details: &[(&str, Value)]| {
        let draft = EventDraft::new(kind, Origin::StoreFile).profile(&ProfileId::new("p:a"), "p");
        let draft = details.iter().fold(draft, |draft, (name, value)| {
            draft.detail(name, value.clone())
        });
        let mut tx = bench
            .vault
            .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(at)))
            .unwrap();
        tx.append(Some(&AgentName::default()), draft).unwrap();
        tx.commit().unwrap();
    };
    tell(
        EventKind::CredentialUsed,
        START + 12 * HOUR,
        &[("lastUsed", json!(START + HOUR))],
    );
    tell(
        EventKind::CredentialFailed,
        START + 13 * HOUR,
        &[
            ("lastFailureAt", json!(START + 2 * HOUR)),
            ("reason", json!("billing")),
        ],
    );
    tell(
        EventKind::CooldownSet,
        START + 14 * HOUR,
        &[("until", json!(START + 20 * HOUR))],
    );
    tell(EventKind::CooldownCleared, START + 15 * HOUR, &[]);
    let at = |hours: i64| {
        bench
            .vault
            .in_force(UnixMs::from_ms(START + hours * HOUR), &Filter::default())
            .unwrap()[0]
            .clone()
    };
    let used = |hours: i64| {
        at(hours)
            .last_used
            .map(|(at, by)| ((at.0 - START) / HOUR, by.origin.to_string()))
    };
    assert_eq!(used(0), None);
    assert_eq!(
        used(3),
        Some((1, "auth-profiles.json".to_owned())),
        "though it was recorded later"
    );
    assert_eq!(used(30), Some((1, "auth-profiles.json".to_owned())));
    assert_eq!(at(13).cooldown_until, None);
    assert_eq!(
        at(14).cooldown_until,
        Some(UnixMs::from_ms(START + 20 * HOUR))
    );
    assert_eq!(at(15).cooldown_until, None);
    let uses = bench.vault.uses(&Filter::default()).unwrap();
    assert_eq!(
        uses[0].span,
        Some((UnixMs::from_ms(START + HOUR), UnixMs::from_ms(START + HOUR)))
    );
    let hours: Vec<UnixMs> = (0..=24)
        .map(|hour| UnixMs::from_ms(START + hour * HOUR))
        .collect();
    let lane = &bench
        .vault
        .timeline(&Filter::default(), &hours)
        .unwrap()
        .lanes[0];
    assert_eq!((lane.uses[1], lane.uses[12]), (1, 0), "drawn when it was");
    assert_eq!((lane.failures[2], lane.failures[13]), (1, 0));
    let failure = uses[0].last_failure.as_ref().unwrap();
    assert_eq!(
        (failure.at.0, failure.reason.as_deref()),
        (START + 2 * HOUR, Some("billing"))
    );
}

#[test]
fn a_timeline_shows_validity_and_its_gaps() {
    let mut bench = Bench::new();
    let login = |text: &str, expires: i64| {
        json!({"type": "oauth", "provider": "p", "access": text,
        "refresh": "r", "expires": START + expires * HOUR})
    };
    bench.put("p:a", &login("t1", 2), START);
    bench.put("p:a", &login("t2", 5), START + HOUR); // replaced before its end: no gap
    bench.put("p:a", &login("t3", 9), START + 7 * HOUR); // two hours late
    bench.remove("p:a", START + 8 * HOUR);
    let bounds: Vec<UnixMs> = (0..=10)
        .map(|hour| UnixMs::from_ms(START + hour * HOUR))
        .collect();
    let timeline = bench.vault.timeline(&Filter::default(), &bounds).unwrap();
    let hours = |from: i64, until: i64| Span {
        from: UnixMs::from_ms(START + from * HOUR),
        until: Some(UnixMs::from_ms(START + until * HOUR)),
    };
    assert_eq!(timeline.lanes.len(), 1);
    assert_eq!(timeline.lanes[0].valid, [hours(0, 5), hours(7, 8)]);
    // What was there before the time that is looked at is there at its beginning.
    let later = bench
        .vault
        .timeline(&Filter::default(), &bounds[2..=4])
        .unwrap();
    assert_eq!(later.lanes[0].valid, [hours(2, 5)]);
    assert!(
        bench
            .vault
            .timeline(&Filter::default(), &[])
            .unwrap()
            .lanes
            .is_empty()
    );
}

/// Another program's new tokens are refreshes: Claude Code's, and those that a gateway writes into
/// the store.
#[test]
fn whose_refreshes_count() {
    let mut bench = Bench::new();
    let mut put = |origin: Origin, kind: EventKind, token: &str, expires: i64| {
        let entry =
            json!({"type": "token", "provider": "p", "token": token, "expires": START + expires});
        let mut tx = bench
            .vault
            .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START)))
            .unwrap();
        let note = ChangeNote::new(kind, origin);
        tx.put_profile(&AgentName::default(), &ProfileId::new("p:a"), &entry, note)
            .unwrap();
        tx.commit().unwrap();
    };
    put(
        Origin::Source(Owner::ClaudeCode),
        EventKind::SyncApplied,
        "t1",
        10,
    ); // 2: the first is none
    put(
        Origin::Source(Owner::ClaudeCode),
        EventKind::SyncApplied,
        "t2",
        20,
    ); // 3
    put(
        Origin::Source(Owner::ClaudeCode),
        EventKind::SyncApplied,
        "t2",
        30,
    ); // 4: the same token
    put(Origin::StoreFile, EventKind::ProfileUpdated, "t3", 40); // 5
    put(Origin::StoreFile, EventKind::ProfileUpdated, "t4", 40); // 6: no later end
    put(Origin::Clawkeep, EventKind::ProfileUpdated, "t5", 50); // 7: a person's
    put(Origin::Clawkeep, EventKind::RefreshSucceeded, "t6", 60); // 8
    let refresh = Filter::default().kinds(vec![KindFilter::parse("refresh").unwrap()]);
    assert_eq!(bench.seqs(&refresh), [8, 5, 3]);
    let found = bench.vault.refreshes(&Filter::default()).unwrap();
    assert_eq!((found[0].succeeded, found[0].failed), (3, 0));
    assert_eq!(found[0].mean_lifetime_ms, Some((20 + 40 + 60) / 3));
    assert_eq!(found[0].due, Some(UnixMs::from_ms(START + 60)));
}

fn prune(bench: &mut Bench, before: i64) -> Option<(u64, u64, i64)> {
    let clock = Clock::Fixed(UnixMs::from_ms(START + 100 * DAY));
    let pruned = bench
        .vault
        .prune(UnixMs::from_ms(before), None, &bench.actor, clock)
        .unwrap()
        .unwrap();
    pruned.map(|pruned| (pruned.removed, pruned.kept, pruned.last.0))
}

/// Past triggers, as who can write the file could.
fn alter(bench: &Bench, sql: &str) -> usize {
    let conn = Connection::open(bench.dir.path().join("vault.db")).unwrap();
    let triggers = conn
        .prepare(
            "SELECT group_concat('DROP TRIGGER ' || name, ';'), group_concat(sql, ';' || \
            char(10)) FROM sqlite_schema WHERE type = 'trigger'",
        )
        .unwrap()
        .query_row([], |row| {
            Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))
        })
        .unwrap();
    conn.execute_batch(&triggers.0).unwrap();
    let changed = conn.execute(sql, []).unwrap();
    conn.execute_batch(&triggers.1).unwrap();
    changed
}

#[test]
fn pruning_keeps_the_newest_change_of_each_profile_and_proves_the_rest() {
    let mut random = Random::seeded(seed());
    let mut bench = any_record(&mut random, 600);
    let before = all(&bench);
    let docs =
        |bench: &Bench| AGENTS.map(|agent| bench.vault.agent(&AgentName::from_id(agent)).unwrap());
    let had = docs(&bench).map(|state| state.doc);
    let middle = before[400].at;
    let (removed, kept, last) = prune(&mut bench, middle.0).unwrap();
    assert!(removed > 100 && last < 401, "{removed} up to {last}");
    // Nothing that counts is lost.
    let state = docs(&bench);
    assert!(state.iter().all(|state| state.unopened.is_empty()));
    assert_eq!(state.map(|state| state.doc), had);
    let left = all(&bench);
    assert_eq!(
        left.iter().filter(|event| event.seq.0 <= last).count() as u64,
        kept
    );
    assert!(
        left.iter()
            .all(|event| before.contains(event) || *event.kind == *"audit.pruned")
    );
    // The proof goes on, and says what is gone.
    let verified = bench
        .vault
        .verify_record(bench.vault.head().unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(verified.events, left.len() as u64);
    assert_eq!(verified.checkpoint.unwrap().removed, removed);
    // A head of what was pruned neither holds nor is contradicted; one of the border is compared.
    let head_of = |seq: i64| {
        let event = before.iter().find(|event| event.seq.0 == seq).unwrap();
        clawkeep::internal::audit::Head {
            vault: bench.vault.id(),
            seq: event.seq,
            mac: event.mac,
        }
    };
    let check = |head| bench.vault.verify_record(Some(head)).unwrap();
    let gone = (1..last)
        .rev()
        .find(|seq| left.iter().all(|event| event.seq.0 != *seq))
        .unwrap();
    assert_eq!(
        check(head_of(gone)).unwrap().head,
        HeadCheck::Pruned(Seq::new(gone))
    );
    assert_eq!(
        check(head_of(last)).unwrap().head,
        HeadCheck::Holds(Seq::new(last))
    );
    assert_eq!(
        check(head_of(last + 1)).unwrap().head,
        HeadCheck::Holds(Seq::new(last + 1))
    );
    let mut wrong = head_of(last);
    wrong.mac[0] ^= 1;
    assert_eq!(
        check(wrong),
        Err(ChainFault::NotTheHeads {
            seq: Seq::new(last)
        })
    );
    let kept = left[0].seq.0;
    assert_eq!(
        check(head_of(kept)).unwrap().head,
        HeadCheck::Holds(Seq::new(kept)),
        "it is still there"
    );
    let mut other = head_of(kept);
    other.mac[0] ^= 1;
    assert_eq!(
        check(other),
        Err(ChainFault::NotTheHeads {
            seq: Seq::new(kept)
        })
    );
    assert!(bench.vault.has_event_of(&head_of(last)).unwrap());
    assert!(!bench.vault.has_event_of(&wrong).unwrap());
    // Filters still mean what they mean.
    for _ in 0..100 {
        let mut filter = any_filter(&mut random, (START, before[599].at.0));
        filter.limit = None;
        let mut wanted: Vec<i64> = left
            .iter()
            .filter(|event| filter.matches(event))
            .map(|event| event.seq.0)
            .collect();
        if filter.direction == Direction::NewestFirst {
            wanted.reverse();
        }
        assert_eq!(bench.seqs(&filter), wanted, "{filter:?}");
    }
    // Again, and again with nothing to do.
    let latest = before[..550].iter().map(|event| event.at.0).max().unwrap();
    let (more, _, later) = prune(&mut bench, latest + 1).unwrap();
    assert!(later > last);
    let verified = bench.vault.verify_record(None).unwrap().unwrap();
    assert_eq!(verified.checkpoint.unwrap().removed, removed + more);
    assert_eq!(prune(&mut bench, middle.0), None);
    // The marks of earlier prunings are no reason for another.
    assert_eq!(prune(&mut bench, START + 101 * DAY), None);
    // With something else, all of it goes, up to the last, and the checkpoints too.
    bench.append(
        "main",
        EventKind::CredentialUsed,
        Origin::Clawkeep,
        "anthropic:a",
        START + 100 * DAY,
    );
    prune(&mut bench, START + 101 * DAY).unwrap();
    bench.vault.verify_record(None).unwrap().unwrap();
    bench.vault.compact().unwrap();
    bench.vault.verify_record(None).unwrap().unwrap();
    bench.put(
        "anthropic:a",
        &json!({"type": "token", "provider": "p", "token": "new"}),
        START + 101 * DAY,
    );
    assert!(
        bench
            .vault
            .agent(&AgentName::default())
            .unwrap()
            .unopened
            .is_empty()
    );
    bench.vault.verify_record(None).unwrap().unwrap();
}

#[test]
fn what_pruning_left_cannot_be_altered_either() {
    let mut random = Random::seeded(seed());
    let mut bench = any_record(&mut random, 300);
    let (_, kept, last) = prune(&mut bench, START + 99 * DAY).unwrap();
    assert!(kept > 3);
    let first = all(&bench)[0].seq.0;
    let path = bench.dir.path().join("vault.db");
    let saved = |bench: &Bench| {
        let conn = Connection::open(bench.dir.path().join("vault.db")).unwrap();
        conn.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)")
            .unwrap();
        std::fs::read(&path).unwrap()
    };
    let whole = saved(&bench);
    for (sql, fault) in [
        (
            format!("UPDATE events SET at = at + 1 WHERE seq = {first}"),
            ChainFault::Altered {
                seq: Seq::new(first),
            },
        ),
        (
            format!("UPDATE events SET detail = 'x' WHERE seq = {first}"),
            ChainFault::Altered {
                seq: Seq::new(first),
            },
        ),
        (
            format!("UPDATE kept_events SET previous_mac = zeroblob(32) WHERE seq = {first}"),
            ChainFault::Altered {
                seq: Seq::new(first),
            },
        ),
        (
            format!("DELETE FROM kept_events WHERE seq = {first}"),
            ChainFault::Altered {
                seq: Seq::new(first),
            },
        ),
        (
            format!(
                "INSERT INTO kept_events VALUES ({}, zeroblob(32))",
                last + 1
            ),
            ChainFault::Misfiled {
                seq: Seq::new(last + 1),
            },
        ),
        (
            format!("DELETE FROM events WHERE seq = {first}"),
            ChainFault::KeptMissing {
                last: Seq::new(last),
            },
        ),
        (
            format!("DELETE FROM events WHERE seq = {}", last + 1),
            ChainFault::Empty,
        ),
    ] {
        assert_eq!(alter(&bench, &sql), 1, "{sql}");
        let found = bench.vault.verify_record(None).unwrap().unwrap_err();
        // without its checkpoint, what is left has no beginning
        let is_as_good = fault == ChainFault::Empty;
        assert!(found == fault || is_as_good, "{sql}: {found:?}");
        assert_eq!(found.to_string().lines().count(), 1);
        let conn = Connection::open(&path).unwrap();
        restore(&conn, &whole);
        assert!(bench.vault.verify_record(None).unwrap().is_ok(), "{sql}");
    }
}

/// Puts a database's content back through SQLite, since another connection has it open.
fn restore(conn: &Connection, whole: &[u8]) {
    let dir = tempfile::tempdir().unwrap();
    let copy = dir.path().join("copy.db");
    std::fs::write(&copy, whole).unwrap();
    conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
    conn.execute("ATTACH ?1 AS was", [copy.to_str().unwrap()])
        .unwrap();
    for table in ["events", "kept_events", "series", "clock_steps"] {
        let triggers: Vec<(String, String)> = conn
            .prepare(
                "SELECT name, sql FROM main.sqlite_schema WHERE type = 'trigger' AND tbl_name = ?1",
            )
            .unwrap()
            .query_map([table], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        for (name, _) in &triggers {
            conn.execute_batch(&format!("DROP TRIGGER main.{name}"))
                .unwrap();
        }
        conn.execute_batch(&format!(
            "DELETE FROM main.{table}; INSERT INTO main.{table} SELECT * FROM was.{table}"
        ))
        .unwrap();
        for (_, sql) in &triggers {
            conn.execute_batch(sql).unwrap();
        }
    }
}

#[test]
fn a_record_that_does_not_hold_is_not_pruned() {
    let mut random = Random::seeded(seed());
    let mut bench = any_record(&mut random, 100);
    assert_eq!(
        alter(&bench, "UPDATE events SET pid = pid + 1 WHERE seq = 7"),
        1
    );
    let clock = Clock::Fixed(UnixMs::from_ms(START + 100 * DAY));
    let before = UnixMs::from_ms(START + 99 * DAY);
    let fault = bench
        .vault
        .prune(before, None, &bench.actor, clock)
        .unwrap();
    assert_eq!(fault, Err(ChainFault::Altered { seq: Seq::new(7) }));
}

/// What queries go by beside the events is compared with them.
#[test]
fn an_event_that_filters_would_miss_is_found() {
    let mut random = Random::seeded(seed());
    for sql in [
        "DELETE FROM series WHERE subject = (SELECT subject FROM events WHERE seq = 20)",
        "DELETE FROM clock_steps WHERE seq = (SELECT min(seq) FROM clock_steps)",
        "INSERT INTO clock_steps (seq) VALUES (-9223372036854775808)",
        "INSERT INTO clock_steps (seq) SELECT max(seq) + 1 FROM events",
    ] {
        let bench = any_record(&mut random, 300);
        let conn = Connection::open(bench.dir.path().join("vault.db")).unwrap();
        conn.execute_batch("PRAGMA foreign_keys = OFF").unwrap();
        assert!(conn.execute(sql, []).unwrap() > 0, "{sql}");
        let fault = bench.vault.verify_record(None).unwrap().unwrap_err();
        assert!(
            matches!(fault, ChainFault::Misfiled { .. }),
            "{sql}: {fault:?}"
        );
    }
}

/// The newest change of a profile must not hide behind a second subject of the same texts.
#[test]
fn a_second_subject_is_refused_and_found() {
    let mut bench = Bench::new();
    bench.put(
        "p:a",
        &json!({"type": "token", "provider": "p", "token": "old"}),
        START,
    );
    let conn = Connection::open(bench.dir.path().join("vault.db")).unwrap();
    let row = "SELECT sealed, generation, expires FROM profiles";
    let old: (Vec<u8>, i64, Option<i64>) = conn
        .query_row(row, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    let agent: (i64, Vec<u8>) = conn
        .query_row("SELECT revision, frame FROM agents", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .unwrap();
    bench.put(
        "p:a",
        &json!({"type": "token", "provider": "p", "token": "new"}),
        START + 1,
    );
    let second = "INSERT INTO subjects (agent, profile) SELECT agent, profile FROM subjects WHERE \
        profile IS NOT NULL";
    assert!(
        conn.execute(second, [])
            .unwrap_err()
            .to_string()
            .contains("UNIQUE")
    );
    // With the index's rule out of the way, as who writes the file's bytes could.
    conn.execute_batch("PRAGMA foreign_keys = OFF; PRAGMA writable_schema = ON")
        .unwrap();
    let index = "SELECT sql FROM sqlite_schema WHERE name = 'subjects_once'";
    let index: String = conn.query_row(index, [], |row| row.get(0)).unwrap();
    conn.execute_batch("DROP INDEX subjects_once").unwrap();
    conn.execute(second, []).unwrap();
    conn.execute(
        "INSERT INTO series (subject, action) SELECT (SELECT max(id) FROM subjects), action FROM \
         events ORDER BY seq DESC LIMIT 1",
        [],
    )
    .unwrap();
    drop(conn);
    assert_eq!(
        alter(
            &bench,
            "UPDATE events SET subject = (SELECT max(id) FROM subjects) WHERE seq = (SELECT \
             max(seq) FROM events)"
        ),
        1
    );
    let conn = Connection::open(bench.dir.path().join("vault.db")).unwrap();
    conn.execute(
        "UPDATE profiles SET sealed = ?1, generation = ?2, expires = ?3",
        rusqlite::params![old.0, old.1, old.2],
    )
    .unwrap();
    conn.execute(
        "UPDATE agents SET revision = ?1, frame = ?2",
        rusqlite::params![agent.0, agent.1],
    )
    .unwrap();
    assert!(index.contains("UNIQUE"));
    let state = bench.vault.agent(&AgentName::default()).unwrap();
    assert_eq!(
        state.unopened,
        ["the frame of agent main", "profile p:a of agent main"],
        "an old row is not the newest"
    );
    let fault = bench.vault.verify_record(None).unwrap().unwrap_err();
    assert!(matches!(fault, ChainFault::Misfiled { .. }), "{fault:?}");
}

/// An agent's load at a time, with Claude Code's login in `file`.
fn load_at(bench: &mut Bench, at: i64, file: &Path) -> Loaded {
    let dir = bench.dir.path().join("agent");
    let sources = LoginSources {
        logins: vec![LoginFiles::at(Owner::ClaudeCode, file.to_owned())],
        user: String::new(),
        keychain: None,
        legacy_oauth_file: dir.join("no-oauth"),
    };
    let lock_dir = bench.dir.path().join("locks");
    let mut engine = Engine::new(
        &mut bench.vault,
        &sources,
        &bench.actor,
        Clock::Fixed(UnixMs::from_ms(at)),
        lock_dir,
    );
    let agent = AgentRef {
        name: AgentName::default(),
        dir,
    };
    engine.load(&agent, SyncMode::On).unwrap()
}

fn events_of(bench: &Bench, kinds: &str) -> Vec<Event> {
    let filter = Filter::default()
        .kinds(vec![KindFilter::parse(kinds).unwrap()])
        .direction(Direction::OldestFirst);
    bench
        .vault
        .history(&filter)
        .unwrap()
        .map(Result::unwrap)
        .collect()
}

fn detail(event: &Event) -> Value {
    serde_json::from_str(event.detail.as_deref().unwrap()).unwrap()
}

#[test]
fn an_end_that_comes_nearer_is_recorded_once_with_its_real_instant() {
    let mut bench = Bench::new();
    let nowhere = bench.dir.path().join("nowhere");
    let ends = START + 10 * DAY;
    bench.put(
        "p:a",
        &json!({"type": "token", "provider": "p", "token": "t1", "expires": ends}),
        START,
    );
    bench.put(
        "p:key",
        &json!({"type": "api_key", "provider": "p", "key": "k"}),
        START,
    );
    let kinds = |bench: &Bench| {
        let events = events_of(bench, "expiry");
        let shown = events.iter().map(|event| {
            (
                event.kind.to_string(),
                event.at.0 - START,
                detail(event)["since"].as_i64().unwrap() - START,
            )
        });
        shown.collect::<Vec<_>>()
    };
    for (at, _) in [(DAY, 0), (9 * DAY - 1, 0)] {
        load_at(&mut bench, START + at, &nowhere);
        assert_eq!(kinds(&bench), []);
    }
    let expiring = ("expiry.expiring".to_owned(), 9 * DAY + HOUR, 9 * DAY);
    for _ in 0..2 {
        load_at(&mut bench, START + 9 * DAY + HOUR, &nowhere);
        assert_eq!(kinds(&bench), std::slice::from_ref(&expiring));
    }
    let expired = ("expiry.expired".to_owned(), 15 * DAY, 10 * DAY);
    for at in [15 * DAY, 16 * DAY, 9 * DAY + 2 * HOUR] {
        load_at(&mut bench, START + at, &nowhere);
        assert_eq!(
            kinds(&bench),
            [expiring.clone(), expired.clone()],
            "also when the clock goes back"
        );
    }
    let event = &events_of(&bench, "expiry.expired")[0];
    assert_eq!((&*event.origin, event.expires_after), ("clock", Some(ends)));
    assert!(event.token_after.is_some() && event.profile.as_deref() == Some("p:a"));
    // A new credential has an end of its own; one that ends at once has no last day to tell of.
    bench.put(
        "p:a",
        &json!({"type": "token", "provider": "p", "token": "t2", "expires": START + 17 * DAY}),
        START + 16 * DAY - 1,
    );
    load_at(&mut bench, START + 20 * DAY, &nowhere);
    assert_eq!(kinds(&bench).len(), 3);
    assert_eq!(
        kinds(&bench)[2],
        ("expiry.expired".to_owned(), 20 * DAY, 17 * DAY)
    );
    bench.vault.verify_record(None).unwrap().unwrap();
}

/// An access token of some hours is in its last day from the beginning: each renewal is not to be
/// told as a transition.
#[test]
fn a_token_that_is_refreshed_every_few_hours_does_not_fill_the_record() {
    let mut bench = Bench::new();
    let nowhere = bench.dir.path().join("nowhere");
    for turn in 0..5 {
        let at = START + turn * 7 * HOUR;
        let entry = json!({"type": "token", "provider": "p", "token": format!("t{turn}"),
            "expires": at + 8 * HOUR});
        bench.put("p:a", &entry, at);
        load_at(&mut bench, at + HOUR, &nowhere);
    }
    assert_eq!(
        events_of(&bench, "expiry.expiring").len(),
        1,
        "when it was first seen"
    );
    load_at(&mut bench, START + 100 * HOUR, &nowhere);
    assert_eq!(events_of(&bench, "expiry.expired").len(), 1);
}

#[test]
fn why_a_login_is_not_imported_is_recorded_when_it_changes() {
    let mut bench = Bench::new();
    let file = bench.dir.path().join("credentials.json");
    let login = |token: &str, expires: i64| {
        json!({"claudeAiOauth": {"accessToken": token, "refreshToken": "r", "expiresAt": expires}})
            .to_string()
    };
    let mut step = |text: Option<String>| {
        match text {
            Some(text) => std::fs::write(&file, text).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        for _ in 0..2 {
            load_at(&mut bench, START, &file);
        }
        let events = events_of(&bench, "sync");
        events
            .iter()
            .map(|event| format!("{} {}", event.kind, detail(event)["why"].as_str().unwrap()))
            .collect::<Vec<_>>()
    };
    assert_eq!(step(Some(String::new())), ["sync.skipped source-damaged"]);
    assert_eq!(
        step(Some(login("t1", START + 10 * DAY))).last().unwrap(),
        "sync.applied absent"
    );
    assert_eq!(
        step(Some(login("t2", START + 9 * DAY))).last().unwrap(),
        "sync.skipped stored-later"
    );
    assert_eq!(
        step(Some("{".to_owned())).last().unwrap(),
        "sync.skipped source-damaged"
    );
    assert_eq!(
        step(Some(login("t1", START + 10 * DAY))).last().unwrap(),
        "sync.skipped same"
    );
    assert_eq!(
        step(Some(login("", 0))).last().unwrap(),
        "sync.skipped source-logged-out"
    );
    assert_eq!(step(None).last().unwrap(), "sync.skipped source-absent");
    let told = step(Some(login("t3", START + 11 * DAY)));
    assert_eq!(told.last().unwrap(), "sync.applied source-later");
    assert_eq!(told.len(), 8, "each once: {told:?}");
    // That all is well again shows in what was imported.
    let skipped = events_of(&bench, "sync.skipped");
    assert!(skipped.iter().all(
        |event| &*event.outcome == "skipped" && event.provider.as_deref() == Some("anthropic")
    ));
    bench.vault.verify_record(None).unwrap().unwrap();
}

#[test]
fn an_event_has_every_detail_that_was_given() {
    let mut bench = Bench::new();
    let mut draft = EventDraft::new(EventKind::CredentialUsed, Origin::Clawkeep)
        .profile(&ProfileId::new("p:a"), "p")
        .detail("command", "token");
    draft.session = Some("session-1".to_owned());
    draft.expires = (None, Expiry::from_ms(5.5));
    let mut tx = bench
        .vault
        .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START + 1)))
        .unwrap();
    tx.append(Some(&AgentName::default()), draft).unwrap();
    tx.commit().unwrap();
    let event = all(&bench).pop().unwrap();
    assert_eq!(event.session.as_deref(), Some("session-1"));
    assert_eq!(event.expires_after, Some(5));
    assert_eq!(event.actor.pid, i64::from(std::process::id()));
    // Under Wine, what a program of Linux starts has no parent.
    assert!(event.actor.parent.is_some() || cfg!(windows));
    bench.vault.verify_record(None).unwrap().unwrap();
}

#[test]
fn after_the_last_number_there_is_no_next() {
    let mut bench = Bench::new();
    let columns = "at, subject, action, pid, session, generation, token_before, token_after, \
        expires_before, expires_after, detail, mac";
    let last = format!(
        "INSERT INTO events (seq, {columns}) SELECT {}, {columns} FROM events WHERE seq = 1",
        i64::MAX
    );
    assert_eq!(alter(&bench, &last), 1);
    let begun = bench
        .vault
        .begin(&bench.actor, Clock::Fixed(UnixMs::from_ms(START)));
    let error = begun.unwrap_err().to_string();
    assert!(error.contains("is damaged"), "{error}");
    assert_eq!(
        bench.vault.verify_record(None).unwrap(),
        Err(ChainFault::Missing {
            expected: Seq::new(2),
            found: Seq::new(i64::MAX)
        })
    );
}

#[test]
fn a_parent_whose_name_is_empty_is_as_good_as_none() {
    let mut bench = Bench::new();
    bench.actor.parent = Some(String::new());
    let used = (EventKind::CredentialUsed, Origin::Clawkeep);
    bench.append("main", used.0, used.1, "anthropic:a", START + 1);
    assert_eq!(all(&bench).pop().unwrap().actor.parent, None);
    bench.vault.verify_record(None).unwrap().unwrap();
}
