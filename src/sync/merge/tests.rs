//! The rules by example, and as properties stated without the code that follows them.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::json;

use super::*;

fn doc(json: Value) -> StoreDoc {
    StoreDoc::from_json(json).unwrap()
}

fn text(doc: &StoreDoc) -> String {
    Value::Object(doc.expose_secret().clone()).to_string()
}

/// A document whose only profile is `p`, or none where the entry is null.
fn of_profile(entry: &Value) -> StoreDoc {
    let mut doc = StoreDoc::default();
    if !entry.is_null() {
        doc.set(Section::Profiles, "p", entry.clone());
    }
    doc
}

/// What has to be written to the vault.
fn for_vault(merged: &Merged) -> Vec<(&Change, &Edit)> {
    let changes = merged.changes.iter();
    changes
        .filter_map(|change| Some((change, change.vault.as_ref()?)))
        .collect()
}

/// What has to be written to the file.
fn for_file(merged: &Merged) -> Vec<(&Change, &Edit)> {
    let changes = merged.changes.iter();
    changes
        .filter_map(|change| Some((change, change.file.as_ref()?)))
        .collect()
}

fn usage(entry: &Value) -> StoreDoc {
    doc(json!({"profiles": {}, "usageStats": {"p": entry}}))
}

#[test]
fn a_profile_goes_by_the_side_that_changed_it_else_by_later_expiry() {
    let none = Value::Null;
    let entry = |token: &str, expires: Value| json!({"token": token, "expires": expires});
    let (a, b, c) = (
        entry("a", json!(1)),
        entry("b", json!(5)),
        entry("c", json!(7)),
    );
    let key = json!({"key": "k"});
    let text = entry("t", json!("9"));
    for (base, theirs, ours, want, lost) in [
        (&a, &a, &b, &b, None),
        (&b, &a, &b, &a, None),
        (&a, &b, &b, &b, None),
        (&a, &none, &a, &none, None),
        (&a, &a, &none, &none, None),
        (&a, &none, &none, &none, None),
        (&a, &none, &b, &b, None),
        (&a, &b, &none, &b, None),
        (&none, &a, &none, &a, None),
        (&none, &none, &a, &a, None),
        (&a, &b, &c, &c, Some(Side::File)),
        (&a, &c, &b, &c, Some(Side::Vault)),
        (&none, &b, &c, &c, Some(Side::File)),
        (&a, &key, &b, &b, Some(Side::File)),
        (&a, &b, &text, &b, Some(Side::Vault)),
        (&a, &key, &text, &key, Some(Side::Vault)),
    ] {
        let merged = merge(&of_profile(base), &of_profile(theirs), &of_profile(ours));
        let at = format!("{base} {theirs} {ours}");
        assert_eq!(merged.doc, of_profile(want), "{at}");
        assert_eq!(merged.lost.first().map(|lost| lost.side), lost, "{at}");
        let shown = format!("{merged:?}");
        assert!(
            !shown.contains("\"b\"") && !shown.contains("\"c\""),
            "{shown}"
        );
    }
}

#[test]
fn a_loser_is_kept_whole() {
    let base = of_profile(&json!({"access": "0", "expires": 1}));
    let theirs = of_profile(&json!({"access": "t", "expires": 2, "displayName": "d"}));
    let ours = of_profile(&json!({"access": "o", "expires": 3}));
    let merged = merge(&base, &theirs, &ours);
    let [lost] = merged.lost.as_slice() else {
        panic!("{:?}", merged.lost)
    };
    assert_eq!((lost.id.as_str(), lost.side), ("p", Side::File));
    let entry = json!({"access": "t", "expires": 2, "displayName": "d"});
    assert_eq!(lost.entry.expose_secret(), &entry);
    assert!(!format!("{lost:?}").contains("displayName"));
}

#[test]
fn statistics_merge_member_by_member() {
    let base = usage(
        &json!({"lastUsed": 10, "errorCount": 1, "cooldownUntil": 50,
        "failureCounts": {"auth": 1, "rate_limit": 1}, "disabledReason": "x", "note": "0"}),
    );
    let theirs = usage(&json!({"lastUsed": 30, "errorCount": 3,
        "failureCounts": {"auth": 4, "rate_limit": 1, "timeout": 1}, "disabledReason": "x",
        "note": "t"}));
    let ours = usage(
        &json!({"lastUsed": 20.5, "errorCount": 2, "cooldownUntil": 50,
        "failureCounts": {"auth": 2, "billing": 1}, "note": "o", "blockedUntil": 9}),
    );
    let want = usage(&json!({"lastUsed": 30, "errorCount": 3,
        "failureCounts": {"auth": 4, "timeout": 1, "billing": 1}, "note": "t", "blockedUntil": 9}));
    assert_eq!(text(&merge(&base, &theirs, &ours).doc), text(&want));
}

