//! Tests, or parts of tests, that this machine cannot run. Each is reported.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::process::{Command, Stdio};

/// Reports that the running test, or a part of it, is skipped. `lacks` names what this machine
/// does not have and no package brings: `tests/run.sh` fails CI for a name that it does not list.
///
/// Prints, and appends to the file that `CLAWKEEP_SKIPPED` names: nextest does not show what a
/// passing test prints.
#[allow(clippy::print_stderr, reason = "a skipped test is reported")]
pub(crate) fn skip(lacks: &str, why: &str) {
    let thread = std::thread::current();
    let test = std::env::var("NEXTEST_TEST_NAME").ok();
    let test = test.as_deref().or(thread.name()).unwrap_or("a test");
    eprintln!("skipped: {test}: {why}");
    if let Some(path) = std::env::var_os("CLAWKEEP_SKIPPED") {
        let mut list = OpenOptions::new().append(true).open(path).unwrap();
        let why = why.trim().replace('\n', "; ");
        list.write_all(format!("{lacks}\t{test}: {why}\n").as_bytes())
            .unwrap();
    }
}

/// Whether the tests run as root. Without root, reports that what `why` says is skipped.
#[cfg(unix)]
pub(crate) fn is_root_or_skip(why: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        skip("root", why);
    }
    is_root
}

/// `unshare` with new namespaces, mapped to root for other users. Where the kernel refuses them
/// (in a container, in a chroot), reports that and returns nothing.
#[cfg(unix)]
pub(crate) fn unshare(namespaces: &[&str]) -> Option<Command> {
    let new = || {
        let mut command = Command::new("unshare");
        command.args(namespaces).stdin(Stdio::null());
        if !rustix::process::geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command
    };
    let probe = new().arg("true").output().unwrap();
    if !probe.status.success() {
        skip("namespaces", &String::from_utf8_lossy(&probe.stderr));
        return None;
    }
    Some(new())
}
