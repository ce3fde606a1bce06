//! One round of a row: each program in turn in a namespace of its own, watched while nothing changes, and while every server dies.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use holdfast_net::now;
use holdfast_testkit::lab::{Lab, Node, Topology};
use holdfast_time::Instant;

use super::WINDOW;
use super::floor::floor;
use super::setup::{Kind, Setup};
use super::tls::AUTHORITY;
use super::wall::{Asked, Wall};
use crate::bench::ipvs::Part;
use crate::bench::ipvs::eye::Eye;
use crate::bench::ipvs::rival::{Keeper, Running};
use crate::bench::ipvs::rows::turns;
use crate::bench::report::{Goal, ns};
use crate::bench::stats::Summary;

/// How long the table may take until every server that answers is in it: one that makes 500 checks a second needs twenty seconds for
/// ten thousand.
const START_LIMIT: Duration = Duration::from_secs(120);
/// How long it may take until every server that has died is out of it.
const DEATH_LIMIT: Duration = Duration::from_secs(90);
/// Between two looks at the table while servers are withdrawn.
const PACE: Duration = Duration::from_millis(20);
/// Starts are counted in spans of this.
const SPAN: Duration = Duration::from_millis(10);

pub(super) fn measure(part: &mut Part, setup: Setup, round: usize) -> Result<()> {
    let what = setup.what();
    for keeper in turns(round) {
        let lab = lab()?;
        let node = lab.lb1();
        let wall = Wall::stand(node, setup.kind)?;
        let floor = match setup.kind {
            Kind::Tcp => Some(floor(node)?),
            Kind::Unchecked | Kind::Http | Kind::Https => None,
        };
        configure(node, keeper, setup)?;
        let mut eye = Eye::open(node)?;
        let mut running = Running::start(node, keeper)?;
        let up = wait_up(&mut running, &eye, setup)?;
        let mut subject = part.of(&what, keeper);
        if let Some(floor) = floor {
            let measure = "processor time of a connection and its reset, without any program";
            subject.ns(measure, Goal::None, floor);
        }
        subject.ns(
            "`exec` to every live server in the table",
            Goal::None,
            ns(up.saturating_since(running.started)),
        );
        // The first round of checks is over by then.
        sleep(Duration::from_secs(6));
        let (before, began) = (running.cost(), now());
        let asked = wall.record(WINDOW);
        let (after, span) = (running.cost(), now().saturating_since(began));
        steady(&mut subject, setup, &asked, after.cpu_ns.saturating_sub(before.cpu_ns), span);
        let died = wall.fall()?;
        let withdrawn = withdrawals(&eye, setup.healthy(), died);
        running.check_alive()?;
        let withdrawn = withdrawn.with_context(|| running.log_tail())?;
        let summary = Summary::of(&withdrawn).context("nothing was withdrawn")?;
        let bound = ns(Setup::BOUND + Duration::from_millis(200));
        subject.ns("death of all to a server's withdrawal, median", Goal::None, summary.median);
        subject.ns("the same, the last server", Goal::Max(bound), summary.max);
        subject.bytes("greatest resident memory", Goal::Ratio(1000), running.cost().peak);
        drop(running);
        drop(wall);
        eye.flush()?;
    }
    Ok(())
}

/// What servers have seen in a window of `span` in which nothing changed, which has cost `cpu_ns`.
fn steady(
    subject: &mut crate::bench::ipvs::part::Subject<'_>,
    setup: Setup,
    asked: &[Asked],
    cpu_ns: u64,
    span: Duration,
) {
    let healthy = u64::from(setup.healthy());
    let seen = u64::try_from(asked.len()).unwrap_or(u64::MAX);
    // Those that refuse are not seen, and asked as often.
    let made = (seen * u64::from(setup.servers) / healthy.max(1)).max(1);
    subject.ns("processor time of a check", Goal::Ratio(330), cpu_ns / made);
    let second = u128::from(ns(Duration::from_secs(1)));
    let a_second = u128::from(made) * second / u128::from(ns(span)).max(1);
    let a_second = u64::try_from(a_second).unwrap_or(u64::MAX);
    subject.count("checks a second", Goal::None, a_second);
    let due = u64::from(setup.servers);
    let kept = Goal::Near { bound: 1000, permille: 10 };
    subject.count("of those that are due, thousandths", kept, a_second * 1000 / due.max(1));
    if let Some(summary) = Summary::of(&lateness(asked)) {
        let most = Goal::Max(ns(Duration::from_millis(50)));
        subject.ns("99 % of checks come at most so late", most, summary.p99);
    }
    if let Some(burst) = burst(asked) {
        subject.count("most starts in 10 ms, hundredths of an even spread", Goal::None, burst);
    }
}

