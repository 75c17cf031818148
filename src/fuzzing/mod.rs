//! What holds for any bytes. One function a fuzz target (`fuzz/fuzz_targets`); each panics where it
//! does not hold.
//!
//! Not part of the library: compiled for fuzzing, where it reaches what is private, and for tests,
//! which replay the seed corpora and everything that fuzzing ever found (`tests/fixtures/fuzz`).

#[cfg(feature = "oauth")]
mod answers;
mod configuration;
mod documents;
mod draw;
mod logins;
mod merging;
mod record;
mod sealing;

#[cfg(feature = "oauth")]
pub use answers::{callback, token_answer};
pub use configuration::{config, config_edit, own_settings};
pub use documents::store;
pub use logins::logins;
pub use merging::merge;
pub use record::{event, head};
pub use sealing::{key_file, passphrase_parameters, recovery_code, sealed_blob};

/// A target's name and what it checks.
pub type Target = (&'static str, fn(&[u8]));

/// Every fuzz target, by its name.
pub const TARGETS: &[Target] = &[
    #[cfg(feature = "oauth")]
    ("callback", callback),
    ("config", config),
    ("config_edit", config_edit),
    ("event", event),
    ("head", head),
    ("key_file", key_file),
    ("logins", logins),
    ("merge", merge),
    ("own_settings", own_settings),
    ("passphrase_parameters", passphrase_parameters),
    ("recovery_code", recovery_code),
    ("sealed_blob", sealed_blob),
    ("store", store),
    #[cfg(feature = "oauth")]
    ("token_answer", token_answer),
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::{Path, PathBuf};

    fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR"))
    }

    /// The files of a directory; none where there is no directory.
    fn files(dir: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(dir).into_iter().flatten();
        entries.map(|entry| entry.unwrap().path()).collect()
    }

    fn replay(dir: &str) -> Vec<(&'static str, usize)> {
        let replayed = TARGETS.iter().map(|(name, check)| {
            let inputs = files(&root().join(dir).join(name));
            for input in &inputs {
                println!("{}", input.display()); // shown when it fails
                check(&fs::read(input).unwrap());
            }
            (*name, inputs.len())
        });
        replayed.collect()
    }

    #[test]
    #[cfg_attr(not(feature = "oauth"), ignore = "a target is left out")]
    fn what_fuzzing_found_does_not_come_back() {
        let replayed = replay("tests/fixtures/fuzz");
        let there: usize = files(&root().join("tests/fixtures/fuzz"))
            .iter()
            .map(|dir| files(dir).len())
            .sum();
        let count: usize = replayed.iter().map(|(_, count)| count).sum();
        assert_eq!(count, there, "a directory there is no target's");
        assert!(count > 0);
    }

    #[test]
    #[cfg_attr(not(feature = "oauth"), ignore = "a target is left out")]
    fn every_target_has_seeds_that_it_holds_for() {
        for (name, count) in replay("fuzz/corpus") {
            assert!(count > 0, "{name} has no seed");
        }
        let manifest = fs::read_to_string(root().join("fuzz/Cargo.toml")).unwrap();
        for (name, check) in TARGETS {
            check(b"");
            assert!(
                manifest.contains(&format!("\"fuzz_targets/{name}.rs\"")),
                "{name}"
            );
            let program = root().join(format!("fuzz/fuzz_targets/{name}.rs"));
            let text = fs::read_to_string(program).unwrap();
            assert!(
                text.contains(&format!("clawkeep::fuzzing::{name}(")),
                "{name}"
            );
        }
        let got = files(&root().join("fuzz/fuzz_targets")).len();
        assert_eq!(got, TARGETS.len());
    }
}
