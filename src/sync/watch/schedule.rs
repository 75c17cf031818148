//! When to refresh which login, and when a credential comes near its expiry.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::domain::{Credential, Fingerprint, StoreDoc, UnixMs, WARN_AFTER_MS};
use crate::health::is_due;
use crate::sync::NotRefreshed;

/// Pauses after the first failed refreshes of a login in turn; the last of them after every further
/// one.
const PAUSES: [Duration; 6] = [
    Duration::from_secs(60),
    Duration::from_secs(2 * 60),
    Duration::from_secs(5 * 60),
    Duration::from_secs(10 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(3600),
];
/// How often to retry what fails until a person acts: settings and logins can change without a
/// notification.
const HOPELESS: Duration = Duration::from_secs(3600);
/// A login is refreshed earlier by up to this part of the span, 1/4, so that not all hosts ask at
/// once.
const JITTER: u64 = 4;

/// What came of a refresh.
#[derive(Clone, Copy, Debug)]
pub enum Attempt<'a> {
    /// It is valid for this long now, in milliseconds. One that is valid for no longer than the
    /// span is left alone for half of that.
    ValidFor(i64),
    /// The login was not refreshed, for this reason.
    NotRefreshed(&'a NotRefreshed, UnixMs),
    /// Something on this machine prevented it.
    Failed,
}

/// What is known of a login that was attempted.
#[derive(Clone, Copy, Debug)]
struct Tried {
    failures: usize,
    not_before: Instant,
}

/// Decides when to refresh which login.
#[derive(Debug)]
pub struct Schedule {
    ahead_ms: i64,
    tried: HashMap<Fingerprint, Tried>,
}

impl Schedule {
    /// Makes a schedule that refreshes logins so many milliseconds before their expiry, or up to a
    /// quarter of that earlier.
    #[must_use]
    pub fn new(ahead_ms: i64) -> Self {
        Self {
            ahead_ms,
            tried: HashMap::new(),
        }
    }

    /// The lifetime left of a login when it is refreshed, in milliseconds. Always the same for one
    /// token.
    #[must_use]
    pub fn ahead(&self, token: Fingerprint) -> i64 {
        let span = u64::try_from(self.ahead_ms).unwrap_or(0) / JITTER + 1;
        let more = u64::from_be_bytes(token.digest) % span;
        self.ahead_ms
            .saturating_add(i64::try_from(more).unwrap_or(0))
    }

    /// Whether a login of the grant `grant`, with the token `token`, is to be refreshed now.
    #[must_use]
    pub fn is_due(
        &self,
        credential: &Credential<'_>,
        (grant, token): (Fingerprint, Fingerprint),
        (now, instant): (UnixMs, Instant),
    ) -> bool {
        is_due(credential, now, self.ahead(token))
            && self
                .tried
                .get(&grant)
                .is_none_or(|tried| tried.not_before <= instant)
    }

    /// How long until a login is due; `None` for one without an expiry, which is due at the next
    /// pass.
    #[must_use]
    pub fn due_in(
        &self,
        credential: &Credential<'_>,
        (grant, token): (Fingerprint, Fingerprint),
        (now, instant): (UnixMs, Instant),
    ) -> Option<Duration> {
        let expires = credential.expiry()?.floor_ms();
        let left = expires
            .saturating_sub(self.ahead(token))
            .saturating_sub(now.0)
            .max(0);
        let left = Duration::from_millis(u64::try_from(left).unwrap_or(0));
        let tried = self.tried.get(&grant);
        let pause = tried.map(|tried| tried.not_before.saturating_duration_since(instant));
        Some(left.max(pause.unwrap_or_default()))
    }

    /// Notes the outcome of a refresh of the grant `grant`; returns how long it is left alone now.
    pub fn note(&mut self, grant: Fingerprint, attempt: Attempt<'_>, instant: Instant) -> Duration {
        let failures = self.tried.get(&grant).map_or(0, |tried| tried.failures);
        let longest = self.ahead_ms.saturating_add(self.ahead_ms / 4);
        let (failures, pause) = match attempt {
            // Due again by the clock alone, which goes on while a machine sleeps, and may be set.
            Attempt::ValidFor(ms) if ms > longest => {
                self.tried.remove(&grant);
                return Duration::ZERO;
            }
            Attempt::ValidFor(ms) => {
                let half = u64::try_from(ms / 2).unwrap_or(0);
                (0, Duration::from_millis(half).max(PAUSES[0]))
            }
            Attempt::NotRefreshed(NotRefreshed::Limited(until), now) => {
                let left = u64::try_from(until.0.saturating_sub(now.0)).unwrap_or(0);
                // An answer of another day's clock is not waited for until that day.
                (
                    failures,
                    Duration::from_millis(left)
                        .max(PAUSES[0])
                        .min(Duration::from_secs(24 * 3600)),
                )
            }
            Attempt::NotRefreshed(why, _) if is_hopeless(why) => (failures, HOPELESS),
            Attempt::NotRefreshed(..) | Attempt::Failed => {
                let pause = PAUSES[failures.min(PAUSES.len() - 1)];
                (failures + 1, pause)
            }
        };
        let tried = Tried {
            failures,
            not_before: instant + pause,
        };
        self.tried.insert(grant, tried);
        pause
    }

    /// Forgets earlier attempts: settings have changed, or a person has acted.
    pub fn forget(&mut self) {
        self.tried.clear();
    }

    /// The grants with exactly one failed refresh, which is retried in a moment: the network may
    /// not be up yet.
    pub fn failed_once(&self) -> impl Iterator<Item = Fingerprint> {
        let once = self.tried.iter().filter(|(_, tried)| tried.failures == 1);
        once.map(|(grant, _)| *grant)
    }

    /// Forgets every grant that is not among these.
    pub fn keep_only(&mut self, grants: &[Fingerprint]) {
        self.tried.retain(|grant, _| grants.contains(grant));
    }
}

/// Whether a person has to act before a login can be refreshed.
#[must_use]
pub fn is_hopeless(why: &NotRefreshed) -> bool {
    !matches!(
        why,
        NotRefreshed::Obstacle(_)
            | NotRefreshed::FailedJustNow(_)
            | NotRefreshed::Limited(_)
            | NotRefreshed::Refused(_)
    )
}

/// How long until the first of a document's credentials comes to its last day, or expires.
#[must_use]
pub fn next_transition(doc: &StoreDoc, now: UnixMs) -> Option<Duration> {
    let instants = doc.credentials().filter_map(|(_, credential)| {
        let expires = credential.expiry()?.floor_ms();
        let first = expires.saturating_sub(WARN_AFTER_MS);
        let next = if first > now.0 { first } else { expires };
        u64::try_from(next.saturating_sub(now.0))
            .ok()
            .filter(|left| *left > 0)
    });
    instants.min().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Loss;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: UnixMs = UnixMs(1_768_000_000_000);
    const AHEAD: i64 = 600_000;

    fn print(digest: u64) -> Fingerprint {
        Fingerprint {
            key_number: 1,
            digest: digest.to_be_bytes(),
        }
    }

    fn login(left: i64) -> serde_json::Value {
        let expires = NOW.0 + left;
        json!({"type": "oauth", "provider": "p", "access": "a", "refresh": "r", "expires": expires})
    }

    proptest! {
        #[test]
        fn it_is_due_when_the_wait_is_over(left in -1000_i64..2_000_000, token in any::<u64>()) {
            let (schedule, entry) = (Schedule::new(AHEAD), login(left));
            let credential = Credential::of(&entry);
            let prints = (print(1), print(token));
            let at = Instant::now();
            let wait = schedule.due_in(&credential, prints, (NOW, at)).unwrap();
            let is_due = schedule.is_due(&credential, prints, (NOW, at));
            prop_assert_eq!(is_due, left < schedule.ahead(prints.1));
            let then = UnixMs(NOW.0 + i64::try_from(wait.as_millis()).unwrap() + 1);
            prop_assert!(schedule.is_due(&credential, prints, (then, at + wait)));
            prop_assert!((AHEAD..=AHEAD + AHEAD / 4).contains(&schedule.ahead(prints.1)));
        }
    }

    #[test]
    fn failures_are_tried_again_later_and_later() {
        let mut schedule = Schedule::new(AHEAD);
        let (grant, at) = (print(1), Instant::now());
        let why = NotRefreshed::Obstacle("disk".to_owned());
        schedule.note(grant, Attempt::NotRefreshed(&why, NOW), at);
        assert!(schedule.failed_once().eq([grant]));
        schedule.note(grant, Attempt::NotRefreshed(&why, NOW), at);
        assert_eq!(schedule.failed_once().count(), 0);
        schedule.forget();
        let pauses: Vec<u64> = (0..8)
            .map(|_| {
                schedule
                    .note(grant, Attempt::NotRefreshed(&why, NOW), at)
                    .as_secs()
            })
            .collect();
        assert_eq!(pauses, [60, 120, 300, 600, 1800, 3600, 3600, 3600]);
        let entry = login(0);
        let is_due = |schedule: &Schedule, grant, after| {
            let prints = (grant, print(9));
            schedule.is_due(
                &Credential::of(&entry),
                prints,
                (NOW, at + Duration::from_secs(after)),
            )
        };
        assert!(!is_due(&schedule, grant, 3599) && is_due(&schedule, grant, 3600));
        assert!(is_due(&schedule, print(2), 0), "another login");
        schedule.keep_only(&[print(2)]);
        assert!(is_due(&schedule, grant, 0));
    }

    #[test]
    fn a_login_shorter_than_the_span_is_not_refreshed_all_the_time() {
        let mut schedule = Schedule::new(AHEAD);
        let (grant, at) = (print(1), Instant::now());
        let found = schedule.note(grant, Attempt::ValidFor(300_000), at);
        assert_eq!(found, Duration::from_secs(150));
        let entry = login(300_000);
        let credential = Credential::of(&entry);
        let prints = (grant, print(3));
        assert!(!schedule.is_due(&credential, prints, (NOW, at)));
        let found = schedule.due_in(&credential, prints, (NOW, at));
        assert_eq!(found, Some(Duration::from_secs(150)));
        // One that lasts longer goes by the clock alone, which may be set.
        schedule.note(grant, Attempt::ValidFor(8 * 3_600_000), at);
        assert!(schedule.is_due(&credential, prints, (NOW, at)));
    }

    #[test]
    fn a_provider_is_left_alone_as_it_asks_but_not_for_a_year() {
        let mut schedule = Schedule::new(AHEAD);
        let mut pause = |ms: i64| {
            let why = NotRefreshed::Limited(UnixMs(NOW.0 + ms));
            schedule
                .note(print(1), Attempt::NotRefreshed(&why, NOW), Instant::now())
                .as_secs()
        };
        assert_eq!(
            [pause(120_000), pause(-5), pause(i64::MAX - NOW.0)],
            [120, 60, 86_400]
        );
        let mut dead = || {
            schedule
                .note(
                    print(1),
                    Attempt::NotRefreshed(&NotRefreshed::Lost(Loss::Dead), NOW),
                    Instant::now(),
                )
                .as_secs()
        };
        assert_eq!((dead(), dead()), (3600, 3600));
    }

    #[test]
    fn the_next_transition_is_the_first_to_come() {
        let doc = |left: i64| {
            let mut doc = StoreDoc::default();
            doc.set(crate::domain::Section::Profiles, "p:x", login(left));
            doc
        };
        let next = |left: i64| next_transition(&doc(left), NOW).map(|wait| wait.as_millis());
        assert_eq!(next(-1), None);
        assert_eq!(next(5), Some(5));
        let found = next(WARN_AFTER_MS);
        assert_eq!(found, Some(WARN_AFTER_MS.unsigned_abs().into()));
        assert_eq!(next(WARN_AFTER_MS + 7), Some(7));
        assert_eq!(next_transition(&StoreDoc::default(), NOW), None);
    }
}
