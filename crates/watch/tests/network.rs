//! Reachability and routes on real links, in both families. Needs root.
#![expect(clippy::expect_used, reason = "a test that cannot go on fails")]

use std::fs::Permissions;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use anyhow::Result;
use holdfast_health::Policy;
use holdfast_testkit::lab::{Lab, Node};
use holdfast_watch::{
    ProcessWatcher, Reach, Reading, Report, RouteWatcher, Source, Trial, TrialWatcher, Way,
};
use tokio::time::timeout;

const PATIENCE: Duration = Duration::from_secs(60);

/// Runs `work` with a runtime of its own on `node`.
fn on<T: Send>(node: &Node, work: impl AsyncFnOnce() -> T + Send) -> Result<T> {
    node.enter(|| {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(work())
    })
}

async fn soon(report: impl Future<Output = Report>) -> Report {
    timeout(PATIENCE, report).await.expect("a report in time")
}

/// Fails where the next report is another one.
async fn expect(watcher: &mut TrialWatcher, reading: Reading) {
    let report = soon(watcher.next()).await;
    assert_eq!(report.reading, reading, "{}", report.sentence);
}

async fn expect_route(watcher: &mut RouteWatcher, reading: Reading, part: &str) {
    let report = soon(async { watcher.next().await.expect("routes are told") }).await;
    assert_eq!(report.reading, reading, "{}", report.sentence);
    assert!(report.sentence.contains(part), "{}", report.sentence);
}

/// Patient: an answer that a busy machine takes long for is none the less one.
fn policy() -> Policy {
    let (interval, timeout) = (Duration::from_secs(1), Duration::from_millis(900));
    Policy::steady(interval, timeout, 1, 2)
}

fn neighbour(virtual_addresses: &[std::net::IpAddr]) -> Way {
    Way::Neighbour { virtual_addresses: virtual_addresses.into() }
}

/// The address of web1 as lb1 sees it: there, away with the cable, there again.
fn follows_the_cable(way: Way, v6: bool) -> Result<()> {
    let lab = Lab::new()?;
    let (lb1, web1) = (lab.lb1(), lab.web(1));
    let address = if v6 { web1.ip6().into() } else { web1.ip4().into() };
    let reach = Reach { address, interface: Some("eth0".to_owned()), way };
    on(lb1, async || {
        let mut watcher = TrialWatcher::new(Trial::Reach(reach), policy());
        expect(&mut watcher, Reading::Up).await;
        lab.link_down(web1).expect("the cable");
        expect(&mut watcher, Reading::Down).await;
        lab.link_up(web1).expect("the cable");
        expect(&mut watcher, Reading::Up).await;
    })
}

#[test]
fn an_echo_over_ipv4_follows_the_cable() -> Result<()> {
    follows_the_cable(Way::Echo, false)
}

#[test]
fn an_echo_over_ipv6_follows_the_cable() -> Result<()> {
    follows_the_cable(Way::Echo, true)
}

#[test]
fn an_arp_request_follows_the_cable() -> Result<()> {
    follows_the_cable(neighbour(&[]), false)
}

#[test]
fn a_neighbour_solicitation_follows_the_cable() -> Result<()> {
    follows_the_cable(neighbour(&[]), true)
}

#[test]
fn a_neighbour_is_asked_for_from_no_virtual_address() -> Result<()> {
    let lab = Lab::new()?;
    let (lb1, web1) = (lab.lb1(), lab.web(1));
    let own = lb1.ip4();
    // The virtual address comes first in the interface's list.
    lb1.sh(&format!(
        "ip address del {own}/24 dev eth0; ip address add 10.77.0.10/24 dev eth0; ip address add {own}/24 dev eth0"
    ))?;
    let reach = |way| Reach { address: web1.ip4().into(), interface: Some("eth0".into()), way };
    let ask = |way| on(lb1, async || reach(way).run(PATIENCE).await);
    let vip = holdfast_testkit::lab::VIP4.into();
    let outcome = ask(neighbour(&[vip]))?;
    assert!(outcome.reason.sentence.ends_with("it answers"), "{}", outcome.reason);
    // What web1 has learned of who asked.
    let neighbours = web1.sh("ip neigh")?.stdout;
    assert!(neighbours.contains(&own.to_string()), "{neighbours}");
    assert!(!neighbours.contains("10.77.0.10"), "{neighbours}");
    let none = ask(neighbour(&[vip, own.into()]))?;
    assert!(none.reason.sentence.contains("no address of its own"), "{}", none.reason);
    Ok(())
}

