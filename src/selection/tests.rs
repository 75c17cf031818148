//! The recorded behaviour of the reference, then the rules stated independently of the code.

use std::collections::BTreeSet;
use std::fs;

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::domain::{
    ProfileId, ProviderId, Section, StoreDoc, UnixMs, normalize_provider, unavailability,
};

const NOW: UnixMs = UnixMs(1_768_000_000_000);

/// Puts times in for `@NOW+5000@`.
fn fill(text: &str) -> String {
    let mut parts = text.split("@NOW");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (offset, rest) = part.split_once('@').unwrap();
        out += &(NOW.0 + offset.parse::<i64>().unwrap()).to_string();
        out += rest;
    }
    out
}

fn preferences(config: &Value, provider: &ProviderId) -> Preferences {
    let entries = |pointer: &str| {
        config
            .pointer(pointer)
            .and_then(Value::as_object)
            .into_iter()
            .flatten()
    };
    let is_for = |text: &str| normalize_provider(text) == provider.as_str();
    let ids = |list: &Value| {
        list.as_array()
            .unwrap()
            .iter()
            .map(|id| ProfileId::new(id.as_str().unwrap()))
            .collect()
    };
    Preferences {
        order: entries("/auth/order")
            .find(|(key, _)| is_for(key))
            .map(|(_, list)| ids(list)),
        configured: entries("/auth/profiles")
            .filter(|(_, profile)| profile["provider"].as_str().is_some_and(is_for))
            .map(|(id, _)| ProfileId::new(id))
            .collect(),
    }
}

/// The value after `--name` on a recorded command line.
fn flag<'a>(argv: &'a [Value], name: &str) -> Option<&'a str> {
    let at = argv.iter().position(|arg| arg == name)?;
    argv.get(at + 1)?.as_str()
}

#[test]
fn every_recorded_case_of_the_reference_holds() {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/fixtures/conformance/cases.jsonl"
    );
    let (mut cases, mut commands) = (0, 0);
    for line in fs::read_to_string(path).unwrap().lines() {
        let case: Value = serde_json::from_str(line).unwrap();
        if case["family"] != "select" {
            continue;
        }
        cases += 1;
        let file = |name: &str| {
            case["files"]
                .get(name)
                .map(|text| fill(text.as_str().unwrap()))
        };
        let store = file(".clawdbot/agents/main/agent/auth-profiles.json")
            .map(|text| serde_json::from_str(&text).unwrap());
        let doc = store.map_or_else(StoreDoc::default, |json| StoreDoc::from_json(json).unwrap());
        let config = file(".clawdbot/clawdbot.json")
            .map_or(Value::Null, |text| json5::from_str(&text).unwrap());
        for command in case["commands"].as_array().unwrap() {
            commands += 1;
            let argv = command["argv"].as_array().unwrap();
            let provider = ProviderId::new(flag(argv, "--provider").unwrap());
            let prefer = flag(argv, "--prefer").map(ProfileId::new);
            let got = candidates(
                &doc,
                &preferences(&config, &provider),
                &provider,
                prefer.as_ref(),
                NOW,
            );
            let got: Vec<&str> = got.iter().map(ProfileId::as_str).collect();
            assert_eq!(
                json!(got),
                command["stdout_json"]["candidates"],
                "{} {argv:?}",
                case["name"]
            );
        }
    }
    assert_eq!((cases, commands), (31, 110));
}

#[test]
fn rest_grows_with_failures() {
    let minutes: Vec<i64> = [0, 1, 2, 3, 4, 5, u32::MAX]
        .map(|n| cooldown_ms(n) / 60_000)
        .into();
    assert_eq!(minutes, [1, 1, 5, 25, 60, 60, 60]);
}

#[test]
fn an_empty_order_in_the_configuration_means_nothing_is_tried() {
    let doc = StoreDoc::from_json(json!({"profiles": {"a": {"type": "token", "provider": "p"}}}))
        .unwrap();
    let none = Preferences {
        order: Some(Vec::new()),
        ..Preferences::default()
    };
    let found = candidates(&doc, &none, &ProviderId::new("p"), None, NOW);
    assert_eq!(found, []);
}

