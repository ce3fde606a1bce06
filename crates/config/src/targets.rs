//! Files that name servers, in the form of Prometheus' `file_sd`: a list of groups, each with `targets` and `labels`, as YAML or JSON.
//!
//! Of the labels `weight` (a whole number), `name` (of a group with one target) and `drain` (`true` or `false`) count; others are
//! Prometheus' business. A file is taken whole or not at all: half of it might be half of a pool.

use std::net::SocketAddr;

use ipvs_ctl::model::Destination;

use crate::code::Code;
use crate::defaults::SERVERS_MAX;
use crate::diagnostic::{Diagnostic, Problem, Problems, Spot};
use crate::model::Name;
use crate::path::Path;
use crate::raw::Node;
use crate::reader::Cursor;
use crate::source::Source;
use crate::{positions, syntax, text};

/// A server that a file names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address and port.
    pub address: SocketAddr,
    /// Its name; without one it is made of the address.
    pub name: Option<Name>,
    /// Its weight; without one it has the default.
    pub weight: Option<u32>,
    /// Whether it is to take no new connections.
    pub drain: bool,
}

/// Reads a file of targets. `file` is the name that diagnostics show, `text` its bytes as they are; `port` is that of a target which names
/// none ([`crate::Service::implied_port`]).
///
/// # Errors
/// Every problem of the file; none of its targets is worth anything then.
pub fn parse_targets(
    file: &str,
    text: &[u8],
    port: Option<u16>,
) -> Result<Vec<Target>, Vec<Diagnostic>> {
    let mut problems = Problems::default();
    let (mut source, text) = syntax::decode(file, text.to_owned());
    let root = read(&mut source, &text, &mut problems);
    let mut targets = Vec::new();
    if let Some(root) = &root {
        let mut list = List { problems: &mut problems, targets: &mut targets, port };
        list.read(&Cursor { node: root, path: Path::default() });
    }
    let diagnostics = problems.locate(&source);
    if diagnostics.is_empty() { Ok(targets) } else { Err(diagnostics) }
}

fn read<'a>(
    source: &mut Source,
    text: &'a syntax::Text,
    problems: &mut Problems,
) -> Option<Node<'a>> {
    let text = match text {
        Ok(text) => text,
        Err(problem) => {
            problems.push(problem.clone());
            return None;
        }
    };
    // A file that is empty is one that is being written, or broken: a list without an item is `[]`.
    if text.trim().is_empty() {
        let help = "a list without an item is written `[]`";
        problems.push(Problem::new(Code::Empty, "the file is empty").help(help));
        return None;
    }
    let read = syntax::scan(source, problems);
    read.then(|| positions::index(text, source, problems)).flatten()
}

struct List<'a> {
    problems: &'a mut Problems,
    targets: &'a mut Vec<Target>,
    port: Option<u16>,
}

/// What the labels of a group say.
#[derive(Default)]
struct Labels {
    name: Option<(Name, Path)>,
    weight: Option<u32>,
    drain: bool,
}

impl List<'_> {
    fn read(&mut self, root: &Cursor<'_>) {
        let Node::List(groups) = root.node else {
            self.refuse(&root.path, "the file is no list of `targets`", FORM);
            return;
        };
        for (index, node) in groups.iter().enumerate() {
            self.group(&Cursor { node, path: root.path.item(index) });
        }
    }

    fn group(&mut self, group: &Cursor<'_>) {
        let Node::Mapping(entries) = group.node else {
            self.refuse(&group.path, "this is no mapping with `targets`", FORM);
            return;
        };
        let get = |key: &str| entries.iter().find(|(name, _)| name == key).map(|(_, node)| node);
        for (key, _) in entries {
            if !matches!(key.as_ref(), "targets" | "labels") {
                let problem = Problem::new(Code::UnknownKey, format!("unknown key `{key}`"))
                    .at(Spot::Key(group.path.key(key)), "")
                    .help("the keys of a group are `targets` and `labels`");
                self.problems.push(problem);
            }
        }
        let labels = get("labels").map(|node| self.labels(node, &group.path.key("labels")));
        let labels = labels.unwrap_or_default();
        let path = group.path.key("targets");
        let Some(Node::List(targets)) = get("targets") else {
            self.refuse(&group.path, "`targets` is no list of addresses", FORM);
            return;
        };
        if let Some((_, at)) = labels.name.as_ref().filter(|_| targets.len() != 1) {
            let message = format!("one `name` for {} targets", targets.len());
            self.refuse(at, &message, "give each target with a name a group of its own");
        }
        for (index, node) in targets.iter().enumerate() {
            self.target(node, &path.item(index), &labels);
        }
    }

    fn target(&mut self, node: &Node<'_>, at: &Path, labels: &Labels) {
        let Node::Text(text) = node else {
            self.refuse(at, "a target is text", "for instance `10.0.0.11:80`");
            return;
        };
        match text::endpoint(text, self.port) {
            Err(fault) => self.problems.push(fault.problem(Spot::Value(at.clone()))),
            Ok(_) if self.targets.len() >= SERVERS_MAX => {
                let message = format!("more than {SERVERS_MAX} targets");
                self.refuse(at, &message, "a service has no more servers");
            }
            Ok(address) => {
                let Labels { name, weight, drain } = labels;
                let name = name.as_ref().map(|(name, _)| name.clone());
                self.targets.push(Target { address, name, weight: *weight, drain: *drain });
            }
        }
    }

    fn labels(&mut self, node: &Node<'_>, at: &Path) -> Labels {
        let mut labels = Labels::default();
        let entries = match node {
            Node::Mapping(entries) => entries.as_slice(),
            Node::Null => &[],
            Node::Bool(_) | Node::Integer(_) | Node::Float | Node::Text(_) | Node::List(_) => {
                self.refuse(at, "`labels` is no mapping", FORM);
                &[]
            }
        };
        for (key, value) in entries {
            let at = at.key(key);
            match key.as_ref() {
                "weight" => labels.weight = self.weight(value, &at),
                "drain" => labels.drain = self.flag(value, &at),
                "name" => labels.name = self.name(value, &at).map(|name| (name, at)),
                _ => {}
            }
        }
        labels
    }

    /// Prometheus' labels are text, and who writes YAML by hand leaves the quotes out.
    fn weight(&mut self, value: &Node<'_>, at: &Path) -> Option<u32> {
        let number = match value {
            Node::Integer(number) => u32::try_from(*number).ok(),
            Node::Text(text) => text.parse().ok(),
            Node::Null | Node::Bool(_) | Node::Float | Node::List(_) | Node::Mapping(_) => None,
        };
        let number = number.filter(|number| *number <= Destination::WEIGHT_MAX);
        if number.is_none() {
            let greatest = Destination::WEIGHT_MAX;
            self.refuse(at, "`weight` is no weight", &format!("a weight is 0 to {greatest}"));
        }
        number
    }

    fn flag(&mut self, value: &Node<'_>, at: &Path) -> bool {
        let flag = match value {
            Node::Bool(flag) => Some(*flag),
            Node::Text(text) => text.parse().ok(),
            Node::Null | Node::Integer(_) | Node::Float | Node::List(_) | Node::Mapping(_) => None,
        };
        if flag.is_none() {
            self.refuse(at, "`drain` is neither true nor false", "write `true` or `false`");
        }
        flag.unwrap_or_default()
    }

    fn name(&mut self, value: &Node<'_>, at: &Path) -> Option<Name> {
        let name = match value {
            Node::Text(text) => Name::try_from(text.clone().into_owned()).ok(),
            Node::Integer(number) => Name::try_from(number.to_string()).ok(),
            Node::Null | Node::Bool(_) | Node::Float | Node::List(_) | Node::Mapping(_) => None,
        };
        if name.is_none() {
            let help = "a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit";
            self.refuse(at, "`name` can't be the name of a real server", help);
        }
        name
    }

    fn refuse(&mut self, at: &Path, message: &str, help: &str) {
        let problem = Problem::new(Code::WrongType, message);
        self.problems.push(problem.at(Spot::Value(at.clone()), "").help(help));
    }
}

