//! `discover`: the credentials of other programs are found wherever each keeps them, nothing of
//! theirs is changed, and no secret is printed.

use std::collections::BTreeMap;
use std::fs;

use data_encoding::BASE64URL_NOPAD;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::support::damage::chmod;
use crate::support::home::{HOUR, Home, now_ms};

/// A secret of a test: nothing of what is printed may have this in it.
const SECRET: &str = "0123456789abcdefSECRET";

fn key(name: &str) -> String {
    format!("sk-test-{name}-{SECRET}")
}

fn jwt(claims: &Value) -> String {
    format!(
        "e30.{}.{SECRET}",
        BASE64URL_NOPAD.encode(claims.to_string().as_bytes())
    )
}

/// Runs `discover --json` and checks that it shows no secret.
fn discovered(home: &Home) -> Value {
    let run = home.run(&["discover", "--json"]);
    assert!(!format!("{run:?}").contains(SECRET), "{run:?}");
    run.json()
}

/// The credentials of a program: what was found of each, by the file and its name there.
fn of_program(answer: &Value, program: &str) -> Vec<Value> {
    let all = answer["credentials"].as_array().unwrap().iter();
    all.filter(|found| found["program"] == program)
        .cloned()
        .collect()
}

fn text<'v>(value: &'v Value, field: &str) -> &'v str {
    value[field].as_str().unwrap_or("-")
}

/// A credential in short: name, provider, account, type, hours until it expires.
fn shown(found: &Value, now: i64) -> String {
    let hours = |field: &str| match found[field].as_i64() {
        Some(at) => ((at - now + HOUR / 2) / HOUR).to_string(),
        None => "-".to_owned(),
    };
    let fields = ["name", "provider", "account", "type", "kept"].map(|field| text(found, field));
    format!(
        "{} {} {}",
        fields.join(" "),
        hours("expiresAt"),
        hours("loginExpiresAt")
    )
}

fn all_shown(answer: &Value, program: &str) -> Vec<String> {
    let now = now_ms();
    let all = of_program(answer, program);
    all.iter().map(|found| shown(found, now)).collect()
}

