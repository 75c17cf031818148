//! The line that is typed where it does not show, key by key.

use clawkeep::internal::domain::SECRET_MAX;
use zeroize::Zeroizing;

/// The keys that the terminal's settings name (`stty -a`).
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Keys {
    pub(super) erase: Option<u8>,
    pub(super) word_erase: Option<u8>,
    pub(super) kill: Option<u8>,
    pub(super) eof: Option<u8>,
    /// The next key is taken as it is.
    pub(super) literal: Option<u8>,
    pub(super) interrupt: Option<u8>,
    pub(super) quit: Option<u8>,
    pub(super) suspend: Option<u8>,
}

/// What a key leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    More,
    Line,
    /// The question is left unanswered.
    Left,
    Interrupt,
    Quit,
    Suspend,
}

/// What terminals send around a paste where a program asked for it and did not take that back.
const PASTE_BEGINS: &[u8] = b"\x1b[200~";
const PASTE_ENDS: &[u8] = b"\x1b[201~";
/// Escape sequences of keys are shorter.
const SEQUENCE_MAX: usize = 16;
/// Backspace sends one of these, whatever the settings say.
const BACKSPACE: [u8; 2] = [0x08, 0x7f];

/// A line that is being typed. The buffer never grows: that would leave copies in memory.
pub(super) struct Editor {
    keys: Keys,
    line: Zeroizing<Vec<u8>>,
    is_paste: bool,
    is_literal: bool,
}

