-- Grants: what a refresh token stands for, by its fingerprint. Who may refresh one is decided by a lock on a file; what became of it
-- stands here. Plain, as a copy for deciding: what counts as proof is the record.
-- `started`: a refresh of it was begun and has not ended; `uncertain`: it may be spent; `dead`: its provider refuses it;
-- `spent`: another refresh token took its place; `borrowed`: another program's to redeem, for good.

DROP TABLE leases;

CREATE TABLE grants (
    print      BLOB PRIMARY KEY CHECK (length(print) = 10),
    state      TEXT NOT NULL CHECK (state IN ('free', 'started', 'uncertain', 'dead', 'spent', 'borrowed')),
    -- Raised by every refresh that is begun: who began an earlier one may not end this one.
    fence      INTEGER NOT NULL CHECK (fence >= 0),
    -- How the last refresh failed, if it did: who waited for it need not try it again.
    failed     TEXT,
    -- Not to be asked for before, since its provider said so; milliseconds since the epoch.
    not_before INTEGER,
    -- Of a spent one: the grant that took its place.
    successor  BLOB,
    since      INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_started ON grants (state) WHERE state = 'started';
