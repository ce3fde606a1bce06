//! The attributes of a sync daemon (IPVS_DAEMON_ATTR_*).

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink_packet_core::{
    DecodeError, DefaultNla, ErrorContext as _, Nla, NlaBuffer, parse_ipv6, parse_u8, parse_u16,
    parse_u32, parse_u32_be,
};

use super::attribute::{emit_text, parse_all, parse_other, parse_text, text_len};

const STATE: u16 = 1;
const INTERFACE: u16 = 2;
const SYNC_ID: u16 = 3;
const MAX_LENGTH: u16 = 4;
const GROUP: u16 = 5;
const GROUP6: u16 = 6;
const PORT: u16 = 7;
const TTL: u16 = 8;

/// An attribute of a sync daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DaemonAttr {
    /// 1 master, 2 backup.
    State(u32),
    /// The multicast interface, at most 15 bytes.
    Interface(String),
    /// The identity.
    SyncId(u32),
    /// The longest message in bytes.
    MaxLength(u16),
    /// The IPv4 multicast group.
    Group(Ipv4Addr),
    /// The IPv6 multicast group.
    Group6(Ipv6Addr),
    /// The UDP port: unlike every other port, in the host's order on the wire.
    Port(u16),
    /// The TTL or hop limit.
    Ttl(u8),
    /// Anything else.
    Other(DefaultNla),
}

impl Nla for DaemonAttr {
    fn value_len(&self) -> usize {
        match self {
            Self::Ttl(_) => 1,
            Self::MaxLength(_) | Self::Port(_) => 2,
            Self::State(_) | Self::SyncId(_) | Self::Group(_) => 4,
            Self::Group6(_) => 16,
            Self::Interface(name) => text_len(name),
            Self::Other(other) => other.value_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::State(_) => STATE,
            Self::Interface(_) => INTERFACE,
            Self::SyncId(_) => SYNC_ID,
            Self::MaxLength(_) => MAX_LENGTH,
            Self::Group(_) => GROUP,
            Self::Group6(_) => GROUP6,
            Self::Port(_) => PORT,
            Self::Ttl(_) => TTL,
            Self::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Self::State(value) | Self::SyncId(value) => {
                buffer.copy_from_slice(&value.to_ne_bytes());
            }
            Self::Interface(name) => emit_text(name, buffer),
            Self::MaxLength(value) | Self::Port(value) => {
                buffer.copy_from_slice(&value.to_ne_bytes());
            }
            Self::Group(group) => buffer.copy_from_slice(&group.octets()),
            Self::Group6(group) => buffer.copy_from_slice(&group.octets()),
            Self::Ttl(value) => buffer.copy_from_slice(&[*value]),
            Self::Other(other) => other.emit_value(buffer),
        }
    }
}

impl DaemonAttr {
    fn parse(buffer: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        let payload = buffer.value();
        Ok(match buffer.kind() {
            STATE => Self::State(parse_u32(payload).context("IPVS_DAEMON_ATTR_STATE")?),
            INTERFACE => {
                Self::Interface(parse_text(payload).context("IPVS_DAEMON_ATTR_MCAST_IFN")?)
            }
            SYNC_ID => Self::SyncId(parse_u32(payload).context("IPVS_DAEMON_ATTR_SYNC_ID")?),
            MAX_LENGTH => {
                Self::MaxLength(parse_u16(payload).context("IPVS_DAEMON_ATTR_SYNC_MAXLEN")?)
            }
            GROUP => {
                let group = parse_u32_be(payload).context("IPVS_DAEMON_ATTR_MCAST_GROUP")?;
                Self::Group(Ipv4Addr::from(group))
            }
            GROUP6 => {
                let group = parse_ipv6(payload).context("IPVS_DAEMON_ATTR_MCAST_GROUP6")?;
                Self::Group6(Ipv6Addr::from(group))
            }
            PORT => Self::Port(parse_u16(payload).context("IPVS_DAEMON_ATTR_MCAST_PORT")?),
            TTL => Self::Ttl(parse_u8(payload).context("IPVS_DAEMON_ATTR_MCAST_TTL")?),
            _unnamed => Self::Other(parse_other(buffer)?),
        })
    }
}

/// Reads the nest of a sync daemon.
pub(super) fn parse_daemon(payload: &[u8]) -> Result<Vec<DaemonAttr>, DecodeError> {
    parse_all(payload, DaemonAttr::parse).context("in an IPVS sync daemon")
}
