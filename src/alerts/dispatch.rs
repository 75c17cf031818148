//! Dispatches messages to targets, on threads of their own, and records the results.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::decide::{AHEAD_MAX, Decision, Facts, decide};
use super::deliver::{NO_ANSWER, Surroundings, Undelivered, deliver};
use super::heartbeat::{LastBeat, due, problems, rhythm};
use super::history::{Entry, TargetHistory, append, recorded};
use super::message::Message;
use super::sending::{Ended, Job, MINUTE, Recipient, Sending, pause};
use super::subject::Trouble;
use super::survey::{Scene, Survey, survey};
use crate::config::{NotifySettings, NotifyTarget};
use crate::domain::{Seq, UnixMs, debug_as};
use crate::platform::keychain::SessionBus;
use crate::platform::{Actor, Clock, FileLock, run_all, start_thread};
use crate::vault::{UnlockedVault, VaultError};

/// When to try again while another process sends, or the vault is busy, in milliseconds.
const SOON: i64 = MINUTE / 4;
/// How long to wait until cancelled programs have ended.
const ENDING: Duration = Duration::from_secs(1);

/// What [`Alerts`] needs to send messages.
pub struct Means {
    /// The targets of alerts, and the times at which they are sent.
    pub settings: NotifySettings,
    /// Called from another thread when a delivery has ended: it is time for a pass.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Whether there may be a desktop.
    pub bus: SessionBus,
    /// The environment of programs that are run.
    pub env: Vec<(OsString, OsString)>,
    /// The lock of the process that sends alerts, so that two processes do not send the same one.
    pub lock: PathBuf,
    /// The program that sends the messages.
    pub actor: Actor,
    /// The clock that decides what is due.
    pub clock: Clock,
    /// The command that shows what to do about each credential.
    pub remedies_command: &'static str,
}

/// Sends alerts to the targets of the settings.
pub struct Alerts {
    settings: NotifySettings,
    wake: Arc<dyn Fn() + Send + Sync>,
    around: Surroundings,
    lock: PathBuf,
    actor: Actor,
    clock: Clock,
    remedies_command: &'static str,
    /// The earlier messages to each target, by its name.
    history: BTreeMap<String, TargetHistory>,
    /// The newest event that is in `history`.
    last_seq: Option<Seq>,
    /// The end of the record when it was read.
    read: Option<Seq>,
    /// What is on its way to targets.
    busy: BTreeMap<String, Sending>,
    /// Targets to which the last delivery failed.
    held: BTreeMap<String, Held>,
    /// Digests of how each target is reached.
    settings_prints: BTreeMap<String, String>,
    /// What failed is tried again at once.
    is_urged: bool,
    /// What is on its way is not waited for any longer.
    cancelled: Arc<AtomicBool>,
    unrecorded: Vec<Entry>,
    /// The last heartbeat of each target that gets them.
    beats: BTreeMap<String, LastBeat>,
    /// Held while something is on its way.
    holding: Option<FileLock>,
    sender: Sender<Ended>,
    ended: Receiver<Ended>,
}

/// A target to which a delivery failed.
struct Held {
    /// Nothing is sent there until then, where it is not about one message alone.
    until: Option<UnixMs>,
    why: String,
}

debug_as!(Alerts, "Alerts({} targets)", it => it.settings.targets.len());

impl Alerts {
    /// Creates a dispatcher that has sent nothing yet.
    #[must_use]
    pub fn new(means: Means) -> Self {
        let (sender, ended) = mpsc::channel();
        Self {
            around: Surroundings {
                host: means.actor.host.clone(),
                bus: means.bus,
                env: means.env,
            },
            settings: means.settings,
            wake: means.wake,
            lock: means.lock,
            actor: means.actor,
            clock: means.clock,
            remedies_command: means.remedies_command,
            history: BTreeMap::new(),
            last_seq: None,
            read: None,
            busy: BTreeMap::new(),
            held: BTreeMap::new(),
            settings_prints: BTreeMap::new(),
            is_urged: false,
            cancelled: Arc::default(),
            unrecorded: Vec::new(),
            beats: BTreeMap::new(),
            holding: None,
            sender,
            ended,
        }
    }

