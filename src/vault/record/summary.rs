//! Counting over the record, without a key: uses, refreshes, what was in force. Counts come from
//! indexes; rows are read only where their times are needed.

use crate::vault::file::read_only::read_transaction;
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use serde_json::Value;

use super::history::{NEWEST, OLDEST, first_of, one_sql};
use crate::audit::{
    Doer, Event, EventKind, Exchanged, Filter, InForce, KindFilter, LastFailure, Origin,
    PROGRAMS_OF_NEWEST, ProfileRef, Refreshes, Uses, cooldown_until, refresh_failure_reason,
};
use crate::domain::UnixMs;
use crate::vault::error::{Context, VaultError};
use crate::vault::file::vault::Vault;
use crate::vault::log::events::{Action, Labels};
use crate::vault::log::runs::Run;
use crate::vault::log::series::{self, Selection, Series};

/// How many events of a series there are in a run, the first and the last.
pub(super) const COUNT: &str = "SELECT count(*), min(seq), max(seq) FROM events WHERE subject = \
    ?1 AND action = ?2 AND seq >= ?3 AND seq <= ?4";
/// What the newest uses of a series in a run say of themselves. The rows of
/// [`PROGRAMS_OF_NEWEST`] are read in about 10 ms.
pub(super) const DETAILS: &str = "SELECT detail FROM events WHERE subject = ?1 AND action = ?2 AND \
    seq >= ?3 AND seq <= ?4 ORDER BY seq DESC LIMIT ?5";
/// What is asked of refreshes, of each of which a row is read.
pub(super) const EXCHANGES: &str = "SELECT seq, at, token_before, token_after, expires_before, \
    expires_after FROM events \
                         WHERE subject = ?1 AND action = ?2 AND seq >= ?3 AND seq <= ?4 ORDER BY \
                         seq";
/// The newest change of a subject in a run.
pub(super) const CHANGE: &str = "SELECT seq FROM events WHERE subject = ?1 AND generation IS NOT \
    NULL AND seq >= ?2 AND seq <= ?3 \
                      ORDER BY generation DESC LIMIT 1";

impl Vault {
    /// The uses of each profile among the events that match `filter`, whose kinds are of no
    /// account. Needs no key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, vault) = example_vault()?;
    /// let uses = vault.uses(&clawkeep::internal::audit::Filter::default())?;
    /// assert_eq!(uses[0].count, 2);
    /// let (who, times) = &uses[0].by[0];
    /// assert_eq!((&*who.program, *times), ("example", 2));
    /// # Ok(())
    /// # }
    /// ```
    pub fn uses(&self, filter: &Filter) -> Result<Vec<Uses>, VaultError> {
        let kinds = [EventKind::CredentialUsed, EventKind::CredentialFailed];
        let filter = Filter {
            kinds: kinds.map(KindFilter::only).into(),
            ..filter.clone()
        };
        self.count_uses(&filter).at(&self.path, "read")
    }

    fn count_uses(&self, filter: &Filter) -> rusqlite::Result<Vec<Uses>> {
        let _snapshot = read_transaction(&self.conn)?;
        let mut by_subject: BTreeMap<i64, Tally> = BTreeMap::new();
        let mut labels = Labels::default();
        let (series, runs) = self.listed(filter)?;
        for series in series {
            for run in &runs {
                let Some(counted) = count(&self.conn, series, run)? else {
                    continue;
                };
                let first = event(&self.conn, &mut labels, counted.first)?;
                let last = event(&self.conn, &mut labels, counted.last)?;
                if let (Some(first), Some(last)) = (first, last) {
                    let tally = by_subject.entry(series.subject).or_default();
                    tally.add(counted.count, &first, &last);
                    if is_own_use(&last) {
                        for (program, count) in programs(&self.conn, series, run)? {
                            let of_doer = (program, doer_of(&last));
                            *tally.programs.entry(of_doer).or_default() += count;
                        }
                    }
                }
            }
        }
        let mut found = Vec::new();
        for (subject, tally) in by_subject {
            if let Some(profile) = profile_ref(&self.conn, &mut labels, subject)? {
                found.push(tally.into_uses(profile));
            }
        }
        found.sort_by(|a, b| {
            b.count
                .cmp(&a.count)
                .then_with(|| a.profile.cmp(&b.profile))
        });
        Ok(found)
    }

