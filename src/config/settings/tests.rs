use super::*;
use crate::platform::FileError;
use serde_json::json;

fn parse(text: &str) -> Settings {
    Settings::parse(text, Path::new("clawdbot.json")).unwrap()
}

fn ids(list: &[&str]) -> Vec<ProfileId> {
    list.iter().copied().map(ProfileId::new).collect()
}

#[test]
fn a_configuration_written_by_hand() {
    let settings = parse(
        "\u{feff}// mine
        {auth: {profiles: {'anthropic:a': {provider: 'Anthropic', mode: 'oauth', email: ' a@b '}, \
        'x:y': {mode: 'token'},},
                order: {'Z.AI': ['zai:b', 3, 'zai:a'], openai: [], broken: 'x'}},
         agents: {list: [{id: 'one'}, 'odd', {id: 'Two!', default: true, agentDir: ' ~/two '}], \
         defaults: {model: 'openai/gpt-5.2'}},
         models: {providers: {Groq: {apiKey: ' sk-secret '}, local: {}}},
         env: {shellEnv: {enabled: true}}, future: [1]}",
    );
    let found = settings.profiles_of(&ProviderId::new("anthropic"));
    assert_eq!(found, ids(&["anthropic:a"]));
    let found = settings.profile("anthropic:a").unwrap().email.as_deref();
    assert_eq!(found, Some("a@b"));
    let found = settings.order_for(&ProviderId::new("zai"));
    assert_eq!(found, Some(ids(&["zai:b", "zai:a"])));
    let found = settings.order_for(&ProviderId::new("openai"));
    assert_eq!(found, Some(Vec::new()));
    assert_eq!(settings.order_for(&ProviderId::new("broken")), None);
    assert_eq!(settings.default_agent().as_str(), "two");
    assert_eq!(settings.agents[1].dir.as_deref(), Some("~/two"));
    assert_eq!(settings.models.default_ref().to_string(), "openai/gpt-5.2");
    assert!(settings.shell_env.enabled);
    let found = settings.custom_providers().collect::<Vec<_>>();
    assert_eq!(found, ["Groq", "local"]);
    assert_eq!(settings.expose_provider_key("groq"), Some("sk-secret"));
    assert_eq!(settings.expose_provider_key("local"), None);
    assert!(!format!("{settings:?}").contains("sk-secret"));
}

#[test]
fn fields_of_the_wrong_type_are_absent() {
    for text in [
        "[]",
        "3",
        "{auth: []}",
        "{auth: {profiles: 3, order: []}}",
        "{agents: {list: {}, defaults: 'x'}}",
        "{env: {shellEnv: 1}}",
    ] {
        let settings = parse(text);
        assert!(
            settings.profiles.is_empty()
                && settings.orders.is_empty()
                && settings.agents.is_empty(),
            "{text}"
        );
        assert_eq!(
            (settings.default_agent(), settings.shell_env.enabled),
            (AgentName::default(), false),
            "{text}"
        );
    }
}

#[test]
fn the_first_listed_agent_is_the_default_where_none_is_marked() {
    assert_eq!(
        parse("{agents: {list: [{id: 'ops'}, {id: 'main'}]}}")
            .default_agent()
            .as_str(),
        "ops"
    );
    let found = parse("{agents: {list: [{}]}}").default_agent();
    assert_eq!(found.as_str(), "main");
}

#[test]
fn a_configuration_that_does_not_parse_names_the_place_and_shows_none_of_it() {
    let error = Settings::parse(
        "{\n  a: 1,\n  key: sk-secret\n}",
        Path::new("/h/clawdbot.json"),
    )
    .unwrap_err();
    let shown = format!("{error} {error:?}");
    assert!(
        error
            .to_string()
            .contains("/h/clawdbot.json is not valid JSON5 at line 3, column 8"),
        "{shown}"
    );
    assert!(!shown.contains("sk-secret"), "{shown}");
    let deep = Settings::parse(&"[".repeat(1_000_000), Path::new("c")).unwrap_err();
    assert!(
        matches!(
            deep,
            ConfigError::TooDeep {
                line: 1,
                column: 129,
                ..
            }
        ),
        "{deep:?}"
    );
}

#[test]
fn a_setting_admits_what_agrees_with_it() {
    let entry = |kind: &str| json!({"type": kind, "provider": "z-ai"});
    for (mode, kind, want) in [
        ("oauth", "oauth", true),
        ("oauth", "token", true),
        ("oauth", "api_key", false),
        ("token", "oauth", false),
        ("api_key", "api_key", true),
        ("odd", "token", true),
    ] {
        let settings = parse(&format!(
            "{{auth: {{profiles: {{p: {{provider: 'zai', mode: '{mode}'}}}}}}}}"
        ));
        assert_eq!(
            settings
                .profile("p")
                .unwrap()
                .admits(&Credential::of(&entry(kind))),
            want,
            "{mode} {kind}"
        );
    }
    let settings = parse("{auth: {profiles: {p: {provider: 'groq'}}}}");
    assert!(
        !settings
            .profile("p")
            .unwrap()
            .admits(&Credential::of(&entry("token")))
    );
}

#[test]
fn what_is_no_readable_file_is_reported_and_never_waited_for() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clawdbot.json");
    assert!(
        Settings::load(&path).unwrap().profiles.is_empty(),
        "absent is default"
    );
    assert!(matches!(
        Settings::load(dir.path()),
        Err(ConfigError::File(
            FileError::NotRegular { .. } | FileError::Io { .. }
        ))
    ));

    let file = std::fs::File::create(&path).unwrap();
    file.set_len(16 * 1024 * 1024 + 1).unwrap();
    assert!(matches!(
        Settings::load(&path),
        Err(ConfigError::File(FileError::TooLarge { .. }))
    ));

    std::fs::write(&path, b"{agents: {list: [{id: 'a\xff'}]}}").unwrap();
    assert_eq!(Settings::load(&path).unwrap().agents.len(), 1);
}

#[cfg(target_os = "linux")]
#[test]
fn a_fifo_is_no_configuration() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("clawdbot.json");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &path,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    assert!(matches!(
        Settings::load(&path),
        Err(ConfigError::File(FileError::NotRegular { .. }))
    ));
}

#[test]
fn cooldowns_are_hours_and_nonsense_is_passed_over() {
    let rules = parse(
        "{auth: {cooldowns: {billingBackoffHours: 2.5, billingMaxHours: -1, failureWindowHours: 'x',
            billingBackoffHoursByProvider: {'Z.AI': 1, openai: 0}}}}",
    )
    .cooldowns;
    let want = CooldownRules {
        billing_backoff_hours: 2.5,
        billing_backoff_hours_by_provider: [(ProviderId::new("zai"), 1.0)].into(),
        ..CooldownRules::default()
    };
    assert_eq!(rules, want);
}

#[test]
fn a_fault_of_a_configuration_is_where_the_message_says() {
    for (text, place) in [
        ("{ bad", (1, 6)),
        ("{\n  a: 1,\n  b: [\n\n", (3, 7)),
        ("{\n  a: 1 b: 2 }", (2, 8)),
        ("", (1, 1)),
    ] {
        let error = Settings::parse(text, Path::new("c")).unwrap_err();
        let ConfigError::Syntax { line, column, .. } = error else {
            panic!("{error}");
        };
        assert_eq!((line, column), place, "{text:?}");
    }
}
