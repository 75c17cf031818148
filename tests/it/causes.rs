//! What the system refuses, and why: the remedy follows the cause, whatever was to be done.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::support::home::{HOUR, Home, Run, STORE, now_ms};
use crate::support::skip::{is_root_or_skip, unshare};
use crate::support::users::can_be_others;
use crate::support::watch::Watch;

const SECRET: &str = "sk-test-abcdefghijklmnopqrstuvwxyz";
const TOKEN: &[&str] = &["token", "--provider", "openai"];

/// What every script can use. `$TOP` is where answers are kept, `$HOME` the home, a directory or
/// mount of its own.
const PRELUDE: &str = r#"
set -u
umask 077
ck() { env -i HOME="$HOME" PATH=/usr/bin:/bin "$BIN" "$@"; }
try() {
    label=$1; shift
    ck "$@" >"$TOP/$label.out" 2>"$TOP/$label.err" </dev/null
    echo $? >"$TOP/$label.status"
}
set_up() {
    mkdir -p "$HOME/.clawdbot/agents/main/agent" && ck -q init --key keyfile &&
        echo SECRET | ck -q models auth paste-api-key --provider openai || exit 99
}
later=0
login() {
    mkdir -p "$HOME/.claude"
    later=$((later + 60000))
    printf '{"claudeAiOauth":{"accessToken":"sk-ant-oat01-%s","expiresAt":%d}}' "$1" \
        $((EXPIRES + later)) >"$HOME/.claude/new"
    mv "$HOME/.claude/new" "$HOME/.claude/.credentials.json"
}
fill() { dd if=/dev/zero of="$HOME/fill" bs=1k count=8192 2>/dev/null; true; }
until_so() { n=0; until "$@"; do n=$((n + 1)); [ $n -lt 600 ] || return 1; sleep 0.05; done; }
S=$HOME/.clawdbot/agents/main/agent/auth-profiles.json
V=$HOME/.clawdbot/vault.db
"#;

/// A place in which a script ran.
struct Place(TempDir);

impl Place {
    /// Runs a script in a mount namespace of its own; `None` where the system has none, which is
    /// reported.
    fn ran(script: &str) -> Option<Self> {
        let mut command = unshare(&["--mount"])?;
        command.args(["sh", "-c"]);
        Some(Self::run_by(command, script))
    }

