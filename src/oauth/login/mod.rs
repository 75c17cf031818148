//! Logging in at a provider: in a browser that comes back to this machine, with what a browser
//! showed pasted, or on another device.
//!
//! What asks the person, opens the browser and stores the tokens is the caller's.

mod authorize;
mod callback;
mod client;
mod device;
mod device_answer;
mod error;
mod page;
mod pkce;
mod polling;
mod redirect;

pub use authorize::Authorization;
pub use callback::{Awaited, Callback, Listener};
pub use device::DeviceLogin;
#[cfg(any(test, fuzzing))]
pub(crate) use device_answer::{DeviceAnswer, understand_device};
pub use error::{LoginError, WAIT};
pub use page::Ended;
#[cfg(any(test, fuzzing))]
pub(crate) use redirect::code_in_request;
