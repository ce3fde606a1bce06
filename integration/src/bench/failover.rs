//! How long clients are without an answer when the Active fails, stops or is asked to step back.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_testkit::lab::VIP4;

use super::machine::progress;
use super::pair::{Failure, Pair, Seen};
use super::report::{Goal, Line, Report, Unit, ns};
use super::rival::{Setup, Software, Virtual};
use super::{Plan, stats};
use crate::Programs;

use Software::{Holdfast, Keepalived};

/// Interval, the priority of both nodes, and how often it is probed. Neither preempts, so that the roles are exchanged at each
/// failure. At 10 ms the skew of priority 100 would be more than half an interval.
const SPEEDS: [(Duration, u8, Duration); 3] = [
    (Duration::from_secs(1), 100, Duration::from_millis(2)),
    (Duration::from_millis(100), 100, Duration::from_millis(2)),
    (Duration::from_millis(10), 253, Duration::from_millis(1)),
];

/// What the client may miss when the Active stops in order: the probe that is under way.
const GRACEFUL: Duration = Duration::from_millis(4);

/// When the Active's processes are killed and the peer hears of it by the fate channel.
const DEATH: Duration = Duration::from_millis(5);

/// One virtual router with the lab's address.
fn setup(interval: Duration) -> Setup {
    let router = Virtual { interface: "eth0".to_owned(), vrid: 51, vip: VIP4, prefix: 24 };
    Setup { interval, preempt: false, routers: vec![router] }
}

/// What was seen, by what happened and who was Active and Backup.
type Sights = BTreeMap<(Failure, Software, Software), Vec<Seen>>;

/// Lets each of `failures` happen `runs` times to each pair, in turns.
fn measure(
    pairs: &mut [Pair],
    failures: &[Failure],
    runs: usize,
    pace: Duration,
    report: &mut Report,
) -> Sights {
    let mut sights = Sights::new();
    let mut broken = vec![false; pairs.len()];
    for run in 0..runs {
        // Failures come at all moments of the interval alike.
        let permille = u32::try_from((2 * run + 1) * 500 / runs).unwrap_or_default();
        for failure in failures {
            for (pair, broken) in pairs.iter_mut().zip(&mut broken).filter(|(_, broken)| !**broken)
            {
                let who = (*failure, pair.active().software(), pair.backup().software());
                if *failure == Failure::Release && who.1 != Holdfast {
                    continue;
                }
                let seen = pair.fail(*failure, pace, permille);
                match seen.and_then(|seen| pair.mend(*failure).map(|()| seen)) {
                    Ok(seen) => sights.entry(who).or_default().push(seen),
                    Err(error) => {
                        *broken = true;
                        let (_, from, to) = who;
                        let who = format!("{} to {}", from.label(), to.label());
                        report.trouble(format!("{who}, {}: {error:#}", failure.label()));
                    }
                }
            }
        }
        progress(format_args!("  {} of {runs} runs", run + 1));
    }
    sights
}

/// A line of what was seen.
fn line(
    sights: &Sights,
    (failure, from, to): (Failure, Software, Software),
    interval: Duration,
    measure: &str,
    goal: Goal,
    value: impl Fn(&Seen) -> Option<Duration>,
) -> Line {
    let samples = |who| {
        let all = sights.get(&who).into_iter().flatten();
        all.filter_map(&value).map(ns).collect::<Vec<_>>()
    };
    let mixed = from != to;
    let who = if mixed { format!(", {} to {}", from.label(), to.label()) } else { String::new() };
    Line {
        what: format!("{}, {} ms{who}", failure.label(), interval.as_millis()),
        measure: measure.to_owned(),
        unit: Unit::Ns,
        ours: if mixed && from == Keepalived { Vec::new() } else { samples((failure, from, to)) },
        theirs: match (mixed, from) {
            (false, _) => samples((failure, Keepalived, Keepalived)),
            (true, Keepalived) => samples((failure, from, to)),
            (true, _) => Vec::new(),
        },
        goal,
    }
}

/// What the measurement itself shows while nothing happens.
pub(super) fn quiet(plan: &Plan, report: &mut Report) -> Result<()> {
    let (interval, priority, pace) = (Duration::from_millis(100), 100, Duration::from_millis(2));
    let mut pairs = [
        Pair::start([Holdfast; 2], setup(interval), [priority; 2], |_| Ok(()))?,
        Pair::start([Keepalived; 2], setup(interval), [priority; 2], |_| Ok(()))?,
    ];
    let sights = measure(&mut pairs, &[Failure::Nothing], plan.runs, pace, report);
    let who = (Failure::Nothing, Holdfast, Holdfast);
    let gap = line(&sights, who, interval, "longest gap between answers", Goal::None, |seen| {
        Some(seen.gap)
    });
    report.line(gap);
    Ok(())
}

