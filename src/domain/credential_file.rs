//! The files in which programs keep credentials: where each lies, and what of it is read.
//!
//! Only values. `config` resolves the directories, `discover` reads the files.

/// A directory from which the path of a program's directory starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The home directory.
    Home,
    /// `$XDG_CONFIG_HOME`, or `~/.config`.
    Config,
    /// `$XDG_DATA_HOME`, or `~/.local/share`.
    Data,
    /// Where the system keeps data of applications: `~/Library/Application Support` on macOS,
    /// `%APPDATA%` on Windows, else as [`Base::Config`].
    Application,
    /// OpenClaw's state directory.
    OpenClaw,
    /// The state directory of the gateway.
    Gateway,
}

/// A directory of a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramDir {
    /// The variable that names another directory, and the path below that one.
    pub variable: Option<(&'static str, &'static str)>,
    /// Where the path starts if the variable is not set.
    pub base: Base,
    /// The path below the base.
    pub path: &'static str,
}

/// A file in which a program keeps credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CredentialFile {
    /// The directory in which it lies.
    pub dir: ProgramDir,
    /// Its path below the directory. One `*` in a part of it stands for any text.
    pub name: &'static str,
    /// What is in it.
    pub format: FileFormat,
    /// The mode that the program gives it; 0 if it leaves that to the umask.
    pub mode: u32,
    /// The command that takes its credentials into the vault.
    pub taken_in: TakenIn,
}

/// What is in a file with credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFormat {
    /// JSON, which may have comments.
    Json(&'static [Entries]),
    /// A line each: `NAME=value`, `export NAME=value`, `name: value`, `- name=value`. Names are
    /// those of variables, also in small letters and with hyphens.
    Variables {
        /// The setting that names another file of variables, in capitals.
        files: Option<&'static str>,
    },
    /// YAML, of which the lines `apiKey: value` are read, and `provider:` and `name:` beside them.
    Models,
    /// An SQLite database, of which texts are read.
    Database(&'static [Texts]),
}

/// Texts in a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Texts {
    /// The query, whose rows have a name and a text.
    pub query: &'static str,
    /// What is in each text; `None` if the text is a secret of that name itself.
    pub entries: Option<&'static [Entries]>,
}

/// Entries in a JSON document that hold a credential each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entries {
    /// The keys that lead to an entry; `*` stands for each one.
    pub at: &'static [&'static str],
    /// The field with the secret; `None` if the entry itself is the secret, `*` if each field that
    /// has the name of a variable is one.
    pub secret: Option<&'static str>,
    /// The field with the refresh token, which the program redeems.
    pub refresh: Option<&'static str>,
    /// When the secret expires.
    pub expires: ExpiryField,
    /// The field that says when the login itself ends, in milliseconds.
    pub login_expires: Option<&'static str>,
    /// Where the account is named.
    pub account: AccountField,
    /// Where the provider is named.
    pub provider: ProviderField,
}

impl Entries {
    /// Entries with an API key in `secret`, named by the last key that leads to them.
    #[must_use]
    pub const fn keys(at: &'static [&'static str], secret: &'static str) -> Self {
        Self {
            at,
            secret: Some(secret),
            refresh: None,
            expires: ExpiryField::None,
            login_expires: None,
            account: AccountField::None,
            provider: ProviderField::Key,
        }
    }

    /// Entries with a login: its access token, its refresh token, its expiry.
    #[must_use]
    pub const fn logins(
        at: &'static [&'static str],
        (access, refresh): (&'static str, &'static str),
        expires: ExpiryField,
    ) -> Self {
        Self {
            refresh: Some(refresh),
            expires,
            ..Self::keys(at, access)
        }
    }

    /// The same entries, with the account in that place.
    #[must_use]
    pub const fn of(self, account: AccountField) -> Self {
        Self { account, ..self }
    }

    /// The same entries, with the provider in that place.
    #[must_use]
    pub const fn from(self, provider: ProviderField) -> Self {
        Self { provider, ..self }
    }
}

/// Where an expiry is written, and in which unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpiryField {
    /// Nowhere: it does not expire, or nobody says when.
    None,
    /// The secret says so itself, if it is a JSON Web Token.
    Jwt,
    /// In milliseconds since the epoch.
    Ms(&'static str),
    /// In seconds since the epoch.
    Seconds(&'static str),
    /// In seconds since the file was written.
    SecondsAfterWritten(&'static str),
    /// In milliseconds since the epoch in the first field; where that is missing, in seconds after
    /// the file was written, in the second one.
    MsElseAfterWritten(&'static str, &'static str),
}

/// Where an account is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountField {
    /// Nowhere.
    None,
    /// In a field of the entry.
    Field(&'static str),
    /// In the `email` of a JSON Web Token, a field of the entry.
    Token(&'static str),
    /// In another JSON file: the one that `Mirror::account_file` names, else the one of this name
    /// in the same directory. The path of its field.
    Beside(&'static str, &'static [&'static str]),
}

/// Where a provider is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProviderField {
    /// All entries are this provider's.
    Fixed(&'static str),
    /// The last key that leads to the entry is its name.
    Key,
    /// The last key is a name that a person chose: the provider's, or another one.
    Alias,
    /// In a field of the entry; else the last key.
    Field(&'static str),
    /// The entry is a login at a server of the Model Context Protocol, named by a field of it, else
    /// by the last key.
    Server(&'static str),
}

/// The command that takes credentials into the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TakenIn {
    /// `clawkeep sync` mirrors logins; `clawkeep import FILE` reads keys.
    Mirrored,
    /// `clawkeep sync` reads it at every load.
    Followed,
    /// `clawkeep import FILE` reads the file.
    Import,
    /// `clawkeep add PROVIDER` asks for the key.
    Add,
    /// Nothing: the vault has no use for it.
    Nothing,
}
