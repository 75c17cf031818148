//! Questions to the person at the terminal, asked on stderr: stdout is the answer's. Secrets are typed without echo.
//!
//! A question is a line and so is its answer, with the terminal as it is: nothing to put back if the person ends the program
//! with Ctrl-C, and nothing that a plain terminal or a screen reader cannot do. Only while a secret is typed the terminal is
//! told not to show it; it is put back also on Ctrl-C. (Libraries for prompts leave it without echo then, or the cursor hidden.)

use std::io::{self, BufRead as _, IsTerminal as _, Read as _, Write as _};

use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::ui::one_line;

/// The longest secret taken, in bytes. The longest tokens are JWTs of some thousands.
const SECRET_MAX: usize = 64 << 10;

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

/// Takes a secret: asked for without echo where there is a person, else all of stdin. Blanks around it are cut off.
pub(crate) fn secret(question: &str) -> Result<SecretString, Failure> {
    let typed = if is_possible() {
        show(&format!("{question}: "))?;
        let typed = hidden_line();
        say("");
        typed?
    } else {
        let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2)); // one that grew would leave copies
        let stdin = io::stdin().lock();
        let mut limited = stdin.take(SECRET_MAX as u64 + 1);
        limited.read_to_end(&mut bytes).map_err(Failure::Input)?;
        bytes
    };
    if typed.len() > SECRET_MAX {
        let complaint = format!("more than {SECRET_MAX} bytes were given, which is no secret");
        return Err(Failure::BadArgument(complaint));
    }
    match std::str::from_utf8(&typed) {
        Ok(text) => checked(text.trim()),
        Err(_) => {
            let complaint = "what was given is no text (UTF-8), so no secret";
            Err(Failure::BadArgument(complaint.to_owned()))
        }
    }
}

/// Shows a question and reads the line that is typed.
fn ask(question: &str) -> Result<String, Failure> {
    show(&format!("{} ", one_line(question)))?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read.map_err(Failure::Input)? {
        0 => {
            say("");
            Err(Failure::Refused {
                what: "the question was not answered".to_owned(),
                next: "Nothing was changed. Run the command again.".to_owned(),
            })
        }
        _ => Ok(line.trim().to_owned()),
    }
}

fn show(text: &str) -> Result<(), Failure> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(Failure::Output)
}

fn say(text: &str) {
    // Nobody is left to tell when stderr is closed; the next question finds that out.
    let _ = writeln!(io::stderr().lock(), "{}", one_line(text));
}

/// Reads a line that the terminal does not show. Byte by byte, since the terminal itself would pass on 4095 of a line and drop
/// the rest in silence.
#[cfg(unix)]
fn hidden_line() -> Result<Zeroizing<Vec<u8>>, Failure> {
    use rustix::process::{Signal, getpid, kill_process};
    let failed = |errno: rustix::io::Errno| Failure::Input(errno.into());
    let hidden = Hidden::begin().map_err(failed)?;
    let mut line = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 1));
    let mut byte = Zeroizing::new([0_u8]);
    while line.len() <= SECRET_MAX {
        match rustix::io::read(io::stdin(), &mut *byte) {
            Err(rustix::io::Errno::INTR) => continue,
            Err(errno) => return Err(failed(errno)),
            Ok(0) => break,
            Ok(_) => {}
        }
        match byte[0] {
            b'\n' | b'\r' | 0x04 => break, // Enter, Ctrl-D
            0x03 => {
                drop(hidden);
                let _ = kill_process(getpid(), Signal::INT); // as Ctrl-C does anywhere else
                break;
            }
            0x08 | 0x7f => {
                while line.pop().is_some_and(|gone| gone & 0xc0 == 0x80) {} // all bytes of a character
            }
            0x15 => line.clear(), // Ctrl-U
            other => line.push(other),
        }
    }
    Ok(line)
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
}

#[cfg(unix)]
impl Drop for Hidden {
    fn drop(&mut self) {
        use rustix::termios::{OptionalActions, tcsetattr};
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0); // a terminal that is gone needs nothing put back
    }
}

#[cfg(not(unix))]
fn hidden_line() -> Result<Zeroizing<Vec<u8>>, Failure> {
    Err(Failure::Refused {
        what: "secrets cannot be typed here: this system's terminal would show them".to_owned(),
        next: "Give the secret on stdin, from a file.".to_owned(),
    })
}

/// A secret is one line of visible characters: it goes into an HTTP header.
fn checked(secret: &str) -> Result<SecretString, Failure> {
    let complaint = if secret.is_empty() {
        "no secret was given: type it at the prompt, or give it on stdin, as in: … < file"
    } else if secret.contains(char::is_whitespace) {
        "the secret has blanks or line ends inside it: more than the secret was given"
    } else if secret.contains(char::is_control) {
        "the secret has control characters in it: it was not copied whole"
    } else {
        return Ok(SecretString::from(secret));
    };
    Err(Failure::BadArgument(complaint.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use secrecy::ExposeSecret as _;

    #[test]
    fn a_secret_is_one_word_and_is_not_repeated_in_complaints() {
        assert_eq!(checked("sk-é").unwrap().expose_secret(), "sk-é");
        for bad in ["", "sk-a sk-b", "sk-a\nsk-b", "sk-a\u{1b}[2J"] {
            let said = checked(bad).unwrap_err().to_string();
            assert!(!said.contains("sk-"), "{said}");
        }
    }
}
