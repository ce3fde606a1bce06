//! Packets reach real servers: direct routing, NAT and tunnel, IPv4 and IPv6, with HTTP by nginx.
//!
//! ```text
//!  direct, tunnel: client ── br0 ── lb1, web1, web2        NAT: client ── br0 ── lb1, lb2 ── br1 ── web1, web2
//!  (the webs have the virtual address on lo)               (the webs' gateway is the inner virtual address)
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::family::Family;
use holdfast_integration::setup::{CHECK, vrrp};
use holdfast_integration::{Director, ask_within, saved_table};
use holdfast_testkit::lab::{INNER_VIP4, Lab, Nginx, Node, Topology, VIP4, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A request that takes longer has failed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

fn start_webs(lab: &Lab, port: u16) -> Result<Vec<Nginx>> {
    lab.webs().map(|web| Nginx::start(web, port)).collect()
}

/// Waits until the daemon is active and every server of `service` is up and in the kernel.
fn wait_serving(director: &Director, service: &str, servers: usize) -> Result<()> {
    director.wait_instance("edge", "active", LIMIT)?;
    wait_until(LIMIT, &format!("{servers} servers of {service} to be up"), || {
        let status = director.status().ok()?;
        let up = status.services.iter().find(|found| found.name == service)?.up;
        let in_sync = status.ipvs?.in_sync_s_ago.is_some();
        (up == servers && in_sync).then_some(())
    })?;
    // The last change may still be on its way.
    wait_until(LIMIT, "the kernel's table to have them", || {
        let lines = saved_table(director.node()).ok()?;
        // Each of the kernel's services has them all.
        let services = lines.iter().filter(|line| line.starts_with("-A")).count();
        let serving =
            lines.iter().filter(|line| line.starts_with("-a") && !line.contains(" -w 0")).count();
        (services > 0 && serving >= servers * services).then_some(())
    })
}

/// Asks `target` `count` times, one after the other: how often each server answered.
fn spread(client: &Node, target: SocketAddr, count: usize) -> Result<BTreeMap<String, usize>> {
    let mut answers = BTreeMap::new();
    for number in 1..=count {
        let server = client
            .enter(|| ask_within(target, PATIENCE))?
            .with_context(|| format!("request {number} of {count} to {target}"))?;
        *answers.entry(server).or_insert(0) += 1;
    }
    Ok(answers)
}

fn evenly(webs: &[&str], each: usize) -> BTreeMap<String, usize> {
    webs.iter().map(|web| ((*web).to_owned(), each)).collect()
}

/// One network, `rr` over two servers that hold the virtual address: as many answers from each.
fn one_arm(
    forward: &str,
    letter: char,
    family: Family,
    prepare: impl Fn(&Node) -> Result<()>,
) -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    for web in lab.webs() {
        web.hold_vip(family.vip())?;
        prepare(web)?;
    }
    let _webs = start_webs(&lab, 80)?;
    let vip = family.at(80);
    let servers = family.real_servers(&lab, 80);
    let director = Director::start(
        lab.lb1(),
        &format!(
            "{}services:\n  web: {{listen: \"tcp {vip}\", scheduler: rr, forward: {forward}, {CHECK}, real_servers: {servers}}}\n",
            vrrp(family, false)
        ),
    )?;
    wait_serving(&director, "web", 2)?;
    assert_eq!(spread(lab.client(), vip, 10)?, evenly(&["web1", "web2"], 5));
    let destination = |web: &Node| {
        let address = SocketAddr::new(family.of(web), 80);
        format!("-a -t {vip} -r {address} -{letter} -w 1")
    };
    let mut expected = vec![format!("-A -t {vip} -s rr")];
    expected.extend(lab.webs().map(destination));
    let found: Vec<String> = saved_table(lab.lb1())?
        .into_iter()
        // ipvsadm names a tunnel's form as well.
        .map(|line| line.replace(" --tun-type ipip", ""))
        .collect();
    assert_eq!(found, expected);
    Ok(())
}

#[test]
fn direct_routing_carries_ipv4() -> Result<()> {
    one_arm("direct", 'g', Family::V4, |_| Ok(()))
}

#[test]
fn direct_routing_carries_ipv6() -> Result<()> {
    one_arm("direct", 'g', Family::V6, |_| Ok(()))
}

