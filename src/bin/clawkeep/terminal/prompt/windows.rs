//! A line that the console does not show, on Windows.
//!
//! The console's keys are read as events, which it does not show. Its modes stay as they are, so
//! nothing has to be restored, and Ctrl-C ends the program as it always does.

use std::io;

use console::{Key, Term};

use super::editor::{Editor, Keys, Step};
use super::person;
use super::typed::Typed;
use crate::failure::Failure;

/// The keys that edit a line of the console, and Ctrl-Z, which ends the input.
const KEYS: Keys = Keys {
    erase: Some(0x08),
    word_erase: None,
    kill: Some(0x1b),
    eof: Some(0x1a),
    literal: None,
    interrupt: None,
    quit: None,
    suspend: None,
};

pub(super) fn hidden_line(question: &str) -> Result<Typed, Failure> {
    let console = Term::stderr();
    if !console.is_term() {
        return Err(Failure::Refused {
            what: "there is no console to type a secret at: stderr goes elsewhere".to_owned(),
            next: "Give the secret on stdin, from a file.".to_owned(),
        });
    }
    person::show(question)?;
    let typed = read(&console);
    person::end_line();
    typed.map_err(Failure::Input)
}

fn read(console: &Term) -> io::Result<Typed> {
    let mut editor = Editor::new(KEYS);
    let mut buffer = [0; 4];
    loop {
        let character = match console.read_key()? {
            Key::Enter => '\r',
            Key::Backspace => '\u{8}',
            Key::Escape => '\u{1b}',
            Key::Char(character) => character,
            _ => continue, // keys that stand for no character
        };
        for byte in character.encode_utf8(&mut buffer).bytes() {
            match editor.push(byte) {
                Step::More => {}
                Step::Line => return Ok(Typed::Line(editor.into_line())),
                Step::Left | Step::Interrupt | Step::Quit | Step::Suspend => {
                    return Ok(Typed::Left);
                }
            }
        }
    }
}
