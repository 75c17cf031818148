//! The directory `agent` of the state directory, where gateways of one agent kept everything: later
//! ones move it to `agents/main/agent`, and so does the repair.

use std::fs;
use std::path::{Path, PathBuf};

use super::evidence::Evidence;
use super::finding::Finding;
use super::finding_id::FindingId;
use super::repair::{Repair, RepairError};
use crate::advice::shell_path;
use clawkeep::internal::domain::from_outside;
use clawkeep::internal::export::StorePlace;
use clawkeep::internal::platform::{
    Access, FileError, canonicalize, check_trusted, create_private_dir, exists, remove_empty_dir,
    rename_to_free_name, sync_dir,
};

/// What the name of a directory left beside the new one begins with. Source: the reference.
const LEFT: &str = "agent.legacy-";

pub(super) fn check(evidence: &Evidence<'_>) -> Vec<Finding> {
    let layout = evidence.layout;
    let from = layout.state_dir.join("agent");
    let name = evidence.main.as_str();
    if !is_old_layout(evidence, &from) {
        return Vec::new();
    }
    let to = layout.state_dir.join("agents").join(name).join("agent");
    let shown = layout.shorten_home(&from);
    let message = format!("{shown} is from gateways that had one agent; nothing reads it now");
    let finding = Finding::new(FindingId::LegacyAgent, message).path(&from);
    let is_newer = |dir: &Path| StorePlace::of_agent(dir).is_ok_and(|place| place.is_openclaws());
    if evidence.main.is_path() || evidence.settings.is_none() || is_newer(&to) || is_newer(&from) {
        return vec![finding.advice(format!(
            "Move it to where your gateway reads it, or import its logins: clawkeep import {}",
            shell_path(layout, &from.join("auth-profiles.json"))
        ))];
    }
    vec![finding.repair(Repair::MoveAgentDir { from, to })]
}

/// Whether it is a directory with something in it that no agent has for its own.
fn is_old_layout(evidence: &Evidence<'_>, dir: &Path) -> bool {
    let is_dir = fs::symlink_metadata(dir).is_ok_and(|meta| meta.is_dir());
    let real = |dir: &Path| canonicalize(dir).ok();
    let is_an_agents = |agent: &Path| agent == dir || real(agent) == real(dir);
    is_dir
        && !entries(dir).is_empty()
        && !evidence
            .agents
            .iter()
            .any(|examined| is_an_agents(&examined.agent.dir))
}

fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Directories that a move has left since something of the same name was in the new place.
pub(super) fn left_dirs(state_dir: &Path) -> Vec<PathBuf> {
    let agents = entries(&state_dir.join("agents"));
    let dirs = agents.iter().flat_map(|agent| entries(agent));
    let is_left = |dir: &PathBuf| {
        let name = dir.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(LEFT) && dir.is_dir()
    };
    dirs.filter(is_left).collect()
}

/// Moves what is in `from` to `to`, each entry at once. What is there already under the same name
/// stays, and so does the one that would take its place: in a directory beside the new one. Says
/// what was moved; nothing where there is nothing to move.
pub(super) fn move_agent_dir(
    from: &Path,
    to: &Path,
    stamp: &str,
) -> Result<Vec<String>, RepairError> {
    if !fs::symlink_metadata(from).is_ok_and(|meta| meta.is_dir()) || entries(from).is_empty() {
        return Ok(Vec::new());
    }
    check_trusted(from, Access::CreateIn)?;
    create_private_dir(to)?;
    let mut changes = Vec::new();
    for entry in entries(from) {
        let Some(name) = entry.file_name() else {
            continue;
        };
        let shown = from_outside(&name.to_string_lossy());
        match rename_to_free_name(&entry, &to.join(name)) {
            Ok(()) => changes.push(format!("moved {shown}")),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(FileError::io("move", &entry)(error).into()),
        }
    }
    sync_dir(to)?;
    if entries(from).is_empty() {
        remove_empty_dir(from).map_err(FileError::io("remove", from))?;
    } else {
        let beside = to.parent().unwrap_or(to);
        let free = (1..)
            .map(|number| match number {
                1 => beside.join(format!("{LEFT}{stamp}")),
                _ => beside.join(format!("{LEFT}{stamp}-{number}")),
            })
            .find(|path| !exists(path));
        let left = free.unwrap_or_else(|| beside.join(LEFT));
        for entry in entries(from) {
            let name = entry.file_name().unwrap_or_default().to_string_lossy();
            changes.push(format!(
                "left {}, which the new directory has already, in {}",
                from_outside(&name),
                from_outside(&left.to_string_lossy())
            ));
        }
        rename_to_free_name(from, &left).map_err(FileError::io("move", from))?;
        sync_dir(beside)?;
    }
    if let Some(parent) = from.parent() {
        sync_dir(parent)?;
    }
    Ok(changes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_written_over_and_nothing_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (
            dir.path().join("agent"),
            dir.path().join("agents/main/agent"),
        );
        for (path, text) in [
            (from.join("auth.json"), "old"),
            (from.join("models.json"), "old"),
            (from.join("sub/x"), "old"),
            (to.join("models.json"), "new"),
        ] {
            create_private_dir(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let changes = move_agent_dir(&from, &to, "S").unwrap();
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(to.join("auth.json")), "old");
        assert_eq!(read(to.join("models.json")), "new");
        assert_eq!(read(to.join("sub/x")), "old");
        let left = dir.path().join("agents/main/agent.legacy-S");
        assert_eq!(read(left.join("models.json")), "old");
        assert!(!from.exists());
        assert_eq!(left_dirs(dir.path()), [left]);
        assert_eq!(changes.len(), 3, "{changes:?}");
        assert!(move_agent_dir(&from, &to, "S").unwrap().is_empty());
    }
}
