//! `holdfast check` and `holdfast explain`: what is wrong with a configuration, and what its keys and codes mean.

use std::io::{self, IsTerminal, Write};

use holdfast_config::summary;
use holdfast_control::chain;

use crate::args::{self, Output};
use crate::failure::Failure;
use crate::output::Answer;

/// Reports every problem of a configuration. For people the report goes to standard error, like a compiler's; as JSON it is the
/// answer.
pub(crate) fn check(check: &args::Check, output: Output) -> Result<Answer, Failure> {
    let outcome = holdfast_host::check(&check.file, check.node.as_deref(), check.offline)
        .map_err(|error| Failure::Failed(chain(&error)))?;
    let json = serde_json::json!({
        "valid": outcome.config.is_some(),
        "diagnostics": outcome.diagnostics,
    });
    match output {
        Output::Table => {
            let report = outcome.render(io::stderr().is_terminal());
            // Nobody is left to tell when standard error is closed.
            drop(io::stderr().write_all(report.as_bytes()));
        }
        Output::Json if outcome.config.is_none() => {
            drop(writeln!(io::stdout(), "{json:#}"));
        }
        Output::Json => {}
    }
    let Some(config) = &outcome.config else { return Err(Failure::InvalidConfiguration) };
    let warnings = summary(&outcome.diagnostics).map_or_else(String::new, |w| format!(", {w}"));
    let table = format!(
        "{}: valid for node {}: {} VRRP instances, {} services{warnings}\n",
        check.file.display(),
        config.node,
        config.instances.len(),
        config.services.len(),
    );
    Ok(Answer { table, json })
}

/// Explains a key or a code.
pub(crate) fn explain(subject: &str) -> Result<Answer, Failure> {
    let text =
        holdfast_config::explain(subject).map_err(|error| Failure::Usage(format!("{error}")))?;
    Ok(Answer { json: serde_json::json!({ "subject": subject, "text": text }), table: text })
}
