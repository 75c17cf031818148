//! Decides what to send to a target now: what is new, what lasts, what is over. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::history::TargetHistory;
use super::message::Message;
use super::reason::{GOOD, MessageReason, What};
use super::subject::{Subject, Trouble};
use super::surveyed::SurveyedCredential;
use crate::config::NotifySettings;
use crate::domain::{Fingerprint, UnixMs};

/// The longest pause a target may ask for, in milliseconds: a day. A wrong clock sets later times.
pub(super) const AHEAD_MAX: i64 = 86_400_000;

/// If more logins than this reach the same state at once, one message reports them.
const ALIKE_MAX: usize = 5;

/// The messages that are due, and when to decide again if nothing happens.
#[derive(Clone, Debug, Default)]
pub struct Decision {
    /// The messages, the most urgent first.
    pub messages: Vec<Message>,
    /// When to decide again if nothing happens.
    pub next: Option<UnixMs>,
}

/// The statuses of the credentials, and the problems of the host.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'f> {
    /// The status of each credential for which it is known.
    pub statuses: &'f [SurveyedCredential],
    /// Credentials whose status is unknown.
    pub unclear: &'f BTreeSet<Subject>,
    /// The agents that were surveyed, by name.
    pub agents: &'f BTreeSet<String>,
    /// What is wrong with the host.
    pub trouble: &'f [Trouble],
    /// Whether `trouble` is complete: every other problem is over then.
    pub is_all_trouble: bool,
    /// The command that shows what to do about each credential.
    pub remedies_command: &'f str,
}

/// One due report, before reports that belong together become one message.
struct Due<'f> {
    subject: Subject,
    reason: MessageReason,
    /// The state to report, in the record's words.
    state: String,
    what: What<'f>,
    attempt: u32,
}

/// Decides which messages are due at `now`.
#[must_use]
pub fn decide(
    facts: Facts<'_>,
    history: &TargetHistory,
    settings: &NotifySettings,
    now: UnixMs,
) -> Decision {
    let mut ask = Asking {
        history,
        settings,
        now,
        due: Vec::new(),
        next: None,
    };
    let mut present = BTreeSet::new();
    for status in facts.statuses {
        let subject = Subject::Credential(status.agent.clone(), status.profile.clone());
        ask.at(status.next_change(settings, now));
        match status.state(settings, now) {
            Some(state) => ask.wrong(
                subject.clone(),
                (state.code(), state.repeats()),
                What::Credential(status, Some(state)),
            ),
            None => ask.good(
                subject.clone(),
                MessageReason::Recovered,
                What::Credential(status, None),
            ),
        }
        present.insert(subject);
    }
    for trouble in facts.trouble {
        let subject = Subject::Host(trouble.key.clone());
        let what = What::Host(&trouble.title, &trouble.body);
        ask.wrong(subject.clone(), ("trouble".to_owned(), true), what);
        present.insert(subject);
    }
    for (subject, history) in history {
        let reason = match subject {
            Subject::Credential(agent, _) if facts.agents.contains(agent.as_str()) => {
                MessageReason::Gone
            }
            Subject::Host(_) if facts.is_all_trouble => MessageReason::Recovered,
            _ => continue, // not surveyed
        };
        if !present.contains(subject) && !facts.unclear.contains(subject) {
            let title = history.title.clone().unwrap_or_default();
            ask.good(subject.clone(), reason, What::Past(title));
        }
    }
    Decision {
        messages: together(ask.due, (now, facts.remedies_command)),
        next: ask.next,
    }
}

struct Asking<'a> {
    history: &'a TargetHistory,
    settings: &'a NotifySettings,
    now: UnixMs,
    due: Vec<Due<'a>>,
    next: Option<UnixMs>,
}

impl<'a> Asking<'a> {
    /// Notes that a new decision is needed at `at`.
    fn at(&mut self, at: Option<UnixMs>) {
        self.next = self.next.into_iter().chain(at).min();
    }

