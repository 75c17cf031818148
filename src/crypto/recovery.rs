//! Recovery codes: a slot's key as a person writes it down.
//!
//! 32 bytes in Crockford's base32 are 52 characters: 13 groups of 4, each with a check character
//! behind it, `7K3QX-…`. The check character is Crockford's (modulo 37) of the group's value with
//! the group's number before it, so that a mistyped, a swapped and a missing group are named.
//! Source: Douglas Crockford, Base 32; `spec/vault.md`, Keys.

use data_encoding::{Encoding, Specification};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::keys::SlotKey;

use crate::domain::debug_as;

/// Characters of a group without its check character.
const GROUP: usize = 4;
const GROUPS: usize = 13;
/// Crockford's symbols for values, and behind them those that only check characters have.
const SYMBOLS: &[u8; 37] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ*~$=U";

/// How many characters that no code has may be in a text that counts as a code.
const MISTAKES_MAX: usize = 3;

/// Why a text is no recovery code. Groups are counted from 1. Nothing of the text is quoted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryFault {
    /// A group does not agree with its check character.
    #[error("group {0} of the recovery code is mistyped, or not in its place")]
    Group(usize),
    /// A group of the code is missing.
    #[error("the recovery code has {found} of its {GROUPS} groups; check group {at}")]
    Missing {
        /// How many there are.
        found: usize,
        /// The first that is not in its place.
        at: usize,
    },
    /// It is too long, too short, or something else.
    #[error("a recovery code has {GROUPS} groups of {} characters", GROUP + 1)]
    NotOne,
}

fn base32() -> Encoding {
    let mut spec = Specification::new();
    spec.symbols.push_str("0123456789ABCDEFGHJKMNPQRSTVWXYZ");
    spec.encoding()
        .expect("32 different symbols are an encoding")
}

/// What a typed character means; lower case is upper case, O is 0, I and L are 1.
fn symbol(typed: char) -> Option<u8> {
    let upper = u8::try_from(typed.to_ascii_uppercase()).ok()?;
    let symbol = match upper {
        b'O' => b'0',
        b'I' | b'L' => b'1',
        other => other,
    };
    SYMBOLS.contains(&symbol).then_some(symbol)
}

/// The check character of a group; `None` if it has other characters than values.
fn check_symbol(index: usize, group: &[u8]) -> Option<u8> {
    let digit = |symbol: &u8| SYMBOLS[..32].iter().position(|known| known == symbol);
    let value = group
        .iter()
        .try_fold(index, |value, symbol| Some(value * 32 + digit(symbol)?))?;
    SYMBOLS.get(value % SYMBOLS.len()).copied()
}

#[must_use]
fn recovery_code(key: &SlotKey) -> SecretString {
    let text = Zeroizing::new(base32().encode(key.expose_secret()));
    // Filled without growing: one that grew would leave copies.
    let mut code = String::with_capacity(GROUPS * (GROUP + 2));
    for (index, group) in text.as_bytes().chunks(GROUP).enumerate() {
        if index > 0 {
            code.push('-');
        }
        code.extend(
            group
                .iter()
                .copied()
                .chain(check_symbol(index, group))
                .map(char::from),
        );
    }
    SecretString::from(code)
}

/// Whether a text has the form of a recovery code, as a long passphrase may, too: the characters of
/// its groups, but for a few mistakes, and about its length.
#[must_use]
pub fn has_recovery_code_form(text: &SecretString) -> bool {
    let is_between = |typed: &char| typed.is_whitespace() || *typed == '-';
    let text = text.expose_secret();
    let typed = text.chars().filter(|typed| !is_between(typed));
    let whole = GROUPS * (GROUP + 1);
    let near = (whole - 2 * GROUP)..=(whole + GROUP);
    near.contains(&typed.clone().count())
        && typed.filter(|typed| symbol(*typed).is_none()).count() <= MISTAKES_MAX
}

/// Reads a recovery code as it was typed: hyphens and blanks between do not count, nor does upper
/// or lower case.
///
/// # Errors
/// Which group is wrong.
pub fn parse_recovery_code(typed: &SecretString) -> Result<SlotKey, RecoveryFault> {
    let mut symbols = Zeroizing::new(Vec::with_capacity(2 * GROUPS * (GROUP + 1)));
    let mut first_bad = None;
    for typed in typed.expose_secret().chars() {
        if typed.is_whitespace() || typed == '-' {
            continue;
        }
        if symbols.len() >= symbols.capacity() {
            return Err(RecoveryFault::NotOne);
        }
        let symbol = symbol(typed);
        if symbol.is_none() && first_bad.is_none() {
            first_bad = Some(symbols.len() / (GROUP + 1) + 1);
        }
        symbols.push(symbol.unwrap_or_default());
    }
    let whole = GROUPS * (GROUP + 1);
    if symbols.len() > whole || symbols.len() + 2 * (GROUP + 1) < whole {
        return Err(RecoveryFault::NotOne);
    }
    let mut text = Zeroizing::new(Vec::with_capacity(GROUP * GROUPS));
    for (index, group) in symbols.chunks(GROUP + 1).enumerate() {
        let (value, check) = group.split_at(GROUP.min(group.len()));
        let is_whole = check_symbol(index, value).is_some_and(|wanted| check == [wanted]);
        if !is_whole {
            let at = first_bad.unwrap_or(index + 1).min(index + 1);
            let found = symbols.len() / (GROUP + 1);
            return Err(match symbols.len() % (GROUP + 1) {
                0 if found < GROUPS => RecoveryFault::Missing { found, at },
                _ => RecoveryFault::Group(at),
            });
        }
        text.extend_from_slice(value);
    }
    if symbols.len() < whole {
        let found = symbols.len() / (GROUP + 1);
        return Err(RecoveryFault::Missing {
            found,
            at: found + 1,
        });
    }
    let bytes = base32().decode(&text).map(Zeroizing::new);
    // The last group has 4 bits over, which are 0.
    let bytes = bytes.map_err(|_| RecoveryFault::Group(GROUPS))?;
    SlotKey::from_bytes(&bytes).ok_or(RecoveryFault::Group(GROUPS))
}

