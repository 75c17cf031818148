//! The chain: `mac[n] = HMAC-SHA256(audit key, mac[n-1] ‖ canonical bytes of event n)`, with 32
//! zero bytes before the first.

use std::fmt;

use serde_json::{Map, Value};

use crate::crypto::{MacState, constant_time_eq};
use crate::domain::{Seq, VaultId};

use super::event::Event;

/// What comes before the first event.
const GENESIS: [u8; 32] = [0; 32];
/// What the MAC over kept events begins with: no event's bytes and MAC begin so.
const KEPT_MARK: &[u8] = b"clawkeep-kept-1";
/// First word of a head written out.
const HEAD_MARK: &str = "clawkeep-head-1";

/// The keys of a record: which one an event is chained with depends on when it was recorded. A key
/// that may have become known is replaced, and the events from then on are chained with the new
/// one, over the MAC of the last before.
#[derive(Clone, Debug)]
pub struct ChainKeys {
    newest: MacState,
    /// Those before it, the newest first, each with the first event that is not its any more.
    earlier: Vec<(Seq, MacState)>,
}

impl ChainKeys {
    /// A record with one key.
    #[must_use]
    pub fn new(key: MacState) -> Self {
        Self {
            newest: key,
            earlier: Vec::new(),
        }
    }

    /// With `key` in the place of the newest, from the event `first` on.
    #[must_use]
    pub fn followed_by(mut self, first: Seq, key: MacState) -> Self {
        let before = std::mem::replace(&mut self.newest, key);
        self.earlier.insert(0, (first, before));
        self
    }

    /// The key of new events.
    #[must_use]
    pub fn newest(&self) -> &MacState {
        &self.newest
    }

    /// The first event of the newest, if there were others before it.
    fn begins(&self) -> Option<Seq> {
        self.earlier.first().map(|(first, _)| *first)
    }

    /// All of them, the newest first.
    fn all(&self) -> impl Iterator<Item = &MacState> {
        let earlier = self.earlier.iter().map(|(_, key)| key);
        std::iter::once(&self.newest).chain(earlier)
    }

    /// The key of an event.
    #[must_use]
    pub fn at(&self, seq: Seq) -> &MacState {
        let mut key = &self.newest;
        for (first, earlier) in &self.earlier {
            if seq >= *first {
                break;
            }
            key = earlier;
        }
        key
    }
}

/// An event's MAC, given the one before it (`None` for the first event).
#[must_use]
pub fn chain_mac(key: &MacState, previous: Option<&[u8; 32]>, event: &Event) -> [u8; 32] {
    key.mac(&[previous.unwrap_or(&GENESIS), &event.canonical_bytes()])
}

/// What a record says of events that were pruned from it, in its newest `audit.pruned` event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Checkpoint {
    /// How many events were removed in all.
    pub removed: u64,
    /// The newest of those up to which it was pruned: the chain goes on behind it.
    pub last: Seq,
    /// The MAC of the event.
    pub mac: [u8; 32],
    /// How many events up to it were kept: the newest change of each profile, and the newest
    /// upgrade of the vault.
    pub kept: u64,
    /// A MAC over the kept events.
    pub kept_mac: [u8; 32],
}

/// The MAC over the events that pruning keeps, given each one's number and own MAC, oldest first.
#[must_use]
pub fn kept_mac(key: &MacState, kept: &[(Seq, [u8; 32])]) -> [u8; 32] {
    let mut bytes = KEPT_MARK.to_vec();
    for (seq, mac) in kept {
        bytes.extend_from_slice(&seq.0.to_be_bytes());
        bytes.extend_from_slice(mac);
    }
    key.mac(&[&bytes])
}

impl Checkpoint {
    /// As the details of an event.
    #[must_use]
    pub(crate) fn detail(&self) -> Map<String, Value> {
        let hex = |mac: &[u8; 32]| Value::from(data_encoding::HEXLOWER.encode(mac));
        let fields = [
            ("removed", Value::from(self.removed)),
            ("last", Value::from(self.last.0)),
            ("mac", hex(&self.mac)),
            ("kept", Value::from(self.kept)),
            ("keptMac", hex(&self.kept_mac)),
        ];
        let fields = fields.map(|(name, value)| (name.to_owned(), value));
        fields.into_iter().collect()
    }

    /// Reads the details of an event; `None` when they are none of a checkpoint.
    #[must_use]
    pub fn parse(detail: &str) -> Option<Self> {
        let detail: Map<String, Value> = serde_json::from_str(detail).ok()?;
        let mac = |name: &str| -> Option<[u8; 32]> {
            let hex = detail.get(name)?.as_str()?;
            data_encoding::HEXLOWER
                .decode(hex.as_bytes())
                .ok()?
                .try_into()
                .ok()
        };
        Some(Self {
            removed: detail.get("removed")?.as_u64()?,
            last: Seq(detail.get("last")?.as_i64()?),
            mac: mac("mac")?,
            kept: detail.get("kept")?.as_u64()?,
            kept_mac: mac("keptMac")?,
        })
    }
}

