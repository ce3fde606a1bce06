//! The ways in which the daemon does not start, each with its exit code and one sentence.

use std::error::Error;
use std::fmt::{self, Write};
use std::process::ExitCode;

/// Why the daemon did not start.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The host refused something: exit 1. One sentence, causes after colons.
    Host(String),
    /// The configuration is invalid: exit 78 (EX_CONFIG of sysexits.h). Every problem, with its code frame.
    Configuration(String),
}

impl Failure {
    /// `attempt` failed because of `error` and what caused that.
    pub(crate) fn new(attempt: &str, error: impl Error) -> Self {
        let mut sentence = format!("{attempt}: {error}");
        let mut cause = error.source();
        while let Some(error) = cause {
            // Writing to a String never fails.
            let _ = write!(sentence, ": {error}");
            cause = error.source();
        }
        Self::Host(sentence)
    }

    /// What the service manager and scripts see.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Host(_) => 1,
            Self::Configuration(_) => 78,
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(sentence) => writeln!(f, "holdfastd: {sentence}"),
            Self::Configuration(problems) => f.write_str(problems),
        }
    }
}
