//! A vault that can only be read: on a read-only mount, on a read-only disk, without permission.
//! What only reads answers as it would anywhere, whatever log a killed process left; what writes
//! says why it cannot.

use std::fs;
use std::process::Command;
use std::thread;

use rusqlite::Connection;
use serde_json::Value;

use crate::support::damage::{alter, chmod, fingerprints};
use crate::support::home::{Home, Run, STORE, VAULT, start_with_input};
use crate::support::skip::unshare;
use crate::support::watch::Watch;

const STATE: &str = ".clawdbot";
const SECRET: &str = "sk-test-openai-abcdefghijkl";

/// Where the home lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Medium {
    /// On a read-only view of a disk that others may write.
    View,
    /// On a read-only disk, which nobody can write.
    Disk,
    /// In a directory that this user may not write.
    Closed,
}

const MEDIA: [Medium; 3] = [Medium::View, Medium::Disk, Medium::Closed];

/// What a killed process left beside the vault.
#[derive(Clone, Copy, Debug)]
enum Left {
    Nothing,
    /// A log, and the index of it.
    Log,
    /// A log alone, as in a copy or after a crash of the machine.
    LogWithoutIndex,
    /// A rollback journal: the file itself is torn.
    Journal,
}

impl Medium {
    /// What a shell does before the program runs. `$HOME` is where the home is to be.
    fn script(self) -> &'static str {
        match self {
            Self::View => r#"mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME""#,
            Self::Disk => {
                r#"mount -t tmpfs -o mode=700 none /mnt && cp -a "$HOME/." /mnt &&
                mount -o remount,ro none /mnt && mount --bind /mnt "$HOME""#
            }
            Self::Closed => "chmod 500 \"$HOME/.clawdbot\"",
        }
    }

    /// Why the vault can only be read, as it is said.
    fn reason(self, home: &Home) -> String {
        let home = home.path().display();
        match self {
            Self::Closed => format!("this user has no permission to write {home}/.clawdbot"),
            _ => format!("the file system mounted at {home} is read-only (EROFS)"),
        }
    }

    /// A command with the home there; nothing where this machine cannot make that.
    fn command(self, home: &Home, args: &[&str]) -> Option<Command> {
        let built = home.command(args);
        let script = format!("{} || exit 99; exec \"$@\"", self.script());
        let mut command = match self {
            // Root without any privilege is bound by the modes of its own files.
            Self::Closed if rustix::process::geteuid().is_root() => {
                let mut command = Command::new("setpriv");
                command.args(["--bounding-set=-all", "--inh-caps=-all", "sh"]);
                command
            }
            Self::Closed => Command::new("sh"),
            _ => {
                let mut command = unshare(&["--mount"])?;
                command.arg("sh");
                command
            }
        };
        command
            .args(["-c", &script, "sh"])
            .arg(built.get_program())
            .args(built.get_args())
            .env_clear()
            .envs(
                built
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            // Without root, who owns what is above the home has no name in the namespace.
            .env("CLAWKEEP_TRUSTED", "uid:65534")
            .current_dir("/");
        Some(command)
    }

    fn run(self, home: &Home, args: &[&str]) -> Option<Run> {
        let run: Run = self.command(home, args)?.output().unwrap().into();
        if self == Self::Closed {
            chmod(&home.at(STATE), 0o700);
        }
        assert_ne!(run.status, 99, "{run:?}");
        Some(run)
    }
}

/// A home with two keys, one of which was used.
fn home() -> Home {
    let home = Home::new();
    home.run(&["-q", "init", "--key", "keyfile"]).ok();
    paste(&home, "openai", SECRET);
    home.run(&["token", "--provider", "openai"]).ok();
    home.run(&["backup", "create", "before.db"]).ok();
    home
}

fn paste(home: &Home, provider: &str, key: &str) {
    let paste = ["models", "auth", "paste-api-key", "--provider", provider];
    home.run_with_input(&paste, key).ok();
}

