//! The state of a database that was committed last, in memory: for a place where SQLite cannot
//! recover it, since that writes.
//!
//! A log that a killed process left has to be played back before the file can be read. Where
//! nothing can be written, that is done here, on a copy in memory. No temporary file is made: there
//! may be no place for one, and a kill would leave it.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{ErrorKind, Read, Seek as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rusqlite::{Connection, MAIN_DB};
use zeroize::Zeroizing;

use super::connect::{harden, keep_in_memory};
use super::paths::with_suffix;
use crate::platform::{FileError, open_regular};
use crate::vault::error::{Context, VaultError};

/// What a database consists of: the file, its write-ahead log, its rollback journal.
pub(in crate::vault) const PARTS: [&str; 3] = ["", "-wal", "-journal"];
/// How much of a file is compared at a time, in bytes.
const CHUNK: usize = 1 << 20;
/// How much room `read_to_end` wants at the end of a file, in bytes.
const READ_PROBE: usize = 64;
/// How long to wait before trying again while the files are being written.
const PAUSE: Duration = Duration::from_millis(5);
/// The bytes of the header that say in which journal mode the database is, and their value in
/// rollback mode: one in memory has no log. Source: SQLite, Database File Format, 1.3.3.
const JOURNAL_MODE: std::ops::Range<usize> = 18..20;
const ROLLBACK_MODE: u8 = 1;
/// Where a log's header ends, and a frame's. Source: SQLite, WAL-mode File Format.
const WAL_HEADER: usize = 32;
const FRAME_HEADER: usize = 24;
/// What a log begins with; the lowest bit says that its checksums are of big-endian numbers.
pub(super) const WAL_MAGIC: u32 = 0x377f_0682;
/// What each header of a rollback journal begins with. Source: SQLite, Database File Format, 3.
const JOURNAL_MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
/// How far apart the bytes are that a journal's checksum counts.
const JOURNAL_STEP: usize = 200;

/// Opens the state of the database at `path` that was committed last, in memory.
///
/// # Errors
/// [`VaultError::Busy`] when somebody writes it all the time until `patience` runs out; or when it
/// cannot be read.
pub(in crate::vault) fn open(path: &Path, patience: Duration) -> Result<Connection, VaultError> {
    let image = committed(path, patience)?;
    let mut conn = Connection::open_in_memory().at(path, "open")?;
    conn.deserialize_read_exact(MAIN_DB, image.as_slice(), image.len(), false)
        .at(path, "read")?;
    harden(&conn, path)?;
    keep_in_memory(&conn, path)?;
    Ok(conn)
}

/// Reads the state of the database at `path` that was committed last, as the bytes of a database
/// without a log, which are wiped when dropped. Nothing but reading is tried.
///
/// # Errors
/// As [`open`].
pub(in crate::vault) fn committed(
    path: &Path,
    patience: Duration,
) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let deadline = Instant::now() + patience;
    let files = loop {
        let files = Files::read(path)?;
        // What was the same before and after one moment was so at that moment, all of it: as a
        // crash then would leave it.
        if files.are_still(path)? {
            break files;
        }
        if Instant::now() >= deadline {
            let path = path.to_owned();
            return Err(VaultError::Busy { path });
        }
        std::thread::sleep(PAUSE);
    };
    Ok(files.recovered())
}

/// The bytes of a database's files; those of one that is not there are none.
struct Files([Zeroizing<Vec<u8>>; 3]);

impl Files {
    fn read(path: &Path) -> Result<Self, VaultError> {
        let mut files = Self(Default::default());
        for (bytes, part) in files.0.iter_mut().zip(PARTS) {
            // Room for all of it at once: a buffer that grows leaves its content behind.
            let length = std::fs::metadata(with_suffix(path, part)).map_or(0, |meta| meta.len());
            bytes.reserve_exact(
                usize::try_from(length)
                    .unwrap_or(0)
                    .saturating_add(READ_PROBE),
            );
            with_part(path, part, |file| file.read_to_end(bytes))?;
        }
        Ok(files)
    }

    /// Whether a second reading finds the same.
    fn are_still(&self, path: &Path) -> Result<bool, VaultError> {
        for (bytes, part) in self.0.iter().zip(PARTS) {
            if !with_part(path, part, |file| is_still(bytes, file))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The database as SQLite would recover it.
    fn recovered(self) -> Zeroizing<Vec<u8>> {
        let [mut image, log, journal] = self.0;
        roll_back(&mut image, &journal);
        replay(&mut image, &log);
        if let Some(mode) = image.get_mut(JOURNAL_MODE) {
            mode.fill(ROLLBACK_MODE);
        }
        image
    }
}

/// The databases that were read, which stay open as long as this process runs: closing one would
/// drop the locks that SQLite has on it for another connection of this process (POSIX).
static DATABASES: Mutex<BTreeMap<PathBuf, File>> = Mutex::new(BTreeMap::new());

/// Reads a file of a database; only the database itself has to be there.
fn with_part<T>(
    database: &Path,
    part: &str,
    read: impl FnOnce(&mut dyn Read) -> std::io::Result<T>,
) -> Result<T, VaultError> {
    let path = with_suffix(database, part);
    if part.is_empty() {
        let mut databases = DATABASES.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(file) = databases.get_mut(&path)
            && is_at(file, &path)
        {
            let read = file.rewind().and_then(|()| read(file));
            return Ok(read.map_err(FileError::io("read", &path))?);
        }
        let mut file = open_regular(&path)?;
        let read = read(&mut file);
        databases.insert(path.clone(), file); // in the place of one that is not there any more
        return Ok(read.map_err(FileError::io("read", &path))?);
    }
    let read = match open_regular(&path) {
        Err(FileError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            read(&mut std::io::empty())
        }
        opened => read(&mut opened?),
    };
    Ok(read.map_err(FileError::io("read", &path))?)
}

#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt as _;
    let id = |meta: std::fs::Metadata| (meta.dev(), meta.ino());
    let (own, there) = (file.metadata().map(id), std::fs::metadata(path).map(id));
    matches!((own, there), (Ok(own), Ok(there)) if own == there)
}

#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    false // locks are a handle's own there
}

