//! The keys that OpenClaw has in plain text, and the ids under which the vault gets them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use clawkeep::internal::config::openclaw_keys::{
    ConfigPath, KeyPlace, find_path, parse_openclaw, reference_id,
};
use clawkeep::internal::config::{dotenv_lines, provider_of_variable};
use clawkeep::internal::domain::{
    Credential, CredentialType, ProviderId, SecretJson, StoreDoc, UnixMs, check_secret,
    normalize_provider, recognise_secret,
};
use clawkeep::internal::platform::openclaw::shared_database;
use clawkeep::internal::sync::OpenClawProfiles;
use secrecy::{ExposeSecret as _, SecretString};

use crate::commands::connect::settings::{Settings, damaged};
use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::text::one_line;

/// The provider under which the vault has what is of no provider of models.
const OWN: &str = "openclaw";

/// A key in plain text.
pub(super) struct Plain {
    pub(super) place: Place,
    pub(super) provider: ProviderId,
    pub(super) kind: CredentialType,
    pub(super) expires: Option<UnixMs>,
    pub(super) secret: SecretString,
    /// Its id in the vault.
    pub(super) id: String,
}

/// Where it is.
pub(super) enum Place {
    /// In the configuration.
    Config(ConfigPath),
    /// In the configuration, where it is never used: a profile of that provider counts before it.
    Shadowed(ConfigPath),
    /// In a profile.
    Profile { database: PathBuf, id: String },
    /// In a file of variables.
    Variable { file: PathBuf, name: String },
}

/// What is in plain text.
pub(super) struct Found {
    pub(super) keys: Vec<Plain>,
    /// What stays as it is, and why.
    pub(super) left: Vec<String>,
    pub(super) config: Settings,
    pub(super) stores: BTreeMap<PathBuf, OpenClawProfiles>,
}

/// Reads what the audit names. `doc` has the agent's credentials in the vault.
pub(super) fn read(
    context: &Context,
    (places, config_file): (&[KeyPlace], PathBuf),
    (dir, doc): (&Path, &StoreDoc),
) -> Result<Found, Failure> {
    let config = Settings::read(config_file)?;
    let document = match &config.bytes {
        Some(_) => parse_openclaw(config.text()?, &config.path)
            .map_err(|fault| damaged(&config.path, &fault.to_string()))?,
        None => SecretJson::new(serde_json::json!({})),
    };
    let mut found = Found {
        keys: Vec::new(),
        left: Vec::new(),
        config,
        stores: BTreeMap::new(),
    };
    let (unlisted, unknown) = unlisted_variables(dir, places);
    found.left = unknown;
    let places: Vec<&KeyPlace> = places.iter().chain(&unlisted).collect();
    for place in &places {
        let database = match place {
            KeyPlace::Profile { database, .. } => database.clone(),
            KeyPlace::Variable { .. } => shared_database(dir), // gets a profile in its place
            KeyPlace::Config { .. } => continue,
        };
        if !found.stores.contains_key(&database) {
            let failed = |fault| Failure::Refused {
                what: format!("{} cannot be used: {fault}", database.display()),
                next: "Nothing was changed. Update OpenClaw and clawkeep, and try again."
                    .to_owned(),
            };
            if let Some(store) = OpenClawProfiles::read(&database).map_err(failed)? {
                found.stores.insert(database.clone(), store);
            }
        }
    }
    for place in places {
        let read = match place {
            KeyPlace::Config { path, .. } => of_config(&found, &document, path),
            KeyPlace::Profile { database, id } => of_profile(&found, database, id),
            KeyPlace::Variable { file, name } => of_variable(file, name),
        };
        let usable = read.and_then(|plain| check(plain, context.clock.now()));
        match usable {
            Ok(mut plain) => {
                plain.id = id_for(&plain, doc, &found.keys);
                found.keys.push(plain);
            }
            Err(why) => found.left.push(format!("{}: {why}", shown(place))),
        }
    }
    Ok(found)
}

