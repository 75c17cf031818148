//! `models auth restore`: an earlier version of a credential, put back.

use clap::Args;
use clawkeep::audit::Origin;
use clawkeep::domain::{Credential, Owner, Section};
use clawkeep::sync::{Edited, RESTORE};
use clawkeep::vault::{KeptVersion, UnlockedVault};

use super::auth::{self, Whose};
use crate::context::Context;
use crate::failure::Failure;
use crate::table::table;
use crate::ui::{local_minute, shown_id};

/// Put an earlier version of a credential back.
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:\n  clawkeep models auth restore openai:default --list         which versions are kept\n  clawkeep models auth restore openai:default                the newest of them\n  clawkeep models auth restore openai:default --version 3"
)]
pub(crate) struct Restore {
    /// The profile
    #[arg(value_name = "ID")]
    id: String,
    /// Which version [default: the newest that is kept]
    #[arg(long, value_name = "N", conflicts_with = "list")]
    version: Option<i64>,
    /// Show the versions that are kept, and change nothing
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    whose: Whose,
}

impl Restore {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.whose.agent(context)?;
        let mut vault = context.vault()?;
        let loaded = context.load(&mut vault, &agent)?;
        let id = auth::id_in(&loaded.doc, &self.id).to_owned();
        let kept = vault.versions(&agent.name, &id)?;
        if self.list {
            return list(context, &vault, &kept);
        }
        let is_wanted = |kept: &&KeptVersion| match self.version {
            Some(number) => kept.generation.0 == number,
            None => kept.entry.is_some(),
        };
        let Some(wanted) = kept.iter().find(is_wanted) else {
            return Err(self.missing(&id, &kept));
        };
        let Some(entry) = &wanted.entry else {
            return Err(Failure::Unopened {
                rows: vec![format!("version {} of {id}", wanted.generation.0)],
            });
        };
        if vault.is_spent(&Credential::of(entry.expose_secret()))? {
            return Err(Failure::Refused {
                what: format!(
                    "the refresh token of version {} of {} is spent: another has taken its place",
                    wanted.generation.0,
                    shown_id(&id)
                ),
                next: "Nothing was changed. Log in again instead.".to_owned(),
            });
        }
        let number = wanted.generation.0;
        let loaded = auth::edit(context, &mut vault, &agent, |doc| {
            let mut after = doc.clone();
            after.set(Section::Profiles, &id, entry.expose_secret().clone());
            Ok(Edited::to(after, Vec::new()).by(RESTORE, Origin::Clawkeep))
        })?;
        if Owner::of(&id) != Owner::Vault {
            context.ui.note(&format!(
                "Note: {} is another program's login: the next command takes over what that program has.",
                shown_id(&id)
            ));
        }
        auth::conclude(context, loaded, Ok(String::new()), |updated| {
            format!(
                "Restored version {number} of {} in agent {}.\n{updated}",
                shown_id(&id),
                agent.name
            )
        })
    }

    fn missing(&self, id: &str, kept: &[KeptVersion]) -> Failure {
        let numbers: Vec<String> = kept
            .iter()
            .map(|kept| kept.generation.0.to_string())
            .collect();
        let what = match self.version {
            Some(number) => format!("no version {number} of {} is kept", shown_id(id)),
            None => format!("no earlier version of {} is kept", shown_id(id)),
        };
        Failure::Refused {
            what,
            next: if numbers.is_empty() {
                "The newest 3 are kept for 30 days; none with a refresh token that is spent."
                    .to_owned()
            } else {
                format!("Kept are: {}", numbers.join(", "))
            },
        }
    }
}

fn list(context: &Context, vault: &UnlockedVault, kept: &[KeptVersion]) -> Result<(), Failure> {
    if kept.is_empty() {
        return context.ui.answer("No earlier version is kept.\n");
    }
    let rows: Vec<[String; 5]> = kept
        .iter()
        .map(|kept| {
            let expires = kept.expires.map_or("-".to_owned(), |at| local_minute(at.0));
            let print = kept.entry.as_ref().and_then(|entry| {
                let credential = Credential::of(entry.expose_secret());
                credential
                    .expose_secret()
                    .map(|secret| vault.fingerprint(secret).to_string())
            });
            [
                kept.generation.0.to_string(),
                kept.kind.clone(),
                local_minute(kept.replaced_at.0),
                expires,
                print.unwrap_or("does not open".to_owned()),
            ]
        })
        .collect();
    let header = ["Version", "Type", "Replaced", "Ends", "Token"];
    context.ui.answer(&table(header, &rows, context.ui.width()))
}
