//! Keeping the vault, the store file and other programs' logins in step.
//!
//! [`plan`] decides what a source's login means, [`merge`] what another program's changes to the store mean; both pure.
//! [`import`] joins a file that the user names. [`Engine`] carries them out.

mod beside;
mod borrowed;
mod carry_out;
mod change;
mod damaged;
mod destination;
mod edited;
mod engine;
mod error;
mod exporting;
#[cfg(test)]
mod guarantee;
mod hand_out;
pub mod import;
mod leftover;
mod logins;
pub mod merge;
mod notice;
mod observe;
mod old_copy;
mod openclaw_copy;
pub mod plan;
mod renew;
mod rotate;
mod settle;
mod shared;
mod side_by_side;
mod sources;
mod spent;
mod store_lock;
mod survey;
pub mod watch;

pub(crate) use damaged::utc_stamp;
pub use destination::ExportPlan;
pub use edited::{Edited, EditedBy};
pub use engine::{Endpoints, Engine, Extent, LOGIN, Loaded, RESTORE, SyncMode, queue_path};
pub use error::SyncError;
pub use hand_out::{Handing, Renewals};
pub use logins::{LoginReport, LoginState, START_CLAUDE, fault_remedy, log_in};
pub use notice::{Notice, Writer};
pub use observe::Keeping;
pub use old_copy::Undoes;
pub use openclaw_copy::{OpenClawCopy, examine_copy};
pub use renew::{DUE_BELOW_MS, NotRenewed, Renewal, Renewer, When, is_due};
pub use sources::{LoginSources, Planned, Rules};
