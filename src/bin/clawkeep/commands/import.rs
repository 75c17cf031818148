//! `import`: import the credentials of files that are named.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use clap::Args;
use clawkeep::internal::audit::{EventDraft, EventKind, Origin, Outcome};
use clawkeep::internal::config::{AgentRef, SETTINGS_MAX, order_agent};
use clawkeep::internal::domain::{
    Borrowed, Credential, CredentialType, Owner, ProfileId, ProviderId, from_outside, path_text,
};
use clawkeep::internal::export::STORE_LIMIT;
use clawkeep::internal::platform::{Access, canonicalize, harden, read_trusted};
use clawkeep::internal::sources::codex_cli::is_in_keyring;
use clawkeep::internal::sources::other_programs::{is_own_legacy_file, owner_by_format};
use clawkeep::internal::sources::recognise::FileKind;
use clawkeep::internal::sync::import::{ImportFile, Imported};
use clawkeep::internal::sync::{Edited, SyncError};
use clawkeep::internal::vault::{GrantState, UnlockedVault};
use serde_json::json;
use zeroize::Zeroizing;

use super::auth::{checks, edit, order};
use crate::advice::own_login;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::prompt;
use crate::terminal::prompt::person;
use crate::terminal::text::{one_line, shown_id, shown_ids};

/// Names listed in one event; the count says how many there were.
const NAMES_MAX: usize = 16;

/// Import the credentials of a file.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep import old/auth-profiles.json\n  clawkeep import \
        ~/.claude/.credentials.json --agent ops\n  clawkeep import \
        ~/.local/share/opencode/auth.json          borrowed: opencode goes on using it\n\nA file \
        may be an auth-profiles.json, an older auth.json or oauth.json, or the login file of \
        Claude Code, Codex CLI, opencode, pi, Gemini CLI or Qwen Code. It is read and never \
        changed. Nothing is deleted; where both have a profile, the one that expires later stays, \
        else the file's.\n\nLogins of a program that goes on using its file are borrowed: that \
        program refreshes them, clawkeep never does, and reads the file again each time. A file \
        of the gateway's own is owned: clawkeep refreshes its logins. Where the path and the \
        format do not tell, pass --own or --borrowed."
)]
pub(crate) struct Import {
    /// The files, each imported as a whole
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The agent [default: the configured default agent]
    #[arg(long, value_name = "ID")]
    agent: Option<String>,
    /// Refresh the logins here from now on; the first refresh logs out the program that has them
    #[arg(long, conflicts_with = "borrowed")]
    own: bool,
    /// Leave refreshing to the program that keeps the file, and read the file again each time
    #[arg(long)]
    borrowed: bool,
}

