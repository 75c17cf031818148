//! The front door of the library, as another program uses it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use clawkeep::secrecy::{ExposeSecret as _, SecretString};
use clawkeep::{
    Client, ClientBuilder, ClientError, ClientNotice, CredentialType, ErrorKind, FailureReason,
    Filter, NewCredential, ProfileId, ProviderId, Record, Request, Span, Status, TokenOptions,
    UnixMs,
};
use rusqlite::Connection;
use serde_json::json;

use crate::refresh::{self, OPS, SETTINGS};
use crate::support::damage::chmod;
use crate::support::home::{AGENT, HOME_VARIABLE, Home, STORE, VAULT};
use crate::support::provider::Provider;

/// A home with two keys and a token.
fn home() -> Home {
    let home = Home::new();
    let key =
        |provider: &str, key: &str| json!({"type": "api_key", "provider": provider, "key": key});
    let token = json!({"type": "token", "provider": "anthropic", "token": "sk-test-t"});
    let profiles = json!({
        "openai:a": key("openai", "sk-test-a"), "openai:b": key("openai", "sk-test-b"),
        "anthropic:t": token,
    });
    home.write(
        STORE,
        json!({"version": 1, "profiles": profiles}).to_string(),
    );
    home
}

fn environment(home: &Home) -> Vec<(OsString, OsString)> {
    vec![
        (HOME_VARIABLE.into(), home.path().into()),
        ("CLAWKEEP_KEYCHAIN".into(), "off".into()),
    ]
}

fn builder(home: &Home) -> ClientBuilder {
    Client::builder("my-gateway").environment(environment(home))
}

fn client(home: &Home) -> Client {
    builder(home).open_or_create().unwrap()
}

#[track_caller]
fn kind<T>(result: Result<T, ClientError>) -> ErrorKind {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.kind(),
    }
}

