//! Packets reach real servers through every kind of tunnel: IP in IP, GUE and GRE, with each form of checksum, IPv4 and IPv6 in either of
//! both. Each service has one server at an IPv4 address and one at an IPv6 address, so that one of them is always of the other family.
//!
//! ```text
//!  client ── br0 ── lb1, web1 (tunnels end at its IPv4 address), web2 (at its IPv6 address); both have the virtual addresses on lo
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use holdfast_integration::Director;
use holdfast_testkit::lab::{Lab, Nginx, Node, Topology, wait_until};
use socket2::{Domain, Protocol, Socket, Type};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);

/// A request that takes longer has failed, also on a busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long a request may take that shall fail.
const SILENCE: Duration = Duration::from_secs(1);

/// Where the servers take GUE.
const GUE_PORT: u16 = 6080;

/// A service's tunnel, and how its packets look on the wire; of IP in IP that is the inner family's name.
struct Tunnel {
    name: &'static str,
    forward: &'static str,
    wire: Option<&'static str>,
}

const fn tunnel(name: &'static str, forward: &'static str, wire: Option<&'static str>) -> Tunnel {
    Tunnel { name, forward, wire }
}

const TUNNELS: [Tunnel; 6] = [
    tunnel("ipip", "tunnel", None),
    tunnel("gue", "{tunnel: {type: gue, port: 6080}}", Some("GUE")),
    tunnel("gue_full", "{tunnel: {type: gue, port: 6080, checksum: full}}", Some("GUE checksum")),
    tunnel(
        "gue_remote",
        "{tunnel: {type: gue, port: 6080, checksum: remote}}",
        Some("GUE checksum remote"),
    ),
    tunnel("gre", "{tunnel: {type: gre}}", Some("GRE")),
    tunnel("gre_full", "{tunnel: {type: gre, checksum: full}}", Some("GRE checksum")),
];

/// The virtual address of a tunnel's service.
fn vip(number: u8, ipv6: bool) -> IpAddr {
    match ipv6 {
        false => Ipv4Addr::new(10, 77, 0, 100 + number).into(),
        true => Ipv6Addr::new(0xfd00, 0x77, 0, 0, 0, 0, 1, u16::from(number)).into(),
    }
}

/// Every tunnel with its service's virtual address, in the order of the configuration.
fn each(ipv6: bool) -> impl Iterator<Item = (&'static Tunnel, IpAddr)> {
    (1..).zip(&TUNNELS).map(move |(number, tunnel)| (tunnel, vip(number, ipv6)))
}

fn config(lab: &Lab) -> String {
    let addresses = |ipv6: bool| {
        let length = if ipv6 { 64 } else { 24 };
        each(ipv6).map(|(_, vip)| format!("'{vip}/{length}'")).collect::<Vec<_>>().join(", ")
    };
    let mut text = format!(
        "daemon: {{state: {}}}\nvrrp:\n  instances:\n    \
         v4: {{interface: eth0, vrid: 51, interval: 200ms, priority: 150, addresses: [{}]}}\n    \
         v6: {{interface: eth0, vrid: 51, interval: 200ms, priority: 150, addresses: ['fe80::33/64', {}]}}\nservices:\n",
        lab.lb1().folder().join("state").display(),
        addresses(false),
        addresses(true)
    );
    for ipv6 in [false, true] {
        for (tunnel, vip) in each(ipv6) {
            let (name, forward) = (tunnel.name, tunnel.forward);
            let listen = SocketAddr::new(vip, 80);
            let family = if ipv6 { 6 } else { 4 };
            text += &format!(
                "  {name}{family}: {{listen: 'tcp {listen}', scheduler: rr, forward: {forward}, real_servers: \
                 {{web1: {}, web2: '[{}]'}}}}\n",
                lab.web(1).ip4(),
                lab.web(2).ip6()
            );
        }
    }
    text
}

