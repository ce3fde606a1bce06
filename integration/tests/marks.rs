//! Ranges of addresses and ports that the daemon marks itself: real packets reach real servers at the port that the client chose, the
//! marks outlive the daemon as the services do, and are put back when others take them away.
//!
//! It needs a kernel with ip_vs *and* nf_tables of the family inet, as distributions have it; the guest's has no such nf_tables.
//!
//! ```text
//!  client ── br0 ── lb1 ── br1 ── web1, web2 (their gateway is lb1's inner address)
//! ```

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::family::Family;
use holdfast_integration::{Director, ask_within, saved_table};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP4, wait_until};

/// Nothing here takes longer, also under a processor that is emulated.
const LIMIT: Duration = Duration::from_secs(120);

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// One director without VRRP that has the addresses from its administrator, and `services` with `ipvs`.
fn config(family: Family, lab: &Lab, ipvs: &str) -> String {
    let address = |web: &Node| match family.of(web) {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let servers = lab.webs().map(|web| format!("{}: \"{}\"", web.name(), address(web)));
    format!(
        "daemon: {{state: {}}}\nipvs: {{poll: 1s, {ipvs}}}\nservices:\n  range:\n    listen: {{fwmark: 7, match: [\"tcp {}-8099\", \"tcp {}\"]}}\n    \
         scheduler: rr\n    forward: nat\n    real_servers: {{{}}}\n",
        lab.lb1().folder().join("state").display(),
        family.at(8000),
        family.at(8999),
        servers.collect::<Vec<_>>().join(", ")
    )
}

/// Two servers with a web server at each of `ports`, and lb1 with both addresses.
fn lab(family: Family, ports: &[u16]) -> Result<(Lab, Vec<Nginx>)> {
    let lab = Lab::with(Topology::nat().webs(2))?;
    let (vip, inner, length) = (family.vip(), family.inner_vip(), family.length());
    let nodad = match family {
        Family::V4 => "",
        Family::V6 => "nodad",
    };
    lab.lb1().sh(&format!(
        "ip address add {vip}/{length} dev eth0 {nodad}; ip address add {inner}/{length} dev eth1 {nodad}"
    ))?;
    let webs = lab
        .webs()
        .flat_map(|web| ports.iter().map(|port| Nginx::start(web, *port)))
        .collect::<Result<_>>()?;
    Ok((lab, webs))
}

/// Who answers four requests.
fn spread(from: &Node, target: SocketAddr) -> Result<BTreeMap<String, usize>> {
    let mut answers = BTreeMap::new();
    for _ in 0..4 {
        let server =
            from.enter(|| ask_within(target, PATIENCE))?.with_context(|| target.to_string())?;
        *answers.entry(server).or_insert(0) += 1;
    }
    Ok(answers)
}

fn wait_marked(director: &Director) -> Result<()> {
    wait_until(LIMIT, "the packets to be marked", || {
        let ipvs = director.status().ok()?.ipvs?;
        (ipvs.marked_ranges == 2 && ipvs.in_sync_s_ago.is_some()).then_some(())
    })
    .with_context(|| director.process().log_tail())
}

fn has_table(node: &Node) -> Result<bool> {
    Ok(node.run(["nft", "list", "tables"])?.stdout.contains("holdfast_marks"))
}

fn traffic(family: Family) -> Result<()> {
    let (lab, _webs) = lab(family, &[8000, 8099, 8999, 8100])?;
    let node = lab.lb1();
    let mut director = Director::start(node, &config(family, &lab, ""))?;
    wait_marked(&director)?;
    let even: BTreeMap<String, usize> = [("web1".to_owned(), 2), ("web2".to_owned(), 2)].into();
    for port in [8000, 8099, 8999] {
        assert_eq!(spread(lab.client(), family.at(port))?, even, "port {port}");
    }
    ensure!(
        lab.client().enter(|| ask_within(family.at(8100), PATIENCE))?.is_err(),
        "8100 is in no range, and nobody listens on the director"
    );
    ensure!(director.service("range")?.refused.is_empty());

    // A restart replaces the table in one step; who has stopped leaves it, and traffic goes on.
    director.stop()?;
    ensure!(has_table(node)?, "the marks have gone with the daemon");
    assert_eq!(spread(lab.client(), family.at(8000))?, even, "without a daemon");
    director.restart()?;
    wait_marked(&director)?;
    let ipvs = director.status()?.ipvs.context("the table")?;
    assert_eq!((ipvs.operations_total, ipvs.settings_repairs_total), (0, 0));

    // Others load their firewall anew.
    node.run(["nft", "flush", "ruleset"])?;
    wait_until(LIMIT, "the marks to be put back", || {
        let repairs = director.status().ok()?.ipvs?.settings_repairs_total;
        (repairs == 1 && has_table(node).ok()?).then_some(())
    })?;
    assert_eq!(spread(lab.client(), family.at(8999))?, even, "after the flush");
    director.kill()?;
    ensure!(has_table(node)?);
    Ok(())
}

#[test]
fn a_range_of_ports_reaches_servers_at_the_port_that_the_client_chose() -> Result<()> {
    traffic(Family::V4)
}

#[test]
fn a_range_of_ports_reaches_servers_at_the_port_that_the_client_chose_by_ipv6() -> Result<()> {
    traffic(Family::V6)
}

#[test]
fn marks_go_with_the_services_and_with_the_configuration_that_had_them() -> Result<()> {
    let (lab, _webs) = lab(Family::V4, &[])?;
    let node = lab.lb1();
    let mut director = Director::start(node, &config(Family::V4, &lab, "on_stop: remove"))?;
    wait_marked(&director)?;
    director.stop()?;
    ensure!(!has_table(node)?, "the marks are left behind");
    assert_eq!(saved_table(node)?, [""; 0]);

    let mut director = Director::start(node, &config(Family::V4, &lab, ""))?;
    wait_marked(&director)?;
    director.kill()?;
    ensure!(has_table(node)?);
    let without = format!(
        "daemon: {{state: {}}}\nservices: {{web: {{listen: tcp {VIP4}:80, forward: nat}}}}\n",
        node.folder().join("state").display()
    );
    let _director = Director::start(node, &without)?;
    wait_until(LIMIT, "the marks of the killed daemon to go", || {
        (!has_table(node).ok()?).then_some(())
    })
}
