//! Why a credential was passed over, or none can be handed out, and how to fix it.

use crate::advice::{paste, remedy_of, shell_word};
use crate::doctor::{Removed, misnamed};
use clawkeep::internal::client::{Chosen, Pick, Request, Token};
use clawkeep::internal::config::{AgentRef, Fallback, openclaw};
use clawkeep::internal::domain::{
    Credential, EntryFault, ProfileId, ProviderId, StoreDoc, normalize_provider, unavailability,
};
use clawkeep::internal::health::PassedOver;
use clawkeep::internal::sync::Refreshes;
use clawkeep::internal::vault::UnlockedVault;

use crate::commands::auth::checks;
use crate::commands::hand_out::refresh_failure;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::named::Names;
use crate::terminal::program_name::{commands, is_called_as_gateway};
use crate::terminal::text::{self, one_line, shown_id};

/// The inputs of a choice, and what was found beside it.
pub(super) struct ChoiceContext<'f> {
    pub(super) context: &'f Context,
    pub(super) vault: &'f UnlockedVault,
    pub(super) agent: &'f AgentRef,
    pub(super) chosen: &'f Chosen,
    /// Credentials that other programs removed from the store, where one is missing.
    pub(super) removed: &'f [Removed],
}

/// The context of an explanation.
type Explained<'t> = (&'t Context, &'t AgentRef, &'t StoreDoc, &'t Refreshes);

/// Explains why a candidate was not used.
fn passed_over_reason(
    (context, agent, doc, refreshes): Explained<'_>,
    id: &ProfileId,
    why: PassedOver,
) -> String {
    let id_shown = shown_id(id.as_str());
    let credential = doc.credential(id.as_str());
    let store = || context.layout.shorten_home(&agent.store_file());
    match why {
        PassedOver::InCooldown => format!("{id_shown} is in cooldown"),
        PassedOver::Missing => format!("there is no {id_shown}"),
        PassedOver::Unreadable => match credential.as_ref().and_then(Credential::entry_fault) {
            Some(EntryFault::Empty) => format!("{id_shown} in {} holds no secret", store()),
            _ => format!("{id_shown} cannot be read"),
        },
        PassedOver::Reference => {
            let reference = credential.as_ref().and_then(Credential::reference);
            let described = reference.map_or_else(String::new, |found| found.describe());
            format!(
                "the secret of {id_shown} is a reference ({}), which clawkeep does not look up",
                one_line(&described)
            )
        }
        PassedOver::Misnamed => match credential.as_ref().and_then(Credential::misnamed) {
            Some(found) => format!("{id_shown} in {} {}", store(), misnamed(found)),
            None => format!("{id_shown} cannot be read"),
        },
        PassedOver::BadSecret(fault) => {
            format!("the secret of {id_shown} in {} {fault}", store())
        }
        PassedOver::Mismatch => {
            format!("{id_shown} is of another provider or kind than the configuration says")
        }
        PassedOver::EndsTooSoon => format!("{id_shown} expires too soon"),
        PassedOver::Expired => format!("{id_shown} has expired"),
        PassedOver::NotRefreshed(_) => match refreshes.why_not(id) {
            Some(why) => refresh_failure::reason(id.as_str(), why),
            None => format!("{id_shown} could not be refreshed"),
        },
        _ => format!("{id_shown} cannot be used"),
    }
}

/// The fix for an entry with a wrong field name; `None` for other entries.
fn fix_of_entry(
    (context, agent, doc, _): Explained<'_>,
    (id, why): (&ProfileId, PassedOver),
) -> Option<String> {
    let credential = doc.credential(id.as_str())?;
    Some(match why {
        PassedOver::Misnamed => {
            let found = credential.misnamed()?;
            format!(
                "In {}, rename the {} \"{}\" of {} to \"{}\".",
                context.layout.shorten_home(&agent.store_file()),
                found.what,
                one_line(found.written),
                shown_id(id.as_str()),
                found.right
            )
        }
        PassedOver::Reference => format!(
            "To keep a secret here, use another id: {}",
            paste(
                &format!("{}:manual", ProviderId::new(credential.provider)),
                &ProviderId::new(credential.provider),
                credential.kind,
                commands()
            )
        ),
        _ => return None,
    })
}

