//! What is measured, one round of a row at a time: first one program and then the other, in a kernel that has booted for this round.

use std::fs::File;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_net::now;
use holdfast_testkit::lab::VIP4;

use super::ground::{Ground, LIMIT};
use super::part::{Part, Subject};
use super::rival::{Keeper, Running};
use super::setup::{PORT, Setup};
use crate::bench::report::{Goal, ns};
use crate::{Downloads, Programs};

/// Both, this daemon first in even rounds.
pub(in crate::bench) fn turns(round: usize) -> [Keeper; 2] {
    if round.is_multiple_of(2) {
        [Keeper::Holdfast, Keeper::Keepalived]
    } else {
        [Keeper::Keepalived, Keeper::Holdfast]
    }
}

/// From `exec` to the complete table of a kernel that has none, without checks.
pub(super) fn cold(part: &mut Part, round: usize) -> Result<()> {
    const WHAT: &str = "start, 11,000 entries into an empty kernel";
    for keeper in turns(round) {
        let ground = Ground::new()?;
        let (running, took) = ground.start(keeper, &Setup::THOUSAND)?;
        let cost = running.cost();
        part.of(WHAT, keeper).ns("`exec` to the complete table", Goal::Ratio(120), ns(took));
        part.of(WHAT, keeper).ns("processor time until then", Goal::None, cost.cpu_ns);
        part.of(WHAT, keeper).bytes(
            "greatest resident memory until then",
            Goal::Ratio(1000),
            cost.peak,
        );
    }
    Ok(())
}

/// One weight of 10,000 checked servers changes in the file.
pub(super) fn reload(part: &mut Part, round: usize) -> Result<()> {
    const WHAT: &str = "reload, one weight of 10,000 checked servers";
    for keeper in turns(round) {
        let ground = Ground::new()?;
        let mut setup = Setup::THOUSAND.checked();
        let (mut running, _) = ground.start(keeper, &setup)?;
        // The first round of checks, which spreads over five seconds, is over by then.
        sleep(Duration::from_secs(8));
        let before = running.cost();
        part.of(WHAT, keeper).bytes(
            "greatest resident memory before",
            Goal::Ratio(1000),
            before.peak,
        );
        setup.weight = 5;
        keeper.configure(ground.director(), &setup)?;
        let mut eye = ground.eye()?;
        let at = running.reload()?;
        let changed = eye.wait_weight(&setup, LIMIT);
        running.check_alive()?;
        let took = changed.with_context(|| running.log_tail())?.saturating_since(at);
        let cost = running.cost();
        part.of(WHAT, keeper).ns(
            "SIGHUP to the kernel's weight",
            Goal::Median(60_000_000),
            ns(took),
        );
        part.of(WHAT, keeper).ns("the same, against keepalived", Goal::Ratio(10), ns(took));
        part.of(WHAT, keeper).ns(
            "processor time of it",
            Goal::None,
            cost.cpu_ns.saturating_sub(before.cpu_ns),
        );
        part.of(WHAT, keeper).bytes("greatest resident memory after", Goal::Ratio(1000), cost.peak);
        ensure!(eye.is_complete(&setup)?, "{}: the table is not complete after it", keeper.label());
    }
    Ok(())
}

