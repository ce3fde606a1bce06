//! A configuration written out again, with servers added, removed and weighed otherwise: what `holdfast export` prints.
//!
//! It is made of the tree that the text says, so keys stand where they stood and as they were written, per-node values and all, and what
//! was included is in place. Comments are lost. Passwords and headers are covered: what is written out goes to terminals, tickets and
//! logs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::net::SocketAddr;

use crate::code::Severity;
use crate::diagnostic::{Diagnostic, Problems};
use crate::model::Name;
use crate::raw::Node;
use crate::{include, secret};

/// What becomes of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Its service.
    pub service: Name,
    /// Its name.
    pub server: Name,
    /// What becomes of it.
    pub kind: EditKind,
}

/// What becomes of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EditKind {
    /// It is there.
    Add {
        /// Its address.
        address: SocketAddr,
        /// Its weight.
        weight: u32,
    },
    /// It is there no longer.
    Remove,
    /// It has another weight.
    Weigh(u32),
}

/// What stands in the place of a secret. A password of VRRP's can be no longer.
const COVERED: &str = "********";

/// The configuration in `files` ([`crate::parse_files`]) with `edits`, as YAML in one file. Of edits that are about a service or a server which
/// is not there nothing comes. The second value says whether secrets were covered.
///
/// # Errors
/// The files can't be read to their end. That they are valid is for the caller to know.
pub fn export(
    files: Vec<(String, Vec<u8>)>,
    edits: &[Edit],
) -> Result<(String, bool), Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let (sources, texts) = include::decode(files);
    let (source, root) = include::read(sources, &texts, &mut problems);
    let diagnostics = problems.locate(&source);
    let refused = diagnostics.iter().any(|found| found.severity == Severity::Error);
    let Some(Node::Mapping(mut top)) = root.filter(|_| !refused) else { return Err(diagnostics) };
    top.retain(|(key, _)| key != "include");
    for edit in edits {
        apply(&mut top, edit);
    }
    let covered = cover(&mut top, false);
    let mut text = String::new();
    mapping(&mut text, &top, 0);
    Ok((text, covered))
}

/// A mapping's entries.
type Entries<'t> = Vec<(Cow<'t, str>, Node<'t>)>;

/// A mapping's value of `key`.
fn get<'a, 't>(entries: &'a mut Entries<'t>, key: &str) -> Option<&'a mut Node<'t>> {
    entries.iter_mut().find(|(name, _)| name == key).map(|(_, node)| node)
}

fn apply<'t>(top: &mut Entries<'t>, edit: &'t Edit) {
    let Some(Node::Mapping(services)) = get(top, "services") else { return };
    let Some(Node::Mapping(service)) = get(services, edit.service.as_str()) else { return };
    if !service.iter().any(|(key, _)| key == "real_servers") {
        service.push(("real_servers".into(), Node::Mapping(vec![])));
    }
    let Some(servers) = get(service, "real_servers") else { return };
    if *servers == Node::Null {
        *servers = Node::Mapping(vec![]);
    }
    let Node::Mapping(servers) = servers else { return };
    let name = edit.server.as_str();
    match edit.kind {
        EditKind::Remove => servers.retain(|(key, _)| key != name),
        EditKind::Add { address, weight } => {
            servers.retain(|(key, _)| key != name);
            // It has no port of its own.
            let address = match address.port() {
                0 => address.ip().to_string(),
                _ => address.to_string(),
            };
            let mut server = Node::Text(address.into());
            if weight != 1 {
                weigh(&mut server, weight);
            }
            servers.push((name.into(), server));
        }
        EditKind::Weigh(weight) => {
            if let Some(server) = get(servers, name) {
                weigh(server, weight);
            }
        }
    }
}

fn weigh(server: &mut Node<'_>, weight: u32) {
    let weight = Node::Integer(weight.into());
    match server {
        Node::Mapping(fields) => match get(fields, "weight") {
            Some(before) => *before = weight,
            None => fields.push(("weight".into(), weight)),
        },
        // The short form.
        address @ (Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::Text(_)
        | Node::List(_)) => {
            let before = std::mem::replace(address, Node::Null);
            *address = Node::Mapping(vec![("address".into(), before), ("weight".into(), weight)]);
        }
    }
}

