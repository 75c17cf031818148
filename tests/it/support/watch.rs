//! `clawkeep watch`, running beside a test as a service manager runs it.

use std::fs::{self, File};
#[cfg(unix)]
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, ExitStatus};
#[cfg(unix)]
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

#[cfg(unix)]
use rustix::process::{Pid, Signal, kill_process};

use super::home::{Home, Run};

/// How long anything may take on a machine that does a hundred other things.
const PATIENCE: Duration = Duration::from_secs(45);

/// A watcher; killed when dropped.
pub(crate) struct Watch {
    child: Child,
    #[cfg(unix)]
    told: Receiver<String>,
    files: [std::path::PathBuf; 2],
}

impl Watch {
    /// One that has said that it is ready.
    pub(crate) fn start(home: &Home, args: &[&str]) -> Self {
        let watch = Self::start_with(home, args, |_| {});
        #[cfg(unix)]
        watch.wait_for("READY=1");
        #[cfg(not(unix))]
        watch.says("watching: ");
        watch
    }

    /// One whose command was changed by `change`. What it says is kept; what it tells its manager
    /// is for [`Watch::wait_for`].
    pub(crate) fn start_with(
        home: &Home,
        args: &[&str],
        change: impl FnOnce(&mut Command),
    ) -> Self {
        let files = ["watch.out", "watch.err"].map(|name| home.at(name));
        let mut command = home.command(&[&["watch"], args].concat());
        command
            .stdout(File::create(&files[0]).unwrap())
            .stderr(File::create(&files[1]).unwrap());
        #[cfg(unix)]
        let told = manage(&mut command, home);
        change(&mut command);
        Self {
            child: command.spawn().unwrap(),
            #[cfg(unix)]
            told,
            files,
        }
    }

    /// Waits until the manager has been told something that begins like this, and returns it.
    #[cfg(unix)]
    pub(crate) fn wait_for(&self, beginning: &str) -> String {
        loop {
            let told = self.told.recv_timeout(PATIENCE).unwrap_or_else(|error| {
                panic!("{beginning}: {error}; {}", self.said());
            });
            if told.lines().any(|line| line.starts_with(beginning)) {
                return told;
            }
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    #[cfg(unix)]
    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), signal).unwrap();
    }

    /// What it has said so far.
    pub(crate) fn said(&self) -> String {
        self.files
            .iter()
            .map(|path| fs::read_to_string(path).unwrap())
            .collect()
    }

    /// Waits until something is so that it does.
    #[track_caller]
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let end = Instant::now() + PATIENCE;
        while !is_so() {
            let said = self.said();
            assert!(
                Instant::now() < end,
                "{what}: not within {PATIENCE:?}\n{said}"
            );
            thread::sleep(Duration::from_millis(2)); // between two looks
        }
    }

    /// Waits until it has said something with these words.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) {
        self.until(words, || self.said().contains(words));
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Asks it to end, and waits until it has.
    #[cfg(unix)]
    pub(crate) fn end(self) -> Run {
        self.signal(Signal::TERM);
        self.ended()
    }

    /// Ends it, as the Task Scheduler does: nothing asks a program without a console. That counts
    /// as the end that a signal brings.
    #[cfg(not(unix))]
    pub(crate) fn end(mut self) -> Run {
        self.kill();
        let run = self.ended();
        assert_eq!(run.status, 1, "it had ended by itself: {run:?}"); // what `Child::kill` sets
        Run { status: 0, ..run }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
    }

    /// Waits until it has ended.
    pub(crate) fn ended(mut self) -> Run {
        let status: ExitStatus = self.child.wait().unwrap();
        let [stdout, stderr] = self
            .files
            .each_ref()
            .map(|path| fs::read_to_string(path).unwrap());
        Run {
            status: status.code().unwrap_or(-1),
            stdout,
            stderr,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill(); // it may have ended
        let _ = self.child.wait();
    }
}

/// Makes the test the service manager of a watcher, and returns what that tells it.
#[cfg(unix)]
fn manage(command: &mut Command, home: &Home) -> Receiver<String> {
    let socket_path = home.at("manager.sock");
    let _ = fs::remove_file(&socket_path); // of one before
    let socket = UnixDatagram::bind(&socket_path).unwrap();
    let (tell, told) = channel();
    // Always read, as a manager does: a socket that is full would hold the watcher up. The thread
    // ends with the test's process.
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(read) = socket.recv(&mut buffer) {
            let _ = tell.send(String::from_utf8_lossy(&buffer[..read]).into_owned());
        }
    });
    command.env("NOTIFY_SOCKET", &socket_path);
    told
}
