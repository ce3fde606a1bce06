//! The two deadlines, and what they are made of.

use std::num::NonZeroU8;
use std::time::Duration;

use holdfast_time::Instant;

use super::Session;
use crate::wire::{Micros, State};

impl Session {
    /// The interval between periodic packets before the jitter (§6.8.2): the larger of ours and what the peer can take; none while
    /// none are to be sent.
    pub fn transmit_interval(&self) -> Option<Duration> {
        let demanded = self.remote.demand
            && self.state == State::Up
            && self.remote.state == State::Up
            && !self.poll.is_running();
        let unwanted = self.remote.min_rx == Micros::new(0);
        if self.must_be_silent() || unwanted || demanded {
            return None;
        }
        Some(self.effective_tx.max(self.remote.min_rx).duration())
    }

    /// How long the peer may be silent (§6.8.4); none while it is not known.
    pub fn detection_time(&self) -> Option<Duration> {
        self.heard?;
        let interval = self.effective_rx.max(self.remote.min_tx).duration();
        Some(interval.saturating_mul(self.remote.detect_mult.get().into()))
    }

    /// When the next periodic packet is due. Counted from the last one, so that a change of either interval counts at once.
    pub(super) fn transmit_deadline(&self) -> Option<Instant> {
        let interval = self.transmit_interval()?;
        Some(match self.sent {
            Some((at, _)) => at + self.jitter.shorten(interval),
            None => self.started,
        })
    }

    /// When the peer has been silent for too long; none while it is not known.
    pub fn detection_deadline(&self) -> Option<Instant> {
        Some(self.heard? + self.detection_time()?)
    }
}

/// §6.8.7: every interval is shortened by 0 to 25 %, by 10 to 25 % where one lost packet is one too many (bfd.DetectMult 1).
#[derive(Clone, Debug)]
pub(super) struct Jitter {
    state: u64,
    multiplier: NonZeroU8,
    /// What is left of the current interval, in thousandths.
    permille: u32,
}

impl Jitter {
    const LEAST: u32 = 750;

    pub(super) fn new(seed: u64, multiplier: NonZeroU8) -> Self {
        let mut jitter = Self { state: seed, multiplier, permille: Self::LEAST };
        jitter.draw();
        jitter
    }

    pub(super) const fn set_multiplier(&mut self, multiplier: NonZeroU8) {
        self.multiplier = multiplier;
        if self.permille > self.most() {
            self.permille = self.most();
        }
    }

    const fn most(&self) -> u32 {
        if self.multiplier.get() == 1 { 900 } else { 1000 }
    }

    /// Draws anew, for the next interval (SplitMix64).
    pub(super) fn draw(&mut self) {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        let span = u64::from(self.most() - Self::LEAST + 1);
        self.permille = Self::LEAST + u32::try_from(mixed % span).unwrap_or(0);
    }

    /// The interval as it is kept this time.
    pub(super) fn shorten(&self, interval: Duration) -> Duration {
        interval.saturating_mul(self.permille) / 1000
    }
}
