//! The outcomes of a refresh.

use crate::domain::{Endpoint, Owner, ProviderId, UnixMs};
use crate::health::Loss;
use crate::oauth::{FailureClass, ProviderFault, Refused};
use crate::platform::FileError;

/// What came of a refresh.
#[derive(Debug)]
pub enum RefreshOutcome {
    /// The login is still valid, or another process has refreshed it meanwhile.
    StillValid,
    /// It was refreshed. The stores that could not be written, and why: the vault has everything.
    Refreshed(Vec<FileError>),
    /// It was not refreshed, for this reason.
    NotRefreshed(NotRefreshed),
}

/// Why a login is not refreshed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotRefreshed {
    /// There is no such profile.
    Missing,
    /// It has no refresh token.
    NoRefreshToken,
    /// It belongs to another program, which refreshes it itself.
    Borrowed(Owner),
    /// It may belong to another program, whose own login cannot be read.
    OwnerUnknown(Owner),
    /// A newer gateway has it in a store of its own, which cannot be written, and refreshes it.
    NewerGateway,
    /// Whether a newer gateway has it is unknown: one of its stores is unreadable. A clause.
    GatewayUnknown(String),
    /// Its provider has no entry: it cannot be refreshed here.
    NoProvider(ProviderId),
    /// No setting says which client it was issued to.
    NoClient(ProviderId),
    /// Its provider's entry makes no sense.
    BadProvider(ProviderFault),
    /// Its tokens would go elsewhere, or come from another client, than it is pinned to.
    EndpointChanged {
        /// What it is pinned to.
        pinned: Endpoint,
        /// What the provider's entry says now.
        now: Endpoint,
    },
    /// Its refresh token is of no use any more.
    Lost(Loss),
    /// Its provider does not want to be asked before.
    Limited(UnixMs),
    /// This build of clawkeep has no HTTP client (the feature `oauth`): nothing can be sent.
    RefreshUnavailable,
    /// Something on this machine prevents it: a store that cannot be locked, a disk without room.
    /// Nothing was sent.
    Obstacle(String),
    /// Another process tried while this one waited for it.
    FailedJustNow(FailureClass),
    /// The provider refused it now, or could not be reached.
    Refused(Refused),
}

impl NotRefreshed {
    /// The name in the record, where a credential was passed over for it.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NoRefreshToken => "no-refresh-token",
            Self::Borrowed(_) | Self::OwnerUnknown(_) => "borrowed",
            Self::NewerGateway | Self::GatewayUnknown(_) => "newer-gateway",
            Self::NoProvider(_) | Self::NoClient(_) => "no-provider",
            Self::BadProvider(_) => "bad-provider",
            Self::EndpointChanged { .. } => "endpoint-changed",
            Self::Lost(loss) => loss.as_str(),
            Self::Limited(_) => "limited",
            Self::RefreshUnavailable => "refresh-unavailable",
            Self::Obstacle(_) => "obstacle",
            Self::FailedJustNow(class) => class.as_str(),
            Self::Refused(refused) => refused.refusal.class.as_str(),
        }
    }
}
