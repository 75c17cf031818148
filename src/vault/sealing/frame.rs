//! An agent's sealed frame: its store's top level, without the entries that rows of their own hold.

use serde_json::{Map, Value, json};

use super::seal_json::seal_json;
use crate::crypto::{Aad, CryptoError, SealKey};
use crate::domain::{AgentName, SecretJson, Section, StoreDoc, VaultId};

/// What is sealed in an agent's row: the store without its sections, and its profiles.
pub(in crate::vault) struct Frame {
    /// The top level, with the sections emptied whose entries are sealed in rows of their own.
    pub(in crate::vault) fields: Map<String, Value>,
    /// The generation of each profile, in frames before schema 4; now the listings have them.
    pub(in crate::vault) generations: Map<String, Value>,
    /// What each profile's grant is pinned to, as far as it is: origin and client id.
    pub(in crate::vault) pins: Map<String, Value>,
    /// The profiles that were imported as another program's: its name and its file's path.
    pub(in crate::vault) borrowed: Map<String, Value>,
    /// Earlier contents of the store; see `superseded`.
    pub(in crate::vault) superseded: Map<String, Value>,
}

/// What an agent's frame has beside the document.
#[derive(Clone, Copy)]
pub(in crate::vault) struct FrameExtras<'a> {
    pub(in crate::vault) pins: &'a Map<String, Value>,
    pub(in crate::vault) borrowed: &'a Map<String, Value>,
    pub(in crate::vault) superseded: &'a Map<String, Value>,
}

impl Frame {
    pub(in crate::vault) fn aad(vault: VaultId, agent: &AgentName, revision: i64) -> Aad {
        Aad::new(vault, "agents", "frame")
            .text(agent.as_str())
            .number(revision)
    }

    pub(in crate::vault) fn seal(
        seal: &SealKey,
        vault: VaultId,
        agent: &AgentName,
        revision: i64,
        frame: &SecretJson,
        extras: FrameExtras<'_>,
    ) -> Result<Vec<u8>, CryptoError> {
        let fields = frame.expose_secret();
        let FrameExtras {
            pins,
            borrowed,
            superseded,
        } = extras;
        let all = SecretJson::new(match (borrowed.is_empty(), superseded.is_empty()) {
            (true, true) => json!([fields, {}, pins]),
            (false, true) => json!([fields, {}, pins, borrowed]),
            (_, false) => json!([fields, {}, pins, borrowed, superseded]),
        });
        seal_json(seal, Self::aad(vault, agent, revision), all.expose_secret())
    }

    /// `None` when it does not open.
    pub(in crate::vault) fn open(
        seal: &SealKey,
        vault: VaultId,
        agent: &AgentName,
        revision: i64,
        blob: &[u8],
    ) -> Option<Self> {
        let all = seal.open(Self::aad(vault, agent, revision), blob).ok()?;
        let parts: Vec<Map<String, Value>> = serde_json::from_slice(&all).ok()?;
        let mut parts = parts.into_iter();
        Some(Self {
            fields: parts.next()?,
            generations: parts.next()?,
            pins: parts.next().unwrap_or_default(), // frames of before schema 3 have none
            borrowed: parts.next().unwrap_or_default(), // nor have most
            superseded: parts.next().unwrap_or_default(), // absent where nothing was replaced
        })
    }
}

pub(in crate::vault) fn usage_aad(vault: VaultId, agent: &AgentName, profile: &str) -> Aad {
    Aad::new(vault, "usage", "sealed")
        .text(agent.as_str())
        .text(profile)
}

/// A document's frame: its top level, with the sections emptied whose entries are sealed in rows of
/// their own. Order and last good stay in it: their rows are plain copies for queries. A section
/// that is not an object has no rows.
pub(in crate::vault) fn frame_of(doc: &StoreDoc) -> Map<String, Value> {
    let has_rows = |key: &str, value: &Value| {
        value.is_object() && (key == Section::Profiles.key() || key == Section::Usage.key())
    };
    let fields = doc.expose_secret().iter().map(|(key, value)| {
        let kept = if has_rows(key, value) {
            json!({})
        } else {
            value.clone()
        };
        (key.clone(), kept)
    });
    fields.collect()
}

/// Puts a document together from its frame and the rows of its profiles and usage.
pub(in crate::vault) fn assemble(
    mut root: Map<String, Value>,
    profiles: Map<String, Value>,
    usage: Map<String, Value>,
) -> StoreDoc {
    root.insert(Section::Profiles.key().to_owned(), Value::Object(profiles));
    let has_usage = root.get(Section::Usage.key()).is_some_and(Value::is_object);
    if has_usage || !usage.is_empty() {
        root.insert(Section::Usage.key().to_owned(), Value::Object(usage));
    }
    // `profiles` was just put in as an object
    StoreDoc::from_json(Value::Object(root)).unwrap_or_default()
}
