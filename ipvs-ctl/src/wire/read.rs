//! From attributes to the model.
//!
//! Where an attribute appears twice, the last one counts, as in the kernel.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;

use super::attribute::ADDRESS_LEN;
use super::convert::{
    AF_INET, AF_INET6, BACKUP, CHECKSUM, DIRECT, GRE, GUE, IPIP, LOCAL, MASTER, NAT, NO_CHECKSUM,
    REMOTE_CHECKSUM, SCTP, TCP, TUNNEL, UDP,
};
use super::daemon::DaemonAttr;
use super::destination::DestinationAttr;
use super::message::IpvsAttr;
use super::service::ServiceAttr;
use super::stats::fold_stats;
use crate::model::{
    Counters, Destination, DestinationStatus, Family, Forwarding, Info, Persistence, Protocol,
    SchedulerNameError, ServiceFlags, ServiceKey, SyncDaemon, SyncRole, Timeouts, Tunnel,
    TunnelChecksum, VirtualService,
};

/// Why the model has no word for an object of the kernel.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnreadableError {
    /// An attribute that names or describes the object is absent.
    #[error("{attribute} is missing")]
    Missing {
        /// Its name in `include/uapi/linux/ip_vs.h`.
        attribute: &'static str,
    },
    /// Neither AF_INET nor AF_INET6.
    #[error("address family {0} is neither IPv4 nor IPv6")]
    Family(u16),
    /// Not a protocol that IPVS balances.
    #[error("protocol {0} is none of TCP, UDP and SCTP")]
    Protocol(u16),
    /// Mark 0, which is no mark.
    #[error("firewall mark 0 names no service")]
    Mark,
    /// The bits of a mask of IPv4 have gaps, or a prefix length of IPv6 is above 128.
    #[error("netmask {0:02x?} is not a prefix")]
    Netmask([u8; 4]),
    /// A scheduler without a name, or with one that is too long.
    #[error("the scheduler has no usable name")]
    Scheduler(#[source] SchedulerNameError),
    /// Neither master nor backup.
    #[error("sync daemon state {0} is neither master nor backup")]
    SyncRole(u32),
    /// Above 255, which no packet can carry.
    #[error("sync identity {0} is above 255")]
    SyncId(u32),
}

/// Reads a service and its counters.
///
/// # Errors
/// An attribute is missing, or says what the model has no word for.
pub fn read_service(
    attributes: &[ServiceAttr],
) -> Result<(VirtualService, Counters), UnreadableError> {
    let mut found = FoundService::default();
    for attribute in attributes {
        found.take(attribute);
    }
    let service = found.service()?;
    let mut counters = Counters::default();
    for attribute in attributes {
        if let ServiceAttr::Stats(stats) = attribute {
            fold_stats(&mut counters, stats);
        }
    }
    for attribute in attributes {
        if let ServiceAttr::Stats64(stats) = attribute {
            fold_stats(&mut counters, stats);
        }
    }
    Ok((service, counters))
}

/// The attributes of a service that were there.
#[derive(Default)]
pub(super) struct FoundService<'a> {
    family: Option<u16>,
    protocol: Option<u16>,
    address: Option<[u8; ADDRESS_LEN]>,
    port: Option<u16>,
    mark: Option<u32>,
    scheduler: Option<&'a str>,
    flags: Option<u32>,
    timeout: Option<u32>,
    netmask: Option<[u8; 4]>,
    engine: Option<&'a str>,
}