/// Covers secrets; whether there were any. Paths and names of what holds a secret are none.
fn cover(entries: &mut [(Cow<'_, str>, Node<'_>)], within: bool) -> bool {
    let mut any = false;
    for (key, node) in entries {
        let secret = !secret::names_a_place(key) && (within || secret::is_secret_key(key));
        any |= cover_one(node, secret);
    }
    any
}

fn cover_one(node: &mut Node<'_>, secret: bool) -> bool {
    match node {
        Node::Mapping(entries) => cover(entries, secret),
        Node::List(items) => {
            items.iter_mut().map(|item| cover_one(item, secret)).filter(|any| *any).count() > 0
        }
        Node::Text(_) | Node::Integer(_) if secret => {
            *node = Node::Text(COVERED.into());
            true
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float | Node::Text(_) => false,
    }
}

fn mapping(text: &mut String, entries: &[(Cow<'_, str>, Node<'_>)], indent: usize) {
    for (key, node) in entries {
        let _ = write!(text, "{:indent$}{}:", "", scalar(key));
        value(text, node, indent);
    }
}

/// What stands behind a key or an item's hyphen, to the end of its last line.
fn value(text: &mut String, node: &Node<'_>, indent: usize) {
    match node {
        Node::Mapping(entries) if entries.is_empty() => text.push_str(" {}\n"),
        Node::List(items) if items.is_empty() => text.push_str(" []\n"),
        Node::Mapping(entries) => {
            text.push('\n');
            mapping(text, entries, indent + 2);
        }
        Node::List(items) if items.iter().all(is_scalar) => {
            let items: Vec<String> = items.iter().map(plain).collect();
            let _ = writeln!(text, " [{}]", items.join(", "));
        }
        Node::List(items) => {
            text.push('\n');
            for item in items {
                let _ = write!(text, "{:width$}-", "", width = indent + 2);
                value(text, item, indent + 2);
            }
        }
        Node::Null | Node::Bool(_) | Node::Integer(_) | Node::Float | Node::Text(_) => {
            let _ = writeln!(text, " {}", plain(node));
        }
    }
}

const fn is_scalar(node: &Node<'_>) -> bool {
    !matches!(node, Node::Mapping(_) | Node::List(_))
}

fn plain(node: &Node<'_>) -> String {
    match node {
        Node::Bool(value) => value.to_string(),
        Node::Integer(number) => number.to_string(),
        Node::Text(text) => scalar(text),
        // No key takes a number with a point, so no valid configuration has one.
        Node::Null | Node::Float | Node::Mapping(_) | Node::List(_) => "null".to_owned(),
    }
}

/// Text as a scalar: plain where nothing of it means anything to YAML, else in double quotes.
fn scalar(text: &str) -> String {
    let usual =
        |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ' ' | ':');
    let first = text.chars().next().is_some_and(|c| c.is_ascii_alphanumeric() || c == '/');
    let harmless = first
        && text.chars().all(usual)
        && !text.contains(": ")
        && !text.ends_with([':', ' '])
        && Node::scalar(text.into(), crate::source::Style::Plain) == Node::Text(text.into())
        // Words that YAML 1.1 takes for others.
        && !matches!(text.to_ascii_lowercase().as_str(), "yes" | "no" | "on" | "off" | "y" | "n");
    if harmless && !looks_like_a_number(text) {
        return text.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}') => {
                let _ = write!(quoted, "\\U{:08x}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Whether some reader of YAML may take the text for a number: `22:22`, `0x1f`, `1_000`.
fn looks_like_a_number(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '_' | '.' | 'x' | 'o'))
        && text.starts_with(|c: char| c.is_ascii_digit())
        && text.matches('.').count() < 3
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::source::Source;
    use crate::{Environment, parse, positions};

    fn name(text: &str) -> Name {
        Name::try_from(text.to_owned()).unwrap()
    }

    fn edit(server: &str, kind: EditKind) -> Edit {
        Edit { service: name("web"), server: name(server), kind }
    }

    const TEXT: &str = "# the pair
node: lb1
vrrp: {instances: {edge: {interface: eth0, vrid: 51, version: 2, authentication: {password: hunter2}, addresses: [192.0.2.10/24], per_node: {lb2: {priority: 90}}}}}
services:
  web:
    listen: [tcp 192.0.2.10:80, \"tcp 192.0.2.10:81\"]
    forward: nat
    check: {http: {path: \"/a:b\", headers: {X-Token: s3cret}}, interval: 2s}
    real_servers:
      web1: 10.0.0.11:80
      web2: {address: 10.0.0.12:80, weight: 2}
      web3: 10.0.0.13:80
  none: {listen: udp 192.0.2.10:53, forward: nat}
";

    fn files(texts: &[(&str, &str)]) -> Vec<(String, Vec<u8>)> {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_owned());
        texts.iter().map(owned).collect()
    }

    #[test]
    fn without_edits_the_same_configuration_comes_out_but_for_its_secrets() {
        let (text, covered) = export(files(&[("f", TEXT)]), &[]).unwrap();
        assert!(covered && !text.contains("hunter2") && !text.contains("s3cret"), "{text}");
        let environment = Environment::new("lb1");
        let (before, after) = (parse("f", TEXT, &environment), parse("f", &text, &environment));
        assert!(after.config.is_some(), "{}", after.render(false));
        let (before, after) = (before.config.unwrap(), after.config.unwrap());
        let changes = crate::diff::changes(&before, &after);
        let keys: Vec<_> = changes.iter().filter_map(|change| change.key).collect();
        assert_eq!(keys, ["authentication.password", "checks"], "{changes:#?}");
        let again = export(files(&[("f", &text)]), &[]).unwrap().0;
        assert_eq!(text, again);
    }

    #[test]
    fn servers_come_go_and_have_other_weights() {
        let at =
            |address: &str, weight| EditKind::Add { address: address.parse().unwrap(), weight };
        let edits = [
            edit("web1", EditKind::Weigh(5)),
            edit("web2", EditKind::Weigh(7)),
            edit("web3", EditKind::Remove),
            edit("web4", at("10.0.0.14:80", 1)),
            edit("web5", at("10.0.0.15:80", 3)),
            Edit { service: name("none"), server: name("ns1"), kind: at("10.0.0.21:53", 1) },
            Edit { service: name("gone"), server: name("x"), kind: EditKind::Remove },
        ];
        let (text, _) = export(files(&[("f", TEXT)]), &edits).unwrap();
        let config = parse("f", &text, &Environment::new("lb1")).config.unwrap();
        let servers = |service: &str| -> Vec<(String, String, u32)> {
            let found = config.services[&name(service)].real_servers.values();
            found.map(|s| (s.name.to_string(), s.address.to_string(), s.weight)).collect()
        };
        let expected = [
            ("web1", "10.0.0.11:80", 5),
            ("web2", "10.0.0.12:80", 7),
            ("web4", "10.0.0.14:80", 1),
            ("web5", "10.0.0.15:80", 3),
        ];
        let expected: Vec<_> =
            expected.iter().map(|(n, a, w)| ((*n).to_owned(), (*a).to_owned(), *w)).collect();
        assert_eq!(servers("web"), expected);
        assert_eq!(servers("none").len(), 1);
    }

    #[test]
    fn what_is_included_is_in_place() {
        let main =
            "include: conf.d/*\nservices: {web: {listen: tcp 192.0.2.10:80, forward: nat}}\n";
        let other = "services: {dns: {listen: udp 192.0.2.10:53, forward: nat}}\n";
        let (text, _) = export(files(&[("m", main), ("o", other)]), &[]).unwrap();
        let config = parse("f", &text, &Environment::new("lb1")).config.unwrap();
        assert!(config.services.len() == 2 && !text.contains("include"), "{text}");
    }

    proptest! {
        #[test]
        fn any_text_comes_back_as_it_was(text in "\\PC*|[ -~\\n\\t]{0,12}|[0-9a-fxo:._yYnN+-]{0,8}") {
            let written = format!("k: {}\n", scalar(&text));
            let mut source = Source::new("f", written.clone());
            let root = positions::index(&written, &mut source, &mut Problems::default());
            let expected = Node::Mapping(vec![("k".into(), Node::Text(text.into()))]);
            prop_assert_eq!(root, Some(expected), "{}", written);
        }
    }
}
