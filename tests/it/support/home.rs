//! A home directory of its own, and the program run in it with an otherwise empty environment.

use std::ffi::OsString;
use std::fs;
use std::io::Write as _;
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::damage::chmod;

/// The agent directory of `main`, relative to the home.
pub(crate) const AGENT: &str = ".clawdbot/agents/main/agent";
/// Its store.
pub(crate) const STORE: &str = ".clawdbot/agents/main/agent/auth-profiles.json";
/// Claude Code's login.
pub(crate) const CLAUDE: &str = ".claude/.credentials.json";
/// The vault.
pub(crate) const VAULT: &str = ".clawdbot/vault.db";
/// The runtime directory of a home that has one.
pub(crate) const RUNTIME: &str = "run";
/// What a program on Windows needs of its environment: sockets and libraries, temporary files,
/// other programs.
const WINDOWS_VARIABLES: [&str; 7] = [
    "SystemRoot",
    "SystemDrive",
    "ComSpec",
    "Path",
    "PATHEXT",
    "TEMP",
    "TMP",
];
/// The variable that names the home directory.
pub(crate) const HOME_VARIABLE: &str = if cfg!(windows) { "USERPROFILE" } else { "HOME" };
/// A program that does nothing that matters, and succeeds.
pub(crate) const TRUE: &str = if cfg!(windows) { "whoami" } else { "true" };
/// An hour, in milliseconds.
pub(crate) const HOUR: i64 = 3_600_000;

/// Starts a command with `input` on its stdin and its output kept.
pub(crate) fn start_with_input(mut command: Command, input: &str) -> Child {
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments reads no stdin.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child
}

/// Now, in milliseconds since the epoch.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    i64::try_from(since.as_millis()).unwrap()
}

/// A path below `root`, with `/` on every system.
pub(crate) fn relative(path: &Path, root: &Path) -> String {
    let path = path.strip_prefix(root).unwrap().to_string_lossy();
    path.replace(MAIN_SEPARATOR, "/")
}

/// A home directory, removed when dropped.
pub(crate) struct Home {
    dir: TempDir,
}

