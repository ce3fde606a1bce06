//! A reading that counts only when it has lasted.

use std::time::Duration;

use holdfast_time::Instant;

use super::reading::{Level, Reading, WAITS};

/// The reading that counts, and the one that will count if it lasts.
///
/// The first reading counts at once: at the start there is nothing that a delay could protect. A reading of the same level
/// replaces the sentence. One that can't say anything ([`Level::Unknown`]) changes nothing once something is known: a check that
/// could not be made is no failure of what is checked. It is kept as a doubt until the next reading.
#[derive(Clone, Debug)]
pub struct Debounce {
    up_delay: Duration,
    down_delay: Duration,
    counts: Reading,
    since: Instant,
    pending: Option<(Instant, Reading)>,
    doubt: Option<String>,
    /// It came with a reload: until it was read it keeps nobody out who takes part.
    is_new: bool,
}

impl Debounce {
    /// Nothing is known yet. `up_delay` and `down_delay` say how long a reading must last; zero = it counts at once.
    pub fn new(now: Instant, up_delay: Duration, down_delay: Duration) -> Self {
        let counts = Reading::unknown(WAITS);
        Self { up_delay, down_delay, counts, since: now, pending: None, doubt: None, is_new: false }
    }

    /// Takes a reading; true when what counts has another level now.
    pub fn handle(&mut self, now: Instant, reading: Reading) -> bool {
        // What was due before this came has lasted.
        let lasted = self.handle_timeout(now);
        lasted | self.take(now, reading)
    }

    fn take(&mut self, now: Instant, reading: Reading) -> bool {
        let known = self.counts.level() != Level::Unknown;
        if reading.level() == Level::Unknown {
            if known {
                self.doubt = Some(reading.sentence().to_owned());
            } else {
                self.counts = reading;
            }
            return false;
        }
        self.doubt = None;
        if reading.level() == self.counts.level() {
            self.pending = None;
            self.counts = reading;
            return false;
        }
        let (was_up, is_up) = (self.counts.level().is_up(), reading.level().is_up());
        let delay = match is_up {
            _ if was_up == is_up || !known => Duration::ZERO,
            Some(true) => self.up_delay,
            Some(false) | None => self.down_delay,
        };
        if delay.is_zero() {
            return self.settle(now, reading);
        }
        // The delay counts from when the level changed, not from the last reading that says so.
        let due = match &self.pending {
            Some((due, waiting)) if waiting.level().is_up() == is_up => *due,
            Some(_) | None => now + delay,
        };
        self.pending = Some((due, reading));
        false
    }

    /// Lets the pending reading count if it has lasted; true when the level changed.
    pub fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.pending.take() {
            Some((due, reading)) if due <= now => self.settle(due, reading),
            waiting => {
                self.pending = waiting;
                false
            }
        }
    }

    /// When [`Debounce::handle_timeout`] has something to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.pending.as_ref().map(|(due, _)| *due)
    }

    /// It came with a reload.
    pub(super) const fn set_new(&mut self) {
        self.is_new = true;
    }

    /// Whether it came with a reload and was not read yet.
    pub fn is_new(&self) -> bool {
        self.is_new && self.counts.level() == Level::Unknown
    }

    /// The reading that counts.
    pub const fn counts(&self) -> &Reading {
        &self.counts
    }

    /// Since when its level counts.
    pub const fn since(&self) -> Instant {
        self.since
    }

    /// The reading that will count when it lasts, and when.
    pub fn pending(&self) -> Option<(Instant, &Reading)> {
        self.pending.as_ref().map(|(due, reading)| (*due, reading))
    }

    /// Why the last reading could not say anything.
    pub fn doubt(&self) -> Option<&str> {
        self.doubt.as_deref()
    }

    /// Takes other delays over for what comes in from now on; what is pending keeps its time.
    pub const fn set_delays(&mut self, up_delay: Duration, down_delay: Duration) {
        self.up_delay = up_delay;
        self.down_delay = down_delay;
    }

    fn settle(&mut self, at: Instant, reading: Reading) -> bool {
        self.pending = None;
        let changed = self.counts.level() != reading.level();
        self.counts = reading;
        if changed {
            self.since = at;
        }
        changed
    }
}
