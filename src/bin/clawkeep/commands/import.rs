//! `import`: take over the credentials of files that are named.

use std::path::{Path, PathBuf};

use clap::Args;
use clawkeep::audit::{EventDraft, EventKind, Origin, Outcome};
use clawkeep::config::{AgentRef, order_agent};
use clawkeep::domain::{ProviderId, from_outside};
use clawkeep::export::STORE_LIMIT;
use clawkeep::platform::{Access, harden, read_trusted};
use clawkeep::sync::import::{ImportFile, Imported};
use clawkeep::sync::{Edited, SyncError};
use clawkeep::vault::UnlockedVault;

use super::auth;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{shown_id, shown_ids};

/// Names listed in one event; the count says how many there were.
const NAMES_MAX: usize = 16;

/// Take over the credentials of a file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep import old/auth-profiles.json\n  clawkeep import ~/.claude/.credentials.json --agent ops\n\nA file may be an auth-profiles.json, an auth.json or oauth.json of before, or the login of Claude Code or Codex CLI. It is read and never changed. Nothing is deleted; where both have a profile, the one that lasts longer stays, else the file's."
)]
pub(crate) struct Import {
    /// The files, each taken over as a whole
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The agent [default: the configured default agent]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
}

impl Import {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        harden(); // the files hold secrets, and are read before the vault is opened
        let settings = context.settings()?;
        let agent = order_agent(&context.layout, settings, self.agent.as_deref());
        // All are read before anything is changed.
        let mut files: Vec<(PathBuf, ImportFile)> = self
            .files
            .iter()
            .map(|path| {
                let path = context.layout.user_path(path);
                read(&path).map(|file| (path, file))
            })
            .collect::<Result<_, _>>()?;
        let mut vault = context.vault()?;
        auth::check_known(context, &vault, &agent)?;
        for (path, file) in &mut files {
            file.leave_out_spent(|credential| vault.is_spent(credential))?;
            let taken = take_over(context, &mut vault, &agent, path, file);
            if let Err(Failure::Sync(SyncError::SpentMeanwhile { .. })) = taken {
                file.leave_out_spent(|credential| vault.is_spent(credential))?;
                take_over(context, &mut vault, &agent, path, file)?;
            } else {
                taken?;
            }
        }
        Ok(())
    }
}

fn read(path: &Path) -> Result<ImportFile, Failure> {
    let found = read_trusted(path, Access::Read, STORE_LIMIT).map_err(Failure::ImportFile)?;
    let contents = found.ok_or_else(|| Failure::Refused {
        what: format!("there is no file {}", path.display()),
        next: "Name a file that is there.".to_owned(),
    })?;
    ImportFile::understand(&contents.bytes, contents.modified).map_err(|fault| Failure::Import {
        path: path.to_owned(),
        fault,
    })
}

fn take_over(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    path: &Path,
    file: &ImportFile,
) -> Result<(), Failure> {
    let now = context.clock.now();
    let before = context.load(vault, agent)?;
    let said = file.join(&before.doc, now); // what is said; the edit below joins with what is there by then
    let loaded = auth::edit(context, vault, agent, |doc| {
        let joined = file.join(doc, now);
        let events = events(path, file, &joined, joined.doc != *doc);
        Ok(Edited::to(joined.doc, events).by("import", Origin::ImportedFile))
    })?;
    for id in said.unreadable() {
        context.ui.note(&format!(
            "Note: {} cannot be read as a credential; it is kept as it is, and of no use.",
            shown_id(id)
        ));
    }
    for id in file.spent() {
        context.ui.note(&format!(
            "Warning: {} was left out: its refresh token was replaced by a newer one since.",
            shown_id(id)
        ));
    }
    for name in file.dropped() {
        context.ui.note(&format!(
            "Warning: the entry {} holds no credential and was left out.",
            shown_id(name)
        ));
    }
    tell_unlisted(context, &said)?;
    context.ui.answer(&format!(
        "{}: {} ({}): {}\n",
        shown_id(agent.name.as_str()),
        context.layout.shorten_home(path),
        file.kind().as_str(),
        outcome(&said)
    ))?;
    context.verdict(loaded)
}

/// Where the configuration names a provider's profiles, the gateway tries no others.
fn tell_unlisted(context: &Context, said: &Imported) -> Result<(), Failure> {
    let settings = context.settings()?;
    for id in &said.added {
        let Some(credential) = said.doc.credential(id) else {
            continue;
        };
        let provider = ProviderId::new(credential.provider);
        let named = settings
            .order_for(&provider)
            .unwrap_or_else(|| settings.profiles_of(&provider));
        if !named.is_empty() && !named.iter().any(|other| other.as_str() == id) {
            context.ui.note(&format!(
                "Note: the configuration names other profiles of {provider}, so {} is not tried. Add it to auth.profiles, and to auth.order if that is there.",
                shown_id(id)
            ));
        }
    }
    Ok(())
}

/// What came of it, in a line.
fn outcome(said: &Imported) -> String {
    let parts = [
        ("added", &said.added, ""),
        ("replaced", &said.replaced, ""),
        ("kept", &said.kept, " (what is stored lasts longer)"),
        ("already there:", &said.same, ""),
        ("order taken over for", &said.orders, ""),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, ids, _)| !ids.is_empty())
        .map(|(verb, ids, why)| {
            format!("{verb} {}{why}", shown_ids(ids.iter().map(String::as_str)))
        })
        .collect();
    if parts.is_empty() {
        "nothing to take over".to_owned()
    } else {
        parts.join("; ")
    }
}

fn events(path: &Path, file: &ImportFile, joined: &Imported, changes: bool) -> Vec<EventDraft> {
    let source = from_outside(&path.to_string_lossy());
    let mut events = Vec::new();
    if changes {
        let event = EventDraft::new(EventKind::ImportApplied, Origin::ImportedFile)
            .detail("path", source.as_str())
            .detail("kind", file.kind().as_str());
        let lists = [
            ("added", &joined.added),
            ("replaced", &joined.replaced),
            ("kept", &joined.kept),
            ("orders", &joined.orders),
        ];
        let event = lists
            .into_iter()
            .filter(|(_, ids)| !ids.is_empty())
            .fold(event, |event, (name, ids)| named(event, name, ids));
        events.push(event);
    }
    if !(file.dropped().is_empty() && file.spent().is_empty()) {
        let event = EventDraft::new(EventKind::ImportDropped, Origin::ImportedFile)
            .outcome(Outcome::Skipped)
            .detail("path", source);
        // Their names are whatever stands in the file.
        let event = event.detail("entries", file.dropped().len() + file.spent().len());
        events.push(match file.spent() {
            [] => event,
            spent => named(event, "spent", spent),
        });
    }
    events
}

/// With as many names as fit, and how many more there were.
fn named(event: EventDraft, what: &str, names: &[String]) -> EventDraft {
    let shown: Vec<String> = names
        .iter()
        .take(NAMES_MAX)
        .map(|name| from_outside(name))
        .collect();
    let event = event.detail(what, shown);
    match names.len().checked_sub(NAMES_MAX) {
        Some(more) if more > 0 => event.detail(&format!("{what}_more"), more),
        _ => event,
    }
}
