//! Opens the vault, with its key or without, and creates it.

use std::path::Path;

use crate::advice::shell_path;
use clawkeep::internal::crypto::SlotKind;
use clawkeep::internal::platform::harden;
use clawkeep::internal::vault::{
    Created, KeyChoice, KeySources, NewKey, ReadOnlyReason, UnlockedVault, Vault, VaultError,
};

use super::Context;
use crate::failure::Failure;
use crate::failure::remedies::{Place, shared_storage_remedy};
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::progress::Progress;

/// How a command uses the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Reading,
    Writing,
}

impl Context {
    /// Whether a key file for any vault exists; without one, the key is likely in the keychain.
    fn has_keyfile(&self) -> bool {
        let named =
            self.layout.named_key_file().is_some() || self.layout.credential_key_file().is_some();
        named
            || std::fs::read_dir(self.layout.key_file_dir())
                .is_ok_and(|mut files| files.next().is_some())
    }

    /// Opens the existing vault without its key, for reading, also on a read-only place.
    pub(crate) fn locked(&self) -> Result<Vault, Failure> {
        let vault = self.open_locked_to_read()?;
        self.report_storage(&vault);
        Ok(vault)
    }

    /// Warns once that the vault is read-only because another system may write it, with the fix.
    fn report_storage(&self, vault: &Vault) {
        let Some(reason @ ReadOnlyReason::SharedStorage(storage)) = vault.read_only() else {
            return;
        };
        if is_called_as_gateway() || self.is_storage_reported.replace(true) {
            return;
        }
        let path = self.layout.shorten_home(vault.path());
        let remedy = shared_storage_remedy(storage, Place::Existing);
        self.ui.warn(&format!(
            "Warning: the vault {path} can only be read: {reason}. {remedy}"
        ));
    }

    /// Warns of a vault that is not used.
    fn warn_of_other_vaults(&self) {
        for other in &self.places.others {
            let shown = |path: &Path| self.layout.shorten_home(path);
            self.ui.warn(&format!(
                "Warning: there are two vaults. {} is used, {} is not. Merge them: clawkeep \
                 doctor --repair",
                shown(&self.layout.vault_file),
                shown(other)
            ));
        }
    }

    /// Like [`Context::locked`], for an answer to people that is not verified.
    pub(crate) fn unverified(&self) -> Result<Vault, Failure> {
        let vault = self.locked()?;
        self.note_unverified();
        Ok(vault)
    }

    /// Marks an answer to people as unverified.
    pub(crate) fn note_unverified(&self) {
        self.ui.note("Unverified; see: clawkeep audit verify");
    }

    /// Progress while the vault opens: deriving a key from a passphrase is slow, and a keychain may
    /// be.
    fn opening(&self) -> Progress {
        self.ui.progress("Opening the vault")
    }

    /// Opens and unlocks the existing vault for reading, also on a read-only place.
    pub(crate) fn unlocked_to_read(&self) -> Result<UnlockedVault, Failure> {
        self.warn_of_other_vaults();
        self.unlocked_for(Need::Reading, None, &self.key_sources())
    }

    /// Opens and unlocks the existing vault, to change its keys.
    pub(crate) fn unlocked(&self) -> Result<UnlockedVault, Failure> {
        let vault = self.unlocked_for(Need::Writing, None, &self.key_sources())?;
        self.check_end(&vault)?;
        Ok(vault)
    }

    /// Like [`Context::unlocked`], if the given passphrase is not for opening it.
    pub(crate) fn unlocked_without_passphrase(&self) -> Result<UnlockedVault, Failure> {
        let sources = KeySources {
            secrets: None,
            ..self.key_sources()
        };
        let vault = self.unlocked_for(Need::Writing, None, &sources)?;
        self.check_end(&vault)?;
        Ok(vault)
    }

    /// Opens and unlocks the existing vault for reading if that takes no question; `None` if it
    /// would, or fails.
    pub(crate) fn unlocked_if_unasked(&self) -> Option<UnlockedVault> {
        let mut sources = self.key_sources();
        if self.passphrases.file().is_none() {
            sources.secrets = None;
        }
        self.unlocked_for(Need::Reading, None, &sources).ok()
    }

    /// Opens the existing vault without its key, for [`Context::vault_to_record_in`].
    pub(crate) fn open_to_unlock(&self) -> Result<Vault, Failure> {
        self.open_for(Need::Writing)
    }

    fn open_for(&self, need: Need) -> Result<Vault, Failure> {
        harden();
        self.check_owner()?;
        if !self.has_keyfile() {
            self.keychain.warm_up(); // the handshake then runs beside the opening of the vault
        }
        Ok(match need {
            Need::Reading => self.open_locked_to_read()?,
            Need::Writing => self.open_locked()?,
        })
    }

