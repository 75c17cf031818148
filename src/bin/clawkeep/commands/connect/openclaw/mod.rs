//! `connect openclaw`: its plain keys move into the vault, and it asks clawkeep for them.
//!
//! OpenClaw says itself where its keys are (`openclaw secrets audit`), and changes its
//! configuration itself (`openclaw secrets apply`). Its profiles are changed here, since that
//! command does not reach the database that its agents share.

pub(crate) mod installed;
mod plain;
pub(crate) mod program;
pub(super) mod undo;

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use clawkeep::internal::audit::Origin;
use clawkeep::internal::client::{NewCredential, entry_of};
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::config::openclaw_keys::{ConfigPath, Target, plan, reference, with_values};
use clawkeep::internal::domain::{
    CredentialType, Owner, SecretJson, Section, StoreDoc, counted, path_text,
};
use clawkeep::internal::platform::openclaw::{is_shared_database, shared_database};
use clawkeep::internal::platform::{remove_if_present, temporary_in};
use clawkeep::internal::sync::Edited;
use clawkeep::internal::vault::{ForeignDatabase, UnlockedVault};
use data_encoding::BASE64;
use secrecy::ExposeSecret as _;
use serde_json::{Value, json};

use self::plain::{Depth, Found, Place, Plain, files_with};
use self::program::OpenClaw;
use super::consent::confirm;
use super::kept;
use super::settings::{Settings, damaged};

use crate::commands::auth::edit::edit_store;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::terminal::text::one_line;

/// What a login cannot do there, for people.
const LOGINS: &str = "Logins (OAuth) stay with OpenClaw, which refreshes them itself: it accepts \
    no reference in their place. clawkeep follows them: clawkeep status --agent openclaw/main";

/// Whether OpenClaw was connected by this program.
pub(crate) fn is_connected(context: &Context) -> bool {
    kept::file(context, Owner::OpenClaw).is_file()
}

/// How OpenClaw stands, for the list of programs.
pub(super) struct Standing {
    state: &'static str,
    dir: PathBuf,
}

pub(super) fn standing(context: &Context) -> Standing {
    let found = OpenClaw::find(context).ok();
    let state = match (&found, is_connected(context)) {
        (_, true) => "connected",
        (Some(_), false) => "not connected",
        (None, false) => "not found",
    };
    let usual = context.layout.home.join(".openclaw");
    let dir = found.map_or(usual, |found| found.dir);
    Standing { state, dir }
}

impl Standing {
    pub(super) fn json(&self) -> Value {
        json!({
            "program": program::COMMAND,
            "state": self.state.replace(' ', "-"),
            "settings": path_text(&self.dir),
            "command": null,
            "why": null,
            "fix": null,
        })
    }

    pub(super) fn cells(&self, context: &Context) -> [String; 3] {
        let state = self.state.to_owned();
        let dir = context.layout.shorten_home(&self.dir);
        [program::COMMAND.to_owned(), state, one_line(&dir)]
    }
}

pub(super) fn connect(
    context: &Context,
    of: &AgentOption,
    is_confirmed: bool,
) -> Result<(), Failure> {
    let openclaw = OpenClaw::find(context)?;
    let mut vault = context.vault()?;
    let agent = of.resolve(context)?;
    let progress = context.ui.progress("OpenClaw looks for its plain keys");
    let audit = openclaw.audit(false);
    drop(progress);
    let audit = audit?;
    let config_file = openclaw.config_file(context);
    let doc = context.load_silently(&mut vault, &agent)?.doc;
    let found = plain::read(context, (&audit.plain, config_file), (&openclaw.dir, &doc))?;
    show(context, &found, &audit.logins);
    show_own_store(context, &openclaw.dir);
    if found.keys.is_empty() && is_connected(context) {
        installed::install(context)?;
        return finish(context, &openclaw, &[], "connected already");
    }
    confirm(is_confirmed, "Connect OpenClaw?")?;
    let program = installed::install(context)?;
    store(context, &mut vault, &agent, &found.keys)?;
    let copies = Copies::of(&found)?;
    // What an earlier connection keeps stays: it is older.
    let earlier = kept::read(context, &vault, Owner::OpenClaw)?;
    let keep = |vault: &UnlockedVault, is_done| {
        let copy = copies.to_json(&found.keys, earlier.as_ref(), is_done);
        kept::keep(context, vault, Owner::OpenClaw, &copy)
    };
    keep(&vault, false)?;
    let mut words = vec![shown_path(&program)?, "secretref".to_owned()];
    if of.is_named() {
        words.extend(["--agent".to_owned(), agent.name.as_str().to_owned()]);
    }
    let progress = context.ui.progress("OpenClaw changes its configuration");
    let applied = apply(context, &openclaw, &words, &found);
    drop(progress);
    if let Err(failure) = applied {
        if earlier.is_none() {
            kept::forget(context, Owner::OpenClaw)?;
        }
        context.ui.warn(&format!(
            "{} in the vault already, and in plain text in OpenClaw as before.",
            match found.keys.len() {
                1 => "This key is".to_owned(),
                count => format!("These {count} keys are"),
            }
        ));
        return Err(failure);
    }
    change_profiles(context, &found)?;
    change_files(&found)?;
    // OpenClaw has made another one meanwhile.
    for path in backups(&found) {
        remove_if_present(&path)?;
    }
    keep(&vault, true)?;
    drop(vault);
    finish(context, &openclaw, &secrets_of(&found), "connected")
}

