//! Changing keys: creating a vault, adding and removing key slots, and rotation.

pub(super) mod add_remove;
pub(super) mod create;
pub(super) mod rotate;
pub(super) mod slot_keys;
