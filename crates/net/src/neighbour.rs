//! One question to a link, who has an address, and its answer: ARP (RFC 826) or Neighbor Solicitation (RFC 4861 §7.2).
//!
//! The question comes from an address of the interface's own and never from a virtual one, which would move it in the neighbours'
//! tables. It comes from an address at all because a question from none is a *probe* (RFC 5227 §2.1.1, RFC 4862 §5.4.2): who is
//! about to take the address for itself would refrain.

use std::io::{self, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use ipnet::Ipv4Net;
use nix::errno::Errno;
use nix::ifaddrs::getifaddrs;
use nix::sys::socket::{
    ControlMessageOwned, LinkAddr, MsgFlags, SockaddrIn6, bind, recvfrom, recvmsg, sendto,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::answer::Answer;
use crate::frame::ETHERTYPE_ARP;
use crate::interface::{Interface, MacAddress};
use crate::reach::{ReachError, ReachStep};

/// ARPHRD_ETHER of linux/if_arp.h.
const ETHERNET: u16 = 1;
/// PACKET_HOST and PACKET_BROADCAST of linux/if_packet.h: to this host, to all.
const TO_US: [u8; 2] = [0, 1];
/// Hardware type Ethernet, protocol type IPv4, their lengths 6 and 4.
const ARP_HEADER: [u8; 6] = [0, 1, 0x08, 0x00, 6, 4];
const ARP_REQUEST: u8 = 1;
const ARP_REPLY: u8 = 2;
/// ICMPv6's types (RFC 4861 §4.3 and §4.4).
const SOLICITATION: u8 = 135;
const ADVERTISEMENT: u8 = 136;
/// No router decreases it: the packet comes from the link (RFC 4861 §7.1).
const HOP_LIMIT: u8 = 255;
/// Longer than any answer that counts; what is longer is cut and read all the same.
const BUFFER: usize = 256;
/// So many packets are read before others have their turn.
const TURN: usize = 64;

/// A question that was sent, waiting for its answer. It never blocks.
#[derive(Debug)]
pub struct NeighbourQuery {
    socket: Socket,
    question: Question,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Question {
    Arp { index: usize, mac: MacAddress, source: Ipv4Addr, target: Ipv4Addr },
    Solicitation { target: Ipv6Addr },
}

/// What the interface has to ask with.
#[derive(Clone, Debug, Default)]
struct Own {
    link: Option<LinkAddr>,
    v4: Vec<Ipv4Net>,
    v6: Vec<SockaddrIn6>,
}

impl NeighbourQuery {
    /// Asks the link of `interface` who has `target`. Addresses for which `is_virtual` is true are not asked from.
    ///
    /// It lists the host's addresses, which may take milliseconds where there are many.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing, or the interface is not there, no Ethernet, down, or without an address of its own.
    pub fn send(
        target: IpAddr,
        interface: &str,
        is_virtual: impl Fn(IpAddr) -> bool,
    ) -> Result<Self, ReachError> {
        let interface = Interface::by_name(interface)?;
        let refused = |step| {
            move |errno| ReachError::Refused { target, step, answer: Answer::of_socket(errno) }
        };
        let own = Own::of(&interface, is_virtual).map_err(refused(ReachStep::Open))?;
        let ethernet = own.link.filter(|link| link.hatype() == ETHERNET);
        let ethernet =
            ethernet.and_then(|link| link.addr().map(|mac| (link, MacAddress::new(mac))));
        let name = interface.name.clone();
        let (link, mac) =
            ethernet.ok_or_else(|| ReachError::NoEthernet { target, interface: name.clone() })?;
        let no_source = ReachError::NoSource { target, interface: name };
        match target {
            IpAddr::V4(address) => {
                let source = source_v4(&own.v4, address).ok_or(no_source)?;
                let socket = arp_socket(&link).map_err(refused(ReachStep::Open))?;
                let index = link.ifindex();
                let question = Question::Arp { index, mac, source, target: address };
                let frame = arp_request(mac, source, address);
                sendto(socket.as_raw_fd(), &frame, &link, MsgFlags::empty())
                    .map_err(refused(ReachStep::Send))?;
                Ok(Self { socket, question })
            }
            IpAddr::V6(address) => {
                let source = source_v6(&own.v6).ok_or(no_source)?;
                let socket = solicitation_socket(&interface, source)
                    .map_err(|error| refused(ReachStep::Open)(errno(&error)))?;
                let group =
                    SocketAddrV6::new(solicited_node(address), 0, 0, interface.index.value());
                socket
                    .send_to(&solicitation(mac, address), &group.into())
                    .map_err(|error| refused(ReachStep::Send)(errno(&error)))?;
                Ok(Self { socket, question: Question::Solicitation { target: address } })
            }
        }
    }

    /// Looks for the answer among what has arrived; Ok when it is there.
    ///
    /// # Errors
    /// `WouldBlock` when nothing more has arrived, `Interrupted` when there is more to look through, otherwise what the kernel
    /// reported: the interface went down, say.
    pub fn look(&self) -> io::Result<()> {
        for _ in 0..TURN {
            if self.question.is_answered(&self.socket)? {
                return Ok(());
            }
        }
        Err(io::ErrorKind::Interrupted.into())
    }
}

impl AsFd for NeighbourQuery {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Question {
    /// Takes one packet from the queue.
    fn is_answered(&self, socket: &Socket) -> io::Result<bool> {
        let mut buffer = [0; BUFFER];
        match *self {
            Self::Arp { index, mac, source, target } => {
                let (length, from) = recvfrom::<LinkAddr>(socket.as_raw_fd(), &mut buffer)?;
                // Before it was bound the socket heard every interface.
                let ours = from
                    .is_some_and(|from| from.ifindex() == index && TO_US.contains(&from.pkttype()));
                let frame = buffer.get(..length).unwrap_or_default();
                Ok(ours && is_arp_reply(frame, mac, source, target))
            }
            Self::Solicitation { target } => {
                let (message, hop_limit) = receive_icmpv6(socket, &mut buffer)?;
                Ok(hop_limit == Some(i32::from(HOP_LIMIT)) && is_advertisement(message, target))
            }
        }
    }
}

impl Own {
    fn of(interface: &Interface, is_virtual: impl Fn(IpAddr) -> bool) -> Result<Self, Errno> {
        let mut own = Self::default();
        for one in getifaddrs()?.filter(|one| one.interface_name == interface.name) {
            let Some(address) = one.address else { continue };
            if let Some(link) = address.as_link_addr() {
                own.link = Some(*link);
            } else if let Some(v4) = address.as_sockaddr_in() {
                let mask = one.netmask.and_then(|mask| mask.as_sockaddr_in().map(|mask| mask.ip()));
                let net = mask.and_then(|mask| Ipv4Net::with_netmask(v4.ip(), mask).ok());
                own.v4.extend(net.filter(|net| !is_virtual(net.addr().into())));
            } else if let Some(v6) = address.as_sockaddr_in6() {
                own.v6.extend(Some(*v6).filter(|v6| !is_virtual(v6.ip().into())));
            }
        }
        Ok(own)
    }
}

/// The first address whose prefix has the target in it, else the first.
fn source_v4(own: &[Ipv4Net], target: Ipv4Addr) -> Option<Ipv4Addr> {
    let near = own.iter().find(|net| net.contains(&target));
    near.or_else(|| own.first()).map(Ipv4Net::addr)
}

/// The first link-local address, which every IPv6 interface has.
fn source_v6(own: &[SockaddrIn6]) -> Option<SocketAddrV6> {
    let link_local = own.iter().find(|one| one.ip().is_unicast_link_local())?;
    Some(SocketAddrV6::new(link_local.ip(), 0, 0, link_local.scope_id()))
}

fn arp_socket(link: &LinkAddr) -> Result<Socket, Errno> {
    let protocol = Protocol::from(i32::from(ETHERTYPE_ARP.to_be()));
    let socket = Socket::new(Domain::PACKET, Type::RAW.nonblocking(), Some(protocol))
        .map_err(|error| errno(&error))?;
    // It names no protocol, so that the socket keeps its own.
    bind(socket.as_raw_fd(), link)?;
    Ok(socket)
}

/// It hears what is sent to `source` alone, as an answer is.
fn solicitation_socket(interface: &Interface, source: SocketAddrV6) -> io::Result<Socket> {
    let socket = Socket::new(Domain::IPV6, Type::RAW.nonblocking(), Some(Protocol::ICMPV6))?;
    socket.bind_device(Some(interface.name.as_bytes()))?;
    socket.set_multicast_if_v6(interface.index.value())?;
    socket.set_multicast_hops_v6(HOP_LIMIT.into())?;
    socket.set_multicast_loop_v6(false)?;
    socket.set_recv_hoplimit_v6(true)?;
    socket.bind(&source.into())?;
    Ok(socket)
}

fn receive_icmpv6<'a>(
    socket: &Socket,
    buffer: &'a mut [u8],
) -> io::Result<(&'a [u8], Option<i32>)> {
    let mut control = nix::cmsg_space!(i32);
    let mut slices = [IoSliceMut::new(buffer)];
    let received = recvmsg::<SockaddrIn6>(
        socket.as_raw_fd(),
        &mut slices,
        Some(&mut control),
        MsgFlags::empty(),
    )?;
    let length = received.bytes;
    let hop_limit = received.cmsgs()?.find_map(|message| {
        if let ControlMessageOwned::Ipv6HopLimit(limit) = message { Some(limit) } else { None }
    });
    Ok((buffer.get(..length).unwrap_or_default(), hop_limit))
}

/// An ARP request to everybody (RFC 826), 42 bytes: the driver pads.
fn arp_request(mac: MacAddress, source: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    let mut frame = Vec::with_capacity(42);
    frame.extend_from_slice(&MacAddress::BROADCAST.octets());
    frame.extend_from_slice(&mac.octets());
    frame.extend_from_slice(&ETHERTYPE_ARP.to_be_bytes());
    frame.extend_from_slice(&ARP_HEADER);
    frame.extend_from_slice(&[0, ARP_REQUEST]);
    frame.extend_from_slice(&mac.octets());
    frame.extend_from_slice(&source.octets());
    frame.extend_from_slice(&[0; 6]);
    frame.extend_from_slice(&target.octets());
    frame
}

/// Whether `frame` is the reply of `target` to `source` at `mac`, link padding left aside.
fn is_arp_reply(frame: &[u8], mac: MacAddress, source: Ipv4Addr, target: Ipv4Addr) -> bool {
    let part = |from: usize, to: usize| frame.get(from..to);
    part(12, 14) == Some(&ETHERTYPE_ARP.to_be_bytes())
        && part(14, 20) == Some(&ARP_HEADER)
        && part(20, 22) == Some(&[0, ARP_REPLY])
        && part(28, 32) == Some(&target.octets())
        && part(32, 38) == Some(&mac.octets())
        && part(38, 42) == Some(&source.octets())
}

/// A Neighbor Solicitation with the source link-layer address option (RFC 4861 §4.3); the kernel writes the checksum.
fn solicitation(mac: MacAddress, target: Ipv6Addr) -> Vec<u8> {
    let mut message = vec![SOLICITATION, 0, 0, 0, 0, 0, 0, 0];
    message.extend_from_slice(&target.octets());
    // Option 1, source link-layer address, of one unit of 8 bytes.
    message.extend_from_slice(&[1, 1]);
    message.extend_from_slice(&mac.octets());
    message
}

/// Whether `message` is an advertisement of `target` (RFC 4861 §7.1.2: code 0, at least 24 bytes).
fn is_advertisement(message: &[u8], target: Ipv6Addr) -> bool {
    message.first_chunk() == Some(&[ADVERTISEMENT, 0])
        && message.get(8..24) == Some(&target.octets())
}

/// The group that everybody with this address listens to (RFC 4291 §2.7.1).
const fn solicited_node(address: Ipv6Addr) -> Ipv6Addr {
    let [.., high, low] = address.segments();
    Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, 0xff00 | (high & 0xff), low)
}

fn errno(error: &io::Error) -> Errno {
    Errno::from_raw(error.raw_os_error().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAC: MacAddress = MacAddress::new([0x02, 0, 0, 0, 0, 0x0a]);
    const OURS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);
    const THEIRS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 2);

    #[rustfmt::skip]
    const REPLY: [u8; 42] = [
        // Ethernet: to us, from them, ARP
        0x02, 0, 0, 0, 0, 0x0a, 0x02, 0, 0, 0, 0, 0x0b, 0x08, 0x06,
        // Ethernet, IPv4, lengths, reply
        0, 1, 0x08, 0, 6, 4, 0, 2,
        // sender
        0x02, 0, 0, 0, 0, 0x0b, 192, 0, 2, 2,
        // target
        0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 1,
    ];

    #[test]
    fn a_request_has_the_bytes_of_rfc_826() {
        #[rustfmt::skip]
        let golden = [
            // Ethernet: broadcast, from the interface, ARP
            0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x02, 0, 0, 0, 0, 0x0a, 0x08, 0x06,
            // Ethernet, IPv4, lengths, request
            0, 1, 0x08, 0, 6, 4, 0, 1,
            // sender
            0x02, 0, 0, 0, 0, 0x0a, 192, 0, 2, 1,
            // target
            0, 0, 0, 0, 0, 0, 192, 0, 2, 2,
        ];
        assert_eq!(arp_request(MAC, OURS, THEIRS), golden);
    }

    #[test]
    fn only_the_targets_reply_to_us_counts() {
        assert!(is_arp_reply(&REPLY, MAC, OURS, THEIRS));
        let padded = [REPLY.as_slice(), &[0; 18]].concat();
        assert!(is_arp_reply(&padded, MAC, OURS, THEIRS), "padded by the link");
        // Whose frame it is and who has the address now may be anything.
        for place in (12..22).chain(28..42) {
            let mut other = REPLY;
            other[place] ^= 1;
            assert!(!is_arp_reply(&other, MAC, OURS, THEIRS), "byte {place}");
        }
        for length in 0..REPLY.len() {
            assert!(!is_arp_reply(&REPLY[..length], MAC, OURS, THEIRS), "{length} bytes");
        }
    }

    #[test]
    fn a_solicitation_has_the_bytes_of_rfc_4861_and_goes_to_the_targets_group() {
        let target: Ipv6Addr = "2001:db8::abcd:1234".parse().unwrap();
        let message = solicitation(MAC, target);
        assert_eq!(message.len(), 32);
        assert_eq!(message[..8], [135, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(message[8..24], target.octets());
        assert_eq!(message[24..], [1, 1, 0x02, 0, 0, 0, 0, 0x0a]);
        assert_eq!(solicited_node(target).to_string(), "ff02::1:ffcd:1234");
    }

    #[test]
    fn only_an_advertisement_of_the_target_counts() {
        let target: Ipv6Addr = "2001:db8::1".parse().unwrap();
        let mut message = vec![ADVERTISEMENT, 0, 0, 0, 0x60, 0, 0, 0];
        message.extend_from_slice(&target.octets());
        assert!(is_advertisement(&message, target));
        assert!(!is_advertisement(&message, "2001:db8::2".parse().unwrap()));
        assert!(!is_advertisement(&message[..23], target));
        message[0] = SOLICITATION;
        assert!(!is_advertisement(&message, target));
    }

    #[test]
    fn the_source_is_the_nearest_address() {
        let own = ["10.0.0.1/24", "192.0.2.1/24"].map(|net| net.parse().unwrap());
        assert_eq!(source_v4(&own, THEIRS), Some(OURS));
        assert_eq!(
            source_v4(&own, Ipv4Addr::new(203, 0, 113, 1)),
            Some(Ipv4Addr::new(10, 0, 0, 1))
        );
        assert_eq!(source_v4(&[], THEIRS), None);
    }
}
