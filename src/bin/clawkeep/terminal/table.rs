//! Rows of text under a header, for people. Text is measured in columns of the terminal, of which
//! a wide character takes two and a combining one none.

use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::palette::Tone;

/// Columns shown of a cell, but for the last of a row: a file's id can be of any length.
const CELL_MAX: usize = 64;
const GAP: usize = 2;
/// To this width, at least, a column is narrowed to fit the terminal.
const NARROWEST: usize = 8;
/// This width, at least, the last column has.
const LAST: usize = 12;
/// On a terminal narrower than this, a table whose columns do not fit is printed one cell per line.
const NARROW: usize = 60;
/// Headers of ids, times and paths: a part of one is of no use, so no terminal is too narrow for
/// them.
const WHOLE: [&str; 18] = [
    "Added",
    "Ends",
    "EXPIRES",
    "FAILED (LAST)",
    "FILE",
    "FIRST",
    "Key id",
    "LAST",
    "LAST USED",
    "NEXT DUE",
    "PROFILE",
    "PROVIDER",
    "Replaced",
    "SESSION",
    "SETTINGS",
    "SINCE",
    "TIME",
    "Where",
];

/// A table, fitted to the terminal's width where there is one; nothing without rows. Cells are
/// lines: what comes from outside has gone through [`crate::terminal::text::one_line`].
pub(crate) fn table<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
) -> String {
    painted_table(header, rows, width, |_| [None; N])
}

/// A table as [`table`] makes it, with the cells of a row in the colours that `tones` gives for its
/// number.
pub(crate) fn painted_table<const N: usize>(
    header: [&str; N],
    rows: &[[String; N]],
    width: Option<usize>,
    tones: impl Fn(usize) -> [Option<Tone>; N],
) -> String {
    if rows.is_empty() {
        return String::new();
    }
    let numbered = rows.iter().zip(0..);
    let columns = Columns::of(header, rows, width);
    let is_narrow = |width: &usize| *width < NARROW && N > 3 && !columns.fit();
    let is_stacked = |width: &usize| !columns.have_room || is_narrow(width);
    if let Some(width) = width.filter(is_stacked) {
        return numbered
            .map(|(row, number)| stacked(header, row, width, tones(number)))
            .collect();
    }
    let rows = numbered.map(|(row, number)| columns.painted_line(row, tones(number)));
    std::iter::once(columns.line(&header)).chain(rows).collect()
}

/// A row on a terminal too narrow for columns: its first cell, and below it the others by name. Of a
/// row that begins with a state, the id comes first.
fn stacked<const N: usize>(
    header: [&str; N],
    row: &[String; N],
    width: usize,
    tones: [Option<Tone>; N],
) -> String {
    let mut out = String::new();
    let id = header.iter().position(|name| *name == "PROFILE");
    let head = id.filter(|_| header[0] == "STATE").unwrap_or(0);
    let places = std::iter::once(head).chain((0..N).filter(|place| *place != head));
    for place in places {
        let (name, cell) = (header[place], &row[place]);
        let label = match place == head {
            true => String::new(),
            false => format!("  {}: ", name.to_lowercase()),
        };
        let is_whole = WHOLE.contains(&name);
        if is_whole && place != head && label.width() + cell.width() > width {
            out.push_str(&wrapped(&label, cell, Some(width)));
            continue;
        }
        let room = (!is_whole).then(|| width.saturating_sub(label.width()));
        let cell = painted(fitting(cell, room).trim_end(), tones[place]);
        out.push_str(format!("{label}{cell}").trim_end());
        out.push('\n');
    }
    out
}

pub(crate) struct Columns<const N: usize> {
    /// Which have ids or times.
    is_whole: [bool; N],
    widths: [usize; N],
    /// As wide as they would be with room.
    needed: [usize; N],
    /// Columns of the terminal.
    terminal: Option<usize>,
    /// Whether the terminal has room for them without cutting ids and times.
    pub(crate) have_room: bool,
}

impl<const N: usize> Columns<N> {
    /// As wide as a header and some rows need, and as the terminal lets them be.
    pub(crate) fn of(header: [&str; N], rows: &[[String; N]], terminal: Option<usize>) -> Self {
        let is_whole = header.map(|name| WHOLE.contains(&name));
        let mut widths = header.map(str::width);
        let last = N.saturating_sub(1);
        for row in rows {
            for (place, (width, cell)) in widths.iter_mut().zip(row).enumerate() {
                let is_all_shown = place == last || is_whole[place] && terminal.is_some();
                let shown = if is_all_shown { usize::MAX } else { CELL_MAX };
                *width = cell.width().min(shown).max(*width);
            }
        }
        let mut columns = Self {
            is_whole,
            widths,
            needed: widths,
            terminal,
            have_room: true,
        };
        if let Some(terminal) = terminal {
            columns.have_room = columns.narrow(terminal);
        }
        columns
    }

    /// Whether there is room for all of every cell.
    fn fit(&self) -> bool {
        let needed: usize = self.needed.iter().map(|width| width + GAP).sum();
        self.terminal
            .is_none_or(|terminal| needed <= terminal + GAP)
    }

