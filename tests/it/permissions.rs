//! What may not be read or written, what others may read or write, and disks that are full.

use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::damage::{
    HISTORY, STATUS, TOKEN_MARK, chmod, fingerprints, home_with_vault, key_file, refused, refuses,
};
use crate::support::home::{AGENT, Home, Run, STORE, VAULT};
use crate::support::skip::{skip, unshare};

/// The user `nobody`, and its group, on every Linux.
pub(crate) const NOBODY: u32 = 65_534;

/// Whether the tests run as root, to whom permissions mean nothing.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// A run as a user without privileges over a home that is that user's: `nobody` where the tests run
/// as root.
pub(crate) fn unprivileged(home: &Home, args: &[&str]) -> Command {
    let command = home.command(args);
    if !is_root() {
        return command;
    }
    let program = command.get_program().to_owned();
    // The build directory may be one that only root can enter.
    let beside = home.at("clawkeep");
    if !beside.exists() {
        fs::hard_link(&program, &beside)
            .or_else(|_| fs::copy(&program, &beside).map(|_| ()))
            .unwrap();
    }
    let mut mine = Command::new(beside);
    mine.args(args)
        .env_clear()
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(home.path())
        .stdin(Stdio::null())
        .uid(NOBODY)
        .gid(NOBODY);
    mine
}

/// Gives a whole home to the user of [`unprivileged`].
pub(crate) fn give_away(dir: &Path) {
    if !is_root() {
        return;
    }
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            give_away(&path);
        } else if path.file_name().is_none_or(|name| name != "clawkeep") {
            chown(&path, Some(NOBODY), Some(NOBODY)).unwrap();
        }
    }
    chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
}

fn unprivileged_home() -> Home {
    let home = home_with_vault();
    let _ = unprivileged(&home, &[]); // the program goes into the home before it is given away
    give_away(home.path());
    Run::from(unprivileged(&home, STATUS).output().unwrap()).ok();
    home
}

#[test]
fn an_unreadable_vault() {
    let home = unprivileged_home();
    chmod(&home.at(VAULT), 0);
    for args in [STATUS, HISTORY, &["sync"], &["init"]] {
        let words = ["cannot open", "vault.db", "ermission denied", "ls -l"];
        refused(home.path(), unprivileged(&home, args), 1, &words);
    }
}

/// A copy that is kept as evidence, a file system that is mounted read-only: asking and proving
/// need no writing.
#[test]
fn a_vault_that_cannot_be_written_can_be_read() {
    let home = unprivileged_home();
    let asked: [&[&str]; 6] = [
        &["history", "--json"],
        &["history", "uses"],
        &["audit", "head"],
        &["audit", "verify"],
        &["audit", "export", "--to", "-"],
        &["report", "--to", "-"],
    ];
    let answers = |home: &Home| {
        asked.map(|args| {
            Run::from(unprivileged(home, args).output().unwrap())
                .exits(0)
                .stdout
        })
    };
    let told = answers(&home);
    // What the report says of now is another minute's business.
    for (dir, vault) in [(0o500, 0o600), (0o700, 0o400), (0o500, 0o400)] {
        chmod(&home.at(VAULT), vault);
        chmod(&home.at(".clawdbot"), dir);
        let before = fingerprints(&home.at(".clawdbot"));
        let now = answers(&home);
        assert_eq!(now[..5], told[..5], "{dir:o} {vault:o}");
        assert!(now[5].contains("<svg"), "{dir:o} {vault:o}");
        assert_eq!(fingerprints(&home.at(".clawdbot")), before);
        // What would have to write says so.
        let run = Run::from(
            unprivileged(
                &home,
                &["models", "auth", "mark", "openai:default", "--used"],
            )
            .output()
            .unwrap(),
        );
        assert_eq!(run.status, 1, "{run:?}");
        chmod(&home.at(".clawdbot"), 0o700);
        chmod(&home.at(VAULT), 0o600);
    }
    // What lies beside it and is no log changes nothing.
    home.write(".clawdbot/vault.db-wal", vec![0; 4096]);
    give_away(home.path());
    chmod(&home.at(".clawdbot"), 0o500);
    assert_eq!(answers(&home)[..5], told[..5]);
    chmod(&home.at(".clawdbot"), 0o700);
}

/// A mode that opens something to the group of root, which is others; a group of one's own, as
/// ordinary users have, is not.
fn of_others(group: u32, everybody: u32) -> u32 {
    if is_root() { group } else { everybody }
}

