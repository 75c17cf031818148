//! What a client reports to a person.

use super::workspace::HeadProblem;
use crate::sync::Notice;

/// Something that a person should read, and that no call fails for.
#[derive(Debug)]
#[non_exhaustive]
pub enum ClientNotice {
    /// A load reports this.
    Load(Notice),
    /// The head of the record is not kept as it should be.
    Head(HeadProblem),
}

/// Takes the notices of a client.
pub(super) type NoticeSink = Box<dyn Fn(ClientNotice) + Send + Sync>;
