#!/usr/bin/env python3
"""A reader of clawkeep vaults that shares no code with clawkeep: written from docs/file-format.md.

    python3 tests/vectors/read_vault.py tests/fixtures/vectors          run every vector
    python3 tests/vectors/read_vault.py VAULT --key-file FILE [...]     print what is in a vault, masked, and verify its record

Needs Python 3.9 and, from PyPI, `cryptography` and `argon2-cffi`.
"""

import argparse
import base64
import hashlib
import hmac
import json
import re
import sqlite3
import struct
import sys
import unicodedata
from pathlib import Path

from argon2.low_level import Type, hash_secret_raw
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

APPLICATION_ID = 0x636C6B70
SCHEMA = 4
BLANK = "\t\n\x0b\x0c\r \x85\xa0\u1680" + "".join(map(chr, range(0x2000, 0x200B))) + "\u2028\u2029\u202f\u205f\u3000"


class Refused(Exception):
    """What the document says is to be refused: a word, and where."""

    def __init__(self, word, **where):
        super().__init__(word)
        self.word = word
        self.where = where

    def __str__(self):
        where = ", ".join(f"{name} {value}" for name, value in self.where.items() if value is not None)
        return f"{self.word} ({where})" if where else self.word


# ---- Conventions, keys

def i64(number):
    return struct.pack(">q", number)


def derive(key, vault, label):
    """HKDF-SHA256 (RFC 5869) for 32 bytes, which are one block."""
    extracted = hmac.digest(vault, key, "sha256")
    return hmac.digest(extracted, label.encode() + b"\x01", "sha256")


def check_value(key, vault):
    return derive(key, vault, "clawkeep/1/check")[:16]


def parse_key_file(data):
    if len(data) > 4096:
        raise Refused("not-one")
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise Refused("not-one") from None
    lines = [line.strip(BLANK) for line in text.split("\n")]
    lines = [line for line in lines if line and not line.startswith("#")]
    found = re.fullmatch("CLAWKEEP-KEY-1[" + BLANK + "]*([0-9a-fA-F]{64})", lines[0]) if len(lines) == 1 else None
    if not found:
        raise Refused("not-one")
    return bytes.fromhex(found[1])


def parse_kdf(text):
    number = "(0|[1-9][0-9]{0,9})"
    found = re.fullmatch(rf"\$argon2id\$v=19\$m={number},t={number},p={number}\$([A-Za-z0-9+/]{{22}})", text or "")
    if not found:
        raise Refused("bad-parameters")
    m, t, p = (int(found[at]) for at in (1, 2, 3))
    salt = base64.b64decode(found[4] + "==")
    is_canonical = base64.b64encode(salt).decode().rstrip("=") == found[4]
    if not (is_canonical and len(salt) == 16 and 65536 <= m <= 1048576 and 3 <= t <= 16 and 1 <= p <= 16):
        raise Refused("bad-parameters")
    return m, t, p, salt


def passphrase_key(kdf, passphrase):
    m, t, p, salt = parse_kdf(kdf)
    secret = unicodedata.normalize("NFC", passphrase.strip(BLANK)).encode()
    return hash_secret_raw(secret, salt, time_cost=t, memory_cost=m, parallelism=p, hash_len=32, type=Type.ID, version=0x13)


SYMBOLS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U"


def parse_recovery(typed):
    meant = {"O": "0", "I": "1", "L": "1"}
    # Of letters only those of ASCII have two cases here.
    upper = [c.upper() if c.isascii() else c for c in typed if c not in BLANK and c != "-"]
    symbols = [meant.get(c, c) for c in upper]
    if not 55 <= len(symbols) <= 65:
        raise Refused("not-one")
    value = 0
    for n in range(13):
        group = symbols[5 * n : 5 * n + 5]
        digits = [SYMBOLS.find(c) if c in SYMBOLS[:32] else None for c in group[:4]]
        right = len(group) == 5 and None not in digits
        if right:
            v = 0
            for digit in digits:
                v = v * 32 + digit
            right = SYMBOLS[(n * 32**4 + v) % 37] == group[4]
        if not right:
            if len(symbols) in (55, 60):
                raise Refused("missing", group=n + 1)
            raise Refused("group", group=n + 1)
        value = (value << 20) | v
    if value & 15:
        raise Refused("group", group=13)
    return (value >> 4).to_bytes(32, "big")


# ---- Sealed blobs

def part(value):
    """One part of the AAD: a text, a number, bytes, or an optional number that is absent."""
    if value is None:
        data = b""
    elif isinstance(value, str):
        data = value.encode(errors="surrogateescape")
    elif isinstance(value, int):
        data = i64(value)
    else:
        data = value
    return struct.pack(">Q", len(data)) + data