/// Leaves beside the vault what a process does that is killed; all of `work` is committed.
fn leave(home: &Home, left: Left, work: impl FnOnce(&Home)) {
    let conn = Connection::open(home.at(VAULT)).unwrap();
    conn.execute_batch("BEGIN").unwrap();
    let events = "SELECT count(*) FROM events";
    conn.query_row(events, [], |_| Ok(())).unwrap();
    work(home); // which cannot empty the log while somebody reads
    conn.execute_batch("COMMIT").unwrap();
    let parts: &[&str] = match left {
        Left::Nothing => return,
        Left::Log => &["", "-wal", "-shm"],
        Left::LogWithoutIndex => &["", "-wal"],
        Left::Journal => {
            conn.query_row("PRAGMA journal_mode = DELETE", [], |_| Ok(()))
                .unwrap();
            conn.execute_batch(
                "PRAGMA cache_size = 5; BEGIN IMMEDIATE; CREATE TABLE junk (x); \
                 WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200) \
                 INSERT INTO junk SELECT randomblob(3000) FROM n; \
                 DELETE FROM key_slots;",
            )
            .unwrap();
            &["", "-journal"]
        }
    };
    let part = |end: &str| format!("{VAULT}{end}");
    let kept: Vec<(String, Vec<u8>)> = parts
        .iter()
        .map(|end| (part(end), fs::read(home.at(&part(end))).unwrap()))
        .collect();
    assert!(kept[1].1.len() > 4096, "the case is not met");
    drop(conn);
    for (path, bytes) in kept {
        home.write(&path, bytes);
    }
}

/// Everything that only reads and prints the same wherever the home is.
const READING: &[&[&str]] = &[
    &["models", "status"],
    &["models", "status", "--json"],
    &["models", "status", "--plain"],
    &["models", "status", "--check"],
    &["models", "auth", "list"],
    &["models", "auth", "list", "--json"],
    &["models", "auth", "order", "get", "--provider", "openai"],
    &["models", "auth", "candidates", "--provider", "openai"],
    &["models", "auth", "restore", "openai:manual", "--list"],
    &["session", "list"],
    &["history"],
    &["history", "--json"],
    &["history", "uses"],
    &["history", "refreshes"],
    &["history", "at", "now"],
    &["audit", "verify"],
    &["audit", "verify", "--json"],
    &["audit", "head"],
    &["audit", "export", "--to", "-"],
    &["key", "status"],
    &["backup", "verify", "before.db"],
    &["completions", "bash"],
    &["man"],
];

#[test]
fn what_only_reads_answers_as_anywhere() {
    for left in [
        Left::Nothing,
        Left::Log,
        Left::LogWithoutIndex,
        Left::Journal,
    ] {
        let home = home();
        let mut expected = Vec::new();
        leave(&home, left, |home| {
            paste(home, "groq", "sk-test-groq-abcdefghijkl");
            home.run(&["models", "status"]).ok();
            let runs = READING.iter().map(|args| home.run(args));
            expected = runs.map(|run| (run.status, run.stdout)).collect();
        });
        assert!(expected[5].1.contains("groq:manual"), "{expected:?}");
        assert!(expected[15].1.starts_with("The record holds: "));
        for medium in MEDIA {
            let before = fingerprints(&home.at(STATE));
            for (args, (status, answer)) in READING.iter().zip(&expected) {
                let mut args: Vec<&str> = args.to_vec();
                let backup = home.at("before.db");
                if let Some(file) = args.iter_mut().find(|arg| **arg == "before.db") {
                    *file = backup.to_str().unwrap();
                }
                let Some(run) = medium.run(&home, &args) else {
                    continue;
                };
                let case = format!("{left:?} {medium:?} {args:?}: {run:?}");
                assert_eq!((run.status, &run.stdout), (*status, answer), "{case}");
                assert!(!run.stderr.contains("damaged"), "{case}");
                assert!(!run.stderr.contains("-wal"), "{case}");
            }
            assert_eq!(fingerprints(&home.at(STATE)), before, "{left:?} {medium:?}");
        }
    }
}

