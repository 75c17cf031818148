//! Completions: commands and options from the command line itself, ids from the vault.
//!
//! The scripts of `clawkeep completions` run this program while somebody types. So it reads the
//! vault without its key, without waiting and without a trace; if that fails, it offers no ids.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::{Arg, Command, Parser as _};
use clap_complete::engine::{ArgValueCandidates, CompletionCandidate};
use clap_complete::env::{CompleteEnv, Shells};
use clawkeep::internal::audit::EventKind;
use clawkeep::internal::config::existing_agents;
use clawkeep::internal::domain::{AgentName, CredentialType, is_hidden};
use clawkeep::internal::oauth::Providers;
use clawkeep::internal::vault::Vault;

use super::args::{self, Cli};
use crate::commands::completions::{SHELLS, VARIABLE};
use crate::context::Context;

/// Completions, each with its description.
type Words = BTreeMap<String, String>;

/// Answers a shell's request for completions; `None` for an ordinary call.
pub(crate) fn answer() -> Option<ExitCode> {
    let env = CompleteEnv::with_factory(|| with_candidates(args::command()))
        .var(VARIABLE)
        .shells(Shells(&SHELLS));
    let dir = std::env::current_dir().ok();
    let asked = env.try_complete(std::env::args_os(), dir.as_deref());
    match asked.map(|is_asked| is_asked.then(|| io::stdout().flush())) {
        Ok(None) => None,
        Ok(Some(Ok(()))) => Some(ExitCode::SUCCESS),
        // a message would disturb the person who types
        Ok(Some(Err(_))) | Err(_) => Some(ExitCode::FAILURE),
    }
}

/// The command, with the possible values of its arguments.
fn with_candidates(command: Command) -> Command {
    command
        .mut_args(|arg| match candidates(&arg) {
            Some(words) => arg.add(ArgValueCandidates::new(move || offered(words()))),
            None => arg,
        })
        .mut_subcommands(with_candidates)
}

/// Where the words for an argument come from, by its name: the same one means the same thing
/// everywhere.
fn candidates(arg: &Arg) -> Option<fn() -> Words> {
    if !arg.get_possible_values().is_empty() {
        return None; // clap knows them
    }
    Some(match arg.get_id().as_str() {
        "profile" | "profile_id" | "prefer" | "id" | "ids" => profiles,
        "provider" => providers,
        "named" => names,
        "agent" => agents,
        "session" => sessions,
        "slot" => slots,
        "kind" => kinds,
        _ => return None,
    })
}

fn offered(words: Words) -> Vec<CompletionCandidate> {
    let plain = words.into_iter().filter(|(word, _)| is_plain(word));
    plain
        .map(|(word, what)| {
            let what = Some(what).filter(|what| !what.is_empty() && is_plain_text(what));
            CompletionCandidate::new(word).help(what.map(Into::into))
        })
        .collect()
}

/// Whether a shell may put a word on its line as it is. Ids come from files that others write, and
/// a shell would run what is in some of them: those can be typed, with quotes.
fn is_plain(word: &str) -> bool {
    word.starts_with(char::is_alphanumeric)
        && word
            .chars()
            .all(|c| (c.is_alphanumeric() && !is_hidden(c)) || "._:@/+-".contains(c))
}

fn is_plain_text(text: &str) -> bool {
    text.split(' ').all(is_plain)
}

fn profiles() -> Words {
    let held = glance().and_then(|(_, vault)| vault.list_credentials().ok());
    let held = held.into_iter().flatten();
    held.map(|held| {
        let kind = match held.kind {
            CredentialType::ApiKey => "API key",
            CredentialType::Token => "token",
            CredentialType::OAuth => "login",
            _ => "entry",
        };
        (held.profile, format!("{kind} of {}", held.provider))
    })
    .collect()
}

fn providers() -> Words {
    let none = String::new;
    let Some(context) = context() else {
        return Words::new();
    };
    // Unreadable settings are reported by what needs them.
    let known = context.own().ok().map(|own| Providers::new(&own.providers));
    let known: Vec<String> = known
        .iter()
        // Those that are known by their variables alone are many, and mostly not used.
        .flat_map(|known| known.ids().filter(|id| !matches!(known.get(id), Ok(None))))
        .map(ToString::to_string)
        .collect();
    let held = Vault::glance(&context.layout.vault_file).and_then(|vault| vault.list_credentials());
    let held = held.into_iter().flatten().map(|held| held.provider);
    known
        .into_iter()
        .chain(held)
        .map(|id| (id, none()))
        .collect()
}

