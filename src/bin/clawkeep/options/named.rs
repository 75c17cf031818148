//! What a typed word names: a provider, or a credential by its id or a part of it.

use std::collections::BTreeSet;

use clawkeep::internal::config::{provider_variables, providers_with_variables};
use clawkeep::internal::domain::{ProviderId, StoreDoc, normalize_provider};
use clawkeep::internal::vault::{Names as RecordedNames, Vault};

use crate::context::Context;
use crate::failure::Failure;
use crate::terminal::program_name::is_called_as_gateway;
use crate::terminal::text::{shown_id, shown_ids};

/// Ids that an error lists, at most.
const LISTED_MAX: usize = 8;

/// What a word names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// A provider.
    Provider(ProviderId),
    /// The credential with this id.
    Id(String),
}

/// The names that a word is compared with.
#[derive(Debug, Default)]
pub(crate) struct Names {
    /// Each stored credential's id and provider, once.
    stored: BTreeSet<(String, String)>,
    /// The providers that are known without a credential.
    providers: BTreeSet<String>,
}

impl Names {
    /// The names that the vault has, of one agent or of all; and the providers that are built in or
    /// set.
    pub(crate) fn of(
        context: &Context,
        vault: Option<&Vault>,
        agent: Option<&str>,
    ) -> Result<Self, Failure> {
        let stored = match vault {
            Some(vault) => vault.list_credentials()?,
            None => Vec::new(),
        };
        let stored = stored
            .into_iter()
            .filter(|held| agent.is_none_or(|agent| held.agent == agent))
            .map(|held| (held.profile, held.provider));
        Ok(Self {
            stored: stored.collect(),
            providers: known_providers(context),
        })
    }

    /// The names that a store has.
    pub(crate) fn of_store(doc: &StoreDoc) -> Self {
        let stored = doc
            .credentials()
            .map(|(id, found)| (id.to_owned(), normalize_provider(found.provider)));
        Self {
            stored: stored.collect(),
            providers: BTreeSet::new(),
        }
    }

    /// Adds the providers that are known without a credential.
    pub(crate) fn with_providers(mut self, context: &Context) -> Self {
        self.providers = known_providers(context);
        self
    }

    /// The question whether a name was mistyped; `None` where none is like it, and under the
    /// gateway's name.
    pub(crate) fn did_you_mean(&self, word: &str) -> Option<String> {
        let near = self.near(word);
        let is_asked = !near.is_empty() && !is_called_as_gateway();
        is_asked.then(|| {
            format!(
                "Did you mean {}?",
                shown_ids(near.iter().map(String::as_str))
            )
        })
    }

    /// Adds the names in the record: of credentials that are not stored any more.
    pub(crate) fn with_recorded(mut self, recorded: &RecordedNames) -> Self {
        let ids = recorded.profiles.iter().map(ToString::to_string);
        for id in ids {
            if self.stored.iter().all(|(stored, _)| *stored != id) {
                self.stored.insert((id, String::new()));
            }
        }
        let providers = recorded.providers.iter().map(ToString::to_string);
        self.providers.extend(providers);
        self
    }

    /// Whether the word is a provider's id.
    pub(crate) fn is_provider(&self, word: &str) -> bool {
        let provider = ProviderId::new(word);
        let id = provider.as_str();
        // Letters outside ASCII have no other case: the Kelvin sign is no k.
        (word.is_ascii() || word == id)
            && (self.providers.contains(id)
                || !provider_variables(&provider).is_empty()
                || self.stored.iter().any(|(_, of)| of == id))
    }

    fn is_id(&self, word: &str) -> bool {
        self.stored.iter().any(|(id, _)| id == word)
    }

    /// What the word names; `None` if it names nothing. A provider comes before an id that is
    /// spelled like it. A word with a colon is a whole id.
    ///
    /// # Errors
    /// When it is a part of several ids.
    pub(crate) fn find(&self, word: &str) -> Result<Option<Named>, Failure> {
        let is_whole = word.contains(':');
        let id = self.is_id(word).then(|| Named::Id(word.to_owned()));
        let trimmed = word.trim();
        if !(is_whole && id.is_some()) && self.is_provider(trimmed) {
            return Ok(Some(Named::Provider(ProviderId::new(trimmed))));
        }
        if is_whole || id.is_some() {
            return Ok(id);
        }
        Ok(self.part_of_one(trimmed)?.map(Named::Id))
    }

