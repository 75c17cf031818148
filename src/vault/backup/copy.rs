//! Backups: the vault's file as it is at one moment, sealed as the vault is, in one file.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use crate::audit::{EventDraft, EventKind, Head, Origin, Verified};
use crate::crypto::SlotKind;
use crate::domain::{UnixMs, VaultId, from_outside, path_text};
use crate::platform::{
    Actor, Clock, FileError, create_private_file, exists, remove_if_present, sync_dir, sync_file,
    sync_file_data,
};
use crate::vault::error::{BackupError, Context, VaultError};
use crate::vault::file::connect::BUSY_TIMEOUT;
use crate::vault::file::journal::set_mode;
use crate::vault::file::paths::{lock, parent, remove_copy, with_suffix};
use crate::vault::file::reason::ReadOnlyReason;
use crate::vault::file::vault::Vault;
use crate::vault::keys::sources::{KeySources, Upgrade};
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::log::events;
use crate::vault::sealing::cells;

/// Every page in one step: a copy in small steps begins again whenever somebody writes. Source:
/// SQLite, `sqlite3_backup_step`.
const ALL_PAGES: i32 = -1;
/// How long to wait before trying again while the file is being written.
const PAUSE: Duration = Duration::from_millis(10);
/// What the name of a backup ends in while it is made.
const TEMPORARY: &str = ".clawkeep-tmp";

/// A backup that was just made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackedUp {
    /// The end of the record that is in it.
    pub head: Head,
    /// The size of the backup in bytes.
    pub bytes: u64,
    /// Why it is not in the record, if it is not.
    pub not_recorded: Option<ReadOnlyReason>,
}

/// What is in a backup, proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Examined {
    /// The vault that the backup is of.
    pub vault: VaultId,
    /// When its newest event was recorded.
    pub as_of: Option<UnixMs>,
    /// The end of its record.
    pub head: Option<Head>,
    /// What verifying its record showed.
    pub record: Verified,
    /// How many sealed cells there are.
    pub cells: u64,
    /// Those of them that do not open.
    pub unopened: Vec<String>,
    /// The slot that it was opened with.
    pub opened_with: (i64, SlotKind),
}

impl UnlockedVault {
    /// Writes a backup to `to`, where nothing may be, while others go on writing, and records that.
    /// A backup is a vault file like any other: it can be opened, and its keys open it. One of a
    /// vault that can only be read is not recorded.
    ///
    /// # Errors
    /// When it cannot be written or recorded; nothing is left there then.
    pub fn back_up(
        &mut self,
        to: &Path,
        actor: &Actor,
        clock: Clock,
    ) -> Result<BackedUp, VaultError> {
        // Two at once to one file would take each other's half for their own.
        let is_writable = self.read_only.is_none();
        let _lock = is_writable.then(|| lock(&self.path)).transpose()?;
        if exists(to) {
            let there =
                std::io::Error::new(std::io::ErrorKind::AlreadyExists, "the file already exists");
            return Err(FileError::io("write a backup to", to)(there).into());
        }
        let temporary = match is_writable {
            true => with_suffix(to, TEMPORARY),
            false => with_suffix(to, &format!(".{}{TEMPORARY}", std::process::id())),
        };
        remove_copy(&temporary); // of a process that was killed
        let made = self.copy_and_record(to, &temporary, actor, clock);
        if made.is_err() {
            remove_copy(&temporary);
        }
        made
    }

    fn copy_and_record(
        &mut self,
        to: &Path,
        temporary: &Path,
        actor: &Actor,
        clock: Clock,
    ) -> Result<BackedUp, VaultError> {
        let head = copy(&self.conn, &self.path, temporary)?;
        let last = head.ok_or_else(|| VaultError::Damaged {
            path: self.path.clone(),
            what: "it has no record".to_owned(),
        })?;
        let head = Head {
            vault: self.id,
            seq: crate::domain::Seq(last.seq),
            mac: last.mac,
        };
        let bytes = std::fs::metadata(temporary)
            .map_err(FileError::io("examine", temporary))?
            .len();
        // Not over a file that has come to be meanwhile.
        std::fs::hard_link(temporary, to)
            .or_else(|error| match error.kind() {
                std::io::ErrorKind::AlreadyExists => Err(error),
                _ if exists(to) => Err(error),
                _ => std::fs::rename(temporary, to), // a file system without links
            })
            .map_err(FileError::io("write a backup to", to))?;
        remove_if_present(temporary)?;
        let mut not_recorded = self.read_only.clone();
        if not_recorded.is_none()
            && let Err(error) = self.record_backup(to, &head, actor, clock)
        {
            // A full disk is a reason to make a backup on another one.
            not_recorded = ReadOnlyReason::of_error(&error);
            if not_recorded.is_none() {
                let _ = remove_if_present(to); // a copy that nobody knows of must not stay
                return Err(error);
            }
        }
        sync_dir(parent(to))?;
        Ok(BackedUp {
            head,
            bytes,
            not_recorded,
        })
    }

