//! Writes launchd's agent as text, and runs launchctl. Sources: launchd.plist(5), launchctl(1).
//!
//! A property list of strings, numbers and truths takes no crate: what it needs is that texts are
//! escaped, which `maud` does.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use clawkeep::internal::platform::{Answer, RunFault, all_output_within, output_within};
use maud::html;

use super::job::{EVERY_MINUTES, Job, MARK, Pace};

/// What the agent is called, and its file before `.plist`.
pub(crate) const LABEL: &str = "clawkeep.watch";

/// The timeout of launchctl.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long the agent may take to end before launchd kills it, in seconds: as long as systemd gives
/// it, since a refresh is not to be cut off. launchd's own default is 20.
const EXIT_SECONDS: u64 = 120;
/// How long an agent that was booted out may stay loaded: launchd kills it, and some time.
const UNLOADED_WITHIN: Duration = Duration::from_secs(EXIT_SECONDS + 10);
/// The interval between checks whether the agent is still loaded.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// The largest answer about one agent, in bytes.
const ANSWER_MAX: usize = 1 << 20;
/// launchctl's words in place of an exit status while an agent runs.
const NEVER_EXITED: &str = "(never exited)";
/// The program's name, or its path.
const LAUNCHCTL: &str = "launchctl";

pub(crate) fn file_name() -> String {
    format!("{LABEL}.plist")
}

/// Where the program writes its messages.
pub(crate) fn log(home: &Path) -> PathBuf {
    home.join("Library/Logs/clawkeep-watch.log")
}

pub(crate) fn objection(job: &Job) -> Option<String> {
    let mut texts = match job.texts() {
        Ok(texts) => texts,
        Err(word) => return Some(super::job::not_text("a property list", word)),
    };
    texts.push(&job.program);
    // Source: XML 1.0, Characters.
    texts
        .iter()
        .any(|text| text.contains(char::is_control))
        .then(|| {
            "a property list has no control characters, and a path that is handed on does"
                .to_owned()
        })
}

/// Which of the user's sessions the agent runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Session {
    /// That of the Mac's screen, from a login there to the logout.
    Graphical,
    /// The one that each login has, by ssh too.
    Background,
}

impl Session {
    /// The graphical session where the user has one, or where there is no launchd to ask.
    pub(crate) fn of(uid: u32) -> Self {
        match ask(&["print", &Self::Graphical.domain(uid)]) {
            Ok(answer) if !answer.status.success() => Self::Background,
            _ => Self::Graphical,
        }
    }

    fn domain(self, uid: u32) -> String {
        match self {
            Self::Graphical => format!("gui/{uid}"),
            Self::Background => format!("user/{uid}"),
        }
    }

    /// The key that lets an agent into the session: without it, launchd loads one into the
    /// graphical session alone ("134: Service cannot load in requested session").
    fn key(self) -> &'static str {
        match self {
            Self::Graphical => "",
            Self::Background => {
                "  <key>LimitLoadToSessionType</key>\n  <string>Background</string>\n"
            }
        }
    }
}

/// The agent's property list. `log` is the file for its messages.
pub(crate) fn plist(job: &Job, log: &str, session: Session) -> String {
    let program = [OsStr::new(&job.program)].into_iter();
    let words: String = (program.chain(job.words()))
        .map(|word| format!("    {}\n", string(&word.to_string_lossy())))
        .collect();
    let variables: String = job
        .variables
        .iter()
        .map(|(name, value)| {
            let key = escaped(name);
            let value = string(&value.to_string_lossy());
            format!("    <key>{key}</key>\n    {value}\n")
        })
        .collect();
    let variables = if variables.is_empty() {
        variables
    } else {
        format!("  <key>EnvironmentVariables</key>\n  <dict>\n{variables}  </dict>\n")
    };
    let pace = match job.pace {
        Pace::Always => "  <key>KeepAlive</key>\n  <dict>\n    <key>SuccessfulExit</key>\n    \
            <false/>\n  </dict>\n  <key>ThrottleInterval</key>\n  \
            <integer>30</integer>\n"
            .to_owned(),
        Pace::Timed => format!(
            "  <key>StartInterval</key>\n  <integer>{}</integer>\n",
            EVERY_MINUTES * 60
        ),
    };
    // 63 is 0077: what it makes is its user's alone.
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>
<!DOCTYPE plist PUBLIC \"-//Apple//DTD PLIST \
1.0//EN\" \"http://www.apple.com/DTDs/PropertyList-1.0.dtd\">
<!-- {MARK}, which writes it anew. -->
<plist version=\"1.0\">
<dict>
  <key>Label</key>
  <string>{LABEL}</string>
  <key>ProgramArguments</key>
  <array>
{words}  </array>
{variables}  <key>RunAtLoad</key>
  <true/>
{pace}{session}  <key>ExitTimeOut</key>
  <integer>{EXIT_SECONDS}</integer>
  <key>ProcessType</key>
  <string>Background</string>
  <key>Umask</key>
  <integer>63</integer>
  <key>StandardErrorPath</key>
  {log}
</dict>
</plist>
",
        session = session.key(),
        log = string(log)
    )
}

