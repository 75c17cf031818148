//! One request to a provider and its reply. The only place that names an HTTP client.
//!
//! The client is built when something is sent, and not before: a command that needs no network does
//! not pay for it. It follows no redirect, repeats nothing by itself and keeps no connection, since
//! what is sent may be good for one time only.

use std::error::Error;
use std::io::{self, Read as _};
use std::net::ToSocketAddrs as _;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use reqwest::blocking::Client;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::header::HeaderValue;
use url::Url;
use zeroize::Zeroizing;

use super::fields::Fields;
use super::reply::{NoReply, Obstacle, Reply, retry_after};
use crate::domain::{RefreshFault, UnixMs, from_outside, is_loopback};
use crate::platform::start_thread;

/// How long to wait for a connection, TLS included. Source: `spec/oauth.md`, One refresh.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest body that is read, in bytes. Source: `spec/oauth.md`, the table of answers.
pub(super) const BODY_MAX: u64 = 1 << 20;
/// This program's own name: it never poses as another client. Source: `spec/oauth.md`, Providers.
const USER_AGENT: &str = concat!("clawkeep/", env!("CARGO_PKG_VERSION"));

/// The reason reported for an answer that did not arrive in time.
const TOO_LONG: &str = "it took too long";

/// Sends the fields to `url`; everything together, the reply read whole, takes `budget` at most,
/// and a second where the provider drips.
pub(super) fn post(url: &Url, fields: &Fields, budget: Duration) -> Result<Reply, NoReply> {
    let (url, fields) = (url.clone(), fields.clone());
    let (sender, receiver) = mpsc::channel();
    // The client's own limit is one for each read. Its thread ends by itself: at the next read
    // after the budget.
    let spawned = start_thread("token-request", move || {
        sender.send(exchange(&url, &fields, budget))
    });
    if let Err(error) = spawned {
        return Err(NoReply::NotSent(Obstacle {
            fault: RefreshFault::Other,
            words: error.to_string(),
        }));
    }
    let patience = budget + Duration::from_secs(1);
    receiver
        .recv_timeout(patience)
        .unwrap_or_else(|_| Err(NoReply::MaybeSent(too_long())))
}

/// A request to a server that keeps nothing secret for clawkeep: an address, headers, a body.
pub struct Post {
    /// The address that the request is sent to.
    pub url: Url,
    /// Names and values of the headers; a token may be among them.
    pub headers: Vec<(&'static str, Zeroizing<String>)>,
    /// The body of the request.
    pub body: Vec<u8>,
}

/// The response to a post.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Posted {
    /// The status of the answer.
    pub status: u16,
    /// The pause that the server asks for, if it does.
    pub retry_after: Option<Duration>,
}

/// Posts a message once, for at most `budget`. Redirects are not followed and the answer's body is
/// not read.
///
/// # Errors
/// Why there was no answer, in words that name no address.
pub fn post_message(post: Post, budget: Duration, now: UnixMs) -> Result<Posted, String> {
    let client = client(&post.url, budget).map_err(|error| reason(&error))?;
    let request = client.post(post.url).body(post.body);
    status_of(request, post.headers, now).map_err(|failure| failure.why)
}

/// Why no answer came.
pub(super) struct NoAnswer {
    /// In words that name no address.
    pub(super) why: String,
    /// Whether none came in time.
    pub(super) is_timeout: bool,
}

/// Asks for an address once, for at most `budget`. Redirects are not followed and the answer's body
/// is not read.
pub(super) fn get_status(
    url: Url,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    budget: Duration,
    now: UnixMs,
) -> Result<Posted, NoAnswer> {
    let client = client(&url, budget).map_err(|error| no_answer(&error))?;
    status_of(client.get(url), headers, now)
}

fn no_answer(error: &reqwest::Error) -> NoAnswer {
    NoAnswer {
        why: reason(error),
        is_timeout: error.is_timeout(),
    }
}