    /// Takes from the widest column that may be cut, one after the other, until there is room for
    /// the last. Returns whether there is.
    fn narrow(&mut self, terminal: usize) -> bool {
        let Some((last, others)) = self.widths.split_last_mut() else {
            return true;
        };
        let for_last = match self.is_whole[N - 1] {
            true => *last,
            false => (*last).min(LAST),
        };
        while others.iter().map(|width| width + GAP).sum::<usize>() + for_last > terminal {
            let cut = others.iter_mut().zip(self.is_whole);
            let cut = cut.filter(|(width, is_whole)| !is_whole && **width > NARROWEST);
            match cut.max_by_key(|(width, _)| **width) {
                Some((width, _)) => *width -= 1,
                None => return false,
            }
        }
        true
    }

    pub(crate) fn line(&self, row: &[impl AsRef<str>; N]) -> String {
        self.painted_line(row, [None; N])
    }

    fn painted_line(&self, row: &[impl AsRef<str>; N], tones: [Option<Tone>; N]) -> String {
        let last = N.saturating_sub(1);
        let (mut line, mut used) = (String::new(), 0);
        let cells = row.iter().zip(self.widths).zip(tones);
        for (place, ((cell, width), tone)) in cells.enumerate() {
            let cell = cell.as_ref();
            let room = match (self.is_whole[place], self.terminal) {
                (true, _) => None,
                (false, Some(terminal)) if place == last => Some(terminal.saturating_sub(used)),
                (false, None) if place == last => None,
                (false, terminal) => Some(terminal.map_or(CELL_MAX, |_| width)),
            };
            // Behind an id that is longer than those that the columns were measured by.
            if room.is_some_and(|room| room < cell.width().min(LAST)) && place == last {
                line.truncate(line.trim_end().len());
                line.push_str("\n  ");
                let room = self.terminal.map(|terminal| terminal.saturating_sub(GAP));
                line.push_str(&fitting(cell, room));
                continue;
            }
            let cell = fitting(cell, room);
            line.push_str(&painted(&cell, tone));
            let blanks = width.saturating_sub(cell.width()) + GAP;
            line.extend(std::iter::repeat_n(' ', blanks));
            used += cell.width() + blanks;
        }
        format!("{}\n", line.trim_end())
    }
}

/// A text in a colour.
fn painted(text: &str, tone: Option<Tone>) -> String {
    tone.map_or_else(|| text.to_owned(), |tone| tone.paint(text))
}

/// A text behind a label, its further lines indented below it. No word of it is cut: an id or a
/// time is of no use in part.
pub(crate) fn hanging(label: &str, text: &str, width: Option<usize>) -> String {
    wrapped(&format!("{label}{:GAP$}", ""), text, width)
}

/// A text behind a label and its blanks, its further lines indented below the text.
fn wrapped(label: &str, text: &str, width: Option<usize>) -> String {
    let indent = label.width();
    let mut out = label.to_owned();
    let mut at = indent;
    for word in text.split(' ') {
        let needed = word.width();
        if at > indent {
            if width.is_some_and(|width| at + 1 + needed > width) {
                out.push('\n');
                out.extend(std::iter::repeat_n(' ', indent));
                at = indent;
            } else {
                out.push(' ');
                at += 1;
            }
        }
        out.push_str(word);
        at += needed;
    }
    out.push('\n');
    out
}

/// A text cut to a width, with a mark where it was cut.
pub(crate) fn fitting(text: &str, width: Option<usize>) -> String {
    let Some(width) = width.filter(|width| text.width() > *width) else {
        return text.to_owned();
    };
    let kept = first_columns(text.chars(), width.saturating_sub(1));
    kept.chain(['…']).collect()
}

