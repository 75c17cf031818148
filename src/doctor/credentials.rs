//! Checks the status of each credential, and the state of the grants behind the logins.

use std::path::Path;

use super::evidence::{Evidence, ExaminedAgent};
use super::finding::{Finding, FindingId};
use super::remedies::{
    has_refresh_token, how_to_log_in, how_to_replace, of_agent, paste, refresh_remedy,
};
use super::words::{shell_path, shell_word};
use crate::audit::{EventKind, Filter, KindFilter};

use crate::domain::{
    AgentName, Borrowed, Credential, CredentialType, Endpoint, ExpiryFault, Misnamed, Owner,
    ProviderId, Section, Span, UnixMs, from_outside,
};
use crate::health::{Health, Status, assess};
use crate::oauth::is_answer_unopened;
use crate::selection::{UnavailableReason, unavailability};
use crate::sync::LoginReport;
use crate::vault::{Grant, GrantState, UnlockedVault, VaultError};

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for examined in evidence
        .agents
        .iter()
        .filter(|examined| examined.agent.dir.is_dir())
    {
        let pins = evidence
            .vault
            .unlocked()
            .and_then(|vault| vault.agent(&examined.agent.name).ok())
            .map(|state| state.pins)
            .unwrap_or_default();
        for (id, credential) in examined.doc.credentials() {
            if !credential.is_readable() {
                continue;
            }
            if let Some(finding) = of_entry(evidence, examined, id, &credential) {
                found.push(finding);
                continue;
            }
            let grant = grant(evidence, &credential);
            match of_grant(evidence, examined, id, &credential, (&grant, pins.get(id))) {
                // The remaining lifetime of a lost login matters less.
                Some(finding) => found.push(finding),
                // The time left until such an expiry means nothing.
                None => found.extend(
                    odd_expiry(examined, id, &credential, evidence.now)
                        .or_else(|| expiry_finding(evidence, examined, id, &credential)),
                ),
            }
        }
        found.extend(in_cooldown(examined, evidence.now));
    }
    found
}

/// Reports an entry whose secret cannot be sent to a provider as it is.
fn of_entry(
    evidence: &Evidence<'_>,
    examined: &ExaminedAgent,
    id: &str,
    credential: &Credential<'_>,
) -> Option<Finding> {
    let agent = &examined.agent.name;
    let store = || evidence.layout.shorten_home(&examined.agent.store_file());
    let (kind, message, fix) = if let Some(reference) = credential.reference() {
        (
            FindingId::CredentialReference,
            format!(
                "{id} holds no secret but a reference ({}): it is kept, and the program that \
                 wrote it looks it up",
                crate::domain::escaped(&reference.describe())
            ),
            "No action is needed. clawkeep does not hand out or replace references.".to_owned(),
        )
    } else if let Some(found) = credential.misnamed() {
        (
            FindingId::CredentialMisnamed,
            format!("{id} {}", misnamed(found)),
            rename(found, &store()),
        )
    } else {
        let fault = credential.secret_fault()?;
        (
            FindingId::CredentialMalformed,
            format!(
                "the secret of {id} {fault}: it cannot be sent to a provider, and is not handed out"
            ),
            how_to_replace(agent, id, credential, evidence.providers),
        )
    };
    Some(
        Finding::new(kind, message)
            .agent(agent)
            .profile(id)
            .path(examined.agent.store_file())
            .advice(fix),
    )
}

/// Describes an entry with a wrong field or type name, as half a sentence.
#[must_use]
pub fn misnamed(found: Misnamed<'_>) -> String {
    let written = crate::domain::escaped(found.written);
    match found.what {
        "type" => format!(
            "has the type \"{written}\"; the type is called \"{}\"",
            found.right
        ),
        _ if found.right == "type" => {
            format!("has its type in the field \"{written}\"; the field is called \"type\"")
        }
        _ => format!(
            "has its secret in the field \"{written}\"; the field is called \"{}\"",
            found.right
        ),
    }
}

pub(super) fn rename(found: Misnamed<'_>, store: &str) -> String {
    format!(
        "In {store}, rename the {} \"{}\" to \"{}\".",
        found.what,
        crate::domain::escaped(found.written),
        found.right
    )
}

/// Returns the state of a login's grant; free if nothing is known.
fn grant(evidence: &Evidence<'_>, credential: &Credential<'_>) -> Grant {
    let known = || {
        let vault = evidence.vault.unlocked()?;
        let grant = vault.fingerprint(credential.expose_refresh()?);
        vault.grant(grant).ok()
    };
    known().unwrap_or_default()
}

