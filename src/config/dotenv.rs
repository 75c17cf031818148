//! Keys in `.env` files: the working directory's and the state directory's, which the reference
//! loads at its start.
//!
//! Only the variables that carry a provider's secret are taken, and only where the environment has
//! none of that name: a directory that somebody else filled must not move a path or choose a
//! program.

use std::path::Path;

use zeroize::Zeroizing;

use super::disk;
use super::error::ConfigError;
use crate::platform::FileError;

/// The variables of a `.env` file that are among `wanted`, in the order written. One that cannot be
/// read has none. Fails when somebody else can have changed the file.
pub(super) fn load(
    path: &Path,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, Zeroizing<String>)>, FileError> {
    match disk::config_text(path) {
        Ok(Some(text)) => Ok(parse(&text).filter(|(name, _)| wanted(name)).collect()),
        Err(ConfigError::File(error @ FileError::Untrusted(_))) => Err(error),
        _ => Ok(Vec::new()),
    }
}

/// `NAME=value` a line, as the reference's reader has it: `export` in front, quotes around, a
/// comment behind.
#[must_use = "the lines are read as they are taken"]
pub fn parse(text: &str) -> impl Iterator<Item = (String, Zeroizing<String>)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    text.lines().filter_map(|line| {
        let line = line.trim();
        let line = line.strip_prefix("export ").unwrap_or(line).trim_start();
        let is_of_name = |c: char| c.is_alphanumeric() || "_.-".contains(c);
        let (name, rest) = line.split_at(line.find(|c| !is_of_name(c))?);
        let value = rest
            .trim_start()
            .strip_prefix('=')
            .or_else(|| rest.strip_prefix(": "))?;
        (!name.is_empty()).then(|| (name.to_owned(), Zeroizing::new(unquoted(value.trim()))))
    })
}

fn unquoted(value: &str) -> String {
    let quote = value.chars().next().filter(|c| "'\"`".contains(*c));
    let quoted = quote.and_then(|quote| {
        let inner = &value[1..];
        inner.find(quote).map(|end| &inner[..end])
    });
    match quoted {
        Some(inner) => inner.to_owned(),
        None => value
            .split('#')
            .next()
            .unwrap_or_default()
            .trim()
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_the_reference_reads_them() {
        let text = "# mine\nA=1\n export B = 'two # 2' # \
            c\r\nC: \"x=y\"\nD=a#b\nE=`q`\nF=\n=no\nno\nG.h-i=it's\n";
        let read: Vec<_> = parse(text)
            .map(|(name, value)| format!("{name}={}", *value))
            .collect();
        assert_eq!(
            read,
            [
                "A=1",
                "B=two # 2",
                "C=x=y",
                "D=a",
                "E=q",
                "F=",
                "G.h-i=it's"
            ]
        );
    }
}
