//! A tree of YAML, with where each part comes from, to text.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::Range;

use crate::ledger::Id;

/// A value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// Written as it is: a number, a duration, a word that needs no quotes.
    Plain(String),
    /// Text from the source, quoted where YAML needs it.
    Text(String),
    List(Vec<Item>),
    Map(Map),
}

/// An element of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) value: Node,
    pub(crate) origin: Range<Id>,
}

/// A key with its value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) value: Node,
    /// The statements that it was made of: their comments stand above it. Empty for what no statement says.
    pub(crate) origin: Range<Id>,
}

/// A mapping in the order of its keys' entry.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Map {
    pub(crate) entries: Vec<Entry>,
}

impl Map {
    /// Adds a key, or replaces its value.
    pub(crate) fn set(&mut self, key: &str, value: Node, origin: Range<Id>) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(entry) => {
                entry.value = value;
                entry.origin = origin;
            }
            None => self.entries.push(Entry { key: key.to_owned(), value, origin }),
        }
    }

    /// The value of a key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
    }

    /// Changes the mapping under a key, which is made where there is none.
    pub(crate) fn edit<R>(
        &mut self,
        key: &str,
        origin: Range<Id>,
        change: impl FnOnce(&mut Self) -> R,
    ) -> R {
        let found = self.entries.iter_mut().find(|entry| entry.key == key);
        if let Some(Entry { value: Node::Map(map), .. }) = found {
            return change(map);
        }
        let mut map = Self::default();
        let result = change(&mut map);
        self.set(key, Node::Map(map), origin);
        result
    }

    /// Adds an element to the list under a key.
    pub(crate) fn push(&mut self, key: &str, value: Node, origin: Range<Id>) {
        match self.entries.iter_mut().find(|entry| entry.key == key) {
            Some(Entry { value: Node::List(items), .. }) => items.push(Item { value, origin }),
            _ => self.set(key, Node::List(vec![Item { value, origin }]), NOWHERE),
        }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.get(key).is_some()
    }
}

/// The origin of what no statement says.
pub(crate) const NOWHERE: Range<Id> = 0..0;

/// A number, a duration or a word.
pub(crate) fn plain(value: impl ToString) -> Node {
    Node::Plain(value.to_string())
}

/// Text from the source.
pub(crate) fn text(value: impl Into<String>) -> Node {
    Node::Text(value.into())
}

/// A list of texts that come from one statement.
pub(crate) fn texts(values: impl IntoIterator<Item = String>, origin: &Range<Id>) -> Node {
    let item = |value| Item { value: Node::Text(value), origin: origin.clone() };
    Node::List(values.into_iter().map(item).collect())
}

/// The longest list or mapping that is written on one line, in characters.
const INLINE: usize = 88;

/// The text of a configuration, and for each of its lines the statement that it comes from. Comments stand above what they belong to; those
/// of statements that nothing was made of, at the top.
pub(crate) fn write(root: &Map, comments: &BTreeMap<Id, Vec<String>>) -> (String, Vec<Option<Id>>) {
    let mut writer =
        Writer { comments: comments.clone(), text: String::new(), origins: Vec::new() };
    let mut body = Writer { comments: comments.clone(), text: String::new(), origins: Vec::new() };
    body.entries(&root.entries, 0, None, true);
    writer.comments = body.comments;
    writer.line("# Converted by `holdfast import`. Lines that begin with # are what a person has to decide.", None);
    for (id, comments) in std::mem::take(&mut writer.comments) {
        for comment in comments {
            writer.comment(&comment, 0, Some(id));
        }
    }
    if root.is_empty() {
        writer.line("{}", None);
    }
    writer.text.push_str(&body.text);
    writer.origins.append(&mut body.origins);
    (writer.text, writer.origins)
}

struct Writer {
    /// Those that have not been written yet.
    comments: BTreeMap<Id, Vec<String>>,
    text: String,
    origins: Vec<Option<Id>>,
}

impl Writer {
    fn line(&mut self, line: &str, origin: Option<Id>) {
        self.text.push_str(line);
        self.text.push('\n');
        self.origins.push(origin);
    }

