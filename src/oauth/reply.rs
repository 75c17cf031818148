//! What came back from a server.

use std::time::Duration;

use chrono::DateTime;
use zeroize::Zeroizing;

use crate::domain::{RefreshFault, UnixMs};

pub(crate) struct Reply {
    pub(crate) status: u16,
    /// The value of the `Retry-After` header, unparsed.
    pub(crate) retry_after: Option<String>,
    /// As far as it came, `BODY_MAX` and a byte at most.
    pub(crate) body: Zeroizing<Vec<u8>>,
    pub(crate) is_whole: bool,
}

#[cfg(test)]
impl Reply {
    /// A reply that came whole, without headers.
    pub(super) fn whole(status: u16, body: &str) -> Self {
        Self {
            status,
            retry_after: None,
            body: Zeroizing::new(body.as_bytes().to_vec()),
            is_whole: true,
        }
    }
}

#[derive(Debug)]
pub(super) enum NoReply {
    /// The request was certainly not sent.
    NotSent(Obstacle),
    /// The request may have been sent.
    MaybeSent(Obstacle),
}

/// What kept a reply from coming.
#[derive(Debug)]
pub(super) struct Obstacle {
    pub(super) fault: RefreshFault,
    /// What the system or TLS said. For the terminal: it may quote what the server sent.
    pub(super) words: String,
}

/// `Retry-After`: seconds, or a date (RFC 9110 section 10.2.3).
pub(super) fn retry_after(header: Option<&str>, now: UnixMs) -> Option<Duration> {
    let header = header?.trim();
    if let Ok(seconds) = header.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(header).ok()?;
    let ms = at.timestamp_millis().saturating_sub(now.0);
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}
