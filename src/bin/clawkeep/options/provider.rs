//! Which provider a person means: asked for, and checked for a mistype.

use clawkeep::internal::domain::ProviderId;

use super::ids;
use super::named::{known_providers, mistypes};
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::prompt;

/// Asks for a provider, by its name or the number of one that is listed, until `check` accepts it.
pub(crate) fn ask(
    listed: &[&str],
    check: impl Fn(&ProviderId) -> Result<(), Failure>,
) -> Result<ProviderId, Failure> {
    if !prompt::is_possible() {
        return Err(Failure::BadArgument(format!(
            "there is no terminal to ask on; name the provider: {}",
            listed.join(", ")
        )));
    }
    let meant = |typed: &str| -> Result<ProviderId, String> {
        let number = typed.parse::<usize>().ok();
        let provider = match number.and_then(|number| listed.get(number.checked_sub(1)?)) {
            Some(name) => ProviderId::new(name),
            None => ids::typed_provider(typed)?,
        };
        check(&provider).map_err(|failure| failure.remedy("").unwrap_or_default())?;
        Ok(provider)
    };
    let numbered = listed.iter().zip(1..);
    let numbered: Vec<String> = numbered.map(|(name, at)| format!("{at}) {name}")).collect();
    let question = format!("Provider: {}, or its name", numbered.join(", "));
    let typed = prompt::text(&question, Some("1"), |typed| meant(typed).map(|_| ()))?;
    meant(&typed).map_err(Failure::BadArgument)
}

/// The known provider whose name was most likely mistyped; `None` for a known one, and for one that
/// is like none.
pub(crate) fn mistyped(context: &Context, provider: &ProviderId) -> Option<String> {
    let known = known_providers(context);
    if known.contains(provider.as_str()) {
        return None;
    }
    let near = known
        .into_iter()
        .filter_map(|known| Some((mistypes(&known, provider.as_str())?, known)));
    near.min().map(|(_, near)| near)
}

/// The failure for the name of a provider that is most likely mistyped.
pub(crate) fn unknown(provider: &ProviderId, next: String) -> Failure {
    Failure::UnknownName {
        what: format!("no provider is named {provider}"),
        next,
    }
}