/// Reports that another account is used: that is never silent.
pub(super) fn note_passed_over(found: &ChoiceContext<'_>, pick: &Pick) {
    let ChoiceContext { context, agent, .. } = *found;
    let (doc, refreshes) = (&found.chosen.loaded.doc, &found.chosen.refreshes);
    let Some(chosen) = &pick.choice.chosen else {
        return; // the error reports it
    };
    for (id, reason) in &pick.choice.passed_over {
        context.ui.note(&format!(
            "Note: {}, so {} is used.",
            passed_over_reason((context, agent, doc, refreshes), id, *reason),
            shown_id(chosen.as_str())
        ));
        if let Some(not_refreshed) = refreshes.why_not(id) {
            let next =
                refresh_failure::fix(context, (&agent.name, doc), id.as_str(), not_refreshed);
            context.ui.detail(&next);
        }
    }
}

/// Warns that a credential is handed out although its refresh failed: it expires soon.
pub(super) fn warn_not_refreshed(found: &ChoiceContext<'_>, token: &Token) {
    let ChoiceContext {
        context, chosen, ..
    } = *found;
    if let Some(why) = chosen.refreshes.why_not(token.profile()) {
        context.ui.note(&format!(
            "Warning: {}. clawkeep hands out the current token.",
            refresh_failure::reason(token.profile().as_str(), why)
        ));
    }
}

/// The fix for the state of a credential that is not used: it has expired, or holds no secret that
/// can be sent.
fn fix_of_state(found: &ChoiceContext<'_>, (id, why): (&ProfileId, PassedOver)) -> Option<String> {
    let loaded = &found.chosen.loaded;
    let is_about_it = match why {
        PassedOver::Expired | PassedOver::EndsTooSoon | PassedOver::BadSecret(_) => true,
        PassedOver::Unreadable => loaded.doc.credential(id.as_str())?.is_readable(),
        _ => false,
    };
    let states = found.context.states(found.vault, found.agent, loaded);
    is_about_it.then(|| remedy_of(&states, id.as_str(), commands()))?
}

/// Warns that a credential is handed out although selection would skip it: it was named, or there
/// is no other.
pub(super) fn warn_unavailable(found: &ChoiceContext<'_>, token: &Token) {
    let ChoiceContext {
        context, chosen, ..
    } = *found;
    let id = token.profile().as_str();
    let now = context.clock.now();
    if is_called_as_gateway() {
        return;
    }
    if let Some(unavailability) = unavailability(&chosen.loaded.doc, id, now) {
        context.ui.note(&format!(
            "Warning: {} is not to be used now ({}), and is handed out all the same.",
            shown_id(id),
            text::shown_unavailability(&unavailability)
        ));
    }
    if let Some(ended) = token.expires().filter(|ends| *ends <= now) {
        context.ui.note(&format!(
            "Warning: {} {}, and is handed out all the same.",
            shown_id(id),
            (ended - now).expiry()
        ));
    }
}

