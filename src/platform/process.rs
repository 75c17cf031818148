//! The identity of this process, and the protection of its memory.

#[cfg(unix)]
mod caller;
#[cfg(windows)]
pub(super) mod windows;

#[cfg(unix)]
use std::path::Path;
#[cfg(unix)]
use std::sync::OnceLock;

use crate::domain::from_outside;

/// The program that acts, as the record has it. `program` and `parent` are what processes claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The name of the program.
    pub program: String,
    /// The process id of the program.
    pub pid: u32,
    /// The effective user id; on Windows the last number of the user's SID.
    pub uid: u32,
    /// The name of the host.
    pub host: String,
    /// What started the process, if the system reports it: past shells and wrappers a program, a
    /// script, or a service of systemd.
    pub parent: Option<String>,
}

impl Actor {
    /// This process, which calls itself `program`.
    #[must_use]
    pub fn current(program: &str) -> Self {
        Self {
            program: from_outside(program),
            pid: std::process::id(),
            uid: effective_uid(),
            host: host_name(),
            parent: caller_name(),
        }
    }
}

/// The user whose rights this process has.
#[cfg(unix)]
#[must_use]
pub fn effective_uid() -> u32 {
    static UID: OnceLock<u32> = OnceLock::new(); // no process here changes it
    *UID.get_or_init(|| rustix::process::geteuid().as_raw())
}

/// Whether this process has another user's or group's rights than the one that started it, since
/// the program's file is setuid or setgid.
#[cfg(all(unix, feature = "cli"))]
#[must_use]
pub fn runs_for_another_user() -> bool {
    use rustix::process::{getegid, geteuid, getgid, getuid};
    getuid() != geteuid() || getgid() != getegid()
}

/// Elsewhere files give a process no rights.
#[cfg(all(not(unix), feature = "cli"))]
#[must_use]
pub fn runs_for_another_user() -> bool {
    false
}

/// The user whose rights this process has: the last number of the SID.
#[cfg(windows)]
#[must_use]
pub fn effective_uid() -> u32 {
    windows::effective_uid()
}

/// The user's security identifier, as text; `None` where users have none.
#[must_use]
pub fn user_sid() -> Option<String> {
    #[cfg(windows)]
    return windows::user_sid();
    #[cfg(not(windows))]
    None
}

/// The directory of Windows' own programs; `None` on other systems.
pub(super) fn system_directory() -> Option<std::path::PathBuf> {
    #[cfg(windows)]
    return windows::system_directory();
    #[cfg(not(windows))]
    None
}

/// Detaches the process from its console. The console's window closes if no other process uses it.
/// Nothing may be printed afterwards.
#[cfg(windows)]
pub fn leave_console() {
    windows::leave_console();
}

#[cfg(unix)]
fn host_name() -> String {
    from_outside(&rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(windows)]
fn host_name() -> String {
    windows::host_name().map_or_else(|| "localhost".to_owned(), |name| from_outside(&name))
}

#[cfg(unix)]
use caller::name as caller_name;

#[cfg(windows)]
fn caller_name() -> Option<String> {
    windows::parent_name().map(|name| from_outside(&name))
}

/// The processes of this user that run a program, or a script, of one of these names with `command`
/// for an argument or at the end of the name: ids and names, by id. Empty where there is no
/// `/proc`, as on Windows and macOS: that none is found does not mean that none runs.
#[must_use]
pub fn running_programs(names: &[&str], command: &str) -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let ids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let mut found: Vec<(u32, String)> = ids
        .filter(|id| *id != std::process::id())
        .filter_map(|id| Some((id, running_name(id, names, command)?)))
        .collect();
    found.sort();
    found
}

#[cfg(unix)]
fn running_name(id: u32, names: &[&str], command: &str) -> Option<String> {
    use std::os::unix::fs::MetadataExt as _;
    let dir = Path::new("/proc").join(id.to_string());
    if std::fs::metadata(&dir).ok()?.uid() != effective_uid() {
        return None;
    }
    let own = std::env::current_exe().ok();
    if own.is_some() && std::fs::read_link(dir.join("exe")).ok() == own {
        return None; // this program under another name
    }
    let line = std::fs::read(dir.join("cmdline")).ok()?;
    let words = line
        .split(|byte| *byte == 0)
        .flat_map(|word| word.split(|byte| *byte == b' ')) // a title that the process gave itself
        .map(|word| String::from_utf8_lossy(word).into_owned());
    let words: Vec<String> = words.collect();
    let script = words.get(1).map(String::as_str);
    let name = name_of_program(words.first()?, script, names)?;
    let runs_it =
        name.ends_with(&format!("-{command}")) || words.iter().any(|word| word == command);
    runs_it.then_some(name)
}

