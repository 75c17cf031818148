//! `discover`: the credentials of AI programs on this machine, whichever program keeps them.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use crate::advice::{own_login, shell_path};
use clap::Args;
use clawkeep::internal::discover::{
    AdviceContext, Discovered, Found, InVault, Kept, TakeIn, VaultSecrets, discover,
};
use clawkeep::internal::domain::{CredentialType, Owner, UnixMs, path_text, shell_quoted_path};
use clawkeep::internal::platform::harden;
use clawkeep::internal::vault::VaultError;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::options::ids::typed_provider;
use crate::options::provider::mistyped;
use crate::terminal::table::table;
use crate::terminal::text::one_line;

/// Which files are read, and which are not.
const FILES: &str = "the gateway's stores, ~/.env, and those of OpenClaw, Claude Code, Codex CLI, \
    Gemini CLI, Qwen Code, opencode, pi, Crush, Goose, aider, llm, Continue, GitHub Copilot, \
    mcp-remote and Anthropic's SDKs in their usual directories; not the .env of projects";

/// Find the credentials that AI programs keep on this machine
#[derive(Debug, Args)]
#[command(
    after_help = format!("Examples:\n  clawkeep discover\n  clawkeep discover --json | jq \
        '.credentials[] | select(.inVault != \"yes\")'\n\nThese files are read, and never \
        changed: {FILES}. No secret is printed. The vault's copy is compared if there is a vault \
        that opens.")
)]
pub(crate) struct Discover {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A credential with what is known of it beside its file.
struct Row<'f> {
    credential: &'f Discovered,
    in_vault: Option<InVault>,
    /// The other places of the same secret.
    same: Vec<&'f Discovered>,
    /// How it gets into the vault.
    take_in: Option<TakeIn>,
    /// The command that does that, if there is one.
    command: Option<String>,
}

impl Discover {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        harden(); // the files hold secrets
        let found = discover(&context.layout, &context.env);
        let rows = rows(context, &found, self.json);
        if self.json {
            return context.ui.json(&to_json(&rows, &found));
        }
        for skipped in &found.skipped {
            context.ui.note(&format!(
                "Warning: {} of {} was skipped: {}.",
                context.layout.shorten_home(&skipped.path),
                skipped.owner.program(),
                one_line(&skipped.why)
            ));
        }
        context.ui.answer(&to_text(context, &rows, &found))
    }
}

/// Where `absolute`, paths in commands are whole.
fn rows<'f>(context: &Context, found: &'f Found, absolute: bool) -> Vec<Row<'f>> {
    let vault = match context.unlocked_to_read() {
        Ok(vault) => Some(vault),
        Err(Failure::Vault(VaultError::Absent { .. })) => None,
        Err(failure) => {
            context.ui.warn(&format!(
                "Warning: the vault cannot be compared: {}.",
                one_line(&failure.lines().join(" "))
            ));
            None
        }
    };
    let secrets = vault.as_ref().map(VaultSecrets::of);
    let secrets = secrets.and_then(|secrets| {
        let warn = |error: &VaultError| {
            let why = one_line(&error.to_string());
            let text = format!("Warning: the vault cannot be compared: {why}.");
            context.ui.warn(&text);
        };
        secrets.inspect_err(warn).ok()
    });
    let shared = found.shared_secrets();
    let places = shared.iter();
    let places = places.flat_map(|places| places.iter().map(move |index| (*index, places)));
    let places: HashMap<usize, &Vec<usize>> = places.collect();
    let take_in = found.take_in(&AdviceContext {
        vault: secrets.as_ref(),
        accepts: &|name| is_accepted(context, name),
    });
    let shown_path = |path: &Path| match absolute {
        true => shell_quoted_path(path),
        false => shell_path(&context.layout, path),
    };
    let row = |((index, credential), take_in): ((usize, &'f Discovered), Option<TakeIn>)| {
        let same = places.get(&index);
        let same = same
            .into_iter()
            .copied()
            .flatten()
            .filter(|other| **other != index);
        Row {
            credential,
            in_vault: secrets
                .as_ref()
                .and_then(|secrets| secrets.find(credential)),
            same: same.map(|other| &found.credentials[*other]).collect(),
            command: (take_in.as_ref()).and_then(|how| take_in_command(how, shown_path)),
            take_in,
        }
    };
    let all = found.credentials.iter().enumerate();
    all.zip(take_in).map(row).collect()
}

