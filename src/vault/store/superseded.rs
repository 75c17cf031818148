//! Earlier contents of an agent's store, as digests: a program that writes one of them back has an
//! old copy.
//!
//! They are kept in the agent's sealed frame, so they are proved like every row and need none of
//! their own.

use serde_json::{Map, Value, json};

use crate::domain::{AgentName, UnixMs};
use crate::vault::error::VaultError;
use crate::vault::tx::Tx;

/// Earlier contents kept for one agent, the newest.
pub const SUPERSEDED_MAX: usize = 32;

/// An earlier content of an agent's store: its `profiles` and `order`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Superseded {
    /// The digest of `profiles` and `order`.
    pub content: String,
    /// The digest of everything else that the store had then.
    pub rest: String,
    /// When it was last replaced.
    pub at: UnixMs,
    /// Whether a command has changed the store since.
    pub is_decided: bool,
    /// How often another program has written it back since.
    pub rounds: u64,
    /// The digest of what the vault had when clawkeep stopped writing over it; none while it does.
    pub left_at: Option<String>,
}

impl Superseded {
    fn to_entry(&self) -> (String, Value) {
        let value = json!([
            self.rest,
            self.at.0,
            self.is_decided,
            self.rounds,
            self.left_at
        ]);
        (self.content.clone(), value)
    }

    fn from_entry((content, value): (String, Value)) -> Option<Self> {
        let [rest, at, is_decided, rounds, left_at] = value.as_array()?.as_slice() else {
            return None;
        };
        Some(Self {
            content,
            rest: rest.as_str()?.to_owned(),
            at: UnixMs(at.as_i64()?),
            is_decided: is_decided.as_bool()?,
            rounds: rounds.as_u64()?,
            left_at: left_at.as_str().map(str::to_owned),
        })
    }
}

/// The entries of a frame's part as they are used, the oldest first.
pub(super) fn from_frame(part: Map<String, Value>) -> Vec<Superseded> {
    part.into_iter()
        .filter_map(Superseded::from_entry)
        .collect()
}

impl Tx<'_> {
    /// Keeps these earlier contents of an agent's store, and no others. The frame is sealed with
    /// them at the commit.
    ///
    /// # Errors
    /// When the agent cannot be written.
    pub(crate) fn set_superseded(
        &mut self,
        agent: &AgentName,
        contents: &[Superseded],
    ) -> Result<(), VaultError> {
        self.touch_agent(agent)?;
        let oldest = contents.len().saturating_sub(SUPERSEDED_MAX);
        let part = contents[oldest..].iter().map(Superseded::to_entry);
        self.set_superseded_part(agent, part.collect());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_read_back_and_others_are_left_out() {
        let kept = Superseded {
            content: "c".to_owned(),
            rest: "r".to_owned(),
            at: UnixMs(7),
            is_decided: true,
            rounds: 3,
            left_at: Some("v".to_owned()),
        };
        let mut part: Map<String, Value> = [kept.to_entry()].into_iter().collect();
        part.insert("x".to_owned(), json!([1]));
        part.insert("y".to_owned(), json!("z"));
        assert_eq!(from_frame(part), [kept]);
    }
}
