//! The options that select a part of the record.

use clap::Args;
use clap::builder::PossibleValuesParser;
use clap::builder::TypedValueParser as _;
use clawkeep::internal::audit::{
    Direction, Filter, KindFilter, Origin, Outcome, event_groups, from_origin,
};
use clawkeep::internal::domain::{AgentName, ProviderId, UnixMs, is_path};
use clawkeep::internal::vault::{Vault, VaultError};

use super::notes::{note_pruning, note_unknown_names};
use super::shape::{PagingArgs, Rows, Shape, ShapeArgs};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::time_arg::{self, TimeArg};

/// Selects events by profile, provider or agent.
#[derive(Debug, Default, Args)]
pub(crate) struct SubjectArgs {
    /// Only this profile
    #[arg(long, value_name = "ID")]
    profile: Option<String>,
    /// Only this provider
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Only this agent
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

/// Selects events by kind, origin and outcome.
#[derive(Debug, Default, Args)]
pub(crate) struct KindArgs {
    #[arg(long, value_name = "KIND", help = kind_help())]
    kind: Vec<String>,
    #[command(flatten)]
    result: OutcomeArgs,
}

/// Selects events by origin and outcome.
#[derive(Debug, Default, Args)]
pub(crate) struct OutcomeArgs {
    /// Only events from this origin
    #[arg(long, value_name = "ORIGIN", value_parser = origins())]
    origin: Option<Origin>,
    /// Only events with this outcome
    #[arg(long, value_name = "OUTCOME", value_parser = outcomes())]
    outcome: Option<Outcome>,
}

/// Selects the events of a period.
#[derive(Debug, Default, Args)]
pub(crate) struct TimeArgs {
    /// Only events since: 30m, 12h, 7d, 2w, now, today, yesterday, 2026-01-09, 2026-01-09 14:30
    /// (local time), or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    since: Option<TimeArg>,
    /// Only events before
    #[arg(long, value_name = "TIME", value_parser = time_arg::parse, allow_hyphen_values = true)]
    until: Option<TimeArg>,
}

fn kind_help() -> String {
    format!(
        "Only this kind of event (order.set) or group ({}); may be given more than once",
        event_groups().join(", ")
    )
}

fn origins() -> impl clap::builder::TypedValueParser<Value = Origin> {
    let names = Origin::all().map(Origin::as_str);
    PossibleValuesParser::new(names).try_map(|name| Origin::from_name(&name).ok_or("no origin"))
}

fn outcomes() -> impl clap::builder::TypedValueParser<Value = Outcome> {
    let names = Outcome::ALL.iter().map(|outcome| outcome.as_str());
    PossibleValuesParser::new(names).try_map(|name| Outcome::from_name(&name).ok_or("no outcome"))
}

impl SubjectArgs {
    pub(crate) fn filter(self) -> Filter {
        let provider = self.provider.as_deref().map(ProviderId::new);
        Filter::default()
            .profile(self.profile)
            .provider(provider.map(|provider| provider.as_str().to_owned()))
            // An agent without an id is known by its directory, which is no agent id.
            .agent(self.agent.map(|raw| {
                if is_path(&raw) {
                    raw
                } else {
                    AgentName::from_id(&raw).as_str().to_owned()
                }
            }))
    }
}

impl KindArgs {
    pub(crate) fn narrow(self, filter: Filter) -> Result<Filter, Failure> {
        let kinds = self.kind.iter().map(|kind| KindFilter::parse(kind));
        let kinds = kinds.collect::<Result<_, _>>()?;
        Ok(self.result.narrow(filter).kinds(kinds))
    }
}

impl OutcomeArgs {
    pub(crate) fn narrow(self, filter: Filter) -> Filter {
        from_origin(filter, self.origin).outcome(self.outcome)
    }
}

impl TimeArgs {
    pub(crate) fn narrow(self, filter: Filter, now: UnixMs) -> Result<Filter, Failure> {
        let since = self.since.map(|time| time.resolve(now));
        let until = self.until.map(|time| time.resolve(now));
        if let (Some(since), Some(until)) = (since, until)
            && since >= until
        {
            return Err(Failure::BadArgument(
                "--since is not before --until, so nothing can match".to_owned(),
            ));
        }
        Ok(filter.since(since).until(until))
    }
}

/// Sums over events, one row per profile.
#[derive(Debug, Args)]
pub(crate) struct Sums {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    result: OutcomeArgs,
    #[command(flatten)]
    when: TimeArgs,
    /// At most this many profiles [default: all; 0 means all]
    #[arg(long, value_name = "N", value_parser = time_arg::limit, allow_negative_numbers = true)]
    limit: Option<u64>,
    /// In the reverse order
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    shape: ShapeArgs,
    #[command(flatten)]
    paging: PagingArgs,
}

impl Sums {
    pub(crate) fn show<T, const N: usize, const M: usize>(
        self,
        context: &Context,
        vault: &Vault,
        count: impl FnOnce(&Vault, &Filter) -> Result<Vec<T>, VaultError>,
        rows: &Rows<'_, T, N, M>,
    ) -> Result<(), Failure> {
        let filter = self.result.narrow(self.subject.filter());
        let filter = self.when.narrow(filter, context.clock.now())?;
        let mut found = count(vault, &filter)?;
        if self.reverse {
            found.reverse();
        }
        let limit = self.limit.filter(|limit| *limit > 0);
        let limit = limit.and_then(|limit| usize::try_from(limit).ok());
        found.truncate(limit.unwrap_or(usize::MAX));
        if self.shape.shape() == Shape::Table {
            context.note_unverified();
        }
        if found.is_empty() {
            context.ui.note(rows.nothing);
            note_unknown_names(context, vault, &filter)?;
        }
        note_pruning(context, vault, filter.since)?;
        rows.show(context, (self.shape.shape(), self.paging.paging()), &found)
    }
}

/// The direction that `--reverse` asks for.
pub(crate) fn direction(reverse: bool) -> Direction {
    if reverse {
        Direction::OldestFirst
    } else {
        Direction::NewestFirst
    }
}
