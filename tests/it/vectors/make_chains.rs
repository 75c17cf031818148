//! Makes the vectors of events and of records: small ones, each with one thing wrong.

#![allow(
    clippy::needless_pass_by_value,
    reason = "cases are written as JSON literals where they are handed over"
)]

use clawkeep::internal::audit::{ChainKeys, Head, chain_mac, kept_mac};
use clawkeep::internal::domain::{Seq, VaultId};
use serde_json::{Value, json};

use super::make::{VAULT, audit_key, bytes, write};
use super::{as_event, hex};

/// An event as cases have it, before it has a MAC.
fn event(
    seq: i64,
    kind: &str,
    profile: Option<&str>,
    generation: Option<i64>,
    detail: Option<&str>,
) -> Value {
    let after = profile.map(|_| hex(&[&[0, 1][..], &bytes::<8>("a token")].concat()));
    json!({
        "seq": seq, "at": 1_800_000_000_000_i64 + seq, "kind": kind, "outcome": "ok",
        "origin": "clawkeep",
        "agent": profile.map(|_| "main"), "profile": profile,
        "provider": profile.map(|_| "anthropic"),
        "program": "clawkeep", "pid": 4242, "uid": 1000, "host": "h", "parent": "sh",
        "session": null,
        "generation": generation, "tokenBefore": null, "tokenAfter": after, "expiresBefore": null,
        "expiresAfter": null, "detail": detail, "mac": hex(&[0; 32]),
    })
}

pub(super) fn events() {
    let whole = json!({
        "seq": 7, "at": 1_800_000_000_007_i64, "kind": "sync.applied", "outcome": "ok",
        "origin": "claude-code",
        "agent": "main", "profile": "anthropic:claude-cli", "provider": "anthropic",
        "program": "clawkeep", "pid": 4242,
        "uid": 1000, "host": "a-host", "parent": "sh", "session": "s-1", "generation": 3,
        "tokenBefore": "00010102030405060708",
        "tokenAfter": "00011112131415161718", "expiresBefore": 1_799_000_000_000_i64,
        "expiresAfter": 1_801_000_000_000_i64,
        "detail": "{\"why\":\"newer\"}", "mac": hex(&[0; 32]),
    });
    let with = |changes: Value| {
        let mut event = whole.clone();
        event
            .as_object_mut()
            .unwrap()
            .extend(changes.as_object().unwrap().clone());
        event
    };
    let none = json!({"agent": null, "profile": null, "provider": null, "parent": null,
        "session": null, "generation": null,
        "tokenBefore": null, "tokenAfter": null, "expiresBefore": null, "expiresAfter": null,
        "detail": null});
    let empty = json!({"agent": "", "profile": "", "provider": "", "program": "", "host": "",
        "session": "",
        "tokenBefore": "", "tokenAfter": "", "detail": ""});
    let ends = json!({"seq": i64::MAX, "at": i64::MIN, "pid": -1, "uid": 4_294_967_295_i64,
        "expiresBefore": -1, "expiresAfter": 0});
    let foreign = json!({"agent": "/srv/\u{e4}gent", "profile": "x:\u{1f511}",
        "provider": "z\u{308}", "host": "\u{0}\u{7f}"});
    let previous = Some(bytes::<32>("the MAC before"));
    for (name, about, event, previous) in [
        ("whole", "every field is there", whole.clone(), previous),
        (
            "first",
            "the first event: 32 zero bytes before it",
            with(json!({"seq": 1})),
            None,
        ),
        ("absent", "what may be absent is", with(none), previous),
        (
            "empty",
            "texts and bytes of no length are not absent ones",
            with(empty),
            previous,
        ),
        (
            "ends",
            "the ends of what numbers can be",
            with(ends),
            previous,
        ),
        (
            "not-ascii",
            "texts that are not ASCII, as they stand",
            with(foreign),
            previous,
        ),
        (
            "moved",
            "a character moved from one field to the next",
            with(json!({"agent": "mai", "profile": "nanthropic:claude-cli"})),
            previous,
        ),
    ] {
        let read = as_event(&event);
        let mac = chain_mac(&audit_key(1).mac_state(), previous.as_ref(), &read);
        let expect = json!({"canonical": hex(&read.canonical_bytes()), "mac": hex(&mac)});
        let case = json!({"event": event, "auditKey": hex(audit_key(1).expose_secret()),
            "previous": previous.map(|mac| hex(&mac)),
            "expect": expect});
        write("event", name, about, case);
    }
}

