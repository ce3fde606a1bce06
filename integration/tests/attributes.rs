//! All that a service can be: the kernel has what the configuration says, as ipvsadm reads it, and a daemon that starts again writes
//! nothing. What a kernel lacks is said of the service that wants it, and the others go on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use holdfast_integration::{Director, ask_within, saved_table};
use holdfast_testkit::lab::{
    INNER_VIP4, INNER_VIP6, Lab, Nginx, Node, Topology, VIP4, VIP6, wait_until,
};
use nix::sys::signal::Signal;

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A configuration on `node` whose state is the test's own.
fn config(node: &Node, rest: &str) -> String {
    format!("daemon: {{state: {}}}\n{rest}", node.folder().join("state").display())
}

fn wait_in_sync(director: &Director) -> Result<()> {
    wait_until(LIMIT, "a table in sync", || director.status().ok()?.ipvs?.in_sync_s_ago.map(drop))
        .with_context(|| director.process().log_tail())
}

/// Every attribute once, each with its line of `ipvsadm -Sn`.
const EVERY: &str = r#"
services:
  hashed: {listen: tcp 10.77.0.10:1, scheduler: {name: mh, flags: [fallback, port]}, forward: direct}
  source: {listen: tcp 10.77.0.10:2, scheduler: {name: sh, flags: [fallback]}, forward: direct}
  raw: {listen: tcp 10.77.0.10:3, scheduler: {name: rr, flags: [flag-1, flag-3]}, forward: direct}
  masked: {listen: tcp 10.77.0.10:4, forward: nat, persistence: {timeout: 10m, netmask: 255.255.240.0}}
  everybody: {listen: tcp 10.77.0.10:5, forward: nat, persistence: {prefix: 0}}
  masked6: {listen: "tcp [fd00:77::10]:4", forward: nat, persistence: {timeout: 1h, prefix: 56}}
  sip: {listen: udp 10.77.0.10:5060, scheduler: rr, one_packet: true, persistence: {timeout: 1m, prefix: 0, engine: sip}, forward: nat}
  dns: {listen: [udp 10.77.0.10:53, tcp 10.77.0.10:53, sctp 10.77.0.10:53], scheduler: rr, one_packet: true, forward: nat, real_servers: {a: 10.77.0.21:5353}}
  dns6: {listen: ["udp [fd00:77::10]:53", "tcp [fd00:77::10]:53", "sctp [fd00:77::10]:53"], scheduler: rr, one_packet: true, forward: nat, real_servers: {a: "[fd00:77::21]:5353"}}
  limited: {listen: tcp 10.77.0.10:6, scheduler: rr, forward: nat, upper_threshold: 100, lower_threshold: 50, real_servers: {a: 10.77.0.21:6, b: {address: 10.77.0.22:6, upper_threshold: 7}}}
  marked: {listen: fwmark 7, scheduler: rr, forward: nat, real_servers: {a: 10.77.0.21, b: 10.77.0.22:80}}
  marked6: {listen: {fwmark: 7, family: ipv6}, scheduler: rr, forward: direct, real_servers: {a: "[fd00:77::21]"}}
  whole: {listen: tcp 10.77.0.11:0, scheduler: rr, forward: direct, persistence: {}, real_servers: {a: 10.77.0.21}}
  gue: {listen: tcp 10.77.0.10:7, scheduler: rr, forward: {tunnel: {type: gue, port: 6080, checksum: full}}, real_servers: {a: 10.99.0.21}}
  gue_plain: {listen: tcp 10.77.0.10:8, scheduler: rr, forward: {tunnel: {type: gue, port: 6080}}, real_servers: {a: 10.99.0.21}}
  gue_remote: {listen: "tcp [fd00:77::10]:9", scheduler: rr, forward: {tunnel: {type: gue, port: 6080, checksum: remote}}, real_servers: {a: "[fd00:99::21]"}}
  gre: {listen: tcp 10.77.0.10:10, scheduler: rr, forward: {tunnel: {type: gre, checksum: full}}, real_servers: {a: 10.99.0.21}}
  mixed4: {listen: tcp 10.77.0.10:11, scheduler: rr, forward: tunnel, real_servers: {a: "[fd00:77::21]", b: 10.77.0.22}}
  mixed6: {listen: "tcp [fd00:77::10]:11", scheduler: rr, forward: {tunnel: {type: gre}}, real_servers: {a: 10.77.0.21, b: "[fd00:77::22]"}}
