//! Which files matter, and whether anything has changed that was not told.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant, SystemTime};

use clawkeep::config::{AgentRef, order_agent};
use clawkeep::platform::{FileError, Followed, Follower, Stamp, read_regular};

use super::{Wake, Watcher};

/// By how much the clock may run against the system's steady one before it counts as set.
const CLOCK_SLACK: Duration = Duration::from_secs(2);
/// The largest file that is looked at to see whether it is whole, in bytes.
const WHOLE_MAX: u64 = 64 << 20;

/// What was seen before the last pass, by which the next look tells whether something has changed.
pub(super) struct Before {
    stamps: BTreeMap<PathBuf, Option<Stamp>>,
    version: Option<i64>,
    clock: (SystemTime, Instant),
}

impl Watcher<'_> {
    pub(super) fn follower(&self, wakes: &Sender<Wake>) -> Option<Follower> {
        let wakes = wakes.clone();
        let follower = Follower::new(move |touched| {
            // Nobody is left to wake while the process ends.
            let _ = wakes.send(Wake::Touched(touched));
        });
        follower.map_err(|error| self.say_polling(&error)).ok()
    }

    pub(super) fn say_polling(&self, error: &(dyn std::error::Error + 'static)) {
        let why = crate::failure::chain(Some(error)).join(": ");
        self.log.warn(&format!(
            "{why}. Files are looked at every second instead; on Linux, raise fs.inotify.max_user_watches and max_user_instances"
        ));
    }

    /// Follows what there is now. Whether something may have happened there before it was followed.
    pub(super) fn arm(&self, follower: &mut Option<Follower>) -> bool {
        let Some(watching) = follower.as_mut() else {
            return false;
        };
        match watching.follow(&self.followed()) {
            Ok(is_new) => is_new,
            Err(error) => {
                self.say_polling(&error);
                *follower = None;
                true
            }
        }
    }

    /// The files that other programs write.
    pub(super) fn followed(&self) -> Followed {
        let layout = &self.context.layout;
        let mut files = vec![
            layout.claude_code_file.clone(),
            layout.codex_file.clone(),
            layout.settings_file.clone(),
            layout.config_file.clone(),
        ];
        files.extend(self.agents.iter().map(AgentRef::store_file));
        if let Ok(settings) = self.context.settings() {
            // An agent that is configured is there once its directory is.
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

    pub(super) fn is_settings(&self, path: &Path) -> bool {
        let layout = &self.context.layout;
        path == layout.settings_file || path == layout.config_file
    }

    /// Whether what is in a file makes sense. One that is not there may be about to be put in place.
    pub(super) fn is_whole(&self, path: &Path) -> bool {
        if path.extension().is_none_or(|extension| extension != "json") || self.is_settings(path) {
            return true; // a directory, or nothing that is read without need
        }
        match read_regular(path, WHOLE_MAX) {
            Ok(Some(contents)) => {
                serde_json::from_slice::<serde::de::IgnoredAny>(&contents.bytes).is_ok()
            }
            Ok(None) => path.parent().is_none_or(|dir| !dir.is_dir()),
            Err(FileError::Io { .. } | FileError::TooLarge { .. }) | Err(_) => true, // said by the pass
        }
    }

    pub(super) fn before(&self) -> Before {
        let followed = self.followed();
        let paths = followed.files.into_iter().chain(followed.dirs);
        Before {
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

    pub(super) fn version(&self) -> Option<i64> {
        let (vault, _) = self.vault.as_ref()?;
        vault.data_version().ok()
    }

    /// The files that have changed without a word.
    pub(super) fn changed(&self, before: &Before) -> Vec<PathBuf> {
        let changed = before.stamps.iter();
        let changed = changed.filter(|(path, stamp)| Stamp::of(path) != **stamp);
        changed.map(|(path, _)| path.clone()).collect()
    }

    /// Whether anything else has changed that is not told: the clock, the vault.
    pub(super) fn is_otherwise(&self, before: &Before) -> bool {
        let (wall, steady) = before.clock;
        let passed = SystemTime::now().duration_since(wall).unwrap_or_default();
        let is_clock_set = passed.abs_diff(steady.elapsed()) > CLOCK_SLACK;
        let is_replaced = || match &self.vault {
            Some((vault, opened)) => match (Stamp::of(vault.path()), opened) {
                (Some(there), Some(opened)) => !there.is_same_file(opened),
                _ => true,
            },
            None => false, // opened with the next pass
        };
        is_clock_set
            || cfg!(target_os = "macos") // a login in the Keychain, of which nobody tells
            || is_replaced()
            || self.version() != before.version
    }
}
