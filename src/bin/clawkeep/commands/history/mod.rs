//! `history`: shows the events of credentials. Needs no key.

pub(crate) mod at;
pub(crate) mod chart;
mod follow;
mod layout;
pub(crate) mod refreshes;
pub(crate) mod uses;

use std::io::Write;

use clap::{Args, Subcommand};
use clawkeep::internal::audit::{Event, Filter};
use clawkeep::internal::domain::Span;
use clawkeep::internal::vault::Vault;

use self::layout::{Layout, Style};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::named::{Named, Names};
use crate::options::time_arg;
use crate::record::ask::{KindArgs, SubjectArgs, TimeArgs, direction};
use crate::record::axis::equal_parts;
use crate::record::notes::{note_changed_stores, note_pruning, note_unknown_names};
use crate::record::shape::{PagingArgs, Shape, ShapeArgs};
use crate::record::{csv, json};
use crate::terminal::pager::Paging;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::json_line;

/// Rows of the table unless `--limit` says otherwise: a screenful or two.
const TABLE_ROWS: u64 = 50;
/// Rows that a table's columns are measured by. Those that follow are printed as they come.
const MEASURED_ROWS: usize = 1000;
/// What a chart covers unless `--since` says otherwise.
const CHART_PERIOD: Span = Span::days(7);
/// Columns of a chart that goes to no terminal.
const CHART_WIDTH: usize = 80;

/// What happened to which credential.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  clawkeep history                                         the \
        newest 50 events\n  clawkeep history --profile anthropic:claude-cli --since 7d\n  \
        clawkeep history --kind refresh --json                   a group of kinds: refresh, sync, \
        order, expiry, …\n  clawkeep history --outcome failed --since 24h            what failed \
        today\n  clawkeep history --chart --since 30d                     each credential over \
        time, drawn\n  clawkeep history uses --since 30d                        who used which \
        credential, and how often"
)]
pub(crate) struct History {
    #[command(subcommand)]
    summary: Option<Summary>,
    #[command(flatten)]
    list: Box<List>,
}

/// The sums over events.
#[derive(Debug, Subcommand)]
pub(crate) enum Summary {
    /// How often each credential was used, when, and by whom
    Uses(uses::HistoryUses),
    /// How often each credential was refreshed, how often that failed, and when the next is due
    Refreshes(refreshes::HistoryRefreshes),
    /// Show which credentials existed at a time, and which one was last used
    At(at::HistoryAt),
}

#[derive(Debug, Args)]
struct List {
    /// Only this provider, or this credential by a part of its id
    #[arg(value_name = "PROVIDER|ID", conflicts_with_all = ["provider", "profile"])]
    named: Option<String>,
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    kinds: KindArgs,
    #[command(flatten)]
    when: TimeArgs,
    /// At most this many [default: 50 in the table, all in JSON and CSV; 0 means all]
    #[arg(long, value_name = "N", value_parser = time_arg::limit, allow_negative_numbers = true)]
    limit: Option<u64>,
    /// The oldest first
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Draw a lane for each credential instead: when it was valid, refreshed, refused, and used
    /// [default: the last 7 days]
    #[arg(long, conflicts_with_all = ["kind", "origin", "outcome", "limit", "reverse", "json",
        "jsonl", "csv"])]
    chart: bool,
    /// Print the newest 10, the oldest first, and then each event as it is recorded; with --json a
    /// document a line
    #[arg(short, long, conflicts_with_all = ["until", "reverse", "csv", "chart"])]
    follow: bool,
    /// Print columns, as where stdout is no terminal, and not sentences
    #[arg(long, conflicts_with_all = ["json", "jsonl", "csv", "chart"])]
    columns: bool,
    #[command(flatten)]
    paging: PagingArgs,
}

impl History {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self.summary {
            None => self.list.run(context),
            Some(Summary::Uses(command)) => command.run(context),
            Some(Summary::Refreshes(command)) => command.run(context),
            Some(Summary::At(command)) => command.run(context),
        }
    }
}

impl List {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let (subject, named) = (self.subject.filter(), self.named.as_deref());
        if self.chart {
            let mut filter = self.when.narrow(subject, context.clock.now())?;
            let vault = open(context, named, Shape::Table, &mut filter)?;
            return draw(context, &vault, &filter);
        }
        let shape = self.shape.shape();
        let style = match self.columns || is_called_as_gateway() || !context.ui.is_terminal() {
            true => Style::Columns,
            false => Style::Sentences,
        };
        if self.follow {
            let filter = self.kinds.narrow(subject)?;
            let mut filter = self.when.narrow(filter, context.clock.now())?;
            // A vault that is refused is refused before anything is printed.
            open(context, named, shape, &mut filter)?;
            return show_followed(context, &filter, self.limit, shape, style);
        }
        let paging = self.paging.paging();
        let limit = match (self.limit, shape) {
            (Some(0), _) => None,
            (Some(limit), _) => Some(limit),
            (None, Shape::Table) => Some(TABLE_ROWS),
            (None, _) => None,
        };
        let filter = self.kinds.narrow(subject)?;
        let filter = self.when.narrow(filter, context.clock.now())?;
        let mut filter = filter.direction(direction(self.reverse));
        // One more tells whether there is more.
        filter.limit = limit.map(|limit| limit.saturating_add(u64::from(shape == Shape::Table)));
        let vault = open(context, named, shape, &mut filter)?;
        note_changed_stores(context, &vault)?;
        if shape == Shape::Table {
            return show_table(context, &vault, &filter, limit, (style, paging));
        }
        context
            .ui
            .stream(|out| write_events(out, &vault, &filter, shape))
    }
}