/// A stop and a start with the table loaded and connections through it.
pub(super) fn restart(part: &mut Part, round: usize) -> Result<()> {
    const WHAT: &str = "stop and start, 11,000 entries";
    const CONNECTIONS: usize = 20;
    for keeper in turns(round) {
        let ground = Ground::with_web()?;
        let setup = Setup { real: ground.real(), ..Setup::THOUSAND };
        let (running, _) = ground.start(keeper, &setup)?;
        let target = SocketAddr::from((VIP4, PORT));
        let downloads = Downloads::start(ground.client(), target, CONNECTIONS)?;
        let stopped = running.stop()?;
        part.of(WHAT, keeper).ns("SIGTERM to its end", Goal::None, ns(stopped));
        let (running, took) = match keeper {
            Keeper::Holdfast => resume(part.of(WHAT, keeper), &ground, &setup)?,
            Keeper::Keepalived => ground.start(keeper, &setup)?,
        };
        part.of(WHAT, keeper).ns(
            "`exec` to a table that is as it should be",
            Goal::Ratio(10),
            ns(took),
        );
        let cost = running.cost();
        part.of(WHAT, keeper).ns(
            "processor time in all, two seconds later",
            Goal::None,
            cost.cpu_ns,
        );
        let (bytes, broken) = (downloads.bytes(), downloads.broken());
        sleep(Duration::from_secs(3));
        let stuck =
            downloads.bytes().iter().zip(&bytes).filter(|(after, before)| after == before).count();
        let lost = u64::try_from(stuck.max(broken))?;
        part.of(WHAT, keeper).count("of 20 connections that no longer move", Goal::Max(0), lost);
    }
    Ok(())
}

/// Starts this daemon over the table that it has left, and answers how long that took.
fn resume(mut subject: Subject<'_>, ground: &Ground, setup: &Setup) -> Result<(Running, Duration)> {
    ensure!(ground.eye()?.is_complete(setup)?, "the table did not stay");
    let running = Running::start(ground.director(), Keeper::Holdfast)?;
    let ready = running.wait_ready()?.saturating_since(running.started);
    let cost = running.cost();
    subject.ns("`exec` to ready (`READY=1`)", Goal::Median(150_000_000), ns(ready));
    subject.ns("processor time until ready", Goal::Median(120_000_000), cost.cpu_ns);
    // The first comparison is over by then.
    sleep(Duration::from_secs(2));
    let ipvs = running.status()?.ipvs.context("it has no table")?;
    ensure!(ipvs.in_sync_s_ago.is_some(), "the table was not compared: {ipvs:?}");
    subject.count("changes of the kernel's table", Goal::Max(0), ipvs.operations_total);
    Ok((running, ready))
}

/// `ipvsadm -C` under this daemon. keepalived never looks at the table again.
pub(super) fn flush(part: &mut Part, _round: usize) -> Result<()> {
    const WHAT: &str = "`ipvsadm -C`, 11,000 entries, `ipvs.poll: 250ms`";
    let keeper = Keeper::Holdfast;
    let ground = Ground::new()?;
    let setup = Setup { poll: Duration::from_millis(250), ..Setup::THOUSAND };
    let (running, _) = ground.start(keeper, &setup)?;
    sleep(Duration::from_secs(2));
    let (before, at) = (running.cost(), now());
    sleep(Duration::from_secs(5));
    let cpu = running.cost().cpu_ns.saturating_sub(before.cpu_ns);
    let share = cpu.saturating_mul(1000) / ns(now().saturating_since(at)).max(1);
    part.of(WHAT, keeper).count("processor time of looking, thousandths", Goal::None, share);
    let mut eye = ground.eye()?;
    let at = now();
    eye.flush()?;
    let noticed = eye.wait_any(&setup, LIMIT)?;
    let back = eye.wait_complete(&setup, LIMIT)?;
    part.of(WHAT, keeper).ns(
        "to the first service's return",
        Goal::None,
        ns(noticed.saturating_since(at)),
    );
    part.of(WHAT, keeper).ns(
        "from there to the whole table",
        Goal::Median(500_000_000),
        ns(back.saturating_since(noticed)),
    );
    part.of(WHAT, keeper).ns("to the whole table", Goal::None, ns(back.saturating_since(at)));
    let repairs = running.status()?.ipvs.context("it has no table")?.drift_repairs_total;
    ensure!(repairs >= 11_000, "it counts {repairs} repairs");
    Ok(())
}

