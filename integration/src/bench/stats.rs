//! Medians and their like of what was measured, in whole numbers.

/// The number at `permille` of a sorted list: the least one that so many thousandths of all don't exceed (nearest rank).
fn rank(sorted: &[u64], permille: usize) -> Option<u64> {
    let rank = (sorted.len() * permille).div_ceil(1000).max(1);
    sorted.get(rank - 1).copied()
}

/// What is said of a series of measurements.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many there were.
    pub count: usize,
    /// The smallest.
    pub min: u64,
    /// The one in the middle; of an even number the mean of the two in the middle.
    pub median: u64,
    /// The one that 99 % don't exceed (nearest rank): of fewer than 100 the greatest.
    pub p99: u64,
    /// The greatest.
    pub max: u64,
}

impl Summary {
    /// Of these, in whatever order; none of no measurement.
    pub fn of(samples: &[u64]) -> Option<Self> {
        let mut sorted = samples.to_vec();
        sorted.sort_unstable();
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let upper = *sorted.get(middle)?;
        let lower = if sorted.len().is_multiple_of(2) { *sorted.get(middle - 1)? } else { upper };
        let median = lower + (upper - lower) / 2;
        Some(Self { count: sorted.len(), min, median, p99: rank(&sorted, 990)?, max })
    }
}

/// `a / b` in thousandths, rounded; none when `b` is 0.
pub fn permille(a: u64, b: u64) -> Option<u64> {
    let (a, b) = (u128::from(a), u128::from(b));
    let rounded = (a * 1000 + b / 2).checked_div(b)?;
    u64::try_from(rounded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_two() {
        let odd = Summary::of(&[9, 1, 5]).unwrap();
        assert_eq!((odd.count, odd.min, odd.median, odd.max), (3, 1, 5, 9));
        let even = Summary::of(&[10, 1, 4, 2]).unwrap();
        assert_eq!((even.min, even.median, even.max), (1, 3, 10));
        assert_eq!(Summary::of(&[u64::MAX, u64::MAX]).unwrap().median, u64::MAX);
        assert_eq!(Summary::of(&[]), None);
    }

    #[test]
    fn the_99th_percentile_is_a_sample_and_needs_a_hundred() {
        let hundred: Vec<u64> = (1..=100).collect();
        assert_eq!(Summary::of(&hundred).unwrap().p99, 99);
        let fewer: Vec<u64> = (1..=99).collect();
        assert_eq!(Summary::of(&fewer).unwrap().p99, 99, "the greatest");
        let two_hundred: Vec<u64> = (1..=200).rev().collect();
        assert_eq!(Summary::of(&two_hundred).unwrap().p99, 198);
        assert_eq!(Summary::of(&[7]).unwrap().p99, 7);
    }

    #[test]
    fn a_ratio_is_rounded_and_never_divides_by_zero() {
        assert_eq!(permille(1, 3), Some(333));
        assert_eq!(permille(2, 3), Some(667));
        assert_eq!(permille(u64::MAX, u64::MAX), Some(1000));
        assert_eq!(permille(1, 0), None);
    }
}
