//! Changing keys: creating a vault, adding and removing key slots, and rotation.

pub(super) mod add_remove;
pub(super) mod create;
pub(super) mod renew;
pub(super) mod rotate;
