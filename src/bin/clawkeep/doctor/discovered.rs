//! What other programs keep in plain text: keys that other users can read, and secrets that are in
//! several files.

use std::path::Path;

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use crate::advice::shell_path;
use clawkeep::internal::discover::{Discovered, Found};
use clawkeep::internal::domain::{Expiry, Span, UnixMs, is_hidden};

/// How long before a login expires it is reported: a few days, since a person has to act.
const EXPIRES_SOON: Span = Span::days(3);

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let mut found = open_files(evidence);
    let all = evidence.discovered.credentials.iter();
    found.extend(all.filter_map(|credential| server_login(evidence, credential)));
    let shared = evidence.discovered.shared_secrets();
    found.extend(shared.iter().map(|places| shared_secret(evidence, places)));
    found
}

/// The files with keys that other users can read. The logins that are mirrored, and gateways'
/// stores, have a finding of their own.
fn open_files(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let is_mirrored = |path: &Path| layout.logins.iter().any(|files| files.login == path);
    let mut findings: Vec<Finding> = Vec::new();
    for credential in &evidence.discovered.credentials {
        let path = &*credential.path;
        let is_known = findings
            .iter()
            .any(|known| known.path.as_deref() == Some(path));
        if !credential.is_open() || is_known || is_mirrored(path) || credential.is_in_store() {
            continue;
        }
        let mode = credential
            .permissions
            .map_or(0, |permissions| permissions.mode & 0o777);
        let message = format!(
            "{}, in which {} keeps secrets in plain text, can be read by other users (mode \
             {mode:03o})",
            layout.shorten_home(path),
            credential.program.name
        );
        let finding = Finding::new(FindingId::PermissionsKeys, message).path(path);
        findings.push(finding.advice(format!("chmod 600 {}", shell_path(layout, path))));
    }
    findings
}

/// A login that only a person can extend, and that expires soon. Those that are mirrored have a
/// finding of their own.
fn server_login(evidence: &Evidence<'_>, credential: &Discovered) -> Option<Finding> {
    let left = UnixMs::from_ms(ends(credential)?.floor_ms()) - evidence.now;
    if !is_soon(left) {
        return None;
    }
    let (program, name) = (credential.program.name, &credential.name);
    let message = format!(
        "the login of {program} at {} {}",
        name.replace(is_hidden, "\u{fffd}"),
        left.expiry()
    );
    let finding = Finding::new(FindingId::SourceServerLogin, message).path(&credential.path);
    Some(finding.advice(format!("Log in again with {program}")))
}

/// When a login expires that only a person can extend.
pub(super) fn ends(credential: &Discovered) -> Option<Expiry> {
    match credential.is_for_server && !credential.is_login() {
        true => credential.expires,
        false if credential.program.mirror.is_some() => None,
        false => credential.login_expires,
    }
}

/// Whether a person has to act now.
pub(super) fn is_soon(left: Span) -> bool {
    left <= EXPIRES_SOON
}

fn shared_secret(evidence: &Evidence<'_>, places: &[usize]) -> Finding {
    let Found { credentials, .. } = evidence.discovered;
    let all: Vec<&Discovered> = places.iter().map(|place| &credentials[*place]).collect();
    let shown = all.iter().map(|credential| {
        let path = evidence.layout.shorten_home(&credential.path);
        format!("{path} ({})", credential.program.name)
    });
    let shown = shown.collect::<Vec<_>>().join(", ");
    let is_login = all.iter().any(|credential| credential.is_login());
    let (what, advice) = match is_login {
        true => (
            "login",
            "The program that refreshes it first logs the others out: log in once for each",
        ),
        false => (
            "key",
            "Keep it in one place, so that it can be replaced in one place: clawkeep discover",
        ),
    };
    let message = format!("the same {what} is in {} files: {shown}", all.len());
    let finding = Finding::new(FindingId::SourceShared, message);
    let path = all.first().map(|first| first.path.clone());
    path.into_iter().fold(finding, Finding::path).advice(advice)
}
