//! The key `vrrp.instances`: each instance is read once for every node that it names, since the same file serves all of
//! them and a mistake that only shows on the other node is found before it has to take over.

use std::collections::BTreeSet;
use std::time::Duration;

use ipnet::IpNet;
use vrrp::{AddressFamily, Interval, Priority, Version, Vrid};

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Announce, Checksum, Instance, Name, VirtualAddress};
use crate::path::Path;
use crate::reader::{Cursor, Fields, Reader};
use crate::source::Source;
use crate::text::{self, Fault};

/// The instances as one node has them.
pub(crate) struct View {
    /// The node.
    pub(crate) node: String,
    /// Its instances in the order of the file.
    pub(crate) instances: Vec<Draft>,
}

/// An instance on one node as far as it could be read.
pub(crate) struct Draft {
    pub(crate) name: Name,
    pub(crate) interface: Option<String>,
    pub(crate) vrid: Option<Vrid>,
    pub(crate) priority: Priority,
    pub(crate) interval: Option<Interval>,
    pub(crate) version: Version,
    pub(crate) preempt: bool,
    /// The addresses that could be read, each with its place in the list.
    pub(crate) addresses: Vec<(usize, IpNet)>,
    /// Where the instance stands.
    base: Path,
    /// Where what is special to the node stands.
    over: Path,
}

impl Draft {
    /// Where the value of `key` that holds on this node stands.
    pub(crate) fn at(&self, source: &Source, key: &str) -> Path {
        let over = self.over.key(key);
        if source.has(&over) { over } else { self.base.key(key) }
    }

    /// Whether the instance names this node.
    pub(crate) fn overridden(&self, source: &Source) -> bool {
        source.has(&self.over)
    }

    /// Where the instance stands.
    pub(crate) const fn path(&self) -> &Path {
        &self.base
    }

    /// The family of its addresses.
    pub(crate) fn family(&self) -> Option<AddressFamily> {
        self.addresses.first().map(|(_, net)| AddressFamily::of(net.addr()))
    }

    /// The instance, when it was read whole.
    pub(crate) fn instance(self) -> Option<Instance> {
        Some(Instance {
            family: self.family()?,
            name: self.name,
            interface: self.interface?,
            vrid: self.vrid?,
            priority: self.priority,
            interval: self.interval?,
            version: self.version,
            preempt: self.preempt,
            addresses: self
                .addresses
                .into_iter()
                .map(|(_, net)| VirtualAddress::plain(net))
                .collect(),
            down_adverts: defaults::DOWN_ADVERTS,
            checksum: Checksum::Auto,
            password: None,
            preempt_delay: Duration::ZERO,
            accept: true,
            multicast_group: None,
            unicast: None,
            virtual_mac: None,
            excluded: Vec::new(),
            routes: Vec::new(),
            rules: Vec::new(),
            announce: Announce::default(),
            track: Vec::new(),
            hooks: Vec::new(),
        })
    }
}

/// The keys of an instance, those of one node before those of all.
struct Layers<'a, 'n> {
    over: Fields<'a>,
    base: Fields<'a>,
    node: &'n str,
}

impl<'a> Layers<'a, '_> {
    fn get(&self, key: &str) -> Option<Cursor<'a>> {
        self.over.get(key).or_else(|| self.base.get(key))
    }

    /// The value of a key without a default.
    fn require(
        &self,
        reader: &mut Reader<'a>,
        key: &'static str,
        help: &str,
    ) -> Option<Cursor<'a>> {
        let found = self.get(key);
        if found.is_none() {
            let elsewhere = self.base.get("per_node").is_some();
            let help = if elsewhere {
                format!("{help}; node `{}` has none", self.node)
            } else {
                help.to_owned()
            };
            reader.missing(&self.base.path, key, &help);
        }
        found
    }
}

/// Every instance for every node, `node` first.
pub(super) fn views<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, node: &str) -> Vec<View> {
    let mut read = vec![];
    let mut nodes = BTreeSet::new();
    for (name, cursor) in reader.named(cursor, "an instance", defaults::INSTANCES_MAX) {
        let Some(base) = reader.fields(&cursor, "vrrp.instances.NAME") else { continue };
        let overrides = base.get("per_node").map(|cursor| per_node(reader, &cursor));
        let overrides = overrides.unwrap_or_default();
        nodes.extend(overrides.iter().map(|(name, _)| name.clone()));
        read.push((name, base, overrides));
    }
    nodes.remove(node);
    let mut views = vec![];
    // Instances may name different nodes. Of more than the limit the first are checked besides this one, which always is.
    for node in std::iter::once(node.to_owned()).chain(nodes).take(defaults::NODES_MAX + 1) {
        let mut instances = vec![];
        for (name, base, overrides) in &read {
            let over =
                overrides.iter().find(|(name, _)| *name == node).map(|(_, over)| over.clone());
            let path = base.path.key("per_node").key(&node);
            let over = over.unwrap_or_else(|| Fields::none(path));
            instances.push(draft(
                reader,
                name.clone(),
                &Layers { over, base: base.clone(), node: &node },
            ));
        }
        views.push(View { node, instances });
    }
    views
}