impl<'a> FoundService<'a> {
    pub(super) fn take(&mut self, attribute: &'a ServiceAttr) {
        match attribute {
            ServiceAttr::Family(value) => self.family = Some(*value),
            ServiceAttr::Protocol(value) => self.protocol = Some(*value),
            ServiceAttr::Address(value) => self.address = Some(*value),
            ServiceAttr::Port(value) => self.port = Some(*value),
            ServiceAttr::Fwmark(value) => self.mark = Some(*value),
            ServiceAttr::Scheduler(name) => self.scheduler = Some(name),
            ServiceAttr::Flags { flags, .. } => self.flags = Some(*flags),
            ServiceAttr::Timeout(value) => self.timeout = Some(*value),
            ServiceAttr::Netmask(value) => self.netmask = Some(*value),
            ServiceAttr::PersistenceEngine(name) => self.engine = Some(name),
            ServiceAttr::Stats(_) | ServiceAttr::Stats64(_) | ServiceAttr::Other(_) => {}
        }
    }

    pub(super) fn service(&self) -> Result<VirtualService, UnreadableError> {
        let key = self.key()?;
        let scheduler = required(self.scheduler, "IPVS_SVC_ATTR_SCHED_NAME")?
            .parse()
            .map_err(UnreadableError::Scheduler)?;
        let flags = required(self.flags, "IPVS_SVC_ATTR_FLAGS")?;
        let persistence = if flags & ServiceFlags::PERSISTENT_BIT == 0 {
            None
        } else {
            let netmask = required(self.netmask, "IPVS_SVC_ATTR_NETMASK")?;
            Some(Persistence {
                timeout_s: required(self.timeout, "IPVS_SVC_ATTR_TIMEOUT")?,
                prefix: prefix(key.family(), netmask)?,
            })
        };
        Ok(VirtualService {
            key,
            scheduler,
            flags: ServiceFlags::from_kernel(flags),
            persistence,
            persistence_engine: self.engine.filter(|name| !name.is_empty()).map(str::to_owned),
        })
    }

    fn key(&self) -> Result<ServiceKey, UnreadableError> {
        let family = family(required(self.family, "IPVS_SVC_ATTR_AF")?)?;
        if let Some(mark) = self.mark {
            let mark = NonZeroU32::new(mark).ok_or(UnreadableError::Mark)?;
            return Ok(ServiceKey::Fwmark { family, mark });
        }
        let protocol = match required(self.protocol, "IPVS_SVC_ATTR_PROTOCOL")? {
            TCP => Protocol::Tcp,
            UDP => Protocol::Udp,
            SCTP => Protocol::Sctp,
            other => return Err(UnreadableError::Protocol(other)),
        };
        let bytes = required(self.address, "IPVS_SVC_ATTR_ADDR")?;
        let port = required(self.port, "IPVS_SVC_ATTR_PORT")?;
        Ok(ServiceKey::Address {
            protocol,
            address: SocketAddr::new(ip_address(family, bytes), port),
        })
    }
}

/// Reads a destination of a service of the family `service_family`, with its counters.
///
/// # Errors
/// An attribute is missing, or says what the model has no word for.
pub fn read_destination(
    attributes: &[DestinationAttr],
    service_family: Family,
) -> Result<DestinationStatus, UnreadableError> {
    let mut found = FoundDestination::default();
    for attribute in attributes {
        found.take(attribute);
    }
    found.status(service_family)
}

/// The attributes of a destination that were there.
#[derive(Default)]
pub(super) struct FoundDestination {
    address: Option<[u8; ADDRESS_LEN]>,
    port: Option<u16>,
    family: Option<u16>,
    method: Option<u32>,
    weight: Option<u32>,
    upper_threshold: u32,
    lower_threshold: u32,
    tunnel_type: u8,
    tunnel_port: u16,
    tunnel_flags: u16,
    active: u32,
    inactive: u32,
    persistent: u32,
    pub(super) counters: Counters,
    wide_counters: bool,
}

