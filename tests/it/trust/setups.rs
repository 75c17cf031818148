//! Common set-ups in which owners and modes are not what they are on a machine of one's own, and
//! which work all the same.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::damage::{STATUS, chmod, home_with_vault};
use crate::support::home::{AGENT, CLAUDE, Home, Run, VAULT};
use crate::support::users::{ANA, BOB, Machine, can_be_others, give, own};

const PASSWD: &str = "root:x:0:0::/root:/bin/sh\n\
    ana:x:1000:1000::/home/ana:/bin/sh\n\
    bob:x:1001:1001::/home/bob:/bin/sh\n";
const GROUP: &str = "root:x:0:\nana:x:1000:\nbob:x:1001:\n";
const TOKEN: &[&str] = &["token", "--provider", "anthropic"];

/// Sets every mode below a directory, files without the right to run.
fn chmod_all(dir: &Path, dirs: u32, files: u32) {
    chmod(dir, dirs);
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match fs::symlink_metadata(&path).unwrap() {
            meta if meta.is_dir() => chmod_all(&path, dirs, files),
            meta if meta.is_file() && path.file_name().is_some_and(|name| name != "clawkeep") => {
                chmod(&path, files);
            }
            _ => {}
        }
    }
}

#[allow(clippy::print_stderr, reason = "the test harness shows it")]
fn skipped(why: &str) {
    eprintln!("skipped: {why}");
}

/// Every file of the home written by one who shares it with nobody: with umask 002, as Debian sets
/// it up.
#[test]
fn a_group_of_ones_own_is_not_others() {
    if !can_be_others("a_group_of_ones_own_is_not_others") {
        return;
    }
    let home = home_with_vault();
    home.write(".clawdbot/clawdbot.json", "{}");
    home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\nfallback = \"any\"\n",
    );
    give(home.path(), ANA, ANA);
    chmod_all(home.path(), 0o775, 0o664);
    chmod_all(&home.at(".config"), 0o770, 0o660);
    let run = |group: &str, args: &[&str]| {
        let machine = Machine::with_accounts(&home, PASSWD, group);
        machine.user(ANA, ANA, "").run(&home, args)
    };
    for args in [STATUS, &["sync"], TOKEN, &["watch", "--once"]] {
        run(GROUP, args).ok();
    }
    chmod_all(home.path(), 0o770, 0o660);
    let found = run(GROUP, &["doctor"]).stdout;
    assert!(
        found.contains("keys.single") && !found.contains("permissions."),
        "{found}"
    );
    // With a second member it is a group like any other, and so is one of another user's.
    for group in [
        "ana:x:1000:bob\nbob:x:1001:\n",
        "ana:x:1000:ana,bob\nbob:x:1001:\n",
    ] {
        let refused = run(group, STATUS).exits(65);
        for words in [
            "can be written by other users (mode 770, owner 1000)",
            "chmod go-w",
        ] {
            assert!(refused.stderr.contains(words), "{group}: {refused:?}");
        }
    }
    let passwd = format!("{PASSWD}carl:x:1002:1000::/home/carl:/bin/sh\n");
    let machine = Machine::with_accounts(&home, &passwd, GROUP).user(ANA, ANA, "");
    machine.run(&home, STATUS).exits(65);
    // An access list shows in the bits of the group: those are not the group's then.
    let listed = Machine::with_accounts(&home, PASSWD, GROUP).user(ANA, ANA, "");
    if Run::from(
        setfacl(&home.at(VAULT))
            .output()
            .unwrap_or_else(|_| no_output()),
    )
    .status
        == 0
    {
        let run = listed.run(&home, STATUS).exits(65);
        assert!(run.stderr.contains("setfacl -b"), "{run:?}");
    } else {
        skipped("access lists need setfacl and a file system that has them");
    }
}

fn setfacl(path: &Path) -> std::process::Command {
    let mut command = std::process::Command::new("setfacl");
    command.args(["-m", "u:1001:rw"]).arg(path);
    command
}

fn no_output() -> std::process::Output {
    std::process::Command::new("false").output().unwrap()
}

