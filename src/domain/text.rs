//! What of a text from outside may be shown as it is. There is one rule, [`is_hidden`]: every line
//! for people, JSON, CSV, page and alert goes by it, and so does what is recorded.

use std::borrow::Cow;
use std::fmt::{Display, Write as _};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

/// Longest text from outside, in characters. Source: `spec/vault.md`, The audit record.
const OUTSIDE_MAX: usize = 128;

/// Whether a character must not be shown as it is: it controls the terminal (C0, DEL, C1), breaks a
/// line, changes the direction of writing, or is not seen at all, so that two texts that differ
/// look the same (zero-width and tag characters, fillers, variation selectors).
///
/// The joiner (U+200D) and the selectors (U+FE00 to U+FE0F) that pictures are made of are no
/// exception: an emoji of several parts is shown as its parts, with what joins them written out.
/// Two ids must look different wherever they are shown.
#[must_use]
pub fn is_hidden(c: char) -> bool {
    // Sources: Unicode 16.0, DerivedCoreProperties (Default_Ignorable_Code_Point) and PropList
    // (Bidi_Control); interlinear annotation.
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

/// Text with each hidden character written as in JSON: `\u001b`, `\u202e`, `\udb40\udc41`.
#[must_use]
pub fn escaped(text: &str) -> Cow<'_, str> {
    escaped_but(text, |_| false)
}

/// As [`escaped`], with line ends as they are: text of several lines, or JSON, where one within a
/// string is written out anyway.
#[must_use]
pub fn escaped_lines(text: &str) -> Cow<'_, str> {
    escaped_but(text, |c| c == '\n')
}

/// Whether eight bytes are all from the space to `~`: one sum for all of them.
fn is_all_printable(bytes: [u8; 8]) -> bool {
    const EACH: u64 = u64::from_ne_bytes([1; 8]);
    const HIGH: u64 = EACH << 7;
    let word = u64::from_ne_bytes(bytes);
    // No byte below 0x80 carries: adding 0x60 sets the high bit of all from 0x20 on, adding 1 that
    // of 0x7f alone.
    let from_space = (word & !HIGH) + 0x60 * EACH;
    let is_delete = (word & !HIGH) + EACH;
    word & HIGH == 0 && from_space & HIGH == HIGH && is_delete & HIGH == 0
}

fn escaped_but(text: &str, stays: impl Fn(char) -> bool) -> Cow<'_, str> {
    let is_written_out = |c: char| is_hidden(c) && !stays(c);
    // Nearly every text is ASCII that is seen: no character of it need be decoded.
    let is_seen =
        |byte: &u8| matches!(byte, b' '..=b'~') || byte.is_ascii() && stays(char::from(*byte));
    let (eights, rest) = text.as_bytes().as_chunks::<8>();
    let mut eights = eights.iter();
    if eights.all(|eight| is_all_printable(*eight) || eight.iter().all(is_seen))
        && rest.iter().all(is_seen)
    {
        return Cow::Borrowed(text);
    }
    if !text.contains(is_written_out) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if !is_written_out(c) {
            out.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            let _ = write!(out, "\\u{unit:04x}"); // writing to a String does not fail
        }
    }
    Cow::Owned(out)
}

/// What the text of a path that is not UTF-8 begins with. Other recorded paths are absolute.
const BYTES: &str = "bytes:";

/// Whether a text is a path, and not the name of something in one: it has a separator of this
/// system's, `\` on Windows, too. Not for what has separators of its own, such as `provider/model`.
#[must_use]
pub fn is_path(text: &str) -> bool {
    text.contains(std::path::is_separator)
}

/// Text that stands for a path in the vault, in JSON and in the record, one for each path: the path
/// itself, or, where that is not UTF-8, `bytes:` and the path with `\xNN` for each byte that is not
/// and `\\` for a backslash.
#[must_use]
pub fn path_text(path: &Path) -> Cow<'_, str> {
    match path.to_str() {
        Some(text) => Cow::Borrowed(text),
        None => Cow::Owned(format!("{BYTES}{}", shown_path(path))),
    }
}