/// What a file looks like.
const FORM: &str =
    "a file is a list such as `[{targets: [\"10.0.0.11:80\"], labels: {weight: \"2\"}}]`";

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Vec<Target>, Vec<String>> {
        let found = parse_targets("web.yaml", text.as_bytes(), None);
        found.map_err(|problems| problems.iter().map(ToString::to_string).collect())
    }

    fn target(address: &str) -> Target {
        Target { address: address.parse().unwrap(), name: None, weight: None, drain: false }
    }

    #[test]
    fn json_as_tools_write_it_and_yaml_as_people_do_are_the_same() {
        let expected = vec![
            Target { weight: Some(3), drain: true, ..target("10.0.0.11:80") },
            Target { weight: Some(3), drain: true, ..target("[2001:db8::11]:80") },
            Target { name: Name::try_from("web3".to_owned()).ok(), ..target("10.0.0.13:80") },
        ];
        let json = r#"[
            {"targets": ["10.0.0.11:80", "[2001:db8::11]:80"],
             "labels": {"weight": "3", "drain": "true", "job": "web", "__meta_zone": "a"}},
            {"labels": {"name": "web3"}, "targets": ["10.0.0.13:80"]}
        ]"#;
        let yaml = "- targets: [10.0.0.11:80, '[2001:db8::11]:80']\n  labels: {weight: 3, drain: true}\n- targets: [10.0.0.13:80]\n  labels: {name: web3}\n";
        assert_eq!(parsed(json).unwrap(), expected);
        assert_eq!(parsed(yaml).unwrap(), expected);
        assert_eq!(parsed("[]").unwrap(), []);
    }

    #[test]
    fn a_port_may_be_left_out_where_the_service_has_it() {
        let found = parse_targets("f", b"[{targets: [10.0.0.11]}]", Some(80)).unwrap();
        assert_eq!(found, [target("10.0.0.11:80")]);
        parse_targets("f", b"[{targets: [10.0.0.11]}]", None).unwrap_err();
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place_all_at_once() {
        let found = parsed("- targets: [web.example:80, 10.0.0.300:80]\n  labels: {weight: heavy}\n  tragets: []\n- targets: 10.0.0.1:80\n- 5\n").unwrap_err();
        for part in [
            "web.yaml:1:13: error",
            "web.yaml:1:29: error",
            "web.yaml:2:20: error",
            "web.yaml:3:3: error[HF0201]: unknown key `tragets`",
            "web.yaml:4:",
            "web.yaml:5:3: error",
        ] {
            assert!(found.iter().any(|line| line.starts_with(part)), "{part} in {found:#?}");
        }
    }

    #[test]
    fn an_empty_file_half_a_file_and_another_form_are_no_list_of_nothing() {
        for text in
            ["", "\n# soon\n", "null", "{}", "targets: []", "[{\"targets\": [\"10.0.0.11:80\""]
        {
            parsed(text).unwrap_err();
        }
    }

    #[test]
    fn one_name_is_for_one_target() {
        let found = parsed("[{targets: [10.0.0.1:80, 10.0.0.2:80], labels: {name: a}}]");
        assert!(found.unwrap_err().iter().any(|line| line.contains("one `name` for 2 targets")));
    }
}