/// A pod's volume: root's, the group's to write, everything in it opened to the group when it is
/// mounted.
#[test]
fn a_volume_with_an_fs_group_works() {
    if !can_be_others("a_volume_with_an_fs_group_works") {
        return;
    }
    let home = Home::with_claude("sk-test-claude-1", 100);
    give(home.path(), ANA, ANA);
    fs::create_dir(home.at("volume")).unwrap();
    fs::create_dir(home.at("kept")).unwrap();
    let mount = |mode: &str, group: &str| {
        format!(
            "mount -t tmpfs -o mode=0755 none volume; cp -a kept/. volume/; \
             chown :{group} volume; find volume -exec chgrp {group} {{}} +; \
             find volume -exec chmod g+rwX {{}} +; find volume -type d -exec chmod g+s {{}} +; \
             chmod {mode} volume"
        )
    };
    let keep = "trap 'cp -a volume/. kept/' EXIT";
    let in_pod = |setup: &str, groups: &'static str, args: &[&str]| {
        // What is on the volume outlives the pod.
        let machine = Machine::with_accounts(&home, PASSWD, GROUP)
            .mount(setup)
            .mount(keep)
            .user(ANA, ANA, groups)
            .set(
                "CLAWDBOT_STATE_DIR",
                home.at("volume/state").to_str().unwrap(),
            )
            .set(
                "XDG_CONFIG_HOME",
                home.at("volume/config").to_str().unwrap(),
            );
        machine.run_and_stay(&home, args)
    };
    in_pod(&mount("2775", "2000"), "2000", STATUS).ok();
    assert!(home.at("kept/state/vault.db").exists());
    for args in [STATUS, TOKEN, &["watch", "--once"]] {
        in_pod(&mount("2770", "2000"), "2000", args).ok();
    }
    // A group that others are in, one that the process is not in, and root's are none of the pod's
    // own.
    for (group, groups) in [("1001", "1001"), ("2000", "2001"), ("0", "0")] {
        let run = in_pod(&mount("2775", group), groups, STATUS).exits(65);
        assert!(
            run.stderr.contains("can be written by other users"),
            "{run:?}"
        );
    }
    // One that everybody may write is refused without a command that would lock the user out; what
    // is said instead works.
    let all = mount("2777", "2000");
    let state = home.at("volume");
    let machine = || {
        Machine::with_accounts(&home, PASSWD, GROUP)
            .mount(&all)
            .user(ANA, ANA, "2000")
    };
    let state = state.to_str().unwrap();
    let run = machine().run(&home, &["--state-dir", state, "init"]);
    assert_ne!(run.status, 0, "{run:?}");
    let own = format!("{state}/clawkeep");
    let words = format!("mkdir -m 700 {own} && HOME={own} clawkeep");
    assert!(run.stderr.contains(&words), "{run:?}");
    assert!(!run.stderr.contains("chmod go-w"), "{run:?}");
    machine()
        .mount(&format!("mkdir -m 700 {own}; chown {ANA}:{ANA} {own}"))
        .set("HOME", own)
        .run(&home, &["init"])
        .ok();
    // Whom the user admits, is.
    let machine = Machine::with_accounts(&home, PASSWD, GROUP)
        .mount(&mount("2775", "0"))
        .user(ANA, ANA, "0")
        .set(
            "CLAWDBOT_STATE_DIR",
            home.at("volume/state").to_str().unwrap(),
        )
        .set(
            "XDG_CONFIG_HOME",
            home.at("volume/config").to_str().unwrap(),
        );
    machine
        .set("CLAWKEEP_TRUSTED", "gid:0")
        .run(&home, STATUS)
        .ok();
}

