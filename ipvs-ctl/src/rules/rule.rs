//! What a command line asks for.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::model::{
    Destination, Family, Persistence, Scheduler, ServiceFlags, ServiceKey, SyncDaemon, SyncRole,
    Timeouts, VirtualService,
};
use crate::plan::Operation;

/// A command of ipvsadm's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// `-A`.
    AddService(ServiceRule),
    /// `-E`.
    EditService(ServiceRule),
    /// `-D`.
    DeleteService(ServiceKey),
    /// `-C`.
    Clear,
    /// `-R`.
    Restore,
    /// `-S`.
    Save {
        /// `-n`: numbers instead of names.
        numeric: bool,
    },
    /// `-a`.
    AddServer(ServerRule),
    /// `-e`.
    EditServer(ServerRule),
    /// `-d`.
    DeleteServer {
        /// The service.
        service: ServiceKey,
        /// The server's address and port.
        address: SocketAddr,
    },
    /// `-L`, `-l`.
    List(List),
    /// `-Z`: of one service or of all.
    Zero(Option<ServiceKey>),
    /// `--set`.
    SetTimeouts(Timeouts),
    /// `--start-daemon`.
    StartDaemon(SyncDaemon),
    /// `--stop-daemon`.
    StopDaemon(SyncRole),
    /// `-h`.
    Help,
    /// `-v`.
    Version,
}

impl Command {
    /// The change of the table that the command is; `None` of one that changes something else or nothing, and of a service whose
    /// netmask has gaps.
    pub fn operation(&self) -> Option<Operation> {
        Some(match self {
            Self::AddService(rule) => Operation::NewService(rule.service()?),
            Self::EditService(rule) => Operation::SetService(rule.service()?),
            Self::DeleteService(key) => Operation::DelService(*key),
            Self::AddServer(ServerRule { service, destination }) => {
                Operation::NewDestination { service: *service, destination: *destination }
            }
            Self::EditServer(ServerRule { service, destination }) => {
                Operation::SetDestination { service: *service, destination: *destination }
            }
            Self::DeleteServer { service, address } => {
                Operation::DelDestination { service: *service, address: *address }
            }
            Self::Clear
            | Self::Zero(_)
            | Self::SetTimeouts(_)
            | Self::StartDaemon(_)
            | Self::StopDaemon(_)
            | Self::Restore
            | Self::Save { .. }
            | Self::List(_)
            | Self::Help
            | Self::Version => return None,
        })
    }
}

/// A service with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceRule {
    /// What names it.
    pub key: ServiceKey,
    /// How destinations are chosen; `wlc` where nothing was said.
    pub scheduler: Scheduler,
    /// Its flags but for persistence.
    pub flags: ServiceFlags,
    /// The timeout of its persistence in seconds, where it has one.
    pub persistent_s: Option<u32>,
    /// The netmask as the kernel takes it: a mask of IPv4 in network order, or a prefix length of IPv6 in the host's.
    pub netmask: [u8; 4],
    /// The persistence engine.
    pub engine: Option<String>,
}

impl ServiceRule {
    /// The service of the model; `None` where its netmask has gaps, for which the model has no word.
    pub fn service(&self) -> Option<VirtualService> {
        let persistence = match self.persistent_s {
            None => None,
            Some(timeout_s) => Some(Persistence { timeout_s, prefix: self.prefix()? }),
        };
        Some(VirtualService {
            key: self.key,
            scheduler: self.scheduler.clone(),
            flags: self.flags,
            persistence,
            persistence_engine: self.engine.clone(),
        })
    }

    /// The netmask as a prefix length; `None` where it has gaps.
    pub fn prefix(&self) -> Option<u8> {
        match self.key.family() {
            Family::Ipv4 => {
                let mask = u32::from_be_bytes(self.netmask);
                let ones = mask.leading_ones();
                (mask.count_ones() == ones).then(|| u8::try_from(ones).ok()).flatten()
            }
            Family::Ipv6 => u8::try_from(u32::from_ne_bytes(self.netmask)).ok(),
        }
    }
}

