//! Old copies: a program that has had a store in memory since before a command changed it writes it
//! back as it was.
//!
//! What the file says is an old copy only if all of its `profiles` and `order` are those of an
//! earlier content that a command has changed since; not, though, where its other fields are those
//! that the file had last and differ from the earlier content's: then it was made from the newest
//! file. Anything else is an edit, and an edit wins. Another program's own logins (Claude Code's,
//! Codex CLI's) are left out of the comparison: each load of a store brings those up to date by
//! itself.
//!
//! All pure but for the clock that the caller reads. `Superseded` is what the vault keeps of
//! earlier contents.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::domain::{Owner, Section, StoreDoc, UnixMs, same_json};
use crate::vault::Superseded;

/// After so many rounds, clawkeep stops writing over an old copy.
pub(crate) const ROUNDS_MAX: u64 = 3;
/// An earlier content is forgotten this long after it was replaced or last written back, in
/// milliseconds: 30 days, as long as replaced credentials are kept.
const AGE_MAX_MS: i64 = 30 * 24 * 3_600_000;

/// An old copy that another program wrote.
#[derive(Clone, Debug)]
pub(crate) struct OldCopy {
    /// The digest of its content.
    pub(crate) content: String,
    /// How often it has been written back, with this time.
    pub(crate) rounds: u64,
    pub(crate) undoes: Undoes,
}

/// What an old copy would undo: ids and providers, as the store has them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Undoes {
    /// Profiles that were removed, and that it still has.
    pub removed: Vec<String>,
    /// Profiles that were added, and that it lacks.
    pub added: Vec<String>,
    /// Profiles of which it has an earlier version.
    pub replaced: Vec<String>,
    /// Providers of which it has an earlier order.
    pub orders: Vec<String>,
}

impl Undoes {
    fn between(theirs: &StoreDoc, ours: &StoreDoc) -> Self {
        let mut found = Self::default();
        for (id, entry) in own_profiles(theirs) {
            match ours.get(Section::Profiles, id) {
                None => found.removed.push(id.to_owned()),
                Some(known) if !same_json(known, entry) => found.replaced.push(id.to_owned()),
                Some(_) => {}
            }
        }
        let is_new = |id: &&str| theirs.get(Section::Profiles, id).is_none();
        let ids = own_profiles(ours).map(|(id, _)| id);
        found.added = ids.filter(is_new).map(str::to_owned).collect();
        let providers = ours
            .entries(Section::Order)
            .chain(theirs.entries(Section::Order));
        for (provider, _) in providers {
            let (old, new) = (
                theirs.get(Section::Order, provider),
                ours.get(Section::Order, provider),
            );
            if old != new && !found.orders.iter().any(|known| known == provider) {
                found.orders.push(provider.to_owned());
            }
        }
        found
    }
}

/// The profiles that are not another program's own login.
fn own_profiles(doc: &StoreDoc) -> impl Iterator<Item = (&str, &Value)> {
    doc.entries(Section::Profiles)
        .filter(|(id, _)| Owner::of(id) == Owner::Vault)
}

/// Whether two stores have the same profiles and orders, in the same places.
pub(crate) fn is_same_content(a: &StoreDoc, b: &StoreDoc) -> bool {
    let same = |(a, b): ((&str, &Value), (&str, &Value))| a.0 == b.0 && same_json(a.1, b.1);
    let count = |doc| own_profiles(doc).count();
    let orders = |doc: &StoreDoc| doc.entries(Section::Order).count();
    count(a) == count(b)
        && orders(a) == orders(b)
        && own_profiles(a).zip(own_profiles(b)).all(same)
        && a.entries(Section::Order)
            .zip(b.entries(Section::Order))
            .all(same)
}

/// A digest of a store's profiles and orders, in their order.
pub(crate) fn content_of(doc: &StoreDoc) -> String {
    let mut hash = Sha256::new();
    for (section, entries) in [
        ("profiles", own_profiles(doc).collect::<Vec<_>>()),
        ("order", doc.entries(Section::Order).collect()),
    ] {
        add_text(&mut hash, section);
        for (key, value) in entries {
            add_text(&mut hash, key);
            add(&mut hash, value);
        }
    }
    cut(hash)
}

