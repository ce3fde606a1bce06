//! Somebody takes the virtual address from the Active: how long until it is back, and whether the roles change.

use std::io::Write;
use std::net::IpAddr;
use std::process::{Child, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use holdfast_net::now;
use holdfast_testkit::lab::{Node, wait_until};

use super::Plan;
use super::events::What;
use super::failover::{VIP, one_router};
use super::machine::{is_of, progress};
use super::pair::Pair;
use super::report::{Goal, Line, Report, Unit, ns};
use super::rival::Software;

/// How long nothing happens between two deletions.
const BETWEEN: Duration = Duration::from_millis(40);

/// Nothing takes longer.
const LIMIT: Duration = Duration::from_secs(20);

/// `ip`, which waits for what to do: starting a program would take longer than what is measured.
struct Deleter(Child);

impl Deleter {
    fn start(node: &Node) -> Result<Self> {
        let mut command = node.command("ip");
        command.args(["-batch", "-"]).stdin(Stdio::piped()).stderr(Stdio::null());
        Ok(Self(command.spawn().context("start ip")?))
    }

    fn delete(&mut self) -> Result<()> {
        let stdin = self.0.stdin.as_mut().context("ip has an input")?;
        stdin.write_all(format!("address del {VIP}/24 dev eth0\n").as_bytes()).context("tell ip")
    }
}

impl Drop for Deleter {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        drop(self.0.wait());
    }
}

/// What came of one program's deletions.
#[derive(Default)]
struct Back {
    times: Vec<u64>,
    changes: u64,
    claims: u64,
}

/// The row: ten deletions for each run, and two with keepalived, which needs a second each to settle.
pub(super) fn deleted(plan: &Plan, report: &mut Report) -> Result<()> {
    let ours = delete(Software::Holdfast, plan.runs.saturating_mul(10).max(100), BETWEEN)?;
    let pause = Duration::from_millis(700);
    let theirs = delete(Software::Keepalived, plan.runs.saturating_mul(2), pause)?;
    let what = "address deleted on the Active, 1 s".to_owned();
    report.line(Line {
        what: what.clone(),
        measure: "deletion to the address being back".to_owned(),
        unit: Unit::Ns,
        ours: ours.times,
        theirs: theirs.times,
        goal: Goal::P99(ns(Duration::from_millis(1))),
    });
    report.line(Line {
        what: what.clone(),
        measure: "state changes in all, of the Active".to_owned(),
        unit: Unit::Count,
        ours: vec![ours.changes],
        theirs: vec![theirs.changes],
        goal: Goal::Max(0),
    });
    report.line(Line {
        what,
        measure: "advertisements of the Backup in all".to_owned(),
        unit: Unit::Count,
        ours: vec![ours.claims],
        theirs: vec![theirs.claims],
        goal: Goal::Max(0),
    });
    Ok(())
}

fn delete(software: Software, times: usize, pause: Duration) -> Result<Back> {
    progress(format_args!(" {} deletions with {}", times, software.label()));
    let setup = one_router(Duration::from_secs(1), true);
    let pair = Pair::start([software; 2], setup, [200, 100], |_| Ok(()))?;
    let mut deleter = Deleter::start(pair.active().node())?;
    let before = pair.active().changes()?;
    let began = now();
    let mut back = Back::default();
    for turn in 0..times {
        // Its kernel's queues and its own periods are met at all moments alike.
        std::thread::sleep(pause + Duration::from_millis(u64::try_from(turn % 7)?));
        let at = now();
        deleter.delete()?;
        let gone = wait_until(LIMIT, "the address to go", || {
            pair.active_events().first(What::Removed(IpAddr::V4(VIP)), at)
        })?;
        let added = wait_until(LIMIT, "the address to be back", || {
            pair.active_events().first(What::Added(IpAddr::V4(VIP)), gone)
        })
        .with_context(|| pair.active().log_tail())?;
        back.times.push(ns(added.saturating_since(at)));
    }
    back.changes = pair.active().changes()?.saturating_sub(before);
    let backup = pair.backup().node();
    let claims = pair.watch().heard().into_iter();
    let claims = claims.filter(|heard| heard.at >= began && is_of(heard.source, backup)).count();
    back.claims = u64::try_from(claims)?;
    Ok(back)
}
