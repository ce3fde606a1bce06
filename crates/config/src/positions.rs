//! What the document says and where every key and value of it is, from the parser's events, and the refusal of what this configuration does
//! not use of YAML: duplicate keys, several documents, anchors and aliases, tags, keys that aren't words, deep nesting.
//!
//! No meaning is given to any key here. The stack of open collections is bounded by [`MAX_DEPTH`], so that no text makes
//! this code or the one behind it recurse deeply.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Extent};

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::path::Path;
use crate::raw::Node;
use crate::source::{Place, Source, Span, Style};
use crate::{secret, syntax};

/// Collections within collections. The deepest key, `services.NAME.real_servers.NAME.checks[0].http.expect[0]`, needs eight.
const MAX_DEPTH: usize = 16;

/// The key at the top whose places are only looked for when they are asked for: nearly all of a long file is below it.
pub(crate) const DEFERRED: &str = "services";

/// An open mapping or list.
struct Frame<'a> {
    /// Its step in the path; none for the root.
    step: Option<Step<'a>>,
    /// Its path, where its place is remembered: what is in it goes on from there.
    path: Option<Path>,
    /// Whether what is in it is never shown.
    secret: bool,
    content: Content<'a>,
}

enum Content<'a> {
    Mapping {
        entries: Vec<(Cow<'a, str>, Node<'a>)>,
        seen: Seen<'a>,
        key: Option<(Cow<'a, str>, Extent)>,
        /// The key was there before: its value is not taken in.
        again: bool,
    },
    List {
        items: Vec<Node<'a>>,
        next: usize,
    },
}

/// The keys of a mapping so far and where each was first.
#[derive(Default)]
struct Seen<'a> {
    keys: Vec<(Cow<'a, str>, Extent)>,
    /// The place in `keys` of each, once there are more than [`FEW`].
    index: BTreeMap<Cow<'a, str>, usize>,
}

/// Room for a mapping's entries and for its keys.
type Room<'a> = (Vec<(Cow<'a, str>, Node<'a>)>, Vec<(Cow<'a, str>, Extent)>);

/// So many keys are looked through one by one.
const FEW: usize = 16;

impl<'a> Seen<'a> {
    /// Takes a key in; where it was first, if it was there before.
    fn insert(&mut self, key: Cow<'a, str>, at: Extent) -> Option<Extent> {
        if self.keys.len() > FEW && self.index.is_empty() {
            let places = self.keys.iter().enumerate();
            self.index = places.map(|(place, (key, _))| (key.clone(), place)).collect();
        }
        let first = if self.index.is_empty() {
            self.keys.iter().find(|(known, _)| *known == key)
        } else {
            self.index.get(&key).and_then(|place| self.keys.get(*place))
        };
        if let Some((_, first)) = first {
            return Some(*first);
        }
        if !self.index.is_empty() {
            self.index.insert(key.clone(), self.keys.len());
        }
        self.keys.push((key, at));
        None
    }
}

enum Step<'a> {
    Key(Cow<'a, str>),
    Item(usize),
}

/// Which places are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wanted {
    /// All but those below [`DEFERRED`].
    First,
    /// Those below [`DEFERRED`].
    Deferred,
}

/// Looks at the structure of `text`, which is that of `source`, and fills in the places there, but for those below [`DEFERRED`]. Answers
/// what it says; nothing where it could not be read to the end, and a problem says why.
pub(crate) fn index<'a>(
    text: &'a str,
    source: &mut Source,
    problems: &mut Problems,
) -> Option<Node<'a>> {
    let mut indexer = Indexer::new(text, source, Wanted::First);
    let read = indexer.run();
    let Indexer { places, secrets, problems: found, root, .. } = indexer;
    problems.extend(found);
    let byte = |source: &Source, at: Marker| source.span(at.line(), at.col() + 1, 0).start;
    for extent in secrets {
        source.hide(byte(source, extent.start)..byte(source, extent.end));
    }
    source.set_places(places);
    match read {
        Ok(()) => Some(root),
        Err(problem) => {
            problems.push(*problem);
            None
        }
    }
}

