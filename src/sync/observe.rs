//! What a load sees and has not changed: credentials whose end has come nearer, and sources that were not taken over. Recorded when
//! first seen.

use super::engine::{Engine, Loaded};
use super::error::SyncError;
use super::notice::Notice;
use super::plan::{Decision, KeepReason};
use super::renew::Owned;
use super::sources::Planned;
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{AgentName, Credential, Owner, ProfileId, Section, StoreDoc, UnixMs};
use crate::health::{Status, WARN_AFTER_MS, assess};
use crate::vault::{ExpiryStage, GrantState, UnlockedVault, VaultError};

/// What is to be recorded.
struct Seen<'d> {
    ends: Vec<End<'d>>,
    skips: Vec<Skip>,
    /// Refresh tokens that are another program's.
    borrowed: Vec<(ProfileId, &'d str)>,
}

/// A credential that has come to a stage of its end, and when it did.
struct End<'d> {
    profile: ProfileId,
    credential: Credential<'d>,
    stage: (ExpiryStage, UnixMs),
}

/// Why a source's login is not taken over; no reason any more where there was one.
struct Skip {
    profile: ProfileId,
    origin: Origin,
    why: Option<&'static str>,
    /// That it was taken over is recorded.
    told: bool,
}

impl Engine<'_> {
    /// Records what a load has seen. That the vault is busy or the disk full is no reason not to answer: what was not recorded
    /// will be seen again.
    pub(super) fn observe(
        &mut self,
        agent: &AgentRef,
        loaded: &mut Loaded,
    ) -> Result<(), SyncError> {
        if loaded.damage.frame {
            return Ok(());
        }
        let now = self.clock.now();
        let skips = match skips(self.vault, &agent.name, &loaded.doc, &loaded.planned) {
            Err(VaultError::Unopened { row }) => {
                loaded.unopened.push(row);
                Vec::new()
            }
            skips => skips?,
        };
        let seen = Seen {
            ends: ends(self.vault, &agent.name, &loaded.doc, now)?,
            skips,
            borrowed: self.borrowed(loaded)?,
        };
        if seen.ends.is_empty() && seen.skips.is_empty() && seen.borrowed.is_empty() {
            return Ok(());
        }
        match self.record(&agent.name, seen) {
            Err(error @ (VaultError::Busy { .. } | VaultError::Storage { .. })) => {
                let error = error.to_string();
                loaded.notices.push(Notice::NotRecorded { error });
                Ok(())
            }
            other => Ok(other?),
        }
    }

    /// The logins of other programs that are stored under an id of ours, and are not known to be such yet: once that program has
    /// another token, its file does not tell any more.
    fn borrowed<'d>(&self, loaded: &'d Loaded) -> Result<Vec<(ProfileId, &'d str)>, SyncError> {
        let mut borrowed = Vec::new();
        if loaded.planned.is_empty() {
            return Ok(borrowed); // the sources are not asked
        }
        let owners = self.sources.owners();
        for (id, credential) in loaded.doc.credentials() {
            let Some(refresh) = credential.expose_refresh() else {
                continue;
            };
            if Owner::of(id) == Owner::Vault
                && matches!(owners.of(&credential), Owned::Anothers(_))
                && self.vault.grant(self.vault.fingerprint(refresh))?.state != GrantState::Borrowed
            {
                borrowed.push((ProfileId::new(id), refresh));
            }
        }
        Ok(borrowed)
    }

    fn record(&mut self, agent: &AgentName, seen: Seen<'_>) -> Result<(), VaultError> {
        let mut tx = self.vault.begin(self.actor, self.clock)?;
        for end in seen.ends {
            tx.note_expiry(agent, &end.profile, &end.credential, end.stage)?;
        }
        for skip in seen.skips {
            tx.note_skip(agent, &skip.profile, (skip.origin, skip.why), skip.told)?;
        }
        for (profile, refresh) in seen.borrowed {
            tx.mark_borrowed(refresh)?;
            // Without an event, the vault of before would pass for the one of now.
            let event = EventDraft::new(EventKind::CredentialBorrowed, Origin::Clawkeep)
                .profile(&profile, profile.provider_part())
                .detail("grant", tx.fingerprint(refresh).to_string());
            tx.append(Some(agent), event)?;
        }
        tx.commit()
    }
}

fn ends<'d>(
    vault: &UnlockedVault,
    agent: &AgentName,
    doc: &'d StoreDoc,
    now: UnixMs,
) -> Result<Vec<End<'d>>, VaultError> {
    let mut found = Vec::new();
    for (id, credential) in doc.credentials() {
        let Some(stage) = stage(&credential, now) else {
            continue;
        };
        let noted = vault.expiry_noted(agent, id)?;
        if noted.is_some_and(|noted| noted < stage.0) {
            let profile = ProfileId::new(id);
            found.push(End {
                profile,
                credential,
                stage,
            });
        }
    }
    Ok(found)
}

/// The stage of its end that a credential has come to, and when it did.
fn stage(credential: &Credential<'_>, now: UnixMs) -> Option<(ExpiryStage, UnixMs)> {
    let ends = credential.expiry()?.floor_ms();
    match assess(credential, now).status {
        Status::Expiring => Some((
            ExpiryStage::Expiring,
            UnixMs(ends.saturating_sub(WARN_AFTER_MS)),
        )),
        Status::Expired => Some((ExpiryStage::Expired, UnixMs(ends))),
        _ => None,
    }
}

fn skips(
    vault: &UnlockedVault,
    agent: &AgentName,
    doc: &StoreDoc,
    planned: &[Planned],
) -> Result<Vec<Skip>, VaultError> {
    if planned.is_empty() {
        return Ok(Vec::new());
    }
    let known = vault.sync_skips(agent)?;
    let of = |planned: &Planned| {
        let is_stored = doc.get(Section::Profiles, planned.profile).is_some();
        let why = reason(&planned.decision, is_stored);
        let before = known.iter().find(|(profile, _)| profile == planned.profile);
        let before = before.map(|(_, why)| why.as_str());
        (before != why).then(|| Skip {
            profile: ProfileId::new(planned.profile),
            origin: planned.origin,
            why,
            told: !planned.keeps(),
        })
    };
    Ok(planned.iter().filter_map(of).collect())
}

/// Why a login is not taken over, where that is worth recording: not that there is none and never was, nor that it is stored.
fn reason(decision: &Decision, is_stored: bool) -> Option<&'static str> {
    let Decision::Keep { why } = decision else {
        return None;
    };
    let is_news = match why {
        KeepReason::Same | KeepReason::SameLogin => false,
        KeepReason::SourceAbsent | KeepReason::SourceLoggedOut => is_stored,
        KeepReason::SourceDamaged | KeepReason::SameLoginElsewhere | KeepReason::StoredLater => {
            true
        }
    };
    is_news.then(|| why.as_str())
}
