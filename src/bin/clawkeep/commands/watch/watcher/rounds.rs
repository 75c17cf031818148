//! One round: the settings, the vault, the agents, due refreshes, the alerts, and periodic work.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::doctor::{disabled_profiles, expiring_logins};
use clawkeep::internal::config::AgentRef;
use clawkeep::internal::domain::{AgentName, Fingerprint};
use clawkeep::internal::platform::{Stamp, Touch};
use clawkeep::internal::vault::VaultError;

use super::pass::Pass;
use super::state::{self, Due, PassReport, Wake};
use super::trouble::{lasting, notify_fault};
use super::{Watcher, log, refresh};
use crate::commands::watch::alerting::{ALERTS_WAIT, Known, Trouble};
use crate::failure::Failure;
use crate::record::prune;

/// How long settings must be unchanged before they are read.
const SETTINGS_SETTLE_TIME: Duration = Duration::from_millis(100);
/// How long settings must be unchanged before an empty file counts.
const EMPTY_SETTINGS_DEBOUNCE: Duration = Duration::from_secs(2);
/// How often caches are freed.
const RELEASE_EVERY: Duration = Duration::from_secs(5);
/// How often pruning is checked.
const PRUNE_EVERY: Duration = Duration::from_secs(3600);
/// How often the logins of programs that are not followed are looked at: they last for weeks.
const DISCOVER_EVERY: Duration = Duration::from_secs(3600);
/// How many failures of the vault in a row are notified: a replaced one is absent for a moment.
const FAILURES_TO_ALERT: usize = 3;
/// How long another process must hold a store before it is notified.
const BUSY_TO_ALERT: Duration = Duration::from_secs(5 * 60);

