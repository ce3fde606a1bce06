//! From the model to attributes, in the order in which `ipvsadm` sends them.

use std::net::{IpAddr, SocketAddr};

use super::attribute::ADDRESS_LEN;
use super::daemon::DaemonAttr;
use super::destination::DestinationAttr;
use super::service::ServiceAttr;
use crate::model::{
    Destination, Family, Forwarding, Persistence, Protocol, ServiceFlags, ServiceKey, SyncDaemon,
    SyncRole, Tunnel, TunnelChecksum, VirtualService,
};

/// AF_INET.
pub(super) const AF_INET: u16 = 2;
/// AF_INET6.
pub(crate) const AF_INET6: u16 = 10;

/// IPPROTO_TCP.
pub(super) const TCP: u16 = 6;
/// IPPROTO_UDP.
pub(super) const UDP: u16 = 17;
/// IPPROTO_SCTP.
pub(super) const SCTP: u16 = 132;

/// IP_VS_STATE_MASTER.
pub const MASTER: u32 = 1;
/// IP_VS_STATE_BACKUP.
pub const BACKUP: u32 = 2;

/// IP_VS_CONN_F_MASQ.
pub const NAT: u32 = 0;
/// IP_VS_CONN_F_LOCALNODE.
pub const LOCAL: u32 = 1;
/// IP_VS_CONN_F_TUNNEL.
pub const TUNNEL: u32 = 2;
/// IP_VS_CONN_F_DROUTE.
pub const DIRECT: u32 = 3;
/// IP_VS_CONN_F_BYPASS.
pub const BYPASS: u32 = 4;

/// IP_VS_CONN_F_TUNNEL_TYPE_IPIP.
pub const IPIP: u8 = 0;
/// IP_VS_CONN_F_TUNNEL_TYPE_GUE.
pub const GUE: u8 = 1;
/// IP_VS_CONN_F_TUNNEL_TYPE_GRE.
pub const GRE: u8 = 2;

/// IP_VS_TUNNEL_ENCAP_FLAG_NOCSUM.
pub const NO_CHECKSUM: u16 = 0;
/// IP_VS_TUNNEL_ENCAP_FLAG_CSUM.
pub const CHECKSUM: u16 = 1;
/// IP_VS_TUNNEL_ENCAP_FLAG_REMCSUM.
pub const REMOTE_CHECKSUM: u16 = 2;

/// What names a service.
pub(super) fn service_key_attributes(key: &ServiceKey) -> Vec<ServiceAttr> {
    let family = ServiceAttr::Family(family_number(key.family()));
    match key {
        ServiceKey::Address { protocol, address } => vec![
            family,
            ServiceAttr::Protocol(match protocol {
                Protocol::Tcp => TCP,
                Protocol::Udp => UDP,
                Protocol::Sctp => SCTP,
            }),
            ServiceAttr::Address(address_bytes(address.ip())),
            ServiceAttr::Port(address.port()),
        ],
        ServiceKey::Fwmark { mark, .. } => vec![family, ServiceAttr::Fwmark(mark.get())],
    }
}

/// A whole service: the kernel wants every setting in a change, too.
pub fn service_attributes(service: &VirtualService) -> Vec<ServiceAttr> {
    let family = service.key.family();
    let (persistent, timeout_s, prefix) = match service.persistence {
        Some(Persistence { timeout_s, prefix }) => {
            (ServiceFlags::PERSISTENT_BIT, timeout_s, prefix)
        }
        None => (0, 0, full_prefix(family)),
    };
    let mut attributes = service_key_attributes(&service.key);
    attributes.extend([
        ServiceAttr::Scheduler(service.scheduler.name().to_owned()),
        ServiceAttr::Flags { flags: service.flags.bits() | persistent, mask: u32::MAX },
        ServiceAttr::Timeout(timeout_s),
        ServiceAttr::Netmask(netmask(family, prefix)),
    ]);
    if let Some(engine) = &service.persistence_engine {
        attributes.push(ServiceAttr::PersistenceEngine(engine.clone()));
    }
    attributes
}

