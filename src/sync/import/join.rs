//! Joining two documents: an imported file's, and that of an agent.

use serde_json::Value;

use crate::domain::{
    Credential, EntryFault, ExpiryFault, Section, StoreDoc, UnixMs, from_outside,
    normalize_provider,
};
use crate::health::{AsOf, CredentialState, Status};
use crate::sync::plan::Decision;

/// What an import makes of an agent's document, with the names of the profiles concerned.
#[derive(Debug)]
pub struct Imported {
    /// The agent's document after the import.
    pub doc: StoreDoc,
    /// Profiles that were not there.
    pub added: Vec<String>,
    /// Profiles whose credential the file's took the place of.
    pub replaced: Vec<String>,
    /// Profiles that stay because they last longer than the file's.
    pub kept: Vec<String>,
    /// Those of them whose entry in the file cannot be used, and why, as half a sentence.
    pub unusable: Vec<(String, String)>,
    /// Profiles that are the same in both.
    pub same: Vec<String>,
    /// Providers whose order came from the file, since there was none.
    pub orders: Vec<String>,
}

/// Adds what the file has to what is there, in the order that is there. Of two credentials the one
/// that is valid longer stays. An order, a last good one and statistics come along only where there
/// are none: they say how the others were used elsewhere.
pub(super) fn join(theirs: &StoreDoc, ours: &StoreDoc, now: UnixMs) -> Imported {
    let mut out = Imported::of(ours);
    for (id, entry) in theirs.entries(Section::Profiles) {
        let list = match ours.get(Section::Profiles, id) {
            Some(old) if old == entry => &mut out.same,
            // The person who wrote a reference would miss it.
            Some(old) if Credential::of(old).reference().is_some() => &mut out.kept,
            Some(old) if lasting(old, now) > lasting(entry, now) => {
                let why = why_unusable(entry, now);
                out.unusable.extend(why.map(|why| (id.to_owned(), why)));
                &mut out.kept
            }
            old => {
                out.doc.set(Section::Profiles, id, entry.clone());
                match old {
                    Some(_) => &mut out.replaced,
                    None => &mut out.added,
                }
            }
        };
        list.push(id.to_owned());
    }
    for section in [Section::Order, Section::LastGood] {
        for (provider, value) in theirs.entries(section) {
            let is_same = |key: &str| normalize_provider(key) == normalize_provider(provider);
            if !ours.entries(section).any(|(key, _)| is_same(key)) {
                out.doc.set(section, provider, value.clone());
                if section == Section::Order {
                    out.orders.push(provider.to_owned());
                }
            }
        }
    }
    for id in &out.added {
        if let Some(usage) = theirs.get(Section::Usage, id)
            && ours.get(Section::Usage, id).is_none()
        {
            out.doc.set(Section::Usage, id, usage.clone());
        }
    }
    for (name, value) in theirs.expose_secret() {
        if !ours.expose_secret().contains_key(name) {
            out.doc.set_field(name, value.clone());
        }
    }
    out
}

/// How long an entry is of use: not at all, not any more, unknown, until when, permanently.
fn lasting(entry: &Value, now: UnixMs) -> (u8, f64) {
    let credential = Credential::of(entry);
    let state = CredentialState::of(&credential, AsOf::at(now));
    if state.entry_fault.is_some() {
        return (0, 0.0);
    }
    match (state.health.status, credential.expiry()) {
        (Status::Expired, Some(end)) => (1, end.ms()),
        (Status::Missing, _) => (0, 0.0),
        _ if state.expiry_fault.is_some() => (2, 0.0),
        (Status::Ok | Status::Expiring, Some(end)) => (3, end.ms()),
        (Status::Static, _) => (4, 0.0),
        _ => (0, 0.0),
    }
}

/// What is wrong with an entry that is no reason to give a good one up, as half a sentence; nothing
/// for one that can be used.
pub(crate) fn why_unusable(entry: &Value, now: UnixMs) -> Option<String> {
    let credential = Credential::of(entry);
    if let Some(fault) = credential.entry_fault() {
        return Some(match fault {
            EntryFault::Reference(found) => {
                format!("is a reference ({}), not a secret", found.describe())
            }
            EntryFault::Misnamed(found) => {
                format!("has the {} \"{}\"", found.what, from_outside(found.written))
            }
            EntryFault::BadSecret(fault) => format!("has a secret that {fault}"),
            EntryFault::Empty => "holds no secret".to_owned(),
            EntryFault::Unreadable => "cannot be read".to_owned(),
        });
    }
    let fault = ExpiryFault::of(&credential, now).filter(|fault| *fault != ExpiryFault::Missing)?;
    Some(format!("has an expiry that {}", fault.words()))
}

