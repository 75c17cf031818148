//! Makes the vaults of which the vectors that are whole vaults are copies, by a fixed clock.
//!
//! Their keys and nonces are the library's own, so they are others each time.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::{
    AgentName, Endpoint, Fingerprint, ProfileId, ProviderId, StoreDoc, UnixMs,
};
use clawkeep::internal::platform::keychain::Secret;
use clawkeep::internal::platform::{Actor, Clock, Keychain, KeychainError};
use clawkeep::internal::vault::{
    ChangeNote, ExportState, Exported, Grant, GrantState, KeyChoice, KeySources, NewKey,
    RotationScope, UnlockedVault, Upgrade, create,
};
use rusqlite::Connection;
use serde_json::{Value, json};

use super::{dir, hex};

/// When the first event was recorded; each later one a minute after the one before.
pub(super) const START: i64 = 1_750_000_000_000;
const PASSPHRASE: &str = "made up for vectors";
pub(super) const OPENAI: &str = "openai:default";
const WORK: &str = "anthropic:work";
/// A refresh token that its provider refuses.
const DEAD: Fingerprint = Fingerprint {
    key_number: 1,
    digest: [7; 8],
};

/// A keychain in memory.
#[derive(Default)]
struct Items(Mutex<HashMap<String, Vec<u8>>>);

impl Keychain for Items {
    fn get(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
        Ok(self
            .0
            .lock()
            .unwrap()
            .get(account)
            .map(|item| item.clone().into()))
    }

    fn set(&self, account: &str, secret: &[u8]) -> Result<(), KeychainError> {
        self.0
            .lock()
            .unwrap()
            .insert(account.to_owned(), secret.to_vec());
        Ok(())
    }

    fn delete(&self, account: &str) -> Result<(), KeychainError> {
        self.0.lock().unwrap().remove(account);
        Ok(())
    }
}

/// A vault in the making, and what opens it.
pub(super) struct Making {
    pub(super) dir: tempfile::TempDir,
    items: Items,
    pub(super) vault: UnlockedVault,
    minute: i64,
    code: String,
    passphrase: &'static str,
}

pub(super) fn actor() -> Actor {
    Actor {
        program: "vectors".into(),
        pid: 4242,
        uid: 1000,
        host: "h".into(),
        parent: Some("sh".into()),
    }
}

pub(super) fn sources<'k>(dir: &Path, keychain: &'k dyn Keychain) -> KeySources<'k> {
    KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: dir.join("keys"),
        keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    }
}

impl Making {
    pub(super) fn new() -> Self {
        let (dir, items) = (tempfile::tempdir().unwrap(), Items::default());
        let choice = KeyChoice::Only(NewKey::Keyfile);
        let clock = Clock::Fixed(UnixMs::from_ms(START));
        let made = create(
            &dir.path().join("vault.db"),
            &choice,
            &sources(dir.path(), &items),
            &actor(),
            clock,
        );
        let vault = made.unwrap().unwrap().vault;
        Self {
            dir,
            items,
            vault,
            minute: 0,
            code: String::new(),
            passphrase: PASSPHRASE,
        }
    }

    pub(super) fn clock(&mut self) -> Clock {
        self.minute += 1;
        Clock::Fixed(UnixMs::from_ms(START + self.minute * 60_000))
    }

    pub(super) fn put(&mut self, profile: &str, entry: &Value, kind: EventKind) {
        let clock = self.clock();
        let mut tx = self.vault.begin(&actor(), clock).unwrap();
        let note = ChangeNote::new(kind, Origin::Clawkeep);
        tx.put_profile(&AgentName::default(), &ProfileId::new(profile), entry, note)
            .unwrap();
        tx.commit().unwrap();
    }

    /// Order, last good and usage.
    pub(super) fn put_sections(&mut self, order: &[&str], errors: i64) {
        let clock = self.clock();
        let before = self.vault.agent(&AgentName::default()).unwrap().doc;
        let mut root = before.expose_secret().clone();
        root.insert("order".to_owned(), json!({"openai": order}));
        root.insert("lastGood".to_owned(), json!({"openai": OPENAI}));
        root.insert(
            "usageStats".to_owned(),
            json!({OPENAI: {"lastUsed": START, "errorCount": errors}}),
        );
        root.insert("unknown".to_owned(), json!(["kept"]));
        let after = StoreDoc::from_json(Value::Object(root)).unwrap();
        let mut tx = self.vault.begin(&actor(), clock).unwrap();
        tx.put_sections(&AgentName::default(), &before, &after)
            .unwrap();
        let event = EventDraft::new(EventKind::OrderSet, Origin::Clawkeep);
        tx.append(
            Some(&AgentName::default()),
            event.detail("provider", "openai"),
        )
        .unwrap();
        tx.commit().unwrap();
    }

    pub(super) fn pin_and_export(&mut self) {
        let clock = self.clock();
        let agent = AgentName::default();
        let mut tx = self.vault.begin(&actor(), clock).unwrap();
        let endpoint = Endpoint {
            origin: "https://example.org".into(),
            client_id: "client".into(),
        };
        tx.pin_endpoint(&agent, &ProfileId::new(WORK), &endpoint)
            .unwrap();
        let content = Exported::Bytes(b"{\"version\":1,\"profiles\":{}}");
        tx.put_export(
            Path::new("/nowhere/auth-profiles.json"),
            &agent,
            (ExportState::Written, 1),
            content,
        )
        .unwrap();
        tx.append(
            Some(&agent),
            EventDraft::new(EventKind::EndpointTrusted, Origin::Clawkeep),
        )
        .unwrap();
        tx.commit().unwrap();
    }

