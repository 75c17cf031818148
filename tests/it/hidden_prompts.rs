//! Hidden questions in a shell with job control: whatever the signal, the terminal stays as it was.

use rustix::process::{Pid, Signal, kill_process};

use crate::support::home::Home;
use crate::support::skip::unshare;
use crate::support::terminal::Terminal;

const SHELLS: [&str; 2] = ["bash", "dash"];
const TOKEN: &str = "sk-test-typed-token-0123456789";
const HALF: &str = "sk-test-half";
const PASTE: &str = "clawkeep -q models auth paste-token --provider groq";
const QUESTION: &str = "Paste token for groq: ";

/// A home with a vault, so that commands begin with the question.
fn home() -> Home {
    let home = Home::new();
    home.run(&["init", "--key", "keyfile"]).ok();
    home
}

/// A shell with settings of its own, which are kept to be compared.
fn shell(home: &Home, name: &str) -> Terminal {
    let mut terminal = Terminal::shell(home, name);
    terminal.line("stty erase '#' -ixany; stty -g > modes");
    terminal
}

/// Checks that the terminal is as it was, and that the last command ended with `status`.
#[track_caller]
fn is_as_before(terminal: &mut Terminal, status: &str) {
    terminal.line("echo \"status $?\"; stty -g | cmp - modes && echo un\"\"changed");
    terminal.wait_for(&format!("status {status}\r\n"));
    terminal.wait_for("unchanged");
}

/// Asks the question, hidden, and types half of a secret; the process that asks.
#[track_caller]
fn ask(terminal: &mut Terminal) -> Pid {
    terminal.line(PASTE);
    terminal.wait_for_hidden(QUESTION);
    terminal.keys(HALF);
    terminal.foreground()
}

/// Answers a question that was asked once more.
#[track_caller]
fn answer(terminal: &mut Terminal, home: &Home, token: &str) {
    terminal.wait_for_hidden(QUESTION);
    terminal.keys(&format!("{token}\r"));
    terminal.wait_for("Auth profile: groq:manual");
    is_as_before(terminal, "0");
    assert_eq!(home.exported_token("groq:manual").as_deref(), Some(token));
    let shown = terminal.shown();
    assert!(!shown.contains(token) && !shown.contains(HALF), "{shown}");
}

#[test]
fn a_signal_that_ends_the_question_restores_the_terminal() {
    let home = home();
    for name in SHELLS {
        let mut terminal = shell(&home, name);
        for (signal, status) in [
            (Signal::TERM, "143"),
            (Signal::HUP, "129"),
            (Signal::INT, "130"),
            (Signal::QUIT, "131"),
            (Signal::USR1, "138"),
            (Signal::ALARM, "142"),
            (Signal::ABORT, "134"),
            (Signal::XCPU, "152"),
            (Signal::PROF, "155"),
        ] {
            let pid = ask(&mut terminal);
            kill_process(pid, signal).unwrap();
            is_as_before(&mut terminal, status);
        }
        for (key, status) in [("\u{3}", "130"), ("\u{1c}", "131")] {
            ask(&mut terminal);
            terminal.keys(key);
            is_as_before(&mut terminal, status);
        }
        assert!(!terminal.shown().contains(HALF), "{}", terminal.shown());
    }
}

#[test]
fn a_question_that_is_stopped_hides_again_what_is_typed() {
    let long = format!("{TOKEN}{}", "x".repeat(6000)); // longer than a line of the terminal's own
    for name in SHELLS {
        let home = home();
        let mut terminal = shell(&home, name);
        ask(&mut terminal);
        terminal.keys("\u{1a}"); // Ctrl-Z
        terminal.wait_for("Stopped");
        is_as_before(&mut terminal, "147");
        terminal.line("echo vis\"\"ible");
        terminal.wait_for("visible");
        terminal.line("fg");
        answer(&mut terminal, &home, TOKEN);
        for (at, signal) in [Signal::TSTP, Signal::TTIN, Signal::TTOU]
            .iter()
            .enumerate()
        {
            let pid = ask(&mut terminal);
            kill_process(pid, *signal).unwrap();
            terminal.wait_for("Stopped");
            is_as_before(&mut terminal, "147");
            terminal.line("fg");
            answer(&mut terminal, &home, &format!("{TOKEN}-{at}"));
        }
        // SIGSTOP cannot be caught; going on can. Twice, and then a long secret.
        terminal.line(PASTE);
        terminal.wait_for_hidden(QUESTION);
        for _ in 0..2 {
            kill_process(terminal.foreground(), Signal::STOP).unwrap();
            terminal.line("fg");
            terminal.wait_for_hidden(QUESTION);
        }
        terminal.keys(HALF);
        terminal.keys("\u{1a}");
        terminal.wait_for("Stopped");
        is_as_before(&mut terminal, "147");
        terminal.line("fg");
        answer(&mut terminal, &home, &long);
    }
}

