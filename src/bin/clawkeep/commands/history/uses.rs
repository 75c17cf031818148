//! `history uses`: how often each credential was used, when, and by whom. Needs no key.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use clap::Args;
use clawkeep::internal::audit::{PROGRAMS_OF_NEWEST, Uses};
use clawkeep::internal::vault::Vault;

use crate::context::Context;
use crate::failure::Failure;
use crate::record::ask::Sums;
use crate::record::names::name;
use crate::record::notes::note_changed_stores;
use crate::record::shape::Rows;
use crate::record::{csv, json, text};
use crate::terminal::text::{local_minute, one_line};

/// Callers listed in the table.
const CALLERS_MAX: usize = 3;

/// How often each credential was used, when, and by whom.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep history uses --since 30d\n  clawkeep history uses \
        --provider anthropic --json   with hosts and users"
)]
pub(crate) struct HistoryUses {
    #[command(flatten)]
    sums: Sums,
}

impl HistoryUses {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let vault = context.locked()?;
        note_changed_stores(context, &vault)?;
        let rows = Rows {
            name: "uses",
            nothing: "No use is recorded that matches.",
            header: ["PROFILE", "USES", "FAILED (LAST)", "FIRST", "LAST", "BY"],
            cells: &cells,
            columns: csv::USES,
            csv: csv::uses,
            json: json::uses,
        };
        self.sums.show(context, &vault, Vault::uses, &rows)
    }
}

fn cells(uses: &Uses) -> [String; 6] {
    let (first, last) = uses.span.unzip();
    let time =
        |at: Option<clawkeep::internal::domain::UnixMs>| at.map_or("-".to_owned(), local_minute);
    [
        name(&uses.profile),
        uses.count.to_string(),
        failures(uses),
        time(first),
        time(last),
        callers(uses),
    ]
}

/// Who used it and for which program, each with how often, the most frequent first.
fn callers(uses: &Uses) -> String {
    let mut totals: BTreeMap<String, u64> = BTreeMap::new();
    for (doer, count) in &uses.by {
        *totals.entry(text::actor_name(doer)).or_default() += count;
    }
    let mut ran: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    for (program, doer, count) in &uses.programs {
        let by_caller = ran.entry(text::actor_name(doer)).or_default();
        *by_caller.entry(one_line(program)).or_default() += count;
    }
    let mut listed: Vec<(u64, String)> = Vec::new();
    for (caller, total) in totals {
        let programs = ran.remove(&caller).unwrap_or_default();
        if total > u64::from(PROGRAMS_OF_NEWEST) && !programs.is_empty() {
            // The older uses may be for the same programs or for none.
            let names: Vec<String> = programs.into_keys().collect();
            let names = names.join(", ");
            listed.push((total, format!("{caller} {total} (the newest for {names})")));
            continue;
        }
        let direct = total.saturating_sub(programs.values().sum());
        if direct > 0 {
            listed.push((direct, format!("{caller} {direct}")));
        }
        let programs = programs.into_iter();
        listed.extend(programs.map(|(name, n)| (n, format!("{caller} {n} for {name}"))));
    }
    listed.sort_by_key(|(count, _)| Reverse(*count)); // stable: else by name
    let more = listed.len().saturating_sub(CALLERS_MAX);
    let mut shown: Vec<String> = listed.into_iter().map(|(_, text)| text).collect();
    if more > 0 {
        shown.truncate(CALLERS_MAX);
        shown.push(format!("{more} more"));
    }
    shown.join(", ")
}

/// How often it was refused, and the last time and why.
fn failures(uses: &Uses) -> String {
    let Some(last) = &uses.last_failure else {
        return uses.failed.to_string();
    };
    let why = last
        .reason
        .as_deref()
        .map(|reason| format!("{}, ", one_line(reason)));
    format!(
        "{} ({}{})",
        uses.failed,
        why.unwrap_or_default(),
        local_minute(last.at)
    )
}

#[cfg(test)]
mod tests {
    use clawkeep::internal::audit::{Doer, ProfileRef};

    use super::*;

    #[test]
    fn a_use_is_counted_for_the_program_that_got_it() {
        let doer = |parent: &str| Doer {
            origin: "clawkeep".into(),
            program: "clawkeep".into(),
            parent: Some(parent.into()),
            host: "here".into(),
            uid: 1000,
        };
        for (by, programs, shown) in [
            (
                vec![("bash", 2)],
                vec![("true", "bash", 1)],
                "bash 1, bash 1 for true",
            ),
            (
                vec![("bash", 2)],
                vec![("true", "bash", 2)],
                "bash 2 for true",
            ),
            (
                vec![("bash", 2), ("cron", 5)],
                vec![("true", "bash", 2)],
                "cron 5, bash 2 for true",
            ),
            (
                vec![("bash", 9)],
                vec![("a", "bash", 1), ("b", "bash", 4), ("c", "bash", 2)],
                "bash 4 for b, bash 2, bash 2 for c, 1 more",
            ),
            (
                vec![("bash", 12_000)],
                vec![("true", "bash", 9000)],
                "bash 12000 (the newest for true)",
            ),
            (vec![], vec![], ""),
        ] {
            let programs = programs.into_iter();
            let uses = Uses {
                profile: ProfileRef {
                    agent: None,
                    id: "openai:manual".into(),
                },
                provider: None,
                count: 0,
                failed: 0,
                last_failure: None,
                span: None,
                by: by.into_iter().map(|(name, n)| (doer(name), n)).collect(),
                programs: programs
                    .map(|(name, by, n)| (name.to_owned(), doer(by), n))
                    .collect(),
            };
            assert_eq!(callers(&uses), shown);
        }
    }
}
