//! The logins of other programs, as the load found them (`sync::LoginReport`).

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use crate::advice::{login_remedy, shell_path};
use clawkeep::internal::config::Layout;
use clawkeep::internal::domain::{
    CLAUDE_CLI, CLAUDE_SETUP, Owner, Span, UnixMs, of_agent, path_of_text,
};
use clawkeep::internal::sync::{LoginReport, LoginState};

/// A login that expires within this time is a finding.
const LOGIN_EXPIRES_SOON: Span = Span::days(7);

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = Vec::new();
    for report in evidence.agents.iter().flat_map(|examined| &examined.logins) {
        found.extend(state(evidence.layout, report, evidence.now));
        found.extend(login_expiry(evidence.layout, report, evidence.now));
    }
    found
}

fn state(layout: &Layout, report: &LoginReport, now: UnixMs) -> Option<Finding> {
    let id = match &report.state {
        LoginState::NotReadable(_) => FindingId::SourceDamaged,
        _ if !report.needs_attention() => return None,
        LoginState::LoggedOut { .. } => FindingId::SourceLoggedOut,
        LoginState::OddExpiry(_) | LoginState::NoRefreshToken => FindingId::SourceUnusable,
        LoginState::OtherAccount | LoginState::OtherPlace | LoginState::AccountChanged { .. } => {
            FindingId::SourceOtherAccount
        }
        LoginState::EarlierExpiry => FindingId::SourceEarlier,
        LoginState::ApiKeyMode | LoginState::InKeyring | LoginState::NoLogin => {
            FindingId::SourceNoLogin
        }
        _ => return None,
    };
    let mut remedy = login_remedy(report);
    if id == FindingId::SourceOtherAccount {
        remedy.push_str(&format!(". {}", keep_both(layout, report)));
    }
    let finding = Finding::new(id, report.message(&shown(layout, &report.place), now));
    let finding = match report.is_stored {
        true => finding.profile(report.profile).agent(&report.agent),
        false => finding,
    };
    Some(at(&report.place, finding).advice(remedy))
}

/// How two accounts of one program are kept as two profiles.
fn keep_both(layout: &Layout, report: &LoginReport) -> String {
    let place = path_of_text(&report.place);
    let dir = place.parent();
    let dir = dir.map_or_else(String::new, |dir| shell_path(layout, dir));
    let agent_option = of_agent(&report.agent);
    match report.profile {
        CLAUDE_CLI => format!(
            "Keep both as two profiles: CLAUDE_CONFIG_DIR={dir} {CLAUDE_SETUP}, then: \
             clawkeep models auth paste-token --provider anthropic --profile-id \
             anthropic:second{agent_option} (the configuration then names this one alone); then \
             use both: \
             clawkeep models auth order set --provider anthropic{agent_option} \
             anthropic:claude-cli \
             anthropic:second"
        ),
        profile => {
            let (provider, _) = profile.split_once(':').unwrap_or((profile, ""));
            format!(
                "Keep both as two profiles: clawkeep models auth login --provider {provider} \
                 --profile-id {provider}:second{agent_option}; then use both: clawkeep models \
                 auth order set --provider {provider}{agent_option} {profile} {provider}:second"
            )
        }
    }
}

/// The day on which a person has to log in again.
fn login_expiry(layout: &Layout, report: &LoginReport, now: UnixMs) -> Option<Finding> {
    let expires = report.login_expires.filter(|_| report.is_stored)?;
    let left = expires - now;
    if left > LOGIN_EXPIRES_SOON {
        return None;
    }
    let program = report.program();
    let expiry = left.expiry();
    let profile = report.profile;
    let message = format!("the {program} login {expiry}, and {profile} with it");
    let finding = Finding::new(FindingId::SourceLoginExpiring, message)
        .profile(report.profile)
        .agent(&report.agent);
    let place = shown(layout, &report.place);
    Some(at(&report.place, finding).advice(format!(
        "Log in again: {} (it is kept in {place})",
        Owner::of(report.profile).log_in()
    )))
}

fn shown(layout: &Layout, place: &str) -> String {
    match path_of_text(place) {
        path if path.is_absolute() => layout.shorten_home(&path),
        _ => place.to_owned(),
    }
}

/// A source is a file, or an item of the keychain, which has no path.
fn at(place: &str, finding: Finding) -> Finding {
    let path = path_of_text(place);
    if path.is_absolute() {
        finding.path(path)
    } else {
        finding
    }
}
