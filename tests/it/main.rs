//! The integration tests: real files, real SQLite, real child processes, an empty environment, a home of their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "allow-unwrap-in-tests covers functions marked #[test], not what they call"
)]

mod auth_commands;
mod bad_input;
mod damaged_files;
mod doctor;
mod environment;
mod exports;
mod first_run;
mod gateway;
mod hand_out;
mod keychain;
mod killed;
mod layers;
mod leftover;
mod library;
mod login;
mod permissions;
mod prompts;
mod record;
mod record_library;
mod refresh;
mod refresh_faults;
mod refresh_shared;
mod secret_service_vault;
mod stand_in;
mod support;
mod tamper;
mod tamper_record;
mod terminal;
mod together;
mod two_writers;
mod upgrade;
mod vectors;
