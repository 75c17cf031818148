//! What the `clawkeep` program, the tests and the benches use of this library, and what is promised
//! to nobody: it changes with any version.

#[cfg(feature = "alerts")]
pub mod alerts {
    //! See `src/alerts`.
    pub use crate::alerts::*;
}
pub mod audit {
    //! See `src/audit`.
    pub use crate::audit::*;
}
pub mod client {
    //! See `src/client`.
    pub use crate::client::*;
}
pub mod config {
    //! See `src/config`.
    pub use crate::config::*;
}
pub mod crypto {
    //! See `src/crypto`.
    pub use crate::crypto::*;
}
pub mod discover {
    //! See `src/discover`.
    pub use crate::discover::*;
}
pub mod domain {
    //! See `src/domain`.
    pub use crate::domain::*;
}
pub mod export {
    //! See `src/export`.
    pub use crate::export::*;
}
pub mod health {
    //! See `src/health`.
    pub use crate::health::*;
}
pub mod oauth {
    //! See `src/oauth`.
    pub use crate::oauth::*;
}
pub mod platform {
    //! See `src/platform`.
    pub use crate::platform::*;
}
pub mod selection {
    //! See `src/selection`.
    pub use crate::selection::*;
}
pub mod sources {
    //! See `src/sources`.
    pub use crate::sources::*;
}
pub mod sync {
    //! See `src/sync`.
    pub use crate::sync::*;
}
pub mod vault {
    //! See `src/vault`.
    pub use crate::vault::*;
}
