//! Copies of stores in memory: their place in a runtime directory, and the form of a link to one.

use std::path::{Path, PathBuf};

use super::format::STORE_NAME;
use crate::platform::RuntimeDir;

/// Where copies in memory lie in a runtime directory. Source: `spec/vault.md`.
const IN_MEMORY: &str = "clawkeep";
/// Hexadecimal digits in the name of the directory of one store's copy in memory.
const STORE_DIGITS: usize = 16;

/// The directory of copies in memory, in a runtime directory.
#[must_use]
pub fn copies_in_memory(runtime: &RuntimeDir) -> PathBuf {
    runtime.path().join(IN_MEMORY)
}

/// Returns sixteen hexadecimal digits that identify a store by its path.
#[must_use]
pub fn store_digest(site: &Path) -> String {
    use sha2::Digest as _;
    let digest = sha2::Sha256::digest(site.as_os_str().as_encoded_bytes());
    data_encoding::HEXLOWER.encode(&digest[..STORE_DIGITS / 2])
}

/// Whether a link's text is one of this program's: a path to a copy in memory.
pub(super) fn is_copy_in_memory(target: &Path) -> bool {
    let mut above = target.ancestors().map(Path::file_name);
    let mut next = || above.next().flatten().and_then(|name| name.to_str());
    let (name, digest, dir) = (next(), next(), next());
    let is_digest = |text: &str| {
        let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        text.len() == STORE_DIGITS && text.bytes().all(is_hex)
    };
    target.is_absolute()
        && name == Some(STORE_NAME)
        && dir == Some(IN_MEMORY)
        && digest.is_some_and(is_digest)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_that_this_program_makes_up_are_copies_in_memory() {
        let digest = store_digest(Path::new(
            "/home/ana/.clawdbot/agents/main/agent/auth-profiles.json",
        ));
        assert_eq!(digest.len(), STORE_DIGITS);
        for (target, want) in [
            (
                format!("/run/user/7/clawkeep/{digest}/auth-profiles.json"),
                true,
            ),
            (format!("run/clawkeep/{digest}/auth-profiles.json"), false),
            (
                format!("/run/user/7/other/{digest}/auth-profiles.json"),
                false,
            ),
            (format!("/run/user/7/clawkeep/{digest}/shared.json"), false),
            (
                "/run/user/7/clawkeep/main/auth-profiles.json".to_owned(),
                false,
            ),
            ("/home/ana/clawkeep/auth-profiles.json".to_owned(), false),
            ("auth-profiles.json".to_owned(), false),
        ] {
            assert_eq!(is_copy_in_memory(Path::new(&target)), want, "{target}");
        }
    }

    #[test]
    fn every_store_has_a_name_of_its_own() {
        let of = |path: &str| store_digest(Path::new(path));
        assert_ne!(of("/a/agents/main/agent/s"), of("/a/agents/ops/agent/s"));
        assert_ne!(of("/a/agents/main/agent/s"), of("/b/agents/main/agent/s"));
    }
}
