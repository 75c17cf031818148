//! Every path the program works with, resolved once from the environment and the command line.

use std::path::{Component, Path, PathBuf};

use super::env::Env;
use super::login_files::LoginFiles;
use super::vault_home::{Rule, SETTINGS, VAULT, VaultHome};
use super::windows_names::fault_of_path;
use crate::domain::{Owner, VaultId, escaped, shown_path};
use crate::platform::openclaw::STATE_DIR_VARIABLE;
use crate::platform::{
    CREDENTIALS_VARIABLE, KEY_FILE_VARIABLE, OWN_CREDENTIALS, PASSPHRASE_FILE_VARIABLE,
};

/// Directory and suffix names of our own. Source: `spec/vault.md`, Keys and The audit record.
const PROGRAM: &str = "clawkeep";

/// The variable that admits users and groups whose files are used, where `clawkeep.toml` itself
/// would be theirs to write.
pub const TRUSTED_VARIABLE: &str = "CLAWKEEP_TRUSTED";

/// Why paths cannot be worked out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PathError {
    /// There is no home directory in the environment, nor in the user database.
    #[error(
        "the home directory is not known: {HOME_VARIABLE} is not set, and the user database has \
         none for this user. Set {HOME_VARIABLE} to a directory of yours, or name one for all \
         files with --state-dir DIR"
    )]
    NoHome,
    /// The home directory is a relative path, which would mean another place in every directory.
    #[error("{HOME_VARIABLE} is `{}`, which is not an absolute path. Set {HOME_VARIABLE} to the \
        absolute path of your home directory", escaped(&shown_path(.0)))]
    RelativeHome(PathBuf),
    /// Windows makes no file of that name.
    #[error("{} cannot be used: {why}. Name another one", escaped(&shown_path(.path)))]
    NotAName {
        /// The path.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A variable that is text is not.
    #[error("{name} is `{}`, which is not UTF-8. Set {name} to text, or unset it", escaped(.value))]
    NotText {
        /// The variable.
        name: &'static str,
        /// Its value, with bytes that are not UTF-8 written out.
        value: String,
    },
}

/// The variables of this program's that are text and decide something.
const TEXT_VARIABLES: [&str; 3] = [
    TRUSTED_VARIABLE,
    "CLAWDBOT_LOAD_SHELL_ENV",
    "CLAWDBOT_SHELL_ENV_TIMEOUT_MS",
];

/// The variables of the XDG Base Directory Specification that are read.
const XDG_VARIABLES: [&str; 4] = [
    "XDG_CONFIG_HOME",
    "XDG_DATA_HOME",
    "XDG_STATE_HOME",
    "XDG_RUNTIME_DIR",
];

/// What the command line says about paths.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The directory that `--state-dir` names.
    pub state_dir: Option<PathBuf>,
    /// The file that `--vault` names.
    pub vault: Option<PathBuf>,
    /// Whether the program was called by the gateway's name.
    pub is_stand_in: bool,
    /// The vault that counts, one of [`Layout::vaults`]. Of several, the caller decides.
    pub chosen_vault: Option<PathBuf>,
}