#[test]
fn a_disabled_profile_is_skipped_like_one_in_cooldown() {
    let usage = json!({"a": {"cooldownUntil": NOW.0 + 5, "disabledUntil": NOW.0 + 50},
        "b": {"cooldownUntil": NOW.0 + 9}});
    let doc = StoreDoc::from_json(
        json!({"profiles": {}, "order": {"p": ["a", "b", "c"]}, "usageStats": usage}),
    )
    .unwrap();
    let got = candidates(
        &doc,
        &Preferences::default(),
        &ProviderId::new("p"),
        None,
        NOW,
    );
    assert_eq!(got, ["c", "b", "a"].map(ProfileId::new));
}

/// A store, the configuration, and an id to prefer; ids are `a` to `h`, the provider is `p`.
#[derive(Debug, Clone)]
struct Input {
    doc: StoreDoc,
    preferences: Preferences,
    prefer: Option<ProfileId>,
}

impl Input {
    fn run(&self, prefer: Option<&ProfileId>) -> Vec<ProfileId> {
        candidates(
            &self.doc,
            &self.preferences,
            &ProviderId::new("p"),
            prefer,
            NOW,
        )
    }

    fn stored_order(&self) -> Option<Vec<ProfileId>> {
        self.doc.order_for("p")
    }

    /// What is chosen from, repeats and strangers included.
    fn base(&self) -> Vec<ProfileId> {
        match (
            self.stored_order(),
            &self.preferences.order,
            self.preferences.configured.is_empty(),
        ) {
            (Some(order), ..) => order,
            (None, Some(order), _) => order.clone(),
            (None, None, false) => self.preferences.configured.clone(),
            (None, None, true) => self.doc.profiles_of("p"),
        }
    }

    fn number(&self, id: &ProfileId, field: &str) -> i64 {
        let usage = self.doc.get(Section::Usage, id.as_str());
        usage
            .and_then(|usage| usage.get(field))
            .and_then(Value::as_i64)
            .unwrap_or(0)
    }

    /// When it is back: cooled down and enabled again.
    fn back(&self, id: &ProfileId) -> i64 {
        self.number(id, "cooldownUntil")
            .max(self.number(id, "disabledUntil"))
    }

    fn is_in_cooldown(&self, id: &ProfileId) -> bool {
        self.back(id) > NOW.0
    }

    /// Where it stands in what is chosen from.
    fn place(&self, id: &ProfileId) -> Option<usize> {
        self.base().iter().position(|other| other == id)
    }

    fn kind(&self, id: &ProfileId) -> &str {
        let entry = self.doc.get(Section::Profiles, id.as_str());
        entry
            .and_then(|entry| entry["type"].as_str())
            .unwrap_or("none")
    }
}

fn some_id() -> impl Strategy<Value = ProfileId> {
    "[a-h]".prop_map(ProfileId::new)
}

fn some_entry() -> impl Strategy<Value = Value> {
    let kind = prop::sample::select(vec!["oauth", "token", "api_key", "sso"]);
    let provider = prop::sample::select(vec!["p", " P ", "q"]);
    (kind, provider).prop_map(|(kind, provider)| json!({"type": kind, "provider": provider}))
}

fn some_usage() -> impl Strategy<Value = Value> {
    let cooldown = prop::option::of((-2..4_i64).prop_map(|offset| json!(NOW.0 + offset)));
    let disabled =
        prop::option::weighted(0.2, (-2..4_i64).prop_map(|offset| json!(NOW.0 + offset)));
    let used = prop::option::of((0..4_i64).prop_map(|used| json!(used)));
    (cooldown, disabled, used).prop_map(|(cooldown, disabled, used)| {
        let fields = [
            ("cooldownUntil", cooldown),
            ("disabledUntil", disabled),
            ("lastUsed", used),
        ];
        fields
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect::<Map<_, _>>()
            .into()
    })
}

prop_compose! {
    fn some_input()(
        profiles in prop::collection::vec((some_id(), some_entry()), 0..8),
        usage in prop::collection::vec((some_id(), some_usage()), 0..8),
        stored in prop::option::weighted(0.3, prop::collection::vec(some_id(), 0..8)),
        order in prop::option::weighted(0.3, prop::collection::vec(some_id(), 0..8)),
        configured in prop::collection::vec(some_id(), 0..4),
        prefer in prop::option::of(some_id()),
    ) -> Input {
        let mut doc = StoreDoc::default();
        for (id, entry) in profiles {
            doc.set(Section::Profiles, id.as_str(), entry);
        }
        for (id, stats) in usage {
            doc.set(Section::Usage, id.as_str(), stats);
        }
        if let Some(ids) = stored {
            let ids: Vec<&str> = ids.iter().map(ProfileId::as_str).collect();
            doc.set(Section::Order, "P", json!(ids));
        }
        Input { doc, preferences: Preferences { order, configured }, prefer }
    }
}