/// What comes to the virtual MAC address is forwarded as what comes to the interface's own.
#[test]
fn services_are_forwarded_on_a_virtual_mac_address() -> Result<()> {
    for (family, mac) in [(Family::V4, "00:00:5e:00:01:33"), (Family::V6, "00:00:5e:00:02:33")] {
        let lab = Lab::with(Topology::one_arm().webs(2))?;
        lab.webs().try_for_each(|web| web.hold_vip(family.vip()))?;
        let _webs = start_webs(&lab, 80)?;
        let vrrp = vrrp(family, false).replace("vrid: 51", "vrid: 51, virtual_mac: true");
        let target = family.at(80);
        let services = format!(
            "services:\n  web: {{listen: 'tcp {target}', scheduler: rr, forward: direct, {CHECK}, \
             real_servers: {}}}\n",
            family.real_servers(&lab, 80)
        );
        let director = Director::start(lab.lb1(), &(vrrp + &services))?;
        wait_serving(&director, "web", 2).with_context(|| director.process().log_tail())?;
        ensure!(spread(lab.client(), target, 8)? == evenly(&["web1", "web2"], 4));
        let known = holdfast_integration::pair::believed_mac(lab.client(), family.vip())?;
        ensure!(known.as_deref() == Some(mac), "the client believes in {known:?}");
    }
    Ok(())
}

#[test]
fn a_tunnel_carries_ipv4() -> Result<()> {
    let loaded = Command::new("modprobe").arg("ipip").status()?;
    ensure!(loaded.success(), "modprobe ipip: {loaded}");
    one_arm("tunnel", 'i', Family::V4, |web| {
        web.sh("ip link set tunl0 up\necho 0 >/proc/sys/net/ipv4/conf/tunl0/rp_filter").map(drop)
    })
}

/// Two networks, NAT to another port; the servers answer by the inner virtual address.
fn nat(family: Family) -> Result<()> {
    let lab = Lab::with(Topology::nat().webs(2))?;
    let _webs = start_webs(&lab, 8080)?;
    let vip = family.at(80);
    let servers = family.real_servers(&lab, 8080);
    let director = Director::start(
        lab.lb1(),
        &format!(
            "{}services:\n  web: {{listen: \"tcp {vip}\", scheduler: rr, forward: nat, {CHECK}, real_servers: {servers}}}\n",
            vrrp(family, true)
        ),
    )?;
    director.wait_instance("inside", "active", LIMIT)?;
    wait_serving(&director, "web", 2)?;
    assert_eq!(spread(lab.client(), vip, 10)?, evenly(&["web1", "web2"], 5));
    let masqueraded = saved_table(lab.lb1())?.iter().filter(|line| line.contains(" -m ")).count();
    assert_eq!(masqueraded, 2);
    Ok(())
}

#[test]
fn nat_carries_ipv4_to_another_port() -> Result<()> {
    nat(Family::V4)
}

#[test]
fn nat_carries_ipv6_to_another_port() -> Result<()> {
    nat(Family::V6)
}

/// The active director of a NAT pair loses power: both virtual addresses move together, and the servers' answers with them. It
/// comes back and is stopped in order: the same again.
#[test]
fn a_nat_pair_fails_over_with_the_servers_gateway() -> Result<()> {
    let lab = Lab::with(Topology::nat().webs(1))?;
    let _webs = start_webs(&lab, 8080)?;
    let vip = SocketAddr::new(VIP4.into(), 80);
    let config = format!(
        "{}services:\n  web: {{listen: tcp {vip}, forward: nat, {CHECK}, real_servers: {}}}\n",
        vrrp(Family::V4, true),
        Family::V4.real_servers(&lab, 8080)
    );
    let mut lb1 = Director::start(lab.lb1(), &config)?;
    let lb2 = Director::start(lab.lb2(), &config)?;
    lb1.wait_instance("inside", "active", LIMIT)?;
    for director in [&lb1, &lb2] {
        director.wait_server("web", "web1", "up", LIMIT)?;
    }
    lb1.wait_instance("edge", "active", LIMIT)?;
    spread(lab.client(), vip, 3)?;

    lb1.kill()?;
    lab.lb1().sh("ip link set eth0 down; ip link set eth1 down")?;
    moved_to(&lb2, &lab)?;
    wait_until(LIMIT, "an answer by way of lb2", || spread(lab.client(), vip, 1).ok())?;
    spread(lab.client(), vip, 3)?;

    lab.lb1().sh("ip link set eth0 up; ip link set eth1 up")?;
    lb1.restart()?;
    moved_to(&lb1, &lab)?;
    lb2.wait_instance("edge", "backup", LIMIT)?;
    lb2.wait_instance("inside", "backup", LIMIT)?;
    wait_until(LIMIT, "an answer by way of lb1", || spread(lab.client(), vip, 1).ok())?;

    lb1.stop()?;
    moved_to(&lb2, &lab)?;
    ensure!(!lab.lb1().has_address(VIP4.into())?, "lb1 has stopped and keeps the address");
    ensure!(!lab.lb1().has_address(INNER_VIP4.into())?, "lb1 has stopped and keeps the inner one");
    wait_until(LIMIT, "an answer by way of lb2 again", || spread(lab.client(), vip, 1).ok())?;
    Ok(())
}