    /// Sets the targets and times of alerts. If they changed, failed deliveries are tried again at
    /// once.
    pub fn set(&mut self, settings: NotifySettings) {
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        let targets = &self.settings.targets;
        self.held
            .retain(|name, _| targets.iter().any(|target| target.name == *name));
        for held in self.held.values_mut() {
            held.until = None;
        }
        for history in self
            .history
            .values_mut()
            .flat_map(TargetHistory::values_mut)
        {
            history.failed = None;
        }
    }

    /// Tries again in the next pass what could not be delivered, however long that was to wait.
    pub fn urge(&mut self) {
        self.is_urged = true;
        for held in self.held.values_mut() {
            held.until = None;
        }
    }

    /// Whether there is no target of alerts.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.settings.targets.is_empty()
    }

    /// Returns the targets to which the last delivery failed, and why.
    pub fn unreached(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.held.iter();
        all.map(|(target, held)| (target.as_str(), held.why.as_str()))
    }

    /// Whether the last delivery failed to every target.
    #[must_use]
    pub fn has_reached_nobody(&self) -> bool {
        let mut targets = self.settings.targets.iter();
        !self.is_idle() && targets.all(|target| self.held.contains_key(&target.name))
    }

    /// Records the results of deliveries, surveys the credentials, and sends the messages that are
    /// due. Returns when to call it next if nothing happens.
    ///
    /// # Errors
    /// When the vault cannot be read. A vault that is busy or cannot be written is no error:
    /// results are remembered, and recorded by a later pass.
    pub fn pass(
        &mut self,
        vault: &mut UnlockedVault,
        scene: Scene<'_>,
    ) -> Result<Option<UnixMs>, VaultError> {
        self.take_ended();
        self.record(vault)?;
        if self.is_idle() {
            return Ok(None);
        }
        self.read_record(vault)?;
        self.take_settings(vault);
        let now = self.clock.now();
        let at = (&self.settings, now);
        let survey = survey(vault, scene, at)?;
        let facts = facts(&survey, scene.trouble, (true, self.remedies_command));
        let beats = self.send_beats(facts, now);
        let mut decisions = self.decide(facts, now);
        if decisions
            .iter()
            .any(|(_, decision)| !decision.messages.is_empty())
        {
            if !self.take_lock() {
                let soon = UnixMs(now.0.saturating_add(SOON));
                return Ok(Some(beats.map_or(soon, |beat| beat.min(soon))));
            }
            // The messages that another process sent before it released the lock.
            if self.read_record(vault)? {
                decisions = self.decide(facts, now);
            }
        }
        Ok(self.start(decisions, now).into_iter().chain(beats).min())
    }

    /// As [`Alerts::pass`] if the vault cannot be opened: the credentials are unknown, and results
    /// are remembered until they can be recorded.
    pub fn pass_without_vault(&mut self, trouble: &[Trouble]) -> Option<UnixMs> {
        if self.is_idle() {
            return None;
        }
        self.take_ended();
        let now = self.clock.now();
        let nothing = Survey::default();
        let facts = facts(&nothing, trouble, (false, self.remedies_command));
        let decisions = self.decide(facts, now);
        let beats = self.send_beats(facts, now);
        self.start(decisions, now).into_iter().chain(beats).min()
    }

    /// Sends the heartbeats that are due. Returns when the next one is.
    fn send_beats(&mut self, facts: Facts<'_>, now: UnixMs) -> Option<UnixMs> {
        let problems = problems(facts, &self.settings, now);
        let is_well = problems.is_empty();
        let mut next: Option<UnixMs> = None;
        let targets = self.settings.targets.clone();
        for target in &targets {
            let last = self.beats.get(&target.name).copied();
            let rhythm = rhythm(target).filter(|_| !self.busy.contains_key(&target.name));
            let Some(rhythm) = rhythm else {
                continue;
            };
            let Some(mut at) = due(rhythm, last, is_well, now) else {
                continue;
            };
            if at <= now || self.is_urged {
                let to = Arc::new(Recipient {
                    target: target.clone(),
                    settings: None,
                });
                let is_started = self.send(to, Vec::new(), Some(problems.clone()));
                let beat = LastBeat {
                    at: now,
                    was_well: is_well,
                    has_arrived: is_started,
                };
                self.beats.insert(target.name.clone(), beat);
                at = due(rhythm, Some(beat), is_well, now).unwrap_or(at);
            }
            next = next.into_iter().chain([at]).min();
        }
        next
    }

    /// Waits for the deliveries under way, until `deadline` at most, and records each when it has
    /// ended: a slow target must not cost the results of the others. A delivery that has not ended
    /// by then is cancelled and counts as failed: it is tried again.
    pub fn finish(
        &mut self,
        mut vault: Option<&mut UnlockedVault>,
        deadline: Duration,
    ) -> Result<(), VaultError> {
        let until = Instant::now() + deadline;
        self.wait(vault.as_deref_mut(), until, |alerts| {
            !alerts.busy.is_empty()
        })?;
        self.give_up(vault.as_deref_mut())?;
        let recorded = vault.map_or(Ok(()), |vault| self.record(vault));
        self.holding = None;
        recorded
    }

    /// What is still on its way did not arrive; programs are ended.
    fn give_up(&mut self, vault: Option<&mut UnlockedVault>) -> Result<(), VaultError> {
        if self.busy.is_empty() {
            return Ok(());
        }
        self.cancelled.store(true, Ordering::Relaxed);
        let waits = self.wait(vault, Instant::now() + ENDING, |alerts| {
            alerts.busy.values().any(Sending::is_by_program)
        });
        self.cancelled = Arc::default();
        for sending in std::mem::take(&mut self.busy).into_values() {
            if let Some(message) = sending.messages.into_iter().next() {
                let why = Undelivered::from(NO_ANSWER.to_owned());
                self.note(Ended::One(sending.to, Box::new(message), Err(why)));
            }
        }
        waits
    }

    /// Notes what ends until then, and records it, as long as that `goes_on`.
    fn wait(
        &mut self,
        mut vault: Option<&mut UnlockedVault>,
        until: Instant,
        goes_on: impl Fn(&Self) -> bool,
    ) -> Result<(), VaultError> {
        while goes_on(self) {
            let left = until.saturating_duration_since(Instant::now());
            match self.ended.recv_timeout(left) {
                Ok(ended) => self.note(ended),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            if let Some(vault) = vault.as_deref_mut() {
                self.record(vault)?;
            }
        }
        Ok(())
    }

    /// Sends a test to every target at once, and says what came of each.
    #[must_use]
    pub fn test(&self) -> Vec<(String, Result<(), Undelivered>)> {
        let now = self.clock.now();
        let around = &self.around;
        let targets = &self.settings.targets;
        let sends = targets
            .iter()
            .map(|target| move || deliver(target, &Message::test(now), (around, &|| false), now));
        let sent = run_all(sends.collect());
        let failed = || Err("it could not be tried".to_owned().into());
        targets
            .iter()
            .zip(sent)
            .map(|(target, sent)| (target.name.clone(), sent.unwrap_or_else(failed)))
            .collect()
    }

    /// Ends the pause of targets whose settings changed.
    fn take_settings(&mut self, vault: &UnlockedVault) {
        let now = settings_prints(vault, &self.settings);
        for (target, held) in &mut self.held {
            if now.get(target) != self.settings_prints.get(target) {
                held.until = None;
            }
        }
        self.settings_prints = now;
    }

    fn take_ended(&mut self) {
        while let Ok(ended) = self.ended.try_recv() {
            self.note(ended);
        }
        self.release();
    }

    /// Releases the lock of the sender, unless a delivery is under way or not recorded yet.
    fn release(&mut self) {
        if self.busy.is_empty() && self.unrecorded.is_empty() {
            self.holding = None;
        }
    }

    fn note(&mut self, ended: Ended) {
        let now = self.clock.now();
        let (to, message, result) = match ended {
            Ended::One(to, message, result) => (to, message, result),
            Ended::Beat(to, result) => {
                if let (Some(beat), Err(_)) = (self.beats.get_mut(&to.target.name), &result) {
                    beat.has_arrived = false;
                }
                match result {
                    Ok(()) => self.held.remove(&to.target.name),
                    Err(Undelivered { why, .. }) => {
                        let held = Held { until: None, why };
                        self.held.insert(to.target.name.clone(), held)
                    }
                };
                return;
            }
            Ended::All(to) => {
                self.busy.remove(&to.target.name);
                return;
            }
        };
        let target = &to.target.name;
        if let Some(sending) = self.busy.get_mut(target) {
            sending.messages.pop_front();
        }
        let failed = result.err().map(|failed| {
            let retry_at = UnixMs(now.0.saturating_add(pause(message.attempt, &failed)));
            let held = Held {
                until: (!failed.is_of_message).then_some(retry_at),
                why: failed.why.clone(),
            };
            self.held.insert(target.clone(), held);
            (failed.why, message.attempt, retry_at)
        });
        if failed.is_none() {
            self.held.remove(target);
        }
        for mut entry in Entry::all(target, &message, now, failed.as_ref()) {
            entry.settings.clone_from(&to.settings);
            entry.apply(&mut self.history);
            self.unrecorded.push(entry);
        }
    }

    fn record(&mut self, vault: &mut UnlockedVault) -> Result<(), VaultError> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        match append(vault, &self.unrecorded, &self.actor, self.clock) {
            Ok(()) => {
                self.unrecorded.clear();
                self.release();
                Ok(())
            }
            Err(VaultError::Busy { .. } | VaultError::Storage { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Takes in what was recorded since; whether there was anything.
    fn read_record(&mut self, vault: &UnlockedVault) -> Result<bool, VaultError> {
        if !self.unrecorded.is_empty() {
            return Ok(false); // what is remembered is newer
        }
        let end = vault.head()?.map(|head| head.seq);
        if end.is_some() && end == self.read {
            return Ok(false);
        }
        let (entries, newest) = recorded(vault, self.last_seq)?;
        for entry in &entries {
            entry.apply(&mut self.history);
        }
        self.last_seq = newest;
        self.read = end;
        Ok(!entries.is_empty())
    }

    /// What is due to each target to which nothing is on its way.
    fn decide(&self, facts: Facts<'_>, now: UnixMs) -> Vec<(Arc<Recipient>, Decision)> {
        let nothing = TargetHistory::new();
        let targets = self.settings.targets.iter();
        targets
            .filter(|target| !self.busy.contains_key(&target.name) && rhythm(target).is_none())
            .map(|target| {
                let history = self.history.get(&target.name).unwrap_or(&nothing);
                let settings = self.settings_prints.get(&target.name).cloned();
                let history = if self.is_urged {
                    without_failures(history, |_| true)
                } else {
                    without_outdated_failures(history, settings.as_deref())
                };
                let mut decision = decide(facts, &history, &self.settings, now);
                let until = self.held.get(&target.name).and_then(|held| held.until);
                let until = until
                    .filter(|until| *until > now && until.0 <= now.0.saturating_add(AHEAD_MAX));
                if let Some(until) = until.filter(|_| !decision.messages.is_empty()) {
                    decision.messages.clear();
                    decision.next = decision.next.into_iter().chain([until]).min();
                }
                let target = target.clone();
                (Arc::new(Recipient { target, settings }), decision)
            })
            .collect()
    }

    fn take_lock(&mut self) -> bool {
        if self.holding.is_none() {
            match FileLock::try_take(&self.lock) {
                Ok(lock) => self.holding = lock,
                // An alert sent twice is better than one that is not sent.
                Err(_) => return true,
            }
        }
        self.holding.is_some()
    }

    /// Sends the messages that are due; returns when to decide again.
    fn start(&mut self, decisions: Vec<(Arc<Recipient>, Decision)>, now: UnixMs) -> Option<UnixMs> {
        let mut next = (!self.unrecorded.is_empty()).then(|| UnixMs(now.0.saturating_add(SOON)));
        for (to, decision) in decisions {
            next = next.into_iter().chain(decision.next).min();
            if decision.messages.is_empty() {
                continue;
            }
            if !self.send(to, decision.messages, None) {
                let later = UnixMs(now.0.saturating_add(MINUTE));
                next = next.into_iter().chain([later]).min();
            }
        }
        self.is_urged = false;
        self.release();
        next
    }

    /// Starts a thread that sends messages, or a heartbeat; whether it could be started.
    fn send(
        &mut self,
        to: Arc<Recipient>,
        messages: Vec<Message>,
        beat: Option<Vec<String>>,
    ) -> bool {
        let sending = Sending {
            to: Arc::clone(&to),
            messages: messages.iter().cloned().collect(),
        };
        let job = Job {
            to,
            messages,
            beat,
            cancelled: Arc::clone(&self.cancelled),
            around: self.around.clone(),
            sender: self.sender.clone(),
            wake: Arc::clone(&self.wake),
            clock: self.clock,
        };
        let is_started = start_thread("alert", move || job.run()).is_ok();
        if is_started {
            let name = sending.to.target.name.clone();
            self.busy.insert(name, sending);
        }
        is_started
    }
}

/// Digests of how each target is reached, by its name. They are keyed: a secret address among it
/// cannot be guessed from one.
fn settings_prints(vault: &UnlockedVault, settings: &NotifySettings) -> BTreeMap<String, String> {
    let print = |target: &NotifyTarget| {
        let mut all = target.expose_settings();
        for file in target.files() {
            let changed = std::fs::metadata(file)
                .and_then(|file| file.modified())
                .ok();
            all.push_str(&format!("\0{changed:?}"));
        }
        (target.name.clone(), vault.fingerprint(&all).to_string())
    };
    settings.targets.iter().map(print).collect()
}

/// A target's history without failures from before its settings changed: those are tried again.
fn without_outdated_failures<'t>(
    history: &'t TargetHistory,
    settings: Option<&str>,
) -> Cow<'t, TargetHistory> {
    let is_outdated = |history: &super::history::SubjectHistory| {
        let then = history
            .failed
            .as_ref()
            .and_then(|failed| failed.settings.as_deref());
        then.zip(settings).is_some_and(|(then, now)| then != now)
    };
    without_failures(history, is_outdated)
}

fn without_failures(
    history: &TargetHistory,
    is_over: impl Fn(&super::history::SubjectHistory) -> bool,
) -> Cow<'_, TargetHistory> {
    if !history.values().any(&is_over) {
        return Cow::Borrowed(history);
    }
    let mut history = history.clone();
    for history in history.values_mut().filter(|history| is_over(history)) {
        history.failed = None;
    }
    Cow::Owned(history)
}

fn facts<'f>(
    survey: &'f Survey,
    trouble: &'f [Trouble],
    (is_all_trouble, remedies_command): (bool, &'f str),
) -> Facts<'f> {
    Facts {
        statuses: &survey.statuses,
        unclear: &survey.unclear,
        agents: &survey.agents,
        trouble,
        is_all_trouble,
        remedies_command,
    }
}
