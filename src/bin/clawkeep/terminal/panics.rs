//! Reports bugs of the program without its data, which may be secret.

use std::panic::{Location, PanicHookInfo, UnwindSafe, catch_unwind, set_hook};
use std::process::ExitCode;

/// The exit status of a command that ended so: it failed. Source: `spec/cli.md`.
const FAILED: u8 = 1;

/// Runs the program; a panic ends it with one line that names the place, and nothing else.
pub(crate) fn contain(run: impl FnOnce() -> ExitCode + UnwindSafe) -> ExitCode {
    set_hook(Box::new(report_place));
    catch_unwind(run).unwrap_or(ExitCode::from(FAILED))
}

fn report_place(panic: &PanicHookInfo<'_>) {
    use std::io::Write as _;
    // stderr may be closed.
    let _ = writeln!(std::io::stderr().lock(), "{}", message(panic.location()));
}

/// The message of a panic: its place. The panic's own message may quote data.
fn message(at: Option<&Location<'_>>) -> String {
    let place = at.map_or(String::new(), |at| {
        format!(" at {}:{}", at.file(), at.line())
    });
    format!(
        "Error: clawkeep has a bug{place}; what it committed before is kept\n  Please report it, \
         with that place and the command."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_contained_and_its_message_is_not_passed_on() {
        let status = contain(|| std::panic::panic_any("sk-secret"));
        let failed = ExitCode::from(FAILED);
        assert_eq!(format!("{status:?}"), format!("{failed:?}"));
        let text = message(Some(Location::caller()));
        assert!(
            text.contains("panics.rs:") && text.lines().count() == 2,
            "{text}"
        );
    }
}
