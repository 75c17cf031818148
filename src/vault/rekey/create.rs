//! Making a vault: built whole under another name, its key kept first, then renamed into place.
//! What stands at the vault's path is complete; an empty file there is damage.

use std::cell::Cell;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use zeroize::Zeroizing;

use crate::audit::{EventDraft, EventKind, Origin};
use crate::crypto::{
    AuditKey, DataKey, Epoch, FingerprintKey, RecoveryCode, SlotKind, SlotRecord, WrappedKeys,
    random_bytes,
};
use crate::domain::{UnixMs, VaultId};
use crate::platform::{
    Actor, Clock, RemoveOutcome, create_private_file, exists, remove_if_present, rename_durably,
};
use crate::vault::error::{Context, KeyProblem, VaultError};
use crate::vault::file::connect::{APPLICATION_ID, connect};
use crate::vault::file::journal::set_journal;
use crate::vault::file::paths::{lock, make_dir_for, set_journals_aside};
use crate::vault::file::schema;
use crate::vault::file::vault::Vault;
use crate::vault::keys::keep::{Kept, NewKey, keep, keep_in_keychain};
use crate::vault::keys::slots;
use crate::vault::keys::sources::{KeySources, OpenedBy};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::sealing::ring::{AUDIT, FINGERPRINT, RecordKey, put_record_key};
use crate::vault::store::changed_rows::Listed;

/// Where a new vault's key goes.
#[derive(Clone, Debug)]
pub enum KeyChoice {
    /// The keychain if one answers, else a key file.
    Automatic,
    /// The key is kept there and nowhere else.
    Only(NewKey),
}

/// A vault that was just made.
#[derive(Debug)]
pub struct Created {
    /// The new vault, which is unlocked.
    pub vault: UnlockedVault,
    /// The kind of the slot that has the key.
    pub kind: SlotKind,
    /// The key file, if there is one.
    pub keyfile: Option<PathBuf>,
    /// The recovery code, where that is its key; it is kept nowhere.
    pub code: Option<RecoveryCode>,
    /// Why the keychain was not taken, where it was to be.
    pub no_keychain: Option<KeyProblem>,
}

/// Makes a vault at `path` unless another process just did: `Ok(None)` then, and it can be opened.
///
/// # Errors
/// When its key cannot be kept or the file cannot be made. Neither vault nor key is left behind
/// then.
pub fn create(
    path: &Path,
    choice: &KeyChoice,
    sources: &KeySources<'_>,
    actor: &Actor,
    clock: Clock,
) -> Result<Option<Created>, VaultError> {
    let path = make_dir_for(path)?.join(path.file_name().unwrap_or_default());
    let _lock = lock(&path)?;
    if exists(&path) {
        return Ok(None);
    }
    set_journals_aside(&path)?;
    let draft = Draft::new(path)?;
    let (kept, no_keychain) = keep_first(choice, sources, draft.id)?;
    let built = draft.build(&kept, actor, clock);
    draft.discard(); // or what SQLite could not remove beside it
    // The last step can fail with the vault in place: its key stays then.
    if built.is_err() && !exists(&draft.path) {
        kept.discard(sources, draft.id);
    }
    let data = built?;
    let vault = Vault::open(&draft.path)?.with_data_key(data, first_slot(&kept))?;
    Ok(Some(Created {
        vault,
        kind: kept.kind,
        keyfile: kept.keyfile,
        code: kept.code,
        no_keychain,
    }))
}