/// What a look at the table costs in which nothing has changed.
pub(super) fn idle(part: &mut Part, _round: usize) -> Result<()> {
    const WHAT: &str = "nothing changes, 11,000 entries";
    const WINDOW: Duration = Duration::from_secs(20);
    let keeper = Keeper::Holdfast;
    let ground = Ground::new()?;
    let (running, _) = ground.start(keeper, &Setup::THOUSAND)?;
    sleep(Duration::from_secs(3));
    let looks =
        || -> Result<u64> { Ok(running.status()?.ipvs.context("no table")?.reconciliations_total) };
    let looks_before = looks()?;
    let before = running.cost();
    sleep(WINDOW);
    let after = running.cost();
    let looks = looks()?.saturating_sub(looks_before).max(1);
    let cpu = after.cpu_ns.saturating_sub(before.cpu_ns);
    part.of(WHAT, keeper).ns(
        "processor time of a comparison, `ipvs.poll: 5s`",
        Goal::None,
        cpu / looks,
    );
    part.of(WHAT, keeper).count(
        "processor time, thousandths",
        Goal::None,
        cpu.saturating_mul(1000) / ns(WINDOW),
    );
    part.of(WHAT, keeper).bytes("greatest resident memory", Goal::None, after.peak);
    Ok(())
}

/// A program that reads rules, and one that lists.
pub(super) fn tool(part: &mut Part, round: usize) -> Result<()> {
    const RESTORE: &str = "`-R`, 11,000 lines into an empty kernel";
    const LIST: &str = "`-L -n`, 11,000 entries";
    for keeper in turns(round) {
        let ground = Ground::new()?;
        let node = ground.director();
        let rules = node.write("rules", &Setup::THOUSAND.rules())?;
        let command = |arguments: &[&str]| -> Result<Command> {
            let mut command = match keeper {
                Keeper::Holdfast => {
                    let mut command = Command::new(Programs::find()?.holdfast);
                    command.arg("ipvs");
                    command
                }
                Keeper::Keepalived => Command::new("/usr/sbin/ipvsadm"),
            };
            command.args(arguments);
            Ok(command)
        };
        let run = |mut command: Command| -> Result<Duration> {
            let at = now();
            let mut child = node.enter(|| command.spawn())??;
            let status = child.wait()?;
            ensure!(status.success(), "{command:?}: {status}");
            Ok(now().saturating_since(at))
        };
        let mut restore = command(&["-R"])?;
        restore.stdin(File::open(rules)?);
        part.of(RESTORE, keeper).ns("to its end", Goal::Ratio(100), ns(run(restore)?));
        ensure!(
            ground.eye()?.is_complete(&Setup::THOUSAND)?,
            "{}: the table is not complete",
            keeper.label()
        );
        let mut list = command(&["-L", "-n"])?;
        list.stdout(Stdio::from(File::create(node.folder().join("list"))?));
        part.of(LIST, keeper).ns("to its end", Goal::Ratio(500), ns(run(list)?));
    }
    Ok(())
}

/// How this daemon's costs grow with the table, ten servers a service.
pub(super) fn growth(part: &mut Part, _round: usize) -> Result<()> {
    let keeper = Keeper::Holdfast;
    for services in [100, 1000, 10_000] {
        let setup = Setup { services, ..Setup::THOUSAND };
        let what = format!("{} destinations", setup.destinations());
        let ground = Ground::new()?;
        let (running, took) = ground.start(keeper, &setup)?;
        let cost = running.cost();
        part.of(&what, keeper).ns("`exec` to the complete table", Goal::None, ns(took));
        part.of(&what, keeper).ns("processor time until then", Goal::None, cost.cpu_ns);
        part.of(&what, keeper).bytes("greatest resident memory until then", Goal::None, cost.peak);
        running.stop()?;
        let running = Running::start(ground.director(), keeper)?;
        let ready = running.wait_ready()?.saturating_since(running.started);
        part.of(&what, keeper).ns("a restart, `exec` to ready", Goal::None, ns(ready));
    }
    Ok(())
}
