//! `connect`: sets a program up to get its key from clawkeep, shows the change first, keeps a copy,
//! and checks that it works.

pub(crate) mod asked_key;
mod consent;
pub(crate) mod disconnect;
pub(crate) mod kept;
pub(crate) mod openclaw;
mod settings;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use crate::advice::shell_word;
use clap::Args;
use clawkeep::internal::config::{CONNECTIONS, Connection, Edited, KeyCommand};
use clawkeep::internal::domain::{
    Borrowed, Credential, CredentialType, ProfileId, ProviderId, counted, path_text,
};
use clawkeep::internal::platform::{canonicalize, output_within, program_command};
use clawkeep::internal::sync::Edited as StoreEdit;
use clawkeep::internal::sync::import::ImportFile;
use clawkeep::internal::vault::UnlockedVault;
use serde_json::{Value, json};

use self::asked_key::{Keyless, asked_profile, keyless_programs, missing_key};
use self::consent::confirm;
use self::kept::Kept;
use self::settings::{Connectable, Settings, damaged, find, name, unreadable};
use crate::commands::auth::edit::edit_store;
use crate::commands::auth::paste::profile_id;
use crate::commands::monitor::unattended::program::stored_program;
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::terminal::table::table;
use crate::terminal::text::{one_line, shown_ids};

/// How long the command that a program will run may take.
const CHECK_MAX: Duration = Duration::from_secs(20);
/// The longest answer of that command, in bytes.
const ANSWER_MAX: usize = 64 << 10;

/// Set a program up to get its API key from clawkeep.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep connect               what can be connected, and how each \
        stands\n  clawkeep connect codex --yes   Codex gets the key by a command in \
        config.toml\n\nIt shows the change and asks first. A copy of the settings is kept, sealed \
        with the vault's key; clawkeep disconnect restores it. Logins are not handed out this way: \
        clawkeep run anthropic -- claude\n\nOpenClaw: all its plain keys move into the vault; \
        clawkeep disconnect openclaw writes them back."
)]
pub(crate) struct Connect {
    /// The program; if left out, all that can be connected are listed
    #[arg(value_name = "PROGRAM")]
    program: Option<String>,
    /// The API key to hand out [default: the next one of the program's provider]
    #[arg(long, value_name = "ID", value_parser = profile_id, requires = "program")]
    id: Option<ProfileId>,
    /// Do not ask first
    #[arg(long, requires = "program")]
    yes: bool,
    #[command(flatten)]
    agent: AgentOption,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Connect {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        match &self.program {
            None => list(context, self.json),
            Some(word) => match find(word)? {
                Connectable::OpenClaw if self.id.is_some() => Err(Failure::BadArgument(
                    "OpenClaw gets every key that it has now; --id is for programs with one key"
                        .to_owned(),
                )),
                Connectable::OpenClaw => openclaw::connect(context, &self.agent, self.yes),
                Connectable::Settings(connection) => self.connect(context, connection),
            },
        }
    }

