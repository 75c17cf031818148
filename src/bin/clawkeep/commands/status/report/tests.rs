//! The recorded behaviour of the reference, then what it leaves open.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clawkeep::internal::config::{AgentRef, Env, Layout};
use clawkeep::internal::config::{Overrides, status_agent};
use clawkeep::internal::domain::{StoreDoc, UnixMs};
use clawkeep::internal::health::AsOf;
use clawkeep::internal::vault::Damage;
use serde_json::json;

use super::*;
use crate::terminal::colour::Colour;

const HOME: &str = match cfg!(windows) {
    true => "C:\\home\\tester",
    false => "/home/tester",
};
/// When the cases were recorded: a provider whose earliest end is 0 has this much less than 0 left.
const NOW: UnixMs = UnixMs::from_ms(1_800_000_000_000);

struct World {
    doc: StoreDoc,
    settings: Settings,
    env: Env,
    layout: Layout,
    agent: AgentRef,
}

impl World {
    fn new(store: Value, config: &str, env: &[(&str, &str)]) -> Self {
        let home = [("HOME", HOME), ("USERPROFILE", HOME)];
        let env = Env::from_pairs(
            home.iter()
                .chain(env)
                .map(|(k, v)| ((*k).to_owned(), (*v).to_owned())),
        );
        let overrides = Overrides {
            is_stand_in: true,
            ..Overrides::default()
        };
        let layout = Layout::resolve(&env, &overrides, Path::new("/")).unwrap();
        let settings = Settings::parse(config, &layout.config_file).unwrap();
        let agent = status_agent(&layout, &settings, &env, None);
        Self {
            doc: StoreDoc::from_json(store).unwrap(),
            settings,
            env,
            layout,
            agent,
        }
    }

    fn with_config(config: &str, env: &[(&str, &str)]) -> Self {
        Self::new(json!({"profiles": {}}), config, env)
    }

    fn report(&self) -> Report {
        let Self {
            doc,
            settings,
            env,
            layout,
            agent,
        } = self;
        Report::build(&Inputs {
            doc,
            damage: &Damage::default(),
            settings,
            env,
            layout,
            agent,
            logins: None,
            grants: &BTreeMap::new(),
            borrowed: &BTreeMap::new(),
            as_of: AsOf::of_reference(NOW),
        })
    }
}

impl Report {
    fn to_json(&self) -> Value {
        serde_json::to_value(self.json()).unwrap()
    }
}

/// Puts times in for `@NOW+5000@` in a recorded file.
fn fill(text: &str) -> String {
    let mut parts = text.split("@NOW");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (offset, rest) = part.split_once('@').unwrap();
        out += &format!("{}{rest}", NOW.0 + offset.parse::<i64>().unwrap());
    }
    out
}

/// Puts the home directory in. What is shown below it has the system's separators.
fn in_home(text: &str) -> String {
    let text = text.replace("@HOME@", HOME);
    if cfg!(windows) && (text.contains(HOME) || text.contains("~/")) {
        return text
            .split_inclusive(char::is_whitespace)
            .map(|word| match word.contains(HOME) || word.contains("~/") {
                true => word.replace('/', "\\"),
                false => word.to_owned(),
            })
            .collect();
    }
    text
}

/// Puts times and the home directory in for the marks in recorded JSON. `@REL…@` is exact here: the
/// clock stands still.
fn fill_json(value: &Value) -> Value {
    match value {
        Value::String(text) => {
            let mark = |name: &str| {
                text.strip_prefix(name)?
                    .strip_suffix('@')?
                    .parse::<i64>()
                    .ok()
            };
            let number = mark("@NOW")
                .map(|offset| NOW.0 + offset)
                .or_else(|| mark("@REL"));
            number.map_or_else(|| Value::from(in_home(text)), Value::from)
        }
        Value::Array(items) => items.iter().map(fill_json).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), fill_json(value)))
            .collect::<Map<_, _>>()
            .into(),
        other => other.clone(),
    }
}

#[derive(Default, Debug, PartialEq)]
struct Tally {
    cases: usize,
    json: usize,
    text: usize,
    plain: usize,
    check: usize,
}

