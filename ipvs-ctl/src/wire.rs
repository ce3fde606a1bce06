//! The generic-netlink family `IPVS` (`include/uapi/linux/ip_vs.h`): commands, attributes, and the model in these words.
//!
//! It follows the rust-netlink crates: each attribute set is an enum that implements [`netlink_packet_core::Nla`], and what
//! has no name here is kept as `Other`, byte for byte. It opens no socket and judges no value: any bytes are either read or
//! answered with a `DecodeError`, never with a panic.
//!
//! Byte orders, which the kernel mixes: ports, addresses and an IPv4 netmask are in network order; everything else, an IPv6
//! prefix length and the sync daemon's port among it, is in the host's.

mod attribute;
mod command;
mod convert;
mod daemon;
mod destination;
mod dump;
mod message;
mod read;
mod request;
mod service;
mod stats;

pub use self::command::Command;
pub(crate) use self::convert::AF_INET6;
pub use self::convert::{
    BACKUP, BYPASS, CHECKSUM, DIRECT, GRE, GUE, IPIP, LOCAL, MASTER, NAT, NO_CHECKSUM,
    REMOTE_CHECKSUM, TUNNEL, daemon_attributes, destination_attributes, service_attributes,
};
pub use self::daemon::DaemonAttr;
pub use self::destination::DestinationAttr;
pub use self::dump::{DumpedError, read_attributes, read_dumped_destination, read_dumped_service};
pub(crate) use self::dump::{each_destination_attribute, each_service_attribute};
pub use self::message::{IpvsAttr, IpvsMessage};
pub use self::read::{
    UnreadableError, read_daemon, read_destination, read_info, read_service, read_timeouts,
};
pub use self::service::ServiceAttr;
pub(crate) use self::stats::fold_stats;
pub use self::stats::{Count, StatsAttr};
