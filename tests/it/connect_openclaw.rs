//! `connect openclaw` and `disconnect openclaw` beside a stand-in for OpenClaw's command line:
//! where the keys go, what is left of them, and the way back. The real one:
//! `tests/interop/openclaw.sh connect`.
#![cfg(unix)]

use std::fs;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::damage::chmod;
use crate::support::home::{Home, Run};

const PROFILE_KEY: &str = "sk-test-profile-0123456789abcdef";
const CONFIG_KEY: &str = "sk-test-config-0123456789abcdef";
const HIDDEN_KEY: &str = "sk-test-hidden-0123456789abcdef";
const VARIABLE_KEY: &str = "sk-test-variable-0123456789abcdef";
/// In a variable of a provider that the audit does not know.
const UNLISTED_KEY: &str = "sk-test-unlisted-0123456789abcdef";
/// In a variable that is of no provider.
const OTHER_KEY: &str = "house-0123456789abcdef";
const DATABASE: &str = ".openclaw/state/openclaw.sqlite";
const CONFIG: &str = ".openclaw/openclaw.json";
/// Answers as OpenClaw 2026.9.6 does. It applies a plan by keeping it.
const STAND_IN: &str = "#!/bin/sh
case \"$*\" in
'secrets audit --json') cat \"$HOME/audit.json\" ;;
'secrets audit --json --allow-exec') echo '{\"version\":1,\"findings\":[]}' ;;
'secrets apply '*) cp \"$6\" \"$HOME/plan.json\"
    cp \"$HOME/applied.json\" \"$HOME/.openclaw/openclaw.json\"
    cp \"$HOME/.openclaw/openclaw.json\" \"$HOME/.openclaw/openclaw.json.bak.9\"
    echo '{\"changed\":true}' ;;
'secrets reload --json') echo '{\"ok\":true}'; echo reloaded >> \"$HOME/reloads\" ;;
*) exit 9 ;;
esac
";

struct OpenClaw {
    home: Home,
    database: Connection,
    before: String,
}

