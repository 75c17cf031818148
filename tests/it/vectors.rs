//! The vectors of the file format, in `tests/fixtures/vectors`: each a case and what is to come of
//! it, which the library must agree with.
//!
//! `tests/vectors/read_vault.py`, a reader written from `docs/file-format.md` alone, runs the same
//! files. `make` and its neighbours made them; a normal run changes nothing there.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;

use clawkeep::internal::audit::{
    ChainFault, ChainKeys, ChainVerifier, Checkpoint, Event, Head, HeadCheck, chain_mac,
};
use clawkeep::internal::crypto::{
    Aad, Argon2id, AuditKey, DataKey, Epoch, FingerprintKey, RecoveryFault, SlotKey, SlotKind,
    SlotRecord, parse_keyfile, parse_recovery_code,
};
use clawkeep::internal::domain::{KeyId, Seq, UnixMs, VaultId};
use clawkeep::internal::oauth::RecoveryFile;
use serde_json::{Value, json};

mod make;
mod make_chains;
mod make_codes;
mod make_sealed;
mod make_slots;
mod make_vault_cases;
mod make_vaults;
mod vaults;

/// How many cases there are of each kind: one that is not run shows here.
const CASES: [(&str, usize); 10] = [
    ("chain", 60),
    ("digest", 3),
    ("event", 7),
    ("fingerprint", 4),
    ("head", 12),
    ("keyfile", 21),
    ("recovery", 26),
    ("rescue", 6),
    ("sealed", 102),
    ("slot", 66),
];

fn dir() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/vectors")
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(digits: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(digits.as_bytes()).unwrap()
}

/// The cases of a kind, by their names.
fn cases(kind: &str) -> BTreeMap<String, Value> {
    let files = fs::read_dir(dir().join(kind)).unwrap();
    let files = files.map(|entry| entry.unwrap().path());
    let cases = files.filter(|path| path.extension().is_some_and(|end| end == "json"));
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        (
            name,
            serde_json::from_slice(&fs::read(path).unwrap()).unwrap(),
        )
    };
    cases.map(read).collect()
}

/// Runs every case of a kind.
#[track_caller]
fn agree(kind: &str, run: impl Fn(&Value) -> Value) {
    let cases = cases(kind);
    let (_, count) = CASES.iter().find(|(known, _)| *known == kind).unwrap();
    assert_eq!(cases.len(), *count, "cases of kind {kind}");
    for (name, case) in cases {
        assert_eq!(case["kind"], kind, "{name}");
        assert_eq!(
            run(&case),
            case["expect"],
            "{kind}/{name}: {}",
            case["about"]
        );
    }
}

fn text<'c>(case: &'c Value, name: &str) -> &'c str {
    case[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text: {name}"))
}

fn bytes<const N: usize>(case: &Value, name: &str) -> [u8; N] {
    unhex(text(case, name)).try_into().unwrap()
}

fn number(case: &Value, name: &str) -> i64 {
    case[name]
        .as_i64()
        .unwrap_or_else(|| panic!("no number: {name}"))
}

fn vault(case: &Value) -> VaultId {
    VaultId(bytes(case, "vault"))
}

fn epoch(case: &Value) -> Epoch {
    Epoch(u32::try_from(number(case, "epoch")).unwrap())
}

fn failed(word: &str) -> Value {
    json!({ "error": word })
}

fn aad(case: &Value) -> Aad {
    let aad = Aad::new(vault(case), text(case, "table"), text(case, "column"));
    let parts = case["parts"].as_array().unwrap().iter();
    parts.fold(aad, |aad, part| {
        let (kind, value) = part.as_object().unwrap().iter().next().unwrap();
        match kind.as_str() {
            "text" => aad.text(value.as_str().unwrap()),
            "number" => aad.number(value.as_i64().unwrap()),
            "optional" => aad.optional(value.as_i64()),
            "bytes" => aad.bytes(&unhex(value.as_str().unwrap())),
            other => panic!("a part of kind {other}"),
        }
    })
}

#[test]
fn sealed_blobs() {
    agree("sealed", |case| {
        let (vault, epoch, key) = (vault(case), epoch(case), bytes::<32>(case, "key"));
        let key = match text(case, "label") {
            "clawkeep/1/seal" => DataKey::from_bytes(&key).unwrap().seal_key(vault, epoch),
            "clawkeep/1/wrap" => SlotKey::from_bytes(&key).unwrap().wrap_key(vault, epoch),
            other => panic!("a label {other}"),
        };
        match key.open(aad(case), &unhex(text(case, "blob"))) {
            Ok(plain) => json!({"plain": hex(&plain)}),
            Err(_) => failed("unopened"),
        }
    });
}

