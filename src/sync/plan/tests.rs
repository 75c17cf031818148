//! The rule, a table of its subtleties, and the recorded cases of the reference.

use std::time::{Duration, UNIX_EPOCH};

use proptest::prelude::*;
use secrecy::SecretString;

use super::*;
use crate::domain::{Owner, Section, StoreDoc};
use crate::sources::{LoggedOut, SourceFault, reader_of};

const NOW: UnixMs = UnixMs(1_767_950_000_000);

fn at(offset: i64) -> Value {
    json!(NOW.0 + offset)
}

fn claude(token: &str, offset: i64) -> Reading<Login> {
    Reading::Found(Login {
        access: SecretString::from(token),
        refresh: None,
        expires: Expiry::from_json(Some(&at(offset))).unwrap(),
        login_expires: None,
        account: None,
    })
}

fn codex(access: &str, refresh: &str, offset: i64) -> Reading<Login> {
    Reading::Found(Login {
        access: SecretString::from(access),
        refresh: Some(SecretString::from(refresh)),
        login_expires: None,
        expires: Expiry::from_json(Some(&at(offset))).unwrap(),
        account: None,
    })
}

fn mirror(owner: Owner) -> &'static Mirror {
    owner.mirror().unwrap()
}

fn plan_claude_code(stored: Option<&Value>, reading: &Reading<Login>, now: UnixMs) -> Decision {
    plan_login(mirror(Owner::ClaudeCode), stored, reading, now)
}

fn plan_codex_cli(stored: Option<&Value>, reading: &Reading<Login>, now: UnixMs) -> Decision {
    plan_login(mirror(Owner::CodexCli), stored, reading, now)
}

fn shown(decision: &Decision) -> String {
    match decision {
        Decision::Insert { entry } => format!("insert {}", entry.expose_secret()),
        Decision::Replace { entry, why } => {
            format!("{} {}", why.as_str(), entry.expose_secret())
        }
        Decision::Keep { why } => why.as_str().to_owned(),
    }
}

fn token(token: &str, offset: i64) -> Value {
    json!({"type": "token", "provider": "anthropic", "token": token, "expires": at(offset)})
}

