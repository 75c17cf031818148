//! `doctor`: everything it can find, and what becomes of it.

#[path = "../../src/bin/clawkeep/doctor/finding_id.rs"]
#[allow(dead_code, reason = "the program's findings, by name")]
mod finding_id;
mod harms;

use std::collections::BTreeSet;
use std::fs;
#[cfg(unix)]
use std::os::unix::fs::chown;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::support::damage::{
    TOKEN_MARK, chmod, fingerprints, home_with_vault, key_file, refuses, set_modified,
};
use crate::support::home::{AGENT, HOUR, Home, Run, STORE, VAULT, now_ms};
#[cfg(unix)]
use crate::support::skip::is_root_or_skip;
#[cfg(unix)]
use crate::support::terminal::Terminal;
use finding_id::FindingId;
use harms::{CASES, CONFIG, Harm, Mend, OPS, head_file, healthy, login, older_store, put, token};

const LOOK: &[&str] = &["doctor", "--non-interactive", "--json"];
const REPAIR: &[&str] = &["doctor", "--repair", "--json"];

/// The findings of a run, whose exit status and verdict must fit them, and which must not quote a
/// secret.
#[track_caller]
fn findings(run: &Run) -> Vec<Value> {
    assert!(
        !run.stdout.contains(TOKEN_MARK) && !run.stderr.contains(TOKEN_MARK),
        "{run:?}"
    );
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    let found = answer["findings"].as_array().unwrap().clone();
    let left = |finding: &Value| finding["level"] == "error" && finding["repaired"] == false;
    let is_ok = !found.iter().any(left);
    assert_eq!(
        (&answer["ok"], run.status),
        (&json!(is_ok), i32::from(!is_ok)),
        "{run:?}"
    );
    found
}

fn of(found: &[Value], id: FindingId) -> Vec<&Value> {
    found
        .iter()
        .filter(|finding| finding["id"] == id.as_str())
        .collect()
}

#[track_caller]
fn check(id: FindingId, harm: Harm) {
    let home = healthy();
    if id != FindingId::KeysSingle {
        let found = findings(&home.run(LOOK));
        assert_eq!(of(&found, id), Vec::<&Value>::new(), "it was there before");
    }
    let mend = harm(&home);
    if matches!(mend, Mend::NotHere) {
        return;
    }
    if matches!(mend, Mend::Passes) {
        let found = findings(&home.run(REPAIR));
        assert_eq!(of(&found, id).len(), 1, "{found:?}");
        assert!(of(&findings(&home.run(LOOK)), id).is_empty());
        return;
    }
    let found = findings(&home.run(LOOK));
    let first = of(&found, id)
        .first()
        .copied()
        .cloned()
        .unwrap_or_else(|| panic!("{id:?} in {found:#?}"));
    assert_eq!(first["level"], id.level().as_str());
    assert_eq!(first["repairable"], matches!(mend, Mend::Repair), "{first}");
    assert_eq!(first["repaired"], false);
    let again = findings(&home.run(LOOK));
    assert_eq!(of(&again, id), of(&found, id), "looking changes nothing");
    let repaired = findings(&home.run(REPAIR));
    let done = of(&repaired, id)
        .iter()
        .all(|finding| finding["repaired"] == true);
    match mend {
        Mend::Repair => assert!(done, "{repaired:#?}"),
        Mend::ByHand(mend) => {
            assert!(!of(&repaired, id).is_empty() && !done, "{repaired:#?}");
            mend(&home, first["fix"].as_str().unwrap());
        }
        Mend::Passes | Mend::NotHere => {}
    }
    let last = findings(&home.run(LOOK));
    assert_eq!(of(&last, id), Vec::<&Value>::new());
    home.run(&["models", "status"]).ok();
}

/// One test a group, so that they run beside each other.
macro_rules! groups {
    ($($name:ident: $($group:literal),*;)*) => {
        $(#[test]
        fn $name() {
            for (id, harm) in CASES {
                if [$($group),*].contains(&id.group()) {
                    println!("{}", id.as_str());
                    check(*id, *harm);
                }
            }
        })*

        const GROUPS: &[&str] = &[$($($group),*),*];
    };
}

groups! {
    the_vault: "vault", "record";
    keys: "keys";
    permissions: "permissions";
    stores: "store";
    older_stores_and_locks: "legacy", "lock";
    logins_of_other_programs_and_the_clock: "source", "clock";
    credentials: "credential";
    the_configuration: "config", "order";
    plain_copies: "footprint";
}

