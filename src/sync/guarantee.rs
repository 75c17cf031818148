//! The guarantee, tried: every event of every change is made to fail in turn. Nothing may then be
//! changed that has no event, and the next try must come to where it would have come.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    DUE_BELOW_MS, Edited, Engine, LoginSources, RefreshOutcome, Refresher, SyncError, SyncMode,
    When,
};
use crate::audit::{EventDraft, EventKind, Origin};
use crate::config::{AgentRef, LoginFiles, parse_providers};
use crate::domain::{AgentName, Owner, ProfileId, Section, UnixMs};
use crate::oauth::Providers;
use crate::platform::keychain::{SessionBus, SystemKeychain};
use crate::platform::{Actor, Clock};
use crate::vault::{KeyChoice, KeySources, UnlockedVault, Upgrade, Vault, create};

const START: i64 = 1_800_000_000_000;
const HOUR: i64 = 3_600_000;
const DAY: i64 = 24 * HOUR;

/// A directory with a vault, an agent and Claude Code's login.
struct Place {
    dir: TempDir,
}

impl Place {
    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn with_keys<T>(&self, work: impl FnOnce(&KeySources<'_>) -> T) -> T {
        let keychain = SystemKeychain::new(Duration::ZERO, SessionBus::Absent);
        work(&KeySources {
            named_keyfile: None,
            credential_keyfile: None,
            keyfile_dir: self.at("keys"),
            keychain: &keychain,
            secrets: None,
            upgrade: Upgrade::default(),
        })
    }

    fn new() -> Self {
        let place = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        place.with_keys(|keys| {
            let choice = KeyChoice::Automatic;
            let clock = Clock::Fixed(UnixMs(START));
            let path = place.at("vault.db");
            create(&path, &choice, keys, &actor(), clock)
                .unwrap()
                .unwrap();
        });
        place
    }

    /// A copy of all files, to be put back: stores are known by their paths.
    fn saved(&self) -> TempDir {
        let saved = tempfile::tempdir().unwrap();
        copy_dir(self.dir.path(), saved.path());
        saved
    }

    fn put_back(&self, saved: &TempDir) {
        for entry in fs::read_dir(self.dir.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        copy_dir(saved.path(), self.dir.path());
    }

    fn open(&self) -> UnlockedVault {
        let vault = Vault::open(&self.at("vault.db")).unwrap();
        self.with_keys(|keys| vault.unlock(keys).unwrap())
    }

    fn write(&self, name: &str, value: &Value) {
        let path = self.at(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, value.to_string()).unwrap();
    }

    /// Everything but the locks.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        for name in ["agent", "claude.json"] {
            read_all(&self.at(name), &mut files);
        }
        files
            .into_iter()
            .map(|(path, bytes)| {
                (
                    path.strip_prefix(self.dir.path()).unwrap().to_owned(),
                    bytes,
                )
            })
            .collect()
    }
}

fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

fn read_all(path: &Path, files: &mut BTreeMap<PathBuf, Vec<u8>>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            read_all(&entry.unwrap().path(), files);
        }
    } else if let Ok(bytes) = fs::read(path) {
        files.insert(path.to_owned(), bytes);
    }
}

fn actor() -> Actor {
    Actor::current("test")
}

fn agent(place: &Place) -> AgentRef {
    AgentRef {
        name: AgentName::default(),
        dir: place.at("agent"),
    }
}

