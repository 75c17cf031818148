//! Keeping the vault, the store file and other programs' logins in step.
//!
//! [`Engine`] loads agents: `load` has the steps, one file a step. [`plan`] decides what a source's
//! login means, [`merge`] what another program's changes to the store mean; both are pure.
//! [`import`] joins a file that the user names. `refresh` refreshes logins.

mod context;
mod edited;
mod engine;
mod error;
#[cfg(test)]
mod guarantee;
mod hand_out;
pub mod import;
mod load;
mod loaded;
mod logins;
pub mod merge;
mod notice;
mod openclaw_copy;
mod openclaw_profiles;
mod openclaw_store;
pub mod plan;
mod refresh;
mod rotate;
mod side_by_side;
mod state;
mod store_lock;
mod tasks;
#[cfg(feature = "watch")]
pub mod watch;
mod writers;

pub use context::{Endpoints, ExportPlan, LoadContext, Rewrite, SyncMode, SyncedAgent};
pub use edited::{Edited, EditedBy, LOGIN, RESTORE};
pub use engine::Engine;
pub use error::SyncError;
pub use hand_out::{HandOut, Refreshes};
pub use load::observe::Keeping;
pub use load::old_copy::Undoes;
pub use loaded::Loaded;
pub use logins::decide::Rules;
pub use logins::planned::Planned;
pub use logins::report::{LoginReport, LoginState};
pub use logins::sources::LoginSources;
pub(crate) use logins::whole_file::read_source;
pub use notice::{LendingFault, Notice, Writer};
pub use openclaw_copy::{OpenClawCopy, examine_copy};
pub use openclaw_profiles::OpenClawProfiles;
pub use refresh::grant::{DUE_BELOW_MS, Refresher, When};
pub use refresh::outcome::{NotRefreshed, RefreshOutcome};
pub use state::{Kept, StateReader, is_refreshed_here, loss_of, state_without_key};
pub use store_lock::queue_path;