/// kill -9, loss of the carrier and SIGTERM at three speeds.
pub(super) fn failover(plan: &Plan, report: &mut Report) -> Result<()> {
    for (interval, priority, pace) in SPEEDS {
        progress(format_args!(" at {} ms", interval.as_millis()));
        let start = |softwares| Pair::start(softwares, setup(interval), [priority; 2], |_| Ok(()));
        let mut pairs = [start([Holdfast; 2])?, start([Keepalived; 2])?];
        let bound = pairs.first().context("a pair")?.bound();
        let failures = [Failure::Kill, Failure::LinkDown, Failure::Terminate];
        let sights = measure(&mut pairs, &failures, plan.runs, pace, report);
        drop(pairs);
        let who = (Failure::Kill, Holdfast, Holdfast);
        let moved = "failure to the peer's first answer";
        report.line(line(&sights, who, interval, moved, Goal::Median(ns(DEATH)), |seen| {
            Some(seen.moved)
        }));
        silent(&sights, Failure::LinkDown, interval, bound, report);
        let who = (Failure::LinkDown, Holdfast, Holdfast);
        let goal = Goal::Median(ns(Duration::from_millis(20)));
        let given_up = "carrier lost to address given up";
        report.line(line(&sights, who, interval, given_up, goal, |seen| seen.given_up));
        graceful(&sights, (Failure::Terminate, Holdfast, Holdfast), interval, report);

        let mut mixed = [start([Holdfast, Keepalived])?];
        // Each is Active in every second run.
        let sights = measure(&mut mixed, &[Failure::Terminate], 2 * plan.runs, pace, report);
        graceful(&sights, (Failure::Terminate, Holdfast, Keepalived), interval, report);
        graceful(&sights, (Failure::Terminate, Keepalived, Holdfast), interval, report);
    }
    Ok(())
}

/// The Active vanishes without a word.
fn silent(
    sights: &Sights,
    failure: Failure,
    interval: Duration,
    bound: Duration,
    report: &mut Report,
) {
    let who = (failure, Holdfast, Holdfast);
    let exact = interval >= Duration::from_millis(100);
    let near = Goal::Near { bound: ns(bound), permille: 20 };
    let goal = if exact { near } else { Goal::None };
    let silence = "last advertisement to the peer's first";
    report.line(line(sights, who, interval, silence, goal, |seen| seen.silence));
    // Half an interval has passed on average since the last advertisement.
    let expected = ns(bound - interval / 2);
    let theirs = line(sights, who, interval, "", Goal::None, |seen| Some(seen.moved)).theirs;
    let parity = match stats::Summary::of(&theirs) {
        Some(theirs) if !exact => Goal::Median(theirs.median + theirs.median / 20),
        _ => Goal::None,
    };
    let measure =
        format!("failure to the peer's first answer (mean by RFC {} ms)", expected / 1_000_000);
    report.line(line(sights, who, interval, &measure, parity, |seen| Some(seen.moved)));
}

/// The Active says goodbye.
fn graceful(
    sights: &Sights,
    who: (Failure, Software, Software),
    interval: Duration,
    report: &mut Report,
) {
    let goal = if who.1 == Holdfast { Goal::Median(ns(GRACEFUL)) } else { Goal::None };
    let change = "last answer of the one to the other's first";
    report.line(line(sights, who, interval, change, goal, |seen| Some(seen.change)));
    // On a busy machine this has the machine's own pauses as well, over all of the handover: `quiet` shows them.
    let gap = "longest gap between answers";
    report.line(line(sights, who, interval, gap, Goal::None, |seen| Some(seen.gap)));
}

/// `holdfast vrrp release`, where the command line has it.
pub(super) fn release(plan: &Plan, report: &mut Report) -> Result<()> {
    let holdfast = Programs::find()?.holdfast;
    let help = std::process::Command::new(holdfast).args(["vrrp", "release", "--help"]).output()?;
    if !help.status.success() {
        report.note("`holdfast vrrp release` does not exist yet: not measured.".to_owned());
        return Ok(());
    }
    for (interval, priority, pace) in SPEEDS {
        let mut pairs = [Pair::start([Holdfast; 2], setup(interval), [priority; 2], |_| Ok(()))?];
        let sights = measure(&mut pairs, &[Failure::Release], plan.runs, pace, report);
        graceful(&sights, (Failure::Release, Holdfast, Holdfast), interval, report);
    }
    Ok(())
}

/// The virtual router that other rows use as well.
pub(super) fn one_router(interval: Duration, preempt: bool) -> Setup {
    Setup { preempt, ..setup(interval) }
}

/// The lab's virtual address.
pub(super) const VIP: Ipv4Addr = VIP4;
