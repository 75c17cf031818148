//! What a text must be like to be a secret: one set of rules for pasted, imported and stored ones.

use std::collections::HashSet;
use std::fmt;

use super::named::named;

/// The longest secret, in bytes. The longest tokens are JWTs of some thousands.
pub const SECRET_MAX: usize = 64 << 10;

named! {
    /// Why a text is no secret that could be sent. Never quotes it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    #[non_exhaustive]
    pub enum SecretFault {
        /// There is nothing but blanks.
        Empty = "empty",
        /// It has more than [`SECRET_MAX`] bytes.
        TooLong = "too-long",
        /// It has a line break inside.
        LineBreak = "line-break",
        /// It has a blank inside.
        Blank = "blank",
        /// It has an invisible character inside.
        Invisible = "invisible-character",
        /// It has a character inside that no key or token has.
        OddCharacter = "odd-character",
        /// It begins with a variable's name and `=`.
        Assignment = "assignment",
        /// It has quotes around it.
        Quoted = "quoted",
        /// It stands for a secret: `${VAR}`, `<your-key>`.
        Placeholder = "placeholder",
        /// It is the name of an environment variable: `OPENAI_API_KEY`.
        VariableName = "variable-name",
        /// It is a number, a list or another value that is no text.
        NotText = "not-text",
    }
}

/// As half a sentence that begins with the secret: "has a line break inside".
impl fmt::Display for SecretFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "is empty",
            Self::TooLong => "is longer than 65536 bytes",
            Self::LineBreak => "has a line break inside",
            Self::Blank => "has a blank inside",
            Self::Invisible => "has an invisible character inside",
            Self::OddCharacter => "has a character that no key or token has",
            Self::Assignment => "begins with a variable's name and \"=\"",
            Self::Quoted => "has quotes around it",
            Self::Placeholder => "is a placeholder, such as ${VAR} or <your-key>, and no secret",
            Self::VariableName => "is the name of an environment variable, and no secret",
            Self::NotText => "is not text",
        })
    }
}

/// The secret in a text, without the byte-order mark and the blanks around it: a word of visible
/// ASCII characters, since it goes into an HTTP header. A JSON object (a service account) and a PEM
/// block (a private key) have lines and blanks by nature, and pass whole.
pub fn check_secret(bytes: &[u8]) -> Result<&str, SecretFault> {
    if bytes.len() > SECRET_MAX {
        return Err(SecretFault::TooLong);
    }
    let bytes = super::text::without_bom(bytes);
    let Ok(text) = std::str::from_utf8(bytes) else {
        return Err(SecretFault::OddCharacter);
    };
    let secret = text.trim();
    if secret.is_empty() {
        return Err(SecretFault::Empty);
    }
    if is_document(secret) {
        return Ok(secret);
    }
    if is_placeholder(secret) {
        return Err(SecretFault::Placeholder);
    }
    if is_variable_name(secret) {
        return Err(SecretFault::VariableName);
    }
    let is_word = secret.bytes().all(|byte| byte.is_ascii_graphic());
    let has = |is: fn(char) -> bool| !is_word && secret.contains(is);
    match () {
        () if has(is_line_break) => Err(SecretFault::LineBreak),
        () if has(char::is_whitespace) => Err(SecretFault::Blank),
        () if has(super::text::is_hidden) => Err(SecretFault::Invisible),
        () if is_word && is_assignment(secret) => Err(SecretFault::Assignment),
        () if secret.starts_with(['"', '\'', '`']) => Err(SecretFault::Quoted),
        () if !is_word => Err(SecretFault::OddCharacter),
        () => Ok(secret),
    }
}

/// How the secrets of providers and code hosts begin. Sources: their documentation of keys; `eyJ`
/// is a JWT.
const BEGINNINGS: [&str; 21] = [
    "sk-",
    "sk_",
    "gsk_",
    "csk-",
    "xai-",
    "pplx-",
    "nvapi-",
    "r8_",
    "hf_",
    "tgp_",
    "AIza",
    "ya29.",
    "AKIA",
    "ghp_",
    "gho_",
    "ghu_",
    "ghs_",
    "github_pat_",
    "glpat-",
    "xoxb-",
    "eyJ",
];

