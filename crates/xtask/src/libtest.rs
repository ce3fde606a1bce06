//! What Rust's test harness prints at the end of each test binary.

use std::{fmt, ops::AddAssign};

/// How many tests did what.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    /// Ignored by the harness, or left out for want of something, and not what a filter left out.
    pub(crate) skipped: u64,
}

impl Tally {
    /// The sum over all `test result:` lines of an output; `None` if there is none, which is a harness that died.
    ///
    /// A doctest run has one line for each crate.
    pub(crate) fn of(output: &str) -> Option<Self> {
        let mut results = output.lines().filter_map(Self::of_line).peekable();
        results.peek()?;
        let mut sum = Self::default();
        results.for_each(|one| sum += one);
        Some(sum)
    }

    /// `test result: ok. 12 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s`
    fn of_line(line: &str) -> Option<Self> {
        // Behind what a test left on the line without a newline.
        let (_, counts) = line.split_once("test result: ")?;
        let (_, counts) = counts.split_once(". ")?;
        let count = |word: &str| {
            counts.split(';').find_map(|part| {
                let (number, what) = part.trim().split_once(' ')?;
                (what == word).then(|| number.parse().ok()).flatten()
            })
        };
        Some(Self {
            passed: count("passed")?,
            failed: count("failed")?,
            skipped: count("ignored")?,
        })
    }

    /// How many tests ran.
    pub(crate) const fn executed(self) -> u64 {
        self.passed + self.failed
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        if self.skipped > 0 {
            write!(f, ", {} skipped", self.skipped)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_line_is_counted() {
        let output = "\nrunning 3 tests\ntest a ... ok\n\n\
            test result: FAILED. 1 passed; 2 failed; 3 ignored; 0 measured; 4 filtered out; finished in 0.01s\n";
        let tally = Tally::of(output).unwrap();
        assert_eq!(tally, Tally { passed: 1, failed: 2, skipped: 3 });
        assert_eq!(tally.executed(), 3);
    }

    #[test]
    fn several_lines_are_summed() {
        let line = "test result: ok. 5 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 1s\n";
        assert_eq!(Tally::of(&line.repeat(3)), Some(Tally { passed: 15, failed: 0, skipped: 3 }));
    }

    #[test]
    fn a_line_may_begin_with_what_a_test_left() {
        let line =
            "oops: test result: ok. 5 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!(Tally::of(line), Some(Tally { passed: 5, failed: 0, skipped: 0 }));
    }

    #[test]
    fn no_result_is_no_result() {
        for output in [
            "",
            "running 3 tests\ntest a ... ok\n",
            "test result: ok. many passed",
            "test result: ",
        ] {
            assert_eq!(Tally::of(output), None, "{output:?}");
        }
    }

    #[test]
    fn skipped_is_told_only_when_there_are_any() {
        assert_eq!(Tally { passed: 2, failed: 1, skipped: 0 }.to_string(), "2 passed, 1 failed");
        assert_eq!(
            Tally { passed: 2, failed: 0, skipped: 1 }.to_string(),
            "2 passed, 0 failed, 1 skipped"
        );
    }
}