#[test]
fn what_others_can_read_or_write() {
    let home = home_with_vault();
    let key = key_file(&home);
    let name = |path: &Path| path.display().to_string();
    for (path, mode, status, words) in [
        (
            key.clone(),
            of_others(0o640, 0o604),
            77,
            ["can be read by other users", "chmod go-rwx"],
        ),
        (
            key.clone(),
            0o604,
            77,
            ["can be read by other users", "chmod go-rwx"],
        ),
        (
            key,
            of_others(0o620, 0o602),
            77,
            ["can be written by other users", "chmod go-rwx"],
        ),
        (
            home.at(".config/clawkeep"),
            0o777,
            77,
            ["can be written by other users", "chmod go-w"],
        ),
        (
            home.at(".clawdbot"),
            of_others(0o770, 0o707),
            65,
            ["can be written by other users", "chmod go-w"],
        ),
        (
            home.at(".clawdbot"),
            0o1777,
            65,
            ["can be written by other users", "use one of your own"],
        ),
        (
            home.at(VAULT),
            0o606,
            65,
            ["can be written by other users", "chmod go-w"],
        ),
        (
            home.at(VAULT),
            of_others(0o660, 0o606),
            65,
            ["can be written by other users", "chmod go-w"],
        ),
    ] {
        let before = fs::metadata(&path).unwrap().permissions();
        chmod(&path, mode);
        let run = refuses(&home, STATUS, status, &words);
        assert!(run.stderr.contains(&name(&path)), "{}", run.stderr);
        fs::set_permissions(&path, before).unwrap();
        home.run(STATUS).ok();
    }
}

#[test]
fn what_belongs_to_somebody_else() {
    if !is_root() {
        // Only root can give a file away; to anybody else, another's file is one of root's that is
        // not ours: none is refused.
        let run = Home::new().run(&["--vault", "/etc/passwd", "history"]);
        assert!([1, 65].contains(&run.status), "{run:?}");
        skip("root", "only root can give a file away");
        return;
    }
    let home = home_with_vault();
    for (path, status) in [
        (home.at(VAULT), 65),
        (home.at(".clawdbot"), 65),
        (key_file(&home), 77),
    ] {
        chown(&path, Some(NOBODY), None).unwrap();
        let run = refuses(
            &home,
            STATUS,
            status,
            &["belongs to user 65534, not to user 0", "sudo -u '#65534'"],
        );
        assert!(
            run.stderr.contains(path.to_str().unwrap()),
            "{}",
            run.stderr
        );
        chown(&path, Some(0), None).unwrap();
    }
    // `sudo clawkeep` in somebody's home leaves nothing of root's behind.
    let home = Home::with_claude("sk-test-claude-1", 100);
    give_away(home.path());
    refuses(
        &home,
        STATUS,
        65,
        &["belongs to user 65534", "Run the command as the owner"],
    );
    give_away(home.path());
    refuses(
        &home,
        STATUS,
        65,
        &["belongs to user 65534", "Run the command as the owner"],
    );
}

#[test]
fn directories_that_cannot_be_written() {
    let home = unprivileged_home();
    home.claude_login("sk-test-claude-2", 200);
    give_away(home.path());
    chmod(&home.at(".clawdbot"), 0o555);
    let words = ["vault.db", "can only be read", "no permission to write"];
    refused(home.path(), unprivileged(&home, &["sync"]), 1, &words);
    let run = Run::from(unprivileged(&home, STATUS).output().unwrap()).exits(0);
    let note = "Note: nothing was synced, since the vault can only be read";
    assert!(run.stderr.starts_with(note), "{}", run.stderr);
    chmod(&home.at(".clawdbot"), 0o700);
    // The store's directory alone: what was imported is kept, and the store written as soon as it
    // can be.
    chmod(&home.at(AGENT), 0o555);
    let run = Run::from(unprivileged(&home, &["sync"]).output().unwrap()).exits(1);
    assert!(
        run.stderr.contains(AGENT) && run.stderr.lines().count() <= 3,
        "{}",
        run.stderr
    );
    assert!(!home.read(STORE).contains("sk-test-claude-2"));
    chmod(&home.at(AGENT), 0o700);
    Run::from(unprivileged(&home, &["sync"]).output().unwrap()).ok();
    assert!(home.read(STORE).contains("sk-test-claude-2"));
}

#[test]
fn a_home_that_cannot_be_written_at_the_first_run() {
    let home = Home::without_gateway();
    home.claude_login("sk-test-claude-1", 100);
    let _ = unprivileged(&home, &[]);
    give_away(home.path());
    chmod(home.path(), 0o555);
    refused(
        home.path(),
        unprivileged(&home, STATUS),
        1,
        &["cannot create", ".local", "ls -ld"],
    );
    chmod(home.path(), 0o755);
    // A place for the vault and none for its key: no vault either.
    fs::create_dir(home.at(".config")).unwrap();
    chmod(&home.at(".config"), 0o555);
    give_away(home.path());
    let run = Run::from(unprivileged(&home, STATUS).output().unwrap()).exits(77);
    assert!(run.stderr.contains(".config/clawkeep"), "{}", run.stderr);
    assert!(run.stderr.contains("Nothing was created"), "{}", run.stderr);
    assert!(!home.at(".local/share/clawkeep/vault.db").exists());
    chmod(&home.at(".config"), 0o755);
}

