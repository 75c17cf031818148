//! The remedy for each cause for which the system refuses something. It depends on the cause alone.

#[cfg(any(windows, test))]
mod windows;

use clawkeep::internal::domain::shell_shown_path;
use std::path::Path;

use clawkeep::internal::platform::{Attribute, Cause, Trust};

use super::another::{move_away, name_what_is_there};

/// A file system with this much free space is not full, in bytes.
const ROOMY: u64 = 16 << 20;
/// The number of open files that clawkeep needs at most, and a usual limit.
const OPEN_FILES: u64 = 1024;

pub(crate) fn remedy_of(cause: &Cause) -> String {
    #[cfg(windows)]
    return windows::remedy_of(cause);
    #[cfg(not(windows))]
    remedy_on_unix(cause)
}

#[cfg_attr(windows, allow(dead_code, reason = "its commands are of Unix"))]
fn remedy_on_unix(cause: &Cause) -> String {
    match cause {
        Cause::NoSpace {
            mount,
            free: Some(free),
        } if *free >= ROOMY => format!(
            "The file system mounted at {0} had no room, and has {1} free now. Run the command \
             again; if that fails too, look for a quota: df -h {0}",
            shell_shown_path(mount),
            size(*free)
        ),
        Cause::NoSpace { mount, free } => format!(
            "The file system mounted at {0} is full{1}. Remove what is not needed there and run \
             the command again. To see how full it is: df -h {0}",
            shell_shown_path(mount),
            free.map_or(String::new(), |free| format!(" ({} free)", size(free)))
        ),
        Cause::ReservedSpace { mount } => format!(
            "The file system mounted at {0} is full for this user; only root may use the rest. \
             Remove what is not needed there and run the command again: df -h {0}",
            shell_shown_path(mount)
        ),
        Cause::NoInodes { mount } => format!(
            "The file system mounted at {0} has no inodes left: it takes no more files, however \
             much space is free. Remove files that are not needed there. To see how many there \
             are: df -i {0}",
            shell_shown_path(mount)
        ),
        Cause::Quota { mount } => format!(
            "Your quota on the file system mounted at {} is used up. Remove files of yours there, \
             or ask the administrator for a larger one. To see it: quota -s",
            shell_shown_path(mount)
        ),
        Cause::FileSize { limit: Some(limit) } => format!(
            "This process may write no file larger than {}. Raise that limit where it is started: \
             ulimit -f unlimited (LimitFSIZE=infinity in a unit)",
            size(*limit)
        ),
        Cause::FileSize { limit: None } => {
            "The file system takes no file of that size. Name a place on another one.".to_owned()
        }
        Cause::OpenFiles { limit, maximum } => format!(
            "This process has too many files open{}. Raise the limit where it is started: ulimit \
             -n {OPEN_FILES} (LimitNOFILE={OPEN_FILES} in a unit){}",
            limit.map_or(String::new(), |limit| format!(" (limit: {limit})")),
            match maximum {
                Some(maximum) if *maximum < OPEN_FILES =>
                    format!("; more than {maximum} takes the administrator"),
                _ => String::new(),
            }
        ),
        Cause::OpenFilesOfSystem => {
            "All programs together have too many files open. End some, or ask the administrator \
             to raise fs.file-max. To see the limit: cat /proc/sys/fs/file-nr"
                .to_owned()
        }
        Cause::ReadOnly { mount } => format!(
            "The file system mounted at {} is read-only. Name a place elsewhere, or have it \
             mounted writable; for a container, without :ro.",
            shell_shown_path(mount)
        ),
        Cause::MountedFile { path } => format!(
            "A file that is mounted by itself (docker -v FILE:FILE, subPath in Kubernetes) cannot \
             be replaced. Mount its directory instead: {}",
            shell_shown_path(path.parent().unwrap_or(path))
        ),
        Cause::InUse { path } => format!(
            "The kernel or another program uses it, as a mount point for one. To see which: fuser \
             -vm {}",
            shell_shown_path(path)
        ),
        Cause::Attribute {
            path,
            attribute,
            may_remove,
        } => attribute_remedy(path, *attribute, *may_remove),
        Cause::Denied { path } => {
            let dir = path.parent().unwrap_or(path);
            let dir = shell_shown_path(dir);
            let path = shell_shown_path(path);
            format!("See who owns it and who may use it: ls -ld {dir} {path}")
        }
        Cause::Directory { path } => format!("A directory is there. {}", move_away(path)),
        Cause::Special { path } => {
            format!("A socket, a FIFO or a device is there. {}", move_away(path))
        }
        Cause::NotADirectory { path } => format!(
            "{} is a file, where a directory is needed. {}",
            shell_shown_path(path),
            move_away(path)
        ),
        Cause::NameTooLong => "Name a place with a shorter path.".to_owned(),
        Cause::LinkLoop { path } => format!(
            "Its symbolic links lead in a circle. To see where: namei -l {}",
            shell_shown_path(path)
        ),
        Cause::Disconnected { mount } => format!(
            "The program behind the mount at {0} has ended. Unmount that, and have it mounted \
             again: fusermount3 -u {0}",
            shell_shown_path(mount)
        ),
        Cause::Stale { mount } => format!(
            "The network mount at {} has lost the file. Have it unmounted and mounted again.",
            shell_shown_path(mount)
        ),
        Cause::Device { mount } => format!(
            "The disk or network mount at {} fails. To see how, look in the kernel's log: \
             journalctl -k -n 20",
            shell_shown_path(mount)
        ),
        Cause::NoLocks { mount } => format!(
            "The file system mounted at {} gives no locks. Name a place on a local disk; on NFS, \
             see that its lock service runs.",
            shell_shown_path(mount)
        ),
        Cause::NoMemory => {
            "There is not enough memory. End other programs, or raise the limit: ulimit -v \
             unlimited (MemoryMax= in a unit, the memory limit of a container)"
                .to_owned()
        }
        Cause::OtherFileSystem { path } => format!(
            "It is on another file system than its directory. Mount the whole directory instead: \
             {}",
            shell_shown_path(path.parent().unwrap_or(path))
        ),
        Cause::Exists { path } => format!("Something is there. {}", move_away(path)),
        Cause::NotFound { path } => name_what_is_there(path),
        // A cause that a later version of the library distinguishes.
        _ => "Correct what the system refuses, and run the command again.".to_owned(),
    }
}

