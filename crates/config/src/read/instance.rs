//! The key `vrrp.instances`: each instance is read once for every node that it names, since the same file serves all of
//! them and a mistake that only shows on the other node is found before it has to take over.

mod address;
mod password;
mod peer;
mod route;
mod rule;
mod timing;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::num::NonZeroU8;
use std::time::Duration;

use ipnet::IpNet;
use vrrp::{AddressFamily, Interval, Priority, Version, Vrid};

use crate::defaults;
use crate::diagnostic::Spot;
use crate::model::{
    Announce, Checksum, Hook, Instance, Name, Route, Rule, Track, Unicast, VirtualAddress,
    VirtualMac,
};
use crate::path::Path;
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Items, Reader};
use crate::source::Source;
use crate::text;

use super::{bad_interface, track};

use password::PasswordDraft;
pub(crate) use peer::Draft as UnicastDraft;
pub(super) use peer::address as host;
pub(super) use route::destination;
use timing::{down_adverts, interval, lifetime, preempt_delay};

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
    pub(crate) down_adverts: NonZeroU8,
    pub(crate) version: Version,
    pub(crate) checksum: Checksum,
    pub(crate) password: Option<PasswordDraft>,
    pub(crate) preempt: bool,
    pub(crate) preempt_delay: Duration,
    pub(crate) wait_for_sync: Option<Duration>,
    pub(crate) accept: bool,
    pub(crate) multicast_group: Option<IpAddr>,
    pub(crate) unicast: Option<UnicastDraft>,
    pub(crate) virtual_mac: Option<VirtualMacDraft>,
    /// The addresses that could be read.
    pub(crate) addresses: Items<VirtualAddress>,
    pub(crate) excluded: Items<VirtualAddress>,
    pub(crate) routes: Items<Route>,
    pub(crate) rules: Items<Rule>,
    pub(crate) announce: Announce,
    /// Zero = for ever; none = it goes by whether there are other nodes.
    pub(crate) lifetime: Option<Duration>,
    /// It has values for single nodes.
    pub(crate) per_node: bool,
    pub(crate) track: Items<Track>,
    hooks: Vec<Hook>,
    /// Where the instance stands.
    base: Path,
    /// Where what is special to the node stands.
    over: Path,
}

/// A virtual MAC address is used; its interface may have a name of the user's choice.
pub(crate) struct VirtualMacDraft {
    name: Option<String>,
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
        self.addresses.first().map(|(_, address)| AddressFamily::of(address.net.addr()))
    }

    /// The advertised addresses with their places in the list.
    pub(crate) fn nets(&self) -> impl Iterator<Item = (usize, IpNet)> + '_ {
        self.addresses.iter().map(|(index, address)| (*index, address.net))
    }

    /// Every address that moves with it: its key and its place in that list.
    pub(crate) fn held(&self) -> impl Iterator<Item = (&'static str, usize, &VirtualAddress)> {
        let lists = [("addresses", &self.addresses), ("excluded", &self.excluded)];
        lists
            .into_iter()
            .flat_map(|(key, list)| list.iter().map(move |(index, address)| (key, *index, address)))
    }

    /// The interface of a link-local address, which other links may have as well.
    pub(crate) fn link<'a>(&'a self, address: &'a VirtualAddress) -> Option<&'a str> {
        match address.net.addr() {
            IpAddr::V6(net) if text::is_link_local(net) => {
                address.device.as_deref().or(self.interface.as_deref())
            }
            IpAddr::V4(_) | IpAddr::V6(_) => None,
        }
    }

    /// The name of the interface of its virtual MAC address, when it has one.
    pub(crate) fn virtual_mac_name(&self) -> Option<String> {
        let draft = self.virtual_mac.as_ref()?;
        let (vrid, family) = (self.vrid?, self.family()?);
        let default = || match family {
            AddressFamily::Ipv4 => format!("vrrp4.{vrid}"),
            AddressFamily::Ipv6 => format!("vrrp6.{vrid}"),
        };
        Some(draft.name.clone().unwrap_or_else(default))
    }

    /// The instance, when it was read whole; `paired` says that the nodes of the configuration are more than one.
    pub(crate) fn instance(self, paired: bool) -> Option<Instance> {
        let lifetime = self.lifetime(paired);
        let owner = self.priority == Priority::OWNER;
        let lifetime_unsaid = self.lifetime.is_none() && lifetime.is_none() && !owner;
        let (password, password_from) = PasswordDraft::parts(self.password.as_ref());
        Some(Instance {
            family: self.family()?,
            virtual_mac: self.virtual_mac_name().map(|name| VirtualMac { name }),
            name: self.name,
            interface: self.interface?,
            vrid: self.vrid?,
            priority: self.priority,
            interval: self.interval?,
            down_adverts: self.down_adverts,
            version: self.version,
            checksum: self.checksum,
            password,
            password_from,
            preempt: self.preempt,
            preempt_delay: self.preempt_delay,
            wait_for_sync: self.wait_for_sync,
            accept: self.accept,
            multicast_group: self.multicast_group,
            unicast: self.unicast.map(Unicast::from),
            addresses: values(self.addresses),
            excluded: values(self.excluded),
            announce: self.announce,
            lifetime,
            lifetime_unsaid,
            routes: values(self.routes),
            rules: values(self.rules),
            track: values(self.track),
            hooks: self.hooks,
        })
    }
}

