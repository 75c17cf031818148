//! `config get|set|unset|list|edit|path`: the settings in `clawkeep.toml`.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use clawkeep::internal::config::{
    OWN_DEFAULTS, OwnSettings, OwnSettingsError, SETTINGS_MAX, is_own_setting, list_own_settings,
    own_setting, with_own_setting, without_own_setting,
};
use clawkeep::internal::domain::path_text;
use clawkeep::internal::platform::{
    FileError, create_private_dir, keep_all_from_children, persist, persist_noclobber,
    program_command, read_regular, resolve_link, sync_dir, sync_file, temporary_dir_in,
    temporary_in,
};
use serde_json::{Map, Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::options::named::mistypes;
use crate::terminal::text::one_line;
use crate::terminal::{prompt, signals};

/// The editor where no variable names one. Source: POSIX, crontab and others.
const EDITOR: &str = if cfg!(windows) { "notepad" } else { "vi" };

/// Exit status of `config get` for a setting that is not set, also where JSON reports it.
const UNSET: u8 = 1;
/// How many rejected texts of `config edit` are kept.
const REJECTED_MAX: u32 = 1000;
/// Settings that are named without a path.
const OWN: [&str; 6] = [
    "retention",
    "expiring_within",
    "heads",
    "fallback",
    "export",
    "trusted",
];

/// Read and change the settings in clawkeep.toml.
#[derive(Debug, Subcommand)]
#[command(
    after_help = "Examples:\n  clawkeep config list\n  clawkeep config set retention 400d\n\nThe \
        settings are described in docs/settings.md."
)]
pub(crate) enum Config {
    /// Print one setting
    #[command(after_help = "Example:\n  clawkeep config get retention")]
    Get(Get),
    /// Change one setting; one that is not valid changes nothing
    #[command(
        after_help = "Examples:\n  clawkeep config set retention 400d\n  clawkeep config set \
            agents.ops.export file\n  clawkeep config set trusted '[\"uid:1000\"]'   a list"
    )]
    Set(Set),
    /// Go back to the default of a setting
    #[command(after_help = "Example:\n  clawkeep config unset retention")]
    Unset(Unset),
    /// Print what is set
    #[command(
        after_help = "Examples:\n  clawkeep config list\n  clawkeep config list --all   with \
        the defaults\n  clawkeep config list --json"
    )]
    List(List),
    /// Edit the file; what is not valid changes nothing
    #[command(after_help = "Example:\n  clawkeep config edit   with $VISUAL or $EDITOR")]
    Edit(Edit),
    /// Print the path of the file
    #[command(after_help = "Example:\n  clawkeep config path")]
    Path(ShowPath),
}

/// `get`
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The setting: retention, agents.ops.export
    #[arg(value_name = "KEY")]
    key: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `set`
#[derive(Debug, Args)]
pub(crate) struct Set {
    /// The setting: retention, agents.ops.export
    #[arg(value_name = "KEY")]
    key: String,
    /// Its value: a word, a number, true, or a value in TOML
    #[arg(value_name = "VALUE", allow_hyphen_values = true)]
    value: String,
}

/// `unset`
#[derive(Debug, Args)]
pub(crate) struct Unset {
    /// The setting, or a part of the settings: retention, agents.ops
    #[arg(value_name = "KEY")]
    key: String,
}

/// `list`
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Also print the settings that are not set, with their defaults
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// `edit`
#[derive(Debug, Args)]
pub(crate) struct Edit {}

/// `path`
#[derive(Debug, Args)]
pub(crate) struct ShowPath {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Config {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let path = &context.layout.settings_file;
        match self {
            Self::Get(command) => command.run(context, path),
            Self::Set(command) => command.run(context, path),
            Self::Unset(command) => command.run(context, path),
            Self::List(command) => command.run(context, path),
            Self::Edit(_) => edit(context, path),
            Self::Path(command) => command.run(context, path),
        }
    }
}

impl Get {
    fn run(self, context: &Context, path: &Path) -> Result<(), Failure> {
        check_known(&self.key)?;
        let found = own_setting(path, &OwnSettings::text(path)?, &self.key)?;
        let value = found
            .map(|(key, value)| listed_value(&key, &value))
            .transpose()?;
        if self.json {
            let is_set = value.is_some();
            context.ui.json(&json!({"key": self.key, "value": value}))?;
            return match is_set {
                true => Ok(()),
                false => Err(Failure::Check(UNSET)),
            };
        }
        match value {
            Some(value) => context.ui.answer(&format!("{}\n", shown(&value))),
            None => Err(Failure::Refused {
                what: format!(
                    "{} is not set in {}",
                    one_line(&self.key),
                    context.layout.shorten_home(path)
                ),
                next: "See every setting with its default: clawkeep config list --all".to_owned(),
            }),
        }
    }
}

