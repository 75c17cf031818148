//! `models auth keep` and `models auth adopt`: choose the login of a mirrored profile when its
//! program has another one.

use clap::Args;
use clawkeep::internal::domain::Owner;
use clawkeep::internal::sync::{Keeping, LoginReport, LoginState};
use serde_json::json;

use super::checks;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::terminal::program_name::restore_command;
use crate::terminal::text::{one_line, shown_id};

/// Keep a stored login although its program is logged out or has another one.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep models auth keep anthropic:claude-cli\n\nclawkeep hands \
        out the stored login until it expires, without a warning. The decision holds until the \
        program logs in or out again."
)]
pub(crate) struct Keep {
    /// The profile
    #[arg(value_name = "ID", value_parser = ids::profile)]
    id: String,
    #[command(flatten)]
    agent: AgentOption,
}

/// Replace a stored login by the one that its program has now.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  clawkeep models auth adopt anthropic:claude-cli\n\nFor a login that \
        was not imported, since it expires earlier than the stored one or is another account's. \
        Where it is in another CLAUDE_CONFIG_DIR, set that variable for this command, too."
)]
pub(crate) struct Adopt {
    /// The profile
    #[arg(value_name = "ID", value_parser = ids::profile)]
    id: String,
    #[command(flatten)]
    agent: AgentOption,
}

impl Keep {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let id = self.id.trim();
        check_mirrored(id)?;
        let mut vault = context.vault()?;
        let loaded = context.load_silently(&mut vault, &agent)?;
        checks::existing_of(&loaded, &agent, id)?;
        let kept = context.with_engine(&mut vault, |engine| engine.keep(&agent, &loaded, id))?;
        let text = match kept {
            Keeping::Kept(_) => format!(
                "Kept {id}. clawkeep hands it out until it expires, and no longer warns that its \
                 program is logged out or has another login.\n"
            ),
            Keeping::NothingToKeep => {
                format!("Nothing to decide: {id} is the login that its program has.\n")
            }
        };
        let is_kept = matches!(kept, Keeping::Kept(_));
        let answer = json!({"profileId": id, "agentId": agent.name.as_str(), "kept": is_kept});
        context.ui.done(&text, &answer)?;
        context.verdict(loaded)
    }
}

impl Adopt {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let id = self.id.trim();
        check_mirrored(id)?;
        let mut vault = context.vault()?;
        let mode = context.mode_for(&vault, &agent)?;
        let loaded = context.with_engine(&mut vault, |engine| {
            engine.context.adopts = Some(id.to_owned());
            engine.load(&agent, mode)
        })?;
        context.report_load(&loaded);
        let here = |report: &&LoginReport| report.profile == id && !report.is_elsewhere;
        let report = loaded.logins.iter().find(here);
        let usable = report
            .filter(|report| matches!(report.state, LoginState::Usable | LoginState::OddExpiry(_)));
        let place = match usable {
            Some(report) if loaded.doc.credential(id).is_some() => one_line(&report.place),
            _ => {
                return Err(Failure::Refused {
                    what: format!(
                        "{} has no login here that could be imported",
                        Owner::of(id).program()
                    ),
                    next: format!("Log in: {}", Owner::of(id).log_in()),
                });
            }
        };
        let is_new = loaded.before.is_some();
        let text = match is_new {
            true => format!(
                "Stored the login in {place} as {id}. Put the earlier one back with: {} {id}\n",
                restore_command()
            ),
            false => format!("{id} is the login in {place} already.\n"),
        };
        let answer = json!({"profileId": id, "agentId": agent.name.as_str(), "adopted": is_new});
        context.ui.done(&text, &answer)?;
        context.verdict(loaded)
    }
}

/// Refuses a profile that does not mirror another program's login.
fn check_mirrored(id: &str) -> Result<(), Failure> {
    if Owner::of(id) != Owner::Vault {
        return Ok(());
    }
    let mirrored: Vec<&str> = Owner::mirrored()
        .map(|(_, mirror)| mirror.profile)
        .collect();
    Err(Failure::BadArgument(format!(
        "{} is no login of another program; only {} are",
        shown_id(id),
        mirrored.join(" and ")
    )))
}
