//! The credentials of an agent of OpenClaw, read from its database and never written there.
//!
//! OpenClaw refreshes them. So no refresh token comes in: an entry becomes what `lend` makes of it,
//! and is marked as borrowed. No store is exported for such an agent.

use std::path::{Path, PathBuf};

use secrecy::SecretString;
use serde_json::Value;

use super::edited::Edited;
use super::load::change::observed_use;
use super::loaded::Loaded;
use super::notice::{LendingFault, Notice};
use crate::audit::Origin;
use crate::config::AgentRef;
use crate::domain::{Borrowed, Owner, ProfileId, SecretJson, Section, StoreDoc, path_text};
use crate::export::parse;
use crate::platform::openclaw::databases_of;
use crate::sources::other_programs::lend;
use crate::sources::read_json;
use crate::vault::{ForeignDatabase, ForeignFault};

/// What `main` has, in the state directory's database. Source: OpenClaw 2026.9.6.
pub(super) const OF_MAIN: &str = "SELECT CASE state_key WHEN 'authProfiles.store' THEN 'store' \
    ELSE 'state' END, value_json FROM config_machine_state WHERE state_key IN \
    ('authProfiles.store', 'authProfiles.state')";
/// What an agent has, in a database of its own. Source: as above.
pub(super) const OF_AGENT: &str = "SELECT 'store', store_json FROM auth_profile_store WHERE \
    store_key = 'primary' UNION ALL SELECT 'state', state_json FROM auth_profile_state WHERE \
    state_key = 'primary'";
/// The version of the store that is read.
pub(super) const VERSION: i64 = 1;

/// What OpenClaw has of an agent.
pub(super) struct OpenClawStore {
    doc: StoreDoc,
    from: Borrowed,
    /// The refresh tokens that OpenClaw redeems.
    lent: Vec<SecretString>,
}

/// Reads what OpenClaw has of an agent; `None` if it has no store for it.
///
/// # Errors
/// Which database cannot be read, and why.
pub(super) fn read(agent: &AgentRef) -> Result<Option<OpenClawStore>, (PathBuf, ForeignFault)> {
    let id = agent.name.openclaw_id().unwrap_or_default();
    for path in databases_of(&agent.dir, id) {
        let is_own = path.starts_with(&agent.dir);
        let query = if is_own { OF_AGENT } else { OF_MAIN };
        match read_at(&path, query) {
            Ok(None) => {}
            Ok(store) => return Ok(store),
            Err(fault) => return Err((path, fault)),
        }
    }
    Ok(None)
}

fn read_at(path: &Path, query: &str) -> Result<Option<OpenClawStore>, ForeignFault> {
    let database = match ForeignDatabase::open(path) {
        Err(ForeignFault::Absent) => return Ok(None),
        database => database?,
    };
    let (mut store, mut state) = (None, None);
    let rows = database.texts(query)?;
    if rows.without_text > 0 {
        return Err(ForeignFault::Form);
    }
    for (name, text) in rows.texts {
        let document = read_json(text.as_bytes()).map_err(|_| ForeignFault::Form)?;
        match name.as_str() {
            "store" => store = Some(document),
            _ => state = Some(document),
        }
    }
    let Some(store) = store else { return Ok(None) };
    understand(path, &store, state.as_ref()).map(Some)
}

