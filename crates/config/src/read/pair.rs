//! The key `daemon.pair`.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use crate::code::Code;
use crate::defaults;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Pair, SecretFrom};
use crate::reader::{Cursor, Fields, Reader};
use crate::text;

use super::check::is_host_name;

const PAIR: &str = "daemon.pair";

/// `daemon.pair`.
pub(super) fn pair<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<Pair> {
    let fields = reader.fields(cursor, PAIR)?;
    let nodes = nodes(reader, &fields);
    let listen = fields.get("listen").and_then(|cursor| endpoint(reader, &cursor));
    let certificate = file(reader, &fields, "certificate", "the file with this node's certificate");
    let key = key(reader, &fields);
    let ca = file(reader, &fields, "ca", "the file of the authority that issues the certificates");
    let interval = fields
        .get("interval")
        .and_then(|cursor| reader.duration(&cursor, defaults::PAIR_INTERVAL_RANGE))
        .unwrap_or(defaults::PAIR_INTERVAL);
    Some(Pair { nodes: nodes?, listen, certificate: certificate?, key: key?, ca: ca?, interval })
}

fn nodes<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<BTreeMap<String, SocketAddr>> {
    let Some(cursor) = fields.get("nodes") else {
        let help = "name every node, this one too: `nodes: {lb1: 192.0.2.2, lb2: 192.0.2.3}`";
        reader.missing(&fields.path, "nodes", help);
        return None;
    };
    let mut nodes: BTreeMap<String, SocketAddr> = BTreeMap::new();
    for (name, cursor) in reader.entries(&cursor, defaults::PAIR_NODES_MAX) {
        if !super::is_node_name(name) {
            reader.problems.push(super::bad_node_name(name, Spot::Key(cursor.path)));
        } else if !is_host_name(name) || name.parse::<std::net::IpAddr>().is_ok() {
            let message = format!("the node `{name}` can't have a certificate of its name");
            let problem = Problem::new(Code::BadName, message)
                .at(Spot::Key(cursor.path), "")
                .help("a certificate bears the name of a host: parts of 1 to 63 letters, digits, `-` and `_`, between dots");
            reader.problems.push(problem);
        } else if let Some(address) = endpoint(reader, &cursor) {
            if let Some((other, _)) = nodes.iter().find(|(_, known)| **known == address) {
                let message = format!("the nodes `{other}` and `{name}` have one address");
                let problem = Problem::new(Code::Conflict, message)
                    .at(Spot::Value(cursor.path), "")
                    .also(Spot::Value(fields.path.key("nodes").key(other)), "")
                    .help("give each node its own");
                reader.problems.push(problem);
            }
            nodes.insert(name.to_owned(), address);
        }
    }
    Some(nodes)
}

fn endpoint<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<SocketAddr> {
    let address = text::endpoint(reader.text(cursor)?, Some(defaults::PAIR_PORT));
    address.map_err(|fault| reader.fault(&cursor.path, fault)).ok()
}

fn file<'a>(
    reader: &mut Reader<'a>,
    fields: &Fields<'a>,
    key: &'static str,
    what: &str,
) -> Option<PathBuf> {
    let Some(cursor) = fields.get(key) else {
        reader.missing(&fields.path, key, &format!("name {what}; docs/pair.md makes one"));
        return None;
    };
    super::absolute(reader, &cursor).map(PathBuf::from)
}

fn key<'a>(reader: &mut Reader<'a>, fields: &Fields<'a>) -> Option<SecretFrom> {
    match (fields.get("key"), fields.get("key_credential")) {
        (Some(_), Some(credential)) => {
            let message = "`key` and `key_credential`: there is one key";
            let problem = Problem::new(Code::Conflict, message)
                .at(Spot::Key(credential.path), "")
                .also(Spot::Key(fields.path.key("key")), "")
                .help("remove one of them");
            reader.problems.push(problem);
            None
        }
        (Some(cursor), None) => {
            super::absolute(reader, &cursor).map(|path| SecretFrom::File(PathBuf::from(path)))
        }
        (None, Some(cursor)) => super::credential(reader, &cursor),
        (None, None) => {
            let help = "`key: /etc/holdfast/pair/node.key`, or `key_credential: NAME` of the unit";
            reader.missing(&fields.path, "key", help);
            None
        }
    }
}