    /// The one id that the word is, or is a part of; of a provider with one credential, that one's.
    ///
    /// # Errors
    /// When it could be several.
    pub(crate) fn find_id(&self, word: &str) -> Result<Option<String>, Failure> {
        if self.is_id(word) {
            return Ok(Some(word.to_owned()));
        }
        match self.find(word)? {
            Some(Named::Provider(provider)) => {
                let ids = self.stored.iter().filter(|(_, of)| of == provider.as_str());
                let ids: Vec<&str> = ids.map(|(id, _)| id.as_str()).collect();
                one_of(word, &ids)
            }
            Some(Named::Id(id)) => Ok(Some(id)),
            None => Ok(None),
        }
    }

    fn part_of_one(&self, word: &str) -> Result<Option<String>, Failure> {
        if word.is_empty() {
            return Ok(None);
        }
        let ids = self.stored.iter().map(|(id, _)| id.as_str());
        let ids: Vec<&str> = ids.filter(|id| is_part(id, word)).collect();
        // The whole name after the provider's is more than a part of another.
        let whole: Vec<&str> = ids.iter().copied().filter(|id| is_tail(id, word)).collect();
        match whole.as_slice() {
            [one] => Ok(Some((*one).to_owned())),
            _ => one_of(word, &ids),
        }
    }

    /// The failure for a word that names nothing, with the names that are most like it.
    pub(crate) fn unknown(&self, word: &str) -> Failure {
        let next = self
            .did_you_mean(word)
            .unwrap_or_else(|| match self.stored.is_empty() {
                false => format!("The ids: {}", self.listed()),
                true => "There is no credential yet. Add one: clawkeep add".to_owned(),
            });
        Failure::UnknownName {
            what: format!("no provider or credential is named \"{}\"", shown_id(word)),
            next,
        }
    }

    fn listed(&self) -> String {
        listed(
            &self
                .stored
                .iter()
                .map(|(id, _)| id.as_str())
                .collect::<Vec<_>>(),
        )
    }

    /// The names that are a mistype or two away.
    pub(crate) fn near(&self, word: &str) -> Vec<String> {
        let word = word.trim().to_lowercase();
        let ids = self.stored.iter().map(|(id, _)| id.as_str());
        let providers = self.stored.iter().map(|(_, provider)| provider.as_str());
        let known = self.providers.iter().map(String::as_str);
        let mut near: Vec<(usize, &str)> = ids
            .chain(providers)
            .chain(known)
            .filter_map(|name| {
                let whole = mistypes(&name.to_lowercase(), &word);
                let tail = name.split_once(':').map(|(_, tail)| tail.to_lowercase());
                let tail = tail.and_then(|tail| mistypes(&tail, &word));
                Some((whole.into_iter().chain(tail).min()?, name))
            })
            .collect();
        if near.iter().any(|(count, _)| *count == 0) {
            return Vec::new(); // it is a name
        }
        near.sort_unstable();
        near.dedup();
        let least = near.first().map(|(count, _)| *count);
        near.into_iter()
            .filter(|(count, _)| Some(*count) == least)
            .map(|(_, name)| name.to_owned())
            .take(3)
            .collect()
    }
}

/// The providers that are known without a credential: with variables, or with settings.
pub(crate) fn known_providers(context: &Context) -> BTreeSet<String> {
    // Unreadable settings are reported by what needs them.
    let settings = context.providers().ok();
    let settings = settings.into_iter().flat_map(|known| known.ids());
    settings
        .map(ToString::to_string)
        .chain(providers_with_variables().map(|id| id.to_string()))
        .collect()
}

