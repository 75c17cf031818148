//! Where the vault and this program's settings lie when nothing names a place.
//!
//! A reference gateway's `~/.clawdbot` stays the place of what is there. Anywhere else that
//! directory is not created: OpenClaw takes it for its own predecessor's and refuses to start
//! beside it.

use std::path::{Path, PathBuf};

use super::disk;
use crate::platform::openclaw::{STATE_DIR_NAME, is_openclaw_dir};

pub(super) const VAULT: &str = "vault.db";
/// The file name of this program's settings.
pub(super) const SETTINGS: &str = "clawkeep.toml";
/// What a reference gateway keeps in its state directory; `agent` is of the first versions. Source:
/// `spec/compat.md`, Paths.
const GATEWAY_DATA: [&str; 4] = ["clawdbot.json", "agents", "agent", "credentials"];

/// Where the vault lies, and where the gateway's files are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct VaultHome {
    /// The directory of the vault and of the settings.
    pub(super) dir: PathBuf,
    /// The gateway's state directory.
    pub(super) gateway_dir: PathBuf,
    /// The vaults that exist where one may lie, the one in `dir` first. Links resolved, each once.
    pub(super) vaults: Vec<PathBuf>,
}

/// What decides where the vault lies.
pub(super) struct Rule<'a> {
    pub(super) home: &'a Path,
    /// The directory that `--state-dir` or a variable names.
    pub(super) named: Option<&'a Path>,
    /// This program's directory among the user's data.
    pub(super) data_dir: &'a Path,
    /// Whether the program was called by the gateway's name.
    pub(super) is_stand_in: bool,
    /// Of several vaults, the one that counts.
    pub(super) chosen: Option<&'a Path>,
}

impl Rule<'_> {
    /// Applies the rule. A directory that is named is a place of its own, unless it is the
    /// gateway's usual one.
    pub(super) fn apply(&self) -> VaultHome {
        let legacy = self.home.join(".clawdbot");
        if let Some(dir) = self.named.filter(|dir| **dir != *legacy) {
            return VaultHome {
                dir: dir.to_owned(),
                gateway_dir: dir.to_owned(),
                vaults: existing([dir]),
            };
        }
        let openclaw = self.home.join(STATE_DIR_NAME);
        // OpenClaw's upgrade makes the directory a link to its own before it writes anything there.
        let is_openclaws = is_openclaw_dir(&legacy).is_some();
        let is_taken_over = disk::is_link(&legacy)
            && (is_openclaws || disk::identity(&legacy) == disk::identity(&openclaw));
        let has = |names: &[&str]| {
            names
                .iter()
                .any(|name| disk::leads_somewhere(&legacy.join(name)))
        };
        let is_expected = self.named.is_some() || self.is_stand_in;
        let is_in_use = !is_taken_over && has(&GATEWAY_DATA);
        let is_for_a_vault = !is_taken_over && !is_openclaws;

        // The directory itself before the link that leads to it.
        let places = match disk::is_link(&legacy) {
            true => [&*openclaw, &*legacy, self.data_dir],
            false => [&*legacy, &*openclaw, self.data_dir],
        };
        let mut vaults = existing(places);
        if let Some(at) = self
            .chosen
            .and_then(|path| vaults.iter().position(|v| v == path))
        {
            vaults.swap(0, at);
        }
        let found = vaults.first().and_then(|path| path.parent());
        let is_ours = has(&[VAULT, SETTINGS]);
        let dir = match found {
            Some(dir) => dir,
            None if is_for_a_vault && (is_expected || is_in_use || is_ours) => &legacy,
            None => self.data_dir,
        };
        let is_here = !is_taken_over && dir == legacy;
        // While OpenClaw moves it, nothing may be created under the old name.
        let is_expected = is_expected && dir != openclaw;
        let gateway_dir = match is_expected || is_in_use || is_here {
            true => &legacy,
            false => self.data_dir,
        };
        VaultHome {
            dir: dir.to_owned(),
            gateway_dir: gateway_dir.to_owned(),
            vaults,
        }
    }
}

/// The vaults in `dirs`, each once.
fn existing<const N: usize>(dirs: [&Path; N]) -> Vec<PathBuf> {
    let mut known = Vec::new();
    let files = dirs.into_iter().map(|dir| dir.join(VAULT));
    files
        .filter(|file| disk::leads_somewhere(file))
        .filter(|file| {
            let identity = disk::identity(file);
            let is_new = !known.contains(&identity);
            known.push(identity);
            is_new
        })
        .collect()
}
