//! Diagnostics as a person reads them: the message, the lines with carets, the help.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use crate::code::Severity;
use crate::diagnostic::{Diagnostic, Label};
use crate::source::Source;

/// The width to which long lines are cut around the marked place. Fixed, so that a report is the same everywhere.
const WIDTH: usize = 140;

/// Draws `diagnostics` over the text of `source`, with ANSI colours when `color` is set; ends with a line that counts them.
pub fn render(source: &Source, diagnostics: &[Diagnostic], color: bool) -> String {
    let mut report = String::new();
    for diagnostic in diagnostics {
        report.push_str(&render_one(Some(source), diagnostic, color));
        report.push_str("\n\n");
    }
    if let Some(summary) = summary(diagnostics) {
        report.push_str(&format!("{}: {summary}\n", source.file()));
    }
    report
}

/// `2 errors, 1 warning`; none when there is nothing to count.
pub fn summary(diagnostics: &[Diagnostic]) -> Option<String> {
    let count = |severity| diagnostics.iter().filter(|found| found.severity == severity).count();
    let counted = |count: usize, noun: &str| match count {
        0 => None,
        1 => Some(format!("1 {noun}")),
        _ => Some(format!("{count} {noun}s")),
    };
    let parts: Vec<_> =
        [counted(count(Severity::Error), "error"), counted(count(Severity::Warning), "warning")]
            .into_iter()
            .flatten()
            .collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}

pub(crate) fn render_one(source: Option<&Source>, diagnostic: &Diagnostic, color: bool) -> String {
    let level = match diagnostic.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(diagnostic.message.as_str()).id(diagnostic.code.as_str());
    let mut group = Group::with_title(title);
    if let (Some(source), Some(primary)) = (source, &diagnostic.primary) {
        group = frame(group, source, primary, &diagnostic.secondary);
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(WIDTH).render(&[group])
}

/// The most text that a frame is drawn over, in bytes: drawing reads all of it, and a file may be one line.
const WINDOW_MAX: usize = 64 << 10;

/// The labels over one stretch of lines where that is short enough, else each over its own.
fn frame<'a>(
    group: Group<'a>,
    source: &'a Source,
    primary: &'a Label,
    secondary: &'a [Label],
) -> Group<'a> {
    let all: Vec<_> = std::iter::once((AnnotationKind::Primary, primary))
        .chain(secondary.iter().map(|label| (AnnotationKind::Context, label)))
        .collect();
    if let Some(snippet) = snippet(source, &all) {
        return group.element(snippet);
    }
    all.iter().fold(group, |group, one| match snippet(source, std::slice::from_ref(one)) {
        Some(snippet) => group.element(snippet),
        None => {
            let span = one.1.span;
            let (file, _) = source.part_at(span.start);
            group.element(Origin::path(file).line(span.line).char_column(span.column))
        }
    })
}

/// The lines from the first label to the last; none when they are too much text, or of several files.
fn snippet<'a>(
    source: &'a Source,
    labels: &[(AnnotationKind, &'a Label)],
) -> Option<Snippet<'a, Annotation<'a>>> {
    let (file, before) = source.part_at(labels.first()?.1.span.start);
    if labels.iter().any(|(_, label)| source.part_at(label.span.start).1 != before) {
        return None;
    }
    let lines = labels.iter().map(|(_, label)| label.span.line);
    let first = lines.clone().min()?;
    let last = lines.max()? + before.lines;
    let start = source.line_start(first + before.lines);
    let end = source.line_start(last) + source.line(last).len();
    let text = source.shown(start, end).filter(|text| text.len() <= WINDOW_MAX)?;
    let annotations = labels.iter().map(|(kind, label)| {
        let annotation = kind.span(label.span.start - start..label.span.end - start);
        if label.text.is_empty() { annotation } else { annotation.label(label.text.as_str()) }
    });
    let snippet = Snippet::source(text).line_start(first).path(file);
    Some(snippet.annotations(annotations))
}

impl Diagnostic {
    /// The message, the code and the help without a code frame: for what was not read from a file, and for logs.
    pub fn render_plain(&self) -> String {
        render_one(None, self, false)
    }
}

impl std::fmt::Display for Diagnostic {
    /// One line: `hf.yaml:3:5: error[HF0201]: unknown key …; help`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(file) = &self.file {
            write!(f, "{file}:")?;
            if let Some(primary) = &self.primary {
                write!(f, "{}:{}:", primary.span.line, primary.span.column)?;
            }
            f.write_str(" ")?;
        }
        write!(f, "{}[{}]: {}", self.severity, self.code, self.message)?;
        for help in &self.help {
            write!(f, "; {help}")?;
        }
        Ok(())
    }
}
