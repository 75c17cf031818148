//! Which candidate is used at last, and why those that would have come before it are not.
//!
//! Source: `spec/compat.md`, Resolving a secret for a provider; `spec/oauth.md`, One refresh.

use super::cooldown::unavailability;
use crate::domain::{Credential, CredentialType, ProfileId, SecretFault, StoreDoc, UnixMs};

/// Why a candidate is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PassedOver {
    /// There is no such profile.
    Missing,
    /// Its entry is none that can be read, or holds no secret.
    Unreadable,
    /// Its secret is stored elsewhere: the entry refers to it.
    Reference,
    /// Its type, or the field of its secret, has another name than the one that is read.
    Misnamed,
    /// Its secret cannot be sent as it is.
    BadSecret(SecretFault),
    /// The configuration says that it is of another provider or kind.
    Mismatch,
    /// The credential has expired by now.
    Expired,
    /// It ends sooner than was asked for.
    EndsTooSoon,
    /// It has ended, or ends sooner than was asked for, and could not be refreshed; why, in a word.
    NotRefreshed(&'static str),
    /// It cools down, or is disabled, and another does not.
    InCooldown,
}

impl PassedOver {
    /// The name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Unreadable => "unreadable",
            Self::Reference => "reference",
            Self::Misnamed => "misnamed",
            Self::BadSecret(_) => "bad-secret",
            Self::Mismatch => "mismatch",
            Self::Expired => "expired",
            Self::EndsTooSoon => "ends-too-soon",
            Self::NotRefreshed(why) => why,
            Self::InCooldown => "resting", // the name in the record stays
        }
    }
}

/// What a credential must be like to be handed out.
#[derive(Clone, Copy, Debug)]
pub struct Demand {
    /// The current time of the choice.
    pub now: UnixMs,
    /// It must not end before so long from now, in milliseconds.
    pub min_valid_ms: i64,
}

/// Why a credential cannot be handed out; `None` if it can. A cooldown is no reason: if nothing
/// else is left, the credential is tried.
#[must_use]
pub fn unusable(credential: Option<&Credential<'_>>, demand: Demand) -> Option<PassedOver> {
    let Some(credential) = credential else {
        return Some(PassedOver::Missing);
    };
    if credential.is_marker()
        || credential
            .expose_secret()
            .is_none_or(|secret| secret.trim().is_empty())
    {
        return Some(match () {
            () if credential.reference().is_some() => PassedOver::Reference,
            () if credential.misnamed().is_some() => PassedOver::Misnamed,
            () => match credential.secret_fault() {
                Some(fault) => PassedOver::BadSecret(fault),
                None => PassedOver::Unreadable,
            },
        });
    }
    match (credential.reference(), credential.secret_fault()) {
        (Some(_), _) => return Some(PassedOver::Reference),
        (None, Some(fault)) => return Some(PassedOver::BadSecret(fault)),
        (None, None) => {}
    }
    if credential.never_expires() {
        return None;
    }
    let ends = credential.expiry().filter(|ends| ends.ms() > 0.0);
    match (credential.kind, ends) {
        // A login of which it is not known when it ends counts as ended, as everywhere.
        (CredentialType::OAuth, None) => Some(PassedOver::Expired),
        (_, Some(ends)) if ends.ms() <= demand.now.as_f64() => Some(PassedOver::Expired),
        (_, Some(ends)) => {
            let needed = UnixMs(demand.now.0.saturating_add(demand.min_valid_ms));
            (ends.ms() < needed.as_f64()).then_some(PassedOver::EndsTooSoon)
        }
        (_, None) => None,
    }
}

/// Which of the candidates is used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The profile that was chosen.
    pub chosen: Option<ProfileId>,
    /// Those that would have come before it, in that order, and why each is not used.
    pub passed_over: Vec<(ProfileId, PassedOver)>,
}

