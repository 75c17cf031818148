//! The integration tests: real files, real SQLite, real child processes, an empty environment, a home of their own.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "allow-unwrap-in-tests covers functions marked #[test], not what they call"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a test may fail where no thread can be started"
)]
#![cfg_attr(
    not(target_os = "linux"),
    allow(
        dead_code,
        unused_imports,
        reason = "tests that need Linux or Unix are left out elsewhere, and with them what helps them"
    )
)]

mod alerts;
mod auth_commands;
mod backup;
mod bad_input;
mod borrowed;
#[cfg(target_os = "linux")]
mod causes;
mod completions;
#[cfg(windows)]
mod console_events;
mod damaged_files;
mod damaged_vault;
mod doctor;
mod entries;
mod environment;
#[cfg(unix)]
mod examples;
#[cfg(unix)]
mod export_modes;
mod exports;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
mod faults;
mod first_key;
mod first_run;
mod gateway;
#[cfg(unix)]
mod guide;
mod hand_out;
#[cfg(unix)]
mod hardening;
#[cfg(unix)]
mod hidden_prompts;
mod homes;
#[cfg(unix)]
mod key_variables;
mod keychain;
mod keys;
mod keys_killed;
mod keys_rotate;
mod killed;
mod layers;
mod leftover;
mod library;
mod lock_files;
mod login;
mod logins;
mod manual;
mod many_agents;
#[cfg(target_os = "linux")]
mod monitor;
mod one_damaged_row;
#[cfg(unix)]
mod openclaw_guard;
#[cfg(unix)]
mod passphrase_files;
mod paths_outside;
#[cfg(unix)]
mod permissions;
#[cfg(unix)]
mod progress;
mod promises;
#[cfg(unix)]
mod prompts;
#[cfg(target_os = "linux")]
mod read_only;
mod record;
mod record_library;
mod refresh;
mod refresh_faults;
mod refresh_shared;
#[cfg(unix)]
mod remedies;
mod repairs;
mod secret_args;
mod secret_service_vault;
mod secretref;
mod shown;
#[cfg(unix)]
mod stand_in;
#[cfg(target_os = "linux")]
mod storage;
mod support;
mod tamper;
mod tamper_record;
mod tamper_rows;
#[cfg(unix)]
mod terminal;
mod together;
#[cfg(target_os = "linux")]
mod trust;
mod two_writers;
mod undone;
mod upgrade;
mod upgrade_forged;
mod vault_home;
mod vectors;
mod versions;
#[cfg(unix)]
mod watch;
