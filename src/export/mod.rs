//! The `auth-profiles.json` format: bytes to document and back, where the file lies, whether it may
//! be written.
//!
//! Which document to write, and when, is `sync`'s business.

mod format;
mod memory;
mod place;

pub use format::{FormatFault, parse, render};
pub use memory::{copies_in_memory, store_digest};
pub use place::{STORE_LIMIT, StorePlace, StoreReading};