/// How a run of the program ended.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) status: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Run {
    /// The answer of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn ok(self) -> String {
        assert_eq!(self.status, 0, "{self:?}");
        self.stdout
    }

    /// The run, which must have ended with `status`.
    #[track_caller]
    pub(crate) fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, status, "{self:?}");
        self
    }

    /// The JSON document of a run that must have succeeded.
    #[track_caller]
    pub(crate) fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            // Killed by a signal: no status; no command of ours returns -1.
            status: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Home {
    /// A home with a gateway of the reference, whose state directory has no agent yet.
    pub(crate) fn new() -> Self {
        let home = Self::without_gateway();
        let agents = home.at(".clawdbot/agents");
        fs::create_dir_all(&agents).unwrap();
        for dir in [".clawdbot", ".clawdbot/agents"] {
            chmod(&home.at(dir), 0o700);
        }
        home
    }

    /// An empty home.
    pub(crate) fn without_gateway() -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { dir }
    }

    /// A home in which Claude Code is logged in with `token` for `hours`.
    pub(crate) fn with_claude(token: &str, hours: i64) -> Self {
        let home = Self::new();
        home.claude_login(token, hours);
        home
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A path below the home, whose parts `rel` has with `/` on every system.
    pub(crate) fn at(&self, rel: &str) -> PathBuf {
        rel.split('/')
            .fold(self.path().to_owned(), |path, part| path.join(part))
    }

    /// What a run says to people, with paths below the home as on Unix (`~/a/b`): Windows has no
    /// `~`.
    pub(crate) fn with_tilde(&self, text: String) -> String {
        let home = self.path().display().to_string();
        if cfg!(unix) || text.starts_with('{') {
            return text;
        }
        let mut parts = text.split(&home);
        let mut out = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let end = part
                .find(|c: char| c.is_whitespace() || c == '"' || c == '\'')
                .unwrap_or(part.len());
            out += "~";
            out += &part[..end].replace('\\', "/");
            out += &part[end..];
        }
        out
    }

    fn ended(&self, output: Output) -> Run {
        let run = Run::from(output);
        Run {
            stdout: self.with_tilde(run.stdout),
            stderr: self.with_tilde(run.stderr),
            ..run
        }
    }

    /// Writes a file, making its directories, and gives it mode 0600.
    pub(crate) fn write(&self, rel: &str, text: impl AsRef<[u8]>) {
        let path = self.at(rel);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        chmod(&path, 0o600);
    }

    pub(crate) fn read(&self, rel: &str) -> String {
        fs::read_to_string(self.at(rel)).unwrap()
    }

    pub(crate) fn json(&self, rel: &str) -> Value {
        serde_json::from_str(&self.read(rel)).unwrap()
    }

    /// Logs Claude Code in, and returns the login's expiry. Its refresh token is `refresh-of-` and
    /// the token.
    pub(crate) fn claude_login(&self, token: &str, hours: i64) -> i64 {
        let expires = now_ms() + hours * HOUR;
        let login = json!({"claudeAiOauth": {
            "accessToken": token,
            "refreshToken": format!("refresh-of-{token}"),
            "expiresAt": expires,
        }});
        self.write(CLAUDE, login.to_string());
        expires
    }

    /// A run to be started: nothing in its environment but `HOME`, `PATH` and `USER` (on Windows,
    /// [`WINDOWS_VARIABLES`]), and a runtime directory where the home has one, `run`; nothing on
    /// its stdin.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clawkeep"));
        command
            .args(args)
            .env_clear()
            .envs(self.environment())
            .current_dir(self.path())
            .stdin(Stdio::null());
        let runtime = self.at(RUNTIME);
        if runtime.exists() {
            command.env("XDG_RUNTIME_DIR", runtime);
        }
        command
    }

    fn environment(&self) -> Vec<(&'static str, OsString)> {
        let home = self.path().into();
        if cfg!(windows) {
            let of_system = |name| Some((name, std::env::var_os(name)?));
            let mut variables: Vec<_> = WINDOWS_VARIABLES
                .into_iter()
                .filter_map(of_system)
                .collect();
            // Credential Manager is the user's own, and not of this home.
            variables.extend([
                (HOME_VARIABLE, home),
                ("USERNAME", "tester".into()),
                ("CLAWKEEP_KEYCHAIN", "off".into()),
            ]);
            return variables;
        }
        vec![
            ("HOME", home),
            ("PATH", "/usr/bin:/bin".into()),
            ("USER", "tester".into()),
        ]
    }

    /// Runs a command of [`Home::command`] to its end.
    pub(crate) fn output_of(&self, mut command: Command) -> Run {
        self.ended(command.output().unwrap())
    }

    /// Runs the program to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Run {
        self.ended(self.command(args).output().unwrap())
    }

    /// Runs the program, with arguments as a shell takes them, where no file may grow beyond so
    /// many blocks of 512 bytes: a full disk, at a place of one's choice.
    pub(crate) fn run_on_small_disk(&self, blocks: u64, args: &str) -> Run {
        let mut command = Command::new("sh");
        // A file that would grow too large is an error then, not the end of the process.
        command
            .arg("-c")
            .arg(format!(
                "trap '' XFSZ; ulimit -f {blocks}; exec \"$0\" {args}"
            ))
            .arg(env!("CARGO_BIN_EXE_clawkeep"))
            .env_clear()
            .env("HOME", self.path())
            .env("PATH", "/usr/bin:/bin")
            .current_dir(self.path())
            .stdin(Stdio::null());
        command.output().unwrap().into()
    }

    /// How many events of a kind there are.
    pub(crate) fn count_of(&self, kind: &str) -> usize {
        self.kinds().iter().filter(|known| *known == kind).count()
    }

    /// Runs the program to its end with `input` on its stdin.
    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Run {
        let child = start_with_input(self.command(args), input);
        self.ended(child.wait_with_output().unwrap())
    }

    /// The token of a profile in the exported store.
    pub(crate) fn exported_token(&self, profile: &str) -> Option<String> {
        let store = self.json(STORE);
        store["profiles"][profile]["token"]
            .as_str()
            .map(str::to_owned)
    }

    /// The record, newest first.
    pub(crate) fn events(&self) -> Vec<Value> {
        let answer = self.run(&["history", "--json"]).json();
        answer["events"].as_array().unwrap().clone()
    }

    /// The kinds of the record's events, newest first.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let kind = |event: &Value| event["kind"].as_str().unwrap().to_owned();
        self.events().iter().map(kind).collect()
    }

    /// The newest event of a kind, if there is one.
    pub(crate) fn newest(&self, kind: &str) -> Option<Value> {
        let answer = self.run(&["history", "--json", "--kind", kind, "--limit", "1"]);
        answer.json()["events"].as_array().unwrap().first().cloned()
    }

    /// What the vault alone has: the store is taken away, written again without asking any source,
    /// and read.
    pub(crate) fn vaults_store(&self) -> Value {
        fs::remove_file(self.at(STORE)).unwrap();
        self.run(&["--no-sync", "sync"]).ok();
        self.json(STORE)
    }

    /// The files that contain `needle`.
    pub(crate) fn files_with(&self, needle: &str) -> Vec<String> {
        let has = |file: &String| {
            let bytes = fs::read(self.at(file)).unwrap();
            bytes
                .windows(needle.len())
                .any(|window| window == needle.as_bytes())
        };
        self.files().into_iter().filter(has).collect()
    }

    /// Every file below the home, relative to it, with `/` on every system.
    pub(crate) fn files(&self) -> Vec<String> {
        fn walk(dir: &Path, root: &Path, out: &mut Vec<String>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.is_symlink() {
                    walk(&path, root, out);
                } else {
                    out.push(relative(&path, root));
                }
            }
        }
        let mut files = Vec::new();
        walk(self.path(), self.path(), &mut files);
        files.sort();
        files
    }

    /// The record must verify and the vault must be sound.
    #[track_caller]
    pub(crate) fn assert_sound(&self) {
        self.run(&["audit", "verify"]).ok();
    }
}