"#;

const EVERY_SAVED: [&str; 43] = [
    "-A --sctp-service 10.77.0.10:53 -s rr",
    "-A --sctp-service [fd00:77::10]:53 -s rr",
    "-A -f 7 -6 -s rr",
    "-A -f 7 -s rr",
    "-A -t 10.77.0.10:1 -s mh -b mh-fallback,mh-port",
    "-A -t 10.77.0.10:10 -s rr",
    "-A -t 10.77.0.10:11 -s rr",
    "-A -t 10.77.0.10:2 -s sh -b sh-fallback",
    "-A -t 10.77.0.10:3 -s rr -b flag-1,flag-3",
    "-A -t 10.77.0.10:4 -s wlc -p 600 -M 255.255.240.0",
    "-A -t 10.77.0.10:5 -s wlc -p 300 -M 0.0.0.0",
    "-A -t 10.77.0.10:53 -s rr",
    "-A -t 10.77.0.10:6 -s rr",
    "-A -t 10.77.0.10:7 -s rr",
    "-A -t 10.77.0.10:8 -s rr",
    "-A -t 10.77.0.11:0 -s rr -p 300",
    "-A -t [fd00:77::10]:11 -s rr",
    "-A -t [fd00:77::10]:4 -s wlc -p 3600 -M 56",
    "-A -t [fd00:77::10]:53 -s rr",
    "-A -t [fd00:77::10]:9 -s rr",
    "-A -u 10.77.0.10:5060 -s rr -p 60 -M 0.0.0.0 --pe sip -o",
    "-A -u 10.77.0.10:53 -s rr -o",
    "-A -u [fd00:77::10]:53 -s rr -o",
    "-a --sctp-service 10.77.0.10:53 -r 10.77.0.21:5353 -m -w 1",
    "-a --sctp-service [fd00:77::10]:53 -r [fd00:77::21]:5353 -m -w 1",
    "-a -f 7 -6 -r [fd00:77::21]:0 -g -w 1",
    "-a -f 7 -r 10.77.0.21:0 -m -w 1",
    "-a -f 7 -r 10.77.0.22:80 -m -w 1",
    "-a -t 10.77.0.10:10 -r 10.99.0.21:10 -i -w 1 --tun-type gre --tun-csum",
    "-a -t 10.77.0.10:11 -r 10.77.0.22:11 -i -w 1 --tun-type ipip",
    "-a -t 10.77.0.10:11 -r [fd00:77::21]:11 -i -w 1 --tun-type ipip",
    "-a -t 10.77.0.10:53 -r 10.77.0.21:5353 -m -w 1",
    "-a -t 10.77.0.10:6 -r 10.77.0.21:6 -m -w 1",
    "-a -t 10.77.0.10:6 -r 10.77.0.22:6 -m -w 1",
    "-a -t 10.77.0.10:7 -r 10.99.0.21:7 -i -w 1 --tun-type gue --tun-port 6080 --tun-csum",
    "-a -t 10.77.0.10:8 -r 10.99.0.21:8 -i -w 1 --tun-type gue --tun-port 6080 --tun-nocsum",
    "-a -t 10.77.0.11:0 -r 10.77.0.21:0 -g -w 1",
    "-a -t [fd00:77::10]:11 -r 10.77.0.21:11 -i -w 1 --tun-type gre --tun-nocsum",
    "-a -t [fd00:77::10]:11 -r [fd00:77::22]:11 -i -w 1 --tun-type gre --tun-nocsum",
    "-a -t [fd00:77::10]:53 -r [fd00:77::21]:5353 -m -w 1",
    "-a -t [fd00:77::10]:9 -r [fd00:99::21]:9 -i -w 1 --tun-type gue --tun-port 6080 --tun-remcsum",
    "-a -u 10.77.0.10:53 -r 10.77.0.21:5353 -m -w 1",
    "-a -u [fd00:77::10]:53 -r [fd00:77::21]:5353 -m -w 1",
];

