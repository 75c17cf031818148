//! Harm done to a home on purpose, and proof that a refused command did none of its own.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{MAIN_SEPARATOR, Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use rusqlite::Connection;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::home::{Home, Run, STORE, VAULT, relative};

/// What every token in these tests begins with: to be found in no message.
pub(crate) const TOKEN_MARK: &str = "sk-test-";

/// A command that needs the vault and its key, and one that needs the vault alone.
pub(crate) const STATUS: &[&str] = &["models", "status"];
pub(crate) const HISTORY: &[&str] = &["history"];

/// A home with a vault in which two credentials are, its key in a key file.
pub(crate) fn home_with_vault() -> Home {
    let home = Home::with_claude("sk-test-claude-1", 100);
    let entry = json!({"type": "api_key", "provider": "openai", "key": "sk-test-openai"});
    let store = json!({"version": 1, "profiles": {"openai:default": entry}});
    home.write(STORE, store.to_string());
    home.run(STATUS).ok();
    home
}

/// The one key file of a home.
pub(crate) fn key_file(home: &Home) -> PathBuf {
    let dir = fs::read_dir(home.at(".config/clawkeep")).unwrap();
    let mut files: Vec<_> = dir.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1, "{files:?}");
    files.remove(0)
}

/// Sets a file's permission bits, where files have any.
pub(crate) fn chmod(path: &Path, mode: u32) {
    #[cfg(unix)]
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    #[cfg(not(unix))]
    let _ = (path, mode);
}

/// Sets the time at which a file or a directory was last changed.
pub(crate) fn set_modified(path: &Path, at: SystemTime) {
    let mut options = File::options();
    #[cfg(unix)]
    options.read(true);
    #[cfg(windows)]
    {
        use std::os::windows::fs::OpenOptionsExt as _;
        // `FILE_WRITE_ATTRIBUTES` and `FILE_FLAG_BACKUP_SEMANTICS`, without which no directory is
        // opened. Source: Microsoft's documentation, CreateFileW.
        options.access_mode(0x100).custom_flags(0x0200_0000);
    }
    options.open(path).unwrap().set_modified(at).unwrap();
}

/// Asserts that a file or directory of ours is the user's alone, by its mode, on Windows by its
/// access-control list.
#[track_caller]
pub(crate) fn assert_private(path: &Path) {
    #[cfg(unix)]
    {
        let meta = fs::metadata(path).unwrap();
        let mode = std::os::unix::fs::MetadataExt::mode(&meta) & 0o777;
        let wanted = if meta.is_dir() { 0o700 } else { 0o600 };
        assert_eq!(mode, wanted, "{}", path.display());
    }
    #[cfg(windows)]
    clawkeep::internal::platform::check_trusted(path, clawkeep::internal::platform::Access::Secret)
        .unwrap();
}

/// Everything below a directory: kind, permissions and content. Not the locks that a command may
/// make, nor the index of a vault's log, which is memory that processes share, nor an empty log.
pub(crate) fn fingerprints(root: &Path) -> BTreeMap<String, String> {
    fn walk(dir: &Path, root: &Path, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let name = relative(&path, root);
            if [".lock", ".lease", "-shm"]
                .iter()
                .any(|end| name.ends_with(end))
            {
                continue;
            }
            let meta = fs::symlink_metadata(&path).unwrap();
            if name.ends_with("-wal") && meta.len() == 0 {
                continue;
            }
            let kind = meta.file_type();
            let what = if kind.is_dir() {
                "directory".to_owned()
            } else if kind.is_symlink() {
                format!("link to {}", fs::read_link(&path).unwrap().display())
            } else if !kind.is_file() {
                format!("{kind:?}") // a FIFO
            } else {
                match fs::read(&path) {
                    Ok(bytes) => data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)),
                    // One that nobody may read: nobody may have changed it without these two
                    // telling.
                    Err(_) => format!("{} bytes of {:?}", meta.len(), meta.modified().unwrap()),
                }
            };
            out.insert(name, format!("{:?} {what}", meta.permissions()));
            if kind.is_dir() {
                walk(&path, root, out);
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(root, root, &mut out);
    out
}

