//! Sealed blobs and key files.

use super::draw::Draw;
use secrecy::SecretString;

use crate::crypto::{
    Aad, Argon2id, DataKey, Epoch, RecoveryCode, SealKey, SlotKey, SlotKind, SlotRecord,
    keyfile_text, parse_keyfile, parse_recovery_code,
};
use crate::domain::{KeyId, VaultId};

const VAULT: VaultId = VaultId([1; 16]);

fn key() -> SealKey {
    DataKey::from_bytes(&[9; 32])
        .expect("32 bytes are a key")
        .seal_key(VAULT, Epoch(1))
}

fn aad(parts: &[&[u8]]) -> Aad {
    let aad = Aad::new(VAULT, "profiles", "sealed");
    parts.iter().fold(aad, |aad, part| aad.bytes(part))
}

/// Nothing opens that was not sealed, for that very place; what was sealed opens and is what it
/// was; one bit less and it does not.
pub fn sealed_blob(data: &[u8]) {
    let key = key();
    assert!(key.open(aad(&[]), data).is_err(), "a forged blob opened");
    let slot = SlotRecord {
        slot: 1,
        kind: SlotKind::Keyfile,
        key_id: KeyId([1; 8]),
        check: [0; 16],
        kdf: None,
        wrapped: data.to_vec(),
    };
    let slot_key = SlotKey::from_bytes(&[8; 32]).expect("32 bytes are a key");
    assert!(slot.unwrap_data_key(VAULT, Epoch(1), &slot_key).is_err());

    let mut draw = Draw::new(data);
    let (flip, cut) = (draw.number(), draw.byte());
    let here: Vec<&[u8]> = (0..draw.below(4)).map(|_| draw.bytes()).collect();
    let there: Vec<&[u8]> = (0..draw.below(4)).map(|_| draw.bytes()).collect();
    let plain = draw.bytes();
    let Ok(blob) = key.seal(aad(&here), plain) else {
        return; // no random numbers
    };
    let opened = key.open(aad(&here), &blob).expect("what was sealed opens");
    assert_eq!(opened.as_slice(), plain);
    assert_eq!(key.open(aad(&there), &blob).is_ok(), here == there);
    let mut altered = blob.clone();
    let at = usize::try_from(flip.unsigned_abs()).unwrap_or(0) % (blob.len() * 8);
    altered[at / 8] ^= 1 << (at % 8);
    assert!(key.open(aad(&here), &altered).is_err(), "bit {at}");
    let len = blob.len() - 1 - usize::from(cut) % blob.len();
    assert!(key.open(aad(&here), &blob[..len]).is_err(), "cut to {len}");
}

/// What is taken for a key file is one: written anew it gives the same key, less gives none.
pub fn key_file(data: &[u8]) {
    let Some(key) = parse_keyfile(data) else {
        return;
    };
    let text = keyfile_text(VAULT, &key);
    let again = parse_keyfile(text.as_bytes()).expect("our own text is a key file");
    assert_eq!(again.expose_secret(), key.expose_secret());
    let hex = data_encoding::HEXLOWER.encode(key.expose_secret());
    let lower = String::from_utf8_lossy(data).to_ascii_lowercase();
    assert!(lower.contains(&hex), "the key is not what stands there");
    let twice = [data, b"\n", text.as_bytes()].concat();
    assert!(parse_keyfile(&twice).is_none(), "of two keys one was taken");
}

/// What is taken for a recovery code says one key, which is written in one way: what was typed is
/// that code, but for what does not count. Any key's code reads back, and one character less or
/// another in its place does not.
pub fn recovery_code(data: &[u8]) {
    let text = String::from_utf8_lossy(data).into_owned();
    if let Ok(key) = parse_recovery_code(&SecretString::from(text.as_str())) {
        let expected = |text: &str| -> String {
            let counts = |c: &char| !c.is_whitespace() && *c != '-';
            let of = |c: char| match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                other => other,
            };
            text.chars().filter(counts).map(of).collect()
        };
        let found = expected(&text);
        assert_eq!(found, expected(RecoveryCode::of(&key).expose_secret()));
    }
    let mut draw = Draw::new(data);
    let (at, other) = (usize::from(draw.byte()), draw.byte());
    let mut bytes = [0; 32];
    let drawn = draw.bytes();
    bytes
        .iter_mut()
        .zip(drawn)
        .for_each(|(byte, drawn)| *byte = *drawn);
    let key = SlotKey::from_bytes(&bytes).expect("32 bytes are a key");
    let code = RecoveryCode::of(&key);
    let parse = |text: &str| parse_recovery_code(&SecretString::from(text));
    let again = parse(code.expose_secret()).expect("a code is one");
    assert_eq!(again.expose_secret(), key.expose_secret());
    let symbols = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";
    let mut typed = code.expose_secret().as_bytes().to_vec();
    let at = at % typed.len();
    let instead = symbols[usize::from(other) % symbols.len()];
    if typed[at] != b'-' && typed[at] != instead {
        typed[at] = instead;
        let typed = String::from_utf8_lossy(&typed).into_owned();
        assert!(
            parse(&typed).is_err(),
            "character {at} mistyped was not noticed"
        );
    }
    let mut less = code.expose_secret().to_owned();
    if less.remove(at) != '-' {
        assert!(
            parse(&less).is_err(),
            "character {at} left out was not noticed"
        );
    }
}

/// Parameters of a passphrase that are taken are within bounds and written in one way.
pub fn passphrase_parameters(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Some(read) = Argon2id::parse(&text) {
        assert_eq!(read.to_string(), text);
        let costs = read.costs();
        let mib: u32 = costs
            .split(' ')
            .nth(1)
            .and_then(|mib| mib.parse().ok())
            .expect("the costs begin with the memory");
        assert!((64..=1024).contains(&mib), "{costs}");
    }
}
