//! The environment completed for finding keys: `.env` files, the configuration, a login shell.

use std::collections::BTreeMap;

use super::dotenv;
use super::env::{Env, PROVIDER_VARIABLES, key};
use super::paths::Layout;
use super::settings::Settings;
use super::shell_env::{self, ShellFault};
use crate::platform::{Access, FileError, check_trusted};

/// Why one of the sources of keys was not searched.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnvFault {
    /// The login shell gave none.
    #[error("the login shell was asked for keys (env.shellEnv) and gave none")]
    Shell(#[from] ShellFault),
    /// A `.env` file, or the home of the login shell, is somebody else's to change.
    #[error("not every source of keys was searched")]
    File(#[from] FileError),
    /// A variable that carries a key is not text.
    #[error("{name} is not used: its value is not UTF-8")]
    NotText {
        /// The variable.
        name: &'static str,
    },
}

fn carries_provider_secret(name: &str) -> bool {
    PROVIDER_VARIABLES
        .iter()
        .any(|(_, names)| names.contains(&name))
}

impl Env {
    /// As it is to be used for finding keys: where it sets nothing, what `.env` files set, then
    /// what the configuration sets, and then what a login shell adds. Files and shell add secrets
    /// alone: they must not choose a program or move a path. What was not used, and why.
    #[must_use]
    pub fn completed(&self, layout: &Layout, settings: &Settings) -> (Self, Vec<EnvFault>) {
        let mut env = self.clone();
        let mut faults: Vec<EnvFault> = self.not_text().collect();
        for path in layout.dotenv_files() {
            match dotenv::load(&path, carries_provider_secret) {
                Ok(variables) => {
                    for (name, value) in variables {
                        let variable = env.variables.entry(key(name.into()));
                        variable.or_insert_with(|| value.as_str().into());
                    }
                }
                Err(error) => faults.push(EnvFault::File(error)),
            }
        }
        for (name, value) in settings.expose_variables() {
            let is_secret = carries_provider_secret(name) || shell_env::is_expected(name);
            if is_secret && env.trimmed(name).is_none() {
                env.variables.insert(key(name.into()), value.into());
            }
        }
        match self.ask_shell(&env, layout, settings) {
            Ok(added) => {
                for (name, value) in added {
                    env.variables.insert(key(name.into()), value.into());
                    env.from_shell.push(name);
                }
            }
            Err(fault) => faults.push(fault),
        }
        (env, faults)
    }

    /// What a login shell adds to what is `known`. It runs in this environment, with what its own
    /// profile says: that of a home which somebody else can change is not run.
    fn ask_shell(
        &self,
        known: &Self,
        layout: &Layout,
        settings: &Settings,
    ) -> Result<BTreeMap<&'static str, String>, EnvFault> {
        if settings.shell_env.is_on(self) {
            check_trusted(&layout.home, Access::Read)?;
        }
        Ok(settings.shell_env.load(self, known)?)
    }

    /// The variables that carry a provider's secret and are not text.
    fn not_text(&self) -> impl Iterator<Item = EnvFault> {
        let names = PROVIDER_VARIABLES.iter().flat_map(|(_, names)| *names);
        names
            .filter(|name| self.raw(name).is_some_and(|value| value.to_str().is_none()))
            .map(|name| EnvFault::NotText { name })
    }
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_not_text_is_named() {
        use std::ffi::OsStr;
        use std::os::unix::ffi::OsStrExt as _;
        let pair =
            [&b"OPENAI_API_KEY"[..], b"sk-\xff"].map(|text| OsStr::from_bytes(text).to_owned());
        let key = Env::from_pairs([pair.into()]);
        let faults: Vec<String> = key.not_text().map(|fault| fault.to_string()).collect();
        assert_eq!(
            faults,
            ["OPENAI_API_KEY is not used: its value is not UTF-8"]
        );
    }
}
