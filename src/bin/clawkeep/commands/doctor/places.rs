//! Findings and repairs about where the vault is: in a directory of OpenClaw's, in one that stops
//! OpenClaw, or in two places at once.

use std::path::{Path, PathBuf};

use clawkeep::audit::{EventDraft, EventKind, Filter, KindFilter, Origin};
use clawkeep::config::{AgentRef, ExportMode, Settings, openclaw, order_agent};
use clawkeep::doctor::{Finding, FindingId, Premises, Repair, Repaired};
use clawkeep::domain::{
    AgentName, Credential, CredentialType, Owner, ProfileId, Section, StoreDoc, from_outside,
    path_of_text, path_text,
};
use clawkeep::platform::openclaw::{STATE_DIR_NAME, openclaw_dir_of};
use clawkeep::platform::{
    Access, FileError, check_trusted, create_private_dir, exists, persist, read_trusted,
    remove_if_present, rename_durably, sync_dir, sync_file, temporary_in,
};
use clawkeep::sync::import::ImportFile;
use clawkeep::sync::{Edited, Engine, SyncMode, queue_path};
use clawkeep::vault::{
    Grant, GrantState, UnlockedVault, Vault, VaultError, free_name, is_moved_away,
    remove_what_lay_beside,
};

use crate::commands::auth::edit;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::shown_ids;

/// The largest settings file that is moved, in bytes.
const SETTINGS_MAX: u64 = 1 << 20;
/// What comes after the name of a configuration that was replaced, before the time, as other repairs name it.
const BEFORE: &str = ".clawkeep-before-";
/// What an agent's directory has in it if only this program uses it.
const OF_AN_AGENT: [&str; 2] = ["auth-profiles.json", "auth-profiles.json.lock"];

/// What is to be said of the places.
pub(super) fn findings(context: &Context) -> Vec<Finding> {
    let layout = &context.layout;
    let vault = &layout.vault_file;
    let shown = |path: &Path| layout.shorten_home(path);
    let mut found = Vec::new();
    for other in &context.places.others {
        let message = format!(
            "there are two vaults, {} (used) and {}: one login in both would be refreshed twice, which ends it",
            shown(vault),
            shown(other)
        );
        found.push(
            Finding::new(FindingId::VaultTwo, message)
                .path(other)
                .repair(Repair::MergeVault {
                    from: other.clone(),
                    into: vault.clone(),
                }),
        );
    }
    for path in &context.places.strays {
        let message = format!(
            "{} is no vault that can be opened, where a vault may lie; {} is used",
            shown(path),
            shown(vault)
        );
        let finding = Finding::new(FindingId::VaultStray, message).path(path);
        found.push(finding.advice(
            "If it is not yours, remove it. If it is a vault, make it readable, or open it with --vault.",
        ));
    }
    for path in &context.places.leftovers {
        let message = if is_moved_away(path) {
            format!("{} is what a move of the vault left", shown(path))
        } else {
            format!(
                "{} is an earlier copy of the vault, such as an interrupted move or a backup leaves",
                shown(path)
            )
        };
        let repair = Repair::RemoveLeftVault {
            path: path.clone(),
            vault: vault.clone(),
        };
        found.push(
            Finding::new(FindingId::VaultLeft, message)
                .path(path)
                .repair(repair),
        );
    }
    if let Some((dir, message)) = misplaced(context) {
        let repair = Repair::MoveVault {
            from: dir.clone(),
            to: layout.data_dir.clone(),
        };
        found.push(
            Finding::new(FindingId::VaultPlace, message)
                .path(dir)
                .repair(repair),
        );
    }
    found
}

