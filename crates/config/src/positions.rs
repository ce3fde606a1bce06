//! Where every key and value of the document is, from the parser's events, and the refusal of what this configuration does
//! not use of YAML: duplicate keys, several documents, anchors and aliases, tags, keys that aren't words, deep nesting.
//!
//! No meaning is given to any key here. The stack of open collections is bounded by [`MAX_DEPTH`], so that no text makes
//! this code or the one behind it recurse deeply.

use std::collections::BTreeMap;
use std::ops::Range;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Span as Extent};

use crate::code::Code;
use crate::diagnostic::{Problem, Problems, Spot};
use crate::path::Path;
use crate::source::{Place, Source, Span, Style};
use crate::{secret, syntax};

/// Collections within collections. The deepest key, `services.NAME.real_servers.NAME.checks[0].http.expect[0]`, needs eight.
const MAX_DEPTH: usize = 16;

/// An open mapping or list.
enum Frame {
    Mapping { path: Path, seen: BTreeMap<String, Span>, key: Option<(String, Span)> },
    List { path: Path, next: usize },
}

/// Fills in the places of `source`. Answers whether its structure could be read to the end; when not, a problem says why.
pub(crate) fn index(source: &mut Source, problems: &mut Problems) -> bool {
    let mut indexer = Indexer {
        source,
        places: BTreeMap::new(),
        secrets: vec![],
        last: None,
        stack: vec![],
        documents: 0,
        problems,
    };
    let read = indexer.run();
    let Indexer { places, secrets, .. } = indexer;
    secrets.into_iter().for_each(|secret| source.hide(secret));
    for (path, place) in places {
        source.insert(path, place);
    }
    match read {
        Ok(()) => true,
        Err(problem) => {
            problems.push(*problem);
            false
        }
    }
}

struct Indexer<'a> {
    source: &'a Source,
    places: BTreeMap<Path, Place>,
    /// Where passwords are.
    secrets: Vec<Range<usize>>,
    /// The path of the last event when that was a scalar that is a value.
    last: Option<Path>,
    stack: Vec<Frame>,
    documents: usize,
    problems: &'a mut Problems,
}

impl Indexer<'_> {
    fn run(&mut self) -> Result<(), Box<Problem>> {
        let source = self.source;
        for event in Parser::new_from_str(source.text()) {
            let (event, extent) = event.map_err(|error| {
                let at = error.marker();
                Box::new(syntax::explain(source, at.line(), at.col() + 1, error.info()))
            })?;
            let span = self.span(extent);
            self.last = None;
            self.event(event, span)?;
            self.secret(extent);
        }
        Ok(())
    }

    /// Notes the scalar at `extent`, which was the last, where it may be a password.
    fn secret(&mut self, extent: Extent) {
        if self.last.as_ref().is_some_and(secret::is_secret) {
            let byte = |at: Marker| self.source.span(at.line(), at.col() + 1, 0).start;
            self.secrets.push(byte(extent.start)..byte(extent.end));
        }
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

    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Box<Problem>> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => self.document(span),
            Event::Alias(_) => Err(anchor(span, "an alias")),
            Event::Scalar(_, _, 1.., _)
            | Event::SequenceStart(1.., _)
            | Event::MappingStart(1.., _) => Err(anchor(span, "an anchor")),
            Event::Scalar(_, _, _, Some(tag)) => Err(tagged(span, &tag.suffix)),
            Event::SequenceStart(_, Some(tag)) | Event::MappingStart(_, Some(tag)) => {
                Err(tagged(span, &tag.suffix))
            }
            Event::Scalar(text, style, _, None) => {
                let style = match style {
                    ScalarStyle::Plain => Style::Plain,
                    ScalarStyle::SingleQuoted
                    | ScalarStyle::DoubleQuoted
                    | ScalarStyle::Literal
                    | ScalarStyle::Folded => Style::Quoted,
                };
                self.scalar(text.into_owned(), style, span)
            }
            Event::SequenceStart(_, None) => {
                let path = self.collection(span)?;
                self.stack.push(Frame::List { path, next: 0 });
                Ok(())
            }
            Event::MappingStart(_, None) => {
                let path = self.collection(span)?;
                self.stack.push(Frame::Mapping { path, seen: BTreeMap::new(), key: None });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.stack.pop();
                Ok(())
            }
        }
    }

    fn document(&mut self, span: Span) -> Result<(), Box<Problem>> {
        self.documents += 1;
        if self.documents < 2 {
            return Ok(());
        }
        let problem =
            Problem::new(Code::SeveralDocuments, "the file has more than one YAML document")
                .at(Spot::Span(span), "the second one begins here")
                .help("remove this line, or move what follows it to a file of its own");
        Err(Box::new(problem))
    }

    fn scalar(&mut self, text: String, style: Style, span: Span) -> Result<(), Box<Problem>> {
        if let Some(Frame::Mapping { path, seen, key: key @ None }) = self.stack.last_mut() {
            if text == "<<" && style == Style::Plain {
                return Err(anchor(span, "a merge key"));
            }
            if let Some(first) = seen.insert(text.clone(), span) {
                let problem =
                    Problem::new(Code::DuplicateKey, format!("key `{text}` appears twice"))
                        .at(Spot::Span(span), "the second one")
                        .also(Spot::Span(first), "the first one")
                        .help(duplicate_help(path));
                self.problems.push(problem);
            }
            *key = Some((text, span));
            return Ok(());
        }
        let (path, key) = self.place(span)?;
        self.last = Some(path.clone());
        let place = Place { key, value: span, scalar: Some((text, style)) };
        self.places.entry(path).or_insert(place);
        Ok(())
    }

    /// Enters a collection that begins at `span` and answers its path.
    fn collection(&mut self, span: Span) -> Result<Path, Box<Problem>> {
        if self.stack.len() >= MAX_DEPTH {
            let problem =
                Problem::new(Code::TooDeep, format!("nested more than {MAX_DEPTH} levels deep"))
                    .at(Spot::Span(span), "this is one level too many");
            return Err(Box::new(problem));
        }
        let (path, key) = self.place(span)?;
        let place = Place { key, value: span, scalar: None };
        self.places.entry(path.clone()).or_insert(place);
        Ok(path)
    }

    /// The path of a value that begins at `span`, and its key's place.
    fn place(&mut self, span: Span) -> Result<(Path, Option<Span>), Box<Problem>> {
        match self.stack.last_mut() {
            None => Ok((Path::default(), None)),
            Some(Frame::List { path, next }) => {
                let item = path.item(*next);
                *next += 1;
                Ok((item, None))
            }
            Some(Frame::Mapping { path, key, .. }) => match key.take() {
                Some((name, at)) => Ok((path.key(&name), Some(at))),
                None => {
                    let problem =
                        Problem::new(Code::KeyNotText, "a list or mapping is used as a key")
                            .at(Spot::Span(span), "a key has to be a word")
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
