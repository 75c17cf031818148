//! OpenClaw: keys become references to an exec secret provider, by a plan for `openclaw secrets
//! apply`. Source: OpenClaw 2026.9.6, documentation of `openclaw secrets` and Secrets apply plan
//! contract.

use std::path::{Path, PathBuf};

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstObject, CstRootNode};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::edited::{SettingsFault, without_mark};
use crate::config::settings::parse_value;
use crate::domain::{ProviderId, SecretJson};

/// The name of the secret provider in OpenClaw's configuration.
pub const SECRET_PROVIDER: &str = "clawkeep";
/// The variables that clawkeep needs where OpenClaw runs it.
const PASSED: [&str; 3] = ["HOME", "XDG_RUNTIME_DIR", "DBUS_SESSION_BUS_ADDRESS"];
/// The words of a path that stand before a name which a person chose.
const BEFORE_NAMES: [&str; 7] = [
    "providers",
    "accounts",
    "entries",
    "headers",
    "personas",
    "mcpServers",
    "env",
];
/// The longest id of a reference.
const ID_MAX: usize = 256;

/// Where OpenClaw keeps a key in plain text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyPlace {
    /// In its configuration, at a path of names joined by dots.
    Config {
        /// The configuration.
        file: PathBuf,
        /// The path.
        path: String,
    },
    /// In a profile of a database.
    Profile {
        /// The database.
        database: PathBuf,
        /// The profile.
        id: String,
    },
    /// In a file of variables.
    Variable {
        /// The file.
        file: PathBuf,
        /// The variable.
        name: String,
    },
}

/// What `openclaw secrets audit --json` says.
#[derive(Debug, Default)]
pub struct Audit {
    /// Where keys are in plain text.
    pub plain: Vec<KeyPlace>,
    /// The profiles with a login, which cannot be a reference.
    pub logins: Vec<String>,
    /// Everything else that it found: file, path and OpenClaw's words.
    pub others: Vec<String>,
}

impl Audit {
    /// Reads the answer; `None` if it is of a form that is not known.
    #[must_use]
    pub fn read(answer: &Value) -> Option<Self> {
        if answer.get("version").and_then(Value::as_i64) != Some(1) {
            return None;
        }
        let mut audit = Self::default();
        for finding in answer.get("findings")?.as_array()? {
            let text = |name: &str| finding.get(name).and_then(Value::as_str);
            let (code, file, path) = (text("code")?, text("file")?, text("jsonPath")?);
            let profile = text("profileId");
            let file_name = Path::new(file).extension();
            let place = match (code, profile, path.strip_prefix("$env.")) {
                ("PLAINTEXT_FOUND", Some(id), _) => KeyPlace::Profile {
                    database: file.into(),
                    id: id.to_owned(),
                },
                ("PLAINTEXT_FOUND", None, Some(name)) => KeyPlace::Variable {
                    file: file.into(),
                    name: name.to_owned(),
                },
                ("PLAINTEXT_FOUND", None, None) if !file.ends_with("models.json") => {
                    KeyPlace::Config {
                        file: file.into(),
                        path: path.to_owned(),
                    }
                }
                ("LEGACY_RESIDUE", Some(id), _) if file_name.is_some_and(|end| end == "sqlite") => {
                    audit.logins.push(id.to_owned());
                    continue;
                }
                _ => {
                    let message = text("message").unwrap_or(code);
                    audit.others.push(format!("{file}, {path}: {message}"));
                    continue;
                }
            };
            audit.plain.push(place);
        }
        Some(audit)
    }
}

/// A value of the configuration by the names that lead to it.
pub type ConfigPath = Vec<String>;

/// Finds the names that a path joined by dots stands for: a name may have dots itself.
#[must_use]
pub fn find_path(config: &Value, joined: &str) -> Option<ConfigPath> {
    let fields = config.as_object()?;
    fields.iter().find_map(|(name, value)| {
        let rest = joined.strip_prefix(name.as_str())?;
        if rest.is_empty() {
            return value.is_string().then(|| vec![name.clone()]);
        }
        let mut path = find_path(value, rest.strip_prefix('.')?)?;
        path.insert(0, name.clone());
        Some(path)
    })
}

/// The id for a reference, of the characters that OpenClaw allows.
#[must_use]
pub fn reference_id(wanted: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || "._:/#-".contains(c);
    let id: String = wanted
        .chars()
        .map(|c| if is_allowed(c) { c } else { '-' })
        .take(ID_MAX - 4)
        .collect();
    match id.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        true => id,
        false => format!("x{id}"),
    }
}

/// A reference to a key in the vault.
#[must_use]
pub fn reference(id: &str) -> Value {
    json!({"source": "exec", "provider": SECRET_PROVIDER, "id": id})
}

/// The id that a reference to a key in the vault names.
#[must_use]
pub fn referred(value: &Value) -> Option<&str> {
    let text = |name: &str| value.get(name).and_then(Value::as_str);
    let is_ours = text("source") == Some("exec") && text("provider") == Some(SECRET_PROVIDER);
    text("id").filter(|_| is_ours)
}

