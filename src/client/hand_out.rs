//! Handing credentials out: chosen, refreshed if they are due, and recorded before anybody gets
//! one.

use super::chooser::{Chooser, Scope, is_damaged, is_named_already, least_ms};
use super::error::ClientError;
use super::request::{Request, TokenOptions};
use super::token::Token;
use super::workspace::Workspace;
use crate::config::{AgentRef, Fallback};
use crate::domain::ProfileId;
use crate::health::PassedOver;
use crate::selection::Choice;
use crate::sync::{Engine, HandOut, Loaded, RefreshOutcome, Refreshes, SyncError, SyncMode, When};

/// The choice that was made for a request.
#[derive(Clone, Debug)]
pub struct Pick {
    /// The request.
    pub wanted: Request,
    /// The chosen profile, and those that were passed over.
    pub choice: Choice<PassedOver>,
}

/// What was chosen and recorded. If any request got none, no credential may be handed out.
#[derive(Debug)]
pub struct Chosen {
    /// The agent, as it was chosen from.
    pub loaded: Loaded,
    /// The choice for each request.
    pub picks: Vec<Pick>,
    /// What became of the logins that were refreshed first.
    pub refreshes: Refreshes,
    /// What the settings or the caller say about a first choice that cannot be used.
    pub fallback: Fallback,
}

impl Chosen {
    /// Returns the credential that was chosen for a request.
    #[must_use]
    pub fn token(&self, pick: &Pick, workspace: &Workspace) -> Option<Token> {
        let profile = pick.choice.chosen.as_ref()?;
        let why = self.refreshes.why_not(profile);
        let as_of = workspace.as_of(workspace.clock.now());
        Token::of(&self.loaded.doc, profile, why, as_of)
    }
}

/// How a caller takes part in a hand-out.
pub struct Hooks<'h, E> {
    /// The command that hands out, for the record.
    pub command: &'static str,
    /// The program that gets the secrets, by its file's name alone, if the command runs one.
    pub program: Option<&'h str>,
    /// Refuses a credential that the caller cannot use, before anything is recorded. It may be
    /// refreshed after that.
    pub accept: &'h dyn Fn(&Token) -> Result<(), E>,
    /// Refreshes a login, if it is due by the last argument.
    pub refresh: &'h dyn Fn(&mut Engine<'_>, &ProfileId, When) -> Result<RefreshOutcome, E>,
}

impl<E> std::fmt::Debug for Hooks<'_, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Hooks({})", self.command)
    }
}

impl Workspace {
    /// Chooses a credential for each request, refreshes logins that are due, and records the uses
    /// and who was passed over.
    ///
    /// # Errors
    /// When settings, vault or store cannot be used; when damage hides what was requested; and
    /// whatever a hook refuses. Nothing may be handed out then.
    pub fn hand_out<E: From<ClientError> + From<SyncError>>(
        &self,
        engine: &mut Engine<'_>,
        (agent, mode): (&AgentRef, SyncMode),
        (wanted, options): (&[Request], &TokenOptions),
        hooks: &Hooks<'_, E>,
    ) -> Result<Chosen, E> {
        let settings = self.settings().map_err(ClientError::from)?;
        let fallback = match options.fallback {
            Some(fallback) => fallback,
            None => self.own().map_err(ClientError::from)?.fallback,
        };
        let when = When::LessLeftThan(least_ms(options));
        let (loaded, picks, refreshes) = engine.hand_out(
            (agent, options.session.as_deref()),
            mode,
            |loaded, pins, refreshes| {
                let doc = &loaded.doc;
                if wanted.iter().any(|one| is_damaged(loaded, one, options)) {
                    let rows = loaded.unopened.clone();
                    return Err(ClientError::Unopened { rows }.into());
                }
                let chooser = Chooser {
                    doc,
                    borrowed: &loaded.borrowed,
                    pins,
                    refreshes,
                    settings,
                    options,
                    fallback,
                    scope: Scope::All,
                    now: self.clock.now(),
                };
                let one_each = wanted
                    .iter()
                    .filter(|one| !is_named_already(doc, wanted, one));
                let picks = one_each.map(|wanted| Pick {
                    wanted: wanted.clone(),
                    choice: chooser.choose(wanted),
                });
                let picks: Vec<Pick> = picks.collect();
                let chosen = || picks.iter().filter_map(|pick| pick.choice.chosen.as_ref());
                for id in chosen() {
                    let as_of = self.as_of(self.clock.now());
                    if let Some(token) = Token::of(doc, id, None, as_of) {
                        (hooks.accept)(&token)?;
                    }
                }
                // An unknown name is most likely mistyped, or a pasted secret: it is not recorded
                // permanently.
                let is_known = |id: &ProfileId| {
                    doc.credential(id.as_str()).is_some()
                        || settings.profile(id.as_str()).is_some()
                        || !wanted.contains(&Request::Profile(id.as_str().to_owned()))
                };
                // A missing credential fails the call: the others are not handed out either.
                let is_complete = picks.iter().all(|pick| pick.choice.chosen.is_some());
                let passed_over = picks.iter().flat_map(|pick| &pick.choice.passed_over);
                let passed_over = passed_over.filter(|(id, _)| is_known(id));
                let handing = HandOut {
                    uses: chosen().filter(|_| is_complete).cloned().collect(),
                    passed_over: passed_over
                        .map(|(id, why)| (id.clone(), why.as_str()))
                        .collect(),
                    command: hooks.command,
                    program: hooks.program.map(str::to_owned),
                    session: options.session.clone(),
                    due: chosen()
                        .filter(|id| chooser.needs_refresh(id))
                        .cloned()
                        .collect(),
                };
                Ok::<_, E>((handing, picks))
            },
            |engine, id| (hooks.refresh)(engine, id, when),
        )?;
        Ok(Chosen {
            loaded,
            picks,
            refreshes,
            fallback,
        })
    }
}
