use super::*;
use proptest::prelude::*;

const PATH: &str = "clawdbot.json";

fn put(id: &str) -> ConfigEdit {
    ConfigEdit::Put {
        id: ProfileId::new(id),
        provider: ProviderId::new("anthropic"),
        mode: CredentialType::Token,
    }
}

fn remove(id: &str) -> ConfigEdit {
    let id = ProfileId::new(id);
    ConfigEdit::Remove { id }
}

fn rename(from: &str, to: &str, email: Option<&str>) -> ConfigEdit {
    ConfigEdit::Rename {
        from: ProfileId::new(from),
        to: ProfileId::new(to),
        email: email.map(str::to_owned),
    }
}

#[track_caller]
fn after(text: &str, edit: &ConfigEdit) -> String {
    let after = edited(text, edit, Path::new(PATH)).unwrap();
    after.map_or_else(|| text.to_owned(), |after| after.to_string())
}

#[test]
fn a_profile_is_recorded_and_everything_else_stays_to_the_letter() {
    let text = "// who pays
{
  auth: {
    profiles: {
      'anthropic:old': { provider: 'anthropic', mode: 'oauth', }, // from Ana
    },
    order: { Anthropic: ['anthropic:old'], openai: [ \"openai:a\" ] },
  },
  /* the gateway */ gateway: { port: 0x4A39, bind: 'loop\\
back', },
}
";
    let want = "// who pays
{
  auth: {
    profiles: {
      'anthropic:old': { provider: 'anthropic', mode: 'oauth', }, // from Ana
      \"anthropic:manual\": {
        \"provider\": \"anthropic\",
        \"mode\": \"token\",
      },
    },
    order: { Anthropic: [\"anthropic:manual\", 'anthropic:old'], openai: [ \"openai:a\" ] },
  },
  /* the gateway */ gateway: { port: 0x4A39, bind: 'loop\\
back', },
}
";
    assert_eq!(after(text, &put("anthropic:manual")), want);
}

#[test]
fn what_is_recorded_already_is_not_written_again() {
    let text = after("", &put("anthropic:manual"));
    assert!(text.ends_with("}\n"));
    let got = edited(&text, &put("anthropic:manual"), Path::new(PATH)).unwrap();
    assert_eq!(got, None);
    assert_eq!(edited("{}", &remove("x"), Path::new(PATH)).unwrap(), None);
}

#[test]
fn a_recorded_profile_keeps_its_other_fields_and_goes_first() {
    let text = "{auth: {profiles: {'a:b': {mode: 'oauth', email: 'x@y', provider: 'z'}}, order: \
        {anthropic: ['c', /* best */ 'a:b']}}}";
    assert_eq!(
        after(text, &put("a:b")),
        "{auth: {profiles: {'a:b': {mode: \"token\", email: 'x@y', provider: \"anthropic\"}}, \
         order: {anthropic: [\"a:b\", 'c']}}}"
    );
}

#[test]
fn a_removed_profile_leaves_nothing_behind() {
    let text = "{
  auth: {
    profiles: {
      'a:1': {provider: 'a', mode: 'token'},
      // the second one
      'a:2': {provider: 'a', mode: 'token'},
    },
    order: {a: ['a:2', 'a:1'], b: ['a:1']},
  },
}";
    let said: Value = json5::from_str(&after(text, &remove("a:1"))).unwrap();
    assert_eq!(
        said,
        json!({"auth": {"profiles": {"a:2": {"provider": "a", "mode": "token"}},
            "order": {"a": ["a:2"], "b": []}}})
    );
    assert!(after(text, &remove("a:1")).contains("// the second one"));
}

#[test]
fn a_renamed_profile_keeps_its_place_in_the_order() {
    let text = "{auth: {profiles: {'p:default': {provider: 'p', mode: 'oauth', x: 1}}, order: {p: \
        ['p:a', 'p:default', 'p:me@x.y']}}}";
    let said: Value = json5::from_str(&after(
        text,
        &rename("p:default", "p:me@x.y", Some("me@x.y")),
    ))
    .unwrap();
    assert_eq!(
        said,
        json!({"auth": {
            "profiles": {"p:me@x.y": {"provider": "p", "mode": "oauth", "x": 1, "email": "me@x.y"}},
            "order": {"p": ["p:a", "p:me@x.y"]}}})
    );
}

#[test]
fn what_cannot_be_changed_with_certainty_is_left_alone_with_advice() {
    for text in [
        "{auth: 3}",
        "{auth: {profiles: []}}",
        "{auth: {profiles: {}, order: 'x'}}",
        "{auth: {}, auth: {order: {}}}", // the two parsers take another one each
        "[]",
    ] {
        let error = edited(text, &put("a:b"), Path::new(PATH)).unwrap_err();
        let ConfigEditError::Unsure { by_hand, .. } = error else {
            panic!("{text}: {error}");
        };
        assert!(by_hand.contains("\"a:b\""), "{by_hand}");
    }
    let error = edited("{", &put("a:b"), Path::new(PATH)).unwrap_err();
    assert!(matches!(error, ConfigEditError::Unreadable(_)), "{error}");
}

#[cfg(unix)]
#[test]
fn the_file_is_replaced_at_once_and_a_link_stays_one() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    let (link, real) = (dir.path().join(PATH), dir.path().join("real.json"));
    std::os::unix::fs::symlink("real.json", &link).unwrap();
    let got = edit_config(&link, &put("a:b")).unwrap();
    assert_eq!(got, ConfigChange::Written);
    assert_eq!(edit_config(&link, &put("a:b")).unwrap(), ConfigChange::None);
    assert!(link.is_symlink());
    let mode = std::fs::metadata(&real).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    std::fs::write(&real, b"{\xff}").unwrap();
    let error = edit_config(&link, &put("a:b")).unwrap_err();
    assert!(matches!(error, ConfigEditError::Unsure { .. }), "{error}");
    assert_eq!(std::fs::read(&real).unwrap(), b"{\xff}");
}

/// Text between two tokens: nothing, blanks, or a comment with a number to be found again.
fn trivia() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => Just(String::new()),
        1 => Just(" ".to_owned()),
        1 => Just("\n  ".to_owned()),
        1 => (0..1000_u32).prop_map(|n| format!("/* {n}, */")),
        1 => (0..1000_u32).prop_map(|n| format!("// {n}: '\n")),
    ]
}

fn comments(text: &str) -> usize {
    text.matches("/* ").count() + text.matches("// ").count()
}

fn id() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec!["a:1", "a:2", "anthropic:x", "anthropic:y"])
}

