//! Options that several commands take, and what their values mean.

pub(crate) mod agent;
pub(crate) mod ids;
pub(crate) mod named;
pub(crate) mod provider;
pub(crate) mod target;
pub(crate) mod time_arg;
