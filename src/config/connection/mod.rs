//! Connects programs to clawkeep: the change of a program's settings that makes it ask clawkeep for
//! its key, and the way back. Text in, text out; the caller reads and writes the files.

mod claude_code;
mod codex;
mod edited;
pub mod openclaw;
mod pi;

pub use edited::{Connection, Edited, KeyCommand, SettingsFault};

/// The programs that can be connected.
pub static CONNECTIONS: &[Connection] =
    &[codex::CONNECTION, claude_code::CONNECTION, pi::CONNECTION];
