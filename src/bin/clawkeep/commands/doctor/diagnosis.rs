//! One diagnosis: opening, syncing and reading everything, and the failures of that.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::advice::shell_path;
use crate::doctor::{
    Evidence, ExaminedAgent, Finding, FindingId, OpenVault, examine, in_order, merged_since,
};
use clawkeep::internal::audit::EventDraft;
use clawkeep::internal::client::ClientError;
use clawkeep::internal::config::{AgentRef, Settings, existing_agents, status_agent};
use clawkeep::internal::discover::{Found, discover};
use clawkeep::internal::domain::{ProfileId, REMOVE_COMMAND, Seq, StoreDoc};
use clawkeep::internal::export::{StorePlace, StoreReading};
use clawkeep::internal::sync::SyncError;
use clawkeep::internal::vault::{UnlockedVault, VaultError};

use crate::commands::connect::asked_key::keyless_programs;
use crate::context::Context;
use crate::failure::Failure;

pub(super) struct Diagnosis {
    settings: Option<Settings>,
    vault: OpenVault,
    agents: Vec<ExaminedAgent>,
    kept_head: Option<clawkeep::internal::audit::Head>,
    discovered: Found,
    /// Failures of opening, reading and loading.
    trouble: Vec<Finding>,
}

impl Diagnosis {
    pub(super) fn findings(&self, context: &Context) -> Vec<Finding> {
        let main = main_agent(context, self.settings.as_ref());
        let mut found = examine(&self.evidence(context, &main));
        found.extend(self.trouble.iter().cloned());
        in_order(found)
    }

    pub(super) fn unlocked(&mut self) -> Option<&mut UnlockedVault> {
        match &mut self.vault {
            OpenVault::Unlocked(vault) => Some(vault),
            OpenVault::Unusable | OpenVault::Locked(_) => None,
        }
    }

    /// The store in which the configuration's profiles are searched.
    pub(super) fn main_doc(&self, context: &Context) -> Option<&StoreDoc> {
        let main = main_agent(context, self.settings.as_ref());
        let found = self
            .agents
            .iter()
            .find(|examined| examined.agent.name == main.name);
        found.map(|examined| &examined.doc)
    }

    /// Whether an agent has a profile, or the vault keeps a removed one.
    pub(super) fn knows_profile(&self, context: &Context, id: &ProfileId) -> bool {
        let main = main_agent(context, self.settings.as_ref());
        self.evidence(context, &main).knows_profile(id)
    }

    pub(super) fn record_repair(
        &mut self,
        context: &Context,
        event: EventDraft,
    ) -> Result<(), Failure> {
        let OpenVault::Unlocked(vault) = &mut self.vault else {
            return Ok(());
        };
        let (actor, clock) = (&context.actor, context.clock);
        context.with_new_head(vault, |vault| {
            let mut tx = vault.begin(actor, clock)?;
            tx.append(None, event)?;
            tx.commit()
        })
    }

    fn evidence<'e>(&'e self, context: &'e Context, main: &'e AgentRef) -> Evidence<'e> {
        let now = context.clock.now();
        Evidence {
            layout: &context.layout,
            settings: self.settings.as_ref(),
            own: context.own().ok(),
            vault: &self.vault,
            kept_head: self.kept_head,
            agents: &self.agents,
            main: &main.name,
            providers: context.providers().ok(),
            discovered: &self.discovered,
            now,
            as_of: context.as_of(now),
        }
    }
}

/// The agent whose store `models status` shows, and the reference's doctor examines.
fn main_agent(context: &Context, settings: Option<&Settings>) -> AgentRef {
    let none = Settings::default();
    status_agent(
        &context.layout,
        settings.unwrap_or(&none),
        &context.env,
        None,
    )
}