/// A server's line of `ipvsadm -Ln --thresholds`, its columns apart by one blank.
fn thresholds(node: &Node, server: &str) -> Result<String> {
    let listed = node.run(["ipvsadm", "-Ln", "--thresholds"])?.stdout;
    let line = listed.lines().find(|line| line.contains(server));
    let columns = line.with_context(|| format!("{server} is not in {listed}"))?.split_whitespace();
    Ok(columns.collect::<Vec<_>>().join(" "))
}

/// The kernel's timeouts: `900 120 300`.
fn timeouts(node: &Node) -> Result<String> {
    let listed = node.run(["ipvsadm", "-L", "--timeout"])?.stdout;
    Ok(listed.trim().trim_start_matches("Timeout (tcp tcpfin udp): ").to_owned())
}

#[test]
fn every_attribute_is_in_the_kernel_and_a_restart_writes_nothing() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let mut director = Director::start(node, &config(node, EVERY))?;
    wait_in_sync(&director)?;
    assert_eq!(saved_table(node)?, EVERY_SAVED);
    let limits = |node| -> Result<[String; 2]> {
        Ok([thresholds(node, "10.77.0.21:6 ")?, thresholds(node, "10.77.0.22:6 ")?])
    };
    assert_eq!(limits(node)?, ["-> 10.77.0.21:6 100 50 0 0", "-> 10.77.0.22:6 7 0 0 0"]);
    let ipvs = director.status()?.ipvs.context("the table")?;
    assert_eq!((ipvs.operations_total, ipvs.errors.as_slice()), (43, [].as_slice()));

    director.kill()?;
    director.restart()?;
    wait_in_sync(&director)?;
    let ipvs = director.status()?.ipvs.context("the table")?;
    assert_eq!((ipvs.operations_total, ipvs.drift_repairs_total), (0, 0));
    assert_eq!(saved_table(node)?, EVERY_SAVED);
    assert_eq!(limits(node)?, ["-> 10.77.0.21:6 100 50 0 0", "-> 10.77.0.22:6 7 0 0 0"]);
    Ok(())
}

