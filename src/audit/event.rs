//! What an event is.

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::domain::{Expiry, Fingerprint, Generation, Owner, ProfileId, Seq, UnixMs, named};

named! {
    parsed
    /// The kind of an event. Source: `spec/vault.md`, The audit record.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum EventKind {
        /// The vault was created, with its first key.
        VaultCreated = "vault.created",
        /// The rows of a vault of an earlier version were checked against the record, and listed.
        VaultUpgraded = "vault.upgraded",
        /// The vault was moved to another directory.
        VaultMoved = "vault.moved",
        /// What another vault of the same user held was imported, and that vault set aside.
        VaultMerged = "vault.merged",
        /// A profile came to be.
        ProfileCreated = "profile.created",
        /// A profile's credential was replaced.
        ProfileUpdated = "profile.updated",
        /// A profile was removed from an agent.
        ProfileRemoved = "profile.removed",
        /// An earlier version of a profile was put back.
        ProfileRestored = "profile.restored",
        /// A source's credential was imported.
        SyncApplied = "sync.applied",
        /// A source's credential was not imported, for a new reason.
        SyncSkipped = "sync.skipped",
        /// The logins of a file were imported.
        ImportApplied = "import.applied",
        /// Something in an imported file was left out.
        ImportDropped = "import.dropped",
        /// A store file was written.
        ExportWritten = "export.written",
        /// Another program's changes to a store file were merged.
        StoreMerged = "store.merged",
        /// A store file was damaged and set aside.
        StoreCorrupt = "store.corrupt",
        /// An order override was set.
        OrderSet = "order.set",
        /// An order override was removed.
        OrderCleared = "order.cleared",
        /// A session was pinned to a profile.
        SessionPinned = "session.pinned",
        /// A session was released from its pin.
        SessionUnpinned = "session.unpinned",
        /// A refresh token is about to be spent.
        RefreshStarted = "refresh.started",
        /// A refresh brought new tokens.
        RefreshSucceeded = "refresh.succeeded",
        /// A refresh brought no new token.
        RefreshFailed = "refresh.failed",
        /// A refresh ended without a word.
        RefreshInterrupted = "refresh.interrupted",
        /// A refresh's result came after a newer credential.
        RefreshSuperseded = "refresh.superseded",
        /// A program used a credential.
        CredentialUsed = "credential.used",
        /// A credential was sent to its provider to see whether it is accepted.
        CredentialProbed = "credential.probed",
        /// A credential was refused by its provider.
        CredentialFailed = "credential.failed",
        /// A candidate was passed over.
        CredentialPassedOver = "credential.passed_over",
        /// A refresh token was found to be another program's to redeem.
        CredentialBorrowed = "credential.borrowed",
        /// A cooldown of a profile began.
        CooldownSet = "cooldown.set",
        /// A cooldown of a profile was cleared.
        CooldownCleared = "cooldown.cleared",
        /// A credential's last day began.
        ExpiryExpiring = "expiry.expiring",
        /// A credential of a profile expired.
        ExpiryExpired = "expiry.expired",
        /// A token endpoint was confirmed.
        EndpointTrusted = "endpoint.trusted",
        /// A key slot was added.
        KeyAdded = "key.added",
        /// A key slot was removed.
        KeyRemoved = "key.removed",
        /// The data key was replaced.
        KeyRotated = "key.rotated",
        /// A backup of the vault was made.
        BackupCreated = "backup.created",
        /// A backup was put back.
        BackupRestored = "backup.restored",
        /// `doctor` repaired a problem it found.
        RepairMade = "repair.made",
        /// Old events were removed from the record.
        AuditPruned = "audit.pruned",
        /// An alert was delivered to a target.
        AlertSent = "alert.sent",
        /// An alert could not be delivered to a target.
        AlertFailed = "alert.failed",
    }
}

named! {
    parsed
    /// The outcome of an event.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    #[non_exhaustive]
    pub enum Outcome {
        /// The action succeeded as asked.
        Ok = "ok",
        /// The action failed or was refused.
        Failed = "failed",
        /// The action was deliberately not carried out.
        Skipped = "skipped",
    }
}

/// Where the change or the news came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Origin {
    /// A command of this program.
    Clawkeep,
    /// The mirrored login of that program, read from its file or keychain item; OpenClaw's store,
    /// read from its database.
    Source(Owner),
    /// The exported store, written by another program.
    StoreFile,
    /// A store of before `auth-profiles.json`.
    LegacyStore,
    /// A file that was named to be imported.
    ImportedFile,
    /// The clock: a time was reached.
    Clock,
}

