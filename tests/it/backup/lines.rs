//! Processes that have the vault open while another one is put in its place.

use std::path::Path;
use std::time::Duration;

use clawkeep::internal::domain::{AgentName, Section};
use clawkeep::internal::platform::keychain::{SessionBus, SystemKeychain};
use clawkeep::internal::platform::{Actor, Clock};
use clawkeep::internal::vault::{KeySources, UnlockedVault, Upgrade, Vault, VaultError};

use super::{BACKUP, ID, SECRET, create, home_with_key, restore_alone, set_key};
use crate::support::home::{Home, VAULT};

fn with_sources<T>(home: &Home, work: impl FnOnce(&KeySources<'_>) -> T) -> T {
    let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
    work(&KeySources {
        named_keyfile: None,
        credential_keyfile: None,
        keyfile_dir: home.at(".config/clawkeep"),
        keychain: &keychain,
        secrets: None,
        upgrade: Upgrade::default(),
    })
}

fn open(home: &Home, path: &Path) -> UnlockedVault {
    with_sources(home, |sources| {
        Vault::open(path).unwrap().unlock(sources).unwrap()
    })
}

#[test]
fn a_process_that_has_the_vault_open_goes_on_with_the_restored_one() {
    let home = home_with_key("one");
    create(&home, BACKUP);
    set_key(&home, "two");
    let mut vault = open(&home, &home.at(VAULT));
    let main = AgentName::default();
    let before = vault.agent(&main).unwrap();
    restore_alone(&home, BACKUP).ok();
    vault.reload_keys().unwrap();
    let after = vault.agent(&main).unwrap();
    assert!(after.unopened.is_empty(), "{:?}", after.unopened);
    let entry = after.doc.get(Section::Profiles, ID).unwrap();
    assert_eq!(entry["key"], format!("{SECRET}two"));
    // What it has read before is of another number than anything that is there now: it commits
    // nothing made of that.
    assert!(
        after.revision > before.revision,
        "{} {}",
        after.revision,
        before.revision
    );
    let actor = Actor::current("test");
    let tx = vault.begin(&actor, Clock::System).unwrap();
    assert_ne!(tx.revision(&main).unwrap(), before.revision);
}

#[test]
fn a_process_that_has_another_vault_open_gets_an_error() {
    let (home, other) = (home_with_key("one"), home_with_key("other"));
    create(&other, BACKUP);
    std::fs::copy(other.at(BACKUP), home.at(BACKUP)).unwrap();
    for file in std::fs::read_dir(other.at(".config/clawkeep")).unwrap() {
        let file = file.unwrap();
        let name = format!(".config/clawkeep/{}", file.file_name().to_string_lossy());
        home.write(&name, std::fs::read(file.path()).unwrap());
    }
    let mut vault = open(&home, &home.at(VAULT));
    home.run(&["backup", "restore", BACKUP, "--force"]).ok();
    assert!(matches!(vault.reload_keys(), Err(VaultError::Rekeyed)));
}
