//! The first unlock of a vault of before schema 4: its rows are checked against the record, made to
//! agree with it, and listed.
//!
//! The migration has no key, and what stands in plain columns of an earlier schema proves nothing.
//! What the record or a seal proves is kept. What neither proves is set to the value that can do no
//! harm, and the event says how much that was.

use std::collections::BTreeSet;

use rusqlite::params;
use serde_json::{Map, Value};

use super::error::{Context, VaultError};
use super::keys::slots;
use super::record::verify;
use super::sealing::{cells, listing};
use super::tx::Tx;
use crate::audit::{EventDraft, EventKind, Head, Origin};
use crate::crypto::constant_time_eq;
use crate::domain::{AgentName, Section, StoreDoc, UnixMs};
use crate::platform::{Actor, Clock, Resident};
use crate::vault::file::vault::has_abandoned;
use crate::vault::keys::sources::Upgrade;
use crate::vault::keys::unlocked::UnlockedVault;
use crate::vault::record::states::RecordSays;
use crate::vault::sealing::frame::{Frame, assemble, usage_aad};
use crate::vault::sealing::listing::{Digest, Entry, Part, ROOT, VAULT};
use crate::vault::sealing::plain::Plain;
use crate::vault::sealing::ring::{AUDIT, FINGERPRINT, Keys, RecordKey, put_record_key};
use crate::vault::sealing::seal_json::open_json;
use crate::vault::store::changed_rows::Listed;
use crate::vault::store::proof::Altered;

#[derive(Default)]
struct Found {
    /// Rows that are not good: listed as something that no row is, so every reader finds them.
    altered: Vec<Altered>,
    /// Agents whose credentials were put in the order in which the record names them.
    reordered: Vec<String>,
    /// Plain rows that the record does not bear out.
    dropped: usize,
}

impl Found {
    fn add(&mut self, part: Part, agent: &str, key: &str, listed: Option<Entry>) {
        self.altered.push(Altered {
            part,
            agent: agent.to_owned(),
            key: key.to_owned(),
            listed,
        });
    }

    /// A row that should be there, as something that no row is.
    fn add_lost(&mut self, part: Part, agent: &str, key: &str, note: String) {
        let digest = Digest::default();
        self.add(part, agent, key, Some(Entry { digest, note }));
    }
}

impl UnlockedVault {
    /// Lists the rows of a vault that an earlier version made, if that was not done yet.
    ///
    /// # Errors
    /// [`VaultError::Damaged`] when its record does not hold, ends before the head that is kept
    /// elsewhere, or knows that the rows were listed once: then the file was put back, or modified
    /// outside clawkeep. Nothing is changed then.
    pub(super) fn upgraded(mut self, upgrade: &Upgrade<'_>) -> Result<Self, VaultError> {
        if self.keys.is_listed {
            return Ok(self);
        }
        let id = self.id;
        let head = upgrade.kept_head.and_then(|kept| kept(id));
        let this = Actor::current("clawkeep");
        self.upgrade_rows(upgrade.by.unwrap_or((&this, Clock::System)), head)?;
        // Another process may have done it.
        let data = self.keys.data.clone();
        let known = (id, self.vault.epoch);
        let keys = Keys::load(&self.vault.conn, &self.vault.path, known, data)?;
        self.keys = Resident::new(keys);
        Ok(self)
    }

    /// Nothing where another process has done it.
    fn upgrade_rows(
        &mut self,
        (actor, clock): (&Actor, Clock),
        head: Option<Head>,
    ) -> Result<(), VaultError> {
        let id = self.id;
        let mut tx = self.begin_with(Listed::AnewBut(Vec::new()), actor, clock)?;
        if listing::stored(&tx.tx, VAULT, ROOT)
            .at(tx.path, "read")?
            .is_some()
        {
            return Ok(());
        }
        // A restore may have gone on from an earlier event. Its own statement is proved too.
        let is_abandoned = |head: &Head| has_abandoned(&tx.tx, id, head).unwrap_or(false);
        let head = head.filter(|head| !is_abandoned(head));
        let checked = verify::verify(&tx.tx, (id, &tx.keys.chain), head);
        if let Err(fault) = checked.at(tx.path, "read")? {
            return Err(tx.refuse_upgrade(&format!("its audit record does not verify: {fault}")));
        }
        let record = RecordSays::read(&tx.tx).at(tx.path, "read")?;
        if record.was_upgraded {
            let why = "its record says that it was brought to the present version before";
            return Err(tx.refuse_upgrade(why));
        }
        tx.upgrade(&record)?;
        tx.commit()
    }
}

