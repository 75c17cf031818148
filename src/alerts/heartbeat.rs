//! When a heartbeat is due, and which problems it tells of. Pure.

use super::decide::Facts;
use super::sending::MINUTE;
use crate::config::{Channel, NotifySettings, NotifyTarget, Rhythm};
use crate::domain::UnixMs;

/// The most problems that one heartbeat names.
const NAMED_MAX: usize = 20;

/// The last heartbeat of a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LastBeat {
    pub(super) at: UnixMs,
    pub(super) was_well: bool,
    /// Whether it arrived, as far as is known.
    pub(super) has_arrived: bool,
}

/// The rhythm of a target that gets heartbeats in place of messages.
pub(super) fn rhythm(target: &NotifyTarget) -> Option<Rhythm> {
    match target.channel {
        Channel::Heartbeat(_, rhythm) => Some(rhythm),
        _ => None,
    }
}

/// What is wrong, a line each: trouble with the host, and credentials that need a person now. An
/// expiry that is still ahead is no problem, and neither is a cooldown.
pub(super) fn problems(facts: Facts<'_>, settings: &NotifySettings, now: UnixMs) -> Vec<String> {
    let trouble = facts.trouble.iter().map(|trouble| trouble.title.clone());
    let credentials = facts.statuses.iter().filter_map(|status| {
        let state = status
            .state(settings, now)
            .filter(|state| state.repeats())?;
        Some(format!(
            "{}/{}: {}",
            status.agent,
            status.profile,
            state.code()
        ))
    });
    let mut all: Vec<String> = trouble.chain(credentials).collect();
    if all.len() > NAMED_MAX {
        let more = all.len() - NAMED_MAX;
        all.truncate(NAMED_MAX);
        all.push(format!("and {more} more"));
    }
    all
}

/// When the next heartbeat is due; `None` while something is wrong that the service is not told.
pub(super) fn due(
    rhythm: Rhythm,
    last: Option<LastBeat>,
    is_well: bool,
    now: UnixMs,
) -> Option<UnixMs> {
    if !is_well && !rhythm.has_fail {
        return None;
    }
    // One that was sent while the clock was ahead says nothing of now.
    let last = last.filter(|last| last.was_well == is_well && last.at <= now);
    let pause = |last: &LastBeat| match last.has_arrived {
        true => rhythm.every_ms,
        false => MINUTE.min(rhythm.every_ms),
    };
    Some(last.map_or(now, |last| UnixMs(last.at.0.saturating_add(pause(&last)))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_heartbeat_is_due_after_a_while_and_at_each_change() {
        let rhythm = |has_fail| Rhythm {
            every_ms: 5 * MINUTE,
            has_fail,
        };
        let last = |was_well, has_arrived| {
            Some(LastBeat {
                at: UnixMs(0),
                was_well,
                has_arrived,
            })
        };
        let now = UnixMs(7);
        let due =
            |has_fail, last, is_well| due(rhythm(has_fail), last, is_well, now).map(|at| at.0);
        assert_eq!(due(false, None, true), Some(7));
        assert_eq!(due(false, last(true, true), true), Some(5 * MINUTE));
        assert_eq!(
            due(false, last(true, false), true),
            Some(MINUTE),
            "tried again"
        );
        assert_eq!(
            due(false, last(true, true), false),
            None,
            "the service misses it"
        );
        assert_eq!(due(true, last(true, true), false), Some(7), "at once");
        assert_eq!(due(true, last(false, true), false), Some(5 * MINUTE));
        assert_eq!(due(true, last(false, true), true), Some(7));
        let ahead = LastBeat {
            at: UnixMs(i64::MAX),
            was_well: true,
            has_arrived: true,
        };
        assert_eq!(
            due(true, Some(ahead), true),
            Some(7),
            "the clock was set back"
        );
    }
}