impl Set {
    fn run(self, context: &Context, path: &Path) -> Result<(), Failure> {
        let before = OwnSettings::text(path)?;
        let is_valid = list_own_settings(path, &before).is_ok();
        let after = with_own_setting(path, &before, &self.key, &self.value);
        let after = after.map_err(|error| match error {
            OwnSettingsError::Invalid { what, .. } if is_valid => {
                let example = match what.contains("expected a sequence") {
                    true if self.key.ends_with("trusted") => {
                        "; a list is typed as '[\"uid:1000\"]'".to_owned()
                    }
                    true => "; a list is typed as '[\"FIRST\", \"SECOND\"]'".to_owned(),
                    false => String::new(),
                };
                let fault = format!("nothing was changed: {what}{example}");
                check_known(&self.key)
                    .err()
                    .unwrap_or(Failure::BadArgument(fault))
            }
            other => other.into(),
        })?;
        let set = own_setting(path, &after, &self.key)?.map(|(key, _)| key);
        let is_set = |(key, _): &(String, _)| {
            let below = set.as_ref().and_then(|set| key.strip_prefix(set.as_str()));
            below.is_some_and(|below| below.is_empty() || below.starts_with('.'))
        };
        let is_address = |key: &str| key.starts_with("notify.webhook.") && key.ends_with(".url");
        let mut changed = list_own_settings(path, &after)?.into_iter().filter(is_set);
        if let Some((key, _)) = changed.find(|(key, _)| is_address(key)) {
            return Err(Failure::BadArgument(format!(
                "the address of a webhook is a secret, and arguments are visible to others: set \
                 {}_file to a file with the address, or use clawkeep config edit",
                one_line(&key)
            )));
        }
        write(path, &before, &after)?;
        let text = format!(
            "Set {} in {}\n",
            one_line(&self.key),
            context.layout.shorten_home(path)
        );
        context
            .ui
            .done(&text, &json!({"key": self.key, "path": path_text(path)}))
    }
}

impl Unset {
    fn run(self, context: &Context, path: &Path) -> Result<(), Failure> {
        let before = OwnSettings::text(path)?;
        let after = without_own_setting(path, &before, &self.key);
        if !matches!(after, Ok(Some(_))) {
            check_known(&self.key)?; // one that is set there, though unknown, can be removed
        }
        let after = after?;
        if let Some(after) = &after {
            write(path, &before, after)?;
        }
        let file = context.layout.shorten_home(path);
        let key = one_line(&self.key);
        let text = match after {
            Some(_) => format!("Unset {key} in {file}\n"),
            None => format!("{key} is not set in {file}\n"),
        };
        let answer = json!({
            "key": self.key,
            "path": path_text(path),
            "changed": after.is_some(),
        });
        context.ui.done(&text, &answer)
    }
}

/// Refuses a setting that does not exist.
fn check_known(key: &str) -> Result<(), Failure> {
    match is_own_setting(key) {
        true => Ok(()),
        false => {
            let near = OWN
                .iter()
                .filter_map(|own| Some((mistypes(own, key)?, own)));
            let next = near.min().map_or_else(
                || "see docs/settings.md".to_owned(),
                |(_, near)| format!("did you mean {near}?"),
            );
            let what = format!("there is no setting {}; {next}", one_line(key));
            Err(Failure::BadArgument(what))
        }
    }
}

impl List {
    fn run(self, context: &Context, path: &Path) -> Result<(), Failure> {
        let settings = list_own_settings(path, &OwnSettings::text(path)?)?;
        let mut listed = Map::new();
        for (key, value) in &settings {
            listed.insert(key.clone(), listed_value(key, value)?);
        }
        if self.json {
            let mut answer = json!({
                "path": path_text(path).into_owned(),
                "settings": listed,
            });
            if self.all {
                let defaults = OWN_DEFAULTS.map(|(key, default)| {
                    let default = default.ok().map(default_value);
                    (key.to_owned(), json!(default))
                });
                answer["defaults"] = Value::Object(Map::from_iter(defaults));
            }
            return context.ui.json(&answer);
        }
        if listed.is_empty() && !self.all {
            let file = context.layout.shorten_home(path);
            let note = format!("Nothing is set in {file}: the defaults apply.");
            context.ui.note(&note);
        }
        let mut lines: Vec<String> = listed
            .iter()
            .map(|(key, value)| format!("{} = {}\n", one_line(key), shown(value)))
            .collect();
        let unset = OWN_DEFAULTS
            .into_iter()
            .filter(|(key, _)| self.all && !listed.contains_key(*key));
        lines.extend(unset.map(|(key, default)| match default {
            Ok(value) => format!("{key} = {value} (default)\n"),
            Err(meaning) => format!("{key} is not set: {meaning}\n"),
        }));
        lines.sort();
        context.ui.answer(&lines.concat())
    }
}