impl Tx<'_> {
    fn refuse_upgrade(&self, why: &str) -> VaultError {
        VaultError::Damaged {
            path: self.path.to_owned(),
            what: format!(
                "it is of an earlier version and cannot be upgraded, since {why}: it was put back \
                 or \
                 modified outside clawkeep"
            ),
        }
    }

    fn upgrade(&mut self, record: &RecordSays) -> Result<(), VaultError> {
        let mut found = Found {
            dropped: self.drop_nameless_rows().at(self.path, "write")?,
            ..Found::default()
        };
        self.settle_grants(record, &mut found)?;
        for (id, name) in self.agent_rows().at(self.path, "read")? {
            self.check_agent((id, &name), record, &mut found)?;
        }
        for name in record.agents() {
            let select = "SELECT EXISTS (SELECT 1 FROM agents a JOIN terms t ON t.id = a.id WHERE \
                t.text = ?1)";
            let is_there: bool = self
                .tx
                .query_row(select, [name], |row| row.get(0))
                .at(self.path, "read")?;
            if !is_there {
                found.add_lost(Part::Agents, "", name, String::new());
            }
        }
        self.check_cells(&mut found)?;
        found.dropped += self.settle_notes(record).at(self.path, "write")?;
        self.forget_spent_versions()?;
        self.check_slots(&mut found)?;
        self.reseal_record_keys_as_listed()?;
        let rows: Vec<String> = found.altered.iter().map(Altered::describe).collect();
        let mut event = EventDraft::new(EventKind::VaultUpgraded, Origin::Clawkeep);
        for (name, count) in [
            ("unproved", rows.len()),
            ("dropped", found.dropped),
            ("reordered", found.reordered.len()),
        ] {
            if count > 0 {
                event = event.detail(name, count);
            }
        }
        self.append(None, event)?;
        self.list_anew_but(found.altered);
        Ok(())
    }

    /// Rows of nobody: nothing reads them, and they could not be listed.
    fn drop_nameless_rows(&self) -> rusqlite::Result<usize> {
        let mut dropped = 0;
        for (table, owner) in [
            ("profiles", "agents"),
            ("profile_versions", "agents"),
            ("usage", "agents"),
            ("session_pins", "agents"),
            ("sync_skips", "terms"),
        ] {
            dropped += self.tx.execute(
                &format!(
                    "DELETE FROM {table} WHERE profile NOT IN (SELECT id FROM terms) \
                     OR agent NOT IN (SELECT id FROM terms) OR agent NOT IN (SELECT id FROM \
                     {owner})"
                ),
                [],
            )?;
        }
        for table in ["provider_entries", "exports"] {
            dropped += self.tx.execute(
                &format!(
                    "DELETE FROM {table} WHERE agent NOT IN (SELECT a.id FROM agents a JOIN \
                    terms t ON t.id = a.id)"
                ),
                [],
            )?;
        }
        Ok(dropped)
    }

    /// Makes grants what the record bears out; where row and record differ, what sends less counts.
    fn settle_grants(&mut self, record: &RecordSays, found: &mut Found) -> Result<(), VaultError> {
        let rows = crate::vault::store::grants::all_grants(&self.tx).at(self.path, "read")?;
        for (print, row) in &rows {
            let settled = record.settle(*print, row);
            if settled != *row {
                found.dropped += 1;
                self.set_grant(*print, &settled)?;
            }
        }
        for (print, settled) in record.grants_among(&rows) {
            found.dropped += 1;
            self.set_grant(print, &settled)?;
        }
        Ok(())
    }

    fn check_agent(
        &mut self,
        (id, name): (i64, &str),
        record: &RecordSays,
        found: &mut Found,
    ) -> Result<(), VaultError> {
        let agent = AgentName::from_stored(name.to_owned());
        let (revision, blob): (i64, Option<Vec<u8>>) = self
            .tx
            .query_row(
                "SELECT revision, frame FROM agents WHERE id = ?1",
                [id],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .at(self.path, "read")?;
        let frame =
            blob.and_then(|blob| Frame::open(&self.keys.seal, self.vault, &agent, revision, &blob));
        let overtaken: bool = self
            .tx
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM exports WHERE agent = ?1 AND revision > ?2)",
                [id, revision],
                |row| row.get(0),
            )
            .at(self.path, "read")?;
        let frame = frame.filter(|_| !overtaken);
        if frame.is_none() {
            // Its own listings are made all the same: what opens is handed out on demand.
            let listings = listing::listings_of(&self.tx, id).at(self.path, "read")?;
            found.add_lost(Part::Agents, "", name, listings);
        }
        let is_whole = self.check_profiles((id, name), frame.as_ref(), record, found)?;
        self.write_copies(id, frame.as_ref())
            .at(self.path, "write")?;
        self.settle_pins((id, name), record, found)?;
        let whole = frame.filter(|_| is_whole);
        self.settle_exports((id, &agent, revision), whole.as_ref(), record, found)
    }

    /// Finds the credentials that are not the newest or do not open; whether there is none such.
    fn check_profiles(
        &self,
        (id, name): (i64, &str),
        frame: Option<&Frame>,
        record: &RecordSays,
        found: &mut Found,
    ) -> Result<bool, VaultError> {
        let before = found.altered.len();
        let mut present = Vec::new();
        for (profile, opened) in self.opened_profiles((id, name))? {
            let newest = record.newest_generation(name, &profile);
            let known = frame.map(|frame| frame.generations.get(&profile).and_then(Value::as_i64));
            let is_good = opened.is_some_and(|(generation, _)| {
                newest == Some(generation) && known.is_none_or(|known| known == newest)
            });
            if !is_good {
                let provider = record.provider_of(name, &profile);
                found.add_lost(Part::Profiles, name, &profile, provider);
            }
            present.push(profile);
        }
        let known = frame.into_iter().flat_map(|frame| frame.generations.keys());
        let known = known.map(String::as_str).chain(record.present_of(name));
        let gone: BTreeSet<&str> = known
            .filter(|known| !present.iter().any(|present| present == known))
            .collect();
        for gone in gone {
            let provider = record.provider_of(name, gone);
            found.add_lost(Part::Profiles, name, gone, provider);
        }
        Ok(found.altered.len() == before)
    }

    /// The credentials of an agent in order, each with its generation and its entry if it opens.
    #[expect(clippy::type_complexity, reason = "read and taken apart in one place")]
    fn opened_profiles(
        &self,
        (id, name): (i64, &str),
    ) -> Result<Vec<(String, Option<(i64, Value)>)>, VaultError> {
        let read = || -> rusqlite::Result<Vec<_>> {
            let mut select = self.tx.prepare(
                "SELECT p.id, t.text, p.provider, p.type, p.owner, p.expires, p.generation, \
                 p.sealed \
                 FROM profiles p JOIN terms t ON t.id = p.profile WHERE p.agent = ?1 ORDER BY \
                 p.position, p.id",
            )?;
            let rows = select.query_map([id], |row| {
                let text =
                    |column| -> rusqlite::Result<&str> { Ok(row.get_ref(column)?.as_str()?) };
                let plain = Plain {
                    agent: name,
                    profile: text(1)?,
                    provider: text(2)?,
                    kind: text(3)?,
                    owner: text(4)?,
                    expires: row.get(5)?,
                    generation: row.get(6)?,
                };
                let aad = plain.aad(self.vault, "profiles", row.get(0)?);
                let entry = open_json(&self.keys.seal, aad, row.get_ref(7)?.as_blob()?);
                let generation = plain.generation;
                let profile = plain.profile.to_owned();
                Ok((profile, entry.map(|entry| (generation, entry))))
            })?;
            rows.collect()
        };
        read().at(self.path, "read")
    }

    /// The copies of order and last good are written anew from the frame.
    fn write_copies(&self, id: i64, frame: Option<&Frame>) -> rusqlite::Result<()> {
        self.tx
            .execute("DELETE FROM provider_entries WHERE agent = ?1", [id])?;
        for section in [Section::Order, Section::LastGood] {
            let entries = frame.and_then(|frame| frame.fields.get(section.key()));
            let entries = entries.and_then(Value::as_object);
            for (position, (provider, value)) in (0_i64..).zip(entries.into_iter().flatten()) {
                self.tx.execute(
                    "INSERT INTO provider_entries (agent, section, provider, position, value) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![id, section.key(), provider, position, value.to_string()],
                )?;
            }
        }
        Ok(())
    }

    /// Session pins are what the record says.
    fn settle_pins(
        &self,
        (id, name): (i64, &str),
        record: &RecordSays,
        found: &mut Found,
    ) -> Result<(), VaultError> {
        let write = || -> rusqlite::Result<usize> {
            let before: i64 = self.tx.query_row(
                "SELECT count(*) FROM session_pins WHERE agent = ?1",
                [id],
                |row| row.get(0),
            )?;
            let mut confirmed = 0;
            let mut kept = Vec::new();
            for (session, provider, profile, at) in record.pins_of(name) {
                let is_there: bool = self.tx.query_row(
                    "SELECT EXISTS (SELECT 1 FROM session_pins s JOIN terms t ON t.id = s.profile \
                     WHERE s.agent = ?1 \
                     AND s.session = ?2 AND s.provider = ?3 AND t.text = ?4)",
                    params![id, session, provider, profile],
                    |row| row.get(0),
                )?;
                confirmed += i64::from(is_there);
                kept.push((session, provider, profile, at));
            }
            self.tx
                .execute("DELETE FROM session_pins WHERE agent = ?1", [id])?;
            for (session, provider, profile, at) in &kept {
                let profile = crate::vault::log::terms::intern(&self.tx, profile)?;
                self.tx.execute(
                    "INSERT INTO session_pins (agent, session, provider, profile, pinned_at) \
                     VALUES (?1, ?2, ?3, ?4, ?5)",
                    params![id, session, provider, profile, at],
                )?;
            }
            let missing = kept.len() - usize::try_from(confirmed).unwrap_or(kept.len());
            Ok(usize::try_from(before - confirmed).unwrap_or(0) + missing)
        };
        found.dropped += write().at(self.path, "write")?;
        Ok(())
    }

    /// What is known of store files is kept where the file said what the agent has now: its MAC,
    /// made with the data key, proves the order of the credentials and their usage, too. Else the
    /// file is compared with nothing at the next load, and the credentials are put in the order in
    /// which the record names them.
    fn settle_exports(
        &mut self,
        (id, agent, revision): (i64, &AgentName, i64),
        whole: Option<&Frame>,
        record: &RecordSays,
        found: &mut Found,
    ) -> Result<(), VaultError> {
        let digest = match whole {
            Some(frame) => self.digest_now((id, agent), frame)?,
            None => None,
        };
        let rows = || -> rusqlite::Result<Vec<(String, Option<Vec<u8>>)>> {
            let mut select = self
                .tx
                .prepare("SELECT path, digest FROM exports WHERE agent = ?1")?;
            let rows = select.query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?;
            rows.collect()
        };
        let mut is_proved = false;
        for (path, known) in rows().at(self.path, "read")? {
            let is_now = match (&digest, &known) {
                (Some(now), Some(known)) => constant_time_eq(now, known),
                _ => false,
            };
            is_proved |= is_now;
            let place = params![path, id, revision];
            let done = match () {
                () if !record.has_path(agent.as_str(), &path) => {
                    found.dropped += 1;
                    let delete = "DELETE FROM exports WHERE path = ?1 AND agent = ?2 AND ?3 IS ?3";
                    self.tx.execute(delete, place)
                }
                () if is_now => self.tx.execute(
                    "UPDATE exports SET revision = ?3, snapshot = NULL, state = 'written' WHERE \
                     path = ?1 AND agent = ?2",
                    place,
                ),
                () => self.tx.execute(
                    "UPDATE exports SET digest = NULL, snapshot = NULL, revision = -1, state = \
                     'written' \
                     WHERE path = ?1 AND agent = ?2 AND ?3 IS ?3",
                    place,
                ),
            };
            done.at(self.path, "write")?;
        }
        if !is_proved {
            let ids = record.order_of(agent.as_str());
            if self.put_in_order(id, &ids).at(self.path, "write")? {
                found.reordered.push(agent.as_str().to_owned());
            }
        }
        Ok(())
    }

    /// The MAC of the store file that says what the agent has, as its rows stand; `None` where a
    /// usage entry does not open.
    fn digest_now(
        &self,
        (id, agent): (i64, &AgentName),
        frame: &Frame,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let profiles = self.opened_profiles((id, agent.as_str()))?;
        let profiles: Map<String, Value> = profiles
            .into_iter()
            .filter_map(|(id, opened)| Some((id, opened?.1)))
            .collect();
        let read = || -> rusqlite::Result<Vec<(String, Option<Value>)>> {
            let mut select = self.tx.prepare(
                "SELECT t.text, u.sealed FROM usage u JOIN terms t ON t.id = u.profile WHERE \
                 u.agent = ?1 ORDER BY u.position",
            )?;
            let rows = select.query_map([id], |row| {
                let profile: String = row.get(0)?;
                let aad = usage_aad(self.vault, agent, &profile);
                let entry = open_json(&self.keys.seal, aad, row.get_ref(1)?.as_blob()?);
                Ok((profile, entry))
            })?;
            rows.collect()
        };
        let mut usage = Map::new();
        for (profile, entry) in read().at(self.path, "read")? {
            let Some(entry) = entry else { return Ok(None) };
            usage.insert(profile, entry);
        }
        let doc: StoreDoc = assemble(frame.fields.clone(), profiles, usage);
        let bytes = doc.to_file();
        Ok(Some(
            self.keys.data.export_digest(self.vault, &bytes).to_vec(),
        ))
    }

    /// Puts credentials in the order of `ids`; whether they were in another.
    fn put_in_order(&self, agent: i64, ids: &[&str]) -> rusqlite::Result<bool> {
        let mut select = self.tx.prepare(
            "SELECT t.text FROM profiles p JOIN terms t ON t.id = p.profile WHERE p.agent = ?1 \
             ORDER BY p.position, p.id",
        )?;
        let now = select.query_map([agent], |row| row.get(0))?;
        let now: Vec<String> = now.collect::<rusqlite::Result<_>>()?;
        let mut wanted: Vec<&str> = now.iter().map(String::as_str).collect();
        let place = |id: &&str| ids.iter().position(|known| known == id);
        wanted.sort_by_key(|id| place(id).unwrap_or(usize::MAX));
        if wanted == now {
            return Ok(false);
        }
        for (position, profile) in (0_i64..).zip(&wanted) {
            self.tx.execute(
                "UPDATE profiles SET position = ?3 WHERE agent = ?1 AND profile = (SELECT id FROM \
                 terms WHERE text = ?2)",
                params![agent, profile, position],
            )?;
        }
        Ok(true)
    }

    /// Finds what is sealed in rows of their own and does not open: versions, usage, snapshots.
    fn check_cells(&self, found: &mut Found) -> Result<(), VaultError> {
        cells::for_each(&self.tx, (self.path, self.vault), |cell| {
            if let Some((part, agent, key)) = cell.listed_as()
                && cell.open(&self.keys.seal).is_err()
            {
                found.add_lost(part, &agent, &key, String::new());
            }
            Ok(())
        })
        .map(|_| ())
    }

    /// Notes that only keep the record from repeating itself: those that it bears out stay.
    fn settle_notes(&self, record: &RecordSays) -> rusqlite::Result<usize> {
        let mut select = self.tx.prepare(
            "SELECT s.agent, s.profile, a.text, t.text, s.why FROM sync_skips s \
             JOIN terms a ON a.id = s.agent JOIN terms t ON t.id = s.profile",
        )?;
        let rows = select.query_map([], |row| {
            let ids: (i64, i64) = (row.get(0)?, row.get(1)?);
            let names: (String, String, String) = (row.get(2)?, row.get(3)?, row.get(4)?);
            Ok((ids, names))
        })?;
        let mut dropped = 0;
        for row in rows.collect::<rusqlite::Result<Vec<_>>>()? {
            let ((agent, profile), (agent_name, profile_name, why)) = row;
            if record.skip_of(&agent_name, &profile_name) != Some(why.as_str()) {
                dropped += self.tx.execute(
                    "DELETE FROM sync_skips WHERE agent = ?1 AND profile = ?2",
                    [agent, profile],
                )?;
            }
        }
        let mut select = self.tx.prepare(
            "SELECT p.id, a.text, t.text FROM profiles p JOIN terms a ON a.id = p.agent JOIN \
             terms t ON t.id = p.profile \
             WHERE p.expiry_noted = 2",
        )?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
        for row in rows.collect::<rusqlite::Result<Vec<(i64, String, String)>>>()? {
            let (id, agent, profile) = row;
            if !record.is_expiry_noted(&agent, &profile) {
                let update = "UPDATE profiles SET expiry_noted = 1 WHERE id = ?1";
                dropped += self.tx.execute(update, [id])?;
            }
        }
        Ok(dropped)
    }

    fn check_slots(&self, found: &mut Found) -> Result<(), VaultError> {
        let data = &self.keys.data;
        let unproved = slots::unproved(
            (&self.tx, self.path),
            (self.vault, self.keys.seal.epoch()),
            data,
        )?;
        for slot in unproved {
            found.add_lost(Part::KeySlots, "", &slot.to_string(), String::new());
        }
        Ok(())
    }

    /// Seals the record's keys in the form that only a vault with listings has.
    fn reseal_record_keys_as_listed(&self) -> Result<(), VaultError> {
        for purpose in [AUDIT, FINGERPRINT] {
            let place = (&self.keys.seal, self.vault);
            let keys = RecordKey::all(&self.tx, self.path, place, (purpose, false))?;
            let newest = keys.last().map_or(0, |key| key.number);
            for key in &keys {
                let sealed = key.seal(&self.keys.seal, self.vault, (purpose, newest))?;
                let now: UnixMs = self.now;
                put_record_key(&self.tx, (purpose, key.number), &sealed, now)
                    .at(self.path, "write")?;
            }
        }
        Ok(())
    }
}
