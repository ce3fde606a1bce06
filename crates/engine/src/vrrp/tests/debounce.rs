//! When a reading counts.

use proptest::prelude::*;

use super::*;
use crate::vrrp::{Debounce, Level, Reading};

fn debounce(up_delay: u64, down_delay: u64) -> Debounce {
    Debounce::new(at(0), SECOND * to_u32(up_delay), SECOND * to_u32(down_delay))
}

fn to_u32(number: u64) -> u32 {
    u32::try_from(number).unwrap()
}

#[test]
fn the_first_reading_counts_at_once() {
    for reading in [Reading::up("carrier"), Reading::down("no carrier"), Reading::value(3, "3")] {
        let mut debounce = debounce(5, 5);
        assert_eq!(debounce.counts().level(), Level::Unknown);
        assert!(debounce.handle(at(1), reading.clone()));
        assert_eq!((debounce.counts(), debounce.since()), (&reading, at(1)));
        assert_eq!(debounce.poll_timeout(), None);
    }
}

#[test]
fn a_flap_shorter_than_the_delay_never_counts() {
    let mut debounce = debounce(3, 5);
    debounce.handle(at(0), Reading::up("carrier"));
    assert!(!debounce.handle(at(10), Reading::down("no carrier")));
    assert_eq!(debounce.poll_timeout(), Some(at(15)));
    assert!(!debounce.handle_timeout(at(14)));
    assert!(!debounce.handle(at(14), Reading::up("carrier")));
    assert_eq!((debounce.counts().level(), debounce.poll_timeout()), (Level::Up, None));
}

#[test]
fn what_lasts_counts_from_when_it_was_due_however_late_that_is_seen() {
    let mut debounce = debounce(3, 5);
    debounce.handle(at(0), Reading::up("carrier"));
    debounce.handle(at(10), Reading::down("no carrier"));
    // The same again does not begin anew.
    debounce.handle(at(12), Reading::down("no carrier, still"));
    assert!(debounce.handle_timeout(at(20)));
    assert_eq!(debounce.counts(), &Reading::down("no carrier, still"));
    assert_eq!(debounce.since(), at(15));
    // It was down for long enough before it came up, so that both changes happened.
    debounce.handle(at(30), Reading::up("carrier"));
    assert!(debounce.handle(at(40), Reading::down("no carrier")));
    assert_eq!((debounce.counts().level(), debounce.since()), (Level::Up, at(33)));
    assert_eq!(debounce.poll_timeout(), Some(at(45)));
}

#[test]
fn a_check_that_could_not_be_made_is_a_doubt_and_no_failure() {
    let mut debounce = debounce(0, 0);
    assert!(!debounce.handle(at(0), Reading::unknown("no such user: web")));
    assert_eq!(debounce.counts().sentence(), "no such user: web");
    debounce.handle(at(1), Reading::up("exit status 0"));
    assert!(!debounce.handle(at(2), Reading::unknown("too many open files")));
    assert_eq!(debounce.counts(), &Reading::up("exit status 0"));
    assert_eq!(debounce.doubt(), Some("too many open files"));
    debounce.handle(at(3), Reading::up("exit status 0"));
    assert_eq!(debounce.doubt(), None);
}

#[test]
fn a_number_that_changes_without_crossing_0_counts_at_once() {
    let mut debounce = debounce(5, 5);
    debounce.handle(at(0), Reading::value(3, "3"));
    assert!(debounce.handle(at(1), Reading::value(4, "4")));
    assert_eq!(debounce.counts().level(), Level::Value(4));
}

proptest! {
    /// A level other than the first has been read without a contradiction for as long as its delay.
    #[test]
    fn nothing_counts_that_has_not_lasted(
        up_delay in 0_u64..6,
        down_delay in 0_u64..6,
        history in proptest::collection::vec((0_u64..5, any::<bool>()), 1..40),
    ) {
        let mut debounce = debounce(up_delay, down_delay);
        let mut now = 0;
        let mut readings: Vec<(u64, bool)> = Vec::new();
        for (after, up) in history {
            now += after;
            if debounce.handle_timeout(at(now)) | debounce.handle(at(now), Reading::new(
                if up { Level::Up } else { Level::Down }, "",
            )) && !readings.is_empty() {
                let counted = debounce.counts().level() == Level::Up;
                let since = debounce.since().since_start().as_secs();
                let delay = if counted { up_delay } else { down_delay };
                let others = readings.iter().filter(|(when, was)| *was != counted && *when < since);
                let last_other = others.map(|(when, _)| *when).max().unwrap_or(0);
                prop_assert!(since - last_other >= delay, "{readings:?} at {now}");
            }
            readings.push((now, up));
            prop_assert!(debounce.poll_timeout().is_none_or(|due| due > at(now)));
        }
    }
}
