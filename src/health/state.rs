//! How a credential stands: what its entry says, the clock, the state of its grant, who refreshes
//! it, and cooldowns, decided in one place.

use super::{AsOf, Health, PassedOver, Status, assess, assess_plain};
use crate::domain::{
    Credential, CredentialType, EntryFault, Expiry, ExpiryFault, Owner, Span, Unavailability,
    UnixMs,
};

/// The program that refreshes a credential, while it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefreshedBy {
    /// clawkeep refreshes it on this host.
    Clawkeep,
    /// The gateway that uses the login.
    Gateway,
    /// The program that owns it.
    Program(Owner),
}

/// Why a login cannot be refreshed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// Its provider refuses the refresh token.
    Dead,
    /// The answer to its last refresh came and does not open: its refresh token is used up.
    Unopened,
    /// Another refresh token took its place.
    Spent,
    /// The settings name another endpoint than the one it belongs to.
    Moved,
    /// Its refresh token may be used up: a refresh had no answer.
    Uncertain,
}

impl Loss {
    /// The name in the record.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Unopened => "answer-unopened",
            Self::Spent => "spent",
            Self::Moved => "endpoint-changed",
            Self::Uncertain => "uncertain",
        }
    }
}

/// What becomes of a credential if no person acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outlook {
    /// It does not expire, as far as is known.
    Lasts,
    /// It cannot be refreshed any more, and expires then if an expiry is known.
    Lost(Loss, Option<UnixMs>),
    /// Nothing refreshes it: it is over when it expires.
    Ends(UnixMs),
    /// A program refreshes it; the current token expires then.
    Refreshed(RefreshedBy, UnixMs),
}

impl Outlook {
    /// Returns the expiry of the current token.
    #[must_use]
    pub fn expires(self) -> Option<UnixMs> {
        match self {
            Self::Lasts => None,
            Self::Lost(_, expires) => expires,
            Self::Ends(expires) | Self::Refreshed(_, expires) => Some(expires),
        }
    }
}

/// How one credential stands.
///
/// [`CredentialState::of`] knows the entry and the clock. What the vault and other programs know
/// (the grant, who refreshes it, cooldowns) is set by who reads it.
#[derive(Clone, Copy, Debug)]
pub struct CredentialState<'a> {
    /// Why the entry cannot be used at all, whatever the clock says.
    pub entry_fault: Option<EntryFault<'a>>,
    /// What is wrong with its expiry.
    pub expiry_fault: Option<ExpiryFault>,
    /// The verdict by the clock alone.
    pub health: Health,
    /// Why it cannot be refreshed any more.
    pub loss: Option<Loss>,
    /// The program that refreshes it; `None` if no program does.
    pub refreshed_by: Option<RefreshedBy>,
    /// When the login behind it expires, and a person has to log in again.
    pub login_expires: Option<UnixMs>,
    /// Why selection skips it for now.
    pub unavailability: Option<Unavailability<'a>>,
    /// Whether it has a token that can be sent.
    has_token: bool,
    now: UnixMs,
}

impl<'a> CredentialState<'a> {
    /// The state by the entry and the clock.
    #[must_use]
    pub fn of(credential: &Credential<'a>, as_of: AsOf) -> Self {
        let secret = credential.expose_secret().unwrap_or_default();
        Self {
            entry_fault: credential.entry_fault(),
            expiry_fault: ExpiryFault::of(credential, as_of.now),
            has_token: !secret.trim().is_empty() && !credential.is_marker(),
            ..Self::by_clock(assess(credential, as_of), as_of.now)
        }
    }

    /// The state by what can be read without the vault's key.
    #[must_use]
    pub fn of_plain(
        kind: CredentialType,
        provider: &str,
        expires: Option<Expiry>,
        as_of: AsOf,
    ) -> Self {
        let fault = |expiry: Expiry| ExpiryFault::of_ms(expiry.ms(), as_of.now);
        Self {
            expiry_fault: expires.and_then(fault),
            ..Self::by_clock(assess_plain(kind, provider, expires, as_of), as_of.now)
        }
    }

