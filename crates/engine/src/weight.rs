//! The weight of a real server in the kernel: a product of factors.
//!
//! Each factor has one source and is kept by itself; the product is computed anew each time. Nothing is ever added to a weight
//! that came out before, so no sequence of changes can leave a rest behind.
//!
//! | factor     | is                          | comes from                                               |
//! |------------|-----------------------------|----------------------------------------------------------|
//! | configured | 0 to INT_MAX                | the file, `holdfast server add --weight`, `weight W`, and what checks report in its place |
//! | share      | 0 to 1000 %                 | `holdfast server weight … 50%`                           |
//! | serves     | 0 or 1                      | the checks, and whether the operator has it take clients |
//! | ramp       | 10, 20, … 100 %             | `slow_start`, after the server came up                   |
//! | feedback   | 0 to 1000 %                 | what an agent on the server asks for                      |
//!
//! The kernel takes whole numbers, and a weight of 1 can't be a tenth of itself. While a service has `slow_start`, all its weights
//! are therefore a hundred times what is configured ([`holdfast_config::Service::weight_scale`]), ramping or not: ratios stay exact, and no server's weight changes
//! because another one comes up. (Between servers at rest the factor is common, and `wrr` divides by the common divisor.)
//!
//! A check that reports a weight (an exit status, a number in a file) counts by its difference: the first factor is what is configured +
//! the sum of (reported − configured) over these checks, never below 0 (keepalived's `misc_dynamic`). Of one such check that is what
//! it reports.
//!
//! Rules of the product: it is exact before it is rounded; it is rounded to the nearest whole number, a half up; it is 0 only
//! where a factor is; it is INT_MAX where it would be more.

use ipvs_ctl::model::Destination;

/// The greatest share that an operator can give, in percent.
pub const SHARE_MAX: u32 = 1000;

/// All of it, in percent.
pub(crate) const WHOLE: u32 = 100;

/// What a weight is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Factors {
    /// The configured weight, 0..=[`Destination::WEIGHT_MAX`].
    pub(crate) configured: u32,
    /// The operator's share in percent, 0..=[`SHARE_MAX`].
    pub(crate) share: u32,
    /// Whether the server takes clients at all.
    pub(crate) serves: bool,
    /// How far a slow start has come, in percent, 1..=[`WHOLE`].
    pub(crate) ramp: u32,
    /// What agents ask for in percent, 0..=[`SHARE_MAX`].
    pub(crate) feedback: u32,
}

/// The configured weight as checks have it that report weights: what is configured, and the differences of all that they report.
pub(crate) fn reported(configured: u32, weights: impl Iterator<Item = u32>) -> u32 {
    let configured = i64::from(configured);
    let shifted = weights.fold(configured, |sum, weight| {
        sum.saturating_add(i64::from(weight).saturating_sub(configured))
    });
    u32::try_from(shifted.clamp(0, i64::from(Destination::WEIGHT_MAX))).unwrap_or_default()
}

