//! What a process with keys in its memory lets others see, and what is left of one that ended
//! badly.

use std::fs;
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use crate::support::damage::chmod;
use crate::support::home::{Home, Run, STORE, VAULT};

/// A shell in the home that runs a script, in which `$0` is the program.
fn shell(home: &Home, script: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new("sh");
    command
        .arg("-c")
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_clawkeep"))
        .env_clear()
        .env("HOME", home.path())
        .env("PATH", "/usr/bin:/bin")
        .current_dir(home.path())
        .stdin(Stdio::null());
    command
}

/// Who starts it would choose whose files it uses.
#[test]
fn a_setuid_or_setgid_program_does_not_run() {
    use std::os::unix::process::CommandExt as _;
    let why = "a program that is another user's";
    let dir = tempfile::tempdir().unwrap();
    let flags = rustix::fs::statvfs(dir.path()).unwrap().f_flag;
    if !crate::support::skip::is_root_or_skip(why) {
        return;
    }
    if flags.contains(rustix::fs::StatVfsMountFlags::NOSUID) {
        return crate::support::skip::skip("setuid", why);
    }
    chmod(dir.path(), 0o755);
    let program = dir.path().join("clawkeep");
    fs::copy(env!("CARGO_BIN_EXE_clawkeep"), &program).unwrap();
    for (mode, status) in [(0o4755, 77), (0o2755, 77), (0o755, 0)] {
        chmod(&program, mode);
        let mut command = Command::new(&program);
        command.arg("--version").env_clear().uid(1000).gid(1000);
        let run = Run::from(command.output().unwrap()).exits(status);
        let is_refused = run.stderr.contains("does not run setuid or setgid");
        assert_eq!(is_refused, status == 77, "{run:?}");
        assert_eq!(run.stdout.is_empty(), status == 77, "{run:?}");
        assert!(run.stderr.lines().count() <= 1, "{run:?}");
    }
}

/// A process that has opened the vault and waits on stdin for the rest of its answer.
fn waiting(home: &Home, before: &str) -> Child {
    let mut command = shell(
        home,
        format!("{before}; exec \"$0\" key add passphrase --new-passphrase-file -"),
    );
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.spawn().unwrap()
}

/// Waits until the process reads its stdin, and so has opened the vault; it waits for as long as
/// what is returned is there.
fn until_it_waits(child: &mut Child) -> ChildStdin {
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"x").unwrap();
    let deadline = Instant::now() + Duration::from_secs(20);
    while rustix::io::ioctl_fionread(&stdin).unwrap() > 0 {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    stdin
}

fn field<'s>(status: &'s str, name: &str) -> &'s str {
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line[name.len()..].trim()
}

#[test]
fn keys_stay_in_memory_and_new_files_are_the_users_alone() {
    let home = Home::with_claude("sk-ant-oat01-hardened", 8);
    home.run(&["sync"]).ok();
    let mut child = waiting(&home, "umask 000");
    let _open = until_it_waits(&mut child);
    let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(field(&status, "Umask:"), "0077");
    let locked: u64 = field(&status, "VmLck:")
        .trim_end_matches("kB")
        .trim()
        .parse()
        .unwrap();
    assert!(locked > 0, "{status}");
    let core = field(&limits, "Max core file size");
    assert!(core.starts_with('0'), "{core}");
}

#[test]
fn where_nothing_may_be_locked_everything_works() {
    let home = Home::with_claude("sk-ant-oat01-unlocked", 8);
    let mut command = shell(
        &home,
        "ulimit -l 0; exec setpriv --bounding-set -ipc_lock --inh-caps -ipc_lock \"$0\" token \
         --provider anthropic",
    );
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{stderr}");
    assert_eq!(output.stdout, b"sk-ant-oat01-unlocked\n");
}

#[test]
fn a_process_that_is_made_to_crash_leaves_no_core() {
    let home = Home::with_claude("sk-ant-oat01-no-core", 8);
    home.run(&["sync"]).ok();
    let mut child = waiting(&home, "ulimit -c unlimited");
    let _open = until_it_waits(&mut child);
    let killed = Command::new("kill")
        .args(["-ABRT", &child.id().to_string()])
        .status();
    assert!(killed.unwrap().success());
    let status = child.wait().unwrap();
    assert_eq!(status.signal(), Some(6));
    assert!(!status.core_dumped());
}

