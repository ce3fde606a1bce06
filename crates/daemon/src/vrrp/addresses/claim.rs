//! What an instance claims as long as it exists: its addresses, routes and rules, and where they belong.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use holdfast_config as config;
use holdfast_config::Name;
use holdfast_net::firewall::Closed;
use holdfast_net::{
    IfIndex, Interface, Inventory, Item, Placed, Route, RouteKey, RouteKind, Rule, Scope,
};
use ipnet::{IpNet, Ipv6Net};
use vrrp::{AddressFamily, Priority};

use super::few::Few;
use super::virtual_mac::{METRIC, Seat};

/// Prefix length of link-local IPv6 addresses (RFC 4291 §2.5.6).
const LINK_LOCAL: u8 = 64;

/// What an instance claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Claim {
    pub(super) instance: Name,
    /// Whether this node owns the addresses (RFC 9568 §1.7).
    pub(super) owner: bool,
    /// The interface of everything that names no other; none = the one that the instance is on.
    pub(super) device: Option<String>,
    pub(super) addresses: Vec<config::VirtualAddress>,
    pub(super) routes: Vec<config::Route>,
    pub(super) rules: Vec<config::Rule>,
    pub(super) announce: config::Announce,
    /// How long an address of its stays without being renewed; none = for ever.
    pub(super) lifetime: Option<Duration>,
    /// The interface of its virtual MAC address, which is its `device` then.
    pub(super) seat: Option<Seat>,
    /// The addresses that packets from the network are not accepted for.
    pub(super) closed: BTreeSet<Closed>,
}

/// What two items are told apart by: there is one of a key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Key {
    Address(IfIndex, IpAddr),
    Route(RouteKey),
    Rule(Rule),
}

impl Key {
    pub(super) fn of(item: &Item) -> Self {
        match item {
            Item::Address(on, placed) => Self::Address(on.index, placed.net.addr()),
            Item::Route(route) => Self::Route(route.key),
            Item::Rule(rule) => Self::Rule(rule.clone()),
        }
    }
}

/// What a claim comes to on this host as it is now.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    /// Addresses, then routes, then rules: the order in which they are added.
    pub(super) items: Few<Key, Item>,
    /// What can't be, because its interface is not there.
    pub(super) problems: Vec<String>,
    /// Some address can't be.
    pub(super) lacks_address: bool,
}

impl Claim {
    /// What the instance of `config` claims: everything that it may ever hold.
    pub(in super::super) fn of(config: &config::Instance) -> Self {
        let seat = Seat::of(config);
        Self {
            instance: config.name.clone(),
            owner: config.priority == Priority::OWNER,
            device: seat.as_ref().map(|seat| seat.name.clone()),
            addresses: config.held().cloned().collect(),
            routes: config.routes.clone(),
            rules: config.rules.clone(),
            announce: config.announce,
            lifetime: config.lifetime,
            seat,
            closed: closed(config),
        }
    }

    /// The same without the addresses of `others`, which have other instances' now.
    pub(in super::super) fn without(mut self, others: &BTreeSet<IpAddr>) -> Self {
        self.addresses.retain(|address| !others.contains(&address.net.addr()));
        self
    }

    /// Whether other interfaces, routes or rules concern it.
    pub(super) fn looks_beyond(&self) -> bool {
        self.device.is_some()
            || self.addresses.iter().any(|address| address.device.is_some())
            || !self.routes.is_empty()
            || !self.rules.is_empty()
    }

    /// What it comes to for an instance that is `on` an interface.
    pub(super) fn wishes(&self, on: Option<&Interface>, host: &Inventory) -> Wishes {
        let mut wishes = Wishes::default();
        for address in &self.addresses {
            match self.find(address.device.as_ref(), on, host) {
                Ok(device) => {
                    let mut placed = placed(address);
                    if self.seat.is_some() && address.device.is_none() {
                        seated(&mut placed);
                    }
                    wishes.add(Item::Address(device, placed));
                }
                Err(missing) => {
                    wishes.lacks_address = true;
                    wishes.problems.push(format!("{missing} for {address}"));
                }
            }
        }
        for route in &self.routes {
            match self.route(route, on, host) {
                Ok(route) => wishes.add(Item::Route(route)),
                Err(missing) => {
                    wishes.problems.push(format!("{missing} for the route {}", route.to));
                }
            }
        }
        self.rules.iter().for_each(|wanted| wishes.add(Item::Rule(rule(wanted))));
        wishes
    }

    /// Whether this address is among them, for an instance that is `on` an interface; of routes and rules it is not told.
    pub(super) fn has(&self, key: &Key, on: Option<&Interface>, host: &Inventory) -> bool {
        let Key::Address(index, address) = key else { return false };
        let of_it = self.addresses.iter().filter(|one| one.net.addr() == *address);
        of_it
            .map(|one| self.find(one.device.as_ref(), on, host))
            .any(|found| found.is_ok_and(|device| device.index == *index))
    }

