//! The findings as people read them: by group, a line each, its fix below it.

use crate::doctor::Level;
use clawkeep::internal::domain::counted;

use super::reported::{ReportedFinding, fix_text};
use crate::context::Context;
use crate::terminal::colour::Colour;
use crate::terminal::text::one_line;

/// The groups' titles. Groups with the same title are shown together.
const TITLES: [(&str, &str); 13] = [
    ("vault", "Vault"),
    ("record", "Record"),
    ("keys", "Keys"),
    ("permissions", "Permissions"),
    ("store", "Stores"),
    ("legacy", "Older stores"),
    ("source", "Logins of other programs"),
    ("credential", "Credentials"),
    ("config", "Configuration"),
    ("order", "Order"),
    ("footprint", "Plain copies"),
    ("clock", "Clock"),
    ("lock", "Locks"),
];

pub(super) fn report(context: &Context, reported: &[ReportedFinding], colour: Colour) -> String {
    let mut agents: Vec<_> = reported
        .iter()
        .filter_map(|reported| reported.finding.agent.as_ref())
        .collect();
    agents.sort();
    agents.dedup();
    let with_agent = agents.len() > 1;
    let mut out = String::new();
    let mut last = None;
    for reported in reported {
        let title = title(reported.finding.id.group());
        if last != Some(title) {
            out.push_str(if last.is_some() { "\n" } else { "" });
            out.push_str(title);
            out.push('\n');
            last = Some(title);
        }
        out.push_str(&lines(context, reported, with_agent, colour));
    }
    out.push_str(if last.is_some() { "\n" } else { "" });
    let shown = |path| context.layout.shorten_home(path);
    out.push_str(&format!(
        "Vault: {}\nSettings: {}\n",
        shown(&context.layout.vault_file),
        shown(&context.layout.settings_file)
    ));
    out.push_str(&verdict(reported));
    out
}

fn title(group: &'static str) -> &'static str {
    let known = TITLES.iter().find(|(name, _)| *name == group);
    known.map_or(group, |(_, title)| *title)
}

fn lines(
    context: &Context,
    reported: &ReportedFinding,
    with_agent: bool,
    colour: Colour,
) -> String {
    let finding = &reported.finding;
    let level = if reported.repaired {
        paint("repaired", "32", colour)
    } else {
        match finding.id.level() {
            Level::Error => paint("error", "31", colour),
            Level::Warning => paint("warning", "33", colour),
            Level::Note => "note".to_owned(),
        }
    };
    let agent = match &finding.agent {
        Some(agent) if with_agent => format!("agent {agent}: "),
        _ => String::new(),
    };
    let what = one_line(&format!("{agent}{}", finding.message));
    let mut out = format!("- {level} {}: {what}\n", finding.id.as_str());
    if let Some(fix) = &finding.fix {
        let fix = one_line(&fix_text(context, fix));
        let word = if reported.repaired { "done" } else { "fix" };
        out.push_str(&format!("  {word}: {fix}\n"));
    }
    for line in &reported.difference {
        out.push_str(&format!("    {}\n", one_line(line)));
    }
    out
}

fn paint(word: &str, code: &str, colour: Colour) -> String {
    match colour {
        Colour::Off => word.to_owned(),
        Colour::On => format!("\u{1b}[{code}m{word}\u{1b}[0m"),
    }
}

/// How many findings of each level are left, and how to repair some of them.
fn verdict(reported: &[ReportedFinding]) -> String {
    let left: Vec<_> = reported
        .iter()
        .filter(|reported| !reported.repaired)
        .collect();
    let count = |level| {
        left.iter()
            .filter(|reported| reported.finding.id.level() == level)
            .count()
    };
    let counts: Vec<String> = [
        (count(Level::Error), "error"),
        (count(Level::Warning), "warning"),
        (count(Level::Note), "note"),
    ]
    .into_iter()
    .filter(|(count, _)| *count > 0)
    .map(|(count, noun)| counted(count, noun))
    .collect();
    let repaired = reported.len() - left.len();
    let mut out = match (counts.is_empty(), repaired) {
        (true, 0) => "No problems found.".to_owned(),
        (true, _) => "No problems left.".to_owned(),
        (false, _) => format!("{}.", counts.join(", ")),
    };
    if repaired > 0 {
        out.push_str(&format!(" Repaired: {repaired}."));
    }
    let repairable = left
        .iter()
        .filter(|reported| reported.finding.offered().is_some())
        .count();
    if repairable > 0 {
        out.push_str(&format!(
            " To repair {repairable} of them: clawkeep doctor --repair"
        ));
    }
    out.push('\n');
    out
}
