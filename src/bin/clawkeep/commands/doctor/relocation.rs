//! Repairs of the vault's place: moves it, merges it with another, or removes what a move left.

use std::io::Write as _;
use std::path::Path;

use crate::doctor::{Premises, Repair, Repaired};
use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::config::{AgentRef, ExportMode, SETTINGS_MAX, Settings, order_agent};
use clawkeep::internal::domain::{
    AgentName, Credential, CredentialType, Owner, ProfileId, Section, StoreDoc, from_outside,
    path_text,
};
use clawkeep::internal::platform::{
    Access, FileError, check_trusted, create_private_dir, exists, read_trusted, remove_if_present,
    rename_durably, sync_dir, write_whole,
};
use clawkeep::internal::sync::import::ImportFile;
use clawkeep::internal::sync::{Edited, Engine, SyncMode, queue_path};
use clawkeep::internal::vault::{
    Grant, GrantState, UnlockedVault, Vault, VaultError, free_name, is_moved_away,
    remove_companion_files,
};

use super::places::{OF_AN_AGENT, entries, misplaced, stores_below};
use crate::commands::auth::edit;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::shown_ids;

/// The suffix of a replaced configuration, before the time, as other repairs name it.
const BEFORE: &str = ".clawkeep-before-";

/// Makes a repair of the places; `None` for other kinds of repair.
pub(crate) fn carry_out(
    context: &mut Context,
    repair: &Repair,
) -> Option<Result<Repaired, Failure>> {
    match repair {
        Repair::MoveVault { from, to } => Some(move_vault(context, from, to)),
        Repair::MergeVault { from, .. } => Some(merge(context, from)),
        Repair::RemoveLeftVault { path, .. } => Some(remove_left(context, path)),
        _ => None,
    }
}

/// Moves the vault and the settings out of `from`, and our other files if only clawkeep uses it.
fn move_vault(context: &mut Context, from: &Path, to: &Path) -> Result<Repaired, Failure> {
    if misplaced(context).is_none_or(|(dir, _)| dir != from) {
        return Ok(Repaired::NotNeeded);
    }
    let is_openclaws = context.places.is_in_openclaws();
    // OpenClaw's own directory is never cleared, also where it has written nothing there yet.
    let is_ours_alone = !is_openclaws && stores_below(from).is_some();
    create_private_dir(to)?;
    copy_settings(context, "clawkeep.toml", from, to)?;
    if is_ours_alone {
        copy_settings(context, "clawdbot.json", from, to)?;
    }
    let vault_file = context.layout.vault_file.clone();
    if vault_file.parent() == Some(from) && context.layout.vaults.contains(&vault_file) {
        let mut vault = context.unlocked()?;
        // Changes that a gateway made to the stores until now are merged first.
        if is_ours_alone {
            for agent in context.every_agent(&vault)? {
                let loaded = context.load(&mut vault, &agent)?;
                context.verdict(loaded)?;
            }
        }
        context.with_engine(&mut vault, |engine| engine.settle_refreshes())?;
        let moved = vault.move_to(&to.join("vault.db"))?;
        context.find_places_again()?;
        let mut vault = context.unlocked()?;
        record(
            context,
            &mut vault,
            EventKind::VaultMoved,
            [("from", &*vault_file), ("to", &*moved)],
        )?;
        if is_openclaws {
            warn_of_shared_logins(context, &vault)?;
        }
    }
    let _ = remove_if_present(&from.join("clawkeep.toml"))?;
    move_replaced(from, to)?;
    let left = from.join("vault.db");
    if is_moved_away(&left) {
        context.unlocked()?.remove_moved_away(&left)?; // by an interrupted move
    }
    remove_companion_files(&left)?;
    if is_ours_alone {
        let mut vault = context.unlocked()?;
        remove_stores(context, &mut vault, from)?;
        let _ = remove_if_present(&from.join("clawdbot.json"))?;
        remove_empty(context, from);
    }
    context.find_places_again()?;
    if context.env.raw("XDG_DATA_HOME").is_some() {
        context.ui.note(
            "Note: if `clawkeep watch` is installed as a service, update its XDG_DATA_HOME with: \
             clawkeep monitor install",
        );
    }
    Ok(Repaired::done())
}