fn is_still(bytes: &[u8], file: &mut dyn Read) -> std::io::Result<bool> {
    let mut rest = bytes;
    let mut chunk = Zeroizing::new(vec![0; CHUNK]);
    loop {
        let count = file.read(&mut chunk)?;
        if count == 0 {
            return Ok(rest.is_empty());
        }
        match rest.split_at_checked(count) {
            Some((same, after)) if same == &chunk[..count] => rest = after,
            _ => return Ok(false),
        }
    }
}

/// Puts the pages of each transaction that the log has whole into the database.
fn replay(image: &mut Zeroizing<Vec<u8>>, log: &[u8]) {
    let Some((header, frames)) = log.split_at_checked(WAL_HEADER) else {
        return;
    };
    let (magic, page_size) = (number(header, 0), number(header, 8) as usize);
    let is_big_endian = magic & 1 == 1;
    let sums = checksum((0, 0), &header[..24], is_big_endian);
    let is_ours = magic & !1 == WAL_MAGIC
        && is_page_size(page_size)
        && sums == (number(header, 24), number(header, 28));
    if !is_ours {
        return; // SQLite takes such a log for an empty one
    }
    let mut sums = sums;
    let mut written: HashMap<usize, &[u8]> = HashMap::new();
    let mut committed: Option<(HashMap<usize, &[u8]>, usize)> = None;
    for frame in frames.chunks_exact(FRAME_HEADER + page_size) {
        let (head, page) = frame.split_at(FRAME_HEADER);
        sums = checksum(sums, &head[..8], is_big_endian);
        sums = checksum(sums, page, is_big_endian);
        let (number_of_page, pages) = (number(head, 0) as usize, number(head, 4) as usize);
        let is_of_this_log = head[8..16] == header[16..24];
        if !is_of_this_log || number_of_page == 0 || sums != (number(head, 16), number(head, 20)) {
            break;
        }
        written.insert(number_of_page, page);
        if pages > 0 {
            let (known, _) = committed.get_or_insert_default();
            known.extend(written.drain());
            committed = committed.map(|(known, _)| (known, pages));
        }
    }
    let Some((known, pages)) = committed else {
        return;
    };
    if pages * page_size > image.len() + log.len() {
        return; // no log has that: where the pages come from is not here
    }
    resize(image, pages * page_size);
    for (number_of_page, page) in known {
        put_page(image, number_of_page, page);
    }
}

/// Puts back the pages that a transaction which did not end had changed.
fn roll_back(image: &mut Zeroizing<Vec<u8>>, journal: &[u8]) {
    let (mut at, mut geometry) = (0, None);
    while let Some(header) = journal.get(at..at + 28) {
        if header[..8] != JOURNAL_MAGIC {
            break; // it was committed, or ends here
        }
        let (count, nonce) = (number(header, 8), number(header, 12));
        let (pages, sector, page_size) = *geometry.get_or_insert_with(|| {
            let size = |at| number(header, at) as usize;
            (size(16), size(20), size(24))
        });
        let is_possible = pages * page_size <= image.len() + journal.len();
        if !is_page_size(page_size) || sector == 0 || !is_possible {
            break;
        }
        resize(image, pages * page_size);
        at += sector;
        for _ in 0..count {
            let Some(record) = journal.get(at..at + page_size + 8) else {
                return;
            };
            let (page, sum) = record[4..].split_at(page_size);
            let counted = (1..page_size).rev().skip(JOURNAL_STEP - 1);
            let counted = counted.step_by(JOURNAL_STEP).map(|at| u32::from(page[at]));
            let expected = counted.fold(nonce, u32::wrapping_add);
            let number_of_page = number(record, 0) as usize;
            if number_of_page == 0 || number(sum, 0) != expected {
                return;
            }
            put_page(image, number_of_page, page);
            at += record.len();
        }
        at = at.next_multiple_of(sector);
    }
}

/// Makes the database that long. What a larger buffer replaces is wiped.
fn resize(image: &mut Zeroizing<Vec<u8>>, length: usize) {
    if length > image.capacity() {
        let mut larger = Zeroizing::new(Vec::with_capacity(length));
        larger.extend_from_slice(image);
        *image = larger;
    }
    image.resize(length, 0);
}

/// Puts a page into the database; one behind its end is of no transaction that counts.
fn put_page(image: &mut [u8], number_of_page: usize, page: &[u8]) {
    let at = (number_of_page - 1) * page.len();
    if let Some(place) = image.get_mut(at..at + page.len()) {
        place.copy_from_slice(page);
    }
}

fn is_page_size(size: usize) -> bool {
    size.is_power_of_two() && (512..=65_536).contains(&size)
}

/// The big-endian number at `at`.
fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

/// The checksum of a log, gone on with over more bytes. Source: SQLite, WAL-mode File Format, 4.4.
fn checksum((mut one, mut two): (u32, u32), bytes: &[u8], is_big_endian: bool) -> (u32, u32) {
    let word = |bytes: &[u8]| {
        let value = number(bytes, 0);
        if is_big_endian {
            value
        } else {
            value.swap_bytes()
        }
    };
    for pair in bytes.chunks_exact(8) {
        one = one.wrapping_add(word(pair)).wrapping_add(two);
        two = two.wrapping_add(word(&pair[4..])).wrapping_add(one);
    }
    (one, two)
}