    fn wrong(&mut self, subject: Subject, (state, repeats): (String, bool), what: What<'a>) {
        let sent = self
            .history
            .get(&subject)
            .and_then(|history| history.sent.clone());
        let reason = match sent {
            Some((known, at)) if known == state => {
                let Some(repeat) = self.settings.repeat_ms.filter(|_| repeats) else {
                    return;
                };
                let again = UnixMs(at.0.saturating_add(repeat));
                // Sent while the clock was ahead: the actual time is unknown.
                if again > self.now && at <= self.now {
                    return self.at(Some(again));
                }
                MessageReason::Repeated
            }
            _ => MessageReason::New,
        };
        self.say(subject, reason, state, what);
    }

    fn good(&mut self, subject: Subject, reason: MessageReason, what: What<'a>) {
        let history = self.history.get(&subject);
        let was_wrong = history
            .and_then(|history| history.sent.as_ref())
            .is_some_and(|(state, _)| state != GOOD);
        if was_wrong {
            self.say(subject, reason, GOOD.to_owned(), what);
        }
    }

    /// Adds a report, unless its delivery failed just now.
    fn say(&mut self, subject: Subject, reason: MessageReason, state: String, what: What<'a>) {
        let failed = self
            .history
            .get(&subject)
            .and_then(|history| history.failed.as_ref());
        let mut attempt = 1;
        if let Some(failed) = failed.filter(|failed| failed.state == state) {
            let retry_at = failed.retry_at;
            if retry_at > self.now && retry_at.0 <= self.now.0.saturating_add(AHEAD_MAX) {
                return self.at(Some(retry_at));
            }
            attempt = failed.attempt.saturating_add(1);
        }
        self.due.push(Due {
            subject,
            reason,
            state,
            what,
            attempt,
        });
    }
}

/// Combines reports: a login that several agents or names share is one message.
fn together(due: Vec<Due<'_>>, (now, command): (UnixMs, &str)) -> Vec<Message> {
    /// Equal for what belongs together.
    type Key = (MessageReason, String, Option<[u8; 10]>, Option<Subject>);
    let mut groups: BTreeMap<Key, Vec<Due<'_>>> = BTreeMap::new();
    for due in due {
        let login = match &due.what {
            What::Credential(status, _) => Some(Fingerprint::to_bytes(status.login)),
            What::Host(..) | What::Past(_) => None,
        };
        let is_alone = login.is_none() && due.reason != MessageReason::Gone;
        let alone = is_alone.then(|| due.subject.clone());
        let key = (due.reason, due.state.clone(), login, alone);
        groups.entry(key).or_default().push(due);
    }
    let messages: Vec<Message> = groups
        .into_iter()
        .map(|((reason, state, ..), group)| {
            let attempt = group.iter().map(|due| due.attempt).max().unwrap_or(1);
            let subjects = group.iter().map(|due| due.subject.clone()).collect();
            let what: Vec<What<'_>> = group.into_iter().map(|due| due.what).collect();
            Message::of(subjects, (reason, state), &what, (now, command)).attempt(attempt)
        })
        .collect();
    let mut messages = in_few(messages, command);
    // Failed messages come last: they may fail again, and would delay the rest.
    let order = |message: &Message| {
        let urgency = std::cmp::Reverse(message.severity);
        (message.attempt, urgency, message.expires)
    };
    messages.sort_by_key(order);
    messages
}

/// Combines messages: many that report the same state become one.
fn in_few(messages: Vec<Message>, command: &str) -> Vec<Message> {
    let mut alike: BTreeMap<(MessageReason, String), Vec<Message>> = BTreeMap::new();
    let (mut few, of_logins): (Vec<Message>, Vec<Message>) =
        messages.into_iter().partition(|message| {
            message.reason == MessageReason::Gone || message.credentials().next().is_none()
        });
    for message in of_logins {
        let key = (message.reason, message.state.clone());
        alike.entry(key).or_default().push(message);
    }
    for messages in alike.into_values() {
        if messages.len() > ALIKE_MAX {
            few.extend(Message::digest(messages, command));
        } else {
            few.extend(messages);
        }
    }
    few
}
