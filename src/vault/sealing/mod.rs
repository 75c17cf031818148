//! What is sealed under which key: the open keys, sealed JSON, the listings that prove rows.

pub(super) mod cells;
pub(super) mod frame;
pub(super) mod listing;
pub(super) mod plain;
pub(super) mod ring;
pub(super) mod seal_json;
