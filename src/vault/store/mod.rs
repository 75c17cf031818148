//! The rows of agents' stores: credentials, usage, order, grants, exports, and their proof.

pub(super) mod agents;
pub(super) mod changed_rows;
pub(super) mod copies;
pub(super) mod exports;
pub(super) mod grants;
pub(super) mod list_rows;
pub(super) mod note;
pub(super) mod observed;
pub(super) mod profiles;
pub(super) mod proof;
pub(super) mod sections;
pub(super) mod superseded;
pub(super) mod uses;
pub(super) mod versions;