/// Whether a word begins as secrets of providers do.
pub fn begins_as_secret(word: &str) -> bool {
    let follows = |beginning| word.strip_prefix(beginning);
    let mut remainders = BEGINNINGS.into_iter().filter_map(follows);
    remainders.any(|rest| rest.len() >= 4) && !word.contains(['/', ' '])
}

/// Beginnings that are in no other word: what is before them does not matter.
const DISTINCT: [&str; 8] = [
    "sk-proj-",
    "sk-ant-",
    "sk-or-v1-",
    "gsk_",
    "nvapi-",
    "ghp_",
    "github_pat_",
    "glpat-",
];

/// The first part of a text that begins as secrets of providers do, in any case, and is as long as
/// keys are: `key:sk-…`, `Bearer sk-…`. `None` in a path.
pub fn known_secret_in(text: &str) -> Option<&str> {
    const SHORTEST: usize = 16;
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "-_.+=~".contains(c);
    let lower = text.to_ascii_lowercase();
    let parts = BEGINNINGS.into_iter().flat_map(|beginning| {
        let beginning = beginning.to_ascii_lowercase();
        let found: Vec<usize> = lower.match_indices(&beginning).map(|(at, _)| at).collect();
        found.into_iter().map(move |at| (at, beginning.len()))
    });
    let mut secrets: Vec<&str> = parts
        .filter(|(at, _)| {
            let mut distinct = DISTINCT.iter();
            !lower[..*at].ends_with(|c: char| c.is_ascii_alphanumeric())
                || distinct.any(|beginning| lower[*at..].starts_with(beginning))
        })
        .filter_map(|(at, length)| {
            let part = &text[at..];
            let end = part.find(|c| !is_of_key(c)).unwrap_or(part.len());
            (end >= length + SHORTEST).then(|| &part[..end])
        })
        .collect();
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets.first().copied().filter(|_| !text.contains('/'))
}

/// Whether a word is as long and as mixed as random keys and codes are, and is no UUID, path or id.
pub fn is_random(word: &str) -> bool {
    const SHORTEST: usize = 20;
    let is_of_key = |c: char| c.is_ascii_alphanumeric() || "-_.+=~".contains(c);
    let is_uuid = word.len() == 36 && word.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    word.len() >= SHORTEST
        && word.chars().all(is_of_key)
        && word.contains(|c: char| c.is_ascii_digit())
        && word.contains(|c: char| c.is_ascii_alphabetic())
        && !is_uuid
}

/// Whether a word could be a secret that no provider marks, and is no name that people or programs
/// give: the word, or what follows its first colon, is nothing but letters and digits, mixed, and as
/// long as keys are. UUIDs have hyphens; a ULID, which has none, is known by its form.
pub fn could_be_secret(word: &str) -> bool {
    let tail = word.split_once(':').map(|(_, tail)| tail);
    let mut parts = [Some(word), tail].into_iter().flatten();
    parts.any(|part| is_mixed(part.trim_end_matches('=')))
}

fn is_mixed(part: &str) -> bool {
    const SHORTEST: usize = 20;
    /// How many digits, and how many letters, a key has at least.
    const EACH: usize = 3;
    /// How many different characters it has at least. 32 hexadecimal digits have 14 on average.
    const DIFFERENT: usize = 8;
    let count = |is: fn(&u8) -> bool| part.bytes().filter(is).count();
    part.len() >= SHORTEST
        && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && count(u8::is_ascii_digit) >= EACH
        && count(u8::is_ascii_alphabetic) >= EACH
        && part.bytes().collect::<HashSet<u8>>().len() >= DIFFERENT
        && !is_ulid(part)
}

/// A time in milliseconds and a random number in Crockford's base 32. Until the year 2248 it begins
/// with `01`.
fn is_ulid(part: &str) -> bool {
    const LENGTH: usize = 26;
    let is_of_ulid = |byte: u8| !b"ILOUilou".contains(&byte);
    let has_lower = part.bytes().any(|byte| byte.is_ascii_lowercase());
    let has_upper = part.bytes().any(|byte| byte.is_ascii_uppercase());
    part.len() == LENGTH
        && part.starts_with("01")
        && !(has_lower && has_upper)
        && part.bytes().all(is_of_ulid)
}

