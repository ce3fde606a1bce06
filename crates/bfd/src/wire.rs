//! The control packet's mandatory section (RFC 5880 §4.1).
//!
//! ```text
//!   0               8               16              24            31
//!  ┌─────────┬─────┬───┬─┬─┬─┬─┬─┬─┬───────────────┬───────────────┐
//!  │ Version │Diag │Sta│P│F│C│A│D│M│  Detect Mult  │    Length     │
//!  ├─────────┴─────┴───┴─┴─┴─┴─┴─┴─┴───────────────┴───────────────┤
//!  │                       My Discriminator                        │
//!  │                      Your Discriminator                       │
//!  │                    Desired Min TX Interval                    │  microseconds
//!  │                   Required Min RX Interval                    │
//!  │                 Required Min Echo RX Interval                 │
//!  └───────────────────────────────────────────────────────────────┘
//! ```

use std::fmt;
use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use serde::Serialize;

use crate::discard::DiscardReason;

/// The UDP port that control packets over one hop go to (RFC 5881 §4).
pub const PORT: u16 = 3784;
/// The ports that they may come from: one for each session, the same for its whole life (RFC 5881 §4).
pub const SOURCE_PORTS: std::ops::RangeInclusive<u16> = 49152..=65535;
/// The TTL or hop limit that is sent and required (RFC 5881 §5, the mechanism of RFC 5082).
pub const HOP_LIMIT: u8 = 255;
/// The mandatory section's length in bytes, and that of every packet that is sent.
pub const LEN: usize = 24;
/// The least length of a packet with the A bit: an authentication section has a type and a length (§6.8.6).
pub const MIN_LEN_AUTHENTICATED: usize = 26;
/// The protocol's version.
pub const VERSION: u8 = 1;

/// A session's number on one of its two systems, never 0: in a packet, 0 says that the peer's is not known.
pub type Discriminator = NonZeroU32;

/// An interval in the packet's unit, microseconds: 0 to 4295 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Micros(u32);

impl Micros {
    /// The interval of this many microseconds.
    pub const fn new(micros: u32) -> Self {
        Self(micros)
    }

    /// `duration` rounded down to microseconds, at most 4295 s.
    pub fn from_duration(duration: Duration) -> Self {
        Self(u32::try_from(duration.as_micros()).unwrap_or(u32::MAX))
    }

    /// The number of microseconds.
    pub const fn value(self) -> u32 {
        self.0
    }

    /// The same as a duration.
    pub const fn duration(self) -> Duration {
        Duration::from_micros(self.0 as u64)
    }
}

/// bfd.SessionState (§6.8.1), numbered as on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Taken out of use by an administrator.
    AdminDown = 0,
    /// There is no session, or it has just been created.
    Down = 1,
    /// The peer has been heard, and does not know of us yet.
    Init = 2,
    /// Both hear each other.
    Up = 3,
}

impl State {
    /// All states by their number.
    pub const ALL: [Self; 4] = [Self::AdminDown, Self::Down, Self::Init, Self::Up];

    /// The state of the two bits `bits`; the others are ignored.
    pub const fn from_bits(bits: u8) -> Self {
        match bits & 0b11 {
            0 => Self::AdminDown,
            1 => Self::Down,
            2 => Self::Init,
            _ => Self::Up,
        }
    }

    /// The name in logs, metrics and status.
    pub const fn label(self) -> &'static str {
        match self {
            Self::AdminDown => "admin_down",
            Self::Down => "down",
            Self::Init => "init",
            Self::Up => "up",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// Diag: why the sender's session changed its state last, 0 to 31 (§4.1). Numbers that the RFC reserves are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Diagnostic(u8);

impl Diagnostic {
    /// Nothing to say.
    pub const NONE: Self = Self(0);
    /// Nothing was heard for the detection time.
    pub const DETECTION_TIME_EXPIRED: Self = Self(1);
    /// The peer said that the session is down.
    pub const NEIGHBOR_SIGNALED_DOWN: Self = Self(3);
    /// An administrator took it down.
    pub const ADMINISTRATIVELY_DOWN: Self = Self(7);

    /// The diagnostic of the five lower bits of `bits`.
    pub const fn from_bits(bits: u8) -> Self {
        Self(bits & 0x1f)
    }

    /// The number.
    pub const fn value(self) -> u8 {
        self.0
    }

    /// The name in logs, metrics and status: that of the RFC.
    pub const fn label(self) -> &'static str {
        match self.0 {
            0 => "none",
            1 => "control_detection_time_expired",
            2 => "echo_function_failed",
            3 => "neighbor_signaled_session_down",
            4 => "forwarding_plane_reset",
            5 => "path_down",
            6 => "concatenated_path_down",
            7 => "administratively_down",
            8 => "reverse_concatenated_path_down",
            _ => "reserved",
        }
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}

/// What a packet's receiver finds its session by (§6.8.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selector {
    /// By the number that we gave it: Your Discriminator.
    Discriminator(Discriminator),
    /// By the addresses and the interface: the peer does not know our number yet.
    Addresses,
}

/// A control packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlPacket {
    /// Diag.
    pub diagnostic: Diagnostic,
    /// Sta.
    pub state: State,
    /// P: the sender wants an answer with F.
    pub poll: bool,
    /// F: the answer to a P.
    pub is_final: bool,
    /// C: the sender's BFD survives its control plane.
    pub control_plane_independent: bool,
    /// A: an authentication section follows. Never sent.
    pub authenticated: bool,
    /// D: the sender wants no periodic packets.
    pub demand: bool,
    /// Detect Mult.
    pub detect_mult: NonZeroU8,
    /// My Discriminator.
    pub my_discriminator: Discriminator,
    /// Your Discriminator; none for 0.
    pub your_discriminator: Option<Discriminator>,
    /// Desired Min TX Interval.
    pub desired_min_tx: Micros,
    /// Required Min RX Interval; 0 = the sender wants no periodic packets at all.
    pub required_min_rx: Micros,
    /// Required Min Echo RX Interval; 0 = the sender returns no echo packets.
    pub required_min_echo_rx: Micros,
}

