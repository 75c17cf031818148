//! Reports impossible times: a wrong clock makes fresh tokens appear expired, and expired ones
//! fresh.

use std::path::Path;
use std::time::SystemTime;

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use clawkeep::internal::audit::Filter;
use clawkeep::internal::config::Layout;
use clawkeep::internal::domain::{Owner, Span, UnixMs};
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::{Access, read_trusted};
use clawkeep::internal::sources::claude_code;
use clawkeep::internal::vault::Vault;

/// How far ahead a time may be, in milliseconds: machines that share a disk differ a little.
const AHEAD_MAX: Span = Span::minutes(1);
/// The largest login file read, in bytes.
const LOGIN_LIMIT: u64 = 16 << 20;
/// What to do about a clock.
const SET_CLOCK: &str = "See whether the clock is right: timedatectl.";

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let mut found = Vec::new();
    if let Some(vault) = evidence.vault.locked() {
        found.extend(record(vault, evidence.now));
    }
    let places = evidence
        .agents
        .iter()
        .filter_map(|examined| StorePlace::of_agent(&examined.agent.dir).ok());
    let stores = places.map(|place| place.real().to_owned());
    let logins = layout.logins.iter().map(|files| files.login.clone());
    for path in stores.chain(logins) {
        found.extend(file(layout, &path, evidence.now));
    }
    found.extend(login(layout));
    found
}

fn record(vault: &Vault, now: UnixMs) -> Option<Finding> {
    let event = vault
        .history(&Filter::default().limit(1))
        .ok()?
        .next()?
        .ok()?;
    let ahead = event.at - now;
    let message = format!(
        "the record's newest event, {}, is {} in the future: a clock was set back",
        event.seq,
        ahead.short()
    );
    (ahead > AHEAD_MAX).then(|| {
        Finding::new(FindingId::ClockRecord, message)
            .path(vault.path())
            .advice(SET_CLOCK)
    })
}

fn file(layout: &Layout, path: &Path, now: UnixMs) -> Option<Finding> {
    let ahead = modified(path)? - now;
    let shown = layout.shorten_home(path);
    let how_far = ahead.short();
    let message = format!("{shown} was written {how_far} in the future");
    (ahead > AHEAD_MAX).then(|| {
        Finding::new(FindingId::ClockFile, message)
            .path(path)
            .advice(format!(
                "{SET_CLOCK} If it is right: touch {}",
                crate::advice::shell_path(layout, path)
            ))
    })
}

/// Claude Code refreshes its login before it expires. A login that was already expired when it was
/// written means that the clock is fast here, or was slow where it was written.
fn login(layout: &Layout) -> Option<Finding> {
    let path = layout.login(Owner::ClaudeCode)?;
    let contents = read_trusted(path, Access::Read, LOGIN_LIMIT).ok()??;
    let reading = claude_code::parse(&contents.bytes);
    let late = modified(path)? - UnixMs::from_ms(reading.found()?.expires.floor_ms());
    let message = format!(
        "{} was written {} after the login in it had expired: it was not refreshed, or the clock \
         runs fast",
        layout.shorten_home(path),
        late.short()
    );
    (late > AHEAD_MAX).then(|| {
        Finding::new(FindingId::ClockLogin, message)
            .path(path)
            .advice(format!(
                "{SET_CLOCK} If it is right: start `claude` once on this host"
            ))
    })
}

fn modified(path: &Path) -> Option<UnixMs> {
    let at = std::fs::metadata(path).ok()?.modified().ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_millis()).ok().map(UnixMs::from_ms)
}