    /// The refreshes of each profile among the events that match `filter`, whose kinds are of no
    /// account: those of this program and those that it imported from other programs.
    /// Needs no key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, vault) = example_vault()?;
    /// let refreshes = vault.refreshes(&clawkeep::internal::audit::Filter::default())?;
    /// assert_eq!((refreshes[0].succeeded, refreshes[0].failed), (1, 0));
    /// assert_eq!(refreshes[0].mean_lifetime_ms, Some(8 * 3_600_000));
    /// # Ok(())
    /// # }
    /// ```
    pub fn refreshes(&self, filter: &Filter) -> Result<Vec<Refreshes>, VaultError> {
        let kinds = [
            EventKind::RefreshSucceeded,
            EventKind::RefreshFailed,
            EventKind::RefreshInterrupted,
        ];
        let filter = Filter {
            kinds: vec![KindFilter {
                kinds: kinds.into(),
                includes_imported_refreshes: true,
            }],
            ..filter.clone()
        };
        self.count_refreshes(&filter).at(&self.path, "read")
    }

    fn count_refreshes(&self, filter: &Filter) -> rusqlite::Result<Vec<Refreshes>> {
        let _snapshot = read_transaction(&self.conn)?;
        let mut by_subject: BTreeMap<i64, Lifetimes> = BTreeMap::new();
        let mut labels = Labels::default();
        let (series, runs) = self.listed(filter)?;
        for series in series {
            let action = labels.action(&self.conn, series.action)?;
            let is_failure = [EventKind::RefreshFailed, EventKind::RefreshInterrupted]
                .iter()
                .any(|kind| *action.kind == *kind.as_str());
            for run in &runs {
                if is_failure {
                    if let Some(counted) = count(&self.conn, series, run)? {
                        let last = event(&self.conn, &mut labels, counted.last)?;
                        let lifetimes = by_subject.entry(series.subject).or_default();
                        lifetimes.fail(counted.count, last.as_ref());
                    }
                    continue;
                }
                self.exchanges(series, &action, run, |exchange| {
                    by_subject
                        .entry(series.subject)
                        .or_default()
                        .succeed(&action, exchange);
                })?;
            }
        }
        let mut found = Vec::new();
        for (subject, lifetimes) in by_subject {
            if let Some(profile) = profile_ref(&self.conn, &mut labels, subject)? {
                found.push(lifetimes.into_refreshes(profile));
            }
        }
        found.sort_by(|a, b| a.profile.cmp(&b.profile));
        Ok(found)
    }

    /// Hands each refresh of a series in a run to `take`.
    fn exchanges(
        &self,
        series: Series,
        action: &Action,
        run: &Run,
        mut take: impl FnMut(Exchange),
    ) -> rusqlite::Result<()> {
        let is_ours = *action.kind == *EventKind::RefreshSucceeded.as_str();
        let mut select = self.conn.prepare_cached(EXCHANGES)?;
        let mut rows = select.query([series.subject, series.action, *run.start(), *run.end()])?;
        while let Some(row) = rows.next()? {
            let exchange = Exchange {
                at: UnixMs(row.get(1)?),
                expires: row.get(5)?,
            };
            let exchanged = Exchanged {
                kind: &action.kind,
                origin: &action.origin,
                token: (
                    row.get_ref(2)?.as_blob_or_null()?,
                    row.get_ref(3)?.as_blob_or_null()?,
                ),
                expires: (row.get(4)?, exchange.expires),
            };
            if is_ours || exchanged.is_imported_refresh() {
                take(exchange);
            }
        }
        Ok(())
    }