/// Files as the programs write them.
fn write_homes(home: &Home) {
    let now = now_ms();
    let at = |hours: i64| now + hours * HOUR;
    home.write(
        ".claude/.credentials.json",
        json!({
            "claudeAiOauth": {"accessToken": key("claude"), "refreshToken": key("claude-r"),
                "expiresAt": at(5), "refreshTokenExpiresAt": at(700)},
            "mcpOAuth": {"linear|0a1b": {"serverName": "linear", "serverUrl": "https://x",
                "accessToken": key("linear"), "refreshToken": key("linear-r"), "expiresAt": at(2)}},
        })
        .to_string(),
    );
    home.write(
        ".claude.json",
        json!({"oauthAccount": {"emailAddress": "ana@example.org"},
            "mcpServers": {"gh": {"env": {"XAI_API_KEY": key("xai"), "PORT": "8080"}}}})
        .to_string(),
    );
    home.write(
        ".codex/auth.json",
        json!({"auth_mode": "chatgpt", "OPENAI_API_KEY": null, "tokens": {
            "id_token": jwt(&json!({"email": "bob@example.org"})),
            "access_token": jwt(&json!({"exp": at(9) / 1000})),
            "refresh_token": key("codex-r"), "account_id": "acc"}})
        .to_string(),
    );
    home.write(
        ".gemini/oauth_creds.json",
        json!({"access_token": key("gemini"), "refresh_token": key("gemini-r"),
            "expiry_date": at(1)})
        .to_string(),
    );
    home.write(
        ".gemini/google_accounts.json",
        r#"{"active": "g@example.org", "old": []}"#,
    );
    home.write(
        ".local/share/opencode/auth.json",
        json!({"openai": {"type": "api", "key": key("opencode")},
            "anthropic": {"type": "oauth", "access": key("oc"), "refresh": key("oc-r"),
                "expires": at(3)},
            "xai": {"type": "oauth", "access": "", "refresh": "", "expires": 0}})
        .to_string(),
    );
    home.write(
        ".pi/agent/auth.json",
        json!({"groq": {"type": "api_key", "key": "!pass show groq"},
            "mistral": {"type": "api_key", "key": key("pi")}})
        .to_string(),
    );
    home.write(
        ".local/share/crush/crush.json",
        json!({"providers": {"hyper": {"oauth": {"access_token": key("crush"),
            "refresh_token": key("crush-r"), "expires_at": at(4) / 1000}},
            "deepseek": {"api_key": key("crush-deepseek")}}})
        .to_string(),
    );
    home.write(
        ".config/goose/secrets.yaml",
        format!("OPENAI_API_KEY: {}\n", key("goose")),
    );
    home.write(
        ".aider.conf.yml",
        format!(
            "anthropic-api-key: {}\nenv-file: ~/more.env\n",
            key("aider")
        ),
    );
    home.write("more.env", format!("OPENROUTER_API_KEY={}\n", key("more")));
    home.write(
        ".config/io.datasette.llm/keys.json",
        json!({"// Note": "This file stores secret API credentials. Do not share!",
            "openai": key("llm")})
        .to_string(),
    );
    home.write(
        ".continue/config.yaml",
        format!(
            "models:\n  - name: S\n    provider: anthropic\n    apiKey: {}\n",
            key("cont")
        ),
    );
    home.write(
        ".config/github-copilot/apps.json",
        json!({"github.com:Iv1.b": {"user": "octo", "oauth_token": format!("gho_{SECRET}")}})
            .to_string(),
    );
    home.write(
        ".mcp-auth/mcp-remote-v1/0f0f_tokens.json",
        json!({"access_token": key("mcp"), "token_type": "Bearer", "expires_in": 6 * 3600,
            "refresh_token": key("mcp-r")})
        .to_string(),
    );
    home.write(
        ".config/anthropic/credentials/work.json",
        json!({"version": 1, "access_token": key("sdk"), "refresh_token": key("sdk-r"),
            "expires_at": at(8) / 1000})
        .to_string(),
    );
}

#[test]
fn each_programs_credentials_are_found_with_account_type_and_expiry() {
    let home = Home::without_gateway();
    write_homes(&home);
    let before = contents(&home);
    let answer = discovered(&home);
    assert_eq!(answer["skipped"], json!([]));
    for (program, want) in [
        (
            "claude-code",
            &[
                "anthropic anthropic ana@example.org oauth plain 5 700",
                "linear - - oauth plain 2 -",
                "XAI_API_KEY xai - api_key plain - -",
            ][..],
        ),
        (
            "codex-cli",
            &["openai-codex openai-codex bob@example.org oauth plain 9 -"],
        ),
        (
            "opencode",
            &[
                "openai openai - api_key plain - -",
                "anthropic anthropic - oauth plain 3 -",
            ],
        ),
        (
            "pi",
            &[
                "groq groq - api_key elsewhere - -",
                "mistral mistral - api_key plain - -",
            ],
        ),
        (
            "gemini-cli",
            &["google-gemini-cli google-gemini-cli g@example.org oauth plain 1 -"],
        ),
        (
            "crush",
            &[
                "deepseek deepseek - api_key plain - -",
                "hyper hyper - oauth plain 4 -",
            ],
        ),
        ("goose", &["OPENAI_API_KEY openai - api_key plain - -"]),
        (
            "aider",
            &[
                "anthropic-api-key anthropic - api_key plain - -",
                "OPENROUTER_API_KEY openrouter - api_key plain - -",
            ],
        ),
        ("llm", &["openai openai - api_key plain - -"]),
        ("continue", &["S anthropic - api_key plain - -"]),
        (
            "github-copilot",
            &["github.com:Iv1.b github-copilot octo token plain - -"],
        ),
        ("mcp-remote", &["0f0f - - oauth plain 6 -"]),
        ("anthropic-sdk", &["work anthropic - oauth plain 8 -"]),
    ] {
        assert_eq!(all_shown(&answer, program), want, "{program}");
    }
    assert_eq!(
        contents(&home),
        before,
        "nothing is written, and no vault made"
    );
    let people = home.run(&["discover"]);
    assert!(!format!("{people:?}").contains(SECRET), "{people:?}");
    let people = people.ok();
    for line in [
        "clawkeep sync",
        "clawkeep import ~/.local/share/opencode/auth.json",
        "clawkeep add openai  ",
        "clawkeep add openai --id openai:llm",
        "The login of Claude Code expires",
    ] {
        assert!(people.contains(line), "{line}: {people}");
    }
}

