//! The raw socket that advertisements travel by: IP protocol 112 on one interface, in one family.
//!
//! It moves payloads and says where they came from; whether they are valid is for `vrrp`'s receive ladder. For that reason the
//! kernel verifies no checksum (no IPV6_CHECKSUM option) and filters no TTL: what is wrong arrives, and is counted.
//!
//! Invariants: it never blocks; it delivers packets of its own interface only; what it sends leaves by that interface, from the
//! source address and with the TTL or hop limit that the caller names, and is not looped back to this host.

mod error;

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV4, SocketAddrV6};
use std::ops::Range;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use holdfast_time::Instant;
use nix::errno::Errno;
use nix::sys::socket::{
    ControlMessage, MsgFlags, SockaddrIn, SockaddrIn6, SockaddrLike, SockaddrStorage, recvmsg,
    sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, InterfaceIndexOrAddress, Protocol, Socket, Type};
use vrrp::AddressFamily;

pub use self::error::VrrpSocketError;
use self::error::{join_answer, send_answer};
use crate::answer::Answer;
use crate::frame::vrrp_frame;
use crate::interface::{Interface, MacAddress};
use crate::ip_header::ipv4_payload;
use crate::packet_socket::PacketSocket;
use crate::received::{ControlBuffer, Controls, NETWORK_CONTROL, PRIORITY_CONTROL, errno, ip_of};
use crate::{clock, netlink};

/// VRRP's protocol number (RFC 9568 §5.1.1.4).
pub(crate) const PROTOCOL: u8 = 112;
/// VRRP's group (RFC 9568 §5.1.1.2).
const GROUP_V4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
/// VRRP's group (RFC 9568 §5.1.2.2).
const GROUP_V6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);
/// Room for a burst of several thousand advertisements, against a stall of this process; beyond it the kernel drops and counts.
const RECEIVE_BUFFER: usize = 4 << 20;

/// The largest datagram that VRRP can make, an IPv6 advertisement with 255 addresses (4088 bytes), with room for the longest
/// IPv4 header: the buffer to receive into. Longer datagrams arrive with an empty payload.
pub const MAX_DATAGRAM: usize = 4160;

/// A received packet of protocol 112. Nothing in it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// The IP header's source.
    pub source: IpAddr,
    /// The IP header's destination: the group, or one of our addresses when the peer sent by unicast.
    pub destination: IpAddr,
    /// TTL or hop limit as it arrived.
    pub hop_limit: u8,
    /// Where the payload lies in the caller's buffer, IP headers left out. Empty for what has no whole payload: a fragment, a
    /// header that contradicts itself, or more than the buffer holds.
    pub payload: Range<usize>,
    /// When the kernel received it, which may be long before it was read.
    pub received_at: Instant,
}

/// An advertisement to be sent. Its checksum is the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Packet<'a> {
    /// The IP header's source, an address of the interface; over IPv6 it must not be tentative.
    pub source: IpAddr,
    /// A multicast group, or a peer. A peer that is not on the link is reached by what the routing table has for this interface.
    pub destination: IpAddr,
    /// TTL or hop limit, 1..=255: 255 for a group (RFC 9568 §5.1.1.3 and §5.1.2.3).
    pub hop_limit: u8,
    /// What follows the IP header.
    pub payload: &'a [u8],
}

/// A raw socket of protocol 112 on one interface in one family.
#[derive(Debug)]
pub struct VrrpSocket {
    socket: Socket,
    frames: PacketSocket,
    interface: Interface,
    family: AddressFamily,
    groups: RefCell<BTreeSet<IpAddr>>,
    /// No packet that is still unread can have arrived before this instant, when the queue was last found empty.
    empty_at: Cell<Instant>,
    dropped: Cell<u32>,
}

impl VrrpSocket {
    /// Opens the socket and joins VRRP's group on the interface. The interface may be down and without an address.
    ///
    /// When the interface is deleted the socket stays silent for ever: open another for its new index.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing, the interface is gone, or the kernel lacks the family.
    pub fn open(interface: &Interface, family: AddressFamily) -> Result<Self, VrrpSocketError> {
        let refused = |errno| VrrpSocketError::Open {
            interface: interface.clone(),
            family,
            answer: Answer::of_socket(errno),
        };
        let (configured, group) = match family {
            AddressFamily::Ipv4 => (open_v4(interface), IpAddr::V4(GROUP_V4)),
            AddressFamily::Ipv6 => (open_v6(interface), IpAddr::V6(GROUP_V6)),
        };
        let socket = Self {
            socket: configured.map_err(|error| refused(errno(&error)))?,
            frames: PacketSocket::open(interface).map_err(refused)?,
            interface: interface.clone(),
            family,
            groups: RefCell::default(),
            empty_at: Cell::new(clock::now()),
            dropped: Cell::new(0),
        };
        socket.join(group)?;
        Ok(socket)
    }