/// Not even before a command asks for a key: the environment may have secrets in it.
#[test]
fn a_small_stack_is_enough() {
    let home = Home::with_claude("sk-ant-oat01-small-stack", 8);
    for limit in ["350", "512", "2047"] {
        let script = format!("ulimit -s {limit}; exec \"$0\" token --provider anthropic");
        let output = shell(&home, script).output().unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{limit}: {stderr}");
        assert_eq!(output.stdout, b"sk-ant-oat01-small-stack\n");
    }
}

#[test]
fn a_program_that_is_run_has_the_mask_that_it_would_have_had() {
    let home = Home::with_claude("sk-ant-oat01-mask", 8);
    let mut command = shell(
        &home,
        "umask 027; exec \"$0\" exec --provider anthropic -- sh -c umask",
    );
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), "0027");
}

/// Every file below a directory, with what is in it.
fn files(dir: &Path, found: &mut Vec<(std::path::PathBuf, Vec<u8>)>) {
    for entry in fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        let kind = entry.file_type().unwrap();
        if kind.is_dir() {
            files(&path, found);
        } else if kind.is_file() {
            found.push((path.clone(), fs::read(&path).unwrap()));
        }
    }
}

#[test]
fn after_a_session_every_secret_is_only_where_it_belongs() {
    let home = Home::with_claude("sk-ant-oat01-where-it-belongs", 8);
    home.run(&["sync"]).ok();
    let key = "sk-proj-where-it-belongs-too";
    home.run_with_input(
        &["models", "auth", "paste-api-key", "--provider", "openai"],
        key,
    )
    .ok();
    home.write("pf", "where my passphrase belongs\n");
    home.run(&["key", "add", "passphrase", "--new-passphrase-file", "pf"])
        .ok();
    let shown = home.run(&["key", "recovery"]).ok();
    let code: Vec<&str> = shown
        .lines()
        .filter(|line| line.starts_with("  "))
        .map(str::trim)
        .collect();
    assert_eq!(code.len(), 3, "{shown}");
    home.run(&["key", "rotate"]).ok();
    home.run(&["backup", "create", "first.db"]).ok();
    home.run(&["token", "--provider", "openai"]).ok();
    home.run(&["backup", "restore", "first.db"]).ok();
    home.run(&["backup", "create", "second.db"]).ok();
    home.run(&[
        "models",
        "auth",
        "order",
        "set",
        "--provider",
        "openai",
        "openai:manual",
    ])
    .ok();
    home.run(&["audit", "export", "--to", "record.jsonl"]).ok();
    home.run(&["report", "--to", "page.html"]).ok();
    let store = home.at(STORE);
    let claude = home.at(crate::support::home::CLAUDE);
    let mut all = Vec::new();
    files(home.path(), &mut all);
    assert!(all.iter().any(|(path, _)| *path == home.at(VAULT)));
    for (path, bytes) in &all {
        let has = |text: &str| {
            bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        };
        let may_have_tokens = *path == store;
        assert!(may_have_tokens || !has(key), "{}", path.display());
        let may_have_login = may_have_tokens || *path == claude;
        assert!(
            may_have_login || !has("sk-ant-oat01-where-it-belongs"),
            "{}",
            path.display()
        );
        assert!(
            !has("refresh-of-sk-ant") || *path == claude,
            "{}",
            path.display()
        );
        assert!(
            !has("where my passphrase belongs") || *path == home.at("pf"),
            "{}",
            path.display()
        );
        let groups = code.iter().flat_map(|line| line.split('-'));
        let seen = groups.filter(|group| has(group)).count();
        assert!(seen < 2, "{}: a recovery code", path.display());
    }
    let store_has = all.iter().find(|(path, _)| *path == store).unwrap();
    assert!(String::from_utf8_lossy(&store_has.1).contains(key));
}
