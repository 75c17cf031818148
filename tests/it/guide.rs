//! What the documentation shows is what happens: each of its commands is run, in order, in a home
//! of the page's own.
//!
//! `CLAWKEEP_GUIDE=write cargo nextest run guide::` writes what is printed into the pages where it
//! differs, to be read before it is committed.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::thread;

use regex::Regex;

use crate::support::document::{Part, Step, parts};
use crate::support::home::{Home, start_with_input};
use crate::support::provider::Provider;

/// The home that the pages show.
const HOME: &str = "/home/ana";
/// The provider that the pages show; a server on loopback stands in for it.
const ORIGIN: &str = "https://login.example.com";

/// The blocks that no machine of a test can run, each with its page, its first line and the reason.
/// One more is one to argue for.
const NOT_RUN: &[(&str, &str, &str)] = &[
    (
        "README.md",
        "cargo run --release -- status",
        "builds clawkeep",
    ),
    ("README.md", "tests/run.sh", "runs these tests"),
    (
        "README.md",
        "cargo install --path .                  # puts clawkeep into ~/.cargo/bin",
        "builds clawkeep",
    ),
    (
        "first-run.md",
        "$ clawkeep monitor install",
        "needs a service manager of the user's",
    ),
    (
        "server.md",
        "# systemd-creds encrypt --name=clawkeep.passphrase /home/ana/passphrase \
         /etc/credstore.encrypted/clawkeep.passphrase",
        "needs systemd",
    ),
    (
        "uninstall.md",
        "$ clawkeep monitor uninstall",
        "needs a service manager of the user's",
    ),
];

/// A page and the home that it is run in.
struct Stage {
    name: String,
    path: PathBuf,
    home: Home,
    /// The directory on the PATH that has the program.
    bin: tempfile::TempDir,
    provider: Provider,
}

/// What a command of a page printed, with what makes it the page's: its paths.
struct Done {
    shown: String,
    status: i32,
}

impl Stage {
    fn of(path: &Path) -> Self {
        let (bin, home, provider) = (tempfile::tempdir().unwrap(), Home::new(), Provider::start());
        home.write("grant", provider.grant("ana")); // a refresh token, for the set-up of a page
        let program = env!("CARGO_BIN_EXE_clawkeep");
        std::os::unix::fs::symlink(program, bin.path().join("clawkeep")).unwrap();
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Self {
            name: path.strip_prefix(root).unwrap().display().to_string(),
            path: path.to_owned(),
            home,
            bin,
            provider,
        }
    }

    /// What stands on the page, as it is here.
    fn here(&self, text: &str) -> String {
        let home = self.home.path().to_str().unwrap();
        text.replace(HOME, home)
            .replace(ORIGIN, &self.provider.origin())
    }

    /// What was printed here, as it stands on the page.
    fn there(&self, text: &str) -> String {
        let home = self.home.path().to_str().unwrap();
        text.replace(home, HOME)
            .replace(&self.provider.origin(), ORIGIN)
    }

    fn bash(&self) -> Command {
        let mut command = Command::new("bash");
        let path = format!("{}:/usr/bin:/bin", self.bin.path().display());
        command
            .env_clear()
            .env("HOME", self.home.path())
            .env("PATH", path)
            .env("USER", "ana")
            .current_dir(self.home.path());
        command
    }

    /// Runs a command as a person in a terminal would see it: both of its streams in one.
    fn run(&self, command: &str, typed: &str) -> Done {
        let mut bash = self.bash();
        // Through a pipe, as from a person at a prompt: the record names bash as what asked.
        let script = format!("exec 2>&1 3<&-\n{}\nexit", self.here(command));
        bash.arg("-c")
            .arg("exec bash /dev/fd/3 3< <(printf '%s' \"$SCRIPT\")")
            .env("SCRIPT", script);
        let output = start_with_input(bash, typed).wait_with_output().unwrap();
        Done {
            shown: self.there(&String::from_utf8(output.stdout).unwrap()),
            status: output.status.code().unwrap_or(-1),
        }
    }