/// The files of a home, with what is in each.
fn contents(home: &Home) -> BTreeMap<String, Vec<u8>> {
    let files = home.files().into_iter();
    let read = files.map(|path| (path.clone(), fs::read(home.at(&path)).unwrap()));
    read.collect()
}

#[test]
fn the_vaults_copy_is_compared_by_what_is_sealed() {
    let home = Home::without_gateway();
    write_homes(&home);
    home.run(&["import", ".local/share/opencode/auth.json"])
        .ok();
    home.run(&["sync"]).ok();
    let vault_of = |answer: &Value, program: &str| -> Vec<String> {
        let all = of_program(answer, program);
        let held = all.iter().filter(|found| found["forMcpServer"] == false);
        held.map(|found| text(found, "inVault").to_owned())
            .collect()
    };
    let answer = discovered(&home);
    assert_eq!(vault_of(&answer, "opencode"), ["yes", "yes"]);
    assert_eq!(vault_of(&answer, "claude-code"), ["yes", "no"]);
    assert_eq!(vault_of(&answer, "codex-cli"), ["yes"]);
    assert_eq!(vault_of(&answer, "llm"), ["no"]);
    assert_eq!(vault_of(&answer, "pi"), ["-", "no"]);
    // A newer login of the program: the next load reads it.
    home.claude_login("sk-test-newer", 4);
    assert_eq!(vault_of(&discovered(&home), "claude-code")[0], "earlier");
}

#[test]
fn a_secret_in_several_files_and_a_file_that_others_read_are_named() {
    let home = Home::without_gateway();
    let same = key("same");
    home.write(".qwen/.env", format!("OPENAI_API_KEY={same}\n"));
    home.write(
        ".config/goose/secrets.yaml",
        format!("OPENAI_API_KEY: '{same}'\n"),
    );
    #[cfg(unix)]
    {
        chmod(&home.at(".qwen/.env"), 0o644);
        chmod(home.path(), 0o700);
        let qwen = &of_program(&discovered(&home), "qwen-code")[0];
        assert_eq!(qwen["readableByOthers"], json!(false), "the home is closed");
        chmod(home.path(), 0o755);
    }
    let answer = discovered(&home);
    let qwen = &of_program(&answer, "qwen-code")[0];
    let others = qwen["sameSecretIn"].as_array().unwrap();
    assert_eq!(others.len(), 1);
    assert!(
        others[0].as_str().unwrap().ends_with("secrets.yaml"),
        "{qwen}"
    );
    assert_eq!(qwen["readableByOthers"], json!(cfg!(unix)));
    let goose = &of_program(&answer, "goose")[0];
    assert_eq!(goose["readableByOthers"], json!(false));
    let people = home.with_tilde(home.run(&["discover"]).ok());
    assert!(
        people.contains("The same secret is in ~/.qwen/.env, ~/.config/goose"),
        "{people}"
    );
    #[cfg(unix)]
    assert!(people.contains("chmod 600 ~/.qwen/.env"), "{people}");
}

