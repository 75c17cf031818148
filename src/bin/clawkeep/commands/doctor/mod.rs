//! `doctor`: finds problems, and repairs what can be repaired safely.

mod diagnosis;
mod places;
pub(crate) mod relocation;
pub(crate) mod reported;
mod text;

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::Path;

use crate::doctor::{Finding, FindingId, Level, Premises, Repair, Repaired, in_order};
use clap::Args;
use clawkeep::internal::audit::{EventDraft, EventKind, Origin};
use clawkeep::internal::domain::{StoreDoc, from_outside, path_text};
use serde_json::{Value, json};

use self::diagnosis::{Diagnosis, diagnose};
use self::reported::{ReportedFinding, fix_text};
use super::stand_in;
use crate::context::Context;
use crate::failure::{Failure, chain};
use crate::terminal::colour::Colour;
use crate::terminal::text::one_line;
use crate::terminal::{program_name, prompt};

/// How many rounds are made: a repair can reveal a problem that it hid.
const ROUNDS_MAX: usize = 4;
/// How many lines of a repair's difference are recorded.
const DIFFERENCE_MAX: usize = 32;

/// Find problems, and repair what can be repaired safely.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep doctor                          on a terminal, asks \
        before each repair\n  clawkeep doctor --repair                 makes every repair\n  \
        clawkeep doctor --non-interactive --json  for monitoring: exit 1 while an error is left"
)]
pub(crate) struct Doctor {
    /// Make every repair without asking
    #[arg(long, conflicts_with = "non_interactive")]
    yes: bool,
    /// Make every repair without asking
    #[arg(long, visible_alias = "fix", conflicts_with = "non_interactive")]
    repair: bool,
    /// Ask nothing and repair nothing
    #[arg(long)]
    non_interactive: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Consent {
    Always,
    Ask,
    Never,
}

impl Doctor {
    pub(crate) fn run(self, context: &mut Context) -> Result<(), Failure> {
        let consent = match () {
            () if self.yes || self.repair => Consent::Always,
            () if self.non_interactive || !prompt::is_possible() => Consent::Never,
            () => Consent::Ask,
        };
        let reported = diagnose_and_repair(context, consent)?;
        let is_ok = !reported
            .iter()
            .any(|reported| !reported.repaired && reported.finding.id.level() == Level::Error);
        if self.json {
            let findings: Vec<Value> = reported
                .iter()
                .map(|reported| reported.to_json(context))
                .collect();
            context.ui.json(&json!({
                "ok": is_ok,
                "vault": path_text(&context.layout.vault_file),
                "settings": path_text(&context.layout.settings_file),
                "findings": findings,
            }))?;
        } else {
            let colour = if context.ui.colour_on_stdout() {
                Colour::On
            } else {
                Colour::Off
            };
            context
                .ui
                .answer(&text::report(context, &reported, colour))?;
        }
        // With `--json` the answer is one document: ours.
        let theirs = match program_name::is_called_as_gateway() && !self.json {
            true => Self::run_gateways(context)?,
            false => None,
        };
        match (is_ok, theirs) {
            (false, _) => Err(Failure::Check(1)),
            (true, Some(status)) if status != 0 => Err(Failure::Check(status)),
            (true, _) => Ok(()),
        }
    }

    /// The options that the gateway's own doctor has, too.
    const SHARED_OPTIONS: [&str; 4] = ["yes", "repair", "fix", "non-interactive"];

