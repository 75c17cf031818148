//! The gateway's JSON5 configuration, changes to it, and our own settings.

use std::path::Path;

use serde_json::{Map, Value, json};

use crate::config::{
    Address, Channel, ConfigEdit, ConfigError, OwnSettings, Settings, dotenv_lines, edited,
    expected_in, parse_value,
};
use crate::domain::{CredentialType, ProfileId, ProviderId, UnixMs, normalize_provider};

const PATH: &str = "/s/moltbot.json";
/// Deepest nesting of JSON that `serde_json` reads, which is ours too.
const LEVELS: usize = 128;

/// JSON is read as JSON; what is not valid is refused with its place; settings are fit to be used.
pub fn config(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let value = parse_value(&text, Path::new(PATH));
    if let Ok(json) = serde_json::from_str::<Value>(&text) {
        let value = value.as_ref().expect("JSON is JSON5");
        assert!(is_same(value, &json), "JSON was read as something else");
    }
    match &value {
        Ok(value) => assert!(depth(value) <= LEVELS),
        Err(
            ConfigError::Syntax { line, column, .. } | ConfigError::TooDeep { line, column, .. },
        ) => {
            assert!(*line >= 1 && *line <= text.chars().count() + 1 && *column >= 1);
        }
        Err(_) => unreachable!("no file is read"),
    }
    if let Ok(settings) = Settings::parse(&text, Path::new(PATH)) {
        check_settings(&settings);
    }
    for (name, value) in dotenv_lines(&text) {
        assert!(!name.is_empty() && !name.contains(['=', '\n']) && !value.contains('\n'));
        assert!(text.contains(name.as_str()) && text.contains(value.as_str()));
    }
    for (name, value) in expected_in(data) {
        assert!(!value.trim().is_empty() && !value.contains('\0'));
        assert!(text.contains(&format!("{name}={value}")));
    }
}

fn check_settings(settings: &Settings) {
    let is_trimmed_text = |text: &str| !text.is_empty() && text.trim() == text;
    for profile in &settings.profiles {
        assert!(profile.email.as_deref().is_none_or(is_trimmed_text));
        assert!(settings.profile(profile.id.as_str()).is_some());
        assert!(
            settings
                .profiles_of(&profile.provider)
                .contains(&profile.id)
        );
    }
    for agent in &settings.agents {
        let name = agent.name.as_str();
        assert!(is_trimmed_text(name) && name.len() <= 64 && !name.contains(['/', '.', '\\']));
        assert!(agent.dir.as_deref().is_none_or(is_trimmed_text));
    }
    assert!(is_trimmed_text(settings.default_agent().as_str()));
    let rules = &settings.cooldowns;
    let by_provider = rules.billing_backoff_hours_by_provider.values();
    let hours = [
        rules.billing_backoff_hours,
        rules.billing_max_hours,
        rules.failure_window_hours,
    ];
    assert!(
        by_provider
            .chain(&hours)
            .all(|hours| *hours > 0.0 && hours.is_finite())
    );
    assert!(
        settings
            .expose_variables()
            .all(|(_, value)| !value.trim().is_empty())
    );
    for provider in settings.custom_providers() {
        assert!(
            settings
                .expose_provider_key(provider)
                .is_none_or(is_trimmed_text)
        );
    }
    for choice in [&settings.models.text, &settings.models.image] {
        assert!(choice.primary.as_deref().is_none_or(is_trimmed_text));
    }
}

/// Equal, numbers by what JavaScript takes them for: one that is `Infinity` there has no value in
/// JSON, and is read as null, which every setting leaves out as it does an infinite number.
fn is_same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Number(b)) => b.as_f64().is_none(),
        (Value::Number(a), Value::Number(b)) => a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| is_same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => {
            let same = |(key, value)| b.get(key).is_some_and(|other| is_same(value, other));
            a.len() == b.len() && a.iter().all(same)
        }
        (a, b) => a == b,
    }
}

