//! Names of hosts and services as this host knows them, each looked up once.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use holdfast_net::names::{self, Transport};
use ipvs_ctl::model::Protocol;
use ipvs_ctl::rules::Names;

/// So many answers are remembered of each kind; further ones are asked for anew each time.
const REMEMBERED: usize = 65_536;

/// The host's names.
#[derive(Debug, Default)]
pub(super) struct SystemNames {
    addresses: BTreeMap<Vec<u8>, Option<Ipv4Addr>>,
    ports: BTreeMap<(Vec<u8>, Transport), Option<u16>>,
    hosts: BTreeMap<IpAddr, Option<Vec<u8>>>,
    services: BTreeMap<(u16, Transport), Option<Vec<u8>>>,
}

fn remembered<K: Ord, V: Clone>(
    known: &mut BTreeMap<K, Option<V>>,
    key: K,
    look: impl FnOnce(&K) -> Option<V>,
) -> Option<V> {
    if let Some(answer) = known.get(&key) {
        return answer.clone();
    }
    let answer = look(&key);
    if known.len() < REMEMBERED {
        known.insert(key, answer.clone());
    }
    answer
}

const fn transport(protocol: Protocol) -> Transport {
    match protocol {
        Protocol::Tcp => Transport::Tcp,
        Protocol::Udp => Transport::Udp,
        Protocol::Sctp => Transport::Sctp,
    }
}

impl Names for SystemNames {
    fn address_of(&mut self, host: &[u8]) -> Option<Ipv4Addr> {
        remembered(&mut self.addresses, host.to_vec(), |host| {
            names::address_of(std::str::from_utf8(host).ok()?)
        })
    }

    fn port_of(&mut self, service: &[u8], protocol: Protocol) -> Option<u16> {
        let key = (service.to_vec(), transport(protocol));
        remembered(&mut self.ports, key, |(service, transport)| names::port_of(service, *transport))
    }

    fn host_of(&mut self, address: IpAddr) -> Option<Vec<u8>> {
        remembered(&mut self.hosts, address, |address| names::host_of(*address))
    }

    fn service_of(&mut self, port: u16, protocol: Protocol) -> Option<Vec<u8>> {
        let key = (port, transport(protocol));
        remembered(&mut self.services, key, |(port, transport)| {
            names::service_of(*port, *transport)
        })
    }
}