#[test]
fn who_is_there_and_does_not_answer_pings_is_still_a_neighbour() -> Result<()> {
    let lab = Lab::new()?;
    let web1 = lab.web(1);
    web1.sysctl("net.ipv4.icmp_echo_ignore_all", "1")?;
    let ask = |way| {
        let reach = Reach { address: web1.ip4().into(), interface: Some("eth0".into()), way };
        on(lab.lb1(), async move || reach.run(Duration::from_secs(3)).await)
    };
    assert_eq!(ask(Way::Echo)?.verdict, holdfast_health::Verdict::Fail);
    assert_eq!(ask(neighbour(&[]))?.verdict, holdfast_health::Verdict::Pass);
    Ok(())
}

/// A default route and one to a net, as they come and go, also silently with the link.
fn follows_the_routes(ip: &str, default: &str, net: &str, via: &str, more: &str) -> Result<()> {
    let lab = Lab::new()?;
    let lb1 = lab.lb1();
    let sh = |line: &str| lb1.sh(line).expect("ip");
    on(lb1, async || {
        let open =
            |to: &str, by| RouteWatcher::open(to.parse().expect("a net"), by).expect("netlink");
        let mut all = open(default, None);
        let mut by_eth0 = open(default, Some("eth0"));
        let mut by_other = open(default, Some("hf-none"));
        let mut some = open(net, None);
        expect_route(&mut all, Reading::Down, "no route").await;
        expect_route(&mut by_eth0, Reading::Down, "no route").await;
        expect_route(&mut by_other, Reading::Down, "by hf-none").await;
        expect_route(&mut some, Reading::Down, "no route").await;

        sh(&format!("{ip} route add default via {via}"));
        expect_route(&mut all, Reading::Up, default).await;
        expect_route(&mut by_eth0, Reading::Up, "by eth0").await;
        expect_route(&mut some, Reading::Up, "covers").await;
        sh(&format!("{ip} route add {net} via {via}"));
        expect_route(&mut some, Reading::Up, net).await;

        // A route that drops everything is no way, whatever its metric.
        sh(&format!("{ip} route del default; {ip} route add blackhole default metric 5"));
        expect_route(&mut all, Reading::Down, "no route").await;
        sh(&format!("{ip} route del blackhole default metric 5; {ip} route add default via {via}"));
        expect_route(&mut all, Reading::Up, default).await;

        // The daemon's own routes hold nobody up.
        sh(&format!("{ip} route del default; {ip} route add default via {via} proto 233"));
        expect_route(&mut all, Reading::Down, "no route").await;
        sh(&format!("{ip} route del default; {ip} route add default via {via}"));
        expect_route(&mut all, Reading::Up, default).await;

        // The kernel does not tell of IPv4 routes that go with their interface.
        sh("ip link set eth0 down");
        expect_route(&mut all, Reading::Down, "no route").await;
        sh(&format!("ip link set eth0 up; {more}; {ip} route replace default via {via}"));
        expect_route(&mut all, Reading::Up, default).await;
        // Without a carrier the route is there and leads nowhere.
        lab.link_down(lb1).expect("the cable");
        expect_route(&mut all, Reading::Down, "no route").await;
        lab.link_up(lb1).expect("the cable");
        expect_route(&mut all, Reading::Up, default).await;
        let silent = timeout(Duration::from_millis(200), by_other.next()).await;
        assert!(silent.is_err(), "{silent:?}");
    })
}

