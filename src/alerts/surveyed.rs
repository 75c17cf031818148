//! The status of a credential, and the state that an alert reports. Pure.

use crate::config::NotifySettings;
use crate::domain::{AgentName, Fingerprint, ProfileId, ProviderId, UnixMs};
use crate::health::{Loss, Outlook, RefreshedBy};

const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;
/// The further alerts before an expiry, in milliseconds before it. The first one is a setting.
const STEPS: [i64; 3] = [7 * DAY, 3 * DAY, DAY];
/// How long a login that clawkeep refreshes may have been expired before an alert: refreshes are
/// retried meanwhile.
const OWN_GRACE: i64 = HOUR;

/// The status of one credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyedCredential {
    /// The agent that has it.
    pub agent: AgentName,
    /// The id of its profile.
    pub profile: ProfileId,
    /// The provider that it is for.
    pub provider: ProviderId,
    /// The same for every profile that holds the same login.
    pub login: Fingerprint,
    /// What becomes of it if no person acts.
    pub outlook: Outlook,
    /// Why its last refresh failed, if it did and the token has not been refreshed in time.
    pub failed: Option<String>,
    /// The problem of the mirrored login of another program, if a person has to act.
    pub source: Option<SourceTrouble>,
    /// The expiry of that login itself: a person has to log in again then.
    pub login_expires: Option<UnixMs>,
    /// Whether the agent has another credential of this provider that can be used.
    pub has_others: bool,
    /// What to do; empty if no action is needed.
    pub remedy: String,
}

/// Why the login of another program is not what is stored of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceTrouble {
    /// The state's name in the record: `logged-out`.
    pub code: &'static str,
    /// The problem, in words for a person.
    pub message: String,
}

/// A state that an alert reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It expires within so many milliseconds, and nothing refreshes it.
    Expires(i64),
    /// It has expired, and nothing refreshes it.
    Expired,
    /// It has expired and should have been refreshed by now.
    Overdue,
    /// It cannot be refreshed, and its access token is still valid.
    Lost(Loss),
    /// It cannot be refreshed, and its access token has expired.
    LostAndExpired(Loss),
    /// Its program is logged out, or has another login: [`SurveyedCredential::source`].
    Source(&'static str),
    /// The login behind it expires within so many milliseconds; only a person can log in again.
    LoginExpires(i64),
    /// The login behind it has expired.
    LoginExpired,
}

impl State {
    /// The name in the record and in messages.
    #[must_use]
    pub fn code(self) -> String {
        match self {
            Self::Expires(step) if step % DAY == 0 => format!("expires-{}d", step / DAY),
            Self::Expires(step) if step % HOUR == 0 => format!("expires-{}h", step / HOUR),
            Self::Expires(step) => format!("expires-{}m", step / 60_000),
            Self::LoginExpires(step) => format!("login-{}", Self::Expires(step).code()),
            Self::LoginExpired => "login-expired".to_owned(),
            Self::Source(code) => code.to_owned(),
            Self::Expired => "expired".to_owned(),
            Self::Overdue => "overdue".to_owned(),
            Self::Lost(loss) => loss.as_str().to_owned(),
            Self::LostAndExpired(loss) => format!("{}-expired", loss.as_str()),
        }
    }

    /// Whether clawkeep sends reminders of it. Before an expiry, the next step is the reminder.
    #[must_use]
    pub fn repeats(self) -> bool {
        !matches!(self, Self::Expires(_) | Self::LoginExpires(_))
    }

    /// Whether the credential cannot be used any more.
    #[must_use]
    pub(crate) fn has_expired(self) -> bool {
        !matches!(
            self,
            Self::Expires(_)
                | Self::Lost(_)
                | Self::Source(_)
                | Self::LoginExpires(_)
                | Self::LoginExpired
        )
    }
}

impl SurveyedCredential {
    /// Returns the state to report at `now`, if there is one.
    #[must_use]
    pub fn state(&self, settings: &NotifySettings, now: UnixMs) -> Option<State> {
        let stages = self.stages(settings);
        let begun = stages.iter().rev().find(|(begins, _)| *begins <= now);
        begun.map(|(_, state)| *state)
    }

