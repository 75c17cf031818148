//! `models auth paste-token` and `paste-api-key`: a credential from stdin or a prompt.

use clap::Args;
use clawkeep::internal::audit::Origin;
use clawkeep::internal::client::{NewCredential, entry_of};
use clawkeep::internal::config::{AgentRef, ConfigEdit};
use clawkeep::internal::domain::{
    CredentialType, ProfileId, ProviderId, SecretJson, Section, Span, UnixMs,
};
use clawkeep::internal::sync::Edited;
use clawkeep::internal::vault::UnlockedVault;
use secrecy::SecretString;
use serde_json::json;

use super::{checks, edit, order, restore};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::options::time_arg;
use crate::terminal::prompt;

/// Store a token that is pasted at a prompt or given on stdin.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth paste-token --provider \
        anthropic                    asks for it, without echo\n  clawkeep models auth \
        paste-token --provider anthropic --expires-in 365d < token.txt"
)]
pub(crate) struct PasteToken {
    #[command(flatten)]
    target: Target,
    /// When it expires, from now: 365d, 12h, 30m; without a unit, days
    #[arg(long, value_name = "DURATION", value_parser = time_arg::lifetime,
        allow_hyphen_values = true)]
    expires_in: Option<Span>,
}

/// Store an API key that is pasted at a prompt or given on stdin.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep models auth paste-api-key --provider \
        openai                  asks for it, without echo\n  clawkeep models auth paste-api-key \
        --provider openai --profile-id openai:work < key.txt"
)]
pub(crate) struct PasteApiKey {
    #[command(flatten)]
    target: Target,
}

/// Which profile.
#[derive(Debug, Args)]
struct Target {
    /// The provider, for example anthropic
    #[arg(long, value_name = "NAME", value_parser = ids::provider)]
    provider: ProviderId,
    /// The profile to store it as [default: PROVIDER:manual]
    #[arg(long, value_name = "ID", value_parser = profile_id)]
    profile_id: Option<ProfileId>,
    #[command(flatten)]
    agent: AgentOption,
}

/// The credential to store, without the secret.
pub(crate) struct Paste<'a> {
    pub(crate) agent: &'a AgentRef,
    pub(crate) provider: &'a ProviderId,
    pub(crate) id: &'a ProfileId,
    pub(crate) kind: CredentialType,
    pub(crate) expires: Option<UnixMs>,
    /// The command, for the record.
    pub(crate) means: &'static str,
    /// The option of the command that names the id.
    pub(crate) id_option: &'static str,
}

impl PasteToken {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let now = context.clock.now();
        let expires = self.expires_in.map(|lifetime| now + lifetime);
        self.target
            .run(context, CredentialType::Token, expires, "paste-token")
    }
}

impl PasteApiKey {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        self.target
            .run(context, CredentialType::ApiKey, None, "paste-api-key")
    }
}

impl Target {
    fn run(
        self,
        context: &Context,
        kind: CredentialType,
        expires: Option<UnixMs>,
        means: &'static str,
    ) -> Result<(), Failure> {
        let id = self
            .profile_id
            .unwrap_or_else(|| default_id(&self.provider));
        let paste = Paste {
            agent: &self.agent.resolve(context)?,
            provider: &self.provider,
            id: &id,
            kind,
            expires,
            means,
            id_option: checks::ID_OPTION,
        };
        // before the question: without the vault the secret would be typed in vain
        let mut vault = context.vault()?;
        paste.check(context, &vault)?;
        let secret = paste.ask()?;
        paste.store(context, &mut vault, &secret)
    }
}

/// The default profile of a provider. Source: the reference.
pub(crate) fn default_id(provider: &ProviderId) -> ProfileId {
    ProfileId::new(format!("{provider}:manual"))
}