fn per_node<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Vec<(String, Fields<'a>)> {
    let entries = reader.entries(cursor, defaults::NODES_MAX);
    let mut nodes = vec![];
    for (name, cursor) in entries {
        if !super::is_node_name(name) {
            reader.problems.push(super::bad_node_name(name, Spot::Key(cursor.path.clone())));
        } else if let Some(fields) = reader.fields(&cursor, "vrrp.instances.NAME.per_node.NODE") {
            nodes.push((name.to_owned(), fields));
        }
    }
    nodes
}

fn draft<'a>(reader: &mut Reader<'a>, name: Name, layers: &Layers<'a, '_>) -> Draft {
    let interface = layers
        .require(reader, "interface", "name the interface that speaks VRRP: `interface: eth0`")
        .and_then(|cursor| interface(reader, &cursor));
    let vrid = layers
        .require(reader, "vrid", "choose a number of 1 to 255 that is free on this LAN, the same on every node: `vrid: 51`")
        .and_then(|cursor| reader.integer(&cursor, 1..=255, "VRRP's virtual router id is one byte, and not 0"))
        .and_then(Vrid::new);
    let priority = layers
        .get("priority")
        .and_then(|cursor| {
            reader.integer(&cursor, 1..=255, "0 is for leaving; 255 is the address owner's")
        })
        .map_or(Priority::DEFAULT, Priority::new);
    let version = layers
        .get("version")
        .and_then(|cursor| reader.integer::<u8>(&cursor, 2..=3, "VRRP has the versions 2 and 3"));
    let version = if version == Some(2) { Version::V2 } else { Version::V3 };
    let interval = match layers.get("interval") {
        Some(cursor) => interval(reader, &cursor, version),
        None => Some(Interval::DEFAULT),
    };
    let preempt = layers.get("preempt").and_then(|cursor| reader.boolean(&cursor)).unwrap_or(true);
    let addresses = layers
        .require(reader, "addresses", "list the virtual addresses: `addresses: [192.0.2.10/24]`")
        .map(|cursor| addresses(reader, &cursor));
    Draft {
        name,
        interface,
        vrid,
        priority,
        interval,
        version,
        preempt,
        addresses: addresses.unwrap_or_default(),
        base: layers.base.path.clone(),
        over: layers.over.path.clone(),
    }
}

fn interface<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let name = reader.text(cursor)?;
    let refused = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    if (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(refused) {
        return Some(name.to_owned());
    }
    let fault =
        Fault::new(Code::BadInterface, format!("{name:?} can't be the name of an interface"))
            .help("the kernel's names have 1 to 15 characters, no `/`, no `:` and no space");
    reader.fault(&cursor.path, fault);
    None
}

fn interval<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    version: Version,
) -> Option<Interval> {
    let duration = reader.duration(cursor, (Duration::ZERO, Duration::MAX))?;
    let interval = Interval::from_duration(version, duration);
    if interval.is_none() {
        let (units, help) = match version {
            Version::V2 => (
                "whole seconds from 1s to 255s",
                "for less than a second use version 3 on every node",
            ),
            Version::V3 => {
                ("steps of 10ms from 10ms to 40950ms", "the interval is the same on every node")
            }
        };
        let value = text::short(duration);
        let fault = Fault::new(
            Code::IntervalUnit,
            format!("VRRP version {version} can't advertise every {value}"),
        )
        .label(format!("version {version} has {units}"))
        .help(help);
        reader.fault(&cursor.path, fault);
    }
    interval
}

fn addresses<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Vec<(usize, IpNet)> {
    let items = reader.one_or_list(cursor, defaults::IPV4_ADDRESSES_MAX);
    if items.is_empty() && matches!(cursor.node, crate::raw::Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "an instance needs at least one address")
            .at(Spot::Value(cursor.path.clone()), "")
            .help("`addresses: [192.0.2.10/24]`");
        reader.problems.push(problem);
    }
    let mut read = vec![];
    for (index, item) in items.iter().enumerate() {
        let Some(text) = reader.text(item) else { continue };
        match text::virtual_address(text) {
            Ok(net) => read.push((index, net)),
            Err(fault) => reader.fault(&item.path, fault),
        }
    }
    read
}
