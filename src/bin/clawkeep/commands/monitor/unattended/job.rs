//! What a service manager is to run, and when.

use std::ffi::{OsStr, OsString};

use clawkeep::domain::shown_path;

/// What stands in each file that is written here, and tells it from another's.
pub(crate) const MARK: &str = "Written by `clawkeep monitor install`";

/// Minutes between two passes of what is started by a timer: less than the shortest that logins are refreshed ahead.
pub(crate) const EVERY_MINUTES: u32 = 5;

/// Says that a file of text cannot hold a path.
pub(crate) fn not_text(file: &str, word: &OsStr) -> String {
    let shown = shown_path(word.as_ref());
    format!("{file} holds only UTF-8, and `{shown}` is not")
}

/// When it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// All the time.
    Always,
    /// One pass, every so often.
    Timed,
}

/// What is to be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// This program, by an absolute path.
    pub(crate) program: String,
    /// Options that every command takes.
    pub(crate) global: Vec<OsString>,
    /// Options of `watch`.
    pub(crate) options: Vec<String>,
    /// What its paths depend on. Nothing secret.
    pub(crate) variables: Vec<(String, OsString)>,
    pub(crate) pace: Pace,
}

impl Job {
    /// What the program is called with.
    pub(crate) fn words(&self) -> impl Iterator<Item = &OsStr> {
        let once = (self.pace == Pace::Timed).then_some(OsStr::new("--once"));
        let global = self.global.iter().map(OsString::as_os_str);
        let options = self.options.iter().map(OsStr::new);
        (global.chain([OsStr::new("watch")]).chain(once)).chain(options)
    }

    /// The words and the values of variables that a file which holds only text is to have, or the first that is none.
    pub(crate) fn texts(&self) -> Result<Vec<&str>, &OsStr> {
        let values = self.variables.iter().map(|(_, value)| value.as_os_str());
        let all = self.words().chain(values);
        all.map(|word| word.to_str().ok_or(word)).collect()
    }
}
