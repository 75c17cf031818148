//! The vault: one SQLite file, its keys, its record. The only module that names rusqlite.
//!
//! [`Vault`] is open but locked: the record can be read, nothing opened. [`UnlockedVault`] has the
//! keys. Writing goes through [`Tx`], an immediate transaction in which every change carries its
//! event; it rolls back unless committed.

mod backup;
mod error;
mod file;
mod foreign;
mod foreign_change;
mod keys;
mod log;
mod record;
mod rekey;
mod sealing;
mod store;
mod tx;
mod upgrade;

pub use backup::carry::Carried;
pub use backup::copy::{BackedUp, Examined};
pub use backup::moving::{Several, is_moved_away, remove_companion_files, which_counts};
pub use backup::restore::RestoreChecks;
pub use backup::restore::Restored;
pub use backup::restore::restore;
pub use backup::restore::verify_backup;
pub use error::{BackupError, KEYCHAIN, KeyProblem, VaultError};
pub use file::inventory::{Names, RecordStats, StoredCredential};
pub use file::journal::LogState;
pub use file::paths::free_name;
pub use file::reason::ReadOnlyReason;
pub use file::vault::Vault;
pub use foreign::{ForeignDatabase, ForeignFault, Rows};
pub use foreign_change::{compact_foreign, replace_foreign_text};
pub use keys::keep::NewKey;
pub use keys::slots::SlotInfo;
pub use keys::sources::KeptHead;
pub use keys::sources::KeySources;
pub use keys::sources::RotationScope;
pub use keys::sources::SecretSource;
pub use keys::sources::Upgrade;
pub use keys::unlocked::UnlockedVault;
pub use record::history::Events;
pub use record::prune::Pruned;
pub use rekey::add_remove::AddedKey;
pub use rekey::add_remove::RemovedKey;
pub use rekey::create::{Created, KeyChoice, create};
pub use rekey::rotate::Rotated;
pub(crate) use rekey::slot_keys::Prepared;
pub use store::agents::{AgentAndStore, AgentState, Damage};
pub use store::exports::{ExportRecord, ExportState, Exported};
pub use store::grants::{Grant, GrantState};
pub use store::note::ChangeNote;
pub use store::observed::ExpiryStage;
pub use store::proof::{AlteredKind, AlteredRow};
pub use store::superseded::{SUPERSEDED_MAX, Superseded};
pub use store::uses::{HandedOut, Pin};
pub use store::versions::KeptVersion;
pub use tx::Tx;
