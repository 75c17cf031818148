//! Where a grant's tokens may be sent.

use url::{Host, Url};

/// The endpoint that a grant is pinned to: the origin that its tokens may be sent to, and the
/// client that it was issued to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port, as a browser writes an origin.
    pub origin: String,
    /// The id of the OAuth client.
    pub client_id: String,
}

/// Whether an address names this machine by number: a name could lead elsewhere.
#[must_use]
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    }
}