fn recovery_fault(fault: RecoveryFault) -> Value {
    match fault {
        RecoveryFault::Group(group) => json!({"error": "group", "group": group}),
        RecoveryFault::Missing { at, .. } => json!({"error": "missing", "group": at}),
        _ => failed("not-one"),
    }
}

/// The key that is given for a slot.
fn given(slot: &SlotRecord, given: &Value) -> Result<SlotKey, Value> {
    let given = text(given, slot.kind.as_str());
    match slot.kind {
        SlotKind::Keyfile => parse_keyfile(given.as_bytes()).ok_or(failed("not-one")),
        SlotKind::Keychain => SlotKey::from_bytes(&unhex(given)).ok_or(failed("wrong-key")),
        SlotKind::Recovery => parse_recovery_code(&given.into()).map_err(recovery_fault),
        SlotKind::Passphrase => {
            let kdf = slot.kdf.as_deref().and_then(Argon2id::parse);
            Ok(kdf
                .ok_or(failed("bad-parameters"))?
                .derive(&given.into())
                .unwrap())
        }
    }
}

fn open_slot(case: &Value) -> Result<DataKey, Value> {
    let (vault, epoch, of) = (vault(case), epoch(case), &case["slot"]);
    let slot = SlotRecord {
        slot: number(of, "slot"),
        kind: SlotKind::from_name(text(of, "kind")).unwrap(),
        key_id: KeyId([0; 8]),
        check: bytes(of, "check"),
        kdf: of["kdf"].as_str().map(str::to_owned),
        wrapped: unhex(text(of, "wrapped")),
    };
    let key = given(&slot, &case["given"])?;
    if !slot.accepts(vault, &key) {
        return Err(failed("wrong-key"));
    }
    let data = slot
        .unwrap_data_key(vault, epoch, &key)
        .map_err(|_| failed("altered-slot"))?;
    let own = slot.unwrap_slot_key(
        vault,
        &data.seal_key(vault, epoch),
        &unhex(text(of, "slotKey")),
    );
    match own {
        Ok(own) if own.expose_secret() == key.expose_secret() => Ok(data),
        _ => Err(failed("altered-slot-key")),
    }
}

#[test]
fn key_slots() {
    agree("slot", |case| match open_slot(case) {
        Ok(data) => json!({"dataKey": hex(data.expose_secret())}),
        Err(why) => why,
    });
}

#[test]
fn recovery_codes() {
    agree("recovery", |case| {
        match parse_recovery_code(&text(case, "code").into()) {
            Ok(key) => json!({"key": hex(key.expose_secret())}),
            Err(fault) => recovery_fault(fault),
        }
    });
}

#[test]
fn key_files() {
    agree("keyfile", |case| {
        match parse_keyfile(&unhex(text(case, "bytes"))) {
            Some(key) => json!({"key": hex(key.expose_secret())}),
            None => failed("not-one"),
        }
    });
}

/// An event out of a case.
fn as_event(case: &Value) -> Event {
    let optional = |name: &str| case[name].as_str().map(Into::into);
    let print = |name: &str| case[name].as_str().map(unhex);
    let mut event = Event::default();
    event.seq = Seq::new(number(case, "seq"));
    event.at = UnixMs::from_ms(number(case, "at"));
    event.kind = text(case, "kind").into();
    event.outcome = text(case, "outcome").into();
    event.origin = text(case, "origin").into();
    event.agent = optional("agent");
    event.profile = optional("profile");
    event.provider = optional("provider");
    event.actor.program = text(case, "program").into();
    event.actor.pid = number(case, "pid");
    event.actor.uid = number(case, "uid");
    event.actor.host = text(case, "host").into();
    event.actor.parent = optional("parent");
    event.session = optional("session");
    event.generation = case["generation"].as_i64();
    event.token_before = print("tokenBefore");
    event.token_after = print("tokenAfter");
    event.expires_before = case["expiresBefore"].as_i64();
    event.expires_after = case["expiresAfter"].as_i64();
    event.detail = case["detail"].as_str().map(str::to_owned);
    event.mac = bytes(case, "mac");
    event
}

