//! What breaks a record, and what does not.

use super::*;
use crate::audit::event::tests::sample;
use crate::crypto::AuditKey;

const VAULT: VaultId = VaultId([4; 16]);

fn key() -> MacState {
    AuditKey::from_bytes(&[8; 32]).unwrap().mac_state()
}

fn record(n: i64) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    for seq in 1..=n {
        let mut event = sample(seq);
        event.mac = chain_mac(&key(), events.last().map(|e| &e.mac), &event);
        events.push(event);
    }
    events
}

fn verify(events: &[Event], kept: Option<Head>) -> Result<(u64, Seq), ChainFault> {
    let mut verifier = ChainVerifier::new(VAULT, ChainKeys::new(key()), kept, None)?;
    events.iter().try_for_each(|event| verifier.check(event))?;
    let verified = verifier.finish()?;
    Ok((verified.events, verified.last))
}

fn head_of(events: &[Event]) -> Head {
    let last = events.last().unwrap();
    Head {
        vault: VAULT,
        seq: last.seq,
        mac: last.mac,
    }
}

#[test]
fn a_sound_record_verifies_against_any_earlier_head() {
    let events = record(5);
    assert_eq!(verify(&events, None), Ok((5, Seq(5))));
    for n in 1..=5 {
        assert!(verify(&events, Some(head_of(&events[..n]))).is_ok());
    }
    assert_eq!(verify(&[], None), Err(ChainFault::Empty));
}

#[test]
fn tampering_is_found_and_named() {
    let events = record(5);
    let kept = Some(head_of(&events));
    let mut altered = events.clone();
    altered[2].at.0 += 1;
    let got = verify(&altered, None);
    assert_eq!(got, Err(ChainFault::Altered { seq: Seq(3) }));
    let mut dropped = events.clone();
    dropped.remove(2);
    assert_eq!(
        verify(&dropped, None),
        Err(ChainFault::Missing {
            expected: Seq(3),
            found: Seq(4)
        })
    );
    let mut swapped = events.clone();
    swapped.swap(1, 2);
    assert_eq!(
        verify(&swapped, None),
        Err(ChainFault::Missing {
            expected: Seq(2),
            found: Seq(3)
        })
    );
    let mut renumbered = events.clone();
    renumbered.remove(2);
    renumbered[2].seq = Seq(3);
    let got = verify(&renumbered, None);
    assert_eq!(got, Err(ChainFault::Altered { seq: Seq(3) }));
    let mut inserted = events.clone();
    inserted.insert(2, events[1].clone());
    let got = verify(&inserted, None);
    assert_eq!(got, Err(ChainFault::Altered { seq: Seq(2) }));
    assert_eq!(
        verify(&events[..3], kept),
        Err(ChainFault::Truncated {
            first: Seq(4),
            last: Seq(5)
        })
    );
    assert_eq!(verify(&events[..3], None), Ok((3, Seq(3))));
    let other = Head {
        mac: [1; 32],
        ..head_of(&events)
    };
    let got = verify(&events, Some(other));
    assert_eq!(got, Err(ChainFault::NotTheHeads { seq: Seq(5) }));
    let foreign = Head {
        vault: VaultId([5; 16]),
        ..head_of(&events)
    };
    let got = verify(&events, Some(foreign));
    assert!(matches!(got, Err(ChainFault::ForeignHead { .. })));
}

#[test]
fn a_replaced_key_proves_what_came_before_it_and_nothing_goes_on_under_the_earlier() {
    let key_of = |n: u8| AuditKey::from_bytes(&[n; 32]).unwrap().mac_state();
    let keys = ChainKeys::new(key_of(8))
        .followed_by(Seq(4), key_of(9))
        .followed_by(Seq(6), key_of(10));
    let chained = |of: &dyn Fn(Seq) -> MacState, n: i64| {
        let mut events: Vec<Event> = Vec::new();
        for seq in 1..=n {
            let mut event = sample(seq);
            event.mac = chain_mac(&of(event.seq), events.last().map(|e| &e.mac), &event);
            events.push(event);
        }
        events
    };
    let check = |events: &[Event]| {
        let mut verifier = ChainVerifier::new(VAULT, keys.clone(), None, None)?;
        events.iter().try_for_each(|event| verifier.check(event))?;
        verifier.finish().map(|verified| verified.events)
    };
    let events = chained(&|seq| keys.at(seq).clone(), 7);
    assert_eq!(check(&events), Ok(7));
    // Who has the first key makes a record of their own with it.
    let forged = chained(&|_| key_of(8), 7);
    assert_eq!(check(&forged), Err(ChainFault::Altered { seq: Seq(4) }));
    let cut = ChainFault::Truncated {
        first: Seq(4),
        last: Seq(6),
    };
    assert_eq!(check(&forged[..3]), Err(cut));
    // And alters an event from before the key was replaced, and all after it that it can.
    let mut rewritten = events;
    rewritten[1].at.0 += 1;
    for at in 1..3 {
        let before = rewritten[at - 1].mac;
        rewritten[at].mac = chain_mac(&key_of(8), Some(&before), &rewritten[at]);
    }
    assert_eq!(check(&rewritten), Err(ChainFault::Altered { seq: Seq(4) }));
}

#[test]
fn heads_read_back() {
    let head = head_of(&record(2));
    assert_eq!(Head::parse(&format!("{head}\n")), Some(head));
    for bad in [
        "",
        "clawkeep-head-1",
        "clawkeep-head-2 00 1 00",
        &format!("{head} more"),
        &head.to_string()[..60],
    ] {
        assert_eq!(Head::parse(bad), None, "{bad}");
    }
}
