//! Why a refresh failed, as a code of a closed list and in words. Nothing of an answer is in it but
//! its status and an error code that is known.

use super::named;

named! {
    parsed
    /// The cause of a failed refresh, as the record names it.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum RefreshFault {
        /// The host name of the token endpoint was not resolved.
        Dns = "dns",
        /// Nothing accepts connections at the token endpoint.
        ConnectionRefused = "connection-refused",
        /// The connection was not established, or broke.
        Connection = "connection",
        /// No answer came in time.
        Timeout = "timeout",
        /// TLS was not agreed upon.
        Tls = "tls",
        /// The certificate of the token endpoint is not valid.
        Certificate = "certificate",
        /// The provider answered with an OAuth error code.
        OauthError = "oauth-error",
        /// The provider answered with an HTTP status that is no success.
        HttpStatus = "http-status",
        /// The provider's answer has no tokens that can be read.
        UnreadableAnswer = "unreadable-answer",
        /// The request failed in another way.
        Other = "other",
    }
}

impl RefreshFault {
    /// Returns what an answer with this status and error code failed by.
    #[must_use]
    pub fn of_answer(status: u16, code: Option<&str>) -> Self {
        match (status, code) {
            (200..=299, _) => Self::UnreadableAnswer,
            (_, Some(_)) => Self::OauthError,
            (_, None) => Self::HttpStatus,
        }
    }

    /// Describes the failure in words, as part of a sentence: `HTTP 400, invalid_grant`.
    #[must_use]
    pub fn describe(self, status: Option<u16>, code: Option<&str>) -> String {
        let status = status.map(|status| format!("HTTP {status}"));
        let status = status.unwrap_or_else(|| "an answer without a status".to_owned());
        match self {
            Self::Dns => "the provider's host name was not resolved (DNS)".to_owned(),
            Self::ConnectionRefused => "the provider refused the connection".to_owned(),
            Self::Connection => "no connection to the provider".to_owned(),
            Self::Timeout => "no answer in time".to_owned(),
            Self::Tls => "no TLS connection to the provider".to_owned(),
            Self::Certificate => "the provider's TLS certificate is not valid".to_owned(),
            Self::OauthError => match code {
                Some("other") => format!("{status}, an unknown error code"),
                Some(code) => format!("{status}, {code}"),
                None => status,
            },
            Self::HttpStatus => status,
            Self::UnreadableAnswer => format!("{status}, but the answer is invalid"),
            Self::Other => "the request failed".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_failure_has_words() {
        let of = |status, code| {
            let fault = RefreshFault::of_answer(status, code);
            (fault.as_str(), fault.describe(Some(status), code))
        };
        let found = of(400, Some("invalid_grant"));
        assert_eq!(found, ("oauth-error", "HTTP 400, invalid_grant".to_owned()));
        let (_, words) = of(401, Some("other"));
        assert_eq!(words, "HTTP 401, an unknown error code");
        assert_eq!(of(502, None), ("http-status", "HTTP 502".to_owned()));
        let (code, words) = of(200, None);
        assert_eq!(code, "unreadable-answer");
        assert_eq!(words, "HTTP 200, but the answer is invalid");
        for fault in RefreshFault::ALL {
            assert_eq!(RefreshFault::from_name(fault.as_str()), Some(*fault));
            assert!(!fault.describe(None, None).is_empty());
        }
    }
}
