//! What keeps clients with their servers and servers from too much: the keys `persistence`, `upper_threshold` and
//! `lower_threshold`.

use std::net::Ipv4Addr;

use ipvs_ctl::model::{Family, Persistence};

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Listen, PersistenceEngine, Thresholds};
use crate::reader::{Cursor, Fields, Reader};
use crate::text::Fault;

/// `persistence`.
pub(super) fn persistence<'a>(
    reader: &mut Reader<'a>,
    cursor: &Cursor<'a>,
    listen: &[Listen],
) -> Option<(Persistence, Option<PersistenceEngine>)> {
    let fields = reader.fields(cursor, "services.NAME.persistence")?;
    let timeout = fields
        .get("timeout")
        .and_then(|cursor| super::whole_seconds(reader, &cursor, defaults::PERSISTENCE_RANGE));
    let family = listen.first().map_or(Family::Ipv4, Listen::family);
    let (least, widest) = match family {
        Family::Ipv6 => (1, 128),
        Family::Ipv4 => (0, 32),
    };
    let prefix = fields.get("prefix").and_then(|cursor| {
        reader.integer::<u8>(&cursor, least..=widest, "bits of a client's address")
    });
    let netmask = fields.get("netmask").and_then(|cursor| netmask(reader, &cursor, family));
    if let (Some(_), Some(netmask)) = (fields.get("prefix"), fields.get("netmask")) {
        let problem = Problem::new(Code::Conflict, "`prefix` and `netmask` say the same thing")
            .at(Spot::Key(netmask.path), "")
            .help("keep one of them");
        reader.problems.push(problem);
    }
    let engines = [(PersistenceEngine::Sip.name(), PersistenceEngine::Sip)];
    let engine = fields.get("engine").and_then(|cursor| reader.word(&cursor, &engines));
    let default = u32::try_from(defaults::PERSISTENCE.as_secs()).ok();
    let persistence = Persistence {
        timeout_s: timeout.or(default)?,
        prefix: prefix.or(netmask).or_else(|| u8::try_from(widest).ok())?,
    };
    Some((persistence, engine))
}

/// The length of an IPv4 netmask.
fn netmask<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>, family: Family) -> Option<u8> {
    let text = reader.text(cursor)?;
    let bad = |message: String| Fault::new(Code::BadNetmask, message);
    let fault = match (text.parse::<Ipv4Addr>(), family) {
        (_, Family::Ipv6) => bad("IPv6 has no netmask".to_owned())
            .help("write `prefix` with the number of bits, for instance `prefix: 64`"),
        (Err(_), _) => bad(format!("`{text}` is not a netmask"))
            .help("write for instance `netmask: 255.255.255.0`, which is `prefix: 24`"),
        (Ok(mask), _) => {
            let bits = u32::from(mask);
            if bits.count_ones() == bits.leading_ones() {
                return u8::try_from(bits.leading_ones()).ok();
            }
            bad(format!("the ones of the netmask `{text}` are not all in front"))
                .help("such a mask tells no network; the nearest has a `prefix` of 0 to 32")
        }
    };
    reader.fault(&cursor.path, fault);
    None
}

/// `upper_threshold` and `lower_threshold` of a service or server; none when it names neither.
pub(super) fn thresholds<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<Thresholds> {
    let (upper_at, lower_at) = (fields.get("upper_threshold"), fields.get("lower_threshold"));
    let range = || 0..=Thresholds::MAX;
    let why = "the kernel counts connections with 31 bits";
    let upper = upper_at.as_ref().and_then(|cursor| reader.integer(cursor, range(), why));
    let lower = lower_at.as_ref().and_then(|cursor| reader.integer::<u32>(cursor, range(), why));
    // What could not be read was reported, and nothing can be said of the other.
    let complete = upper.is_some() == upper_at.is_some();
    if let (Some(lower), true) = (lower, complete)
        && lower > upper.unwrap_or(0)
        && let Some(at) = lower_at
    {
        let (message, help) = match upper {
            Some(0) | None => (
                "`lower_threshold` without `upper_threshold`".to_owned(),
                "add the `upper_threshold` at which a server takes no new connections",
            ),
            Some(upper) => (
                format!("`lower_threshold` {lower} is above `upper_threshold` {upper}"),
                "the lower one says when a full server takes new connections again",
            ),
        };
        let problem = Problem::new(Code::LowerThreshold, message)
            .at(Spot::Value(at.path), "the kernel would refuse it")
            .help(help);
        reader.problems.push(problem);
    }
    (upper.is_some() || lower.is_some())
        .then(|| Thresholds { upper: upper.unwrap_or(0), lower: lower.unwrap_or(0) })
}
