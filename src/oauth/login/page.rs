//! What the browser shows when it comes back. Nothing from outside is in it.

use std::io::{self, Write};

use url::Url;

/// How a login ended, as the browser page shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The login succeeded and is stored.
    Done,
    /// The login failed; the terminal says why.
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Page<'a> {
    Ended(Ended),
    /// To the browser that is opened here: on to the provider.
    Onward(&'a Url),
    /// To one that asks for that once more.
    Opened,
    /// To one that is not what is waited for.
    Foreign,
}

impl Page<'_> {
    /// Writes the response. The browser's address contains the code, so nothing of it is kept.
    pub(super) fn write_to(self, out: &mut impl Write) -> io::Result<()> {
        let (status, title, text) = match self {
            Self::Ended(Ended::Done) => (
                "200 OK",
                "Logged in",
                "The login is stored. You can close this page.",
            ),
            Self::Ended(Ended::Failed) => (
                "200 OK",
                "Not logged in",
                "The login failed; the terminal says why. You can close this page.",
            ),
            Self::Onward(_) => (
                "302 Found",
                "Log in",
                "The browser goes on to the provider.",
            ),
            Self::Opened => (
                "410 Gone",
                "Opened already",
                "This address was opened already. Use the address in the terminal, or run the \
                 command again.",
            ),
            Self::Foreign => (
                "400 Bad Request",
                "Not expected",
                "This is not the answer that clawkeep waits for.",
            ),
        };
        let body = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>clawkeep: \
             {title}</title></head>\n<body><h1>{title}</h1><p>{text}</p></body></html>\n"
        );
        let location = match self {
            Self::Onward(url) => format!("Location: {url}\r\n"),
            _ => String::new(),
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n{location}Content-Type: text/html; \
             charset=utf-8\r\nContent-Length: {}\r\nConnection: close\r\nCache-Control: \
             no-store\r\nReferrer-Policy: no-referrer\r\nContent-Security-Policy: default-src \
             'none'; frame-ancestors 'none'\r\nX-Content-Type-Options: nosniff\r\n\r\n",
            body.len()
        );
        out.write_all(format!("{head}{body}").as_bytes())?;
        out.flush()
    }
}
