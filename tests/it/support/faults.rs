//! System calls that fail: the n-th of a class, or all from there on, in one run of the program.
//!
//! How: `faults.c`, compiled with `cc` and preloaded. Processor: x86-64 (its registers are named
//! there).

use std::fmt;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use rustix::io::Errno;
use tempfile::TempDir;

use super::home::{Home, Run};

/// What a call is for. The order is that of `enum class` in `faults.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    Write,
    Sync,
    Rename,
    /// Of bytes of a file, as SQLite locks.
    Lock,
    /// Of a whole file, as we lock.
    FileLock,
    /// To write, or to make a file.
    Open,
    Truncate,
    Remove,
    MakeDir,
    /// Modes, owners and times.
    Mode,
    Read,
    /// Of shared memory: the index of the write-ahead log.
    Map,
    /// Writing to stdout.
    Answer,
}

use Class::{
    Answer, FileLock, Lock, MakeDir, Map, Mode, Open, Read, Remove, Rename, Sync, Truncate, Write,
};

impl Class {
    fn bit(self) -> u32 {
        1 << (self as u32)
    }
}

/// What fails: calls of these classes, counted together, with that error.
#[derive(Clone, Copy)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    pub(crate) classes: &'static [Class],
    error: Errno,
    /// Half of what was to be written is.
    is_half: bool,
}

/// Every kind of failure that the runs make.
pub(crate) const KINDS: &[Kind] = &[
    kind("write ENOSPC", &[Write], Errno::NOSPC),
    kind("write EIO", &[Write], Errno::IO),
    Kind {
        is_half: true,
        ..kind("half a write ENOSPC", &[Write], Errno::NOSPC)
    },
    // A full disk, as a program meets it.
    kind(
        "no room ENOSPC",
        &[Write, Open, MakeDir, Rename],
        Errno::NOSPC,
    ),
    // A file system that was mounted read-only on the way.
    kind(
        "read-only EROFS",
        &[Write, Open, MakeDir, Rename, Remove, Truncate, Mode],
        Errno::ROFS,
    ),
    // A quota, which one call meets and the next one may not.
    kind("write EDQUOT", &[Write], Errno::DQUOT),
    kind("sync EIO", &[Sync], Errno::IO),
    kind("sync ENOSPC", &[Sync], Errno::NOSPC),
    kind("rename EACCES", &[Rename], Errno::ACCESS),
    kind("rename EIO", &[Rename], Errno::IO),
    kind("rename ENOSPC", &[Rename], Errno::NOSPC),
    // A file that is a mount of its own; one that `chattr +i` protects.
    kind("rename EBUSY", &[Rename], Errno::BUSY),
    kind("rename EPERM", &[Rename], Errno::PERM),
    kind("lock EAGAIN", &[Lock], Errno::AGAIN),
    kind("lock ENOLCK", &[Lock], Errno::NOLCK),
    kind("lock EIO", &[Lock], Errno::IO),
    kind("file lock EAGAIN", &[FileLock], Errno::AGAIN),
    kind("file lock ENOLCK", &[FileLock], Errno::NOLCK),
    kind("open EACCES", &[Open], Errno::ACCESS),
    kind("open ENOSPC", &[Open], Errno::NOSPC),
    kind("open EIO", &[Open], Errno::IO),
    kind("open EMFILE", &[Open], Errno::MFILE),
    kind("open EROFS", &[Open], Errno::ROFS),
    kind("truncate EIO", &[Truncate], Errno::IO),
    kind("truncate ENOSPC", &[Truncate], Errno::NOSPC),
    kind("remove EACCES", &[Remove], Errno::ACCESS),
    kind("remove EIO", &[Remove], Errno::IO),
    kind("mkdir EACCES", &[MakeDir], Errno::ACCESS),
    kind("mkdir ENOSPC", &[MakeDir], Errno::NOSPC),
    kind("mode EPERM", &[Mode], Errno::PERM),
    kind("read EIO", &[Read], Errno::IO),
    kind("map ENOMEM", &[Map], Errno::NOMEM),
    kind("answer EIO", &[Answer], Errno::IO),
    kind("answer ENOSPC", &[Answer], Errno::NOSPC),
];

const fn kind(name: &'static str, classes: &'static [Class], error: Errno) -> Kind {
    Kind {
        name,
        classes,
        error,
        is_half: false,
    }
}

impl Kind {
    /// Whether it looks as if another process had a lock.
    pub(crate) fn is_busy(&self) -> bool {
        self.error == Errno::AGAIN
    }

    /// Whether calls of a class fail.
    pub(crate) fn has(&self, class: Class) -> bool {
        self.classes.contains(&class)
    }
}