/// What a server needs to take packets out of tunnels, but for GRE: see [`gre`].
fn ends_tunnels(web: &Node) -> Result<()> {
    let (ip4, ip6) = (web.ip4(), web.ip6());
    web.sh(&format!(
        "ip link add ipip4 type ipip local {ip4} remote any\n\
         ip link add sit4 type sit local {ip4} remote any\n\
         ip link add any6 type ip6tnl mode any local {ip6} remote ::\n\
         ip fou add port {GUE_PORT} gue\n\
         ip -6 fou add port {GUE_PORT} gue\n\
         for link in ipip4 sit4 any6; do ip link set $link up; done\n\
         echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter\n\
         for link in ipip4 any6; do echo 0 >/proc/sys/net/ipv4/conf/$link/rp_filter; done"
    ))
    .map(drop)
}

/// Devices that take packets out of GRE: `icsum` those with a checksum and no others, without it those without.
fn gre(web: &Node, checksum: &str) -> Result<()> {
    let (ip4, ip6) = (web.ip4(), web.ip6());
    web.sh(&format!(
        "for link in hfgre4 hfgre6; do ip link show $link >/dev/null 2>&1 && ip link del $link; done\n\
         ip link add hfgre4 type gre local {ip4} remote any {checksum}\n\
         ip link add hfgre6 type ip6gre local {ip6} remote :: {checksum}\n\
         for link in hfgre4 hfgre6; do\n\
         ip link set $link up\n\
         echo 0 >/proc/sys/net/ipv4/conf/$link/rp_filter\n\
         done"
    ))
    .map(drop)
}

/// Asks for the server's name, with a request of several full packets, which the tunnel's header makes too long for the link.
fn ask_at_length(target: SocketAddr, timeout: Duration) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&target, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    let filler = "x".repeat(6000);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: tunnels\r\nConnection: close\r\nX-Filler: {filler}\r\n\r\n"
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    match answer.split_once("\r\n\r\n") {
        Some((head, body)) if head.starts_with("HTTP/1.1 200") => Ok(body.trim().to_owned()),
        Some(_) | None => Err(io::Error::other(answer)),
    }
}

/// Who answers four requests.
fn spread(client: &Node, vip: IpAddr) -> Result<BTreeMap<String, usize>> {
    let target = SocketAddr::new(vip, 80);
    let mut answers = BTreeMap::new();
    for _ in 0..4 {
        let server = client.enter(|| ask_at_length(target, PATIENCE))?;
        *answers.entry(server.with_context(|| target.to_string())?).or_insert(0) += 1;
    }
    Ok(answers)
}

/// Every frame that a node sees from now on, as far as its buffer holds them.
struct Tap(Socket);

impl Tap {
    fn start(node: &Node) -> Result<Self> {
        let every = Protocol::from(i32::from(3u16.to_be()));
        let socket = node.enter(|| Socket::new(Domain::PACKET, Type::RAW, Some(every)))??;
        socket.set_nonblocking(true)?;
        Ok(Self(socket))
    }

    /// The forms of all tunnels to `end` that were seen.
    fn forms(mut self, end: IpAddr) -> BTreeSet<String> {
        let mut frame = [0; 128];
        let mut forms = BTreeSet::new();
        while let Ok(length) = self.0.read(&mut frame) {
            forms.extend(form(frame.get(..length).unwrap_or_default(), end));
        }
        forms
    }
}

/// What a frame is, if it is one of a tunnel that ends at `end`: `IPv4` and `IPv6` are IP in IP.
fn form(frame: &[u8], end: IpAddr) -> Option<String> {
    let (protocol, to, payload) = match frame.get(12..14)? {
        [0x08, 0x00] => {
            let to: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
            (*frame.get(23)?, IpAddr::from(to), frame.get(34..)?)
        }
        [0x86, 0xdd] => {
            let to: [u8; 16] = frame.get(38..54)?.try_into().ok()?;
            (*frame.get(20)?, IpAddr::from(to), frame.get(54..)?)
        }
        _ => return None,
    };
    let is = |name: &str, marks: &[(bool, &str)]| {
        let marks = marks.iter().filter(|(there, _)| *there).map(|(_, mark)| *mark);
        Some([name].into_iter().chain(marks).collect::<Vec<_>>().join(" "))
    };
    let port = GUE_PORT.to_be_bytes();
    match (to == end, protocol, payload) {
        (true, 4, _) => is("IPv4", &[]),
        (true, 41, _) => is("IPv6", &[]),
        // RFC 2784: the first bit says that there is a checksum.
        (true, 47, [flags, ..]) => is("GRE", &[(flags & 0x80 != 0, "checksum")]),
        // UDP's header, then GUE's with the bit for private flags, of which remote checksums are the only one.
        (true, 17, [_, _, to1, to2, _, _, sum1, sum2, _, _, _, private, ..])
            if [*to1, *to2] == port =>
        {
            let (summed, remote) = ([*sum1, *sum2] != [0, 0], private & 1 != 0);
            is("GUE", &[(summed, "checksum"), (remote, "remote")])
        }
        _ => None,
    }
}