#[test]
fn what_cannot_be_read_is_named_and_the_rest_is_found() {
    let home = Home::without_gateway();
    home.write(
        ".local/share/opencode/auth.json",
        "{\"openai\": {\"type\": \"api\", \"ke",
    );
    home.write(".pi/agent/auth.json", [0xff_u8, 0xfe].as_slice());
    home.write(".gemini/oauth_creds.json", format!("[{}", "[".repeat(5000)));
    home.write(".openclaw/state/openclaw.sqlite", "no database");
    fs::create_dir_all(home.at(".continue/auth.json")).unwrap();
    home.write(
        ".config/io.datasette.llm/keys.json",
        json!({"openai": key("x")}).to_string(),
    );
    #[cfg(unix)]
    {
        use std::os::unix::fs::symlink;
        let made = std::process::Command::new("mkfifo")
            .arg(home.at(".aider.conf.yml"))
            .status();
        assert!(made.unwrap().success());
        home.write(
            "elsewhere/secrets.yaml",
            format!("OPENAI_API_KEY: {}\n", key("open")),
        );
        chmod(&home.at("elsewhere"), 0o777);
        fs::create_dir_all(home.at(".config/goose")).unwrap();
        symlink(
            home.at("elsewhere/secrets.yaml"),
            home.at(".config/goose/secrets.yaml"),
        )
        .unwrap();
    }
    let answer = discovered(&home);
    let skipped = answer["skipped"].as_array().unwrap();
    let why: BTreeMap<&str, &str> = skipped
        .iter()
        .map(|skipped| (text(skipped, "program"), text(skipped, "why")))
        .collect();
    assert_eq!(why["opencode"], "it is cut short at line 1, column 30");
    assert_eq!(why["pi"], "it is not UTF-8 at line 1, column 1");
    assert!(why.contains_key("gemini-cli"), "{why:?}");
    assert_eq!(why["openclaw"], "it is not an SQLite database, or damaged");
    assert!(why.contains_key("continue"), "{why:?}");
    #[cfg(unix)]
    {
        assert!(why["aider"].contains("cannot be read"), "{why:?}");
        assert!(why["goose"].contains("elsewhere"), "{why:?}");
    }
    assert_eq!(of_program(&answer, "llm").len(), 1);
    assert_eq!(answer["credentials"].as_array().unwrap().len(), 1);
    let run = home.run(&["discover"]).exits(0);
    assert!(
        run.stderr
            .contains("of opencode was skipped: it is cut short"),
        "{run:?}"
    );
}

#[test]
fn a_name_that_is_a_secret_is_not_printed() {
    let home = Home::without_gateway();
    let name = format!("sk-ant-api03-{SECRET}{SECRET}");
    home.write(
        ".config/io.datasette.llm/keys.json",
        json!({name: key("x")}).to_string(),
    );
    let found = of_program(&discovered(&home), "llm");
    assert_eq!(
        (text(&found[0], "name"), &found[0]["provider"]),
        ("(hidden)", &Value::Null)
    );
}

