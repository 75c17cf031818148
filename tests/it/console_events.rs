//! Ctrl-C on a console of Windows.

use std::io::Write as _;
use std::os::windows::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::refresh::{self, exported};
use crate::support::home::{Home, Run, STORE};
use crate::support::skip::skip;

/// Names the program that presses Ctrl-C: `tests/it/support/console_event.c`.
const PRESS: &str = "CLAWKEEP_CONSOLE_EVENT";
/// Source: Microsoft's documentation, Process Creation Flags.
const CREATE_NO_WINDOW: u32 = 0x0800_0000;
/// `STATUS_CONTROL_C_EXIT`.
const ENDED_BY_CTRL_C: i32 = 0xC000_013A_u32.cast_signed();
/// A provider whose programs look for the key in a variable, and such a key.
const KEY_SETTING: &str = "[providers.keyed]\nenv = [\"TEST_KEY\"]\n";
const KEY: &str = "sk-test-key-0123456789abcdef";
/// A batch file that writes down the key and its first argument, and ends with status 5.
const AGENT: &str = "@echo off\r\necho %TEST_KEY%>key.txt\r\necho %1>argument.txt\r\nexit /b 5\r\n";

/// A run of the program on a console of its own, on which Ctrl-C can be pressed.
struct OnConsole(Child);

impl OnConsole {
    /// Starts it; `None` where the program that presses keys is missing.
    fn start(of: &Command) -> Option<Self> {
        let Some(press) = std::env::var_os(PRESS) else {
            skip("console_event", &format!("{PRESS} is not set"));
            return None;
        };
        let mut command = Command::new(press);
        command
            .arg(of.get_program())
            .args(of.get_args())
            .env_clear();
        let variables = of.get_envs();
        command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
        command.current_dir(of.get_current_dir().unwrap());
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        Some(Self(
            command.creation_flags(CREATE_NO_WINDOW).spawn().unwrap(),
        ))
    }

    fn press_ctrl_c(&mut self) {
        self.0.stdin.as_mut().unwrap().write_all(b"c").unwrap();
    }

    /// Whether it runs on for a while. Ctrl-C reaches a program on a thread of its own.
    fn goes_on(&mut self) -> bool {
        std::thread::sleep(Duration::from_millis(1500));
        self.0.try_wait().unwrap().is_none()
    }

    fn end(self) -> (Option<i32>, Run) {
        let output = self.0.wait_with_output().unwrap();
        (output.status.code(), output.into())
    }
}

#[test]
fn ctrl_c_during_a_refresh_keeps_the_new_tokens() {
    let (home, provider) = refresh::home();
    let before = exported(&home, STORE);
    provider.hold();
    let token = home.command(&["token", "--provider", "test"]);
    let Some(mut run) = OnConsole::start(&token) else {
        return;
    };
    provider.wait_for(1);
    run.press_ctrl_c();
    assert!(run.goes_on(), "the refresh was cut off");
    provider.release();
    let (status, run) = run.end();
    assert_eq!(status, Some(ENDED_BY_CTRL_C), "{run:?}");
    assert_eq!(home.count_of("refresh.succeeded"), 1);
    refresh::token(&home).ok();
    assert_eq!(provider.count(), 1, "the tokens were kept");
    assert_ne!(exported(&home, STORE)["refresh"], before["refresh"]);
    home.assert_sound();
}

#[test]
fn a_watch_ends_orderly_by_ctrl_c() {
    let (home, provider) = refresh::home();
    provider.hold();
    let Some(mut run) = OnConsole::start(&home.command(&["watch"])) else {
        return;
    };
    provider.wait_for(1);
    run.press_ctrl_c();
    assert!(run.goes_on(), "the refresh was cut off");
    provider.release();
    let (status, run) = run.end();
    assert_eq!(status, Some(0), "{run:?}");
    assert_eq!(home.count_of("refresh.succeeded"), 1);
}

/// The program of `exec` is this one, which holds Ctrl-C back while it refreshes.
#[test]
fn ctrl_c_under_exec_is_for_the_program_alone() {
    let (home, provider) = refresh::home();
    let both = format!("{}\n{KEY_SETTING}", provider.setting("test"));
    home.write(refresh::SETTINGS, both);
    home.run_with_input(
        &["models", "auth", "paste-token", "--provider", "keyed"],
        KEY,
    )
    .ok();
    provider.hold();
    let program = env!("CARGO_BIN_EXE_clawkeep");
    let exec = [
        "exec",
        "--provider",
        "keyed",
        "--",
        program,
        "token",
        "--provider",
        "test",
    ];
    let Some(mut run) = OnConsole::start(&home.command(&exec)) else {
        return;
    };
    provider.wait_for(1);
    run.press_ctrl_c();
    assert!(run.goes_on(), "clawkeep left its program alone");
    provider.release();
    let (status, run) = run.end();
    assert_eq!(status, Some(ENDED_BY_CTRL_C), "the program's own: {run:?}");
    assert_eq!(home.count_of("refresh.succeeded"), 1);
}

#[test]
fn a_batch_file_gets_its_secret() {
    let home = Home::new();
    home.write(refresh::SETTINGS, KEY_SETTING);
    home.run_with_input(
        &["models", "auth", "paste-token", "--provider", "keyed"],
        KEY,
    )
    .ok();
    home.write("bin/agent.cmd", AGENT);
    let mut exec = home.command(&["exec", "--provider", "keyed", "--", "agent", "a b & c"]);
    let mut path = home.at("bin").into_os_string();
    if let Some(system) = std::env::var_os("PATH") {
        path.push(";");
        path.push(system);
    }
    let output = exec.env("PATH", path).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{output:?}");
    let key = std::fs::read_to_string(home.at("key.txt")).unwrap();
    assert_eq!(key.trim(), KEY);
    let argument = std::fs::read_to_string(home.at("argument.txt")).unwrap();
    assert_eq!(argument.trim(), "\"a b & c\"", "one argument, quoted");
    let run: Run = home
        .command(&["exec", "--provider", "keyed", "--", "no-such-agent"])
        .output()
        .unwrap()
        .into();
    assert!(run.stderr.contains("no-such-agent.cmd"), "{run:?}");
}
