//! What sealed credentials and snapshots are bound to.

use crate::crypto::Aad;
use crate::domain::{AgentName, VaultId};

/// A profile's plain columns, to which its sealed entry is bound.
pub(in crate::vault) struct Plain<'a> {
    pub(in crate::vault) agent: &'a str,
    pub(in crate::vault) profile: &'a str,
    pub(in crate::vault) provider: &'a str,
    pub(in crate::vault) kind: &'a str,
    pub(in crate::vault) owner: &'a str,
    pub(in crate::vault) expires: Option<i64>,
    pub(in crate::vault) generation: i64,
}

impl Plain<'_> {
    pub(in crate::vault) fn aad(&self, vault: VaultId, table: &str, row: i64) -> Aad {
        Aad::new(vault, table, "sealed")
            .number(row)
            .text(self.agent)
            .text(self.profile)
            .text(self.kind)
            .text(self.provider)
            .text(self.owner)
            .optional(self.expires)
            .number(self.generation)
    }
}

pub(in crate::vault) fn snapshot_aad(vault: VaultId, path: &str, agent: &AgentName) -> Aad {
    Aad::new(vault, "exports", "snapshot")
        .text(path)
        .text(agent.as_str())
}
