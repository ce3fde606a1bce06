//! The host's interfaces and their addresses, and where instances put theirs.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;
use vrrp::Priority;

use crate::model::{Config, Instance, VirtualAddress};

/// A network interface of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// Its name.
    pub name: String,
    /// Whether it is up (IFF_UP).
    pub up: bool,
    /// Its addresses.
    pub addresses: Vec<Address>,
    /// Whether it is a loopback (IFF_LOOPBACK).
    pub loopback: bool,
    /// What takes all that it receives.
    pub port: Option<Port>,
}

/// An address on an interface of the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address {
    /// The address with the length of its prefix.
    pub net: IpNet,
    /// Who put it there.
    pub by: PlacedBy,
}

/// Who put an address on an interface, as far as the kernel says (IFA_PROTO).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlacedBy {
    /// A daemon of virtual addresses: this one, or keepalived. It is there because the node is or was Active.
    Vrrp,
    /// Somebody else: the node has it whoever is Active.
    Other,
    /// A kernel before 5.18 does not say.
    Unknown,
}

/// What an interface is a port of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// What that is: `bridge`, `bond`.
    pub kind: &'static str,
    /// The interface to use instead; none where the kernel does not tell it.
    pub instead: Option<String>,
}

/// Which unmarked virtual addresses are nothing new to a daemon that runs, or to the successor of one that died.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Claimed {
    /// None: no daemon runs.
    #[default]
    Nothing,
    /// These, by interface: the daemon has found them, or has let others put them there, and has seen to them ([`claimed`]).
    These(BTreeSet<(String, IpAddr)>),
    /// All: a successor goes on with what is there.
    Everything,
}

impl Claimed {
    pub(super) fn has(&self, interface: &str, address: IpAddr) -> bool {
        match self {
            Self::Nothing => false,
            Self::These(these) => these.contains(&(interface.to_owned(), address)),
            Self::Everything => true,
        }
    }
}

/// Where the instances of `config` put which addresses: those of owners (priority 255) are the node's own, and not among them.
pub fn claimed(config: &Config) -> Claimed {
    let instances = config.instances.values().filter(|one| one.priority != Priority::OWNER);
    let places = instances.flat_map(|instance| {
        let place = |one: &VirtualAddress| (place(instance, one).to_owned(), one.net.addr());
        instance.held().map(place)
    });
    Claimed::These(places.collect())
}

/// The interface that an address of an instance is put on.
pub(super) fn place<'a>(instance: &'a Instance, address: &'a VirtualAddress) -> &'a str {
    let seat = instance.virtual_mac.as_ref().map_or(instance.interface.as_str(), |mac| &mac.name);
    address.device.as_deref().unwrap_or(seat)
}
