//! One message to one target. Failures name no address: a webhook's is itself a secret.

use std::ffi::{OsStr, OsString};
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use data_encoding::BASE64;
use serde_json::json;
use url::Url;
use zeroize::Zeroizing;

use super::message::{Message, Severity};
use super::text::{for_discord, for_slack};
use crate::config::{Address, BodyFormat, Channel, NotifyTarget, Web, checked_address};
use crate::domain::{UnixMs, escaped, from_outside};
use crate::oauth::{Post, post_message};
use crate::platform::keychain::SessionBus;
use crate::platform::{
    Access, RunFault, Urgency, check_trusted, feed_within, is_program_path, program_command,
    read_trusted, show,
};

/// How long a delivery may take.
pub const DELIVERY_MAX: Duration = Duration::from_secs(30);
/// The largest file with an address or a token, in bytes.
const FILE_MAX: u64 = 16 << 10;
/// What Discord takes in one message, in characters.
const DISCORD_MAX: usize = 2_000;
/// How much of a text is for Discord, in bytes: each character may become two.
const DISCORD_TEXT_MAX: usize = 1_500;
/// What an ntfy server takes as a message, in bytes, is 4096: more would become an attachment.
/// Source: its documentation, Limitations.
const NTFY_MAX: usize = 4_000;
/// Why a message did not arrive that was not waited for any longer.
pub(super) const NO_ANSWER: &str = "no answer in time";

/// Why a message did not arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Undelivered {
    /// In a few words, without an address.
    pub why: String,
    /// For how long the target wants to be left alone, where it says.
    pub retry_after: Option<Duration>,
    /// It is about this one message: others may arrive.
    pub is_of_message: bool,
}

impl From<String> for Undelivered {
    fn from(why: String) -> Self {
        Self {
            why,
            retry_after: None,
            is_of_message: false,
        }
    }
}

/// What delivering needs of the process.
#[derive(Clone, Debug)]
pub(super) struct Surroundings {
    pub(super) host: String,
    pub(super) bus: SessionBus,
    pub(super) env: Vec<(OsString, OsString)>,
}

pub(super) fn deliver(
    target: &NotifyTarget,
    message: &Message,
    (around, is_cancelled): (&Surroundings, &dyn Fn() -> bool),
    now: UnixMs,
) -> Result<(), Undelivered> {
    match &target.channel {
        Channel::Desktop => {
            let urgency = match message.severity {
                Severity::Info => Urgency::Low,
                Severity::Warning => Urgency::Normal,
                Severity::Critical => Urgency::Critical,
            };
            show(
                around.bus,
                &message.title,
                &message.text(&around.host),
                urgency,
            )
            .map_err(|fault| fault.to_string().into())
        }
        Channel::Ntfy(web) => to_ntfy(web, message, around, now),
        Channel::Webhook(web, format) => {
            let body = webhook_body(*format, message, &around.host);
            let headers = vec![header("content-type", "application/json")];
            send(web, headers, body, now)
        }
        // A test: what a heartbeat says otherwise is said by `beat`.
        Channel::Heartbeat(web, _) => beat(web, &[], now),
        Channel::Command(run) => run_command(run, message, (around, is_cancelled)),
    }
}

fn header(name: &'static str, value: &str) -> (&'static str, Zeroizing<String>) {
    (name, Zeroizing::new(value.to_owned()))
}

/// Source: ntfy's documentation, Publishing.
fn to_ntfy(
    web: &Web,
    message: &Message,
    around: &Surroundings,
    now: UnixMs,
) -> Result<(), Undelivered> {
    let (priority, tags) = match message.severity {
        Severity::Info => ("default", "white_check_mark"),
        Severity::Warning => ("high", "warning"),
        Severity::Critical => ("urgent", "rotating_light"),
    };
    let headers = vec![
        header("content-type", "text/plain; charset=utf-8"),
        header("title", &header_text(&message.title)),
        header("priority", priority),
        header("tags", tags),
    ];
    let text = message.text_within(&around.host, NTFY_MAX);
    send(web, headers, text.into_bytes(), now)
}

