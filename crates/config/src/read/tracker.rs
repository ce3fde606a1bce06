//! The key `vrrp.trackers`.

use std::path::PathBuf;
use std::time::Duration;

use holdfast_health::Policy;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{BfdSession, Name, ReachBy, Tracker, TrackerKind};
use crate::reader::{Cursor, Fields, Reader};
use crate::text::Fault;

use super::instance::{destination, host, interface};
use super::{absolute, check, track};

const PATTERN: &str = "vrrp.trackers.NAME";

/// The kinds, and whether they have `interval`, `timeout`, `rise` and `fall` beside them.
const KINDS: [(&str, bool); 8] = [
    ("interface", false),
    ("script", true),
    ("file", false),
    ("process", false),
    ("reach", true),
    ("route", false),
    ("bfd", false),
    ("service", false),
];

/// One tracker; none where it can't be read.
pub(super) fn tracker<'a>(
    reader: &mut Reader<'a>,
    name: Name,
    cursor: &Cursor<'a>,
    script_timeout: Duration,
) -> Option<Tracker> {
    let fields = reader.fields(cursor, PATTERN)?;
    let kinds: Vec<_> =
        KINDS.into_iter().filter_map(|(key, timed)| Some((key, timed, fields.get(key)?))).collect();
    let (key, cursor) = match kinds.as_slice() {
        [(key, timed, cursor)] => {
            if !timed {
                untimed(reader, &fields, key);
            }
            (*key, cursor.clone())
        }
        [] => {
            let message = format!("tracker `{name}` says not what is watched");
            let problem = Problem::new(Code::MissingKey, message)
                .at(Spot::Key(fields.path.clone()), "")
                .help("add one of `interface: eth1`, `script: {command: [/path/to/program]}`, `file: {path: /run/file}`, `process: {name: haproxy}`, `reach: {address: 192.0.2.1}`, `route: {to: default}`, `bfd: {peer: 192.0.2.2}` and `service: web`");
            reader.problems.push(problem);
            return None;
        }
        [(_, _, first), (_, _, second), ..] => {
            let problem = Problem::new(Code::Conflict, "a tracker watches one thing")
                .at(Spot::Key(second.path.clone()), "this is the second")
                .also(Spot::Key(first.path.clone()), "")
                .help("make two trackers, and name both under `track`");
            reader.problems.push(problem);
            return None;
        }
    };
    let kind = match key {
        "interface" => interface(reader, &cursor).map(TrackerKind::Interface),
        "script" => {
            let default = Policy { timeout: script_timeout, ..defaults::SCRIPT };
            let policy = check::policy(reader, &fields, default);
            script(reader, &cursor, policy)
        }
        "file" => file(reader, &cursor),
        "process" => process(reader, &cursor),
        "reach" => {
            let policy = check::policy(reader, &fields, defaults::REACH);
            reach(reader, &cursor, policy)
        }
        "route" => route(reader, &cursor),
        "service" => track::name(reader, &cursor).map(TrackerKind::Service),
        _ => bfd(reader, &cursor).map(TrackerKind::Bfd),
    };
    Some(Tracker { name, kind: kind? })
}

/// What reports its changes by itself is not asked at intervals.
fn untimed<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, kind: &str) {
    for key in ["interval", "timeout", "rise", "fall"] {
        if fields.get(key).is_some() {
            let message = format!("a tracker of kind `{kind}` has no `{key}`");
            let problem = Problem::new(Code::Conflict, message)
                .at(Spot::Key(fields.path.key(key)), "")
                .help("the kernel reports its changes; `interval`, `timeout`, `rise` and `fall` belong to `script` and `reach`");
            reader.problems.push(problem);
        }
    }
}

fn script<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, policy: Policy) -> Option<TrackerKind> {
    let fields = reader.fields(cursor, "vrrp.trackers.NAME.script")?;
    let command = check::command(reader, &fields)?;
    Some(TrackerKind::Script { command, policy })
}

fn file<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<TrackerKind> {
    let fields = reader.fields(cursor, "vrrp.trackers.NAME.file")?;
    let Some(path) = fields.get("path") else {
        reader.missing(&fields.path, "path", "`file: {path: /run/maintenance}`");
        return None;
    };
    let path = absolute(reader, &path)?;
    Some(TrackerKind::File { path: PathBuf::from(path) })
}

