//! The question before a change of another program's settings.

use crate::failure::Failure;
use crate::terminal::prompt;

/// Asks before a change is made; refuses without a terminal.
pub(super) fn confirm(is_confirmed: bool, question: &str) -> Result<(), Failure> {
    if is_confirmed {
        return Ok(());
    }
    if !prompt::is_possible() {
        return Err(Failure::BadArgument(
            "there is no terminal to ask on; to make the change without a question, add --yes"
                .to_owned(),
        ));
    }
    match prompt::confirm(question, true)? {
        true => Ok(()),
        false => Err(Failure::Refused {
            what: "nothing was changed".to_owned(),
            next: "To make the change, run the command again.".to_owned(),
        }),
    }
}
