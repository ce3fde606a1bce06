//! What can go wrong on the way to the kernel, and what to do about it.

use std::fmt;

use nix::errno::Errno;

use crate::model::{ServiceKey, SyncDaemon, SyncRole};
use crate::plan::Operation;
use crate::wire::Command;

/// Why a request could not be made, or was refused.
///
/// [`ClientError::help`] says what to do now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// No socket.
    #[error("open a generic-netlink socket")]
    Open(#[source] Errno),
    /// The kernel has no IPVS, and could not load it.
    #[error("find IPVS in the kernel: this kernel has no ip_vs")]
    NoIpvs,
    /// The request did not get to the kernel. What it would have changed is unchanged, but for batches sent before.
    #[error("{request}: send to the kernel")]
    Send {
        /// What was attempted.
        request: Request,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The answer could not be received; what the request changes may have happened.
    #[error("{request}: receive from the kernel")]
    Receive {
        /// What was attempted.
        request: Request,
        /// Why.
        #[source]
        source: Errno,
    },
    /// The kernel said no.
    #[error("{request}: {errno:?}")]
    Refused {
        /// What was attempted.
        request: Request,
        /// The kernel's answer.
        errno: Errno,
    },
    /// The kernel's answer is not one that the request has.
    #[error("{request}: the kernel's answer makes no sense: {reason}")]
    Answer {
        /// What was attempted.
        request: Request,
        /// What is wrong with it.
        reason: String,
    },
}

impl ClientError {
    /// What to do now, where there is something to do.
    pub const fn help(&self) -> Option<&'static str> {
        match self {
            Self::NoIpvs => Some(
                "load it with `modprobe ip_vs`; a kernel built without CONFIG_IP_VS needs another one, and a container needs the module loaded on its host",
            ),
            Self::Refused { request, errno } => request.help(*errno),
            Self::Receive { source: Errno::EAGAIN, .. } => Some(
                "the kernel is busy or stuck: read the table again, the request may have been carried out",
            ),
            Self::Receive { source: Errno::ENOBUFS, .. } => {
                Some("answers were lost: raise net.core.rmem_max, and read the table again")
            }
            Self::Receive { source: Errno::EINTR, .. } => {
                Some("somebody changed the table during each of several readings: read it again")
            }
            Self::Receive { source: Errno::EBADMSG | Errno::EMSGSIZE, .. } => {
                Some("the answer was cut short: read the table again")
            }
            Self::Send { source: Errno::EMSGSIZE, .. } => {
                Some("the batch is larger than the send buffer: raise net.core.wmem_max")
            }
            Self::Send { source: Errno::ENOBUFS | Errno::ENOMEM, .. } => Some(NO_MEMORY),
            Self::Open(Errno::EMFILE | Errno::ENFILE) => {
                Some("too many files are open: raise the limit (LimitNOFILE= of the unit)")
            }
            Self::Open(_) | Self::Send { .. } | Self::Receive { .. } | Self::Answer { .. } => None,
        }
    }
}

/// What was asked of the kernel, but for a batch's single operations. It displays as what is attempted on which object.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Request {
    /// The family's number.
    Resolve,
    /// All services.
    Services,
    /// One service.
    Service(ServiceKey),
    /// The destinations of a service.
    Destinations(ServiceKey),
    /// A batch of operations.
    Apply,
    /// The version and the size of the connection table.
    Info,
    /// The timeouts.
    Timeouts,
    /// New timeouts.
    SetTimeouts,
    /// The sync daemons.
    Daemons,
    /// A sync daemon's start.
    StartDaemon(SyncDaemon),
    /// A sync daemon's end.
    StopDaemon(SyncRole),
    /// Counters to 0; `None` = those of all services.
    Zero(Option<ServiceKey>),
    /// The removal of every service.
    Flush,
    /// A message as it is.
    Message(Command),
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Resolve => f.write_str("find IPVS in the kernel"),
            Self::Services => f.write_str("list services"),
            Self::Service(key) => write!(f, "look up service {key}"),
            Self::Destinations(key) => write!(f, "list destinations of {key}"),
            Self::Apply => f.write_str("apply a batch of operations"),
            Self::Info => f.write_str("ask for the IPVS version"),
            Self::Timeouts => f.write_str("ask for the timeouts"),
            Self::SetTimeouts => f.write_str("set the timeouts"),
            Self::Daemons => f.write_str("list sync daemons"),
            Self::StartDaemon(daemon) => write!(f, "start {daemon}"),
            Self::StopDaemon(role) => write!(f, "stop {role} sync daemon"),
            Self::Zero(Some(key)) => write!(f, "zero counters of {key}"),
            Self::Zero(None) => f.write_str("zero all counters"),
            Self::Flush => f.write_str("remove every service"),
            Self::Message(command) => write!(f, "ask the kernel for IPVS ({command:?})"),
        }
    }
}

const NOT_PERMITTED: &str = "run it as root or with CAP_NET_ADMIN of the initial user namespace; a rootless container can't have it";
const GONE_MEANWHILE: &str = "somebody else removed it meanwhile: read the table and plan again";
const ADDED_MEANWHILE: &str = "somebody else added it meanwhile: read the table and plan again";
const NO_IPV6: &str = "IPv6 is off in this kernel: boot without ipv6.disable=1, or use IPv4";
const NO_MEMORY: &str = "the kernel is out of memory for it";
const BUSY: &str = "the kernel is busy with it: try again";
const NO_COMMAND: &str =
    "the kernel's IPVS does not know this command: another kernel than this program was made for";
