//! Codex: a provider of its own in `config.toml` whose key comes from a command. Source: Codex's
//! documentation, Config reference, `model_providers.<id>.auth`; tried with Codex CLI 0.171.0.

use toml::Table as Parsed;
use toml_edit::{Array, DocumentMut, Item, Table, Value, value};
use zeroize::Zeroizing;

use super::edited::{Connection, Edited, KeyCommand, SettingsFault, shown_value, without_mark};
use crate::domain::Owner;

pub(super) const CONNECTION: Connection = Connection {
    owner: Owner::CodexCli,
    file: "config.toml",
    provider: Some("openai"),
    takes_words: true,
    connect,
    disconnect,
    command,
};

/// The id of the provider that is added.
const ID: &str = "openai-by-clawkeep";
/// Which provider is used.
const CHOSEN: &str = "model_provider";
const PROVIDERS: &str = "model_providers";
/// Where requests go unless `openai_base_url` names another address.
const BASE_URL: &str = "https://api.openai.com/v1";

fn parse(text: &str) -> Result<DocumentMut, SettingsFault> {
    // Its message names a place and what is expected; the text around it may be secret.
    let fault = |error: toml_edit::TomlError| SettingsFault::Unreadable(error.message().to_owned());
    without_mark(text).parse().map_err(fault)
}

fn parsed(text: &str) -> Result<Parsed, SettingsFault> {
    let fault = |error: toml::de::Error| SettingsFault::Unreadable(error.message().to_owned());
    without_mark(text).parse().map_err(fault)
}

fn connect(text: &str, key: &KeyCommand<'_>) -> Result<Edited, SettingsFault> {
    let words = key.words;
    let mut doc = parse(text)?;
    let base_url = doc.get("openai_base_url").and_then(Item::as_str);
    let base_url = base_url.unwrap_or(BASE_URL).to_owned();
    let (program, arguments) = words
        .split_first()
        .ok_or(SettingsFault::Unchangeable("no command is named"))?;
    let mut auth = Table::new();
    auth.insert("command", value(program.as_str()));
    let arguments: Array = arguments.iter().map(String::as_str).collect();
    auth.insert("args", value(arguments));
    let mut ours = Table::new();
    ours.insert("name", value("OpenAI"));
    ours.insert("base_url", value(base_url));
    ours.insert("wire_api", value("responses"));
    ours.insert("auth", Item::Table(auth));
    let previous = doc
        .get(CHOSEN)
        .and_then(Item::as_str)
        .filter(|chosen| *chosen != ID);
    let previous = previous.map(str::to_owned);
    let lines = lines_of(&ours, previous.as_deref());
    let providers = doc.entry(PROVIDERS).or_insert_with(|| {
        let mut table = Table::new();
        table.set_implicit(true);
        Item::Table(table)
    });
    let providers = providers.as_table_mut().ok_or(SettingsFault::Unchangeable(
        "model_providers is not a table with a header",
    ))?;
    providers.insert(ID, Item::Table(ours));
    choose(&mut doc, Some(ID));
    let edited = doc.to_string();
    // What else is there must be the same to the parser that the program's own is like.
    let mut wanted = parsed(text)?;
    let mut now = parsed(&edited)?;
    let is_ours = command_in(&now).as_deref() == Some(words);
    take_out(&mut wanted);
    take_out(&mut now);
    checked(edited, is_ours && wanted == now, previous, lines)
}

fn disconnect(text: &str, previous: Option<&str>) -> Result<Edited, SettingsFault> {
    let mut doc = parse(text)?;
    let is_chosen = doc.get(CHOSEN).and_then(Item::as_str) == Some(ID);
    let mut lines = vec![format!("- [{PROVIDERS}.{ID}]")];
    if is_chosen {
        lines.insert(0, format!("- {CHOSEN} = \"{ID}\""));
        lines.extend(previous.map(|previous| format!("+ {CHOSEN} = {}", shown_value(previous))));
        choose(&mut doc, previous);
    }
    if let Some(providers) = doc.get_mut(PROVIDERS).and_then(Item::as_table_mut) {
        providers.remove(ID);
        if providers.is_empty() && providers.is_implicit() {
            doc.remove(PROVIDERS);
        }
    }
    let edited = doc.to_string();
    let (mut wanted, mut now) = (parsed(text)?, parsed(&edited)?);
    let is_gone = command_in(&now).is_none();
    take_out(&mut wanted);
    take_out(&mut now);
    checked(edited, is_gone && wanted == now, None, lines)
}

fn checked(
    text: String,
    is_right: bool,
    previous: Option<String>,
    lines: Vec<String>,
) -> Result<Edited, SettingsFault> {
    if !is_right {
        return Err(SettingsFault::Unchangeable(
            "something else in it would change",
        ));
    }
    let text = Zeroizing::new(text);
    Ok(Edited {
        text,
        previous,
        lines,
    })
}