impl ShowPath {
    fn run(self, context: &Context, path: &Path) -> Result<(), Failure> {
        let text = path_text(path).into_owned();
        match self.json {
            true => context.ui.json(&json!({"path": text})),
            false => context.ui.answer(&format!("{}\n", one_line(&text))),
        }
    }
}

/// A default as JSON: a text, unless it is a truth value or a list.
fn default_value(written: &str) -> Value {
    serde_json::from_str(written).unwrap_or_else(|_| Value::from(written))
}

/// Settings of alerts that hold no secret. Addresses and commands may have a password in them.
const SHOWN_OF_ALERTS: [&str; 7] = [
    "ahead",
    "desktop",
    "format",
    "overdue",
    "repeat",
    "token_file",
    "url_file",
];

/// A value of a list, without what may be a secret.
fn listed_value(key: &str, value: &impl serde::Serialize) -> Result<Value, Failure> {
    let value = as_json(value)?;
    Ok(match key.split('.').next() == Some("notify") {
        true => without_secrets(key.rsplit('.').next().unwrap_or_default(), value),
        false => value,
    })
}

fn without_secrets(name: &str, value: Value) -> Value {
    match value {
        Value::Object(below) => {
            let below = below.into_iter().map(|(name, value)| {
                let value = without_secrets(&name, value);
                (name, value)
            });
            Value::Object(below.collect())
        }
        value if SHOWN_OF_ALERTS.contains(&name) => value,
        _ => Value::from("(set)"),
    }
}

fn as_json(value: &impl serde::Serialize) -> Result<Value, Failure> {
    serde_json::to_value(value).map_err(|error| Failure::Output(error.into()))
}

/// A value as people read it: a text without quotes.
fn shown(value: &Value) -> String {
    let text = value.as_str().map(str::to_owned);
    one_line(&text.unwrap_or_else(|| value.to_string()))
}

/// Replaces the settings at once, unless another program changed them meanwhile.
fn write(path: &Path, before: &str, after: &str) -> Result<(), Failure> {
    let (real, dir) = place(path)?;
    let failed = failed(&real);
    let mut file = temporary_in(&dir).map_err(&failed)?;
    file.write_all(after.as_bytes()).map_err(&failed)?;
    sync_file(file.as_file()).map_err(&failed)?;
    if OwnSettings::text(path)? != before {
        return Err(Failure::Refused {
            what: "another program changed the settings meanwhile".to_owned(),
            next: "Run the command again.".to_owned(),
        });
    }
    persist(file, &real).map_err(&failed)?;
    Ok(sync_dir(&dir)?)
}

/// The file behind a link, and its directory, which is made if it is not there.
fn place(path: &Path) -> Result<(PathBuf, PathBuf), Failure> {
    let real = resolve_link(path)?;
    let dir = real.parent().unwrap_or(Path::new(".")).to_owned();
    create_private_dir(&dir)?;
    Ok((real, dir))
}

fn failed(path: &Path) -> impl Fn(io::Error) -> Failure {
    let path = path.to_owned();
    move |source| {
        Failure::File(FileError::Io {
            action: "write",
            path: path.clone(),
            source,
        })
    }
}

/// Has a person edit a copy of the settings, which takes their place once it is valid.
fn edit(context: &Context, path: &Path) -> Result<(), Failure> {
    // also where it is not valid: that is why somebody edits it
    let before = OwnSettings::text(path)?;
    let (real, dir) = place(path)?;
    let mut text = before.clone();
    loop {
        let after = edited(context, (&real, &dir), &text)?;
        let file = context.layout.shorten_home(path);
        let answer = |is_changed| json!({"path": path_text(path), "changed": is_changed});
        if after == before {
            context.ui.note("Nothing was changed.");
            return context.ui.done("", &answer(false));
        }
        if after.trim().is_empty() {
            return Err(Failure::Refused {
                what: format!("the editor left nothing of the settings; {file} stays as it was"),
                next: "To go back to the defaults, remove that file.".to_owned(),
            });
        }
        let keep = || keep_typed(context, (&real, &dir), &after);
        let Err(error) = list_own_settings(path, &after) else {
            write(path, &before, &after).inspect_err(|_| keep())?;
            return context.ui.done(&format!("Changed {file}\n"), &answer(true));
        };
        let failure = Failure::from(error);
        if !prompt::is_possible() {
            keep();
            return Err(failure);
        }
        context.ui.error(&failure.lines().join(" "));
        if !prompt::confirm("Edit it again?", true).unwrap_or(false) {
            keep();
            return Err(failure);
        }
        text = after;
    }
}