/// The lines of a message that are not blank. clap sets its own apart with blank ones.
fn lines(text: &str) -> usize {
    text.lines().filter(|line| !line.trim().is_empty()).count()
}

/// Makes what is there but no regular file: a FIFO, or on Windows, whose directories have none, a
/// directory.
pub(crate) fn make_irregular(path: &Path) {
    if cfg!(windows) {
        return fs::create_dir(path).unwrap();
    }
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

/// Runs a command that must end with `status`, say each of `words` in an error of at most three
/// lines, show no token there, and change nothing below `root`.
#[track_caller]
pub(crate) fn refused(root: &Path, mut command: Command, status: i32, words: &[&str]) -> Run {
    let before = fingerprints(root);
    let run = Run::from(command.output().unwrap()).exits(status);
    assert_eq!(fingerprints(root), before, "{run:?}");
    assert!((1..=3).contains(&lines(&run.stderr)), "{}", run.stderr);
    // Paths in `words` have `/` on every system.
    let said = run.stderr.replace(MAIN_SEPARATOR, "/");
    for word in words {
        let is_there = run.stderr.contains(word) || said.contains(word);
        assert!(is_there, "{word:?} in {}", run.stderr);
    }
    assert!(!run.stderr.contains(TOKEN_MARK), "{}", run.stderr);
    assert!(
        !run.stderr.contains("panicked"),
        "a panic is no answer: {}",
        run.stderr
    );
    run
}

/// [`refused`] for arguments in a home.
#[track_caller]
pub(crate) fn refuses(home: &Home, args: &[&str], status: i32, words: &[&str]) -> Run {
    refused(home.path(), home.command(args), status, words)
}

/// Works on a vault's tables as somebody with write access would: foreign keys unchecked, triggers
/// in the way.
pub(crate) fn alter<T>(home: &Home, work: impl FnOnce(&Connection) -> T) -> T {
    let conn = Connection::open(home.at(VAULT)).unwrap();
    conn.pragma_update(None, "foreign_keys", false).unwrap();
    // for speed: nobody cuts the power here
    conn.pragma_update(None, "synchronous", false).unwrap();
    let done = work(&conn);
    conn.close().unwrap(); // the last connection brings the write-ahead log into the file
    done
}

/// As [`alter`], with the triggers out of the way and back afterwards, word for word: what the
/// schema check sees is as it was.
pub(crate) fn alter_past_triggers<T>(home: &Home, work: impl FnOnce(&Connection) -> T) -> T {
    alter(home, |conn| {
        let mut select = conn
            .prepare("SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'")
            .unwrap();
        let triggers: Vec<(String, String)> = select
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        drop(select);
        conn.execute_batch("BEGIN").unwrap();
        for (name, _) in &triggers {
            conn.execute_batch(&format!("DROP TRIGGER {name}")).unwrap();
        }
        let done = work(conn);
        for (_, sql) in &triggers {
            conn.execute_batch(sql).unwrap();
        }
        conn.execute_batch("COMMIT").unwrap();
        done
    })
}

/// A vault file as it was, to be put back after each harm done to it.
pub(crate) struct Saved(Vec<u8>);

impl Saved {
    pub(crate) fn of(home: &Home) -> Self {
        write_log_back(home);
        Self(fs::read(home.at(VAULT)).unwrap())
    }

    pub(crate) fn put_back(&self, home: &Home) {
        write_log_back(home);
        fs::write(home.at(VAULT), &self.0).unwrap();
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// Writes the log into the vault's file and removes it, as far as nobody has the vault open: a file
/// that is put in its place must not get the pages of another one.
pub(crate) fn write_log_back(home: &Home) {
    if let Ok(conn) = Connection::open(home.at(VAULT)) {
        let _ = conn.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()));
        let _ = conn.close();
    }
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(home.at(&format!("{VAULT}{end}")));
    }
}
