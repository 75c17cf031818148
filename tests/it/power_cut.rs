//! Power cuts while secrets are handed out: the use of a secret that was printed is in the record,
//! whatever was lost of what was not synced.
//!
//! strace records what `token` writes, renames and syncs. At each moment after a sync, a rename or
//! the end, the home is rebuilt as a power cut may leave it: of what came after the last sync of a
//! file, each write is there or not; of the names that were given, the first ones are. A
//! directory's sync makes its own names durable, and those of no other directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::durable::{TOKEN, with_keys};
use crate::support::home::Home;
use crate::support::random::{Random, number, seed};

/// How many uses are recorded: enough for the log to be written back and to begin anew.
const USES: u64 = 24;
const CALLS: &str = "trace=openat,pwrite64,write,ftruncate,fsync,fdatasync,rename,renameat,\
    renameat2,unlink,unlinkat";

/// What a power cut takes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Loss {
    Nothing,
    Everything,
    /// All contents, but no name: a file that was just made is empty.
    Contents,
    OfLog,
    OfFile,
    Some,
}

const LOSSES: [Loss; 6] = [
    Loss::Nothing,
    Loss::Everything,
    Loss::Contents,
    Loss::OfLog,
    Loss::OfFile,
    Loss::Some,
];

/// A change of a file's contents.
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

/// A file by whatever name.
#[derive(Default)]
struct Node {
    synced: Vec<u8>,
    since: Vec<Change>,
    length: usize,
}

/// A change of a directory.
#[derive(Clone)]
enum Naming {
    Give(PathBuf, usize),
    Take(PathBuf),
}

type Names = BTreeMap<PathBuf, usize>;

/// A disk, with what it has synced and what not.
#[derive(Default)]
struct Disk {
    nodes: Vec<Node>,
    synced: Names,
    /// What was done to names since, in this order.
    since: Vec<Naming>,
    now: Names,
}

impl Disk {
    fn of(home: &Home) -> Self {
        let mut disk = Self::default();
        for file in home.files() {
            let synced = fs::read(home.at(&file)).unwrap();
            let length = synced.len();
            disk.synced.insert(home.at(&file), disk.nodes.len());
            disk.nodes.push(Node {
                synced,
                since: Vec::new(),
                length,
            });
        }
        disk.now = disk.synced.clone();
        disk
    }

    fn name(&mut self, naming: Naming) {
        apply(&mut self.now, &naming);
        self.since.push(naming);
    }

    /// Makes the names of one directory durable, and those of no other.
    fn sync_names_in(&mut self, dir: &Path) {
        let is_in_dir = |naming: &Naming| match naming {
            Naming::Give(path, _) | Naming::Take(path) => path.parent() == Some(dir),
        };
        let since = std::mem::take(&mut self.since).into_iter();
        let (durable, since) = since.partition::<Vec<_>, _>(is_in_dir);
        self.since = since;
        for naming in &durable {
            apply(&mut self.synced, naming);
        }
    }

    fn node(&mut self, path: &Path) -> Option<&mut Node> {
        self.now.get(path).map(|node| &mut self.nodes[*node])
    }

    /// Does what a line of strace says. Whether it is a moment to look at.
    fn run(&mut self, line: &str) -> bool {
        let call = line.split_whitespace().nth(1).unwrap_or_default();
        let call = call.split('(').next().unwrap_or_default();
        let texts = quoted(line, '"', '"');
        let paths = quoted(line, '<', '>');
        let path_of = |bytes: &Vec<u8>| PathBuf::from(std::ffi::OsString::from_vec(bytes.clone()));
        if line.contains(" = -1 ") || line.contains("-shm") {
            return false;
        }
        match call {
            "openat" if line.contains("O_CREAT") => {
                let path = path_of(&texts[0]);
                if !self.now.contains_key(&path) && !is_index(&path) {
                    self.nodes.push(Node::default());
                    self.name(Naming::Give(path, self.nodes.len() - 1));
                }
                false
            }
            "pwrite64" | "write" | "ftruncate" => {
                let argument = line
                    .rsplit_once(')')
                    .unwrap()
                    .0
                    .rsplit(", ")
                    .next()
                    .unwrap();
                let Some(node) = self.node(&path_of(&paths[0])) else {
                    return false; // stdout
                };
                let change = match call {
                    "ftruncate" => Change::Length(argument.parse().unwrap()),
                    "write" => Change::Write(node.length, texts[0].clone()),
                    _ => Change::Write(argument.parse().unwrap(), texts[0].clone()),
                };
                node.length = match &change {
                    Change::Write(at, bytes) => node.length.max(at + bytes.len()),
                    Change::Length(length) => *length,
                };
                node.since.push(change);
                call == "ftruncate"
            }
            "fsync" | "fdatasync" => {
                let path = path_of(&paths[0]);
                if let Some(node) = self.node(&path) {
                    node.synced = contents(node, |_| true);
                    node.since.clear();
                } else {
                    self.sync_names_in(&path);
                }
                true
            }
            "rename" | "renameat" | "renameat2" => {
                let node = self.now[&path_of(&texts[0])];
                self.name(Naming::Take(path_of(&texts[0])));
                self.name(Naming::Give(path_of(&texts[1]), node));
                true
            }
            "unlink" | "unlinkat" => {
                self.name(Naming::Take(path_of(&texts[0])));
                true
            }
            _ => false,
        }
    }