def open_blob(key, vault, epoch, table, column, parts, blob):
    """What a blob opens to under an already derived key."""
    start = b"\x01" + struct.pack(">I", epoch)
    if len(blob) < 33 or blob[:5] != start:
        raise Refused("unopened")
    everything = ["clawkeep/seal", b"\x01", vault, table, column, *parts, struct.pack(">I", epoch)]
    try:
        return AESGCM(key).decrypt(blob[5:17], blob[17:], b"".join(map(part, everything)))
    except InvalidTag:
        raise Refused("unopened") from None


def slot_parts(slot):
    parts = [slot["slot"], slot["kind"]]
    return parts if slot["kdf"] is None else [*parts, slot["kdf"]]


def slot_key(slot, vault, given):
    """The key of a slot, from what is given for its kind."""
    kind = slot["kind"]
    if given.get(kind) is None:
        raise Refused("not-given")
    if kind == "keyfile":
        key = parse_key_file(given[kind])
    elif kind == "keychain":
        key = given[kind]
    elif kind == "passphrase":
        key = passphrase_key(slot["kdf"], given[kind])
    elif kind == "recovery":
        key = parse_recovery(given[kind])
    else:
        raise Refused("unknown-kind")
    if len(key) != 32 or not hmac.compare_digest(check_value(key, vault), slot["check"]):
        raise Refused("wrong-key")
    return key


def open_slot(slot, vault, epoch, given):
    """The data key behind a slot, and the slot's own key as the data key has it sealed."""
    key = slot_key(slot, vault, given)
    wrap = derive(key, vault, "clawkeep/1/wrap")
    try:
        data = open_blob(wrap, vault, epoch, "key_slots", "wrapped", slot_parts(slot), slot["wrapped"])
    except Refused:
        raise Refused("altered-slot") from None
    if len(data) != 32:
        raise Refused("altered-slot")
    seal = derive(data, vault, "clawkeep/1/seal")
    try:
        own = open_blob(seal, vault, epoch, "key_slots", "slot_key", slot_parts(slot), slot["slot_key"])
    except Refused:
        own = None
    if own != key:
        raise Refused("altered-slot-key")
    return data


def fingerprint(key, number, token):
    return struct.pack(">H", number) + hmac.digest(key, token.encode(), "sha256")[:8]


def fingerprint_text(data):
    return f"{struct.unpack('>H', data[:2])[0]}:{data[2:].hex()}"


# ---- The record

FIELDS = [
    "seq", "at", "kind", "outcome", "origin", "agent", "profile", "provider", "program", "pid", "uid", "host", "parent",
    "session", "generation", "token_before", "token_after", "expires_before", "expires_after", "detail",
]


def canonical(event):
    out = [b"\x01"]
    for name in FIELDS:
        value = event[name]
        if value is None:
            out.append(b"\xff\xff\xff\xff")
            continue
        data = i64(value) if isinstance(value, int) else value.encode(errors="surrogateescape") if isinstance(value, str) else value
        out.append(struct.pack(">I", len(data)) + data)
    return b"".join(out)


def event_mac(key, previous, event):
    return hmac.digest(key, previous + canonical(event), "sha256")


def parse_head(text):
    words = [word for word in re.split("[" + BLANK + "]+", text) if word]
    shapes = ["clawkeep-head-1", "[0-9a-f]{32}", "[+-]?[0-9]+", "[0-9a-f]{64}"]
    if len(words) != 4 or not all(map(re.fullmatch, shapes, words)) or not -(2**63) <= int(words[2]) < 2**63:
        raise Refused("not-one")
    return {"vault": bytes.fromhex(words[1]), "seq": int(words[2]), "mac": bytes.fromhex(words[3])}


class Chain:
    """The keys of a record: the first, and each later one with its first event."""

    def __init__(self, keys):
        self.keys = keys

    def at(self, seq):
        return [key for key, begins in self.keys if begins is None or begins <= seq][-1]

    @property
    def begins(self):
        return self.keys[-1][1] if len(self.keys) > 1 else None


def checkpoint_of(events):
    pruned = [event for event in events if event["kind"] == "audit.pruned"]
    if not pruned:
        return None
    detail = json.loads(pruned[-1]["detail"])
    return {**detail, "mac": bytes.fromhex(detail["mac"]), "keptMac": bytes.fromhex(detail["keptMac"])}


def check_kept(chain, checkpoint, kept):
    data = b"clawkeep-kept-1" + b"".join(i64(event["seq"]) + event["mac"] for event in kept)
    macs = [hmac.digest(key, data, "sha256") for key, _ in chain.keys]
    if len(kept) != checkpoint["kept"] or checkpoint["keptMac"] not in macs:
        raise Refused("kept-missing")


