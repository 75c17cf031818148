//! Whether a refresh token may be sent, and where to.

use super::grant::{Holder, LEFT_ALONE_MAX_MS, Refresher, Request, Route, When, sharing};
use super::outcome::NotRefreshed;
use crate::audit::{EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{
    Credential, Endpoint, Fingerprint, Owner, ProfileId, ProviderId, SecretJson, Section, StoreDoc,
    normalize_provider,
};
use crate::export::{StorePlace, StoreReading, render};
use crate::health::Loss;
use crate::oauth::{FailureClass, Providers};
use crate::platform::FileError;
use crate::platform::openclaw::live_json_stores;
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::sync::load::shared::with_tokens_of;
use crate::sync::load::spent::holder_of_successor;
use crate::sync::logins::whole_file::read_once_written;
use crate::sync::state::loss_of;
use crate::vault::{ChangeNote, GrantState, UnlockedVault};

/// Whether a refresh token may be sent.
pub(crate) enum Clearance {
    Granted(Box<Route>),
    Refused(NotRefreshed),
    /// The token's successor was just stored: there may be nothing to send.
    Retry,
}

/// Decides whether the grant's token may be sent. The caller has its lease and merged the stores.
pub(crate) fn clearance(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    (refresher, agent): (&Refresher<'_>, &AgentRef),
    id: &ProfileId,
    request: Request,
    (doc, holders): (&StoreDoc, &[Holder]),
) -> Result<Clearance, SyncError> {
    let Request {
        grant,
        when,
        fence_before,
    } = request;
    let refused = |why| Ok(Clearance::Refused(why));
    if let Some(holder) = holders
        .iter()
        .find(|holder| Owner::of(holder.profile.as_str()) != Owner::Vault)
    {
        return refused(NotRefreshed::Borrowed(Owner::of(holder.profile.as_str())));
    }
    if has_newer_gateway(vault, refresher, agent, holders)? {
        return refused(NotRefreshed::NewerGateway);
    }
    match is_in_openclaws_store(vault, grant) {
        Ok(false) => {}
        Ok(true) => return refused(NotRefreshed::NewerGateway),
        Err(why) => return refused(NotRefreshed::GatewayUnknown(why)),
    }
    let known = vault.grant(grant)?;
    match loss_of(&known) {
        Some(Loss::Spent) if follow(vault, context, holders, grant)? => {
            return Ok(Clearance::Retry);
        }
        // A token that may be used up is tried once more.
        None | Some(Loss::Uncertain) => {}
        Some(loss) => return refused(NotRefreshed::Lost(loss)),
    }
    if known.state == GrantState::Borrowed {
        let credential = doc.credential(id.as_str());
        let provider = credential
            .as_ref()
            .map(|credential| normalize_provider(credential.provider));
        // Imported as another program's under another id.
        let imported = vault.agent(&agent.name)?.borrowed;
        let imported = imported.iter().find(|(id, _)| {
            let other = doc.credential(id);
            other.map(|other| normalize_provider(other.provider)) == provider
        });
        let owner = match (imported, credential) {
            (Some((_, from)), _) => from.owner,
            (None, Some(credential)) => borrowed_of(&credential),
            (None, None) => Owner::OtherProgram,
        };
        return refused(NotRefreshed::Borrowed(owner));
    }
    // The process that held the lease has tried meanwhile.
    let failed = known.failed.as_deref().and_then(FailureClass::from_name);
    if let Some(class) = failed.filter(|_| fence_before.is_some_and(|before| known.fence > before))
    {
        return refused(NotRefreshed::FailedJustNow(class));
    }
    let now = context.clock.now();
    // A time further ahead than any that is set was set while the clock was wrong.
    let until = known
        .not_before
        .filter(|at| (now.0..=now.0.saturating_add(LEFT_ALONE_MAX_MS)).contains(&at.0));
    if let Some(until) = until.filter(|_| when != When::Now) {
        return refused(NotRefreshed::Limited(until));
    }
    Ok(
        match find_route(vault, refresher.providers, id, doc, holders)? {
            Ok(route) => Clearance::Granted(Box::new(route)),
            Err(why) => Clearance::Refused(why),
        },
    )
}

/// Finds where the login's tokens may be sent: every holder must have come from there.
fn find_route(
    vault: &UnlockedVault,
    providers: &Providers,
    id: &ProfileId,
    doc: &StoreDoc,
    holders: &[Holder],
) -> Result<Result<Route, NotRefreshed>, SyncError> {
    let Some(credential) = doc.credential(id.as_str()) else {
        return Ok(Err(NotRefreshed::Missing));
    };
    let mut pinned = Vec::new();
    for holder in holders {
        let mut state = vault.agent(&holder.agent)?;
        pinned.extend(state.pins.remove(holder.profile.as_str()));
    }
    Ok(route(providers, &credential, &pinned))
}

/// Whether an OpenClaw of the JSON era has the login in its live store, which stays its own
/// wherever the vault's copy came from. The error is a clause: why that cannot be known.
fn is_in_openclaws_store(vault: &UnlockedVault, grant: Fingerprint) -> Result<bool, String> {
    for path in live_json_stores().map_err(|error| with_cause(&error))? {
        let is_unfinished = |reading: &Result<StoreReading, FileError>| {
            matches!(reading, Ok(StoreReading::Damaged { .. }))
        };
        let reading = read_once_written(&path, is_unfinished, || {
            StorePlace::of_file(&path).and_then(|place| place.read())
        });
        let doc = match reading {
            Ok(StoreReading::Parsed { doc, .. }) => doc,
            Ok(StoreReading::Missing) => continue,
            Ok(StoreReading::Damaged { fault, .. }) => {
                return Err(format!(
                    "its store {} cannot be read: {fault}",
                    path.display()
                ));
            }
            Ok(StoreReading::Known { .. }) => {
                return Err(format!("its store {} was not read", path.display()));
            }
            Err(error) => return Err(with_cause(&error)),
        };
        let has_it = doc.credentials().any(|(_, credential)| {
            let refresh = credential.expose_refresh();
            refresh.is_some_and(|refresh| vault.fingerprint(refresh) == grant)
        });
        if has_it {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether a newer gateway's own store has the login, and would be left with a spent token.
fn has_newer_gateway(
    vault: &UnlockedVault,
    refresher: &Refresher<'_>,
    agent: &AgentRef,
    holders: &[Holder],
) -> Result<bool, SyncError> {
    for agent in sharing(refresher.agents, holders, agent).chain([agent]) {
        if StorePlace::of_agent(&agent.dir)?.is_openclaws() {
            return Ok(true);
        }
    }
    let is_known = |holder: &&Holder| {
        let mut agents = refresher.agents.iter().chain([agent]);
        agents.any(|agent| agent.name == holder.agent)
    };
    // Those of agents that are known by their store alone.
    for holder in holders.iter().filter(|holder| !is_known(holder)) {
        for path in vault.written_stores(&holder.agent)? {
            if StorePlace::of_file(&path)?.is_openclaws() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}

/// Gives the holders of a used-up grant its successor, if any profile has that.
fn follow(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    holders: &[Holder],
    grant: Fingerprint,
) -> Result<bool, SyncError> {
    let mut found = false;
    for holder in holders {
        let state = vault.agent(&holder.agent)?;
        let entry = state.doc.get(Section::Profiles, holder.profile.as_str());
        let Some(entry) = entry.cloned().map(SecretJson::new) else {
            continue;
        };
        let Some(other) = holder_of_successor(vault, grant, &entry)? else {
            continue;
        };
        let note = ChangeNote::new(EventKind::ProfileUpdated, Origin::Clawkeep)
            .detail("by", "shared")
            .detail("grant", grant.to_string());
        let mut tx = vault.begin(context.actor, context.clock)?;
        if tx.revision(&holder.agent)? != state.revision {
            continue; // changed just now: it is surveyed again
        }
        tx.keep_snapshots(&holder.agent, None, || render(&state.doc))?;
        let entry = with_tokens_of(&entry, &other);
        let (agent, profile) = (&holder.agent, &holder.profile);
        tx.put_refreshed(agent, profile, entry.expose_secret(), note, grant)?;
        tx.commit()?;
        found = true;
    }
    Ok(found)
}

fn with_cause(error: &FileError) -> String {
    match std::error::Error::source(error) {
        Some(why) => format!("{error}: {why}"),
        None => error.to_string(),
    }
}

/// Finds where a login's tokens may be sent. `pinned` are the endpoints that issued it.
fn route(
    providers: &Providers,
    credential: &Credential<'_>,
    pinned: &[Endpoint],
) -> Result<Route, NotRefreshed> {
    let id = ProviderId::new(credential.provider);
    let provider = providers.get(&id).map_err(NotRefreshed::BadProvider)?;
    let provider = provider.ok_or_else(|| NotRefreshed::NoProvider(id.clone()))?;
    let now = provider
        .endpoint(credential.client_id())
        .ok_or(NotRefreshed::NoClient(id))?;
    match pinned.iter().find(|pinned| **pinned != now) {
        Some(pinned) => Err(NotRefreshed::EndpointChanged {
            pinned: pinned.clone(),
            now,
        }),
        None => Ok(Route {
            provider,
            endpoint: now,
        }),
    }
}

/// The program that owns the borrowed login of a provider.
fn borrowed_of(credential: &Credential<'_>) -> Owner {
    let provider = normalize_provider(credential.provider);
    let owner = Owner::mirrored().find(|(_, mirror)| mirror.provider == provider);
    owner.map_or(Owner::OtherProgram, |(owner, _)| owner)
}