/// Text in a header: as it is where that is allowed, else as an encoded word (RFC 2047).
fn header_text(text: &str) -> String {
    if text.chars().all(|c| c.is_ascii_graphic() || c == ' ') {
        return text.to_owned();
    }
    format!("=?UTF-8?B?{}?=", BASE64.encode(text.as_bytes()))
}

fn webhook_body(format: BodyFormat, message: &Message, host: &str) -> Vec<u8> {
    let text = || format!("{}\n{}", message.title, message.text(host));
    let body = match format {
        BodyFormat::Json => message.json(host),
        BodyFormat::Slack => json!({"text": for_slack(&text())}),
        BodyFormat::Discord => {
            let text = message.text_within(host, DISCORD_TEXT_MAX);
            let content = for_discord(&format!("{}\n{text}", message.title));
            let content: String = content.chars().take(DISCORD_MAX).collect();
            json!({"content": content, "allowed_mentions": {"parse": []}})
        }
    };
    escaped(&body.to_string()).into_owned().into_bytes()
}

/// Requests the address of a heartbeat; its `/fail`, with the problems, if there are any.
/// Source: Healthchecks' documentation, Pinging API: Signaling failures.
pub(super) fn beat(web: &Web, problems: &[String], now: UnixMs) -> Result<(), Undelivered> {
    let mut url = address_of(web)?;
    if !problems.is_empty()
        && let Ok(mut path) = url.path_segments_mut()
    {
        path.pop_if_empty().push("fail");
    }
    let headers = vec![header("content-type", "text/plain; charset=utf-8")];
    let body = problems.join("\n").into_bytes();
    post(Post { url, headers, body }, now)
}

fn address_of(web: &Web) -> Result<Url, Undelivered> {
    match &web.address {
        Address::Plain(url) => Ok(url.clone()),
        Address::InFile(path) => address_in(path),
    }
}