#[test]
fn ipv4_routes_come_and_go() -> Result<()> {
    follows_the_routes("ip", "0.0.0.0/0", "198.51.100.0/24", "10.77.0.21", "true")
}

#[test]
fn ipv6_routes_come_and_go() -> Result<()> {
    // The address goes with the link.
    let address = "ip address replace fd00:77::11/64 dev eth0 nodad";
    follows_the_routes("ip -6", "::/0", "2001:db8:5::/48", "fd00:77::21", address)
}

#[test]
fn one_of_two_next_hops_is_a_way_and_lost_messages_lose_nothing() -> Result<()> {
    let lab = Lab::new()?;
    let lb1 = lab.lb1();
    let sh = |line: &str| lb1.sh(line).expect("ip");
    on(lb1, async || {
        let mut all =
            RouteWatcher::open("0.0.0.0/0".parse().expect("a net"), None).expect("netlink");
        expect_route(&mut all, Reading::Down, "no route").await;
        sh(
            "ip link add over0 type veth peer name over1; ip link set over1 up; ip link set over0 up; ip address add 10.79.0.1/24 dev over0",
        );
        sh("ip route add default nexthop via 10.77.0.21 nexthop via 10.79.0.2");
        expect_route(&mut all, Reading::Up, "0.0.0.0/0").await;
        // More than the socket's queue holds, and not read meanwhile.
        let flood: String = (0..20_000)
            .map(|n| {
                format!("route replace 10.{}.{}.0/24 dev over0\n", 100 + n / 256 % 100, n % 256)
            })
            .collect();
        let batch = lb1.write("flood", &flood).expect("a file");
        sh(&format!("ip -batch {}; ip route del default", batch.display()));
        expect_route(&mut all, Reading::Down, "no route").await;
    })
}

#[test]
fn a_script_decides_by_its_first_outcome_and_then_by_rise_and_fall() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
    let flag = folder.path().join("flag");
    let command = ["/usr/bin/test", "!", "-e", flag.to_str().expect("UTF-8")];
    let exec = holdfast_probe::Exec {
        command: command.map(str::to_owned).to_vec(),
        user: "nobody".to_owned(),
        environment: Vec::new(),
        input: Vec::new(),
        convention: holdfast_probe::Convention::Plain,
        gains: false,
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let policy = Policy::steady(Duration::from_secs(1), PATIENCE, 2, 2);
        let mut watcher = TrialWatcher::new(Trial::Script(exec), policy);
        expect(&mut watcher, Reading::Up).await;
        std::fs::write(&flag, "").expect("a file");
        expect(&mut watcher, Reading::Down).await;
        std::fs::remove_file(&flag).expect("a file");
        expect(&mut watcher, Reading::Up).await;
    });
    Ok(())
}

/// The kernel's connector is for the first network namespace of the host alone.
#[test]
fn where_the_kernel_does_not_tell_of_processes_they_are_read_from_proc() -> Result<()> {
    const NAME: &str = "hf-inside";
    let lab = Lab::new()?;
    let folder = tempfile::tempdir()?;
    let program = folder.path().join(NAME);
    // By another process: were it this one, a test that starts a command at that moment would hold the copy open for writing.
    let installed = std::process::Command::new("install").arg("/bin/sleep").arg(&program).status();
    assert!(installed?.success());
    on(lab.lb1(), async || {
        let mut watcher = ProcessWatcher::open([NAME.to_owned()].into()).await.expect("/proc");
        assert!(matches!(watcher.source(), Source::Scan { .. }), "{:?}", watcher.source());
        let mut until = async |count| {
            let wait =
                async { while watcher.next().await.expect("/proc").get(NAME) != Some(&count) {} };
            timeout(PATIENCE, wait).await.expect("the count comes");
        };
        until(0).await;
        let mut running =
            std::process::Command::new(&program).arg("1000").spawn().expect("it starts");
        until(1).await;
        running.kill().expect("it is ours");
        until(0).await;
        running.wait().expect("it is ours");
    })
}
