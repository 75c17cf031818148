//! Where a vault may lie: real mounts of what other kernels may share, and of what they may not.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use clawkeep::internal::vault::Vault;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::killed::Killer;
use crate::support::damage::{chmod, fingerprints, home_with_vault};
use crate::support::home::{Home, Run, STORE, VAULT};
use crate::support::mount::{Fuse, Mount, put_on};
use crate::support::skip::{is_root_or_skip, skip, unshare};
use crate::support::watch::Watch;

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const ALLOWED: &str = "clawkeep.allow_shared_storage = true\n";
const TOKEN: &[&str] = &["token", "--profile", "openai:default"];
const SECRET: &str = "sk-test-openai\n";
/// SQLite's header bytes of a database with a write-ahead log, and of one with a rollback journal.
const LOG: [u8; 2] = [2, 2];
const ROLLBACK: [u8; 2] = [1, 1];

/// Read by another process: closing the file in this one would drop its locks on it.
fn journal_mode(file: &Path) -> [u8; 2] {
    let read = Command::new("head").args(["-c", "20"]).arg(file).output();
    let bytes = read.unwrap().stdout;
    [bytes[18], bytes[19]]
}

/// The names in a home's state directory that begin with the vault's.
fn beside_the_vault(home: &Home) -> Vec<String> {
    let entries = fs::read_dir(home.at(".clawdbot")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.starts_with("vault.db")).collect();
    names.sort();
    names
}

fn assert_record_holds(home: &Home) {
    let said = home.run(&["audit", "verify"]).ok();
    assert!(said.contains("none altered, missing"), "{said}");
}