/// `examples/embed.rs` in a home.
fn embed(home: &Home) -> Command {
    let built = std::env::current_exe().unwrap();
    let target = built.ancestors().nth(2).unwrap();
    let program = target
        .join("examples")
        .join(format!("embed{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(program);
    command.env_clear().envs(environment(home)).current_dir("/");
    command
}

#[test]
fn a_token_is_handed_out_and_its_use_recorded() {
    let home = home();
    let client = client(&home);
    let token = client.token("OpenAI").unwrap();
    assert_eq!(token.profile().as_str(), "openai:a");
    assert_eq!(token.provider().as_str(), "openai");
    assert_eq!(
        (token.kind(), token.expires()),
        (CredentialType::ApiKey, None)
    );
    assert_eq!(token.status(), Status::Static);
    assert_eq!(token.secret().expose_secret(), "sk-test-a");
    assert!(!format!("{token:?} {client:?}").contains("sk-test"));
    let used = home.newest("credential.used").unwrap();
    assert_eq!(used["profile"], "openai:a");
    assert_eq!(used["actor"]["program"], "my-gateway");
    assert_eq!(used["detail"]["command"], "client");
    let newest = client.history(&Filter::default().limit(1)).unwrap();
    assert_eq!((newest.len(), &*newest[0].kind), (1, "credential.used"));
    let verified = client.verify().unwrap();
    assert_eq!(verified.last, newest[0].seq);
    home.run(&["audit", "verify"]).ok();
}

#[test]
fn options_decide_which_credential_it_is() {
    let home = home();
    let client = client(&home);
    client
        .mark_failed("openai:a", FailureReason::RateLimit)
        .unwrap();
    assert_eq!(
        client.token("openai").unwrap().profile().as_str(),
        "openai:b"
    );
    let openai = Request::Provider(ProviderId::new("openai"));
    client
        .set_order("openai", &["openai:a", "openai:b"])
        .unwrap();
    let strict = TokenOptions::default().strict();
    let refused = client.token_with(&openai, &strict).unwrap_err();
    let ClientError::NoCredential { passed_over, .. } = &refused else {
        panic!("{refused:?}");
    };
    assert_eq!(
        (passed_over.len(), refused.kind()),
        (1, ErrorKind::NoCredential)
    );
    let status = client.status().unwrap();
    let skipped: Vec<&str> = (status.iter())
        .filter(|one| one.skipped_until.is_some())
        .map(|one| one.profile.as_str())
        .collect();
    assert_eq!((status.len(), skipped), (3, vec!["openai:a"]));
    client.mark_used("openai:a").unwrap();
    assert_eq!(
        client
            .token_with(&openai, &strict)
            .unwrap()
            .profile()
            .as_str(),
        "openai:a"
    );
    home.run(&["session", "pin", "chat", "openai:b"]).ok();
    let session = TokenOptions::default().session("chat");
    assert_eq!(
        client
            .token_with(&openai, &session)
            .unwrap()
            .profile()
            .as_str(),
        "openai:b"
    );
    assert_eq!(home.newest("credential.used").unwrap()["session"], "chat");
    let long = TokenOptions::default().min_lifetime(Span::days(9));
    client.token_with(&openai, &long).unwrap(); // keys do not expire
    client.set_order("openai", &[]).unwrap();
    assert_eq!(
        kind(client.set_order("openai", &["anthropic:t"])),
        ErrorKind::BadArgument
    );
}

#[test]
fn each_bad_input_is_an_error_of_its_own_kind() {
    let mut kinds = BTreeSet::new();
    let mut expect = |found: ErrorKind, wanted: ErrorKind| {
        assert_eq!(found, wanted);
        assert!(kinds.insert(found.as_str()), "{found:?} twice");
    };
    let fresh = Home::new();
    expect(kind(builder(&fresh).open()), ErrorKind::Absent);

    let home = home();
    let open = client(&home);
    expect(kind(open.token("nobody")), ErrorKind::UnknownProvider);
    expect(kind(open.token("mistral")), ErrorKind::NoCredential);
    expect(kind(open.token_for("openai:c")), ErrorKind::UnknownProfile);
    let nameless = TokenOptions::default().session(" ");
    let wanted = Request::Profile("openai:a".to_owned());
    expect(
        kind(open.token_with(&wanted, &nameless)),
        ErrorKind::BadArgument,
    );
    home.write(SETTINGS, "[clawkeep");
    expect(
        kind(builder(&home).open().and_then(|one| one.token("openai"))),
        ErrorKind::Settings,
    );
    fs::remove_file(home.at(SETTINGS)).unwrap();

    let writer = Connection::open(home.at(VAULT)).unwrap();
    writer.execute_batch("BEGIN IMMEDIATE").unwrap();
    expect(kind(open.token("openai")), ErrorKind::Busy);
    writer.execute_batch("ROLLBACK").unwrap();
    open.token("openai").unwrap();

    let keys = home.at(".config/clawkeep");
    fs::rename(&keys, home.at("away")).unwrap();
    expect(kind(builder(&home).open()), ErrorKind::MissingKey);
    fs::rename(home.at("away"), &keys).unwrap();

    let secret = || SecretString::from("a long enough passphrase");
    let other = home.at("other.db");
    builder(&home)
        .vault(&other)
        .passphrase(secret())
        .open_or_create()
        .unwrap();
    expect(kind(builder(&home).vault(&other).open()), ErrorKind::Locked);
    let wrong = SecretString::from("another passphrase");
    let wrong = builder(&home).vault(&other).passphrase(wrong).open();
    assert_eq!(kind(wrong), ErrorKind::Locked);
    builder(&home)
        .vault(&other)
        .passphrase(secret())
        .open()
        .unwrap();

    let newer = home.at("newer.db");
    let vectors = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors/vaults");
    fs::copy(vectors.join("newer-schema.db"), &newer).unwrap();
    chmod(&newer, 0o600);
    expect(kind(builder(&home).vault(&newer).open()), ErrorKind::Newer);

    drop(open);
    let bytes = fs::read(home.at(VAULT)).unwrap();
    fs::write(home.at(VAULT), &bytes[..bytes.len() / 2]).unwrap();
    expect(kind(builder(&home).open()), ErrorKind::Damaged);
}

#[test]
#[cfg(target_os = "linux")]
fn on_read_only_media_nothing_is_handed_out() {
    let home = home();
    client(&home).token("openai").unwrap();
    let Some(mut command) = crate::support::skip::unshare(&["--mount"]) else {
        return;
    };
    let script = r#"mount --bind "$HOME" "$HOME" && mount -o remount,bind,ro "$HOME" || exit 99
        exec "$@""#;
    let output = command
        .args(["sh", "-c", script, "sh"])
        .arg(embed(&home).get_program())
        .arg("openai")
        .env_clear()
        .envs(environment(&home))
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(stderr.contains("read_only"), "{stderr}");
    assert_eq!(output.stdout, b"");
}

#[test]
fn many_threads_and_many_processes_refresh_once() {
    let (home, provider) = refresh::home();
    let shared = Arc::new(client(&home));
    let secrets = Mutex::new(BTreeSet::new());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                let token = shared.token("test").unwrap();
                secrets
                    .lock()
                    .unwrap()
                    .insert(token.secret().expose_secret().to_owned());
            });
        }
    });
    assert_eq!((provider.count(), secrets.lock().unwrap().len()), (1, 1));
    let filter = Filter::default();
    let is_use = |event: &&clawkeep::internal::audit::Event| &*event.kind == "credential.used";
    assert_eq!(
        shared
            .history(&filter)
            .unwrap()
            .iter()
            .filter(is_use)
            .count(),
        16
    );

    let (home, provider) = refresh::home();
    let start = |_| {
        let mut command = embed(&home);
        command
            .arg("test")
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command.spawn().unwrap()
    };
    let children: Vec<_> = (0..16).map(start).collect();
    let mut secrets = BTreeSet::new();
    for child in children {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        secrets.insert(output.stdout);
    }
    assert_eq!((provider.count(), secrets.len()), (1, 1));
    let client = client(&home);
    assert_eq!(
        client
            .history(&filter)
            .unwrap()
            .iter()
            .filter(is_use)
            .count(),
        16
    );
}

