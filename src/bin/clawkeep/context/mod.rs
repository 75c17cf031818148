//! Resolves flags and environment into what a command works with: paths, configuration, the vault,
//! the actor.

mod agents;
mod export_modes;
pub(crate) mod global;
mod head;
pub(crate) mod head_file;
pub(crate) mod load_each;
mod opening;
pub(crate) mod passphrase;
mod places;

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};

use clawkeep::audit::Head;
use clawkeep::config::{
    AgentRef, Env, ExportMode, HOME_VARIABLE, Layout, Overrides, OwnSettings, Settings,
    TRUSTED_VARIABLE, openclaw,
};
use clawkeep::domain::{Credential, ProviderId, shown_path};
use clawkeep::oauth::Providers;
use clawkeep::platform::keychain::{
    BUS_VARIABLE, DEADLINE, KEYCHAIN_VARIABLE, SessionBus, SystemKeychain,
};
use clawkeep::platform::openclaw::install_named_dirs;
use clawkeep::platform::{
    Access, Actor, Admitted, Clock, FileError, FileMask, Trust, check_trusted, harden,
    restrict_new_files,
};
#[cfg(target_os = "macos")]
use clawkeep::sources::{SecurityTool, keychain_account};
use clawkeep::sync::{Engine, ExportPlan, Loaded, LoginSources, Rules, SyncMode};
use clawkeep::vault::{KeySources, UnlockedVault, Upgrade, Vault};

use self::export_modes::ExportModes;
use self::global::Global;
use self::head_file::{Heads, heads};
use self::passphrase::{Named, Passphrases};
use self::places::Places;
use crate::failure::Failure;
use crate::terminal::program_name::{PROGRAM, is_called_as_gateway};
use crate::terminal::ui::{Loudness, Ui};

/// The paths, settings and state that a command works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) env: Env,
    pub(crate) layout: Layout,
    pub(crate) places: Places,
    settings: OnceCell<Settings>,
    own: OnceCell<OwnSettings>,
    providers: OnceCell<Providers>,
    mode: SyncMode,
    /// The rules for other programs' logins.
    pub(crate) rules: Rules,
    pub(crate) clock: Clock,
    pub(crate) actor: Actor,
    pub(crate) ui: Ui,
    keychain: SystemKeychain,
    passphrases: Passphrases,
    /// Reads the kept head of a vault.
    heads: Heads,
    /// The umask of programs that are started.
    pub(crate) mask: FileMask,
    /// OpenClaw's directories that this run has already reported as not written to.
    withheld: RefCell<BTreeSet<PathBuf>>,
    /// The head that was kept when a read-only vault was opened.
    kept_at_opening: RefCell<Option<Option<Head>>>,
    /// Whether this run has reported that other systems may write the vault's storage.
    is_storage_reported: Cell<bool>,
}

impl Context {
    /// Resolves the flags and the environment.
    pub(crate) fn new(global: &Global) -> Result<Self, Failure> {
        let env = environment();
        let loudness = match (global.quiet, global.verbose) {
            (true, _) => Loudness::Quiet,
            (false, false) => Loudness::Normal,
            (false, true) => Loudness::Verbose,
        };
        let overrides = Overrides {
            state_dir: global.state_dir.clone(),
            vault: global.vault.clone(),
            is_stand_in: is_called_as_gateway(),
            chosen_vault: None,
        };
        let places = Places::find(&env, overrides)?;
        let layout = places.layout.clone();
        let ui = Ui {
            loudness,
            colour: global.color,
        };
        let own = install_trust(&env, &layout)?;
        check_keychain_variable(&env)?;
        if !is_called_as_gateway() {
            for (name, path) in layout.ignored_variables(&env) {
                ui.note(&format!(
                    "Warning: {name} is `{}`, which is not an absolute path, so it is ignored.",
                    shown_path(path)
                ));
            }
        }
        install_named_dirs(openclaw::named_dirs(&layout, &env));
        Ok(Self {
            mode: if global.no_sync {
                SyncMode::Off
            } else {
                SyncMode::On
            },
            rules: if is_called_as_gateway() {
                Rules::Reference
            } else {
                Rules::Own
            },
            clock: Clock::System,
            actor: Actor::current(PROGRAM),
            ui,
            keychain: keychain(&env),
            mask: restrict_new_files(),
            withheld: RefCell::default(),
            kept_at_opening: RefCell::default(),
            is_storage_reported: Cell::default(),
            passphrases: Passphrases::new(&layout, named_passphrase(global)),
            heads: heads(&layout),
            env,
            layout,
            places,
            settings: OnceCell::new(),
            own: own.map_or_else(OnceCell::new, OnceCell::from),
            providers: OnceCell::new(),
        })
    }

