//! What every call works with: paths, settings, identity, and the head of the record that is kept
//! outside the vault.

mod agents;
mod engine;
mod export_modes;
mod head_file;
mod heads;
mod opening;
mod places;

use std::cell::OnceCell;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

pub use self::engine::Worked;
pub use self::export_modes::ExportModes;
pub use self::heads::HeadProblem;
pub use self::opening::Heads;
pub use self::places::Places;
use crate::audit::Head;
use crate::config::{
    AgentRef, ConfigError, Env, Layout, OwnSettings, OwnSettingsError, PathError, Settings,
};
use crate::domain::UnixMs;
use crate::health::AsOf;
use crate::oauth::Providers;
use crate::platform::{Actor, Clock};
use crate::sync::{Loaded, Rules, StateReader, SyncMode};
use crate::vault::UnlockedVault;

/// The paths, settings and identity that calls work with.
#[derive(Debug)]
pub struct Workspace {
    /// The environment that was handed in.
    pub env: Env,
    /// The paths of the vault in use.
    pub layout: Layout,
    /// The vaults that were found.
    pub places: Places,
    /// Who acts, for the record.
    pub actor: Actor,
    /// The clock of every call.
    pub clock: Clock,
    /// The rules for other programs' logins.
    pub rules: Rules,
    /// Whether loads read other programs' logins.
    pub mode: SyncMode,
    settings: OnceLock<Settings>,
    own: OnceLock<OwnSettings>,
    providers: OnceLock<Providers>,
    /// The head that was kept when a read-only vault was opened.
    kept_at_opening: Mutex<Option<Option<Head>>>,
}

impl Workspace {
    /// Makes one for an actor, with the system's clock, that reads other programs' logins. `own`
    /// are the settings of clawkeep if they were read already.
    #[must_use]
    pub fn new(env: Env, places: Places, actor: Actor, own: Option<OwnSettings>) -> Self {
        Self {
            env,
            layout: places.layout.clone(),
            places,
            actor,
            clock: Clock::System,
            rules: Rules::Own,
            mode: SyncMode::On,
            settings: OnceLock::new(),
            own: own.map_or_else(OnceLock::new, OnceLock::from),
            providers: OnceLock::new(),
            kept_at_opening: Mutex::default(),
        }
    }

    /// A copy for another thread, with the settings that were read.
    #[must_use]
    pub fn for_thread(&self) -> Self {
        Self {
            env: self.env.clone(),
            layout: self.layout.clone(),
            places: self.places.clone(),
            actor: self.actor.clone(),
            clock: self.clock,
            rules: self.rules,
            mode: self.mode,
            settings: self.settings.clone(),
            own: self.own.clone(),
            providers: self.providers.clone(),
            kept_at_opening: Mutex::default(),
        }
    }

    /// The gateway's configuration, read on first use: what asks only for the record must work with
    /// a broken one.
    ///
    /// # Errors
    /// When it is not valid, or cannot be read.
    pub fn settings(&self) -> Result<&Settings, ConfigError> {
        if let Some(settings) = self.settings.get() {
            return Ok(settings);
        }
        let settings = Settings::load(&self.layout.config_file)?;
        Ok(self.settings.get_or_init(|| settings))
    }

    /// The settings of clawkeep, read on first use.
    ///
    /// # Errors
    /// When they are not valid, or cannot be read.
    pub fn own(&self) -> Result<&OwnSettings, OwnSettingsError> {
        if let Some(own) = self.own.get() {
            return Ok(own);
        }
        let own = OwnSettings::load(&self.layout.settings_file)?;
        Ok(self.own.get_or_init(|| own))
    }

    /// The settings of clawkeep, if they were read.
    #[must_use]
    pub fn read_own(&self) -> Option<&OwnSettings> {
        self.own.get()
    }

    /// The providers whose logins can be refreshed here, read on first use.
    ///
    /// # Errors
    /// As [`Workspace::own`].
    pub fn providers(&self) -> Result<&Providers, OwnSettingsError> {
        if let Some(providers) = self.providers.get() {
            return Ok(providers);
        }
        let providers = Providers::new(&self.own()?.providers);
        Ok(self.providers.get_or_init(|| providers))
    }

    /// The rules for verdicts on credentials at `now`. Settings that cannot be read are reported by
    /// the load.
    #[must_use]
    pub fn as_of(&self, now: UnixMs) -> AsOf {
        match self.rules {
            Rules::Own => {
                let within = self.own().ok().and_then(|own| own.expiring_within);
                AsOf::new(now, within.unwrap_or(AsOf::EXPIRING_WITHIN))
            }
            Rules::Reference => AsOf::of_reference(now),
        }
    }

    /// The reader of how a loaded agent's credentials stand.
    #[must_use]
    pub fn states<'r>(
        &'r self,
        vault: &'r UnlockedVault,
        agent: &'r AgentRef,
        loaded: &'r Loaded,
    ) -> StateReader<'r> {
        StateReader {
            vault: Some(vault),
            agent: &agent.name,
            doc: &loaded.doc,
            providers: self.providers().ok(),
            logins: Some(&loaded.logins),
            as_of: self.as_of(self.clock.now()),
            kept: OnceCell::new(),
        }
    }

    /// Replaces the settings that were read, after a change.
    pub fn set_settings(&mut self, settings: Settings, own: OwnSettings) {
        self.settings = OnceLock::from(settings);
        self.own = OnceLock::from(own);
        self.providers = OnceLock::new();
    }

    /// Resolves the paths again, and returns whether they changed. They stay while no vault is
    /// found: a vault that is being replaced is absent for a moment.
    ///
    /// # Errors
    /// As [`Layout::resolve`].
    pub fn find_places_again(&mut self) -> Result<bool, PathError> {
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

    /// The directory of the locks between our own processes: beside the vault.
    #[must_use]
    pub fn lock_dir(&self) -> PathBuf {
        let mut path = self.layout.vault_file.as_os_str().to_owned();
        path.push(".lease");
        path.into()
    }

    fn kept_at_opening(&self) -> MutexGuard<'_, Option<Option<Head>>> {
        let kept = self.kept_at_opening.lock();
        kept.unwrap_or_else(PoisonError::into_inner)
    }
}