#[test]
fn a_codex_login_that_another_profile_has_is_not_stored_twice() {
    let other = |access: &str, refresh: &str, provider: &str| {
        json!({"type": "oauth", "provider": provider, "access": access, "refresh": refresh,
               "expires": at(-9), "accountId": "acc"})
    };
    let twin = other("a", "r", "openai-codex");
    let beside = |others: &[Value], stored: Option<&Value>| {
        let (codex, mirror) = (codex("a", "r", 5), mirror(Owner::CodexCli));
        let decision = plan_login_among(others.iter(), mirror, stored, &codex, NOW);
        shown(&decision)
            .split(' ')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    assert_eq!(
        beside(&[json!("junk"), twin.clone()], None),
        "same-login-elsewhere"
    );
    for near in [
        other("a", "other", "openai-codex"),
        other("other", "r", "openai-codex"),
        other("a", "r", "openai"),
        json!({"type": "token", "provider": "openai-codex", "access": "a", "refresh": "r"}),
    ] {
        assert_eq!(
            beside(std::slice::from_ref(&near), None),
            "insert",
            "{near}"
        );
    }
    let outdated = other("old", "r", "openai-codex");
    assert_eq!(
        beside(&[twin], Some(&outdated)),
        "stored-expired",
        "one that is there is kept up to date: whether it goes is not ours to say"
    );
}

#[test]
fn claude_code_against_what_is_stored() {
    let oauth = |access: &str, provider: &str| {
        json!({"type": "oauth", "provider": provider, "access": access, "refresh": "r",
               "expires": at(-9), "subscriptionType": "max"})
    };
    let with = |mut entry: Value, field: &str, value: Value| {
        entry[field] = value;
        entry
    };
    for (stored, source, want) in [
        (None, 5, "insert"),
        (None, -5, "insert"),
        (Some(json!("junk")), 5, "unreadable"),
        (
            Some(json!({"type": "cookie", "provider": "anthropic"})),
            5,
            "unreadable",
        ),
        (
            Some(json!({"type": "api_key", "provider": "anthropic", "key": "new"})),
            5,
            "other-type",
        ),
        (Some(oauth("old", "anthropic")), -5, "other-type"),
        // A gateway's way of storing the same login, unknown fields and all.
        (Some(oauth("new", "anthropic")), 5, "same-login"),
        (Some(oauth("new", "openai")), 5, "other-type"),
        (
            Some(with(token("old", 9), "provider", json!("openai"))),
            5,
            "other-provider",
        ),
        (
            Some(with(token("old", 9), "provider", json!("Anthropic"))),
            5,
            "other-provider",
        ),
        (Some(token("old", 0)), 5, "stored-expired"),
        (Some(token("old", -9)), -5, "stored-expired"),
        (Some(token("old", -5)), -9, "stored-expired"),
        (Some(token("old", 4)), 5, "source-later"),
        (Some(token("old", 5)), 5, "stored-later"),
        (Some(token("old", 9)), 5, "stored-later"),
        (Some(token("new", 4)), 5, "source-later"),
        (Some(token("new", 5)), 5, "same"),
        (Some(token("new", -5)), -5, "same"),
        (
            Some(with(token("old", 9), "expires", Value::Null)),
            5,
            "stored-expired",
        ),
        (
            Some(with(token("old", 9), "expires", json!("9999999999999"))),
            5,
            "stored-expired",
        ),
        // Equal in value is equal; a field we do not know is no difference; an e-mail is one.
        (
            Some(with(token("new", 0), "expires", json!(NOW.as_f64() + 5.0))),
            5,
            "same",
        ),
        (
            Some(with(token("new", -5), "displayName", json!("x"))),
            -5,
            "same",
        ),
        (
            Some(with(token("new", -5), "email", json!("a@b"))),
            -5,
            "stored-expired",
        ),
        (
            Some(with(token("new", 5), "email", json!("a@b"))),
            5,
            "stored-later",
        ),
    ] {
        let decision = plan_claude_code(stored.as_ref(), &claude("new", source), NOW);
        let shown = shown(&decision);
        assert_eq!(shown.split(' ').next(), Some(want), "{stored:?} {source}");
        if let Decision::Insert { entry } | Decision::Replace { entry, .. } = &decision {
            assert_eq!(
                entry.expose_secret().to_string(),
                token("new", source).to_string()
            );
        }
        assert!(!format!("{decision:?}").contains("new"), "{decision:?}");
    }
}

#[test]
fn codex_against_what_is_stored() {
    let login = |access: &str, offset: i64| {
        json!({"type": "oauth", "provider": "openai-codex", "access": access, "refresh": "r",
               "expires": at(offset)})
    };
    let with = |mut entry: Value, field: &str, value: Value| {
        entry[field] = value;
        entry
    };
    for (stored, source, want) in [
        (None, -5, "insert"),
        (
            Some(json!({"type": "token", "provider": "openai-codex", "token": "t"})),
            5,
            "other-type",
        ),
        (
            Some(with(login("old", 9), "provider", json!("openai"))),
            5,
            "other-provider",
        ),
        (Some(login("old", -9)), -5, "stored-expired"),
        (Some(login("old", 4)), 5, "source-later"),
        (Some(login("old", 9)), 5, "stored-later"),
        (Some(login("new", 5)), 5, "same"),
        (
            Some(with(login("new", 5), "refresh", json!("r0"))),
            5,
            "stored-later",
        ),
        (
            Some(with(login("new", -5), "refresh", json!("r0"))),
            -5,
            "stored-expired",
        ),
        (
            Some(with(login("new", -5), "accountId", json!("acc"))),
            -5,
            "stored-expired",
        ),
        (
            Some(with(login("new", -5), "idToken", json!("i"))),
            -5,
            "same",
        ),
        (
            Some(with(login("old", 9), "expires", Value::Null)),
            5,
            "stored-expired",
        ),
    ] {
        let decision = plan_codex_cli(stored.as_ref(), &codex("new", "r", source), NOW);
        let shown = shown(&decision);
        assert_eq!(shown.split(' ').next(), Some(want), "{stored:?} {source}");
        if let Decision::Insert { entry } | Decision::Replace { entry, .. } = &decision {
            assert_eq!(
                entry.expose_secret().to_string(),
                login("new", source).to_string()
            );
        }
    }
}

#[test]
fn a_source_without_a_login_deletes_nothing() {
    for stored in [None, Some(token("old", -9))] {
        let plan = |reading| shown(&plan_claude_code(stored.as_ref(), &reading, NOW));
        assert_eq!(plan(Reading::Absent), "source-absent");
        assert_eq!(
            plan(Reading::LoggedOut(LoggedOut::NoExpiry(ExpiryFault::Zero))),
            "source-logged-out"
        );
        assert_eq!(plan(Reading::Damaged(SourceFault::Empty)), "source-damaged");
    }
}

fn any_stored() -> impl Strategy<Value = Option<Value>> {
    let text = |options: &'static [&'static str]| prop::sample::select(options);
    let expires = prop_oneof![
        Just(Value::Null),
        (-9_i64..9).prop_map(at),
        Just(json!(1.5)),
        Just(json!("x")),
    ];
    let entry = (
        text(&["token", "oauth", "api_key", "cookie"]),
        text(&["anthropic", "openai-codex", "openai", ""]),
        text(&["old", "new"]),
        expires,
        prop::option::of(text(&["a@b"])),
    );
    prop::option::of(entry.prop_map(|(kind, provider, secret, expires, email)| {
        json!({"type": kind, "provider": provider, "key": secret, "token": secret,
               "access": secret, "refresh": secret, "expires": expires, "email": email})
    }))
}