fn depth(value: &Value) -> usize {
    let inner = match value {
        Value::Array(items) => items.iter().map(depth).max(),
        Value::Object(fields) => fields.values().map(depth).max(),
        _ => return 0,
    };
    1 + inner.unwrap_or(0)
}

const IDS: [&str; 6] = [
    "a",
    "b",
    "anthropic:default",
    "",
    "it's \"q\"\\",
    "\u{e9}\n/*",
];
const PROVIDERS: [&str; 4] = ["p", "anthropic", "zai", "q\"'"];

/// The first three bytes say which change: a letter, an id, another id or provider.
fn change(data: &[u8]) -> Option<(ConfigEdit, &[u8])> {
    let ([kind, first, second], text) = data.split_first_chunk::<3>()?;
    let id = |byte: &u8| ProfileId::new(IDS[usize::from(*byte) % IDS.len()]);
    let edit = match kind % 4 {
        0 => ConfigEdit::Put {
            id: id(first),
            provider: ProviderId::new(PROVIDERS[usize::from(*second) % PROVIDERS.len()]),
            mode: CredentialType::Token,
        },
        1 => ConfigEdit::Remove { id: id(first) },
        3 => ConfigEdit::Name {
            id: id(first),
            provider: ProviderId::new(PROVIDERS[usize::from(*second) % PROVIDERS.len()]),
            mode: CredentialType::Token,
        },
        _ => ConfigEdit::Rename {
            from: id(first),
            to: id(second),
            email: (second % 2 == 0).then(|| "a@b".to_owned()),
        },
    };
    Some((edit, text))
}

/// A change fails, or says what was wanted and nothing else; made again it changes nothing.
pub fn config_edit(data: &[u8]) {
    let Some((edit, text)) = change(data) else {
        return;
    };
    let Ok(text) = std::str::from_utf8(text) else {
        return; // such a file is not changed
    };
    let path = Path::new(PATH);
    let Ok(after) = edited(text, &edit, path) else {
        return;
    };
    let read = |text: &str| match text.trim() {
        "" => json!({}),
        _ => parse_value(text, path).expect("what was changed is JSON5"),
    };
    let before = read(text);
    let after = after.map_or_else(|| text.to_owned(), |after| after.to_string());
    let says = read(&after);
    check_edit(&edit, &before, &says);
    let again = edited(&after, &edit, path).expect("what was changed can be changed");
    assert!(again.is_none(), "the same change changes it again");
}

fn check_edit(edit: &ConfigEdit, before: &Value, after: &Value) {
    let (profiles, orders) = (
        object(after, "/auth/profiles"),
        object(after, "/auth/order"),
    );
    let in_orders = |id: &ProfileId| {
        let lists = orders.values().filter_map(Value::as_array).flatten();
        lists
            .filter(|other| other.as_str() == Some(id.as_str()))
            .count()
    };
    let touched: Vec<&ProfileId> = match edit {
        ConfigEdit::Put { id, provider, mode } => {
            let entry = &profiles[id.as_str()];
            assert_eq!(entry["provider"], json!(provider.as_str()));
            assert_eq!(entry["mode"], json!(mode.as_str()));
            let of_provider = orders
                .iter()
                .filter(|(key, _)| normalize_provider(key) == provider.as_str());
            for list in of_provider.filter_map(|(_, list)| list.as_array()) {
                let places = list.iter().enumerate();
                let places: Vec<usize> = places
                    .filter(|(_, other)| **other == json!(id.as_str()))
                    .map(|(at, _)| at)
                    .collect();
                assert_eq!(places, [0], "it is not first, and there once");
            }
            vec![id]
        }
        ConfigEdit::Name { id, provider, mode } => {
            let entry = &profiles[id.as_str()];
            assert_eq!(entry["provider"], json!(provider.as_str()));
            assert_eq!(entry["mode"], json!(mode.as_str()));
            assert_eq!(
                before.pointer("/auth/order"),
                after.pointer("/auth/order"),
                "an order changed"
            );
            vec![id]
        }
        ConfigEdit::Remove { id } => {
            assert!(!profiles.contains_key(id.as_str()) && in_orders(id) == 0);
            vec![id]
        }
        ConfigEdit::Rename { from, to, .. } => {
            assert!(from == to || !profiles.contains_key(from.as_str()) && in_orders(from) == 0);
            vec![from, to]
        }
        #[expect(
            unreachable_patterns,
            reason = "another change needs a check of its own"
        )]
        _ => unreachable!("a change that is not checked"),
    };
    // An order in which an id was renamed has each id once, as the reference leaves it.
    let each_once = matches!(edit, ConfigEdit::Rename { .. });
    let (before, after) = (
        others(before, &touched, each_once),
        others(after, &touched, each_once),
    );
    assert_eq!(before, after, "something else changed");
}