/// Both servers are reached through this service's tunnel, and it looks on the wire as it should.
fn carries(lab: &Lab, tunnel: &Tunnel, vip: IpAddr) -> Result<()> {
    let ends =
        [(lab.web(1), IpAddr::from(lab.web(1).ip4())), (lab.web(2), lab.web(2).ip6().into())];
    let taps = ends.map(|(web, end)| (Tap::start(web), end));
    let answers = spread(lab.client(), vip).with_context(|| tunnel.name)?;
    let even: BTreeMap<String, usize> = [("web1".to_owned(), 2), ("web2".to_owned(), 2)].into();
    assert_eq!(answers, even, "{} {vip}", tunnel.name);
    let inner = if vip.is_ipv4() { "IPv4" } else { "IPv6" };
    let expected = BTreeSet::from([tunnel.wire.unwrap_or(inner).to_owned()]);
    for (tap, end) in taps {
        assert_eq!(tap?.forms(end), expected, "{} {vip} at {end}", tunnel.name);
    }
    Ok(())
}

#[test]
fn every_tunnel_carries_both_families_in_both() -> Result<()> {
    let modules = ["ipip", "sit", "ip6_tunnel", "fou", "fou6", "ip_gre", "ip6_gre"];
    let loaded = Command::new("modprobe").arg("-a").args(modules).status()?;
    ensure!(loaded.success(), "modprobe: {loaded}");
    let lab = Lab::with(Topology::one_arm().webs(2))?;
    for ipv6 in [false, true] {
        for (_, vip) in each(ipv6) {
            lab.webs().try_for_each(|web| web.hold_vip(vip))?;
        }
    }
    for web in lab.webs() {
        ends_tunnels(web)?;
        gre(web, "")?;
    }
    let _webs: Vec<Nginx> = lab.webs().map(|web| Nginx::start(web, 80)).collect::<Result<_>>()?;
    let director = Director::start(lab.lb1(), &config(&lab))?;
    for instance in ["v4", "v6"] {
        director.wait_instance(instance, "active", LIMIT)?;
    }
    for (_, vip) in [false, true].into_iter().flat_map(each) {
        let held = || director.node().has_address(vip).ok()?.then_some(());
        wait_until(LIMIT, "the virtual addresses", held)?;
    }
    wait_until(LIMIT, "the table", || director.status().ok()?.ipvs?.in_sync_s_ago.map(drop))
        .with_context(|| director.process().log_tail())?;

    let is_summed_gre = |tunnel: &Tunnel| tunnel.name == "gre_full";
    for ipv6 in [false, true] {
        for (tunnel, vip) in each(ipv6).filter(|(tunnel, _)| !is_summed_gre(tunnel)) {
            carries(&lab, tunnel, vip)?;
        }
    }
    // A device takes GRE with checksums or without.
    for ipv6 in [false, true] {
        for (tunnel, vip) in each(ipv6).filter(|(tunnel, _)| is_summed_gre(tunnel)) {
            lab.webs().try_for_each(|web| gre(web, ""))?;
            let target = SocketAddr::new(vip, 80);
            let refused = lab.client().enter(|| ask_at_length(target, SILENCE))?;
            ensure!(refused.is_err(), "{target}: a checksum was not asked for");
            lab.webs().try_for_each(|web| gre(web, "icsum"))?;
            carries(&lab, tunnel, vip)?;
        }
    }
    Ok(())
}
