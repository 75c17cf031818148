//! Remedies for a keychain that cannot be used: first what works for this reader.

use std::path::PathBuf;

use clawkeep::internal::platform::effective_uid;
use clawkeep::internal::platform::keychain::{KeychainError, Unreachable};

/// The key that needs no session, which a session that has the keychain can add.
const KEY_FILE: &str = "where the vault opens, add a key file: clawkeep key add keyfile";

pub(super) fn keychain_remedy(error: &KeychainError) -> String {
    if cfg!(target_os = "macos")
        && let Some(remedy) = mac_remedy(error)
    {
        return remedy;
    }
    let KeychainError::Unreachable(cause) = error else {
        return match error {
            KeychainError::NoAnswer { .. } => format!(
                "Unlock the keychain where it asks, on your desktop, or restart it if it hangs, \
                 and run the command again. To need no keychain, {KEY_FILE}"
            ),
            _ => "Unlock the keychain (log in to the desktop session that holds it) and run the \
                command again."
                .to_owned(),
        };
    };
    match cause {
        Unreachable::NoBus | Unreachable::StaleBus => bus_remedy(&SessionSocket::find()),
        Unreachable::OthersBus(_) => format!(
            "Run the command as the user whose session it is, without sudo; or unset \
             DBUS_SESSION_BUS_ADDRESS and, {KEY_FILE}"
        ),
        Unreachable::NoService(_) => format!(
            "Start the keychain that holds the key (GNOME Keyring: gnome-keyring-daemon --start \
             --components=secrets; KWallet and KeePassXC when their program starts). To need \
             none, {KEY_FILE}"
        ),
        Unreachable::TurnedOff => {
            format!(
                "Unset CLAWKEEP_KEYCHAIN and run the command again. To need no keychain, {KEY_FILE}"
            )
        }
        _ => format!(
            "Run the command in the session that has the keychain. To need none, {KEY_FILE}"
        ),
    }
}

/// The remedy on a Mac. Its keychain is locked over SSH, and asks again after each unsigned update.
fn mac_remedy(error: &KeychainError) -> Option<String> {
    Some(match error {
        KeychainError::Locked(_) => format!(
            "Unlock it for this session: security unlock-keychain. If it is unlocked, clawkeep \
             was updated and needs your permission again: run it once in Terminal on the Mac \
             itself, and choose \"Always Allow\". For ssh and services, {KEY_FILE}"
        ),
        KeychainError::NoAccess(_) => format!(
            "Run the command again in Terminal on the Mac itself, type the password of your login \
             keychain, and choose \"Always Allow\". To need no keychain, {KEY_FILE}"
        ),
        KeychainError::NoAnswer { .. } => format!(
            "Run the command again and answer the keychain's dialog: it asks for the password of \
             your login keychain. To need no keychain, {KEY_FILE}"
        ),
        KeychainError::Unreachable(Unreachable::NoBus | Unreachable::Other(_)) => format!(
            "Run the command as a user who has logged in on this Mac, without sudo. To need no \
             keychain, {KEY_FILE}"
        ),
        KeychainError::Damaged => format!(
            "See whether Keychain Access opens the login keychain. To need no keychain, {KEY_FILE}"
        ),
        _ => return None,
    })
}

/// The directory of the session bus's socket with systemd. Source: user@.service(5), dbus.socket.
struct SessionSocket {
    path: PathBuf,
    is_there: bool,
}

impl SessionSocket {
    fn find() -> Self {
        let path = PathBuf::from(format!("/run/user/{}/bus", effective_uid()));
        let is_there = path.exists();
        Self { path, is_there }
    }
}

/// The remedy without a bus: cron, ssh, a system service, a container.
fn bus_remedy(socket: &SessionSocket) -> String {
    let shown_path = socket.path.display();
    let address = format!("DBUS_SESSION_BUS_ADDRESS=unix:path={shown_path}");
    if socket.is_there {
        return format!(
            "Use the bus of your session: {address} clawkeep … (to keep it when you log out: \
             loginctl enable-linger). To need no bus, {KEY_FILE}"
        );
    }
    format!(
        "For cron, ssh and services, add a key file in your desktop session: clawkeep key add \
         keyfile. Or keep your session's bus running (loginctl enable-linger) and set {address}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use clawkeep::internal::platform::keychain::Reason;

    #[test]
    fn on_a_mac_each_cause_has_a_remedy_that_works_there() {
        let error = |code: &str| match code {
            "locked" => KeychainError::Locked(Reason::new("User interaction is not allowed.")),
            "refused" => KeychainError::NoAccess(Reason::new("User canceled the operation.")),
            "none" => KeychainError::Unreachable(Unreachable::NoBus),
            _ => KeychainError::NoAnswer {
                after: std::time::Duration::from_secs(60),
            },
        };
        let (unlock, again) = ("Unlock it for this session: ", "Run the command again ");
        for (code, begins, goes_on) in [
            ("locked", unlock, "security unlock-keychain."),
            ("refused", again, "in Terminal on the Mac itself"),
            ("none", "Run the command as ", "a user who has logged in"),
            ("slow", again, "and answer the keychain's dialog"),
        ] {
            let begins = [begins, goes_on].concat();
            let remedy = mac_remedy(&error(code)).expect(code);
            assert!(remedy.starts_with(&begins), "{remedy}");
            assert!(remedy.ends_with("clawkeep key add keyfile"), "{remedy}");
        }
    }

    #[test]
    fn without_a_bus_the_way_that_works_comes_first() {
        let remedy = |is_there| {
            bus_remedy(&SessionSocket {
                path: "/run/user/7/bus".into(),
                is_there,
            })
        };
        let address = "DBUS_SESSION_BUS_ADDRESS=unix:path=/run/user/7/bus";
        let (add, linger) = ("key add keyfile", "loginctl enable-linger");
        for (is_there, order) in [
            (true, [address, linger, add]),
            (false, [add, linger, address]),
        ] {
            let remedy = remedy(is_there);
            let places: Vec<Option<usize>> = order.iter().map(|part| remedy.find(part)).collect();
            assert!(places.is_sorted() && places[0].is_some(), "{remedy}");
        }
    }
}
