//! What the operating system provides: clock, files, locks, keychain, process identity.
//!
//! The only place that names system calls or the keychain crates. Reads no environment variable:
//! the binary does.

#[cfg(any(windows, test))]
mod access_list;
mod cause;
mod clock;
#[cfg(feature = "alerts")]
mod desktop;
mod file;
mod file_error;
#[cfg(feature = "watch")]
mod follow;
mod kernel_file;
mod key_variables;
pub mod keychain;
mod lock;
pub mod openclaw;
mod paths;
mod peer;
mod permissions;
mod process;
mod programs;
mod read;
mod replace;
mod run;
mod runtime_dir;
mod sharing;
mod stamp;
mod storage;
pub mod syslog;
mod threads;
mod trust;

pub use cause::kinds::{Attribute, Cause};
#[cfg(unix)]
pub(crate) use cause::unix::{Needs, why_database_fails, why_temporary_files_fail};
#[cfg(windows)]
pub(crate) use cause::windows::why_database_fails;
pub use clock::Clock;
#[cfg(feature = "alerts")]
pub use desktop::{DesktopFault, Urgency, show};
pub use file::{
    RemoveOutcome, check_replaceable, create_private_dir, create_private_file, remove_empty_dir,
    remove_if_present, rename_durably, sync_dir, sync_file, sync_file_data,
};
pub use file_error::FileError;
pub(crate) use file_error::absent;
#[cfg(feature = "watch")]
pub use follow::{FollowError, Followed, Follower, Touch, Touched};
pub use key_variables::{
    CREDENTIALS_VARIABLE, KEY_FILE_VARIABLE, OWN_CREDENTIALS, PASSPHRASE_FILE_VARIABLE,
    withhold_key_variables,
};
pub use keychain::{Keychain, KeychainError};
pub use lock::{DirectoryLock, FileLock, LockDir, LockError, LockFault, LockState, QueueLock};
pub use paths::{
    canonicalize, exists, is_present, is_same_file, removal_command, resolve_existing,
    resolve_link, resolve_link_until,
};
pub use peer::{PeerOwner, peer_owner};
pub use permissions::{Permissions, close_to_others, open_to_readers};
#[cfg(windows)]
pub use process::leave_console;
pub use process::{
    Actor, FileMask, Resident, effective_uid, forbid_core_dump, harden, open_files_max,
    restrict_new_files, running_programs, user_sid, with_stack,
};
#[cfg(feature = "cli")]
pub use process::{keep_all_from_children, keep_from_children, runs_for_another_user};
pub use programs::{is_program_path, program_command, program_names, system_program};
pub use read::{Contents, open_regular, read_regular};
pub use replace::{
    Found, Replaced, Replacement, persist, persist_noclobber, put_link, rename_to_free_name,
    replace_file, still_has, temporary_dir_in, temporary_in, withdraw, write_whole,
};
#[cfg(windows)]
pub use run::without_console;
pub use run::{Answer, RunFault, all_output_within, feed_within, output_within};
pub use runtime_dir::RuntimeDir;
pub use stamp::Stamp;
pub use storage::kinds::{SharedBy, SharedStorage, Storage};
#[cfg(feature = "alerts")]
pub use threads::run_all;
pub(crate) use threads::run_all_alongside;
pub use threads::{PROCESS_LIMITS, start_thread};
pub use trust::access::{Access, Admitted};
#[cfg(feature = "cli")]
pub use trust::check_handed_over;
pub use trust::mounts::{MountOf, is_mounted_file, mount_of};
pub use trust::refusal::{Fault, Refusal};
pub use trust::{Trust, check_trusted, is_mounted_secret, read_own, read_secret, read_trusted};
