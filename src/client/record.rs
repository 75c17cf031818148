//! The audit record of a vault that stays locked.

use std::fmt;
use std::path::Path;

use super::error::ClientError;
use crate::audit::{Event, Filter};
use crate::vault::Vault;

/// The audit record of a vault, read without its key: the vault stays locked. What the events say
/// is not verified; [`Client::verify`](super::Client::verify) does that.
pub struct Record(Vault);

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Record({})", self.0.path().display())
    }
}

impl Record {
    /// Opens the record of the vault at that path.
    ///
    /// # Errors
    /// [`ErrorKind::Absent`](super::ErrorKind::Absent) if there is none; otherwise why it cannot
    /// be opened.
    pub fn open(vault: impl AsRef<Path>) -> Result<Self, ClientError> {
        Ok(Self(Vault::open(vault.as_ref())?))
    }

    /// Returns the events that a filter matches.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn history(&self, filter: &Filter) -> Result<Vec<Event>, ClientError> {
        Ok(self.0.history(filter)?.collect::<Result<_, _>>()?)
    }
}
