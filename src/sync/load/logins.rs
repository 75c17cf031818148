//! What other programs' logins mean for a document.

use crate::config::AgentRef;
use crate::domain::StoreDoc;
use crate::sync::context::LoadContext;
use crate::sync::load::findings::Findings;
use crate::sync::logins::decide::Planning;
use crate::sync::logins::note::Notes;
use crate::sync::logins::planned::Planned;
use crate::sync::logins::report::LoginReport;
use crate::sync::notice::Notice;
use crate::vault::UnlockedVault;

/// What the sources say of a document.
#[derive(Default)]
pub(crate) struct SourcePlan {
    pub(crate) planned: Vec<Planned>,
    pub(crate) logins: Vec<LoginReport>,
    pub(crate) notices: Vec<Notice>,
}

/// Reads the sources and decides what their logins change in a document.
pub(crate) fn plan_sources(
    vault: &UnlockedVault,
    context: &LoadContext<'_>,
    findings: &Findings,
    agent: &AgentRef,
    notes: &Notes,
    doc: &StoreDoc,
) -> SourcePlan {
    // Without the notes nobody knows whose the stored logins are: no other one takes their place.
    let Notes::Of(notes) = notes else {
        return SourcePlan::default();
    };
    let account = |account: &str| {
        let parts = account.split_whitespace();
        let prints = parts.map(|part| vault.fingerprint(part).to_string());
        prints.collect::<Vec<_>>().join(" ")
    };
    let planning = Planning {
        agent: &agent.name,
        notes,
        account: &account,
        rules: context.rules,
        adopts: context.adopts.as_deref(),
        now: context.clock.now(),
    };
    let (planned, logins) = context.sources.plan(doc, &findings.sources, &planning);
    let urgent = logins.iter().filter(|report| report.is_urgent());
    let mut notices: Vec<Notice> = urgent
        .map(|report| Notice::Login(Box::new(report.clone())))
        .collect();
    notices.extend(
        planned
            .iter()
            .filter(|planned| planned.changes_account() && context.adopts.is_none())
            .map(|planned| Notice::AccountChanged {
                profile: planned.profile,
                place: planned.place.clone(),
                why: planned.verdict().1,
            }),
    );
    SourcePlan {
        planned,
        logins,
        notices,
    }
}
