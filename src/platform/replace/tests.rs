//! Another writer at every moment that a test can choose, and at those that only chance can.

#![cfg_attr(
    not(any(target_os = "linux", target_os = "macos")),
    allow(dead_code, reason = "other systems exchange no names")
)]

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::platform::read::read_regular;

/// A directory, a file in it that says `one`, and the name under which it is replaced.
fn one() -> (TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (path, temporary) = (dir.path().join("f"), dir.path().join("f.tmp"));
    fs::write(&path, "one").unwrap();
    (dir, path, temporary)
}

#[test]
fn replacing_leaves_no_temporary_and_keeps_the_mode() {
    let (_dir, path, temporary) = one();
    fs::write(&temporary, "left by a killed process").unwrap();
    replace_file(&path, &temporary, b"two").unwrap();
    let new = Replacement::begin(&path, &temporary, 9).unwrap();
    let replaced = new.finish(b"three", Some(b"two"), || Ok(true)).unwrap();
    assert_eq!(replaced, Replaced::Yes);
    assert_eq!(fs::read(&path).unwrap(), b"three");
    assert!(!temporary.exists());
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}

#[test]
fn a_failed_replacement_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("taken");
    fs::create_dir_all(path.join("full")).unwrap();
    assert!(replace_file(&path, &dir.path().join("t"), b"x").is_err());
    assert!(!dir.path().join("t").exists());
    assert!(path.join("full").is_dir());
}

#[test]
fn what_lies_under_the_temporary_name_is_not_overwritten() {
    let (_dir, path, temporary) = one();
    fs::write(&temporary, "another program's").unwrap();
    assert!(Replacement::begin(&path, &temporary, 9).is_err());
    assert_eq!(fs::read(&temporary).unwrap(), b"another program's");
}

/// What another program does between the last check and the exchange, and what it has written.
type Meanwhile<'m> = (&'m str, &'m dyn Fn(&Path), Option<&'m [u8]>);

#[cfg(any(target_os = "linux", target_os = "macos"))]
#[test]
fn what_is_written_after_the_last_check_is_kept_for_the_caller() {
    let rename = |path: &Path| {
        fs::write(path.with_extension("other"), "renamed").unwrap();
        fs::rename(path.with_extension("other"), path).unwrap();
    };
    let link = |path: &Path| {
        fs::rename(path, path.with_extension("target")).unwrap();
        std::os::unix::fs::symlink(path.with_extension("target"), path).unwrap();
    };
    let cases: [Meanwhile<'_>; 6] = [
        (
            "in place",
            &|path| fs::write(path, "longer").unwrap(),
            Some(b"longer"),
        ),
        ("by rename", &rename, Some(b"renamed")),
        ("half", &|path| fs::write(path, "o").unwrap(), Some(b"o")),
        ("emptied", &|path| fs::write(path, "").unwrap(), Some(b"")),
        ("linked", &link, Some(b"one")),
        ("removed", &|path| fs::remove_file(path).unwrap(), None),
    ];
    for (what, meanwhile, written) in cases {
        let (_dir, path, temporary) = one();
        let new = Replacement::begin(&path, &temporary, 3).unwrap();
        let check = || {
            let is_first = fs::read(&path).unwrap() == b"one";
            meanwhile(&path);
            Ok(is_first)
        };
        let replaced = new.finish(b"two", Some(b"one"), check).unwrap();
        assert_eq!(replaced, Replaced::No, "{what}");
        assert_eq!(fs::read(&temporary).ok().as_deref(), written, "{what}");
        let now = written.map(|_| &b"two"[..]);
        assert_eq!(fs::read(&path).ok().as_deref(), now, "{what}");
    }
}

#[test]
fn a_file_that_appears_after_the_last_check_stays() {
    let (_dir, path, temporary) = one();
    fs::remove_file(&path).unwrap();
    let new = Replacement::begin(&path, &temporary, 3).unwrap();
    let check = || {
        fs::write(&path, "new").unwrap();
        Ok(true)
    };
    assert_eq!(new.finish(b"two", None, check).unwrap(), Replaced::No);
    assert_eq!(fs::read(&path).unwrap(), b"new");
    assert!(!temporary.exists());
}

/// A writer that has opened (and emptied) the file before the exchange, and writes after it.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[test]
fn what_is_written_into_a_file_that_was_open_is_kept_too() {
    let (_dir, path, temporary) = one();
    let new = Replacement::begin(&path, &temporary, 3).unwrap();
    let mut open = None;
    let check = || {
        open = Some(File::create(&path).unwrap());
        Ok(true)
    };
    let replaced = new.finish(b"two", Some(b"one"), check).unwrap();
    assert_eq!(replaced, Replaced::No);
    open.unwrap().write_all(b"late").unwrap();
    assert_eq!(fs::read(&temporary).unwrap(), b"late");
}