    fn connect(&self, context: &Context, connection: &'static Connection) -> Result<(), Failure> {
        let owner = connection.owner;
        let mut vault = context.unlocked()?;
        let settings = Settings::read(Settings::path(context, connection))?;
        // Without an id, a program that takes keys of any provider keeps the one that it has.
        let asked = settings.command(connection).ok().flatten();
        let asked = asked.filter(|_| self.id.is_none() && connection.provider.is_none());
        let asked = asked.as_deref().and_then(asked_profile);
        let id = self.id.clone().or(asked);
        let (provider, words) = self.words(context, &mut vault, (connection, id.as_ref()))?;
        let line: Vec<String> = match connection.takes_words {
            true => words.clone(),
            false => words.iter().map(|word| quoted(word)).collect(),
        };
        let fault = |fault: clawkeep::internal::config::SettingsFault| {
            damaged(&settings.path, &fault.to_string())
        };
        let key = KeyCommand {
            provider: provider.as_str(),
            words: &line,
        };
        let edited = (connection.connect)(settings.text()?, &key).map_err(fault)?;
        let is_same = settings.text()? == edited.text.as_str();
        if is_same {
            check(&words)?;
            release_keys(context, &mut vault, &settings.path)?;
            return self.answer(context, connection, "connected already");
        }
        show(context, &settings, &edited);
        confirm(self.yes, &format!("Connect {}?", owner.program()))?;
        // What an earlier change keeps is older, and what a person wants back.
        let earlier = kept::read(context, &vault, owner)?.and_then(|copy| Kept::from_json(&copy));
        let is_ours = |kept: &Kept| Some(&kept.after) == settings.bytes.as_ref();
        let earlier = earlier.filter(is_ours);
        let (before, previous) = match earlier {
            Some(earlier) => (earlier.before, earlier.previous),
            None => (settings.bytes.clone(), edited.previous.clone()),
        };
        let after = edited.text.as_bytes().to_vec().into();
        let copy = Kept {
            before,
            after,
            previous,
        };
        kept::keep(context, &vault, owner, &copy.to_json())?;
        settings.replace(Some(edited.text.as_bytes()))?;
        if let Err(failure) = check(&words) {
            // The program would have no key: it keeps what it had.
            let written = Settings::read(settings.path.clone())?;
            if written.bytes.as_ref() == Some(&copy.after) {
                written.replace(settings.bytes.as_ref().map(|bytes| bytes.as_slice()))?;
            }
            return Err(failure);
        }
        release_keys(context, &mut vault, &settings.path)?;
        self.answer(context, connection, "connected")
    }

    /// The command that prints the key.
    fn words(
        &self,
        context: &Context,
        vault: &mut UnlockedVault,
        (connection, id): (&Connection, Option<&ProfileId>),
    ) -> Result<(ProviderId, Vec<String>), Failure> {
        let agent = self.agent.resolve(context)?;
        let loaded = context.load_silently(vault, &agent)?;
        let is_key = |credential: &Credential<'_>| credential.kind == CredentialType::ApiKey;
        let named = |id: &str| {
            let credential = loaded.doc.credential(id).filter(is_key)?;
            Some(ProviderId::new(credential.provider))
        };
        let provider = connection.provider.map(ProviderId::new);
        let of_any = || {
            let mut keys = loaded.doc.credentials().filter(|(_, it)| is_key(it));
            let only = keys.next().filter(|_| keys.next().is_none())?;
            Some(ProviderId::new(only.1.provider))
        };
        let provider = match (provider, id) {
            (Some(provider), _) => provider,
            (None, Some(id)) => {
                named(id.as_str()).unwrap_or_else(|| ProviderId::new("any provider"))
            }
            (None, None) => of_any().ok_or_else(|| {
                let keys = loaded.doc.credentials().filter(|(_, it)| is_key(it));
                let keys: Vec<&str> = keys.map(|(id, _)| id).collect();
                Failure::Refused {
                    what: format!("the vault has {}", counted(keys.len(), "API key")),
                    next: match keys.is_empty() {
                        true => "Add one: clawkeep add".to_owned(),
                        false => format!("Name one with --id: {}", shown_ids(keys)),
                    },
                }
            })?,
        };
        let keys: Vec<&str> = (loaded.doc.credentials())
            .filter(|(_, credential)| credential.is_for(provider.as_str()) && is_key(credential))
            .map(|(id, _)| id)
            .collect();
        let refused = |what: String, next: String| Failure::Refused { what, next };
        if let Some(id) = id
            && !keys.contains(&id.as_str())
        {
            return Err(refused(
                format!(
                    "{} is no API key of {provider} in the vault",
                    one_line(id.as_str())
                ),
                format!("The keys: {}", shown_ids(keys)),
            ));
        }
        let key = match (id, keys.as_slice()) {
            (Some(id), _) => Some(id.as_str()),
            (None, []) => {
                let login = connection.owner.mirror().map(|mirror| mirror.provider);
                let login = login.unwrap_or_else(|| provider.as_str());
                let run = format!("clawkeep run {login} -- {}", name(connection.owner));
                return Err(refused(
                    format!("the vault has no API key of {provider}"),
                    format!("Add one: clawkeep add {provider}. For a login: {run}"),
                ));
            }
            (None, [only]) if !connection.takes_words => Some(*only),
            (None, _) if !connection.takes_words => {
                return Err(refused(
                    format!(
                        "the vault has {} of {provider}",
                        counted(keys.len(), "API key")
                    ),
                    format!("Name one with --id: {}", shown_ids(keys)),
                ));
            }
            (None, _) => None,
        };
        let program = stored_program(context.env.raw("PATH"))?;
        let program = program.to_str().map(str::to_owned).ok_or_else(|| {
            refused(
                "the path of clawkeep is not UTF-8, as the settings need it".to_owned(),
                "Install clawkeep in another directory.".to_owned(),
            )
        })?;
        let mut words = vec![program, "token".to_owned(), "-q".to_owned()];
        match key {
            Some(id) => words.extend(["--profile", id, "--strict"].map(str::to_owned)),
            None => words.extend(["--provider", provider.as_str()].map(str::to_owned)),
        }
        if self.agent.is_named() {
            words.extend(["--agent", agent.name.as_str()].map(str::to_owned));
        }
        Ok((provider, words))
    }

