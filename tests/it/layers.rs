//! Imports point down. The table is `docs/architecture.md`'s; a module that is not in it fails the
//! test.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each module and the modules it may name.
const LAYERS: &[(&str, &[&str])] = &[
    ("domain", &[]),
    ("platform", &["domain"]),
    ("crypto", &["domain"]),
    ("audit", &["domain", "crypto"]),
    ("health", &["domain"]),
    ("selection", &["domain"]),
    ("config", &["domain", "platform"]),
    ("sources", &["domain", "platform"]),
    ("export", &["domain", "platform"]),
    ("vault", &["domain", "platform", "crypto", "audit"]),
    (
        "oauth",
        &["domain", "platform", "crypto", "config", "vault"],
    ),
    (
        "sync",
        &[
            "domain", "platform", "audit", "health", "config", "sources", "export", "vault",
            "oauth",
        ],
    ),
    (
        "discover",
        &["domain", "platform", "config", "sources", "vault", "sync"],
    ),
    (
        "alerts",
        &[
            "domain", "platform", "audit", "health", "config", "vault", "oauth", "sync",
        ],
    ),
    (
        "client",
        &[
            "domain",
            "platform",
            "audit",
            "health",
            "selection",
            "config",
            "sources",
            "vault",
            "export",
            "oauth",
            "sync",
        ],
    ),
    // Compiled for fuzzing and for tests only.
    (
        "fuzzing",
        &[
            "domain",
            "crypto",
            "audit",
            "health",
            "selection",
            "config",
            "sources",
            "export",
            "oauth",
            "sync",
        ],
    ),
];

/// Crates that only one module may name.
const ONLY_IN: &[(&str, &str)] = &[
    ("rusqlite", "vault"),
    ("refinery", "vault"),
    ("keyring_core", "platform"),
    ("zbus_secret_service_keyring_store", "platform"),
    ("zbus", "platform"),
    ("apple_native_keyring_store", "platform"),
    ("windows_native_keyring_store", "platform"),
    ("security_framework", "platform"),
    ("winsafe", "platform"),
    ("aes_gcm", "crypto"),
    ("hkdf", "crypto"),
    ("hmac", "crypto"),
    ("jsonc_parser", "config"),
    ("clap", "bin"),
    ("notify", "platform"),
    ("signal_hook", "bin"),
    ("sd_notify", "bin"),
    ("csv", "bin"),
    ("maud", "bin"),
    ("toml", "config"),
    ("reqwest", "oauth"),
    ("rustls", "oauth"),
    ("webpki_roots", "oauth"),
    ("close_fds", "platform"),
];

fn rust_files(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            rust_files(&path, out);
        } else if path.extension().is_some_and(|ext| ext == "rs") {
            out.push(path);
        }
    }
}

/// The identifiers that follow `prefix` in code, comments left out.
fn named_after<'t>(text: &'t str, prefix: &'t str) -> impl Iterator<Item = &'t str> {
    let code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    code.flat_map(move |line| line.split(prefix).skip(1))
        .map(|rest| {
            let end = rest
                .find(|c: char| !c.is_alphanumeric() && c != '_')
                .unwrap_or(rest.len());
            &rest[..end]
        })
}

fn sources() -> Vec<(String, PathBuf, String)> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    rust_files(&src, &mut files);
    let module = |path: &Path| {
        let first = path
            .strip_prefix(&src)
            .unwrap()
            .components()
            .next()
            .unwrap();
        first
            .as_os_str()
            .to_string_lossy()
            .trim_end_matches(".rs")
            .to_owned()
    };
    files
        .into_iter()
        .map(|path| {
            (
                module(&path),
                path.clone(),
                fs::read_to_string(&path).unwrap(),
            )
        })
        .collect()
}

/// `use crate::{a, b}` at the top would hide names from the scan below.
#[test]
fn crate_imports_name_one_module_each() {
    for (module, path, text) in sources() {
        assert!(
            ["bin", "lib"].contains(&module.as_str()) || !text.contains("use crate::{"),
            "{}",
            path.display()
        );
    }
}

