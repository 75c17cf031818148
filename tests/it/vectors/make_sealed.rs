//! Makes the vectors of sealed blobs: one of every column, each beside what it is not bound to.

use serde_json::json;

use super::make::{EPOCH, Place, VAULT, bytes, number, place, text, write};
use super::{hex, make};

/// A sealed case: what a reader has in hand, and what is to come of it.
fn sealed(name: &str, about: &str, place: &Place, epoch: u32, blob: &[u8], plain: Option<&[u8]>) {
    let expect = match plain {
        Some(plain) => json!({"plain": hex(plain)}),
        None => json!({"error": "unopened"}),
    };
    let case = json!({
        "label": place.label, "key": hex(&bytes::<32>("data key")), "vault": hex(&VAULT),
        "epoch": epoch,
        "table": place.table, "column": place.column, "parts": place.parts, "blob": hex(blob),
        "expect": expect,
    });
    write("sealed", name, about, case);
}

const ENTRY: &[u8] = concat!(
    r#"{"type":"oauth","provider":"anthropic","access":"sk-test-access","#,
    r#""refresh":"sk-test-refresh","expires":1800000000000.5,"email":"a@example.org"}"#
)
.as_bytes();

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

/// A listing of one row: its key, its digest, the note beside it.
fn listed(key: &str, note: &str) -> Vec<u8> {
    let length = |text: &str| u32::try_from(text.len()).unwrap().to_be_bytes();
    [
        &length(key)[..],
        key.as_bytes(),
        &bytes::<16>(&format!("digest of {key}")),
        &length(note),
        note.as_bytes(),
    ]
    .concat()
}

/// One of every sealed column, as it opens.
pub(super) fn sealed_columns() {
    let key = bytes("data key");
    let other_key: [u8; 32] = bytes("another key");
    let later = [&other_key[..], &41_i64.to_be_bytes()].concat();
    let mut wrapped = place("key_slots", "wrapped", vec![number(1), text("keyfile")]);
    wrapped.label = "clawkeep/1/wrap";
    let kdf = "$argon2id$v=19$m=65536,t=3,p=4$AAECAwQFBgcICQoLDA0ODw";
    let print = [&[0, 1][..], &bytes::<8>("print")].concat();
    let frame = concat!(
        r#"[{"version":1,"profiles":{},"unknown":["kept"]},{},"#,
        r#"{"anthropic:work":["https://example.org","client"]}]"#
    )
    .as_bytes();
    let tokens = concat!(
        r#"{"agent":"main","profile":"anthropic:work","origin":"https://example.org","#,
        r#""clientId":"client","access":"sk-test-a","refresh":"sk-test-r","idToken":null,"#,
        r#""expires":1800000000000}"#
    )
    .as_bytes();
    let listing = listed("anthropic:work", "anthropic");
    let root = listed("agents", "");
    let agent = text("main");
    let mut passphrase = wrapped.clone();
    passphrase.parts = vec![number(2), text("passphrase"), text(kdf)];
    let cases: [(&str, Place, &[u8]); 17] = [
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
            place(
                "record_keys",
                "sealed",
                vec![text("audit"), number(2), text("listed")],
            ),
            &later,
        ),
        (
            "record-key-earlier",
            place(
                "record_keys",
                "sealed",
                vec![text("audit"), number(1), text("listed"), number(2)],
            ),
            &other_key,
        ),
        (
            "record-key-fingerprint",
            place(
                "record_keys",
                "sealed",
                vec![text("fingerprint"), number(1), text("listed")],
            ),
            &other_key,
        ),
        (
            "record-key-before-schema-4",
            place("record_keys", "sealed", vec![text("audit"), number(1)]),
            &other_key,
        ),
        (
            "listing",
            place("listings", "sealed", vec![text("main"), text("profiles")]),
            &listing,
        ),
        (
            "listing-root",
            place(
                "listings",
                "sealed",
                vec![
                    text(""),
                    text("root"),
                    number(41),
                    json!({"bytes": hex(&bytes::<32>("mac of event 41"))}),
                ],
            ),
            &root,
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
pub(super) fn sealed_defects() {
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
    let mut newest = make::place(
        "record_keys",
        "sealed",
        vec![text("audit"), number(1), text("listed"), number(2)],
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
    let listed = make::place(
        "record_keys",
        "sealed",
        vec![text("audit"), number(1), text("listed")],
    );
    let mut unlisted = listed.clone();
    unlisted.parts.pop();
    refused(
        "record-key-listed-as-before-schema-4",
        "an audit key of a listed vault, the listings taken out",
        &unlisted,
        EPOCH,
        &listed.seal(
            "record-key-newest",
            &bytes("data key"),
            &bytes::<32>("another key"),
        ),
    );
    let case = json!({
        "label": place.label, "key": hex(&bytes::<32>("data key")),
        "vault": hex(b"another vault id"), "epoch": EPOCH,
        "table": place.table, "column": place.column, "parts": place.parts, "blob": hex(&blob),
        "expect": {"error": "unopened"},
    });
    write("sealed", "refused-other-vault", "in another vault", case);
}
