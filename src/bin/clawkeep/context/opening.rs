//! Opening the vault, with its key or without, and making it.

use clawkeep::crypto::SlotKind;
use clawkeep::platform::{exists, harden};
use clawkeep::vault::{
    Created, KeyChoice, KeySources, NewKey, ReadOnlyReason, UnlockedVault, Vault, VaultError,
    create,
};

use super::Context;
use crate::failure::Failure;
use crate::failure::remedies::{Place, shared_storage_remedy};
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::progress::Progress;

/// What a command needs of the vault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    Reading,
    Writing,
}

impl Context {
    /// Whether there is a key file for any vault; where there is none, the key is likely in the
    /// keychain.
    fn has_keyfile(&self) -> bool {
        let named =
            self.layout.named_key_file().is_some() || self.layout.credential_key_file().is_some();
        named
            || std::fs::read_dir(self.layout.key_file_dir())
                .is_ok_and(|mut files| files.next().is_some())
    }

    /// Opens the vault without its key, to be read: where it lies may be closed to writing. There
    /// must be one.
    pub(crate) fn locked(&self) -> Result<Vault, Failure> {
        let vault = self.open()?;
        self.report_storage(&vault);
        Ok(vault)
    }

    /// Opens the vault. One that can only be read may be a copy in memory, which somebody who
    /// writes the file leaves behind: then the kept head is read once, before the copy is made that
    /// counts. A later one would be ahead of it.
    fn open(&self) -> Result<Vault, Failure> {
        let vault = Vault::open(&self.layout.vault_file)?;
        if vault.read_only().is_none() {
            return Ok(vault);
        }
        let Ok(kept) = self.kept_head(&vault) else {
            return Ok(vault); // what needs the head runs into it
        };
        self.kept_at_opening.replace(Some(kept));
        let is_behind = kept.is_some_and(|kept| !vault.has_event_of(&kept).unwrap_or(true));
        Ok(match is_behind {
            true => Vault::open(&self.layout.vault_file)?,
            false => vault,
        })
    }

    /// Says once that the vault can only be read because another system may write it, too, and what
    /// to do.
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

    /// As [`Context::locked`], for an answer to people that nothing proves.
    pub(crate) fn unverified(&self) -> Result<Vault, Failure> {
        let vault = self.locked()?;
        self.note_unverified();
        Ok(vault)
    }

    /// Marks an answer to people that nothing proves.
    pub(crate) fn note_unverified(&self) {
        self.ui.note("Unverified; see: clawkeep audit verify");
    }

    /// Shown while the vault is opened: deriving a key from a passphrase takes its time, and so may
    /// a keychain.
    fn opening(&self) -> Progress {
        self.ui.progress("Opening the vault")
    }

    /// Opens and unlocks the vault, to be read, also where it can only be read. There must be one.
    pub(crate) fn unlocked_to_read(&self) -> Result<UnlockedVault, Failure> {
        self.places.warn_of_others(self.ui);
        self.unlocked_for(Need::Reading, &self.key_sources())
    }

    /// Opens and unlocks the vault, to change what opens it. There must be one.
    pub(crate) fn unlocked(&self) -> Result<UnlockedVault, Failure> {
        let vault = self.unlocked_for(Need::Writing, &self.key_sources())?;
        self.check_end(&vault)?;
        Ok(vault)
    }

    /// As [`Context::unlocked`], where the passphrase that was given is not to open it.
    pub(crate) fn unlocked_without_passphrase(&self) -> Result<UnlockedVault, Failure> {
        let sources = KeySources {
            secrets: None,
            ..self.key_sources()
        };
        let vault = self.unlocked_for(Need::Writing, &sources)?;
        self.check_end(&vault)?;
        Ok(vault)
    }

    fn unlocked_for(&self, need: Need, sources: &KeySources<'_>) -> Result<UnlockedVault, Failure> {
        harden();
        self.check_owner()?;
        if !self.has_keyfile() {
            self.keychain.warm_up(); // the handshake then runs beside the opening of the vault
        }
        let _progress = self.opening();
        let vault = self.open()?;
        if need == Need::Writing {
            vault.require_writable()?; // before anybody is asked for a passphrase
        }
        self.report_storage(&vault);
        self.check_head(&vault)?;
        Ok(vault.unlock(sources)?)
    }

    /// Opens and unlocks the vault to change it, making it first if there is none.
    pub(crate) fn vault(&self) -> Result<UnlockedVault, Failure> {
        self.vault_for(Need::Writing)
    }

    /// As [`Context::vault`], for a command that only reads: what it would note is left out where
    /// the vault can only be read.
    pub(crate) fn vault_to_read(&self) -> Result<UnlockedVault, Failure> {
        self.vault_for(Need::Reading)
    }

    /// As [`Context::vault`], for a command that hands out credentials: each use is recorded first.
    pub(crate) fn vault_to_record_in(&self) -> Result<UnlockedVault, Failure> {
        self.vault().map_err(Failure::of_use)
    }

    fn vault_for(&self, need: Need) -> Result<UnlockedVault, Failure> {
        self.places.warn_of_others(self.ui);
        let vault = match self.unlocked_for(need, &self.key_sources()) {
            Err(Failure::Vault(VaultError::Absent { .. })) => {
                match self.create(&self.first_key()?)? {
                    Some(created) => created.vault,
                    // Another process was quicker.
                    None => self.unlocked_for(need, &self.key_sources())?,
                }
            }
            other => other?,
        };
        self.check_end(&vault)?;
        Ok(vault)
    }

    /// The first key of a vault that is to be made: the passphrase that was provided, since a key
    /// file would be lost with the container, or with the directory that holds it; else a key of
    /// its own.
    pub(crate) fn first_key(&self) -> Result<KeyChoice, Failure> {
        harden(); // before there is a passphrase
        let provided = self.passphrases.for_new_vault()?;
        Ok(provided.map_or(KeyChoice::Automatic, |passphrase| {
            KeyChoice::Only(NewKey::Passphrase(passphrase))
        }))
    }

    /// Makes the vault, and says on stderr where its key went and why.
    pub(crate) fn create(&self, choice: &KeyChoice) -> Result<Option<Created>, Failure> {
        harden();
        let path = &self.layout.vault_file;
        if self.layout.vaults.contains(path) && !exists(path) {
            // One was found there a moment ago and was moved since: a new one would be a second
            // one.
            let path = path.clone();
            return Err(VaultError::MovedAway { path }.into());
        }
        let existed_before = self.lock_dir().exists();
        let _progress = self.ui.progress("Creating the vault");
        let made = create(
            &self.layout.vault_file,
            choice,
            &self.key_sources(),
            &self.actor,
            self.clock,
        )?;
        if let Some(created) = &made {
            if existed_before {
                let path = self.layout.shorten_home(&self.layout.vault_file);
                self.ui.warn(&format!(
                    "Warning: there was a vault at {path} before. It is gone, and its record with it; this one starts empty."
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
                "Note: created the vault {vault}; its key is {place}{why}. Settings go into {settings}. If you lose that key, nobody can open the vault. Create a recovery code: clawkeep key recovery"
            ));
            self.keep_head(&created.vault);
        }
        Ok(made)
    }
}
