//! `mh`: two directors choose alike, whatever the order in which their servers were added, and putting their lists in order costs
//! no connection.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::family::Family;
use holdfast_integration::flows::{chosen, send};
use holdfast_integration::{Director, Downloads, weights};
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, VIP4, wait_until};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// The number.
const FLOWS: u16 = 10_000;

/// Servers that are nowhere: their neighbours' entries are made by hand, and what is sent to them is lost.
const SERVERS: u8 = 12;

/// A server's address.
fn server(family: Family, number: u8) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::new(10, 77, 0, 100 + number).into(),
        Family::V6 => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 1, number.into()).into(),
    }
}

/// One pool on three ports, so that the same flows can be sent again: the kernel's hash leaves the service's address out.
fn config(family: Family, servers: impl IntoIterator<Item = u8>) -> String {
    let listen: Vec<String> =
        [53, 54, 55].map(|port| format!("'udp {}'", family.at(port))).to_vec();
    let servers: Vec<String> = servers
        .into_iter()
        .map(|number| {
            format!("s{number}: {{address: '{}'}}", SocketAddr::new(server(family, number), 53))
        })
        .collect();
    // Direct routing keeps the port, and has one: the others are of a NAT service.
    format!(
        "services: {{dns: {{listen: [{}], scheduler: {{name: mh, flags: [fallback, port]}}, forward: nat, \
         real_servers: {{{}}}}}}}\n",
        listen.join(", "),
        servers.join(", ")
    )
}

fn prepare(family: Family, node: &Node) -> Result<()> {
    let mut script = format!("ip address add {}/{} dev lo\n", family.vip(), family.bits());
    for number in 0..SERVERS {
        let server = server(family, number);
        script += &format!(
            "ip neigh replace {server} lladdr 02:00:00:00:00:{number:02x} nud permanent dev eth0\n"
        );
    }
    script += "echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter\necho 0 >/proc/sys/net/ipv4/conf/eth0/rp_filter\n\
               echo 1 >/proc/sys/net/ipv4/ip_forward\necho 1 >/proc/sys/net/ipv6/conf/all/forwarding\n";
    node.sh(&script).map(drop)
}

/// Sends all flows to `port` of the virtual address by way of `director`, and reads what it chose for each.
fn flows(
    lab: &Lab,
    family: Family,
    director: &Node,
    port: u16,
) -> Result<BTreeMap<SocketAddr, SocketAddr>> {
    let (vip, via) = (family.vip(), family.of(director));
    lab.client().sh(&format!("ip route replace {vip}/{} via {via}", family.bits()))?;
    let chosen = wait_until(LIMIT, "every flow to have a server", || {
        // Again where a packet was lost: the others' flows are there already, and stay as they are.
        send(lab.client(), family.at(port), FLOWS).ok()?;
        let chosen = chosen(director, family.at(port)).ok()?;
        (chosen.len() == usize::from(FLOWS)).then_some(chosen)
    });
    chosen
        .with_context(|| format!("{:?}", crate::chosen(director, family.at(port)).map(|c| c.len())))
}

/// Waits until the kernel lists so many servers in the canonical order, the greatest address first.
fn wait_ordered(family: Family, node: &Node, servers: usize) -> Result<()> {
    wait_until(LIMIT, "the list to be in order", || {
        [53, 54, 55]
            .iter()
            .all(|port| {
                listed(family, node, *port).is_ok_and(|list| {
                    list.len() == servers && list.is_sorted_by(|newer, older| newer > older)
                })
            })
            .then_some(())
    })
    .with_context(|| format!("{:?}", listed(family, node, 53)))
}

/// The kernel's own order: `ipvsadm` sorts unless told not to.
fn listed(family: Family, node: &Node, port: u16) -> Result<Vec<SocketAddr>> {
    let service = family.at(port).to_string();
    let text = node.run(["ipvsadm", "-L", "-n", "--nosort", "-u", &service])?.stdout;
    let lines = text.lines().filter_map(|line| line.trim_start().strip_prefix("-> "));
    let words = lines.filter_map(|line| line.split_whitespace().next());
    Ok(words.filter_map(|word| word.parse().ok()).collect())
}

fn differing(
    one: &BTreeMap<SocketAddr, SocketAddr>,
    other: &BTreeMap<SocketAddr, SocketAddr>,
) -> usize {
    one.iter().filter(|(flow, server)| other.get(*flow) != Some(*server)).count()
}

/// What another program added in some order, on lb2 before the daemon starts there.
fn program_by_hand(family: Family, node: &Node, numbers: &[u8]) -> Result<()> {
    let service = family.at(53).to_string();
    let mut script = format!("ipvsadm -A -u {service} -s mh -b mh-fallback,mh-port\n");
    for number in numbers {
        let server = SocketAddr::new(server(family, *number), 53);
        script += &format!("ipvsadm -a -u {service} -r {server} -m\n");
    }
    node.sh(&script).map(drop)
}