def verify(vault, chain, head, events, previous_macs, files=None):
    """Proves a record, oldest event first. `files` says whether an event is found by what queries go by."""
    if head and head["vault"] != vault:
        raise Refused("foreign-head")
    checkpoint = checkpoint_of(events)
    kept, last, seen, count, before = [], None, False, 0, None
    end, mac = (checkpoint["last"], checkpoint["mac"]) if checkpoint else (0, bytes(32))
    steps = 0
    for event in events:
        seq = event["seq"]
        if last is None and checkpoint and seq <= checkpoint["last"]:
            previous = previous_macs.get(seq)
            if previous is None or event_mac(chain.at(seq), previous, event) != event["mac"]:
                raise Refused("altered", seq=seq)
            kept.append(event)
        else:
            if last is None and checkpoint:
                check_kept(chain, checkpoint, kept)
            if seq > end + 1:
                raise Refused("missing", seq=end + 1)
            if seq != end + 1 or event_mac(chain.at(seq), mac, event) != event["mac"]:
                raise Refused("altered", seq=seq)
            last = end = seq
            mac = event["mac"]
        if head and head["seq"] == seq:
            if head["mac"] != event["mac"]:
                raise Refused("replaced", seq=seq)
            seen = True
        is_step = before is not None and event["at"] < before
        before, steps, count = event["at"], steps + is_step, count + 1
        if files and not files.has(event, is_step):
            raise Refused("misfiled", seq=seq)
    if last is None and checkpoint:
        check_kept(chain, checkpoint, kept)
    if head and head["seq"] > end:
        raise Refused("truncated", seq=end + 1)
    if head and checkpoint and head["seq"] == checkpoint["last"] and head["mac"] != checkpoint["mac"]:
        raise Refused("replaced", seq=head["seq"])
    if last is None:
        raise Refused("empty")
    if chain.begins is not None and chain.begins > last:
        raise Refused("truncated", seq=last + 1)
    if files and not files.are_whole(steps, len(kept)):
        raise Refused("misfiled", seq=last)
    is_pruned = head and checkpoint and head["seq"] < checkpoint["last"] and not seen
    return {"events": count, "last": last, "head": "none" if not head else "pruned" if is_pruned else "holds"}


# ---- A whole vault

class Files:
    def __init__(self, db):
        self.series = set(db.execute("SELECT subject, action FROM series"))
        self.steps = {seq for (seq,) in db.execute("SELECT seq FROM clock_steps")}
        self.kept = db.execute("SELECT count(*) FROM kept_events").fetchone()[0]
        self.subjects = list(db.execute("SELECT agent, profile FROM subjects"))
        self.actions = list(db.execute("SELECT kind, outcome, origin, provider, actor FROM actions"))

    def has(self, event, is_step):
        return event["series"] in self.series and (not is_step or event["seq"] in self.steps)

    def are_whole(self, steps, kept):
        same = [len(rows) == len(set(rows)) for rows in (self.subjects, self.actions)]
        return len(self.steps) == steps and self.kept == kept and all(same)


