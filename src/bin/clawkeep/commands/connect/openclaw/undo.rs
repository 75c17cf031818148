//! `disconnect openclaw`: the keys go back into OpenClaw's own files, in plain text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use clawkeep::internal::config::openclaw_keys::{
    ConfigPath, SECRET_PROVIDER, parse_openclaw, references, referred, with_values,
};
use clawkeep::internal::domain::{Owner, SecretJson, StoreDoc, counted};
use clawkeep::internal::platform::{exists, openclaw as openclaw_dirs};
use clawkeep::internal::sync::OpenClawProfiles;
use serde_json::Value;
use zeroize::Zeroizing;

use super::program::OpenClaw;
use super::{installed, replace};
use crate::commands::connect::consent::confirm;
use crate::commands::connect::kept;
use crate::commands::connect::settings::{Settings, damaged};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::terminal::text::one_line;

pub(in crate::commands::connect) fn disconnect(
    context: &Context,
    is_confirmed: bool,
) -> Result<(), Failure> {
    let openclaw = OpenClaw::find(context)?;
    let mut vault = context.unlocked()?;
    let config = Settings::read(openclaw.config_file(context))?;
    let document = parse_openclaw(config.text()?, &config.path)
        .map_err(|fault| damaged(&config.path, &fault.to_string()))?;
    let agent = agent_of(document.expose_secret()).resolve(context)?;
    let doc = context.load_silently(&mut vault, &agent)?.doc;
    let kept = kept::read(context, &vault, Owner::OpenClaw)?;
    let kept = Kept::of(kept.as_ref());
    let in_config = references(document.expose_secret());
    let stores = stores_with_references(context, &openclaw)?;
    let ids = (in_config.iter().map(|(_, id)| id.clone()))
        .chain(stores.values().flat_map(|(_, refs)| refs.values().cloned()));
    let missing: Vec<String> = ids
        .clone()
        .filter(|id| secret_of(&doc, id).is_none())
        .map(|id| one_line(&id))
        .collect();
    if !missing.is_empty() {
        return Err(Failure::Refused {
            what: format!(
                "the vault of {} has no key of: {}",
                agent.name,
                missing.join(", ")
            ),
            next: "Add them, or put other values in their place in OpenClaw.".to_owned(),
        });
    }
    let in_profiles = stores.values().flat_map(|(_, refs)| refs.keys());
    let in_profiles = in_profiles.filter(|profile| !kept.is_of_variable(profile));
    let count = in_config.len() + in_profiles.count() + kept.removed.len();
    let provider: ConfigPath = ["secrets", "providers", SECRET_PROVIDER]
        .map(str::to_owned)
        .into();
    let has_provider = document
        .expose_secret()
        .pointer("/secrets/providers/clawkeep")
        .is_some();
    if count == 0 && !has_provider {
        return context
            .ui
            .answer("OpenClaw is not connected: nothing to undo\n");
    }
    for (path, id) in &in_config {
        context.ui.warn(&format!(
            "  {}: the key {} in plain text",
            path.join("."),
            one_line(id)
        ));
    }
    for (database, (_, refs)) in &stores {
        let database = context.layout.shorten_home(database);
        for (profile, id) in refs
            .iter()
            .filter(|(profile, _)| !kept.is_of_variable(profile))
        {
            let (profile, id) = (one_line(profile), one_line(id));
            context.ui.warn(&format!(
                "  profile {profile} in {database}: the key {id} in plain text"
            ));
        }
    }
    for removed in &kept.removed {
        context.ui.warn(&match removed {
            Removed::Value(path, _) => format!("  {}: its key in plain text", path.join(".")),
            Removed::Variable { file, name, id } => format!(
                "  {} in {}: the key {} in plain text",
                one_line(name),
                one_line(&context.layout.shorten_home(file)),
                one_line(id)
            ),
        });
    }
    let question = format!(
        "Write {} back into OpenClaw's files in plain text?",
        counted(count, "key")
    );
    confirm(is_confirmed, &question)?;
    for (database, (store, refs)) in &stores {
        replace(
            context,
            database,
            store,
            with_keys(store, refs, (&doc, &kept)),
        )?;
    }
    let is_as_left = kept.is_current(&doc);
    let restored = kept
        .file(&config.path)
        .filter(|file| is_as_left && file.after == config.bytes);
    match restored {
        Some(file) => config.replace(Some(&file.before))?,
        None => {
            let mut changes: Vec<(ConfigPath, Option<Zeroizing<String>>)> = in_config
                .iter()
                .map(|(path, id)| (path.clone(), secret_of(&doc, id)))
                .collect();
            changes.extend(has_provider.then_some((provider, None)));
            changes.extend(kept.values());
            let text = with_values(config.text()?, &config.path, &changes)
                .map_err(|fault| damaged(&config.path, &fault.to_string()))?;
            config.replace(Some(text.as_bytes()))?;
        }
    }
    put_files_back(&kept, &config.path, is_as_left, &doc)?;
    drop(vault);
    let reloaded = openclaw.reload();
    installed::remove(&context.layout)?;
    kept::forget(context, Owner::OpenClaw)?;
    let gateway = match reloaded {
        Ok(()) => "The running gateway has read its keys again.",
        Err(_) => "No running gateway answered; one reads its keys at its start.",
    };
    let how = match restored.is_some() {
        true => "its configuration is what it was",
        false => "the rest of its configuration stays",
    };
    context.ui.answer(&format!(
        "OpenClaw is disconnected; {how}. {gateway}\nThe vault keeps its copies of the keys.\n"
    ))
}

