//! An encrypted, audited vault for the credentials of AI model providers: API keys, tokens and
//! OAuth logins, in one SQLite file.
//!
//! The library never prints, prompts, exits or reads the environment; the `clawkeep` program does.
//! `docs/architecture.md` is the map of both.
//!
//! # A token in 12 lines
//!
//! [`Client`] is the front door. It hands out a credential of a provider, refreshed if it is due,
//! after its use is in the audit record.
//!
//! ```no_run
//! use clawkeep::Client;
//! use clawkeep::secrecy::ExposeSecret as _;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let client = Client::builder("my-gateway") // this program's name in the record
//!     .environment(std::env::vars_os()) // the vault that `clawkeep` uses here
//!     .open_or_create()?;
//! let token = client.token("openai")?;
//! let header = format!("Bearer {}", token.secret().expose_secret());
//! // … the request to the provider …
//! client.mark_used(token.profile().as_str())?;
//! # drop(header);
//! # Ok(())
//! # }
//! ```
//!
//! # The vault itself
//!
//! A vault is made or opened with [`vault::create`], [`vault::Vault::open`] and
//! [`vault::Vault::unlock`]. Every change goes through a [`vault::Tx`] and carries its event. The
//! record is read from the locked vault, without a key.
//!
//! ```
//! use clawkeep::audit::{EventKind, Filter, Origin};
//! use clawkeep::domain::{AgentName, ProfileId};
//! use clawkeep::platform::keychain::{DEADLINE, SessionBus, SystemKeychain};
//! use clawkeep::platform::{Actor, Clock};
//! use clawkeep::vault::{ChangeNote, KeyChoice, KeySources, Upgrade, Vault, create};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("vault.db");
//! let keychain = SystemKeychain::new(DEADLINE, SessionBus::Absent); // uses a key file
//! let keys = KeySources {
//!     named_keyfile: None,
//!     credential_keyfile: None,
//!     keyfile_dir: dir.path().join("keys"),
//!     keychain: &keychain,
//!     secrets: None,
//!     upgrade: Upgrade::default(),
//! };
//! let actor = Actor::current("my-gateway");
//! let made = create(&path, &KeyChoice::Automatic, &keys, &actor, Clock::System)?;
//! let mut vault = made.ok_or("another process made it")?.vault;
//!
//! // A credential and its event are committed together, or neither is.
//! let (agent, id) = (AgentName::default(), ProfileId::new("openai:default"));
//! let entry = serde_json::json!({"type": "api_key", "provider": "openai", "key": "sk-…"});
//! let mut tx = vault.begin(&actor, Clock::System)?;
//! let note = ChangeNote::new(EventKind::ProfileCreated, Origin::Clawkeep);
//! tx.put_profile(&agent, &id, &entry, note)?;
//! tx.commit()?;
//!
//! // Asking needs no key; proving does.
//! let newest = Vault::open(&path)?.history(&Filter::default())?.next();
//! assert_eq!(&*newest.ok_or("a vault has events")??.kind, "profile.created");
//! let verified = vault.verify_record(None)?.map_err(|fault| fault.to_string())?;
//! assert_eq!(verified.events, 2);
//! # Ok(())
//! # }
//! ```
//!
//! # Features
//!
//! | feature | adds |
//! | --- | --- |
//! | `cli` (default) | the `clawkeep` program; implies all others |
//! | `oauth` | an HTTP client: logging in, and refreshing logins |
//! | `keychain` | vault keys in the operating system's keychain |
//! | `watch` | [`sync`] when files change |
//! | `alerts` | alerts over HTTP, by a command and on the desktop; implies `oauth` |
//!
//! Without `oauth` a login that needs a refresh is not refreshed: the error kind
//! [`RefreshUnavailable`](client::ErrorKind::RefreshUnavailable).
//!
//! # Errors
//!
//! Each module has an error of its own, `#[non_exhaustive]`. [`client::ClientError`] has them all,
//! and [`ClientError::kind`](client::ClientError::kind) tells a program what to do: try again
//! (`busy`), ask for a passphrase (`locked`), log in (`no_credential`, which says why each
//! credential was passed over). Names of kinds stay.
//!
//! # Threads and async code
//!
//! Calls block. [`Client`] is [`Send`] and [`Sync`]; its calls run one after the other. In async
//! code, call it on a thread for blocking work. After a `fork` it refuses; open another one in the
//! child.
//!
//! ```no_run
//! # use clawkeep::client::{Client, Token};
//! # use std::sync::Arc;
//! async fn token(client: Arc<Client>) -> Result<Token, Box<dyn std::error::Error>> {
//!     Ok(tokio::task::spawn_blocking(move || client.token("openai")).await??)
//! }
//! ```
//!
//! # What is never promised
//!
//! - A program that runs as the same user can read what this library can read: the key file, or the
//!   keychain that is open.
//! - A secret that was handed out is out of the library's hands.
//! - The umask, limits, signals and the memory of the process are its owner's:
//!   [`platform::harden`] and [`platform::forbid_core_dump`] are there to be called.
//! - The order of modules other than [`client`], and their functions, may change between versions.
//!
//! `docs/security.md` has the promises, each with its test.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "a test may fail where no thread can be started"
    )
)]

#[cfg(feature = "alerts")]
pub mod alerts;
pub mod audit;
pub mod client;
pub mod config;
pub mod crypto;
#[doc(hidden)]
pub mod discover;
pub mod doctor;
pub mod domain;
pub mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
pub mod health;
pub mod oauth;
pub mod platform;
pub mod selection;
pub mod sources;
pub mod sync;
pub mod vault;

/// What the `clawkeep` program, the tests and the benches use of this library, and what is promised
/// to nobody: it changes with any version.
#[doc(hidden)]
pub mod internal {
    #[cfg(feature = "alerts")]
    pub use crate::alerts;
    pub use crate::{
        audit, client, config, crypto, discover, doctor, domain, export, health, oauth, platform,
        selection, sources, sync, vault,
    };
}

pub use client::Client;
/// The crate whose types hold secrets; [`secrecy::ExposeSecret`] reads them.
pub use secrecy;