impl OpenClaw {
    fn new() -> Self {
        let home = Home::without_gateway();
        home.run(&["init", "--key", "keyfile"]).ok();
        home.write("bin/openclaw", STAND_IN);
        chmod(&home.at("bin/openclaw"), 0o755);
        fs::create_dir_all(home.at(".openclaw/state")).unwrap();
        let database = Connection::open(home.at(DATABASE)).unwrap();
        chmod(&home.at(DATABASE), 0o600);
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; CREATE TABLE config_machine_state (state_key TEXT \
                 NOT NULL PRIMARY KEY, value_json TEXT NOT NULL, updated_at_ms INTEGER NOT NULL) \
                 STRICT; CREATE TABLE secret_store_entries (name, value, kind, deleted_at_ms); \
                 INSERT INTO secret_store_entries VALUES ('A_TOKEN', 'x', 'secret', NULL)",
            )
            .unwrap();
        let store = json!({"version": 1, "profiles": {
            "groq:me@x.org": {"type": "api_key", "provider": "groq", "key": PROFILE_KEY,
                "email": "me@x.org"},
            "openai:login": {"type": "oauth", "provider": "openai", "access": "a",
                "refresh": "r"}}});
        let insert = "INSERT INTO config_machine_state VALUES ('authProfiles.store', ?1, 1)";
        database.execute(insert, [store.to_string()]).unwrap();
        let before = format!(
            "{{ // mine\n  \"models\": {{\"providers\": {{\"a\": {{\"apiKey\": \"{CONFIG_KEY}\"}}, \
             \"groq\": {{\"apiKey\": \"{HIDDEN_KEY}\"}}}}}}\n}}\n"
        );
        home.write(CONFIG, &before);
        home.write(".openclaw/openclaw.json.bak", &before);
        home.write(
            ".openclaw/.env",
            format!(
                "A=1\nMISTRAL_API_KEY={VARIABLE_KEY}\nB=2\nDEEPSEEK_API_KEY={UNLISTED_KEY}\n\
                 HOUSE_TOKEN={OTHER_KEY}\n"
            ),
        );
        for file in [CONFIG, ".openclaw/openclaw.json.bak", ".openclaw/.env"] {
            chmod(&home.at(file), 0o600);
        }
        let at = |rel: &str| home.at(rel).to_str().unwrap().to_owned();
        let plain = |file: &str, path: &str| {
            let code = "PLAINTEXT_FOUND";
            json!({"code": code, "file": at(file), "jsonPath": path})
        };
        let mut profile = plain(DATABASE, "profiles.groq:me@x.org.key");
        profile["profileId"] = json!("groq:me@x.org");
        let login = json!({"code": "LEGACY_RESIDUE", "file": at(DATABASE),
            "profileId": "openai:login", "jsonPath": "profiles.openai:login"});
        let audit = json!({"version": 1, "findings": [
            plain(CONFIG, "models.providers.a.apiKey"),
            plain(CONFIG, "models.providers.groq.apiKey"),
            profile, plain(".openclaw/.env", "$env.MISTRAL_API_KEY"), login]});
        home.write("audit.json", audit.to_string());
        let reference = json!({"source": "exec", "provider": "clawkeep", "id": "a:openclaw"});
        let applied = json!({"models": {"providers": {"a": {"apiKey": reference},
            "groq": {"apiKey": HIDDEN_KEY}}}, "secrets": {"providers": {"clawkeep": {
                "source": "exec", "command": "/x/clawkeep", "args": ["secretref"]}}}});
        home.write("applied.json", applied.to_string());
        Self {
            home,
            database,
            before,
        }
    }

    fn run(&self, args: &[&str]) -> Run {
        let mut command = self.home.command(args);
        let path = format!("{}:/usr/bin:/bin", self.home.at("bin").display());
        self.home.output_of({
            command.env("PATH", path);
            command
        })
    }

    fn profiles(&self) -> Value {
        let query = "SELECT value_json FROM config_machine_state";
        let text: String = self
            .database
            .query_row(query, [], |row| row.get(0))
            .unwrap();
        serde_json::from_str::<Value>(&text).unwrap()["profiles"].clone()
    }

    fn files_of_openclaw_with(&self, secret: &str) -> Vec<String> {
        let mut files = self.home.files_with(secret);
        files.retain(|file| file.starts_with(".openclaw"));
        files
    }
}

