//! `models status --probe`: asks each credential's provider once whether it accepts it.

use std::time::Instant;

use clawkeep::internal::audit::{EventDraft, EventKind, Origin, Outcome};
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{Credential, ProfileId, ProviderId, normalize_provider};
use clawkeep::internal::health::CredentialState;
use clawkeep::internal::oauth::{ProbeRequest, Probed, Verdict};
use clawkeep::internal::platform::run_all;
use clawkeep::internal::sync::Loaded;
use clawkeep::internal::vault::UnlockedVault;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::shown_id;

/// What a probe of one credential found.
pub(super) struct ProbeRow {
    id: String,
    provider: String,
    /// `None` if nothing was sent.
    answer: Option<(Probed, u64)>,
    /// Why nothing was sent, for programs and for people.
    why: (&'static str, &'static str),
}

const NO_PROBE: (&str, &str) = (
    "no_probe",
    "not asked: no address is known for this provider",
);
const UNUSABLE: (&str, &str) = ("unusable", "not asked: it has expired or holds no secret");
const FAILED: (&str, &str) = ("unknown", "not asked: no thread could be started");

/// Sends one request for each usable credential of the agent, all at once, and records each.
///
/// # Errors
/// When the vault cannot record it.
pub(super) fn probe(
    context: &Context,
    vault: &mut UnlockedVault,
    (agent, loaded): (&AgentRef, &Loaded),
) -> Result<Vec<ProbeRow>, Failure> {
    vault.require_writable()?; // what is sent is recorded
    let now = context.clock.now();
    let settings = &context.own()?.providers;
    let mut rows = Vec::new();
    let mut requests = Vec::new();
    for (id, credential) in loaded.doc.credentials() {
        let provider = normalize_provider(credential.provider);
        let mut why = UNUSABLE;
        if CredentialState::of(&credential, context.as_of(now)).is_usable() {
            let request = request(settings, &provider, &credential);
            why = if request.is_some() { FAILED } else { NO_PROBE };
            requests.extend(request.map(|request| (rows.len(), request)));
        }
        let id = id.to_owned();
        rows.push(ProbeRow {
            id,
            provider,
            answer: None,
            why,
        });
    }
    let (places, requests): (Vec<usize>, Vec<ProbeRequest>) = requests.into_iter().unzip();
    let sends = requests.into_iter().map(|request| {
        move || {
            let begun = Instant::now();
            let probed = request.send(now);
            (
                probed,
                u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            )
        }
    });
    let progress = context.ui.progress("Asking the providers");
    let answers = run_all(sends.collect());
    drop(progress);
    for (place, answer) in places.into_iter().zip(answers) {
        if let Some(row) = rows.get_mut(place) {
            row.answer = answer;
        }
    }
    record(context, vault, agent, &rows)?;
    Ok(rows)
}

fn request(
    settings: &std::collections::BTreeMap<ProviderId, clawkeep::internal::config::ProviderSettings>,
    provider: &str,
    credential: &Credential<'_>,
) -> Option<ProbeRequest> {
    let secret = credential.expose_secret()?;
    ProbeRequest::of(
        settings,
        &ProviderId::new(provider),
        credential.kind,
        secret,
    )
}

fn record(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    rows: &[ProbeRow],
) -> Result<(), Failure> {
    let mut tx = vault.begin(&context.actor, context.clock)?;
    let mut is_empty = true;
    for row in rows {
        let Some((probed, _)) = &row.answer else {
            continue;
        };
        let outcome = match probed.verdict {
            Verdict::Accepted => Outcome::Ok,
            _ => Outcome::Failed,
        };
        let mut event = EventDraft::new(EventKind::CredentialProbed, Origin::Clawkeep)
            .profile(&ProfileId::new(&row.id), &row.provider)
            .outcome(outcome)
            .detail("verdict", probed.verdict.as_str());
        if let Some(status) = probed.status {
            event = event.detail("status", status);
        }
        tx.append(Some(&agent.name), event)?;
        is_empty = false;
    }
    if is_empty {
        return Ok(());
    }
    tx.commit()?;
    context.keep_head(vault);
    Ok(())
}

impl ProbeRow {
    /// Whether the provider refused it.
    pub(super) fn is_refused(&self) -> bool {
        let answer = self.answer.as_ref();
        answer.is_some_and(|(probed, _)| probed.verdict == Verdict::Refused)
    }

    pub(super) fn json(&self) -> Value {
        let probed = self.answer.as_ref().map(|(probed, _)| probed);
        json!({
            "profileId": self.id,
            "provider": self.provider,
            "status": probed.map_or(self.why.0, |probed| probed.verdict.as_str()),
            "httpStatus": probed.and_then(|probed| probed.status),
            "error": probed.and_then(|probed| probed.why.as_deref()),
            "latencyMs": self.answer.as_ref().map(|(_, ms)| ms),
        })
    }

    pub(super) fn text(&self) -> String {
        let said = match &self.answer {
            None => self.why.1.to_owned(),
            Some((probed, ms)) => {
                let http = probed
                    .status
                    .map_or(String::new(), |status| format!(", HTTP {status}"));
                let why = probed.why.as_deref().unwrap_or_default();
                match probed.verdict {
                    Verdict::Accepted => format!("accepted ({ms} ms)"),
                    Verdict::Refused => {
                        format!("refused{http}: the provider does not accept this secret")
                    }
                    Verdict::RateLimited => match probed.retry_after {
                        Some(after) => {
                            format!("not known{http}: rate limited for {} s", after.as_secs())
                        }
                        None => format!("not known{http}: rate limited"),
                    },
                    Verdict::Billing => format!("no credit left{http}"),
                    Verdict::TimedOut => "not known: no answer in time".to_owned(),
                    Verdict::Unknown => format!("not known{http} {why}").trim_end().to_owned(),
                }
            }
        };
        format!("- {} {said}", shown_id(&self.id))
    }
}
