//! Units of systemd, as text. Sources: systemd.service(5), systemd.timer(5), systemd.exec(5),
//! systemd.syntax(7).

use std::ffi::{OsStr, OsString};
use std::fmt::Write as _;

use super::job::{EVERY_MINUTES, Job, MARK, Pace};

/// The service, also the one that the timer starts.
pub(crate) const SERVICE: &str = "clawkeep-watch.service";
/// The unit name of the timer.
pub(crate) const TIMER: &str = "clawkeep-watch.timer";
/// The prefix of the line that names the program in the file.
const PROGRAM: &str = "# Program: ";

/// What a service without privileges can be held to everywhere. `ProtectSystem=`, `PrivateTmp=` and
/// the like need a namespace: where users may not make one, the service would not start.
const HARDENING: &str = "\
# A program that an alert runs is held to this too. To loosen it: systemctl --user edit \
clawkeep-watch.service
UMask=0077
LimitCORE=0
NoNewPrivileges=yes
RestrictSUIDSGID=yes
RestrictRealtime=yes
RestrictNamespaces=yes
LockPersonality=yes
MemoryDenyWriteExecute=yes
# Providers, the session bus with its keychain, and the list of network interfaces that looking \
up a name needs.
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallErrorNumber=EPERM
";

pub(crate) fn objection(job: &Job) -> Option<String> {
    // Source: string_is_safe() in systemd, which it asks of a program's path.
    let is_refused = |c: char| c.is_control() || "'\"\\".contains(c);
    job.program.contains(is_refused).then(|| {
        "systemd runs no program whose path has quotes, backslashes or control characters"
            .to_owned()
    })
}

pub(crate) fn units(job: &Job) -> Vec<(&'static str, String)> {
    match job.pace {
        Pace::Always => vec![(SERVICE, service(job))],
        Pace::Timed => vec![(SERVICE, pass(job)), (TIMER, timer())],
    }
}

pub(crate) fn enabled_unit(pace: Pace) -> &'static str {
    match pace {
        Pace::Always => SERVICE,
        Pace::Timed => TIMER,
    }
}

/// The program that a service of ours runs.
pub(crate) fn program_of(service: &str) -> Option<&str> {
    service.lines().find_map(|line| line.strip_prefix(PROGRAM))
}

fn service(job: &Job) -> String {
    // Started again after half a minute, and for a quarter of an hour: a keychain that is locked
    // may be opened by then. A pass that waits for a provider or another process says nothing for
    // up to two minutes; a refresh is not cut off by a stop.
    format!(
        "{head}
[Unit]
Description=clawkeep: keeps credentials in step and refreshed
StartLimitIntervalSec=1h
StartLimitBurst=30

[Service]
Type=notify
{start}# Reads the settings anew, and tries at once what had failed.
ExecReload=kill -HUP $MAINPID
WatchdogSec=5min
TimeoutStartSec=5min
TimeoutStopSec=2min
Restart=on-failure
RestartSec=30s
# A command line that is not understood will not be the next time.
RestartPreventExitStatus=64
{HARDENING}
[Install]
WantedBy=default.target
",
        head = head(job),
        start = start(job),
    )
}

fn pass(job: &Job) -> String {
    format!(
        "{head}
[Unit]
Description=clawkeep: one pass over the credentials

[Service]
Type=oneshot
{start}TimeoutStartSec=10min
{HARDENING}",
        head = head(job),
        start = start(job),
    )
}

fn timer() -> String {
    format!(
        "# {MARK}, which writes it anew.

[Unit]
Description=clawkeep: a pass over the credentials every {EVERY_MINUTES} minutes

[Timer]
OnCalendar=*:0/{EVERY_MINUTES}
AccuracySec=10s
RandomizedDelaySec=30s
Persistent=yes

[Install]
WantedBy=timers.target
"
    )
}

fn head(job: &Job) -> String {
    format!(
        "# {MARK}, which writes it anew. Changes of your own: systemctl --user edit \
         {SERVICE}\n{PROGRAM}{}\n",
        job.program
    )
}

/// The lines for the program and its environment.
fn start(job: &Job) -> String {
    // The path of the program is taken as it is, but for specifiers; after it `$` begins a
    // variable. Arguments may be any bytes; a variable that is no text goes by way of env(1).
    let is_text = |(_, value): &&(String, OsString)| value.to_str().is_some();
    let (texts, others): (Vec<_>, Vec<_>) = job.variables.iter().partition(is_text);
    let mut text = String::from("ExecStart=");
    if !others.is_empty() {
        text.push_str("/usr/bin/env ");
    }
    for (name, value) in others {
        text.push_str(&quoted(&assignment(name, value), "$$"));
        text.push(' ');
    }
    text.push_str(&quoted(job.program.as_ref(), "$"));
    for word in job.words() {
        let _ = write!(text, " {}", quoted(word, "$$")); // cannot fail
    }
    text.push('\n');
    for (name, value) in texts {
        let _ = writeln!(
            text,
            "Environment={}",
            quoted(&assignment(name, value), "$")
        );
    }
    text
}

fn assignment(name: &str, value: &OsStr) -> OsString {
    let mut text = OsString::from(name);
    text.push("=");
    text.push(value);
    text
}

/// Quotes a word for a unit: `%` begins a specifier, `\` a number. `dollar` replaces `$`.
fn quoted(word: &OsStr, dollar: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:,@=$".contains(c);
    if let Some(text) = word.to_str()
        && !text.is_empty()
        && text.chars().all(is_plain)
    {
        return text.replace('$', dollar);
    }
    let mut out = String::from("\"");
    for chunk in word.as_encoded_bytes().utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '%' => out.push_str("%%"),
                '$' => out.push_str(dollar),
                '"' | '\\' => out.extend(['\\', c]),
                c if c.is_ascii_control() => {
                    let _ = write!(out, "\\x{:02x}", u32::from(c)); // cannot fail
                }
                c => out.push(c),
            }
        }
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}"); // cannot fail
        }
    }
    out.push('"');
    out
}
