//! Loading agents with an engine, and what is said of a load.

use std::path::PathBuf;

use clawkeep::config::{AgentRef, ExportMode, existing_agents};
use clawkeep::domain::{AgentName, Credential, ProviderId};
use clawkeep::export::StorePlace;
use clawkeep::platform::canonicalize;
#[cfg(target_os = "macos")]
use clawkeep::sources::{SecurityTool, keychain_account};
use clawkeep::sync::{Engine, ExportPlan, Loaded, LoginSources, Notice, SyncMode, queue_path};
use clawkeep::vault::UnlockedVault;

use super::Context;
use super::export_modes::ExportModes;
use crate::failure::Failure;
use crate::terminal::notices;

impl Context {
    /// Runs `work` with an engine on `vault`, and keeps the record's head where the vault is not.
    pub(crate) fn with_engine<T, E>(
        &self,
        vault: &mut UnlockedVault,
        work: impl FnOnce(&mut Engine<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let modes = self.export_modes(vault);
        self.with_engine_exporting(vault, &|agent| modes.of(agent), work)
    }

    /// As [`Context::with_engine`], where `mode` says how stores are exported.
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
            claude_file: self.layout.claude_code_file.clone(),
            claude_config_dir: (self.env.raw("CLAUDE_CONFIG_DIR"))
                .map(|dir| dir.to_string_lossy().into_owned()), // as Claude Code reads it
            #[cfg(target_os = "macos")]
            user: keychain_account(self.env.get("USER")),
            #[cfg(not(target_os = "macos"))]
            user: self.env.get("USER").unwrap_or_default().to_owned(),
            #[cfg(target_os = "macos")]
            keychain: Some(&keychain),
            #[cfg(not(target_os = "macos"))]
            keychain: None,
            claude_account_file: self.layout.claude_account_file.clone(),
            codex_file: self.layout.codex_file.clone(),
            legacy_oauth_file: self.layout.oauth_file(),
        };
        // Settings that cannot be read are said by what needs them; logins are then pinned by their first refresh.
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
        let told = engine.drain_notices();
        told.iter().for_each(|notice| self.ui.notice(notice));
        if vault.head().ok().flatten() != before {
            self.keep_head(vault);
        }
        done
    }

    /// How stores are exported. Where the settings cannot be read, that is not known: no store is written or
    /// removed then, and [`Context::verdict`] says so.
    pub(crate) fn export_modes(&self, vault: &UnlockedVault) -> ExportModes<'_> {
        ExportModes::new(self.own().ok(), || {
            self.every_agent(vault).unwrap_or_default()
        })
    }

    /// Loads an agent and says what there is to say.
    pub(crate) fn load(
        &self,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
    ) -> Result<Loaded, Failure> {
        let mode = self.mode_for(vault, agent)?;
        let loaded = self.with_engine(vault, |engine| engine.load(agent, mode))?;
        self.tell(&loaded);
        Ok(loaded)
    }

    /// As [`Context::load`], without a word: the command is about what there would be to say.
    pub(crate) fn load_silently(
        &self,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
    ) -> Result<Loaded, Failure> {
        let mode = self.mode_for(vault, agent)?;
        Ok(self.with_engine(vault, |engine| engine.load(agent, mode))?)
    }

    /// The agents that exist, and those known only by their directory, as `CLAWDBOT_AGENT_DIR` names one.
    pub(crate) fn every_agent(&self, vault: &UnlockedVault) -> Result<Vec<AgentRef>, Failure> {
        let mut agents = existing_agents(&self.layout, self.settings()?)?;
        for name in vault.agents()? {
            let Some(dir) = name.dir() else { continue };
            let real = |dir: &PathBuf| canonicalize(dir).ok();
            let is_new = || agents.iter().all(|agent| real(&agent.dir) != real(&dir));
            if dir.is_dir() && is_new() {
                agents.push(AgentRef { name, dir });
            }
        }
        Ok(agents)
    }

    /// The queue of our own processes for an agent's store.
    pub(crate) fn queue_of(&self, agent: &AgentRef) -> PathBuf {
        let place = StorePlace::of_agent(&agent.dir);
        let site = place.map_or_else(|_| agent.store_file(), |place| place.site().to_owned());
        queue_path(&self.lock_dir(), &site)
    }

    /// Whether to ask the sources for an agent.
    pub(crate) fn mode_for(
        &self,
        vault: &UnlockedVault,
        agent: &AgentRef,
    ) -> Result<SyncMode, Failure> {
        if !self.is_unknown(vault, agent)? {
            return Ok(self.mode);
        }
        self.ui.note(&format!(
            "Note: there is no agent {} (no directory {}), so nothing was synced into one.",
            agent.name,
            agent.dir.display()
        ));
        Ok(SyncMode::Off)
    }

    /// An agent that was named and is nowhere: most likely mistyped. Its directory is not made and nothing put into it.
    pub(crate) fn is_unknown(
        &self,
        vault: &UnlockedVault,
        agent: &AgentRef,
    ) -> Result<bool, Failure> {
        let by_path = agent.name.is_path();
        if by_path || agent.name == AgentName::default() || agent.dir.is_dir() {
            return Ok(false);
        }
        let listed = self
            .settings()?
            .agents
            .iter()
            .any(|known| known.name == agent.name);
        Ok(!listed && !vault.agents()?.contains(&agent.name))
    }

    /// What is left to say of a load once its answer is given.
    pub(crate) fn verdict(&self, loaded: Loaded) -> Result<(), Failure> {
        if !loaded.unopened.is_empty() {
            let rows = loaded.unopened;
            return Err(Failure::Unopened { rows });
        }
        match (loaded.not_written, loaded.not_removed) {
            (Some(error), _) => Err(Failure::NotWritten(error)),
            (None, Some(error)) => Err(Failure::NotRemoved(error)),
            (None, None) => match self.own() {
                Err(Failure::OwnSettings(error)) => Err(Failure::Undecided(error)),
                own => own.map(|_| ()),
            },
        }
    }

    /// Says that a plain copy was written for the first time, where a report has the rest of what a load has to tell.
    pub(crate) fn announce_plain_copies(&self, loaded: &Loaded) {
        let is_announced = |notice: &&Notice| matches!(notice, Notice::PlainCopy { .. });
        for notice in loaded.notices.iter().filter(is_announced) {
            if let Some(words) = notices::words_for(&self.layout, notice) {
                self.ui.note(&words);
            }
        }
    }

    /// Says what a load has to tell.
    pub(crate) fn tell(&self, loaded: &Loaded) {
        for notice in &loaded.notices {
            // Agents of one directory have the same to tell of it.
            let is_news = match notice {
                Notice::Withheld { openclaw } => {
                    self.withheld.borrow_mut().insert(openclaw.root.clone())
                }
                _ => true,
            };
            if let Some(words) = notices::words_for(&self.layout, notice).filter(|_| is_news) {
                self.ui.note(&words);
            }
        }
        for planned in &loaded.planned {
            if planned.is_idle() {
                continue; // a program that is not in use here
            }
            let (verdict, why) = planned.verdict();
            let profile = planned.profile;
            self.ui
                .detail(&format!("Sync: {profile} {verdict} ({why})"));
        }
    }
}
