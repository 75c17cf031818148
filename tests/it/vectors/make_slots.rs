//! Makes the vectors of key slots.

#![allow(
    clippy::needless_pass_by_value,
    reason = "cases are written as JSON literals where they are handed over"
)]

use clawkeep::internal::crypto::{RecoveryCode, SlotKey, keyfile_text};
use clawkeep::internal::domain::VaultId;
use serde_json::{Value, json};

use super::make::write as write_case;
use super::make::{EPOCH, VAULT, bytes, derive, number, place, text};
use super::{hex, unhex};

const KDF: &str = "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw";
const PASSPHRASE: &str = "caf\u{e9} made up for vectors";

/// The key of a slot of that kind.
fn slot_key(kind: &str) -> [u8; 32] {
    if kind == "passphrase" {
        let kdf = clawkeep::internal::crypto::Argon2id::parse(KDF).unwrap();
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
        "slot": number_, "kind": kind, "kdf": kdf, "check": hex(&derive(key,
        "clawkeep/1/check")[..16]),
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
    let case = json!({"vault": hex(&VAULT), "epoch": EPOCH, "slot": slot, "given": given,
        "expect": expect});
    write_case("slot", name, about, case);
}

fn flip(digits: &Value) -> Value {
    let mut blob = unhex(digits.as_str().unwrap());
    *blob.last_mut().unwrap() ^= 1;
    hex(&blob).into()
}

pub(super) fn slots() {
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
        let case = json!({"vault": hex(&VAULT), "epoch": EPOCH + 1, "slot": good, "given": right,
            "expect": fails("altered-slot")});
        write_case(
            "slot",
            &format!("{kind}-other-epoch"),
            &format!("{kind}: in a vault of another epoch"),
            case,
        );
        let case = json!({"vault": hex(b"another vault id"), "epoch": EPOCH, "slot": good,
            "given": right, "expect": fails("wrong-key")});
        write_case(
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
