//! The vault: one SQLite file, its keys, its record. The only module that names rusqlite.
//!
//! [`Vault`] is open but locked: the record can be read, nothing opened. [`UnlockedVault`] has the keys. Writing goes
//! through [`Tx`], an immediate transaction in which every change carries its event; it rolls back unless committed.

mod agents;
mod backup;
mod carry;
mod changed_rows;
mod error;
mod exports;
mod file;
mod grants;
mod history;
mod keys;
mod log;
mod moving;
mod observed;
#[cfg(test)]
mod plans;
mod profiles;
mod proof;
mod prune;
mod record_says;
mod rekey;
mod restore;
mod sealing;
mod sections;
mod summary;
mod superseded;
mod timeline;
mod tx;
mod upgrade;
mod uses;
mod verify;
mod versions;

pub use agents::{AgentAndStore, AgentState, Damage};
pub use backup::{BackedUp, Examined};
pub use carry::Carried;
pub use error::{BackupError, KEYCHAIN, KeyProblem, VaultError};
pub use exports::{ExportRecord, ExportState, Exported};
pub use file::inventory::{Extent, Held, Names};
pub use file::read_only::ReadOnlyReason;
pub use file::vault::Vault;
pub use grants::{Grant, GrantState};
pub use history::Events;
pub use keys::keep::NewKey;
pub use keys::slots::SlotInfo;
pub use keys::unlock::{KeySources, SecretSource, UnlockedVault, Upgrade};
pub use moving::{Several, is_moved_away, remove_what_lay_beside, which_counts};
pub use observed::ExpiryStage;
pub use profiles::ChangeNote;
pub use proof::{AlteredKind, AlteredRow};
pub use prune::Pruned;
pub use rekey::add_remove::{AddedKey, LogState, RemovedKey};
pub use rekey::create::{Created, KeyChoice, create};
pub(crate) use rekey::renew::Prepared;
pub use rekey::rotate::{Renewal, Rotated};
pub use restore::{Insistence, KeptHead, Restored, free_name, restore, verify_backup};
pub use superseded::{SUPERSEDED_MAX, Superseded};
pub use tx::Tx;
pub use uses::{HandedOut, Pin};
pub use versions::KeptVersion;