/// What a plan changes: where a reference is put, and the id in the vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A value of the configuration.
    Config(ConfigPath, String),
    /// A new profile of the agent `main`, of this provider, with the id of the key.
    Profile(ProviderId, String),
}

impl Target {
    fn to_json(&self) -> Value {
        match self {
            Self::Config(path, id) => {
                let mut target = json!({
                    "type": target_type(path),
                    "path": path.join("."),
                    "pathSegments": path,
                    "ref": reference(id),
                });
                if let ["models", "providers", provider, "apiKey"] = names(path)[..] {
                    target["providerId"] = provider.into();
                }
                target
            }
            Self::Profile(provider, id) => json!({
                "type": "auth-profiles.api_key.key",
                "path": format!("profiles.{id}.key"),
                "pathSegments": ["profiles", id, "key"],
                "agentId": "main",
                "authProfileProvider": provider.as_str(),
                "ref": reference(id),
            }),
        }
    }
}

/// The plan for `openclaw secrets apply`: the provider with its command, and the references.
/// `is_set` says which variables clawkeep itself was given.
#[must_use]
pub fn plan(command: &[String], targets: &[Target], is_set: impl Fn(&str) -> bool) -> Value {
    let own = [
        "CLAWKEEP_VAULT",
        "CLAWDBOT_STATE_DIR",
        "CLAWKEEP_KEY_FILE",
        "CLAWKEEP_PASSPHRASE_FILE",
    ];
    let passed = PASSED
        .into_iter()
        .chain(own.into_iter().filter(|name| is_set(name)));
    let (program, args) = match command.split_first() {
        Some((program, args)) => (program.as_str(), args),
        None => ("", &[][..]),
    };
    let targets: Vec<Value> = targets.iter().map(Target::to_json).collect();
    json!({
        "version": 1,
        "protocolVersion": 1,
        "generatedBy": "manual",
        "providerUpserts": {SECRET_PROVIDER: {
            "source": "exec",
            "command": program,
            "args": args,
            "passEnv": passed.collect::<Vec<_>>(),
        }},
        "targets": targets,
        "options": {"scrubEnv": true, "scrubAuthProfilesForProviderTargets": false},
    })
}

