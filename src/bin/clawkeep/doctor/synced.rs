//! Secrets in places copied to other machines: Git work trees, and synchronised directories.

use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use super::footprint::copies;
use crate::advice::shell_path;
use clawkeep::internal::config::Layout;
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::{canonicalize, exists, read_regular};

/// The largest list of ignored files that is read, in bytes.
const IGNORE_LIMIT: u64 = 1 << 20;

/// How directories are called that a program keeps in step with other machines: the beginning of
/// their names, and whose they are. Source: those programs' defaults.
const SYNCED: [(&str, &str); 9] = [
    ("Dropbox", "Dropbox"),
    ("OneDrive", "OneDrive"),
    ("Google Drive", "Google Drive"),
    ("GoogleDrive", "Google Drive"),
    ("Nextcloud", "Nextcloud"),
    ("ownCloud", "ownCloud"),
    ("Mobile Documents", "iCloud"),
    ("CloudStorage", "a cloud drive"),
    ("pCloud", "pCloud"),
];
/// What Syncthing puts into each synchronised directory. Source: Syncthing's documentation.
const SYNCTHING: &str = ".stfolder";

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let mut found = Vec::new();
    for path in secrets(evidence) {
        // As it really lies: a link into such a directory leads there.
        let Ok(real) = canonicalize(&path) else {
            continue;
        };
        if let Some(tree) = work_tree(&real).filter(|tree| !is_ignored(tree, &real)) {
            found.push(in_git(layout, &path, &tree));
        }
        found.extend(synced_by(&real).map(|program| in_step(layout, &path, program)));
    }
    let vault = &layout.vault_file;
    if let Some(program) = canonicalize(vault).ok().and_then(|real| synced_by(&real)) {
        found.push(vault_in_step(layout, vault, program));
    }
    found
}

/// The stores, the plain copies of them, and the key files.
fn secrets(evidence: &Evidence<'_>) -> Vec<PathBuf> {
    let layout = evidence.layout;
    let places = evidence
        .agents
        .iter()
        .filter_map(|examined| StorePlace::of_agent(&examined.agent.dir).ok());
    let mut paths: Vec<PathBuf> = places.map(|place| place.path().to_owned()).collect();
    paths.extend(copies(evidence));
    paths.extend(layout.named_key_file().map(Path::to_owned));
    if let Some(vault) = evidence.vault.locked() {
        paths.push(layout.key_file_dir().join(format!("{}.key", vault.id())));
    }
    paths
}

/// The root of the work tree that a file lies in. A worktree or submodule has a file `.git`, any
/// other a directory.
fn work_tree(real: &Path) -> Option<PathBuf> {
    let above = real.ancestors().skip(1);
    above
        .map(Path::to_owned)
        .find(|dir| exists(&dir.join(".git")))
}

/// Whether an ignore rule plainly covers a file: a pattern without `!` in an ignore file above it,
/// or in `.git/info/exclude`. With other patterns, it counts as not ignored.
fn is_ignored(tree: &Path, real: &Path) -> bool {
    let exclude = (tree.to_owned(), tree.join(".git/info/exclude"));
    let above = real
        .ancestors()
        .skip(1)
        .take_while(|dir| dir.starts_with(tree));
    let files = above.map(|dir| (dir.to_owned(), dir.join(".gitignore")));
    let mut ignored = false;
    for (dir, file) in files.chain([exclude]) {
        let Ok(Some(contents)) = read_regular(&file, IGNORE_LIMIT) else {
            continue;
        };
        let text = String::from_utf8_lossy(&contents.bytes).into_owned();
        let Ok(inside) = real.strip_prefix(&dir) else {
            continue;
        };
        if text.lines().any(|line| line.starts_with('!')) {
            return false;
        }
        ignored |= text.lines().any(|line| covers(line.trim_end(), inside));
    }
    ignored
}

