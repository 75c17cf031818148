//! Asking providers for tokens: who they are, what is sent to them, what their answers mean.
//!
//! The only module that names an HTTP client. Whose turn it is to ask, and what becomes of the
//! tokens, is [`crate::sync`]'s to decide. (The client finds proxies in the environment by itself,
//! except for addresses of this machine.)

mod answer;
mod exchange;
mod http;
mod lease;
mod login;
mod providers;
mod recovery_file;
mod reply;

#[cfg(any(test, fuzzing))]
pub(crate) use answer::{DeviceAnswer, understand, understand_device};
pub use answer::{FailureClass, Refusal, Tokens};
pub use exchange::{Refused, Tries, exchange};
pub use http::{Post, Posted, post_message};
pub use lease::{Lease, grants_with_files};
#[cfg(any(test, fuzzing))]
pub(crate) use login::code_in_request;
pub use login::{Authorization, Awaited, Callback, DeviceLogin, Ended, Listener, LoginError, WAIT};
pub use providers::{Provider, ProviderFault, Providers};
pub use recovery_file::{ANSWER_UNOPENED, Brought, Left, RecoveryFile, is_answer_unopened};
#[cfg(any(test, fuzzing))]
pub(crate) use reply::Reply;
