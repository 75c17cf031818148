//! Takes the place of the HTTP client in a build without the feature `oauth`: sends nothing.

use std::time::Duration;

use url::Url;

use super::fields::Fields;
use super::reply::{NoReply, Obstacle, Reply};
use crate::domain::RefreshFault;

/// Sends nothing. A refresh does not come so far: [`super::CAN_EXCHANGE`].
pub(super) fn post(_url: &Url, _fields: &Fields, _budget: Duration) -> Result<Reply, NoReply> {
    let why = "this build of clawkeep has no HTTP client";
    Err(NoReply::NotSent(Obstacle {
        fault: RefreshFault::Other,
        words: why.to_owned(),
    }))
}
