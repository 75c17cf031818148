//! `metrics`: the state of the credentials for Prometheus. Needs no key, and records nothing.

mod exposition;

use std::path::PathBuf;

use clap::Args;
use clawkeep::internal::audit::{Direction, EventKind, Filter, KindFilter, ProfileRef};
use clawkeep::internal::domain::{Owner, Span, UnixMs, counted};
use clawkeep::internal::health::AsOf;
use clawkeep::internal::sync::state_without_key;
use clawkeep::internal::vault::{StoredCredential, UnlockedVault, Vault};

use self::exposition::{Exposition, Labels, Sample, seconds};
use crate::context::Context;
use crate::failure::Failure;
use crate::options::target::{self, Readers, Replaceable};

/// The beginning of every page, by which a file of an earlier run is known.
const MARK: &str = "# Written by clawkeep metrics.";
/// The states of a credential. A state that is added later is a new value of the label.
const STATES: [&str; 6] = ["ok", "expiring", "expired", "missing", "static", "unknown"];
/// What a sync records if it changed something.
const SYNCED: [EventKind; 4] = [
    EventKind::SyncApplied,
    EventKind::ImportApplied,
    EventKind::StoreMerged,
    EventKind::ExportWritten,
];

/// Write the state of the credentials as metrics for Prometheus.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  clawkeep metrics\n  clawkeep metrics --to clawkeep.prom   into the \
        directory of node_exporter's textfile collector\n\nNeeds no key, and records nothing. It \
        holds no secret, but it names agents and profiles unless --hash-ids hides them. Every \
        user of the machine may read the file. docs/guide/metrics.md has the names and labels."
)]
pub(crate) struct Metrics {
    /// The file to write, or - for stdout
    #[arg(long, value_name = "FILE", default_value = "-")]
    to: PathBuf,
    /// Write digests in place of the names of agents and profiles; needs the vault's key
    #[arg(long)]
    hash_ids: bool,
}

impl Metrics {
    pub(crate) fn run(self, context: &Context) -> Result<(), Failure> {
        let to = target::resolved(context, &self.to);
        let (text, credentials) = if self.hash_ids {
            let vault = context.unlocked_to_read()?;
            page(context, &vault, &Names::Hashed(&vault))?
        } else {
            page(context, &context.locked()?, &Names::Plain)?
        };
        let kind = Replaceable::With(MARK);
        target::write(context, &to, (kind, Readers::Everyone), |out| {
            out.write_all(text.as_bytes()).map_err(Failure::Output)
        })?;
        if !target::is_stdout(&to) {
            context.ui.answer(&format!(
                "Wrote metrics of {} to {}, which every user of this machine may read\n",
                counted(credentials, "credential"),
                context.layout.shorten_home(&to)
            ))?;
        }
        Ok(())
    }
}

/// How agents and profiles are named.
enum Names<'v> {
    Plain,
    /// By a digest that only the holder of the vault's key can compute.
    Hashed(&'v UnlockedVault),
}

impl Names<'_> {
    fn of(&self, kind: &str, name: &str) -> String {
        match self {
            Self::Plain => name.to_owned(),
            Self::Hashed(vault) => {
                let print = vault.fingerprint(&format!("{kind}\0{name}"));
                let text = print.to_string();
                text.rsplit(':').next().unwrap_or_default().to_owned()
            }
        }
    }

    fn labels(&self, agent: &str, profile: &str, provider: &str) -> Labels {
        vec![
            ("agent", self.of("agent", agent)),
            ("provider", provider.to_owned()),
            ("profile", self.of("profile", profile)),
        ]
    }

    /// The labels of a profile of the record.
    fn recorded(&self, profile: &ProfileRef, provider: Option<&str>) -> Labels {
        let agent = profile.agent.as_deref().unwrap_or_default();
        self.labels(agent, &profile.id, provider.unwrap_or_default())
    }
}

/// The page, and how many credentials are in it.
fn page(context: &Context, vault: &Vault, names: &Names<'_>) -> Result<(String, usize), Failure> {
    context.own()?; // what is expiring is a setting
    let as_of = context.as_of(context.clock.now());
    let credentials = vault.list_credentials()?;
    let mut page = Exposition::new(MARK);
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    page.gauge(
        "build_info",
        "The version of clawkeep.",
        vec![(version, "1".to_owned())],
    );
    add_credentials(&mut page, vault, (&credentials, names), as_of)?;
    add_record(&mut page, vault, names, as_of.now)?;
    Ok((page.into_text(), credentials.len()))
}

