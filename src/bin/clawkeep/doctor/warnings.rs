//! What a person has to act on that is no credential's own state: logins of other programs that
//! only a person can extend, and profiles that a provider refuses for want of money or quota.

use super::discovered::{ends, is_soon};
use clawkeep::internal::config::{AgentRef, Env, Layout};
use clawkeep::internal::discover::{Discovered, discover};
use clawkeep::internal::domain::{
    Section, Span, StoreDoc, UnavailableReason, UnixMs, is_hidden, unavailability,
};

/// A warning that lasts until a person acts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Warning {
    /// Names the problem: the same as long as it lasts.
    pub(crate) key: String,
    /// The title, in a few words.
    pub(crate) title: String,
    /// What it means, and what to do. Nothing secret.
    pub(crate) body: String,
}

/// Finds logins of other programs on this machine that expire soon, or have expired, and that only
/// a person can extend: those of MCP servers, GitHub Copilot and others that are not mirrored.
pub(crate) fn expiring_logins(layout: &Layout, env: &Env, now: UnixMs) -> Vec<Warning> {
    let found = discover(layout, env);
    let warning = |credential: &Discovered| {
        let left = UnixMs::from_ms(ends(credential)?.floor_ms()) - now;
        let program = credential.program;
        let name = credential.name.replace(is_hidden, "\u{fffd}");
        // Long expired, nobody misses it; doctor still names it.
        let is_recent = left > Span::days(-1);
        (is_soon(left) && is_recent).then(|| Warning {
            key: format!("login:{}:{name}", program.id),
            title: format!("The login of {} at {name} {}", program.name, left.expiry()),
            body: format!("Log in again with {}.", program.name),
        })
    };
    found.credentials.iter().filter_map(warning).collect()
}

/// Finds profiles that a provider refuses for want of money or quota, as their programs recorded.
pub(crate) fn disabled_profiles(agents: &[(AgentRef, StoreDoc)], now: UnixMs) -> Vec<Warning> {
    let of_agent = |(agent, doc): &(AgentRef, StoreDoc)| {
        let ids = doc.entries(Section::Usage).map(|(id, _)| id);
        let warnings = ids.filter_map(|id| {
            let found = unavailability(doc, id, now)?;
            let UnavailableReason::Disabled(_) = found.why else {
                return None;
            };
            let shown = id.replace(is_hidden, "\u{fffd}");
            let left = Span::from_f64(found.left_ms).short();
            let name = agent.name.as_str().replace(is_hidden, "\u{fffd}");
            Some(Warning {
                key: format!("disabled:{name}:{shown}"),
                title: format!("{shown} of agent {name} is disabled"),
                body: format!(
                    "Its program recorded {}, for another {left}. Add credits or raise the limit \
                     at the provider, or use another credential.",
                    found.state()
                ),
            })
        });
        warnings.collect::<Vec<_>>()
    };
    agents.iter().flat_map(of_agent).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawkeep::internal::domain::AgentName;
    use serde_json::json;

    #[test]
    fn a_profile_without_credit_is_reported_until_it_is_tried_again() {
        let doc = StoreDoc::from_json(json!({"version": 1, "profiles": {}, "usageStats": {
            "openai:a": {"disabledUntil": 7_200_000, "disabledReason": "billing"},
            "openai:b": {"cooldownUntil": 7_200_000}}}))
        .unwrap();
        let agent = AgentRef {
            name: AgentName::default(),
            dir: "/a".into(),
        };
        let agents = [(agent, doc)];
        let found = disabled_profiles(&agents, UnixMs::from_ms(3_600_000));
        let keys: Vec<&str> = found.iter().map(|warning| warning.key.as_str()).collect();
        assert_eq!(keys, ["disabled:main:openai:a"]);
        assert!(
            found[0].body.contains("disabled:billing, for another 1h"),
            "{found:?}"
        );
        assert_eq!(disabled_profiles(&agents, UnixMs::from_ms(7_200_000)), []);
    }
}
