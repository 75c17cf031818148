//! The targets of alerts: `[notify]` of `clawkeep.toml`, and the same as one word of an argument.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use url::Url;
use zeroize::Zeroizing;

use super::error::OwnSettingsError;
use crate::domain::{Span, is_loopback};

/// A day, in milliseconds.
const DAY: i64 = 86_400_000;
/// How often a heartbeat is sent unless it is set, in milliseconds: five minutes.
const BEAT: i64 = 300_000;
/// No heartbeat is sent more often, in milliseconds: a minute, the shortest time that services ask.
const BEAT_MIN: i64 = 60_000;
/// Nobody is reminded more often, in milliseconds: five minutes.
const REPEAT_MIN: i64 = 300_000;
/// No span here is longer, in milliseconds: a year.
const SPAN_MAX: i64 = 366 * DAY;
/// The longest name of a target, in characters.
const NAME_MAX: usize = 32;

/// The targets of alerts, and the times at which they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifySettings {
    /// How often one is reminded of what lasts, in milliseconds; `None`: never. Set by
    /// `notify.repeat = "24h"` (the default) or `"never"`.
    pub repeat_ms: Option<i64>,
    /// How long before the expiry of a login that nothing refreshes the first alert is sent, in
    /// milliseconds. Set by `notify.ahead = "14d"` (the default).
    pub ahead_ms: i64,
    /// How long a login that other programs refresh may have been expired before an alert is sent,
    /// in milliseconds. Set by `notify.overdue = "72h"` (the default): long enough that a login
    /// used in office hours alone causes no alert at night.
    pub overdue_ms: i64,
    /// The targets that alerts are sent to.
    pub targets: Vec<NotifyTarget>,
}

impl Default for NotifySettings {
    fn default() -> Self {
        Self {
            repeat_ms: Some(DAY),
            ahead_ms: 14 * DAY,
            overdue_ms: 3 * DAY,
            targets: Vec::new(),
        }
    }
}

/// One target that alerts are sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NotifyTarget {
    /// What it is called in the record: `desktop`, `ntfy`, `webhook.team`.
    pub name: String,
    /// The channel through which it is reached.
    pub channel: Channel,
}

/// The targets that an argument can name.
pub const TARGETS: &str = "desktop, ntfy:URL, webhook:URL, heartbeat:URL or command:PROGRAM";

/// A way to reach a target.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Channel {
    /// A notification of the desktop that this session belongs to.
    Desktop,
    /// A topic of an ntfy server.
    Ntfy(Web),
    /// An address that takes JSON.
    Webhook(Web, BodyFormat),
    /// An address of a service that sends an alarm when no request arrives: gets no messages.
    Heartbeat(Web, Rhythm),
    /// A program to run: its name or path, then its arguments.
    Command(Vec<String>),
}

/// How often a heartbeat is sent, and what becomes of it while something is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rhythm {
    /// The time between two requests, in milliseconds. Set by `every = "5m"` (the default).
    pub every_ms: i64,
    /// Whether `/fail` is requested while something is wrong. Otherwise nothing is, and the service
    /// misses the heartbeat. Set by `fail = true`.
    pub has_fail: bool,
}

impl Default for Rhythm {
    fn default() -> Self {
        Self {
            every_ms: BEAT,
            has_fail: false,
        }
    }
}

/// An address on the web, and what opens it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Web {
    /// The address to send to.
    pub address: Address,
    /// A file with the token that is sent as `Authorization: Bearer`.
    pub token_file: Option<PathBuf>,
}

/// The source of an address.
#[derive(Clone, PartialEq, Eq)]
pub enum Address {
    /// The address itself, as the settings have it.
    Plain(Url),
    /// It is what this file says: an address that is itself a secret.
    InFile(PathBuf),
}

// The path of a webhook's address often is the only thing that keeps others from using it.
impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(url) => write!(f, "Plain({}/…)", url.origin().ascii_serialization()),
            Self::InFile(path) => write!(f, "InFile({})", path.display()),
        }
    }
}

/// What a webhook is sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BodyFormat {
    /// Everything, each in a field of its own.
    #[default]
    Json,
    /// `{"text": …}`, the format of Slack, Mattermost, Rocket.Chat and Google Chat.
    Slack,
    /// `{"content": …}`, the format of Discord.
    Discord,
}

/// An address that messages may be sent to: https always, except to a literal address of this
/// machine.
///
/// # Errors
/// What is wrong with it, as the rest of a sentence. The address is not in it.
pub fn checked_address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "is no address")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("has a user name or password in it; take them out");
    }
    if url.fragment().is_some() {
        return Err("has a fragment");
    }
    match url.scheme() {
        "https" if url.host().is_some() => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err("is not https (http is for 127.0.0.0/8 and [::1] alone)"),
    }
}

