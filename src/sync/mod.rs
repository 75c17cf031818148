//! Keeping the vault, the store file and other programs' logins in step.
//!
//! [`plan`] decides what a source's login means, [`merge`] what another program's changes to the store mean; both pure.
//! [`import`] joins a file that the user names. [`Engine`] carries them out.

mod edited;
mod engine;
mod error;
#[cfg(test)]
mod guarantee;
mod hand_out;
pub mod import;
mod load;
mod logins;
pub mod merge;
mod notice;
mod openclaw_copy;
pub mod plan;
mod refresh;
mod rotate;
mod side_by_side;
mod store_lock;
pub mod watch;

pub use edited::{Edited, EditedBy};
pub use engine::{Endpoints, Engine, Extent, LOGIN, Loaded, RESTORE, SyncMode, queue_path};
pub use error::SyncError;
pub use hand_out::{Handing, Renewals};
pub(crate) use load::damaged::utc_stamp;
pub use load::destination::ExportPlan;
pub use load::observe::Keeping;
pub use load::old_copy::Undoes;
pub use logins::report::{LoginReport, LoginState, START_CLAUDE, fault_remedy, log_in};
pub use logins::sources::{LoginSources, Planned, Rules};
pub use notice::{Notice, Writer};
pub use openclaw_copy::{OpenClawCopy, examine_copy};
pub use refresh::{DUE_BELOW_MS, NotRenewed, Renewal, Renewer, When, is_due};
