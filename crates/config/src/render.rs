//! Diagnostics as a person reads them: the message, the lines with carets, the help.

use annotate_snippets::{Annotation, AnnotationKind, Group, Level, Renderer, Snippet};

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
        group = group.element(snippet(source, primary, &diagnostic.secondary));
    }
    for help in &diagnostic.help {
        group = group.element(Level::HELP.message(help.as_str()));
    }
    let renderer = if color { Renderer::styled() } else { Renderer::plain() };
    renderer.term_width(WIDTH).render(&[group])
}

/// The lines from the first label to the last. Only they are handed on: drawing reads all that it is given.
fn snippet<'a>(
    source: &'a Source,
    primary: &'a Label,
    secondary: &'a [Label],
) -> Snippet<'a, Annotation<'a>> {
    let lines = secondary.iter().chain([primary]).map(|label| label.span.line);
    let first = lines.clone().min().unwrap_or(1);
    let last = lines.max().unwrap_or(first);
    let start = source.line_start(first);
    let end = source.line_start(last) + source.line(last).len();
    let annotation = |kind: AnnotationKind, label: &'a Label| {
        let range = label.span.start - start..label.span.end - start;
        let annotation = kind.span(range);
        if label.text.is_empty() { annotation } else { annotation.label(label.text.as_str()) }
    };
    Snippet::source(source.text().get(start..end).unwrap_or_default())
        .line_start(first)
        .path(source.file())
        .annotation(annotation(AnnotationKind::Primary, primary))
        .annotations(secondary.iter().map(|label| annotation(AnnotationKind::Context, label)))
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