fn attribute_remedy(path: &Path, attribute: Attribute, may_remove: bool) -> String {
    let (name, letter) = match attribute {
        Attribute::Immutable => ("immutable", 'i'),
        Attribute::AppendOnly => ("append-only", 'a'),
    };
    let (place, path) = (path, shell_shown_path(path));
    if may_remove && Trust::current().may_suggest_moving(place) {
        return format!("{path} has the attribute {name}. Remove it with: chattr -{letter} {path}");
    }
    format!(
        "{path} has the attribute {name}. Ask the administrator to remove it. To see it: lsattr \
         -d {path}"
    )
}

/// A number of bytes for people, rounded down.
fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut left = bytes;
    let mut units = UNITS.into_iter();
    let mut unit = units.next().unwrap_or_default();
    for larger in units {
        if left < 1024 {
            break;
        }
        left /= 1024;
        unit = larger;
    }
    format!("{left} {unit}")
}

#[cfg(all(test, unix))] // df, chattr and mount
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn the_words_follow_the_cause() {
        let mount = PathBuf::from("/m");
        let path = PathBuf::from("/m/d/f");
        let attribute = |attribute, may_remove| Cause::Attribute {
            path: PathBuf::from("/m/d/f"),
            attribute,
            may_remove,
        };
        let no_space = |free| Cause::NoSpace {
            mount: PathBuf::from("/m"),
            free: Some(free),
        };
        let open_files = Cause::OpenFiles {
            limit: Some(8),
            maximum: Some(8),
        };
        // Every part between the bars is in the remedy.
        let cases = [
            (
                no_space(5000),
                "mounted at /m is full (4 KiB free) | df -h /m",
            ),
            (no_space(3 << 30), "had no room, and has 3 GiB free now"),
            (
                Cause::ReservedSpace {
                    mount: mount.clone(),
                },
                "only root | df -h /m",
            ),
            (
                Cause::NoInodes {
                    mount: mount.clone(),
                },
                "no inodes left | df -i /m",
            ),
            (
                Cause::Quota {
                    mount: mount.clone(),
                },
                "quota | quota -s",
            ),
            (
                Cause::FileSize { limit: Some(4096) },
                "larger than 4 KiB | ulimit -f | LimitFSIZE=",
            ),
            (
                open_files,
                "too many files open (limit: 8) | ulimit -n | LimitNOFILE= | more than 8",
            ),
            (
                Cause::OpenFilesOfSystem,
                "fs.file-max | /proc/sys/fs/file-nr",
            ),
            (
                Cause::ReadOnly {
                    mount: mount.clone(),
                },
                "mounted at /m is read-only",
            ),
            (
                Cause::MountedFile { path: path.clone() },
                "mounted by itself | Mount its directory instead: /m/d",
            ),
            (Cause::InUse { path: path.clone() }, "fuser -vm /m/d/f"),
            // not in the home directory
            (
                attribute(Attribute::Immutable, true),
                "immutable | Ask the administrator | lsattr -d /m/d/f",
            ),
            (
                attribute(Attribute::AppendOnly, false),
                "append-only | Ask the administrator | lsattr -d /m/d/f",
            ),
            (Cause::Denied { path: path.clone() }, "ls -ld /m/d /m/d/f"),
            (
                Cause::Directory { path: path.clone() },
                "A directory is there. Name another file.",
            ),
            (Cause::NotADirectory { path: path.clone() }, "is a file"),
            (
                Cause::Device {
                    mount: mount.clone(),
                },
                "kernel's log",
            ),
            (
                Cause::Stale {
                    mount: mount.clone(),
                },
                "network mount at /m",
            ),
            (
                Cause::Disconnected {
                    mount: mount.clone(),
                },
                "mount at /m has ended | fusermount3 -u /m",
            ),
            (
                Cause::Special { path: path.clone() },
                "socket | Name another file.",
            ),
            (Cause::NotFound { path }, "no directory /m/d"),
            (Cause::NoMemory, "not enough memory"),
            (Cause::NoLocks { mount }, "no locks"),
        ];
        for (cause, wanted) in cases {
            let remedy = remedy_of(&cause);
            for part in wanted.split(" | ") {
                assert!(remedy.contains(part), "{cause:?}: {remedy}");
            }
            let is_about_space =
                matches!(cause, Cause::NoSpace { .. } | Cause::ReservedSpace { .. });
            let is_said = remedy.contains("full");
            assert!(is_about_space || !is_said, "{cause:?}: {remedy}");
        }
    }
}
