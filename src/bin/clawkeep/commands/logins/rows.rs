//! The logins of every agent: a row for each, however many agents share it.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use crate::advice::{remedy_of, remedy_of_problem};
use clawkeep::internal::alerts::{Scene, State, SurveyedCredential, survey};
use clawkeep::internal::client::preferences_of;
use clawkeep::internal::config::{AgentRef, NotifySettings};
use clawkeep::internal::domain::{
    AgentName, Credential, CredentialType, Expiry, Fingerprint, ProfileId, ProviderId, Section,
    Span, StoreDoc, UnavailableReason, UnixMs, counted, normalize_provider, unavailability,
};
use clawkeep::internal::health::{CredentialState, Loss, Outlook, RefreshedBy, Status};
use clawkeep::internal::selection::{Preferences, candidates};
use clawkeep::internal::sync::{Loaded, LoginReport};
use clawkeep::internal::vault::{StoredCredential, UnlockedVault};

use crate::context::Context;
use crate::context::load_each::LoadOptions;
use crate::failure::Failure;
use crate::options::agent::check_exists;
use crate::terminal::palette::Tone;
use crate::terminal::program_name::commands;
use crate::terminal::text::{one_line, shown_id};

/// How urgent a row is, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Severity {
    /// It cannot be used, and a person has to act.
    Unusable,
    /// It will stop working unless a person acts.
    NeedsAttention,
    /// It cannot be used for a while.
    InCooldown,
    /// It works.
    Good,
}

impl Severity {
    /// Its colour, everywhere.
    pub(crate) fn tone(self) -> Tone {
        match self {
            Self::Unusable => Tone::Bad,
            Self::NeedsAttention | Self::InCooldown => Tone::Warn,
            Self::Good => Tone::Good,
        }
    }
}

/// Marks an agent that uses a credential before others of its provider.
const USED_FIRST: &str = "*";

/// The line below a list that explains [`USED_FIRST`]; empty if no row has it.
pub(crate) fn legend(rows: &[Row]) -> String {
    match rows.iter().any(|row| row.first_for().next().is_some()) {
        true => format!("{USED_FIRST} used first, before others of its provider\n"),
        false => String::new(),
    }
}

/// A place in the order of a provider's credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From 1 on.
    pub(crate) at: usize,
    /// How many credentials of the provider the agent has.
    pub(crate) of: usize,
}

/// A login, an API key or a token: one row, whichever agents have it.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) provider: String,
    pub(crate) kind: CredentialType,
    pub(crate) agents: Vec<AgentName>,
    pub(crate) severity: Severity,
    pub(crate) state: String,
    pub(crate) expires: Option<UnixMs>,
    pub(crate) last_used: Option<UnixMs>,
    /// What fixes it.
    pub(crate) fix: Option<String>,
    /// When the next alert about it is due.
    pub(crate) next_alert: Option<UnixMs>,
    /// Since when, if that is known, and until when it is in cooldown or disabled.
    pub(crate) cooldown: Option<(Option<UnixMs>, UnixMs)>,
    /// Its place in the order of its provider, of each agent that would try it.
    pub(crate) places: Vec<(AgentName, Place)>,
    /// The same for every agent that has this login under this id.
    login: Option<Fingerprint>,
}

