//! A line to the system's log.

use std::io;
use std::path::Path;

/// Facility *authpriv* (10), severity *notice* (5), as one number. Source: RFC 3164, section 4.1.1.
#[cfg(unix)]
const PRIORITY: u8 = 10 * 8 + 5;

/// Sends a line, as syslog(3) does, to the datagram socket at `socket` (`/dev/log`).
///
/// # Errors
/// When nobody listens there.
#[cfg(unix)]
pub fn send(socket: &Path, program: &str, line: &str) -> io::Result<()> {
    let sender = std::os::unix::net::UnixDatagram::unbound()?;
    sender.set_nonblocking(true)?; // a log that does not keep up must not hold a command up
    let message = format!("<{PRIORITY}>{program}[{}]: {line}", std::process::id());
    sender.send_to(message.as_bytes(), socket).map(|_| ())
}

/// Fails: this system has no such log.
///
/// # Errors
/// Always.
#[cfg(not(unix))]
pub fn send(_socket: &Path, _program: &str, _line: &str) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}