fn secrets_of(found: &Found) -> Vec<&str> {
    let keys = found.keys.iter();
    keys.map(|key| key.secret.expose_secret()).collect()
}

/// OpenClaw's own backups of its configuration that have one of the keys: `openclaw.json.bak.1`.
fn backups(found: &Found) -> Vec<PathBuf> {
    let config = &found.config.path;
    let name = config.file_name().unwrap_or_default().to_string_lossy();
    let prefix = format!("{name}.");
    let dir = config.parent().unwrap_or(Path::new("."));
    let is_backup = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(&prefix)
    };
    files_with(dir, Depth::One, &secrets_of(found))
        .into_iter()
        .filter(is_backup)
        .collect()
}

fn shown_path(path: &Path) -> Result<String, Failure> {
    path.to_str()
        .map(str::to_owned)
        .ok_or_else(|| Failure::Refused {
            what: "the path of clawkeep is not UTF-8, as the settings need it".to_owned(),
            next: "Install clawkeep in another directory.".to_owned(),
        })
}

/// Shows what is about to change.
fn show(context: &Context, found: &Found, logins: &[String]) {
    for key in &found.keys {
        let id = one_line(&key.id);
        let (place, file) = match &key.place {
            Place::Config(path) => (path.join("."), &found.config.path),
            Place::Shadowed(path) => (
                format!("{} (removed: a profile counts before it)", path.join(".")),
                &found.config.path,
            ),
            Place::Profile { id, database } => (format!("profile {id}"), database),
            Place::Variable { name, file } => (format!("{name} (removed)"), file),
        };
        let file = context.layout.shorten_home(file);
        context
            .ui
            .warn(&format!("  - {}, {file}", one_line(&place)));
        context.ui.warn(&format!("  + clawkeep has it as {id}"));
    }
    for left in &found.left {
        context.ui.warn(&format!("  stays: {left}"));
    }
    if !logins.is_empty() {
        context.ui.warn(LOGINS);
    }
}

/// Says what `openclaw secrets store` keeps: its audit does not count it as plain text.
fn show_own_store(context: &Context, dir: &Path) {
    const STORED: &str = "SELECT name, kind FROM secret_store_entries WHERE kind = 'secret' AND \
        deleted_at_ms IS NULL";
    let database = shared_database(dir);
    let stored = ForeignDatabase::open(&database).and_then(|database| database.texts(STORED));
    let count = stored.map_or(0, |rows| rows.texts.len());
    if count > 0 {
        context.ui.warn(&format!(
            "  stays: {} of openclaw secrets store, in plain text in {}",
            counted(count, "secret"),
            context.layout.shorten_home(&database)
        ));
    }
}

/// Puts the keys into the vault.
fn store(
    context: &Context,
    vault: &mut UnlockedVault,
    agent: &AgentRef,
    keys: &[Plain],
) -> Result<(), Failure> {
    let is_there = |doc: &StoreDoc, key: &Plain| {
        let stored = doc.credential(&key.id);
        stored.is_some_and(|it| it.expose_secret() == Some(key.secret.expose_secret()))
    };
    let loaded = edit_store(context, vault, agent, |doc| {
        let mut after = doc.clone();
        for key in keys.iter().filter(|key| !is_there(doc, key)) {
            let make = match key.kind {
                CredentialType::Token => NewCredential::token,
                _ => NewCredential::api_key,
            };
            let new = make(key.provider.as_str(), key.secret.clone());
            let entry = entry_of(&match key.expires {
                Some(at) => new.expires(at),
                None => new,
            });
            after.set(Section::Profiles, &key.id, entry.expose_secret().clone());
        }
        Ok(Edited::to(after, Vec::new()).by("connect", Origin::Clawkeep))
    })?;
    context.verdict(loaded)
}