/// The directory that the vault should leave, and why.
fn misplaced(context: &Context) -> Option<(PathBuf, String)> {
    let layout = &context.layout;
    let legacy = layout.home.join(".clawdbot");
    let openclaws = layout.home.join(STATE_DIR_NAME);
    // Two vaults are merged first. Where the user's data is OpenClaw's directory too, there is nowhere to go.
    if !context.places.others.is_empty() || openclaw_dir_of(&layout.data_dir).is_some() {
        return None;
    }
    // A directory that is named is the only place where a vault is looked for: it stays there.
    let is_usual = |dir: &Path| dir == legacy || dir == openclaws || dir == layout.data_dir;
    if !is_usual(&layout.vault_dir) {
        return None;
    }
    let is_found = layout.vaults.first() == Some(&layout.vault_file);
    if is_found && context.places.is_in_openclaws() {
        let dir = layout.vault_dir.clone();
        let message = format!(
            "the vault {} is in a directory of OpenClaw's, which may move or remove it",
            layout.shorten_home(&layout.vault_file)
        );
        return Some((dir, message));
    }
    // What a move that was killed after its commit did not come to.
    if layout.vault_dir == layout.data_dir && openclaws.join("clawkeep.toml").is_file() {
        let message = format!(
            "{} is what a move of the vault left; nothing reads it",
            layout.shorten_home(&openclaws.join("clawkeep.toml"))
        );
        return Some((openclaws, message));
    }
    if legacy.is_symlink() || !legacy.is_dir() || !is_openclaw_installed(context) {
        return None;
    }
    let stores = stores_below(&legacy)?;
    let vault = Vault::open(&layout.vault_file).ok()?;
    let known = vault.known_stores().ok()?;
    let is_known = |store: &PathBuf| known.iter().any(|(path, _)| path == store);
    let is_ours = stores.iter().all(is_known) && !has_foreign_content(&vault, &legacy)?;
    is_ours.then(|| {
        let message = format!(
            "only clawkeep uses {}, and OpenClaw, which is installed here, refuses to start beside it",
            layout.shorten_home(&legacy)
        );
        (legacy, message)
    })
}

/// Whether the record says that another program wrote a store below `dir`: a gateway uses it. `None` if the record
/// cannot be read.
fn has_foreign_content(vault: &Vault, dir: &Path) -> Option<bool> {
    let kinds = [EventKind::ImportApplied, EventKind::StoreMerged];
    let filter = Filter {
        kinds: kinds.map(KindFilter::only).to_vec(),
        ..Filter::default()
    };
    for event in vault.history(&filter).ok()? {
        let event = event.ok()?;
        let detail = event.detail.as_deref().unwrap_or_default();
        let detail: serde_json::Value = serde_json::from_str(detail).unwrap_or_default();
        let path = detail["path"].as_str();
        if path.is_some_and(|path| path_of_text(path).starts_with(dir)) {
            return Some(true);
        }
    }
    Some(false)
}

fn is_openclaw_installed(context: &Context) -> bool {
    let on_path = || {
        let path = context.env.raw("PATH").unwrap_or_default();
        let name = format!("openclaw{}", std::env::consts::EXE_SUFFIX);
        std::env::split_paths(path)
            .filter(|dir| dir.is_absolute())
            .any(|dir| dir.join(&name).is_file())
    };
    openclaw::find(&context.layout, &context.env).is_some() || on_path()
}

/// The stores in a state directory in which there is nothing but what this program puts there; `None` if
/// there is anything else.
fn stores_below(dir: &Path) -> Option<Vec<PathBuf>> {
    let mut stores = Vec::new();
    for (name, path) in entries(dir)? {
        match name.as_str() {
            "agents" => {
                for (_, agent) in entries(&path)? {
                    for (name, dir) in entries(&agent)? {
                        if name != "agent" {
                            return None;
                        }
                        for (name, file) in entries(&dir)? {
                            if !OF_AN_AGENT.contains(&name.as_str()) {
                                return None;
                            }
                            if name == OF_AN_AGENT[0] {
                                stores.push(file);
                            }
                        }
                    }
                }
            }
            "clawkeep.toml" => {}
            // One that commands of ours made has nothing else in it.
            "clawdbot.json" if Settings::is_of_credentials_alone(&path).unwrap_or(false) => {}
            // The vault, its log, its locks, and vaults that a restore replaced.
            name if name == "vault.db" || name.starts_with("vault.db.") => {}
            name if name.starts_with("vault.db-") => {}
            _ => return None,
        }
    }
    Some(stores)
}

/// The entries of a directory, by name; `None` if it is none, or a link.
fn entries(dir: &Path) -> Option<Vec<(String, PathBuf)>> {
    if dir.is_symlink() {
        return None;
    }
    let read = std::fs::read_dir(dir).ok()?;
    let entry = |entry: std::io::Result<std::fs::DirEntry>| {
        let entry = entry.ok()?;
        Some((entry.file_name().to_str()?.to_owned(), entry.path()))
    };
    read.map(entry).collect()
}

