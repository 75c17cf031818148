//! Claude Code's Keychain item, read the way Claude Code wrote it: by `/usr/bin/security`.
//!
//! Why the tool and not the Keychain API: the item was created through this tool, so the item's
//! access list already admits it and it answers without a dialog. An API call from our own
//! program would put a password prompt before the user, and again after each update of ours.
//!
//! Compiled on every Unix, so that its tests run where there is no macOS.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use data_encoding::HEXLOWER_PERMISSIVE;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::login_keychain::{KeychainFault, KeychainReading, LoginKeychain};
use crate::platform::{Answer, RunFault, output_within};

/// Where macOS has it. Absolute: a `security` found through `PATH` could be anybody's.
const SECURITY: &str = "/usr/bin/security";
/// How long a dialog may stand there before the item counts as unavailable.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of answer that are taken; Claude Code's item has a few thousand, hexadecimal twice that.
const ANSWER_MAX: usize = 512 * 1024;
/// `security` exits with the low byte of the OSStatus. errSecItemNotFound, -25300.
const EXIT_NOT_FOUND: i32 = 44;
/// errSecInteractionNotAllowed, -25308: locked, and no session that could show a dialog.
const EXIT_INTERACTION_NOT_ALLOWED: i32 = 36;
/// errSecAuthFailed, -25293.
const EXIT_AUTH_FAILED: i32 = 51;
/// errSecUserCanceled, -128.
const EXIT_USER_CANCELED: i32 = 128;

/// The user database's answer, as Node's `os.userInfo()` gives it.
const ID: &str = "/usr/bin/id";
/// How long a directory service may take to name the user.
const ID_DEADLINE: Duration = Duration::from_secs(5);
/// The longest name of a user that is taken, in bytes.
const NAME_MAX: usize = 1024;
/// The account where the user's name is none that Claude Code takes.
const FALLBACK_ACCOUNT: &str = "claude-code-user";

/// Returns the account of Claude Code's item: `USER`, else the name in the user database, where it
/// consists of ASCII letters, digits, `.`, `_` and `-`; else `claude-code-user`, as for a name that
/// is an e-mail address. Source: Claude Code 2.1.223 and 2.1.268 by stablyai/orca#12862 and
/// thedotmack/claude-mem#4037; not tried.
#[must_use]
pub fn keychain_account(user: Option<&str>) -> String {
    let name = match user.filter(|user| !user.is_empty()) {
        Some(user) => user.to_owned(),
        None => user_name().unwrap_or_default(),
    };
    let is_taken = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match !name.is_empty() && name.bytes().all(is_taken) {
        true => name,
        false => FALLBACK_ACCOUNT.to_owned(),
    }
}

/// The name of the user in the user database. launchd and cron may start programs without `USER`.
fn user_name() -> Option<String> {
    let mut command = Command::new(ID);
    command.arg("-un");
    let answer = output_within(command, NAME_MAX, ID_DEADLINE).ok()?;
    let name = String::from_utf8(answer.bytes.to_vec()).ok()?;
    (answer.status.success()).then(|| name.trim_end_matches('\n').to_owned())
}

/// A program that takes the arguments of `security find-generic-password`.
#[derive(Clone, Debug)]
pub struct SecurityTool {
    program: PathBuf,
    deadline: Duration,
}

impl Default for SecurityTool {
    fn default() -> Self {
        Self::new(SECURITY)
    }
}

impl SecurityTool {
    /// Asks `program`, an absolute path, with a deadline of 10 s.
    #[must_use]
    pub fn new(program: impl Into<PathBuf>) -> Self {
        Self {
            program: program.into(),
            deadline: DEADLINE,
        }
    }

    /// Sets another deadline for the answer.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    fn ask(&self, service: &str, account: &str) -> Result<Answer, KeychainFault> {
        let mut command = Command::new(&self.program);
        command.args(["find-generic-password", "-s", service, "-a", account, "-w"]);
        // What it says on stderr is what the exit status says, in the user's language.
        output_within(command, ANSWER_MAX, self.deadline).map_err(fault_of)
    }
}

impl LoginKeychain for SecurityTool {
    fn read(&self, service: &str, account: &str) -> KeychainReading {
        let answer = match self.ask(service, account) {
            Ok(answer) => answer,
            Err(fault) => return KeychainReading::Unavailable(fault),
        };
        let fault = match answer.status.code() {
            Some(0) => match secret(&answer.bytes) {
                Ok(secret) => return KeychainReading::Item(secret),
                Err(fault) => fault,
            },
            Some(EXIT_NOT_FOUND) => return KeychainReading::ConfirmedAbsent,
            Some(EXIT_INTERACTION_NOT_ALLOWED) => KeychainFault::Locked,
            Some(EXIT_AUTH_FAILED | EXIT_USER_CANCELED) => KeychainFault::Refused,
            _ => KeychainFault::Failed,
        };
        KeychainReading::Unavailable(fault)
    }
}

/// The item's text, without the line end that the tool adds. A secret with any byte that is not
/// printable ASCII (a line break suffices) comes in hexadecimal; JSON never has that form.
fn secret(bytes: &[u8]) -> Result<SecretString, KeychainFault> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let decoded = HEXLOWER_PERMISSIVE.decode(bytes).ok().map(Zeroizing::new);
    let bytes = match &decoded {
        Some(decoded) => decoded.as_slice(),
        None => bytes,
    };
    let text = std::str::from_utf8(bytes).map_err(|_| KeychainFault::NotText)?;
    Ok(SecretString::from(text))
}