impl Row {
    /// The row of a credential whose store was not loaded, by what the vault says of it without its
    /// key.
    pub(crate) fn of_plain(
        held: &StoredCredential,
        state: &CredentialState<'_>,
        now: UnixMs,
    ) -> Self {
        use Severity::{Good, InCooldown, NeedsAttention, Unusable};
        let is_reliable = state.unreliable_expiry().is_none();
        let is_in_cooldown = held.cooldown_until.is_some_and(|until| until > now);
        let (severity, word) = match (state.status(), state.outlook()) {
            _ if !is_reliable => (NeedsAttention, "expiry unknown"),
            (Status::Expired, _) => (Unusable, "expired"),
            (Status::Missing, _) => (Unusable, "no expiry known"),
            _ if is_in_cooldown => (InCooldown, "in cooldown"),
            (Status::Expiring, Outlook::Ends(_)) => (NeedsAttention, "expires soon"),
            _ => (Good, "ok"),
        };
        let expires = held.expires.filter(|_| is_reliable);
        Self {
            id: held.profile.clone(),
            provider: held.provider.clone(),
            kind: held.kind,
            agents: vec![AgentName::from_stored(held.agent.clone())],
            severity,
            state: word.to_owned(),
            expires: expires.map(|expires| UnixMs::from_ms(expires.floor_ms())),
            last_used: held.last_used,
            fix: (severity <= NeedsAttention).then(|| "clawkeep doctor".to_owned()),
            next_alert: None,
            cooldown: held
                .cooldown_until
                .filter(|_| is_in_cooldown)
                .map(|until| (None, until)),
            places: Vec::new(),
            login: None,
        }
    }

    /// The id as lists show it: with the provider if the id does not begin with it.
    pub(crate) fn name(&self) -> String {
        let provider = self.unnamed_provider();
        let provider = provider.map_or_else(String::new, |name| format!(" ({name})"));
        format!("{}{provider}", shown_id(&self.id))
    }

    /// The provider, if the id does not begin with it.
    pub(crate) fn unnamed_provider(&self) -> Option<String> {
        let id = ProfileId::new(self.id.as_str());
        let is_named = normalize_provider(id.provider_part()) == self.provider;
        (!is_named).then(|| one_line(&self.provider))
    }

    /// The agents as lists show them, those with [`USED_FIRST`] that use it before others.
    pub(crate) fn agents_shown(&self) -> String {
        let first: Vec<&AgentName> = self.first_for().collect();
        let shown = self.agents.iter().map(|agent| {
            let mark = if first.contains(&agent) {
                USED_FIRST
            } else {
                ""
            };
            format!("{}{mark}", shown_id(agent.as_str()))
        });
        shown.collect::<Vec<String>>().join(", ")
    }

    /// The agents that use it before other credentials of its provider, of which they have some.
    pub(crate) fn first_for(&self) -> impl Iterator<Item = &AgentName> {
        let first = self
            .places
            .iter()
            .filter(|(_, place)| place.of > 1 && place.at == 1);
        first.map(|(agent, _)| agent)
    }

    /// Whether a person has to act.
    pub(crate) fn needs_person(&self) -> bool {
        self.severity <= Severity::NeedsAttention
    }

    /// Whether it can be used now.
    pub(crate) fn is_usable(&self) -> bool {
        matches!(self.severity, Severity::Good | Severity::NeedsAttention)
    }
}

/// How many credentials need a person, as a sentence.
pub(crate) fn verdict(rows: &[Row]) -> String {
    let needing = rows.iter().filter(|row| row.needs_person()).count();
    let in_cooldown = rows
        .iter()
        .filter(|row| row.severity == Severity::InCooldown)
        .count();
    match needing {
        0 if rows.is_empty() => "No credential is stored.".to_owned(),
        0 if in_cooldown > 0 => format!("Nothing needs you; {in_cooldown} in cooldown."),
        0 if rows.len() == 1 => "The credential can be used.".to_owned(),
        0 => format!("{} can be used.", counted(rows.len(), "credential")),
        1 => format!("1 of {} needs you.", counted(rows.len(), "credential")),
        _ => format!(
            "{needing} of {} need you.",
            counted(rows.len(), "credential")
        ),
    }
}

/// Sorts rows, the worst first; among equals, the one that expires first.
pub(crate) fn sort(rows: &mut [Row]) {
    rows.sort_by_cached_key(|row| {
        let ends = row.expires.map_or(i64::MAX, |at| at.0);
        (row.severity, ends, row.id.clone(), row.agents.clone())
    });
}

/// The agents that were loaded, and why others were not.
#[derive(Debug, Default)]
pub(crate) struct LoadedAgents {
    pub(crate) loaded: Vec<(AgentRef, Loaded)>,
    pub(crate) failures: Vec<(AgentName, Failure)>,
}