    fn answer(
        &self,
        context: &Context,
        connection: &'static Connection,
        state: &str,
    ) -> Result<(), Failure> {
        let owner = connection.owner;
        if self.json {
            return context.ui.json(&row(context, connection, None).json());
        }
        context.ui.answer(&format!(
            "{} is {state}: the command that it runs printed a key.\nTo undo: clawkeep disconnect \
             {}\n",
            owner.program(),
            name(owner)
        ))
    }
}

/// Makes the keys clawkeep's own that were imported from settings which now ask clawkeep for them.
fn release_keys(
    context: &Context,
    vault: &mut UnlockedVault,
    settings: &Path,
) -> Result<(), Failure> {
    let Some(bytes) = Settings::read(settings.to_owned())?.bytes else {
        return Ok(());
    };
    let Ok(file) = ImportFile::understand(&bytes, SystemTime::UNIX_EPOCH) else {
        return Ok(()); // settings without credentials
    };
    let real = canonicalize(settings).unwrap_or_else(|_| settings.to_owned());
    let paths = [path_text(settings), path_text(&real)];
    for agent in context.every_agent(vault)? {
        let state = vault.agent(&agent.name)?;
        let is_key = |id: &str| {
            let credential = state.doc.credential(id);
            credential.is_some_and(|it| it.kind == CredentialType::ApiKey)
        };
        let released = state.borrowed.iter().filter(|(id, from)| {
            file.from_clawkeep().contains(id) && paths.iter().any(|it| **it == from.path)
        });
        let released: Vec<(ProfileId, Option<Borrowed>)> = released
            .filter(|(id, _)| is_key(id))
            .map(|(id, _)| (ProfileId::new(id), None))
            .collect();
        if !released.is_empty() {
            edit_store(context, vault, &agent, |_| {
                Ok(StoreEdit::nothing().lending(released.clone(), Vec::new()))
            })?;
        }
    }
    Ok(())
}

/// Shows a change of settings before it is made.
fn show(context: &Context, settings: &Settings, edited: &Edited) {
    let path = context.layout.shorten_home(&settings.path);
    let link = match settings.real == settings.path {
        true => String::new(),
        false => format!(
            ", a link to {}",
            context.layout.shorten_home(&settings.real)
        ),
    };
    context.ui.warn(&format!("{path}{link}:"));
    for line in &edited.lines {
        context.ui.warn(&format!("  {line}"));
    }
}

/// A word of a command line, in quotes only where a shell needs them.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:@+".contains(c);
    match word.chars().all(is_plain) {
        true => word.to_owned(),
        false => shell_word(word),
    }
}

