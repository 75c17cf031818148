//! The store document: what `auth-profiles.json` says, independent of bytes and files.
//!
//! Kept as the JSON it came as, so that fields we do not know survive; read through views.

use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::credential::Credential;
use super::debug_as::debug_as;
use super::ids::{ProfileId, normalize_provider};
use super::secret::wipe_map;

/// The four parts of the store with one entry a key. Source: `spec/compat.md`, auth-profiles.json.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Section {
    /// The credentials: `profiles[id]`.
    Profiles,
    /// The explicit orders: `order[provider]`.
    Order,
    /// The profile that last worked: `lastGood[provider]`.
    LastGood,
    /// Use, cooldown and failures: `usageStats[id]`.
    Usage,
}

impl Section {
    /// In the order a new file has them.
    pub const ALL: [Self; 4] = [Self::Profiles, Self::Order, Self::LastGood, Self::Usage];

    /// The key at the top level of the file.
    #[must_use]
    pub fn key(self) -> &'static str {
        match self {
            Self::Profiles => "profiles",
            Self::Order => "order",
            Self::LastGood => "lastGood",
            Self::Usage => "usageStats",
        }
    }
}

/// Valid JSON that is no store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreShapeError {
    /// The document is not an object.
    #[error("the document is not a JSON object")]
    NotAnObject,
    /// There is no `profiles` object.
    #[error("it has no `profiles` object")]
    NoProfiles,
}

/// The document of a store. `Debug` shows no entry; dropping it overwrites its strings. Equal
/// documents have their entries in the same order: stored order is meaning.
#[derive(Clone)]
pub struct StoreDoc {
    root: Map<String, Value>,
}

impl Default for StoreDoc {
    fn default() -> Self {
        Self {
            root: Map::from_iter([
                ("version".to_owned(), json!(1)),
                ("profiles".to_owned(), json!({})),
            ]),
        }
    }
}

impl PartialEq for StoreDoc {
    fn eq(&self, other: &Self) -> bool {
        // Being the same says nothing of order.
        same_fields(&self.root, &other.root)
            && Section::ALL.into_iter().all(|section| {
                let theirs = other.entries(section).map(|(key, _)| key);
                self.entries(section).map(|(key, _)| key).eq(theirs)
            })
    }
}

/// Whether two values are equal as `==` has it. Quicker than that where members stand in the same
/// order, as they mostly do in two versions of a store: nothing has to be looked up then.
pub(crate) fn same_json(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => same_fields(a, b),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_json(a, b))
        }
        _ => a == b,
    }
}

fn same_fields(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter()
            .zip(b)
            .all(|((key, value), (other, at_same_place))| {
                if key == other {
                    return same_json(value, at_same_place);
                }
                b.get(key).is_some_and(|found| same_json(value, found))
            })
}

debug_as!(StoreDoc, "StoreDoc({} profiles)", it => it.entries(Section::Profiles).count());

impl Drop for StoreDoc {
    fn drop(&mut self) {
        wipe_map(&mut self.root);
    }
}

impl StoreDoc {
    /// Creates a document from a parsed file.
    ///
    /// # Errors
    /// When the value is not an object with a `profiles` object.
    pub fn from_json(root: Value) -> Result<Self, StoreShapeError> {
        match root {
            Value::Object(root) if root.get("profiles").is_some_and(Value::is_object) => {
                Ok(Self { root })
            }
            Value::Object(mut root) => {
                wipe_map(&mut root);
                Err(StoreShapeError::NoProfiles)
            }
            _ => Err(StoreShapeError::NotAnObject),
        }
    }

    /// The whole document in the clear, for sealing and exporting.
    #[must_use]
    pub fn expose_secret(&self) -> &Map<String, Value> {
        &self.root
    }

