//! What the supervisor does where no worker is there in time: it says the worker's goodbyes, and takes off what a worker has put on.

use std::collections::BTreeMap;
use std::net::IpAddr;

use holdfast_net::{
    Change, IfIndex, Interface, Item, MacAddress, Macvlans, Network, Packet, Placed, VrrpSocket,
    Watched,
};
use vrrp::AddressFamily;

use super::estate::{Bequest, Goodbye};

/// Says priority 0 for the instances of `left`, then removes their addresses; where they are `all` there are, also every other address,
/// route, rule and macvlan that has the daemon's mark. What could not be done is in the answer, a sentence for each.
pub(super) fn relinquish(left: &[&Bequest], all: bool) -> Vec<String> {
    let mut problems = Vec::new();
    let mut sockets = BTreeMap::new();
    for bequest in left {
        for goodbye in &bequest.goodbyes {
            if let Err(problem) = say(goodbye, &mut sockets) {
                problems.push(format!("instance `{}`: {problem}", bequest.name));
            }
        }
    }
    problems.extend(remove(left, all).err());
    if all {
        problems.extend(remove_macvlans().err());
    }
    problems
}

fn say(
    goodbye: &Goodbye,
    sockets: &mut BTreeMap<(IfIndex, bool), VrrpSocket>,
) -> Result<(), String> {
    let (index, name) = &goodbye.interface;
    let index = IfIndex::new(*index).ok_or("no interface")?;
    let interface = Interface { index, name: name.clone() };
    let family = match goodbye.source {
        IpAddr::V4(_) => AddressFamily::Ipv4,
        IpAddr::V6(_) => AddressFamily::Ipv6,
    };
    let key = (index, goodbye.source.is_ipv4());
    if let std::collections::btree_map::Entry::Vacant(place) = sockets.entry(key) {
        place.insert(VrrpSocket::open(&interface, family).map_err(|error| error.to_string())?);
    }
    let socket = sockets.get(&key).ok_or("no socket")?;
    let Goodbye { source, destination, hop_limit, payload, .. } = goodbye;
    let packet = Packet {
        source: *source,
        destination: *destination,
        hop_limit: *hop_limit,
        payload: payload.as_slice(),
    };
    match goodbye.mac {
        Some(mac) => socket.send_from_mac(MacAddress::new(mac), &packet),
        None => socket.send(&packet),
    }
    .map_err(|error| error.to_string())
}

/// Rules, routes, then addresses: in the order in which they need each other.
fn remove(left: &[&Bequest], all: bool) -> Result<(), String> {
    let watched = Watched { routes: all, rules: all };
    let mut network = Network::open(watched).map_err(|error| error.to_string())?;
    let host = network.inventory();
    let on = |index| host.device_by_index(index).map(|device| device.interface.clone());
    let goes = |index: IfIndex, placed: &Placed| {
        let of = |one: &&&Bequest| one.addresses.contains(&placed.net.addr());
        let here = |one: &Goodbye| one.interface.0 == index.value();
        // A kernel before 5.18 knows no mark of addresses.
        let theirs = |one: &Bequest| placed.marked || (!one.owner && one.goodbyes.iter().any(here));
        (all && placed.marked) || left.iter().filter(of).any(|one| theirs(one))
    };
    let addresses = host.addresses().filter(|(index, placed)| goes(*index, placed));
    let addresses =
        addresses.filter_map(|(index, placed)| Some(Item::Address(on(index)?, placed.clone())));
    let routes = host.routes().filter(|_| all).cloned().map(Item::Route);
    let rules = host.rules().filter(|_| all).cloned().map(Item::Rule);
    let changes: Vec<Change> = rules.chain(routes).chain(addresses).map(Change::remove).collect();
    let refused = network.change(&changes).into_iter().find_map(Result::err);
    refused.map_or(Ok(()), |error| Err(error.to_string()))
}

fn remove_macvlans() -> Result<(), String> {
    let mut macvlans = Macvlans::open().map_err(|error| error.to_string())?;
    for left in macvlans.list().map_err(|error| error.to_string())? {
        macvlans.delete(&left.interface).map_err(|error| error.to_string())?;
    }
    Ok(())
}
