//! The command line: its definition, its parsing, its completion, and how a failure is printed.

pub(crate) mod args;
pub(crate) mod completion;
pub(crate) mod parse;
pub(crate) mod print;
pub(crate) mod run;
pub(crate) mod secret_args;
mod suggest;
pub(crate) mod topics;
pub(crate) mod words;
