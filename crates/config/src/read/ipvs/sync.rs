//! The key `ipvs.sync`: read once for every node that it names, as instances are.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use vrrp::Vrid;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::Spot;
use crate::model::{ConnectionSync, Name, SyncMode};
use crate::path::Path;
use crate::read::instance::interface;
use crate::read::{InstanceDraft, VrrpDraft, bad_node_name, is_node_name, track};
use crate::reader::{Cursor, Fields, Reader};
use crate::source::Source;
use crate::text::Fault;

/// `ipvs.sync` as one node has it.
pub(crate) struct View {
    pub(crate) node: String,
    pub(crate) draft: Draft,
}

/// `ipvs.sync` as far as it could be read.
pub(crate) struct Draft {
    pub(crate) interface: Option<String>,
    pub(crate) id: Option<u8>,
    pub(crate) both: bool,
    pub(crate) follows: Option<Name>,
    /// `follows` is there, read or not.
    pub(crate) has_follows: bool,
    group: Option<IpAddr>,
    port: Option<u16>,
    ttl: Option<u8>,
    max_length: Option<u16>,
    base: Path,
    over: Path,
}

/// What a node follows.
pub(crate) struct Followed {
    name: Name,
    instances: BTreeSet<Name>,
    vrid: Option<Vrid>,
}

impl Draft {
    /// Where the value of `key` that holds on this node stands.
    pub(crate) fn at(&self, source: &Source, key: &str) -> Path {
        let over = self.over.key(key);
        if source.has(&over) { over } else { self.base.key(key) }
    }

    /// Where it stands.
    pub(crate) const fn path(&self) -> &Path {
        &self.base
    }

    /// The instance or group that it follows: the one that it names; without a name the only group, or the only instance where
    /// there is no group. None where there is no such one.
    pub(crate) fn followed(
        &self,
        vrrp: &VrrpDraft,
        instances: &[InstanceDraft],
    ) -> Option<Followed> {
        let groups = || vrrp.groups.iter();
        let name = match (&self.follows, groups().count(), instances) {
            (Some(name), ..) => name,
            (None, ..) if self.has_follows => return None,
            (None, 1, _) => &groups().next()?.name,
            (None, 0, [only]) => &only.name,
            (None, ..) => return None,
        };
        let group = groups().find(|group| group.name == *name);
        let members: BTreeSet<Name> = match group {
            Some(group) => group.instances.iter().map(|(_, name)| name.clone()).collect(),
            None => [name.clone()].into(),
        };
        let first = members.first()?;
        let first = instances.iter().find(|draft| draft.name == *first)?;
        Some(Followed { name: name.clone(), vrid: first.vrid, instances: members })
    }

    /// What it says, when it was read whole.
    pub(crate) fn sync(
        self,
        vrrp: &VrrpDraft,
        instances: &[InstanceDraft],
    ) -> Option<ConnectionSync> {
        let followed = self.followed(vrrp, instances);
        let vrid = followed.as_ref().and_then(|followed| followed.vrid).map(Vrid::value);
        let mode = match (self.both, followed) {
            (true, _) => SyncMode::Both,
            (false, Some(Followed { name, instances, .. })) => SyncMode::Follow { name, instances },
            (false, None) => return None,
        };
        Some(ConnectionSync {
            interface: self.interface?,
            id: self.id.or(vrid).unwrap_or(0),
            mode,
            group: self.group.unwrap_or(defaults::SYNC_GROUP),
            port: self.port.unwrap_or(defaults::SYNC_PORT),
            ttl: self.ttl.unwrap_or(1),
            max_length: self.max_length,
        })
    }
}

/// `sync` for this node and every other that it names.
pub(super) fn views<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, node: &str) -> Vec<View> {
    let Some(base) = reader.fields(cursor, "ipvs.sync") else { return vec![] };
    let mut overrides = vec![];
    if let Some(cursor) = base.get("per_node") {
        for (name, cursor) in reader.entries(&cursor, defaults::NODES_MAX) {
            if !is_node_name(name) {
                reader.problems.push(bad_node_name(name, Spot::Key(cursor.path.clone())));
            } else if let Some(fields) = reader.fields(&cursor, "ipvs.sync.per_node.NODE") {
                overrides.push((name, fields));
            }
        }
    }
    let others = overrides.iter().map(|(name, _)| *name).filter(|name| *name != node);
    let nodes: Vec<&str> = std::iter::once(node).chain(others).collect();
    let view = |node: &str| {
        let over = overrides.iter().find(|(name, _)| *name == node);
        let none = || Fields::none(base.path.key("per_node").key(node));
        let over = over.map_or_else(none, |(_, fields)| fields.clone());
        View { node: node.to_owned(), draft: draft(reader, &base, &over, node) }
    };
    nodes.into_iter().map(view).collect()
}

fn draft<'a>(reader: &mut Reader<'a>, base: &Fields<'a>, over: &Fields<'a>, node: &str) -> Draft {
    let get = |key: &str| over.get(key).or_else(|| base.get(key));
    let interface = match get("interface") {
        Some(cursor) => interface(reader, &cursor),
        None => {
            let elsewhere = base.get("per_node").is_some();
            let of = if elsewhere { format!("; node `{node}` has none") } else { String::new() };
            let help = format!(
                "name the interface that leads to the other director: `interface: eth1`{of}"
            );
            reader.missing(&base.path, "interface", &help);
            None
        }
    };
    let words = [("follow", false), ("both", true)];
    let follows = get("follows");
    let mut number = |key: &str, range, why: &str| {
        get(key).and_then(|cursor| reader.integer::<u16>(&cursor, range, why))
    };
    let id = number("id", 0..=255, "the packet has one byte for it");
    let port = number("port", 1..=65535, "a UDP port");
    let ttl = number("ttl", 1..=255, "1 stays on the link");
    let max_length = number("maxlen", 128..=65507, "what one UDP message holds");
    Draft {
        interface,
        id: id.and_then(|id| u8::try_from(id).ok()),
        both: get("role").and_then(|cursor| reader.word(&cursor, &words)).unwrap_or(false),
        has_follows: follows.is_some(),
        follows: follows.and_then(|cursor| track::name(reader, &cursor)),
        group: get("group").and_then(|cursor| group(reader, &cursor)),
        port,
        ttl: ttl.and_then(|ttl| u8::try_from(ttl).ok()),
        max_length,
        base: base.path.clone(),
        over: over.path.clone(),
    }
}

/// A multicast group: the kernel refuses other addresses with EINVAL.
fn group<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<IpAddr> {
    let text = reader.text(cursor)?;
    let fault = match text.parse::<IpAddr>() {
        Ok(address) if address.is_multicast() => return Some(address),
        Ok(address) => Fault::new(Code::BadSyncGroup, format!("{address} is no multicast group")),
        Err(_) => Fault::new(Code::BadSyncGroup, format!("`{text}` is no address")),
    };
    let default = IpAddr::V4(Ipv4Addr::new(224, 0, 0, 81));
    reader.fault(
        &cursor.path,
        fault.help(format!("the kernel's own is {default}; of IPv6 for instance ff02::81")),
    );
    None
}
