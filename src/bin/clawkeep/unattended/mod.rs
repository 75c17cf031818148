//! Having `clawkeep watch` run unattended: what is to be run, in the words of each service manager, and asking them.
//! What a person is told of it is the commands' business.

pub(crate) mod cron;
pub(crate) mod launchd;
pub(crate) mod own_file;
pub(crate) mod program;
pub(crate) mod systemctl;
pub(crate) mod systemd;
#[cfg(test)]
mod tests;

/// What stands in each file that is written here, and tells it from another's.
pub(crate) const MARK: &str = "Written by `clawkeep monitor install`";
/// Minutes between two passes of what is started by a timer: less than the shortest that logins are refreshed ahead.
pub(crate) const EVERY_MINUTES: u32 = 5;

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
    pub(crate) global: Vec<String>,
    /// Options of `watch`.
    pub(crate) options: Vec<String>,
    /// What its paths depend on. Nothing secret.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) pace: Pace,
}

impl Job {
    /// What the program is called with.
    pub(crate) fn words(&self) -> impl Iterator<Item = &str> {
        let once = (self.pace == Pace::Timed).then_some("--once");
        let global = self.global.iter().map(String::as_str);
        let options = self.options.iter().map(String::as_str);
        global.chain(["watch"]).chain(once).chain(options)
    }
}