/// Warns of logins that OpenClaw may have too: its upgrade imports the stores that it finds, and a
/// refresh token can be used once.
fn warn_of_shared_logins(context: &Context, vault: &UnlockedVault) -> Result<(), Failure> {
    let mut shared = Vec::new();
    for agent in vault.agents()? {
        let state = vault.agent(&agent)?;
        let ids = state.doc.entries(Section::Profiles).map(|(id, _)| id);
        let is_refreshed_here = |id: &&str| {
            let credential = state.doc.credential(id);
            let is_login = credential.is_some_and(|one| one.kind == CredentialType::OAuth);
            is_login && !state.borrowed.contains_key(*id) && Owner::of(id) == Owner::Vault
        };
        shared.extend(ids.filter(is_refreshed_here).map(str::to_owned));
    }
    if !shared.is_empty() {
        context.ui.warn(&format!(
            "Warning: OpenClaw may have the same logins as the vault: {}. A refresh by one logs \
             out the other. Log in again for one of the two, for example: clawkeep models auth \
             login --provider PROVIDER",
            shown_ids(shared.iter().map(String::as_str))
        ));
    }
    Ok(())
}

/// Copies the settings, so that they apply as soon as the vault is there.
fn copy_settings(context: &Context, name: &str, from: &Path, to: &Path) -> Result<(), Failure> {
    let [source, target] = [from, to].map(|dir| dir.join(name));
    let Some(contents) = read_trusted(&source, Access::Read, SETTINGS_MAX)? else {
        return Ok(());
    };
    match read_trusted(&target, Access::Read, SETTINGS_MAX)? {
        Some(there) if there.bytes == contents.bytes => return Ok(()),
        // A file that nothing has read since the gateway's directory was created.
        Some(_) if name == "clawdbot.json" => {
            let aside = free_name(&target, BEFORE, context.clock.now());
            rename_durably(&target, &aside)?;
            let [target, aside] = [&target, &aside].map(|path| context.layout.shorten_home(path));
            context
                .ui
                .note(&format!("Note: {target} was kept as {aside}"));
        }
        Some(_) => {
            return Err(Failure::Refused {
                what: format!(
                    "there are other settings in {} than in {}",
                    target.display(),
                    source.display()
                ),
                next: "Nothing was changed. Keep what you want in the second one and remove the \
                    first."
                    .to_owned(),
            });
        }
        None => {}
    }
    put(&target, &contents.bytes)?;
    Ok(sync_dir(to)?)
}

fn put(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    let put = write_whole(path, |file| file.write_all(bytes));
    put.map_err(|source| cannot("write", path, source))
}

fn cannot(action: &'static str, path: &Path, source: std::io::Error) -> FileError {
    let path = path.to_owned();
    FileError::Io {
        action,
        path,
        source,
    }
}

/// Moves the vaults that a restore replaced: nobody has them open.
fn move_replaced(from: &Path, to: &Path) -> Result<(), Failure> {
    for (name, path) in entries(from).unwrap_or_default() {
        let is_kept = ["vault.db.replaced-", "vault.db.merged-"]
            .iter()
            .any(|start| name.starts_with(start));
        let is_file = std::fs::symlink_metadata(&path).is_ok_and(|meta| meta.is_file());
        let target = to.join(&name);
        if !is_kept || !is_file || exists(&target) {
            continue;
        }
        check_trusted(&path, Access::Read)?;
        create_private_dir(to)?;
        let bytes = std::fs::read(&path).map_err(|source| cannot("read", &path, source))?;
        put(&target, &bytes)?;
        remove_if_present(&path)?;
    }
    Ok(())
}

/// Removes the stores below `dir` as a load does where stores are not to be exported: what another
/// program wrote into one until now is merged first.
fn remove_stores(context: &Context, vault: &mut UnlockedVault, dir: &Path) -> Result<(), Failure> {
    for name in vault.agents()? {
        for path in vault.written_stores(&name)? {
            let Some(agent_dir) = path.parent().filter(|_| path.starts_with(dir)) else {
                continue;
            };
            let agent = AgentRef {
                name: name.clone(),
                dir: agent_dir.to_owned(),
            };
            let off = |_: &AgentRef| Some(ExportMode::Off);
            let load = |engine: &mut Engine<'_>| engine.load(&agent, SyncMode::Off);
            let loaded = context.with_engine_exporting(vault, &off, load)?;
            context.verdict(loaded)?;
        }
    }
    Ok(())
}