/// A digest of everything else that a store has.
pub(crate) fn rest_of(doc: &StoreDoc) -> String {
    let mut hash = Sha256::new();
    let content = [Section::Profiles.key(), Section::Order.key()];
    let mut fields: Vec<_> = doc.expose_secret().iter().collect();
    fields.retain(|(name, _)| !content.contains(&name.as_str()));
    fields.sort_by_key(|(name, _)| *name);
    for (name, value) in fields {
        add_text(&mut hash, name);
        add(&mut hash, value);
    }
    cut(hash)
}

fn cut(hash: Sha256) -> String {
    data_encoding::HEXLOWER.encode(&hash.finalize()[..16])
}

fn add_text(hash: &mut Sha256, text: &str) {
    hash.update((text.len() as u64).to_be_bytes());
    hash.update(text.as_bytes());
}

/// Adds a value: no two different ones add the same. The order of fields says nothing.
fn add(hash: &mut Sha256, value: &Value) {
    match value {
        Value::Null => hash.update(b"z"),
        Value::Bool(true) => hash.update(b"t"),
        Value::Bool(false) => hash.update(b"f"),
        Value::Number(number) => {
            hash.update(b"n");
            add_text(hash, &number.to_string());
        }
        Value::String(text) => {
            hash.update(b"s");
            add_text(hash, text);
        }
        Value::Array(items) => {
            hash.update(b"a");
            hash.update((items.len() as u64).to_be_bytes());
            items.iter().for_each(|item| add(hash, item));
        }
        Value::Object(fields) => {
            hash.update(b"o");
            hash.update((fields.len() as u64).to_be_bytes());
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            for (name, value) in fields {
                add_text(hash, name);
                add(hash, value);
            }
        }
    }
}

/// Whether `theirs`, which another program wrote over `base`, is an old copy of the store that is
/// `ours` now.
///
/// One whose other fields are those of `base`, and not those that the earlier content had, was made
/// from what the file said last: somebody changed it back.
pub(crate) fn find(
    past: &[Superseded],
    (base, theirs, ours): (&StoreDoc, &StoreDoc, &StoreDoc),
    now: UnixMs,
) -> Option<OldCopy> {
    let mut decided = past
        .iter()
        .filter(|known| known.is_decided && is_kept(known, now))
        .peekable();
    decided.peek()?;
    // A program that left them as they were in the file has undone nothing.
    if is_same_content(theirs, ours) || is_same_content(theirs, base) {
        return None;
    }
    let content = content_of(theirs);
    let known = decided.find(|known| known.content == content)?;
    let rest = rest_of(theirs);
    if rest != known.rest && rest == rest_of(base) {
        return None;
    }
    Some(OldCopy {
        content,
        rounds: known.rounds.saturating_add(1),
        undoes: Undoes::between(theirs, ours),
    })
}

/// An old copy with the profiles and orders of `base`: what it brings beside them. What it says of
/// profiles that are not in `ours` any more is left out.
pub(crate) fn with_content_of(theirs: &StoreDoc, base: &StoreDoc, ours: &StoreDoc) -> StoreDoc {
    let mut doc = theirs.clone();
    for section in [Section::Profiles, Section::Order] {
        doc.copy_section(section, base);
    }
    let is_gone = |id: &str| {
        theirs.get(Section::Profiles, id).is_some() && ours.get(Section::Profiles, id).is_none()
    };
    for (id, _) in theirs.entries(Section::Usage) {
        if is_gone(id) && ours.get(Section::Usage, id).is_none() {
            doc.remove(Section::Usage, id);
        }
    }
    for (provider, last) in theirs.entries(Section::LastGood) {
        if last.as_str().is_some_and(is_gone) {
            match ours.get(Section::LastGood, provider) {
                Some(known) => doc.set(Section::LastGood, provider, known.clone()),
                None => doc.remove(Section::LastGood, provider),
            }
        }
    }
    doc
}

/// What a load does to the earlier contents that are kept.
pub(crate) struct Turn<'t> {
    /// The contents that were in the file until now, the oldest first.
    pub(crate) replaced: Vec<&'t StoreDoc>,
    /// What the store is to say.
    pub(crate) target: &'t StoreDoc,
    /// Whether a command changes profiles or orders.
    pub(crate) is_decision: bool,
    pub(crate) old_copy: Option<&'t OldCopy>,
}

