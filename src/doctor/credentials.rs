//! How each credential stands. Whether a refresh token is dead is only known to whoever redeems it, which is not done yet.

use super::words::shell_word;
use super::{Evidence, ExaminedAgent, Finding, FindingId};
use crate::domain::{
    AgentName, Credential, CredentialType, Owner, ProviderId, Section, StoreDoc, UnixMs,
};
use crate::health::{Health, Status, assess, remaining_short};
use crate::selection::{Why, rest};

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for examined in evidence
        .agents
        .iter()
        .filter(|examined| examined.agent.dir.is_dir())
    {
        for (id, credential) in examined.doc.credentials() {
            if credential.is_readable() {
                found.extend(standing(examined, id, &credential, evidence.now));
            }
        }
        found.extend(resting(examined, evidence.now));
    }
    found
}

fn standing(
    examined: &ExaminedAgent,
    id: &str,
    credential: &Credential<'_>,
    now: UnixMs,
) -> Option<Finding> {
    let health = assess(credential, now);
    let renews = is_renewed(&examined.doc, id, credential);
    let is_blank = credential
        .expose_secret()
        .is_none_or(|secret| secret.trim().is_empty());
    let (kind, message) = match health.status {
        Status::Missing => (
            FindingId::CredentialMissing,
            format!("{id} is no login that could be used"),
        ),
        _ if is_blank && !renews => (FindingId::CredentialEmpty, format!("{id} holds no secret")),
        Status::Expired if renews => (
            FindingId::CredentialOverdue,
            format!("{id} expired {} ago and has not been renewed", left(health)),
        ),
        Status::Expired => (
            FindingId::CredentialExpired,
            format!("{id} expired {} ago", left(health)),
        ),
        Status::Expiring if renews => (
            FindingId::CredentialDue,
            format!("{id} expires in {}", left(health)),
        ),
        Status::Expiring => (
            FindingId::CredentialExpiring,
            format!("{id} expires in {}", left(health)),
        ),
        Status::Ok | Status::Static => return None,
    };
    let fix = match kind {
        FindingId::CredentialDue => "It is renewed when it is used.".to_owned(),
        _ => renewal(&examined.agent.name, id, credential, renews),
    };
    Some(
        Finding::new(kind, message)
            .agent(&examined.agent.name)
            .profile(id)
            .advice(fix),
    )
}

/// Time left, or gone by.
fn left(health: Health) -> String {
    remaining_short(health.remaining_ms.unwrap_or(0.0).abs())
}

/// A login with a refresh token is renewed by whoever uses it.
fn is_renewed(doc: &StoreDoc, id: &str, credential: &Credential<'_>) -> bool {
    let refresh = doc
        .get(Section::Profiles, id)
        .and_then(|entry| entry.get("refresh")?.as_str());
    credential.kind == CredentialType::OAuth
        && refresh.is_some_and(|token| !token.trim().is_empty())
}

/// How a profile that has ended is had again; nothing for one that is not there.
#[must_use]
pub fn how_to_renew(agent: &AgentName, doc: &StoreDoc, id: &str) -> Option<String> {
    let credential = doc.credential(id)?;
    Some(renewal(
        agent,
        id,
        &credential,
        is_renewed(doc, id, &credential),
    ))
}

/// What the reference's doctor says of the two mirrored logins; for the others, what this program can do.
fn renewal(agent: &AgentName, id: &str, credential: &Credential<'_>, renews: bool) -> String {
    if Owner::of(id) != Owner::Vault {
        return login_again(id).to_owned();
    }
    let mut paste = paste(id, &ProviderId::new(credential.provider), credential.kind);
    if *agent != AgentName::default() && !agent.as_str().contains('/') {
        paste.push_str(&format!(" --agent {}", shell_word(agent.as_str())));
    }
    match credential.kind {
        CredentialType::OAuth if renews => {
            format!("The gateway renews it when it uses it. Else log in again there, or: {paste}")
        }
        CredentialType::OAuth => format!("Log in again with the gateway, or: {paste}"),
        _ => paste,
    }
}

/// How a mirrored login is had again. Source: the hints of the reference's doctor.
pub(super) fn login_again(id: &str) -> &'static str {
    match Owner::of(id) {
        Owner::CodexCli => "Run `codex login`.",
        Owner::ClaudeCode | Owner::Vault => "Run `claude setup-token` on the gateway host.",
    }
}

/// The command that stores a credential of that kind under that id.
pub(super) fn paste(id: &str, provider: &ProviderId, kind: CredentialType) -> String {
    let command = match kind {
        CredentialType::ApiKey => "paste-api-key",
        _ => "paste-token",
    };
    format!(
        "clawkeep models auth {command} --provider {} --profile-id {}",
        shell_word(provider.as_str()),
        shell_word(id)
    )
}

/// Profiles that are passed over for a while.
fn resting(examined: &ExaminedAgent, now: UnixMs) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, _) in examined.doc.entries(Section::Usage) {
        let Some(rest) = rest(&examined.doc, id, now) else {
            continue;
        };
        let kind = match rest.why {
            Why::Cooldown => FindingId::CredentialCooldown,
            Why::Disabled(_) => FindingId::CredentialDisabled,
        };
        let state = rest.state();
        let fix = if state.starts_with("disabled:billing") {
            "Top up credits (provider billing) or switch provider."
        } else {
            "Wait for cooldown or switch provider."
        };
        let left = remaining_short(rest.left_ms);
        found.push(
            Finding::new(kind, format!("{id}: {state} ({left})"))
                .agent(&examined.agent.name)
                .profile(id)
                .advice(fix),
        );
    }
    found
}