impl ControlPacket {
    /// Reads a UDP payload by the checks of §6.8.6 that need no session, in their order.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn parse(payload: &[u8]) -> Result<Self, DiscardReason> {
        let (header, _) = payload.split_first_chunk::<LEN>().ok_or(DiscardReason::TooShort)?;
        let [first, flags, mult, length, words @ ..] = header;
        let word = |index: usize| {
            let bytes = words.get(index * 4..).and_then(|rest| rest.first_chunk::<4>());
            bytes.map_or(0, |bytes| u32::from_be_bytes(*bytes))
        };
        let flag = |bit: u8| flags & bit != 0;
        if first >> 5 != VERSION {
            return Err(DiscardReason::Version);
        }
        let authenticated = flag(bit::AUTHENTICATED);
        let least = if authenticated { MIN_LEN_AUTHENTICATED } else { LEN };
        if usize::from(*length) < least {
            return Err(DiscardReason::Length);
        }
        if usize::from(*length) > payload.len() {
            return Err(DiscardReason::Truncated);
        }
        let detect_mult = NonZeroU8::new(*mult).ok_or(DiscardReason::ZeroDetectMult)?;
        if flag(bit::MULTIPOINT) {
            return Err(DiscardReason::Multipoint);
        }
        let my_discriminator =
            Discriminator::new(word(0)).ok_or(DiscardReason::ZeroMyDiscriminator)?;
        Ok(Self {
            diagnostic: Diagnostic::from_bits(*first),
            state: State::from_bits(flags >> 6),
            poll: flag(bit::POLL),
            is_final: flag(bit::FINAL),
            control_plane_independent: flag(bit::CONTROL_PLANE_INDEPENDENT),
            authenticated,
            demand: flag(bit::DEMAND),
            detect_mult,
            my_discriminator,
            your_discriminator: Discriminator::new(word(1)),
            desired_min_tx: Micros(word(2)),
            required_min_rx: Micros(word(3)),
            required_min_echo_rx: Micros(word(4)),
        })
    }

    /// The packet's bytes: the mandatory section alone, so that the A bit is always clear.
    pub fn to_bytes(&self) -> [u8; LEN] {
        let flags = [
            (self.poll, bit::POLL),
            (self.is_final, bit::FINAL),
            (self.control_plane_independent, bit::CONTROL_PLANE_INDEPENDENT),
            (self.demand, bit::DEMAND),
        ];
        let flags = flags.into_iter().filter(|(set, _)| *set).fold(0, |all, (_, bit)| all | bit);
        let first = VERSION << 5 | self.diagnostic.value();
        let [m0, m1, m2, m3] = self.my_discriminator.get().to_be_bytes();
        let yours = self.your_discriminator.map_or(0, Discriminator::get);
        let [y0, y1, y2, y3] = yours.to_be_bytes();
        let [t0, t1, t2, t3] = self.desired_min_tx.0.to_be_bytes();
        let [r0, r1, r2, r3] = self.required_min_rx.0.to_be_bytes();
        let [e0, e1, e2, e3] = self.required_min_echo_rx.0.to_be_bytes();
        let second = (self.state as u8) << 6 | flags;
        [
            first,
            second,
            self.detect_mult.get(),
            LENGTH,
            m0,
            m1,
            m2,
            m3,
            y0,
            y1,
            y2,
            y3,
            t0,
            t1,
            t2,
            t3,
            r0,
            r1,
            r2,
            r3,
            e0,
            e1,
            e2,
            e3,
        ]
    }

    /// What its receiver finds its session by.
    pub const fn selector(&self) -> Selector {
        match self.your_discriminator {
            Some(discriminator) => Selector::Discriminator(discriminator),
            None => Selector::Addresses,
        }
    }
}

/// [`LEN`] as the packet has it.
const LENGTH: u8 = 24;

/// The bits of the second byte below Sta.
mod bit {
    pub(super) const POLL: u8 = 1 << 5;
    pub(super) const FINAL: u8 = 1 << 4;
    pub(super) const CONTROL_PLANE_INDEPENDENT: u8 = 1 << 3;
    pub(super) const AUTHENTICATED: u8 = 1 << 2;
    pub(super) const DEMAND: u8 = 1 << 1;
    pub(super) const MULTIPOINT: u8 = 1;
}

#[cfg(test)]
pub(crate) mod tests;
