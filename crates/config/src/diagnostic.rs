//! A problem of a configuration: what the rules report ([`Problem`], by path) and what the user sees ([`Diagnostic`], by
//! place in the text).

use std::collections::BTreeSet;

use serde::Serialize;
use serde::ser::{SerializeStruct, Serializer};

use crate::code::{Code, Severity};
use crate::path::Path;
use crate::source::{Shift, Source, Span};

/// A marked place of the text and what to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Label {
    /// The place.
    pub span: Span,
    /// What is there; may be empty.
    pub text: String,
    /// The file, where it is another than the diagnostic's.
    pub file: Option<String>,
}

/// One problem of a configuration.
///
/// Serialised, it is an object with `code`, `severity`, `message`, `file`, `line`, `column`, `path`, `labels` and `help`;
/// what is not known is null.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What is wrong.
    pub code: Code,
    /// Whether it refuses the configuration.
    pub severity: Severity,
    /// What is wrong with which object, as a sentence without a full stop.
    pub message: String,
    /// The file, as its name was given; none for what was not read from one (`holdfast server add`).
    pub file: Option<String>,
    /// The key at fault: `services.web.listen[0]`.
    pub path: Option<String>,
    /// The place at fault.
    pub primary: Option<Label>,
    /// Other places that explain it.
    pub secondary: Vec<Label>,
    /// What to do, each a sentence.
    pub help: Vec<String>,
}

impl Serialize for Diagnostic {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Place<'a> {
            line: usize,
            column: usize,
            text: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            file: Option<&'a str>,
        }
        let places: Vec<_> = self
            .primary
            .iter()
            .chain(&self.secondary)
            .map(|label| Place {
                line: label.span.line,
                column: label.span.column,
                text: &label.text,
                file: label.file.as_deref(),
            })
            .collect();
        let mut object = serializer.serialize_struct("Diagnostic", 9)?;
        object.serialize_field("code", &self.code)?;
        object.serialize_field("severity", &self.severity)?;
        object.serialize_field("message", &self.message)?;
        object.serialize_field("file", &self.file)?;
        object.serialize_field("line", &self.primary.as_ref().map(|label| label.span.line))?;
        object.serialize_field("column", &self.primary.as_ref().map(|label| label.span.column))?;
        object.serialize_field("path", &self.path)?;
        object.serialize_field("labels", &places)?;
        object.serialize_field("help", &self.help)?;
        object.end()
    }
}

/// Where a problem is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    /// A value, or its nearest ancestor that the text has.
    Value(Path),
    /// A key, likewise.
    Key(Path),
    /// A place that has no path.
    Span(Span),
}

impl Spot {
    fn span(&self, source: &Source) -> Option<Span> {
        match self {
            Self::Value(path) => source.value(path),
            Self::Key(path) => source.key(path),
            Self::Span(span) => Some(*span),
        }
    }

    fn path(&self) -> Option<&Path> {
        match self {
            Self::Value(path) | Self::Key(path) => Some(path),
            Self::Span(_) => None,
        }
    }
}

