//! pi: `auth.json`, where a key that begins with `!` is a command line that prints it. Source: pi
//! 0.73.1, docs/providers.md, Key Resolution; tried.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::claude_code::parse;
use super::edited::{Connection, Edited, KeyCommand, SettingsFault, without_mark};
use crate::domain::{Owner, is_token_command};

pub(super) const CONNECTION: Connection = Connection {
    owner: Owner::Pi,
    file: "auth.json",
    provider: None,
    takes_words: false,
    connect,
    disconnect,
    command,
};

fn connect(text: &str, key: &KeyCommand<'_>) -> Result<Edited, SettingsFault> {
    let mut after = parse(text)?;
    let line = format!("!{}", key.words.join(" "));
    let entry = serde_json::json!({"type": "api_key", "key": line});
    let old = after.insert(key.provider.to_owned(), entry.clone());
    let is_ours = |old: &Value| command_of(old).is_some();
    let mut lines: Vec<String> = Vec::new();
    if let Some(old) = &old {
        let kind = old.get("type").and_then(Value::as_str).unwrap_or("entry");
        let kind = kind.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "?");
        lines.push(format!("- \"{}\": {kind} (hidden)", key.provider));
    }
    lines.push(format!("+ \"{}\": {entry}", key.provider));
    // What was there, by its provider.
    let previous = old.filter(|old| !is_ours(old)).map(|old| {
        let by_provider: Map<String, Value> =
            [(key.provider.to_owned(), old)].into_iter().collect();
        Value::Object(by_provider).to_string()
    });
    Ok(Edited {
        text: rewritten(text, &after)?,
        previous,
        lines,
    })
}

fn disconnect(text: &str, previous: Option<&str>) -> Result<Edited, SettingsFault> {
    let mut after = parse(text)?;
    let previous: Map<String, Value> = previous
        .and_then(|previous| serde_json::from_str(previous).ok())
        .unwrap_or_default();
    let ours: Vec<String> = after
        .iter()
        .filter(|(_, entry)| command_of(entry).is_some())
        .map(|(provider, _)| provider.clone())
        .collect();
    let mut lines = Vec::new();
    for provider in ours {
        lines.push(format!("- \"{provider}\": the command of clawkeep"));
        match previous.get(&provider) {
            Some(old) => {
                lines.push(format!("+ \"{provider}\": what was there (hidden)"));
                after.insert(provider, old.clone());
            }
            None => drop(after.shift_remove(&provider)),
        }
    }
    Ok(Edited {
        text: rewritten(text, &after)?,
        previous: None,
        lines,
    })
}

/// The text with other entries; the layout of the others stays.
fn rewritten(text: &str, after: &Map<String, Value>) -> Result<Zeroizing<String>, SettingsFault> {
    let unchangeable = SettingsFault::Unchangeable("something else in it would change");
    let before = parse(text)?;
    let edit = || -> Option<String> {
        if without_mark(text).trim().is_empty() {
            return serde_json::to_string_pretty(after)
                .ok()
                .map(|text| text + "\n");
        }
        let root = CstRootNode::parse(without_mark(text), &ParseOptions::default()).ok()?;
        let object = root.object_value()?;
        for (name, value) in after
            .iter()
            .filter(|(name, value)| before.get(*name) != Some(value))
        {
            let value = input(value);
            match object.get(name) {
                Some(property) => property.set_value(value),
                None => drop(object.append(name, value)),
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            object.get(name)?.remove();
        }
        Some(root.to_string())
    };
    let edited = Zeroizing::new(edit().ok_or_else(|| unchangeable.clone())?);
    match parse(&edited)? == *after {
        true => Ok(edited),
        false => Err(unchangeable),
    }
}

fn input(value: &Value) -> CstInputValue {
    match value {
        Value::Null => CstInputValue::Null,
        Value::Bool(value) => CstInputValue::Bool(*value),
        Value::Number(value) => CstInputValue::Number(value.to_string()),
        Value::String(value) => CstInputValue::String(value.clone()),
        Value::Array(values) => CstInputValue::Array(values.iter().map(input).collect()),
        Value::Object(fields) => {
            let fields = fields
                .iter()
                .map(|(name, value)| (name.clone(), input(value)));
            CstInputValue::Object(fields.collect())
        }
    }
}

fn command_of(entry: &Value) -> Option<&str> {
    let line = entry.get("key")?.as_str()?.strip_prefix('!')?;
    is_token_command(line).then_some(line)
}

fn command(text: &str) -> Result<Option<String>, SettingsFault> {
    Ok(parse(text)?
        .values()
        .find_map(command_of)
        .map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_gives_its_place_to_a_command_and_comes_back() {
        let words = ["/bin/clawkeep", "token", "-q", "--profile", "openai:a"].map(str::to_owned);
        let key = KeyCommand {
            provider: "openai",
            words: &words,
        };
        for text in [
            "",
            "{\n  \"openai\": {\"type\": \"api_key\", \"key\": \"sk-secret\"},\n  \
             \"x\": {\"type\": \"oauth\", \"expires\": 5}\n}\n",
            "{\"x\": {\"type\": \"api_key\", \"key\": \"!pass show x\"}}",
        ] {
            let edited = connect(text, &key).unwrap();
            let found = command(&edited.text).unwrap().unwrap();
            assert_eq!(found, words.join(" "));
            assert!(
                !edited.lines.join("\n").contains("sk-secret"),
                "{:?}",
                edited.lines
            );
            let again = connect(&edited.text, &key).unwrap();
            assert_eq!((&again.text, again.previous), (&edited.text, None));
            let back = disconnect(&edited.text, edited.previous.as_deref()).unwrap();
            assert_eq!(parse(&back.text).unwrap(), parse(text).unwrap(), "{text}");
            assert_eq!(command(&back.text).unwrap(), None);
        }
        assert!(connect("[]", &key).is_err());
    }
}
