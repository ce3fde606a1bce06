//! What VRRP's and BFD's sockets have in common: what the control messages of a received packet say, when it arrived, and how packets
//! are marked as network control.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use holdfast_time::Instant;
use nix::errno::Errno;
use nix::sys::socket::{ControlMessageOwned, SockaddrStorage};
use nix::sys::time::TimeSpec;

use crate::clock;

/// Class selector 6, for network control (RFC 2474 §4.2.2): routers and switches drop it last.
pub(crate) const NETWORK_CONTROL: u8 = 0xc0;
/// TC_PRIO_CONTROL of linux/pkt_sched.h: the first band of the default queueing discipline.
pub(crate) const PRIORITY_CONTROL: u32 = 6;

/// Room for the control messages, aligned as the kernel's `struct cmsghdr` wants it.
#[repr(align(8))]
pub(crate) struct ControlBuffer(pub(crate) [u8; 256]);

/// What the control messages of one packet said.
#[derive(Default)]
pub(crate) struct Controls {
    /// TTL or hop limit; none when the kernel did not say.
    pub(crate) hop_limit: Option<u8>,
    /// The IPv4 or IPv6 header's destination.
    pub(crate) destination: Option<IpAddr>,
    /// The kernel's number of the interface that it came in on; 0 when the kernel did not say.
    pub(crate) interface: u32,
    /// How many packets the socket has lost (SO_RXQ_OVFL).
    pub(crate) dropped: Option<u32>,
    stamp: Option<TimeSpec>,
}

impl Controls {
    /// Takes note of a message.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "nix has a variant for every control message of every socket; these five may be asked for"
    )]
    pub(crate) fn take(&mut self, message: ControlMessageOwned) {
        match message {
            ControlMessageOwned::Ipv4Ttl(ttl) => self.hop_limit = u8::try_from(ttl).ok(),
            ControlMessageOwned::Ipv6HopLimit(limit) => self.hop_limit = u8::try_from(limit).ok(),
            ControlMessageOwned::Ipv4PacketInfo(info) => {
                self.destination =
                    Some(IpAddr::V4(Ipv4Addr::from(u32::from_be(info.ipi_addr.s_addr))));
                self.interface = u32::try_from(info.ipi_ifindex).unwrap_or(0);
            }
            ControlMessageOwned::Ipv6PacketInfo(info) => {
                self.destination = Some(IpAddr::V6(info.ipi6_addr.s6_addr.into()));
                self.interface = info.ipi6_ifindex;
            }
            ControlMessageOwned::ScmTimestampns(stamp) => self.stamp = Some(stamp),
            ControlMessageOwned::RxqOvfl(dropped) => self.dropped = Some(dropped),
            _ => {}
        }
    }

    /// When the packet arrived: by the kernel's stamp, but not before `empty_at`, when the queue was last found empty.
    pub(crate) fn received_at(&self, empty_at: Instant) -> Instant {
        // The wall clock is read first: a pause between the two makes the arrival late, which costs a peer nothing.
        let wall = clock::wall_clock();
        arrival(self.stamp, wall, clock::now()).max(empty_at)
    }
}

/// The wall clock's stamp of a packet as an instant. The stamp's age is taken off the present; a wall clock that was set back
/// meanwhile makes it young, one that was set forward makes it old, and the caller bounds that by what else it knows.
fn arrival(stamp: Option<TimeSpec>, wall: Option<Duration>, now: Instant) -> Instant {
    let age =
        stamp.and_then(clock::duration).zip(wall).map(|(stamp, wall)| wall.saturating_sub(stamp));
    now - age.unwrap_or_default()
}

/// The address of a packet's sender; none for one of no IP family.
pub(crate) fn ip_of(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| IpAddr::V4(v4.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| IpAddr::V6(v6.ip())))
}

/// socket2 reports the kernel's errno as an `io::Error`; one without comes from its own checks of the arguments.
pub(crate) fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::EINVAL, Errno::from_raw)
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: Duration = Duration::from_secs(1_700_000_000);
    const NOW: Instant = Instant::from_start(Duration::from_secs(500));

    fn stamp(wall: Duration) -> Option<TimeSpec> {
        Some(TimeSpec::from_duration(wall))
    }

    #[test]
    fn a_stamp_of_the_past_is_taken_off_the_present() {
        let age = Duration::from_millis(1500);
        assert_eq!(arrival(stamp(WALL - age), Some(WALL), NOW), NOW - age);
    }

    #[test]
    fn a_stamp_of_the_future_or_none_means_now() {
        assert_eq!(arrival(stamp(WALL + Duration::from_secs(3600)), Some(WALL), NOW), NOW);
        assert_eq!(arrival(None, Some(WALL), NOW), NOW);
        assert_eq!(arrival(stamp(WALL), None, NOW), NOW);
    }
}
