//! What a caller asks for, and on which terms.

use crate::config::Fallback;
use crate::domain::{ProviderId, Span, StoreDoc};

/// A request for a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The next credential of this provider.
    Provider(ProviderId),
    /// The profile with this id.
    Profile(String),
}

impl Request {
    /// Returns the name of the provider or the profile.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Provider(provider) => provider.as_str(),
            Self::Profile(id) => id,
        }
    }
}

/// The terms on which a credential is handed out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenOptions {
    pub(super) min_lifetime: Span,
    pub(super) session: Option<String>,
    pub(super) fallback: Option<Fallback>,
}

impl TokenOptions {
    /// Requires at least this much remaining lifetime; a login with less is refreshed first.
    #[must_use]
    pub fn min_lifetime(mut self, least: Span) -> Self {
        self.min_lifetime = least;
        self
    }

    /// Names the session that gets the credential: its pinned profile goes first, and the record
    /// names it. A name of [`session_name`].
    #[must_use]
    pub fn session(mut self, name: impl Into<String>) -> Self {
        self.session = Some(name.into());
        self
    }

    /// Decides what happens if the first choice cannot be used, whatever `clawkeep.fallback` in
    /// `clawkeep.toml` says.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = Some(fallback);
        self
    }

    /// Allows the first choice and no other account: [`Fallback::None`].
    #[must_use]
    pub fn strict(self) -> Self {
        self.fallback(Fallback::None)
    }
}

/// Characters of a session's name, at most: one is an id, not a text.
pub const SESSION_MAX: usize = 256;

/// Returns a session's name without surrounding space; `None` if it is empty, longer than
/// [`SESSION_MAX`] characters, or has control characters.
#[must_use]
pub fn session_name(raw: &str) -> Option<&str> {
    let name = raw.trim();
    let is_name =
        !name.is_empty() && name.chars().count() <= SESSION_MAX && !name.contains(char::is_control);
    is_name.then_some(name)
}

/// Returns an id as the store has it: as it was typed, or without the blanks around it.
#[must_use]
pub fn id_in<'t>(doc: &StoreDoc, typed: &'t str) -> &'t str {
    match doc.credential(typed) {
        Some(_) => typed,
        None => typed.trim(),
    }
}