/// What every refusal must say: the type, where it is mounted, why, and both ways on.
#[track_caller]
fn assert_says_why(run: &Run, kind: &str, point: &Path) {
    let said = &run.stderr;
    for part in [
        &format!("({kind}, mounted at {})", point.display()),
        "other machines may write",
        "two systems that write one vault destroy it",
        "--vault FILE or CLAWKEEP_VAULT",
        "allow_shared_storage = true under [clawkeep] in clawkeep.toml",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn no_vault_is_made_where_another_kernel_may_write() {
    let home = Home::with_claude("sk-test-claude-1", 100);
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    let point = home.at(".clawdbot");
    let before = fingerprints(&point);
    for args in [
        &["init", "--key", "keyfile"][..],
        &["models", "status"],
        &["sync"],
        &["token"],
        &["watch", "--once"],
    ] {
        let run = home.run(args).exits(1);
        assert_says_why(&run, "fuse", &point);
        assert_eq!(run.stdout, "");
    }
    assert_eq!(fingerprints(&point), before, "nothing was made there");
    assert!(!home.at(".config/clawkeep").exists(), "nor a key");

    // Both ways on.
    let elsewhere = home.at("local/vault.db");
    let local = ["--vault", elsewhere.to_str().unwrap()];
    home.run(&[&local[..], &["init", "--key", "keyfile"]].concat())
        .ok();
    assert_eq!(journal_mode(&elsewhere), LOG);
    home.write(SETTINGS, ALLOWED);
    home.run(&["init", "--key", "keyfile"]).ok();
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
}

#[test]
fn no_backup_is_put_back_there_either() {
    let home = home_with_vault();
    home.run(&["backup", "create", "backup.db"]).ok();
    for name in ["disk", "mount"] {
        fs::create_dir(home.at(name)).unwrap();
        chmod(&home.at(name), 0o700);
    }
    let point = home.at("mount");
    let Some(_mount) = Mount::fuse(Fuse::Bindfs, &home.at("disk"), &point) else {
        return;
    };
    let run = home
        .run(&[
            "--vault",
            "mount/new/vault.db",
            "backup",
            "restore",
            "backup.db",
        ])
        .exits(1);
    assert_says_why(&run, "fuse", &point);
    assert!(!home.at("disk/new").exists());
    // Backups are files like any other: they may lie there, and are proved there.
    home.run(&["backup", "create", "mount/backup.db"]).ok();
    home.run(&["backup", "verify", "mount/backup.db"]).ok();
}

#[test]
fn a_vault_that_is_there_is_read_and_not_written() {
    let home = home_with_vault();
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    let point = home.at(".clawdbot");
    let before = fingerprints(&point);
    for args in [
        &["models", "status"][..],
        &["models", "auth", "list"],
        &["history"],
        &["history", "--json"],
        &["audit", "verify"],
        &["key", "status"],
        &["backup", "create", "backup.db"],
    ] {
        let run = home.run(args);
        assert_eq!(run.status, 0, "{args:?}: {run:?}");
        assert_says_why(&run, "fuse", &point);
        let warnings = run.stderr.matches("Warning: the vault").count();
        assert_eq!(warnings, 1, "{args:?}: {}", run.stderr);
    }
    for args in [
        TOKEN,
        &["exec", "--profile", "openai:default", "--", "true"],
    ] {
        let run = home.run(args).exits(1);
        let why = "no credential was handed out: its use cannot be recorded";
        assert!(run.stderr.contains(why), "{}", run.stderr);
        assert_says_why(&run, "fuse", &point);
        assert_eq!(run.stdout, "");
    }
    for args in [
        &["sync"][..],
        &["watch", "--once"],
        &["key", "add", "recovery"],
        &[
            "models",
            "auth",
            "order",
            "set",
            "--provider",
            "openai",
            "openai:default",
        ],
    ] {
        let run = home.run(args).exits(1);
        assert!(run.stderr.contains("can only be read"), "{args:?}: {run:?}");
        assert_says_why(&run, "fuse", &point);
    }
    assert_eq!(fingerprints(&point), before, "nothing was changed");
    // The way that the remedy names.
    let run = home.run(&[&["--vault", "backup.db"], TOKEN].concat());
    assert_eq!(run.ok(), SECRET);
}

#[test]
fn the_setting_admits_it_and_commands_work_beside_watch() {
    let home = home_with_vault();
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    let watch = Watch::start(&home, &[]);
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    // Both directions: a login that the watcher takes while tokens are handed out.
    let (tokens, logins) = std::thread::scope(|scope| {
        let loops = [(); 3].map(|()| {
            scope.spawn(|| {
                for _ in 0..10 {
                    let run = home.run(&[&["--quiet"], TOKEN].concat());
                    assert_eq!((run.stderr.as_str(), run.stdout.as_str()), ("", SECRET));
                }
                10
            })
        });
        let mut logins = 0;
        for n in 2..6 {
            let token = format!("sk-test-claude-{n}");
            home.claude_login(&token, 100 + n);
            let deadline = Instant::now() + Duration::from_secs(30);
            // FUSE may say for a moment that a file is gone that is being replaced.
            let store = || fs::read_to_string(home.at(STORE));
            while !store().is_ok_and(|text| text.contains(&token)) {
                assert!(Instant::now() < deadline, "{}", watch.said());
                std::thread::sleep(Duration::from_millis(20));
            }
            logins += 1;
        }
        let tokens: usize = loops.map(|one| one.join().unwrap()).iter().sum();
        (tokens, logins)
    });
    assert_eq!((tokens, logins), (30, 4));
    watch.end().ok();
    assert_record_holds(&home);
    assert_eq!(home.count_of("credential.used"), 30);
    assert_eq!(
        beside_the_vault(&home),
        ["vault.db", "vault.db.lease", "vault.db.lock"]
    );
    let run = home.run(&["models", "status"]);
    assert!(!run.stderr.contains("can only be read"), "{}", run.stderr);
}

#[test]
fn a_log_is_merged_before_it_is_given_up_and_used_again_on_a_local_disk() {
    let home = home_with_vault();
    // A process that was killed: the newest event is in the log alone.
    let reader = Connection::open(home.at(VAULT)).unwrap();
    let count = "SELECT count(*) FROM events";
    let events: i64 = reader.query_row(count, [], |row| row.get(0)).unwrap();
    home.run(TOKEN).ok();
    let log = fs::read(home.at(".clawdbot/vault.db-wal")).unwrap();
    assert!(!log.is_empty());
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    assert_eq!(home.run(TOKEN).ok(), SECRET);
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    assert_eq!(
        beside_the_vault(&home),
        ["vault.db", "vault.db.lease", "vault.db.lock"]
    );
    assert_record_holds(&home);
    let now = home.events().len();
    assert_eq!(i64::try_from(now).unwrap(), events + 2);
    // The same file on its local disk.
    let local = ["--vault", "disk/vault.db"];
    let run = home.run(&[&local[..], TOKEN].concat());
    assert_eq!(run.ok(), SECRET);
    assert_eq!(journal_mode(&home.at("disk/vault.db")), LOG);
    assert_eq!(home.run(TOKEN).ok(), SECRET);
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    assert_record_holds(&home);
}

#[test]
fn a_log_that_another_process_has_open_is_waited_for() {
    let home = home_with_vault();
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    // As a process of an earlier version has it open.
    let earlier = Connection::open(home.at(VAULT)).unwrap();
    let read = |conn: &Connection| {
        let count = "SELECT count(*) FROM events";
        conn.query_row(count, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    let events = read(&earlier);
    let run = home.run(TOKEN).exits(75);
    for part in [
        "has the write-ahead log of the vault",
        "Restart clawkeep watch",
    ] {
        assert!(run.stderr.contains(part), "{}", run.stderr);
    }
    assert_eq!(journal_mode(&home.at(VAULT)), LOG);
    // It ends while the next one waits.
    let waited = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| home.run(TOKEN));
        std::thread::sleep(Duration::from_millis(300));
        drop(earlier);
        waiting.join().unwrap()
    });
    assert_eq!(waited.ok(), SECRET);
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    assert_eq!(i64::try_from(home.events().len()).unwrap(), events + 1);
}

/// Leaves the vault as a process leaves it that is killed while it commits: pages are in the file,
/// and a journal says what was there before.
fn leave_hot_journal(home: &Home) {
    let path = home.at(VAULT);
    let conn = Connection::open(&path).unwrap();
    conn.execute_batch(
        "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;
         BEGIN IMMEDIATE; CREATE TABLE spilled (x); INSERT INTO spilled VALUES (zeroblob(900000));
         DELETE FROM exports; UPDATE agents SET revision = revision + 7;",
    )
    .unwrap();
    let journal = home.at(".clawdbot/vault.db-journal");
    let files = [&path, &journal].map(|file| fs::read(file).unwrap());
    assert!(files[1].len() > 512 && files[1][0] != 0, "a hot journal");
    conn.execute_batch("ROLLBACK").unwrap();
    drop(conn);
    for (file, bytes) in [&path, &journal].into_iter().zip(files) {
        fs::write(file, bytes).unwrap();
        chmod(file, 0o600);
    }
}

#[test]
fn a_journal_that_a_kill_left_is_rolled_back() {
    let home = home_with_vault();
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    home.run(TOKEN).ok();
    let events = home.events().len();
    leave_hot_journal(&home);
    // What only reads answers without it, and leaves it where it is.
    fs::remove_file(home.at(SETTINGS)).unwrap();
    let before = fingerprints(&home.at(".clawdbot"));
    let listed = home.run(&["models", "auth", "list"]).ok();
    assert!(listed.contains("openai:default"), "{listed}");
    assert_record_holds(&home);
    assert_eq!(fingerprints(&home.at(".clawdbot")), before);
    home.write(SETTINGS, ALLOWED);
    assert_eq!(home.run(TOKEN).ok(), SECRET);
    assert_eq!(
        beside_the_vault(&home),
        ["vault.db", "vault.db.lease", "vault.db.lock"]
    );
    assert_record_holds(&home);
    assert_eq!(home.events().len(), events + 1);
    // The same on a local disk, where a journal may come with the file.
    leave_hot_journal(&home);
    let run = home.run(&[&["--vault", "disk/vault.db"], TOKEN].concat());
    assert_eq!(run.ok(), SECRET);
    assert!(!home.at("disk/vault.db-journal").exists());
    // Not through the mount, which may still show what was there a second ago.
    let said = home
        .run(&["--vault", "disk/vault.db", "audit", "verify"])
        .ok();
    assert!(said.contains("none altered, missing"), "{said}");
}

#[test]
fn processes_that_are_killed_lose_nothing() {
    let home = home_with_vault();
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    let times = (0..5).map(|_| {
        let started = Instant::now();
        home.run(TOKEN).ok();
        started.elapsed()
    });
    let mut killer = Killer::new("token on bindfs", times.collect());
    let mut whole = 5;
    for n in 0..20 {
        // A watcher writes at the same time, and is killed as well.
        home.claude_login(&format!("sk-test-claude-{}", 10 + n), 200 + n);
        let mut watch = home.command(&["watch"]);
        let mut watch = watch.spawn().unwrap();
        for _ in 0..3 {
            killer.kill(home.command(TOKEN));
        }
        home.run(TOKEN).ok();
        whole += 1;
        let pid = Pid::from_child(&watch);
        kill_process(pid, Signal::KILL).unwrap();
        watch.wait().unwrap();
        assert!(home.count_of("credential.used") >= whole);
    }
    assert_record_holds(&home);
    home.run(&["sync"]).ok();
    let exported = home.exported_token("anthropic:claude-cli");
    assert_eq!(exported.as_deref(), Some("sk-test-claude-29"));
    assert_eq!(
        beside_the_vault(&home),
        ["vault.db", "vault.db.lease", "vault.db.lock"]
    );
}

/// A FUSE file system of this kernel alone needs no setting, and no warning is given.
#[track_caller]
fn is_used_without_a_log(kind: Fuse) {
    let home = home_with_vault();
    let Some(_mount) = put_on(kind, &home) else {
        return;
    };
    let run = home.run(TOKEN);
    assert_eq!((run.stderr.as_str(), run.stdout.as_str()), ("", SECRET));
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    assert_record_holds(&home);
    let found = home.run(&["doctor", "--non-interactive", "--json"]).stdout;
    assert!(!found.contains("vault.shared"), "{found}");
    // A process of an earlier version that uses the log stops nobody.
    let conn = Connection::open(home.at(VAULT)).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    let count = "SELECT count(*) FROM events";
    conn.query_row(count, [], |row| row.get::<_, i64>(0))
        .unwrap();
    home.run(TOKEN).ok();
    assert_eq!(journal_mode(&home.at(VAULT)), LOG);
    drop(conn);
    home.run(TOKEN).ok();
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    assert_record_holds(&home);
}

#[test]
fn gocryptfs_is_of_this_kernel() {
    is_used_without_a_log(Fuse::Gocryptfs);
}

#[test]
fn mergerfs_is_of_this_kernel() {
    is_used_without_a_log(Fuse::Mergerfs);
}

#[test]
fn fuse_overlayfs_is_of_this_kernel() {
    is_used_without_a_log(Fuse::Overlayfs);
}

#[test]
fn a_layer_on_shared_storage_is_shared() {
    let home = Home::new();
    for dir in ["far", "near", "view"] {
        fs::create_dir(home.at(dir)).unwrap();
        chmod(&home.at(dir), 0o700);
    }
    let Some(_far) = Mount::fuse(Fuse::Bindfs, &home.at("far"), &home.at("near")) else {
        return;
    };
    for (kind, name) in [(Fuse::Gocryptfs, "cipher"), (Fuse::Mergerfs, "first")] {
        let below = home.at("near").join(name);
        fs::create_dir(&below).unwrap();
        let Some(_view) = Mount::fuse(kind, &below, &home.at("view")) else {
            return;
        };
        let run = home.run(&["--vault", "view/vault.db", "init", "--key", "keyfile"]);
        assert_says_why(&run.exits(1), "fuse", &home.at("near"));
    }
}

/// Neither a log is converted with an index in shared memory, nor is one made later.
#[test]
fn no_shared_memory_is_used_where_there_may_be_none() {
    let home = home_with_vault();
    let Some(_mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    assert_eq!(journal_mode(&home.at(VAULT)), LOG);
    // What stands in the place of the index cannot be mapped.
    let index = home.at(".clawdbot/vault.db-shm");
    let _ = fs::remove_file(&index);
    fs::create_dir(&index).unwrap();
    chmod(&index, 0o700);
    for _ in 0..2 {
        assert_eq!(home.run(TOKEN).ok(), SECRET);
        assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    }
    home.claude_login("sk-test-claude-2", 200);
    home.run(&["watch", "--once"]).ok();
    fs::remove_dir(&index).unwrap();
    assert_record_holds(&home);
}

/// How many locks this process has on a file.
fn own_locks(file: &Path) -> usize {
    let inode = std::os::unix::fs::MetadataExt::ino(&fs::metadata(file).unwrap());
    let (pid, inode) = (std::process::id().to_string(), format!(":{inode}"));
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let is_own = |line: &&str| {
        let mut words = line.split_ascii_whitespace().skip(4);
        words.next() == Some(&pid) && words.next().is_some_and(|file| file.ends_with(&inode))
    };
    locks.lines().filter(is_own).count()
}

#[test]
fn a_look_at_a_vault_drops_no_lock_of_this_process() {
    let home = home_with_vault();
    let path = home.at(VAULT);
    // As on storage without a log: `watch` looks at its vault while it refreshes a login.
    let conn = Connection::open(&path).unwrap();
    conn.pragma_update(None, "journal_mode", "DELETE").unwrap();
    conn.execute_batch("BEGIN IMMEDIATE; UPDATE agents SET revision = revision + 1")
        .unwrap();
    assert!(home.at(".clawdbot/vault.db-journal").exists());
    let before = own_locks(&path);
    assert!(before > 0, "a transaction takes a lock");
    for _ in 0..3 {
        let vault = Vault::glance(&path).unwrap();
        assert_eq!(vault.path(), path);
        drop(vault);
        assert_eq!(own_locks(&path), before);
    }
    // What is in its place is not taken for it.
    conn.execute_batch("ROLLBACK").unwrap();
    drop(conn);
    fs::rename(&path, home.at("before.db")).unwrap();
    home.run(&[
        "--vault",
        "before.db",
        "backup",
        "create",
        ".clawdbot/vault.db",
    ])
    .ok();
    let events = |file: &Path| Vault::glance(file).unwrap().head().unwrap().unwrap().seq;
    assert_eq!(events(&path).0 + 1, events(&home.at("before.db")).0);
}

#[test]
fn a_mount_whose_program_ended_is_named() {
    let home = home_with_vault();
    let Some(mount) = put_on(Fuse::Bindfs, &home) else {
        return;
    };
    home.write(SETTINGS, ALLOWED);
    mount.end_program();
    let point = home.at(".clawdbot");
    for args in [TOKEN, &["models", "status"], &["sync"]] {
        let run = home.run(args);
        assert_ne!(run.status, 0, "{args:?}: {run:?}");
        let said = format!("fusermount3 -u {}", point.display());
        assert!(run.stderr.contains(&said), "{args:?}: {}", run.stderr);
    }
}

#[test]
fn sshfs_is_refused_by_its_name_and_works_where_it_is_admitted() {
    let home = home_with_vault();
    if !Path::new("/usr/lib/openssh/sftp-server").exists() {
        skip("fuse", "there is no /usr/lib/openssh/sftp-server");
        return;
    }
    let Some(_mount) = put_on(Fuse::Sshfs, &home) else {
        return;
    };
    let run = home.run(TOKEN).exits(1);
    assert_says_why(&run, "fuse.sshfs", &home.at(".clawdbot"));
    home.run(&["models", "status"]).ok();
    home.write(SETTINGS, ALLOWED);
    assert_eq!(home.run(TOKEN).ok(), SECRET);
    assert_eq!(journal_mode(&home.at(VAULT)), ROLLBACK);
    assert_record_holds(&home);
}

/// Runs a script as root of a namespace in which it may mount, in a home.
fn in_namespace(home: &Home, script: &str) -> Option<Run> {
    let mut command = unshare(&["--mount"])?;
    command
        .args(["sh", "-euc", script])
        .env_clear()
        .env("PROGRAM", home.command(&[]).get_program())
        .env("HOME", home.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(home.path());
    Some(command.output().unwrap().into())
}

const INIT_AND_MODE: &str = "
    chmod 700 .clawdbot
    mkdir -m 700 .clawdbot/agents
    \"$PROGRAM\" --quiet init --key keyfile
    \"$PROGRAM\" --quiet models status > status
    od -An -tu1 -j18 -N2 .clawdbot/vault.db
    umount .clawdbot
";

#[test]
fn memory_and_bound_directories_are_local() {
    for mount in [
        "mount -t tmpfs -o mode=700 none .clawdbot",
        "mkdir -m 700 other; mount --bind other .clawdbot",
        // Over each other: the newest counts.
        "mount -t tmpfs none .clawdbot; mkdir -m 700 'a blank'; mount --bind 'a blank' .clawdbot",
    ] {
        let home = Home::new();
        let Some(run) = in_namespace(&home, &format!("{mount}{INIT_AND_MODE}")) else {
            return;
        };
        assert_eq!(run.stderr, "", "{mount}");
        let said = run.ok();
        assert!(said.contains("2   2"), "{mount}: {said}");
    }
}

#[test]
fn a_disk_is_local() {
    if !is_root_or_skip("only root makes a loop device") {
        return;
    }
    let home = Home::new();
    let mount = "
        truncate -s 16M image
        mkfs.ext4 -q image
        mkdir -p .clawdbot
        mount -o loop image .clawdbot
    ";
    let probe = in_namespace(&home, &format!("{mount}umount .clawdbot")).unwrap();
    if probe.status != 0 {
        skip("loop", &probe.stderr);
        return;
    }
    let run = in_namespace(&home, &format!("{mount}{INIT_AND_MODE}")).unwrap();
    assert_eq!(run.stderr, "");
    let said = run.ok();
    assert!(said.contains("2   2"), "{said}");
}
