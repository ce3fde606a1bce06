//! What one boot of a kernel has measured, as it is handed on to the report of the whole run.

use serde::{Deserialize, Serialize};

use super::rival::Keeper;
use crate::bench::report::{Goal, Line, Unit};

/// Samples of one boot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// The kernel's release, and the version of ipvsadm, which tells it only where there is ip_vs.
    pub kernel: String,
    /// A line for each thing that was measured, as far as it was.
    pub lines: Vec<Line>,
    /// What could not be measured.
    pub troubles: Vec<String>,
}

/// What is measured of one program in one row.
#[derive(Debug)]
pub(super) struct Subject<'a> {
    part: &'a mut Part,
    what: &'a str,
    keeper: Keeper,
}

impl Part {
    /// Samples of `keeper`, to which `what` is done.
    pub(super) const fn of<'a>(&'a mut self, what: &'a str, keeper: Keeper) -> Subject<'a> {
        Subject { part: self, what, keeper }
    }
}

impl Subject<'_> {
    /// Takes a number of nanoseconds in.
    pub(super) fn ns(&mut self, measure: &str, goal: Goal, value: u64) {
        self.sample(measure, Unit::Ns, goal, value);
    }

    /// Takes a number of bytes in.
    pub(super) fn bytes(&mut self, measure: &str, goal: Goal, value: u64) {
        self.sample(measure, Unit::Bytes, goal, value);
    }

    /// Takes a number in.
    pub(super) fn count(&mut self, measure: &str, goal: Goal, value: u64) {
        self.sample(measure, Unit::Count, goal, value);
    }

    fn sample(&mut self, measure: &str, unit: Unit, goal: Goal, value: u64) {
        let lines = &mut self.part.lines;
        let known = |line: &Line| line.what == self.what && line.measure == measure;
        let index = lines.iter().position(known).unwrap_or_else(|| {
            let (what, measure) = (self.what.to_owned(), measure.to_owned());
            let (ours, theirs) = (Vec::new(), Vec::new());
            lines.push(Line { what, measure, unit, ours, theirs, goal });
            lines.len() - 1
        });
        if let Some(line) = lines.get_mut(index) {
            match self.keeper {
                Keeper::Holdfast => line.ours.push(value),
                Keeper::Keepalived => line.theirs.push(value),
            }
        }
    }
}