impl NotifyTarget {
    /// Exposes all settings of the delivery, including a secret address: for a keyed digest, which
    /// shows whether they changed.
    #[must_use]
    pub fn expose_settings(&self) -> Zeroizing<String> {
        let of_web = |web: &Web| match &web.address {
            Address::Plain(url) => format!("{url}\0{:?}", web.token_file),
            Address::InFile(path) => format!("\0{}\0{:?}", path.display(), web.token_file),
        };
        Zeroizing::new(match &self.channel {
            Channel::Desktop => "desktop".to_owned(),
            Channel::Ntfy(web) => format!("ntfy\0{}", of_web(web)),
            Channel::Webhook(web, format) => format!("webhook\0{format:?}\0{}", of_web(web)),
            Channel::Heartbeat(web, rhythm) => format!("heartbeat\0{rhythm:?}\0{}", of_web(web)),
            Channel::Command(run) => format!("command\0{}", run.join("\0")),
        })
    }

    /// The files that delivery depends on. If one changes, a failed delivery is tried again.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let (web, program) = match &self.channel {
            Channel::Desktop => (None, None),
            Channel::Ntfy(web) | Channel::Webhook(web, _) | Channel::Heartbeat(web, _) => {
                (Some(web), None)
            }
            Channel::Command(run) => (None, run.first().map(Path::new)),
        };
        let address = web.and_then(|web| match &web.address {
            Address::Plain(_) => None,
            Address::InFile(path) => Some(path.as_path()),
        });
        let token = web.and_then(|web| web.token_file.as_deref());
        let all = address.into_iter().chain(token).chain(program);
        all.filter(|path| path.is_absolute())
    }

    /// The target that an argument names, as in [`TARGETS`].
    ///
    /// # Errors
    /// What is wrong with it, as a sentence without the address.
    pub fn from_argument(text: &str) -> Result<Self, String> {
        let (kind, value) = text.split_once(':').unwrap_or((text, ""));
        let web = || {
            let url = checked_address(value).map_err(|why| format!("the address {why}"))?;
            let host = url.host_str().unwrap_or_default().to_owned();
            let web = Web {
                address: Address::Plain(url),
                token_file: None,
            };
            Ok::<_, String>((host, web))
        };
        let (to, channel) = match kind {
            "desktop" if text == kind => (String::new(), Channel::Desktop),
            _ if value.is_empty() => return Err(format!("this is {TARGETS}")),
            "ntfy" => web().map(|(host, web)| (host, Channel::Ntfy(web)))?,
            "webhook" => {
                let (host, web) = web()?;
                (host, Channel::Webhook(web, BodyFormat::default()))
            }
            "heartbeat" => {
                let (host, web) = web()?;
                (host, Channel::Heartbeat(web, Rhythm::default()))
            }
            "command" => {
                let program = Path::new(value).file_name().unwrap_or_default();
                let run = vec![value.to_owned()];
                (
                    program.to_string_lossy().into_owned(),
                    Channel::Command(run),
                )
            }
            _ => return Err(format!("this is {TARGETS}")),
        };
        let name = format!("{kind}:{to}");
        let name = name.trim_end_matches(':').to_owned();
        Ok(Self { name, channel })
    }
}

