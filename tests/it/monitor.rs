//! `monitor`: the files that it writes, and what service managers make of them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::support::home::{Home, Run, VAULT};
use crate::support::skip::skip;

const SERVICE: &str = ".config/systemd/user/clawkeep-watch.service";
const TIMER: &str = ".config/systemd/user/clawkeep-watch.timer";
const AGENT: &str = "Library/LaunchAgents/clawkeep.watch.plist";

/// A directory in the home with the program in it under its own name, a link; `PATH` is that and
/// the system's.
fn on_path(home: &Home, dir: &str) -> PathBuf {
    let dir = home.at(dir);
    fs::create_dir_all(&dir).unwrap();
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_clawkeep"), dir.join("clawkeep")).unwrap();
    dir
}

fn monitor(home: &Home, dir: &Path, args: &[&str]) -> Command {
    let mut command = home.command(&["monitor"]);
    command.args(args);
    command.env("PATH", format!("{}:/usr/bin:/bin", dir.display()));
    command
}

fn run(mut command: Command) -> Run {
    command.output().unwrap().into()
}

/// What people read, with the home's path replaced.
fn shown(home: &Home, text: &str) -> String {
    text.replace(home.path().to_str().unwrap(), "/home/ana")
}

/// The files of a dry run, by their names.
fn printed(text: &str) -> Vec<(String, String)> {
    let mut files: Vec<(String, String)> = Vec::new();
    for line in text.lines() {
        let name = line
            .strip_prefix("# /")
            .and_then(|path| path.rsplit('/').next());
        match name.filter(|name| name.starts_with("clawkeep")) {
            Some(name) => files.push((name.to_owned(), String::new())),
            None => {
                let (_, text) = files.last_mut().unwrap();
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    files
}

/// Paths that a service manager could take for something else than they are.
const NASTY: [&str; 6] = [
    "plain",
    "with blank",
    "100% of %h and %%n",
    "$HOME and ${HOME} $$",
    "päth – ☂",
    "a;b#c@d,e(f)&g<h>[i]*?!`|~",
];

#[test]
fn what_is_written_for_each_service_manager() {
    let home = Home::new();
    let dir = on_path(&home, "bin");
    let mut all = String::new();
    for (by, timer) in [
        ("systemd", false),
        ("systemd", true),
        ("launchd", false),
        ("launchd", true),
        ("cron", false),
    ] {
        let mut args = vec!["install", "--dry-run", "--by", by, "--refresh-ahead", "20m"];
        args.extend(timer.then_some("--timer"));
        let mut command = monitor(&home, &dir, &args);
        command
            .env("CLAWKEEP_VAULT", "my vault.db")
            .env("OPENAI_API_KEY", "sk-test-never");
        all.push_str(&format!(
            "$ clawkeep monitor {}\n{}\n",
            args.join(" "),
            run(command).ok()
        ));
    }
    assert!(!all.contains("sk-test-never"));
    insta::assert_snapshot!(shown(&home, &all));
    assert_eq!(home.files(), ["bin/clawkeep"], "a dry run touches nothing");
}

#[test]
fn systemd_finds_no_fault_with_any_path() {
    for nasty in NASTY {
        let home = Home::new();
        let dir = on_path(&home, nasty);
        let quotes = format!("{nasty} \"quoted\" 'once' \\ back");
        for timer in [false, true] {
            let mut args = vec!["install", "--dry-run", "--by", "systemd"];
            args.extend(timer.then_some("--timer"));
            let mut command = monitor(&home, &dir, &args);
            command
                .args(["--state-dir", &quotes])
                .env("CLAUDE_CONFIG_DIR", home.at(&quotes));
            let files = printed(&run(command).ok());
            let units = home.at("units");
            fs::create_dir_all(&units).unwrap();
            for (name, text) in &files {
                fs::write(units.join(name), text).unwrap();
            }
            let verified = Command::new("systemd-analyze")
                .args(["verify", "--user"])
                .args(files.iter().map(|(name, _)| units.join(name)))
                .env_clear()
                .env("PATH", "/usr/bin:/bin")
                .env("HOME", home.path())
                .env("XDG_RUNTIME_DIR", home.path())
                .output()
                .expect("the package systemd is not installed");
            let verified = Run::from(verified);
            assert_eq!(
                (
                    verified.status,
                    verified.stdout.as_str(),
                    verified.stderr.as_str()
                ),
                (0, "", ""),
                "{nasty}: {files:?}"
            );
        }
    }
}

#[test]
fn cron_runs_the_line_as_it_is_meant() {
    for nasty in NASTY {
        let home = Home::new();
        let dir = on_path(&home, nasty);
        let vault = home.at(&format!("{nasty} 'v'.db"));
        let mut command = monitor(&home, &dir, &["install", "--by", "cron"]);
        command.args(["--no-sync"]).env("CLAWKEEP_VAULT", &vault);
        let line = run(command).ok();
        let line = line
            .strip_suffix('\n')
            .unwrap()
            .strip_prefix("*/5 * * * * ")
            .unwrap();
        assert!(
            !line.replace("\\%", "").contains('%'),
            "cron would end the command there: {line}"
        );
        // As cron hands it to its shell.
        let line = line.replace("\\%", "%");
        let ran = Command::new("sh")
            .args(["-c", &line])
            .env_clear()
            .env("HOME", home.path())
            .output()
            .unwrap();
        assert_eq!(Run::from(ran).exits(0).stdout, "");
        assert!(vault.exists(), "{line}");
    }
}

#[test]
fn launchd_would_read_what_was_meant() {
    for nasty in NASTY {
        let home = Home::new();
        let dir = on_path(&home, nasty);
        let config = home.at(&format!("{nasty} \"&amp;<b>"));
        let mut command = monitor(&home, &dir, &["install", "--dry-run", "--by", "launchd"]);
        command.env("CLAUDE_CONFIG_DIR", &config);
        let (name, text) = printed(&run(command).ok()).remove(0);
        assert_eq!(name, "clawkeep.watch.plist");
        let read = plist::Value::from_reader_xml(text.as_bytes()).expect(nasty);
        let agent = read.as_dictionary().expect("a dictionary");
        let words = agent["ProgramArguments"].as_array().expect("words");
        let words: Vec<_> = words.iter().map(plist::Value::as_string).collect();
        assert_eq!(words, [dir.join("clawkeep").to_str(), Some("watch")]);
        let variables = agent["EnvironmentVariables"].as_dictionary();
        let config_dir = variables.expect("variables")["CLAUDE_CONFIG_DIR"].as_string();
        assert_eq!(config_dir, config.to_str());
    }
}

#[test]
fn what_cannot_be_run_unattended_is_refused() {
    let home = Home::new();
    let dir = on_path(&home, "it's");
    let refused = run(monitor(
        &home,
        &dir,
        &["install", "--by", "systemd", "--dry-run"],
    ))
    .exits(1);
    assert!(refused.stderr.contains("quotes"), "{refused:?}");
    assert_eq!(refused.stdout, "");
    let dir = on_path(&home, "bin");
    for (args, why) in [
        (
            &["install", "--passphrase-file", "-"][..],
            "--passphrase-file FILE",
        ),
        (
            &["install", "--passphrase-fd", "3"][..],
            "--passphrase-file FILE",
        ),
        (&["install", "--refresh-ahead", "soon"][..], "a span is"),
        (&["install", "--by", "upstart"][..], "possible values"),
    ] {
        let refused = run(monitor(&home, &dir, args)).exits(64);
        assert!(refused.stderr.contains(why), "{refused:?}");
    }
    let mut proxied = monitor(&home, &dir, &["install", "--by", "cron"]);
    proxied
        .env("HTTPS_PROXY", "http://ana:sk-test-pass@proxy")
        .env("NO_PROXY", "localhost");
    let proxied = run(proxied).exits(0);
    assert!(
        proxied.stderr.contains("HTTPS_PROXY is not handed on"),
        "{proxied:?}"
    );
    assert!(proxied.stdout.contains("NO_PROXY=localhost") && !proxied.stdout.contains("ana"));
    assert!(!proxied.stderr.contains("sk-test-pass"));
}

#[test]
fn without_a_service_manager_there_is_a_line_for_cron() {
    let home = Home::new();
    let dir = on_path(&home, "bin");
    let mut none = monitor(&home, &dir, &["install"]);
    none.env("PATH", &dir);
    let none = run(none).exits(1);
    assert!(
        none.stderr
            .contains("there is no systemctl, so nothing was installed"),
        "{none:?}"
    );
    assert_eq!(none.stdout.lines().count(), 1);
    assert_eq!(home.files(), ["bin/clawkeep"]);
    let status = run(monitor(&home, &dir, &["status"])).exits(1);
    assert!(status.stdout.starts_with("Not installed."), "{status:?}");
    assert_eq!(
        run(monitor(&home, &dir, &["uninstall"])).ok(),
        "Nothing to remove: it is not installed.\n"
    );
}

/// A stand-in for a service manager's program: notes what it is told, and answers as `answers` (a
/// shell's `case` arms) say.
fn stand_in(home: &Home, dir: &Path, name: &str, answers: &str) {
    let script = format!(
        "#!/bin/sh\necho \"{name} $*\" >> '{}'\ncase \"$*\" in\n{answers}\nesac\n",
        home.at("told").display()
    );
    let path = dir.join(name);
    fs::write(&path, script).unwrap();
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

/// What the stand-ins were told since the last call, without the questions.
fn told(home: &Home) -> Vec<String> {
    let text = fs::read_to_string(home.at("told")).unwrap_or_default();
    let _ = fs::remove_file(home.at("told"));
    let orders = text
        .lines()
        .map(|line| line.replace("--user --no-pager --no-ask-password ", ""));
    orders
        .filter(|line| {
            !line.contains(" show ") && !line.contains("show-user") && !line.contains(" print ")
        })
        .collect()
}

fn with_systemctl(home: &Home) -> PathBuf {
    let dir = on_path(home, "bin");
    let units = home.at(".config/systemd/user");
    let answers = format!(
        "*--property=UnitPath*) echo '/etc/systemd/user {}' ;;\n*'show clawkeep-watch.service \
         --property=ActiveState'*) printf \
         'ActiveState=active\\nSubState=running\\nUnitFileState=enabled\\n' ;;\n*'show \
         clawkeep-watch.service'*) printf 'MainPID=4711\\nStatusText=2 \
         agents\\nResult=success\\nExecMainStatus=0\\n' ;;",
        units.display()
    );
    stand_in(home, &dir, "systemctl", &answers);
    stand_in(home, &dir, "loginctl", "*) echo no ;;");
    dir
}

#[test]
fn systemd_gets_what_it_needs_and_no_more() {
    let home = Home::new();
    let dir = with_systemctl(&home);
    let first = run(monitor(&home, &dir, &["install"])).exits(0);
    assert!(first.stderr.contains("loginctl enable-linger"), "{first:?}");
    assert!(
        first.stdout.contains("journalctl --user -u clawkeep-watch"),
        "{first:?}"
    );
    let unit = "clawkeep-watch.service";
    assert_eq!(
        told(&home),
        [
            "systemctl daemon-reload".to_owned(),
            format!("systemctl enable {unit}"),
            format!("systemctl restart {unit}")
        ]
    );
    let text = home.read(SERVICE);
    // Once more: nothing is written, and what runs goes on.
    run(monitor(&home, &dir, &["install"])).ok();
    assert_eq!(
        told(&home),
        [
            "systemctl daemon-reload".to_owned(),
            format!("systemctl enable {unit}"),
            format!("systemctl start {unit}")
        ]
    );
    assert_eq!(home.read(SERVICE), text);
    // One of an older version is replaced.
    home.write(SERVICE, text.replace("WatchdogSec=5min\n", ""));
    run(monitor(&home, &dir, &["install"])).ok();
    assert_eq!(home.read(SERVICE), text);
    assert_eq!(
        told(&home).last().unwrap(),
        &format!("systemctl restart {unit}")
    );

    let status = run(monitor(&home, &dir, &["status", "--json"])).json();
    for (name, value) in [
        ("installed", Value::from(true)),
        ("running", true.into()),
        ("by", "systemd".into()),
        ("mainPid", 4711.into()),
        ("statusText", "2 agents".into()),
        ("lingering", false.into()),
        ("program", dir.join("clawkeep").to_str().unwrap().into()),
        ("programExists", true.into()),
        ("programIsThisOne", true.into()),
        ("watchedBy", Value::Null),
    ] {
        assert_eq!(status[name], value, "{name}");
    }
    // From service to timer and back, the other is gone.
    told(&home);
    run(monitor(&home, &dir, &["install", "--timer"])).ok();
    let timer = "clawkeep-watch.timer";
    assert_eq!(
        told(&home),
        [
            format!("systemctl disable --now {unit}"),
            "systemctl daemon-reload".to_owned(),
            format!("systemctl enable {timer}"),
            format!("systemctl restart {timer}")
        ]
    );
    assert!(home.read(SERVICE).contains("watch --once"));
    run(monitor(&home, &dir, &["install"])).ok();
    assert_eq!(told(&home)[0], format!("systemctl disable --now {timer}"));
    assert!(!home.at(TIMER).exists());
    assert_eq!(home.read(SERVICE), text);

    let gone = run(monitor(&home, &dir, &["uninstall"])).ok();
    assert_eq!(
        gone,
        "Removed ~/.config/systemd/user/clawkeep-watch.service\n"
    );
    assert_eq!(
        told(&home),
        [
            format!("systemctl disable --now {unit}"),
            "systemctl daemon-reload".to_owned(),
            format!("systemctl reset-failed {unit}")
        ]
    );
    assert!(!home.at(SERVICE).exists());
}

#[test]
fn a_unit_of_somebody_elses_stays() {
    let home = Home::new();
    let dir = with_systemctl(&home);
    let theirs = "[Service]\nExecStart=/usr/bin/true\n";
    home.write(SERVICE, theirs);
    let refused = run(monitor(&home, &dir, &["install"])).exits(1);
    assert!(
        refused.stderr.contains("was not written by this command")
            && refused.stderr.contains("--force"),
        "{refused:?}"
    );
    let gone = run(monitor(&home, &dir, &["uninstall"])).exits(0);
    assert!(gone.stderr.contains("stays"), "{gone:?}");
    assert_eq!(
        (home.read(SERVICE).as_str(), told(&home).len()),
        (theirs, 0)
    );
    run(monitor(&home, &dir, &["install", "--force"])).ok();
    assert!(home.read(SERVICE).contains("Type=notify"));
    // A unit that is masked is a link.
    fs::remove_file(home.at(SERVICE)).unwrap();
    std::os::unix::fs::symlink("/dev/null", home.at(SERVICE)).unwrap();
    run(monitor(&home, &dir, &["install"])).exits(1);
}

#[test]
fn what_systemd_refuses_is_reported_with_where_to_look() {
    let home = Home::new();
    let dir = on_path(&home, "bin");
    let units = home.at(".config/systemd/user");
    let answers = format!(
        "*UnitPath*) echo '{}' ;;\n*restart*) echo 'Job for clawkeep-watch.service failed.' >&2; \
         exit 1 ;;",
        units.display()
    );
    stand_in(&home, &dir, "systemctl", &answers);
    let failed = run(monitor(&home, &dir, &["install"])).exits(1);
    assert!(
        failed
            .stderr
            .contains("Job for clawkeep-watch.service failed.")
            && failed.stderr.contains("journalctl"),
        "{failed:?}"
    );
    // One that looks elsewhere would never see the unit.
    stand_in(
        &home,
        &dir,
        "systemctl",
        "*UnitPath*) echo /etc/systemd/user ;;",
    );
    let elsewhere = run(monitor(&home, &dir, &["install"])).exits(1);
    assert!(
        elsewhere.stderr.contains("does not look for units in"),
        "{elsewhere:?}"
    );
    // One that has gone away: the files and the links go all the same.
    let wants = units.join("default.target.wants");
    fs::create_dir_all(&wants).unwrap();
    std::os::unix::fs::symlink(home.at(SERVICE), wants.join("clawkeep-watch.service")).unwrap();
    stand_in(
        &home,
        &dir,
        "systemctl",
        "*) echo 'Failed to connect to bus' >&2; exit 1 ;;",
    );
    let gone = run(monitor(&home, &dir, &["uninstall"])).exits(0);
    assert!(gone.stderr.contains("until you log out"), "{gone:?}");
    assert!(!home.at(SERVICE).exists() && !wants.join("clawkeep-watch.service").is_symlink());
}

#[test]
fn launchd_gets_what_it_needs() {
    let home = Home::new();
    let dir = on_path(&home, "bin");
    let loaded = home.at("loaded");
    let answers = format!(
        "'print gui/'*) exit 1 ;;\n'print user/'*) [ -e '{0}' ] || exit 1; printf 'clawkeep.watch \
         = {{\\n\\tpid = 4711\\n\\tlast exit code = (never exited)\\n}}\\n' ;;\n'bootstrap \
         gui/'*) echo 'Bootstrap failed: 125' >&2; exit 125 ;;\n'bootstrap user/'*) touch '{0}' \
         ;;\nbootout*) (sleep 1; rm '{0}') > /dev/null 2>&1 & echo 'Boot-out failed: 36: \
         Operation now in progress' >&2; exit 36 ;;",
        loaded.display()
    );
    stand_in(&home, &dir, "launchctl", &answers);
    run(monitor(&home, &dir, &["install", "--by", "launchd"])).ok();
    let uid = rustix::process::geteuid().as_raw();
    let file = home.at(AGENT);
    assert_eq!(
        told(&home),
        [
            format!("launchctl enable user/{uid}/clawkeep.watch"),
            format!("launchctl bootstrap user/{uid} {}", file.display())
        ],
        "where there is no graphical session"
    );
    assert!(home.read(AGENT).contains("<string>Background</string>"));
    let status = run(monitor(&home, &dir, &["status", "--json"])).json();
    assert_eq!(
        (
            &status["by"],
            &status["mainPid"],
            &status["programIsThisOne"]
        ),
        (&"launchd".into(), &4711.into(), &true.into())
    );
    assert_eq!(status["lastExit"], Value::Null, "it has not ended yet");
    run(monitor(&home, &dir, &["install", "--by", "launchd"])).ok();
    assert_eq!(told(&home), [""; 0], "it is as it would be");
    run(monitor(&home, &dir, &["uninstall"])).ok();
    assert_eq!(
        told(&home),
        [format!("launchctl bootout user/{uid}/clawkeep.watch")]
    );
    assert!(!file.exists() && !loaded.exists(), "it has ended");
}

#[test]
fn launchd_loads_an_agent_into_the_graphical_session_where_there_is_one() {
    let home = Home::new();
    let dir = on_path(&home, "bin");
    let answers = "'print '*clawkeep.watch) exit 113 ;;\n'print gui/'*) ;;\n'bootstrap gui/'*) \
        echo 'Bootstrap failed: 5: Input/output error' >&2; exit 5 ;;";
    stand_in(&home, &dir, "launchctl", answers);
    let failed = run(monitor(&home, &dir, &["install", "--by", "launchd"])).exits(1);
    assert!(failed.stderr.contains("Bootstrap failed: 5"), "{failed:?}");
    assert!(!home.at(AGENT).exists(), "it does not run");
    stand_in(
        &home,
        &dir,
        "launchctl",
        "'print '*clawkeep.watch) exit 113 ;;",
    );
    run(monitor(&home, &dir, &["install", "--by", "launchd"])).ok();
    assert!(!home.read(AGENT).contains("LimitLoadToSessionType"));
    let uid = rustix::process::geteuid().as_raw();
    let bootstrap = format!("launchctl bootstrap gui/{uid} {}", home.at(AGENT).display());
    assert_eq!(told(&home).last(), Some(&bootstrap));
}

#[test]
fn status_tells_of_a_program_that_is_gone_and_of_a_watcher_that_nobody_installed() {
    let home = Home::new();
    let dir = with_systemctl(&home);
    run(monitor(&home, &dir, &["install"])).ok();
    let other = on_path(&home, "elsewhere");
    fs::remove_file(dir.join("clawkeep")).unwrap();
    let mut status = monitor(&home, &dir, &["status"]);
    status.env(
        "PATH",
        format!("{}:{}:/usr/bin:/bin", dir.display(), other.display()),
    );
    let status = run(status).exits(0);
    assert!(status.stdout.contains("which is not there"), "{status:?}");

    let bare = Home::new();
    let mut watch = bare.command(&["watch"]);
    let mut watch = watch
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let is_watched = || bare.run(&["monitor", "status", "--json"]);
    // It has the lock before it says who it is.
    let found = (0..2000)
        .map(|_| is_watched())
        .filter(|run| run.status == 0);
    let mut found = found.map(Run::json);
    let found = found.find(|found| found["watchedBy"] != "").unwrap();
    assert_eq!(
        (&found["installed"], &found["running"]),
        (&false.into(), &true.into())
    );
    assert_eq!(found["watchedBy"], watch.id().to_string());
    watch.kill().unwrap();
    watch.wait().unwrap();
    bare.run(&["monitor", "status"]).exits(1);
}

/// A real systemd of a user's own, where this machine lets one start: with mounts, processes and a
/// cgroup of its own.
#[test]
fn a_real_systemd_starts_it_watches_it_and_stops_it() {
    let home = Home::new();
    home.claude_login("sk-test-real", 5);
    // Names that it would take for something else, if they were not quoted as they are.
    let program = home.at("100% of $HOME & %h/clawkeep");
    fs::create_dir_all(program.parent().unwrap()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_clawkeep"), &program).unwrap();
    let vault = home.at("$HOME, %h, ${X} and \"☂\" \\ 'v'.db");
    let ran = Command::new("unshare")
        .args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "bash",
        ])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/support/user_systemd.sh"))
        .args([home.path(), &program])
        .env_clear()
        .env("PATH", "/usr/bin:/bin:/usr/sbin:/sbin")
        .env("CLAWKEEP_VAULT", &vault)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    // 3 from the script, 1 from `unshare`.
    if matches!(ran.status.code(), Some(1 | 3)) {
        let said = String::from_utf8_lossy(&ran.stderr);
        let why = format!("systemd does not start here ({}): {said}", ran.status);
        skip("user-systemd", &why);
        return;
    }
    let ran = Run::from(ran);
    let answers: Vec<&str> = ran.stdout.split("--\n").collect();
    assert_eq!(ran.status, 0, "{ran:?}");
    let [
        installed,
        status,
        confined,
        timer,
        waiting,
        pass,
        gone,
        after,
    ] = answers[..]
    else {
        panic!("{ran:?}")
    };
    assert!(
        installed.contains("clawkeep-watch.service runs now"),
        "{installed}"
    );
    let status: Value = serde_json::from_str(status).unwrap();
    for (name, value) in [
        ("running", Value::from(true)),
        ("enabled", "enabled".into()),
        ("state", "active (running)".into()),
        ("programIsThisOne", true.into()),
    ] {
        assert_eq!(status[name], value, "{status}");
    }
    assert_eq!(status["watchedBy"], status["mainPid"].to_string());
    assert!(
        status["statusText"]
            .as_str()
            .unwrap()
            .contains("1 credential"),
        "{status}"
    );
    assert!(
        confined.contains("NoNewPrivs:\t1") && confined.contains("Seccomp:\t2"),
        "{confined}"
    );
    assert!(timer.contains("clawkeep-watch.timer runs now"), "{timer}");
    assert!(waiting.contains("active (waiting), enabled"), "{waiting}");
    assert_eq!(pass, "Result=success\nExecMainStatus=0\n");
    assert_eq!(gone.lines().count(), 2, "{gone}");
    assert!(after.starts_with("Not installed."), "{after}");
    assert!(!home.at(SERVICE).exists() && !home.at(TIMER).exists());
    assert_eq!(
        home.exported_token("anthropic:claude-cli").as_deref(),
        Some("sk-test-real")
    );
    assert!(!home.at(VAULT).exists());
    let mut verified = home.command(&["audit", "verify"]);
    verified.env("CLAWKEEP_VAULT", &vault);
    run(verified).ok();
}