fn audit_key(digits: &Value) -> AuditKey {
    AuditKey::from_bytes(&unhex(digits.as_str().unwrap())).unwrap()
}

#[test]
fn events() {
    agree("event", |case| {
        let event = as_event(&case["event"]);
        let previous = case["previous"].as_str().map(|_| bytes(case, "previous"));
        let mac = chain_mac(
            &audit_key(&case["auditKey"]).mac_state(),
            previous.as_ref(),
            &event,
        );
        json!({"canonical": hex(&event.canonical_bytes()), "mac": hex(&mac)})
    });
}

fn verify(case: &Value) -> Result<Value, ChainFault> {
    let mut keys = case["auditKeys"].as_array().unwrap().iter();
    let first = audit_key(&keys.next().unwrap()["key"]).mac_state();
    let keys = keys.fold(ChainKeys::new(first), |keys, next| {
        keys.followed_by(
            Seq::new(number(next, "begins")),
            audit_key(&next["key"]).mac_state(),
        )
    });
    let events: Vec<Event> = case["events"]
        .as_array()
        .unwrap()
        .iter()
        .map(as_event)
        .collect();
    let pruned = events.iter().rfind(|event| &*event.kind == "audit.pruned");
    let checkpoint = pruned.and_then(|event| Checkpoint::parse(event.detail.as_deref()?));
    let head = case["head"].as_str().map(|text| Head::parse(text).unwrap());
    let kept = case["kept"].as_array().unwrap();
    let mut verifier = ChainVerifier::new(vault(case), keys, head, checkpoint)?;
    for event in &events {
        if verifier.is_kept(event.seq) {
            let previous = kept.iter().find(|kept| kept["seq"] == event.seq.0);
            let previous = previous.map(|kept| bytes(kept, "previousMac"));
            verifier.check_kept(event, previous.as_ref())?;
        } else {
            verifier.check(event)?;
        }
    }
    let verified = verifier.finish()?;
    let head = match verified.head {
        HeadCheck::Holds(_) => "holds",
        HeadCheck::Pruned(_) => "pruned",
        _ => "none",
    };
    Ok(json!({"events": verified.events, "last": verified.last.0, "head": head}))
}

#[test]
fn records() {
    agree("chain", |case| {
        verify(case).unwrap_or_else(|fault| {
            let mut said = failed(fault.kind());
            if let Some(seq) = fault.seq() {
                said["seq"] = seq.0.into();
            }
            said
        })
    });
}

#[test]
fn heads() {
    agree("head", |case| match Head::parse(text(case, "text")) {
        Some(head) => {
            json!({"vault": head.vault.to_string(), "seq": head.seq.0, "mac": hex(&head.mac)})
        }
        None => failed("not-one"),
    });
}

#[test]
fn fingerprints() {
    agree("fingerprint", |case| {
        let key = FingerprintKey::from_bytes(&bytes::<32>(case, "key")).unwrap();
        let number = u16::try_from(number(case, "number")).unwrap();
        let print = key.fingerprint(number, text(case, "token"));
        json!({"bytes": hex(&print.to_bytes()), "text": print.to_string()})
    });
}

#[test]
fn export_digests() {
    agree("digest", |case| {
        let key = DataKey::from_bytes(&bytes::<32>(case, "dataKey")).unwrap();
        json!({"digest": hex(&key.export_digest(vault(case), &unhex(text(case, "bytes"))))})
    });
}

#[test]
fn rescue_files() {
    agree("rescue", |case| {
        let file = unhex(text(case, "bytes"));
        let Some((fence, blob)) = RecoveryFile::sealed_part(&file) else {
            return failed("not-whole");
        };
        let key = DataKey::from_bytes(&bytes::<32>(case, "dataKey")).unwrap();
        let aad = Aad::new(vault(case), "rescue", "tokens");
        let aad = aad.bytes(&unhex(text(case, "print"))).number(fence);
        match key.seal_key(vault(case), epoch(case)).open(aad, blob) {
            Ok(plain) => {
                let tokens: Value = serde_json::from_slice(&plain).unwrap();
                json!({"fence": fence, "tokens": tokens})
            }
            Err(_) => failed("unopened"),
        }
    });
}

#[test]
fn every_file_is_of_a_kind_that_is_run() {
    let mut folders: Vec<String> = fs::read_dir(dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    folders.sort();
    let mut known: Vec<&str> = CASES.iter().map(|(kind, _)| *kind).collect();
    known.push("vaults");
    assert_eq!(folders, known);
}
