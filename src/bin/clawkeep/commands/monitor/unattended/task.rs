//! A task of Windows' Task Scheduler, as text, and asking `schtasks.exe`. Sources: Microsoft's
//! documentation, Task Scheduler Schema and schtasks commands.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use clawkeep::internal::domain::{shell_quoted_path, shown_path};
use clawkeep::internal::platform::{RunFault, all_output_within, output_within, system_program};
use maud::html;

use super::job::{EVERY_MINUTES, Job, MARK, Pace};

/// The file from which the task is registered, in the data directory.
pub(crate) const FILE: &str = "clawkeep-watch.xml";
/// What the program writes on stderr, in the data directory.
pub(crate) const LOG: &str = "clawkeep-watch.log";

/// The timeout of schtasks.
const PATIENCE: Duration = Duration::from_secs(60);
/// The largest answer about all tasks, in bytes.
const ANSWER_MAX: usize = 1 << 20;
/// Results of a last run that are no exit status: ready, running, not run yet. Source: Task
/// Scheduler Error and Success Constants.
const NO_EXITS: [&str; 3] = ["267008", "267009", "267011"];

/// The name of the task of the user with that SID. All users' tasks share one folder.
pub(crate) fn name(sid: &str) -> String {
    format!("clawkeep.watch.{sid}")
}

/// Why no task is possible. `log` is the file for the program's messages.
pub(crate) fn objection(job: &Job, log: &Path) -> Option<String> {
    let mut texts = match job.texts() {
        Ok(texts) => texts,
        Err(word) => return Some(super::job::not_text("a task", word)),
    };
    let log = log.to_string_lossy();
    texts.extend([job.program.as_str(), &log]);
    if texts.iter().any(|text| text.contains(char::is_control)) {
        return Some(
            "a task has no control characters, and a path that is handed on does".to_owned(),
        );
    }
    // It replaces `%NAME%` by a variable, and `$(Arg0)` by an argument.
    let is_replaced = |text: &&str| text.contains('%') || text.contains("$(");
    texts.iter().any(is_replaced).then(|| {
        "the Task Scheduler replaces % and $( in a command, and a path that is handed on has one"
            .to_owned()
    })
}

/// The task of the user with the security identifier `sid`: at logon, and again every few minutes
/// where no instance runs. A pass that is due while the machine sleeps runs when it wakes.
pub(crate) fn xml(job: &Job, sid: &str, log: &Path) -> String {
    let text = |text: &str| html! { (text) }.into_string();
    let limit = match job.pace {
        Pace::Always => "PT0S", // none
        Pace::Timed => "PT10M",
    };
    format!(
        r#"<?xml version="1.0" encoding="UTF-16"?>
<!-- {MARK}, which writes it anew. -->
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo>
    <Description>clawkeep: keeps credentials in step and refreshed</Description>
  </RegistrationInfo>
  <Triggers>
    <LogonTrigger>
      <Enabled>true</Enabled>
      <UserId>{sid}</UserId>
    </LogonTrigger>
    <TimeTrigger>
      <Repetition>
        <Interval>PT{EVERY_MINUTES}M</Interval>
        <StopAtDurationEnd>false</StopAtDurationEnd>
      </Repetition>
      <StartBoundary>2026-01-01T00:00:00</StartBoundary>
      <Enabled>true</Enabled>
    </TimeTrigger>
  </Triggers>
  <Principals>
    <Principal id="Author">
      <UserId>{sid}</UserId>
      <LogonType>InteractiveToken</LogonType>
      <RunLevel>LeastPrivilege</RunLevel>
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <AllowHardTerminate>true</AllowHardTerminate>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>false</RunOnlyIfNetworkAvailable>
    <AllowStartOnDemand>true</AllowStartOnDemand>
    <Enabled>true</Enabled>
    <Hidden>false</Hidden>
    <RunOnlyIfIdle>false</RunOnlyIfIdle>
    <WakeToRun>false</WakeToRun>
    <ExecutionTimeLimit>{limit}</ExecutionTimeLimit>
    <Priority>7</Priority>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{command}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"#,
        sid = text(sid),
        command = text(&quoted(&job.program)),
        arguments = text(&arguments(job, log)),
    )
}