    fn record_backup(
        &mut self,
        to: &Path,
        head: &Head,
        actor: &Actor,
        clock: Clock,
    ) -> Result<(), VaultError> {
        let event = EventDraft::new(EventKind::BackupCreated, Origin::Clawkeep)
            .detail("path", from_outside(&path_text(to)))
            .detail("seq", head.seq.0)
            .detail("headMac", data_encoding::HEXLOWER.encode(&head.mac));
        let mut tx = self.begin(actor, clock)?;
        tx.append(None, event)?;
        tx.commit()
    }
}

/// Copies a database whole to `to`, which must not be there: one file, without a log beside it, on
/// disk when this returns. The end of the record that is in the copy.
pub(in crate::vault) fn copy(
    from: &Connection,
    path: &Path,
    to: &Path,
) -> Result<Option<events::Last>, VaultError> {
    let file = create_private_file(to)?;
    let is_done = AtomicBool::new(false);
    // What is written goes to the disk while more is copied: a third of the time, where it is
    // waited for in the end.
    let copied = thread::scope(|scope| {
        // Without a thread everything is waited for in the end.
        let _ = thread::Builder::new().spawn_scoped(scope, || {
            while !is_done.load(Ordering::Relaxed) {
                let _ = sync_file_data(&file); // the last one counts
                thread::sleep(PAUSE);
            }
        });
        let copied = copy_pages(from, path, to);
        is_done.store(true, Ordering::Relaxed);
        copied
    });
    let last = copied?;
    sync_file(&file).map_err(FileError::io("sync", to))?;
    Ok(last)
}

fn copy_pages(
    from: &Connection,
    path: &Path,
    to: &Path,
) -> Result<Option<events::Last>, VaultError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW;
    let mut copy = Connection::open_with_flags(to, flags).at(to, "write")?;
    // Of a copy that is not whole nothing is kept: neither a journal nor a sync a page is of use.
    copy.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;",
    )
    .at(to, "write")?;
    let deadline = Instant::now() + BUSY_TIMEOUT;
    loop {
        let backup = Backup::new(from, &mut copy).at(path, "copy")?;
        let step = backup.step(ALL_PAGES);
        // What is full is the disk that the copy is written to.
        let is_full = matches!(&step, Err(error)
            if error.sqlite_error_code() == Some(rusqlite::ErrorCode::DiskFull));
        let (place, action) = if is_full {
            (to, "write")
        } else {
            (path, "copy")
        };
        match step.at(place, action)? {
            StepResult::Done => break,
            _ if Instant::now() < deadline => thread::sleep(PAUSE),
            _ => {
                let path = path.to_owned();
                return Err(VaultError::Busy { path });
            }
        }
    }
    // The vault has a log beside it, and so has a copy of it until its journal mode is changed.
    set_mode(&copy, "DELETE").at(to, "write")?;
    let last = events::last(&copy).at(to, "read")?;
    copy.close().map_err(|(_, error)| error).at(to, "write")?;
    Ok(last)
}

/// Proves a copy: its file, its keys, its record, and every sealed cell.
///
/// # Errors
/// What is wrong with it. Cells that do not open are listed, not an error.
pub(in crate::vault) fn examine(
    vault: Vault,
    sources: &KeySources<'_>,
) -> Result<(UnlockedVault, Examined), BackupError> {
    if let Some(what) = vault.integrity_faults()?.into_iter().next() {
        let path = vault.path;
        return Err(VaultError::Damaged { path, what }.into());
    }
    if let Some(what) = vault.dangling_row()? {
        let path = vault.path;
        return Err(VaultError::Damaged { path, what }.into());
    }
    // A head that was kept later says nothing against an older copy.
    let upgrade = Upgrade {
        kept_head: None,
        ..sources.upgrade
    };
    let vault = vault.open_with_any(sources)?.upgraded(&upgrade)?;
    let record = vault.verify_record(None)?.map_err(BackupError::Chain)?;
    let mut unopened = Vec::new();
    let cells = cells::for_each(&vault.conn, (&vault.path, vault.id), |cell| {
        if let Err(VaultError::Unopened { row }) = cell.open(&vault.keys.seal) {
            unopened.push(row);
        }
        Ok(())
    })?;
    // Also what was put back or taken out whole.
    unopened.extend(vault.altered_rows()?.into_iter().map(|row| row.name));
    unopened.sort();
    unopened.dedup();
    let last = events::last(&vault.conn).at(&vault.path, "read")?;
    let examined = Examined {
        vault: vault.id,
        as_of: last.map(|last| UnixMs(last.at)),
        head: vault.head()?,
        record,
        cells,
        unopened,
        opened_with: vault.opened_with(),
    };
    Ok((vault, examined))
}
