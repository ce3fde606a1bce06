//! The sysctls that services need are set, set again, and given back.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Node, Topology, VIP4, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

fn read(node: &Node, key: &str) -> Result<String> {
    let text = node.run(["cat", &format!("/proc/sys/{key}")])?.stdout;
    Ok(text.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn ensure_are(node: &Node, wanted: &[(&str, &str)]) -> Result<()> {
    for (key, value) in wanted {
        let found = read(node, key)?;
        ensure!(found == *value, "{key} is {found}, not {value}");
    }
    Ok(())
}

fn config(service: &str, ipvs: &str) -> String {
    format!(
        "vrrp: {{instances: {{edge: {{interface: eth0, vrid: 51, interval: 100ms, addresses: [{VIP4}/24]}}}}}}\n\
         services: {{web: {{listen: tcp {VIP4}:80, {service}, real_servers: {{web1: {{address: '10.77.0.21:80'}}}}}}}}\n\
         ipvs: {{poll: 100ms, {ipvs}}}\n"
    )
}

const VS: &str = "net/ipv4/vs";

/// What one-armed NAT of persistent clients needs, and what it was.
fn nat() -> Vec<(String, &'static str, &'static str)> {
    [
        ("net/ipv4/ip_forward".to_owned(), "1", "0"),
        ("net/ipv4/conf/all/send_redirects".to_owned(), "0", "1"),
        ("net/ipv4/conf/eth0/send_redirects".to_owned(), "0", "1"),
        (format!("{VS}/expire_nodest_conn"), "1", "0"),
        (format!("{VS}/expire_quiescent_template"), "1", "0"),
        (format!("{VS}/sync_threshold"), "3 0", "3 50"),
        (format!("{VS}/conn_reuse_mode"), "1", "1"),
    ]
    .into()
}

fn now(node: &Node) -> Result<()> {
    nat().iter().try_for_each(|(key, now, _)| ensure_are(node, &[(key, now)]))
}

fn before(node: &Node) -> Result<()> {
    nat().iter().try_for_each(|(key, _, before)| ensure_are(node, &[(key, before)]))
}

fn lab() -> Result<Lab> {
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    for (key, _, before) in nat() {
        lab.lb1().sysctl(&key, before)?;
    }
    Ok(lab)
}

const NAT: &str = "forward: nat, persistence: {}, check: {tcp: {}}";
const NAT_IPVS: &str = "sysctls: {sync_threshold: 3 0}";

#[test]
fn what_services_need_is_set_set_again_and_given_back() -> Result<()> {
    let lab = lab()?;
    let node = lab.lb1();
    let mut director =
        Director::start(node, &config(NAT, &format!("{NAT_IPVS}, on_stop: remove")))?;
    now(node)?;
    let sysctls = director.status()?.sysctls;
    ensure!(sysctls.each.iter().all(|one| one.problem.is_none()), "{sysctls:?}");
    assert_eq!(sysctls.repairs_total, 0);

    node.sysctl("net/ipv4/ip_forward", "0")?;
    wait_until(LIMIT, "the repair", || {
        (director.status().ok()?.sysctls.repairs_total == 1).then_some(())
    })?;
    now(node)?;
    let shown = director.cli(&["status"])?;
    ensure!(shown.contains("sysctls: 1 change by others undone"), "{shown}");
    let events = director.cli(&["events"])?;
    ensure!(events.contains("net.ipv4.ip_forward  0, should be 1: put right"), "{events}");

    // A kill leaves them as they are, and the next daemon knows what they were.
    director.kill()?;
    now(node)?;
    director.restart()?;
    now(node)?;
    assert_eq!(director.status()?.sysctls.repairs_total, 0);
    director.stop()?;
    before(node)
}

#[test]
fn what_is_kept_goes_on_with_its_sysctls_and_the_next_daemon_gives_back_what_it_does_not_need()
-> Result<()> {
    let lab = lab()?;
    let node = lab.lb1();
    let mut director = Director::start(node, &config(NAT, NAT_IPVS))?;
    director.stop()?;
    now(node)?;
    let mut director = Director::start(node, &config("forward: direct", "on_stop: remove"))?;
    ensure_are(
        node,
        &[
            ("net/ipv4/ip_forward", "0"),
            ("net/ipv4/conf/eth0/send_redirects", "1"),
            ("net/ipv4/vs/expire_nodest_conn", "0"),
            ("net/ipv4/vs/conn_reuse_mode", "3"),
        ],
    )?;
    director.stop()?;
    before(node)
}

#[test]
fn maglev_and_synchronisation_have_theirs_and_what_an_operator_refuses_stays() -> Result<()> {
    let lab = lab()?;
    let node = lab.lb1();
    node.sysctl("net/ipv4/vs/conn_reuse_mode", "0")?;
    let maglev = "forward: direct, scheduler: {name: mh, flags: [fallback, port]}";
    let ipvs = "sync: {interface: eth0}, sysctls: {sync_retries: 2, conn_lfactor: -4}";
    let director = Director::start(node, &config(maglev, ipvs))?;
    ensure_are(
        node,
        &[
            ("net/ipv4/vs/sloppy_tcp", "1"),
            ("net/ipv4/vs/schedule_icmp", "1"),
            ("net/ipv4/vs/sync_refresh_period", "10"),
            ("net/ipv4/vs/sync_threshold", "3 0"),
            ("net/ipv4/vs/sync_retries", "2"),
            ("net/ipv4/vs/conn_reuse_mode", "0"),
        ],
    )?;
    let each = wait_until(LIMIT, "the sysctls to be shown", || {
        Some(director.status().ok()?.sysctls.each).filter(|each| !each.is_empty())
    })?;
    let problem = |name: &str| {
        let one = each.iter().find(|one| one.name == name).context("it is shown")?;
        one.problem.clone().with_context(|| format!("{one:?}"))
    };
    ensure!(problem("net.ipv4.vs.conn_reuse_mode")?.contains("it is 0, and stays so"));
    // Linux 7.1 brings it; where it is there, nothing is wrong with it.
    if node.try_run(["test", "-e", "/proc/sys/net/ipv4/vs/conn_lfactor"])?.code != 0 {
        ensure!(problem("net.ipv4.vs.conn_lfactor")?.contains("does not have it"));
    }
    Ok(())
}

#[test]
fn a_reload_sets_what_is_needed_from_now_on_and_gives_back_what_is_not() -> Result<()> {
    let lab = lab()?;
    let node = lab.lb1();
    let director = Director::start(node, &config("forward: direct", "on_stop: remove"))?;
    let reload = |service: &str, ipvs: &str| -> Result<()> {
        director
            .node()
            .write("holdfast.yaml", &config(service, &format!("{ipvs}, on_stop: remove")))?;
        director.cli(&["reload"]).map(drop)
    };
    // A reload is done when the director has it; the thread that sets them has it a moment later.
    let wait = |what: &str, wanted: &[(&str, &str)]| {
        wait_until(LIMIT, what, || ensure_are(node, wanted).ok())
            .with_context(|| format!("{:?}", ensure_are(node, wanted)))
    };
    let rest = [("net/ipv4/ip_forward", "0"), ("net/ipv4/vs/sync_threshold", "3 50")];
    ensure_are(node, &rest)?;
    reload(NAT, NAT_IPVS)?;
    wait(
        "what NAT needs",
        &[
            ("net/ipv4/ip_forward", "1"),
            ("net/ipv4/conf/eth0/send_redirects", "0"),
            ("net/ipv4/vs/expire_nodest_conn", "1"),
            ("net/ipv4/vs/sync_threshold", "3 0"),
        ],
    )?;
    reload(NAT, "sysctls: {sync_threshold: 5 0}")?;
    wait("another value", &[("net/ipv4/vs/sync_threshold", "5 0"), ("net/ipv4/ip_forward", "1")])?;
    // The same again sets nothing and repairs nothing.
    reload(NAT, "sysctls: {sync_threshold: 5 0}")?;
    reload("forward: direct", "foreign: keep")?;
    wait("all of it given back", &rest)?;
    wait(
        "what direct routing needs",
        &[
            ("net/ipv4/conf/eth0/send_redirects", "1"),
            ("net/ipv4/vs/expire_nodest_conn", "0"),
            ("net/ipv4/vs/conn_reuse_mode", "3"),
        ],
    )?;
    assert_eq!(director.status()?.sysctls.repairs_total, 0, "nobody else has changed anything");
    Ok(())
}

/// The one of IPv6, set again and given back as those of IPv4 are.
#[test]
fn nat_of_ipv6_has_what_it_needs_and_gives_it_back() -> Result<()> {
    const FORWARDING: &str = "net/ipv6/conf/all/forwarding";
    let lab = Lab::with(Topology::one_arm().webs(1))?;
    let node = lab.lb1();
    let was = ("net/ipv4/ip_forward", read(node, "net/ipv4/ip_forward")?);
    node.sysctl(FORWARDING, "0")?;
    let config = "services: {web: {listen: 'tcp [fd00:77::10]:80', forward: nat, real_servers: {web1: '[fd00:77::21]:80'}}}\n\
                  ipvs: {poll: 100ms, on_stop: remove}\n";
    let mut director = Director::start(node, config)?;
    ensure_are(node, &[(FORWARDING, "1"), (was.0, &was.1)])?;
    node.sysctl(FORWARDING, "0")?;
    wait_until(LIMIT, "the repair", || {
        (director.status().ok()?.sysctls.repairs_total == 1).then_some(())
    })?;
    director.kill()?;
    ensure_are(node, &[(FORWARDING, "1")])?;
    director.restart()?;
    director.stop()?;
    ensure_are(node, &[(FORWARDING, "0"), (was.0, &was.1)])
}