/// The files that change or go, as they were.
struct Copies {
    settings: Vec<(PathBuf, Vec<u8>)>,
    /// OpenClaw's own backups of its configuration that have one of the keys.
    backups: Vec<(PathBuf, Vec<u8>)>,
}

impl Copies {
    fn of(found: &Found) -> Result<Self, Failure> {
        let mut settings = Vec::new();
        let mut files: BTreeSet<&Path> = [found.config.path.as_path()].into();
        for key in &found.keys {
            if let Place::Variable { file, .. } = &key.place {
                files.insert(file);
            }
        }
        for file in files {
            if let Some(bytes) = Settings::read(file.to_owned())?.bytes {
                settings.push((file.to_owned(), bytes.to_vec()));
            }
        }
        let backups = backups(found).into_iter().filter_map(|path| {
            let bytes = fs::read(&path).ok()?;
            Some((path, bytes))
        });
        let backups = backups.collect();
        Ok(Self { settings, backups })
    }

    fn to_json(&self, keys: &[Plain], earlier: Option<&SecretJson>, is_done: bool) -> SecretJson {
        let earlier = earlier.map(SecretJson::expose_secret);
        let list = |name: &str| -> Vec<Value> {
            let list = earlier.and_then(|earlier| earlier.get(name)?.as_array().cloned());
            list.unwrap_or_default()
        };
        let (mut files, mut removed, mut all) = (list("files"), list("removed"), list("keys"));
        for (path, before) in self.settings.iter().chain(&self.backups) {
            let path = path.to_string_lossy();
            let now = fs::read(path.as_ref()).ok().filter(|_| is_done);
            let now = now.map(|bytes| BASE64.encode(&bytes));
            let known = files.iter_mut().find(|file| file["path"] == *path);
            match known {
                Some(file) => file["after"] = json!(now),
                None => files.push(json!({
                    "path": path, "before": BASE64.encode(before), "after": now,
                })),
            }
        }
        for key in keys {
            let secret = key.secret.expose_secret();
            match &key.place {
                Place::Shadowed(path) => removed.push(json!({"path": path, "value": secret})),
                Place::Variable { file, name } => removed.push(json!({
                    "file": file.to_string_lossy(), "name": name, "id": key.id,
                })),
                _ => {}
            }
            all.push(json!({"id": key.id, "secret": secret}));
        }
        SecretJson::new(json!({"files": files, "removed": removed, "keys": all}))
    }
}

/// Has OpenClaw put references into its configuration.
fn apply(
    context: &Context,
    openclaw: &OpenClaw,
    words: &[String],
    found: &Found,
) -> Result<(), Failure> {
    let has_shared = found.stores.keys().any(|path| is_shared_database(path));
    let targets: Vec<Target> = (found.keys.iter())
        .filter_map(|key| match &key.place {
            Place::Config(path) => Some(Target::Config(path.clone(), key.id.clone())),
            // Without profiles that all agents share, main gets one of its own.
            Place::Variable { .. } if !has_shared => {
                Some(Target::Profile(key.provider.clone(), key.id.clone()))
            }
            _ => None,
        })
        .collect();
    let plan = plan(words, &targets, |name| context.env.raw(name).is_some());
    let failed = |source| clawkeep::internal::platform::FileError::Io {
        action: "write",
        path: std::env::temp_dir(),
        source,
    };
    let mut file = temporary_in(&std::env::temp_dir()).map_err(failed)?;
    file.write_all(plan.to_string().as_bytes())
        .map_err(failed)?;
    openclaw.apply(file.path())
}

