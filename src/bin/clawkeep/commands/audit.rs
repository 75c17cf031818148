//! `audit verify|head`: the record's proof.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use clawkeep::audit::{ChainFault, Head, Verified};
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;

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
}

/// `verify`
#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// A head printed earlier [default: the one the last command kept]
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
        let kept = match &self.head {
            Some(path) => {
                let bytes = std::fs::read(path).map_err(|source| Failure::Refused {
                    what: format!("cannot read the head {}: {source}", path.display()),
                    next: "Give a file that `clawkeep audit head` printed, with --head FILE."
                        .to_owned(),
                })?;
                let text = String::from_utf8_lossy(&bytes);
                Some(Head::parse(&text).ok_or_else(|| Failure::BadHead { path: path.clone() })?)
            }
            None => None,
        };
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
        let against = kept.map(|head| head.seq.0);
        if self.json {
            let answer = match &checked {
                Ok(verified) => json!({"ok": true, "events": verified.events, "keptHead": against}),
                Err(fault) => json!({"ok": false, "fault": fault.to_string(), "keptHead": against}),
            };
            context.ui.json(&answer)?;
            return checked.map(|_| ()).map_err(|_| Failure::SaidDamaged);
        }
        let count = checked.map_err(Failure::Chain)?.events;
        let against = match against {
            Some(seq) => format!(", and event {seq} is the one kept as head"),
            None => "; no head was kept to show whether the end was cut off".to_owned(),
        };
        let noun = if count == 1 { "event" } else { "events" };
        context.ui.answer(&format!(
            "The record holds: {count} {noun}, none altered, missing or out of order{against}.\n"
        ))
    }
}