/// What names a destination within its service. The family is always told: a tunnel may cross the families, and such a
/// destination isn't found without.
pub(super) fn destination_key_attributes(address: SocketAddr) -> Vec<DestinationAttr> {
    vec![
        DestinationAttr::Address(address_bytes(address.ip())),
        DestinationAttr::Port(address.port()),
        DestinationAttr::Family(family_number(Family::of(address.ip()))),
    ]
}

/// A whole destination. The tunnel's attributes are left out where they would be zeros, so that kernels before 5.2, which
/// don't know them, are asked for nothing new.
pub fn destination_attributes(destination: &Destination) -> Vec<DestinationAttr> {
    let (method, tunnel) = match destination.forwarding {
        Forwarding::Nat => (NAT, None),
        Forwarding::Local => (LOCAL, None),
        Forwarding::Tunnel(tunnel) => (TUNNEL, Some(tunnel)),
        Forwarding::Direct => (DIRECT, None),
        Forwarding::Bypass => (BYPASS, None),
    };
    let mut attributes = destination_key_attributes(destination.address);
    attributes.extend([
        DestinationAttr::Forwarding(method),
        DestinationAttr::Weight(destination.weight),
        DestinationAttr::UpperThreshold(destination.upper_threshold),
        DestinationAttr::LowerThreshold(destination.lower_threshold),
    ]);
    match tunnel {
        None | Some(Tunnel::Ipip) => {}
        Some(Tunnel::Gue { port, checksum }) => attributes.extend([
            DestinationAttr::TunnelType(GUE),
            DestinationAttr::TunnelPort(port),
            DestinationAttr::TunnelFlags(checksum_flags(checksum)),
        ]),
        Some(Tunnel::Gre { checksum }) => attributes.extend([
            DestinationAttr::TunnelType(GRE),
            DestinationAttr::TunnelFlags(checksum_flags(checksum)),
        ]),
    }
    attributes
}

/// A sync daemon.
pub fn daemon_attributes(daemon: &SyncDaemon) -> Vec<DaemonAttr> {
    let mut attributes = vec![
        DaemonAttr::State(role_number(daemon.role)),
        DaemonAttr::Interface(daemon.interface.clone()),
        DaemonAttr::SyncId(u32::from(daemon.sync_id)),
    ];
    attributes.extend(daemon.max_length.map(DaemonAttr::MaxLength));
    attributes.extend(daemon.group.map(|group| match group {
        IpAddr::V4(group) => DaemonAttr::Group(group),
        IpAddr::V6(group) => DaemonAttr::Group6(group),
    }));
    attributes.extend(daemon.port.map(DaemonAttr::Port));
    attributes.extend(daemon.ttl.map(DaemonAttr::Ttl));
    attributes
}

/// IP_VS_STATE_*.
pub(super) const fn role_number(role: SyncRole) -> u32 {
    match role {
        SyncRole::Master => MASTER,
        SyncRole::Backup => BACKUP,
    }
}

const fn family_number(family: Family) -> u16 {
    match family {
        Family::Ipv4 => AF_INET,
        Family::Ipv6 => AF_INET6,
    }
}

/// The prefix length of a single address.
const fn full_prefix(family: Family) -> u8 {
    match family {
        Family::Ipv4 => 32,
        Family::Ipv6 => 128,
    }
}

fn address_bytes(address: IpAddr) -> [u8; ADDRESS_LEN] {
    match address {
        IpAddr::V4(address) => {
            let [a, b, c, d] = address.octets();
            [a, b, c, d, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
        }
        IpAddr::V6(address) => address.octets(),
    }
}

/// A mask of IPv4 in network order, or a prefix length of IPv6 in the host's.
fn netmask(family: Family, prefix: u8) -> [u8; 4] {
    match family {
        Family::Ipv4 => {
            let host_bits = 32_u32.saturating_sub(u32::from(prefix));
            u32::MAX.checked_shl(host_bits).unwrap_or(0).to_be_bytes()
        }
        Family::Ipv6 => u32::from(prefix).to_ne_bytes(),
    }
}

const fn checksum_flags(checksum: TunnelChecksum) -> u16 {
    match checksum {
        TunnelChecksum::None => NO_CHECKSUM,
        TunnelChecksum::Full => CHECKSUM,
        TunnelChecksum::Remote => REMOTE_CHECKSUM,
    }
}
