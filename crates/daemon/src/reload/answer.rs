//! Refusals of a reload, for whoever asked for it.

use axum::http::StatusCode;
use holdfast_config::diff::Change;
use holdfast_config::{Diagnostic, Severity, summary};
use holdfast_control::{Diagnosis, Problem};

use crate::api::{conflict, refused};

/// So many changes are named in a refusal.
const NAMED_MAX: usize = 20;

/// 422: the configuration is invalid; with every problem, and the lines of the file.
pub(super) fn invalid(diagnostics: &[Diagnostic], report: String) -> Problem {
    let found = summary(diagnostics).unwrap_or_else(|| "nothing was found".to_owned());
    let error = |one: &&Diagnostic| one.severity == Severity::Error;
    let first = diagnostics.iter().find(error);
    let first = first.map_or_else(String::new, |first| format!("; first: {first}"));
    let detail = format!("the configuration is invalid ({found}){first}");
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    let values = diagnostics.iter().filter_map(|found| serde_json::to_value(found).ok());
    let diagnosis = Some(Box::new(Diagnosis { diagnostics: values.collect(), report }));
    Problem { diagnosis, ..refused(status, "invalid_configuration", detail) }
}

/// 422: the configuration can't be read.
pub(super) fn unreadable(why: String) -> Problem {
    refused(StatusCode::UNPROCESSABLE_ENTITY, "unreadable_configuration", why)
}

/// 409: something differs that a daemon which runs can't change.
pub(super) fn needs_restart(changes: &[&Change]) -> Problem {
    let named = changes.iter().take(NAMED_MAX).map(|change| {
        let key = change.key.map_or_else(String::new, |key| format!(" {key}"));
        format!("{}{key}: {}", change.subject, change.text)
    });
    let mut sentences: Vec<String> = named.collect();
    if let Some(more) = changes.len().checked_sub(NAMED_MAX).filter(|more| *more > 0) {
        sentences.push(format!("and {more} more"));
    }
    let detail = format!(
        "restart needed, nothing was changed: {}; restart the daemon (the kernel forwards meanwhile), or take that back",
        sentences.join("; ")
    );
    conflict("restart_needed", detail)
}