/// The path that [`path_text`] made a text of.
#[must_use]
pub fn path_of_text(text: &str) -> PathBuf {
    let Some(rest) = text.strip_prefix(BYTES) else {
        return PathBuf::from(text);
    };
    let mut bytes = Vec::with_capacity(rest.len());
    let mut rest = rest.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = (first == b'\\')
            .then(|| std::str::from_utf8(after.strip_prefix(b"x")?.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        rest = match code {
            Some(code) => {
                bytes.push(code);
                after.get(3..).unwrap_or_default()
            }
            None => {
                bytes.push(first);
                after
                    .strip_prefix(b"\\")
                    .filter(|_| first == b'\\')
                    .unwrap_or(after)
            }
        };
    }
    of_bytes(bytes)
}

#[cfg(unix)]
fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    let path: std::ffi::OsString = std::os::unix::ffi::OsStringExt::from_vec(bytes);
    path.into()
}

#[cfg(not(unix))]
fn of_bytes(bytes: Vec<u8>) -> PathBuf {
    String::from_utf8_lossy(&bytes).into_owned().into()
}

/// A path as people read it: where it is not UTF-8, each byte that is not is written as `\xNN`, and
/// a backslash as `\\`.
#[must_use]
pub fn shown_path(path: &Path) -> Cow<'_, str> {
    if let Some(text) = path.to_str() {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    for chunk in path.as_os_str().as_encoded_bytes().utf8_chunks() {
        out.push_str(&chunk.valid().replace('\\', r"\\"));
        for byte in chunk.invalid() {
            let _ = write!(out, "\\x{byte:02x}"); // writing to a String does not fail
        }
    }
    Cow::Owned(out)
}

/// Text from outside, fit for the record: trimmed, cut to 128 characters, hidden ones made `?`.
#[must_use]
pub fn from_outside(text: &str) -> String {
    let visible = |c: char| if is_hidden(c) { '?' } else { c };
    text.trim().chars().take(OUTSIDE_MAX).map(visible).collect()
}

/// Bytes of a text without the byte-order mark (UTF-8's) that some editors and shells put in front.
/// Every file that people or other programs write is read so.
#[must_use]
pub fn without_bom(bytes: &[u8]) -> &[u8] {
    bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes)
}

