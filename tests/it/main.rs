//! The integration tests: real files, real SQLite, real child processes, an empty environment, a
//! home of their own.
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
        reason = "tests that need Linux or Unix are left out elsewhere, and with them what helps \
            them"
    )
)]

#[path = "../../src/bin/clawkeep/advice/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the program's words, of which tests use some"
)]
mod advice;
mod alerts;
mod auth_commands;
mod backup;
mod bad_input;
mod borrowed;
mod client;
mod completions;
mod config_command;
mod connect;
mod connect_openclaw;
#[cfg(windows)]
mod console_events;
mod cycles;
mod damaged_files;
mod damaged_vault;
mod discover;
mod doctor;
mod durable;
mod entries;
mod environment;
mod everyday;
mod exports;
mod first_key;
mod first_run;
mod gateway;
mod hand_out;
mod homes;
mod json_everywhere;
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
mod metrics;
mod newcomers;
mod one_damaged_row;
mod openclaw_guard;
mod openclaw_store;
mod orders;
mod paths_outside;
mod probe;
mod promises;
mod record;
mod record_library;
mod refresh;
mod refresh_faults;
mod refresh_shared;
mod repairs;
mod secret_args;
mod secret_service_vault;
mod secretref;
mod shown;
mod support;
mod tamper;
mod tamper_record;
mod tamper_rows;
mod terminal;
mod together;
mod two_writers;
mod undone;
mod upgrade;
mod upgrade_forged;
mod vault_home;
mod vectors;
mod versions;
mod watch;

cfg_if::cfg_if! {
    if #[cfg(unix)] {
        // Terminals, signals, modes, links, shell scripts; help that names the usual shell.
        mod command_reference;
        mod examples;
        mod export_modes;
        mod guide;
        mod hardening;
        mod hidden_prompts;
        mod key_variables;
        mod passphrase_files;
        mod permissions;
        mod progress;
        mod prompts;
        mod remedies;
        mod stand_in;
        mod states;
        mod surface;
    }
}

cfg_if::cfg_if! {
    if #[cfg(target_os = "linux")] {
        // Mounts, attributes, namespaces, systemd, system calls.
        mod causes;
        #[cfg(target_arch = "x86_64")]
        mod faults;
        mod monitor;
        mod power_cut;
        mod read_only;
        mod storage;
        mod trust;
    }
}
