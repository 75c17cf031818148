//! The notices of a load, in words.

use crate::advice::{how_to_lend_again, login_remedy, of_agent, shell_word};
use clawkeep::internal::config::Layout;
use clawkeep::internal::domain::{AgentName, counted, escaped};
use clawkeep::internal::platform::Clock;
use clawkeep::internal::sources::SourceFault;
use clawkeep::internal::sync::{LoginState, Notice, Undoes, Writer};

use super::program_name::{self, restore_command};
use super::text::{shown_id, shown_ids};

/// The line for a notice; `None` if nothing is to report. It begins with the severity.
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
            let problem = capitalised(&message);
            let remedy = login_remedy(report);
            let remedy = remedy.trim_end_matches('.');
            format!("Warning: {problem}. {remedy}.")
        }
        Notice::BorrowedUnavailable { profile, from, why } => format!(
            "Warning: {} is borrowed from {}, and {} {}. What is stored stays as it is. {}",
            shown_id(profile.as_str()),
            from.lender(),
            escaped(&from.path),
            escaped(&why.to_string()),
            how_to_lend_again(profile, from, why)
        ),
        Notice::AccountChanged {
            profile,
            place,
            why,
        } => {
            let change = match *why {
                "other-account" => "is another account's login now",
                _ => "is another login now; whether it is the same account is unknown",
            };
            format!(
                "Warning: {profile} {change}. It came from {place}. To keep both, see: clawkeep \
                 doctor"
            )
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
                ", a plain copy. If you need nothing from it, remove it."
            }
        ),
        Notice::Removed { path } => format!(
            "Note: {} was imported into the vault and removed, as clawkeep.export asks (\"off\" by \
             default where no gateway is). To use its credentials: clawkeep token, clawkeep exec",
            path.display()
        ),
        Notice::Imported { profiles, removed } => {
            let removed = removed
                .as_ref()
                .map(|path| format!("; {} is no longer needed and was removed", path.display()));
            let count = counted(*profiles, "profile");
            let removed = removed.unwrap_or_default();
            format!("Note: imported {count} from the older store{removed}.")
        }
        Notice::Restored { path } => {
            let shown_path = path.display();
            format!("Note: {shown_path} was missing; clawkeep wrote it again from the vault.")
        }
        Notice::NotSynced { reason } => format!(
            "Note: nothing was synced, since the vault can only be read: {reason}. This is what \
             the vault holds; auth-profiles.json or another program's login differs from it."
        ),
        Notice::NotRecorded { error } => {
            format!("Warning: cannot record what changed: {error}. The next command tries again.")
        }
        Notice::RefreshRecovered { profile } => format!(
            "Note: a refresh of {} was interrupted. Its new tokens were kept, and clawkeep \
             imported them.",
            shown_id(profile.as_str())
        ),
        Notice::RefreshInterrupted { profile } => format!(
            "Warning: a refresh of {} was interrupted before an answer arrived. Its refresh token \
             may already be used up; the next use tries it once.",
            shown_id(profile.as_str())
        ),
        Notice::RefreshUnopened { profile, aside } => format!(
            "Warning: the answer to an interrupted refresh of {} does not open: it was damaged or \
             altered. The refresh token is used up and is not sent again. Log in again; clawkeep \
             doctor says how. The answer is kept as {}.",
            profile.as_ref().map_or_else(
                || "a login".to_owned(),
                |profile| shown_id(profile.as_str())
            ),
            aside.display()
        ),
        Notice::RefreshUnfinished { error } => format!(
            "Warning: cannot recover an interrupted refresh: {error}. The next command tries again."
        ),
        Notice::OldCopy {
            path,
            undoes,
            writer,
        } => format!(
            "Warning: {} was written back by {} as an old copy, from before a command changed it. \
             {} The store was written again. To set the old state, use clawkeep.",
            path.display(),
            written_by(writer),
            kept(undoes)
        ),
        Notice::OldCopyLeft {
            agent,
            path,
            writer,
        } => format!(
            "Warning: {} is an old copy, which {} keeps writing back. The vault keeps what \
             commands changed since, and hands out nothing that they removed; the file is left as \
             it is. Restart that program, then: clawkeep export{}",
            path.display(),
            written_by(writer),
            of_agent(agent)
        ),
        Notice::Vanished {
            agent,
            path,
            profiles,
            writer,
        } => format!(
            "Warning: {} was written by {} without {}. The vault keeps removed credentials for 30 \
             days. To put one back: {}",
            path.display(),
            written_by(writer),
            shown_ids(profiles.iter().map(String::as_str)),
            restoring(agent, profiles)
        ),
        Notice::Withheld { openclaw } => format!(
            "Note: {} belongs to a newer gateway, OpenClaw, {}, so clawkeep writes none there; \
             the vault has every change. To write one elsewhere: clawkeep export --to FILE \
             --reveal",
            openclaw.root.display(),
            openclaw.why_not_written()
        ),
        _ => return None,
    })
}

