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
use super::part::Part;
use super::rival::{Keeper, Running};
use super::setup::{PORT, Setup};
use crate::bench::report::{Goal, Unit, ns};
use crate::{Downloads, Programs};

/// Both, this daemon first in even rounds.
fn turns(round: usize) -> [Keeper; 2] {
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
        part.sample(
            WHAT,
            "`exec` to the complete table",
            Unit::Ns,
            Goal::Ratio(120),
            keeper,
            ns(took),
        );
        part.sample(WHAT, "processor time until then", Unit::Ns, Goal::None, keeper, cost.cpu_ns);
        part.sample(
            WHAT,
            "greatest resident memory until then",
            Unit::Bytes,
            Goal::Ratio(1000),
            keeper,
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
        part.sample(
            WHAT,
            "greatest resident memory before",
            Unit::Bytes,
            Goal::Ratio(1000),
            keeper,
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
        part.sample(
            WHAT,
            "SIGHUP to the kernel's weight",
            Unit::Ns,
            Goal::Median(60_000_000),
            keeper,
            ns(took),
        );
        part.sample(
            WHAT,
            "the same, against keepalived",
            Unit::Ns,
            Goal::Ratio(10),
            keeper,
            ns(took),
        );
        part.sample(
            WHAT,
            "processor time of it",
            Unit::Ns,
            Goal::None,
            keeper,
            cost.cpu_ns.saturating_sub(before.cpu_ns),
        );
        part.sample(
            WHAT,
            "greatest resident memory after",
            Unit::Bytes,
            Goal::Ratio(1000),
            keeper,
            cost.peak,
        );
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
        part.sample(WHAT, "SIGTERM to its end", Unit::Ns, Goal::None, keeper, ns(stopped));
        let (running, took) = match keeper {
            Keeper::Holdfast => {
                ensure!(ground.eye()?.is_complete(&setup)?, "the table did not stay");
                let running = Running::start(ground.director(), keeper)?;
                let ready = running.wait_ready()?.saturating_since(running.started);
                let cost = running.cost();
                part.sample(
                    WHAT,
                    "`exec` to ready (`READY=1`)",
                    Unit::Ns,
                    Goal::Median(150_000_000),
                    keeper,
                    ns(ready),
                );
                part.sample(
                    WHAT,
                    "processor time until ready",
                    Unit::Ns,
                    Goal::Median(120_000_000),
                    keeper,
                    cost.cpu_ns,
                );
                // The first comparison is over by then.
                sleep(Duration::from_secs(2));
                let ipvs = running.status()?.ipvs.context("it has no table")?;
                ensure!(ipvs.in_sync_s_ago.is_some(), "the table was not compared: {ipvs:?}");
                part.sample(
                    WHAT,
                    "changes of the kernel's table",
                    Unit::Count,
                    Goal::Max(0),
                    keeper,
                    ipvs.operations_total,
                );
                (running, ready)
            }
            Keeper::Keepalived => ground.start(keeper, &setup)?,
        };
        part.sample(
            WHAT,
            "`exec` to a table that is as it should be",
            Unit::Ns,
            Goal::Ratio(10),
            keeper,
            ns(took),
        );
        let cost = running.cost();
        part.sample(
            WHAT,
            "processor time in all, two seconds later",
            Unit::Ns,
            Goal::None,
            keeper,
            cost.cpu_ns,
        );
        let (bytes, broken) = (downloads.bytes(), downloads.broken());
        sleep(Duration::from_secs(3));
        let stuck =
            downloads.bytes().iter().zip(&bytes).filter(|(after, before)| after == before).count();
        let lost = u64::try_from(stuck.max(broken))?;
        part.sample(
            WHAT,
            "of 20 connections that no longer move",
            Unit::Count,
            Goal::Max(0),
            keeper,
            lost,
        );
    }
    Ok(())
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
    part.sample(
        WHAT,
        "processor time of looking, thousandths",
        Unit::Count,
        Goal::None,
        keeper,
        share,
    );
    let mut eye = ground.eye()?;
    let at = now();
    eye.flush()?;
    let noticed = eye.wait_any(&setup, LIMIT)?;
    let back = eye.wait_complete(&setup, LIMIT)?;
    part.sample(
        WHAT,
        "to the first service's return",
        Unit::Ns,
        Goal::None,
        keeper,
        ns(noticed.saturating_since(at)),
    );
    part.sample(
        WHAT,
        "from there to the whole table",
        Unit::Ns,
        Goal::Median(500_000_000),
        keeper,
        ns(back.saturating_since(noticed)),
    );
    part.sample(
        WHAT,
        "to the whole table",
        Unit::Ns,
        Goal::None,
        keeper,
        ns(back.saturating_since(at)),
    );
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
    part.sample(
        WHAT,
        "processor time of a comparison, `ipvs.poll: 5s`",
        Unit::Ns,
        Goal::None,
        keeper,
        cpu / looks,
    );
    part.sample(
        WHAT,
        "processor time, thousandths",
        Unit::Count,
        Goal::None,
        keeper,
        cpu.saturating_mul(1000) / ns(WINDOW),
    );
    part.sample(WHAT, "greatest resident memory", Unit::Bytes, Goal::None, keeper, after.peak);
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
        part.sample(RESTORE, "to its end", Unit::Ns, Goal::Ratio(100), keeper, ns(run(restore)?));
        ensure!(
            ground.eye()?.is_complete(&Setup::THOUSAND)?,
            "{}: the table is not complete",
            keeper.label()
        );
        let mut list = command(&["-L", "-n"])?;
        list.stdout(Stdio::from(File::create(node.folder().join("list"))?));
        part.sample(LIST, "to its end", Unit::Ns, Goal::Ratio(500), keeper, ns(run(list)?));
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
        part.sample(&what, "`exec` to the complete table", Unit::Ns, Goal::None, keeper, ns(took));
        part.sample(&what, "processor time until then", Unit::Ns, Goal::None, keeper, cost.cpu_ns);
        part.sample(
            &what,
            "greatest resident memory until then",
            Unit::Bytes,
            Goal::None,
            keeper,
            cost.peak,
        );
        running.stop()?;
        let running = Running::start(ground.director(), keeper)?;
        let ready = running.wait_ready()?.saturating_since(running.started);
        part.sample(&what, "a restart, `exec` to ready", Unit::Ns, Goal::None, keeper, ns(ready));
    }
    Ok(())
}