/// Both virtual addresses are on this director.
fn moved_to(director: &Director, lab: &Lab) -> Result<()> {
    director.wait_instance("edge", "active", LIMIT)?;
    director.wait_instance("inside", "active", LIMIT)?;
    let node = lab.node(director.node().name());
    wait_until(LIMIT, &format!("both addresses on {}", node.name()), || {
        let has = |address: IpAddr| node.has_address(address).unwrap_or(false);
        (has(VIP4.into()) && has(INNER_VIP4.into())).then_some(())
    })
}

/// One pool behind two addresses, two TCP ports and a UDP one: each is a service of the kernel, all have one set of checks, and a removal takes
/// the server from all.
fn one_pool(family: Family) -> Result<()> {
    let lab = Lab::with(Topology::nat().webs(2))?;
    let _webs = start_webs(&lab, 8080)?;
    let echoes = lab.webs().map(|web| Echo::start(web, 8080)).collect::<Result<Vec<_>>>()?;
    let (vip, more): (IpAddr, IpAddr) = match family {
        Family::V4 => (family.vip(), [10, 77, 0, 110].into()),
        Family::V6 => (family.vip(), [0xfd00, 0x77, 0, 0, 0, 0, 0, 0x110].into()),
    };
    let at = |address: IpAddr, port: u16| SocketAddr::new(address, port);
    let more_of_them = format!(", '{more}/{}']", family.length());
    let both = family.addresses(false).replace(']', &more_of_them);
    let director = Director::start(
        lab.lb1(),
        &format!(
            "{}services:\n  web:\n    listen: ['tcp {}', 'tcp {}', 'udp {}', 'tcp {}']\n    scheduler: rr\n    forward: nat\n    \
             {CHECK}\n    real_servers: {}\n",
            vrrp(family, true).replace(&family.addresses(false), &both),
            at(vip, 80),
            at(vip, 81),
            at(vip, 80),
            at(more, 80),
            family.real_servers(&lab, 8080)
        ),
    )?;
    director.wait_instance("inside", "active", LIMIT)?;
    wait_serving(&director, "web", 2)?;
    for target in [at(vip, 80), at(vip, 81), at(more, 80)] {
        assert_eq!(spread(lab.client(), target, 4)?, evenly(&["web1", "web2"], 2), "{target}");
    }
    assert_eq!(spread_udp(lab.client(), at(vip, 80), 4)?, evenly(&["web1", "web2"], 2));
    let servers = director.service("web")?.servers;
    ensure!(servers.iter().all(|server| server.checks.len() == 1), "{servers:?}");

    director.cli(&["server", "rm", "web", "web2", "--now"])?;
    wait_until(LIMIT, "web2 to leave every service", || {
        let lines = saved_table(lab.lb1()).ok()?;
        (lines.iter().filter(|line| line.starts_with("-a")).count() == 4).then_some(())
    })?;
    for target in [at(vip, 80), at(more, 80)] {
        assert_eq!(spread(lab.client(), target, 3)?, evenly(&["web1"], 3));
    }
    assert_eq!(spread_udp(lab.client(), at(vip, 80), 3)?, evenly(&["web1"], 3));
    drop(echoes);
    Ok(())
}

#[test]
fn one_pool_serves_several_addresses_ports_and_protocols() -> Result<()> {
    one_pool(Family::V4)
}

#[test]
fn one_pool_of_ipv6_does_so_too() -> Result<()> {
    one_pool(Family::V6)
}

/// As [`spread`], with a datagram from a new port each time.
fn spread_udp(client: &Node, target: SocketAddr, count: usize) -> Result<BTreeMap<String, usize>> {
    let mut answers = BTreeMap::new();
    for number in 1..=count {
        let server = client.enter(|| ask_udp(target))?;
        let server = server.with_context(|| format!("datagram {number} of {count} to {target}"))?;
        *answers.entry(server).or_insert(0) += 1;
    }
    Ok(answers)
}

fn ask_udp(target: SocketAddr) -> std::io::Result<String> {
    let socket = UdpSocket::bind(if target.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" })?;
    socket.set_read_timeout(Some(PATIENCE))?;
    socket.send_to(b"who?", target)?;
    let mut buffer = [0; 64];
    let (length, _) = socket.recv_from(&mut buffer)?;
    Ok(String::from_utf8_lossy(buffer.get(..length).unwrap_or_default()).into_owned())
}

/// A server that answers each datagram with its node's name.
struct Echo {
    stop: std::sync::Arc<std::sync::atomic::AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Echo {
    fn start(node: &Node, port: u16) -> Result<Self> {
        // To both families.
        let socket = node.enter(|| UdpSocket::bind(("::", port)))??;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
        let (name, ended) = (node.name().to_owned(), std::sync::Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                if let Ok((_, from)) = socket.recv_from(&mut buffer) {
                    // A client that is not answered fails its test.
                    drop(socket.send_to(name.as_bytes(), from));
                }
            }
        });
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        drop(self.thread.take().map(std::thread::JoinHandle::join));
    }
}

