//! A vault of the library's, without the program around it: fixed clock, key file, no environment.

use std::path::Path;

use clawkeep::internal::audit::{EventDraft, EventKind, Filter, Origin};
use clawkeep::internal::domain::{AgentName, ProfileId, Section, UnixMs};
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::{
    ChangeNote, KeyChoice, KeySources, NewKey, UnlockedVault, Upgrade, create,
};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A day, in milliseconds.
pub(crate) const DAY: i64 = 86_400_000;
/// When such a vault is made.
pub(crate) const START: i64 = 1_800_000_000_000;

/// A vault in a directory of its own.
pub(crate) struct Bench {
    pub(crate) dir: TempDir,
    pub(crate) vault: UnlockedVault,
    pub(crate) actor: Actor,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let actor = Actor::current("test");
        let choice = KeyChoice::Only(NewKey::Keyfile);
        let keychain = SystemKeychain::new(std::time::Duration::ZERO, SessionBus::Absent);
        let sources = key_sources(dir.path(), &keychain);
        let clock = Clock::Fixed(UnixMs::from_ms(START));
        let path = dir.path().join("vault.db");
        let made = create(&path, &choice, &sources, &actor, clock)
            .unwrap()
            .unwrap();
        assert!(
            create(&path, &choice, &sources, &actor, clock)
                .unwrap()
                .is_none(),
            "an existing vault is left alone"
        );
        let vault = made.vault;
        Self { dir, vault, actor }
    }

    pub(crate) fn put(&mut self, profile: &str, entry: &Value, at: i64) {
        let note = ChangeNote::new(EventKind::ProfileUpdated, Origin::Clawkeep);
        let mut tx = self
            .vault
            .begin(&self.actor, Clock::Fixed(UnixMs::from_ms(at)))
            .unwrap();
        tx.put_profile(&AgentName::default(), &ProfileId::new(profile), entry, note)
            .unwrap();
        tx.commit().unwrap();
    }

    pub(crate) fn remove(&mut self, profile: &str, at: i64) {
        let note = ChangeNote::new(EventKind::ProfileRemoved, Origin::Clawkeep);
        let mut tx = self
            .vault
            .begin(&self.actor, Clock::Fixed(UnixMs::from_ms(at)))
            .unwrap();
        tx.remove_profile(&AgentName::default(), &ProfileId::new(profile), note)
            .unwrap();
        tx.commit().unwrap();
    }

    pub(crate) fn append(
        &mut self,
        agent: &str,
        kind: EventKind,
        origin: Origin,
        profile: &str,
        at: i64,
    ) {
        let provider = profile.split(':').next().unwrap();
        let event = EventDraft::new(kind, origin).profile(&ProfileId::new(profile), provider);
        let mut tx = self
            .vault
            .begin(&self.actor, Clock::Fixed(UnixMs::from_ms(at)))
            .unwrap();
        tx.append(Some(&AgentName::from_id(agent)), event).unwrap();
        tx.commit().unwrap();
    }

    pub(crate) fn seqs(&self, filter: &Filter) -> Vec<i64> {
        self.vault
            .history(filter)
            .unwrap()
            .map(|event| event.unwrap().seq.0)
            .collect()
    }

    pub(crate) fn ids(&self) -> Vec<String> {
        let state = self.vault.agent(&AgentName::default()).unwrap();
        state
            .doc
            .entries(Section::Profiles)
            .map(|(id, _)| id.to_owned())
            .collect()
    }

    /// A query of the file itself, past the library.
    pub(crate) fn query<T: rusqlite::types::FromSql>(&self, sql: &str) -> Vec<T> {
        let conn = rusqlite::Connection::open(self.dir.path().join("vault.db")).unwrap();
        let mut select = conn.prepare(sql).unwrap();
        select
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect()
    }
}

pub(crate) fn key_sources<'a>(dir: &Path, keychain: &'a SystemKeychain) -> KeySources<'a> {
    KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: dir.join("keys"),
        keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    }
}

pub(crate) fn token(token: &str) -> Value {
    json!({"type": "token", "provider": "anthropic", "token": token})
}
