//! Putting a backup back: proved first, beside the vault; then in its place, in one step, with what
//! is newer in the vault that it replaces.

use std::cell::Cell;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::carry::{Carried, Known, Replaced, carry_over};
use super::copy::{Examined, copy, examine};
use crate::audit::{EventDraft, EventKind, Head, Origin};
use crate::domain::{VaultId, from_outside, path_text};
use crate::platform::{
    Actor, Clock, FileError, create_private_file, exists, is_same_file, open_regular,
    remove_if_present, rename_durably, resolve_link, sync_dir, sync_file,
};
use crate::vault::error::{BackupError, Context, VaultError};
use crate::vault::file::connect::{check_application, connect, identity};
use crate::vault::file::journal::{
    Log, LogState, connect_alone, empty_log, make_durable, set_journal,
};
use crate::vault::file::paths::{
    free_name, lock, make_dir_for, parent, remove_copy, set_journals_aside, with_suffix,
};
use crate::vault::file::schema;
use crate::vault::file::vault::{Vault, check_header, has_journal};
use crate::vault::keys::sources::{KeptHead, KeySources, OpenedBy};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::events;
use crate::vault::rekey::rotate::AfterRestore;
use crate::vault::sealing::listing::Part;
use crate::vault::store::proof::Altered;

/// What the name of a vault that was replaced ends in, before the time.
const REPLACED: &str = ".replaced-";
/// What its name ends in while it is copied.
const REPLACED_COPY: &str = ".replaced-tmp";
/// How often a restore begins again because another process writes into the vault.
const ROUNDS_MAX: usize = 5;
/// Bytes that are copied at once.
const BLOCK: usize = 1 << 20;

/// Whether a failed check stops a restore.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreChecks {
    /// A failed check stops the restore.
    Enforce,
    /// Restores a backup of another vault, one with rows that do not open, and one in place of a
    /// file that is not a vault.
    Override,
}

/// The result of a restore.
#[derive(Debug)]
pub struct Restored {
    /// What was in the backup.
    pub backup: Examined,
    /// The end of the record of the vault that was replaced, where that could be read.
    pub abandoned: Option<Head>,
    /// Where the vault that was replaced is kept.
    pub kept: Option<PathBuf>,
    /// Why nothing was imported from the replaced vault.
    pub unread: Option<VaultError>,
    /// What was imported from the replaced vault.
    pub carried: Carried,
    /// Whether its data key was replaced. Where not, what refreshes left beside the vault may be
    /// sealed under the one that it has: that is to be taken in first, and the key replaced then.
    pub is_rekeyed: bool,
    /// What became of the log of the vault that was replaced.
    pub log: LogState,
    /// What is there now, opened by the known key; `None` where that fails just now.
    pub vault: Option<UnlockedVault>,
}

/// Proves the backup at `from`, wherever it lies. Nothing is written.
pub fn verify_backup(from: &Path, sources: &KeySources<'_>) -> Result<Examined, BackupError> {
    Ok(examine(Vault::open_copy(from)?, sources)?.1)
}

/// Replaces the vault at `to` with the backup at `from`. The backup is verified first: its file,
/// its record, a key that opens it, every sealed cell. The vault that it replaces is kept beside
/// it. If that vault does not show its record, `kept_head` says what is abandoned.
///
/// # Errors
/// What is wrong with the backup, or what stands in the way. The vault is as it was then.
pub fn restore(
    from: &Path,
    to: &Path,
    checks: RestoreChecks,
    sources: &KeySources<'_>,
    kept_head: KeptHead<'_>,
    (actor, clock): (&Actor, Clock),
) -> Result<Restored, BackupError> {
    let to = make_dir_for(to)?.join(to.file_name().unwrap_or_default());
    if is_same_file(from, &to) {
        return Err(BackupError::Itself { path: to });
    }
    // one of an earlier version is upgraded, under the lock too; what is wrong shows below
    drop(Vault::open(&to));
    let _lock = lock(&to)?;
    for _ in 0..ROUNDS_MAX {
        let scratch = with_suffix(&to, ".new");
        // Of a process that was killed; nobody else works on these while we hold the lock.
        remove_copy(&scratch);
        remove_copy(&with_suffix(&to, REPLACED_COPY));
        let work = Restoring {
            from,
            to: &to,
            scratch: &scratch,
            checks,
            sources,
            kept_head,
            actor,
            clock,
        };
        let done = work.run();
        remove_copy(&scratch);
        if let Some((restored, opened_by)) = done? {
            let vault = Vault::open(&to).ok();
            let vault = vault.and_then(|vault| vault.unlock_with(&opened_by));
            return Ok(Restored { vault, ..restored });
        }
    }
    Err(VaultError::Busy { path: to }.into())
}

