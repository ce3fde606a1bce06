//! The UDP sockets of BFD over one hop (RFC 5881 §4 and §5): one a family that hears port 3784, and one a session that sends.
//!
//! They move payloads and say where they came from; whether these are valid is for `holdfast-bfd`. The kernel filters no TTL: what
//! comes from afar arrives, and is counted.
//!
//! Invariants: they never block; what is sent leaves with TTL or hop limit 255, and all packets of a session from one port, which no
//! other session of the host has.

use std::cell::Cell;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use holdfast_time::Instant;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage, recvmsg,
    sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};
use vrrp::AddressFamily;

use crate::answer::Answer;
use crate::interface::Interface;
use crate::received::{ControlBuffer, Controls, NETWORK_CONTROL, PRIORITY_CONTROL, errno, ip_of};
use crate::{clock, netlink};

/// The port that control packets go to (RFC 5881 §4).
const PORT: u16 = 3784;
/// The first of the ports that they may come from, up to 65535 (RFC 5881 §4).
const FIRST_SOURCE_PORT: u16 = 49152;
/// How many of those there are.
const SOURCE_PORTS: u16 = u16::MAX - FIRST_SOURCE_PORT + 1;
/// Room for a burst of a thousand packets, against a stall of this process; beyond it the kernel drops.
const RECEIVE_BUFFER: usize = 1 << 20;

/// The buffer to receive into. A control packet has 24 bytes, and 255 at most by its length field; more is cut off.
pub const MAX_BFD_DATAGRAM: usize = 256;

/// A received datagram. Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BfdDatagram {
    /// Who sent it.
    pub source: IpAddr,
    /// The interface that it came in on, by the kernel's number.
    pub interface: u32,
    /// TTL or hop limit as it arrived; none when the kernel did not say.
    pub hop_limit: Option<u8>,
    /// How many bytes of the caller's buffer are the UDP payload.
    pub length: usize,
    /// When the kernel received it, which may be long before it was read.
    pub received_at: Instant,
}

/// The socket that hears the packets of all sessions of a family, on every interface.
#[derive(Debug)]
pub struct BfdReceiver {
    socket: Socket,
    family: AddressFamily,
    /// No packet that is still unread can have arrived before this instant, when the queue was last found empty.
    empty_at: Cell<Instant>,
}

impl BfdReceiver {
    /// Opens it.
    ///
    /// # Errors
    /// Another program speaks BFD on this host (EADDRINUSE), or the kernel lacks the family.
    pub fn open(family: AddressFamily) -> Result<Self, BfdSocketError> {
        let socket = match family {
            AddressFamily::Ipv4 => receiver_v4(),
            AddressFamily::Ipv6 => receiver_v6(),
        };
        let socket = socket.map_err(|error| BfdSocketError::Listen {
            family,
            answer: listen_answer(errno(&error)),
        })?;
        Ok(Self { socket, family, empty_at: Cell::new(clock::now()) })
    }

    /// The family that it hears.
    pub const fn family(&self) -> AddressFamily {
        self.family
    }

    /// Takes the next datagram from the queue into `buffer` (of [`MAX_BFD_DATAGRAM`] bytes); none when the queue is empty.
    ///
    /// # Errors
    /// What the network has reported to the socket, which stays usable: count it and read on.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<Option<BfdDatagram>, BfdSocketError> {
        loop {
            let before = clock::now();
            match self.recv_one(buffer) {
                Ok(datagram) => return Ok(Some(datagram)),
                Err(Errno::EAGAIN) => {
                    self.empty_at.set(before);
                    return Ok(None);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    let answer = Answer::of_socket(errno);
                    return Err(BfdSocketError::Receive { family: self.family, answer });
                }
            }
        }
    }

    fn recv_one(&self, buffer: &mut [u8]) -> Result<BfdDatagram, Errno> {
        let mut control = ControlBuffer([0; 256]);
        let mut slices = [IoSliceMut::new(buffer)];
        let message = recvmsg::<SockaddrStorage>(
            self.socket.as_raw_fd(),
            &mut slices,
            Some(&mut control.0),
            MsgFlags::MSG_DONTWAIT,
        )?;
        let mut controls = Controls::default();
        for one in message.cmsgs()? {
            controls.take(one);
        }
        let received_at = controls.received_at(self.empty_at.get());
        let source = message.address.and_then(ip_of);
        Ok(BfdDatagram {
            source: source.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            interface: controls.interface,
            hop_limit: controls.hop_limit,
            length: message.bytes,
            received_at,
        })
    }
}

