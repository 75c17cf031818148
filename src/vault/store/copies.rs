//! Copies of other programs' settings, sealed to be kept outside the vault.

use crate::crypto::Aad;
use crate::domain::SecretJson;
use crate::vault::error::VaultError;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::sealing::seal_json::{open_json, seal_json};

impl UnlockedVault {
    /// Seals a copy of settings of the program of that name. The vault's present data key opens it:
    /// after a rotation it has to be sealed again.
    pub fn seal_copy(&self, name: &str, copy: &SecretJson) -> Result<Vec<u8>, VaultError> {
        let aad = Aad::new(self.id, "copy", "settings").text(name);
        Ok(seal_json(&self.keys.seal, aad, copy.expose_secret())?)
    }

    /// Opens what [`UnlockedVault::seal_copy`] made for the same name, else `None`.
    #[must_use]
    pub fn open_copy(&self, name: &str, blob: &[u8]) -> Option<SecretJson> {
        let aad = Aad::new(self.id, "copy", "settings").text(name);
        open_json(&self.keys.seal, aad, blob).map(SecretJson::new)
    }
}
