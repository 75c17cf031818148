//! Choosing the credential that a command hands out.

mod explain;
pub(crate) mod request;

use clap::Args;
use clawkeep::config::{AgentRef, Fallback, Settings};
use clawkeep::doctor::removed_elsewhere;
use clawkeep::domain::{
    Credential, CredentialType, Owner, ProfileId, ProviderId, Section, Span, StoreDoc, UnixMs,
    WITH_PROJECT,
};
use clawkeep::selection::{
    Choice, Demand, PassedOver, Preferences, candidates, candidates_ignoring_cooldowns, choose,
    unavailability, unusable,
};
use clawkeep::sync::{
    DUE_BELOW_MS, HandOut, Loaded, NotRefreshed, Refresher, Refreshes, Rules, When, is_due,
};
use clawkeep::vault::{Pin, UnlockedVault};
use secrecy::SecretString;
use serde_json::json;

use self::explain::{none, note_passed_over, warn_not_refreshed};
use self::request::{ChoiceContext, Pick, Request};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::agent::AgentOption;
use crate::options::ids;
use crate::options::time_arg::span;
use crate::terminal::signals;
use crate::terminal::text::shown_id;

/// Options that control which credential is chosen.
#[derive(Debug, Args)]
pub(crate) struct SelectionArgs {
    #[command(flatten)]
    pub(crate) agent: AgentOption,
    /// The session: its pinned profile goes first, and the record names it
    #[arg(long, value_name = "SESSION", value_parser = ids::session)]
    session: Option<String>,
    /// Require at least this much remaining lifetime; refreshes first if needed: 5m, 1h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    min_valid: Option<Span>,
    /// The first choice or nothing, never another account
    /// [default: clawkeep.fallback in clawkeep.toml]
    #[arg(long)]
    strict: bool,
}

/// A credential that was chosen, to be handed out.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) id: ProfileId,
    pub(crate) provider: ProviderId,
    pub(crate) kind: CredentialType,
    /// When it expires, in milliseconds since the epoch.
    pub(crate) expires: Option<i64>,
    pub(crate) secret: SecretString,
}

