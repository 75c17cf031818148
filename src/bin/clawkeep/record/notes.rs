//! Notes for a person who queries the record.

use clawkeep::internal::audit::Filter;
use clawkeep::internal::domain::{UnixMs, could_be_secret};
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::vault::Vault;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::{local_minute, shown_id};

/// Notes stores that changed since they were last read: a gateway's uses are recorded when its
/// store is loaded, which needs the key.
pub(crate) fn note_changed_stores(context: &Context, vault: &Vault) -> Result<(), Failure> {
    for (path, known) in vault.known_stores()? {
        let changed = StorePlace::of_file(&path)?.modified();
        if let Some(at) = changed.filter(|at| *at > known) {
            context.ui.note(&format!(
                "Note: another program changed {} at {}, after clawkeep last read it. To record \
                 its uses: clawkeep sync",
                context.layout.shorten_home(&path),
                local_minute(at)
            ));
        }
    }
    Ok(())
}

/// Notes that a part of the queried time was pruned. `since`: the start of that time.
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
            local_minute(oldest)
        ));
    }
    Ok(())
}

/// Notes names that the record does not have, if nothing matches: they are most likely mistyped.
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
        if could_be_secret(asked) {
            context.ui.note(&format!(
                "Note: the record has no such {what} (not shown, since it may be a secret)."
            ));
            continue;
        }
        let nearest = known
            .iter()
            .map(|known| (strsim::jaro_winkler(known, asked), known))
            .max_by(|a, b| a.0.total_cmp(&b.0));
        /// The similarity, from 0 to 1, at which one name is most likely the other mistyped.
        /// Source: clap uses the same.
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
