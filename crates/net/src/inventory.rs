//! The interfaces of this host, their addresses, and the daemon's own routes and rules as a value: what the kernel's messages mean.
//! No sockets: bytes go in, what has gone comes out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use netlink_packet_core::NLM_F_REPLACE;

use crate::change::Item;
use crate::interface::{IfIndex, Interface, MacAddress};
use crate::link_state::{self, Change};
use crate::placed::Placed;
use crate::route::{Route, RouteKey};
use crate::rule::Rule;

/// Kinds of route netlink messages (linux/rtnetlink.h).
const RTM_NEWLINK: u16 = 16;
const RTM_DELLINK: u16 = 17;
const RTM_NEWADDR: u16 = 20;
const RTM_DELADDR: u16 = 21;
const RTM_NEWROUTE: u16 = 24;
const RTM_DELROUTE: u16 = 25;
const RTM_NEWRULE: u16 = 32;
const RTM_DELRULE: u16 = 33;

/// An interface as far as addresses on it are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// Its index and name.
    pub interface: Interface,
    /// Its Ethernet address, if it has one.
    pub mac: Option<MacAddress>,
    /// Whether it carries packets.
    pub up: bool,
}

/// What has gone or changed, so that somebody may have to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Loss {
    /// An address is gone from an interface.
    Address(IpAddr),
    /// An interface is new, changed or gone. IPv4 routes by it may have gone without a word.
    Link,
    /// One of the daemon's routes is gone.
    Route,
    /// One of the daemon's rules is gone.
    Rule,
}

/// What there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inventory {
    devices: BTreeMap<IfIndex, Device>,
    names: BTreeMap<String, IfIndex>,
    addresses: BTreeMap<(IpAddr, IfIndex), Vec<Placed>>,
    routes: BTreeMap<RouteKey, Route>,
    rules: BTreeSet<Rule>,
}

impl Inventory {
    /// The interface that has this name now.
    pub fn device(&self, name: &str) -> Option<&Device> {
        self.devices.get(self.names.get(name)?)
    }

    /// The interface of this index.
    pub fn device_by_index(&self, index: IfIndex) -> Option<&Device> {
        self.devices.get(&index)
    }

    /// Every form in which `address` is on the interface of this index: one for each prefix length.
    pub fn placed(&self, address: IpAddr, on: IfIndex) -> &[Placed] {
        self.addresses.get(&(address, on)).map_or(&[], Vec::as_slice)
    }

    /// Whether somebody else than the daemon has an IPv6 address of the network of `net` on the interface, which has brought the route to it.
    pub fn has_own_route(&self, on: IfIndex, net: IpNet) -> bool {
        let IpNet::V6(v6) = net else { return false };
        let (first, last) = ((IpAddr::V6(v6.network()), on), (IpAddr::V6(v6.broadcast()), on));
        let here = self.addresses.range(first..=last).filter(|((_, index), _)| *index == on);
        here.flat_map(|(_, placed)| placed)
            .any(|one| !one.marked && !one.routeless && one.net.trunc() == net.trunc())
    }

    /// All addresses.
    pub fn addresses(&self) -> impl Iterator<Item = (IfIndex, &Placed)> {
        self.addresses
            .iter()
            .flat_map(|((_, index), placed)| placed.iter().map(|one| (*index, one)))
    }

    /// The daemon's route of this key.
    pub fn route(&self, key: &RouteKey) -> Option<&Route> {
        self.routes.get(key)
    }

    /// The daemon's routes.
    pub fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    /// Whether the daemon's rule is there.
    pub fn has_rule(&self, rule: &Rule) -> bool {
        self.rules.contains(rule)
    }

    /// The daemon's rules.
    pub fn rules(&self) -> impl Iterator<Item = &Rule> {
        self.rules.iter()
    }

    /// Takes note that `item` is there.
    pub fn add(&mut self, item: &Item) {
        match item {
            Item::Address(on, placed) => self.add_address(on.index, placed.clone()),
            Item::Route(route) => drop(self.routes.insert(route.key, route.clone())),
            Item::Rule(rule) => drop(self.rules.insert(rule.clone())),
        }
    }

    /// Takes note that `item` is not there.
    pub fn remove(&mut self, item: &Item) {
        match item {
            Item::Address(on, placed) => drop(self.remove_address(on.index, placed)),
            Item::Route(route) => drop(self.routes.remove(&route.key)),
            Item::Rule(rule) => drop(self.rules.remove(rule)),
        }
    }

