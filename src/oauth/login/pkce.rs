//! What ties an answer to its login: a proof key (RFC 7636) for the provider, a `state` for us.

use data_encoding::BASE64URL_NOPAD;
use secrecy::{ExposeSecret as _, SecretString};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::crypto::{CryptoError, random_bytes};

/// Random bytes of a verifier, which makes 43 characters. Source: RFC 7636 section 4.1.
const VERIFIER: usize = 32;
/// Random bytes of a `state`. Source: RFC 6749 section 10.10 asks for 128 bits at least.
const STATE: usize = 24;
/// How the challenge is made of the verifier. Source: RFC 7636 section 4.2.
pub(super) const METHOD: &str = "S256";

/// A proof key. `Debug` does not show the verifier.
#[derive(Debug)]
pub(super) struct Pkce {
    /// The verifier, sent with the code and not before.
    pub(super) verifier: SecretString,
    /// The challenge, sent when the login begins.
    pub(super) challenge: String,
}

impl Pkce {
    pub(super) fn generate() -> Result<Self, CryptoError> {
        let random = Zeroizing::new(random_bytes::<VERIFIER>()?);
        Ok(Self::of(SecretString::from(
            BASE64URL_NOPAD.encode(&*random),
        )))
    }

    fn of(verifier: SecretString) -> Self {
        let digest = Sha256::digest(verifier.expose_secret().as_bytes());
        Self {
            verifier,
            challenge: BASE64URL_NOPAD.encode(&digest),
        }
    }
}

/// Returns a random path of a page, which nobody can guess.
pub(super) fn new_path() -> Result<String, CryptoError> {
    let encoded = BASE64URL_NOPAD.encode(&random_bytes::<STATE>()?);
    Ok(format!("/clawkeep-{encoded}"))
}

/// Returns a new `state`: part of the address that the browser opens, no secret to its readers.
pub(super) fn new_state() -> Result<String, CryptoError> {
    Ok(BASE64URL_NOPAD.encode(&random_bytes::<STATE>()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_challenge_is_that_of_rfc_7636_appendix_b() {
        let pkce = Pkce::of(SecretString::from(
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
        ));
        assert_eq!(
            pkce.challenge,
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"
        );
    }

    #[test]
    fn each_is_another_and_none_shows() {
        let (one, other) = (Pkce::generate().unwrap(), Pkce::generate().unwrap());
        let verifier = one.verifier.expose_secret();
        assert_eq!(verifier.len(), 43);
        assert_ne!(verifier, other.verifier.expose_secret());
        assert_ne!(one.challenge, other.challenge);
        assert!(!format!("{one:?}").contains(verifier));
        assert_ne!(new_state().unwrap(), new_state().unwrap());
    }
}
