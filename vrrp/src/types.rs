//! The protocol's small values, checked once at the door.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// VRID, the virtual router's number: 1 to 255, unique on its LAN for an address family (RFC 9568 §5.2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Vrid(NonZeroU8);

impl Vrid {
    /// The virtual router numbered `vrid`; none for 0, which the protocol does not use.
    pub const fn new(vrid: u8) -> Option<Self> {
        match NonZeroU8::new(vrid) {
            Some(vrid) => Some(Self(vrid)),
            None => None,
        }
    }

    /// The number on the wire.
    pub const fn value(self) -> u8 {
        self.0.get()
    }

    /// The virtual router's MAC address (RFC 9568 §7.3): 00-00-5E-00-01-VRID for IPv4, 00-00-5E-00-02-VRID for IPv6.
    pub const fn mac(self, family: AddressFamily) -> [u8; 6] {
        let block = match family {
            AddressFamily::Ipv4 => 1,
            AddressFamily::Ipv6 => 2,
        };
        [0x00, 0x00, 0x5e, 0x00, block, self.value()]
    }
}

impl fmt::Display for Vrid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Priority (RFC 9568 §5.2.4): higher wins; 0 and 255 have meanings of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Priority(u8);

impl Priority {
    /// 0: the Active Router no longer takes part; whoever hears it need not wait for the full timer.
    pub const RELEASE: Self = Self(0);
    /// 100, the default of a router that does not own the addresses (RFC 9568 §6.1).
    pub const DEFAULT: Self = Self(100);
    /// 255, the address owner: its interface has the virtual addresses as real ones.
    pub const OWNER: Self = Self(255);

    /// The priority numbered so on the wire; all 256 values have a meaning.
    pub const fn new(priority: u8) -> Self {
        Self(priority)
    }

    /// The number on the wire.
    pub const fn value(self) -> u8 {
        self.0
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Advertisement_Interval in centiseconds: 1 to 4095, that is 10 ms to 40.95 s (RFC 9568 §5.2.7 with erratum 8301). Version 2
/// counts whole seconds (RFC 3768 §5.3.7), which [`Interval::from_duration`] checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Interval(u32);

impl Interval {
    /// One second, the default of both versions.
    pub const DEFAULT: Self = Self(100);

    /// `centiseconds` of version 3; none outside 1..=4095.
    pub const fn from_centiseconds(centiseconds: u16) -> Option<Self> {
        match centiseconds {
            1..=4095 => Some(Self(centiseconds as u32)),
            _ => None,
        }
    }

    /// `seconds` of version 2; none for 0.
    pub const fn from_seconds(seconds: u8) -> Option<Self> {
        match seconds {
            0 => None,
            _ => Some(Self(seconds as u32 * 100)),
        }
    }

    /// The interval of exactly this length in `version`'s units and range; none when the wire can't say it.
    pub fn from_duration(version: Version, duration: Duration) -> Option<Self> {
        let exact = |unit: Duration| {
            let (length, unit) = (duration.as_nanos(), unit.as_nanos());
            (length % unit == 0).then_some(length / unit)
        };
        match version {
            Version::V2 => exact(Duration::from_secs(1))
                .and_then(|s| u8::try_from(s).ok())
                .and_then(Self::from_seconds),
            Version::V3 => exact(Duration::from_millis(10))
                .and_then(|cs| u16::try_from(cs).ok())
                .and_then(Self::from_centiseconds),
        }
    }

    /// The length in centiseconds: 1..=4095 in version 3, up to 25 500 in version 2.
    pub const fn centiseconds(self) -> u32 {
        self.0
    }

    /// The length as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_millis(self.0 as u64 * 10)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.duration())
    }
}

/// The protocol's version. IPv6 has version 3 only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// RFC 3768: IPv4, whole seconds.
    V2,
    /// RFC 9568: IPv4 and IPv6, centiseconds.
    V3,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "2",
            Self::V3 => "3",
        })
    }
}

/// The family of a virtual router's addresses. The same VRID may serve both families on one link: they are two routers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AddressFamily {
    /// IPv4.
    Ipv4,
    /// IPv6.
    Ipv6,
}

impl AddressFamily {
    /// The family of `address`.
    pub const fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::Ipv4,
            IpAddr::V6(_) => Self::Ipv6,
        }
    }

    /// The multicast group that advertisements are sent to: 224.0.0.18 (RFC 9568 §5.1.1.2) or ff02::12 (§5.1.2.2).
    pub const fn multicast_group(self) -> IpAddr {
        match self {
            Self::Ipv4 => IpAddr::V4(Ipv4Addr::new(224, 0, 0, 18)),
            Self::Ipv6 => IpAddr::V6(Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0x12)),
        }
    }
}

impl fmt::Display for AddressFamily {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipv4 => "IPv4",
            Self::Ipv6 => "IPv6",
        })
    }
}
