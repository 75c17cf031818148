//! Every check, one after another, and the order of what they find.

use std::collections::HashSet;

use super::evidence::Evidence;
use super::finding::Finding;
use super::{
    clock, configuration, credentials, discovered, exported, footprint, logins, moved_agent,
    openclaw, permissions, stores, synced, unused, vanished, vault,
};

/// Runs every check and returns the findings, each once, in the order of the report.
#[must_use]
pub(crate) fn examine(evidence: &Evidence<'_>) -> Vec<Finding> {
    const CHECKS: [fn(&Evidence<'_>) -> Vec<Finding>; 15] = [
        vault::check,
        permissions::check,
        stores::check,
        logins::check,
        openclaw::check,
        discovered::check,
        vanished::check,
        moved_agent::check,
        credentials::check,
        unused::check,
        configuration::check,
        footprint::check,
        exported::check,
        synced::check,
        clock::check,
    ];
    in_order(CHECKS.iter().flat_map(|check| check(evidence)).collect())
}

/// Sorts findings in the order of the report. Agents can share a file: each path's finding once.
#[must_use]
pub(crate) fn in_order(mut findings: Vec<Finding>) -> Vec<Finding> {
    findings.sort_by(|a, b| (a.id, &a.agent, &a.path).cmp(&(b.id, &b.agent, &b.path)));
    let mut known = HashSet::new();
    findings.retain(|finding| {
        let is_of_a_path = finding.path.is_some() && finding.profile.is_none();
        let agent = finding.agent.clone().filter(|_| !is_of_a_path);
        let (path, profile) = (finding.path.clone(), finding.profile.clone());
        known.insert((finding.id, agent, path, profile, finding.message.clone()))
    });
    findings
}