/// The places below [`DEFERRED`], as far as the text can be read; what is wrong with it has been reported.
pub(crate) fn deferred(source: &Source) -> BTreeMap<Path, Place> {
    let mut indexer = Indexer::new(source.text(), source, Wanted::Deferred);
    let _reported_before = indexer.run();
    indexer.places
}

/// What is read has the lifetime of its text; the source knows where its lines are.
struct Indexer<'a, 's> {
    text: &'a str,
    source: &'s Source,
    wanted: Wanted,
    places: BTreeMap<Path, Place>,
    /// Where passwords are.
    secrets: Vec<Extent>,
    /// Whether values of keys that were met are passwords: most keys of a long file come again and again.
    judged: BTreeMap<Cow<'a, str>, bool>,
    stack: Vec<Frame<'a>>,
    /// Room that mappings have had which are closed, at most as many as were open at once: a long file has thousands of them.
    spare: Vec<Room<'a>>,
    /// What the document says, once it has been read.
    root: Node<'a>,
    documents: usize,
    problems: Vec<Problem>,
}

impl<'a, 's> Indexer<'a, 's> {
    fn new(text: &'a str, source: &'s Source, wanted: Wanted) -> Self {
        Self {
            text,
            source,
            wanted,
            places: BTreeMap::new(),
            secrets: vec![],
            judged: BTreeMap::new(),
            stack: vec![],
            spare: vec![],
            root: Node::Null,
            documents: 0,
            problems: vec![],
        }
    }

    fn run(&mut self) -> Result<(), Box<Problem>> {
        let source = self.source;
        for event in Parser::new_from_str(self.text) {
            let (event, extent) = event.map_err(|error| {
                let at = error.marker();
                Box::new(syntax::explain(source, at.line(), at.col() + 1, error.info()))
            })?;
            self.event(event, extent)?;
        }
        Ok(())
    }

    /// The first line of `extent`: a span never crosses lines.
    fn span(&self, extent: Extent) -> Span {
        let (start, end) = (extent.start, extent.end);
        let chars = if start.line() == end.line() {
            end.col().saturating_sub(start.col())
        } else {
            usize::MAX
        };
        let span = self.source.span(start.line(), start.col() + 1, chars);
        let text = self.source.text().get(span.start..span.end).unwrap_or_default();
        Span { end: span.start + text.trim_end().len(), ..span }
    }