    /// The files as a power cut leaves them.
    fn cut(&self, loss: Loss, random: &mut Random) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut names = self.synced.clone();
        let kept = match loss {
            Loss::Everything => 0,
            Loss::Some => usize::try_from(random.below(self.since.len() as u64 + 1)).unwrap(),
            _ => self.since.len(),
        };
        for naming in &self.since[..kept] {
            apply(&mut names, naming);
        }
        let files = names.into_iter().map(|(path, node)| {
            let is_log = path.to_string_lossy().ends_with("-wal");
            let is_file = path.to_string_lossy().ends_with("vault.db");
            let is_kept = |_: &Change| match loss {
                Loss::Nothing => true,
                Loss::Everything | Loss::Contents => false,
                Loss::OfLog => !is_log,
                Loss::OfFile => !is_file,
                Loss::Some => random.below(2) == 0,
            };
            (path, contents(&self.nodes[node], is_kept))
        });
        files.collect()
    }
}

fn apply(names: &mut Names, naming: &Naming) {
    match naming {
        Naming::Give(path, node) => names.insert(path.clone(), *node),
        Naming::Take(path) => names.remove(path),
    };
}

fn contents(node: &Node, mut is_kept: impl FnMut(&Change) -> bool) -> Vec<u8> {
    let mut bytes = node.synced.clone();
    for change in node.since.iter().filter(|change| is_kept(change)) {
        match change {
            Change::Write(at, written) => {
                let end = at + written.len();
                bytes.resize(bytes.len().max(end), 0);
                bytes[*at..end].copy_from_slice(written);
            }
            Change::Length(length) => bytes.resize(*length, 0),
        }
    }
    bytes
}

/// The index of the log is memory that processes share: none of it is needed after a power cut.
fn is_index(path: &Path) -> bool {
    path.to_string_lossy().ends_with("-shm")
}

/// The texts between two signs, which strace writes as `\x2f\x74`.
fn quoted(line: &str, begin: char, end: char) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    let mut rest = line;
    while let Some((_, after)) = rest.split_once(begin) {
        let Some((text, after)) = after.split_once(end) else {
            break;
        };
        let bytes = text.split("\\x").skip(1);
        found.push(
            bytes
                .map(|byte| u8::from_str_radix(byte, 16).unwrap())
                .collect(),
        );
        rest = after;
    }
    found
}

/// What `token` does, in lines of strace.
fn traced(home: &Home) -> String {
    let command = home.command(&TOKEN);
    let environment = command.get_envs();
    let output = tempfile::NamedTempFile::new().unwrap();
    let ran = Command::new("strace")
        .args(["-f", "-y", "-xx", "-s", "1000000", "-e", CALLS, "-o"])
        .arg(output.path())
        .arg(command.get_program())
        .args(command.get_args())
        .current_dir(command.get_current_dir().unwrap())
        .env_clear()
        .envs(environment.filter_map(|(name, value)| Some((name, value?))))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(ran.status.success(), "{ran:?}");
    fs::read_to_string(output.path()).unwrap()
}

/// Verifies the record in a home that has these files, which must have `events` at least.
fn assert_recorded(home: &Home, files: &BTreeMap<PathBuf, Vec<u8>>, events: u64, at: &str) {
    let after = Home::new();
    let copied = Command::new("cp")
        .arg("-a")
        .arg(format!("{}/.", home.path().display()))
        .arg(after.path())
        .status();
    assert!(copied.unwrap().success());
    for file in after.files() {
        if !files.contains_key(&home.at(&file)) {
            fs::remove_file(after.at(&file)).unwrap();
        }
    }
    for (path, bytes) in files.iter().filter(|(path, _)| !is_index(path)) {
        let rel = path.strip_prefix(home.path()).unwrap();
        fs::write(after.path().join(rel), bytes).unwrap();
    }
    let verified = after.run(&["audit", "verify", "--json"]);
    assert_eq!(verified.status, 0, "{at}: {verified:?}");
    let last = verified.json()["last"].as_u64().unwrap();
    assert!(last >= events, "{at}: {last} of {events}");
    assert_eq!(after.run(&TOKEN).status, 0, "{at}");
}

#[test]
#[ignore = "needs strace, and takes a minute"]
fn a_secret_that_was_printed_is_in_the_record_after_a_power_cut() {
    cut_power_during(number("CLAWKEEP_ROUNDS", USES));
}

/// The same, shortly.
#[test]
fn two_secrets_that_were_printed_are_in_the_record_after_a_power_cut() {
    cut_power_during(2);
}

fn cut_power_during(uses: u64) {
    let (home, seed) = (with_keys(), seed());
    let mut random = Random::seeded(seed);
    home.run(&TOKEN).ok();
    let mut events = home.events().len() as u64;
    let mut disk = Disk::of(&home);
    let mut cuts = 0;
    for number in 0..uses {
        let text = traced(&home);
        let mut moment = |disk: &Disk, at: &str, events: u64| {
            for loss in LOSSES {
                let at = format!("use {number}, {at}, lost {loss:?}, CLAWKEEP_SEED={seed}");
                assert_recorded(&home, &disk.cut(loss, &mut random), events, &at);
                cuts += 1;
            }
        };
        for line in text.lines() {
            if disk.run(line) {
                moment(&disk, line.get(..60).unwrap_or(line), events);
            }
        }
        events += 1;
        moment(&disk, "printed", events);
        let kept: BTreeMap<_, _> = disk.cut(Loss::Nothing, &mut random);
        for (path, bytes) in kept.iter().filter(|(path, _)| !is_index(path)) {
            assert!(fs::read(path).unwrap() == *bytes, "{}", path.display());
        }
    }
    assert!(cuts > 0, "no moment was tried");
}
