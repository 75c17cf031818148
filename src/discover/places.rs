//! The files that a name in the table stands for.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// How many files one name stands for, at most: a directory of agents or servers has some dozens.
const FILES_MAX: usize = 1024;

/// What a name stands for.
#[derive(Default)]
pub(super) struct Expanded {
    /// The paths, sorted.
    pub(super) paths: Vec<PathBuf>,
    /// The directories of which not every name is there, and why.
    pub(super) skipped: Vec<(PathBuf, String)>,
}

/// Lists the paths below `dir` that `name` stands for, sorted. A `*` in a part of the name stands
/// for any text; a name without one is one path, whether or not it exists.
pub(super) fn expand(dir: &Path, name: &str) -> Expanded {
    let mut expanded = Expanded {
        paths: vec![dir.to_owned()],
        skipped: Vec::new(),
    };
    for part in name.split('/') {
        let Some((before, after)) = part.split_once('*') else {
            expanded.paths.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let is_meant = |name: &str| {
            let fits = name.len() >= before.len() + after.len();
            fits && name.starts_with(before) && name.ends_with(after)
        };
        for dir in std::mem::take(&mut expanded.paths) {
            let mut names = match names(&dir) {
                Err(error) if is_absent(&error) => continue,
                Err(error) => {
                    let why = format!("it cannot be listed: {}", error.kind());
                    expanded.skipped.push((dir, why));
                    continue;
                }
                Ok(names) => names,
            };
            names.retain(|name| is_meant(name));
            names.sort();
            let room = FILES_MAX - expanded.paths.len();
            if names.len() > room {
                let why = format!("it has more than {FILES_MAX} files, and only those are read");
                expanded.skipped.push((dir.clone(), why));
                names.truncate(room);
            }
            expanded
                .paths
                .extend(names.iter().map(|name| dir.join(name)));
        }
    }
    expanded
}

/// Whether an error says that nothing is there. Any other leaves open what is.
pub(super) fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

fn names(dir: &Path) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(dir)? {
        names.extend(entry?.file_name().into_string());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_for_any_text_of_one_part() {
        let dir = tempfile::tempdir().unwrap();
        for path in [
            "a-1/x_t.json",
            "a-1/y_t.json",
            "a-2/z.txt",
            "b/x_t.json",
            "a-/_t.json",
        ] {
            let path = dir.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let expanded = |name: &str| -> Vec<String> {
            let paths = expand(dir.path(), name).paths.into_iter();
            let below = paths.map(|path| path.strip_prefix(dir.path()).unwrap().to_owned());
            below
                .map(|path| path.to_string_lossy().replace('\\', "/"))
                .collect()
        };
        assert_eq!(
            expanded("a-*/*_t.json"),
            ["a-/_t.json", "a-1/x_t.json", "a-1/y_t.json"]
        );
        assert_eq!(expanded("none/x"), ["none/x"]);
        assert_eq!(expanded("none/*"), [""; 0]);
    }

    #[test]
    fn what_is_left_out_is_named() {
        let dir = tempfile::tempdir().unwrap();
        for index in 0..=FILES_MAX {
            fs::write(dir.path().join(format!("{index:04}.json")), "").unwrap();
        }
        let expanded = expand(dir.path(), "*.json");
        assert_eq!(expanded.paths.len(), FILES_MAX);
        assert!(expanded.paths[1023].ends_with("1023.json"));
        assert_eq!(expanded.skipped.len(), 1);
        assert!(expanded.skipped[0].1.contains("more than 1024"));
    }
}