#[test]
fn what_is_written_elsewhere_is_written() {
    for medium in MEDIA {
        let home = home();
        leave(&home, Left::LogWithoutIndex, |home| {
            paste(home, "groq", "sk-test-groq-abcdefghijkl");
        });
        let other = tempfile::tempdir().unwrap();
        let to = |name: &str| other.path().join(name).to_str().unwrap().to_owned();
        let (copy, page, record) = (to("copy.db"), to("page.html"), to("record.jsonl"));
        let Some(run) = medium.run(&home, &["backup", "create", &copy]) else {
            continue;
        };
        let reason = medium.reason(&home);
        assert!(
            run.stderr.contains(&format!(
                "Note: the backup is not in the record, since the vault can only be read: {reason}."
            )),
            "{run:?}"
        );
        run.ok();
        medium.run(&home, &["report", "--to", &page]).unwrap().ok();
        let export = ["audit", "export", "--to", &record];
        medium.run(&home, &export).unwrap().ok();
        assert!(fs::read_to_string(&page).unwrap().contains("groq:manual"));
        let record = fs::read_to_string(&record).unwrap();
        assert!(record.contains("groq:manual"), "{record}");
        // It holds what the log did, and can be used in the vault's place.
        let held = home.run(&["--vault", &copy, "models", "auth", "list"]).ok();
        assert!(held.contains("groq:manual"), "{held}");
        let verified = home.run(&["backup", "verify", &copy]).ok();
        assert!(verified.starts_with("The backup is complete"), "{verified}");
    }
}

#[test]
fn what_hands_out_refuses_since_it_cannot_record() {
    for medium in MEDIA {
        let home = home();
        let events = home.events().len();
        for args in [
            &["token", "--provider", "openai"][..],
            &["exec", "--provider", "openai", "--", "env"],
            &["secretref"],
            &["export", "--to", "-", "--reveal"],
        ] {
            let Some(mut command) = medium.command(&home, args) else {
                continue;
            };
            command.stdin(std::process::Stdio::piped());
            let request = r#"{"protocolVersion":1,"ids":["openai:manual"]}"#;
            let input = if args[0] == "secretref" { request } else { "" };
            let child = start_with_input(command, input);
            let run: Run = child.wait_with_output().unwrap().into();
            chmod(&home.at(STATE), 0o700);
            let vault = home.at(VAULT);
            let begins = format!(
                "Error: no credential was handed out: its use cannot be recorded\n  \
                 because: the vault {} can only be read: {}\n  Reading works here. To write, ",
                vault.display(),
                medium.reason(&home)
            );
            assert!(run.stderr.starts_with(&begins), "{args:?}: {run:?}");
            assert!(
                run.stderr.contains("clawkeep backup create FILE"),
                "{run:?}"
            );
            assert_eq!((run.status, run.stdout.as_str()), (1, ""), "{args:?}");
        }
        assert_eq!(home.events().len(), events);
    }
}

#[test]
fn what_changes_anything_says_why_it_cannot() {
    for medium in MEDIA {
        let home = home();
        let backup = home.at("before.db");
        let before = fingerprints(&home.at(STATE));
        let restore = format!("backup restore {}", backup.display());
        for command in [
            "sync",
            "export",
            "refresh --due",
            "watch --once",
            "models auth paste-api-key --provider groq",
            "models auth remove openai:manual --yes",
            "models auth order set --provider openai openai:manual",
            "models auth order clear --provider openai",
            "session pin a openai:manual",
            "key add recovery",
            "key recovery",
            "key remove 1",
            "key rotate",
            "audit prune --before 1d --yes",
            &restore,
        ] {
            let args: Vec<&str> = command.split(' ').collect();
            let Some(run) = medium.run(&home, &args) else {
                continue;
            };
            let expected = format!(
                "Error: the vault {} can only be read\n  because: {}\n",
                home.at(VAULT).display(),
                medium.reason(&home)
            );
            assert!(
                run.stderr.starts_with(&expected),
                "{medium:?} {args:?}: {run:?}"
            );
            assert_eq!(run.status, 1, "{args:?}: {run:?}");
        }
        assert_eq!(fingerprints(&home.at(STATE)), before, "{medium:?}");
    }
}

