//! One ICMP echo request and its reply (RFC 792, RFC 4443 §4.1 and §4.2).
//!
//! It travels by a raw socket: CAP_NET_RAW is needed anyway, and the sockets that need none depend on `net.ipv4.ping_group_range`.
//! The kernel delivers only what comes from the target; identifier, sequence number and a token that no outsider knows must be
//! those of the request.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher as _, Hasher as _};
use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use nix::errno::Errno;
use nix::sys::socket::{SockaddrStorage, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use crate::answer::Answer;
use crate::interface::Interface;
use crate::ip_header::ipv4_payload;
use crate::reach::{ReachError, ReachStep};

/// ICMP's and ICMPv6's types of request and reply.
const REQUEST_V4: u8 = 8;
const REPLY_V4: u8 = 0;
const REQUEST_V6: u8 = 128;
const REPLY_V6: u8 = 129;
/// Type, code, checksum, identifier, sequence number; then the token.
const HEADER: usize = 8;
/// Room for an IPv4 header with all options and more than the reply; what is longer is not ours.
const BUFFER: usize = 256;
/// So many packets are read before others have their turn.
const TURN: usize = 64;

/// How an echo request gets to its target; where it says nothing, as the kernel chooses.
#[derive(Clone, Copy, Debug, Default)]
pub struct EchoWay<'a> {
    /// The interface that it leaves and is answered by.
    pub interface: Option<&'a str>,
    /// The address that it comes from, of the target's family.
    pub source: Option<IpAddr>,
    /// Its mark (SO_MARK), which needs CAP_NET_ADMIN.
    pub mark: Option<u32>,
}

/// An echo request that was sent, waiting for its reply. It never blocks.
#[derive(Debug)]
pub struct Echo {
    socket: Socket,
    target: IpAddr,
    /// Identifier and sequence number, then the token: what a reply repeats.
    mark: [u8; 12],
}