/// A container's root, with a user's directory mounted into its home.
#[test]
fn root_in_a_container_works_on_a_users_mounted_files() {
    if !can_be_others("root_in_a_container_works_on_a_users_mounted_files") {
        return;
    }
    let home = Home::new();
    let anas = home_with_vault();
    for dir in [".clawdbot", ".claude", "elsewhere"] {
        fs::create_dir_all(home.at(dir)).unwrap();
    }
    fs::create_dir_all(home.at(".config")).unwrap();
    fs::rename(anas.at(".config/clawkeep"), home.at(".config/clawkeep")).unwrap();
    give(anas.path(), ANA, ANA);
    let state = anas.at(".clawdbot").display().to_string();
    let claude = anas.at(".claude").display().to_string();
    let container = Machine::default().mount(&format!(
        "mount --bind {state} .clawdbot; mount --bind {claude} .claude"
    ));
    for args in [STATUS, TOKEN, &["sync"]] {
        container.run(&home, args).ok();
    }
    // Settings, which start programs, are obeyed only once their owner is admitted.
    anas.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\nfallback = \"any\"\n",
    );
    own(&anas.at(".clawdbot/clawkeep.toml"), ANA);
    let run = container.run(&home, &["sync"]).exits(65);
    assert!(run.stderr.contains("CLAWKEEP_TRUSTED=uid:1000"), "{run:?}");
    let admitting = container.clone().set("CLAWKEEP_TRUSTED", "uid:1000");
    admitting.run(&home, &["sync"]).ok();
    fs::remove_file(anas.at(".clawdbot/clawkeep.toml")).unwrap();
    // What a third user owns there is nobody's whom the mount speaks for, and a mount outside the
    // home speaks for nobody.
    own(&anas.at(CLAUDE), BOB);
    let run = container.run(&home, &["sync"]);
    assert!(run.stderr.contains("belongs to user 1001"), "{run:?}");
    own(&anas.at(CLAUDE), ANA);
    let outside = Home::new();
    fs::create_dir(outside.at("state")).unwrap();
    let machine = Machine::default()
        .mount(&format!(
            "mount --bind {state} {}",
            outside.at("state").display()
        ))
        .set("CLAWDBOT_STATE_DIR", outside.at("state").to_str().unwrap());
    let run = machine.run(&home, STATUS).exits(65);
    assert!(run.stderr.contains("belongs to user 1000"), "{run:?}");
}

/// A login that another user's program keeps, and that the user wants used.
#[test]
fn whom_the_settings_admit_is_trusted() {
    if !can_be_others("whom_the_settings_admit_is_trusted") {
        return;
    }
    let home = home_with_vault();
    home.claude_login("sk-test-claude-2", 200);
    give(&home.at(".claude"), ANA, 2000);
    chmod(&home.at(".claude"), 0o770);
    let run = home.run(&["sync"]);
    assert!(run.stderr.contains("belongs to user 1000"), "{run:?}");
    home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\ntrusted = [\"uid:1000\"]\n",
    );
    let run = home.run(&["sync"]);
    assert!(
        run.stderr
            .contains("can be written by other users (mode 770, owner 1000)"),
        "{run:?}"
    );
    assert!(run.stderr.contains("gid:2000"), "{run:?}");
    home.write(
        ".clawdbot/clawkeep.toml",
        "[clawkeep]\ntrusted = [\"uid:1000\", \"gid:2000\"]\n",
    );
    home.run(&["sync"]).ok();
    assert_eq!(home.run(TOKEN).ok().trim(), "sk-test-claude-2");
    // Everybody is never admitted.
    chmod(&home.at(".claude"), 0o777);
    let run = home.run(&["sync"]);
    assert!(run.stderr.contains("mode 777"), "{run:?}");
}

