//! What the browser brings back: a code, or the provider's refusal, and to which login it belongs.

use secrecy::SecretString;

use super::LoginError;
use crate::crypto::constant_time_eq;
use crate::oauth::answer::known_code;

/// The longest code that is taken, in bytes; those of providers have some hundred.
pub(super) const CODE_MAX: usize = 4096;

/// The code in the query of the address that the browser came back to, if it is the answer to the login with `state`.
pub(super) fn code_in_query(query: &str, state: &str) -> Result<SecretString, LoginError> {
    // RFC 6749 section 3.1: none may be there twice. Of two it would not be known which one counts.
    let once = |name: &str, missing: LoginError| {
        let mut values = url::form_urlencoded::parse(query.as_bytes())
            .filter(|(known, _)| known == name)
            .map(|(_, value)| value);
        match (values.next(), values.next()) {
            (Some(value), None) => Ok(value),
            _ => Err(missing),
        }
    };
    check_state(&once("state", LoginError::NoState)?, state)?;
    if let Ok(error) = once("error", LoginError::NoCode) {
        return Err(LoginError::Denied {
            code: known_code(&error),
        });
    }
    checked_code(&once("code", LoginError::NoCode)?)
}

/// Whether an answer is to the login that `state` was sent for.
pub(super) fn check_state(given: &str, state: &str) -> Result<(), LoginError> {
    match given {
        "" => Err(LoginError::NoState),
        given if constant_time_eq(given.as_bytes(), state.as_bytes()) => Ok(()),
        _ => Err(LoginError::WrongState),
    }
}

/// A code, if it can be one. Source of the characters: RFC 6749 appendix A.11.
pub(super) fn checked_code(code: &str) -> Result<SecretString, LoginError> {
    let is_code = !code.is_empty()
        && code.len() <= CODE_MAX
        && code.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    is_code
        .then(|| SecretString::from(code))
        .ok_or(LoginError::NoCode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_an_error_only_a_known_code_is_told() {
        for (error, want) in [("access_denied", "access_denied"), ("sk-x", "other")] {
            let query = format!("state=s&error={error}&error_description=sk-y");
            let told = code_in_query(&query, "s").unwrap_err();
            assert_eq!(
                told.to_string(),
                format!("the provider refused the login: {want}")
            );
        }
    }
}
