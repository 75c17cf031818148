//! `audit verify|head`: the record's proof.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clawkeep::audit::{ChainFault, Head, HeadCheck, Verified};
use serde_json::{Value, json};

use super::audit_export::AuditExport;
use super::audit_prune::AuditPrune;
use crate::context::Context;
use crate::failure::Failure;
use crate::record::json::fields;

/// The record.
#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Prove that no event was altered, dropped, inserted or reordered
    #[command(
        after_help = "Examples:\n  clawkeep audit verify                    against the head that the last command kept\n  clawkeep audit verify --head saved.head  against one you kept elsewhere"
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
                context.ui.answer(&format!("{head}\n"))
            }
        }
    }
}

impl Verify {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let kept = self.head.as_deref().map(read_head).transpose()?;
        context.locked()?; // verifying never makes a vault
        let vault = context.vault()?;
        let kept = match kept {
            Some(head) => Some(head),
            None => context.kept_head(&vault)?,
        };
        let faults = vault.integrity_faults()?;
        if let Some(fault) = faults.into_iter().next() {
            let path = vault.path().to_owned();
            return Err(clawkeep::vault::VaultError::Damaged { path, what: fault }.into());
        }
        let checked = vault.verify_record(kept)?;
        self.say(context, kept, checked)?;
        // The record holds; so must what it speaks of.
        let mut rows = Vec::new();
        for agent in vault.agents()? {
            rows.extend(vault.agent(&agent)?.unopened);
        }
        if rows.is_empty() {
            Ok(())
        } else {
            Err(Failure::Unopened { rows })
        }
    }

    fn say(
        &self,
        context: &Context,
        kept: Option<Head>,
        checked: Result<Verified, ChainFault>,
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
            return checked.map(|_| ()).map_err(|_| Failure::SaidDamaged);
        }
        let verified = checked.map_err(Failure::Chain)?;
        let against = match verified.head {
            HeadCheck::Holds(seq) => format!(", and event {seq} is the one kept as head"),
            HeadCheck::Pruned(seq) => {
                format!("; event {seq}, whose head is kept, was pruned since")
            }
            HeadCheck::NoHead => {
                "; no head was kept to show whether the end was cut off".to_owned()
            }
        };
        let noun = if verified.events == 1 {
            "event"
        } else {
            "events"
        };
        let pruned = verified.checkpoint.map(|pruned| {
            format!(
                " Of those up to {}, {} were pruned, and the {} kept are those that were there.",
                pruned.last, pruned.removed, pruned.kept
            )
        });
        context.ui.answer(&format!(
            "The record holds: {} {noun}, none altered, missing or out of order{against}.{}\n",
            verified.events,
            pruned.unwrap_or_default()
        ))
    }
}

/// Reads a head that `audit head` printed, or the one at the end of what `audit export` wrote.
fn read_head(path: &Path) -> Result<Head, Failure> {
    /// A head, and what JSON puts around it, are shorter than this many bytes.
    const TAIL: u64 = 4096;
    let read = || -> std::io::Result<Vec<u8>> {
        let mut file = std::fs::File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(length.saturating_sub(TAIL)))?;
        let mut bytes = Vec::new();
        file.take(TAIL).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|source| Failure::Refused {
        what: format!("cannot read the head {}: {source}", path.display()),
        next: "Give a file that `clawkeep audit head` or `clawkeep audit export` wrote, with --head FILE.".to_owned(),
    })?;
    let text = String::from_utf8_lossy(&bytes);
    let last = text.trim_end().lines().next_back().unwrap_or_default();
    let exported = serde_json::from_str::<Value>(last).ok();
    let exported = exported
        .as_ref()
        .and_then(|line| line.get("head")?.as_str());
    let head = exported
        .and_then(Head::parse)
        .or_else(|| Head::parse(&text));
    head.ok_or_else(|| Failure::BadHead {
        path: path.to_owned(),
    })
}
