//! Keeps the head of the record outside the vault's directory.

use std::io;
use std::path::PathBuf;

use super::Workspace;
use super::head_file::{is_blank_head, read_head, write_head};
use crate::audit::Head;
use crate::client::error::ClientError;
use crate::config::OwnSettingsError;
use crate::domain::{Seq, VaultId};
use crate::platform::{exists, syslog};
use crate::vault::Vault;

/// The name under which heads are sent to the system log.
const LOGGED_AS: &str = "clawkeep";

/// Why the head of the record is not kept as it should be.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HeadProblem {
    /// The record no longer has the event whose head is kept. That head stays: a newer one would
    /// hide that the end of the record was cut off.
    #[error("event {seq}, whose head is kept in {}, is not in the record any more",
        path.display())]
    Gone {
        /// The event.
        seq: Seq,
        /// The file with the kept head.
        path: PathBuf,
    },
    /// The head could not be written.
    #[error("the record's head was not kept in {}: {source}", path.display())]
    NotKept {
        /// The file that keeps it.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What is kept is not a head of this vault. It stays: a new one would hide that the end of the
    /// record was cut off.
    #[error("the record's head was not kept: {0}")]
    Damaged(#[source] ClientError),
    /// The kept head was empty, as a power cut leaves it. The next event's head replaces it.
    #[error("the kept head {} was empty, as a power cut leaves it: nothing can prove that the \
        events after the last head that reached the disk are still there", path.display())]
    Emptied {
        /// The file with the kept head.
        path: PathBuf,
    },
    /// A restore replaced what was kept, which was not a head of this vault.
    #[error("{} was not a head of this vault, and was replaced", path.display())]
    Replaced {
        /// The file with the kept head.
        path: PathBuf,
    },
    /// The settings, which may ask for it to be sent to the system log, cannot be read.
    #[error("the record's head was not sent to the system log")]
    NotSent(#[source] OwnSettingsError),
    /// The system log did not take the head, which the settings ask to be sent there.
    #[error("the record's head was not sent to the system log: {}, as clawkeep.heads asks: {source}",
        path.display())]
    NotLogged {
        /// The socket.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

impl Workspace {
    /// Refuses a vault whose record ends before its kept head: an older copy was put back, or the
    /// end was cut off. A restore that continued from an earlier event is accepted.
    ///
    /// # Errors
    /// [`ClientError::OlderVault`]; [`ClientError::DamagedHead`] when what is kept is no head of
    /// this vault; and when the record or an existing head cannot be read.
    pub fn check_end(&self, vault: &Vault) -> Result<(), ClientError> {
        // The head is read first: a process that commits later also keeps its head later.
        let kept = match self.own_head(vault) {
            Ok(Some(kept)) => kept,
            Ok(None) => return Ok(()),
            Err(error @ ClientError::DamagedHead { .. }) => return Err(error),
            Err(error) if exists(&self.layout.head_file(vault.id())) => return Err(error),
            Err(_) => return Ok(()), // keeping the next head reports it
        };
        let _snapshot = vault.snapshot()?;
        if vault.has_event_of(&kept)? || vault.has_abandoned(&kept).unwrap_or(false) {
            return Ok(());
        }
        Err(ClientError::OlderVault {
            vault: vault.path().to_owned(),
            seq: kept.seq,
            head: self.layout.head_file(vault.id()),
        })
    }

    /// Keeps the record's head, which later shows whether the end was cut off. Nothing else fails
    /// if that fails.
    #[must_use]
    pub fn keep_head(&self, vault: &Vault) -> Vec<HeadProblem> {
        // The kept one first: a process that commits later also keeps its head later.
        let path = self.layout.head_file(vault.id());
        let kept = match self.own_head(vault) {
            Ok(kept) => kept,
            Err(error) if matches!(error, ClientError::DamagedHead { .. }) || exists(&path) => {
                return vec![HeadProblem::Damaged(error)];
            }
            Err(_) => None,
        };
        let snapshot = vault.snapshot();
        let is_in_record = |kept: &Head| vault.has_event_of(kept).unwrap_or(false);
        let known = kept.filter(is_in_record).map(|kept| kept.seq);
        if let Some(kept) = kept
            && known.is_none()
            && !vault.has_abandoned(&kept).unwrap_or(false)
        {
            return vec![HeadProblem::Gone {
                seq: kept.seq,
                path,
            }];
        }
        // Another process may have written later, and kept its head first.
        let is_newer = |head: &Head| known < Some(head.seq);
        if !vault
            .head()
            .ok()
            .flatten()
            .is_some_and(|head| is_newer(&head))
        {
            return Vec::new();
        }
        drop(snapshot);
        let head = match vault.durable_head() {
            Ok(Some(head)) if is_newer(&head) => head,
            Ok(_) => return Vec::new(),
            Err(error) => {
                let source = error.into();
                return vec![HeadProblem::NotKept { path, source }];
            }
        };
        let is_blank = kept.is_none() && is_blank_head(&path);
        let kept = match write_head(&path, &head) {
            Ok(()) => is_blank.then_some(HeadProblem::Emptied { path }),
            Err(error) => Some(HeadProblem::NotKept {
                path,
                source: error.into(),
            }),
        };
        kept.into_iter().chain(self.send(&head).err()).collect()
    }

    /// Sends a head to the system log, if the settings ask for that.
    fn send(&self, head: &Head) -> Result<(), HeadProblem> {
        let own = self.own().map_err(HeadProblem::NotSent)?;
        let Some(path) = own.syslog.clone() else {
            return Ok(());
        };
        syslog::send(&path, LOGGED_AS, &head.to_string())
            .map_err(|source| HeadProblem::NotLogged { path, source })
    }

    /// Keeps the head of a vault that replaced another one, also over a later head: the record
    /// itself says that it continued from an earlier event.
    ///
    /// # Errors
    /// When the record cannot be read, or the head cannot be written;
    /// [`HeadProblem::Replaced`] when it was, over what was no head of this vault.
    pub fn replace_head(&self, vault: &Vault) -> Result<(), HeadProblem> {
        let path = self.layout.head_file(vault.id());
        let is_damaged = matches!(self.own_head(vault), Err(ClientError::DamagedHead { .. }));
        let kept = vault.head().map_err(|error| error.into());
        let kept = kept.and_then(|head| match head {
            Some(head) => write_head(&path, &head).map_err(|error| error.into()),
            None => Ok(()),
        });
        match kept {
            Ok(()) if is_damaged => Err(HeadProblem::Replaced { path }),
            Ok(()) => Ok(()),
            Err(source) => Err(HeadProblem::NotKept { path, source }),
        }
    }

    /// Returns whether the kept head is empty, as a power cut can leave it.
    #[must_use]
    pub fn is_head_blank(&self, vault: &Vault) -> bool {
        is_blank_head(&self.layout.head_file(vault.id()))
    }

    /// Returns the head that was kept last, if it is one of this vault.
    fn own_head(&self, vault: &Vault) -> Result<Option<Head>, ClientError> {
        let other = match self.stored_head(vault) {
            Ok(Some(head)) if head.vault != vault.id() => Some(head.vault),
            Err(ClientError::BadHead { .. }) => None,
            other => return other,
        };
        Err(ClientError::DamagedHead {
            path: self.layout.head_file(vault.id()),
            other,
        })
    }

    /// Returns the head that was kept last. `None` if the record says that it continued from an
    /// earlier event and the restore was interrupted before it kept the new head.
    ///
    /// # Errors
    /// When what is kept cannot be read, or is no head.
    pub fn kept_head(&self, vault: &Vault) -> Result<Option<Head>, ClientError> {
        let kept = self.stored_head(vault)?;
        Ok(kept.filter(|head| !vault.has_abandoned(head).unwrap_or(false)))
    }

    /// Returns the head that was kept last, also one that a restore abandoned.
    fn stored_head(&self, vault: &Vault) -> Result<Option<Head>, ClientError> {
        let kept_at_opening = *self.kept_at_opening();
        match kept_at_opening.filter(|_| vault.read_only().is_some()) {
            Some(kept) => Ok(kept),
            None => self.head_kept_of(vault.id()),
        }
    }

    /// Like [`Workspace::kept_head`], regardless of the record.
    ///
    /// # Errors
    /// As there.
    pub fn head_kept_of(&self, vault: VaultId) -> Result<Option<Head>, ClientError> {
        read_head(self.layout.head_file(vault))
    }
}
