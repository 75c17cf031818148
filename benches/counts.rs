//! What a command costs in counts, which do not depend on how busy the machine is: durable writes,
//! system calls, files made, truncated or removed, instructions. On Linux, with `strace`, and
//! `valgrind` for the instructions: `cargo bench --bench counts`.
//!
//! `cargo bench --bench counts -- OLD NEW` counts the binaries named instead, side by side. Each
//! count has a limit; the run fails if the last binary exceeds one by more than a tenth.

#![allow(clippy::print_stdout, reason = "the table is its answer")]

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Map, json};

/// How many consecutive calls the durable writes and system calls are counted over.
const CALLS: usize = 100;
/// How many calls the times are the median of.
const TIMED: usize = 21;
/// How far above its limit a count may be.
const TOLERANCE: f64 = 1.1;
/// The most durable writes, on average, for one recorded use.
const SYNCS_MEAN: f64 = 1.2;
/// The most durable writes that one use may make.
const SYNCS_MAX: f64 = 5.0;
/// The most system calls of a use at the median.
const SYSTEM_CALLS: f64 = 200.0;
/// The most instructions of a use, with one profile.
const INSTRUCTIONS: f64 = 4e6;
/// How much more a use may cost with 10,000 profiles than with ten.
const GROWTH: f64 = 1.5;
/// How long a status with 10,000 profiles may take, in runs of an empty process.
const STATUS_RATIO: f64 = 50.0;

const TOKEN: &[&str] = &["token", "--provider", "openai"];
/// The same by a plain word, which must cost no more: the log has other lengths in other calls.
const WORD: &[&str] = &["token", "openai"];

fn main() -> ExitCode {
    let named: Vec<PathBuf> = std::env::args_os()
        .skip(1)
        .filter(|arg| !arg.as_encoded_bytes().starts_with(b"--"))
        .map(PathBuf::from)
        .collect();
    let binaries = match named.is_empty() {
        true => vec![PathBuf::from(env!("CARGO_BIN_EXE_clawkeep"))],
        false => named,
    };
    if !cfg!(target_os = "linux") || run(&mut command("strace", &["-V"])).is_none() {
        println!("counts need Linux and strace");
        return ExitCode::SUCCESS;
    }
    let counted: Vec<Vec<Row>> = binaries.iter().map(|binary| count(binary)).collect();
    let is_within = print(&binaries, &counted);
    ExitCode::from(u8::from(!is_within))
}

/// One count, and the most that it may be.
struct Row {
    what: &'static str,
    value: Option<f64>,
    limit: f64,
}

fn count(binary: &Path) -> Vec<Row> {
    let mut rows = Vec::new();
    let mut row = |what, value: Option<f64>, limit| rows.push(Row { what, value, limit });

    let one = Home::new(binary, 1);
    let traces: Vec<Trace> = (0..CALLS).map(|_| one.trace(TOKEN)).collect();
    let syncs: Vec<usize> = traces.iter().map(|trace| trace.syncs).collect();
    let total: usize = syncs.iter().sum();
    let mut calls: Vec<usize> = traces.iter().map(|trace| trace.calls).collect();
    calls.sort_unstable();
    row(
        "token: durable writes, mean",
        Some(ratio(total, CALLS)),
        SYNCS_MEAN,
    );
    row("token: durable writes, most", largest(&syncs), SYNCS_MAX);
    row(
        "token: system calls, median",
        Some(ratio(calls[CALLS / 2], 1)),
        SYSTEM_CALLS,
    );
    row(
        "token: system calls, most",
        largest(&calls),
        SYSTEM_CALLS + 64.0,
    );
    let mut by_word: Vec<usize> = (0..CALLS).map(|_| one.trace(WORD).calls).collect();
    by_word.sort_unstable();
    row(
        "token WORD: system calls, median",
        Some(ratio(by_word[CALLS / 2], 1)),
        SYSTEM_CALLS,
    );
    for (syncs, files, args) in [
        (
            "models status: durable writes",
            "models status: files made, truncated or removed",
            &["models", "status"][..],
        ),
        (
            "history: durable writes",
            "history: files made, truncated or removed",
            &["history"],
        ),
        (
            "doctor: durable writes",
            "doctor: files made, truncated or removed",
            &["doctor"],
        ),
    ] {
        let trace = one.trace(args);
        row(syncs, Some(ratio(trace.syncs, 1)), 0.0);
        row(files, Some(ratio(trace.files, 1)), 0.0);
    }
    let instructions = one.instructions(TOKEN);
    row("token: instructions", instructions, INSTRUCTIONS);
    drop(one);

    let ten = Home::new(binary, 10).instructions(TOKEN);
    row(
        "token, 10 profiles: instructions",
        ten,
        INSTRUCTIONS * TOLERANCE,
    );
    let many = Home::new(binary, 10_000);
    let limit = ten.unwrap_or(INSTRUCTIONS) * GROWTH;
    row(
        "token, 10,000 profiles: instructions",
        many.instructions(TOKEN),
        limit,
    );
    let status = many.time(&["models", "status", "--json"]);
    let ratio = status.as_secs_f64() / empty_process().as_secs_f64();
    row(
        "models status --json, 10,000 profiles: /bin/true",
        Some(ratio),
        STATUS_RATIO,
    );
    rows
}

#[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
fn ratio(count: usize, of: usize) -> f64 {
    count as f64 / of as f64
}

fn largest(counts: &[usize]) -> Option<f64> {
    counts.iter().max().map(|count| ratio(*count, 1))
}

