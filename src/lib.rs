//! An encrypted, audited vault for the credentials of AI model providers.
//!
//! The library never prints, prompts, exits or reads the environment; the `clawkeep` binary does. The way of a credential:
//! [`sources::claude_code`] reads, [`sync::plan`] decides, [`vault`] seals and stores it with its event in one transaction,
//! [`export`] writes `auth-profiles.json`. `docs/architecture.md` is the map.

pub mod audit;
pub mod config;
pub mod crypto;
pub mod doctor;
pub mod domain;
pub mod export;
pub mod health;
pub mod platform;
pub mod selection;
pub mod sources;
pub mod sync;
pub mod vault;
