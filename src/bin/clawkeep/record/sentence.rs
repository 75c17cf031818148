//! An event as a sentence: `claude-code refreshed anthropic:claude-cli, valid 8h`.

use clawkeep::internal::audit::{
    Event, EventKind, Origin, is_imported_refresh, refresh_failure_reason,
};
use clawkeep::internal::domain::{AgentName, UnixMs};
use serde_json::{Map, Value};

use super::text::subject;
use crate::terminal::text::{local_minute, one_line};

/// The event as a sentence without its end, on one line.
pub(crate) fn sentence(event: &Event) -> String {
    let kind = EventKind::from_name(&event.kind);
    let program = program(event);
    let clause = match kind.and_then(clause) {
        _ if is_imported_refresh(event) => "WHO refreshed IT",
        Some("WHO used IT") if program.is_some() => "WHO ran PROGRAM with IT",
        Some(clause) => clause,
        None => "WHO: KIND of IT", // of a later version
    };
    let agent = event.agent.as_deref();
    let session = event.session.as_deref();
    let words = clause.split(' ').map(|word| match word {
        "WHO" => who(event, kind),
        "WHO:" => format!("{}:", who(event, kind)),
        "IT" => subject(event),
        "AGENT" => agent.unwrap_or(AgentName::default().as_str()).to_owned(),
        "ORIGIN" => event.origin.to_string(),
        "PROGRAM" => program.clone().unwrap_or_default(),
        "SESSION" => session.unwrap_or("-").to_owned(),
        "KIND" => event.kind.to_string(),
        word => word.to_owned(),
    });
    let words = words.collect::<Vec<_>>().join(" ");
    one_line(&format!("{words}{}", more(event, kind)))
}

/// The program that got the secret of a use, if the record has it.
fn program(event: &Event) -> Option<String> {
    let detail: Map<String, Value> = serde_json::from_str(event.detail.as_deref()?).ok()?;
    Some(detail.get("program")?.as_str()?.to_owned())
}

/// What happened, as a clause with names in capitals for what the event has.
fn clause(kind: EventKind) -> Option<&'static str> {
    use EventKind as Kind;
    Some(match kind {
        Kind::VaultCreated => "WHO created the vault",
        Kind::VaultUpgraded => "WHO upgraded the vault",
        Kind::VaultMoved => "WHO moved the vault",
        Kind::VaultMerged => "WHO merged another vault into this one",
        Kind::ProfileCreated => "WHO added IT",
        Kind::ProfileUpdated => "WHO changed IT",
        Kind::ProfileRemoved => "WHO removed IT",
        Kind::ProfileRestored => "WHO restored an earlier version of IT",
        Kind::SyncApplied => "WHO imported IT from ORIGIN",
        Kind::SyncSkipped => "WHO did not import IT from ORIGIN",
        Kind::ImportApplied => "WHO imported a file for agent AGENT",
        Kind::ImportDropped => "WHO left out a part of an imported file",
        Kind::ExportWritten => "WHO wrote the store of agent AGENT",
        Kind::StoreMerged => "WHO merged another program's changes to the store of agent AGENT",
        Kind::StoreCorrupt => "WHO set aside the damaged store of agent AGENT",
        Kind::OrderSet => "WHO set the order of IT",
        Kind::OrderCleared => "WHO removed the order of IT",
        Kind::SessionPinned => "WHO pinned session SESSION to IT",
        Kind::SessionUnpinned => "WHO released session SESSION from IT",
        Kind::RefreshStarted => "WHO began to refresh IT",
        Kind::RefreshSucceeded => "WHO refreshed IT",
        Kind::RefreshFailed => "WHO could not refresh IT",
        Kind::RefreshInterrupted => "WHO found an interrupted refresh of IT",
        Kind::RefreshSuperseded => "WHO refreshed IT too late and kept a newer credential",
        Kind::CredentialUsed => "WHO used IT",
        Kind::CredentialFailed => "WHO was refused with IT",
        Kind::CredentialProbed => "WHO tried IT at its provider",
        Kind::CredentialPassedOver => "WHO passed over IT",
        Kind::CredentialBorrowed => "WHO left refreshing IT to another program",
        Kind::CooldownSet => "WHO put IT in cooldown",
        Kind::CooldownCleared => "WHO ended the cooldown of IT",
        Kind::ExpiryExpiring => "IT expires soon",
        Kind::ExpiryExpired => "IT expired",
        Kind::EndpointTrusted => "WHO confirmed the token endpoint of IT",
        Kind::KeyAdded => "WHO added a vault key",
        Kind::KeyRemoved => "WHO removed a vault key",
        Kind::KeyRotated => "WHO rotated the vault key",
        Kind::BackupCreated => "WHO created a backup",
        Kind::BackupRestored => "WHO restored a backup",
        Kind::RepairMade => "WHO repaired a problem",
        Kind::AuditPruned => "WHO pruned the audit record",
        Kind::AlertSent => "WHO sent an alert",
        Kind::AlertFailed => "WHO could not deliver an alert",
        _ => return None,
    })
}

/// The program that acted: another one, where its file showed the change. A use is that of the
/// program that ran clawkeep.
fn who(event: &Event, kind: Option<EventKind>) -> String {
    let is_mirrored = is_imported_refresh(event);
    match &*event.origin {
        origin if origin == Origin::StoreFile.as_str() => "another program".to_owned(),
        origin if origin != Origin::Clawkeep.as_str() && is_mirrored => origin.to_owned(),
        _ => {
            let is_use = matches!(
                kind,
                Some(EventKind::CredentialUsed | EventKind::CredentialFailed)
            );
            let parent = event.actor.parent.as_ref().filter(|_| is_use);
            parent.unwrap_or(&event.actor.program).to_string()
        }
    }
}

