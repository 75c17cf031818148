//! What a client reports to a person.

use std::fmt;

use super::workspace::HeadProblem;
use crate::domain::escaped;
use crate::sync::Notice;

/// Something that a person should read, and that no call fails for: what it is, and what it is
/// about.
#[derive(Debug)]
pub struct ClientNotice(NoticeOf);

/// What reports a notice.
#[derive(Debug)]
pub(super) enum NoticeOf {
    /// A load.
    Load(Notice),
    /// The head of the record is not kept as it should be.
    Head(HeadProblem),
}

impl ClientNotice {
    pub(super) fn of(notice: NoticeOf) -> Self {
        Self(notice)
    }

    /// Returns the name of what is reported, for programs: `old-copy`, `plain-copy`. Names stay.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.0 {
            NoticeOf::Load(notice) => notice.name(),
            NoticeOf::Head(_) => "head-not-kept",
        }
    }
}

/// The name in words, and the file or profile that it is about.
impl fmt::Display for ClientNotice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            NoticeOf::Load(notice) => {
                f.write_str(&notice.name().replace('-', " "))?;
                let about = notice.about();
                about.map_or(Ok(()), |about| write!(f, ": {}", escaped(&about)))
            }
            NoticeOf::Head(problem) => problem.fmt(f),
        }
    }
}

/// Takes the notices of a client.
pub(super) type NoticeSink = Box<dyn Fn(ClientNotice) + Send + Sync>;
