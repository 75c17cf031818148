//! `monitor`: runs `clawkeep watch` unattended.

#[cfg(windows)]
pub(crate) mod hidden;
pub(crate) mod install;
pub(crate) mod installed;
pub(crate) mod status;
pub(crate) mod unattended;
pub(crate) mod uninstall;

use clap::Subcommand;

use self::install::Install;
use self::status::Status;
use self::uninstall::Uninstall;
use crate::context::Context;
use crate::context::global::Global;
use crate::failure::Failure;

/// Have `clawkeep watch` run unattended.
#[derive(Debug, Subcommand)]
#[command(after_help = "Examples:\n  clawkeep monitor install\n  clawkeep monitor uninstall")]
pub(crate) enum Monitor {
    /// Start it with your login, and keep it running
    Install(Install),
    /// Show whether it is installed and running
    Status(Status),
    /// Stop it, and remove what was installed
    Uninstall(Uninstall),
    #[cfg(windows)]
    #[command(hide = true)]
    RunHidden(hidden::RunHidden),
}

impl Monitor {
    pub(crate) fn run(self, context: &Context, global: &Global) -> Result<(), Failure> {
        match self {
            Self::Install(command) => command.run(context, global),
            Self::Status(command) => command.run(context),
            Self::Uninstall(command) => command.run(context),
            #[cfg(windows)]
            Self::RunHidden(command) => command.run(),
        }
    }
}
