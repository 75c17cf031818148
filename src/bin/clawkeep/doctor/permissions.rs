//! Checks the owner and the permissions of the files and directories that clawkeep relies on.

use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use super::repair::Repair;
use crate::advice::shell_path;
use clawkeep::internal::config::Layout;
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::{
    Access, Fault, FileError, Permissions, Refusal, Trust, canonicalize, check_trusted,
    is_mounted_secret,
};

/// What others must not do with a file or directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    /// Other users must neither read nor change it: it contains a plaintext secret.
    Secret,
    /// As a secret, which root or a container may have put there: what reads it decides.
    Named,
    /// Other users must not change it, and should not read it.
    Private,
    /// They must not change it.
    Unchanged,
}

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    // In somebody else's state directory (`sudo`) nothing is ours, and one finding says so.
    let is_foreign = Permissions::of(&layout.state_dir).is_some_and(|found| !found.is_ours);
    let mut found = Vec::new();
    for (path, kept) in relied_on(evidence) {
        let Some(permissions) = Permissions::of(&path) else {
            found.extend(listed(layout, &path, kept));
            continue;
        };
        if kept == Kept::Named {
            found.extend(named(evidence, path, permissions));
            continue;
        }
        if !permissions.is_ours {
            if !is_foreign || path == layout.state_dir {
                found.push(foreign(layout, path, permissions));
            }
        } else if let Some(id) = fault(permissions, kept) {
            found.push(open(evidence, path, permissions, (id, kept)));
        }
    }
    found.extend(logins(layout));
    found.extend(refused(evidence, &found));
    found
}

/// What an access-control list lets others read. What they can change is a finding of its own.
fn listed(layout: &Layout, path: &Path, kept: Kept) -> Option<Finding> {
    let id = match kept {
        Kept::Secret | Kept::Named => FindingId::PermissionsSecret,
        Kept::Private => FindingId::PermissionsReadable,
        Kept::Unchanged => return None,
    };
    let refusal = Trust::current().readable_by_others(path)?;
    let shown = layout.shorten_home(path);
    let message = format!("{shown} can be read by other users ({})", refusal.rights());
    let finding = Finding::new(id, message).path(path);
    Some(finding.advice(refusal.fix()))
}

/// What is wrong with a key or passphrase file that was named, by the rule that it is read by.
fn named(evidence: &Evidence<'_>, path: PathBuf, permissions: Permissions) -> Option<Finding> {
    let Err(FileError::Untrusted(refusal)) = check_trusted(&path, Access::Secret) else {
        return None;
    };
    if is_refused_link(evidence.layout, &path) {
        return Some(refused_link(evidence.layout, path));
    }
    if permissions.is_ours && refusal.path == path && refusal.is_fixed_by_chmod() {
        return fault(permissions, Kept::Secret)
            .map(|id| open(evidence, path, permissions, (id, Kept::Secret)));
    }
    Some(untrusted(evidence.layout, &refusal))
}

/// What is not used because somebody else can have changed it or a directory above, unless found.
fn refused(evidence: &Evidence<'_>, found: &[Finding]) -> Vec<Finding> {
    let layout = evidence.layout;
    let mut paths: Vec<PathBuf> = relied_on(evidence)
        .into_iter()
        .map(|(path, _)| path)
        .collect();
    paths.extend([
        layout.settings_file.clone(),
        layout.oauth_file(),
        layout.heads_dir(),
    ]);
    paths.extend(layout.logins.iter().map(|files| files.login.clone()));
    let mut known: Vec<PathBuf> = found
        .iter()
        .filter_map(|finding| canonicalize(finding.path.as_ref()?).ok())
        .collect();
    let mut refused = Vec::new();
    for path in paths {
        let Err(FileError::Untrusted(refusal)) = check_trusted(&path, Access::Read) else {
            continue;
        };
        if !known.contains(&refusal.path) {
            known.push(refusal.path.clone());
            refused.push(untrusted(layout, &refusal));
        }
    }
    refused
}