    /// Returns when the next state begins if nothing happens until then.
    #[must_use]
    pub(crate) fn next_change(&self, settings: &NotifySettings, now: UnixMs) -> Option<UnixMs> {
        let stages = self.stages(settings);
        let next = stages.iter().find(|(begins, _)| *begins > now);
        next.map(|(begins, _)| *begins)
    }

    /// Returns when the next alert is due if nothing happens. That a program may not refresh the
    /// login in time is nothing to expect.
    #[must_use]
    pub fn next_alert(&self, settings: &NotifySettings, now: UnixMs) -> Option<UnixMs> {
        let stages = self.stages(settings);
        let is_next = |(begins, state): &&(UnixMs, State)| {
            *begins > now && *state != State::Overdue && !settings.targets.is_empty()
        };
        stages.iter().find(is_next).map(|(begins, _)| *begins)
    }

    /// Returns the states that follow if nothing happens, each with its beginning, in order.
    fn stages(&self, settings: &NotifySettings) -> Vec<(UnixMs, State)> {
        let long_ago = UnixMs(i64::MIN);
        if let Some(source) = &self.source {
            let ended = self.outlook.expires();
            let ended = ended.map(|ends| (ends, State::Expired));
            let begun = (long_ago, State::Source(source.code));
            return [begun].into_iter().chain(ended).collect();
        }
        let mut stages = self.stages_of_token(settings);
        if let Some(ends) = self.login_expires {
            let login = way_to(ends, settings.ahead_ms).into_iter();
            stages.extend(login.map(|(begins, state)| match state {
                State::Expires(step) => (begins, State::LoginExpires(step)),
                _ => (begins, State::LoginExpired),
            }));
            stages.sort_by_key(|(begins, _)| *begins);
        }
        stages
    }

    fn stages_of_token(&self, settings: &NotifySettings) -> Vec<(UnixMs, State)> {
        let long_ago = UnixMs(i64::MIN);
        match self.outlook {
            // The next use tries once more; until the expiry a person can do nothing better.
            Outlook::Lost(loss @ Loss::Uncertain, Some(ends)) => {
                vec![(ends, State::LostAndExpired(loss))]
            }
            Outlook::Lost(loss, ends) => {
                let ended = ends.map(|ends| (ends, State::LostAndExpired(loss)));
                [(long_ago, State::Lost(loss))]
                    .into_iter()
                    .chain(ended)
                    .collect()
            }
            Outlook::Lasts => Vec::new(),
            Outlook::Ends(ends) => way_to(ends, settings.ahead_ms),
            Outlook::Refreshed(RefreshedBy::Clawkeep, ends) => {
                let grace = OWN_GRACE.min(settings.overdue_ms);
                vec![(later(ends, grace), State::Overdue)]
            }
            Outlook::Refreshed(_, ends) => vec![(later(ends, settings.overdue_ms), State::Overdue)],
        }
    }
}

fn later(at: UnixMs, by: i64) -> UnixMs {
    UnixMs(at.0.saturating_add(by))
}

