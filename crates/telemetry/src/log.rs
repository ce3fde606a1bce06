//! The log: to standard error, a line an event, as logfmt or JSON, or to systemd's journal.
//!
//! A thread of its own writes it: a reader that has stopped (a terminal, a full pipe) holds up nobody who has something to say, least
//! of all the threads that advertise. So many lines wait for it at most; what is beyond is lost, and counted.

mod journal;
mod logfmt;

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{LevelFilter, ParseError, Targets};
use tracing_subscriber::layer::{Layered, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, reload};

use self::journal::Journal;
use self::logfmt::Logfmt;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `time=… level=info msg="…" key=value …`: for people, and for programs that read logfmt.
    #[default]
    Logfmt,
    /// A JSON object a line.
    Json,
    /// To systemd's journal in its own protocol, each field by itself (`journalctl HOLDFAST_SERVICE=web`).
    Journald,
}

impl Format {
    /// Its name, as the option has it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Logfmt => "logfmt",
            Self::Json => "json",
            Self::Journald => "journald",
        }
    }
}

/// Why there is no log.
#[derive(Debug)]
#[non_exhaustive]
pub enum LogError {
    /// The filter was not understood.
    Filter(String, ParseError),
    /// A word of the filter that stands alone is no level. As the name of a part of the program it would have everything else silent: whoever
    /// says `inof` means another thing.
    NoLevel(String),
    /// There is no journal.
    Journal(io::Error),
    /// The process has a log already.
    Twice,
}

impl fmt::Display for LogError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Filter(filter, _) => {
                write!(
                    f,
                    "the log filter {filter:?} is not of the form `level` or `target=level,…`"
                )
            }
            Self::NoLevel(word) => {
                write!(
                    f,
                    "{word:?} is no level: error, warn, info, debug, trace or off, or `target=level` for a part of the program"
                )
            }
            Self::Journal(_) => {
                let socket = journal::SOCKET;
                write!(f, "reach systemd's journal at {socket}: choose another `--log-format`")
            }
            Self::Twice => f.write_str("the process has a log already"),
        }
    }
}

impl std::error::Error for LogError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Filter(_, error) => Some(error),
            Self::Journal(error) => Some(error),
            Self::NoLevel(_) | Self::Twice => None,
        }
    }
}

/// So many lines wait to be written.
const LINES_MAX: usize = 4096;

/// The longest filter, in bytes.
const FILTER_MAX: usize = 1024;

/// The log's thread. Dropping it writes what still waits, for a second at most.
#[derive(Debug)]
pub struct Log {
    _worker: WorkerGuard,
    level: Level,
}

impl Log {
    /// What is logged, to be looked at and changed while the process runs.
    pub fn level(&self) -> Level {
        self.level.clone()
    }
}

/// What is logged. Copies share it.
#[derive(Clone)]
pub struct Level(Arc<Shared>);

struct Shared {
    filter: Mutex<String>,
    change: Box<dyn Fn(Targets) -> bool + Send + Sync>,
    format: Format,
    lost: ErrorCounter,
}

impl fmt::Debug for Level {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Level").field(&self.filter()).finish()
    }
}