/// The last event of a vault's record at some moment. Kept elsewhere, it later shows that nothing
/// before it was removed or changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// The vault that the record belongs to.
    pub vault: VaultId,
    /// The number of the last event.
    pub seq: Seq,
    /// The MAC of the last event.
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
            // Events count from 1: one that is not there proves nothing.
            seq: words.next()?.parse().ok().filter(|seq| *seq > 0).map(Seq)?,
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
    /// Events are missing from the record.
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
        "event {seq} is not the one a kept head was taken from: the record was replaced or rolled \
         back"
    )]
    NotTheHeads {
        /// Where they part.
        seq: Seq,
    },
    /// There is no event at all.
    #[error("it is empty, and no vault is without its first event")]
    Empty,
    /// Of the events that pruning kept, one is missing or too many.
    #[error(
        "the events that were kept when the record was pruned up to {last} are not those that are \
         there: one was taken out or put in"
    )]
    KeptMissing {
        /// Up to where it was pruned.
        last: Seq,
    },
    /// An event is as it was recorded, and the tables by which it, or one before it, is found are
    /// not.
    #[error(
        "up to event {seq} something cannot be found by its time or subject: the index tables \
         were modified"
    )]
    Misfiled {
        /// Which.
        seq: Seq,
    },
    /// The kept head is another vault's.
    #[error("the kept head belongs to vault {vault}")]
    ForeignHead {
        /// The vault that the head belongs to.
        vault: VaultId,
    },
}

impl ChainFault {
    /// What is wrong, in a word for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Altered { .. } => "altered",
            Self::Missing { .. } => "missing",
            Self::Truncated { .. } => "truncated",
            Self::NotTheHeads { .. } => "replaced",
            Self::Empty => "empty",
            Self::KeptMissing { .. } => "kept-missing",
            Self::Misfiled { .. } => "misfiled",
            Self::ForeignHead { .. } => "foreign-head",
        }
    }

    /// The first event that does not hold, where there is one.
    #[must_use]
    pub fn seq(&self) -> Option<Seq> {
        match self {
            Self::Altered { seq } | Self::NotTheHeads { seq } | Self::Misfiled { seq } => {
                Some(*seq)
            }
            Self::Missing {
                expected: first, ..
            }
            | Self::Truncated { first, .. } => Some(*first),
            Self::Empty | Self::KeptMissing { .. } | Self::ForeignHead { .. } => None,
        }
    }
}

/// The result of a verification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// How many events there are.
    pub events: u64,
    /// The last event that was verified.
    pub last: Seq,
    /// What was pruned before them.
    pub checkpoint: Option<Checkpoint>,
    /// What a kept head said.
    pub head: HeadCheck,
}

/// What a kept head shows of a record that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HeadCheck {
    /// No head was kept: it is unknown whether the end was cut off.
    NoHead,
    /// The event it was taken from is there.
    Holds(Seq),
    /// The event it was taken from was pruned since.
    Pruned(Seq),
}

/// Checks events one after another in constant memory: 40 bytes for each profile whose newest
/// change outlived pruning.
#[derive(Debug)]
pub struct ChainVerifier {
    keys: ChainKeys,
    head: Option<Head>,
    checkpoint: Option<Checkpoint>,
    last: Option<(Seq, [u8; 32])>,
    kept: Vec<(Seq, [u8; 32])>,
    count: u64,
    has_checked_head: bool,
    bytes: Vec<u8>,
}

impl ChainVerifier {
    /// Starts before the first event. A kept `head` is checked as the record passes it.
    /// `checkpoint`, if the record was pruned, is what its newest `audit.pruned` event says; that
    /// event itself is checked when it is reached.
    ///
    /// # Errors
    /// When the head is another vault's.
    pub fn new(
        vault: VaultId,
        keys: ChainKeys,
        head: Option<Head>,
        checkpoint: Option<Checkpoint>,
    ) -> Result<Self, ChainFault> {
        match head {
            Some(head) if head.vault != vault => Err(ChainFault::ForeignHead { vault: head.vault }),
            _ => Ok(Self {
                keys,
                head,
                checkpoint,
                last: None,
                kept: Vec::new(),
                count: 0,
                has_checked_head: false,
                bytes: Vec::with_capacity(512),
            }),
        }
    }