/// A record under its keys.
#[derive(Clone)]
struct Record {
    /// Numbers of keys, and the first event of each but the first.
    keys: Vec<(u8, Option<i64>)>,
    events: Vec<Value>,
    kept: Vec<(i64, [u8; 32])>,
    head: Option<String>,
}

fn mac_of(event: &Value) -> [u8; 32] {
    super::unhex(event["mac"].as_str().unwrap())
        .try_into()
        .unwrap()
}

impl Record {
    fn chain_keys(&self) -> ChainKeys {
        let mut keys = self.keys.iter();
        let (first, _) = keys.next().unwrap();
        let first = ChainKeys::new(audit_key(*first).mac_state());
        keys.fold(first, |keys, (key, begins)| {
            keys.followed_by(Seq::new(begins.unwrap()), audit_key(*key).mac_state())
        })
    }

    /// A good one.
    fn new(keys: &[(u8, Option<i64>)], drafts: Vec<Value>) -> Self {
        let mut record = Self {
            keys: keys.to_vec(),
            events: Vec::new(),
            kept: Vec::new(),
            head: None,
        };
        drafts.into_iter().for_each(|draft| record.append(draft));
        record
    }

    fn append(&mut self, mut draft: Value) {
        let read = as_event(&draft);
        let before = self.events.last().map(mac_of);
        draft["mac"] = hex(&chain_mac(
            self.chain_keys().at(read.seq),
            before.as_ref(),
            &read,
        ))
        .into();
        self.events.push(draft);
    }

    fn head_of(&self, seq: i64) -> Head {
        let event = self
            .events
            .iter()
            .find(|event| event["seq"] == seq)
            .unwrap();
        Head {
            vault: VaultId(VAULT),
            seq: Seq::new(seq),
            mac: mac_of(event),
        }
    }

    /// Removes the events up to `last` but for `kept`, and records that.
    fn prune(&mut self, last: i64, kept: &[i64], checkpoint_key: u8) {
        let mac_at = |seq: i64| {
            self.events
                .iter()
                .find(|event| event["seq"] == seq)
                .map(mac_of)
        };
        let list: Vec<(Seq, [u8; 32])> = kept
            .iter()
            .map(|seq| (Seq::new(*seq), mac_at(*seq).unwrap()))
            .collect();
        let mac = kept_mac(&audit_key(checkpoint_key).mac_state(), &list);
        let detail = json!({
            "removed": u64::try_from(last).unwrap() - kept.len() as u64,
            "last": last,
            "mac": hex(&mac_at(last).unwrap()),
            "kept": kept.len(),
            "keptMac": hex(&mac),
        });
        let detail = detail.to_string();
        let previous = |seq: &i64| (*seq, mac_at(*seq - 1).unwrap_or_default());
        self.kept = kept.iter().map(previous).collect();
        let next = self.events.last().unwrap()["seq"].as_i64().unwrap() + 1;
        self.append(event(next, "audit.pruned", None, None, Some(&detail)));
        self.events.retain(|event| {
            let seq = event["seq"].as_i64().unwrap();
            seq > last || kept.contains(&seq)
        });
    }

    fn write(&self, name: &str, about: &str, expect: Value) {
        let keys: Vec<Value> = self
            .keys
            .iter()
            .map(|(key, begins)| {
                json!({"key": hex(audit_key(*key).expose_secret()),
                "begins": begins})
            })
            .collect();
        let kept: Vec<Value> = self
            .kept
            .iter()
            .map(|(seq, mac)| json!({"seq": seq, "previousMac": hex(mac)}))
            .collect();
        let case = json!({"vault": hex(&VAULT), "auditKeys": keys, "head": self.head,
            "events": self.events, "kept": kept, "expect": expect});
        write("chain", name, about, case);
    }