    fn unlocked_for(
        &self,
        need: Need,
        opened: Option<Vault>,
        sources: &KeySources<'_>,
    ) -> Result<UnlockedVault, Failure> {
        let _progress = self.opening();
        let vault = match opened {
            Some(vault) => vault,
            None => self.open_for(need)?,
        };
        if need == Need::Writing {
            vault.require_writable()?; // before the question for a passphrase
        }
        self.report_storage(&vault);
        Ok(self.unlock(vault, sources)?)
    }

    /// Opens and unlocks the vault for changes, and creates it if there is none.
    pub(crate) fn vault(&self) -> Result<UnlockedVault, Failure> {
        self.vault_for(Need::Writing, None)
    }

    /// Like [`Context::vault`], for a command that only reads: it records nothing in a read-only
    /// vault.
    pub(crate) fn vault_to_read(&self) -> Result<UnlockedVault, Failure> {
        self.vault_for(Need::Reading, None)
    }

    /// Like [`Context::vault`], for a command that hands out credentials: each use is recorded
    /// first. The vault may have been opened without its key before.
    pub(crate) fn vault_to_record_in(
        &self,
        opened: Option<Vault>,
    ) -> Result<UnlockedVault, Failure> {
        self.vault_for(Need::Writing, opened)
            .map_err(Failure::of_use)
    }

    fn vault_for(&self, need: Need, opened: Option<Vault>) -> Result<UnlockedVault, Failure> {
        self.warn_of_other_vaults();
        let vault = match self.unlocked_for(need, opened, &self.key_sources()) {
            Err(Failure::Vault(absent @ VaultError::Absent { .. })) => {
                self.check_new_vault(need, absent)?;
                match self.create(&self.first_key()?)? {
                    Some(created) => created.vault,
                    // Another process created it first.
                    None => self.unlocked_for(need, None, &self.key_sources())?,
                }
            }
            other => other?,
        };
        self.check_end(&vault)?;
        Ok(vault)
    }

    /// Refuses to create a vault at a path that is most likely mistyped: one that was named, for a
    /// command that only reads, or in a directory that does not exist.
    fn check_new_vault(&self, need: Need, absent: VaultError) -> Result<(), Failure> {
        if !self.layout.is_vault_named || is_called_as_gateway() {
            return Ok(());
        }
        let path = &self.layout.vault_file;
        match path.parent() {
            _ if need == Need::Reading => Err(absent.into()),
            Some(dir) if !dir.is_dir() => Err(Failure::Refused {
                what: format!(
                    "{absent}, and no directory {}",
                    self.layout.shorten_home(dir)
                ),
                next: format!(
                    "Correct the path; or create a vault there: clawkeep --vault {} init",
                    shell_path(&self.layout, path)
                ),
            }),
            _ => Ok(()),
        }
    }

    /// The first key of a new vault: the given passphrase, since a key file would be lost with the
    /// container or with its directory; else a key of its own.
    pub(crate) fn first_key(&self) -> Result<KeyChoice, Failure> {
        harden(); // before a passphrase exists
        let provided = self.passphrases.for_new_vault()?;
        Ok(provided.map_or(KeyChoice::Automatic, |passphrase| {
            KeyChoice::Only(NewKey::Passphrase(passphrase))
        }))
    }

    /// Creates the vault, and reports on stderr where its key is and why.
    pub(crate) fn create(&self, choice: &KeyChoice) -> Result<Option<Created>, Failure> {
        harden();
        let existed_before = self.lock_dir().exists();
        let _progress = self.ui.progress("Creating the vault");
        let made = self.workspace.create(choice, &self.key_sources())?;
        if let Some(created) = &made {
            if existed_before {
                let path = self.layout.shorten_home(&self.layout.vault_file);
                self.ui.warn(&format!(
                    "Warning: there was a vault at {path} before. It is gone, and its record with \
                     it; this one starts empty."
                ));
            }
            let vault = self.layout.shorten_home(created.vault.path());
            let place = match (created.kind, &created.keyfile) {
                (SlotKind::Keyfile, Some(path)) => {
                    format!("in the key file {}", self.layout.shorten_home(path))
                }
                (SlotKind::Passphrase, _) => match self.passphrases.file() {
                    Some(path) => format!("the passphrase in {}", self.layout.shorten_home(path)),
                    None => "your passphrase".to_owned(),
                },
                _ => "in the keychain".to_owned(),
            };
            let why = created
                .no_keychain
                .as_ref()
                .map(|problem| format!(" ({problem})"))
                .unwrap_or_default();
            let settings = self.layout.shorten_home(&self.layout.settings_file);
            self.ui.note(&format!(
                "Note: created the vault {vault}; its key is {place}{why}. Settings go into \
                 {settings}. If you lose that key, nobody can open the vault. Create a recovery \
                 code: clawkeep key recovery"
            ));
            self.keep_head(&created.vault);
        }
        Ok(made)
    }
}
