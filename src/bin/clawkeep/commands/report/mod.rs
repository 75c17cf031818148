//! `report`: one page on the state and history of the credentials. Needs no key.

pub(crate) mod page;

use std::path::PathBuf;

use chrono::{Days, Local, NaiveDate, TimeZone as _};
use clap::Args;
use clawkeep::internal::audit::{Filter, ProfileRef, Timeline};
use clawkeep::internal::domain::{CredentialType, Owner, Span, UnixMs, calendar, counted};
use clawkeep::internal::health::{AsOf, CredentialState};
use clawkeep::internal::vault::{StoredCredential, Vault};

use self::page::facts::{DailyUse, HealthRow, Page, RecordFacts};
use self::page::{GENERATOR, page, timeline_parts};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::{self, Readers, Replaceable};
use crate::options::time_arg::{self, TimeArg};
use crate::record::axis::equal_parts;
use crate::record::notes::{note_changed_stores, note_pruning};

/// What the page covers unless `--since` says otherwise, in milliseconds: 30 days.
const PERIOD: TimeArg = TimeArg::Ago(Span::days(30));
/// Days that are counted one by one; a longer time is cut to the last of them in the uses a day.
const DAYS_MAX: u64 = 400;

/// Write a page on the state and history of the credentials.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep report --to credentials.html\n  clawkeep report --since \
        90d --to credentials.html\n\nOne HTML file that loads nothing and runs nothing. It holds \
        no secret, but it names profiles, programs and hosts."
)]
pub(crate) struct Report {
    /// From when on: 30d, 2026-01-09, 2026-01-09 14:30 (local time), or RFC 3339
    /// [default: 30 days before --until]
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    since: Option<TimeArg>,
    /// Before when [default: now]
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
    /// The file to write, or - for stdout
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl Report {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.clock.now();
        let until = self.until.map_or(now, |until| until.resolve(now));
        let since = match self.since {
            Some(since) => since.resolve(now),
            None => PERIOD.resolve(until),
        };
        if since >= until {
            return Err(Failure::BadArgument(
                "the page would cover no time: --since is not before --until".to_owned(),
            ));
        }
        let vault = context.locked()?;
        note_changed_stores(context, &vault)?;
        note_pruning(context, &vault, Some(since))?;
        let progress = context.ui.progress("Reading the record");
        let made = made(context, &vault, (since, until), now)?;
        let text = page(&made);
        drop(progress);
        let to = target::resolved(context, &self.to);
        target::write(
            context,
            &to,
            (Replaceable::With(GENERATOR), Readers::Owner),
            |out| out.write_all(text.as_bytes()).map_err(Failure::Output),
        )?;
        if !target::is_stdout(&to) {
            context.ui.answer(&format!(
                "Wrote {}, {} of the record, to {}\n",
                counted(made.health.len(), "credential"),
                counted(made.record.events, "event"),
                context.layout.shorten_home(&to)
            ))?;
        }
        Ok(())
    }
}

/// Collects everything that the page shows.
fn made(
    context: &Context,
    vault: &Vault,
    (since, until): (UnixMs, UnixMs),
    now: UnixMs,
) -> Result<Page, Failure> {
    context.own()?; // what is expiring is a setting
    let as_of = context.as_of(now);
    let credentials = vault.list_credentials()?;
    let health: Vec<HealthRow> = credentials.iter().map(|held| row(held, as_of)).collect();
    let period = Filter::default().since(since).until(until);
    let extent = vault.record_stats()?;
    // Nothing is drawn before the record begins.
    let begins = extent
        .times
        .map_or(since, |(first, _)| first.max(since))
        .min(until);
    let from = if begins < until { begins } else { since };
    let parts = timeline_parts(health.len());
    let checkpoint = vault.checkpoint()?;
    Ok(Page {
        vault: vault.id().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generated: now,
        since,
        until,
        host: context.actor.host.clone(),
        health,
        timeline: vault.timeline(&Filter::default(), &equal_parts(from, until, parts))?,
        days: daily(vault, from, until)?,
        refreshes: vault.refreshes(&period)?,
        uses: vault.uses(&period)?,
        record: RecordFacts {
            events: extent.events,
            range: extent.times,
            head: vault.head()?.map(|head| head.to_string()),
            pruned: checkpoint.map(|pruned| (pruned.removed, pruned.last.0)),
            kept_head: context
                .kept_head(vault)
                .ok()
                .flatten()
                .map(|head| head.seq.0),
        },
    })
}

fn row(held: &StoredCredential, as_of: AsOf) -> HealthRow {
    let state = CredentialState::of_plain(held.kind, &held.provider, held.expires, as_of);
    let is_reliable = state.unreliable_expiry().is_none();
    HealthRow {
        whose: ProfileRef {
            agent: Some(held.agent.as_str().into()),
            id: held.profile.as_str().into(),
        },
        provider: held.provider.clone(),
        kind: match held.kind {
            CredentialType::ApiKey => "API key",
            CredentialType::Token => "token",
            CredentialType::OAuth => "OAuth login",
            _ => "unknown",
        },
        keeper: match held.owner {
            Owner::Vault => "vault",
            owner => owner.program(),
        },
        status: state.status(),
        expires: held
            .expires
            .filter(|_| is_reliable)
            .map(|expires| UnixMs::from_ms(expires.floor_ms())),
        cooldown_until: held.cooldown_until.filter(|until| *until > as_of.now),
        last_used: held.last_used,
    }
}

fn daily(vault: &Vault, from: UnixMs, until: UnixMs) -> Result<DailyUse, Failure> {
    let day = |at: UnixMs| {
        let at = calendar(at).unwrap_or_default();
        at.with_timezone(&Local).date_naive()
    };
    let last = day(UnixMs::from_ms(until.0.saturating_sub(1)));
    let first = last
        .checked_sub_days(Days::new(DAYS_MAX - 1))
        .map_or(day(from), |earliest| earliest.max(day(from)));
    let days: Vec<NaiveDate> = first.iter_days().take_while(|day| *day <= last).collect();
    let begins = |day: NaiveDate| {
        // Where the clocks go forward at midnight, the day begins later.
        let hours = (0..24).filter_map(|hour| day.and_hms_opt(hour, 0, 0));
        let begins = hours
            .filter_map(|at| Local.from_local_datetime(&at).earliest())
            .next();
        begins.map_or(from, |at| UnixMs::from_ms(at.timestamp_millis()))
    };
    let next = last.checked_add_days(Days::new(1)).unwrap_or(last);
    let mut bounds: Vec<UnixMs> = days.iter().copied().chain([next]).map(begins).collect();
    // The page's time need not begin or end at midnight.
    if let Some(first) = bounds.first_mut() {
        *first = (*first).max(from);
    }
    if let Some(last) = bounds.last_mut() {
        *last = (*last).min(until);
    }
    let Timeline { lanes, .. } = vault.timeline(&Filter::default(), &bounds)?;
    let used = lanes
        .into_iter()
        .filter(|lane| lane.uses.iter().any(|count| *count > 0));
    Ok(DailyUse {
        days: days
            .iter()
            .map(|day| day.format("%Y-%m-%d").to_string())
            .collect(),
        series: used.map(|lane| (lane.profile, lane.uses)).collect(),
    })
}
