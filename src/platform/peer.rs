//! Finds the owner of the other end of a connection within this machine.
//!
//! Linux lists every TCP socket of the network namespace with its owner (proc(5), `/proc/net/tcp`).
//! Elsewhere, and where that list may not be read (Android) or does not have the other end (a relay
//! from outside the namespace), it is not known.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpStream};

/// The owner of the other end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerOwner {
    /// The connection belongs to this process's user.
    Ours,
    /// Another user of this machine.
    Another(u32),
    /// The connection has no owner any more: it was closed before it was answered.
    Gone,
    /// It cannot be known, or it is root's. What relays connections from elsewhere runs as root
    /// (WSL's, a container runtime's), and root itself needs no such way in.
    Unknown,
}

/// Finds the current owner of the other end of a connection to this process.
#[cfg(target_os = "linux")]
#[must_use]
pub fn peer_owner(stream: &TcpStream) -> PeerOwner {
    /// How often the list is read. One that changes while it is read may lack what is there.
    const READS: u32 = 3;
    let (Ok(here), Ok(there)) = (stream.local_addr(), stream.peer_addr()) else {
        return PeerOwner::Gone;
    };
    let ours = rustix::process::geteuid().as_raw();
    let is_whole_namespace = has_every_user();
    let mut owner = PeerOwner::Unknown;
    for _ in 0..READS {
        let Some(sockets) = sockets() else {
            return PeerOwner::Unknown;
        };
        owner = owner_in(&sockets, (canonical(here), canonical(there)), ours, |uid| {
            is_whole_namespace || Some(uid) != overflow_uid()
        });
        if matches!(owner, PeerOwner::Ours | PeerOwner::Another(_)) {
            break;
        }
    }
    owner
}

/// Elsewhere it is not known.
#[cfg(not(target_os = "linux"))]
#[must_use]
pub fn peer_owner(_stream: &TcpStream) -> PeerOwner {
    PeerOwner::Unknown
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Socket {
    local: SocketAddr,
    remote: SocketAddr,
    state: u8,
    uid: u32,
    /// 0: no process has it any more, and its owner is unknown.
    inode: u64,
}

/// Source: Linux, include/net/tcp_states.h.
const ESTABLISHED: u8 = 1;
const LISTEN: u8 = 10;

/// The owner of the end at `there` of the connection to `here`. `is_unambiguous`: whether a number
/// stands for one user, and not for all users whose numbers are unknown here.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn owner_in(
    sockets: &[Socket],
    (here, there): (SocketAddr, SocketAddr),
    ours: u32,
    is_unambiguous: impl Fn(u32) -> bool,
) -> PeerOwner {
    let find = |local, remote| {
        sockets
            .iter()
            .find(|socket| (socket.local, socket.remote) == (local, remote))
    };
    if let Some(peer) = find(there, here) {
        return match peer.uid {
            _ if peer.inode == 0 => PeerOwner::Gone,
            uid if uid == ours => PeerOwner::Ours,
            0 => PeerOwner::Unknown,
            uid if is_unambiguous(uid) => PeerOwner::Another(uid),
            _ => PeerOwner::Unknown,
        };
    }
    match find(here, there) {
        Some(own) if own.state == ESTABLISHED => PeerOwner::Unknown, // from outside this namespace
        // The other end was there, and is not any more.
        Some(_) => PeerOwner::Gone,
        // Reset; but for where our own sockets are not in the list either.
        None => {
            let is_listed =
                |socket: &Socket| socket.state == LISTEN && socket.local.port() == here.port();
            match sockets.iter().any(is_listed) {
                true => PeerOwner::Gone,
                false => PeerOwner::Unknown,
            }
        }
    }
}

/// Every TCP socket of this network namespace; `None` where the list may not be read.
#[cfg(target_os = "linux")]
fn sockets() -> Option<Vec<Socket>> {
    let read = |name: &str| std::fs::read_to_string(name).ok();
    let v4 = read("/proc/self/net/tcp")?;
    let v6 = read("/proc/self/net/tcp6").unwrap_or_default(); // a kernel without IPv6
    Some(v4.lines().chain(v6.lines()).filter_map(parsed).collect())
}