    fn run_by(mut command: Command, script: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        let home = place.at("home");
        fs::create_dir(&home).unwrap();
        fs::set_permissions(&home, fs::Permissions::from_mode(0o700)).unwrap();
        let expires = (now_ms() + 9 * HOUR).to_string();
        let prelude = PRELUDE
            .replace("SECRET", SECRET)
            .replace("EXPIRES", &expires);
        let ran = command
            .arg(format!("{prelude}{script}"))
            .env("BIN", env!("CARGO_BIN_EXE_clawkeep"))
            .env("TOP", place.0.path())
            .env("HOME", &home)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        assert!(ran.status.success(), "the script: {ran:?}");
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// What a command of the script answered.
    fn run(&self, label: &str) -> Run {
        let read = |end: &str| fs::read_to_string(self.at(&format!("{label}.{end}"))).unwrap();
        Run {
            status: read("status").trim().parse().unwrap(),
            stdout: read("out"),
            stderr: read("err"),
        }
    }

    /// A command of the script failed, and said these words and none of disks that are full where
    /// those are not among them.
    #[track_caller]
    fn refused(&self, label: &str, words: &[&str]) {
        says_cause(&self.run(label).exits(1), words);
    }
}

#[track_caller]
fn says_cause(run: &Run, words: &[&str]) {
    for word in words {
        assert!(run.stderr.contains(word), "{word}: {run:?}");
    }
    let is_about_room = words.iter().any(|word| word.contains("full"));
    assert!(is_about_room || !run.stderr.contains("is full"), "{run:?}");
    assert!(!run.stderr.contains("clawkeep has a bug"), "{run:?}");
}

#[test]
fn a_full_disk_is_named_with_its_mount_and_is_over_once_there_is_room() {
    let place = Place::ran(
        r#"
mount -t tmpfs -o size=3m,mode=700 none "$HOME"
set_up
fill
try token token --provider openai
rm "$HOME/fill"; login new; fill
try sync sync
try rotate key rotate
try create backup create "$HOME/b.db"
try elsewhere backup create "$TOP/b.db"
try lists models auth list
try history history
try doctor doctor
rm "$HOME/fill"
[ ! -e "$HOME/b.db.clawkeep-tmp" ] || exit 98
try after token --provider openai
try verify audit verify
"#,
    );
    let Some(place) = place else { return };
    for label in ["token", "sync", "rotate", "create"] {
        let mount = format!(
            "mounted at {} is full (0 B free)",
            place.at("home").display()
        );
        place.refused(label, &["No space left on device", &mount, "df -h"]);
    }
    let made = place.run("elsewhere").exits(0);
    assert!(made.stderr.contains("not in the record"), "{made:?}");
    for reader in ["lists", "history"] {
        let read = place.run(reader).exits(0);
        assert!(read.stdout.contains("openai:"), "{read:?}");
    }
    let doctor = place.run("doctor").exits(1);
    assert!(doctor.stdout.contains("is full (0 B free)"), "{doctor:?}");
    assert_eq!(place.run("after").ok().trim_end(), SECRET);
    place.run("verify").ok();
}

#[test]
fn a_backup_to_a_full_disk_names_that_disk() {
    let place = Place::ran(
        r#"
set_up
mkdir "$TOP/small"
mount -t tmpfs -o size=64k,mode=700 none "$TOP/small"
try create backup create "$TOP/small/b.db"
ls -A "$TOP/small" >"$TOP/left"
try after token --provider openai
"#,
    );
    let Some(place) = place else { return };
    let create = place.run("create").exits(1);
    let small = place.at("small");
    let mount = format!("mounted at {} is full", small.display());
    says_cause(&create, &[&mount, small.join("b.db").to_str().unwrap()]);
    assert!(!create.stderr.contains("vault.db"), "{create:?}");
    assert_eq!(fs::read_to_string(place.at("left")).unwrap(), "");
    assert_eq!(place.run("after").ok(), format!("{SECRET}\n"));
}

#[test]
fn a_file_system_without_inodes_is_not_called_full() {
    let place = Place::ran(
        r#"
mount -t tmpfs -o size=9m,nr_inodes=40,mode=700 none "$HOME"
set_up
rm -f "$V-wal" "$V-shm" # which stay else, and need no new inode
n=0; while touch "$HOME/f$n" 2>/dev/null; do n=$((n + 1)); [ $n -lt 99 ] || exit 97; done
try token token --provider openai
try create backup create "$HOME/b.db"
"#,
    );
    let Some(place) = place else { return };
    for label in ["token", "create"] {
        place.refused(label, &["has no inodes left", "df -i"]);
    }
}

#[test]
fn a_read_only_mount_is_named() {
    let place = Place::ran(
        r#"
mkdir "$HOME/out"
set_up
mount --bind "$HOME/out" "$HOME/out"; mount -o remount,bind,ro "$HOME/out"
try create backup create "$HOME/out/b.db"
try report report --to "$HOME/out/r.html"
"#,
    );
    let Some(place) = place else { return };
    let mount = format!("mounted at {} is read-only", place.at("home/out").display());
    for label in ["create", "report"] {
        place.refused(label, &["Read-only file system", &mount]);
    }
}

/// Nothing can be renamed over such a file, and a gateway may read it at any moment, so it is not
/// written in place.
#[test]
fn a_store_that_is_mounted_as_a_file_waits_and_is_made_up_for() {
    let place = Place::ran(
        r#"
set_up
cp "$S" "$TOP/store.json"
mount --bind "$TOP/store.json" "$S"
login new
try sync sync
try token token --provider anthropic
try doctor doctor
mount -o remount,bind,ro "$S"
try order models auth order set --provider openai openai:manual
umount "$S"
try later sync
ls -A "${S%/*}" >"$TOP/left"
cp "$S" "$TOP/after.json"
"#,
    );
    let Some(place) = place else { return };
    let dir = place.at("home").join(Path::new(STORE).parent().unwrap());
    let words = [
        "the vault is up to date. auth-profiles.json could not be written",
        "is mounted as a single file",
        &format!("Mount its directory instead: {}", dir.display()),
    ];
    place.refused("sync", &words);
    place.refused("order", &words);
    assert_eq!(place.run("token").stdout, "sk-ant-oat01-new\n");
    let doctor = place.run("doctor").exits(1);
    assert!(
        doctor.stdout.contains("Mount its directory instead"),
        "{doctor:?}"
    );
    place.run("later").ok();
    let left = fs::read_to_string(place.at("left")).unwrap();
    assert_eq!(left, "auth-profiles.json\n");
    let after = fs::read_to_string(place.at("after.json")).unwrap();
    assert!(after.contains("sk-ant-oat01-new"), "{after}");
}

/// The log of a vault would lie on another file system, and is gone with the container.
#[test]
fn a_vault_a_key_file_and_a_configuration_that_are_mounted_as_files_are_refused() {
    let place = Place::ran(
        r#"
set_up
C=$HOME/.clawdbot/clawdbot.json
[ -e "$C" ] || echo '{}' >"$C"
mount --bind "$C" "$C"
echo sk-test-another-abcdefghijklmnop | \
    ck models auth paste-api-key --provider anthropic >/dev/null 2>"$TOP/configuration.err"
umount "$C"
cp "$V" "$TOP/vault.db"
mount --bind "$TOP/vault.db" "$V"
try vault token --provider openai
try create backup create "$HOME/b.db"
ls -A "$HOME/.clawdbot" >"$TOP/beside"
umount "$V"
K=$(ls "$HOME"/.config/clawkeep/*.key)
mount --bind "$K" "$K"
try key token --provider openai
try rotate key rotate --compromised
ls "$HOME/.config/clawkeep" >"$TOP/keys"
umount "$K"
try after key rotate --compromised
try verify audit verify
"#,
    );
    let Some(place) = place else { return };
    let said = fs::read_to_string(place.at("configuration.err")).unwrap();
    assert!(said.contains("Mount its directory instead"), "{said}");
    for label in ["vault", "create"] {
        place.refused(
            label,
            &[
                "vault.db is mounted as a single file",
                "Mount its directory",
            ],
        );
    }
    assert_eq!(place.run("key").ok().trim_end(), SECRET);
    place.refused(
        "rotate",
        &[".key is the service manager's or the container's"],
    );
    let keys = fs::read_to_string(place.at("keys")).unwrap();
    assert_eq!(
        keys.lines().count(),
        1,
        "a new key that no vault has: {keys}"
    );
    place.run("after").ok();
    place.run("verify").ok();
}

#[test]
fn an_attribute_that_forbids_changes_is_named() {
    if !is_root_or_skip("chattr takes root") {
        return;
    }
    let mut shell = Command::new("sh");
    shell.arg("-c");
    let place = Place::run_by(
        shell,
        r#"
set_up
chattr +i "$V" 2>/dev/null || { touch "$TOP/none"; exit 0; }
try immutable token --provider openai
chattr -i "$V"; chattr +a "$V"
try append token --provider openai
chattr -a "$V"
login new
chattr +i "$S"
try store sync
chattr -i "$S"; chattr +i "${S%/*}"
try directory sync
chattr -i "${S%/*}"
try after sync
"#,
    );
    if place.at("none").exists() {
        crate::support::skip::skip("attributes", "the file system has no attributes");
        return;
    }
    // In a container root may not remove it either, and is told to ask.
    place.refused("immutable", &["vault.db has the attribute immutable"]);
    place.refused("append", &["vault.db has the attribute append-only"]);
    place.refused("store", &["auth-profiles.json has the attribute immutable"]);
    place.refused("directory", &["/agent has the attribute immutable"]);
    place.run("after").ok();
}

#[test]
fn what_only_root_may_use_is_named() {
    if !can_be_others("a file system with reserved blocks") {
        return;
    }
    let place = Place::ran(
        r#"
dd if=/dev/zero of="$TOP/image" bs=1M count=16 2>/dev/null
mkfs.ext4 -q -m 40 "$TOP/image" && mount -o loop "$TOP/image" "$HOME" 2>/dev/null ||
    { touch "$TOP/none"; exit 0; }
chmod 711 "$TOP" "$HOME"; chown 1000:1000 "$HOME"
as_ana() {
    setpriv --reuid 1000 --regid 1000 --clear-groups env -i HOME="$HOME" PATH=/usr/bin:/bin "$@"
}
as_ana "$BIN" -q init --key keyfile
as_ana dd if=/dev/zero of="$HOME/fill" bs=1k count=16384 2>/dev/null
echo sk-test-abcdefghijklmnopqrstuvwxyz | as_ana "$BIN" models auth paste-api-key --provider openai \
    >"$TOP/paste.out" 2>"$TOP/paste.err"; echo $? >"$TOP/paste.status"
"#,
    );
    let Some(place) = place else { return };
    if place.at("none").exists() {
        crate::support::skip::skip("loop", "no file system can be made and mounted");
        return;
    }
    place.refused("paste", &["is full for this user", "only root"]);
}

/// A home with a key, and commands that read, write and copy.
fn home_with_key() -> Home {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    home.run_with_input(
        &["models", "auth", "paste-api-key", "--provider", "openai"],
        &format!("{SECRET}\n"),
    )
    .ok();
    home
}

const COMMANDS: &[&[&str]] = &[
    TOKEN,
    &["models", "status"],
    &["sync"],
    &["doctor"],
    &["history"],
    &["audit", "verify"],
    &["key", "rotate"],
    &["report", "--to", "r.html"],
    &["backup", "create", "b.db"],
    &["watch", "--once"],
    &["watch", "--test-notify"],
];

/// Runs a command under limits of `prlimit`.
fn limited(home: &Home, limits: &[String], args: &[&str]) -> Run {
    let mut command = Command::new("prlimit");
    command
        .args(limits)
        .arg(env!("CARGO_BIN_EXE_clawkeep"))
        .args(args)
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .current_dir(home.path())
        .stdin(Stdio::null());
    command.output().unwrap().into()
}

#[test]
fn with_few_descriptors_a_command_works_or_names_the_limit() {
    let home = home_with_key();
    let mut named = 0;
    for files in 4..=12 {
        for args in COMMANDS {
            let run = limited(&home, &[format!("--nofile={files}")], args);
            let said = format!("{}{}", run.stdout, run.stderr);
            // The program was not even loaded; or no alarm is set up, which is the answer.
            if run.status == 0 || said.contains("shared libraries") || said.contains("[notify]") {
                continue;
            }
            assert!(
                said.contains("Too many open files"),
                "{files}: {args:?}: {run:?}"
            );
            assert!(
                said.contains("ulimit -n 1024"),
                "{files}: {args:?}: {run:?}"
            );
            assert!(
                !said.contains("is full") && !said.contains("damaged"),
                "{run:?}"
            );
            named += 1;
        }
        let _ = fs::remove_file(home.at("b.db"));
    }
    assert!(named > 0, "no limit was met");
    assert_eq!(home.run(TOKEN).ok().trim_end(), SECRET);
    home.assert_sound();
}

#[test]
fn a_limit_on_the_size_of_files_is_named_and_ends_no_process() {
    let home = home_with_key();
    for (args, bytes) in [(TOKEN, 4096), (&["backup", "create", "b.db"], 65536)] {
        let run = limited(&home, &[format!("--fsize={bytes}")], args).exits(1);
        says_cause(&run, &["File too large", "ulimit -f", "LimitFSIZE="]);
    }
    assert!(home.files().iter().all(|file| !file.contains("b.db")));
    home.assert_sound();
}

#[test]
fn where_no_process_can_be_started_every_command_works_or_says_so() {
    if !can_be_others("a limit on processes, which root does not have,") {
        return;
    }
    let home = home_with_key();
    home.write(
        ".clawdbot/clawkeep.toml",
        "[notify.command.a]\nrun = [\"/bin/true\"]\n[notify.command.b]\nrun = [\"/bin/true\"]\n",
    );
    let uid = 4242;
    crate::support::users::give(home.path(), uid, uid);
    for processes in [1, 2, 3] {
        for args in COMMANDS {
            let mut command = Command::new("prlimit");
            command
                .arg(format!("--nproc={processes}"))
                .args(["setpriv", "--reuid=4242", "--regid=4242", "--clear-groups"])
                .arg(env!("CARGO_BIN_EXE_clawkeep"))
                .args(*args)
                .env_clear()
                .env("HOME", home.path())
                .env("PATH", "/usr/bin:/bin")
                .current_dir(home.path())
                .stdin(Stdio::null());
            let run: Run = command.output().unwrap().into();
            assert!(run.status <= 75 && run.status >= 0, "{args:?}: {run:?}");
            let said = format!("{}{}", run.stdout, run.stderr);
            assert!(!said.contains("clawkeep has a bug"), "{args:?}: {run:?}");
            if run.status == 1 {
                assert!(
                    said.contains("ulimit -u") && said.contains("TasksMax="),
                    "{args:?}: {run:?}"
                );
            }
        }
        let left = home.files();
        assert!(left.iter().all(|file| !file.contains("-tmp")), "{left:?}");
        let _ = fs::remove_file(home.at("b.db"));
    }
}

/// zbus panics where it gets no thread or no descriptor.
#[test]
fn a_keychain_that_a_limit_keeps_from_being_asked_is_not_called_locked() {
    let home = Home::new();
    let mut named = 0;
    for files in 6..=16 {
        let mut command = Command::new("prlimit");
        command
            .arg(format!("--nofile={files}"))
            .arg(env!("CARGO_BIN_EXE_clawkeep"))
            .args(["init", "--key", "keychain"])
            .env_clear()
            .env("HOME", home.path())
            .env("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
            .current_dir(home.path())
            .stdin(Stdio::null());
        let run: Run = command.output().unwrap().into();
        if run.stderr.contains("shared libraries") {
            continue;
        }
        assert!([1, 77].contains(&run.status), "{files}: {run:?}");
        assert!(
            !run.stderr.contains("clawkeep has a bug"),
            "{files}: {run:?}"
        );
        assert!(!run.stderr.contains("Unlock"), "{files}: {run:?}");
        named += usize::from(run.stderr.contains("ulimit -n"));
    }
    assert!(named > 0, "no limit was met");
}

/// What no test can make of a machine: errors of the system that a library puts in.
#[cfg(target_arch = "x86_64")]
#[test]
fn each_error_of_the_system_has_its_own_remedy() {
    use crate::support::faults::{Fault, KINDS, run_with};
    let cases = [
        ("write EDQUOT", "quota -s"),
        ("write EIO", "journalctl -k"),
        ("sync EIO", "journalctl -k"),
        ("open EROFS", "is read-only"),
        ("open EMFILE", "ulimit -n 1024"),
    ];
    for (name, words) in cases {
        let kind = KINDS.iter().find(|kind| kind.name == name).unwrap();
        let home = home_with_key();
        let fault = Fault {
            kind,
            nth: 1,
            stays: true,
        };
        let (run, seen) = run_with(home.command(TOKEN), &fault);
        assert!(seen.hit > 0, "{name}");
        says_cause(&run.exits(1), &[words]);
        home.assert_sound();
    }
}

#[test]
fn a_watcher_on_a_full_disk_goes_on_says_it_once_and_recovers() {
    let place = Place::ran(
        r#"
mkdir -m 700 "$HOME/.clawdbot"
mount -t tmpfs -o size=3m,mode=700 none "$HOME/.clawdbot"
set_up
login first
ck watch >"$TOP/watch.out" 2>"$TOP/watch.err" </dev/null &
watcher=$!
trap 'kill $watcher 2>/dev/null' EXIT
until_so grep -q first "$S" || exit 96
dd if=/dev/zero of="$HOME/.clawdbot/fill" bs=1k count=8192 2>/dev/null
login second
until_so grep -q 'is full' "$TOP/watch.err" || { cat "$TOP/watch.err" >&2; exit 95; }
login third; sleep 3
grep -c 'is full' "$TOP/watch.err" >"$TOP/count"
kill -0 $watcher || exit 94
rm "$HOME/.clawdbot/fill"
until_so grep -q third "$S" || { cat "$TOP/watch.err" >&2; exit 93; }
kill $watcher; wait $watcher
try verify audit verify
"#,
    );
    let Some(place) = place else { return };
    assert_eq!(fs::read_to_string(place.at("count")).unwrap(), "1\n");
    place.run("verify").ok();
}

#[test]
fn a_watcher_without_descriptors_goes_on_says_it_once_and_recovers() {
    let home = home_with_key();
    home.claude_login("sk-ant-oat01-first", 9);
    let watch = Watch::start(&home, &[]);
    let set_limit = |files: &str| {
        let pid = watch.pid().to_string();
        let set = Command::new("prlimit")
            .args(["--pid", &pid, &format!("--nofile={files}:4096")])
            .status()
            .unwrap();
        assert!(set.success());
    };
    set_limit("4");
    home.claude_login("sk-ant-oat01-second", 9);
    watch.says("ulimit -n 1024");
    home.claude_login("sk-ant-oat01-third", 9);
    std::thread::sleep(std::time::Duration::from_secs(3)); // for a second line, which must not come
    // Each subject (the store, the agents, the vault) once.
    let said = watch.said();
    let errors = said.lines().filter_map(|line| line.split_once(" Error: "));
    let mut errors: Vec<&str> = errors.map(|(_, error)| error).collect();
    assert!(
        errors.iter().all(|error| error.contains("ulimit -n 1024")),
        "{said}"
    );
    errors.sort_unstable();
    let number = errors.len();
    errors.dedup();
    assert_eq!(errors.len(), number, "{said}");
    set_limit("1024");
    watch.until("there are descriptors again", || {
        fs::read_to_string(home.at(STORE)).is_ok_and(|text| text.contains("sk-ant-oat01-third"))
    });
    watch.end().exits(0);
    home.assert_sound();
}

#[test]
fn a_directory_that_is_missing_is_named() {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    let run = home.run(&["backup", "create", "missing/b.db"]).exits(1);
    let directory = "missing. Make it first, or name another.";
    assert!(run.stderr.contains(directory), "{run:?}");
    let run = home.run(&["backup", "verify", "b.db"]).exits(1);
    assert!(run.stderr.contains("Name a file that is there."), "{run:?}");
}
