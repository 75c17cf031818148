//! Running `clawkeep watch` unattended: the job in each service manager's format, and its program.

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