/// The agent and the ids of the keys that a connected OpenClaw asks clawkeep for; nothing if it is
/// not connected, or its settings cannot be read.
pub(in crate::commands::connect) fn asked_keys(
    context: &Context,
) -> Option<(AgentOption, BTreeSet<String>)> {
    if !super::is_connected(context) {
        return None;
    }
    let openclaw = OpenClaw::find(context).ok()?;
    let config = Settings::read(openclaw.config_file(context)).ok()?;
    let document = parse_openclaw(config.text().ok()?, &config.path).ok()?;
    let in_config = references(document.expose_secret());
    let stores = stores_with_references(context, &openclaw).ok()?;
    let in_stores = stores
        .into_values()
        .flat_map(|(_, refs)| refs.into_values());
    let ids = in_config.into_iter().map(|(_, id)| id).chain(in_stores);
    Some((agent_of(document.expose_secret()), ids.collect()))
}

/// The agent that the command in OpenClaw's configuration names.
fn agent_of(config: &Value) -> AgentOption {
    let mut option = AgentOption::default();
    let args = config.pointer("/secrets/providers/clawkeep/args");
    let args: Vec<&str> = args
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    if let Some(at) = args.iter().position(|word| *word == "--agent")
        && let Some(name) = args.get(at + 1)
    {
        option.select(&clawkeep::internal::domain::AgentName::from_id(name));
    }
    option
}

fn secret_of(doc: &StoreDoc, id: &str) -> Option<Zeroizing<String>> {
    let secret = doc.credential(id)?.expose_secret()?.to_owned();
    Some(Zeroizing::new(secret))
}

/// The databases with references to the vault: their profiles, and the id of each.
type Stores = BTreeMap<PathBuf, (OpenClawProfiles, BTreeMap<String, String>)>;

fn stores_with_references(context: &Context, openclaw: &OpenClaw) -> Result<Stores, Failure> {
    let mut stores = Stores::new();
    let agents = openclaw_dirs::agents_with_database(&openclaw.dir);
    let databases = agents
        .iter()
        .flat_map(|(id, dir)| openclaw_dirs::databases_of(dir, id));
    for database in databases {
        let failed = |fault| Failure::Refused {
            what: format!(
                "{} cannot be used: {fault}",
                context.layout.shorten_home(&database)
            ),
            next: "Nothing was changed. Try again.".to_owned(),
        };
        let Some(store) = OpenClawProfiles::read(&database).map_err(failed)? else {
            continue;
        };
        let refs: BTreeMap<String, String> = store
            .expose_entries()
            .iter()
            .filter_map(|(profile, entry)| {
                let fields = ["keyRef", "tokenRef"].into_iter();
                let id = fields
                    .filter_map(|field| referred(entry.get(field)?))
                    .next()?;
                Some((profile.clone(), id.to_owned()))
            })
            .collect();
        if !refs.is_empty() {
            stores.insert(database, (store, refs));
        }
    }
    Ok(stores)
}

fn with_keys(
    store: &OpenClawProfiles,
    refs: &BTreeMap<String, String>,
    (doc, kept): (&StoreDoc, &Kept),
) -> serde_json::Map<String, Value> {
    let mut entries = store.expose_entries().clone();
    for (profile, id) in refs {
        if kept.is_of_variable(profile) {
            entries.shift_remove(profile);
            continue;
        }
        let (Some(entry), Some(secret)) = (
            entries.get_mut(profile).and_then(Value::as_object_mut),
            secret_of(doc, id),
        ) else {
            continue;
        };
        for field in ["key", "token"] {
            if entry.shift_remove(&format!("{field}Ref")).is_some() {
                entry.insert(field.to_owned(), secret.as_str().into());
            }
        }
    }
    entries
}