    /// The gateway's configuration, read on first use: commands of the record must work with a
    /// broken one.
    pub(crate) fn settings(&self) -> Result<&Settings, Failure> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let settings = Settings::load(&self.layout.config_file)?;
        Ok(self.settings.get_or_init(|| settings))
    }

    /// This program's own settings, read on first use.
    pub(crate) fn own(&self) -> Result<&OwnSettings, Failure> {
        if let Some(own) = self.own.get() {
            return Ok(own);
        }
        let own = OwnSettings::load(&self.layout.settings_file)?;
        Ok(self.own.get_or_init(|| own))
    }

    /// The providers whose logins can be refreshed here, read on first use.
    pub(crate) fn providers(&self) -> Result<&Providers, Failure> {
        if let Some(providers) = self.providers.get() {
            return Ok(providers);
        }
        let providers = Providers::new(&self.own()?.providers);
        Ok(self.providers.get_or_init(|| providers))
    }

    /// Reads the settings again after a change. Invalid settings change nothing; neither do empty
    /// ones, unless `is_confirmed`: somebody may be about to write them. Returns whether they were
    /// accepted.
    pub(crate) fn reread(&mut self, is_confirmed: bool) -> Result<bool, Failure> {
        let settings = Settings::load(&self.layout.config_file)?;
        let own = OwnSettings::load(&self.layout.settings_file)?;
        let nothing = OwnSettings::default();
        let had_settings = self.own.get().is_some_and(|before| *before != nothing);
        if own == nothing && had_settings && !is_confirmed {
            return Ok(false);
        }
        self.settings = OnceCell::from(settings);
        self.own = OnceCell::from(own);
        self.providers = OnceCell::new();
        Ok(true)
    }

    /// Resolves the paths again, and returns whether they changed. They stay while no vault is
    /// found: a vault that is being replaced is absent for a moment.
    pub(crate) fn find_places_again(&mut self) -> Result<bool, Failure> {
        let places = self.places.find_again(&self.env)?;
        if places.layout.vaults.is_empty() && !self.layout.vaults.is_empty() {
            return Ok(false);
        }
        self.layout.vaults.clone_from(&places.layout.vaults);
        let is_changed = places.layout != self.layout;
        self.layout = places.layout.clone();
        self.places = places;
        Ok(is_changed)
    }

    /// A copy for another thread, with the settings that were read. It provides no passphrase.
    pub(crate) fn for_thread(&self) -> Self {
        Self {
            env: self.env.clone(),
            layout: self.layout.clone(),
            places: self.places.clone(),
            settings: self.settings.clone(),
            own: self.own.clone(),
            providers: self.providers.clone(),
            mode: self.mode,
            rules: self.rules,
            clock: self.clock,
            actor: self.actor.clone(),
            ui: self.ui,
            keychain: keychain(&self.env),
            mask: self.mask,
            withheld: RefCell::default(),
            kept_at_opening: RefCell::default(),
            is_storage_reported: self.is_storage_reported.clone(),
            passphrases: Passphrases::new(&self.layout, None),
            heads: heads(&self.layout),
        }
    }

    pub(crate) fn key_sources(&self) -> KeySources<'_> {
        KeySources {
            named_keyfile: self.layout.named_key_file().map(Path::to_owned),
            credential_keyfile: self.layout.credential_key_file(),
            keyfile_dir: self.layout.key_file_dir(),
            keychain: &self.keychain,
            secrets: Some(&self.passphrases),
            upgrade: Upgrade {
                by: Some((&self.actor, self.clock)),
                kept_head: Some(&*self.heads.0),
            },
        }
    }

    /// Prevents other processes from reading this one's memory, before a key is read.
    pub(crate) fn harden(&self) {
        harden();
    }

    /// The sources of this command's passphrase.
    pub(crate) fn passphrases(&self) -> &Passphrases {
        &self.passphrases
    }

    /// Checks the places of new files before they are created: another user's are left alone, since
    /// our files there (`sudo`) would lock out their owner.
    pub(crate) fn check_owner(&self) -> Result<(), Failure> {
        refuse_untrusted(&self.layout.home, Access::Read)?;
        for dir in [
            &self.layout.state_dir,
            &self.layout.vault_dir,
            &self.layout.heads_dir(),
            &self.lock_dir(),
        ] {
            refuse_untrusted(dir, Access::CreateIn)?;
        }
        Ok(())
    }

    /// The kept head, before the vault changes and a new head replaces it.
    fn check_head(&self, vault: &Vault) -> Result<(), Failure> {
        refuse_untrusted(&self.layout.head_file(vault.id()), Access::Read)
    }

    /// Runs `work` with an engine on `vault`, and keeps the record's head where the vault is not.
    pub(crate) fn with_engine<T, E>(
        &self,
        vault: &mut UnlockedVault,
        work: impl FnOnce(&mut Engine<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let modes = self.export_modes(vault);
        self.with_engine_exporting(vault, &|agent| modes.of(agent), work)
    }

    /// Like [`Context::with_engine`]; `mode` says how stores are exported.
    pub(crate) fn with_engine_exporting<T, E>(
        &self,
        vault: &mut UnlockedVault,
        mode: &dyn Fn(&AgentRef) -> Option<ExportMode>,
        work: impl FnOnce(&mut Engine<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let before = vault.head().ok().flatten();
        #[cfg(target_os = "macos")]
        let keychain = SecurityTool::default();
        let sources = LoginSources {
            logins: self.layout.logins.clone(),
            #[cfg(target_os = "macos")]
            user: keychain_account(self.env.get("USER")),
            #[cfg(not(target_os = "macos"))]
            user: self.env.get("USER").unwrap_or_default().to_owned(),
            #[cfg(target_os = "macos")]
            keychain: Some(&keychain),
            #[cfg(not(target_os = "macos"))]
            keychain: None,
            legacy_oauth_file: self.layout.oauth_file(),
        };
        // Unreadable settings are reported by what needs them; logins are then pinned by their
        // first refresh.
        let endpoints = |credential: &Credential<'_>| {
            let providers = self.providers().ok()?;
            let provider = providers
                .get(&ProviderId::new(credential.provider))
                .ok()??;
            provider.endpoint(credential.client_id())
        };
        let lock_dir = self.lock_dir();
        let mut engine = Engine::new(vault, &sources, &self.actor, self.clock, lock_dir);
        engine.context.rules = self.rules;
        engine.context.endpoints = Some(&endpoints);
        engine.context.export = Some(ExportPlan {
            mode,
            runtime_dir: self.layout.runtime_dir.as_deref(),
        });
        let done = work(&mut engine);
        let notices = engine.drain_notices();
        notices.iter().for_each(|notice| self.ui.notice(notice));
        if vault.head().ok().flatten() != before {
            self.keep_head(vault);
        }
        done
    }

    /// How stores are exported. If the settings cannot be read, this is unknown: no store is
    /// written or removed, and [`Context::verdict`] reports it.
    pub(crate) fn export_modes(&self, vault: &UnlockedVault) -> ExportModes<'_> {
        ExportModes::new(self.own().ok(), || {
            self.every_agent(vault).unwrap_or_default()
        })
    }

    /// Loads an agent and reports the load's notices.
    pub(crate) fn load(
        &self,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
    ) -> Result<Loaded, Failure> {
        let mode = self.mode_for(vault, agent)?;
        let loaded = self.with_engine(vault, |engine| engine.load(agent, mode))?;
        self.report_load(&loaded);
        Ok(loaded)
    }

    /// The directory of the locks between our own processes: beside the vault.
    pub(crate) fn lock_dir(&self) -> PathBuf {
        let mut path = self.layout.vault_file.as_os_str().to_owned();
        path.push(".lease");
        path.into()
    }
}