    /// The bytes of a store file: JSON indented by two, a final newline. Source: `spec/compat.md`.
    #[must_use]
    pub fn to_file(&self) -> Zeroizing<Vec<u8>> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
        serde_json::to_writer_pretty(&mut *bytes, self.expose_secret())
            .expect("a map of JSON values with text keys has no part that JSON cannot say");
        bytes.push(b'\n');
        bytes
    }

    /// The entries of a section; empty when it is absent or not an object.
    pub fn entries(&self, section: Section) -> impl Iterator<Item = (&str, &Value)> {
        self.section(section)
            .into_iter()
            .flatten()
            .map(|(key, value)| (key.as_str(), value))
    }

    /// A section's object, if it is there and is one.
    #[must_use]
    pub fn section(&self, section: Section) -> Option<&Map<String, Value>> {
        self.expose_secret()
            .get(section.key())
            .and_then(Value::as_object)
    }

    /// One entry of a section.
    #[must_use]
    pub fn get(&self, section: Section, key: &str) -> Option<&Value> {
        self.section(section)?.get(key)
    }

    /// Returns the credential of one profile.
    #[must_use]
    pub fn credential(&self, id: &str) -> Option<Credential<'_>> {
        self.get(Section::Profiles, id).map(Credential::of)
    }

    /// Every profile in stored order, the unreadable ones too.
    pub fn credentials(&self) -> impl Iterator<Item = (&str, Credential<'_>)> {
        self.entries(Section::Profiles)
            .map(|(id, entry)| (id, Credential::of(entry)))
    }

    /// Whether there is nothing in it that a file would be made for.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        self.root.iter().all(|(key, value)| match value {
            Value::Object(fields) => fields.is_empty(),
            _ => key == "version",
        })
    }

    /// Sets one entry, last in its section if it is new.
    pub fn set(&mut self, section: Section, key: &str, value: Value) {
        let slot = self.root.entry(section.key()).or_insert_with(|| json!({}));
        if !slot.is_object() {
            *slot = json!({});
        }
        if let Value::Object(fields) = slot {
            fields.insert(key.to_owned(), value);
        }
    }

    /// Sets a field at the top level that is no section.
    pub(crate) fn set_field(&mut self, name: &str, value: Value) {
        let is_section = Section::ALL
            .into_iter()
            .any(|section| section.key() == name);
        if !is_section {
            self.root.insert(name.to_owned(), value);
        }
    }

    /// Makes a section what it is in `other`; it goes where `other` has none.
    pub(crate) fn copy_section(&mut self, section: Section, other: &Self) {
        match other.root.get(section.key()) {
            Some(value) => drop(self.root.insert(section.key().to_owned(), value.clone())),
            None => drop(self.root.shift_remove(section.key())),
        }
    }

    /// Removes one entry; an emptied section other than `profiles` goes too, as in the reference.
    pub fn remove(&mut self, section: Section, key: &str) {
        let Some(Value::Object(fields)) = self.root.get_mut(section.key()) else {
            return;
        };
        fields.shift_remove(key);
        if fields.is_empty() && section != Section::Profiles {
            self.root.shift_remove(section.key());
        }
    }

    /// The explicit order for a provider (normalised), as the reference reads it: trimmed,
    /// non-empty strings. `None` when there is no override; an empty list is none.
    #[must_use]
    pub fn order_for(&self, provider: &str) -> Option<Vec<ProfileId>> {
        let list = self
            .entries(Section::Order)
            .find(|(key, _)| normalize_provider(key) == provider)?
            .1
            .as_array()?;
        let ids: Vec<ProfileId> = list
            .iter()
            .filter_map(Value::as_str)
            .map(str::trim)
            .filter(|id| !id.is_empty())
            .map(ProfileId::new)
            .collect();
        (!ids.is_empty()).then_some(ids)
    }

    /// Ids of the readable profiles of a provider (normalised), in stored order.
    #[must_use]
    pub fn profiles_of(&self, provider: &str) -> Vec<ProfileId> {
        self.credentials()
            .filter(|(_, credential)| credential.is_for(provider))
            .map(|(id, _)| ProfileId::new(id))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes() {
        let got = StoreDoc::from_json(json!([]));
        assert_eq!(got, Err(StoreShapeError::NotAnObject));
        let got = StoreDoc::from_json(json!({"profiles": []}));
        assert_eq!(got, Err(StoreShapeError::NoProfiles));
        assert!(StoreDoc::from_json(json!({"profiles": {}, "x": 1})).is_ok());
    }

    #[test]
    fn order_is_read_as_the_reference_reads_it() {
        let doc = StoreDoc::from_json(
            json!({"profiles": {}, "order": {"Z.AI": [" a ", "", 3, "b"], "x": []}}),
        )
        .unwrap();
        let got = doc.order_for("zai");
        assert_eq!(got, Some(vec![ProfileId::new("a"), ProfileId::new("b")]));
        assert_eq!(doc.order_for("x"), None);
        assert_eq!(doc.order_for("y"), None);
    }

    #[test]
    fn another_order_is_another_document() {
        let doc = |text: &str| StoreDoc::from_json(serde_json::from_str(text).unwrap()).unwrap();
        let [ab, ba] = [
            r#"{"profiles": {"a": 1, "b": 2}}"#,
            r#"{"profiles": {"b": 2, "a": 1}}"#,
        ]
        .map(doc);
        assert_ne!(ab, ba);
        let got = doc(r#"{"x": 1, "profiles": {}}"#);
        assert_eq!(got, doc(r#"{"profiles": {}, "x": 1}"#));
    }

    #[test]
    fn an_emptied_section_goes_and_profiles_stays() {
        let mut doc = StoreDoc::default();
        doc.set(Section::Order, "p", json!(["a"]));
        doc.remove(Section::Order, "p");
        assert_eq!(doc, StoreDoc::default());
        assert!(doc.is_blank());
        doc.set(Section::Profiles, "a", json!({"token": "sk-secret"}));
        assert!(!doc.is_blank());
        assert_eq!(format!("{doc:?}"), "StoreDoc(1 profiles)");
    }
}
