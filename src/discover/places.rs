//! The files that a name in the table stands for.

use std::fs;
use std::path::{Path, PathBuf};

/// How many files one name stands for, at most: a directory of agents or servers has some dozens.
const FILES_MAX: usize = 1024;

/// Lists the paths below `dir` that `name` stands for, sorted. A `*` in a part of the name stands
/// for any text; a name without one is one path, whether or not it exists.
pub(super) fn expand(dir: &Path, name: &str) -> Vec<PathBuf> {
    let mut paths = vec![dir.to_owned()];
    for part in name.split('/') {
        let Some((before, after)) = part.split_once('*') else {
            paths.iter_mut().for_each(|path| path.push(part));
            continue;
        };
        let matching = |dir: &PathBuf| {
            let entries = fs::read_dir(dir).into_iter().flatten().flatten();
            let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
            let is_meant = |name: &String| {
                let fits = name.len() >= before.len() + after.len();
                fits && name.starts_with(before) && name.ends_with(after)
            };
            let mut names: Vec<String> = names.filter(is_meant).take(FILES_MAX).collect();
            names.sort();
            names
                .into_iter()
                .map(|name| dir.join(name))
                .collect::<Vec<_>>()
        };
        paths = paths.iter().flat_map(matching).take(FILES_MAX).collect();
    }
    paths
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
            let paths = expand(dir.path(), name).into_iter();
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
}
