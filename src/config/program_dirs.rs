//! Where the programs that keep credentials have their directories.

use std::path::{Path, PathBuf};

use super::env::Env;
use super::openclaw;
use super::paths::Layout;
use crate::domain::{Base, ProgramDir};
use crate::platform::openclaw::STATE_DIR_NAME;

impl Layout {
    /// Returns the directory of a program: the one that its variable names, else the usual one. It
    /// need not exist.
    #[must_use]
    pub fn program_dir(&self, env: &Env, dir: &ProgramDir) -> PathBuf {
        let by_variable = dir
            .variable
            .and_then(|(name, below)| Some(self.user_path(env.path(name)?).join(below)));
        by_variable.unwrap_or_else(|| join(self.base_dir(env, dir.base), dir.path))
    }

    fn base_dir(&self, env: &Env, base: Base) -> PathBuf {
        match base {
            Base::Home => self.home.clone(),
            Base::Application if cfg!(target_os = "macos") => {
                self.home.join("Library").join("Application Support")
            }
            Base::Application if cfg!(windows) => {
                let named = env.path("APPDATA").map(Path::to_owned);
                named.unwrap_or_else(|| self.home.join("AppData").join("Roaming"))
            }
            Base::Config | Base::Application => self.config_home().to_owned(),
            Base::Data => self.data_dir.parent().unwrap_or(&self.home).to_owned(),
            Base::Gateway => self.state_dir.clone(),
            Base::OpenClaw => {
                let found = openclaw::find(self, env);
                found.unwrap_or_else(|| self.home.join(STATE_DIR_NAME))
            }
        }
    }
}

/// As `PathBuf::join`, without a separator at the end if there is nothing to add.
fn join(base: PathBuf, path: &str) -> PathBuf {
    match path {
        "" => base,
        path => base.join(path),
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;
    use crate::config::paths::Overrides;
    use crate::domain::{Owner, PROGRAMS};

    #[test]
    fn a_variable_moves_a_directory() {
        let files_of = |pairs: &[(&str, &str)], owner| {
            let pairs = pairs.iter().chain(&[("HOME", "/h")]);
            let env = Env::from_pairs(pairs.map(|(name, value)| (*name, *value)));
            let layout = Layout::resolve(&env, &Overrides::default(), Path::new("/w")).unwrap();
            let program = PROGRAMS.iter().find(|program| program.owner == owner);
            let files = program.unwrap().credentials.iter();
            let paths: Vec<String> = files
                .map(|file| layout.program_dir(&env, &file.dir).join(file.name))
                .map(|path| path.to_string_lossy().into_owned())
                .collect();
            paths
        };
        assert_eq!(
            files_of(&[], Owner::ClaudeCode),
            [
                "/h/.claude/.credentials.json",
                "/h/.claude.json",
                "/h/.claude/settings.json"
            ]
        );
        assert_eq!(
            files_of(&[("CLAUDE_CONFIG_DIR", "/c")], Owner::ClaudeCode),
            [
                "/c/.credentials.json",
                "/c/.claude.json",
                "/c/settings.json"
            ]
        );
        let gemini = files_of(&[("GEMINI_CLI_HOME", "~/g")], Owner::GeminiCli);
        assert_eq!(gemini[0], "/h/g/.gemini/oauth_creds.json");
        let opencode = files_of(&[("XDG_DATA_HOME", "/d")], Owner::OpenCode);
        assert_eq!(opencode[0], "/d/opencode/auth.json");
        let goose = files_of(&[("XDG_CONFIG_HOME", "/x")], Owner::Goose);
        assert_eq!(goose, ["/x/goose/secrets.yaml"]);
        let moved = files_of(&[("OPENCLAW_STATE_DIR", "/nowhere")], Owner::OpenClaw);
        assert_eq!(moved[0], "/h/.openclaw/state/openclaw.sqlite");
    }
}
