//! Selects the profiles to try for a provider, their order, and the length of cooldowns.
//!
//! Pure: values in, values out. The caller decides whether a candidate's secret is usable. Source:
//! `spec/compat.md`, Selection, and the `select` conformance cases.

mod choice;
mod cooldown;
mod order;
mod usage;

pub use choice::{Choice, choose};
pub use cooldown::cooldown_ms;
pub use order::{Preferences, candidates, candidates_ignoring_cooldowns};
pub use usage::{Failed, FailureReason, after_clearing, after_failure, after_use};

#[cfg(test)]
mod tests;
