//! Looking for what is wrong, and mending what can be mended safely.
//!
//! A check is a function from what it needs to findings; [`examine`] calls them all. What opening the vault, reading the
//! configuration and loading the agents ran into is the caller's to tell: it has words and remedies for every failure.

mod carry_out;
mod clock;
mod configuration;
mod credentials;
mod editors;
mod evidence;
mod examine;
mod exported;
mod finding;
mod footprint;
mod logins;
mod moved_agent;
mod openclaw;
mod permissions;
mod repair;
mod stores;
mod synced;
mod vanished;
mod vault;
mod words;

pub use carry_out::Premises;
pub(crate) use credentials::is_short_lived;
pub use credentials::{
    how_to_lend_again, how_to_log_in, how_to_renew, how_to_replace, login_again, misnamed,
    of_agent, paste,
};
pub use evidence::{Evidence, ExaminedAgent, OpenVault};
pub use examine::{examine, in_order};
pub use finding::{Finding, FindingId, Fix, Level};
pub use repair::{Repair, RepairError, Repaired};
pub use stores::merged_since;
pub use vanished::{Removed, removed_elsewhere};
pub use words::{shell_path, shell_word};
