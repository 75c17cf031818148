//! `models auth restore`: an earlier version of a credential, put back.

use crate::advice::shell_word;
use clap::Args;
use clawkeep::internal::audit::Origin;
use clawkeep::internal::client::order_set;
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{Credential, Owner, ProviderId, Section, StoreDoc, UnixMs};
use clawkeep::internal::sync::{Edited, RESTORE};
use clawkeep::internal::vault::{KeptVersion, UnlockedVault};
use serde_json::{Value, json};

use super::checks::agent_option;
use super::{edit, order};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::options::named::Names;
use crate::terminal::program_name::{is_called_as_gateway, restore_command};
use crate::terminal::table::table;
use crate::terminal::text::{local_minute, one_line, shown_id};

/// Put an earlier version of a credential back.
#[derive(Debug, Args)]
#[command(
    disable_version_flag = true,
    after_help = "Examples:\n  clawkeep models auth restore openai:default --list         which \
        versions are kept\n  clawkeep models auth restore openai:default                the \
        newest of them\n  clawkeep models auth restore openai:default --version 3"
)]
pub(crate) struct Restore {
    /// The profile
    #[arg(value_name = "ID")]
    id: String,
    /// Which version [default: the newest that is kept]
    #[arg(long, value_name = "N", conflicts_with = "list")]
    version: Option<String>,
    /// Show the versions that are kept, and change nothing
    #[arg(long)]
    list: bool,
    #[command(flatten)]
    agent: AgentOption,
}

impl Restore {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let agent = self.agent.resolve(context)?;
        let mut vault = match self.list {
            true => context.vault_to_read()?,
            false => context.vault()?,
        };
        let loaded = context.load(&mut vault, &agent)?;
        let id = self.whole_id(&vault, &agent, &loaded.doc, context.clock.now())?;
        let kept = vault.versions(&agent.name, &id, context.clock.now())?;
        if self.list {
            return list(context, &vault, &kept, &id);
        }
        let numbers = numbers(&kept);
        let mut numbered = numbers.iter().zip(&kept);
        let is_wanted = |(number, kept): &(&String, &KeptVersion)| match &self.version {
            Some(wanted) => *number == wanted,
            None => kept.entry.is_some(),
        };
        let Some((number, wanted)) = numbered.find(is_wanted) else {
            return Err(self.missing(&id, &numbers));
        };
        let Some(entry) = &wanted.entry else {
            return Err(Failure::Unopened {
                rows: vec![format!("version {number} of {}", shown_id(&id))],
            });
        };
        if vault.is_spent(&Credential::of(entry.expose_secret()))? {
            return Err(Failure::Refused {
                what: format!(
                    "the refresh token of version {number} of {} is used up: a newer one replaced \
                     it",
                    shown_id(&id)
                ),
                next: "Nothing was changed. Log in again instead.".to_owned(),
            });
        }
        let provider = ProviderId::new(Credential::of(entry.expose_secret()).provider);
        let place = match loaded.doc.credential(&id) {
            Some(_) => None,
            None => order::with_place_back(&vault, &agent, &loaded.doc, (&id, &provider))?,
        };
        let loaded = edit::edit_store(context, &mut vault, &agent, |doc| {
            let mut after = doc.clone();
            after.set(Section::Profiles, &id, entry.expose_secret().clone());
            let ids = place.iter().flatten().map(String::as_str);
            let ids: Vec<&str> = ids.collect();
            let edited = match order_set(&after, &provider, &ids) {
                Ok(Edited {
                    doc: Some(ordered),
                    events,
                    ..
                }) if !ids.is_empty() => Edited::to(ordered, events),
                _ => Edited::to(after, Vec::new()),
            };
            Ok(edited.by(RESTORE, Origin::Clawkeep))
        })?;
        if Owner::of(&id) != Owner::Vault {
            context.ui.note(&format!(
                "Note: {} is another program's login: the next command imports what that program \
                 has.",
                shown_id(&id)
            ));
        }
        let (id_text, name) = (shown_id(&id), agent.name.as_str());
        let done = format!("{id_text} is restored in agent {name}");
        let recorded = edit::name_in_config(context, &loaded.doc, &id, &done);
        let order = loaded.doc.order_for(provider.as_str());
        let order = order.or_else(|| context.settings().ok()?.order_for(&provider));
        let concluded = edit::conclude(context, loaded, recorded, |updated| {
            context.ui.done(
                &format!("Restored version {number} of {id_text} in agent {name}.\n{updated}"),
                &json!({"restored": id, "version": number, "agentId": name}),
            )
        });
        if order.is_some_and(|ids| ids.iter().all(|listed| listed.as_str() != id)) {
            order::note_left_out(context, &agent, (&id, &provider));
        }
        concluded
    }

    /// The id that was typed, whole or a part that means one; of removed credentials, too.
    fn whole_id(
        &self,
        vault: &UnlockedVault,
        agent: &AgentRef,
        doc: &StoreDoc,
        now: UnixMs,
    ) -> Result<String, Failure> {
        let id = ids::id_in(doc, &self.id).to_owned();
        let is_known = || doc.credential(&id).is_some();
        if is_known() || !vault.versions(&agent.name, &id, now)?.is_empty() {
            return Ok(id);
        }
        let names = Names::of_store(doc).with_recorded(&vault.names()?);
        Ok(match is_called_as_gateway() {
            true => id,
            false => match names.find_id(&id)? {
                Some(found) => found,
                None if names.is_provider(&id) => id,
                None => return Err(names.unknown(&id)),
            },
        })
    }

    fn missing(&self, id: &str, numbers: &[String]) -> Failure {
        let what = match &self.version {
            Some(number) => format!(
                "no version {} of {} is kept",
                one_line(number),
                shown_id(id)
            ),
            None => format!("no earlier version of {} is kept", shown_id(id)),
        };
        Failure::Refused {
            what,
            next: if numbers.is_empty() {
                "The newest 3 are kept for 30 days; none with a refresh token that is used up."
                    .to_owned()
            } else {
                format!("Kept are: {}", numbers.join(", "))
            },
        }
    }
}

