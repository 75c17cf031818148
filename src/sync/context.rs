//! What every load of an engine goes by: where logins are read, who acts, when, and by which rules.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::logins::decide::Rules;
use super::logins::sources::LoginSources;
use crate::config::{AgentRef, ExportMode};
use crate::domain::{Credential, Endpoint, debug_as};
use crate::platform::{Actor, Clock};

/// Whether a load reads other programs' logins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// It reads them and imports what is new.
    On,
    /// It does not (`--no-sync`). The store file is reconciled all the same.
    Off,
}

/// An agent that is loaded, and whether other programs' logins are read for it.
#[derive(Clone, Copy, Debug)]
pub struct SyncedAgent<'a> {
    /// The agent.
    pub agent: &'a AgentRef,
    /// Whether other programs' logins are read.
    pub mode: SyncMode,
}

/// When a load writes the store file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewrite {
    /// Only if the file says something else than the vault.
    IfChanged,
    /// If any byte of the file differs from what would be written.
    Always,
}

/// Says which endpoint a login is pinned to when it comes: where its provider issues tokens.
pub type Endpoints<'e> = &'e dyn Fn(&Credential<'_>) -> Option<Endpoint>;

/// How the stores of agents are exported.
#[derive(Clone, Copy)]
pub struct ExportPlan<'e> {
    /// The mode of an agent's export. `None` if the settings are unreadable: the store stays.
    pub mode: &'e dyn Fn(&AgentRef) -> Option<ExportMode>,
    /// What `$XDG_RUNTIME_DIR` names, if it is set.
    pub runtime_dir: Option<&'e Path>,
}

debug_as!(ExportPlan<'_>, "ExportPlan({:?})", it => it.runtime_dir);

/// What every load goes by, whichever agent it is of.
#[derive(Clone)]
pub struct LoadContext<'e> {
    /// Where other programs keep the logins to import.
    pub sources: &'e LoginSources<'e>,
    /// Who acts, for the audit record.
    pub actor: &'e Actor,
    /// The clock that expiry and cooldowns are compared with.
    pub clock: Clock,
    /// The directory of the locks between our own processes.
    pub lock_dir: PathBuf,
    /// What new logins are pinned to; without it, the first refresh pins them.
    pub endpoints: Option<Endpoints<'e>>,
    /// How stores are exported; without it, as files where the gateway reads them.
    pub export: Option<ExportPlan<'e>>,
    /// How long a load waits for a store's locks; without it, as long as another program or a
    /// refresh may need them. A caller that retries by itself sets a short time.
    pub patience: Option<Duration>,
    /// Which rules decide about other programs' logins.
    pub rules: Rules,
    /// The profile that its source's login replaces without further checks.
    pub adopts: Option<String>,
}
