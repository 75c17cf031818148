//! One command, one file: its arguments and its run function.

pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod backup;
pub(crate) mod completions;
pub(crate) mod connect;
pub(crate) mod discover;
pub(crate) mod doctor;
pub(crate) mod everyday;
pub(crate) mod export;
pub(crate) mod hand_out;
pub(crate) mod history;
pub(crate) mod import;
pub(crate) mod key;
pub(crate) mod logins;
pub(crate) mod man;
pub(crate) mod metrics;
pub(crate) mod monitor;
pub(crate) mod report;
pub(crate) mod stand_in;
pub(crate) mod status;
pub(crate) mod sync;
pub(crate) mod watch;