/// Keeps what a person typed and does not become the settings, and says where.
fn keep_typed(context: &Context, place: (&Path, &Path), text: &str) {
    let file = context.layout.shorten_home(place.0);
    context.ui.warn(&match keep(place, text) {
        Ok(kept) => format!(
            "Warning: the settings are unchanged. What you typed is kept in {}: correct it there, \
             and put it in the place of {file}.",
            context.layout.shorten_home(&kept),
        ),
        Err(error) => format!(
            "Warning: the settings are unchanged, and what you typed could not be kept: {}.",
            error.lines().join(" ")
        ),
    });
}

/// Keeps what a person typed in a file of its own, which only they can read.
fn keep((real, dir): (&Path, &Path), text: &str) -> Result<PathBuf, Failure> {
    let failed = failed(real);
    let name = real.file_name().unwrap_or_default().to_string_lossy();
    for n in 1..=REJECTED_MAX {
        let kept = dir.join(format!("{name}.rejected-{n}"));
        let mut file = temporary_in(dir).map_err(&failed)?;
        file.write_all(text.as_bytes()).map_err(&failed)?;
        sync_file(file.as_file()).map_err(&failed)?;
        match persist_noclobber(file, &kept) {
            Ok(()) => return Ok(kept),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
    Err(failed(io::ErrorKind::AlreadyExists.into()))
}

/// Has a person edit the text in a private directory, which is removed before a signal takes
/// effect; empty where the editor left no file.
fn edited(context: &Context, (real, dir): (&Path, &Path), text: &str) -> Result<String, Failure> {
    let _held = signals::hold();
    let private = temporary_dir_in(dir).map_err(failed(real))?;
    let copy = private.path().join("clawkeep.toml");
    let read = || Ok::<_, Failure>(read_regular(&copy, SETTINGS_MAX)?);
    let after = fs::write(&copy, text)
        .map_err(failed(real))
        .and_then(|()| run_editor(context, &copy))
        .and_then(|()| read())
        .inspect_err(|_| {
            if let Ok(Some(typed)) = read()
                && typed.bytes.as_slice() != text.as_bytes()
                && !typed.bytes.is_empty()
            {
                let typed = String::from_utf8_lossy(&typed.bytes);
                keep_typed(context, (real, dir), &typed);
            }
        });
    if let Err(error) = private.close() {
        let copy = context.layout.shorten_home(&copy);
        let warning = format!("Warning: the copy {copy} could not be removed: {error}.");
        context.ui.warn(&warning);
    }
    let bytes = after?.map(|contents| contents.bytes).unwrap_or_default();
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Runs the person's editor, and waits for it.
fn run_editor(context: &Context, file: &Path) -> Result<(), Failure> {
    let named = ["VISUAL", "EDITOR"];
    let editor = named.iter().find_map(|name| context.env.trimmed(name));
    if editor.is_none() && !prompt::is_possible() {
        return Err(Failure::BadArgument(
            "there is no terminal to edit on; name a program in EDITOR, or use clawkeep config set"
                .to_owned(),
        ));
    }
    let mut words = editor.unwrap_or(EDITOR).split_whitespace();
    let program = OsString::from(words.next().unwrap_or(EDITOR));
    let refused = |why: String| Failure::Refused {
        what: format!("the editor {} failed: {why}", path_shown(&program)),
        next: "Name another one in EDITOR.".to_owned(),
    };
    let command = program_command(&program, |name| context.env.raw(name));
    let mut command = command.map_err(|error| refused(error.to_string()))?;
    context.withhold_keys(&mut command);
    keep_all_from_children();
    command.args(words).arg(file);
    let run = || signals::wait_for_program(&mut command);
    let status = context.mask.put_back_for(run);
    match status.map_err(|error| refused(error.to_string()))? {
        status if status.success() => Ok(()),
        status => Err(refused(status.to_string())),
    }
}

fn path_shown(program: &OsString) -> String {
    one_line(&PathBuf::from(program).to_string_lossy())
}
