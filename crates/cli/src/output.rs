//! What goes to standard output: for people or as JSON.

use serde::Serialize;

use crate::failure::Failure;

/// An answer in both forms; which one is printed is the caller's choice.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) table: String,
    pub(crate) json: serde_json::Value,
}

/// The answer that `value` is, with `render` for people.
pub(crate) fn to_answer<T: Serialize>(
    value: &T,
    render: impl FnOnce(&T) -> String,
) -> Result<Answer, Failure> {
    let json = serde_json::to_value(value).map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(Answer { table: render(value), json })
}
