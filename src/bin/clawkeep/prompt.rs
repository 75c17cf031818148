//! Questions to the person at the terminal, asked on stderr: stdout is the answer's. Secrets are typed without echo.
//!
//! A question is a line and so is its answer, with the terminal as it is: nothing to put back if the person ends the program
//! with Ctrl-C, and nothing that a plain terminal or a screen reader cannot do. Only while a secret is typed the terminal is
//! told not to show it; it is put back also on Ctrl-C. (Libraries for prompts leave it without echo then, or the cursor hidden.)

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use clawkeep::domain::{SECRET_MAX, SecretFault, check_secret};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::progress::{self, Question};
use crate::ui::one_line;

/// Whether there is a person to ask.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks yes or no; Enter means `default`.
pub(crate) fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    let choice = if default { "[Y/n]" } else { "[y/N]" };
    loop {
        let typed = ask(&format!("{question} {choice}"))?;
        match typed.to_lowercase().as_str() {
            "" => return Ok(default),
            "y" | "yes" => return Ok(true),
            "n" | "no" => return Ok(false),
            _ => say("Answer y or n."),
        }
    }
}

/// Asks for a line, until `check` accepts it; Enter means `default`.
pub(crate) fn text(
    question: &str,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<String, Failure> {
    let question = match default {
        Some(default) => format!("{question} [{default}]:"),
        None => format!("{question}:"),
    };
    loop {
        let typed = ask(&question)?;
        let answer = match default {
            Some(default) if typed.is_empty() => default.to_owned(),
            _ => typed,
        };
        match check(&answer) {
            Ok(()) => return Ok(answer),
            Err(complaint) => say(&complaint),
        }
    }
}

/// Asks for one of several things by its number; its index. Enter means the first.
pub(crate) fn choose(question: &str, items: &[&str]) -> Result<usize, Failure> {
    for (index, item) in items.iter().enumerate() {
        say(&format!("  {}) {item}", index + 1));
    }
    let number = |typed: &str| -> Option<usize> {
        let number: usize = typed.parse().ok()?;
        (1..=items.len()).contains(&number).then(|| number - 1)
    };
    let check = |typed: &str| match number(typed) {
        Some(_) => Ok(()),
        None => Err(format!("Answer with a number from 1 to {}.", items.len())),
    };
    let typed = text(question, Some("1"), check)?;
    Ok(number(&typed).unwrap_or_default()) // checked
}

/// Takes a secret: asked for without echo, until it can be one, where there is a person; else all of stdin. Blanks around it are
/// cut off.
pub(crate) fn secret(question: &str) -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return checked(&from_stdin()?).map_err(Failure::BadArgument);
    }
    typed_secret(question)
}

/// Takes a secret as [`secret`] does; where there is no person, a line of stdin, which need not end: who writes it may have to read
/// something of ours first.
pub(crate) fn secret_line(question: &str) -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return checked(&line_from_stdin()?).map_err(Failure::BadArgument);
    }
    typed_secret(question)
}

fn typed_secret(question: &str) -> Result<SecretString, Failure> {
    let _asked = Question::asked();
    loop {
        show(&format!("{}: ", one_line(question)))?;
        let typed = hidden_line();
        say("");
        match typed? {
            Typed::Left => return Err(not_answered()),
            Typed::Line(line) => match checked(&line) {
                Ok(secret) => return Ok(secret),
                Err(complaint) => say(&format!("That is no secret: {complaint}. Once more.")),
            },
        }
    }
}

/// Asks for a line that does not show: a passphrase, of any characters. Blanks around it are cut off.
pub(crate) fn hidden(question: &str) -> Result<SecretString, Failure> {
    let _asked = Question::asked();
    show(&format!("{}: ", one_line(question)))?;
    let typed = hidden_line();
    say("");
    match typed? {
        Typed::Left => Err(not_answered()),
        Typed::Line(line) => {
            let line = std::str::from_utf8(&line).map_err(|_| not_answered())?;
            Ok(SecretString::from(line.trim()))
        }
    }
}

/// Asks for the same once more; whether it is.
pub(crate) fn is_repeated(given: &SecretString) -> Result<bool, Failure> {
    let again = hidden("Once more, to be sure")?;
    let (given, again) = (given.expose_secret(), again.expose_secret());
    Ok(clawkeep::crypto::constant_time_eq(
        given.as_bytes(),
        again.as_bytes(),
    ))
}

/// What was typed where it does not show.
enum Typed {
    /// A line.
    Line(Zeroizing<Vec<u8>>),
    /// Nothing: Ctrl-D.
    Left,
}

fn from_stdin() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2)); // one that grew would leave copies
    let mut limited = io::stdin().lock().take(SECRET_MAX as u64 + 1);
    limited.read_to_end(&mut bytes).map_err(Failure::Input)?;
    Ok(bytes)
}

fn line_from_stdin() -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2));
    let mut limited = io::stdin().lock().take(SECRET_MAX as u64 + 1);
    limited
        .read_until(b'\n', &mut line)
        .map_err(Failure::Input)?;
    Ok(line)
}

/// Shows a question and reads the line that is typed.
fn ask(question: &str) -> Result<String, Failure> {
    let _asked = Question::asked();
    show(&format!("{} ", one_line(question)))?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read.map_err(Failure::Input)? {
        0 => {
            say("");
            Err(not_answered())
        }
        _ => Ok(line.trim().to_owned()),
    }
}