/// What the program is called with: `monitor run-hidden` runs it without a window and hands on
/// variables, which a task has no place for.
fn arguments(job: &Job, log: &Path) -> String {
    let words = ["monitor", "run-hidden", "--log"].map(str::to_owned);
    let log = [log.to_string_lossy().into_owned()];
    let variables = job.variables.iter();
    let variables = variables.flat_map(|(name, value)| {
        [
            "--set".to_owned(),
            format!("{name}={}", value.to_string_lossy()),
        ]
    });
    // Quietly, as by cron: the log grows by what is wrong alone.
    let quiet = (job.pace == Pace::Timed).then(|| "--quiet".to_owned());
    let own = job.words().map(|word| word.to_string_lossy().into_owned());
    let end = (job.pace == Pace::Always).then(|| "--end-with-stdin".to_owned());
    let all = words.into_iter().chain(log).chain(variables);
    let all = all
        .chain(["--".to_owned()])
        .chain(quiet)
        .chain(own)
        .chain(end);
    all.map(|word| quoted(&word)).collect::<Vec<_>>().join(" ")
}

/// A word of a command line. Source: Microsoft's documentation, CommandLineToArgvW.
fn quoted(word: &str) -> String {
    if !word.is_empty() && !word.contains([' ', '\t', '"']) {
        return word.to_owned();
    }
    let mut out = String::from('"');
    let mut backslashes = 0;
    for c in word.chars() {
        if c == '"' {
            out.push_str(&"\\".repeat(backslashes + 1));
        }
        backslashes = if c == '\\' { backslashes + 1 } else { 0 };
        out.push(c);
    }
    out.push_str(&"\\".repeat(backslashes));
    out.push('"');
    out
}

/// The bytes of the file: schtasks reads UTF-16 with a byte-order mark, as it writes.
pub(crate) fn bytes(xml: &str) -> Vec<u8> {
    let units = std::iter::once(0xfeff).chain(xml.encode_utf16());
    units.flat_map(u16::to_le_bytes).collect()
}

/// The program that a task of ours runs.
pub(crate) fn program_of(xml: &str) -> Option<String> {
    let (_, command) = xml.split_once("<Command>")?;
    let (text, _) = command.split_once("</Command>")?;
    let text = text.replace("&lt;", "<").replace("&gt;", ">");
    let text = text.replace("&quot;", "\"").replace("&amp;", "&");
    Some(text.trim_matches('"').to_owned())
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    /// Whether it runs or waits, in the system's language.
    pub(crate) status: String,
    pub(crate) last_exit: Option<String>,
}

/// The Task Scheduler, queried through schtasks.exe.
pub(crate) struct Scheduler {
    program: PathBuf,
    task: String,
}

impl Scheduler {
    pub(crate) fn new(sid: &str) -> Self {
        Self {
            program: system_program("schtasks.exe"),
            task: name(sid),
        }
    }

    pub(crate) fn task(&self) -> &str {
        &self.task
    }

    /// The command that registers the task from its file, for a person to type.
    pub(crate) fn create_by_hand(&self, file: &Path) -> String {
        let file = shell_quoted_path(file);
        format!("schtasks /Create /TN {} /XML {file} /F", self.task)
    }

    /// Registers the task from its file, in place of an earlier one.
    pub(crate) fn create(&self, file: &Path) -> Result<(), String> {
        self.order(
            "/Create",
            &["/XML".as_ref(), file.as_os_str(), "/F".as_ref()],
        )
    }

    pub(crate) fn run(&self) -> Result<(), String> {
        self.order("/Run", &[])
    }

    /// Ends and removes the task. That there is none is no failure.
    pub(crate) fn delete(&self) -> Result<(), String> {
        match self.state()? {
            Some(_) => self.delete_registered(),
            None => Ok(()),
        }
    }

