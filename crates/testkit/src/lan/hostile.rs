//! Somebody on the LAN who sends what no router may believe.

use std::net::IpAddr;

use vrrp::wire::HOP_LIMIT;
use vrrp::{AddressFamily, ChecksumForm, Priority};

use super::node::Frame;
use super::{Lan, NodeId};

impl Lan {
    /// Sends one packet to all that breaks one rule or another and is right but for that: the highest priority, so that whoever
    /// believes it gives way. Which rule is a matter of chance. That nobody believes it is checked when it arrives (I8).
    pub fn attack(&mut self) {
        let Some(victim) = self.nodes.first() else { return };
        let params = victim.params.clone();
        let group = params.family().multicast_group();
        let source = match params.family() {
            AddressFamily::Ipv4 => IpAddr::from([192, 0, 2, 250]),
            AddressFamily::Ipv6 => IpAddr::from([0xfe80, 0, 0, 0, 0, 0, 0, 0xfa]),
        };
        let advertisement = params.advertisement(Priority::OWNER);
        let mut payload = advertisement.to_vec(source, group, ChecksumForm::default());
        let (kind, place) = (self.random.below(8), self.random.number());
        let mut hop_limit = HOP_LIMIT;
        match kind {
            0 => hop_limit = u8::try_from(place % 255).unwrap_or_default(),
            1 => payload.truncate(usize::try_from(place).unwrap_or_default() % payload.len()),
            2 => payload.extend([0; 4]),
            // Version and type, VRID, count, checksum; the checksum is wrong then, too.
            3 => change(&mut payload, 0, |_| 0x41),
            4 => change(&mut payload, 0, |byte| byte & 0xf0 | 2),
            5 => change(&mut payload, 1, |byte| byte ^ 0xff),
            6 => change(&mut payload, 3, |byte| byte.wrapping_add(1)),
            _ => change(&mut payload, 6, |byte| byte ^ 0x80),
        }
        self.note(format_args!("attack of kind {kind}: hop limit {hop_limit}, {payload:02x?}"));
        let all: Vec<NodeId> = self.nodes().collect();
        for to in all {
            let payload = payload.clone();
            let (destination, hostile) = (group, true);
            let frame = Frame::Vrrp { source, destination, hop_limit, payload, hostile };
            self.transmit(None, to, frame);
        }
    }
}

fn change(payload: &mut [u8], index: usize, to: impl Fn(u8) -> u8) {
    if let Some(byte) = payload.get_mut(index) {
        *byte = to(*byte);
    }
}
