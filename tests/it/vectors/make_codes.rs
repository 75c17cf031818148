//! Makes the vectors of what people hold in their hands: codes, key files, heads; and of
//! fingerprints, digests and recovery files.

#![allow(
    clippy::needless_pass_by_value,
    reason = "cases are written as JSON literals where they are handed over"
)]

use clawkeep::internal::crypto::{DataKey, FingerprintKey, RecoveryCode, SlotKey, keyfile_text};
use clawkeep::internal::domain::VaultId;
use serde_json::{Value, json};

use super::hex;
use super::make::{EPOCH, VAULT, bytes, number, place, write};

pub(super) fn recovery() {
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
    // 16 digits of which the last has a bit that no key has: 52 characters carry 260 bits, a key
    // 256.
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

pub(super) fn keyfiles() {
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

pub(super) fn prints_and_digests() {
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
        let case = json!({"dataKey": hex(data.expose_secret()), "vault": hex(&vault),
            "bytes": hex(file), "expect": expect});
        write("digest", name, "the digest of an exported file", case);
    }
}

pub(super) fn heads() {
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

pub(super) fn rescues() {
    let print = [&[0, 1][..], &bytes::<8>("print")].concat();
    let tokens = json!({"agent": "main", "profile": "anthropic:work",
        "origin": "https://example.org", "clientId": "client",
        "access": "sk-test-a", "refresh": "sk-test-r", "idToken": null,
        "expires": 1_800_000_000_000_i64});
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
        let case = json!({"dataKey": hex(&bytes::<32>("data key")), "vault": hex(&VAULT),
            "epoch": EPOCH, "print": hex(&print),
            "bytes": hex(&bytes_), "expect": expect});
        write("rescue", name, about, case);
    }
}