impl SelectionArgs {
    /// Chooses a credential for each request, records the uses, and reports which others were
    /// passed over. Only then may the credentials be handed out.
    pub(crate) fn pick(
        &self,
        context: &Context,
        wanted: &[Request],
        command: &'static str,
        takes: impl Fn(&ProviderId) -> Result<(), Failure>,
    ) -> Result<Vec<Picked>, Failure> {
        let settings = context.settings()?;
        let is_strict = self.strict || context.own()?.fallback == Fallback::None;
        let agent = self.agent.resolve(context)?;
        context.places.check_single()?;
        let mut vault = context.vault_to_record_in()?;
        let (loaded, picks, refreshes) =
            self.hand_out(context, &mut vault, &agent, |loaded, pins, refreshes| {
                let doc = &loaded.doc;
                self.check_damage(loaded, wanted)?;
                let now = context.clock.now();
                let mut picks = Vec::new();
                let mut due = Vec::new();
                for wanted in wanted
                    .iter()
                    .filter(|one| !is_named_already(doc, wanted, one))
                {
                    let choosing = Choosing {
                        doc,
                        pins,
                        refreshes,
                        settings,
                        now,
                        is_strict,
                    };
                    let choice = self.choose(&choosing, wanted);
                    let chosen = choice.chosen.iter();
                    due.extend(
                        chosen
                            .filter(|id| self.needs_refresh(&choosing, id))
                            .cloned(),
                    );
                    if let Some(credential) = choice
                        .chosen
                        .as_ref()
                        .and_then(|id| doc.credential(id.as_str()))
                    {
                        takes(&ProviderId::new(credential.provider))?;
                    }
                    picks.push(Pick {
                        wanted: wanted.clone(),
                        choice,
                    });
                }
                // A missing credential fails the command: the others are not handed out either.
                let is_complete = picks.iter().all(|pick| pick.choice.chosen.is_some());
                // An unknown name is most likely mistyped, or a pasted secret: it is not recorded
                // permanently.
                let is_known = |id: &ProfileId| {
                    doc.credential(id.as_str()).is_some()
                        || settings.profile(id.as_str()).is_some()
                        || !wanted.contains(&Request::Profile(id.as_str().to_owned()))
                };
                let passed_over = picks.iter().flat_map(|pick| &pick.choice.passed_over);
                let passed_over = passed_over.filter(|(id, _)| is_known(id));
                let uses = picks.iter().filter_map(|pick| pick.choice.chosen.clone());
                let handing = HandOut {
                    uses: uses.filter(|_| is_complete).collect(),
                    passed_over: passed_over
                        .map(|(id, why)| (id.clone(), why.as_str()))
                        .collect(),
                    command,
                    session: self.session.clone(),
                    due,
                };
                Ok::<_, Failure>((handing, picks))
            })?;
        context.report_load(&loaded);
        for id in refreshes.refreshed() {
            context
                .ui
                .detail(&format!("Refreshed {}.", shown_id(id.as_str())));
        }
        if let Some(error) = loaded
            .not_written
            .iter()
            .chain(&refreshes.not_written)
            .next()
        {
            context.ui.warn(&format!(
                "Warning: the store could not be written: {error}. The next command tries again."
            ));
        }
        if let Some(error) = &loaded.not_removed {
            context.ui.warn(&format!(
                "Warning: the store could not be removed: {error}. The next command tries again."
            ));
        }
        let is_missing = picks.iter().any(|pick| pick.choice.chosen.is_none());
        let removed = match is_missing {
            true => removed_elsewhere(&vault, &agent.name, &loaded.doc, context.clock.now()),
            false => Vec::new(),
        };
        let found = ChoiceContext {
            context,
            loaded: &loaded,
            refreshes: &refreshes,
            removed: &removed,
        };
        let picked = picks
            .iter()
            .map(|pick| Picked::of(&found, &agent, pick, is_strict));
        let picked = picked.collect::<Result<Vec<_>, _>>()?;
        for pick in &picks {
            note_passed_over(context, (&agent, &loaded.doc, &refreshes), pick);
            warn_not_refreshed(context, &refreshes, pick);
        }
        for picked in &picked {
            Self::note_announced(context, &mut vault, &agent, &loaded, picked)?;
            context.ui.detail(&picked.described(context.clock.now()));
        }
        Ok(picked)
    }

    /// Records that a warning about another account was shown: the load reports it, and only once.
    /// With `--quiet` it was not shown.
    fn note_announced(
        context: &Context,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
        loaded: &Loaded,
        picked: &Picked,
    ) -> Result<(), Failure> {
        let is_warned = context.rules == Rules::Own && context.ui.shows_notes();
        if is_warned && loaded.has_unannounced(picked.id.as_str()) {
            context.with_engine(vault, |engine| engine.take_unannounced(agent, &picked.id))?;
        }
        Ok(())
    }

    fn hand_out<T>(
        &self,
        context: &Context,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
        choose: impl Fn(&Loaded, &[Pin], &Refreshes) -> Result<(HandOut, T), Failure>,
    ) -> Result<(Loaded, T, Refreshes), Failure> {
        let mode = context.mode_for(vault, agent)?;
        let when = When::LessLeftThan(self.least_ms());
        context.with_engine(vault, |engine| {
            engine.hand_out(agent, mode, choose, |engine, id| {
                let what = format!("Refreshing {}", shown_id(id.as_str()));
                let _progress = context.ui.progress(&what);
                // Loaded only here, so that a command without a refresh does not pay for it.
                let agents = context.every_agent(engine.vault)?;
                let mut refresher = Refresher::new(context.providers()?, &agents);
                refresher.shield = Some(&signals::hold);
                let keep_head = |vault: &UnlockedVault| context.keep_head(vault);
                refresher.keep_head = Some(&keep_head);
                Ok(engine.refresh(&refresher, agent, mode, id, when)?)
            })
        })
    }