/// Keeps the first slot's key, before anything is sealed under it, and says why the keychain was
/// not taken where it was to be.
fn keep_first(
    choice: &KeyChoice,
    sources: &KeySources<'_>,
    vault: VaultId,
) -> Result<(Kept, Option<KeyProblem>), VaultError> {
    match choice {
        KeyChoice::Only(new) => Ok((keep(new, sources, vault)?, None)),
        KeyChoice::Automatic => match keep_in_keychain(sources.keychain, vault) {
            Ok(kept) => Ok((kept, None)),
            Err(error) => Ok((keep(&NewKey::Keyfile, sources, vault)?, Some(error.into()))),
        },
    }
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
        // what a killed process left; nobody else works on it while we hold the lock
        draft.discard();
        Ok(draft)
    }

    fn discard(&self) {
        for suffix in ["", "-wal", "-shm", "-journal"] {
            let mut name = self.temporary.clone().into_os_string();
            name.push(suffix);
            // create_new then reports what is left
            let _: Result<RemoveOutcome, _> = remove_if_present(Path::new(&name));
        }
    }

    fn build(&self, kept: &Kept, actor: &Actor, clock: Clock) -> Result<DataKey, VaultError> {
        create_private_file(&self.temporary)?;
        let mut conn = connect(&self.temporary)?;
        conn.pragma_update(None, "application_id", APPLICATION_ID)
            .at(&self.temporary, "create")?;
        schema::migrate(&mut conn, &self.temporary)?;
        // Later migrations drop tables of earlier ones: no vault begins with unused pages.
        conn.execute_batch("VACUUM").at(&self.temporary, "create")?;
        let data = self.write_identity(&conn, kept, clock.now())?;
        let vault = Vault {
            conn,
            path: self.temporary.clone(),
            id: self.id,
            epoch: Epoch(1),
            read_only: None,
            durable: Cell::default(),
            _snapshot: None,
        };
        let mut unlocked = vault.with_data_key(data.clone(), first_slot(kept))?;
        let mut tx = unlocked.begin_with(Listed::AnewBut(Vec::new()), actor, clock)?;
        let event = EventDraft::new(EventKind::VaultCreated, Origin::Clawkeep);
        tx.append(
            None,
            event
                .detail("vault", self.id.to_string())
                .detail("key", kept.kind.as_str()),
        )?;
        tx.commit()?;
        let conn = unlocked.vault.conn;
        set_journal(&conn, &self.temporary, "create")?;
        conn.close()
            .map_err(|(_, error)| error)
            .at(&self.temporary, "create")?;
        rename_durably(&self.temporary, &self.path)?;
        Ok(data)
    }

    fn write_identity(
        &self,
        conn: &Connection,
        kept: &Kept,
        now: UnixMs,
    ) -> Result<DataKey, VaultError> {
        let (vault, epoch) = (self.id, Epoch(1));
        let data = DataKey::generate()?;
        let name = (1, kept.kind, kept.kdf.as_deref());
        let wrapped = WrappedKeys::new(vault, epoch, name, &data, &kept.key)?;
        let slot = SlotRecord {
            slot: 1,
            kind: kept.kind,
            key_id: kept.key_id,
            check: kept.key.check_value(vault),
            kdf: kept.kdf.clone(),
            wrapped: wrapped.data_key,
        };
        let seal = data.seal_key(vault, epoch);
        let sealed = |purpose, key: &[u8; 32]| {
            let key = RecordKey {
                number: 1,
                key: Zeroizing::new(key.to_vec()),
                begins: None,
            };
            key.seal(&seal, vault, (purpose, 1))
        };
        let audit = sealed(AUDIT, AuditKey::generate()?.expose_secret())?;
        let prints = sealed(FINGERPRINT, FingerprintKey::generate()?.expose_secret())?;
        let write = || {
            conn.execute(
                "INSERT INTO identity (only, vault_id, epoch, created_at) VALUES (1, ?1, ?2, ?3)",
                params![vault.0, epoch.0, now.0],
            )?;
            put_record_key(conn, (AUDIT, 1), &audit, now)?;
            put_record_key(conn, (FINGERPRINT, 1), &prints, now)?;
            slots::insert(conn, &slot, &wrapped.slot_key, now)
        };
        write().at(&self.temporary, "create")?;
        Ok(data)
    }
}

fn first_slot(kept: &Kept) -> OpenedBy {
    OpenedBy {
        slot: 1,
        kind: kept.kind,
        key: kept.key.clone(),
    }
}
