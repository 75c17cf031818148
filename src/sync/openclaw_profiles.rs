//! The profiles in a database of OpenClaw's, to be changed when OpenClaw is connected: a key gives
//! its place to a reference, or comes back.
//!
//! `openclaw secrets apply` cannot do it: it writes an agent's own database, while the keys of most
//! agents are in the one of the state directory, which all agents share. Source: OpenClaw 2026.9.6,
//! tried.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::openclaw_store::{OF_AGENT, OF_MAIN, VERSION};
use crate::domain::SecretJson;
use crate::platform::openclaw::is_shared_database;
use crate::sources::read_json;
use crate::vault::{ForeignDatabase, ForeignFault, compact_foreign, replace_foreign_text};

/// Replaces the shared profiles. Source: as in `openclaw_store`.
const CHANGE_SHARED: &str = "UPDATE config_machine_state SET value_json = ?2, updated_at_ms = ?3 \
    WHERE state_key = 'authProfiles.store' AND value_json = ?1";
/// Replaces an agent's profiles.
const CHANGE_OWN: &str = "UPDATE auth_profile_store SET store_json = ?2, updated_at = ?3 WHERE \
    store_key = 'primary' AND store_json = ?1";

/// The profiles in one database.
pub struct OpenClawProfiles {
    path: PathBuf,
    /// The text as it was read.
    text: zeroize::Zeroizing<String>,
    document: SecretJson,
}

crate::domain::debug_as!(OpenClawProfiles, "OpenClawProfiles({:?})", it => it.path);

impl OpenClawProfiles {
    /// Reads them; `None` if the database is not there or has none.
    ///
    /// # Errors
    /// When it cannot be read, or has another form.
    pub fn read(path: &Path) -> Result<Option<Self>, ForeignFault> {
        let database = match ForeignDatabase::open(path) {
            Err(ForeignFault::Absent) => return Ok(None),
            database => database?,
        };
        let query = match is_shared_database(path) {
            true => OF_MAIN,
            false => OF_AGENT,
        };
        let rows = database.texts(query)?;
        let mut texts = rows.texts.into_iter();
        let Some((_, text)) = texts.find(|(name, _)| name == "store") else {
            return Ok(None);
        };
        let document = read_json(text.as_bytes()).map_err(|_| ForeignFault::Form)?;
        let fields = document.expose_secret();
        let is_known = fields.get("version").and_then(Value::as_i64) == Some(VERSION)
            && fields.get("profiles").is_some_and(Value::is_object);
        if !is_known {
            return Err(ForeignFault::Form);
        }
        let path = path.to_owned();
        Ok(Some(Self {
            path,
            text,
            document,
        }))
    }

    /// The entries, by profile.
    #[must_use]
    pub fn expose_entries(&self) -> &Map<String, Value> {
        static NONE: std::sync::OnceLock<Map<String, Value>> = std::sync::OnceLock::new();
        let profiles = self.document.expose_secret().get("profiles");
        let none = || NONE.get_or_init(Map::new);
        profiles.and_then(Value::as_object).unwrap_or_else(none)
    }

    /// Puts other entries in their place if they still are what was read, and wipes what was
    /// replaced from the file. Returns whether it could be wiped.
    ///
    /// # Errors
    /// When OpenClaw has changed them since, or the database cannot be written.
    pub fn replace(&self, entries: Map<String, Value>, now: i64) -> Result<bool, ForeignFault> {
        let mut after = self.document.expose_secret().clone();
        if let Some(fields) = after.as_object_mut() {
            fields.insert("profiles".to_owned(), Value::Object(entries));
        }
        let after = SecretJson::new(after);
        let text = zeroize::Zeroizing::new(after.expose_secret().to_string());
        let update = match is_shared_database(&self.path) {
            true => CHANGE_SHARED,
            false => CHANGE_OWN,
        };
        replace_foreign_text(&self.path, update, (&self.text, &text), now)?;
        Ok(compact_foreign(&self.path).is_ok())
    }
}
