//! Claude Code: `apiKeyHelper` in `settings.json`, a command line that prints an API key. Source:
//! Claude Code's documentation, Settings.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstInputValue, CstRootNode};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::edited::{Connection, Edited, KeyCommand, SettingsFault, shown_value, without_mark};
use crate::domain::{Owner, is_token_command};

pub(super) const CONNECTION: Connection = Connection {
    owner: Owner::ClaudeCode,
    file: "settings.json",
    provider: Some("anthropic"),
    takes_words: false,
    connect,
    disconnect,
    command,
};

/// The setting with the command line.
const HELPER: &str = "apiKeyHelper";

pub(super) fn parse(text: &str) -> Result<Map<String, Value>, SettingsFault> {
    let text = without_mark(text);
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    // The message of the parser may repeat what it found.
    let fault = |error: serde_json::Error| {
        SettingsFault::Unreadable(format!("no JSON, line {}", error.line()))
    };
    serde_json::from_str(text).map_err(fault)
}

fn connect(text: &str, key: &KeyCommand<'_>) -> Result<Edited, SettingsFault> {
    let line = key.words.join(" ");
    let before = parse(text)?;
    let previous = before
        .get(HELPER)
        .and_then(Value::as_str)
        .filter(|old| *old != line);
    let previous = previous.map(str::to_owned);
    let mut lines: Vec<String> = Vec::new();
    lines.extend(
        previous
            .as_deref()
            .map(|old| format!("- \"{HELPER}\": {}", shown_value(old))),
    );
    lines.push(format!("+ \"{HELPER}\": {}", Value::from(line.as_str())));
    let text = with_helper(text, &before, Some(&line))?;
    Ok(Edited {
        text,
        previous,
        lines,
    })
}

fn disconnect(text: &str, previous: Option<&str>) -> Result<Edited, SettingsFault> {
    let before = parse(text)?;
    let now = before
        .get(HELPER)
        .and_then(Value::as_str)
        .unwrap_or_default();
    let mut lines = vec![format!("- \"{HELPER}\": {}", shown_value(now))];
    lines.extend(previous.map(|old| format!("+ \"{HELPER}\": {}", shown_value(old))));
    let text = with_helper(text, &before, previous)?;
    Ok(Edited {
        text,
        previous: None,
        lines,
    })
}

/// The text with another command line, or none, and nothing else changed.
fn with_helper(
    text: &str,
    before: &Map<String, Value>,
    line: Option<&str>,
) -> Result<Zeroizing<String>, SettingsFault> {
    let mut wanted = before.clone();
    match line {
        Some(line) => drop(wanted.insert(HELPER.to_owned(), line.into())),
        None => drop(wanted.remove(HELPER)),
    }
    let unchangeable = SettingsFault::Unchangeable("something else in it would change");
    let edited = match without_mark(text).trim() {
        "" => serde_json::to_string_pretty(&wanted)
            .map(|text| text + "\n")
            .ok(),
        _ => rewritten(text, line),
    };
    let edited = Zeroizing::new(edited.ok_or_else(|| unchangeable.clone())?);
    match parse(&edited)? == wanted {
        true => Ok(edited),
        false => Err(unchangeable),
    }
}

fn rewritten(text: &str, line: Option<&str>) -> Option<String> {
    let root = CstRootNode::parse(without_mark(text), &ParseOptions::default()).ok()?;
    let object = root.object_value()?;
    let value = line.map(|line| CstInputValue::String(line.to_owned()));
    match (object.get(HELPER), value) {
        (Some(property), Some(value)) => property.set_value(value),
        (Some(property), None) => property.remove(),
        (None, Some(value)) => drop(object.append(HELPER, value)),
        (None, None) => {}
    }
    Some(root.to_string())
}

fn command(text: &str) -> Result<Option<String>, SettingsFault> {
    let settings = parse(text)?;
    let line = settings
        .get(HELPER)
        .and_then(Value::as_str)
        .unwrap_or_default();
    Ok(is_token_command(line).then(|| line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words() -> Vec<String> {
        ["/bin/clawkeep", "token", "-q", "--profile", "anthropic:a"]
            .map(str::to_owned)
            .into()
    }

    fn key(words: &[String]) -> KeyCommand<'_> {
        let provider = "anthropic";
        KeyCommand { provider, words }
    }

    #[test]
    fn the_layout_stays_and_comes_back() {
        for text in [
            "{}",
            "{\n  \"model\": \"opus\",\n  \"env\": {\"A\": \"sk-secret\"}\n}\n",
            "{\"model\":\"opus\"}",
        ] {
            let edited = connect(text, &key(&words())).unwrap();
            assert_eq!(
                command(&edited.text).unwrap(),
                Some(words().join(" ")),
                "{text}"
            );
            assert!(!edited.lines.join("\n").contains("sk-secret"));
            let back = disconnect(&edited.text, None).unwrap();
            assert_eq!(parse(&back.text), parse(text), "{text}");
        }
        let text = "{\n  \"apiKeyHelper\": \"echo sk-ant-api03-abcdefghijklmnopqrstuvw\"\n}\n";
        let edited = connect(text, &key(&words())).unwrap();
        assert!(edited.lines[0].contains("hidden"), "{:?}", edited.lines);
        let back = disconnect(&edited.text, edited.previous.as_deref()).unwrap();
        assert_eq!(*back.text, text);
        assert_eq!(command(text).unwrap(), None);
    }

    #[test]
    fn no_settings_become_settings_and_damaged_ones_stay() {
        let edited = connect("", &key(&words())).unwrap();
        assert_eq!(command(&edited.text).unwrap(), Some(words().join(" ")));
        for text in ["{\"a\": \"sk-secret\"", "[]", "{// comment\n}"] {
            let fault = connect(text, &key(&words())).unwrap_err().to_string();
            assert!(
                fault.contains("cannot be read") && !fault.contains("sk-secret"),
                "{fault}"
            );
        }
    }
}