/// Removes the directories of a state directory that are empty, and the state directory if it is. A
/// lock that a killed process left is removed as any writer of the store would remove it.
fn remove_empty(context: &Context, dir: &Path) {
    let agents = dir.join("agents");
    for (_, agent) in entries(&agents).unwrap_or_default() {
        let store = agent.join("agent").join(OF_AN_AGENT[0]);
        let queue = queue_path(&context.lock_dir(), &store);
        let lock = Repair::RemoveStaleLock { store, queue };
        let premises = Premises {
            main: &StoreDoc::default(),
            knows_profile: &|_| true,
            now: context.clock.now(),
        };
        let _ = lock.carry_out(&premises); // a lock that is held stays, and so does its directory
        let _ = std::fs::remove_dir(agent.join("agent"));
        let _ = std::fs::remove_dir(agent);
    }
    let _ = std::fs::remove_dir(agents);
    let _ = std::fs::remove_dir(dir);
}

/// Imports what another vault has, and sets that vault aside.
fn merge(context: &mut Context, from: &Path) -> Result<Repaired, Failure> {
    if !context.places.others.iter().any(|other| other == from) {
        return Ok(Repaired::NotNeeded);
    }
    let other = Vault::open(from)?.unlock(&context.key_sources())?;
    if let Some(row) = other.altered_rows()?.into_iter().next() {
        return Err(VaultError::Unopened { row: row.name }.into());
    }
    if !other.started_refreshes()?.is_empty() {
        return Err(VaultError::RefreshUnderWay.into());
    }
    let Some(head) = other.head()? else {
        return Ok(Repaired::NotNeeded);
    };
    // The other vault's export settings apply before anything is written.
    if let (Some(theirs), ours) = (from.parent(), context.layout.vault_dir.clone())
        && !exists(&context.layout.settings_file)
    {
        copy_settings(context, "clawkeep.toml", theirs, &ours)?;
        context.reread(true)?;
    }
    let mut vault = context.unlocked()?;
    let settings = context.settings()?;
    let (mut left_out, mut kept) = (Vec::new(), Vec::new());
    for name in other.agents()? {
        let agent = agent_ref(context, settings, &name);
        let mut state = other.agent(&name)?;
        // The owner of these is unknown here: imported like this they would be refreshed.
        for (id, borrowed) in &state.borrowed {
            state.doc.remove(Section::Profiles, id);
            left_out.push(format!("clawkeep import {}", borrowed.path));
        }
        // Of two keys without an expiry it is unknown which is newer: the one in use stays.
        let ours = vault.agent(&name)?.doc;
        let is_kept = |id: &str, credential: &Credential<'_>| {
            let stored = ours.get(Section::Profiles, id);
            let is_other = stored != state.doc.get(Section::Profiles, id);
            stored.is_some() && is_other && credential.kind != CredentialType::OAuth
        };
        let in_both = state.doc.credentials();
        let in_both = in_both.filter(|(id, credential)| is_kept(id, credential));
        let in_both: Vec<String> = in_both.map(|(id, _)| id.to_owned()).collect();
        for id in in_both {
            state.doc.remove(Section::Profiles, &id);
            kept.push(id);
        }
        carry_grants(context, (&other, &mut vault), &state.doc)?;
        let mut file = ImportFile::of_store(state.doc);
        file.leave_out_spent(|credential| {
            Ok::<_, VaultError>(other.is_spent(credential)? || vault.is_spent(credential)?)
        })?;
        let now = context.clock.now();
        let loaded = edit::edit_store(context, &mut vault, &agent, |doc| {
            let joined = file.join(doc, now);
            let taken = |id: &String| joined.taken().any(|taken| taken == id);
            let pins = state.pins.iter().filter(|(id, _)| taken(id));
            let edited = Edited::to(joined.doc.clone(), Vec::new());
            let edited = edited.by("doctor", Origin::ImportedFile);
            Ok(pins.fold(edited, |edited, (id, endpoint)| {
                edited.pinned(ProfileId::new(id.as_str()), endpoint.clone())
            }))
        })?;
        context.verdict(loaded)?;
    }
    let id = other.id().to_string();
    let aside = other.set_aside(&head, context.clock.now())?;
    record(
        context,
        &mut vault,
        EventKind::VaultMerged,
        [("from", from), ("kept", &*aside)],
    )?;
    let shown = context.layout.shorten_home(&aside);
    context.ui.note(&format!(
        "Note: the vault {id} was merged. It is kept, with its record, as {shown}"
    ));
    if !kept.is_empty() {
        context.ui.warn(&format!(
            "Warning: both vaults had another secret for {}. The one in use stays; the other is \
             in {shown}.",
            shown_ids(kept.iter().map(String::as_str))
        ));
    }
    left_out.sort();
    left_out.dedup();
    for command in left_out {
        context.ui.warn(&format!(
            "Warning: a login that the other vault borrows was not merged. To borrow it here: \
             {command}"
        ));
    }
    drop(vault);
    context.find_places_again()?;
    Ok(Repaired::done())
}

