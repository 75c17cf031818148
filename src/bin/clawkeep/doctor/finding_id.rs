//! The kinds of findings, each with its name and level.

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    /// Worth knowing; no action is needed.
    Note,
    /// Something may go wrong, or already went a little wrong.
    Warning,
    /// Something does not work, or a secret is open to others.
    Error,
}

impl Level {
    /// Returns the name in JSON.
    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! findings {
    ($($(#[$doc:meta])* $variant:ident = $name:literal, $level:ident;)*) => {
        /// The kinds of findings, in the order of the report.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub(crate) enum FindingId { $($(#[$doc])* $variant),* }

        impl FindingId {
            /// All kinds, in the order of the report.
            #[allow(dead_code, reason = "the tests try each")]
            pub(crate) const ALL: &[Self] = &[$(Self::$variant),*];

            /// The name in what is printed: the group, a dot, and what it is.
            #[must_use]
            pub(crate) fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $name),* }
            }

            /// Returns how serious the finding is.
            #[must_use]
            pub(crate) fn level(self) -> Level {
                match self { $(Self::$variant => Level::$level),* }
            }
        }
    };
}

findings! {
    /// The vault cannot be opened or made, or can only be read.
    VaultUnusable = "vault.unusable", Error;
    /// The vault's file is damaged.
    VaultDamaged = "vault.damaged", Error;
    /// Two vaults exist in the places where one may lie.
    VaultTwo = "vault.two", Error;
    /// The vault lies where OpenClaw moves it, or where it keeps OpenClaw from starting.
    VaultPlace = "vault.place", Warning;
    /// What lies where a vault may lie is none that can be opened.
    VaultStray = "vault.stray", Warning;
    /// A move of the vault left a file.
    VaultLeft = "vault.left", Warning;
    /// It lies on storage that another system may write.
    VaultShared = "vault.shared", Warning;
    /// A row of it does not open.
    VaultUnopened = "vault.unopened", Error;
    /// An event was altered, dropped, inserted or reordered, or the end cut off.
    RecordBroken = "record.broken", Error;
    /// What is kept as the record's head is no head.
    RecordHead = "record.head", Error;
    /// No head of the record is kept.
    RecordUnkept = "record.unkept", Note;
    /// The vault key is unavailable.
    KeysUnavailable = "keys.unavailable", Error;
    /// The vault has only one key slot.
    KeysSingle = "keys.single", Warning;
    /// The key file lies beside the vault.
    KeysBeside = "keys.beside", Warning;
    /// Others may change a file or directory that this program trusts.
    PermissionsWritable = "permissions.writable", Error;
    /// Others may read a secret in the clear.
    PermissionsSecret = "permissions.secret", Error;
    /// It belongs to another user.
    PermissionsOwner = "permissions.owner", Error;
    /// Other users can read a private file or directory.
    PermissionsReadable = "permissions.readable", Warning;
    /// Others may read or change another program's login.
    PermissionsLogin = "permissions.login", Warning;
    /// Others may read keys that another program keeps in plain text.
    PermissionsKeys = "permissions.keys", Warning;
    /// A store is damaged, and the vault has nothing to repair it from.
    StoreCorrupt = "store.corrupt", Error;
    /// A store cannot be read or locked.
    StoreUnusable = "store.unusable", Error;
    /// A store could not be written.
    StoreUnwritten = "store.unwritten", Error;
    /// A damaged store was set aside just now.
    StoreSetAside = "store.set-aside", Warning;
    /// What another program wrote into a store was merged just now.
    StoreMerged = "store.merged", Note;
    /// Another program wrote an old copy of a store just now; what commands changed since stays.
    StoreOldCopy = "store.old-copy", Warning;
    /// Another program keeps writing an old copy of a store, and the file is left as it is.
    StoreLeft = "store.left", Error;
    /// A profile that another program took out with others, and that can be restored.
    StoreVanished = "store.vanished", Warning;
    /// An entry that cannot be read: kept, exported, and not used.
    StoreEntry = "store.entry", Warning;
    /// The directory is OpenClaw's, a newer gateway's.
    StoreWithheld = "store.withheld", Note;
    /// A store in a directory of OpenClaw's makes that fail.
    StoreBesideOpenclaw = "store.beside-openclaw", Warning;
    /// OpenClaw keeps credentials of its own in a directory that is not in use here.
    StoreOpenclaw = "store.openclaw", Note;
    /// A store of before `auth-profiles.json` was imported just now.
    LegacyImported = "legacy.imported", Note;
    /// An `auth.json` beside the store.
    LegacyAuth = "legacy.auth", Note;
    /// The `oauth.json` that all agents once shared.
    LegacyOauth = "legacy.oauth", Note;
    /// A directory of a gateway that had one agent.
    LegacyAgent = "legacy.agent", Warning;
    /// Another program's login cannot be read or understood.
    SourceDamaged = "source.damaged", Warning;
    /// Another program's login, stored here, is logged out.
    SourceLoggedOut = "source.logged-out", Warning;
    /// Another program's login is there and cannot be used.
    SourceUnusable = "source.unusable", Warning;
    /// Another program is logged in with another account than the stored login, as far as known.
    SourceOtherAccount = "source.other-account", Warning;
    /// Another program's login differs from the stored one and expires earlier.
    SourceEarlier = "source.earlier", Warning;
    /// Another program's login expires in a few days: a person has to log in again.
    SourceLoginExpiring = "source.login-expiring", Warning;
    /// Another program has no login that could be imported: an API key, or one in the keyring.
    SourceNoLogin = "source.no-login", Note;
    /// Another program's login at a server expires soon, and only a person can extend it.
    SourceServerLogin = "source.server-login", Warning;
    /// A connected program asks clawkeep for a key that the vault does not have.
    SourceNoKey = "source.no-key", Warning;
    /// Several files of other programs have the same secret.
    SourceShared = "source.shared", Warning;
    /// A credential has expired, and nothing refreshes it.
    CredentialExpired = "credential.expired", Error;
    /// A login that its provider refuses to refresh.
    CredentialDead = "credential.dead", Error;
    /// A login whose refresh token was replaced by a newer one.
    CredentialSpent = "credential.spent", Error;
    /// A login whose refresh token may be spent.
    CredentialUncertain = "credential.uncertain", Warning;
    /// A login whose tokens the settings would send elsewhere than before.
    CredentialEndpoint = "credential.endpoint", Warning;
    /// A login whose expiry is unknown.
    CredentialMissing = "credential.missing", Error;
    /// A credential whose expiry cannot be used: seconds, text, decades ahead.
    CredentialExpiry = "credential.expiry", Warning;
    /// An entry without its secret.
    CredentialEmpty = "credential.empty", Error;
    /// An entry whose type, or the field of its secret, has another name than the one that is read.
    CredentialMisnamed = "credential.misnamed", Error;
    /// An entry whose secret cannot be sent: a line break inside, a placeholder.
    CredentialMalformed = "credential.malformed", Error;
    /// An entry that refers to a secret elsewhere.
    CredentialReference = "credential.reference", Note;
    /// A login that another program keeps and refreshes.
    CredentialBorrowed = "credential.borrowed", Note;
    /// A login has expired, and has not been refreshed.
    CredentialOverdue = "credential.overdue", Warning;
    /// A credential that expires within `expiring_within`.
    CredentialExpiring = "credential.expiring", Warning;
    /// A login expires within `expiring_within`, and is refreshed when it is used.
    CredentialDue = "credential.due", Note;
    /// A credential that the gateway has disabled.
    CredentialDisabled = "credential.disabled", Warning;
    /// A credential is in cooldown after failures.
    CredentialCooldown = "credential.cooldown", Note;
    /// A credential that no program has used for a long time.
    CredentialUnused = "credential.unused", Note;
    /// The configuration cannot be read.
    ConfigUnreadable = "config.unreadable", Error;
    /// This program's own settings cannot be read.
    ConfigSettings = "config.settings", Error;
    /// The configuration calls the login by the id it had before e-mail addresses were part of ids.
    ConfigLegacyDefault = "config.legacy-default", Warning;
    /// The configuration as it was before a repair.
    ConfigKept = "config.kept", Note;
    /// `auth.profiles` names a profile that no agent has.
    ConfigMissing = "config.missing", Warning;
    /// `auth.order` names a profile that no agent has.
    ConfigOrder = "config.order", Warning;
    /// The settings say something of an agent that is nowhere.
    ConfigAgent = "config.agent", Warning;
    /// An agent's own order names a profile that it does not have.
    StoreOrder = "order.missing", Warning;
    /// A plain copy of a store that others may read.
    FootprintOpen = "footprint.open", Error;
    /// A plain copy of a store.
    FootprintCopy = "footprint.copy", Warning;
    /// A store that is a file, although it is to be none.
    FootprintStore = "footprint.store", Warning;
    /// The copy of a store that should be in memory is on a disk.
    FootprintRuntime = "footprint.runtime", Warning;
    /// A temporary file that a killed process left.
    FootprintLeftover = "footprint.leftover", Warning;
    /// A plain secret in a Git work tree.
    FootprintGit = "footprint.git", Warning;
    /// A secret in a directory that is copied to other machines.
    FootprintSynced = "footprint.synced", Warning;
    /// The record's newest event is in the future.
    ClockRecord = "clock.record", Warning;
    /// A file's time is in the future.
    ClockFile = "clock.file", Warning;
    /// Claude Code's file was written after its login had expired.
    ClockLogin = "clock.login", Note;
    /// A store's lock was left by a process that is gone.
    LockStale = "lock.stale", Warning;
    /// What is at the path of a store's lock is no lock.
    LockUnusable = "lock.unusable", Error;
}

impl FindingId {
    /// Returns the group's name, the part before the dot.
    #[must_use]
    pub(crate) fn group(self) -> &'static str {
        self.as_str().split('.').next().unwrap_or_default()
    }
}
