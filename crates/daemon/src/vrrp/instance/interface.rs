//! What an instance makes of its interface: there or not, usable or not, with which address.

use std::collections::BTreeSet;
use std::net::IpAddr;

use holdfast_net::{
    Interface, InterfaceAddress, InterfaceState, Interfaces, LinkMonitor, PortKind, VrrpSocketError,
};
use holdfast_time::Instant;
use vrrp::{AddressFamily, Event, Peer};

use super::super::sockets::Sockets;
use super::{Instance, Means};
use crate::chatter::Topic;

impl Instance {
    /// The interface's name.
    pub(in super::super) fn interface_name(&self) -> &str {
        &self.config.interface
    }

    /// Opens the socket on the interface, where there is one.
    ///
    /// # Errors
    /// The socket can't be opened.
    pub(in super::super) fn open_socket(
        &self,
        links: &LinkMonitor,
        sockets: &mut Sockets,
    ) -> Result<(), VrrpSocketError> {
        match links.interfaces().by_name(&self.config.interface) {
            Some(state) => {
                sockets.open(&state.link.interface, self.config.family, self.config.multicast_group)
            }
            None => Ok(()),
        }
    }

    /// Takes note of what the interface is now: there or not, up or not, with which address. `up` is what counts of it after the
    /// delays of `vrrp.interfaces`. The socket for one that is new was opened, or could not be.
    pub(in super::super) fn see_interface(
        &mut self,
        now: Instant,
        links: &LinkMonitor,
        up: Option<bool>,
        opened: &Result<(), VrrpSocketError>,
        means: Means<'_>,
    ) {
        let found = links.interfaces().by_name(&self.config.interface);
        if let Some(state) = found {
            self.on = Some(state.link.interface.clone());
            self.wanted.mac = self.virtual_mac().or(state.link.mac);
        }
        let fault = match (opened, found) {
            (Err(error), _) => Err(error.to_string()),
            (Ok(()), None) => Err(self.no_interface()),
            (Ok(()), Some(state)) => own_reception(state, links.interfaces()).and_then(|()| {
                self.usable(state, up.unwrap_or(state.link.up), &means.virtual_addresses)
            }),
        };
        match fault {
            Ok(primary) => {
                self.fault = None;
                self.router.handle(now, Event::InterfaceUp { primary });
                self.act(means);
            }
            Err(fault) => self.lose_interface(now, fault, means),
        }
        if found.is_none() {
            self.on = None;
        }
        self.tell(&means.addresses);
    }

    /// The address to advertise from.
    ///
    /// # Errors
    /// The interface can't be used, and why.
    fn usable(
        &self,
        state: &InterfaceState,
        up: bool,
        virtual_addresses: &BTreeSet<IpAddr>,
    ) -> Result<IpAddr, String> {
        let name = &self.config.interface;
        if !up {
            return Err(format!("interface {name} is down"));
        }
        if let Some(source) = self.config.unicast.as_ref().and_then(|unicast| unicast.source) {
            let none = || format!("interface {name} does not have {source} (`unicast.source`)");
            return self.primary(state, virtual_addresses).ok_or_else(none);
        }
        let kind = match self.config.family {
            AddressFamily::Ipv6 if self.has_global_peers() => "usable global IPv6 address",
            AddressFamily::Ipv4 => "IPv4 address",
            AddressFamily::Ipv6 => "usable link-local IPv6 address",
        };
        let none = || format!("interface {name} has no {kind} of its own to advertise from");
        self.primary(state, virtual_addresses).ok_or_else(none)
    }

    /// Takes note that an interface is gone. One that has its name now, and even its number, has nothing of what this instance had
    /// put on it.
    pub(in super::super) fn interface_removed(
        &mut self,
        now: Instant,
        gone: &Interface,
        means: Means<'_>,
    ) {
        if self.on.as_ref() == Some(gone) {
            self.lose_interface(now, self.no_interface(), means);
            self.on = None;
            self.wanted.losses += 1;
            self.tell(&means.addresses);
        }
    }

    fn no_interface(&self) -> String {
        format!("there is no interface {}", self.config.interface)
    }

    fn lose_interface(&mut self, now: Instant, fault: String, means: Means<'_>) {
        if self.fault.as_ref() != Some(&fault) && means.chatter.allows(now, Topic::Fault) {
            tracing::warn!(instance = %self.config.name, fault, "the instance can't take part");
        }
        self.fault = Some(fault);
        self.router.handle(now, Event::InterfaceDown);
        self.act(means);
    }

    /// The address that advertisements come from: one of the interface's own.
    fn primary(
        &self,
        state: &InterfaceState,
        virtual_addresses: &BTreeSet<IpAddr>,
    ) -> Option<IpAddr> {
        if let Some(source) = self.config.unicast.as_ref().and_then(|unicast| unicast.source) {
            let there = |one: &&InterfaceAddress| one.is_usable() && one.address.addr() == source;
            return state.addresses.iter().find(there).map(|one| one.address.addr());
        }
        match self.config.family {
            AddressFamily::Ipv4 => state.primary_ipv4(virtual_addresses).map(IpAddr::V4),
            // A peer beyond the link can't answer to a link-local address.
            AddressFamily::Ipv6 if self.has_global_peers() => {
                state.global_ipv6(virtual_addresses).map(IpAddr::V6)
            }
            AddressFamily::Ipv6 => state.link_local(virtual_addresses).map(IpAddr::V6),
        }
    }

    fn has_global_peers(&self) -> bool {
        let link_local = |peer: &Peer| matches!(peer.address, IpAddr::V6(address) if address.is_unicast_link_local());
        self.peers.iter().any(|peer| !link_local(peer))
    }
}

/// That the interface receives what comes to it.
///
/// # Errors
/// Another one does, which it is a port of.
fn own_reception(state: &InterfaceState, all: &Interfaces) -> Result<(), String> {
    let Some(port) = state.link.port else { return Ok(()) };
    let (name, kind) = (&state.link.interface.name, port.kind.label());
    let master = all.by_index(port.master).map(|master| master.link.interface.name.as_str());
    // What all ports of Open vSwitch have for a master is no bridge.
    let master = master.filter(|_| port.kind != PortKind::OpenVswitch);
    Err(match master {
        Some(master) => {
            format!(
                "interface {name} is a port of the {kind} {master}, which has all that it receives: use {master}"
            )
        }
        None => format!("interface {name} is a port of an {kind}, which has all that it receives"),
    })
}