/// Source: Linux, net/ipv4/tcp_ipv4.c, `get_tcp4_sock`.
#[cfg_attr(not(target_os = "linux"), allow(dead_code))]
fn parsed(line: &str) -> Option<Socket> {
    let mut fields = line.split_ascii_whitespace().skip(1);
    let (local, remote) = (address(fields.next()?)?, address(fields.next()?)?);
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let mut fields = fields.skip(3);
    let uid = fields.next()?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    Some(Socket {
        local,
        remote,
        state,
        uid,
        inode,
    })
}

/// Words of an address as this machine's processor reads them, then the port.
fn address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| {
        let word = u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok()?;
        Some(word.to_ne_bytes())
    };
    let ip = match address.len() {
        8 => IpAddr::from(word(0)?),
        32 => {
            let words = [word(0)?, word(1)?, word(2)?, word(3)?];
            let bytes: [u8; 16] = words.concat().try_into().ok()?;
            IpAddr::V6(Ipv6Addr::from(bytes))
        }
        _ => return None,
    };
    Some(canonical(SocketAddr::new(ip, port)))
}

/// An IPv6 socket may be connected to an IPv4 one.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Whether every user has a number here: this is no user namespace with some of them.
#[cfg(target_os = "linux")]
fn has_every_user() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    let words: Vec<&str> = map.split_ascii_whitespace().collect();
    words == ["0", "0", "4294967295"]
}

/// The number that stands for every user who has none here.
#[cfg(target_os = "linux")]
fn overflow_uid() -> Option<u32> {
    let text = std::fs::read_to_string("/proc/sys/kernel/overflowuid").ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use super::*;
    use std::net::{Shutdown, TcpListener};

    fn connected() -> (TcpStream, TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        (server, client, listener)
    }

    #[test]
    fn our_own_end_is_ours_until_it_is_closed() {
        let (server, client, _listener) = connected();
        assert_eq!(peer_owner(&server), PeerOwner::Ours);
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(peer_owner(&server), PeerOwner::Ours);
        drop(client);
        assert_eq!(peer_owner(&server), PeerOwner::Gone);
    }

    #[test]
    fn an_ipv6_socket_that_reaches_an_ipv4_one_is_found() {
        let Ok(listener) = TcpListener::bind("[::]:0") else {
            println!("skipped: no IPv6 here");
            return;
        };
        let port = listener.local_addr().unwrap().port();
        let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
        let (server, _) = listener.accept().unwrap();
        assert_eq!(peer_owner(&server), PeerOwner::Ours);
    }

    const LIST: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when \
        retrnsmt   uid  timeout inode\n\
        0: 0100007F:1000 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 \
        11 1 0 100 0 0 10 0\n\
        1: 0100007F:1000 0100007F:2000 01 00000000:00000000 00:00000000 00000000  1000        0 \
        12 1 0 100 0 0 10 0\n\
        2: 0100007F:2000 0100007F:1000 01 00000000:00000000 00:00000000 00000000  UID        0 \
        INODE 1 0 100 0 0 10 0\n";

    #[test]
    fn the_owner_of_a_connection() {
        let of = |list: &str, is_unambiguous: bool| {
            let sockets: Vec<Socket> = list.lines().filter_map(parsed).collect();
            let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
            owner_in(&sockets, (at(0x1000), at(0x2000)), 1000, |_| is_unambiguous)
        };
        if cfg!(target_endian = "big") {
            return; // the list above is of the other kind
        }
        let peer = |uid: &str, inode: &str| LIST.replace("UID", uid).replace("INODE", inode);
        assert_eq!(of(&peer("1000", "13"), true), PeerOwner::Ours);
        assert_eq!(of(&peer("1001", "13"), true), PeerOwner::Another(1001));
        assert_eq!(of(&peer("65534", "13"), false), PeerOwner::Unknown);
        assert_eq!(of(&peer("0", "13"), true), PeerOwner::Unknown, "root");
        assert_eq!(of(&peer("0", "0"), true), PeerOwner::Gone, "closed");
        let without = |n: usize| -> String {
            let lines = LIST.lines().enumerate().filter(|(at, _)| *at != n);
            lines.map(|(_, line)| format!("{line}\n")).collect()
        };
        assert_eq!(of(&without(3), true), PeerOwner::Unknown, "from outside");
        let closing = without(3).replace(" 01 ", " 08 ");
        assert_eq!(of(&closing, true), PeerOwner::Gone);
        let only_listening: String = LIST.lines().take(2).collect::<Vec<_>>().join("\n");
        assert_eq!(of(&only_listening, true), PeerOwner::Gone, "reset");
        assert_eq!(of("", true), PeerOwner::Unknown);
    }
}
