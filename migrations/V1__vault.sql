-- The vault's first schema. Times are milliseconds since the Unix epoch, UTC.
-- Plain columns are those a query filters or sorts by; everything else of a credential is sealed (docs/architecture.md).

-- Texts that repeat (kinds, ids, providers, agents), each once: events stay small and their indexes are integers.
CREATE TABLE terms (
    id   INTEGER PRIMARY KEY,
    text TEXT NOT NULL UNIQUE
) STRICT;

-- The vault itself, one row.
CREATE TABLE vault (
    only       INTEGER PRIMARY KEY CHECK (only = 1),
    vault_id   BLOB NOT NULL CHECK (length(vault_id) = 16),
    epoch      INTEGER NOT NULL CHECK (epoch >= 1),
    created_at INTEGER NOT NULL
) STRICT;

-- The audit and fingerprint keys, sealed under the data key. Old ones stay, to verify and to compare.
CREATE TABLE record_keys (
    purpose    TEXT NOT NULL CHECK (purpose IN ('audit', 'fingerprint')),
    number     INTEGER NOT NULL CHECK (number BETWEEN 1 AND 65535),
    created_at INTEGER NOT NULL,
    sealed     BLOB NOT NULL,
    PRIMARY KEY (purpose, number)
) STRICT, WITHOUT ROWID;

CREATE TABLE key_slots (
    slot        INTEGER PRIMARY KEY CHECK (slot BETWEEN 1 AND 16),
    kind        TEXT NOT NULL CHECK (kind IN ('keychain', 'keyfile', 'passphrase', 'recovery')),
    key_id      BLOB NOT NULL UNIQUE CHECK (length(key_id) = 8),
    check_value BLOB NOT NULL CHECK (length(check_value) = 16),
    kdf         TEXT,
    created_at  INTEGER NOT NULL,
    wrapped     BLOB NOT NULL,
    slot_key    BLOB NOT NULL
) STRICT;

-- `frame` is the store's top level without profiles and usage (order, last good, unknown fields, and how they all stand), and
-- the generation of every profile.
-- `revision` counts changes; an export that carries a lower one is behind.
CREATE TABLE agents (
    id         INTEGER PRIMARY KEY REFERENCES terms (id),
    revision   INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    frame      BLOB
) STRICT;

CREATE TABLE profiles (
    id         INTEGER PRIMARY KEY,
    agent      INTEGER NOT NULL REFERENCES agents (id),
    profile    INTEGER NOT NULL REFERENCES terms (id),
    position   INTEGER NOT NULL,
    provider   TEXT NOT NULL,
    type       TEXT NOT NULL CHECK (type IN ('api_key', 'token', 'oauth', 'unreadable')),
    owner      TEXT NOT NULL CHECK (owner IN ('vault', 'claude-code', 'codex-cli')),
    expires    INTEGER,
    generation INTEGER NOT NULL CHECK (generation >= 1),
    updated_at INTEGER NOT NULL,
    sealed     BLOB NOT NULL,
    UNIQUE (agent, profile)
) STRICT;

CREATE INDEX profiles_position ON profiles (agent, position);

-- What an update replaced: the newest 3 of a profile, none older than 30 days.
CREATE TABLE profile_versions (
    id          INTEGER PRIMARY KEY,
    agent       INTEGER NOT NULL REFERENCES agents (id),
    profile     INTEGER NOT NULL REFERENCES terms (id),
    provider    TEXT NOT NULL,
    type        TEXT NOT NULL,
    owner       TEXT NOT NULL,
    expires     INTEGER,
    generation  INTEGER NOT NULL,
    replaced_at INTEGER NOT NULL,
    sealed      BLOB NOT NULL
) STRICT;
CREATE INDEX profile_versions_of ON profile_versions (agent, profile, replaced_at);
CREATE INDEX profile_versions_age ON profile_versions (replaced_at);

-- `order[provider]` and `lastGood[provider]` of the store, the JSON value as it stands there: copies for queries. What counts
-- is in the agent's frame, and rows that differ from it are a finding.
CREATE TABLE provider_entries (
    agent    INTEGER NOT NULL REFERENCES agents (id),
    section  TEXT NOT NULL CHECK (section IN ('order', 'lastGood')),
    provider TEXT NOT NULL,
    position INTEGER NOT NULL,
    value    TEXT NOT NULL,
    PRIMARY KEY (agent, section, provider)
) STRICT, WITHOUT ROWID;