    /// Joins another group on the interface, once. Packets to all groups that were joined arrive here: whose group a packet was
    /// sent to is told by its destination. Over IPv4 a socket has 20 groups by default (net.ipv4.igmp_max_memberships).
    ///
    /// # Errors
    /// It is no group of the family, there are too many, or the interface is gone.
    pub fn join(&self, group: IpAddr) -> Result<(), VrrpSocketError> {
        if self.groups.borrow().contains(&group) {
            return Ok(());
        }
        let index = self.interface.index.value();
        let joined = match (self.family, group) {
            (AddressFamily::Ipv4, IpAddr::V4(group)) => {
                self.socket.join_multicast_v4_n(&group, &InterfaceIndexOrAddress::Index(index))
            }
            (AddressFamily::Ipv6, IpAddr::V6(group)) => {
                self.socket.join_multicast_v6(&group, index)
            }
            (AddressFamily::Ipv4, IpAddr::V6(_)) | (AddressFamily::Ipv6, IpAddr::V4(_)) => {
                Err(Errno::EAFNOSUPPORT.into())
            }
        };
        joined.map_err(|error| VrrpSocketError::Join {
            interface: self.interface.clone(),
            group,
            answer: join_answer(errno(&error)),
        })?;
        self.groups.borrow_mut().insert(group);
        Ok(())
    }

    /// The interface that it was opened for.
    pub const fn interface(&self) -> &Interface {
        &self.interface
    }

    /// The family that it carries.
    pub const fn family(&self) -> AddressFamily {
        self.family
    }

    /// How many packets the kernel has dropped because they were not read in time, as of the last one that was received.
    pub const fn dropped(&self) -> u32 {
        self.dropped.get()
    }

    /// Takes the next packet from the queue into `buffer` (of [`MAX_DATAGRAM`] bytes); none when the queue is empty.
    ///
    /// # Errors
    /// What the network has reported to the socket, which stays usable: count it and read on.
    pub fn recv(&self, buffer: &mut [u8]) -> Result<Option<Datagram>, VrrpSocketError> {
        loop {
            let before = clock::now();
            match self.recv_one(buffer) {
                // Queued between the socket's creation and its binding to the interface; it can't happen later.
                Ok(Received { interface, .. }) if interface != self.interface.index.value() => {}
                Ok(received) => return Ok(Some(received.datagram)),
                Err(Errno::EAGAIN) => {
                    self.empty_at.set(before);
                    return Ok(None);
                }
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(VrrpSocketError::Receive {
                        interface: self.interface.clone(),
                        family: self.family,
                        answer: Answer::of_socket(errno),
                    });
                }
            }
        }
    }

    fn recv_one(&self, buffer: &mut [u8]) -> Result<Received, Errno> {
        let mut control = ControlBuffer([0; 256]);
        let (length, truncated, source, controls) = {
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
            let truncated = message.flags.contains(MsgFlags::MSG_TRUNC);
            (message.bytes, truncated, message.address.and_then(ip_of), controls)
        };
        if let Some(dropped) = controls.dropped {
            self.dropped.set(dropped);
        }
        let payload = match self.family {
            _ if truncated => 0..0,
            AddressFamily::Ipv4 => ipv4_payload(buffer.get(..length).unwrap_or_default()),
            AddressFamily::Ipv6 => 0..length,
        };
        let unspecified = unspecified(self.family);
        let received_at = controls.received_at(self.empty_at.get());
        Ok(Received {
            interface: controls.interface,
            datagram: Datagram {
                source: source.unwrap_or(unspecified),
                destination: controls.destination.unwrap_or(unspecified),
                // A packet without the option's message can't prove its hop limit: 0 never passes.
                hop_limit: controls.hop_limit.unwrap_or(0),
                payload,
                received_at,
            },
        })
    }

    /// Sends `packet` to its group or peer.
    ///
    /// # Errors
    /// The source is not on the interface, the addresses are of another family, no route leads to the peer, the interface is down or
    /// gone, or its queue is full. Nothing was sent. For a peer, what was sent before may have met an error, which is told now.
    pub fn send(&self, packet: &Packet<'_>) -> Result<(), VrrpSocketError> {
        self.sent(packet, || self.try_send(packet))
    }

    /// Sends `packet` to its group in an Ethernet frame from `mac` (RFC 9568 §7.2: "Set the source MAC address to the Virtual
    /// Router MAC address"). It passes neither routing nor the firewall's output, and the interface needs no such address.
    ///
    /// Only a group has an Ethernet address that is known beforehand: to a peer it is sent as [`VrrpSocket::send`] does.
    ///
    /// # Errors
    /// The addresses are of another family, the packet is longer than the interface's MTU, the interface is down or gone, or its
    /// queue is full. Nothing was sent.
    pub fn send_from_mac(
        &self,
        mac: MacAddress,
        packet: &Packet<'_>,
    ) -> Result<(), VrrpSocketError> {
        if !packet.destination.is_multicast() {
            return self.send(packet);
        }
        let ours = |address: IpAddr| address.is_ipv4() == (self.family == AddressFamily::Ipv4);
        let frame =
            vrrp_frame(mac, packet).filter(|_| ours(packet.source)).ok_or(Errno::EAFNOSUPPORT);
        self.sent(packet, || match &frame {
            Ok((frame, ethertype)) => self.frames.send(frame, *ethertype),
            Err(errno) => Err(*errno),
        })
    }

    /// Calls `send` until no signal interrupts it.
    fn sent(
        &self,
        packet: &Packet<'_>,
        send: impl Fn() -> Result<(), Errno>,
    ) -> Result<(), VrrpSocketError> {
        loop {
            match send() {
                Ok(()) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => {
                    return Err(VrrpSocketError::Send {
                        interface: self.interface.clone(),
                        source_address: packet.source,
                        destination: packet.destination,
                        answer: send_answer(errno),
                    });
                }
            }
        }
    }

    fn try_send(&self, packet: &Packet<'_>) -> Result<(), Errno> {
        let hop_limit = libc::c_int::from(packet.hop_limit);
        match (self.family, packet.source, packet.destination) {
            (AddressFamily::Ipv4, IpAddr::V4(source), IpAddr::V4(to)) => {
                let info = libc::in_pktinfo {
                    ipi_ifindex: self.interface.index.signed(),
                    ipi_spec_dst: libc::in_addr { s_addr: u32::from(source).to_be() },
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let control =
                    [ControlMessage::Ipv4PacketInfo(&info), ControlMessage::Ipv4Ttl(&hop_limit)];
                self.send_to(packet.payload, &control, &SockaddrIn::from(SocketAddrV4::new(to, 0)))
            }
            (AddressFamily::Ipv6, IpAddr::V6(source), IpAddr::V6(to)) => {
                let index = self.interface.index.value();
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: source.octets() },
                    ipi6_ifindex: index,
                };
                let control = [
                    ControlMessage::Ipv6PacketInfo(&info),
                    ControlMessage::Ipv6HopLimit(&hop_limit),
                ];
                let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, index));
                self.send_to(packet.payload, &control, &to)
            }
            _ => Err(Errno::EAFNOSUPPORT),
        }
    }

    fn send_to<S: SockaddrLike>(
        &self,
        payload: &[u8],
        control: &[ControlMessage<'_>],
        to: &S,
    ) -> Result<(), Errno> {
        let slices = [IoSlice::new(payload)];
        sendmsg(self.socket.as_raw_fd(), &slices, control, MsgFlags::MSG_DONTWAIT, Some(to))
            .map(drop)
    }
}

