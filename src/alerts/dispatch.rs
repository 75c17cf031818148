//! Messages on their way: who is told what, on threads of their own, and what came of it.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use super::Trouble;
use super::decide::{AHEAD_MAX, Decision, Facts, decide};
use super::deliver::{Surroundings, Undelivered, deliver};
use super::message::Message;
use super::survey::{Survey, survey};
use super::told::{Entry, ToldOf, recorded};
use crate::config::{AgentRef, NotifySettings, NotifyTarget};
use crate::domain::{Seq, StoreDoc, UnixMs};
use crate::oauth::Providers;
use crate::platform::keychain::SessionBus;
use crate::platform::{Actor, Clock, FileLock};
use crate::vault::{UnlockedVault, VaultError};

const MINUTE: i64 = 60_000;
/// How long to wait before the second attempt, the third, and so on; then always as long as before the last, in milliseconds.
const PAUSES: [i64; 5] = [MINUTE, 5 * MINUTE, 15 * MINUTE, 60 * MINUTE, 240 * MINUTE];
/// When to look again while another process tells, or the vault is busy, in milliseconds.
const SOON: i64 = MINUTE / 4;

/// What telling needs.
pub struct Means {
    /// Who is told, and when.
    pub settings: NotifySettings,
    /// Called from another thread when a delivery has ended: it is time for a pass.
    pub wake: Arc<dyn Fn() + Send + Sync>,
    /// Whether there may be a desktop.
    pub bus: SessionBus,
    /// The environment of programs that are run.
    pub env: Vec<(String, String)>,
    /// The lock that whoever tells holds, so that two processes do not tell the same.
    pub lock: PathBuf,
    /// Who this is.
    pub actor: Actor,
    /// The time.
    pub clock: Clock,
}

/// What a pass looks at.
#[derive(Clone, Copy, Debug)]
pub struct Scene<'s> {
    /// The agents whose stores are known whole. One that could not be read is left out: what becomes of its credentials is not known.
    pub agents: &'s [(AgentRef, StoreDoc)],
    /// The providers whose logins are refreshed here; none where the settings cannot be read.
    pub providers: Option<&'s Providers>,
    /// What is wrong with the host.
    pub trouble: &'s [Trouble],
}

/// Tells a person what is wrong.
pub struct Alerts {
    settings: NotifySettings,
    wake: Arc<dyn Fn() + Send + Sync>,
    around: Surroundings,
    lock: PathBuf,
    actor: Actor,
    clock: Clock,
    /// What each target was told, by its name.
    told: BTreeMap<String, ToldOf>,
    /// The newest event that is in `told`.
    seen: Option<Seq>,
    /// The end of the record when it was read.
    read: Option<Seq>,
    /// The targets to which something is on its way.
    busy: HashSet<String>,
    /// Targets that could not be reached.
    held: BTreeMap<String, Held>,
    /// What came of deliveries and is not recorded yet.
    unrecorded: Vec<Entry>,
    /// Held while something is on its way.
    holding: Option<FileLock>,
    sender: Sender<Ended>,
    ended: Receiver<Ended>,
}

/// A target that could not be reached.
struct Held {
    /// Nothing is sent there until then.
    until: UnixMs,
    why: String,
}

/// What came of a delivery.
enum Ended {
    /// One message arrived, or did not.
    One(Arc<NotifyTarget>, Box<Message>, Result<(), Undelivered>),
    /// Nothing more is on its way there.
    All(Arc<NotifyTarget>),
}

impl std::fmt::Debug for Alerts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Alerts({} targets)", self.settings.targets.len())
    }
}

