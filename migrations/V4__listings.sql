-- Which rows there are, and a digest of each, sealed: rows that somebody without a key changes, removes, adds or puts back show.
-- The first unlock fills it, since a migration has no key (docs/file-format.md, Listings).
CREATE TABLE listings (
    -- An agent's number in `terms`, or 0 for what belongs to the vault itself.
    owner  INTEGER NOT NULL,
    part   TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (owner, part)
) STRICT, WITHOUT ROWID;

-- A process of an earlier version that still runs reads `vault` before each change: it must not write past the listings.
ALTER TABLE vault RENAME TO identity;

-- `grants_started` is not used any more: what may decide is read by key or with every row.
DROP INDEX grants_started;
