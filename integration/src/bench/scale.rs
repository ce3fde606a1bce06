//! Many virtual routers: what each advertisement costs both sides, how much memory they take, and how they move together.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_testkit::lab::{Lab, wait_until};
use holdfast_time::Instant;

use super::Plan;
use super::cost::{self, Cost};
use super::events::What;
use super::machine::{packets, progress};
use super::pair::{Failure, Pair};
use super::report::{Goal, Line, Report, Unit, ns};
use super::rival::{Setup, Software, Virtual};

use Software::{Holdfast, Keepalived};

/// A VRID is a byte, so that one interface has at most 255 virtual routers.
const VRIDS: u8 = 255;

/// A thousand on four cables.
const CABLES: u8 = 4;
const PER_CABLE: u8 = 250;

/// Neither is better, and neither preempts: the roles are exchanged at each failure.
const PRIORITIES: [u8; 2] = [100, 100];

/// How long it is counted at a time.
const WINDOW: Duration = Duration::from_secs(10);

/// Nothing that is waited for takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// What one program has cost in each window.
#[derive(Default)]
struct Used {
    active_ns_each: Vec<u64>,
    backup_ns_each: Vec<u64>,
    active_cpu: Vec<u64>,
    backup_cpu: Vec<u64>,
    rss: Vec<u64>,
    pss: Vec<u64>,
}

/// The rows with 255 instances.
pub(super) fn scale(plan: &Plan, report: &mut Report) -> Result<()> {
    for interval in [Duration::from_secs(1), Duration::from_millis(100)] {
        let routers = (1..=VRIDS).map(|vrid| router(1, vrid)).collect();
        let setup = Setup { interval, preempt: false, routers };
        let pairs = start(&setup, 1)?;
        let what = format!("255 instances, {} ms", interval.as_millis());
        let [ours, theirs] = windows(plan, &what, &pairs, report);
        costs(&what, &ours, &theirs, false, report);
        threads(&what, &pairs, report);
    }
    Ok(())
}

/// The rows with 1,000 instances.
pub(super) fn thousand(plan: &Plan, report: &mut Report) -> Result<()> {
    let numbers = (1..=CABLES).flat_map(|cable| (1..=PER_CABLE).map(move |vrid| (cable, vrid)));
    let routers = numbers.map(|(cable, vrid)| router(cable, vrid));
    let setup =
        Setup { interval: Duration::from_secs(1), preempt: false, routers: routers.collect() };
    let mut pairs = start(&setup, CABLES)?;
    let what = "1000 instances, 1000 ms";
    let [ours, theirs] = windows(plan, what, &pairs, report);
    costs(what, &ours, &theirs, true, report);
    threads(what, &pairs, report);
    let mut moved: [Vec<(u64, u64)>; 2] = Default::default();
    for run in 0..plan.runs.div_ceil(3) {
        for (pair, moved) in pairs.iter_mut().zip(&mut moved) {
            moved.push(kill(pair)?);
        }
        progress(format_args!("  kill {} done", run + 1));
    }
    let [ours, theirs] = moved;
    let of = |all: &[(u64, u64)], last: bool| {
        all.iter().map(|(first, end)| if last { *end } else { *first }).collect()
    };
    let bound = setup.active_down(100);
    let most = ns(bound + setup.interval + Duration::from_millis(100));
    let shown = format!("(3A+skew {} ms)", bound.as_millis());
    for (last, goal) in [(false, Goal::None), (true, Goal::Max(most))] {
        report.line(Line {
            what: "1000 instances, kill -9".to_owned(),
            measure: format!("to the {} address {shown}", if last { "last" } else { "first" }),
            unit: Unit::Ns,
            ours: of(&ours, last),
            theirs: of(&theirs, last),
            goal,
        });
    }
    Ok(())
}

