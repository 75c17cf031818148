//! What a merge changed, for whom: computed from the result, so it cannot disagree with it.

use serde_json::{Map, Value};

use crate::domain::{ProfileId, SecretJson, Section, StoreDoc, named, same_json};

/// A place in the document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// One entry of a section.
    Entry {
        /// The section of the document.
        section: Section,
        /// The entry's key: a profile id or a provider.
        key: String,
    },
    /// A top-level field as a whole: one we do not know, or `version`, or what stands in a
    /// section's place without being entries (`"order": {}`, `"usageStats": null`).
    Field {
        /// The name of the field.
        name: String,
    },
}

named! {
    /// Who had moved away from the base.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Side {
        /// The program that wrote `auth-profiles.json`.
        File = "file",
        /// The vault, by a command of this program.
        Vault = "vault",
        /// Both of them, each in its way.
        Both = "both",
    }
}

/// What has to happen to one side for it to become the result. The new value is in the result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Edit {
    /// The value was not there before.
    Added,
    /// It is another value now.
    Updated {
        /// The names of the members that differ, where both values are objects; else none.
        fields: Vec<String>,
    },
    /// It is there no longer.
    Removed,
}

/// One place where the result differs from a side. Names only, no values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The place in the document.
    pub place: Place,
    /// Who had changed it since the base.
    pub side: Side,
    /// What the vault has to write; `None` when it has the result already.
    pub vault: Option<Edit>,
    /// What the file has to get; `None` when it has the result already.
    pub file: Option<Edit>,
}

/// A credential that gave way to another version of its profile.
#[derive(Clone, Debug)]
pub struct Lost {
    /// The profile that it was of.
    pub id: ProfileId,
    /// The whole entry of the credential.
    pub entry: SecretJson,
    /// The side that had it; never [`Side::Both`].
    pub side: Side,
}

/// Every change, in the order of the result's sections.
pub(super) fn between(
    base: &StoreDoc,
    theirs: &StoreDoc,
    ours: &StoreDoc,
    result: &StoreDoc,
) -> Vec<Change> {
    let entries = Section::ALL.into_iter().flat_map(|section| {
        union(theirs.section(section), ours.section(section)).filter_map(move |key| {
            change(
                || Place::Entry {
                    section,
                    key: key.clone(),
                },
                base.get(section, key),
                theirs.get(section, key),
                ours.get(section, key),
                result.get(section, key),
            )
        })
    });
    let fields = keys(theirs.expose_secret(), ours.expose_secret()).filter_map(|name| {
        change(
            || Place::Field { name: name.clone() },
            beside_entries(base, name),
            beside_entries(theirs, name),
            beside_entries(ours, name),
            beside_entries(result, name),
        )
    });
    entries.chain(fields).collect()
}

/// What stands at the top level under `name` and is not made of entries: everything but a section
/// with entries in it, and but `profiles`, which always stands.
fn beside_entries<'a>(doc: &'a StoreDoc, name: &str) -> Option<&'a Value> {
    let value = doc.expose_secret().get(name)?;
    let is_entries = match Section::ALL
        .into_iter()
        .find(|section| section.key() == name)
    {
        None => false,
        Some(Section::Profiles) => true,
        Some(_) => value.as_object().is_some_and(|entries| !entries.is_empty()),
    };
    (!is_entries).then_some(value)
}

fn change(
    place: impl FnOnce() -> Place,
    base: Option<&Value>,
    theirs: Option<&Value>,
    ours: Option<&Value>,
    result: Option<&Value>,
) -> Option<Change> {
    let (vault, file) = (edit(ours, result), edit(theirs, result));
    if vault.is_none() && file.is_none() {
        return None;
    }
    let side = match (!same(theirs, base), !same(ours, base)) {
        (true, false) => Side::File,
        (false, true) => Side::Vault,
        _ => Side::Both,
    };
    Some(Change {
        place: place(),
        side,
        vault,
        file,
    })
}

fn edit(from: Option<&Value>, to: Option<&Value>) -> Option<Edit> {
    match (from, to) {
        (None, None) => None,
        (None, Some(_)) => Some(Edit::Added),
        (Some(_), None) => Some(Edit::Removed),
        (Some(from), Some(to)) if same_json(from, to) => None,
        (Some(Value::Object(from)), Some(Value::Object(to))) => {
            let differing = keys(from, to).filter(|name| from.get(*name) != to.get(*name));
            Some(Edit::Updated {
                fields: differing.cloned().collect(),
            })
        }
        (Some(_), Some(_)) => Some(Edit::Updated { fields: Vec::new() }),
    }
}

/// The credentials that one side had changed and the result does not have, because the other side
/// had changed the same profile.
pub(super) fn lost(theirs: &StoreDoc, ours: &StoreDoc, changes: &[Change]) -> Vec<Lost> {
    let gave_way = |edit: &Option<Edit>| matches!(edit, Some(Edit::Updated { .. }));
    changes
        .iter()
        .filter(|change| change.side == Side::Both)
        .filter_map(|change| {
            let Place::Entry {
                section: Section::Profiles,
                key,
            } = &change.place
            else {
                return None;
            };
            let (side, doc) = if gave_way(&change.vault) {
                (Side::Vault, ours)
            } else if gave_way(&change.file) {
                (Side::File, theirs)
            } else {
                return None;
            };
            let entry = SecretJson::new(doc.get(Section::Profiles, key)?.clone());
            Some(Lost {
                id: ProfileId::new(key),
                entry,
                side,
            })
        })
        .collect()
}

fn union<'a>(
    first: Option<&'a Map<String, Value>>,
    second: Option<&'a Map<String, Value>>,
) -> impl Iterator<Item = &'a String> {
    let has = move |key: &str| first.is_some_and(|first| first.contains_key(key));
    let rest = second
        .into_iter()
        .flat_map(Map::keys)
        .filter(move |key| !has(key));
    first.into_iter().flat_map(Map::keys).chain(rest)
}

/// The keys of both, the first one's first, each once.
pub(super) fn keys<'a>(
    first: &'a Map<String, Value>,
    second: &'a Map<String, Value>,
) -> impl Iterator<Item = &'a String> {
    first
        .keys()
        .chain(second.keys().filter(|key| !first.contains_key(*key)))
}

/// Whether two values are the same JSON, or both are absent.
pub(super) fn same(a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => same_json(a, b),
        (a, b) => a.is_none() && b.is_none(),
    }
}