#[test]
fn doctor_finds_the_cause_and_everything_else() {
    for medium in MEDIA {
        let home = home();
        let Some(run) = medium.run(&home, &["doctor", "--json"]) else {
            continue;
        };
        let found: Value = serde_json::from_str(&run.stdout).unwrap();
        let text = found.to_string();
        assert!(text.contains("vault.unusable"), "{text}");
        assert!(text.contains("can only be read"), "{text}");
        assert!(!text.contains("vault.damaged"), "{text}");
        assert_eq!(run.status, 1, "{run:?}");
        // What needs the key was looked at as well.
        assert!(text.contains("keys.single"), "{text}");
    }
}

#[test]
fn what_was_not_synced_is_reported() {
    for medium in MEDIA {
        let home = home();
        home.run(&["models", "status"]).ok();
        home.claude_login("sk-test-claude-1", 100);
        let Some(run) = medium.run(&home, &["models", "auth", "list"]) else {
            continue;
        };
        let note = format!(
            "Note: nothing was synced, since the vault can only be read: {}.",
            medium.reason(&home)
        );
        assert!(run.stderr.contains(&note), "{run:?}");
        assert!(!run.ok().contains("anthropic"));
        // A store that says something else.
        fs::remove_file(home.at(crate::support::home::CLAUDE)).unwrap();
        let store = home.read(STORE).replace("openai", "other");
        home.write(STORE, store);
        let run = medium.run(&home, &["models", "auth", "list"]).unwrap();
        assert!(run.stderr.contains(&note), "{run:?}");
        assert!(run.ok().contains("openai:manual"));
    }
}

#[test]
fn nothing_has_to_be_writable_anywhere() {
    let home = home();
    leave(&home, Left::LogWithoutIndex, |home| {
        paste(home, "groq", "sk-test-groq-abcdefghijkl");
        home.write(
            ".clawdbot/clawkeep.toml",
            "[clawkeep]\nexport = \"runtime\"\n",
        );
    });
    let Some(mut command) = unshare(&["--mount"]) else {
        return;
    };
    let script = r#"mount -o remount,bind,ro / || exit 99
        for dir in /tmp /var/tmp /run /dev/shm; do
            mount --bind "$dir" "$dir" && mount -o remount,bind,ro "$dir" || exit 99
        done
        for dir in "$HOME" / /tmp /var/tmp /run /dev/shm; do
            ! touch "$dir/x" 2>/dev/null || exit 98
        done
        "$PROGRAM" audit verify && "$PROGRAM" models auth list &&
            "$PROGRAM" models status --plain"#;
    let run: Run = command
        .args(["sh", "-c", script])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PROGRAM", home.command(&[]).get_program())
        .output()
        .unwrap()
        .into();
    assert_eq!(run.status, 0, "{run:?}");
    assert!(run.stdout.starts_with("The record holds: "), "{run:?}");
    assert!(run.stdout.contains("groq:manual"), "{run:?}");
}

#[test]
fn a_vault_of_an_earlier_version_is_upgraded_in_memory() {
    let made = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vault-v1");
    let home = Home::new();
    home.write(VAULT, fs::read(made.join("vault.db")).unwrap());
    let key = "9f79304fbb3d90b827369a9f74c18153.key";
    let dir = ".config/clawkeep";
    home.write(&format!("{dir}/{key}"), fs::read(made.join(key)).unwrap());
    chmod(&home.at(dir), 0o700);
    let before = fs::read(home.at(VAULT)).unwrap();
    for medium in MEDIA {
        for args in [
            &["history", "--json"][..],
            &["audit", "verify"],
            &["models", "auth", "list"],
        ] {
            let Some(run) = medium.run(&home, args) else {
                continue;
            };
            assert_eq!(run.status, 0, "{medium:?} {args:?}: {run:?}");
        }
    }
    assert!(fs::read(home.at(VAULT)).unwrap() == before);
}

