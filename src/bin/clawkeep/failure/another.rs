//! Commands that move or change a file: suggested only for files of this user's. Else another file
//! is to be named, with the option or variable that named this one.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clawkeep::internal::domain::{move_aside_command, shell_shown_path};
use clawkeep::internal::platform::{Refusal, Trust};

/// The options that name a file or directory.
const OPTIONS: [&str; 7] = [
    "--vault",
    "--state-dir",
    "--to",
    "--dir",
    "--passphrase-file",
    "--new-passphrase-file",
    "--head",
];
/// The variables that do.
const VARIABLES: [&str; 10] = [
    "CLAWKEEP_VAULT",
    "CLAWDBOT_STATE_DIR",
    "CLAWDIS_STATE_DIR",
    "CLAWDBOT_CONFIG_PATH",
    "CLAWDBOT_OAUTH_DIR",
    "CLAWKEEP_KEY_FILE",
    "CLAWKEEP_PASSPHRASE_FILE",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "XDG_DATA_HOME",
];

/// A sentence on clearing `path`: move the file, or name another one.
pub(super) fn move_away(path: &Path) -> String {
    match Trust::current().may_suggest_moving(path) {
        true => format!("Move it away: {}", move_aside_command(path, "aside")),
        false => name_another(path),
    }
}

/// The remedy for a file that another user can have changed.
pub(super) fn refusal_remedy(refusal: &Refusal) -> String {
    match refusal.needs_another_file() {
        true => name_another(refusal.asked.as_deref().unwrap_or(&refusal.path)),
        false => refusal.remedy(),
    }
}

/// Asks for another file, with the option or variable that named this one if known.
pub(super) fn name_another(path: &Path) -> String {
    match named_by(path) {
        Some(name) => format!("Name another file, with {name}."),
        None => "Name another file.".to_owned(),
    }
}

/// The option of this process, or the variable, that named a path or a directory on the way to it.
pub(super) fn named_by(path: &Path) -> Option<String> {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    let variable = |name: &str| std::env::var_os(name);
    name_of(path, &words, variable)
}

fn name_of(
    path: &Path,
    words: &[OsString],
    variable: impl Fn(&str) -> Option<OsString>,
) -> Option<String> {
    let leads_there = |value: PathBuf| {
        std::path::absolute(value).is_ok_and(|value| path == value || path.starts_with(&value))
    };
    let after = words.iter().skip(1).map(Some).chain([None]);
    for (word, next) in words
        .iter()
        .zip(after)
        .take_while(|(word, _)| *word != "--")
    {
        let text = word.to_string_lossy();
        let (name, value) = match text.split_once('=') {
            Some((name, value)) => (name, Some(value.into())),
            None => (&*text, next.map(PathBuf::from)),
        };
        if OPTIONS.contains(&name) && value.is_some_and(leads_there) {
            return Some(name.to_owned());
        }
    }
    let is_it = |name: &&&str| variable(name).is_some_and(|value| leads_there(value.into()));
    VARIABLES.iter().find(is_it).map(|name| (*name).to_owned())
}

/// The remedy for a missing file `path`, or a missing directory for it.
pub(super) fn name_what_is_there(path: &Path) -> String {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    match dir.filter(|dir| !dir.exists()) {
        Some(dir) => {
            let dir = shell_shown_path(dir);
            format!("There is no directory {dir}. Make it first, or name another.")
        }
        None => "Name a file that is there.".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_named_a_path_is_found() {
        for (path, words, named) in [
            (
                "C:/tmp",
                &["--vault", "C:/tmp", "status"][..],
                Some("--vault"),
            ),
            ("C:/tmp", &["--vault=C:/tmp"], Some("--vault")),
            ("C:/tmp/a", &["--state-dir", "C:/tmp"], Some("--state-dir")),
            ("C:/tmp", &["--vault", "C:/tmp/key"], None),
            ("C:/tmp", &["exec", "--", "tar", "--to", "C:/tmp"], None),
            ("C:/dev/null", &["sync"], Some("CLAWKEEP_VAULT")),
            ("C:/tmp", &["sync", "--vault"], None),
        ] {
            // An absolute path has a drive on Windows, and none elsewhere.
            let of_system = |text: &str| match cfg!(windows) {
                true => text.to_owned(),
                false => text.replace("C:", ""),
            };
            let words: Vec<OsString> = words.iter().map(|word| of_system(word).into()).collect();
            let null = of_system("C:/dev/null");
            let variable = |name: &str| (name == "CLAWKEEP_VAULT").then(|| null.clone().into());
            let found = name_of(Path::new(&of_system(path)), &words, variable);
            assert_eq!(found.as_deref(), named, "{path} {words:?}");
        }
    }
}