/// Opens, syncs and reads everything. Each failure becomes a finding, and the rest goes on.
pub(super) fn diagnose(context: &Context) -> Diagnosis {
    let mut trouble = Vec::new();
    let settings = match Settings::load(&context.layout.config_file) {
        Ok(settings) => Some(settings),
        Err(error) => {
            let finding = finding_of(FindingId::ConfigUnreadable, &error.into());
            trouble.push(finding.path(&context.layout.config_file));
            None
        }
    };
    let own = context.own().and_then(|own| match &own.notify_fault {
        Some(fault) => Err(fault.error()),
        None => Ok(()),
    });
    if let Err(failure) = own {
        let finding = finding_of(FindingId::ConfigSettings, &failure.into());
        trouble.push(finding.path(&context.layout.settings_file));
    }
    let mut vault = open(context, &mut trouble);
    let kept_head = vault
        .locked()
        .and_then(|vault| match context.kept_head(vault) {
            Ok(head) => head,
            Err(failure) => {
                let path = context.layout.head_file(vault.id());
                let finding = finding_of(FindingId::RecordHead, &failure.into()).path(&path);
                let remove = format!("{REMOVE_COMMAND} {}", shell_path(&context.layout, &path));
                let verify = "clawkeep audit verify --head FILE";
                trouble.push(finding.advice(match cfg!(windows) {
                    // cmd.exe knows no comments.
                    true => format!("Once this is content: {verify}, run: {remove}"),
                    false => format!("{remove}  # once this is content: {verify}"),
                }));
                None
            }
        });
    let agents = agents(context, settings.as_ref(), vault.unlocked(), &mut trouble);
    let examined = agents
        .into_iter()
        .map(|agent| match &mut vault {
            // Only the configuration says which agent a directory belongs to: without it nothing is
            // written.
            OpenVault::Unlocked(vault) if settings.is_some() => {
                load(context, vault, agent, &mut trouble)
            }
            _ => unsynced(context, agent),
        })
        .collect();
    if let OpenVault::Unlocked(vault) = &vault {
        let keyless = keyless_programs(context, vault).unwrap_or_default();
        trouble.extend(keyless.into_iter().map(|keyless| {
            Finding::new(FindingId::SourceNoKey, keyless.message()).advice(keyless.fix)
        }));
    }
    Diagnosis {
        settings,
        vault,
        agents: examined,
        kept_head,
        discovered: discover(&context.layout, &context.env),
        trouble,
    }
}

fn open(context: &Context, trouble: &mut Vec<Finding>) -> OpenVault {
    let failure = match context.vault_to_read() {
        Ok(vault) => {
            if let Err(error) = vault.require_writable() {
                let finding = finding_of(FindingId::VaultUnusable, &error.into());
                trouble.push(finding.path(vault.path()));
            }
            return OpenVault::Unlocked(Box::new(vault));
        }
        Err(failure) => failure,
    };
    let is_key = matches!(&failure, Failure::Vault(VaultError::NoKey { .. }));
    let id = if is_key {
        FindingId::KeysUnavailable
    } else {
        FindingId::VaultUnusable
    };
    trouble.push(finding_of(id, &failure).path(&context.layout.vault_file));
    // Findings that need neither a key nor the state directory's owner are reported anyway.
    context.locked().map_or(OpenVault::Unusable, |vault| {
        OpenVault::Locked(Box::new(vault))
    })
}

fn agents(
    context: &Context,
    settings: Option<&Settings>,
    vault: Option<&UnlockedVault>,
    trouble: &mut Vec<Finding>,
) -> Vec<AgentRef> {
    let listed = match (settings, vault) {
        (Some(_), Some(vault)) => context.every_agent(vault),
        (settings, _) => {
            let none = Settings::default();
            existing_agents(&context.layout, settings.unwrap_or(&none)).map_err(ClientError::from)
        }
    };
    let mut agents = listed.unwrap_or_else(|failure| {
        let agents = context.layout.state_dir.join("agents");
        trouble.push(finding_of(FindingId::StoreUnusable, &failure.into()).path(agents));
        Vec::new()
    });
    // Whatever is in OpenClaw's directories is OpenClaw's to repair.
    agents.retain(|agent| agent.name.openclaw_id().is_none());
    let main = main_agent(context, settings);
    if agents.iter().all(|agent| agent.name != main.name) {
        agents.push(main); // the directory that CLAWDBOT_AGENT_DIR names
    }
    agents
}