impl Draft {
    /// How long its addresses live by themselves. What is not said goes by whether somebody else takes them: where the configuration names no
    /// other node, the kernel serves on without a daemon. An owner's are the node's, and stay.
    fn lifetime(&self, paired: bool) -> Option<Duration> {
        let others = paired || self.per_node || self.unicast.is_some();
        match self.lifetime {
            Some(lifetime) => Some(lifetime).filter(|lifetime| !lifetime.is_zero()),
            None if !others || self.priority == Priority::OWNER => None,
            None => Some(defaults::lifetime(self.interval?.duration(), self.down_adverts)),
        }
    }
}

/// The items without their places, and without the room that those took: they are kept for as long as the daemon runs.
pub(super) fn values<T>(items: Items<T>) -> Vec<T> {
    let mut values: Vec<T> = items.into_iter().map(|(_, value)| value).collect();
    values.shrink_to_fit();
    values
}

/// The keys of an instance, those of one node before those of all.
struct Layers<'a, 'n> {
    over: Fields<'a>,
    base: Fields<'a>,
    node: &'n str,
    /// The timeout of a command without its own.
    script_timeout: Duration,
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
pub(super) fn views<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    node: &str,
    script_timeout: Duration,
) -> Vec<View> {
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
                &Layers { over, base: base.clone(), node: &node, script_timeout },
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
    let accept = layers.get("accept").and_then(|cursor| reader.boolean(&cursor)).unwrap_or(true);
    let (preempt, wait_for_sync) = preempt(reader, layers);
    let addresses = layers
        .require(reader, "addresses", "list the virtual addresses: `addresses: [192.0.2.10/24]`")
        .map(|cursor| address::addresses(reader, &cursor, defaults::IPV4_ADDRESSES_MAX));
    let excluded = layers
        .get("excluded")
        .map(|cursor| address::addresses(reader, &cursor, defaults::EXCLUDED_MAX));
    let family = addresses.iter().flatten().next();
    let family = family.map(|(_, address)| AddressFamily::of(address.net.addr()));
    let routes = layers.get("routes").map(|cursor| route::routes(reader, &cursor, family));
    let rules = layers.get("rules").map(|cursor| rule::rules(reader, &cursor, family));
    let tracked = layers.get("track").map(|cursor| track::tracks(reader, &cursor));
    let hooks = layers
        .get("hooks")
        .map(|cursor| track::hooks(reader, &cursor, layers.script_timeout, track::INSTANCE_EVENTS));
    Draft {
        name,
        interface,
        vrid,
        priority,
        interval,
        down_adverts: down_adverts(reader, layers),
        version,
        checksum: checksum(reader, layers),
        password: password::password(reader, layers),
        preempt,
        preempt_delay: preempt_delay(reader, layers),
        wait_for_sync,
        accept,
        multicast_group: layers
            .get("multicast_group")
            .and_then(|cursor| peer::multicast_group(reader, &cursor)),
        unicast: layers.get("unicast").and_then(|cursor| peer::unicast(reader, &cursor)),
        virtual_mac: layers.get("virtual_mac").and_then(|cursor| virtual_mac(reader, &cursor)),
        addresses: addresses.unwrap_or_default(),
        excluded: excluded.unwrap_or_default(),
        routes: routes.unwrap_or_default(),
        rules: rules.unwrap_or_default(),
        track: tracked.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
        announce: layers
            .get("announce")
            .map_or_else(Announce::default, |cursor| announce(reader, &cursor)),
        lifetime: lifetime(reader, layers),
        per_node: layers.base.get("per_node").is_some(),
        base: layers.base.path.clone(),
        over: layers.over.path.clone(),
    }
}