fn with_engine<T>(
    place: &Place,
    vault: &mut UnlockedVault,
    at: i64,
    work: impl FnOnce(&mut Engine<'_>) -> T,
) -> T {
    let sources = LoginSources {
        logins: vec![LoginFiles::at(Owner::ClaudeCode, place.at("claude.json"))],
        user: String::new(),
        keychain: None,
        legacy_oauth_file: place.at("no-oauth"),
    };
    let actor = actor();
    let clock = Clock::Fixed(UnixMs(at));
    work(&mut Engine::new(
        vault,
        &sources,
        &actor,
        clock,
        place.at("locks"),
    ))
}

fn load(place: &Place, vault: &mut UnlockedVault, at: i64) -> Result<(), SyncError> {
    let agent = agent(place);
    let loaded = with_engine(place, vault, at, |engine| engine.load(&agent, SyncMode::On))?;
    match loaded.not_written {
        Some(error) => Err(error.into()),
        None => Ok(()),
    }
}

const STORE: &str = "agent/auth-profiles.json";

fn token(token: &str, expires: i64) -> Value {
    json!({"type": "token", "provider": "p", "token": token, "expires": expires})
}

fn login(token: &str, expires: i64) -> Value {
    json!({"claudeAiOauth": {"accessToken": token, "refreshToken": "r", "expiresAt": expires}})
}

/// A place in which everything has happened once.
fn settled() -> Place {
    let place = Place::new();
    let profiles = json!({"p:a": token("a", START + 3 * DAY), "p:b": token("b", START + 90 * DAY)});
    place.write(STORE, &json!({"version": 1, "profiles": profiles}));
    place.write("claude.json", &login("c", START + 30 * DAY));
    load(&place, &mut place.open(), START).unwrap();
    place
}

/// Refreshes `p:login`, and loads what came of it.
fn refresh(place: &Place, vault: &mut UnlockedVault) -> Result<(), SyncError> {
    let endpoint = token_endpoint();
    let settings = format!("[providers.p]\ntoken_url = \"{endpoint}\"\nclient_id = \"c\"");
    let providers = Providers::new(&parse_providers(&settings).unwrap());
    let agent = agent(place);
    let id = ProfileId::new("p:login");
    with_engine(place, vault, START, |engine| {
        let refresher = Refresher::new(&providers, std::slice::from_ref(&agent));
        let when = When::LessLeftThan(DUE_BELOW_MS);
        match engine.refresh(&refresher, &agent, SyncMode::Off, &id, when)? {
            RefreshOutcome::NotRefreshed(why) => panic!("{why:?}"),
            RefreshOutcome::Refreshed(not_written) => {
                assert!(not_written.is_empty(), "{not_written:?}")
            }
            RefreshOutcome::StillValid => {}
        }
        engine.load(&agent, SyncMode::Off).map(|_| ())
    })
}

/// A token endpoint that gives the same tokens to everybody.
fn token_endpoint() -> &'static str {
    static ADDRESS: OnceLock<String> = OnceLock::new();
    ADDRESS.get_or_init(|| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}/token", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut request = [0; 4096]; // a client's headers and body come in one piece here
                let _ = stream.read(&mut request).unwrap();
                let body = r#"{"access_token": "a1", "refresh_token": "r1", "expires_in": 3600}"#;
                let head = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                stream.write_all((head + body).as_bytes()).unwrap();
            }
        });
        address
    })
}

type Change = fn(&Place, &mut UnlockedVault) -> Result<(), SyncError>;

type Preparation = fn(&Place);