/// Says how to get back a credential that was just replaced or removed; empty where no version that
/// can be used is kept, and under the gateway's name.
pub(super) fn undo(
    context: &Context,
    vault: &UnlockedVault,
    agent: &AgentRef,
    id: &str,
) -> Result<String, Failure> {
    if is_called_as_gateway() {
        return Ok(String::new());
    }
    let kept = vault.versions(&agent.name, id, context.clock.now())?;
    let newest = kept.into_iter().find_map(|kept| kept.entry);
    let Some(entry) = newest else {
        return Ok(String::new());
    };
    if vault.is_spent(&Credential::of(entry.expose_secret()))? {
        return Ok(String::new());
    }
    Ok(format!(
        "To undo: {} {}{}",
        restore_command(),
        shell_word(id),
        agent_option(agent)
    ))
}

/// The name of each version: its number in the record. If another program's credential was kept
/// beside one with the same number, a second number tells them apart: `3.1` is the older one.
fn numbers(kept: &[KeptVersion]) -> Vec<String> {
    let number = |(at, version): (usize, &KeptVersion)| {
        let is_same = |other: &&KeptVersion| other.generation == version.generation;
        let older = kept[at + 1..].iter().filter(is_same).count();
        match kept.iter().filter(is_same).count() {
            1 => version.generation.0.to_string(),
            _ => format!("{}.{}", version.generation.0, older + 1),
        }
    };
    kept.iter().enumerate().map(number).collect()
}

fn list(
    context: &Context,
    vault: &UnlockedVault,
    kept: &[KeptVersion],
    id: &str,
) -> Result<(), Failure> {
    if kept.is_empty() {
        let none = json!({"versions": []});
        return context.ui.done("No earlier version is kept.\n", &none);
    }
    let versions: Vec<Value> = numbers(kept)
        .into_iter()
        .zip(kept)
        .map(|(number, kept)| {
            json!({
                "version": number,
                "type": kept.kind,
                "replacedAt": kept.replaced_at.0,
                "expiresAt": kept.expires.map(|at| at.0),
                "opens": kept.entry.is_some(),
            })
        })
        .collect();
    let rows: Vec<[String; 5]> = numbers(kept)
        .into_iter()
        .zip(kept)
        .map(|(number, kept)| {
            let expires = kept.expires.map_or("-".to_owned(), local_minute);
            let print = kept.entry.as_ref().and_then(|entry| {
                let credential = Credential::of(entry.expose_secret());
                credential
                    .expose_secret()
                    .map(|secret| vault.fingerprint(secret).to_string())
            });
            [
                number,
                kept.kind.clone(),
                local_minute(kept.replaced_at),
                expires,
                print.unwrap_or("does not open".to_owned()),
            ]
        })
        .collect();
    let header = ["Version", "Type", "Replaced", "Ends", "Token"];
    context.ui.done(
        &table(header, &rows, context.ui.width()),
        &json!({"versions": versions}),
    )?;
    let numbers = numbers(kept).into_iter().zip(kept);
    let damaged: Vec<String> = numbers
        .filter(|(_, kept)| kept.entry.is_none())
        .map(|(number, _)| format!("version {number} of {}", shown_id(id)))
        .collect();
    match damaged.is_empty() {
        true => Ok(()),
        false => Err(Failure::Unopened { rows: damaged }),
    }
}