fn send(
    web: &Web,
    mut headers: Vec<(&'static str, Zeroizing<String>)>,
    body: Vec<u8>,
    now: UnixMs,
) -> Result<(), Undelivered> {
    let url = address_of(web)?;
    if let Some(path) = &web.token_file {
        let token = line_of(path, "token_file")?;
        headers.push((
            "authorization",
            Zeroizing::new(format!("Bearer {}", token.as_str())),
        ));
    }
    post(Post { url, headers, body }, now)
}

fn post(post: Post, now: UnixMs) -> Result<(), Undelivered> {
    let posted = post_message(post, DELIVERY_MAX, now)?;
    let status = posted.status;
    match status {
        200..=299 => Ok(()),
        _ => Err(Undelivered {
            why: match status {
                300..=399 => format!("HTTP {status}: redirects are not followed"),
                _ => format!("HTTP {status}"),
            },
            retry_after: posted.retry_after,
            // What it says is wrong with what it was sent.
            is_of_message: matches!(status, 400 | 413 | 422),
        }),
    }
}

fn address_in(path: &Path) -> Result<Url, Undelivered> {
    let line = line_of(path, "url_file")?;
    checked_address(&line).map_err(|why| format!("the address in its url_file {why}").into())
}

/// The line of a file. It may be a link, as mounted secrets are; only its owner may have access.
fn line_of(path: &Path, setting: &str) -> Result<Zeroizing<String>, Undelivered> {
    let failed = |why: String| Undelivered::from(format!("its {setting} cannot be used: {why}"));
    let contents =
        read_trusted(path, Access::Secret, FILE_MAX).map_err(|error| failed(error.to_string()))?;
    let contents = contents.ok_or_else(|| failed("it is not there".to_owned()))?;
    let text = String::from_utf8_lossy(&contents.bytes);
    let line = Zeroizing::new(text.trim().to_owned());
    if line.is_empty() {
        return Err(failed("it is empty".to_owned()));
    }
    Ok(line)
}

fn run_command(
    run: &[String],
    message: &Message,
    (around, is_cancelled): (&Surroundings, &dyn Fn() -> bool),
) -> Result<(), Undelivered> {
    let (program, arguments) = run
        .split_first()
        .ok_or_else(|| "there is no program".to_owned())?;
    let variable = |name: &str| {
        let mut all = around.env.iter();
        let (_, value) = all.find(|(known, _)| known.eq_ignore_ascii_case(name))?;
        Some(value.as_os_str())
    };
    let mut command =
        program_command(OsStr::new(program), variable).map_err(|error| match cfg!(windows) {
            // It names the files that were searched for.
            true => format!("its command is not run: {error}"),
            false => RunFault::NotRun(error.kind()).to_string(),
        })?;
    // A program that is searched for in PATH is the user's choice.
    if is_program_path(OsStr::new(program)) {
        check_trusted(Path::new(command.get_program()), Access::Read)
            .map_err(|error| format!("its command is not run: {error}"))?;
    }
    command
        .args(arguments)
        .env_clear()
        .envs(around.env.iter().map(|(name, value)| (name, value)))
        .envs(variables(message, &around.host));
    let input = format!("{}\n", escaped(&message.json(&around.host).to_string()));
    let of_message = |why: String| {
        Err(Undelivered {
            is_of_message: true,
            ..Undelivered::from(why)
        })
    };
    match feed_within(command, input.into_bytes(), DELIVERY_MAX, is_cancelled) {
        Ok(status) if status.success() => Ok(()),
        // The program may be able to deliver another message.
        Ok(status) => of_message(from_outside(&status.to_string())),
        Err(fault @ RunFault::NotRun(ErrorKind::ArgumentListTooLong)) => {
            of_message(fault.to_string())
        }
        Err(RunFault::TimedOut) if is_cancelled() => Err(NO_ANSWER.to_owned().into()),
        Err(RunFault::TimedOut) => {
            Err(format!("it did not finish within {} s", DELIVERY_MAX.as_secs()).into())
        }
        Err(fault) => Err(fault.to_string().into()),
    }
}

/// The environment variables of a program that delivers a message; it has the same on stdin.
fn variables(message: &Message, host: &str) -> Vec<(&'static str, String)> {
    let profiles: Vec<String> = message
        .named_credentials()
        .map(|(agent, profile)| format!("{agent}/{profile}"))
        .collect();
    let mut variables = vec![
        ("CLAWKEEP_ALERT_TITLE", message.title.clone()),
        ("CLAWKEEP_ALERT_TEXT", message.text(host)),
        (
            "CLAWKEEP_ALERT_SEVERITY",
            message.severity.as_str().to_owned(),
        ),
        ("CLAWKEEP_ALERT_NEWS", message.reason.as_str().to_owned()),
        ("CLAWKEEP_ALERT_STATE", message.state.clone()),
        ("CLAWKEEP_ALERT_PROFILES", profiles.join(" ")),
        ("CLAWKEEP_ALERT_AT", message.at.rfc3339()),
        ("CLAWKEEP_ALERT_HOST", host.to_owned()),
    ];
    for (name, value) in [
        ("CLAWKEEP_ALERT_PROVIDER", message.provider.clone()),
        (
            "CLAWKEEP_ALERT_EXPIRES",
            message.expires.map(UnixMs::rfc3339),
        ),
        ("CLAWKEEP_ALERT_REMEDY", message.remedy.clone()),
    ] {
        variables.extend(value.map(|value| (name, value)));
    }
    variables
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_fits_into_a_header() {
        assert_eq!(header_text("a (b) expires"), "a (b) expires");
        assert_eq!(header_text("ä"), "=?UTF-8?B?w6Q=?=");
        assert_eq!(header_text("a\nb"), "=?UTF-8?B?YQpi?=");
    }

    #[test]
    fn a_file_that_others_may_write_is_no_place_for_an_address() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("url");
        let why = || address_in(&path).map(|_| ()).unwrap_err().why;
        assert!(why().contains("it is not there"));
        drop(crate::platform::create_private_file(&path).unwrap());
        std::fs::write(&path, "\n").unwrap();
        assert!(why().contains("it is empty"));
        std::fs::write(&path, "https://SECRET:x@a.example/\n").unwrap();
        assert!(why().contains("user name") && !why().contains("SECRET"));
        std::fs::write(&path, "https://a.example/SECRET\n").unwrap();
        assert_eq!(address_in(&path).unwrap().path(), "/SECRET");
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
            assert!(
                why().starts_with("its url_file cannot be used"),
                "{}",
                why()
            );
        }
    }
}
