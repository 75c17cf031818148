//! Damaged files: waiting until it is certain, and moving them aside.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use crate::audit::{EventDraft, EventKind, Origin};
use crate::export::{FormatFault, StorePlace, StoreReading};
use crate::platform::FileError;
use crate::sync::error::SyncError;

/// How long a damaged file must stay unchanged before it is moved aside. Source: `spec/compat.md`.
pub(crate) const SETTLE: Duration = Duration::from_secs(1);
/// How long to wait for a file that keeps changing.
pub(crate) const GIVE_UP: Duration = Duration::from_secs(10);
/// A file's length in bytes and its modification time.
pub(crate) type FileState = (usize, SystemTime);

/// The pause between two readings.
const READ_EVERY: Duration = Duration::from_millis(50);

/// The event of a file that was moved aside.
pub(crate) fn corrupt_event(fault: FormatFault, seen: FileState, aside: &Path) -> EventDraft {
    let name = aside.file_name().unwrap_or_default().to_string_lossy();
    EventDraft::new(EventKind::StoreCorrupt, Origin::StoreFile)
        .detail("fault", fault.as_str())
        .detail("bytes", seen.0)
        .detail("kept_as", name.into_owned())
}

/// Waits until the file that is read has been damaged in the same way for [`SETTLE`]: its fault,
/// length and time. `None` if it is whole or gone by then.
pub(crate) fn wait_for_change(
    place: &StorePlace,
    give_up_after: Duration,
    read: impl Fn() -> Result<StoreReading, FileError>,
) -> Result<Option<(FormatFault, FileState)>, SyncError> {
    let give_up = Instant::now() + give_up_after;
    let mut last = read()?;
    let mut since = Instant::now();
    loop {
        let StoreReading::Damaged { fault, stamp: seen } = last else {
            return Ok(None);
        };
        if since.elapsed() >= SETTLE {
            return Ok(Some((fault, seen)));
        }
        if Instant::now() >= give_up {
            return Err(contended(place));
        }
        thread::sleep(READ_EVERY);
        let now = read()?;
        if !is_same(&last, &now) {
            since = Instant::now();
        }
        last = now;
    }
}

/// The error of a file that another program keeps writing: it is not a damaged one.
pub(crate) fn contended(place: &StorePlace) -> SyncError {
    let path = place.path().to_owned();
    SyncError::Contended { path }
}

pub(crate) fn is_same(a: &StoreReading, b: &StoreReading) -> bool {
    match (a, b) {
        (
            StoreReading::Damaged { fault, stamp: seen },
            StoreReading::Damaged {
                fault: other,
                stamp: also,
            },
        ) => fault == other && seen == also,
        _ => false,
    }
}
