//! `history --follow`: events as they are recorded.

use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

use clawkeep::internal::audit::{Direction, Event, Filter};
use clawkeep::internal::domain::Seq;
use clawkeep::internal::vault::{Vault, VaultError};

use crate::context::Context;
use crate::failure::Failure;

/// Events shown before those that follow, unless `--limit` says otherwise.
const FIRST_ROWS: u64 = 10;
/// How often the vault's files are looked at.
const INTERVAL: Duration = Duration::from_millis(500);

/// Hands over the newest events, oldest first, and then those that are recorded, until stdout is
/// closed.
pub(super) fn follow(
    context: &Context,
    filter: &Filter,
    limit: Option<u64>,
    mut show: impl FnMut(&[Event]) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let first = match limit {
        Some(0) => usize::MAX,
        limit => usize::try_from(limit.unwrap_or(FIRST_ROWS)).unwrap_or(usize::MAX),
    };
    let mut last = None;
    let (mut known, mut is_settled) = (None, false);
    loop {
        let stamps = Some(stamps(&context.layout.vault_file));
        let is_changed = stamps != known;
        if is_changed || !is_settled {
            // A file may change twice within the grain of its time: it is read once more.
            (known, is_settled) = (stamps, !is_changed);
            let read = || {
                let vault = context.locked()?;
                let head = vault.head()?.map_or(0, |head| head.seq.0);
                Ok((head, newer(&vault, filter, last, first)?))
            };
            match read() {
                Ok((head, events)) => {
                    let newest = events.last().map_or(0, |event| event.seq.0);
                    show(&events)?;
                    // A vault of an earlier time may have been restored.
                    last = Some(Seq::new(head.max(newest)));
                }
                // Another process keeps the vault busy: it is read again after the next wait.
                Err(Failure::Vault(VaultError::Busy { .. })) if last.is_some() => known = None,
                Err(failure) => return Err(failure),
            }
        }
        if !wait() {
            return Ok(());
        }
    }
}

/// The events after one, or the first so many, oldest first.
fn newer(
    vault: &Vault,
    filter: &Filter,
    last: Option<Seq>,
    first: usize,
) -> Result<Vec<Event>, VaultError> {
    let mut filter = filter.clone().direction(Direction::NewestFirst);
    filter.limit = None;
    let mut found = Vec::new();
    for event in vault.history(&filter)? {
        if last.is_none() && found.len() >= first {
            break;
        }
        let event = event?;
        if last.is_some_and(|last| event.seq <= last) {
            break;
        }
        found.push(event);
    }
    found.reverse();
    Ok(found)
}

/// Lengths and times of the files that change when an event is recorded.
fn stamps(vault: &Path) -> [Option<(u64, Option<SystemTime>)>; 2] {
    let mut log = vault.as_os_str().to_owned();
    log.push("-wal");
    [vault, Path::new(&log)].map(|path| {
        let meta = std::fs::metadata(path).ok()?;
        Some((meta.len(), meta.modified().ok()))
    })
}

/// Waits for a while. Returns whether somebody still reads stdout.
#[cfg(unix)]
fn wait() -> bool {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let out = io::stdout();
    let mut out = [PollFd::new(&out, PollFlags::empty())];
    let interval = Timespec::try_from(INTERVAL).ok();
    match poll(&mut out, interval.as_ref()) {
        Ok(_) => out.iter().all(|out| out.revents().is_empty()),
        Err(error) => error == rustix::io::Errno::INTR,
    }
}

/// Waits for a while. A closed stdout is found out when it is next written to.
#[cfg(not(unix))]
fn wait() -> bool {
    std::thread::sleep(INTERVAL);
    io::Write::flush(&mut io::stdout()).is_ok()
}