#[test]
fn large_integers_are_compared_exactly() {
    let (a, b) = (9_007_199_254_740_992_u64, 9_007_199_254_740_993_u64);
    for (theirs, ours) in [(a, b), (b, a)] {
        let merged = merge(
            &usage(&json!({})),
            &usage(&json!({"n": theirs})),
            &usage(&json!({"n": ours})),
        );
        assert_eq!(merged.doc, usage(&json!({"n": b})));
    }
}

#[test]
fn order_last_good_and_unknown_fields_go_by_the_file_where_both_changed() {
    let side = |n: u32, free: Value| {
        doc(
            json!({"version": n, "profiles": {}, "order": {"a": [n], "free": free},
                   "lastGood": {"a": n.to_string()}, "later": {"n": n}}),
        )
    };
    let merged = merge(
        &side(1, json!(["x"])),
        &side(2, json!(["x"])),
        &side(3, json!(["y"])),
    );
    assert_eq!(merged.doc, side(2, json!(["y"])));
}

#[test]
fn the_file_s_order_comes_first_then_what_only_the_vault_has() {
    let base = doc(json!({"profiles": {"a": 1, "b": 1, "c": 1}}));
    let theirs = doc(json!({"later": 1, "profiles": {"c": 1, "new": 1, "a": 2}}));
    let ours = doc(json!({"profiles": {"a": 1, "b": 1, "z": 1, "c": 1, "y": 1}, "other": 1}));
    let merged = merge(&base, &theirs, &ours);
    assert_eq!(
        text(&merged.doc),
        r#"{"later":1,"profiles":{"c":1,"new":1,"a":2,"z":1,"y":1},"other":1}"#
    );
}

#[test]
fn a_section_in_another_shape_does_not_take_entries_with_it() {
    let with = |usage: Value| doc(json!({"profiles": {}, "usageStats": usage}));
    let absent = StoreDoc::from_json(json!({"profiles": {}})).unwrap();
    let (one, two) = (with(json!({"p": 1})), with(json!({"p": 1, "q": 1})));
    let (null, list) = (with(Value::Null), with(json!([])));
    for (base, theirs, ours, want) in [
        (&one, &null, &two, &two),
        (&one, &two, &null, &two),
        (&one, &null, &one, &null),
        (&one, &one, &null, &null),
        (&one, &null, &list, &null),
        (&null, &one, &two, &two),
        (&null, &absent, &one, &one),
        (&absent, &null, &absent, &null),
        (&null, &absent, &null, &absent),
    ] {
        assert_eq!(
            merge(base, theirs, ours).doc,
            *want,
            "{} {} {}",
            text(base),
            text(theirs),
            text(ours)
        );
    }
}

#[test]
fn changes_name_who_moved_and_what_each_side_has_to_write() {
    let base = doc(
        json!({"profiles": {"a": {"n": 1}, "b": {"n": 1}, "c": {"n": 1}, "d": 1},
                          "usageStats": {"a": {"lastUsed": 1, "errorCount": 0}}}),
    );
    let theirs = doc(
        json!({"profiles": {"a": {"n": 2}, "b": {"n": 1}, "d": 1, "e": 1},
                            "usageStats": {"a": {"lastUsed": 2, "errorCount": 0}}, "later": 1}),
    );
    let ours = doc(
        json!({"profiles": {"a": {"n": 1}, "b": {"n": 1, "m": 1}, "c": {"n": 1}, "e": 1},
                          "usageStats": {"a": {"lastUsed": 1, "errorCount": 0}}}),
    );
    let merged = merge(&base, &theirs, &ours);
    let entry = |section, key: &str| Place::Entry {
        section,
        key: key.to_owned(),
    };
    let updated = |fields: &[&str]| {
        Some(Edit::Updated {
            fields: fields.iter().map(|field| (*field).to_owned()).collect(),
        })
    };
    let change = |place, side, vault, file| Change {
        place,
        side,
        vault,
        file,
    };
    let (profile, removed) = (Section::Profiles, Some(Edit::Removed));
    let later = Place::Field {
        name: "later".to_owned(),
    };
    let (n, m, used) = (updated(&["n"]), updated(&["m"]), updated(&["lastUsed"]));
    let wanted = [
        change(entry(profile, "a"), Side::File, n, None),
        change(entry(profile, "b"), Side::Vault, None, m),
        change(entry(profile, "d"), Side::Vault, None, removed.clone()),
        change(entry(profile, "c"), Side::File, removed, None),
        change(entry(Section::Usage, "a"), Side::File, used, None),
        change(later, Side::File, Some(Edit::Added), None),
    ];
    assert_eq!(merged.changes, wanted);
    assert_eq!((for_vault(&merged).len(), for_file(&merged).len()), (4, 2));
}

