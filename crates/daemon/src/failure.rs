//! The ways in which the daemon does not start, each with its exit code and one sentence.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;

use holdfast_control::chain;

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
        Self::Host(format!("{attempt}: {}", chain(&error)))
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