struct Restoring<'r> {
    from: &'r Path,
    to: &'r Path,
    scratch: &'r Path,
    checks: RestoreChecks,
    sources: &'r KeySources<'r>,
    kept_head: KeptHead<'r>,
    actor: &'r Actor,
    clock: Clock,
}

/// The vault that is to be replaced.
enum Old {
    /// There is no vault to replace.
    Absent,
    /// It opens, and so do its secrets.
    Unlocked(Box<UnlockedVault>),
    /// It opens, and no key of it is to be had.
    Locked(Box<Vault>, VaultError),
    /// The vault to replace is damaged.
    Damaged(VaultError),
}

impl Old {
    fn id(&self) -> Option<VaultId> {
        match self {
            Self::Unlocked(vault) => Some(vault.id),
            Self::Locked(vault, _) => Some(vault.id),
            Self::Absent | Self::Damaged(_) => None,
        }
    }

    fn vault(&self) -> Option<&Vault> {
        match self {
            Self::Unlocked(vault) => Some(vault),
            Self::Locked(vault, _) => Some(vault),
            Self::Absent | Self::Damaged(_) => None,
        }
    }
}

impl Restoring<'_> {
    /// One round; nothing if the vault to be replaced was written meanwhile.
    fn run(&self) -> Result<Option<(Restored, OpenedBy)>, BackupError> {
        let (mut new, backup) = draft(self.from, self.scratch)
            .and_then(|draft| examine(draft, self.sources))
            .map_err(|error| error.said_of(self.from))?;
        if self.checks == RestoreChecks::Enforce
            && let Some(row) = backup.unopened.first()
        {
            return Err(VaultError::Unopened { row: row.clone() }.into());
        }
        let old = self.old(&new)?;
        let is_other = old.id().is_some_and(|id| id != new.id);
        if is_other && self.checks == RestoreChecks::Enforce {
            return Err(BackupError::OtherVault {
                found: new.id,
                own: old.id().unwrap_or(new.id),
            });
        }
        // First of all: what others commit from here on makes it another one.
        let expected = old.vault().map(Vault::data_version).transpose()?;
        if let Old::Unlocked(old) = &old
            && !old.started_refreshes()?.is_empty()
        {
            return Err(VaultError::RefreshUnderWay.into()); // it would bring its tokens to nobody
        }
        let kept = (self.kept_head)(new.id);
        // A vault that was put back there does not know what became of its logins since.
        let later = match (old.vault(), kept) {
            (Some(vault), Some(kept)) if !is_other => {
                let is_known = vault.has_event_of(&kept)? || vault.has_abandoned(&kept)?;
                (!is_known).then_some(kept)
            }
            _ => None,
        };
        let abandoned = match old.vault() {
            Some(_) if later.is_some() => later,
            Some(vault) => vault.head()?,
            None => match kept {
                Some(head) if !new.has_event_of(&head)? => Some(head),
                _ => None,
            },
        };
        let kept =
            (!matches!(old, Old::Absent)).then(|| free_name(self.to, REPLACED, self.clock.now()));
        let known = match (is_other, later) {
            (true, _) => Known::Nothing,
            (false, Some(_)) => Known::Earlier,
            (false, None) => Known::Everything,
        };
        let (carried, is_rekeyed) =
            self.prepare(&mut new, (&old, known), abandoned, kept.as_deref())?;
        let opened_by = new.opened_by.clone();
        close(new)?;
        let (log, unread) = match (old, &kept) {
            (Old::Unlocked(old), Some(kept)) => (self.put_into(old.vault, expected, kept)?, None),
            (Old::Locked(old, error), Some(kept)) => {
                (self.put_into(*old, expected, kept)?, Some(error))
            }
            (Old::Damaged(error), Some(kept)) => {
                self.put_aside(kept)?;
                (Some(LogState::Emptied), Some(error))
            }
            _ => {
                set_journals_aside(self.to)?;
                rename_durably(self.scratch, self.to)?;
                (Some(LogState::Emptied), None)
            }
        };
        let Some(log) = log else {
            return Ok(None);
        };
        let restored = Restored {
            backup,
            abandoned,
            kept,
            unread,
            carried,
            is_rekeyed,
            log,
            vault: None,
        };
        Ok(Some((restored, opened_by)))
    }

    fn old(&self, new: &UnlockedVault) -> Result<Old, BackupError> {
        let vault = match Vault::open(self.to) {
            Ok(vault) => vault,
            Err(VaultError::Absent { .. }) => return Ok(Old::Absent),
            // The user may have named the wrong file.
            Err(VaultError::Foreign { path }) if self.checks == RestoreChecks::Enforce => {
                return Err(BackupError::NoVaultThere { path });
            }
            Err(error @ (VaultError::Damaged { .. } | VaultError::Foreign { .. })) => {
                return Ok(Old::Damaged(error));
            }
            Err(error) => return Err(error.into()),
        };
        let fault = match vault.integrity_faults() {
            Ok(faults) => faults.into_iter().next(),
            Err(error @ VaultError::Damaged { .. }) => return Ok(Old::Damaged(error)),
            Err(error) => return Err(error.into()),
        };
        if let Some(what) = fault {
            let path = self.to.to_owned();
            return Ok(Old::Damaged(VaultError::Damaged { path, what }));
        }
        // With the backup's key, if that is its own too: nobody is asked twice.
        let unlocked = match vault.unlock_with(&new.opened_by) {
            Some(unlocked) => unlocked.upgraded(&self.sources.upgrade),
            None => match Vault::open(self.to)?.unlock(self.sources) {
                // What was named is the backup's. The vault's own may be where it is kept.
                Err(error @ VaultError::NoKey { .. }) => Vault::open(self.to)?
                    .unlock(&KeySources {
                        named_keyfile: None,
                        credential_keyfile: None,
                        keyfile_dir: self.sources.keyfile_dir.clone(),
                        keychain: self.sources.keychain,
                        secrets: None,
                        upgrade: self.sources.upgrade,
                    })
                    .map_err(|_| error),
                unlocked => unlocked,
            },
        };
        match unlocked {
            Ok(unlocked) => Ok(Old::Unlocked(Box::new(unlocked))),
            Err(
                error @ (VaultError::NoKey { .. }
                | VaultError::Unopened { .. }
                | VaultError::Damaged { .. }),
            ) => Ok(Old::Locked(Box::new(Vault::open(self.to)?), error)),
            Err(error) => Err(error.into()),
        }
    }

    /// Makes the copy what the vault is to be: what is newer, marked grants, a record of it.
    fn prepare(
        &self,
        new: &mut UnlockedVault,
        (old, known): (&Old, Known),
        abandoned: Option<Head>,
        kept: Option<&Path>,
    ) -> Result<(Carried, bool), BackupError> {
        let source = match old {
            Old::Unlocked(vault) if known != Known::Nothing => Replaced::Unlocked(vault),
            Old::Locked(vault, _) if known != Known::Nothing => Replaced::Locked(vault),
            _ => Replaced::Nothing,
        };
        let mut tx = new.begin(self.actor, self.clock)?;
        // Only with `RestoreChecks::Override`. Rows without a secret are then taken as they are.
        let (lost, taken): (Vec<Altered>, Vec<Altered>) =
            tx.altered_rows()?.into_iter().partition(|row| {
                let is_frame_lost = || row.part == Part::Agents && !tx.has_frame_of(&row.key);
                matches!(
                    row.part,
                    Part::Profiles | Part::Versions | Part::Usage | Part::KeySlots
                ) || is_frame_lost()
            });
        tx.list_anew_but(lost);
        tx.distrust_grants(&taken)?;
        let carried = carry_over(&mut tx, source, known)?;
        tx.forget_exports()?;
        let hex = |mac: &[u8; 32]| data_encoding::HEXLOWER.encode(mac);
        let shown = |path: &Path| from_outside(&path_text(path));
        let mut event = EventDraft::new(EventKind::BackupRestored, Origin::Clawkeep)
            .detail("path", shown(self.from))
            .detail("takenOver", carried.credentials.len())
            .detail("uncertain", carried.uncertain.len());
        if let Some(head) = abandoned {
            event = event
                .detail("abandonedSeq", head.seq.0)
                .detail("abandonedMac", hex(&head.mac));
            if known == Known::Nothing {
                event = event.detail("abandonedVault", head.vault.to_string());
            }
        }
        if let Some(kept) = kept {
            event = event.detail("kept", shown(kept));
        }
        tx.append(None, event)?;
        tx.commit()?;
        // Rows of the vault that is replaced are of the same generations as those to come: under
        // another key they do not open here.
        let after = match source {
            Replaced::Unlocked(old) => Some((old.vault.epoch, Some(old))),
            // What refreshes left beside it is sealed under a key that is not to be had.
            Replaced::Locked(old) if old.epoch.0 > new.vault.epoch.0 => Some((old.epoch, None)),
            _ => None,
        };
        let Some((epoch, replaced)) = after else {
            return Ok((carried, false));
        };
        let restore = AfterRestore { epoch, replaced };
        new.rotate_after(restore, self.actor, self.clock)?;
        Ok((carried, true))
    }

    /// Replaces the rows of a writable vault with those of the copy, in one transaction: processes
    /// that have the vault open keep working, and at every moment the file is the old one or the
    /// new one. Before that, the old vault is copied to `kept`, while nobody can write.
    ///
    /// Returns `None` if somebody has written the vault since `expected` was read; otherwise the
    /// state of its log.
    fn put_into(
        &self,
        old: Vault,
        expected: Option<i64>,
        kept: &Path,
    ) -> Result<Option<LogState>, BackupError> {
        old.require_writable()?;
        let mut old = old;
        let path = self.to;
        let scratch = self.scratch.to_string_lossy().into_owned();
        old.conn
            .execute("ATTACH ?1 AS restored", [scratch])
            .at(path, "write")?;
        // Each deleted row would be searched for in all that may refer to it, half of that without
        // an index. The references of the copy's rows were checked.
        old.conn
            .execute_batch("PRAGMA foreign_keys = OFF")
            .at(path, "write")?;
        let reader = connect(path)?;
        let tx = old
            .conn
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .at(path, "write")?;
        let now: i64 = tx
            .query_row("PRAGMA data_version", [], |row| row.get(0))
            .at(path, "read")?;
        if expected != Some(now) {
            return Ok(None);
        }
        let before = events::last(&reader).at(path, "read")?;
        let temporary = with_suffix(path, REPLACED_COPY);
        let copied = copy(&reader, path, &temporary);
        if copied.is_err() {
            remove_copy(&temporary);
        }
        copied?;
        rename_durably(&temporary, kept)?;
        let replaced = replace_rows(&tx).and_then(|()| tx.commit());
        // A copy of what was not replaced is in the way, the more so where the disk is full.
        if replaced.is_err()
            && let (Some(before), Ok(Some(now))) = (before, events::last(&reader))
            && before.mac == now.mac
        {
            remove_copy(kept);
        }
        replaced.at(path, "write")?;
        // Nothing of what was replaced is to stay in the file.
        let log = empty_log(&old.conn);
        if log == LogState::Remains {
            make_durable(&old.conn, path, Log::Kept)?;
        }
        Ok(Some(log))
    }

    /// Puts the copy in the place of a file that is no vault, and that one aside, with its log.
    fn put_aside(&self, kept: &Path) -> Result<(), BackupError> {
        std::fs::hard_link(self.to, kept)
            .or_else(|_| std::fs::copy(self.to, kept).map(|_| ()))
            .map_err(FileError::io("keep", kept))?;
        for suffix in ["-wal", "-journal"] {
            let log = with_suffix(self.to, suffix);
            if exists(&log) {
                rename_durably(&log, &with_suffix(kept, suffix))?;
            }
        }
        remove_if_present(&with_suffix(self.to, "-shm"))?; // an index of the log
        sync_dir(parent(kept))?;
        Ok(rename_durably(self.scratch, self.to)?)
    }
}

