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

use std::process::ExitCode;

use crate::cli::{completion, parse, print, run, topics};
use crate::commands::stand_in;
use crate::terminal::{colour, panics, signals};
use clawkeep::internal::platform::{forbid_core_dump, with_stack};

fn main() -> ExitCode {
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
        let answered = topics::answer().unwrap_or_else(|| {
            parse::parse()
                .map_err(stand_in::hand_on)
                .and_then(run::run)
        });
        answered.unwrap_or_else(|failure| print::fail(&failure, colour))
    })
}