/// The program that an agent of ours runs: the first string of the only array.
pub(crate) fn program_of(plist: &str) -> Option<String> {
    let (_, array) = plist.split_once("<array>")?;
    let (_, first) = array.split_once("<string>")?;
    let (text, _) = first.split_once("</string>")?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    Some(text.replace("&quot;", "\"").replace("&amp;", "&"))
}

fn string(text: &str) -> String {
    format!("<string>{}</string>", escaped(text))
}

fn escaped(text: &str) -> String {
    html! { (text) }.into_string()
}

/// Loads the agent in `file`, which was written for `session`; also one that was disabled once.
pub(crate) fn load(uid: u32, session: Session, file: &str) -> Result<(), String> {
    let domain = session.domain(uid);
    run_launchctl(&["enable", &format!("{domain}/{LABEL}")])?;
    run_launchctl(&["bootstrap", &domain, file])
}

/// Unloads the agent, from wherever it is loaded, and waits until it is. That it is loaded nowhere
/// is no failure.
///
/// launchctl returns before the agent has ended, at times with "36: Operation now in progress"; to
/// load it again until then fails with "5: Input/output error".
pub(crate) fn unload(uid: u32) -> Result<(), String> {
    for domain in domains(uid) {
        if state_in(&domain).is_none() {
            continue;
        }
        let booted_out = run_launchctl(&["bootout", &format!("{domain}/{LABEL}")]);
        let deadline = Instant::now() + UNLOADED_WITHIN;
        while state_in(&domain).is_some() {
            if Instant::now() >= deadline {
                return booted_out.and_then(|()| Err(format!("{domain}/{LABEL} does not end")));
            }
            thread::sleep(ASK_EVERY);
        }
    }
    Ok(())
}

/// launchd's state of the agent, if it is loaded.
pub(crate) fn state(uid: u32) -> Option<State> {
    domains(uid).iter().find_map(|domain| state_in(domain))
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) pid: Option<u32>,
    pub(crate) last_exit: Option<String>,
}

fn domains(uid: u32) -> [String; 2] {
    [Session::Graphical, Session::Background].map(|session| session.domain(uid))
}

fn state_in(domain: &str) -> Option<State> {
    let answer = ask(&["print", &format!("{domain}/{LABEL}")]).ok()?;
    if !answer.status.success() {
        return None;
    }
    let text = String::from_utf8_lossy(&answer.bytes);
    let field = |name: &str| {
        let mut lines = text.lines().map(str::trim);
        lines.find_map(|line| Some(line.strip_prefix(name)?.strip_prefix(" = ")?.to_owned()))
    };
    Some(State {
        pid: field("pid").and_then(|pid| pid.parse().ok()),
        last_exit: field("last exit code").filter(|code| code != NEVER_EXITED),
    })
}

fn ask(words: &[&str]) -> Result<Answer, RunFault> {
    let mut command = Command::new(LAUNCHCTL);
    command.args(words);
    output_within(command, ANSWER_MAX, PATIENCE)
}

fn run_launchctl(words: &[&str]) -> Result<(), String> {
    let mut command = Command::new(LAUNCHCTL);
    command.args(words);
    match all_output_within(command, ANSWER_MAX, PATIENCE) {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(answer) => Err(format!(
            "launchctl {}: {}",
            words.join(" "),
            String::from_utf8_lossy(&answer.bytes).trim()
        )),
        Err(fault) => Err(format!("launchctl: {fault}")),
    }
}
