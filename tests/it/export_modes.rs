//! Export modes: a store is a file, a copy in memory behind a link, or not there; and nothing is
//! lost on the way from one to another.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};

use crate::killed::{Ended, Killer, STEPS, kill_at, timed};
use crate::support::damage::chmod;
use crate::support::home::{AGENT, Home, RUNTIME, Run, STORE};
use crate::support::random::number;
use crate::support::skip::is_root_or_skip;

const SETTINGS: &str = ".clawdbot/clawkeep.toml";
const OPS: &str = ".clawdbot/agents/ops/agent";
const MARK: &str = "sk-test-modes-";

/// A home with a runtime directory, `run`.
struct World {
    home: Home,
}

impl World {
    /// With one key in agent `main`, which is in the vault.
    fn new(mode: &str) -> Self {
        let home = Home::new();
        fs::create_dir(home.at("run")).unwrap();
        chmod(&home.at("run"), 0o700);
        home.write(STORE, store(&["a"]).to_string());
        let world = Self { home };
        world.set(mode);
        world.run(&["sync"]).ok();
        world
    }

    fn set(&self, mode: &str) {
        self.settings(&format!("clawkeep.export = \"{mode}\"\n"));
    }

    fn settings(&self, text: &str) {
        self.home.write(SETTINGS, text);
    }

    /// The home's, also where there is no runtime directory.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.home.command(args);
        command.env("XDG_RUNTIME_DIR", self.home.at(RUNTIME));
        command
    }

    fn run(&self, args: &[&str]) -> Run {
        self.command(args).output().unwrap().into()
    }

    /// Where the link at a store leads.
    #[track_caller]
    fn copy(&self, store: &str) -> PathBuf {
        let target = fs::read_link(self.home.at(store)).unwrap();
        assert!(target.starts_with(self.home.at("run/clawkeep").canonicalize().unwrap()));
        target
    }

    /// The keys that the vault has, whatever there is on the disk.
    #[track_caller]
    fn keys(&self) -> Vec<String> {
        let run = self.run(&["export", "--to", "-", "--reveal"]);
        keys_in(&serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}")))
    }

    /// Files with a secret of ours in the clear.
    fn plain(&self) -> Vec<String> {
        let has = |file: &String| {
            let bytes = fs::read(self.home.at(file)).unwrap_or_default(); // a link may lead nowhere
            let mut windows = bytes.windows(MARK.len());
            windows.any(|window| window == MARK.as_bytes())
        };
        self.home.files().into_iter().filter(has).collect()
    }

    /// Another program adds a key where the gateway looks, writing in place.
    fn gateway_adds(&self, store: &str, key: &str) {
        let path = self.home.at(store);
        let mut doc: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        doc["profiles"][format!("p:{key}")] = entry(key);
        fs::write(&path, doc.to_string()).unwrap();
    }

    fn count(&self, kind: &str) -> usize {
        self.home.count_of(kind)
    }
}

fn entry(key: &str) -> Value {
    json!({"type": "api_key", "provider": "p", "key": format!("{MARK}{key}")})
}

fn store(keys: &[&str]) -> Value {
    let profiles = keys.iter().map(|key| (format!("p:{key}"), entry(key)));
    json!({"version": 1, "profiles": Value::Object(profiles.collect())})
}