fn two_directors_choose_alike(family: Family) -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    let (lb1, lb2) = (lab.lb1(), lab.lb2());
    prepare(family, lb1)?;
    prepare(family, lb2)?;
    // lb2 has a table that somebody made in another order, with the flows of its clients in it.
    let by_hand = [7, 2, 9, 0, 11, 4];
    program_by_hand(family, lb2, &by_hand)?;
    let before = flows(&lab, family, lb2, 53)?;

    // lb1 begins with two servers and is given the others; lb2 adopts what it finds and is given the others in another order.
    let one = Director::start(lb1, &config(family, [3, 8]))?;
    for number in [5, 0, 11, 1, 9, 4, 2, 10, 7, 6] {
        add(&one, family, number)?;
    }
    let two = Director::start(lb2, &config(family, by_hand))?;
    for number in [10, 3, 6, 1, 8, 5] {
        add(&two, family, number)?;
    }
    wait_ordered(family, lb1, SERVERS.into())?;
    wait_ordered(family, lb2, SERVERS.into())?;
    assert_eq!(chosen(lb2, family.at(53))?, before, "its clients' connections are as they were");

    let first = flows(&lab, family, lb1, 54)?;
    let second = flows(&lab, family, lb2, 54)?;
    assert_eq!(differing(&first, &second), 0, "of {FLOWS} flows");
    for number in 0..SERVERS {
        let server = SocketAddr::new(server(family, number), 53);
        let share = first.values().filter(|chosen| **chosen == server).count();
        ensure!(share > usize::from(FLOWS) / usize::from(SERVERS) / 2, "{server} has {share}");
    }

    // One server drained moves its own flows and no other.
    one.cli(&["server", "drain", "dns", "s5"])?;
    let service = format!("-u {}", family.at(55));
    let drained = SocketAddr::new(server(family, 5), 53);
    wait_until(LIMIT, "s5 to have weight 0", || {
        (weights(lb1, &service).ok()?.get(&drained.to_string()) == Some(&0)).then_some(())
    })?;
    let without = flows(&lab, family, lb1, 55)?;
    ensure!(without.values().all(|server| *server != drained));
    let own = first.values().filter(|server| **server == drained).count();
    assert_eq!(differing(&first, &without), own, "its own flows and no other");
    Ok(())
}

fn add(director: &Director, family: Family, number: u8) -> Result<()> {
    let server = SocketAddr::new(server(family, number), 53).to_string();
    let name = format!("s{number}");
    director.cli(&["server", "add", "dns", &server, "--name", &name]).map(drop)
}

#[test]
fn two_directors_choose_alike_for_10_000_flows_of_ipv4() -> Result<()> {
    two_directors_choose_alike(Family::V4)
}

#[test]
fn two_directors_choose_alike_for_10_000_flows_of_ipv6() -> Result<()> {
    two_directors_choose_alike(Family::V6)
}

/// A list that is not in order maps some flows in another way: the test above would see it.
#[test]
fn lists_in_another_order_choose_otherwise() -> Result<()> {
    let family = Family::V4;
    let lab = Lab::with(Topology::one_arm().webs(0))?;
    for (node, numbers) in
        [(lab.lb1(), [0, 1, 2, 3, 4, 5, 6, 7]), (lab.lb2(), [5, 2, 7, 0, 1, 6, 3, 4])]
    {
        prepare(family, node)?;
        program_by_hand(family, node, &numbers)?;
    }
    let (one, two) = (flows(&lab, family, lab.lb1(), 53)?, flows(&lab, family, lab.lb2(), 53)?);
    ensure!(differing(&one, &two) > 0, "the order makes no difference: the test is blind");
    Ok(())
}

/// Servers are added below all others and removed again, so that every destination moves each time, under downloads.
fn moves_cost_nothing(expire_nodest_conn: &str) -> Result<()> {
    let lab = Lab::with(Topology::one_arm().webs(3))?;
    let mut webs = Vec::new();
    for web in lab.webs() {
        web.hold_vip(VIP4.into())?;
        webs.push(Nginx::start(web, 80)?);
    }
    lab.lb1().sh(&format!("ip address add {VIP4}/24 dev eth0"))?;
    let director = Director::start(
        lab.lb1(),
        &format!(
            "services: {{web: {{listen: tcp {VIP4}:80, scheduler: {{name: mh, flags: [fallback, port]}}, forward: direct, \
             real_servers: {{a: 10.77.0.21, b: 10.77.0.22, c: 10.77.0.23}}}}}}\n"
        ),
    )?;
    lab.lb1().sysctl("net.ipv4.vs.expire_nodest_conn", expire_nodest_conn)?;
    let service = format!("-t {VIP4}:80");
    let wait_servers = |count: usize| {
        wait_until(LIMIT, "the servers in the table", || {
            (weights(lab.lb1(), &service).ok()?.len() == count).then_some(())
        })
    };
    wait_servers(3)?;
    let downloads = Downloads::start(lab.client(), (VIP4, 80).into(), 30)?;
    let operations =
        || Ok::<_, anyhow::Error>(director.status()?.ipvs.context("ipvs")?.operations_total);
    for _ in 0..10 {
        let before = operations()?;
        director.cli(&["server", "add", "web", "10.77.0.20", "--name", "low"])?;
        // One is added and three are put in again: the daemon counts them a moment after the kernel has them.
        wait_until(LIMIT, "seven operations", || (operations().ok()? >= before + 7).then_some(()))?;
        wait_servers(4)?;
        director.cli(&["server", "rm", "web", "low", "--now"])?;
        wait_servers(3)?;
    }
    let old = downloads.bytes();
    wait_until(LIMIT, "every download to go on", || {
        downloads.bytes().iter().zip(&old).all(|(new, old)| new > old).then_some(())
    })
    .with_context(|| format!("{} of 30 are broken", downloads.broken()))?;
    assert_eq!(downloads.broken(), 0);
    // It was 0 only while something moved.
    wait_until(LIMIT, "the sysctl to be as it was", || {
        let setting = lab.lb1().run(["cat", "/proc/sys/net/ipv4/vs/expire_nodest_conn"]).ok()?;
        (setting.stdout.trim() == expire_nodest_conn).then_some(())
    })
}

#[test]
fn what_moves_keeps_its_connections() -> Result<()> {
    moves_cost_nothing("0")
}

#[test]
fn what_moves_keeps_its_connections_also_where_those_of_deleted_servers_expire() -> Result<()> {
    moves_cost_nothing("1")
}
