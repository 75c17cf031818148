//! Where the home directory is: `HOME`, else the user database, as Node, Python and systemd find
//! it.

#![cfg(target_os = "linux")]

use std::fs;

use crate::support::damage::chmod;
use crate::support::home::{Home, Run};
use crate::support::skip;
use crate::support::users::{ANA, Machine, can_be_others, give, own};

const INIT: &[&str] = &["init", "--key", "keyfile"];

/// Runs a command as the one user of a namespace, whose entry in the user database is `entry`, with
/// `HOME` as the shell's line sets it.
fn run_in(home: &Home, entry: &str, set_home: &str, args: &[&str]) -> Option<Run> {
    let mut command = skip::unshare(&["--mount"])?;
    fs::write(home.at("passwd"), entry).unwrap();
    fs::write(home.at("nss"), "passwd: files\n").unwrap();
    let script = format!(
        "mount --bind passwd /etc/passwd && mount --bind nss /etc/nsswitch.conf && {set_home} && \
         exec \"$0\" \"$@\""
    );
    command
        .args(["sh", "-c", &script, env!("CARGO_BIN_EXE_clawkeep")])
        .args(args)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir(home.path());
    Some(command.output().unwrap().into())
}

fn entry(home: &str) -> String {
    format!("root:x:0:0::{home}:/bin/sh\n")
}

#[test]
fn without_home_the_user_database_says() {
    for set_home in ["unset HOME", "export HOME=", "export HOME=' '"] {
        let home = Home::without_gateway();
        fs::create_dir(home.at("own")).unwrap();
        let entry = entry(&home.at("own").display().to_string());
        let Some(run) = run_in(&home, &entry, set_home, INIT) else {
            return;
        };
        if set_home.contains("' '") {
            // What std takes for set is no directory; it is not taken for another one.
            let run = run.exits(1);
            assert!(
                run.stderr.contains("Set HOME to a directory of yours"),
                "{run:?}"
            );
            continue;
        }
        let said = run.ok();
        assert!(
            said.starts_with("Vault: ~/.local/share/clawkeep/vault.db\n"),
            "{said}"
        );
        assert!(
            home.at("own/.local/share/clawkeep/vault.db").is_file(),
            "{said}"
        );
    }
}

#[test]
fn home_counts_before_the_user_database() {
    let home = Home::without_gateway();
    let set = format!("export HOME='{}'", home.path().display());
    let Some(run) = run_in(&home, &entry("/nonexistent"), &set, INIT) else {
        return;
    };
    run.ok();
    assert!(home.at(".local/share/clawkeep/vault.db").is_file());
}

/// Two directories whose names differ by a space are two: neither is taken for the other.
#[test]
fn space_around_a_path_is_part_of_it() {
    let home = Home::without_gateway();
    for name in ["h", "h "] {
        fs::create_dir(home.at(name)).unwrap();
    }
    let run = |name: &str, value: &str, args: &[&str]| {
        let mut command = home.command(args);
        command.env(name, home.at(value));
        Run::from(command.output().unwrap())
    };
    run("HOME", "h ", INIT).ok();
    assert!(home.at("h /.local/share/clawkeep/vault.db").is_file());
    run("CLAWKEEP_VAULT", "v.db ", INIT).ok();
    run("CLAWDBOT_STATE_DIR", "s ", INIT).ok();
    assert!(home.at("v.db ").is_file() && home.at("s /vault.db").is_file());
    for collapsed in ["h/.local", "v.db", "s"] {
        assert!(!home.at(collapsed).exists(), "{collapsed}");
    }
}

/// A container that runs as any user, as OpenShift's do.
#[test]
fn a_user_without_an_account_learns_what_to_name() {
    let home = Home::without_gateway();
    let nobody = "bob:x:1001:1001::/home/bob:/bin/sh\n";
    let run = |args: &[&str]| run_in(&home, nobody, "unset HOME", args);
    for args in [INIT, &["models", "status"], &["doctor"]] {
        let Some(run) = run(args) else { return };
        let run = run.exits(1);
        assert_eq!(
            run.stderr,
            "Error: the home directory is not known: HOME is not set, and the user database has \
             none for this user. Set HOME to a directory of yours, or name one for all files with \
             --state-dir DIR\n"
        );
    }
    // And what it says works. A namespace of one user shows the owners of the directories above as
    // nobody.
    if !skip::is_root_or_skip("the directories above a state directory must be root's") {
        return;
    }
    fs::create_dir(home.at("data")).unwrap();
    chmod(&home.at("data"), 0o700);
    let state = ["--state-dir", "data"];
    let made = run(&[INIT, &state].concat()).unwrap().ok();
    let data = home.at("data").display().to_string();
    assert!(
        made.contains(&format!("Vault: {data}/vault.db\n")),
        "{made}"
    );
    assert!(
        made.contains(&format!("Key: keyfile {data}/.config/clawkeep/")),
        "{made}"
    );
    run(&[&["audit", "verify"], &state[..]].concat())
        .unwrap()
        .ok();
    assert_eq!(
        fs::read_dir(home.path()).unwrap().count(),
        3,
        "passwd, nss, data"
    );
    // There is no `~` to begin with.
    let tilde = run(&["init", "--state-dir", "~/data"]).unwrap().exits(1);
    assert!(
        tilde.stderr.contains("the home directory is not known"),
        "{tilde:?}"
    );
}

#[test]
fn a_home_of_another_user_is_named_as_such() {
    if !can_be_others("a_home_of_another_user_is_named_as_such") {
        return;
    }
    let home = Home::without_gateway();
    chmod(home.path(), 0o755);
    let ana = Machine::default().user(ANA, ANA, "");
    for absent in ["/", "/nonexistent"] {
        let run = ana.clone().set("HOME", absent).run(&home, INIT).exits(1);
        let said = format!(
            "  The home directory is {absent}, where this user can make no files. Name one of \
             yours: HOME=DIR clawkeep …\n"
        );
        assert!(run.stderr.ends_with(&said), "{run:?}");
    }
    // As with `sudo` that keeps HOME, and the other way round.
    fs::create_dir(home.at("bobs")).unwrap();
    own(&home.at("bobs"), 1001);
    for (is_root, user) in [(true, Machine::default()), (false, ana)] {
        let bobs = home.at("bobs").display().to_string();
        let run = user.set("HOME", bobs).run(&home, INIT).exits(65);
        assert!(run.stderr.contains("bobs belongs to user 1001"), "{run:?}");
        let said = if is_root {
            "To use root's own home: sudo -H clawkeep …\n"
        } else {
            "  HOME names another user's directory: set it to your own, or run the command as the \
             owner: sudo -u '#1001' clawkeep …\n"
        };
        assert!(run.stderr.contains(said), "{run:?}");
    }
    give(&home.at("bobs"), 0, 0);
}
