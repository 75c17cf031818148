//! Words for what a person does about a credential: replace, refresh, or log in again.

pub use crate::domain::of_agent;
use crate::domain::{
    AgentName, Borrowed, Credential, CredentialType, Owner, ProfileId, ProviderId, Section,
    StoreDoc,
};
use crate::oauth::Providers;

use super::words::shell_word;

/// Returns how to replace a credential whose secret cannot be used.
#[must_use]
pub fn how_to_replace(
    agent: &AgentName,
    id: &str,
    credential: &Credential<'_>,
    providers: Option<&Providers>,
) -> String {
    match (Owner::of(id), credential.kind) {
        (Owner::Vault, CredentialType::ApiKey | CredentialType::Token) => {
            let paste = paste(id, &ProviderId::new(credential.provider), credential.kind);
            format!("{paste}{}", of_agent(agent))
        }
        _ => refresh_remedy(agent, id, credential, (false, providers)),
    }
}

/// Returns what to do about a wrong file of a borrowed credential, as a sentence.
#[must_use]
pub fn how_to_lend_again(profile: &ProfileId, from: &Borrowed, why: &str) -> String {
    let program = from.owner.program();
    if from.is_copy() {
        return from.how_to_refresh();
    }
    if why.contains("logged out") {
        return format!(
            "Log in again with {program}; or remove what is stored: clawkeep models auth remove {}",
            shell_word(profile.as_str())
        );
    }
    match from.owner {
        Owner::OtherProgram => format!(
            "Correct that with the program that keeps the file; or remove what is stored: \
             clawkeep models auth remove {}",
            shell_word(profile.as_str())
        ),
        _ => format!("Correct that with {program}, or log in again there."),
    }
}

/// Whether this is a login with a refresh token, which any program that uses it can refresh.
pub(super) fn has_refresh_token(doc: &StoreDoc, id: &str, credential: &Credential<'_>) -> bool {
    let refresh = doc
        .get(Section::Profiles, id)
        .and_then(|entry| entry.get("refresh")?.as_str());
    credential.kind == CredentialType::OAuth
        && refresh.is_some_and(|token| !token.trim().is_empty())
}

/// Returns the command that replaces an expired profile; `None` if there is no such profile.
#[must_use]
pub fn how_to_refresh(
    agent: &AgentName,
    doc: &StoreDoc,
    id: &str,
    providers: Option<&Providers>,
) -> Option<String> {
    let credential = doc.credential(id)?;
    let is_refreshable = has_refresh_token(doc, id, &credential);
    Some(refresh_remedy(
        agent,
        id,
        &credential,
        (is_refreshable, providers),
    ))
}

/// Returns the command that replaces a lost login.
#[must_use]
pub fn how_to_log_in(
    agent: &AgentName,
    doc: &StoreDoc,
    id: &str,
    providers: Option<&Providers>,
) -> String {
    let agent_option = of_agent(agent);
    if Owner::of(id) != Owner::Vault {
        return Owner::of(id).how_to_log_in();
    }
    let Some(credential) = doc.credential(id) else {
        return "Log in again.".to_owned();
    };
    let provider = ProviderId::new(credential.provider);
    let known = providers.and_then(|providers| providers.get(&provider).ok().flatten());
    if known.is_some_and(|known| known.authorize_url.is_some() || known.device_url.is_some()) {
        return format!(
            "Log in again: clawkeep models auth login --provider {} --profile-id {}{agent_option}",
            shell_word(provider.as_str()),
            shell_word(id)
        );
    }
    if provider.as_str() == "anthropic" {
        return "Log in again: clawkeep models auth setup-token".to_owned();
    }
    let paste = paste(id, &provider, credential.kind);
    format!("Log in again with the gateway, or: {paste}{agent_option}")
}

/// Returns the advice of the reference's doctor for the two mirrored logins; for others,
/// clawkeep's.
pub(super) fn refresh_remedy(
    agent: &AgentName,
    id: &str,
    credential: &Credential<'_>,
    (is_refreshable, providers): (bool, Option<&Providers>),
) -> String {
    if Owner::of(id) != Owner::Vault {
        return Owner::of(id).how_to_log_in();
    }
    let mut paste = paste(id, &ProviderId::new(credential.provider), credential.kind);
    paste.push_str(&of_agent(agent));
    let is_known = providers.is_some_and(|providers| {
        let provider = providers.get(&ProviderId::new(credential.provider));
        provider.is_ok_and(|provider| provider.is_some())
    });
    match credential.kind {
        CredentialType::OAuth if is_refreshable && is_known => {
            format!("clawkeep refresh {}{}", shell_word(id), of_agent(agent))
        }
        CredentialType::OAuth if is_refreshable => {
            format!(
                "The gateway refreshes it when it uses it. Otherwise log in again there, or: \
                 {paste}"
            )
        }
        CredentialType::OAuth => format!("Log in again with the gateway, or: {paste}"),
        _ => paste,
    }
}

/// Returns the command that stores a credential of that kind under that id.
#[must_use]
pub fn paste(id: &str, provider: &ProviderId, kind: CredentialType) -> String {
    let command = match kind {
        CredentialType::ApiKey => "paste-api-key",
        _ => "paste-token",
    };
    let provider = shell_word(provider.as_str());
    let id = shell_word(id);
    format!("clawkeep models auth {command} --provider {provider} --profile-id {id}")
}