/// Reports a login's grant that cannot be refreshed any more, or perhaps cannot.
fn of_grant(
    evidence: &Evidence<'_>,
    examined: &ExaminedAgent,
    id: &str,
    credential: &Credential<'_>,
    (grant, pinned): (&Grant, Option<&Endpoint>),
) -> Option<Finding> {
    if Owner::of(id) != Owner::Vault {
        return None;
    }
    let agent = &examined.agent.name;
    let log_in = || how_to_log_in(agent, &examined.doc, id, evidence.providers);
    let (kind, message, fix) = match grant.state {
        GrantState::Dead if is_answer_unopened(grant) => (
            FindingId::CredentialDead,
            format!(
                "the login {id} is over: the answer to its last refresh does not open, and its \
                 refresh token is used up"
            ),
            log_in(),
        ),
        GrantState::Dead => (
            FindingId::CredentialDead,
            format!("the login {id} is over: its provider refuses to refresh it"),
            log_in(),
        ),
        GrantState::Spent => (
            FindingId::CredentialSpent,
            format!("{id} cannot be refreshed: its refresh token was replaced by a newer one"),
            log_in(),
        ),
        GrantState::Uncertain => (
            FindingId::CredentialUncertain,
            format!("{id} may have lost its refresh token: a refresh had no answer"),
            format!(
                "Try to refresh it: clawkeep refresh {}{}",
                shell_word(id),
                of_agent(agent)
            ),
        ),
        GrantState::Borrowed => return None,
        GrantState::Free | GrantState::Started => {
            let provider = evidence
                .providers?
                .get(&ProviderId::new(credential.provider));
            let now = provider.ok()??.endpoint(credential.client_id())?;
            let pinned = pinned.filter(|pinned| **pinned != now)?;
            let what = if pinned.origin == now.origin {
                format!("client {} instead of {}", now.client_id, pinned.client_id)
            } else {
                format!("{} instead of {}", now.origin, pinned.origin)
            };
            (
                FindingId::CredentialEndpoint,
                format!("{id} is not refreshed, since the settings now say {what}"),
                format!(
                    "If the change is intended: clawkeep models auth trust {}{}",
                    shell_word(id),
                    of_agent(agent)
                ),
            )
        }
    };
    Some(
        Finding::new(kind, message)
            .agent(&examined.agent.name)
            .profile(id)
            .advice(fix),
    )
}

/// Reports an expiry that was written in a wrong form.
fn odd_expiry(
    examined: &ExaminedAgent,
    id: &str,
    credential: &Credential<'_>,
    now: UnixMs,
) -> Option<Finding> {
    let fault = ExpiryFault::of(credential, now)?;
    let is_reported = matches!(fault, ExpiryFault::Missing | ExpiryFault::Zero);
    if is_reported && Owner::of(id) == Owner::Vault {
        return None; // an OAuth login without an expiry is a finding of its own
    }
    let stored = match credential.stored_expiry() {
        Some(value) => from_outside(&value.to_string()),
        None => "nothing".to_owned(),
    };
    let message = format!(
        "the expiry of {id} {} (stored: {stored}; expected: milliseconds since 1970)",
        fault.words()
    );
    let mut fix = paste(id, &ProviderId::new(credential.provider), credential.kind);
    fix.push_str(&of_agent(&examined.agent.name));
    let fix = match Owner::of(id) {
        Owner::Vault if credential.kind == CredentialType::OAuth => {
            "Log in again with the program that wrote it; the next refresh corrects the expiry, \
             too."
                .to_owned()
        }
        Owner::Vault => format!(
            "Store the token again, with its lifetime: {fix} --expires-in \
            365d"
        ),
        _ => format!("Log in again: {}", Owner::of(id).log_in()),
    };
    Some(
        Finding::new(FindingId::CredentialExpiry, message)
            .agent(&examined.agent.name)
            .profile(id)
            .path(examined.agent.store_file())
            .advice(fix),
    )
}

fn expiry_finding(
    evidence: &Evidence<'_>,
    examined: &ExaminedAgent,
    id: &str,
    credential: &Credential<'_>,
) -> Option<Finding> {
    if let Some(from) = examined.borrowed.get(id) {
        return Some(of_borrowed(evidence, examined, (id, from), credential));
    }
    let health = assess(credential, evidence.now);
    if let Some(of_program) = of_claude_code(evidence, examined, id, health) {
        return of_program;
    }
    let left = left(health);
    let is_refreshable = has_refresh_token(&examined.doc, id, credential);
    let is_blank = credential
        .expose_secret()
        .is_none_or(|secret| secret.trim().is_empty());
    let (kind, message) = match health.status {
        Status::Missing => (
            FindingId::CredentialMissing,
            format!("{id} is not a usable login"),
        ),
        _ if is_blank && !is_refreshable => {
            (FindingId::CredentialEmpty, format!("{id} holds no secret"))
        }
        Status::Expired if is_refreshable => (
            FindingId::CredentialOverdue,
            format!("{id} expired {left} ago and has not been refreshed"),
        ),
        Status::Expired => (
            FindingId::CredentialExpired,
            format!("{id} expired {left} ago"),
        ),
        Status::Expiring => {
            let kind = match is_refreshable {
                true => FindingId::CredentialDue,
                false => FindingId::CredentialExpiring,
            };
            (kind, format!("{id} expires in {left}"))
        }
        Status::Ok | Status::Static => return None,
    };
    let known = (is_refreshable, evidence.providers);
    let fix = match kind {
        FindingId::CredentialDue => "It is refreshed when it is used.".to_owned(),
        _ => refresh_remedy(&examined.agent.name, id, credential, known),
    };
    Some(
        Finding::new(kind, message)
            .agent(&examined.agent.name)
            .profile(id)
            .advice(fix),
    )
}

