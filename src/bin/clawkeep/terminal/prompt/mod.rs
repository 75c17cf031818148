//! Asks questions at the terminal, on stderr: stdout is for the answer. Secrets are typed without
//! echo.
//!
//! A question is a line and so is its answer, with the terminal as it is: nothing to put back if
//! the person ends the program with Ctrl-C, and nothing that a plain terminal or a screen reader
//! cannot do. Only while a secret is typed the terminal does not show it, and no signal leaves it
//! so. (Libraries for prompts leave it without echo then, or the cursor hidden.)

#[cfg(any(unix, windows))]
mod editor;
pub(crate) mod person;
pub(crate) mod typed;
#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

use std::io::{self, BufRead as _, IsTerminal as _, Read as _};

use clawkeep::internal::domain::{SECRET_MAX, SecretFault, check_secret, utf8_of_utf16};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use self::person::print_line;
use self::typed::Typed;
#[cfg(unix)]
use self::unix::hidden_line;
#[cfg(windows)]
use self::windows::hidden_line;
use super::progress::Question;
use super::text::one_line;
use crate::failure::Failure;

pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Whether hidden questions can be asked. If stderr is no terminal, the terminal itself shows them.
pub(crate) fn hidden_is_possible() -> bool {
    io::stdin().is_terminal() && person::is_reachable()
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
            _ => print_line("Answer y or n."),
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
            Err(complaint) => print_line(&complaint),
        }
    }
}

/// Asks for one of several items by its number; returns its index. Enter means the first.
pub(crate) fn choose(question: &str, items: &[&str]) -> Result<usize, Failure> {
    for (index, item) in items.iter().enumerate() {
        print_line(&format!("  {}) {item}", index + 1));
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

/// Reads a secret: at a hidden prompt until it is acceptable, or all of stdin. Surrounding
/// whitespace is removed.
pub(crate) fn secret(question: &str) -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return checked(&from_stdin()?).map_err(Failure::BadArgument);
    }
    typed_secret(question)
}

/// Like [`secret`]; without a terminal it reads one line of stdin, which may stay open: its writer
/// may have to read our output first.
pub(crate) fn secret_line(question: &str) -> Result<SecretString, Failure> {
    if !io::stdin().is_terminal() {
        return checked(&line_from_stdin()?).map_err(Failure::BadArgument);
    }
    typed_secret(question)
}

fn typed_secret(question: &str) -> Result<SecretString, Failure> {
    let _asked = Question::asked();
    loop {
        let complaint = match hidden_line(&format!("{}: ", one_line(question)))? {
            Typed::Left => return Err(not_answered()),
            Typed::Lines => complaint(SecretFault::LineBreak),
            Typed::Line(line) if line.trim_ascii().is_empty() => {
                print_line("Nothing was typed. Paste the secret, or press Ctrl-C to leave.");
                continue;
            }
            Typed::Line(line) => match checked(&line) {
                Ok(secret) => return Ok(secret),
                Err(complaint) => complaint,
            },
        };
        print_line(&format!("That is no secret: {complaint}. Try again."));
    }
}

/// Asks for a hidden line: a passphrase of any characters. Surrounding whitespace is removed.
pub(crate) fn hidden(question: &str) -> Result<SecretString, Failure> {
    hidden_by(question, hidden_line)
}

fn hidden_by(
    question: &str,
    hidden_line: impl Fn(&str) -> Result<Typed, Failure>,
) -> Result<SecretString, Failure> {
    let _asked = Question::asked();
    loop {
        match hidden_line(&format!("{}: ", one_line(question)))? {
            Typed::Left => return Err(not_answered()),
            Typed::Lines => print_line("That is more than a line. Try again."),
            Typed::Line(line) => {
                if let Ok(line) = std::str::from_utf8(&line) {
                    return Ok(SecretString::from(line.trim()));
                }
                print_line("That is no text in UTF-8. Try again.");
            }
        }
    }
}

/// Questions for hidden input: from the first until this is dropped, nothing that is typed shows.
#[derive(Debug)]
pub(crate) struct HiddenQuestions {
    /// `None` where the system has no room for it: each question then hides its own input.
    #[cfg(unix)]
    questions: Option<unix::Questions>,
}

impl HiddenQuestions {
    pub(crate) fn begin() -> Self {
        Self {
            #[cfg(unix)]
            questions: unix::Questions::begin(),
        }
    }

    /// Like [`hidden`], between the first question and the drop.
    pub(crate) fn ask(&self, question: &str) -> Result<SecretString, Failure> {
        hidden_by(question, |question| {
            #[cfg(unix)]
            if let Some(questions) = &self.questions {
                return questions.hidden_line(question);
            }
            hidden_line(question)
        })
    }
}

/// Asks to repeat a passphrase; returns whether it is the same.
pub(crate) fn is_repeated(first: &SecretString) -> Result<bool, Failure> {
    let again = hidden("Once more, to be sure")?;
    let (first, again) = (first.expose_secret(), again.expose_secret());
    Ok(clawkeep::internal::crypto::constant_time_eq(
        first.as_bytes(),
        again.as_bytes(),
    ))
}

fn from_stdin() -> Result<Zeroizing<Vec<u8>>, Failure> {
    // a growing buffer would leave copies
    let mut bytes = Zeroizing::new(Vec::with_capacity(SECRET_MAX + 2));
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
    person::show(&format!("{} ", one_line(question)))?;
    let mut line = String::new();
    let read = io::stdin().lock().read_line(&mut line);
    match read.map_err(Failure::Input)? {
        0 => {
            print_line("");
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

#[cfg(not(any(unix, windows)))]
fn hidden_line(_: &str) -> Result<Typed, Failure> {
    Err(Failure::Refused {
        what: "secrets cannot be typed here: this system's terminal would show them".to_owned(),
        next: "Give the secret on stdin, from a file.".to_owned(),
    })
}

/// A secret that was pasted, or what is wrong with it and what to do.
fn checked(input: &[u8]) -> Result<SecretString, String> {
    let decoded = utf8_of_utf16(input);
    let input = decoded.as_ref().map_or(input, |text| text.as_bytes());
    let secret = check_secret(input).map_err(complaint)?;
    Ok(SecretString::from(secret))
}

fn complaint(fault: SecretFault) -> String {
    let next = match fault {
        SecretFault::Empty => {
            return "no secret was given; type it at the prompt, or give it on stdin, from a file"
                .to_owned();
        }
        SecretFault::TooLong => return format!("more than {SECRET_MAX} bytes were given"),
        SecretFault::LineBreak | SecretFault::Blank => "so the input has more than the secret",
        SecretFault::Assignment => "give what comes after it",
        SecretFault::Quoted => "give what is between them",
        SecretFault::Placeholder => "give the secret itself",
        _ => "so it was not copied as it is",
    };
    format!("it {fault}; {next}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_one_word_and_is_not_repeated_in_complaints() {
        for good in ["sk-a=b_c", " eyJ.x.y==\r\n", "\u{feff}sk-1"] {
            let kept = checked(good.as_bytes()).unwrap();
            let found = kept.expose_secret();
            assert_eq!(found, good.trim_matches(['\u{feff}', ' ', '\r', '\n']));
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
            let message = checked(bad.as_bytes()).unwrap_err();
            assert!(!message.contains("sk-"), "{message}");
        }
        assert!(checked(b"sk-\xff").is_err());
    }
}