impl FoundDestination {
    /// What they say together.
    pub(super) fn status(
        &self,
        service_family: Family,
    ) -> Result<DestinationStatus, UnreadableError> {
        let family = self.family.map_or(Ok(service_family), family)?;
        let bytes = required(self.address, "IPVS_DEST_ATTR_ADDR")?;
        let port = required(self.port, "IPVS_DEST_ATTR_PORT")?;
        let method = required(self.method, "IPVS_DEST_ATTR_FWD_METHOD")?;
        Ok(DestinationStatus {
            destination: Destination {
                address: SocketAddr::new(ip_address(family, bytes), port),
                forwarding: self.forwarding(method),
                weight: required(self.weight, "IPVS_DEST_ATTR_WEIGHT")?,
                upper_threshold: self.upper_threshold,
                lower_threshold: self.lower_threshold,
            },
            active_connections: self.active,
            inactive_connections: self.inactive,
            persistent_connections: self.persistent,
            counters: self.counters,
        })
    }

    pub(super) fn take(&mut self, attribute: &DestinationAttr) {
        match attribute {
            DestinationAttr::Address(value) => self.address = Some(*value),
            DestinationAttr::Port(value) => self.port = Some(*value),
            DestinationAttr::Family(value) => self.family = Some(*value),
            DestinationAttr::Forwarding(value) => self.method = Some(*value),
            DestinationAttr::Weight(value) => self.weight = Some(*value),
            DestinationAttr::UpperThreshold(value) => self.upper_threshold = *value,
            DestinationAttr::LowerThreshold(value) => self.lower_threshold = *value,
            DestinationAttr::TunnelType(value) => self.tunnel_type = *value,
            DestinationAttr::TunnelPort(value) => self.tunnel_port = *value,
            DestinationAttr::TunnelFlags(value) => self.tunnel_flags = *value,
            DestinationAttr::ActiveConnections(value) => self.active = *value,
            DestinationAttr::InactiveConnections(value) => self.inactive = *value,
            DestinationAttr::PersistentConnections(value) => self.persistent = *value,
            DestinationAttr::Stats(stats) => {
                if !self.wide_counters {
                    fold_stats(&mut self.counters, stats);
                }
            }
            DestinationAttr::Stats64(stats) => {
                self.wide_counters = true;
                fold_stats(&mut self.counters, stats);
            }
            DestinationAttr::Other(_) => {}
        }
    }

    fn forwarding(&self, method: u32) -> Forwarding {
        match method {
            NAT => Forwarding::Nat,
            LOCAL => Forwarding::Local,
            TUNNEL => self.tunnel().map_or(Forwarding::Bypass, Forwarding::Tunnel),
            DIRECT => Forwarding::Direct,
            _bypass_or_nameless => Forwarding::Bypass,
        }
    }

    fn tunnel(&self) -> Option<Tunnel> {
        let checksum = match self.tunnel_flags {
            NO_CHECKSUM => TunnelChecksum::None,
            CHECKSUM => TunnelChecksum::Full,
            REMOTE_CHECKSUM => TunnelChecksum::Remote,
            _combination => return None,
        };
        match self.tunnel_type {
            IPIP => Some(Tunnel::Ipip),
            GUE => Some(Tunnel::Gue { port: self.tunnel_port, checksum }),
            GRE => Some(Tunnel::Gre { checksum }),
            _nameless => None,
        }
    }
}

