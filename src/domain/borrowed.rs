//! A login that another program keeps: whose it is, and in which file.

use std::path::Path;

use super::owner::Owner;
use super::text::escaped;

/// Where a borrowed credential comes from. Its owner refreshes it; clawkeep reads the file again at
/// every load.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Borrowed {
    /// The program that refreshes it.
    pub owner: Owner,
    /// The absolute path of that program's file.
    pub path: String,
}

impl Borrowed {
    /// Returns the owner of a profile: the program that it was borrowed from, else the one that its
    /// id implies.
    #[must_use]
    pub fn owner_of(from: Option<&Self>, profile: &str) -> Owner {
        from.map_or_else(|| Owner::of(profile), |from| from.owner)
    }

    /// Whether the file is a copy elsewhere, which its program does not keep up to date.
    #[must_use]
    pub fn is_copy(&self) -> bool {
        self.owner != Owner::OtherProgram
            && Owner::by_path(Path::new(&self.path)) != Some(self.owner)
    }

    /// The lender, to follow "borrowed from": the program, or the copy of its file.
    #[must_use]
    pub fn lender(&self) -> String {
        match self.is_copy() {
            true => escaped(&self.path).into_owned(),
            false => self.owner.program().to_owned(),
        }
    }

    /// How it is refreshed, as a sentence.
    #[must_use]
    pub fn how_to_refresh(&self) -> String {
        let program = self.owner.program();
        match self.owner.command() {
            Some(_) if self.is_copy() => format!(
                "{} is a copy, which {program} does not refresh: copy the file again, or import \
                 {program}'s own.",
                escaped(&self.path)
            ),
            Some(command) => format!(
                "Start {program}, which refreshes it (`{command}`); log in again there if that \
                 does not help."
            ),
            None => format!(
                "Refresh it with the program that keeps {}.",
                escaped(&self.path)
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_known_by_where_they_lie() {
        for (path, want) in [
            ("/h/.local/share/opencode/auth.json", Some(Owner::OpenCode)),
            ("/data/opencode/auth.json", Some(Owner::OpenCode)),
            ("/h/.pi/agent/auth.json", Some(Owner::Pi)),
            ("/h/.gemini/oauth_creds.json", Some(Owner::GeminiCli)),
            ("/h/.qwen/oauth_creds.json", Some(Owner::QwenCode)),
            ("/h/.claude/.credentials.json", Some(Owner::ClaudeCode)),
            ("/h/work/.credentials.json", Some(Owner::ClaudeCode)),
            ("/h/.codex/auth.json", Some(Owner::CodexCli)),
            ("/h/Downloads/auth.json", None),
            ("/h/.clawdbot/agents/main/agent/auth.json", None),
        ] {
            assert_eq!(Owner::by_path(Path::new(path)), want, "{path}");
        }
    }

    #[test]
    fn a_copy_is_distinguished_from_the_programs_own_file() {
        let of = |owner, path: &str| Borrowed {
            owner,
            path: path.to_owned(),
        };
        let own = of(Owner::OpenCode, "/h/.local/share/opencode/auth.json");
        assert_eq!(
            (own.is_copy(), own.lender()),
            (false, "opencode".to_owned())
        );
        let copy = of(Owner::OpenCode, "/h/copy.json");
        assert_eq!(
            (copy.is_copy(), copy.lender()),
            (true, "/h/copy.json".to_owned())
        );
        assert!(copy.how_to_refresh().contains("is a copy"));
        assert!(!of(Owner::OtherProgram, "/h/auth.json").is_copy());
    }
}