    fn by_clock(health: Health, now: UnixMs) -> Self {
        Self {
            entry_fault: None,
            expiry_fault: None,
            health,
            loss: None,
            refreshed_by: None,
            login_expires: None,
            unavailability: None,
            has_token: true,
            now,
        }
    }

    /// What is wrong with an expiry that is there, and cannot be relied on.
    #[must_use]
    pub fn unreliable_expiry(&self) -> Option<ExpiryFault> {
        self.expiry_fault.filter(|fault| !fault.is_absent())
    }

    /// The verdict by the clock; missing where the expiry cannot be relied on.
    #[must_use]
    pub fn status(&self) -> Status {
        match self.unreliable_expiry() {
            Some(_) => Status::Missing,
            None => self.health.status,
        }
    }

    /// The state in a word, for lists and JSON.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match (self.entry_fault, self.unreliable_expiry()) {
            (Some(fault), _) => fault.as_str(),
            // A token with an invalid expiry is not one without an expiry.
            (None, Some(_)) => "unknown",
            (None, None) => self.health.status.as_str(),
        }
    }

    /// The state in a word, where a login that a program refreshes is not expiring: nobody has to
    /// act.
    #[must_use]
    pub fn word_for_people(&self) -> &'static str {
        match (self.word(), self.outlook()) {
            ("expiring", Outlook::Refreshed(..)) => Status::Ok.as_str(),
            (word, _) => word,
        }
    }

    /// Why it cannot be handed out, if it must be valid for `min_valid`; `None` if it can. A
    /// cooldown is no reason: if nothing else is left, the credential is tried.
    #[must_use]
    pub fn refusal(&self, min_valid: Span) -> Option<PassedOver> {
        if let Some(fault) = self.entry_fault {
            return Some(fault.into());
        }
        if !self.has_token {
            return Some(PassedOver::Unreadable);
        }
        match self.health.status {
            // A login of which it is not known when it ends counts as ended, as everywhere.
            Status::Expired | Status::Missing => Some(PassedOver::Expired),
            Status::Ok | Status::Expiring => {
                let needed = UnixMs(min_valid.ms()).as_f64();
                let is_short = self.health.remaining_ms.is_some_and(|left| left < needed);
                is_short.then_some(PassedOver::EndsTooSoon)
            }
            Status::Static => None,
        }
    }

    /// Whether it can be used as it is.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.refusal(Span::default()).is_none()
    }

    /// The program that refreshes it now; none can once the login behind it has expired.
    #[must_use]
    pub fn refresher(&self) -> Option<RefreshedBy> {
        let is_over = self.login_expires.is_some_and(|at| at <= self.now);
        self.refreshed_by.filter(|_| !is_over)
    }

    /// What becomes of it if no person acts.
    #[must_use]
    pub fn outlook(&self) -> Outlook {
        let expires = self.health.expires_at.filter(|expiry| expiry.ms() > 0.0);
        let expires = expires.map(|expiry| UnixMs(expiry.floor_ms()));
        match (self.loss, expires, self.refresher()) {
            (Some(loss), expires, _) => Outlook::Lost(loss, expires),
            (None, None, _) => Outlook::Lasts,
            (None, Some(expires), None) => Outlook::Ends(expires),
            (None, Some(expires), Some(by)) => Outlook::Refreshed(by, expires),
        }
    }
}