fn router(cable: u8, vrid: u8) -> Virtual {
    let vip = Ipv4Addr::new(10, 90 + cable, 1, vrid);
    Virtual { interface: format!("cable{cable}"), vrid, vip, prefix: 32 }
}

/// Lays cables between the two directors: nobody else hears what they say, so that it costs no more than it must.
fn cables(lab: &Lab, number: u8) -> Result<()> {
    let (lb1, lb2) = (lab.lb1(), lab.lb2());
    let lay = (1..=number).map(|cable| {
        let peer = lb2.namespace();
        format!("ip link add cable{cable} type veth peer name cable{cable} netns {peer}\n")
    });
    lb1.sh(&lay.collect::<String>())?;
    for (node, host) in [(lb1, 11), (lb2, 12)] {
        let lines = (1..=number).map(|cable| {
            let net = 90 + cable;
            format!(
                "ip address add 10.{net}.0.{host}/24 dev cable{cable}\n\
                 ip link set cable{cable} up\n"
            )
        });
        node.sh(&lines.collect::<String>())?;
    }
    Ok(())
}

/// A pair of each, side by side, with every address on lb1 and their announcements behind them.
fn start(setup: &Setup, number: u8) -> Result<[Pair; 2]> {
    let start = |software: Software| -> Result<Pair> {
        progress(format_args!(" {} instances of {}", setup.routers.len(), software.label()));
        let pair =
            Pair::start([software; 2], setup.clone(), PRIORITIES, |lab| cables(lab, number))?;
        wait_all(&pair, Instant::ZERO, true).map(|_| pair)
    };
    let pairs = [start(Holdfast)?, start(Keepalived)?];
    // The second burst of announcements comes five seconds after the first one.
    std::thread::sleep(Duration::from_secs(12));
    Ok(pairs)
}

/// Counts while both pairs work, in the same windows. A window in which the Active has not said half of what it had to is no measurement:
/// the roles are others, and its log says why.
fn windows(plan: &Plan, what: &str, pairs: &[Pair; 2], report: &mut Report) -> [Used; 2] {
    let mut used: [Used; 2] = Default::default();
    for window in 0..plan.runs.div_ceil(2) {
        let before = pairs.each_ref().map(read);
        std::thread::sleep(WINDOW);
        let after = pairs.each_ref().map(read);
        for (((used, pair), before), after) in used.iter_mut().zip(pairs).zip(before).zip(after) {
            if after.sent.saturating_sub(before.sent) < due(pair.setup()) / 2 {
                let log = pair.active().log_tail();
                report.trouble(format!(
                    "{what}: the Active was not Active; the end of its log: {log}"
                ));
            }
            used.add(before, after);
        }
        progress(format_args!("  window {} done", window + 1));
    }
    used
}

/// How many advertisements an Active sends in a window.
fn due(setup: &Setup) -> u64 {
    let each = WINDOW.as_nanos() / setup.interval.as_nanos().max(1);
    u64::try_from(each)
        .unwrap_or(u64::MAX)
        .saturating_mul(u64::try_from(setup.routers.len()).unwrap_or(u64::MAX))
}

/// What the Active and the Backup have cost so far, and how many packets the one has sent and the other received.
#[derive(Clone, Copy)]
struct Reading {
    active: Cost,
    backup: Cost,
    sent: u64,
    received: u64,
}

fn read(pair: &Pair) -> Reading {
    let (active, backup) = (pair.active().pid(), pair.backup().pid());
    let (sent, _) = packets(active);
    let (_, received) = packets(backup);
    Reading { active: cost::of(active), backup: cost::of(backup), sent, received }
}

impl Used {
    fn add(&mut self, before: Reading, after: Reading) {
        let active = after.active.cpu_ns.saturating_sub(before.active.cpu_ns);
        let backup = after.backup.cpu_ns.saturating_sub(before.backup.cpu_ns);
        let each = |ns: u64, packets: u64| ns.checked_div(packets).unwrap_or_default();
        self.active_ns_each.push(each(active, after.sent.saturating_sub(before.sent)));
        self.backup_ns_each.push(each(backup, after.received.saturating_sub(before.received)));
        self.active_cpu.push(active);
        self.backup_cpu.push(backup);
        self.rss.push(after.active.rss);
        self.pss.push(after.active.pss);
    }
}