/// Absolute paths, without `.` and `..`; none of them need exist. Source: `spec/compat.md`, Paths.
///
/// The gateway's files and ours need not lie together: a vault is used wherever it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// The user's home directory, or the named state directory if the user has none.
    pub home: PathBuf,
    /// Whether [`Layout::home`] is the user's home, and not a substitute.
    pub has_home: bool,
    /// The state directory of the gateway.
    pub state_dir: PathBuf,
    /// The directory of the vault and of our settings. `--vault` moves the vault alone.
    pub vault_dir: PathBuf,
    /// Where a new vault lies if nothing names a place and no gateway of the reference is here:
    /// `$XDG_DATA_HOME/clawkeep`.
    pub data_dir: PathBuf,
    /// The vaults that exist in the places where one may lie, the one in use first. Empty where
    /// `--vault` or `CLAWKEEP_VAULT` names it. More than one are one too many.
    pub vaults: Vec<PathBuf>,
    /// Whether `--vault` or `CLAWKEEP_VAULT` names the vault.
    pub is_vault_named: bool,
    /// The gateway's configuration file, in JSON5.
    pub config_file: PathBuf,
    /// The settings of clawkeep: `clawkeep.toml`.
    pub settings_file: PathBuf,
    /// The file of the vault.
    pub vault_file: PathBuf,
    /// The directory of the legacy OAuth file.
    pub oauth_dir: PathBuf,
    /// Where other programs keep the logins that are mirrored.
    pub logins: Vec<LoginFiles>,
    /// `$XDG_RUNTIME_DIR`, where it is set.
    pub runtime_dir: Option<PathBuf>,
    is_stand_in: bool,
    working_dir: PathBuf,
    named_key_file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    credentials_dir: Option<PathBuf>,
    config_home: PathBuf,
    state_home: PathBuf,
}

impl Layout {
    /// Resolves every path of this program. Relative paths are relative to `working_dir`.
    ///
    /// # Errors
    /// When [`HOME_VARIABLE`] is relative, or missing where neither the user database has a home
    /// directory nor a state directory is named; when a variable that is text is not UTF-8.
    pub fn resolve(
        env: &Env,
        overrides: &Overrides,
        working_dir: &Path,
    ) -> Result<Self, PathError> {
        for name in TEXT_VARIABLES {
            if let Some(value) = env.raw(name).filter(|value| value.to_str().is_none()) {
                let value = shown_path(Path::new(value)).into_owned();
                return Err(PathError::NotText { name, value });
            }
        }
        let named_dir = (overrides.state_dir.as_deref())
            .or_else(|| env.path("CLAWDBOT_STATE_DIR"))
            .or_else(|| env.path("CLAWDIS_STATE_DIR"));
        let (home, has_home) = match home_dir(env)? {
            Some(home) => (home, true),
            // `~` is in no directory then.
            None => match named_dir.filter(|dir| !dir.starts_with("~")) {
                Some(dir) => (without_dots(&working_dir.join(dir)), false),
                None => return Err(PathError::NoHome),
            },
        };
        let place = Place {
            home: &home,
            working_dir,
        };
        let named = |name: &str| env.path(name).map(|path| place.user_path(path));
        let absolute = |name: &str| {
            env.raw(name)
                .map(PathBuf::from)
                .filter(|path| path.is_absolute())
        };

        let named_dir = named_dir.map(|path| place.user_path(path));
        let data_home = absolute("XDG_DATA_HOME")
            .or_else(|| absolute("LOCALAPPDATA").filter(|_| cfg!(windows)))
            .unwrap_or_else(|| home.join(".local").join("share"));
        let data_dir = data_home.join(PROGRAM);
        let VaultHome {
            dir: vault_dir,
            gateway_dir: state_dir,
            vaults,
        } = Rule {
            home: &home,
            named: named_dir.as_deref(),
            data_dir: &data_dir,
            is_stand_in: overrides.is_stand_in,
            chosen: overrides.chosen_vault.as_deref(),
        }
        .apply();
        if cfg!(windows) {
            let dirs = (overrides.state_dir.iter()).map(|dir| place.user_path(dir));
            let files = overrides.vault.iter().map(|file| place.user_path(file));
            let variables = [
                "CLAWDBOT_STATE_DIR",
                "CLAWDIS_STATE_DIR",
                "CLAWKEEP_VAULT",
                KEY_FILE_VARIABLE,
            ];
            let of_variables = variables.into_iter().filter_map(named);
            for path in dirs.chain(files).chain(of_variables) {
                if let Some(why) = fault_of_path(&path) {
                    return Err(PathError::NotAName { path, why });
                }
            }
        }
        let named_vault = (overrides.vault.as_deref().map(|path| place.user_path(path)))
            .or_else(|| named("CLAWKEEP_VAULT"));
        Ok(Self {
            config_file: named("CLAWDBOT_CONFIG_PATH")
                .unwrap_or_else(|| state_dir.join("clawdbot.json")),
            settings_file: vault_dir.join(SETTINGS),
            is_vault_named: named_vault.is_some(),
            vaults: match named_vault {
                Some(_) => Vec::new(),
                None => vaults,
            },
            vault_file: named_vault.unwrap_or_else(|| vault_dir.join(VAULT)),
            oauth_dir: named("CLAWDBOT_OAUTH_DIR").unwrap_or_else(|| state_dir.join("credentials")),
            logins: place.login_files(env),
            // One that is relative is to be ignored. Source: XDG Base Directory Specification.
            runtime_dir: absolute("XDG_RUNTIME_DIR"),
            named_key_file: named(KEY_FILE_VARIABLE),
            passphrase_file: named(PASSPHRASE_FILE_VARIABLE),
            credentials_dir: absolute(CREDENTIALS_VARIABLE),
            config_home: absolute("XDG_CONFIG_HOME").unwrap_or_else(|| home.join(".config")),
            state_home: absolute("XDG_STATE_HOME")
                .unwrap_or_else(|| home.join(".local").join("state")),
            is_stand_in: overrides.is_stand_in,
            working_dir: working_dir.to_path_buf(),
            state_dir,
            vault_dir,
            data_dir,
            home,
            has_home,
        })
    }

