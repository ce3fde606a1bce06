//! Reading the raw tree value by value: each function takes what the value must be, and reports what it is not.
//!
//! A value that is wrong is left out and reading goes on, so that all problems are found at once.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::model::Name;
use crate::path::Path;
use crate::raw::Node;
use crate::source::{Source, Style};
use crate::text::{self, Fault};
use crate::{reference, suggest};

/// A value and its path.
#[derive(Clone, Debug)]
pub(crate) struct Cursor<'a> {
    pub(crate) node: &'a Node<'a>,
    pub(crate) path: Path,
}

/// The items of a list that could be read, each with its place in it.
pub(crate) type Items<T> = Vec<(usize, T)>;

/// A mapping's values by key.
#[derive(Clone, Debug)]
pub(crate) struct Fields<'a> {
    entries: &'a [(Cow<'a, str>, Node<'a>)],
    pub(crate) path: Path,
}

impl<'a> Fields<'a> {
    /// The value of `key`.
    pub(crate) fn get(&self, key: &str) -> Option<Cursor<'a>> {
        let (_, node) = self.entries.iter().find(|(name, _)| *name == key)?;
        Some(Cursor { node, path: self.path.key(key) })
    }

    /// One of the entries with its path.
    pub(crate) fn cursor(&self, key: &str, node: &'a Node<'a>) -> Cursor<'a> {
        Cursor { node, path: self.path.key(key) }
    }

    /// A mapping without entries at `path`.
    pub(crate) const fn none(path: Path) -> Self {
        Self { entries: &[], path }
    }
}

