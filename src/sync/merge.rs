//! Joining what two writers made of one store: the gateway in the file, we in the vault.
//!
//! Pure: three documents in, one out, with what changed for whom. The base is the document of the
//! last export. Rules: `spec/compat.md`, The file has two writers. In short: changed on one side,
//! that side wins; deleted on one side and changed on the other, the change stays; changed on
//! both, credentials go by later expiry, statistics member by member and by larger number, the
//! rest by the file.
//!
//! Every step is linear in the size of the documents.

mod changes;

use std::cmp::Ordering;

use serde_json::{Map, Number, Value};

use crate::domain::{Expiry, Section, StoreDoc};

use self::changes::{keys, same};
pub use changes::{Change, Edit, Lost, Place, Side};

/// The joined document and what it means for either side. `Debug` shows ids and field names only.
#[derive(Debug)]
pub struct Merged {
    /// The result: entries in the file's order first, then those only the vault has, in its order;
    /// the other way about where only the vault has changed which there are or how they stand.
    pub doc: StoreDoc,
    /// Each place where the result differs from the vault, from the file, or from both.
    pub changes: Vec<Change>,
    /// Credentials that gave way where both sides had changed one profile; to be kept as versions.
    pub lost: Vec<Lost>,
}

/// Joins the file's document (`theirs`) and the vault's (`ours`), both descended from `base`.
#[must_use]
pub fn merge(base: &StoreDoc, theirs: &StoreDoc, ours: &StoreDoc) -> Merged {
    let (base_root, theirs_root, ours_root) = (
        base.expose_secret(),
        theirs.expose_secret(),
        ours.expose_secret(),
    );
    let root: Map<String, Value> = keys(theirs_root, ours_root)
        .filter_map(|name| {
            let (b, t, o) = (
                base_root.get(name),
                theirs_root.get(name),
                ours_root.get(name),
            );
            let joined = match Section::ALL
                .into_iter()
                .find(|section| section.key() == name)
            {
                Some(section) => join_section(section, b, t, o),
                None => join(b, t, o, |_, theirs, _| theirs.clone()),
            };
            Some((name.clone(), joined?))
        })
        .collect();
    let doc = StoreDoc::from_json(Value::Object(root))
        .expect("both sides have a `profiles` object, and joining two objects gives an object");
    let changes = changes::between(base, theirs, ours, &doc);
    Merged {
        lost: changes::lost(theirs, ours, &changes),
        changes,
        doc,
    }
}

/// What joining means where only the file has changed, and the vault has what was last in it
/// (`ours`): by every rule the result is the file's document, and nothing is lost.
#[must_use]
pub fn changes_of_file(theirs: &StoreDoc, ours: &StoreDoc) -> Vec<Change> {
    changes::between(ours, theirs, ours, theirs)
}

/// The three-way rule for one value; `conflict` decides where both sides changed it differently.
fn join(
    base: Option<&Value>,
    theirs: Option<&Value>,
    ours: Option<&Value>,
    conflict: impl FnOnce(Option<&Value>, &Value, &Value) -> Value,
) -> Option<Value> {
    if same(theirs, ours) || same(ours, base) {
        return theirs.cloned();
    }
    if same(theirs, base) {
        return ours.cloned();
    }
    match (theirs, ours) {
        (Some(theirs), Some(ours)) => Some(conflict(base, theirs, ours)),
        // Deleted on one side, changed on the other: a change is never lost to a deletion.
        (one, other) => one.or(other).cloned(),
    }
}

/// Joins a section entry by entry. One that is no object on either side is one opaque value; where
/// only one side has made it that and both have changed it, the side with entries stays.
fn join_section(
    section: Section,
    base: Option<&Value>,
    theirs: Option<&Value>,
    ours: Option<&Value>,
) -> Option<Value> {
    let empty = Map::new();
    let sides = (entries(theirs, &empty), entries(ours, &empty));
    let (Some(theirs_entries), Some(ours_entries)) = sides else {
        return join(base, theirs, ours, |_, theirs, ours| {
            if ours.is_object() {
                ours.clone()
            } else {
                theirs.clone()
            }
        });
    };
    let base_entries = entries(base, &empty).unwrap_or(&empty);
    let conflict = match section {
        Section::Profiles => later_credential,
        Section::Usage => join_statistics,
        Section::Order | Section::LastGood => {
            |_: Option<&Value>, theirs: &Value, _: &Value| theirs.clone()
        }
    };
    let joined = join_entries(base_entries, theirs_entries, ours_entries, conflict);
    // An emptied section stands or goes by the same rule: as both have it, else as one made it.
    let stands = match (theirs.is_some(), ours.is_some()) {
        (theirs, ours) if theirs == ours => theirs,
        _ => base.is_none(),
    };
    (stands || !joined.is_empty()).then_some(Value::Object(joined))
}

/// A section's entries, none where it is absent; `None` where something else stands in its place.
fn entries<'a>(
    section: Option<&'a Value>,
    none: &'a Map<String, Value>,
) -> Option<&'a Map<String, Value>> {
    section.map_or(Some(none), Value::as_object)
}

fn join_entries(
    base: &Map<String, Value>,
    theirs: &Map<String, Value>,
    ours: &Map<String, Value>,
    conflict: fn(Option<&Value>, &Value, &Value) -> Value,
) -> Map<String, Value> {
    // Order is joined as values are: changed on one side, that side's counts; on both, the file's.
    let (first, second) = match () {
        () if !ours.keys().eq(base.keys()) && theirs.keys().eq(base.keys()) => (ours, theirs),
        () => (theirs, ours),
    };
    keys(first, second)
        .filter_map(|key| {
            let joined = join(base.get(key), theirs.get(key), ours.get(key), conflict)?;
            Some((key.clone(), joined))
        })
        .collect()
}

/// Two new versions of one profile: the one that lasts longer, else the file's. Never a mixture: an
/// access token of one login with the refresh token of another is no login.
fn later_credential(_base: Option<&Value>, theirs: &Value, ours: &Value) -> Value {
    let until = |entry: &Value| Expiry::from_json(entry.get("expires")).map(Expiry::ms);
    // No expiry sorts below every expiry.
    if until(ours) > until(theirs) {
        ours.clone()
    } else {
        theirs.clone()
    }
}

/// Two new versions of a profile's statistics, or of a member of them: objects member by member,
/// numbers (counters, times) by the larger, anything else by the file.
fn join_statistics(base: Option<&Value>, theirs: &Value, ours: &Value) -> Value {
    match (theirs, ours) {
        (Value::Object(theirs), Value::Object(ours)) => {
            let empty = Map::new();
            let base = base.and_then(Value::as_object).unwrap_or(&empty);
            Value::Object(join_entries(base, theirs, ours, join_statistics))
        }
        (Value::Number(t), Value::Number(o)) if compare(o, t) == Ordering::Greater => ours.clone(),
        _ => theirs.clone(),
    }
}

/// By value; integers exactly, since those above 2^53 are equal as floating-point numbers too soon.
fn compare(a: &Number, b: &Number) -> Ordering {
    match (a.as_i128(), b.as_i128()) {
        (Some(a), Some(b)) => a.cmp(&b),
        _ => a
            .as_f64()
            .partial_cmp(&b.as_f64())
            .unwrap_or(Ordering::Equal),
    }
}

#[cfg(test)]
mod tests;