impl LoadedAgents {
    /// Loads the named agent, or every agent.
    ///
    /// # Errors
    /// When the named agent does not exist.
    pub(crate) fn load(
        context: &Context,
        vault: &mut UnlockedVault,
        agent: Option<AgentRef>,
    ) -> Result<Self, Failure> {
        let agents = match agent {
            Some(agent) => {
                check_exists(context, vault, &agent)?;
                vec![agent]
            }
            None => context.every_agent(vault)?,
        };
        let _progress = context.ui.progress("Reading the stores");
        let wanted = agents
            .iter()
            .map(|agent| (agent, context.mode_for(vault, agent)));
        let (wanted, options) = (wanted.collect(), LoadOptions::for_a_command());
        let mut all = Self::default();
        context.load_each(vault, wanted, &options, &mut |agent, loaded| {
            match loaded {
                Ok(loaded) => all.loaded.push((agent.clone(), loaded)),
                Err(failure) => all.failures.push((agent.name.clone(), failure)),
            }
            ControlFlow::Continue(())
        });
        Ok(all)
    }

    /// Reports the notices of the loads.
    pub(crate) fn report(&self, context: &Context) {
        for (_, loaded) in &self.loaded {
            context.report_load(loaded);
        }
    }

    /// The failure to report after the answer was printed; prints the others.
    pub(crate) fn verdict(self, context: &Context) -> Result<(), Failure> {
        let verdicts = self.loaded.into_iter().filter_map(|(agent, loaded)| {
            let failure = context.verdict(loaded).err()?;
            Some((agent.name, failure))
        });
        let mut failures = self.failures.into_iter().chain(verdicts);
        let Some((_, first)) = failures.next() else {
            return Ok(());
        };
        for (agent, failure) in failures {
            let lines = failure.lines().join(" ");
            context.ui.error(&format!("{agent}: {lines}"));
        }
        Err(first)
    }
}

/// The rows of the loaded agents, the worst first.
pub(crate) fn rows(
    context: &Context,
    vault: &UnlockedVault,
    agents: &LoadedAgents,
) -> Result<Vec<Row>, Failure> {
    let now = context.clock.now();
    let docs: Vec<(AgentRef, StoreDoc)> = agents
        .loaded
        .iter()
        .map(|(agent, loaded)| (agent.clone(), loaded.doc.clone()))
        .collect();
    let logins: Vec<LoginReport> = agents
        .loaded
        .iter()
        .flat_map(|(_, loaded)| loaded.logins.iter().cloned())
        .collect();
    let scene = Scene {
        agents: &docs,
        logins: Some(&logins),
        providers: context.providers().ok(),
        refreshing: &[],
        trouble: &[],
        remedy: |states, id, problem| remedy_of_problem(states, id, problem, commands()),
    };
    let standard = NotifySettings::default();
    let settings = context.own().map_or(&standard, |own| &own.notify);
    let surveyed = survey(vault, scene, (settings, now))?;
    let last_uses = last_uses(vault)?;
    let mut rows: Vec<Row> = Vec::new();
    for (agent, loaded) in &agents.loaded {
        let mut of_agent: Vec<Row> = Vec::new();
        for (id, credential) in loaded.doc.credentials() {
            let status = surveyed
                .statuses
                .iter()
                .find(|status| status.agent == agent.name && status.profile.as_str() == id);
            let mut state = CredentialState::of(&credential, context.as_of(now));
            state.unavailability = unavailability(&loaded.doc, id, now);
            let assessed = Assessed {
                context,
                vault,
                agent,
                loaded,
                id,
                credential,
                state,
                status,
                alert: status.and_then(|status| status.state(settings, now)),
            };
            let mut row = assessed.row();
            row.login = login_of(vault, &credential);
            row.next_alert = status.and_then(|status| status.next_alert(settings, now));
            let used = last_uses.get(&(agent.name.as_str().to_owned(), id.to_owned()));
            row.last_used = row.last_used.max(used.copied());
            of_agent.push(row);
        }
        place(context, (&agent.name, &loaded.doc), &mut of_agent, now);
        of_agent.into_iter().for_each(|row| add(&mut rows, row));
        for (id, provider) in &loaded.damage.profiles {
            rows.push(Row {
                id: id.clone(),
                provider: provider.clone(),
                kind: CredentialType::Unreadable,
                agents: vec![agent.name.clone()],
                severity: Severity::Unusable,
                state: "damaged".to_owned(),
                expires: None,
                last_used: None,
                fix: Some("clawkeep doctor".to_owned()),
                next_alert: None,
                cooldown: None,
                places: Vec::new(),
                login: None,
            });
        }
    }
    sort(&mut rows);
    Ok(rows)
}

