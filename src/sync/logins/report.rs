//! What became of the logins of other programs: one classification, and the words for it.
//!
//! [`LoginReport`] is made in one place, when a load decides about a source
//! ([`crate::sync::logins::decide`]). Commands, `doctor`, `watch` and alerts only show it.

use crate::domain::{AgentName, ExpiryFault, Owner, Span, UnixMs};
use crate::sources::SourceFault;

/// What became of a login of another program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoginState {
    /// It is stored, or is about to be.
    Usable,
    /// The program was logged in there, and is not any more.
    LoggedOut {
        /// The file is gone; otherwise it holds no tokens.
        is_gone: bool,
    },
    /// It has an expiry that cannot be used.
    OddExpiry(ExpiryFault),
    /// It is of another account than the stored one.
    OtherAccount,
    /// It comes from another place than the stored one, and whose it is cannot be known.
    OtherPlace,
    /// It took the place of another account's, and users of its token have not been warned yet.
    AccountChanged {
        /// It is known to be another account's; otherwise it came from another place, and whose it
        /// is cannot be known.
        is_known: bool,
    },
    /// It differs from the stored one and expires earlier.
    EarlierExpiry,
    /// The source cannot be read.
    NotReadable(SourceFault),
    /// The program uses an API key.
    ApiKeyMode,
    /// The login is in the system's keyring.
    InKeyring,
    /// It has no refresh token.
    NoRefreshToken,
    /// The program is not logged in there, and nothing is stored.
    NoLogin,
}

impl LoginState {
    /// The name in JSON output.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Usable => "usable",
            Self::LoggedOut { .. } => "logged-out",
            Self::OddExpiry(_) => "unusable-expiry",
            Self::OtherAccount => "other-account",
            Self::OtherPlace => "other-place",
            Self::AccountChanged { .. } => "account-changed",
            Self::EarlierExpiry => "earlier-expiry",
            Self::NotReadable(_) => "not-readable",
            Self::ApiKeyMode => "api-key-mode",
            Self::InKeyring => "in-keyring",
            Self::NoRefreshToken => "no-refresh-token",
            Self::NoLogin => "no-login",
        }
    }

    /// The state that the word in a note stands for, where it is one that lasts without the source.
    pub(crate) fn of_note(why: &str) -> Option<Self> {
        Some(match why {
            "other-account" => Self::OtherAccount,
            "other-place" => Self::OtherPlace,
            "stored-later" => Self::EarlierExpiry,
            "source-absent" => Self::LoggedOut { is_gone: true },
            "source-logged-out" => Self::LoggedOut { is_gone: false },
            _ => return None,
        })
    }
}

/// What became of one source's login, for one agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginReport {
    /// The agent that the report is about.
    pub agent: AgentName,
    /// The profile that mirrors it.
    pub profile: &'static str,
    /// Where it is: a file's path, or the keychain item.
    pub place: String,
    /// What became of the login.
    pub state: LoginState,
    /// When the stored token expires; `None` where nothing is stored, or it does not expire.
    pub stored_until: Option<UnixMs>,
    /// Whether the profile is stored.
    pub is_stored: bool,
    /// Whether the user keeps the stored login on purpose (`models auth keep`).
    pub is_kept: bool,
    /// Whether a command that handed out its token has warned of it.
    pub(crate) is_warned: bool,
    /// Whether the agent has another credential for what the program is used for.
    pub is_served: bool,
    /// Whether this is the source of another `CLAUDE_CONFIG_DIR` or `CODEX_HOME`, as it was when it
    /// was read last.
    pub is_elsewhere: bool,
    /// When the login itself expires, and a person has to log in again.
    pub login_expires: Option<UnixMs>,
}

impl LoginReport {
    /// Whether a person has to know of it.
    #[must_use]
    pub fn needs_attention(&self) -> bool {
        self.state != LoginState::Usable && !self.is_kept
    }

