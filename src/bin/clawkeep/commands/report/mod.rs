//! `report`: one page on the state and history of the credentials. Works without a key, and knows
//! more with one.

pub(crate) mod page;

use std::path::{Path, PathBuf};

use chrono::{Days, Local, NaiveDate, TimeZone as _};
use clap::Args;
use clawkeep::internal::audit::{self, Filter, Timeline};
use clawkeep::internal::domain::{Owner, Span, UnixMs, calendar, counted, path_text};
use clawkeep::internal::health::AsOf;
use clawkeep::internal::sync::state_without_key;
use clawkeep::internal::vault::Vault;
use serde_json::json;
use url::Url;

use self::page::facts::{DailyUse, Login, Page, RecordFacts};
use self::page::{GENERATOR, page, timeline_parts};
use crate::commands::logins::rows::{self, LoadedAgents, Row, rows};
use crate::context::Context;
use crate::context::browser::open_browser;
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
    after_help = "Examples:\n  clawkeep report --open\n  clawkeep report --since 90d --to \
        credentials.html\n\nOne HTML file that loads nothing and runs nothing. It holds \
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
    #[arg(long, value_name = "FILE", default_value = "clawkeep-report.html")]
    to: PathBuf,
    /// Open the page in the browser
    #[arg(long)]
    open: bool,
}

impl Report {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.clock.now();
        let until = self.until.map_or(now, |until| until.resolve(now));
        let since = match self.since {
            Some(since) => since.resolve(now),
            None => PERIOD.resolve(until),
        };
        if self.open && target::is_stdout(&self.to) {
            let what = "--open needs a file: name one with --to".to_owned();
            return Err(Failure::BadArgument(what));
        }
        if context.ui.is_json && target::is_stdout(&self.to) {
            let what = "the page would be in place of the JSON: name a file with --to".to_owned();
            return Err(Failure::BadArgument(what));
        }
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
            let text = format!(
                "Wrote {}, {} of the record, to {}\n",
                counted(made.logins.len(), "credential"),
                counted(made.record.events, "event"),
                context.layout.shorten_home(&to)
            );
            let answer = json!({
                "path": path_text(&target::absolute(&to)),
                "credentials": made.logins.len(),
                "events": made.record.events,
            });
            context.ui.done(&text, &answer)?;
        }
        if self.open && !open_browser(context, &address(&to)?) {
            context
                .ui
                .note("No browser was opened: this session has no desktop.");
        }
        Ok(())
    }
}

/// The address of a file for a browser.
fn address(path: &Path) -> Result<String, Failure> {
    let path = target::absolute(path);
    let address = Url::from_file_path(&path)
        .map_err(|()| Failure::BadArgument(format!("{} has no address to open", path.display())))?;
    Ok(address.into())
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
    let (logins, is_plain) = logins(context, vault, as_of)?;
    let period = Filter::default().since(since).until(until);
    let extent = vault.record_stats()?;
    // Nothing is drawn before the record begins.
    let begins = extent
        .times
        .map_or(since, |(first, _)| first.max(since))
        .min(until);
    let from = if begins < until { begins } else { since };
    let parts = timeline_parts(logins.len());
    let drawn = match until < now {
        true => until,
        false => horizon(&logins, (from, now)).max(until),
    };
    let checkpoint = vault.checkpoint()?;
    let mut timeline = vault.timeline(&Filter::default(), &equal_parts(from, drawn, parts))?;
    add_cooldowns(&mut timeline, &logins, now);
    Ok(Page {
        vault: vault.id().to_string(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        generated: now,
        since,
        until,
        host: context.actor.host.clone(),
        logins,
        is_plain,
        timeline,
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

/// The logins, one row each, the worst first, and whether they come from the plain columns alone.
fn logins(context: &Context, vault: &Vault, as_of: AsOf) -> Result<(Vec<Login>, bool), Failure> {
    let mut unlocked = context.unlocked_if_unasked();
    let mut found = match &mut unlocked {
        Some(vault) => {
            let agents = LoadedAgents::load(context, vault, None)?;
            agents.report(context);
            rows(context, vault, &agents)?
        }
        None => Vec::new(),
    };
    let stored = vault.list_credentials()?;
    for held in &stored {
        let is_held = |row: &Row| {
            row.id == held.profile && row.agents.iter().any(|agent| agent.as_str() == held.agent)
        };
        // Without the key, and of a store that cannot be read.
        if !found.iter().any(is_held) {
            let state = state_without_key(vault, held, as_of)?;
            found.push(Row::of_plain(held, &state, as_of.now));
        }
    }
    rows::sort(&mut found);
    let keeper = |row: &Row| {
        let held = stored.iter().find(|held| held.profile == row.id)?;
        (held.owner != Owner::Vault).then(|| held.owner.program())
    };
    let logins = found.into_iter().map(|row| Login {
        keeper: keeper(&row),
        row,
    });
    Ok((logins.collect(), unlocked.is_none()))
}

/// Adds the cooldowns of now that no event began, since they came in with a store: from the last
/// failure on that the store has.
fn add_cooldowns(timeline: &mut Timeline, logins: &[Login], now: UnixMs) {
    for lane in &mut timeline.lanes {
        let mut logins = logins.iter();
        let login = logins.find(|login| login.profiles().any(|whose| whose == lane.profile));
        let Some((since, until)) = login.and_then(|login| login.row.cooldown) else {
            continue;
        };
        let is_now =
            |span: &audit::Span| span.from <= now && span.until.is_none_or(|until| now < until);
        if !lane.cooldowns.iter().any(is_now) {
            lane.cooldowns.push(audit::Span {
                from: since.unwrap_or(now).min(now),
                until: Some(until),
            });
        }
    }
}

/// The end of the time that is drawn: far enough for the next expiry, within limits.
fn horizon(logins: &[Login], (from, now): (UnixMs, UnixMs)) -> UnixMs {
    let past = (now - from).ms().max(0);
    let expires = logins.iter().filter_map(|login| login.row.expires);
    let next = expires.filter(|at| *at > now).min();
    let next = next.map_or(0, |at| (at - now).ms());
    let ahead = next.saturating_add(next / 10);
    let (least, most) = (past / 10, past / 3);
    UnixMs::from_ms(now.0.saturating_add(ahead.clamp(least, most)))
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