-- `usageStats[id]` of the store. The columns are copies for queries; the sealed entry is what counts.
CREATE TABLE usage (
    agent          INTEGER NOT NULL REFERENCES agents (id),
    profile        INTEGER NOT NULL REFERENCES terms (id),
    position       INTEGER NOT NULL,
    last_used      INTEGER,
    cooldown_until INTEGER,
    disabled_until INTEGER,
    error_count    INTEGER,
    sealed         BLOB NOT NULL,
    PRIMARY KEY (agent, profile)
) STRICT, WITHOUT ROWID;

CREATE TABLE session_pins (
    agent     INTEGER NOT NULL REFERENCES agents (id),
    session   TEXT NOT NULL,
    provider  TEXT NOT NULL,
    profile   INTEGER NOT NULL REFERENCES terms (id),
    pinned_at INTEGER NOT NULL,
    PRIMARY KEY (agent, session, provider)
) STRICT, WITHOUT ROWID;

-- One row a grant (the fingerprint of its refresh token): who may refresh it, and what became of it.
CREATE TABLE leases (
    grant_print BLOB PRIMARY KEY,
    state       TEXT NOT NULL CHECK (state IN ('free', 'held', 'uncertain', 'dead')),
    fence       INTEGER NOT NULL DEFAULT 0,
    holder      INTEGER REFERENCES actors (id),
    holder_pid  INTEGER,
    since       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- The store files written. `digest` and `snapshot` are of the bytes last known to be in the file. Agents whose stores are
-- links to one file each have a row: each learns of the others' changes as of any other program's.
CREATE TABLE exports (
    path       TEXT NOT NULL,
    agent      INTEGER NOT NULL REFERENCES agents (id),
    state      TEXT NOT NULL CHECK (state IN ('written', 'withheld')),
    revision   INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    digest     BLOB,
    snapshot   BLOB,
    PRIMARY KEY (path, agent)
) STRICT, WITHOUT ROWID;

CREATE TABLE actors (
    id      INTEGER PRIMARY KEY,
    program TEXT NOT NULL,
    uid     INTEGER NOT NULL,
    host    TEXT NOT NULL,
    parent  TEXT NOT NULL -- '' where the system does not tell
) STRICT;
CREATE UNIQUE INDEX actors_who ON actors (program, uid, host, parent);

-- The record. Every column goes into `mac`, which chains each event to all before it.
CREATE TABLE events (
    seq            INTEGER PRIMARY KEY,
    at             INTEGER NOT NULL,
    kind           INTEGER NOT NULL REFERENCES terms (id),
    outcome        INTEGER NOT NULL REFERENCES terms (id),
    origin         INTEGER NOT NULL REFERENCES terms (id),
    agent          INTEGER REFERENCES terms (id),
    profile        INTEGER REFERENCES terms (id),
    provider       INTEGER REFERENCES terms (id),
    actor          INTEGER NOT NULL REFERENCES actors (id),
    pid            INTEGER NOT NULL,
    session        INTEGER REFERENCES terms (id),
    generation     INTEGER,
    token_before   BLOB,
    token_after    BLOB,
    expires_before INTEGER,
    expires_after  INTEGER,
    detail         TEXT,
    mac            BLOB NOT NULL CHECK (length(mac) = 32)
) STRICT;
CREATE INDEX events_profile ON events (profile) WHERE profile IS NOT NULL;
CREATE INDEX events_provider ON events (provider) WHERE provider IS NOT NULL;
CREATE INDEX events_kind ON events (kind);
CREATE INDEX events_at ON events (at);
-- The newest change of a profile, which an opened secret's generation must match.
CREATE INDEX events_change ON events (agent, profile, generation) WHERE generation IS NOT NULL;

CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
-- INSERT OR REPLACE would delete without asking the trigger above.
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER terms_no_update BEFORE UPDATE ON terms
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER actors_no_update BEFORE UPDATE ON actors
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