    fn comment(&mut self, comment: &str, indent: usize, origin: Option<Id>) {
        let comment: String =
            comment.chars().map(|l| if ends_comment(l) { '\u{fffd}' } else { l }).collect();
        self.line(&format!("{:indent$}# {comment}", ""), origin);
    }

    /// Writes the comments of a part that belong to nothing within it.
    fn comments(&mut self, origin: &Range<Id>, value: &Node, indent: usize) {
        if origin.is_empty() {
            return;
        }
        let own: Vec<Id> = self
            .comments
            .range(origin.clone())
            .map(|(id, _)| *id)
            .filter(|id| !claims(value, *id, origin))
            .collect();
        for id in own {
            for comment in self.comments.remove(&id).unwrap_or_default() {
                self.comment(&comment, indent, Some(id));
            }
        }
    }

    fn entries(&mut self, entries: &[Entry], indent: usize, from: Option<Id>, top: bool) {
        for Entry { key, value, origin } in entries {
            let from = if origin.is_empty() { from } else { Some(origin.start) };
            self.comments(origin, value, indent);
            self.value(&format!("{:indent$}{}:", "", key_text(key)), value, indent, from, top);
        }
    }

    /// A value behind `head`, on its line where it is short.
    fn value(&mut self, head: &str, value: &Node, indent: usize, from: Option<Id>, top: bool) {
        let inline = if top { None } else { self.inline(value) };
        match (inline, value) {
            (Some(short), _) => self.line(&format!("{head} {short}"), from),
            (None, Node::Map(map)) => {
                self.line(head, from);
                self.entries(&map.entries, indent + 2, from, false);
            }
            (None, Node::List(items)) => {
                self.line(head, from);
                self.items(items, indent + 2, from);
            }
            (None, Node::Plain(_) | Node::Text(_)) => {
                let short = flow(value);
                self.line(&format!("{head} {short}"), from);
            }
        }
    }

    fn items(&mut self, items: &[Item], indent: usize, from: Option<Id>) {
        for Item { value, origin } in items {
            let from = if origin.is_empty() { from } else { Some(origin.start) };
            self.comments(origin, value, indent);
            let dash = format!("{:indent$}-", "");
            match (self.inline(value), value) {
                (None, Node::Map(map)) => {
                    // The first key stands behind the dash, the others below it.
                    let mut first = Self {
                        comments: std::mem::take(&mut self.comments),
                        text: String::new(),
                        origins: Vec::new(),
                    };
                    first.entries(&map.entries, indent + 2, from, false);
                    self.comments = first.comments;
                    let comments =
                        first.text.lines().take_while(|l| l.trim_start().starts_with('#'));
                    let before: usize = comments.map(|line| line.len() + 1).sum();
                    let mut text = first.text;
                    let at = before + indent;
                    if text.get(at..at + 1) == Some(" ") {
                        text.replace_range(at..at + 1, "-");
                    }
                    self.text.push_str(&text);
                    self.origins.append(&mut first.origins);
                }
                _ => self.value(&dash, value, indent, from, false),
            }
        }
    }

    /// The value on one line, where it is short and nothing has to be said within it.
    fn inline(&self, value: &Node) -> Option<String> {
        let lists = matches!(value, Node::List(_) | Node::Map(_));
        if lists
            && (weight(value) > 12 || self.comments.keys().any(|id| claims(value, *id, &NOWHERE)))
        {
            return None;
        }
        let short = flow(value);
        (!lists || short.chars().count() <= INLINE).then_some(short)
    }
}

/// Whether YAML does not allow a letter in a comment, or has the comment end there: a statement may have had it in quotes. A line ends at U+0085, U+2028
/// and U+2029, too, for readers of YAML 1.1 such as libyaml, which refuses the other three.
fn ends_comment(letter: char) -> bool {
    letter.is_control()
        || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}')
}

/// How many scalars there are within a value.
fn weight(value: &Node) -> usize {
    match value {
        Node::Plain(_) | Node::Text(_) => 1,
        Node::List(items) => items.iter().map(|item| weight(&item.value)).sum(),
        Node::Map(map) => map.entries.iter().map(|entry| weight(&entry.value)).sum(),
    }
}

