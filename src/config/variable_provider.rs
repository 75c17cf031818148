//! The provider that a variable's name says.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::env::PROVIDER_VARIABLES;
use super::own::built_in_providers;
use crate::domain::ProviderId;

/// The provider whose secret programs look for in a variable of that name; `None` if the name does
/// not say.
#[must_use]
pub fn provider_of_variable(name: &str) -> Option<String> {
    /// Names that other programs read. Sources: Claude Code 2.1, Codex CLI 0.171, the SDKs.
    const OTHERS: [(&str, &str); 6] = [
        ("ANTHROPIC_AUTH_TOKEN", "anthropic"),
        ("CLAUDE_CODE_OAUTH_TOKEN", "anthropic"),
        ("CODEX_API_KEY", "openai"),
        ("GOOGLE_API_KEY", "google"),
        ("GOOGLE_GENERATIVE_AI_API_KEY", "google"),
        ("HF_TOKEN", "huggingface"),
    ];
    let known = PROVIDER_VARIABLES.iter();
    let known = known.flat_map(|(provider, names)| names.iter().map(|name| (*name, *provider)));
    let found = known.chain(OTHERS).find(|(known, _)| *known == name);
    let found = found.map(|(_, provider)| provider.to_owned());
    let in_table = || {
        BUILT_IN
            .get(name)
            .map(|provider| provider.as_str().to_owned())
    };
    let by_end = || {
        let provider = name.strip_suffix("_API_KEY")?;
        (!provider.is_empty()).then(|| provider.to_ascii_lowercase().replace('_', "-"))
    };
    found.or_else(in_table).or_else(by_end)
}

/// The provider of each variable in the table of providers.
static BUILT_IN: LazyLock<HashMap<String, ProviderId>> = LazyLock::new(|| {
    let providers = built_in_providers().into_iter();
    let named = providers.flat_map(|(id, settings)| {
        let names = settings.env.unwrap_or_default().into_iter();
        names.map(move |name| (name, id.clone()))
    });
    named.collect()
});