proptest! {
    #[test]
    fn what_is_eligible_comes_once_and_nothing_else(input in some_input()) {
        let got = input.run(input.prefer.as_ref());
        let belongs_to_another = |id: &ProfileId| {
            let entry = input.doc.get(Section::Profiles, id.as_str());
            input.kind(id) != "sso" && entry.is_some_and(|entry| entry["provider"] == "q")
        };
        let base = input.base().into_iter();
        let want: BTreeSet<_> = base.filter(|id| !belongs_to_another(id)).collect();
        prop_assert_eq!(got.len(), want.len());
        prop_assert_eq!(got.into_iter().collect::<BTreeSet<_>>(), want);
    }

    #[test]
    fn those_that_rest_come_last_the_soonest_back_first(input in some_input()) {
        let got = input.run(None);
        let back = |id: &ProfileId| if input.is_in_cooldown(id) { input.back(id) } else { 0 };
        prop_assert!(got.is_sorted_by_key(back));
    }

    #[test]
    fn those_that_are_back_at_the_same_time_keep_their_order(input in some_input()) {
        let ids = input.run(None).into_iter();
        let cooling: Vec<_> = ids.filter(|id| input.is_in_cooldown(id)).collect();
        for pair in cooling.windows(2) {
            let is_tie = input.back(&pair[0]) == input.back(&pair[1]);
            prop_assert!(!is_tie || input.place(&pair[0]) < input.place(&pair[1]), "{pair:?}");
        }
    }

    #[test]
    fn the_rest_keep_an_explicit_order_and_else_take_turns(input in some_input()) {
        let is_explicit = input.stored_order().is_some() || input.preferences.order.is_some();
        let place = |id: &ProfileId| input.place(id);
        let rank = |id: &ProfileId| ["oauth", "token",
            "api_key"].iter().position(|kind| *kind == input.kind(id)).unwrap_or(3);
        let ids = input.run(None).into_iter();
        let ready: Vec<_> = ids.filter(|id| !input.is_in_cooldown(id)).collect();
        for pair in ready.windows(2) {
            let turn = |id| (rank(id), input.number(id, "lastUsed"), place(id));
            let in_order = match is_explicit {
                true => place(&pair[0]) < place(&pair[1]),
                false => turn(&pair[0]) < turn(&pair[1]),
            };
            prop_assert!(in_order, "{pair:?}");
        }
    }

    #[test]
    fn a_preferred_profile_moves_to_the_front_and_nothing_else_moves(input in some_input()) {
        let plain = input.run(None);
        let preferred = input.run(input.prefer.as_ref());
        let mut want = plain.clone();
        if let Some(id) = input.prefer.filter(|id| plain.contains(id)) {
            want.retain(|other| *other != id);
            want.insert(0, id);
        }
        prop_assert_eq!(preferred, want);
    }
}

#[test]
fn a_rest_ends_with_the_later_end_and_is_named_for_what_still_holds() {
    let at = |offset: i64| json!(NOW.0 + offset);
    let state = |usage: Value| {
        let doc = json!({"version": 1, "profiles": {}, "usageStats": {"p:a": usage}});
        let doc = StoreDoc::from_json(doc).unwrap();
        unavailability(&doc, "p:a", NOW).map(|it| (it.state(), it.left_ms))
    };
    let is = |words: &str, left_ms: f64| Some((words.to_owned(), left_ms));
    assert_eq!(state(json!({})), None);
    assert_eq!(state(json!({"cooldownUntil": at(0)})), None);
    assert_eq!(state(json!({"cooldownUntil": at(1)})), is("cooldown", 1.0));
    let both = json!({"cooldownUntil": at(9), "disabledUntil": at(5), "disabledReason": "billing"});
    assert_eq!(state(both), is("disabled:billing", 9.0));
    let over =
        json!({"cooldownUntil": at(9), "disabledUntil": at(-5), "disabledReason": "billing"});
    assert_eq!(state(over), is("cooldown", 9.0));
    assert_eq!(state(json!({"disabledUntil": at(7)})), is("disabled", 7.0));
    let broken = json!({"disabledUntil": at(7), "disabledReason": "a\nb"});
    assert_eq!(state(broken), is("disabled:a?b", 7.0));
}