/// Reads a sync daemon.
///
/// # Errors
/// An attribute is missing, or says what the model has no word for.
pub fn read_daemon(attributes: &[DaemonAttr]) -> Result<SyncDaemon, UnreadableError> {
    let (mut state, mut interface, mut sync_id) = (None, None, None);
    let (mut max_length, mut group, mut port, mut ttl) = (None, None, None, None);
    for attribute in attributes {
        match attribute {
            DaemonAttr::State(value) => state = Some(*value),
            DaemonAttr::Interface(name) => interface = Some(name),
            DaemonAttr::SyncId(value) => sync_id = Some(*value),
            DaemonAttr::MaxLength(value) => max_length = Some(*value),
            DaemonAttr::Group(value) => group = Some(IpAddr::V4(*value)),
            DaemonAttr::Group6(value) => group = Some(IpAddr::V6(*value)),
            DaemonAttr::Port(value) => port = Some(*value),
            DaemonAttr::Ttl(value) => ttl = Some(*value),
            DaemonAttr::Other(_) => {}
        }
    }
    let sync_id = required(sync_id, "IPVS_DAEMON_ATTR_SYNC_ID")?;
    Ok(SyncDaemon {
        role: match required(state, "IPVS_DAEMON_ATTR_STATE")? {
            MASTER => SyncRole::Master,
            BACKUP => SyncRole::Backup,
            other => return Err(UnreadableError::SyncRole(other)),
        },
        interface: required(interface, "IPVS_DAEMON_ATTR_MCAST_IFN")?.clone(),
        sync_id: u8::try_from(sync_id).ok().ok_or(UnreadableError::SyncId(sync_id))?,
        max_length,
        group,
        port,
        ttl,
    })
}

/// Reads the answer to [`super::Command::GetInfo`].
///
/// # Errors
/// An attribute is missing.
pub fn read_info(attributes: &[IpvsAttr]) -> Result<Info, UnreadableError> {
    let (mut version, mut size) = (None, None);
    for attribute in attributes {
        if let IpvsAttr::Version(value) = attribute {
            version = Some(*value);
        } else if let IpvsAttr::ConnectionTableSize(value) = attribute {
            size = Some(*value);
        }
    }
    // NVERSION of include/net/ip_vs.h: 0x010201 is 1.2.1.
    let [_, major, minor, patch] = required(version, "IPVS_INFO_ATTR_VERSION")?.to_be_bytes();
    Ok(Info {
        version: (major, minor, patch),
        connection_table_size: required(size, "IPVS_INFO_ATTR_CONN_TAB_SIZE")?,
    })
}

/// Reads the answer to [`super::Command::GetConfig`]. The kernel leaves out the timeouts of protocols that it was built without;
/// they read as 0.
pub fn read_timeouts(attributes: &[IpvsAttr]) -> Timeouts {
    let mut timeouts = Timeouts { tcp_s: 0, tcp_fin_s: 0, udp_s: 0 };
    for attribute in attributes {
        if let IpvsAttr::TimeoutTcp(value) = attribute {
            timeouts.tcp_s = *value;
        } else if let IpvsAttr::TimeoutTcpFin(value) = attribute {
            timeouts.tcp_fin_s = *value;
        } else if let IpvsAttr::TimeoutUdp(value) = attribute {
            timeouts.udp_s = *value;
        }
    }
    timeouts
}

fn required<T>(found: Option<T>, attribute: &'static str) -> Result<T, UnreadableError> {
    found.ok_or(UnreadableError::Missing { attribute })
}

const fn family(number: u16) -> Result<Family, UnreadableError> {
    match number {
        AF_INET => Ok(Family::Ipv4),
        AF_INET6 => Ok(Family::Ipv6),
        other => Err(UnreadableError::Family(other)),
    }
}

fn ip_address(family: Family, bytes: [u8; ADDRESS_LEN]) -> IpAddr {
    match family {
        Family::Ipv4 => {
            let [a, b, c, d, ..] = bytes;
            IpAddr::V4(Ipv4Addr::new(a, b, c, d))
        }
        Family::Ipv6 => IpAddr::V6(Ipv6Addr::from(bytes)),
    }
}

fn prefix(family: Family, netmask: [u8; 4]) -> Result<u8, UnreadableError> {
    let length = match family {
        Family::Ipv4 => {
            let mask = u32::from_be_bytes(netmask);
            let ones = mask.leading_ones();
            (mask.count_ones() == ones).then_some(ones)
        }
        Family::Ipv6 => Some(u32::from_ne_bytes(netmask)).filter(|length| *length <= 128),
    };
    length.and_then(|length| u8::try_from(length).ok()).ok_or(UnreadableError::Netmask(netmask))
}
