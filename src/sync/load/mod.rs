//! The steps of a load, one file a step.

pub(super) mod borrowed;
pub(super) mod change;
pub(super) mod commit;
pub(super) mod damaged;
pub(super) mod destination;
pub(super) mod edit;
pub(super) mod export;
pub(super) mod leftover;
pub(super) mod observe;
pub(super) mod old_copy;
pub(super) mod shared;
pub(super) mod spent;
pub(super) mod survey;
