//! Running another program for its answer: bounded in time and size, and ended if it is not done by
//! then. What it started itself is its own.

use std::io::{self, Read};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::key_variables::{CREDENTIALS_VARIABLE, withhold_key_variables};
use super::threads::{PROCESS_LIMITS, start_thread};

use crate::domain::debug_as;

/// How often a child that has closed its output is asked whether it has ended.
const EXIT_POLL: Duration = Duration::from_millis(2);
/// Source: Microsoft's documentation, Process Creation Flags.
#[cfg(windows)]
const CREATE_NO_WINDOW: u32 = 0x0800_0000;

/// Why a program gave no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RunFault {
    /// It could not be started.
    #[error("{}", not_run(*.0))]
    NotRun(io::ErrorKind),
    /// It was not done in time; it was ended.
    #[error("it did not answer in time")]
    TimedOut,
    /// It said more than was to be taken.
    #[error("its output was too long")]
    TooLarge,
    /// The system failed in another way.
    #[error("its answer could not be read")]
    Failed,
}

/// Why a program could not be started, for who named it.
fn not_run(kind: io::ErrorKind) -> String {
    match kind {
        io::ErrorKind::NotFound => "there is no such program".to_owned(),
        io::ErrorKind::PermissionDenied => "it may not be run".to_owned(),
        io::ErrorKind::WouldBlock => format!("it cannot be run: {PROCESS_LIMITS}"),
        other => format!("it cannot be run: {other}"),
    }
}

/// The output and the exit status of a program.
pub struct Answer {
    /// The exit status of the program.
    pub status: ExitStatus,
    /// What it wrote on stdout. Wiped when dropped.
    pub bytes: Zeroizing<Vec<u8>>,
}

debug_as!(Answer, "Answer({}, {} bytes)", it => it.status, it.bytes.len());

/// See [`withhold_key_variables`]. A directory of credentials that the caller does not hand on by
/// itself is handed on to nobody: the system's tools need none.
fn withhold(command: &mut Command) {
    let handed = command
        .get_envs()
        .find(|(name, _)| *name == CREDENTIALS_VARIABLE);
    match handed.and_then(|(_, value)| value.map(PathBuf::from)) {
        Some(dir) => withhold_key_variables(command, Some(&dir)),
        None => {
            withhold_key_variables(command, None);
            command.env_remove(CREDENTIALS_VARIABLE);
        }
    }
}

/// Prepares a program that has no part of the terminal.
fn prepare(command: &mut Command) {
    withhold(command);
    #[cfg(windows)]
    without_console(command);
}

/// Gives a program a console of its own that nobody sees: else Windows opens a window where
/// clawkeep runs without a console, and Ctrl-C would reach the program.
#[cfg(windows)]
pub fn without_console(command: &mut Command) {
    std::os::windows::process::CommandExt::creation_flags(command, CREATE_NO_WINDOW);
}

/// Runs a program to its end, without stdin and with stderr thrown away, for at most `time`; its
/// answer has fewer than `limit` bytes.
///
/// # Errors
/// See [`RunFault`]. How the program itself ended is in the answer.
pub fn output_within(
    mut command: Command,
    limit: usize,
    time: Duration,
) -> Result<Answer, RunFault> {
    let deadline = Instant::now() + time;
    prepare(&mut command);
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| RunFault::NotRun(error.kind()))?;
    let mut running = Running(child);
    let output = running.0.stdout.take().ok_or(RunFault::Failed)?;
    let bytes = answer_of(output, limit, deadline)?;
    let status = exit_of(&mut running, &|| Instant::now() >= deadline)?;
    Ok(Answer { status, bytes })
}

/// As [`output_within`], with what the program says on stderr as a part of its answer.
pub fn all_output_within(
    mut command: Command,
    limit: usize,
    time: Duration,
) -> Result<Answer, RunFault> {
    let deadline = Instant::now() + time;
    prepare(&mut command);
    let piped = io::pipe().and_then(|(output, end)| Ok((output, end.try_clone()?, end)));
    let (output, one, other) = piped.map_err(|error| RunFault::NotRun(error.kind()))?;
    let child = command
        .stdin(Stdio::null())
        .stdout(one)
        .stderr(other)
        .spawn()
        .map_err(|error| RunFault::NotRun(error.kind()))?;
    drop(command); // with its ends of the pipe, which would else never end
    let mut running = Running(child);
    let bytes = answer_of(output, limit, deadline)?;
    let status = exit_of(&mut running, &|| Instant::now() >= deadline)?;
    Ok(Answer { status, bytes })
}