#[test]
fn a_question_in_the_background_waits_and_leaves_the_terminal_alone() {
    for name in SHELLS {
        let home = home();
        let mut terminal = shell(&home, name);
        terminal.line(&format!("{PASTE} & echo p\"\"id=$!."));
        terminal.wait_for("pid=");
        terminal.wait_for(".\r\n");
        let shown = terminal.shown().to_owned();
        let (_, pid) = shown.rsplit_once("pid=").unwrap();
        let pid: i32 = pid.split('.').next().unwrap().parse().unwrap();
        let pid = Pid::from_raw(pid).unwrap();
        for _ in 0..3 {
            wait_until_stopped(pid);
            is_as_before(&mut terminal, "0");
            kill_process(pid, Signal::CONT).unwrap();
        }
        wait_until_stopped(pid);
        is_as_before(&mut terminal, "0");
        terminal.line("fg");
        answer(&mut terminal, &home, TOKEN);
        // Stopped in the foreground, and continued in the background.
        let pid = ask(&mut terminal);
        terminal.keys("\u{1a}");
        terminal.wait_for("Stopped");
        kill_process(pid, Signal::CONT).unwrap();
        wait_until_stopped(pid);
        is_as_before(&mut terminal, "147");
        // The end of a job that is stopped.
        terminal.line("kill %1; kill -CONT %1; wait; true");
        is_as_before(&mut terminal, "0");
    }
}

