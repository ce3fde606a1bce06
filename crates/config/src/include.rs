//! `include`: a configuration of several files.
//!
//! The files are put together by one rule. Sections, which are the mappings whose keys the reference fixes and those whose entries have
//! names (`services`, `vrrp.instances`), are joined: each may stand in any file. Everything else stands in one: a key or a name that two
//! files have is an error which shows both places, whatever the values are. So the order of the files means nothing, and what a service is
//! stands in one place.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::path::Path;
use crate::raw::Node;
use crate::source::{Shift, Source};
use crate::syntax::{MAX_BYTES, Text};
use crate::{defaults, positions, read, reference, syntax};

/// The key.
const INCLUDE: &str = "include";

/// Files that a configuration includes: a folder, and a pattern for their names there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePattern {
    /// The folder as it is written; empty = that of the file.
    pub folder: String,
    /// The name; `*` stands for any characters, `?` for one.
    pub name: String,
}

impl FilePattern {
    /// Reads a pattern; why it is none.
    fn read(text: &str) -> Result<Self, &'static str> {
        let (folder, name) = text.rsplit_once('/').map_or(("", text), |(folder, name)| {
            (if folder.is_empty() { "/" } else { folder }, name)
        });
        if text.contains(char::is_control) {
            return Err("it has a control character");
        }
        if name.is_empty() || matches!(name, "." | "..") {
            return Err("it names no file");
        }
        if folder.contains(['*', '?']) {
            return Err("`*` and `?` can only stand in its last part");
        }
        Ok(Self { folder: folder.to_owned(), name: name.to_owned() })
    }

    /// Whether it may stand for several files, or none.
    pub fn is_open(&self) -> bool {
        self.name.contains(['*', '?'])
    }

    /// Whether a file of this name is meant. A name that begins with a dot is hidden, as from a shell.
    pub fn matches(&self, name: &str) -> bool {
        if name.starts_with('.') && !self.name.starts_with('.') {
            return false;
        }
        let (pattern, name): (Vec<char>, Vec<char>) =
            (self.name.chars().collect(), name.chars().collect());
        // Where the last star stands, and what it has eaten so far.
        let (mut at, mut of, mut star) = (0, 0, None);
        while let Some(c) = name.get(of) {
            match pattern.get(at) {
                Some('*') => {
                    star = Some((at, of));
                    at += 1;
                }
                Some(p) if *p == '?' || p == c => {
                    at += 1;
                    of += 1;
                }
                Some(_) | None => {
                    let Some((back, eaten)) = star else { return false };
                    (at, of) = (back + 1, eaten + 1);
                    star = Some((back, eaten + 1));
                }
            }
        }
        pattern.iter().skip(at).all(|p| *p == '*')
    }
}

/// The files that the configuration in `text` includes, in the order in which it names them. What is no pattern is left out: the reader
/// reports it.
pub fn includes(text: &[u8]) -> Vec<FilePattern> {
    // Most files have no such key, and a long one is not read twice for that.
    let has_word = || std::str::from_utf8(text).is_ok_and(|text| text.contains(INCLUDE));
    if text.len() > MAX_BYTES || !has_word() {
        return vec![];
    }
    let Some((mut source, text)) = text_of(text) else { return vec![] };
    let Some(Node::Mapping(entries)) = tree(&mut source, &text) else { return vec![] };
    let value = entries.into_iter().find(|(key, _)| key == INCLUDE).map(|(_, value)| value);
    let texts = match value {
        Some(Node::List(items)) => items,
        Some(one) => vec![one],
        None => vec![],
    };
    let patterns = texts.into_iter().take(defaults::INCLUDES_MAX).filter_map(|text| match text {
        Node::Text(text) => FilePattern::read(&text).ok(),
        Node::Null
        | Node::Bool(_)
        | Node::Integer(_)
        | Node::Float
        | Node::List(_)
        | Node::Mapping(_) => None,
    });
    patterns.collect()
}