/// Runs a program to its end with `input` on its stdin, and with stdout and stderr thrown away, for
/// at most `time`. It leads a group of its own, which is ended as a whole if it is not done by
/// then, or once `is_cancelled`.
///
/// # Errors
/// See [`RunFault`]. How the program itself ended is in the answer.
pub fn feed_within(
    mut command: Command,
    input: Vec<u8>,
    time: Duration,
    is_cancelled: &dyn Fn() -> bool,
) -> Result<ExitStatus, RunFault> {
    let deadline = Instant::now() + time;
    prepare(&mut command);
    #[cfg(unix)]
    std::os::unix::process::CommandExt::process_group(&mut command, 0);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| RunFault::NotRun(error.kind()))?;
    let stdin = child.stdin.take();
    let mut group = Group(Running(child));
    if let Some(mut stdin) = stdin {
        let feed = move || {
            // A program that wants to know less closes it: no fault of its own.
            let _ = io::Write::write_all(&mut stdin, &input);
        };
        // On a thread of its own, since a pipe has no deadline; it ends with the group.
        start_thread("feed", feed).map_err(|error| RunFault::NotRun(error.kind()))?;
    }
    exit_of(&mut group.0, &|| {
        is_cancelled() || Instant::now() >= deadline
    })
}

/// A child and what it started; none of it outlives this value.
struct Group(Running);

impl Drop for Group {
    fn drop(&mut self) {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, Signal, kill_process_group};
            let id = i32::try_from(self.0.0.id()).ok().and_then(Pid::from_raw);
            if let (Some(id), Ok(None)) = (id, self.0.0.try_wait()) {
                // Not waited for yet, so the number is still its own.
                let _ = kill_process_group(id, Signal::KILL);
            }
        }
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

/// Reads to the end or to the bound. One buffer of full size: one that grew would leave copies of
/// what may be secret.
fn read_from(mut output: impl Read, limit: usize) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut buffer = Zeroizing::new(vec![0; limit]);
    let mut len = 0;
    while let Some(free) = buffer.get_mut(len..).filter(|free| !free.is_empty()) {
        match output.read(free) {
            Ok(0) => break,
            Ok(read) => len += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    buffer.truncate(len);
    Ok(buffer)
}

/// The child's output, to its end. Read on a thread of its own, since a pipe has no deadline; when
/// it passes, the child is killed, the pipe ends, and the thread with it.
fn answer_of(
    output: impl Read + Send + 'static,
    limit: usize,
    deadline: Instant,
) -> Result<Zeroizing<Vec<u8>>, RunFault> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let read = move || {
        // Nobody listens any more when the deadline has passed; the answer is wiped then.
        let _ = sender.send(read_from(output, limit));
    };
    start_thread("answer", read).map_err(|error| RunFault::NotRun(error.kind()))?;
    let left = deadline.saturating_duration_since(Instant::now());
    match receiver.recv_timeout(left) {
        Ok(Ok(bytes)) if bytes.len() == limit => Err(RunFault::TooLarge),
        Ok(answer) => answer.map_err(|_| RunFault::Failed),
        Err(mpsc::RecvTimeoutError::Timeout) => Err(RunFault::TimedOut),
        Err(mpsc::RecvTimeoutError::Disconnected) => Err(RunFault::Failed),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(20);

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn what_is_fed_arrives_whole_and_need_not_be_read() {
        let input = vec![b'x'; 1 << 20]; // more than a pipe holds
        let script = shell("test $(wc -c) = 1048576");
        let counted = feed_within(script, input.clone(), PATIENCE, &|| false);
        assert!(counted.unwrap().success());
        let ignored = feed_within(shell("exit 3"), input, PATIENCE, &|| false);
        assert_eq!(ignored.unwrap().code(), Some(3));
        let absent = feed_within(
            Command::new("/dev/null/none"),
            Vec::new(),
            PATIENCE,
            &|| false,
        );
        assert_eq!(absent, Err(RunFault::NotRun(io::ErrorKind::NotADirectory)));
    }

    #[test]
    fn a_program_that_is_not_done_in_time_ends_with_what_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        let made = Command::new("mkfifo").arg(&pipe).status().unwrap();
        assert!(made.success());
        // The grandchild keeps the pipe open as long as it lives.
        let script = format!("sleep 600 > '{}' & wait", pipe.display());
        for (time, is_cancelled) in [(Duration::from_millis(300), false), (PATIENCE, true)] {
            let pipe = pipe.clone();
            let reader = thread::spawn(move || std::fs::read(pipe).unwrap());
            // Cancelled once it has begun: the reader is there then.
            let began = Instant::now();
            let cancelled = || is_cancelled && began.elapsed() > Duration::from_millis(300);
            let ended = feed_within(shell(&script), Vec::new(), time, &cancelled);
            assert_eq!(ended, Err(RunFault::TimedOut));
            assert_eq!(reader.join().unwrap(), b"");
        }
    }
}

fn exit_of(running: &mut Running, is_over: &dyn Fn() -> bool) -> Result<ExitStatus, RunFault> {
    loop {
        match running.0.try_wait() {
            Ok(Some(status)) => return Ok(status),
            Ok(None) if is_over() => return Err(RunFault::TimedOut),
            Ok(None) => thread::sleep(EXIT_POLL),
            Err(_) => return Err(RunFault::Failed),
        }
    }
}