    /// The interface called `name`, or the claim's own.
    fn find(
        &self,
        name: Option<&String>,
        on: Option<&Interface>,
        host: &Inventory,
    ) -> Result<Interface, String> {
        let Some(name) = name.or(self.device.as_ref()) else {
            return on.cloned().ok_or_else(|| "there is no interface".to_owned());
        };
        match on {
            Some(on) if on.name == *name => Ok(on.clone()),
            _ => host
                .device(name)
                .map(|device| device.interface.clone())
                .ok_or_else(|| format!("there is no interface {name}")),
        }
    }

    fn route(
        &self,
        route: &config::Route,
        on: Option<&Interface>,
        host: &Inventory,
    ) -> Result<Route, String> {
        let kind = route_kind(route.kind);
        // The kernel finds the interface of a next hop, but for those that every link has.
        let by_hop = route.via.is_some_and(|via| !is_link_local(via)) && !route.on_link;
        let device = match (kind, &route.device) {
            (RouteKind::Unicast, None) if by_hop => None,
            (RouteKind::Unicast, name) => Some(self.find(name.as_ref(), on, host)?.index),
            (RouteKind::Blackhole | RouteKind::Unreachable | RouteKind::Prohibit, _) => None,
        };
        // As `ip route add` has it: what has no next hop is on the link.
        let natural = match (kind, route.via, route.to.addr()) {
            (RouteKind::Unicast, None, IpAddr::V4(_)) => Scope::LINK,
            _ => Scope::GLOBAL,
        };
        Ok(Route {
            key: RouteKey::new(route.to, route.table, route.metric),
            kind,
            via: route.via,
            device,
            source: route.source,
            scope: route.scope.map_or(natural, scope),
            mtu: route.mtu,
            advmss: route.advmss,
            on_link: route.on_link,
        })
    }
}

impl Wishes {
    fn add(&mut self, item: Item) {
        self.items.insert(Key::of(&item), item);
    }
}

fn placed(address: &config::VirtualAddress) -> Placed {
    let mut placed = Placed::virtual_address(address.net);
    placed.label.clone_from(&address.label);
    if let Some(wanted) = address.scope {
        placed.scope = scope(wanted);
    }
    placed
}

/// What is different on the interface of a virtual MAC address: the interface below it is preferred on the way to its network, and
/// link-local addresses bring the network with them, for there is no other.
fn seated(placed: &mut Placed) {
    placed.metric = Some(METRIC);
    if let IpNet::V6(net) = placed.net
        && net.addr().is_unicast_link_local()
        && net.prefix_len() > LINK_LOCAL
    {
        placed.net = Ipv6Net::new(net.addr(), LINK_LOCAL).map_or(placed.net, IpNet::V6);
    }
}

/// Accept_Mode False (RFC 9568 §6.1) does not concern the owner.
fn closed(config: &config::Instance) -> BTreeSet<Closed> {
    if config.accept || config.priority == Priority::OWNER {
        return BTreeSet::new();
    }
    let above = config.virtual_mac.as_ref().map(|virtual_mac| &virtual_mac.name);
    let interfaces = |address: &config::VirtualAddress| {
        let own = std::iter::once(&config.interface);
        own.chain(above).chain(&address.device).cloned().collect()
    };
    let closed = |one: &config::VirtualAddress| Closed {
        address: one.net.addr(),
        interfaces: interfaces(one),
    };
    config.held().map(closed).collect()
}

fn rule(rule: &config::Rule) -> Rule {
    let part = |net: Option<IpNet>| net.filter(|net| net.prefix_len() > 0);
    Rule {
        ipv6: rule.family == AddressFamily::Ipv6,
        priority: rule.priority,
        from: part(rule.from).map(|net| net.trunc()),
        to: part(rule.to).map(|net| net.trunc()),
        iif: rule.iif.clone(),
        oif: rule.oif.clone(),
        mark: rule.mark,
        inverted: rule.not,
        protocol: rule.ipproto,
        source_ports: rule.sport,
        destination_ports: rule.dport,
        users: rule.uidrange,
        kind: route_kind(rule.kind),
        table: rule.table,
        suppress_prefix_length: rule.suppress_prefixlength.map(u32::from),
    }
}

const fn route_kind(kind: config::RouteKind) -> RouteKind {
    match kind {
        config::RouteKind::Unicast => RouteKind::Unicast,
        config::RouteKind::Blackhole => RouteKind::Blackhole,
        config::RouteKind::Unreachable => RouteKind::Unreachable,
        config::RouteKind::Prohibit => RouteKind::Prohibit,
    }
}

const fn scope(scope: config::Scope) -> Scope {
    match scope {
        config::Scope::Global => Scope::GLOBAL,
        config::Scope::Site => Scope::SITE,
        config::Scope::Link => Scope::LINK,
        config::Scope::Host => Scope::HOST,
    }
}

const fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_unicast_link_local(),
    }
}
