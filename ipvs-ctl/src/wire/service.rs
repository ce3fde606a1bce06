//! The attributes of a virtual service (IPVS_SVC_ATTR_*).

use netlink_packet_core::{
    DecodeError, DefaultNla, ErrorContext as _, NLA_F_NESTED, Nla, NlaBuffer, parse_u16,
    parse_u16_be, parse_u32,
};

use super::attribute::{
    ADDRESS_LEN, emit_text, parse_address, parse_all, parse_other, parse_text, split_word, text_len,
};
use super::stats::{StatsAttr, emit_stats, parse_stats, stats_len};

const FAMILY: u16 = 1;
const PROTOCOL: u16 = 2;
const ADDRESS: u16 = 3;
const PORT: u16 = 4;
const FWMARK: u16 = 5;
const SCHEDULER: u16 = 6;
const FLAGS: u16 = 7;
const TIMEOUT: u16 = 8;
const NETMASK: u16 = 9;
pub(super) const STATS: u16 = 10;
const PERSISTENCE_ENGINE: u16 = 11;
pub(super) const STATS64: u16 = 12;

/// An attribute of a virtual service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ServiceAttr {
    /// AF_INET (2) or AF_INET6 (10).
    Family(u16),
    /// The IP protocol's number.
    Protocol(u16),
    /// The address in network order; IPv4 fills the first four bytes.
    Address([u8; ADDRESS_LEN]),
    /// The port, in network order on the wire.
    Port(u16),
    /// The firewall mark. With it the service has neither protocol nor address nor port.
    Fwmark(u32),
    /// The scheduler's name, at most 15 bytes.
    Scheduler(String),
    /// IP_VS_SVC_F_* and which of them this message sets. The kernel answers with a full mask.
    Flags {
        /// The bits.
        flags: u32,
        /// Which bits count; the others stay as they are.
        mask: u32,
    },
    /// The timeout of persistence in seconds.
    Timeout(u32),
    /// IPv4: the mask in network order. IPv6: the prefix length as a `u32` in the host's order.
    Netmask([u8; 4]),
    /// Counters of 32 bits.
    Stats(Vec<StatsAttr>),
    /// The persistence engine's name, at most 16 bytes; empty = none.
    PersistenceEngine(String),
    /// Counters of 64 bits.
    Stats64(Vec<StatsAttr>),
    /// Anything else.
    Other(DefaultNla),
}

impl Nla for ServiceAttr {
    fn value_len(&self) -> usize {
        match self {
            Self::Family(_) | Self::Protocol(_) | Self::Port(_) => 2,
            Self::Fwmark(_) | Self::Timeout(_) | Self::Netmask(_) => 4,
            Self::Flags { .. } => 8,
            Self::Address(address) => address.len(),
            Self::Scheduler(name) | Self::PersistenceEngine(name) => text_len(name),
            Self::Stats(stats) | Self::Stats64(stats) => stats_len(stats),
            Self::Other(other) => other.value_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Family(_) => FAMILY,
            Self::Protocol(_) => PROTOCOL,
            Self::Address(_) => ADDRESS,
            Self::Port(_) => PORT,
            Self::Fwmark(_) => FWMARK,
            Self::Scheduler(_) => SCHEDULER,
            Self::Flags { .. } => FLAGS,
            Self::Timeout(_) => TIMEOUT,
            Self::Netmask(_) => NETMASK,
            Self::Stats(_) => STATS | NLA_F_NESTED,
            Self::PersistenceEngine(_) => PERSISTENCE_ENGINE,
            Self::Stats64(_) => STATS64 | NLA_F_NESTED,
            Self::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Self::Family(value) | Self::Protocol(value) => {
                buffer.copy_from_slice(&value.to_ne_bytes());
            }
            Self::Address(address) => buffer.copy_from_slice(address),
            Self::Port(port) => buffer.copy_from_slice(&port.to_be_bytes()),
            Self::Fwmark(value) | Self::Timeout(value) => {
                buffer.copy_from_slice(&value.to_ne_bytes());
            }
            Self::Scheduler(name) | Self::PersistenceEngine(name) => emit_text(name, buffer),
            Self::Flags { flags, mask } => {
                let (first, second) = buffer.split_at_mut(4);
                first.copy_from_slice(&flags.to_ne_bytes());
                second.copy_from_slice(&mask.to_ne_bytes());
            }
            Self::Netmask(netmask) => buffer.copy_from_slice(netmask),
            Self::Stats(stats) | Self::Stats64(stats) => emit_stats(stats, buffer),
            Self::Other(other) => other.emit_value(buffer),
        }
    }
}

impl ServiceAttr {
    pub(super) fn parse(buffer: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        let payload = buffer.value();
        Ok(match buffer.kind() {
            FAMILY => Self::Family(parse_u16(payload).context("IPVS_SVC_ATTR_AF")?),
            PROTOCOL => Self::Protocol(parse_u16(payload).context("IPVS_SVC_ATTR_PROTOCOL")?),
            ADDRESS => Self::Address(parse_address(payload).context("IPVS_SVC_ATTR_ADDR")?),
            PORT => Self::Port(parse_u16_be(payload).context("IPVS_SVC_ATTR_PORT")?),
            FWMARK => Self::Fwmark(parse_u32(payload).context("IPVS_SVC_ATTR_FWMARK")?),
            SCHEDULER => Self::Scheduler(parse_text(payload).context("IPVS_SVC_ATTR_SCHED_NAME")?),
            FLAGS => {
                let (flags, mask) = split_word(payload).context("IPVS_SVC_ATTR_FLAGS")?;
                Self::Flags { flags: u32::from_ne_bytes(flags), mask: u32::from_ne_bytes(mask) }
            }
            TIMEOUT => Self::Timeout(parse_u32(payload).context("IPVS_SVC_ATTR_TIMEOUT")?),
            NETMASK => {
                let word = parse_u32(payload).context("IPVS_SVC_ATTR_NETMASK")?;
                Self::Netmask(word.to_ne_bytes())
            }
            STATS => Self::Stats(parse_stats(payload)?),
            PERSISTENCE_ENGINE => {
                Self::PersistenceEngine(parse_text(payload).context("IPVS_SVC_ATTR_PE_NAME")?)
            }
            STATS64 => Self::Stats64(parse_stats(payload)?),
            _unnamed => Self::Other(parse_other(buffer)?),
        })
    }
}

/// Reads the nest of a service.
pub(super) fn parse_service(payload: &[u8]) -> Result<Vec<ServiceAttr>, DecodeError> {
    parse_all(payload, ServiceAttr::parse).context("in an IPVS service")
}
