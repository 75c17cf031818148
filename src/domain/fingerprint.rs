//! What stands for a token in the record.

use std::fmt;

/// A token's keyed fingerprint: the number of the fingerprint key and 8 bytes of
/// HMAC-SHA256(fingerprint key, token). Equal tokens compare equal under one key; nothing can be
/// guessed against it. Source: `spec/vault.md`, The audit record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Fingerprint {
    /// Which fingerprint key made it.
    pub key_number: u16,
    /// The first 8 bytes of the MAC.
    pub digest: [u8; 8],
}

impl Fingerprint {
    /// Returns ten bytes: the key number, big-endian, then the digest.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 10] {
        let mut out = [0; 10];
        out[..2].copy_from_slice(&self.key_number.to_be_bytes());
        out[2..].copy_from_slice(&self.digest);
        out
    }

    /// Reads what [`Fingerprint::to_bytes`] wrote; `None` for another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (number, digest) = bytes.split_first_chunk::<2>()?;
        Some(Self {
            key_number: u16::from_be_bytes(*number),
            digest: digest.try_into().ok()?,
        })
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}:{}",
            self.key_number,
            data_encoding::HEXLOWER.encode(&self.digest)
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_and_text() {
        let print = Fingerprint {
            key_number: 1,
            digest: [0xab; 8],
        };
        assert_eq!(Fingerprint::from_bytes(&print.to_bytes()), Some(print));
        assert_eq!(Fingerprint::from_bytes(&[0; 9]), None);
        assert_eq!(print.to_string(), "1:abababababababab");
    }
}