#[test]
fn a_server_of_weight_3_gets_three_times_as_many() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    for web in lab.webs() {
        web.hold_vip(VIP4.into())?;
    }
    let _webs = start_webs(&lab, 80)?;
    let director = Director::start(
        lab.lb1(),
        &format!(
            "{}services:\n  web: {{listen: tcp {VIP4}:80, scheduler: wrr, forward: direct, {CHECK}, real_servers: \
             {{web1: {{address: {}:80, weight: 3}}, web2: {}:80}}}}\n",
            vrrp(Family::V4, false),
            lab.web(1).ip4(),
            lab.web(2).ip4()
        ),
    )?;
    wait_serving(&director, "web", 2)?;
    let answers = spread(lab.client(), SocketAddr::new(VIP4.into(), 80), 40)?;
    let web1 = answers.get("web1").copied().unwrap_or_default();
    ensure!((28..=32).contains(&web1), "30 of 40 were to be web1's: {answers:?}");
    Ok(())
}

/// Schedulers, flags, persistence, forwarding methods, protocols, families: ipvsadm reads what the configuration says.
#[test]
fn the_kernels_table_is_what_ipvsadm_says() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let director = Director::start(
        lab.lb1(),
        r#"
services:
  hashed: {listen: tcp 10.77.0.10:443, scheduler: {name: mh, flags: [fallback, port]}, forward: direct, real_servers: {a: 10.77.0.21, b: {address: 10.77.0.22, weight: 7}}}
  sticky: {listen: tcp 10.77.0.10:80, scheduler: wlc, forward: nat, persistence: {timeout: 10m, prefix: 24}, real_servers: {a: 10.77.0.21:8080, spare: {address: 10.77.0.22:8080, weight: 0}}}
  dns: {listen: [udp 10.77.0.10:53, tcp 10.77.0.10:53], scheduler: sed, forward: nat, real_servers: {a: 10.77.0.21:53}}
  far: {listen: tcp 10.77.0.10:25, scheduler: lc, forward: tunnel, real_servers: {a: 10.99.0.21}}
  six: {listen: "tcp [fd00:77::10]:80", scheduler: rr, forward: direct, real_servers: {a: "[fd00:77::21]"}}
  sctp: {listen: sctp 10.77.0.10:3868, scheduler: nq, forward: nat, real_servers: {a: 10.77.0.21:3868}}
  empty: {listen: tcp 10.77.0.10:9, scheduler: dh, forward: direct}
"#,
    )?;
    wait_until(LIMIT, "a table in sync", || {
        let ipvs = director.status().ok()?.ipvs?;
        (ipvs.in_sync_s_ago.is_some()).then_some(())
    })?;
    let expected = [
        "-A --sctp-service 10.77.0.10:3868 -s nq",
        "-A -t 10.77.0.10:25 -s lc",
        "-A -t 10.77.0.10:443 -s mh -b mh-fallback,mh-port",
        "-A -t 10.77.0.10:53 -s sed",
        "-A -t 10.77.0.10:80 -s wlc -p 600 -M 255.255.255.0",
        "-A -t 10.77.0.10:9 -s dh",
        "-A -t [fd00:77::10]:80 -s rr",
        "-A -u 10.77.0.10:53 -s sed",
        "-a --sctp-service 10.77.0.10:3868 -r 10.77.0.21:3868 -m -w 1",
        "-a -t 10.77.0.10:25 -r 10.99.0.21:25 -i -w 1 --tun-type ipip",
        "-a -t 10.77.0.10:443 -r 10.77.0.21:443 -g -w 1",
        "-a -t 10.77.0.10:443 -r 10.77.0.22:443 -g -w 7",
        "-a -t 10.77.0.10:53 -r 10.77.0.21:53 -m -w 1",
        "-a -t 10.77.0.10:80 -r 10.77.0.21:8080 -m -w 1",
        "-a -t 10.77.0.10:80 -r 10.77.0.22:8080 -m -w 0",
        "-a -t [fd00:77::10]:80 -r [fd00:77::21]:80 -g -w 1",
        "-a -u 10.77.0.10:53 -r 10.77.0.21:53 -m -w 1",
    ];
    assert_eq!(saved_table(lab.lb1())?, expected);
    // The same from the daemon's side: it asked for no more operations than that takes.
    let ipvs = director.status()?.ipvs.context("the table")?;
    assert_eq!((ipvs.operations_total, ipvs.drift_repairs_total), (17, 0));
    assert_eq!(ipvs.errors, Vec::<String>::new());
    Ok(())
}
