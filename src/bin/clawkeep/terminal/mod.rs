//! The terminal and the person at it: answers, messages, questions, colour, tables, progress,
//! signals.

pub(crate) mod colour;
pub(crate) mod notices;
pub(crate) mod pager;
pub(crate) mod palette;
pub(crate) mod panics;
pub(crate) mod program_name;
pub(crate) mod progress;
pub(crate) mod prompt;
mod qr;
pub(crate) mod signals;
pub(crate) mod table;
pub(crate) mod text;
pub(crate) mod ui;