fn names(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The type of a target: its path with a star for each name that a person chose.
fn target_type(path: &[String]) -> String {
    match names(path)[..] {
        ["models", "providers", _, "apiKey"] => return "models.providers.apiKey".to_owned(),
        ["skills", "entries", _, "apiKey"] => return "skills.entries.apiKey".to_owned(),
        _ => {}
    }
    let before = std::iter::once("").chain(path.iter().map(String::as_str));
    let parts =
        path.iter()
            .zip(before)
            .map(|(name, before)| match BEFORE_NAMES.contains(&before) {
                true => "*",
                false => name.as_str(),
            });
    parts.collect::<Vec<_>>().join(".")
}

/// The references to keys in the vault, with where they are.
#[must_use]
pub fn references(config: &Value) -> Vec<(ConfigPath, String)> {
    fn walk(value: &Value, path: &mut ConfigPath, found: &mut Vec<(ConfigPath, String)>) {
        if let Some(id) = referred(value) {
            found.push((path.clone(), id.to_owned()));
            return;
        }
        for (name, value) in value.as_object().into_iter().flatten() {
            path.push(name.clone());
            walk(value, path, found);
            path.pop();
        }
    }
    let mut found = Vec::new();
    walk(config, &mut Vec::new(), &mut found);
    found
}

/// Parses the configuration.
///
/// # Errors
/// When it is damaged. The message does not repeat it.
pub fn parse_openclaw(text: &str, path: &Path) -> Result<SecretJson, SettingsFault> {
    let fault = |_| SettingsFault::Unreadable("it is no JSON5".to_owned());
    parse_value(without_mark(text), path)
        .map(SecretJson::new)
        .map_err(fault)
}

/// The text with other values at some paths, and nothing else changed; `None` removes a value.
///
/// # Errors
/// When something else would change, or the text is damaged.
pub fn with_values(
    text: &str,
    file: &Path,
    changes: &[(ConfigPath, Option<Zeroizing<String>>)],
) -> Result<Zeroizing<String>, SettingsFault> {
    let unchangeable = SettingsFault::Unchangeable("something else in it would change");
    let mut wanted = parse_openclaw(text, file)?.expose_secret().clone();
    let root = CstRootNode::parse(without_mark(text), &ParseOptions::default())
        .map_err(|_| SettingsFault::Unreadable("it is no JSON5".to_owned()))?;
    let object = root.object_value().ok_or_else(|| unchangeable.clone())?;
    for (path, value) in changes {
        let value = value.as_ref();
        let at = wanted.as_object_mut().ok_or_else(|| unchangeable.clone())?;
        set_value(at, path, value).ok_or_else(|| unchangeable.clone())?;
        set_in(&object, path, value).ok_or_else(|| unchangeable.clone())?;
    }
    let wanted = SecretJson::new(wanted);
    let text = Zeroizing::new(root.to_string());
    match parse_openclaw(&text, file)? == wanted {
        true => Ok(text),
        false => Err(unchangeable),
    }
}

fn set_value(
    fields: &mut Map<String, Value>,
    path: &[String],
    value: Option<&Zeroizing<String>>,
) -> Option<()> {
    match (path, value) {
        ([], _) => None,
        ([last], None) => fields.shift_remove(last).map(drop),
        ([last], Some(value)) => {
            fields.insert(last.clone(), Value::from(value.as_str()));
            Some(())
        }
        ([name, rest @ ..], _) => set_value(fields.get_mut(name)?.as_object_mut()?, rest, value),
    }
}

fn set_in(object: &CstObject, path: &[String], value: Option<&Zeroizing<String>>) -> Option<()> {
    let (name, rest) = path.split_first()?;
    if !rest.is_empty() {
        return set_in(&object.object_value(name)?, rest, value);
    }
    let value = value.map(|value| CstInputValue::String(value.to_string()));
    match (object.get(name), value) {
        (Some(property), Some(value)) => property.set_value(value),
        (Some(property), None) => property.remove(),
        (None, Some(value)) => drop(object.append(name, value)),
        (None, None) => {}
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(names: &[&str]) -> ConfigPath {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn findings_become_places() {
        let answer = json!({"version": 1, "findings": [
            {"code": "PLAINTEXT_FOUND", "file": "/o/openclaw.json",
                "jsonPath": "gateway.auth.token"},
            {"code": "PLAINTEXT_FOUND", "file": "/o/s.sqlite", "jsonPath": "profiles.a:b.key",
                "profileId": "a:b"},
            {"code": "PLAINTEXT_FOUND", "file": "/o/.env", "jsonPath": "$env.OPENAI_API_KEY"},
            {"code": "LEGACY_RESIDUE", "file": "/o/s.sqlite", "jsonPath": "profiles.c",
                "profileId": "c:d"},
            {"code": "PLAINTEXT_FOUND", "file": "/o/agents/main/agent/models.json",
                "jsonPath": "providers.x.apiKey", "message": "plain"},
        ]});
        let audit = Audit::read(&answer).unwrap();
        assert_eq!(audit.plain.len(), 3);
        assert!(
            matches!(&audit.plain[2], KeyPlace::Variable { name, .. } if name == "OPENAI_API_KEY")
        );
        assert_eq!(audit.logins, ["c:d"]);
        assert_eq!(audit.others.len(), 1);
        assert!(Audit::read(&json!({"version": 2, "findings": []})).is_none());
    }

    #[test]
    fn a_plan_names_types_paths_and_references() {
        let config =
            json!({"models": {"providers": {"a.b": {"apiKey": "k", "headers": {"x": "y"}}}}});
        let found = find_path(&config, "models.providers.a.b.apiKey").unwrap();
        assert_eq!(found, path(&["models", "providers", "a.b", "apiKey"]));
        assert_eq!(find_path(&config, "models.providers.a"), None);
        let header = path(&["models", "providers", "a.b", "headers", "x"]);
        let bot = path(&["channels", "telegram", "accounts", "x", "botToken"]);
        let targets = [(found, "k1"), (header, "k2"), (bot, "k3")]
            .map(|(path, id)| Target::Config(path, id.to_owned()));
        let command = ["/bin/ck".to_owned(), "secretref".to_owned()];
        let plan = plan(&command, &targets, |name| name == "CLAWKEEP_VAULT");
        let types: Vec<&str> = plan["targets"]
            .as_array()
            .unwrap()
            .iter()
            .map(|target| target["type"].as_str().unwrap())
            .collect();
        assert_eq!(
            types,
            [
                "models.providers.apiKey",
                "models.providers.*.headers.*",
                "channels.telegram.accounts.*.botToken"
            ]
        );
        assert_eq!(plan["targets"][0]["providerId"], "a.b");
        assert_eq!(
            plan["providerUpserts"]["clawkeep"]["passEnv"][3],
            "CLAWKEEP_VAULT"
        );
        assert_eq!(reference_id("me@x:ü"), "me-x:-");
    }

    #[test]
    fn values_change_in_place_and_references_are_found() {
        let text = "{ // mine\n  a: { token: 'x', keep: 1 },\n  b: {source: 'exec', provider: \
                    'clawkeep', id: 'k'}, // here\n}\n";
        let file = Path::new("openclaw.json");
        let secret = |text: &str| Some(Zeroizing::new(text.to_owned()));
        let changes = [(path(&["b"]), secret("sk")), (path(&["a", "token"]), None)];
        let after = with_values(text, file, &changes).unwrap();
        assert!(
            after.contains("// mine") && after.contains("// here"),
            "{}",
            *after
        );
        let config = parse_openclaw(&after, file).unwrap();
        assert_eq!(
            *config.expose_secret(),
            json!({"a": {"keep": 1}, "b": "sk"})
        );
        let before = parse_openclaw(text, file).unwrap();
        assert_eq!(
            references(before.expose_secret()),
            [(path(&["b"]), "k".to_owned())]
        );
        assert!(with_values(text, file, &[(path(&["z", "y"]), secret("x"))]).is_err());
        assert!(with_values("{", file, &[]).is_err());
    }
}
