//! Which profiles are tried for a provider, and in what order; how long a failed one rests.
//!
//! Pure: values in, values out. Whether a candidate's secret can be used is decided by whoever tries it.
//! Source: `spec/compat.md`, Selection, and the `select` conformance cases.

mod choice;
mod cooldown;
mod order;
mod usage;

pub use choice::{Choice, Demand, PassedOver, choose, unusable};
pub use cooldown::{Rest, Why, cooldown_ms, rest};
pub use order::{Preferences, candidates, candidates_if_rested};
pub use usage::{Failed, FailureReason, after_clearing, after_failure, after_use};

#[cfg(test)]
mod tests;
