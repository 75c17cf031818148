//! Resolves flags and environment into what a command works with: paths, configuration, the vault,
//! the actor.

mod agents;
pub(crate) mod browser;
mod environment;
pub(crate) mod global;
mod head;
pub(crate) mod load_each;
mod opening;
pub(crate) mod passphrase;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::IsTerminal as _;
use std::ops::{Deref, DerefMut};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use clawkeep::internal::client::{Heads, Places, Workspace};
use clawkeep::internal::config::{
    AgentRef, ExportMode, Overrides, OwnSettings, Settings, openclaw,
};
use clawkeep::internal::domain::shown_path;
use clawkeep::internal::platform::keychain::SystemKeychain;
use clawkeep::internal::platform::openclaw::add_named_dirs;
use clawkeep::internal::platform::{
    Actor, FileMask, harden, restrict_new_files, withhold_key_variables,
};
use clawkeep::internal::sync::{Engine, Loaded, Refresher, Rules, SyncMode};
use clawkeep::internal::vault::{KeySources, UnlockedVault};

use self::environment::{
    check_keychain_variable, environment, install_trust, keychain, named_passphrase,
};
use self::global::Global;
use self::passphrase::{Named, Passphrases};
use crate::failure::Failure;
use crate::terminal::program_name::{PROGRAM, is_called_as_gateway};
use crate::terminal::signals;
use crate::terminal::ui::{Loudness, Ui};

/// The workspace of a command, with its terminal and the sources of its passphrase.
#[derive(Debug)]
pub(crate) struct Context {
    workspace: Workspace,
    pub(crate) ui: Ui,
    keychain: SystemKeychain,
    passphrases: Passphrases,
    /// Reads the kept head of a vault.
    heads: Heads,
    /// The umask of programs that are started.
    pub(crate) mask: FileMask,
    /// OpenClaw's directories that this run has already reported as not written to.
    withheld: RefCell<BTreeSet<PathBuf>>,
    /// Whether this run has reported that other systems may write the vault's storage.
    is_storage_reported: Cell<bool>,
}

impl Deref for Context {
    type Target = Workspace;

    fn deref(&self) -> &Workspace {
        &self.workspace
    }
}

impl DerefMut for Context {
    fn deref_mut(&mut self) -> &mut Workspace {
        &mut self.workspace
    }
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
        let working_dir = std::env::current_dir().unwrap_or_else(|_| "/".into());
        let places = Places::find(&env, overrides, working_dir)?;
        let layout = places.layout.clone();
        let ui = Ui {
            loudness,
            colour: global.color,
            is_json: false,
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
        add_named_dirs(openclaw::named_dirs(&layout, &env));
        let keychain = keychain(&env);
        let mut workspace = Workspace::new(env, places, Actor::current(PROGRAM), own);
        if global.no_sync {
            workspace.mode = SyncMode::Off;
        }
        if is_called_as_gateway() {
            workspace.rules = Rules::Reference;
        }
        Ok(Self {
            workspace,
            ui,
            keychain,
            mask: restrict_new_files(),
            withheld: RefCell::default(),
            is_storage_reported: Cell::default(),
            passphrases: Passphrases::new(&layout, named_passphrase(global)),
            heads: Heads::of(&layout),
        })
    }

    /// Reads the settings again after a change. Invalid settings change nothing; neither do empty
    /// ones, unless `is_confirmed`: somebody may be about to write them. Returns whether they were
    /// accepted.
    pub(crate) fn reread(&mut self, is_confirmed: bool) -> Result<bool, Failure> {
        let settings = Settings::load(&self.layout.config_file)?;
        let own = OwnSettings::load(&self.layout.settings_file)?;
        let nothing = OwnSettings::default();
        let had_settings = self.read_own().is_some_and(|before| *before != nothing);
        if own == nothing && had_settings && !is_confirmed {
            return Ok(false);
        }
        self.set_settings(settings, own);
        Ok(true)
    }

    /// A copy for another thread, with the settings that were read. It provides no passphrase.
    pub(crate) fn for_thread(&self) -> Self {
        Self {
            workspace: self.workspace.for_thread(),
            ui: self.ui,
            keychain: keychain(&self.env),
            mask: self.mask,
            withheld: RefCell::default(),
            is_storage_reported: self.is_storage_reported.clone(),
            passphrases: Passphrases::new(&self.layout, None),
            heads: Heads::of(&self.layout),
        }
    }

    pub(crate) fn key_sources(&self) -> KeySources<'_> {
        let secrets = Some(&self.passphrases as _);
        self.workspace
            .key_sources(&self.keychain, secrets, &self.heads)
    }

    /// Prevents other processes from reading this one's memory, before a key is read.
    pub(crate) fn harden(&self) {
        harden();
    }

    /// The sources of this command's passphrase.
    pub(crate) fn passphrases(&self) -> &Passphrases {
        &self.passphrases
    }

    /// Withholds from a program what leads to a vault's key: variables, and a passphrase on stdin.
    pub(crate) fn withhold_keys(&self, command: &mut Command) {
        withhold_key_variables(command, self.layout.credentials_dir());
        if !std::io::stdin().is_terminal() {
            self.withhold_stdin(command);
        }
    }

    /// Withholds stdin from a program if a passphrase comes from there.
    pub(crate) fn withhold_stdin(&self, command: &mut Command) {
        if self.passphrases.named.as_ref().is_some_and(Named::is_stdin) {
            command.stdin(Stdio::null());
        }
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
        let worked = self.workspace.with_engine(vault, mode, work);
        for notice in &worked.notices {
            self.ui.notice(notice);
        }
        if worked.has_new_events {
            self.keep_head(vault);
        }
        worked.done
    }

    /// Runs `work` with what a refresh needs: it holds signals back, and keeps the record's head.
    pub(crate) fn with_refresher<T>(
        &self,
        every_agent: &[AgentRef],
        work: impl FnOnce(Refresher<'_>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let keep_head = |vault: &UnlockedVault| self.keep_head(vault);
        let mut refresher = Refresher::new(self.providers()?, every_agent);
        refresher.shield = Some(&signals::hold);
        refresher.keep_head = Some(&keep_head);
        work(refresher)
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
}