/// Refuses a place that another user can have changed. A place that cannot be examined is reported
/// by what needs it.
fn refuse_untrusted(path: &Path, access: Access) -> Result<(), Failure> {
    match check_trusted(path, access) {
        Err(error @ FileError::Untrusted(_)) => Err(error.into()),
        _ => Ok(()),
    }
}

/// Installs the policy on trusted users before any file is used: those of `CLAWKEEP_TRUSTED`, and
/// those of `clawkeep.toml`. If the settings cannot be used, what needs them reports it.
fn install_trust(env: &Env, layout: &Layout) -> Result<Option<OwnSettings>, Failure> {
    let entries = env.get(TRUSTED_VARIABLE).unwrap_or_default();
    let entries = entries.split([',', ' ']).filter(|entry| !entry.is_empty());
    let admitted = entries.map(|entry| {
        let example = match cfg!(windows) {
            true => "sid:S-1-5-21-1-2-3-1001",
            false => "uid:1000,gid:2000",
        };
        let what = format!("{TRUSTED_VARIABLE} is a list such as {example}");
        Admitted::parse(entry).ok_or(Failure::BadArgument(what))
    });
    // If a directory only replaces the home, everything above it is checked.
    let home = if layout.has_home {
        layout.home.clone()
    } else {
        PathBuf::new()
    };
    let trust = Trust::of_user(home, admitted.collect::<Result<_, _>>()?)
        .with_vault(layout.vault_file.clone());
    let own = OwnSettings::load_by(&trust, &layout.settings_file).ok();
    let by_settings = own.as_ref().map(|own| own.trusted.clone());
    let is_shared_allowed = own.as_ref().is_some_and(|own| own.allow_shared_storage);
    trust
        .admitting(by_settings.unwrap_or_default())
        .with_shared_storage(is_shared_allowed)
        .install();
    Ok(own)
}

