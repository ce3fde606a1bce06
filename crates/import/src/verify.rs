//! What is handed out is a configuration that Holdfast takes: it is read by the same code, and what that finds is told of the statement that
//! it comes from.

use holdfast_config::{Environment, Severity, parse};

use crate::Options;
use crate::ledger::{Id, Ledger};

/// Reads the converted text. Errors are problems of the source, warnings notes in the report.
pub(crate) fn verify(text: &str, origins: &[Option<Id>], options: &Options, ledger: &mut Ledger) {
    let outcome = parse("converted", text, &Environment::new(options.id.clone()));
    for found in outcome.diagnostics {
        let line = found.primary.as_ref().map_or(1, |label| label.span.line);
        let id = line.checked_sub(1).and_then(|line| origins.get(line).copied().flatten());
        let id = id.unwrap_or_default();
        let message = format!("{}: {}", found.code, found.message);
        if found.severity == Severity::Error {
            let message = format!("Holdfast refuses what this is converted to: {message}");
            let help = found.help.join("; ");
            let column = ledger.place(id).column;
            ledger.wrong(id, column, message, help);
        } else {
            ledger.note(id, format!("`holdfast check` warns: {message}"));
        }
    }
    if outcome.config.is_none() && ledger.is_sound() {
        let place = ledger.place(0);
        ledger.problem(place, "Holdfast refuses what this is converted to", "report this");
    }
}