/// Prints the table, and whether the last binary is within the limits.
fn print(binaries: &[PathBuf], counted: &[Vec<Row>]) -> bool {
    for (number, binary) in binaries.iter().enumerate() {
        println!("{}: {}", number + 1, binary.display());
    }
    let last = &counted[counted.len() - 1];
    let mut is_within = true;
    for (at, row) in last.iter().enumerate() {
        let values = counted.iter().map(|rows| rows[at].value);
        let values =
            values.map(|value| value.map_or("-".to_owned(), |value| format!("{value:.2}")));
        let values: Vec<String> = values.map(|value| format!("{value:>14}")).collect();
        let exceeds = row.value.is_some_and(|value| value > row.limit * TOLERANCE);
        is_within &= !exceeds;
        println!(
            "{:<50}{}  limit {:>12.2}{}",
            row.what,
            values.join(" "),
            row.limit,
            if exceeds { "  EXCEEDED" } else { "" }
        );
    }
    is_within
}

/// A home with a vault that has a key file and a store with `profiles` keys, all synced.
struct Home {
    dir: tempfile::TempDir,
    binary: PathBuf,
}

/// What one run did.
struct Trace {
    calls: usize,
    syncs: usize,
    files: usize,
}

impl Home {
    fn new(binary: &Path, profiles: usize) -> Self {
        let dir = tempfile::tempdir().expect("a directory for the benchmark");
        let agent = dir.path().join(".clawdbot/agents/main/agent");
        std::fs::create_dir_all(&agent).expect("a fresh directory");
        let providers = ["openai", "anthropic", "google", "mistral", "groq"];
        let entries = (0..profiles).map(|number| {
            // ten profiles have the provider asked for, whatever there is beside them
            let provider = match number < 10 {
                true => "openai".to_owned(),
                false => format!("{}-{number}", providers[number % providers.len()]),
            };
            let key =
                json!({"type": "api_key", "provider": provider, "key": format!("sk-{number:048}")});
            (format!("{provider}:{number}"), key)
        });
        let entries: Map<_, _> = entries.collect();
        let store = json!({"version": 1, "profiles": entries}).to_string();
        std::fs::write(agent.join("auth-profiles.json"), store).expect("a fresh directory");
        let home = Self {
            dir,
            binary: binary.to_owned(),
        };
        home.must(&["init", "--key", "keyfile"]);
        home.must(&["models", "status"]);
        // the first use names its actor and its series
        home.must(TOKEN);
        home.must(TOKEN);
        home
    }

    /// A tool that runs the program, in the home and with nothing else in its environment.
    fn under(&self, tool: &str, options: &[OsString], args: &[&str]) -> Command {
        let mut command = command(tool, &[]);
        command.args(options).arg(&self.binary).args(args);
        command.env("HOME", self.dir.path());
        command
    }

    fn must(&self, args: &[&str]) -> Output {
        let mut command = command(&self.binary, args);
        run(command.env("HOME", self.dir.path())).expect("the command succeeds")
    }

    fn trace(&self, args: &[&str]) -> Trace {
        let output = tempfile::NamedTempFile::new().expect("a temporary file");
        let output = output.path().to_owned();
        let before = names(self.dir.path());
        let options = ["-f".into(), "-o".into(), output.clone().into_os_string()];
        // strace is the parent process that the record names
        run(&mut self.under("strace", &options, args)).expect("strace runs the program");
        let text = std::fs::read_to_string(output).expect("strace writes its output");
        let mut trace = Trace {
            calls: 0,
            syncs: 0,
            files: 0,
        };
        for line in text.lines() {
            let line = line
                .trim_start_matches(|c: char| c.is_ascii_digit())
                .trim_start();
            if line.starts_with(['+', '-', '<']) {
                continue; // an exit, a signal, the end of a call that was counted
            }
            trace.calls += 1;
            let name = line.split('(').next().unwrap_or_default();
            trace.syncs += usize::from(matches!(name, "fsync" | "fdatasync"));
            let changes = ["unlink", "rename", "truncate"];
            trace.files += usize::from(changes.iter().any(|change| name.contains(change)));
        }
        trace.files += names(self.dir.path()).difference(&before).count();
        trace
    }

    /// The instructions of a run; `None` without valgrind.
    fn instructions(&self, args: &[&str]) -> Option<f64> {
        let options = [
            "--tool=callgrind".into(),
            "--callgrind-out-file=/dev/null".into(),
        ];
        run(&mut self.under("valgrind", &options, args))?; // names it as the parent in the record
        let output = run(&mut self.under("valgrind", &options, args))?;
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let line = text.lines().find(|line| line.contains("Collected :"))?;
        line.split_whitespace().last()?.parse().ok()
    }

    fn time(&self, args: &[&str]) -> Duration {
        median(|| {
            self.must(args);
        })
    }
}

/// The files below a directory.
fn names(dir: &Path) -> BTreeSet<PathBuf> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        match entry.path() {
            dir if dir.is_dir() => names.extend(self::names(&dir)),
            file => names.extend([file]),
        }
    }
    names
}

/// The floor: starting and ending a process that does nothing.
fn empty_process() -> Duration {
    median(|| {
        run(&mut command("/bin/true", &[])).expect("/bin/true is everywhere");
    })
}

fn median(work: impl Fn()) -> Duration {
    let mut times: Vec<Duration> = (0..TIMED)
        .map(|_| {
            let started = Instant::now();
            work();
            started.elapsed()
        })
        .collect();
    times.sort();
    times[TIMED / 2]
}

fn command(program: impl AsRef<std::ffi::OsStr>, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(args)
        .env_clear()
        .env("PATH", "/usr/bin:/bin")
        .stdin(Stdio::null());
    command
}

/// What a command printed; `None` if it cannot be run or fails.
fn run(command: &mut Command) -> Option<Output> {
    let output = command.output().ok()?;
    output.status.success().then_some(output)
}
