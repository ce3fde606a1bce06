//! What goes into a virtual router's machine, and what comes out.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use serde::Serialize;

use super::{Params, Status};
use crate::types::{Interval, Priority};

/// An input of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The virtual router shall take part. Without a usable interface the wish is kept until there is one.
    Startup,
    /// The virtual router shall no longer take part.
    Shutdown,
    /// A valid advertisement of this virtual router came in ([`crate::receive::check`]).
    Advertisement(Advertisement),
    /// The interface can be used and has this primary address of the router's family: of IPv4 the first one, of IPv6 a
    /// link-local one, never a virtual address. An address of the other family counts as [`Event::InterfaceDown`].
    InterfaceUp {
        /// The primary address.
        primary: IpAddr,
    },
    /// The interface is down or gone, or has no usable source address.
    InterfaceDown,
    /// The interface, which is up, has another primary address. Ignored while it is down.
    PrimaryChanged {
        /// The new primary address.
        primary: IpAddr,
    },
    /// Other parameters, by configuration or by tracking. Those of another VRID, version or family are refused
    /// ([`Observation::ReconfigureRefused`]): that is another virtual router, which needs a machine of its own.
    Reconfigure(Params),
    /// The whole machine slept, and what peers sent meanwhile is lost rather than queued.
    Resumed,
}

/// What an advertisement says to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Advertisement {
    /// Who sent it: the primary address of the sender, which breaks ties.
    pub source: IpAddr,
    /// The sender's priority; 0 when it gives up.
    pub priority: Priority,
    /// The sender's interval.
    pub interval: Interval,
}

/// What the driver has to do. Do it in the order in which [`crate::VirtualRouter::poll_action`] gives it: the order is part of
/// the contract. On promotion the advertisement comes first, then the addresses, then the announcement; on the way out an
/// advertisement comes before the addresses go.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Send an advertisement of the router's current parameters with this priority, encoded at the moment of sending
    /// ([`crate::VirtualRouter::encode`]).
    SendAdvertisement {
        /// The router's own priority, or [`Priority::RELEASE`].
        priority: Priority,
    },
    /// Put all the virtual router's addresses on the interface. Those that are there already stay.
    InstallAddresses,
    /// Take every address off the interface that was installed for this virtual router.
    RemoveAddresses,
    /// While Active, the list of addresses was changed by a reconfiguration: take off and put on.
    UpdateAddresses {
        /// The addresses to take off.
        removed: Vec<IpAddr>,
        /// The addresses to put on.
        added: Vec<IpAddr>,
    },
    /// Tell the link where all the addresses are: gratuitous ARP (RFC 9568 §6.4.1 with erratum 7947) or unsolicited Neighbor
    /// Advertisement.
    Announce,
    /// The state changed: log it, count it, publish it.
    Report(Transition),
    /// Something happened that an operator wants to know. It may come once for each received advertisement, so whoever logs it
    /// limits the rate.
    Observe(Observation),
}

/// A change of state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// When.
    pub at: Instant,
    /// The state before.
    pub from: Status,
    /// The state after.
    pub to: Status,
    /// Why.
    pub reason: Reason,
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// Told to take part: to Backup.
    Startup,
    /// Told to take part as the owner of the addresses: to Active at once.
    Owner,
    /// Told to stop: to Initialize.
    Shutdown,
    /// The interface went down: to Initialize.
    InterfaceDown,
    /// No advertisement for Active_Down_Interval: to Active. RFC 6527 `masterNoResponse`.
    ActiveSilent,
    /// The Active gave up with priority 0: to Active. RFC 6527 `priority`.
    ActiveReleased,
    /// The Active has a lower priority, and Preempt_Mode is true: to Active. RFC 6527 `preempted`.
    Preempt,
    /// Another router has a higher priority: to Backup.
    HigherPriority,
    /// Another router has the same priority and a higher address: to Backup.
    HigherAddress,
    /// It sent nothing for so long that another router may have taken over, and Preempt_Mode is false: to Backup.
    Stalled,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 10] = [
        Self::Startup,
        Self::Owner,
        Self::Shutdown,
        Self::InterfaceDown,
        Self::ActiveSilent,
        Self::ActiveReleased,
        Self::Preempt,
        Self::HigherPriority,
        Self::HigherAddress,
        Self::Stalled,
    ];

    /// The name in logs, metrics and status; the serialized form is the same.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Owner => "owner",
            Self::Shutdown => "shutdown",
            Self::InterfaceDown => "interface_down",
            Self::ActiveSilent => "active_silent",
            Self::ActiveReleased => "active_released",
            Self::Preempt => "preempt",
            Self::HigherPriority => "higher_priority",
            Self::HigherAddress => "higher_address",
            Self::Stalled => "stalled",
        }
    }
}

/// Something that an operator wants to know though no state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Observation {
    /// While Active for an interval or longer, an advertisement of a router that should have yielded. It ends with one advertisement of ours when that
    /// router hears us; when it keeps coming, it does not hear us.
    DualActive {
        /// The other Active.
        source: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// An advertisement with our own priority and our own primary address: a clone of this machine, or a loop. Not answered,
    /// since the answers of two clones would never end.
    DuplicateSource {
        /// The address that both have.
        source: IpAddr,
    },
    /// Both we and another router claim to own the addresses (priority 255). The election decides; one configuration is wrong.
    OwnerConflict {
        /// The other one.
        source: IpAddr,
    },
    /// While Active, nothing was sent for longer than a Backup waits: it may have taken over.
    Stalled {
        /// How long nothing was sent.
        silent: Duration,
    },
    /// A reconfiguration was for another virtual router and changed nothing.
    ReconfigureRefused,
}

/// The timers of the machine. No state has more than one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// Active_Down_Timer: the Backup takes over when it fires.
    ActiveDown,
    /// Adver_Timer: the Active advertises when it fires.
    Adver,
}

impl Timer {
    /// The name in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ActiveDown => "active_down",
            Self::Adver => "adver",
        }
    }
}
