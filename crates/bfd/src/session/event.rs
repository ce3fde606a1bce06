//! What a session is told, and what it asks for.

use holdfast_time::Instant;
use serde::Serialize;

use super::Params;
use crate::wire::{ControlPacket, State};

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// A packet for this session came in and has passed [`crate::receive::check`].
    Received {
        /// The packet.
        packet: ControlPacket,
        /// When the kernel received it. Later than now counts as now.
        at: Instant,
    },
    /// It shall be administratively down (§6.8.16): what the peer is told, so that it takes our silence for no failure.
    AdminDown,
    /// It shall take part again.
    AdminUp,
    /// Other intervals, another multiplier or role. The discriminator stays as it is, and so does a session that is up.
    Reconfigure(Params),
}

/// What the driver shall do, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Send this to the peer.
    Send(ControlPacket),
    /// The state changed.
    Changed(Transition),
}

/// A change of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state now.
    pub to: State,
    /// Why.
    pub reason: Reason,
}

/// Why the state changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// A step of the handshake: the peer was heard.
    Heard,
    /// The peer was silent for the detection time (§6.8.4): it, or the way from it, is dead.
    DetectionTimeExpired,
    /// The peer says Down: it lives, and hears us no more or has been started anew.
    PeerDown,
    /// The peer was taken out of use by its administrator, which says nothing about the way to it (RFC 5882 §3.2).
    PeerAdminDown,
    /// It was taken out of use here.
    AdminDown,
    /// It was taken into use here.
    AdminUp,
}

impl Reason {
    /// The name in logs, metrics and status.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Heard => "heard",
            Self::DetectionTimeExpired => "detection_time_expired",
            Self::PeerDown => "peer_down",
            Self::PeerAdminDown => "peer_admin_down",
            Self::AdminDown => "admin_down",
            Self::AdminUp => "admin_up",
        }
    }
}

/// The timers of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Timer {
    /// The peer has been silent for the detection time.
    Detection,
    /// A packet is due.
    Transmit,
}
