#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "allow-unwrap-in-tests covers functions marked #[test], not what they call"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;

fn chmod(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
}

/// A home, and the policy of its user.
fn home() -> (tempfile::TempDir, Trust) {
    let dir = tempfile::tempdir().unwrap();
    let trust = Trust::of_user(dir.path().to_owned(), Vec::new());
    (dir, trust)
}

/// The policy afresh: what was found of directories is not asked for again within a second.
fn fault(trust: &Trust, path: &Path, access: Access) -> Option<(Fault, PathBuf)> {
    let fresh = Trust::of_user(trust.home.clone().unwrap(), trust.by_environment.clone());
    match fresh.check(path, access) {
        Ok(_) => None,
        Err(FileError::Untrusted(refusal)) => Some((refusal.fault, refusal.path.clone())),
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn the_file_and_each_directory_above_it_count() {
    let (dir, trust) = home();
    let below = dir.path().join("a/b");
    fs::create_dir_all(&below).unwrap();
    let file = below.join("f");
    fs::write(&file, "x").unwrap();
    chmod(&file, 0o644);
    assert_eq!(fault(&trust, &file, Access::Read), None);
    let readable = Some((Fault::Readable, file.clone()));
    assert_eq!(fault(&trust, &file, Access::Secret), readable);
    for path in [
        file.clone(),
        below.clone(),
        dir.path().join("a"),
        dir.path().to_owned(),
    ] {
        let path = &path;
        let before = fs::metadata(path).unwrap().permissions();
        chmod(path, 0o707);
        let want = Some((Fault::Writable, path.clone()));
        assert_eq!(fault(&trust, &file, Access::Read), want);
        let got = fault(&trust, &below.join("none"), Access::Read).is_none();
        assert_eq!(got, *path == file);
        fs::set_permissions(path, before).unwrap();
    }
    // Above the home nothing is asked; of a home that is not known, all is.
    let above = Trust::of_user(below, Vec::new());
    chmod(dir.path(), 0o707);
    assert_eq!(fault(&above, &file, Access::Read), None);
    assert!(Trust::default().check(&file, Access::Read).is_err());
}

#[test]
fn a_sticky_directory_is_a_way_and_no_place_for_files_with_known_names() {
    let (dir, trust) = home();
    let shared = dir.path().join("shared");
    fs::create_dir(&shared).unwrap();
    chmod(&shared, 0o1777);
    fs::write(shared.join("f"), "x").unwrap();
    chmod(&shared.join("f"), 0o600);
    assert_eq!(fault(&trust, &shared.join("f"), Access::Secret), None);
    let want = Some((Fault::Writable, shared.clone()));
    assert_eq!(fault(&trust, &shared, Access::CreateIn), want);
    assert_eq!(fault(&trust, &shared.join("new"), Access::CreateIn), None);
}

#[test]
fn links_are_followed_a_step_at_a_time() {
    let (dir, trust) = home();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("open")).unwrap();
    fs::write(at("file"), "x").unwrap();
    chmod(&at("file"), 0o600);
    symlink("file", at("good")).unwrap();
    symlink("good", at("better")).unwrap();
    symlink("open/turn", at("bad")).unwrap();
    symlink("../file", at("open/turn")).unwrap();
    symlink("circle", at("circle")).unwrap();
    let got = trust.check(&at("better"), Access::Secret).unwrap();
    assert_eq!(got, at("file"));
    assert_eq!(trust.check(&at("bad"), Access::Secret).unwrap(), at("file"));
    chmod(&at("open"), 0o703);
    let want = Some((Fault::Writable, at("open")));
    let got = fault(&trust, &at("bad"), Access::Read);
    assert_eq!(got, want, "it can be turned");
    let circle = trust.check(&at("circle"), Access::Read).unwrap_err();
    assert!(!circle.is_bad_state(), "{circle}");
    assert!(trust.read(&at("circle"), Access::Read, 9).is_err());
    let read = trust
        .read(&at("better"), Access::Secret, 9)
        .unwrap()
        .unwrap();
    assert_eq!(*read.bytes, b"x");
    let got = trust.read_own(&at("good"), Access::Read, 9);
    assert!(matches!(got, Err(FileError::Symlink { .. })));
    assert!(
        trust
            .read(&at("none/none"), Access::Read, 9)
            .unwrap()
            .is_none()
    );
}

#[test]
fn what_was_found_holds_for_a_moment() {
    let (dir, trust) = home();
    fs::write(dir.path().join("f"), "x").unwrap();
    trust.check(&dir.path().join("f"), Access::Read).unwrap();
    assert_eq!(trust.known().dirs.len(), 1);
    trust.known().since = Instant::now().checked_sub(HOLDS * 2);
    assert!(trust.known().dirs.is_empty());
}

#[test]
fn who_is_admitted_is_written_as_a_number() {
    let parse = Admitted::parse;
    assert_eq!(parse("uid:1000"), Some(Admitted::User(1000)));
    assert_eq!(parse(" gid:0 "), Some(Admitted::Group(0)));
    for wrong in [
        "",
        "uid",
        "uid:",
        "uid:+1",
        "uid:-1",
        "uid:ana",
        "1000",
        "user:1",
        "uid:4294967296",
    ] {
        assert_eq!(parse(wrong), None, "{wrong}");
    }
}
