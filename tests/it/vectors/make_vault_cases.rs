//! Makes the vectors that are whole vaults: two good ones, and copies of them with one thing wrong
//! each. What the program and the reader say of each is written beside it, by hand.

#![allow(
    clippy::needless_pass_by_value,
    reason = "cases are written as JSON literals where they are handed over"
)]

use std::fs;

use clawkeep::internal::audit::EventKind;
use clawkeep::internal::domain::UnixMs;
use rusqlite::{Connection, params};
use serde_json::{Value, json};

use super::dir;
use super::make::write;
use super::make_vaults::{Earlier, Making, OPENAI, START, actor, alter, filled};

/// A good vault, of which cases are made.
struct Base {
    db: Vec<u8>,
    given: Value,
    head: String,
    slots: Value,
    events: i64,
    /// The refresh state of the login's token, as it is named.
    own_grant: String,
}

impl Base {
    fn of(mut making: Making) -> Self {
        making.vault.compact().unwrap();
        let (given, path) = (making.given(), making.path());
        let head = making.vault.head().unwrap().unwrap().to_string();
        let own_grant = making.vault.fingerprint("sk-test-refresh");
        drop(making.vault);
        let small = making.dir.path().join("small.db");
        let conn = Connection::open(&path).unwrap();
        conn.pragma_update(None, "journal_mode", "DELETE").unwrap();
        // these are committed: small pages for small tables
        conn.pragma_update(None, "page_size", 512).unwrap();
        conn.execute("VACUUM INTO ?1", [small.to_str().unwrap()])
            .unwrap();
        let count = |sql: &str| conn.query_row(sql, [], |row| row.get(0)).unwrap();
        let slots: i64 = count("SELECT count(*) FROM key_slots");
        let slots: Vec<i64> = (1..=slots).collect();
        Self {
            db: fs::read(small).unwrap(),
            given,
            head,
            slots: json!(slots),
            events: count("SELECT count(*) FROM events"),
            own_grant: format!("the refresh state of {own_grant}"),
        }
    }

    /// Writes a case: a copy with `harm` done to it, and what is said of it.
    fn case(
        &self,
        name: &str,
        about: &str,
        harm: impl FnOnce(&Connection),
        program: [(i64, &str); 3],
        reader: Value,
    ) {
        let file = format!("{name}.db");
        let path = dir().join("vaults").join(&file);
        fs::write(&path, &self.db).unwrap();
        alter(&path, harm);
        let said = |at: usize| json!({"exit": program[at].0, "says": program[at].1});
        let head = (name.ends_with("-with-head")).then_some(&self.head);
        let case = json!({"db": file, "given": self.given, "head": head, "profile": OPENAI,
            "program": {"status": said(0), "token": said(1), "verify": said(2)}, "reader": reader});
        write("vault", name, about, case);
    }

    fn opened(&self, unopened: &[&str], record: Value) -> Value {
        json!({"slots": self.slots, "unopened": unopened, "record": record})
    }

    fn holds(&self) -> Value {
        json!({"holds": self.events})
    }
}

const SHOWN: (i64, &str) = (0, "openai:default");
const TOKEN: (i64, &str) = (0, "sk-test-openai-2");
const HOLDS: (i64, &str) = (0, "The record holds");
const ROW: &str = "profile openai:default of agent main";
/// A row is refused by what needs it, and a credential that is named is handed out all the same.
const fn but_token(row: &'static str) -> [(i64, &'static str); 3] {
    [(65, row), TOKEN, (65, row)]
}

/// Where the row of a profile is.
const OF: &str = "WHERE profile = (SELECT id FROM terms WHERE text = ?1)";

#[test]
#[ignore = "writes tests/fixtures/vectors/vaults anew"]
fn make_vaults() {
    let _ = fs::remove_dir_all(dir().join("vaults"));
    fs::create_dir_all(dir().join("vaults")).unwrap();
    let (making, earlier) = filled();
    let base = Base::of(making);
    credentials(&base, &earlier);
    frames(&base, &earlier);
    rows(&base);
    listings(&base, &earlier);
    records(&base);
    keys(&base);
    containers(&base);
    rotated();
}

