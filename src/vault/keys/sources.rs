//! Where slot keys are found, and what a person is asked for.

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;

use secrecy::SecretString;

use crate::audit::Head;
use crate::crypto::{RecoveryCode, SlotKey, SlotKind};
use crate::domain::{KeyId, VaultId, debug_as};
use crate::platform::{Actor, Clock, Keychain};
use crate::vault::error::KeyProblem;

/// Where passphrases and recovery codes come from.
pub trait SecretSource {
    /// Whether it was named for this very command: then it alone is tried.
    fn is_named(&self) -> bool;

    /// The next one to try; `None` when there is none. `before` says why the last did not do.
    ///
    /// # Errors
    /// Why no secret is available.
    fn next(&self, before: Option<&KeyProblem>) -> Result<Option<SecretString>, KeyProblem>;

    /// Takes note that no more is asked for: the vault is open, or none of the answers opens it.
    fn end(&self) {}
}

/// Where slot keys may be found.
pub struct KeySources<'a> {
    /// A key file named by the user: if it exists, no other is tried.
    pub named_keyfile: Option<PathBuf>,
    /// The key file that the service manager provides as a credential.
    pub credential_keyfile: Option<PathBuf>,
    /// Where this program keeps key files: one a vault, named by its id.
    pub keyfile_dir: PathBuf,
    /// The keychain of the operating system.
    pub keychain: &'a dyn Keychain,
    /// The source of a passphrase or a recovery code.
    pub secrets: Option<&'a dyn SecretSource>,
    /// The program that upgrades a vault of an earlier version at its first unlock.
    pub upgrade: Upgrade<'a>,
}

/// The input of an upgrade: the rows of a vault of an earlier version are checked at its first
/// unlock, and that is recorded.
#[derive(Clone, Copy, Default)]
pub struct Upgrade<'a> {
    /// The program that acts, and its clock; by default this process and the system's clock.
    pub by: Option<(&'a Actor, Clock)>,
    /// The head of the record that is kept elsewhere: the vault must have reached it.
    pub kept_head: Option<KeptHead<'a>>,
}

debug_as!(Upgrade<'_>, "Upgrade({:?})", it => it.by);

debug_as!(KeySources<'_>, "KeySources({})", it => it.keyfile_dir.display());

impl KeySources<'_> {
    /// The path of a vault's own key file.
    #[must_use]
    pub(crate) fn own_keyfile(&self, vault: VaultId) -> PathBuf {
        self.keyfile_dir.join(format!("{vault}.key"))
    }

    /// Returns the paths of key files to try, in order. One rule holds for all, however named.
    pub(super) fn keyfiles(&self, vault: VaultId) -> Vec<PathBuf> {
        let named = self.named_keyfile.iter().chain(&self.credential_keyfile);
        named.cloned().chain([self.own_keyfile(vault)]).collect()
    }
}

/// The slot that a vault was opened with.
#[derive(Clone, Debug)]
pub(in crate::vault) struct OpenedBy {
    pub(in crate::vault) slot: i64,
    pub(in crate::vault) kind: SlotKind,
    pub(in crate::vault) key: SlotKey,
}

/// The head that is kept of a vault's record elsewhere.
pub type KeptHead<'h> = &'h dyn Fn(VaultId) -> Option<Head>;

/// A slot's account in the keychain. Source: `spec/vault.md`, Keys.
pub(super) fn account(vault: VaultId, key: KeyId) -> String {
    format!("{vault}/{key}")
}

/// The keys that a rotation replaces.
#[derive(Clone, Copy)]
pub enum RotationScope<'a> {
    /// Only the data key is replaced.
    DataKey,
    /// Whatever may have become known: the data key, every slot's own key, and the key that the
    /// record is chained with.
    Everything {
        /// Where the slots' new keys are kept.
        sources: &'a KeySources<'a>,
        /// The new passphrase of each slot that has one, by its number.
        passphrases: &'a BTreeMap<i64, SecretString>,
        /// Shows a slot's new recovery code. It is called before anything is changed: what is shown
        /// afterwards may be shown never.
        show: &'a dyn Fn(i64, &RecoveryCode) -> std::io::Result<()>,
    },
}

impl fmt::Debug for RotationScope<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DataKey => "DataKey",
            Self::Everything { .. } => "Everything",
        })
    }
}
