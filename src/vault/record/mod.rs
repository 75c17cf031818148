//! The audit record as it is read: history, summaries, timelines, verification, and pruning.

pub(super) mod history;
#[cfg(test)]
pub(super) mod plans;
pub(super) mod prune;
pub(super) mod states;
pub(super) mod summary;
pub(super) mod timeline;
pub(super) mod verify;
