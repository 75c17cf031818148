//! A real Secret Service on a private session bus: GNOME Keyring and dbus-daemon in a directory of
//! their own, without a display, ended by pid when the test ends.
//!
//! zbus takes the bus's address from the environment of the process, so code under test runs in a
//! child process with [`Session::environment`].

use std::fs;
use std::io::{ErrorKind, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Long enough for a loaded machine; no test waits for it unless something is broken.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

const PASSWORD: &str = "correct horse";

/// What happens to a question the keyring asks the person at the screen.
#[derive(Clone, Copy)]
pub(crate) enum Prompts {
    /// Nothing can show it, as on a server: the keyring gives up by itself.
    CannotBeShown,
    /// It stays open.
    StayOpen,
}

/// A session bus, and what is on it.
pub(crate) struct Session {
    dir: TempDir,
    bus: Child,
    keyring: Option<Child>,
}

impl Session {
    /// A bus with nothing on it.
    pub(crate) fn without_keyring(prompts: Prompts) -> Self {
        let dir = tempfile::tempdir().unwrap();
        for private in ["home", "run", "services"] {
            let path = dir.path().join(private);
            fs::create_dir(&path).unwrap();
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
            fs::set_permissions(&path, mode).unwrap();
        }
        if let Prompts::StayOpen = prompts {
            // A prompter that is started and never gets ready. It leaves its pid to be ended by.
            let service = format!(
                "[D-BUS Service]\nName=org.gnome.keyring.SystemPrompter\n\
                 Exec=/bin/sh -c \"echo $$ > {} && exec sleep 600\"\n",
                dir.path().join("prompter").display()
            );
            fs::write(dir.path().join("services/prompter.service"), service).unwrap();
        }
        // Not the system's configuration: its service files would start another keyring, or a
        // prompter.
        let config = format!(
            "<busconfig><type>session</type><listen>unix:path={dir}/run/bus</listen>\
             <auth>EXTERNAL</auth>\
             <servicedir>{dir}/services</servicedir><policy context=\"default\">\
             <allow send_destination=\"*\"/><allow receive_sender=\"*\"/><allow \
             own=\"*\"/></policy>\
             <limit name=\"service_start_timeout\">600000</limit></busconfig>",
            dir = dir.path().display()
        );
        fs::write(dir.path().join("bus.conf"), config).unwrap();
        let mut command = Command::new("dbus-daemon");
        command.args(["--nofork", "--nopidfile", "--nosyslog", "--config-file"]);
        command.arg(dir.path().join("bus.conf"));
        let bus = start(&mut command, dir.path(), "bus");
        let session = Self {
            dir,
            bus,
            keyring: None,
        };
        let socket = session.dir.path().join("run/bus");
        session.wait("the bus to listen", || UnixStream::connect(&socket).is_ok());
        session
    }

    /// A keyring whose login collection is open and the default.
    pub(crate) fn unlocked() -> Self {
        let mut session = Self::without_keyring(Prompts::CannotBeShown);
        session.start_keyring(Some(PASSWORD));
        session
    }

    /// As [`Session::unlocked`], where a prompt never completes.
    pub(crate) fn unlocked_with_prompts_that_stay_open() -> Self {
        let mut session = Self::without_keyring(Prompts::StayOpen);
        session.start_keyring(Some(PASSWORD));
        session
    }

    /// A keyring just started for a user who never had one: no collection to write to.
    pub(crate) fn without_collection() -> Self {
        let mut session = Self::without_keyring(Prompts::CannotBeShown);
        session.start_keyring(None);
        session
    }

    /// Starts the keyring again.
    pub(crate) fn restart(&mut self) {
        self.restart_with(PASSWORD);
    }

    /// Starts the keyring again with another password than its login collection has.
    pub(crate) fn lock(&mut self) {
        self.restart_with("wrong");
    }

    /// The keyring keeps its name on the bus and answers nothing.
    pub(crate) fn stop_answering(&self) {
        self.signal(Signal::STOP);
    }

    /// The reverse of [`Session::stop_answering`]. Calls made meanwhile are answered.
    pub(crate) fn answer_again(&self) {
        self.signal(Signal::CONT);
    }

    /// Makes the collection that lives in memory the default one.
    pub(crate) fn make_default_volatile(&self) {
        self.call(
            "org.freedesktop.Secret.Service.SetAlias",
            &[
                "string:default",
                "objpath:/org/freedesktop/secrets/collection/session",
            ],
        );
    }

    /// Another program stores an item with the attributes of ours and one more, so beside it.
    pub(crate) fn store_rival(&self, account: &str) {
        let mut command = self.command("secret-tool");
        command.args(["store", "--label=rival", "service", "clawkeep"]);
        command.args(["username", account, "rival", "yes"]);
        let mut child = start_with_input(&mut command, b"other bytes");
        assert!(child.wait().unwrap().success(), "secret-tool store failed");
    }

    /// The address of the bus.
    pub(crate) fn address(&self) -> String {
        format!("unix:path={}/run/bus", self.dir.path().display())
    }

    /// All of the environment that a child process in this session has, beside `PATH`.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let under = |name: &str| self.dir.path().join(name).display().to_string();
        vec![
            ("DBUS_SESSION_BUS_ADDRESS", self.address()),
            ("XDG_RUNTIME_DIR", under("run")),
            ("HOME", under("home")),
        ]
    }

    /// A directory for the test's own files; goes with the session.
    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// A program in this session.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .envs(self.environment());
        command
    }

    fn restart_with(&mut self, password: &str) {
        self.end_keyring();
        self.wait("the old keyring to leave the bus", || !self.is_owned());
        self.start_keyring(Some(password));
    }

    fn start_keyring(&mut self, password: Option<&str>) {
        let mut command = self.command("gnome-keyring-daemon");
        command.args(["--foreground", "--components=secrets"]);
        if password.is_some() {
            command.arg("--unlock");
        }
        command
            .stdout(self.log("keyring"))
            .stderr(self.log("keyring"));
        let input = password.unwrap_or_default().as_bytes();
        self.keyring = Some(start_with_input(&mut command, input));
        self.wait("org.freedesktop.secrets to have an owner", || {
            self.is_owned()
        });
        if password.is_some() {
            // `--unlock` makes the login collection; the name can be on the bus before that.
            self.wait("a default collection", || {
                let path = self.call(
                    "org.freedesktop.Secret.Service.ReadAlias",
                    &["string:default"],
                );
                path.contains("/collection/")
            });
        }
    }

    fn is_owned(&self) -> bool {
        self.send(
            "org.freedesktop.DBus",
            "/",
            "org.freedesktop.DBus.NameHasOwner",
            &["string:org.freedesktop.secrets"],
        )
        .contains("boolean true")
    }

    fn call(&self, method: &str, arguments: &[&str]) -> String {
        self.send(
            "org.freedesktop.secrets",
            "/org/freedesktop/secrets",
            method,
            arguments,
        )
    }

    fn send(&self, destination: &str, object: &str, method: &str, arguments: &[&str]) -> String {
        let mut command = self.command("dbus-send");
        command.args(["--session", "--print-reply", "--reply-timeout=10000"]);
        command
            .arg(format!("--dest={destination}"))
            .arg(object)
            .arg(method)
            .args(arguments);
        let output = command
            .output()
            .unwrap_or_else(|error| missing("dbus-send", &error));
        assert!(
            output.status.success(),
            "{method}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn signal(&self, signal: Signal) {
        let keyring = self.keyring.as_ref().unwrap();
        kill_process(Pid::from_child(keyring), signal).unwrap();
    }

    fn wait(&self, what: &str, holds: impl Fn() -> bool) {
        wait_until(
            &format!("{what}; see the logs in {}", self.dir.path().display()),
            holds,
        );
    }

    fn log(&self, name: &str) -> Stdio {
        log_file(self.dir.path(), name)
    }

    fn end_keyring(&mut self) {
        if let Some(mut keyring) = self.keyring.take() {
            end(&mut keyring);
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end_keyring();
        end(&mut self.bus);
        let prompter = fs::read_to_string(self.dir.path().join("prompter"));
        let prompter = prompter
            .ok()
            .and_then(|pid| Pid::from_raw(pid.trim().parse().ok()?));
        if let Some(pid) = prompter {
            // It may have ended by itself.
            let _ = kill_process(pid, Signal::KILL);
        }
    }
}

/// Polls `holds` until it does; fails the test after [`PATIENCE`].
pub(crate) fn wait_until(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited {PATIENCE:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn start(command: &mut Command, dir: &Path, name: &str) -> Child {
    command
        .stdin(Stdio::null())
        .stdout(log_file(dir, name))
        .stderr(log_file(dir, name));
    let program = command.get_program().to_owned();
    command
        .spawn()
        .unwrap_or_else(|error| missing(&program.to_string_lossy(), &error))
}

/// Starts a program, writes its input and closes it.
fn start_with_input(command: &mut Command, input: &[u8]) -> Child {
    let program = command.get_program().to_owned();
    let spawned = command.stdin(Stdio::piped()).spawn();
    let mut child = spawned.unwrap_or_else(|error| missing(&program.to_string_lossy(), &error));
    child.stdin.take().unwrap().write_all(input).unwrap();
    child
}

fn log_file(dir: &Path, name: &str) -> Stdio {
    let path: PathBuf = dir.join(name).with_extension("log");
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
        .into()
}

/// These tests never pass without their programs: a keychain that was not tried is not one that
/// works.
fn missing(program: &str, error: &std::io::Error) -> ! {
    assert_eq!(error.kind(), ErrorKind::NotFound, "{program}: {error}");
    panic!(
        "`{program}` is not installed; keychain tests need the packages gnome-keyring, dbus and \
         libsecret-tools"
    );
}

fn end(child: &mut Child) {
    // Either fails only where the process is gone, which is what is wanted.
    let _ = child.kill();
    let _ = child.wait();
}
