//! OpenClaw's own command line, run for what it says.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clawkeep::internal::config::openclaw;
use clawkeep::internal::config::openclaw_keys::Audit;
use clawkeep::internal::platform::{RunFault, output_within};
use serde_json::Value;

use crate::commands::stand_in::next_on_path;
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::one_line;

/// How OpenClaw's command is called.
pub(crate) const COMMAND: &str = "openclaw";
/// How long one of its commands may take: its start alone takes seconds.
const TIME_MAX: Duration = Duration::from_secs(120);
/// The longest answer, in bytes.
const ANSWER_MAX: usize = 16 << 20;

/// An installed OpenClaw.
#[derive(Debug)]
pub(crate) struct OpenClaw {
    program: PathBuf,
    /// Its state directory.
    pub(super) dir: PathBuf,
}

impl OpenClaw {
    /// Finds it on the PATH, with its state directory.
    pub(crate) fn find(context: &Context) -> Result<Self, Failure> {
        let refused = |what: &str, next: &str| Failure::Refused {
            what: what.to_owned(),
            next: next.to_owned(),
        };
        let program = next_on_path(COMMAND).ok_or_else(|| {
            refused(
                "there is no openclaw on the PATH",
                "Install OpenClaw, or put it on the PATH.",
            )
        })?;
        let dir = openclaw::find(&context.layout, &context.env).ok_or_else(|| {
            refused(
                "OpenClaw has no state directory yet",
                "Set it up first: openclaw onboard",
            )
        })?;
        Ok(Self { program, dir })
    }

    /// Its configuration.
    pub(super) fn config_file(&self, context: &Context) -> PathBuf {
        let named = context.env.path("OPENCLAW_CONFIG_PATH");
        named.map_or_else(
            || self.dir.join("openclaw.json"),
            |path| context.layout.user_path(path),
        )
    }

    /// What it finds of plain keys. `with_keys` lets it ask clawkeep for the keys.
    pub(super) fn audit(&self, with_keys: bool) -> Result<Audit, Failure> {
        let mut words = vec!["secrets", "audit", "--json"];
        words.extend(with_keys.then_some("--allow-exec"));
        let (answer, _) = self.run(&words)?;
        Audit::read(&answer).ok_or_else(|| {
            not_understood(
                "secrets audit",
                "its answer is of a version that is not known",
            )
        })
    }

    /// Lets it make the changes of a plan.
    pub(super) fn apply(&self, plan: &Path) -> Result<(), Failure> {
        let plan = plan.to_string_lossy();
        let words = [
            "secrets",
            "apply",
            "--allow-exec",
            "--json",
            "--from",
            &plan,
        ];
        self.changed("secrets apply", &words)
    }

    /// Lets a running gateway ask for its keys again.
    pub(crate) fn reload(&self) -> Result<(), Failure> {
        self.changed("secrets reload", &["secrets", "reload", "--json"])
    }

    fn changed(&self, what: &str, words: &[&str]) -> Result<(), Failure> {
        let (answer, is_success) = self.run(words)?;
        let message = answer.pointer("/error/message").and_then(Value::as_str);
        match (is_success, message) {
            (true, None) => Ok(()),
            (_, message) => Err(not_understood(what, message.unwrap_or("it failed"))),
        }
    }

    fn run(&self, words: &[&str]) -> Result<(Value, bool), Failure> {
        let what = words[..2].join(" ");
        let mut command = Command::new(&self.program);
        command.args(words).env("NO_COLOR", "1");
        let fault = |fault: RunFault| not_understood(&what, &fault.to_string());
        let answer = output_within(command, ANSWER_MAX, TIME_MAX).map_err(fault)?;
        // A warning may stand before the document.
        let begin = answer.bytes.iter().position(|byte| *byte == b'{');
        let document = begin.and_then(|begin| serde_json::from_slice(&answer.bytes[begin..]).ok());
        let document = document.ok_or_else(|| {
            not_understood(&what, &format!("it gave no JSON ({})", answer.status))
        })?;
        Ok((document, answer.status.success()))
    }
}

fn not_understood(what: &str, why: &str) -> Failure {
    Failure::Refused {
        what: format!("openclaw {what} did not do it: {}", one_line(why)),
        next: match () {
            () if why.contains("legacy credential migration") => {
                "Have OpenClaw migrate them: openclaw doctor --fix".to_owned()
            }
            () if why.contains("config is invalid") => {
                "Run it to see the fault: openclaw config validate".to_owned()
            }
            () => format!("Run it to see why: openclaw {what} --help"),
        },
    }
}
