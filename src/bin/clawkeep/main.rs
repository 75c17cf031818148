//! The `clawkeep` command: arguments in, answers on stdout, everything else on stderr.

mod args;
mod collation;
mod commands;
mod context;
mod failure;
mod prompt;
mod report;
mod time_arg;
mod ui;

use std::process::ExitCode;

fn main() -> ExitCode {
    let colour = ui::ColourChoice::from_process();
    args::parse()
        .and_then(commands::run)
        .unwrap_or_else(|failure| ui::fail(&failure, colour))
}
