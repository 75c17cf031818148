//! The front door of the library: [`Client`] hands out a credential, refreshed if it is due, after
//! its use is in the audit record.
//!
//! A call blocks: it reads files, may wait for another process, and may send a request to a
//! provider. A `Client` is [`Send`] and [`Sync`]; its calls run one after the other. A child of a
//! `fork` must open a client of its own.

mod builder;
mod change;
mod chooser;
mod error;
mod hand_out;
mod keys;
mod kind;
mod mark;
mod notice;
mod order;
mod record;
mod request;
mod status;
mod system;
mod token;
mod workspace;

use std::fmt;
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

pub use self::builder::ClientBuilder;
pub use self::change::{Change, NewCredential, entry_of, without};
pub use self::chooser::{Changing, Chooser, Scope, preferences_of};
pub use self::error::ClientError;
pub use self::hand_out::{Chosen, Hooks, Pick};
use self::keys::Keys;
pub use self::kind::ErrorKind;
pub use self::mark::{Mark, marked};
pub use self::notice::ClientNotice;
use self::notice::{NoticeOf, NoticeSink};
pub use self::order::{order_change, order_cleared, order_set};
pub use self::record::Record;
pub use self::request::{Request, SESSION_MAX, TokenOptions, id_in, session_name};
pub use self::status::{CredentialStatus, Synced};
pub use self::system::{SystemCause, SystemError, cause_of};
pub use self::token::Token;
pub use self::workspace::{ExportModes, HeadProblem, Heads, Places, Worked, Workspace};
use crate::audit::{Event, Filter, Verified};
use crate::config::{AgentRef, ExportMode};
use crate::domain::{ProviderId, StoreDoc};
use crate::platform::Stamp;
use crate::selection::FailureReason;
use crate::sync::{Edited, Engine, Loaded, Refresher, SyncMode};
use crate::vault::UnlockedVault;

/// The command that the record names for what a client hands out.
const COMMAND: &str = "client";

/// An open vault, and the agent whose credentials it hands out.
pub struct Client {
    workspace: Workspace,
    agent: AgentRef,
    keys: Keys,
    heads: Heads,
    /// Whether it writes the agents' stores as the settings say.
    has_stores: bool,
    on_notice: Option<NoticeSink>,
    /// The vault, and the state of its file when it was opened.
    vault: Mutex<Option<(UnlockedVault, Option<Stamp>)>>,
    /// The process that opened it.
    process: u32,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let vault = self.workspace.layout.vault_file.display();
        write!(f, "Client({vault}, {})", self.agent.name)
    }
}

impl Client {
    /// Hands out the next credential of a provider.
    ///
    /// # Errors
    /// Why none can be handed out; see [`ClientError::kind`].
    pub fn token(&self, provider: &str) -> Result<Token, ClientError> {
        let wanted = Request::Provider(ProviderId::new(provider));
        self.token_with(&wanted, &TokenOptions::default())
    }

    /// Hands out the credential of a profile.
    ///
    /// # Errors
    /// As [`Client::token`].
    pub fn token_for(&self, profile: &str) -> Result<Token, ClientError> {
        let wanted = Request::Profile(profile.to_owned());
        self.token_with(&wanted, &TokenOptions::default())
    }

