//! Who we are, and keeping others out of our memory.

use std::path::Path;

use crate::domain::from_outside;

/// Who does something, as the record has it. `program` and `parent` are what processes claim.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// The program's name.
    pub program: String,
    /// Its process id.
    pub pid: u32,
    /// Its effective user id; 0 where there are none.
    pub uid: u32,
    /// The host's name.
    pub host: String,
    /// The parent process's name, where the system tells.
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
            parent: parent_name(),
        }
    }
}

#[cfg(unix)]
pub(super) fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

#[cfg(not(unix))]
pub(super) fn effective_uid() -> u32 {
    0
}

#[cfg(unix)]
fn host_name() -> String {
    from_outside(&rustix::system::uname().nodename().to_string_lossy())
}

#[cfg(not(unix))]
fn host_name() -> String {
    "localhost".to_owned()
}

#[cfg(unix)]
fn parent_name() -> Option<String> {
    let pid = rustix::process::getppid()?.as_raw_nonzero();
    let name = std::fs::read(Path::new("/proc").join(pid.to_string()).join("comm")).ok()?;
    Some(from_outside(&String::from_utf8_lossy(&name)))
}

#[cfg(not(unix))]
fn parent_name() -> Option<String> {
    None
}

/// Forbids core dumps and, on Linux, attaching to this process. To be called before the first key is read.
/// Best effort: where the system refuses, the process goes on.
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
    }
}
