//! What one boot of a kernel has measured, as it is handed on to the report of the whole run.

use std::fs;

use serde::{Deserialize, Serialize};

use super::rival::Keeper;
use crate::bench::machine;
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
pub(in crate::bench) struct Subject<'a> {
    part: &'a mut Part,
    what: &'a str,
    keeper: Keeper,
}

impl Part {
    /// An empty one of the kernel that this process runs under.
    pub(in crate::bench) fn of_this_kernel() -> Self {
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        // Without ip_vs it says that instead of its version.
        let kernel = format!("{}, {}", release.trim(), machine::version("/usr/sbin/ipvsadm"));
        Self { kernel, ..Self::default() }
    }

    /// Samples of `keeper`, to which `what` is done.
    pub(in crate::bench) const fn of<'a>(
        &'a mut self,
        what: &'a str,
        keeper: Keeper,
    ) -> Subject<'a> {
        Subject { part: self, what, keeper }
    }
}

impl Subject<'_> {
    /// Takes a number of nanoseconds in.
    pub(in crate::bench) fn ns(&mut self, measure: &str, goal: Goal, value: u64) {
        self.sample(measure, Unit::Ns, goal, value);
    }

    /// Takes a number of bytes in.
    pub(in crate::bench) fn bytes(&mut self, measure: &str, goal: Goal, value: u64) {
        self.sample(measure, Unit::Bytes, goal, value);
    }

    /// Takes a number in.
    pub(in crate::bench) fn count(&mut self, measure: &str, goal: Goal, value: u64) {
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