fn untrusted(layout: &Layout, refusal: &Refusal) -> Finding {
    let id = match refusal.fault {
        Fault::Owner => FindingId::PermissionsOwner,
        Fault::Readable => FindingId::PermissionsSecret,
        _ => FindingId::PermissionsWritable,
    };
    let used = refusal.asked.as_ref().map_or_else(String::new, |asked| {
        format!("; {} is not used", layout.shorten_home(asked))
    });
    let shown = layout.shorten_home(&refusal.path);
    let message = match refusal.fault {
        Fault::Owner => format!("{shown} belongs to user {}{used}", refusal.owner_name()),
        Fault::Readable => format!(
            "{shown} can be read by other users ({}){used}",
            refusal.rights()
        ),
        _ => format!(
            "{shown} can be changed by other users ({}){used}",
            refusal.rights()
        ),
    };
    let finding = Finding::new(id, message).path(&refusal.path);
    if is_home(layout, &refusal.path) && refusal.fault != Fault::Owner {
        return finding.advice(CLOSE_HOME);
    }
    if !refusal.is_fixed_by_chmod() {
        return finding.advice(refusal.fix());
    }
    let is_file = !refusal.path.is_dir() && !is_harmless(layout, &refusal.path);
    if refusal.fault != Fault::Readable && is_file {
        return finding.advice(read_first(&refusal.fix()));
    }
    if !is_in_relied_on_dir(layout, &refusal.path) {
        return finding.advice(refusal.fix());
    }
    finding.repair(Repair::Chmod {
        path: refusal.path.clone(),
        mode: match refusal.fault {
            Fault::Readable => refusal.mode & 0o700,
            _ => refusal.mode & 0o755,
        },
    })
}

/// Whether a path is a link in the place of a key file, through which no key is read. The mode of
/// what it leads to says nothing then.
fn is_refused_link(layout: &Layout, path: &Path) -> bool {
    let is_key = layout.named_key_file() == Some(path)
        || (path.parent() == Some(&layout.key_file_dir())
            && path.extension().is_some_and(|extension| extension == "key"));
    is_key && path.is_symlink() && !is_mounted_secret(path)
}

fn refused_link(layout: &Layout, path: PathBuf) -> Finding {
    let shown = layout.shorten_home(&path);
    let message = format!("{shown} is a symbolic link, through which no key is read");
    Finding::new(FindingId::PermissionsSecret, message)
        .path(path)
        .advice("Put the key file itself there, or name it, with mode 600.")
}

/// What a person does about a home directory that others can write to. No command changes that.
const CLOSE_HOME: &str = "Only you should be able to write to your home directory: take that right \
    from other users.";

/// A command that makes a file trusted, for a person who has read what is in it. No repair makes
/// something trusted that another user may have written.
fn read_first(command: &str) -> String {
    let command = command.strip_prefix("Fix it with: ").unwrap_or(command);
    format!("Another user may have changed it. Read it first, then: {command}")
}

fn is_home(layout: &Layout, path: &Path) -> bool {
    let [home, path] = [&layout.home, path].map(canonicalize);
    home.is_ok_and(|home| path.is_ok_and(|path| path == home))
}

/// Whether a path is a directory of this program's or the gateway's, or in one. Where a link of
/// another program's leads is none.
fn is_in_relied_on_dir(layout: &Layout, path: &Path) -> bool {
    let dirs = [
        layout.state_dir.clone(),
        layout.vault_dir.clone(),
        layout.data_dir.clone(),
        layout.key_file_dir(),
        layout.heads_dir(),
    ];
    let mut dirs = dirs.iter().filter_map(|dir| canonicalize(dir).ok());
    dirs.any(|dir| path.starts_with(&dir) && !is_home(layout, &dir))
}

fn fault(permissions: Permissions, kept: Kept) -> Option<FindingId> {
    let readable = permissions.is_readable_by_others();
    match kept {
        Kept::Secret | Kept::Named if readable => Some(FindingId::PermissionsSecret),
        _ if permissions.is_writable_by_others() => Some(FindingId::PermissionsWritable),
        Kept::Private if readable => Some(FindingId::PermissionsReadable),
        _ => None,
    }
}