/// Runs the commands of a recorded case against `store`.
fn run(case: &Value, store: Value, tally: &mut Tally) {
    let name = case["name"].as_str().unwrap();
    let config = case["files"]
        .get(".clawdbot/clawdbot.json")
        .map_or_else(|| "{}".to_owned(), |text| fill(text.as_str().unwrap()));
    let env: Vec<_> = case["env"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str().unwrap()))
        .collect();
    let report = World::new(store, &config, &env).report();
    tally.cases += 1;
    for command in case["commands"].as_array().unwrap() {
        let argv: Vec<_> = command["argv"]
            .as_array()
            .unwrap()
            .iter()
            .map(|arg| arg.as_str().unwrap())
            .collect();
        assert_eq!(argv[..2], ["models", "status"], "{name}");
        let want = || in_home(command["stdout"].as_str().unwrap());
        if argv.contains(&"--json") {
            // As text: the order of keys counts, too.
            let pretty = |value: &Value| serde_json::to_string_pretty(value).unwrap();
            let found = pretty(&report.to_json());
            assert_eq!(found, pretty(&fill_json(&command["stdout_json"])), "{name}");
            tally.json += 1;
        } else if argv.contains(&"--plain") {
            assert_eq!(format!("{}\n", report.plain()), want(), "{name}");
            tally.plain += 1;
        } else {
            assert_eq!(report.to_text(Colour::Off), want(), "{name}");
            tally.text += 1;
        }
        if argv.contains(&"--check") {
            assert_eq!(json!(report.check_exit()), command["exit"], "{name}");
            tally.check += 1;
        }
    }
}

fn cases(family: &str) -> Vec<Value> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/conformance/cases.jsonl"
    );
    let text = fs::read_to_string(path).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .filter(|case: &Value| case["family"] == family)
        .collect()
}

const STORE: &str = ".clawdbot/agents/main/agent/auth-profiles.json";

#[test]
fn every_recorded_status_case_of_the_reference_holds() {
    let mut tally = Tally::default();
    for case in cases("status") {
        let store = case["files"]
            .get(STORE)
            .map(|text| serde_json::from_str(&fill(text.as_str().unwrap())).unwrap());
        run(
            &case,
            store.unwrap_or_else(|| json!({"profiles": {}})),
            &mut tally,
        );
    }
    assert_eq!(
        tally,
        Tally {
            cases: 31,
            json: 62,
            text: 31,
            plain: 31,
            check: 31
        }
    );
}

/// The other families report after a sync or an import: what they show is the store that was left.
#[test]
fn every_recorded_case_holds_for_the_store_that_was_left() {
    for (family, want) in [
        (
            "sync",
            Tally {
                cases: 37,
                json: 74,
                text: 37,
                plain: 0,
                check: 37,
            },
        ),
        (
            "codex",
            Tally {
                cases: 9,
                json: 18,
                text: 0,
                plain: 0,
                check: 9,
            },
        ),
        (
            "legacy",
            Tally {
                cases: 12,
                json: 12,
                text: 0,
                plain: 0,
                check: 0,
            },
        ),
    ] {
        let mut tally = Tally::default();
        for case in cases(family) {
            let store = case["after"]
                .get(STORE)
                .filter(|store| !store.is_null())
                .map(fill_json);
            run(
                &case,
                store.unwrap_or_else(|| json!({"profiles": {}})),
                &mut tally,
            );
        }
        assert_eq!(tally, want, "{family}");
    }
}

#[test]
fn keys_of_the_configuration_count_and_do_not_show() {
    let config = "{models: {providers: {local: {apiKey: 'sk-0123456789abcdefghij-0123456789'}, \
        Idle: {}}}, agents: {defaults: {model: 'local/x'}}}";
    let world = World::with_config(config, &[]);
    let report = world.report();
    assert_eq!(report.check_exit(), 0);
    let json = report.to_json();
    let source = in_home("models.json: ~/.clawdbot/agents/main/agent/models.json");
    assert_eq!(
        json["auth"]["providers"][0]["modelsJson"],
        json!({"value": "sk-01234...23456789", "source": source})
    );
    assert_eq!(json["auth"]["oauth"]["providers"][0]["provider"], "Idle");
    let line = format!(
        "- local effective=models.json:sk-01234...23456789 | models.json=sk-01234...23456789 | \
         source={source}\n"
    );
    assert!(
        report.to_text(Colour::Off).contains(&line),
        "{}",
        report.to_text(Colour::Off)
    );
}

#[test]
fn an_alias_is_resolved_for_the_default_and_not_for_the_providers_in_use() {
    let config = "{agents: {defaults: {model: 'gpt', models: {'openai/gpt-5.2': {}}}}}";
    let report = World::with_config(config, &[("OPENAI_API_KEY", "short")]).report();
    assert_eq!((report.check_exit(), report.plain()), (1, "openai/gpt-5.2"));
    assert_eq!(
        report.to_json()["auth"]["missingProvidersInUse"],
        json!(["anthropic"]),
        "as in the reference, for which `gpt` here is a model of Anthropic's"
    );
    let text = report.to_text(Colour::Off);
    assert!(
        text.contains("Default       : openai/gpt-5.2 (from gpt)\n"),
        "{text}"
    );
    assert!(
        text.contains("env:******** | env=********"),
        "a short key is hidden whole: {text}"
    );
}