    /// The credentials that were there at `at`, of the profiles, providers and agents that `filter`
    /// asks for: with the newest change before it, and the last use. Ended ones are among them.
    /// Needs no key.
    ///
    /// ```
    /// # include!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/doc/vault.rs"));
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let (_dir, vault) = example_vault()?;
    /// use clawkeep::internal::audit::Filter;
    /// use clawkeep::internal::domain::UnixMs;
    ///
    /// let half_past_one = UnixMs::from_ms(1_793_491_200_000 + 90 * 60_000);
    /// let then = vault.in_force(half_past_one, &Filter::default())?;
    /// assert_eq!(&*then[0].profile.id, "anthropic:claude-cli");
    /// let (used, by) = then[0].last_used.as_ref().ok_or("it was used at one")?;
    /// assert_eq!((used.0, &*by.program), (1_793_491_200_000 + 60 * 60_000, "example"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn in_force(&self, at: UnixMs, filter: &Filter) -> Result<Vec<InForce>, VaultError> {
        self.find_in_force(at, filter).at(&self.path, "read")
    }

    fn find_in_force(&self, at: UnixMs, filter: &Filter) -> rusqlite::Result<Vec<InForce>> {
        let _snapshot = read_transaction(&self.conn)?;
        let until = Filter {
            until: Some(UnixMs(at.0.saturating_add(1))),
            since: None,
            provider: None, // the newest change says which it is
            ..filter.clone()
        };
        let (_, runs) = self.selected(&until)?;
        let uses = Filter {
            kinds: vec![KindFilter::only(EventKind::CredentialUsed)],
            ..until.clone()
        };
        let (uses, _) = self.listed(&uses)?;
        let cooldown_events = [EventKind::CooldownSet, EventKind::CooldownCleared];
        let cooldown_events = Filter {
            kinds: cooldown_events.map(KindFilter::only).into(),
            ..until.clone()
        };
        let (cooldown_events, _) = self.listed(&cooldown_events)?;
        let mut labels = Labels::default();
        let mut found = Vec::new();
        for subject in series::subjects(&self.conn, &until)? {
            let Some(profile) = profile_ref(&self.conn, &mut labels, subject)? else {
                continue;
            };
            let Some(change) = newest_change(&self.conn, subject, &runs)? else {
                continue;
            };
            let Some(change) = event(&self.conn, &mut labels, change)? else {
                continue;
            };
            let is_gone = *change.kind == *EventKind::ProfileRemoved.as_str();
            let is_asked = filter.provider.is_none()
                || filter.provider.as_deref() == change.provider.as_deref();
            if is_gone || !is_asked {
                continue;
            }
            let last_used = self.last_use(&of(&uses, subject), &runs, at, &mut labels)?;
            let rest = newest(&self.conn, &of(&cooldown_events, subject), &runs)?;
            let rest = rest
                .map(|seq| event(&self.conn, &mut labels, seq))
                .transpose()?
                .flatten();
            found.push(InForce {
                profile,
                provider: change.provider.clone(),
                since: change.at,
                token: change.token_after,
                expires: change.expires_after,
                last_used,
                cooldown_until: rest
                    .and_then(|event| cooldown_until(&event))
                    .filter(|until| *until > at),
            });
        }
        found.sort_by(|a, b| (&a.provider, &a.profile).cmp(&(&b.provider, &b.profile)));
        Ok(found)
    }

    /// The last use up to `at`, by whom, among some series. Another program's may have been
    /// recorded later than that.
    fn last_use(
        &self,
        series: &[Series],
        runs: &[Run],
        at: UnixMs,
        labels: &mut Labels,
    ) -> rusqlite::Result<Option<(UnixMs, Doer)>> {
        let mut found: Vec<i64> = newest(&self.conn, series, runs)?.into_iter().collect();
        let end = runs.last().map_or(0, |run| *run.end());
        for series in series {
            if *labels.action(&self.conn, series.action)?.origin != *Origin::Clawkeep.as_str() {
                let after = end.saturating_add(1)..=i64::MAX;
                found.extend(first_of(&self.conn, OLDEST, *series, &after)?);
            }
        }
        let mut last: Option<(UnixMs, Doer)> = None;
        for seq in found {
            if let Some(event) = event(&self.conn, labels, seq)? {
                let used = happened_at(&event);
                let is_later = last.as_ref().is_none_or(|(known, _)| *known < used);
                if used <= at && is_later {
                    last = Some((used, doer_of(&event)));
                }
            }
        }
        Ok(last)
    }

    /// The series and the parts of the record that a filter with kinds asks for.
    pub(in crate::vault) fn listed(
        &self,
        filter: &Filter,
    ) -> rusqlite::Result<(Vec<Series>, Vec<Run>)> {
        Ok(match self.selected(filter)? {
            (Selection::Some(series), runs) => (series, runs),
            (Selection::All, runs) => (series::all(&self.conn)?, runs),
        })
    }
}

/// A credential exchanged for a newer one.
#[derive(Clone, Copy)]
struct Exchange {
    at: UnixMs,
    expires: Option<i64>,
}

