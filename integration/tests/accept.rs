//! `accept: false` beside services on the same addresses: what IPVS takes goes on to the servers, and what is for the director itself is
//! dropped, in both families.
//!
//! It needs a kernel with ip_vs *and* nf_tables of the family inet, as distributions have it; the guest's has no such nf_tables.
//!
//! ```text
//!  client ── br0 ── lb1 ── br1 ── web1 (its gateway is lb1's inner address)
//! ```

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::pair::{INSTANCES, VIPS, faultless};
use holdfast_integration::{Director, ask_within};
use holdfast_testkit::lab::{
    INNER_VIP4, INNER_VIP6, Lab, Nginx, Node, Topology, VIP4, VIP6, wait_until,
};

/// Nothing here takes longer, also under a processor that is emulated.
const LIMIT: Duration = Duration::from_secs(120);

/// A request that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a connection may take that nobody shall answer: who answers does so in a few milliseconds.
const SILENCE: Duration = Duration::from_millis(1500);

/// The web servers' port, and that of marked packets.
const WEB: u16 = 8080;
/// Forwarded to the director itself, by direct routing and by NAT.
const OWN_DIRECT: u16 = 81;
const OWN_NAT: u16 = 82;
/// Where the director itself listens, without a service.
const OWN: u16 = 9000;
/// Where nobody listens.
const NOBODY: u16 = 9001;

/// What is configured for one family: services on its virtual address.
fn services(lab: &Lab, vip: IpAddr) -> String {
    let of = |node: &Node| match vip {
        IpAddr::V4(_) => IpAddr::from(node.ip4()),
        IpAddr::V6(_) => IpAddr::from(node.ip6()),
    };
    let (own, web) = (of(lab.lb1()), of(lab.web(1)));
    let version = if vip.is_ipv4() { 4 } else { 6 };
    let service = |name: &str, port: u16, forward: &str, server: SocketAddr| {
        let listen = SocketAddr::new(vip, port);
        format!(
            "  {name}{version}: {{listen: 'tcp {listen}', scheduler: rr, forward: {forward}, real_servers: {{a: '{server}'}}}}\n"
        )
    };
    let target = SocketAddr::new(vip, WEB);
    let anywhere = if vip.is_ipv4() { web.to_string() } else { format!("[{web}]") };
    let marked = format!(
        "  marked{version}: {{listen: {{fwmark: {version}, match: ['tcp {target}']}}, scheduler: rr, forward: nat, \
         real_servers: {{a: '{anywhere}'}}}}\n"
    );
    service("web", 80, "nat", SocketAddr::new(web, WEB))
        + &service("direct", OWN_DIRECT, "direct", SocketAddr::new(own, OWN_DIRECT))
        + &service("nat", OWN_NAT, "nat", SocketAddr::new(own, OWN))
        + &marked
}

fn config(lab: &Lab, accept: bool) -> String {
    let instance = |name: &str, addresses: &str| {
        format!(
            "    {name}: {{interface: eth0, vrid: 51, interval: 500ms, priority: 150, accept: {accept}, addresses: {addresses}}}\n"
        )
    };
    let [v4, v6] = INSTANCES;
    format!(
        "daemon: {{state: {}}}\nvrrp:\n  instances:\n{}{}services:\n{}{}",
        lab.lb1().folder().join("state").display(),
        instance(v4, &format!("[{VIP4}/24]")),
        instance(v6, &format!("['fe80::33/64', '{VIP6}/64']")),
        services(lab, VIP4.into()),
        services(lab, VIP6.into())
    )
}

/// How a connection ends: with whom it reaches, or with the error. Who answers may take its time.
fn outcome(client: &Node, at: SocketAddr) -> Result<Result<(), ErrorKind>> {
    within(client, at, PATIENCE)
}

fn within(client: &Node, at: SocketAddr, limit: Duration) -> Result<Result<(), ErrorKind>> {
    let connected = client.enter(|| TcpStream::connect_timeout(&at, limit))?;
    Ok(connected.map(drop).map_err(|error| error.kind()))
}

/// Whatever the accept mode is, services forward.
fn serves(client: &Node, vip: IpAddr) -> Result<()> {
    for port in [80, WEB] {
        let target = SocketAddr::new(vip, port);
        for _ in 0..2 {
            let server = client.enter(|| ask_within(target, PATIENCE))?;
            ensure!(server.with_context(|| target.to_string())? == "web1", "{target}");
        }
    }
    let rewritten = SocketAddr::new(vip, OWN_NAT);
    ensure!(outcome(client, rewritten)? == Ok(()), "NAT to the director itself: {rewritten}");
    Ok(())
}

fn wait_serving(director: &Director) -> Result<()> {
    for instance in INSTANCES {
        director.wait_instance(instance, "active", LIMIT)?;
    }
    wait_until(LIMIT, "services and marks", || {
        let ipvs = director.status().ok()?.ipvs?;
        let held = VIPS.iter().all(|vip| director.node().has_address(*vip).unwrap_or(false));
        (held && ipvs.marked_ranges == 2 && ipvs.in_sync_s_ago.is_some()).then_some(())
    })
    .with_context(|| director.process().log_tail())?;
    faultless(director).map(drop)
}

#[test]
fn services_forward_where_the_address_accepts_nothing() -> Result<()> {
    let lab = Lab::with(Topology::nat().webs(1))?;
    let (client, node) = (lab.client(), lab.lb1());
    node.sh(&format!(
        "ip address add {INNER_VIP4}/24 dev eth1; ip address add {INNER_VIP6}/64 dev eth1 nodad"
    ))?;
    let _web = Nginx::start(lab.web(1), WEB)?;
    let _own: Vec<TcpListener> = [OWN, OWN_DIRECT]
        .map(|port| node.enter(|| TcpListener::bind(("::", port))))
        .into_iter()
        .map(|listener| anyhow::Ok(listener??))
        .collect::<Result<_>>()?;

    // Closed: the services alone are reached.
    let mut director = Director::start(node, &config(&lab, false))?;
    wait_serving(&director)?;
    for vip in VIPS {
        serves(client, vip)?;
        for port in [OWN, NOBODY, OWN_DIRECT] {
            let at = SocketAddr::new(vip, port);
            assert_eq!(within(client, at, SILENCE)?, Err(ErrorKind::TimedOut), "{at}");
        }
    }
    for own in [IpAddr::from(node.ip4()), IpAddr::from(node.ip6())] {
        assert_eq!(outcome(client, SocketAddr::new(own, OWN))?, Ok(()), "{own} is not virtual");
    }

    // Open, by a reload.
    node.write("holdfast.yaml", &config(&lab, true))?;
    director.cli(&["reload"])?;
    wait_until(LIMIT, "the addresses to be open", || {
        let open =
            |vip: &IpAddr| within(client, SocketAddr::new(*vip, OWN), SILENCE).ok() == Some(Ok(()));
        VIPS.iter().all(open).then_some(())
    })?;
    for vip in VIPS {
        serves(client, vip)?;
        assert_eq!(outcome(client, SocketAddr::new(vip, OWN_DIRECT))?, Ok(()), "{vip}");
        let nobody = outcome(client, SocketAddr::new(vip, NOBODY))?;
        assert_eq!(nobody, Err(ErrorKind::ConnectionRefused), "{vip}");
    }
    director.stop()
}
