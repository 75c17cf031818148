//! Deliveries to a target, on a thread of their own, and their results.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;

use super::decide::AHEAD_MAX;
use super::deliver::{Surroundings, Undelivered, beat, deliver};
use super::message::Message;
use crate::config::{Channel, NotifyTarget};
use crate::platform::Clock;

pub(super) const MINUTE: i64 = 60_000;
/// The pauses before the second attempt, the third, and so on, in milliseconds; the last repeats.
const PAUSES: [i64; 5] = [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 240 * MINUTE];

/// A target, and a digest of how it is reached.
pub(super) struct Recipient {
    pub(super) target: NotifyTarget,
    pub(super) settings: Option<String>,
}

/// The messages under way to a target.
pub(super) struct Sending {
    pub(super) to: Arc<Recipient>,
    /// What has not ended, in order.
    pub(super) messages: VecDeque<Message>,
}

pub(super) enum Ended {
    /// One message arrived, or did not.
    One(Arc<Recipient>, Box<Message>, Result<(), Undelivered>),
    /// A heartbeat arrived, or did not.
    Beat(Arc<Recipient>, Result<(), Undelivered>),
    /// Nothing more is on its way there.
    All(Arc<Recipient>),
}

/// Messages for one target, one after another, or a heartbeat.
pub(super) struct Job {
    pub(super) to: Arc<Recipient>,
    pub(super) messages: Vec<Message>,
    /// The problems that a heartbeat tells of, if one is due.
    pub(super) beat: Option<Vec<String>>,
    pub(super) cancelled: Arc<AtomicBool>,
    pub(super) around: Surroundings,
    pub(super) sender: Sender<Ended>,
    pub(super) wake: Arc<dyn Fn() + Send + Sync>,
    pub(super) clock: Clock,
}

impl Job {
    pub(super) fn run(mut self) {
        if let (Some(problems), Channel::Heartbeat(web, _)) =
            (self.beat.take(), &self.to.target.channel)
        {
            let result = beat(web, &problems, self.clock.now());
            let _ = self.sender.send(Ended::Beat(Arc::clone(&self.to), result));
        }
        for message in std::mem::take(&mut self.messages) {
            let is_cancelled = || self.cancelled.load(Ordering::Relaxed);
            if is_cancelled() {
                break;
            }
            let around = (&self.around, &is_cancelled as &dyn Fn() -> bool);
            let result = deliver(&self.to.target, &message, around, self.clock.now());
            let is_over = result.as_ref().is_err_and(|failed| !failed.is_of_message);
            let to = Arc::clone(&self.to);
            // Nobody listens when the process is about to end: the message counts as not delivered.
            let _ = self.sender.send(Ended::One(to, Box::new(message), result));
            if is_over {
                break; // the rest would fare no better, and is still due
            }
        }
    }
}

// However the job ends: a target that seemed busy permanently would get no more messages.
impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.sender.send(Ended::All(Arc::clone(&self.to)));
        (self.wake)();
    }
}

impl Sending {
    pub(super) fn is_by_program(&self) -> bool {
        matches!(self.to.target.channel, Channel::Command(_))
    }
}

/// How long to wait after an attempt, in milliseconds.
pub(super) fn pause(attempt: u32, failed: &Undelivered) -> i64 {
    let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let own = PAUSES[at.min(PAUSES.len() - 1)];
    let asked = failed.retry_after.map_or(0, |after| {
        i64::try_from(after.as_millis()).unwrap_or(AHEAD_MAX)
    });
    own.max(asked.min(AHEAD_MAX))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn pauses_grow_and_a_target_may_ask_for_more() {
        let failed = |after: Option<u64>| Undelivered {
            retry_after: after.map(Duration::from_secs),
            ..Undelivered::from(String::new())
        };
        let minutes = |attempt, after| pause(attempt, &failed(after)) / MINUTE;
        let grown: Vec<i64> = (1..=7).map(|attempt| minutes(attempt, None)).collect();
        assert_eq!(grown, [1, 5, 15, 60, 240, 240, 240]);
        assert_eq!(minutes(u32::MAX, None), 240);
        assert_eq!(minutes(1, Some(600)), 10);
        assert_eq!(minutes(4, Some(600)), 60);
        assert_eq!(minutes(1, Some(u64::MAX)), 1440);
    }
}
