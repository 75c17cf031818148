//! The vault's file: opening it, its schema and journal, and reading one that cannot be written.

pub(super) mod connect;
pub(super) mod image;
pub(super) mod inventory;
pub(super) mod journal;
pub(super) mod paths;
pub(super) mod read_only;
pub(super) mod reason;
pub(super) mod schema;
pub(super) mod vault;
