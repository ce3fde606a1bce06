//! Sends the frames that move a virtual address to this host in its neighbours' tables.
//!
//! They leave by a packet socket, so that they need neither a route nor an address of the family, pass no firewall that could
//! hold them back, and have exactly the bytes of [`crate::frame`]. When and how often they are sent is the caller's decision.

use std::net::IpAddr;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket,
};

use crate::answer::Answer;
use crate::frame;
use crate::interface::{Interface, MacAddress};

/// Sends gratuitous ARP and unsolicited neighbour advertisements on one interface. It receives nothing, and never blocks.
#[derive(Debug)]
pub struct Announcer {
    socket: OwnedFd,
    interface: Interface,
}

impl Announcer {
    /// Opens the socket. It serves the interface with this index; open another when the interface was made again.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing, or the process has no file descriptor left.
    pub fn open(interface: &Interface) -> Result<Self, AnnounceError> {
        // Protocol 0: a packet socket that no received frame is queued for.
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )
        .map_err(|errno| AnnounceError::Open {
            interface: interface.clone(),
            answer: Answer::of_socket(errno),
        })?;
        Ok(Self { socket, interface: interface.clone() })
    }

    /// Sends one announcement of `address` at `mac`: gratuitous ARP for IPv4, an unsolicited neighbour advertisement for IPv6.
    /// The address should be on the interface by now, for neighbours answer at once.
    ///
    /// # Errors
    /// The interface is down or gone, or its queue is full; the announcement is lost and the caller may repeat it.
    pub fn announce(&self, mac: MacAddress, address: IpAddr) -> Result<(), AnnounceError> {
        let (frame, ethertype) = match address {
            IpAddr::V4(address) => (frame::gratuitous_arp(mac, address), frame::ETHERTYPE_ARP),
            IpAddr::V6(address) => {
                (frame::unsolicited_neighbour_advertisement(mac, address), frame::ETHERTYPE_IPV6)
            }
        };
        self.send(&frame, ethertype).map_err(|errno| AnnounceError::Send {
            address,
            interface: self.interface.clone(),
            answer: Answer::of_socket(errno),
        })
    }

    fn send(&self, frame: &[u8], ethertype: u16) -> Result<(), Errno> {
        let to = link_address(&self.interface, ethertype).ok_or(Errno::EINVAL)?;
        loop {
            match sendto(self.socket.as_raw_fd(), frame, &to, MsgFlags::MSG_DONTWAIT) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno),
            }
        }
    }
}

/// The packet socket's address that means "out of this interface"; the frame itself says to whom.
#[expect(unsafe_code, reason = "nix makes a LinkAddr from a raw pointer only")]
fn link_address(interface: &Interface, ethertype: u16) -> Option<LinkAddr> {
    let address = libc::sockaddr_ll {
        sll_family: libc::sa_family_t::try_from(libc::AF_PACKET).ok()?,
        sll_protocol: ethertype.to_be(),
        sll_ifindex: interface.index.signed(),
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    let length = libc::socklen_t::try_from(size_of::<libc::sockaddr_ll>()).ok()?;
    // JUSTIFICATION: neither nix, socket2 nor rustix makes a sockaddr_ll safely, and a packet socket can be aimed by nothing else.
    // SAFETY: the pointer is to a live, initialised sockaddr_ll whose family is AF_PACKET, and `length` is its size; nix copies it.
    unsafe { LinkAddr::from_raw((&raw const address).cast::<libc::sockaddr>(), Some(length)) }
}

/// Why an address was not announced.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnnounceError {
    /// The socket was not opened.
    #[error("open a packet socket for announcements on {interface}: {answer}")]
    Open {
        /// The interface.
        interface: Interface,
        /// What the kernel answered.
        answer: Answer,
    },
    /// A frame was not sent.
    #[error("announce {address} on {interface}: {answer}")]
    Send {
        /// The virtual address.
        address: IpAddr,
        /// The interface.
        interface: Interface,
        /// What the kernel answered.
        answer: Answer,
    },
}

impl AnnounceError {
    /// What the kernel answered.
    pub const fn answer(&self) -> Answer {
        match self {
            Self::Open { answer, .. } | Self::Send { answer, .. } => *answer,
        }
    }
}