/// Each change, with what is done to the settled place before it.
fn changes() -> Vec<(&'static str, Preparation, Change)> {
    fn nothing(_: &Place) {}
    vec![
        (
            "a refreshed login",
            |place| place.write("claude.json", &login("d", START + 40 * DAY)),
            |place, vault| load(place, vault, START),
        ),
        (
            "another program's changes",
            |place| {
                let (a, c) = (token("a2", START + 5 * DAY), token("c", START + 9 * DAY));
                let store = json!({
                    "version": 1, "profiles": {"p:a": a, "p:c": c}, "order": {"p": ["p:a"]},
                    "usageStats": {"p:a": {"lastUsed": START, "cooldownUntil": START + HOUR}},
                });
                place.write(STORE, &store);
            },
            |place, vault| load(place, vault, START),
        ),
        (
            "a damaged store",
            |place| fs::write(place.at(STORE), "{").unwrap(),
            |place, vault| load(place, vault, START),
        ),
        (
            "a store that is gone",
            |place| fs::remove_file(place.at(STORE)).unwrap(),
            |place, vault| load(place, vault, START),
        ),
        ("an end that comes nearer", nothing, |place, vault| {
            load(place, vault, START + 4 * DAY)
        }),
        (
            "a damaged login",
            |place| fs::write(place.at("claude.json"), "{").unwrap(),
            |place, vault| load(place, vault, START),
        ),
        ("a command's change", nothing, |place, vault| {
            let agent = agent(place);
            let edited = with_engine(place, vault, START, |engine| {
                engine.edit(&agent, SyncMode::On, |doc| {
                    let mut after = doc.clone();
                    after.set(Section::Profiles, "p:new", token("n", START + DAY));
                    after.remove(Section::Profiles, "p:b");
                    after.set(Section::Order, "p", json!(["p:new"]));
                    let event = EventDraft::new(EventKind::OrderSet, Origin::Clawkeep);
                    Ok::<_, SyncError>(Edited::to(after, vec![event]))
                })
            });
            edited.map(|_| ())
        }),
        (
            "a refreshed login",
            |place| {
                let expired = json!({
                    "type": "oauth", "provider": "p", "access": "a0", "refresh": "r0",
                    "expires": START - 1,
                });
                place.write(
                    STORE,
                    &json!({"version": 1, "profiles": {"p:login": expired}}),
                );
                load(place, &mut place.open(), START).unwrap();
            },
            refresh,
        ),
        ("pruning", nothing, |_, vault| {
            let clock = Clock::Fixed(UnixMs(START + 9 * DAY));
            vault
                .prune(UnixMs(START + DAY), None, &actor(), clock)?
                .unwrap();
            Ok(())
        }),
    ]
}

#[test]
#[cfg_attr(not(feature = "oauth"), ignore = "it refreshes a login")]
fn nothing_changes_unless_its_event_is_recorded() {
    for (what, prepare, change) in changes() {
        let place = settled();
        prepare(&place);
        let saved = place.saved();
        let before = place.open().events_recorded();
        change(&place, &mut place.open()).unwrap();
        let after = place.open();
        assert!(
            after.events_recorded() != before,
            "{what}: nothing is recorded, so nothing is tried"
        );
        let doc = |vault: &UnlockedVault| vault.agent(&AgentName::default()).unwrap().doc;
        let store = || fs::read(place.at(STORE)).unwrap();
        let done = (doc(&after), store());
        drop(after);
        let mut failed = 0;
        for nth in 1.. {
            place.put_back(&saved);
            let mut vault = place.open();
            let (rows, files) = (vault.rows_but_the_record(), place.files());
            vault.refuse_event(nth);
            if change(&place, &mut vault).is_ok() {
                break; // it has fewer events than that
            }
            failed += 1;
            drop(vault);
            let mut vault = place.open();
            let context = format!("{what}, event {nth}");
            assert!(vault.verify_record(None).unwrap().is_ok(), "{context}");
            let state = vault.agent(&AgentName::default()).unwrap();
            assert_eq!(state.unopened, Vec::<String>::new(), "{context}");
            if vault.events_recorded() == before {
                let found = vault.rows_but_the_record();
                assert_eq!(found, rows, "{context}: rows changed and no event says so");
                let moved = |path: &PathBuf| path.to_string_lossy().contains(".corrupt-");
                // A damaged file is moved aside before anything is decided; it does not count.
                if !place.files().keys().any(moved) {
                    assert_eq!(
                        place.files(),
                        files,
                        "{context}: files changed and no event says so"
                    );
                }
            }
            // Tried again, it comes to the same.
            change(&place, &mut vault).unwrap();
            assert_eq!((doc(&vault), store()), done, "{context}");
        }
        assert!(failed > 0, "{what}: no event was made to fail");
    }
}