/// Chooses the first of `tried` for which `refuse` returns `None`. `natural` is the order without
/// cooldowns: the profiles before the chosen one in that order were passed over.
#[must_use]
pub fn choose(
    doc: &StoreDoc,
    tried: &[ProfileId],
    natural: &[ProfileId],
    now: UnixMs,
    refuse: impl Fn(&ProfileId) -> Option<PassedOver>,
) -> Choice {
    let chosen = tried.iter().find(|id| refuse(id).is_none()).cloned();
    let before = natural.iter().take_while(|id| chosen.as_ref() != Some(id));
    let why = |id: &ProfileId| match refuse(id) {
        Some(why) => Some(why),
        None => unavailability(doc, id.as_str(), now).map(|_| PassedOver::InCooldown),
    };
    let passed_over = before.filter_map(|id| Some((id.clone(), why(id)?)));
    Choice {
        passed_over: passed_over.collect(),
        chosen,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const NOW: UnixMs = UnixMs(1_768_000_000_000);

    fn verdict(entry: &Value, min_valid_ms: i64) -> Option<PassedOver> {
        let demand = Demand {
            now: NOW,
            min_valid_ms,
        };
        unusable(Some(&Credential::of(entry)), demand)
    }

    #[test]
    fn what_can_be_handed_out() {
        let token = |expires: Value| {
            json!({"type": "token", "provider": "p", "token": "t",
            "expires": expires})
        };
        let login = |expires: Value| {
            json!({"type": "oauth", "provider": "p", "access": "a",
            "expires": expires})
        };
        let key = json!({"type": "api_key", "provider": "p", "key": "k"});
        assert_eq!(verdict(&key, i64::MAX), None);
        let found = verdict(&token(json!(null)), 0);
        assert_eq!(found, None, "a token without an end");
        assert_eq!(verdict(&login(json!(null)), 0), Some(PassedOver::Expired));
        for entry in [token, login] {
            assert_eq!(verdict(&entry(json!(NOW.0)), 0), Some(PassedOver::Expired));
            assert_eq!(verdict(&entry(json!(NOW.0 + 1)), 0), None);
            let found = verdict(&entry(json!(NOW.0 + 1_000)), 1_001);
            assert_eq!(found, Some(PassedOver::EndsTooSoon));
            assert_eq!(verdict(&entry(json!(NOW.0 + 1_000)), 1_000), None);
        }
        let found = verdict(&json!({"type": "api_key", "provider": "p", "key": " "}), 0);
        assert_eq!(found, Some(PassedOver::Unreadable));
        let found = verdict(&json!({"type": "sso", "provider": "p"}), 0);
        assert_eq!(found, Some(PassedOver::Unreadable));
        for (entry, want) in [
            (
                json!({"type": "api_key", "provider": "p", "apiKey": "k"}),
                PassedOver::Misnamed,
            ),
            (
                json!({"type": "apiKey", "provider": "p", "key": "k"}),
                PassedOver::Misnamed,
            ),
            (
                json!({"type": "api_key", "provider": "p", "keyRef": {"source": "env", "id": "X"}}),
                PassedOver::Reference,
            ),
            (
                json!({"type": "api_key", "provider": "p", "key": "!pass show x"}),
                PassedOver::Reference,
            ),
            (
                json!({"type": "api_key", "provider": "p", "key": 12345}),
                PassedOver::BadSecret(SecretFault::NotText),
            ),
            (
                json!({"type": "api_key", "provider": "p", "key": "X_API_KEY"}),
                PassedOver::BadSecret(SecretFault::VariableName),
            ),
            (
                json!({"type": "api_key", "provider": "p", "key": "${X}"}),
                PassedOver::BadSecret(SecretFault::Placeholder),
            ),
            (
                json!({"type": "oauth", "provider": "p", "access": "a", "refresh": "r\nr",
                    "expires": NOW.0 + 9}),
                PassedOver::BadSecret(SecretFault::LineBreak),
            ),
        ] {
            assert_eq!(verdict(&entry, 0), Some(want), "{entry}");
        }
        let copilot = json!({"type": "oauth", "provider": "github-copilot", "access": "gho_a",
            "refresh": "gho_a", "expires": 0});
        assert_eq!(verdict(&copilot, i64::MAX), None);
        let demand = Demand {
            now: NOW,
            min_valid_ms: 0,
        };
        assert_eq!(unusable(None, demand), Some(PassedOver::Missing));
    }

    #[test]
    fn who_stands_before_the_chosen_one_was_passed_over() {
        let doc = json!({"version": 1, "profiles": {},
            "usageStats": {"b": {"cooldownUntil": NOW.0 + 5}, "d": {"cooldownUntil": NOW.0 + 5}}});
        let doc = StoreDoc::from_json(doc).unwrap();
        let ids = |names: &str| {
            names
                .chars()
                .map(|name| ProfileId::new(name.to_string()))
                .collect::<Vec<_>>()
        };
        let choice = |tried: &str, refused: &str| {
            let refuse =
                |id: &ProfileId| refused.contains(id.as_str()).then_some(PassedOver::Expired);
            let choice = choose(&doc, &ids(tried), &ids("abcd"), NOW, refuse);
            let passed = choice
                .passed_over
                .iter()
                .map(|(id, why)| format!("{id} {}", why.as_str()));
            (
                choice.chosen.map(|id| id.as_str().to_owned()),
                passed.collect::<Vec<_>>().join(", "),
            )
        };
        let chosen = |id: &str| Some(id.to_owned());
        assert_eq!(choice("acbd", ""), (chosen("a"), String::new()));
        let found = choice("acbd", "a");
        assert_eq!(found, (chosen("c"), "a expired, b resting".to_owned()));
        assert_eq!(
            choice("acbd", "ac"),
            (chosen("b"), "a expired".to_owned()),
            "one in cooldown, if nothing else is left"
        );
        assert_eq!(
            choice("acbd", "abcd"),
            (
                None,
                "a expired, b expired, c expired, d expired".to_owned()
            )
        );
    }
}
