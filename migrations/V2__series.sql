-- The record, arranged to be asked. What many events share stands once: whom they are about (`subjects`), what was done and by
-- whom (`actions`). A pair of both is a series, as in a time-series database: a filter is resolved to the few series that match
-- it, and one index finds the events of a series, newest or oldest first. No text and no MAC changes.

CREATE TABLE subjects (
    id      INTEGER PRIMARY KEY,
    agent   INTEGER REFERENCES terms (id),
    profile INTEGER REFERENCES terms (id)
) STRICT;
-- Each once: what is newest of a subject must not hide behind a second one. NULLs would not be equal.
CREATE UNIQUE INDEX subjects_once ON subjects (coalesce(profile, 0), coalesce(agent, 0));
CREATE INDEX subjects_profile ON subjects (profile, agent);
CREATE INDEX subjects_agent ON subjects (agent, profile);

CREATE TABLE actions (
    id       INTEGER PRIMARY KEY,
    kind     INTEGER NOT NULL REFERENCES terms (id),
    outcome  INTEGER NOT NULL REFERENCES terms (id),
    origin   INTEGER NOT NULL REFERENCES terms (id),
    provider INTEGER REFERENCES terms (id),
    actor    INTEGER NOT NULL REFERENCES actors (id)
) STRICT;
CREATE UNIQUE INDEX actions_once ON actions (kind, outcome, origin, coalesce(provider, 0), actor);
CREATE INDEX actions_what ON actions (kind, outcome, origin, provider, actor);
CREATE INDEX actions_provider ON actions (provider);
CREATE INDEX actions_origin ON actions (origin);
CREATE INDEX actions_outcome ON actions (outcome);

CREATE TABLE series (
    subject INTEGER NOT NULL REFERENCES subjects (id),
    action  INTEGER NOT NULL REFERENCES actions (id),
    PRIMARY KEY (subject, action)
) STRICT, WITHOUT ROWID;
CREATE INDEX series_action ON series (action, subject);

-- Events whose time is before that of the event they follow: the clock had been set back. Between two of them times only grow,
-- so a time is found by bisection, without an index of its own. Verifying compares this with the events.
CREATE TABLE clock_steps (
    seq INTEGER PRIMARY KEY
) STRICT;

-- Events that outlived pruning (the newest change of each profile), with the MAC of the event that was before each: what its own
-- MAC is checked with.
CREATE TABLE kept_events (
    seq          INTEGER PRIMARY KEY,
    previous_mac BLOB NOT NULL CHECK (length(previous_mac) = 32)
) STRICT;

INSERT INTO subjects (agent, profile)
    SELECT DISTINCT agent, profile FROM events ORDER BY 1, 2;
INSERT INTO actions (kind, outcome, origin, provider, actor)
    SELECT DISTINCT kind, outcome, origin, provider, actor FROM events ORDER BY 1, 2, 3, 4, 5;

-- Every column but `subject` and `action` is in `mac` as it stands; of those two, the texts are.
CREATE TABLE recorded (
    seq            INTEGER PRIMARY KEY,
    at             INTEGER NOT NULL,
    subject        INTEGER NOT NULL,
    action         INTEGER NOT NULL,
    pid            INTEGER NOT NULL,
    session        INTEGER REFERENCES terms (id),
    generation     INTEGER,
    token_before   BLOB,
    token_after    BLOB,
    expires_before INTEGER,
    expires_after  INTEGER,
    detail         TEXT,
    mac            BLOB NOT NULL CHECK (length(mac) = 32),
    FOREIGN KEY (subject, action) REFERENCES series (subject, action)
) STRICT;

INSERT INTO series (subject, action)
    SELECT DISTINCT s.id, a.id FROM events e
    JOIN subjects s ON s.profile IS e.profile AND s.agent IS e.agent
    JOIN actions a ON a.kind = e.kind AND a.outcome = e.outcome AND a.origin = e.origin
        AND a.provider IS e.provider AND a.actor = e.actor;
INSERT INTO recorded
    SELECT e.seq, e.at, s.id, a.id, e.pid, e.session, e.generation, e.token_before, e.token_after, e.expires_before,
           e.expires_after, e.detail, e.mac
    FROM events e
    JOIN subjects s ON s.profile IS e.profile AND s.agent IS e.agent
    JOIN actions a ON a.kind = e.kind AND a.outcome = e.outcome AND a.origin = e.origin
        AND a.provider IS e.provider AND a.actor = e.actor
    ORDER BY e.seq;
INSERT INTO clock_steps (seq)
    SELECT seq FROM (SELECT seq, at, lag(at) OVER (ORDER BY seq) AS before FROM events) WHERE at < before;

DROP TABLE events;
ALTER TABLE recorded RENAME TO events;

CREATE INDEX events_series ON events (subject, action);
-- The newest change of a profile, which an opened secret's generation must match.
CREATE INDEX events_change ON events (subject, generation) WHERE generation IS NOT NULL;

CREATE TRIGGER events_no_update BEFORE UPDATE ON events
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER events_no_delete BEFORE DELETE ON events
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
-- INSERT OR REPLACE would delete without asking the trigger above.
CREATE TRIGGER events_no_replace BEFORE INSERT ON events
WHEN EXISTS (SELECT 1 FROM events WHERE seq = NEW.seq)
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER subjects_no_update BEFORE UPDATE ON subjects
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER actions_no_update BEFORE UPDATE ON actions
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;

-- How far the record knows of a profile's end: 0 not at all, 1 that its last day began, 2 that it ended. Every change of the
-- profile begins anew. A copy for not recording twice, without a seal: what counts is the record.
ALTER TABLE profiles ADD COLUMN expiry_noted INTEGER NOT NULL DEFAULT 0 CHECK (expiry_noted IN (0, 1, 2));

-- Profiles whose source's login was last not taken over, and why: a copy for not recording the same reason twice.
CREATE TABLE sync_skips (
    agent   INTEGER NOT NULL REFERENCES terms (id),
    profile INTEGER NOT NULL REFERENCES terms (id),
    why     TEXT NOT NULL,
    PRIMARY KEY (agent, profile)
) STRICT, WITHOUT ROWID;
