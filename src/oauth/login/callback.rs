//! Where the browser comes back to: a listener on loopback, for as long as a login runs.
//!
//! One thread polls every connection in turn and blocks on none of them: a client that connects and
//! sends nothing, or sends slowly, does not delay the browser (browsers themselves open connections
//! ahead of need).

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use url::Url;

use super::client::{Client, Heard};
use super::error::LoginError;
use super::page::{Ended, Page};
use super::pkce::new_path;
use super::redirect::{code_in_request, is_request_for};
use crate::oauth::providers::Provider;
use crate::platform::PeerOwner;

/// The name of loopback that some providers insist on. Source: `spec/oauth.md`, Providers.
const LOCALHOST: &str = "localhost";
/// How many clients are listened to at a time. The oldest gives way: browsers speak at once.
const CLIENTS_MAX: usize = 32;
/// The pause between two polls of the connections.
const PAUSE: Duration = Duration::from_millis(20);
/// How many ports are tried until one is free on both address families.
const PORTS_TRIED: u32 = 8;

/// The listener on loopback; dropping it closes its ports.
#[derive(Debug)]
pub struct Listener {
    sockets: Vec<TcpListener>,
    redirect_uri: Url,
    start: Url,
}

/// What the browser is to come back with, and where it is sent to before.
#[derive(Clone, Copy, Debug)]
pub struct Awaited<'a> {
    /// The `state` of the login.
    pub state: &'a str,
    /// The provider's address for this login.
    pub url: &'a Url,
}

/// The browser that returned with a code, and waits for the result of the login.
#[derive(Debug)]
pub struct Callback {
    /// The code that the browser brought.
    pub code: SecretString,
    browser: TcpStream,
}

impl Callback {
    /// Shows the result in the browser. A closed browser is no failure.
    pub fn show_result(mut self, ended: Ended) {
        let _ = Page::Ended(ended).write_to(&mut self.browser);
    }
}

impl Listener {
    /// Listens where the provider sends the browser back to: on the port that it knows, else on one
    /// that is free.
    ///
    /// # Errors
    /// When that port is in use, or the system lets none be listened on.
    pub fn bind(provider: &Provider) -> Result<Self, LoginError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let port = fixed_port(provider).unwrap_or(0);
            let v4 = listen(IpAddr::V4(Ipv4Addr::LOCALHOST), port);
            let v4 = v4.map_err(|error| not_listening(port, error))?;
            let port = v4.local_addr().map_err(LoginError::Listen)?.port();
            let mut sockets = vec![v4];
            if is_localhost(provider) {
                match listen(IpAddr::V6(Ipv6Addr::LOCALHOST), port) {
                    Ok(v6) => sockets.push(v6),
                    // The browser may try that address first, and would give the code to the
                    // program that listens there.
                    Err(error) if error.kind() == ErrorKind::AddrInUse => {
                        if fixed_port(provider).is_none() && tries < PORTS_TRIED {
                            continue;
                        }
                        return Err(LoginError::PortBusy { port });
                    }
                    Err(_) => {} // a machine without IPv6
                }
            }
            let redirect_uri = redirect_uri(provider, port)?;
            let mut start = redirect_uri.clone();
            start.set_path(&new_path()?);
            start.set_query(None);
            return Ok(Self {
                sockets,
                redirect_uri,
                start,
            });
        }
    }

    /// Where the provider would send the browser back to while nobody listens: to be pasted from
    /// there.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn nowhere(provider: &Provider) -> Result<Url, LoginError> {
        let port = match fixed_port(provider) {
            Some(port) => port,
            // Free now: what the browser sends there reaches nobody.
            None => listen(IpAddr::V4(Ipv4Addr::LOCALHOST), 0)
                .and_then(|socket| socket.local_addr())
                .map_err(LoginError::Listen)?
                .port(),
        };
        redirect_uri(provider, port)
    }

    /// Where the browser comes back to.
    #[must_use]
    pub fn redirect_uri(&self) -> &Url {
        &self.redirect_uri
    }

    /// Returns the address of a page here that redirects the browser to the provider, once. The
    /// program that opens the browser gets this address and not the provider's: every user of the
    /// machine can read a program's arguments, and the provider's address contains `state`.
    #[must_use]
    pub fn start(&self) -> &Url {
        &self.start
    }

    /// Waits for the browser to return from the login, then stops listening. Requests without the
    /// login's `state`, and requests of another user of this machine, are refused; `refused` is
    /// called for the latter. If the owner of a connection is unknown, the `state` decides, and the
    /// proof key at the provider.
    ///
    /// # Errors
    /// When it does not return within `patience`, or brings the provider's refusal.
    pub fn wait(
        self,
        awaited: Awaited<'_>,
        patience: Duration,
        refused: &mut dyn FnMut(u32),
    ) -> Result<Callback, LoginError> {
        let mut is_opened = false;
        let ends = Instant::now() + patience;
        let mut clients: VecDeque<Client> = VecDeque::new();
        loop {
            for socket in &self.sockets {
                // A failed connection is no reason to stop: the next one may be the browser.
                for _ in 0..CLIENTS_MAX {
                    let Ok((stream, _)) = socket.accept() else {
                        break;
                    };
                    if clients.len() == CLIENTS_MAX {
                        clients.pop_front();
                    }
                    clients.extend(Client::new(stream));
                }
            }
            for _ in 0..clients.len() {
                let Some(mut client) = clients.pop_front() else {
                    break;
                };
                match client.read() {
                    Heard::Nothing => {}
                    Heard::Part => clients.push_back(client),
                    Heard::TooMuch => client.answer(Page::Foreign),
                    Heard::Head => match self.request(&client, awaited.state, refused) {
                        Request::Foreign => client.answer(Page::Foreign),
                        Request::Start if is_opened => client.answer(Page::Opened),
                        Request::Start => {
                            is_opened = true;
                            client.answer(Page::Onward(awaited.url));
                        }
                        Request::Back(Ok(code)) => {
                            return Ok(Callback {
                                code,
                                browser: client.into_waiting(),
                            });
                        }
                        Request::Back(Err(denied)) => {
                            client.answer(Page::Ended(Ended::Failed));
                            return Err(denied);
                        }
                    },
                }
            }
            let left = ends.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(LoginError::TimedOut(patience));
            }
            thread::sleep(PAUSE.min(left));
        }
    }
}