pub(super) fn planned(id: &str, decision: &Decision, doc: &StoreDoc) -> Imported {
    let mut out = Imported::of(doc);
    match decision {
        Decision::Insert { entry } | Decision::Replace { entry, .. } => {
            let list = match decision {
                Decision::Insert { .. } => &mut out.added,
                _ => &mut out.replaced,
            };
            list.push(id.to_owned());
            out.doc
                .set(Section::Profiles, id, entry.expose_secret().clone());
        }
        Decision::Keep { why } => {
            use crate::sync::plan::KeepReason::{Same, SameLogin};
            let list = match why {
                Same | SameLogin => &mut out.same,
                _ => &mut out.kept,
            };
            list.push(id.to_owned());
        }
    }
    out
}

impl Imported {
    fn of(doc: &StoreDoc) -> Self {
        Self {
            doc: doc.clone(),
            added: Vec::new(),
            replaced: Vec::new(),
            kept: Vec::new(),
            unusable: Vec::new(),
            same: Vec::new(),
            orders: Vec::new(),
        }
    }

    /// The profiles that have the file's credential now.
    pub fn taken(&self) -> impl Iterator<Item = &str> {
        let taken = self.added.iter().chain(&self.replaced).chain(&self.same);
        taken.map(String::as_str)
    }

    /// Entries of those profiles that cannot be read as credentials: kept whole, and of no use.
    #[must_use]
    pub fn unreadable(&self) -> Vec<&str> {
        let named = self.added.iter().chain(&self.replaced);
        named
            .map(String::as_str)
            .filter(|id| {
                let entry = self.doc.get(Section::Profiles, id);
                entry.is_some_and(|entry| !Credential::of(entry).is_readable())
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    const NOW: UnixMs = UnixMs(1_768_000_000_000);

    fn doc(value: Value) -> StoreDoc {
        StoreDoc::from_json(value).unwrap()
    }

    /// A token that expires so many days from now.
    fn token(token: &str, days: i64) -> Value {
        let expires = NOW.0 + days * 86_400_000;
        json!({"type": "token", "provider": "p", "token": token, "expires": expires})
    }

    #[test]
    fn what_is_of_use_does_not_give_way_to_what_is_not() {
        let key = json!({"type": "api_key", "provider": "p", "key": "k"});
        let other_key = json!({"type": "api_key", "provider": "p", "key": "k2"});
        let odd_login = json!({"type": "oauth", "provider": "p", "access": "a"});
        let junk = json!(3);
        let (late, soon, dead) = (token("l", 9), token("s", 1), token("d", -1));
        let ranked = [&key, &late, &soon, &dead, &junk];
        let wins = |theirs: &Value, ours: &Value| {
            let one = |entry: &Value| doc(json!({"profiles": {"p:x": entry}}));
            let joined = join(&one(theirs), &one(ours), NOW);
            joined.doc.get(Section::Profiles, "p:x") == Some(theirs)
        };
        for (at, better) in ranked.iter().enumerate() {
            for worse in &ranked[at + 1..] {
                assert!(!wins(worse, better), "{worse} over {better}");
                assert!(wins(better, worse), "{better} over {worse}");
            }
        }
        assert!(wins(&other_key, &key), "as good: the user named the file");
        assert!(!wins(&odd_login, &soon));
    }

    fn small_doc() -> impl Strategy<Value = StoreDoc> {
        let entry = ("[ab]", 0..4_i64).prop_map(|(secret, expires)| token(&secret, expires));
        prop::collection::btree_map("[a-d]", entry, 0..4).prop_map(|entries| {
            let mut doc = StoreDoc::default();
            for (id, entry) in entries {
                doc.set(Section::Profiles, &id, entry);
            }
            doc
        })
    }

    proptest! {
        /// Nothing goes, nothing gets worse, and a second import changes nothing.
        #[test]
        fn an_import_loses_nothing(ours in small_doc(), theirs in small_doc()) {
            let joined = join(&theirs, &ours, NOW);
            let until = |doc: &StoreDoc, id: &str| {
                doc.get(Section::Profiles, id).map(|entry| entry["expires"].as_i64())
            };
            let both = [&ours, &theirs];
            for (id, _) in both.into_iter().flat_map(|doc| doc.entries(Section::Profiles)) {
                prop_assert_eq!(until(&joined.doc, id), until(&ours, id).max(until(&theirs, id)));
            }
            prop_assert_eq!(&join(&theirs, &joined.doc, NOW).doc, &joined.doc);
        }
    }
}
