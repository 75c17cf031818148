//! What a person should know who asks the record.

use clawkeep::audit::Filter;
use clawkeep::domain::UnixMs;
use clawkeep::export::StorePlace;
use clawkeep::vault::Vault;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::{local_minute, shown_id};

/// A gateway's uses come into the record when its store is looked at, which needs the key that asking does not ask for.
pub(crate) fn note_changed_stores(context: &Context, vault: &Vault) -> Result<(), Failure> {
    for (path, known) in vault.known_stores()? {
        let changed = StorePlace::of_file(&path)?.modified();
        if let Some(at) = changed.filter(|at| *at > known) {
            context.ui.note(&format!(
                "Note: another program changed {} at {}, after clawkeep last read it. To record its uses: clawkeep sync",
                context.layout.shorten_home(&path),
                local_minute(at.0)
            ));
        }
    }
    Ok(())
}

/// What was pruned is not there to be told: that is not the same as that nothing was. `since`: from when on it was asked for.
pub(crate) fn note_pruning(
    context: &Context,
    vault: &Vault,
    since: Option<UnixMs>,
) -> Result<(), Failure> {
    if vault.checkpoint()?.is_none() {
        return Ok(());
    }
    let oldest = vault.oldest_unpruned()?;
    if let Some(oldest) = oldest.filter(|oldest| since.is_none_or(|since| since < *oldest)) {
        context.ui.note(&format!(
            "Note: the record before {} was pruned; what is shown of that time is incomplete.",
            local_minute(oldest.0)
        ));
    }
    Ok(())
}

/// Where nothing matches: a name that the record does not know is most likely mistyped.
pub(crate) fn note_unknown_names(
    context: &Context,
    vault: &Vault,
    filter: &Filter,
) -> Result<(), Failure> {
    let known = vault.names()?;
    for (what, asked, known) in [
        ("profile", &filter.profile, &known.profiles),
        ("provider", &filter.provider, &known.providers),
        ("agent", &filter.agent, &known.agents),
    ] {
        let Some(asked) = asked.as_deref() else {
            continue;
        };
        if known.iter().any(|known| **known == *asked) {
            continue;
        }
        let nearest = known
            .iter()
            .map(|known| (strsim::jaro_winkler(known, asked), known))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        /// As much alike as that, from 0 to 1, one is most likely the other mistyped. Source: clap takes the same.
        const ALIKE: f64 = 0.7;
        let suggestion = nearest
            .filter(|(alike, _)| *alike > ALIKE)
            .map(|(_, known)| format!("; did you mean {}?", shown_id(known)));
        context.ui.note(&format!(
            "Note: the record has no {what} {}{}",
            shown_id(asked),
            suggestion.unwrap_or_else(|| ".".to_owned())
        ));
    }
    Ok(())
}
