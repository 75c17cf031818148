//! Messages for a person: a title, an explanation, an expiry, and a remedy.

use serde_json::{Value, json};

use super::phrases::{NAMES_MAX, day, in_words, listed, lost, not_refreshed, others, places};
use super::reason::{GOOD, MessageReason, What};
use super::subject::Subject;
use super::surveyed::{State, SurveyedCredential};
use super::text::{cut_to_bytes, line, named, paragraph};
use crate::domain::{AgentName, ProfileId, Span, UnixMs, from_outside};
use crate::health::{Loss, Outlook, RefreshedBy};

/// How many credentials a program gets at most; the rest is counted.
const PROFILES_MAX: usize = 50;
/// The longest remedy, in characters. A command that is cut would be another command.
const REMEDY_MAX: usize = 600;

/// The prefix of the title of a repeated message.
const REMINDER: &str = "Reminder: ";

/// How urgent a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Good to know; no action is needed.
    Info,
    /// Something has to be done soon.
    Warning,
    /// Something does not work any more.
    Critical,
}

impl Severity {
    /// Returns the word for it in messages.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

/// A message to a target. It contains no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The subjects that the message is about.
    pub subjects: Vec<Subject>,
    /// Of which provider the credential is.
    pub provider: Option<String>,
    /// The same for each subject, for the record; empty where none is known.
    pub(super) providers: Vec<String>,
    /// The reason for the message.
    pub reason: MessageReason,
    /// The state that it reports, in the record's words; `ok` if the problem is over.
    pub state: String,
    /// How urgent the message is.
    pub severity: Severity,
    /// The title, in a few words.
    pub title: String,
    /// A sentence or a few.
    pub body: String,
    /// What to do, where there is something.
    pub remedy: Option<String>,
    /// The expiry of the credential, if it has one.
    pub expires: Option<UnixMs>,
    /// The time at which it was written.
    pub at: UnixMs,
    /// Which attempt to deliver it this is, from 1.
    pub attempt: u32,
}

impl Message {
    /// Returns the message that tests whether messages arrive.
    #[must_use]
    pub fn test(now: UnixMs) -> Self {
        Self {
            subjects: Vec::new(),
            provider: None,
            providers: Vec::new(),
            reason: MessageReason::Test,
            state: "test".to_owned(),
            severity: Severity::Info,
            title: "A test of clawkeep".to_owned(),
            body: "Messages arrive here. Nothing is wrong.".to_owned(),
            remedy: None,
            expires: None,
            at: now,
            attempt: 1,
        }
    }