pub(crate) fn profile_id(raw: &str) -> Result<ProfileId, String> {
    /// The longest accepted id; the store itself has no limit.
    const ID_MAX: usize = 200;
    let id = raw.trim();
    match () {
        () if id.is_empty() => Err("a profile id is not empty".to_owned()),
        () if id.contains(char::is_control) => {
            Err("a profile id has no control characters".to_owned())
        }
        () if ids::begins_like_secret(id) || id.len() > ID_MAX => {
            Err("that looks like a secret; an id is a name, such as anthropic:work".to_owned())
        }
        () => Ok(ProfileId::new(id)),
    }
}

impl Paste<'_> {
    /// Refuses a profile that mirrors another program's login, since the next sync would overwrite
    /// it, and an unknown agent, which is mistyped.
    pub(crate) fn check(&self, context: &Context, vault: &UnlockedVault) -> Result<(), Failure> {
        checks::check_known(context, vault, self.agent)?;
        let state = vault.agent(&self.agent.name)?;
        checks::check_no_reference(&state.doc, self.id.as_str(), self.id_option)?;
        checks::check_not_borrowed(&state.borrowed, self.id, self.id_option)?;
        Ok(())
    }

    pub(crate) fn ask(&self) -> Result<SecretString, Failure> {
        let what = match self.kind {
            CredentialType::ApiKey => "API key",
            _ => "token",
        };
        prompt::secret(&format!("Paste {what} for {}", self.provider))
    }

    /// Stores the secret and records the profile in the configuration.
    pub(crate) fn store(
        &self,
        context: &Context,
        vault: &mut UnlockedVault,
        secret: &SecretString,
    ) -> Result<(), Failure> {
        let entry = self.entry(secret);
        let open = order::open_order(vault, self.agent, self.provider)?;
        let loaded = edit::edit_store(context, vault, self.agent, |doc| {
            checks::check_no_reference(doc, self.id.as_str(), self.id_option)?;
            let mut after = doc.clone();
            after.set(
                Section::Profiles,
                self.id.as_str(),
                entry.expose_secret().clone(),
            );
            let edited = Edited::to(after, Vec::new());
            let ids = [self.id.as_str()];
            let edited = order::follow(edited, self.provider, &ids, open.as_deref());
            Ok(edited.by(self.means, Origin::Clawkeep))
        })?;
        let kind = self.kind.as_str();
        let replaced = loaded
            .before
            .as_ref()
            .and_then(|before| before.credential(self.id.as_str()));
        if let Some(before) = replaced {
            let undo = restore::undo(context, vault, self.agent, self.id.as_str())?;
            let note = format!(
                "Note: it replaced the {} that was stored as {}. {undo}",
                before.kind.as_str(),
                self.id
            );
            context.ui.note(note.trim_end());
        }
        let stored = (self.id.as_str(), self.provider);
        order::note_place(context, self.agent, &loaded, stored);
        edit::note_agent(context, self.agent)?;
        let edit = ConfigEdit::Put {
            id: self.id.clone(),
            provider: self.provider.clone(),
            mode: self.kind,
        };
        let recorded = edit::record_in_config(context, &edit, &format!("{} is stored", self.id));
        let stored = json!({
            "profileId": self.id.as_str(),
            "provider": self.provider.as_str(),
            "type": kind,
            "agentId": self.agent.name.as_str(),
            "expiresAt": self.expires.map(|at| at.0),
        });
        edit::conclude(context, loaded, recorded, |updated| {
            let text = format!(
                "{updated}Auth profile: {} ({}/{kind})\n",
                self.id, self.provider
            );
            context.ui.done(&text, &stored)
        })
    }

    fn entry(&self, secret: &SecretString) -> SecretJson {
        let make = match self.kind {
            CredentialType::ApiKey => NewCredential::api_key,
            _ => NewCredential::token,
        };
        let new = make(self.provider.as_str(), secret.clone());
        entry_of(&match self.expires {
            Some(at) => new.expires(at),
            None => new,
        })
    }
}
