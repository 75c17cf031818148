//! What a whole command costs above an empty process: `cargo bench --bench start_up`.
//!
//! Everything is measured in one run, side by side, since machines differ and this one is noisy:
//! compare the rows, not the numbers with those of another day. With `DBUS_SESSION_BUS_ADDRESS` set
//! to a bus with a Secret Service, the row `status_with_secret_service` uses a vault whose key is
//! there; without it that row is not run.

mod shared;

use std::path::Path;
use std::sync::OnceLock;

use divan::Bencher;
use tempfile::TempDir;

const SAMPLES: u32 = 200;

fn main() {
    divan::main();
}

/// A home with Claude Code logged in, an empty environment, and a vault whose key is of `kind`.
fn home(kind: &str) -> TempDir {
    let home = tempfile::tempdir().expect("a directory for the benchmark's home");
    let login =
        r#"{"claudeAiOauth":{"accessToken":"sk-ant-oat01-benchmark","expiresAt":4102444800000}}"#;
    std::fs::create_dir(home.path().join(".claude")).expect("a fresh home has no .claude");
    std::fs::write(home.path().join(".claude/.credentials.json"), login)
        .expect("a file in a fresh home");
    run(home.path(), &["init", "--key", kind]);
    run(home.path(), &["models", "status"]);
    home
}

fn run(home: &Path, args: &[&str]) {
    let mut command = shared::command(home, args);
    if let Some(bus) = std::env::var_os("DBUS_SESSION_BUS_ADDRESS") {
        command.env("DBUS_SESSION_BUS_ADDRESS", bus);
    }
    shared::run(command);
}

fn keyfile_home() -> &'static Path {
    static HOME: OnceLock<TempDir> = OnceLock::new();
    HOME.get_or_init(|| home("keyfile")).path()
}

/// The floor: starting and ending a process that does nothing.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn empty_process(bencher: Bencher<'_, '_>) {
    bencher.bench(shared::run_nothing);
}

/// Arguments only: no vault.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn version(bencher: Bencher<'_, '_>) {
    let home = keyfile_home();
    bencher.bench(|| run(home, &["--version"]));
}

/// No key.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn history(bencher: Bencher<'_, '_>) {
    let home = keyfile_home();
    bencher.bench(|| run(home, &["history", "--json"]));
}

/// The main job, with nothing new.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn status_with_key_file(bencher: Bencher<'_, '_>) {
    let home = keyfile_home();
    bencher.bench(|| run(home, &["models", "status", "--json"]));
}

/// A secret handed out, with its event committed first. The goal is 4 ms above `empty_process`.
#[divan::bench(sample_count = SAMPLES, sample_size = 1)]
fn token_with_key_file(bencher: Bencher<'_, '_>) {
    let home = keyfile_home();
    bencher.bench(|| run(home, &["token", "--provider", "anthropic"]));
}

/// The same with the key in a keychain.
#[divan::bench(sample_count = SAMPLES, sample_size = 1,
    ignore = std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none())]
fn status_with_secret_service(bencher: Bencher<'_, '_>) {
    static HOME: OnceLock<TempDir> = OnceLock::new();
    let home = HOME.get_or_init(|| home("keychain")).path();
    bencher.bench(|| run(home, &["models", "status", "--json"]));
}
