//! The logins of every agent, and which of them a word names.

pub(crate) mod held_by;
pub(crate) mod rows;
