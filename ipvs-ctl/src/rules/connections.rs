//! What `-L -c` prints: the lines of `/proc/net/ip_vs_conn`, rewritten.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::listing::{padded, place, put};
use super::names::{Names, Numbers};
use crate::model::Protocol;

/// Where the kernel tells of its connections.
pub const CONNECTIONS_FILE: &str = "/proc/net/ip_vs_conn";

/// A connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// The protocol's name: TCP, UDP, SCTP, or another for a template by mark (IP).
    pub protocol: String,
    /// The client.
    pub client: (IpAddr, u16),
    /// The virtual address.
    pub service: (IpAddr, u16),
    /// The real server.
    pub destination: (IpAddr, u16),
    /// The state's name.
    pub state: String,
    /// Seconds until it is forgotten.
    pub expires_s: u32,
    /// The persistence engine and its data.
    pub engine: Option<(String, String)>,
}

impl Connection {
    /// Reads a line of the file; `None` for its headings and for what is no connection.
    pub fn read(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        let protocol = words.next()?.to_owned();
        let mut end = || -> Option<(IpAddr, u16)> {
            Some((ip(words.next()?)?, u16::from_str_radix(words.next()?, 16).ok()?))
        };
        let (client, service, destination) = (end()?, end()?, end()?);
        let state = words.next()?.to_owned();
        let expires_s = words.next()?.parse().ok()?;
        let engine = match (words.next(), words.next()) {
            (Some(name), Some(data)) => Some((name.to_owned(), data.to_owned())),
            _none => None,
        };
        Some(Self { protocol, client, service, destination, state, expires_s, engine })
    }

    fn transport(&self) -> Option<Protocol> {
        match self.protocol.as_str() {
            "TCP" => Some(Protocol::Tcp),
            "UDP" => Some(Protocol::Udp),
            "SCTP" => Some(Protocol::Sctp),
            _other => None,
        }
    }
}

/// IPv4 is eight hexadecimal digits, IPv6 its usual words.
fn ip(text: &str) -> Option<IpAddr> {
    if let Ok(ip) = text.parse::<Ipv6Addr>() {
        return Some(IpAddr::V6(ip));
    }
    if let Ok(ip) = text.parse::<Ipv4Addr>() {
        return Some(IpAddr::V4(ip));
    }
    u32::from_str_radix(text, 16).ok().map(|bits| IpAddr::V4(Ipv4Addr::from(bits)))
}

/// The headings.
pub fn title(with_engine: bool, out: &mut Vec<u8>) {
    put(
        out,
        format_args!(
            "IPVS connection entries\npro expire {:<11} {:<18} {:<18} ",
            "state", "source", "virtual"
        ),
    );
    if with_engine {
        put(out, format_args!("{:<18} {:<16} pe_data\n", "destination", "pe name"));
    } else {
        put(out, format_args!("destination\n"));
    }
}

/// A connection.
pub fn line(
    connection: &Connection,
    numeric: bool,
    with_engine: bool,
    names: &mut dyn Names,
    out: &mut Vec<u8>,
) {
    let mut numbers = Numbers;
    let names: &mut dyn Names = if numeric { &mut numbers } else { names };
    let protocol = connection.transport();
    let mut place = |(ip, port): (IpAddr, u16)| place(ip, port, protocol, names);
    let (client, service, destination) =
        (place(connection.client), place(connection.service), place(connection.destination));
    let expire = format!("{:02}:{:02}", connection.expires_s / 60, connection.expires_s % 60);
    let Connection { protocol, state, .. } = connection;
    put(out, format_args!("{protocol:<3} {expire:<6} {state:<11} "));
    padded(&client, 18, out);
    out.push(b' ');
    padded(&service, 18, out);
    out.push(b' ');
    match &connection.engine {
        Some((engine, data)) if with_engine => {
            padded(&destination, 16, out);
            put(out, format_args!(" {engine:<18} {data}\n"));
        }
        _none => {
            out.extend(destination);
            out.push(b'\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_kernels_becomes_one_of_ipvsadms() {
        let read =
            Connection::read("TCP 0A000001 C350 0A000002 0050 0A000003 1F90 ESTABLISHED     899")
                .unwrap();
        let mut out = Vec::new();
        line(&read, true, false, &mut Numbers, &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "TCP 14:59  ESTABLISHED 10.0.0.1:50000     10.0.0.2:80        10.0.0.3:8080\n"
        );
    }

    #[test]
    fn headings_are_no_connection() {
        assert_eq!(
            Connection::read(
                "Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData"
            ),
            None
        );
    }
}