fn sql(text: &'static str) -> impl FnOnce(&Connection) {
    move |conn| conn.execute_batch(text).unwrap()
}

fn credentials(base: &Base, earlier: &Earlier) {
    base.case(
        "sound",
        "nothing is wrong with it",
        |_| (),
        [SHOWN, TOKEN, HOLDS],
        base.opened(&[], base.holds()),
    );
    let flip = |conn: &Connection| {
        let blob: Vec<u8> = conn
            .query_row(
                &format!("SELECT sealed FROM profiles {OF}"),
                [OPENAI],
                |row| row.get(0),
            )
            .unwrap();
        let mut blob = blob;
        blob[20] ^= 1;
        conn.execute(
            &format!("UPDATE profiles SET sealed = ?2 {OF}"),
            params![OPENAI, blob],
        )
        .unwrap();
    };
    // Verifying says that the record holds, and what else does not open.
    let refused = [(65, ROW); 3];
    let reader = || base.opened(&[ROW], base.holds());
    base.case(
        "profile-bit",
        "a bit of a credential is flipped",
        flip,
        refused,
        reader(),
    );
    let put_back = |conn: &Connection| {
        let set = format!("UPDATE profiles SET sealed = ?2, generation = ?3 {OF}");
        conn.execute(&set, params![OPENAI, earlier.row.0, earlier.row.1])
            .unwrap();
    };
    base.case(
        "profile-old-row",
        "the row of a credential as it was a generation before",
        put_back,
        refused,
        reader(),
    );
    let edits = [
        (
            "provider",
            "UPDATE profiles SET provider = 'anthropic' WHERE provider = 'openai'",
        ),
        (
            "type",
            "UPDATE profiles SET type = 'token' WHERE provider = 'openai'",
        ),
        (
            "owner",
            "UPDATE profiles SET owner = 'claude-code' WHERE provider = 'openai'",
        ),
        (
            "expiry",
            "UPDATE profiles SET expires = 4000000000000 WHERE provider = 'openai'",
        ),
        (
            "generation",
            "UPDATE profiles SET generation = 3 WHERE provider = 'openai'",
        ),
        (
            "position",
            "UPDATE profiles SET position = position + 5 WHERE provider = 'openai'",
        ),
        ("removed", "DELETE FROM profiles WHERE provider = 'openai'"),
    ];
    for (name, edit) in edits {
        let about = format!("the row of a credential is altered: {name}");
        base.case(
            &format!("profile-{name}"),
            &about,
            sql(edit),
            refused,
            reader(),
        );
    }
    let added = "INSERT INTO profiles (id, agent, profile, position, provider, type, owner, \
        expires, generation, updated_at, sealed) \
         SELECT 99, agent, (SELECT id FROM terms WHERE text = 'order.set'), 9, provider, type, \
         owner, expires, generation, updated_at, \
         sealed FROM profiles WHERE provider = 'openai'";
    let row = "profile order.set of agent main";
    base.case(
        "profile-added",
        "the row of a credential is copied under another profile",
        sql(added),
        but_token(row),
        base.opened(&[row], base.holds()),
    );
}

fn frames(base: &Base, earlier: &Earlier) {
    let row = "the frame of agent main";
    base.case(
        "frame-revision",
        "an agent's revision is altered",
        sql("UPDATE agents SET revision = revision + 1"),
        but_token(row),
        base.opened(&[row], base.holds()),
    );
    let old = |conn: &Connection| {
        let put = "UPDATE agents SET frame = ?1, revision = ?2";
        conn.execute(put, params![earlier.frame.0, earlier.frame.1])
            .unwrap();
    };
    base.case(
        "frame-old",
        "an agent's frame as it was before the order was last changed, with its revision",
        old,
        but_token(row),
        base.opened(&[row], base.holds()),
    );
}

