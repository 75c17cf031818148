//! How the keychain and the desktop are reached, by the environment.

use std::path::Path;

use super::env::Env;
use crate::platform::keychain::{BUS_VARIABLE, KEYCHAIN_VARIABLE, SessionBus};

/// The access to the keychain: by the session bus if it needs one, and none if the user turned it
/// off.
#[must_use]
pub fn keychain_bus(env: &Env) -> SessionBus {
    if env
        .raw(KEYCHAIN_VARIABLE)
        .is_some_and(|value| value == "off")
    {
        SessionBus::TurnedOff
    } else if cfg!(any(windows, target_os = "macos")) {
        SessionBus::Present
    } else {
        session_bus(env)
    }
}

/// Whether a session bus exists; zbus would otherwise try to start one.
#[must_use]
pub fn session_bus(env: &Env) -> SessionBus {
    let socket = env
        .raw("XDG_RUNTIME_DIR")
        .map(|dir| Path::new(dir).join("bus"));
    match env.raw(BUS_VARIABLE) {
        Some(address) => SessionBus::at(address),
        None if socket.is_some_and(|socket| socket.exists()) => SessionBus::Present,
        None => SessionBus::Absent,
    }
}