/// Adds a row, or its agent to the row of the same login.
fn add(rows: &mut Vec<Row>, row: Row) {
    let same = rows
        .iter_mut()
        .find(|known| known.id == row.id && known.login.is_some() && known.login == row.login);
    let Some(known) = same else {
        rows.push(row);
        return;
    };
    known.agents.extend(row.agents);
    known.places.extend(row.places);
    known.last_used = known.last_used.max(row.last_used);
    if row.severity < known.severity {
        (known.severity, known.state, known.fix) = (row.severity, row.state, row.fix);
    }
}

/// Gives the rows of an agent that can be used their places in the orders of their providers.
fn place(context: &Context, (agent, doc): (&AgentName, &StoreDoc), rows: &mut [Row], now: UnixMs) {
    let mut held: BTreeMap<ProviderId, usize> = BTreeMap::new();
    let mut usable: BTreeMap<String, usize> = BTreeMap::new();
    for (at, row) in rows.iter().enumerate() {
        *held.entry(ProviderId::new(&row.provider)).or_default() += 1;
        if row.is_usable() {
            usable.insert(row.id.clone(), at);
        }
    }
    for (provider, of) in held {
        let preferences = context.settings().map_or_else(
            |_| Preferences::default(),
            |settings| preferences_of(settings, &provider),
        );
        let tried = candidates(doc, &preferences, &provider, None, now);
        let found = tried.iter().filter_map(|id| usable.get(id.as_str()));
        for (row, at) in found.zip(1..) {
            rows[*row].places.push((agent.clone(), Place { at, of }));
        }
    }
}

/// What tells one login from another that has the same id.
pub(crate) fn login_of(vault: &UnlockedVault, credential: &Credential<'_>) -> Option<Fingerprint> {
    let token = credential.expose_refresh().or(credential.expose_secret());
    token.map(|token| vault.fingerprint(token))
}

/// The last recorded use of each credential, by agent and id.
pub(crate) fn last_uses(
    vault: &UnlockedVault,
) -> Result<BTreeMap<(String, String), UnixMs>, Failure> {
    let uses = vault.uses(&clawkeep::internal::audit::Filter::default())?;
    let last = uses.into_iter().filter_map(|uses| {
        let (_, last) = uses.span?;
        let agent = uses.profile.agent.as_deref().unwrap_or_default().to_owned();
        Some(((agent, uses.profile.id.to_string()), last))
    });
    Ok(last.collect())
}

/// A credential of one agent, and what is known of it.
struct Assessed<'a> {
    context: &'a Context,
    vault: &'a UnlockedVault,
    agent: &'a AgentRef,
    loaded: &'a Loaded,
    id: &'a str,
    credential: Credential<'a>,
    /// By the entry, the clock and cooldowns alone: `status` has the outlook.
    state: CredentialState<'a>,
    status: Option<&'a SurveyedCredential>,
    alert: Option<State>,
}

