//! The promises of docs/security.md name tests; those must be there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Every test of the project as `file::name`, and every file of tests: `keys`,
/// `crypto::keys::tests`.
fn tests_of(dir: &Path, prefix: &str, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        let name = if prefix.is_empty() {
            stem.clone()
        } else {
            format!("{prefix}::{stem}")
        };
        if path.is_dir() {
            tests_of(&path, &name, found);
            if found
                .iter()
                .any(|test| test.starts_with(&format!("{name}::")))
            {
                found.insert(name); // a directory of tests
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let lines: Vec<&str> = text.lines().collect();
            let module = if text.contains("mod tests {") {
                format!("{name}::tests")
            } else {
                name
            };
            for (at, line) in lines.iter().enumerate() {
                let is_test = line.trim() == "#[test]";
                let after = lines[at + 1..].iter().map(|line| line.trim());
                let named = after
                    .take(4)
                    .find_map(|line| line.strip_prefix("fn ")?.split('(').next());
                if let Some(named) = named.filter(|_| is_test) {
                    found.insert(format!("{module}::{named}"));
                    found.insert(module.trim_end_matches("::tests").to_owned());
                }
            }
        }
    }
}

#[test]
fn every_promise_names_tests_that_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut known = BTreeSet::new();
    tests_of(&root.join("tests/it"), "", &mut known);
    tests_of(&root.join("src"), "", &mut known);
    let text = fs::read_to_string(root.join("docs/security.md")).unwrap();
    let rows = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.starts_with("| ---"));
    let cells = rows.filter_map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        (cells.len() == 2).then(|| cells[1].to_owned())
    });
    let mut named = 0;
    for cell in cells.filter(|cell| cell.trim() != "test") {
        let names: Vec<&str> = cell.split('`').skip(1).step_by(2).collect();
        assert!(!names.is_empty(), "no test holds this: {cell}");
        for name in names {
            let is_there = known.contains(name) || root.join(name).is_file();
            assert!(is_there, "there is no test {name}");
            named += 1;
        }
    }
    assert!(named > 40, "{named}");
}