/// Everything of this program's, and of the gateway's, that the vault's safety hangs on.
fn relied_on(evidence: &Evidence<'_>) -> Vec<(PathBuf, Kept)> {
    let layout = evidence.layout;
    let beside = |suffix: &str| {
        let mut path = layout.vault_file.as_os_str().to_owned();
        path.push(suffix);
        PathBuf::from(path)
    };
    let mut paths = vec![
        (layout.state_dir.clone(), Kept::Private),
        (layout.config_file.clone(), Kept::Private),
        (layout.vault_file.clone(), Kept::Private),
        (beside(".lock"), Kept::Unchanged),
        (beside(".lease"), Kept::Private),
        (layout.key_file_dir(), Kept::Private),
    ];
    // SQLite creates these with the vault's mode: a wrong mode shows in them, and is reported once.
    let is_closed = |found: Permissions| found.mode == found.closed();
    if Permissions::of(&layout.vault_file).is_none_or(is_closed) {
        let files = ["-wal", "-shm", "-journal"].map(beside);
        let files = files.into_iter().filter(|file| !file.is_symlink()); // no vault opens with one
        paths.extend(files.map(|file| (file, Kept::Private)));
    }
    if let Some(dir) = layout
        .vault_file
        .parent()
        .filter(|dir| *dir != layout.state_dir)
    {
        // chosen by the user, with whatever else is in it
        paths.push((dir.to_owned(), Kept::Unchanged));
    }
    for file in [layout.named_key_file(), layout.passphrase_file()] {
        paths.extend(file.map(|file| (file.to_owned(), Kept::Named)));
    }
    if let Some(vault) = evidence.vault.locked() {
        let own = layout.key_file_dir().join(format!("{}.key", vault.id()));
        paths.push((own, Kept::Secret));
        let head = layout.head_file(vault.id());
        if let Some(dir) = head.parent() {
            paths.push((dir.to_owned(), Kept::Unchanged));
        }
        paths.push((head, Kept::Unchanged));
    } else {
        // It is unknown which of them belongs to the vault.
        paths.extend(key_files(&layout.key_file_dir()).map(|file| (file, Kept::Secret)));
    }
    for examined in evidence.agents {
        let dir = &examined.agent.dir;
        let is_gateways = dir.starts_with(&layout.state_dir);
        let kept = if is_gateways {
            Kept::Private
        } else {
            Kept::Unchanged
        };
        paths.push((dir.clone(), kept));
        let above = dir.ancestors().skip(1);
        let inside = above.take_while(|above| {
            above.starts_with(&layout.state_dir) && **above != *layout.state_dir
        });
        paths.extend(inside.map(|above| (above.to_owned(), Kept::Unchanged)));
        if let Ok(place) = StorePlace::of_agent(dir) {
            paths.push((place.real().to_owned(), Kept::Secret));
        }
    }
    paths
}

/// The key files in a directory, at most some: there is one a vault.
fn key_files(dir: &Path) -> impl Iterator<Item = PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let files = entries.map(|entry| entry.path());
    files
        .filter(|path| path.extension().is_some_and(|ext| ext == "key"))
        .take(64)
}

