//! The key `vrrp` without its instances.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::defaults;
use crate::model::{Fate, Group, Hook, InterfaceSettings, Name, Track, Tracker, Vrrp};
use crate::path::Path;
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Items, Reader};

use super::instance::{is_interface, values};
use super::{bad_interface, track, tracker};

/// The key `vrrp` as far as it could be read.
#[derive(Default)]
pub(crate) struct Draft {
    pub(crate) startup_delay: Duration,
    pub(crate) trackers: BTreeMap<Name, Tracker>,
    /// The names of all trackers, read or not.
    pub(crate) tracker_names: Vec<Name>,
    pub(crate) groups: Vec<GroupDraft>,
    pub(crate) interfaces: BTreeMap<String, InterfaceSettings>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) fate: Option<Fate>,
}

/// A sync group as far as it could be read.
pub(crate) struct GroupDraft {
    pub(crate) name: Name,
    pub(crate) instances: Items<Name>,
    pub(crate) track: Items<Track>,
    hooks: Vec<Hook>,
    /// Where it stands.
    pub(crate) path: Path,
}

impl GroupDraft {
    /// Whether the instance is of this group.
    pub(crate) fn has(&self, instance: &Name) -> bool {
        self.instances.iter().any(|(_, name)| name == instance)
    }
}

impl From<Draft> for Vrrp {
    fn from(draft: Draft) -> Self {
        let group = |group: GroupDraft| {
            let instances = values(group.instances).into_iter().collect();
            let (name, track) = (group.name, values(group.track));
            (name.clone(), Group { name, instances, track, hooks: group.hooks })
        };
        Self {
            startup_delay: draft.startup_delay,
            trackers: draft.trackers,
            groups: draft.groups.into_iter().map(group).collect(),
            interfaces: draft.interfaces,
            hooks: draft.hooks,
            fate: draft.fate,
        }
    }
}

/// `vrrp`; `script_timeout` holds for commands without their own.
pub(super) fn vrrp<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    script_timeout: Duration,
) -> Draft {
    let mut draft = Draft::default();
    if let Some(cursor) = fields.get("startup_delay") {
        draft.startup_delay = reader.duration(&cursor, defaults::DELAY).unwrap_or_default();
    }
    if let Some(cursor) = fields.get("trackers") {
        for (name, cursor) in reader.named(&cursor, "a tracker", defaults::TRACKERS_MAX) {
            draft.tracker_names.push(name.clone());
            let read = tracker::tracker(reader, name, &cursor, script_timeout);
            draft.trackers.extend(read.map(|tracker| (tracker.name.clone(), tracker)));
        }
    }
    if let Some(cursor) = fields.get("groups") {
        for (name, cursor) in reader.named(&cursor, "a group", defaults::GROUPS_MAX) {
            draft.groups.extend(group(reader, name, &cursor, script_timeout));
        }
    }
    if let Some(cursor) = fields.get("interfaces") {
        draft.interfaces = interfaces(reader, &cursor);
    }
    if let Some(cursor) = fields.get("hooks") {
        draft.hooks = track::hooks(reader, &cursor, script_timeout, track::INSTANCE_EVENTS);
    }
    draft.fate = match fields.get("fate") {
        Some(cursor) => fate(reader, &cursor),
        None => Some(Fate::default()),
    };
    draft
}

/// `fate`: true or false, or true with the port.
fn fate<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Fate> {
    let default = Fate::default();
    let Node::Mapping(_) = cursor.node else {
        return reader.boolean(cursor).unwrap_or(true).then_some(default);
    };
    let fields = reader.fields(cursor, "vrrp.fate")?;
    let why = "a port of TCP has 16 bits, and is not 0";
    let port = fields.get("port").and_then(|cursor| reader.integer(&cursor, 1..=65535, why));
    Some(Fate { port: port.unwrap_or(default.port) })
}

fn group<'a>(
    reader: &mut Reader<'a>,
    name: Name,
    cursor: &Cursor<'a>,
    script_timeout: Duration,
) -> Option<GroupDraft> {
    let fields = reader.fields(cursor, "vrrp.groups.NAME")?;
    let mut instances = vec![];
    match fields.get("instances") {
        None => reader.missing(&fields.path, "instances", "`instances: [inside, outside]`"),
        Some(cursor) => {
            let items = reader.list(&cursor, defaults::INSTANCES_MAX).unwrap_or_default();
            let read = items.iter().enumerate();
            instances
                .extend(read.filter_map(|(index, item)| Some((index, track::name(reader, item)?))));
        }
    }
    let tracked = fields.get("track").map(|cursor| track::tracks(reader, &cursor));
    let hooks = fields
        .get("hooks")
        .map(|cursor| track::hooks(reader, &cursor, script_timeout, track::GROUP_EVENTS));
    Some(GroupDraft {
        name,
        instances,
        track: tracked.unwrap_or_default(),
        hooks: hooks.unwrap_or_default(),
        path: fields.path,
    })
}

fn interfaces<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
) -> BTreeMap<String, InterfaceSettings> {
    let mut settings = BTreeMap::new();
    for (name, cursor) in reader.entries(cursor, defaults::INTERFACES_MAX) {
        if !is_interface(name) {
            reader.problems.push(bad_interface(name, &cursor.path));
            continue;
        }
        let Some(fields) = reader.fields(&cursor, "vrrp.interfaces.NAME") else { continue };
        let mut delay = |key: &str| {
            let read = fields.get(key).and_then(|cursor| reader.duration(&cursor, defaults::DELAY));
            read.unwrap_or_default()
        };
        let (up_delay, down_delay) = (delay("up_delay"), delay("down_delay"));
        let announce_interval = delay("announce_interval");
        settings
            .insert(name.to_owned(), InterfaceSettings { up_delay, down_delay, announce_interval });
    }
    settings
}