#[test]
fn openclaws_databases_and_settings_are_read_beside_its_writer() {
    let home = Home::without_gateway();
    fs::create_dir_all(home.at(".openclaw/state")).unwrap();
    fs::create_dir_all(home.at(".openclaw/agents/ops/agent")).unwrap();
    let profiles = |id: &str, entry: Value| json!({"version": 1, "profiles": {id: entry}});
    let open = |path: &str| Connection::open(home.at(path)).unwrap();
    let state = open(".openclaw/state/openclaw.sqlite");
    state
        .execute_batch(
            "PRAGMA journal_mode = WAL; CREATE TABLE config_machine_state (state_key TEXT NOT NULL \
             PRIMARY KEY, value_json TEXT NOT NULL, updated_at_ms INTEGER NOT NULL) STRICT; \
             CREATE TABLE secret_store_entries (scope_kind TEXT, scope_id TEXT, name TEXT, value \
             TEXT, deleted_at_ms INTEGER)",
        )
        .unwrap();
    let oauth = json!({"type": "oauth", "provider": "openai", "access": key("oc"),
        "refresh": key("oc-r"), "expires": now_ms() + 7 * HOUR, "email": "o@example.org"});
    let store = profiles("openai:o@example.org", oauth).to_string();
    let insert = "INSERT INTO config_machine_state VALUES ('authProfiles.store', ?1, 1)";
    state.execute(insert, [&store]).unwrap();
    let insert = "INSERT INTO secret_store_entries VALUES ('team', '', 'GROQ_API_KEY', ?1, ?2)";
    state.execute(insert, (key("groq"), None::<i64>)).unwrap();
    state.execute(insert, (key("gone"), Some(5))).unwrap();
    let agent = open(".openclaw/agents/ops/agent/openclaw-agent.sqlite");
    agent
        .execute_batch("CREATE TABLE auth_profile_store (store_key TEXT, store_json TEXT)")
        .unwrap();
    let token = json!({"type": "token", "provider": "anthropic", "token": key("token")});
    let store = profiles("anthropic:manual", token).to_string();
    agent
        .execute(
            "INSERT INTO auth_profile_store VALUES ('primary', ?1)",
            [&store],
        )
        .unwrap();
    home.write(
        ".openclaw/openclaw.json",
        format!(
            "{{ // mine\n models: {{ providers: {{ local: {{ apiKey: '{}', }} }} }} }}",
            key("local")
        ),
    );
    let before = contents(&home);
    let answer = discovered(&home);
    assert_eq!(answer["skipped"], json!([]));
    assert_eq!(
        all_shown(&answer, "openclaw"),
        [
            "openai:o@example.org openai o@example.org oauth plain 7 -",
            "GROQ_API_KEY groq - api_key plain - -",
            "anthropic:manual anthropic - token plain - -",
            "local local - api_key plain - -",
        ]
    );
    assert_eq!(contents(&home), before);
    drop((state, agent));
}

#[test]
fn a_login_in_the_keyring_is_named_and_an_old_file_beside_it_is_not() {
    let home = Home::without_gateway();
    write_homes(&home);
    home.write(
        ".codex/config.toml",
        "cli_auth_credentials_store = \"keyring\"\n",
    );
    let answer = discovered(&home);
    assert_eq!(
        all_shown(&answer, "codex-cli"),
        ["openai-codex openai-codex - oauth keyring - -"]
    );
    let found = &of_program(&answer, "codex-cli")[0];
    let command = "clawkeep models auth login --provider openai-codex";
    assert_eq!(text(found, "takeIn"), command);
}

/// The commands that `discover` advises, of a program.
fn advised(answer: &Value, program: &str) -> Vec<String> {
    let all = of_program(answer, program);
    all.iter()
        .map(|found| text(found, "takeIn").to_owned())
        .collect()
}

#[test]
fn following_the_advice_takes_in_every_key_and_replaces_none() {
    let home = Home::without_gateway();
    home.write(
        ".aider.conf.yml",
        format!("openai-api-key: {}\n", key("aider")),
    );
    let keys = json!({"openai": key("llm"), "groq2": key("groq"), "my key": key("mine"),
        "//": key("remark"), "gemini": key("gemini")});
    home.write(".config/io.datasette.llm/keys.json", keys.to_string());
    let answer = discovered(&home);
    assert_eq!(advised(&answer, "aider"), ["clawkeep add openai"]);
    let own = "clawkeep add openai --id openai:llm";
    let of_llm = [own, "-", "-", "clawkeep add google"];
    assert_eq!(advised(&answer, "llm"), of_llm);
    let people = home.run(&["discover"]).ok();
    for words in [
        "groq2 (llm), my key (llm)",
        "clawkeep add PROVIDER --id PROVIDER:NAME",
    ] {
        assert!(people.contains(words), "{people}");
    }
    home.run_with_input(&["add", "openai"], &key("aider")).ok();
    let answer = discovered(&home);
    assert_eq!(advised(&answer, "aider"), ["-"]);
    assert_eq!(advised(&answer, "llm"), of_llm);
    home.run_with_input(&["add", "openai", "--id", "openai:llm"], &key("llm"))
        .ok();
    assert_eq!(
        advised(&discovered(&home), "llm"),
        ["-", "-", "-", "clawkeep add google"]
    );
    assert_eq!(advised(&discovered(&home), "aider"), ["-"]);
}