    /// Returns the file with the login of a program, if it is mirrored.
    #[must_use]
    pub fn login(&self, owner: Owner) -> Option<&Path> {
        let files = self.logins.iter().find(|files| files.owner == owner)?;
        Some(&files.login)
    }

    /// Whether the process stands in for the gateway of the reference.
    pub(super) fn is_stand_in(&self) -> bool {
        self.is_stand_in
    }

    /// Returns the path of the legacy OAuth file.
    #[must_use]
    pub fn oauth_file(&self) -> PathBuf {
        self.oauth_dir.join("oauth.json")
    }

    /// The `.env` files that the reference loads, the first that sets a variable counts.
    #[must_use]
    pub fn dotenv_files(&self) -> [PathBuf; 2] {
        [&self.working_dir, &self.state_dir].map(|dir| dir.join(".env"))
    }

    /// The directory of a systemd service's credentials.
    #[must_use]
    pub fn credentials_dir(&self) -> Option<&Path> {
        self.credentials_dir.as_deref()
    }

    /// The key file that `$CLAWKEEP_KEY_FILE` names.
    #[must_use]
    pub fn named_key_file(&self) -> Option<&Path> {
        self.named_key_file.as_deref()
    }

    /// The key file among a systemd service's credentials.
    #[must_use]
    pub fn credential_key_file(&self) -> Option<PathBuf> {
        self.credentials_dir
            .as_ref()
            .map(|dir| dir.join(OWN_CREDENTIALS[0]))
    }

    /// The file with a passphrase or recovery code that `$CLAWKEEP_PASSPHRASE_FILE` names.
    #[must_use]
    pub fn passphrase_file(&self) -> Option<&Path> {
        self.passphrase_file.as_deref()
    }

    /// The passphrase or recovery code among a systemd service's credentials.
    #[must_use]
    pub fn credential_passphrase_file(&self) -> Option<PathBuf> {
        self.credentials_dir
            .as_ref()
            .map(|dir| dir.join(OWN_CREDENTIALS[1]))
    }

    /// Where this program keeps key files: `$XDG_CONFIG_HOME/clawkeep`.
    #[must_use]
    pub fn key_file_dir(&self) -> PathBuf {
        self.config_home.join(PROGRAM)
    }

    /// Where this user's configuration lies: `$XDG_CONFIG_HOME`.
    #[must_use]
    pub fn config_home(&self) -> &Path {
        &self.config_home
    }

    /// Where the latest heads of audit records are kept.
    #[must_use]
    pub fn heads_dir(&self) -> PathBuf {
        self.state_home.join(PROGRAM).join("heads")
    }

