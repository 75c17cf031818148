//! Questions to the person at the terminal, asked on stderr: stdout is the answer's. Secrets are typed without echo.

use std::io::{self, IsTerminal as _, Read as _};

use dialoguer::console::Term;
use dialoguer::{Confirm, Input, Password, Select};
use secrecy::SecretString;
use zeroize::Zeroizing;

use crate::failure::Failure;
use crate::ui::one_line;

/// The longest secret taken from stdin, in bytes. The longest tokens are JWTs of some thousands.
const SECRET_MAX: u64 = 64 << 10;
/// What a terminal passes on of one line, in bytes; the rest is dropped in silence. Source: termios(3), canonical mode.
const TERMINAL_LINE: usize = 4095;

/// Whether there is a person to ask.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Asks yes or no; Enter means `default`.
pub(crate) fn confirm(question: &str, default: bool) -> Result<bool, Failure> {
    Confirm::new()
        .with_prompt(one_line(question))
        .default(default)
        .interact_on(&Term::stderr())
        .map_err(Failure::Prompt)
}

/// Asks for a line, until `check` accepts it; Enter means `default`.
pub(crate) fn text(
    question: &str,
    default: Option<&str>,
    check: impl Fn(&str) -> Result<(), String>,
) -> Result<String, Failure> {
    let mut input = Input::<String>::new().with_prompt(one_line(question));
    if let Some(default) = default {
        input = input.default(default.to_owned());
    }
    input
        .validate_with(|typed: &String| check(typed.trim()))
        .interact_text_on(&Term::stderr())
        .map(|typed| typed.trim().to_owned())
        .map_err(Failure::Prompt)
}

/// Asks for one of several things; its index.
pub(crate) fn choose(question: &str, items: &[&str]) -> Result<usize, Failure> {
    Select::new()
        .with_prompt(one_line(question))
        .items(items)
        .default(0)
        .interact_on(&Term::stderr())
        .map_err(Failure::Prompt)
}

/// Takes a secret: asked for without echo where there is a person, else all of stdin. Blanks around it are cut off.
pub(crate) fn secret(question: &str) -> Result<SecretString, Failure> {
    let typed = if is_possible() {
        let password = Password::new()
            .with_prompt(one_line(question))
            .report(false)
            .interact_on(&Term::stderr())
            .map_err(Failure::Prompt)?;
        let password = Zeroizing::new(password);
        if password.len() >= TERMINAL_LINE {
            return Err(Failure::BadArgument(
                "the terminal passes on 4095 characters of a line and no more; give the secret on stdin, from a file"
                    .to_owned(),
            ));
        }
        password
    } else {
        from_stdin()?
    };
    checked(typed.trim())
}

fn from_stdin() -> Result<Zeroizing<String>, Failure> {
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin()
        .lock()
        .take(SECRET_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(Failure::Input)?;
    if bytes.len() as u64 > SECRET_MAX {
        return Err(Failure::BadArgument(format!(
            "stdin holds more than {SECRET_MAX} bytes, which is no secret"
        )));
    }
    match std::str::from_utf8(&bytes) {
        Ok(text) => Ok(Zeroizing::new(text.to_owned())),
        Err(_) => Err(Failure::BadArgument(
            "what stdin holds is no text (UTF-8), so no secret".to_owned(),
        )),
    }
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
