//! What a reader finds of one credential, before it is known where.

use secrecy::SecretString;

use crate::domain::{CredentialType, Expiry, SecretFault, check_secret};

/// A credential in a file.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) provider: Option<String>,
    pub(super) is_for_server: bool,
    pub(super) account: Option<String>,
    pub(super) kind: CredentialType,
    pub(super) expires: Option<Expiry>,
    pub(super) login_expires: Option<Expiry>,
    pub(super) is_reference: bool,
    pub(super) secret: SecretString,
    pub(super) refresh: Option<SecretString>,
}

/// Whether a value says where the secret is: a command, or a variable. `None` if it is neither that
/// nor a secret, such as a remark.
pub(super) fn is_reference(value: &str) -> Option<bool> {
    if value.starts_with('!') {
        return Some(true);
    }
    match check_secret(value.as_bytes()) {
        Ok(_) => Some(false),
        Err(SecretFault::VariableName) => Some(true),
        Err(SecretFault::Placeholder) if value.contains(['$', '%']) => Some(true),
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_a_secret_or_a_reference_or_neither() {
        for (value, want) in [
            ("sk-test-0123", Some(false)),
            ("!pass show x", Some(true)),
            ("OPENAI_API_KEY", Some(true)),
            ("${OPENAI_API_KEY}", Some(true)),
            ("$OPENAI_API_KEY", Some(true)),
            ("Do not share!", None),
            ("<your-key>", None),
            ("", None),
        ] {
            assert_eq!(is_reference(value), want, "{value}");
        }
    }
}