    fn with(&self, change: impl FnOnce(&mut Self)) -> Self {
        let mut other = self.clone();
        change(&mut other);
        other
    }
}

fn holds(events: u64, last: i64, head: &str) -> Value {
    json!({"events": events, "last": last, "head": head})
}

fn fault(kind: &str, seq: i64) -> Value {
    json!({"error": kind, "seq": seq})
}

/// Six events, of which two change one profile and one another.
fn six() -> Vec<Value> {
    vec![
        event(
            1,
            "vault.created",
            None,
            None,
            Some("{\"key\":\"keyfile\"}"),
        ),
        event(2, "profile.created", Some("anthropic:work"), Some(1), None),
        event(3, "profile.created", Some("anthropic:home"), Some(1), None),
        event(
            4,
            "credential.used",
            Some("anthropic:work"),
            None,
            Some("{\"for\":\"token\"}"),
        ),
        event(5, "profile.updated", Some("anthropic:work"), Some(2), None),
        event(6, "credential.used", Some("anthropic:home"), None, None),
    ]
}

pub(super) fn chains() {
    plain();
    fields();
    heads();
    eras();
    pruned();
}

fn plain() {
    let good = Record::new(&[(1, None)], six());
    good.write("holds", "a record of six events", holds(6, 6, "none"));
    good.with(|r| drop(r.events.remove(2))).write(
        "dropped",
        "event 3 is taken out",
        fault("missing", 3),
    );
    good.with(|r| drop(r.events.remove(0))).write(
        "first-dropped",
        "the first event is taken out",
        fault("missing", 1),
    );
    good.with(|r| r.events.truncate(4)).write(
        "cut-off-unseen",
        "the end is cut off, and no head was kept: it cannot be told",
        holds(4, 4, "none"),
    );
    good.with(|r| r.events.clear())
        .write("empty", "nothing is there", json!({"error": "empty"}));
    let renumber = |r: &mut Record, from: usize| {
        for (at, event) in r.events.iter_mut().enumerate().skip(from) {
            event["seq"] = json!(at + 1);
        }
    };
    good.with(|r| {
        r.events.remove(2);
        renumber(r, 2);
    })
    .write(
        "dropped-and-renumbered",
        "event 3 is taken out, and those behind it have new numbers",
        fault("altered", 3),
    );
    good.with(|r| {
        r.events.swap(2, 3);
        renumber(r, 0);
    })
    .write(
        "swapped",
        "events 3 and 4 in each other's place",
        fault("altered", 3),
    );
    good.with(|r| {
        let copy = r.events[3].clone();
        r.events.insert(4, copy);
        renumber(r, 4);
    })
    .write("repeated", "event 4 is there twice", fault("altered", 5));
    good.with(|r| {
        let mut forged = Record::new(&[(9, None)], six());
        r.events.truncate(5);
        r.events.push(forged.events.remove(5));
    })
    .write(
        "other-key",
        "the last event is made under another key",
        fault("altered", 6),
    );
    good.with(|r| {
        let mut before = event(0, "vault.created", None, None, None);
        before["mac"] = hex(&chain_mac(
            &audit_key(1).mac_state(),
            None,
            &as_event(&before),
        ))
        .into();
        r.events.insert(0, before);
    })
    .write("event-0", "an event before the first", fault("altered", 0));
}