/// Reads on a read-only view, over and over, and says what went wrong: each answer is of one
/// committed state. Keys are pasted one after the other, so of the keys those up to some number are
/// there.
const READS: &str = r#"
    for i in $(seq "$COUNT"); do
        "$PROGRAM" audit verify >"$SPARE/out" 2>&1 ||
            { echo "verify: $?"; cat "$SPARE/out"; }
        "$PROGRAM" models auth list --json >"$SPARE/out" 2>"$SPARE/err" ||
            { echo "list: $?"; cat "$SPARE/err"; }
        keys=$(grep -o '"profileId": "p[0-9]*:manual"' "$SPARE/out" | grep -o '[0-9]*' | sort -n)
        [ "$keys" = "$(seq $(echo "$keys" | wc -w))" ] || echo "keys: $keys"
        echo "$keys" | wc -w >"$SPARE/last"
    done"#;

/// Reads beside a writer, so many times; how many keys the last answer had.
fn read_beside_writers(home: &Home, count: usize) -> Option<usize> {
    let mut command = unshare(&["--mount"])?;
    let spare = tempfile::tempdir().unwrap();
    let script = format!("{} || exit 99; {READS}", Medium::View.script());
    let reader = command
        .args(["sh", "-c", &script])
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .env("PROGRAM", home.command(&[]).get_program())
        .env("SPARE", spare.path())
        .env("COUNT", count.to_string())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let run: Run = thread::scope(|scope| {
        let reader = scope.spawn(|| reader.wait_with_output().unwrap());
        for n in 1.. {
            if reader.is_finished() {
                break;
            }
            paste(home, &format!("p{n}"), SECRET);
        }
        reader.join().unwrap()
    })
    .into();
    assert_eq!((run.status, run.stdout.as_str()), (0, ""), "{run:?}");
    let last = fs::read_to_string(spare.path().join("last")).unwrap();
    Some(last.trim().parse().unwrap())
}

#[test]
fn beside_commands_that_write_each_answer_is_one_state() {
    let home = home();
    if let Some(last) = read_beside_writers(&home, 80) {
        assert!(last > 3, "the writer wrote {last}");
    }
}

#[test]
fn beside_watch_each_answer_is_one_state() {
    let home = home();
    let watch = Watch::start(&home, &[]);
    if let Some(last) = read_beside_writers(&home, 80) {
        assert!(last > 3, "the writer wrote {last}");
    }
    drop(watch);
}

#[test]
fn a_log_that_is_torn_is_read_as_sqlite_reads_it() {
    // Cut at any length, the log holds the transactions that are whole; SQLite, where it can write,
    // reads the same.
    let whole = home();
    leave(&whole, Left::LogWithoutIndex, |home| {
        for n in 0..4 {
            paste(home, &format!("p{n}"), SECRET);
        }
    });
    let log = format!("{VAULT}-wal");
    let bytes = fs::read(whole.at(&log)).unwrap();
    let vault = fs::read(whole.at(VAULT)).unwrap();
    for part in 0..24 {
        let length = bytes.len() * part / 23;
        let mut torn = bytes[..length].to_vec();
        if part % 3 == 2 && length > 9000 {
            torn[length - 5000] ^= 1; // a page that did not get to the disk
        }
        let home = Home::new();
        home.write(VAULT, &vault);
        home.write(&log, &torn);
        let Some(run) = Medium::View.run(&home, &["audit", "head"]) else {
            return;
        };
        let recovered = alter(&home, |conn| {
            conn.query_row("SELECT max(seq) FROM events", [], |row| {
                row.get::<_, i64>(0)
            })
            .unwrap()
        });
        let head = run.ok();
        assert_eq!(
            head.split(' ').nth(2),
            Some(&*recovered.to_string()),
            "{head}"
        );
    }
}

#[test]
fn what_lies_beside_and_makes_no_sense_changes_nothing() {
    let home = home();
    let head = home.run(&["audit", "head"]).ok();
    let mut journal = vec![0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    journal.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    for size in [u32::MAX, 512, 4096] {
        journal.extend(size.to_be_bytes());
    }
    journal.resize(8192, 0);
    for beside in ["-wal", "-journal"] {
        for bytes in [&journal[..], &[0; 40], &[7; 5000]] {
            let path = format!("{VAULT}{beside}");
            home.write(&path, bytes);
            let Some(run) = Medium::View.run(&home, &["audit", "head"]) else {
                return;
            };
            assert_eq!(run.ok(), head, "{beside}");
            fs::remove_file(home.at(&path)).unwrap();
        }
    }
}