impl Factors {
    /// The product in units of 1/`scale`, as the kernel gets it.
    pub(crate) fn weight(self, scale: u32) -> u32 {
        /// Three of the factors are percentages.
        const DIVISOR: u128 = 100 * 100 * 100;
        if !self.serves {
            return 0;
        }
        let percentages = u64::from(self.share) * u64::from(self.ramp);
        let factors = [u64::from(self.configured), u64::from(self.feedback), u64::from(scale)];
        // 31 bits, 10, 7, 10 and 7: they fit.
        let product = factors.into_iter().map(u128::from).product::<u128>();
        let product = product.saturating_mul(u128::from(percentages));
        if product == 0 {
            return 0;
        }
        let rounded = product.saturating_add(DIVISOR / 2) / DIVISOR;
        u32::try_from(rounded).unwrap_or(u32::MAX).clamp(1, Destination::WEIGHT_MAX)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The scale of a service with `slow_start`.
    const RAMP_SCALE: u32 = 100;

    fn factors() -> impl Strategy<Value = Factors> {
        let configured = prop_oneof![0..10_u32, 0..=Destination::WEIGHT_MAX];
        (configured, 0..=SHARE_MAX, any::<bool>(), 1..=WHOLE, 0..=SHARE_MAX).prop_map(
            |(configured, share, serves, ramp, feedback)| Factors {
                configured,
                share,
                serves,
                ramp,
                feedback,
            },
        )
    }

    fn scale() -> impl Strategy<Value = u32> {
        prop::sample::select(vec![1, RAMP_SCALE])
    }

    #[test]
    fn the_examples_of_the_documentation() {
        let at = |configured, share, ramp| Factors {
            configured,
            share,
            serves: true,
            ramp,
            feedback: WHOLE,
        };
        for (what, factors, scale, expected) in [
            ("as configured", at(5, 100, 100), 1, 5),
            ("half of 5 is rounded up", at(5, 50, 100), 1, 3),
            ("never 0 by rounding", at(1, 1, 100), 1, 1),
            ("a tenth of 1, scaled", at(1, 100, 10), RAMP_SCALE, 10),
            ("half of a tenth of 1, scaled", at(1, 50, 10), RAMP_SCALE, 5),
            ("a share of nothing", at(5, 0, 100), 1, 0),
            ("configured as 0", at(0, 100, 100), 1, 0),
            ("no more than the kernel takes", at(i32::MAX as u32, 1000, 100), 100, i32::MAX as u32),
        ] {
            assert_eq!(factors.weight(scale), expected, "{what}");
        }
        assert_eq!(Factors { serves: false, ..at(5, 100, 100) }.weight(1), 0);
        assert_eq!(Factors { feedback: 75, ..at(8, 50, 100) }.weight(1), 3, "an agent's part");
        assert_eq!(Factors { feedback: 0, ..at(8, 50, 100) }.weight(1), 0);
    }

    #[test]
    fn weights_that_checks_report_count_by_their_difference() {
        for (configured, weights, expected) in [
            (5, vec![], 5),
            (5, vec![8], 8),
            (5, vec![0], 0),
            (5, vec![8, 4], 7),
            (5, vec![0, 0], 0),
            (0, vec![3, 4], 7),
            (i32::MAX as u32, vec![253], 253),
            (1, vec![i32::MAX as u32, 5], i32::MAX as u32),
        ] {
            assert_eq!(reported(configured, weights.clone().into_iter()), expected, "{weights:?}");
        }
    }

    proptest! {
        /// The reference: fractions of arbitrary size, rounded once.
        #[test]
        fn it_is_the_rounded_product_within_the_kernels_range(factors in factors(), scale in scale()) {
            let Factors { configured, share, serves, ramp, feedback } = factors;
            let (numerator, divisor) = (
                u128::from(configured)
                    * u128::from(share)
                    * u128::from(ramp)
                    * u128::from(scale)
                    * u128::from(feedback),
                1_000_000_u128,
            );
            let (whole, rest) = (numerator / divisor, numerator % divisor);
            let nearest = if rest * 2 >= divisor { whole + 1 } else { whole };
            let expected = match nearest {
                _ if !serves || numerator == 0 => 0,
                0 => 1,
                more => more.min(u128::from(Destination::WEIGHT_MAX)),
            };
            prop_assert_eq!(u128::from(factors.weight(scale)), expected);
        }

        #[test]
        fn more_of_a_factor_is_never_less_weight(factors in factors(), scale in scale()) {
            let now = factors.weight(scale);
            for more in [
                Factors { configured: (factors.configured + 1).min(Destination::WEIGHT_MAX), ..factors },
                Factors { share: factors.share + 1, ..factors },
                Factors { ramp: (factors.ramp + 1).min(WHOLE), ..factors },
                Factors { feedback: factors.feedback + 1, ..factors },
            ] {
                prop_assert!(more.weight(scale) >= now, "{:?} after {:?}", more, factors);
            }
        }

        /// What `slow_start` promises: servers at rest stand to each other as configured.
        #[test]
        fn the_scale_keeps_ratios(a in 0..1_000_u32, b in 0..1_000_u32) {
            let at = |configured| Factors {
                configured,
                share: WHOLE,
                serves: true,
                ramp: WHOLE,
                feedback: WHOLE,
            };
            prop_assert_eq!(at(a).weight(RAMP_SCALE) * b, at(b).weight(RAMP_SCALE) * a);
        }
    }
}
