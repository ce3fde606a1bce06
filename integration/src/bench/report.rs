//! The results: lines with both programs side by side as a Markdown table, and every sample.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ipvs::Part;
use super::machine;
use super::stats::{Summary, permille};

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unit {
    /// Nanoseconds.
    Ns,
    /// Bytes.
    Bytes,
    /// Things.
    Count,
}

/// What should be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Goal {
    /// Nothing is promised.
    None,
    /// The median is no further from the bound than so many thousandths of it.
    Near {
        /// The bound.
        bound: u64,
        /// How far off, in thousandths.
        permille: u64,
    },
    /// The median is at most this.
    Median(u64),
    /// 99 % are at most this.
    P99(u64),
    /// None is more than this.
    Max(u64),
    /// The median is at most so many thousandths of the other program's.
    Ratio(u64),
}

/// One line of the table.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Line {
    /// What was done.
    pub what: String,
    /// What was measured of it.
    pub measure: String,
    /// In which unit.
    pub unit: Unit,
    /// This daemon's samples.
    pub ours: Vec<u64>,
    /// The other program's; none where it can't do such a thing.
    pub theirs: Vec<u64>,
    /// What this daemon should reach.
    pub goal: Goal,
}

/// What a run has found.
#[derive(Clone, Debug)]
pub struct Report {
    /// Who is on the other side.
    peers: &'static str,
    machine: Vec<(&'static str, String)>,
    steal_before: u64,
    lines: Vec<Line>,
    notes: Vec<String>,
    troubles: Vec<String>,
}

/// A duration in nanoseconds.
pub fn ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

impl Report {
    /// An empty one, with the machine as it is before the run. `peers` names who is on the other side.
    pub fn new(peers: &'static str) -> Self {
        Self {
            peers,
            machine: machine::describe(),
            steal_before: machine::steal_ticks(),
            lines: Vec::new(),
            notes: Vec::new(),
            troubles: Vec::new(),
        }
    }

    /// Takes a line in.
    pub(super) fn line(&mut self, line: Line) {
        self.lines.push(line);
    }

    /// Takes a sentence for the reader in.
    pub(super) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Takes note of what could not be measured.
    pub(super) fn trouble(&mut self, trouble: String) {
        machine::progress(format_args!("TROUBLE {trouble}"));
        self.troubles.push(trouble);
    }

    /// Takes in what one boot of a kernel has measured.
    pub fn take(&mut self, part: Part) {
        let kernel = ("kernel under test", part.kernel);
        if !self.machine.contains(&kernel) {
            self.machine.push(kernel);
        }
        for line in part.lines {
            let same =
                |known: &&mut Line| (&known.what, &known.measure) == (&line.what, &line.measure);
            match self.lines.iter_mut().find(same) {
                Some(known) => {
                    known.ours.extend(line.ours);
                    known.theirs.extend(line.theirs);
                }
                None => self.lines.push(line),
            }
        }
        part.troubles.into_iter().for_each(|trouble| self.trouble(trouble));
    }

    /// Whether all that was wanted was measured.
    pub const fn is_whole(&self) -> bool {
        self.troubles.is_empty()
    }

    /// The results for people, in Markdown.
    pub fn markdown(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.machine {
            text += &format!("- {key}: {value}\n");
        }
        let stolen = machine::steal_ticks().saturating_sub(self.steal_before);
        text += &format!("- stolen by the hypervisor during the run: {stolen} ticks\n\n");
        text += &format!("| what | measure | holdfast | {} | ratio | goal | |\n", self.peers);
        text.push_str("|---|---|---:|---:|---:|---|---|\n");
        for line in &self.lines {
            text.push_str(&line.row());
        }
        text.push_str(
            "\nMedian (least–greatest) × how many. Ratio: holdfast's median to the other's.\n",
        );
        for note in &self.notes {
            text += &format!("- {note}\n");
        }
        for trouble in &self.troubles {
            text += &format!("\nNOT MEASURED  {trouble}\n");
        }
        text
    }

    /// Everything for programs, every sample included.
    pub fn json(&self) -> Value {
        let lines = self.lines.iter().map(|line| {
            json!({
                "what": line.what,
                "measure": line.measure,
                "unit": format!("{:?}", line.unit).to_lowercase(),
                "holdfast": line.ours,
                "peer": line.theirs,
                "goal": format!("{:?}", line.goal),
                "reached": line.reached(),
            })
        });
        let machine: serde_json::Map<_, _> =
            self.machine.iter().map(|(key, value)| ((*key).to_owned(), json!(value))).collect();
        json!({
            "machine": machine,
            "peers": self.peers,
            "lines": lines.collect::<Vec<_>>(),
            "notes": self.notes,
            "troubles": self.troubles,
        })
    }
}

impl Line {
    fn row(&self) -> String {
        let (ours, theirs) = (Summary::of(&self.ours), Summary::of(&self.theirs));
        let ratio = ours.zip(theirs).and_then(|(a, b)| permille(a.median, b.median));
        let ratio = ratio.map_or_else(|| "–".to_owned(), ratio_text);
        let reached = match self.reached() {
            Some(true) => "reached",
            Some(false) => "**missed**",
            None => "",
        };
        let (ours, theirs) = (self.cell(ours), self.cell(theirs));
        let (what, measure, goal) = (&self.what, &self.measure, self.goal_text());
        format!("| {what} | {measure} | {ours} | {theirs} | {ratio} | {goal} | {reached} |\n")
    }

