//! Choosing the credential that a command hands out.

use clap::Args;
use clawkeep::config::{AgentRef, Fallback, Settings, openclaw};
use clawkeep::doctor::{Removed, how_to_renew, how_to_replace, misnamed, paste, removed_elsewhere};
use clawkeep::domain::{
    Credential, CredentialType, EntryFault, Owner, ProfileId, ProviderId, Section, StoreDoc,
    UnixMs, WITH_PROJECT, normalize_provider,
};
use clawkeep::health::remaining_short;
use clawkeep::selection::{
    Choice, Demand, PassedOver, Preferences, candidates, candidates_if_rested, choose, rest,
    unusable,
};
use clawkeep::sync::{
    DUE_BELOW_MS, Handing, Loaded, LoginReport, NotRenewed, Renewals, Renewer, Rules, START_CLAUDE,
    When, is_due,
};
use clawkeep::vault::{Pin, UnlockedVault};
use secrecy::SecretString;
use serde_json::json;

use crate::commands::auth::{self, Whose};
use crate::context::Context;
use crate::failure::Failure;
use crate::renewal;
use crate::signals;
use crate::time_arg::span;
use crate::ui::{one_line, shown_id};

/// How a credential is chosen.
#[derive(Debug, Args)]
pub(crate) struct How {
    #[command(flatten)]
    whose: Whose,
    /// In this session: its pinned profile goes first, and the record names it
    #[arg(long, value_name = "SESSION", value_parser = auth::session)]
    session: Option<String>,
    /// Only one that does not end before so long from now, refreshed if need be: 5m, 1h
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

/// What an explanation for a person is about.
type Told<'t> = (&'t Context, &'t AgentRef, &'t StoreDoc, &'t Renewals);

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
        context.places.check_single()?;
        let mut vault = context.vault_to_record_in()?;
        let (loaded, picks, renewals) =
            self.hand_out(context, &mut vault, &agent, |loaded, pins, renewals| {
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
                        renewals,
                        settings,
                        now,
                        is_strict,
                    };
                    let choice = self.choose(&choosing, wanted);
                    let chosen = choice.chosen.iter();
                    due.extend(
                        chosen
                            .filter(|id| self.is_to_be_renewed(&choosing, id))
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
                // One that is missing ends the command: the others are not handed out either.
                let is_complete = picks.iter().all(|pick| pick.choice.chosen.is_some());
                // A name that nobody knows is most likely mistyped, or something pasted: it is not kept for ever.
                let is_known = |id: &ProfileId| {
                    doc.credential(id.as_str()).is_some()
                        || settings.profile(id.as_str()).is_some()
                        || !wanted.contains(&Wanted::Profile(id.as_str().to_owned()))
                };
                let passed_over = picks.iter().flat_map(|pick| &pick.choice.passed_over);
                let passed_over = passed_over.filter(|(id, _)| is_known(id));
                let uses = picks.iter().filter_map(|pick| pick.choice.chosen.clone());
                let handing = Handing {
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
        context.tell(&loaded);
        for id in renewals.renewed() {
            context
                .ui
                .detail(&format!("Refreshed {}.", shown_id(id.as_str())));
        }
        if let Some(error) = loaded
            .not_written
            .iter()
            .chain(&renewals.not_written)
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
        let found = Found {
            context,
            loaded: &loaded,
            renewals: &renewals,
            removed: &removed,
        };
        let picked = picks
            .iter()
            .map(|pick| Picked::of(&found, &agent, pick, is_strict));
        let picked = picked.collect::<Result<Vec<_>, _>>()?;
        for pick in &picks {
            tell_of_passed_over(context, (&agent, &loaded.doc, &renewals), pick);
            tell_of_not_renewed(context, &renewals, pick);
        }
        for picked in &picked {
            Self::note_announced(context, &mut vault, &agent, &loaded, picked)?;
            context.ui.detail(&picked.described(context.clock.now()));
        }
        Ok(picked)
    }

    /// Notes that the user of a token has been warned that it is another account's: the load has said so, and says it once.
    /// With `--quiet` nobody was warned.
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
        choose: impl Fn(&Loaded, &[Pin], &Renewals) -> Result<(Handing, T), Failure>,
    ) -> Result<(Loaded, T, Renewals), Failure> {
        let mode = context.mode_for(vault, agent)?;
        let when = When::LessLeftThan(self.least_ms());
        context.with_engine(vault, |engine| {
            engine.hand_out(agent, mode, choose, |engine, id| {
                let what = format!("Refreshing {}", shown_id(id.as_str()));
                let _progress = context.ui.progress(&what);
                // Only now: what needs no refresh pays for none of this.
                let agents = context.every_agent(engine.vault)?;
                let mut renewer = Renewer::new(context.providers()?, &agents);
                renewer.shield = Some(&signals::hold);
                let keep_head = |vault: &UnlockedVault| context.keep_head(vault);
                renewer.keep_head = Some(&keep_head);
                Ok(engine.renew(&renewer, agent, mode, id, when)?)
            })
        })
    }

    /// Refuses what is damaged, and what another would be chosen in place of since it is.
    fn check_damage(&self, loaded: &Loaded, wanted: &[Wanted]) -> Result<(), Failure> {
        let Loaded { doc, damage, .. } = loaded;
        let is_affected = |wanted: &Wanted| match wanted {
            Wanted::Of(provider) => damage.affects(provider.as_str(), doc),
            Wanted::Profile(id) => damage.hides(auth::id_in(doc, id), doc),
        };
        let is_pin_lost = self.session.is_some() && damage.pins;
        if is_pin_lost || wanted.iter().any(is_affected) {
            let rows = loaded.unopened.clone();
            return Err(Failure::Unopened { rows });
        }
        Ok(())
    }

    /// How much must be left of a login that can be refreshed, in milliseconds.
    fn least_ms(&self) -> i64 {
        self.min_valid.unwrap_or(0).max(DUE_BELOW_MS)
    }

    /// Whether a login is to be refreshed before it is handed out, and that was not tried yet.
    fn is_to_be_renewed(&self, choosing: &Choosing<'_>, id: &ProfileId) -> bool {
        let Some(credential) = choosing.doc.credential(id.as_str()) else {
            return false;
        };
        let is_renewable = credential.expose_refresh().is_some()
            && !credential.is_marker()
            && Owner::of(id.as_str()) == Owner::Vault;
        is_renewable
            && !choosing.renewals.was_tried(id)
            && is_due(&credential, choosing.now, self.least_ms())
    }

    fn choose(&self, choosing: &Choosing<'_>, wanted: &Wanted) -> Choice {
        let Choosing {
            doc,
            pins,
            renewals,
            settings,
            now,
            is_strict,
        } = *choosing;
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
            if self.is_to_be_renewed(choosing, id) {
                return None;
            }
            let why = unusable(credential.as_ref(), demand)?;
            let is_about_time = matches!(why, PassedOver::Expired | PassedOver::EndsTooSoon);
            let not_renewed = renewals.why_not(id).filter(|_| is_about_time);
            Some(not_renewed.map_or(why, passed_over_for))
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

/// What is chosen from.
#[derive(Clone, Copy)]
struct Choosing<'c> {
    doc: &'c StoreDoc,
    pins: &'c [Pin],
    renewals: &'c Renewals,
    settings: &'c Settings,
    now: UnixMs,
    is_strict: bool,
}

/// What a credential that could not be refreshed is passed over for: where nobody here could, that it has ended.
fn passed_over_for(why: &NotRenewed) -> PassedOver {
    match why {
        NotRenewed::NoRefreshToken | NotRenewed::Borrowed(_) => PassedOver::Expired,
        why => PassedOver::NotRenewed(why.as_str()),
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
fn why((context, agent, doc, renewals): Told<'_>, id: &ProfileId, why: PassedOver) -> String {
    let id_shown = shown_id(id.as_str());
    let credential = doc.credential(id.as_str());
    let store = || context.layout.shorten_home(&agent.store_file());
    match why {
        PassedOver::Resting => format!("{id_shown} rests"),
        PassedOver::Missing => format!("there is no {id_shown}"),
        PassedOver::Unreadable => match credential.as_ref().and_then(Credential::entry_fault) {
            Some(EntryFault::Empty) => format!("{id_shown} in {} holds no secret", store()),
            _ => format!("{id_shown} cannot be read"),
        },
        PassedOver::Reference => {
            let reference = credential.as_ref().and_then(Credential::reference);
            let described = reference.map_or_else(String::new, |found| found.describe());
            format!(
                "the secret of {id_shown} is a reference ({}), which clawkeep does not look up",
                one_line(&described)
            )
        }
        PassedOver::Misnamed => match credential.as_ref().and_then(Credential::misnamed) {
            Some(found) => format!("{id_shown} in {} {}", store(), misnamed(found)),
            None => format!("{id_shown} cannot be read"),
        },
        PassedOver::BadSecret(fault) => {
            format!("the secret of {id_shown} in {} {fault}", store())
        }
        PassedOver::Mismatch => {
            format!("{id_shown} is of another provider or kind than the configuration says")
        }
        PassedOver::EndsTooSoon => format!("{id_shown} ends too soon"),
        PassedOver::Expired => format!("{id_shown} has expired"),
        PassedOver::NotRenewed(_) => match renewals.why_not(id) {
            Some(why) => renewal::why_not(id.as_str(), why),
            None => format!("{id_shown} could not be refreshed"),
        },
        _ => format!("{id_shown} cannot be used"),
    }
}

/// How an entry that has a wrong name in it is fixed; nothing for another one.
fn how_to_fix_entry(
    (context, agent, doc, _): Told<'_>,
    (id, why): (&ProfileId, PassedOver),
) -> Option<String> {
    let credential = doc.credential(id.as_str())?;
    Some(match why {
        PassedOver::Misnamed => {
            let found = credential.misnamed()?;
            format!(
                "In {}, rename the {} \"{}\" of {} to \"{}\".",
                context.layout.shorten_home(&agent.store_file()),
                found.what,
                one_line(found.written),
                shown_id(id.as_str()),
                found.right
            )
        }
        PassedOver::Unreadable if !credential.is_readable() => return None,
        PassedOver::BadSecret(_) | PassedOver::Unreadable => how_to_replace(
            &agent.name,
            id.as_str(),
            &credential,
            context.providers().ok(),
        ),
        PassedOver::Reference => format!(
            "To keep a secret here, use another id: {}",
            paste(
                &format!("{}:manual", ProviderId::new(credential.provider)),
                &ProviderId::new(credential.provider),
                credential.kind
            )
        ),
        _ => return None,
    })
}

/// That another account pays is never silent.
fn tell_of_passed_over(
    context: &Context,
    (agent, doc, renewals): (&AgentRef, &StoreDoc, &Renewals),
    pick: &Pick,
) {
    let Some(chosen) = &pick.choice.chosen else {
        return; // the error says it
    };
    for (id, reason) in &pick.choice.passed_over {
        context.ui.note(&format!(
            "Note: {}, so {} is used.",
            why((context, agent, doc, renewals), id, *reason),
            shown_id(chosen.as_str())
        ));
        if let Some(not_renewed) = renewals.why_not(id) {
            let next = renewal::what_next(context, (&agent.name, doc), id.as_str(), not_renewed);
            context.ui.detail(&next);
        }
    }
}

/// One that is handed out though it could not be refreshed: it will not last.
fn tell_of_not_renewed(context: &Context, renewals: &Renewals, pick: &Pick) {
    let Some(chosen) = &pick.choice.chosen else {
        return;
    };
    if let Some(why) = renewals.why_not(chosen) {
        context.ui.note(&format!(
            "Warning: {}. What is left of it is handed out.",
            renewal::why_not(chosen.as_str(), why)
        ));
    }
}

/// What a choice was made from, and what was found beside it.
struct Found<'f> {
    context: &'f Context,
    loaded: &'f Loaded,
    renewals: &'f Renewals,
    /// What other programs took out of the store, where something is missing.
    removed: &'f [Removed],
}

impl Picked {
    /// What is used, for who asked to be told more.
    fn described(&self, now: UnixMs) -> String {
        let ends = self.expires.map_or_else(String::new, |ends| {
            let left = UnixMs(ends.saturating_sub(now.0)).as_f64();
            format!(", ends in {}", remaining_short(left))
        });
        let id = shown_id(self.id.as_str());
        format!("Using {id} ({}{ends}).", self.kind.as_str())
    }

    fn of(
        found: &Found<'_>,
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

/// Whether a profile is Claude Code's own login, which that program refreshes when it starts.
fn is_refreshed_by_claude_code(loaded: &Loaded, id: &ProfileId, now: UnixMs) -> bool {
    let is_its = |report: &&LoginReport| report.profile == id.as_str() && report.is_in_use();
    let report = loaded.logins.iter().find(is_its);
    Owner::of(id.as_str()) == Owner::ClaudeCode
        && report.is_some_and(|report| report.login_expires.is_none_or(|at| at > now))
}

/// Why nothing can be handed out, and what to do.
fn none(found: &Found<'_>, agent: &AgentRef, pick: &Pick, is_strict: bool) -> Failure {
    let Found {
        context,
        loaded,
        renewals,
        removed,
    } = *found;
    let doc = &loaded.doc;
    // Entries with a wrong name in them are no candidates; where there is no other, they are why.
    let misnamed: Vec<(ProfileId, PassedOver)> = match &pick.wanted {
        Wanted::Of(provider) if pick.choice.passed_over.is_empty() => doc
            .credentials()
            .filter(|(_, credential)| {
                normalize_provider(credential.provider) == provider.as_str()
                    && credential.misnamed().is_some()
            })
            .map(|(id, _)| (ProfileId::new(id), PassedOver::Misnamed))
            .collect(),
        _ => Vec::new(),
    };
    let passed = match misnamed.is_empty() {
        true => &pick.choice.passed_over,
        false => &misnamed,
    };
    let reasons: Vec<String> = passed
        .iter()
        .map(|(id, reason)| why((context, agent, doc, renewals), id, *reason))
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
    let not_renewed = passed.iter().find_map(|(id, _)| {
        let why = renewals.why_not(id)?;
        Some(renewal::what_next(
            context,
            (&agent.name, doc),
            id.as_str(),
            why,
        ))
    });
    let renew = passed
        .iter()
        .filter(|(_, reason)| matches!(reason, PassedOver::Expired | PassedOver::EndsTooSoon))
        .find_map(|(id, _)| match loaded.borrowed.get(id.as_str()) {
            Some(from) => Some(from.how_to_refresh()),
            None if is_refreshed_by_claude_code(loaded, id, context.clock.now()) => {
                Some(START_CLAUDE.to_owned())
            }
            None => how_to_renew(&agent.name, doc, id.as_str(), context.providers().ok()),
        });
    let in_cooldown = passed.iter().find_map(|(id, _)| {
        let rest = rest(doc, id.as_str(), UnixMs(0))?;
        is_strict.then(|| {
            format!(
                "Wait until it is ready ({}), or leave out --strict.",
                auth::shown_rest(&rest)
            )
        })
    });
    let add = passed.is_empty().then(|| {
        let add = "Add one with: clawkeep models auth add";
        match openclaw::find(&context.layout, &context.env) {
            Some(dir) => format!(
                "{add}. OpenClaw keeps credentials of its own in {}; see: clawkeep doctor",
                context.layout.shorten_home(&dir)
            ),
            None => add.to_owned(),
        }
    });
    let entry = passed
        .iter()
        .find_map(|(id, why)| how_to_fix_entry((context, agent, doc, renewals), (id, *why)));
    let removed = removed.iter().find(|removed| match &pick.wanted {
        Wanted::Of(provider) => removed.provider == *provider,
        Wanted::Profile(id) => removed.id == *id,
    });
    let restore = removed.map(|removed| {
        format!(
            "Another program took {} out of the store. Put it back: {}",
            shown_id(&removed.id),
            removed.restore_command(&agent.name)
        )
    });
    let next = not_renewed
        .or(renew)
        .or(entry)
        .or(in_cooldown)
        .or(restore)
        .or(add);
    Failure::Refused {
        what,
        next: next.unwrap_or_else(|| auth::list_hint(agent)),
    }
}