/// Runs the command as the program will, without a terminal; its answer is a key.
fn check(words: &[String]) -> Result<(), Failure> {
    let refused = |why: String| Failure::Refused {
        what: format!("the settings are as they were: {why}"),
        next: format!("Run it to see why: {} >/dev/null", words.join(" ")),
    };
    let (program, arguments) = words.split_first().ok_or_else(|| refused(String::new()))?;
    let mut command = Command::new(program);
    command.args(arguments);
    let answer = output_within(command, ANSWER_MAX, CHECK_MAX)
        .map_err(|fault| refused(format!("the command failed, because {fault}")))?;
    match answer.status.success() && !answer.bytes.trim_ascii().is_empty() {
        true => Ok(()),
        false => Err(refused(format!(
            "the command printed no key ({})",
            answer.status
        ))),
    }
}

/// How a program stands.
struct Row {
    connection: &'static Connection,
    is_installed: bool,
    path: PathBuf,
    /// Why it gets no key, as far as that is known.
    keyless: Option<Keyless>,
    /// The command by which it gets its key, or why that is not known.
    command: Result<Option<String>, String>,
}

impl Row {
    fn state(&self) -> &'static str {
        match (&self.command, self.is_installed) {
            (Err(_), _) => "settings cannot be read",
            (Ok(Some(_)), _) if self.keyless.is_some() => "connected, no key",
            (Ok(Some(_)), _) => "connected",
            (Ok(None), true) => "not connected",
            (Ok(None), false) => "not connected, not on the PATH",
        }
    }

    /// The state in JSON.
    fn json_state(&self) -> &'static str {
        match (&self.command, self.is_installed) {
            (Err(_), _) => "settings-cannot-be-read",
            (Ok(Some(_)), _) if self.keyless.is_some() => "no-key",
            (Ok(Some(_)), _) => "connected",
            (Ok(None), true) => "not-connected",
            (Ok(None), false) => "not-found",
        }
    }

    fn json(&self) -> Value {
        json!({
            "program": name(self.connection.owner),
            "state": self.json_state(),
            "settings": path_text(&self.path),
            "command": self.command.as_ref().ok(),
            "why": self.command.as_ref().err(),
            "fix": self.keyless.as_ref().map(|keyless| &keyless.fix),
        })
    }
}

fn row(context: &Context, connection: &'static Connection, vault: Option<&UnlockedVault>) -> Row {
    let path = Settings::path(context, connection);
    let command = Settings::read(path.clone())
        .and_then(|settings| (settings.command(connection)).map_err(|why| unreadable(&path, &why)))
        .map_err(|failure| failure.lines().join(" "));
    let keyless = match (vault, &command) {
        (Some(vault), Ok(Some(line))) => missing_key(context, vault, connection, line),
        _ => Ok(None),
    };
    let program = name(connection.owner).as_ref();
    Row {
        connection,
        is_installed: program_command(program, |name| context.env.raw(name)).is_ok(),
        path,
        keyless: keyless.ok().flatten(),
        command,
    }
}

fn list(context: &Context, is_json: bool) -> Result<(), Failure> {
    let vault = context.unlocked_if_unasked();
    let rows: Vec<Row> = CONNECTIONS
        .iter()
        .map(|known| row(context, known, vault.as_ref()))
        .collect();
    let openclaw = openclaw::standing(context);
    if is_json {
        let programs = rows.iter().map(Row::json).chain([openclaw.json()]);
        let programs: Vec<Value> = programs.collect();
        return context.ui.json(&json!({"programs": programs}));
    }
    let mut cells: Vec<[String; 3]> = rows
        .iter()
        .map(|row| {
            let word = name(row.connection.owner).to_owned();
            [
                word,
                row.state().to_owned(),
                one_line(&context.layout.shorten_home(&row.path)),
            ]
        })
        .collect();
    cells.push(openclaw.cells(context));
    for why in rows.iter().filter_map(|row| row.command.as_ref().err()) {
        context.ui.warn(&format!("Warning: {why}"));
    }
    let keyless = vault.map(|vault| keyless_programs(context, &vault));
    for keyless in keyless.transpose()?.unwrap_or_default() {
        context.ui.warn(&keyless.warning());
    }
    let text = table(["PROGRAM", "STATE", "SETTINGS"], &cells, context.ui.width());
    context.ui.answer(&format!(
        "{text}\nTo connect one: clawkeep connect PROGRAM. Other programs: docs/guide/connect.md\n"
    ))
}
