//! Key slots and unlocking: where keys are kept, how they are found, and the vault that they open.

pub(super) mod find;
pub(super) mod keep;
pub(super) mod reload;
pub(super) mod slots;
pub(super) mod sources;
pub(super) mod unlock;
pub(super) mod unlocked;