    fn event(&mut self, event: Event<'a>, extent: Extent) -> Result<(), Box<Problem>> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(extent),
            Event::Alias(_) => Err(anchor(self.span(extent), "an alias")),
            Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _) => Err(anchor(self.span(extent), "an anchor")),
            Event::Scalar(_, _, _, Some(tag)) => Err(tagged(self.span(extent), &tag.suffix)),
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag)) => {
                Err(tagged(self.span(extent), &tag.suffix))
            }
            Event::Scalar(text, style, _, None) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted
                    | ScalarStyle::DoubleQuoted
                    | ScalarStyle::Literal
                    | ScalarStyle::Folded => Style::Quoted,
                };
                self.scalar(self.written(text, extent), style, extent)
            }
            Event::SequenceStart(_, None) => {
                self.collection(extent, Content::List { items: vec![], next: 0 })
            }
            Event::MappingStart(_, None) => {
                let (entries, keys) = self.spare.pop().unwrap_or_default();
                let seen = Seen { keys, ..Seen::default() };
                let content = Content::Mapping { entries, seen, key: None, again: false };
                self.collection(extent, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(Frame { step, content, .. }) = self.stack.pop() {
                    let node = match content {
                        Content::Mapping { mut entries, seen, .. } => {
                            #[expect(
                                clippy::drain_collect,
                                reason = "the node has no more room than it needs, and the rest is used again"
                            )]
                            let node = Node::Mapping(entries.drain(..).collect());
                            let mut keys = seen.keys;
                            keys.clear();
                            self.spare.push((entries, keys));
                            node
                        }
                        Content::List { items, .. } => Node::List(items),
                    };
                    self.put(step, node);
                }
                Ok(())
            }
        }
    }

    /// The scalar as it stands in the text, where it stands there as it reads: the parser makes a copy of every one, with room for more.
    fn written(&self, scalar: Cow<'a, str>, extent: Extent) -> Cow<'a, str> {
        if matches!(scalar, Cow::Borrowed(_)) {
            return scalar;
        }
        let start = self.source.byte(extent.start.index());
        let there = self.text.get(start..start.saturating_add(scalar.len()));
        match there.filter(|there| *there == scalar) {
            Some(there) => Cow::Borrowed(there),
            None => scalar,
        }
    }

    fn document(&mut self, extent: Extent) -> Result<(), Box<Problem>> {
        self.documents += 1;
        if self.documents < 2 {
            return Ok(());
        }
        let problem =
            Problem::new(Code::SeveralDocuments, "the file has more than one YAML document")
                .at(Spot::Span(self.span(extent)), "the second one begins here")
                .help("remove this line, or move what follows it to a file of its own");
        Err(Box::new(problem))
    }

    fn scalar(
        &mut self,
        text: Cow<'a, str>,
        style: Style,
        extent: Extent,
    ) -> Result<(), Box<Problem>> {
        if let Some(Frame {
            content: Content::Mapping { seen, key: key @ None, again, .. }, ..
        }) = self.stack.last_mut()
        {
            if text == "<<" && style == Style::Plain {
                return Err(anchor(self.span(extent), "a merge key"));
            }
            let first = seen.insert(text.clone(), extent);
            *again = first.is_some();
            *key = Some((text.clone(), extent));
            if let Some(first) = first {
                let problem =
                    Problem::new(Code::DuplicateKey, format!("key `{text}` appears twice"))
                        .at(Spot::Span(self.span(extent)), "the second one")
                        .also(Spot::Span(self.span(first)), "the first one")
                        .help(duplicate_help(&self.path(None)));
                self.problems.push(problem);
            }
            return Ok(());
        }
        let (step, key) = self.step(extent)?;
        if self.is_secret(step.as_ref()) {
            self.secrets.push(extent);
        }
        match self.wanted {
            Wanted::First => {
                self.note(step.as_ref(), key, extent, || Some((text.clone().into_owned(), style)));
                self.put(step, Node::scalar(text, style));
            }
            Wanted::Deferred => {
                self.note(step.as_ref(), key, extent, || Some((text.into_owned(), style)));
            }
        }
        Ok(())
    }

    /// Enters a collection that begins at `extent`.
    fn collection(&mut self, extent: Extent, content: Content<'a>) -> Result<(), Box<Problem>> {
        if self.stack.len() >= MAX_DEPTH {
            let problem =
                Problem::new(Code::TooDeep, format!("nested more than {MAX_DEPTH} levels deep"))
                    .at(Spot::Span(self.span(extent)), "this is one level too many");
            return Err(Box::new(problem));
        }
        let (step, key) = self.step(extent)?;
        let path = self.note(step.as_ref(), key, extent, || None);
        let secret = self.is_secret(step.as_ref());
        self.stack.push(Frame { step, path, secret, content });
        Ok(())
    }

    /// Puts a value into the innermost collection; without one it is the document.
    fn put(&mut self, step: Option<Step<'a>>, node: Node<'a>) {
        match self.stack.last_mut().map(|frame| &mut frame.content) {
            None => self.root = node,
            Some(Content::List { items, .. }) => items.push(node),
            Some(Content::Mapping { entries, again, .. }) => {
                if let (Some(Step::Key(key)), false) = (step, *again) {
                    entries.push((key, node));
                }
            }
        }
    }

    /// Whether the value at `step` of the innermost collection is never shown.
    fn is_secret(&mut self, step: Option<&Step<'a>>) -> bool {
        let within = self.stack.last().is_some_and(|frame| frame.secret);
        let Some(Step::Key(name)) = step else { return within };
        if within {
            return !secret::names_a_place(name);
        }
        if name.len() < secret::SHORTEST {
            return false;
        }
        if let Some(secret) = self.judged.get(name) {
            return *secret;
        }
        let secret = secret::is_secret_key(name) && !secret::names_a_place(name);
        self.judged.insert(name.clone(), secret);
        secret
    }

    /// Remembers the place of a value, where it is one of those that are wanted; its path then.
    fn note(
        &mut self,
        step: Option<&Step<'a>>,
        key: Option<Extent>,
        extent: Extent,
        scalar: impl FnOnce() -> Option<(String, Style)>,
    ) -> Option<Path> {
        let top = self.stack.get(1).map_or(step, |frame| frame.step.as_ref());
        let below = matches!(top, Some(Step::Key(name)) if name == DEFERRED);
        if below != (self.wanted == Wanted::Deferred) {
            return None;
        }
        let place = Place {
            key: key.map(|key| self.span(key)),
            value: self.span(extent),
            scalar: scalar(),
        };
        let path = self.path(step);
        self.places.entry(path.clone()).or_insert(place);
        Some(path)
    }

    /// The path of the innermost collection, and one step more.
    fn path(&self, last: Option<&Step<'a>>) -> Path {
        let known = |(place, frame): (usize, &Frame<'a>)| Some((place + 1, frame.path.clone()?));
        let (from, path) = self.stack.iter().enumerate().rev().find_map(known).unwrap_or_default();
        let inner = self.stack.iter().skip(from);
        let steps = inner.filter_map(|frame| frame.step.as_ref()).chain(last);
        steps.fold(path, |path, step| match step {
            Step::Key(name) => path.key(name),
            Step::Item(index) => path.item(*index),
        })
    }

    /// The step to a value that begins at `extent`, none to the root, and its key's place.
    fn step(&mut self, extent: Extent) -> Result<(Option<Step<'a>>, Option<Extent>), Box<Problem>> {
        let Some(frame) = self.stack.last_mut() else { return Ok((None, None)) };
        match &mut frame.content {
            Content::List { next, .. } => {
                let item = *next;
                *next += 1;
                Ok((Some(Step::Item(item)), None))
            }
            Content::Mapping { key, .. } => match key.take() {
                Some((name, at)) => Ok((Some(Step::Key(name)), Some(at))),
                None => {
                    let problem =
                        Problem::new(Code::KeyNotText, "a list or mapping is used as a key")
                            .at(Spot::Span(self.span(extent)), "a key has to be a word")
                            .help("text that begins with a bracket or brace needs quotes");
                    Err(Box::new(problem))
                }
            },
        }
    }
}

fn duplicate_help(parent: &Path) -> String {
    match parent.last_key() {
        Some(name) => format!("only one of them can hold in `{name}`; remove or rename the other"),
        None => "join what stands under the two into one".to_owned(),
    }
}

fn anchor(span: Span, what: &str) -> Box<Problem> {
    let problem = Problem::new(
        Code::Anchor,
        format!("{what} is not allowed in this configuration"),
    )
    .at(Spot::Span(span), "")
    .help(
        "write the value out at its place; `check` at a service holds for all of its real servers",
    );
    Box::new(problem)
}

fn tagged(span: Span, tag: &str) -> Box<Problem> {
    let problem = Problem::new(
        Code::Tag,
        format!("the YAML tag `{tag}` is not allowed in this configuration"),
    )
    .at(Spot::Span(span), "")
    .help("remove the tag; put text that looks like a number in quotes");
    Box::new(problem)
}
