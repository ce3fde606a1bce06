//! Trackers, standings, groups and succession alone; what groups do together is in `tests/groups`.

mod debounce;
mod fate;
mod group;
mod standing;
mod succession;

use std::time::Duration;

use holdfast_config::Name;
use holdfast_time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn name(text: &str) -> Name {
    text.to_owned().try_into().unwrap()
}

/// So many seconds after the start.
fn at(seconds: u64) -> Instant {
    Instant::from_start(SECOND * u32::try_from(seconds).unwrap())
}