class Vault:
    def __init__(self, path):
        # What is not the main file alone has a log beside it, which SQLite reads.
        has_log = Path(f"{path}-wal").exists()
        self.db = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=ro{'' if has_log else '&immutable=1'}", uri=True)
        # A text that somebody altered may be no UTF-8: its bytes still have a digest.
        self.db.text_factory = lambda data: data.decode(errors="surrogateescape")
        try:
            if self.one("PRAGMA application_id") != APPLICATION_ID:
                raise Refused("foreign")
        except sqlite3.DatabaseError:
            raise Refused("foreign") from None
        version = self.one("SELECT max(version) FROM refinery_schema_history")
        if version != SCHEMA:
            raise Refused("schema", version=version)
        self.id, self.epoch = self.db.execute("SELECT vault_id, epoch FROM identity WHERE only = 1").fetchone()
        self.terms = dict(self.db.execute("SELECT id, text FROM terms"))

    def one(self, sql):
        return self.db.execute(sql).fetchone()[0]

    def rows(self, sql, *values):
        cursor = self.db.execute(sql, values)
        names = [column[0] for column in cursor.description]
        return [dict(zip(names, row)) for row in cursor]

    def slots(self):
        rows = self.rows("SELECT slot, kind, key_id, check_value AS 'check', kdf, wrapped, slot_key FROM key_slots ORDER BY slot")
        return rows

    def unlock(self, given):
        """Opens with whatever is given; says for each slot what came of it."""
        told = {}
        data = None
        for slot in self.slots():
            mine = {**given, "keychain": given.get("keychain", {}).get(f"{self.id.hex()}/{slot['key_id'].hex()}")}
            if slot["kind"] == "keyfile":
                mine["keyfile"] = None
                for file in given.get("keyfile", []):
                    try:
                        if check_value(parse_key_file(file), self.id) == slot["check"] or mine["keyfile"] is None:
                            mine["keyfile"] = file
                    except Refused as refused:
                        told[slot["slot"]] = (slot["kind"], refused.word)
            try:
                found = open_slot(slot, self.id, self.epoch, mine)
                told[slot["slot"]] = (slot["kind"], "opens")
                if data not in (None, found):
                    raise Refused("slots-differ")
                data = found
            except Refused as refused:
                if refused.word == "slots-differ":
                    raise
                told[slot["slot"]] = (slot["kind"], refused.word)
        self.told = told
        if data is None:
            raise Refused("no-key", slots=told)
        self.data = data
        self.seal = derive(data, self.id, "clawkeep/1/seal")
        self.stored = {(row["owner"], row["part"]): row["sealed"] for row in self.rows("SELECT * FROM listings")}
        self.is_listed = (0, "root") in self.stored
        self.chain = Chain(self.record_keys("audit"))
        self.prints = self.record_keys("fingerprint")
        if not self.is_listed:
            raise Refused("not-upgraded")

    def open(self, table, column, parts, blob):
        return open_blob(self.seal, self.id, self.epoch, table, column, parts, blob)

    def record_keys(self, purpose):
        rows = self.rows("SELECT number, sealed FROM record_keys WHERE purpose = ? ORDER BY number", purpose)
        if not rows:
            raise Refused("no-record-key", purpose=purpose)
        newest, keys, before = rows[-1]["number"], [], 0
        for row in rows:
            listed = ["listed"] if self.is_listed else []
            parts = [purpose, row["number"], *listed] + ([] if row["number"] == newest else [newest])
            try:
                plain = self.open("record_keys", "sealed", parts, row["sealed"])
            except Refused:
                raise Refused("record-key", purpose=purpose) from None
            if len(plain) not in (32, 40):
                raise Refused("record-key", purpose=purpose)
            begins = struct.unpack(">q", plain[32:])[0] if len(plain) == 40 else None
            if not keys:
                begins = None
            elif purpose == "audit":
                if begins is None or begins <= before:
                    raise Refused("record-key", purpose=purpose)
                before = begins
            keys.append((plain[:32], begins))
        return keys

    def text(self, number):
        return None if number is None else self.terms.get(number, "")

    def events(self):
        subjects = {row["id"]: row for row in self.rows("SELECT * FROM subjects")}
        actions = {row["id"]: row for row in self.rows("SELECT * FROM actions")}
        actors = {row["id"]: row for row in self.rows("SELECT * FROM actors")}
        events = []
        for event in self.rows("SELECT * FROM events ORDER BY seq"):
            subject = subjects.get(event["subject"], {"agent": None, "profile": None})
            action = actions.get(event["action"], {"kind": 0, "outcome": 0, "origin": 0, "provider": None, "actor": 0})
            actor = actors.get(action["actor"], {"program": "", "uid": 0, "host": "", "parent": ""})
            event["series"] = (event["subject"], event["action"])
            for name in ("agent", "profile"):
                event[name] = self.terms.get(subject[name])
            event["provider"] = self.terms.get(action["provider"])
            for name in ("kind", "outcome", "origin"):
                event[name] = self.text(action[name])
            event["session"] = self.text(event["session"])
            event.update(program=actor["program"], uid=actor["uid"], host=actor["host"], parent=actor["parent"] or None)
            events.append(event)
        return events

    def verify(self, head):
        previous = dict(self.db.execute("SELECT seq, previous_mac FROM kept_events"))
        return verify(self.id, self.chain, head, self.events(), previous, Files(self.db))

    def agents(self):
        """Each agent's document, its pins, and which sealed cells of its rows do not open."""
        return {self.text(row["id"]): self.agent(row) for row in self.rows("SELECT id, revision, frame FROM agents ORDER BY id")}

    def agent(self, row):
        name, unopened = self.text(row["id"]), []
        fields, pins = {"profiles": {}}, {}
        try:
            frame = json.loads(self.open("agents", "frame", [name, row["revision"]], row["frame"] or b""))
            fields, pins = frame[0], (frame[2] if len(frame) > 2 else {})
        except Refused:
            unopened.append(f"the frame of agent {name}")
        profiles = {}
        for profile in self.rows("SELECT * FROM profiles WHERE agent = ? ORDER BY position, id", row["id"]):
            id = self.text(profile["profile"])
            try:
                profiles[id] = json.loads(self.open("profiles", "sealed", credential_parts(name, id, profile), profile["sealed"]))
            except Refused:
                unopened.append(f"profile {id} of agent {name}")
        usage = {}
        for entry in self.rows("SELECT profile, sealed FROM usage WHERE agent = ? ORDER BY position", row["id"]):
            id = self.text(entry["profile"])
            try:
                usage[id] = json.loads(self.open("usage", "sealed", [name, id], entry["sealed"]))
            except Refused:
                unopened.append(f"usage of profile {id} of agent {name}")
        doc = {**fields, "profiles": profiles}
        if usage or isinstance(fields.get("usageStats"), dict):
            doc["usageStats"] = usage
        return doc, pins, unopened

    # ---- Listings

    def last_event(self):
        return self.db.execute("SELECT seq, mac FROM events ORDER BY seq DESC LIMIT 1").fetchone()

    def listing(self, owner, name, part):
        """A listing that is stored, opened: (digest, note) by the rows' keys."""
        parts = [name, part]
        if part == "root":
            parts += self.last_event() or ()
        plain = self.open("listings", "sealed", parts, self.stored[owner, part])
        entries, at = {}, 0
        while at < len(plain):
            key, at = take_text(plain, at)
            digest, at = plain[at : at + 16], at + 16
            note, at = take_text(plain, at)
            entries[key] = (digest, note)
        return entries

    def listings_note(self, owner):
        """The digest of an agent's own listings, which stands beside that of the agent's row."""
        mine = sorted((part, sealed) for (of, part), sealed in self.stored.items() if of == owner)
        return row_digest([value for pair in mine for value in pair]).hex()

    def rows_now(self, part, owner):
        """(digest, note) of the rows of a part as they are now, by their keys."""
        where = "" if part in OF_VAULT else " WHERE agent = ?"
        cursor = self.db.execute(f"SELECT * FROM {part}{where}", () if part in OF_VAULT else (owner,))
        names = [column[0] for column in cursor.description]
        now = {}
        for values in cursor:
            row = dict(zip(names, values))
            key, more = self.row_key(part, row)
            if key is None:
                continue
            digest = row_digest([*values, *more])
            note = self.listings_note(row["id"]) if part == "agents" else row["provider"] if part == "profiles" else ""
            # Two rows of one key: neither is the one that was listed.
            now[key] = (None, note) if key in now else (digest, note)
        return now

    def row_key(self, part, row):
        """A row's key among those of its part, and what else its digest is made of; no key where a name is missing."""
        name = {column: self.terms.get(row[column]) for column in ("agent", "profile", "id") if column in row}
        if part == "identity":
            return "", []
        if part == "record_keys":
            return f"{row['purpose']} {row['number']}", []
        if part == "key_slots":
            return str(row["slot"]), []
        if part == "grants":
            return row["print"].hex().upper(), []
        if part == "sync_skips":
            return None if None in (name["agent"], name["profile"]) else json_array(name["agent"], name["profile"]), []
        if part == "agents":
            return name["id"], []
        if part in ("profiles", "usage"):
            return name["profile"], []
        if part == "profile_versions":
            return None if name["profile"] is None else json_array(name["profile"], row["id"]), []
        if part == "provider_entries":
            return f"{row['section']} {row['provider']}", []
        if part == "session_pins":
            return None if name["profile"] is None else json_array(row["provider"], row["session"]), [name["profile"]]
        return row["path"], []

    def altered(self, owner, name, part):
        """The keys of the rows of a part that are not as they are listed."""
        listed = self.listing(owner, name, part) if (owner, part) in self.stored else {}
        now = self.rows_now(part, owner)
        return [describe(part, name, key) for key in listed.keys() | now.keys() if listed.get(key) != now.get(key)]

    def altered_rows(self):
        """Every row that is not as clawkeep left it; or the one list that is not."""
        try:
            root = self.listing(0, "", "root")
        except Refused:
            return ["the list of rows"]
        for part in OF_VAULT:
            stored = self.stored.get((0, part))
            if (stored and sha16(stored)) != root.get(part, (None,))[0]:
                return [f"the list of {part}"]
        altered = [row for part in OF_VAULT for row in self.altered(0, "", part)]
        agents = self.listing(0, "", "agents") if (0, "agents") in self.stored else {}
        ids = {text: id for id, text in self.terms.items()}
        there = {id for (id,) in self.db.execute("SELECT id FROM agents")}
        for name, (_, note) in agents.items():
            owner = ids.get(name)
            if owner in there and note == self.listings_note(owner):
                altered += [row for part in OF_AGENT for row in self.altered(owner, name, part)]
        altered += self.strays(root)
        altered += [f"key slot {slot['slot']}" for slot in self.slots() if not self.is_proved(slot)]
        return sorted(set(altered))

    def strays(self, root):
        """Rows that belong to nobody."""
        agents = {id for (id,) in self.db.execute("SELECT id FROM agents")}
        named = agents & self.terms.keys()
        for part in OF_AGENT:
            if {id for (id,) in self.db.execute(f"SELECT agent FROM {part}")} - named:
                yield f"a row of {part} that belongs to no agent"
        for part in ("profiles", "profile_versions", "usage", "session_pins", "sync_skips"):
            columns = "agent, profile" if part == "sync_skips" else "profile"
            of = {id for row in self.db.execute(f"SELECT {columns} FROM {part}") for id in row}
            if of - self.terms.keys():
                yield f"a row of {part} without a name"
        if agents - named:
            yield "a row of agents without a name"
        if any(part != "root" and part not in root if owner == 0 else owner not in named for owner, part in self.stored):
            yield "a list of rows that belongs to nobody"

    def is_proved(self, slot):
        """Whether a slot would open the vault, by its own key, which is sealed under the data key."""
        try:
            own = self.open("key_slots", "slot_key", slot_parts(slot), slot["slot_key"])
            wrap = derive(own, self.id, "clawkeep/1/wrap")
            data = open_blob(wrap, self.id, self.epoch, "key_slots", "wrapped", slot_parts(slot), slot["wrapped"])
            return data == self.data and check_value(own, self.id) == slot["check"]
        except Refused:
            return False

    def versions(self):
        for row in self.rows("SELECT * FROM profile_versions ORDER BY id"):
            agent, id = self.text(row["agent"]), self.text(row["profile"])
            try:
                entry = json.loads(self.open("profile_versions", "sealed", credential_parts(agent, id, row), row["sealed"]))
            except Refused:
                entry = None
            yield agent, id, row["generation"], entry

    def exports(self):
        key = derive(self.data, self.id, "clawkeep/1/export-digest")
        for row in self.rows("SELECT * FROM exports ORDER BY path"):
            agent = self.text(row["agent"])
            snapshot = None
            if row["snapshot"] is not None:
                snapshot = self.open("exports", "snapshot", [row["path"], agent], row["snapshot"])
            bytes_there = Path(row["path"]).read_bytes() if Path(row["path"]).is_file() else None
            is_same = bytes_there is not None and hmac.digest(key, bytes_there, "sha256") == row["digest"]
            yield row["path"], agent, snapshot, is_same