/// The state directory that the configuration in `text` names, as far as it can be read, valid or not; the default where it names none.
pub fn state_directory(text: &[u8]) -> PathBuf {
    let named = || {
        let (mut source, text) = text_of(text)?;
        let Some(Node::Mapping(top)) = tree(&mut source, &text) else { return None };
        let (_, daemon) = top.into_iter().find(|(key, _)| key == "daemon")?;
        let Node::Mapping(daemon) = daemon else { return None };
        let (_, state) = daemon.into_iter().find(|(key, _)| key == "state")?;
        let Node::Text(state) = state else { return None };
        state.starts_with('/').then(|| PathBuf::from(state.as_ref()))
    };
    named().unwrap_or_else(|| PathBuf::from(defaults::STATE))
}

/// The text that a file's bytes are, if they are one.
fn text_of(bytes: &[u8]) -> Option<(Source, Arc<String>)> {
    let (source, text) = syntax::decode("", bytes.to_owned());
    Some((source, text.ok()?))
}

/// What a text says, as far as it can be read to its end.
fn tree<'t>(source: &mut Source, text: &'t str) -> Option<Node<'t>> {
    let mut problems = Problems::default();
    let read = syntax::scan(source, &mut problems);
    read.then(|| positions::index(text, source, &mut problems)).flatten()
}

/// Reports what is wrong with the value of `include`.
pub(crate) fn check<'a>(
    reader: &mut crate::reader::Reader<'a>,
    cursor: &crate::reader::Cursor<'a>,
) {
    for item in reader.one_or_list(cursor, defaults::INCLUDES_MAX) {
        let Some(text) = reader.text(&item) else { continue };
        if let Err(why) = FilePattern::read(text) {
            let problem =
                Problem::new(Code::BadInclude, format!("`{text}` can't be included: {why}"))
                    .at(Spot::Value(item.path.clone()), "")
                    .help("for instance `include: conf.d/*.yaml`");
            reader.problems.push(problem);
        }
    }
}

/// The texts of files, each with its name.
pub(crate) fn decode(files: Vec<(String, Vec<u8>)>) -> (Vec<Source>, Vec<Text>) {
    files.into_iter().map(|(file, bytes)| syntax::decode(&file, bytes)).unzip()
}

/// The text of all files, and what they say together; nothing where one could not be read to its end, and a problem says why. `texts` are
/// those of `sources`.
pub(crate) fn read<'t>(
    sources: Vec<Source>,
    texts: &'t [Text],
    problems: &mut Problems,
) -> (Source, Option<Node<'t>>) {
    let bytes: usize = texts.iter().flatten().map(|text| text.len()).sum();
    if let ([first, _, ..], true) = (sources.as_slice(), bytes > MAX_BYTES) {
        let message = format!("the files have {bytes} bytes together; the limit is {MAX_BYTES}");
        let help = "check that `include` names the right files";
        problems.push(Problem::new(Code::TooLarge, message).help(help));
        return (Source::new(first.file(), String::new()), None);
    }
    let mut parts: Vec<Part<'t>> = vec![];
    for (index, (source, text)) in sources.into_iter().zip(texts).enumerate() {
        parts.push(Part::read(source, text, index == 0));
    }
    let all = parts.iter().all(|part| part.root.is_some());
    match (parts.pop(), parts.is_empty()) {
        (None, _) => (Source::new("", String::new()), None),
        (Some(Part { source, problems: found, root }), true) => {
            problems.absorb(found, Shift::default());
            (source, root)
        }
        (Some(last), false) => {
            parts.push(last);
            join(parts, all, problems)
        }
    }
}

/// A file.
struct Part<'t> {
    source: Source,
    problems: Problems,
    /// What it says; none where it could not be read to its end.
    root: Option<Node<'t>>,
}

impl<'t> Part<'t> {
    fn read(mut source: Source, text: &'t Text, first: bool) -> Self {
        let mut problems = Problems::default();
        let root = match text {
            Err(problem) => {
                problems.push(problem.clone());
                None
            }
            Ok(text) if !text.trim().is_empty() => syntax::scan(&source, &mut problems)
                .then(|| positions::index(text, &mut source, &mut problems))
                .flatten(),
            Ok(_) if first => {
                problems.push(read::empty());
                return Self { source, problems, root: None };
            }
            // One that is included may have nothing yet.
            Ok(_) => Some(Node::Null),
        };
        if root.is_none() {
            source.hide_lines();
        }
        Self { source, problems, root }
    }
}