/// The earlier contents after a load; nothing where they stay as they are.
pub(crate) fn after(past: &[Superseded], turn: &Turn<'_>, now: UnixMs) -> Option<Vec<Superseded>> {
    let mut kept = past.to_vec();
    for doc in &turn.replaced {
        if is_same_content(doc, turn.target) {
            continue;
        }
        let content = content_of(doc);
        if turn.old_copy.is_some_and(|old| old.content == content) {
            continue;
        }
        let before = kept.iter().position(|known| known.content == content);
        let before = before.map(|at| kept.remove(at));
        kept.push(Superseded {
            content,
            rest: rest_of(doc),
            at: now,
            // It is still there where its replacement could not be written, or was left alone.
            is_decided: before.as_ref().is_some_and(|before| before.is_decided),
            rounds: before.as_ref().map_or(0, |before| before.rounds),
            left_at: before.and_then(|before| before.left_at),
        });
    }
    if let Some(old) = turn.old_copy
        && let Some(at) = kept.iter().position(|known| known.content == old.content)
    {
        let mut known = kept.remove(at);
        known.rounds = old.rounds;
        known.at = now;
        known.left_at = (old.rounds >= ROUNDS_MAX).then(|| content_of(turn.target));
        kept.push(known);
    }
    if turn.is_decision {
        kept.iter_mut().for_each(|known| known.is_decided = true);
    }
    if kept == past {
        return None;
    }
    let target = content_of(turn.target);
    kept.retain(|known| known.content != target && is_kept(known, now));
    Some(kept)
}

/// Whether clawkeep stopped writing over the old copy that `file` is, while the vault has `ours`.
pub(crate) fn is_left_alone(
    past: &[Superseded],
    file: &StoreDoc,
    ours: &StoreDoc,
    now: UnixMs,
) -> bool {
    let mut left = past
        .iter()
        .filter(|known| known.left_at.is_some() && is_kept(known, now))
        .peekable();
    if left.peek().is_none() {
        return false;
    }
    let (file, ours) = (content_of(file), content_of(ours));
    left.any(|known| known.content == file && known.left_at.as_ref() == Some(&ours))
}

