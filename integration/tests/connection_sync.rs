//! Connections survive their director: the kernel's sync daemons follow VRRP, and a hundred TCP streams go on over a kill -9.
//!
//! ```text
//!  direct: client ── br0 ── lb1, lb2, web1, web2      NAT: client ── br0 ── lb1, lb2 ── br1 ── web1, web2
//!                                                     (the webs' gateway is the inner virtual address, in one group)
//! ```

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_control::ConnectionSync;
use holdfast_integration::Director;
use holdfast_integration::family::Family;
use holdfast_integration::pair::wait_count;
use holdfast_integration::setup::Setup;
use holdfast_integration::streams::Streams;
use holdfast_testkit::lab::{Node, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// So many streams have to survive.
const STREAMS: u64 = 100;

/// So many blocks each brings after the takeover.
const BLOCKS: u64 = 20;

/// Both directors, the first one active, each with the sync daemon of its role.
fn start(setup: &Setup) -> Result<(Director, Director)> {
    let lb1 = Director::start(setup.lab.lb1(), &setup.config)?;
    let lb2 = Director::start(setup.lab.lb2(), &setup.config)?;
    lb1.wait_instance("edge", "active", LIMIT)?;
    for director in [&lb1, &lb2] {
        for web in ["web1", "web2"] {
            director.wait_server("web", web, "up", LIMIT)?;
        }
    }
    wait_running(&lb1, &["master"])?;
    wait_running(&lb2, &["backup"])?;
    Ok((lb1, lb2))
}

fn sync(director: &Director) -> Result<ConnectionSync> {
    director.status()?.sync.context("no connection synchronisation")
}

/// Waits until the daemons of these roles run, and no other.
fn wait_running(director: &Director, roles: &[&str]) -> Result<ConnectionSync> {
    let what = format!("the {roles:?} sync daemons of {} alone", director.node().name());
    wait_until(LIMIT, &what, || {
        let found = sync(director).ok()?;
        let running: Vec<&str> = found.daemons.iter().map(|daemon| daemon.role.as_str()).collect();
        (running == roles && found.fault.is_none()).then_some(found)
    })
    .with_context(|| format!("{:?}\n{}", sync(director), director.process().log_tail()))
}

/// What `ipvsadm` says of the daemons.
fn daemons(node: &Node) -> Result<String> {
    Ok(node.run(["ipvsadm", "-L", "--daemon"])?.stdout)
}

/// The established connections that the node's kernel knows from the other director.
fn told(node: &Node) -> Result<usize> {
    let list = node.run(["cat", "/proc/net/ip_vs_conn_sync"])?.stdout;
    let told = |line: &&str| line.contains(" ESTABLISHED ") && line.contains(" SYNC ");
    Ok(list.lines().filter(told).count())
}

fn wait_told(node: &Node, count: u64) -> Result<()> {
    let what = format!("{} to be told of {count} connections", node.name());
    wait_until(LIMIT, &what, || told(node).ok().filter(|told| *told as u64 >= count).map(drop))
        .with_context(|| format!("it was told of {:?}", told(node)))
}

/// The active director dies: killed, and its links cut, since its kernel would go on without it.
fn survive(setup: &Setup) -> Result<()> {
    let (mut lb1, lb2) = start(setup)?;
    let streams = Streams::start(setup.lab.client(), setup.target, STREAMS)?;
    streams.wait_going_on(3)?;
    wait_told(setup.lab.lb2(), STREAMS)?;
    wait_until(LIMIT, "the connections to be counted", || {
        let share = sync(&lb2).ok()?.connections?;
        (share.complete && share.of_sync == share.looked_at).then_some(())
    })
    .with_context(|| format!("{:?}", sync(&lb2)))?;

    lb1.kill()?;
    setup
        .lab
        .lb1()
        .sh("ip link set eth0 down; if ip link show eth1; then ip link set eth1 down; fi")?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    wait_running(&lb2, &["master"])?;
    streams.wait_going_on(BLOCKS).with_context(|| lb2.process().log_tail())?;
    ensure!(streams.blocks().len() as u64 == STREAMS);
    Ok(())
}

#[test]
fn a_hundred_streams_survive_their_director_with_direct_routing() -> Result<()> {
    survive(&Setup::direct(Family::V4, "ipvs: {sync: {interface: eth0}}\n")?)
}

#[test]
fn a_hundred_streams_of_ipv6_survive_their_director_with_direct_routing() -> Result<()> {
    survive(&Setup::direct(Family::V6, "ipvs: {sync: {interface: eth0, group: 'ff02::81'}}\n")?)
}

#[test]
fn a_hundred_streams_survive_their_director_with_nat_and_its_gateway() -> Result<()> {
    let setup = Setup::nat(Family::V4, 8080, "ipvs: {sync: {interface: eth1, follows: pair}}\n")?;
    // The daemon sees to it itself.
    for node in [setup.lab.lb1(), setup.lab.lb2()] {
        node.sysctl("net/ipv4/ip_forward", "0")?;
    }
    survive(&setup)
}

#[test]
fn a_hundred_streams_of_ipv6_survive_their_director_with_nat_and_its_gateway() -> Result<()> {
    let setup = Setup::nat(Family::V6, 8080, "ipvs: {sync: {interface: eth1}}\n")?;
    for node in [setup.lab.lb1(), setup.lab.lb2()] {
        node.sysctl("net/ipv6/conf/all/forwarding", "0")?;
    }
    survive(&setup)
}

#[test]
fn the_daemons_are_what_the_configuration_says_and_follow_vrrp() -> Result<()> {
    let setup = Setup::direct(
        Family::V4,
        "ipvs: {sync: {interface: eth0, id: 7, group: 224.0.0.99, port: 9000, ttl: 4, maxlen: 1200}}\n",
    )?;
    let (lb1, lb2) = start(&setup)?;
    let line = |role: &str| {
        format!(
            "{role} sync daemon (mcast=eth0, syncid=7, maxlen=1200, group=224.0.0.99, port=9000, ttl=4)\n"
        )
    };
    assert_eq!(daemons(setup.lab.lb1())?, line("master"));
    assert_eq!(daemons(setup.lab.lb2())?, line("backup"));
    let shown = lb1.cli(&["status"])?;
    ensure!(shown.contains("224.0.0.99") && shown.contains("9000"), "{shown}");

    lb1.cli(&["vrrp", "failover", "edge"])?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    wait_running(&lb1, &["backup"])?;
    wait_running(&lb2, &["master"])?;
    assert_eq!(daemons(setup.lab.lb1())?, line("backup"));
    assert_eq!(daemons(setup.lab.lb2())?, line("master"));
    Ok(())
}

/// The kernel's threads by name, with their numbers: those of a daemon that is started anew are others.
fn threads(node: &Node) -> Result<String> {
    Ok(node.sh("for one in /proc/[0-9]*; do read -r name <$one/comm; case $name in ipvs-[mb]:*) echo ${one#/proc/} $name;; esac; done 2>/dev/null; true")?.stdout)
}

#[test]
fn a_restart_of_the_daemon_leaves_the_kernels_threads_alone() -> Result<()> {
    let setup = Setup::direct(Family::V4, "ipvs: {sync: {interface: eth0, role: both}}\n")?;
    let mut director = Director::start(setup.lab.lb1(), &setup.config)?;
    wait_running(&director, &["master", "backup"])?;
    let before = threads(setup.lab.lb1())?;
    ensure!(before.lines().count() >= 2, "{before:?}");
    director.kill()?;
    director.restart()?;
    let after_kill = wait_running(&director, &["master", "backup"])?;
    director.stop()?;
    assert_eq!(threads(setup.lab.lb1())?, before, "`ipvs.on_stop` is keep");
    director.restart()?;
    let after_stop = wait_running(&director, &["master", "backup"])?;
    assert_eq!(threads(setup.lab.lb1())?, before);
    assert_eq!((after_kill.starts_total, after_stop.starts_total), (0, 0));
    Ok(())
}

/// The file is changed while no daemon is there.
#[test]
fn daemons_that_the_next_configuration_has_not_end_and_others_stay() -> Result<()> {
    let ipvs = "ipvs: {sync: {interface: eth0, role: both, id: 7}}\n";
    let setup = Setup::direct(Family::V4, ipvs)?;
    let node = setup.lab.lb1();
    let mut director = Director::start(node, &setup.config)?;
    wait_running(&director, &["master", "backup"])?;
    // What is ours is written after the daemons were started.
    let record = node.folder().join("state/services.state");
    wait_until(LIMIT, "the record", || {
        let text = std::fs::read(&record).ok()?;
        String::from_utf8_lossy(&text).contains("eth0").then_some(())
    })?;
    director.kill()?;
    // Somebody has his own in the place of one.
    let start = ["--mcast-interface", "eth0", "--syncid", "9"];
    node.run(["ipvsadm", "--stop-daemon", "backup"])?;
    node.run([&["ipvsadm", "--start-daemon", "backup"][..], &start].concat())?;
    node.write("holdfast.yaml", &setup.config.replace(ipvs, ""))?;
    director.restart()?;
    let left = daemons(node)?;
    ensure!(!left.contains("master") && left.contains("syncid=9"), "{left}");
    Ok(())
}

/// The thread's line of a role, as of [`threads`].
fn thread_of(threads: &str, role: char) -> Vec<&str> {
    threads.lines().filter(|line| line.contains(&format!("ipvs-{role}:"))).collect()
}

#[test]
fn a_reload_starts_anew_what_it_changes_and_interrupts_nothing_else() -> Result<()> {
    let ipvs = "ipvs: {sync: {interface: eth0, role: both, id: 7}}\n";
    let setup = Setup::direct(Family::V4, ipvs)?;
    let node = setup.lab.lb1();
    let director = Director::start(node, &setup.config)?;
    director.wait_instance("edge", "active", LIMIT)?;
    let started = wait_running(&director, &["master", "backup"])?.starts_total;
    let before = threads(node)?;
    let with = |sync: &str| setup.config.replace(ipvs, sync);

    // Other things change: a service, the poll, a sysctl of synchronisation.
    for ipvs in [
        "ipvs: {poll: 1s, sync: {interface: eth0, role: both, id: 7}}\n",
        "ipvs: {poll: 1s, sync: {interface: eth0, role: both, id: 7}, sysctls: {sync_retries: 2}}\n",
    ] {
        director.reload(&with(ipvs).replace("scheduler: rr", "scheduler: wrr"))?;
        // The configuration is taken before the next look, which comes every second.
        wait_until(LIMIT, "the sysctl", || {
            let retries = node.run(["cat", "/proc/sys/net/ipv4/vs/sync_retries"]).ok()?.stdout;
            let expected = if ipvs.contains("sync_retries") { "2" } else { "0" };
            (retries.trim() == expected).then_some(())
        })?;
        wait_running(&director, &["master", "backup"])?;
    }
    assert_eq!(threads(node)?, before);
    assert_eq!(sync(&director)?.starts_total, started);

    // One of the two is wanted no longer: the other one notices nothing.
    director.reload(&with("ipvs: {sync: {interface: eth0, id: 7}}\n"))?;
    wait_running(&director, &["master"])?;
    assert_eq!(thread_of(&threads(node)?, 'm'), thread_of(&before, 'm'));
    assert_eq!(sync(&director)?.starts_total, started);

    // Another number: that is another daemon.
    director.reload(&with("ipvs: {sync: {interface: eth0, id: 8}}\n"))?;
    wait_until(LIMIT, "the daemon of number 8", || {
        daemons(node).ok().filter(|said| said.contains("syncid=8")).map(drop)
    })?;
    // The kernel has it a moment before the daemon says so.
    let found = wait_until(LIMIT, "the daemon of number 8 in the status", || {
        let found = sync(&director).ok()?;
        (!found.daemons.is_empty() && found.daemons.iter().all(|one| one.id == 8)).then_some(found)
    })?;
    assert_eq!(found.starts_total, started + 1);
    wait_running(&director, &["master"])?;

    // Without the key there is none, and no sysctl of it.
    director.reload(&with(""))?;
    wait_until(LIMIT, "no daemon", || {
        let retries = node.run(["cat", "/proc/sys/net/ipv4/vs/sync_retries"]).ok()?.stdout;
        (daemons(node).ok()?.is_empty() && retries.trim() == "0").then_some(())
    })?;
    ensure!(director.status()?.sync.is_none());
    director.reload(&setup.config)?;
    wait_running(&director, &["master", "backup"])?;
    Ok(())
}

#[test]
fn what_runs_with_other_parameters_is_started_anew_and_all_of_it_ends_with_the_services()
-> Result<()> {
    let setup = Setup::direct(
        Family::V4,
        "ipvs: {on_stop: remove, poll: 100ms, sync: {interface: eth0, role: both, id: 9}}\n",
    )?;
    let node = setup.lab.lb1();
    node.run([
        "ipvsadm",
        "--start-daemon",
        "master",
        "--mcast-interface",
        "eth0",
        "--syncid",
        "3",
    ])?;
    let mut director = Director::start(node, &setup.config)?;
    // The one that runs with another number is in the status until it has been started anew.
    wait_until(LIMIT, "both daemons, of number 9", || {
        let daemons = sync(&director).ok()?.daemons;
        (daemons.len() == 2 && daemons.iter().all(|daemon| daemon.id == 9)).then_some(())
    })
    .with_context(|| format!("{:?}", sync(&director)))?;
    // Somebody stops one: it is back at the next look.
    node.run(["ipvsadm", "--stop-daemon", "backup"])?;
    wait_until(LIMIT, "the backup daemon to be back", || {
        daemons(node).ok().filter(|said| said.contains("backup sync daemon")).map(drop)
    })?;
    wait_until(LIMIT, "the event", || {
        let events = director.cli(&["events"]).ok()?;
        events.contains("backup sync daemon  it does not run: started anew").then_some(())
    })?;
    // The one with another number was there before this daemon.
    assert_eq!(sync(&director)?.drift_total, [("sync_daemon_missing".to_owned(), 1)].into());
    director.stop()?;
    assert_eq!(daemons(node)?, "");
    Ok(())
}

#[test]
fn a_daemon_that_cannot_start_is_a_fault_and_starts_when_it_can() -> Result<()> {
    let setup = Setup::direct(Family::V4, "ipvs: {poll: 100ms, sync: {interface: sync0}}\n")?;
    let node = setup.lab.lb1();
    // The host's check knows the interface: it goes before the daemon needs it.
    node.sh("ip link add sync0 type veth peer name sync1; ip link set sync0 down")?;
    let director = Director::start(node, &setup.config)?;
    let faulty = |word: &str| {
        wait_until(LIMIT, &format!("a fault with {word}"), || {
            sync(&director).ok()?.fault.filter(|fault| fault.contains(word))
        })
    };
    let fault = faulty("ENETUNREACH")?;
    ensure!(fault.contains("needs an address"), "{fault}");
    node.sh("ip address add 10.99.0.1/24 dev sync0; ip link set sync0 up; ip link set sync1 up")?;
    wait_running(&director, &["master"]).or_else(|_| wait_running(&director, &["backup"]))?;
    // One that is made anew is another, on which nothing was joined.
    let starts = sync(&director)?.starts_total;
    node.sh("ip link delete sync0")?;
    // Until then the kernel lists the daemon as running, which is deaf.
    faulty("the interface sync0 is gone")?;
    node.sh("ip link add sync0 type veth peer name sync1; ip link set sync0 up; ip link set sync1 up; ip address add 10.99.0.1/24 dev sync0")?;
    wait_until(LIMIT, "the daemon to be started anew", || {
        let found = sync(&director).ok()?;
        (found.starts_total > starts && found.fault.is_none()).then_some(())
    })
    .with_context(|| director.process().log_tail())
}

/// What the others prove, proved not to come by itself.
#[test]
fn without_synchronisation_no_stream_survives() -> Result<()> {
    let setup = Setup::direct(Family::V4, "")?;
    let mut lb1 = Director::start(setup.lab.lb1(), &setup.config)?;
    let lb2 = Director::start(setup.lab.lb2(), &setup.config)?;
    lb1.wait_instance("edge", "active", LIMIT)?;
    for web in ["web1", "web2"] {
        lb1.wait_server("web", web, "up", LIMIT)?;
        lb2.wait_server("web", web, "up", LIMIT)?;
    }
    let streams = Streams::start(setup.lab.client(), setup.target, 5)?;
    streams.wait_going_on(3)?;
    lb1.kill()?;
    setup.lab.link_down(setup.lab.lb1())?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    // A stream that nobody answers has the patience of a minute.
    let limit = LIMIT * 2;
    wait_until(limit, "every stream to break", || (streams.broken().len() == 5).then_some(()))
}

/// A better node comes back, learns the connections of the one that is active, and takes over with all of them.
fn a_returned_node_takes_over(family: Family, sync: &str) -> Result<()> {
    let sysctls = "sysctls: {sync_refresh_period: 1}";
    let ipvs = format!("ipvs: {{sync: {{{sync}}}, {sysctls}}}\n");
    let mut setup = Setup::direct(family, &ipvs)?;
    let waits = "vrid: 51, preempt: {wait_for_sync: 40s}";
    setup.config = setup.config.replace("vrid: 51", waits);
    let lb2 = Director::start(setup.lab.lb2(), &setup.config)?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    for web in ["web1", "web2"] {
        lb2.wait_server("web", web, "up", LIMIT)?;
    }
    wait_running(&lb2, &["master"])?;
    let streams = Streams::start(setup.lab.client(), setup.target, 20)?;
    streams.wait_going_on(3)?;

    let lb1 = Director::start(setup.lab.lb1(), &setup.config)?;
    // In one loop: it does not wait for long.
    wait_until(LIMIT, "lb1 to wait and to say so", || {
        let shown = lb1.cli(&["status"]).ok()?;
        let waiting = lb1.instance("edge").ok()?;
        let says = shown.contains("waits until it has the active node's connections");
        (says && waiting.waits_for_sync && waiting.state == "backup").then_some(())
    })?;
    let active = lb1.wait_instance("edge", "active", LIMIT)?;
    assert_eq!(active.reason, "preempt");
    ensure!(told(setup.lab.lb1())? >= 20, "{:?}", told(setup.lab.lb1()));
    lb2.wait_instance("edge", "backup", LIMIT)?;
    streams.wait_going_on(BLOCKS).with_context(|| lb1.process().log_tail())
}

#[test]
fn a_returned_node_takes_over_when_it_has_the_connections() -> Result<()> {
    a_returned_node_takes_over(Family::V4, "interface: eth0")
}

#[test]
fn so_does_one_that_learns_connections_of_ipv6_by_ipv6() -> Result<()> {
    a_returned_node_takes_over(Family::V6, "interface: eth0, group: 'ff02::81'")
}

/// The link goes after the last look, and the next one is far away: a node that was deaf has not caught up.
#[test]
fn a_node_that_was_deaf_meanwhile_has_not_caught_up() -> Result<()> {
    let sync = "ipvs: {poll: 1h, sync: {interface: sync0, per_node: {lb2: {interface: eth0}}}, sysctls: {sync_refresh_period: 1}}\n";
    let mut setup = Setup::direct(Family::V4, sync)?;
    setup.config = setup.config.replace("vrid: 51", "vrid: 51, preempt: {wait_for_sync: 10m}");
    let node = setup.lab.lb1();
    node.sh("ip link add sync0 type veth peer name sync1; ip address add 10.99.0.1/24 dev sync0; ip link set sync0 up; ip link set sync1 up")?;
    let lb2 = Director::start(setup.lab.lb2(), &setup.config)?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    let lb1 = Director::start(node, &setup.config)?;
    wait_until(LIMIT, "lb1 to listen", || {
        let waits = lb1.instance("edge").ok()?.waits_for_sync;
        (waits && crate::sync(&lb1).ok()?.caught_up_in_s.is_some()).then_some(())
    })?;
    node.sh("ip link set sync0 down")?;
    wait_until(LIMIT, "lb1 to see that it did not", || {
        crate::sync(&lb1).ok()?.caught_up_in_s.is_none().then_some(())
    })?;
    wait_count(&lb1, "edge", "advertisements_received", 10)?;
    let edge = lb1.instance("edge")?;
    ensure!(edge.waits_for_sync && edge.state == "backup", "{edge:?}");
    Ok(())
}

/// Nothing can be learned, and the wait has an end.
#[test]
fn a_node_that_learns_nothing_takes_over_when_its_wait_is_over() -> Result<()> {
    let mut setup = Setup::direct(Family::V4, "ipvs: {sync: {interface: eth0}}\n")?;
    setup.config = setup.config.replace("vrid: 51", "vrid: 51, preempt: {wait_for_sync: 10s}");
    let lb2 = Director::start(setup.lab.lb2(), &setup.config)?;
    lb2.wait_instance("edge", "active", LIMIT)?;
    let lb1 = Director::start(setup.lab.lb1(), &setup.config)?;
    wait_until(LIMIT, "lb1 to wait", || {
        lb1.instance("edge").ok().filter(|edge| edge.waits_for_sync).map(drop)
    })?;
    let active = lb1.wait_instance("edge", "active", LIMIT)?;
    assert_eq!(active.reason, "preempt");
    Ok(())
}
