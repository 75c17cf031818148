//! `version`: the version of this program.

use clap::Args;
use serde_json::json;

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::program_name::PROGRAM;

/// Print the version.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  clawkeep version\n  clawkeep version --json")]
pub(crate) struct Version {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Version {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let version = env!("CARGO_PKG_VERSION");
        match self.json {
            true => context.ui.json(&json!({"version": version})),
            false => context.ui.answer(&format!("{PROGRAM} {version}\n")),
        }
    }
}