enum Request {
    /// The request is not answered at all.
    Foreign,
    /// The page that sends it on to the provider.
    Start,
    /// It comes back from there.
    Back(Result<SecretString, LoginError>),
}

impl Listener {
    fn request(&self, client: &Client, state: &str, refused: &mut dyn FnMut(u32)) -> Request {
        let request = if is_request_for(&client.head, &self.start) {
            Request::Start
        } else {
            match code_in_request(&client.head, &self.redirect_uri, state) {
                Some(back) => Request::Back(back),
                None => return Request::Foreign,
            }
        };
        match client.owner() {
            PeerOwner::Ours | PeerOwner::Unknown => request,
            PeerOwner::Gone => Request::Foreign, // a browser waits for its answer
            PeerOwner::Another(uid) => {
                refused(uid);
                Request::Foreign
            }
        }
    }
}

fn fixed_port(provider: &Provider) -> Option<u16> {
    provider.redirect_port.filter(|port| *port != 0)
}

fn is_localhost(provider: &Provider) -> bool {
    provider.redirect_host.as_deref() == Some(LOCALHOST)
}

fn redirect_uri(provider: &Provider, port: u16) -> Result<Url, LoginError> {
    let host = if is_localhost(provider) {
        LOCALHOST
    } else {
        "127.0.0.1"
    };
    let uri = format!("http://{host}:{port}{}", provider.redirect_path);
    Url::parse(&uri).map_err(|_| LoginError::Lacks {
        provider: provider.id.clone(),
        setting: "redirect_path",
    })
}

fn listen(address: IpAddr, port: u16) -> io::Result<TcpListener> {
    let socket = TcpListener::bind(SocketAddr::new(address, port))?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn not_listening(port: u16, error: io::Error) -> LoginError {
    match error.kind() {
        ErrorKind::AddrInUse if port != 0 => LoginError::PortBusy { port },
        _ => LoginError::Listen(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_does_not_wait_endlessly() {
        let listener = Listener {
            sockets: vec![listen(IpAddr::V4(Ipv4Addr::LOCALHOST), 0).unwrap()],
            redirect_uri: Url::parse("http://127.0.0.1:1/cb").unwrap(),
            start: Url::parse("http://127.0.0.1:1/start").unwrap(),
        };
        let url = Url::parse("https://p.example/a").unwrap();
        let awaited = Awaited {
            state: "s",
            url: &url,
        };
        let ended = listener.wait(awaited, Duration::from_millis(50), &mut |_| ());
        assert!(matches!(ended, Err(LoginError::TimedOut(_))));
        let five = LoginError::TimedOut(crate::oauth::login::error::WAIT).to_string();
        assert_eq!(five, "the browser did not come back within 5 minutes");
    }
}
