//! A terminal of the test's own, and somebody at it who waits for a question before answering.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcgetpgrp, tcsetwinsize};

use crate::support::home::Home;

/// Long enough for a loaded machine; no test waits for it unless something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program on a terminal.
pub(crate) struct Terminal {
    master: File,
    child: Child,
    shown: String,
    output: mpsc::Receiver<Vec<u8>>,
    /// How far what is shown has been answered.
    answered: usize,
}

impl Terminal {
    /// Starts a program with all three of its streams on a new terminal of 80 columns.
    pub(crate) fn start(mut command: Command) -> Self {
        let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&master).unwrap();
        unlockpt(&master).unwrap();
        let name = ptsname(&master, Vec::new()).unwrap();
        let open = || {
            let mut options = File::options();
            options.read(true).write(true);
            options.open(name.to_str().unwrap()).unwrap()
        };
        let size = Winsize {
            ws_row: 24,
            ws_col: 80,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        tcsetwinsize(&master, size).unwrap();
        command.env("TERM", "xterm");
        command.stdin(open()).stdout(open()).stderr(open());
        let child = command.spawn().unwrap();
        drop(command); // and with it our ends of the terminal
        let master = File::from(master);
        let mut reader = master.try_clone().unwrap();
        let (sender, output) = mpsc::channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            loop {
                match reader.read(&mut buffer) {
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Ok(read @ 1..) if sender.send(buffer[..read].to_vec()).is_ok() => {}
                    _ => return, // the other end is closed: Linux says EIO
                }
            }
        });
        Self {
            master,
            child,
            shown: String::new(),
            output,
            answered: 0,
        }
    }

    /// Starts a shell that controls jobs, on a terminal that is its own. It finds `clawkeep` on its
    /// PATH and begins each line with `ready>`.
    pub(crate) fn shell(home: &Home, shell: &str) -> Self {
        let clawkeep = home.command(&[]);
        let dir = Path::new(clawkeep.get_program()).parent().unwrap();
        let mut command = Command::new("setsid");
        command.arg("--ctty").arg(shell);
        if shell == "bash" {
            command.args(["--norc", "--noprofile", "--noediting"]);
        }
        command
            .arg("-i")
            .env_clear()
            .env("HOME", home.path())
            .env("PATH", format!("{}:/usr/bin:/bin", dir.display()))
            .env("PS1", "ready> ")
            .current_dir(home.path());
        let mut terminal = Self::start(command);
        terminal.wait_for("ready> ");
        terminal
    }

    /// Types a line at the shell's prompt.
    #[track_caller]
    pub(crate) fn line(&mut self, line: &str) {
        self.answer("ready> ", &format!("{line}\r"));
    }

    /// Types keys.
    pub(crate) fn keys(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a question that hides what is typed.
    #[track_caller]
    pub(crate) fn wait_for_hidden(&mut self, question: &str) {
        self.wait_for(question);
        self.answered = self.shown.len();
        self.wait_for_echo(false);
    }

    /// The process group in the foreground: the program that the shell waits for.
    pub(crate) fn foreground(&self) -> Pid {
        tcgetpgrp(&self.master).unwrap()
    }

    /// Waits until a process group is in the foreground.
    #[track_caller]
    pub(crate) fn wait_for_foreground(&self, is_it: impl Fn(Pid) -> bool) {
        let until = Instant::now() + PATIENCE;
        while !is_it(self.foreground()) {
            assert!(Instant::now() < until, "{:?} stays", self.foreground());
            thread::yield_now();
        }
    }

    /// Waits until `text` is shown after what was last answered.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.shown[self.answered..].contains(text) {
            let left = until.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("no {text:?} in {:?}", &self.shown[self.answered..]),
            }
        }
    }

    /// What was shown so far.
    pub(crate) fn shown(&self) -> &str {
        &self.shown
    }

    /// Waits for a question and types an answer.
    #[track_caller]
    pub(crate) fn answer(&mut self, question: &str, keys: &str) {
        self.wait_for(question);
        self.answered = self.shown.len();
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for a question that hides what is typed, and types an answer once it does.
    #[track_caller]
    pub(crate) fn answer_hidden(&mut self, question: &str, secret: &str) {
        self.wait_for(question);
        self.wait_for_echo(false);
        self.answer(question, &format!("{secret}\r"));
    }

    /// Waits until what is typed shows again, with the terminal's own lines.
    #[track_caller]
    pub(crate) fn wait_until_shown_again(&self) {
        self.wait_for_echo(true);
    }

    #[track_caller]
    fn wait_for_echo(&self, wanted: bool) {
        let until = Instant::now() + PATIENCE;
        let modes = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        loop {
            let now = tcgetattr(&self.master).unwrap().local_modes & modes;
            if now == if wanted { modes } else { LocalModes::empty() } {
                return;
            }
            assert!(
                Instant::now() < until,
                "echo wanted: {wanted}; modes {now:?}"
            );
            thread::yield_now();
        }
    }

    /// Waits for the end: the exit status, and everything that was shown.
    #[track_caller]
    pub(crate) fn end(mut self) -> (i32, String) {
        loop {
            match self.output.recv_timeout(PATIENCE) {
                Ok(bytes) => self.shown.push_str(&String::from_utf8_lossy(&bytes)),
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                // It waits for an answer that nobody gives: better a test that fails than one that
                // stays.
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    self.child.kill().unwrap();
                    break;
                }
            }
        }
        let status = self.child.wait().unwrap();
        (status.code().unwrap_or(-1), self.shown)
    }
}