/// The first characters that fit into so many columns.
pub(crate) fn first_columns(
    text: impl Iterator<Item = char>,
    mut room: usize,
) -> impl Iterator<Item = char> {
    text.map_while(move |c| {
        room = room.checked_sub(c.width().unwrap_or(0))?;
        Some(c)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_of_any_length_stay_in_columns() {
        let long = "x".repeat(70_000);
        let rows = [
            [long.clone(), "b".to_owned(), long],
            ["a".to_owned(), String::new(), "c".to_owned()],
        ];
        let text = table(["A", "B", "C"], &rows, None);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0].find('C'), lines[2].find('c'));
        assert!(lines[1].starts_with(&"x".repeat(63)) && lines[1].contains("…  b  xxx"));
        let narrow = table(["A", "B", "C"], &rows, Some(20));
        assert!(narrow.lines().all(|line| line.chars().count() <= 20));
        assert_eq!(table(["A"], &[], None), "");
    }

    #[test]
    fn a_narrow_terminal_takes_from_the_widest_column_first() {
        let rows = [[
            "2026-11-25".to_owned(),
            "anthropic:claude-cli".to_owned(),
            "took it over".to_owned(),
        ]];
        assert_eq!(
            table(["WHEN", "WHO", "WHAT"], &rows, Some(40)),
            "WHEN        WHO             WHAT\n\
             2026-11-25  anthropic:cla…  took it over\n"
        );
        assert_eq!(
            table(["TIME", "PROFILE", "WHAT"], &rows, Some(40)),
            "2026-11-25\n  profile: anthropic:claude-cli\n  what: took it over\n"
        );
        assert_eq!(
            table(["TIME", "PROFILE", "WHAT"], &rows, Some(80)),
            "TIME        PROFILE               WHAT\n\
             2026-11-25  anthropic:claude-cli  took it over\n"
        );
    }

    #[test]
    fn a_stacked_row_begins_with_its_id_and_has_single_blanks() {
        let used = "2026-11-30 16:13 by bash (last of its provider)";
        let rows = [["ok", "openai:manual", used].map(str::to_owned)];
        assert_eq!(
            table(["STATE", "PROFILE", "LAST USED"], &rows, Some(40)),
            "openai:manual\n  state: ok\n  last used: 2026-11-30 16:13 by bash\n             \
             (last of its provider)\n"
        );
        let path = format!("~/.config/clawkeep/{}.key", "5".repeat(32));
        let rows = [["1".to_owned(), "keyfile".to_owned(), path.clone()]];
        let narrow = table(["Slot", "Kind", "Where"], &rows, Some(60));
        assert_eq!(narrow, format!("1\n  kind: keyfile\n  where: {path}\n"));
    }

    #[test]
    fn colours_take_no_columns() {
        let rows = [["expired", "anthropic:claude-cli"], ["ok", "b"]];
        let rows = rows.map(|row| row.map(str::to_owned));
        let plain = table(["STATE", "PROFILE"], &rows, Some(80));
        let tones = |row: usize| [[Some(Tone::Bad), Some(Tone::Good)][row], None];
        for width in [None, Some(20), Some(80)] {
            let painted = painted_table(["STATE", "PROFILE"], &rows, width, tones);
            assert!(painted.contains("\u{1b}[31mexpired\u{1b}[0m"), "{painted}");
            let bare = painted.replace("\u{1b}[31m", "").replace("\u{1b}[32m", "");
            assert!(
                width == Some(20) || bare.replace("\u{1b}[0m", "") == plain,
                "{bare}"
            );
        }
    }

    #[test]
    fn a_sentence_goes_on_below_its_beginning() {
        let text = "claude-code refreshed anthropic:claude-cli, valid 8h";
        assert_eq!(
            hanging("10:30", text, Some(30)),
            "10:30  claude-code refreshed\n       anthropic:claude-cli,\n       valid 8h\n"
        );
        assert_eq!(hanging("10:30", text, None), format!("10:30  {text}\n"));
        assert_eq!(hanging("a", "漢字 漢字 b", Some(9)), "a  漢字\n   漢字 b\n");
    }

    #[test]
    fn no_id_and_no_time_is_cut_at_any_width() {
        let ids = [
            "anthropic:claude-cli".to_owned(),
            "漢字/openai:e\u{301}quipe".to_owned(),
            format!("google:{}@example.com", "x".repeat(90)),
        ];
        let rows = ids.clone().map(|id| {
            let time = "2026-11-25 10:30 (overdue)".to_owned();
            [time, id, "w".repeat(70), "2026-12-01 00:00".to_owned()]
        });
        for header in [
            ["TIME", "PROFILE", "STATE", "LAST"],
            ["NEXT DUE", "PROFILE", "STATE", "BY"],
        ] {
            for width in [None, Some(20), Some(60), Some(80), Some(100), Some(200)] {
                let text = table(header, &rows, width);
                let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
                for [time, id, _, last] in &rows {
                    for whole in [time, id, last] {
                        let is_last_cut = header[3] == "BY" && whole == last;
                        assert!(
                            is_last_cut || flat.contains(whole.as_str()),
                            "{width:?}: {text}"
                        );
                    }
                }
                let widest = text.lines().map(|line| line.width()).max();
                let longest =
                    ids.iter().map(|id| id.width()).max().unwrap_or(0) + "  profile:  ".len();
                assert!(
                    width.is_none_or(|width| widest <= Some(width.max(longest))),
                    "{text}"
                );
            }
        }
        // A row that comes after the columns were measured.
        let columns = Columns::of(["PROFILE", "BY"], &[["a".into(), "b".into()]], Some(30));
        let late = columns.line(&["anthropic:claude-cli-of-work", "somebody who is not here"]);
        assert_eq!(
            late,
            "anthropic:claude-cli-of-work\n  somebody who is not here\n"
        );
    }

    #[test]
    fn wide_and_combining_characters_align() {
        let rows = ["ab", "漢字", "e\u{301}e\u{301}"].map(|id| [id.to_owned(), "x".to_owned()]);
        let found = table(["ID", "WHAT"], &rows, None);
        assert_eq!(
            found,
            "ID    WHAT\nab    x\n漢字  x\ne\u{301}e\u{301}    x\n"
        );
        assert_eq!(fitting("漢字漢", Some(6)), "漢字漢");
        assert_eq!(fitting("漢字漢", Some(4)), "漢…");
        assert_eq!(fitting("e\u{301}e\u{301}e", Some(2)), "e\u{301}…");
    }
}