    /// Whether an event is one that pruning kept, to be checked by [`ChainVerifier::check_kept`].
    #[must_use]
    pub fn is_kept(&self, seq: Seq) -> bool {
        self.last.is_none()
            && self
                .checkpoint
                .is_some_and(|checkpoint| seq <= checkpoint.last)
    }

    /// Checks an event that pruning kept, given the MAC of the one before it.
    ///
    /// # Errors
    /// What is wrong.
    pub fn check_kept(
        &mut self,
        event: &Event,
        previous: Option<&[u8; 32]>,
    ) -> Result<(), ChainFault> {
        let mac = previous.map(|previous| self.mac(previous, event));
        let is_later = self.kept.last().is_none_or(|(seq, _)| *seq < event.seq);
        if !is_later || !mac.is_some_and(|mac| constant_time_eq(&mac, &event.mac)) {
            return Err(ChainFault::Altered { seq: event.seq });
        }
        self.compare(event)?;
        self.kept.push((event.seq, event.mac));
        self.count += 1;
        Ok(())
    }

    /// Compares a kept head with the event that it was taken from, if that is the one in hand.
    fn compare(&mut self, event: &Event) -> Result<(), ChainFault> {
        let Some(head) = self.head.filter(|head| head.seq == event.seq) else {
            return Ok(());
        };
        if !constant_time_eq(&head.mac, &event.mac) {
            return Err(ChainFault::NotTheHeads { seq: event.seq });
        }
        self.has_checked_head = true;
        Ok(())
    }

    /// Checks the next event of the record.
    pub fn check(&mut self, event: &Event) -> Result<(), ChainFault> {
        let (before, previous) = self.end()?;
        let expected = Seq(before.0.saturating_add(1));
        if event.seq > expected {
            return Err(ChainFault::Missing {
                expected,
                found: event.seq,
            });
        }
        let mac = self.mac(&previous, event);
        if event.seq != expected || !constant_time_eq(&mac, &event.mac) {
            return Err(ChainFault::Altered { seq: event.seq });
        }
        self.compare(event)?;
        self.last = Some((event.seq, mac));
        self.count += 1;
        Ok(())
    }

    /// The event that the next one follows: the last checked, the one up to which the record was
    /// pruned, or none.
    fn end(&self) -> Result<(Seq, [u8; 32]), ChainFault> {
        match (self.last, self.checkpoint) {
            (Some(last), _) => Ok(last),
            (None, None) => Ok((Seq(0), GENESIS)),
            (None, Some(checkpoint)) => {
                // Whichever key it was made with: that event's own key proves it.
                let is_of =
                    |key| constant_time_eq(&kept_mac(key, &self.kept), &checkpoint.kept_mac);
                let are_all =
                    self.kept.len() as u64 == checkpoint.kept && self.keys.all().any(is_of);
                if !are_all {
                    return Err(ChainFault::KeptMissing {
                        last: checkpoint.last,
                    });
                }
                Ok((checkpoint.last, checkpoint.mac))
            }
        }
    }

    fn mac(&mut self, previous: &[u8; 32], event: &Event) -> [u8; 32] {
        self.bytes.clear();
        event.write_canonical(&mut self.bytes);
        self.keys.at(event.seq).mac(&[previous, &self.bytes])
    }

    /// Ends the verification and returns its result.
    ///
    /// # Errors
    /// When the kept head knows of later events, or kept events are missing.
    pub fn finish(self) -> Result<Verified, ChainFault> {
        let (end, _) = self.end()?;
        let head = match self.head {
            None => HeadCheck::NoHead,
            Some(head) if head.seq > end => {
                return Err(ChainFault::Truncated {
                    first: Seq(end.0 + 1),
                    last: head.seq,
                });
            }
            Some(head) => match self.checkpoint {
                Some(checkpoint) if head.seq == checkpoint.last && checkpoint.mac != head.mac => {
                    return Err(ChainFault::NotTheHeads { seq: head.seq });
                }
                Some(checkpoint) if head.seq < checkpoint.last && !self.has_checked_head => {
                    HeadCheck::Pruned(head.seq)
                }
                _ => HeadCheck::Holds(head.seq),
            },
        };
        let Some((last, _)) = self.last else {
            return Err(ChainFault::Empty);
        };
        // Otherwise the holder of an earlier key could cut off all that the newest key proves, and
        // go on from there.
        if let Some(begins) = self.keys.begins().filter(|begins| *begins > last) {
            return Err(ChainFault::Truncated {
                first: Seq(last.0 + 1),
                last: begins,
            });
        }
        Ok(Verified {
            events: self.count,
            last,
            checkpoint: self.checkpoint,
            head,
        })
    }
}

#[cfg(test)]
mod tests;
