//! How a client is set up and opened.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use secrecy::SecretString;

use super::Client;
use super::error::ClientError;
use super::keys::Keys;
use super::notice::{ClientNotice, NoticeSink};
use super::workspace::{Heads, Places, Workspace};
use crate::config::{Env, Overrides, keychain_bus, openclaw, status_agent};
use crate::platform::keychain::{DEADLINE, SystemKeychain};
use crate::platform::openclaw::add_named_dirs;
use crate::platform::{Actor, Clock, Keychain};
use crate::sync::SyncMode;

/// The set-up of a [`Client`]: made by [`Client::builder`], used up by [`ClientBuilder::open`].
#[must_use]
pub struct ClientBuilder {
    actor: String,
    environment: Option<Env>,
    state_dir: Option<PathBuf>,
    vault: Option<PathBuf>,
    agent: Option<String>,
    clock: Clock,
    mode: SyncMode,
    has_stores: bool,
    key_file: Option<PathBuf>,
    key_dir: Option<PathBuf>,
    keychain: Option<Box<dyn Keychain>>,
    passphrase: Option<SecretString>,
    on_notice: Option<NoticeSink>,
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "ClientBuilder({}, {:?}, {:?})",
            self.actor, self.state_dir, self.vault
        )
    }
}

impl Client {
    /// Begins the set-up of a client. `actor` is the name of the program in the audit record.
    pub fn builder(actor: &str) -> ClientBuilder {
        ClientBuilder {
            actor: actor.to_owned(),
            environment: None,
            state_dir: None,
            vault: None,
            agent: None,
            clock: Clock::System,
            mode: SyncMode::On,
            has_stores: true,
            key_file: None,
            key_dir: None,
            keychain: None,
            passphrase: None,
            on_notice: None,
        }
    }
}

impl ClientBuilder {
    /// Hands in the environment, as [`std::env::vars_os`] returns it: paths, the keychain and
    /// settings are then those of the `clawkeep` program in that environment. Without it, nothing
    /// of the user is used but what is named here.
    pub fn environment(
        mut self,
        variables: impl IntoIterator<Item = (OsString, OsString)>,
    ) -> Self {
        self.environment = Some(Env::of_process(variables));
        self
    }

    /// Names the state directory: the vault, its settings and the agents' stores lie in it. Without
    /// an environment, the vault's key file and the kept head do, too.
    pub fn state_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.state_dir = Some(absolute(dir.as_ref()));
        self
    }

    /// Names the file of the vault; by default `vault.db` in the state directory. Without a state
    /// directory and an environment, its directory is the state directory.
    pub fn vault(mut self, file: impl AsRef<Path>) -> Self {
        self.vault = Some(absolute(file.as_ref()));
        self
    }

    /// Names the agent whose credentials are used; by default `main`, or the one whose directory
    /// the environment names.
    pub fn agent(mut self, id: impl Into<String>) -> Self {
        self.agent = Some(id.into());
        self
    }

    /// Sets the clock that expiry and cooldowns are compared with. Only tests need another one than
    /// the system's.
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// Leaves out the logins of other programs (Claude Code, Codex CLI).
    pub fn without_other_programs(mut self) -> Self {
        self.mode = SyncMode::Off;
        self
    }

    /// Keeps credentials in the vault alone: the agent has no `auth-profiles.json`, which would
    /// have them in plain text.
    pub fn without_stores(mut self) -> Self {
        self.has_stores = false;
        self
    }

    /// Names a key file: if it exists, it alone of the key files is tried.
    pub fn key_file(mut self, file: impl AsRef<Path>) -> Self {
        self.key_file = Some(absolute(file.as_ref()));
        self
    }

    /// Names the directory in which key files are kept, one a vault.
    pub fn key_dir(mut self, dir: impl AsRef<Path>) -> Self {
        self.key_dir = Some(absolute(dir.as_ref()));
        self
    }

    /// Uses this keychain in place of the operating system's.
    pub fn keychain(mut self, keychain: impl Keychain + 'static) -> Self {
        self.keychain = Some(Box::new(keychain));
        self
    }

    /// Opens the vault with this passphrase or recovery code, and with nothing else. A vault that
    /// is created has it for its only key.
    pub fn passphrase(mut self, secret: SecretString) -> Self {
        self.passphrase = Some(secret);
        self
    }

    /// Calls `take` with what a person should read. It is called while the client is locked, so it
    /// must not call the client.
    pub fn on_notice(mut self, take: impl Fn(ClientNotice) + Send + Sync + 'static) -> Self {
        self.on_notice = Some(Box::new(take));
        self
    }

    /// Opens the vault that exists.
    ///
    /// # Errors
    /// [`ErrorKind::Absent`](super::ErrorKind::Absent) if there is none; otherwise why it cannot
    /// be opened.
    pub fn open(self) -> Result<Client, ClientError> {
        self.client()?.opened(false)
    }

    /// Opens the vault, or creates one if there is none. Its key goes into the keychain if one
    /// answers, else into a key file; a passphrase that was given is its only key.
    ///
    /// # Errors
    /// When it cannot be opened or created.
    pub fn open_or_create(self) -> Result<Client, ClientError> {
        self.client()?.opened(true)
    }

    /// The client, whose vault is not open yet.
    fn client(self) -> Result<Client, ClientError> {
        let has_environment = self.environment.is_some();
        let env = self.environment.unwrap_or_default();
        let beside_vault = || Some(self.vault.as_ref()?.parent()?.to_owned());
        let overrides = Overrides {
            state_dir: match self.state_dir {
                None if !has_environment => beside_vault(),
                named => named,
            },
            vault: self.vault,
            ..Overrides::default()
        };
        let places = Places::find(&env, overrides, "/".into())?;
        let bus = keychain_bus(&env);
        let keychain = self.keychain;
        let keychain = keychain.unwrap_or_else(|| Box::new(SystemKeychain::new(DEADLINE, bus)));
        let mut workspace = Workspace::new(env, places, Actor::current(&self.actor), None);
        workspace.clock = self.clock;
        workspace.mode = self.mode;
        let Workspace { env, layout, .. } = &workspace;
        add_named_dirs(openclaw::named_dirs(layout, env));
        let agent = status_agent(layout, workspace.settings()?, env, self.agent.as_deref());
        let keys = Keys {
            file: self.key_file,
            dir: self.key_dir,
            keychain,
            passphrase: self.passphrase,
        };
        Ok(Client {
            heads: Heads::of(&workspace.layout),
            process: workspace.actor.pid,
            vault: Mutex::default(),
            workspace,
            agent,
            keys,
            has_stores: self.has_stores,
            on_notice: self.on_notice,
        })
    }
}

/// A path that is relative to the working directory, made absolute.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