    fn cell(&self, summary: Option<Summary>) -> String {
        let Some(Summary { count, min, median, p99, max }) = summary else {
            return "–".to_owned();
        };
        let text = |value| self.unit.text(value);
        let middle = text(median);
        match (count, self.goal) {
            (1, _) => middle,
            (_, Goal::P99(_)) => {
                format!("{middle} ({}–{}, p99 {}) ×{count}", text(min), text(max), text(p99))
            }
            _ => format!("{middle} ({}–{}) ×{count}", text(min), text(max)),
        }
    }

    fn goal_text(&self) -> String {
        let text = |value| self.unit.text(value);
        match self.goal {
            Goal::None => String::new(),
            Goal::Near { bound, permille } => {
                format!("{} ± {} %", text(bound), tenths(permille))
            }
            Goal::Median(most) => format!("≤ {}", text(most)),
            Goal::P99(most) => format!("p99 ≤ {}", text(most)),
            Goal::Max(most) => format!("all ≤ {}", text(most)),
            Goal::Ratio(most) => format!("≤ {} ×", ratio_text(most)),
        }
    }

    /// Whether this daemon has reached the goal; none where there is none, or nothing to judge by.
    pub fn reached(&self) -> Option<bool> {
        let ours = Summary::of(&self.ours)?;
        match self.goal {
            Goal::None => None,
            Goal::Near { bound, permille: most } => {
                Some(permille(ours.median.abs_diff(bound), bound)? <= most)
            }
            Goal::Median(most) => Some(ours.median <= most),
            Goal::P99(most) => Some(ours.p99 <= most),
            Goal::Max(most) => Some(ours.max <= most),
            Goal::Ratio(most) => {
                let theirs = Summary::of(&self.theirs)?;
                Some(permille(ours.median, theirs.median)? <= most)
            }
        }
    }
}

impl Unit {
    /// A number with as many digits as mean something.
    fn text(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            Self::Bytes => format!("{} MiB", hundredths(value / 10_486)),
            Self::Ns if value < 100_000 => format!("{} µs", hundredths(value / 10)),
            Self::Ns if value < 100_000_000 => format!("{} ms", hundredths(value / 10_000)),
            Self::Ns => format!("{} ms", value / 1_000_000),
        }
    }
}

fn hundredths(value: u64) -> String {
    format!("{}.{:02}", value / 100, value % 100)
}

fn tenths(permille: u64) -> String {
    if permille.is_multiple_of(10) {
        (permille / 10).to_string()
    } else {
        format!("{}.{}", permille / 10, permille % 10)
    }
}

fn ratio_text(permille: u64) -> String {
    format!("{}.{:03}", permille / 1000, permille % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(ours: &[u64], theirs: &[u64], goal: Goal) -> Line {
        let (what, measure) = ("x".to_owned(), "y".to_owned());
        Line { what, measure, unit: Unit::Ns, ours: ours.into(), theirs: theirs.into(), goal }
    }

    #[test]
    fn a_goal_is_judged_by_what_it_names() {
        let near = Goal::Near { bound: 1000, permille: 20 };
        assert_eq!(line(&[1020], &[], near).reached(), Some(true));
        assert_eq!(line(&[979], &[], near).reached(), Some(false), "too early is off as well");
        assert_eq!(line(&[1, 2, 9], &[], Goal::Median(2)).reached(), Some(true));
        assert_eq!(line(&[1, 2, 9], &[], Goal::Max(2)).reached(), Some(false));
        assert_eq!(line(&[1, 2, 9], &[], Goal::P99(8)).reached(), Some(false));
        assert_eq!(line(&[5], &[10], Goal::Ratio(500)).reached(), Some(true));
        assert_eq!(line(&[5], &[], Goal::Ratio(500)).reached(), None, "nobody to compare with");
        assert_eq!(line(&[], &[], Goal::Median(5)).reached(), None);
    }

    #[test]
    fn a_row_has_both_sides() {
        let row = line(&[2_000_000, 4_000_000, 3_000_000], &[612_000_000], Goal::Median(4_000_000));
        assert_eq!(
            row.row(),
            "| x | y | 3.00 ms (2.00 ms–4.00 ms) ×3 | 612 ms | 0.005 | ≤ 4.00 ms | reached |\n"
        );
        let alone = line(&[8_200], &[], Goal::None);
        assert_eq!(alone.row(), "| x | y | 8.20 µs | – | – |  |  |\n");
    }
}