/// Waits until a process is stopped, and has been given the time to go on wrongly.
fn wait_until_stopped(pid: Pid) {
    let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let is_stopped = || std::fs::read_to_string(&path).unwrap().contains(") T ");
    for _ in 0..200 {
        if is_stopped() {
            std::thread::sleep(std::time::Duration::from_millis(50));
            if is_stopped() {
                return;
            }
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("process {pid:?} does not stop");
}

#[test]
fn every_hidden_question_can_be_stopped_and_left() {
    let home = home();
    let other = Home::new();
    let words = "correct horse battery staple";
    other.write("words", words);
    other
        .run(&["init", "--key", "passphrase", "--passphrase-file", "words"])
        .ok();
    let begun = "clawkeep models auth paste-api-key --provider openai";
    for (home, command, question) in [
        (&home, begun, "Paste API key for openai: "),
        (&home, "clawkeep key add passphrase", "New passphrase: "),
        (
            &home,
            "clawkeep --vault new.db init --key passphrase",
            "assphrase",
        ),
        (
            &other,
            "clawkeep sync",
            "Passphrase or recovery code of the vault",
        ),
        (
            &other,
            "clawkeep sync 2> errors",
            "Passphrase or recovery code of the vault",
        ),
        (
            &other,
            "clawkeep --passphrase-file - sync",
            "Passphrase or recovery code: ",
        ),
        (
            &other,
            "clawkeep key add passphrase",
            "Passphrase or recovery code of the vault",
        ),
    ] {
        let mut terminal = shell(home, "bash");
        terminal.line(command);
        terminal.wait_for_hidden(question);
        terminal.keys(&format!("{HALF}\u{1a}"));
        terminal.wait_for("Stopped");
        is_as_before(&mut terminal, "147");
        terminal.line("fg");
        terminal.wait_for_hidden(question);
        terminal.keys(&format!("{HALF}\u{3}"));
        is_as_before(&mut terminal, "130");
        assert!(!terminal.shown().contains(HALF), "{}", terminal.shown());
    }
    // The second of two questions.
    let mut terminal = shell(&home, "bash");
    terminal.line("clawkeep key add passphrase");
    terminal.wait_for_hidden("New passphrase: ");
    terminal.keys(&format!("{words}\r"));
    terminal.wait_for_hidden("Once more, to be sure: ");
    terminal.keys("correct\u{1a}");
    terminal.wait_for("Stopped");
    is_as_before(&mut terminal, "147");
    terminal.line("fg");
    terminal.wait_for_hidden("Once more, to be sure: ");
    terminal.keys(&format!("wrong words\u{17}\u{17}{words}X#\r")); // Ctrl-W, and erase as it is set
    is_as_before(&mut terminal, "0");
    assert!(!terminal.shown().contains("horse"), "{}", terminal.shown());
    home.write("words", words);
    home.run(&["--passphrase-file", "words", "sync"]).ok();
}

#[test]
fn a_script_that_asks_is_stopped_and_ended_with_the_question() {
    for name in SHELLS {
        let home = home();
        home.write("asks.sh", format!("{PASTE}\necho after\"\"wards $?\n"));
        for script in ["sh asks.sh", "bash asks.sh"] {
            let mut terminal = shell(&home, name);
            terminal.line(script);
            terminal.wait_for_hidden(QUESTION);
            terminal.keys(&format!("{HALF}\u{1a}"));
            terminal.wait_for("Stopped");
            is_as_before(&mut terminal, "148");
            terminal.line("fg");
            terminal.wait_for_hidden(QUESTION);
            terminal.keys(&format!("{HALF}\u{3}"));
            is_as_before(&mut terminal, "130");
            terminal.line(script);
            terminal.wait_for_hidden(QUESTION);
            terminal.keys("\u{1a}");
            terminal.wait_for("Stopped");
            terminal.line("fg");
            terminal.wait_for_hidden(QUESTION);
            terminal.keys(&format!("{TOKEN}\r"));
            terminal.wait_for("afterwards 0");
            is_as_before(&mut terminal, "0");
            assert!(!terminal.shown().contains(HALF), "{}", terminal.shown());
            assert!(!terminal.shown().contains(TOKEN), "{}", terminal.shown());
        }
        assert_eq!(home.exported_token("groq:manual").as_deref(), Some(TOKEN));
    }
}

#[test]
fn after_the_question_signals_do_what_they_do_without_one() {
    let home = Home::new();
    let words = "correct horse battery staple";
    home.write("words", words);
    home.run(&["init", "--key", "passphrase", "--passphrase-file", "words"])
        .ok();
    let question = "Passphrase or recovery code of the vault";
    // `watch` ends in order when it is asked to, and stops and goes on as any program.
    let mut terminal = shell(&home, "bash");
    terminal.line("clawkeep watch");
    terminal.wait_for_hidden(question);
    terminal.keys(&format!("{words}\r"));
    terminal.wait_for("watching");
    terminal.keys("\u{1a}");
    terminal.wait_for("Stopped");
    is_as_before(&mut terminal, "147");
    let shell = terminal.foreground();
    terminal.line("fg");
    terminal.wait_for("clawkeep watch");
    terminal.wait_for_foreground(|group| group != shell);
    terminal.keys("\u{3}");
    is_as_before(&mut terminal, "0");
    // What shows as it is typed can be ended.
    home.run_with_input(
        &[
            "--passphrase-file",
            "words",
            "models",
            "auth",
            "paste-token",
            "--provider",
            "groq",
        ],
        TOKEN,
    )
    .ok();
    for (signal, status) in [(Signal::TERM, "143"), (Signal::QUIT, "131")] {
        terminal.line("clawkeep models auth remove groq:manual");
        terminal.wait_for_hidden(question);
        terminal.keys(&format!("{words}\r"));
        terminal.wait_for("Remove groq:manual");
        kill_process(terminal.foreground(), signal).unwrap();
        is_as_before(&mut terminal, status);
    }
}

#[test]
fn a_signal_that_was_ignored_at_the_start_stays_ignored() {
    let home = home();
    let mut terminal = shell(&home, "bash");
    terminal.line(&format!("(trap '' HUP QUIT; exec {PASTE})"));
    terminal.wait_for_hidden(QUESTION);
    let pid = terminal.foreground();
    for signal in [Signal::HUP, Signal::QUIT] {
        kill_process(pid, signal).unwrap();
    }
    terminal.keys(&format!("\u{1c}{TOKEN}\r"));
    is_as_before(&mut terminal, "0");
    assert_eq!(home.exported_token("groq:manual").as_deref(), Some(TOKEN));
}

#[test]
fn ctrl_z_does_nothing_where_nobody_could_continue_the_program() {
    let home = home();
    let mut terminal = Terminal::start({
        let mut command = std::process::Command::new("setsid");
        let clawkeep = home.command(&[]);
        command.args(["--ctty", "--"]).arg(clawkeep.get_program());
        command.args(PASTE.split(' ').skip(1));
        command.env_clear().env("HOME", home.path());
        command
            .env("PATH", "/usr/bin:/bin")
            .current_dir(home.path());
        command
    });
    terminal.wait_for_hidden(QUESTION);
    terminal.keys(&format!("\u{1a}{TOKEN}\r"));
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert_eq!(home.exported_token("groq:manual").as_deref(), Some(TOKEN));
}

#[test]
fn a_paste_with_marks_is_taken_without_them() {
    let home = home();
    let mut terminal = shell(&home, "bash");
    terminal.line(PASTE);
    terminal.wait_for_hidden(QUESTION);
    terminal.keys(&format!("\u{1b}[200~{TOKEN}\r\u{1b}[201~"));
    terminal.keys("\r");
    is_as_before(&mut terminal, "0");
    assert_eq!(home.exported_token("groq:manual").as_deref(), Some(TOKEN));
}

#[test]
fn a_passphrase_of_two_pasted_lines_is_asked_for_again() {
    let home = home();
    let mut terminal = shell(&home, "bash");
    terminal.line("clawkeep key add passphrase");
    terminal.wait_for_hidden("New passphrase: ");
    terminal.keys("correct horse battery\rstaple");
    terminal.wait_for("more than a line");
    terminal.wait_for_hidden("New passphrase: ");
    terminal.keys("\u{4}");
    is_as_before(&mut terminal, "1");
    assert!(!terminal.shown().contains("staple"), "{}", terminal.shown());
}

#[test]
fn the_question_is_on_the_terminal_also_where_stderr_is_a_file() {
    let home = home();
    let mut terminal = shell(&home, "bash");
    terminal.line(&format!("{PASTE} 2> errors"));
    answer(&mut terminal, &home, TOKEN);
    let errors = std::fs::read_to_string(home.at("errors")).unwrap();
    assert!(!errors.contains("Paste"), "{errors}");
}

/// While the key is derived from a wrong passphrase, which takes seconds, the next one is typed.
#[test]
fn what_is_typed_while_a_passphrase_is_tried_does_not_show() {
    const RIGHT: &str = "four words from a hat";
    const EARLY: &str = "typed-while-it-computes";
    const ASKED: &str = "Passphrase or recovery code of the vault ~/.clawdbot/vault.db: ";
    let home = Home::new();
    home.write("pp", RIGHT);
    let init = ["init", "--key", "passphrase", "--passphrase-file", "pp"];
    home.run(&init).ok();
    let mut terminal = shell(&home, "bash");
    terminal.line("clawkeep -q models auth list");
    terminal.wait_for_hidden(ASKED);
    terminal.keys("wrong-wrong-wrong\r");
    terminal.wait_for("\r\n");
    terminal.keys(&format!("{EARLY}\r"));
    terminal.wait_for("That does not open it");
    terminal.answer_hidden(ASKED, RIGHT);
    terminal.wait_for("\r\n");
    terminal.keys(EARLY); // while the right one is tried
    is_as_before(&mut terminal, "0");
    // A key takes effect while it is tried.
    for (key, status) in [("\u{3}", "130"), ("\u{1c}", "131")] {
        terminal.line("clawkeep -q models auth list");
        terminal.wait_for_hidden(ASKED);
        terminal.keys("wrong-wrong-wrong\r");
        terminal.wait_for("\r\n");
        terminal.keys(&format!("{EARLY}{key}"));
        is_as_before(&mut terminal, status);
    }
    terminal.line("clawkeep -q models auth list");
    terminal.wait_for_hidden(ASKED);
    let pid = terminal.foreground();
    terminal.keys("wrong-wrong-wrong\r");
    terminal.wait_for("\r\n");
    kill_process(pid, Signal::TERM).unwrap();
    is_as_before(&mut terminal, "143");
    let shown = terminal.shown();
    assert!(!shown.contains(EARLY) && !shown.contains(RIGHT), "{shown}");
}

#[test]
fn a_long_paste_is_read_to_its_end_and_called_too_long() {
    let home = home();
    let mut terminal = shell(&home, "bash");
    terminal.line(PASTE);
    terminal.wait_for_hidden(QUESTION);
    let part = "p4st3".repeat(2000);
    for _ in 0..10 {
        terminal.keys(&part);
    }
    terminal.keys("\r");
    terminal.wait_for("more than 65536 bytes were given");
    answer(&mut terminal, &home, TOKEN);
    assert!(!terminal.shown().contains("p4st3"), "{}", terminal.shown());
}

/// Such a process may have a group and a session that have no id in its namespace, and the system
/// ends it by no signal of its own.
#[test]
fn the_first_process_of_a_pid_namespace_asks_as_well() {
    let namespace = ["--pid", "--fork", "--mount-proc"];
    let Some(unshare) = unshare(&namespace) else {
        return;
    };
    let words: Vec<_> = unshare
        .get_args()
        .map(|word| word.to_str().unwrap())
        .collect();
    let command = format!("unshare {} {PASTE}", words.join(" "));
    let home = home();
    let mut terminal = shell(&home, "bash");
    terminal.line(&command);
    answer(&mut terminal, &home, TOKEN);
    for (key, status) in [("\u{3}", "130"), ("\u{1c}", "131"), ("\u{4}", "1")] {
        terminal.line(&command);
        terminal.wait_for_hidden(QUESTION);
        terminal.keys(key);
        is_as_before(&mut terminal, status);
    }
}