fn fault_of(fault: RunFault) -> KeychainFault {
    match fault {
        RunFault::NotRun(kind) => KeychainFault::NotRun(kind),
        RunFault::TimedOut => KeychainFault::TimedOut,
        RunFault::TooLarge => KeychainFault::TooLarge,
        _ => KeychainFault::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::path::Path;
    use std::process::Stdio;
    use std::thread;

    /// A stand-in for `security`. A child writes it: a descriptor of ours, open for writing while
    /// another test forks, would make its execution fail with "text file busy".
    fn stand_in(dir: &Path, body: &str) -> SecurityTool {
        let program = dir.join("security");
        let status = Command::new("/bin/sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$1" > "$2" && chmod 700 "$2""#,
                "sh",
                body,
            ])
            .arg(&program)
            .status()
            .unwrap();
        assert!(status.success());
        SecurityTool::new(program)
    }

    #[test]
    fn the_account_is_claude_code_s() {
        let own = Command::new(ID).arg("-un").output().unwrap();
        let own = String::from_utf8(own.stdout).unwrap();
        for (user, account) in [
            (Some("tester"), "tester"),
            (Some("a.b-c_9"), "a.b-c_9"),
            (Some("first.last@example.com"), FALLBACK_ACCOUNT),
            (Some("j\u{fc}rgen"), FALLBACK_ACCOUNT),
            (Some(""), own.trim()),
            (None, own.trim()),
        ] {
            assert_eq!(keychain_account(user), account, "{user:?}");
        }
    }

    fn asked(body: &str) -> KeychainReading {
        let dir = tempfile::tempdir().unwrap();
        stand_in(dir.path(), body).read("Claude Code-credentials", "tester")
    }

    fn fault(body: &str) -> KeychainFault {
        match asked(body) {
            KeychainReading::Unavailable(fault) => fault,
            other => panic!("{other:?}"),
        }
    }

    fn item(body: &str) -> String {
        match asked(body) {
            KeychainReading::Item(secret) => secret.expose_secret().to_owned(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn it_is_asked_as_the_manual_says() {
        assert_eq!(
            item(r#"printf '%s|' "$@""#),
            "find-generic-password|-s|Claude Code-credentials|-a|tester|-w|"
        );
        assert_eq!(item("read line || echo no-input"), "no-input");
    }

    #[test]
    fn the_secret_comes_plain_or_in_hexadecimal() {
        assert_eq!(item(r#"echo '{"a": 1}'; echo x >&2"#), r#"{"a": 1}"#);
        assert_eq!(item("echo 7b0a7D"), "{\n}");
        assert_eq!(item("echo 7bc3a47d"), "{\u{e4}}");
        assert_eq!(item(":"), "");
    }

    #[test]
    fn exit_statuses_are_answers() {
        assert!(matches!(asked("exit 44"), KeychainReading::ConfirmedAbsent));
        assert_eq!(fault("exit 36"), KeychainFault::Locked);
        assert_eq!(fault("echo secret; exit 51"), KeychainFault::Refused);
        assert_eq!(fault("exit 128"), KeychainFault::Refused);
        assert_eq!(fault("exit 1"), KeychainFault::Failed);
        assert_eq!(fault("kill -9 $$"), KeychainFault::Failed);
    }

    #[test]
    fn what_is_no_login_text_is_refused() {
        assert_eq!(fault(r"printf '\377{'"), KeychainFault::NotText);
        assert_eq!(fault("echo ff"), KeychainFault::NotText);
        let got = fault("yes sk-ant | head -c 2000000; exit 0");
        assert_eq!(got, KeychainFault::TooLarge);
    }

    #[test]
    fn a_program_that_is_not_there_is_no_absent_item() {
        let dir = tempfile::tempdir().unwrap();
        let tool = SecurityTool::new(dir.path().join("none"));
        let reading = tool.read("s", "a");
        let want = KeychainFault::NotRun(std::io::ErrorKind::NotFound);
        assert!(matches!(reading, KeychainReading::Unavailable(fault) if fault == want));
    }

    fn hangs(body: &str) {
        let dir = tempfile::tempdir().unwrap();
        let tool = stand_in(dir.path(), body).with_deadline(Duration::from_secs(2));
        let reading = tool.read("s", "a");
        assert!(
            matches!(
                reading,
                KeychainReading::Unavailable(KeychainFault::TimedOut)
            ),
            "{reading:?}"
        );
        let pid = std::fs::read_to_string(dir.path().join("security.pid")).unwrap();
        let mut probe = Command::new("kill");
        let alive = probe
            .args(["-0", pid.trim()])
            .stderr(Stdio::null())
            .status();
        assert!(!alive.unwrap().success(), "it still runs");
    }

    #[test]
    fn one_that_hangs_is_ended_at_the_deadline() {
        thread::scope(|scope| {
            scope.spawn(|| hangs("echo $$ > \"$0.pid\"; exec sleep 600"));
            scope.spawn(|| hangs("echo $$ > \"$0.pid\"; exec sleep 600 >&-"));
        });
    }
}