/// The name of an interface.
pub(super) fn interface<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let name = reader.text(cursor)?;
    if is_interface(name) {
        return Some(name.to_owned());
    }
    reader.problems.push(bad_interface(name, &cursor.path));
    None
}

/// Whether the kernel takes `name` for an interface (`dev_valid_name`).
pub(super) fn is_interface(name: &str) -> bool {
    let refused = |c: char| c.is_whitespace() || c.is_control() || matches!(c, '/' | ':');
    (1..=15).contains(&name.len()) && !matches!(name, "." | "..") && !name.contains(refused)
}

fn checksum<'a>(reader: &mut Reader<'a>, layers: &Layers<'a, '_>) -> Checksum {
    let words = [
        ("auto", Checksum::Auto),
        ("rfc9568", Checksum::Rfc9568),
        ("pseudo-header", Checksum::PseudoHeader),
    ];
    layers.get("checksum").and_then(|cursor| reader.word(&cursor, &words)).unwrap_or_default()
}

/// `preempt`: true or false, or true with what it waits for.
fn preempt<'a>(reader: &mut Reader<'a>, layers: &Layers<'a, '_>) -> (bool, Option<Duration>) {
    let Some(cursor) = layers.get("preempt") else { return (true, None) };
    let Node::Mapping(_) = cursor.node else {
        return (reader.boolean(&cursor).unwrap_or(true), None);
    };
    let fields = reader.fields(&cursor, "vrrp.instances.NAME.preempt");
    let wait = fields.and_then(|fields| match fields.get("wait_for_sync") {
        Some(cursor) => reader.duration(&cursor, defaults::WAIT_FOR_SYNC),
        None => {
            reader.missing(
                &fields.path,
                "wait_for_sync",
                "`wait_for_sync: 30s`, or `preempt: true`",
            );
            None
        }
    });
    (true, wait)
}

fn virtual_mac<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<VirtualMacDraft> {
    match cursor.node {
        Node::Mapping(_) => {
            let fields = reader.fields(cursor, "vrrp.instances.NAME.virtual_mac")?;
            let name = fields.get("name").and_then(|cursor| interface(reader, &cursor));
            Some(VirtualMacDraft { name })
        }
        Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::Text(_)
        | Node::List(_) => reader.boolean(cursor)?.then_some(VirtualMacDraft { name: None }),
    }
}

fn announce<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Announce {
    let default = Announce::default();
    let Some(fields) = reader.fields(cursor, "vrrp.instances.NAME.announce") else {
        return default;
    };
    let why = "announcements of each address in one burst";
    let mut count =
        |key: &str| fields.get(key).and_then(|cursor| reader.integer::<u8>(&cursor, 1..=100, why));
    let (number, refreshed) = (count("count"), count("refresh_count"));
    let repeat_after =
        fields.get("repeat_after").and_then(|cursor| reader.duration(&cursor, defaults::DELAY));
    let refresh = fields.get("refresh").and_then(|cursor| {
        let refresh = reader.duration(&cursor, (Duration::ZERO, defaults::REFRESH.1))?;
        if !refresh.is_zero() && refresh < defaults::REFRESH.0 {
            reader.fault(&cursor.path, text::far("refresh", refresh, defaults::REFRESH));
        }
        Some(refresh)
    });
    Announce {
        count: number.unwrap_or(default.count),
        repeat_after: repeat_after.unwrap_or(default.repeat_after),
        refresh: refresh.unwrap_or(default.refresh),
        refresh_count: refreshed.unwrap_or(default.refresh_count),
    }
}
