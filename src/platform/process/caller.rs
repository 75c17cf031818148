//! The program that started this one, as a person would name it: past shells and wrappers to a
//! script, a package or a service. Names are what processes claim.

use std::path::Path;

use crate::domain::{begins_as_secret, from_outside, is_random, known_secret_in};
use crate::platform::kernel_file::read_kernel_file;

/// How many ancestors are asked at most.
const DEPTH: usize = 12;
/// From how many characters on something with a secret's beginning inside a word counts as one.
const GLUED: usize = 20;
/// In place of a name that has a secret in it.
const UNNAMED: &str = "unnamed";
/// Programs that run what a file or a package says.
pub(super) const INTERPRETERS: [&str; 3] = ["node", "bun", "deno"];
/// The same, and with `-c` or `-e` what an argument says. Versions may follow: `python3.12`.
const SCRIPTED: [&str; 8] = [
    "python", "ruby", "perl", "node", "nodejs", "bun", "deno", "php",
];
/// Shells: a name only for the script that they run, or for a person at the prompt.
const SHELLS: [&str; 8] = ["sh", "bash", "dash", "zsh", "ksh", "ash", "fish", "elvish"];
/// Programs that only start another one.
const WRAPPERS: [&str; 20] = [
    "env",
    "timeout",
    "nice",
    "nohup",
    "setsid",
    "ionice",
    "chrt",
    "stdbuf",
    "xargs",
    "time",
    "flock",
    "sudo",
    "doas",
    "su",
    "runuser",
    "setpriv",
    "unshare",
    "nsenter",
    "tini",
    "dumb-init",
];
/// Processes that start services; the service has the name.
const MANAGERS: [&str; 2] = ["systemd", "init"];

/// A process, as `/proc` shows it.
#[derive(Clone, Debug, Default)]
struct Process {
    parent: u32,
    /// At most 15 bytes of its name.
    name: String,
    /// Its program and arguments; empty if it has been read from nowhere.
    words: Vec<String>,
}

impl Process {
    fn read(id: u32) -> Option<Self> {
        let dir = Path::new("/proc").join(id.to_string());
        let text = |file: &str| {
            let bytes = read_kernel_file(&dir.join(file)).ok()?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        };
        let stat = text("stat")?;
        // 1 (name) S 0 …: the name may have anything in it. Source: proc_pid_stat(5).
        let (before, after) = stat.rsplit_once(") ")?;
        let name = before.split_once('(')?.1.to_owned();
        let parent = after.split(' ').nth(1)?.parse().ok()?;
        let words = text("cmdline").unwrap_or_default();
        Some(Self {
            parent,
            name,
            words: words.split_terminator('\0').map(str::to_owned).collect(),
        })
    }

    /// The name of the program; whole where the system cut it. A process can give itself a title
    /// with arguments in it: only its first word counts.
    fn program(&self) -> &str {
        let first = |text: &'_ str| text.split_whitespace().next().map(str::len);
        let path = self.words.first().map_or("", String::as_str);
        let whole = path.trim_start_matches('-').rsplit('/').next();
        let whole = whole.filter(|name| !self.name.is_empty() && name.starts_with(&self.name));
        let name = whole.unwrap_or(&self.name).trim_start();
        name[..first(name).unwrap_or_default()].trim_end_matches(':')
    }

    /// What the process is to a person; `None` if it only carries out another one's wish.
    fn role(&self) -> Option<String> {
        let program = self.program();
        if WRAPPERS.contains(&program) {
            return None;
        }
        let is_shell = SHELLS.contains(&program);
        let base = program.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        if !is_shell && !SCRIPTED.contains(&base) {
            return Some(program.to_owned());
        }
        let script = match script(self.words.get(1..).unwrap_or_default()) {
            Script::Named(name) => Some(name),
            Script::Inline if is_shell => return None,
            Script::Inline | Script::None => None,
        };
        Some(script.unwrap_or_else(|| program.to_owned()))
    }
}

/// What an interpreter runs.
enum Script {
    Named(String),
    /// The text of an argument.
    Inline,
    /// What somebody types, or what comes through a pipe.
    None,
}

/// What the arguments of a shell or an interpreter say that it runs.
fn script(arguments: &[String]) -> Script {
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        let Some(option) = argument.strip_prefix('-') else {
            return name_of_script(argument).map_or(Script::None, Script::Named);
        };
        let is_long = option.starts_with('-');
        if !is_long && option.ends_with('m') {
            let module = arguments.next().map(String::as_str);
            return module
                .and_then(harmless)
                .map_or(Script::None, Script::Named);
        }
        if !is_long && option.ends_with(['c', 'e']) {
            return Script::Inline;
        }
        // Options with a value of their own, of node, bash and python.
        if ["r", "-require", "-import", "-loader", "o", "O", "W", "X"].contains(&option) {
            arguments.next();
        }
    }
    Script::None
}

/// The package that a script belongs to, else the name of its file; `None` for a pipe.
fn name_of_script(path: &str) -> Option<String> {
    if path.starts_with("/dev/") || path.starts_with("/proc/") {
        return None;
    }
    let parts: Vec<&str> = path.split('/').collect();
    let package = parts.iter().rposition(|part| *part == "node_modules");
    let package = package.and_then(|at| match parts.get(at + 1) {
        Some(scope) if scope.starts_with('@') => parts.get(at + 2),
        Some(&".bin") | None => None,
        package => package,
    });
    harmless(package.or(parts.last())?)
}

/// A name in which there is no secret that somebody gave for a script or wrote into a title.
fn harmless(name: &str) -> Option<String> {
    let is_long = |part: &str| part.len() >= GLUED && part.contains(|c: char| c.is_ascii_digit());
    let glued = |(at, _)| is_long(&name[at..]) && begins_as_secret(&name[at..]);
    let is_secret = begins_as_secret(name)
        || known_secret_in(name).is_some()
        || is_random(name)
        || name.char_indices().any(glued);
    (!is_secret && !name.is_empty()).then(|| name.to_owned())
}

