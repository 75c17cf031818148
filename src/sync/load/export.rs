//! The last step of a load: the store file, and only then what the vault keeps of it.

use super::commit::Prepared;
use super::destination::Destination;
use super::export_record::record_written;
use super::findings::Findings;
use super::survey::Survey;
use super::write::{Reason, Write};
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::AgentRef;
use crate::domain::{Section, from_outside, path_text};
use crate::export::StorePlace;
use crate::platform::{FileError, Found, LockDir, Replaced, Replacement, still_has};
use crate::sync::context::LoadContext;
use crate::sync::error::SyncError;
use crate::sync::loaded::Loaded;
use crate::sync::notice::Notice;
use crate::vault::UnlockedVault;

/// Writes or removes the store file of a committed load. Whether it ends as was decided: not if
/// another program wrote into the file meanwhile. Nothing is lost then, and all is surveyed again.
pub(crate) fn export(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    agent: &AgentRef,
    lock: Option<&LockDir>,
    prepared: &mut Prepared,
) -> Result<Replaced, SyncError> {
    if let Some((replacement, bytes)) = prepared.draft.take() {
        let survey = &prepared.survey;
        let written = put_in_place(findings, survey, lock, replacement, &bytes);
        if !matches!(written, Ok(Replaced::No)) {
            let mut tx = vault.begin(context.actor, context.clock)?;
            record_written(
                &mut tx,
                agent,
                (survey, prepared.revision),
                &bytes,
                &written,
            )?;
            tx.commit()?;
        }
        if prepared.after_write(written) == Replaced::No {
            return Ok(Replaced::No);
        }
    }
    if prepared.committal.write == Write::Remove {
        match take_away(vault, context, findings, agent, &prepared.survey, lock) {
            Ok(Replaced::Yes) => {
                let path = prepared.survey.place.path().to_owned();
                prepared.survey.notices.push(Notice::Removed { path });
            }
            Ok(Replaced::No) => return Ok(Replaced::No),
            Err(SyncError::File(error)) => prepared.not_removed = Some(error),
            Err(error) => return Err(error),
        }
    }
    Ok(Replaced::Yes)
}

/// Returns the agent after a load that was carried out.
pub(crate) fn finish(
    vault: &UnlockedVault,
    agent: &AgentRef,
    prepared: Prepared,
) -> Result<Loaded, SyncError> {
    let (survey, steps) = (prepared.survey, prepared.steps);
    drop(survey.file); // the document that it ends with may be the file's
    let (mut unopened, mut damage) = (survey.state.unopened, survey.state.damage);
    let mut borrowed = survey.state.borrowed;
    for (profile, from) in &steps.edited.borrowed {
        match from {
            Some(from) => drop(borrowed.insert(profile.as_str().to_owned(), from.clone())),
            None => drop(borrowed.remove(profile.as_str())),
        }
    }
    let (doc, before) = match steps.into_target() {
        Some(doc) => (doc, Some(survey.state.doc)),
        None => (survey.state.doc, None),
    };
    borrowed.retain(|id, _| doc.get(Section::Profiles, id).is_some());
    let was_healed = |id: &String| doc.get(Section::Profiles, id).is_some();
    if damage.profiles.keys().any(was_healed) {
        let state = vault.agent(&agent.name)?;
        (unopened, damage) = (state.unopened, state.damage);
    }
    Ok(Loaded {
        doc,
        revision: prepared.revision,
        before,
        unopened,
        damage,
        borrowed,
        notices: survey.notices,
        planned: survey.planned,
        logins: survey.logins,
        notes: survey.notes,
        not_written: prepared.not_written,
        not_removed: prepared.not_removed,
        was_touched: false,
    })
}

impl Prepared {
    /// Notes what to report once the file was written, or was not. Whether it was, as far as
    /// another program's writing goes.
    pub(crate) fn after_write(&mut self, written: Result<Replaced, FileError>) -> Replaced {
        let survey = &mut self.survey;
        match written {
            Ok(Replaced::No) => return Replaced::No,
            Ok(Replaced::Yes) => {
                let path = survey.place.path().to_owned();
                if self.committal.write == Write::Yes(Reason::Missing) {
                    survey.notices.push(Notice::Restored { path });
                } else if survey.is_first_file() {
                    survey.notices.push(Notice::PlainCopy { path });
                }
            }
            Err(error) => self.not_written = Some(error),
        }
        Replaced::Yes
    }
}

