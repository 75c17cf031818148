//! `export`: writes the agent's store, or its content elsewhere.

use std::path::{Path, PathBuf};

use clap::Args;
use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::config::{AgentRef, ExportMode, order_agent};
use clawkeep::internal::domain::{StoreDoc, from_outside, path_text};
use clawkeep::internal::export::{StorePlace, render};
use clawkeep::internal::platform::resolve_link;
use clawkeep::internal::vault::UnlockedVault;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::{self, Readers, Replaceable};
use crate::terminal::text::{json_shown, shown_id};

/// Write the agent's auth-profiles.json, or its content elsewhere.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep export                           write auth-profiles.json \
        where the gateway looks\n  clawkeep export --to store.json --reveal  a copy in the clear, \
        mode 0600\n  clawkeep export --to - --reveal           on stdout"
)]
pub(crate) struct Export {
    /// The agent [default: the configured default agent]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Where to: a file, or - for stdout [default: the agent's auth-profiles.json]
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Confirm that the secrets are written as plain text
    #[arg(long)]
    reveal: bool,
}

/// A copy may replace an earlier copy of a store.
const COPY: Replaceable = Replaceable::With("\"profiles\":");

impl Export {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = order_agent(&context.layout, context.settings()?, self.agent.as_deref());
        let place = StorePlace::of_agent(&agent.dir)?;
        let to = self.to.as_deref().map(|to| target::resolved(context, to));
        match to {
            Some(to) if resolve_link(&to)? != place.real() => self.elsewhere(context, &agent, &to),
            _ => {
                let mut vault = context.vault()?;
                let mode = context.mode_for(&vault, &agent)?;
                let loaded =
                    context.with_engine(&mut vault, |engine| engine.rewrite(&agent, mode))?;
                context.report_load(&loaded);
                let path = context.layout.shorten_home(place.path());
                if let Some(openclaw) = place.openclaw_dir() {
                    return Err(Failure::Refused {
                        what: format!(
                            "{path} was not written: {} belongs to a newer gateway, OpenClaw, {}",
                            context.layout.shorten_home(&openclaw.root),
                            openclaw.why_not_written()
                        ),
                        next: "Write it elsewhere with: clawkeep export --to FILE --reveal"
                            .to_owned(),
                    });
                }
                if context.export_modes(&vault).of(&agent) == Some(ExportMode::Off) {
                    return Err(Failure::Refused {
                        what: format!(
                            "{path} was not written: clawkeep.export is \"off\" for {}{}",
                            agent.name,
                            match context.own()?.export {
                                Some(_) => "",
                                None => ", the default where no gateway reads it",
                            }
                        ),
                        next: format!(
                            "Use clawkeep token or clawkeep exec, write a copy elsewhere with \
                             --to FILE --reveal, or set export = \"file\" in {}.",
                            context.layout.shorten_home(&context.layout.settings_file)
                        ),
                    });
                }
                let what = if loaded.doc.is_blank() {
                    "nothing to export to"
                } else {
                    "exported to"
                };
                if loaded.unopened.is_empty()
                    && loaded.not_written.is_none()
                    && context.own().is_ok()
                {
                    let text = format!("{}: {what} {path}\n", shown_id(agent.name.as_str()));
                    context
                        .ui
                        .done(&text, &to_json(&agent, place.path(), &loaded.doc))?;
                }
                context.verdict(loaded)
            }
        }
    }

    fn elsewhere(&self, context: &Context, agent: &AgentRef, to: &Path) -> Result<(), Failure> {
        if !self.reveal {
            return Err(Failure::BadArgument(format!(
                "{} would contain the secrets as plain text; to allow that, pass --reveal",
                if target::is_stdout(to) {
                    "stdout".to_owned()
                } else {
                    to.display().to_string()
                }
            )));
        }
        target::check(context, to, COPY)?;
        target::check_not_openclaws(context, to)?;
        let mut vault = context.vault_to_record_in(None)?;
        let loaded = context.load(&mut vault, agent)?;
        if !loaded.unopened.is_empty() {
            return Err(Failure::Unopened {
                rows: loaded.unopened,
            });
        }
        record(context, &mut vault, agent, to)?;
        let bytes = render(&loaded.doc);
        if target::is_stdout(to) {
            let text = zeroize::Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
            return context.ui.write(&json_shown(&text));
        }
        target::write(context, to, (COPY, Readers::Owner), |out| {
            out.write_all(&bytes).map_err(Failure::Output)
        })?;
        let text = format!(
            "{}: exported to {}\n",
            shown_id(agent.name.as_str()),
            context.layout.shorten_home(to)
        );
        let to = target::absolute(to);
        context.ui.done(&text, &to_json(agent, &to, &loaded.doc))?;
        context.verdict(loaded)
    }
}

fn to_json(agent: &AgentRef, path: &Path, doc: &StoreDoc) -> Value {
    json!({
        "agentId": agent.name.as_str(),
        "path": path_text(path),
        "profiles": doc.credentials().count(),
    })
}

/// Recorded before the first byte of a secret is written. Source: `spec/vault.md`, The audit
/// record.
fn record(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    to: &Path,
) -> Result<(), Failure> {
    context.with_engine(vault, |engine| {
        let mut tx = engine.vault.begin(&context.actor, context.clock)?;
        let path = from_outside(&path_text(to));
        let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
            .detail("path", path)
            .detail("reason", "reveal");
        tx.append(Some(&agent.name), event)?;
        Ok(tx.commit()?)
    })
}
