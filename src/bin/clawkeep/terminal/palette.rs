//! The colours of a state: one table, from which tables, charts and the report take theirs.
//!
//! No colour says something alone: a word or a shape says it too.

use std::fmt::Write as _;

/// The escape sequence after which text has its own colour again.
pub(crate) const RESET: &str = "\u{1b}[0m";

/// How good or bad something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// It works.
    Good,
    /// It will stop working, or it cannot be used for a while.
    Warn,
    /// It does not work.
    Bad,
}

/// A tone's colour in each kind of output.
struct Shade {
    /// The escape sequence of a terminal.
    escape: &'static str,
    /// The variable of the report's style sheet.
    variable: &'static str,
    /// On a light page and on paper.
    light: &'static str,
    /// On a dark page.
    dark: &'static str,
}

const PALETTE: [Shade; 3] = [
    Shade {
        escape: "\u{1b}[32m",
        variable: "--ok",
        light: "#1a6b3c",
        dark: "#6fd08c",
    },
    Shade {
        escape: "\u{1b}[33m",
        variable: "--warn",
        light: "#855400",
        dark: "#e8b84a",
    },
    Shade {
        escape: "\u{1b}[31m",
        variable: "--bad",
        light: "#b3261e",
        dark: "#ff8a80",
    },
];

impl Tone {
    /// The escape sequence of its colour.
    pub(crate) fn escape(self) -> &'static str {
        let [good, warn, bad] = &PALETTE;
        match self {
            Self::Good => good.escape,
            Self::Warn => warn.escape,
            Self::Bad => bad.escape,
        }
    }

    /// A text in its colour.
    pub(crate) fn paint(self, text: &str) -> String {
        format!("{}{text}{RESET}", self.escape())
    }
}

/// The escape sequences that text for a terminal may have.
pub(crate) fn escapes() -> impl Iterator<Item = &'static str> {
    PALETTE.iter().map(|shade| shade.escape).chain([RESET])
}

/// The colours as variables of a style sheet.
pub(crate) fn style_sheet() -> String {
    let variables = |colour: fn(&Shade) -> &'static str| {
        let mut text = String::new();
        for shade in &PALETTE {
            // A String takes all that is written.
            let _ = write!(text, "{}:{};", shade.variable, colour(shade));
        }
        text
    };
    format!(
        ":root{{{}}}\n@media screen and (prefers-color-scheme:dark){{:root{{{}}}}}\n",
        variables(|shade| shade.light),
        variables(|shade| shade.dark)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The relative luminance of a colour. Source: WCAG 2.2, relative luminance.
    fn luminance(colour: &str) -> f64 {
        let part = |at: usize| {
            let value = u8::from_str_radix(&colour[at..at + 2], 16).unwrap();
            let value = f64::from(value) / 255.0;
            match value <= 0.04045 {
                true => value / 12.92,
                false => ((value + 0.055) / 1.055).powf(2.4),
            }
        };
        0.2126 * part(1) + 0.7152 * part(3) + 0.0722 * part(5)
    }

    fn contrast(one: &str, other: &str) -> f64 {
        let (one, other) = (luminance(one) + 0.05, luminance(other) + 0.05);
        one.max(other) / one.min(other)
    }

    #[test]
    fn words_can_be_read_on_every_ground() {
        let style = include_str!("../commands/report/page/style.css");
        for shade in &PALETTE {
            for (colour, grounds) in [
                (shade.light, ["#fff", "#f4f6f8"]),
                (shade.dark, ["#15191e", "#1d2228"]),
            ] {
                for ground in grounds {
                    assert!(style.contains(ground), "{ground}");
                    let ground = ground.replace("#fff", "#ffffff");
                    let found = contrast(colour, &ground);
                    assert!(found >= 4.5, "{colour} on {ground}: {found}");
                }
            }
        }
    }

    #[test]
    fn the_report_gets_every_colour_from_here() {
        let style = include_str!("../commands/report/page/style.css");
        for shade in &PALETTE {
            assert!(style_sheet().contains(&format!("{}:{};", shade.variable, shade.light)));
            assert!(style.contains(&format!("var({})", shade.variable)));
            for colour in [shade.light, shade.dark] {
                assert!(!style.contains(colour), "{colour} is written twice");
            }
        }
        assert_eq!(Tone::Bad.paint("x"), "\u{1b}[31mx\u{1b}[0m");
    }
}
