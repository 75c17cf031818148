//! Keeps the head of the record outside the vault's directory, and reports what prevents it.

use clawkeep::internal::client::HeadProblem;
use clawkeep::internal::vault::{UnlockedVault, Vault, VaultError};

use super::Context;
use crate::failure::Failure;

impl Context {
    /// Runs `work` on the vault, and keeps the record's head.
    pub(crate) fn with_new_head<T>(
        &self,
        vault: &mut UnlockedVault,
        work: impl FnOnce(&mut UnlockedVault) -> Result<T, VaultError>,
    ) -> Result<T, Failure> {
        let done = work(vault)?;
        self.keep_head(vault);
        Ok(done)
    }

    /// Keeps the record's head, which later shows whether the end was cut off. A failure is only a
    /// warning.
    pub(crate) fn keep_head(&self, vault: &Vault) {
        for problem in self.workspace.keep_head(vault) {
            match problem {
                HeadProblem::Gone { .. } | HeadProblem::Damaged(_) => self
                    .ui
                    .note(&format!("Warning: {problem}. See: clawkeep audit verify")),
                HeadProblem::NotKept { .. } => self.ui.note(&format!("Note: {problem}")),
                HeadProblem::NotSent(error) => self.ui.warn(&format!(
                    "Warning: the record's head was not sent to the system log: {}",
                    Failure::from(error).lines().join(" ")
                )),
                _ => self.ui.warn(&format!("Warning: {problem}")),
            }
        }
    }

    /// Keeps the head of a vault that replaced another one, also over a later head. A failure is
    /// only a warning.
    pub(crate) fn replace_head(&self, vault: &Vault) {
        if let Err(problem) = self.workspace.replace_head(vault) {
            self.ui.warn(&format!("Warning: {problem}"));
        }
    }
}