fn open(
    evidence: &Evidence<'_>,
    path: PathBuf,
    permissions: Permissions,
    (id, kept): (FindingId, Kept),
) -> Finding {
    let what = match id {
        FindingId::PermissionsWritable => "can be changed by other users",
        _ => "can be read by other users",
    };
    let shown = evidence.layout.shorten_home(&path);
    let message = format!("{shown} {what} (mode {:03o})", permissions.mode & 0o777);
    let finding = Finding::new(id, message).path(&path);
    if is_refused_link(evidence.layout, &path) {
        return refused_link(evidence.layout, path);
    }
    if permissions.is_shared_dir() {
        return finding.advice("That directory is shared by all users; use one of your own.");
    }
    // Checks follow a link, repairs do not: the finding names the target, and that is judged.
    let is_link = path.is_symlink();
    let path = canonicalize(&path).unwrap_or(path);
    // `--state-dir` and `--vault` may name the system's. A file is ours where the vault opens.
    let trust = Trust::current();
    let is_own = trust.may_suggest_moving(&path)
        || (!permissions.is_dir && !is_link && evidence.vault.locked().is_some());
    let is_changed = id == FindingId::PermissionsWritable && trust.may_suggest_changing(&path);
    if !is_own && !is_changed {
        return finding.advice("Use another one, in a directory that only you can enter.");
    }
    if is_home(evidence.layout, &path) {
        return finding.advice(CLOSE_HOME);
    }
    // Of what the user chose for other purposes as well, no more is taken than has to be.
    let mode = match kept {
        _ if !is_own => permissions.unwritable(),
        Kept::Unchanged => permissions.unwritable(),
        Kept::Secret | Kept::Named | Kept::Private => permissions.closed(),
    };
    if permissions.is_writable_by_others()
        && !permissions.is_dir
        && !is_harmless(evidence.layout, &path)
    {
        let shown = shell_path(evidence.layout, &path);
        return finding.advice(read_first(&format!("chmod {mode:o} {shown}")));
    }
    finding.repair(Repair::Chmod { path, mode })
}

/// Whether what another user may have written into a file starts no program and is believed by
/// nobody: the vault and its log are sealed and proven, its locks are empty, and what comes from a
/// store is in the record.
fn is_harmless(layout: &Layout, path: &Path) -> bool {
    if path
        .file_name()
        .is_some_and(|name| name == "auth-profiles.json")
    {
        return true;
    }
    let vault = canonicalize(&layout.vault_file).unwrap_or_else(|_| layout.vault_file.clone());
    let beside = ["", "-wal", "-shm", "-journal", ".lock"];
    beside.iter().any(|suffix| {
        let mut name = vault.as_os_str().to_owned();
        name.push(suffix);
        path == Path::new(&name)
    })
}

fn foreign(layout: &Layout, path: PathBuf, permissions: Permissions) -> Finding {
    let shown = layout.shorten_home(&path);
    let owner = permissions.owner;
    let message = format!("{shown} belongs to user {owner}, not to the user that this runs as");
    // Files of root in somebody's directories are what a command run with sudo leaves. A whole
    // state directory of somebody else's is one that this should not be run on. Nor is one of the
    // system's, whatever it was named for.
    let trust = Trust::current();
    let is_kept = !trust.is_in_own_place(&path) && !trust.is_in_state_dir(&path);
    let fix = if is_kept || (path == layout.state_dir && owner != 0) {
        format!("Run the command as its owner: sudo -u '#{owner}' clawkeep doctor")
    } else {
        format!("sudo chown \"$(id -u)\" {}", shell_path(layout, &path))
    };
    Finding::new(FindingId::PermissionsOwner, message)
        .path(path)
        .advice(fix)
}

/// Reports permissions of other programs' own files, which clawkeep never repairs.
fn logins(layout: &Layout) -> Vec<Finding> {
    let found = layout.logins.iter().filter_map(|files| {
        let path = &files.login;
        // What is there in place of a file is reported as a login that cannot be read.
        let (what, fix) = match Permissions::of(path).filter(|_| path.is_file()) {
            Some(permissions) => {
                let is_open =
                    permissions.is_readable_by_others() || permissions.is_writable_by_others();
                let mode = format!("mode {:03o}", permissions.mode & 0o777);
                is_open.then(|| (mode, format!("chmod 600 {}", shell_path(layout, path))))?
            }
            None => {
                let refusal = Trust::current().open_to_others(path)?;
                (refusal.rights(), refusal.fix())
            }
        };
        let message = format!(
            "{}, the login of {}, can be read or changed by other users ({what})",
            layout.shorten_home(path),
            files.owner.program()
        );
        let finding = Finding::new(FindingId::PermissionsLogin, message);
        Some(finding.path(path).advice(fix))
    });
    found.collect()
}
