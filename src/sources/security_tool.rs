//! Claude Code's Keychain item, read the way Claude Code wrote it: by `/usr/bin/security`.
//!
//! Why the tool and not the Keychain API: the item was created through this tool, so the item's
//! access list already admits it and it answers without a dialog. An API call from our own
//! program would put a password prompt before the user, and again after each update of ours.
//!
//! Compiled on every Unix, so that its tests run where there is no macOS.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER_PERMISSIVE;
use secrecy::SecretString;
use zeroize::Zeroizing;

use super::{KeychainFault, KeychainReading, LoginKeychain};

/// Where macOS has it. Absolute: a `security` found through `PATH` could be anybody's.
const SECURITY: &str = "/usr/bin/security";
/// How long a dialog may stand there before the item counts as unavailable.
const DEADLINE: Duration = Duration::from_secs(10);
/// Bytes of answer that are taken; Claude Code's item has a few thousand, hexadecimal twice that.
const ANSWER_MAX: usize = 512 * 1024;
/// How often a child that has closed its output is asked whether it has ended.
const EXIT_POLL: Duration = Duration::from_millis(2);

/// `security` exits with the low byte of the OSStatus. errSecItemNotFound, -25300.
const EXIT_NOT_FOUND: i32 = 44;
/// errSecInteractionNotAllowed, -25308: locked, and no session that could show a dialog.
const EXIT_INTERACTION_NOT_ALLOWED: i32 = 36;
/// errSecAuthFailed, -25293.
const EXIT_AUTH_FAILED: i32 = 51;
/// errSecUserCanceled, -128.
const EXIT_USER_CANCELED: i32 = 128;

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

    /// Asks with another deadline.
    #[must_use]
    pub fn with_deadline(self, deadline: Duration) -> Self {
        Self { deadline, ..self }
    }

    fn ask(&self, service: &str, account: &str) -> Result<(ExitStatus, Answer), KeychainFault> {
        let deadline = Instant::now() + self.deadline;
        let child = Command::new(&self.program)
            .args(["find-generic-password", "-s", service, "-a", account, "-w"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            // Says what the exit status says, in the user's language.
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| KeychainFault::NotRun(error.kind()))?;
        let mut running = Running(child);
        let answer = answer_of(&mut running, deadline)?;
        Ok((exit_of(&mut running, deadline)?, answer))
    }
}

impl LoginKeychain for SecurityTool {
    fn read(&self, service: &str, account: &str) -> KeychainReading {
        let (status, answer) = match self.ask(service, account) {
            Ok(asked) => asked,
            Err(fault) => return KeychainReading::Unavailable(fault),
        };
        let fault = match status.code() {
            Some(0) => match answer.secret() {
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

/// A child that does not outlive this value, whichever way it goes.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Both do nothing when the child has been waited for; neither can be acted upon otherwise.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// What the child wrote. Wiped when dropped.
struct Answer {
    buffer: Zeroizing<Vec<u8>>,
    len: usize,
}

impl Answer {
    /// Reads to the end or to the bound. One buffer of full size: one that grew would leave copies.
    fn read_from(mut output: impl Read) -> std::io::Result<Self> {
        let mut buffer = Zeroizing::new(vec![0; ANSWER_MAX]);
        let mut len = 0;
        while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
            match output.read(free) {
                Ok(0) => break,
                Ok(read) => len += read,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(Self { buffer, len })
    }

    /// The item's text, without the line end that the tool adds. A secret with any byte that is
    /// not printable ASCII (a line break suffices) comes in hexadecimal; JSON never looks like that.
    fn secret(&self) -> Result<SecretString, KeychainFault> {
        if self.len == ANSWER_MAX {
            return Err(KeychainFault::TooLarge);
        }
        let bytes = self.buffer.get(..self.len).unwrap_or_default();
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        let decoded = HEXLOWER_PERMISSIVE.decode(bytes).ok().map(Zeroizing::new);
        let bytes = match &decoded {
            Some(decoded) => decoded.as_slice(),
            None => bytes,
        };
        let text = std::str::from_utf8(bytes).map_err(|_| KeychainFault::NotText)?;
        Ok(SecretString::from(text))
    }
}

/// The child's output, to its end. Read on a thread of its own, since a pipe has no deadline; when
/// it passes, the child is killed, the pipe ends, and the thread with it.
fn answer_of(running: &mut Running, deadline: Instant) -> Result<Answer, KeychainFault> {
    let output = running.0.stdout.take().ok_or(KeychainFault::Failed)?;
    let (sender, receiver) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("keychain-answer".to_owned())
        .spawn(move || {
            // Nobody listens any more when the deadline has passed; the answer is wiped then.
            let _ = sender.send(Answer::read_from(output));
        })
        .map_err(|error| KeychainFault::NotRun(error.kind()))?;
    let left = deadline.saturating_duration_since(Instant::now());
    match receiver.recv_timeout(left) {
        Ok(answer) => answer.map_err(|_| KeychainFault::Failed),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(KeychainFault::TimedOut),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(KeychainFault::Failed),
    }
}

fn exit_of(running: &mut Running, deadline: Instant) -> Result<ExitStatus, KeychainFault> {
    loop {
        match running.0.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if Instant::now() >= deadline => return Err(KeychainFault::TimedOut),
            Ok(None) => thread::sleep(EXIT_POLL),
            Err(_) => return Err(KeychainFault::Failed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret;
    use std::path::Path;

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
        assert_eq!(
            fault("yes sk-ant | head -c 2000000; exit 0"),
            KeychainFault::TooLarge
        );
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