fn not_answered() -> Failure {
    Failure::Refused {
        what: "the question was not answered".to_owned(),
        next: "Nothing was stored. Run the command again.".to_owned(),
    }
}

fn show(text: &str) -> Result<(), Failure> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

/// Says something between questions.
pub(crate) fn say(text: &str) {
    progress::make_room(|| {
        // Nobody is left to tell when stderr is closed; the next question finds that out.
        let _ = writeln!(io::stderr().lock(), "{}", one_line(text));
    });
}

/// Reads a line that the terminal does not show. Byte by byte, since the terminal itself would pass on 4095 of a line and drop
/// the rest in silence.
#[cfg(unix)]
fn hidden_line() -> Result<Typed, Failure> {
    use rustix::process::{Signal, getpid, kill_process};
    let hidden = Hidden::begin().map_err(|errno| Failure::Input(errno.into()))?;
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2));
    while line.len() <= SECRET_MAX {
        match hidden.next()? {
            None | Some(0x04) => return Ok(Typed::Left), // Ctrl-D
            Some(b'\n' | b'\r') => break,
            Some(0x03) => {
                drop(hidden);
                let _ = kill_process(getpid(), Signal::INT); // as Ctrl-C does anywhere else
                return Ok(Typed::Left);
            }
            Some(0x08 | 0x7f) => {
                while line.pop().is_some_and(|gone| gone & 0xc0 == 0x80) {} // all bytes of a character
            }
            Some(0x15) => line.clear(), // Ctrl-U
            Some(other) => line.push(other),
        }
    }
    // Pasted over several lines, the rest would go to the shell, for all to see.
    if hidden.has_more() {
        line.push(b'\n');
        line.push(b'?');
    }
    Ok(Typed::Line(line))
}

/// The terminal, not showing what is typed, until this is dropped.
#[cfg(unix)]
struct Hidden(rustix::termios::Termios);

#[cfg(unix)]
impl Hidden {
    fn begin() -> rustix::io::Result<Self> {
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
        let before = tcgetattr(io::stdin())?;
        let mut modes = before.clone();
        modes.local_modes -= LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
        // What was typed ahead was shown, and is thrown away.
        tcsetattr(io::stdin(), OptionalActions::Flush, &modes)?;
        Ok(Self(before))
    }

    /// The next byte; `None` at the end of the input.
    fn next(&self) -> Result<Option<u8>, Failure> {
        let mut byte = Zeroizing::new([0_u8]);
        loop {
            match rustix::io::read(io::stdin(), &mut *byte) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(Failure::Input(errno.into())),
                Ok(0) => return Ok(None),
                Ok(_) => return Ok(Some(byte[0])),
            }
        }
    }

    /// Whether more comes within a tenth of a second, which nobody types.
    fn has_more(&self) -> bool {
        use rustix::termios::{OptionalActions, SpecialCodeIndex, tcgetattr, tcsetattr};
        let Ok(mut modes) = tcgetattr(io::stdin()) else {
            return false;
        };
        modes.special_codes[SpecialCodeIndex::VMIN] = 0;
        modes.special_codes[SpecialCodeIndex::VTIME] = 1; // tenths of a second
        let waits = tcsetattr(io::stdin(), OptionalActions::Now, &modes).is_ok();
        waits && matches!(self.next(), Ok(Some(_)))
    }
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        // What is left of a paste goes with it. A terminal that is gone needs nothing put back.
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

#[cfg(not(unix))]
fn hidden_line() -> Result<Typed, Failure> {
    Err(Failure::Refused {
        what: "secrets cannot be typed here: this system's terminal would show them".to_owned(),
        next: "Give the secret on stdin, from a file.".to_owned(),
    })
}

/// A secret that was pasted, or what is wrong with it and what to do.
fn checked(given: &[u8]) -> Result<SecretString, String> {
    check_secret(given).map(SecretString::from).map_err(|fault| {
        let next = match fault {
            SecretFault::Empty => {
                return "no secret was given; type it at the prompt, or give it on stdin, from a file"
                    .to_owned();
            }
            SecretFault::TooLong => return format!("more than {SECRET_MAX} bytes were given"),
            SecretFault::LineBreak | SecretFault::Blank => "so more than the secret was given",
            SecretFault::Assignment => "give what stands behind it",
            SecretFault::Quoted => "give what stands between them",
            SecretFault::Placeholder => "give the secret itself",
            _ => "so it was not copied as it is",
        };
        format!("it {fault}; {next}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_word_and_is_not_repeated_in_complaints() {
        for good in ["sk-a=b_c", " eyJ.x.y==\r\n", "\u{feff}sk-1"] {
            let kept = checked(good.as_bytes()).unwrap();
            assert_eq!(
                kept.expose_secret(),
                good.trim_matches(['\u{feff}', ' ', '\r', '\n'])
            );
        }
        let long = "x".repeat(SECRET_MAX + 1);
        for bad in [
            "",
            " ",
            "sk-a sk-b",
            "sk-a\nsk-b",
            "sk-a\u{1b}[2J",
            "sk-é",
            "sk-a\u{200b}",
            "OPENAI_API_KEY=sk-a",
            "\"sk-a\"",
            &long,
        ] {
            let said = checked(bad.as_bytes()).unwrap_err();
            assert!(!said.contains("sk-"), "{said}");
        }
        assert!(checked(b"sk-\xff").is_err());
    }
}