fn is_kept(known: &Superseded, now: UnixMs) -> bool {
    now.0.saturating_sub(known.at.0) < AGE_MAX_MS
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn doc(value: Value) -> StoreDoc {
        StoreDoc::from_json(value).unwrap()
    }

    fn store(ids: &[&str], order: &[&str], used: i64) -> StoreDoc {
        let mut store =
            json!({"version": 1, "profiles": {}, "usageStats": {"p:a": {"lastUsed": used}}});
        for id in ids {
            store["profiles"][id] = json!({"type": "api_key", "provider": "p", "key": id});
        }
        if !order.is_empty() {
            store["order"] = json!({"p": order});
        }
        doc(store)
    }

    /// The earlier contents after a command has changed `before` to `after`.
    fn decided(before: &StoreDoc, after: &StoreDoc) -> Vec<Superseded> {
        let turn = Turn {
            replaced: vec![before],
            target: after,
            is_decision: true,
            old_copy: None,
        };
        super::after(&[], &turn, UnixMs(0)).unwrap()
    }

    #[test]
    fn only_the_whole_of_an_earlier_content_is_an_old_copy() {
        let (old, new) = (store(&["p:a", "p:b"], &[], 1), store(&["p:a"], &[], 1));
        let past = decided(&old, &new);
        let is_old = |theirs: &StoreDoc| find(&past, (&new, theirs, &new), UnixMs(1)).is_some();
        assert!(is_old(&old));
        assert!(
            is_old(&store(&["p:a", "p:b"], &[], 9)),
            "statistics may differ"
        );
        for edit in [
            new.clone(),
            store(&["p:b", "p:a"], &[], 1), // added again behind the others
            store(&["p:a", "p:b"], &["p:b"], 1),
            store(&["p:a", "p:b", "p:c"], &[], 1),
            store(&[], &[], 1),
        ] {
            assert!(!is_old(&edit), "{:?}", edit.expose_secret());
        }
    }

    #[test]
    fn what_was_made_from_the_newest_file_is_an_edit() {
        let (old, new) = (store(&["p:a"], &["p:a"], 1), store(&["p:a"], &["p:b"], 1));
        let past = decided(&old, &new);
        let used = store(&["p:a"], &["p:b"], 5); // the gateway has used it since
        let back = store(&["p:a"], &["p:a"], 5);
        assert!(find(&past, (&used, &back, &used), UnixMs(1)).is_none());
        assert!(find(&past, (&used, &old, &used), UnixMs(1)).is_some());
    }

    #[test]
    fn what_no_command_has_changed_is_an_edit() {
        let (old, new) = (store(&["p:a", "p:b"], &[], 1), store(&["p:a"], &[], 1));
        let turn = Turn {
            replaced: vec![&old],
            target: &new,
            is_decision: false,
            old_copy: None,
        };
        let past = after(&[], &turn, UnixMs(0)).unwrap();
        assert!(find(&past, (&new, &old, &new), UnixMs(1)).is_none());
        let ordered = store(&["p:a"], &["p:a"], 1);
        let turn = Turn {
            replaced: vec![&new],
            target: &ordered,
            is_decision: true,
            old_copy: None,
        };
        let past = after(&past, &turn, UnixMs(1)).unwrap();
        let found = find(&past, (&ordered, &old, &ordered), UnixMs(2)).unwrap();
        assert_eq!(found.undoes.removed, ["p:b"]);
        assert_eq!(found.undoes.orders, ["p"]);
        assert!(find(&past, (&ordered, &old, &ordered), UnixMs(AGE_MAX_MS + 2)).is_none());
    }

    #[test]
    fn a_command_that_undoes_a_change_itself_makes_no_old_copy() {
        let (one, two) = (store(&["p:a"], &["p:a"], 1), store(&["p:a"], &["p:b"], 1));
        let past = decided(&one, &two);
        let turn = Turn {
            replaced: vec![&two],
            target: &one,
            is_decision: true,
            old_copy: None,
        };
        let past = after(&past, &turn, UnixMs(1)).unwrap();
        assert_eq!(past.len(), 1);
        assert_eq!(past[0].content, content_of(&two));
    }

    #[test]
    fn the_third_round_leaves_the_file_alone_until_the_vault_changes() {
        let (old, new) = (store(&["p:a", "p:b"], &[], 1), store(&["p:a"], &[], 1));
        let mut past = decided(&old, &new);
        for round in 1..=ROUNDS_MAX {
            assert!(!is_left_alone(&past, &old, &new, UnixMs(1)), "{round}");
            let found = find(&past, (&new, &old, &new), UnixMs(1)).unwrap();
            assert_eq!(found.rounds, round);
            let turn = Turn {
                replaced: vec![&new, &old],
                target: &new,
                is_decision: false,
                old_copy: Some(&found),
            };
            past = after(&past, &turn, UnixMs(1)).unwrap();
        }
        assert!(is_left_alone(&past, &old, &new, UnixMs(1)));
        let newer = store(&["p:a", "p:c"], &[], 1);
        assert!(!is_left_alone(&past, &old, &newer, UnixMs(1)));
        assert!(!is_left_alone(&past, &new, &new, UnixMs(1)));
    }

    #[test]
    fn an_old_copy_brings_its_statistics_and_nothing_of_what_is_gone() {
        let theirs = doc(json!({
            "profiles": {"p:a": 1, "p:b": 2}, "order": {"p": ["p:b"]}, "lastGood": {"p": "p:b"},
            "usageStats": {"p:a": {"lastUsed": 9}, "p:b": {"lastUsed": 8}}, "x": 1,
        }));
        let base = doc(json!({"profiles": {"p:a": 1}, "lastGood": {"p": "p:a"}}));
        let brought = with_content_of(&theirs, &base, &base);
        assert_eq!(
            Value::Object(brought.expose_secret().clone()),
            json!({
                "profiles": {"p:a": 1}, "lastGood": {"p": "p:a"},
                "usageStats": {"p:a": {"lastUsed": 9}}, "x": 1,
            })
        );
    }
}
