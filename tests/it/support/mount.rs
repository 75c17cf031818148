//! Real mounts under a test's own directory, unmounted when dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Signal, kill_process};

use super::damage::chmod;
use super::home::Home;
use super::skip::skip;

/// A FUSE file system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fuse {
    Bindfs,
    /// Beside an SFTP server that it starts itself, without a network.
    Sshfs,
    Gocryptfs,
    Mergerfs,
    Overlayfs,
}

/// A mount.
#[derive(Debug)]
pub(crate) struct Mount {
    point: PathBuf,
}

impl Mount {
    /// Mounts `source` at `point`; both exist. Reports why where that is not possible here.
    pub(crate) fn fuse(kind: Fuse, source: &Path, point: &Path) -> Option<Self> {
        let beside = |name: &str| {
            let path = source.with_extension(name);
            fs::create_dir_all(&path).unwrap();
            path.display().to_string()
        };
        let mut command = match kind {
            Fuse::Bindfs => {
                let mut command = Command::new("bindfs");
                command.args([source, point]);
                command
            }
            Fuse::Sshfs => {
                let server = source.with_extension("sh");
                fs::write(&server, "#!/bin/sh\nexec /usr/lib/openssh/sftp-server\n").unwrap();
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                fs::set_permissions(&server, mode).unwrap();
                let mut command = Command::new("sshfs");
                command
                    .arg(format!("host:{}", source.display()))
                    .arg(point)
                    .arg("-o")
                    .arg(format!("ssh_command={}", server.display()));
                command
            }
            Fuse::Gocryptfs => {
                let password = source.with_extension("password");
                fs::write(&password, "password\n").unwrap();
                let run = |args: &[&Path]| {
                    let mut command = Command::new("gocryptfs");
                    command.arg("-q").arg("-passfile").arg(&password).args(args);
                    command
                };
                let made = run(&[Path::new("-init"), Path::new("-scryptn=10"), source]).output();
                assert!(made.unwrap().status.success());
                run(&[source, point])
            }
            Fuse::Mergerfs => {
                let mut command = Command::new("mergerfs");
                let branches = format!("{}:{}", source.display(), beside("second"));
                command.arg(branches).arg(point);
                command
            }
            Fuse::Overlayfs => {
                let mut command = Command::new("fuse-overlayfs");
                let (upper, lower, work) = (source.display(), beside("lower"), beside("work"));
                command
                    .arg("-o")
                    .arg(format!("lowerdir={lower},upperdir={upper},workdir={work}"))
                    .arg(point);
                command
            }
        };
        let made = command.output().unwrap();
        if !made.status.success() {
            skip("fuse", &String::from_utf8_lossy(&made.stderr));
            return None;
        }
        let point = point.to_owned();
        Some(Self { point })
    }
}

impl Mount {
    /// Kills the program behind the mount, which stays.
    pub(crate) fn end_program(&self) {
        let point = self.point.as_os_str().as_encoded_bytes();
        let is_its = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            line.split(|byte| *byte == 0).any(|word| word == point)
        };
        let names = fs::read_dir("/proc").unwrap();
        let names = names.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let pids: Vec<i32> = names.filter_map(|name| name.parse().ok()).collect();
        let pid = pids.into_iter().find(is_its).unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
        while fs::metadata(&self.point).is_ok() {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let unmount = |command: &str, option: &str| {
            let done = Command::new(command).arg(option).arg(&self.point).output();
            done.is_ok_and(|done| done.status.success())
        };
        // Where a process of the test still has a file there, the mount goes with it.
        let _ = unmount("fusermount3", "-uz") || unmount("umount", "-l");
    }
}

/// Puts the state directory of a home onto a mount. What the mount shows lies in `disk`.
pub(crate) fn put_on(kind: Fuse, home: &Home) -> Option<Mount> {
    fs::rename(home.at(".clawdbot"), home.at("before")).unwrap();
    for dir in ["disk", ".clawdbot"] {
        fs::create_dir(home.at(dir)).unwrap();
        chmod(&home.at(dir), 0o700);
    }
    let mount = Mount::fuse(kind, &home.at("disk"), &home.at(".clawdbot"))?;
    let mut copy = Command::new("cp");
    copy.args(["-a", "before/.", ".clawdbot/"])
        .current_dir(home.path());
    assert!(copy.status().unwrap().success());
    Some(mount)
}