impl Origin {
    /// All of them, in the order of the specification.
    pub fn all() -> impl Iterator<Item = Self> {
        let sources = Owner::mirrored().map(|(owner, _)| Self::Source(owner));
        let sources = sources.chain([Self::Source(Owner::OpenClaw)]);
        let others = [
            Self::StoreFile,
            Self::LegacyStore,
            Self::ImportedFile,
            Self::Clock,
        ];
        [Self::Clawkeep].into_iter().chain(sources).chain(others)
    }

    /// The name in the record and in what is printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clawkeep => "clawkeep",
            Self::Source(owner) => owner.as_str(),
            Self::StoreFile => "auth-profiles.json",
            Self::LegacyStore => "legacy",
            Self::ImportedFile => "import",
            Self::Clock => "clock",
        }
    }

    /// The one of that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().find(|origin| origin.as_str() == name)
    }
}

impl EventKind {
    /// Whether it records only that a credential was handed out, or was not chosen for that.
    #[must_use]
    pub(crate) fn is_use(self) -> bool {
        matches!(self, Self::CredentialUsed | Self::CredentialPassedOver)
    }
}

/// An event about to be recorded. The vault adds its place, time and actor.
#[derive(Clone, Debug)]
pub struct EventDraft {
    /// The kind of the event.
    pub kind: EventKind,
    /// The outcome of the event.
    pub outcome: Outcome,
    /// The origin of the change.
    pub origin: Origin,
    /// The profile that it concerns, if any.
    pub profile: Option<ProfileId>,
    /// Of which provider, as written in the store.
    pub provider: Option<String>,
    /// The session that it happened in, if any.
    pub session: Option<String>,
    /// The credential's generation after a change.
    pub generation: Option<Generation>,
    /// Fingerprints of the token before and after.
    pub token: (Option<Fingerprint>, Option<Fingerprint>),
    /// The expiries before and after the change.
    pub expires: (Option<Expiry>, Option<Expiry>),
    /// What else there is to say: values from closed lists, counts, ids, names of programs. Never
    /// anything secret.
    pub detail: Map<String, Value>,
}

impl EventDraft {
    /// An event that went as asked, about nothing in particular yet.
    #[must_use]
    pub fn new(kind: EventKind, origin: Origin) -> Self {
        Self {
            kind,
            outcome: Outcome::Ok,
            origin,
            profile: None,
            provider: None,
            session: None,
            generation: None,
            token: (None, None),
            expires: (None, None),
            detail: Map::new(),
        }
    }

    /// With one more thing to say.
    #[must_use]
    pub fn detail(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.detail.insert(key.to_owned(), value.into());
        self
    }

    /// Sets the outcome of the event.
    #[must_use]
    pub fn outcome(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// Sets the profile that the event concerns.
    #[must_use]
    pub fn profile(mut self, profile: &ProfileId, provider: &str) -> Self {
        self.profile = Some(profile.clone());
        self.provider = (!provider.is_empty()).then(|| provider.to_owned());
        self
    }
}

/// The program that acted, as recorded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventActor {
    /// The program's name, as it called itself.
    pub program: Arc<str>,
    /// The process id of the program.
    pub pid: i64,
    /// The effective user id of the program.
    pub uid: i64,
    /// The name of the host.
    pub host: Arc<str>,
    /// The name of the parent process.
    pub parent: Option<Arc<str>>,
}

/// An event as the record has it. Texts are as stored in the vault, which may be younger than this
/// program's lists; those that many events share are shared.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Event {
    /// Its place in the record.
    pub seq: Seq,
    /// The time of the event.
    pub at: UnixMs,
    /// The name of the event's kind.
    pub kind: Arc<str>,
    /// The name of the event's outcome.
    pub outcome: Arc<str>,
    /// The name of the event's origin.
    pub origin: Arc<str>,
    /// The agent that has the profile, if any.
    pub agent: Option<Arc<str>>,
    /// The profile that it concerns, if any.
    pub profile: Option<Arc<str>>,
    /// The provider of the profile, if any.
    pub provider: Option<Arc<str>>,
    /// The program that caused the event.
    pub actor: EventActor,
    /// The session that it happened in, if any.
    pub session: Option<Arc<str>>,
    /// The credential's generation after the change.
    pub generation: Option<i64>,
    /// The fingerprint of the token before.
    pub token_before: Option<Vec<u8>>,
    /// The fingerprint of the token after.
    pub token_after: Option<Vec<u8>>,
    /// The expiry before, in milliseconds since the epoch.
    pub expires_before: Option<i64>,
    /// The expiry after, in milliseconds since the epoch.
    pub expires_after: Option<i64>,
    /// A JSON object, as text.
    pub detail: Option<String>,
    /// The chain's MAC over it and everything before it.
    pub mac: [u8; 32],
}