#[cfg(unix)]
#[test]
fn everything_that_can_be_found_is_tried() {
    let tried: BTreeSet<FindingId> = CASES.iter().map(|(id, _)| *id).collect();
    let all: BTreeSet<FindingId> = FindingId::ALL.iter().copied().collect();
    assert_eq!(tried, all);
    assert_eq!(CASES.len(), all.len());
    assert!(all.iter().all(|id| GROUPS.contains(&id.group())));
}

#[test]
fn a_healthy_home_has_its_one_key_to_worry_about() {
    let home = healthy();
    for args in [
        LOOK,
        REPAIR,
        &["doctor", "--yes", "--json"],
        &["doctor", "--fix", "--json"],
    ] {
        let before = fingerprints(home.path());
        let found = findings(&home.run(args));
        let ids: Vec<_> = found
            .iter()
            .map(|finding| finding["id"].as_str().unwrap())
            .collect();
        assert_eq!(ids, ["keys.single"]);
        assert_eq!(fingerprints(home.path()), before);
    }
    // A machine on which nothing ever ran.
    let found = findings(&Home::new().run(LOOK));
    assert_eq!(found.len(), 1, "{found:?}");
}

/// A home in which a bit of everything is wrong.
fn troubled() -> Home {
    let home = healthy();
    put(&home, "p:a", &token(now_ms() - 50 * HOUR));
    put(&home, "p:b", &token(now_ms() + 5 * HOUR + HOUR / 6));
    put(
        &home,
        "q:c",
        &login(now_ms() + 3 * HOUR + HOUR / 6, "sk-test-refresh"),
    );
    home.run(&["sync"]).ok();
    home.write(
        CONFIG,
        "{auth: {profiles: {'z:gone': {provider: 'z', mode: 'api_key'}}}}",
    );
    home.write(".clawdbot/auth-profiles.json.bak", home.read(STORE));
    chmod(&home.at(".clawdbot/auth-profiles.json.bak"), 0o644);
    chmod(&home.at(".clawdbot"), 0o755);
    home
}

#[cfg(unix)]
#[test]
fn as_people_read_it() {
    let home = troubled();
    let key = key_file(&home)
        .file_name()
        .unwrap()
        .to_string_lossy()
        .into_owned();
    let shown = |run: Run| run.stdout.replace(&key, "KEY.key");
    insta::assert_snapshot!("before", shown(home.run(&["doctor"]).exits(1)));
    insta::assert_snapshot!(
        "repaired",
        shown(home.run(&["doctor", "--repair"]).exits(1))
    );
}

#[test]
fn where_nothing_opens_the_rest_is_examined_all_the_same() {
    let home = healthy();
    put(&home, "p:a", &token(now_ms() - 50 * HOUR));
    fs::write(home.at(VAULT), "no vault ".repeat(1000)).unwrap();
    home.write(CONFIG, "{ auth: ");
    chmod(&home.at(STORE), 0o604);
    let before = fingerprints(home.path());
    let found = findings(&home.run(LOOK).exits(1));
    for id in [
        FindingId::VaultUnusable,
        FindingId::ConfigUnreadable,
        #[cfg(unix)]
        FindingId::PermissionsSecret,
        FindingId::CredentialExpired,
    ] {
        let found = of(&found, id);
        assert_eq!(found.len(), 1, "{id:?}");
        assert!(found[0]["fix"].is_string());
    }
    assert_eq!(fingerprints(home.path()), before);
}

/// Without the configuration it is not known whose directory is whose: nothing is written into any
/// of them.
#[test]
fn a_broken_configuration_moves_no_credential() {
    let home = healthy();
    home.write(CONFIG, "{agents: {list: [{id: 'ops', agentDir: '~/ops'}]}}");
    fs::create_dir_all(home.at("ops")).unwrap();
    fs::create_dir_all(home.at(OPS)).unwrap();
    home.run(&["sync"]).ok();
    fs::remove_file(home.at(OPS).join("auth-profiles.json")).unwrap();
    home.write(CONFIG, "{agents: {list: [");
    chmod(&home.at(OPS), 0o700);
    let before = fingerprints(home.path());
    let found = findings(&home.run(REPAIR).exits(1));
    assert_eq!(of(&found, FindingId::ConfigUnreadable).len(), 1);
    assert_eq!(fingerprints(home.path()), before);
}

#[test]
fn without_its_key_the_record_and_the_files_are_examined() {
    let home = healthy();
    fs::remove_file(key_file(&home)).unwrap();
    fs::remove_file(head_file(&home)).unwrap();
    put(&home, "p:a", &token(now_ms() - 50 * HOUR));
    let found = findings(&home.run(LOOK).exits(1));
    for id in [
        FindingId::KeysUnavailable,
        FindingId::RecordUnkept,
        FindingId::CredentialExpired,
    ] {
        assert_eq!(of(&found, id).len(), 1, "{id:?} in {found:#?}");
    }
}