/// Makes a repair of the places; `None` if it is another kind of repair.
pub(super) fn carry_out(
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

/// Moves the vault and the settings out of `from`, and what else of ours is there if only we use it.
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
        // What a gateway may have written into the stores until now is merged first.
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
        context.unlocked()?.remove_moved_away(&left)?; // by a move that was killed
    }
    remove_what_lay_beside(&left)?;
    if is_ours_alone {
        let mut vault = context.unlocked()?;
        remove_stores(context, &mut vault, from)?;
        let _ = remove_if_present(&from.join("clawdbot.json"))?;
        remove_empty(context, from);
    }
    context.find_places_again()?;
    if context.env.raw("XDG_DATA_HOME").is_some() {
        context.ui.note(
            "Note: if `clawkeep watch` is installed as a service, tell it of XDG_DATA_HOME with: clawkeep monitor install",
        );
    }
    Ok(Repaired::done())
}

/// Says which logins OpenClaw may have too: its upgrade imports the stores that it finds, and a refresh
/// token can be used once.
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
            "Warning: OpenClaw may have the same logins as the vault: {}. A refresh by one ends them for the other. Log in anew for one of the two, for example: clawkeep models auth login --provider PROVIDER",
            shown_ids(shared.iter().map(String::as_str))
        ));
    }
    Ok(())
}

/// Copies settings, so that they hold from the moment at which the vault is there.
fn copy_settings(context: &Context, name: &str, from: &Path, to: &Path) -> Result<(), Failure> {
    let [source, target] = [from, to].map(|dir| dir.join(name));
    let Some(contents) = read_trusted(&source, Access::Read, SETTINGS_MAX)? else {
        return Ok(());
    };
    match read_trusted(&target, Access::Read, SETTINGS_MAX)? {
        Some(there) if there.bytes == contents.bytes => return Ok(()),
        // One that nothing has read since the gateway's directory came to be.
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
                next: "Nothing was changed. Keep what you want in the second one and remove the first.".to_owned(),
            });
        }
        None => {}
    }
    put(to, &target, &contents.bytes).map_err(|source| cannot("write", &target, source))?;
    Ok(sync_dir(to)?)
}

/// Puts a file in place at once, durably.
fn put(dir: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut draft = temporary_in(dir)?;
    draft.write_all(bytes)?;
    sync_file(draft.as_file())?;
    persist(draft, path)
}

fn cannot(action: &'static str, path: &Path, source: std::io::Error) -> FileError {
    let path = path.to_owned();
    FileError::Io {
        action,
        path,
        source,
    }
}

/// Moves the vaults that a restore replaced, which are files nobody has open.
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
        put(to, &target, &bytes).map_err(|source| cannot("write", &target, source))?;
        remove_if_present(&path)?;
    }
    Ok(())
}

/// Removes the stores below `dir` as a load does where stores are not to be exported: what another program wrote
/// into one until now is merged first.
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

/// Removes the directories of a state directory that are empty, and the state directory if it is. A lock that
/// a killed process left is removed as any writer of the store would remove it.
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
        let _ = lock.carry_out(&premises); // one that is held stays, and the directory with it
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
    let Some(seen) = other.head()? else {
        return Ok(Repaired::NotNeeded);
    };
    // What the other's settings say of stores holds before anything is written.
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
        // Whose these are is not known here: imported like this they would be refreshed.
        for (id, borrowed) in &state.borrowed {
            state.doc.remove(Section::Profiles, id);
            left_out.push(format!("clawkeep import {}", borrowed.path));
        }
        // Of two keys without an expiry nobody knows which is newer: the one in use stays.
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
    let aside = other.set_aside(&seen, context.clock.now())?;
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
            "Warning: both vaults had another secret for {}. The one in use stays; the other is in {shown}.",
            shown_ids(kept.iter().map(String::as_str))
        ));
    }
    left_out.sort();
    left_out.dedup();
    for command in left_out {
        context.ui.warn(&format!(
            "Warning: a login that the other vault borrows was not merged. To borrow it here: {command}"
        ));
    }
    drop(vault);
    context.find_places_again()?;
    Ok(Repaired::done())
}

/// Carries over what the other vault knows of its grants: one that may be spent, is dead or another program's is so
/// here, too, before a login with it comes in.
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
        let is_news = ours.state == GrantState::Free && theirs.state != GrantState::Free;
        if is_news && theirs.state != GrantState::Spent {
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

/// Removes what a move left: a file that is no vault any more, or an earlier copy of the vault in use.
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