#[test]
fn a_variable_alone_lists_every_provider_but_one() {
    let listed = |config: &str, env: &[(&str, &str)]| {
        let report = World::with_config(config, env).report().to_json();
        let providers = report["auth"]["providers"].as_array().unwrap();
        let names = providers.iter().map(|entry| entry["provider"].clone());
        names.collect::<Value>()
    };
    let env = [("MINIMAX_API_KEY", "short"), ("XAI_API_KEY", "short")];
    assert_eq!(listed("{}", &env), json!(["xai"]));
    let in_use = "{agents: {defaults: {model: 'minimax/m2'}}}";
    assert_eq!(listed(in_use, &env), json!(["minimax", "xai"]));
}

#[test]
fn an_end_that_is_no_number_is_shown_as_it_stands() {
    let shown = |expires: Value, kind: &str| {
        let store =
            json!({"profiles": {"p:a": {"type": kind, "provider": "p", "expires": expires}}});
        let report = World::new(store, "{}", &[]).report();
        let profile = report.to_json()["auth"]["oauth"]["profiles"][0].clone();
        let text = report.to_text(Colour::Off);
        let line = text.lines().last().unwrap_or_default().to_owned();
        (profile.get("expiresAt").cloned(), line)
    };
    let known = "- p:a unknown expires in unknown".to_owned();
    let unknown = "- p:a unknown expires unknown".to_owned();
    for (expires, line) in [
        (json!("soon"), &known),
        (json!(""), &unknown),
        (json!(null), &unknown),
        (json!(false), &unknown),
        (json!([]), &known),
    ] {
        let want = (Some(expires.clone()), line.clone());
        assert_eq!(shown(expires.clone(), "oauth"), want);
        assert_eq!(shown(expires, "token"), (None, "- p:a static".to_owned()));
    }
}

#[test]
fn what_is_expiring_is_2_and_only_that() {
    let login = |offset: i64| {
        json!({"type": "oauth", "provider": "anthropic", "access": "a",
        "expires": NOW.0 + offset})
    };
    let exit = |profiles: Value| {
        World::new(json!({"profiles": profiles}), "{}", &[])
            .report()
            .check_exit()
    };
    assert_eq!(exit(json!({"a": login(5)})), 2);
    assert_eq!(exit(json!({"a": login(5), "b": login(-5)})), 1);
    assert_eq!(exit(json!({"a": login(100_000_000)})), 0);
    let found = exit(json!({"a": login(-NOW.0)}));
    assert_eq!(found, 1, "an end of 0 is not known");
    let found = exit(json!({"a": {"type": "api_key", "provider": "anthropic", "key": "k"}}));
    assert_eq!(found, 0);
    assert_eq!(exit(json!({})), 1, "the provider in use has nothing");
}

#[test]
fn entries_that_cannot_be_read_are_not_there() {
    let store = json!({"profiles": {"a": {"type": "sso", "provider": "openai"},
        "b": {"type": "token"}, "c": 3}});
    let report = World::new(store, "{}", &[]).report();
    assert_eq!(report.to_json()["auth"]["oauth"]["profiles"], json!([]));
    assert_eq!(report.providers.len(), 0);
}

#[test]
fn only_the_verdict_is_coloured() {
    let profile = |offset: i64| {
        json!({"type": "token", "provider": "p", "token": "t",
        "expires": NOW.0 + offset})
    };
    let store = json!({"profiles": {"a": profile(100_000_000), "b": profile(5), "c": profile(-5),
        "d": {"type": "oauth", "provider": "p", "expires": -3}, "e": {"type": "token",
        "provider": "p", "token": "t"}}});
    let world = World::new(store, "{}", &[]);
    let text = world.report().to_text(Colour::On);
    let lines: Vec<_> = text.lines().rev().take(5).collect();
    let want = [
        "- e static",
        "- d \u{1b}[33munknown\u{1b}[0m expires in unknown",
        "- c \u{1b}[31mexpired\u{1b}[0m expires in 0m",
        "- b \u{1b}[33mexpiring\u{1b}[0m expires in 1m",
        "- a \u{1b}[32mok\u{1b}[0m expires in 28h",
    ];
    assert_eq!(lines, want);
    let plain = text
        .replace("\u{1b}[0m", "")
        .replace("\u{1b}[31m", "")
        .replace("\u{1b}[32m", "")
        .replace("\u{1b}[33m", "");
    assert_eq!(plain, world.report().to_text(Colour::Off));
}

#[test]
fn a_shell_is_asked_for_by_configuration_or_variable() {
    let enabled = |config, env: &[_]| {
        World::with_config(config, env).report().to_json()["auth"]["shellEnvFallback"]["enabled"]
            .clone()
    };
    assert_eq!(enabled("{env: {shellEnv: {enabled: true}}}", &[]), true);
    assert_eq!(enabled("{}", &[("CLAWDBOT_LOAD_SHELL_ENV", " Yes ")]), true);
    assert_eq!(enabled("{}", &[("CLAWDBOT_LOAD_SHELL_ENV", "0")]), false);
}
