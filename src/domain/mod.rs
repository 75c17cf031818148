//! Values every other module speaks in: identifiers, times, credentials, the store document,
//! secrets.
//!
//! Nothing here touches a file, a clock or a key.

mod borrowed;
#[cfg(test)]
mod cases;
mod cooldown;
mod credential;
mod credential_file;
mod credential_files;
mod debug_as;
mod endpoint;
mod expiry_fault;
mod fingerprint;
mod ids;
mod jwt;
mod named;
mod own_command;
mod owner;
mod recognised;
mod refresh_fault;
mod secret;
mod secret_rules;
mod shell;
mod span;
mod store;
mod text;
mod time;

pub use borrowed::Borrowed;
#[cfg(test)]
pub(crate) use cases::cases;
pub use cooldown::{CooldownRules, Unavailability, UnavailableReason, unavailability};
pub(crate) use credential::is_endless;
pub use credential::{
    Credential, CredentialType, EntryFault, Misnamed, SecretReference, WITH_PROJECT,
};
pub use credential_file::{
    AccountField, Base, CredentialFile, Entries, ExpiryField, FileFormat, ProgramDir,
    ProviderField, TakenIn, Texts,
};
pub(crate) use debug_as::debug_as;
pub use endpoint::{Endpoint, is_loopback};
pub use expiry_fault::ExpiryFault;
pub use fingerprint::Fingerprint;
pub use ids::{
    AgentName, Generation, KeyId, ProfileId, ProviderId, Seq, VaultId, normalize_provider,
};
pub use jwt::{jwt_claims, jwt_expiry};
pub(crate) use named::named;
pub use own_command::{is_own_reference, is_token_command};
pub use owner::{CLAUDE_CLI, CLAUDE_SETUP, CODEX_KEY, Mirror, OwnLogin, Owner, PROGRAMS, Program};
pub use recognised::{Recognised, recognise_secret};
pub use refresh_fault::RefreshFault;
pub use secret::SecretJson;
pub use secret_rules::{
    SECRET_MAX, SecretFault, begins_as_secret, check_secret, could_be_secret, is_random,
    known_secret_in,
};
pub use shell::{
    LIST_COMMAND, MOVE_COMMAND, REMOVE_COMMAND, always_shell_quoted, move_aside_command, of_agent,
    shell_quoted, shell_quoted_path, shell_short_path, shell_shown_path,
};
pub use span::Span;
pub(crate) use store::same_json;
pub use store::{Section, StoreDoc, StoreShapeError};
pub use text::{
    counted, escaped, escaped_lines, from_outside, is_hidden, is_path, path_of_text, path_text,
    plural, shown_path, utf8_of_utf16, without_bom,
};
pub use time::{Expiry, UnixMs, WARN_AFTER_MS, calendar, file_stamp, json_number};