OF_VAULT = ["identity", "record_keys", "key_slots", "grants", "sync_skips", "agents"]
OF_AGENT = ["profiles", "profile_versions", "usage", "provider_entries", "session_pins", "exports"]


def sha16(data):
    return hashlib.sha256(data).digest()[:16]


def row_digest(values):
    """The digest of a row: of each column its type, its length, its bytes."""
    out = []
    for value in values:
        if value is None:
            kind, data = 0, b""
        elif isinstance(value, int):
            kind, data = 1, i64(value)
        elif isinstance(value, float):
            kind, data = 2, struct.pack(">d", value)
        elif isinstance(value, str):
            kind, data = 3, value.encode(errors="surrogateescape")
        else:
            kind, data = 4, value
        out.append(bytes([kind]) + struct.pack(">Q", len(data)) + data)
    return sha16(b"".join(out))


def take_text(data, at):
    (length,) = struct.unpack(">I", data[at : at + 4])
    return data[at + 4 :][:length].decode(), at + 4 + length


def json_array(*values):
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def describe(part, agent, key):
    """What a row is, in words."""
    if part == "identity":
        return "the identity of the vault"
    if part == "record_keys":
        return f'the record key "{key}"'
    if part == "key_slots":
        return f"key slot {key}"
    if part == "grants":
        return f"the refresh state of {int(key[:4], 16)}:{key[4:].lower()}"
    if part == "sync_skips":
        of, profile = json.loads(key)
        return f"the sync note of profile {profile} of agent {of}"
    if part == "agents":
        return f"the frame of agent {key}"
    if part == "profiles":
        return f"profile {key} of agent {agent}"
    if part == "profile_versions":
        return f"a version of profile {json.loads(key)[0]} of agent {agent}"
    if part == "usage":
        return f"usage of profile {key} of agent {agent}"
    if part == "provider_entries":
        return f"the {key.split(' ')[0]} of agent {agent}"
    if part == "session_pins":
        provider, session = json.loads(key)
        return f"the pin of session {session} for {provider} of agent {agent}"
    return f"the export record of {key}"