    /// Ends and removes the task; fails where there is none. The program may still run: it ends
    /// after a refresh that is under way.
    pub(crate) fn delete_registered(&self) -> Result<(), String> {
        let _ = self.order("/End", &[]); // one that does not run is an error
        self.order("/Delete", &["/F".as_ref()])
    }

    /// The state of the task; `None` where it is not registered. Fails when schtasks does not
    /// answer, or its answer does not tell.
    pub(crate) fn state(&self) -> Result<Option<State>, String> {
        const QUERY: &str = "/Query";
        let rows = ["/FO", "CSV", "/NH"].map(OsStr::new);
        let mut of_task = self.command(QUERY, &rows);
        of_task.arg("/V");
        let answer = output_within(of_task, ANSWER_MAX, PATIENCE);
        let answer = answer.map_err(|fault| self.not_run(QUERY, fault))?;
        if answer.status.success() {
            let state = state_in(&answer.bytes);
            let unknown = || format!("schtasks {QUERY} says nothing of {}", self.task);
            return state.map(Some).ok_or_else(unknown);
        }
        // It fails in the same way where the task is absent and where it may not be read. The list
        // of all tasks shows which.
        let mut of_all = Command::new(&self.program);
        of_all.arg(QUERY).args(rows);
        let answer = all_output_within(of_all, ANSWER_MAX, PATIENCE);
        let answer = answer.map_err(|fault| self.not_run(QUERY, fault))?;
        let listed = String::from_utf8_lossy(&answer.bytes);
        if !answer.status.success() {
            return Err(format!("schtasks {QUERY} failed: {}", listed.trim()));
        }
        match listed.contains(&format!("\\{}\"", self.task)) {
            true => Err(format!(
                "the task {} is registered, and cannot be read",
                self.task
            )),
            false => Ok(None),
        }
    }

    fn order(&self, what: &str, more: &[&OsStr]) -> Result<(), String> {
        match all_output_within(self.command(what, more), ANSWER_MAX, PATIENCE) {
            Ok(answer) if answer.status.success() => Ok(()),
            Ok(answer) => Err(format!(
                "schtasks {what} failed: {}",
                String::from_utf8_lossy(&answer.bytes).trim()
            )),
            Err(fault) => Err(self.not_run(what, fault)),
        }
    }

    fn not_run(&self, what: &str, fault: RunFault) -> String {
        match fault {
            RunFault::NotRun(std::io::ErrorKind::NotFound) => {
                format!("there is no {}", shown_path(&self.program))
            }
            fault => format!("schtasks {what}: {fault}"),
        }
    }

    fn command(&self, what: &str, more: &[&OsStr]) -> Command {
        let mut command = Command::new(&self.program);
        command.args([what, "/TN", &self.task]).args(more);
        command
    }
}

