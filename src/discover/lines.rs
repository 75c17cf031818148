//! Credentials in files of lines: variables, and the YAML in which programs list models.

use secrecy::SecretString;
use zeroize::Zeroizing;

use super::entry::{Entry, is_reference};
use crate::config::{dotenv_lines, provider_of_variable};
use crate::domain::{CredentialType, normalize_provider, recognise_secret};

/// What a line of variables has.
pub(super) enum Line {
    /// A credential.
    Entry(Box<Entry>),
    /// The name of another file of variables.
    File(String),
}

/// The settings of programs that have a provider and its key as their value, in capitals.
const PAIRS: [&str; 2] = ["API_KEY", "SET_ENV"];

/// Reads lines of variables. In a list `- name=value` counts as a line. The setting `files`, in
/// capitals, names another file of variables.
pub(super) fn read_lines(text: &str, files: Option<&str>) -> Vec<Line> {
    let lines = text.lines().map(|line| {
        let line = line.trim();
        line.strip_prefix("- ").unwrap_or(line)
    });
    let plain = Zeroizing::new(lines.collect::<Vec<_>>().join("\n"));
    let mut read = Vec::new();
    for (name, value) in dotenv_lines(&plain) {
        let capitals = in_capitals(&name);
        if files == Some(&*capitals) {
            read.push(Line::File(value.to_string()));
            continue;
        }
        let pair = value
            .split_once('=')
            .filter(|_| PAIRS.contains(&&*capitals));
        let entry = match pair {
            Some((name, value)) => keyed(name, value),
            None => variable(&name, &value).or_else(|| keyed(&name, &value)),
        };
        read.extend(entry.map(Box::new).map(Line::Entry));
    }
    read
}

/// The name of a variable, as a setting of a program has it: `openai-api-key`.
fn in_capitals(name: &str) -> String {
    name.to_ascii_uppercase().replace('-', "_")
}

/// The credential in a variable, if it is one.
pub(super) fn variable(name: &str, value: &str) -> Option<Entry> {
    let value = value.trim();
    let recognised = recognise_secret(value);
    let by_name = provider_of_variable(&in_capitals(name));
    let by_secret = recognised.and_then(|known| known.provider);
    let provider = by_name.or_else(|| by_secret.map(str::to_owned))?;
    let kind = recognised.and_then(|known| known.kind);
    key(name, Some(provider), value, kind)
}

/// The key of a provider that a setting names by itself: `gemini=…`, of a value that begins as the
/// secrets of providers do.
fn keyed(name: &str, value: &str) -> Option<Entry> {
    let recognised = recognise_secret(value)?;
    let provider = recognised.provider.map(str::to_owned);
    let provider = provider.or_else(|| Some(normalize_provider(name)));
    key(name, provider, value, recognised.kind)
}

fn key(
    name: &str,
    provider: Option<String>,
    value: &str,
    kind: Option<CredentialType>,
) -> Option<Entry> {
    Some(Entry {
        name: name.to_owned(),
        provider,
        is_for_server: false,
        account: None,
        kind: kind.unwrap_or(CredentialType::ApiKey),
        expires: None,
        login_expires: None,
        is_reference: is_reference(value)?,
        secret: SecretString::from(value),
        refresh: None,
    })
}

/// Reads the keys of a list of models in YAML: a line `apiKey: …`, with the `provider` and the
/// `name` of the same item.
pub(super) fn read_models(text: &str) -> Vec<Entry> {
    #[derive(Default)]
    struct Item {
        indent: usize,
        name: Option<String>,
        provider: Option<String>,
        key: Option<String>,
    }
    impl Item {
        fn end(&mut self, read: &mut Vec<Entry>) {
            if let Some(value) = self.key.take() {
                let provider = self.provider.take();
                let name = self.name.take().or_else(|| provider.clone());
                read.extend(key(&name.unwrap_or_default(), provider, &value, None));
            }
            *self = Self::default();
        }
    }
    let mut read = Vec::new();
    let mut item = Item::default();
    for line in text.lines() {
        let indent = line.len() - line.trim_start().len();
        let begins = line.trim_start().starts_with("- ") && indent <= item.indent;
        if begins || (indent == 0 && !line.trim().is_empty()) {
            item.end(&mut read);
        }
        if line.trim_start().starts_with("- ") && item.name.is_none() && item.key.is_none() {
            item.indent = indent;
        }
        let plain = line.trim_start().trim_start_matches("- ");
        for (name, value) in dotenv_lines(plain) {
            let slot = match name.as_str() {
                "name" | "title" => &mut item.name,
                "provider" => &mut item.provider,
                "apiKey" => &mut item.key,
                _ => continue,
            };
            slot.get_or_insert_with(|| value.to_string());
        }
    }
    item.end(&mut read);
    read
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    fn shown(entry: &Entry) -> String {
        let secret = match entry.is_reference {
            true => "reference",
            false => entry.secret.expose_secret(),
        };
        let provider = entry.provider.as_deref().unwrap_or("-");
        format!("{} {provider} {} {secret}", entry.name, entry.kind.as_str())
    }

    #[test]
    fn variables_are_credentials_by_their_names_or_by_what_they_hold() {
        let text = "# aider\nopenai-api-key: sk-one\nanthropic-api-key: sk-ant-api03-two\n\
            model: gpt-5\napi-key:\n  - gemini=AIzaThree0\n  - openrouter=sk-or-v1-four\n\
            env-file: ~/keys.env\nexport GROQ_API_KEY='gsk_five'\nEDITOR=vim\n\
            DEEPSEEK_API_KEY=sk-six\nMY_SECRET=hunter2\nXAI_API_KEY=${XAI}\n\
            WHATEVER=sk-ant-oat01-seven\nOPENAI_API_KEY=\n";
        let mut files = Vec::new();
        let read: Vec<String> = read_lines(text, Some("ENV_FILE"))
            .into_iter()
            .filter_map(|line| match line {
                Line::Entry(entry) => Some(shown(&entry)),
                Line::File(file) => {
                    files.push(file);
                    None
                }
            })
            .collect();
        assert_eq!(
            read,
            [
                "openai-api-key openai api_key sk-one",
                "anthropic-api-key anthropic api_key sk-ant-api03-two",
                "gemini google api_key AIzaThree0",
                "openrouter openrouter api_key sk-or-v1-four",
                "GROQ_API_KEY groq api_key gsk_five",
                "DEEPSEEK_API_KEY deepseek api_key sk-six",
                "XAI_API_KEY xai api_key reference",
                "WHATEVER anthropic token sk-ant-oat01-seven",
            ]
        );
        assert_eq!(files, ["~/keys.env"]);
    }

    #[test]
    fn the_keys_of_models_have_their_own_provider() {
        let text = "name: mine\nmodels:\n  - name: Sonnet\n    provider: anthropic\n    \
            apiKey: sk-ant-api03-a\n    roles:\n      - chat\n  - provider: openai\n    \
            apiKey: \"sk-b\"\n    name: GPT\n  - name: free\n    provider: ollama\n  \
            - name: hub\n    provider: x\n    apiKey: ${{ secrets.X }}\nrules:\n  - be kind\n";
        let read: Vec<String> = read_models(text).iter().map(shown).collect();
        assert_eq!(
            read,
            [
                "Sonnet anthropic api_key sk-ant-api03-a",
                "GPT openai api_key sk-b",
                "hub x api_key reference",
            ]
        );
    }
}
