//! Runs the user's `systemctl`: the bus that systemd answers on is not a stable interface.

use std::collections::BTreeMap;
use std::process::Command;
use std::time::Duration;

use clawkeep::internal::platform::{RunFault, all_output_within, output_within};

/// The timeout of a query.
const PATIENCE: Duration = Duration::from_secs(10);
/// The timeout of an order: starting waits for the first pass, stopping for a running refresh.
const PATIENCE_FOR_ORDERS: Duration = Duration::from_secs(330);
/// The largest answer about one unit, in bytes.
const ANSWER_MAX: usize = 1 << 20;

/// Why there is no user's systemd to ask.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoSystemd {
    #[error("there is no systemctl")]
    Absent,
    #[error("no systemd of yours answers: {0}")]
    Silent(String),
}

/// The directories in which the user's systemd searches for units, if it answers.
pub(crate) fn unit_path() -> Result<String, NoSystemd> {
    let words = ["show", "--property=UnitPath", "--value"];
    let answer = all_output_within(command("systemctl", &words), ANSWER_MAX, PATIENCE);
    match answer {
        Err(RunFault::NotRun(std::io::ErrorKind::NotFound)) => Err(NoSystemd::Absent),
        Err(fault) => Err(NoSystemd::Silent(fault.to_string())),
        Ok(answer) => {
            let output = String::from_utf8_lossy(&answer.bytes).trim().to_owned();
            if answer.status.success() {
                Ok(output)
            } else {
                Err(NoSystemd::Silent(first_line(&output)))
            }
        }
    }
}

/// Runs a systemctl command that changes something.
pub(crate) fn order(words: &[&str]) -> Result<(), String> {
    let shown = format!("systemctl --user {}", words.join(" "));
    match all_output_within(command("systemctl", words), ANSWER_MAX, PATIENCE_FOR_ORDERS) {
        Ok(answer) if answer.status.success() => Ok(()),
        Ok(answer) => {
            let output = String::from_utf8_lossy(&answer.bytes);
            Err(format!("{shown}: {}", first_line(&output)))
        }
        Err(fault) => Err(format!("{shown}: {fault}")),
    }
}

pub(crate) fn properties(unit: &str, names: &[&str]) -> BTreeMap<String, String> {
    let wanted = format!("--property={}", names.join(","));
    let answer = output_within(
        command("systemctl", &["show", unit, &wanted]),
        ANSWER_MAX,
        PATIENCE,
    );
    let Ok(answer) = answer else {
        return BTreeMap::new();
    };
    let text = String::from_utf8_lossy(&answer.bytes);
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Whether the user's services continue after logout; `None` if unknown.
pub(crate) fn is_lingering(uid: u32) -> Option<bool> {
    let mut command = Command::new("loginctl");
    command.args([
        "show-user",
        &uid.to_string(),
        "--property=Linger",
        "--value",
    ]);
    let answer = output_within(command, ANSWER_MAX, PATIENCE).ok()?;
    match String::from_utf8_lossy(&answer.bytes).trim() {
        "yes" if answer.status.success() => Some(true),
        "no" if answer.status.success() => Some(false),
        _ => None,
    }
}

fn command(program: &str, words: &[&str]) -> Command {
    let mut command = Command::new(program);
    command
        .args(["--user", "--no-pager", "--no-ask-password"])
        .args(words);
    command
}

fn first_line(text: &str) -> String {
    text.lines()
        .next()
        .unwrap_or("it does not say why")
        .trim()
        .to_owned()
}
