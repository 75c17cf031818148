//! How events are printed for people: as sentences, in columns, or one part below the other.

use clawkeep::internal::audit::Event;
use unicode_width::UnicodeWidthStr as _;

use crate::record::sentence::sentence;
use crate::record::text;
use crate::terminal::table::{Columns, fitting, hanging};
use crate::terminal::text::{local_minute, local_second, local_short, one_line};

/// A terminal narrower than this shows times without the year.
const NARROW: usize = 80;
/// On a terminal narrower than this, cells are printed one below the other.
const NARROWER: usize = 60;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Sentences,
    Columns,
}

pub(super) enum Layout {
    /// A sentence for each, after its time.
    Sentences { width: Option<usize> },
    /// In columns, with the year if there is room.
    Columns { columns: Columns<5>, has_year: bool },
    /// One part below the other.
    Stacked { width: usize },
}

impl Layout {
    const HEADER: [&str; 5] = ["TIME", "EVENT", "PROFILE", "BY", "WHAT"];

    pub(super) fn of(style: Style, width: Option<usize>, events: &[Event]) -> Self {
        match width {
            width if style == Style::Sentences => Self::Sentences { width },
            Some(width) if width < NARROWER => Self::Stacked { width },
            _ => {
                let has_year = width.is_none_or(|width| width >= NARROW);
                let rows: Vec<[String; 5]> =
                    events.iter().map(|event| cells(event, has_year)).collect();
                let columns = Columns::of(Self::HEADER, &rows, width);
                match width.filter(|_| !columns.have_room) {
                    Some(width) => Self::Stacked { width },
                    None => Self::Columns { columns, has_year },
                }
            }
        }
    }

    pub(super) fn header(&self) -> String {
        match self {
            Self::Columns { columns, .. } => columns.line(&Self::HEADER),
            Self::Sentences { .. } | Self::Stacked { .. } => String::new(),
        }
    }

    pub(super) fn event(&self, event: &Event) -> String {
        match self {
            Self::Sentences { width } => {
                let when = match width.is_some_and(|width| width < NARROW) {
                    true => local_short(event.at),
                    false => local_minute(event.at),
                };
                hanging(&when, &sentence(event), *width)
            }
            Self::Columns { columns, has_year } => columns.line(&cells(event, *has_year)),
            Self::Stacked { width } => {
                let [when, kind, subject, by, what] = cells(event, false);
                let whole = format!("  {subject}"); // an id, which is never cut
                let lines = [
                    format!("{when}  {kind}"),
                    fitting(&format!("{whole}  {by}"), Some(whole.width().max(*width))),
                    fitting(&format!("  {what}"), Some(*width)),
                ];
                let shown = lines.iter().filter(|line| !line.trim().is_empty());
                shown.map(|line| format!("{line}\n")).collect()
            }
        }
    }
}

fn cells(event: &Event, has_year: bool) -> [String; 5] {
    let when = if has_year {
        local_second(event.at)
    } else {
        local_short(event.at)
    };
    let (kind, subject) = (text::kind(event), text::subject(event));
    [
        when,
        kind,
        subject,
        text::by(event),
        text::description(event),
    ]
    .map(|cell| one_line(&cell))
}