/// Rows of which only the listings say that they are not as they were.
fn rows(base: &Base) {
    let case =
        |name: &str, about: &str, edit: &'static str, row: &str, program: [(i64, &str); 3]| {
            base.case(
                name,
                about,
                sql(edit),
                program,
                base.opened(&[row], base.holds()),
            );
        };
    // What neither of the other commands needs is found by who verifies.
    let verified = |row: &'static str| [SHOWN, TOKEN, (65, row)];
    let row = "the order of agent main";
    case(
        "order-copy",
        "the copy of the order differs from the frame",
        "UPDATE provider_entries SET value = '[]' WHERE section = 'order'",
        row,
        but_token(row),
    );
    let row = "usage of profile openai:default of agent main";
    case(
        "usage-bit",
        "a usage entry is cut",
        "UPDATE usage SET sealed = substr(sealed, 1, length(sealed) - 1)",
        row,
        but_token(row),
    );
    case(
        "usage-removed",
        "a usage entry is taken out",
        "DELETE FROM usage",
        row,
        but_token(row),
    );
    let row = "a version of profile openai:default of agent main";
    case(
        "version-removed",
        "what a change replaced is taken out",
        "DELETE FROM profile_versions",
        row,
        verified(row),
    );
    let row = "the pin of session s1 for openai of agent main";
    case(
        "pin-altered",
        "a session is pinned to another profile",
        "UPDATE session_pins SET profile = (SELECT id FROM terms WHERE text = 'anthropic:work')",
        row,
        but_token(row),
    );
    let row = "the export record of /nowhere/auth-profiles.json";
    case(
        "export-altered",
        "the revision that a store file was written at is altered",
        "UPDATE exports SET revision = revision + 1",
        row,
        verified(row),
    );
    let row = "the sync note of profile anthropic:work of agent main";
    case(
        "sync-note-planted",
        "a note why a login was not imported is put in",
        "INSERT INTO sync_skips SELECT agent, profile, 'why' FROM profiles WHERE provider = \
         'anthropic'",
        row,
        but_token(row),
    );
    let row = "a row of usage that belongs to no agent";
    case(
        "row-of-nobody",
        "a usage entry of an agent that is not there is put in",
        "INSERT INTO usage (agent, profile, position, sealed) SELECT 999, profile, 0, sealed FROM \
         usage",
        row,
        verified(row),
    );
    let row = "key slot 3";
    case(
        "slot-noise",
        "the time of a key slot is altered; it opens as before",
        "UPDATE key_slots SET created_at = created_at + 1 WHERE slot = 3",
        row,
        verified(row),
    );
    let row = "the refresh state of 1:0102030405060708";
    case(
        "grant-inserted",
        "the refresh state of a token that nobody knows is put in",
        "INSERT INTO grants (print, state, fence, since) VALUES (x'00010102030405060708', 'dead', \
         1, 0)",
        row,
        verified(row),
    );
    let row = "the refresh state of 1:0707070707070707";
    case(
        "grant-altered",
        "a refresh token that is dead is said to be good",
        "UPDATE grants SET state = 'free' WHERE state = 'dead'",
        row,
        verified(row),
    );
    case(
        "grant-removed",
        "the refresh state of a token that is dead is taken out",
        "DELETE FROM grants WHERE state = 'dead'",
        row,
        verified(row),
    );
    base.case(
        "grant-of-login-removed",
        "the refresh state of a login's token is taken out: the login is refused, other \
         credentials are not",
        sql("DELETE FROM grants WHERE state = 'free'"),
        [
            (
                65,
                "the refresh state of profile anthropic:work of agent main",
            ),
            TOKEN,
            (65, &base.own_grant),
        ],
        base.opened(&[&base.own_grant], base.holds()),
    );
}