fn understand(
    path: &Path,
    store: &SecretJson,
    state: Option<&SecretJson>,
) -> Result<OpenClawStore, ForeignFault> {
    let fields = store.expose_secret();
    let profiles = fields.get("profiles").and_then(Value::as_object);
    let version = fields.get("version").and_then(Value::as_i64);
    let (Some(profiles), Some(VERSION)) = (profiles, version) else {
        return Err(ForeignFault::Form);
    };
    let mut doc = parse(br#"{"version":1,"profiles":{}}"#).map_err(|_| ForeignFault::Form)?;
    let mut lent = Vec::new();
    for (id, entry) in profiles.iter().filter(|(_, entry)| entry.is_object()) {
        let (entry, refresh) = lend(&SecretJson::new(entry.clone()));
        doc.set(Section::Profiles, id, entry.expose_secret().clone());
        lent.extend(refresh);
    }
    for section in [Section::Order, Section::LastGood, Section::Usage] {
        let of = |document: &SecretJson| {
            let entries = document.expose_secret().get(section.key())?.as_object()?;
            Some(entries.clone())
        };
        let entries = state.and_then(of).or_else(|| of(store)).unwrap_or_default();
        for (key, value) in entries {
            doc.set(section, &key, value);
        }
    }
    let from = Borrowed {
        owner: Owner::OpenClaw,
        path: path_text(path).into_owned(),
    };
    Ok(OpenClawStore { doc, from, lent })
}

impl OpenClawStore {
    /// The change that makes an agent's document OpenClaw's; `None` if it is already.
    pub(super) fn change(&self, loaded: &Loaded) -> Option<Edited> {
        let ids = self.doc.entries(Section::Profiles).map(|(id, _)| id);
        let unmarked = ids.filter(|id| loaded.borrowed.get(*id) != Some(&self.from));
        let marks: Vec<(ProfileId, Option<Borrowed>)> = unmarked
            .map(|id| (ProfileId::new(id), Some(self.from.clone())))
            .collect();
        if marks.is_empty() && is_same(&self.doc, &loaded.doc) {
            return None;
        }
        let origin = Origin::Source(Owner::OpenClaw);
        // Of a store that is new, nothing is known to have happened just now.
        let events = match loaded.doc.is_blank() {
            true => Vec::new(),
            false => observed_use(&loaded.doc, &self.doc, origin),
        };
        let edited = Edited::to(self.doc.clone(), events);
        Some(
            edited
                .lending(marks, self.lent.clone())
                .by("openclaw", origin),
        )
    }
}

/// Whether two documents have the same entries in each section, in the same order.
fn is_same(one: &StoreDoc, other: &StoreDoc) -> bool {
    let sections = [
        Section::Profiles,
        Section::Order,
        Section::LastGood,
        Section::Usage,
    ];
    sections
        .into_iter()
        .all(|section| one.entries(section).eq(other.entries(section)))
}

/// The notice about a database that cannot be read, while the vault has something from it.
pub(super) fn notice_of(loaded: &Loaded, path: &Path, fault: &ForeignFault) -> Option<Notice> {
    let (id, from) = loaded.borrowed.iter().next()?;
    let path = path_text(path).into_owned();
    Some(Notice::BorrowedUnavailable {
        profile: ProfileId::new(id),
        from: Borrowed {
            path,
            ..from.clone()
        },
        why: LendingFault::Unusable(format!("cannot be used: {fault}")),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_in_has_no_refresh_token() {
        let store = SecretJson::new(json!({"version": 1, "profiles": {
            "openai:a": {"type": "oauth", "provider": "openai", "access": "a", "refresh": "r",
                "expires": 5, "email": "e@x"},
            "groq:manual": {"type": "api_key", "provider": "groq", "key": "k"},
            "odd": 5}}));
        let state = SecretJson::new(json!({"version": 1, "order": {"openai": ["openai:a"]},
            "usageStats": {"openai:a": {"errorCount": 1}}}));
        let path = Path::new("/s/state/openclaw.sqlite");
        let found = understand(path, &store, Some(&state)).unwrap();
        let text = String::from_utf8(found.doc.to_file().to_vec()).unwrap();
        assert!(!text.contains("refresh"), "{text}");
        let of = |section, key| found.doc.get(section, key).cloned().unwrap_or_default();
        assert_eq!(
            of(Section::Profiles, "openai:a"),
            json!({"type": "token", "provider": "openai", "token": "a", "expires": 5,
                "email": "e@x"})
        );
        assert_eq!(of(Section::Order, "openai"), json!(["openai:a"]));
        assert_eq!(of(Section::Usage, "openai:a"), json!({"errorCount": 1}));
        let lent: Vec<&str> = found.lent.iter().map(|one| one.expose_secret()).collect();
        assert_eq!(lent, ["r"]);
        assert!(!found.from.is_copy());
    }

    #[test]
    fn a_newer_version_is_not_read() {
        for store in [
            json!({"version": 2, "profiles": {}}),
            json!({"profiles": {}}),
            json!({"version": 1, "profiles": []}),
        ] {
            let found = understand(Path::new("/s"), &SecretJson::new(store), None);
            assert!(matches!(found, Err(ForeignFault::Form)));
        }
    }
}