#[test]
fn imports_point_down() {
    let mut seen = BTreeSet::new();
    for (module, path, text) in sources() {
        if ["lib", "internal", "bin"].contains(&module.as_str()) {
            continue;
        }
        let (_, may_use) = LAYERS
            .iter()
            .find(|(name, _)| *name == module)
            .unwrap_or_else(|| {
                panic!(
                    "{} is in no layer: add its module to the table and to docs/architecture.md",
                    path.display()
                )
            });
        for used in named_after(&text, "crate::") {
            let allowed = used == module || may_use.contains(&used);
            assert!(
                allowed,
                "{} names crate::{used}, which {module} may not use",
                path.display()
            );
            seen.insert((module.clone(), used.to_owned()));
        }
    }
    for (module, may_use) in LAYERS {
        for used in *may_use {
            assert!(
                seen.contains(&((*module).to_owned(), (*used).to_owned())),
                "{module} does not use {used}: narrow the table"
            );
        }
    }
}

#[test]
fn the_binary_stands_on_the_library() {
    for (module, path, text) in sources() {
        if module == "bin" {
            for used in named_after(&text, "clawkeep::") {
                let is_door = ["internal", "secrecy"].contains(&used);
                assert!(is_door, "{} names clawkeep::{used}", path.display());
            }
            for used in named_after(&text, "clawkeep::internal::") {
                let known = LAYERS.iter().any(|(name, _)| *name == used);
                assert!(
                    known,
                    "{} names clawkeep::internal::{used}, which is no module",
                    path.display()
                );
            }
        }
    }
}

/// Whether code has `path`, and not as the end of a longer one.
fn is_spelt(text: &str, path: &str) -> bool {
    let mut code = text
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    let ends_a_name =
        |before: &str| before.ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == ':');
    code.any(|line| {
        let mut found = line.match_indices(path);
        found.any(|(at, _)| !ends_a_name(&line[..at]))
    })
}

#[test]
fn some_crates_have_one_home() {
    for (module, path, text) in sources() {
        for (name, home) in ONLY_IN {
            let used = named_after(&text, "use ").any(|used| used == *name);
            let spelt = is_spelt(&text, &format!("{name}::"));
            assert!(
                module == *home || !(used || spelt),
                "{} names {name}",
                path.display()
            );
        }
    }
}

/// The code of a file as one line: without comments and tests, with its strings put together.
fn code_of(text: &str) -> String {
    let code = text.split("\n#[cfg(test)]\nmod ").next().unwrap();
    let lines = code.lines().map(str::trim);
    let lines = lines.filter(|line| !line.starts_with("//"));
    let joined = lines.map(|line| {
        line.strip_suffix('\\')
            .map_or(format!("{line} "), str::to_owned)
    });
    joined.collect()
}

/// Text of the library that only looks like a command: the first line of every key file.
const NO_COMMAND: &str = "# clawkeep key file of vault";

/// What a person does is data there, and the program has the words: an embedding program may have
/// no `clawkeep` beside it.
#[test]
fn no_string_of_the_library_names_a_command() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let page = fs::read_to_string(page).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("| [`"));
    let commands: BTreeSet<&str> = rows
        .filter_map(|row| row.split('`').next())
        .map(|command| {
            command
                .split_at(
                    command
                        .match_indices(' ')
                        .nth(1)
                        .map_or(command.len(), |(at, _)| at),
                )
                .0
        })
        .chain(["models auth"])
        .collect();
    assert!(
        commands.contains("clawkeep sync") && commands.len() > 20,
        "{commands:?}"
    );
    let is_named = |code: &str, command: &str| {
        let mut rest = code.split(command).skip(1);
        rest.any(|rest| !rest.starts_with(|next: char| next.is_alphanumeric()))
    };
    for (module, path, text) in sources() {
        if module == "bin" || path.to_string_lossy().ends_with("_tests.rs") {
            continue;
        }
        let code = code_of(&text).replace(NO_COMMAND, "");
        let named: Vec<_> = commands
            .iter()
            .filter(|command| is_named(&code, command))
            .collect();
        assert!(
            named.is_empty(),
            "{} of {module} names {named:?}",
            path.display()
        );
    }
}

#[test]
fn the_table_of_the_documentation_is_this_one() {
    let text =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/architecture.md"))
            .unwrap();
    for (module, may_use) in LAYERS {
        let may_use = if may_use.is_empty() {
            "–".to_owned()
        } else {
            may_use.join(", ")
        };
        let row = format!("| `{module}` | {may_use} |");
        assert!(
            text.contains(&row),
            "docs/architecture.md lacks the row {row}"
        );
    }
}
