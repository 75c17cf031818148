//! Other users, and machines set up in other ways: for tests that root alone can make.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::home::{Home, Run};

/// A user of the tests, and the group of the same number.
pub(crate) const ANA: u32 = 1000;
/// Another one.
pub(crate) const BOB: u32 = 1001;

/// Whether tests may make files of other users; says so where not.
#[allow(clippy::print_stderr, reason = "the test harness shows it")]
pub(crate) fn can_be_others(test: &str) -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: {test} needs root");
    }
    is_root
}

/// Gives a directory and everything in it to a user and group. Links are given, not what they lead
/// to.
pub(crate) fn give(path: &Path, uid: u32, gid: u32) {
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).unwrap() {
            let entry = entry.unwrap().path();
            let is_program =
                entry.file_name().is_some_and(|name| name == "clawkeep") && !entry.is_dir();
            if !is_program {
                give(&entry, uid, gid);
            }
        }
    }
    std::os::unix::fs::lchown(path, Some(uid), Some(gid)).unwrap();
}

/// Gives one file or directory to a user.
pub(crate) fn own(path: &Path, uid: u32) {
    chown(path, Some(uid), None).unwrap();
}

/// Every path below a directory that a user owns.
pub(crate) fn owned_by(uid: u32, dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let meta = fs::symlink_metadata(&path).unwrap();
        let is_program = path.file_name().is_some_and(|name| name == "clawkeep") && meta.is_file();
        if meta.uid() == uid && !is_program {
            found.push(path.clone());
        }
        if meta.is_dir() {
            found.extend(owned_by(uid, &path));
        }
    }
    found
}

/// A machine of its own for one run: mounts that nobody else sees, and who runs the command.
#[derive(Clone, Default)]
pub(crate) struct Machine {
    /// What is mounted first: lines of a shell script, in the home.
    setup: String,
    /// User and group, and further groups; root where there is none.
    user: Option<(u32, u32, &'static str)>,
    variables: Vec<(&'static str, String)>,
}

impl Machine {
    /// One with these accounts.
    pub(crate) fn with_accounts(home: &Home, passwd: &str, group: &str) -> Self {
        fs::write(home.at("passwd"), passwd).unwrap();
        fs::write(home.at("group"), group).unwrap();
        for name in ["passwd", "group"] {
            super::damage::chmod(&home.at(name), 0o644);
        }
        Self::default().mount(
            "mount --bind passwd /etc/passwd; mount --bind group /etc/group; \
             : > nss; [ ! -e /etc/nsswitch.conf ] || mount --bind nss /etc/nsswitch.conf",
        )
    }

    pub(crate) fn mount(mut self, script: &str) -> Self {
        self.setup.push_str(script);
        self.setup.push('\n');
        self
    }

    /// Further groups are a list of numbers with commas, or empty.
    pub(crate) fn user(mut self, uid: u32, gid: u32, groups: &'static str) -> Self {
        self.user = Some((uid, gid, groups));
        self
    }

    pub(crate) fn set(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.variables.push((name, value.into()));
        self
    }

    pub(crate) fn run(&self, home: &Home, args: &[&str]) -> Run {
        self.run_by(home, args, "exec")
    }

    /// As [`Machine::run`], where the script has something to do afterwards.
    pub(crate) fn run_and_stay(&self, home: &Home, args: &[&str]) -> Run {
        self.run_by(home, args, "")
    }

    fn run_by(&self, home: &Home, args: &[&str], exec: &str) -> Run {
        let built = home.command(args);
        // The build directory may be one that only root can enter.
        let program = home.at("clawkeep");
        if !program.exists() {
            fs::copy(built.get_program(), &program).unwrap();
        }
        let become_user = match self.user {
            None => String::new(),
            Some((uid, gid, "")) => format!("setpriv --reuid {uid} --regid {gid} --clear-groups"),
            Some((uid, gid, more)) => {
                format!("setpriv --reuid {uid} --regid {gid} --groups {more}")
            }
        };
        let script = format!(
            "set -e\n{}\n{exec} {become_user} \"$PROGRAM\" \"$@\"",
            self.setup
        );
        let mut command = Command::new("unshare");
        command
            .args(["--mount", "sh", "-c", &script, "sh"])
            .args(args)
            .env_clear()
            .env("PROGRAM", program)
            .env("HOME", home.path())
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .current_dir(home.path())
            .stdin(Stdio::null());
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        command.output().unwrap().into()
    }
}
