//! The rows of the audit record: events, the texts that they share, and the queries by index.

pub(super) mod events;
#[cfg(test)]
pub(super) mod refuse;
pub(super) mod runs;
pub(super) mod series;
pub(super) mod terms;
