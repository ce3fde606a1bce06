//! A packet socket that only sends: whole Ethernet frames, out of one interface. Nothing of the host's routing, neighbour tables or
//! firewall has a part in it.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::socket::{
    AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, sendto, socket,
};

use crate::interface::Interface;

/// Sends frames on one interface. It receives nothing, and never blocks.
#[derive(Debug)]
pub(crate) struct PacketSocket {
    socket: OwnedFd,
    interface: Interface,
}

impl PacketSocket {
    /// A socket for the interface with this index.
    ///
    /// # Errors
    /// CAP_NET_RAW is missing, or the process has no file descriptor left.
    pub(crate) fn open(interface: &Interface) -> Result<Self, Errno> {
        // Protocol 0: a packet socket that no received frame is queued for.
        let socket = socket(
            AddressFamily::Packet,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            None,
        )?;
        Ok(Self { socket, interface: interface.clone() })
    }

    /// Sends `frame`, which has the Ethernet header of `ethertype`.
    ///
    /// # Errors
    /// The interface is down or gone, its queue is full, or the frame exceeds its MTU.
    pub(crate) fn send(&self, frame: &[u8], ethertype: u16) -> Result<(), Errno> {
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
