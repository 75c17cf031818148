//! Choosing the credential that a command hands out.

use clap::Args;
use clawkeep::config::{AgentRef, Fallback, Settings};
use clawkeep::doctor::how_to_renew;
use clawkeep::domain::{
    Credential, CredentialType, ProfileId, ProviderId, Section, StoreDoc, UnixMs, span_ms,
};
use clawkeep::selection::{
    Choice, Demand, PassedOver, Preferences, candidates, candidates_if_rested, choose, rest,
    unusable,
};
use clawkeep::sync::{Handing, Loaded};
use clawkeep::vault::{Pin, UnlockedVault};
use secrecy::SecretString;
use serde_json::json;

use crate::commands::auth::{self, Whose};
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::shown_id;

/// Providers whose secret is a small document. Source: `spec/compat.md`, Resolving a secret for a provider.
const WITH_PROJECT: [&str; 2] = ["google-gemini-cli", "google-antigravity"];

/// How a credential is chosen.
#[derive(Debug, Args)]
pub(crate) struct How {
    #[command(flatten)]
    whose: Whose,
    /// In this session: its pinned profile goes first, and the record names it
    #[arg(long, value_name = "SESSION")]
    session: Option<String>,
    /// Only one that does not end before so long from now: 5m, 1h
    #[arg(long, value_name = "SPAN", value_parser = span)]
    min_valid: Option<i64>,
    /// The first choice or nothing, never another account [default: clawkeep.fallback in clawkeep.toml]
    #[arg(long)]
    strict: bool,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wanted {
    /// Whatever is next for a provider.
    Of(ProviderId),
    /// This one.
    Profile(String),
}

/// A credential that was chosen, to be handed out.
#[derive(Debug)]
pub(crate) struct Picked {
    pub(crate) id: ProfileId,
    pub(crate) provider: ProviderId,
    pub(crate) kind: CredentialType,
    /// When it ends, in milliseconds since the epoch.
    pub(crate) expires: Option<i64>,
    pub(crate) secret: SecretString,
}

fn span(raw: &str) -> Result<i64, String> {
    span_ms(raw.trim())
        .ok_or_else(|| "a span is a number and s, m, h, d or w, such as 5m".to_owned())
}

/// What was chosen of one thing that was asked for.
struct Pick {
    wanted: Wanted,
    choice: Choice,
}

impl How {
    /// Chooses what is wanted, records it, and says which others were passed over. Only then may it be handed out.
    pub(crate) fn pick(
        &self,
        context: &Context,
        wanted: &[Wanted],
        command: &'static str,
        takes: impl Fn(&ProviderId) -> Result<(), Failure>,
    ) -> Result<Vec<Picked>, Failure> {
        let settings = context.settings()?;
        let is_strict = self.strict || context.own()?.fallback == Fallback::None;
        let agent = self.whose.agent(context)?;
        let mut vault = context.vault()?;
        let (loaded, picks) = self.hand_out(context, &mut vault, &agent, |doc, pins| {
            let now = context.clock.now();
            let mut picks = Vec::new();
            for wanted in wanted
                .iter()
                .filter(|one| !is_named_already(doc, wanted, one))
            {
                let choice = self.choose(doc, pins, settings, wanted, is_strict, now);
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
            // One that is missing ends the command: the others are not handed out either.
            let is_complete = picks.iter().all(|pick| pick.choice.chosen.is_some());
            let passed_over = picks.iter().flat_map(|pick| &pick.choice.passed_over);
            let uses = picks.iter().filter_map(|pick| pick.choice.chosen.clone());
            let handing = Handing {
                uses: uses.filter(|_| is_complete).collect(),
                passed_over: passed_over
                    .map(|(id, why)| (id.clone(), why.as_str()))
                    .collect(),
                command,
                session: self.session.clone(),
            };
            Ok::<_, Failure>((handing, picks))
        })?;
        context.tell(&loaded);
        if let Some(error) = &loaded.not_written {
            context.ui.warn(&format!(
                "Warning: the store could not be written: {error}. The next command tries again."
            ));
        }
        let picked = picks
            .iter()
            .map(|pick| Picked::of(&loaded.doc, &agent, pick, is_strict));
        let picked = picked.collect::<Result<Vec<_>, _>>()?;
        for pick in &picks {
            tell_of_passed_over(context, &loaded.doc, pick);
        }
        Ok(picked)
    }

    fn hand_out<T>(
        &self,
        context: &Context,
        vault: &mut UnlockedVault,
        agent: &AgentRef,
        choose: impl Fn(&StoreDoc, &[Pin]) -> Result<(Handing, T), Failure>,
    ) -> Result<(Loaded, T), Failure> {
        let mode = context.mode_for(vault, agent)?;
        context.with_engine(vault, |engine| engine.hand_out(agent, mode, choose))
    }

    fn choose(
        &self,
        doc: &StoreDoc,
        pins: &[Pin],
        settings: &Settings,
        wanted: &Wanted,
        is_strict: bool,
        now: UnixMs,
    ) -> Choice {
        let demand = Demand {
            now,
            min_valid_ms: self.min_valid.unwrap_or(0),
        };
        let refuse = |id: &ProfileId| {
            let credential = doc.credential(id.as_str());
            let is_anothers = |credential: &Credential<'_>| match wanted {
                Wanted::Of(provider) => {
                    credential.is_readable() && !credential.is_for(provider.as_str())
                }
                Wanted::Profile(_) => false,
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
            unusable(credential.as_ref(), demand)
        };
        let (tried, natural) = match wanted {
            Wanted::Profile(id) => {
                let id = ProfileId::new(auth::id_in(doc, id));
                (vec![id.clone()], vec![id])
            }
            Wanted::Of(provider) => {
                let preferences = Preferences {
                    order: settings.order_for(provider),
                    configured: settings.profiles_of(provider),
                };
                let pinned = self.session.as_deref().and_then(|session| {
                    let mut pins = pins.iter();
                    pins.find(|pin| pin.session == session && pin.provider == *provider)
                });
                let prefer = pinned.map(|pin| &pin.profile);
                let mut natural = candidates_if_rested(doc, &preferences, provider, prefer);
                let mut tried = candidates(doc, &preferences, provider, prefer, now);
                // A pinned one that is no candidate any more is passed over, not forgotten.
                if let Some(gone) = prefer.filter(|prefer| !natural.contains(prefer)) {
                    natural.insert(0, gone.clone());
                    tried.insert(0, gone.clone());
                }
                (tried, natural)
            }
        };
        if is_strict {
            let first: Vec<ProfileId> = natural.into_iter().take(1).collect();
            // One that was named is taken at its word; of a provider's, one that rests is not the one to try.
            let is_named = matches!(wanted, Wanted::Profile(_));
            let rests = |id: &ProfileId| rest(doc, id.as_str(), now).is_some() && !is_named;
            let refuse =
                |id: &ProfileId| refuse(id).or_else(|| rests(id).then_some(PassedOver::Resting));
            return choose(doc, &first, &first, now, refuse);
        }
        choose(doc, &tried, &natural, now, refuse)
    }
}

/// Whether the provider that is wanted is that of a profile which is wanted by name: that one is meant.
fn is_named_already(doc: &StoreDoc, all: &[Wanted], one: &Wanted) -> bool {
    let Wanted::Of(provider) = one else {
        return false;
    };
    all.iter().any(|other| match other {
        Wanted::Profile(id) => doc
            .credential(auth::id_in(doc, id))
            .is_some_and(|credential| credential.is_for(provider.as_str())),
        Wanted::Of(_) => false,
    })
}

/// What is said of a candidate that was not used.
fn why(doc: &StoreDoc, id: &ProfileId, why: PassedOver) -> String {
    let id_shown = shown_id(id.as_str());
    match why {
        PassedOver::Resting => format!("{id_shown} rests"),
        PassedOver::Missing => format!("there is no {id_shown}"),
        PassedOver::Unreadable => format!("{id_shown} cannot be read"),
        PassedOver::Mismatch => {
            format!("{id_shown} is of another provider or kind than the configuration says")
        }
        PassedOver::EndsTooSoon => format!("{id_shown} ends too soon"),
        PassedOver::Expired => match doc
            .credential(id.as_str())
            .map(|credential| credential.kind)
        {
            Some(CredentialType::OAuth) => {
                format!("{id_shown} has expired, and this version does not refresh it")
            }
            _ => format!("{id_shown} has expired"),
        },
        _ => format!("{id_shown} cannot be used"),
    }
}

/// That another account pays is never silent.
fn tell_of_passed_over(context: &Context, doc: &StoreDoc, pick: &Pick) {
    let Some(chosen) = &pick.choice.chosen else {
        return; // the error says it
    };
    for (id, reason) in &pick.choice.passed_over {
        context.ui.note(&format!(
            "Note: {}, so {} is used.",
            why(doc, id, *reason),
            shown_id(chosen.as_str())
        ));
    }
}

impl Picked {
    fn of(doc: &StoreDoc, agent: &AgentRef, pick: &Pick, is_strict: bool) -> Result<Self, Failure> {
        let Some(id) = &pick.choice.chosen else {
            return Err(none(doc, agent, pick, is_strict));
        };
        let credential = doc.credential(id.as_str());
        let credential = credential.ok_or_else(|| none(doc, agent, pick, is_strict))?;
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

/// The secret as its provider's client takes it.
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

/// Why nothing can be handed out, and what to do.
fn none(doc: &StoreDoc, agent: &AgentRef, pick: &Pick, is_strict: bool) -> Failure {
    let passed = &pick.choice.passed_over;
    let reasons: Vec<String> = passed
        .iter()
        .map(|(id, reason)| why(doc, id, *reason))
        .collect();
    let reasons = if reasons.is_empty() {
        "there is none".to_owned()
    } else {
        reasons.join("; ")
    };
    let what = match &pick.wanted {
        Wanted::Of(provider) if is_strict => {
            format!("the first choice for {provider} cannot be used: {reasons}")
        }
        Wanted::Of(provider) => format!("no credential of {provider} can be used: {reasons}"),
        Wanted::Profile(_) => reasons,
    };
    let renew = passed
        .iter()
        .filter(|(_, reason)| matches!(reason, PassedOver::Expired | PassedOver::EndsTooSoon))
        .find_map(|(id, _)| how_to_renew(&agent.name, doc, id.as_str()));
    let rests = passed.iter().find_map(|(id, _)| {
        let rest = rest(doc, id.as_str(), UnixMs(0))?;
        is_strict.then(|| {
            format!(
                "Wait until it is ready ({}), or leave out --strict.",
                auth::shown_rest(&rest)
            )
        })
    });
    let add = passed
        .is_empty()
        .then(|| "Add one with: clawkeep models auth add".to_owned());
    let next = renew.or(rests).or(add);
    Failure::Refused {
        what,
        next: next.unwrap_or_else(|| auth::list_hint(agent)),
    }
}
