//! What the tests stand on.

pub(crate) mod bench;
pub(crate) mod damage;
pub(crate) mod document;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub(crate) mod faults;
pub(crate) mod home;
pub(crate) mod hook;
pub(crate) mod http;
pub(crate) mod login_server;
#[cfg(unix)]
pub(crate) mod mount;
pub(crate) mod provider;
pub(crate) mod random;
#[cfg(unix)]
pub(crate) mod secret_service;
pub(crate) mod skip;
#[cfg(unix)]
pub(crate) mod terminal;
#[cfg(unix)]
pub(crate) mod users;
pub(crate) mod vault;
pub(crate) mod watch;
