//! What goes into a virtual router's machine, and what comes out.

use std::net::IpAddr;
use std::time::Duration;

use holdfast_time::Instant;
use serde::Serialize;

use super::{Params, Status};
use crate::types::{Interval, Priority};
use crate::wire::ChecksumForm;

/// An input of the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The virtual router shall take part. Without a usable interface the wish is kept until there is one.
    Startup,
    /// The virtual router shall no longer take part. An Active says so with priority 0 and keeps the addresses until another
    /// router is heard ([`Status::Releasing`]); a second one ends that at once.
    Shutdown,
    /// An Active shall give up its role now and stay as a Backup, as at [`Event::Shutdown`]. It does not keep the router from
    /// taking over again: whoever wants that gives it Preempt_Mode false or a lower priority ([`Event::Reconfigure`]).
    StepDown,
    /// Another protocol (BFD) says that the Active at this address is gone. For a Backup of that Active it counts as priority 0
    /// from it, but that a worse Backup, which may have been told sooner, keeps it from nothing. Nobody else is concerned.
    ActiveLost {
        /// Whose primary address it was.
        address: IpAddr,
    },
    /// The process that was the Active at this address has died, and its host says so. A Backup of that Active takes over after
    /// [`Params::death_skew`], unless the Active is heard again before, or a router of no lower priority. So does a Backup that knows
    /// another Active, of lower priority, since less than one interval, and that one before. Nobody else is concerned.
    ActiveDied {
        /// Whose primary address it was.
        address: IpAddr,
    },
    /// A Backup shall become Active now: another router of its sync group did. Nobody else is concerned.
    TakeOver,
    /// A Backup shall become Active now: the Active has become worse than it is, though nobody preempts. Nobody else is concerned.
    ActiveFallen,
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
    /// For a router in Initialize that has not begun: a process of this node that has just died without a word was its Active, sent
    /// its last advertisement at `advertised`, and the node still has the addresses. When the router begins before any Backup may have
    /// given up waiting ([`Params::inheritance_interval`]) it goes on as the Active at once; later it begins as any other. It counts once,
    /// and lapses when the router is told not to take part or its interface is down. In any other state it is ignored.
    Inherit {
        /// When the last advertisement was sent, by the clock of the instants that the router is given.
        advertised: Instant,
    },
    /// The whole machine slept, and what peers sent meanwhile is lost rather than queued. The time that it slept counts in the
    /// instants that the router is given (CLOCK_BOOTTIME). A Backup listens for a whole Active_Down_Interval; of an Active the
    /// timer, when it fires next, decides by how long nothing was sent; who was giving up no longer has the addresses.
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
    /// The form of the sender's checksum, which [`crate::ChecksumChoice::Auto`] follows.
    pub checksum_form: ChecksumForm,
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
    /// Take every address off the interface that was installed for this virtual router. Who gives up does so only when another
    /// router has been heard, or nobody in time.
    RemoveAddresses,
    /// While Active or giving up, the list of addresses was changed by a reconfiguration: take off and put on.
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
    /// Told to take part in the place of a process that was Active until a moment ago: to Active at once.
    Inherited,
    /// Told to stop: to Releasing, or to Initialize.
    Shutdown,
    /// Told to give up the Active's role: to Releasing.
    StepDown,
    /// Another router advertised while this one gave up: to Backup, or to Initialize.
    TakenOver,
    /// None did in time: to Active again, or to Initialize.
    NobodyTookOver,
    /// The interface went down: to Initialize.
    InterfaceDown,
    /// No advertisement for Active_Down_Interval: to Active. RFC 6527 `masterNoResponse`.
    ActiveSilent,
    /// The Active gave up with priority 0: to Active. RFC 6527 `priority`.
    ActiveReleased,
    /// Another protocol said that the Active is gone: to Active.
    ActiveLost,
    /// The Active's process died and its host said so: to Active.
    ActiveDied,
    /// Another router of the sync group took over: to Active.
    Group,
    /// The Active has become worse than this router, which took over though Preempt_Mode is false: to Active.
    ActiveFallen,
    /// The Active has a lower priority, and Preempt_Mode is true: to Active. RFC 6527 `preempted`.
    Preempt,
    /// Another router has a higher priority: to Backup.
    HigherPriority,
    /// Another router has the same priority and a higher address: to Backup.
    HigherAddress,
    /// It sent nothing for so long that another router may have taken over, and Preempt_Mode is false or it was giving up: to
    /// Backup.
    Stalled,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 18] = [
        Self::Startup,
        Self::Owner,
        Self::Inherited,
        Self::Shutdown,
        Self::StepDown,
        Self::TakenOver,
        Self::NobodyTookOver,
        Self::InterfaceDown,
        Self::ActiveSilent,
        Self::ActiveReleased,
        Self::ActiveLost,
        Self::ActiveDied,
        Self::Group,
        Self::ActiveFallen,
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
            Self::Inherited => "inherited",
            Self::Shutdown => "shutdown",
            Self::StepDown => "step_down",
            Self::TakenOver => "taken_over",
            Self::NobodyTookOver => "nobody_took_over",
            Self::InterfaceDown => "interface_down",
            Self::ActiveSilent => "active_silent",
            Self::ActiveReleased => "active_released",
            Self::ActiveLost => "active_lost",
            Self::ActiveDied => "active_died",
            Self::Group => "group",
            Self::ActiveFallen => "active_fallen",
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
    /// While Active for an interval or longer, the first advertisement of a router that should have yielded: a split that has
    /// healed, unless [`Observation::DualActiveBegan`] follows.
    LowerRankHeard {
        /// The other Active.
        source: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// Another Active of lower rank goes on though it was answered: it does not hear us, and there are two.
    DualActiveBegan {
        /// The other Active.
        source: IpAddr,
        /// Its priority.
        priority: Priority,
    },
    /// That one has been silent for three of its intervals, or has given up, or we are no longer Active.
    DualActiveEnded {
        /// The other Active.
        source: IpAddr,
        /// How long after its first advertisement.
        lasted: Duration,
    },
    /// Told to give up the Active's role, and nobody took it over: Active again.
    ReleaseUnanswered {
        /// How long nobody was heard.
        waited: Duration,
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
    /// How long one that gives up waits to hear another router.
    Release,
}

impl Timer {
    /// The name in logs.
    pub const fn label(self) -> &'static str {
        match self {
            Self::ActiveDown => "active_down",
            Self::Adver => "adver",
            Self::Release => "release",
        }
    }
}