fn keys_in(doc: &Value) -> Vec<String> {
    let profiles = doc["profiles"].as_object().unwrap();
    let mut keys: Vec<String> = profiles
        .values()
        .map(|entry| entry["key"].as_str().unwrap().replace(MARK, ""))
        .collect();
    keys.sort();
    keys
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

/// What is on the disk and in memory is what the mode says, and says what the vault has.
#[track_caller]
fn assert_placed(world: &World, mode: &str) {
    let (path, plain) = (world.home.at(STORE), world.plain());
    let in_memory = plain.iter().filter(|file| file.starts_with("run/")).count();
    match mode {
        "file" => {
            assert!(fs::symlink_metadata(&path).unwrap().is_file());
            assert_eq!(plain, [STORE]);
        }
        "runtime" => {
            let copy = world.copy(STORE);
            let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
            let dir = copy.parent().unwrap();
            assert_eq!(
                (mode(&copy), mode(dir), mode(dir.parent().unwrap())),
                (0o600, 0o700, 0o700)
            );
            // The link is seen as a file with what it leads to.
            assert_eq!((plain.len(), in_memory), (2, 1), "{plain:?}");
        }
        _ => {
            assert!(fs::symlink_metadata(&path).is_err());
            assert_eq!(plain, [""; 0]);
        }
    }
    if mode != "off" {
        assert_eq!(keys_in(&read(&path)), world.keys());
    }
    let left = world.home.files();
    assert!(
        !left.iter().any(|file| file.contains("clawkeep-tmp")),
        "{left:?}"
    );
}

#[test]
fn on_every_way_from_one_mode_to_another_nothing_is_lost() {
    let world = World::new("file");
    let mut expected = vec!["a".to_owned()];
    let way = [
        "runtime", "file", "off", "file", "runtime", "off", "runtime", "runtime", "off", "off",
    ];
    let mut before = "file";
    for (at, mode) in way.into_iter().enumerate() {
        if before != "off" {
            let key = format!("k{at}");
            world.gateway_adds(STORE, &key);
            expected.push(key);
            expected.sort();
        }
        world.set(mode);
        let run = world.run(&["sync"]);
        let told = usize::from(mode == "off" && before != "off");
        assert_eq!(
            run.stderr.lines().count(),
            told,
            "{before} to {mode}: {run:?}"
        );
        run.ok();
        assert_eq!(world.keys(), expected, "{before} to {mode}");
        assert_placed(&world, mode);
        let events = world.home.events().len();
        for args in [&["sync"][..], &["models", "status"]] {
            let again = world.run(args);
            assert!(again.stderr.is_empty() || args[0] == "models", "{again:?}");
        }
        assert_eq!(world.home.events().len(), events, "{mode}: settled");
        before = mode;
    }
    assert_eq!(world.count("profile.removed"), 0);
    world.home.assert_sound();
}

#[test]
fn a_first_store_is_made_as_the_mode_says() {
    for mode in ["file", "runtime", "off"] {
        let world = World::new(mode);
        let reason = world
            .home
            .newest("export.written")
            .map(|event| event["detail"].clone());
        let want = match mode {
            "runtime" => Some(json!("moved")),
            "off" => Some(json!("removed")),
            _ => None, // it was there, and says what it should
        };
        assert_eq!(reason.map(|detail| detail["reason"].clone()), want);
        assert_eq!(world.keys(), ["a"]);
        assert_placed(&world, mode);
    }
    // Where there was none at all.
    for mode in ["file", "runtime", "off"] {
        let world = World::new(mode);
        fs::create_dir_all(world.home.at(OPS)).unwrap();
        let add = [
            "models",
            "auth",
            "paste-token",
            "--provider",
            "p",
            "--agent",
            "ops",
        ];
        let run = world.home.command(&add);
        let mut command = run;
        command.env("XDG_RUNTIME_DIR", world.home.at("run"));
        let child =
            crate::support::home::start_with_input(command, "sk-test-modes-ops-0123456789\n");
        Run::from(child.wait_with_output().unwrap()).ok();
        let made = fs::symlink_metadata(world.home.at(OPS).join("auth-profiles.json"));
        match mode {
            "file" => assert!(made.unwrap().is_file()),
            "runtime" => assert!(made.unwrap().is_symlink()),
            _ => assert!(made.is_err()),
        }
    }
}

#[test]
fn a_copy_that_went_with_the_session_is_exported_again() {
    let world = World::new("runtime");
    let copy = world.copy(STORE);
    for _ in 0..2 {
        fs::remove_dir_all(world.home.at("run/clawkeep")).unwrap();
        let run = world.run(&["models", "status"]);
        assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{run:?}");
        assert_eq!(keys_in(&read(&copy)), ["a"]);
    }
    let newest = world.home.newest("export.written").unwrap();
    assert_eq!(newest["detail"]["reason"], "dangling");
    assert_eq!(world.count("store.merged"), 0);
    assert_eq!(world.count("profile.removed"), 0);
    // What was removed before the session ended stays so.
    world.gateway_adds(STORE, "b");
    world.run(&["sync"]).ok();
    world
        .run(&["models", "auth", "remove", "p:b", "--yes"])
        .ok();
    fs::remove_dir_all(world.home.at("run/clawkeep")).unwrap();
    world.run(&["sync"]).ok();
    assert_eq!(keys_in(&read(&copy)), ["a"]);
}

#[test]
fn a_gateway_that_puts_a_file_in_place_of_the_link_is_merged_and_the_link_put_back() {
    let world = World::new("runtime");
    let copy = world.copy(STORE);
    let mut theirs = read(&copy);
    theirs["profiles"]["p:b"] = entry("b");
    let written = world.home.at(&format!("{STORE}.new"));
    fs::write(&written, theirs.to_string()).unwrap();
    chmod(&written, 0o600);
    fs::rename(&written, world.home.at(STORE)).unwrap();
    // Another of its processes has written into the copy before that.
    let mut earlier = read(&copy);
    earlier["profiles"]["p:c"] = entry("c");
    fs::write(&copy, earlier.to_string()).unwrap();
    world.run(&["sync"]).ok();
    assert_eq!(world.copy(STORE), copy);
    assert_eq!(world.keys(), ["a", "b", "c"]);
    assert_placed(&world, "runtime");
    // What it takes out is taken out.
    let mut theirs = read(&copy);
    theirs["profiles"].as_object_mut().unwrap().remove("p:b");
    fs::remove_file(world.home.at(STORE)).unwrap();
    world.home.write(STORE, theirs.to_string());
    world.run(&["sync"]).ok();
    assert_eq!(world.keys(), ["a", "c"]);
    assert_placed(&world, "runtime");
}

#[test]
fn what_a_gateway_removes_is_written_again() {
    let world = World::new("runtime");
    let copy = world.copy(STORE);
    world.gateway_adds(STORE, "b");
    fs::remove_file(world.home.at(STORE)).unwrap();
    let run = world.run(&["sync"]);
    assert!(
        run.stderr.contains("was missing; clawkeep wrote it again"),
        "{run:?}"
    );
    run.ok();
    assert_eq!(
        world.keys(),
        ["a", "b"],
        "what was in the copy is taken over"
    );
    assert_placed(&world, "runtime");
    fs::remove_file(&copy).unwrap();
    world.run(&["sync"]).ok();
    assert_placed(&world, "runtime");
    assert_eq!(world.count("profile.removed"), 0);
}

#[test]
fn a_store_that_appears_where_there_is_to_be_none_is_merged_and_removed() {
    let world = World::new("off");
    for text in [json!({"version": 1, "profiles": {}}), store(&["b"])] {
        world.home.write(STORE, text.to_string());
        let run = world.run(&["models", "status"]);
        assert!(
            run.stderr
                .contains("was imported into the vault and removed"),
            "{run:?}"
        );
        run.ok();
        assert_placed(&world, "off");
    }
    assert_eq!(
        world.keys(),
        ["a", "b"],
        "a store begun anew deletes nothing"
    );
    assert_eq!(world.count("profile.removed"), 0);
    // A link to a copy that is gone, too.
    symlink(
        world
            .home
            .at("run/clawkeep/0123456789abcdef/auth-profiles.json"),
        world.home.at(STORE),
    )
    .unwrap();
    world.run(&["sync"]).ok();
    assert_placed(&world, "off");
    let token = world.run(&["token", "--profile", "p:b"]);
    assert_eq!(token.stdout.trim(), format!("{MARK}b"), "{token:?}");
}

#[test]
fn export_says_why_it_writes_none() {
    let world = World::new("off");
    let run = world.run(&["export"]).exits(1);
    assert!(run.stderr.contains("clawkeep.export is \"off\""), "{run:?}");
    assert!(run.stderr.contains("--to FILE --reveal"), "{run:?}");
    assert!(fs::symlink_metadata(world.home.at(STORE)).is_err());
    world.run(&["export", "--to", "copy.json", "--reveal"]).ok();
    assert_eq!(keys_in(&world.home.json("copy.json")), ["a"]);
    world.set("runtime");
    let answer = world.run(&["export"]).ok();
    assert!(answer.contains("exported to"), "{answer}");
    let to_itself = world.run(&["export", "--to", STORE, "--reveal"]);
    to_itself.ok();
    world.copy(STORE);
}

#[test]
fn agents_have_modes_of_their_own() {
    let world = World::new("file");
    let ops = format!("{OPS}/auth-profiles.json");
    let more = ".clawdbot/agents/more/agent/auth-profiles.json";
    world.home.write(&ops, store(&["ops"]).to_string());
    world.home.write(more, store(&["more"]).to_string());
    world.settings(
        "[clawkeep]\nexport = \"runtime\"\n[agents.ops]\nexport \
        = \"off\"\n[agents.MAIN]\n[agents.main]\nexport = \"runtime\"\n",
    );
    world.run(&["sync"]).ok();
    assert_ne!(
        world.copy(STORE),
        world.copy(more),
        "each has a copy of its own"
    );
    assert!(fs::symlink_metadata(world.home.at(&ops)).is_err());
    assert_eq!(keys_in(&world.home.json(more)), ["more"]);
    world.home.assert_sound();
    // Another state directory with the same agents has others.
    let other = World::new("runtime");
    let run = other
        .home
        .command(&["sync"])
        .env("XDG_RUNTIME_DIR", world.home.at("run"))
        .output();
    Run::from(run.unwrap()).ok();
    assert_ne!(
        fs::read_link(other.home.at(STORE)).unwrap(),
        world.copy(STORE)
    );
    assert!(
        !other.plain().iter().any(|file| file.starts_with("run/")),
        "the former copy is gone"
    );
}

/// The store of `ops` is a link of the user's to that of `main`: one store, as open as the agent
/// that needs it most.
#[test]
fn a_store_that_agents_share_is_as_open_as_one_of_them_needs() {
    let world = World::new("file");
    fs::create_dir_all(world.home.at(OPS)).unwrap();
    let link = world.home.at(OPS).join("auth-profiles.json");
    let target = "../../main/agent/auth-profiles.json";
    symlink(target, &link).unwrap();
    world.settings("[agents.main]\nexport = \"off\"\n");
    for args in [
        &["sync"][..],
        &["models", "status"],
        &["sync", "--agent", "ops"],
    ] {
        world.run(args).ok();
        assert_eq!(world.plain().len(), 2, "it stays for ops");
    }
    world.settings("[agents.main]\nexport = \"off\"\n[agents.ops]\nexport = \"runtime\"\n");
    world.run(&["sync"]).ok();
    let copy = world.copy(STORE);
    assert_eq!(
        fs::read_link(&link).unwrap(),
        Path::new(target),
        "the user's link stays"
    );
    assert_eq!(keys_in(&read(&link)), ["a"]);
    world.gateway_adds(&format!("{OPS}/auth-profiles.json"), "b");
    world.run(&["sync", "--agent", "ops"]).ok();
    assert_eq!(keys_in(&read(&copy)), ["a", "b"]);
    world.set("off");
    world.run(&["sync"]).ok();
    assert_eq!(world.plain(), [""; 0]);
    assert!(!copy.exists());
    assert_eq!(fs::read_link(&link).unwrap(), Path::new(target));
    assert_eq!(world.keys(), ["a", "b"]);
    world.set("file");
    world.run(&["sync"]).ok();
    assert_eq!(keys_in(&read(&link)), ["a", "b"]);
    world.home.assert_sound();
}

/// A copied agent directory has a copied link: what it leads to is the first content, and stays the
/// other's.
#[test]
fn a_copied_link_is_replaced_by_one_of_its_own() {
    let world = World::new("runtime");
    let copy = world.copy(STORE);
    fs::create_dir_all(world.home.at(OPS)).unwrap();
    symlink(&copy, world.home.at(OPS).join("auth-profiles.json")).unwrap();
    world.run(&["sync", "--agent", "ops"]).ok();
    assert_ne!(world.copy(&format!("{OPS}/auth-profiles.json")), copy);
    assert_eq!(keys_in(&read(&copy)), ["a"]);
    world.run(&["sync"]).ok();
    assert_eq!(world.count("profile.removed"), 0);
}

#[test]
fn without_a_runtime_directory_nothing_plain_stays_and_all_is_answered() {
    let world = World::new("file");
    world.gateway_adds(STORE, "b");
    world.set("runtime");
    fs::remove_dir(world.home.at("run")).unwrap();
    for round in 0..2 {
        let run = world.run(&["models", "status"]).exits(1);
        assert!(run.stdout.contains("p effective=profiles"), "{run:?}");
        assert!(
            run.stderr
                .contains("there is no runtime directory: XDG_RUNTIME_DIR names"),
            "{run:?}"
        );
        assert_eq!(run.stderr.contains("removed"), round == 0, "{run:?}");
        assert_eq!(world.plain(), [""; 0]);
    }
    assert_eq!(
        world.run(&["token", "--profile", "p:b"]).ok().trim(),
        format!("{MARK}b")
    );
    let found = world
        .run(&["doctor", "--non-interactive", "--json"])
        .exits(1);
    assert!(found.stdout.contains("store.unwritten"), "{found:?}");
    // A relative one counts as none.
    let run = world
        .home
        .command(&["sync"])
        .env("XDG_RUNTIME_DIR", "run")
        .output()
        .unwrap();
    assert!(Run::from(run).stderr.matches("runtime directory").count() <= 1);
    fs::create_dir(world.home.at("run")).unwrap();
    chmod(&world.home.at("run"), 0o700);
    world.run(&["sync"]).ok();
    assert_placed(&world, "runtime");
    assert_eq!(world.keys(), ["a", "b"]);
    // With a link that leads nowhere, it stays.
    fs::remove_dir_all(world.home.at("run")).unwrap();
    world.run(&["sync"]).exits(1);
    assert!(world.home.at(STORE).is_symlink());
}

type Hostile = (&'static str, fn(&Home));

#[test]
fn a_runtime_directory_that_others_could_use_gets_nothing() {
    let cases: [Hostile; 6] = [
        ("can be written", |home| chmod(&home.at("run"), 0o777)),
        ("can be written", |home| {
            fs::create_dir(home.at("run/clawkeep")).unwrap();
            chmod(&home.at("run/clawkeep"), 0o722);
        }),
        ("symbolic link", |home| {
            fs::create_dir(home.at("elsewhere")).unwrap();
            symlink(home.at("elsewhere"), home.at("run/clawkeep")).unwrap();
        }),
        ("not a regular file", |home| home.write("run/clawkeep", "")),
        ("belongs to user", |home| {
            fs::create_dir(home.at("run/clawkeep")).unwrap();
            let _ = chown(home.at("run/clawkeep"), Some(4711), None); // as root alone
        }),
        ("belongs to user", |home| {
            let _ = chown(home.at("run"), Some(4711), None);
        }),
    ];
    for (words, harm) in cases {
        let world = World::new("file");
        harm(&world.home);
        if words == "belongs to user" && !is_root_or_skip("only root can give a directory away") {
            continue;
        }
        world.set("runtime");
        let run = world.run(&["sync"]).exits(65);
        assert!(run.stderr.contains(words), "{words}: {run:?}");
        assert_eq!(world.plain(), [""; 0], "{words}");
        assert!(fs::symlink_metadata(world.home.at(STORE)).is_err());
        assert_eq!(world.keys(), ["a"]);
    }
    // One that becomes so while a link leads there is not believed.
    let world = World::new("runtime");
    let copy = world.copy(STORE);
    chmod(&world.home.at("run/clawkeep"), 0o777);
    fs::write(&copy, store(&["planted"]).to_string()).unwrap();
    let run = world.run(&["sync"]).exits(65);
    assert!(run.stderr.contains("chmod go-w"), "{run:?}");
    chmod(&world.home.at("run/clawkeep"), 0o700);
    fs::write(&copy, store(&["a"]).to_string()).unwrap();
    world.run(&["sync"]).ok();
    assert_eq!(world.keys(), ["a"]);
}

#[test]
fn settings_that_cannot_be_read_make_no_plain_file() {
    let world = World::new("off");
    for text in [
        "clawkeep.export = \"of\"",
        "clawkeep = [",
        "[agents.main]\nexport = 7",
        "export = \"off\"",
    ] {
        world.settings(text);
        for args in [
            &["models", "status"][..],
            &["sync"],
            &["export"],
            &["models", "auth", "list"],
        ] {
            let run = world.run(args).exits(65);
            assert!(
                run.stderr.contains("not valid at line"),
                "{text}: {args:?}: {run:?}"
            );
            assert!(
                fs::symlink_metadata(world.home.at(STORE)).is_err(),
                "{text}: {args:?}"
            );
        }
        let status = world.run(&["models", "status"]);
        assert!(status.stdout.contains("p effective=profiles"), "{status:?}");
    }
    chmod(&world.home.at(SETTINGS), 0o666);
    world.run(&["sync"]).exits(65);
    assert!(fs::symlink_metadata(world.home.at(STORE)).is_err());
    // A file that is there is merged and neither written nor removed.
    let world = World::new("file");
    world.gateway_adds(STORE, "b");
    let before = world.home.read(STORE);
    world.settings("clawkeep.export = 1");
    world.run(&["sync"]).exits(65);
    assert_eq!(world.home.read(STORE), before);
    world.set("file");
    assert_eq!(world.keys(), ["a", "b"]);
}

#[test]
fn a_newer_gateways_directory_is_left_as_it_is() {
    for mode in ["runtime", "off"] {
        let world = World::new("file");
        world
            .home
            .write(&format!("{AGENT}/openclaw-agent.sqlite"), "");
        world.set(mode);
        let before = world.home.read(STORE);
        world.run(&["sync"]).ok();
        assert!(
            fs::symlink_metadata(world.home.at(STORE))
                .unwrap()
                .is_file()
        );
        assert_eq!(world.home.read(STORE), before);
        fs::remove_file(world.home.at(AGENT).join("openclaw-agent.sqlite")).unwrap();
        world.run(&["sync"]).ok();
        assert_placed(&world, mode);
    }
}

#[test]
fn a_damaged_store_is_kept_and_none_is_written_in_its_place() {
    for (mode, kept) in [("off", AGENT), ("runtime", "run/")] {
        let world = World::new(mode);
        if mode == "runtime" {
            fs::write(world.copy(STORE), "{\"profiles\": {").unwrap();
        } else {
            world.home.write(STORE, "{\"profiles\": {");
        }
        let run = world.run(&["sync"]).exits(0);
        assert!(run.stderr.contains("was damaged"), "{run:?}");
        assert_eq!(
            run.stderr.contains("a plain copy"),
            mode == "off",
            "{run:?}"
        );
        let aside: Vec<_> = world
            .home
            .files()
            .into_iter()
            .filter(|file| file.contains(".corrupt-"))
            .collect();
        assert!(aside.len() == 1 && aside[0].starts_with(kept), "{aside:?}");
        assert_placed(&world, mode);
    }
}

/// What a process left that was killed on its way.
#[test]
fn what_a_killed_change_left_is_finished() {
    // A link that was about to be put in place.
    let world = World::new("runtime");
    let temporary = world.home.at(&format!("{STORE}.clawkeep-tmp"));
    symlink(world.copy(STORE), &temporary).unwrap();
    world.run(&["sync"]).ok();
    assert_placed(&world, "runtime");
    // The file that the link was exchanged for, written at the last moment.
    world.home.write(
        &format!("{STORE}.clawkeep-tmp"),
        store(&["a", "late"]).to_string(),
    );
    world.run(&["sync"]).ok();
    assert_eq!(world.keys(), ["a", "late"]);
    assert_placed(&world, "runtime");
    // The file is in place of the link, and the copy not removed yet; a gateway had it open.
    let copy = world.copy(STORE);
    let text = fs::read(&copy).unwrap();
    fs::remove_file(world.home.at(STORE)).unwrap();
    world.home.write(STORE, &text);
    fs::write(&copy, store(&["a", "late", "later"]).to_string()).unwrap();
    world.set("file");
    world.run(&["sync"]).ok();
    assert_eq!(world.keys(), ["a", "late", "later"]);
    assert_placed(&world, "file");
}

/// A home in mode `from` with a change of another program's in it, to be killed on the way to mode
/// `to`.
fn on_the_way(from: &str, to: &str) -> World {
    let world = World::new(from);
    if from == "off" {
        world.home.write(STORE, store(&["b"]).to_string());
    } else {
        world.gateway_adds(STORE, "b");
    }
    world.set(to);
    world
}

const WAYS: [(&str, &str); 6] = [
    ("file", "runtime"),
    ("file", "off"),
    ("runtime", "file"),
    ("runtime", "off"),
    ("off", "file"),
    ("off", "runtime"),
];

/// After a kill on the way: what a gateway finds is whole and says all that it said; the next
/// command brings it to its end.
#[track_caller]
fn assert_nothing_lost(world: &World, (from, to): (&str, &str), at: &str) {
    let path = world.home.at(STORE);
    let is_gone = fs::symlink_metadata(&path).is_err();
    assert!(
        !is_gone || from == "off" || to == "off",
        "{at}: nothing stands there"
    );
    if !is_gone {
        let keys = keys_in(&read(&path)); // a link that leads nowhere cannot be read
        assert!(keys.contains(&"b".to_owned()), "{at}: {keys:?}");
        assert!(from == "off" || keys == ["a", "b"], "{at}: {keys:?}");
    }
    world.run(&["audit", "verify"]).ok();
    world.run(&["sync"]).ok();
    assert_eq!(world.keys(), ["a", "b"], "{at}");
    assert_placed(world, to);
    assert_eq!(world.count("profile.removed"), 0, "{at}");
}

#[test]
fn killed_on_the_way_from_one_mode_to_another_nothing_is_lost() {
    for way in WAYS {
        let (from, to) = way;
        let run_times = (0..3).map(|_| timed(&mut on_the_way(from, to).command(&["sync"])));
        let mut killer = Killer::new("export mode", run_times.collect());
        for _ in 0..number("CLAWKEEP_KILLS", 60).div_ceil(10) {
            let world = on_the_way(from, to);
            killer.kill(world.command(&["sync"]));
            assert_nothing_lost(&world, way, &format!("{from} to {to}, {}", killer.at()));
        }
    }
}

#[test]
#[ignore = "needs strace, and takes minutes"]
fn killed_at_every_step_from_one_mode_to_another() {
    for way in WAYS {
        let (from, to) = way;
        for call in STEPS.into_iter().chain(["symlink", "symlinkat"]) {
            for nth in 1.. {
                let world = on_the_way(from, to);
                let ended = kill_at(call, nth, &world.command(&["sync"]));
                assert_nothing_lost(&world, way, &format!("{from} to {to}, {call} {nth}"));
                if ended == Ended::Done {
                    break;
                }
            }
        }
    }
}

/// The copy is gone with the session. Killed while it is exported again, a gateway begins a store
/// of its own there.
#[test]
#[ignore = "needs strace, and takes a minute"]
fn a_store_begun_anew_in_a_new_session_deletes_nothing() {
    let mut begun = 0;
    for call in STEPS {
        for nth in 1.. {
            let world = World::new("runtime");
            let copy = world.copy(STORE);
            fs::remove_dir_all(world.home.at("run/clawkeep")).unwrap();
            let ended = kill_at(call, nth, &world.command(&["sync"]));
            if copy.parent().unwrap().is_dir() && !copy.exists() {
                fs::write(&copy, store(&["theirs"]).to_string()).unwrap();
                begun += 1;
            }
            world.run(&["sync"]).ok();
            assert!(world.keys().contains(&"a".to_owned()), "{call} {nth}");
            if ended == Ended::Done {
                break;
            }
        }
    }
    assert!(begun > 0, "never killed between the directory and the file");
}

/// Everywhere that a copy of a store can lie, `doctor` names it.
#[test]
fn doctor_names_copies_wherever_they_lie() {
    let world = World::new("off");
    let doctor = |world: &World| {
        let run = world.run(&["doctor", "--non-interactive", "--json"]);
        let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
        let found = answer["findings"].as_array().unwrap().clone();
        let paths = found.into_iter().filter(|finding| {
            let id = finding["id"].as_str().unwrap();
            ["footprint.copy", "footprint.git", "footprint.open"].contains(&id)
        });
        let mut paths: Vec<String> = paths
            .map(|finding| {
                format!(
                    "{} {}",
                    finding["id"].as_str().unwrap(),
                    finding["path"].as_str().unwrap()
                )
            })
            .collect();
        paths.sort();
        paths
    };
    assert_eq!(doctor(&world), [""; 0]);
    let copies = [
        ".clawdbot/agent/auth-profiles.json",
        ".clawdbot/auth-profiles.json",
        ".clawdbot/agents/main/agent/auth-profiles.json.replaced-20260101T000000Z",
        ".clawdbot/agents/main/agent/.auth-profiles.json.kate-swp",
        ".clawdbot/agents/main/agent/.goutputstream-A1B2C3",
        ".clawdbot/agents/main/agent/___auth-profiles.json___jb_tmp___",
        ".local/state/nvim/swap/%home%auth-profiles.json.swp",
        ".local/share/Trash/files/auth-profiles.json",
        ".config/Code/User/History/-1a2b/x7Yz.json",
    ];
    for copy in copies {
        world.home.write(copy, store(&["a"]).to_string());
    }
    let list = json!({"version": 1,
        "resource": "file:///home/ana/.clawdbot/agents/main/agent/auth-profiles.json"});
    world.home.write(
        ".config/Code/User/History/-1a2b/entries.json",
        list.to_string(),
    );
    // Another file's history, and a file that holds no secret.
    world.home.write(
        ".config/Code/User/History/-3c4d/a.json",
        store(&["a"]).to_string(),
    );
    world
        .home
        .write(".config/Code/User/History/-3c4d/entries.json", "{}");
    world
        .home
        .write(".clawdbot/auth-profiles.json.note", "to be looked at");
    let mut want: Vec<String> = copies
        .iter()
        .filter(|copy| !copy.starts_with(".clawdbot/agent/")) // to be moved, not removed
        .map(|copy| format!("footprint.copy {}", world.home.at(copy).display()))
        .collect();
    want.sort();
    assert_eq!(doctor(&world), want);
    // In a Git work tree, and open to others.
    fs::create_dir(world.home.at(".clawdbot/agent/.git")).unwrap();
    chmod(&world.home.at(".clawdbot/auth-profiles.json"), 0o644);
    want.push(format!(
        "footprint.git {}",
        world.home.at(copies[0]).display()
    ));
    want.push(format!(
        "footprint.open {}",
        world.home.at(copies[1]).display()
    ));
    want.sort();
    assert_eq!(doctor(&world), want);
    // The store of an agent whose directory is another one now.
    for copy in copies {
        fs::remove_file(world.home.at(copy)).unwrap();
    }
    world.set("file");
    world.home.write(
        ".clawdbot/clawdbot.json",
        "{agents: {list: [{id: 'ops', agentDir: '~/one'}]}}",
    );
    world
        .home
        .write("one/auth-profiles.json", store(&["ops"]).to_string());
    world.run(&["sync"]).ok();
    assert_eq!(doctor(&world), [""; 0]);
    fs::create_dir(world.home.at("two")).unwrap();
    world.home.write(
        ".clawdbot/clawdbot.json",
        "{agents: {list: [{id: 'ops', agentDir: '~/two'}]}}",
    );
    let former = world
        .home
        .at("one/auth-profiles.json")
        .canonicalize()
        .unwrap();
    assert_eq!(
        doctor(&world),
        [format!("footprint.copy {}", former.display())]
    );
}
