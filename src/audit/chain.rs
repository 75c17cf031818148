//! The chain: `mac[n] = HMAC-SHA256(audit key, mac[n-1] ‖ canonical bytes of event n)`, with 32 zero bytes before the first.

use std::fmt;

use crate::crypto::{MacState, constant_time_eq};
use crate::domain::{Seq, VaultId};

use super::Event;

/// What comes before the first event.
const GENESIS: [u8; 32] = [0; 32];
/// First word of a head written out.
const HEAD_MARK: &str = "clawkeep-head-1";

/// An event's MAC, given the one before it (`None` for the first event).
#[must_use]
pub fn chain_mac(key: &MacState, previous: Option<&[u8; 32]>, event: &Event) -> [u8; 32] {
    key.mac(&[previous.unwrap_or(&GENESIS), &event.canonical_bytes()])
}

/// The end of a vault's record at some moment. Kept elsewhere, it shows later that nothing before it was cut off or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Whose record.
    pub vault: VaultId,
    /// The last event.
    pub seq: Seq,
    /// Its MAC.
    pub mac: [u8; 32],
}

impl fmt::Display for Head {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{HEAD_MARK} {} {} {}",
            self.vault,
            self.seq,
            data_encoding::HEXLOWER.encode(&self.mac)
        )
    }
}

impl Head {
    /// Reads a head as [`Head`] prints it; `None` when it is none.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut words = text.split_whitespace();
        let decode = |word: &str| data_encoding::HEXLOWER.decode(word.as_bytes()).ok();
        if words.next()? != HEAD_MARK {
            return None;
        }
        let head = Self {
            vault: VaultId(decode(words.next()?)?.try_into().ok()?),
            seq: Seq(words.next()?.parse().ok()?),
            mac: decode(words.next()?)?.try_into().ok()?,
        };
        words.next().is_none().then_some(head)
    }
}

/// What is wrong with a record. Each names the first sequence number that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChainFault {
    /// An event was altered, inserted, or put in another's place.
    #[error("event {seq} is not as it was recorded: altered, inserted or out of order")]
    Altered {
        /// Which.
        seq: Seq,
    },
    /// Events are missing.
    #[error("event {expected} is missing (the next one there is {found})")]
    Missing {
        /// The first that is missing.
        expected: Seq,
        /// The one found instead.
        found: Seq,
    },
    /// The end was cut off after a head was kept.
    #[error("events {first} to {last} were cut off: a kept head says the record went on to {last}")]
    Truncated {
        /// The first that is missing.
        first: Seq,
        /// The last the kept head knows of.
        last: Seq,
    },
    /// The record is sound in itself but not the one the kept head was taken from.
    #[error(
        "event {seq} is not the one a kept head was taken from: the record was replaced or rolled back"
    )]
    NotTheHeads {
        /// Where they part.
        seq: Seq,
    },
    /// The kept head is another vault's.
    #[error("the kept head belongs to vault {vault}")]
    ForeignHead {
        /// Whose it is.
        vault: VaultId,
    },
}

/// Checks events one after another in constant memory.
#[derive(Debug)]
pub struct ChainVerifier {
    key: MacState,
    kept: Option<Head>,
    last: Option<(Seq, [u8; 32])>,
    count: u64,
}

impl ChainVerifier {
    /// Starts before the first event. A `kept` head is checked as the record passes it.
    ///
    /// # Errors
    /// When the head is another vault's.
    pub fn new(vault: VaultId, key: MacState, kept: Option<Head>) -> Result<Self, ChainFault> {
        match kept {
            Some(head) if head.vault != vault => Err(ChainFault::ForeignHead { vault: head.vault }),
            _ => Ok(Self {
                key,
                kept,
                last: None,
                count: 0,
            }),
        }
    }

    /// Checks the next event.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&mut self, event: &Event) -> Result<(), ChainFault> {
        let expected = Seq(self.last.map_or(0, |(seq, _)| seq.0) + 1);
        if event.seq > expected {
            return Err(ChainFault::Missing {
                expected,
                found: event.seq,
            });
        }
        let mac = chain_mac(&self.key, self.last.as_ref().map(|(_, mac)| mac), event);
        if event.seq != expected || !constant_time_eq(&mac, &event.mac) {
            return Err(ChainFault::Altered { seq: event.seq });
        }
        if let Some(head) = self.kept.filter(|head| head.seq == event.seq)
            && !constant_time_eq(&head.mac, &mac)
        {
            return Err(ChainFault::NotTheHeads { seq: event.seq });
        }
        self.last = Some((event.seq, mac));
        self.count += 1;
        Ok(())
    }

    /// Ends: the number of events and the last one.
    ///
    /// # Errors
    /// When the kept head knows of later events.
    pub fn finish(self) -> Result<(u64, Option<Seq>), ChainFault> {
        let last = self.last.map(|(seq, _)| seq);
        match self.kept {
            Some(head) if head.seq.0 > last.map_or(0, |seq| seq.0) => Err(ChainFault::Truncated {
                first: Seq(last.map_or(0, |seq| seq.0) + 1),
                last: head.seq,
            }),
            _ => Ok((self.count, last)),
        }
    }
}

#[cfg(test)]
mod tests {
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

    fn verify(events: &[Event], kept: Option<Head>) -> Result<(u64, Option<Seq>), ChainFault> {
        let mut verifier = ChainVerifier::new(VAULT, key(), kept)?;
        events.iter().try_for_each(|event| verifier.check(event))?;
        verifier.finish()
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
        assert_eq!(verify(&events, None), Ok((5, Some(Seq(5)))));
        for n in 1..=5 {
            assert!(verify(&events, Some(head_of(&events[..n]))).is_ok());
        }
        assert_eq!(verify(&[], None), Ok((0, None)));
    }

    #[test]
    fn tampering_is_found_and_named() {
        let events = record(5);
        let kept = Some(head_of(&events));
        let mut altered = events.clone();
        altered[2].at.0 += 1;
        assert_eq!(
            verify(&altered, None),
            Err(ChainFault::Altered { seq: Seq(3) })
        );
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
        assert_eq!(
            verify(&renumbered, None),
            Err(ChainFault::Altered { seq: Seq(3) })
        );
        let mut inserted = events.clone();
        inserted.insert(2, events[1].clone());
        assert_eq!(
            verify(&inserted, None),
            Err(ChainFault::Altered { seq: Seq(2) })
        );
        assert_eq!(
            verify(&events[..3], kept),
            Err(ChainFault::Truncated {
                first: Seq(4),
                last: Seq(5)
            })
        );
        assert_eq!(verify(&events[..3], None), Ok((3, Some(Seq(3)))));
        let other = Head {
            mac: [1; 32],
            ..head_of(&events)
        };
        assert_eq!(
            verify(&events, Some(other)),
            Err(ChainFault::NotTheHeads { seq: Seq(5) })
        );
        let foreign = Head {
            vault: VaultId([5; 16]),
            ..head_of(&events)
        };
        assert!(matches!(
            verify(&events, Some(foreign)),
            Err(ChainFault::ForeignHead { .. })
        ));
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
}