/// Each field of one event, altered.
fn fields() {
    let good = Record::new(&[(1, None)], six());
    for (field, value) in [
        ("at", json!(1_800_000_000_003_i64)),
        ("kind", json!("profile.removed")),
        ("outcome", json!("failed")),
        ("origin", json!("clock")),
        ("agent", json!("other")),
        ("profile", json!("anthropic:home")),
        ("provider", json!("openai")),
        ("program", json!("mallory")),
        ("pid", json!(1)),
        ("uid", json!(0)),
        ("host", json!("")),
        ("parent", Value::Null),
        ("session", json!("")),
        ("generation", json!(0)),
        ("tokenBefore", json!("")),
        ("tokenAfter", Value::Null),
        ("expiresBefore", json!(0)),
        ("expiresAfter", json!(0)),
        ("detail", json!("{\"for\": \"token\"}")),
        ("mac", json!(hex(&[7; 32]))),
    ] {
        assert_ne!(good.events[3][field], value, "{field}");
        let about = format!("event 4 is altered: {field}");
        let altered = good.with(|r| r.events[3][field] = value);
        altered.write(
            &format!("altered-{}", field.to_lowercase()),
            &about,
            fault("altered", 4),
        );
    }
}

fn heads() {
    let good = Record::new(&[(1, None)], six());
    let head = |seq: i64| Some(good.head_of(seq).to_string());
    good.with(|r| r.head = head(6)).write(
        "head-holds",
        "a head of the last event",
        holds(6, 6, "holds"),
    );
    good.with(|r| r.head = head(3)).write(
        "head-of-earlier",
        "a head of an earlier event",
        holds(6, 6, "holds"),
    );
    good.with(|r| {
        r.head = head(6);
        r.events.truncate(4);
    })
    .write(
        "head-cut-off",
        "the end is cut off, and a head was kept",
        fault("truncated", 5),
    );
    let other = Head {
        mac: bytes("another MAC"),
        ..good.head_of(3)
    };
    good.with(|r| r.head = Some(other.to_string())).write(
        "head-replaced",
        "a head of another record's event 3",
        fault("replaced", 3),
    );
    let foreign = Head {
        vault: VaultId(*b"another vault id"),
        ..good.head_of(6)
    };
    let of_foreign = json!({"error": "foreign-head"});
    good.with(|r| r.head = Some(foreign.to_string())).write(
        "head-foreign",
        "another vault's head",
        of_foreign,
    );
}

fn eras() {
    let mut drafts = six();
    drafts[4] = event(
        5,
        "key.rotated",
        None,
        None,
        Some("{\"epoch\":2,\"why\":\"compromised\"}"),
    );
    let keys = [(1, None), (2, Some(5))];
    let good = Record::new(&keys, drafts.clone());
    good.write(
        "eras-hold",
        "a second key from event 5 on",
        holds(6, 6, "none"),
    );
    good.with(|r| r.events.truncate(4)).write(
        "eras-cut-off",
        "all that the newest key proves is cut off",
        fault("truncated", 5),
    );
    good.with(|r| r.events.truncate(5)).write(
        "eras-cut-behind",
        "cut behind the newest key's first event: it cannot be told",
        holds(5, 5, "none"),
    );
    let old = Record::new(&[(1, None)], drafts.clone());
    good.with(|r| r.events = old.events.clone()).write(
        "eras-old-key",
        "the events from 5 on, made under the old key",
        fault("altered", 5),
    );
    good.with(|r| r.keys[1].1 = Some(6)).write(
        "eras-begin-later",
        "the second key is said to begin an event later",
        fault("altered", 5),
    );
    good.with(|r| r.keys[1].1 = Some(4)).write(
        "eras-begin-earlier",
        "the second key is said to begin an event earlier",
        fault("altered", 4),
    );
    let three = [(1, None), (2, Some(3)), (3, Some(5))];
    let good = Record::new(&three, drafts);
    good.write("three-eras-hold", "three keys", holds(6, 6, "none"));
    good.with(|r| r.keys.truncate(2)).write(
        "eras-newest-missing",
        "the newest key is missing",
        fault("altered", 5),
    );
}