    /// Where the latest head of a vault's audit record is kept.
    #[must_use]
    pub fn head_file(&self, vault: VaultId) -> PathBuf {
        self.heads_dir().join(vault.to_string())
    }

    /// Returns the directory of the notes about alerts that were sent for vaults that cannot be
    /// opened. Its name, `told`, stays: earlier versions wrote it.
    #[must_use]
    pub fn alert_notes_dir(&self) -> PathBuf {
        self.state_home.join(PROGRAM).join("told")
    }

    /// Returns the directory of the copies of other programs' settings, each from before the
    /// program was connected.
    #[must_use]
    pub fn connected_dir(&self) -> PathBuf {
        self.state_home.join(PROGRAM).join("connected")
    }

    /// Returns the directory from which the user's service manager reads units of the user. Source:
    /// systemd.unit(5).
    #[must_use]
    pub fn user_unit_dir(&self) -> PathBuf {
        self.config_home.join("systemd").join("user")
    }

    /// Returns the directory from which macOS reads the user's agents. Source: launchd.plist(5).
    #[must_use]
    pub fn launch_agents_dir(&self) -> PathBuf {
        self.home.join("Library").join("LaunchAgents")
    }

    /// The variables that these paths come from, where they say something else than goes without
    /// saying: what a process that is started from elsewhere needs, to find the same and to use it.
    /// Paths are absolute; none of them is a secret.
    #[must_use]
    pub fn variables(&self, env: &Env) -> Vec<(&'static str, PathBuf)> {
        let state_dirs = ["CLAWDBOT_STATE_DIR", "CLAWDIS_STATE_DIR"];
        let state_dir = state_dirs.into_iter().find(|name| env.path(name).is_some());
        let agent_dirs = ["CLAWDBOT_AGENT_DIR", "PI_CODING_AGENT_DIR"];
        let agent_dir = agent_dirs.into_iter().find(|name| env.path(name).is_some());
        // Handed on also where they name what is the default now: it may be another one by then.
        let of_user = [
            state_dir,
            Some("CLAWDBOT_CONFIG_PATH"),
            Some("CLAWDBOT_OAUTH_DIR"),
            agent_dir,
            Some("CLAWKEEP_VAULT"),
            Some(STATE_DIR_VARIABLE),
            Some(KEY_FILE_VARIABLE),
            Some(PASSPHRASE_FILE_VARIABLE),
        ];
        let of_user = of_user.into_iter().flatten().filter_map(|name| {
            let path = self.user_path(env.path(name)?);
            Some((name, path))
        });
        // The default is not left out: a login in a keychain is named by whether the variable is
        // set. Earlier versions wrote them in the opposite order of the table.
        let of_programs = Owner::mirrored().rev().filter_map(|(_, mirror)| {
            let name = mirror.variable;
            let path = match mirror.is_verbatim {
                true => self.working_dir.join(env.raw(name)?),
                false => self.user_path(env.path(name)?),
            };
            Some((name, path))
        });
        let xdg = [
            ("XDG_CONFIG_HOME", Some(&*self.config_home), ".config"),
            ("XDG_STATE_HOME", Some(&*self.state_home), ".local/state"),
            ("XDG_DATA_HOME", self.data_dir.parent(), ".local/share"),
        ];
        let xdg = xdg
            .into_iter()
            .filter_map(|(name, dir, default)| Some((name, dir?, default)))
            .filter(|(name, dir, default)| {
                env.raw(name).is_some() && **dir != self.home.join(default)
            });
        let trusted = env.trimmed(TRUSTED_VARIABLE);
        let trusted = trusted.map(|list| (TRUSTED_VARIABLE, PathBuf::from(list)));
        of_user
            .chain(of_programs)
            .chain(xdg.map(|(name, dir, _)| (name, dir.to_owned())))
            .chain(trusted)
            .collect()
    }

    /// A path as a person or a configuration wrote it: a leading `~` is home, relative ones start
    /// at the working directory.
    #[must_use]
    pub fn user_path(&self, path: &Path) -> PathBuf {
        Place {
            home: &self.home,
            working_dir: &self.working_dir,
        }
        .user_path(path)
    }

