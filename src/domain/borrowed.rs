//! A login that another program keeps: whose it is, and in which file.

use super::Owner;

/// Where a borrowed credential comes from. Its owner refreshes it; clawkeep reads the file again at every load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borrowed {
    /// The program that refreshes it.
    pub owner: Owner,
    /// The absolute path of that program's file.
    pub path: String,
}

impl Borrowed {
    /// How it is refreshed, as a sentence.
    #[must_use]
    pub fn how_to_refresh(&self) -> String {
        match self.owner.command() {
            Some(command) => format!(
                "Start {}, which refreshes it (`{command}`); log in again there if that does not help.",
                self.owner.program()
            ),
            None => format!(
                "Refresh it with the program that keeps {}.",
                super::escaped(&self.path)
            ),
        }
    }
}