/// The scheduler `twos` taken away from this kernel, where it has it: a configuration can name none that no kernel has.
struct WithoutTwos(&'static Path);

impl WithoutTwos {
    fn new() -> Result<Self> {
        // The kernel's own call of modprobe for this module fails; every other module is loaded as ever.
        let file = Path::new("/run/modprobe.d/holdfast-test-without-twos.conf");
        fs::create_dir_all(file.parent().context("its folder")?)?;
        fs::write(file, "install ip_vs_twos /bin/false\n")?;
        let taken = Self(file);
        if fs::read_to_string("/proc/modules")?.contains("ip_vs_twos ") {
            let unloaded = Command::new("modprobe").args(["-r", "ip_vs_twos"]).status()?;
            ensure!(unloaded.success(), "this kernel has ip_vs_twos and keeps it: {unloaded}");
        }
        Ok(taken)
    }
}

impl Drop for WithoutTwos {
    fn drop(&mut self) {
        drop(fs::remove_file(self.0));
    }
}

#[test]
fn a_service_that_the_kernel_can_not_have_is_named_and_the_others_go_on() -> Result<()> {
    let _without = WithoutTwos::new()?;
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let services = "ipvs: {poll: 250ms}\nservices:\n  \
        good: {listen: tcp 10.77.0.10:80, scheduler: rr, forward: nat, real_servers: {a: 10.77.0.21:80}}\n  \
        odd: {listen: [tcp 10.77.0.10:81, \"udp 10.77.0.10:81\"], scheduler: twos, forward: nat, real_servers: {a: 10.77.0.21:81, b: 10.77.0.22:81}}\n";
    let director = Director::start(node, &config(node, services))?;
    let good = ["-A -t 10.77.0.10:80 -s rr", "-a -t 10.77.0.10:80 -r 10.77.0.21:80 -m -w 1"];
    let odd = wait_until(LIMIT, "the refusal to show", || {
        director.service("odd").ok().filter(|odd| !odd.refused.is_empty())
    })?;
    wait_until(LIMIT, "the other service", || (saved_table(node).ok()? == good).then_some(()))?;
    assert_eq!(odd.refused.len(), 1, "{odd:?}");
    ensure!(odd.refused[0].contains("the kernel has no scheduler `twos`"), "{odd:?}");
    ensure!(director.service("good")?.refused.is_empty());
    let shown = director.cli(&["status"])?;
    for part in [
        "SERVICE odd",
        "REFUSED BY THE KERNEL",
        "! service odd: the kernel has no scheduler `twos`",
    ] {
        ensure!(shown.contains(part), "{part:?} is not in\n{shown}");
    }
    let json = director.cli(&["status", "-o", "json"])?;
    ensure!(json.contains("\"refused\": [\n"), "{json}");
    // Whoever looks at the one service, at what happened, or at what a reload would do is told the same.
    let lacks = "the kernel has no scheduler `twos`: `modprobe ip_vs_twos` says why";
    for command in [&["service", "show", "odd"][..], &["events"], &["plan"]] {
        let shown = director.cli(command)?;
        ensure!(shown.contains(lacks), "{command:?}: {shown}");
        ensure!(!shown.contains("table is as it should be"), "{shown}");
    }

    // What others do to the other service is repaired, and counted, as if all were well.
    node.run(["ipvsadm", "-e", "-t", "10.77.0.10:80", "-r", "10.77.0.21:80", "-m", "-w", "9"])?;
    wait_until(LIMIT, "the repair", || {
        let repairs = director.status().ok()?.ipvs?.drift_repairs_total;
        (repairs == 1 && saved_table(node).ok()? == good).then_some(())
    })?;
    // It is asked for again, and that is no flood: of each of the two addresses no more than one operation every five seconds, while
    // the table is looked at all the time.
    let since = Instant::now();
    let begun = director.status()?.ipvs.context("the table")?;
    let ipvs = wait_until(LIMIT, "another attempt", || {
        let ipvs = director.status().ok()?.ipvs?;
        let looks = ipvs.reconciliations_total > begun.reconciliations_total + 2;
        (looks && ipvs.refusals_total >= begun.refusals_total + 2).then_some(ipvs)
    })?;
    let most = 2 * (since.elapsed().as_secs() / 5 + 1);
    ensure!(ipvs.refusals_total <= begun.refusals_total + most, "{begun:?} {ipvs:?}");
    let said = director.process().log().matches("it refuses a service").count();
    assert_eq!(said, 1, "the same refusal is said once");
    Ok(())
}

/// What was missing may have come: a reload asks for it, be the file the same or another service's other. No look is due for an hour.
#[test]
fn a_reload_asks_for_what_the_kernel_has_refused() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let with = |weight| {
        let services = format!(
            "ipvs: {{poll: 1h}}\nservices:\n  \
            good: {{listen: tcp 10.77.0.10:80, forward: nat, real_servers: {{a: {{address: 10.77.0.21:80, weight: {weight}}}}}}}\n  \
            odd: {{listen: tcp 10.77.0.10:81, scheduler: twos, forward: nat, real_servers: {{a: 10.77.0.21:81}}}}\n  \
            odd6: {{listen: \"tcp [fd77::10]:81\", scheduler: twos, forward: nat, real_servers: {{a: \"[fd77::21]:81\"}}}}\n"
        );
        config(node, &services)
    };
    let director = Director::start(node, &with(1))?;
    for (round, weight) in [1, 1, 2, 2].into_iter().enumerate() {
        if round > 0 {
            node.write("holdfast.yaml", &with(weight))?;
            director.cli(&["reload"])?;
        }
        let asked = 2 * (round as u64 + 1);
        wait_until(LIMIT, &format!("{asked} refusals"), || {
            (director.status().ok()?.ipvs?.refusals_total >= asked).then_some(())
        })?;
        assert_eq!(director.status()?.ipvs.context("the table")?.refusals_total, asked);
    }
    Ok(())
}

