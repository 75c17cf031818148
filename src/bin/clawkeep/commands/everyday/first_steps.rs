//! What to do first, where there is no credential yet.

use clawkeep::platform::exists;

use crate::context::Context;
use crate::failure::Failure;

/// Prints the ways to get a first credential.
pub(super) fn show(context: &Context) -> Result<(), Failure> {
    let layout = &context.layout;
    let found = [
        (&layout.claude_code_file, "Claude Code is logged in here"),
        (&layout.codex_file, "Codex is logged in here"),
    ];
    let mut text = "clawkeep has no credential yet. To begin:\n".to_owned();
    for (_, what) in found.iter().filter(|(path, _)| exists(path)) {
        text.push_str(&step(
            "clawkeep sync",
            &format!("{what}: import that login"),
        ));
    }
    for (command, what) in [
        ("clawkeep add anthropic", "store an API key or a token"),
        ("clawkeep login openai-codex", "log in at a provider"),
        ("clawkeep import FILE", "import what another program keeps"),
    ] {
        text.push_str(&step(command, what));
    }
    text.push_str("\nThen: clawkeep status. All commands: clawkeep help\n");
    context.ui.answer(&text)
}

fn step(command: &str, what: &str) -> String {
    format!("  {command:<28}  {what}\n")
}
