//! Which program a login belongs to, and which therefore refreshes it.

use std::cell::OnceCell;

use secrecy::ExposeSecret as _;

use super::decide::Rules;
use super::sources::LoginSources;
use crate::domain::{Credential, Owner, normalize_provider};
use crate::sources::Reading;
use crate::sources::claude_code::ClaudeCodeLogin;
use crate::sources::codex_cli::CodexLogin;

/// The owner of a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owned {
    /// It belongs to the vault, which refreshes it.
    Vault,
    /// It belongs to another program, which refreshes it.
    OtherProgram(Owner),
    /// It may belong to that program, whose own login cannot be read.
    Unknown(Owner),
}

/// Finds out which program a login belongs to.
pub(crate) struct Owners<'s> {
    sources: &'s LoginSources<'s>,
    claude: OnceCell<Reading<ClaudeCodeLogin>>,
    codex: OnceCell<Reading<CodexLogin>>,
}

impl<'s> Owners<'s> {
    /// Finds owners by what the sources say now; each is read once, when it is first needed.
    pub(crate) fn new(sources: &'s LoginSources<'s>) -> Self {
        Self {
            sources,
            claude: OnceCell::new(),
            codex: OnceCell::new(),
        }
    }

    /// Finds out whether another program is logged in with that very login just now, under any id:
    /// its refresh token is that program's to redeem. If that program's own login cannot be read,
    /// it may be. Source: `spec/compat.md`, Sync.
    pub(crate) fn of(&self, credential: &Credential<'_>) -> Owned {
        fn owned<L>(reading: &Reading<L>, owner: Owner, is_same: impl Fn(&L) -> bool) -> Owned {
            match reading {
                Reading::Found(login) if is_same(login) => Owned::OtherProgram(owner),
                Reading::Damaged(_) => Owned::Unknown(owner),
                _ => Owned::Vault,
            }
        }
        match normalize_provider(credential.provider).as_str() {
            "anthropic" => {
                let reading = self
                    .claude
                    .get_or_init(|| self.sources.read_claude_code().1);
                owned(reading, Owner::ClaudeCode, |login| {
                    credential.expose_secret() == Some(login.access.expose_secret())
                })
            }
            "openai-codex" => {
                let reading = self.codex.get_or_init(|| {
                    // Whatever the settings say, a login in the file may be Codex's.
                    self.sources.read_codex_cli(Rules::Reference)
                });
                owned(reading, Owner::CodexCli, |login| {
                    credential.expose_refresh() == Some(login.refresh.expose_secret())
                })
            }
            _ => Owned::Vault,
        }
    }
}
