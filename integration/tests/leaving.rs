//! Connections of what a reload takes out, or changes the forwarding of, go on with all that they need, also when the daemon is started anew
//! meanwhile; and then it ends.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_control::Service;
use holdfast_integration::family::Family;
use holdfast_integration::setup::Setup;
use holdfast_integration::streams::Streams;
use holdfast_integration::{Director, saved_table};
use holdfast_testkit::lab::{Lab, Node, Topology, wait_until};
use nix::sys::signal::Signal;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// So many blocks each stream has to bring.
const BLOCKS: u64 = 20;

/// The looks at sysctls come so often.
const POLL: &str = "ipvs: {poll: 200ms}\n";

/// A director that is active and has connections through NAT, with the sysctl that their answers need.
struct Bench {
    setup: Setup,
    director: Director,
    streams: Streams,
    forwarding: &'static str,
}

impl Bench {
    /// The service's servers have this port; its drains last so long.
    fn start(family: Family, port: u16, drain: &str) -> Result<Self> {
        let forwarding = match family {
            Family::V4 => "net/ipv4/ip_forward",
            Family::V6 => "net/ipv6/conf/all/forwarding",
        };
        let mut setup = Setup::nat(family, port, POLL)?;
        let drains = format!("scheduler: rr, drain: {{timeout: {drain}}}");
        setup.config = setup.config.replace("scheduler: rr", &drains);
        setup.lab.lb1().sysctl(forwarding, "0")?;
        let director = Director::start(setup.lab.lb1(), &setup.config)?;
        director.wait_instance("edge", "active", LIMIT)?;
        director.wait_instance("inside", "active", LIMIT)?;
        for web in ["web1", "web2"] {
            director.wait_server("web", web, "up", LIMIT)?;
        }
        let streams = Streams::start(setup.lab.client(), setup.target, 4)?;
        streams.wait_going_on(3)?;
        Ok(Self { setup, director, streams, forwarding })
    }

    fn node(&self) -> &Node {
        self.setup.lab.lb1()
    }

    /// Whether the node forwards.
    fn forwards(&self) -> Result<bool> {
        let path = format!("/proc/sys/{}", self.forwarding);
        Ok(self.node().run(["cat", path.as_str()])?.stdout.trim() == "1")
    }

    fn reload(&self, config: &str) -> Result<()> {
        self.director.reload(config).map(drop)
    }

    /// The configuration without its service.
    fn without(&self) -> Result<String> {
        let (vrrp, _) = self.setup.config.split_once("services:").context("services")?;
        Ok(format!("{vrrp}{POLL}"))
    }

    fn service(&self) -> Result<Service> {
        let services = self.director.status()?.services;
        services.into_iter().find(|one| one.name == "web").context("no service web")
    }

    /// The connections go on, and the node forwards.
    fn go_on(&self) -> Result<()> {
        self.streams.wait_going_on(BLOCKS).with_context(|| self.director.process().log_tail())?;
        ensure!(self.forwards()?, "{} is 0", self.forwarding);
        Ok(())
    }

    /// Waits until no service is left, and the sysctl is what it was.
    fn wait_gone(&self) -> Result<()> {
        wait_until(LIMIT, "the service to have drained and the sysctl to be given back", || {
            let gone = self.director.status().ok()?.services.is_empty();
            let table = saved_table(self.node()).ok()?.is_empty();
            (gone && table && !self.forwards().ok()?).then_some(())
        })
        .with_context(|| self.director.process().log_tail())
    }

    /// Ends the connections.
    fn end(&mut self) -> Result<()> {
        self.streams = Streams::start(self.setup.lab.client(), self.setup.target, 0)?;
        Ok(())
    }
}

/// Connections of a service that a reload takes out are waited for, with all that they need.
fn drains_with_its_sysctls(family: Family) -> Result<()> {
    let mut bench = Bench::start(family, 8080, "10m")?;
    bench.reload(&bench.without()?)?;
    bench.go_on()?;
    bench.end()?;
    bench.wait_gone()
}

#[test]
fn a_service_that_a_reload_takes_out_forwards_until_it_has_drained() -> Result<()> {
    drains_with_its_sysctls(Family::V4)
}

#[test]
fn so_does_one_of_ipv6() -> Result<()> {
    drains_with_its_sysctls(Family::V6)
}