/// Whether a login has less than so many milliseconds of lifetime left. An unknown expiry counts as
/// none left.
#[must_use]
pub fn is_due(credential: &Credential<'_>, now: UnixMs, less_than_ms: i64) -> bool {
    if credential.kind != CredentialType::OAuth || credential.never_expires() {
        return false;
    }
    let ends = credential.expiry().filter(|ends| ends.ms() > 0.0);
    ends.is_none_or(|ends| ends.left_at(now) < UnixMs(less_than_ms.max(1)).as_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::{StoreDoc, unavailability};
    use serde_json::{Value, json};

    const NOW: UnixMs = UnixMs(1_768_000_000_000);
    const HOUR: i64 = 3_600_000;

    fn doc(entry: &Value, usage: &Value) -> StoreDoc {
        let doc = json!({"version": 1, "profiles": {"p:a": entry}, "usageStats": {"p:a": usage}});
        StoreDoc::from_json(doc).unwrap()
    }

    fn login(expires: &Value) -> Value {
        json!({"type": "oauth", "provider": "p", "access": "a", "expires": expires})
    }

    /// Grant × expiry × owner × cooldown: the whole table.
    #[test]
    fn the_state_of_a_credential_is_this_table() {
        let claude = RefreshedBy::Program(Owner::ClaudeCode);
        let refreshers = [
            None,
            Some(RefreshedBy::Clawkeep),
            Some(RefreshedBy::Gateway),
            Some(claude),
        ];
        let losses = [
            Loss::Dead,
            Loss::Unopened,
            Loss::Spent,
            Loss::Moved,
            Loss::Uncertain,
        ];
        let cooldowns = [
            (json!({}), None),
            (json!({"cooldownUntil": NOW.0 + 5}), Some("cooldown")),
            (json!({"cooldownUntil": NOW.0}), None),
            (
                json!({"disabledUntil": NOW.0 + 5, "disabledReason": "billing"}),
                Some("disabled:billing"),
            ),
        ];
        let expiries = [
            (json!(NOW.0 + 25 * HOUR), "ok", None, Some(25)),
            (json!(NOW.0 + 24 * HOUR), "expiring", None, Some(24)),
            (
                json!(NOW.0 + HOUR),
                "expiring",
                Some(PassedOver::EndsTooSoon),
                Some(1),
            ),
            (json!(NOW.0), "expired", Some(PassedOver::Expired), Some(0)),
            (
                json!(NOW.0 - HOUR),
                "expired",
                Some(PassedOver::Expired),
                Some(-1),
            ),
            (json!(null), "missing", Some(PassedOver::Expired), None),
            (json!(0), "missing", Some(PassedOver::Expired), None),
            (json!("soon"), "unknown", Some(PassedOver::Expired), None),
        ];
        for (expires, word, refusal, hours) in &expiries {
            let ends = hours.map(|hours| UnixMs(NOW.0 + hours * HOUR));
            for (usage, skipped) in &cooldowns {
                let doc = doc(&login(expires), usage);
                let credential = doc.credential("p:a").unwrap();
                let mut state = CredentialState::of(&credential, AsOf::at(NOW));
                state.unavailability = unavailability(&doc, "p:a", NOW);
                let case = format!("{expires} {usage}");
                let why = state.unavailability.map(|it| it.state());
                assert_eq!(why.as_deref(), *skipped, "{case}");
                // A cooldown changes neither the verdict nor whether it can be used at all.
                assert_eq!(state.word(), *word, "{case}");
                assert_eq!(state.refusal(Span::hours(2)), *refusal, "{case}");
                let is_over = *refusal == Some(PassedOver::Expired);
                assert_eq!(state.is_usable(), !is_over, "{case}");
                for by in refreshers {
                    state.refreshed_by = by;
                    state.login_expires = None;
                    let want = match (ends, by) {
                        (None, _) => Outlook::Lasts,
                        (Some(ends), None) => Outlook::Ends(ends),
                        (Some(ends), Some(by)) => Outlook::Refreshed(by, ends),
                    };
                    assert_eq!(state.outlook(), want, "{case} {by:?}");
                    let for_people = match (*word, by) {
                        ("expiring", Some(_)) => "ok",
                        (word, _) => word,
                    };
                    assert_eq!(state.word_for_people(), for_people, "{case} {by:?}");
                    // No program can refresh it once the login behind it has expired.
                    state.login_expires = Some(NOW);
                    let want = ends.map_or(Outlook::Lasts, Outlook::Ends);
                    assert_eq!(state.outlook(), want, "{case} {by:?}");
                    for loss in losses {
                        let lost = CredentialState {
                            loss: Some(loss),
                            ..state
                        };
                        assert_eq!(lost.outlook(), Outlook::Lost(loss, ends), "{case} {loss:?}");
                        assert_eq!((lost.word(), lost.is_usable()), (*word, !is_over), "{case}");
                    }
                }
            }
        }
    }

    #[test]
    fn github_copilots_login_does_not_expire() {
        let copilot = json!({"type": "oauth", "provider": "github-copilot", "access": "gho_a",
            "refresh": "gho_a", "expires": 0});
        let credential = Credential::of(&copilot);
        let state = CredentialState::of(&credential, AsOf::at(NOW));
        assert_eq!((state.word(), state.outlook()), ("static", Outlook::Lasts));
        assert_eq!(state.refusal(Span::from_ms(i64::MAX)), None);
        let (kind, expiry) = (credential.kind, credential.expiry());
        let plain = |as_of| CredentialState::of_plain(kind, "GitHub-Copilot", expiry, as_of);
        assert_eq!(plain(AsOf::at(NOW)).status(), Status::Static);
        assert_eq!(plain(AsOf::of_reference(NOW)).status(), Status::Missing);
        assert!(!is_due(&credential, NOW, i64::MAX));
    }

    #[test]
    fn what_is_expiring_is_a_setting() {
        let entry = login(&json!(NOW.0 + 3 * HOUR));
        let word = |within| {
            let as_of = AsOf::new(NOW, Span::hours(within));
            CredentialState::of(&Credential::of(&entry), as_of).word()
        };
        assert_eq!((word(2), word(3)), ("ok", "expiring"));
    }

    #[test]
    fn entries_that_hold_no_usable_secret_are_refused() {
        use crate::domain::SecretFault;
        let key = |fields: Value| {
            let mut entry = json!({"type": "api_key", "provider": "p"});
            let fields = fields.as_object().unwrap().clone();
            entry.as_object_mut().unwrap().extend(fields);
            entry
        };
        let token = json!({"type": "token", "provider": "p", "token": "t", "expires": null});
        let marker = json!({"type": "oauth", "provider": "p", "expires": NOW.0 + 9,
            "access": "openclaw-oauth-refresh-fence:v1:abc", "refresh": "r"});
        let broken = json!({"type": "oauth", "provider": "p", "access": "a", "refresh": "r\nr",
            "expires": NOW.0 + 9});
        for (entry, want) in [
            (key(json!({"key": "k"})), None),
            (token, None),
            (key(json!({"key": " "})), Some(PassedOver::Unreadable)),
            (
                json!({"type": "sso", "provider": "p"}),
                Some(PassedOver::Unreadable),
            ),
            (key(json!({"apiKey": "k"})), Some(PassedOver::Misnamed)),
            (
                json!({"type": "apiKey", "provider": "p", "key": "k"}),
                Some(PassedOver::Misnamed),
            ),
            (
                key(json!({"keyRef": {"source": "env", "id": "X"}})),
                Some(PassedOver::Reference),
            ),
            (
                key(json!({"key": "!pass show x"})),
                Some(PassedOver::Reference),
            ),
            (
                key(json!({"key": 12345})),
                Some(PassedOver::BadSecret(SecretFault::NotText)),
            ),
            (
                key(json!({"key": "X_API_KEY"})),
                Some(PassedOver::BadSecret(SecretFault::VariableName)),
            ),
            (
                key(json!({"key": "${X}"})),
                Some(PassedOver::BadSecret(SecretFault::Placeholder)),
            ),
            (broken, Some(PassedOver::BadSecret(SecretFault::LineBreak))),
            (marker, Some(PassedOver::Unreadable)),
        ] {
            let state = CredentialState::of(&Credential::of(&entry), AsOf::at(NOW));
            assert_eq!(state.refusal(Span::default()), want, "{entry}");
        }
    }
}
