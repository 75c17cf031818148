//! Where a client finds the key of its vault.

use std::path::PathBuf;

use secrecy::SecretString;

use super::workspace::{Heads, Workspace};
use crate::platform::Keychain;
use crate::vault::{KeyChoice, KeyProblem, KeySources, NewKey, SecretSource};

/// The key sources that a client was set up with.
pub(super) struct Keys {
    pub(super) file: Option<PathBuf>,
    pub(super) dir: Option<PathBuf>,
    pub(super) keychain: Box<dyn Keychain>,
    pub(super) passphrase: Option<SecretString>,
}

impl Keys {
    pub(super) fn sources<'k>(
        &'k self,
        workspace: &'k Workspace,
        heads: &'k Heads,
    ) -> KeySources<'k> {
        let secrets = self
            .passphrase
            .is_some()
            .then_some(self as &dyn SecretSource);
        let mut sources = workspace.key_sources(&*self.keychain, secrets, heads);
        if let Some(file) = &self.file {
            sources.named_keyfile = Some(file.clone());
        }
        if let Some(dir) = &self.dir {
            sources.keyfile_dir.clone_from(dir);
        }
        sources
    }

    /// The first key of a new vault.
    pub(super) fn first(&self) -> KeyChoice {
        match &self.passphrase {
            Some(secret) => KeyChoice::Only(NewKey::Passphrase(secret.clone())),
            None => KeyChoice::Automatic,
        }
    }
}

impl SecretSource for Keys {
    fn is_named(&self) -> bool {
        true
    }

    fn next(&self, before: Option<&KeyProblem>) -> Result<Option<SecretString>, KeyProblem> {
        Ok(self.passphrase.clone().filter(|_| before.is_none()))
    }
}