/// What else a person wants to know of it, behind the clause.
fn more(event: &Event, kind: Option<EventKind>) -> String {
    use EventKind as Kind;
    let detail = event.detail.as_deref().unwrap_or_default();
    let detail: Map<String, Value> = serde_json::from_str(detail).unwrap_or_default();
    let text = |name: &str| match detail.get(name)? {
        Value::String(text) => Some(format!(": {text}")),
        Value::Array(items) => {
            let items: Vec<&str> = items.iter().filter_map(Value::as_str).collect();
            Some(format!(": {}", items.join(", ")))
        }
        _ => None,
    };
    let found = match kind {
        Some(Kind::RefreshFailed) => {
            refresh_failure_reason(event).map(|reason| format!(": {reason}"))
        }
        Some(Kind::OrderSet) => text("order"),
        Some(Kind::CredentialFailed) => text("reason"),
        Some(Kind::SyncSkipped | Kind::CredentialPassedOver) => text("why"),
        Some(Kind::BackupCreated | Kind::BackupRestored) => text("path"),
        Some(Kind::RepairMade) => text("repair"),
        Some(Kind::AlertSent | Kind::AlertFailed) => text("title"),
        Some(Kind::CooldownSet) => {
            let until = detail.get("until").and_then(Value::as_i64);
            until.map(|until| format!(" until {}", local_minute(UnixMs::from_ms(until))))
        }
        Some(Kind::CredentialUsed) => event
            .session
            .as_ref()
            .map(|session| format!(" in session {session}")),
        _ => None,
    };
    format!(
        "{}{}",
        found.unwrap_or_default(),
        validity(event).unwrap_or_default()
    )
}

/// How long a credential that came in with the event is valid.
fn validity(event: &Event) -> Option<String> {
    let expires = UnixMs::from_ms(event.expires_after.filter(|at| *at > 0)?);
    if event.token_after.is_none() || event.token_before == event.token_after {
        return None;
    }
    let left = expires - event.at;
    Some(match expires > event.at {
        true => format!(", valid {}", left.short()),
        false => format!(", expired {}", local_minute(expires)),
    })
}

#[cfg(test)]
mod tests {
    use clawkeep::internal::domain::Seq;

    use super::*;

    fn event(kind: &str, origin: &str, detail: &str) -> Event {
        let mut event = Event::default();
        event.seq = Seq::new(1);
        event.at = UnixMs::from_ms(1_795_478_400_000);
        event.kind = kind.into();
        event.outcome = "ok".into();
        event.origin = origin.into();
        event.agent = Some("main".into());
        event.profile = Some("anthropic:claude-cli".into());
        event.provider = Some("anthropic".into());
        event.actor.program = "clawkeep".into();
        event.actor.parent = Some("job.py".into());
        event.generation = Some(2);
        event.detail = Some(detail.to_owned());
        event
    }

    #[test]
    fn what_happened_in_words() {
        let mut refreshed = event("sync.applied", "claude-code", "{}");
        refreshed.token_before = Some(vec![1; 8]);
        refreshed.token_after = Some(vec![2; 8]);
        refreshed.expires_before = Some(refreshed.at.0);
        refreshed.expires_after = Some(refreshed.at.0 + 8 * 3_600_000);
        assert_eq!(
            sentence(&refreshed),
            "claude-code refreshed anthropic:claude-cli, valid 8h"
        );
        refreshed.token_before = None;
        assert_eq!(
            sentence(&refreshed),
            "clawkeep imported anthropic:claude-cli from claude-code, valid 8h"
        );
        for (kind, origin, detail, expected) in [
            (
                "refresh.failed",
                "clawkeep",
                r#"{"class":"transient","cause":"dns"}"#,
                "clawkeep could not refresh anthropic:claude-cli: the provider's host name was \
                 not resolved (DNS)",
            ),
            (
                "credential.used",
                "clawkeep",
                "{}",
                "job.py used anthropic:claude-cli",
            ),
            (
                "credential.used",
                "clawkeep",
                r#"{"command":"exec","program":"python3"}"#,
                "job.py ran python3 with anthropic:claude-cli",
            ),
            (
                "credential.used",
                "auth-profiles.json",
                "{}",
                "another program used anthropic:claude-cli",
            ),
            (
                "credential.failed",
                "clawkeep",
                r#"{"reason":"rate_limit"}"#,
                "job.py was refused with anthropic:claude-cli: rate_limit",
            ),
            (
                "expiry.expired",
                "clock",
                "",
                "anthropic:claude-cli expired",
            ),
            (
                "moon.rose",
                "clawkeep",
                "{}",
                "clawkeep: moon.rose of anthropic:claude-cli",
            ),
        ] {
            assert_eq!(sentence(&event(kind, origin, detail)), expected);
        }
        let mut order = event("order.set", "clawkeep", r#"{"order":["a:1","a:\u001b2"]}"#);
        order.profile = None;
        assert_eq!(
            sentence(&order),
            r"clawkeep set the order of anthropic: a:1, a:\u001b2"
        );
    }

    #[test]
    fn every_kind_of_event_has_a_sentence() {
        for kind in EventKind::ALL {
            assert!(clause(*kind).is_some(), "{kind:?}");
        }
    }
}
