//! The integration tests: real files, real SQLite, real child processes, an empty environment, a home of their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "allow-unwrap-in-tests covers functions marked #[test], not what they call"
)]

mod first_run;
mod keychain;
mod layers;
mod library;
mod support;
