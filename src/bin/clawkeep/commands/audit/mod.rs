//! `audit verify|head`: the record's proof.

pub(crate) mod export;
pub(crate) mod prune;
pub(crate) mod saved_head;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clawkeep::internal::audit::{ChainFault, Head, HeadCheck, Verified};
use clawkeep::internal::client::HeadProblem;
use clawkeep::internal::domain::counted;
use serde_json::json;

use self::export::AuditExport;
use self::prune::AuditPrune;
use self::saved_head::{Compared, SavedHead};
use crate::context::Context;
use crate::failure::Failure;
use crate::record::json::fields;

/// The record.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  clawkeep audit verify\n  clawkeep audit head > saved.head")]
pub(crate) enum Audit {
    /// Prove that no event was altered, dropped, inserted or reordered
    #[command(
        after_help = "Examples:\n  clawkeep audit verify                    against the head that \
            the last command kept\n  clawkeep audit verify --head saved.head  against one you \
            kept elsewhere"
    )]
    Verify(Verify),
    /// Print the record's head, to be kept elsewhere
    #[command(after_help = "Example:\n  clawkeep audit head > saved.head")]
    Head(PrintHead),
    /// Write the record to a file, with its head
    Export(AuditExport),
    /// Remove old events, and leave a checkpoint
    Prune(AuditPrune),
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A head printed earlier, or an exported record [default: the head that the last command kept]
    #[arg(long, value_name = "FILE")]
    head: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `head`
#[derive(Debug, Args)]
pub(crate) struct PrintHead {}

impl Audit {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Verify(command) => command.run(context),
            Self::Export(command) => command.run(context),
            Self::Prune(command) => command.run(context),
            Self::Head(_) => {
                let head = context.locked()?.head()?;
                let head = head.ok_or(Failure::Chain(ChainFault::Empty))?;
                let text = head.to_string();
                context
                    .ui
                    .done(&format!("{text}\n"), &json!({"head": text}))
            }
        }
    }
}

impl Verify {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let saved = self.head.as_deref().map(SavedHead::read).transpose()?;
        let vault = context.unlocked_to_read()?; // verifying never creates or writes a vault
        let kept = match &saved {
            Some(saved) => Some(saved.head),
            None => context.kept_head(&vault)?,
        };
        let progress = context.ui.progress("Verifying the record");
        let faults = vault.integrity_faults()?;
        if let Some(fault) = faults.into_iter().next() {
            let path = vault.path().to_owned();
            return Err(
                clawkeep::internal::vault::VaultError::Damaged { path, what: fault }.into(),
            );
        }
        let checked = vault.verify_record(kept)?;
        let export = saved
            .as_ref()
            .filter(|saved| saved.is_export && checked.is_ok());
        let compared = export.map(|export| export.compare(&vault)).transpose()?;
        let is_compared =
            !matches!(&checked, Ok(verified) if matches!(verified.head, HeadCheck::Pruned(_)));
        drop(progress);
        if saved.is_none() && context.is_head_blank(&vault) {
            let path = context.layout.head_file(vault.id());
            let problem = HeadProblem::Emptied { path };
            context.ui.warn(&format!("Warning: {problem}"));
        }
        self.print_result(context, kept, checked, compared)?;
        if let Some(saved) = saved.filter(|_| !is_compared) {
            return Err(Failure::Refused {
                what: format!(
                    "cannot verify against the head in {}: event {}, its source, has been pruned",
                    saved.path.display(),
                    saved.head.seq
                ),
                next: "Save a newer one: clawkeep audit head".to_owned(),
            });
        }
        // The record verifies; the rows that it describes must match it too.
        let rows = vault.altered_rows()?.into_iter().map(|row| row.name);
        let rows: Vec<String> = rows.collect();
        if rows.is_empty() {
            Ok(())
        } else {
            Err(Failure::Unopened { rows })
        }
    }

    fn print_result(
        &self,
        context: &Context,
        kept: Option<Head>,
        checked: Result<Verified, ChainFault>,
        compared: Option<Compared>,
    ) -> Result<(), Failure> {
        if self.json {
            let against = kept.map(|head| head.seq.0);
            let answer = match &checked {
                Ok(verified) => fields([
                    ("ok", Some(json!(true))),
                    ("events", Some(json!(verified.events))),
                    ("last", Some(json!(verified.last.0))),
                    ("keptHead", Some(json!(against))),
                    (
                        "head",
                        Some(json!(match verified.head {
                            HeadCheck::Holds(_) => "holds",
                            HeadCheck::Pruned(_) => "pruned",
                            _ => "none",
                        })),
                    ),
                    ("compared", compared.map(|compared| json!(compared.same))),
                    (
                        "pruned",
                        verified.checkpoint.map(|pruned| json!(pruned.removed)),
                    ),
                ]),
                Err(fault) => fields([
                    ("ok", Some(json!(false))),
                    ("fault", Some(json!(fault.to_string()))),
                    ("kind", Some(json!(fault.kind()))),
                    ("seq", fault.seq().map(|seq| json!(seq.0))),
                    ("keptHead", Some(json!(against))),
                ]),
            };
            context.ui.json(&answer)?;
            return checked.map(|_| ()).map_err(|_| Failure::ReportedDamaged);
        }
        let verified = checked.map_err(Failure::Chain)?;
        let against = match verified.head {
            HeadCheck::Holds(seq) => format!(", and event {seq} is the one kept as head"),
            HeadCheck::Pruned(seq) => {
                format!("; event {seq}, whose head is kept, was pruned since")
            }
            _ => "; no head was kept to show whether the end was cut off".to_owned(),
        };
        let pruned = verified.checkpoint.map(|pruned| {
            format!(
                " Of those up to {}, {} were pruned, and the {} kept are those that were there.",
                pruned.last, pruned.removed, pruned.kept
            )
        });
        let compared = compared.map(|compared| match compared.pruned {
            0 => format!(
                " All {} events of the export are in it as they were.",
                compared.same
            ),
            pruned => format!(
                " Of the export's events {} are in it as they were, and {pruned} were pruned \
                 since.",
                compared.same
            ),
        });
        context.ui.answer(&format!(
            "The record holds: {}, none altered, missing or out of order{against}.{}{}\n",
            counted(verified.events, "event"),
            pruned.unwrap_or_default(),
            compared.unwrap_or_default()
        ))
    }
}