/// What was kept when OpenClaw was connected.
struct Kept {
    files: Vec<KeptFile>,
    keys: Vec<(String, Zeroizing<String>)>,
    removed: Vec<Removed>,
}

struct KeptFile {
    path: PathBuf,
    before: Zeroizing<Vec<u8>>,
    after: Option<Zeroizing<Vec<u8>>>,
}

/// A value that was taken out.
enum Removed {
    Value(ConfigPath, Zeroizing<String>),
    Variable {
        file: PathBuf,
        name: String,
        id: String,
    },
}

impl Kept {
    fn of(copy: Option<&SecretJson>) -> Self {
        let list = |name: &str| -> &[Value] {
            let list = copy.and_then(|copy| copy.expose_secret().get(name)?.as_array());
            list.map_or(&[], Vec::as_slice)
        };
        let text = |value: &Value, name: &str| -> Option<String> {
            value.get(name)?.as_str().map(str::to_owned)
        };
        let file = |value: &Value| {
            Some(KeptFile {
                path: text(value, "path")?.into(),
                before: value.get("before").and_then(kept::bytes_of)?,
                after: value.get("after").and_then(kept::bytes_of),
            })
        };
        let key = |value: &Value| Some((text(value, "id")?, text(value, "secret")?.into()));
        let removed = |value: &Value| match value.get("path").and_then(Value::as_array) {
            Some(path) => {
                let path = path.iter().map(|name| name.as_str().map(str::to_owned));
                Some(Removed::Value(
                    path.collect::<Option<_>>()?,
                    text(value, "value")?.into(),
                ))
            }
            None => Some(Removed::Variable {
                file: text(value, "file")?.into(),
                name: text(value, "name")?,
                id: text(value, "id")?,
            }),
        };
        Self {
            files: list("files").iter().filter_map(file).collect(),
            keys: list("keys").iter().filter_map(key).collect(),
            removed: list("removed").iter().filter_map(removed).collect(),
        }
    }

    /// Whether the vault has the same keys as when OpenClaw was connected.
    fn is_current(&self, doc: &StoreDoc) -> bool {
        self.keys
            .iter()
            .all(|(id, secret)| secret_of(doc, id).as_ref() == Some(secret))
    }

    /// Whether a profile took the place of a variable.
    fn is_of_variable(&self, profile: &str) -> bool {
        let mut removed = self.removed.iter();
        removed.any(|it| matches!(it, Removed::Variable { id, .. } if id == profile))
    }

    fn file(&self, path: &std::path::Path) -> Option<&KeptFile> {
        self.files.iter().find(|file| file.path == path)
    }

    /// The values that were taken out of the configuration.
    fn values(&self) -> impl Iterator<Item = (ConfigPath, Option<Zeroizing<String>>)> + '_ {
        self.removed.iter().filter_map(|removed| match removed {
            Removed::Value(path, value) => Some((path.clone(), Some(value.clone()))),
            Removed::Variable { .. } => None,
        })
    }
}

/// Puts back the files of variables, and OpenClaw's own backups where their names are free.
fn put_files_back(
    kept: &Kept,
    config: &std::path::Path,
    is_as_left: bool,
    doc: &StoreDoc,
) -> Result<(), Failure> {
    let mut appended: BTreeMap<&PathBuf, Vec<(&String, &String)>> = BTreeMap::new();
    for removed in &kept.removed {
        if let Removed::Variable { file, name, id } = removed {
            appended.entry(file).or_default().push((name, id));
        }
    }
    for file in kept.files.iter().filter(|file| file.path != config) {
        let now = Settings::read(file.path.clone())?;
        let is_unchanged = now.bytes.as_ref() == file.after.as_ref();
        match appended.get(&file.path) {
            None if exists(&file.path) => {} // OpenClaw has made a new one
            None => now.replace(Some(&file.before))?,
            Some(_) if is_as_left && is_unchanged => now.replace(Some(&file.before))?,
            Some(lines) => {
                let mut text = Zeroizing::new(now.text()?.to_owned());
                if !text.is_empty() && !text.ends_with('\n') {
                    text.push('\n');
                }
                for (name, id) in lines {
                    if let Some(secret) = secret_of(doc, id) {
                        text.push_str(&format!("{name}={}\n", *secret));
                    }
                }
                now.replace(Some(text.as_bytes()))?;
            }
        }
    }
    Ok(())
}