impl Import {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        harden(); // the files hold secrets, and are read before the vault is opened
        let settings = context.settings()?;
        let agent = order_agent(&context.layout, settings, self.agent.as_deref());
        // All files are read before anything is changed.
        let mut files: Vec<(PathBuf, ImportFile)> = self
            .files
            .iter()
            .map(|path| {
                let path = context.layout.user_path(path);
                let (file, bytes) = read(&path)?;
                let owner = self.owner(context, &path, &file, &bytes)?;
                let file = match owner {
                    Some(owner) => file.lend(Borrowed {
                        owner,
                        path: path_text(&lenders_path(&path, owner)).into_owned(),
                    }),
                    None => file,
                };
                Ok((path, file))
            })
            .collect::<Result<_, Failure>>()?;
        let mut vault = context.vault()?;
        checks::check_known(context, &vault, &agent)?;
        for (path, file) in &mut files {
            file.leave_out_spent(|credential| vault.is_spent(credential))?;
            let imported = self.import(context, &mut vault, &agent, path, file);
            if let Err(Failure::Sync(SyncError::SpentMeanwhile { .. })) = imported {
                file.leave_out_spent(|credential| vault.is_spent(credential))?;
                self.import(context, &mut vault, &agent, path, file)?;
            } else {
                imported?;
            }
        }
        Ok(())
    }

    /// The program that keeps these logins; `None` if they become clawkeep's, or go into a profile
    /// that mirrors that program's login anyway.
    fn owner(
        &self,
        context: &Context,
        path: &Path,
        file: &ImportFile,
        bytes: &[u8],
    ) -> Result<Option<Owner>, Failure> {
        let real = real_path(path);
        let by_path = Owner::by_path(path).or_else(|| Owner::by_path(&real));
        let of_kind = match file.kind() {
            FileKind::Source(owner) => Some(owner),
            _ => None,
        };
        if let Some(owner) = of_kind.filter(|_| file.is_mirrored()) {
            let (program, login) = (owner.program(), own_login(owner));
            return match self.own {
                true => Err(Failure::Refused {
                    what: format!(
                        "the login of {program} cannot become clawkeep's: {program} would be \
                         logged out"
                    ),
                    next: format!("Log in once more, for clawkeep alone: {login}"),
                }),
                false => Ok(None),
            };
        }
        let by_file = by_path.or(of_kind).or_else(|| owner_by_format(bytes));
        let is_ours = file.kind() == FileKind::Store
            || is_own_legacy_file(path, &context.layout.state_dir)
            || is_own_legacy_file(&real, &context.layout.state_dir);
        match () {
            () if self.own => Ok(None),
            () if self.borrowed => Ok(Some(by_file.unwrap_or(Owner::OtherProgram))),
            () if is_ours => Ok(None),
            () if by_file.is_some() => Ok(by_file),
            () if !file.has_refresh_token() => Ok(None),
            () => self.ask(context, path),
        }
    }

    /// Asks who refreshes the logins of a file.
    fn ask(&self, context: &Context, path: &Path) -> Result<Option<Owner>, Failure> {
        let shown = context.layout.shorten_home(path);
        if !prompt::is_possible() {
            return Err(Failure::BadArgument(format!(
                "{shown} has logins that only one program may refresh, and nothing tells whether \
                 another one keeps using it. Pass --borrowed if one does, or --own if clawkeep is \
                 to refresh them"
            )));
        }
        person::print_line(&format!(
            "{shown} has logins that only one program may refresh."
        ));
        let choices = [
            "Borrowed: another program keeps using this file and refreshes them",
            "Own: clawkeep refreshes them; a program that still uses the file is logged out",
        ];
        let chosen = prompt::choose("Who refreshes them?", &choices)?;
        Ok((chosen == 0).then_some(Owner::OtherProgram))
    }

    fn import(
        &self,
        context: &Context,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
        path: &Path,
        file: &ImportFile,
    ) -> Result<(), Failure> {
        let now = context.clock.now();
        let before = context.load(vault, agent)?;
        // the edit below merges with the current document
        let joined_file = file.join(&before.doc, now);
        let known = &before.borrowed;
        let lent = match self.own {
            true => lent_elsewhere(vault, &joined_file)?,
            false => Vec::new(),
        };
        let added = by_provider(&joined_file);
        let mut open = Vec::new();
        for (provider, ids) in &added {
            let order = order::open_order(vault, agent, provider)?;
            open.extend(order.map(|order| (provider, ids, order)));
        }
        let loaded = edit::edit_store(context, vault, agent, |doc| {
            let joined = file.join(doc, now);
            let marks = marks(file, &joined, known, &lent);
            let is_changed = joined.doc != *doc || !marks.is_empty();
            let lent = joined.taken().filter_map(|id| file.lent(id)).collect();
            let events = events(path, file, &joined, is_changed);
            let edited = Edited::to(joined.doc, events)
                .lending(marks, lent)
                .by("import", Origin::ImportedFile);
            Ok(open.iter().fold(edited, |edited, (provider, ids, open)| {
                order::follow(edited, provider, ids, Some(open))
            }))
        })?;
        for id in joined_file.unreadable() {
            context.ui.note(&format!(
                "Note: {} cannot be read as a credential; clawkeep keeps it and does not use it.",
                shown_id(id)
            ));
        }
        for id in file.spent() {
            context.ui.note(&format!(
                "Warning: {} was not imported: a newer refresh token has replaced its own.",
                shown_id(id)
            ));
        }
        for id in file.from_clawkeep() {
            context.ui.note(&format!(
                "Note: {}: the program has no key of its own there; it asks clawkeep for it.",
                shown_id(id)
            ));
        }
        for (name, why) in file.dropped() {
            context.ui.note(&format!(
                "Warning: the entry {} {why}; it was not imported.",
                shown_id(name)
            ));
        }
        for (id, why) in &joined_file.unusable {
            context.ui.note(&format!(
                "Warning: the file's entry for {} {}; what is stored stays.",
                shown_id(id),
                one_line(why)
            ));
        }
        self.report_ownership(context, path, file, &joined_file);
        note_unlisted(context, &joined_file)?;
        for (provider, ids) in &added {
            for id in ids {
                order::note_place(context, agent, &loaded, (id, provider));
            }
        }
        let text = format!(
            "{}: {} ({}): {}\n",
            shown_id(agent.name.as_str()),
            context.layout.shorten_home(path),
            file.kind().as_str(),
            outcome(&joined_file)
        );
        let imported = json!({
            "agentId": agent.name.as_str(),
            "path": path_text(path),
            "format": file.kind().as_str(),
            "added": joined_file.added,
            "replaced": joined_file.replaced,
            "kept": joined_file.kept,
            "same": joined_file.same,
            "orders": joined_file.orders,
        });
        context.ui.done(&text, &imported)?;
        context.verdict(loaded)
    }

    fn report_ownership(
        &self,
        context: &Context,
        path: &Path,
        file: &ImportFile,
        joined_file: &Imported,
    ) {
        let (logins, others): (Vec<&str>, Vec<&str>) = joined_file.taken().partition(|id| {
            let credential = joined_file.doc.credential(id);
            let expires =
                |one: &Credential<'_>| one.kind != CredentialType::ApiKey && one.expiry().is_some();
            file.lent(id).is_some() || credential.as_ref().is_some_and(expires)
        });
        if let Some(from) = file.borrowed() {
            let path = context.layout.shorten_home(Path::new(&from.path));
            let program = from.owner.program();
            let again = format!("clawkeep reads {path} again each time");
            for (ids, is_login) in [(logins, true), (others, false)] {
                if ids.is_empty() {
                    continue;
                }
                let listed = shown_ids(ids);
                let note = match (from.is_copy(), is_login) {
                    (true, _) => format!(
                        "{listed}: borrowed from {path}, a copy, which {program} does not keep up \
                         to date; {again}"
                    ),
                    (false, true) => {
                        format!("{listed}: borrowed from {program}, which refreshes it; {again}")
                    }
                    (false, false) => format!("{listed}: borrowed from {program}; {again}"),
                };
                let own = match is_login {
                    true => "To refresh it here instead, pass --own.",
                    false => "To keep it here instead, pass --own.",
                };
                context.ui.note(&format!("Note: {note}. {own}"));
            }
            return;
        }
        let is_legacy = is_own_legacy_file(path, &context.layout.state_dir);
        let is_copy = !self.own && !is_legacy && !file.is_mirrored();
        if is_copy && joined_file.taken().next().is_some() {
            let listed = shown_ids(joined_file.taken());
            let refreshes = match file.has_refresh_token() {
                true => " clawkeep refreshes its logins, which logs out a program that keeps them.",
                false => "",
            };
            context.ui.note(&format!(
                "Note: {listed}: imported as clawkeep's own, a copy, which goes stale when the \
                 file changes.{refreshes} If a program goes on using the file, pass --borrowed, \
                 and clawkeep reads it again each time."
            ));
        } else if self.own && file.has_refresh_token() {
            let is_login = |id: &&str| {
                let credential = joined_file.doc.credential(id);
                credential.is_some_and(|credential| credential.expose_refresh().is_some())
            };
            let logins: Vec<&str> = joined_file.taken().filter(is_login).collect();
            if logins.is_empty() {
                return;
            }
            context.ui.note(&format!(
                "Note: {}: clawkeep refreshes it from now on. The first refresh uses up the \
                 refresh token in the file, which logs out the program that keeps it.",
                shown_ids(logins)
            ));
        }
    }
}

