//! What one boot of a kernel has measured, as it is handed on to the report of the whole run.

use serde::{Deserialize, Serialize};

use super::rival::Keeper;
use crate::bench::report::{Goal, Line, Unit};

/// Samples of one boot.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// The kernel's release.
    pub kernel: String,
    /// A line for each thing that was measured, as far as it was.
    pub lines: Vec<Line>,
    /// What could not be measured.
    pub troubles: Vec<String>,
}

impl Part {
    /// Takes a sample in.
    pub(super) fn sample(
        &mut self,
        what: &str,
        measure: &str,
        unit: Unit,
        goal: Goal,
        keeper: Keeper,
        value: u64,
    ) {
        let known = self.lines.iter().position(|line| line.what == what && line.measure == measure);
        let index = known.unwrap_or_else(|| {
            self.lines.push(Line {
                what: what.to_owned(),
                measure: measure.to_owned(),
                unit,
                ours: Vec::new(),
                theirs: Vec::new(),
                goal,
            });
            self.lines.len() - 1
        });
        if let Some(line) = self.lines.get_mut(index) {
            match keeper {
                Keeper::Holdfast => line.ours.push(value),
                Keeper::Keepalived => line.theirs.push(value),
            }
        }
    }
}