#[test]
fn no_plain_copy_is_deleted() {
    let home = healthy();
    home.write(&format!("{AGENT}/auth.json"), older_store("sk-test-older"));
    home.write(&format!("{AGENT}/auth-profiles.json.bak"), home.read(STORE));
    home.run(REPAIR).ok();
    assert!(home.at(AGENT).join("auth.json").exists());
    assert!(home.at(AGENT).join("auth-profiles.json.bak").exists());
}

/// What looks like a copy by its name and holds nothing is none.
#[test]
fn what_holds_no_secret_is_not_reported() {
    let home = healthy();
    home.write(
        &format!("{AGENT}/auth-profiles.json.md"),
        "how to mend auth-profiles.json",
    );
    home.write(
        &format!("{AGENT}/auth-profiles.json.empty"),
        "{\"version\": 1, \"profiles\": {}}",
    );
    home.write(&format!("{AGENT}/auth.json"), "{}");
    let found = findings(&home.run(LOOK).exits(0));
    assert_eq!(found.len(), 1, "{found:?}");
}

#[test]
fn the_configurations_comments_survive_its_repair() {
    let home = healthy();
    let (_, harm) = CASES
        .iter()
        .find(|(id, _)| *id == FindingId::ConfigLegacyDefault)
        .unwrap();
    harm(&home);
    home.run(REPAIR).ok();
    let text = home.read(CONFIG);
    assert!(text.contains("// mine"), "{text}");
    let said: Value = home
        .run(&[
            "models",
            "auth",
            "candidates",
            "--provider",
            "anthropic",
            "--json",
        ])
        .json();
    assert_eq!(
        said["candidates"],
        json!(["anthropic:me@x.y", "anthropic:claude-cli"])
    );
    assert!(
        text.contains("me@x.y") && !text.contains("anthropic:default"),
        "{text}"
    );
}

/// A lock that is held, and temporary files that are being written, are left alone.
#[test]
fn what_is_in_use_is_left_alone() {
    let home = healthy();
    fs::create_dir(home.at(STORE).with_extension("json.lock")).unwrap();
    let new = home.at(CONFIG).with_extension("json.clawkeep-draft");
    fs::write(&new, "{}").unwrap();
    let found = findings(&home.run(REPAIR));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(home.at(STORE).with_extension("json.lock").is_dir() && new.exists());
}

#[test]
fn flags_that_contradict_each_other() {
    let home = healthy();
    for flag in ["--yes", "--repair", "--fix"] {
        refuses(
            &home,
            &["doctor", flag, "--non-interactive"],
            64,
            &["--non-interactive", "--help"],
        );
    }
}

#[cfg(unix)]
#[test]
fn on_a_terminal_it_asks_before_each_repair() {
    let home = healthy();
    chmod(&home.at(".clawdbot"), 0o755);
    chmod(&home.at(VAULT), 0o644);
    let mut terminal = Terminal::start(home.command(&["doctor"]));
    terminal.answer("chmod 700 ~/.clawdbot?", "n\r");
    terminal.answer("chmod 600 ~/.clawdbot/vault.db?", "y\r");
    let (status, shown) = terminal.end();
    assert_eq!(status, 0, "{shown}");
    assert!(shown.contains("Repaired: 1."), "{shown}");
    let found = findings(&home.run(LOOK));
    let left = of(&found, FindingId::PermissionsReadable);
    assert_eq!(left.len(), 1, "one was wanted, one was not: {found:#?}");
    // Without a terminal nothing is asked and nothing is mended.
    let run = home.run(&["doctor"]);
    assert_eq!((run.status, run.stderr.as_str()), (0, ""), "{run:?}");
    assert!(
        run.stdout
            .contains("To repair 1 of them: clawkeep doctor --repair"),
        "{}",
        run.stdout
    );
    // Enter means yes.
    let mut terminal = Terminal::start(home.command(&["doctor"]));
    terminal.answer("chmod 700 ~/.clawdbot?", "\r");
    terminal.end();
    assert!(of(&findings(&home.run(LOOK)), FindingId::PermissionsReadable).is_empty());
}

