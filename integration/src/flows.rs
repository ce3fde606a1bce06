//! Many flows at little cost: single UDP datagrams from many source addresses and ports, and what a director chose for each.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::{Context, Result, bail};
use holdfast_testkit::lab::Node;
use socket2::{Domain, Protocol, Socket, Type};

/// So many ports of each source address send.
const PORTS: u16 = 100;

/// The distance of source addresses, at least [`PORTS`].
const APART: u16 = 128;

/// IPPROTO_RAW (linux/in.h): the caller writes the whole packet.
const RAW: i32 = 255;

/// Sends one datagram of each of so many flows from `client` to `target`. The same number is the same flows each time.
///
/// # Errors
/// The kernel refuses a packet.
pub fn send(client: &Node, target: SocketAddr, flows: u16) -> Result<()> {
    client.enter(|| {
        let socket =
            Socket::new(Domain::for_address(target), Type::RAW, Some(Protocol::from(RAW)))?;
        let to = SocketAddr::new(target.ip(), 0).into();
        for flow in 0..flows {
            let (from, port) = source(target.ip(), flow);
            let packet = packet(from, port, target).context("one family")?;
            socket
                .send_to(&packet, &to)
                .with_context(|| format!("send flow {flow} to {target}"))?;
        }
        Ok(())
    })?
}

/// The source of a flow: 198.18.0.0/15 and its like in IPv6 are for measurements (RFC 2544, RFC 5180).
fn source(target: IpAddr, flow: u16) -> (IpAddr, u16) {
    // `mh` hashes the sum of address and port (ip_vs_mh_hashkey): addresses further apart than the ports make each flow another one.
    let (host, port) = (flow / PORTS * APART, 10_000 + flow % PORTS);
    let [high, low] = host.to_be_bytes();
    let address = match target {
        IpAddr::V4(_) => Ipv4Addr::new(198, 18, high, low).into(),
        IpAddr::V6(_) => Ipv6Addr::new(0x2001, 2, 0, 0, 0, 0, 0, host).into(),
    };
    (address, port)
}

/// A datagram of one byte with its headers (RFC 791, RFC 8200, RFC 768). IPVS needs no checksum of it.
fn packet(from: IpAddr, port: u16, target: SocketAddr) -> Option<Vec<u8>> {
    let mut udp = [port, target.port(), 9, 0].map(u16::to_be_bytes).concat();
    udp.push(b'?');
    let length = u16::try_from(udp.len()).ok()?;
    let mut packet = match (from, target.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let total = (20 + length).to_be_bytes();
            // Identification and checksum 0 are filled in by the kernel (raw(7)).
            let mut header = vec![0x45, 0, total[0], total[1], 0, 0, 0, 0, 64, 17, 0, 0];
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (IpAddr::V6(from), IpAddr::V6(to)) => {
            let length = length.to_be_bytes();
            let mut header = vec![0x60, 0, 0, 0, length[0], length[1], 17, 64];
            header.extend(from.octets());
            header.extend(to.octets());
            header
        }
        (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
    };
    packet.append(&mut udp);
    Some(packet)
}

/// What the kernel of `director` has chosen for each flow to `target` that it knows.
///
/// # Errors
/// The kernel's list of connections can't be read, or is not understood.
pub fn chosen(director: &Node, target: SocketAddr) -> Result<BTreeMap<SocketAddr, SocketAddr>> {
    let list = director.run(["cat", "/proc/net/ip_vs_conn"])?.stdout;
    let mut chosen = BTreeMap::new();
    // Pro FromIP FPrt ToIP TPrt DestIP DPrt State Expires; the first line is the header.
    for line in list.lines().skip(1) {
        let words: Vec<&str> = line.split_ascii_whitespace().collect();
        let [_, from, from_port, to, to_port, server, server_port, ..] = words[..] else {
            bail!("not a connection: {line:?}");
        };
        let read = |address, port| endpoint(address, port).with_context(|| line.to_owned());
        if read(to, to_port)? == target {
            chosen.insert(read(from, from_port)?, read(server, server_port)?);
        }
    }
    Ok(chosen)
}

fn endpoint(address: &str, port: &str) -> Option<SocketAddr> {
    let address = match address.contains(':') {
        true => IpAddr::V6(address.trim_matches(['[', ']']).parse().ok()?),
        false => IpAddr::V4(u32::from_str_radix(address, 16).ok()?.into()),
    };
    Some(SocketAddr::new(address, u16::from_str_radix(port, 16).ok()?))
}