#[test]
fn others_services_go_where_the_configuration_says_so() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let theirs = "ipvsadm -A -t 10.77.0.10:9999 -s sh; ipvsadm -a -t 10.77.0.10:9999 -r 10.77.0.98:1 -m -w 9; ipvsadm -A -f 9 -6 -s rr";
    node.sh(theirs)?;
    let service = "services: {good: {listen: tcp 10.77.0.10:80, scheduler: rr, forward: nat}}\n";
    let mut director = Director::start(node, &config(node, service))?;
    wait_in_sync(&director)?;
    assert_eq!(saved_table(node)?.len(), 4, "by default they stay");
    let ipvs = director.status()?.ipvs.context("the table")?;
    assert_eq!((ipvs.foreign_policy.as_str(), ipvs.foreign.len()), ("keep", 2));
    director.stop()?;

    // Also without any service of our own.
    let remove = "ipvs: {foreign: remove, poll: 250ms}\n";
    let director = Director::start(node, &config(node, remove))?;
    wait_until(LIMIT, "an empty table", || saved_table(node).ok()?.is_empty().then_some(()))?;
    // While the daemon stands still: no look of its comes between a service and its server.
    director.process().kill(Signal::SIGSTOP)?;
    node.sh(theirs)?;
    director.process().kill(Signal::SIGCONT)?;
    wait_until(LIMIT, "an empty table again", || {
        let ipvs = director.status().ok()?.ipvs?;
        // Two twice: the service that the file has lost meanwhile was this daemon's.
        (saved_table(node).ok()?.is_empty() && ipvs.foreign_removed_total == 4).then_some(())
    })?;
    let ipvs = director.status()?.ipvs.context("the table")?;
    assert_eq!((ipvs.foreign_policy.as_str(), ipvs.foreign.len()), ("remove", 0));
    Ok(())
}

#[test]
fn timeouts_are_kept_and_given_back() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    node.run(["ipvsadm", "--set", "800", "100", "200"])?;
    let with = |ipvs: &str| config(node, &format!("ipvs: {{poll: 1s, {ipvs}}}\n"));
    let kept = |expected: &str| {
        wait_until(LIMIT, &format!("timeouts of {expected}"), || {
            (timeouts(node).ok()? == expected).then_some(())
        })
    };
    let mut director = Director::start(node, &with("timeouts: {tcp: 1h, udp: 30s}"))?;
    kept("3600 100 30")?;
    node.run(["ipvsadm", "--set", "11", "12", "13"])?;
    // The one that the configuration does not name is the operator's.
    kept("3600 12 30")?;
    let ipvs = wait_until(LIMIT, "the repair to show", || {
        director.status().ok()?.ipvs.filter(|ipvs| ipvs.settings_repairs_total == 1)
    })?;
    let shown = ipvs.timeouts.map(|found| (found.tcp_s, found.tcp_fin_s, found.udp_s));
    assert_eq!(shown, Some((3600, 12, 30)));
    // By default they stay with the services; the next daemon knows what they were.
    director.stop()?;
    assert_eq!(timeouts(node)?, "3600 12 30");
    let mut director = Director::start(node, &with("on_stop: remove, timeouts: {tcp_fin: 1m}"))?;
    kept("800 60 200")?;
    director.stop()?;
    assert_eq!(timeouts(node)?, "800 100 200");
    ensure!(!node.folder().join("state/timeouts.json").exists(), "the record is left behind");
    let mut director = Director::start(node, &with("timeouts: {tcp: 1h}"))?;
    kept("3600 100 200")?;
    director.stop()?;
    // Another file names just what they were: the last daemon has changed them, and nobody else.
    let director = Director::start(node, &with("timeouts: {tcp: 800s, tcp_fin: 100s, udp: 200s}"))?;
    kept("800 100 200")?;
    let ipvs = wait_until(LIMIT, "the timeouts to show", || {
        director.status().ok()?.ipvs.filter(|ipvs| {
            ipvs.timeouts.is_some_and(|found| (found.tcp_s, found.tcp_fin_s) == (800, 100))
        })
    })?;
    assert_eq!(ipvs.settings_repairs_total, 0, "nothing was put back");
    let events = director.cli(&["events"])?;
    ensure!(!events.contains("ipvs.drift"), "{events}");
    Ok(())
}