/// The command that takes a credential in; `None` if a person has to name the provider.
fn take_in_command(how: &TakeIn, shown_path: impl Fn(&Path) -> String) -> Option<String> {
    Some(match how {
        TakeIn::Import(path) => format!("clawkeep import {}", shown_path(path)),
        TakeIn::Sync => "clawkeep sync".to_owned(),
        TakeIn::OwnLogin(owner) => own_login(*owner),
        TakeIn::Add { provider, id: None } => format!("clawkeep add {provider}"),
        TakeIn::Add {
            provider,
            id: Some(id),
        } => format!("clawkeep add {provider} --id {id}"),
        TakeIn::UnknownProvider => return None,
    })
}

/// Whether `add` takes the name of a provider without a question.
fn is_accepted(context: &Context, name: &str) -> bool {
    // What a shell takes as it is.
    let is_plain = name.starts_with(|first: char| first.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|letter| letter.is_ascii_alphanumeric() || "-_.".contains(letter));
    let typed = typed_provider(name).ok().filter(|_| is_plain);
    typed.is_some_and(|provider| mistyped(context, &provider).is_none())
}

fn to_text(context: &Context, rows: &[Row<'_>], found: &Found) -> String {
    if rows.is_empty() && !found.skipped.is_empty() {
        return "No credential was found in the files that can be read.\n".to_owned();
    }
    if rows.is_empty() {
        return format!(
            "No credential was found on this machine.\n\nThese files are read: {FILES}.\n"
        );
    }
    let now = context.clock.now();
    let short = |path: &Path| one_line(&context.layout.shorten_home(path));
    let cells: Vec<[String; 8]> = rows
        .iter()
        .map(|row| {
            let found = row.credential;
            let expires = found.expires.map(|at| UnixMs::from_ms(at.floor_ms()));
            [
                found.program.name.to_owned(),
                one_line(&found.name),
                found
                    .account
                    .as_deref()
                    .map_or_else(|| "-".to_owned(), one_line),
                match found.is_for_server {
                    true => "mcp".to_owned(),
                    false => found.kind.as_str().to_owned(),
                },
                expires.map_or_else(|| "-".to_owned(), |at| (at - now).from_now()),
                row.in_vault.map_or("-", InVault::as_str).to_owned(),
                found.kept.as_str().to_owned(),
                short(&found.path),
            ]
        })
        .collect();
    let header = [
        "PROGRAM", "NAME", "ACCOUNT", "TYPE", "EXPIRES", "VAULT", "KEPT", "FILE",
    ];
    let mut text = table(header, &cells, context.ui.width());
    let mut notes = Vec::new();
    let mut open: Vec<&Path> = Vec::new();
    for row in rows {
        let path = &*row.credential.path;
        if row.credential.is_open() && !open.contains(&path) {
            open.push(path);
        }
    }
    notes.extend(open.into_iter().map(|path| {
        format!(
            "Other users can read {}: chmod 600 {}",
            short(path),
            shell_path(&context.layout, path)
        )
    }));
    notes.extend(found.shared_secrets().into_iter().map(|places| {
        let places = places
            .iter()
            .map(|index| short(&found.credentials[*index].path));
        let places: Vec<String> = places.collect();
        format!("The same secret is in {}.", places.join(", "))
    }));
    for row in rows {
        if let Some(at) = row.credential.login_expires {
            notes.push(format!(
                "The login of {} expires {}.",
                row.credential.program.name,
                (UnixMs::from_ms(at.floor_ms()) - now).from_now()
            ));
        }
    }
    if !notes.is_empty() {
        text.push_str(&format!("\n{}\n", notes.join("\n")));
    }
    text + &take_in_text(rows) + &connect_text(rows)
}

/// The commands that take in what the vault lacks, each once.
fn take_in_text(rows: &[Row<'_>]) -> String {
    let mut commands: Vec<(String, Vec<&str>)> = Vec::new();
    let mut unknown: Vec<String> = Vec::new();
    for row in rows {
        let program = row.credential.program.name;
        if row.take_in == Some(TakeIn::UnknownProvider) {
            unknown.push(format!("{} ({program})", one_line(&row.credential.name)));
        }
        let Some(command) = &row.command else {
            continue;
        };
        match commands.iter_mut().find(|(known, _)| known == command) {
            Some((_, programs)) if programs.contains(&program) => {}
            Some((_, programs)) => programs.push(program),
            None => commands.push((command.clone(), vec![program])),
        }
    }
    let unknown = match unknown.is_empty() {
        true => String::new(),
        false => format!(
            "\nThe name does not say which provider the key is for: {}. Add it with the provider \
             and an id of its own: clawkeep add PROVIDER --id PROVIDER:NAME\n",
            unknown.join(", ")
        ),
    };
    if commands.is_empty() {
        return unknown;
    }
    let longest = commands
        .iter()
        .map(|(command, _)| command.chars().count())
        .max();
    let width = longest.unwrap_or_default();
    let lines = commands
        .iter()
        .map(|(command, programs)| format!("  {command:<width$}  {}\n", programs.join(", ")));
    format!(
        "\nTo take them into the vault:\n{}{unknown}",
        lines.collect::<String>()
    )
}

/// The commands that make programs with plain keys ask clawkeep for them.
fn connect_text(rows: &[Row<'_>]) -> String {
    let has_plain_key = |owner: Owner| {
        rows.iter().any(|row| {
            let found = row.credential;
            let is_key = found.kind != CredentialType::OAuth && !found.is_login();
            found.program.owner == owner && found.kept == Kept::Plain && is_key
        })
    };
    let known = [(Owner::OpenClaw, "openclaw"), (Owner::Pi, "pi")];
    let lines: String = known
        .into_iter()
        .filter(|(owner, _)| has_plain_key(*owner))
        .map(|(owner, name)| format!("  clawkeep connect {name:<8}  {}\n", owner.program()))
        .collect();
    match lines.is_empty() {
        true => lines,
        false => format!("\nTo make a program ask clawkeep for its keys:\n{lines}"),
    }
}

fn to_json(rows: &[Row<'_>], found: &Found) -> Value {
    let credentials: Vec<Value> = rows.iter().map(row_json).collect();
    let skipped: Vec<Value> = found
        .skipped
        .iter()
        .map(|skipped| {
            json!({
                "program": skipped.owner.as_str(),
                "path": path_text(&skipped.path),
                "why": skipped.why,
            })
        })
        .collect();
    json!({"credentials": credentials, "skipped": skipped})
}

fn row_json(row: &Row<'_>) -> Value {
    let found = row.credential;
    let at = |expiry: Option<clawkeep::internal::domain::Expiry>| expiry.map(|at| at.floor_ms());
    let mode = found
        .permissions
        .map(|permissions| format!("{:04o}", permissions.mode));
    let same: Vec<_> = row
        .same
        .iter()
        .map(|other| path_text(&other.path))
        .collect();
    let fields: BTreeMap<&str, Value> = BTreeMap::from([
        ("program", json!(found.program.id)),
        ("name", json!(found.name)),
        ("provider", json!(found.provider)),
        ("account", json!(found.account)),
        ("type", json!(found.kind.as_str())),
        ("forMcpServer", json!(found.is_for_server)),
        ("expiresAt", json!(at(found.expires))),
        ("loginExpiresAt", json!(at(found.login_expires))),
        (
            "refreshedBy",
            json!(found.refreshed_by().map(|owner| owner.as_str())),
        ),
        ("path", json!(path_text(&found.path))),
        ("kept", json!(found.kept.as_str())),
        ("mode", json!(mode)),
        ("readableByOthers", json!(found.is_open())),
        ("inVault", json!(row.in_vault.map(InVault::as_str))),
        ("sameSecretIn", json!(same)),
        ("takeIn", json!(row.command)),
    ]);
    json!(fields)
}