fn listings(base: &Base, earlier: &Earlier) {
    base.case(
        "root-removed",
        "the root of the listings is taken out: the vault does not pass for one of an earlier \
         schema",
        sql("DELETE FROM listings WHERE owner = 0 AND part = 'root'"),
        [(65, "the audit key"); 3],
        json!({"error": "record-key"}),
    );
    base.case(
        "listings-removed",
        "all listings are taken out",
        sql("DELETE FROM listings"),
        [(65, "the audit key"); 3],
        json!({"error": "record-key"}),
    );
    let root = "the list of rows";
    let put_back = |conn: &Connection| {
        let put = "UPDATE listings SET sealed = ?1 WHERE owner = 0 AND part = 'root'";
        conn.execute(put, [&earlier.root.0]).unwrap();
    };
    base.case(
        "root-old",
        "the root of the listings as it was some events before",
        put_back,
        [(65, "its list of rows is not that of the last event"); 3],
        base.opened(&[root], base.holds()),
    );
    base.case(
        "listing-removed",
        "the list of refresh states is taken out",
        sql("DELETE FROM listings WHERE part = 'grants'"),
        [(65, "its list of grants was modified"); 3],
        base.opened(&["the list of grants"], base.holds()),
    );
    let frame = "the frame of agent main";
    base.case(
        "listing-of-agent-removed",
        "the list of an agent's usage entries is taken out, and they with it",
        sql("DELETE FROM listings WHERE part = 'usage'; DELETE FROM usage"),
        [(65, frame); 3],
        base.opened(&[frame], base.holds()),
    );
    let nobody = "a list of rows that belongs to nobody";
    base.case(
        "listing-of-nobody",
        "a list is copied to a place where there is none",
        sql("INSERT INTO listings SELECT 999, part, sealed FROM listings WHERE part = 'usage'"),
        [SHOWN, TOKEN, (65, nobody)],
        base.opened(&[nobody], base.holds()),
    );
}

fn records(base: &Base) {
    let case = |name: &str, about: &str, edit: &'static str, said: &str, record: Value| {
        base.case(
            name,
            about,
            sql(edit),
            [SHOWN, TOKEN, (65, said)],
            base.opened(&[], record),
        );
    };
    let fault = |kind: &str, seq: i64| json!({"error": kind, "seq": seq});
    let last = base.events;
    case(
        "event-altered",
        "an event's time is altered",
        "UPDATE events SET at = at + 1 WHERE seq = 3",
        "event 3 is not as",
        fault("altered", 3),
    );
    case(
        "event-removed",
        "an event is taken out",
        "DELETE FROM events WHERE seq = 6",
        "event 6 is missing",
        fault("missing", 6),
    );
    let term = "UPDATE terms SET text = 'order.cleared' WHERE text = 'order.set'";
    case(
        "event-text-altered",
        "a text that two events share is altered",
        term,
        "event 6 is not as",
        fault("altered", 6),
    );
    let cut = "DELETE FROM events WHERE seq = (SELECT max(seq) FROM events)";
    let root = "its list of rows is not that of the last event";
    base.case(
        "record-cut-off-with-head",
        "the last event is cut off, and a head was kept",
        sql(cut),
        [(65, root), (65, root), (65, "cut off")],
        base.opened(&["the list of rows"], fault("truncated", last)),
    );
    base.case(
        "record-cut-off",
        "the last event is cut off: without a head, the listings show it",
        sql(cut),
        [(65, root); 3],
        base.opened(&["the list of rows"], json!({"holds": last - 1})),
    );
    let series = "DELETE FROM series WHERE (subject, action) = (SELECT subject, action FROM \
        events WHERE seq = 4)";
    case(
        "event-hidden",
        "an event's series is taken out: queries do not find it",
        series,
        "cannot be found",
        fault("misfiled", 4),
    );
    case(
        "clock-step-planted",
        "a step of the clock that never was",
        "INSERT INTO clock_steps VALUES (4)",
        "cannot be found",
        fault("misfiled", last),
    );
}

