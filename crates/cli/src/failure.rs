//! The ways in which a command fails, each with its exit code.

use std::process::ExitCode;

use holdfast_control::{RequestError, chain};

use crate::output::Answer;

/// Why a command did not do what it was told.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It could not be done: exit 1.
    Failed(String),
    /// The command line makes no sense: exit 2.
    Usage(String),
    /// What was waited for did not come in time: exit 3.
    TimedOut(String),
    /// Something would change, and that was asked for: exit 4. The answer is to be printed as always.
    Changes(Answer),
    /// A check that was to be run does not pass: exit 1. What it found is to be printed as always.
    Failing(Answer),
    /// Something would not work: exit 1. The answer is to be printed as always.
    Unhealthy(Answer),
    /// It was not done on every node: exit 1, or 3 where what was waited for did not come in time on some and nothing failed. The answer
    /// is to be printed as always, and then the sentence.
    Incomplete {
        /// What became of it on each.
        answer: Answer,
        /// On which it was not done, and how to finish.
        sentence: String,
        /// Whether all that is missing is what was waited for.
        late: bool,
    },
    /// The configuration is invalid: exit 78 (EX_CONFIG). What is wrong has been printed already.
    InvalidConfiguration,
}

impl Failure {
    /// The sentence to print, where there is one left to print.
    pub(crate) fn sentence(&self) -> Option<&str> {
        match self {
            Self::Failed(sentence)
            | Self::Usage(sentence)
            | Self::TimedOut(sentence)
            | Self::Incomplete { sentence, .. } => Some(sentence),
            Self::Changes(_)
            | Self::Failing(_)
            | Self::Unhealthy(_)
            | Self::InvalidConfiguration => None,
        }
    }

    /// The exit code that scripts can rely on.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(match self {
            Self::Failed(_)
            | Self::Failing(_)
            | Self::Unhealthy(_)
            | Self::Incomplete { late: false, .. } => 1,
            Self::Usage(_) => 2,
            Self::TimedOut(_) | Self::Incomplete { late: true, .. } => 3,
            Self::Changes(_) => 4,
            Self::InvalidConfiguration => 78,
        })
    }
}

impl From<RequestError> for Failure {
    fn from(error: RequestError) -> Self {
        Self::Failed(chain(&error))
    }
}
