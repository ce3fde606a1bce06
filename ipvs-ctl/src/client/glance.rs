//! The table at a glance: read from one file where that is enough, instead of a dump for each service.
//!
//! `/proc/net/ip_vs` tells of a thousand services in two hundred system calls; netlink takes two thousand, and ten times the bytes. The
//! file is enough to know which destinations get connections. It is not enough to compare tables, since it lacks the thresholds and
//! the kind of a tunnel.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use super::read::{Found, same_services};
use super::{Client, ClientError, READ_ATTEMPTS};
use crate::model::{Destination, Entry, Forwarding, Protocol, ServiceKey, Table, Tunnel};

/// The table of the opening thread's network namespace, which is the client's unless the thread has moved.
const FILE: &str = "/proc/thread-self/net/ip_vs";

/// The kernel gives out a page at a time, and a service with all its destinations at once.
const BUFFER: usize = 16 << 10;

/// Destinations as the file tells of them: without thresholds; every tunnel as IP in IP; bypass as NAT.
pub type Glimpse = BTreeMap<SocketAddr, Destination>;

impl Client {
    /// The table. The destinations of a service are what the file tells of them if that `suffices`, and otherwise what netlink tells.
    ///
    /// Netlink is always asked about services by mark, whose family the file does not tell, and about services that are not in the file: it may be
    /// hidden in a container, and if another namespace has services the kernel leaves some of ours out where the file's pages meet.
    ///
    /// A dump may skip entries while somebody changes the table. It is believed if it has everything that the file has, or, for what is not in
    /// the file, if a second dump agrees; it is read [`READ_ATTEMPTS`] times at most.
    ///
    /// # Errors
    /// The kernel has no IPVS any more, it refused, or the socket failed.
    pub fn glance(
        &mut self,
        suffices: impl Fn(&ServiceKey, &Glimpse) -> bool,
    ) -> Result<Table, ClientError> {
        let file = File::open(FILE);
        let read = file.and_then(|file| read(BufReader::with_capacity(BUFFER, file)));
        self.glance_beside(read.unwrap_or_default(), suffices)
    }

    /// The same, where the file has told `glimpses`.
    pub(super) fn glance_beside(
        &mut self,
        mut glimpses: BTreeMap<ServiceKey, Glimpse>,
        suffices: impl Fn(&ServiceKey, &Glimpse) -> bool,
    ) -> Result<Table, ClientError> {
        let mut table = Table::new();
        for (service, _) in self.services_beside(&glimpses)?.into_iter().flatten() {
            let key = service.key;
            let destinations = match glimpses.remove(&key) {
                Some(glimpse) if suffices(&key, &glimpse) => glimpse,
                glimpse => self.destinations_beside(&key, glimpse.as_ref())?,
            };
            table.insert(key, Entry { service, destinations });
        }
        Ok(table)
    }

    fn services_beside(
        &mut self,
        glimpses: &BTreeMap<ServiceKey, Glimpse>,
    ) -> Result<Vec<Found>, ClientError> {
        let mut services = self.services()?;
        for _again in 1..READ_ATTEMPTS {
            let listed = services.iter().flatten().map(|(service, _)| service.key);
            let listed: BTreeSet<ServiceKey> = listed.collect();
            if listed.iter().eq(glimpses.keys()) {
                break;
            }
            let again = self.services()?;
            // What the file has and the list has not was removed, or skipped.
            let is_whole = glimpses.keys().all(|key| listed.contains(key));
            let is_same = same_services(&services, &again);
            services = again;
            if is_whole && is_same {
                break;
            }
        }
        Ok(services)
    }

    fn destinations_beside(
        &mut self,
        key: &ServiceKey,
        glimpse: Option<&Glimpse>,
    ) -> Result<Glimpse, ClientError> {
        let mut told = glimpse.cloned();
        for _again in 1..READ_ATTEMPTS {
            let found = self.destinations_of(key)?;
            if told.is_some_and(|told| told.keys().all(|address| found.contains_key(address))) {
                return Ok(found);
            }
            told = Some(found);
        }
        self.destinations_of(key)
    }

    fn destinations_of(&mut self, key: &ServiceKey) -> Result<Glimpse, ClientError> {
        let found = self.destinations(key, &mut Vec::new())?.into_iter();
        Ok(found.map(|one| (one.destination.address, one.destination)).collect())
    }
}

/// Reads what `ip_vs_info_seq_show` of net/netfilter/ipvs/ip_vs_ctl.c writes, without the services by mark. Services of protocols
/// that the model has no word for are passed over.
///
/// # Errors
/// Reading failed, or a line is none of the kernel's.
fn read(mut file: impl BufRead) -> io::Result<BTreeMap<ServiceKey, Glimpse>> {
    let mut found = BTreeMap::new();
    let mut service: Option<(ServiceKey, Glimpse)> = None;
    let mut line = Vec::new();
    // The version and the two lines of the heading.
    for _ in 0..3 {
        file.read_until(b'\n', &mut line)?;
    }
    loop {
        line.clear();
        if file.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        let text = std::str::from_utf8(&line).map_err(io::Error::other)?;
        if let Some(rest) = text.strip_prefix("  -> ") {
            let destination = destination(rest).ok_or(io::ErrorKind::InvalidData)?;
            if let Some((_, destinations)) = &mut service {
                destinations.insert(destination.address, destination);
            }
        } else {
            let next = named(text).ok_or(io::ErrorKind::InvalidData)?;
            found.extend(service.take());
            service = next.map(|key| (key, Glimpse::new()));
        }
    }
    found.extend(service);
    Ok(found)
}

