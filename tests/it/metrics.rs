//! `metrics`: the names and labels that monitoring systems rely on, and the file for an exporter.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(unix)]
use crate::support::damage::chmod;
use crate::support::damage::{TOKEN_MARK, home_with_vault, key_file, refuses};
use crate::support::home::{Home, now_ms};

/// The samples of a page by what is before their values. Panics where the page is not in the
/// format.
fn samples(page: &str) -> BTreeMap<String, f64> {
    let mut families = BTreeSet::new();
    let mut found = BTreeMap::new();
    for line in page.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let name = rest.strip_suffix(" gauge").unwrap();
            assert!(families.insert(name.to_owned()), "{name} is there twice");
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        let family = name.split('{').next().unwrap();
        assert!(families.contains(family), "{line}");
        let previous = found.insert(name.to_owned(), value.parse().unwrap());
        assert_eq!(previous, None, "{line}");
    }
    found
}

fn home() -> Home {
    let home = home_with_vault();
    home.run(&["token", "-q", "--profile", "openai:default"])
        .ok();
    let failed = [
        "models",
        "auth",
        "mark",
        "openai:default",
        "--failed",
        "auth",
    ];
    home.run(&failed).ok();
    home
}

#[test]
fn the_names_and_labels_are_the_documented_ones() {
    let home = home();
    let page = home.run(&["metrics"]).ok();
    assert!(!page.contains(TOKEN_MARK), "{page}");
    let found = samples(&page);
    let of = |name: &str, profile: &str, more: &str| {
        let provider = profile.split(':').next().unwrap();
        let labels = format!("agent=\"main\",provider=\"{provider}\",profile=\"{profile}\"{more}");
        found[&format!("clawkeep_{name}{{{labels}}}")]
    };
    let near = |seconds: f64| {
        let now = now_ms() / 1000;
        assert!(
            (seconds - f64::from(u32::try_from(now).unwrap())).abs() < 600.0,
            "{seconds}"
        );
    };
    let (claude, key) = ("anthropic:claude-cli", "openai:default");
    let facts = ",type=\"api_key\",owner=\"vault\"";
    assert!((of("credential_info", key, facts) - 1.0).abs() < f64::EPSILON);
    let state = |profile, state: &str| {
        of("credential_state", profile, &format!(",state=\"{state}\"")) > 0.5
    };
    assert!(state(key, "static") && !state(key, "ok"));
    assert!(!state(claude, "static"));
    assert!(of("credential_expiry_timestamp_seconds", claude, "") > 1.7e9);
    assert!((of("credential_uses_last_day", key, "") - 1.0).abs() < f64::EPSILON);
    assert!((of("credential_failures_last_day", key, "") - 1.0).abs() < f64::EPSILON);
    near(of("credential_last_use_timestamp_seconds", key, ""));
    near(of(
        "credential_last_failure_timestamp_seconds",
        key,
        ",action=\"use\"",
    ));
    near(found["clawkeep_newest_event_timestamp_seconds"]);
    near(found["clawkeep_last_sync_timestamp_seconds"]);
    assert!(found["clawkeep_record_events"] > 3.0);
    let guide = include_str!("../../docs/guide/metrics.md");
    for line in page.lines() {
        if let Some(name) = line.strip_prefix("# TYPE ") {
            let name = name.split(' ').next().unwrap();
            assert!(
                guide.contains(&format!("| `{name}` |")),
                "{name} is not documented"
            );
        }
    }
}

#[test]
fn nothing_is_changed_and_no_key_is_needed() {
    let home = home();
    std::fs::remove_file(key_file(&home)).unwrap();
    // The index of the log: its locks, and its counters, are no content.
    let contents = || -> BTreeMap<String, Vec<u8>> {
        let files = home.files().into_iter();
        let files = files.filter(|file| !file.ends_with("-shm"));
        files
            .map(|file| (file.clone(), std::fs::read(home.at(&file)).unwrap()))
            .collect()
    };
    let (before, names) = (contents(), home.files());
    home.run(&["metrics"]).ok();
    assert!(contents() == before, "metrics has changed a file");
    assert_eq!(home.files(), names);
    // Digests are made with the vault's key: nobody without it finds a name by trying names.
    refuses(&home, &["metrics", "--hash-ids"], 77, &["key"]);
}

#[test]
fn ids_can_be_hashed() {
    let home = home();
    let plain = home.run(&["metrics"]).ok();
    let hashed = home.run(&["metrics", "--hash-ids"]).ok();
    assert!(plain.contains("openai:default") && plain.contains("\"main\""));
    for name in ["openai:default", "claude-cli", "\"main\""] {
        assert!(!hashed.contains(name), "{name} in {hashed}");
    }
    assert_eq!(samples(&plain).len(), samples(&hashed).len());
    assert_eq!(home.run(&["metrics", "--hash-ids"]).ok(), hashed);
}

#[test]
fn the_file_can_be_read_by_an_exporter_and_replaces_only_its_like() {
    let home = home();
    let to = ["metrics", "--to", "clawkeep.prom"];
    let said = home.run(&to).ok();
    assert!(said.contains("2 credentials to ~/clawkeep.prom"), "{said}");
    home.run(&to).ok();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let meta = std::fs::metadata(home.at("clawkeep.prom")).unwrap();
        assert_eq!(meta.permissions().mode() & 0o777, 0o644);
    }
    assert_eq!(
        samples(&home.read("clawkeep.prom")).len(),
        samples(&home.run(&["metrics"]).ok()).len()
    );
    home.write("other.prom", "other 1\n");
    refuses(
        &home,
        &["metrics", "--to", "other.prom"],
        64,
        &["other.prom is there already"],
    );
    let vault = ".clawdbot/vault.db";
    refuses(
        &home,
        &["metrics", "--to", vault],
        64,
        &["is no place for it"],
    );
    #[cfg(unix)]
    {
        // In a directory that anybody may write to, somebody else could choose what is replaced.
        home.write("open/x", "");
        chmod(&home.at("open"), 0o777);
        let run = home.run(&["metrics", "--to", "open/clawkeep.prom"]);
        assert_ne!(run.status, 0, "{run:?}");
    }
}