/// What is wrong with the vault is told of the vault, once, however many agents stumble over it.
#[test]
fn a_damaged_page_is_no_agents_fault() {
    let home = healthy();
    let store = home.json(STORE);
    home.write(&format!("{OPS}/auth-profiles.json"), store.to_string());
    home.run(&["sync"]).ok();
    put(&home, "p:a", &token(now_ms() - 50 * HOUR));
    let mut bytes = fs::read(home.at(VAULT)).unwrap();
    let from = 5 * 4096; // past the schema, in the tables
    bytes[from..from + 4096]
        .iter_mut()
        .for_each(|byte| *byte ^= 0x55);
    fs::write(home.at(VAULT), bytes).unwrap();
    let found = findings(&home.run(REPAIR).exits(1));
    let vaults = |finding: &&Value| finding["id"].as_str().unwrap().starts_with("vault.");
    assert!(found.iter().any(|finding| vaults(&finding)), "{found:#?}");
    assert!(
        of(&found, FindingId::StoreUnusable).is_empty(),
        "{found:#?}"
    );
    assert!(
        found
            .iter()
            .filter(vaults)
            .all(|finding| finding["agent"].is_null())
    );
}

#[cfg(unix)]
#[test]
fn in_somebody_elses_home_it_says_whose_and_touches_nothing() {
    if !is_root_or_skip("only root can give a directory away") {
        return;
    }
    let home = healthy();
    chown(home.at(".clawdbot"), Some(65_534), None).unwrap();
    chmod(&home.at(STORE), 0o644);
    let before = fingerprints(home.path());
    let found = findings(&home.run(LOOK).exits(1));
    let owner = of(&found, FindingId::PermissionsOwner);
    assert_eq!(owner.len(), 1, "{found:#?}");
    assert!(
        owner[0]["fix"]
            .as_str()
            .unwrap()
            .contains("sudo -u '#65534'"),
        "{owner:?}"
    );
    assert_eq!(fingerprints(home.path()), before);
}

/// What another program wrote at the moment of an exchange lies under the store's temporary name
/// until it is merged.
#[test]
fn a_stores_temporary_file_is_merged_and_never_just_removed() {
    let home = healthy();
    let left = home.at(STORE).with_extension("json.clawkeep-tmp");
    let mut theirs = home.json(STORE);
    theirs["profiles"]["p:new"] = json!({"type": "api_key", "provider": "p", "key": "sk-test-new"});
    fs::write(&left, theirs.to_string()).unwrap();
    chmod(&left, 0o600);
    set_modified(&left, SystemTime::now() - Duration::from_secs(3600));
    let key = key_file(&home);
    fs::rename(&key, home.at("away.key")).unwrap();
    let found = findings(&home.run(REPAIR).exits(1));
    let leftover = of(&found, FindingId::FootprintLeftover);
    assert_eq!(leftover.len(), 1, "{found:#?}");
    assert_eq!(
        (&leftover[0]["repairable"], left.exists()),
        (&json!(false), true)
    );
    fs::rename(home.at("away.key"), key).unwrap();
    assert!(of(&findings(&home.run(REPAIR)), FindingId::FootprintLeftover).is_empty());
    assert!(!left.exists() && home.read(STORE).contains("sk-test-new"));
}

/// A kill leaves them while `connect` keeps a copy, or a command a key or a head.
#[test]
fn temporary_files_of_a_killed_command_are_removed() {
    let home = healthy();
    let keys = key_file(&home).parent().unwrap().to_owned();
    let left = [
        home.at(".local/state/clawkeep/connected/.tmpAb12Cd"),
        home.at(".local/state/clawkeep/heads/.tmpAb12Cd"),
        keys.join(".tmpAb12Cd"),
    ];
    for path in &left {
        let dir = path.parent().unwrap();
        fs::create_dir_all(dir).unwrap();
        chmod(dir, 0o700);
        fs::write(path, "x").unwrap();
        chmod(path, 0o600);
        set_modified(path, SystemTime::now() - Duration::from_secs(3600));
    }
    let found = findings(&home.run(&["doctor", "--json"]));
    assert_eq!(of(&found, FindingId::FootprintLeftover).len(), left.len());
    home.run(REPAIR);
    assert!(left.iter().all(|path| !path.exists()));
}

/// No key is read through a link, so another mode of its target repairs nothing.
#[cfg(unix)]
#[test]
fn what_a_refused_link_leads_to_is_not_repaired() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = healthy();
    let key = key_file(&home);
    let target = home.at("target");
    fs::rename(&key, &target).unwrap();
    std::os::unix::fs::symlink(&target, &key).unwrap();
    chmod(&target, 0o666);
    let run = home.run(&["models", "status"]);
    assert!(
        run.status != 0 && run.stderr.contains("symbolic link"),
        "{run:?}"
    );
    assert!(!run.stderr.contains("chmod"), "{run:?}");
    let found = findings(&home.run(REPAIR));
    let secret = of(&found, FindingId::PermissionsSecret);
    assert!(
        secret[0]["message"].to_string().contains("symbolic link"),
        "{found:#?}"
    );
    assert_eq!(
        target.metadata().unwrap().permissions().mode() & 0o777,
        0o666
    );
}

