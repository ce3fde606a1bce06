//! The attributes of a destination (IPVS_DEST_ATTR_*).

use netlink_packet_core::{
    DecodeError, DefaultNla, ErrorContext as _, NLA_F_NESTED, Nla, NlaBuffer, parse_u8, parse_u16,
    parse_u16_be, parse_u32,
};

use super::attribute::{ADDRESS_LEN, parse_address, parse_all, parse_other};
use super::stats::{StatsAttr, emit_stats, parse_stats, stats_len};

const ADDRESS: u16 = 1;
const PORT: u16 = 2;
const FORWARDING: u16 = 3;
const WEIGHT: u16 = 4;
const UPPER_THRESHOLD: u16 = 5;
const LOWER_THRESHOLD: u16 = 6;
const ACTIVE_CONNECTIONS: u16 = 7;
const INACTIVE_CONNECTIONS: u16 = 8;
const PERSISTENT_CONNECTIONS: u16 = 9;
pub(super) const STATS: u16 = 10;
const FAMILY: u16 = 11;
pub(super) const STATS64: u16 = 12;
const TUNNEL_TYPE: u16 = 13;
const TUNNEL_PORT: u16 = 14;
const TUNNEL_FLAGS: u16 = 15;

/// An attribute of a destination.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DestinationAttr {
    /// The address in network order; IPv4 fills the first four bytes.
    Address([u8; ADDRESS_LEN]),
    /// The port, in network order on the wire.
    Port(u16),
    /// IP_VS_CONN_F_FWD_MASK: 0 NAT, 1 local, 2 tunnel, 3 direct, 4 bypass.
    Forwarding(u32),
    /// The weight. The kernel reads it as an `int` and refuses a negative one.
    Weight(u32),
    /// The upper threshold of connections; 0 = none.
    UpperThreshold(u32),
    /// The lower threshold of connections; 0 = the kernel's default.
    LowerThreshold(u32),
    /// Active connections.
    ActiveConnections(u32),
    /// Inactive connections.
    InactiveConnections(u32),
    /// Persistence templates.
    PersistentConnections(u32),
    /// Counters of 32 bits.
    Stats(Vec<StatsAttr>),
    /// AF_INET (2) or AF_INET6 (10); absent = the service's. A tunnel may cross the families.
    Family(u16),
    /// Counters of 64 bits.
    Stats64(Vec<StatsAttr>),
    /// 0 IP in IP, 1 GUE, 2 GRE.
    TunnelType(u8),
    /// The UDP port of GUE, in network order on the wire.
    TunnelPort(u16),
    /// 0 no checksum, 1 checksum, 2 remote checksum offload.
    TunnelFlags(u16),
    /// Anything else.
    Other(DefaultNla),
}

impl Nla for DestinationAttr {
    fn value_len(&self) -> usize {
        match self {
            Self::TunnelType(_) => 1,
            Self::Port(_) | Self::Family(_) | Self::TunnelPort(_) | Self::TunnelFlags(_) => 2,
            Self::Forwarding(_)
            | Self::Weight(_)
            | Self::UpperThreshold(_)
            | Self::LowerThreshold(_)
            | Self::ActiveConnections(_)
            | Self::InactiveConnections(_)
            | Self::PersistentConnections(_) => 4,
            Self::Address(address) => address.len(),
            Self::Stats(stats) | Self::Stats64(stats) => stats_len(stats),
            Self::Other(other) => other.value_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Address(_) => ADDRESS,
            Self::Port(_) => PORT,
            Self::Forwarding(_) => FORWARDING,
            Self::Weight(_) => WEIGHT,
            Self::UpperThreshold(_) => UPPER_THRESHOLD,
            Self::LowerThreshold(_) => LOWER_THRESHOLD,
            Self::ActiveConnections(_) => ACTIVE_CONNECTIONS,
            Self::InactiveConnections(_) => INACTIVE_CONNECTIONS,
            Self::PersistentConnections(_) => PERSISTENT_CONNECTIONS,
            Self::Stats(_) => STATS | NLA_F_NESTED,
            Self::Family(_) => FAMILY,
            Self::Stats64(_) => STATS64 | NLA_F_NESTED,
            Self::TunnelType(_) => TUNNEL_TYPE,
            Self::TunnelPort(_) => TUNNEL_PORT,
            Self::TunnelFlags(_) => TUNNEL_FLAGS,
            Self::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Self::Address(address) => buffer.copy_from_slice(address),
            Self::Port(port) | Self::TunnelPort(port) => {
                buffer.copy_from_slice(&port.to_be_bytes());
            }
            Self::Forwarding(value)
            | Self::Weight(value)
            | Self::UpperThreshold(value)
            | Self::LowerThreshold(value)
            | Self::ActiveConnections(value)
            | Self::InactiveConnections(value)
            | Self::PersistentConnections(value) => buffer.copy_from_slice(&value.to_ne_bytes()),
            Self::Family(value) | Self::TunnelFlags(value) => {
                buffer.copy_from_slice(&value.to_ne_bytes());
            }
            Self::TunnelType(value) => buffer.copy_from_slice(&[*value]),
            Self::Stats(stats) | Self::Stats64(stats) => emit_stats(stats, buffer),
            Self::Other(other) => other.emit_value(buffer),
        }
    }
}

impl DestinationAttr {
    pub(super) fn parse(buffer: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        let payload = buffer.value();
        let word = |name: &'static str| parse_u32(payload).context(name);
        Ok(match buffer.kind() {
            ADDRESS => Self::Address(parse_address(payload).context("IPVS_DEST_ATTR_ADDR")?),
            PORT => Self::Port(parse_u16_be(payload).context("IPVS_DEST_ATTR_PORT")?),
            FORWARDING => Self::Forwarding(word("IPVS_DEST_ATTR_FWD_METHOD")?),
            WEIGHT => Self::Weight(word("IPVS_DEST_ATTR_WEIGHT")?),
            UPPER_THRESHOLD => Self::UpperThreshold(word("IPVS_DEST_ATTR_U_THRESH")?),
            LOWER_THRESHOLD => Self::LowerThreshold(word("IPVS_DEST_ATTR_L_THRESH")?),
            ACTIVE_CONNECTIONS => Self::ActiveConnections(word("IPVS_DEST_ATTR_ACTIVE_CONNS")?),
            INACTIVE_CONNECTIONS => Self::InactiveConnections(word("IPVS_DEST_ATTR_INACT_CONNS")?),
            PERSISTENT_CONNECTIONS => {
                Self::PersistentConnections(word("IPVS_DEST_ATTR_PERSIST_CONNS")?)
            }
            STATS => Self::Stats(parse_stats(payload)?),
            FAMILY => Self::Family(parse_u16(payload).context("IPVS_DEST_ATTR_ADDR_FAMILY")?),
            STATS64 => Self::Stats64(parse_stats(payload)?),
            TUNNEL_TYPE => Self::TunnelType(parse_u8(payload).context("IPVS_DEST_ATTR_TUN_TYPE")?),
            TUNNEL_PORT => {
                Self::TunnelPort(parse_u16_be(payload).context("IPVS_DEST_ATTR_TUN_PORT")?)
            }
            TUNNEL_FLAGS => {
                Self::TunnelFlags(parse_u16(payload).context("IPVS_DEST_ATTR_TUN_FLAGS")?)
            }
            _unnamed => Self::Other(parse_other(buffer)?),
        })
    }
}

/// Reads the nest of a destination.
pub(super) fn parse_destination(payload: &[u8]) -> Result<Vec<DestinationAttr>, DecodeError> {
    parse_all(payload, DestinationAttr::parse).context("in an IPVS destination")
}
