//! Events, their canonical bytes, the chain, and what is kept of it elsewhere.

use super::draw::Draw;
use crate::audit::{ChainKeys, ChainVerifier, Checkpoint, Event, EventActor, Head, chain_mac};
use crate::crypto::{AuditKey, MacState};
use crate::domain::{Seq, UnixMs, VaultId};

const VAULT: VaultId = VaultId([4; 16]);

/// The canonical bytes of an event can be read back, so no two events have the same; a chain holds,
/// and does not once anything of it is another.
pub fn event(data: &[u8]) {
    let mut draw = Draw::new(data);
    let tamper = (draw.byte(), draw.byte(), draw.byte());
    let mut events: Vec<Event> = Vec::new();
    let key = key();
    while events.len() < 8 && (events.is_empty() || !draw.is_empty()) {
        let seq = i64::try_from(events.len()).unwrap_or(0) + 1;
        let mut event = drawn(&mut draw, seq);
        let bytes = event.canonical_bytes();
        assert_eq!(read_back(&bytes).expect("it can be read back"), event);
        event.mac = chain_mac(&key, events.last().map(|before| &before.mac), &event);
        events.push(event);
    }
    let head = head_of(&events);
    assert!(holds(&events, None) && holds(&events, Some(head)));
    let sound = events.clone();
    alter(&mut events, tamper);
    let found = holds(&events, Some(head));
    assert_eq!(found, events == sound, "it was not noticed");
}

fn key() -> MacState {
    AuditKey::from_bytes(&[8; 32])
        .expect("32 bytes are a key")
        .mac_state()
}

fn drawn(draw: &mut Draw<'_>, seq: i64) -> Event {
    Event {
        seq: Seq(seq),
        at: UnixMs(draw.number()),
        kind: draw.text(),
        outcome: draw.text(),
        origin: draw.text(),
        agent: draw.optional(Draw::text),
        profile: draw.optional(Draw::text),
        provider: draw.optional(Draw::text),
        actor: EventActor {
            program: draw.text(),
            pid: draw.number(),
            uid: draw.number(),
            host: draw.text(),
            parent: draw.optional(Draw::text),
        },
        session: draw.optional(Draw::text),
        generation: draw.optional(Draw::number),
        token_before: draw.optional(|draw| draw.bytes().to_vec()),
        token_after: draw.optional(|draw| draw.bytes().to_vec()),
        expires_before: draw.optional(Draw::number),
        expires_after: draw.optional(Draw::number),
        detail: draw.optional(|draw| draw.text().as_ref().to_owned()),
        mac: [0; 32],
    }
}

fn head_of(events: &[Event]) -> Head {
    let last = events.last().expect("there is an event");
    Head {
        vault: VAULT,
        seq: last.seq,
        mac: last.mac,
    }
}

fn holds(events: &[Event], head: Option<Head>) -> bool {
    let Ok(mut verifier) = ChainVerifier::new(VAULT, ChainKeys::new(key()), head, None) else {
        return false;
    };
    events.iter().all(|event| verifier.check(event).is_ok()) && verifier.finish().is_ok()
}

/// Takes out, exchanges, repeats, or alters an event.
fn alter(events: &mut Vec<Event>, (how, one, other): (u8, u8, u8)) {
    let (one, other) = (
        usize::from(one) % events.len(),
        usize::from(other) % events.len(),
    );
    match how % 6 {
        0 => drop(events.remove(one)),
        1 => events.swap(one, other),
        2 => events.insert(one, events[other].clone()),
        3 => events[one].mac[usize::from(how) % 32] ^= 1,
        4 => events[one].profile = events[other].session.clone(),
        _ => {
            // What one field loses the next one gets: the bytes in a row stay the same.
            let text = events[one].kind.to_string();
            let (kept, moved) = text.split_at(text.chars().next().map_or(0, char::len_utf8));
            events[one].outcome = format!("{moved}{}", events[one].outcome).into();
            events[one].kind = kept.into();
        }
    }
}

/// The event that canonical bytes are of, read independently of how they are written.
fn read_back(bytes: &[u8]) -> Option<Event> {
    let mut fields = Fields(bytes.strip_prefix(&[1])?);
    let event = Event {
        seq: Seq(fields.number()??),
        at: UnixMs(fields.number()??),
        kind: fields.text()??.into(),
        outcome: fields.text()??.into(),
        origin: fields.text()??.into(),
        agent: fields.text()?.map(Into::into),
        profile: fields.text()?.map(Into::into),
        provider: fields.text()?.map(Into::into),
        actor: EventActor {
            program: fields.text()??.into(),
            pid: fields.number()??,
            uid: fields.number()??,
            host: fields.text()??.into(),
            parent: fields.text()?.map(Into::into),
        },
        session: fields.text()?.map(Into::into),
        generation: fields.number()?,
        token_before: fields.next()?.map(<[u8]>::to_vec),
        token_after: fields.next()?.map(<[u8]>::to_vec),
        expires_before: fields.number()?,
        expires_after: fields.number()?,
        detail: fields.text()?.map(str::to_owned),
        mac: [0; 32],
    };
    fields.0.is_empty().then_some(event)
}

/// Each has its length in front; `Option`: whether it can be read, inside whether it is there.
struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    fn next(&mut self) -> Option<Option<&'b [u8]>> {
        let (len, rest) = self.0.split_first_chunk::<4>()?;
        self.0 = rest;
        let len = u32::from_be_bytes(*len);
        if len == u32::MAX {
            return Some(None);
        }
        let (field, rest) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.0 = rest;
        Some(Some(field))
    }

    fn text(&mut self) -> Option<Option<&'b str>> {
        match self.next()? {
            None => Some(None),
            Some(bytes) => std::str::from_utf8(bytes).ok().map(Some),
        }
    }

    fn number(&mut self) -> Option<Option<i64>> {
        match self.next()? {
            None => Some(None),
            Some(bytes) => bytes
                .try_into()
                .ok()
                .map(|bytes| Some(i64::from_be_bytes(bytes))),
        }
    }
}

/// A head and a checkpoint say, written out, what they said when they were read.
pub fn head(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(head) = Head::parse(text) {
        let written = head.to_string();
        assert_eq!(Head::parse(&written), Some(head));
        let words: Vec<&str> = text.split_whitespace().collect();
        let own: Vec<&str> = written.split(' ').collect();
        assert_eq!(
            (words.len(), words[0], words[1], words[3]),
            (4, own[0], own[1], own[3])
        );
    }
    if let Some(checkpoint) = Checkpoint::parse(text) {
        let detail = serde_json::Value::Object(checkpoint.detail()).to_string();
        assert_eq!(Checkpoint::parse(&detail), Some(checkpoint));
    }
}
