//! What a load has to tell, in words.

use clawkeep::platform::Clock;
use clawkeep::sources::SourceFault;
use clawkeep::sync::{LoginState, Notice};

use crate::ui::shown_id;

/// A line for a person; nothing where there is nothing to say. It begins with how bad it is.
pub(crate) fn words(notice: &Notice) -> Option<String> {
    Some(match notice {
        Notice::SourceDamaged { place, fault } => {
            let remedy = match fault {
                SourceFault::Untrusted(refusal) => format!(" {}", refusal.remedy()),
                _ => String::new(),
            };
            format!(
                "Warning: {place} was not imported: {fault}. What is stored stays as it is.{remedy}"
            )
        }
        Notice::Login(report) => {
            let message = report.message(&report.place, Clock::System.now());
            format!(
                "Warning: {}. {}.",
                capitalised(&message),
                report.remedy().trim_end_matches('.')
            )
        }
        Notice::AccountChanged {
            profile,
            place,
            why,
        } => {
            let whose = match *why {
                "other-account" => "is another account's login now",
                _ => "is another login now; whether it is of the same account cannot be known",
            };
            format!("Warning: {profile}, from {place}, {whose}. To keep both: clawkeep doctor")
        }
        Notice::SetAside {
            path,
            aside,
            fault,
            is_exported,
        } => format!(
            "Warning: {} was damaged ({fault}). It is kept as {}{}",
            path.display(),
            aside.display(),
            if *is_exported {
                ", and the vault's copy was written in its place."
            } else {
                ", a plain copy. Once nothing in it is missed, remove it."
            }
        ),
        Notice::Removed { path } => format!(
            "Note: {} was taken over into the vault and removed, as clawkeep.export asks. What it held is used with: clawkeep token, clawkeep exec",
            path.display()
        ),
        Notice::Imported { profiles, removed } => {
            let removed = removed
                .as_ref()
                .map(|path| format!("; {} has done its duty and was removed", path.display()));
            let noun = if *profiles == 1 {
                "profile"
            } else {
                "profiles"
            };
            format!(
                "Note: imported {profiles} {noun} from the older store{}.",
                removed.unwrap_or_default()
            )
        }
        Notice::Restored { path } => {
            format!(
                "Note: {} was gone and has been written again from the vault.",
                path.display()
            )
        }
        Notice::NotRecorded { error } => format!(
            "Warning: what was seen could not be recorded: {error}. The next command tries again."
        ),
        Notice::RefreshRescued { profile } => format!(
            "Note: a refresh of {} had been cut off; the tokens that it had brought were kept, and are taken in.",
            shown_id(profile.as_str())
        ),
        Notice::RefreshInterrupted { profile } => format!(
            "Warning: a refresh of {} was cut off before there was an answer; its refresh token may be spent. The next use tries it once.",
            shown_id(profile.as_str())
        ),
        Notice::RefreshUnopened { profile, aside } => format!(
            "Warning: the answer to an interrupted refresh of {} does not open: it was damaged or altered. The refresh token is used up and is not sent again. Log in again; clawkeep doctor says how. The answer is kept as {}.",
            profile.as_ref().map_or_else(
                || "a login".to_owned(),
                |profile| shown_id(profile.as_str())
            ),
            aside.display()
        ),
        Notice::RefreshUnfinished { error } => format!(
            "Warning: a refresh had been cut off, and what it left could not be seen to: {error}. The next command tries again."
        ),
        Notice::Withheld { dir } => format!(
            "Note: {} belongs to a newer gateway, which refuses to start beside an auth-profiles.json, so none is written there. To write one elsewhere: clawkeep export --to FILE --reveal",
            dir.display()
        ),
        _ => return None,
    })
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(chars)
        .collect()
}

/// Of what lasts until somebody does something: what it is about, and what is said when it is over.
pub(crate) fn lasts(notice: &Notice) -> Option<(String, String)> {
    match notice {
        Notice::SourceDamaged { place, .. } => Some((
            format!("damaged {place}"),
            format!("{place} can be read again"),
        )),
        Notice::Login(report) => {
            let place = &report.place;
            let over = match report.state {
                LoginState::NotReadable(_) => format!("{place} can be read again"),
                LoginState::LoggedOut { .. } => format!("{} is logged in again", report.program()),
                _ => format!("{place} is in order again"),
            };
            Some((format!("login {place}"), over))
        }
        _ => None,
    }
}
