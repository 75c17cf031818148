//! Three documents of any shape, joined.

use serde_json::Value;

use super::draw::Draw;
use crate::domain::{ProfileId, Section, StoreDoc};
use crate::sync::merge::{changes_of_file, merge as join};

const FIELDS: [&str; 6] = [
    "profiles",
    "order",
    "lastGood",
    "usageStats",
    "version",
    "x",
];
const KEYS: [&str; 4] = ["a", "b", "", "c:d"];
const MEMBERS: [&str; 6] = ["type", "provider", "access", "expires", "errorCount", "a"];

/// A merge loses no profile that only one side has, mixes no two, settles, and names what gave way.
pub fn merge(data: &[u8]) {
    let mut draw = Draw::new(data);
    let base = document(&mut draw);
    let (theirs, ours) = (side(&mut draw, &base), side(&mut draw, &base));
    let joined = join(&base, &theirs, &ours);
    let doc = &joined.doc;

    for (id, entry) in theirs
        .entries(Section::Profiles)
        .chain(ours.entries(Section::Profiles))
    {
        let of = |doc: &StoreDoc| doc.get(Section::Profiles, id).cloned();
        let (was, result) = (of(&base), of(doc));
        let sides = [of(&theirs), of(&ours)];
        let is_kept = was.as_ref() != Some(entry) || sides.iter().all(Option::is_some);
        assert_eq!(result.is_some(), is_kept, "a profile is lost, or came back");
        assert!(result.is_none() || sides.contains(&result), "a mixture");
        if let [Some(theirs), Some(ours)] = &sides {
            let is_contested =
                theirs != ours && Some(theirs) != was.as_ref() && Some(ours) != was.as_ref();
            let lost = joined
                .lost
                .iter()
                .filter(|lost| lost.id == ProfileId::new(id));
            assert_eq!(lost.count(), usize::from(is_contested));
        }
    }
    for lost in &joined.lost {
        let stands = doc.get(Section::Profiles, lost.id.as_str());
        assert_ne!(stands, Some(lost.entry.expose_secret()));
    }

    let again = join(&base, doc, doc);
    assert!(
        again.doc == *doc && again.changes.is_empty(),
        "it does not settle"
    );
    let of_file = join(&base, &theirs, &base);
    assert!(of_file.doc == theirs, "only the file changed");
    assert_eq!(changes_of_file(&theirs, &base), of_file.changes);
    assert!(
        join(&base, &base, &ours).doc == ours,
        "only the vault changed"
    );
}

fn document(draw: &mut Draw<'_>) -> StoreDoc {
    let mut doc = StoreDoc::default();
    for _ in 0..draw.below(12) {
        alter(draw, &mut doc);
    }
    doc
}

/// The base with some things changed, or a document of its own.
fn side(draw: &mut Draw<'_>, base: &StoreDoc) -> StoreDoc {
    let count = draw.byte();
    if count >= 0xf0 {
        return document(draw);
    }
    let mut doc = base.clone();
    for _ in 0..count % 8 {
        alter(draw, &mut doc);
    }
    doc
}

fn alter(draw: &mut Draw<'_>, doc: &mut StoreDoc) {
    let section = draw.one_of(&Section::ALL);
    match draw.below(6) {
        0 => doc.remove(section, draw.one_of(&KEYS)),
        1 => {
            let mut root = doc.expose_secret().clone();
            let value = draw.json(&KEYS, 3);
            root.insert(draw.one_of(&FIELDS).to_owned(), value);
            if let Ok(with) = StoreDoc::from_json(Value::Object(root)) {
                *doc = with;
            }
        }
        2 => doc.set(section, draw.one_of(&KEYS), draw.json(&MEMBERS, 2)),
        _ => doc.set(section, draw.one_of(&KEYS), draw.object(&MEMBERS, 2)),
    }
}