/// `[notify]`, as it is written.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Written {
    repeat: Option<toml::Spanned<String>>,
    ahead: Option<toml::Spanned<String>>,
    overdue: Option<toml::Spanned<String>>,
    #[serde(default)]
    desktop: bool,
    ntfy: Option<toml::Spanned<WrittenWeb>>,
    #[serde(default)]
    webhook: BTreeMap<String, toml::Spanned<WrittenWeb>>,
    heartbeat: Option<toml::Spanned<WrittenHeartbeat>>,
    #[serde(default)]
    command: BTreeMap<String, toml::Spanned<WrittenCommand>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenHeartbeat {
    url: Option<toml::Spanned<String>>,
    url_file: Option<toml::Spanned<PathBuf>>,
    every: Option<toml::Spanned<String>>,
    #[serde(default)]
    fail: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenWeb {
    url: Option<toml::Spanned<String>>,
    url_file: Option<toml::Spanned<PathBuf>>,
    token_file: Option<toml::Spanned<PathBuf>>,
    format: Option<BodyFormat>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCommand {
    run: Vec<String>,
}

impl Written {
    /// What it says; `invalid` makes an error of where and what.
    pub(super) fn checked(
        self,
        invalid: &impl Fn(usize, &str) -> OwnSettingsError,
    ) -> Result<NotifySettings, OwnSettingsError> {
        let default = NotifySettings::default();
        let repeat = match self.repeat {
            None => default.repeat_ms,
            Some(repeat) if repeat.get_ref() == "never" => None,
            Some(repeat) => {
                let what = "notify.repeat is a span from five minutes to a year, such as \"24h\", \
                    or \"never\"";
                Some(span(&repeat, REPEAT_MIN, what, invalid)?)
            }
        };
        let within_a_year = |written: Option<toml::Spanned<String>>, name: &str, default: i64| {
            let what = format!("notify.{name} is a span of a year at most, such as \"6h\"");
            written.map_or(Ok(default), |written| span(&written, 0, &what, invalid))
        };
        let mut targets = Vec::new();
        if self.desktop {
            targets.push(NotifyTarget {
                name: "desktop".to_owned(),
                channel: Channel::Desktop,
            });
        }
        if let Some(ntfy) = self.ntfy {
            let at = ntfy.span().start;
            if ntfy.get_ref().format.is_some() {
                return Err(invalid(at, "notify.ntfy has no format"));
            }
            targets.push(NotifyTarget {
                name: "ntfy".to_owned(),
                channel: Channel::Ntfy(ntfy.into_inner().checked("notify.ntfy", (at, invalid))?),
            });
        }
        for (name, webhook) in self.webhook {
            let at = webhook.span().start;
            let name = target_name("webhook", &name, (at, invalid))?;
            let format = webhook.get_ref().format.unwrap_or_default();
            let place = format!("notify.{name}");
            let web = webhook.into_inner().checked(&place, (at, invalid))?;
            let channel = Channel::Webhook(web, format);
            targets.push(NotifyTarget { name, channel });
        }
        if let Some(heartbeat) = self.heartbeat {
            let at = heartbeat.span().start;
            let heartbeat = heartbeat.into_inner();
            let what = "notify.heartbeat.every is a span from a minute to a year, such as \"5m\"";
            let every = heartbeat.every.as_ref();
            let every = every.map(|every| span(every, BEAT_MIN, what, invalid));
            let rhythm = Rhythm {
                every_ms: every.transpose()?.unwrap_or(BEAT),
                has_fail: heartbeat.fail,
            };
            let web = WrittenWeb {
                url: heartbeat.url,
                url_file: heartbeat.url_file,
                token_file: None,
                format: None,
            };
            targets.push(NotifyTarget {
                name: "heartbeat".to_owned(),
                channel: Channel::Heartbeat(
                    web.checked("notify.heartbeat", (at, invalid))?,
                    rhythm,
                ),
            });
        }
        for (name, command) in self.command {
            let at = command.span().start;
            let name = target_name("command", &name, (at, invalid))?;
            let run = command.into_inner().run;
            if run.first().is_none_or(|program| program.trim().is_empty()) {
                let what = format!("notify.{name}.run is a list: a program, then its arguments");
                return Err(invalid(at, &what));
            }
            let channel = Channel::Command(run);
            targets.push(NotifyTarget { name, channel });
        }
        Ok(NotifySettings {
            repeat_ms: repeat,
            ahead_ms: within_a_year(self.ahead, "ahead", default.ahead_ms)?,
            overdue_ms: within_a_year(self.overdue, "overdue", default.overdue_ms)?,
            targets,
        })
    }
}

fn span(
    written: &toml::Spanned<String>,
    least: i64,
    what: &str,
    invalid: &impl Fn(usize, &str) -> OwnSettingsError,
) -> Result<i64, OwnSettingsError> {
    Span::parse(written.get_ref())
        .map(Span::ms)
        .filter(|span| (least..=SPAN_MAX).contains(span))
        .ok_or_else(|| invalid(written.span().start, what))
}

/// Reads a target's name: short and plain, since messages and the record contain it.
fn target_name<F: Fn(usize, &str) -> OwnSettingsError>(
    kind: &str,
    name: &str,
    (at, invalid): (usize, &F),
) -> Result<String, OwnSettingsError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > NAME_MAX || !name.chars().all(is_plain) {
        let what = format!("[notify.{kind}.<name>] has a name of letters, digits, - and _");
        return Err(invalid(at, &what));
    }
    Ok(format!("{kind}.{name}"))
}

impl WrittenWeb {
    fn checked<F: Fn(usize, &str) -> OwnSettingsError>(
        self,
        place: &str,
        (at, invalid): (usize, &F),
    ) -> Result<Web, OwnSettingsError> {
        let absolute = |name: &str, file: toml::Spanned<PathBuf>| {
            if file.get_ref().is_absolute() {
                return Ok(file.into_inner());
            }
            let what = format!("{place}.{name} is an absolute path");
            Err(invalid(file.span().start, &what))
        };
        let address = match (self.url, self.url_file) {
            (Some(url), None) => {
                let wrong = |why| invalid(url.span().start, &format!("{place}.url {why}"));
                Address::Plain(checked_address(url.get_ref()).map_err(wrong)?)
            }
            (None, Some(file)) => Address::InFile(absolute("url_file", file)?),
            _ => {
                let what = format!("{place} has either url or url_file");
                return Err(invalid(at, &what));
            }
        };
        let token_file = self.token_file.map(|file| absolute("token_file", file));
        Ok(Web {
            address,
            token_file: token_file.transpose()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::own::OwnSettings;
    use crate::domain::cases;

    fn parse(text: &str) -> Result<NotifySettings, String> {
        let own = OwnSettings::parse(Path::new("/s/clawkeep.toml"), text);
        let own = own.map_err(|error| error.to_string())?;
        match own.notify_fault {
            Some(fault) => Err(fault.error().to_string()),
            None => Ok(own.notify),
        }
    }

    #[test]
    fn what_is_set_is_read() {
        assert_eq!(parse(""), Ok(NotifySettings::default()));
        let absolute = |path| [if cfg!(windows) { "C:" } else { "" }, path].concat();
        let (token, url) = (absolute("/run/t"), absolute("/run/u"));
        let set = parse(&format!(
            "[notify]\nrepeat = \"never\"\nahead = \"30d\"\noverdue = \"3d\"\ndesktop = true\n\
             [notify.ntfy]\nurl = \"https://ntfy.example/topic\"\ntoken_file = \"{token}\"\n\
             [notify.webhook.team]\nurl_file = \"{url}\"\nformat = \"slack\"\n\
             [notify.command.mail]\nrun = [\"/usr/bin/x\", \"-a\"]\n",
        ))
        .unwrap();
        assert_eq!(
            (set.repeat_ms, set.ahead_ms, set.overdue_ms),
            (None, 30 * DAY, 3 * DAY)
        );
        let names: Vec<&str> = set
            .targets
            .iter()
            .map(|target| target.name.as_str())
            .collect();
        assert_eq!(names, ["desktop", "ntfy", "webhook.team", "command.mail"]);
        let Channel::Webhook(web, BodyFormat::Slack) = &set.targets[2].channel else {
            panic!("{set:?}");
        };
        assert_eq!(web.address, Address::InFile(url.into()));
        assert!(!format!("{set:?}").contains("topic"), "{set:?}");
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_line_and_without_the_address() {
        for (text, words) in cases(
            r#"
            \nnotify.repeat = "1s" => line 2: notify.repeat is a span
            notify.ahead = "2y" => notify.ahead is a span
            notify.overdue = "500d" => notify.overdue is a span
            [notify]\nmail = 1 => line 2: unknown field `mail`
            notify.desktop = "yes" => line 1
            [notify.ntfy]\ntoken_file = "/t" => notify.ntfy has either url or url_file
            [notify.ntfy]\nurl = "https://a/b"\nurl_file = "/u" => has either
            [notify.ntfy]\nurl = "https://a/b"\nformat = "slack" => line 1: notify.ntfy has no format
            [notify.ntfy]\n\nurl = "http://a.example/SECRET" => line 3: notify.ntfy.url is not https
            [notify.heartbeat]\nevery = "5m" => notify.heartbeat has either url or url_file
            [notify.heartbeat]\nurl = "https://a/b"\nevery = "5s" => line 3: notify.heartbeat.every
            [notify.webhook.x]\nurl = "SECRET" => notify.webhook.x.url is no address
            [notify.webhook.x]\nurl = "https://u:SECRET@a.example/" => has a user name
            [notify.webhook.x]\nurl_file = "u" => notify.webhook.x.url_file is an absolute path
            [notify.webhook."a b"]\nurl = "https://a/b" => has a name of letters
            [notify.command.x]\nrun = [] => notify.command.x.run is a list
            [notify.command.x]\nrun = "a" => line 2
            "#,
        ) {
            let error = parse(&text.replace("\\n", "\n")).unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
            assert!(!error.contains("SECRET"), "{text}: {error}");
        }
    }

    #[test]
    fn an_argument_is_a_target() {
        for (text, name) in [
            ("desktop", "desktop"),
            ("ntfy:https://ntfy.example/t", "ntfy:ntfy.example"),
            ("webhook:http://127.0.0.1:9/x", "webhook:127.0.0.1"),
            ("heartbeat:https://hc.example/x", "heartbeat:hc.example"),
            ("command:/usr/bin/tell", "command:tell"),
        ] {
            assert_eq!(NotifyTarget::from_argument(text).unwrap().name, name);
        }
        for (text, why) in [
            ("", "this is desktop"),
            ("mail", "this is desktop"),
            ("mail:me", "this is desktop"),
            ("command:", "this is desktop"),
            ("ntfy:http://n.example/SECRET", "the address is not https"),
            ("webhook:SECRET", "the address is no address"),
        ] {
            let error = NotifyTarget::from_argument(text).unwrap_err();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("SECRET"), "{text}: {error}");
        }
    }
}