impl AsFd for BfdReceiver {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The socket that a session sends by.
#[derive(Debug)]
pub struct BfdSender {
    socket: Socket,
    peer: IpAddr,
    source: Option<IpAddr>,
    /// The kernel's number of the interface; 0 = any.
    interface: u32,
    port: u16,
}

impl BfdSender {
    /// Opens it for the session with `peer`, on a port that nobody else has. It sends from `source` (none = as the kernel chooses)
    /// and by `interface` (none = by the routing table; link-local peers need one). The search for a port begins at the one that
    /// `number` gives modulo 16,384: of a random number a random one, of a port in the range that port itself.
    ///
    /// When the interface is deleted, open another for its new number.
    ///
    /// # Errors
    /// All 16,384 ports are taken, the interface is gone, or the kernel lacks the family.
    pub fn open(
        peer: IpAddr,
        source: Option<IpAddr>,
        interface: Option<&Interface>,
        number: u16,
    ) -> Result<Self, BfdSocketError> {
        let opened = bound_sender(peer, interface, number);
        let (socket, port) = opened.map_err(|error| BfdSocketError::Open {
            peer,
            answer: Answer::of_socket(errno(&error)),
        })?;
        let interface = interface.map_or(0, |interface| interface.index.value());
        Ok(Self { socket, peer, source, interface, port })
    }

    /// The port that it sends from.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Sends `payload` to the peer.
    ///
    /// # Errors
    /// The source is not an address of this host, there is no route to the peer, or the interface is down or gone. Nothing was sent.
    pub fn send(&self, payload: &[u8]) -> Result<(), BfdSocketError> {
        loop {
            let sent = match (self.peer, self.source) {
                (IpAddr::V4(peer), None) => self.send_v4(peer, Ipv4Addr::UNSPECIFIED, payload),
                (IpAddr::V4(peer), Some(IpAddr::V4(source))) => self.send_v4(peer, source, payload),
                (IpAddr::V6(peer), None) => self.send_v6(peer, Ipv6Addr::UNSPECIFIED, payload),
                (IpAddr::V6(peer), Some(IpAddr::V6(source))) => self.send_v6(peer, source, payload),
                (IpAddr::V4(_), Some(IpAddr::V6(_))) | (IpAddr::V6(_), Some(IpAddr::V4(_))) => {
                    Err(Errno::EAFNOSUPPORT)
                }
            };
            match sent {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    let answer = Answer::of_socket(errno);
                    return Err(BfdSocketError::Send { peer: self.peer, answer });
                }
            }
        }
    }

    fn send_v4(&self, peer: Ipv4Addr, source: Ipv4Addr, payload: &[u8]) -> Result<usize, Errno> {
        let info = libc::in_pktinfo {
            ipi_ifindex: self.interface.cast_signed(),
            ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
            ipi_addr: libc::in_addr { s_addr: 0 },
        };
        let to = SockaddrIn::from(SocketAddrV4::new(peer, PORT));
        self.send_to(payload, ControlMessage::Ipv4PacketInfo(&info), &to)
    }

    fn send_v6(&self, peer: Ipv6Addr, source: Ipv6Addr, payload: &[u8]) -> Result<usize, Errno> {
        let info = libc::in6_pktinfo {
            ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
            ipi6_ifindex: self.interface,
        };
        let to = SockaddrIn6::from(SocketAddrV6::new(peer, PORT, 0, self.interface));
        self.send_to(payload, ControlMessage::Ipv6PacketInfo(&info), &to)
    }

    fn send_to<S: SockaddrLike>(
        &self,
        payload: &[u8],
        info: ControlMessage<'_>,
        to: &S,
    ) -> Result<usize, Errno> {
        let payload = [IoSlice::new(payload)];
        sendmsg(self.socket.as_raw_fd(), &payload, &[info], MsgFlags::MSG_DONTWAIT, Some(to))
    }
}