/// How many letters two names differ in, if one is most likely the other mistyped: one, or two of
/// a longer name.
pub(crate) fn mistypes(name: &str, typed: &str) -> Option<usize> {
    let most = match typed.chars().count() {
        0..=2 => return None,
        3..=5 => 1,
        _ => 2,
    };
    let count = strsim::damerau_levenshtein(name, typed);
    (count <= most).then_some(count)
}

/// Whether a word is a part of an id: whole pieces of it, or the beginning of one, of at least
/// three letters. Letters of ASCII may be of the other case.
fn is_part(id: &str, word: &str) -> bool {
    const SEPARATORS: [char; 5] = [':', '-', '.', '@', '/'];
    const BEGINNING_MIN: usize = 3;
    let ends = id.match_indices(SEPARATORS).map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).any(|start| {
        let piece = &id[start..];
        let Some((begins, rest)) = piece.split_at_checked(word.len()) else {
            return false;
        };
        let is_whole = rest.is_empty() || rest.starts_with(SEPARATORS);
        begins.eq_ignore_ascii_case(word) && (is_whole || word.chars().count() >= BEGINNING_MIN)
    })
}

fn is_tail(id: &str, part: &str) -> bool {
    id.split_once(':')
        .is_some_and(|(_, tail)| tail.eq_ignore_ascii_case(part))
}

fn listed(ids: &[&str]) -> String {
    let shown = shown_ids(ids.iter().copied().take(LISTED_MAX));
    match ids.len().checked_sub(LISTED_MAX) {
        Some(more) if more > 0 => format!("{shown}, and {more} more; see: clawkeep ls"),
        _ => shown,
    }
}

fn one_of(word: &str, ids: &[&str]) -> Result<Option<String>, Failure> {
    match ids {
        [] => Ok(None),
        [one] => Ok(Some((*one).to_owned())),
        several => Err(Failure::UnknownName {
            what: format!("\"{}\" can be several credentials", shown_id(word)),
            next: format!("Name one of them: {}", listed(several)),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let stored = [
            ("anthropic:claude-cli", "anthropic"),
            ("anthropic:work", "anthropic"),
            ("openai:work", "openai"),
            ("openai:work-2", "openai"),
        ];
        Names {
            stored: stored
                .map(|(id, provider)| (id.to_owned(), provider.to_owned()))
                .into(),
            providers: ["groq", "anthropic"].map(str::to_owned).into(),
        }
    }

    #[test]
    fn a_word_names_an_id_by_any_unambiguous_part() {
        let names = names();
        let id = |word| names.find(word).ok().flatten();
        let named = |id: &str| Some(Named::Id(id.to_owned()));
        assert_eq!(id("claude"), named("anthropic:claude-cli"));
        assert_eq!(id("CLI"), named("anthropic:claude-cli"));
        assert_eq!(id("openai:work"), named("openai:work"));
        assert_eq!(id("work-2"), named("openai:work-2"));
        assert_eq!(id("groq"), Some(Named::Provider(ProviderId::new("groq"))));
        assert_eq!(id("nothing"), None);
        assert_eq!(id("aude"), None, "not the beginning of a piece");
        assert_eq!(id("cl"), None, "too short for the beginning of a piece");
        assert_eq!(id("2"), named("openai:work-2"), "a whole piece");
        assert_eq!(id("openai:wor"), None, "an id is whole");
        assert_eq!(id("openai:Work"), None, "an id is exact");
        assert_eq!(id("wor\u{212a}-2"), None, "the Kelvin sign is no k");
        assert!(names.find("work").is_err(), "two whole names");
        assert!(names.find("wor").is_err());
        assert!(names.find_id("anthropic").is_err());
        assert_eq!(names.find_id("groq").ok(), Some(None));
    }

    #[test]
    fn near_misses_are_names_with_a_mistype() {
        let names = names();
        assert_eq!(names.near("antropic"), ["anthropic"]);
        assert_eq!(names.near("opnai"), ["openai"]);
        assert_eq!(names.near("claude-clo"), ["anthropic:claude-cli"]);
        for far in ["watch", "auth", "ke", "mistral"] {
            assert_eq!(names.near(far), [""; 0], "{far}");
        }
    }
}
