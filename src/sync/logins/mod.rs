//! The logins of other programs: where they are read, and what became of them.

pub(super) mod report;
pub(super) mod sources;
