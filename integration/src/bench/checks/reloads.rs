//! A thousand reloads of a thousand servers with a check each second: the memory of this daemon alone, and whether the checks go on in
//! their places meanwhile.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Result, bail};
use holdfast_net::now;
use holdfast_time::Instant;

use super::rows::{file_of, lab, wait_up};
use super::setup::{Kind, Setup, address, key};
use super::tls::AUTHORITY;
use super::wall::{Asked, Wall};
use crate::bench::cost::Cost;
use crate::bench::ipvs::Part;
use crate::bench::ipvs::eye::Eye;
use crate::bench::ipvs::rival::{Keeper, Running};
use crate::bench::report::{Goal, ns};

const SETUP: Setup = Setup::new(Kind::Tcp, 1000);

/// So many reloads are made; after the first [`FULL`] the list of events, which keeps a thousand, has them all: two for each.
const RELOADS: u32 = 1000;
const FULL: u32 = 500;
const FIRST: u32 = 20;

/// In which nothing else happens, before and after: the places of checks are seen.
const QUIET: Duration = Duration::from_secs(3);

/// How long one may take.
const LIMIT: Duration = Duration::from_secs(30);
/// Between two looks at the kernel's weight.
const PACE: Duration = Duration::from_millis(2);

/// A check whose place in the interval has moved by more than this has begun anew: names give a place, and a new beginning moves it.
const MOVED: Duration = Duration::from_millis(250);

pub(super) fn measure(part: &mut Part) -> Result<()> {
    let what = format!("{}, {RELOADS} reloads", SETUP.what());
    let keeper = Keeper::Holdfast;
    let lab = lab()?;
    let node = lab.lb1();
    let wall = Wall::stand(node, SETUP.kind)?;
    let text = SETUP.configuration(keeper, &node.folder().join(AUTHORITY));
    let reload = |running: &Running, eye: &mut Eye, number: u32| -> Result<()> {
        let weight = 2 + number % 2;
        node.write(file_of(keeper), &weighed(&text, weight))?;
        let at = running.reload()?;
        while eye.weight_at(&key(0), address(0).into())? != Some(weight) {
            if now().saturating_since(at) > LIMIT {
                bail!("waited {LIMIT:?} in vain for reload {number}: {}", running.log_tail());
            }
            sleep(PACE);
        }
        Ok(())
    };
    node.write(file_of(keeper), &text)?;
    let mut eye = Eye::open(node)?;
    let mut running = Running::start(node, keeper)?;
    wait_up(&mut running, &eye, SETUP)?;
    sleep(Duration::from_secs(6));
    let began = now();
    wall.start_recording();
    sleep(QUIET);
    let mut reload_all = |numbers: Range<u32>| -> Result<Cost> {
        for number in numbers {
            reload(&running, &mut eye, number)?;
        }
        // What reloads have used is given back within a second of the first.
        sleep(QUIET);
        Ok(running.cost())
    };
    let first = reload_all(0..FIRST)?;
    let full = reload_all(FIRST..FULL)?;
    let after = reload_all(FULL..RELOADS)?;
    let asked = wall.stop_recording();
    let took = now().saturating_since(began);
    running.check_alive()?;

    let mut subject = part.of(&what, keeper);
    subject.ns("all of it", Goal::None, ns(took));
    subject.bytes("resident memory after 20 reloads", Goal::None, first.rss);
    subject.bytes("resident memory after 500 reloads", Goal::None, full.rss);
    subject.bytes("resident memory after all", Goal::Max(full.rss + full.rss / 50), after.rss);
    subject.bytes("greatest resident memory after 500 reloads", Goal::None, full.peak);
    subject.bytes("greatest resident memory", Goal::Max(full.peak + full.peak / 50), after.peak);
    subject.count("checks that have begun anew", Goal::Max(0), moved(&asked));
    drop(running);
    eye.flush()
}

/// The configuration with another weight of the first server.
fn weighed(text: &str, weight: u32) -> String {
    let server = format!("r0: {}:80", address(0));
    text.replacen(&server, &format!("r0: {{address: \"{}:80\", weight: {weight}}}", address(0)), 1)
}

/// How many servers were asked at another place of the interval at the end than at the beginning.
fn moved(asked: &[Asked]) -> u64 {
    let mut places: BTreeMap<Ipv4Addr, (Instant, Instant)> = BTreeMap::new();
    for (server, at) in asked {
        places.entry(*server).or_insert((*at, *at)).1 = *at;
    }
    let interval = Setup::INTERVAL.as_nanos();
    let is_moved = |(first, last): &&(Instant, Instant)| {
        let off = last.saturating_since(*first).as_nanos() % interval;
        off.min(interval - off) > MOVED.as_nanos()
    };
    u64::try_from(places.values().filter(is_moved).count()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_weight_is_changed() {
        let text = SETUP.configuration(Keeper::Holdfast, std::path::Path::new(""));
        let changed = weighed(&text, 3);
        assert!(changed.contains("r0: {address: \"10.50.128.1:80\", weight: 3}\n"), "{changed}");
        assert_eq!(changed.lines().zip(text.lines()).filter(|(a, b)| a != b).count(), 1);
    }

    #[test]
    fn a_check_that_begins_anew_is_told_from_one_that_is_late_once() {
        let at = |server, ms| {
            (Ipv4Addr::new(10, 50, 128, server), Instant::from_start(Duration::from_millis(ms)))
        };
        let late = [at(1, 100), at(1, 1400), at(1, 2090)];
        assert_eq!(moved(&late), 0);
        let anew = [at(1, 100), at(2, 200), at(2, 1210), at(1, 1500)];
        assert_eq!(moved(&anew), 1);
    }
}
