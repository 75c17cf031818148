//! Where OpenClaw keeps its state. `platform::openclaw` says whether a directory is OpenClaw's.

use std::path::{Path, PathBuf};

use super::env::Env;
use super::paths::Layout;

pub use crate::platform::openclaw::{Evidence, STATE_DIR_VARIABLE, is_openclaw_dir};
use crate::platform::openclaw::{STATE_DIR_NAME, is_named_dir};

/// Lists the directories that are OpenClaw's by their name, whether or not they exist: the value of
/// `OPENCLAW_STATE_DIR`, and `~/.openclaw`. On Windows OpenClaw takes `HOME` for the home directory
/// if it is set; other programs do not, so both are listed.
#[must_use]
pub fn named_dirs(layout: &Layout, env: &Env) -> Vec<PathBuf> {
    // OpenClaw leaves out the space around it.
    let trimmed = env.trimmed(STATE_DIR_VARIABLE).map(Path::new);
    let by_variable = trimmed.or(env.path(STATE_DIR_VARIABLE));
    let by_variable = by_variable.map(|dir| layout.user_path(dir));
    let mut dirs: Vec<PathBuf> = by_variable.into_iter().collect();
    let usual = layout.home.join(STATE_DIR_NAME);
    let by_home = env.trimmed("HOME").filter(|_| cfg!(windows));
    let by_home = by_home.map(|home| layout.user_path(Path::new(home)).join(STATE_DIR_NAME));
    for dir in by_home.into_iter().chain([usual]) {
        if !dirs.contains(&dir) {
            dirs.push(dir);
        }
    }
    dirs
}

/// Finds OpenClaw's state directory, if one exists: the one that `OPENCLAW_STATE_DIR` names, else
/// `~/.openclaw`. A link counts only if OpenClaw's files are behind it.
#[must_use]
pub fn find(layout: &Layout, env: &Env) -> Option<PathBuf> {
    let mut dirs = named_dirs(layout, env).into_iter();
    dirs.find(|dir| is_named_dir(dir))
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::paths::Overrides;

    fn found(home: &Path, variable: Option<&str>) -> Option<PathBuf> {
        let pairs = [("HOME", home.to_str()), (STATE_DIR_VARIABLE, variable)];
        let pairs = pairs.map(|(name, value)| Some((name.to_owned(), value?.to_owned())));
        let env = Env::from_pairs(pairs.into_iter().flatten());
        let layout = Layout::resolve(&env, &Overrides::default(), home).unwrap();
        find(&layout, &env)
    }

    #[test]
    fn it_is_found_by_its_name_or_by_its_variable() {
        let home = tempfile::tempdir().unwrap();
        let at = |rel: &str| home.path().join(rel);
        assert_eq!(found(home.path(), None), None);
        fs::create_dir(at(".openclaw")).unwrap();
        assert_eq!(found(home.path(), None), Some(at(".openclaw")));
        assert_eq!(found(home.path(), Some("~/nowhere")), Some(at(".openclaw")));
        fs::create_dir(at("claw")).unwrap();
        assert_eq!(found(home.path(), Some(" ~/claw ")), Some(at("claw")));
    }

    #[test]
    fn a_link_to_another_gateways_directory_is_not_openclaw() {
        let home = tempfile::tempdir().unwrap();
        let at = |rel: &str| home.path().join(rel);
        fs::create_dir(at(".clawdbot")).unwrap();
        symlink(".clawdbot", at(".openclaw")).unwrap();
        assert_eq!(found(home.path(), None), None);
        fs::write(at(".clawdbot/openclaw.json"), "{}").unwrap();
        assert_eq!(found(home.path(), None), Some(at(".openclaw")));
    }
}