#[test]
fn a_gateways_store_is_a_source_and_the_home_directorys_env_is_no_programs() {
    let home = Home::without_gateway();
    let empty = home.run(&["discover"]).ok();
    assert!(empty.contains("not the .env of projects"), "{empty}");
    let store = json!({"version": 1, "profiles": {"groq:x": {"type": "api_key",
        "provider": "groq", "key": key("store")}}});
    home.write(
        ".clawdbot/agents/main/agent/auth-profiles.json",
        store.to_string(),
    );
    home.write(".env", format!("OPENAI_API_KEY={}\n", key("env")));
    let answer = discovered(&home);
    assert_eq!(
        all_shown(&answer, "gateway"),
        ["groq:x groq - api_key plain - -"]
    );
    assert_eq!(advised(&answer, "gateway"), ["clawkeep sync"]);
    assert_eq!(advised(&answer, "other-program"), ["clawkeep add openai"]);
    home.run(&["sync"]).ok();
    let answer = discovered(&home);
    assert_eq!(text(&of_program(&answer, "gateway")[0], "inVault"), "yes");
    let run = home.run(&["import", ".env"]);
    assert!(run.stderr.contains("clawkeep add PROVIDER"), "{run:?}");
}

#[test]
fn a_file_of_variables_that_names_others_is_followed_once_and_only_for_aider() {
    let home = Home::without_gateway();
    let line = |name: &str, file: &str| format!("{name}={}\nENV_FILE={file}\n", key(name));
    home.write(".env", line("GROQ_API_KEY", "~/b.env"));
    home.write("b.env", line("XAI_API_KEY", "~/.env"));
    home.write(".qwen/.env", line("OPENAI_API_KEY", "~/b.env"));
    let names = |program: &str| -> Vec<String> {
        let found = of_program(&discovered(&home), program);
        found
            .iter()
            .map(|found| text(found, "name").to_owned())
            .collect()
    };
    assert_eq!(names("other-program"), ["GROQ_API_KEY"]);
    assert_eq!(names("qwen-code"), ["OPENAI_API_KEY"]);
    // What the settings name is read once, also if it names itself or is read anyway.
    home.write(".aider.conf.yml", "env-file: ~/b.env\n");
    assert_eq!(names("aider"), ["XAI_API_KEY"]);
    home.write(".aider.conf.yml", "env-file: ~/.env\n");
    assert_eq!(names("aider"), ["GROQ_API_KEY"]);
    home.write(".aider.conf.yml", "env-file: ~/.aider.conf.yml\n");
    assert_eq!(names("aider"), [""; 0]);
}

#[test]
fn the_files_of_one_program_are_one_owner_of_a_login_and_rotated_logins_are_not_added() {
    let home = Home::without_gateway();
    let login = |provider: &str| {
        let oauth = json!({"access_token": key("a"), "refresh_token": key("r"),
            "expires_at": now_ms() / 1000 + 3600});
        json!({"providers": {provider: {"oauth": oauth}}}).to_string()
    };
    home.write(".local/share/crush/crush.json", login("hyper"));
    home.write(".config/crush/crush.json", login("hyper"));
    let found = of_program(&discovered(&home), "crush");
    assert_eq!(found.len(), 2);
    for found in &found {
        assert_eq!(found["sameSecretIn"], json!([]));
        assert_eq!(found["takeIn"], Value::Null, "its program redeems it");
    }
    home.write(
        ".pi/agent/auth.json",
        json!({"x": {"type": "oauth", "access": key("a"), "refresh": key("r")}}).to_string(),
    );
    let found = of_program(&discovered(&home), "pi");
    assert_eq!(found[0]["sameSecretIn"].as_array().unwrap().len(), 1);
}

