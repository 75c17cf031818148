//! Identifiers, each a type of its own so that one cannot stand in for another.

use std::fmt;
use std::path::{Path, PathBuf};

use super::text::{is_path, path_of_text, path_text};

/// The agent of a command without one, and of an empty id. Source: `spec/compat.md`, Paths.
const DEFAULT_AGENT: &str = "main";
/// What the name of an agent of OpenClaw begins with. No id of the reference has a slash.
const OPENCLAW: &str = "openclaw/";
/// Longest agent id, in characters. Source: `spec/compat.md`, Paths.
const AGENT_ID_MAX: usize = 64;

/// The owner of a set of profiles: an agent id such as `main`, or the absolute path of an agent
/// directory that belongs to no known agent id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AgentName(String);

impl AgentName {
    /// Normalises an agent id the way the reference does: trimmed; kept when it is
    /// `[a-z0-9][a-z0-9_-]{0,63}` in any case; otherwise lower-cased, other characters folded into
    /// single `-`, trimmed of `-`, cut to 64 characters; empty means `main`.
    #[must_use]
    pub fn from_id(raw: &str) -> Self {
        let trimmed = raw.trim();
        if is_plain_agent_id(trimmed) {
            return Self(trimmed.to_owned());
        }
        let mut folded = String::with_capacity(trimmed.len());
        for c in trimmed.to_lowercase().chars() {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-' {
                folded.push(c);
            } else if !folded.ends_with('\u{0}') {
                folded.push('\u{0}'); // one mark for a run of other characters
            }
        }
        let folded = folded.replace('\u{0}', "-");
        let cut: String = folded
            .trim_matches('-')
            .chars()
            .take(AGENT_ID_MAX)
            .collect();
        if cut.is_empty() {
            Self::default()
        } else {
            Self(cut)
        }
    }

    /// Names an agent of OpenClaw, whose credentials are followed and never exported:
    /// `openclaw/ID`.
    #[must_use]
    pub fn of_openclaw(id: &str) -> Self {
        Self(format!("{OPENCLAW}{}", Self::from_id(id).0))
    }

    /// The id that OpenClaw has for the agent, if it is one of OpenClaw's.
    #[must_use]
    pub fn openclaw_id(&self) -> Option<&str> {
        self.0.strip_prefix(OPENCLAW)
    }

    /// Names an agent by its directory, for directories that no agent id leads to.
    #[must_use]
    pub(crate) fn from_dir(dir: &Path) -> Self {
        Self(path_text(dir).into_owned())
    }

    /// Whether a directory names the agent, to which no agent id leads.
    #[must_use]
    pub fn is_path(&self) -> bool {
        is_path(&self.0) && self.openclaw_id().is_none()
    }

    /// The directory that names the agent, where one does.
    #[must_use]
    pub fn dir(&self) -> Option<PathBuf> {
        let dir = path_of_text(&self.0);
        dir.is_absolute().then_some(dir)
    }

    /// Takes a name as it stands in the vault.
    #[must_use]
    pub fn from_stored(name: String) -> Self {
        Self(name)
    }

    /// Returns the name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for AgentName {
    fn default() -> Self {
        Self(DEFAULT_AGENT.to_owned())
    }
}

fn is_plain_agent_id(id: &str) -> bool {
    let mut chars = id.chars();
    chars.next().is_some_and(|c| c.is_ascii_alphanumeric())
        && id.len() <= AGENT_ID_MAX
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// A profile's id within an agent, for example `anthropic:claude-cli`. Any text: it is a JSON key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileId(String);

impl ProfileId {
    /// Wraps an id as it stands in the store.
    pub fn new(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Returns the id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands before the first colon: by custom the provider's name. What the credential
    /// itself says counts where there is one.
    #[must_use]
    pub fn provider_part(&self) -> &str {
        self.0.split(':').next().unwrap_or_default()
    }
}

/// A provider id, normalised: trimmed, lower-cased, `z.ai` and `z-ai` read as `zai`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProviderId(String);

impl ProviderId {
    /// Creates a normalised id from `raw`.
    #[must_use]
    pub fn new(raw: &str) -> Self {
        Self(normalize_provider(raw))
    }

    /// The normalised id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The normalised form of a provider id. Source: `spec/compat.md`, Paths.
#[must_use]
pub fn normalize_provider(raw: &str) -> String {
    let id = raw.trim().to_lowercase();
    if id == "z.ai" || id == "z-ai" {
        "zai".to_owned()
    } else {
        id
    }
}

/// Whether a provider's id is a spelling of a normalised one.
pub(crate) fn is_spelling_of(raw: &str, normal: &str) -> bool {
    let id = raw.trim();
    // Nearly every id is its own normal form or another provider's: no copy of it is made.
    match id.is_ascii() && !id.starts_with(['z', 'Z']) {
        true => id.eq_ignore_ascii_case(normal) && !normal.contains(|c: char| c.is_uppercase()),
        false => normalize_provider(raw) == normal,
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}
shown_as_text!(AgentName, ProfileId, ProviderId);

/// How often a profile's credential was replaced; from 1, never back, also across removal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Generation(pub i64);

impl Generation {
    /// The generation after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// An event's place in the record; the first is 1, without gaps until something is pruned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Seq(pub i64);

impl Seq {
    /// The place of that number.
    #[must_use]
    pub const fn new(number: i64) -> Self {
        Self(number)
    }
}

impl fmt::Display for Seq {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A vault's random identity: 16 bytes, written as 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VaultId(pub [u8; 16]);

impl fmt::Display for VaultId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

/// A key slot's random key id: 8 bytes, written as 16 hexadecimal digits. Says nothing of the key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyId(pub [u8; 8]);

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_spelling_is_what_normalises_to_it() {
        let ids = [
            "openai",
            " OpenAI\t",
            "z.ai",
            "Z-AI",
            "zai",
            "",
            "\u{212a}imi",
            "kimi",
            "é",
        ];
        for raw in ids {
            for normal in ids {
                let is_it = is_spelling_of(raw, normal);
                assert_eq!(
                    is_it,
                    normalize_provider(raw) == normal,
                    "{raw:?} {normal:?}"
                );
            }
        }
    }

    #[test]
    fn agent_ids_normalise_as_the_reference_does() {
        for (raw, want) in [
            ("main", "main"),
            ("  Ops ", "Ops"),
            ("Work Agent!", "work-agent"),
            ("", "main"),
            ("!!!", "main"),
            ("a..b", "a-b"),
            ("-lead", "lead"),
            ("ä b", "b"),
        ] {
            assert_eq!(AgentName::from_id(raw).as_str(), want, "{raw:?}");
        }
        assert_eq!(AgentName::from_id(&"x".repeat(90)).as_str().len(), 64);
    }

    #[test]
    fn provider_aliases_fold() {
        assert_eq!(ProviderId::new(" Z.AI ").as_str(), "zai");
        assert_eq!(ProviderId::new("z-ai").as_str(), "zai");
        assert_eq!(ProviderId::new("Anthropic").as_str(), "anthropic");
    }

    proptest! {
        #[test]
        fn a_normalised_agent_id_is_a_fixed_point(raw in ".{0,100}") {
            let once = AgentName::from_id(&raw);
            let twice = AgentName::from_id(once.as_str());
            prop_assert_eq!(&twice, &once);
            prop_assert!(!once.as_str().contains('/') && !once.as_str().contains('.'));
        }
    }
}
