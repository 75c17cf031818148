//! The commands that hand out credentials, and what they need for it: choosing one, refreshing it,
//! pinning it to a session.

pub(crate) mod env;
pub(crate) mod exec;
mod naming;
mod opened;
mod pick;
pub(crate) mod refresh;
pub(crate) mod refresh_failure;
pub(crate) mod secretref;
pub(crate) mod session;
pub(crate) mod token;
mod variables;