fn load(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: AgentRef,
    trouble: &mut Vec<Finding>,
) -> ExaminedAgent {
    let before: Option<Seq> = vault.head().ok().flatten().map(|head| head.seq);
    let loaded = context.mode_for(vault, &agent).and_then(|mode| {
        context
            .with_engine(vault, |engine| engine.load(&agent, mode))
            .map_err(Failure::from)
    });
    let store = agent.store_file();
    match loaded {
        Ok(loaded) => {
            context.announce_plain_copies(&loaded);
            if let Some(error) = loaded.not_written {
                let failure = Failure::NotWritten(error);
                let finding = finding_of(FindingId::StoreUnwritten, &failure);
                trouble.push(finding.agent(&agent.name).path(&store));
            }
            if let Some(error) = loaded.not_removed {
                let failure = Failure::NotRemoved(error);
                let finding = finding_of(FindingId::StoreUnwritten, &failure);
                trouble.push(finding.agent(&agent.name).path(&store));
            }
            ExaminedAgent {
                doc: loaded.doc,
                unopened: loaded.unopened,
                borrowed: loaded.borrowed,
                notices: loaded.notices,
                logins: loaded.logins,
                merged: merged_since(vault, &agent.name, before),
                queue: context.queue_of(&agent),
                agent,
            }
        }
        Err(failure) => {
            trouble.push(not_loaded(context, &agent, &failure));
            let as_filed = unsynced(context, agent);
            let state = vault.agent(&as_filed.agent.name);
            ExaminedAgent {
                doc: state.map_or(as_filed.doc, |state| state.doc),
                ..as_filed
            }
        }
    }
}

/// The finding for an agent that was not loaded: its store's fault, or the vault's.
fn not_loaded(context: &Context, agent: &AgentRef, failure: &Failure) -> Finding {
    let id = match failure {
        Failure::Sync(SyncError::DamagedStore { .. }) => FindingId::StoreCorrupt,
        Failure::Sync(SyncError::Unopened { .. }) => FindingId::VaultUnopened,
        Failure::Sync(SyncError::Vault(VaultError::Damaged { .. }))
        | Failure::Vault(VaultError::Damaged { .. }) => FindingId::VaultDamaged,
        Failure::Sync(SyncError::Vault(_)) | Failure::Vault(_) => FindingId::VaultUnusable,
        _ => FindingId::StoreUnusable,
    };
    let finding = finding_of(id, failure);
    match id.group() {
        "vault" => finding.path(&context.layout.vault_file),
        _ => finding.agent(&agent.name).path(agent.store_file()),
    }
}

/// The agent's state from its file, where no vault can load it.
fn unsynced(context: &Context, agent: AgentRef) -> ExaminedAgent {
    let read = StorePlace::of_agent(&agent.dir).and_then(|place| place.read());
    let doc = match read {
        Ok(StoreReading::Parsed { doc, .. }) => Arc::unwrap_or_clone(doc),
        _ => StoreDoc::default(),
    };
    ExaminedAgent {
        doc,
        unopened: Vec::new(),
        borrowed: BTreeMap::new(),
        notices: Vec::new(),
        logins: Vec::new(),
        merged: false,
        queue: context.queue_of(&agent),
        agent,
    }
}

/// Turns a failure into a finding, with its usual cause and remedy.
fn finding_of(id: FindingId, failure: &Failure) -> Finding {
    let lines = failure.lines();
    let why = lines
        .iter()
        .skip(1)
        .map(|line| line.trim().trim_start_matches("because: "));
    let message: Vec<&str> = lines
        .first()
        .map(String::as_str)
        .into_iter()
        .chain(why)
        .collect();
    let finding = Finding::new(id, message.join(": "));
    match failure.remedy("clawkeep doctor") {
        // It is shown after "fix:".
        Some(remedy) => finding.advice(remedy.trim().trim_start_matches("Fix it with: ")),
        None => finding,
    }
}