fn keys(base: &Base) {
    let without = |gone: i64| {
        let left: Vec<i64> = (1..=4).filter(|slot| *slot != gone).collect();
        let row = format!("key slot {gone}");
        json!({"slots": left, "unopened": [row], "record": base.holds()})
    };
    let refused = |said: &'static str| [(77, said); 3];
    let wrapped = |conn: &Connection| {
        let read = "SELECT wrapped FROM key_slots WHERE slot = 1";
        let mut blob: Vec<u8> = conn.query_row(read, [], |row| row.get(0)).unwrap();
        blob[20] ^= 1;
        conn.execute("UPDATE key_slots SET wrapped = ?1 WHERE slot = 1", [blob])
            .unwrap();
    };
    base.case(
        "slot-altered",
        "the data key wrapped in the key file's slot is altered",
        wrapped,
        refused("does not open with its key"),
        without(1),
    );
    let check = "UPDATE key_slots SET check_value = zeroblob(16) WHERE slot = 1";
    base.case(
        "slot-check-altered",
        "the check value of the key file's slot is altered",
        sql(check),
        refused("is not this vault's"),
        without(1),
    );
    let kdf = "UPDATE key_slots SET kdf = replace(kdf, 'm=65536', 'm=8') WHERE slot = 2";
    base.case(
        "slot-kdf-weak",
        "the passphrase's slot asks for less memory than is taken; the key file opens",
        sql(kdf),
        [SHOWN, TOKEN, (65, "key slot 2")],
        without(2),
    );
    let kind = "UPDATE key_slots SET kind = 'recovery' WHERE slot = 1";
    base.case(
        "slot-kind",
        "the key file's slot is called one of a recovery code",
        sql(kind),
        refused("no passphrase was given"),
        without(1),
    );
    let no_key = || json!({"error": "no-key"});
    base.case(
        "epoch",
        "the vault's epoch is raised",
        sql("UPDATE identity SET epoch = epoch + 1"),
        refused("does not open with its key"),
        no_key(),
    );
    base.case(
        "vault-id",
        "the vault's id is altered",
        sql("UPDATE identity SET vault_id = zeroblob(16)"),
        refused("is not this vault's"),
        no_key(),
    );
    let swap = "UPDATE record_keys SET sealed = (SELECT sealed FROM record_keys WHERE purpose = \
        'fingerprint') WHERE purpose = 'audit'";
    let record_key = || json!({"error": "record-key"});
    base.case(
        "record-keys-swapped",
        "the fingerprint key in the audit key's place",
        sql(swap),
        [(65, "the audit key"); 3],
        record_key(),
    );
}

fn containers(base: &Base) {
    let sound = base.opened(&[], base.holds());
    let trigger = "CREATE TRIGGER planted BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END";
    base.case(
        "trigger-planted",
        "a trigger that swallows events; a reader that only reads is not misled",
        sql(trigger),
        [(65, "tables, indexes or triggers were changed"); 3],
        sound,
    );
    base.case(
        "application-id",
        "another application's database",
        sql("PRAGMA application_id = 1"),
        [(65, "is not a clawkeep vault"); 3],
        json!({"error": "foreign"}),
    );
    let newer = "UPDATE refinery_schema_history SET version = 99 WHERE version = 4";
    base.case(
        "newer-schema",
        "a schema that is not known",
        sql(newer),
        [(65, "has schema 99"); 3],
        json!({"error": "schema"}),
    );
}

/// A vault whose keys were rotated, then all renewed, and whose record was pruned.
fn rotated() {
    let (mut making, _) = filled();
    making.rotate();
    making.put(
        OPENAI,
        &json!({"type": "api_key", "provider": "openai", "key": "sk-test-openai-2",
        "note": "again"}),
        EventKind::ProfileUpdated,
    );
    let before = UnixMs::from_ms(START + 6 * 60_000);
    let clock = making.clock();
    making
        .vault
        .prune(before, None, &actor(), clock)
        .unwrap()
        .unwrap()
        .unwrap();
    let base = Base::of(making);
    base.case(
        "rotated-and-pruned",
        "rotated, all keys renewed, pruned; nothing is wrong with it",
        |_| (),
        [SHOWN, TOKEN, HOLDS],
        base.opened(&[], base.holds()),
    );
    base.case(
        "rotated-with-head",
        "the same, and a head was kept",
        |_| (),
        [SHOWN, TOKEN, HOLDS],
        base.opened(&[], base.holds()),
    );
    let newest = "DELETE FROM record_keys WHERE purpose = 'audit' AND number = 2";
    base.case(
        "rotated-newest-key-missing",
        "the newest audit key is taken out",
        sql(newest),
        [(65, "the audit key"); 3],
        json!({"error": "record-key"}),
    );
    let kept = "DELETE FROM events WHERE seq = (SELECT min(seq) FROM events)";
    base.case(
        "pruned-kept-removed",
        "an event that pruning kept is taken out",
        sql(kept),
        [SHOWN, TOKEN, (65, "kept when the record was pruned")],
        base.opened(&[], json!({"error": "kept-missing", "seq": null})),
    );
}