proptest! {
    #[test]
    fn a_second_sync_changes_nothing(stored in any_stored(), offset in -9_i64..9) {
        for (owner, reading) in [
            (Owner::ClaudeCode, claude("new", offset)),
            (Owner::CodexCli, codex("new", "new", offset)),
        ] {
            let plan = |stored| plan_login(mirror(owner), stored, &reading, NOW);
            let first = plan(stored.as_ref());
            if let Decision::Insert { entry } | Decision::Replace { entry, .. } = first {
                prop_assert_eq!(shown(&plan(Some(entry.expose_secret()))), "same");
            }
        }
    }

    #[test]
    fn a_good_token_never_gives_way_to_a_shorter_one(offset in 1_i64..9, source in -9_i64..9) {
        let stored = token("old", offset);
        let replaced = !matches!(
            plan_claude_code(Some(&stored), &claude("new", source), NOW),
            Decision::Keep { .. }
        );
        prop_assert_eq!(replaced, source > offset);
    }
}

// The recorded cases, without files: what is in them is parsed, planned and applied.

const STORE: &str = ".clawdbot/agents/main/agent/auth-profiles.json";

/// Puts `@NOW+5@` in as run.py does.
fn filled(text: &str) -> String {
    let mut parts = text.split("@NOW");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (offset, rest) = part.split_once('@').unwrap();
        out.push_str(&(NOW.0 + offset.parse::<i64>().unwrap()).to_string());
        out.push_str(rest);
    }
    out
}

/// The same in a parsed document, where a marker is a string and stands for a number.
fn filled_value(value: &Value) -> Value {
    match value {
        Value::String(text) if text.starts_with("@NOW") => {
            serde_json::from_str(&filled(text)).unwrap()
        }
        Value::Array(items) => items.iter().map(filled_value).collect(),
        Value::Object(fields) => fields
            .iter()
            .map(|(key, value)| (key.clone(), filled_value(value)))
            .collect(),
        other => other.clone(),
    }
}

/// A store as the reference reads it: run.py's `readable`.
fn readable(doc: &StoreDoc) -> Value {
    let mut out = serde_json::Map::new();
    for (key, value) in doc.expose_secret() {
        let mut value = value.clone();
        match key.as_str() {
            "version" | "lastGood" | "usageStats" => {}
            "profiles" => {
                let kept = doc
                    .credentials()
                    .filter(|(_, credential)| credential.is_readable());
                value = kept
                    .map(|(id, _)| {
                        (
                            id.to_owned(),
                            doc.get(Section::Profiles, id).unwrap().clone(),
                        )
                    })
                    .collect();
            }
            "order" => {
                let kept = doc.entries(Section::Order).filter_map(|(provider, _)| {
                    let ids = doc.order_for(&crate::domain::normalize_provider(provider))?;
                    Some((
                        provider.to_owned(),
                        ids.iter().map(|id| id.as_str()).collect::<Value>(),
                    ))
                });
                value = kept.collect();
            }
            _ => continue,
        }
        let empty = value.is_null() || value.as_object().is_some_and(serde_json::Map::is_empty);
        if !empty || key == "profiles" {
            out.insert(key.clone(), value);
        }
    }
    Value::Object(out)
}

fn apply(doc: &mut StoreDoc, id: &str, decision: Decision) -> bool {
    match decision {
        Decision::Insert { entry } | Decision::Replace { entry, .. } => {
            doc.set(Section::Profiles, id, entry.expose_secret().clone());
            true
        }
        Decision::Keep { .. } => false,
    }
}

/// One command's sync; whether it changed anything.
fn sync(doc: &mut StoreDoc, case: &Value) -> bool {
    let mut is_changed = false;
    for (owner, mirror) in Owner::mirrored() {
        let text = case["files"].get(mirror.file).and_then(Value::as_str);
        let modified = NOW.0 + case["mtimes"][mirror.file].as_i64().unwrap_or_default();
        let modified = UNIX_EPOCH + Duration::from_millis(modified.try_into().unwrap());
        let parse = reader_of(owner).unwrap().parse;
        let reading = text.map_or(Reading::Absent, |text| {
            parse(filled(text).as_bytes(), modified)
        });
        let stored = doc.get(Section::Profiles, mirror.profile);
        let decision = plan_login(mirror, stored, &reading, NOW);
        is_changed |= apply(doc, mirror.profile, decision);
    }
    is_changed
}

#[test]
fn the_recorded_cases_of_the_reference_hold() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/conformance/cases.jsonl"
    );
    let (mut claude_cases, mut codex_cases) = (0, 0);
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        match case["family"].as_str() {
            Some("sync") => claude_cases += 1,
            Some("codex") => codex_cases += 1,
            _ => continue,
        }
        let mut doc = case["files"]
            .get(STORE)
            .and_then(Value::as_str)
            .map_or_else(StoreDoc::default, |text| {
                StoreDoc::from_json(serde_json::from_str(&filled(text)).unwrap()).unwrap()
            });
        for (number, _command) in case["commands"].as_array().unwrap().iter().enumerate() {
            let changed = sync(&mut doc, &case);
            assert!(!changed || number == 0, "{}: changed again", case["name"]);
        }
        match case["after"].get(STORE) {
            Some(want) => {
                let want = StoreDoc::from_json(filled_value(want)).unwrap();
                assert_eq!(readable(&doc), readable(&want), "{}", case["name"]);
            }
            None => assert!(doc.is_blank(), "{}: a store was made", case["name"]),
        }
    }
    assert_eq!((claude_cases, codex_cases), (37, 9));
}
