//! Sends the frames that move a virtual address to this host in its neighbours' tables.
//!
//! They leave by a packet socket, so that they need neither a route nor an address of the family, pass no firewall that could
//! hold them back, and have exactly the bytes of [`crate::frame`]. When and how often they are sent is the caller's decision.

use std::net::IpAddr;

use crate::answer::Answer;
use crate::frame;
use crate::interface::{Interface, MacAddress};
use crate::packet_socket::PacketSocket;

/// Sends gratuitous ARP and unsolicited neighbour advertisements on one interface. It receives nothing, and never blocks.
#[derive(Debug)]
pub struct Announcer {
    socket: PacketSocket,
    interface: Interface,
}

impl Announcer {
    /// Opens the socket. It serves the interface with this index; open another when the interface was made again.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing, or the process has no file descriptor left.
    pub fn open(interface: &Interface) -> Result<Self, AnnounceError> {
        let socket = PacketSocket::open(interface).map_err(|errno| AnnounceError::Open {
            interface: interface.clone(),
            answer: Answer::of_socket(errno),
        })?;
        Ok(Self { socket, interface: interface.clone() })
    }

    /// Sends one announcement of `address` at `mac`, which is the frame's source too (RFC 9568 §6.4.1 with errata 7947 and 7949):
    /// gratuitous ARP for IPv4, an unsolicited neighbour advertisement for IPv6.
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
        self.socket.send(&frame, ethertype).map_err(|errno| AnnounceError::Send {
            address,
            interface: self.interface.clone(),
            answer: Answer::of_socket(errno),
        })
    }
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