/// The text of UTF-16 bytes with a byte-order mark, as `>` of PowerShell 5.1 writes; else `None`.
#[must_use]
pub fn utf8_of_utf16(bytes: &[u8]) -> Option<Zeroizing<String>> {
    let (rest, unit_of): (_, fn([u8; 2]) -> u16) = match bytes {
        [0xff, 0xfe, rest @ ..] => (rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => (rest, u16::from_be_bytes),
        _ => return None,
    };
    let (units, []) = rest.as_chunks::<2>() else {
        return None;
    };
    // A unit takes three bytes at most: a text that grew would leave copies.
    let mut text = Zeroizing::new(String::with_capacity(3 * units.len()));
    for c in char::decode_utf16(units.iter().copied().map(unit_of)) {
        text.push(c.ok()?);
    }
    Some(text)
}

/// A number of things in words: `1 event`, `2 events`, `2 refreshes`.
#[must_use]
pub fn counted<N: Copy + Display + PartialEq + From<bool>>(count: N, noun: &str) -> String {
    format!("{count} {}", plural(count, noun))
}

/// A noun as it follows a number: `event` after 1, else `events`.
#[must_use]
pub fn plural<N: Copy + PartialEq + From<bool>>(count: N, noun: &str) -> Cow<'_, str> {
    match noun {
        _ if count == N::from(true) => Cow::Borrowed(noun),
        _ if noun.ends_with("sh") => Cow::Owned(format!("{noun}es")),
        _ => Cow::Owned(format!("{noun}s")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bytes_are_printable_if_each_is() {
        for byte in 0..=u8::MAX {
            for at in 0..8 {
                for others in [b' ', b'~'] {
                    let mut bytes = [others; 8];
                    bytes[at] = byte;
                    let is_printable = matches!(byte, b' '..=b'~');
                    assert_eq!(is_all_printable(bytes), is_printable, "{bytes:?}");
                }
            }
        }
    }

    #[test]
    fn a_path_has_a_separator_of_this_system() {
        assert!(is_path("a/b") && !is_path("ab"));
        assert_eq!(is_path(r"a\b"), cfg!(windows));
    }

    #[cfg(unix)]
    #[test]
    fn each_path_has_a_text_of_its_own() {
        use std::os::unix::ffi::OsStrExt as _;
        let path = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
        for (bytes, text, shown) in [
            (&b"/a/caf\xc3\xa9"[..], "/a/caf\u{e9}", "/a/caf\u{e9}"),
            (b"/a/caf\xe9", r"bytes:/a/caf\xe9", r"/a/caf\xe9"),
            (br"/a/caf\xe9", r"/a/caf\xe9", r"/a/caf\xe9"),
            (
                b"/\xff\\xe9\n\\",
                "bytes:/\\xff\\\\xe9\n\\\\",
                "/\\xff\\\\xe9\n\\\\",
            ),
            (b"/caf\xef\xbf\xbd", "/caf\u{fffd}", "/caf\u{fffd}"),
        ] {
            let path = path(bytes);
            assert_eq!(path_text(&path), text);
            assert_eq!(path_of_text(text), path);
            assert_eq!(shown_path(&path), shown);
        }
    }

    proptest::proptest! {
        #[cfg(unix)]
        #[test]
        fn a_path_comes_back_from_its_text(bytes in "[^\0]{0,9}", more: Vec<u8>) {
            use std::os::unix::ffi::OsStringExt as _;
            let bytes = [b"/", bytes.as_bytes(), &more].concat();
            let path = PathBuf::from(std::ffi::OsString::from_vec(bytes));
            proptest::prop_assert_eq!(path_of_text(&path_text(&path)), path);
        }
    }

    #[test]
    fn text_from_outside_is_one_short_line() {
        assert_eq!(from_outside(" a\u{1b}[31m\nb\u{202e} "), "a?[31m?b?");
        assert_eq!(from_outside(&"x".repeat(500)).len(), 128);
    }

    #[test]
    fn what_is_hidden_is_written_out_and_nothing_else_changes() {
        let plain = "anthropic:work ü 漢 🔑 -_./@";
        let controls = "a\u{0}\u{1b}[2J\u{7f}\u{9b}";
        let (unseen, turned) = ("\u{200b}\u{feff}\u{2060}", "\u{61c}\u{200f}\u{202e}");
        for (text, want) in [
            (plain, plain),
            (controls, r"a\u0000\u001b[2J\u007f\u009b"),
            (unseen, r"\u200b\ufeff\u2060"),
            (turned, r"\u061c\u200f\u202e"),
            ("\u{200d}\u{2066}", r"\u200d\u2066"),
            ("\u{e0041}\u{e007f}", r"\udb40\udc41\udb40\udc7f"),
            ("❤\u{fe0f}", r"❤\ufe0f"),
            ("👩\u{200d}💻", r"👩\u200d💻"),
            ("\u{2028}\u{ad}\u{3164}", r"\u2028\u00ad\u3164"),
        ] {
            assert_eq!(escaped(text), want);
            assert_eq!(escaped_lines(text), want);
        }
        assert_eq!(escaped("a\nb\t"), r"a\u000ab\u0009");
        assert_eq!(escaped_lines("a\nb\t"), "a\nb\\u0009");
    }

    #[test]
    fn in_json_it_means_the_same() {
        let all: String = (0..=0x0010_ffff).filter_map(char::from_u32).collect();
        let written = serde_json::to_string(&all).unwrap();
        let written = escaped_lines(&written);
        assert!(!written.contains(is_hidden));
        assert_eq!(serde_json::from_str::<String>(&written).unwrap(), all);
    }

    #[test]
    fn a_noun_follows_its_number() {
        let words = [
            counted(1, "event"),
            counted(0_u64, "event"),
            counted(2_usize, "refresh"),
        ];
        assert_eq!(words, ["1 event", "0 events", "2 refreshes"]);
    }

    #[test]
    fn text_of_powershell_is_decoded() {
        let text = |bytes: &[u8]| utf8_of_utf16(bytes).map(|text| text.to_string());
        assert_eq!(text(b"\xff\xfea\0\xe9\0").as_deref(), Some("aé"));
        let found = text(b"\xfe\xff\xd8\x3d\xde\x00");
        assert_eq!(found.as_deref(), Some("\u{1f600}"));
        for other in [&b"ab"[..], b"\xff\xfea", b"\xff\xfe\x3d\xd8", b""] {
            assert_eq!(text(other), None, "{other:?}");
        }
    }
}
