//! Sending advertisements: to the group or to each peer, from the interface's MAC address or the virtual one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use holdfast_net::{MacAddress, Packet, VrrpSocketError, now};
use vrrp::{AddressFamily, Priority};

use super::super::sockets::Sockets;
use super::{Instance, Means};
use crate::chatter::Topic;

/// VRRP's groups (RFC 9568 §5.1.1.2, §5.1.2.2), which the IPv6 checksum covers.
const GROUP_IPV4: Ipv4Addr = Ipv4Addr::new(224, 0, 0, 18);
const GROUP_IPV6: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12);

/// TTL and Hop Limit of what goes to a group (RFC 9568 §5.1.1.3, §5.1.2.3).
const HOP_LIMIT: u8 = 255;

impl Instance {
    /// Sends an advertisement with this priority to whom it is for. A peer that it can't be sent to keeps it from no other.
    pub(super) fn advertise(&self, priority: Priority, means: Means<'_>) {
        for destination in self.destinations() {
            if let Err(error) = self.send(priority, destination, &means.sockets)
                && means.chatter.allows(now(), Topic::Packet)
            {
                tracing::warn!(instance = %self.config.name, %error, "an advertisement was not sent");
            }
        }
    }

    /// Whom its advertisements go to.
    pub(super) fn destinations(&self) -> Vec<IpAddr> {
        match &self.config.unicast {
            Some(unicast) => unicast.peers.iter().map(|peer| peer.address).collect(),
            None => vec![self.group()],
        }
    }

    /// The TTL or hop limit of its advertisements.
    pub(super) fn hop_limit(&self) -> u8 {
        self.config.unicast.as_ref().map_or(HOP_LIMIT, |unicast| unicast.ttl)
    }

    fn send(
        &self,
        priority: Priority,
        destination: IpAddr,
        sockets: &Sockets,
    ) -> Result<(), VrrpSocketError> {
        let socket = self.socket().and_then(|key| sockets.get(key));
        let (Some(source), Some(socket)) = (self.router.primary(), socket) else { return Ok(()) };
        let payload = self.router.encode(priority, source, destination);
        let hop_limit = self.hop_limit();
        let packet = Packet { source, destination, hop_limit, payload: &payload };
        match self.virtual_mac() {
            Some(mac) => socket.send_from_mac(mac, &packet),
            None => socket.send(&packet),
        }
    }

    /// Whether a packet to `destination` is for it: instances of one interface share a socket, and have groups of their own.
    pub(in super::super) fn hears(&self, destination: IpAddr) -> bool {
        !destination.is_multicast() || destination == self.group()
    }

    /// The group that it speaks to.
    pub(super) fn group(&self) -> IpAddr {
        let usual = match self.config.family {
            AddressFamily::Ipv4 => IpAddr::V4(GROUP_IPV4),
            AddressFamily::Ipv6 => IpAddr::V6(GROUP_IPV6),
        };
        self.config.multicast_group.unwrap_or(usual)
    }

    /// The virtual router's MAC address, where it is used (RFC 9568 §7.3).
    pub(super) fn virtual_mac(&self) -> Option<MacAddress> {
        let used = self.config.virtual_mac.is_some();
        used.then(|| MacAddress::new(self.config.vrid.mac(self.config.family)))
    }
}