fn costs(what: &str, ours: &Used, theirs: &Used, judged: bool, report: &mut Report) {
    let mut line = |measure: &str, unit, ours: &[u64], theirs: &[u64], goal| {
        report.line(Line {
            what: what.to_owned(),
            measure: measure.to_owned(),
            unit,
            ours: ours.to_vec(),
            theirs: theirs.to_vec(),
            goal,
        });
    };
    let cpu = if judged { Goal::Median(8_000) } else { Goal::None };
    let rss = if judged { Goal::Ratio(1000) } else { Goal::None };
    let each = "processor time an advertisement";
    line(&format!("{each}, Active"), Unit::Ns, &ours.active_ns_each, &theirs.active_ns_each, cpu);
    let (a, b) = (&ours.backup_ns_each, &theirs.backup_ns_each);
    line(&format!("{each}, Backup"), Unit::Ns, a, b, Goal::None);
    let time = "processor time in 10 s";
    line(&format!("{time}, Active"), Unit::Ns, &ours.active_cpu, &theirs.active_cpu, Goal::None);
    line(&format!("{time}, Backup"), Unit::Ns, &ours.backup_cpu, &theirs.backup_cpu, Goal::None);
    line("memory (RSS), Active", Unit::Bytes, &ours.rss, &theirs.rss, rss);
    line("memory (PSS), Active", Unit::Bytes, &ours.pss, &theirs.pss, Goal::None);
}

/// Which threads of this daemon have used how much since its start.
fn threads(what: &str, pairs: &[Pair; 2], report: &mut Report) {
    let [ours, _] = pairs;
    let mut all = cost::by_thread(ours.active().pid());
    all.sort_by_key(|(_, ns)| std::cmp::Reverse(*ns));
    let all = all.iter().map(|(name, ns)| format!("{name} {} ms", ns / 1_000_000));
    let all = all.collect::<Vec<_>>().join(", ");
    report.note(format!("{what}: threads of holdfastd on the Active since its start: {all}"));
}

/// Kills the Active; from then until the first and the last address are on the other node, which keeps them.
fn kill(pair: &mut Pair) -> Result<(u64, u64)> {
    let (at, moved) = pair.kill(|pair, at| wait_all(pair, at, false))?;
    pair.mend(Failure::Kill)?;
    // The second burst of announcements shall not be part of the next measurement.
    std::thread::sleep(Duration::from_secs(8));
    let (first, last) = (moved.first().context("no address")?, moved.last().context("none")?);
    Ok((ns(first.saturating_since(at)), ns(last.saturating_since(at))))
}

/// Waits until every address has come to a node at `since` or later; when each came, in order.
fn wait_all(pair: &Pair, since: Instant, to_active: bool) -> Result<Vec<Instant>> {
    let vips: BTreeSet<IpAddr> = pair.setup().routers.iter().map(|one| one.vip.into()).collect();
    let events = if to_active { pair.active_events() } else { pair.backup_events() };
    let added = || -> Vec<Instant> {
        let mut seen = BTreeSet::new();
        let new = events.since(since).into_iter().filter(|event| match event.what {
            What::Added(address) => vips.contains(&address) && seen.insert(address),
            What::Removed(_) | What::CarrierLost => false,
        });
        new.map(|event| event.at).collect()
    };
    let to = if to_active { pair.active() } else { pair.backup() };
    wait_until(LIMIT, "every address to have moved", || {
        let added = added();
        (added.len() == vips.len()).then_some(added)
    })
    .with_context(|| format!("{} of {} did; {}", added().len(), vips.len(), to.log_tail()))
}
