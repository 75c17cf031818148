//! A login that another program keeps, and how such a login is read.

use std::time::SystemTime;

use secrecy::{ExposeSecret as _, SecretString};

use super::legacy::LegacyEntry;
use super::{FileReading, LoginKeychain, Reading, SourceFault};
use crate::domain::{Credential, Expiry, Owner};

/// A program's login, as far as it is anybody else's business.
#[derive(Clone, Debug)]
pub struct Login {
    /// The access token, which is not blank.
    pub access: SecretString,
    /// The refresh token, not blank, if the gateway's profile carries it, too. It belongs to the
    /// program: clawkeep never sends it anywhere.
    pub refresh: Option<SecretString>,
    /// When the access token expires; above 0.
    pub expires: Expiry,
    /// When the login itself expires and a person has to log in again, where the program notes it.
    pub login_expires: Option<Expiry>,
    /// The account and, after a blank, its organization, where the file names them.
    pub account: Option<String>,
}

impl Login {
    /// Whether a credential is this very login, under whichever id.
    #[must_use]
    pub fn is(&self, credential: &Credential<'_>) -> bool {
        match &self.refresh {
            Some(refresh) => credential.expose_refresh() == Some(refresh.expose_secret()),
            None => credential.expose_secret() == Some(self.access.expose_secret()),
        }
    }
}

/// The place in which a login was searched last, so that a warning can name it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The program's file.
    File,
    /// The keychain item of that service.
    Keychain(String),
}

/// What a reader finds a login with.
pub struct Inputs<'i> {
    /// Reads the program's file.
    pub file: &'i dyn Fn() -> FileReading,
    /// Reads the file of that name in the same directory.
    pub beside: &'i dyn Fn(&str) -> FileReading,
    /// The keychain, where there is one.
    pub keychain: Option<&'i dyn LoginKeychain>,
    /// The user's name: the account of a keychain item.
    pub user: &'i str,
    /// The value of the variable that names the program's directory, as it is set.
    pub dir: Option<&'i str>,
}

/// How the login of a program is read. What else is known of the program is in
/// [`PROGRAMS`](crate::domain::PROGRAMS).
pub struct Reader {
    /// The program.
    pub owner: Owner,
    /// The top-level keys by which its file is recognised: it has one of them.
    pub keys: &'static [&'static str],
    /// Finds the login; says where it was searched last.
    pub find: fn(&Inputs<'_>) -> (Place, Reading<Login>),
    /// Understands the file, which was last written at that time.
    pub parse: fn(&[u8], SystemTime) -> Reading<Login>,
    /// Returns the account that the program's account file names.
    pub account: fn(&[u8]) -> Option<String>,
    /// Returns the API key in the file, as an entry, if the program uses one instead of a login.
    pub api_key: fn(&[u8]) -> Result<Option<LegacyEntry>, SourceFault>,
}
