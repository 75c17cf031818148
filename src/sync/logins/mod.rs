//! The logins of other programs: where they are read, what is decided about them, and what became
//! of them.

pub(super) mod decide;
pub(super) mod note;
pub(super) mod owners;
pub(super) mod planned;
pub(super) mod report;
pub(super) mod sources;
#[cfg(test)]
mod third_source;
pub(super) mod whole_file;
