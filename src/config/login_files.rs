//! Where the programs keep the logins that are mirrored.

use std::path::PathBuf;

use crate::domain::Owner;

/// The files of a program whose login is mirrored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginFiles {
    /// The program.
    pub owner: Owner,
    /// The file with the login.
    pub login: PathBuf,
    /// The file that names the account, for a program that has one.
    pub account: Option<PathBuf>,
    /// The value of the program's variable as it is set, which the program's keychain item is named
    /// after.
    pub dir: Option<String>,
}

impl LoginFiles {
    /// A program whose login is in that file, and of which no other file is known.
    #[must_use]
    pub fn at(owner: Owner, login: impl Into<PathBuf>) -> Self {
        Self {
            owner,
            login: login.into(),
            account: None,
            dir: None,
        }
    }
}
