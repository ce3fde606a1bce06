//! `host[:port]`, as ipvsadm takes it apart.

use std::net::{IpAddr, Ipv6Addr};

use super::names::Names;
use super::number::{aton, decimal};
use crate::model::Protocol;

/// An address, and the port where one was said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
    /// Whether a port was said that does not count: it stands behind brackets that hold no IPv6 address.
    pub(super) port_lost: bool,
}

/// Reads an address. IPv6 needs brackets only before a port; host names are IPv4's. Service names need the protocol to be known.
pub(super) fn place(
    text: &[u8],
    protocol: Option<Protocol>,
    names: &mut dyn Names,
) -> Option<Place> {
    if text.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let (host, bracketed) = match text {
        [b'[', inside @ ..] => {
            let end = inside.iter().position(|byte| *byte == b']')?;
            let port = inside.get(end + 1..)?.strip_prefix(b":")?;
            (inside.get(..end)?, Some(port))
        }
        _bare => (text, None),
    };
    if let Some(address) = ipv6(host) {
        let port = bracketed.map(|text| port(text, protocol, names));
        return finish(IpAddr::V6(address), port);
    }
    // What stands in brackets and is no IPv6 address loses the port behind them.
    let (host, text) = match host.iter().rposition(|byte| *byte == b':') {
        Some(at) => (host.get(..at)?, host.get(at + 1..)),
        None => (host, None),
    };
    let address = aton(host).or_else(|| names.address_of(host))?;
    let port = text.map(|text| port(text, protocol, names));
    let place = finish(IpAddr::V4(address), port)?;
    Some(Place { port_lost: bracketed.is_some(), ..place })
}

#[expect(clippy::option_option, reason = "a port that was said may be none")]
fn finish(address: IpAddr, port: Option<Option<u16>>) -> Option<Place> {
    match port {
        None => Some(Place { address, port: None, port_lost: false }),
        Some(port) => Some(Place { address, port: Some(port?), port_lost: false }),
    }
}

fn port(text: &[u8], protocol: Option<Protocol>, names: &mut dyn Names) -> Option<u16> {
    decimal(text, 0..=65535)
        .and_then(|number| u16::try_from(number).ok())
        .or_else(|| names.port_of(text, protocol?))
}

fn ipv6(text: &[u8]) -> Option<Ipv6Addr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    struct Known;

    impl Names for Known {
        fn address_of(&mut self, host: &[u8]) -> Option<Ipv4Addr> {
            (host == b"web").then_some(Ipv4Addr::new(10, 0, 0, 9))
        }
        fn port_of(&mut self, service: &[u8], protocol: Protocol) -> Option<u16> {
            (service == b"http" && protocol == Protocol::Tcp).then_some(80)
        }
        fn host_of(&mut self, _address: IpAddr) -> Option<Vec<u8>> {
            None
        }
        fn service_of(&mut self, _port: u16, _protocol: Protocol) -> Option<Vec<u8>> {
            None
        }
    }

    #[test]
    fn places_are_read_as_ipvsadm_reads_them() {
        for (text, expected) in [
            ("10.0.0.1:80", Some(("10.0.0.1", Some(80)))),
            ("10.0.0.1", Some(("10.0.0.1", None))),
            ("10.0.0.1:http", Some(("10.0.0.1", Some(80)))),
            ("web:http", Some(("10.0.0.9", Some(80)))),
            ("[2001:db8::1]:80", Some(("2001:db8::1", Some(80)))),
            ("2001:db8::1", Some(("2001:db8::1", None))),
            ("[10.0.0.1]:80", Some(("10.0.0.1", None))),
            ("[2001:db8::1]", None),
            ("[2001:db8::1]80", None),
            ("[2001:db8::1", None),
            ("10.0.0.1:", None),
            ("10.0.0.1:65536", None),
            ("10.0.0.1:dns", None),
            ("10.0.0.1:80:80", None),
            ("nowhere:80", None),
            ("80", None),
            ("", None),
            (":80", None),
        ] {
            let place = place(text.as_bytes(), Some(Protocol::Tcp), &mut Known);
            let found = place.map(|place| (place.address.to_string(), place.port));
            let expected = expected.map(|(address, port)| (address.to_owned(), port));
            assert_eq!(found, expected, "{text:?}");
        }
    }

    #[test]
    fn a_service_name_needs_a_protocol() {
        assert_eq!(place(b"10.0.0.1:http", None, &mut Known), None);
        assert_eq!(place(b"10.0.0.1:http", Some(Protocol::Udp), &mut Known), None);
    }
}