fn pruned() {
    let mut good = Record::new(&[(1, None)], six());
    let heads: Vec<String> = [2, 4, 5]
        .iter()
        .map(|seq| good.head_of(*seq).to_string())
        .collect();
    good.prune(4, &[2, 3], 1);
    good.write(
        "pruned-holds",
        "pruned up to event 4; events 2 and 3 are kept",
        holds(5, 7, "none"),
    );
    good.with(|r| drop(r.events.remove(0))).write(
        "pruned-kept-missing",
        "a kept event is taken out",
        json!({"error": "kept-missing"}),
    );
    good.with(|r| r.events[0]["pid"] = json!(1)).write(
        "pruned-kept-altered",
        "a kept event is altered",
        fault("altered", 2),
    );
    good.with(|r| r.kept.retain(|kept| kept.0 != 2)).write(
        "pruned-previous-missing",
        "the MAC before a kept event is missing",
        fault("altered", 2),
    );
    good.with(|r| r.kept[1].1 = [7; 32]).write(
        "pruned-previous-altered",
        "the MAC before a kept event is altered",
        fault("altered", 3),
    );
    good.with(|r| drop(r.events.remove(2))).write(
        "pruned-next-missing",
        "the first event behind is taken out",
        fault("missing", 5),
    );
    good.with(|r| r.events.truncate(2)).write(
        "pruned-mark-missing",
        "nothing is left but kept events",
        fault("missing", 1),
    );
    let unpruned = Record::new(&[(1, None)], six());
    good.with(|r| {
        r.events.insert(0, unpruned.events[0].clone());
        r.kept.push((1, [0; 32]));
    })
    .write(
        "pruned-one-more",
        "an event that was removed is put back",
        json!({"error": "kept-missing"}),
    );
    good.with(|r| {
        let detail = r.events[4]["detail"]
            .as_str()
            .unwrap()
            .replace("\"removed\":2", "\"removed\":1");
        r.events[4]["detail"] = detail.into();
    })
    .write(
        "pruned-count-altered",
        "the checkpoint says that fewer were removed",
        fault("altered", 7),
    );
    for (name, about, at, expect) in [
        (
            "pruned-head-kept",
            "a head of a kept event",
            0,
            holds(5, 7, "holds"),
        ),
        (
            "pruned-head-last",
            "a head of the last event that was removed",
            1,
            holds(5, 7, "holds"),
        ),
        (
            "pruned-head-behind",
            "a head of an event that is there",
            2,
            holds(5, 7, "holds"),
        ),
    ] {
        good.with(|r| r.head = Some(heads[at].clone()))
            .write(name, about, expect);
    }
    let first = Head {
        vault: VaultId(VAULT),
        seq: Seq::new(1),
        mac: bytes("any MAC"),
    };
    let about = "a head of an event that was removed: it cannot be compared any more";
    good.with(|r| r.head = Some(first.to_string())).write(
        "pruned-head-gone",
        about,
        holds(5, 7, "pruned"),
    );
    let other = Head {
        seq: Seq::new(4),
        ..first
    };
    good.with(|r| r.head = Some(other.to_string())).write(
        "pruned-head-replaced",
        "another head of the last event that was removed",
        fault("replaced", 4),
    );
    pruned_eras();
}

fn pruned_eras() {
    let keys = [(1, None), (2, Some(8))];
    let mut rotated = Record::new(&keys, six());
    rotated.prune(4, &[2, 3], 1);
    let mut before = rotated.clone();
    before.append(event(
        8,
        "key.rotated",
        None,
        None,
        Some("{\"why\":\"compromised\"}"),
    ));
    before.write(
        "pruned-then-rotated",
        "pruned under the first key, then a second: the MAC of the kept is the first's",
        holds(6, 8, "none"),
    );
    let mut after = Record::new(&[(1, None), (2, Some(6))], six());
    after.prune(4, &[2, 3], 2);
    after.write(
        "rotated-then-pruned",
        "a second key, then pruned under it: the kept events are the first's",
        holds(5, 7, "none"),
    );
    let mut neither = Record::new(&[(1, None)], six());
    neither.prune(4, &[2, 3], 9);
    neither.write(
        "pruned-kept-mac-foreign",
        "the MAC of the kept is made under no key of the record",
        json!({"error": "kept-missing"}),
    );
}
