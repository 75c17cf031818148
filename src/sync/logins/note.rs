//! What the vault keeps of other programs' logins between loads, and whether two are of one
//! account.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::report::LoginState;
use crate::domain::path_of_text;

/// The most places that are noted of one profile.
const PLACES_MAX: usize = 8;

/// Where a stored login came from, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct LoginOrigin {
    pub(crate) place: String,
    /// A keyed fingerprint of the account, where it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
}

/// Why the login of one place was not imported.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) struct Refused {
    pub(crate) why: String,
    /// The account of that login, as in [`LoginOrigin`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) account: Option<String>,
    /// The user knows, and keeps what is stored.
    #[serde(rename = "kept", default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_kept: bool,
}

/// What the vault keeps of the sources of one profile: a row of `sync_skips`, as JSON. A row of an
/// earlier version is one word, the reason of a place that is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub(crate) struct SourceNote {
    /// Where the stored login came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) from: Option<LoginOrigin>,
    /// The places whose login was not imported.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) refused: BTreeMap<String, Refused>,
    /// Another account's login was imported, and the user has not decided to keep it: the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) unannounced: Option<String>,
    /// A command that handed out its token gave the warning: commands stop repeating it, `doctor`
    /// does not.
    #[serde(rename = "warned", skip_serializing_if = "std::ops::Not::not")]
    pub(crate) is_warned: bool,
}

/// What is noted of the sources of an agent's profiles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Notes {
    /// Nobody asked, since the sources are not read.
    NotAsked,
    /// A note is not as clawkeep left it; which row.
    Damaged(String),
    /// The notes, by the profile they are of.
    Of(BTreeMap<String, SourceNote>),
}

impl SourceNote {
    /// Reads a note from a row of the vault.
    pub(crate) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| {
            let mut note = Self::default();
            let refused = Refused {
                why: text.to_owned(),
                account: None,
                is_kept: false,
            };
            note.refused.insert(String::new(), refused);
            note
        })
    }

    /// The row; `None` where there is nothing to keep.
    pub(crate) fn to_row(&self) -> Option<String> {
        let note = Self {
            is_warned: self.is_warned && self.unannounced.is_some(),
            ..self.clone()
        };
        (note != Self::default())
            .then(|| serde_json::to_string(&note).ok())
            .flatten()
    }

    /// Notes why the login of a place was not imported, or that nothing stands in its way. A
    /// decision to keep the stored login holds as long as the reason and the account do.
    pub(crate) fn refuse(&mut self, place: &str, why: Option<&str>, account: Option<&String>) {
        self.refused.remove("");
        let Some(why) = why else {
            self.refused.remove(place);
            return;
        };
        let account = account.cloned();
        let before = self.refused.get(place);
        let is_kept = before
            .is_some_and(|before| before.is_kept && before.why == why && before.account == account);
        let refused = Refused {
            why: why.to_owned(),
            account,
            is_kept,
        };
        self.refused.insert(place.to_owned(), refused);
        while self.refused.len() > PLACES_MAX {
            let other = self.refused.keys().find(|known| *known != place).cloned();
            other.map(|other| self.refused.remove(&other));
        }
    }

    /// Whether the stored login came from that place.
    pub(crate) fn is_from(&self, place: &str) -> bool {
        self.from.as_ref().is_some_and(|from| from.place == place)
    }

    /// Whether the program was logged out at that place when it was read last.
    pub(crate) fn is_logged_out(&self, place: &str) -> bool {
        let refused = self.refused.get(place);
        let state = refused.and_then(|refused| LoginState::of_note(&refused.why));
        matches!(state, Some(LoginState::LoggedOut { .. }))
    }

    /// Forgets the logins of other places than `here` whose file is gone.
    pub(crate) fn forget_removed(&mut self, here: &str) {
        let from = self.from.as_ref().map(|from| from.place.clone());
        self.refused
            .retain(|place, _| place == here || from.as_ref() == Some(place) || !is_removed(place));
    }

    /// Whether the user keeps the stored login on purpose, for as long as the source at that place
    /// says this.
    pub(crate) fn is_kept(&self, place: &str, why: &str, account: Option<&String>) -> bool {
        self.refused.get(place).is_some_and(|refused| {
            refused.is_kept && refused.why == why && refused.account.as_ref() == account
        })
    }

    /// The states of other places than `here`, as they were when they were read last.
    pub(crate) fn elsewhere<'n>(
        &'n self,
        here: &'n str,
    ) -> impl Iterator<Item = (&'n str, LoginState, bool)> {
        let others = self.refused.iter().filter(move |(place, _)| {
            *place != here && !place.is_empty() && path_of_text(place).is_absolute()
        });
        others.filter_map(|(place, refused)| {
            let state = LoginState::of_note(&refused.why)?;
            let is_logout = matches!(state, LoginState::LoggedOut { .. });
            let is_there = self.is_from(place) || !is_removed(place);
            (is_there && (!is_logout || self.is_from(place))).then_some((
                place.as_str(),
                state,
                refused.is_kept,
            ))
        })
    }
}