def credential_parts(agent, profile, row):
    return [row["id"], agent, profile, row["type"], row["provider"], row["owner"], row["expires"], row["generation"]]


def open_rescue(seal, vault, epoch, print_, data):
    """The fence and the tokens of a rescue file."""
    mark = b"clawkeep rescue 1\n"
    if not data.startswith(mark) or len(data) < len(mark) + 12:
        raise Refused("not-whole")
    fence, length = struct.unpack(">qI", data[len(mark) : len(mark) + 12])
    blob = data[len(mark) + 12 :][:length]
    if len(blob) < length:
        raise Refused("not-whole")
    return fence, open_blob(seal, vault, epoch, "rescue", "tokens", [print_, fence], blob)


# ---- The vectors

def hexed(value):
    return None if value is None else bytes.fromhex(value)


def event_from(case):
    event = {re.sub("[A-Z]", lambda upper: "_" + upper[0].lower(), name): value for name, value in case.items()}
    for name in ("token_before", "token_after", "mac"):
        event[name] = hexed(event.get(name))
    return event


def slot_from(case):
    slot = {name: case[name] for name in ("slot", "kind", "kdf")}
    return {**slot, "check": hexed(case["check"]), "wrapped": hexed(case["wrapped"]), "slot_key": hexed(case["slotKey"])}