/// The document's text, and the problems found in it so far.
pub(crate) struct Reader<'a> {
    pub(crate) source: &'a Source,
    pub(crate) problems: Problems,
    /// The keys that mistyped ones probably stand for, with the mapping that has them: they are not missing as well.
    meant: BTreeSet<(Path, &'static str)>,
    /// The names so far: servers of different services are mostly called alike, and share the text.
    names: BTreeMap<&'a str, Name>,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(source: &'a Source, problems: Problems) -> Self {
        Self { source, problems, meant: BTreeSet::new(), names: BTreeMap::new() }
    }

    /// Reports a fault of the value at `path`.
    pub(crate) fn fault(&mut self, path: &Path, fault: Fault) {
        self.problems.push(fault.problem(Spot::Value(path.clone())));
    }

    /// The mapping at `cursor`, whose keys are those that the reference has at `pattern`. Nothing at all is an empty
    /// mapping: `services:` with all its entries commented out.
    pub(crate) fn fields(&mut self, cursor: &Cursor<'a>, pattern: &str) -> Option<Fields<'a>> {
        let fields = self.mapping(cursor)?;
        for (key, _) in fields.entries {
            if !reference::children(pattern).any(|known| known == *key) {
                self.unknown_key(&fields.path.key(key), pattern, key);
            }
        }
        Some(fields)
    }

    /// The mapping at `cursor`, whatever its keys are.
    pub(crate) fn mapping(&mut self, cursor: &Cursor<'a>) -> Option<Fields<'a>> {
        let path = cursor.path.clone();
        match cursor.node {
            Node::Mapping(entries) => Some(Fields { entries, path }),
            Node::Null => Some(Fields::none(path)),
            Node::Bool(_) | Node::Integer(_) | Node::Float | Node::Text(_) | Node::List(_) => {
                self.wrong_type(cursor, "a mapping", None);
                None
            }
        }
    }

    fn unknown_key(&mut self, path: &Path, pattern: &str, key: &str) {
        let mut problem = Problem::new(Code::UnknownKey, format!("unknown key `{key}`"));
        let label = match reference::meant(pattern, key) {
            Some(meant) => {
                self.meant.extend(path.parent().map(|parent| (parent, meant)));
                format!("did you mean `{meant}`?")
            }
            None => "no such key here".to_owned(),
        };
        problem = problem.at(Spot::Key(path.clone()), label);
        let keys = suggest::list(reference::children(pattern));
        problem = problem.help(match path.parent().filter(|parent| *parent != Path::default()) {
            Some(parent) => format!("the keys of `{parent}` are {keys}"),
            None => format!("the keys at the top are {keys}"),
        });
        if let Some(elsewhere) = reference::parent_of(key) {
            let place = if elsewhere.is_empty() { "the top" } else { elsewhere };
            problem = problem.help(format!("`{key}` is a key of `{place}`: check the indentation"));
        }
        self.problems.push(problem);
    }

    /// The entries of a mapping with keys of the user's choice, at most `limit`.
    pub(crate) fn entries(
        &mut self,
        cursor: &Cursor<'a>,
        limit: usize,
    ) -> Vec<(&'a str, Cursor<'a>)> {
        let Some(fields) = self.mapping(cursor) else { return vec![] };
        self.limit(&cursor.path, fields.entries.len(), limit);
        let entries = fields.entries.iter().take(limit);
        entries
            .map(|(key, node)| (key.as_ref(), Cursor { node, path: fields.path.key(key) }))
            .collect()
    }

    /// The same with names for keys; `what` is what they name.
    pub(crate) fn named(
        &mut self,
        cursor: &Cursor<'a>,
        what: &str,
        limit: usize,
    ) -> Vec<(Name, Cursor<'a>)> {
        let Some(fields) = self.mapping(cursor) else { return vec![] };
        let named = self.names_of(&fields, what, limit).into_iter();
        named.map(|(name, key, node)| (name, fields.cursor(key, node))).collect()
    }

    /// The entries of `fields`, which is a mapping with names for keys, at most `limit`: the name, the key and the value of each. There
    /// may be many, and whoever needs the path of one makes it ([`Fields::cursor`]).
    pub(crate) fn names_of(
        &mut self,
        fields: &Fields<'a>,
        what: &str,
        limit: usize,
    ) -> Vec<(Name, &'a str, &'a Node<'a>)> {
        self.limit(&fields.path, fields.entries.len(), limit);
        let mut named = Vec::with_capacity(fields.entries.len().min(limit));
        for (key, node) in fields.entries.iter().take(limit) {
            if let Some(name) = self.names.get(key.as_ref()) {
                named.push((name.clone(), key.as_ref(), node));
                continue;
            }
            match Name::try_from(key.as_ref().to_owned()) {
                Ok(name) => {
                    self.names.insert(key, name.clone());
                    named.push((name, key, node));
                }
                Err(_) => {
                    let problem = Problem::new(Code::BadName, format!("{key:?} can't be the name of {what}"))
                        .at(Spot::Key(fields.path.key(key)), "")
                        .help("a name has 1 to 63 letters, digits, `-`, `_` or `.`, and begins with a letter or digit");
                    self.problems.push(problem);
                }
            }
        }
        named
    }

    /// The items of the list at `cursor`, at most `limit`.
    pub(crate) fn list(&mut self, cursor: &Cursor<'a>, limit: usize) -> Option<Vec<Cursor<'a>>> {
        let Node::List(items) = cursor.node else {
            self.wrong_type(
                cursor,
                "a list",
                Some("write `[a, b]`, or each item on a line of its own after `- `"),
            );
            return None;
        };
        self.limit(&cursor.path, items.len(), limit);
        let item = |(index, node)| Cursor { node, path: cursor.path.item(index) };
        Some(items.iter().take(limit).enumerate().map(item).collect())
    }

    /// The items of a list, or the one value that stands for a list of one.
    pub(crate) fn one_or_list(&mut self, cursor: &Cursor<'a>, limit: usize) -> Vec<Cursor<'a>> {
        match cursor.node {
            Node::List(_) => self.list(cursor, limit).unwrap_or_default(),
            Node::Null => {
                self.wrong_type(cursor, "a value", None);
                vec![]
            }
            Node::Bool(_) | Node::Integer(_) | Node::Float | Node::Text(_) | Node::Mapping(_) => {
                vec![cursor.clone()]
            }
        }
    }

    fn limit(&mut self, path: &Path, count: usize, limit: usize) {
        if count > limit {
            let message = format!("`{path}` has {count} entries; the limit is {limit}");
            self.problems
                .push(Problem::new(Code::TooMany, message).at(Spot::Key(path.clone()), ""));
        }
    }

    /// The text at `cursor`.
    pub(crate) fn text(&mut self, cursor: &Cursor<'a>) -> Option<&'a str> {
        match cursor.node {
            Node::Text(text) => Some(text),
            Node::Bool(_) | Node::Integer(_) | Node::Float => {
                self.wrong_type(cursor, "text", Some("put it in quotes"));
                None
            }
            Node::Null | Node::List(_) | Node::Mapping(_) => {
                self.wrong_type(cursor, "text", None);
                None
            }
        }
    }

    /// One of a few words and what it stands for.
    pub(crate) fn word<T: Copy>(&mut self, cursor: &Cursor<'a>, words: &[(&str, T)]) -> Option<T> {
        let text = self.text(cursor)?;
        if let Some((_, value)) = words.iter().find(|(word, _)| *word == text) {
            return Some(*value);
        }
        let known = words.iter().map(|(word, _)| *word);
        let key = cursor.path.last_key().unwrap_or_default();
        let label = suggest::nearest(text, known.clone())
            .map_or_else(String::new, |word| format!("did you mean `{word}`?"));
        let problem = Problem::new(Code::UnknownWord, format!("`{key}` can't be `{text}`"))
            .at(Spot::Value(cursor.path.clone()), label)
            .help(format!("known: {}", suggest::list(known)));
        self.problems.push(problem);
        None
    }

    /// True or false.
    pub(crate) fn boolean(&mut self, cursor: &Cursor<'a>) -> Option<bool> {
        let Node::Bool(value) = cursor.node else {
            match self.plain(cursor).map(str::to_ascii_lowercase).as_deref() {
                Some("yes" | "on" | "y") => self.yaml11(cursor, "true"),
                Some("no" | "off" | "n") => self.yaml11(cursor, "false"),
                Some(_) | None => self.wrong_type(cursor, "true or false", None),
            }
            return None;
        };
        Some(*value)
    }

    /// A whole number within `range`; `why` is what sets the range.
    pub(crate) fn integer<T: TryFrom<i64>>(
        &mut self,
        cursor: &Cursor<'a>,
        range: RangeInclusive<u32>,
        why: &str,
    ) -> Option<T> {
        let value = match cursor.node {
            Node::Integer(value) => *value,
            Node::Float => {
                // A whole number may be too long for an `i64`.
                match self.plain(cursor).filter(|text| is_whole(text)) {
                    Some(text) => self.out_of_range(cursor, &range, text, why),
                    None => self.not_an_integer(cursor),
                }
                return None;
            }
            Node::Null | Node::Bool(_) | Node::Text(_) | Node::List(_) | Node::Mapping(_) => {
                self.not_an_integer(cursor);
                return None;
            }
        };
        let allowed = i64::from(*range.start())..=i64::from(*range.end());
        let fits = T::try_from(value).ok().filter(|_| allowed.contains(&value));
        if fits.is_none() {
            self.out_of_range(cursor, &range, &value.to_string(), why);
        }
        fits
    }

    fn out_of_range(
        &mut self,
        cursor: &Cursor<'a>,
        range: &RangeInclusive<u32>,
        got: &str,
        why: &str,
    ) {
        let (key, start, end) =
            (cursor.path.last_key().unwrap_or_default(), range.start(), range.end());
        let to = if *end == start + 1 { "or" } else { "to" };
        let message = format!("`{key}` must be {start} {to} {end}, got {got}");
        let problem =
            Problem::new(Code::OutOfRange, message).at(Spot::Value(cursor.path.clone()), why);
        self.problems.push(problem);
    }

    fn not_an_integer(&mut self, cursor: &Cursor<'a>) {
        let digits = |text: &str| !text.is_empty() && text.chars().all(|c| c.is_ascii_digit());
        let Node::Text(text) = cursor.node else {
            let whole = "write it without a point or an exponent";
            let help = (*cursor.node == Node::Float).then_some(whole);
            self.wrong_type(cursor, "a whole number", help);
            return;
        };
        if self.plain(cursor).is_some() && digits(text) {
            let decimal = text.trim_start_matches('0');
            self.yaml11(cursor, if decimal.is_empty() { "0" } else { decimal });
        } else if self.plain(cursor).is_some_and(|text| text.split(':').all(digits)) {
            self.yaml11(cursor, "a decimal number");
        } else if digits(text) {
            self.wrong_type(cursor, "a whole number", Some("remove the quotes"));
        } else {
            self.wrong_type(cursor, "a whole number", None);
        }
    }

    /// A duration within `range`.
    pub(crate) fn duration(
        &mut self,
        cursor: &Cursor<'a>,
        range: (Duration, Duration),
    ) -> Option<Duration> {
        let key = cursor.path.last_key().unwrap_or_default();
        let read = match cursor.node {
            Node::Integer(number) => Err(text::unitless(key, *number)),
            Node::Text(text) => text::duration(key, text),
            Node::Float => Err(Fault {
                code: Code::BadDuration,
                message: format!("`{key}` needs a whole number and a unit"),
                label: String::new(),
                help: vec!["write for instance `1500ms`".to_owned()],
            }),
            Node::Null | Node::Bool(_) | Node::List(_) | Node::Mapping(_) => {
                self.wrong_type(cursor, "a duration such as `2s`", None);
                return None;
            }
        };
        let read = read.and_then(|value| {
            if value < range.0 || value > range.1 {
                Err(text::far(key, value, range))
            } else {
                Ok(value)
            }
        });
        match read {
            Ok(value) => Some(value),
            Err(fault) => {
                self.fault(&cursor.path, fault);
                None
            }
        }
    }

    /// Reports that `key` is required in `fields`, unless a mistyped one stands for it.
    pub(crate) fn missing(&mut self, fields: &Path, key: &'static str, help: &str) {
        if self.meant.contains(&(fields.clone(), key)) {
            return;
        }
        let message = format!("`{fields}` has no `{key}`");
        let problem = Problem::new(Code::MissingKey, message)
            .at(Spot::Key(fields.clone()), format!("`{key}` is required here"))
            .help(help);
        self.problems.push(problem);
    }

    /// Reports that the value is not `wanted`.
    pub(crate) fn wrong_type(&mut self, cursor: &Cursor<'_>, wanted: &str, help: Option<&str>) {
        let subject = if cursor.path == Path::default() {
            "the configuration".to_owned()
        } else {
            format!("`{}`", cursor.path)
        };
        let (message, label) = match cursor.node {
            Node::Null => (format!("{subject} has no value"), format!("{wanted} is needed")),
            Node::Bool(_)
            | Node::Integer(_)
            | Node::Float
            | Node::Text(_)
            | Node::List(_)
            | Node::Mapping(_) => {
                (format!("{subject} must be {wanted}, not {}", cursor.node.noun()), String::new())
            }
        };
        let mut problem =
            Problem::new(Code::WrongType, message).at(Spot::Value(cursor.path.clone()), label);
        if let Some(help) = help {
            problem = problem.help(help);
        }
        self.problems.push(problem);
    }

    fn yaml11(&mut self, cursor: &Cursor<'_>, meant: &str) {
        let text = self.plain(cursor).unwrap_or_default();
        let message = format!("`{text}` means one thing to YAML 1.1 and another to YAML 1.2");
        let problem = Problem::new(Code::Yaml11, message)
            .at(Spot::Value(cursor.path.clone()), format!("write {meant}"));
        self.problems.push(problem);
    }

    /// The scalar at `cursor` as it is written, when it has no quotes.
    fn plain(&self, cursor: &Cursor<'_>) -> Option<&'a str> {
        match self.source.place(&cursor.path)?.scalar.as_ref()? {
            (text, Style::Plain) => Some(text),
            (_, Style::Quoted) => None,
        }
    }
}

/// Whether a number is written as a whole one, in any of YAML's bases.
fn is_whole(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let based = [("0x", 16), ("0o", 8), ("", 10)];
    let all = |(prefix, base): (&str, u32)| {
        let digits = unsigned.strip_prefix(prefix).filter(|digits| !digits.is_empty());
        digits.is_some_and(|digits| digits.chars().all(|c| c.is_digit(base)))
    };
    based.into_iter().any(all)
}