    /// Does what a part says; the steps that did not come out as it says, each with what was
    /// printed.
    fn play<'p>(&self, part: &'p Part) -> Vec<(&'p Step, Done, String)> {
        match part {
            Part::Setup(script) => {
                let done = self.run(&format!("set -e\n{script}"), "");
                assert_eq!(done.status, 0, "{}: {script}\n{}", self.name, done.shown);
                Vec::new()
            }
            Part::File { path, text } => {
                let path = path.strip_prefix("~/").unwrap_or(path);
                self.home.write(path, self.here(text));
                Vec::new()
            }
            Part::Session { steps, typed } => {
                let typed = typed.as_deref().unwrap_or_default();
                let run = steps
                    .iter()
                    .map(|step| (step, self.run(&step.command, typed)));
                run.filter_map(|(step, done)| {
                    let fault = fault(step, &done)?;
                    Some((step, done, fault))
                })
                .collect()
            }
            Part::NotRun { .. } => Vec::new(),
        }
    }

    /// Does what the page says; what did not come out so.
    fn perform(&self) -> Vec<String> {
        let page = fs::read_to_string(&self.path).unwrap();
        let parts = parts(&page, &self.name);
        let different: Vec<_> = parts.iter().flat_map(|part| self.play(part)).collect();
        if std::env::var("CLAWKEEP_GUIDE").is_ok_and(|value| value == "write") {
            self.write(&page, &different);
        }
        let told = different.iter().map(|(step, done, fault)| {
            let (line, _) = step.output;
            let (name, command) = (&self.name, &step.command);
            format!(
                "{name}:{line}: $ {command}\n{fault}\nprinted:\n{}",
                done.shown
            )
        });
        told.collect()
    }

    /// Writes what was printed into the page.
    fn write(&self, page: &str, different: &[(&Step, Done, String)]) {
        let mut lines: Vec<String> = page.lines().map(str::to_owned).collect();
        for (step, done, _) in different.iter().rev() {
            let (from, to) = step.output;
            lines.splice(from..to, done.shown.lines().map(str::to_owned));
        }
        fs::write(&self.path, lines.join("\n") + "\n").unwrap();
    }
}

/// What is wrong with what a command did, if anything is.
fn fault(step: &Step, done: &Done) -> Option<String> {
    if done.status != 0 {
        return Some(format!("exit status {}", done.status));
    }
    let (actual, expected) = (even(&done.shown), even(&step.expected));
    let compared =
        snapbox::Assert::new()
            .normalize_paths(false)
            .try_eq(None, actual.into(), expected.into());
    compared.err().map(|error| error.to_string())
}

/// A text without what is another each time: times, ids, tokens' fingerprints, and the widths that
/// come of them.
fn even(text: &str) -> String {
    static RULES: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
        let rules = [
            (
                r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?",
                "<time>",
            ),
            (r"\d{8}T\d{6}Z", "<time>"),
            (r"\[\d+\]", "<pid>"),
            (r"\b\d+:[0-9a-f]{16}\b", "<token>"),
            (r"\b[0-9a-f]{16,}\b", "<id>"),
            (r"[A-Z0-9*~$=]{4,}(-[A-Z0-9*~$=]{4,})+", "<code>"),
            (r"Bytes: \d+", "Bytes: <n>"),
            (r"owner \d+", "owner <uid>"),
            (r"-{3,}|─{3,}", "<rule>"),
            (r"[ \t]+\n", "\n"),
            (r"  +", "  "),
        ];
        rules
            .map(|(rule, name)| (Regex::new(rule).unwrap(), name))
            .into()
    });
    RULES.iter().fold(text.to_owned(), |text, (rule, name)| {
        rule.replace_all(&text, *name).into_owned()
    })
}

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let guide = fs::read_dir(root.join("docs/guide")).unwrap();
    let mut pages: Vec<PathBuf> = guide.map(|entry| entry.unwrap().path()).collect();
    pages.retain(|path| path.extension().is_some_and(|end| end == "md"));
    pages.push(root.join("README.md"));
    pages.sort();
    pages
}

#[test]
fn every_page_does_what_it_says() {
    let faults: Vec<String> = thread::scope(|scope| {
        let running: Vec<_> = pages()
            .into_iter()
            .map(|page| scope.spawn(move || Stage::of(&page).perform()))
            .collect();
        let ended = running.into_iter().map(|page| page.join().unwrap());
        ended.flatten().collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n\n"));
}

#[test]
fn what_is_not_run_is_known() {
    let mut not_run = Vec::new();
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        for part in parts(&fs::read_to_string(&page).unwrap(), &name) {
            if let Part::NotRun { first, reason } = part {
                not_run.push((name.clone(), first, reason));
            }
        }
    }
    let known: Vec<_> = NOT_RUN
        .iter()
        .map(|(page, first, why)| ((*page).to_owned(), (*first).to_owned(), (*why).to_owned()))
        .collect();
    assert_eq!(not_run, known);
}

#[test]
fn the_index_names_every_page_and_no_other() {
    let index = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/guide/README.md");
    let link = Regex::new(r"\]\(([a-z-]+\.md)\)").unwrap();
    let index = fs::read_to_string(index).unwrap();
    let mut linked: Vec<String> = link
        .captures_iter(&index)
        .map(|at| at[1].to_owned())
        .collect();
    linked.sort();
    let there: Vec<String> = pages()
        .iter()
        .map(|page| page.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    assert_eq!(linked, there);
}
