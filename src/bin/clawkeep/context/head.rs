//! Keeps the head of the record outside the vault's directory.

use clawkeep::audit::Head;
use clawkeep::domain::VaultId;
use clawkeep::platform::syslog;
use clawkeep::vault::{UnlockedVault, Vault, VaultError};

use super::Context;
use super::head_file::{read_head, write_head};
use crate::failure::Failure;
use crate::terminal::program_name::PROGRAM;

impl Context {
    /// Refuses a vault whose record ends before its kept head: an older copy was put back, or the
    /// end was cut off. A restore that continued from an earlier event is accepted.
    pub(crate) fn check_end(&self, vault: &Vault) -> Result<(), Failure> {
        // The head is read first: a process that commits later also keeps its head later.
        let Ok(Some(kept)) = self.kept_head(vault) else {
            return Ok(());
        };
        if kept.vault != vault.id() || vault.has_event_of(&kept)? {
            return Ok(());
        }
        Err(Failure::OlderVault {
            vault: vault.path().to_owned(),
            seq: kept.seq.0,
            head: self.layout.head_file(vault.id()),
        })
    }

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
        let Ok(Some(head)) = vault.head() else { return };
        let path = self.layout.head_file(vault.id());
        if let Ok(Some(kept)) = self.kept_head(vault)
            && kept.vault == vault.id()
        {
            // If the record no longer matches the kept head, a newer head would hide that its end
            // was cut off.
            if !vault.has_event_of(&kept).unwrap_or(false) {
                self.ui.note(&format!(
                    "Warning: event {}, whose head is kept in {}, is not in the record any more. \
                     See: clawkeep audit verify",
                    kept.seq,
                    path.display()
                ));
                return;
            }
            if kept.seq >= head.seq {
                return; // another process wrote later and kept its head first
            }
        }
        if let Err(error) = write_head(&path, &head) {
            self.ui.note(&format!(
                "Note: the record's head was not kept in {}: {error}",
                path.display()
            ));
        }
        let sent = self
            .own()
            .map_err(|failure| failure.lines().join(" "))
            .and_then(|own| {
                let socket = own.syslog.as_deref();
                let send = |socket| syslog::send(socket, PROGRAM, &head.to_string());
                socket.map_or(Ok(()), |socket| {
                    let at = socket.display();
                    send(socket).map_err(|error| format!("{at}, as clawkeep.heads asks: {error}"))
                })
            });
        if let Err(error) = sent {
            self.ui.warn(&format!(
                "Warning: the record's head was not sent to the system log: {error}"
            ));
        }
    }

    /// Keeps the head of a vault that replaced another one, also over a later head: the record
    /// itself says that it continued from an earlier event.
    pub(crate) fn replace_head(&self, vault: &Vault) {
        let path = self.layout.head_file(vault.id());
        let kept = vault.head().map_err(|error| error.to_string());
        let kept = kept.and_then(|head| match head {
            Some(head) => write_head(&path, &head).map_err(|error| error.to_string()),
            None => Ok(()),
        });
        if let Err(error) = kept {
            let path = path.display();
            self.ui.warn(&format!(
                "Warning: the record's head was not kept in {path}: {error}"
            ));
        }
    }

    /// The head that the last writing command kept. `None` if the record says that it continued
    /// from an earlier event and the restore was interrupted before it kept the new head.
    pub(crate) fn kept_head(&self, vault: &Vault) -> Result<Option<Head>, Failure> {
        let kept_at_opening = *self.kept_at_opening.borrow();
        let kept = match kept_at_opening.filter(|_| vault.read_only().is_some()) {
            Some(kept) => kept,
            None => self.head_kept_of(vault.id())?,
        };
        Ok(kept.filter(|head| !vault.has_abandoned(head).unwrap_or(false)))
    }

    /// Like [`Context::kept_head`], regardless of the record.
    pub(crate) fn head_kept_of(&self, vault: VaultId) -> Result<Option<Head>, Failure> {
        read_head(self.layout.head_file(vault))
    }
}