/// Puts the new store where it is to be, unless another program has written since the survey.
///
/// In place of a file, the copy in memory is whole before the link to it replaces the file; in
/// place of a link, the file is whole before the copy is removed. So at every moment the gateway
/// can read one of both.
fn put_in_place(
    findings: &mut Findings,
    survey: &Survey,
    lock: Option<&LockDir>,
    replacement: Replacement,
    bytes: &[u8],
) -> Result<Replaced, FileError> {
    let (place, expected) = (&survey.place, survey.file.bytes());
    let Destination::Memory { copy, .. } = &survey.destination else {
        let put = put_file((place, expected), lock, replacement, bytes)?;
        return without_old_copy(findings, place, expected, put);
    };
    let is_wanted = || Ok(is_held(lock) && place.still_has(expected)? && place.is_as_found());
    if place.link() == Some(copy) {
        let put = replacement.finish(bytes, expected, is_wanted)?;
        // A file in place of the link was made from what the copy said before.
        return Ok(if place.is_as_found() {
            put
        } else {
            Replaced::No
        });
    }
    if replacement.finish(bytes, None, is_wanted)? == Replaced::No {
        return Ok(Replaced::No);
    }
    let linked = place.link_to(copy, expected, is_wanted);
    if !still_has(place.site(), Found::Link(copy)) {
        place.remove_leftover(copy)?; // no program has read it
    }
    let put = linked?;
    without_old_copy(findings, place, expected, put)
}

/// Removes the store, unless another program has written since the survey, and then records that.
fn take_away(
    vault: &mut UnlockedVault,
    context: &LoadContext<'_>,
    findings: &mut Findings,
    agent: &AgentRef,
    survey: &Survey,
    lock: Option<&LockDir>,
) -> Result<Replaced, SyncError> {
    let (place, expected) = (&survey.place, survey.file.bytes());
    if !is_held(lock) || !place.still_has(expected)? || !place.is_as_found() {
        return Ok(Replaced::No);
    }
    let taken = place.withdraw(expected)?;
    if without_old_copy(findings, place, expected, taken)? == Replaced::No {
        return Ok(Replaced::No);
    }
    let path = from_outside(&path_text(place.path()));
    let event = EventDraft::new(EventKind::ExportWritten, Origin::Clawkeep)
        .detail("path", path)
        .detail("reason", "removed");
    let mut tx = vault.begin(context.actor, context.clock)?;
    tx.touch(&agent.name)?;
    tx.append(Some(&agent.name), event)?;
    tx.commit()?;
    Ok(Replaced::Yes)
}

/// Removes the copy in memory that the replaced link led to. What a gateway has written into it
/// since is merged by the next round.
fn without_old_copy(
    findings: &mut Findings,
    place: &StorePlace,
    expected: Option<&[u8]>,
    put: Replaced,
) -> Result<Replaced, FileError> {
    let (Replaced::Yes, Some(old)) = (put, place.link()) else {
        return Ok(put);
    };
    let removed = place.remove_copy(old, expected)?;
    if removed == Replaced::No {
        findings
            .left_copies
            .push((place.site().to_owned(), old.to_owned()));
    }
    Ok(removed)
}

/// Puts the new store in place as a file, unless another program has written since the survey.
pub(crate) fn put_file(
    (place, expected): (&StorePlace, Option<&[u8]>),
    lock: Option<&LockDir>,
    replacement: Replacement,
    bytes: &[u8],
) -> Result<Replaced, FileError> {
    let is_wanted = || Ok(is_held(lock) && place.still_has(expected)? && place.is_as_found());
    replacement.finish_over(bytes, place.found(expected), is_wanted)
}

fn is_held(lock: Option<&LockDir>) -> bool {
    lock.is_none_or(LockDir::is_held)
}
