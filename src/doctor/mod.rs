//! Finds problems, and repairs those that can be repaired safely.
//!
//! A check is a function from its inputs to findings; [`examine()`] calls them all. The caller
//! reports what failed while it opened the vault, read the configuration and loaded the agents: it
//! has words and remedies for every failure.

mod carry_out;
mod clock;
mod configuration;
mod credentials;
mod discovered;
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
mod remedies;
mod repair;
mod stores;
mod synced;
mod unused;
mod vanished;
mod vault;
mod warnings;
mod words;

pub use carry_out::Premises;
pub use credentials::misnamed;
pub use evidence::{Evidence, ExaminedAgent, OpenVault};
pub use examine::{examine, in_order};
pub use finding::{Finding, FindingId, Fix, Level};
pub use remedies::{
    Advised, Commands, describe_loss, how_to_lend_again, how_to_log_in, of_agent, paste, remedy,
    remedy_of, remedy_of_loss,
};
pub use repair::{Repair, RepairError, Repaired};
pub use stores::merged_since;
pub use vanished::{Removed, removed_elsewhere};
pub use warnings::{Warning, disabled_profiles, expiring_logins};
pub use words::{shell_path, shell_word};