/// Opens the vault, and narrows the filter to what a word names in its record.
fn open(
    context: &Context,
    named: Option<&str>,
    shape: Shape,
    filter: &mut Filter,
) -> Result<Vault, Failure> {
    let vault = context.locked()?;
    if let Some(word) = named {
        select_named(context, &vault, word, filter)?;
    }
    if shape == Shape::Table {
        context.note_unverified();
    }
    Ok(vault)
}

/// Narrows a filter to the provider or the profile that a word names in the record.
fn select_named(
    context: &Context,
    vault: &Vault,
    word: &str,
    filter: &mut Filter,
) -> Result<(), Failure> {
    let names = Names::of(context, Some(vault), None)?.with_recorded(&vault.names()?);
    match names.find(word)?.ok_or_else(|| names.unknown(word))? {
        Named::Provider(provider) => filter.provider = Some(provider.as_str().to_owned()),
        Named::Id(id) => filter.profile = Some(id),
    }
    Ok(())
}

pub(crate) fn write_events(
    out: &mut dyn Write,
    vault: &Vault,
    filter: &Filter,
    shape: Shape,
) -> Result<(), Failure> {
    let events = vault.history(filter)?;
    match shape {
        Shape::Csv => {
            let mut rows = csv::Rows::begin(out, csv::EVENT)?;
            for event in events {
                rows.row(&csv::event(&event?))?;
            }
            rows.end()
        }
        Shape::JsonLines => {
            for event in events {
                writeln!(out, "{}", json_line(&json::event(&event?))).map_err(Failure::Output)?;
            }
            Ok(())
        }
        Shape::Json | Shape::Table => {
            let mut list = json::List::begin(out, "events").map_err(Failure::Output)?;
            for event in events {
                list.item(&json::event(&event?)).map_err(Failure::Output)?;
            }
            list.end().map_err(Failure::Output)
        }
    }
}

fn show_table(
    context: &Context,
    vault: &Vault,
    filter: &Filter,
    limit: Option<u64>,
    (style, paging): (Style, Paging),
) -> Result<(), Failure> {
    let mut events = vault.history(filter)?;
    let first = events
        .by_ref()
        .take(MEASURED_ROWS)
        .collect::<Result<Vec<Event>, _>>()?;
    if first.is_empty() {
        context.ui.note("No event matches.");
        note_unknown_names(context, vault, filter)?;
        return note_pruning(context, vault, filter.since);
    }
    let layout = Layout::of(style, context.ui.width(), &first);
    let mut room = limit.unwrap_or(u64::MAX);
    let mut is_more = false;
    context.ui.stream_long(paging, |out| {
        let mut put = |text: &str| out.write_all(text.as_bytes()).map_err(Failure::Output);
        put(&layout.header())?;
        for event in first.into_iter().map(Ok).chain(events) {
            if room == 0 {
                is_more = true;
                return Ok(());
            }
            room -= 1;
            put(&layout.event(&event?))?;
        }
        Ok(())
    })?;
    if is_more {
        context.ui.note("More events match. To see all: --limit 0");
        return Ok(());
    }
    note_pruning(context, vault, filter.since)
}

fn show_followed(
    context: &Context,
    filter: &Filter,
    limit: Option<u64>,
    shape: Shape,
    style: Style,
) -> Result<(), Failure> {
    let mut layout = None;
    follow::follow(context, filter, limit, |events| {
        context.ui.stream(|out| {
            let mut put = |text: &str| out.write_all(text.as_bytes()).map_err(Failure::Output);
            if shape != Shape::Table {
                return events
                    .iter()
                    .try_for_each(|event| put(&format!("{}\n", json_line(&json::event(event)))));
            }
            if layout.is_none() && !events.is_empty() {
                put(&layout
                    .insert(Layout::of(style, context.ui.width(), events))
                    .header())?;
            }
            let mut shown = events.iter().zip(layout.iter().cycle());
            shown.try_for_each(|(event, layout)| put(&layout.event(event)))
        })
    })
}

fn draw(context: &Context, vault: &Vault, filter: &Filter) -> Result<(), Failure> {
    let now = context.clock.now();
    let until = filter.until.unwrap_or(now);
    let since = filter.since.unwrap_or(until - CHART_PERIOD);
    if since >= until {
        return Err(Failure::BadArgument(
            "the chart would cover no time: --since is not before its end, which is now".to_owned(),
        ));
    }
    note_changed_stores(context, vault)?;
    let lanes = vault.timeline(filter, &[since, until])?.lanes;
    note_pruning(context, vault, Some(since))?;
    if lanes.is_empty() {
        let nothing = "Nothing is recorded of a credential that matches.";
        context.ui.note(nothing);
        return note_unknown_names(context, vault, filter);
    }
    let width = context.ui.width().unwrap_or(CHART_WIDTH);
    let columns = chart::lane_columns(lanes.iter().map(|lane| &lane.profile), width);
    let timeline = vault.timeline(filter, &equal_parts(since, until, columns))?;
    let palette = chart::Palette {
        unicode: context.env.is_utf8(),
        colour: context.ui.colour_on_stdout(),
    };
    context
        .ui
        .answer(&chart::chart(&timeline, width, now, palette))
}