/// The failure when nothing can be handed out, with its fix.
pub(super) fn none(found: &ChoiceContext<'_>, pick: &Pick) -> Failure {
    let ChoiceContext {
        context,
        agent,
        chosen,
        removed,
        ..
    } = *found;
    let (loaded, refreshes) = (&chosen.loaded, &chosen.refreshes);
    let is_strict = chosen.fallback == Fallback::None;
    let doc = &loaded.doc;
    // Entries with a wrong name in them are no candidates; where there is no other, they are why.
    let misnamed: Vec<(ProfileId, PassedOver)> = match &pick.wanted {
        Request::Provider(provider) if pick.choice.passed_over.is_empty() => doc
            .credentials()
            .filter(|(_, credential)| {
                normalize_provider(credential.provider) == provider.as_str()
                    && credential.misnamed().is_some()
            })
            .map(|(id, _)| (ProfileId::new(id), PassedOver::Misnamed))
            .collect(),
        _ => Vec::new(),
    };
    let passed = match misnamed.is_empty() {
        true => &pick.choice.passed_over,
        false => &misnamed,
    };
    let reasons: Vec<String> = passed
        .iter()
        .map(|(id, reason)| passed_over_reason((context, agent, doc, refreshes), id, *reason))
        .collect();
    let reasons = if reasons.is_empty() {
        "there is none".to_owned()
    } else {
        reasons.join("; ")
    };
    let what = match &pick.wanted {
        Request::Provider(provider) if is_strict => {
            format!("the first choice for {provider} cannot be used: {reasons}")
        }
        Request::Provider(provider) => {
            format!("no credential of {provider} can be used: {reasons}")
        }
        _ => reasons,
    };
    let not_refreshed = passed.iter().find_map(|(id, _)| {
        let why = refreshes.why_not(id)?;
        Some(refresh_failure::fix(
            context,
            (&agent.name, doc),
            id.as_str(),
            why,
        ))
    });
    let by_state = passed
        .iter()
        .find_map(|(id, why)| fix_of_state(found, (id, *why)));
    let in_cooldown = passed.iter().find_map(|(id, _)| {
        let unavailability = unavailability(doc, id.as_str(), context.clock.now())?;
        is_strict.then(|| {
            format!(
                "Wait until it is ready ({}), or leave out --strict.",
                text::shown_unavailability(&unavailability)
            )
        })
    });
    let add = passed.is_empty().then(|| {
        let add = match &pick.wanted {
            Request::Provider(provider) => {
                format!(
                    "Add one with: clawkeep add {}",
                    shell_word(provider.as_str())
                )
            }
            _ => "Add one with: clawkeep add".to_owned(),
        };
        match openclaw::find(&context.layout, &context.env) {
            Some(dir) => format!(
                "{add}. OpenClaw keeps credentials of its own in {}; see: clawkeep doctor",
                context.layout.shorten_home(&dir)
            ),
            None => add,
        }
    });
    let entry = passed
        .iter()
        .find_map(|(id, why)| fix_of_entry((context, agent, doc, refreshes), (id, *why)));
    let removed = removed.iter().find(|removed| match &pick.wanted {
        Request::Provider(provider) => removed.provider == *provider,
        wanted => removed.id == *wanted.name(),
    });
    let restore = removed.map(|removed| {
        format!(
            "Another program took {} out of the store. Put it back: {}",
            shown_id(&removed.id),
            removed.restore_command(&agent.name)
        )
    });
    let name = pick.wanted.name();
    let is_stored =
        doc.credential(name).is_some() || doc.credentials().any(|(_, stored)| stored.is_for(name));
    let names = || {
        Names::of_store(doc)
            .with_providers(context)
            .did_you_mean(name)
    };
    let mistyped = (!is_stored).then(names).flatten();
    let known = not_refreshed
        .or(by_state)
        .or(entry)
        .or(in_cooldown)
        .or(restore);
    let is_unknown = |wanted: &Request| match wanted {
        Request::Profile(_) if is_called_as_gateway() || doc.credentials().next().is_none() => {
            false
        }
        Request::Profile(id) => doc.credential(id).is_none(),
        _ => mistyped.is_some(),
    };
    if known.is_none() && is_unknown(&pick.wanted) {
        let names = Names::of_store(doc).with_providers(context);
        let Failure::UnknownName { next, .. } = names.unknown(name) else {
            return names.unknown(name);
        };
        return Failure::UnknownName { what, next };
    }
    let next = known.or(add);
    Failure::Refused {
        what,
        next: next.unwrap_or_else(|| checks::list_hint(agent)),
    }
}
