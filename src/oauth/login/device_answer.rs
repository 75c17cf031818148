//! What a provider's answer means that begins a login on another device. Pure.

use std::time::Duration;

use secrecy::SecretString;
use serde_json::Value;
use url::Url;

use crate::domain::{SecretJson, UnixMs, from_outside, is_loopback};
use crate::oauth::answer::{Refusal, understand_as};
use crate::oauth::reply::Reply;

/// A provider's answer to a login on another device (RFC 8628 section 3.2). `Debug` hides the code.
#[derive(Debug)]
pub(crate) struct DeviceAnswer {
    pub(crate) device_code: SecretString,
    /// The code that the person types; it may be shown.
    pub(crate) user_code: String,
    /// Where they type it: https, or this machine.
    pub(crate) verification_uri: Url,
    /// The same with the code in it.
    pub(crate) verification_uri_complete: Option<Url>,
    pub(crate) expires_in: Option<Duration>,
    pub(crate) interval: Option<Duration>,
}

/// Understands a reply that is to begin a login on another device.
pub(crate) fn understand_device(reply: &Reply, now: UnixMs) -> Result<DeviceAnswer, Refusal> {
    understand_as(reply, now, device)
}

fn device(body: &SecretJson) -> Option<DeviceAnswer> {
    let body = body.expose_secret();
    let text = |name: &str| {
        let text = body.get(name)?.as_str()?.trim();
        (!text.is_empty()).then_some(text)
    };
    let address = |name: &str| {
        let url = Url::parse(text(name)?).ok()?;
        (url.scheme() == "https" || url.scheme() == "http" && is_loopback(&url)).then_some(url)
    };
    let span = |name: &str| {
        let seconds = match body.get(name)? {
            Value::String(seconds) => seconds.trim().parse().ok()?,
            other => other.as_f64()?,
        };
        Duration::try_from_secs_f64(seconds).ok()
    };
    Some(DeviceAnswer {
        device_code: SecretString::from(text("device_code")?),
        user_code: from_outside(text("user_code")?),
        // The second name is that of drafts of the RFC, which some servers kept.
        verification_uri: address("verification_uri").or_else(|| address("verification_url"))?,
        verification_uri_complete: address("verification_uri_complete"),
        expires_in: span("expires_in"),
        interval: span("interval"),
    })
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret as _;

    use super::*;

    const NOW: UnixMs = UnixMs(1_800_000_000_000);

    #[test]
    fn what_begins_a_login_on_another_device() {
        let of = |body: &str| understand_device(&Reply::whole(200, body), NOW);
        let whole = r#"{"device_code": "sk-d", "user_code": " AB-CD ",
            "verification_uri": "https://p.example/d",
            "verification_uri_complete": "https://p.example/d?c=AB-CD",
            "expires_in": "900", "interval": 7}"#;
        let answer = of(whole).unwrap();
        assert_eq!(answer.device_code.expose_secret(), "sk-d");
        assert_eq!(answer.user_code, "AB-CD");
        assert_eq!(answer.verification_uri.as_str(), "https://p.example/d");
        assert_eq!(answer.expires_in, Some(Duration::from_secs(900)));
        assert_eq!(answer.interval, Some(Duration::from_secs(7)));
        assert!(!format!("{answer:?}").contains("sk-d"));
        for (was, is) in [
            ("sk-d", " "),
            ("AB-CD \"", "\"x\": \""),
            ("https://p.example/d\"", "http://p.example/d\""),
            ("https://p.example/d\"", "javascript:alert(1)\""),
        ] {
            let broken = whole.replacen(was, is, 1);
            assert!(of(&broken).is_err(), "{broken}");
        }
        let odd = whole.replace("\"900\"", "-1").replace('7', "1e300");
        let odd = of(&odd).unwrap();
        assert_eq!((odd.expires_in, odd.interval), (None, None));
    }
}