prop_compose! {
    fn config()(
        t in prop::collection::vec(trivia(), 24),
        ids in prop::collection::hash_set(id(), 0..4),
        order in prop::option::of(prop::collection::hash_set(id(), 0..4)),
        has_auth in any::<bool>(),
        trailing in any::<bool>(),
    ) -> String {
        let mut t = t.into_iter().cycle();
        let mut gap = || t.next().unwrap_or_default();
        let comma = if trailing { "," } else { "" };
        let mut out = format!("{}{{{}x: 'y',{}", gap(), gap(), gap());
        if has_auth {
            let entries: Vec<String> = ids.iter().map(|id| {
                format!("{}'{id}'{}:{}{{provider: 'anthropic', mode: 'api_key'}}{}", gap(), gap(),
                    gap(), gap())
            }).collect();
            let tail = if entries.is_empty() { "" } else { comma };
            out += &format!("auth:{}{{profiles:{}{{{}{tail}{}}}", gap(), gap(), entries.join(","),
                gap());
            if let Some(order) = order {
                let ids: Vec<String> = order.iter().map(|id| format!("{}'{id}'{}", gap(),
                    gap())).collect();
                let tail = if ids.is_empty() { "" } else { comma };
                out += &format!(", order: {{ANTHROPIC:{}[{}{tail}{}]}}", gap(), ids.join(","),
                    gap());
            }
            out += &format!("{comma}{}}},", gap());
        }
        out + &format!("z: 1.50{comma}{}}}{}", gap(), gap())
    }
}

proptest! {
    /// Whatever the layout, the change is made, and putting a new profile loses no comment.
    #[test]
    fn any_layout_can_be_changed(text in config(), id in id()) {
        let new = put("anthropic:new");
        let with = after(&text, &new);
        prop_assert_ne!(&with, &text, "it was not there");
        prop_assert_eq!(comments(&with), comments(&text), "{}\n---\n{}", text, with);
        prop_assert!(with.contains("z: 1.50"));
        let without = after(&with, &remove("anthropic:new"));
        let said = |text: &str| json5::from_str::<Value>(text).unwrap();
        if said(&text).get("auth").is_some() {
            prop_assert_eq!(said(&without), said(&text));
        }
        let gone = said(&after(&text, &remove(id)));
        let profiles = gone.pointer("/auth/profiles");
        prop_assert!(profiles.is_none_or(|profiles| profiles.get(id).is_none()));
        let order = gone.pointer("/auth/order");
        prop_assert!(!order.is_some_and(|order| order.to_string().contains(id)));
        prop_assert_eq!(&said(&after(&text, &rename(id, "b:9", None)))["z"], &json!(1.5));
    }
}
