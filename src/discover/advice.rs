//! What takes each credential into the vault, so that none replaces what another gave.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use secrecy::ExposeSecret as _;

use super::{Discovered, Found, InVault, Kept, VaultSecrets};
use crate::domain::{CredentialType, Owner, TakenIn, recognise_secret};

/// How a credential gets into the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TakeIn {
    /// By importing that file.
    Import(PathBuf),
    /// By a sync, which reads the file again each time.
    Sync,
    /// By a login of the vault's own beside that program's.
    OwnLogin(Owner),
    /// By adding the secret.
    Add {
        /// The provider that it is for.
        provider: String,
        /// The id of its profile; `None` for the usual one.
        id: Option<String>,
    },
    /// By adding the secret, with a provider that only a person knows.
    UnknownProvider,
}

/// What the advice depends on beside the files.
pub struct AdviceContext<'a> {
    /// What the vault has, if it opens.
    pub vault: Option<&'a VaultSecrets<'a>>,
    /// Whether `add` accepts the name of a provider as it is.
    pub accepts: &'a dyn Fn(&str) -> bool,
}

impl Found {
    /// How each credential gets into the vault, in their order; `None` for what the vault has, and
    /// for what it has no use for. Two different secrets never get the same id.
    #[must_use]
    pub fn take_in(&self, context: &AdviceContext<'_>) -> Vec<Option<TakeIn>> {
        let mut places = Places::default();
        if let Some(vault) = context.vault {
            places.taken.clone_from(vault.profiles());
        }
        let all = self.credentials.iter();
        all.map(|credential| {
            let in_vault = context.vault.and_then(|vault| vault.find(credential));
            match in_vault {
                Some(InVault::Yes) => None,
                _ => take_in(credential, context, &mut places),
            }
        })
        .collect()
    }
}

/// The ids that the vault has, and those that the advice has given away.
#[derive(Default)]
struct Places<'f> {
    taken: BTreeSet<String>,
    imported: BTreeMap<String, &'f str>,
    added: BTreeMap<&'f str, TakeIn>,
    /// The next number of the ids that end in one.
    next: BTreeMap<String, usize>,
}

fn take_in<'f>(
    credential: &'f Discovered,
    context: &AdviceContext<'_>,
    places: &mut Places<'f>,
) -> Option<TakeIn> {
    if credential.is_for_server {
        return None;
    }
    let is_key = credential.refresh.is_none() && credential.kind == CredentialType::ApiKey;
    let import = || Some(TakeIn::Import(credential.path.clone()));
    match (credential.taken_in, credential.kept) {
        (_, Kept::Clawkeep) => None,
        (_, Kept::Keyring) => {
            let program = credential.program;
            program
                .mirror
                .is_some()
                .then_some(TakeIn::OwnLogin(program.owner))
        }
        (TakenIn::Mirrored, _) if is_key => import(),
        (TakenIn::Mirrored | TakenIn::Followed, _) => Some(TakeIn::Sync),
        (TakenIn::Import, _) if is_key && would_replace(credential, context, places) => {
            add(credential, context, places)
        }
        (TakenIn::Import, _) => import(),
        // Its program redeems the refresh token: a copy of the login would die with the next.
        (TakenIn::Add, _) if credential.is_login() => None,
        (TakenIn::Add, Kept::Plain) => add(credential, context, places),
        (TakenIn::Add | TakenIn::Nothing, _) => None,
    }
}

/// Whether an import of the file would replace another key, which another file has.
fn would_replace<'f>(
    credential: &'f Discovered,
    context: &AdviceContext<'_>,
    places: &mut Places<'f>,
) -> bool {
    let (Some(secret), Some(provider)) = (&credential.secret, &credential.provider) else {
        return false;
    };
    let id = match credential.name.contains(':') {
        true => credential.name.clone(),
        false => format!("{provider}:default"),
    };
    let is_read_again = (context.vault).is_some_and(|vault| vault.borrows_from(&credential.path));
    if places.taken.contains(&id) && !is_read_again {
        return true;
    }
    let secret = secret.expose_secret();
    *places.imported.entry(id).or_insert(secret) != secret
}

/// How a key is added: under an id of its own where the usual one is taken.
fn add<'f>(
    credential: &'f Discovered,
    context: &AdviceContext<'_>,
    places: &mut Places<'f>,
) -> Option<TakeIn> {
    let secret = credential.secret.as_ref()?.expose_secret();
    if recognise_secret(secret).is_some_and(|known| known.kind.is_none()) {
        return None; // `add` refuses it
    }
    let provider = credential.provider.as_deref();
    let Some(provider) = provider.filter(|name| (context.accepts)(name)) else {
        return Some(TakeIn::UnknownProvider);
    };
    if let Some(added) = places.added.get(secret) {
        return Some(added.clone());
    }
    let usual = format!("{provider}:manual");
    let own = format!("{provider}:{}", credential.program.id);
    let first = places.next.get(&own).copied().unwrap_or(2);
    let numbered = (first..).map(|number| (format!("{own}-{number}"), number + 1));
    let ids = [(usual.clone(), first), (own.clone(), first)];
    let mut ids = ids.into_iter().chain(numbered);
    let (id, next) = ids.find(|(id, _)| !places.taken.contains(id))?;
    places.next.insert(own, next);
    let add = TakeIn::Add {
        provider: provider.to_owned(),
        id: (id != usual).then(|| id.clone()),
    };
    places.taken.insert(id);
    places.added.insert(secret, add.clone());
    Some(add)
}
