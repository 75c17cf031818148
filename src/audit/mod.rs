//! The record's events: their kinds, their canonical bytes, the chain over them, and filters. Pure.
//!
//! Where events are kept is the vault's business; how they print is the binary's.

mod chain;
mod event;
mod filter;
mod refresh_failure;
mod summary;

pub use chain::{
    ChainFault, ChainKeys, ChainVerifier, Checkpoint, Head, HeadCheck, Verified, chain_mac,
    kept_mac,
};
pub use event::{Event, EventActor, EventDraft, EventKind, Origin, Outcome};
pub use filter::{
    Direction, Filter, KindFilter, UnknownKind, event_groups, from_origin, is_imported_refresh,
};
pub(crate) use filter::{Exchanged, imported_refreshes};
pub use refresh_failure::refresh_failure_reason;
pub(crate) use summary::cooldown_until;
pub use summary::{
    Doer, InForce, Lane, LastFailure, PROGRAMS_OF_NEWEST, ProfileRef, Refreshes, Span, Timeline,
    Uses,
};