/// The keys in OpenClaw's file of variables that its audit does not name: those of providers that
/// are known, and for people what else may be one.
fn unlisted_variables(dir: &Path, places: &[KeyPlace]) -> (Vec<KeyPlace>, Vec<String>) {
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    let file = dir.join(".env");
    let settings = Settings::read(file.clone());
    let text = settings.as_ref().ok().and_then(|it| it.text().ok());
    for (name, value) in dotenv_lines(text.unwrap_or_default()) {
        let place = KeyPlace::Variable {
            file: file.clone(),
            name: name.clone(),
        };
        let is_key = check_secret(value.as_bytes()).is_ok();
        if !is_key || places.contains(&place) {
            continue;
        }
        let is_named_so = ["_API_KEY", "_TOKEN", "_SECRET"];
        if provider_of_variable(&name).is_some() {
            known.push(place);
        } else if is_named_so.iter().any(|end| name.ends_with(end))
            || recognise_secret(&value).is_some()
        {
            unknown.push(format!(
                "{}: it is of no provider that is known",
                one_line(&name)
            ));
        }
    }
    (known, unknown)
}

fn shown(place: &KeyPlace) -> String {
    one_line(match place {
        KeyPlace::Config { path, .. } => path,
        KeyPlace::Profile { id, .. } => id,
        KeyPlace::Variable { name, .. } => name,
    })
}

fn of_config(found: &Found, document: &SecretJson, path: &str) -> Result<Plain, &'static str> {
    let config = document.expose_secret();
    let path = find_path(config, path).ok_or("it is no text, or in a list")?;
    let value = path.iter().try_fold(config, |value, name| value.get(name));
    let value = value.and_then(|value| value.as_str()).unwrap_or_default();
    let names: Vec<&str> = path.iter().map(String::as_str).collect();
    let provider = match names[..] {
        ["models", "providers", provider, ..] => provider,
        _ => OWN,
    };
    let has_profile = matches!(names[..], ["models", "providers", _, "apiKey"])
        && found
            .stores
            .values()
            .any(|store| has_static(store, provider));
    Ok(Plain {
        provider: ProviderId::new(provider),
        kind: CredentialType::ApiKey,
        expires: None,
        secret: value.to_owned().into(),
        id: String::new(),
        place: match has_profile {
            true => Place::Shadowed(path.clone()),
            false => Place::Config(path.clone()),
        },
    })
}

fn has_static(store: &OpenClawProfiles, provider: &str) -> bool {
    let provider = normalize_provider(provider);
    let mut entries = store.expose_entries().values().map(Credential::of);
    entries.any(|entry| entry.is_for(&provider) && entry.kind != CredentialType::OAuth)
}

fn of_profile(found: &Found, database: &Path, id: &str) -> Result<Plain, &'static str> {
    let store = found.stores.get(database);
    let entry = store.and_then(|store| store.expose_entries().get(id));
    let entry = Credential::of(entry.ok_or("it is not there any more")?);
    let secret = entry.expose_secret().ok_or("it has no key")?;
    Ok(Plain {
        provider: ProviderId::new(entry.provider),
        kind: entry.kind,
        expires: entry
            .expiry()
            .map(|expiry| UnixMs::from_ms(expiry.floor_ms())),
        secret: secret.to_owned().into(),
        id: String::new(),
        place: Place::Profile {
            database: database.to_owned(),
            id: id.to_owned(),
        },
    })
}

fn of_variable(file: &Path, name: &str) -> Result<Plain, &'static str> {
    let text = Settings::read(file.to_owned()).map_err(|_| "the file cannot be used")?;
    let text = text.text().map_err(|_| "the file is not UTF-8")?;
    let (_, value) = dotenv_lines(text)
        .find(|(found, _)| found == name)
        .ok_or("it is not there any more")?;
    let provider = provider_of_variable(name).ok_or("it is of no provider that is known")?;
    Ok(Plain {
        provider: ProviderId::new(&provider),
        kind: CredentialType::ApiKey,
        expires: None,
        secret: value.to_string().into(),
        id: String::new(),
        place: Place::Variable {
            file: file.to_owned(),
            name: name.to_owned(),
        },
    })
}