/// Sets which provider is used; the comment beside it stays.
fn choose(doc: &mut DocumentMut, id: Option<&str>) {
    match (doc.get_mut(CHOSEN).and_then(Item::as_value_mut), id) {
        (Some(old), Some(id)) => {
            let decor = old.decor().clone();
            *old = Value::from(id);
            *old.decor_mut() = decor;
        }
        (None, Some(id)) => drop(doc.insert(CHOSEN, value(id))),
        (_, None) => drop(doc.remove(CHOSEN)),
    }
}

/// Takes out what connecting changes.
fn take_out(settings: &mut Parsed) {
    settings.remove(CHOSEN);
    if let Some(toml::Value::Table(providers)) = settings.get_mut(PROVIDERS) {
        providers.remove(ID);
        if providers.is_empty() {
            settings.remove(PROVIDERS);
        }
    }
}

fn lines_of(ours: &Table, previous: Option<&str>) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    lines.extend(previous.map(|previous| format!("- {CHOSEN} = {}", shown_value(previous))));
    lines.push(format!("+ {CHOSEN} = \"{ID}\""));
    let mut table = |header: &str, table: &Table| {
        lines.push(format!("+ [{header}]"));
        let fields = table.iter().filter(|(_, item)| item.is_value());
        lines.extend(fields.map(|(name, item)| format!("+ {name} = {}", item.to_string().trim())));
    };
    table(&format!("{PROVIDERS}.{ID}"), ours);
    if let Some(auth) = ours.get("auth").and_then(Item::as_table) {
        table(&format!("{PROVIDERS}.{ID}.auth"), auth);
    }
    lines
}

fn command(text: &str) -> Result<Option<String>, SettingsFault> {
    Ok(command_in(&parsed(text)?).map(|words| words.join(" ")))
}

fn command_in(settings: &Parsed) -> Option<Vec<String>> {
    settings
        .get(CHOSEN)
        .filter(|chosen| chosen.as_str() == Some(ID))?;
    let auth = settings.get(PROVIDERS)?.get(ID)?.get("auth")?;
    let program = auth.get("command")?.as_str()?.to_owned();
    let arguments = auth.get("args")?.as_array()?.iter();
    let arguments = arguments.map(|word| word.as_str().map(str::to_owned));
    [Some(program)].into_iter().chain(arguments).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<String> {
        ["/bin/clawkeep", "token", "-q", "--provider", "openai"]
            .map(str::to_owned)
            .into()
    }

    fn key(words: &[String]) -> KeyCommand<'_> {
        let provider = "openai";
        KeyCommand { provider, words }
    }

    #[test]
    fn comments_and_layout_stay() {
        let text = "# mine\nmodel = \"gpt-5\"  # the best\nmodel_provider = \"proxy\" # for now\n\n\
                    [model_providers.proxy] # ours\nname = \"Proxy\"\nbase_url = \"http://[::1]/v1\"\n\
                    experimental_bearer_token = \"sk-secret\"\n\n[tui]\nnotifications = true\n";
        let edited = connect(text, &key(&words())).unwrap();
        assert_eq!(edited.previous.as_deref(), Some("proxy"));
        assert_eq!(command(&edited.text).unwrap(), Some(words().join(" ")));
        for kept in [
            "# mine",
            "# the best",
            "# for now",
            "# ours",
            "notifications = true",
        ] {
            assert!(edited.text.contains(kept), "{kept} in {}", *edited.text);
        }
        assert_eq!(edited.lines[0], "- model_provider = \"proxy\"");
        assert!(!edited.lines.join("\n").contains("sk-secret"));
        let back = disconnect(&edited.text, Some("proxy")).unwrap();
        assert_eq!(*back.text, text);
        // Again, with another command: no second provider, and the first value is not forgotten.
        let again = connect(&edited.text, &key(&words())).unwrap();
        assert_eq!((&again.text, again.previous), (&edited.text, None));
    }

    #[test]
    fn settings_of_every_kind_become_what_they_were() {
        for text in [
            "",
            "# only a comment\n",
            "model = \"x\"\n",
            "[tui]\na = 1\n",
            "\u{feff}model = \"x\"\n",
            "openai_base_url = \"http://127.0.0.1:9/v1\"\n",
            "[model_providers.x]\nname = \"x\"\n[projects.\"/a\"]\ntrust_level = \"trusted\"\n",
        ] {
            let edited = connect(text, &key(&words())).unwrap();
            assert!(edited.text.contains("openai-by-clawkeep"), "{text}");
            let back = disconnect(&edited.text, None).unwrap();
            assert_eq!(back.text.trim(), without_mark(text).trim(), "{text}");
            assert_eq!(command(text).unwrap(), None);
        }
        let moved = connect(
            "openai_base_url = \"http://127.0.0.1:9/v1\"\n",
            &key(&words()),
        )
        .unwrap();
        assert!(
            moved.text.contains("base_url = \"http://127.0.0.1:9/v1\""),
            "{}",
            *moved.text
        );
    }

    #[test]
    fn damaged_settings_are_refused_without_repeating_them() {
        for text in [
            "a = ",
            "token = \"sk-secret",
            "model_providers = {x = {name = \"x\"}}\n",
        ] {
            let fault = connect(text, &key(&words())).unwrap_err().to_string();
            assert!(!fault.contains("sk-secret"), "{fault}");
        }
    }
}