/// A port range by a mark that somebody else sets: every port of it reaches a server at the same port.
fn marked_by_others(vip: IpAddr, inner: IpAddr, iptables: &str, family: &str) -> Result<()> {
    let lab = Lab::with(Topology::nat().webs(2))?;
    let node = lab.lb1();
    let ports = [8000_u16, 8999];
    let _webs: Vec<Nginx> = lab
        .webs()
        .flat_map(|web| ports.map(|port| Nginx::start(web, port)))
        .collect::<Result<_>>()?;
    let length = if vip.is_ipv4() { 24 } else { 64 };
    let nodad = if vip.is_ipv4() { "" } else { "nodad" };
    node.sh(&format!(
        "ip address add {vip}/{length} dev eth0 {nodad}; ip address add {inner}/{length} dev eth1 {nodad}\n\
         {iptables}-legacy -t mangle -A PREROUTING -d {vip} -p tcp --dport 8000:8999 -j MARK --set-mark 7"
    ))?;
    let address = |web: &Node| -> Option<IpAddr> {
        if vip.is_ipv4() { web.inner4().map(IpAddr::from) } else { web.inner6().map(IpAddr::from) }
    };
    let servers: Vec<String> = lab
        .webs()
        .map(|web| {
            let address = address(web)
                .or_else(|| Some(if vip.is_ipv4() { web.ip4().into() } else { web.ip6().into() }));
            let bare = address.map(|address| {
                if vip.is_ipv4() { address.to_string() } else { format!("[{address}]") }
            });
            format!("{}: \"{}\"", web.name(), bare.unwrap_or_default())
        })
        .collect();
    let services = format!(
        "services:\n  range: {{listen: fwmark 7 {family}, scheduler: rr, forward: nat, check: {{tcp: {{port: 8000}}, interval: 10s, fast_interval: 500ms, down_interval: 500ms, timeout: 9s, spread: 0s, rise: 1}}, real_servers: {{{}}}}}\n",
        servers.join(", ")
    );
    let director = Director::start(node, &config(node, &services))?;
    for web in ["web1", "web2"] {
        director.wait_server("range", web, "up", LIMIT)?;
    }
    // The daemon knows of it before the kernel does.
    wait_until(LIMIT, "both servers in the table", || {
        let lines = saved_table(node).ok()?;
        (lines.iter().filter(|line| line.ends_with(" -w 1")).count() == 2).then_some(())
    })?;
    for port in ports {
        let mut answers: BTreeMap<String, usize> = BTreeMap::new();
        let target = SocketAddr::new(vip, port);
        wait_until(LIMIT, "an answer", || {
            lab.client().enter(|| ask_within(target, Duration::from_secs(5))).ok()?.ok()
        })
        .with_context(|| director.process().log_tail())?;
        for _ in 0..4 {
            let server = lab.client().enter(|| ask_within(target, Duration::from_secs(10)))??;
            *answers.entry(server).or_insert(0) += 1;
        }
        let expected = [("web1".to_owned(), 2), ("web2".to_owned(), 2)].into();
        assert_eq!(answers, expected, "port {port}");
    }
    Ok(())
}

#[test]
fn a_range_of_ports_that_others_mark_reaches_servers_at_the_same_port() -> Result<()> {
    marked_by_others(VIP4.into(), INNER_VIP4.into(), "iptables", "")
}

#[test]
fn a_range_of_ports_that_others_mark_reaches_servers_at_the_same_port_by_ipv6() -> Result<()> {
    marked_by_others(VIP6.into(), INNER_VIP6.into(), "ip6tables", "ipv6")
}

/// Without `nft` packets can't be marked: the service is named, and the others go on.
#[test]
fn a_service_whose_packets_can_not_be_marked_is_named() -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let node = lab.lb1();
    let services = "services:\n  \
        good: {listen: tcp 10.77.0.10:80, scheduler: rr, forward: nat}\n  \
        range: {listen: {fwmark: 7, match: tcp 10.77.0.10:8000-8999}, scheduler: rr, forward: nat}\n";
    let hidden = [
        "unshare",
        "--mount",
        "sh",
        "-c",
        "mount --bind /dev/null /usr/sbin/nft; exec \"$@\"",
        "sh",
    ];
    let hidden: Vec<OsString> = hidden.iter().map(OsString::from).collect();
    let director = Director::start_by(node, &config(node, services), &hidden)?;
    let range = wait_until(LIMIT, "the problem to show", || {
        director.service("range").ok().filter(|range| !range.refused.is_empty())
    })?;
    ensure!(
        range.refused[0].contains("not marked") && range.refused[0].contains("nft"),
        "{range:?}"
    );
    ensure!(director.service("good")?.refused.is_empty());
    let both = ["-A -f 7 -s rr", "-A -t 10.77.0.10:80 -s rr"];
    wait_until(LIMIT, "both services", || (saved_table(node).ok()? == both).then_some(()))
        .with_context(|| format!("{:?}", saved_table(node)))?;
    Ok(())
}
