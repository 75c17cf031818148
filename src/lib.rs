//! An encrypted, audited vault for the credentials of AI model providers.
//!
//! The library never prints, prompts, exits or reads the environment; the `clawkeep` binary does.
//! The way of a credential: [`sources::claude_code`] reads, [`sync::plan`] decides, [`vault`] seals
//! and stores it with its event in one transaction, [`export`] writes `auth-profiles.json`.
//! `docs/architecture.md` is the map.
//!
//! # Embedding it
//!
//! A vault is made or opened with [`vault::create`], [`vault::Vault::open`] and
//! [`vault::Vault::unlock`]. Every change goes through a [`vault::Tx`] and carries its event. What
//! happened is asked of the locked vault, without a key. Where the file cannot be written, it is
//! opened to be read: [`vault::Vault::read_only`] says why, and a change is refused with
//! [`vault::VaultError::ReadOnly`].
//!
//! ```
//! use clawkeep::audit::{EventDraft, EventKind, Filter, Origin};
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
//! // Before a secret is handed out, that it is used is committed.
//! let mut tx = vault.begin(&actor, Clock::System)?;
//! let used = EventDraft::new(EventKind::CredentialUsed, Origin::Clawkeep).profile(&id, "openai");
//! tx.append(Some(&agent), used)?;
//! tx.commit()?;
//! let secret = vault.agent(&agent)?.doc.credential("openai:default").and_then(|credential| {
//!     credential.expose_secret().map(str::to_owned)
//! });
//! assert_eq!(secret.as_deref(), Some("sk-…"));
//!
//! // Asking needs no key; proving does.
//! let locked = Vault::open(&path)?;
//! let newest = locked.history(&Filter::default())?.next().ok_or("a vault has events")??;
//! assert_eq!(&*newest.kind, "credential.used");
//! let verified = vault.verify_record(locked.head()?)?.map_err(|fault| fault.to_string())?;
//! assert_eq!(verified.events, 3);
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
//! Without `oauth` a login that needs a refresh is not refreshed, for the reason
//! [`sync::NotRefreshed::RefreshUnavailable`].

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
pub mod config;
pub mod crypto;
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
