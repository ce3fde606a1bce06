//! What differs between IPv4 and IPv6 in a test that is run with both.

use std::net::{IpAddr, SocketAddr};

use holdfast_testkit::lab::{INNER_VIP4, INNER_VIP6, Lab, Node, VIP4, VIP6};

/// IPv4 or IPv6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Self; 2] = [Self::V4, Self::V6];

    /// The virtual address that clients use.
    pub fn vip(self) -> IpAddr {
        match self {
            Self::V4 => VIP4.into(),
            Self::V6 => VIP6.into(),
        }
    }

    /// The virtual address of the inner network.
    pub fn inner_vip(self) -> IpAddr {
        match self {
            Self::V4 => INNER_VIP4.into(),
            Self::V6 => INNER_VIP6.into(),
        }
    }

    /// The virtual address that clients use, with a port.
    pub fn at(self, port: u16) -> SocketAddr {
        SocketAddr::new(self.vip(), port)
    }

    /// The prefix length of the lab's networks, in bits.
    pub const fn length(self) -> u8 {
        match self {
            Self::V4 => 24,
            Self::V6 => 64,
        }
    }

    /// The prefix length of one address alone, in bits.
    pub const fn bits(self) -> u8 {
        match self {
            Self::V4 => 32,
            Self::V6 => 128,
        }
    }

    /// The address of a node.
    pub fn of(self, node: &Node) -> IpAddr {
        match self {
            Self::V4 => node.ip4().into(),
            Self::V6 => node.ip6().into(),
        }
    }

    /// The addresses of a VRRP instance on the outer or the inner network, as the configuration has them.
    pub fn addresses(self, inner: bool) -> String {
        match (self, inner) {
            (Self::V4, false) => format!("[{VIP4}/24]"),
            (Self::V4, true) => format!("[{INNER_VIP4}/24]"),
            (Self::V6, false) => format!("[\"fe80::33/64\", \"{VIP6}/64\"]"),
            (Self::V6, true) => format!("[\"fe80::34/64\", \"{INNER_VIP6}/64\"]"),
        }
    }

    /// The web servers of a lab as the configuration has them: `{web1: "10.77.0.21:80", web2: ...}`.
    pub fn real_servers(self, lab: &Lab, port: u16) -> String {
        let one =
            |web: &Node| format!("{}: \"{}\"", web.name(), SocketAddr::new(self.of(web), port));
        format!("{{{}}}", lab.webs().map(one).collect::<Vec<_>>().join(", "))
    }
}