impl Editor {
    pub(super) fn new(keys: Keys) -> Self {
        Self {
            keys,
            line: Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2)),
            is_paste: false,
            is_literal: false,
        }
    }

    /// Takes a key, or a byte of a paste.
    pub(super) fn push(&mut self, byte: u8) -> Step {
        let is = |key: Option<u8>| key == Some(byte);
        match byte {
            _ if std::mem::take(&mut self.is_literal) || self.is_paste => return self.add(byte),
            b'\n' | b'\r' => return Step::Line,
            _ if is(self.keys.interrupt) => return Step::Interrupt,
            _ if is(self.keys.quit) => return Step::Quit,
            _ if is(self.keys.suspend) => return Step::Suspend,
            _ if is(self.keys.eof) && self.line.is_empty() => return Step::Left,
            _ if is(self.keys.eof) => {}
            _ if is(self.keys.erase) || BACKSPACE.contains(&byte) => {
                // All bytes of a character.
                while self.line.pop().is_some_and(|gone| gone & 0xc0 == 0x80) {}
            }
            _ if is(self.keys.kill) => self.line.clear(),
            _ if is(self.keys.word_erase) => self.erase_word(),
            _ if is(self.keys.literal) => self.is_literal = true,
            _ => return self.add(byte),
        }
        Step::More
    }

    fn add(&mut self, byte: u8) -> Step {
        self.line.push(byte);
        if self.is_paste && self.line.ends_with(PASTE_ENDS) {
            let kept = self.line.len() - PASTE_ENDS.len();
            self.line.truncate(kept);
            self.is_paste = false;
        } else if !self.is_paste {
            self.drop_sequence();
        }
        match self.line.len() > SECRET_MAX {
            true => Step::Line, // whatever it is, it is too long
            false => Step::More,
        }
    }

    /// Drops the escape sequence of a key once it is complete. That of a paste begins it.
    fn drop_sequence(&mut self) {
        let from = self.line.len().saturating_sub(SEQUENCE_MAX);
        let Some(at) = self.line[from..].iter().rposition(|byte| *byte == 0x1b) else {
            return;
        };
        let sequence = &self.line[from + at..];
        let is_complete = match sequence {
            // With modifiers: Konsole.
            [_, b'O', modifiers @ .., last] => {
                modifiers.iter().all(u8::is_ascii_digit) && !last.is_ascii_digit()
            }
            // Linux's console: F1 to F5.
            [_, b'[', b'[', rest @ ..] => rest.len() == 1,
            // A mouse's button, column and row.
            [_, b'[', b'M', rest @ ..] => rest.len() == 3,
            // rxvt, with Shift.
            [_, b'[', number @ .., b'$'] => {
                !number.is_empty() && number.iter().all(u8::is_ascii_digit)
            }
            [_, b'[', parameters @ .., 0x40..=0x7e] => {
                parameters.iter().all(|byte| (0x20..0x40).contains(byte))
            }
            _ => false,
        };
        if is_complete {
            self.is_paste = sequence == PASTE_BEGINS;
            self.line.truncate(from + at);
        }
    }

    fn erase_word(&mut self) {
        let is_blank = |byte: &u8| byte.is_ascii_whitespace();
        let word = self.line.iter().rposition(|byte| !is_blank(byte));
        let line = &self.line[..word.map_or(0, |last| last + 1)];
        let kept = line.iter().rposition(is_blank).map_or(0, |blank| blank + 1);
        self.line.truncate(kept);
    }

    pub(super) fn into_line(self) -> Zeroizing<Vec<u8>> {
        self.line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: Keys = Keys {
        erase: Some(0x7f),
        word_erase: Some(0x17),
        kill: Some(0x15),
        eof: Some(0x04),
        literal: Some(0x16),
        interrupt: Some(0x03),
        quit: Some(0x1c),
        suspend: Some(0x1a),
    };

    /// Types keys: what the last one led to, and the line.
    fn typed(keys: Keys, text: &str) -> (Step, String) {
        let mut editor = Editor::new(keys);
        let mut step = Step::More;
        for byte in text.bytes() {
            assert_eq!(step, Step::More, "{text:?}");
            step = editor.push(byte);
        }
        let line = editor.into_line().to_vec();
        (step, String::from_utf8(line).unwrap())
    }

    #[test]
    fn keys_edit_the_line_and_are_no_part_of_it() {
        for (keys, line) in [
            ("one\r", "one"),
            ("one\n", "one"),
            ("é€\u{7f}\u{8}one\r", "one"),
            ("\u{7f}\u{7f}one\r", "one"),
            ("wrong words\u{15}one\r", "one"),
            ("one two  \u{17}\r", "one "),
            ("one\u{17}\u{17}two\r", "two"),
            ("on\u{4}e\r", "one"),
            ("a\u{16}\u{3}b\u{16}\u{16}\r", "a\u{3}b\u{16}"),
            ("o\u{1b}[An\u{1b}[1;5C\u{1b}OPe\u{1b}[3~\r", "one"),
            (
                "o\u{1b}[[An\u{1b}O2Pe\u{1b}[M#53\u{1b}[7$\u{1b}O5A\r",
                "one",
            ),
            ("one\u{1b}[1\r", "one\u{1b}[1"), // refused, as a control character
            ("\u{1b}[200~one\u{1b}[201~\r", "one"),
            ("\u{1b}[200~o\u{1b}[Ane\u{1b}[201~\r", "o\u{1b}[Ane"),
            ("\u{1b}[200~one\rtwo\u{15}\u{1b}[201~\r", "one\rtwo\u{15}"),
        ] {
            assert_eq!(typed(KEYS, keys), (Step::Line, line.to_owned()), "{keys:?}");
        }
    }

    #[test]
    fn keys_leave_and_end() {
        assert_eq!(typed(KEYS, "\u{4}").0, Step::Left);
        assert_eq!(typed(KEYS, "ab\u{15}\u{4}").0, Step::Left);
        assert_eq!(typed(KEYS, "ab\u{3}").0, Step::Interrupt);
        assert_eq!(typed(KEYS, "ab\u{1c}").0, Step::Quit);
        let suspended = (Step::Suspend, "ab".to_owned());
        assert_eq!(typed(KEYS, "ab\u{1a}"), suspended);
    }

    #[test]
    fn the_terminals_settings_name_the_keys() {
        let others = Keys {
            erase: Some(b'#'),
            kill: Some(b'@'),
            ..Keys::default()
        };
        let line = typed(others, "wrong@onf#e\u{15}\u{4}\r");
        assert_eq!(line, (Step::Line, "one\u{15}\u{4}".to_owned()));
    }

    #[test]
    fn a_line_ends_where_no_secret_is_longer() {
        let (step, line) = typed(KEYS, &"x".repeat(SECRET_MAX + 1));
        assert_eq!((step, line.len()), (Step::Line, SECRET_MAX + 1));
    }
}
