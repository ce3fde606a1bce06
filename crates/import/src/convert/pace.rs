//! How often a check runs, and how many failures count: inherited from the virtual server by the real server, from that by the check.

use super::Conversion;
use super::values::{duration, number, time};
use crate::ledger::Id;
use crate::tree::Statement;
use crate::yaml::{Map, NOWHERE, plain};

/// What one level says; times in microseconds.
#[derive(Clone, Debug, Default)]
pub(super) struct Pace {
    connect_timeout: Option<(u64, Id)>,
    retry: Option<(i64, Id)>,
    delay_before_retry: Option<(u64, Id)>,
    warmup: Option<(u64, Id)>,
    delay_loop: Option<(u64, Id)>,
}

/// What a kind of check does where nothing is said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Defaults {
    pub(super) retry: i64,
    /// Seconds; none: as long as `delay_loop`.
    pub(super) before_retry: Option<u64>,
    /// `misc_timeout`: as long as `delay_loop` where it is not said.
    pub(super) own_timeout: bool,
}

impl Pace {
    /// Reads a statement of any level; false where it is about something else.
    pub(super) fn read(&mut self, statement: &Statement, conversion: &mut Conversion<'_>) -> bool {
        const DAY: u64 = 86_400;
        let id = statement.id;
        let ledger = &mut *conversion.ledger;
        match statement.keyword() {
            "connect_timeout" | "misc_timeout" => {
                self.connect_timeout = time(statement, 1, DAY, ledger).map(|time| (time, id));
            }
            "retry" | "nb_get_retry" => {
                self.retry = number(statement, 1, 0..=254, ledger).map(|retry| (retry, id));
            }
            "delay_before_retry" => {
                self.delay_before_retry = time(statement, 1, DAY, ledger).map(|time| (time, id));
            }
            "warmup" => self.warmup = time(statement, 1, DAY, ledger).map(|time| (time, id)),
            "delay_loop" => {
                self.delay_loop = time(statement, 1, DAY, ledger).map(|time| (time, id));
            }
            _ => return false,
        }
        ledger.exact(id);
        true
    }

    /// This level where it says something, else the one above.
    pub(super) fn under(&self, above: &Self) -> Self {
        Self {
            connect_timeout: self.connect_timeout.or(above.connect_timeout),
            retry: self.retry.or(above.retry),
            delay_before_retry: self.delay_before_retry.or(above.delay_before_retry),
            warmup: self.warmup.or(above.warmup),
            delay_loop: self.delay_loop.or(above.delay_loop),
        }
    }

    /// A level whose timeout counts for this check alone (`misc_timeout`).
    pub(super) const fn without_timeout(mut self) -> Self {
        self.connect_timeout = None;
        self
    }

    /// The keys beside the check that the statement `block` is.
    pub(super) fn write(
        &self,
        map: &mut Map,
        defaults: Defaults,
        block: Id,
        conversion: &mut Conversion<'_>,
    ) {
        let ledger = &mut *conversion.ledger;
        let (wanted, id) = self.delay_loop.unwrap_or((60_000_000, usize::MAX));
        let interval = wanted.clamp(10_000, 3_600_000_000);
        if interval != wanted {
            ledger.differs(id, format!("an interval is 10ms to 1h: {} here", duration(interval)));
        }
        map.set("interval", plain(duration(interval)), NOWHERE);
        let retry = self.retry.map_or(defaults.retry, |(retry, _)| retry);
        let before = defaults.before_retry.map_or(interval, |seconds| seconds * 1_000_000);
        let before = self.delay_before_retry.map_or(before, |(time, _)| time).max(10_000);
        if retry > 0 && before < interval {
            map.set("fast_interval", plain(duration(before)), NOWHERE);
        } else if let Some((_, id)) = self.delay_before_retry.filter(|_| before > interval) {
            ledger.differs(id, "a try again comes after the interval at the latest");
        }
        let own = if defaults.own_timeout { interval } else { 5_000_000 };
        let timeout = self.connect_timeout.map_or(own, |(timeout, _)| timeout).max(1000);
        // A run that may last as long as the interval would still be going when the next is due.
        let most = (interval / 10 * 9).max(1000);
        if timeout > most {
            let id = self.connect_timeout.map_or(block, |(_, id)| id);
            let note =
                format!("a run takes less than the interval: {} at most here", duration(most));
            ledger.differs(id, note);
        }
        map.set("timeout", plain(duration(timeout.min(most))), NOWHERE);
        map.set("rise", plain(1), NOWHERE);
        map.set("fall", plain(retry + 1), NOWHERE);
        if let Some((warmup, _)) = self.warmup {
            map.set("spread", plain(duration(warmup.min(3_600_000_000))), NOWHERE);
        }
    }
}
