//! The steps of a load, one file a step: `survey`, `merge`, `plan`, `edit`, `commit`, `export`.
//! Each is a function over values; `engine` calls them in this order.

pub(super) mod aside;
pub(super) mod borrowed;
pub(super) mod change;
pub(super) mod commit;
pub(super) mod damaged;
pub(super) mod destination;
pub(super) mod edit;
pub(super) mod examined;
pub(super) mod export;
pub(super) mod export_record;
pub(super) mod findings;
pub(super) mod leftover;
pub(super) mod logins;
pub(super) mod merge;
pub(super) mod observe;
pub(super) mod old_copy;
pub(super) mod plan;
pub(super) mod room;
pub(super) mod shared;
pub(super) mod spent;
pub(super) mod step;
pub(super) mod survey;
pub(super) mod write;