    /// Runs the gateway's own doctor, with the options that it has; its exit status, if there is
    /// one.
    fn run_gateways(context: &Context) -> Result<Option<u8>, Failure> {
        let is_theirs = |word: &OsString| {
            let mut known = Self::SHARED_OPTIONS.iter().chain(&stand_in::DOCTOR_OPTIONS);
            let option = word.to_str().and_then(|word| word.strip_prefix("--"));
            option.is_some_and(|option| known.any(|known| *known == option))
        };
        let options = std::env::args_os().skip(1).filter(is_theirs);
        let words = std::iter::once("doctor".into()).chain(options).collect();
        let announce = |program: &Path| {
            let program = one_line(&program.to_string_lossy());
            context
                .ui
                .answer(&format!("\nThe gateway's own doctor ({program}):\n\n"))
        };
        stand_in::run_behind(words, announce, context.mask)
    }
}

/// Diagnoses and repairs until nothing is left to repair. Returns the findings that are left and
/// those that were repaired.
fn diagnose_and_repair(
    context: &mut Context,
    consent: Consent,
) -> Result<Vec<ReportedFinding>, Failure> {
    let mut repaired: Vec<(Finding, Vec<String>)> = Vec::new();
    let mut passing: Vec<Finding> = Vec::new();
    let mut tried: HashSet<Repair> = HashSet::new();
    let mut rounds = 0;
    loop {
        rounds += 1;
        let mut diagnosis = diagnose(context);
        context.find_places_again()?; // the vault may have just been created
        let vault_file = context.layout.vault_file.clone();
        let mut found = diagnosis.findings(context);
        found.extend(places::findings(context));
        let found = in_order(found);
        // What a sync did in an earlier round does not show in the next.
        passing.extend(
            found
                .iter()
                .filter(|finding| is_passing(finding.id))
                .cloned(),
        );
        let mut repaired_now = Vec::new();
        if rounds < ROUNDS_MAX {
            for finding in &found {
                let Some(repair) = finding.offered() else {
                    continue;
                };
                if tried.insert(repair.clone()) && allows(context, consent, finding)? {
                    repaired_now.extend(repair_and_record(
                        context,
                        &mut diagnosis,
                        finding,
                        repair,
                    ));
                }
                if context.layout.vault_file != vault_file {
                    break; // the findings are of the earlier place
                }
            }
        }
        if repaired_now.is_empty() {
            let mut left = found;
            left.extend(passing);
            return Ok(in_report_order(left, &repaired));
        }
        repaired.extend(repaired_now);
    }
}

/// Events of this run, which the next diagnosis does not find.
fn is_passing(id: FindingId) -> bool {
    matches!(
        id,
        FindingId::StoreSetAside
            | FindingId::StoreMerged
            | FindingId::StoreOldCopy
            | FindingId::LegacyImported
    )
}

fn in_report_order(
    left: Vec<Finding>,
    repaired: &[(Finding, Vec<String>)],
) -> Vec<ReportedFinding> {
    let left = in_order(left).into_iter().map(|finding| ReportedFinding {
        finding,
        repaired: false,
        difference: Vec::new(),
    });
    let mut all: Vec<ReportedFinding> = left.collect();
    let findings = repaired
        .iter()
        .map(|(finding, _)| finding.clone())
        .collect();
    for finding in in_order(findings) {
        let known = repaired.iter().find(|(known, _)| *known == finding);
        all.push(ReportedFinding {
            difference: known.map_or_else(Vec::new, |(_, difference)| difference.clone()),
            finding,
            repaired: true,
        });
    }
    all.sort_by_key(|reported| reported.finding.id);
    all
}

fn allows(context: &Context, consent: Consent, finding: &Finding) -> Result<bool, Failure> {
    match consent {
        Consent::Always => Ok(true),
        Consent::Never => Ok(false),
        Consent::Ask => {
            let fix = finding.fix.as_ref().map(|fix| fix_text(context, fix));
            let question = match (finding.id, fix) {
                // The reference's question.
                (FindingId::ConfigLegacyDefault, _) => {
                    let problem = &finding.message;
                    format!("{problem}. Update Anthropic OAuth profile id in config?")
                }
                (_, Some(fix)) => format!("{}: {fix}?", finding.message),
                (_, None) => format!("{}. Repair it?", finding.message),
            };
            prompt::confirm(&question, true)
        }
    }
}

/// Makes a repair and records it. Returns the finding and the difference if it was made. A failure
/// is reported, and its finding stays.
fn repair_and_record(
    context: &mut Context,
    diagnosis: &mut Diagnosis,
    finding: &Finding,
    repair: &Repair,
) -> Option<(Finding, Vec<String>)> {
    let id = finding.id.as_str();
    let (mut difference, kept) = match carry_out(context, diagnosis, repair) {
        Ok(Repaired::Done { difference, kept }) => (difference, kept),
        Ok(Repaired::NotNeeded) => return None,
        Err(why) => {
            context.ui.error(&format!("{id} was not repaired: {why}"));
            return None;
        }
    };
    if matches!(repair, Repair::MoveVault { .. } | Repair::MergeVault { .. }) {
        return Some((finding.clone(), difference)); // already recorded in the vault's new place
    }
    let text = |path: &Path| from_outside(&path_text(path));
    let mut event = EventDraft::new(EventKind::RepairMade, Origin::Clawkeep)
        .detail("repair", repair.name())
        .detail("path", text(repair.path()));
    if !difference.is_empty() {
        let lines = difference.iter().map(|line| from_outside(line));
        event = event.detail("difference", lines.take(DIFFERENCE_MAX).collect::<Vec<_>>());
    }
    if let Some(kept) = kept {
        event = event.detail("kept", text(&kept));
        let shown = context.layout.shorten_home(&kept);
        difference.push(format!("kept as it was: {shown}"));
    }
    if let Err(failure) = diagnosis.record_repair(context, event) {
        let why = failure.lines().join(" ");
        let text = format!("Warning: the repair of {id} could not be recorded: {why}");
        context.ui.warn(&text);
    }
    Some((finding.clone(), difference))
}

/// Makes a repair; returns in words why it failed.
fn carry_out(
    context: &mut Context,
    diagnosis: &mut Diagnosis,
    repair: &Repair,
) -> Result<Repaired, String> {
    if let Some(made) = relocation::carry_out(context, repair) {
        return made.map_err(|failure| failure.lines().join(" "));
    }
    let in_words = |error: &(dyn std::error::Error + 'static)| chain(Some(error)).join(": ");
    if let Repair::RemoveOpenClawCopy { site } = repair {
        let vault = diagnosis.unlocked().ok_or("the vault cannot be opened")?;
        let removed = context.with_engine(vault, |engine| engine.remove_openclaw_copy(site));
        let removed = removed.map_err(|error| in_words(&error))?;
        return Ok(if removed {
            Repaired::done()
        } else {
            Repaired::NotNeeded
        });
    }
    let none = StoreDoc::default();
    let premises = Premises {
        main: diagnosis.main_doc(context).unwrap_or(&none),
        knows_profile: &|id| diagnosis.knows_profile(context, id),
        now: context.clock.now(),
    };
    repair
        .carry_out(&premises)
        .map_err(|error| in_words(&error))
}
