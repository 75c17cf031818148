//! The desktop's `org.freedesktop.Notifications`. Source: Desktop Notifications Specification 1.3.

use super::keychain::SessionBus;

/// How urgent a notification is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// The user may miss the notification.
    Low,
    /// The urgency of most notifications.
    Normal,
    /// It stays until the user closes it.
    Critical,
}

/// Why a notification is not shown.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DesktopFault {
    /// There is no session bus.
    #[error("there is no session bus, so no desktop")]
    NoBus,
    /// clawkeep does not know how this system shows notifications.
    #[error(
        "clawkeep shows no notifications on this system; use ntfy:URL, webhook:URL or \
         command:PROGRAM"
    )]
    Unsupported,
    /// The desktop did not answer in time.
    #[error("the desktop did not answer in time")]
    NoAnswer,
    /// Nothing on the bus shows notifications, or it did not want to.
    #[error("no notification was shown: {0}")]
    NotShown(String),
}

/// Shows a notification on the desktop. The body is plain text.
#[cfg(all(unix, not(target_os = "macos")))]
pub fn show(
    bus: SessionBus,
    title: &str,
    body: &str,
    urgency: Urgency,
) -> Result<(), DesktopFault> {
    use std::sync::mpsc;

    use super::threads::{check_bus_limits, start_thread};

    if !bus.is_reachable() {
        return Err(DesktopFault::NoBus); // zbus would otherwise search for one elsewhere
    }
    let (title, body) = (title.to_owned(), body.to_owned());
    let (sender, receiver) = mpsc::sync_channel(1);
    // A bus that does not answer holds up a thread of its own and nothing else.
    let show = move || sender.send(freedesktop::notify(&title, &body, urgency));
    check_bus_limits()
        .and_then(|()| start_thread("desktop", show).map(drop))
        .map_err(|error| DesktopFault::NotShown(error.to_string()))?;
    receiver
        .recv_timeout(2 * freedesktop::TIMEOUT)
        .unwrap_or(Err(DesktopFault::NoAnswer))
}

/// Shows nothing: configure a command instead (`osascript`, `powershell`).
///
/// # Errors
/// Always.
#[cfg(not(all(unix, not(target_os = "macos"))))]
pub fn show(
    _bus: SessionBus,
    _title: &str,
    _body: &str,
    _urgency: Urgency,
) -> Result<(), DesktopFault> {
    Err(DesktopFault::Unsupported)
}

#[cfg(all(unix, not(target_os = "macos")))]
mod freedesktop {
    use std::collections::HashMap;
    use std::time::Duration;

    use zbus::blocking::connection;
    use zbus::zvariant::Value;

    use super::{DesktopFault, Urgency};
    use crate::domain::from_outside;

    /// How long the bus and the notification service may take to answer.
    pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
    const NAME: &str = "org.freedesktop.Notifications";
    const PATH: &str = "/org/freedesktop/Notifications";
    /// As long as the desktop shows them. Source: the specification, `expire_timeout`.
    const DEFAULT_TIME: i32 = -1;

    pub(super) fn notify(title: &str, body: &str, urgency: Urgency) -> Result<(), DesktopFault> {
        let failed = |error: zbus::Error| match error {
            zbus::Error::InputOutput(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                DesktopFault::NoAnswer
            }
            // What it says beside its name may be anything.
            zbus::Error::MethodError(name, _, _) => DesktopFault::NotShown(from_outside(&name)),
            other => DesktopFault::NotShown(from_outside(&other.to_string())),
        };
        let bus = connection::Builder::session()
            .and_then(|builder| builder.method_timeout(TIMEOUT).build())
            .map_err(failed)?;
        let asked = bus.call_method(Some(NAME), PATH, Some(NAME), "GetCapabilities", &());
        let can: Vec<String> = asked
            .and_then(|answer| answer.body().deserialize())
            .map_err(failed)?;
        let body = if can.iter().any(|word| word == "body-markup") {
            escaped(body)
        } else {
            body.to_owned()
        };
        let level: u8 = match urgency {
            Urgency::Low => 0,
            Urgency::Normal => 1,
            Urgency::Critical => 2,
        };
        let hints = HashMap::from([("urgency", Value::U8(level))]);
        let actions: [&str; 0] = [];
        let notification = (
            "Clawkeep",
            0_u32, // takes no other's place
            "dialog-password",
            title,
            body,
            &actions[..],
            hints,
            DEFAULT_TIME,
        );
        bus.call_method(Some(NAME), PATH, Some(NAME), "Notify", &notification)
            .map(|_| ())
            .map_err(failed)
    }

    /// Text where markup is read.
    pub(super) fn escaped(text: &str) -> String {
        text.replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(all(unix, not(target_os = "macos")))]
    #[test]
    fn text_is_text_where_markup_is_read() {
        assert_eq!(freedesktop::escaped("a<b>&amp;"), "a&lt;b&gt;&amp;amp;");
    }

    #[test]
    fn without_a_bus_nothing_is_asked() {
        let shown = show(SessionBus::Absent, "t", "b", Urgency::Normal);
        assert!(matches!(
            shown,
            Err(DesktopFault::NoBus | DesktopFault::Unsupported)
        ));
    }
}
