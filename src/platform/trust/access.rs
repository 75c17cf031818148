//! What is to be done with a path, and who counts as this user.

use std::sync::Arc;

/// What is to be done with a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// The content is used: no other user may write it.
    Read,
    /// The file holds a secret: no other user may read or write it.
    Secret,
    /// Files with known names are made in it: nobody else may write it, sticky or not.
    CreateIn,
}

/// A user or group that counts as this user: an entry of `trusted`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted {
    /// What this user owns may be used, `uid:1000`.
    User(u32),
    /// What this group may write may be used, `gid:2000`.
    Group(u32),
    /// What this account or group of Windows owns or may use may be used, `sid:S-1-5-21-…`.
    Account(Arc<str>),
}

impl Admitted {
    /// Parses `uid:NUMBER` or `gid:NUMBER`; on Windows `sid:IDENTIFIER`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (kind, number) = text.trim().split_once(':')?;
        if cfg!(windows) {
            let is_account = kind == "sid" && number.starts_with("S-1-");
            return is_account.then(|| Self::Account(number.into()));
        }
        let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
        let number = is_number.then(|| number.parse().ok())??;
        match kind {
            "uid" => Some(Self::User(number)),
            "gid" => Some(Self::Group(number)),
            _ => None,
        }
    }
}