impl Level {
    /// The filter that holds.
    pub fn filter(&self) -> String {
        self.0.filter.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Has `filter` hold from now on, until the process ends; false when it held already.
    ///
    /// # Errors
    /// It is no filter: the one that held does still.
    pub fn set(&self, filter: &str) -> Result<bool, LogError> {
        let parsed = parse(filter)?;
        let mut holds = self.0.filter.lock().unwrap_or_else(PoisonError::into_inner);
        if *holds == filter {
            return Ok(false);
        }
        if !(self.0.change)(parsed) {
            return Err(LogError::Twice);
        }
        filter.clone_into(&mut holds);
        Ok(true)
    }

    /// How lines look.
    pub fn format(&self) -> Format {
        self.0.format
    }

    /// How many lines were lost because their reader was too slow.
    pub fn lost_lines(&self) -> u64 {
        u64::try_from(self.0.lost.dropped_lines()).unwrap_or(u64::MAX)
    }
}

/// Starts the log, once in a process. `filter` is a level (`info`) or a list such as `info,holdfast_probe=debug`.
///
/// # Errors
/// The filter is not of that form, or there is no journal where one is wanted.
pub fn start(format: Format, filter: &str) -> Result<Log, LogError> {
    let targets = parse(filter)?;
    let output: Box<dyn Write + Send> = match format {
        Format::Logfmt | Format::Json => Box::new(io::stderr()),
        Format::Journald => Box::new(Journal::open().map_err(LogError::Journal)?),
    };
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(LINES_MAX)
        .thread_name("log")
        .finish(output);
    let lost = writer.error_counter();
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(writer)
        .with_target(false)
        // A line that can't be written (a full disk, a reader that went away) is lost. The crate would tell standard error of it,
        // which may be the very thing that is broken, and that ends the process.
        .log_internal_errors(false)
        .with_ansi(false);
    let change = match format {
        Format::Logfmt => begin(lines.event_format(Logfmt), targets),
        Format::Json => begin(lines.json().flatten_event(true), targets),
        Format::Journald => begin(lines.event_format(journal::Entry), targets),
    }?;
    let filter = Mutex::new(filter.to_owned());
    let level = Level(Arc::new(Shared { filter, change, format, lost }));
    Ok(Log { _worker: worker, level })
}

/// What a layer of the log stands on.
type Filtered = Layered<reload::Layer<Targets, Registry>, Registry>;

/// Makes it the process's log, and gives the way to change its filter.
fn begin(
    lines: impl Layer<Filtered> + Send + Sync,
    filter: Targets,
) -> Result<Box<dyn Fn(Targets) -> bool + Send + Sync>, LogError> {
    let (filter, handle) = reload::Layer::new(filter);
    let log = tracing_subscriber::registry().with(filter).with(lines);
    log.try_init().map_err(|_taken| LogError::Twice)?;
    Ok(Box::new(move |filter| handle.reload(filter).is_ok()))
}

fn parse(filter: &str) -> Result<Targets, LogError> {
    let text = filter.get(..FILTER_MAX).unwrap_or(filter);
    let alone = |part: &&str| !part.contains(['=', '[', ']', '{', '}']);
    let nothing = text.trim().is_empty();
    let wrong = |part: &&str| match part.is_empty() {
        true => nothing,
        false => part.parse::<LevelFilter>().is_err(),
    };
    if let Some(word) = text.split(',').map(str::trim).filter(alone).find(wrong) {
        return Err(LogError::NoLevel(word.to_owned()));
    }
    text.parse().map_err(|error| LogError::Filter(text.to_owned(), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_not_one_is_named() {
        let error = start(Format::Logfmt, "loud=very=much").expect_err("not a filter");
        assert!(error.to_string().contains("loud=very=much"));
    }

    /// `tracing` would take such a word for a part of the program, and say nothing of all others.
    #[test]
    fn a_word_that_is_no_level_silences_nothing() {
        for (filter, word) in [("inof", "inof"), ("info,debgu", "debgu"), ("", "")] {
            let error = parse(filter).expect_err("no level").to_string();
            assert!(error.starts_with(&format!("{word:?} is no level: error, warn")), "{error}");
        }
        for filter in ["info", "off", "INFO,holdfastd=debug"] {
            assert!(parse(filter).is_ok(), "{filter}");
        }
    }

    #[test]
    fn the_level_is_changed_while_the_process_runs_and_a_wrong_one_changes_nothing() {
        let log = start(Format::Logfmt, "error").expect("the only log of this process");
        let level = log.level();
        assert!(!tracing::enabled!(tracing::Level::DEBUG));
        assert!(level.set("debug").expect("a level"));
        assert!(tracing::enabled!(tracing::Level::DEBUG));
        assert!(!level.set("debug").expect("a level"), "it holds already");
        assert!(level.set("a=b=c").is_err());
        assert_eq!(level.filter(), "debug");
        assert!(matches!(start(Format::Json, "info"), Err(LogError::Twice)));
    }
}