/// Puts references into the profiles, and profiles in the place of variables.
fn change_profiles(context: &Context, found: &Found) -> Result<(), Failure> {
    for (database, store) in &found.stores {
        let mut entries = store.expose_entries().clone();
        for key in &found.keys {
            match &key.place {
                Place::Profile { database: of, id } if of == database => {
                    let Some(entry) = entries.get_mut(id).and_then(Value::as_object_mut) else {
                        continue;
                    };
                    let field = match key.kind {
                        CredentialType::Token => "token",
                        _ => "key",
                    };
                    entry.shift_remove(field);
                    entry.insert(format!("{field}Ref"), reference(&key.id));
                }
                Place::Variable { .. } if is_shared_database(database) => {
                    let entry = json!({
                        "type": "api_key",
                        "provider": key.provider.as_str(),
                        "keyRef": reference(&key.id),
                    });
                    entries.insert(key.id.clone(), entry);
                }
                _ => {}
            }
        }
        replace(context, database, store, entries)?;
    }
    Ok(())
}

/// Replaces the profiles of a database.
fn replace(
    context: &Context,
    database: &Path,
    store: &clawkeep::internal::sync::OpenClawProfiles,
    entries: serde_json::Map<String, Value>,
) -> Result<(), Failure> {
    let database = context.layout.shorten_home(database);
    let is_wiped = store
        .replace(entries, context.clock.now().0)
        .map_err(|fault| Failure::Refused {
            what: format!("{database} was not changed: {fault}"),
            next: "Run the command again.".to_owned(),
        })?;
    if !is_wiped {
        context.ui.warn(&format!(
            "Warning: {database} may still have old keys in its free space: OpenClaw kept it busy. \
             To have it wiped, run the command again."
        ));
    }
    Ok(())
}

/// Takes keys out of the configuration and of files of variables.
fn change_files(found: &Found) -> Result<(), Failure> {
    let removed: Vec<(ConfigPath, Option<zeroize::Zeroizing<String>>)> = found
        .keys
        .iter()
        .filter_map(|key| match &key.place {
            Place::Shadowed(path) => Some((path.clone(), None)),
            _ => None,
        })
        .collect();
    if !removed.is_empty() {
        let config = Settings::read(found.config.path.clone())?;
        let text = with_values(config.text()?, &config.path, &removed)
            .map_err(|fault| damaged(&config.path, &fault.to_string()))?;
        config.replace(Some(text.as_bytes()))?;
    }
    for key in &found.keys {
        let Place::Variable { file, name } = &key.place else {
            continue;
        };
        let settings = Settings::read(file.clone())?;
        let text = settings.text()?;
        let is_other = |line: &&str| {
            let mut read = clawkeep::internal::config::dotenv_lines(line);
            !read.any(|(found, _)| found == *name)
        };
        let rest: String = text.split_inclusive('\n').filter(is_other).collect();
        let rest = zeroize::Zeroizing::new(rest);
        settings.replace(Some(rest.as_bytes()))?;
    }
    Ok(())
}

/// Has a running gateway read its keys again, checks the result and says how it stands.
fn finish(
    context: &Context,
    openclaw: &OpenClaw,
    secrets: &[&str],
    state: &str,
) -> Result<(), Failure> {
    let progress = context.ui.progress("OpenClaw reads its keys again");
    let reloaded = openclaw.reload();
    let audit = openclaw.audit(true);
    drop(progress);
    let audit = audit?;
    let left = files_with(&openclaw.dir, Depth::All, secrets);
    for file in &left {
        let file = context.layout.shorten_home(file);
        context
            .ui
            .warn(&format!("Warning: {file} still has one of the keys."));
    }
    for other in &audit.others {
        context
            .ui
            .warn(&format!("OpenClaw reports: {}", one_line(other)));
    }
    let gateway = match &reloaded {
        Ok(()) => "The running gateway has read its keys again.".to_owned(),
        Err(_) => "No running gateway answered; one reads its keys at its start.".to_owned(),
    };
    let report = json!({
        "program": program::COMMAND,
        "state": "connected",
        "plain": audit.plain.len(),
        "reported": audit.others.len(),
        "reloaded": reloaded.is_ok(),
        "filesWithKeys": left.iter().map(|path| path_text(path)).collect::<Vec<_>>(),
    });
    context.ui.done(
        &format!(
            "OpenClaw is {state}; its audit finds {} in plain text. {gateway}\nWhile clawkeep \
             watch runs, it reloads OpenClaw when a key changes. To undo: clawkeep disconnect \
             openclaw\n",
            counted(audit.plain.len(), "key")
        ),
        &report,
    )
}