impl Alerts {
    /// Tells nobody yet.
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
            told: BTreeMap::new(),
            seen: None,
            read: None,
            busy: HashSet::new(),
            held: BTreeMap::new(),
            unrecorded: Vec::new(),
            holding: None,
            sender,
            ended,
        }
    }

    /// Whom to tell from now on, and when. Where that is news, what could not be delivered is tried again at once.
    pub fn set(&mut self, settings: NotifySettings) {
        if settings == self.settings {
            return;
        }
        self.settings = settings;
        self.held.clear();
        for told in self.told.values_mut().flat_map(ToldOf::values_mut) {
            told.failed = None;
        }
    }

    /// Whether anybody is to be told anything.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.settings.targets.is_empty()
    }

    /// The targets that could not be reached when something was sent there last, and why.
    pub fn unreached(&self) -> impl Iterator<Item = (&str, &str)> {
        let all = self.held.iter();
        all.map(|(target, held)| (target.as_str(), held.why.as_str()))
    }

    /// Records what was delivered, looks at what is wrong, and starts what is due; when it next wants to be called if nothing
    /// happens.
    ///
    /// # Errors
    /// When the vault cannot be read. One that is busy or cannot be written is none: what was told is remembered, and recorded by a
    /// later pass.
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
        let now = self.clock.now();
        let at = (&self.settings, now);
        let seen = survey(vault, scene.agents, scene.providers, at)?;
        let facts = facts(&seen, scene.trouble, true);
        let mut decisions = self.decide(facts, now);
        if decisions
            .iter()
            .any(|(_, decision)| !decision.messages.is_empty())
        {
            if !self.take_lock() {
                return Ok(Some(UnixMs(now.0.saturating_add(SOON))));
            }
            // What another process told before it gave the lock back.
            if self.read_record(vault)? {
                decisions = self.decide(facts, now);
            }
        }
        Ok(self.start(decisions, now))
    }

    /// As [`Alerts::pass`] where the vault cannot be opened: nothing is known of credentials, and what is told is remembered until
    /// it can be recorded.
    pub fn pass_without_vault(&mut self, trouble: &[Trouble]) -> Option<UnixMs> {
        if self.is_idle() {
            return None;
        }
        self.take_ended();
        let now = self.clock.now();
        let nothing = Survey::default();
        let decisions = self.decide(facts(&nothing, trouble, false), now);
        self.start(decisions, now)
    }

    /// Waits for what is on its way, until `deadline` at most, and records each when it has ended: a slow target must not cost what the
    /// others were told. What has not ended by then counts as not told.
    ///
    /// # Errors
    /// As [`Alerts::pass`].
    pub fn finish(
        &mut self,
        mut vault: Option<&mut UnlockedVault>,
        deadline: Duration,
    ) -> Result<(), VaultError> {
        let ends = Instant::now() + deadline;
        while !self.busy.is_empty() {
            let left = ends.saturating_duration_since(Instant::now());
            match self.ended.recv_timeout(left) {
                Ok(ended) => self.note(ended),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => break,
            }
            if let Some(vault) = vault.as_deref_mut() {
                self.record(vault)?;
            }
        }
        let recorded = vault.map_or(Ok(()), |vault| self.record(vault));
        self.holding = None;
        recorded
    }

    /// Sends a test to every target at once, and says what came of each.
    #[must_use]
    pub fn test(&self) -> Vec<(String, Result<(), Undelivered>)> {
        let now = self.clock.now();
        let around = &self.around;
        thread::scope(|scope| {
            let sent: Vec<_> = self
                .settings
                .targets
                .iter()
                .map(|target| {
                    let send = move || deliver(target, &Message::test(now), around, now);
                    (target.name.clone(), scope.spawn(send))
                })
                .collect();
            sent.into_iter()
                .map(|(name, sent)| {
                    let failed = || Err("it could not be tried".to_owned().into());
                    (name, sent.join().unwrap_or_else(|_| failed()))
                })
                .collect()
        })
    }

    fn take_ended(&mut self) {
        while let Ok(ended) = self.ended.try_recv() {
            self.note(ended);
        }
        self.release();
    }

    /// Lets others tell, unless something is on its way from here or not recorded yet.
    fn release(&mut self) {
        if self.busy.is_empty() && self.unrecorded.is_empty() {
            self.holding = None;
        }
    }

    /// Takes what came of a delivery into account.
    fn note(&mut self, ended: Ended) {
        let now = self.clock.now();
        let (target, message, result) = match ended {
            Ended::One(target, message, result) => (target, message, result),
            Ended::All(target) => {
                self.busy.remove(&target.name);
                return;
            }
        };
        let failed = result.err().map(|failed| {
            let retry_at = UnixMs(now.0.saturating_add(pause(message.attempt, &failed)));
            if !failed.is_of_message {
                let held = Held {
                    until: retry_at,
                    why: failed.why.clone(),
                };
                self.held.insert(target.name.clone(), held);
            }
            (failed.why, message.attempt, retry_at)
        });
        if failed.is_none() {
            self.held.remove(&target.name);
        }
        for entry in Entry::all(&target.name, &message, now, failed.as_ref()) {
            entry.apply(&mut self.told);
            self.unrecorded.push(entry);
        }
    }

    /// Records what was delivered and what was not.
    fn record(&mut self, vault: &mut UnlockedVault) -> Result<(), VaultError> {
        if self.unrecorded.is_empty() {
            return Ok(());
        }
        match append(vault, &self.unrecorded, (&self.actor, self.clock)) {
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
        let (entries, newest) = recorded(vault, self.seen)?;
        for entry in &entries {
            entry.apply(&mut self.told);
        }
        self.seen = newest;
        self.read = end;
        Ok(!entries.is_empty())
    }

    /// What is due to each target to which nothing is on its way.
    fn decide(&self, facts: Facts<'_>, now: UnixMs) -> Vec<(Arc<NotifyTarget>, Decision)> {
        let nothing = ToldOf::new();
        let targets = self.settings.targets.iter();
        targets
            .filter(|target| !self.busy.contains(&target.name))
            .map(|target| {
                let told = self.told.get(&target.name).unwrap_or(&nothing);
                let mut decision = decide(facts, told, &self.settings, now);
                let until = self.held.get(&target.name).map(|held| held.until);
                let until = until
                    .filter(|until| *until > now && until.0 <= now.0.saturating_add(AHEAD_MAX));
                if let Some(until) = until.filter(|_| !decision.messages.is_empty()) {
                    decision.messages.clear();
                    decision.next = decision.next.into_iter().chain([until]).min();
                }
                (Arc::new(target.clone()), decision)
            })
            .collect()
    }

    fn take_lock(&mut self) -> bool {
        if self.holding.is_none() {
            match FileLock::try_take(&self.lock) {
                Ok(lock) => self.holding = lock,
                // Better told twice than not at all.
                Err(_) => return true,
            }
        }
        self.holding.is_some()
    }

    /// Sends what is due; when to look again.
    fn start(
        &mut self,
        decisions: Vec<(Arc<NotifyTarget>, Decision)>,
        now: UnixMs,
    ) -> Option<UnixMs> {
        let mut next = (!self.unrecorded.is_empty()).then(|| UnixMs(now.0.saturating_add(SOON)));
        for (target, decision) in decisions {
            next = next.into_iter().chain(decision.next).min();
            if decision.messages.is_empty() {
                continue;
            }
            let job = Job {
                target: Arc::clone(&target),
                messages: decision.messages,
                around: self.around.clone(),
                sender: self.sender.clone(),
                wake: Arc::clone(&self.wake),
                clock: self.clock,
            };
            let spawned = thread::Builder::new()
                .name("alert".to_owned())
                .spawn(move || job.run());
            match spawned {
                Ok(_) => {
                    self.busy.insert(target.name.clone());
                }
                Err(_) => {
                    next = next
                        .into_iter()
                        .chain([UnixMs(now.0.saturating_add(MINUTE))])
                        .min()
                }
            }
        }
        self.release();
        next
    }
}