/// A problem as a rule states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    code: Code,
    message: String,
    primary: Option<(Spot, String)>,
    secondary: Vec<(Spot, String)>,
    help: Vec<String>,
}

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let message = printable(message.into());
        Self { code, message, primary: None, secondary: vec![], help: vec![] }
    }

    /// Puts it at `spot`, with a label.
    pub(crate) fn at(mut self, spot: Spot, label: impl Into<String>) -> Self {
        self.primary = Some((spot, printable(label.into())));
        self
    }

    /// Names another place that explains it.
    pub(crate) fn also(mut self, spot: Spot, label: impl Into<String>) -> Self {
        self.secondary.push((spot, printable(label.into())));
        self
    }

    /// Says what to do.
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(printable(help.into()));
        self
    }

    /// With its places in a text that has so much before it.
    pub(crate) fn moved(mut self, by: Shift) -> Self {
        let spots = self.primary.iter_mut().chain(&mut self.secondary);
        for (spot, _) in spots {
            if let Spot::Span(span) = spot {
                *span = span.moved(by);
            }
        }
        self
    }

    /// Without a text to point into.
    pub(crate) fn bare(self) -> Diagnostic {
        Diagnostic {
            code: self.code,
            severity: self.code.severity(),
            message: self.message,
            file: None,
            path: None,
            primary: None,
            secondary: vec![],
            help: self.help,
        }
    }

    /// With its places in `source`.
    pub(crate) fn locate(self, source: &Source) -> Diagnostic {
        let place = |(spot, _): &(Spot, String)| spot.span(source).map(|span| source.local(span));
        let file = self.primary.as_ref().and_then(place);
        let file = file.map_or_else(|| source.file(), |(file, _)| file);
        let label = |one: &(Spot, String)| {
            let (of, span) = place(one)?;
            let elsewhere = (of != file).then(|| of.to_owned());
            Some(Label { span, text: one.1.clone(), file: elsewhere })
        };
        let primary = self.primary.as_ref().and_then(label);
        let secondary = self.secondary.iter().filter_map(label).collect();
        let path = self.primary.as_ref().and_then(|(spot, _)| spot.path()).map(Path::to_string);
        Diagnostic {
            file: Some(file.to_owned()),
            path: path.filter(|path| !path.is_empty()),
            primary,
            secondary,
            ..self.bare()
        }
    }
}

/// The longest sentence of a diagnostic in characters. Values are quoted in them, and a value may be as long as the file.
const SENTENCE_MAX: usize = 600;

/// `text` cut to [`SENTENCE_MAX`], with control characters escaped: a value can't draw on a terminal or forge a log's line.
fn printable(text: String) -> String {
    if text.len() <= SENTENCE_MAX && !text.contains(char::is_control) {
        return text;
    }
    let mut clean: String = text
        .chars()
        .take(SENTENCE_MAX)
        .flat_map(|c| {
            let escaped = c.is_control().then(|| c.escape_default());
            let kept = escaped.is_none().then_some(c);
            escaped.into_iter().flatten().chain(kept)
        })
        .collect();
    if text.chars().count() > SENTENCE_MAX {
        clean.push('…');
    }
    clean
}

/// The problems found so far.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    list: Vec<Problem>,
    left_out: usize,
}

impl Problems {
    /// Beyond this many, problems are counted and not kept. Nobody reads more, and a hostile file can't fill the memory.
    pub(crate) const LIMIT: usize = 1000;

    pub(crate) fn push(&mut self, problem: Problem) {
        if self.list.len() < Self::LIMIT {
            self.list.push(problem);
        } else {
            self.left_out += 1;
        }
    }

    /// Takes in what was found in a text that has so much before it now.
    pub(crate) fn absorb(&mut self, other: Self, by: Shift) {
        self.extend(other.list.into_iter().map(|problem| problem.moved(by)));
        self.left_out += other.left_out;
    }

    pub(crate) fn extend(&mut self, problems: impl IntoIterator<Item = Problem>) {
        problems.into_iter().for_each(|problem| self.push(problem));
    }

    /// In the order of the text, none twice: a key that holds for several nodes is read for each of them.
    pub(crate) fn locate(self, source: &Source) -> Vec<Diagnostic> {
        let mut seen = BTreeSet::new();
        let mut list: Vec<_> = self
            .list
            .into_iter()
            .map(|problem| problem.locate(source))
            .filter(|found| {
                let start = found.primary.as_ref().map(|label| label.span.start);
                seen.insert((found.code, start, found.message.clone()))
            })
            .collect();
        list.sort_by_key(|found| found.primary.as_ref().map(|label| label.span.start));
        if self.left_out > 0 {
            let rest = format!("{} problems more are not shown", self.left_out);
            list.push(Problem::new(Code::TooMany, rest).locate(source));
        }
        list
    }
}