// ---- Properties ----

const KEYS: &[&str] = &["a", "b", "c", "d"];

fn leaf() -> impl Strategy<Value = Value> + Clone {
    select(vec![
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(2),
        json!(1.5),
        json!("x"),
        json!("y"),
    ])
}

fn object_of(
    value: impl Strategy<Value = Value>,
    keys: &'static [&'static str],
) -> impl Strategy<Value = Value> {
    vec((select(keys), value), 0..4).prop_map(|entries| {
        entries
            .into_iter()
            .map(|(key, value)| (key.to_owned(), value))
            .collect()
    })
}

/// Any JSON, nested a little, from few values, so that the sides often agree.
fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(Value::Array),
            object_of(inner, &["a", "expires", "failureCounts"]),
        ]
    })
}

fn profiles() -> impl Strategy<Value = Value> {
    let entry = object_of(leaf(), &["type", "token", "expires"]);
    object_of(prop_oneof![4 => entry, 1 => any_json()], KEYS)
}

/// A document; its sections are mostly objects, sometimes anything, sometimes absent.
fn any_doc() -> impl Strategy<Value = StoreDoc> {
    let section =
        || prop::option::of(prop_oneof![4 => object_of(any_json(), KEYS), 1 => any_json()]);
    let fields = (
        prop::option::of(leaf()),
        profiles(),
        section(),
        section(),
        section(),
        prop::option::of(any_json()),
    );
    fields.prop_map(|(version, profiles, order, last_good, usage, later)| {
        let named = [
            ("later", later),
            ("version", version),
            ("profiles", Some(profiles)),
            ("usageStats", usage),
            ("order", order),
            ("lastGood", last_good),
        ];
        doc(named
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?)))
            .collect())
    })
}

/// A base and two sides, each often the base or the other with one thing changed.
fn three() -> impl Strategy<Value = (StoreDoc, StoreDoc, StoreDoc)> {
    let changed = || {
        prop::option::of((
            select(Section::ALL.to_vec()),
            select(KEYS),
            prop::option::of(any_json()),
        ))
    };
    let near =
        (any_doc(), vec(changed(), 3), vec(changed(), 3)).prop_map(|(base, theirs, ours)| {
            let apply = |edits: Vec<Option<(Section, &str, Option<Value>)>>| {
                let mut doc = base.clone();
                for (section, key, value) in edits.into_iter().flatten() {
                    match value {
                        Some(value) => doc.set(section, key, value),
                        None => doc.remove(section, key),
                    }
                }
                doc
            };
            let (theirs, ours) = (apply(theirs), apply(ours));
            (base, theirs, ours)
        });
    prop_oneof![near, (any_doc(), any_doc(), any_doc())]
}

/// Statistics of numbers only, each member of one shape.
fn statistics() -> impl Strategy<Value = Value> {
    let number = || {
        let values = [
            json!(1),
            json!(2),
            json!(2.5),
            json!(-3),
            json!(9_007_199_254_740_993_u64),
        ];
        select(values.to_vec())
    };
    let counts = object_of(number(), &["auth", "timeout"]);
    let members = (
        object_of(number(), &["lastUsed", "errorCount"]),
        prop::option::of(counts),
    );
    members.prop_map(|(mut entry, counts)| {
        if let Some(counts) = counts {
            entry["failureCounts"] = counts;
        }
        entry
    })
}

/// What the vault is: entries in tables, the rest beside them. Takes the edits of one side.
fn written(side: &StoreDoc, result: &StoreDoc, edits: &[(&Change, &Edit)]) -> Value {
    let mut fields = side.expose_secret().clone();
    let mut tables = Vec::new();
    for section in Section::ALL {
        let table = match fields.get(section.key()) {
            Some(Value::Object(entries)) if !entries.is_empty() || section == Section::Profiles => {
                fields
                    .remove(section.key())
                    .and_then(|entries| entries.as_object().cloned())
            }
            _ => None,
        };
        tables.push((section, table.unwrap_or_default()));
    }
    for (change, edit) in edits {
        let (target, key, value) = match &change.place {
            Place::Entry { section, key } => {
                let table = &mut tables.iter_mut().find(|(of, _)| of == section).unwrap().1;
                (table, key, result.get(*section, key))
            }
            Place::Field { name } => (&mut fields, name, result.expose_secret().get(name)),
        };
        let fits = match edit {
            Edit::Removed => target.remove(key).is_some(),
            Edit::Added => target.insert(key.clone(), value.unwrap().clone()).is_none(),
            Edit::Updated { .. } => target.insert(key.clone(), value.unwrap().clone()).is_some(),
        };
        assert!(fits, "{change:?} does not fit what stands there");
    }
    for (section, table) in tables {
        if !table.is_empty() || section == Section::Profiles {
            fields.insert(section.key().to_owned(), Value::Object(table));
        }
    }
    Value::Object(fields)
}