/// Copies the backup to `scratch` and opens it there, brought up to this version.
fn draft(from: &Path, scratch: &Path) -> Result<Vault, BackupError> {
    copy_file(from, scratch)?;
    let mut conn = connect_alone(scratch)?;
    let named = |error| VaultError::said_of(error, from);
    check_application(&conn, scratch).map_err(named)?;
    match schema::version(&conn, scratch).map_err(named)? {
        Some(found) if found > schema::VERSION => {
            return Err(VaultError::Newer {
                path: from.to_owned(),
                found,
                known: schema::VERSION,
            }
            .into());
        }
        Some(found) => {
            schema::check_version(&conn, scratch, found).map_err(named)?;
            if found < schema::VERSION {
                schema::migrate(&mut conn, scratch)?;
            }
        }
        None => {
            let path = from.to_owned();
            return Err(VaultError::Foreign { path }.into());
        }
    }
    let (id, epoch) = identity(&conn, scratch).map_err(named)?;
    Ok(Vault {
        conn,
        path: scratch.to_owned(),
        id,
        epoch,
        read_only: None,
        durable: Cell::default(),
        _snapshot: None,
    })
}

/// A backup is one file. One with a log beside it is a vault that somebody may be writing.
fn copy_file(from: &Path, to: &Path) -> Result<(), BackupError> {
    let real = resolve_link(from)?;
    let mut source = open_regular(&real)?;
    check_header(&mut source, from)?;
    if has_journal(&real) {
        let path = from.to_owned();
        return Err(BackupError::HasLog { path });
    }
    let mut target = create_private_file(to)?;
    let mut block = vec![0; BLOCK];
    loop {
        let read = source
            .read(&mut block)
            .map_err(FileError::io("read", from))?;
        if read == 0 {
            break;
        }
        target
            .write_all(&block[..read])
            .map_err(FileError::io("write", to))?;
    }
    Ok(sync_file(&target).map_err(FileError::io("sync", to))?)
}