const CANONICAL_VERSION: u8 = 1;
/// Stands for the length of an absent field; no field is that long.
const ABSENT: u32 = u32::MAX;

impl Event {
    /// The bytes that the chain's MAC covers: the format's version, then every field in a fixed
    /// order behind its length (big-endian, four bytes), so that no two events have the same bytes.
    #[must_use]
    pub fn canonical_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(320);
        self.write_canonical(&mut bytes);
        bytes
    }

    /// Appends the [`Event::canonical_bytes`] to `out`.
    pub(crate) fn write_canonical(&self, out: &mut Vec<u8>) {
        let mut out = Canonical(out);
        out.0.push(CANONICAL_VERSION);
        out.number(Some(self.seq.0));
        out.number(Some(self.at.0));
        out.text(Some(&self.kind));
        out.text(Some(&self.outcome));
        out.text(Some(&self.origin));
        out.text(self.agent.as_deref());
        out.text(self.profile.as_deref());
        out.text(self.provider.as_deref());
        out.text(Some(&self.actor.program));
        out.number(Some(self.actor.pid));
        out.number(Some(self.actor.uid));
        out.text(Some(&self.actor.host));
        out.text(self.actor.parent.as_deref());
        out.text(self.session.as_deref());
        out.number(self.generation);
        out.bytes(self.token_before.as_deref());
        out.bytes(self.token_after.as_deref());
        out.number(self.expires_before);
        out.number(self.expires_after);
        out.text(self.detail.as_deref());
    }
}

struct Canonical<'o>(&'o mut Vec<u8>);

impl Canonical<'_> {
    fn bytes(&mut self, field: Option<&[u8]>) {
        let Some(bytes) = field else {
            self.0.extend_from_slice(&ABSENT.to_be_bytes());
            return;
        };
        let len = u32::try_from(bytes.len()).unwrap_or(ABSENT - 1); // SQLite's own limit is 1 GB
        self.0.extend_from_slice(&len.to_be_bytes());
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, field: Option<&str>) {
        self.bytes(field.map(str::as_bytes));
    }

    fn number(&mut self, field: Option<i64>) {
        self.bytes(
            field
                .map(i64::to_be_bytes)
                .as_ref()
                .map(<[u8; 8]>::as_slice),
        );
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(crate) fn sample(seq: i64) -> Event {
        Event {
            seq: Seq(seq),
            at: UnixMs(1_700_000_000_000 + seq),
            kind: "sync.applied".into(),
            outcome: "ok".into(),
            origin: "claude-code".into(),
            agent: Some("main".into()),
            profile: Some("anthropic:claude-cli".into()),
            provider: Some("anthropic".into()),
            actor: EventActor {
                program: "clawkeep".into(),
                pid: 7,
                uid: 1000,
                host: "h".into(),
                parent: None,
            },
            session: None,
            generation: Some(1),
            token_before: None,
            token_after: Some(vec![0, 1, 2]),
            expires_before: None,
            expires_after: Some(5),
            detail: Some(r#"{"why":"absent"}"#.into()),
            mac: [0; 32],
        }
    }

    #[test]
    fn every_field_changes_the_bytes_and_absent_is_not_empty() {
        let base = sample(1);
        type Edit = fn(&mut Event);
        let edits: [Edit; 21] = [
            |e| e.seq = Seq(2),
            |e| e.at.0 += 1,
            |e| e.kind = "x".into(),
            |e| e.outcome = "failed".into(),
            |e| e.origin = "clock".into(),
            |e| e.agent = None,
            |e| e.profile = Some("".into()),
            |e| e.profile = None,
            |e| e.provider = None,
            |e| e.actor.program = "x".into(),
            |e| e.actor.pid = 8,
            |e| e.actor.uid = 0,
            |e| e.actor.host = "".into(),
            |e| e.actor.parent = Some("".into()),
            |e| e.session = Some("s".into()),
            |e| e.generation = None,
            |e| e.token_before = Some(vec![]),
            |e| e.token_after = None,
            |e| e.expires_before = Some(0),
            |e| e.expires_after = Some(6),
            |e| e.detail = None,
        ];
        let mut known = vec![base.canonical_bytes()];
        for edit in edits {
            let mut event = base.clone();
            edit(&mut event);
            let bytes = event.canonical_bytes();
            assert!(!known.contains(&bytes), "{event:?}");
            known.push(bytes);
        }
    }

    #[test]
    fn kind_names_are_unique_and_grouped() {
        for (i, kind) in EventKind::ALL.iter().enumerate() {
            assert_eq!(
                EventKind::ALL
                    .iter()
                    .position(|k| k.as_str() == kind.as_str()),
                Some(i)
            );
            assert_eq!(kind.as_str().matches('.').count(), 1);
        }
    }
}
