//! Makes the vectors anew. What is sealed here is sealed by a few lines of its own with chosen nonces, so that the same vectors come
//! out each time; the library never chooses a nonce. Only whole vaults differ from one making to the next.
//!
//! `cargo nextest run --test it --run-ignored all vectors::make` writes them; then look at what changed, and why.

use aes_gcm::aead::{Aead as _, KeyInit as _, Payload};
use aes_gcm::{Aes256Gcm, Nonce};
use clawkeep::crypto::{AuditKey, DataKey, FingerprintKey, RecoveryCode, SlotKey, keyfile_text};
use clawkeep::domain::VaultId;
use hkdf::Hkdf;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{dir, hex};

/// What every vector begins with.
const NOTE: &str = "made up: no key, token, passphrase or code in here was ever anybody's";

/// The vault that cases are of.
pub(super) const VAULT: [u8; 16] = *b"a made-up vault!";
const EPOCH: u32 = 7;

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

fn derive(key: &[u8; 32], label: &str) -> [u8; 32] {
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
struct Place {
    label: &'static str,
    table: &'static str,
    column: &'static str,
    parts: Vec<Value>,
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

    fn seal(&self, name: &str, key: &[u8; 32], plain: &[u8]) -> Vec<u8> {
        let nonce: [u8; 12] = bytes(&format!("nonce of {name}"));
        let cipher = Aes256Gcm::new(&derive(key, self.label).into());
        let payload = Payload {
            msg: plain,
            aad: &self.aad(EPOCH),
        };
        let sealed = cipher.encrypt(&Nonce::from(nonce), payload).unwrap();
        [&[1][..], &EPOCH.to_be_bytes(), &nonce, &sealed].concat()
    }

    fn with(&self, at: usize, part: Value) -> Self {
        let mut other = self.clone();
        other.parts[at] = part;
        other
    }
}

fn place(table: &'static str, column: &'static str, parts: Vec<Value>) -> Place {
    Place {
        label: "clawkeep/1/seal",
        table,
        column,
        parts,
    }
}

fn text(text: &str) -> Value {
    json!({ "text": text })
}

fn number(number: i64) -> Value {
    json!({ "number": number })
}

/// A sealed case: what a reader has in hand, and what is to come of it.
fn sealed(name: &str, about: &str, place: &Place, epoch: u32, blob: &[u8], plain: Option<&[u8]>) {
    let expect = match plain {
        Some(plain) => json!({"plain": hex(plain)}),
        None => json!({"error": "unopened"}),
    };
    let case = json!({
        "label": place.label, "key": hex(&bytes::<32>("data key")), "vault": hex(&VAULT), "epoch": epoch,
        "table": place.table, "column": place.column, "parts": place.parts, "blob": hex(blob), "expect": expect,
    });
    write("sealed", name, about, case);
}

const ENTRY: &[u8] = br#"{"type":"oauth","provider":"anthropic","access":"sk-test-access","refresh":"sk-test-refresh","expires":1800000000000.5,"email":"a@example.org"}"#;

fn credential(table: &'static str) -> Place {
    place(
        table,
        "sealed",
        vec![
            number(3),
            text("main"),
            text("anthropic:work"),
            text("oauth"),
            text("anthropic"),
            text("vault"),
            number(1_800_000_000_000),
            number(2),
        ],
    )
}

/// One of every sealed column, as it opens.
fn sealed_columns() {
    let key = bytes("data key");
    let other_key: [u8; 32] = bytes("another key");
    let later = [&other_key[..], &41_i64.to_be_bytes()].concat();
    let mut wrapped = place("key_slots", "wrapped", vec![number(1), text("keyfile")]);
    wrapped.label = "clawkeep/1/wrap";
    let kdf = "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw";
    let print = [&[0, 1][..], &bytes::<8>("print")].concat();
    let frame = br#"[{"version":1,"profiles":{},"unknown":["kept"]},{"anthropic:work":2},{"anthropic:work":["https://example.org","client"]}]"#;
    let tokens = br#"{"agent":"main","profile":"anthropic:work","origin":"https://example.org","clientId":"client","access":"sk-test-a","refresh":"sk-test-r","idToken":null,"expires":1800000000000}"#;
    let agent = text("main");
    let mut passphrase = wrapped.clone();
    passphrase.parts = vec![number(2), text("passphrase"), text(kdf)];
    let cases: [(&str, Place, &[u8]); 14] = [
        ("profiles", credential("profiles"), ENTRY),
        (
            "profiles-without-expiry",
            credential("profiles").with(6, json!({"optional": null})),
            ENTRY,
        ),
        ("profile-versions", credential("profile_versions"), ENTRY),
        (
            "frame",
            place("agents", "frame", vec![agent.clone(), number(9)]),
            frame,
        ),
        (
            "usage",
            place(
                "usage",
                "sealed",
                vec![agent.clone(), text("anthropic:work")],
            ),
            br#"{"lastUsed":1800000000000}"#,
        ),
        (
            "snapshot",
            place(
                "exports",
                "snapshot",
                vec![text("/home/a/auth-profiles.json"), agent],
            ),
            b"any bytes: \xff\x00",
        ),
        (
            "empty",
            place("exports", "snapshot", vec![text(""), text("")]),
            b"",
        ),
        ("slot-wrapped", wrapped, &other_key),
        ("slot-wrapped-of-passphrase", passphrase, &other_key),
        (
            "slot-key",
            place("key_slots", "slot_key", vec![number(1), text("keyfile")]),
            &other_key,
        ),
        (
            "record-key-newest",
            place("record_keys", "sealed", vec![text("audit"), number(2)]),
            &later,
        ),
        (
            "record-key-earlier",
            place(
                "record_keys",
                "sealed",
                vec![text("audit"), number(1), number(2)],
            ),
            &other_key,
        ),
        (
            "record-key-fingerprint",
            place(
                "record_keys",
                "sealed",
                vec![text("fingerprint"), number(1)],
            ),
            &other_key,
        ),
        (
            "rescue",
            place(
                "rescue",
                "tokens",
                vec![json!({"bytes": hex(&print)}), number(5)],
            ),
            tokens,
        ),
    ];
    for (name, place, plain) in cases {
        let blob = place.seal(name, &key, plain);
        sealed(
            &format!("opens-{name}"),
            &format!("{name}: opens in its place"),
            &place,
            EPOCH,
            &blob,
            Some(plain),
        );
        if place.parts.is_empty() {
            continue;
        }
        // Each of the parts, another one.
        for at in 0..place.parts.len() {
            let other = match &place.parts[at] {
                part if part.get("number").is_some() => {
                    number(part["number"].as_i64().unwrap() + 1)
                }
                part if part.get("optional").is_some() => number(0),
                part if part.get("bytes").is_some() => {
                    json!({"bytes": format!("{}00", part["bytes"].as_str().unwrap())})
                }
                part => text(&format!("{}x", part["text"].as_str().unwrap())),
            };
            let elsewhere = place.with(at, other);
            let name = format!("refused-{name}-part-{}", at + 1);
            let about = format!("{name}: beside another value of its part {}", at + 1);
            sealed(&name, &about, &elsewhere, EPOCH, &blob, None);
        }
    }
}

/// What is done to one blob.
fn sealed_defects() {
    let place = credential("profiles");
    let blob = place.seal("profiles", &bytes("data key"), ENTRY);
    let last = blob.len() - 1;
    let refused = |name: &str, about: &str, place: &Place, epoch: u32, blob: &[u8]| {
        sealed(&format!("refused-{name}"), about, place, epoch, blob, None);
    };
    for (name, at) in [
        ("version", 0),
        ("epoch-first-byte", 1),
        ("epoch-last-byte", 4),
        ("nonce-first-byte", 5),
        ("nonce-last-byte", 16),
        ("ciphertext-first-byte", 17),
        ("ciphertext-last-byte", last - 16),
        ("tag-first-byte", last - 15),
        ("tag-last-byte", last),
    ] {
        let mut flipped = blob.clone();
        flipped[at] ^= 1;
        refused(
            &format!("bit-in-{name}"),
            &format!("a bit flipped: {name}"),
            &place,
            EPOCH,
            &flipped,
        );
    }
    refused(
        "cut-at-the-end",
        "the last byte is missing",
        &place,
        EPOCH,
        &blob[..last],
    );
    refused(
        "cut-at-the-beginning",
        "the first byte is missing",
        &place,
        EPOCH,
        &blob[1..],
    );
    refused(
        "one-byte-more",
        "a byte behind it",
        &place,
        EPOCH,
        &[&blob[..], &[0]].concat(),
    );
    refused(
        "no-tag",
        "nothing behind the nonce",
        &place,
        EPOCH,
        &blob[..17],
    );
    refused(
        "cut-in-the-header",
        "only a part of the nonce",
        &place,
        EPOCH,
        &blob[..9],
    );
    refused("nothing", "no bytes at all", &place, EPOCH, &[]);
    let mut later = blob.clone();
    later[1..5].copy_from_slice(&(EPOCH + 1).to_be_bytes());
    refused(
        "epoch-of-the-vault",
        "the vault's epoch is another",
        &place,
        EPOCH + 1,
        &blob,
    );
    refused(
        "epoch-of-both",
        "another epoch, in the vault and in the blob",
        &place,
        EPOCH + 1,
        &later,
    );
    let versions = credential("profile_versions");
    refused(
        "other-table",
        "a profile's blob as a version",
        &versions,
        EPOCH,
        &blob,
    );
    let mut column = place.clone();
    column.column = "frame";
    refused("other-column", "in another column", &column, EPOCH, &blob);
    let mut label = place.clone();
    label.label = "clawkeep/1/wrap";
    refused(
        "other-label",
        "under the key that another label gives",
        &label,
        EPOCH,
        &blob,
    );
    let absent = place.with(6, json!({"optional": null}));
    refused(
        "expiry-absent",
        "the expiry taken away",
        &absent,
        EPOCH,
        &blob,
    );
    let zero = credential("profiles").with(6, json!({"optional": null}));
    let sealed_without = zero.seal("profiles-without-expiry", &bytes("data key"), ENTRY);
    refused(
        "expiry-zero",
        "an expiry of 0 where there was none",
        &zero.with(6, number(0)),
        EPOCH,
        &sealed_without,
    );
    let mut shifted = place.clone();
    shifted.parts[1] = text("mai");
    shifted.parts[2] = text("nanthropic:work");
    refused(
        "boundary-moved",
        "a character moved from the agent to the profile",
        &shifted,
        EPOCH,
        &blob,
    );
    let mut newest = super::make::place(
        "record_keys",
        "sealed",
        vec![text("audit"), number(1), number(2)],
    );
    let earlier = newest.seal(
        "record-key-earlier",
        &bytes("data key"),
        &bytes::<32>("another key"),
    );
    newest.parts.pop();
    refused(
        "record-key-earlier-as-newest",
        "an earlier audit key, the newer one taken out",
        &newest,
        EPOCH,
        &earlier,
    );
    let case = json!({
        "label": place.label, "key": hex(&bytes::<32>("data key")), "vault": hex(b"another vault id"), "epoch": EPOCH,
        "table": place.table, "column": place.column, "parts": place.parts, "blob": hex(&blob), "expect": {"error": "unopened"},
    });
    write("sealed", "refused-other-vault", "in another vault", case);
}

const KDF: &str = "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw";
const PASSPHRASE: &str = "caf\u{e9} made up for vectors";

/// The key of a slot of that kind.
fn slot_key(kind: &str) -> [u8; 32] {
    if kind == "passphrase" {
        let kdf = clawkeep::crypto::Argon2id::parse(KDF).unwrap();
        return *kdf.derive(&PASSPHRASE.into()).unwrap().expose_secret();
    }
    bytes(&format!("slot key of {kind}"))
}

/// A slot, sealed in its place.
fn slot(kind: &str, key: &[u8; 32], number_: i64) -> Value {
    let kdf = (kind == "passphrase").then_some(KDF);
    let mut parts = vec![number(number_), text(kind)];
    parts.extend(kdf.map(text));
    let mut wrapped = place("key_slots", "wrapped", parts.clone());
    wrapped.label = "clawkeep/1/wrap";
    let data = bytes::<32>("data key");
    let own = place("key_slots", "slot_key", parts);
    json!({
        "slot": number_, "kind": kind, "kdf": kdf, "check": hex(&derive(key, "clawkeep/1/check")[..16]),
        "wrapped": hex(&wrapped.seal(&format!("wrapped of {kind}"), key, &data)),
        "slotKey": hex(&own.seal(&format!("own key of {kind}"), &data, key)),
    })
}

fn given(kind: &str, key: &[u8; 32]) -> Value {
    let key_of = SlotKey::from_bytes(key).unwrap();
    match kind {
        "keyfile" => json!({"keyfile": keyfile_text(VaultId(VAULT), &key_of).as_str()}),
        "keychain" => json!({"keychain": hex(key)}),
        "passphrase" => json!({"passphrase": PASSPHRASE}),
        _ => json!({"recovery": RecoveryCode::of(&key_of).expose_secret()}),
    }
}

fn write_slot(name: &str, about: &str, slot: &Value, given: &Value, expect: &Value) {
    let case = json!({"vault": hex(&VAULT), "epoch": EPOCH, "slot": slot, "given": given, "expect": expect});
    write("slot", name, about, case);
}

fn flip(digits: &Value) -> Value {
    let mut blob = super::unhex(digits.as_str().unwrap());
    *blob.last_mut().unwrap() ^= 1;
    hex(&blob).into()
}

fn slots() {
    let opens = json!({"dataKey": hex(&bytes::<32>("data key"))});
    let fails = |word: &str| json!({ "error": word });
    for kind in ["keyfile", "keychain", "passphrase", "recovery"] {
        let key = slot_key(kind);
        let (good, right) = (slot(kind, &key, 3), given(kind, &key));
        let with = |field: &str, value: Value| {
            let mut other = good.clone();
            other[field] = value;
            other
        };
        let write = |name: &str, about: &str, slot: &Value, given: &Value, expect: &Value| {
            write_slot(
                &format!("{kind}-{name}"),
                &format!("{kind}: {about}"),
                slot,
                given,
                expect,
            );
        };
        write("opens", "opens with its key", &good, &right, &opens);
        let wrong = match kind {
            "passphrase" => json!({"passphrase": "another passphrase"}),
            kind => given(kind, &bytes("a wrong key")),
        };
        write("wrong", "another key", &good, &wrong, &fails("wrong-key"));
        write(
            "wrapped-altered",
            "a bit of the wrapped data key",
            &with("wrapped", flip(&good["wrapped"])),
            &right,
            &fails("altered-slot"),
        );
        write(
            "own-key-altered",
            "a bit of its own key, sealed under the data key",
            &with("slotKey", flip(&good["slotKey"])),
            &right,
            &fails("altered-slot-key"),
        );
        write(
            "check-altered",
            "a bit of the check value",
            &with("check", flip(&good["check"])),
            &right,
            &fails("wrong-key"),
        );
        write(
            "other-number",
            "under another number",
            &with("slot", json!(4)),
            &right,
            &fails("altered-slot"),
        );
        if kind != "passphrase" {
            write(
                "with-kdf",
                "with parameters where there are none",
                &with("kdf", json!(KDF)),
                &right,
                &fails("altered-slot"),
            );
        }
        let case = json!({"vault": hex(&VAULT), "epoch": EPOCH + 1, "slot": good, "given": right, "expect": fails("altered-slot")});
        super::make::write(
            "slot",
            &format!("{kind}-other-epoch"),
            &format!("{kind}: in a vault of another epoch"),
            case,
        );
        let case = json!({"vault": hex(b"another vault id"), "epoch": EPOCH, "slot": good, "given": right, "expect": fails("wrong-key")});
        super::make::write(
            "slot",
            &format!("{kind}-other-vault"),
            &format!("{kind}: in another vault"),
            case,
        );
    }
    let key = slot_key("keyfile");
    for other in ["keychain", "recovery"] {
        let mut relabelled = slot("keyfile", &key, 3);
        relabelled["kind"] = other.into();
        let about = format!("a slot of a key file, called one of kind {other}");
        write_slot(
            &format!("keyfile-as-{other}"),
            &about,
            &relabelled,
            &given(other, &key),
            &fails("altered-slot"),
        );
    }
    let short = json!({"keychain": hex(&key[..31])});
    let keychain = slot("keychain", &slot_key("keychain"), 3);
    write_slot(
        "keychain-short",
        "keychain: an item of 31 bytes",
        &keychain,
        &short,
        &fails("wrong-key"),
    );
    let cut = json!({"keyfile": "# nothing else\n"});
    write_slot(
        "keyfile-cut",
        "keyfile: a file cut short",
        &slot("keyfile", &key, 3),
        &cut,
        &fails("not-one"),
    );
    passphrases();
}

fn passphrases() {
    let key = slot_key("passphrase");
    let good = slot("passphrase", &key, 3);
    let opens = json!({"dataKey": hex(&bytes::<32>("data key"))});
    let fails = |word: &str| json!({ "error": word });
    for (name, about, typed, expect) in [
        (
            "decomposed",
            "the accent typed by itself: NFC makes them the same",
            "cafe\u{301} made up for vectors",
            &opens,
        ),
        (
            "blanks-around",
            "blanks around it, of every sort",
            "\u{2003}\t caf\u{e9} made up for vectors\u{a0}\u{3000}\r\n",
            &opens,
        ),
        (
            "blanks-inside",
            "a blank more inside it",
            "caf\u{e9}  made up for vectors",
            &fails("wrong-key"),
        ),
        (
            "no-blank-u001f",
            "U+001F behind it, which is no blank",
            "caf\u{e9} made up for vectors\u{1f}",
            &fails("wrong-key"),
        ),
        (
            "compatible",
            "a ligature that NFKC would take apart, and NFC leaves",
            "ca\u{fb00}\u{e9} made up for vectors",
            &fails("wrong-key"),
        ),
    ] {
        let about = format!("passphrase: {about}");
        write_slot(
            &format!("passphrase-{name}"),
            &about,
            &good,
            &json!({"passphrase": typed}),
            expect,
        );
    }
    for (name, kdf) in [
        (
            "m-too-small",
            json!("$argon2id$v=19$m=65535,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "m-too-large",
            json!("$argon2id$v=19$m=1048577,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "m-beyond-32-bits",
            json!("$argon2id$v=19$m=4294967296,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "t-too-small",
            json!("$argon2id$v=19$m=65536,t=2,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "t-too-large",
            json!("$argon2id$v=19$m=65536,t=17,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "p-zero",
            json!("$argon2id$v=19$m=65536,t=3,p=0$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "p-too-large",
            json!("$argon2id$v=19$m=65536,t=3,p=17$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "leading-zero",
            json!("$argon2id$v=19$m=065536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "plus-sign",
            json!("$argon2id$v=19$m=+65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "order",
            json!("$argon2id$v=19$t=3,m=65536,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "argon2i",
            json!("$argon2i$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "version-16",
            json!("$argon2id$v=16$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "salt-short",
            json!("$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0O"),
        ),
        (
            "salt-padded",
            json!("$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw=="),
        ),
        (
            "salt-bits-over",
            json!("$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODx"),
        ),
        (
            "with-hash",
            json!("$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw$hash"),
        ),
        (
            "more-parameters",
            json!("$argon2id$v=19$m=65536,t=3,p=4,x=1$AAECAwQFBgcICQoLDA0ODw"),
        ),
        (
            "line-end",
            json!("$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw\n"),
        ),
        ("absent", Value::Null),
    ] {
        let mut hostile = good.clone();
        hostile["kdf"] = kdf;
        let about = format!("passphrase: parameters that are not taken: {name}");
        let given = given("passphrase", &key);
        write_slot(
            &format!("passphrase-kdf-{name}"),
            &about,
            &hostile,
            &given,
            &fails("bad-parameters"),
        );
    }
    for (name, kdf) in [
        (
            "salt",
            "$argon2id$v=19$m=65536,t=3,p=4$AQECAwQFBgcICQoLDA0ODw",
        ),
        (
            "more-passes",
            "$argon2id$v=19$m=65536,t=4,p=4$AAECAwQFBgcICQoLDA0ODw",
        ),
        (
            "fewer-lanes",
            "$argon2id$v=19$m=65536,t=3,p=1$AAECAwQFBgcICQoLDA0ODw",
        ),
    ] {
        let mut altered = good.clone();
        altered["kdf"] = kdf.into();
        let about = format!("passphrase: other parameters give another key: {name}");
        write_slot(
            &format!("passphrase-kdf-other-{name}"),
            &about,
            &altered,
            &given("passphrase", &key),
            &fails("wrong-key"),
        );
    }
}

fn recovery() {
    let code_of = |key: &[u8; 32]| {
        RecoveryCode::of(&SlotKey::from_bytes(key).unwrap())
            .expose_secret()
            .to_owned()
    };
    // One whose code has what is mistaken for something else.
    let keys = (0..).map(|n| bytes::<32>(&format!("a key with a code, {n}")));
    let is_fit =
        |key: &[u8; 32]| code_of(key).contains('0') && code_of(key).matches('1').count() > 1;
    let key = keys.into_iter().find(is_fit).unwrap();
    let code = code_of(&key);
    let write = |name: &str, about: &str, code: &str, expect: Value| {
        write(
            "recovery",
            name,
            about,
            json!({"code": code, "expect": expect}),
        );
    };
    let opens = || json!({"key": hex(&key)});
    let group = |group: usize| json!({"error": "group", "group": group});
    let missing = |group: usize| json!({"error": "missing", "group": group});
    let groups: Vec<&str> = code.split('-').collect();
    write("code", "as it is shown", &code, opens());
    write(
        "lower-case",
        "typed in lower case",
        &code.to_lowercase(),
        opens(),
    );
    write(
        "in-one",
        "without what parts the groups",
        &code.replace('-', ""),
        opens(),
    );
    write(
        "blanks",
        "parted by blanks of every sort",
        &format!("\t{}\u{a0}\n", code.replace('-', "\u{2003} ")),
        opens(),
    );
    write(
        "mistaken-letters",
        "O for 0, I and L for 1",
        &code
            .replace('0', "O")
            .replacen('1', "I", 1)
            .replace('1', "l"),
        opens(),
    );
    for zero in [0_u8, 0xff] {
        let key = [zero; 32];
        let code = RecoveryCode::of(&SlotKey::from_bytes(&key).unwrap());
        let about = "check characters of every sort are in these two";
        write(
            &format!("all-{zero:02x}"),
            about,
            code.expose_secret(),
            json!({"key": hex(&key)}),
        );
        write(
            &format!("all-{zero:02x}-lower-case"),
            about,
            &code.expose_secret().to_lowercase(),
            json!({"key": hex(&key)}),
        );
    }
    let with = |at: usize, other: String| {
        let mut typed: Vec<String> = groups.iter().map(|&group| group.to_owned()).collect();
        typed[at] = other;
        typed.join("-")
    };
    let replaced = |at: usize, place: usize, by: char| {
        let mut group: Vec<char> = groups[at].chars().collect();
        assert_ne!(group[place], by);
        group[place] = by;
        with(at, group.into_iter().collect())
    };
    let other = |at: usize, place: usize| {
        if groups[at].as_bytes()[place] == b'7' {
            '8'
        } else {
            '7'
        }
    };
    write(
        "group-1-mistyped",
        "the first group",
        &replaced(0, 0, other(0, 0)),
        group(1),
    );
    write(
        "group-7-mistyped",
        "a group in the middle",
        &replaced(6, 2, other(6, 2)),
        group(7),
    );
    write(
        "group-13-check-mistyped",
        "the last group's check character",
        &replaced(12, 4, other(12, 4)),
        group(13),
    );
    write(
        "no-symbol",
        "a character that no code has",
        &replaced(4, 1, '#'),
        group(5),
    );
    write(
        "long-s",
        "U+017F, which some languages make an S",
        &replaced(4, 1, '\u{17f}'),
        group(5),
    );
    write(
        "check-symbol-as-digit",
        "a check character in a digit's place",
        &replaced(4, 1, '*'),
        group(5),
    );
    let mut swapped = groups.clone();
    swapped.swap(2, 3);
    write(
        "groups-swapped",
        "two groups in each other's place",
        &swapped.join("-"),
        group(3),
    );
    let without = |gone: &[usize]| -> String {
        let left = groups
            .iter()
            .enumerate()
            .filter(|(at, _)| !gone.contains(at));
        left.map(|(_, group)| *group).collect::<Vec<_>>().join("-")
    };
    write(
        "first-missing",
        "the first group is missing",
        &without(&[0]),
        missing(1),
    );
    write(
        "one-missing",
        "the fifth group is missing",
        &without(&[4]),
        missing(5),
    );
    write(
        "last-missing",
        "the last group is missing",
        &without(&[12]),
        missing(13),
    );
    write(
        "two-missing",
        "two groups are missing",
        &without(&[4, 9]),
        missing(5),
    );
    write(
        "three-missing",
        "three groups are missing",
        &without(&[4, 9, 11]),
        json!({"error": "not-one"}),
    );
    write(
        "cut",
        "the last character is missing",
        &code[..code.len() - 1],
        group(13),
    );
    write(
        "character-missing",
        "a character is missing in the second group",
        &with(1, groups[1][1..].to_owned()),
        group(2),
    );
    write(
        "character-more",
        "a character too many",
        &format!("{code}0"),
        json!({"error": "not-one"}),
    );
    write("nothing", "nothing", "", json!({"error": "not-one"}));
    // 16 digits of which the last has a bit that no key has: 52 characters carry 260 bits, a key 256.
    let digit = groups[12].as_bytes()[3];
    let symbols = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
    let at = symbols.iter().position(|symbol| *symbol == digit).unwrap();
    let check = symbols
        .iter()
        .position(|symbol| *symbol == groups[12].as_bytes()[4])
        .unwrap();
    let last = format!(
        "{}{}{}",
        &groups[12][..3],
        char::from(symbols[at + 1]),
        char::from(symbols[(check + 1) % 37])
    );
    write(
        "bits-over",
        "right check characters, and bits behind the key's that are not 0",
        &with(12, last),
        group(13),
    );
}

fn keyfiles() {
    let key: [u8; 32] = bytes("slot key of keyfile");
    let digits = hex(&key);
    let own = keyfile_text(VaultId(VAULT), &SlotKey::from_bytes(&key).unwrap()).to_string();
    let is_one = || json!({"key": digits});
    let is_none = || json!({"error": "not-one"});
    let cases: Vec<(&str, &str, Vec<u8>, Value)> = vec![
        (
            "as-written",
            "as it is written",
            own.clone().into(),
            is_one(),
        ),
        (
            "crlf",
            "lines that end in CRLF",
            own.replace('\n', "\r\n").into(),
            is_one(),
        ),
        (
            "no-line-end",
            "no line end at the end",
            own.trim_end().into(),
            is_one(),
        ),
        (
            "bare",
            "the one line alone",
            format!("CLAWKEEP-KEY-1 {digits}").into(),
            is_one(),
        ),
        (
            "no-blank",
            "nothing between mark and digits",
            format!("CLAWKEEP-KEY-1{digits}\n").into(),
            is_one(),
        ),
        (
            "blanks",
            "blanks of every sort",
            format!("\u{a0}\t\n  CLAWKEEP-KEY-1 \u{3000}\t{digits}\u{2028}\n\n # x\n").into(),
            is_one(),
        ),
        (
            "upper-case",
            "digits in upper case",
            format!("CLAWKEEP-KEY-1 {}\n", digits.to_uppercase()).into(),
            is_one(),
        ),
        (
            "short",
            "a digit is missing",
            own[..own.len() - 2].into(),
            is_none(),
        ),
        (
            "half",
            "half of the digits",
            format!("CLAWKEEP-KEY-1 {}\n", &digits[..32]).into(),
            is_none(),
        ),
        (
            "long",
            "a byte more",
            format!("CLAWKEEP-KEY-1 {digits}00\n").into(),
            is_none(),
        ),
        (
            "no-digit",
            "a character that is no digit",
            format!("CLAWKEEP-KEY-1 {}g\n", &digits[..63]).into(),
            is_none(),
        ),
        (
            "two-keys",
            "two keys",
            format!("CLAWKEEP-KEY-1 {digits}\nCLAWKEEP-KEY-1 {digits}\n").into(),
            is_none(),
        ),
        (
            "something-behind",
            "something behind the digits",
            format!("CLAWKEEP-KEY-1 {digits} # mine\n").into(),
            is_none(),
        ),
        (
            "other-mark",
            "the mark of another version",
            format!("CLAWKEEP-KEY-2 {digits}\n").into(),
            is_none(),
        ),
        (
            "lower-case-mark",
            "the mark in lower case",
            format!("clawkeep-key-1 {digits}\n").into(),
            is_none(),
        ),
        (
            "comment-only",
            "nothing but a comment",
            b"# CLAWKEEP-KEY-1\n".to_vec(),
            is_none(),
        ),
        (
            "carriage-return",
            "a CR by itself ends no line",
            format!("# x\rCLAWKEEP-KEY-1 {digits}\n").into(),
            is_none(),
        ),
        (
            "byte-order-mark",
            "a byte order mark",
            format!("\u{feff}CLAWKEEP-KEY-1 {digits}\n").into(),
            is_none(),
        ),
        (
            "unit-separator",
            "U+001F, which is no blank",
            format!("CLAWKEEP-KEY-1\u{1f}{digits}\n").into(),
            is_none(),
        ),
        (
            "not-utf-8",
            "a comment that is not UTF-8",
            [&b"# \xff\n"[..], own.as_bytes()].concat(),
            is_none(),
        ),
        ("nothing", "an empty file", Vec::new(), is_none()),
    ];
    for (name, about, file, expect) in cases {
        write(
            "keyfile",
            name,
            about,
            json!({"bytes": hex(&file), "expect": expect}),
        );
    }
}

fn prints_and_digests() {
    let key: [u8; 32] = bytes("fingerprint key");
    for (name, number, token) in [
        ("token", 1, "sk-test-token"),
        ("key-65535", 65_535, "sk-test-token"),
        ("key-258", 258, "\u{e9}\u{1f511} not ASCII"),
        ("empty", 1, ""),
    ] {
        let print = FingerprintKey::from_bytes(&key)
            .unwrap()
            .fingerprint(number, token);
        let expect = json!({"bytes": hex(&print.to_bytes()), "text": print.to_string()});
        let case = json!({"key": hex(&key), "number": number, "token": token, "expect": expect});
        write("fingerprint", name, "a token's fingerprint", case);
    }
    let data = DataKey::from_bytes(&bytes::<32>("data key")).unwrap();
    for (name, vault, file) in [
        ("file", VAULT, &b"{\"version\":1,\"profiles\":{}}\n"[..]),
        ("empty", VAULT, b""),
        (
            "other-vault",
            *b"another vault id",
            b"{\"version\":1,\"profiles\":{}}\n",
        ),
    ] {
        let expect = json!({"digest": hex(&data.export_digest(VaultId(vault), file))});
        let case = json!({"dataKey": hex(data.expose_secret()), "vault": hex(&vault), "bytes": hex(file), "expect": expect});
        write("digest", name, "the digest of an exported file", case);
    }
}

fn heads() {
    let (vault, mac) = (hex(&VAULT), hex(&bytes::<32>("a head's MAC")));
    let is_one = |seq: i64| json!({"vault": vault, "seq": seq, "mac": mac});
    let is_none = || json!({"error": "not-one"});
    for (name, about, text, expect) in [
        (
            "as-printed",
            "as it is printed",
            format!("clawkeep-head-1 {vault} 17 {mac}\n"),
            is_one(17),
        ),
        (
            "blanks",
            "other blanks",
            format!("  clawkeep-head-1\t{vault}\r\n17\u{a0}{mac} "),
            is_one(17),
        ),
        (
            "largest",
            "the largest number there is",
            format!("clawkeep-head-1 {vault} 9223372036854775807 {mac}"),
            is_one(i64::MAX),
        ),
        (
            "too-large",
            "a number beyond 64 bits",
            format!("clawkeep-head-1 {vault} 9223372036854775808 {mac}"),
            is_none(),
        ),
        (
            "upper-case",
            "digits in upper case",
            format!("clawkeep-head-1 {} 17 {mac}", vault.to_uppercase()),
            is_none(),
        ),
        (
            "short-mac",
            "a MAC that is cut",
            format!("clawkeep-head-1 {vault} 17 {}", &mac[..62]),
            is_none(),
        ),
        (
            "short-vault",
            "a vault id that is cut",
            format!("clawkeep-head-1 {} 17 {mac}", &vault[..30]),
            is_none(),
        ),
        (
            "no-number",
            "no number",
            format!("clawkeep-head-1 {vault} x {mac}"),
            is_none(),
        ),
        (
            "word-more",
            "a word more",
            format!("clawkeep-head-1 {vault} 17 {mac} more"),
            is_none(),
        ),
        (
            "word-less",
            "a word less",
            format!("clawkeep-head-1 {vault} 17"),
            is_none(),
        ),
        (
            "other-mark",
            "of another version",
            format!("clawkeep-head-2 {vault} 17 {mac}"),
            is_none(),
        ),
        ("nothing", "nothing", String::new(), is_none()),
    ] {
        write("head", name, about, json!({"text": text, "expect": expect}));
    }
}

fn rescues() {
    let print = [&[0, 1][..], &bytes::<8>("print")].concat();
    let tokens = json!({"agent": "main", "profile": "anthropic:work", "origin": "https://example.org", "clientId": "client",
        "access": "sk-test-a", "refresh": "sk-test-r", "idToken": null, "expires": 1_800_000_000_000_i64});
    let place = place(
        "rescue",
        "tokens",
        vec![json!({"bytes": hex(&print)}), number(5)],
    );
    let blob = place.seal("rescue", &bytes("data key"), tokens.to_string().as_bytes());
    let length = u32::try_from(blob.len()).unwrap().to_be_bytes();
    let file = |fence: i64| {
        [
            &b"clawkeep rescue 1\n"[..],
            &fence.to_be_bytes(),
            &length,
            &blob,
        ]
        .concat()
    };
    let opens = json!({"fence": 5, "tokens": tokens});
    let fails = |word: &str| json!({ "error": word });
    let whole = file(5);
    for (name, about, bytes_, expect) in [
        ("whole", "written to its end", whole.clone(), opens.clone()),
        (
            "room-behind",
            "with the room behind it that was made before",
            [&whole[..], &[0; 64]].concat(),
            opens,
        ),
        (
            "cut",
            "cut by a byte",
            whole[..whole.len() - 1].to_vec(),
            fails("not-whole"),
        ),
        (
            "room-only",
            "only the room, nothing written",
            vec![0; 64],
            fails("not-whole"),
        ),
        (
            "header-cut",
            "cut in the length",
            whole[..28].to_vec(),
            fails("not-whole"),
        ),
        (
            "other-fence",
            "of another refresh",
            file(6),
            fails("unopened"),
        ),
    ] {
        let case = json!({"dataKey": hex(&bytes::<32>("data key")), "vault": hex(&VAULT), "epoch": EPOCH, "print": hex(&print),
            "bytes": hex(&bytes_), "expect": expect});
        write("rescue", name, about, case);
    }
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
    sealed_columns();
    sealed_defects();
    slots();
    recovery();
    keyfiles();
    prints_and_digests();
    heads();
    rescues();
    super::make_chains::events();
    super::make_chains::chains();
}