/// How much later than an interval after the one before each check of a server came, in nanoseconds.
fn lateness(asked: &[Asked]) -> Vec<u64> {
    let mut last: BTreeMap<Ipv4Addr, Instant> = BTreeMap::new();
    let mut late = Vec::new();
    for (server, at) in asked {
        if let Some(before) = last.insert(*server, *at) {
            late.push(ns(at.saturating_since(before).saturating_sub(Setup::INTERVAL)));
        }
    }
    late
}

/// The greatest number of checks that began within a [`SPAN`], in hundredths of what it would be were they spread evenly.
fn burst(asked: &[Asked]) -> Option<u64> {
    let (first, last) = (asked.first()?.1, asked.last()?.1);
    let span = u128::from(ns(SPAN));
    let mut spans: BTreeMap<u128, u64> = BTreeMap::new();
    for (_, at) in asked {
        *spans.entry(u128::from(ns(at.saturating_since(first))) / span).or_default() += 1;
    }
    let most = u128::from(*spans.values().max()?);
    let all = u128::from(ns(last.saturating_since(first)));
    let number = u128::try_from(asked.len()).ok()?;
    u64::try_from(most * 100 * all / (number * span).max(1)).ok()
}

/// A director alone, at all of whose addresses of 10.50.128.0/17 servers may answer.
pub(super) fn lab() -> Result<Lab> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    lab.lb1().run(["ip", "route", "add", "local", "10.50.128.0/17", "dev", "lo"])?;
    Ok(lab)
}

/// Writes the configuration of `keeper`; an authority is where [`super::tls`] has put it.
pub(super) fn configure(node: &Node, keeper: Keeper, setup: Setup) -> Result<()> {
    let text = setup.configuration(keeper, &node.folder().join(AUTHORITY));
    node.write(file_of(keeper), &text).map(drop)
}

/// The name of a configuration.
pub(super) const fn file_of(keeper: Keeper) -> &'static str {
    match keeper {
        Keeper::Holdfast => "holdfast.yaml",
        Keeper::Keepalived => "keepalived.conf",
    }
}

/// Waits until every server that answers is in the table, and says when it was.
pub(super) fn wait_up(running: &mut Running, eye: &Eye, setup: Setup) -> Result<Instant> {
    let up = wait_serving(eye, setup.healthy(), START_LIMIT);
    running.check_alive()?;
    up.with_context(|| running.log_tail())
}

/// Waits until so many servers have a weight.
fn wait_serving(eye: &Eye, wanted: u32, limit: Duration) -> Result<Instant> {
    let start = now();
    loop {
        let (_, serving) = eye.count()?;
        let at = now();
        if serving >= wanted {
            return Ok(at);
        }
        if at.saturating_since(start) > limit {
            bail!("waited {limit:?} in vain for {wanted} servers; {serving} are in the table");
        }
        sleep(5 * PACE);
    }
}

/// When each server had no weight any more, counted from `died`, in nanoseconds.
fn withdrawals(eye: &Eye, serving: u32, died: Instant) -> Result<Vec<u64>> {
    let (mut left, mut all) = (serving, Vec::new());
    while left > 0 {
        let (_, serving) = eye.count()?;
        let after = now().saturating_since(died);
        let gone = usize::try_from(left.saturating_sub(serving))?;
        all.extend(std::iter::repeat_n(ns(after), gone));
        left = left.min(serving);
        if after > DEATH_LIMIT {
            bail!("{left} servers that are dead are still in the table after {DEATH_LIMIT:?}");
        }
        sleep(PACE);
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(server: u8, ms: u64) -> Asked {
        let at = Instant::from_start(Duration::from_millis(ms));
        (Ipv4Addr::new(10, 50, 128, server), at)
    }

    #[test]
    fn lateness_is_counted_for_each_server_from_its_last_check() {
        let all = [asked(1, 0), asked(2, 500), asked(1, 1000), asked(2, 1530), asked(1, 1990)];
        assert_eq!(lateness(&all), [0, 30_000_000, 0]);
    }

    #[test]
    fn a_burst_is_told_from_an_even_spread() {
        let even: Vec<_> = (0..1000).map(|ms| asked(1, ms)).collect();
        assert_eq!(burst(&even), Some(99), "ten in each span");
        let at_once: Vec<_> = (0..1000).map(|number| asked(1, number / 500 * 999)).collect();
        assert_eq!(burst(&at_once), Some(4995));
        assert_eq!(burst(&[]), None);
    }
}
