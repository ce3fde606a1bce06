//! The key `services.NAME.listen`.

use ipvs_ctl::model::Family;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Listen, Match};
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::text;

const PATTERN: &str = "services.NAME.listen";

/// Where a service listens, each with its place in the list.
pub(super) fn listen<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Vec<(usize, Listen)> {
    let Some(cursor) = fields.get("listen") else {
        reader.missing(&fields.path, "listen", "for instance `listen: tcp 192.0.2.10:80`");
        return vec![];
    };
    let items = reader.one_or_list(&cursor, defaults::LISTEN_MAX);
    if items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "a service listens on at least one address")
            .at(Spot::Value(cursor.path.clone()), "")
            .help("`listen: tcp 192.0.2.10:80`");
        reader.problems.push(problem);
    }
    let mut read = vec![];
    for (index, item) in items.into_iter().enumerate() {
        if matches!(item.node, Node::Mapping(_)) {
            read.extend(fwmark(reader, &item).map(|listen| (index, listen)));
            continue;
        }
        let Some(text) = reader.text(&item) else { continue };
        match text::listen(text) {
            Ok(listen) => read.push((index, listen)),
            Err(fault) => reader.fault(&item.path, fault),
        }
    }
    read
}

/// `{fwmark: 7, family: ipv6, match: [tcp 192.0.2.10:8000-8999]}`.
fn fwmark<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Listen> {
    let fields = reader.fields(cursor, PATTERN)?;
    let Some(mark) = fields.get("fwmark") else {
        let help = "an address is written as text, `tcp 192.0.2.10:80`; a mapping is for marks: `{fwmark: 7}`";
        reader.missing(&fields.path, "fwmark", help);
        return None;
    };
    let marks = fields.get("match");
    let matches = marks.as_ref().map(|cursor| matches(reader, cursor)).unwrap_or_default();
    let words = [("ipv4", Family::Ipv4), ("ipv6", Family::Ipv6)];
    let named = fields.get("family").and_then(|cursor| {
        reader.word(&cursor, &words).map(|family| (family, cursor.path.clone()))
    });
    let family = match (&named, matches.first()) {
        (Some((family, _)), _) => *family,
        (None, Some((_, first))) => first.family(),
        (None, None) => Family::Ipv4,
    };
    if let Some((path, other)) = matches.iter().find(|(_, other)| other.family() != family) {
        let message = format!("`{other}` is of another family than the mark's service");
        let mut problem =
            Problem::new(Code::FamilyMismatch, message).at(Spot::Value(path.clone()), "");
        problem = match &named {
            Some((_, path)) => problem.also(Spot::Value(path.clone()), "the service's family"),
            None => problem,
        };
        reader.problems.push(
            problem.help("make a second service for the other family; it may have the same mark"),
        );
    }
    if let Node::Integer(0) = mark.node {
        let fault = text::nonzero(0).err()?;
        reader.fault(&mark.path, fault);
        return None;
    }
    let number = reader.integer(&mark, 1..=u32::MAX, "a mark has 32 bits")?;
    let mark = text::nonzero(number).ok()?;
    if named.is_none() && marks.is_some() && matches.is_empty() {
        // Of which family the service is would have been said by what could not be read.
        return None;
    }
    let matches = matches.into_iter().map(|(_, one)| one).filter(|one| one.family() == family);
    Some(Listen::Fwmark { family, mark, matches: matches.collect() })
}

fn matches<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Vec<(crate::path::Path, Match)> {
    let items = reader.one_or_list(cursor, defaults::MATCH_MAX);
    if items.is_empty() && matches!(cursor.node, Node::List(_)) {
        let problem = Problem::new(Code::EmptyList, "nothing is marked")
            .at(Spot::Value(cursor.path.clone()), "")
            .help("name the packets, or leave `match` out where somebody else sets the mark");
        reader.problems.push(problem);
    }
    let mut read = vec![];
    for item in items {
        let Some(text) = reader.text(&item) else { continue };
        match text::matching(text) {
            Ok(one) => read.push((item.path, one)),
            Err(fault) => reader.fault(&item.path, fault),
        }
    }
    read
}
