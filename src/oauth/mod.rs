//! Asking providers for tokens: who they are, what is sent to them, what their answers mean.
//!
//! The only module that names an HTTP client. Whose turn it is to ask, and what becomes of the
//! tokens, is [`crate::sync`]'s to decide. (The client finds proxies in the environment by itself,
//! except for addresses of this machine.)

mod answer;
mod exchange;
#[cfg_attr(
    not(feature = "oauth"),
    allow(dead_code, reason = "an HTTP client alone reads the fields")
)]
mod fields;
#[cfg(feature = "oauth")]
mod http;
#[cfg(not(feature = "oauth"))]
#[path = "no_http.rs"]
mod http;
mod lease;
#[cfg(feature = "oauth")]
mod login;
#[cfg(feature = "oauth")]
mod probe;
mod providers;
mod recovery_file;
#[cfg_attr(
    not(feature = "oauth"),
    allow(dead_code, reason = "an HTTP client alone sends")
)]
mod reply;

#[cfg(all(feature = "oauth", any(test, fuzzing)))]
pub(crate) use answer::understand;
pub use answer::{FailureClass, Refusal, Tokens};
pub use exchange::{Refused, Tries, exchange};
#[cfg(feature = "oauth")]
pub use http::{Post, Posted, post_message};
pub use lease::{Lease, grants_with_files};
#[cfg(feature = "oauth")]
pub use login::{Authorization, Awaited, Callback, DeviceLogin, Ended, Listener, LoginError, WAIT};
#[cfg(all(feature = "oauth", any(test, fuzzing)))]
pub(crate) use login::{DeviceAnswer, code_in_request, understand_device};
#[cfg(feature = "oauth")]
pub use probe::{PROBE_MAX, ProbeRequest, Probed, Verdict};
pub use providers::{Provider, ProviderFault, Providers};
pub use recovery_file::{ANSWER_UNOPENED, Brought, Left, RecoveryFile, is_answer_unopened};
#[cfg(all(feature = "oauth", any(test, fuzzing)))]
pub(crate) use reply::Reply;

/// Whether this build can send requests to providers: it has the feature `oauth`.
pub(crate) const CAN_EXCHANGE: bool = cfg!(feature = "oauth");