fn receiver_v4() -> io::Result<Socket> {
    let socket = receiver(Domain::IPV4)?;
    setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    socket.bind(&SocketAddr::from((Ipv4Addr::UNSPECIFIED, PORT)).into())?;
    Ok(socket)
}

fn receiver_v6() -> io::Result<Socket> {
    let socket = receiver(Domain::IPV6)?;
    socket.set_only_v6(true)?;
    setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    socket.bind(&SocketAddr::from((Ipv6Addr::UNSPECIFIED, PORT)).into())?;
    Ok(socket)
}

/// What both families have in common. All is set before the port is bound, so that no datagram lacks a thing.
fn receiver(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    netlink::enlarge_receive_buffer(&socket, RECEIVE_BUFFER)?;
    Ok(socket)
}

fn bound_sender(
    peer: IpAddr,
    interface: Option<&Interface>,
    number: u16,
) -> io::Result<(Socket, u16)> {
    let (socket, any) = match peer {
        IpAddr::V4(_) => {
            let socket = sender(Domain::IPV4)?;
            socket.set_ttl_v4(255)?;
            socket.set_tos_v4(NETWORK_CONTROL.into())?;
            (socket, IpAddr::V4(Ipv4Addr::UNSPECIFIED))
        }
        IpAddr::V6(_) => {
            let socket = sender(Domain::IPV6)?;
            socket.set_only_v6(true)?;
            socket.set_unicast_hops_v6(255)?;
            socket.set_tclass_v6(NETWORK_CONTROL.into())?;
            (socket, IpAddr::V6(Ipv6Addr::UNSPECIFIED))
        }
    };
    // After the type of service, for that sets the priority too.
    socket.set_priority(PRIORITY_CONTROL)?;
    if let Some(interface) = interface {
        socket.bind_device(Some(interface.name.as_bytes()))?;
    }
    for offset in 0..SOURCE_PORTS {
        let port = FIRST_SOURCE_PORT + number.wrapping_add(offset) % SOURCE_PORTS;
        match socket.bind(&SocketAddr::from((any, port)).into()) {
            Ok(()) => return Ok((socket, port)),
            Err(error) if errno(&error) == Errno::EADDRINUSE => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EADDRINUSE.into())
}

/// It sends only: what comes to its port finds no room.
fn sender(domain: Domain) -> io::Result<Socket> {
    let socket = Socket::new(domain, Type::DGRAM.nonblocking(), Some(Protocol::UDP))?;
    socket.set_recv_buffer_size(0)?;
    Ok(socket)
}

fn listen_answer(errno: Errno) -> Answer {
    if errno == Errno::EADDRINUSE {
        Answer::advising(errno, "another program of this host speaks BFD on port 3784: stop it")
    } else {
        Answer::of_socket(errno)
    }
}

/// Why a BFD socket failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BfdSocketError {
    /// The socket that hears was not opened.
    #[error("listen for BFD over {family}: {answer}")]
    Listen {
        /// The family.
        family: AddressFamily,
        /// What the kernel answered.
        answer: Answer,
    },
    /// The socket that sends was not opened.
    #[error("open a BFD socket to {peer}: {answer}")]
    Open {
        /// The peer.
        peer: IpAddr,
        /// What the kernel answered.
        answer: Answer,
    },
    /// A datagram was not received.
    #[error("receive BFD over {family}: {answer}")]
    Receive {
        /// The family.
        family: AddressFamily,
        /// What the kernel answered.
        answer: Answer,
    },
    /// A packet was not sent.
    #[error("send BFD to {peer}: {answer}")]
    Send {
        /// The peer.
        peer: IpAddr,
        /// What the kernel answered.
        answer: Answer,
    },
}

impl BfdSocketError {
    /// What the kernel answered.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Listen { answer, .. }
            | Self::Open { answer, .. }
            | Self::Receive { answer, .. }
            | Self::Send { answer, .. } => *answer,
        }
    }
}
