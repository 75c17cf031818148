//! What is to be said to a target now: what is new, what lasts, what is over. Pure.

use std::collections::{BTreeMap, BTreeSet};

use super::credential_status::CredentialStatus;
use super::history::TargetHistory;
use super::message::Message;
use super::news::{GOOD, News, What};
use super::subject::{Subject, Trouble};
use crate::config::NotifySettings;
use crate::domain::{Fingerprint, UnixMs};

/// The longest that a target is left alone because it asks for that, in milliseconds: a day. A time further ahead was set by a clock
/// that was wrong.
pub(super) const AHEAD_MAX: i64 = 86_400_000;

/// More logins than these that come to the same state at once are told of in one message.
const ALIKE_MAX: usize = 5;

/// What is to be said, and when that has to be asked again if nothing happens.
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
    /// How each credential stands of which that is known.
    pub statuses: &'f [CredentialStatus],
    /// Credentials that are there, and of which it is not known how they stand.
    pub unclear: &'f BTreeSet<Subject>,
    /// The agents that were looked at, by name.
    pub agents: &'f BTreeSet<String>,
    /// What is wrong with the host.
    pub trouble: &'f [Trouble],
    /// Whether that is all that is wrong with it: the rest is over then.
    pub is_all_trouble: bool,
}

/// One thing to say, before those that belong together are put together.
struct Due<'f> {
    subject: Subject,
    news: News,
    /// The state to be told, in the record's words.
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
                News::Recovered,
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
        let news = match subject {
            Subject::Credential(agent, _) if facts.agents.contains(agent.as_str()) => News::Gone,
            Subject::Host(_) if facts.is_all_trouble => News::Recovered,
            _ => continue, // nobody looked
        };
        if !present.contains(subject) && !facts.unclear.contains(subject) {
            let title = history.title.clone().unwrap_or_default();
            ask.good(subject.clone(), news, What::Past(title));
        }
    }
    Decision {
        messages: together(ask.due, now),
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
    /// Has to be asked again then.
    fn at(&mut self, at: Option<UnixMs>) {
        self.next = self.next.into_iter().chain(at).min();
    }

    fn wrong(&mut self, subject: Subject, (state, repeats): (String, bool), what: What<'a>) {
        let sent = self
            .history
            .get(&subject)
            .and_then(|history| history.sent.clone());
        let news = match sent {
            Some((known, at)) if known == state => {
                let Some(repeat) = self.settings.repeat_ms.filter(|_| repeats) else {
                    return;
                };
                let again = UnixMs(at.0.saturating_add(repeat));
                // Told by a clock that was ahead: when that was is not known.
                if again > self.now && at <= self.now {
                    return self.at(Some(again));
                }
                News::Repeated
            }
            _ => News::New,
        };
        self.say(subject, news, state, what);
    }

    fn good(&mut self, subject: Subject, news: News, what: What<'a>) {
        let history = self.history.get(&subject);
        let was_wrong = history
            .and_then(|history| history.sent.as_ref())
            .is_some_and(|(state, _)| state != GOOD);
        if was_wrong {
            self.say(subject, news, GOOD.to_owned(), what);
        }
    }

    /// Says it, unless it failed just now.
    fn say(&mut self, subject: Subject, news: News, state: String, what: What<'a>) {
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
            news,
            state,
            what,
            attempt,
        });
    }
}

/// One login that stands in several agents or under several names is one message.
fn together(due: Vec<Due<'_>>, now: UnixMs) -> Vec<Message> {
    /// Equal for what belongs together.
    type Key = (News, String, Option<[u8; 10]>, Option<Subject>);
    let mut groups: BTreeMap<Key, Vec<Due<'_>>> = BTreeMap::new();
    for due in due {
        let login = match &due.what {
            What::Credential(status, _) => Some(Fingerprint::to_bytes(status.login)),
            What::Host(..) | What::Past(_) => None,
        };
        let is_alone = login.is_none() && due.news != News::Gone;
        let alone = is_alone.then(|| due.subject.clone());
        let key = (due.news, due.state.clone(), login, alone);
        groups.entry(key).or_default().push(due);
    }
    let messages: Vec<Message> = groups
        .into_iter()
        .map(|((news, state, ..), group)| {
            let attempt = group.iter().map(|due| due.attempt).max().unwrap_or(1);
            let subjects = group.iter().map(|due| due.subject.clone()).collect();
            let what: Vec<What<'_>> = group.into_iter().map(|due| due.what).collect();
            Message::of(subjects, (news, state), &what, now).attempt(attempt)
        })
        .collect();
    let mut messages = in_few(messages);
    // What has failed comes after what was not tried: it may fail again, and would keep the rest from being told.
    let order = |message: &Message| {
        let urgency = std::cmp::Reverse(message.severity);
        (message.attempt, urgency, message.expires)
    };
    messages.sort_by_key(order);
    messages
}

/// Many that say the same of one login each become one.
fn in_few(messages: Vec<Message>) -> Vec<Message> {
    let mut alike: BTreeMap<(News, String), Vec<Message>> = BTreeMap::new();
    let (mut few, of_logins): (Vec<Message>, Vec<Message>) = messages
        .into_iter()
        .partition(|message| message.news == News::Gone || message.credentials().next().is_none());
    for message in of_logins {
        let key = (message.news, message.state.clone());
        alike.entry(key).or_default().push(message);
    }
    for messages in alike.into_values() {
        if messages.len() > ALIKE_MAX {
            few.extend(Message::digest(messages));
        } else {
            few.extend(messages);
        }
    }
    few
}
