//! A message of the family: its command and its attributes of the first level.

use netlink_packet_core::{
    DecodeError, DefaultNla, Emitable, ErrorContext as _, NLA_F_NESTED, Nla, NlaBuffer,
    ParseableParametrized, parse_u32,
};
use netlink_packet_generic::{GenlFamily, GenlHeader};

use super::attribute::{parse_all, parse_other};
use super::command::Command;
use super::daemon::{DaemonAttr, parse_daemon};
use super::destination::{DestinationAttr, parse_destination};
use super::service::{ServiceAttr, parse_service};

pub(super) const SERVICE: u16 = 1;
pub(super) const DESTINATION: u16 = 2;
const DAEMON: u16 = 3;
const TIMEOUT_TCP: u16 = 4;
const TIMEOUT_TCP_FIN: u16 = 5;
const TIMEOUT_UDP: u16 = 6;

const INFO_VERSION: u16 = 1;
const INFO_CONNECTION_TABLE_SIZE: u16 = 2;

/// An attribute of the first level.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum IpvsAttr {
    /// A service, or its key.
    Service(Vec<ServiceAttr>),
    /// A destination, or its key.
    Destination(Vec<DestinationAttr>),
    /// A sync daemon.
    Daemon(Vec<DaemonAttr>),
    /// The timeout of established TCP connections in seconds.
    TimeoutTcp(u32),
    /// The timeout of TCP connections after a FIN in seconds.
    TimeoutTcpFin(u32),
    /// The timeout of UDP in seconds.
    TimeoutUdp(u32),
    /// The kernel's IPVS version, one byte each for major, minor and patch. In [`Command::SetInfo`] only, whose
    /// attributes have their own numbers.
    Version(u32),
    /// Hash buckets of the connection table. In [`Command::SetInfo`] only.
    ConnectionTableSize(u32),
    /// Anything else.
    Other(DefaultNla),
}

impl Nla for IpvsAttr {
    fn value_len(&self) -> usize {
        match self {
            Self::Service(nest) => nest.as_slice().buffer_len(),
            Self::Destination(nest) => nest.as_slice().buffer_len(),
            Self::Daemon(nest) => nest.as_slice().buffer_len(),
            Self::TimeoutTcp(_)
            | Self::TimeoutTcpFin(_)
            | Self::TimeoutUdp(_)
            | Self::Version(_)
            | Self::ConnectionTableSize(_) => 4,
            Self::Other(other) => other.value_len(),
        }
    }

    fn kind(&self) -> u16 {
        match self {
            Self::Service(_) => SERVICE | NLA_F_NESTED,
            Self::Destination(_) => DESTINATION | NLA_F_NESTED,
            Self::Daemon(_) => DAEMON | NLA_F_NESTED,
            Self::TimeoutTcp(_) => TIMEOUT_TCP,
            Self::TimeoutTcpFin(_) => TIMEOUT_TCP_FIN,
            Self::TimeoutUdp(_) => TIMEOUT_UDP,
            Self::Version(_) => INFO_VERSION,
            Self::ConnectionTableSize(_) => INFO_CONNECTION_TABLE_SIZE,
            Self::Other(other) => other.kind(),
        }
    }

    fn emit_value(&self, buffer: &mut [u8]) {
        match self {
            Self::Service(nest) => nest.as_slice().emit(buffer),
            Self::Destination(nest) => nest.as_slice().emit(buffer),
            Self::Daemon(nest) => nest.as_slice().emit(buffer),
            Self::TimeoutTcp(value)
            | Self::TimeoutTcpFin(value)
            | Self::TimeoutUdp(value)
            | Self::Version(value)
            | Self::ConnectionTableSize(value) => buffer.copy_from_slice(&value.to_ne_bytes()),
            Self::Other(other) => other.emit_value(buffer),
        }
    }
}

impl IpvsAttr {
    pub(super) fn parse(buffer: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        let payload = buffer.value();
        Ok(match buffer.kind() {
            SERVICE => Self::Service(parse_service(payload)?),
            DESTINATION => Self::Destination(parse_destination(payload)?),
            DAEMON => Self::Daemon(parse_daemon(payload)?),
            TIMEOUT_TCP => {
                Self::TimeoutTcp(parse_u32(payload).context("IPVS_CMD_ATTR_TIMEOUT_TCP")?)
            }
            TIMEOUT_TCP_FIN => {
                Self::TimeoutTcpFin(parse_u32(payload).context("IPVS_CMD_ATTR_TIMEOUT_TCP_FIN")?)
            }
            TIMEOUT_UDP => {
                Self::TimeoutUdp(parse_u32(payload).context("IPVS_CMD_ATTR_TIMEOUT_UDP")?)
            }
            _unnamed => Self::Other(parse_other(buffer)?),
        })
    }

    fn parse_info(buffer: &NlaBuffer<&[u8]>) -> Result<Self, DecodeError> {
        let payload = buffer.value();
        Ok(match buffer.kind() {
            INFO_VERSION => Self::Version(parse_u32(payload).context("IPVS_INFO_ATTR_VERSION")?),
            INFO_CONNECTION_TABLE_SIZE => Self::ConnectionTableSize(
                parse_u32(payload).context("IPVS_INFO_ATTR_CONN_TAB_SIZE")?,
            ),
            _unnamed => Self::Other(parse_other(buffer)?),
        })
    }
}

/// A message of the family IPVS, without the netlink and generic-netlink headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IpvsMessage {
    /// What is asked or answered.
    pub command: Command,
    /// The attributes, in the message's order.
    pub attributes: Vec<IpvsAttr>,
}

impl GenlFamily for IpvsMessage {
    fn family_name() -> &'static str {
        "IPVS"
    }

    fn command(&self) -> u8 {
        self.command.into()
    }

    fn version(&self) -> u8 {
        1
    }
}

impl Emitable for IpvsMessage {
    fn buffer_len(&self) -> usize {
        self.attributes.as_slice().buffer_len()
    }

    fn emit(&self, buffer: &mut [u8]) {
        self.attributes.as_slice().emit(buffer);
    }
}

impl ParseableParametrized<[u8], GenlHeader> for IpvsMessage {
    /// # Errors
    /// An attribute is cut short, or its payload has a length that its type can't have.
    fn parse_with_param(payload: &[u8], header: GenlHeader) -> Result<Self, DecodeError> {
        let command = Command::from(header.cmd);
        let attributes = if command == Command::SetInfo {
            parse_all(payload, IpvsAttr::parse_info)
        } else {
            parse_all(payload, IpvsAttr::parse)
        };
        Ok(Self { command, attributes: attributes.context("in an IPVS message")? })
    }
}
