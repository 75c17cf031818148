//! A QR code of an address on the terminal, for a telephone's camera.

use std::io::{self, IsTerminal as _, Write as _};

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};

use super::progress;

/// Black on white, whatever the colours of the terminal are.
const BLACK_ON_WHITE: &str = "\x1b[38;5;16;48;5;231m";
const RESET: &str = "\x1b[0m";

/// Shows an address as a QR code below its text, if stderr is a terminal with colours on which the
/// whole code has room. Otherwise the text has to do.
pub(crate) fn show(address: &str, has_colour: bool) {
    let size = io::stderr().is_terminal().then(progress::size).flatten();
    let Some(lines) = size
        .filter(|_| has_colour)
        .and_then(|size| lines(address, size))
    else {
        return;
    };
    progress::make_room(|| {
        let _ = io::stderr().lock().write_all(lines.as_bytes()); // stderr may be closed
    });
}

/// The lines of the code, two rows of it in a line; `None` without room.
fn lines(address: &str, (columns, rows): (usize, usize)) -> Option<String> {
    let code = QrCode::with_error_correction_level(address, EcLevel::L).ok()?;
    let drawn = code.render::<Dense1x2>().build();
    let mut lines = drawn.lines().peekable();
    let width = lines.peek()?.chars().count();
    let coloured: Vec<String> = lines
        .map(|line| format!("{BLACK_ON_WHITE}{line}{RESET}\n"))
        .collect();
    (width < columns && coloured.len() < rows).then(|| coloured.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_shown_whole_or_not_at_all() {
        let address = "https://p.example/device?user_code=ABCD-EFGH";
        let shown = lines(address, (80, 24)).unwrap();
        let widths = shown.lines().map(|line| {
            let line = line.strip_prefix(BLACK_ON_WHITE).unwrap();
            line.strip_suffix(RESET).unwrap().chars().count()
        });
        let widths: Vec<usize> = widths.collect();
        assert_eq!((widths.len(), widths.iter().max()), (19, Some(&37)));
        assert!(widths.iter().all(|width| *width == 37));
        for size in [(37, 24), (80, 19)] {
            assert_eq!(lines(address, size), None, "{size:?}");
        }
        assert_eq!(lines(&"a".repeat(9_000), (900, 900)), None);
    }
}