/// A real server of a service with its settings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerRule {
    /// The service.
    pub service: ServiceKey,
    /// The server.
    pub destination: Destination,
}

/// What `-L` lists and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// What is listed.
    pub kind: ListKind,
    /// `-n`: numbers instead of names.
    pub numeric: bool,
    /// `--stats`.
    pub stats: bool,
    /// `--rate`.
    pub rate: bool,
    /// `--thresholds`.
    pub thresholds: bool,
    /// `--persistent-conn`.
    pub persistent_conn: bool,
    /// `--tun-info`.
    pub tunnel_info: bool,
    /// `--nosort`: the kernel's order.
    pub nosort: bool,
    /// `--exact`: no K, M, G or T.
    pub exact: bool,
}

impl List {
    /// All services, in numbers or with names.
    pub const fn all(numeric: bool) -> Self {
        Self {
            kind: ListKind::All,
            numeric,
            stats: false,
            rate: false,
            thresholds: false,
            persistent_conn: false,
            tunnel_info: false,
            nosort: false,
            exact: false,
        }
    }
}

/// What `-L` lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Every service.
    All,
    /// One service.
    Service(ServiceKey),
    /// `-c`: connections.
    Connections,
    /// `--timeout`.
    Timeouts,
    /// `--daemon`: the sync daemons.
    Daemons,
}

/// Something that ipvsadm does without a word, although it was told otherwise or it means nothing.
///
/// It displays as a sentence that says what, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Oddity {
    /// Direct routing and tunnels keep the packet's port: the server's becomes the service's.
    PortReplaced {
        /// The port that was asked for.
        said: u16,
        /// The service's.
        used: u16,
    },
    /// A name that is longer than the kernel's field is cut.
    NameCut {
        /// What it is the name of.
        of: &'static str,
        /// How many bytes are left of it.
        length: usize,
    },
    /// A server without a port stands before its service, whose port it would have got.
    ServerFirst {
        /// The port that it gets.
        used: u16,
    },
    /// The port behind an IPv4 address in brackets is not read.
    PortInBrackets {
        /// The address.
        address: IpAddr,
    },
    /// The bits of a netmask have gaps.
    MaskGaps,
    /// A prefix length of IPv6 is read as far as it is a number, and of that the lower 32 bits.
    PrefixRead {
        /// What was read.
        prefix: u32,
    },
    /// A netmask before its IPv6 service is forgotten.
    MaskForgotten,
    /// A netmask without persistence groups nobody.
    MaskAlone,
    /// A persistence engine without persistence is never asked.
    EngineAlone,
    /// Address 0.0.0.0 and port 0 are no service: the counters of all are zeroed.
    AllCounters,
}

impl fmt::Display for Oddity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PortReplaced { said, used } => write!(
                f,
                "direct routing and tunnels can't change the port: the server gets port {used}, not {said}; leave the port out, or use -m"
            ),
            Self::NameCut { of, length } => {
                write!(
                    f,
                    "the name of the {of} is too long: the kernel's has at most {length} bytes"
                )
            }
            Self::ServerFirst { used } => write!(
                f,
                "the server stands before its service and gets port {used}, not the service's: write -r behind it, or the port"
            ),
            Self::PortInBrackets { address } => write!(
                f,
                "brackets are for IPv6, and the port behind [{address}] is not read: leave them out"
            ),
            Self::PrefixRead { prefix } => {
                write!(f, "the prefix length would be read as {prefix}: write a number from 1 to 128")
            }
            Self::MaskForgotten => f.write_str(
                "the netmask stands before its IPv6 service and is forgotten: write -M behind the service",
            ),
            Self::MaskGaps => f.write_str("the netmask has gaps: a mask is ones and then zeros"),
            Self::MaskAlone => {
                f.write_str("a netmask means nothing without persistence: add -p, or leave -M out")
            }
            Self::EngineAlone => f.write_str(
                "a persistence engine means nothing without persistence: add -p, or leave --pe out",
            ),
            Self::AllCounters => f.write_str(
                "0.0.0.0 without a port names no service: leave it out to zero every counter",
            ),
        }
    }
}
