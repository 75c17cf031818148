//! Opening the vault, and where its keys are found.

use std::path::Path;

use super::Workspace;
use super::head_file::read_head;
use crate::audit::Head;
use crate::client::error::ClientError;
use crate::config::Layout;
use crate::domain::VaultId;
use crate::platform::{Access, FileError, Keychain, check_trusted, exists};
use crate::vault::{
    Created, KeyChoice, KeySources, SecretSource, UnlockedVault, Upgrade, Vault, VaultError, create,
};

/// Reads the kept head of a vault.
pub struct Heads(Box<dyn Fn(VaultId) -> Option<Head> + Send + Sync>);

impl std::fmt::Debug for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Heads")
    }
}

impl Heads {
    /// Makes a reader of the heads that are kept by these paths.
    #[must_use]
    pub fn of(layout: &Layout) -> Self {
        let layout = layout.clone();
        Self(Box::new(move |vault| {
            read_head(layout.head_file(vault)).ok().flatten()
        }))
    }
}

impl Workspace {
    /// Returns where the vault's keys are found: in key files, the keychain, and what `secrets`
    /// provides.
    #[must_use]
    pub fn key_sources<'s>(
        &'s self,
        keychain: &'s dyn Keychain,
        secrets: Option<&'s dyn SecretSource>,
        heads: &'s Heads,
    ) -> KeySources<'s> {
        KeySources {
            named_keyfile: self.layout.named_key_file().map(Path::to_owned),
            credential_keyfile: self.layout.credential_key_file(),
            keyfile_dir: self.layout.key_file_dir(),
            keychain,
            secrets,
            upgrade: Upgrade {
                by: Some((&self.actor, self.clock)),
                kept_head: Some(&*heads.0),
            },
        }
    }

    /// Opens the vault without its key. A read-only vault may be a copy in memory that falls behind
    /// the file: then the kept head is read once, before the copy is made. A later head would be
    /// ahead of the copy.
    ///
    /// # Errors
    /// As [`Vault::open`].
    pub fn open_locked(&self) -> Result<Vault, ClientError> {
        self.open_locked_by(Vault::open)
    }

    /// As [`Workspace::open_locked`], for an answer that the vault is only read for.
    ///
    /// # Errors
    /// As [`Vault::open_to_read`].
    pub fn open_locked_to_read(&self) -> Result<Vault, ClientError> {
        self.open_locked_by(Vault::open_to_read)
    }

    fn open_locked_by(
        &self,
        open: impl Fn(&Path) -> Result<Vault, VaultError>,
    ) -> Result<Vault, ClientError> {
        let vault = open(&self.layout.vault_file)?;
        if vault.read_only().is_none() {
            return Ok(vault);
        }
        let Ok(kept) = self.kept_head(&vault) else {
            return Ok(vault); // what needs the head reports the failure
        };
        *self.kept_at_opening() = Some(kept);
        let is_behind = kept.is_some_and(|kept| !vault.has_event_of(&kept).unwrap_or(true));
        Ok(match is_behind {
            true => open(&self.layout.vault_file)?,
            false => vault,
        })
    }

    /// Unlocks the vault that [`Workspace::open_locked`] opened.
    ///
    /// # Errors
    /// When its kept head is not trusted, and as [`Vault::unlock`].
    pub fn unlock(
        &self,
        vault: Vault,
        sources: &KeySources<'_>,
    ) -> Result<UnlockedVault, ClientError> {
        // before the vault changes and a new head replaces it
        refuse_untrusted(&self.layout.head_file(vault.id()), Access::Read)?;
        Ok(vault.unlock(sources)?)
    }

    /// Creates the vault; `None` if another process just did.
    ///
    /// # Errors
    /// [`VaultError::MovedAway`] where a vault was found a moment ago, and was moved since: a new
    /// one would be a second one. Otherwise as [`create`].
    pub fn create(
        &self,
        choice: &KeyChoice,
        sources: &KeySources<'_>,
    ) -> Result<Option<Created>, VaultError> {
        let path = &self.layout.vault_file;
        if self.layout.vaults.contains(path) && !exists(path) {
            let path = path.clone();
            return Err(VaultError::MovedAway { path });
        }
        create(path, choice, sources, &self.actor, self.clock)
    }

    /// Checks the places of new files before they are created: another user's are left alone, since
    /// our files there (`sudo`) would lock out their owner.
    ///
    /// # Errors
    /// [`FileError::Untrusted`].
    pub fn check_owner(&self) -> Result<(), FileError> {
        refuse_untrusted(&self.layout.home, Access::Read)?;
        for dir in [
            &self.layout.state_dir,
            &self.layout.vault_dir,
            &self.layout.heads_dir(),
            &self.lock_dir(),
        ] {
            refuse_untrusted(dir, Access::CreateIn)?;
        }
        Ok(())
    }
}

/// Refuses a place that another user can have changed. A place that cannot be examined is reported
/// by what needs it.
fn refuse_untrusted(path: &Path, access: Access) -> Result<(), FileError> {
    match check_trusted(path, access) {
        Err(error @ FileError::Untrusted(_)) => Err(error),
        _ => Ok(()),
    }
}