def given_from(case):
    given = dict(case)
    if "keyfile" in given:
        given["keyfile"] = given["keyfile"].encode()
    if "keychain" in given:
        given["keychain"] = hexed(given["keychain"])
    return given


def run_sealed(case):
    parts = [hexed(value) if kind == "bytes" else value for one in case["parts"] for kind, value in one.items()]
    key = derive(hexed(case["key"]), hexed(case["vault"]), case["label"])
    plain = open_blob(key, hexed(case["vault"]), case["epoch"], case["table"], case["column"], parts, hexed(case["blob"]))
    return {"plain": plain.hex()}


def run_slot(case):
    data = open_slot(slot_from(case["slot"]), hexed(case["vault"]), case["epoch"], given_from(case["given"]))
    return {"dataKey": data.hex()}


def run_recovery(case):
    return {"key": parse_recovery(case["code"]).hex()}


def run_keyfile(case):
    return {"key": parse_key_file(hexed(case["bytes"])).hex()}


def run_event(case):
    event = event_from(case["event"])
    previous = hexed(case["previous"]) or bytes(32)
    return {"canonical": canonical(event).hex(), "mac": event_mac(hexed(case["auditKey"]), previous, event).hex()}


def run_chain(case):
    chain = Chain([(hexed(key["key"]), key["begins"]) for key in case["auditKeys"]])
    head = parse_head(case["head"]) if case["head"] else None
    events = [event_from(event) for event in case["events"]]
    previous = {kept["seq"]: hexed(kept["previousMac"]) for kept in case["kept"]}
    return verify(hexed(case["vault"]), chain, head, events, previous)


def run_head(case):
    head = parse_head(case["text"])
    return {"vault": head["vault"].hex(), "seq": head["seq"], "mac": head["mac"].hex()}


def run_fingerprint(case):
    data = fingerprint(hexed(case["key"]), case["number"], case["token"])
    return {"bytes": data.hex(), "text": fingerprint_text(data)}


def run_digest(case):
    key = derive(hexed(case["dataKey"]), hexed(case["vault"]), "clawkeep/1/export-digest")
    return {"digest": hmac.digest(key, hexed(case["bytes"]), "sha256").hex()}


def run_rescue(case):
    seal = derive(hexed(case["dataKey"]), hexed(case["vault"]), "clawkeep/1/seal")
    fence, plain = open_rescue(seal, hexed(case["vault"]), case["epoch"], hexed(case["print"]), hexed(case["bytes"]))
    return {"fence": fence, "tokens": json.loads(plain)}


def run_vault(case, folder):
    vault = Vault(folder / case["db"])
    given = {name: case["given"][name] for name in ("passphrase", "recovery") if name in case["given"]}
    given["keyfile"] = [(folder / name).read_bytes() for name in case["given"].get("keyfiles", [])]
    given["keychain"] = {account: hexed(value) for account, value in case["given"].get("keychain", {}).items()}
    vault.unlock(given)
    # A row that is as it is listed and does not open was found damaged when an older vault was upgraded.
    unopened = sorted({*vault.altered_rows(), *(row for _, _, rows in vault.agents().values() for row in rows)})
    try:
        head = parse_head(case["head"]) if case["head"] else None
        record = {"holds": vault.verify(head)["events"]}
    except Refused as refused:
        record = {"error": refused.word, "seq": refused.where.get("seq")}
    opened = sorted(slot for slot, (_, said) in vault.told.items() if said == "opens")
    return {"slots": opened, "unopened": unopened, "record": record}


def outcome(run, *args):
    try:
        return run(*args)
    except Refused as refused:
        where = {name: value for name, value in refused.where.items() if name in ("seq", "group")}
        return {"error": refused.word, **where}