fn object(value: &Value, pointer: &str) -> Map<String, Value> {
    let fields = value.pointer(pointer).and_then(Value::as_object);
    fields.cloned().unwrap_or_default()
}

/// The configuration without the profiles in question, and without objects that are empty then.
/// With `each_once`, without what an order says a second time.
fn others(value: &Value, ids: &[&ProfileId], each_once: bool) -> Value {
    let mut value = value.clone();
    let is_one = |id: &str| ids.iter().any(|one| one.as_str() == id);
    let Some(auth) = value.get_mut("auth").and_then(Value::as_object_mut) else {
        return value;
    };
    if let Some(Value::Object(profiles)) = auth.get_mut("profiles") {
        profiles.retain(|id, _| !is_one(id));
    }
    if let Some(Value::Object(orders)) = auth.get_mut("order") {
        for list in orders.values_mut().filter_map(Value::as_array_mut) {
            list.retain(|id| !id.as_str().is_some_and(is_one));
            if each_once {
                let mut known = Vec::new();
                list.retain(|id| {
                    !known.contains(id) && {
                        known.push(id.clone());
                        true
                    }
                });
            }
        }
    }
    auth.retain(|_, part| part != &json!({}));
    if auth.is_empty()
        && let Some(root) = value.as_object_mut()
    {
        root.shift_remove("auth");
    }
    value
}

/// Settings are within their bounds, or are refused in one line that a terminal can show.
pub fn own_settings(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let settings = match OwnSettings::parse(Path::new("/s/clawkeep.toml"), &text) {
        Ok(settings) => settings,
        Err(error) => {
            let said = error.to_string();
            assert!(!said.contains(char::is_control), "{said:?}");
            assert!(said.chars().count() < 300, "{said:?}");
            return;
        }
    };
    let day = 86_400_000;
    let bounds = day..=36_500 * day;
    assert!(settings.retention_ms.is_none_or(|ms| bounds.contains(&ms)));
    let now = UnixMs(1_800_000_000_000);
    assert!(settings.prune_before(now).is_none_or(|before| before < now));
    assert!(settings.syslog.is_none_or(|socket| socket.has_root()));
    for target in &settings.notify.targets {
        assert!(!target.name.contains(char::is_control) && target.name.len() < 64);
        if let Channel::Webhook(web, _) | Channel::Ntfy(web) | Channel::Heartbeat(web, _) =
            &target.channel
            && let Address::Plain(url) = &web.address
        {
            assert!(url.scheme() == "https" || crate::domain::is_loopback(url));
        }
    }
    for provider in settings.providers.keys() {
        assert!(!provider.as_str().trim().is_empty());
        assert_eq!(ProviderId::new(provider.as_str()), *provider);
    }
    let providers = crate::oauth::Providers::new(&settings.providers);
    for id in settings.providers.keys() {
        if let Ok(Some(provider)) = providers.get(id) {
            let url = provider.token_url;
            let host = url.host_str().unwrap_or_default();
            let is_here =
                ["localhost", "127.0.0.1", "[::1]"].contains(&host) || host.starts_with("127.");
            assert!(
                url.scheme() == "https" || is_here,
                "tokens would go out in the clear"
            );
        }
    }
}
