//! A client of the listener: heard without waiting, bounded in length and time.

use std::io::{ErrorKind, Read as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::page::Page;
use crate::platform::{PeerOwner, peer_owner};

/// The longest head of a request that is read, in bytes; common servers take 8 KiB to 16 KiB.
const HEAD_MAX: usize = 16 << 10;
/// How long a client may take for its head.
const CLIENT_MAX: Duration = Duration::from_secs(10);
/// How long a client may take for an answer of a few hundred bytes.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// A client that has not said all yet.
pub(super) struct Client {
    stream: TcpStream,
    pub(super) head: Zeroizing<Vec<u8>>,
    ends: Instant,
}

pub(super) enum Heard {
    /// It is gone, or took too long.
    Nothing,
    Part,
    Head,
    TooMuch,
}

impl Client {
    pub(super) fn new(stream: TcpStream) -> Option<Self> {
        stream.set_nonblocking(true).ok()?;
        Some(Self {
            stream,
            head: Zeroizing::new(Vec::with_capacity(HEAD_MAX)), // one that grew would leave copies
            ends: Instant::now() + CLIENT_MAX,
        })
    }

    /// Hears what it has said since, and does not wait for more.
    pub(super) fn read(&mut self) -> Heard {
        let mut part = Zeroizing::new([0; 1024]);
        loop {
            let room = part.len().min(HEAD_MAX - self.head.len());
            match self.stream.read(&mut part[..room]) {
                Ok(0) => return Heard::Nothing,
                Ok(read) => self.head.extend_from_slice(&part[..read]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    return if Instant::now() < self.ends {
                        Heard::Part
                    } else {
                        Heard::Nothing
                    };
                }
                Err(_) => return Heard::Nothing,
            }
            if self.head.windows(4).any(|end| end == b"\r\n\r\n") {
                return Heard::Head;
            }
            if self.head.len() == HEAD_MAX {
                return Heard::TooMuch;
            }
        }
    }

    /// The client, to be answered: that may wait a little.
    pub(super) fn into_waiting(self) -> TcpStream {
        // an answer this short does not block, whatever came of it
        let _ = self.stream.set_nonblocking(false);
        let _ = self.stream.set_write_timeout(Some(ANSWER_MAX));
        self.stream
    }

    pub(super) fn owner(&self) -> PeerOwner {
        peer_owner(&self.stream)
    }

    pub(super) fn answer(self, page: Page<'_>) {
        let _ = page.write_to(&mut self.into_waiting()); // one that has gone away needs none
    }
}
