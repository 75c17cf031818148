//! Takes the place of the HTTP client in a build without the feature `oauth`: sends nothing.

use std::time::Duration;

use url::Url;

use super::fields::Fields;
use super::reply::{NoReply, Reply};

/// Sends nothing. A refresh does not come so far: [`super::CAN_EXCHANGE`].
pub(super) fn post(_url: &Url, _fields: &Fields, _budget: Duration) -> Result<Reply, NoReply> {
    let why = "this build of clawkeep has no HTTP client";
    Err(NoReply::NotSent(why.to_owned()))
}