#[test]
fn a_login_that_cannot_be_refreshed_says_why() {
    let (home, _provider) = refresh::home();
    home.write(SETTINGS, "");
    let refused = client(&home).token("test").unwrap_err();
    let ClientError::NoCredential { passed_over, .. } = &refused else {
        panic!("{refused:?}");
    };
    let why: Vec<&str> = passed_over.iter().map(|(_, why)| *why).collect();
    assert_eq!(why, ["no-provider"]);
    assert_eq!(refused.kind(), ErrorKind::NoCredential);
}

#[test]
fn another_file_in_the_vaults_place_is_opened() {
    let home = home();
    let client = client(&home);
    client.token("openai").unwrap();
    home.run(&["backup", "create", "b.db"]).ok();
    home.run(&["key", "rotate"]).ok();
    client.token("openai").unwrap();
    home.run(&["backup", "restore", "b.db", "--force"]).ok();
    let before = client.history(&Filter::default()).unwrap().len();
    client.token("openai").unwrap();
    assert_eq!(
        client.history(&Filter::default()).unwrap().len(),
        before + 1
    );
    fs::rename(home.at(VAULT), home.at("moved.db")).unwrap();
    assert_eq!(kind(client.token("openai")), ErrorKind::Absent);
    fs::rename(home.at("moved.db"), home.at(VAULT)).unwrap();
    client.token("openai").unwrap();
}

#[test]
fn a_sync_imports_and_notices_arrive() {
    let home = Home::with_claude("sk-ant-oat01-test", 8);
    let notices = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&notices);
    let take = move |notice: ClientNotice| {
        taken
            .lock()
            .unwrap()
            .push(format!("{} {notice}", notice.kind()))
    };
    let client = builder(&home).on_notice(take).open_or_create().unwrap();
    let synced = client.sync().unwrap();
    assert!(synced.is_changed && synced.not_exported.is_none());
    assert!(!client.sync().unwrap().is_changed);
    assert!(
        notices
            .lock()
            .unwrap()
            .iter()
            .any(|notice| notice.starts_with("plain-copy plain copy: /"))
    );
    let token = client.token("anthropic").unwrap();
    assert_eq!(token.secret().expose_secret(), "sk-ant-oat01-test");
    let home = Home::with_claude("sk-ant-oat01-test", 8);
    let without = builder(&home)
        .without_other_programs()
        .open_or_create()
        .unwrap();
    assert_eq!(without.status().unwrap(), []);
}

#[test]
fn a_client_without_an_environment_uses_one_directory() {
    let dir = tempfile::tempdir().unwrap();
    let vault = dir.path().join("v.db");
    let client = Client::builder("t").vault(&vault).open_or_create().unwrap();
    assert_eq!(client.status().unwrap(), []);
    drop(client);
    Client::builder("t")
        .vault(&vault)
        .agent("ops")
        .open()
        .unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let keys = elsewhere.path().join("keys");
    let state = dir.path().join("state");
    let new = || Client::builder("t").state_dir(&state).key_dir(&keys);
    drop(new().open_or_create().unwrap());
    assert_eq!(fs::read_dir(&keys).unwrap().count(), 1);
    let file = fs::read_dir(&keys).unwrap().next().unwrap().unwrap().path();
    Client::builder("t")
        .state_dir(&state)
        .key_file(file)
        .open()
        .unwrap();
}

#[test]
fn an_agent_of_its_own_has_its_own_credentials() {
    let home = home();
    let key = json!({"type": "api_key", "provider": "openai", "key": "sk-test-ops"});
    home.write(
        OPS,
        json!({"version": 1, "profiles": {"openai:ops": key}}).to_string(),
    );
    let client = builder(&home).agent("ops").open_or_create().unwrap();
    assert_eq!(
        client.token("openai").unwrap().secret().expose_secret(),
        "sk-test-ops"
    );
    assert!(home.at(AGENT).is_dir());
}

/// Every file and directory below.
#[cfg(unix)]
fn below(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() && !path.is_symlink() {
            below(&path, found);
        }
        found.push(path);
    }
}