/// Copies the other vault's grant states: a grant that is uncertain, dead or another program's
/// there is so here, before a login with it is imported.
fn carry_grants(
    context: &Context,
    (other, vault): (&UnlockedVault, &mut UnlockedVault),
    doc: &StoreDoc,
) -> Result<(), Failure> {
    let mut carried = Vec::new();
    for (_, credential) in doc.credentials() {
        let Some(refresh) = credential.expose_refresh() else {
            continue;
        };
        let theirs = other.grant(other.fingerprint(refresh))?;
        let print = vault.fingerprint(refresh);
        let ours = vault.grant(print)?;
        let is_newly_restricted =
            ours.state == GrantState::Free && theirs.state != GrantState::Free;
        if is_newly_restricted && theirs.state != GrantState::Spent {
            let state = theirs.state;
            let failed = theirs.failed;
            carried.push((
                print,
                Grant {
                    state,
                    failed,
                    ..ours
                },
            ));
        }
    }
    if carried.is_empty() {
        return Ok(());
    }
    context.with_new_head(vault, |vault| {
        let mut tx = vault.begin(&context.actor, context.clock)?;
        for (print, grant) in &carried {
            tx.set_grant(*print, grant)?;
        }
        let event = EventDraft::new(EventKind::VaultMerged, Origin::Clawkeep);
        tx.append(None, event.detail("grants", carried.len()))?;
        tx.commit()
    })
}

/// The agent of a name in another vault.
fn agent_ref(context: &Context, settings: &Settings, name: &AgentName) -> AgentRef {
    let dir = Path::new(name.as_str());
    if dir.is_absolute() {
        return AgentRef {
            name: name.clone(),
            dir: dir.to_owned(),
        };
    }
    order_agent(&context.layout, settings, Some(name.as_str()))
}

/// Removes what a move left: a file that is no vault any more, or an earlier copy of the vault.
fn remove_left(context: &mut Context, path: &Path) -> Result<Repaired, Failure> {
    context.find_places_again()?;
    if !context.places.leftovers.iter().any(|left| left == path) {
        return Ok(Repaired::NotNeeded);
    }
    let vault = context.unlocked()?;
    if !vault.remove_moved_away(path)? {
        vault.remove_earlier_copy(path)?;
    }
    context.find_places_again()?;
    Ok(Repaired::done())
}

fn record<const N: usize>(
    context: &Context,
    vault: &mut UnlockedVault,
    kind: EventKind,
    paths: [(&'static str, &Path); N],
) -> Result<(), Failure> {
    let event = paths.into_iter().fold(
        EventDraft::new(kind, Origin::Clawkeep),
        |event, (name, path)| event.detail(name, from_outside(&path_text(path))),
    );
    context.with_new_head(vault, |vault| {
        let mut tx = vault.begin(&context.actor, context.clock)?;
        tx.append(None, event)?;
        tx.commit()
    })
}