/// The service that a process belongs to, from its control group.
fn unit(control_group: &str) -> Option<&str> {
    let parts = control_group.trim_end().rsplit('/');
    let mut units = parts.filter(|part| part.ends_with(".service"));
    units.find(|unit| !unit.starts_with("user@"))
}

/// The name of what started the process `id`, whose parent is `parent`; `None` if the system does
/// not tell.
fn name_from(
    parent: u32,
    read: impl Fn(u32) -> Option<Process>,
    own_unit: impl Fn() -> Option<String>,
) -> Option<String> {
    let mut nearest = None;
    let mut id = parent;
    for _ in 0..DEPTH {
        let Some(process) = read(id) else { break };
        if MANAGERS.contains(&process.program()) {
            return own_unit().or(nearest).or(Some(process.name));
        }
        if let Some(name) = process.role() {
            return harmless(&name).or(Some(UNNAMED.to_owned()));
        }
        nearest.get_or_insert_with(|| process.program().to_owned());
        id = process.parent;
    }
    nearest
}

/// The name of what started this process.
pub(super) fn name() -> Option<String> {
    let parent = rustix::process::getppid()?.as_raw_nonzero().get();
    let own_unit = || {
        let group = std::fs::read_to_string("/proc/self/cgroup").ok()?;
        unit(&group).map(str::to_owned)
    };
    let name = name_from(u32::try_from(parent).ok()?, Process::read, own_unit);
    name.map(|name| from_outside(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The name for a chain of command lines, the parent first.
    fn named(chain: &[&str], own_unit: Option<&str>) -> Option<String> {
        let read = |id: u32| {
            let line = chain.get(usize::try_from(id).unwrap())?;
            let words: Vec<String> = line.split(' ').map(str::to_owned).collect();
            let name = words[0].trim_start_matches('-').rsplit('/').next();
            let name: String = name.unwrap().chars().take(15).collect();
            Some(Process {
                parent: id + 1,
                name,
                words,
            })
        };
        name_from(0, read, || own_unit.map(str::to_owned))
    }

    #[test]
    fn a_caller_has_the_name_that_a_person_would_say() {
        for (chain, want) in [
            (&["-bash", "sshd"][..], "bash"),
            (&["bash", "tmux"], "bash"),
            (&["bash -l", "sshd"], "bash"),
            (&["bash /home/a/bin/job.sh --key x", "cron"], "job.sh"),
            (&["/bin/sh -c clawkeep", "claude --print"], "claude"),
            (
                &["sh -ec clawkeep", "timeout 5 x", "env A=b", "cron"],
                "cron",
            ),
            (&["bash /dev/fd/63", "sshd"], "bash"),
            (
                &["python3.12 /opt/agents/planner.py --token t"],
                "planner.py",
            ),
            (&["python3 -u -m agents.planner"], "agents.planner"),
            (&["python3 -c pass", "bash"], "python3"),
            (&["python3", "bash"], "python3"),
            (
                &["node /usr/lib/node_modules/openclaw/dist/entry.js"],
                "openclaw",
            ),
            (
                &["node --import x /l/node_modules/@openai/codex/bin/codex.js"],
                "codex",
            ),
            (&["node /a/node_modules/.bin/pi"], "pi"),
            (&["node sk-ant-api03-0123456789abcdef"], "node"),
            (&["sh mysk-proj-GLUE1111222233334444"], "sh"),
            (&["sh 0123456789abcdef0123456789abcdef"], "sh"),
            (&["/x/sk-proj-SCRIPT1111222233334444"], "unnamed"),
            (
                &["/x/task-runner-for-everything"],
                "task-runner-for-everything",
            ),
            (
                &["/opt/a-program-with-a-long-name x"],
                "a-program-with-a-long-name",
            ),
            (&["sudo -u a x", "su - a", "-zsh"], "zsh"),
        ] {
            assert_eq!(named(chain, None).as_deref(), Some(want), "{chain:?}");
        }
    }

    #[test]
    fn a_title_is_its_first_word() {
        for (title, want) in [
            ("fetch --key sk-proj-INTITLE112222333344445555", "fetch"),
            ("nginx: worker process", "nginx"),
            ("sk-proj-TITLE112222333344445555 x", "unnamed"),
            (" ", "unnamed"),
        ] {
            let titled = Process {
                parent: 2,
                name: title.chars().take(15).collect(),
                words: vec![title.to_owned()],
            };
            let name = name_from(1, |id| (id == 1).then(|| titled.clone()), || None);
            assert_eq!(name.as_deref(), Some(want), "{title}");
        }
    }

    #[test]
    fn a_service_has_its_own_name() {
        let chain = ["/usr/lib/systemd/systemd --user", "systemd"];
        assert_eq!(named(&chain, Some("job.service")).unwrap(), "job.service");
        let chain = ["sh -c x", "systemd"];
        assert_eq!(named(&chain, Some("job.service")).unwrap(), "job.service");
        assert_eq!(named(&chain, None).unwrap(), "sh");
        assert_eq!(named(&["systemd"], None).unwrap(), "systemd");
        assert_eq!(named(&[], None), None);
        for (group, want) in [
            ("0::/system.slice/job.service\n", Some("job.service")),
            (
                "0::/user.slice/user-1.slice/user@1.service/app.slice/a.service\n",
                Some("a.service"),
            ),
            ("0::/user.slice/user-1.slice/user@1.service/x.scope\n", None),
            ("0::/\n", None),
        ] {
            assert_eq!(unit(group), want, "{group}");
        }
    }
}