/// Events of a series in a run: how many, the first and the last.
#[derive(Clone, Copy)]
struct Counted {
    count: u64,
    first: i64,
    last: i64,
}

fn count(conn: &Connection, series: Series, run: &Run) -> rusqlite::Result<Option<Counted>> {
    let (count, first, last): (i64, Option<i64>, Option<i64>) =
        conn.prepare_cached(COUNT)?.query_row(
            [series.subject, series.action, *run.start(), *run.end()],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )?;
    Ok(first.zip(last).map(|(first, last)| Counted {
        count: count.unsigned_abs(),
        first,
        last,
    }))
}

/// Whether the event is a use that this program recorded.
fn is_own_use(event: &Event) -> bool {
    *event.kind == *EventKind::CredentialUsed.as_str()
        && *event.origin == *Origin::Clawkeep.as_str()
}

/// The programs that got the secret in the newest uses of a series in a run, and how often.
fn programs(conn: &Connection, series: Series, run: &Run) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut select = conn.prepare_cached(DETAILS)?;
    let (start, end) = (*run.start(), *run.end());
    let within = params![
        series.subject,
        series.action,
        start,
        end,
        PROGRAMS_OF_NEWEST
    ];
    let mut rows = select.query(within)?;
    let mut counts: BTreeMap<String, u64> = BTreeMap::new(); // most are the same
    while let Some(row) = rows.next()? {
        if let Some(text) = row.get_ref(0)?.as_str_or_null()? {
            match counts.get_mut(text) {
                Some(count) => *count += 1,
                None => _ = counts.insert(text.to_owned(), 1),
            }
        }
    }
    let mut found = Vec::new();
    for (text, count) in counts {
        let detail: Value = serde_json::from_str(&text).unwrap_or_default();
        let program = detail.get("program").and_then(Value::as_str);
        found.extend(program.map(|program| (program.to_owned(), count)));
    }
    Ok(found)
}

/// The uses of a subject, counted so far.
#[derive(Default)]
struct Tally {
    provider: Option<(UnixMs, Option<Arc<str>>)>,
    count: u64,
    failed: u64,
    last_failure: Option<LastFailure>,
    span: Option<(UnixMs, UnixMs)>,
    by: BTreeMap<Doer, u64>,
    programs: BTreeMap<(String, Doer), u64>,
}

impl Tally {
    fn add(&mut self, count: u64, first: &Event, last: &Event) {
        newer(&mut self.provider, last.at, &last.provider);
        if *last.kind != *EventKind::CredentialUsed.as_str() {
            self.failed += count;
            let at = happened_at(last);
            if self
                .last_failure
                .as_ref()
                .is_none_or(|known| known.at <= at)
            {
                let reason = detail(last)
                    .get("reason")
                    .and_then(Value::as_str)
                    .map(str::to_owned);
                self.last_failure = Some(LastFailure { at, reason });
            }
            return;
        }
        let (first, until) = (happened_at(first), happened_at(last));
        self.count += count;
        self.span = Some(match self.span {
            Some(known) => (known.0.min(first), known.1.max(until)),
            None => (first, until),
        });
        *self.by.entry(doer_of(last)).or_default() += count;
    }

    fn into_uses(self, profile: ProfileRef) -> Uses {
        let mut by: Vec<(Doer, u64)> = self.by.into_iter().collect();
        by.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        Uses {
            profile,
            provider: self.provider.and_then(|(_, provider)| provider),
            count: self.count,
            failed: self.failed,
            last_failure: self.last_failure,
            span: self.span,
            by,
            programs: (self.programs.into_iter())
                .map(|((program, doer), count)| (program, doer, count))
                .collect(),
        }
    }
}

/// The refreshes of a subject, counted so far.
#[derive(Default)]
struct Lifetimes {
    provider: Option<(UnixMs, Option<Arc<str>>)>,
    succeeded: u64,
    failed: u64,
    with_end: i64,
    total_ms: i64,
    last: Option<(UnixMs, Option<i64>)>,
    last_failure: Option<LastFailure>,
}

impl Lifetimes {
    fn fail(&mut self, count: u64, last: Option<&Event>) {
        self.failed += count;
        let known = self.last_failure.as_ref().map(|known| known.at);
        if let Some(last) = last.filter(|last| known.is_none_or(|known| known <= last.at)) {
            self.last_failure = Some(LastFailure {
                at: last.at,
                reason: refresh_failure_reason(last),
            });
        }
    }

