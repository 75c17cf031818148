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
//! A program can keep credentials of its own in a vault. A change and its events are committed
//! together, or neither is. The record is read from the locked vault, without a key.
//!
//! ```
//! use clawkeep::{Client, Filter, NewCredential, ProfileId, Record};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let dir = tempfile::tempdir()?;
//! let path = dir.path().join("vault.db");
//! let client = Client::builder("my-gateway")
//!     .vault(&path) // without an environment, its key file lies beside it
//!     .without_other_programs() // no logins of Claude Code or Codex CLI
//!     .without_stores() // nothing in plain text
//!     .open_or_create()?;
//!
//! let id = ProfileId::new("openai:default");
//! let key = NewCredential::api_key("openai", "sk-proj-0123456789".to_owned().into());
//! client.change(|change| change.put(&id, &key))?;
//!
//! // Asking needs no key; proving does.
//! let events = Record::open(&path)?.history(&Filter::default().limit(1))?;
//! assert_eq!(&*events[0].kind, "profile.created");
//! assert_eq!(client.verify()?.events, 2);
//! client.back_up(dir.path().join("backup.db"))?;
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
//! | `watch` | what the program needs to sync when files change |
//! | `alerts` | alerts over HTTP, by a command and on the desktop; implies `oauth` |
//!
//! Without `oauth` a login that needs a refresh is not refreshed: the error kind
//! [`RefreshUnavailable`](ErrorKind::RefreshUnavailable).
//!
//! # Errors
//!
//! Calls fail with a [`ClientError`]. [`ClientError::kind`] tells a program what to do: try again
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
//! # use clawkeep::{Client, Token};
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
//!   [`harden_process`] is there to be called.
//!
//! `docs/embedding.md` goes on from here. `docs/security.md` has the promises, each with its test.

#![cfg_attr(
    test,
    allow(
        clippy::disallowed_methods,
        reason = "a test may fail where no thread can be started"
    )
)]

#[cfg(feature = "alerts")]
mod alerts;
mod audit;
mod client;
mod config;
mod crypto;
mod discover;
mod domain;
mod export;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzzing;
mod health;
#[doc(hidden)]
pub mod internal;
mod oauth;
mod platform;
mod selection;
mod sources;
mod sync;
mod vault;

#[cfg(doctest)]
#[doc = include_str!("../docs/embedding.md")]
struct Embedding;

pub use audit::{
    Checkpoint, Direction, Event, EventActor, EventKind, Filter, HeadCheck, KindFilter, Outcome,
    UnknownKind, Verified,
};
pub use client::{
    Change, Client, ClientBuilder, ClientError, ClientNotice, CredentialStatus, ErrorKind,
    NewCredential, Record, Request, Synced, SystemError, Token, TokenOptions,
};
pub use config::Fallback;
pub use domain::{CredentialType, ProfileId, ProviderId, Seq, Span, UnixMs};
pub use health::Status;
pub use platform::keychain::{Keychain, KeychainError, Reason, Unreachable};
pub use platform::{Clock, harden as harden_process};
/// The crate whose types hold secrets; [`secrecy::ExposeSecret`] reads them.
pub use secrecy;
pub use selection::FailureReason;