/// Reports a token that Claude Code refreshes while its login lasts: nothing before it expires.
/// `None` if Claude Code does not refresh it, or that is unknown.
fn of_claude_code(
    evidence: &Evidence<'_>,
    examined: &ExaminedAgent,
    id: &str,
    health: Health,
) -> Option<Option<Finding>> {
    let is_its = |report: &&LoginReport| report.profile == id && report.is_in_use();
    let report = examined.logins.iter().find(is_its)?;
    if Owner::of(id) != Owner::ClaudeCode || health.expires_at.is_none() {
        return None;
    }
    let is_over = report.login_expires.is_some_and(|at| at <= evidence.now);
    let agent = &examined.agent.name;
    let came_in_short = || {
        let vault = evidence.vault.unlocked()?;
        let expires = UnixMs(health.expires_at?.floor_ms());
        is_short_lived(vault, agent, id, expires).ok()
    };
    match health.status {
        _ if is_over => None,
        Status::Expiring
            if report.is_refreshable_for(Span::default(), evidence.now)
                || came_in_short() == Some(true) =>
        {
            Some(None)
        }
        Status::Expired => {
            let message = format!(
                "{id} expired {} ago and has not been refreshed",
                left(health)
            );
            let finding = Finding::new(FindingId::CredentialOverdue, message);
            let start = Owner::of(id).how_to_refresh();
            Some(Some(finding.agent(agent).profile(id).advice(start)))
        }
        _ => None,
    }
}

/// An access token that lasts no longer than this when it comes in is refreshed by its owner.
/// Claude Code's last eight hours, its long-lived ones a year.
const SHORT_LIVED: Span = Span::days(2);

/// Whether another program's token with that expiry came in as one of a few hours.
///
/// # Errors
/// When the vault cannot be read.
pub(crate) fn is_short_lived(
    vault: &UnlockedVault,
    agent: &AgentName,
    id: &str,
    expires: UnixMs,
) -> Result<bool, VaultError> {
    const CHANGES: [EventKind; 5] = [
        EventKind::SyncApplied,
        EventKind::ProfileCreated,
        EventKind::ProfileUpdated,
        EventKind::ProfileRestored,
        EventKind::ImportApplied,
    ];
    let filter = Filter {
        agent: Some(agent.as_str().to_owned()),
        profile: Some(id.to_owned()),
        kinds: CHANGES.map(KindFilter::only).to_vec(),
        ..Filter::default()
    };
    for event in vault.history(&filter)? {
        let event = event?;
        // Other changes of the entry say nothing of when its token came in.
        if event.token_before != event.token_after {
            return Ok(expires - event.at <= SHORT_LIVED);
        }
    }
    Ok(false)
}

/// Reports the status of a login that another program keeps.
fn of_borrowed(
    evidence: &Evidence<'_>,
    examined: &ExaminedAgent,
    (id, from): (&str, &Borrowed),
    credential: &Credential<'_>,
) -> Finding {
    let health = assess(credential, evidence.now);
    let (kind, state) = match health.status {
        Status::Expired => (
            FindingId::CredentialOverdue,
            format!(" and expired {} ago", left(health)),
        ),
        Status::Expiring => (
            FindingId::CredentialBorrowed,
            format!(", expires in {}", left(health)),
        ),
        _ => (FindingId::CredentialBorrowed, String::new()),
    };
    let message = format!(
        "{id} is borrowed from {} ({}){state}; clawkeep never refreshes it",
        from.owner.program(),
        evidence.layout.shorten_home(Path::new(&from.path))
    );
    Finding::new(kind, message)
        .agent(&examined.agent.name)
        .profile(id)
        .advice(match kind {
            FindingId::CredentialOverdue => from.how_to_refresh(),
            _ => format!(
                "No action is needed. To refresh it here instead: clawkeep import --own {}",
                shell_path(evidence.layout, Path::new(&from.path))
            ),
        })
}

/// Formats the time left, or the time since.
fn left(health: Health) -> String {
    health.left().unwrap_or_default().abs().short()
}

/// Reports profiles that are in cooldown or disabled.
fn in_cooldown(examined: &ExaminedAgent, now: UnixMs) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, _) in examined.doc.entries(Section::Usage) {
        let Some(unavailability) = unavailability(&examined.doc, id, now) else {
            continue;
        };
        let kind = match unavailability.why {
            UnavailableReason::Cooldown => FindingId::CredentialCooldown,
            UnavailableReason::Disabled(_) => FindingId::CredentialDisabled,
        };
        let state = unavailability.state();
        let fix = if state.starts_with("disabled:billing") {
            "Top up credits (provider billing) or switch provider."
        } else {
            "Wait for cooldown or switch provider."
        };
        let left = Span::from_f64(unavailability.left_ms).short();
        found.push(
            Finding::new(kind, format!("{id}: {state} ({left})"))
                .agent(&examined.agent.name)
                .profile(id)
                .advice(fix),
        );
    }
    found
}
