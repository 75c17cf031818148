//! The `clawkeep` command: arguments in, answers on stdout, everything else on stderr.

mod advice;
mod cli;
mod commands;
mod context;
mod doctor;
mod failure;
mod options;
mod record;
mod terminal;

use std::io::{self, Write as _};
use std::process::ExitCode;

use crate::cli::{completion, parse, print, run, topics};
use crate::commands::stand_in;
use crate::terminal::{colour, panics, signals};
use clawkeep::internal::platform::{forbid_core_dump, runs_for_another_user, with_stack};

/// The status of a program that is not to be run so. Source: `EX_NOPERM` of sysexits.h.
const NOT_PERMITTED: u8 = 77;

fn main() -> ExitCode {
    if runs_for_another_user() {
        // Before the environment is read, which the other user chose. stderr may be closed.
        let _ = writeln!(
            io::stderr(),
            "Error: clawkeep does not run setuid or setgid: who starts it would choose the files \
             of the user whose rights it has. Remove the bits (chmod ug-s) and use sudo -u USER."
        );
        return ExitCode::from(NOT_PERMITTED);
    }
    forbid_core_dump(); // before anything can overflow or fail
    with_stack(run)
}

fn run() -> ExitCode {
    panics::contain(|| {
        signals::survive_file_size_limit();
        if let Some(answered) = completion::answer() {
            return answered;
        }
        let colour = colour::ColourChoice::from_process();
        let parsed = || {
            let parsed = parse::parse().map_err(stand_in::hand_on);
            parsed.and_then(run::run)
        };
        topics::answer()
            .unwrap_or_else(parsed)
            .unwrap_or_else(|failure| print::fail(&failure, colour))
    })
}