fn real_path(path: &Path) -> PathBuf {
    canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// The path to read a program's file again: as named, or a link's target if that is its own file.
fn lenders_path(path: &Path, owner: Owner) -> PathBuf {
    let real = real_path(path);
    let is_own = |path: &Path| Owner::by_path(path) == Some(owner);
    match !is_own(path) && is_own(&real) {
        true => real,
        false => path.to_owned(),
    }
}

/// The logins whose refresh token counts as another program's, whichever profile held it.
fn lent_elsewhere(vault: &UnlockedVault, joined_file: &Imported) -> Result<Vec<String>, Failure> {
    let mut lent = Vec::new();
    for id in joined_file.taken() {
        let credential = joined_file.doc.credential(id);
        let refresh = credential.and_then(|credential| credential.expose_refresh());
        if let Some(refresh) = refresh
            && vault.grant(vault.fingerprint(refresh))?.state == GrantState::Borrowed
        {
            lent.push(id.to_owned());
        }
    }
    Ok(lent)
}

/// The new owner of each profile of a file, where it changes. Those of `lent` become clawkeep's.
fn marks(
    file: &ImportFile,
    joined: &Imported,
    known: &BTreeMap<String, Borrowed>,
    lent: &[String],
) -> Vec<(ProfileId, Option<Borrowed>)> {
    let now = file.borrowed();
    joined
        .taken()
        .filter(|id| known.get(*id) != now || lent.iter().any(|lent| lent == id))
        .map(|id| (ProfileId::new(id), now.cloned()))
        .collect()
}

fn read(path: &Path) -> Result<(ImportFile, Zeroizing<Vec<u8>>), Failure> {
    let found = read_trusted(path, Access::Read, STORE_LIMIT).map_err(Failure::ImportFile)?;
    let contents = found.ok_or_else(|| match has_login_in_keyring(path) {
        true => Failure::Refused {
            what: format!(
                "there is no file {}: Codex CLI keeps its login in the keyring, as its \
                 config.toml says",
                path.display()
            ),
            next: format!(
                "Set cli_auth_credentials_store = \"file\" there and run {}; or log in here: \
                 clawkeep models auth login --provider openai-codex",
                Owner::CodexCli.log_in()
            ),
        },
        false => Failure::Refused {
            what: format!("there is no file {}", path.display()),
            next: "Name a file that is there.".to_owned(),
        },
    })?;
    let file = ImportFile::understand(&contents.bytes, contents.modified);
    let file = file.map_err(|fault| Failure::Import {
        path: path.to_owned(),
        fault,
    })?;
    Ok((file, contents.bytes))
}

/// Whether Codex's settings beside its missing file say that the login is in the system's keyring.
fn has_login_in_keyring(path: &Path) -> bool {
    if path.file_name() != Some(OsStr::new("auth.json")) {
        return false;
    }
    let settings = read_trusted(
        &path.with_file_name("config.toml"),
        Access::Read,
        SETTINGS_MAX,
    );
    let Ok(Some(settings)) = settings else {
        return false;
    };
    is_in_keyring(&settings.bytes)
}

/// The credentials that a file adds, by their providers.
fn by_provider(joined_file: &Imported) -> BTreeMap<ProviderId, Vec<&str>> {
    let mut added: BTreeMap<ProviderId, Vec<&str>> = BTreeMap::new();
    for id in &joined_file.added {
        let credential = joined_file.doc.credential(id);
        if let Some(credential) = credential.filter(Credential::is_readable) {
            let provider = ProviderId::new(credential.provider);
            added.entry(provider).or_default().push(id);
        }
    }
    added
}

/// Where the configuration names a provider's profiles, the gateway tries no others.
fn note_unlisted(context: &Context, joined_file: &Imported) -> Result<(), Failure> {
    let settings = context.settings()?;
    for id in &joined_file.added {
        let Some(credential) = joined_file.doc.credential(id) else {
            continue;
        };
        let provider = ProviderId::new(credential.provider);
        let named = settings
            .order_for(&provider)
            .unwrap_or_else(|| settings.profiles_of(&provider));
        if !named.is_empty() && !named.iter().any(|other| other.as_str() == id) {
            context.ui.note(&format!(
                "Note: the configuration names other profiles of {provider}, so clawkeep does not \
                 try {}. Add it to auth.profiles, and to auth.order if that is there.",
                shown_id(id)
            ));
        }
    }
    Ok(())
}

fn outcome(joined_file: &Imported) -> String {
    let is_unusable = |id: &String| joined_file.unusable.iter().any(|(other, _)| other == id);
    let (unusable, kept): (Vec<String>, Vec<String>) =
        joined_file.kept.iter().cloned().partition(is_unusable);
    let parts = [
        ("added", &joined_file.added, ""),
        ("replaced", &joined_file.replaced, ""),
        ("kept", &kept, " (the stored one expires later)"),
        ("kept", &unusable, " (what the file has cannot be used)"),
        ("already there:", &joined_file.same, ""),
        ("order imported for", &joined_file.orders, ""),
    ];
    let parts: Vec<String> = parts
        .into_iter()
        .filter(|(_, ids, _)| !ids.is_empty())
        .map(|(verb, ids, why)| {
            format!("{verb} {}{why}", shown_ids(ids.iter().map(String::as_str)))
        })
        .collect();
    if parts.is_empty() {
        "nothing to import".to_owned()
    } else {
        parts.join("; ")
    }
}

fn events(path: &Path, file: &ImportFile, joined: &Imported, changes: bool) -> Vec<EventDraft> {
    let source = from_outside(&path_text(path));
    let mut events = Vec::new();
    if changes {
        let event = EventDraft::new(EventKind::ImportApplied, Origin::ImportedFile)
            .detail("path", source.as_str())
            .detail("kind", file.kind().as_str());
        let event = match file.borrowed() {
            Some(from) => event.detail("owner", from.owner.as_str()),
            None => event,
        };
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
        // Their names come from the file.
        let event = event.detail("entries", file.dropped().len() + file.spent().len());
        events.push(match file.spent() {
            [] => event,
            spent => named(event, "spent", spent),
        });
    }
    events
}

/// The names that fit, and the number of the others.
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