/// Messages for one target, one after another.
struct Job {
    target: Arc<NotifyTarget>,
    messages: Vec<Message>,
    around: Surroundings,
    sender: Sender<Ended>,
    wake: Arc<dyn Fn() + Send + Sync>,
    clock: Clock,
}

impl Job {
    fn run(mut self) {
        for message in std::mem::take(&mut self.messages) {
            let result = deliver(&self.target, &message, &self.around, self.clock.now());
            let is_over = result.as_ref().is_err_and(|failed| !failed.is_of_message);
            let target = Arc::clone(&self.target);
            // Nobody listens any more when the process is about to end: it counts as not told.
            let _ = self
                .sender
                .send(Ended::One(target, Box::new(message), result));
            if is_over {
                break; // the rest would fare no better, and is still due
            }
        }
    }
}

// Whichever way it ends: a target to which something seems to be on its way for ever would not be told anything any more.
impl Drop for Job {
    fn drop(&mut self) {
        let _ = self.sender.send(Ended::All(Arc::clone(&self.target)));
        (self.wake)();
    }
}

fn facts<'f>(seen: &'f Survey, trouble: &'f [Trouble], is_all_trouble: bool) -> Facts<'f> {
    Facts {
        standings: &seen.standings,
        unclear: &seen.unclear,
        agents: &seen.agents,
        trouble,
        is_all_trouble,
    }
}

fn append(
    vault: &mut UnlockedVault,
    entries: &[Entry],
    (actor, clock): (&Actor, Clock),
) -> Result<(), VaultError> {
    let mut tx = vault.begin(actor, clock)?;
    for entry in entries {
        let (agent, draft) = entry.draft();
        tx.append(agent.as_ref(), draft)?;
    }
    tx.commit()
}

/// How long to wait after an attempt, in milliseconds.
fn pause(attempt: u32, failed: &Undelivered) -> i64 {
    let at = usize::try_from(attempt.saturating_sub(1)).unwrap_or(usize::MAX);
    let own = PAUSES[at.min(PAUSES.len() - 1)];
    let asked = failed.retry_after.map_or(0, |after| {
        i64::try_from(after.as_millis()).unwrap_or(AHEAD_MAX)
    });
    own.max(asked.min(AHEAD_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_and_a_target_may_ask_for_more() {
        let failed = |after: Option<u64>| Undelivered {
            retry_after: after.map(Duration::from_secs),
            ..Undelivered::from(String::new())
        };
        let minutes = |attempt, after| pause(attempt, &failed(after)) / MINUTE;
        let grown: Vec<i64> = (1..=7).map(|attempt| minutes(attempt, None)).collect();
        assert_eq!(grown, [1, 5, 15, 60, 240, 240, 240]);
        assert_eq!(minutes(u32::MAX, None), 240);
        assert_eq!(minutes(1, Some(600)), 10);
        assert_eq!(minutes(4, Some(600)), 60);
        assert_eq!(minutes(1, Some(u64::MAX)), 1440);
    }
}
