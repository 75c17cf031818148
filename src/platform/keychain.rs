//! The operating system's keychain: Secret Service on Linux and the BSDs, Keychain on macOS,
//! Credential Manager on Windows.
//!
//! The only module that names the keychain crates. It stores bytes under an account and says why it
//! could not. Which key an item should hold, and whether it does, is for the caller to know: an
//! item can be replaced by any program of the same user.

use std::ffi::OsStr;
use std::time::Duration;

use zeroize::Zeroizing;

pub use self::error::{KeychainError, Reason, SERVICE, Unreachable};

#[cfg(not(feature = "keychain"))]
mod absent;
mod error;
#[cfg(all(feature = "keychain", target_os = "macos"))]
mod macos;
#[cfg(all(feature = "keychain", unix, not(target_os = "macos")))]
mod secret_service;
#[cfg(any(all(feature = "keychain", target_os = "macos"), test))]
mod status;
#[cfg(feature = "keychain")]
mod store_error;
#[cfg(feature = "keychain")]
mod system_keychain;
#[cfg(all(feature = "keychain", windows))]
mod windows;

#[cfg(not(feature = "keychain"))]
pub use absent::SystemKeychain;
#[cfg(feature = "keychain")]
pub use system_keychain::SystemKeychain;

/// How long a keychain may take before it counts as absent: 3 s. Source: `spec/vault.md`, Keys.
pub const DEADLINE: Duration = Duration::from_secs(3);

/// The bytes of an item, wiped when dropped.
pub type Secret = Zeroizing<Vec<u8>>;

/// A place that keeps small secrets for one user across reboots.
///
/// An account is `<vault id>/<key id>`. It names one key permanently; a new key gets a new account.
pub trait Keychain: Send + Sync {
    /// Reads an item; `None` where there is none. A Secret Service that has only just started also
    /// answers `None`, so beside an existing vault it means "key missing", never "make a new one".
    ///
    /// # Errors
    /// Everything in [`KeychainError`] but [`KeychainError::NotPersistent`] and
    /// [`KeychainError::NotKept`].
    fn get(&self, account: &str) -> Result<Option<Secret>, KeychainError>;

    /// Writes an item, or replaces the one there, and reads it back before it answers. Where it
    /// fails after writing, the item is put back as it was, as far as the keychain lets it.
    ///
    /// # Errors
    /// Everything in [`KeychainError`].
    fn set(&self, account: &str, secret: &[u8]) -> Result<(), KeychainError>;

    /// Removes an item. One that is not there is no error.
    fn delete(&self, account: &str) -> Result<(), KeychainError>;
}

/// Whether a D-Bus session bus may exist. The caller checks (`DBUS_SESSION_BUS_ADDRESS` is set, or
/// `$XDG_RUNTIME_DIR/bus` exists), since the library does not read the environment to decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionBus {
    /// There may be one: query it. zbus finds its address in the process's own environment.
    Present,
    /// There is none: return [`KeychainError::Unreachable`] without a search, on every system.
    Absent,
    /// The user turned the keychain off ([`KEYCHAIN_VARIABLE`]).
    TurnedOff,
}

/// The variable that turns the keychain off, where it is `off`.
pub const KEYCHAIN_VARIABLE: &str = "CLAWKEEP_KEYCHAIN";

/// The variable with the address of the session bus. Source: D-Bus Specification.
pub const BUS_VARIABLE: &str = "DBUS_SESSION_BUS_ADDRESS";

/// Kinds of addresses for which a program is started, with this process's environment: that names
/// files with keys. Source: D-Bus Specification, "Transports".
const PROGRAM_KINDS: [&str; 3] = ["unixexec", "autolaunch", "launchd"];

impl SessionBus {
    /// What an address leads to: no bus, if one of its alternatives starts a program.
    #[must_use]
    pub fn at(address: &OsStr) -> Self {
        let address = address.to_string_lossy();
        let mut kinds = address
            .split(';')
            .filter_map(|one| Some(one.split_once(':')?.0.trim()));
        let is_program = |kind: &str| {
            PROGRAM_KINDS
                .iter()
                .any(|program| kind.eq_ignore_ascii_case(program))
        };
        if kinds.any(is_program) {
            Self::Absent
        } else {
            Self::Present
        }
    }

    /// Whether zbus may be asked, which finds the address in the process's environment by itself.
    #[cfg(any(
        feature = "keychain",
        all(feature = "alerts", unix, not(target_os = "macos"))
    ))]
    pub(super) fn is_reachable(self) -> bool {
        let address = std::env::var_os(BUS_VARIABLE);
        self == Self::Present && address.is_none_or(|address| Self::at(&address) == Self::Present)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_visible_line_of_at_most_128_characters() {
        let found = Reason::new("no \"bus\"\n\u{1b}[31m\u{202e}é").to_string();
        assert_eq!(found, "no \"bus\"\\u000a\\u001b[31m\\u202eé");
        let found = Reason::new("é".repeat(300)).to_string().chars().count();
        assert_eq!(found, 128);
    }

    #[test]
    fn an_address_that_starts_a_program_is_no_bus() {
        let at = |address: &str| SessionBus::at(OsStr::new(address));
        for program in [
            "unixexec:path=/tmp/x",
            "autolaunch:",
            "launchd:env=X",
            "unix:path=/run/user/7/bus;unixexec:path=/tmp/x",
            " unixexec:path=/tmp/x",
        ] {
            assert_eq!(at(program), SessionBus::Absent, "{program}");
        }
        for bus in [
            "unix:path=/run/user/7/bus,guid=unixexec:",
            "tcp:host=h,port=1",
            "nonsense",
        ] {
            assert_eq!(at(bus), SessionBus::Present, "{bus}");
        }
    }

    #[test]
    fn a_keychain_without_a_bus_or_turned_off_is_not_asked_on_any_system() {
        for (bus, why) in [
            (SessionBus::Absent, Unreachable::NoBus),
            (SessionBus::TurnedOff, Unreachable::TurnedOff),
        ] {
            let keychain = SystemKeychain::new(DEADLINE, bus);
            let error = KeychainError::Unreachable(why);
            assert_eq!(keychain.get("account"), Err(error.clone()));
            assert_eq!(keychain.set("account", b"secret"), Err(error));
        }
    }
}
