//! What the status codes of macOS' Keychain mean. Tested everywhere: nothing here needs a Mac.

use super::error::{KeychainError, Reason, Unreachable};

/// The error for a status that a person can do something about; `None` for any other. Sources:
/// Apple's `SecBase.h`, and `MacErrors.h` for -128.
pub(super) fn error_of(code: i32, reason: Reason) -> Option<KeychainError> {
    Some(match code {
        // errSecInteractionNotAllowed: the keychain is locked, or would ask for permission, and no
        // dialog may be shown, as in an SSH session. errSecInteractionRequired.
        -25308 | -25315 => KeychainError::Locked(reason),
        // errSecUserCanceled: "Deny" in a dialog. errSecAuthFailed: a wrong password, or no access.
        -128 | -25293 => KeychainError::NoAccess(reason),
        // errSecNotAvailable, errSecNoSuchKeychain, errSecNoDefaultKeychain.
        -25291 | -25294 | -25307 => KeychainError::Unreachable(Unreachable::Other(reason)),
        // errSecInvalidKeychain.
        -25295 => KeychainError::Damaged,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_is_an_error_of_its_own() {
        let why = || Reason::new("why");
        for (codes, error) in [
            (&[-25308, -25315][..], KeychainError::Locked(why())),
            (&[-128, -25293], KeychainError::NoAccess(why())),
            (
                &[-25291, -25294, -25307],
                KeychainError::Unreachable(Unreachable::Other(why())),
            ),
            (&[-25295], KeychainError::Damaged),
        ] {
            for code in codes {
                assert_eq!(error_of(*code, why()), Some(error.clone()), "{code}");
            }
        }
        assert_eq!(error_of(-25300, why()), None, "no item: the store says so");
    }
}