/// Numbers, a line each, and a line that says that they are all there.
fn lines(numbers: &BTreeSet<u32>) -> Vec<u8> {
    let mut text: String = numbers.iter().map(|n| format!("{n}\n")).collect();
    text.push_str("end");
    text.into_bytes()
}

fn numbers(bytes: &[u8]) -> Option<BTreeSet<u32>> {
    let text = std::str::from_utf8(bytes).ok()?.strip_suffix("end")?;
    text.lines().map(|line| line.parse().ok()).collect()
}

/// Reads the file until it is whole: the other writer may be in the middle.
fn whole(path: &Path) -> (Vec<u8>, BTreeSet<u32>) {
    loop {
        let bytes = read_regular(path, 1 << 20).unwrap().unwrap().bytes.to_vec();
        if let Some(numbers) = numbers(&bytes) {
            return (bytes, numbers);
        }
        thread::yield_now();
    }
}

/// The other program adds a number at a time, by turns in place and by rename, and knows of no
/// lock. We add what we know, as `sync` does: examine what was left, merge, replace what was read.
#[cfg(any(target_os = "linux", target_os = "macos"))]
#[test]
fn beside_a_writer_without_a_lock_nothing_it_wrote_is_lost() {
    let (mut laps, mut refused, mut left, mut lost) = (0, 0, 0, 0);
    while left < 20 && laps < 1_000 {
        let met = beside_a_writer_without_a_lock();
        laps += 1;
        refused += met.refused;
        left += met.left;
        lost += met.lost;
    }
    // Else the two never met in the moment that counts, and nothing was tested.
    assert!(
        left > 0 && refused > left,
        "{refused} refused, {left} left in {laps} laps"
    );
    // What no exchange can see: a writer stopped between finding the file and emptying it.
    assert!(
        lost * 10 < usize::try_from(left).unwrap(),
        "{lost} of {left} meetings lost something"
    );
}

/// How often the other writer came in between.
struct Met {
    refused: u32,
    left: u32,
    lost: usize,
}

fn beside_a_writer_without_a_lock() -> Met {
    const WRITES: u32 = 200;
    // In memory, where there is such a place: a disk's fsync would leave time for few meetings.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
    let dir = dir.unwrap();
    let (path, temporary) = (dir.path().join("f"), dir.path().join("f.tmp"));
    fs::write(&path, lines(&BTreeSet::new())).unwrap();
    let is_over = AtomicBool::new(false);
    let mut known = BTreeSet::new();
    let mut met = Met {
        refused: 0,
        left: 0,
        lost: 0,
    };
    thread::scope(|scope| {
        scope.spawn(|| {
            for n in 0..WRITES {
                let (_, mut all) = whole(&path);
                all.insert(n);
                if n % 2 == 0 {
                    fs::write(&path, lines(&all)).unwrap();
                } else {
                    fs::write(dir.path().join("other"), lines(&all)).unwrap();
                    fs::rename(dir.path().join("other"), &path).unwrap();
                }
            }
            is_over.store(true, Ordering::Relaxed);
        });
        for round in WRITES.. {
            let last = is_over.load(Ordering::Relaxed);
            if temporary.exists() {
                met.left += 1;
                known.append(&mut whole(&temporary).1);
                fs::remove_file(&temporary).unwrap();
            }
            let (expected, mut found) = whole(&path);
            known.append(&mut found);
            if last {
                break;
            }
            known.retain(|n| *n < WRITES);
            known.insert(round); // so that there is always something to write
            let bytes = lines(&known);
            let new = Replacement::begin(&path, &temporary, bytes.len()).unwrap();
            let is_unchanged = || Ok(fs::read(&path).is_ok_and(|now| now == expected));
            let replaced = new.finish(&bytes, Some(&expected), is_unchanged).unwrap();
            met.refused += u32::from(replaced == Replaced::No);
        }
    });
    met.lost = (0..WRITES).filter(|n| !known.contains(n)).count();
    met
}

#[test]
fn a_temporary_file_takes_no_name_that_something_has() {
    let (dir, path, _) = one();
    let draft = || temporary_in(dir.path()).unwrap();
    let refused = persist_noclobber(draft(), &path).unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
    assert_eq!(fs::read(&path).unwrap(), b"one");
    persist_noclobber(draft(), &dir.path().join("free")).unwrap();
    let got = fs::read_dir(dir.path()).unwrap().count();
    assert_eq!(got, 2, "no draft stays");
}