/// A recovery code that is shown once, to be written down: `Debug` and errors show nothing of it.
#[derive(Clone)]
pub struct RecoveryCode(SecretString);

impl RecoveryCode {
    /// The code of a key.
    #[must_use]
    pub fn of(key: &SlotKey) -> Self {
        Self(recovery_code(key))
    }

    /// Exposes the code, to show it to the user who asked for it.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.expose_secret()
    }
}

debug_as!(RecoveryCode, "RecoveryCode(…)");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<[u8; 32], RecoveryFault> {
        parse_recovery_code(&SecretString::from(text)).map(|key| *key.expose_secret())
    }

    fn code() -> String {
        let key: Vec<u8> = (0..32).map(|n| n * 7 + 3).collect();
        let key = SlotKey::from_bytes(&key).unwrap();
        recovery_code(&key).expose_secret().to_owned()
    }

    #[test]
    fn a_code_has_the_form_that_is_promised() {
        let zero = recovery_code(&SlotKey::from_bytes(&[0; 32]).unwrap());
        // The group's number n before four zeros: n * 32^4 modulo 37, and 32^4 is 33 modulo 37.
        let checks: Vec<char> = (0..13).map(|n| char::from(SYMBOLS[n * 33 % 37])).collect();
        let want: Vec<String> = checks.iter().map(|check| format!("0000{check}")).collect();
        assert_eq!(zero.expose_secret(), want.join("-"));
        assert!(has_recovery_code_form(&zero));
        for other in [
            "correct horse battery staple".to_owned(),
            "\u{e9}".repeat(65),
            "0".repeat(200),
        ] {
            assert!(!has_recovery_code_form(&SecretString::from(other)));
        }
    }

    #[test]
    fn it_is_read_however_it_was_typed() {
        let code = code();
        let plain = parse(&code).unwrap();
        for typed in [
            code.to_lowercase(),
            code.replace('-', ""),
            code.replace('-', " "),
            format!("  {code}\n"),
            code.replace('0', "o").replace('1', "l"),
        ] {
            assert_eq!(parse(&typed), Ok(plain), "{typed}");
            assert!(has_recovery_code_form(&typed.into()), "not as one");
        }
    }

    #[test]
    fn a_mistake_is_named_by_its_group() {
        let code = code();
        let groups: Vec<&str> = code.split('-').collect();
        for at in 0..13 {
            let mut gone = groups.clone();
            gone.remove(at);
            let missing = RecoveryFault::Missing {
                found: 12,
                at: at + 1,
            };
            assert_eq!(parse(&gone.join("-")), Err(missing));
            for place in 0..5 {
                let mut group: Vec<u8> = groups[at].bytes().collect();
                group[place] = if group[place] == b'7' { b'8' } else { b'7' };
                let typed = String::from_utf8(group).unwrap();
                let mut typed_groups = groups.clone();
                typed_groups[at] = &typed;
                let got = parse(&typed_groups.join("-"));
                assert_eq!(got, Err(RecoveryFault::Group(at + 1)));
                let odd = typed.replace(char::from(typed.as_bytes()[place]), "#");
                typed_groups[at] = &odd;
                let got = parse(&typed_groups.join("-"));
                assert_eq!(got, Err(RecoveryFault::Group(at + 1)));
            }
        }
        for at in 0..12 {
            let mut swapped = groups.clone();
            swapped.swap(at, at + 1);
            assert_eq!(parse(&swapped.join("-")), Err(RecoveryFault::Group(at + 1)));
        }
        assert_eq!(parse(""), Err(RecoveryFault::NotOne));
        assert_eq!(parse(&code.repeat(2)), Err(RecoveryFault::NotOne));
        assert_eq!(parse(&"x".repeat(100_000)), Err(RecoveryFault::NotOne));
    }

    proptest! {
        #[test]
        fn every_key_reads_back(bytes in prop::array::uniform32(any::<u8>())) {
            let key = SlotKey::from_bytes(&bytes).unwrap();
            let code = recovery_code(&key);
            prop_assert!(has_recovery_code_form(&code));
            prop_assert_eq!(parse(code.expose_secret()), Ok(bytes));
        }

        #[test]
        fn nothing_else_is_one(text in "\\PC{0,80}") {
            prop_assert!(parse(&text).is_err());
        }
    }
}