/// A daemon that is started anew, after a kill or a stop, goes on where the one before it was: what drains is no stranger's, keeps what it
/// needs, and ends.
fn a_restart_goes_on(family: Family) -> Result<()> {
    let mut bench = Bench::start(family, 8080, "10m")?;
    bench.reload(&bench.without()?)?;
    bench.director.kill()?;
    bench.director.restart()?;
    let service = bench.service()?;
    for (server, name) in service.servers.iter().zip(["web1", "web2"]) {
        assert_eq!((server.name.as_str(), server.state.as_str()), (name, "draining"));
        let order = server.order.clone().context("whose order it is")?;
        assert_eq!(order.who.as_deref(), Some("holdfastd"));
        ensure!(
            order.reason.is_some_and(|why| why.contains("in the configuration no longer")),
            "why"
        );
        ensure!(server.drain_ends_in_s.is_some_and(|left| left <= 600), "{server:?}");
    }
    let ipvs = bench.director.status()?.ipvs.context("a table")?;
    assert_eq!(ipvs.foreign, Vec::<String>::new());
    ensure!(bench.forwards()?, "{} was given back", bench.forwarding);
    bench.go_on()?;
    // In order, too, and a second time.
    bench.director.stop()?;
    bench.director.restart()?;
    bench.service()?;
    bench.go_on()?;
    let ipvs = bench.director.status()?.ipvs.context("a table")?;
    assert_eq!(ipvs.operations_total, 0, "the table was as it should be");
    bench.end()?;
    bench.wait_gone()?;
    bench.director.kill()?;
    bench.director.restart()?;
    assert_eq!(bench.director.status()?.services.len(), 0);
    Ok(())
}

#[test]
fn a_service_that_is_leaving_is_no_strangers_after_a_restart() -> Result<()> {
    a_restart_goes_on(Family::V4)
}

#[test]
fn nor_is_one_of_ipv6() -> Result<()> {
    a_restart_goes_on(Family::V6)
}

/// A service has left an address, and its new one is another service's now: the address that it was leaving is all that is left of it, also for a
/// daemon that comes later.
fn an_address_alone(family: Family) -> Result<()> {
    let mut bench = Bench::start(family, 8080, "10m")?;
    let target = |port| format!("tcp {}", family.at(port));
    let moved = bench.setup.config.replace(&target(80), &target(81));
    bench.reload(&moved)?;
    bench.go_on()?;
    bench.director.kill()?;
    bench.node().write("holdfast.yaml", &moved.replace("  web: {", "  other: {"))?;
    bench.director.restart()?;
    bench.go_on()?;
    let service = bench.service()?;
    ensure!(service.servers.iter().all(|one| one.state == "draining"), "{service:?}");
    // And once more: no file has said anything of it since.
    bench.director.kill()?;
    bench.director.restart()?;
    bench.go_on()?;
    let ipvs = bench.director.status()?.ipvs.context("a table")?;
    assert_eq!(ipvs.foreign, Vec::<String>::new());
    bench.end()?;
    wait_until(LIMIT, "the address to be left", || {
        let services = bench.director.status().ok()?.services;
        let table = saved_table(bench.node()).ok()?;
        let left = services.len() == 1 && !table.iter().any(|line| line.contains(":80 -s"));
        left.then_some(())
    })
    .with_context(|| bench.director.process().log_tail())
}

#[test]
fn an_address_that_is_being_left_is_left_by_a_daemon_that_has_its_service_no_longer() -> Result<()>
{
    an_address_alone(Family::V4)
}

#[test]
fn so_is_one_of_ipv6_that_is_being_left() -> Result<()> {
    an_address_alone(Family::V6)
}

/// The file is changed while no daemon is there: it is as if it had been reloaded.
#[test]
fn a_service_that_is_taken_out_between_two_daemons_drains_too() -> Result<()> {
    let mut bench = Bench::start(Family::V4, 8080, "10m")?;
    // Somebody else's stays.
    bench.node().run(["ipvsadm", "-A", "-t", "10.77.0.99:99", "-s", "rr"])?;
    bench.director.stop()?;
    bench.node().write("holdfast.yaml", &bench.without()?)?;
    bench.director.restart()?;
    let service = bench.service()?;
    ensure!(service.servers.iter().all(|one| one.state == "draining"), "{service:?}");
    bench.go_on()?;
    let ipvs = bench.director.status()?.ipvs.context("a table")?;
    assert_eq!(ipvs.foreign, ["tcp 10.77.0.99:99"]);
    bench.end()?;
    wait_until(LIMIT, "ours to be gone and theirs to be there", || {
        let table = saved_table(bench.node()).ok()?;
        (table == ["-A -t 10.77.0.99:99 -s rr"] && !bench.forwards().ok()?).then_some(())
    })
    .with_context(|| bench.director.process().log_tail())
}

/// The time of a drain goes on while no daemon is there, and its end needs no connection to end.
#[test]
fn the_deadline_of_a_drain_is_the_same_after_a_restart() -> Result<()> {
    let mut bench = Bench::start(Family::V4, 8080, "20s")?;
    bench.reload(&bench.without()?)?;
    bench.director.kill()?;
    bench.director.restart()?;
    let left = |service: Service| service.servers.first().and_then(|one| one.drain_ends_in_s);
    let first = left(bench.service()?).context("a deadline")?;
    ensure!(first < 20, "{first}");
    bench.wait_gone()
}

