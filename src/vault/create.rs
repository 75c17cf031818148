//! Making a vault: built whole under another name, its key kept first, then renamed into place. So whatever stands at the
//! vault's path is complete, and an empty file there is damage, never a beginning.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use super::error::{Context, KeyProblem, VaultError};
use super::file::{APPLICATION_ID, Vault, connect, lock, trusted_dir};
use super::unlock::{KeySources, UnlockedVault, seal_record_key};
use super::{key_slots, schema};
use crate::audit::{EventDraft, EventKind, Origin};
use crate::crypto::{
    AuditKey, DataKey, Epoch, FingerprintKey, SlotKey, SlotKind, SlotRecord, WrappedKeys,
    random_bytes,
};
use crate::domain::{KeyId, UnixMs, VaultId};
use crate::platform::{
    Actor, Clock, RemoveOutcome, check_trusted, create_private_dir, create_private_file, exists,
    remove_if_present, rename_durably,
};

/// Where a new vault's key goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyChoice {
    /// The keychain if one answers, else a key file.
    Automatic,
    /// There and nowhere else.
    Only(SlotKind),
}

/// A vault that was just made.
#[derive(Debug)]
pub struct Created {
    /// The vault, unlocked.
    pub vault: UnlockedVault,
    /// Where its key went.
    pub kind: SlotKind,
    /// The key file, if there is one.
    pub keyfile: Option<PathBuf>,
    /// Why the keychain was not taken, where it was to be.
    pub no_keychain: Option<KeyProblem>,
}

/// Makes a vault at `path` unless another process just did: `Ok(None)` then, and it can be opened.
///
/// # Errors
/// When its key cannot be kept or the file cannot be made. Neither vault nor key is left behind then.
pub fn create(
    path: &Path,
    choice: KeyChoice,
    sources: &KeySources<'_>,
    actor: &Actor,
    clock: Clock,
) -> Result<Option<Created>, VaultError> {
    if let Some(dir) = path.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        check_ancestor(dir)?;
        create_private_dir(dir)?;
    }
    let path = trusted_dir(path)?.join(path.file_name().unwrap_or_default());
    let _lock = lock(&path)?;
    if exists(&path) {
        return Ok(None);
    }
    set_journals_aside(&path)?;
    let draft = Draft::new(path)?;
    let slot_key = SlotKey::generate()?;
    let kept = keep_key(&slot_key, choice, sources, &draft)?;
    let built = draft.build(&kept.key, kept.kind, kept.key_id, actor, clock);
    if built.is_err() {
        draft.discard();
        // The last step can fail with the vault in place: its key stays then.
        if !exists(&draft.path) {
            kept.discard(sources, draft.id);
        }
    }
    let data = built?;
    let vault = Vault::open(&draft.path)?.with_data_key(data)?;
    Ok(Some(Created {
        vault,
        kind: kept.kind,
        keyfile: kept.keyfile,
        no_keychain: kept.no_keychain,
    }))
}

/// Directories made for a vault belong to who makes them: root's in another user's home (`sudo`) would lock that user out.
fn check_ancestor(dir: &Path) -> Result<(), VaultError> {
    let existing = dir.ancestors().find_map(|dir| dir.canonicalize().ok());
    Ok(existing.map_or(Ok(()), |dir| check_trusted(&dir, 0))?)
}

/// A vault that was moved away may have left its write-ahead log: SQLite would replay it into the new one.
fn set_journals_aside(vault: &Path) -> Result<(), VaultError> {
    let beside = |suffix: &str| {
        let mut name = vault.as_os_str().to_owned();
        name.push(suffix);
        PathBuf::from(name)
    };
    remove_if_present(&beside("-shm"))?; // an index of the log, which SQLite makes anew
    for suffix in ["-wal", "-journal"] {
        let journal = beside(suffix);
        if exists(&journal) {
            let numbered = (1..).map(|n| beside(&format!("{suffix}.aside-{n}")));
            let aside = numbered.into_iter().find(|name| !exists(name));
            rename_durably(&journal, &aside.unwrap_or_else(|| beside(".aside")))?;
        }
    }
    Ok(())
}

impl Kept {
    /// Takes back a key that nothing was sealed under after all. A key that was provided stays.
    fn discard(&self, sources: &KeySources<'_>, vault: VaultId) {
        // The error that led here is the one to tell; a key left behind opens nothing.
        match (self.kind, &self.keyfile) {
            (SlotKind::Keychain, _) => {
                let _ = sources
                    .keychain
                    .delete(&key_slots::account(vault, self.key_id));
            }
            (SlotKind::Keyfile, Some(path)) if !self.provided => {
                let _ = remove_if_present(path);
            }
            (SlotKind::Keyfile, _) => {}
        }
    }
}

struct Kept {
    key: SlotKey,
    provided: bool,
    key_id: KeyId,
    kind: SlotKind,
    keyfile: Option<PathBuf>,
    no_keychain: Option<KeyProblem>,
}