#[test]
fn its_keys_move_into_the_vault_and_come_back() {
    let openclaw = OpenClaw::new();
    let home = &openclaw.home;
    let refused = openclaw.run(&["connect", "openclaw"]).exits(64);
    assert!(refused.stderr.contains("groq:me-x.org"), "{refused:?}");
    assert_eq!(home.read(CONFIG), openclaw.before);
    let run = openclaw.run(&["connect", "openclaw", "--yes"]).exits(0);
    for said in [
        "Logins (OAuth) stay",
        "1 secret of openclaw secrets store",
        "stays: HOUSE_TOKEN: it is of no provider that is known",
    ] {
        assert!(run.stderr.contains(said), "{run:?}");
    }
    assert!(!format!("{run:?}").contains("sk-test"), "{run:?}");
    for secret in [
        PROFILE_KEY,
        CONFIG_KEY,
        HIDDEN_KEY,
        VARIABLE_KEY,
        UNLISTED_KEY,
    ] {
        assert_eq!(openclaw.files_of_openclaw_with(secret), [""; 0], "{secret}");
    }
    let plan = home.json("plan.json");
    assert_eq!(plan["targets"].as_array().unwrap().len(), 1, "{plan}");
    assert_eq!(plan["targets"][0]["path"], "models.providers.a.apiKey");
    let command = plan["providerUpserts"]["clawkeep"]["command"]
        .as_str()
        .unwrap();
    assert!(std::path::Path::new(command).is_file(), "{command}");
    let profiles = openclaw.profiles();
    assert_eq!(profiles["groq:me@x.org"]["keyRef"]["id"], "groq:me-x.org");
    assert_eq!(profiles["groq:me@x.org"]["email"], "me@x.org");
    assert_eq!(
        profiles["mistral:openclaw-env"]["keyRef"]["id"],
        "mistral:openclaw-env"
    );
    assert_eq!(profiles["openai:login"]["refresh"], "r");
    let rest = format!("A=1\nB=2\nHOUSE_TOKEN={OTHER_KEY}\n");
    assert_eq!(home.read(".openclaw/.env"), rest);
    let key = openclaw
        .run(&["token", "-q", "--profile", "groq:me-x.org"])
        .ok();
    assert_eq!(key.trim(), PROFILE_KEY);
    let listed = openclaw.run(&["connect", "--json"]).json();
    assert_eq!(listed["programs"][3]["state"], "connected");
    // A key that was replaced in the vault comes back as it is now; the rest stays.
    home.run_with_input(
        &["add", "groq", "--id", "groq:me-x.org"],
        "sk-test-rotated-0123456789",
    )
    .exits(0);
    let run = openclaw.run(&["disconnect", "openclaw", "--yes"]).exits(0);
    assert!(
        run.stdout.contains("the rest of its configuration stays"),
        "{run:?}"
    );
    let place = "MISTRAL_API_KEY in ~/.openclaw/.env: the key mistral:openclaw-env";
    assert!(run.stderr.contains(place), "{run:?}");
    assert!(!run.stderr.contains("profile mistral"), "{run:?}");
    let config = home.json(CONFIG);
    assert_eq!(config["models"]["providers"]["a"]["apiKey"], CONFIG_KEY);
    assert_eq!(config["models"]["providers"]["groq"]["apiKey"], HIDDEN_KEY);
    assert_eq!(config["secrets"]["providers"], json!({}));
    let profiles = openclaw.profiles();
    assert_eq!(
        profiles["groq:me@x.org"]["key"],
        "sk-test-rotated-0123456789"
    );
    assert_eq!(profiles.get("mistral:openclaw-env"), None);
    assert!(home.read(".openclaw/.env").contains(VARIABLE_KEY));
    let again = openclaw.run(&["disconnect", "openclaw", "--yes"]).ok();
    assert!(again.contains("nothing to undo"), "{again}");
}

#[test]
fn without_a_change_between_its_files_are_what_they_were() {
    let openclaw = OpenClaw::new();
    let home = &openclaw.home;
    let variables = home.read(".openclaw/.env");
    openclaw.run(&["connect", "openclaw", "--yes"]).exits(0);
    let run = openclaw.run(&["disconnect", "openclaw", "--yes"]).exits(0);
    assert!(run.stdout.contains("is what it was"), "{run:?}");
    assert_eq!(home.read(CONFIG), openclaw.before);
    assert_eq!(home.read(".openclaw/openclaw.json.bak"), openclaw.before);
    assert_eq!(home.read(".openclaw/.env"), variables);
    assert_eq!(openclaw.profiles()["groq:me@x.org"]["key"], PROFILE_KEY);
    assert_eq!(home.read("reloads").lines().count(), 2);
}

#[test]
fn what_openclaw_refuses_is_said_with_its_own_remedy() {
    let openclaw = OpenClaw::new();
    for (why, remedy) in [
        ("config is invalid", "openclaw config validate"),
        (
            "requires legacy credential migration",
            "openclaw doctor --fix",
        ),
    ] {
        let refusal = format!(
            "#!/bin/sh\ncase \"$*\" in\n'secrets audit --json') cat \
            \"$HOME/audit.json\" ;;\n*) echo '{{\"error\":{{\"message\":\"{why}\"}}}}'; \
            exit 1 ;;\nesac\n"
        );
        openclaw.home.write("bin/openclaw", refusal);
        chmod(&openclaw.home.at("bin/openclaw"), 0o755);
        let run = openclaw.run(&["connect", "openclaw", "--yes"]).exits(1);
        assert!(run.stderr.contains(remedy), "{run:?}");
        let said = "keys are in the vault already";
        assert!(run.stderr.contains(said), "{run:?}");
    }
}