/// Whether two accounts are one, by the fingerprints of the person and, where both name one, of the
/// organization; `None` where one is not known, or they were made with different keys.
pub(crate) fn is_same_account(one: Option<&str>, other: Option<&str>) -> Option<bool> {
    let key = |print: &str| Some(print.split_once(':')?.0.to_owned());
    let (one, other) = (one?, other?);
    let mut is_same = true;
    for (one, other) in one.split(' ').zip(other.split(' ')) {
        if key(one) != key(other) {
            return None;
        }
        is_same &= one == other;
    }
    Some(is_same)
}

/// Whether a source's file is gone. On macOS its login may be in the keychain, and the path stands
/// for the item.
fn is_removed(place: &str) -> bool {
    let path = path_of_text(place);
    !cfg!(target_os = "macos") && path.is_absolute() && matches!(path.try_exists(), Ok(false))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_reads_back_and_a_decision_holds_as_long_as_its_reason() {
        let mut note = SourceNote {
            from: Some(LoginOrigin {
                place: "/a".to_owned(),
                account: Some("1:ab".to_owned()),
            }),
            ..SourceNote::default()
        };
        note.refuse("/b", Some("other-account"), None);
        assert_eq!(SourceNote::parse(&note.to_row().unwrap()), note);
        note.refused.get_mut("/b").unwrap().is_kept = true;
        note.refuse("/b", Some("other-account"), None);
        assert!(note.is_kept("/b", "other-account", None));
        assert_eq!(SourceNote::parse(&note.to_row().unwrap()), note);
        note.refuse("/b", Some("other-account"), Some(&"1:cd".to_owned()));
        assert!(!note.refused["/b"].is_kept, "another account");
        note.refuse("/b", None, None);
        assert!(note.refused.is_empty());
        assert_eq!(SourceNote::default().to_row(), None);
    }

    #[test]
    fn a_word_of_an_earlier_version_is_a_reason_of_no_known_place() {
        let mut note = SourceNote::parse("stored-later");
        assert_eq!(note.refused[""].why, "stored-later");
        assert_eq!(note.elsewhere("/a").count(), 0);
        note.refuse("/a", None, None);
        assert_eq!(note.to_row(), None);
    }

    #[test]
    fn places_are_few() {
        let mut note = SourceNote::default();
        for n in 0..20 {
            note.refuse(&format!("/{n}"), Some("stored-later"), None);
        }
        assert_eq!(note.refused.len(), PLACES_MAX);
        assert!(note.refused.contains_key("/19"));
    }

    #[test]
    fn accounts_are_compared_as_far_as_they_are_known() {
        for (one, other, want) in [
            (Some("1:a"), Some("1:a"), Some(true)),
            (Some("1:a"), Some("1:b"), Some(false)),
            (Some("1:a"), Some("2:b"), None),
            (Some("1:a"), None, None),
            (Some("1:a"), Some("1:a 1:o"), Some(true)),
            (Some("1:a 1:o"), Some("1:a 1:p"), Some(false)),
        ] {
            assert_eq!(is_same_account(one, other), want, "{one:?} {other:?}");
        }
    }
}