/// Closes the copy as one file that will have a log beside it once it is opened.
fn close(new: UnlockedVault) -> Result<(), BackupError> {
    let Vault { conn, path, .. } = new.vault;
    set_journal(&conn, &path, "write")?;
    conn.close()
        .map_err(|(_, error)| error)
        .at(&path, "write")?;
    Ok(())
}

/// Makes every table what it is in the attached copy. Both have the same schema. The triggers that
/// keep the record as it is are taken out of the way and put back, word for word.
fn replace_rows(conn: &Connection) -> rusqlite::Result<()> {
    let list = |what: &str| -> rusqlite::Result<Vec<(String, String)>> {
        let mut select = conn.prepare(
            "SELECT name, sql FROM main.sqlite_schema WHERE type = ?1 AND name NOT LIKE \
             'sqlite\\_%' ESCAPE '\\'",
        )?;
        let rows = select.query_map([what], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    let (tables, triggers) = (list("table")?, list("trigger")?);
    for (name, _) in &triggers {
        conn.execute_batch(&format!("DROP TRIGGER main.\"{name}\""))?;
    }
    for (name, _) in &tables {
        conn.execute_batch(&format!("DELETE FROM main.\"{name}\""))?;
    }
    for (name, _) in &tables {
        conn.execute_batch(&format!(
            "INSERT INTO main.\"{name}\" SELECT * FROM restored.\"{name}\""
        ))?;
    }
    for (_, sql) in &triggers {
        conn.execute_batch(sql)?;
    }
    Ok(())
}
