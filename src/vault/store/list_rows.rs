//! The rows that a transaction changes: each is compared with its listing before, and listed anew
//! at the end.
//!
//! A row that is not as it is listed is never listed as it is: it is either left as it was, and
//! goes on being found, or replaced whole. A write that forgets to name its row leaves one that is
//! not as listed, which the next reader finds.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::proof::{AgentProof, Altered, Proof, Scope};
use crate::vault::error::{Context, VaultError};
use crate::vault::log::terms;
use crate::vault::sealing::listing::{self, Entries, Entry, Listing, Part, ROOT, VAULT};
use crate::vault::tx::Tx;

impl Tx<'_> {
    /// What was listed when the transaction began.
    fn proof(&self) -> Proof<'_> {
        let root = self.rows.root.clone();
        Proof::with_root((&self.tx, self.path), self.keys, self.vault, root)
    }

    /// The listing of a part of an agent as it was when the transaction began.
    fn listing_of(
        &self,
        proof: &Proof<'_>,
        scope: Scope<'_>,
        part: Part,
    ) -> Result<Arc<Listing>, VaultError> {
        let place = (scope.owner(), part);
        if let Some(open) = self.rows.open.borrow().get(&place) {
            return Ok(Arc::clone(open));
        }
        let listing = proof.listing(scope, part)?;
        if let Scope::Agent(..) = scope {
            let kept = Arc::clone(&listing);
            self.rows.open.borrow_mut().insert(place, kept);
        }
        Ok(listing)
    }

    /// The keys of an agent's rows: those that are listed, and those that this transaction has
    /// changed.
    ///
    /// # Errors
    /// [`VaultError::Unopened`] where the agent's listings are not as they were sealed.
    pub(super) fn keys_of(
        &self,
        scope: Scope<'_>,
        part: Part,
    ) -> Result<BTreeSet<String>, VaultError> {
        self.expect_agent(scope)?;
        let listing = self.listing_of(&self.proof(), scope, part)?;
        let mut keys: BTreeSet<String> = listing.iter().map(|(key, ..)| key.to_owned()).collect();
        let changed = self.rows.changed.get(&(scope.owner(), part));
        keys.extend(changed.into_iter().flatten().cloned());
        Ok(keys)
    }

    fn is_proved(&self, scope: Scope<'_>) -> bool {
        self.rows.proved.borrow().contains(&scope.owner())
    }

    /// Fails where a row is not as it is listed, unless this transaction has changed it.
    ///
    /// # Errors
    /// [`VaultError::Unopened`] with its name.
    pub(super) fn expect_listed(
        &self,
        scope: Scope<'_>,
        part: Part,
        key: &str,
    ) -> Result<(), VaultError> {
        if self.rows.has(scope, part, key) {
            return Ok(());
        }
        if let Some(altered) = &self.rows.anew_but {
            let is_it =
                |row: &&Altered| row.part == part && row.agent == scope.name() && row.key == key;
            return match altered.iter().find(is_it) {
                Some(row) => Err(VaultError::Unopened {
                    row: row.describe(),
                }),
                None => Ok(()),
            };
        }
        let proof = self.proof();
        if let Scope::Agent(id, name) = scope
            && !self.is_proved(scope)
        {
            let agents = proof.listing(Scope::Vault, Part::Agents)?;
            let is_new =
                agents.find(name).is_none() && self.rows.has(Scope::Vault, Part::Agents, name);
            if is_new {
                return Ok(()); // it has no rows but this transaction's own
            }
            match proof.agent(&agents, name)? {
                AgentProof::Listed { id: listed, .. } => {
                    if listed == id {
                        self.rows.proved.borrow_mut().insert(id);
                    }
                }
                AgentProof::Absent => return Ok(()),
                AgentProof::Altered => {
                    let row = Part::Agents.describe("", name);
                    return Err(VaultError::Unopened { row });
                }
            }
        }
        let listing = self.listing_of(&proof, scope, part)?;
        if proof.is_as_listed(&listing, (scope, part), key)? {
            return Ok(());
        }
        let row = part.describe(scope.name(), key);
        Err(VaultError::Unopened { row })
    }

    /// Fails where the listings of an agent are not as they were sealed: what is changed in them
    /// would be sealed with the rest.
    ///
    /// # Errors
    /// [`VaultError::Unopened`] with the agent's name.
    pub(super) fn expect_agent(&self, scope: Scope<'_>) -> Result<(), VaultError> {
        if self.rows.anew_but.is_some() || self.is_proved(scope) {
            return Ok(());
        }
        let proof = self.proof();
        let agents = proof.listing(Scope::Vault, Part::Agents)?;
        let name = scope.name();
        let is_new = self.rows.has(Scope::Vault, Part::Agents, name);
        match proof.agent(&agents, name)? {
            AgentProof::Altered if !is_new || agents.find(name).is_some() => {
                let row = Part::Agents.describe("", name);
                Err(VaultError::Unopened { row })
            }
            AgentProof::Listed { id, .. } if id == scope.owner() => {
                self.rows.proved.borrow_mut().insert(id);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// To be called before a row is changed, added or removed: it must be as it is listed.
    pub(in crate::vault) fn will_change(
        &mut self,
        scope: Scope<'_>,
        part: Part,
        key: &str,
    ) -> Result<(), VaultError> {
        self.expect_listed(scope, part, key)?;
        self.will_replace(scope, part, key);
        Ok(())
    }

    /// To be called before a row is written or removed whole, so that nothing of it stays.
    pub(in crate::vault) fn will_replace(&mut self, scope: Scope<'_>, part: Part, key: &str) {
        let (owner, name) = (scope.owner(), scope.name());
        self.rows.names.entry(owner).or_insert_with(|| name.into());
        let keys = self.rows.changed.entry((owner, part)).or_default();
        keys.insert(key.to_owned());
    }

    /// The rows that were not as they are listed when the transaction began.
    pub(in crate::vault) fn altered_rows(&self) -> Result<Vec<Altered>, VaultError> {
        self.proof().everything_altered()
    }

    /// Lists every row anew at the end, but for `altered`, of which what was listed stays.
    pub(in crate::vault) fn list_anew_but(&mut self, altered: Vec<Altered>) {
        self.rows.anew_but = Some(altered);
    }

    /// Seals the listings of what has changed, and the root, bound to the last event.
    pub(in crate::vault) fn seal_listings(&mut self) -> Result<(), VaultError> {
        let changed = std::mem::take(&mut self.rows.changed);
        let names = std::mem::take(&mut self.rows.names);
        if let Some(mut altered) = self.rows.anew_but.take() {
            // What this transaction has put in an altered row's place is good.
            altered.retain(|row| {
                let mut written = changed.iter().filter(|((owner, part), keys)| {
                    let agent = names.get(owner).map_or("", String::as_str);
                    *part == row.part && agent == row.agent && keys.contains(&row.key)
                });
                written.next().is_none()
            });
            return self.list_anew(&altered);
        }
        let is_new_head = self.last.map(|last| last.mac) != self.rows.head.map(|head| head.mac);
        if changed.is_empty() && !is_new_head {
            return Ok(());
        }
        let proof = self.proof();
        let mut root = proof.root().to_entries();
        let mut owners = BTreeSet::new();
        for ((owner, part), keys) in changed.iter().filter(|((owner, _), _)| *owner != VAULT) {
            let name = names.get(owner).map(String::as_str).unwrap_or_default();
            let scope = Scope::Agent(*owner, name);
            let mut entries = self.listing_of(&proof, scope, *part)?.to_entries();
            self.update((scope, *part), keys, &mut entries)?;
            self.store_listing((scope, *part), &entries)?;
            owners.insert((*owner, name));
        }
        for part in Part::OF_VAULT {
            let keys = changed.get(&(VAULT, part));
            let has_new_listings = part == Part::Agents && !owners.is_empty();
            if keys.is_none() && !has_new_listings {
                continue;
            }
            let mut entries = proof.listing(Scope::Vault, part)?.to_entries();
            if let Some(keys) = keys {
                self.update((Scope::Vault, part), keys, &mut entries)?;
            }
            if part == Part::Agents {
                let is_done = |name: &str| keys.is_some_and(|keys| keys.contains(name));
                for (owner, name) in owners.iter().filter(|(_, name)| !is_done(name)) {
                    // The row itself may not be as it is listed: that stays so.
                    if let Some(entry) = entries.get_mut(*name) {
                        entry.note =
                            listing::listings_of(&self.tx, *owner).at(self.path, "read")?;
                    }
                }
            }
            self.store_vault_listing(part, &entries, &mut root)?;
        }
        self.store_root(&root)
    }

    fn update(
        &self,
        (scope, part): (Scope<'_>, Part),
        keys: &BTreeSet<String>,
        entries: &mut Entries,
    ) -> Result<(), VaultError> {
        for key in keys {
            let now = listing::row(&self.tx, scope.owner(), part, key).at(self.path, "read")?;
            match now {
                Some(entry) => entries.insert(key.clone(), entry),
                None => entries.remove(key),
            };
        }
        Ok(())
    }

    /// Stores a listing; what is stored, if there is anything to list.
    fn store_listing(
        &self,
        (scope, part): (Scope<'_>, Part),
        entries: &Entries,
    ) -> Result<Option<Vec<u8>>, VaultError> {
        let place = (scope.owner(), part.as_str());
        if entries.is_empty() {
            listing::remove(&self.tx, place).at(self.path, "write")?;
            return Ok(None);
        }
        let bound = (self.vault, scope.name(), part.as_str());
        let sealed = listing::seal(&self.keys.seal, bound, None, entries)?;
        listing::store(&self.tx, place, &sealed).at(self.path, "write")?;
        Ok(Some(sealed))
    }

    fn store_vault_listing(
        &self,
        part: Part,
        entries: &Entries,
        root: &mut Entries,
    ) -> Result<(), VaultError> {
        match self.store_listing((Scope::Vault, part), entries)? {
            Some(sealed) => {
                let entry = Entry {
                    digest: listing::digest_of(&sealed),
                    note: String::new(),
                };
                root.insert(part.as_str().to_owned(), entry);
            }
            None => drop(root.remove(part.as_str())),
        }
        Ok(())
    }

    fn store_root(&self, root: &Entries) -> Result<(), VaultError> {
        let bound = (self.vault, "", ROOT);
        let sealed = listing::seal(&self.keys.seal, bound, self.last.as_ref(), root)?;
        listing::store(&self.tx, (VAULT, ROOT), &sealed).at(self.path, "write")
    }

    /// Lists every row as it is, but for `altered`.
    fn list_anew(&self, altered: &[Altered]) -> Result<(), VaultError> {
        let agents = self.agent_rows().at(self.path, "read")?;
        // Nothing is listed of an agent whose own listings are not as they were sealed: it is still
        // found as a whole.
        let mut unproved = BTreeSet::new();
        for row in altered.iter().filter(|row| row.part == Part::Agents) {
            let id = terms::find(&self.tx, &row.key).at(self.path, "read")?;
            let now = id.map(|id| listing::listings_of(&self.tx, id)).transpose();
            let now = now.at(self.path, "read")?;
            if now != row.listed.as_ref().map(|listed| listed.note.clone()) {
                unproved.insert(row.key.as_str());
            }
        }
        self.tx
            .execute("DELETE FROM listings", [])
            .at(self.path, "write")?;
        for (id, name) in &agents {
            if unproved.contains(name.as_str()) {
                continue;
            }
            let scope = Scope::Agent(*id, name);
            for part in Part::OF_AGENT {
                let mut entries = listing::rows(&self.tx, *id, part).at(self.path, "read")?;
                keep_altered(&mut entries, altered, (part, name));
                self.store_listing((scope, part), &entries)?;
            }
        }
        let mut root = Entries::new();
        for part in Part::OF_VAULT {
            let mut entries = listing::rows(&self.tx, VAULT, part).at(self.path, "read")?;
            let now = entries.clone();
            keep_altered(&mut entries, altered, (part, ""));
            if part == Part::Agents {
                for (name, entry) in &mut entries {
                    if let Some(now) = now.get(name).filter(|_| !unproved.contains(name.as_str())) {
                        entry.note.clone_from(&now.note);
                    }
                }
            }
            self.store_vault_listing(part, &entries, &mut root)?;
        }
        self.store_root(&root)
    }

    pub(in crate::vault) fn agent_rows(&self) -> rusqlite::Result<Vec<(i64, String)>> {
        let mut select = self
            .tx
            .prepare("SELECT a.id, t.text FROM agents a JOIN terms t ON t.id = a.id")?;
        let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    }
}

/// Puts what was listed of altered rows in the place of what they are.
fn keep_altered(entries: &mut Entries, altered: &[Altered], (part, agent): (Part, &str)) {
    let rows = altered.iter();
    for row in rows.filter(|row| row.part == part && row.agent == agent) {
        match &row.listed {
            Some(listed) => entries.insert(row.key.clone(), listed.clone()),
            None => entries.remove(&row.key),
        };
    }
}