/// The line for a notice, with the paths of `layout`. Under the gateway's name, notices that only
/// clawkeep has are left out.
pub(crate) fn words_for(layout: &Layout, notice: &Notice) -> Option<String> {
    match notice {
        _ if is_of_our_name(notice) && program_name::is_called_as_gateway() => None,
        Notice::PlainCopy { path } => Some(format!(
            "Note: wrote {}, a copy of the credentials in plain text, for the gateway. To turn it \
             off: set export = \"off\" under [clawkeep] in {}, then run: clawkeep sync",
            layout.shorten_home(path),
            layout.shorten_home(&layout.settings_file)
        )),
        _ => words(notice),
    }
}

/// Whether a notice is reported only under our own name: the reference has no such notice.
pub(crate) fn is_of_our_name(notice: &Notice) -> bool {
    matches!(
        notice,
        Notice::PlainCopy { .. }
            | Notice::NotSynced { .. }
            | Notice::OldCopy { .. }
            | Notice::OldCopyLeft { .. }
            | Notice::Vanished { .. }
    )
}

/// The programs that may have written a store, as far as known.
fn written_by(writer: &Writer) -> String {
    let named = writer
        .gateways
        .iter()
        .map(|(pid, name)| format!("{} (pid {pid})", shown_id(name)));
    let named: Vec<String> = named.collect();
    match named.as_slice() {
        [] => "another program".to_owned(),
        [one] => format!("another program, probably {one}"),
        several => format!("another program, probably one of {}", several.join(", ")),
    }
}

/// What the vault keeps although an old copy has something else.
fn kept(undoes: &Undoes) -> String {
    let ids = |ids: &[String]| shown_ids(ids.iter().map(String::as_str));
    let parts = [
        (&undoes.removed, "still removed"),
        (&undoes.added, "still there"),
        (&undoes.replaced, "as they were set last"),
    ];
    let mut kept: Vec<String> = parts
        .into_iter()
        .filter(|(names, _)| !names.is_empty())
        .map(|(names, what)| format!("{what}: {}", ids(names)))
        .collect();
    if !undoes.orders.is_empty() {
        kept.push(format!(
            "the order as it was set last, not the earlier one: {}",
            ids(&undoes.orders)
        ));
    }
    format!("Kept: {}.", kept.join("; "))
}

/// The command that restores a removed credential, for one of them.
fn restoring(agent: &AgentName, profiles: &[String]) -> String {
    let id = profiles.first().map_or("ID", String::as_str);
    let profile = shell_word(id);
    let agent_option = of_agent(agent);
    format!("{} {profile}{agent_option}", restore_command())
}

/// Capitalises a sentence, unless it begins with a profile's id.
fn capitalised(text: &str) -> String {
    let begins_with_id = text
        .split(' ')
        .next()
        .is_some_and(|word| word.contains(':'));
    if begins_with_id {
        return text.to_owned();
    }
    let mut chars = text.chars();
    chars
        .next()
        .into_iter()
        .flat_map(char::to_uppercase)
        .chain(chars)
        .collect()
}

/// Whether a key of [`condition_of`] is about another program's login.
pub(crate) fn is_of_a_source(key: &str) -> bool {
    ["login ", "borrowed "]
        .iter()
        .any(|start| key.starts_with(start))
}

/// For a condition that lasts until a person acts: its subject, and the message when it ends.
pub(crate) fn condition_of(notice: &Notice) -> Option<(String, String)> {
    match notice {
        Notice::SourceDamaged { place, .. } => Some((
            format!("damaged {place}"),
            format!("{place} can be read again"),
        )),
        Notice::BorrowedUnavailable { profile, from, .. } => Some((
            format!("borrowed {profile} {}", from.path),
            format!("{} can be read again", from.path),
        )),
        Notice::OldCopyLeft { path, .. } => Some((
            format!("old copy {}", path.display()),
            format!("{} is up to date again", path.display()),
        )),
        // The next pass reports it as a state, which is not repeated.
        Notice::AccountChanged { place, .. } => Some((
            format!("login {place}"),
            format!("{place} is in order again"),
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