/// What the user chose for other purposes too: no more is taken from it than has to be, and nothing
/// of others' is removed.
#[cfg(unix)]
#[test]
fn repairs_take_no_more_than_they_have_to() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    for (dir, mode) in [("www", 0o775), ("proj", 0o755), ("clawkeep", 0o700)] {
        fs::create_dir(home.at(dir)).unwrap();
        chmod(&home.at(dir), mode);
    }
    home.write("clawkeep/.tmpAb12Cd", "another program's");
    let old = SystemTime::now() - Duration::from_secs(7_200);
    let file = fs::File::options()
        .write(true)
        .open(home.at("clawkeep/.tmpAb12Cd"));
    file.unwrap().set_modified(old).unwrap();
    let mut command = home.command(&["doctor", "--repair"]);
    command
        .env("CLAWDBOT_STATE_DIR", home.at("clawkeep"))
        .env("CLAWKEEP_VAULT", home.at("www/vault.db"))
        .env("CLAWDBOT_AGENT_DIR", home.at("proj"));
    command.output().unwrap();
    let mode = |dir: &str| home.at(dir).metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("www"), mode("proj")), (0o755, 0o755));
    assert!(home.at("clawkeep/.tmpAb12Cd").exists());
}

/// A repair would make trusted what another user may have written. A person reads it first.
#[cfg(unix)]
#[test]
fn no_repair_makes_trusted_what_another_user_may_have_written() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = healthy();
    let settings = ".clawdbot/clawkeep.toml";
    home.write(settings, "[notify.command.x]\nrun = [\"/bin/false\"]\n");
    home.write(CONFIG, "{}");
    let files = [settings, CONFIG];
    for file in files {
        chmod(&home.at(file), 0o666);
    }
    let found = findings(&home.run(REPAIR));
    for file in files {
        let of_file = |finding: &&Value| {
            let path = finding["path"].as_str().unwrap_or_default();
            let group = finding["id"].as_str().unwrap_or_default();
            path.ends_with(file) && group.starts_with("permissions.")
        };
        let finding = found.iter().find(of_file);
        let finding = finding.unwrap_or_else(|| panic!("{file} in {found:#?}"));
        assert_eq!(finding["repaired"], json!(false), "{finding}");
        let fix = finding["fix"].as_str().unwrap();
        assert!(fix.contains("Read it first, then: chmod "), "{fix}");
        let mode = home.at(file).metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o666, "{file}");
    }
}

/// Neither the home directory is changed, nor a directory where a link of another program's leads.
#[cfg(unix)]
#[test]
fn repairs_stay_in_clawkeeps_and_the_gateways_places() {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = |home: &Home, dir: &str| {
        let found = home.at(dir).metadata().unwrap().permissions().mode();
        found & 0o777
    };
    let home = healthy();
    home.write("shared/auth.json", "{}");
    fs::create_dir(home.at(".codex")).unwrap();
    std::os::unix::fs::symlink("../shared/auth.json", home.at(".codex/auth.json")).unwrap();
    chmod(&home.at("shared"), 0o777);
    let found = findings(&home.run(REPAIR));
    assert_eq!(mode(&home, "shared"), 0o777, "{found:#?}");
    chmod(&home.at("shared"), 0o700);
    chmod(home.path(), 0o777);
    let run = home.run(REPAIR);
    assert_eq!(mode(&home, ""), 0o777, "{run:?}");
    assert!(run.stdout.contains("your home directory"), "{run:?}");
}

/// A printed command must not put another key in the place of the vault's own.
#[test]
fn a_key_that_is_not_this_vaults_is_not_to_be_moved() {
    let (home, other) = (home_with_vault(), home_with_vault());
    let key = fs::read(key_file(&other)).unwrap();
    home.write(".clawdbot/other.key", key);
    let mut command = home.command(&["doctor", "--json"]);
    command.env("CLAWKEEP_KEY_FILE", home.at(".clawdbot/other.key"));
    let run = Run::from(command.output().unwrap()).exits(1);
    assert!(run.stdout.contains("keys.beside"), "{}", run.stdout);
    assert!(!run.stdout.contains("mv "), "{}", run.stdout);
}
