//! Which files matter, and whether any of them changed without a notification.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clawkeep::internal::config::{AgentRef, order_agent};
use clawkeep::internal::domain::{Owner, without_bom};
use clawkeep::internal::platform::openclaw::databases_of;
use clawkeep::internal::platform::{FollowError, Followed, Follower, Stamp, exists, read_regular};
use clawkeep::internal::sources::{Reading, claude_code};
use clawkeep::internal::sync::watch::Content;

use super::Watcher;
use super::state::{FileSnapshot, Wake};

/// The largest file that is checked for completeness, in bytes.
const WHOLE_MAX: u64 = 64 << 20;

impl Watcher<'_> {
    fn follower(&self) -> Result<Follower, FollowError> {
        let (wakes, inbox) = (self.sender.clone(), self.inbox.clone());
        Follower::new(move |touched| {
            if inbox.put(touched) {
                // No receiver is left while the process exits.
                let _ = wakes.send(Wake::Touched);
            }
        })
    }

    /// Follows the current files. Returns whether something may have happened there before.
    pub(super) fn arm(&mut self) -> bool {
        if self.follower.is_none() {
            if self
                .unfollowed
                .is_some_and(|since| since.elapsed() < FOLLOW_AGAIN)
            {
                return false;
            }
            match self.follower() {
                Ok(follower) => self.follower = Some(follower),
                Err(error) => return self.poll(&error),
            }
        }
        let followed = self.followed();
        let armed = self
            .follower
            .as_mut()
            .map(|follower| follower.follow(&followed));
        match armed {
            Some(Ok(is_new)) => {
                if self.unfollowed.take().is_some() {
                    self.log.event("file changes are reported again");
                }
                is_new
            }
            Some(Err(error)) => self.poll(&error),
            None => false,
        }
    }

    /// Switches to polling for a while: the system does not report file changes.
    fn poll(&mut self, error: &(dyn Error + 'static)) -> bool {
        let is_first = self.unfollowed.is_none();
        self.follower = None;
        self.unfollowed = Some(Instant::now());
        if is_first {
            let why = crate::failure::chain(Some(error)).join(": ");
            self.log.warn(&format!(
                "{why}. clawkeep checks the files every second instead. On Linux: raise ulimit -n \
                 (LimitNOFILE= in a unit), fs.inotify.max_user_watches and \
                 fs.inotify.max_user_instances"
            ));
        }
        is_first
    }

    /// The files that other programs write to.
    fn followed(&self) -> Followed {
        let layout = &self.context.layout;
        let mut files: Vec<PathBuf> = self.sources().collect();
        files.extend([layout.settings_file.clone(), layout.config_file.clone()]);
        files.extend(self.borrowed.iter().cloned());
        files.extend(self.agents.iter().flat_map(files_of));
        if let Ok(settings) = self.context.settings() {
            // A configured agent exists once its directory does.
            let listed = settings
                .agents
                .iter()
                .map(|agent| order_agent(layout, settings, Some(agent.name.as_str())).store_file());
            files.extend(listed);
        }
        files.sort();
        files.dedup();
        let agents = layout.state_dir.join("agents");
        let mut dirs = vec![agents.clone()];
        if let Ok(entries) = std::fs::read_dir(&agents) {
            let entries = entries.filter_map(Result::ok);
            dirs.extend(
                entries
                    .map(|entry| entry.path())
                    .filter(|path| path.is_dir()),
            );
        }
        Followed { files, dirs }
    }

    /// The content of a file. A file that is absent or empty may be about to be replaced.
    pub(super) fn content_of(&self, path: &Path) -> Content {
        let is_settings = self.is_settings(path);
        let is_json = path.extension().is_some_and(|end| end == "json");
        if !is_settings && !is_json {
            return Content::Whole; // a directory
        }
        let is_whole = match read_regular(path, WHOLE_MAX) {
            Ok(Some(contents)) if is_settings => !contents.bytes.trim_ascii().is_empty(),
            // Claude Code 2.1.197 writes the file twice in a login, first without one. Source:
            // tried.
            Ok(Some(contents))
                if self.context.layout.login(Owner::ClaudeCode) == Some(path)
                    && matches!(claude_code::parse(&contents.bytes), Reading::LoggedOut(_)) =>
            {
                return Content::Gone;
            }
            Ok(Some(contents)) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(without_bom(&contents.bytes))
                    .is_ok()
            }
            Ok(None) if path.parent().is_some_and(Path::is_dir) => return Content::Gone,
            Ok(None) | Err(_) => true, // the pass reports it
        };
        match is_whole {
            true => Content::Whole,
            false => Content::Partial,
        }
    }

    pub(super) fn before(&self) -> FileSnapshot {
        let followed = self.followed();
        let paths = followed.files.into_iter().chain(followed.dirs);
        FileSnapshot {
            stamps: paths
                .map(|path| {
                    let stamp = Stamp::of(&path);
                    (path, stamp)
                })
                .collect(),
            version: self.version(),
            clock: (SystemTime::now(), Instant::now()),
        }
    }

    fn version(&self) -> Option<i64> {
        let (vault, _) = self.vault.as_ref()?;
        vault.data_version().ok()
    }

    /// The files that changed without a notification, or are new.
    pub(super) fn changed(&self, before: &FileSnapshot) -> Vec<PathBuf> {
        let followed = self.followed();
        let paths = followed.files.into_iter().chain(followed.dirs);
        let is_other = |path: &PathBuf| match before.stamps.get(path) {
            Some(stamp) => Stamp::of(path) != *stamp,
            None => exists(path),
        };
        paths.filter(is_other).collect()
    }

    /// Whether anything else changed without a notification: the vault.
    pub(super) fn has_vault_changed(&self, before: &FileSnapshot) -> bool {
        let is_replaced = || match &self.vault {
            Some((vault, opened)) => match (Stamp::of(vault.path()), opened) {
                (Some(there), Some(opened)) => !there.is_same_file(opened),
                _ => true,
            },
            None => false, // the next pass opens it
        };
        cfg!(target_os = "macos") // the Keychain, which sends no notifications
            || is_replaced()
            || self.version() != before.version
    }
}

/// The files in which an agent's credentials are: its store, or OpenClaw's databases, each with its
/// log.
fn files_of(agent: &AgentRef) -> Vec<PathBuf> {
    let Some(id) = agent.name.openclaw_id() else {
        return vec![agent.store_file()];
    };
    let with_log = |database: PathBuf| {
        let mut log = database.clone().into_os_string();
        log.push("-wal");
        [database, log.into()]
    };
    let databases = databases_of(&agent.dir, id).into_iter();
    databases.flat_map(with_log).collect()
}

/// How long polling lasts after the system ran out of resources for file notifications.
pub(crate) const FOLLOW_AGAIN: Duration = Duration::from_secs(5 * 60);