fn is_line_break(c: char) -> bool {
    matches!(
        c,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}'
    )
}

/// A secret that is a document by nature.
fn is_document(secret: &str) -> bool {
    let is_pem = secret.starts_with("-----BEGIN ") && secret.ends_with("-----");
    let is_json = secret.starts_with('{')
        && secret.ends_with('}')
        && serde_json::from_str::<serde::de::IgnoredAny>(secret).is_ok();
    is_pem || is_json
}

/// `NAME=value`, as it stands in a file of variables. Padding at the end of a secret is none.
fn is_assignment(secret: &str) -> bool {
    let Some((name, value)) = secret.split_once('=') else {
        return false;
    };
    let is_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    name.len() > 2
        && name.bytes().all(is_name)
        && name.starts_with(|first: char| !first.is_ascii_digit())
        && !value.trim_start_matches('=').is_empty()
        && (name.contains('_') || !name.contains(|c: char| c.is_ascii_digit()))
}

/// Whether it is an environment variable's name, which some programs resolve: capitals and `_`.
fn is_variable_name(secret: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    secret.starts_with(|first: char| first.is_ascii_uppercase())
        && secret.bytes().all(is_of_name)
        && secret.contains('_')
}

/// What people write where a secret is to be, and forget to replace.
fn is_placeholder(secret: &str) -> bool {
    const WORDS: [&str; 12] = [
        "changeme",
        "change-me",
        "replaceme",
        "replace-me",
        "placeholder",
        "redacted",
        "undefined",
        "null",
        "none",
        "todo",
        "[object object]",
        "insert-key-here",
    ];
    let between = |open: &str, close: &str| {
        let inner = secret
            .strip_prefix(open)
            .and_then(|rest| rest.strip_suffix(close));
        inner.is_some_and(|inner| !inner.is_empty())
    };
    let is_name = |name: &str| {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        !name.is_empty() && name.chars().all(is_of_name)
    };
    let is_variable = secret.strip_prefix('$').is_some_and(is_name)
        || secret
            .strip_prefix('%')
            .and_then(|rest| rest.strip_suffix('%'))
            .is_some_and(is_name)
        || secret.contains('$') // faster than to look for both
            && secret
                .split_once("${")
                .is_some_and(|(_, rest)| rest.contains('}'));
    if is_variable || secret == "!" || between("<", ">") || between("{{", "}}") {
        return true; // "!" is a command that is missing
    }
    // Nearly every secret has a digit, which nothing below has, but for what is in `__` and `__`.
    if secret.contains(|c: char| c.is_ascii_digit()) && !secret.starts_with(['_', '-']) {
        return false;
    }
    let lower = secret.to_lowercase().replace(['_', ' '], "-");
    // "your-api-key-here", "sk-your-key"; no secret is made of letters and hyphens alone and speaks
    // of a key of yours.
    let is_yours = lower
        .chars()
        .all(|c| c.is_ascii_lowercase() || ".-<>[]".contains(c))
        && lower.contains("your")
        && ["key", "token", "secret"]
            .iter()
            .any(|word| lower.contains(word));
    let filler = lower.trim_start_matches("sk-").trim_start_matches("ant-");
    let is_filler = filler.len() > 2
        && ['x', '*', '.', '\u{2026}', '\u{2022}']
            .iter()
            .any(|c| filler.chars().all(|other| other == *c));
    let is_redacted = lower.trim_matches(['-', '<', '>', '[', ']']) == "redacted"
        || (lower.starts_with("--") && lower.ends_with("redacted--"));
    is_yours || is_filler || is_redacted || WORDS.contains(&lower.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn secrets_pass() {
        for good in [
            "sk-a=b_c",
            " eyJ.x.y==\r\n",
            "\u{feff}sk-1",
            "ABCDEF==",
            "AKIA3=abc",
            "sk-yourself-9key",
            "{\"type\": \"service_account\",\n \"private_key\": \"-----BEGIN\"}",
            "-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----\n",
            "!pass",
        ] {
            let kept = check_secret(good.as_bytes()).unwrap();
            assert_eq!(kept, good.trim_start_matches('\u{feff}').trim());
        }
    }

    #[test]
    fn what_is_no_secret_is_named_and_not_quoted() {
        let long = "x1".repeat(SECRET_MAX);
        for (bad, want) in [
            ("", SecretFault::Empty),
            (" \n", SecretFault::Empty),
            (&long, SecretFault::TooLong),
            ("sk-a sk-b", SecretFault::Blank),
            ("sk-a\u{a0}b", SecretFault::Blank),
            ("sk-a\nsk-b", SecretFault::LineBreak),
            ("sk-a\u{2028}b", SecretFault::LineBreak),
            ("sk-a\u{1b}[2J", SecretFault::Invisible),
            ("sk-a\u{200b}", SecretFault::Invisible),
            ("sk-\u{feff}a", SecretFault::Invisible),
            ("sk-é", SecretFault::OddCharacter),
            ("OPENAI_API_KEY=sk-a", SecretFault::Assignment),
            ("\"sk-a\"", SecretFault::Quoted),
            ("${ANTHROPIC_API_KEY}", SecretFault::Placeholder),
            ("Bearer${X}", SecretFault::Placeholder),
            ("$OPENAI_API_KEY", SecretFault::Placeholder),
            ("%OPENAI_API_KEY%", SecretFault::Placeholder),
            ("<your-key-here>", SecretFault::Placeholder),
            ("<API key>", SecretFault::Placeholder),
            ("{{ secrets.KEY }}", SecretFault::Placeholder),
            ("YOUR_API_KEY", SecretFault::Placeholder),
            ("sk-your-key-here", SecretFault::Placeholder),
            ("sk-...", SecretFault::Placeholder),
            ("xxxxxxxx", SecretFault::Placeholder),
            ("********", SecretFault::Placeholder),
            ("__OPENCLAW_REDACTED__", SecretFault::Placeholder),
            ("changeme", SecretFault::Placeholder),
            ("!", SecretFault::Placeholder),
            ("OPENAI_API_KEY", SecretFault::VariableName),
            ("K_2", SecretFault::VariableName),
        ] {
            let fault = check_secret(bad.as_bytes()).unwrap_err();
            assert_eq!(fault, want, "{bad}");
            assert!(!fault.to_string().contains("sk-"));
        }
        assert_eq!(check_secret(b"sk-\xff"), Err(SecretFault::OddCharacter));
    }

    #[test]
    fn a_name_is_no_secret_and_a_mixed_word_could_be_one() {
        for secret in [
            "aB3dE5gH7jK9mN1pQ3sT5vW7yZ9bC1dE",
            "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
            "openai:0f1e2d3c4b5a69788796a5b4c3d2e1f0abcd",
            "aB3dE5gH7jK9mN1pQ3sT5w==",
        ] {
            assert!(could_be_secret(secret), "{secret}");
        }
        for name in [
            "550e8400-e29b-41d4-a716-446655440000",
            "anthropic:550e8400-e29b-41d4-a716-446655440000",
            "01JEABCDEFGHJKMNPQRSTVWXYZ",
            "agent:main:telegram:group:-1001234567890",
            "agent:main:msteams:19:meeting_MjdhNjM4YzUtYzExZi00@thread.v2",
            "120363012345678901234",
            "openai-codex:firstname.lastname2024@example.com",
            "anthropic-claude-sonnet-20241022",
            "averylongnameofaprovider",
            "session00000000000000001",
        ] {
            assert!(!could_be_secret(name), "{name}");
        }
    }

    proptest! {
        #[test]
        fn what_passes_is_a_word_or_a_document(text in any::<String>()) {
            if let Ok(secret) = check_secret(text.as_bytes()) {
                let is_graphic = secret.bytes().all(|byte| byte.is_ascii_graphic());
                prop_assert!(is_document(secret) || is_graphic);
            }
        }

        #[test]
        fn what_providers_give_out_passes(
            text in "(sk|gsk|xai|gho|eyJ)[-_.][A-Za-z0-9_-]{20,200}={0,2}",
        ) {
            prop_assert_eq!(check_secret(text.as_bytes()), Ok(text.as_str()));
        }
    }
}
