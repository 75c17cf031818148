//! The lock of the process that watches a vault.

use clawkeep::internal::platform::{FileLock, create_private_dir};

use crate::context::Context;
use crate::failure::Failure;

/// Takes the lock of the process that watches the vault.
///
/// # Errors
/// [`Failure::Watched`] when another process has it.
pub(crate) fn lock(context: &Context) -> Result<FileLock, Failure> {
    let dir = context.lock_dir();
    let path = dir.join("watch");
    create_private_dir(&dir)?;
    let Some(lock) = FileLock::try_take(&path)? else {
        let other = std::fs::read_to_string(&path).unwrap_or_default();
        let vault = context.layout.shorten_home(&context.layout.vault_file);
        let what = format!("{vault} is watched by another process ({})", other.trim());
        return Err(Failure::Watched { what });
    };
    // The content only names the process: the lock is what counts.
    let _ = lock.note(&format!("{}\n", std::process::id()));
    Ok(lock)
}