impl Watcher<'_> {
    /// Makes a pass, and returns when the next one is due.
    pub(super) fn attempt(&mut self, failures: usize) -> Due {
        let failure = match self.pass() {
            Ok(report) => return self.after(&report, failures),
            Err(failure) => failure,
        };
        let text = log::in_a_line(&failure);
        self.log.failing(&text);
        self.vault = None; // opened again: it may be another file
        // While it is replaced, it is absent for a moment.
        let next = (failures + 1 >= FAILURES_TO_ALERT).then(|| {
            let trouble = Trouble {
                key: "vault".to_owned(),
                title: "The vault cannot be used".to_owned(),
                body: text,
            };
            self.alerting.pass_without_vault(self.context, &[trouble])
        });
        let next = next.flatten().map(|next| self.until(next));
        let pause = super::retry::retry(failures, failure.is_busy());
        Due {
            is_dirty: false,
            at: Some(Instant::now() + next.map_or(pause, |next| next.min(pause))),
            failures: failures + 1,
        }
    }

    pub(super) fn pass(&mut self) -> Result<PassReport, Failure> {
        let mut report = self.pass_without_refreshing()?;
        self.refresh(std::mem::take(&mut report.due))?;
        Ok(report)
    }

    pub(super) fn pass_without_refreshing(&mut self) -> Result<PassReport, Failure> {
        self.follow_the_vault()?;
        let held = self.settling.held();
        if self.is_stale && !held.iter().any(|path| self.is_settings(path)) {
            self.reload();
        }
        self.open()?;
        let Some((vault, _)) = self.vault.as_mut() else {
            let path = self.context.layout.vault_file.clone();
            return Err(VaultError::Absent { path }.into());
        };
        let mut agents = self.context.every_agent(vault)?;
        // the agent that most gateways use comes first
        agents.sort_by_key(|agent| agent.name != AgentName::default());
        self.agents.clone_from(&agents);
        let (service, ending) = (&self.service, &self.ending);
        let pass = Pass {
            context: self.context,
            vault,
            schedule: &mut self.schedule,
            log: &mut self.log,
            held: &held,
            is_refreshing: self.refreshing.is_some(),
            goes_on: &|| {
                service.alive();
                !ending.is_asked()
            },
        };
        let mut report = pass.run(&agents)?;
        self.feed_openclaw(&report);
        let next = self.alert(&report);
        report.wait = report.wait.into_iter().chain(next).min();
        self.tidy();
        self.log.end_of_pass(!report.is_unread);
        Ok(report)
    }

    /// Reads the settings again. Invalid settings leave the earlier ones in force: somebody may be
    /// editing them. So do settings that were written at this very moment, or that were emptied a
    /// moment ago: emptying could open what was closed.
    fn reload(&mut self) {
        let file = self.context.layout.settings_file.clone();
        let age = std::fs::metadata(&file).and_then(|meta| meta.modified());
        let age = age
            .ok()
            .map(|at| at.elapsed().unwrap_or(EMPTY_SETTINGS_DEBOUNCE)); // the clock was set back
        if age.is_some_and(|age| age < SETTINGS_SETTLE_TIME) {
            return self.come_back_to(&file);
        }
        let is_confirmed = self.settling.is_complete(&file)
            || age.is_some_and(|age| age >= EMPTY_SETTINGS_DEBOUNCE);
        self.is_stale = false;
        let providers = self.context.own().map(|own| own.providers.clone()).ok();
        match self.context.reread(is_confirmed) {
            Ok(true) => self.settings_fault = notify_fault(self.context),
            Ok(false) => return self.come_back_to(&file),
            Err(failure) => {
                let why = log::in_a_line(&failure);
                self.settings_fault =
                    Some(format!("{why} Until then, the earlier settings apply."));
                return;
            }
        }
        let own = self.context.own();
        if own.as_ref().ok().map(|own| &own.providers) != providers.as_ref() {
            self.schedule.forget();
        }
    }

    /// Schedules another check of settings that have not settled.
    fn come_back_to(&mut self, file: &Path) {
        self.is_stale = true;
        self.settling.note(file, Touch::Writing, Instant::now());
    }

    /// Continues at the current places of the vault and the gateway's files: the vault may have
    /// moved, or a gateway may be new.
    fn follow_the_vault(&mut self) -> Result<(), Failure> {
        let before = self.context.lock_dir();
        if self.context.find_places_again()? {
            self.is_stale = true;
            if self.context.lock_dir() != before {
                self.vault = None;
                // It may be the same file under another name: two locks of it would exclude each
                // other.
                self.lock = None;
                let vault = &self.context.layout.vault_file;
                self.log
                    .event(&format!("the vault is now {}", vault.display()));
            }
        }
        if self.lock.is_none() {
            self.lock = Some(super::lock::lock(self.context)?);
        }
        Ok(self.context.places.check_single()?)
    }

    /// Opens the vault, unless the current one is still that file.
    fn open(&mut self) -> Result<(), Failure> {
        let path = &self.context.layout.vault_file;
        let there = Stamp::of(path);
        if let Some((vault, Some(opened))) = &self.vault
            && there.is_some_and(|there| there.is_same_file(opened))
        {
            return Ok(self.context.check_end(vault)?);
        }
        self.vault = None;
        let vault = if self.had_vault {
            // It is absent for a moment while it is replaced: a new one would be empty.
            self.context.unlocked()?
        } else {
            self.context.vault()?
        };
        self.had_vault = true;
        let opened = Stamp::of(vault.path());
        self.vault = Some((vault, opened));
        Ok(())
    }

    fn refresh(&mut self, jobs: Vec<state::Job>) -> Result<(), Failure> {
        let Some((vault, _)) = self.vault.as_ref().filter(|_| !jobs.is_empty()) else {
            return Ok(());
        };
        let opened = (self.context.for_thread(), refresh::reopen_vault(vault)?);
        self.under_way = jobs.iter().map(|job| job.grant).collect();
        let sender = self.sender.clone();
        let send = move |what: Option<_>| {
            // No receiver is left while the process exits.
            let _ = sender.send(Wake::Refreshed(what.map(Box::new)));
        };
        let thread = refresh::start(opened, self.agents.clone(), jobs, self.ending.clone(), send);
        self.refreshing = Some(thread.map_err(|error| super::retry::no_thread(&error))?);
        Ok(())
    }

    /// Sends alerts. Returns how long until more are due.
    fn alert(&mut self, report: &PassReport) -> Option<Duration> {
        let failing =
            |name: &AgentName| report.failures.iter().any(|(agent, _)| agent.name == *name);
        self.busy.retain(|name, _| failing(name));
        let lasts = |agent: &AgentRef, failure: &Failure| {
            let since = self.busy.entry(agent.name.clone());
            let since = since.or_insert_with(Instant::now);
            !failure.is_busy() || since.elapsed() >= BUSY_TO_ALERT
        };
        let mut trouble = lasting(&report.failures, lasts);
        trouble.extend(report.old_copies.iter().map(|(agent, words)| Trouble {
            key: format!("old-copy:{agent}"),
            title: format!("Another program keeps undoing changes of agent {agent}"),
            body: words.trim_start_matches("Warning: ").to_owned(),
        }));
        trouble.extend(self.warnings(report));
        if let Some(fault) = &self.settings_fault {
            let over = Some("settings: loaded".to_owned());
            self.log
                .fail_while("settings", &format!("settings: {fault}"), over);
            trouble.push(Trouble {
                key: "settings".to_owned(),
                title: "Settings cannot be used".to_owned(),
                body: fault.clone(),
            });
        }
        let (vault, _) = self.vault.as_mut()?;
        let due = report.due.iter().map(|job| job.grant);
        let under_way = self.under_way.iter().copied();
        let under_way = under_way.filter(|_| self.refreshing.is_some());
        // A single pass has no retry. After sleep, the first may run before the network is up.
        let soon = self.schedule.failed_once().filter(|_| !self.is_single);
        let refreshing: Vec<Fingerprint> = due.chain(under_way).chain(soon).collect();
        let logins = (!report.is_unread).then_some(&report.logins[..]);
        let known = Known {
            agents: &report.agents,
            logins,
            refreshing: &refreshing,
        };
        let alerted = self.alerting.pass(self.context, vault, known, &trouble);
        self.warn_unreached();
        match alerted {
            Ok(next) => next.map(|next| self.until(next)),
            Err(failure) => {
                let over = Some("alerts: in sync again".to_owned());
                let text = format!("alerts: {}", log::in_a_line(&failure));
                self.log.warn_while("alerts", &text, over);
                None
            }
        }
    }

    /// What other programs' files and statistics say that a person has to act on.
    fn warnings(&mut self, report: &PassReport) -> Vec<Trouble> {
        let now = self.context.clock.now();
        let is_due = self
            .discovered
            .is_none_or(|at| at.elapsed() >= DISCOVER_EVERY);
        if is_due {
            self.discovered = Some(Instant::now());
            self.expiring = expiring_logins(&self.context.layout, &self.context.env, now);
        }
        let disabled = disabled_profiles(&report.agents, now);
        let all = self.expiring.iter().cloned().chain(disabled);
        all.map(|warning| Trouble {
            key: warning.key,
            title: warning.title,
            body: warning.body,
        })
        .collect()
    }

    fn warn_unreached(&mut self) {
        for (target, why) in self.alerting.unreached() {
            let text = format!("alerts: {target} was not notified: {why}");
            let over = Some(format!("alerts: {target} is reachable again"));
            self.log
                .warn_while(&format!("notify {target}"), &text, over);
        }
    }

    /// How long until an instant of the wall clock.
    fn until(&self, at: clawkeep::internal::domain::UnixMs) -> Duration {
        let left = at.0.saturating_sub(self.context.clock.now().0);
        Duration::from_millis(u64::try_from(left).unwrap_or(0))
    }

    fn tidy(&mut self) {
        let Some((vault, _)) = self.vault.as_mut() else {
            return;
        };
        if self.pruned.is_none_or(|at| at.elapsed() >= PRUNE_EVERY) {
            self.pruned = Some(Instant::now());
            if let Err(failure) = prune::when_due(self.context, vault) {
                self.log.fail(&log::in_a_line(&failure));
            }
        }
        if self.released.elapsed() >= RELEASE_EVERY {
            self.released = Instant::now();
            let _ = vault.release_memory(); // it stays then, and is bounded
        }
    }

    pub(super) fn finish_alerts(&mut self) {
        let Some((vault, _)) = self.vault.as_mut() else {
            return;
        };
        let finished = self.alerting.finish(self.context, vault, ALERTS_WAIT);
        if let Err(failure) = finished {
            self.log.fail(&log::in_a_line(&failure));
        }
        self.warn_unreached();
    }
}