/// One fault of one run.
#[derive(Clone, Copy)]
pub(crate) struct Fault {
    pub(crate) kind: &'static Kind,
    /// Which call, from 1; 0 for none.
    pub(crate) nth: u32,
    /// And every one after it.
    pub(crate) stays: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let until = if self.stays { " and all after it" } else { "" };
        write!(f, "{}, call {}{until}", self.kind.name, self.nth)
    }
}

/// What was seen of the calls of a run.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Calls of the fault's classes.
    pub(crate) matched: u32,
    /// Those that failed.
    pub(crate) hit: u32,
    /// On which file the first of them was.
    pub(crate) place: String,
    /// Where none was to fail: which call on which file each of the matched ones is, as a hash.
    pub(crate) sites: Vec<u32>,
}

/// The numbers before the place in `struct control` of `faults.c`.
const NUMBERS: usize = 8;
/// How many calls are told apart by their sites. The same as in `faults.c`.
const SITES: usize = 8192;
const SITES_AT: usize = NUMBERS * 4 + 256;
const CONTROL_BYTES: usize = SITES_AT + SITES * 4;

/// The compiled library. Kept as long as the process.
fn library() -> &'static Path {
    static BUILT: OnceLock<(TempDir, PathBuf)> = OnceLock::new();
    let (_, path) = BUILT.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("faults.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/faults.c");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O2", "-Wall", "-Wextra", "-Werror"])
            .arg("-o")
            .args([&path, &source])
            .output()
            .unwrap();
        assert!(compiled.status.success(), "{compiled:?}");
        (dir, path)
    });
    path
}

/// Runs a command in which `fault` happens.
pub(crate) fn run_with(mut command: Command, fault: &Fault) -> (Run, Seen) {
    let Fault { kind, nth, stays } = *fault;
    let mask = kind
        .classes
        .iter()
        .fold(0, |mask, class| mask | class.bit());
    // Whoever waits for a lock of ours goes by the clock, and would do so without a pause.
    let hastens = !kind.has(FileLock);
    let error = kind.error.raw_os_error().unsigned_abs();
    let asked = [
        mask,
        nth,
        error,
        stays.into(),
        kind.is_half.into(),
        hastens.into(),
    ];
    let mut bytes: Vec<u8> = asked.into_iter().flat_map(u32::to_ne_bytes).collect();
    bytes.resize(CONTROL_BYTES, 0);
    let control = tempfile::NamedTempFile::new().unwrap();
    fs::write(control.path(), bytes).unwrap();
    command
        .env("LD_PRELOAD", library())
        .env("FAULTS", control.path());
    let run = command.output().unwrap().into();
    let bytes = fs::read(control.path()).unwrap();
    let number = |at: usize| u32::from_ne_bytes(bytes[at * 4..at * 4 + 4].try_into().unwrap());
    let matched = number(6);
    let told = if nth == 0 { matched as usize } else { 0 };
    assert!(told <= SITES, "{told} calls: raise SITES");
    let sites = (0..told).map(|call| number(SITES_AT / 4 + call)).collect();
    let place = bytes[NUMBERS * 4..].split(|byte| *byte == 0).next();
    let seen = Seen {
        matched,
        hit: number(7),
        place: String::from_utf8_lossy(place.unwrap_or_default()).into_owned(),
        sites,
    };
    (run, seen)
}

/// Everything in a home, to be brought back into the same place after each run: the vault knows its
/// stores by their paths.
pub(crate) struct Kept(Vec<(PathBuf, Option<Vec<u8>>, u32)>);

impl Kept {
    pub(crate) fn of(home: &Home) -> Self {
        fn walk(dir: &Path, out: &mut Vec<(PathBuf, Option<Vec<u8>>, u32)>) {
            for entry in fs::read_dir(dir).unwrap() {
                let path = entry.unwrap().path();
                let meta = fs::symlink_metadata(&path).unwrap();
                let mode = meta.permissions().mode();
                if meta.is_dir() {
                    out.push((path.clone(), None, mode));
                    walk(&path, out);
                } else {
                    let bytes = fs::read(&path).unwrap();
                    out.push((path, Some(bytes), mode));
                }
            }
        }
        let mut kept = Vec::new();
        walk(home.path(), &mut kept);
        Self(kept)
    }

    pub(crate) fn bring_back(&self, home: &Home) {
        for entry in fs::read_dir(home.path()).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                fs::remove_dir_all(&path).unwrap();
            } else {
                fs::remove_file(&path).unwrap();
            }
        }
        for (path, bytes, mode) in &self.0 {
            match bytes {
                None => fs::create_dir(path).unwrap(),
                Some(bytes) => fs::write(path, bytes).unwrap(),
            }
            fs::set_permissions(path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
}