    /// Takes note that an interface is there, or is as it is.
    pub fn add_device(&mut self, device: Device) {
        let (index, name) = (device.interface.index, device.interface.name.clone());
        if let Some(old) = self.devices.insert(index, device)
            && old.interface.name != name
        {
            self.forget_name(&old.interface);
        }
        self.names.insert(name, index);
    }

    /// Takes note that an interface is gone, and its addresses with it.
    pub fn remove_device(&mut self, index: IfIndex) {
        self.addresses.retain(|(_, on), _| *on != index);
        if let Some(gone) = self.devices.remove(&index) {
            self.forget_name(&gone.interface);
        }
    }

    /// The name may be another interface's by now.
    fn forget_name(&mut self, interface: &Interface) {
        if self.names.get(&interface.name) == Some(&interface.index) {
            self.names.remove(&interface.name);
        }
    }

    fn add_address(&mut self, on: IfIndex, placed: Placed) {
        let here = self.addresses.entry((placed.net.addr(), on)).or_default();
        match here.iter_mut().find(|one| one.net == placed.net) {
            Some(known) => *known = placed,
            None => here.push(placed),
        }
    }

    /// Whether the address was known.
    fn remove_address(&mut self, on: IfIndex, placed: &Placed) -> bool {
        let key = (placed.net.addr(), on);
        let Some(here) = self.addresses.get_mut(&key) else { return false };
        let before = here.len();
        here.retain(|one| one.net != placed.net);
        let was_known = here.len() < before;
        if here.is_empty() {
            self.addresses.remove(&key);
        }
        was_known
    }

    /// Leaves out all routes, to be filled in anew.
    pub(crate) fn forget_routes(&mut self) {
        self.routes.clear();
    }

    /// Whether a listed object is to be kept until the listing is complete: of a million routes only the daemon's.
    pub(crate) fn concerns(kind: u16, payload: &[u8]) -> bool {
        kind != RTM_NEWROUTE || Route::is_ours(payload)
    }

    /// Takes in a message of the kernel, and says what has gone by it.
    pub(crate) fn apply(&mut self, kind: u16, flags: u16, payload: &[u8]) -> Option<Loss> {
        match kind {
            RTM_NEWLINK | RTM_DELLINK => self.apply_link(kind, payload),
            RTM_NEWADDR => {
                let (on, placed) = Placed::parse(payload)?;
                self.add_address(on, placed);
                None
            }
            RTM_DELADDR => {
                let (on, placed) = Placed::parse(payload)?;
                self.remove_address(on, &placed).then(|| Loss::Address(placed.net.addr()))
            }
            RTM_NEWROUTE => self.apply_route(flags, payload),
            RTM_DELROUTE => {
                let route = Route::parse(payload)?;
                self.routes.remove(&route.key).map(|_| Loss::Route)
            }
            RTM_NEWRULE => {
                self.rules.insert(Rule::parse(payload)?);
                None
            }
            RTM_DELRULE => self.rules.remove(&Rule::parse(payload)?).then_some(Loss::Rule),
            _ => None,
        }
    }

    fn apply_link(&mut self, kind: u16, payload: &[u8]) -> Option<Loss> {
        match link_state::parse(kind, payload)? {
            Change::Link { index, name, up, mac, .. } => {
                let known = self.devices.get(&index);
                let name = name.or_else(|| known.map(|one| one.interface.name.clone()))?;
                let device = Device { interface: Interface { index, name }, mac, up };
                if known == Some(&device) {
                    return None;
                }
                self.add_device(device);
            }
            Change::LinkGone(index) => self.remove_device(index),
            Change::Address(..) | Change::AddressGone(..) => return None,
        }
        Some(Loss::Link)
    }

    /// Somebody else's route matters only when it has replaced one of the daemon's: the kernel tells of no removal then.
    fn apply_route(&mut self, flags: u16, payload: &[u8]) -> Option<Loss> {
        if let Some(route) = Route::parse(payload) {
            self.routes.insert(route.key, route);
            return None;
        }
        if flags & NLM_F_REPLACE == 0 || self.routes.is_empty() {
            return None;
        }
        self.routes.remove(&RouteKey::parse(payload)?).map(|_| Loss::Route)
    }
}