const NO_FAMILY: &str =
    "the kernel does not know IPVS by this number: ip_vs was unloaded meanwhile";

impl Request {
    const fn help(&self, errno: Errno) -> Option<&'static str> {
        match (self, errno) {
            (_, Errno::EPERM) => Some(NOT_PERMITTED),
            (_, Errno::ENOMEM | Errno::ENOBUFS) => Some(NO_MEMORY),
            (_, Errno::EBUSY) => Some(BUSY),
            (_, Errno::EOPNOTSUPP) => Some(NO_COMMAND),
            (_, Errno::ENOENT) => Some(NO_FAMILY),
            (Self::Service(_) | Self::Zero(Some(_)), Errno::ESRCH) => Some("no such service"),
            (Self::StartDaemon(_), Errno::EEXIST) => {
                Some("it runs already: stop it first, a running one can't be changed")
            }
            (Self::StartDaemon(_), Errno::ENODEV) => Some("no such interface"),
            (Self::StartDaemon(_), Errno::ENETUNREACH) => {
                Some("the interface needs an address and a route to the multicast group")
            }
            (Self::StartDaemon(_), Errno::EINVAL) => Some(
                "the group must be multicast, and no destination may be of another family than its service",
            ),
            (Self::StopDaemon(_), Errno::ESRCH) => Some("it does not run"),
            (Self::StopDaemon(_), Errno::EINVAL) => {
                Some("there are the roles of master and backup")
            }
            (Self::SetTimeouts, Errno::EINVAL) => Some("a timeout is too large"),
            _other => None,
        }
    }
}

/// An operation that the kernel refused. The operations after it were tried all the same.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{operation}: {errno:?}")]
pub struct OperationError {
    /// What was attempted on which object.
    pub operation: Operation,
    /// The kernel's answer.
    pub errno: Errno,
}

impl OperationError {
    /// What to do now, where there is something to do.
    pub const fn help(&self) -> Option<&'static str> {
        match (&self.operation, self.errno) {
            (_, Errno::EPERM) => Some(NOT_PERMITTED),
            (_, Errno::ENOMEM | Errno::ENOBUFS) => Some(NO_MEMORY),
            (_, Errno::EBUSY) => Some(BUSY),
            (_, Errno::EOPNOTSUPP) => Some(NO_COMMAND),
            (_, Errno::EAFNOSUPPORT) => Some(NO_IPV6),
            (Operation::NewService(_) | Operation::NewDestination { .. }, Errno::EEXIST) => {
                Some(ADDED_MEANWHILE)
            }
            (Operation::NewService(_) | Operation::SetService(_), Errno::ENOENT) => Some(
                "the kernel has no such scheduler or persistence engine: `modprobe ip_vs_NAME` or `modprobe ip_vs_pe_NAME` says why",
            ),
            (Operation::NewService(_) | Operation::SetService(_), Errno::EINVAL) => Some(
                "an IPv6 service's persistence takes a prefix of 1 to 128, and mh no more destinations than its table has places (4093)",
            ),
            (Operation::SetService(_) | Operation::DelService(_), Errno::ESRCH) => {
                Some(GONE_MEANWHILE)
            }
            (
                Operation::NewDestination { .. }
                | Operation::SetDestination { .. }
                | Operation::DelDestination { .. },
                Errno::ESRCH,
            ) => Some(
                "its service is not there: an error before this one says why, or somebody else removed it",
            ),
            (
                Operation::SetDestination { .. } | Operation::DelDestination { .. },
                Errno::ENOENT,
            ) => Some(GONE_MEANWHILE),
            (Operation::DelService(_) | Operation::NewDestination { .. }, Errno::ENOENT) => {
                Some(NO_FAMILY)
            }
            (Operation::DelService(_) | Operation::DelDestination { .. }, Errno::EINVAL) => Some(
                "the kernel takes no such key: a transport of TCP, UDP or SCTP, an address and a port, or a mark",
            ),
            (
                Operation::NewDestination { .. } | Operation::SetDestination { .. },
                Errno::EINVAL,
            ) => Some(
                "the address must be unicast and, in IPv6, not link-local; another family than the service's needs a tunnel and no sync daemon running; GUE needs a port; lo must be up in the namespace",
            ),
            (
                Operation::NewDestination { .. } | Operation::SetDestination { .. },
                Errno::ERANGE,
            ) => Some(
                "the weight must be at most 2147483647, and the lower threshold at most the upper one",
            ),
            _other => None,
        }
    }
}

/// What became of a list of operations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use]
pub struct Report {
    /// How many operations the kernel took, as far as is known.
    pub applied: usize,
    /// Those that it refused, in the order in which they were sent.
    pub errors: Vec<OperationError>,
    /// Whether answers were lost, so that some of `applied` may have been refused: read the table and plan again.
    pub answers_lost: bool,
}

impl Report {
    /// Whether the kernel took everything.
    pub const fn is_clean(&self) -> bool {
        self.errors.is_empty() && !self.answers_lost
    }
}
