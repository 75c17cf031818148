//! When something is to be done without being asked: a login is due, a file that is being written is whole, a credential comes to its
//! end. Pure: values and instants in, spans out. The binary's `watch` waits for them.

mod schedule;
mod settle;

pub use schedule::{Attempt, Schedule, is_hopeless, next_transition};
pub use settle::{Content, Settling};
