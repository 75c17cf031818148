//! Credentials that no program has used for a long time, as far as the record and the gateway's
//! statistics say.

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use crate::advice::shell_word;
use clawkeep::internal::audit::{Filter, ProfileRef};
use clawkeep::internal::domain::{AgentName, Expiry, Owner, Section, Span, UnixMs, is_hidden};

/// After how long without a use a credential is reported: a quarter of a year.
const UNUSED_AFTER: Span = Span::days(90);

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let Some(vault) = evidence.vault.unlocked() else {
        return Vec::new();
    };
    let since = evidence.now - UNUSED_AFTER;
    let nothing = Filter::default();
    // What the vault did not have then is too new to say.
    let (Ok(known), Ok(uses)) = (vault.in_force(since, &nothing), vault.uses(&nothing)) else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    for examined in evidence.agents {
        let agent = &examined.agent.name;
        for (id, _) in examined.doc.credentials() {
            let had_it = known.iter().any(|one| is(&one.profile, agent, id));
            // A mirrored login is used by its own program, which records nothing here.
            if !had_it || Owner::of(id) != Owner::Vault || examined.borrowed.contains_key(id) {
                continue;
            }
            let recorded = uses.iter().find(|one| is(&one.profile, agent, id));
            let recorded = recorded.and_then(|one| one.span).map(|(_, last)| last);
            let usage = examined.doc.get(Section::Usage, id);
            let noted = Expiry::from_json(usage.and_then(|usage| usage.get("lastUsed")));
            let last = recorded.max(noted.map(|at| UnixMs::from_ms(at.floor_ms())));
            if last.is_none_or(|last| last < since) {
                findings.push(unused(evidence, agent, id, last));
            }
        }
    }
    findings
}

fn is(profile: &ProfileRef, agent: &AgentName, id: &str) -> bool {
    *profile.id == *id && profile.agent.as_deref() == Some(agent.as_str())
}

fn unused(evidence: &Evidence<'_>, agent: &AgentName, id: &str, last: Option<UnixMs>) -> Finding {
    let shown = id.replace(is_hidden, "\u{fffd}");
    let message = match last {
        Some(last) => format!("{shown}: last used {}", (last - evidence.now).from_now()),
        None => format!("{shown}: no use was recorded in {}", UNUSED_AFTER.short()),
    };
    let word = shell_word(id);
    Finding::new(FindingId::CredentialUnused, message)
        .agent(agent)
        .profile(id)
        .advice(format!(
            "If nothing needs it, revoke it at its provider and remove it: clawkeep rm {word}"
        ))
}