fn add_credentials(
    page: &mut Exposition,
    vault: &Vault,
    (credentials, names): (&[StoredCredential], &Names<'_>),
    as_of: AsOf,
) -> Result<(), Failure> {
    let with = |held: &StoredCredential, more: Labels| {
        let mut labels = names.labels(&held.agent, &held.profile, &held.provider);
        labels.extend(more);
        labels
    };
    let (mut info, mut states, mut expiry) = (Vec::new(), Vec::new(), Vec::new());
    let (mut cooldown, mut used) = (Vec::new(), Vec::new());
    for held in credentials {
        let state = state_without_key(vault, held, as_of)?;
        let word = state.word_for_people();
        let keeper = match held.owner {
            Owner::Vault => "vault",
            owner => owner.as_str(),
        };
        let facts = [("type", held.kind.as_str()), ("owner", keeper)];
        let facts = facts.map(|(name, value)| (name, value.to_owned()));
        info.push((with(held, facts.into()), "1".to_owned()));
        for name in STATES {
            let is_current = u8::from(word == name);
            let labels = with(held, vec![("state", name.to_owned())]);
            states.push((labels, is_current.to_string()));
        }
        let add = |samples: &mut Vec<Sample>, at: Option<UnixMs>| {
            samples.extend(at.map(|at| (with(held, Vec::new()), seconds(at))));
        };
        let is_reliable = state.unreliable_expiry().is_none();
        let expires = held.expires.filter(|at| is_reliable && at.ms() > 0.0);
        add(
            &mut expiry,
            expires.map(|at| UnixMs::from_ms(at.floor_ms())),
        );
        let until = held.cooldown_until.filter(|until| *until > as_of.now);
        add(&mut cooldown, until);
        add(&mut used, held.last_used);
    }
    page.gauge(
        "credential_info",
        "A stored credential: its type and its owner.",
        info,
    );
    page.gauge(
        "credential_state",
        "1 for the state that a credential is in.",
        states,
    );
    page.gauge(
        "credential_expiry_timestamp_seconds",
        "When the current token expires.",
        expiry,
    );
    page.gauge(
        "credential_cooldown_until_timestamp_seconds",
        "When the cooldown of a credential ends.",
        cooldown,
    );
    page.gauge(
        "credential_marked_used_timestamp_seconds",
        "When a gateway last used a credential, as its store says.",
        used,
    );
    Ok(())
}

fn add_record(
    page: &mut Exposition,
    vault: &Vault,
    names: &Names<'_>,
    now: UnixMs,
) -> Result<(), Failure> {
    let begin = now.0.saturating_sub(Span::days(1).ms());
    let day = Filter::default().since(UnixMs::from_ms(begin));
    let (mut uses, mut failures) = (Vec::new(), Vec::new());
    for found in vault.uses(&day)? {
        let labels = names.recorded(&found.profile, found.provider.as_deref());
        failures.push((labels.clone(), found.failed.to_string()));
        uses.push((labels, found.count.to_string()));
    }
    let mut refreshes = Vec::new();
    for found in vault.refreshes(&day)? {
        for (outcome, count) in [("succeeded", found.succeeded), ("failed", found.failed)] {
            let mut labels = names.recorded(&found.profile, found.provider.as_deref());
            labels.push(("outcome", outcome.to_owned()));
            refreshes.push((labels, count.to_string()));
        }
    }
    page.gauge(
        "credential_uses_last_day",
        "Uses recorded in the last 24 hours.",
        uses,
    );
    page.gauge(
        "credential_failures_last_day",
        "Refusals by the provider that were recorded in the last 24 hours.",
        failures,
    );
    page.gauge(
        "credential_refreshes_last_day",
        "Refreshes recorded in the last 24 hours, by outcome.",
        refreshes,
    );
    add_last(page, vault, names)?;
    let newest = |kinds: &[EventKind]| -> Result<Vec<Sample>, Failure> {
        let kinds = kinds.iter().copied().map(KindFilter::only).collect();
        let filter = Filter::default()
            .kinds(kinds)
            .limit(1)
            .direction(Direction::NewestFirst);
        let event = vault.history(&filter)?.next().transpose()?;
        let sample = event.map(|event| (Labels::new(), seconds(event.at)));
        Ok(sample.into_iter().collect())
    };
    page.gauge(
        "last_sync_timestamp_seconds",
        "When a sync last changed the vault or a store.",
        newest(&SYNCED)?,
    );
    page.gauge(
        "last_backup_timestamp_seconds",
        "When a backup of the vault was last made.",
        newest(&[EventKind::BackupCreated])?,
    );
    page.gauge(
        "newest_event_timestamp_seconds",
        "When the newest event happened.",
        newest(&[])?,
    );
    let events = vault.record_stats()?.events.to_string();
    page.gauge(
        "record_events",
        "Events in the audit record.",
        vec![(Labels::new(), events)],
    );
    Ok(())
}

/// Adds the times of the last use, refresh and failures, however long ago they were.
fn add_last(page: &mut Exposition, vault: &Vault, names: &Names<'_>) -> Result<(), Failure> {
    let (mut last_uses, mut last_refreshes, mut failed) = (Vec::new(), Vec::new(), Vec::new());
    let add = |samples: &mut Vec<Sample>, labels: &Labels, at: Option<UnixMs>| {
        samples.extend(at.map(|at| (labels.clone(), seconds(at))));
    };
    let of = |labels: &Labels, what: &str| {
        let mut labels = labels.clone();
        labels.push(("action", what.to_owned()));
        labels
    };
    for found in vault.uses(&Filter::default())? {
        let labels = names.recorded(&found.profile, found.provider.as_deref());
        add(&mut last_uses, &labels, found.span.map(|(_, last)| last));
        let at = found.last_failure.map(|failure| failure.at);
        add(&mut failed, &of(&labels, "use"), at);
    }
    for found in vault.refreshes(&Filter::default())? {
        let labels = names.recorded(&found.profile, found.provider.as_deref());
        add(&mut last_refreshes, &labels, found.last);
        add(
            &mut failed,
            &of(&labels, "refresh"),
            found.last_failure.map(|failure| failure.at),
        );
    }
    page.gauge(
        "credential_last_use_timestamp_seconds",
        "When a credential was last handed out or reported as used.",
        last_uses,
    );
    page.gauge(
        "credential_last_refresh_timestamp_seconds",
        "When a refresh last brought a new token.",
        last_refreshes,
    );
    page.gauge(
        "credential_last_failure_timestamp_seconds",
        "When a use or a refresh last failed.",
        failed,
    );
    Ok(())
}
