//! What becomes of a service when its servers fail: the keys `quorum`, `hysteresis`, `all_down`, `sorry_servers`, `on_failure`,
//! `initial`, `flap_damping` and `hooks`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use holdfast_health::{Combine, Damping, FALLS_MAX};
use ipvs_ctl::model::Destination;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{AllDown, InitialHealth, Name, OnFailure, PoolPolicy, Quorum, RealServer};
use crate::raw::Node;
use crate::read::track;
use crate::reader::{Cursor, Fields, Reader};
use crate::text;

/// What the defaults depend on.
#[derive(Clone, Copy)]
pub(super) struct Around {
    pub(super) combine: Combine,
    /// The kernel would go on to send clients to a server of weight 0.
    pub(super) forgets: bool,
    /// There are sorry servers, readable or not.
    pub(super) sorry: bool,
    pub(super) script_timeout: Duration,
}

/// All of them but the sorry servers.
pub(super) fn policy<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    around: Around,
) -> PoolPolicy {
    let initial = word(
        reader,
        fields,
        "initial",
        &[InitialHealth::Kernel, InitialHealth::Down, InitialHealth::Up]
            .map(|one| (one.word(), one)),
    );
    let on_failure = word(
        reader,
        fields,
        "on_failure",
        &[OnFailure::Inhibit, OnFailure::Remove].map(|one| (one.word(), one)),
    );
    let all_down = word(
        reader,
        fields,
        "all_down",
        &[AllDown::Sorry, AllDown::FailOpen, AllDown::WithdrawVip, AllDown::Drop]
            .map(|one| (one.word(), one)),
    );
    let hooks = fields.get("hooks");
    let hooks = hooks
        .map(|cursor| track::hooks(reader, &cursor, around.script_timeout, track::SERVICE_EVENTS));
    PoolPolicy {
        combine: around.combine,
        initial: initial.unwrap_or_default(),
        damping: fields.get("flap_damping").and_then(|cursor| damping(reader, &cursor)),
        on_failure: on_failure.unwrap_or(if around.forgets {
            OnFailure::Remove
        } else {
            OnFailure::Inhibit
        }),
        quorum: quorum(reader, fields),
        all_down: all_down.unwrap_or(if around.sorry { AllDown::Sorry } else { AllDown::Drop }),
        hooks: hooks.unwrap_or_default(),
    }
}

fn word<'a, T: Copy>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    key: &str,
    words: &[(&str, T)],
) -> Option<T> {
    fields.get(key).and_then(|cursor| reader.word(&cursor, words))
}

fn quorum<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Quorum {
    let why = "a weight";
    let written = fields.get("quorum");
    let weight =
        written.as_ref().and_then(|at| reader.integer(at, 1..=Destination::WEIGHT_MAX, why));
    // What could not be read was reported, and nothing can be said of the other.
    let complete = weight.is_some() == written.is_some();
    let weight = weight.unwrap_or(1);
    let at = fields.get("hysteresis");
    let hysteresis = at
        .as_ref()
        .and_then(|at| reader.integer(at, 0..=Destination::WEIGHT_MAX, why))
        .unwrap_or(0);
    if let Some(at) = at.filter(|_| complete && hysteresis >= weight) {
        let message =
            format!("`hysteresis` must be less than `quorum`: {hysteresis} is not below {weight}");
        let mut problem = Problem::new(Code::OutOfRange, message)
            .at(Spot::Value(at.path), "the quorum would be lost with no weight at all only")
            .help("the quorum is gained at `quorum` + `hysteresis` and lost below `quorum` − `hysteresis`");
        if let Some(written) = written {
            problem = problem.also(Spot::Value(written.path), "");
        }
        reader.problems.push(problem);
        return Quorum::new(weight, 0);
    }
    Quorum::new(weight, hysteresis)
}

fn damping<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Damping> {
    let fields = reader.fields(cursor, "services.NAME.flap_damping")?;
    let falls = fields
        .get("falls")
        .and_then(|at| reader.integer(&at, 1..=FALLS_MAX, "times that it goes down"));
    let mut duration = |key: &str, default| {
        let read = fields.get(key).and_then(|at| reader.duration(&at, defaults::DAMPING_RANGE));
        read.unwrap_or(default)
    };
    Some(Damping {
        falls: falls.unwrap_or(defaults::DAMPING.falls),
        within: duration("within", defaults::DAMPING.within),
        hold: duration("hold", defaults::DAMPING.hold),
    })
}

/// `sorry_servers`; `port` is that of an address which names none.
pub(super) fn sorry_servers<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    port: Option<u16>,
) -> BTreeMap<Name, Arc<RealServer>> {
    let Some(cursor) = fields.get("sorry_servers") else { return BTreeMap::new() };
    let named = reader.named(&cursor, "a sorry server", defaults::SORRY_MAX);
    let read = named.into_iter().filter_map(|(name, cursor)| {
        let server = sorry_server(reader, name.clone(), &cursor, port)?;
        Some((name, Arc::new(server)))
    });
    read.collect()
}

fn sorry_server<'a>(
    reader: &mut Reader<'a>,
    name: Name,
    cursor: &Cursor<'a>,
    port: Option<u16>,
) -> Option<RealServer> {
    let (address, weight) = match cursor.node {
        Node::Text(_) => (Some(cursor.clone()), None),
        Node::Mapping(_) => {
            let fields = reader.fields(cursor, "services.NAME.sorry_servers.NAME")?;
            let why = "a sorry server of weight 0 would take no connection";
            let weight = fields
                .get("weight")
                .and_then(|at| reader.integer(&at, 1..=Destination::WEIGHT_MAX, why));
            let address = fields.get("address");
            if address.is_none() {
                reader.missing(&fields.path, "address", "`address: 10.0.0.99:80`");
            }
            (address, weight)
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float | Node::List(_) => {
            reader.wrong_type(cursor, "an address or a mapping", Some("`sorry1: 10.0.0.99:80`"));
            return None;
        }
    };
    let address = address?;
    let text = reader.text(&address)?;
    match text::endpoint(text, port) {
        Ok(found) => {
            let server = RealServer::bare(name, found, weight.unwrap_or(defaults::WEIGHT));
            // Nobody checks it.
            Some(RealServer { checks: Some(Arc::from([])), ..server })
        }
        Err(fault) => {
            reader.fault(&address.path, fault);
            None
        }
    }
}