/// Runs a script with the home's `.clawdbot` on a file system of its own that is `free` bytes from
/// full. The file system is gone with the script; what was on it is copied to `after`.
fn on_a_full_disk(home: &Home, free: &str, args: &str) -> Option<Run> {
    fs::create_dir_all(home.at("before")).unwrap();
    fs::create_dir_all(home.at(".clawdbot")).unwrap();
    let script = format!(
        "set -e
         mount -t tmpfs -o size=4m,mode=700 none .clawdbot
         cp -a before/. .clawdbot/
         head -c {free} /dev/zero > .clawdbot/room
         cat /dev/zero > .clawdbot/filling 2> /dev/null || true
         rm .clawdbot/room
         status=0
         \"$PROGRAM\" {args} || status=$?
         rm .clawdbot/filling
         rm -rf after; mkdir -m 700 after
         cp -a .clawdbot/. after/
         exit $status"
    );
    let program = home.command(&[]).get_program().to_owned();
    let mut command = unshare(&["--mount"])?;
    command
        .args(["sh", "-c", &script])
        .env_clear()
        .env("PROGRAM", program)
        .env("HOME", home.path())
        .env("CLAWDBOT_STATE_DIR", home.at(".clawdbot"))
        .env("PATH", "/usr/bin:/bin")
        .current_dir(home.path());
    Some(command.output().unwrap().into())
}

#[test]
fn a_full_disk_at_the_first_run() {
    let home = Home::with_claude("sk-test-claude-1", 100);
    for free in ["0", "8192", "65536", "131072"] {
        let Some(run) = on_a_full_disk(&home, free, "models status") else {
            return;
        };
        let run = run.exits(1);
        assert!(run.stderr.contains("vault.db"), "{}", run.stderr);
        assert!(run.stderr.contains("is full"), "{}", run.stderr);
        assert!(
            (1..=3).contains(&run.stderr.lines().count()),
            "{}",
            run.stderr
        );
        let left = fingerprints(&home.at("after"));
        assert!(left.is_empty(), "{free}: {left:?}");
        let keys = fingerprints(&home.at(".config/clawkeep"));
        assert!(
            keys.is_empty(),
            "the key of a vault that was never made: {keys:?}"
        );
    }
}

#[test]
fn a_full_disk_later() {
    let home = home_with_vault();
    home.claude_login("sk-test-claude-2", 200);
    fs::rename(home.at(".clawdbot"), home.at("before")).unwrap();
    let before = fingerprints(&home.at("before"));
    for free in ["0", "4096", "16384", "40960"] {
        let Some(run) = on_a_full_disk(&home, free, "models status") else {
            return;
        };
        // Where there is no room to open it as ever, the vault is read, and nothing was synced.
        assert!([0, 1].contains(&run.status), "{run:?}");
        assert!(
            (1..=3).contains(&run.stderr.lines().count()),
            "{}",
            run.stderr
        );
        let words = ["is full", "No space left on device"];
        let is_said = words.iter().any(|words| run.stderr.contains(words));
        assert!(is_said, "{}", run.stderr);
        assert!(!run.stderr.contains(TOKEN_MARK), "{}", run.stderr);
        // What is on the disk afterwards is what was there, or opens to it.
        let (old, new) = (home.at("before/agents"), home.at("after/agents"));
        assert_eq!(fingerprints(&old), fingerprints(&new), "{free}");
        fs::remove_dir_all(home.at(".clawdbot")).unwrap();
        fs::rename(home.at("after"), home.at(".clawdbot")).unwrap();
        home.assert_sound();
        fs::remove_dir_all(home.at(".clawdbot")).unwrap();
    }
    assert_eq!(fingerprints(&home.at("before")), before);
    fs::rename(home.at("before"), home.at(".clawdbot")).unwrap();
    home.run(&["sync"]).ok();
    assert!(home.read(STORE).contains("sk-test-claude-2"));
}

#[test]
fn an_unreadable_configuration() {
    let home = unprivileged_home();
    home.write(".clawdbot/clawdbot.json", "{}");
    give_away(home.path());
    chmod(&home.at(".clawdbot/clawdbot.json"), 0);
    let words = [
        "the configuration",
        "cannot read",
        "clawdbot.json",
        "ls -ld",
    ];
    refused(home.path(), unprivileged(&home, STATUS), 1, &words);
}

/// Not being allowed to look is not the same as there being nothing.
#[test]
fn places_that_cannot_be_examined() {
    let home = unprivileged_home();
    chmod(&home.at(".config/clawkeep"), 0);
    let words = ["cannot read", ".config/clawkeep", "ls -ld"];
    let before = fs::read(home.at(VAULT)).unwrap();
    let run = Run::from(unprivileged(&home, STATUS).output().unwrap()).exits(77);
    assert!(
        words.iter().all(|word| run.stderr.contains(word)),
        "{}",
        run.stderr
    );
    assert_eq!(fs::read(home.at(VAULT)).unwrap(), before);
    chmod(&home.at(".config/clawkeep"), 0o700);
    home.write("away/v.db", "");
    give_away(home.path());
    chmod(&home.at("away"), 0);
    for args in [STATUS, HISTORY] {
        let args = [&["--vault", "away/v.db"][..], args].concat();
        let run = Run::from(unprivileged(&home, &args).output().unwrap()).exits(1);
        assert!(
            run.stderr.contains("away/v.db") && run.stderr.contains("ermission denied"),
            "{}",
            run.stderr
        );
    }
    chmod(&home.at("away"), 0o700);
}
