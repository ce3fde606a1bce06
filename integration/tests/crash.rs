//! A worker that is killed while its director serves: what clients of the services notice (nothing: the table stays in the kernel), and what
//! the next worker finds and keeps. `supervisor.rs` has the same of virtual addresses alone.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::pair::{VIPS, holds_all, wait_counted};
use holdfast_integration::{Director, Load, config, saved_table};
use holdfast_testkit::lab::{Lab, Nginx, Topology, VIP4, VIP6, wait_until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

/// Nothing here takes longer; a request that does has failed.
const LIMIT: Duration = Duration::from_secs(60);

/// A client's pace.
const PACE: Duration = Duration::from_millis(20);

/// So often is the worker killed.
const KILLS: u64 = 2;

/// The child of the director's process.
fn worker_of(director: &Director) -> Option<Pid> {
    let pid = director.process().pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    children.split_whitespace().next()?.parse().ok().map(Pid::from_raw)
}

/// Kills the worker and waits until the next one answers.
fn kill_worker(director: &Director) -> Result<()> {
    let worker = worker_of(director).context("a worker")?;
    kill(worker, Signal::SIGKILL)?;
    wait_until(LIMIT, "another worker", || {
        worker_of(director).filter(|now| *now != worker && director.status().is_ok()).map(drop)
    })
    .with_context(|| director.process().log_tail())
}

/// The services `v4` and `v6`, direct routing to web1 and web2, of which web3 is to be maintained.
fn of_both_families() -> String {
    let service = |name: &str, listen: SocketAddr, server: &str| {
        format!(
            "  {name}: {{listen: 'tcp {listen}', scheduler: rr, forward: direct, check: {{tcp: {{}}, interval: 3s, fast_interval: 500ms, down_interval: 500ms, timeout: 2900ms, spread: 0s}}, \
             real_servers: {{web1: '{server}1]:80', web2: '{server}2]:80', web3: '{server}3]:80'}}}}\n"
        )
    };
    let [v4, v6] = VIPS.map(|vip| SocketAddr::new(vip, 80));
    let v4 = service("v4", v4, "[10.77.0.2").replace("'[", "'").replace("]:80", ":80");
    let v6 = service("v6", v6, "[fd00:77::2");
    let instances = format!(
        "    v4: {{interface: eth0, vrid: 51, addresses: [{VIP4}/24]}}\n    \
         v6: {{interface: eth0, vrid: 51, addresses: ['fe80::33/64', '{VIP6}/64']}}\n"
    );
    config(&instances, &(v4 + &v6))
}

/// New connections all the while through the table, which the next worker adopts as it is; what an operator has ordered stays ordered.
#[test]
fn a_killed_worker_costs_its_services_no_request_and_no_order_of_the_operator() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(3))?;
    for web in lab.webs() {
        VIPS.into_iter().try_for_each(|vip| web.hold_vip(vip))?;
    }
    let _webs = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<Vec<_>>>()?;
    let lb1 = Director::start_with(lab.lb1(), &of_both_families(), &["--supervisor", "on"])?;
    for name in ["v4", "v6"] {
        lb1.wait_instance(name, "active", LIMIT)?;
        for web in ["web1", "web2", "web3"] {
            lb1.wait_server(name, web, "up", LIMIT)?;
        }
        lb1.cli(&["server", "maint", name, "web3", "--reason", "a new disk"])?;
        lb1.cli(&["server", "weight", name, "web2", "3"])?;
    }
    let settled = |table: &[String]| {
        let of = |end: &str| table.iter().filter(|line| line.ends_with(end)).count();
        table.len() == 8 && of("-w 0") == 2 && of("-w 3") == 2
    };
    let found = || saved_table(lab.lb1());
    let table = wait_until(LIMIT, "the table", || found().ok().filter(|table| settled(table)))
        .with_context(|| format!("{:#?}", found()))?;
    ensure!(holds_all(lab.lb1())?, "lb1 has the addresses");

    let loads =
        VIPS.map(|vip| Load::with_timeout(lab.client(), SocketAddr::new(vip, 80), PACE, LIMIT));
    for _ in 0..KILLS {
        kill_worker(&lb1)?;
        for name in ["v4", "v6"] {
            assert_eq!(lb1.wait_instance(name, "active", LIMIT)?.reason, "inherited");
        }
        let ipvs = wait_until(LIMIT, "a look at the table", || {
            lb1.status().ok()?.ipvs.filter(|ipvs| ipvs.reconciliations_total > 0)
        })?;
        assert_eq!(ipvs.operations_total, 0, "{}", lb1.process().log());
        assert_eq!(saved_table(lab.lb1())?, table);
        wait_counted(&lb1, "advertisements_sent", 2)?;
    }
    for (load, vip) in loads.iter().zip(VIPS) {
        let enough = || Some(load.all()).filter(|samples| samples.requests() > 20);
        let samples = wait_until(LIMIT, "some requests", enough)?;
        eprintln!("{vip}: {} of {} requests lost", samples.failures(), samples.requests());
        ensure!(samples.failures() == 0, "{vip}: {:?}", samples.errors());
        assert_eq!(samples.answered_by("web3"), 0, "{vip}: it is in maintenance");
    }
    for name in ["v4", "v6"] {
        let web3 = lb1.server(name, "web3")?.context("web3")?;
        assert_eq!((web3.admin.as_str(), web3.effective_weight), ("maint", Some(0)));
        ensure!(lb1.cli(&["server", "list", name])?.contains("a new disk"), "the reason");
        let web2 = lb1.server(name, "web2")?.context("web2")?;
        assert_eq!(web2.effective_weight, Some(3));
        lb1.cli(&["server", "ready", name, "web3"])?;
    }
    let faults = lb1.status()?.daemon.faults;
    assert_eq!((faults.restarts, faults.panics), (KILLS, 0));
    assert_eq!(faults.last_end.as_deref(), Some("killed by SIGKILL"));
    Ok(())
}
