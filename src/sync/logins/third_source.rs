//! A third mirrored source, `Owner::Example`: a value of `PROGRAMS` and a reader, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::time::SystemTime;

use serde_json::json;

use super::decide::{Planning, Rules};
use super::report::LoginState;
use super::sources::{LoginSources, Readings};
use crate::config::{Env, HOME_VARIABLE, Layout, Overrides};
use crate::domain::{AgentName, Credential, Owner, Section, StoreDoc, UnixMs};
use crate::sync::import::ImportFile;
use crate::sync::logins::owners::{Owned, Owners};

const NOW: UnixMs = UnixMs(1_767_950_000_000);

#[test]
fn a_third_source_is_read_imported_and_explained() {
    let home = tempfile::tempdir().unwrap();
    let home_dir = home.path().to_str().unwrap();
    let env = Env::from_pairs([(HOME_VARIABLE, home_dir), ("EXAMPLE_HOME", "~/example")]);
    let layout = Layout::resolve(&env, &Overrides::default(), home.path()).unwrap();
    let sources = LoginSources {
        logins: layout.logins.clone(),
        user: String::new(),
        keychain: None,
        legacy_oauth_file: layout.oauth_file(),
    };
    let plan = |doc: &StoreDoc| {
        let planning = Planning {
            agent: &AgentName::default(),
            notes: &BTreeMap::new(),
            account: &str::to_owned,
            rules: Rules::Own,
            adopts: None,
            now: NOW,
        };
        sources.plan(doc, &Readings::default(), &planning)
    };
    let login = json!({"exampleToken": "t", "until": NOW.0 + 9}).to_string();
    let path = layout.login(Owner::Example).unwrap();
    fs::create_dir(path.parent().unwrap()).unwrap();
    fs::write(path, &login).unwrap();

    let mut doc = StoreDoc::default();
    let (planned, _) = plan(&doc);
    planned.iter().for_each(|planned| planned.apply(&mut doc));
    let entry = json!({"type": "token", "provider": "example", "token": "t", "expires": NOW.0 + 9});
    assert_eq!(doc.get(Section::Profiles, "example:cli"), Some(&entry));
    assert_eq!(planned[2].note().origin.as_str(), "example");
    let found = Owners::new(&sources).of(&Credential::of(&entry));
    assert_eq!(found, Owned::OtherProgram(Owner::Example));
    let file = ImportFile::understand(login.as_bytes(), SystemTime::now()).unwrap();
    let joined = file.join(&StoreDoc::default(), NOW);
    assert_eq!(joined.added, ["example:cli"]);

    fs::write(path, "{}").unwrap();
    let (_, reports) = plan(&doc);
    assert_eq!(reports[0].state, LoginState::LoggedOut { is_gone: false });
    assert!(
        reports[0]
            .message("~/x", NOW)
            .starts_with("Example CLI is logged out")
    );
}