    /// Hands out the credential that a request asks for, on these terms. A login that is due is
    /// refreshed first; concurrent callers in any process share one request to the provider.
    ///
    /// # Errors
    /// As [`Client::token`].
    pub fn token_with(
        &self,
        wanted: &Request,
        options: &TokenOptions,
    ) -> Result<Token, ClientError> {
        if let Some(name) = &options.session
            && session_name(name) != Some(name)
        {
            return Err(ClientError::BadArgument(
                "a session's name has 1 to 256 characters, none of them for control".to_owned(),
            ));
        }
        self.with_vault(|vault| {
            vault.require_writable()?;
            let mode = self.mode(vault)?;
            let hooks: Hooks<'_, ClientError> = Hooks {
                command: COMMAND,
                program: None,
                accept: &|_| Ok(()),
                refresh: &|engine, id, when| {
                    let agents = self.workspace.every_agent(engine.vault)?;
                    let mut refresher = Refresher::new(self.workspace.providers()?, &agents);
                    let keep_head = |vault: &UnlockedVault| self.keep_head(vault);
                    refresher.keep_head = Some(&keep_head);
                    Ok(engine.refresh(&refresher, &self.agent, mode, id, when)?)
                },
            };
            let requests = std::slice::from_ref(wanted);
            let chosen = self.with_engine(vault, |engine| {
                let of = (&self.agent, mode);
                self.workspace
                    .hand_out(engine, of, (requests, options), &hooks)
            })?;
            let token = chosen.picks.first();
            let token = token.and_then(|pick| chosen.token(pick, &self.workspace));
            let token = token.map_or_else(|| Err(self.refusal(wanted, &chosen)), Ok);
            self.report(chosen.loaded);
            token
        })
        .map_err(ClientError::of_use)
    }

    /// Changes the agent's credentials. All that `work` changes and the events of it are committed
    /// together, or nothing is. `work` is called again if another program changes the store
    /// meanwhile.
    ///
    /// # Errors
    /// What `work` fails with; when the vault cannot be changed.
    pub fn change(
        &self,
        work: impl Fn(&mut Change) -> Result<(), ClientError>,
    ) -> Result<(), ClientError> {
        self.edit(|doc| {
            let mut change = Change::of(doc);
            work(&mut change)?;
            Ok(change.edited())
        })
    }

    /// Writes a backup of the vault to a file that does not exist yet. The keys of the vault open
    /// it.
    ///
    /// # Errors
    /// When the vault cannot be read, or the file cannot be written.
    pub fn back_up(&self, to: impl AsRef<Path>) -> Result<(), ClientError> {
        self.with_vault(|vault| {
            let Workspace { actor, clock, .. } = &self.workspace;
            vault.back_up(to.as_ref(), actor, *clock)?;
            self.keep_head(vault);
            Ok(())
        })
    }

    /// Lists the agent's credentials, and how each one stands. Records nothing but what a sync
    /// finds.
    ///
    /// # Errors
    /// When the agent cannot be loaded.
    pub fn status(&self) -> Result<Vec<CredentialStatus>, ClientError> {
        let loaded = self.load()?;
        let as_of = self.workspace.as_of(self.workspace.clock.now());
        let all = loaded.doc.credentials();
        Ok(all
            .map(|(id, credential)| CredentialStatus::of(&loaded.doc, id, &credential, as_of))
            .collect())
    }

    /// Imports the logins of other programs and exports the agent's store, if anything has changed.
    ///
    /// # Errors
    /// When the agent cannot be loaded.
    pub fn sync(&self) -> Result<Synced, ClientError> {
        Ok(Synced::of(self.load()?))
    }

    /// Returns the events of the audit record that a filter matches. What they say is not verified;
    /// [`Client::verify`] does that.
    ///
    /// # Errors
    /// When the record cannot be read.
    pub fn history(&self, filter: &Filter) -> Result<Vec<Event>, ClientError> {
        self.with_vault(|vault| Ok(vault.history(filter)?.collect::<Result<_, _>>()?))
    }

    /// Verifies the whole audit record, against the head that is kept outside the vault.
    ///
    /// # Errors
    /// [`ErrorKind::Damaged`] when the record was altered; when it cannot be read.
    pub fn verify(&self) -> Result<Verified, ClientError> {
        self.with_vault(|vault| {
            let kept = self.workspace.kept_head(vault)?;
            let verified = vault.verify_record(kept)?;
            Ok(verified.map_err(SystemCause::Chain)?)
        })
    }

    /// Records that a profile's credential worked: its cooldown ends.
    ///
    /// # Errors
    /// [`ClientError::UnknownProfile`]; when the store cannot be changed.
    pub fn mark_used(&self, profile: &str) -> Result<(), ClientError> {
        self.mark(profile, Mark::Used)
    }

    /// Records that a provider refused a profile's credential or did not answer: it gets a
    /// cooldown.
    ///
    /// # Errors
    /// As [`Client::mark_used`].
    pub fn mark_failed(&self, profile: &str, reason: FailureReason) -> Result<(), ClientError> {
        self.mark(profile, Mark::Failed(reason))
    }

    fn mark(&self, profile: &str, mark: Mark) -> Result<(), ClientError> {
        let settings = self.workspace.settings()?;
        self.edit(|doc| {
            marked(
                doc,
                profile,
                mark,
                &settings.cooldowns,
                self.workspace.clock.now(),
            )
        })
    }

    /// Sets the order in which the profiles of a provider are tried; an empty one is removed.
    ///
    /// # Errors
    /// [`ClientError::UnknownProfile`] and [`ClientError::OtherProvider`]; when the store cannot be
    /// changed.
    pub fn set_order(&self, provider: &str, profiles: &[&str]) -> Result<(), ClientError> {
        let provider = ProviderId::new(provider);
        self.edit(|doc| match profiles {
            [] => Ok(order_cleared(doc, &provider)),
            profiles => order_set(doc, &provider, profiles),
        })
    }

    fn edit(
        &self,
        change: impl Fn(&StoreDoc) -> Result<Edited, ClientError>,
    ) -> Result<(), ClientError> {
        self.with_vault(|vault| {
            vault.require_writable()?;
            let mode = self.mode(vault)?;
            let loaded =
                self.with_engine(vault, |engine| engine.edit(&self.agent, mode, change))?;
            if !loaded.unopened.is_empty() {
                let rows = loaded.unopened;
                return Err(ClientError::Unopened { rows });
            }
            self.report(loaded);
            Ok(())
        })
    }

    fn load(&self) -> Result<Loaded, ClientError> {
        self.with_vault(|vault| {
            let mode = self.mode(vault)?;
            let mut loaded = self.with_engine(vault, |engine| {
                engine.load(&self.agent, mode).map_err(ClientError::from)
            })?;
            let notices = std::mem::take(&mut loaded.notices);
            notices
                .into_iter()
                .for_each(|notice| self.notify(NoticeOf::Load(notice)));
            Ok(loaded)
        })
    }

    /// Which logins of other programs are read: none for an unknown agent.
    fn mode(&self, vault: &UnlockedVault) -> Result<SyncMode, ClientError> {
        Ok(match self.workspace.is_unknown(vault, &self.agent)? {
            true => SyncMode::Off,
            false => self.workspace.mode,
        })
    }

    /// Why no credential was chosen.
    fn refusal(&self, wanted: &Request, chosen: &Chosen) -> ClientError {
        let doc = &chosen.loaded.doc;
        let passed_over = chosen
            .picks
            .iter()
            .flat_map(|pick| &pick.choice.passed_over)
            .map(|(id, why)| (id.clone(), why.as_str()));
        match wanted {
            Request::Provider(provider) if !self.is_known(provider, doc) => {
                let provider = provider.clone();
                return ClientError::UnknownProvider { provider };
            }
            Request::Profile(id) if doc.credential(id_in(doc, id)).is_none() => {
                let profile = id_in(doc, id).to_owned();
                return ClientError::UnknownProfile { profile };
            }
            _ => {}
        }
        ClientError::NoCredential {
            wanted: wanted.clone(),
            passed_over: passed_over.collect(),
        }
    }

    /// Whether a credential, a setting or a built-in entry is of that provider.
    fn is_known(&self, provider: &ProviderId, doc: &StoreDoc) -> bool {
        let is_entry = |workspace: &Workspace| {
            let providers = workspace.providers().ok()?;
            Some(
                !matches!(providers.get(provider), Ok(None))
                    || providers.variables(provider).is_some(),
            )
        };
        let is_set = |workspace: &Workspace| {
            let settings = workspace.settings().ok()?;
            Some(
                settings.order_for(provider).is_some()
                    || !settings.profiles_of(provider).is_empty(),
            )
        };
        !doc.profiles_of(provider.as_str()).is_empty()
            || doc.order_for(provider.as_str()).is_some()
            || !crate::config::provider_variables(provider).is_empty()
            || is_entry(&self.workspace) == Some(true)
            || is_set(&self.workspace) == Some(true)
    }

    /// Opens the vault for the first time.
    fn opened(self, creates: bool) -> Result<Self, ClientError> {
        self.workspace.places.check_single()?;
        let opened = match self.open() {
            Err(error) if creates && error.is_absent() => self.create()?,
            opened => opened?,
        };
        *self.lock() = Some(opened);
        Ok(self)
    }

    fn open(&self) -> Result<(UnlockedVault, Option<Stamp>), ClientError> {
        let Self { workspace, .. } = self;
        workspace.check_owner()?;
        let stamp = Stamp::of(&workspace.layout.vault_file);
        let vault = workspace.open_locked()?;
        let sources = self.keys.sources(workspace, &self.heads);
        let vault = workspace.unlock(vault, &sources)?;
        workspace.check_end(&vault)?;
        Ok((vault, stamp))
    }

    fn create(&self) -> Result<(UnlockedVault, Option<Stamp>), ClientError> {
        let sources = self.keys.sources(&self.workspace, &self.heads);
        match self.workspace.create(&self.keys.first(), &sources)? {
            Some(created) => {
                self.keep_head(&created.vault);
                let stamp = Stamp::of(created.vault.path());
                Ok((created.vault, stamp))
            }
            None => self.open(), // another process created it first
        }
    }

    /// Runs `work` with the vault, opened again if another file has taken its place.
    fn with_vault<T>(
        &self,
        work: impl FnOnce(&mut UnlockedVault) -> Result<T, ClientError>,
    ) -> Result<T, ClientError> {
        if std::process::id() != self.process {
            return Err(ClientError::Forked);
        }
        let mut open = self.lock();
        let there = Stamp::of(&self.workspace.layout.vault_file);
        let is_same = |(_, opened): &(_, Option<Stamp>)| match (opened, there) {
            (Some(opened), Some(there)) => there.is_same_file(opened),
            _ => false,
        };
        let vault = match open.take().filter(is_same) {
            Some(vault) => vault,
            None => self.open()?,
        };
        work(&mut open.insert(vault).0)
    }

    fn lock(&self) -> MutexGuard<'_, Option<(UnlockedVault, Option<Stamp>)>> {
        // A transaction of a thread that panicked was rolled back.
        self.vault.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with_engine<T>(
        &self,
        vault: &mut UnlockedVault,
        work: impl FnOnce(&mut Engine<'_>) -> T,
    ) -> T {
        let modes = self.workspace.export_modes(vault);
        let mode = |agent: &AgentRef| match self.has_stores {
            true => modes.of(agent),
            false => Some(ExportMode::Off),
        };
        let worked = self.workspace.with_engine(vault, &mode, work);
        let notices = worked.notices.into_iter();
        notices.for_each(|notice| self.notify(NoticeOf::Load(notice)));
        if worked.has_new_events {
            self.keep_head(vault);
        }
        worked.done
    }

    fn keep_head(&self, vault: &UnlockedVault) {
        for problem in self.workspace.keep_head(vault) {
            self.notify(NoticeOf::Head(problem));
        }
    }

    fn report(&self, loaded: Loaded) {
        let notices = loaded.notices.into_iter();
        notices.for_each(|notice| self.notify(NoticeOf::Load(notice)));
    }

    fn notify(&self, notice: NoticeOf) {
        if let Some(take) = &self.on_notice {
            take(ClientNotice::of(notice));
        }
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if std::process::id() != self.process {
            // Closing it here would disturb the parent's connection to the same file. Source:
            // SQLite, How To Corrupt An SQLite Database File, section 2.6.
            // Nor is the lock waited for: a thread that the parent had may have held it at the
            // fork.
            let vault = self.vault.get_mut();
            std::mem::forget(vault.unwrap_or_else(PoisonError::into_inner).take());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_refused_after_a_fork() {
        const fn is_shared_by_threads<T: Send + Sync>() {}
        is_shared_by_threads::<Client>();
        let dir = tempfile::tempdir().unwrap();
        let mut client = Client::builder("test")
            .state_dir(dir.path())
            .open_or_create()
            .unwrap();
        client.process += 1;
        let error = client.token("openai").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Forked);
        assert_eq!(client.status().unwrap_err().kind(), ErrorKind::Forked);
    }

    #[test]
    #[cfg(not(feature = "oauth"))]
    fn without_an_http_client_a_login_that_is_due_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let agent = dir.path().join("agents/main/agent");
        std::fs::create_dir_all(&agent).unwrap();
        let profiles = serde_json::json!({"openai-codex:default": {
            "type": "oauth", "provider": "openai-codex", "access": "a", "refresh": "r",
            "expires": 1,
        }});
        let store = serde_json::json!({"version": 1, "profiles": profiles}).to_string();
        std::fs::write(agent.join("auth-profiles.json"), store).unwrap();
        let client = Client::builder("test")
            .state_dir(dir.path())
            .open_or_create()
            .unwrap();
        let error = client.token("openai-codex").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::RefreshUnavailable);
    }
}
