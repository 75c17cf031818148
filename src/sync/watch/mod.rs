//! When the watcher acts by itself: a login is due, a file is whole, a credential nears its expiry.
//! Pure: values and instants in, durations out. The binary's `watch` waits for them.

mod schedule;
mod settle;

pub use schedule::{Attempt, Schedule, is_hopeless, next_transition};
pub use settle::{Content, Settling};