#[test]
#[cfg(unix)]
fn files_are_private_whatever_the_umask_is() {
    use std::os::unix::fs::PermissionsExt as _;
    let home = Home::new();
    let provider = Provider::start();
    home.write(SETTINGS, provider.setting("test"));
    let entry = refresh::login("sk-test-old", &provider.grant("a"), -1);
    let given = [SETTINGS, STORE].map(|path| home.at(path));
    refresh::store(&home, STORE, &entry);
    let mut had = Vec::new();
    below(home.path(), &mut had);
    let embed = embed(&home);
    let mut shell = Command::new("sh");
    shell
        .args(["-c", "umask 0; exec \"$@\"", "sh"])
        .arg(embed.get_program())
        .arg("test");
    let output = shell.env_clear().envs(environment(&home)).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let mut found = Vec::new();
    below(home.path(), &mut found);
    let new = found.iter().filter(|path| !had.contains(path));
    let new: Vec<&PathBuf> = new
        .chain(given.iter().filter(|path| path.ends_with(STORE)))
        .collect();
    assert!(new.len() > 5, "{new:?}");
    for path in new {
        let mode = fs::symlink_metadata(path).unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{} has mode {mode:o}", path.display());
    }
}

/// The kinds of a vault's events, oldest first.
fn kinds(record: &Record) -> Vec<String> {
    let events = record.history(&Filter::default()).unwrap();
    let kinds = events.iter().rev().map(|event| event.kind.to_string());
    kinds.collect()
}

#[test]
fn changes_are_committed_together_or_not_at_all() {
    let dir = tempfile::tempdir().unwrap();
    let vault = dir.path().join("v.db");
    let client = Client::builder("t")
        .vault(&vault)
        .without_other_programs()
        .without_stores()
        .open_or_create()
        .unwrap();
    let (a, b) = (ProfileId::new("openai:a"), ProfileId::new("anthropic:b"));
    let secret = |text: &str| SecretString::from(text);
    let key = NewCredential::api_key("OpenAI", secret("sk-test-a"));
    let ends = UnixMs::from_ms(4_102_444_800_000);
    let token = NewCredential::token("anthropic", secret("sk-test-b")).expires(ends);
    assert!(!format!("{key:?}").contains("sk-test"));
    client
        .change(|change| {
            change.put(&a, &key)?;
            change.put(&b, &token)
        })
        .unwrap();
    assert_eq!(
        client.token_for("anthropic:b").unwrap().expires(),
        Some(ends)
    );
    assert_eq!(
        client.token("openai").unwrap().secret().expose_secret(),
        "sk-test-a"
    );
    client.set_order("openai", &["openai:a"]).unwrap();

    let nothing = NewCredential::api_key("openai", secret(" "));
    let refused = client.change(|change| {
        change.remove(&a)?;
        change.put(&b, &nothing)
    });
    assert_eq!(kind(refused), ErrorKind::BadArgument);
    let unknown = ProfileId::new("openai:none");
    let refused = client.change(|change| change.remove(&unknown));
    assert_eq!(kind(refused), ErrorKind::UnknownProfile);
    assert_eq!(client.status().unwrap().len(), 2);

    client.change(|change| change.remove(&a)).unwrap();
    let left = client.status().unwrap();
    assert_eq!((left.len(), &left[0].profile), (1, &b));
    let found = kinds(&Record::open(&vault).unwrap());
    let found: Vec<&str> = found.iter().map(String::as_str).collect();
    let first = ["vault.created", "profile.created", "profile.created"];
    let last = ["order.set", "profile.removed", "order.cleared"];
    assert!(
        found.starts_with(&first) && found.ends_with(&last),
        "{found:?}"
    );
    client.verify().unwrap();
    let in_plain = walk(dir.path())
        .into_iter()
        .filter(|path| fs::read(path).is_ok_and(|bytes| has(&bytes, b"sk-test")));
    assert_eq!(in_plain.collect::<Vec<_>>(), Vec::<PathBuf>::new());
}

fn has(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// All files below a directory.
fn walk(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| match path.is_dir() {
            true => walk(&path),
            false => vec![path],
        })
        .collect()
}

#[test]
fn a_backup_opens_with_the_vaults_key() {
    let home = home();
    let client = client(&home);
    client.token("openai").unwrap();
    let backup = home.at("b.db");
    client.back_up(&backup).unwrap();
    assert_eq!(kind(client.back_up(&backup)), ErrorKind::Storage);
    home.run(&["backup", "verify", "b.db"]).ok();
    let none = home.at("none.db");
    assert_eq!(kind(Record::open(&none)), ErrorKind::Absent);
    assert!(kinds(&Record::open(home.at(VAULT)).unwrap()).contains(&"backup.created".to_owned()));
}