/// The name by which a command line runs a program: as itself, or as a script of its package.
#[cfg(unix)]
fn name_of_program(program: &str, script: Option<&str>, names: &[&str]) -> Option<String> {
    let name = Path::new(program).file_name()?.to_str()?;
    let is_wanted = |name: &str| {
        let rest = names.iter().find_map(|wanted| name.strip_prefix(wanted));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    if is_wanted(name) {
        return Some(from_outside(name));
    }
    let script = Path::new(script.filter(|_| caller::INTERPRETERS.contains(&name))?);
    let parts = script.iter().filter_map(|part| part.to_str());
    let mut parts = parts.filter(|part| is_wanted(part));
    parts.next_back().map(from_outside)
}

#[cfg(not(unix))]
fn running_name(_id: u32, _names: &[&str], _command: &str) -> Option<String> {
    None
}

/// Forbids a core dump of this process, which would have the secrets of its environment in it,
/// before anything can fail. A program that takes this one's place, or is started by it, keeps its
/// own limit on Linux. Best effort, as [`harden`].
pub fn forbid_core_dump() {
    #[cfg(target_os = "linux")]
    {
        // Ends with execve(2). Source: PR_SET_DUMPABLE(2const), core(5).
        let _ =
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
    }
    #[cfg(all(unix, not(target_os = "linux")))]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let maximum = getrlimit(Resource::Core).maximum;
        let current = Some(0);
        let _ = setrlimit(Resource::Core, Rlimit { current, maximum });
    }
}

/// How much stack the program's work may take, in bytes: what Rust gives a thread.
#[cfg(unix)]
const STACK: u64 = 2 << 20;

/// Does `work` on a stack of at least 2 MiB: in this thread, or where `ulimit -s` is below that, in
/// a thread of its own. Where none can be started, it is done here all the same.
pub fn with_stack<T: Send + 'static>(work: fn() -> T) -> T {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit};
        let is_small = getrlimit(Resource::Stack)
            .current
            .is_some_and(|limit| limit < STACK);
        if is_small && let Ok(thread) = super::threads::start_thread("main", work) {
            match thread.join() {
                Ok(done) => return done,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    }
    work()
}

/// Forbids core dumps and, on Linux, attaching to this process. To be called before the first key
/// is read. Best effort: where the system refuses, the process goes on.
pub fn harden() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // A refusal leaves the limits as the administrator set them, which is not ours to fail on.
        let _ = setrlimit(
            Resource::Core,
            Rlimit {
                current: Some(0),
                maximum: Some(0),
            },
        );
    }
    #[cfg(target_os = "linux")]
    {
        let _ =
            rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable);
        lock_all_memory();
    }
}

/// Keeps all memory of this process out of swap, where that is allowed without a limit. Under a
/// limit later allocations would fail: there only keys are kept, by [`Resident`].
#[cfg(target_os = "linux")]
fn lock_all_memory() {
    use rustix::mm::{MlockAllFlags, mlockall};
    use rustix::process::{Resource, getrlimit};
    use rustix::thread::{CapabilitySet, capabilities};
    let is_unlimited = getrlimit(Resource::Memlock).current.is_none();
    let may =
        |sets: rustix::thread::CapabilitySets| sets.effective.contains(CapabilitySet::IPC_LOCK);
    if is_unlimited || capabilities(None).is_ok_and(may) {
        // A page is locked once there is something in it: nothing is read in that is not used.
        let _ = mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE | MlockAllFlags::ONFAULT);
    }
}

/// How many files this process may have open; `None` where there is no such limit.
#[cfg(unix)]
#[must_use]
pub fn open_files_max() -> Option<usize> {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    usize::try_from(limit.current?).ok()
}

/// How many files this process may have open; `None` where there is no such limit.
#[cfg(not(unix))]
#[must_use]
pub fn open_files_max() -> Option<usize> {
    None
}