/// Whether something within `value`, which comes from `outer`, was made of the statement, and of less than that.
fn claims(value: &Node, id: Id, outer: &Range<Id>) -> bool {
    let claim = |origin: &Range<Id>, value| {
        (origin.contains(&id) && origin != outer) || claims(value, id, outer)
    };
    match value {
        Node::Plain(_) | Node::Text(_) => false,
        Node::List(items) => items.iter().any(|item| claim(&item.origin, &item.value)),
        Node::Map(map) => map.entries.iter().any(|entry| claim(&entry.origin, &entry.value)),
    }
}

/// The value without where it comes from: alike where two values mean the same.
pub(crate) fn shape(value: &Node) -> String {
    flow(value)
}

fn flow(value: &Node) -> String {
    match value {
        Node::Plain(plain) => plain.clone(),
        Node::Text(text) => quoted(text),
        Node::List(items) => {
            let items: Vec<_> = items.iter().map(|item| flow(&item.value)).collect();
            format!("[{}]", items.join(", "))
        }
        Node::Map(map) => {
            let pair = |entry: &Entry| format!("{}: {}", key_text(&entry.key), flow(&entry.value));
            let pairs: Vec<_> = map.entries.iter().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
    }
}

/// A key. `on` is one of Holdfast's own, which YAML 1.2 takes for text.
fn key_text(key: &str) -> String {
    if key == "on" { key.to_owned() } else { quoted(key) }
}

/// Words that YAML 1.1 or 1.2 take for something else than text.
const AMBIGUOUS: [&str; 10] = ["true", "false", "yes", "no", "on", "off", "null", "y", "n", "nan"];

/// Text as YAML reads it back: plain where nothing else could be meant.
fn quoted(text: &str) -> String {
    let letters = |l: char| l.is_ascii_alphanumeric() || "_./@+ :-".contains(l);
    let first = text.chars().next().unwrap_or(' ');
    let begins = match first {
        '/' => true,
        letter if letter.is_ascii_alphabetic() => {
            !AMBIGUOUS.contains(&text.to_ascii_lowercase().as_str())
        }
        // An address, with a prefix or port or without: no number has two points.
        digit if digit.is_ascii_digit() => text.matches('.').count() >= 2,
        _ => false,
    };
    let plain = begins
        && text.chars().all(letters)
        && !text.ends_with([' ', ':'])
        && !text.contains(": ")
        && !text.contains(" -");
    if plain {
        return text.to_owned();
    }
    let mut out = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            letter if letter.is_control() || !letter.is_ascii() && !letter.is_alphanumeric() => {
                // No failure is possible in a string.
                let _infallible = write!(out, "\\U{:08X}", u32::from(letter));
            }
            letter => out.push(letter),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_quoted_where_it_could_be_something_else() {
        for (given, wanted) in [
            ("eth0", "eth0"),
            ("192.0.2.10:80", "192.0.2.10:80"),
            ("tcp 192.0.2.10:80", "tcp 192.0.2.10:80"),
            ("on", "\"on\""),
            ("1234", "\"1234\""),
            ("0x1f", "\"0x1f\""),
            ("::1", "\"::1\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("a #b", "\"a #b\""),
        ] {
            assert_eq!(quoted(given), wanted);
        }
    }

    #[test]
    fn comments_stand_above_what_they_belong_to_and_the_others_at_the_top() {
        let mut inner = Map::default();
        inner.set("a", plain(1), 2..3);
        inner.set("b", plain(2), 3..4);
        let mut root = Map::default();
        root.set("x", Node::Map(inner), 1..9);
        let comments = [(0, "zero"), (2, "two"), (5, "five")]
            .map(|(id, comment)| (id, vec![comment.to_owned()]))
            .into_iter()
            .collect();
        let (text, origins) = write(&root, &comments);
        let wanted = "# zero\n# five\nx:\n  # two\n  a: 1\n  b: 2\n";
        assert_eq!(text.split_once('\n').unwrap().1, wanted);
        assert_eq!(origins.len(), text.lines().count());
        assert_eq!(origins.last(), Some(&Some(3)));
    }
}