    /// A pinned session, and the refresh states of the login's token and of one that is dead.
    fn pin_session_and_grants(&mut self) {
        let clock = self.clock();
        let own = self.vault.fingerprint("sk-test-refresh");
        let actor = actor();
        let mut tx = self.vault.begin(&actor, clock).unwrap();
        for (print, state) in [(own, GrantState::Free), (DEAD, GrantState::Dead)] {
            let grant = Grant {
                state,
                fence: 2,
                ..Grant::default()
            };
            tx.set_grant(print, &grant).unwrap();
        }
        tx.pin_session(
            &AgentName::default(),
            "s1",
            &ProviderId::new("openai"),
            &ProfileId::new(OPENAI),
        )
        .unwrap();
        tx.commit().unwrap();
    }

    pub(super) fn add_keys(&mut self) {
        for new in [
            NewKey::Passphrase(PASSPHRASE.into()),
            NewKey::Recovery,
            NewKey::Keychain,
        ] {
            let clock = self.clock();
            let sources = sources(self.dir.path(), &self.items);
            let added = self.vault.add_key(&new, &sources, &actor(), clock).unwrap();
            if let Some(code) = added.code {
                code.expose_secret().clone_into(&mut self.code);
            }
        }
    }

    pub(super) fn rotate(&mut self) {
        let clock = self.clock();
        self.vault
            .rotate(RotationScope::DataKey, &actor(), clock)
            .unwrap();
        let clock = self.clock();
        self.passphrase = "made up anew for vectors";
        let passphrases = BTreeMap::from([(2, self.passphrase.into())]);
        let shown = RefCell::new(String::new());
        let scope = RotationScope::Everything {
            sources: &sources(self.dir.path(), &self.items),
            passphrases: &passphrases,
            show: &|_, code| {
                code.expose_secret().clone_into(&mut shown.borrow_mut());
                Ok(())
            },
        };
        self.vault.rotate(scope, &actor(), clock).unwrap();
        self.code = shown.into_inner();
    }

    pub(super) fn path(&self) -> PathBuf {
        self.dir.path().join("vault.db")
    }

    fn id(&self) -> String {
        self.vault.id().to_string()
    }

    /// What opens it, as cases have it; its key file is copied beside them.
    pub(super) fn given(&self) -> Value {
        let name = format!("{}.key", self.id());
        fs::copy(
            self.dir.path().join("keys").join(&name),
            dir().join("vaults").join(&name),
        )
        .unwrap();
        let items = self.items.0.lock().unwrap();
        let keychain: BTreeMap<&String, String> = items
            .iter()
            .map(|(account, item)| (account, hex(item)))
            .collect();
        json!({"keyfiles": [name], "passphrase": self.passphrase, "recovery": self.code,
            "keychain": keychain})
    }
}

/// Works on a vault's tables as somebody would who can write it, the triggers out of the way and
/// back afterwards.
pub(super) fn alter(path: &Path, work: impl FnOnce(&Connection)) {
    let conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    let mut select = conn
        .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
        .unwrap();
    let rows = select
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
        .unwrap();
    let triggers: Vec<(String, String)> = rows.collect::<Result<_, _>>().unwrap();
    drop(select);
    for (name, _) in &triggers {
        conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
    }
    work(&conn);
    for (_, sql) in &triggers {
        conn.execute_batch(sql).unwrap();
    }
}

/// A sealed cell as it was, and the number that it was bound to.
pub(super) type Older = (Vec<u8>, i64);

/// What was in the vault earlier, to be put back.
pub(super) struct Earlier {
    /// The row of the first credential.
    pub(super) row: Older,
    /// The agent's frame.
    pub(super) frame: Older,
    /// The root of the listings, and the number of the event that it was bound to.
    pub(super) root: Older,
}

pub(super) fn filled() -> (Making, Earlier) {
    let mut making = Making::new();
    let key = |key: &str| json!({"type": "api_key", "provider": "openai", "key": key});
    let login = json!({"type": "oauth", "provider": "anthropic", "access": "sk-test-access",
        "refresh": "sk-test-refresh",
        "expires": 4_000_000_000_000_i64, "email": "a@example.org"});
    making.put(OPENAI, &key("sk-test-openai-1"), EventKind::ProfileCreated);
    making.put(WORK, &login, EventKind::ProfileCreated);
    let conn = Connection::open(making.path()).unwrap();
    let pair = |sql: &str| {
        conn.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
    };
    let row = pair("SELECT sealed, generation FROM profiles ORDER BY id LIMIT 1");
    making.put(OPENAI, &key("sk-test-openai-2"), EventKind::ProfileUpdated);
    making.pin_and_export();
    making.put_sections(&["openai:default"], 1);
    let frame = pair("SELECT frame, revision FROM agents");
    let root = pair(
        "SELECT sealed, (SELECT max(seq) FROM events) FROM listings WHERE owner = 0 AND part = \
         'root'",
    );
    drop(conn);
    making.put_sections(&["openai:default", "openai:spare"], 0);
    making.add_keys();
    making.pin_session_and_grants();
    (making, Earlier { row, frame, root })
}