impl Echo {
    /// Sends a request to `target` by `way`. A reply has to repeat a token that nobody outside this process can guess.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing, there is no such interface or source address, or the kernel has no way to the target.
    pub fn send(target: IpAddr, way: EchoWay<'_>) -> Result<Self, ReachError> {
        let interface = way.interface.map(Interface::by_name).transpose()?;
        let failed = |step| {
            move |error: io::Error| ReachError::Refused { target, step, answer: answer(&error) }
        };
        let socket = match target {
            IpAddr::V4(_) => Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4)),
            IpAddr::V6(_) => Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)),
        };
        let socket = socket.map_err(failed(ReachStep::Open))?;
        socket.set_nonblocking(true).map_err(failed(ReachStep::Open))?;
        if let Some(interface) = &interface {
            let device = Some(interface.name.as_bytes());
            socket.bind_device(device).map_err(failed(ReachStep::Open))?;
        }
        if let Some(mark) = way.mark {
            socket.set_mark(mark).map_err(failed(ReachStep::Open))?;
        }
        if let Some(source) = way.source {
            let source = SocketAddr::new(source, 0);
            socket.bind(&source.into()).map_err(failed(ReachStep::Open))?;
        }
        let [mark @ .., _, _, _, _] = token().to_be_bytes();
        let to = match target {
            IpAddr::V4(_) => SocketAddr::new(target, 0),
            IpAddr::V6(address) => {
                let scope = interface.filter(|_| address.is_unicast_link_local());
                let scope = scope.map_or(0, |interface| interface.index.value());
                SocketAddr::V6(SocketAddrV6::new(address, 0, 0, scope))
            }
        };
        socket.connect(&to.into()).map_err(failed(ReachStep::Send))?;
        let echo = Self { socket, target, mark };
        echo.socket.send(&request(target, mark)).map_err(failed(ReachStep::Send))?;
        Ok(echo)
    }

    /// Looks for the reply among what has arrived; Ok when it is there.
    ///
    /// # Errors
    /// `WouldBlock` when nothing more has arrived, `Interrupted` when there is more to look through, otherwise what the network
    /// reported: the target is unreachable, say.
    pub fn look(&self) -> io::Result<()> {
        let mut buffer = [0; BUFFER];
        for _ in 0..TURN {
            let (length, from) = recvfrom::<SockaddrStorage>(self.socket.as_raw_fd(), &mut buffer)?;
            let packet = buffer.get(..length).unwrap_or_default();
            let from = from.and_then(|from| {
                let v4 = from.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
                v4.or_else(|| from.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
            });
            if from == Some(self.target) && is_reply(self.target, packet, self.mark) {
                return Ok(());
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }
}

impl AsFd for Echo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// A number that nobody outside this process can guess.
fn token() -> u128 {
    let [high, low] = [(), ()].map(|()| RandomState::new().build_hasher().finish());
    u128::from(high) << 64 | u128::from(low)
}

/// What the kernel answered to an operation of socket2.
fn answer(error: &io::Error) -> Answer {
    Answer::of_socket(Errno::from_raw(error.raw_os_error().unwrap_or_default()))
}

/// An echo request; over IPv6 the kernel writes the checksum, which has addresses in it.
fn request(target: IpAddr, mark: [u8; 12]) -> Vec<u8> {
    let kind = if target.is_ipv4() { REQUEST_V4 } else { REQUEST_V6 };
    let mut request = vec![kind, 0, 0, 0];
    request.extend_from_slice(&mark);
    if target.is_ipv4() {
        let checksum = checksum(&request);
        request.splice(2..4, checksum.to_be_bytes());
    }
    request
}

/// Whether `packet` (over IPv4 with the IP header) is the reply to the request with `mark`.
fn is_reply(target: IpAddr, packet: &[u8], mark: [u8; 12]) -> bool {
    let (kind, message) = match target {
        IpAddr::V4(_) => (REPLY_V4, packet.get(ipv4_payload(packet)).unwrap_or_default()),
        IpAddr::V6(_) => (REPLY_V6, packet),
    };
    let repeats = message.get(4..).is_some_and(|rest| rest == mark);
    message.first_chunk() == Some(&[kind, 0]) && repeats && message.len() > HEADER
}

/// The Internet checksum (RFC 1071 §1) of an even number of bytes.
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|word| match word {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        _ => 0,
    });
    let sum: u32 = words.sum();
    let sum = (sum & 0xffff) + (sum >> 16);
    let sum = (sum & 0xffff) + (sum >> 16);
    !u16::try_from(sum).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const V4: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);
    const V6: IpAddr = IpAddr::V6(std::net::Ipv6Addr::LOCALHOST);
    const MARK: [u8; 12] = [0x12, 0x34, 0, 1, 1, 2, 3, 4, 5, 6, 7, 8];

    /// A reply behind an IPv4 header.
    fn reply(mark: [u8; 12]) -> Vec<u8> {
        let mut packet = vec![0x45, 0, 0, 36];
        packet.resize(20, 0);
        packet.extend_from_slice(&[REPLY_V4, 0, 0, 0]);
        packet.extend_from_slice(&mark);
        packet
    }

    #[test]
    fn a_request_over_ipv4_sums_to_all_ones() {
        let request = request(V4, MARK);
        assert_eq!(request.len(), 16);
        assert_eq!(request.first_chunk(), Some(&[REQUEST_V4, 0]));
        assert_eq!(checksum(&request), 0);
        assert_eq!(self::request(V6, MARK).get(..4), Some([REQUEST_V6, 0, 0, 0].as_slice()));
    }

    #[test]
    fn tokens_differ() {
        assert_ne!(token(), token());
    }

    #[test]
    fn only_the_reply_to_this_request_counts() {
        assert!(is_reply(V4, &reply(MARK), MARK));
        for place in 0..MARK.len() {
            let mut other = MARK;
            other[place] ^= 1;
            assert!(!is_reply(V4, &reply(other), MARK), "byte {place}");
        }
        let mut own_request = reply(MARK);
        own_request[20] = REQUEST_V4;
        assert!(!is_reply(V4, &own_request, MARK), "our own request, to ourselves");
        let v6 = |kind| [[kind, 0, 9, 9].as_slice(), &MARK].concat();
        assert!(is_reply(V6, &v6(REPLY_V6), MARK));
        assert!(!is_reply(V6, &v6(REQUEST_V6), MARK));
        assert!(!is_reply(V6, &v6(1), MARK), "destination unreachable");
    }

    #[test]
    fn bytes_that_are_cut_short_are_no_reply() {
        let whole = reply(MARK);
        for length in 0..whole.len() {
            assert!(!is_reply(V4, &whole[..length], MARK), "{length} bytes");
        }
    }
}