impl Assessed<'_> {
    fn row(&self) -> Row {
        let (severity, state) = self.state();
        let usage = self.loaded.doc.get(Section::Usage, self.id);
        let last_used = Expiry::from_json(usage.and_then(|usage| usage.get("lastUsed")));
        let expires = self.state.health.expires_at.filter(|at| at.ms() > 0.0);
        Row {
            id: self.id.to_owned(),
            provider: normalize_provider(self.credential.provider),
            kind: self.credential.kind,
            agents: vec![self.agent.name.clone()],
            severity,
            state,
            expires: expires.map(|at| UnixMs::from_ms(at.floor_ms())),
            last_used: last_used.map(|at| UnixMs::from_ms(at.floor_ms())),
            fix: self.fix(severity),
            next_alert: None,
            cooldown: self.state.unavailability.map(|found| {
                let failed = usage.and_then(|usage| usage.get("lastFailureAt"));
                let failed = Expiry::from_json(failed).map(|at| UnixMs::from_ms(at.floor_ms()));
                (failed, UnixMs::from_ms(found.until.floor_ms()))
            }),
            places: Vec::new(),
            login: None,
        }
    }

    fn state(&self) -> (Severity, String) {
        use Severity::{Good, InCooldown, NeedsAttention, Unusable};
        let word = |severity, word: &str| (severity, word.to_owned());
        if let Some(fault) = self.state.entry_fault {
            return word(Unusable, fault.as_str());
        }
        if self.state.unreliable_expiry().is_some() {
            return word(NeedsAttention, "expiry unknown");
        }
        let is_over = matches!(self.state.health.status, Status::Expired | Status::Missing);
        match self.alert {
            Some(State::Lost(loss)) => return (NeedsAttention, lost(loss).to_owned()),
            Some(State::LostAndExpired(loss)) => {
                return (Unusable, format!("expired, {}", lost(loss)));
            }
            Some(State::LoginExpired) => return word(Unusable, "login expired"),
            Some(State::Source(code)) => {
                let severity = if is_over { Unusable } else { NeedsAttention };
                return (severity, code.replace('-', " "));
            }
            Some(State::Expired | State::Overdue) => return word(Unusable, "expired"),
            _ => {}
        }
        if let Some(found) = self.state.unavailability {
            let severity = match found.why {
                UnavailableReason::Cooldown => InCooldown,
                UnavailableReason::Disabled(_) => Unusable,
            };
            return (severity, found.state().replace(':', ", "));
        }
        let outlook = self.status.map(|status| status.outlook);
        match (self.state.health.status, outlook) {
            (Status::Expired, Some(Outlook::Refreshed(RefreshedBy::Clawkeep, _))) => {
                word(Good, "refreshed on use")
            }
            (Status::Expired, _) => word(Unusable, "expired"),
            (Status::Missing, _) => word(Unusable, "no expiry known"),
            _ if matches!(self.alert, Some(State::LoginExpires(_))) => {
                word(NeedsAttention, "login expires soon")
            }
            (Status::Expiring, Some(Outlook::Ends(_))) => word(NeedsAttention, "expires soon"),
            _ => word(Good, "ok"),
        }
    }

    fn fix(&self, severity: Severity) -> Option<String> {
        if severity == Severity::Good {
            return None;
        }
        if let Some(found) = self.state.unavailability {
            let until = format!("usable again in {}", Span::from_f64(found.left_ms).short());
            return Some(match found.why {
                UnavailableReason::Cooldown => until,
                UnavailableReason::Disabled(_) => format!(
                    "Fix the account at {}; {until}",
                    normalize_provider(self.credential.provider)
                ),
            });
        }
        let known = self.status.map(|status| status.remedy.clone());
        let states = self.context.states(self.vault, self.agent, self.loaded);
        known
            .filter(|remedy| !remedy.is_empty())
            .or_else(|| remedy_of(&states, self.id, commands()))
    }
}

fn lost(loss: Loss) -> &'static str {
    match loss {
        Loss::Dead | Loss::Unopened | Loss::Spent => "login lost",
        Loss::Moved => "endpoint changed",
        Loss::Uncertain => "refresh uncertain",
    }
}