    /// The variables that are ignored since their paths are relative. Source: XDG Base Directory
    /// Specification.
    pub fn ignored_variables<'e>(
        &self,
        env: &'e Env,
    ) -> impl Iterator<Item = (&'static str, &'e Path)> {
        let read = |name| Some((name, Path::new(env.raw(name)?)));
        let variables = XDG_VARIABLES.into_iter().filter_map(read);
        variables.filter(|(_, path)| !path.is_absolute())
    }

    /// A path as people read it, home written as `~`. On Windows, where only PowerShell knows that,
    /// the whole path; a process that stands in for the gateway writes as the gateway does.
    #[must_use]
    pub fn shorten_home(&self, path: &Path) -> String {
        match path.strip_prefix(&self.home) {
            _ if !self.has_home || cfg!(windows) && !self.is_stand_in => {
                shown_path(path).into_owned()
            }
            Ok(rest) if rest.as_os_str().is_empty() => "~".to_owned(),
            Ok(rest) => shown_path(&Path::new("~").join(rest)).into_owned(),
            Err(_) => shown_path(path).into_owned(),
        }
    }
}

/// The variable that names the home directory. Source: Node's `os.homedir`, which on Windows does
/// not read `HOME`.
pub const HOME_VARIABLE: &str = match cfg!(windows) {
    true => "USERPROFILE",
    false => "HOME",
};

/// The home directory as Node finds it: the variable's, else that of the user database.
fn home_dir(env: &Env) -> Result<Option<PathBuf>, PathError> {
    let home = env.path(HOME_VARIABLE);
    match home.or_else(|| env.account_home()) {
        Some(home) if home.is_absolute() => Ok(Some(without_dots(home))),
        Some(home) => Err(PathError::RelativeHome(home.to_owned())),
        None => Ok(None),
    }
}

/// What a written path is relative to.
struct Place<'a> {
    home: &'a Path,
    working_dir: &'a Path,
}

impl Place<'_> {
    fn login_files(&self, env: &Env) -> Vec<LoginFiles> {
        let files = Owner::mirrored().map(|(owner, mirror)| {
            let raw = env.raw(mirror.variable);
            let dir = match mirror.is_verbatim {
                true => raw.map(|dir| self.absolute(Path::new(dir))),
                false => env.path(mirror.variable).map(|dir| self.user_path(dir)),
            };
            let account_dir = dir.as_deref().unwrap_or(self.home);
            let login = self.home.join(mirror.file);
            LoginFiles {
                owner,
                account: mirror.account_file.map(|name| account_dir.join(name)),
                login: match (dir, login.file_name()) {
                    (Some(dir), Some(name)) => dir.join(name),
                    _ => login,
                },
                dir: raw.map(|dir| dir.to_string_lossy().into_owned()),
            }
        });
        files.collect()
    }

    fn user_path(&self, path: &Path) -> PathBuf {
        match path.strip_prefix("~") {
            Ok(rest) => without_dots(&self.home.join(rest)),
            Err(_) => self.absolute(path),
        }
    }

    fn absolute(&self, path: &Path) -> PathBuf {
        without_dots(&with_drive_resolved(self.working_dir.join(path)))
    }
}

/// Completes a path that begins with a drive, as Windows does: `C:dir` is relative to that drive's
/// own working directory, and blanks and dots at the end do not count.
fn with_drive_resolved(path: PathBuf) -> PathBuf {
    match path.components().next() {
        Some(Component::Prefix(_)) => std::path::absolute(&path).unwrap_or(path),
        _ => path,
    }
}

/// Takes `.` and `..` out by name alone, as the reference's `path.resolve` does, links or not.
fn without_dots(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                out.pop(); // stays at the root
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => out.push(component),
        }
    }
    out
}

#[cfg(all(test, windows))]
mod windows_tests;

#[cfg(test)]
mod tests;
