//! Why a profile changes.

use serde_json::{Map, Value};

use crate::audit::{EventKind, Origin};

/// The reason for a change of a profile; it becomes the event that is recorded with it.
#[derive(Clone, Debug)]
pub struct ChangeNote {
    /// The kind of the event.
    pub kind: EventKind,
    /// The origin of the change.
    pub origin: Origin,
    /// Further details of the event.
    pub detail: Map<String, Value>,
}

impl ChangeNote {
    /// A change of that kind.
    #[must_use]
    pub fn new(kind: EventKind, origin: Origin) -> Self {
        Self {
            kind,
            origin,
            detail: Map::new(),
        }
    }

    /// With one more thing to say.
    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }
}