/// Keeps what a descriptor leads to from the programs that this process starts: the descriptor
/// itself, and others of the same file or pipe.
#[cfg(all(unix, feature = "cli"))]
pub fn keep_from_children(descriptor: u32) {
    use std::os::unix::fs::MetadataExt;
    let Ok(descriptor) = i32::try_from(descriptor) else {
        return; // no number of a descriptor
    };
    let file_of = |number: i32| {
        let found = std::fs::metadata(format!("/dev/fd/{number}")).ok()?;
        Some((found.dev(), found.ino()))
    };
    let kept = file_of(descriptor);
    let is_other =
        |number: &i32| *number != descriptor && (kept.is_none() || file_of(*number) != kept);
    let others: Vec<i32> = close_fds::iter_open_fds(FIRST_OWN)
        .filter(is_other)
        .collect();
    close_fds::set_fds_cloexec(FIRST_OWN, &others);
}

/// Keeps every descriptor but the standard streams from the programs that this process starts from
/// now on.
#[cfg(all(unix, feature = "cli"))]
pub fn keep_all_from_children() {
    close_fds::set_fds_cloexec(FIRST_OWN, &[]);
}

/// The first descriptor after the standard streams.
#[cfg(all(unix, feature = "cli"))]
const FIRST_OWN: i32 = 3;

/// Elsewhere descriptors are not handed down by number.
#[cfg(all(not(unix), feature = "cli"))]
pub fn keep_from_children(_descriptor: u32) {}

/// As [`keep_from_children`].
#[cfg(all(not(unix), feature = "cli"))]
pub fn keep_all_from_children() {}

/// Makes files that this process creates its user's alone, unless they are made otherwise; what was
/// asked for before.
#[cfg(unix)]
pub fn restrict_new_files() -> FileMask {
    FileMask(rustix::process::umask(rustix::fs::Mode::from_raw_mode(
        0o077,
    )))
}

/// Elsewhere the file system's own access lists decide.
#[cfg(not(unix))]
pub fn restrict_new_files() -> FileMask {
    FileMask()
}

/// Which rights new files are not to have.
#[cfg(unix)]
#[derive(Clone, Copy, Debug)]
pub struct FileMask(rustix::fs::Mode);

/// Which rights new files are not to have.
#[cfg(not(unix))]
#[derive(Clone, Copy, Debug)]
pub struct FileMask();

impl FileMask {
    /// Goes back to it, while a program is started.
    pub fn put_back_for<T>(self, start: impl FnOnce() -> T) -> T {
        #[cfg(unix)]
        let own = rustix::process::umask(self.0);
        let started = start();
        #[cfg(unix)]
        let _ = rustix::process::umask(own);
        started
    }
}

/// A secret that is kept from swap while it is here, if the system allows that. It does not move.
pub struct Resident<T> {
    // Dropped first, and wiped then, while its page is still locked.
    value: Box<T>,
    #[cfg(unix)]
    _lock: Option<region::LockGuard>,
}

impl<T> Resident<T> {
    /// Puts a value where it stays.
    pub fn new(value: T) -> Self {
        let value = Box::new(value);
        Self {
            #[cfg(unix)]
            _lock: region::lock(std::ptr::from_ref(&*value), size_of::<T>().max(1)).ok(),
            value,
        }
    }
}

impl<T> std::ops::Deref for Resident<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Resident<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.value.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_known() {
        let actor = Actor::current("t");
        assert_eq!(
            (actor.program.as_str(), actor.pid),
            ("t", std::process::id())
        );
        assert!(!actor.host.is_empty());
        if cfg!(windows) {
            assert_ne!(actor.uid, 0);
            let sid = user_sid().unwrap();
            assert!(sid.starts_with("S-1-5-") && sid.ends_with(&format!("-{}", actor.uid)));
            assert_ne!(actor.host, "localhost");
        }
    }

    #[cfg(unix)]
    #[test]
    fn gateways_are_known_by_how_they_are_run() {
        let names = ["clawdbot", "openclaw"];
        for (program, script, want) in [
            ("/usr/bin/clawdbot", None, Some("clawdbot")),
            ("openclaw-gateway", None, Some("openclaw-gateway")),
            (
                "node",
                Some("/l/node_modules/clawdbot/dist/entry.js"),
                Some("clawdbot"),
            ),
            ("/usr/bin/node", Some("/usr/bin/openclaw"), Some("openclaw")),
            ("node", Some("/home/a/x.js"), None),
            ("vim", Some("/home/a/clawdbot"), None),
            ("clawdbotx", None, None),
            ("node", None, None),
        ] {
            let found = name_of_program(program, script, &names);
            assert_eq!(found.as_deref(), want, "{program} {script:?}");
        }
    }
}
