//! What a JSON Web Token says of itself. Its signature is not checked.

use data_encoding::BASE64URL_NOPAD;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::time::Expiry;

/// The claims of a JWT in compact form (RFC 7519), if it is one.
#[must_use]
pub fn jwt_claims(token: &str) -> Option<Map<String, Value>> {
    let mut parts = token.split('.');
    let (_header, payload, _signature) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let claims = Zeroizing::new(BASE64URL_NOPAD.decode(payload.as_bytes()).ok()?);
    match serde_json::from_slice(&claims).ok()? {
        Value::Object(claims) => Some(claims),
        _ => None,
    }
}

/// The `exp` of a JWT (seconds since the epoch, RFC 7519 section 4.1.4), if it is one and has one
/// above 0.
#[must_use]
pub fn jwt_expiry(token: &str) -> Option<Expiry> {
    let seconds = jwt_claims(token)?.get("exp")?.as_f64()?;
    (seconds > 0.0)
        .then_some(seconds * 1000.0)
        .and_then(Expiry::from_ms)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jwt(claims: &str) -> String {
        format!("e30.{}.c2ln", BASE64URL_NOPAD.encode(claims.as_bytes()))
    }

    #[test]
    fn claims_are_read_and_nothing_else_is() {
        let found = jwt_expiry(&jwt(r#"{"exp": 1800000000}"#)).map(Expiry::ms);
        assert_eq!(found, Some(1_800_000_000_000.0));
        let claims = jwt_claims(&jwt(r#"{"email": "a@b"}"#)).unwrap();
        assert_eq!(claims["email"], "a@b");
        for token in [
            "",
            "a.b",
            "opaque",
            "e30.!!.x",
            &jwt("[]"),
            &format!("{}.x", jwt("{}")),
        ] {
            assert!(jwt_claims(token).is_none(), "{token}");
        }
        for claims in ["{}", r#"{"exp": 0}"#, r#"{"exp": "soon"}"#] {
            assert!(jwt_expiry(&jwt(claims)).is_none(), "{claims}");
        }
    }
}
