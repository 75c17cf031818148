//! Shared by the commands of the record: selecting events, and showing them.

pub(crate) mod ask;
pub(crate) mod axis;
pub(crate) mod csv;
pub(crate) mod json;
pub(crate) mod names;
pub(crate) mod notes;
pub(crate) mod prune;
pub(crate) mod sentence;
pub(crate) mod shape;
pub(crate) mod text;