def run_vectors(folder):
    counts, failed = {}, 0
    for path in sorted(folder.glob("*/*.json")):
        case = json.loads(path.read_text())
        kind = case["kind"]
        if kind != path.parent.name.removesuffix("s") and kind != path.parent.name:
            raise SystemExit(f"{path}: of kind {kind}")
        runs = {"vault": lambda case: run_vault(case, path.parent)}
        got = outcome(runs.get(kind) or globals()[f"run_{kind}"], case)
        want = case["expect"] if kind != "vault" else case["reader"]
        counts[kind] = counts.get(kind, 0) + 1
        if got != want:
            failed += 1
            print(f"{path}: {case['about']}\n  want {want}\n  got  {got}")
    total = sum(counts.values())
    print(", ".join(f"{kind} {count}" for kind, count in sorted(counts.items())))
    print(f"{total} vectors, {failed} wrong")
    return 1 if failed or not total else 0


# ---- Printing a vault

def masked(value, name=""):
    """A JSON value without what is secret: only what is known to be none is shown."""
    shown = ("type", "provider", "expires", "version", "lastUsed", "cooldownUntil", "disabledUntil", "errorCount")
    if isinstance(value, dict):
        return {key: masked(inner, key) for key, inner in value.items()}
    if isinstance(value, str) and name not in shown:
        return f"… ({len(value)} characters)"
    if isinstance(value, list):
        return [masked(inner) for inner in value]
    return value


def print_vault(args):
    vault = Vault(args.path)
    given = {"keyfile": [Path(path).read_bytes() for path in args.key_file], "keychain": {}}
    if args.passphrase_file:
        given["passphrase"] = Path(args.passphrase_file).read_text()
    if args.recovery_file:
        given["recovery"] = Path(args.recovery_file).read_text()
    for item in args.keychain:
        account, value = item.split("=", 1)
        given["keychain"][account] = Path(value).read_bytes()
    print(f"Vault {vault.id.hex()}, schema {SCHEMA}, data key {vault.epoch}")
    try:
        vault.unlock(given)
    finally:
        for slot, (kind, said) in sorted(getattr(vault, "told", {}).items()):
            print(f"  slot {slot}  {kind:<10}  {said}")
    print(f"  audit keys: {len(vault.chain.keys)}" + "".join(f", from event {begins}" for _, begins in vault.chain.keys if begins))
    altered = vault.altered_rows()
    for row in altered:
        print(f"NOT AS CLAWKEEP LEFT IT: {row}")
    bad = len(altered)
    for agent, (doc, pins, unopened) in vault.agents().items():
        print(f"Agent {agent}")
        for id, entry in doc.get("profiles", {}).items():
            print(f"  profile {id}: {json.dumps(masked(entry), ensure_ascii=False)}")
        rest = {key: value for key, value in doc.items() if key != "profiles"}
        print(f"  else: {json.dumps(masked(rest), ensure_ascii=False)}; pins: {len(pins)}")
        for row in unopened:
            print(f"  DOES NOT OPEN: {row}")
            bad += 1
    for agent, id, generation, entry in vault.versions():
        said = "does not open" if entry is None else json.dumps(masked(entry), ensure_ascii=False)
        print(f"Version {generation} of {id} of {agent}: {said}")
        bad += entry is None
    for path, agent, snapshot, is_same in vault.exports():
        said = "is the file there" if is_same else "is not the file there"
        print(f"Export {path} of {agent}: {said}" + ("" if snapshot is None else f"; snapshot of {len(snapshot)} bytes"))
    events = vault.events()
    checkpoint = checkpoint_of(events)
    if checkpoint:
        print(f"Pruned up to event {checkpoint['last']}: {checkpoint['removed']} removed, {checkpoint['kept']} kept")
    head = parse_head(Path(args.head).read_text()) if args.head else None
    try:
        found = vault.verify(head)
        print(f"The record holds: {found['events']} events, the last is {found['last']}; head: {found['head']}")
    except Refused as refused:
        print(f"THE RECORD DOES NOT HOLD: {refused}")
        bad += 1
    return 1 if bad else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("path", help="a folder of vectors, or a vault")
    parser.add_argument("--key-file", action="append", default=[])
    parser.add_argument("--passphrase-file")
    parser.add_argument("--recovery-file")
    parser.add_argument("--keychain", action="append", default=[], metavar="ACCOUNT=FILE", help="a file with the item's 32 bytes")
    parser.add_argument("--head", help="a head that was kept")
    args = parser.parse_args()
    if Path(args.path).is_dir():
        return run_vectors(Path(args.path))
    try:
        return print_vault(args)
    except Refused as refused:
        print(f"REFUSED: {refused}")
        return 1


if __name__ == "__main__":
    sys.exit(main())