/// Returns the steps to an expiry that nothing postpones.
fn way_to(ends: UnixMs, ahead: i64) -> Vec<(UnixMs, State)> {
    let first = (ahead > 0).then_some(ahead);
    let steps = first
        .into_iter()
        .chain(STEPS.into_iter().filter(|step| *step < ahead));
    steps
        .map(|step| (later(ends, -step), State::Expires(step)))
        .chain([(ends, State::Expired)])
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Owner;
    use proptest::prelude::*;

    const NOW: UnixMs = UnixMs(1_768_000_000_000);

    const CLAUDE: RefreshedBy = RefreshedBy::Program(Owner::ClaudeCode);

    fn at(left: i64) -> UnixMs {
        UnixMs(NOW.0 + left)
    }

    fn status(outlook: Outlook) -> SurveyedCredential {
        SurveyedCredential {
            agent: AgentName::default(),
            profile: ProfileId::new("p:x"),
            provider: ProviderId::new("p"),
            login: Fingerprint {
                key_number: 1,
                digest: [0; 8],
            },
            outlook,
            failed: None,
            source: None,
            login_expires: None,
            has_others: false,
            remedy: String::new(),
        }
    }

    fn code(outlook: Outlook) -> Option<String> {
        status(outlook)
            .state(&NotifySettings::default(), NOW)
            .map(State::code)
    }

    #[test]
    fn an_expiring_token_is_reported_in_steps_and_a_refreshed_login_is_not() {
        for (left, want) in [
            (15 * DAY, None),
            (14 * DAY, Some("expires-14d")),
            (7 * DAY + 1, Some("expires-14d")),
            (7 * DAY, Some("expires-7d")),
            (3 * DAY, Some("expires-3d")),
            (HOUR, Some("expires-1d")),
            (0, Some("expired")),
            (-DAY, Some("expired")),
        ] {
            let code = code(Outlook::Ends(at(left)));
            assert_eq!(code.as_deref(), want, "{left}");
        }
        let here = |left| code(Outlook::Refreshed(RefreshedBy::Clawkeep, at(left)));
        assert_eq!(here(1), None);
        assert_eq!(here(1 - HOUR), None);
        assert_eq!(here(-HOUR).as_deref(), Some("overdue"));
        let elsewhere = |left| code(Outlook::Refreshed(CLAUDE, at(left)));
        assert_eq!(elsewhere(1 - 72 * HOUR), None);
        assert_eq!(elsewhere(-72 * HOUR).as_deref(), Some("overdue"));
        assert_eq!(code(Outlook::Lasts), None);
    }

    #[test]
    fn a_login_that_only_a_person_extends_is_reported_days_ahead() {
        let code = |login: i64| {
            let status = SurveyedCredential {
                login_expires: Some(at(login)),
                ..status(Outlook::Refreshed(CLAUDE, at(8 * HOUR)))
            };
            let state = status.state(&NotifySettings::default(), NOW);
            state.map(State::code)
        };
        assert_eq!(code(15 * DAY), None);
        assert_eq!(code(7 * DAY).as_deref(), Some("login-expires-7d"));
        assert_eq!(code(2 * HOUR).as_deref(), Some("login-expires-1d"));
        assert_eq!(code(0).as_deref(), Some("login-expired"));
    }

    #[test]
    fn a_logout_is_reported_at_once_and_again_when_the_token_expires() {
        let code = |left: i64| {
            let source = SourceTrouble {
                code: "logged-out",
                message: String::new(),
            };
            let status = SurveyedCredential {
                source: Some(source),
                ..status(Outlook::Refreshed(CLAUDE, at(left)))
            };
            let state = status.state(&NotifySettings::default(), NOW);
            state.map(State::code)
        };
        assert_eq!(code(DAY).as_deref(), Some("logged-out"));
        assert_eq!(code(0).as_deref(), Some("expired"));
    }

    #[test]
    fn a_lost_login_is_reported_at_once_and_again_when_it_expires() {
        for loss in [Loss::Dead, Loss::Unopened, Loss::Spent, Loss::Moved] {
            let lost = |left: Option<i64>| code(Outlook::Lost(loss, left.map(at)));
            assert_eq!(lost(Some(DAY)).as_deref(), Some(loss.as_str()));
            assert_eq!(lost(None).as_deref(), Some(loss.as_str()));
            assert_eq!(lost(Some(0)), Some(format!("{}-expired", loss.as_str())));
        }
        let uncertain = |left| code(Outlook::Lost(Loss::Uncertain, Some(at(left))));
        assert_eq!(uncertain(1), None, "it can be used, and the next use asks");
        assert_eq!(uncertain(0).as_deref(), Some("uncertain-expired"));
    }

    proptest! {
        #[test]
        fn a_state_lasts_until_the_next_begins(
            left in -20 * DAY..20 * DAY,
            ahead in 0..20 * DAY,
            by in prop_oneof![Just(None), Just(Some(RefreshedBy::Clawkeep)),
                Just(Some(RefreshedBy::Gateway))],
        ) {
            let settings = NotifySettings { ahead_ms: ahead, ..NotifySettings::default() };
            let ends = at(left);
            let outlook = by.map_or(Outlook::Ends(ends), |by| Outlook::Refreshed(by, ends));
            let status = status(outlook);
            let state = status.state(&settings, NOW);
            match status.next_change(&settings, NOW) {
                Some(next) => {
                    prop_assert!(next > NOW);
                    prop_assert_eq!(status.state(&settings, UnixMs(next.0 - 1)), state);
                    prop_assert_ne!(status.state(&settings, next), state);
                }
                None => prop_assert!(state.is_some_and(State::has_expired)),
            }
        }
    }
}
