//! Whether the vault has what was found, and what was found twice: secrets are compared, never
//! shown.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use secrecy::ExposeSecret as _;

use super::{Discovered, Found, Kept};
use crate::domain::{Borrowed, Fingerprint, path_text};
use crate::vault::{UnlockedVault, VaultError};

/// What the vault has of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InVault {
    /// The same secret.
    Yes,
    /// Another token of the same login, which the next load replaces.
    Earlier,
    /// Nothing of it.
    No,
}

impl InVault {
    /// Returns the name in what is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Earlier => "earlier",
            Self::No => "no",
        }
    }
}

/// The secrets of every agent in a vault, as keyed fingerprints.
#[derive(Debug)]
pub struct VaultSecrets<'v> {
    vault: &'v UnlockedVault,
    secrets: HashSet<Fingerprint>,
    profiles: BTreeSet<String>,
    borrowed: Vec<Borrowed>,
}

impl<'v> VaultSecrets<'v> {
    /// Reads the secrets of a vault.
    ///
    /// # Errors
    /// When the vault cannot be read.
    pub fn of(vault: &'v UnlockedVault) -> Result<Self, VaultError> {
        let mut all = Self {
            vault,
            secrets: HashSet::new(),
            profiles: BTreeSet::new(),
            borrowed: Vec::new(),
        };
        for agent in vault.agents()? {
            let state = vault.agent(&agent)?;
            for (id, credential) in state.doc.credentials() {
                all.profiles.insert(id.to_owned());
                let secrets = [credential.expose_secret(), credential.expose_refresh()];
                let secrets = secrets.into_iter().flatten().map(str::trim);
                all.secrets
                    .extend(secrets.map(|secret| vault.fingerprint(secret)));
            }
            all.borrowed.extend(state.borrowed.into_values());
        }
        Ok(all)
    }

    /// The ids of the credentials of every agent.
    pub(super) fn profiles(&self) -> &BTreeSet<String> {
        &self.profiles
    }

    /// Whether a load reads a file again, for logins and keys that were imported from it.
    pub(super) fn borrows_from(&self, path: &Path) -> bool {
        let path = path_text(path);
        self.borrowed.iter().any(|from| from.path == *path)
    }

    /// What the vault has of a credential; `None` if that is not known, since the secret is not.
    #[must_use]
    pub fn find(&self, credential: &Discovered) -> Option<InVault> {
        if credential.kept != Kept::Plain {
            return None;
        }
        let secrets = [&credential.secret, &credential.refresh]
            .into_iter()
            .flatten();
        let is_held = |secret: &secrecy::SecretString| {
            let fingerprint = self.vault.fingerprint(secret.expose_secret());
            self.secrets.contains(&fingerprint)
        };
        let mut secrets = secrets;
        Some(match () {
            () if secrets.any(is_held) => InVault::Yes,
            () if self.follows(credential) => InVault::Earlier,
            () => InVault::No,
        })
    }

    /// Whether a load reads the file of this login again.
    fn follows(&self, credential: &Discovered) -> bool {
        if credential.is_for_server || credential.refresh.is_none() {
            return false;
        }
        let mirror = credential.program.mirror.as_ref();
        let is_mirrored = mirror.is_some_and(|mirror| self.profiles.contains(mirror.profile));
        self.borrows_from(&credential.path) || is_mirrored
    }
}

impl Found {
    /// The secrets that are in several files: the credentials that have each, by their indices, one
    /// a file. A login counts by its refresh token, which one program alone may redeem: the files
    /// of one program count as one. Gateways' stores do not count.
    #[must_use]
    pub fn shared_secrets(&self) -> Vec<Vec<usize>> {
        let mut by_secret: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (index, credential) in self.credentials.iter().enumerate() {
            if credential.is_in_store() {
                continue; // perhaps clawkeep's own copy
            }
            let login = credential.refresh.as_ref();
            let Some(secret) = login.or(credential.secret.as_ref()) else {
                continue;
            };
            let places = by_secret.entry(secret.expose_secret()).or_default();
            let is_known = |known: &usize| {
                let known = &self.credentials[*known];
                let is_of_one = login.is_some() && known.program.owner == credential.program.owner;
                is_of_one || known.path == credential.path
            };
            if !places.iter().any(is_known) {
                places.push(index);
            }
        }
        let mut shared: Vec<_> = by_secret
            .into_values()
            .filter(|all| all.len() > 1)
            .collect();
        shared.sort();
        shared
    }
}
