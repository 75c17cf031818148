//! Errors of the program itself: said without what was in its hands, which may be a secret.

use std::panic::{PanicHookInfo, UnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;

/// The exit status of a command that ended so: it failed. Source: `spec/cli.md`.
const FAILED: u8 = 1;

/// Runs the program; a panic ends it with a line that says where, and nothing else of it.
pub(crate) fn contain(run: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    set_hook(Box::new(say_where));
    catch_unwind(run).unwrap_or(ExitCode::from(FAILED))
}

fn say_where(panic: &PanicHookInfo<'_>) {
    use std::io::Write as _;
    let place = panic.location().map_or(String::new(), |at| {
        format!(" at {}:{}", at.file(), at.line())
    });
    // Nobody is left to tell when stderr is closed.
    let _ = writeln!(
        std::io::stderr().lock(),
        "Error: clawkeep met an error of its own{place}; what was committed before stays\n  Please report it, with that place and the command."
    );
}