    /// Whether it matters to every command, not to `sync` and `doctor` alone: a stored login is
    /// concerned, or one cannot be read.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        self.needs_attention()
            && !self.is_elsewhere
            && !self.is_warned
            && !self.is_only_a_note()
            && (self.is_stored
                || matches!(
                    self.state,
                    LoginState::NotReadable(_) | LoginState::OddExpiry(_)
                ))
    }

    /// Whether the stored login is one that its program has given up.
    #[must_use]
    pub fn is_logged_out(&self) -> bool {
        matches!(self.state, LoginState::LoggedOut { .. }) && self.is_stored
    }

    /// Whether it matters to `doctor` alone, and to `sync` with `--verbose`: there is nothing to
    /// import that the agent needs.
    #[must_use]
    pub fn is_only_a_note(&self) -> bool {
        match self.state {
            LoginState::NoLogin => true,
            LoginState::ApiKeyMode => self.is_served,
            _ => false,
        }
    }

    /// Whether the profile is the login that its program has now.
    #[must_use]
    pub fn is_in_use(&self) -> bool {
        self.is_stored
            && !self.is_elsewhere
            && matches!(
                self.state,
                LoginState::Usable | LoginState::AccountChanged { .. }
            )
    }

    /// Whether the program has the login that is stored, or is about to be, as far as is known.
    #[must_use]
    pub fn may_be_current(&self) -> bool {
        matches!(
            self.state,
            LoginState::Usable | LoginState::AccountChanged { .. } | LoginState::NotReadable(_)
        )
    }

    /// Whether Claude Code can refresh the login by itself for longer than `span`: the date on
    /// which a person has to log in is known, and further ahead.
    #[must_use]
    pub fn is_refreshable_for(&self, span: Span, now: UnixMs) -> bool {
        let is_ahead = |at: UnixMs| at - now > span;
        self.is_in_use() && self.login_expires.is_some_and(is_ahead)
    }

    /// The program that owns the login.
    #[must_use]
    pub fn program(&self) -> &'static str {
        Owner::of(self.profile).program()
    }

    /// What is so, one sentence without its full stop. `place` is the source as it is to be shown.
    #[must_use]
    pub fn message(&self, place: &str, now: UnixMs) -> String {
        let (program, profile) = (self.program(), self.profile);
        let kept = || match self.stored_until {
            Some(until) if until > now => {
                format!("; the stored {profile} {}", (until - now).expiry())
            }
            Some(_) => format!("; the stored {profile} has expired"),
            None if self.is_stored => format!("; the stored {profile} stays as it is"),
            None => String::new(),
        };
        match &self.state {
            LoginState::Usable => format!("{place} is in use"),
            LoginState::LoggedOut { is_gone } => {
                let what = match is_gone {
                    true => "is gone",
                    false => "holds no login any more",
                };
                // Claude Code 2.1 asks the provider to revoke the tokens when it logs out.
                let revoked = match self.stored_until {
                    Some(until) if until <= now => "",
                    None if !self.is_stored => "",
                    _ => ", but may have been revoked",
                };
                format!("{program} is logged out: {place} {what}{}{revoked}", kept())
            }
            LoginState::OddExpiry(fault) => format!(
                "the login in {place} cannot be relied on: its expiry {}{}",
                fault.words(),
                kept()
            ),
            LoginState::OtherAccount => format!(
                "the login in {place} is another account's than the stored {profile}, and was \
                 not imported"
            ),
            LoginState::OtherPlace => format!(
                "the login in {place} is another one than the stored {profile}, which came from \
                 elsewhere; whose it is cannot be known, and it was not imported"
            ),
            LoginState::AccountChanged { is_known: true } => {
                format!("{profile} is another account's login now, from {place}")
            }
            LoginState::AccountChanged { is_known: false } => format!(
                "{profile} is another login now, from {place}; whether it is of the same account \
                 cannot be known"
            ),
            LoginState::EarlierExpiry => format!(
                "the login in {place} differs from the stored {profile} and expires earlier, so \
                 it was not imported"
            ),
            LoginState::NotReadable(fault) => {
                format!("{place} was not imported: {fault}{}", kept())
            }
            LoginState::ApiKeyMode => format!(
                "{program} uses an API key instead of a login, so {place} was not imported{}",
                kept()
            ),
            LoginState::InKeyring => format!(
                "{program} keeps its login in the system's keyring (cli_auth_credentials_store), \
                 which is not read; so {place} was not imported{}",
                kept()
            ),
            LoginState::NoLogin => {
                format!("{program} is not logged in: {place} holds no login to import")
            }
            LoginState::NoRefreshToken => format!(
                "the login in {place} has no refresh token, so it was not imported{}",
                kept()
            ),
        }
    }
}
