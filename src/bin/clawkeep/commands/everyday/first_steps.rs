//! What to do first, where there is no credential yet.

use clawkeep::internal::platform::exists;

use crate::context::Context;
use crate::failure::Failure;

/// Prints the ways to get a first credential.
pub(super) fn show(context: &Context) -> Result<(), Failure> {
    let mut text = "clawkeep has no credential yet. To begin:\n".to_owned();
    let logins = context.layout.logins.iter();
    for found in logins.filter(|files| exists(&files.login)) {
        let program = found.owner.program();
        let what = format!("{program} is logged in here: import that login");
        text.push_str(&step("clawkeep sync", &what));
    }
    for (command, what) in [
        ("clawkeep add anthropic", "store an API key or a token"),
        ("clawkeep login openai-codex", "log in at a provider"),
        ("clawkeep discover", "find what other programs keep here"),
    ] {
        text.push_str(&step(command, what));
    }
    text.push_str("\nThen: clawkeep status. All commands: clawkeep help\n");
    context.ui.answer(&text)
}

fn step(command: &str, what: &str) -> String {
    format!("  {command:<28}  {what}\n")
}
