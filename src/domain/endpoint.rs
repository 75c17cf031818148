//! Where a grant's tokens may be sent.

/// What a grant is pinned to: the origin that its tokens may be sent to, and the client that it was given to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Scheme, host and port, as a browser writes an origin.
    pub origin: String,
    /// The client's id.
    pub client_id: String,
}
