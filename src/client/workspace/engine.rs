//! Work on the vault with an engine, which syncs other programs' logins and exports stores.

use super::Workspace;
use super::export_modes::ExportModes;
use crate::config::{AgentRef, ExportMode};
use crate::domain::{Credential, ProviderId};
#[cfg(target_os = "macos")]
use crate::sources::{SecurityTool, keychain_account};
use crate::sync::{Engine, ExportPlan, LoginSources, Notice};
use crate::vault::UnlockedVault;

/// What came of work with an engine.
#[derive(Debug)]
pub struct Worked<T> {
    /// The result of the work.
    pub done: T,
    /// What no load has reported.
    pub notices: Vec<Notice>,
    /// Whether the record has new events, so that its head is to be kept.
    pub has_new_events: bool,
}

impl Workspace {
    /// Runs `work` with an engine on `vault`. `mode` says how stores are exported.
    pub fn with_engine<T>(
        &self,
        vault: &mut UnlockedVault,
        mode: &dyn Fn(&AgentRef) -> Option<ExportMode>,
        work: impl FnOnce(&mut Engine<'_>) -> T,
    ) -> Worked<T> {
        let before = vault.changes_so_far();
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
        Worked {
            done,
            notices,
            has_new_events: vault.changes_so_far() != before,
        }
    }

    /// How stores are exported. If the settings cannot be read, this is unknown: no store is
    /// written or removed.
    #[must_use]
    pub fn export_modes(&self, vault: &UnlockedVault) -> ExportModes<'_> {
        ExportModes::new(self.own().ok(), &self.layout.data_dir, || {
            self.every_agent(vault).unwrap_or_default()
        })
    }
}
