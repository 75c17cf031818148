//! `docs/commands.md` says what `--help` says, of every command.
//!
//! `CLAWKEEP_GUIDE=write cargo nextest run command_reference::` writes it.

use std::fs;
use std::path::Path;

use crate::support::home::Home;

/// What stands before the commands.
const INTRODUCTION: &str = "\
# Commands

This page is written by the program: it has the answer of `--help` for every command. Options
that every command takes are under [all commands](#all-commands) only.

";

/// What every command's own options have, too.
const EVERYWHERE: [&str; 2] = [
    "  -h, --help\n          Print help (see a summary with '-h')",
    "  -V, --version\n          Print version",
];

/// The help of a command, without the options that every command has.
struct Help {
    path: Vec<String>,
    own: String,
    global: String,
}

impl Help {
    fn of(home: &Home, path: &[String]) -> Self {
        let mut args: Vec<&str> = path.iter().map(String::as_str).collect();
        args.push("--help");
        let text = home.run(&args).ok();
        let (own, rest) = text.split_once("\nGlobal options:\n").unwrap();
        // What follows them stands at the left again: the examples.
        let end = rest
            .match_indices('\n')
            .find(|(at, _)| rest[at + 1..].starts_with(|c: char| !c.is_whitespace()));
        let (global, after) = rest.split_at(end.map_or(rest.len(), |(at, _)| at));
        let own = EVERYWHERE.iter().fold(own.to_owned(), |own, option| {
            own.replace(&format!("\n{option}\n"), "")
        });
        Self {
            path: path.to_vec(),
            own: format!(
                "{}\n{after}",
                own.trim_end().trim_end_matches("\n\nOptions:")
            ),
            global: global.to_owned(),
        }
    }

    /// The names and first words of the commands below this one.
    fn commands(&self) -> Vec<(String, String)> {
        let Some((_, list)) = self.own.split_once("\nCommands:\n") else {
            return Vec::new();
        };
        let rows = list.lines().take_while(|line| line.starts_with("  "));
        rows.filter_map(|row| row.trim().split_once("  "))
            .filter(|(name, _)| *name != "help")
            .map(|(name, about)| (name.to_owned(), about.trim().to_owned()))
            .collect()
    }

    fn title(&self) -> String {
        format!("clawkeep {}", self.path.join(" "))
    }
}

/// A command and those below it, each before its own.
fn collect(home: &Home, path: &[String], into: &mut Vec<Help>) {
    let help = Help::of(home, path);
    let below = help.commands();
    into.push(help);
    for (name, _) in below {
        collect(home, &[path, &[name]].concat(), into);
    }
}

fn written(home: &Home) -> String {
    let mut helps = Vec::new();
    collect(home, &[], &mut helps);
    let mut page = INTRODUCTION.to_owned();
    page.push_str("| command | what it does |\n| --- | --- |\n");
    let leaves = helps.iter().skip(1);
    for help in leaves
        .clone()
        .filter(|help| !help.own.contains("<COMMAND>"))
    {
        let about = help.own.lines().next().unwrap().replace('|', "\\|");
        let (title, anchor) = (help.title(), help.title().replace(' ', "-"));
        page.push_str(&format!("| [`{title}`](#{anchor}) | {about} |\n"));
    }
    let top = &helps[0];
    let all = top.global.trim_end().trim_start_matches('\n');
    page.push_str(&format!("\n## All commands\n\n```text\n{all}\n```\n"));
    for help in leaves {
        let own = help.own.trim_end();
        page.push_str(&format!("\n## {}\n\n```text\n{own}\n```\n", help.title()));
    }
    page
}

#[test]
fn the_page_is_what_the_program_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let written = written(&Home::new());
    if std::env::var("CLAWKEEP_GUIDE").is_ok_and(|value| value == "write") {
        fs::write(&path, written).unwrap();
        return;
    }
    snapbox::assert_data_eq!(fs::read_to_string(&path).unwrap(), written);
}