/// What a word can name where both will do.
fn names() -> Words {
    providers().into_iter().chain(profiles()).collect()
}

fn agents() -> Words {
    let Some(context) = context() else {
        return Words::new();
    };
    let settings = context.settings().ok();
    let there = settings.and_then(|settings| existing_agents(&context.layout, settings).ok());
    let there = there.into_iter().flatten();
    let held = Vault::glance(&context.layout.vault_file).and_then(|vault| vault.list_credentials());
    let held = held.into_iter().flatten().map(|held| held.agent);
    there
        .map(|agent| agent.name.to_string())
        .chain(held)
        .map(|name| (name, String::new()))
        .collect()
}

fn sessions() -> Words {
    let Some((_, vault)) = glance() else {
        return Words::new();
    };
    // A pin is to a credential, so its agent has one.
    let held = vault.list_credentials().unwrap_or_default().into_iter();
    let agents: BTreeSet<String> = held.map(|held| held.agent).collect();
    let agents: Vec<AgentName> = agents.into_iter().map(AgentName::from_stored).collect();
    let pins = agents
        .iter()
        .flat_map(|agent| vault.unverified_pins(agent).unwrap_or_default());
    pins.map(|pin| (pin.session, pin.profile.to_string()))
        .collect()
}

fn slots() -> Words {
    let slots = glance().and_then(|(_, vault)| vault.slots().ok());
    let slots = slots.into_iter().flatten();
    slots
        .map(|slot| (slot.slot.to_string(), slot.kind))
        .collect()
}

/// Each kind of event, and each group of them.
fn kinds() -> Words {
    let names = EventKind::ALL.iter().map(|kind| kind.as_str());
    names
        .flat_map(|name| {
            let group = name.split('.').next().unwrap_or(name);
            [
                (name.to_owned(), String::new()),
                (group.to_owned(), format!("every {group} event")),
            ]
        })
        .collect()
}

fn glance() -> Option<(Context, Vault)> {
    let context = context()?;
    let vault = Vault::glance(&context.layout.vault_file).ok()?;
    Some((context, vault))
}

/// The context of the line that is being typed: the options that say which vault, as far as they
/// are there.
fn context() -> Option<Context> {
    let typed: Vec<OsString> = std::env::args_os()
        .skip_while(|word| word != "--")
        .collect();
    let mut words: Vec<OsString> = vec!["clawkeep".into()];
    for name in ["--state-dir", "--vault"] {
        let after = |at: usize| typed.get(at + 1).cloned();
        let at = typed.iter().position(|word| word == name);
        let joined = typed.iter().find_map(|word| {
            let value = word.to_str()?.strip_prefix(name)?.strip_prefix('=')?;
            Some(OsString::from(value))
        });
        if let Some(value) = joined
            .or_else(|| after(at?))
            .filter(|value| !value.is_empty())
        {
            words.extend([name.into(), value]);
        }
    }
    words.push("init".into()); // any command will do
    let cli = Cli::try_parse_from(words).ok()?;
    Context::new(&cli.global).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_on_the_command_line_is_offered() {
        fn check(command: &Command, names: &mut Vec<String>) {
            for arg in command.get_arguments() {
                let name = arg
                    .get_value_names()
                    .and_then(|names| names.first())
                    .map(ToString::to_string)
                    .unwrap_or_default();
                let wanted = ["ID", "IDS", "NAME", "SESSION", "SLOT", "KIND"];
                if wanted.contains(&name.as_str()) && arg.get_possible_values().is_empty() {
                    let path = command.get_name();
                    assert!(
                        arg.get::<ArgValueCandidates>().is_some(),
                        "{path}: {} has no candidates",
                        arg.get_id()
                    );
                    names.push(name);
                }
            }
            command.get_subcommands().for_each(|sub| check(sub, names));
        }
        let mut names = Vec::new();
        check(&with_candidates(args::command()), &mut names);
        assert!(names.len() > 30, "{names:?}");
    }

    #[test]
    fn a_word_that_a_shell_would_run_is_not_offered() {
        for word in [
            "anthropic:work",
            "openai-codex:ana@example.com",
            "3",
            "über:eins",
        ] {
            assert!(is_plain(word), "{word}");
        }
        for word in [
            "",
            "a b",
            "$(id)",
            "`id`",
            "a;id",
            "-x",
            "~",
            "a'b",
            "a\nb",
            "a\u{1b}[m",
            "!x",
            "a\u{3164}b",
            "a\u{200b}b",
        ] {
            assert!(!is_plain(word), "{word}");
        }
    }
}
