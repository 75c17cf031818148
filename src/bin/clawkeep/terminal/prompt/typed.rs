//! The input at a hidden prompt.

use zeroize::Zeroizing;

/// The input at a hidden prompt.
pub(crate) enum Typed {
    Line(Zeroizing<Vec<u8>>),
    /// More than a line, pasted at once.
    #[cfg_attr(not(unix), allow(dead_code, reason = "the console does not tell"))]
    Lines,
    /// Nothing: Ctrl-D.
    Left,
}