fn status_of(
    mut request: reqwest::blocking::RequestBuilder,
    headers: Vec<(&'static str, Zeroizing<String>)>,
    now: UnixMs,
) -> Result<Posted, NoAnswer> {
    for (name, value) in headers {
        let mut value = HeaderValue::from_str(&value).map_err(|_| NoAnswer {
            why: format!("the header {name} has characters that none may have"),
            is_timeout: false,
        })?;
        value.set_sensitive(true);
        request = request.header(name, value);
    }
    let response = request.send().map_err(|error| no_answer(&error))?;
    let header = response.headers().get("retry-after");
    let header = header.and_then(|value| value.to_str().ok());
    Ok(Posted {
        status: response.status().as_u16(),
        retry_after: retry_after(header, now),
    })
}

fn exchange(url: &Url, fields: &Fields, budget: Duration) -> Result<Reply, NoReply> {
    let ends = Instant::now() + budget;
    let client = client(url, budget).map_err(|error| NoReply::NotSent(obstacle(&error)))?;
    let sent = client
        .post(url.clone())
        .header("content-type", fields.content_type)
        .header("accept", "application/json")
        .body(fields.body.as_bytes().to_vec())
        .send();
    let mut response = sent.map_err(|error| {
        // A connector's error: no connection, no TLS. Every other may come after the first byte.
        if error.is_connect() || error.is_builder() {
            NoReply::NotSent(obstacle(&error))
        } else {
            NoReply::MaybeSent(obstacle(&error))
        }
    })?;
    let status = response.status().as_u16();
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.and_then(|value| value.to_str().ok().map(str::to_owned));
    let mut body = Zeroizing::new(Vec::new());
    let mut part = Zeroizing::new([0; 16 << 10]);
    let is_whole = loop {
        match response.read(part.as_mut()) {
            Ok(0) => break true,
            Ok(read) => body.extend_from_slice(&part[..read]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break false,
        }
        if body.len() as u64 > BODY_MAX || Instant::now() >= ends {
            break false;
        }
    };
    Ok(Reply {
        status,
        retry_after,
        is_whole,
        body,
    })
}

fn client(url: &Url, budget: Duration) -> reqwest::Result<Client> {
    let mut client = Client::builder()
        .user_agent(USER_AGENT)
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_TIMEOUT.min(budget))
        // Never the first to run out while there is no connection yet: that nothing was sent must
        // be known.
        .timeout(budget + Duration::from_millis(500))
        .dns_resolver(Arc::new(InThisThread))
        .tls_backend_preconfigured(tls());
    if is_loopback(url) {
        client = client.no_proxy();
    }
    client.build()
}

/// Finds addresses in the thread that asks, which is the client's own and does nothing else
/// meanwhile. The client's resolver panics where no further thread can be started.
struct InThisThread;

impl Resolve for InThisThread {
    fn resolve(&self, name: Name) -> Resolving {
        let found = (name.as_str(), 0).to_socket_addrs();
        let found = found.map(|addresses| Box::new(addresses) as Addrs);
        let found = found.map_err(|error| NotResolved(error).into());
        Box::pin(std::future::ready(found))
    }
}

/// A host name that was not resolved. The client does not tell it from other failures to connect.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct NotResolved(io::Error);

/// TLS with ring and Mozilla's roots, whatever the system has.
fn tls() -> rustls::ClientConfig {
    let roots = rustls::RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    let ciphers = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(ciphers)
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

fn too_long() -> Obstacle {
    Obstacle {
        fault: RefreshFault::Timeout,
        words: TOO_LONG.to_owned(),
    }
}

fn obstacle(error: &reqwest::Error) -> Obstacle {
    Obstacle {
        fault: fault(error),
        words: reason(error),
    }
}

/// The kind of the failure, by the type of its innermost known cause.
fn fault(error: &reqwest::Error) -> RefreshFault {
    if error.is_timeout() {
        return RefreshFault::Timeout;
    }
    let mut found = match error.is_builder() {
        true => RefreshFault::Other,
        false => RefreshFault::Connection,
    };
    let mut cause = error.source();
    while let Some(error) = cause {
        let error = unwrapped(error);
        let io = error.downcast_ref::<io::Error>();
        found = match (error.downcast_ref(), io.map(io::Error::kind)) {
            (Some(rustls::Error::InvalidCertificate(_)), _) => RefreshFault::Certificate,
            (Some(_), _) => RefreshFault::Tls,
            (_, Some(io::ErrorKind::ConnectionRefused)) => RefreshFault::ConnectionRefused,
            (_, Some(io::ErrorKind::TimedOut)) => RefreshFault::Timeout,
            _ if error.is::<NotResolved>() => RefreshFault::Dns,
            _ => found,
        };
        cause = error.source();
    }
    found
}

/// The error within I/O errors, which name its source as their own.
fn unwrapped<'e>(mut error: &'e (dyn Error + 'static)) -> &'e (dyn Error + 'static) {
    while let Some(inner) = error.downcast_ref().and_then(io::Error::get_ref) {
        error = inner;
    }
    error
}

/// The innermost cause, from the system or TLS. The outer ones name the address, which is reported
/// elsewhere.
fn reason(error: &reqwest::Error) -> String {
    if error.is_timeout() {
        return TOO_LONG.to_owned();
    }
    let mut cause = error.source();
    let mut said = None;
    while let Some(error) = cause {
        said = Some(error.to_string());
        cause = error.source();
    }
    from_outside(&said.unwrap_or_else(|| "the request could not be made".to_owned()))
}

#[cfg(test)]
mod tests {
    use std::thread;

    use super::*;
    use crate::config::Encoding;

    #[test]
    fn where_nothing_listens_nothing_was_sent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/t", listener.local_addr().unwrap());
        drop(listener);
        let fields = Fields::encoded(Encoding::Form, &[]);
        let reply = post(&Url::parse(&url).unwrap(), &fields, Duration::from_secs(5));
        let Err(NoReply::NotSent(why)) = reply else {
            panic!("sent to a closed port");
        };
        assert_eq!(why.fault, RefreshFault::ConnectionRefused);
        assert!(why.words.contains("refused"), "{why:?}");
    }

    #[test]
    fn an_answer_that_drips_ends_with_the_budget() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/t", listener.local_addr().unwrap());
        thread::spawn(move || {
            use std::io::Write as _;
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
            while stream.write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(20));
            }
        });
        let fields = Fields::encoded(Encoding::Form, &[]);
        let reply = post(
            &Url::parse(&url).unwrap(),
            &fields,
            Duration::from_millis(200),
        );
        assert!(matches!(
            reply,
            Ok(Reply {
                is_whole: false,
                ..
            }) | Err(NoReply::MaybeSent(_))
        ));
    }

    #[test]
    fn tls_that_is_never_answered_is_nothing_sent() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}/t", listener.local_addr().unwrap());
        let fields = Fields::encoded(Encoding::Form, &[]);
        let reply = post(
            &Url::parse(&url).unwrap(),
            &fields,
            Duration::from_millis(200),
        );
        assert!(matches!(reply, Err(NoReply::NotSent(why)) if why.fault == RefreshFault::Timeout));
    }

    #[test]
    fn the_kind_of_a_failure_to_connect() {
        let sent = |url: &str| {
            let fields = Fields::encoded(Encoding::Form, &[]);
            post(&Url::parse(url).unwrap(), &fields, Duration::from_secs(5))
        };
        // The top-level domain "invalid" never resolves (RFC 6761).
        let reply = sent("http://provider.invalid/t");
        assert!(matches!(reply, Err(NoReply::NotSent(why)) if why.fault == RefreshFault::Dns));
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let at = listener.local_addr().unwrap();
        thread::spawn(move || {
            use std::io::Write as _;
            let (mut stream, _) = listener.accept().unwrap();
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
            let _ = stream.read(&mut [0; 512]);
        });
        let reply = sent(&format!("https://{at}/t"));
        assert!(matches!(reply, Err(NoReply::NotSent(why)) if why.fault == RefreshFault::Tls));
    }
}
