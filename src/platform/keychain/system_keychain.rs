//! Asking the keychain of this system, on a thread of its own and for a limited time.

use std::sync::Mutex;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use ctutils::CtEq as _;
use keyring_core::{Entry, Error as StoreError};

use super::super::threads::start_thread;
use super::{Keychain, KeychainError, Reason, Secret, SessionBus, Unreachable};

#[cfg(target_os = "macos")]
use super::macos as system;
#[cfg(all(unix, not(target_os = "macos")))]
use super::secret_service as system;
#[cfg(windows)]
use super::windows as system;

/// How long macOS' Keychain may take while its dialog asks somebody who is there to answer: a
/// minute to find the dialog and type the password of the login keychain.
const DIALOG_DEADLINE: Duration = Duration::from_secs(60);

/// The keychain of this operating system and user.
///
/// Each call has a connection of its own, on a thread of its own. Where the deadline passes, that
/// thread is left behind with its connection until the keychain answers or the process ends: there
/// is no way to stop a call that waits for a person. A write that succeeds too late is taken back
/// by the thread that made it, if it lives to do so.
#[derive(Debug)]
pub struct SystemKeychain {
    deadline: Duration,
    bus: SessionBus,
    is_attended: bool,
    warm: Mutex<Option<Worker>>,
}

/// What a worker does once it is connected.
type Job = Box<dyn FnOnce(Result<system::Store, KeychainError>) + Send>;

/// A thread that connects and then waits for one job.
#[derive(Debug)]
struct Worker(mpsc::Sender<Job>);

impl Worker {
    #[cfg_attr(
        not(target_os = "macos"),
        allow(
            unused_variables,
            reason = "macOS alone shows dialogs that can be forbidden"
        )
    )]
    fn start(is_attended: bool) -> Result<Self, KeychainError> {
        let (sender, jobs) = mpsc::channel::<Job>();
        let work = move || {
            #[cfg(target_os = "macos")]
            if !is_attended {
                system::forbid_dialogs();
            }
            let store = system::connect();
            // Without a job nobody needed the keychain after all.
            if let Ok(job) = jobs.recv() {
                job(store);
            }
        };
        start_thread("keychain", work)
            .map_err(|error| KeychainError::LimitReached(Reason::new(error)))?;
        Ok(Self(sender))
    }
}

impl SystemKeychain {
    /// A keychain whose calls end by `deadline` (normally [`DEADLINE`](super::DEADLINE)). Without a
    /// `bus` it is not asked, not even on macOS and Windows. Nothing is opened yet.
    #[must_use]
    pub const fn new(deadline: Duration, bus: SessionBus) -> Self {
        Self {
            deadline,
            bus,
            is_attended: true,
            warm: Mutex::new(None),
        }
    }

    /// Sets whether somebody sees a dialog of the keychain's and can answer it; until then,
    /// somebody does. macOS shows one where the keychain is locked, and for each item after an
    /// update of this program. Attended, a call may take 60 s there. Unattended, no dialog is shown
    /// there in this process, since the deadline would pass before an answer. Means nothing on
    /// other systems.
    #[must_use]
    pub fn attended(mut self, is_attended: bool) -> Self {
        self.is_attended = is_attended;
        if cfg!(target_os = "macos") && is_attended {
            self.deadline = self.deadline.max(DIALOG_DEADLINE);
        }
        self
    }

    /// Begins to connect, for a call that is likely to come: most of a call's time goes into
    /// agreeing on a session key, which needs to know nothing of the item. Asks for nothing, and
    /// says nothing if it fails: the call then will.
    pub fn warm_up(&self) {
        if self.why_unreachable().is_none()
            && let Ok(worker) = Worker::start(self.is_attended)
            && let Ok(mut warm) = self.warm.lock()
        {
            *warm = Some(worker);
        }
    }

    /// Why the keychain is not asked at all.
    fn why_unreachable(&self) -> Option<Unreachable> {
        match self.bus {
            SessionBus::TurnedOff => Some(Unreachable::TurnedOff),
            SessionBus::Present if !system::NEEDS_SESSION_BUS || self.bus.is_reachable() => None,
            SessionBus::Present | SessionBus::Absent => Some(Unreachable::NoBus),
        }
    }