    /// Refuses a damaged credential, and one that would be chosen only because another is damaged.
    fn check_damage(&self, loaded: &Loaded, wanted: &[Request]) -> Result<(), Failure> {
        let Loaded { doc, damage, .. } = loaded;
        let is_affected = |wanted: &Request| match wanted {
            Request::Of(provider) => damage.affects(provider.as_str(), doc),
            Request::Profile(id) => damage.hides(ids::id_in(doc, id), doc),
        };
        let is_pin_lost = self.session.is_some() && damage.pins;
        if is_pin_lost || wanted.iter().any(is_affected) {
            let rows = loaded.unopened.clone();
            return Err(Failure::Unopened { rows });
        }
        Ok(())
    }

    /// The remaining lifetime that a refreshable login must have, in milliseconds.
    fn least_ms(&self) -> i64 {
        self.min_valid.unwrap_or_default().ms().max(DUE_BELOW_MS)
    }

    /// Whether a login must be refreshed before it is handed out, and no refresh was tried yet.
    fn needs_refresh(&self, choosing: &Choosing<'_>, id: &ProfileId) -> bool {
        let Some(credential) = choosing.doc.credential(id.as_str()) else {
            return false;
        };
        let is_refreshable = credential.expose_refresh().is_some()
            && !credential.is_marker()
            && Owner::of(id.as_str()) == Owner::Vault;
        is_refreshable
            && !choosing.refreshes.was_tried(id)
            && is_due(&credential, choosing.now, self.least_ms())
    }

    fn choose(&self, choosing: &Choosing<'_>, wanted: &Request) -> Choice {
        let Choosing {
            doc,
            pins,
            refreshes,
            settings,
            now,
            is_strict,
        } = *choosing;
        let demand = Demand {
            now,
            min_valid_ms: self.min_valid.unwrap_or_default().ms(),
        };
        let refuse = |id: &ProfileId| {
            let credential = doc.credential(id.as_str());
            let is_anothers = |credential: &Credential<'_>| match wanted {
                Request::Of(provider) => {
                    credential.is_readable() && !credential.is_for(provider.as_str())
                }
                Request::Profile(_) => false,
            };
            if credential.as_ref().is_some_and(is_anothers) {
                return Some(PassedOver::Mismatch);
            }
            let setting = settings.profile(id.as_str());
            let is_other = credential
                .zip(setting)
                .is_some_and(|(credential, setting)| {
                    credential.is_readable() && !setting.admits(&credential)
                });
            if is_other {
                return Some(PassedOver::Mismatch);
            }
            if self.needs_refresh(choosing, id) {
                return None;
            }
            let why = unusable(credential.as_ref(), demand)?;
            let is_about_time = matches!(why, PassedOver::Expired | PassedOver::EndsTooSoon);
            let not_refreshed = refreshes.why_not(id).filter(|_| is_about_time);
            Some(not_refreshed.map_or(why, passed_over_for))
        };
        let (tried, natural) = match wanted {
            Request::Profile(id) => {
                let id = ProfileId::new(ids::id_in(doc, id));
                (vec![id.clone()], vec![id])
            }
            Request::Of(provider) => {
                let preferences = Preferences {
                    order: settings.order_for(provider),
                    configured: settings.profiles_of(provider),
                };
                let pinned = self.session.as_deref().and_then(|session| {
                    let mut pins = pins.iter();
                    pins.find(|pin| pin.session == session && pin.provider == *provider)
                });
                let prefer = pinned.map(|pin| &pin.profile);
                let mut natural =
                    candidates_ignoring_cooldowns(doc, &preferences, provider, prefer);
                let mut tried = candidates(doc, &preferences, provider, prefer, now);
                // A pinned profile that is no candidate now is passed over; the pin stays.
                if let Some(gone) = prefer.filter(|prefer| !natural.contains(prefer)) {
                    natural.insert(0, gone.clone());
                    tried.insert(0, gone.clone());
                }
                (tried, natural)
            }
        };
        if is_strict {
            let first: Vec<ProfileId> = natural.into_iter().take(1).collect();
            // A profile requested by name is tried even in cooldown; of a provider's profiles, one
            // in cooldown is not refreshed.
            let is_named = matches!(wanted, Request::Profile(_));
            let is_in_cooldown =
                |id: &ProfileId| unavailability(doc, id.as_str(), now).is_some() && !is_named;
            let refuse = |id: &ProfileId| {
                refuse(id).or_else(|| is_in_cooldown(id).then_some(PassedOver::InCooldown))
            };
            return choose(doc, &first, &first, now, refuse);
        }
        choose(doc, &tried, &natural, now, refuse)
    }
}