/// What a service's line names (`TCP  C000020A:0050 wlc`); no key of one by mark, or of a protocol without a name. None of a line that is no service's.
fn named(line: &str) -> Option<Option<ServiceKey>> {
    let mut words = line.split_ascii_whitespace();
    let (protocol, address) = (words.next()?, words.next()?);
    let protocol = match protocol {
        "TCP" => Protocol::Tcp,
        "UDP" => Protocol::Udp,
        "SCTP" => Protocol::Sctp,
        _mark_or_nameless => return Some(None),
    };
    Some(Some(ServiceKey::Address { protocol, address: socket_address(address)? }))
}

/// What a destination's line tells behind its arrow (`0A000001:0050      Masq    1      0          0`).
fn destination(line: &str) -> Option<Destination> {
    let mut words = line.split_ascii_whitespace();
    let address = socket_address(words.next()?)?;
    // `ip_vs_fwd_name` of include/net/ip_vs.h: bypass has no name of its own.
    let forwarding = match words.next()? {
        "Local" => Forwarding::Local,
        "Tunnel" => Forwarding::Tunnel(Tunnel::Ipip),
        "Route" => Forwarding::Direct,
        _masq => Forwarding::Nat,
    };
    Some(Destination::new(address, forwarding, words.next()?.parse().ok()?))
}

/// `C000020A:0050`, or `[2001:0db8:0000:0000:0000:0000:0000:000a]:0050`.
fn socket_address(text: &str) -> Option<SocketAddr> {
    let (address, port) = text.rsplit_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let address = match address.strip_prefix('[') {
        Some(rest) => rest.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into(),
        None => Ipv4Addr::from(u32::from_str_radix(address, 16).ok()?).into(),
    };
    Some(SocketAddr::new(address, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEADING: &str = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n";

    fn tcp(address: &str) -> ServiceKey {
        ServiceKey::Address { protocol: Protocol::Tcp, address: address.parse().unwrap() }
    }

    fn found(lines: &str) -> io::Result<BTreeMap<ServiceKey, Glimpse>> {
        read(format!("{HEADING}{lines}").as_bytes())
    }

    #[test]
    fn an_empty_table_has_no_services() {
        assert_eq!(found("").unwrap(), BTreeMap::new());
    }

    #[test]
    fn services_have_their_destinations_of_either_family() {
        let glimpses = found(concat!(
            "TCP  C000020A:0050 wlc persistent 300 FFFFFFFF\n",
            "  -> 0A000001:0050      Masq    1      0          0         \n",
            "  -> 0A000002:1F90      Route   0      3          7         \n",
            "UDP  [2001:0db8:0000:0000:0000:0000:0000:000a]:0035 rr ops \n",
            "  -> [2001:0db8:0000:0000:0000:0000:0000:0001]:0035      Tunnel  2147483647 0          0         \n",
            "TCP  C000020B:0000 sh \n",
        ));
        let udp = ServiceKey::Address {
            protocol: Protocol::Udp,
            address: "[2001:db8::a]:53".parse().unwrap(),
        };
        let of = |(address, forwarding, weight): (&str, Forwarding, u32)| {
            let address = address.parse().unwrap();
            (address, Destination::new(address, forwarding, weight))
        };
        let ipip = Forwarding::Tunnel(Tunnel::Ipip);
        let expected = [
            (
                tcp("192.0.2.10:80"),
                vec![("10.0.0.1:80", Forwarding::Nat, 1), ("10.0.0.2:8080", Forwarding::Direct, 0)],
            ),
            (udp, vec![("[2001:db8::1]:53", ipip, 2_147_483_647)]),
            (tcp("192.0.2.11:0"), vec![]),
        ];
        let expected = expected.map(|(key, all)| (key, all.into_iter().map(of).collect()));
        assert_eq!(glimpses.unwrap(), BTreeMap::from(expected));
    }

    #[test]
    fn what_a_mark_or_a_nameless_protocol_has_is_nobody_else_s() {
        let glimpses = found(concat!(
            "TCP  C000020A:0050 wlc \n",
            "FWM  00000007 wlc \n",
            "  -> 0A000001:0000      Route   1      0          0         \n",
            "IP_47  C000020A:0050 wlc \n",
            "  -> 0A000002:0000      Route   1      0          0         \n",
        ));
        assert_eq!(glimpses.unwrap(), BTreeMap::from([(tcp("192.0.2.10:80"), Glimpse::new())]));
    }

    #[test]
    fn a_line_that_is_none_of_the_kernel_s_is_an_error() {
        for line in [
            "TCP\n",
            "TCP  C000020A wlc\n",
            "TCP  [2001:db8::]:0050:1 wlc\n",
            "  -> 0A000001:0050\n",
            "  -> 0A000001:0050 Masq many\n",
            "  -> 0A000001:0050 Masq -1 0 0\n",
            "\u{fffd}\n",
        ] {
            assert!(found(line).is_err(), "{line:?}");
        }
        assert!(read(&b"\n\n\nTCP \xff\n"[..]).is_err());
    }
}
