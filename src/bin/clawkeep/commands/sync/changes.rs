//! The changes that a load made to an agent's credentials.

use clawkeep::internal::domain::Section;
use clawkeep::internal::sync::Loaded;
use serde_json::Map;

use crate::terminal::text::shown_ids;

#[derive(Debug)]
pub(crate) struct Changes {
    /// The number of profiles now.
    pub(crate) profiles: usize,
    pub(crate) changed: Vec<String>,
    pub(crate) removed: Vec<String>,
}

impl Changes {
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let none = Map::new();
        let new = loaded.doc.section(Section::Profiles).unwrap_or(&none);
        let old = match &loaded.before {
            Some(before) => before.section(Section::Profiles).unwrap_or(&none),
            None => new,
        };
        let is_other = |id: &&String| old.get(*id) != new.get(*id);
        let is_gone = |id: &&String| !new.contains_key(*id);
        Self {
            profiles: new.len(),
            changed: new.keys().filter(is_other).cloned().collect(),
            removed: old.keys().filter(is_gone).cloned().collect(),
        }
    }

    /// The changes in words; `None` if there are none.
    pub(crate) fn words(&self) -> Option<String> {
        let joined = |ids: &[String]| shown_ids(ids.iter().map(String::as_str));
        let mut what = Vec::new();
        if !self.changed.is_empty() {
            what.push(format!("imported {}", joined(&self.changed)));
        }
        if !self.removed.is_empty() {
            what.push(format!(
                "removed {}, which the store no longer has",
                joined(&self.removed)
            ));
        }
        (!what.is_empty()).then(|| what.join("; "))
    }
}