/// What `secretref` would not hand out stays where it is.
fn check(plain: Plain, now: UnixMs) -> Result<Plain, &'static str> {
    if plain.kind == CredentialType::OAuth {
        return Err("a login cannot be a reference in OpenClaw");
    }
    if plain.expires.is_some_and(|at| at <= now) {
        return Err("it has expired; remove it, or paste a new one");
    }
    let secret = plain.secret.expose_secret();
    let is_sendable = !secret.is_empty() && secret.bytes().all(|byte| byte.is_ascii_graphic());
    match is_sendable {
        true => Ok(plain),
        false => Err("it has characters that clawkeep does not hand out"),
    }
}

/// The id in the vault: that of the same key if it is there already, else a free one.
fn id_for(plain: &Plain, doc: &StoreDoc, earlier: &[Plain]) -> String {
    let secret = plain.secret.expose_secret();
    let is_referable = |id: &str| reference_id(id) == id;
    let stored = doc.credentials().find(|(id, credential)| {
        credential.expose_secret() == Some(secret)
            && credential.kind != CredentialType::OAuth
            && is_referable(id)
    });
    if let Some((id, _)) = stored {
        return id.to_owned();
    }
    if let Some(same) = earlier
        .iter()
        .find(|key| key.secret.expose_secret() == secret)
    {
        return same.id.clone();
    }
    let wanted = reference_id(&match &plain.place {
        Place::Profile { id, .. } => id.clone(),
        Place::Config(path) | Place::Shadowed(path) if plain.provider.as_str() == OWN => {
            format!("{OWN}:{}", path.join("."))
        }
        Place::Config(_) | Place::Shadowed(_) => format!("{}:openclaw", plain.provider),
        Place::Variable { .. } => format!("{}:openclaw-env", plain.provider),
    });
    let is_free =
        |id: &String| doc.credential(id).is_none() && !earlier.iter().any(|key| key.id == *id);
    let numbered = (2..).map(|number| format!("{wanted}-{number}"));
    let mut ids = std::iter::once(wanted.clone()).chain(numbered);
    ids.find(is_free).unwrap_or(wanted)
}

/// How far a search goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Depth {
    /// The directory alone.
    One,
    /// The directories below it, too.
    All,
}

/// The files below a directory that contain one of the secrets; links are not followed.
pub(super) fn files_with(dir: &Path, depth: Depth, secrets: &[&str]) -> Vec<PathBuf> {
    /// Larger files hold no settings.
    const SIZE_MAX: u64 = 64 << 20;
    let (mut dirs, mut found) = (vec![dir.to_owned()], Vec::new());
    while let Some(dir) = dirs.pop() {
        let entries = fs::read_dir(&dir)
            .into_iter()
            .flatten()
            .filter_map(Result::ok);
        for entry in entries {
            let (path, name) = (entry.path(), entry.file_name());
            match entry.metadata() {
                Ok(meta) if meta.is_dir() => {
                    let is_of_others = name == "node_modules" || name == "cache";
                    let is_wanted = depth == Depth::All && !is_of_others;
                    dirs.extend(is_wanted.then_some(path));
                }
                Ok(meta) if meta.is_file() && meta.len() <= SIZE_MAX => {
                    let bytes = zeroize::Zeroizing::new(fs::read(&path).unwrap_or_default());
                    let has = |secret: &&str| contains(&bytes, secret.as_bytes());
                    if secrets.iter().any(has) {
                        found.push(path);
                    }
                }
                _ => {}
            }
        }
    }
    found.sort();
    found
}

fn contains(bytes: &[u8], wanted: &[u8]) -> bool {
    let Some(first) = wanted.first() else {
        return false;
    };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        rest = &rest[at..];
        if rest.starts_with(wanted) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}
