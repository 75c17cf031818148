//! The clock, which tests hold still.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::domain::UnixMs;

/// The source of the current time.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub enum Clock {
    /// The wall clock of the system.
    #[default]
    System,
    /// A clock that always shows this instant.
    Fixed(UnixMs),
}

impl Clock {
    /// Returns the current time; 0 before 1970: such a clock is wrong, and no time goes negative.
    #[must_use]
    pub fn now(&self) -> UnixMs {
        match self {
            Self::System => from_system(SystemTime::now()),
            Self::Fixed(at) => *at,
        }
    }
}

fn from_system(at: SystemTime) -> UnixMs {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    UnixMs(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
