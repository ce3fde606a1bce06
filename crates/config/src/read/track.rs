//! The keys `track` and `hooks`, which instances and groups have.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Hook, HookEvent, Name, Track};
use crate::raw::Node;
use crate::reader::{Cursor, Items, Reader};

use super::check;

const TRACK: &str = "vrrp.instances.NAME.track";
const HOOK: &str = "vrrp.hooks";

/// When an instance's hook may run.
pub(super) const INSTANCE_EVENTS: &[(&str, HookEvent)] = &[
    ("active", HookEvent::Active),
    ("backup", HookEvent::Backup),
    ("fault", HookEvent::Fault),
    ("stop", HookEvent::Stop),
    ("priority", HookEvent::Priority),
    ("lower_priority", HookEvent::LowerPriority),
];

/// When a group's hook may run: it has no priority of its own, and hears nobody.
pub(super) const GROUP_EVENTS: &[(&str, HookEvent)] = &[
    ("active", HookEvent::Active),
    ("backup", HookEvent::Backup),
    ("fault", HookEvent::Fault),
    ("stop", HookEvent::Stop),
];

/// When a service's hook may run.
pub(super) const SERVICE_EVENTS: &[(&str, HookEvent)] =
    &[("up", HookEvent::Up), ("down", HookEvent::Down)];

/// `track`: names of trackers, or mappings.
pub(super) fn tracks<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Items<Track> {
    let items = reader.one_or_list(cursor, defaults::TRACK_MAX);
    let read = items.iter().enumerate();
    read.filter_map(|(index, item)| Some((index, track(reader, item)?))).collect()
}

fn track<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Track> {
    let Node::Mapping(_) = cursor.node else {
        return Some(Track { tracker: name(reader, cursor)?, weight: None, reverse: false });
    };
    let fields = reader.fields(cursor, TRACK)?;
    let weight = fields.get("weight").and_then(|cursor| weight(reader, &cursor));
    let reverse = fields.get("reverse").and_then(|cursor| reader.boolean(&cursor));
    let Some(tracker) = fields.get("tracker") else {
        reader.missing(&fields.path, "tracker", "name one of `vrrp.trackers`: `tracker: haproxy`");
        return None;
    };
    let tracker = name(reader, &tracker)?;
    Some(Track { tracker, weight, reverse: reverse.unwrap_or_default() })
}

/// A reference to something that has a name.
pub(super) fn name<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Name> {
    let text = reader.text(cursor)?;
    let name = Name::try_from(text.to_owned());
    if name.is_err() {
        let problem = Problem::new(Code::BadName, format!("{text:?} is not a name"))
            .at(Spot::Value(cursor.path.clone()), "")
            .help("a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit");
        reader.problems.push(problem);
    }
    name.ok()
}

/// -253 to 253 without 0.
fn weight<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<i16> {
    let limit = defaults::WEIGHT_LIMIT;
    let Node::Integer(weight) = cursor.node else {
        // Says what else it is.
        let _none = reader.integer::<i16>(cursor, 1..=253, "");
        return None;
    };
    if *weight != 0 && (-limit..=limit).contains(weight) {
        return i16::try_from(*weight).ok();
    }
    let message = format!("`weight` must be -{limit} to {limit} and not 0, got {weight}");
    let problem = Problem::new(Code::OutOfRange, message)
        .at(Spot::Value(cursor.path.clone()), "effective priorities are 1 to 254")
        .help(
            "leave `weight` out where the tracker's being down is a fault (keepalived's weight 0)",
        );
    reader.problems.push(problem);
    None
}

/// `hooks`, which may run at `words`; `timeout` holds for those that have none of their own.
pub(super) fn hooks<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    timeout: Duration,
    words: &[(&str, HookEvent)],
) -> Vec<Hook> {
    let items = reader.list(cursor, defaults::HOOKS_MAX).unwrap_or_default();
    items.iter().filter_map(|item| hook(reader, item, timeout, words)).collect()
}

fn hook<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    timeout: Duration,
    words: &[(&str, HookEvent)],
) -> Option<Hook> {
    let fields = reader.fields(cursor, HOOK)?;
    let written =
        fields.get("timeout").and_then(|cursor| reader.duration(&cursor, defaults::PERIOD));
    let on = match fields.get("on") {
        Some(cursor) => events(reader, &cursor, words),
        // Every change of state.
        None => {
            let minor = [HookEvent::Priority, HookEvent::LowerPriority];
            words.iter().map(|(_, event)| *event).filter(|event| !minor.contains(event)).collect()
        }
    };
    let command = check::command(reader, &fields)?;
    Some(Hook { command, on, timeout: written.unwrap_or(timeout) })
}

fn events<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    words: &[(&str, HookEvent)],
) -> BTreeSet<HookEvent> {
    let items = reader.one_or_list(cursor, INSTANCE_EVENTS.len());
    if items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "the command would never run")
            .at(Spot::Value(cursor.path.clone()), "")
            .help("leave `on` out for every change of state");
        reader.problems.push(problem);
    }
    items.iter().filter_map(|item| reader.word(item, words)).collect()
}
