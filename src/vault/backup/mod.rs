//! Copies of a vault: backups, restoring them, and moving a vault to another directory.

pub(super) mod carry;
pub(super) mod copy;
pub(super) mod moving;
pub(super) mod restore;
