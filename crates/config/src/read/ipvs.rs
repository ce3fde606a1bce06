//! The key `ipvs`.

mod sync;

use std::collections::BTreeMap;

use ipvs_ctl::model::Timeouts;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{ForeignServices, Ipvs, OnStop};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::sysctls::{Sysctl, Values, words};

pub(crate) use sync::{Draft as SyncDraft, View as SyncView};

/// `ipvs` as far as it could be read.
pub(crate) struct Draft {
    /// All but `sync`, which needs the instances.
    pub(crate) ipvs: Ipvs,
    /// `sync` as each node has it, this one first; empty without it.
    pub(crate) sync: Vec<SyncView>,
}

/// `ipvs`.
pub(super) fn ipvs<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>, node: &str) -> Draft {
    let words = [("keep", OnStop::Keep), ("drain", OnStop::Drain), ("remove", OnStop::Remove)];
    let on_stop = fields.get("on_stop").and_then(|cursor| reader.word(&cursor, &words));
    let patience =
        fields.get("drain_timeout").and_then(|cursor| reader.duration(&cursor, defaults::PERIOD));
    let poll = fields.get("poll").and_then(|cursor| reader.duration(&cursor, defaults::PERIOD));
    let words = [("keep", ForeignServices::Keep), ("remove", ForeignServices::Remove)];
    let foreign = fields.get("foreign").and_then(|cursor| reader.word(&cursor, &words));
    let timeouts = fields.get("timeouts").and_then(|cursor| timeouts(reader, &cursor));
    let sysctls = fields.get("sysctls").map(|cursor| sysctls(reader, &cursor));
    let sync = fields.get("sync").map(|cursor| sync::views(reader, &cursor, node));
    Draft {
        ipvs: Ipvs {
            on_stop: on_stop.unwrap_or_default(),
            drain_timeout: patience.unwrap_or(defaults::DRAIN_TIMEOUT),
            poll: poll.unwrap_or(defaults::IPVS_POLL),
            foreign: foreign.unwrap_or_default(),
            timeouts: timeouts.unwrap_or_default(),
            sync: None,
            sysctls: sysctls.unwrap_or_default(),
        },
        sync: sync.unwrap_or_default(),
    }
}

/// `ipvs.timeouts`.
fn timeouts<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Timeouts> {
    let fields = reader.fields(cursor, "ipvs.timeouts")?;
    let mut one = |key| {
        let cursor = fields.get(key)?;
        super::service::whole_seconds(reader, &cursor, defaults::TIMEOUTS_RANGE)
    };
    Some(Timeouts {
        tcp_s: one("tcp").unwrap_or(0),
        tcp_fin_s: one("tcp_fin").unwrap_or(0),
        udp_s: one("udp").unwrap_or(0),
    })
}

/// `sysctls`: each with its value as the kernel writes it.
fn sysctls<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> BTreeMap<Sysctl, String> {
    let mut found = BTreeMap::new();
    if reader.fields(cursor, "ipvs.sysctls").is_none() {
        return found;
    }
    for (name, cursor) in reader.entries(cursor, defaults::SYSCTLS_MAX) {
        // An unknown one has been reported.
        let Some(sysctl) = Sysctl::find(name) else { continue };
        found.extend(value(reader, &cursor, sysctl).map(|value| (sysctl, value)));
    }
    found
}

fn value<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, sysctl: Sysctl) -> Option<String> {
    let fits = |value: i64| match sysctl.values {
        Values::Range(least, most) => (i64::from(least)..=i64::from(most)).contains(&value),
        Values::PowerOfTwo => (1..=64).contains(&value) && value & (value - 1) == 0,
        Values::Threshold => false,
        Values::Processors => (0..8192).contains(&value),
    };
    let read = match (cursor.node, sysctl.values) {
        (Node::Integer(value), _) => fits(*value).then(|| value.to_string()),
        (Node::Text(text), Values::Threshold) => threshold(text),
        (Node::Text(text), Values::Processors) => {
            processors(text).then(|| text.clone().into_owned())
        }
        _ => None,
    };
    if read.is_none() {
        let form = form(sysctl.values);
        let message = format!("`{}` can't be that", sysctl.name);
        let problem = Problem::new(Code::BadSysctl, message)
            .at(Spot::Value(cursor.path.clone()), form)
            .help(format!("`holdfast explain {}` tells what it does", sysctl.name));
        reader.problems.push(problem);
    }
    read
}

/// What a sysctl takes, in words.
fn form(values: Values) -> String {
    match values {
        Values::Range(0, 1) => "0 or 1".to_owned(),
        Values::Range(least, most) => format!("a whole number from {least} to {most}"),
        Values::PowerOfTwo => "1, 2, 4, 8, 16, 32 or 64".to_owned(),
        Values::Threshold => {
            "\"THRESHOLD PERIOD\": two whole numbers, the first below the second or the second 0"
                .to_owned()
        }
        Values::Processors => "a list of processors such as \"0-3,6\"".to_owned(),
    }
}

/// `proc_do_sync_threshold` of the kernel takes these.
fn threshold(text: &str) -> Option<String> {
    let numbers: Vec<i32> =
        text.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let [threshold, period] = numbers.as_slice() else { return None };
    let sound = *threshold >= 0 && *period >= 0 && (threshold < period || *period == 0);
    sound.then(|| words(text))
}

fn processors(text: &str) -> bool {
    let number = |text: &str| {
        text.len() <= 4 && !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
    };
    let one = |part: &str| match part.split_once('-') {
        Some((first, last)) => number(first) && number(last),
        None => number(part),
    };
    text.len() <= 256 && text.split(',').all(one)
}
