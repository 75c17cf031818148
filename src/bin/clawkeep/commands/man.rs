//! `man`: the manual, a page a command, made from what `--help` is made from.

use std::path::{Path, PathBuf};

use chrono::DateTime;
use clap::{Args, Command};
use clap_mangen::Man as Page;
use clap_mangen::roff::{Inline, Roff};

use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::{self, Replaceable};

/// Print the manual page, or write those of every command.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep man | man -l -\n  clawkeep man --to \
        ~/.local/share/man/man1     a page for each command; then: man clawkeep-token"
)]
pub(crate) struct Man {
    /// Write a page for each command into DIR, which is created if missing
    #[arg(long, value_name = "DIR")]
    to: Option<PathBuf>,
}

impl Man {
    /// `command` is the whole command line.
    pub(crate) fn run(&self, context: &Context, command: Command) -> Result<(), Failure> {
        let mut command = command.disable_help_subcommand(true);
        command.build();
        let date = date(context);
        let Some(dir) = &self.to else {
            let text = page(&command, &date).map_err(Failure::Output)?;
            return context.ui.write(&text);
        };
        let dir = context.layout.user_path(dir);
        let written = write_all(&command, &date, &dir)?;
        let dir = context.layout.shorten_home(&dir);
        context
            .ui
            .answer(&format!("Wrote {written} pages to {dir}\n"))
    }
}

/// The date of a reproducible build, if one was set; else none.
fn date(context: &Context) -> String {
    let seconds = context.env.get("SOURCE_DATE_EPOCH");
    let seconds = seconds.and_then(|seconds| seconds.parse().ok());
    let at = seconds.and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    at.map(|at| at.format("%Y-%m-%d").to_string())
        .unwrap_or_default()
}

/// Writes a command's page and those of the commands below it; how many.
fn write_all(command: &Command, date: &str, dir: &Path) -> Result<usize, Failure> {
    let name = Page::new(command.clone()).get_filename();
    let text = page(command, date).map_err(Failure::Output)?;
    target::write_in(dir, &name, Replaceable::With(MARK), text.as_bytes())?;
    let mut written = 1;
    for below in command.get_subcommands() {
        written += write_all(below, date, dir)?;
    }
    Ok(written)
}

/// What each of these pages has near its beginning, and no other file.
const MARK: &str = ".TH CLAWKEEP";

/// The definition that clap_mangen puts before each section; once is enough.
const APOSTROPHE: &str = ".ie \\n(.g .ds Aq \\(aq\n.el .ds Aq '\n";

/// A page as clap_mangen makes it, with the examples as they are typed, in a section of their own.
fn page(command: &Command, date: &str) -> std::io::Result<String> {
    let page = Page::new(command.clone());
    let mut made = Vec::new();
    page.render_name_section(&mut made)?;
    page.render_synopsis_section(&mut made)?;
    page.render_description_section(&mut made)?;
    page.render_options_section(&mut made)?;
    if command.has_subcommands() {
        page.render_subcommands_section(&mut made)?;
    }
    let help = command.get_after_help().map(ToString::to_string);
    after_help(&help.unwrap_or_default()).to_writer(&mut made)?;
    let body = String::from_utf8(made).map_err(std::io::Error::other)?;
    let body = body
        .replace(APOSTROPHE, "")
        .replace("\n.br\n\n.br\n", "\n.sp\n"); // the same, without what formatters warn about
    // Its own title line has no quotes around an empty date: the version would be taken for it.
    let name = command.get_display_name().unwrap_or(command.get_name());
    let version = env!("CARGO_PKG_VERSION");
    let page = name.to_uppercase();
    let title = format!(".TH {page} 1 \"{date}\" \"clawkeep {version}\" clawkeep\n");
    Ok([APOSTROPHE, &title, &body].concat())
}

/// The sections of what follows a command's options: the examples, and what else there is to say.
fn after_help(help: &str) -> Roff {
    let mut page = Roff::new();
    let help = help.replace('…', "..."); // not in every terminal font of a formatter
    let (examples, notes) = help.split_once("\n\n").unwrap_or((&help, ""));
    let lines: Vec<&str> = examples.lines().skip(1).collect();
    if !lines.is_empty() {
        page.control("SH", ["EXAMPLES"]);
        page.control("nf", []);
        for line in lines {
            page.text([Inline::Roman(line.trim_start().to_owned())]);
        }
        page.control("fi", []);
    }
    if !notes.is_empty() {
        page.control("SH", ["NOTES"]);
        for (at, note) in notes.split("\n\n").enumerate() {
            if at > 0 {
                page.control("PP", []);
            }
            page.text([Inline::Roman(note.to_owned())]);
        }
    }
    page
}
