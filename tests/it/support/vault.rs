//! The vault of a home, opened with its key: to bring it into states that commands alone do not
//! lead to.

use std::time::Duration;

use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::Fingerprint;
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::{Grant, GrantState, KeySources, UnlockedVault, Upgrade, Vault};
use rusqlite::Connection;

use super::home::{Home, VAULT};

/// The vault at a place of a home, by its key file.
pub(crate) fn unlocked(home: &Home, place: &str) -> UnlockedVault {
    let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
    let sources = KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: home.at(".config/clawkeep"),
        keychain: &keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    };
    let vault = Vault::open(&home.at(place)).unwrap();
    vault.unlock(&sources).unwrap()
}

/// Sets what is known of grants, as refreshes do.
pub(crate) fn set_grants(
    home: &Home,
    place: &str,
    grants: impl IntoIterator<Item = (Fingerprint, Grant)>,
) {
    let mut vault = unlocked(home, place);
    let actor = Actor::current("test");
    let mut tx = vault.begin(&actor, Clock::System).unwrap();
    for (print, grant) in grants {
        tx.set_grant(print, &grant).unwrap();
    }
    let event = EventDraft::new(EventKind::CredentialBorrowed, Origin::Clawkeep);
    tx.append(None, event).unwrap();
    tx.commit().unwrap();
}

/// Changes what is known of every grant that has a row.
pub(crate) fn set_all_grants(home: &Home, change: impl Fn(&mut Grant)) {
    let prints = prints(home, "SELECT print FROM grants");
    let vault = unlocked(home, VAULT);
    let changed: Vec<(Fingerprint, Grant)> = prints
        .into_iter()
        .map(|print| {
            let mut grant = vault.grant(print).unwrap();
            change(&mut grant);
            (print, grant)
        })
        .collect();
    drop(vault);
    set_grants(home, VAULT, changed);
}

fn prints(home: &Home, sql: &str) -> Vec<Fingerprint> {
    let conn = Connection::open(home.at(VAULT)).unwrap();
    let mut select = conn.prepare(sql).unwrap();
    let prints = select.query_map([], |row| row.get(0)).unwrap();
    let prints: Vec<Vec<u8>> = prints.map(Result::unwrap).collect();
    let prints = prints.iter().map(|print| Fingerprint::from_bytes(print));
    prints.map(Option::unwrap).collect()
}

/// Sets the state of the grants that took the places of spent ones.
pub(crate) fn set_successors(home: &Home, state: GrantState, fence: i64) {
    let sql = "SELECT successor FROM grants WHERE successor IS NOT NULL";
    let grant = Grant {
        state,
        fence,
        ..Grant::default()
    };
    let prints = prints(home, sql).into_iter();
    set_grants(home, VAULT, prints.map(|print| (print, grant.clone())));
}
