//! `doctor --repair`: what speaks against a repair is looked for first, what it changes is kept,
//! recorded and shown.

use std::fs;
#[cfg(unix)]
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clawkeep::internal::domain::REMOVE_COMMAND;
use serde_json::{Value, json};

use crate::support::damage::{assert_private, set_modified};
use crate::support::home::{AGENT, HOUR, Home, STORE, now_ms};

const CONFIG: &str = ".clawdbot/clawdbot.json";
const OLD_ID: &str = "anthropic:default";
const NEW_ID: &str = "anthropic:me@x.y";
const ONE_DIR: &str = ".clawdbot/agent";

fn login(email: Option<&str>, name: &str) -> Value {
    let mut entry = json!({
        "type": "oauth", "provider": "anthropic", "access": format!("sk-test-access-{name}"),
        "refresh": format!("sk-test-refresh-{name}"), "expires": now_ms() + 90 * HOUR,
    });
    if let Some(email) = email {
        entry["email"] = json!(email);
    }
    entry
}

/// A home with these logins, whose configuration is `auth`.
fn home(logins: &[(&str, Value)], auth: &str) -> Home {
    let home = Home::new();
    let mut store = json!({"version": 1, "profiles": {}});
    for (id, entry) in logins {
        store["profiles"][id] = entry.clone();
    }
    home.write(STORE, store.to_string());
    home.write(CONFIG, format!("{{ // mine\n auth: {auth} }}"));
    home.run(&["sync"]).ok();
    home
}

const DEFAULT_ALONE: &str = "{profiles: {'anthropic:default': {provider: 'anthropic', mode: \
    'oauth'}}, \
     order: {anthropic: ['anthropic:default']}}";

/// The findings of a run of `doctor`, by id.
fn doctor(home: &Home, flag: &str) -> Vec<Value> {
    let run = home.run(&["doctor", flag, "--json"]);
    let answer: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run:?}"));
    answer["findings"].as_array().unwrap().clone()
}

fn of<'f>(found: &'f [Value], id: &str) -> Vec<&'f Value> {
    found.iter().filter(|finding| finding["id"] == id).collect()
}

/// The configurations that were kept.
fn kept(home: &Home) -> Vec<PathBuf> {
    let entries = fs::read_dir(home.at(".clawdbot")).unwrap();
    let paths = entries.map(|entry| entry.unwrap().path());
    paths
        .filter(|path| path.to_string_lossy().contains(".clawkeep-before-"))
        .collect()
}

#[test]
fn a_login_of_another_id_is_no_rename_where_anything_speaks_against_it() {
    let configured = |email: &str| {
        format!(
            "{{profiles: {{'anthropic:default': {{provider: 'anthropic', mode: 'oauth', email: \
             '{email}'}}}}}}"
        )
    };
    let both = "{profiles: {'anthropic:default': {provider: 'anthropic', mode: 'oauth'}, \
        'anthropic:me@x.y': {provider: 'anthropic', mode: 'oauth'}}}";
    let new = (NEW_ID, login(Some("me@x.y"), "new"));
    for (what, logins, auth) in [
        (
            "both are stored: two accounts",
            vec![(OLD_ID, login(None, "old")), new.clone()],
            DEFAULT_ALONE.to_owned(),
        ),
        (
            "the other one has no address in its id",
            vec![
                (OLD_ID, login(None, "old")),
                ("anthropic:work", login(None, "new")),
            ],
            DEFAULT_ALONE.to_owned(),
        ),
        ("both are configured", vec![new.clone()], both.to_owned()),
        ("the addresses differ", vec![new], configured("you@x.y")),
    ] {
        let home = home(&logins, &auth);
        let before = home.read(CONFIG);
        let found = doctor(&home, "--repair");
        assert!(
            of(&found, "config.legacy-default").is_empty(),
            "{what}: {found:#?}"
        );
        assert_eq!(home.read(CONFIG), before, "{what}");
        assert!(kept(&home).is_empty(), "{what}");
    }
}

#[test]
fn a_login_that_went_away_is_offered_back_and_not_renamed() {
    let logins = [
        (OLD_ID, login(None, "old")),
        (NEW_ID, login(Some("me@x.y"), "new")),
    ];
    let home = home(&logins, DEFAULT_ALONE);
    let mut store = home.json(STORE);
    store["profiles"]
        .as_object_mut()
        .unwrap()
        .shift_remove(OLD_ID);
    home.write(STORE, store.to_string());
    let before = home.read(CONFIG);
    let found = doctor(&home, "--repair");
    assert_eq!(home.read(CONFIG), before);
    let missing = of(&found, "config.missing");
    assert_eq!(missing.len(), 1, "{found:#?}");
    let fix = missing[0]["fix"].as_str().unwrap();
    assert!(
        fix.starts_with("clawkeep restore anthropic:default"),
        "{fix}"
    );
    home.run(&["models", "auth", "restore", OLD_ID]).ok();
    assert!(of(&doctor(&home, "--non-interactive"), "config.missing").is_empty());
}