fn join<'t>(
    parts: Vec<Part<'t>>,
    all: bool,
    problems: &mut Problems,
) -> (Source, Option<Node<'t>>) {
    let (mut sources, mut roots, mut found) = (vec![], vec![], vec![]);
    for Part { source, problems, root } in parts {
        sources.push(source);
        roots.extend(root);
        found.push(problems);
    }
    let mut merge = Merge { sources: &sources, shifts: vec![], problems: Problems::default() };
    let mut before = Shift::default();
    for source in &sources {
        merge.shifts.push(before);
        before = source.end(before);
    }
    let root = all.then(|| merge.roots(roots)).flatten();
    let Merge { shifts, problems: clashes, .. } = merge;
    for (found, shift) in found.into_iter().zip(shifts) {
        problems.absorb(found, shift);
    }
    problems.absorb(clashes, Shift::default());
    (Source::join(sources), root)
}

/// Files on their way to be one.
struct Merge<'a> {
    sources: &'a [Source],
    shifts: Vec<Shift>,
    problems: Problems,
}

/// An entry, and the file that it is of.
type Entry<'t> = (Cow<'t, str>, Node<'t>, usize);

impl Merge<'_> {
    /// What all files say; none where the first is no mapping, which is reported by who reads it.
    fn roots<'t>(&mut self, roots: Vec<Node<'t>>) -> Option<Node<'t>> {
        let mut all: Vec<(Node<'t>, usize)> = vec![];
        for (file, root) in roots.into_iter().enumerate() {
            match &root {
                Node::Mapping(entries) if file > 0 => {
                    if entries.iter().any(|(key, _)| key == INCLUDE) {
                        let path = Path::of(&[INCLUDE]);
                        let problem =
                            Problem::new(Code::BadInclude, "an included file includes others")
                                .at(self.spot(file, &path), "")
                                .help("include them in the first file");
                        self.problems.push(problem);
                    }
                    let rest = entries.iter().filter(|(key, _)| key != INCLUDE);
                    all.push((Node::Mapping(rest.cloned().collect()), file));
                }
                Node::Null if file > 0 => {}
                other if file > 0 => {
                    let message = format!("the file is {}, not a mapping", other.noun());
                    let problem = Problem::new(Code::NotAMapping, message)
                        .at(self.spot(file, &Path::default()), "")
                        .help("at its top are keys such as `vrrp:` and `services:`");
                    self.problems.push(problem);
                }
                Node::Null
                | Node::Bool(_)
                | Node::Integer(_)
                | Node::Float
                | Node::Text(_)
                | Node::List(_)
                | Node::Mapping(_) => all.push((root, file)),
            }
        }
        Some(self.sections(all, &Path::default(), ""))
    }

    /// One section of several files' at `path`, whose keys the reference has at `pattern`.
    fn sections<'t>(
        &mut self,
        sections: Vec<(Node<'t>, usize)>,
        path: &Path,
        pattern: &str,
    ) -> Node<'t> {
        let mut merged: Vec<(Entry<'t>, Vec<(Node<'t>, usize)>)> = vec![];
        let mut places = BTreeMap::new();
        let mut other = None;
        for (node, file) in sections {
            let entries = match node {
                Node::Mapping(entries) => entries,
                Node::Null => continue,
                // Of another type: whoever reads the section says so.
                node @ (Node::Bool(_)
                | Node::Integer(_)
                | Node::Float
                | Node::Text(_)
                | Node::List(_)) => {
                    other = Some(node);
                    continue;
                }
            };
            for (key, node) in entries {
                match places.get(&key).and_then(|at: &usize| merged.get_mut(*at)) {
                    // Twice in one file: that has been reported.
                    Some(((_, _, first), more)) if *first == file && more.is_empty() => {}
                    Some((_, more)) => more.push((node, file)),
                    None => {
                        places.insert(key.clone(), merged.len());
                        merged.push(((key, node, file), vec![]));
                    }
                }
            }
        }
        if let Some(other) = other {
            return other;
        }
        let entries = merged.into_iter().map(|((key, node, file), more)| {
            let node = self.entry((&key, node, file), more, path, pattern);
            (key, node)
        });
        Node::Mapping(entries.collect())
    }

    /// What several files have of one key.
    fn entry<'t>(
        &mut self,
        (key, node, file): (&str, Node<'t>, usize),
        more: Vec<(Node<'t>, usize)>,
        path: &Path,
        pattern: &str,
    ) -> Node<'t> {
        if more.is_empty() {
            return node;
        }
        // What names are given to is no section.
        let mut keys = reference::children(pattern);
        let names = keys.any(|key| key.chars().all(|c| c.is_ascii_uppercase()));
        let path = path.key(key);
        let pattern = if pattern.is_empty() { key.to_owned() } else { format!("{pattern}.{key}") };
        let section = |node: &Node<'_>| matches!(node, Node::Mapping(_) | Node::Null);
        let all = section(&node) && more.iter().all(|(node, _)| section(node));
        if all && !names && reference::children(&pattern).next().is_some() {
            let sections = std::iter::once((node, file)).chain(more).collect();
            return self.sections(sections, &path, &pattern);
        }
        let first = self.spot(file, &path);
        for (_, second) in more {
            let problem = Problem::new(Code::DuplicateKey, format!("`{path}` is in two files"))
                .at(self.spot(second, &path), "the second one")
                .also(first.clone(), "the first one")
                .help("it can only stand in one file: remove or rename one of them");
            self.problems.push(problem);
        }
        node
    }

    /// The place of a key in a file.
    fn spot(&self, file: usize, path: &Path) -> Spot {
        let span = self.sources.get(file).and_then(|source| source.key(path)).unwrap_or_default();
        let shift = self.shifts.get(file).copied().unwrap_or_default();
        Spot::Span(span.moved(shift))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Environment, Outcome, parse_files};

    fn parsed(files: &[(&str, &str)]) -> Outcome {
        let owned = |(name, text): &(&str, &str)| ((*name).to_owned(), text.as_bytes().to_owned());
        parse_files(files.iter().map(owned).collect(), &Environment::new("lb1"))
    }

    #[test]
    fn patterns_match_as_a_shells_do() {
        for (pattern, name, expected) in [
            ("*.yaml", "web.yaml", true),
            ("*.yaml", ".web.yaml", false),
            ("*.yaml", "web.yaml~", false),
            ("*.yaml", "web.yml", false),
            ("w?b*", "web", true),
            ("w?b*", "wb", false),
            ("*a*b*", "xxaxxbxx", true),
            ("*a*b", "aab", true),
            ("*a*b", "aba", false),
            ("*", "x", true),
            ("web.yaml", "web.yaml", true),
            ("ü?", "üß", true),
        ] {
            let pattern = FilePattern::read(pattern).unwrap();
            assert_eq!(pattern.matches(name), expected, "{pattern:?} {name}");
        }
    }

    #[test]
    fn what_is_included_is_found_and_nothing_else() {
        let of =
            |folder: &str, name: &str| FilePattern { folder: folder.into(), name: name.into() };
        assert_eq!(includes(b"services: {}\ninclude: conf.d/*.yaml\n"), [of("conf.d", "*.yaml")]);
        assert_eq!(
            includes(b"include: [/a.yaml, '/etc/x/b?', 5, 'a*/b', 'c/']\n"),
            [of("/", "a.yaml"), of("/etc/x", "b?")]
        );
        assert_eq!(includes(b"# include: a\nservices: {include: {listen: x}}\n"), []);
        assert_eq!(includes(b"include: [a\n"), []);
    }

    const MAIN: &str = "include: conf.d/*.yaml\ndaemon: {http: {listen: '127.0.0.1:9650'}}\nservices:\n  web: {listen: tcp 192.0.2.10:80, forward: nat}\n";

    #[test]
    fn sections_are_joined_in_any_order() {
        let dns = "services:\n  dns: {listen: udp 192.0.2.10:53, forward: nat}\n";
        let edge = "vrrp: {instances: {edge: {interface: eth0, vrid: 51, addresses: [192.0.2.10/24]}}}\ndaemon: {state: /var/lib/x}\n";
        let joined = parsed(&[("main", MAIN), ("a", dns), ("b", edge), ("c", "# nothing yet\n")]);
        assert!(joined.config.is_some(), "{}", joined.render(false));
        let other = parsed(&[("main", MAIN), ("b", edge), ("a", dns)]);
        assert_eq!(joined.config, other.config);
        let config = joined.config.unwrap();
        assert_eq!((config.services.len(), config.instances.len()), (2, 1));
        assert!(config.daemon.http.is_some() && config.daemon.state.ends_with("x"));
    }

    #[test]
    fn what_two_files_have_is_an_error_that_shows_both_places() {
        let web = "services:\n  dns: {listen: udp 192.0.2.10:53, forward: nat}\n  web: {listen: tcp 192.0.2.10:81, forward: nat}\n";
        let daemon = "# a comment\ndaemon:\n  http: {listen: '127.0.0.1:1'}\n";
        let outcome = parsed(&[("main.yaml", MAIN), ("a.yaml", web), ("b.yaml", daemon)]);
        assert!(outcome.config.is_none());
        let lines: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
        assert_eq!(lines.len(), 2, "{lines:#?}");
        assert!(lines[0].starts_with("a.yaml:3:3: error[HF0104]: `services.web` is in two files"));
        assert!(
            lines[1].starts_with("b.yaml:3:10: error[HF0104]: `daemon.http.listen`"),
            "{lines:#?}"
        );
        let report = outcome.render(false);
        for part in ["--> a.yaml:3:3", "main.yaml:4:3", "the first one", "the second one"] {
            assert!(report.contains(part), "{part} in {report}");
        }
        let first = &outcome.diagnostics[0].secondary[0];
        assert_eq!((first.file.as_deref(), first.span.line), (Some("main.yaml"), 4));
    }

    #[test]
    fn problems_are_told_with_the_line_of_their_own_file() {
        let bad = "\nservices:\n  dns: {listen: udp 192.0.2.10:53, forward: nta}\n  x: {listen: tcp 192.0.2.10:80, forward: nat}\n";
        let outcome = parsed(&[("main.yaml", MAIN), ("a.yaml", bad), ("b.yaml", "services: [\n")]);
        let found: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
        assert!(found.len() == 1 && found[0].starts_with("b.yaml:"), "syntax first: {found:?}");
        let outcome = parsed(&[("main.yaml", MAIN), ("a.yaml", bad)]);
        let report = outcome.render(false);
        let found: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|line| line.starts_with("a.yaml:3:45: error")), "{found:#?}");
        // The same address twice: the one place is in the other file.
        assert!(
            found.iter().any(|line| line.starts_with("a.yaml:4:15: error[HF0507]")),
            "{found:#?}"
        );
        assert!(report.contains("main.yaml:4:"), "{report}");
        assert!(report.contains("3 |   dns:"), "{report}");
    }

    #[test]
    fn an_included_file_includes_nothing_and_is_a_mapping() {
        let outcome = parsed(&[("m", MAIN), ("a", "include: b\n"), ("b", "- 1\n")]);
        let found: Vec<String> = outcome.diagnostics.iter().map(ToString::to_string).collect();
        assert!(found.iter().any(|line| line.starts_with("a:1:1: error[HF0006]")), "{found:?}");
        assert!(found.iter().any(|line| line.starts_with("b:1:1: error[HF0005]")), "{found:?}");
    }

    #[test]
    fn passwords_of_any_file_are_covered() {
        let other = "\nvrrp: {instances: {edge: {interface: eth0, vrid: 512, version: 2, authentication: {password: hunter2}, addresses: [192.0.2.10/24]}}}\n";
        let outcome = parsed(&[("m", MAIN), ("a", other)]);
        let report = outcome.render(false);
        assert!(outcome.config.is_none() && report.contains("vrid: 512"), "{report}");
        assert!(!report.contains("hunter2") && report.contains("*******"), "{report}");
    }
}
