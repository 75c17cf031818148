//! Makes the vectors anew. What is sealed here is sealed by a few lines of its own with chosen
//! nonces, so that the same vectors come out each time; the library never chooses a nonce. Only
//! whole vaults differ from one making to the next.
//!
//! `cargo nextest run --test it --run-ignored only vectors::make` writes them; then look at what
//! changed, and why.

#![allow(
    clippy::needless_pass_by_value,
    reason = "cases are written as JSON literals where they are handed over"
)]

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use clawkeep::internal::crypto::AuditKey;
use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{dir, make_chains, make_codes, make_sealed, make_slots};

/// What every vector begins with.
const NOTE: &str = "made up: no key, token, passphrase or code in here was ever anybody's";

/// The vault that cases are of.
pub(super) const VAULT: [u8; 16] = *b"a made-up vault!";
pub(super) const EPOCH: u32 = 7;

/// Bytes that look random and are the same each time.
pub(super) fn bytes<const N: usize>(name: &str) -> [u8; N] {
    let digest = Sha256::digest(format!("clawkeep vectors: {name}"));
    digest[..N].try_into().unwrap()
}

/// Writes a case. `fields` must have `expect`, or `reader` for whole vaults.
pub(super) fn write(kind: &str, name: &str, about: &str, fields: Value) {
    let folder = dir().join(if kind == "vault" { "vaults" } else { kind });
    std::fs::create_dir_all(&folder).unwrap();
    let mut case = json!({"kind": kind, "about": about, "note": NOTE});
    let all = case.as_object_mut().unwrap();
    all.extend(fields.as_object().unwrap().clone());
    let text = format!("{}\n", serde_json::to_string_pretty(&case).unwrap());
    std::fs::write(folder.join(format!("{name}.json")), text).unwrap();
}

pub(super) fn derive(key: &[u8; 32], label: &str) -> [u8; 32] {
    let mut out = [0; 32];
    let hkdf = Hkdf::<Sha256>::new(Some(&VAULT), key);
    hkdf.expand(label.as_bytes(), &mut out).unwrap();
    out
}

/// A part of what a blob is bound to, as cases have it.
fn part_bytes(part: &Value) -> Vec<u8> {
    let (kind, value) = part.as_object().unwrap().iter().next().unwrap();
    match (kind.as_str(), value) {
        ("text", Value::String(text)) => text.clone().into_bytes(),
        ("bytes", Value::String(digits)) => super::unhex(digits),
        (_, Value::Number(number)) => number.as_i64().unwrap().to_be_bytes().to_vec(),
        (_, _) => Vec::new(),
    }
}

/// Where a blob belongs.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) label: &'static str,
    pub(super) table: &'static str,
    pub(super) column: &'static str,
    pub(super) parts: Vec<Value>,
}

impl Place {
    fn aad(&self, epoch: u32) -> Vec<u8> {
        let mut all = vec![
            b"clawkeep/seal".to_vec(),
            vec![1],
            VAULT.to_vec(),
            self.table.as_bytes().to_vec(),
            self.column.as_bytes().to_vec(),
        ];
        all.extend(self.parts.iter().map(part_bytes));
        all.push(epoch.to_be_bytes().to_vec());
        let length = |part: &Vec<u8>| (part.len() as u64).to_be_bytes();
        all.iter()
            .flat_map(|part| length(part).into_iter().chain(part.iter().copied()))
            .collect()
    }

    pub(super) fn seal(&self, name: &str, key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = bytes(&format!("nonce of {name}"));
        let cipher = Aes256Gcm::new(&derive(key, self.label).into());
        let payload = Payload {
            msg: plain,
            aad: &self.aad(EPOCH),
        };
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).unwrap();
        [&[1][..], &EPOCH.to_be_bytes(), &nonce, &sealed].concat()
    }

    pub(super) fn with(&self, at: usize, part: Value) -> Self {
        let mut other = self.clone();
        other.parts[at] = part;
        other
    }
}

pub(super) fn place(table: &'static str, column: &'static str, parts: Vec<Value>) -> Place {
    Place {
        label: "clawkeep/1/seal",
        table,
        column,
        parts,
    }
}

pub(super) fn text(text: &str) -> Value {
    json!({ "text": text })
}

pub(super) fn number(number: i64) -> Value {
    json!({ "number": number })
}
/// The audit keys that chains are made with.
pub(super) fn audit_key(number: u8) -> AuditKey {
    AuditKey::from_bytes(&bytes::<32>(&format!("audit key {number}"))).unwrap()
}

#[test]
#[ignore = "writes tests/fixtures/vectors anew"]
fn make_vectors() {
    for folder in [
        "sealed",
        "slot",
        "recovery",
        "keyfile",
        "fingerprint",
        "digest",
        "head",
        "rescue",
        "event",
        "chain",
    ] {
        let _ = std::fs::remove_dir_all(dir().join(folder));
    }
    make_sealed::sealed_columns();
    make_sealed::sealed_defects();
    make_slots::slots();
    make_codes::recovery();
    make_codes::keyfiles();
    make_codes::prints_and_digests();
    make_codes::heads();
    make_codes::rescues();
    make_chains::events();
    make_chains::chains();
}
