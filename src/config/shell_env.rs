//! The variables that a login shell adds to this process's: `env.shellEnv` of the configuration.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use super::env::Env;
use crate::platform::{RunFault, output_within};

/// The variables that are taken, and none of which may be set already: with one that is, the
/// reference does not ask. Source: the reference's list, 2026.1.24.
const EXPECTED: [&str; 16] = [
    "OPENAI_API_KEY",
    "ANTHROPIC_API_KEY",
    "ANTHROPIC_OAUTH_TOKEN",
    "GEMINI_API_KEY",
    "ZAI_API_KEY",
    "OPENROUTER_API_KEY",
    "AI_GATEWAY_API_KEY",
    "MINIMAX_API_KEY",
    "SYNTHETIC_API_KEY",
    "ELEVENLABS_API_KEY",
    "TELEGRAM_BOT_TOKEN",
    "DISCORD_BOT_TOKEN",
    "SLACK_BOT_TOKEN",
    "SLACK_APP_TOKEN",
    "CLAWDBOT_GATEWAY_TOKEN",
    "CLAWDBOT_GATEWAY_PASSWORD",
];
/// How long the shell may take. Source: the reference.
const TIMEOUT: Duration = Duration::from_secs(15);
/// Bytes of an environment that are taken. Source: the reference.
const ANSWER_MAX: usize = 2 << 20;

/// Whether, and how long, a login shell is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShellEnv {
    /// Whether a login shell is asked: `env.shellEnv.enabled`.
    pub enabled: bool,
    /// How long the shell may take: `env.shellEnv.timeoutMs`.
    pub timeout: Option<Duration>,
}

/// Why a login shell gave no variables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ShellFault {
    /// The shell gave no usable answer.
    #[error("{0}")]
    Run(#[from] RunFault),
    /// The shell exited with a failure.
    #[error("it failed")]
    Exit,
}

impl ShellEnv {
    /// Whether it is asked, by the configuration or by `CLAWDBOT_LOAD_SHELL_ENV`.
    #[must_use]
    pub fn is_on(&self, env: &Env) -> bool {
        self.enabled || env.is_on("CLAWDBOT_LOAD_SHELL_ENV")
    }

    /// The variables that a login shell adds to what is `known`: none where it is not asked, or
    /// need not be. Which shell, and in which environment, is the `process`'s own to say: a file
    /// that names a shell would run one.
    ///
    /// # Errors
    /// When the shell gives no answer.
    pub fn load(
        &self,
        process: &Env,
        known: &Env,
    ) -> Result<BTreeMap<&'static str, String>, ShellFault> {
        let none = BTreeMap::new();
        if !self.is_on(process) || EXPECTED.iter().any(|name| known.trimmed(name).is_some()) {
            return Ok(none);
        }
        let configured = process
            .trimmed("CLAWDBOT_SHELL_ENV_TIMEOUT_MS")
            .and_then(|ms| ms.parse().ok());
        let time = self.timeout.or(configured.map(Duration::from_millis));
        let mut command = Command::new(process.path("SHELL").unwrap_or(Path::new("/bin/sh")));
        command
            .args(["-l", "-c", "env -0"])
            .env_clear()
            .envs(process.pairs());
        let answer = output_within(command, ANSWER_MAX, time.unwrap_or(TIMEOUT))?;
        if !answer.status.success() {
            return Err(ShellFault::Exit);
        }
        Ok(expected_in(&answer.bytes))
    }
}

/// Whether a variable is one of those that a login shell is asked for.
pub(super) fn is_expected(name: &str) -> bool {
    EXPECTED.contains(&name)
}

/// The expected variables in what `env -0` writes; not empty ones, and the last of a repeated one.
pub(crate) fn expected_in(bytes: &[u8]) -> BTreeMap<&'static str, String> {
    let pairs = bytes.split(|byte| *byte == 0).filter_map(|pair| {
        let (name, value) = std::str::from_utf8(pair).ok()?.split_once('=')?;
        let name = EXPECTED.iter().find(|expected| **expected == name)?;
        (!value.trim().is_empty()).then(|| (*name, value.to_owned()))
    });
    pairs.collect()
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    const ON: ShellEnv = ShellEnv {
        enabled: true,
        timeout: Some(Duration::from_secs(10)),
    };

    fn env(pairs: &[(&str, &str)]) -> Env {
        Env::from_pairs(
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
        )
    }

    fn load(
        asked: ShellEnv,
        pairs: &[(&str, &str)],
    ) -> Result<BTreeMap<&'static str, String>, ShellFault> {
        let env = env(pairs);
        asked.load(&env, &env)
    }

    /// A home whose login shell sets what `profile` says.
    fn home(profile: &str) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        std::fs::write(home.path().join(".profile"), profile).unwrap();
        home
    }

    #[test]
    fn a_login_shell_adds_what_is_expected_and_nothing_else() {
        let home =
            home("export OPENAI_API_KEY=sk-a=b HOME_MADE=x ZAI_API_KEY=' '\necho noise >&2\n");
        let dir = home.path().to_str().unwrap();
        let pairs = [("HOME", dir), ("PATH", "/usr/bin:/bin")];
        let added = load(ON, &pairs).unwrap();
        assert_eq!(added, [("OPENAI_API_KEY", "sk-a=b".to_owned())].into());
        let off = ShellEnv::default();
        assert!(load(off, &pairs).unwrap().is_empty());
        let switch = ("CLAWDBOT_LOAD_SHELL_ENV", "1");
        let by_variable = load(off, &[&pairs[..], &[switch]].concat());
        assert_eq!(by_variable.unwrap().len(), 1);
        let known = ("SLACK_APP_TOKEN", "x");
        let not_asked = load(ON, &[&pairs[..], &[known]].concat());
        assert!(not_asked.unwrap().is_empty(), "one of them is set already");
    }

    #[test]
    fn a_shell_that_fails_or_hangs_is_reported() {
        let home = home("exit 3\n");
        let dir = home.path().to_str().unwrap();
        let pairs = [("HOME", dir), ("PATH", "/usr/bin:/bin")];
        assert_eq!(load(ON, &pairs), Err(ShellFault::Exit));
        std::fs::write(home.path().join(".profile"), "exec sleep 600\n").unwrap();
        let short = ShellEnv {
            timeout: Some(Duration::from_millis(200)),
            ..ON
        };
        let found = load(short, &pairs);
        assert_eq!(found, Err(ShellFault::Run(RunFault::TimedOut)));
        let none = [&pairs[..], &[("SHELL", "/no/such/shell")]].concat();
        let fault = RunFault::NotRun(std::io::ErrorKind::NotFound);
        assert_eq!(load(ON, &none), Err(ShellFault::Run(fault)));
    }

    /// A file can say which keys there are, never which program is run, or in which environment.
    #[test]
    fn the_shell_and_its_environment_are_the_processs() {
        let home = home("echo \"${BASH_ENV}${ENV}${LD_PRELOAD}\" > \"$HOME/ran\"\n");
        let dir = home.path().to_str().unwrap();
        let process = env(&[("HOME", dir), ("PATH", "/usr/bin:/bin")]);
        let known = env(&[
            ("HOME", "/nowhere"),
            ("SHELL", "/nowhere/shell"),
            ("BASH_ENV", "/nowhere/env"),
            ("ENV", "/nowhere/env"),
            ("CLAWDBOT_SHELL_ENV_TIMEOUT_MS", "1"),
        ]);
        assert_eq!(ON.load(&process, &known), Ok(BTreeMap::new()));
        let ran = std::fs::read_to_string(home.path().join("ran")).unwrap();
        assert_eq!(ran, "\n");
    }
}
