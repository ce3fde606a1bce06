//! Why somebody could not be asked whether they are there.

use std::fmt;
use std::net::IpAddr;

use nix::errno::Errno;

use crate::answer::Answer;
use crate::interface::LookupError;

/// Why a target was not asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReachError {
    /// There is no such interface.
    #[error(transparent)]
    Interface(#[from] LookupError),
    /// The interface has no Ethernet address.
    #[error("ask for {target} on {interface}: the interface is no Ethernet")]
    NoEthernet {
        /// Who was to be asked for.
        target: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The interface has no address to ask from.
    #[error(
        "ask for {target} on {interface}: the interface has no address of its own to ask from: give it one that is not virtual"
    )]
    NoSource {
        /// Who was to be asked for.
        target: IpAddr,
        /// The interface.
        interface: String,
    },
    /// The kernel refused.
    #[error("{step} for {target}: {answer}")]
    Refused {
        /// Who was to be asked for.
        target: IpAddr,
        /// What was attempted.
        step: ReachStep,
        /// What it answered.
        answer: Answer,
    },
}

/// A step on the way to a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReachStep {
    /// The socket.
    Open,
    /// The question.
    Send,
}

impl fmt::Display for ReachStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open a socket",
            Self::Send => "send a request",
        })
    }
}

impl ReachError {
    /// Whether this host lacks what it takes to ask, which says nothing of the target.
    pub fn is_own_shortage(&self) -> bool {
        let Self::Refused { answer, step, .. } = self else { return false };
        let forbidden = [Errno::EPERM, Errno::EACCES].contains(&answer.errno());
        let lacking = [Errno::EMFILE, Errno::ENFILE, Errno::ENOMEM, Errno::ENOBUFS, Errno::EAGAIN];
        lacking.contains(&answer.errno()) || (*step == ReachStep::Open && forbidden)
    }
}