/// Whether one line of an ignore file covers a path below it, or a directory of that path.
fn covers(line: &str, inside: &Path) -> bool {
    if line.is_empty() || line.starts_with('#') {
        return false;
    }
    let is_for_dirs = line.ends_with('/');
    let pattern: Vec<&str> = line.trim_matches('/').split('/').collect();
    let is_anchored = pattern.len() > 1 || line.starts_with('/');
    let names: Vec<String> = inside
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let starts = if is_anchored { 0..1 } else { 0..names.len() };
    starts.into_iter().any(|start| {
        let end = start + pattern.len();
        let is_whole = end == names.len();
        end <= names.len()
            && !(is_whole && is_for_dirs)
            && pattern
                .iter()
                .zip(&names[start..end])
                .all(|(pattern, name)| fits(pattern, name))
    })
}

/// A name against a pattern in which `*` stands for anything. Other wildcards fit nothing.
fn fits(pattern: &str, name: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == name,
        Some((front, rest)) => name.strip_prefix(front).is_some_and(|left| {
            (0..=left.len()).any(|at| left.is_char_boundary(at) && fits(rest, &left[at..]))
        }),
    }
}

/// The program that synchronises the directory that a path lies in, if there is one.
fn synced_by(real: &Path) -> Option<&'static str> {
    let dirs = || real.ancestors().skip(1);
    let named = dirs().find_map(|dir| {
        let name = dir.file_name()?.to_string_lossy();
        SYNCED
            .into_iter()
            .find(|(start, _)| name.starts_with(start))
            .map(|(_, program)| program)
    });
    named.or_else(|| {
        dirs()
            .any(|dir| exists(&dir.join(SYNCTHING)))
            .then_some("Syncthing")
    })
}

fn in_git(layout: &Layout, path: &Path, tree: &Path) -> Finding {
    let shown = layout.shorten_home(path);
    let work_tree = layout.shorten_home(tree);
    let message = format!("{shown} lies in the Git work tree {work_tree} and is not ignored there");
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let word = crate::advice::shell_word(&name);
    let file = shell_path(layout, &tree.join(".gitignore"));
    let fix = match cfg!(windows) {
        // cmd.exe would write the comment into the file, and PowerShell writes UTF-16.
        true => format!("Add the line {name} to {file}, and see that it was never committed."),
        false => format!("echo {word} >> {file}  # and see that it was never committed"),
    };
    Finding::new(FindingId::FootprintGit, message)
        .path(path)
        .advice(fix)
}

fn in_step(layout: &Layout, path: &Path, program: &str) -> Finding {
    let shown = layout.shorten_home(path);
    let message = format!("{shown} is copied to other machines, in the clear, by {program}");
    Finding::new(FindingId::FootprintSynced, message)
        .path(path)
        .advice("Move the state directory out of there, and name it with CLAWDBOT_STATE_DIR.")
}

fn vault_in_step(layout: &Layout, path: &Path, program: &str) -> Finding {
    let message = format!(
        "{} is copied by {program} while it is written: copies may be torn, and a torn one may \
         come back",
        layout.shorten_home(path)
    );
    Finding::new(FindingId::FootprintSynced, message)
        .path(path)
        .advice("Put the vault elsewhere, with --vault or CLAWKEEP_VAULT.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_ignore_lines_are_understood() {
        let inside = Path::new(".clawdbot/agents/main/agent/auth-profiles.json");
        for (line, want) in [
            ("auth-profiles.json", true),
            (".clawdbot", true),
            (".clawdbot/", true),
            ("/.clawdbot", true),
            ("agents/", true),
            ("*.json", true),
            ("auth-*", true),
            ("*", true),
            ("/.clawdbot/agents", true),
            ("/agents", false),
            ("main/agent", false),
            ("auth-profiles.json/", false),
            ("# auth-profiles.json", false),
            ("", false),
            ("auth", false),
        ] {
            assert_eq!(covers(line, inside), want, "{line}");
        }
    }

    #[test]
    fn directories_that_are_kept_in_step() {
        for (path, want) in [
            ("/home/a/Dropbox (Work)/s.json", Some("Dropbox")),
            ("/home/a/OneDrive - Firm/x/s.json", Some("OneDrive")),
            ("/Users/a/Library/Mobile Documents/c/s.json", Some("iCloud")),
            ("/home/a/dropboxes/s.json", None),
            ("/home/a/Dropbox", None),
        ] {
            assert_eq!(synced_by(Path::new(path)), want, "{path}");
        }
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join(SYNCTHING)).unwrap();
        assert_eq!(synced_by(&dir.path().join("a/b")), Some("Syncthing"));
    }
}