    fn succeed(&mut self, action: &Rc<Action>, exchange: Exchange) {
        newer(&mut self.provider, exchange.at, &action.provider);
        self.succeeded += 1;
        if let Some(expires) = exchange.expires {
            self.with_end += 1;
            let lifetime = expires.saturating_sub(exchange.at.0);
            self.total_ms = self.total_ms.saturating_add(lifetime);
        }
        if self.last.is_none_or(|(at, _)| at <= exchange.at) {
            self.last = Some((exchange.at, exchange.expires));
        }
    }

    fn into_refreshes(self, profile: ProfileRef) -> Refreshes {
        Refreshes {
            profile,
            provider: self.provider.and_then(|(_, provider)| provider),
            succeeded: self.succeeded,
            failed: self.failed,
            mean_lifetime_ms: self.total_ms.checked_div(self.with_end),
            last: self.last.map(|(at, _)| at),
            due: self.last.and_then(|(_, expires)| expires).map(UnixMs),
            last_failure: self.last_failure,
        }
    }
}

fn newer(known: &mut Option<(UnixMs, Option<Arc<str>>)>, at: UnixMs, provider: &Option<Arc<str>>) {
    if known.as_ref().is_none_or(|(before, _)| *before <= at) {
        *known = Some((at, provider.clone()));
    }
}

fn doer_of(event: &Event) -> Doer {
    Doer {
        origin: event.origin.clone(),
        program: event.actor.program.clone(),
        parent: event.actor.parent.clone(),
        host: event.actor.host.clone(),
        uid: event.actor.uid,
    }
}

/// Those series that are about a subject.
pub(super) fn of(series: &[Series], subject: i64) -> Vec<Series> {
    let of_subject = series.iter().filter(|series| series.subject == subject);
    of_subject.copied().collect()
}

fn detail(event: &Event) -> Value {
    let text = event.detail.as_deref().unwrap_or_default();
    serde_json::from_str(text).unwrap_or_default()
}

/// The time of a use or a failure. Another program's is recorded when its store is next read, and
/// states its own time.
pub(super) fn happened_at(event: &Event) -> UnixMs {
    let detail = detail(event);
    let reported_at = ["lastUsed", "lastFailureAt"]
        .iter()
        .find_map(|name| detail.get(*name)?.as_i64());
    reported_at.map_or(event.at, |reported_at| event.at.min(UnixMs(reported_at)))
}

/// The profile of a subject; `None` for a subject that is no profile.
pub(super) fn profile_ref(
    conn: &Connection,
    labels: &mut Labels,
    subject: i64,
) -> rusqlite::Result<Option<ProfileRef>> {
    let subject = labels.subject(conn, subject)?;
    Ok(subject.profile.clone().map(|profile| ProfileRef {
        agent: subject.agent.clone(),
        id: profile,
    }))
}

pub(in crate::vault) fn event(
    conn: &Connection,
    labels: &mut Labels,
    seq: i64,
) -> rusqlite::Result<Option<Event>> {
    let mut select = conn.prepare_cached(&one_sql())?;
    let mut rows = select.query([seq])?;
    rows.next()?.map(|row| labels.read(conn, row)).transpose()
}

/// The newest change of a subject in some parts of the record, which are oldest first.
pub(in crate::vault) fn newest_change(
    conn: &Connection,
    subject: i64,
    runs: &[Run],
) -> rusqlite::Result<Option<i64>> {
    let mut select = conn.prepare_cached(CHANGE)?;
    for run in runs.iter().rev() {
        let found = select.query_row([subject, *run.start(), *run.end()], |row| row.get(0));
        if let Some(seq) = found.optional()? {
            return Ok(Some(seq));
        }
    }
    Ok(None)
}

/// The newest event of some series in some parts of the record, which are oldest first.
pub(super) fn newest(
    conn: &Connection,
    series: &[Series],
    runs: &[Run],
) -> rusqlite::Result<Option<i64>> {
    for run in runs.iter().rev() {
        let mut found = None;
        for series in series {
            found = found.max(first_of(conn, NEWEST, *series, run)?);
        }
        if found.is_some() {
            return Ok(found);
        }
    }
    Ok(None)
}
