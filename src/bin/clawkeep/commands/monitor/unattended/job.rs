//! The job that a service manager runs, and its schedule.

use std::ffi::{OsStr, OsString};

use clawkeep::internal::domain::shown_path;

/// The mark in each file that is written here, which tells it from other files.
pub(crate) const MARK: &str = "Written by `clawkeep monitor install`";

/// Minutes between two passes that a timer starts: less than the shortest refresh ahead.
pub(crate) const EVERY_MINUTES: u32 = 5;

pub(crate) fn not_text(file: &str, word: &OsStr) -> String {
    let shown = shown_path(word.as_ref());
    format!("{file} holds only UTF-8, and `{shown}` is not")
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    /// A process that keeps running.
    Always,
    /// One pass at regular intervals.
    Timed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    /// This program, by an absolute path.
    pub(crate) program: String,
    pub(crate) global: Vec<OsString>,
    pub(crate) options: Vec<String>,
    /// The variables that its paths depend on. Nothing secret.
    pub(crate) variables: Vec<(String, OsString)>,
    pub(crate) pace: Pace,
}

impl Job {
    pub(crate) fn words(&self) -> impl Iterator<Item = &OsStr> {
        let once = (self.pace == Pace::Timed).then_some(OsStr::new("--once"));
        let global = self.global.iter().map(OsString::as_os_str);
        let options = self.options.iter().map(OsStr::new);
        (global.chain([OsStr::new("watch")]).chain(once)).chain(options)
    }

    /// The arguments and variables as text, or the first that is not.
    pub(crate) fn texts(&self) -> Result<Vec<&str>, &OsStr> {
        let values = self.variables.iter().map(|(_, value)| value.as_os_str());
        let all = self.words().chain(values);
        all.map(|word| word.to_str().ok_or(word)).collect()
    }
}