fn ids(doc: &StoreDoc) -> Vec<String> {
    doc.entries(Section::Profiles)
        .map(|(id, _)| id.to_owned())
        .collect()
}

proptest! {
    #[test]
    fn what_only_the_file_changed_is_the_file((base, theirs, _) in three()) {
        let merged = merge(&base, &theirs, &base.clone());
        prop_assert_eq!(text(&merged.doc), text(&theirs), "to the order of its keys");
        prop_assert_eq!(&changes_of_file(&theirs, &base), &merged.changes, "the short way");
        prop_assert_eq!(for_file(&merged).len(), 0);
        prop_assert!(merged.lost.is_empty());
        prop_assert!(merged.changes.iter().all(|change| change.side == Side::File));
        prop_assert_eq!(merged.changes.is_empty(), base == theirs);
    }

    #[test]
    fn what_only_the_vault_changed_is_the_vault((base, _, ours) in three()) {
        let merged = merge(&base, &base, &ours);
        prop_assert_eq!(&merged.doc, &ours);
        prop_assert_eq!(for_vault(&merged).len(), 0);
        prop_assert!(merged.lost.is_empty());
        prop_assert!(merged.changes.iter().all(|change| change.side == Side::Vault));
    }

    #[test]
    fn a_merge_settles((base, theirs, ours) in three()) {
        let result = merge(&base, &theirs, &ours).doc;
        let again = merge(&base, &result, &result);
        prop_assert_eq!(text(&again.doc), text(&result));
        prop_assert!(again.changes.is_empty() && again.lost.is_empty());
        let after_export = merge(&result, &result, &result);
        prop_assert!(after_export.changes.is_empty());
    }

    #[test]
    fn what_either_side_added_is_there((base, theirs, ours) in three()) {
        let result = merge(&base, &theirs, &ours).doc;
        for section in Section::ALL {
            for (key, _) in theirs.entries(section).chain(ours.entries(section)) {
                let added = base.get(section, key).is_none();
                // Where one side alone has put something else in the section's place, that stands.
                let whole = result.section(section).is_some() || section == Section::Profiles;
                let is_kept = result.get(section, key).is_some();
                prop_assert!(!added || !whole || is_kept, "{:?} {}", section, key);
            }
        }
        for name in theirs.expose_secret().keys().chain(ours.expose_secret().keys()) {
            let added = !base.expose_secret().contains_key(name);
            prop_assert!(!added || result.expose_secret().contains_key(name), "{}", name);
        }
    }

    #[test]
    fn an_entry_is_lost_only_to_a_section_of_another_shape((base, theirs, ours) in three()) {
        let result = merge(&base, &theirs, &ours).doc;
        for section in Section::ALL {
            let is_entries = |doc: &StoreDoc| {
                doc.expose_secret().get(section.key()).is_none_or(Value::is_object)
            };
            if is_entries(&theirs) && is_entries(&ours) {
                for (key, _) in theirs.entries(section).chain(ours.entries(section)) {
                    let [b, t, o] = [&base, &theirs, &ours].map(|doc| doc.get(section, key));
                    let deleted = (t.is_none() && o == b) || (o.is_none() && t == b);
                    let is_gone = result.get(section, key).is_none();
                    prop_assert_eq!(is_gone, deleted, "{:?} {}", section, key);
                }
            } else if theirs.section(section).is_some() || ours.section(section).is_some() {
                let whole = |doc: &StoreDoc| doc.expose_secret().get(section.key()).cloned();
                let both_moved = whole(&theirs) != whole(&base) && whole(&ours) != whole(&base);
                prop_assert!(!both_moved || result.section(section).is_some());
            }
        }
    }

    #[test]
    fn a_profile_is_never_a_mixture_and_the_loser_never_lasts_longer(
        (base, theirs, ours) in three()
    ) {
        let merged = merge(&base, &theirs, &ours);
        for (id, entry) in merged.doc.entries(Section::Profiles) {
            let (t, o) = (theirs.get(Section::Profiles, id), ours.get(Section::Profiles, id));
            prop_assert!(Some(entry) == t || Some(entry) == o);
            let b = base.get(Section::Profiles, id);
            let contested = t.is_some() && o.is_some() && t != o && t != b && o != b;
            let lost: Vec<_> = merged.lost.iter().filter(|lost| lost.id.as_str() == id).collect();
            prop_assert_eq!(lost.len(), usize::from(contested));
            if let [lost] = lost.as_slice() {
                let until = |entry: &Value| {
                    entry.get("expires").and_then(Value::as_f64).unwrap_or(f64::MIN)
                };
                prop_assert!(until(lost.entry.expose_secret()) <= until(entry));
                let is_tie = until(lost.entry.expose_secret()) == until(entry);
                prop_assert!(!is_tie || Some(entry) == t, "else the file's");
                let whose = if lost.side == Side::File { t } else { o };
                prop_assert_eq!(Some(lost.entry.expose_secret()), whose);
            }
        }
    }

    #[test]
    fn numbers_do_not_depend_on_the_side(stats in vec(statistics(), 3)) {
        let [base, one, other] = [0, 1, 2].map(|n| usage(&stats[n]));
        prop_assert_eq!(merge(&base, &one, &other).doc, merge(&base, &other, &one).doc);
    }

    #[test]
    fn a_number_that_both_changed_ends_as_the_larger(stats in vec(statistics(), 3)) {
        let [base, theirs, ours] = [0, 1, 2].map(|n| usage(&stats[n]));
        let result = merge(&base, &theirs, &ours).doc;
        let counts = ["/failureCounts/auth", "/failureCounts/timeout"];
        for member in ["/lastUsed", "/errorCount"].into_iter().chain(counts) {
            let number = |doc: &StoreDoc| {
                doc.get(Section::Usage, "p")?.pointer(member)?.as_f64()
            };
            let (b, t, o) = (number(&base), number(&theirs), number(&ours));
            if let (Some(theirs), Some(ours)) = (t, o) && t != b && o != b {
                prop_assert_eq!(number(&result), Some(theirs.max(ours)), "{}", member);
            }
        }
    }

    #[test]
    fn an_order_a_last_good_and_an_unknown_field_that_both_changed_are_the_file_s(
        (base, theirs, ours) in three()
    ) {
        let result = merge(&base, &theirs, &ours).doc;
        let both_changed = |b: Option<&Value>, t: Option<&Value>, o: Option<&Value>| {
            t.is_some() && o.is_some() && t != b && o != b
        };
        for section in [Section::Order, Section::LastGood] {
            let is_entries = |doc: &StoreDoc| doc.section(section).is_some();
            let keys = KEYS.iter().filter(|_| is_entries(&theirs) && is_entries(&ours));
            for key in keys {
                let [b, t, o] = [&base, &theirs, &ours].map(|doc| doc.get(section, key));
                let is_theirs = result.get(section, key) == t;
                prop_assert!(!both_changed(b, t, o) || is_theirs, "{:?} {}", section, key);
            }
        }
        for name in ["later", "version"] {
            let at = |doc: &StoreDoc| doc.expose_secret().get(name).cloned();
            let (b, t, o) = (at(&base), at(&theirs), at(&ours));
            let both = both_changed(b.as_ref(), t.as_ref(), o.as_ref());
            prop_assert!(!both || at(&result) == t, "{}", name);
        }
    }

    #[test]
    fn the_changes_written_to_either_side_make_it_the_result((base, theirs, ours) in three()) {
        let merged = merge(&base, &theirs, &ours);
        let result = Value::Object(merged.doc.expose_secret().clone());
        prop_assert_eq!(&written(&ours, &merged.doc, &for_vault(&merged)), &result);
        prop_assert_eq!(&written(&theirs, &merged.doc, &for_file(&merged)), &result);
    }

    #[test]
    fn order_is_that_of_the_side_that_changed_it_and_else_the_file_s(
        (base, theirs, ours) in three()
    ) {
        let merged = merge(&base, &theirs, &ours);
        let result = ids(&merged.doc);
        let kept = |doc: &StoreDoc| {
            ids(doc).into_iter().filter(|id| result.contains(id)).collect::<Vec<_>>()
        };
        let only_ours = ids(&theirs) == ids(&base) && ids(&ours) != ids(&base);
        let (first, second) = if only_ours { (&ours, &theirs) } else { (&theirs, &ours) };
        let mut want = kept(first);
        let is_new = |id: &String| first.get(Section::Profiles, id).is_none();
        want.extend(kept(second).into_iter().filter(is_new));
        prop_assert_eq!(&result, &want);
    }
}