/// The source of the passphrase that was named for this command.
fn named_passphrase(global: &Global) -> Option<Named> {
    let file = global.passphrase_file.clone().map(Named::File);
    file.or(global.passphrase_fd.map(Named::Descriptor))
}

/// This process's environment and the home directory that Node uses if no variable names one: the
/// user database's.
fn environment() -> Env {
    let mut variables: Vec<_> = std::env::vars_os().collect();
    if cfg!(windows) {
        variables.reverse(); // Windows uses the first of two spellings of a name
    }
    let env = Env::from_pairs(variables).of_stand_in(is_called_as_gateway());
    if env.path(HOME_VARIABLE).is_some() {
        return env; // a directory service may be slow
    }
    env.with_account_home(std::env::home_dir())
}

/// The keychain. A person who sees this program's output can answer a dialog.
fn keychain(env: &Env) -> SystemKeychain {
    SystemKeychain::new(DEADLINE, keychain_bus(env)).attended(std::io::stderr().is_terminal())
}

/// Parses the variable; a misspelt value must not leave the keychain in use.
fn check_keychain_variable(env: &Env) -> Result<(), Failure> {
    match env.raw(KEYCHAIN_VARIABLE) {
        None => Ok(()),
        Some(value) if value == "off" => Ok(()),
        Some(_) => {
            let what = format!("{KEYCHAIN_VARIABLE} is off, or not set");
            Err(Failure::BadArgument(what))
        }
    }
}

/// The access to the keychain: by the session bus if it needs one, and none if the user turned it
/// off.
fn keychain_bus(env: &Env) -> SessionBus {
    if env
        .raw(KEYCHAIN_VARIABLE)
        .is_some_and(|value| value == "off")
    {
        SessionBus::TurnedOff
    } else if cfg!(any(windows, target_os = "macos")) {
        SessionBus::Present
    } else {
        session_bus(env)
    }
}

/// Whether a session bus exists; zbus would otherwise try to start one.
pub(crate) fn session_bus(env: &Env) -> SessionBus {
    let socket = env
        .raw("XDG_RUNTIME_DIR")
        .map(|dir| Path::new(dir).join("bus"));
    match env.raw(BUS_VARIABLE) {
        Some(address) => SessionBus::at(address),
        None if socket.is_some_and(|socket| socket.exists()) => SessionBus::Present,
        None => SessionBus::Absent,
    }
}