/// The candidates and settings of a choice.
#[derive(Clone, Copy)]
struct Choosing<'c> {
    doc: &'c StoreDoc,
    pins: &'c [Pin],
    refreshes: &'c Refreshes,
    settings: &'c Settings,
    now: UnixMs,
    is_strict: bool,
}

/// Why a credential that could not be refreshed is passed over: if nobody here could refresh it,
/// because it has expired.
fn passed_over_for(why: &NotRefreshed) -> PassedOver {
    match why {
        NotRefreshed::NoRefreshToken | NotRefreshed::Borrowed(_) => PassedOver::Expired,
        why => PassedOver::NotRefreshed(why.as_str()),
    }
}

/// Whether a requested provider is that of a profile requested by name: that profile is then used.
fn is_named_already(doc: &StoreDoc, all: &[Request], one: &Request) -> bool {
    let Request::Of(provider) = one else {
        return false;
    };
    all.iter().any(|other| match other {
        Request::Profile(id) => doc
            .credential(ids::id_in(doc, id))
            .is_some_and(|credential| credential.is_for(provider.as_str())),
        Request::Of(_) => false,
    })
}

impl Picked {
    /// Describes the credential in use, for `--verbose`.
    fn described(&self, now: UnixMs) -> String {
        let ends = self.expires.map_or_else(String::new, |ends| {
            format!(", expires in {}", (UnixMs(ends) - now).short())
        });
        let id = shown_id(self.id.as_str());
        format!("Using {id} ({}{ends}).", self.kind.as_str())
    }

    fn of(
        found: &ChoiceContext<'_>,
        agent: &AgentRef,
        pick: &Pick,
        is_strict: bool,
    ) -> Result<Self, Failure> {
        let doc = &found.loaded.doc;
        let Some(id) = &pick.choice.chosen else {
            return Err(none(found, agent, pick, is_strict));
        };
        let credential = doc.credential(id.as_str());
        let credential = credential.ok_or_else(|| none(found, agent, pick, is_strict))?;
        Ok(Self {
            provider: ProviderId::new(credential.provider),
            kind: credential.kind,
            expires: credential
                .expiry()
                .filter(|ends| ends.ms() > 0.0)
                .map(|ends| ends.floor_ms()),
            secret: secret_of(doc, id, &credential),
            id: id.clone(),
        })
    }
}

/// The secret in the form that its provider's client expects.
fn secret_of(doc: &StoreDoc, id: &ProfileId, credential: &Credential<'_>) -> SecretString {
    let secret = credential.expose_secret().unwrap_or_default().trim();
    let provider = ProviderId::new(credential.provider);
    if credential.kind == CredentialType::OAuth && WITH_PROJECT.contains(&provider.as_str()) {
        let entry = doc.get(Section::Profiles, id.as_str());
        let project = entry.and_then(|entry| entry.get("projectId"));
        return json!({"token": secret, "projectId": project})
            .to_string()
            .into();
    }
    secret.to_owned().into()
}
