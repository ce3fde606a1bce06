//! From the raw tree to domain types, key by key. What is wrong is reported and replaced by its default, so that the rules
//! between objects can still be checked; a configuration with an error is never handed out.

mod check;
mod daemon;
mod instance;
mod ipvs;
mod notification;
mod pace;
mod pair;
mod service;
mod track;
mod tracker;
mod vrrp;

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::code::Code;
use crate::diagnostic::{Problem, Spot};
use crate::model::{Daemon, Name, SecretFrom};
use crate::path::Path;
use crate::raw::Node;
use crate::reader::{Cursor, Fields, Reader};
use crate::text::{self, Fault};
use crate::{defaults, include};

pub(crate) use instance::{Draft as InstanceDraft, View};
pub(crate) use ipvs::{Draft as IpvsDraft, SyncDraft};
pub(crate) use service::Draft;
pub(crate) use vrrp::Draft as VrrpDraft;

/// What the file says, before the rules between its objects.
pub(crate) struct Document {
    pub(crate) node: String,
    pub(crate) daemon: Daemon,
    pub(crate) ipvs: IpvsDraft,
    pub(crate) vrrp: VrrpDraft,
    /// The instances as each node has them, this one first.
    pub(crate) views: Vec<View>,
    pub(crate) services: BTreeMap<Name, Draft>,
}

/// Reads the whole document; none when it is no mapping.
pub(crate) fn document<'a>(
    reader: &mut Reader<'a>,
    root: &'a Node<'a>,
    node: &str,
) -> Option<Document> {
    let cursor = Cursor { node: root, path: Path::default() };
    match root {
        Node::Mapping(_) => {}
        Node::Null => {
            reader.problems.push(empty());
            return None;
        }
        Node::Bool(_) | Node::Integer(_) | Node::Float | Node::Text(_) | Node::List(_) => {
            let message = format!("the configuration is {}, not a mapping", root.noun());
            let problem = Problem::new(Code::NotAMapping, message)
                .at(Spot::Value(Path::default()), "")
                .help("at its top are keys such as `vrrp:` and `services:`");
            reader.problems.push(problem);
            return None;
        }
    }
    let top = reader.fields(&cursor, "")?;
    if let Some(cursor) = top.get("include") {
        include::check(reader, &cursor);
    }
    let node = top.get("node").map_or_else(|| Some(node.to_owned()), |at| node_name(reader, &at));
    let node = node.unwrap_or_default();
    let daemon = section(reader, &top, "daemon");
    let daemon = daemon::daemon(reader, &daemon);
    let ipvs = section(reader, &top, "ipvs");
    let ipvs = ipvs::ipvs(reader, &ipvs, &node);
    let section = section(reader, &top, "vrrp");
    let vrrp = vrrp::vrrp(reader, &section, daemon.script_timeout);
    let views = match section.get("instances") {
        Some(cursor) => instance::views(reader, &cursor, &node, daemon.script_timeout),
        None => vec![View { node: node.clone(), instances: vec![] }],
    };
    let mut services = Vec::new();
    if let Some(cursor) = top.get("services") {
        let named = reader.named(&cursor, "a service", defaults::SERVICES_MAX);
        services.reserve_exact(named.len());
        for (name, cursor) in named {
            let service = service::service(reader, name.clone(), &cursor, daemon.script_timeout);
            services.extend(service.map(|service| (name, service)));
        }
    }
    // All at once: a map that grows in order keeps half of its room free.
    let services = services.into_iter().collect();
    Some(Document { node, daemon, ipvs, vrrp, views, services })
}

/// The file says nothing at all.
pub(crate) fn empty() -> Problem {
    Problem::new(Code::Empty, "the configuration is empty")
        .help("write at least one entry under `vrrp.instances` or `services`")
}

/// The mapping `key` of the top; an empty one when it is missing or of another type, which is reported.
fn section<'a>(reader: &mut Reader<'a>, top: &Fields<'a>, key: &str) -> Fields<'a> {
    let path = top.path.key(key);
    let fields = top.get(key).and_then(|cursor| reader.fields(&cursor, key));
    fields.unwrap_or_else(|| Fields::none(path))
}

fn node_name<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<String> {
    let text = reader.text(cursor)?;
    if is_node_name(text) {
        return Some(text.to_owned());
    }
    reader.problems.push(bad_node_name(text, Spot::Value(cursor.path.clone())));
    None
}

/// An absolute path without control characters.
fn absolute<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<&'a str> {
    let path = reader.text(cursor)?;
    let fault = if path.contains(char::is_control) {
        Fault::new(Code::BadPath, format!("{path:?} has a control character"))
    } else if !path.starts_with('/') {
        Fault::new(Code::BadPath, format!("`{path}` is not an absolute path"))
            .help("write the whole path, beginning with `/`")
    } else {
        return Some(path);
    };
    reader.fault(&cursor.path, fault);
    None
}

/// The name of a credential of the service manager.
fn credential<'a>(reader: &mut Reader<'a>, cursor: &Cursor<'a>) -> Option<SecretFrom> {
    let name = reader.text(cursor)?;
    // systemd's own rule (`credential_name_valid`): the name of a file.
    let harmless = |c: char| !c.is_control() && c != '/';
    if (1..=255).contains(&name.len()) && name.chars().all(harmless) && !matches!(name, "." | "..")
    {
        return Some(SecretFrom::Credential(name.to_owned()));
    }
    let message = format!("{name:?} can't be the name of a credential");
    let fault = Fault::new(Code::BadName, message).help("it is the name of a file: no `/`");
    reader.fault(&cursor.path, fault);
    None
}

fn bad_interface(name: &str, at: &Path) -> Problem {
    Problem::new(Code::BadInterface, format!("{name:?} can't be the name of an interface"))
        .at(Spot::Value(at.clone()), "")
        .help("the kernel's names have 1 to 15 characters, no `/`, no `:` and no space")
}

/// Whether `address` is of fe80::/10.
fn is_link_local(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(address) if text::is_link_local(address))
}

fn is_node_name(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=253).contains(&text.len()) && text.chars().all(allowed)
}

fn bad_node_name(text: &str, spot: Spot) -> Problem {
    Problem::new(Code::BadName, format!("{text:?} can't be the name of a node"))
        .at(spot, "")
        .help("a node's name has 1 to 253 letters, digits, `-`, `_` or `.`")
}