/// Another method is set in place, and connections keep the one that they began with: so does what they need.
fn another_method(family: Family) -> Result<()> {
    let mut bench = Bench::start(family, 80, "10m")?;
    bench.reload(&bench.setup.config.replace("forward: nat", "forward: direct"))?;
    wait_until(LIMIT, "the method to be another", || {
        let table = saved_table(bench.node()).ok()?;
        (table.iter().filter(|line| line.contains(" -g ")).count() == 2).then_some(())
    })?;
    bench.go_on()?;
    bench.director.kill()?;
    bench.director.restart()?;
    bench.go_on()?;
    bench.end()?;
    wait_until(LIMIT, "the sysctl to be given back", || (!bench.forwards().ok()?).then_some(()))
        .with_context(|| bench.director.process().log_tail())
}

#[test]
fn connections_that_began_with_nat_keep_what_they_need_when_the_method_is_another() -> Result<()> {
    another_method(Family::V4)
}

#[test]
fn so_do_those_of_ipv6() -> Result<()> {
    another_method(Family::V6)
}

/// What `on_stop: remove` took away was given up: what somebody makes there afterwards is his.
#[test]
fn what_was_removed_at_a_stop_is_nobodys_afterwards() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let state = format!(
        "daemon: {{state: {}}}\nipvs: {{on_stop: remove, poll: 200ms}}\n",
        node.folder().join("state").display()
    );
    let services = "services:\n  v4: {listen: tcp 10.77.0.10:80, forward: direct, real_servers: {a: 10.77.0.21}}\n  \
                    v6: {listen: 'tcp [fd00:77::10]:80', forward: direct, real_servers: {a: '[fd00:77::21]:80'}}\n";
    let mut director = Director::start(node, &format!("{state}{services}"))?;
    let table = |lines: usize| {
        wait_until(LIMIT, &format!("a table of {lines} lines"), || {
            (saved_table(node).ok()?.len() == lines).then_some(())
        })
    };
    table(4)?;
    director.stop()?;
    table(0)?;
    node.sh(
        "ipvsadm -A -t 10.77.0.10:80 -s rr; ipvsadm -a -t 10.77.0.10:80 -r 10.77.0.22 -g -w 7\n\
         ipvsadm -A -t '[fd00:77::10]:80' -s rr; ipvsadm -a -t '[fd00:77::10]:80' -r '[fd00:77::22]:80' -g -w 7",
    )?;
    let theirs = saved_table(node)?;
    let other = "services: {other: {listen: tcp 10.77.0.10:81, forward: direct}}\n";
    let director = Director::start(node, &format!("{state}{other}"))?;
    let foreign = wait_until(LIMIT, "the table to have been compared", || {
        let ipvs = director.status().ok()?.ipvs?;
        (ipvs.foreign.len() == 2).then_some(ipvs.foreign)
    });
    foreign.with_context(|| director.process().log_tail())?;
    let mut found = saved_table(node)?;
    found.retain(|line| !line.contains("10.77.0.10:81"));
    assert_eq!(found, theirs);
    assert_eq!(director.status()?.services.len(), 1, "nothing of theirs drains");
    Ok(())
}

/// What is over leaves the kernel, and the record after it: whenever a daemon is killed, nothing of its own is a stranger's for the next one.
#[test]
fn a_kill_while_a_service_ends_leaves_none_that_is_a_strangers() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    // So many that the kernel's table is read for a while before it is changed.
    let stays = |port| format!("  s{port}: {{listen: tcp 10.77.0.10:{port}, forward: direct}}\n");
    let stay: String = (1..=600).map(stays).collect();
    let ends = "  v4: {listen: tcp 10.77.0.10:4242, forward: direct}\n  v6: {listen: 'tcp [fd00:77::10]:4242', forward: direct}\n";
    let mut director = Director::start(node, &format!("services:\n{ends}{stay}"))?;
    wait_until(LIMIT, "the table", || (saved_table(node).ok()?.len() == 602).then_some(()))?;
    let path = node.folder().join("state/services.state");
    let is_known = || Ok::<_, anyhow::Error>(fs::read_to_string(&path)?.contains("4242"));
    ensure!(is_known()?, "they are ours");
    node.write("holdfast.yaml", &format!("services:\n{stay}"))?;
    director.process().kill(Signal::SIGHUP)?;
    let begun = Instant::now();
    while is_known()? {
        ensure!(begun.elapsed() < LIMIT, "the record keeps what is over");
        std::thread::yield_now();
    }
    director.kill()?;
    director.restart()?;
    let left = saved_table(node)?.into_iter().filter(|line| line.contains("4242"));
    assert_eq!(left.collect::<Vec<_>>(), Vec::<String>::new());
    Ok(())
}