#[test]
fn a_rename_keeps_the_configuration_and_says_what_is_different() {
    let home = home(&[(NEW_ID, login(Some("me@x.y"), "new"))], DEFAULT_ALONE);
    let before = home.read(CONFIG);
    let run = home.run(&["doctor", "--repair"]);
    for line in [
        "auth.profiles: anthropic:default is anthropic:me@x.y now",
        "auth.order.anthropic: anthropic:default is anthropic:me@x.y now",
        "kept as it was: ~/.clawdbot/clawdbot.json.clawkeep-before-",
    ] {
        assert!(run.stdout.contains(line), "{line} in {run:?}");
    }
    assert!(!run.stdout.contains("sk-test"), "{run:?}");
    let copies = kept(&home);
    let [copy] = copies.as_slice() else {
        panic!("{copies:?}")
    };
    assert_eq!(fs::read_to_string(copy).unwrap(), before);
    assert_private(copy);
    let event = home.newest("repair.made").unwrap();
    assert_eq!(event["detail"]["repair"], "rename-config-profile");
    assert_eq!(event["detail"]["kept"], json!(copy.to_string_lossy()));
    assert_eq!(event["detail"]["difference"].as_array().unwrap().len(), 2);
    let found = doctor(&home, "--non-interactive");
    let listed = of(&found, "config.kept");
    assert_eq!(listed.len(), 1, "{found:#?}");
    assert_eq!(listed[0]["path"], json!(copy.to_string_lossy()));
    home.run(&["audit", "verify"]).ok();
}

#[cfg(unix)]
#[test]
fn repairs_that_change_no_file_are_recorded_too() {
    let home = home(&[], "{}");
    doctor(&home, "--repair"); // what the test's own files have
    fs::set_permissions(home.at(STORE), fs::Permissions::from_mode(0o644)).unwrap();
    doctor(&home, "--repair");
    let event = home.newest("repair.made").unwrap();
    assert_eq!(event["detail"]["repair"], "chmod");
    assert!(
        event["detail"]["path"].as_str().unwrap().ends_with(STORE),
        "{event}"
    );
}

#[test]
fn the_directory_of_the_only_agent_is_moved_and_not_deleted() {
    let home = Home::new();
    let store = json!({"version": 1, "profiles": {"groq:a": {"type": "api_key", "provider": "groq",
        "key": "sk-test-groq"}}});
    home.write(&format!("{ONE_DIR}/auth-profiles.json"), store.to_string());
    home.write(&format!("{ONE_DIR}/models.json"), "{}");
    let found = doctor(&home, "--non-interactive");
    let old = of(&found, "legacy.agent");
    assert_eq!(old.len(), 1, "{found:#?}");
    let fix = home.with_tilde(old[0]["fix"].as_str().unwrap().to_owned());
    assert_eq!(
        fix,
        "move what is in ~/.clawdbot/agent to ~/.clawdbot/agents/main/agent"
    );
    let all = format!("{found:?}");
    let remove = format!("{REMOVE_COMMAND} ~/.clawdbot/agent");
    assert!(!all.contains(&remove), "{all}");
    let found = doctor(&home, "--repair");
    assert_eq!(
        of(&found, "legacy.agent")[0]["repaired"],
        true,
        "{found:#?}"
    );
    assert!(!home.at(ONE_DIR).exists());
    assert!(home.at(AGENT).join("models.json").exists());
    assert_eq!(
        home.run(&["token", "--provider", "groq"]).ok(),
        "sk-test-groq\n"
    );
    let event = home.newest("repair.made").unwrap();
    assert_eq!(
        event["detail"]["difference"],
        json!(["moved auth-profiles.json", "moved models.json"])
    );
}

#[test]
fn what_the_new_directory_has_already_stays_and_the_old_one_is_kept_beside_it() {
    let home = home(&[(NEW_ID, login(None, "new"))], "{}");
    let newer = home.read(STORE);
    let older = json!({"version": 1, "profiles": {"groq:a": {"type": "api_key", "provider": "groq",
        "key": "sk-test-groq"}}});
    home.write(&format!("{ONE_DIR}/auth-profiles.json"), older.to_string());
    let found = doctor(&home, "--repair");
    assert_eq!(
        of(&found, "legacy.agent")[0]["repaired"],
        true,
        "{found:#?}"
    );
    assert_eq!(home.read(STORE), newer);
    let dirs = fs::read_dir(home.at(".clawdbot/agents/main")).unwrap();
    let left = dirs
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("agent.legacy-"))
        .unwrap();
    let text = fs::read_to_string(left.join("auth-profiles.json")).unwrap();
    assert_eq!(text, older.to_string());
    let found = doctor(&home, "--non-interactive");
    let copies = of(&found, "footprint.copy");
    assert_eq!(copies.len(), 1, "{found:#?}");
    let path = left.join("auth-profiles.json");
    home.run(&["import", path.to_str().unwrap()]).ok();
    assert_eq!(
        home.run(&["token", "--provider", "groq"]).ok(),
        "sk-test-groq\n"
    );
}

#[test]
fn an_agent_whose_own_directory_that_is_keeps_it() {
    let home = Home::new();
    home.write(
        CONFIG,
        "{agents: {list: [{id: 'main', agentDir: '~/.clawdbot/agent'}]}}",
    );
    home.write(&format!("{ONE_DIR}/models.json"), "{}");
    let found = doctor(&home, "--repair");
    assert!(of(&found, "legacy.agent").is_empty(), "{found:#?}");
    assert!(home.at(ONE_DIR).join("models.json").exists());
}

/// The draft may be all that is left of the configuration.
#[test]
fn a_draft_stays_where_there_is_no_configuration_beside_it() {
    for config in [None, Some("{ auth: ")] {
        let home = home(&[], "{}");
        let draft = home.at(CONFIG).with_extension("json.clawkeep-draft");
        fs::rename(home.at(CONFIG), &draft).unwrap();
        if let Some(text) = config {
            home.write(CONFIG, text);
        }
        let old = SystemTime::now() - Duration::from_secs(3600);
        set_modified(&draft, old);
        let found = doctor(&home, "--repair");
        let left = of(&found, "footprint.leftover");
        assert_eq!(left.len(), 1, "{found:#?}");
        assert_eq!(
            (&left[0]["repairable"], draft.exists()),
            (&json!(false), true)
        );
    }
}