#[test]
fn the_account_is_the_one_of_the_programs_own_directory() {
    let home = Home::without_gateway();
    write_homes(&home);
    let other = |dir: &str| {
        home.write(
            &format!("{dir}/.credentials.json"),
            fs::read(home.at(".claude/.credentials.json")).unwrap(),
        );
        let run = home.command(&["discover", "--json"]);
        let mut run = run;
        let run = run.env("CLAUDE_CONFIG_DIR", home.at(dir)).output().unwrap();
        let answer: Value = serde_json::from_slice(&run.stdout).unwrap();
        of_program(&answer, "claude-code")[0]["account"].clone()
    };
    assert_eq!(other("work"), Value::Null, "`~/.claude.json` is another's");
    home.write(
        "work/.claude.json",
        r#"{"oauthAccount": {"emailAddress": "w@x.y"}}"#,
    );
    assert_eq!(other("work"), json!("w@x.y"));
}

#[test]
fn entries_of_a_list_have_their_title_and_a_provider_or_none() {
    let home = Home::without_gateway();
    let models = json!({"models": [
        {"title": "Mine", "provider": "openai", "apiKey": key("a")},
        {"provider": "groq", "apiKey": key("b")},
        {"title": "Bare", "apiKey": key("c")},
    ]});
    home.write(".continue/config.json", models.to_string());
    assert_eq!(
        all_shown(&discovered(&home), "continue"),
        [
            "Mine openai - api_key plain - -",
            "groq groq - api_key plain - -",
            "Bare - - api_key plain - -",
        ]
    );
}

#[cfg(unix)]
#[test]
fn a_directory_that_cannot_be_read_is_named() {
    use crate::support::users::{ANA, Machine, can_be_others, give};
    if !can_be_others("a_directory_that_cannot_be_read_is_named") {
        return;
    }
    let home = Home::without_gateway();
    home.write(".claude/.credentials.json", "{}");
    fs::create_dir_all(home.at(".mcp-auth/mcp-remote-1")).unwrap();
    give(home.path(), ANA, ANA);
    chmod(home.path(), 0o755);
    chmod(&home.at(".claude"), 0);
    chmod(&home.at(".mcp-auth"), 0);
    let run = Machine::default()
        .user(ANA, ANA, "")
        .run(&home, &["discover"])
        .exits(0);
    for part in [
        ".claude/.credentials.json of Claude Code",
        ".mcp-auth of mcp-remote",
    ] {
        assert!(run.stderr.contains(part), "{part}: {run:?}");
    }
    assert_eq!(
        run.stdout,
        "No credential was found in the files that can be read.\n"
    );
}

#[test]
fn a_secret_that_is_also_a_name_is_not_shown_and_no_name_makes_a_line_or_a_command() {
    let home = Home::without_gateway();
    let secret = "Zx9Qw7Er5Ty3Ui1Op8As6Df4Gh2Jk0Lz";
    home.write(
        ".local/share/opencode/auth.json",
        json!({secret: {"type": "api", "key": secret}}).to_string(),
    );
    home.write(".env", format!("PROJ_{secret}_API_KEY={secret}\n"));
    let keys = json!({"x;touch $HOME/PWNED #": key("a"), "$(touch y)": key("b"),
        "> .bashrc": key("c"), "a\nrm -rf x": key("d"), "--id": key("e"), "": key("f")});
    home.write(".config/io.datasette.llm/keys.json", keys.to_string());
    for args in [&["discover"][..], &["discover", "--json"]] {
        let shown = home.run(args).ok();
        assert!(!shown.to_lowercase().contains("zx9qw7er5"), "{shown}");
        for line in shown.lines() {
            assert!(!line.starts_with("rm -rf"), "{shown}");
            let advised = line.trim_start().strip_prefix("clawkeep add ");
            let is_word = |text: &str| !text.contains(['$', ';', '>', '(']);
            assert!(advised.is_none_or(is_word), "{line}");
        }
    }
    let answer = discovered(&home);
    assert!(advised(&answer, "llm").iter().all(|command| command == "-"));
}