/// A directory that is a link into a store which a group may add to, as home-manager makes them.
#[test]
fn a_link_into_a_sticky_store_of_roots_works() {
    if !can_be_others("a_link_into_a_sticky_store_of_roots_works") {
        return;
    }
    let store = Home::new();
    chmod(store.path(), 0o755);
    let in_store = store.at("nix/hash-home-files");
    fs::create_dir_all(&in_store).unwrap();
    let home = home_with_vault();
    fs::write(in_store.join("clawdbot.json"), "{}").unwrap();
    chmod(&in_store.join("clawdbot.json"), 0o444);
    chmod(&in_store, 0o555);
    give(&store.at("nix"), 0, 30000);
    chmod(&store.at("nix"), 0o1775);
    symlink(in_store.join("clawdbot.json"), home.at("to-store")).unwrap();
    symlink("../to-store", home.at(".clawdbot/clawdbot.json")).unwrap();
    give(home.path(), ANA, ANA);
    let machine =
        Machine::with_accounts(&home, PASSWD, "builders:x:30000:bob\n").user(ANA, ANA, "");
    machine.run(&home, STATUS).ok();
    // What a member of that group put there is not root's.
    own(&in_store.join("clawdbot.json"), BOB);
    let run = machine.run(&home, STATUS).exits(65);
    assert!(run.stderr.contains("belongs to user 1001"), "{run:?}");
    own(&in_store.join("clawdbot.json"), 0);
    chmod(&store.at("nix"), 0o775); // not sticky: the group can replace what root put there
    let run = machine.run(&home, STATUS).exits(65);
    assert!(
        run.stderr
            .contains("/nix can be written by other users (mode 775"),
        "{run:?}"
    );
}

/// WSL shows everything on a Windows disk as 0777; what the mounts say of it decides.
#[test]
fn modes_of_a_windows_disk_mean_nothing() {
    if !can_be_others("modes_of_a_windows_disk_mean_nothing") {
        return;
    }
    let home = home_with_vault();
    give(home.path(), ANA, ANA);
    chmod_all(&home.at(".clawdbot"), 0o777, 0o777);
    chmod_all(&home.at(".claude"), 0o777, 0o777);
    let disk = |more: &str| {
        let at = home.path().display();
        let line = format!(
            "99 1 0:50 / {at} rw,noatime - 9p C:\\134 \
             rw,dirsync,aname=drvfs;path=C:\\;uid=1000;gid=1000{more},trans=fd\n"
        );
        fs::write(home.at("mountinfo"), line).unwrap();
        let setup = "mount --bind mountinfo /proc/$$/mountinfo";
        Machine::with_accounts(&home, PASSWD, GROUP)
            .mount(setup)
            .user(ANA, ANA, "")
    };
    for args in [STATUS, TOKEN] {
        disk("").run(&home, args).ok();
    }
    let run = disk(";metadata").run(&home, STATUS).exits(65);
    assert!(
        run.stderr.contains("chmod go-w"),
        "there modes are kept: {run:?}"
    );
}

/// Where `chmod` cannot work, the message says what does.
#[test]
fn where_chmod_has_no_effect_something_else_is_reported() {
    if !can_be_others("where_chmod_has_no_effect_something_else_is_reported") {
        return;
    }
    let home = home_with_vault();
    give(home.path(), ANA, ANA);
    chmod(&home.at(CLAUDE), 0o666);
    let machine = |setup: &str| {
        Machine::with_accounts(&home, PASSWD, GROUP)
            .mount(setup)
            .user(ANA, ANA, "")
    };
    let read_only = "mount --bind .claude .claude; mount -o remount,bind,ro .claude";
    let run = machine(read_only).run(&home, &["sync"]);
    for words in [
        ".claude is mounted read-only",
        "mount -o remount,rw ",
        "mode 666, owner 1000",
    ] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    let line = format!(
        "99 1 8:1 / {}/.claude rw - vfat /dev/sdb1 rw\n",
        home.path().display()
    );
    fs::write(home.at("mountinfo"), line).unwrap();
    let run = machine("mount --bind mountinfo /proc/$$/mountinfo").run(&home, &["sync"]);
    for words in ["chmod has no effect on vfat", "uid=1000,umask=077"] {
        assert!(run.stderr.contains(words), "{words}: {run:?}");
    }
    // What is root's only root can change.
    chmod(&home.at(CLAUDE), 0o600);
    own(&home.at(AGENT), 0);
    chmod(&home.at(AGENT), 0o777);
    let run = machine("").run(&home, STATUS).exits(65);
    assert!(run.stderr.contains("sudo chmod go-w"), "{run:?}");
}
