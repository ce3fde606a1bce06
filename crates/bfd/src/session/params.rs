//! What a session is configured with.

use std::num::NonZeroU8;
use std::time::Duration;

use thiserror::Error;

use crate::wire::{Discriminator, Micros};

/// The least interval that is said while a session is not Up (§6.8.3): a second.
pub const SLOW: Micros = Micros::new(1_000_000);

/// The longest interval that can be configured: what 32 bits of microseconds hold.
const LONGEST: Duration = Micros::new(u32::MAX).duration();

/// The parameters of a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    discriminator: Discriminator,
    desired_min_tx: Micros,
    required_min_rx: Micros,
    detect_mult: NonZeroU8,
    passive: bool,
}

impl Params {
    /// Parameters of an active session with bfd.LocalDiscr `discriminator`, which no other session of the host has,
    /// bfd.DesiredMinTxInterval `min_tx`, bfd.RequiredMinRxInterval `min_rx` and bfd.DetectMult `multiplier`.
    ///
    /// # Errors
    /// An interval is shorter than a microsecond or longer than 4294 s.
    pub fn new(
        discriminator: Discriminator,
        min_tx: Duration,
        min_rx: Duration,
        multiplier: NonZeroU8,
    ) -> Result<Self, InvalidParams> {
        let interval = |duration: Duration| {
            if duration.as_micros() == 0 || duration > LONGEST {
                return Err(InvalidParams::Interval { interval: duration });
            }
            Ok(Micros::from_duration(duration))
        };
        Ok(Self {
            discriminator,
            desired_min_tx: interval(min_tx)?,
            required_min_rx: interval(min_rx)?,
            detect_mult: multiplier,
            passive: false,
        })
    }

    /// Parameters with intervals of a second, which are always valid.
    pub const fn slow(discriminator: Discriminator, multiplier: NonZeroU8) -> Self {
        Self {
            discriminator,
            desired_min_tx: SLOW,
            required_min_rx: SLOW,
            detect_mult: multiplier,
            passive: false,
        }
    }

    /// The same in the passive role (§6.1), or not: it sends nothing before it has heard the peer.
    #[must_use]
    pub const fn with_passive(mut self, passive: bool) -> Self {
        self.passive = passive;
        self
    }

    /// bfd.LocalDiscr.
    pub const fn discriminator(&self) -> Discriminator {
        self.discriminator
    }

    /// bfd.DesiredMinTxInterval as configured; what is said is [`SLOW`] at least while the session is not Up.
    pub const fn desired_min_tx(&self) -> Micros {
        self.desired_min_tx
    }

    /// bfd.RequiredMinRxInterval.
    pub const fn required_min_rx(&self) -> Micros {
        self.required_min_rx
    }

    /// bfd.DetectMult.
    pub const fn detect_mult(&self) -> NonZeroU8 {
        self.detect_mult
    }

    /// Whether it has the passive role.
    pub const fn is_passive(&self) -> bool {
        self.passive
    }

    /// These as `other` has them, but for the discriminator.
    pub(super) const fn renewed(self, other: &Self) -> Self {
        Self { discriminator: self.discriminator, ..*other }
    }
}

/// Why parameters are not a session's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidParams {
    /// An interval that the packet can't say, or that would never rest.
    #[error("an interval of {interval:?} is none for BFD: 1 µs to 4294 s")]
    Interval {
        /// The interval.
        interval: Duration,
    },
}
