//! `audit export`: writes the record to a file. Needs no key, and contains none.

use std::path::PathBuf;

use clap::Args;
use clawkeep::internal::audit::{Direction, Filter, Head};
use clawkeep::internal::domain::{counted, path_text};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::{self, Readers, Replaceable};
use crate::record::ask::TimeArgs;
use crate::record::json;
use crate::terminal::text::json_line;

/// Write the record to a file, an event a line, and its head as the last line.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep audit export --to record-2026-01-09.jsonl\n  clawkeep \
        audit export --since 30d --to - | gzip > record.jsonl.gz\n  clawkeep audit verify --head \
        record-2026-01-09.jsonl   later: is the record still what was exported?"
)]
pub(crate) struct AuditExport {
    #[command(flatten)]
    when: TimeArgs,
    /// The file to write, or - for stdout
    #[arg(long, value_name = "FILE")]
    to: PathBuf,
}

impl AuditExport {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let filter = self
            .when
            .narrow(Filter::default(), context.clock.now())?
            .direction(Direction::OldestFirst);
        let vault = context.locked()?;
        let to = target::resolved(context, &self.to);
        let mut count = 0_u64;
        // The record itself goes to stdout.
        let progress =
            (!target::is_stdout(&to)).then(|| context.ui.progress("Exporting the record"));
        target::write(
            context,
            &to,
            (Replaceable::Nothing, Readers::Owner),
            |out| {
                let mut line = |value: &serde_json::Value| {
                    writeln!(out, "{}", json_line(value)).map_err(Failure::Output)
                };
                let mut head = vault.head()?;
                for event in vault.history(&filter)? {
                    let event = event?;
                    line(&json::event(&event))?;
                    count += 1;
                    // Events recorded meanwhile are in neither the file nor the head.
                    head = Some(Head {
                        vault: vault.id(),
                        seq: event.seq,
                        mac: event.mac,
                    });
                }
                line(&json!({"head": head.map(|head| head.to_string())}))
            },
        )?;
        drop(progress);
        if !target::is_stdout(&to) {
            let text = format!(
                "Wrote {} to {}\n",
                counted(count, "event"),
                context.layout.shorten_home(&to)
            );
            let answer = json!({"path": path_text(&target::absolute(&to)), "events": count});
            context.ui.done(&text, &answer)?;
        }
        Ok(())
    }
}