impl AsFd for VrrpSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

struct Received {
    interface: u32,
    datagram: Datagram,
}

const fn unspecified(family: AddressFamily) -> IpAddr {
    match family {
        AddressFamily::Ipv4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        AddressFamily::Ipv6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}

fn open_v4(interface: &Interface) -> io::Result<Socket> {
    let socket = open(Domain::IPV4, interface)?;
    socket.set_multicast_all_v4(false)?;
    socket.set_multicast_loop_v4(false)?;
    socket.set_multicast_ttl_v4(255)?;
    socket.set_ttl_v4(255)?;
    socket.set_tos_v4(NETWORK_CONTROL.into())?;
    setsockopt(&socket, sockopt::Ipv4RecvTtl, &true)?;
    setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?;
    // After the type of service, for that sets the priority too.
    socket.set_priority(PRIORITY_CONTROL)?;
    Ok(socket)
}

fn open_v6(interface: &Interface) -> io::Result<Socket> {
    let socket = open(Domain::IPV6, interface)?;
    socket.set_multicast_all_v6(false)?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_multicast_hops_v6(255)?;
    socket.set_unicast_hops_v6(255)?;
    socket.set_tclass_v6(NETWORK_CONTROL.into())?;
    setsockopt(&socket, sockopt::Ipv6RecvHopLimit, &true)?;
    setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?;
    socket.set_multicast_if_v6(interface.index.value())?;
    socket.set_priority(PRIORITY_CONTROL)?;
    Ok(socket)
}

/// What both families have in common. The socket is bound to the interface first, so that nothing foreign is queued from then on.
fn open(domain: Domain, interface: &Interface) -> io::Result<Socket> {
    let socket =
        Socket::new(domain, Type::RAW.nonblocking(), Some(Protocol::from(i32::from(PROTOCOL))))?;
    socket.bind_device(Some(interface.name.as_bytes()))?;
    // The kernel binds by name: an interface that was made again under the same name meanwhile is not the one that was meant.
    if nix::net::if_::if_nametoindex(interface.name.as_str())? != interface.index.value() {
        return Err(Errno::ENODEV.into());
    }
    setsockopt(&socket, sockopt::ReceiveTimestampns, &true)?;
    setsockopt(&socket, sockopt::RxqOvfl, &1)?;
    netlink::enlarge_receive_buffer(&socket, RECEIVE_BUFFER)?;
    Ok(socket)
}
