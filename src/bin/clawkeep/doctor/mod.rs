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
mod finding_id;
mod footprint;
mod logins;
mod moved_agent;
mod openclaw;
mod permissions;
mod repair;
mod stores;
mod synced;
mod unused;
mod vanished;
mod vault;
mod warnings;

pub(crate) use carry_out::Premises;
pub(crate) use credentials::misnamed;
pub(crate) use evidence::{Evidence, ExaminedAgent, OpenVault};
pub(crate) use examine::{examine, in_order};
pub(crate) use finding::{Finding, Fix};
pub(crate) use finding_id::{FindingId, Level};
pub(crate) use repair::{Repair, Repaired};
pub(crate) use stores::merged_since;
pub(crate) use vanished::{Removed, removed_elsewhere};
pub(crate) use warnings::{Warning, disabled_profiles, expiring_logins};
