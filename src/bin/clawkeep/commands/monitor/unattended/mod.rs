//! Having `clawkeep watch` run unattended: what is to be run, in the words of each service manager, and asking them.
//! What a person is told of it is the commands' business.

pub(crate) mod cron;
pub(crate) mod job;
pub(crate) mod launchd;
pub(crate) mod own_file;
pub(crate) mod program;
pub(crate) mod systemctl;
pub(crate) mod systemd;
pub(crate) mod task;
#[cfg(test)]
mod tests;