/// Keeps the first slot's key, before anything is sealed under it.
fn keep_key(
    key: &SlotKey,
    choice: KeyChoice,
    sources: &KeySources<'_>,
    draft: &Draft,
) -> Result<Kept, VaultError> {
    let key_id = KeyId(random_bytes()?);
    let mut no_keychain = None;
    if choice != KeyChoice::Only(SlotKind::Keyfile) {
        match key_slots::into_keychain(sources.keychain, draft.id, key_id, key) {
            Ok(()) => {
                let kind = SlotKind::Keychain;
                return Ok(Kept {
                    key: key.clone(),
                    provided: false,
                    key_id,
                    kind,
                    keyfile: None,
                    no_keychain,
                });
            }
            Err(error) if choice == KeyChoice::Automatic => no_keychain = Some(error.into()),
            Err(error) => return Err(VaultError::KeyNotKept(error.into())),
        }
    }
    let (key, path, provided) = keep_in_file(key, sources, draft.id)?;
    Ok(Kept {
        key,
        provided,
        key_id,
        kind: SlotKind::Keyfile,
        keyfile: Some(path),
        no_keychain,
    })
}

/// A key file that the user or the service manager provides is used as it is; else a new one is written.
fn keep_in_file(
    key: &SlotKey,
    sources: &KeySources<'_>,
    vault: VaultId,
) -> Result<(SlotKey, PathBuf, bool), VaultError> {
    for (path, forbidden) in [
        (&sources.named_keyfile, 0o077),
        (&sources.credential_keyfile, 0o022),
    ] {
        let Some(path) = path else { continue };
        if let Some(provided) =
            key_slots::from_file(path, forbidden).map_err(VaultError::KeyNotKept)?
        {
            return Ok((provided, path.clone(), true));
        }
    }
    let path = sources
        .named_keyfile
        .clone()
        .unwrap_or_else(|| sources.own_keyfile(vault));
    key_slots::into_file(&path, vault, key)
        .map_err(|error| VaultError::KeyNotKept(error.into()))?;
    Ok((key.clone(), path, false))
}

/// A vault in the making.
struct Draft {
    path: PathBuf,
    temporary: PathBuf,
    id: VaultId,
}

impl Draft {
    fn new(path: PathBuf) -> Result<Self, VaultError> {
        let mut temporary = path.clone().into_os_string();
        temporary.push(".new");
        let draft = Self {
            path,
            temporary: temporary.into(),
            id: VaultId(random_bytes()?),
        };
        draft.discard(); // what a killed process left; nobody else works on it while we hold the lock
        Ok(draft)
    }

    fn discard(&self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.temporary.clone().into_os_string();
            name.push(suffix);
            let _: Result<RemoveOutcome, _> = remove_if_present(Path::new(&name)); // create_new then tells what is left
        }
    }

    fn build(
        &self,
        slot_key: &SlotKey,
        kind: SlotKind,
        key_id: KeyId,
        actor: &Actor,
        clock: Clock,
    ) -> Result<DataKey, VaultError> {
        create_private_file(&self.temporary)?;
        let mut conn = connect(&self.temporary)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)
            .at(&self.temporary, "create")?;
        schema::migrate(&mut conn, &self.temporary)?;
        // Later migrations drop tables of earlier ones: no vault begins with pages that nothing is in.
        conn.execute_batch("VACUUM").at(&self.temporary, "create")?;
        let data = self.write_identity(&conn, slot_key, (kind, key_id), clock.now())?;
        let vault = Vault {
            conn,
            path: self.temporary.clone(),
            id: self.id,
            epoch: Epoch(1),
        };
        let mut unlocked = vault.with_data_key(data.clone())?;
        let mut tx = unlocked.begin(actor, clock)?;
        let event = EventDraft::new(EventKind::VaultCreated, Origin::Clawkeep);
        tx.append(
            None,
            event
                .detail("vault", self.id.to_string())
                .detail("key", kind.as_str()),
        )?;
        tx.commit()?;
        let conn = unlocked.vault.conn;
        conn.pragma_update(None, "journal_mode", "WAL")
            .at(&self.temporary, "create")?;
        conn.close()
            .map_err(|(_, error)| error)
            .at(&self.temporary, "create")?;
        rename_durably(&self.temporary, &self.path)?;
        Ok(data)
    }

    fn write_identity(
        &self,
        conn: &Connection,
        slot_key: &SlotKey,
        (kind, key_id): (SlotKind, KeyId),
        now: UnixMs,
    ) -> Result<DataKey, VaultError> {
        let (vault, epoch) = (self.id, Epoch(1));
        let data = DataKey::generate()?;
        let slot = SlotRecord {
            slot: 1,
            kind,
            key_id,
            check: slot_key.check_value(vault),
            wrapped: Vec::new(),
        };
        let wrapped = WrappedKeys::new(vault, epoch, (slot.slot, kind), &data, slot_key)?;
        let insert =
            "INSERT INTO record_keys (purpose, number, created_at, sealed) VALUES (?1, 1, ?2, ?3)";
        let audit = seal_record_key(
            &data,
            (vault, epoch),
            ("audit", 1),
            AuditKey::generate()?.expose_secret(),
        )?;
        let prints = FingerprintKey::generate()?;
        let prints = seal_record_key(
            &data,
            (vault, epoch),
            ("fingerprint", 1),
            prints.expose_secret(),
        )?;
        let write = || {
            conn.execute(
                "INSERT INTO vault (only, vault_id, epoch, created_at) VALUES (1, ?1, ?2, ?3)",
                params![vault.0, epoch.0, now.0],
            )?;
            conn.execute(insert, params!["audit", now.0, audit])?;
            conn.execute(insert, params!["fingerprint", now.0, prints])?;
            key_slots::insert(conn, &slot, &wrapped, now)
        };
        write().at(&self.temporary, "create")?;
        Ok(data)
    }
}