/// Reads the rows of a query, one per trigger. Columns have fixed places, and translated names.
fn state_in(rows: &[u8]) -> Option<State> {
    const STATUS: usize = 3;
    const LAST_RESULT: usize = 6;
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(rows);
    let mut row = csv::ByteRecord::new();
    let _ = reader.read_byte_record(&mut row); // what is no row has no fields
    let field = |at| {
        row.get(at)
            .map(|field| String::from_utf8_lossy(field).into_owned())
    };
    let last = field(LAST_RESULT).filter(|last| last != "0" && !NO_EXITS.contains(&last.as_str()));
    Some(State {
        status: field(STATUS)?,
        last_exit: last,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_quoted_as_windows_reads_it() {
        for (word, want) in [
            ("watch", "watch"),
            (r"C:\a\b", r"C:\a\b"),
            (r"C:\a b\", r#""C:\a b\\""#),
            (r#"a"b\"#, r#""a\"b\\""#),
            (r#"a\"b"#, r#""a\\\"b""#),
            ("", r#""""#),
        ] {
            assert_eq!(quoted(word), want, "{word}");
        }
    }

    #[test]
    fn the_file_is_utf_16_with_a_mark() {
        assert_eq!(bytes("ä<"), [0xff, 0xfe, 0xe4, 0, b'<', 0]);
    }

    #[test]
    fn a_query_is_read_by_its_columns() {
        let rows = b"\"PC\",\"\\clawkeep.watch.1001\",\"N/A\",\"Wird \
            ausgef\x81hrt\",\"Interactive only\",\"29.11.2026 22:00:00\",\"75\",\"PC\\ana\"\r\n";
        let state = state_in(rows).unwrap();
        assert_eq!(state.status, "Wird ausgef\u{fffd}hrt");
        assert_eq!(state.last_exit.as_deref(), Some("75"));
        let rows = b"\"PC\",\"t\",\"N/A\",\"Running\",\"I\",\"d\",\"267009\"\r\n";
        assert_eq!(state_in(rows).unwrap().last_exit, None);
        assert_eq!(state_in(b""), None);
    }

    #[test]
    fn the_file_is_quoted_for_a_shell_in_the_command_by_hand() {
        let command = Scheduler::new("S-1-5").create_by_hand(Path::new("/R&D/x.xml"));
        let file = if cfg!(windows) {
            "\"/R&D/x.xml\""
        } else {
            "'/R&D/x.xml'"
        };
        assert_eq!(
            command,
            format!("schtasks /Create /TN clawkeep.watch.S-1-5 /XML {file} /F")
        );
    }

    /// A stand-in for schtasks.exe: what it does when it is asked of the task, and of all tasks.
    #[cfg(unix)]
    fn scheduler(dir: &Path, of_task: &str, of_all: &str) -> Scheduler {
        use std::os::unix::fs::PermissionsExt as _;
        let program = dir.join("schtasks.exe");
        let script = format!(
            "#!/bin/sh\necho \"$*\" >> {}/calls\ncase \"$*\" in */TN*) {of_task};; *) {of_all};; \
             esac\n",
            dir.display()
        );
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
        Scheduler {
            program,
            ..Scheduler::new("S-1-5-21-7")
        }
    }

    #[cfg(unix)]
    #[test]
    fn only_a_task_that_is_not_listed_is_absent() {
        const OTHER: &str = r#"printf '%s\n' '"\clawkeep.watch.S-1-5-21-70","N/A","Ready"'"#;
        const OWN: &str = r#"printf '%s\n' '"\clawkeep.watch.S-1-5-21-7","N/A","Ready"'"#;
        const ROW: &str = r#"printf '%s\n' '"PC","\t","N/A","Ready","I","d","0"'"#;
        for (of_task, of_all, want) in [
            (ROW, "exit 1", Ok(true)),
            ("exit 1", OTHER, Ok(false)),
            ("exit 1", OWN, Err("is registered, and cannot be read")),
            ("exit 1", "echo denied >&2; exit 1", Err("failed: denied")),
            ("echo", OTHER, Err("says nothing of clawkeep.watch")),
        ] {
            let dir = tempfile::tempdir().unwrap();
            let scheduler = scheduler(dir.path(), of_task, of_all);
            let state = scheduler.state();
            match (&state, want) {
                (Ok(state), Ok(is_there)) => assert_eq!(state.is_some(), is_there, "{of_task}"),
                (Err(why), Err(part)) => assert!(why.contains(part), "{why}"),
                _ => panic!("{of_task}; {of_all}: {state:?}"),
            }
            let is_deleted = scheduler.delete().is_ok();
            assert_eq!(is_deleted, want.is_ok(), "{of_task}; {of_all}");
            let calls = std::fs::read_to_string(dir.path().join("calls")).unwrap();
            let is_removed = calls.contains("/Delete /TN clawkeep.watch.S-1-5-21-7 /F");
            assert_eq!(is_removed, want == Ok(true), "{calls}");
        }
        let why = Scheduler::new("S").delete().unwrap_err();
        assert!(why.starts_with("there is no "), "{why}");
    }
}