    /// `command` shows what to do about each credential.
    pub(super) fn of(
        subjects: Vec<Subject>,
        (reason, state): (MessageReason, String),
        what: &[What<'_>],
        (now, command): (UnixMs, &str),
    ) -> Self {
        let statuses: Vec<&SurveyedCredential> = what
            .iter()
            .filter_map(|what| match what {
                What::Credential(status, _) => Some(*status),
                _ => None,
            })
            .collect();
        let mut message = Self {
            provider: statuses.first().map(|first| named(first.provider.as_str())),
            providers: statuses
                .iter()
                .map(|status| from_outside(status.provider.as_str()))
                .collect(),
            expires: statuses.first().and_then(|first| first.outlook.expires()),
            ..Self::test(now)
        };
        message.reason = reason;
        message.state = state;
        match what.first() {
            Some(What::Credential(first, Some(state))) => {
                message.wrong(first, (*state, command), &statuses);
            }
            Some(What::Credential(first, None)) => message.describe_recovery(first, &statuses),
            Some(What::Host(title, body)) => {
                message.severity = Severity::Critical;
                message.title = named(title);
                message.body = paragraph(body);
            }
            Some(What::Past(title)) => message.past(&subjects, title),
            None => {}
        }
        if reason == MessageReason::Repeated {
            message.title = format!("{REMINDER}{}", message.title);
        }
        message.subjects = subjects;
        message
    }

    pub(super) fn attempt(self, attempt: u32) -> Self {
        Self { attempt, ..self }
    }

    /// Combines messages that report the same state, each of one login. `command` shows what to do
    /// about each.
    pub(super) fn digest(mut all: Vec<Self>, command: &str) -> Option<Self> {
        let count = all.len();
        all.sort_by_key(|message| (std::cmp::Reverse(message.severity), message.expires));
        let names = first_of(&all);
        let mut all = all.into_iter();
        let mut message = all.next()?;
        for other in all {
            message.subjects.extend(other.subjects);
            message.providers.extend(other.providers);
            message.severity = message.severity.max(other.severity);
            message.expires = message.expires.into_iter().chain(other.expires).min();
            message.attempt = message.attempt.max(other.attempt);
            if message.provider != other.provider {
                message.provider = None;
            }
        }
        let what = match message.state.as_str() {
            GOOD => "credentials are good again",
            "expired" => "credentials have expired",
            "overdue" => "logins were not refreshed",
            "logged-out" => "logins are logged out",
            "login-expired" => "logins have expired",
            state if state.starts_with("login-expires-") => "logins expire soon",
            "account-changed" => "logins now belong to another account",
            "unusable-expiry" | "other-account" | "other-place" | "earlier-expiry"
            | "api-key-mode" | "in-keyring" | "no-refresh-token" => {
                "logins of other programs were not imported"
            }
            state if state.starts_with("expires-") => "credentials expire soon",
            state if state.ends_with("-expired") => "logins have expired and cannot be refreshed",
            _ => "logins cannot be refreshed",
        };
        let first = match message.expires {
            Some(ends) if message.state.starts_with("expires-") => {
                let left = (ends - message.at).long();
                format!(" The first expires on {}, in {left}.", day(ends))
            }
            _ => String::new(),
        };
        message.title = format!("{count} {what}");
        message.body = format!("{count} {what}: {names}.{first}");
        if message.reason == MessageReason::Repeated {
            message.title = format!("{REMINDER}{}", message.title);
        }
        let is_wrong = message.state != GOOD;
        message.remedy = is_wrong.then(|| format!("What to do for each: {command}"));
        Some(message)
    }

    fn wrong(
        &mut self,
        first: &SurveyedCredential,
        (state, command): (State, &str),
        all: &[&SurveyedCredential],
    ) {
        let has_others = all.iter().all(|status| status.has_others);
        let expires = first.outlook.expires();
        let has_a_day = expires.is_none_or(|ends| ends - self.at >= Span::days(1));
        let is_ours = matches!(first.outlook, Outlook::Refreshed(RefreshedBy::Clawkeep, _));
        self.severity = match state {
            State::Expires(step) if step > Span::days(1).ms() => Severity::Warning,
            State::Lost(_) | State::Source(_) if has_a_day => Severity::Warning,
            State::LoginExpires(step) if step > Span::days(1).ms() => Severity::Warning,
            // Its program refreshes it when it is used: most likely nobody has used it.
            State::Overdue if !is_ours => Severity::Warning,
            _ if has_others => Severity::Warning,
            _ => Severity::Critical,
        };
        let name = named(first.profile.as_str());
        let who = places(all);
        let ends = expires.map(|ends| (day(ends), (ends - self.at).long()));
        let (when, left) = ends.unwrap_or_default();
        let ago = expires.map_or_else(String::new, |ends| (ends - self.at).long_ago());
        let (title, body) = match state {
            State::Expires(_) => (
                format!("{name} expires in {left}"),
                format!("{who} expires on {when}, in {left}. Nothing refreshes it automatically."),
            ),
            State::Expired => (
                format!("{name} has expired"),
                format!("{who} expired on {when}, {ago}. Nothing refreshes it automatically."),
            ),
            State::Overdue => (
                format!("{name} was not refreshed"),
                format!(
                    "{who} expired on {when}, {ago}, and {}.",
                    not_refreshed(first)
                ),
            ),
            State::Source(code) => {
                let title = match code {
                    "logged-out" => format!("{name} is logged out"),
                    "account-changed" => format!("{name} is another account's login now"),
                    _ => format!("{name} differs from its program's login"),
                };
                let message = first
                    .source
                    .as_ref()
                    .map(|source| paragraph(&source.message));
                (title, format!("{who}: {}.", message.unwrap_or_default()))
            }
            State::LoginExpires(_) | State::LoginExpired => {
                self.expires = first.login_expires;
                let ends = first.login_expires.unwrap_or(self.at);
                let (when, left) = (day(ends), ends - self.at);
                match state {
                    State::LoginExpires(_) => (
                        format!("{name}: login expires in {}", left.long()),
                        format!(
                            "The login behind {who} expires on {when}, in {}. Only a person can \
                             log in again.",
                            left.long()
                        ),
                    ),
                    _ => (
                        format!("{name}: login has expired"),
                        format!(
                            "The login behind {who} expired on {when}, {}. Only a person can log \
                             in again.",
                            left.long_ago()
                        ),
                    ),
                }
            }
            State::Lost(loss) | State::LostAndExpired(loss) => {
                let (mut title, why) = lost(loss, &name, &who);
                if state.has_expired() {
                    title = match loss {
                        Loss::Uncertain => format!("{name} has expired and may be lost"),
                        _ => format!("{name} has expired and cannot be refreshed"),
                    };
                }
                let until = match (expires, state.has_expired()) {
                    (None, _) => String::new(),
                    (_, true) => format!(" It expired on {when}, {ago}."),
                    (_, false) => format!(" It can be used until {when}, for {left}."),
                };
                (title, format!("{why}{until}"))
            }
        };
        let rest = others(all);
        self.title = title;
        self.body = format!("{body}{rest}");
        let remedy = match line(&first.remedy) {
            long if long.chars().count() > REMEDY_MAX => {
                format!("The remedy is too long for a message. Run: {command}")
            }
            remedy => remedy,
        };
        self.remedy = (!remedy.is_empty()).then_some(remedy);
    }

    fn describe_recovery(&mut self, first: &SurveyedCredential, all: &[&SurveyedCredential]) {
        self.severity = Severity::Info;
        self.title = format!("{} is good again", named(first.profile.as_str()));
        let who = places(all);
        self.body = match first.outlook {
            Outlook::Lasts | Outlook::Lost(_, None) => format!("{who} is good again."),
            Outlook::Ends(ends) => {
                format!(
                    "{who} is good again, until {}, for {}.",
                    day(ends),
                    (ends - self.at).long()
                )
            }
            _ => format!("{who} is good again and is refreshed automatically."),
        };
    }

    fn past(&mut self, subjects: &[Subject], title: &str) {
        self.severity = Severity::Info;
        (self.title, self.body) = match subjects.first() {
            Some(Subject::Credential(_, first)) => {
                let name = named(first.as_str());
                let more = match subjects.len() {
                    1 => String::new(),
                    count => format!(" and {} more", count - 1),
                };
                let gone = subjects.iter().filter_map(|subject| match subject {
                    Subject::Credential(agent, profile) => {
                        let (agent, profile) = (agent.as_str(), profile.as_str());
                        Some(format!("{}/{}", named(agent), named(profile)))
                    }
                    Subject::Host(_) => None,
                });
                (
                    format!("{name}{more} removed"),
                    format!("There is no {} any more.", listed(&gone.collect())),
                )
            }
            Some(Subject::Host(key)) => {
                let what = if title.is_empty() { key } else { title };
                let what = named(what);
                (format!("Resolved: {what}"), format!("Resolved: {what}."))
            }
            None => return,
        };
    }

    /// Returns the whole message as text for a person.
    #[must_use]
    pub fn text(&self, host: &str) -> String {
        let remedy = self.remedy.iter().map(String::as_str);
        let from = format!("clawkeep on {host}");
        let lines: Vec<&str> = [self.body.as_str()]
            .into_iter()
            .chain(remedy)
            .chain([from.as_str()])
            .collect();
        lines.join("\n")
    }

    /// Returns the text as [`Message::text`], in at most `most` bytes: the end of the body is cut.
    pub(super) fn text_within(&self, host: &str, most: usize) -> String {
        let text = self.text(host);
        let over = text.len().saturating_sub(most);
        if over == 0 {
            return text;
        }
        let body = cut_to_bytes(&self.body, self.body.len().saturating_sub(over));
        let short = Self {
            body,
            ..self.clone()
        };
        cut_to_bytes(&short.text(host), most)
    }

    /// Returns the whole message as JSON. `docs/alerts.md` explains the fields.
    #[must_use]
    pub fn json(&self, host: &str) -> Value {
        let profiles: Vec<Value> = self
            .named_credentials()
            .map(|(agent, profile)| json!({"agent": agent, "profile": profile}))
            .collect();
        let more = self.credentials().count() - profiles.len();
        let key = self.subjects.iter().find_map(|subject| match subject {
            Subject::Host(key) => Some(named(key)),
            Subject::Credential(..) => None,
        });
        json!({
            "title": self.title,
            "message": self.body,
            "remedy": self.remedy,
            "severity": self.severity.as_str(),
            "news": self.reason.as_str(),
            "state": self.state,
            "profiles": profiles,
            "more": more,
            "provider": self.provider,
            "trouble": key,
            "expires": self.expires.map(UnixMs::rfc3339),
            "at": self.at.rfc3339(),
            "host": host,
            "sender": concat!("clawkeep ", env!("CARGO_PKG_VERSION")),
        })
    }

    /// Returns the title of a problem of the host, to name it when it is over.
    pub(super) fn trouble_title(&self) -> Option<&str> {
        let is_named = self.state != GOOD
            && self
                .subjects
                .iter()
                .any(|subject| matches!(subject, Subject::Host(_)));
        let title = self.title.strip_prefix(REMINDER).unwrap_or(&self.title);
        is_named.then_some(title)
    }

    /// The first of the credentials that it is about: agents and profiles, fit to be shown.
    pub(super) fn named_credentials(&self) -> impl Iterator<Item = (String, String)> {
        let first = self.credentials().take(PROFILES_MAX);
        first.map(|(agent, profile)| (named(agent.as_str()), named(profile.as_str())))
    }

    /// The credentials that it is about.
    pub fn credentials(&self) -> impl Iterator<Item = (&AgentName, &ProfileId)> {
        self.subjects.iter().filter_map(|subject| match subject {
            Subject::Credential(agent, profile) => Some((agent, profile)),
            Subject::Host(_) => None,
        })
    }
}

/// The logins of the first messages, a profile each.
fn first_of(messages: &[Message]) -> String {
    let names = messages.iter().take(NAMES_MAX).filter_map(|message| {
        let (agent, profile) = message.named_credentials().next()?;
        let is_main = agent == AgentName::default().as_str();
        Some(if is_main {
            profile
        } else {
            format!("{agent}/{profile}")
        })
    });
    in_words(&names.collect::<Vec<_>>(), messages.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_fits_wherever_it_is_sent_and_a_command_in_it_is_whole() {
        let status = SurveyedCredential {
            agent: AgentName::default(),
            profile: ProfileId::new("\u{202e}ä".repeat(70_000)),
            provider: crate::domain::ProviderId::new(&"p".repeat(140_000)),
            login: crate::domain::Fingerprint {
                key_number: 1,
                digest: [0; 8],
            },
            outlook: Outlook::Ends(UnixMs(0)),
            failed: None,
            source: None,
            login_expires: None,
            has_others: false,
            remedy: format!("do-this {}", "ä".repeat(140_000)),
        };
        let what = [What::Credential(&status, Some(State::Expired))];
        let subject = Subject::Credential(AgentName::default(), status.profile.clone());
        let new = (MessageReason::New, "expired".to_owned());
        let message = Message::of(vec![subject], new, &what, (UnixMs(0), "show-all"));
        let elsewhere = "The remedy is too long for a message. Run: show-all";
        assert_eq!(message.remedy.as_deref(), Some(elsewhere));
        assert!(message.json("h").to_string().len() < 8_000);
        assert!(!message.text("h").contains('\u{202e}'));
        let short = message.text_within("h", 400);
        assert!(short.len() <= 400, "{}", short.len());
        assert!(
            short.ends_with(&format!("…\n{elsewhere}\nclawkeep on h")),
            "{short}"
        );
    }

    #[test]
    fn what_is_wrong_with_the_host_is_plain_text() {
        let what = [What::Host("a\u{1b}[31m", " one\ntwo\u{7} ")];
        let state = (MessageReason::New, "trouble".to_owned());
        let message = Message::of(
            vec![Subject::Host("k".to_owned())],
            state,
            &what,
            (UnixMs(0), ""),
        );
        assert_eq!(message.title, r"a\u001b[31m");
        assert_eq!(message.body, "one\ntwo\\u0007");
        assert_eq!(message.json("h")["trouble"], "k");
    }
}