    /// Does `work` on the item of `account`; an answer that comes too late goes to `too_late`.
    fn ask<T: Send + 'static>(
        &self,
        account: &str,
        work: impl FnOnce(&Item) -> Result<T, KeychainError> + Send + 'static,
        too_late: impl FnOnce(&Item, T) + Send + 'static,
    ) -> Result<T, KeychainError> {
        if let Some(why) = self.why_unreachable() {
            return Err(KeychainError::Unreachable(why));
        }
        // Without a buffer, sending succeeds only if the answer was received: the two sides cannot
        // disagree on that.
        let (sender, answer) = mpsc::sync_channel(0);
        let account = account.to_owned();
        let job = Box::new(move |store: Result<system::Store, KeychainError>| {
            match store.and_then(|store| Item::of(&store, &account)) {
                Ok(item) => {
                    if let Err(mpsc::SendError(Ok(done))) = sender.send(work(&item)) {
                        too_late(&item, done);
                    }
                }
                // Nothing was done, so nothing is lost with an error that nobody waits for.
                Err(error) => drop(sender.send(Err(error))),
            }
        });
        let warm = self.warm.lock().ok().and_then(|mut warm| warm.take());
        let worker = warm.map_or_else(|| Worker::start(self.is_attended), Ok)?;
        // A worker that has died dropped its end: the answer below says so.
        let _ = worker.0.send(job);
        match answer.recv_timeout(self.deadline) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => Err(KeychainError::NoAnswer {
                after: self.deadline,
            }),
            Err(RecvTimeoutError::Disconnected) => {
                let reason = Reason::new("the call ended without an answer");
                Err(KeychainError::Other(reason))
            }
        }
    }
}

impl Keychain for SystemKeychain {
    fn get(&self, account: &str) -> Result<Option<Secret>, KeychainError> {
        self.ask(account, Item::read, |_, _| ())
    }

    fn set(&self, account: &str, secret: &[u8]) -> Result<(), KeychainError> {
        let secret = Secret::new(secret.to_vec());
        self.ask(
            account,
            move |item| item.replace(&secret),
            |item, before| item.put_back(before.as_ref()),
        )
        .map(|_before| ())
    }

    fn delete(&self, account: &str) -> Result<(), KeychainError> {
        self.ask(account, Item::delete, |_, ()| ())
    }
}

/// One item of an open keychain, there or not.
struct Item(Entry);

impl Item {
    fn of(store: &system::Store, account: &str) -> Result<Self, KeychainError> {
        system::item(store, account).map(Self)
    }

    fn read(&self) -> Result<Option<Secret>, KeychainError> {
        match self.0.get_secret() {
            Ok(bytes) => Ok(Some(Secret::new(bytes))),
            Err(StoreError::NoEntry) => Ok(None),
            Err(error) => Err(system::failed(error)),
        }
    }

    /// Writes, checks, and returns what was there before.
    fn replace(&self, secret: &Secret) -> Result<Option<Secret>, KeychainError> {
        let before = self.read()?;
        self.0.set_secret(secret).map_err(system::failed)?;
        match self.check(secret) {
            Ok(()) => Ok(before),
            Err(error) => {
                self.put_back(before.as_ref());
                Err(error)
            }
        }
    }

    fn check(&self, secret: &Secret) -> Result<(), KeychainError> {
        system::require_persistence(&self.0)?;
        match self.read()? {
            Some(kept) if kept.ct_eq(secret).to_bool() => Ok(()),
            _ => Err(KeychainError::NotKept),
        }
    }

    /// Undoes a write. A failure has no one to go to: the caller hears why it was undone.
    fn put_back(&self, before: Option<&Secret>) {
        let _ = match before {
            Some(bytes) => self.0.set_secret(bytes),
            None => self.0.delete_credential(),
        };
    }

    fn delete(&self) -> Result<(), KeychainError> {
        match self.0.delete_credential() {
            Ok(()) | Err(StoreError::NoEntry) => Ok(()),
            Err(error) => Err(system::failed(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_carry_the_item_lose_it() {
        let why = || Box::new(std::io::Error::other("bad padding"));
        for error in [
            StoreError::BadEncoding(b"secret".to_vec()),
            StoreError::BadDataFormat(b"secret".to_vec(), why()),
        ] {
            assert_eq!(system::failed(error), KeychainError::Damaged);
        }
    }

    #[test]
    fn an_account_with_several_items_is_ambiguous() {
        let error = system::failed(StoreError::Ambiguous(Vec::new()));
        assert_eq!(error, KeychainError::Ambiguous { count: 0 });
    }
}