fn process<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<TrackerKind> {
    let fields = reader.fields(cursor, "vrrp.trackers.NAME.process")?;
    let why = "how many processes of the name";
    let mut count = |key: &str| {
        fields.get(key).and_then(|cursor| reader.integer::<u32>(&cursor, 1..=65535, why))
    };
    let (quorum, quorum_max) = (count("quorum").unwrap_or(1), count("quorum_max"));
    if let Some(most) = quorum_max.filter(|most| *most < quorum) {
        let message =
            format!("`quorum_max` must be at least `quorum`: {most} is less than {quorum}");
        reader.fault(&fields.path.key("quorum_max"), Fault::new(Code::OutOfRange, message));
    }
    let mut delay =
        |key: &str| fields.get(key).and_then(|cursor| reader.duration(&cursor, defaults::DELAY));
    let (up_delay, down_delay) = (delay("up_delay"), delay("down_delay"));
    let Some(name) = fields.get("name") else {
        reader.missing(&fields.path, "name", "`process: {name: haproxy}`");
        return None;
    };
    let text = reader.text(&name)?;
    if !(1..=255).contains(&text.len()) || text.contains(['/', '\0']) {
        let fault = Fault::new(Code::BadName, format!("{text:?} can't be the name of a process"))
            .help("it is the last part of the program's path, 1 to 255 bytes: `haproxy`");
        reader.fault(&name.path, fault);
        return None;
    }
    Some(TrackerKind::Process {
        name: text.to_owned(),
        quorum,
        quorum_max,
        up_delay: up_delay.unwrap_or_default(),
        down_delay: down_delay.unwrap_or_default(),
    })
}

fn reach<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, policy: Policy) -> Option<TrackerKind> {
    let fields = reader.fields(cursor, "vrrp.trackers.NAME.reach")?;
    let words = [("icmp", ReachBy::Icmp), ("neighbour", ReachBy::Neighbour)];
    let by = fields.get("by").and_then(|cursor| reader.word(&cursor, &words)).unwrap_or_default();
    let on = fields.get("interface").and_then(|cursor| interface(reader, &cursor));
    let Some(address) = fields.get("address") else {
        reader.missing(&fields.path, "address", "`reach: {address: 192.0.2.1}`");
        return None;
    };
    let address = host(reader, &address, "what is to be reached")?;
    let link_local = super::is_link_local(address);
    if fields.get("interface").is_none() && (by == ReachBy::Neighbour || link_local) {
        reader.missing(&fields.path, "interface", "neighbours are on a link: `interface: eth0`");
    }
    Some(TrackerKind::Reach { address, by, interface: on, policy })
}

fn route<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<TrackerKind> {
    let fields = reader.fields(cursor, "vrrp.trackers.NAME.route")?;
    let interface = fields.get("interface").and_then(|cursor| interface(reader, &cursor));
    let Some(to) = fields.get("to") else {
        reader.missing(&fields.path, "to", "`route: {to: default}`; `\"::/0\"` is IPv6's");
        return None;
    };
    Some(TrackerKind::Route { to: destination(reader, &to, None)?, interface })
}

fn bfd<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<BfdSession> {
    let fields = reader.fields(cursor, "vrrp.trackers.NAME.bfd")?;
    let source =
        fields.get("source").and_then(|cursor| host(reader, &cursor, "the address to send from"));
    let on = fields.get("interface").and_then(|cursor| interface(reader, &cursor));
    let mut every = |key: &str| {
        fields.get(key).and_then(|cursor| reader.duration(&cursor, defaults::BFD_INTERVAL))
    };
    let (min_tx, min_rx) = (every("min_tx"), every("min_rx"));
    let multiplier = fields
        .get("multiplier")
        .and_then(|cursor| reader.integer::<u8>(&cursor, 1..=255, "packets lost in a row"));
    let passive = fields.get("passive").and_then(|cursor| reader.boolean(&cursor));
    let Some(peer) = fields.get("peer") else {
        reader.missing(&fields.path, "peer", "`bfd: {peer: 192.0.2.2}`");
        return None;
    };
    let peer = host(reader, &peer, "a peer")?;
    if fields.get("interface").is_none() && super::is_link_local(peer) {
        reader.missing(
            &fields.path,
            "interface",
            "a link-local peer is on a link: `interface: eth0`",
        );
    }
    if let Some(source) = source.filter(|source| source.is_ipv4() != peer.is_ipv4()) {
        let message = format!("a BFD session can't go from {source} to {peer}");
        let fault = Fault::new(Code::PeerFamily, message).help("both are of one family");
        reader.fault(&fields.path.key("source"), fault);
    }
    Some(BfdSession {
        peer,
        source,
        interface: on,
        min_tx: min_tx.unwrap_or(defaults::BFD_DEFAULT),
        min_rx: min_rx.unwrap_or(defaults::BFD_DEFAULT),
        multiplier: multiplier
            .and_then(std::num::NonZeroU8::new)
            .unwrap_or(defaults::BFD_MULTIPLIER),
        passive: passive.unwrap_or_default(),
    })
}
