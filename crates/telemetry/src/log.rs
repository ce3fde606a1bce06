//! The log: to standard error, a line an event, for people or as JSON.
//!
//! A thread of its own writes it: a reader that has stopped (a terminal, a full pipe) holds up nobody who has something to say, least
//! of all the threads that advertise. So many lines wait for it at most; what is beyond is lost.

use std::fmt;
use std::io::{self, IsTerminal};

use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people: time, level, sentence, fields.
    #[default]
    Text,
    /// A JSON object a line.
    Json,
}

/// The filter was not understood.
#[derive(Debug)]
pub struct FilterError(String, ParseError);

impl fmt::Display for FilterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the log filter {:?} is not of the form `level` or `target=level,…`", self.0)
    }
}

impl std::error::Error for FilterError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.1)
    }
}

/// So many lines wait to be written.
const LINES_MAX: usize = 4096;

/// The log's thread. Dropping it writes what still waits, for a second at most.
#[derive(Debug)]
pub struct Log {
    _worker: WorkerGuard,
}

/// Starts the log, once in a process. `filter` is a level (`info`) or a list such as `info,holdfast_probe=debug`.
///
/// # Errors
/// The filter is not of that form.
pub fn start(format: Format, filter: &str) -> Result<Log, FilterError> {
    let env_filter =
        EnvFilter::try_new(filter).map_err(|error| FilterError(filter.to_owned(), error))?;
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(io::stderr());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(writer)
        .with_target(false)
        // A line that can't be written (a full disk, a reader that went away) is lost. The crate would tell standard error of it,
        // which may be the very thing that is broken, and that ends the process.
        .log_internal_errors(false)
        .with_ansi(io::stderr().is_terminal());
    match format {
        Format::Text => builder.init(),
        Format::Json => builder.json().flatten_event(true).init(),
    }
    Ok(Log { _worker: worker })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_one_is_named() {
        let error = start(Format::Text, "loud=very=much").expect_err("not a filter");
        assert!(error.to_string().contains("loud=very=much"));
    }
}
