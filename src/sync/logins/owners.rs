//! Which program a login belongs to, and which therefore refreshes it.

use super::decide::Rules;
use super::sources::{LoginSources, Readings};
use crate::domain::{Credential, Owner};
use crate::sources::Reading;

/// The owner of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    /// It belongs to the vault, which refreshes it.
    Vault,
    /// It belongs to another program, which refreshes it.
    OtherProgram(Owner),
    /// It may belong to that program, whose own login cannot be read.
    Unknown(Owner),
}

/// Finds out which program a login belongs to.
pub(crate) struct Owners<'s> {
    sources: &'s LoginSources<'s>,
    readings: Readings,
}

impl<'s> Owners<'s> {
    /// Finds owners by what the sources say now; each is read once, when it is first needed.
    pub(crate) fn new(sources: &'s LoginSources<'s>) -> Self {
        let readings = Readings::default();
        Self { sources, readings }
    }

    /// Finds out whether another program is logged in with that very login just now, under any id:
    /// its refresh token is that program's to redeem. If that program's own login cannot be read,
    /// it may be. Source: `spec/compat.md`, Sync.
    pub(crate) fn of(&self, credential: &Credential<'_>) -> Owned {
        for (files, cells) in self.readings.of(self.sources) {
            let owner = files.owner;
            if !(owner.mirror()).is_some_and(|mirror| credential.is_for(mirror.provider)) {
                continue;
            }
            // Whatever the settings say, a login in the file may be the program's.
            let read = || self.sources.read(files, Rules::Reference);
            match cells.login.get_or_init(read) {
                (_, Reading::Found(login)) if login.is(credential) => {
                    return Owned::OtherProgram(owner);
                }
                (_, Reading::Damaged(_)) => return Owned::Unknown(owner),
                _ => {}
            }
        }
        Owned::Vault
    }
}
